"""Exact group thresholds: ROC hulls, a linear programme over their vertices, plain thresholds.

A group's operating point under ``score >= t`` is its pair of cell sums (false positives, true
positives). What randomised thresholds attain is the convex hull of those points, and cost and
rates are linear in them, so an optimum over all randomised thresholds is a mixture of hull
vertices: a linear programme with one variable per vertex.

Both hulls are kept. The upper one alone loses optimality where the cost of the constraint pulls a
group below its diagonal (error-rate parity at unequal costs, several constraints at once).

References
----------
.. [1] M. Hardt, E. Price, N. Srebro, "Equality of Opportunity in Supervised Learning",
   NeurIPS 2016, section 4.
.. [2] T. Fawcett, A. Niculescu-Mizil, "PAV and the ROC convex hull", Machine Learning 68, 2007.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import isotonic_regression

from fairlearnkit._kernels.moments import Moments, objective
from fairlearnkit._kernels.rate_program import solve_mixture

Float = NDArray[np.float64]
Int = NDArray[np.intp]


class OperatingPoints(NamedTuple):
    """Thresholds of all groups with the cell sums they give, group by group.

    Within a group thresholds fall from ``inf`` (accept none) to ``-inf`` (accept all).

    Attributes
    ----------
    start : ndarray of shape (n_groups + 1,)
        Group ``g`` has the points ``start[g]`` to ``start[g + 1] - 1``.
    threshold : ndarray of shape (n_points,)
        Midway between neighbouring distinct scores; accept where ``score >= threshold``.
    sums : ndarray of shape (n_points, 2)
        Weight of the false and of the true positives in the rates.
    cost_sums : ndarray of shape (n_points, 2)
        The same in the cost.
    """

    start: Int
    threshold: Float
    sums: Float
    cost_sums: Float

    @property
    def mass(self) -> Float:
        """Weight in each cell, shape ``(n_groups, 2)``: what accepting all accepts."""
        return self.sums[self.start[1:] - 1]

    def cost(self, fp_cost: float, fn_cost: float) -> tuple[float, Float]:
        """Return the mean cost as a constant and what each point adds, shape ``(n_points,)``."""
        constant, slope = objective(self.cost_sums[self.start[1:] - 1], fp_cost, fn_cost)
        return float(constant), self.cost_sums @ slope

    def take(self, kept: Int) -> "OperatingPoints":
        """Return some of the points, given in order and with one or more of every group."""
        start = np.searchsorted(kept, self.start)
        return OperatingPoints(start, self.threshold[kept], self.sums[kept], self.cost_sums[kept])

    def take_groups(self, groups: Int, kept: Int) -> "OperatingPoints":
        """Return the points `kept` as all of those of some groups."""
        start = np.concatenate([[0], np.cumsum(np.diff(self.start)[groups])])
        return OperatingPoints(start, self.threshold[kept], self.sums[kept], self.cost_sums[kept])

    @property
    def group(self) -> Int:
        """Group of each point, shape ``(n_points,)``."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))


class ThresholdSolution(NamedTuple):
    """A randomised threshold per group.

    Attributes
    ----------
    probability : ndarray of shape (n_points,)
        Probability of each operating point within its group.
    sums : ndarray of shape (n_groups, 2)
        Expected cell sums.
    cost : float
        Mean cost.
    group_cost : ndarray of shape (n_groups,)
        What the threshold of each group adds to it.
    rate_price : ndarray of shape (n_rows,)
        What one more unit of each rate costs at the optimum, as in `Mixture`.
    bound_price : ndarray of shape (n_events,)
        What one more unit of each event's bound saves, as in `Mixture`.
    """

    probability: Float
    sums: Float
    cost: float
    group_cost: Float
    rate_price: Float
    bound_price: Float


def operating_points(
    score: Float,
    positive: NDArray[np.bool_],
    group: Int,
    sample_weight: Float | None,
    n_groups: int,
    *,
    hull_only: bool,
    weight_rates: bool = True,
) -> OperatingPoints:
    """Return the thresholds of every group, all of them or those on its upper and lower hull.

    Parameters
    ----------
    score : ndarray of shape (n_samples,)
        Finite scores.
    positive : ndarray of shape (n_samples,)
        Whether the label is the positive one.
    group : ndarray of shape (n_samples,)
        Group of each sample, in ``0..n_groups - 1``; a group without samples has one point.
    sample_weight : ndarray of shape (n_samples,) or None
        Positive weights.
    n_groups : int
        Number of groups.
    hull_only : bool
        Whether to keep the hull vertices alone: all that randomised thresholds need, unless cost
        and rates are weighted differently.
    weight_rates : bool, default=True
        Whether the weights count in the rates too, or in the cost only.

    Notes
    -----
    One sort by group, one sort by score within each group and two linear passes of
    pool-adjacent-violators [2]_: O(n log n) time, O(n) memory.
    """
    is_double = sample_weight is not None and not weight_rates
    found = []
    for rows in _rows_by_group(group, n_groups):
        weight = None if sample_weight is None else sample_weight[rows]
        found.append(_group_points(score[rows], positive[rows], weight, hull_only, is_double))
    start = np.concatenate([[0], np.cumsum([len(threshold) for threshold, _, _ in found])])
    threshold, sums, cost_sums = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return OperatingPoints(start, threshold, sums, cost_sums)


