"""The worst subgroup by each oracle, on rows summed by distinct attributes."""

import numpy as np

from fairlearnkit._kernels.subgroup_search import Points, distinct, worst_subgroups

N_LEVELS = (74, 16, 7, 5, 2, 12)
ORDERED = (True, True, False, False, False, True)


def attributes(n_rows):
    """Return levels of six attributes, three of them ordered."""
    rng = np.random.default_rng(0)
    return np.column_stack([rng.integers(n, size=n_rows) for n in N_LEVELS])


class Distinct:
    """Rows summed within distinct attributes: one sort."""

    params = [10_000, 1_000_000]
    param_names = ("rows",)

    def setup(self, n_rows):
        self.codes = attributes(n_rows)

    def time_distinct(self, n_rows):
        distinct(self.codes, N_LEVELS)


class Oracles:
    """The search, which no row takes part in."""

    params = (["conjunction", "linear", "tree"], [1_000, 30_000])
    param_names = ("oracle", "rows")

    def setup(self, oracle, n_rows):
        rows = attributes(n_rows)
        codes, place = distinct(rows, N_LEVELS)
        rng = np.random.default_rng(1)
        chosen = rng.random(n_rows) < 0.3 + 0.2 * ((rows[:, 0] > 40) & (rows[:, 4] == 1))
        mass = np.bincount(place, minlength=len(codes)) / n_rows
        self.points = Points(
            codes=codes,
            n_levels=N_LEVELS,
            ordered=ORDERED,
            numbers=np.where(ORDERED, codes / np.array(N_LEVELS), 0.0),
            mass=mass,
            total=np.bincount(place, chosen, minlength=len(codes)) / n_rows,
        )

    def time_worst_subgroups(self, oracle, n_rows):
        worst_subgroups(self.points, (oracle,))
