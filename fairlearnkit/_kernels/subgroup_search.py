"""The subgroup with the largest size-weighted violation, by cheap oracles and exact sweeps.

Rows are first summed within distinct attribute values, *points*. The violation of a set of points
is ``|sum of their gains|``, with the gain of a row its weighted residual from the overall rate:
the share of the subgroup times how far its rate is from the overall one [1]_. The gains of all
points sum to zero, so that a set and its complement violate alike.

To maximise it over a rich class is a hard problem in the worst case [1]_. Each oracle is a
heuristic over its own class that returns sets and what they really sum to.

Large sets have large violations by chance alone: where little can be found, noise in half of the
rows beats a real subgroup of a few percent. Every oracle therefore looks for a second set, with
the largest *evidence*: the likelihood ratio of two rates against one, known from scan statistics
[3]_. Both aims are convex in (mass, total) of a set, so that a threshold in the order of the
rates is best where any union may be taken, and a linearisation climbs. Cross-validation then
tells what each search is worth on rows that it has not seen.

References
----------
.. [1] M. Kearns, S. Neel, A. Roth, Z. S. Wu, "Preventing Fairness Gerrymandering: Auditing and
   Learning for Subgroup Fairness", ICML 2018.
.. [2] M. Kearns, S. Neel, A. Roth, Z. S. Wu, "An Empirical Study of Rich Subgroup Fairness for
   Machine Learning", FAT* 2019.
.. [3] M. Kulldorff, "A Spatial Scan Statistic", Communications in Statistics 26, 1997.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from math import comb, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit, ndtri, xlogy

Float = NDArray[np.float64]
Int = NDArray[np.intp]
Bool = NDArray[np.bool_]
# One mask of allowed levels for each column.
Box = tuple[Bool, ...]

# What a set is looked for: its violation, or the evidence that its rate is another.
AIMS = ("violation", "evidence")
# Classes that an ordered column is put into where conjunctions are listed, most first, and the
# number of conjunctions of one depth at the most; the best are then polished at full resolution.
_CLASSES = (12, 8, 6, 4, 3, 2)
_BUDGET = 1_000_000
_POLISHED = 12
# Sets of columns of one depth; of more, only those that extend the best of the depth before.
_MOST_SETS = 1000
# Weights of a linear rule are worth a little less than nothing: keeps them finite.
_RIDGE = 1e-6
_NEWTON_STEPS = 25
# Indicators of a column in linear rules; rarer categories share one.
_MOST_INDICATORS = 50
# Features up to which dense arithmetic is the faster one.
_MOST_DENSE = 60
# Share of all rows that a leaf has at the least: smaller ones fit noise and make rules long.
_LEAST_LEAF = 0.01
# Evidence of fewer rows, as a share, is not looked for: a single rare event would be some.
_LEAST_SHARE = 0.005
# Linearisations of the evidence while a box is polished; two or three do.
_STEPS = 20
# Worth that is rounding.
_NOTHING = 1e-12
# Rules with more conditions have to be better than shorter ones by a standard error.
_MOST_CONDITIONS = 6


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
    numbers : ndarray of shape (n_points, n_columns)
        Values of ordered columns, of similar scales; 0 in others.
    mass : ndarray of shape (n_points,)
        Weight of the rows that the rate is taken over, as a share of all weight.
    total : ndarray of shape (n_points,)
        The same times the rows' values, which are in [0, 1].
    """

    codes: Int
    n_levels: tuple[int, ...]
    ordered: tuple[bool, ...]
    numbers: Float
    mass: Float
    total: Float

    @property
    def rate(self) -> float:
        """Overall rate."""
        return float(self.total.sum() / self.mass.sum())

    @property
    def gain(self) -> Float:
        """Sum of the residuals from the overall rate, by point; all together are zero."""
        return np.asarray(self.total - self.rate * self.mass)