def _rows_by_group(group: Int, n_groups: int) -> Iterator[Int]:
    """Yield the rows of each group, after one linear-time sort."""
    # NumPy sorts integers of one or two bytes by counting.
    narrow = group.astype(np.min_scalar_type(n_groups)) if n_groups < 2**16 else group
    order = np.argsort(narrow, kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(group, minlength=n_groups))[:-1])


def _group_points(
    score: Float,
    positive: NDArray[np.bool_],
    weight: Float | None,
    hull_only: bool,
    is_double: bool,
) -> tuple[Float, Float, Float]:
    """Return thresholds of one group and their two cell sums; tied scores give one threshold."""
    if not len(score):  # a group that does not occur in this stratum
        return np.array([np.inf]), np.zeros((1, 2)), np.zeros((1, 2))
    order = np.argsort(score)[::-1]
    score, positive = score[order], positive[order]
    weight = None if weight is None else weight[order]
    del order
    # Point i accepts the first end[i] rows.
    end = np.flatnonzero(score[:-1] != score[1:])
    end = np.concatenate([[0], end + 1, [len(score)]])
    kinds = []
    if weight is None or is_double:
        true = _running(positive)[end]
        kinds.append((end - true, true))
    if weight is not None:
        true = _running(np.where(positive, weight, 0.0))[end]
        kinds.append((_running(np.where(positive, 0.0, weight))[end], true))
    kept = np.arange(len(end))
    if hull_only:
        kept = np.unique(np.concatenate([_hull(false, true) for false, true in kinds]))
    threshold = np.full(len(kept), np.inf)
    threshold[-1] = -np.inf
    threshold[1:-1] = midpoints(score[end[kept[1:-1]] - 1], score[end[kept[1:-1]]])
    sums = [np.column_stack([false[kept], true[kept]]) for false, true in kinds]
    return threshold, sums[0], sums[-1]


def midpoints(above: Float, below: Float) -> Float:
    """Return thresholds between scores: reached by those above and not by those below."""
    middle = above / 2 + below / 2
    # Between neighbouring floats the midpoint may round down to the lower score.
    return np.where(middle > below, middle, above)


def hull_points(points: OperatingPoints) -> Int:
    """Return the points on a hull of their group, in the sums of the rates or of the cost."""
    kept = []
    for first, stop in zip(points.start[:-1], points.start[1:], strict=True):
        for sums in (points.sums[first:stop], points.cost_sums[first:stop]):
            kept.append(first + _hull(sums[:, 0], sums[:, 1]) if stop - first > 1 else [first])
    return np.unique(np.concatenate(kept))


def _running(values: NDArray[np.float64] | NDArray[np.bool_]) -> Float:
    """Return the running sum from 0, one longer than the values."""
    total = np.empty(len(values) + 1)
    total[0] = 0.0
    np.cumsum(values, out=total[1:])
    return total


def _hull(false: Float, true: Float) -> Int:
    """Return the points on the upper or the lower hull of one group, in order.

    The slope of a hull is monotone in the share of positives between neighbouring vertices, so
    that each hull is the isotonic regression of those shares along the thresholds [2]_.
    """
    positives = np.diff(true)
    mass = np.diff(false)
    mass += positives
    # A weight far below the sum before it leaves no trace in the sum: no step, no vertex.
    moved = np.flatnonzero(mass > 0)
    if not len(moved):  # a group whose rows cost nothing
        return np.array([0, len(true) - 1])
    if len(moved) < len(mass):
        positives, mass = positives[moved], mass[moved]
    share = np.divide(positives, mass, out=positives)
    # Steps in a row with one share are one step: half of them or more where scores differ.
    first = np.flatnonzero(share[1:] != share[:-1])
    first = np.concatenate([[0], first + 1])
    point, share, mass = moved[first], share[first], np.add.reduceat(mass, first)
    del moved, first, positives  # as long as the rows
    upper = isotonic_regression(share, weights=mass, increasing=False).blocks
    lower = isotonic_regression(share, weights=mass, increasing=True).blocks
    point = np.append(point, len(true) - 1)
    return np.union1d(point[upper], point[lower])


