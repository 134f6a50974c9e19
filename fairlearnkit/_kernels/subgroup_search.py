"""The subgroup with the largest size-weighted violation, by cheap oracles and exact sweeps.

Rows are first summed within distinct attribute values, *points*. The violation of a set of points
is ``|sum of their gains|``, with the gain of a row its weighted residual from the overall rate:
the share of the subgroup times how far its rate is from the overall one [1]_. The gains of all
points sum to zero, so that a set and its complement violate alike.

To maximise it over a rich class is a hard problem in the worst case [1]_. Each oracle is a
heuristic over its own class that returns a set and what it really sums to; the largest is kept.

References
----------
.. [1] M. Kearns, S. Neel, A. Roth, Z. S. Wu, "Preventing Fairness Gerrymandering: Auditing and
   Learning for Subgroup Fairness", ICML 2018.
.. [2] M. Kearns, S. Neel, A. Roth, Z. S. Wu, "An Empirical Study of Rich Subgroup Fairness for
   Machine Learning", FAT* 2019.
"""

from itertools import combinations
from math import comb, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Float = NDArray[np.float64]
Int = NDArray[np.intp]
Bool = NDArray[np.bool_]
# One mask of allowed levels for each column.
Box = tuple[Bool, ...]

# Classes that an ordered column is put into where all conjunctions are listed, most first, and
# the number of conjunctions at the most; the best are then polished at full resolution.
_CLASSES = (12, 8, 6, 4, 3, 2)
_BUDGET = 3_000_000
_POLISHED = 12
# Weights of a linear rule are worth a little less than nothing: keeps them finite.
_RIDGE = 1e-6
_NEWTON_STEPS = 25
# Share of all rows that a leaf has at the least: smaller ones fit noise and make rules long.
_LEAST_LEAF = 0.01


class Points(NamedTuple):
    """Distinct attribute values, and what rows with them add up to.

    Attributes
    ----------
    codes : ndarray of shape (n_points, n_columns)
        Level of each attribute, in ``0..n_levels - 1``.
    n_levels : tuple of int
        Levels of each column.
    ordered : tuple of bool
        Whether intervals of a column's levels mean something.
    design : ndarray of shape (n_points, n_features)
        Attributes as numbers, for linear rules; of similar scales.
    gain : ndarray of shape (n_points,)
        Sum of the residuals; all together sum to zero.
    above, below : ndarray of shape (n_points,)
        Sums of the positive residuals, and of minus the negative ones.
    mass : ndarray of shape (n_points,)
        Weight of the rows that the rate is taken over.
    """

    codes: Int
    n_levels: tuple[int, ...]
    ordered: tuple[bool, ...]
    design: Float
    gain: Float
    above: Float
    below: Float
    mass: Float


class Subgroup(NamedTuple):
    """A set of points, as a union of boxes or as what a linear score accepts.

    Attributes
    ----------
    oracle : str
        What found it.
    total : float
        Sum of the gains; positive where the rate is above the overall one.
    boxes : tuple of Box
        Disjoint boxes; empty for a linear rule.
    weights : ndarray of shape (n_features,)
        Of a linear rule; empty for boxes.
    threshold : float
        Points whose score is above it are in.
    """

    oracle: str
    total: float
    boxes: tuple[Box, ...] = ()
    weights: Float = np.zeros(0)
    threshold: float = 0.0

    def contains(self, codes: Int, design: Float) -> Bool:
        """Return whether points are in, shape ``(n_points,)``."""
        if not self.boxes:
            return np.asarray(design @ self.weights > self.threshold)
        found = np.zeros(len(codes), dtype=bool)
        for box in self.boxes:
            found |= inside(box, codes)
        return found


def inside(box: Box, codes: Int) -> Bool:
    """Return which points have an allowed level in every column."""
    found = np.ones(len(codes), dtype=bool)
    for j, allowed in enumerate(box):
        if not allowed.all():
            found &= allowed[codes[:, j]]
    return found


def distinct(codes: Int, n_levels: tuple[int, ...]) -> tuple[Int, Int]:
    """Return the distinct rows of codes, and the place of each row among them."""
    if prod(n_levels) < 2**62:
        number = np.ravel_multi_index(tuple(codes.T), n_levels)
        found, place = np.unique(number, return_inverse=True)
        return np.stack(np.unravel_index(found, n_levels), axis=1), place
    rows, place = np.unique(codes, axis=0, return_inverse=True)
    return rows, place.ravel()


def all_subsets_bound(gain: Float) -> float:
    """Return the largest violation of any set of points: nobody can do worse than that."""
    return float(max(gain[gain > 0].sum(), -gain[gain < 0].sum()))


