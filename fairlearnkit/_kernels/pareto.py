"""Points that trade a score against a disparity: the best of them, and what mixtures attain.

Scores are to be large and disparities small. A mixture of models decides by one of them drawn at
random; its group rates are the mixture of theirs, and its disparity follows from the mixed rates.
Joining points in the (disparity, score) plane is wrong both ways: gaps of opposite sign cancel,
and ratios are not linear.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairlearnkit._kernels.linear_program import LinearProgram, solve_linear_program
from fairlearnkit._kernels.moments import Moments, differences, ratios, units_compared

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

# A knee nearer to the chord than this, on axes scaled to [0, 1], is none.
_FLAT = 0.05
# Shares tried of each of two models, where no linear programme has the answer.
_N_SHARES = 201
# A weight that is zero but for rounding.
_NO_WEIGHT = 1e-9
# What a disparity may exceed a bound by and count as equal to it: rounding.
SAME = 1e-9


def non_dominated(score: Float, disparity: Float) -> Bool:
    """Return which points no other point beats.

    A point is beaten by one that is as good in both respects and better in one; equal points do
    not beat each other.

    Parameters
    ----------
    score, disparity : ndarray of shape (n_points,)
        Score, the larger the better, and disparity, the smaller the better.

    Returns
    -------
    ndarray of shape (n_points,)
        True for the staircase.
    """
    order = np.lexsort((-score, disparity))
    s, d = score[order], disparity[order]
    # The best score at a strictly smaller disparity, and the best at the same one.
    best = np.maximum.accumulate(s)
    first = np.searchsorted(d, d, side="left")
    before = np.where(first > 0, best[first - 1], -np.inf)
    kept = np.empty(len(s), dtype=bool)
    kept[order] = (s > before) & (s == s[first])
    return kept


def hypervolume(
    score: Float, disparity: Float, reference_score: float, reference_disparity: float
) -> float:
    """Return the area between the staircase and a reference point, in score times disparity.

    Parameters
    ----------
    score, disparity : ndarray of shape (n_points,)
        The points.
    reference_score, reference_disparity : float
        Lowest score and largest disparity of interest; points beyond them add nothing.

    Returns
    -------
    float
        Area of the union of the rectangles that the points span with the reference, >= 0.
    """
    inside = (score > reference_score) & (disparity < reference_disparity)
    s, d = score[inside], disparity[inside]
    order = np.lexsort((-s, d))
    best = np.maximum.accumulate(s[order])
    width = np.diff(np.append(d[order], reference_disparity))
    return float(((best - reference_score) * width).sum())


def knee(score: Float, disparity: Float) -> int | None:
    """Return the point where the trade-off bends most: the farthest above the chord.

    Parameters
    ----------
    score, disparity : ndarray of shape (n_points,)
        The points; only those that no other beats count, on axes scaled to [0, 1].

    Returns
    -------
    int or None
        Index of the point; None where it is less than 0.05 above the chord, that is, where the
        trade-off is about a straight line.
    """
    candidates = np.flatnonzero(non_dominated(score, disparity))
    s, d = score[candidates], disparity[candidates]
    if np.ptp(s) == 0 or np.ptp(d) == 0:
        return None
    above = ((s - s.min()) / np.ptp(s) - (d - d.min()) / np.ptp(d)) / np.sqrt(2)
    best = int(above.argmax())
    return int(candidates[best]) if above[best] >= _FLAT else None


def disparities(moments: Moments, rates: Float) -> Float:
    """Return the largest difference, or the smallest ratio, over all events.

    Parameters
    ----------
    moments : Moments
        Of one criterion with one kind of bound, with an event that compares two units or more.
    rates : ndarray of shape (..., n_rows)
        Rates of any number of rules.

    Returns
    -------
    ndarray of shape (...)
        Disparity of each.
    """
    # Events that compare nothing are NaN, which both pass over.
    worst: Float
    if moments.is_ratio.any():
        worst = np.fmin.reduce(ratios(moments, rates), axis=-1)
    else:
        worst = np.fmax.reduce(differences(moments, rates), axis=-1)
    return worst


class Mixture(NamedTuple):
    """A mixture of models.

    Attributes
    ----------
    weight : ndarray of shape (n_models,)
        Share of each, summing to 1.
    score : float
        Its expected score.
    disparity : float
        Its disparity, the mean over folds.
    price : float
        Score gained per unit of disparity allowed beyond it; NaN where it is not known.
    """

    weight: Float
    score: float
    disparity: float
    price: float


def best_mixture(
    score: Float, moments: Sequence[Moments], rates: Sequence[Float], bound: float
) -> Mixture | None:
    """Return the mixture with the best score within a bound on its mean disparity over folds.

    For differences exact over mixtures of any number of models, by a linear programme with the
    disparity of each fold as a variable. The mean of ratios is not concave in the shares: there
    all pairs of models are searched, in steps of 0.005 in the share.

    Parameters
    ----------
    score : ndarray of shape (n_models,)
        Expected score of each model; linear in the shares.
    moments : sequence of Moments, one per fold
        The rates compared, each of one criterion with one kind of bound.
    rates : sequence of ndarray of shape (n_models, n_rows), one per fold
        Group rates of each model.
    bound : float
        Largest mean difference, or smallest mean ratio, allowed.

    Returns
    -------
    Mixture or None
        None where no mixture is within the bound.
    """
    return best_mixtures(score, moments, rates, [bound])[0]


def best_mixtures(
    score: Float, moments: Sequence[Moments], rates: Sequence[Float], bounds: Sequence[float]
) -> list[Mixture | None]:
    """Return the best mixture within each of several bounds; see `best_mixture`.

    Parameters
    ----------
    score : ndarray of shape (n_models,)
        Expected score of each model.
    moments : sequence of Moments, one per fold
        The rates compared.
    rates : sequence of ndarray of shape (n_models, n_rows), one per fold
        Group rates of each model.
    bounds : sequence of float
        Largest mean difference, or smallest mean ratio, allowed.

    Returns
    -------
    list of Mixture or None
        None where no mixture is within the bound.
    """
    if moments[0].is_ratio.any():
        pairs = _pairs(moments, rates)
        return [_best_pair(score, pairs, bound) for bound in bounds]
    reached = least_disparity(moments, rates)
    # The solver's tolerances are absolute: scores of order one.
    unit = np.abs(score).max() or 1.0
    found: list[Mixture | None] = []
    for bound in bounds:
        if reached > bound + SAME:
            found.append(None)
            continue
        # At the very least disparity, rounding must not make the programme infeasible.
        weight, price = _solve(score / unit, moments, rates, max(bound, reached + 1e-12))
        disparity = mean_disparity(weight, moments, rates)
        found.append(Mixture(weight, float(weight @ score), disparity, unit * price))
    return found


def least_disparity(moments: Sequence[Moments], rates: Sequence[Float]) -> float:
    """Return the best mean disparity over folds of any mixture; of pairs for ratios.

    Parameters
    ----------
    moments : sequence of Moments, one per fold
        The rates compared.
    rates : sequence of ndarray of shape (n_models, n_rows), one per fold
        Group rates of each model.

    Returns
    -------
    float
        Smallest difference or largest ratio.
    """
    if moments[0].is_ratio.any():
        return max(float(found.max()) for _, _, found in _pairs(moments, rates))
    least, _ = _solve(np.zeros(len(rates[0])), moments, rates, None)
    return mean_disparity(least, moments, rates)


def mean_disparity(weight: Float, moments: Sequence[Moments], rates: Sequence[Float]) -> float:
    """Return the mean over folds of the disparity of a mixture: that of the mixed rates.

    Parameters
    ----------
    weight : ndarray of shape (n_models,)
        Share of each model.
    moments : sequence of Moments, one per fold
        The rates compared.
    rates : sequence of ndarray of shape (n_models, n_rows), one per fold
        Group rates of each model.

    Returns
    -------
    float
        Largest difference or smallest ratio, averaged.
    """
    return float(
        np.mean([disparities(m, weight @ r) for m, r in zip(moments, rates, strict=True)])
    )


def _solve(
    score: Float, moments: Sequence[Moments], rates: Sequence[Float], bound: float | None
) -> tuple[Float, float]:
    """Return shares, and the price of the bound; without a bound the least disparity.

    Variables: a share per model, a disparity D per fold, and the lowest and highest rate of every
    event (l, u), all >= 0. For each rate r: r <= u, l <= r, u - l <= D; to overall:
    -D <= r - overall <= D.
    """
    n_models, n_folds = len(score), len(moments)
    n_events = sum(m.n_events for m in moments)
    n = n_models + n_folds + 2 * n_events
    mean = np.zeros((1, n))
    mean[0, n_models : n_models + n_folds] = 1 / n_folds
    blocks = [mean] if bound is not None else []
    first = n_models + n_folds
    for fold, (m, r) in enumerate(zip(moments, rates, strict=True)):
        kept = (units_compared(m) > 1)[m.event]
        event, row = m.event[kept], np.arange(kept.sum())
        overall = np.zeros((m.n_events, n_models))
        np.add.at(overall, m.event, (m.share * r).T)
        tied = m.to_overall[event]
        value = r.T[kept] - np.where(tied[:, None], overall[event], 0.0)
        above, below = np.zeros((len(row), n)), np.zeros((len(row), n))
        above[:, :n_models], below[:, :n_models] = value, -value
        above[row[tied], n_models + fold] = below[row[tied], n_models + fold] = -1
        above[row[~tied], first + 2 * event[~tied] + 1] = -1
        below[row[~tied], first + 2 * event[~tied]] = 1
        width = np.zeros((m.n_events, n))
        every = np.arange(m.n_events)
        width[every, first + 2 * every] = -1
        width[every, first + 2 * every + 1] = 1
        width[every, n_models + fold] = -1
        blocks += [above, below, width]
        first += 2 * m.n_events
    upper = sparse.csr_array(np.vstack(blocks))
    limit = np.zeros(upper.shape[0])
    cost = np.zeros(n)
    if bound is None:
        cost = mean[0]
    else:
        limit[0] = bound
        cost[:n_models] = -score
    one = np.zeros((1, n))
    one[0, :n_models] = 1
    solution = solve_linear_program(
        LinearProgram(cost, upper, limit, sparse.csr_array(one), np.ones(1), 0)
    )
    weight = np.where(solution.x[:n_models] > _NO_WEIGHT, solution.x[:n_models], 0.0)
    return weight / weight.sum(), float(solution.price[0])


def _pairs(moments: Sequence[Moments], rates: Sequence[Float]) -> list[tuple[int, int, Float]]:
    """Return the mean disparity of mixtures of every two models, by the share of the first."""
    n_models, share = len(rates[0]), np.linspace(0, 1, _N_SHARES)[:, None]
    pairs = [(i, j) for i in range(n_models) for j in range(i + 1, n_models)] or [(0, 0)]
    found = []
    for i, j in pairs:
        by_fold = [
            disparities(m, share * r[i] + (1 - share) * r[j])
            for m, r in zip(moments, rates, strict=True)
        ]
        found.append((i, j, np.mean(by_fold, axis=0)))
    return found


def _best_pair(
    score: Float, pairs: Sequence[tuple[int, int, Float]], bound: float
) -> Mixture | None:
    share = np.linspace(0, 1, _N_SHARES)
    best = None
    for i, j, ratio in pairs:
        mixed = np.where(ratio >= bound - SAME, share * score[i] + (1 - share) * score[j], -np.inf)
        k = int(mixed.argmax())
        if mixed[k] > (best.score if best else -np.inf):
            weight = np.zeros(len(score))
            weight[i] += share[k]
            weight[j] += 1 - share[k]
            best = Mixture(weight, float(mixed[k]), float(ratio[k]), np.nan)
    return best