class Subgroup(NamedTuple):
    """A set of points, as a union of boxes or as what an additive score accepts.

    Attributes
    ----------
    oracle : str
        What found it.
    total : float
        Sum of the gains; positive where the rate is above the overall one.
    boxes : tuple of Box
        Disjoint boxes; empty for a linear rule.
    terms : tuple of ndarray
        Of a linear rule, per column: the slope of an ordered one, shape (1,), or the worth of
        each level beside the largest one, shape (n_levels,); empty for boxes.
    threshold : float
        Points whose score is above it are in.
    """

    oracle: str
    total: float
    boxes: tuple[Box, ...] = ()
    terms: tuple[Float, ...] = ()
    threshold: float = 0.0

    @property
    def n_conditions(self) -> int:
        """How many conditions or terms it takes to tell."""
        if self.terms:
            return sum(int(np.count_nonzero(np.unique(term))) for term in self.terms)
        return sum(not allowed.all() for box in self.boxes for allowed in box)

    def contains(self, codes: Int, numbers: Float) -> Bool:
        """Return whether points are in, shape ``(n_points,)``."""
        if self.terms:
            return np.asarray(additive_score(self.terms, codes, numbers) > self.threshold)
        found = np.zeros(len(codes), dtype=bool)
        for box in self.boxes:
            found |= inside(box, codes)
        return found


class Found(NamedTuple):
    """What one search found, and what such a search is worth on rows it has not seen.

    Attributes
    ----------
    subgroup : Subgroup
        Found on all rows of the search.
    aim : {"violation", "evidence"}
        What it was looked for by.
    expected : float
        Cross-validated violation: of what was found without the rows that it is measured on.
    error : float
        Its standard error.
    """

    subgroup: Subgroup
    aim: str
    expected: float
    error: float


def inside(box: Box, codes: Int) -> Bool:
    """Return which points have an allowed level in every column."""
    found = np.ones(len(codes), dtype=bool)
    for j, allowed in enumerate(box):
        if not allowed.all():
            found &= allowed[codes[:, j]]
    return found


def additive_score(terms: Sequence[Float], codes: Int, numbers: Float) -> Float:
    """Return the score of a linear rule, shape ``(n_points,)``."""
    score = np.zeros(len(codes))
    for j, term in enumerate(terms):
        score += term[0] * numbers[:, j] if len(term) == 1 else term[codes[:, j]]
    return score


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


def evidence(mass: Any, total: Any, whole: tuple[float, float]) -> Float:
    """Return the log-likelihood ratio of two rates against one, per unit of weight.

    Parameters
    ----------
    mass, total : ndarray
        Of sets, any shape.
    whole : tuple of float
        Mass and total of all points.

    Returns
    -------
    ndarray
        At least 0, convex in (mass, total); ``-inf`` where set or complement is too small.
    """
    mass, total = np.asarray(mass), np.asarray(total)
    found = np.full(mass.shape, -np.inf)
    large = np.minimum(mass, whole[0] - mass) >= _LEAST_SHARE * whole[0]
    mass, total = mass[large], total[large]
    both = _entropy(mass, total) + _entropy(whole[0] - mass, whole[1] - total)
    found[large] = both - _entropy(*whole)
    return found


def _entropy(mass: Any, total: Any) -> Float:
    """Return the largest log-likelihood of a mass of which a total is positive."""
    total = np.clip(total, 0.0, np.maximum(mass, 0.0))
    return np.asarray(xlogy(total, total) + xlogy(mass - total, mass - total) - xlogy(mass, mass))


def worth(aim: str, mass: Any, total: Any, whole: tuple[float, float]) -> Float:
    """Return what sets are looked for by: their violation, or the evidence."""
    if aim == "violation":
        return np.asarray(np.abs(total - whole[1] / whole[0] * mass))
    return evidence(mass, total, whole)


def _whole(points: Points) -> tuple[float, float]:
    return float(points.mass.sum()), float(points.total.sum())