def worst_subgroups(
    points: Points,
    oracles: tuple[str, ...] = ("conjunction", "linear", "tree"),
    max_depth: int = 3,
) -> list[Subgroup]:
    """Return what each oracle finds, the largest violation first.

    Parameters
    ----------
    points : Points
        Distinct attribute values.
    oracles : tuple of {"conjunction", "linear", "tree"}
        Conjunctions of a category or an interval in up to `max_depth` columns: exact where all
        can be listed, otherwise the best of coarse ones, polished. Linear thresholds: least
        squares, and logistic regression on the sign of residuals with their size as weight [2]_,
        by row and by point; each then cut where its sum is largest. Trees of depth 2 up to
        `max_depth` and at least 4, and the union of their leaves above or below.
    max_depth : int, default=3
        Columns in a conjunction at the most.

    Returns
    -------
    list of Subgroup
        One for each oracle.
    """
    found = []
    if "conjunction" in oracles:
        for depth in range(1, min(max_depth, len(points.n_levels)) + 1):
            found.append(best_conjunction(points, depth))
    if "linear" in oracles:
        found += linear_thresholds(points)
    if "tree" in oracles:
        found += [tree_leaves(points, depth) for depth in range(2, max(max_depth, 4) + 1)]
    return sorted(found, key=lambda subgroup: -abs(subgroup.total))


def sweep(score: Float, gain: Float) -> tuple[float, float]:
    """Return the threshold whose upper side has the largest absolute sum, and the sum.

    All thresholds are tried: one sort, one cumulative sum.
    """
    order = np.argsort(-score, kind="stable")
    total, sorted_score = np.cumsum(gain[order]), score[order]
    ends = np.flatnonzero(np.diff(sorted_score) < 0)
    if not len(ends):
        return -np.inf, float(total[-1])
    best = int(ends[np.argmax(np.abs(total[ends]))])
    threshold = 0.5 * (sorted_score[best] + sorted_score[best + 1])
    # Between neighbouring floats the middle may be the upper one.
    return float(min(threshold, np.nextafter(sorted_score[best], -np.inf))), float(total[best])


def linear_thresholds(points: Points) -> list[Subgroup]:
    """Return the best cuts of linear scores fitted to the residuals in several ways."""
    kept = points.mass > 0
    X, gain, mass = points.design[kept], points.gain[kept], points.mass[kept]
    fits = {
        "least squares": _least_squares(X, gain / mass, mass),
        "logistic regression": _logistic(X, points.above[kept], points.below[kept]),
        "logistic regression on points": _logistic(
            X, np.maximum(gain, 0.0), np.maximum(-gain, 0.0)
        ),
    }
    found = []
    for name, weights in fits.items():
        threshold, total = sweep(X @ weights, gain)
        found.append(Subgroup(name, total, weights=weights, threshold=threshold))
    return found


def _with_constant(X: Float) -> Float:
    return np.column_stack([X, np.ones(len(X))])


def _least_squares(X: Float, target: Float, mass: Float) -> Float:
    design = _with_constant(X)
    gram = design.T @ (mass[:, None] * design)
    gram[np.diag_indices_from(gram)] += _RIDGE * mass.sum()
    found = np.linalg.solve(gram, design.T @ (mass * target))[:-1]
    return np.asarray(found, dtype=np.float64)


def _logistic(X: Float, above: NDArray[Any], below: NDArray[Any]) -> Float:
    """Return the weights that tell `above` from `below` best, by Newton's method."""
    design = _with_constant(X)
    total = above.sum() + below.sum()
    weights: NDArray[Any] = np.zeros(design.shape[1])
    if total <= 0:
        return weights[:-1]
    above, below = np.asarray(above / total), np.asarray(below / total)
    for _ in range(_NEWTON_STEPS):
        p = expit(design @ weights)
        slope = design.T @ ((above + below) * p - above) + _RIDGE * weights
        curvature = (above + below) * np.maximum(p * (1 - p), 1e-8)
        hessian = design.T @ (curvature[:, None] * design)
        hessian[np.diag_indices_from(hessian)] += _RIDGE
        step = np.linalg.solve(hessian, slope)
        # A bounded step: any weights are a valid rule, so that a line search is not worth it.
        step *= min(1.0, 10.0 / max(float(np.abs(step).max()), 1e-300))
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return np.asarray(weights[:-1])


def _sums(place: Int, values: Float, n_places: int) -> Float:
    found: Float = np.bincount(place, values, minlength=n_places).astype(np.float64)
    return found


