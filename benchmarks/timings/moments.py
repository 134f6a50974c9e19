"""Cell sums, by which a classifier is known, and the rates that follow from them."""

import numpy as np

from fairlearnkit._kernels.hypotheses import sums_by_threshold
from fairlearnkit._kernels.moments import cell_mass, cell_sums, group_rates, violations
from timings.inputs import CRITERIA, scored_rows


class Cells:
    """One pass over the rows for each classifier."""

    params = ([10_000, 1_000_000], [2, 1_000])
    param_names = ("rows", "groups")

    def setup(self, n_rows, n_groups):
        self.rows = scored_rows(n_rows, n_groups)
        self.decision = (self.rows.score > 1).astype(float)
        self.thresholds = np.quantile(self.rows.score, np.linspace(0, 1, 200))

    def time_cell_sums(self, n_rows, n_groups):
        cell_sums(self.decision, self.rows.label, self.rows.group, None, n_groups)

    def peakmem_cell_sums(self, n_rows, n_groups):
        cell_sums(self.decision, self.rows.label, self.rows.group, None, n_groups)

    def time_sums_by_threshold(self, n_rows, n_groups):
        score, label, group = self.rows
        sums_by_threshold(score, self.thresholds, label, group, None, n_groups)


class Rates:
    """Rates of many classifiers, and how far one is beyond the bounds."""

    params = [2, 1_000]
    param_names = ("groups",)

    def setup(self, n_groups):
        rows = scored_rows(100_000, n_groups)
        mass = cell_mass(rows.label, rows.group, None, n_groups)
        self.moments = CRITERIA["equalized odds"]._moments_of_mass(mass)
        self.sums = mass * np.random.default_rng(0).random((100, n_groups, 2))
        self.rates = group_rates(self.moments, self.sums[0])

    def time_rates_of_100_classifiers(self, n_groups):
        group_rates(self.moments, self.sums)

    def time_violations(self, n_groups):
        violations(self.moments, self.rates)
