"""One plain threshold per group: a search over all thresholds.

Without randomisation the problem is combinatorial, and its best answers are often not on the ROC
hulls. Groups that no bound compares, such as those of different strata, are problems of their own.
Two observations make each of them tractable:

* For given windows that every group's rates must fall in, the groups separate. A *sweep* moves the
  window of one event over all places that matter and keeps the others: exact for one event.
* The linear programme over randomised thresholds prices every threshold. A choice whose reduced
  costs add up to more than the incumbent's distance from the programme's value cannot beat the
  incumbent, which leaves few thresholds; an *enumeration* of their combinations settles the rest.

Floors leave thresholds out from the start. A ceiling couples the groups by a sum: sweeps are
repeated with prices on it, and *exchanges* between two groups use up what is left of it.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from fairlearnkit._kernels.moments import (
    Kind,
    Moments,
    group_rates,
    units_compared,
    violations,
)
from fairlearnkit._kernels.rate_program import FEASIBILITY
from fairlearnkit._kernels.thresholds import (
    OperatingPoints,
    ThresholdSolution,
    point_rates,
    reduced_cost,
)

Float = NDArray[np.float64]
Int = NDArray[np.intp]

# Rounding of a rate, a difference of rates or a mean cost, all of order one.
_ROUNDING = 1e-12
# Windows that a search over a thinned set of thresholds hands to the sweeps, and the thresholds of
# each group in that set.
_STARTS = 4
_THINNED = 500
# Further starts: all windows at the same of so many places in [0, 1].
_GRID = 3
# Candidate windows tried, cheapest first, where a window alone does not settle feasibility.
_TRIES = 200
# Prices of a ceiling that sweeps are repeated at: times that of the linear programme, and as they
# are, in units of the larger cost.
_FACTORS = (1.0, 1.05, 1.2, 1.5, 2.0, 4.0)
_PRICES = (0.02, 0.1, 0.5)
# Combinations of thresholds looked at in one layer of the enumeration: about 200 MB.
_BUDGET = 2_000_000


class PlainThresholds(NamedTuple):
    """One plain threshold per group.

    Attributes
    ----------
    point : ndarray of shape (n_groups,)
        The chosen operating point of each group.
    cost : float
        Mean cost.
    is_proven : bool
        Whether no other choice of plain thresholds is cheaper, to rounding; otherwise it is the
        best that the search found.
    """

    point: Int
    cost: float
    is_proven: bool


class _Search(NamedTuple):
    """All points with their cost (share of the mean) and rates, and the windows to move.

    ``rates`` has shape (n_points, n_events), NaN where undefined. A window of an event reaches
    from ``low`` to ``low + width``, or to ``low / shrink`` where the bound is on ratios. Points
    below a floor have infinite cost. ``load`` is what a point takes of each ceiling, shape
    (n_points, n_events).
    """

    points: OperatingPoints
    moments: Moments
    cost: Float
    rates: Float
    width: Float
    shrink: Float
    load: Float

    def excess(self, choice: Int) -> float:
        """Return how far one point per group is beyond the bounds, in rate."""
        rates = group_rates(self.moments, self.points.sums[choice])
        return float(violations(self.moments, rates).max(initial=-np.inf))


def solve_plain_thresholds(
    points: OperatingPoints,
    moments: Moments,
    fp_cost: float,
    fn_cost: float,
    randomized: ThresholdSolution,
) -> PlainThresholds | None:
    """Minimise mean cost over one operating point per group, within the bounds.

    Parameters
    ----------
    points : OperatingPoints
        All thresholds of every group.
    moments : Moments
        Rates and bounds.
    fp_cost, fn_cost : float
        Cost of a false positive and of a false negative, >= 0.
    randomized : ThresholdSolution
        The optimum over randomised thresholds.

    Returns
    -------
    PlainThresholds or None
        None where no choice within the bounds was found.

    Notes
    -----
    Groups that no bound couples, directly or through others, are solved one by one. A sweep takes
    O(n log n) time for n thresholds; O(n) memory. Each enumeration is bounded by a fixed budget.
    """
    # In units of the larger cost: what counts as rounding does not depend on the currency.
    unit = max(fp_cost, fn_cost)
    constant, cost = points.cost(fp_cost / unit, fn_cost / unit)
    reduced = reduced_cost(points, moments, fp_cost, fn_cost, randomized) / unit
    randomized = randomized._replace(
        group_cost=randomized.group_cost / unit, rate_price=randomized.rate_price / unit
    )
    best = np.empty(len(points.start) - 1, dtype=np.intp)
    is_proven = True
    for groups, rows in _independent(moments):
        kept = np.concatenate([np.arange(*points.start[g : g + 2]) for g in groups])
        search = _prepare(points.take_groups(groups, kept), moments.take(groups, rows), cost[kept])
        mixed = randomized._replace(
            sums=randomized.sums[groups],
            group_cost=randomized.group_cost[groups],
            rate_price=randomized.rate_price[rows],
        )
        choice, is_best = _solve(search, reduced[kept], mixed)
        if choice is None:
            return None
        best[groups] = kept[choice]
        is_proven &= is_best
    return PlainThresholds(best, float(unit * (constant + cost[best].sum())), is_proven)


def _independent(moments: Moments) -> Iterator[tuple[Int, Int]]:
    """Yield groups that bounds compare, directly or through others, and the rows of their bounds.

    A floor couples nothing, and a parity of one group bounds nothing.
    """
    n_groups, n_events = len(moments.mass), moments.n_events
    is_parity = (moments.kind == Kind.PARITY) & (units_compared(moments) > 1)
    couples = (is_parity | (moments.kind == Kind.CEILING))[moments.event]
    rows = np.flatnonzero(couples | (moments.kind == Kind.FLOOR)[moments.event])
    ends = moments.unit[couples], n_groups + moments.event[couples]
    graph = sparse.coo_array((np.ones(len(ends[0])), ends), shape=2 * (n_groups + n_events,))
    part = connected_components(graph, directed=False)[1][:n_groups]
    for i in np.unique(part):
        yield np.flatnonzero(part == i), rows[part[moments.unit[rows]] == i]


def _solve(
    search: _Search, reduced: Float, randomized: ThresholdSolution
) -> tuple[Int | None, bool]:
    """Return the best choice found for groups that are coupled, and whether it is proven."""
    kind = search.moments.kind
    has_ceiling = bool((kind == Kind.CEILING).any())
    n_parities = np.count_nonzero(kind == Kind.PARITY)
    if not n_parities and not has_ceiling:
        cheapest = _cheapest(search.points.start, search.cost)
        return (cheapest if np.isfinite(search.cost[cheapest]).all() else None), True
    best, cost = _sweep_from_starts(search, randomized)
    if has_ceiling:
        best, cost = _under_ceilings(search, randomized, best, cost)
    if n_parities <= 1 and not search.moments.to_overall.any() and not has_ceiling:
        return best, True
    room = cost - randomized.group_cost.sum() + _ROUNDING
    return _enumerate(search, reduced, room, best, cost)


def _prepare(points: OperatingPoints, moments: Moments, cost: Float) -> _Search:
    # Swept column by column.
    rates = np.full((len(points.threshold), moments.n_events), np.nan, order="F")
    by_row = point_rates(points, moments).tocoo()
    rates[by_row.col, moments.event[by_row.row]] = by_row.data
    bound = moments.bound
    is_below = rates < np.where(moments.kind == Kind.FLOOR, bound - FEASIBILITY, -np.inf)
    cost = np.where(is_below.any(axis=1), np.inf, cost)
    load = np.zeros(rates.shape)
    takes = moments.kind[moments.event[by_row.row]] == Kind.CEILING
    row, point = by_row.row[takes], by_row.col[takes]
    load[point, moments.event[row]] = moments.share[row] * by_row.data[takes]
    return _Search(points, moments, cost, rates, width=bound, shrink=bound, load=load)


def _windows(search: _Search, event: int, low: Float) -> tuple[Float, Float]:
    """Return windows of an event's rates, from their lower ends; all rates but for parities."""
    if search.moments.kind[event] != Kind.PARITY:
        return np.full_like(low, -np.inf), np.full_like(low, np.inf)
    if search.moments.is_ratio[event]:
        shrink = search.shrink[event]
        high = low / shrink if shrink > 0 else np.full_like(low, np.inf)
    else:
        high = low + search.width[event]
    return low - _ROUNDING, high + _ROUNDING


