"""What the kernels are given: scored rows in groups, and a finite set of classifiers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairlearnkit import DemographicParity, EqualizedOdds
from fairlearnkit._kernels.hypotheses import Hypothesis
from fairlearnkit._kernels.moments import Moments, group_rates, objective
from fairlearnkit._kernels.pool import Pool

BOUND = 0.02
CRITERIA = {
    "demographic parity": DemographicParity(max_difference=BOUND),
    "equalized odds": EqualizedOdds(max_difference=BOUND),
}


class Rows(NamedTuple):
    """Rows with a score, a label and a group, each of shape ``(n_rows,)``."""

    score: NDArray[np.float64]
    label: NDArray[np.bool_]
    group: NDArray[np.intp]


def scored_rows(n_rows: int, n_groups: int) -> Rows:
    """Return normal scores with base rates and separations that fall from group to group."""
    rng = np.random.default_rng(0)
    group = rng.integers(n_groups, size=n_rows)
    label = rng.random(n_rows) < np.linspace(0.5, 0.3, n_groups)[group]
    score = rng.standard_normal(n_rows) + np.linspace(1.6, 1.3, n_groups)[group] * label
    return Rows(score, label, group)


class FiniteGame:
    """A thousand classifiers with random rates, and a learner that looks up the best of them.

    The learner takes next to no time, so that a solver's own time is what is left.
    """

    def __init__(self, n_groups: int) -> None:
        rng = np.random.default_rng(0)
        mass = np.column_stack([np.linspace(0.5, 0.7, n_groups), np.linspace(0.5, 0.3, n_groups)])
        false_positive = rng.random((1000, n_groups)) * rng.random((1000, 1))
        gained = (1 - false_positive) * rng.random((1000, n_groups))
        rates = np.stack([false_positive, false_positive + gained], axis=-1)
        constants = np.stack([np.zeros((n_groups, 2)), np.ones((n_groups, 2))])
        sums = mass * np.concatenate([constants, rates])
        constant, slope = objective(mass, 1.0, 1.0)
        self.moments: Moments = CRITERIA["equalized odds"]._moments_of_mass(mass)
        self.cost = constant + sums.sum(axis=1) @ slope
        self.rates = group_rates(self.moments, sums)
        self.known = [Hypothesis(float(c), s) for c, s in zip(self.cost, sums, strict=True)]

    def pool(self, n_known: int = 2) -> Pool:
        """Return a new pool of the first few classifiers, the two constants before others."""
        pool = Pool()
        pool.add(self.known[:n_known])
        return pool

    def best_responses(self, prices: list[NDArray[np.float64]]) -> list[Hypothesis]:
        """Return the cheapest classifier at each of some prices of the rates."""
        return [self.known[int(np.argmin(self.cost + self.rates @ price))] for price in prices]
