"""One plain threshold per group: a search over all thresholds."""

from fairlearnkit._kernels.plain_thresholds import solve_plain_thresholds
from fairlearnkit._kernels.thresholds import hull_points, operating_points, solve_thresholds
from timings.inputs import CRITERIA, scored_rows


class Search:
    """Exact for one rate; for two an enumeration with a budget."""

    params = ([1_000, 10_000], list(CRITERIA))
    param_names = ("rows", "criterion")

    def setup(self, n_rows, criterion):
        self.points = operating_points(*scored_rows(n_rows, 4), None, 4, hull_only=False)
        self.moments = CRITERIA[criterion]._moments_of_mass(self.points.mass)
        # The randomised optimum has its weights on hull vertices only.
        hulls = self.points.take(hull_points(self.points))
        self.randomized = solve_thresholds(hulls, self.moments, 1.0, 1.0)

    def time_solve(self, n_rows, criterion):
        solve_plain_thresholds(self.points, self.moments, 1.0, 1.0, self.randomized)
