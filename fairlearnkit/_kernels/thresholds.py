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

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import isotonic_regression

from fairlearnkit._kernels.linear_program import (
    LinearProgram,
    ProgramSolution,
    solve_linear_program,
)
from fairlearnkit._kernels.moments import (
    Moments,
    group_rates,
    objective,
    row_form,
    violations,
)
from fairlearnkit.exceptions import SolverError

Float = NDArray[np.float64]
Int = NDArray[np.intp]

# What a solution may exceed a bound by, in rate, after its rates are computed anew.
FEASIBILITY = 1e-9
# A probability that is zero but for rounding: it moves no rate by more than this.
_NO_PROBABILITY = 1e-12


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
        Weight of the false and of the true positives.
    """

    start: Int
    threshold: Float
    sums: Float

    @property
    def mass(self) -> Float:
        """Weight in each cell, shape ``(n_groups, 2)``: what accepting all accepts."""
        return self.sums[self.start[1:] - 1]

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
    multipliers : ndarray of shape (n_rows,)
        Signed price of each row's rate: that of its upper bound minus that of its lower bound.
    bound_price : ndarray of shape (n_events,)
        What one more unit of each event's difference bound saves; 0 for ratios.
    reduced_cost : callable
        ``OperatingPoints -> ndarray of shape (n_points,)``: what each point costs at these prices
        beyond the cheapest of its group, never negative (to the solver's tolerance).
    """

    probability: Float
    sums: Float
    cost: float
    multipliers: Float
    bound_price: Float
    reduced_cost: Callable[[OperatingPoints], Float]


def operating_points(
    score: Float,
    positive: NDArray[np.bool_],
    group: Int,
    sample_weight: Float | None,
    n_groups: int,
    *,
    hull_only: bool,
) -> OperatingPoints:
    """Return the thresholds of every group, all of them or those on its upper and lower hull.

    Parameters
    ----------
    score : ndarray of shape (n_samples,)
        Finite scores.
    positive : ndarray of shape (n_samples,)
        Whether the label is the positive one.
    group : ndarray of shape (n_samples,)
        Group of each sample, in ``0..n_groups - 1``; every group has a sample.
    sample_weight : ndarray of shape (n_samples,) or None
        Positive weights.
    n_groups : int
        Number of groups.
    hull_only : bool
        Whether to keep the hull vertices alone: all that randomised thresholds need.

    Notes
    -----
    One sort by group, one sort by score within each group and two linear passes of
    pool-adjacent-violators [2]_: O(n log n) time, O(n) memory.
    """
    thresholds, sums = [], []
    for rows in _rows_by_group(group, n_groups):
        weight = None if sample_weight is None else sample_weight[rows]
        group_threshold, group_sums = _roc(score[rows], positive[rows], weight)
        if hull_only:
            vertices = _hull(group_sums)
            group_threshold, group_sums = group_threshold[vertices], group_sums[vertices]
        thresholds.append(group_threshold)
        sums.append(group_sums)
    start = np.concatenate([[0], np.cumsum([len(t) for t in thresholds])])
    return OperatingPoints(start, np.concatenate(thresholds), np.concatenate(sums))


def _rows_by_group(group: Int, n_groups: int) -> Iterator[Int]:
    """Yield the rows of each group, after one linear-time sort."""
    narrow = group.astype(np.int16) if n_groups <= 2**15 else group
    order = np.argsort(narrow, kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(group, minlength=n_groups))[:-1])


def _roc(score: Float, positive: NDArray[np.bool_], weight: Float | None) -> tuple[Float, Float]:
    """Return all thresholds of one group and their cell sums; tied scores give one threshold."""
    order = np.argsort(score)[::-1]
    score, positive = score[order], positive[order]
    last = np.append(np.flatnonzero(score[:-1] != score[1:]), len(score) - 1)
    sums = np.zeros((len(last) + 1, 2))
    if weight is None:
        sums[1:, 1] = np.cumsum(positive)[last]
        sums[1:, 0] = last + 1 - sums[1:, 1]
    else:
        weight = weight[order]
        sums[1:, 0] = np.cumsum(np.where(positive, 0.0, weight))[last]
        sums[1:, 1] = np.cumsum(np.where(positive, weight, 0.0))[last]
    above, below = score[last[:-1]], score[last[:-1] + 1]
    middle = above / 2 + below / 2
    threshold = np.empty(len(sums))
    threshold[0], threshold[-1] = np.inf, -np.inf
    # Between neighbouring floats the midpoint may round down to the lower score.
    threshold[1:-1] = np.where(middle > below, middle, above)
    return threshold, sums


def _hull(sums: Float) -> Int:
    """Return the points on the upper or the lower hull of one group, in order.

    The slope of a hull is monotone in the share of positives between neighbouring vertices, so
    that each hull is the isotonic regression of those shares along the thresholds [2]_.
    """
    step = np.diff(sums, axis=0)
    mass = step.sum(axis=1)
    # A weight far below the sum before it leaves no trace in the sum: no step, no vertex.
    moved = np.flatnonzero(mass > 0)
    share, mass = step[moved, 1] / mass[moved], mass[moved]
    upper = isotonic_regression(share, weights=mass, increasing=False).blocks
    lower = isotonic_regression(share, weights=mass, increasing=True).blocks
    point = np.append(moved, len(sums) - 1)
    return np.union1d(point[upper], point[lower])