def search(
    points: Points,
    folds: Sequence[tuple[Float, Float]],
    unit: float,
    oracles: tuple[str, ...] = ("conjunction", "linear", "tree"),
    max_depth: int = 3,
    confidence: float = 0.95,
) -> tuple[list[Found], list[str]]:
    """Return what each oracle finds, first what most surely violates most on unseen rows.

    Parameters
    ----------
    points : Points
        Distinct attribute values.
    folds : sequence of (mass, total)
        Mass and total of the points in each fold, shape ``(n_points,)`` each.
    unit : float
        Sum of the squared weights of rows over the sum of their weights.
    oracles : tuple of {"conjunction", "linear", "tree"}
        As in `worst_subgroups`.
    max_depth : int, default=3
        Columns in a conjunction at the most.
    confidence : float, default=0.95
        Of the limits that the order is by.

    Returns
    -------
    found : list of Found
        Two for each oracle, one for each aim. First those that violate by more than nothing at
        simultaneous confidence, by how much; then the others, by significance. Long rules have
        to be better by a standard error.
    limits : list of str
        What was left out to keep the work bounded.
    """
    found, limits = worst_subgroups(points, oracles, max_depth)
    expected, variance = dict.fromkeys(found, 0.0), dict.fromkeys(found, 0.0)
    for fold, (mass, total) in enumerate(folds):
        # Summed anew: a difference would leave rounding where there are no rows.
        others = [part for k, part in enumerate(folds) if k != fold]
        seen = points._replace(
            mass=np.sum([m for m, _ in others], axis=0),
            total=np.sum([t for _, t in others], axis=0),
        )
        if not (mass.sum() > 0 and seen.mass.sum() > 0):
            continue
        held = points._replace(mass=mass, total=total)
        gain, size, rate = held.gain, mass.sum(), held.rate
        for key, subgroup in worst_subgroups(seen, oracles, max_depth)[0].items():
            members = subgroup.contains(points.codes, points.numbers)
            share = mass[members].sum() / size
            expected[key] += np.sign(subgroup.total) * gain[members].sum()
            variance[key] += unit * rate * (1 - rate) * size * share * (1 - share)
    results = [
        Found(subgroup, key[1], float(expected[key]), float(np.sqrt(variance[key])))
        for key, subgroup in found.items()
    ]
    critical = float(ndtri(1 - (1 - confidence) / len(results)))

    def preference(one: Found) -> tuple[bool, bool, float, int]:
        found, length = abs(one.subgroup.total) > _NOTHING, one.subgroup.n_conditions
        # One standard error for a rule that can be read; the shorter of two that are one.
        handicap = 1.0 if length > _MOST_CONDITIONS else 0.0
        sure = one.expected - (critical + handicap) * one.error
        score = sure
        if sure <= 0:
            score = one.expected / one.error - handicap if one.error > 0 else -np.inf
        return found, sure > 0, score, -length

    return sorted(results, key=preference, reverse=True), limits


def worst_subgroups(
    points: Points,
    oracles: tuple[str, ...] = ("conjunction", "linear", "tree"),
    max_depth: int = 3,
) -> tuple[dict[tuple[str, str], Subgroup], list[str]]:
    """Return what each oracle finds by each aim.

    Parameters
    ----------
    points : Points
        Distinct attribute values.
    oracles : tuple of {"conjunction", "linear", "tree"}
        Conjunctions of a category or an interval in up to `max_depth` columns: exact where all
        can be listed, otherwise the best of coarse ones, polished. Linear thresholds: least
        squares, and logistic regression on the sign of residuals with their size as weight [2]_,
        by row and by point; each then cut where it is best. Trees: the categories of one column
        above or below a rate, and unions of the leaves of trees of depth 2 up to `max_depth` and
        at least 4.
    max_depth : int, default=3
        Columns in a conjunction at the most.

    Returns
    -------
    found : dict of (str, str) to Subgroup
        By search and aim, the same for all points with these columns.
    limits : list of str
        What was left out to keep the work bounded.
    """
    found: dict[tuple[str, str], Subgroup] = {}
    limits: list[str] = []
    if "conjunction" in oracles:
        by_depth, limits = conjunctions(points, max_depth)
        for depth, best in enumerate(by_depth, 1):
            found |= {(f"conjunction {depth}", aim): best[aim] for aim in AIMS}
    if "linear" in oracles:
        linear, pooled = linear_thresholds(points)
        found |= linear
        limits = limits + pooled
    if "tree" in oracles:
        depths = range(2, max(max_depth, 4) + 1)
        trees = [categories(points), *tree_leaves(points, depths)]
        for depth, tree in enumerate(trees, 1):
            found |= {(f"tree {depth}", aim): tree[aim] for aim in AIMS}
    return found, limits


