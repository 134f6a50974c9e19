"""Rates with intervals: one pass over the rows, then cells alone."""

import numpy as np

from fairlearnkit._kernels.intervals import (
    bootstrap_cells,
    cell_moments,
    compare_pairs,
    exact_interval,
    largest_gap_limits,
    rates_of_draws,
)
from timings.inputs import scored_rows

# The true and the false positive rate.
CONDITION = np.array([[False, True], [True, False]])
COUNTED = np.array([[[False, False], [False, True]], [[False, True], [False, False]]])


class Cells:
    """Sums by cell of decisions, and of probabilities."""

    params = ([10_000, 1_000_000], ["decisions", "probabilities"])
    param_names = ("rows", "predictions")

    def setup(self, n_rows, predictions):
        self.rows = scored_rows(n_rows, 10)
        share = 1 / (1 + np.exp(1 - self.rows.score))
        self.prediction = share if predictions == "probabilities" else share > 0.5

    def time_cell_moments(self, n_rows, predictions):
        cell_moments(self.prediction, self.rows.label, self.rows.group, None, 10)


class Bootstrap:
    """A thousand resamples of all rates, which touch no row."""

    params = ([2, 50], ["decisions", "probabilities"])
    param_names = ("groups", "predictions")

    def setup(self, n_groups, predictions):
        rows = scored_rows(100_000, n_groups)
        share = 1 / (1 + np.exp(1 - rows.score))
        self.exact = predictions == "decisions"
        prediction = share > 0.5 if self.exact else share
        self.cells = cell_moments(prediction, rows.label, rows.group, None, n_groups)

    def time_1000_resamples(self, n_groups, predictions):
        rng = np.random.default_rng(0)
        mass, sums = bootstrap_cells(self.cells, 1000, rng, exact=self.exact)
        rates_of_draws(mass, sums, CONDITION, COUNTED)


class Limits:
    """Intervals of rates, all pairs of groups, and the largest gap among them."""

    params = [2, 50]
    param_names = ("groups",)

    def setup(self, n_groups):
        self.rate = np.linspace(0.2, 0.4, n_groups)
        self.count = np.linspace(100, 10_000, n_groups)

    def time_exact_interval(self, n_groups):
        exact_interval(self.rate, self.count)

    def time_exact_interval_of_probabilities(self, n_groups):
        exact_interval(self.rate, self.count, kind="probabilities")

    def time_compare_pairs(self, n_groups):
        compare_pairs(self.rate, self.count)

    def time_largest_gap_limits(self, n_groups):
        largest_gap_limits([compare_pairs(self.rate, self.count)])
