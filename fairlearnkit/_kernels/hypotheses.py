"""What a classifier is to a programme: its cost, its cell sums, and for a scorer its thresholds.

A fitted scorer stands for as many hypotheses as it has thresholds. They are kept together, as
arrays of a size that does not grow with the rows, and one of them becomes a hypothesis of its own
when a programme's prices ask for it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairlearnkit._kernels.moments import Moments, group_rates
from fairlearnkit._kernels.thresholds import midpoints

Float = NDArray[np.float64]
Int = NDArray[np.intp]


class Hypothesis(NamedTuple):
    """A classifier as the programme knows it.

    Attributes
    ----------
    cost : float
        Mean cost.
    sums : ndarray of shape (n_units, 2)
        Cell sums.
    model : object
        What decides; never looked at here.
    """

    cost: float
    sums: Float
    model: Any = None


class Decisions(NamedTuple):
    """What several sets of decisions cost and accept: shapes ``(n,)`` and ``(n, n_units, 2)``."""

    cost: Float
    sums: Float

    def priced(self, moments: Moments, price: Float, cost_factor: float = 1.0) -> Float:
        """Return each cost, times a factor, plus its rates times prices ``(n_rows, ...)``."""
        of_rates: Float = group_rates(moments, self.sums) @ price
        return (cost_factor * self.cost + of_rates.T).T


class ThresholdColumns(NamedTuple):
    """One fitted scorer at several thresholds.

    Attributes
    ----------
    model : object
        The scorer; a hypothesis of threshold t has the model ``(model, t)``.
    threshold : ndarray of shape (n_thresholds,)
        Accept where ``score >= threshold``.
    judged : Decisions
        By which a threshold is chosen.
    counted : Decisions
        What the chosen threshold then counts as. The same, unless thresholds are chosen on other
        scores than rates are taken from.
    """

    model: Any
    threshold: Float
    judged: Decisions
    counted: Decisions

    def cheapest(self, moments: Moments, price: Float, cost_factor: float = 1.0) -> Hypothesis:
        """Return the threshold of least priced cost."""
        priced = self.judged.priced(moments, price, cost_factor)
        return self.hypothesis(_first_least(priced, 1.0 + np.abs(priced).max()))

    def hypothesis(self, i: int) -> Hypothesis:
        """Return one threshold as a hypothesis."""
        model = (self.model, float(self.threshold[i]))
        return Hypothesis(float(self.counted.cost[i]), self.counted.sums[i], model)


class WeightedProblem(NamedTuple):
    """What a learner is to answer, at some prices of the rows.

    Attributes
    ----------
    accept : ndarray of shape (n_samples,)
        Whether the row is better accepted.
    weight : ndarray of shape (n_samples,)
        What the answer matters.
    price : ndarray of shape (n_samples,)
        What accepting the row costs.
    """

    accept: NDArray[np.bool_]
    weight: Float
    price: Float


def weighted_problem(price: Float, total: float) -> WeightedProblem | None:
    """Return the classification problem whose weighted error is least where total price is.

    Rows to accept have a negative price, and weigh as much as it is away from zero. Weights are
    scaled to a given sum, so that a regularised learner regularises alike at all prices. None
    where a constant decision is best.
    """
    accept, weight = price < 0, np.abs(price)
    matters = accept[weight > 0]
    if matters.all() or not matters.any():
        return None
    return WeightedProblem(accept, weight * (total / weight.sum()), price)


# What a learner finds at some prices; None where a constant decision is best.
Answer = Hypothesis | ThresholdColumns | None


# How many thresholds of a scorer are kept, at equal numbers of distinct scores between them; the
# best at the prices asked at is always among them.
_N_THRESHOLDS = 200


def threshold_columns(
    model: Any,
    judged_score: Float,
    counted_score: Float,
    row_price: Float,
    count: Callable[[Float, Float], Decisions],
) -> ThresholdColumns | None:
    """Return a scorer at its best threshold for given prices and at others all over its range.

    Parameters
    ----------
    model : object
        The scorer.
    judged_score, counted_score : ndarray of shape (n_samples,)
        Scores by which thresholds are chosen, and by which decisions count.
    row_price : ndarray of shape (n_samples,)
        What accepting each row costs.
    count : callable
        ``(score, thresholds) -> Decisions``, thresholds ascending.

    Returns
    -------
    ThresholdColumns or None
        With all thresholds where scores differ in few places; None where all scores are equal.

    Notes
    -----
    One sort: running sums of the prices give the exact best threshold.
    """
    order = np.argsort(judged_score)[::-1]
    score = judged_score[order]
    # Accepting the rows up to one of these ends accepts a score and all above it.
    end = np.flatnonzero(score[:-1] != score[1:])
    if not len(end):
        return None
    total = np.cumsum(row_price[order])[end]
    best = end[_first_least(total, np.abs(row_price).sum())]
    if len(end) > _N_THRESHOLDS:
        place = np.linspace(0, len(end) - 1, _N_THRESHOLDS).astype(np.intp)
        end = np.union1d(end[place], best)
    threshold = midpoints(score[end], score[end + 1])[::-1]
    judged = count(judged_score, threshold)
    counted = judged if counted_score is judged_score else count(counted_score, threshold)
    return ThresholdColumns(model, threshold, judged, counted)


def _first_least(values: Float, scale: float) -> int:
    """Return the place of the least value, the first of those that rounding may tell apart."""
    return int(np.argmax(values <= values.min() + 1e-13 * scale))


def sums_by_threshold(
    score: Float,
    threshold: Float,
    label: NDArray[np.bool_],
    unit: Int,
    sample_weight: Float | None,
    n_units: int,
) -> Float:
    """Return cell sums at each of some ascending thresholds: ``(n_thresholds, n_units, 2)``."""
    reached = np.searchsorted(threshold, score, side="right")
    n_cells, n_levels = 2 * n_units, len(threshold) + 1
    place = reached * n_cells + 2 * unit + label
    mass = np.bincount(place, sample_weight, minlength=n_levels * n_cells).astype(np.float64)
    at_level = mass.reshape(n_levels, n_units, 2)
    return np.cumsum(at_level[::-1], axis=0)[::-1][1:]