def solve_thresholds(
    points: OperatingPoints, moments: Moments, fp_cost: float, fn_cost: float
) -> ThresholdSolution:
    """Minimise mean cost over mixtures of operating points within each group.

    Parameters
    ----------
    points : OperatingPoints
        Hull vertices (or any larger set of points).
    moments : Moments
        Rates and bounds, with ``points.mass`` as their mass.
    fp_cost, fn_cost : float
        Cost of a false positive and of a false negative, >= 0.

    Returns
    -------
    ThresholdSolution
        The optimum; its rates meet the bounds to 1e-9.
    """
    constant, cost = points.cost(fp_cost, fn_cost)
    mixture = solve_mixture(cost, point_rates(points, moments), points.group, moments)
    return ThresholdSolution(
        probability=mixture.weight,
        sums=expected_sums(points, mixture.weight),
        cost=constant + mixture.cost,
        group_cost=np.add.reduceat(mixture.weight * cost, points.start[:-1]),
        rate_price=mixture.rate_price,
        bound_price=mixture.bound_price,
    )


# What a threshold must save to be worth adding, in units of the larger cost: above the solver's
# tolerance.
_WORTH_ADDING = 1e-9


def solve_priced_thresholds(
    points: OperatingPoints, kept: Int, moments: Moments, fp_cost: float, fn_cost: float
) -> tuple[ThresholdSolution, Int]:
    """Minimise mean cost over mixtures of any of the points, adding points as prices ask for.

    Hull vertices do not suffice where cost and rates are weighted differently. From some points,
    the cheapest of each group at the programme's prices is added until none saves anything.

    Parameters
    ----------
    points : OperatingPoints
        All points.
    kept : ndarray
        Points to start from, in order, one or more of every group.
    moments : Moments
        Rates and bounds.
    fp_cost, fn_cost : float
        Cost of a false positive and of a false negative, >= 0.

    Returns
    -------
    solution : ThresholdSolution
        The optimum over all points, with probabilities of the points kept.
    kept : ndarray
        The points kept at the end.
    """
    _, cost = points.cost(fp_cost, fn_cost)
    rates = point_rates(points, moments)
    start = points.start[:-1]
    worth = _WORTH_ADDING * max(fp_cost, fn_cost)
    while True:
        solution = solve_thresholds(points.take(kept), moments, fp_cost, fn_cost)
        priced = cost + rates.T @ solution.rate_price
        least = np.minimum.reduceat(priced, start)
        known = np.minimum.reduceat(priced[kept], np.searchsorted(kept, start))
        saving = np.flatnonzero(known - least > worth)
        if not len(saving):
            return solution, kept
        cheapest = np.flatnonzero(priced == least[points.group])
        kept = np.union1d(kept, cheapest[np.isin(points.group[cheapest], saving)])


def expected_sums(points: OperatingPoints, probability: Float) -> Float:
    """Return the expected cell sums of each group, shape ``(n_groups, 2)``."""
    sums: Float = np.add.reduceat(probability[:, None] * points.sums, points.start[:-1], axis=0)
    return sums


def point_rates(points: OperatingPoints, moments: Moments) -> sparse.csr_array:
    """Return the rate of each row under each point of its unit, shape ``(n_rows, n_points)``."""
    width = np.diff(points.start)[moments.unit]
    row = np.repeat(np.arange(len(width)), width)
    stop = np.cumsum(width)
    point = np.arange(len(row)) - np.repeat(stop - width - points.start[moments.unit], width)
    rate = moments.offset[row] + np.einsum("ij,ij->i", moments.slope[row], points.sums[point])
    start = np.concatenate([[0], stop])
    return sparse.csr_array((rate, point, start), shape=(len(width), len(points.threshold)))


def reduced_cost(
    points: OperatingPoints,
    moments: Moments,
    fp_cost: float,
    fn_cost: float,
    solution: ThresholdSolution,
) -> Float:
    """Return what each point costs, at a solution's prices, beyond the cheapest of its group."""
    _, cost = points.cost(fp_cost, fn_cost)
    priced = cost + point_rates(points, moments).T @ solution.rate_price
    least = np.minimum.reduceat(priced, points.start[:-1])
    reduced: Float = priced - least[points.group]
    return reduced


def accept_probability(score: Float, group: Int, threshold: Float, probability: Float) -> Float:
    """Return each row's probability of reaching the threshold drawn for its group.

    Parameters
    ----------
    score : ndarray of shape (n_samples,)
        Scores.
    group : ndarray of shape (n_samples,)
        Group of each row.
    threshold, probability : ndarray of shape (n_groups, n_thresholds)
        Thresholds of each group with their probabilities; a group with fewer repeats one of them
        with probability 0.
    """
    # A running sum need not end at 1 exactly; a row that reaches all thresholds must.
    accepted = np.zeros(len(score))
    for j in range(threshold.shape[1]):
        accepted += np.where(score >= threshold[group, j], probability[group, j], 0.0)
    reaches_all = score >= threshold.max(axis=1)[group]
    return np.where(reaches_all, 1.0, np.minimum(accepted, 1.0))