def best_interval(sums: Float) -> tuple[float, int, int]:
    """Return the largest sum of neighbouring numbers, and where it starts and ends (Kadane)."""
    total = np.concatenate([[0.0], np.cumsum(sums)])
    lowest = np.minimum.accumulate(total[:-1])
    end = int(np.argmax(total[1:] - lowest))
    start = int(np.argmin(total[: end + 1]))
    return float(total[end + 1] - total[start]), start, end


def best_conjunction(points: Points, depth: int) -> Subgroup:
    """Return the best conjunction of a category or an interval in each of up to `depth` columns.

    Exact where ordered columns have few enough levels for all to be listed.
    """
    n_columns = len(points.n_levels)
    n_classes = next((n for n in _CLASSES if _listed(points, depth, n) <= _BUDGET), _CLASSES[-1])
    coarse = [
        _classes(points.codes[:, j], size, points.mass, n_classes)
        if points.ordered[j]
        else np.arange(size)
        for j, size in enumerate(points.n_levels)
    ]
    codes = np.stack([coarse[j][points.codes[:, j]] for j in range(n_columns)], axis=1)
    sizes = [int(c.max()) + 1 for c in coarse]
    candidates: list[tuple[float, Box]] = []
    for columns in combinations(range(n_columns), depth):
        shape = [sizes[j] for j in columns]
        if prod(shape) > _BUDGET:
            continue
        place = np.ravel_multi_index(tuple(codes[:, j] for j in columns), shape)
        table = _sums(place, points.gain, prod(shape)).reshape(shape)
        for axis, j in enumerate(columns):
            table = _expanded(table, axis, ordered=points.ordered[j])
        for index in (int(np.argmax(table)), int(np.argmin(table))):
            at = np.unravel_index(index, table.shape)
            masks = [np.ones(size, dtype=bool) for size in points.n_levels]
            for axis, j in enumerate(columns):
                chosen = _chosen(int(at[axis]), sizes[j], ordered=points.ordered[j])
                masks[j] = chosen[coarse[j]]
            candidates.append((float(table[at]), tuple(masks)))
    candidates.sort(key=lambda candidate: -abs(candidate[0]))
    best = Subgroup("conjunction", 0.0, (tuple(np.ones(n, dtype=bool) for n in points.n_levels),))
    for total, box in candidates[:_POLISHED]:
        total, box = _polished(points, box, 1.0 if total >= 0 else -1.0, depth)
        if abs(total) > abs(best.total):
            best = Subgroup(
                f"conjunction of {depth}" if depth > 1 else "one column", total, (box,)
            )
    return best


def _listed(points: Points, depth: int, n_classes: int) -> float:
    """Return about how many conjunctions there are with so many classes per ordered column."""
    sizes = [
        min(n, n_classes) * (min(n, n_classes) + 1) / 2 if ordered else n + 1
        for n, ordered in zip(points.n_levels, points.ordered, strict=True)
    ]
    if comb(len(sizes), depth) > 20_000:
        return float("inf")
    return float(sum(prod(some) for some in combinations(sizes, depth)))


def _classes(codes: Int, n_levels: int, mass: Float, n_classes: int) -> Int:
    """Return a class for each level: about equal weights, in order; all levels if few."""
    if n_levels <= n_classes:
        return np.arange(n_levels)
    by_level = np.bincount(codes, mass, minlength=n_levels)
    middle = (np.cumsum(by_level) - 0.5 * by_level) / max(float(by_level.sum()), 1e-300)
    found = np.minimum((middle * n_classes).astype(np.intp), n_classes - 1)
    return np.unique(found, return_inverse=True)[1]


def _expanded(table: Float, axis: int, *, ordered: bool) -> Float:
    """Return sums over every interval of an axis, or over each level and over all."""
    if not ordered:
        return np.concatenate([table, table.sum(axis=axis, keepdims=True)], axis=axis)
    start, end = np.triu_indices(table.shape[axis])
    total = np.concatenate([np.zeros_like(table.take([0], axis)), table.cumsum(axis)], axis=axis)
    return np.asarray(total.take(end + 1, axis) - total.take(start, axis))


def _chosen(index: int, n_levels: int, *, ordered: bool) -> Bool:
    """Return the levels that an index of an expanded axis stands for."""
    found = np.zeros(n_levels, dtype=bool)
    if not ordered:
        found[index if index < n_levels else slice(None)] = True
        return found
    start, end = np.triu_indices(n_levels)
    found[start[index] : end[index] + 1] = True
    return found