def solve_thresholds(
    points: OperatingPoints, moments: Moments, fp_cost: float, fn_cost: float
) -> ThresholdSolution:
    """Minimise mean cost over mixtures of operating points within each group.

    ``min_b sum_v b_v cost_v`` subject to ``sum_{v in g} b_v = 1`` for every group and, for every
    rate of the moments, the two inequalities of `row_form`; b >= 0 and one free level per event.

    Parameters
    ----------
    points : OperatingPoints
        Hull vertices (or any larger set of points).
    moments : Moments
        Rates and bounds, with ``points.mass`` as their mass.
    fp_cost, fn_cost : float
        Cost of a false positive and of a false negative, >= 0.

    Raises
    ------
    SolverError
        If the solver fails, or a rate of its answer is beyond its bound by more than 1e-9.
    """
    program = _program(points, moments, fp_cost, fn_cost)
    solution = solve_linear_program(program)
    group = points.group
    probability = solution.x[: len(group)]
    probability = np.where(probability > _NO_PROBABILITY, probability, 0.0)
    probability /= np.bincount(group, probability)[group]
    sums = expected_sums(points, probability)
    excess = violations(moments, group_rates(moments, sums)).max(initial=-np.inf)
    if excess > FEASIBILITY:
        msg = (
            f"The solver's answer is beyond the bound by {excess:.2g} in rate, more than "
            f"{FEASIBILITY:g}."
        )
        raise SolverError(msg)

    def reduced_cost(other: OperatingPoints) -> Float:
        return _reduced_cost(_program(other, moments, fp_cost, fn_cost), solution, other)

    scale = max(fp_cost, fn_cost)
    form = row_form(moments)
    upper, lower = scale * solution.price.reshape(2, -1)
    saved = upper + np.where(moments.to_overall[moments.event], lower, 0.0)
    constant, slope = objective(points.mass, fp_cost, fn_cost)
    return ThresholdSolution(
        probability=probability,
        sums=sums,
        cost=float(constant + (sums @ slope).sum()),
        multipliers=form.upper_rate[moments.event] * upper - lower,
        bound_price=np.where(
            moments.is_ratio, 0.0, np.bincount(moments.event, saved, minlength=moments.n_events)
        ),
        reduced_cost=reduced_cost,
    )


def expected_sums(points: OperatingPoints, probability: Float) -> Float:
    """Return the expected cell sums of each group, shape ``(n_groups, 2)``."""
    sums: Float = np.add.reduceat(probability[:, None] * points.sums, points.start[:-1], axis=0)
    return sums


def point_rates(points: OperatingPoints, moments: Moments) -> tuple[Int, Int, Float]:
    """Return every row of the moments with every point of its unit, and the rate that it gives.

    Returns
    -------
    row, point : ndarray of shape (n_pairs,)
        Row of the moments and operating point.
    rate : ndarray of shape (n_pairs,)
        The rate of that row under that point.
    """
    width = np.diff(points.start)[moments.unit]
    row = np.repeat(np.arange(len(width)), width)
    first = np.cumsum(width) - width
    point = np.arange(len(row)) - np.repeat(first - points.start[moments.unit], width)
    rate = moments.offset[row] + np.einsum("ij,ij->i", moments.slope[row], points.sums[point])
    return row, point, rate


def _program(
    points: OperatingPoints, moments: Moments, fp_cost: float, fn_cost: float
) -> LinearProgram:
    """Return the programme; its cost is in units of the larger of the two costs."""
    n_points, n_rows, n_events = len(points.threshold), len(moments.unit), moments.n_events
    n_groups = len(points.start) - 1
    event, form = moments.event, row_form(moments)

    row, point, rate = point_rates(points, moments)

    def rows(rate_factor: Float, level_factor: Float) -> sparse.csr_array:
        values = np.concatenate([rate_factor[event][row] * rate, level_factor[event]])
        i = np.concatenate([row, np.arange(n_rows)])
        j = np.concatenate([point, n_points + event])
        return sparse.csr_array((values, (i, j)), shape=(n_rows, n_points + n_events))

    tied = form.tied[event]
    level = sparse.csr_array(
        (form.tied * -1.0, (np.arange(n_events), n_points + np.arange(n_events))),
        shape=(n_events, n_points + n_events),
    )
    share = sparse.csr_array(
        (np.where(tied, moments.share, 0.0), (event, np.arange(n_rows))), shape=(n_events, n_rows)
    )
    one, zero = np.ones(n_events), np.zeros(n_events)
    overall = (share @ rows(one, zero) + level)[np.flatnonzero(form.tied)]
    one_each = sparse.csr_array(
        (np.ones(n_points), (points.group, np.arange(n_points))),
        shape=(n_groups, n_points + n_events),
    )
    upper = sparse.vstack(
        [rows(form.upper_rate, -form.upper_level), rows(-one, form.lower_level)], format="csr"
    )
    _, slope = objective(points.mass, fp_cost, fn_cost)
    return LinearProgram(
        cost=np.append(points.sums @ slope / max(fp_cost, fn_cost), zero),
        upper=upper,
        bound=np.concatenate([form.upper_slack[event], form.lower_slack[event]]),
        equal=sparse.vstack([one_each, overall], format="csr"),
        value=np.concatenate([np.ones(n_groups), np.zeros(overall.shape[0])]),
        n_free=n_events,
    )


def _reduced_cost(
    program: LinearProgram, solution: ProgramSolution, points: OperatingPoints
) -> Float:
    priced = (
        program.cost + program.upper.T @ solution.price - program.equal.T @ solution.equal_price
    )
    cost: Float = priced[: len(points.threshold)]
    return cost - np.minimum.reduceat(cost, points.start[:-1])[points.group]


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