def sweep(score: Float, points: Points, aim: str = "violation") -> tuple[float, float]:
    """Return the threshold whose upper side is best, and the sum of its gains.

    All thresholds are tried: one sort, one cumulative sum.
    """
    order = np.argsort(-score, kind="stable")
    sorted_score, whole = score[order], _whole(points)
    mass, total = np.cumsum(points.mass[order]), np.cumsum(points.total[order])
    ends = np.flatnonzero(np.diff(sorted_score) < 0)
    if not len(ends):
        return -np.inf, 0.0
    best = int(ends[np.argmax(worth(aim, mass[ends], total[ends], whole))])
    threshold = 0.5 * (sorted_score[best] + sorted_score[best + 1])
    # Between neighbouring floats the middle may be the upper one.
    threshold = float(min(threshold, np.nextafter(sorted_score[best], -np.inf)))
    return threshold, float(total[best] - points.rate * mass[best])


def linear_thresholds(points: Points) -> tuple[dict[tuple[str, str], Subgroup], list[str]]:
    """Return the best cuts of linear scores fitted to the residuals in several ways."""
    kept = points.mass > 0
    seen = points._replace(
        codes=points.codes[kept],
        numbers=points.numbers[kept],
        mass=points.mass[kept],
        total=points.total[kept],
    )
    X, features = _design(seen)
    largest = [
        int(np.argmax(_sums(seen.codes[:, j], seen.mass, n))) for j, n in enumerate(seen.n_levels)
    ]
    gain, mass, rate = seen.total - points.rate * seen.mass, seen.mass, points.rate
    fits = {
        "least squares": _least_squares(X, gain / mass, mass),
        "logistic regression": _logistic(X, seen.total * (1 - rate), (mass - seen.total) * rate),
        "logistic regression on points": _logistic(
            X, np.maximum(gain, 0.0), np.maximum(-gain, 0.0)
        ),
    }
    found = {}
    for name, weights in fits.items():
        terms = tuple(
            weights[feature] if ordered else weights[feature] - weights[feature[level]]
            for feature, ordered, level in zip(features, points.ordered, largest, strict=True)
        )
        score = additive_score(terms, seen.codes, seen.numbers)
        for aim in AIMS:
            threshold, total = sweep(score, seen, aim)
            found[name, aim] = Subgroup(name, total, terms=terms, threshold=threshold)
    is_pooled = any(
        not ordered and n > _MOST_INDICATORS + 1
        for ordered, n in zip(points.ordered, points.n_levels, strict=True)
    )
    limit = f"in linear rules, categories beyond a column's {_MOST_INDICATORS} largest are one"
    return found, [limit] if is_pooled else []


def _design(points: Points) -> tuple[Any, list[Int]]:
    """Return attributes as numbers with a constant, and the feature of each column's levels."""
    n_points = len(points.codes)
    blocks: list[Any] = []
    features: list[Int] = []
    start = 0
    for j, n_levels in enumerate(points.n_levels):
        if points.ordered[j]:
            blocks.append(points.numbers[:, j : j + 1])
            features.append(np.array([start]))
            start += 1
            continue
        of_level = np.arange(n_levels)
        if n_levels > _MOST_INDICATORS + 1:
            by_level = _sums(points.codes[:, j], points.mass, n_levels)
            of_level[np.argsort(-by_level, kind="stable")] = np.minimum(of_level, _MOST_INDICATORS)
        own = of_level[points.codes[:, j]]
        shape = (n_points, int(of_level.max()) + 1)
        rows = np.arange(n_points)
        blocks.append(sparse.csr_array((np.ones(n_points), (rows, own)), shape=shape))
        features.append(start + of_level)
        start += shape[1]
    blocks.append(np.ones((n_points, 1)))
    X = sparse.hstack([sparse.csr_array(block) for block in blocks], format="csr")
    return (X if start > _MOST_DENSE else X.toarray()), features


def _gram(X: Any, weight: Float) -> Float:
    found: Any = X.T @ (sparse.diags_array(weight) @ X)
    return np.asarray(found if isinstance(found, np.ndarray) else found.toarray())


def _least_squares(X: Any, target: Float, mass: Float) -> Float:
    gram = _gram(X, mass)
    gram[np.diag_indices_from(gram)] += _RIDGE * mass.sum()
    found = np.linalg.solve(gram, X.T @ (mass * target))[:-1]
    return np.asarray(found, dtype=np.float64)