def _sweep_from_starts(search: _Search, randomized: ThresholdSolution) -> tuple[Int | None, float]:
    """Sweep one event after the other, from several windows, until nothing improves.

    A choice within windows as wide as the bound meets it, to overall as well. There windows may
    be twice as wide, and the choice is checked after.
    """
    moments = search.moments
    level = np.full(moments.n_events, np.inf)
    np.minimum.at(level, moments.event, group_rates(moments, randomized.sums))
    level = np.where(np.isfinite(level), level, 0.0)
    searches = [search]
    if moments.to_overall.any():
        wide = np.where(moments.to_overall, 2 * moments.bound, moments.bound)
        steep = np.where(moments.to_overall, moments.bound**2, moments.bound)
        searches.append(search._replace(width=wide, shrink=steep))
    best: Int | None = None
    cost = np.inf
    for each in searches:
        starts = [level]
        if len(_swept(moments)) > 1:
            starts += [np.full_like(level, place) for place in np.linspace(0.0, 1.0, _GRID)]
            starts += _promising_windows(each, level)
        for start in starts:
            choice, value = _descend(each, start)
            if choice is not None and value < cost - _ROUNDING:
                best, cost = choice, value
    return best, cost


def _descend(search: _Search, low: Float) -> tuple[Int | None, float]:
    """Sweep one event after the other until a whole round brings nothing."""
    events = _swept(search.moments)
    best: Int | None = None
    cost = np.inf
    turn = idle = 0
    while idle < len(events):
        event = events[turn % len(events)]
        choice, value, place = _sweep(search, event, low)
        turn, idle = turn + 1, idle + 1
        if choice is not None and value < cost - _ROUNDING:
            best, cost, idle = choice, value, 1
            low = np.where(np.arange(len(low)) == event, place, low)
    return best, cost