def _polished(points: Points, box: Box, sign: float, depth: int) -> tuple[float, Box]:
    """Return a box that no change of one column improves, and its sum: coordinate ascent."""
    gain = sign * points.gain
    current = list(box)
    best = float(gain[inside(box, points.codes)].sum())
    improved = True
    while improved:
        improved = False
        for j in range(len(current)):
            constrained = sum(not allowed.all() for allowed in current)
            if current[j].all() and constrained >= depth:
                continue
            free = [*current]
            free[j] = np.ones_like(current[j])
            rows = inside(tuple(free), points.codes)
            sums = _sums(points.codes[rows, j], gain[rows], len(current[j]))
            if points.ordered[j]:
                value, start, end = best_interval(sums)
                allowed = np.zeros_like(current[j])
                allowed[start : end + 1] = True
            else:
                level, everything = int(np.argmax(sums)), float(sums.sum())
                value = max(float(sums[level]), everything)
                allowed = np.ones_like(current[j])
                if sums[level] >= everything:
                    allowed[:] = False
                    allowed[level] = True
            if value > best + 1e-12:
                best, current[j], improved = value, allowed, True
    return sign * best, tuple(current)


def tree_leaves(points: Points, depth: int) -> Subgroup:
    """Return the leaves of a regression tree that are above the overall rate, or those below.

    Grown greedily by the sum of squares of residuals. As gains sum to zero both unions violate
    alike: the one with fewer leaves is easier to read.
    """
    kept = np.flatnonzero(points.mass > 0)
    everything = tuple(np.ones(n, dtype=bool) for n in points.n_levels)
    leaves = _grown(points, kept, everything, depth)
    above = _merged([box for box, total in leaves if total > 0], points.ordered)
    below = _merged([box for box, total in leaves if total <= 0], points.ordered)
    total = sum(total for _, total in leaves if total > 0)
    if not above or (below and len(below) < len(above)):
        return Subgroup(f"tree of depth {depth}", -float(total), tuple(below))
    return Subgroup(f"tree of depth {depth}", float(total), tuple(above))


def _merged(boxes: list[Box], ordered: tuple[bool, ...]) -> list[Box]:
    """Return as few boxes with the same union: two that differ in one column become one."""
    boxes = list(boxes)
    pairs = combinations(range(len(boxes)), 2)
    while (pair := next(pairs, None)) is not None:
        first, second = boxes[pair[0]], boxes[pair[1]]
        differ = [j for j, masks in enumerate(zip(first, second, strict=True)) if _unlike(*masks)]
        if len(differ) != 1:
            continue
        j = differ[0]
        union = first[j] | second[j]
        if ordered[j] and np.ptp(np.flatnonzero(union)) + 1 > union.sum():
            continue  # not an interval
        boxes[pair[0]] = (*first[:j], union, *first[j + 1 :])
        del boxes[pair[1]]
        pairs = combinations(range(len(boxes)), 2)
    return boxes


def _unlike(one: Bool, other: Bool) -> bool:
    return not np.array_equal(one, other)


def _grown(points: Points, rows: Int, box: Box, depth: int) -> list[tuple[Box, float]]:
    """Return the leaves of a box with their sums; those of one sign side by side are one leaf."""
    gain, mass = points.gain[rows], points.mass[rows]
    split = _best_split(points, rows, gain, mass) if depth else None
    if split is None:
        return [(box, float(gain.sum()))]
    j, left = split
    leaves = []
    for side in (left, ~left):
        part = (*box[:j], box[j] & side, *box[j + 1 :])
        leaves += _grown(points, rows[side[points.codes[rows, j]]], part, depth - 1)
    if len({total > 0 for _, total in leaves}) == 1:
        return [(box, sum(total for _, total in leaves))]
    return leaves


def _best_split(points: Points, rows: Int, gain: Float, mass: Float) -> tuple[int, Bool] | None:
    """Return column and levels of the split with the largest sum of squares between."""
    total, weight = gain.sum(), mass.sum()
    least = _LEAST_LEAF * points.mass.sum()
    best, found = total**2 / weight + 1e-12 * weight, None
    for j, n_levels in enumerate(points.n_levels):
        codes = points.codes[rows, j]
        sums = np.bincount(codes, gain, minlength=n_levels)
        weights = np.bincount(codes, mass, minlength=n_levels)
        if points.ordered[j]:
            sums, weights = np.cumsum(sums), np.cumsum(weights)
        rest = weight - weights
        splits = np.minimum(weights, rest) >= least
        if not splits.any():
            continue
        safe, safe_rest = np.where(splits, weights, 1.0), np.where(splits, rest, 1.0)
        between = np.where(splits, sums**2 / safe + (total - sums) ** 2 / safe_rest, -np.inf)
        level = int(np.argmax(between))
        if between[level] > best:
            best = float(between[level])
            left = np.arange(n_levels) <= level
            found = j, left if points.ordered[j] else np.arange(n_levels) == level
    return found