def _logistic(X: Any, above: NDArray[Any], below: NDArray[Any]) -> Float:
    """Return the weights that tell `above` from `below` best, by Newton's method."""
    total = above.sum() + below.sum()
    weights: NDArray[Any] = np.zeros(X.shape[1])
    if total <= 0:
        return weights[:-1]
    above, below = np.asarray(above / total), np.asarray(below / total)
    for _ in range(_NEWTON_STEPS):
        p = expit(X @ weights)
        slope = X.T @ ((above + below) * p - above) + _RIDGE * weights
        hessian = _gram(X, (above + below) * np.maximum(p * (1 - p), 1e-8))
        hessian[np.diag_indices_from(hessian)] += _RIDGE
        step = np.linalg.solve(hessian, slope)
        # A bounded step: any weights are a valid rule, so that a line search is not worth it.
        step *= min(1.0, 10.0 / max(float(np.abs(step).max()), 1e-300))
        weights = weights - step
        if np.abs(step).max() < 1e-6:
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


class _Listing(NamedTuple):
    """The best conjunctions in some columns.

    `best` holds a worth and a box for each aim; `left_out` is the most that cells which were left
    out could violate by, or infinite where some have enough rows for evidence.
    """

    columns: tuple[int, ...]
    best: dict[str, tuple[float, Box]]
    is_coarse: bool
    left_out: float