def _swept(moments: Moments) -> list[int]:
    """Return the events to sweep: parities, else any one.

    Where windows are wide, as to overall, the cheapest choices in them may all be above a ceiling.
    A sweep of the ceiling, which has no windows, looks at the start's own.
    """
    if moments.to_overall.any() and (moments.kind == Kind.CEILING).any():
        return list(range(moments.n_events))
    parities: list[int] = np.flatnonzero(moments.kind == Kind.PARITY).tolist()
    return parities or [0]


def _promising_windows(search: _Search, level: Float) -> list[Float]:
    """Return the lower ends of the cheapest windows found on a thinned set of thresholds.

    Every choice has a point of the first group that all events compare, so that the windows to try
    are those around its points: at their lower end, in their middle or at their upper end.
    """
    points, moments, n_events = search.points, search.moments, search.moments.n_events
    size = np.diff(points.start)
    kept = [
        np.unique(np.linspace(first, first + n - 1, min(n, _THINNED)).astype(np.intp))
        for first, n in zip(points.start[:-1], size, strict=True)
    ]
    anchor_group = np.argmax([np.isfinite(search.rates[k[0]]).sum() for k in kept])
    places = np.array(list(product((0.0, 0.5, 1.0), repeat=min(n_events, 3))))
    places = places[:, np.arange(n_events) % places.shape[1]]
    anchor = search.rates[kept[anchor_group]][:, None, :]
    low = np.where(
        moments.is_ratio, anchor * search.shrink**places, anchor - search.width * places
    )
    low = np.where(np.isnan(low), level, low).reshape(-1, n_events)

    thin = np.concatenate(kept)
    start = np.concatenate([[0], np.cumsum([len(k) for k in kept])[:-1]])
    rates, cost = search.rates[thin], search.cost[thin]
    total = np.empty(len(low))
    for chunk in np.array_split(np.arange(len(low)), max(len(low) * len(thin) // 2_000_000, 1)):
        outside = np.zeros((len(chunk), len(thin)), dtype=bool)
        for event in range(n_events):
            below, above = _windows(search, event, low[chunk, event])
            outside |= rates[:, event] < below[:, None]
            outside |= rates[:, event] > above[:, None]
        least = np.minimum.reduceat(np.where(outside, np.inf, cost), start, axis=1)
        total[chunk] = least.sum(axis=1)
    cheapest = np.argsort(total, kind="stable")[:_STARTS]
    return [low[i] for i in cheapest if np.isfinite(total[i])]


def _sweep(search: _Search, event: int, low: Float) -> tuple[Int | None, float, float]:
    """Return the best choice over all windows of one event, those of the others being kept."""
    kept = _within_windows(search, event, low)
    start = np.searchsorted(kept, search.points.start)
    if not np.diff(start).all():
        return None, np.inf, 0.0
    rates, cost = search.rates[kept, event], search.cost[kept]
    place = np.unique(rates[~np.isnan(rates)])
    if not len(place) or search.moments.kind[event] != Kind.PARITY:
        place = low[event : event + 1]
    below, above = _windows(search, event, place)
    total = np.zeros(len(place))
    for first_point, stop in pairwise(start):
        rate = rates[first_point:stop]
        if np.isnan(rate[0]):
            total += cost[first_point:stop].min()
            continue
        order = np.argsort(rate, kind="stable")
        first = np.searchsorted(rate[order], below, side="left")
        last = np.searchsorted(rate[order], above, side="right")
        total += _range_minimum(cost[first_point:stop][order], first, last)
    for candidate in np.argsort(total, kind="stable")[:_TRIES]:
        if not np.isfinite(total[candidate]):
            break
        outside = (rates < below[candidate]) | (rates > above[candidate])
        choice = kept[_cheapest(start, np.where(outside, np.inf, cost))]
        if search.excess(choice) <= FEASIBILITY:
            return choice, float(search.cost[choice].sum()), float(place[candidate])
    return None, np.inf, 0.0


def _within_windows(search: _Search, event: int, low: Float) -> Int:
    """Return the points within the windows of all events but one."""
    inside = np.ones(len(search.cost), dtype=bool)
    for other in range(search.moments.n_events):
        if other != event:
            below, above = _windows(search, other, low[other : other + 1])
            rate = search.rates[:, other]
            inside &= ~((rate < below) | (rate > above))  # true where the rate is undefined
    return np.flatnonzero(inside)


def _cheapest(start: Int, cost: Float) -> Int:
    """Return the first cheapest point of each group."""
    smallest = np.minimum.reduceat(cost, start[:-1])
    group = np.repeat(np.arange(len(smallest)), np.diff(start))
    at_smallest = np.flatnonzero(cost == smallest[group])
    _, first = np.unique(group[at_smallest], return_index=True)
    return at_smallest[first]


def _under_ceilings(
    search: _Search, randomized: ThresholdSolution, best: Int | None, cost: float
) -> tuple[Int | None, float]:
    """Return the best choice of sweeps with prices on the ceilings, and of exchanges from it."""
    moments = search.moments
    is_ceiling = moments.kind == Kind.CEILING
    of_row = np.where(is_ceiling[moments.event], randomized.rate_price / moments.share, 0.0)
    price = np.zeros(moments.n_events)
    np.maximum.at(price, moments.event, of_row)
    for prices in (*(f * price for f in _FACTORS), *(p * is_ceiling for p in _PRICES)):
        choice, _ = _sweep_from_starts(
            search._replace(cost=search.cost + search.load @ prices), randomized
        )
        if choice is not None and search.cost[choice].sum() < cost - _ROUNDING:
            best, cost = choice, float(search.cost[choice].sum())
    if best is None:
        # The least that floors allow.
        taken = np.where(np.isfinite(search.cost), search.load.sum(axis=1), np.inf)
        best = _cheapest(search.points.start, taken)
        if not np.isfinite(search.cost[best]).all() or search.excess(best) > FEASIBILITY:
            return None, np.inf
        cost = float(search.cost[best].sum())
    while True:
        choice = best
        for event in np.flatnonzero(is_ceiling):
            members = moments.unit[moments.event == event].tolist()
            for pair in combinations(members, 2):
                choice = _exchange(search, choice, int(event), pair)
        value = float(search.cost[choice].sum())
        if value >= cost - _ROUNDING or search.excess(choice) > FEASIBILITY:
            return best, cost
        best, cost = choice, value


def _exchange(search: _Search, choice: Int, event: int, pair: tuple[int, int]) -> Int:
    """Return a choice with the best points of two groups under a ceiling, all else kept."""
    start, load = search.points.start, search.load[:, event]
    left = search.moments.bound[event] - load[np.delete(choice, pair)].sum() + _ROUNDING
    one, other = (np.arange(start[g], start[g + 1]) for g in pair)
    other = other[np.argsort(load[other], kind="stable")]
    # The cheapest of the first points, and which it is.
    least = np.minimum.accumulate(search.cost[other])
    is_new = least < np.append(np.inf, least[:-1])
    which = np.maximum.accumulate(np.where(is_new, np.arange(len(other)), 0))
    n_fit = np.searchsorted(load[other], left - load[one], side="right")
    total = np.where(n_fit > 0, search.cost[one] + least[np.maximum(n_fit - 1, 0)], np.inf)
    i = int(np.argmin(total))
    if total[i] >= search.cost[choice[list(pair)]].sum() - _ROUNDING:
        return choice
    changed = choice.copy()
    changed[list(pair)] = one[i], other[which[n_fit[i] - 1]]
    return changed if search.excess(changed) <= FEASIBILITY else choice


def _range_minimum(values: Float, first: Int, last: Int) -> Float:
    """Return ``min(values[first[i]:last[i]])`` for all i; inf where the range is empty.

    The minima over all windows of length 1, 2, 4, ... are built one length after the other; a
    range is covered by two windows of the largest length that fits.
    """
    answer = np.full(len(first), np.inf)
    length = last - first
    window, size = values, 1
    while size <= length.max(initial=0):
        due = np.flatnonzero((length >= size) & (length < 2 * size))
        answer[due] = np.minimum(window[first[due]], window[last[due] - size])
        window = np.minimum(window[:-size], window[size:])
        size *= 2
    return answer


def _enumerate(
    search: _Search, reduced: Float, room: float, best: Int | None, cost: float
) -> tuple[Int | None, bool]:
    """Look at every choice that the prices leave open, group by group.

    A partial choice is kept while its reduced costs fit in the room and its rates within the
    bounds. Returns the best choice and whether the enumeration was complete.
    """
    points, moments, rates = search.points, search.moments, search.rates
    n_groups, n_events = len(points.start) - 1, moments.n_events
    open_points = []
    for g in range(n_groups):
        span = np.arange(points.start[g], points.start[g + 1])
        span = span[(reduced[span] <= room) & np.isfinite(search.cost[span])]
        open_points.append(span[np.argsort(reduced[span], kind="stable")])
    order = np.argsort([len(span) for span in open_points], kind="stable")

    spent = np.zeros(1)
    smallest, largest = np.full((1, n_events), np.inf), np.full((1, n_events), -np.inf)
    # What is left of each ceiling when all groups take the least that they can.
    least = np.minimum.reduceat(
        np.where(np.isfinite(search.cost)[:, None], search.load, np.inf), points.start[:-1]
    )
    is_ceiling = moments.kind == Kind.CEILING
    left = np.where(is_ceiling, moments.bound - least.sum(axis=0) + FEASIBILITY, np.inf)[None]
    chosen = np.empty((1, 0), dtype=np.intp)
    for g in order:
        span = open_points[g]
        fits = np.searchsorted(reduced[span], room - spent, side="right")
        if fits.sum() > _BUDGET:
            return best, False
        parent = np.repeat(np.arange(len(spent)), fits)
        child = span[np.arange(len(parent)) - np.repeat(np.cumsum(fits) - fits, fits)]
        low = np.fmin(smallest[parent], rates[child])
        high = np.fmax(largest[parent], rates[child])
        rest = left[parent] - (search.load[child] - least[g])
        keep = np.flatnonzero(_may_fit(moments, low, high) & (rest >= 0).all(axis=1))
        parent, child, left = parent[keep], child[keep], rest[keep]
        spent, smallest, largest = spent[parent] + reduced[child], low[keep], high[keep]
        chosen = np.column_stack([chosen[parent], child])
    choices = np.empty_like(chosen)
    choices[:, order] = chosen
    value = search.cost[choices].sum(axis=1)
    for candidate in np.argsort(value, kind="stable"):
        if value[candidate] >= cost - _ROUNDING:
            break
        if search.excess(choices[candidate]) <= FEASIBILITY:
            return choices[candidate], True
    return best, True


def _may_fit(moments: Moments, low: Float, high: Float) -> NDArray[np.bool_]:
    """Return which ranges of rates may be within the bounds, shape ``(n_choices,)``.

    A bound on the distance to overall holds between groups at twice the difference, or at the
    square of the ratio.
    """
    difference = np.where(moments.to_overall, 2 * moments.bound, moments.bound)
    ratio = np.where(moments.to_overall, moments.bound**2, moments.bound)
    with np.errstate(invalid="ignore"):
        within = np.where(
            moments.is_ratio,
            ratio * high - low <= FEASIBILITY,
            high - low <= difference + FEASIBILITY,
        )
    is_free = (moments.kind != Kind.PARITY) | ~np.isfinite(low)
    fits: NDArray[np.bool_] = np.all(within | is_free, axis=1)
    return fits
