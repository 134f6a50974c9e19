"""One randomised threshold rule per group: from scores to hulls, and from hulls to the rule."""

import numpy as np

from fairlearnkit._kernels.thresholds import (
    accept_probability,
    operating_points,
    solve_thresholds,
)
from timings.inputs import CRITERIA, scored_rows


class OperatingPoints:
    """One sort of the scores of each group, and the hulls of its curve."""

    params = ([10_000, 100_000, 1_000_000], [2, 50])
    param_names = ("rows", "groups")

    def setup(self, n_rows, n_groups):
        self.rows = scored_rows(n_rows, n_groups)

    def time_hulls(self, n_rows, n_groups):
        operating_points(*self.rows, None, n_groups, hull_only=True)

    def peakmem_hulls(self, n_rows, n_groups):
        operating_points(*self.rows, None, n_groups, hull_only=True)


class Programme:
    """The linear programme on hull vertices: a function of groups, hardly of rows."""

    params = ([2, 10, 100], list(CRITERIA))
    param_names = ("groups", "criterion")

    def setup(self, n_groups, criterion):
        rows = scored_rows(100_000, n_groups)
        self.points = operating_points(*rows, None, n_groups, hull_only=True)
        self.moments = CRITERIA[criterion]._moments_of_mass(self.points.mass)

    def time_solve(self, n_groups, criterion):
        solve_thresholds(self.points, self.moments, 1.0, 1.0)


class Decisions:
    """The probability that each row is accepted."""

    params = [10_000, 1_000_000]
    param_names = ("rows",)

    def setup(self, n_rows):
        self.rows = scored_rows(n_rows, 10)
        self.threshold = np.linspace([1.0, 0.5], [1.5, 1.0], 10)
        self.probability = np.full((10, 2), 0.5)

    def time_accept_probability(self, n_rows):
        accept_probability(self.rows.score, self.rows.group, self.threshold, self.probability)