def conjunctions(points: Points, max_depth: int) -> tuple[list[dict[str, Subgroup]], list[str]]:
    """Return the best conjunctions of a category or an interval in up to 1, 2, ... columns.

    Exact where ordered columns have few enough levels for all to be listed.
    """
    n_columns = len(points.n_levels)
    everyone = tuple(np.ones(n, dtype=bool) for n in points.n_levels)
    best = dict.fromkeys(AIMS, (0.0, everyone))
    found, limits = [], []
    sets: list[tuple[int, ...]] = [()]

    @cache
    def classes(j: int, n_classes: int) -> Int:
        return _classes(points.codes[:, j], points.n_levels[j], points.mass, n_classes)

    for depth in range(1, min(max_depth, n_columns) + 1):
        sets, n_sets = _extended(sets, n_columns), comb(n_columns, depth)
        if len(sets) < n_sets:
            limits.append(
                f"conjunctions of {depth} were searched in {len(sets):,} of {n_sets:,} sets of "
                f"columns, which extend the best of {depth - 1}"
            )
        listings = []
        for columns in sets:
            budget, least = _BUDGET // len(sets), best["violation"][0]
            listings.append(_listed(points, columns, everyone, classes, budget, least))
            best = {aim: max(best[aim], listings[-1].best[aim], key=_first) for aim in AIMS}
        for aim in AIMS:
            coarse = [listing.best[aim] for listing in listings if listing.is_coarse]
            coarse = [pair for pair in coarse if pair[0] > _NOTHING]
            for _, box in sorted(coarse, key=_first, reverse=True)[:_POLISHED]:
                best[aim] = max(best[aim], _climbed(points, box, aim, depth), key=_first)
        if max(listing.left_out for listing in listings) > best["violation"][0]:
            limits.append(f"of conjunctions of {depth}, some in small groups were left out")
        if comb(n_columns, depth + 1) > _MOST_SETS:
            sets = _most_promising(listings, max(_MOST_SETS // n_columns, 2))
        found.append({aim: _conjunction(points, box) for aim, (_, box) in best.items()})
    return found, limits


def _first(pair: tuple[float, Box]) -> float:
    return pair[0]


def _extended(sets: list[tuple[int, ...]], n_columns: int) -> list[tuple[int, ...]]:
    """Return the sets of columns that have one more than one of these."""
    longer = {tuple(sorted({*some, j})) for some in sets for j in range(n_columns)}
    return sorted(longer - set(sets))


def _most_promising(listings: list[_Listing], n: int) -> list[tuple[int, ...]]:
    """Return the columns of the best listings, by each aim in turn."""
    ranked = [
        listing.columns
        for pair in zip(
            *(sorted(listings, key=lambda one: -one.best[aim][0]) for aim in AIMS), strict=True
        )
        for listing in pair
    ]
    return sorted(list(dict.fromkeys(ranked))[:n])


def _conjunction(points: Points, box: Box) -> Subgroup:
    n_columns = sum(not allowed.all() for allowed in box)
    name = "one column" if n_columns <= 1 else f"conjunction of {n_columns}"
    return Subgroup(name, float(points.gain[inside(box, points.codes)].sum()), (box,))


def _listed(
    points: Points,
    columns: tuple[int, ...],
    everyone: Box,
    classes: Callable[[int, int], Int],
    budget: int,
    found: float,
) -> _Listing:
    """Return the best conjunctions of a category or an interval in each of some columns.

    Categories make cells, of which only those are listed that could violate by more than what is
    found already, or that are large enough for evidence; in each, all intervals of classes.
    """
    categories = [j for j in columns if not points.ordered[j]]
    ordered = [j for j in columns if points.ordered[j]]
    cells, place = _cells(points, categories)
    whole, gain = _whole(points), points.gain
    mass = _sums(place, points.mass, len(cells))
    kept, left_out, is_coarse = np.arange(len(cells)), 0.0, False
    coarse = [np.zeros(0, dtype=np.intp)] * len(ordered)
    if ordered:
        most = np.maximum(
            _sums(place, np.maximum(gain, 0.0), len(cells)),
            _sums(place, np.maximum(-gain, 0.0), len(cells)),
        )
        kept = np.flatnonzero((most > found) | (mass >= _LEAST_SHARE * whole[0]))
        if not len(kept):
            kept = np.array([np.argmax(most)])
        for n_classes in _CLASSES:
            coarse = [classes(j, n_classes) for j in ordered]
            n_intervals = prod(comb(int(c.max()) + 2, 2) for c in coarse)
            if len(kept) * n_intervals <= budget:
                break
        n_kept = max(budget // n_intervals, 1)
        if len(kept) > n_kept:
            by_most = kept[np.argsort(-most[kept], kind="stable")]
            kept, others = np.sort(by_most[:n_kept]), by_most[n_kept:]
            is_large = (mass[others] >= _LEAST_SHARE * whole[0]).any()
            left_out = np.inf if is_large else float(most[others[0]])
        is_coarse = any(
            c.max() + 1 < points.n_levels[j] for c, j in zip(coarse, ordered, strict=True)
        )
    new = np.full(len(cells), -1)
    new[kept] = np.arange(len(kept))
    rows = np.flatnonzero(new[place] >= 0) if len(kept) < len(cells) else slice(None)
    shape = [len(kept), *(int(c.max()) + 1 for c in coarse)]
    axes = [new[place[rows]]]
    axes += [c[points.codes[rows, j]] for c, j in zip(coarse, ordered, strict=True)]
    number = np.ravel_multi_index(axes, shape)
    tables = []
    for values in (points.mass, points.total):
        table = _sums(number, values[rows], prod(shape)).reshape(shape)
        for axis in range(1, len(shape)):
            table = _intervals(table, axis)
        tables.append(table)
    best = {}
    for aim in AIMS:
        values = worth(aim, tables[0], tables[1], whole)
        at = np.unravel_index(int(np.argmax(values)), values.shape)
        box = list(everyone)
        for j, level in zip(categories, cells[kept[at[0]]], strict=True):
            box[j] = np.arange(points.n_levels[j]) == level
        for j, c, size, k in zip(ordered, coarse, shape[1:], at[1:], strict=True):
            start, end = _ends(size)
            box[j] = (c >= start[k]) & (c <= end[k])
        best[aim] = float(values[at]), tuple(box)
    return _Listing(columns, best, is_coarse, left_out)


def _cells(points: Points, categories: list[int]) -> tuple[Int, Int]:
    """Return the levels of the cells that categories make together, and each point's cell."""
    if not categories:
        return np.zeros((1, 0), dtype=np.intp), np.zeros(len(points.codes), dtype=np.intp)
    sizes = tuple(points.n_levels[j] for j in categories)
    if prod(sizes) > 2 * len(points.codes) + 1000:
        return distinct(points.codes[:, categories], sizes)
    place = np.ravel_multi_index(tuple(points.codes[:, j] for j in categories), sizes)
    return np.stack(np.unravel_index(np.arange(prod(sizes)), sizes), axis=1), place


def _classes(codes: Int, n_levels: int, mass: Float, n_classes: int) -> Int:
    """Return a class for each level: about equal weights, in order; all levels if few."""
    if n_levels <= n_classes:
        return np.arange(n_levels)
    by_level = np.bincount(codes, mass, minlength=n_levels)
    middle = (np.cumsum(by_level) - 0.5 * by_level) / max(float(by_level.sum()), 1e-300)
    found = np.minimum((middle * n_classes).astype(np.intp), n_classes - 1)
    return np.unique(found, return_inverse=True)[1]


@cache
def _ends(n_classes: int) -> tuple[Int, Int]:
    """Return the first and the last class of every interval."""
    return np.triu_indices(n_classes)


def _intervals(table: Float, axis: int) -> Float:
    """Return sums over every interval of an axis."""
    start, end = _ends(table.shape[axis])
    total = np.concatenate([np.zeros_like(table.take([0], axis)), table.cumsum(axis)], axis=axis)
    return np.asarray(total.take(end + 1, axis) - total.take(start, axis))


def _climbed(points: Points, box: Box, aim: str, depth: int) -> tuple[float, Box]:
    """Return a box that no change of one column improves, and its worth.

    Both aims are convex in (mass, total): the best box of a linearisation is no worse.
    """
    whole = _whole(points)

    def sums(box: Box) -> tuple[float, float]:
        rows = inside(box, points.codes)
        return float(points.mass[rows].sum()), float(points.total[rows].sum())

    mass, total = sums(box)
    best = float(worth(aim, mass, total, whole))
    for _ in range(_STEPS):
        by_mass, by_total = _slopes(aim, mass, total, whole)
        longer = _polished(points, by_mass * points.mass + by_total * points.total, box, depth)
        mass, total = sums(longer)
        value = float(worth(aim, mass, total, whole))
        if not value > best + _NOTHING:
            break
        best, box = value, longer
    return best, box


def _slopes(
    aim: str, mass: float, total: float, whole: tuple[float, float]
) -> tuple[float, float]:
    """Return the derivatives of an aim by mass and total."""
    if aim == "violation":
        rate = whole[1] / whole[0]
        sign = 1.0 if total >= rate * mass else -1.0
        return -sign * rate, sign
    logs = []
    for m, s in ((mass, total), (whole[0] - mass, whole[1] - total)):
        rate = np.clip(s / m, 1e-9, 1 - 1e-9)
        logs.append((np.log1p(-rate), np.log(rate) - np.log1p(-rate)))
    (own, own_odds), (rest, rest_odds) = logs
    return float(own - rest), float(own_odds - rest_odds)


def _polished(points: Points, gain: Float, box: Box, depth: int) -> Box:
    """Return a box whose sum no change of one column increases: coordinate ascent."""
    current = list(box)
    is_free = [bool(allowed.all()) for allowed in box]
    best = float(gain[inside(box, points.codes)].sum())
    improved = True
    while improved:
        improved = False
        for j in range(len(current)):
            if is_free[j] and len(current) - sum(is_free) >= depth:
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
            if value > best + _NOTHING:
                best, current[j], improved = value, allowed, True
                is_free[j] = bool(allowed.all())
    return tuple(current)


def categories(points: Points) -> dict[str, Subgroup]:
    """Return the categories of one column whose rates are above, or below, some rate.

    No other set of them is better: aims are convex in (mass, total).
    """
    whole = _whole(points)
    best = {aim: (0.0, tuple(np.ones(n, dtype=bool) for n in points.n_levels)) for aim in AIMS}
    for j, n_levels in enumerate(points.n_levels):
        if points.ordered[j]:
            continue
        mass = _sums(points.codes[:, j], points.mass, n_levels)
        total = _sums(points.codes[:, j], points.total, n_levels)
        order = np.argsort(-total / np.where(mass > 0, mass, 1.0), kind="stable")
        for aim, n_above in _best_cut(mass[order], total[order]).items():
            above = np.isin(np.arange(n_levels), order[:n_above])
            value = float(worth(aim, mass[above].sum(), total[above].sum(), whole))
            box = tuple(
                above if k == j else np.ones(n, dtype=bool) for k, n in enumerate(points.n_levels)
            )
            best[aim] = max(best[aim], (value, box), key=_first)
    return {
        aim: _conjunction(points, box)._replace(oracle="categories of one column")
        for aim, (_, box) in best.items()
    }


def tree_leaves(points: Points, depths: Sequence[int]) -> list[dict[str, Subgroup]]:
    """Return unions of the leaves of a regression tree, cut at several depths.

    Grown by the sum of squares of residuals. Leaves with rates above, or below, some rate;
    described by as few boxes as either side has.
    """
    kept = np.flatnonzero(points.mass > 0)
    everyone = tuple(np.ones(n, dtype=bool) for n in points.n_levels)
    tree = _grown(points, kept, everyone, max(depths))
    return [_union_of_leaves(tree.leaves(depth), points, depth) for depth in depths]


def _union_of_leaves(leaves: list["_Node"], points: Points, depth: int) -> dict[str, Subgroup]:
    mass, total = (
        np.array(part) for part in zip(*((n.mass, n.total) for n in leaves), strict=True)
    )
    order = np.argsort(-total / mass, kind="stable")
    found = {}
    for aim, n_above in _best_cut(mass[order], total[order]).items():
        above, below = order[:n_above], order[n_above:]
        boxes = [_merged([leaves[i].box for i in side], points.ordered) for side in (above, below)]
        gain = float(total[above].sum() - points.rate * mass[above].sum())
        is_below = 0 < len(boxes[1]) < len(boxes[0])
        found[aim] = Subgroup(
            f"tree of depth {depth}", -gain if is_below else gain, tuple(boxes[is_below])
        )
    return found


def _best_cut(mass: Float, total: Float) -> dict[str, int]:
    """Return how many of some parts, in the order of their rates, are best together by aim."""
    whole = float(mass.sum()), float(total.sum())
    sums = np.cumsum(mass), np.cumsum(total)
    return {aim: int(np.argmax(worth(aim, *sums, whole))) + 1 for aim in AIMS}


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


class _Node(NamedTuple):
    """A box of a tree, and what it is split into."""

    box: Box
    mass: float
    total: float
    parts: tuple["_Node", ...] = ()

    def leaves(self, depth: int) -> list["_Node"]:
        if not depth or not self.parts:
            return [self]
        return [leaf for part in self.parts for leaf in part.leaves(depth - 1)]


def _grown(points: Points, rows: Int, box: Box, depth: int) -> _Node:
    """Return the tree of some points, which are those of a box."""
    mass, total = points.mass[rows], points.total[rows]
    node = _Node(box, float(mass.sum()), float(total.sum()))
    split = _best_split(points, rows, mass, total) if depth else None
    if split is None:
        return node
    j, left = split
    parts = []
    for side in (left, ~left):
        part = (*box[:j], box[j] & side, *box[j + 1 :])
        parts.append(_grown(points, rows[side[points.codes[rows, j]]], part, depth - 1))
    return node._replace(parts=tuple(parts))


def _best_split(points: Points, rows: Int, mass: Float, total: Float) -> tuple[int, Bool] | None:
    """Return column and levels of the split with the largest sum of squares between."""
    weight, above = mass.sum(), total.sum()
    least = _LEAST_LEAF * points.mass.sum()
    best, found = above**2 / weight + _NOTHING * weight, None
    for j, n_levels in enumerate(points.n_levels):
        codes = points.codes[rows, j]
        weights, sums = _sums(codes, mass, n_levels), _sums(codes, total, n_levels)
        if points.ordered[j]:
            weights, sums = np.cumsum(weights), np.cumsum(sums)
        rest = weight - weights
        splits = np.minimum(weights, rest) >= least
        if not splits.any():
            continue
        safe, safe_rest = np.where(splits, weights, 1.0), np.where(splits, rest, 1.0)
        between = np.where(splits, sums**2 / safe + (above - sums) ** 2 / safe_rest, -np.inf)
        level = int(np.argmax(between))
        if between[level] > best:
            best = float(between[level])
            left = np.arange(n_levels) <= level
            found = j, left if points.ordered[j] else np.arange(n_levels) == level
    return found
