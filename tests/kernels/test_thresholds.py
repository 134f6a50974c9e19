"""Group thresholds: exact operating points, exact optimum, right prices."""

from itertools import combinations

import numpy as np
import pytest
from helpers import (
    COSTS,
    CRITERIA,
    WEIGHTS,
    Instance,
    compared,
    counted,
    counted_rate,
    criteria,
    instances,
    keeps_bounds,
    parities,
    random_instance,
    reproducible,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial import ConvexHull

from fairlearnkit import (
    AllOf,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    ErrorRateParity,
    FalsePositiveRateParity,
)
from fairlearnkit._kernels.thresholds import (
    accept_probability,
    expected_sums,
    hull_points,
    operating_points,
    point_rates,
    reduced_cost,
    solve_priced_thresholds,
    solve_thresholds,
)

# ---------------------------------------------------------------------------------------------
# An independent programme: dense, from rows, all thresholds, all pairs of groups.


def exact_optimum(instance, criterion, unit=None, stratum=(0, 0, 0), rate_weight=None):
    """Return the least mean cost over mixtures of all thresholds, by rates counted from rows.

    A rule belongs to a unit: by default a group, all of them compared with each other; units of
    different strata are not. Rates take the weights of the cost unless they have their own.
    """
    score, y, group, weight, fp_cost, fn_cost = instance
    rate_weight = weight if rate_weight is None else rate_weight
    unit = group if unit is None else unit
    n_units = int(unit.max()) + 1
    rules = [
        (u, 1.0 * (score >= t))
        for u in range(n_units)
        for t in [*np.unique(score[unit == u]), np.inf]
    ]
    owner = np.array([u for u, _ in rules])
    cost = [
        (weight * (unit == u)) @ np.where(y == 1, fn_cost * (1 - d), fp_cost * d) for u, d in rules
    ]
    upper, bound = [], []
    for parity in criterion.parities():
        for rate in parity.rates:
            above, below = np.zeros((n_units, len(rules))), np.zeros(n_units)
            for column, (u, d) in enumerate(rules):
                rows = unit == u
                above[u, column], below[u] = counted(
                    rate.name, y[rows], d[rows], rate_weight[rows]
                )
            for s in set(stratum):
                units = [u for u in range(n_units) if stratum[u] == s and below[u]]
                overall = above[units].sum(axis=0) / below[units].sum() if units else None
                rates = [above[u] / below[u] for u in units]
                for one, other in compared(rates, overall, parity):
                    if parity.min_ratio is None:
                        upper.append(one - other)
                        bound.append(parity.max_difference)
                    else:
                        upper.append(parity.min_ratio * one - other)
                        bound.append(0.0)
    result = linprog(
        np.array(cost) / weight.sum(),
        A_ub=np.array(upper) if upper else None,
        b_ub=bound if upper else None,
        A_eq=(owner == np.arange(n_units)[:, None]).astype(float),
        b_eq=np.ones(n_units),
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    assert result.status == 0
    return result.fun


@given(instance=instances(), criterion=criteria())
@reproducible(max_examples=250)
def test_optimum_equals_an_independent_programme(instance, criterion):
    """The programme over hull vertices is as cheap as one over all thresholds, built from rows."""
    expected = exact_optimum(instance, criterion)

    assert instance.solve(criterion).cost == pytest.approx(expected, abs=1e-9)


error_rates = parities([ErrorRateParity])


@given(
    instance=instances(),
    criterion=error_rates | st.builds(lambda *pair: AllOf(pair), error_rates, parities()),
)
@reproducible(max_examples=250)
def test_optimum_where_both_hulls_matter(instance, criterion):
    """The same for error rates, alone and beside others, where the upper hull alone may fail."""
    expected = exact_optimum(instance, criterion)

    assert instance.solve(criterion).cost == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("bound", ["max_difference", "min_ratio"])
@pytest.mark.parametrize("reference", ["between", "overall"])
def test_optimum_for_every_criterion(criterion, bound, reference):
    """The same for every criterion, bound and reference, where the bound costs something."""
    value = 0.03 if bound == "max_difference" else 0.97
    bounded = criterion(**{bound: value}, reference=reference)
    free = criterion(max_difference=1.0)
    costly = 0
    for seed in range(6):
        instance = random_instance(seed, 40, n_groups=2 + seed % 2, fn_cost=1.0 + seed % 2)
        cost = instance.solve(bounded).cost

        assert cost == pytest.approx(exact_optimum(instance, bounded), abs=1e-9)
        costly += cost > instance.solve(free).cost + 1e-6
    assert costly >= 4


@given(instance=instances(max_rows=14, max_groups=2), criterion=criteria(), data=st.data())
@reproducible(max_examples=100)
def test_optimum_with_strata(instance, criterion, data):
    """With one rule per group and stratum, groups are compared within strata only."""
    n = len(instance.y)
    stratum = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    unit = 2 * stratum + instance.group
    unit[0] = 3  # so that there are two groups and two strata; other units may be empty
    by_unit = instance._replace(group=unit)
    moments = criterion.moments(instance.y, unit % 2, instance.weight, unit // 2)

    solution = solve_thresholds(by_unit.points(), moments, instance.fp_cost, instance.fn_cost)

    expected = exact_optimum(instance, criterion, unit, stratum=(0, 0, 1, 1))
    assert solution.cost == pytest.approx(expected, abs=1e-9)


def test_unit_without_rows_has_one_threshold():
    """A group that does not occur accepts nobody and counts for nothing."""
    points = operating_points(
        np.array([0.5, 0.2]), np.array([True, False]), np.array([0, 2]), None, 3, hull_only=True
    )

    np.testing.assert_array_equal(points.start, [0, 2, 3, 5])
    assert points.threshold[2] == np.inf
    np.testing.assert_array_equal(points.mass, [[0, 1], [0, 0], [1, 0]])


def unweighted_rates(instance, *, hull_only=False):
    """Return the operating points with weights in the cost only."""
    rows = instance.score, instance.y == 1, instance.group, instance.weight, instance.n_groups
    return operating_points(*rows, hull_only=hull_only, weight_rates=False)


some_cost_nothing = instances(weights=[0.0, *WEIGHTS]).filter(lambda one: one.weight.any())


@given(instance=instances() | some_cost_nothing, criterion=criteria())
@reproducible(max_examples=300)
def test_optimum_with_weights_in_the_cost_only(instance, criterion):
    """With unweighted rates, pricing all thresholds finds the optimum from the hulls' vertices."""
    ones = np.ones(len(instance.y))
    moments = criterion.moments(instance.y, instance.group)
    points = unweighted_rates(instance)

    solution, kept = solve_priced_thresholds(
        points, hull_points(points), moments, instance.fp_cost, instance.fn_cost
    )

    expected = exact_optimum(instance, criterion, rate_weight=ones)
    assert solution.cost == pytest.approx(expected, abs=1e-8)
    decision = instance.decision(points.take(kept), solution.probability)
    assert instance.counted_cost(decision) == pytest.approx(solution.cost, abs=1e-9)
    unweighted = instance._replace(weight=ones)
    assert keeps_bounds(unweighted, criterion, decision)


def test_hull_vertices_are_not_enough_with_weights_in_the_cost_only():
    """Equal shares selected where one row weighs most: 1/12, from the hulls' vertices 2/12."""
    # A has two positives of weight 9 and 1 at falling scores, B a positive and a negative of
    # weight 1; a false positive costs 2. Selecting the higher of each misses 1 of the weight 12.
    # By rows and by weight alike both hulls of A have "none" and "all" only, so that selecting
    # the share s misses 10 (1 - s) in A, and B pays 2 (2 s - 1) beyond its first row: 5 at
    # s = 1/2, 2 at s = 1.
    instance = rows_in_order([1, 1], [1, 0])._replace(
        weight=np.array([9.0, 1.0, 1.0, 1.0]), fp_cost=2.0
    )
    criterion = DemographicParity(max_difference=0.0)
    moments = criterion.moments(instance.y, instance.group)
    points = unweighted_rates(instance)
    vertices = hull_points(points)

    solution, kept = solve_priced_thresholds(points, vertices, moments, 2.0, 1.0)

    assert solution.cost == pytest.approx(1 / 12, abs=1e-12)
    on_hulls = solve_thresholds(points.take(vertices), moments, 2.0, 1.0)
    assert on_hulls.cost == pytest.approx(2 / 12, abs=1e-12)
    assert len(kept) == len(vertices) + 1


@given(instance=instances(), criterion=criteria())
@reproducible(max_examples=200)
def test_solution_keeps_its_bounds_on_the_rows(instance, criterion):
    """Expected decisions on the rows have the cost it says and rates within 1e-9 of the bound."""
    points = instance.points()
    solution = instance.solve(criterion, points)
    decision = instance.decision(points, solution.probability)

    assert ((decision >= 0) & (decision <= 1)).all()
    assert instance.counted_cost(decision) == pytest.approx(solution.cost, abs=1e-9)
    assert keeps_bounds(instance, criterion, decision)


@given(instance=instances(), criterion=criteria())
@reproducible(max_examples=100)
def test_solution_draws_between_few_thresholds(instance, criterion):
    """Each group has probabilities that sum to 1, on G + E (G - 1) thresholds at the most."""
    points, moments = instance.points(), instance.moments(criterion)
    solution = instance.solve(criterion, points)

    np.testing.assert_allclose(np.bincount(points.group, solution.probability), 1.0, atol=1e-12)
    assert (solution.probability >= 0).all()
    np.testing.assert_allclose(
        solution.sums, expected_sums(points, solution.probability), atol=1e-12
    )
    n_groups, n_events = instance.n_groups, moments.n_events
    used = np.count_nonzero(solution.probability)
    assert used <= n_groups + n_events * (n_groups - 1)


# ---------------------------------------------------------------------------------------------
# Both hulls are needed.


def rows_in_order(*groups):
    """Return rows of groups given by their labels at falling scores."""
    return Instance(
        score=np.concatenate([-np.arange(len(labels)) for labels in groups]).astype(float),
        y=np.concatenate(groups),
        group=np.repeat(np.arange(len(groups)), [len(labels) for labels in groups]),
        weight=np.ones(sum(map(len, groups))),
    )


def on_hull(sums, side):
    """Return which of the points (false positives, true positives) are vertices of one hull.

    A vertex is strictly above (side 1) or below (side -1) every chord between an earlier and a
    later point.
    """
    x, y = sums.T
    return np.array(
        [
            all(
                side * ((x[b] - x[a]) * (y[i] - y[a]) - (y[b] - y[a]) * (x[i] - x[a])) > 0
                for a in range(i)
                for b in range(i + 1, len(x))
            )
            for i in range(len(x))
        ]
    )


def upper_hull_alone(instance):
    points = instance.points(hull_only=False)
    parts = np.split(points.sums, points.start[1:-1])
    return points.take(np.flatnonzero(np.concatenate([on_hull(sums, 1) for sums in parts])))


def test_upper_hull_alone_fails_for_error_rates_at_unequal_costs():
    """Equal error rates at costs 1 and 5: 0.9 with both hulls, 1.3 with the upper one alone."""
    # Accepting the k highest of A = [1, 0, 1]: errors 2, 1, 2, 1 of 3, cost 10, 5, 6, 1;
    # of B = [0, 1]: errors 1, 2, 1 of 2, cost 5, 6, 1.
    # B errs at 1/2 or more and costs 1 if all are accepted, so A must err at 1/2. Half "the two
    # highest" (below the diagonal: 1 of 1 negatives for 1 of 2 positives), half "all":
    # (2/3 + 1/3) / 2 = 1/2 at (6 + 1) / 2 = 3.5. In all (3.5 + 1) / 5 = 0.9.
    # The upper hull has "none", "the highest" and "all" only: half "none", half "all" costs
    # (10 + 1) / 2 = 5.5, in all 6.5 / 5 = 1.3.
    instance = rows_in_order([1, 0, 1], [0, 1])._replace(fn_cost=5.0)
    criterion = ErrorRateParity(max_difference=0.0)

    assert instance.solve(criterion).cost == pytest.approx(0.9, abs=1e-12)
    upper = instance.solve(criterion, upper_hull_alone(instance))
    assert upper.cost == pytest.approx(1.3, abs=1e-12)
    assert exact_optimum(instance, criterion) == pytest.approx(0.9, abs=1e-9)


def test_upper_hull_alone_fails_for_error_rates_beside_selection_rates():
    """Equal error and selection rates: 0.375 with both hulls, 0.5 with the upper one alone."""
    # Let both groups select the share s and err at e, which is then also the cost.
    # B = [0, 0, 1] errs at 1/3 + s/3 at least: from "none" (s, e) = (0, 1/3) to "all" (1, 2/3).
    # A = [0, 0, 0, 1] errs between 1/4 + s/2, from "none" (0, 1/4) to "all" (1, 3/4), and, below
    # the diagonal, 1/4 + s, from "none" to "the three highest" (3/4, 1).
    # 1/3 + s/3 <= 1/4 + s from s = 1/8 on: e = 1/3 + 1/24 = 0.375.
    # On the upper hulls alone 1/3 + s/3 = 1/4 + s/2: s = 1/2, e = 1/2.
    instance = rows_in_order([0, 0, 0, 1], [0, 0, 1])
    criterion = AllOf([ErrorRateParity(max_difference=0.0), DemographicParity(max_difference=0.0)])

    assert instance.solve(criterion).cost == pytest.approx(0.375, abs=1e-12)
    upper = instance.solve(criterion, upper_hull_alone(instance))
    assert upper.cost == pytest.approx(0.5, abs=1e-12)
    assert exact_optimum(instance, criterion) == pytest.approx(0.375, abs=1e-9)


@given(instance=instances(max_rows=20, max_groups=2))
@reproducible(max_examples=200)
def test_hull_has_every_vertex_and_nothing_inside(instance):
    """With ties and weights, every vertex of either hull is kept, and no point off the hull."""
    every, kept = instance.points(hull_only=False), instance.points()
    for g in range(instance.n_groups):
        sums = every.sums[every.start[g] : every.start[g + 1]]
        vertex = on_hull(sums, 1) | on_hull(sums, -1)
        found = np.isin(
            every.threshold[every.start[g] : every.start[g + 1]],
            kept.threshold[kept.start[g] : kept.start[g + 1]],
        )
        # Weights are multiples of 1/2, so that sums are exact and so are products of theirs: a
        # kept point that is no vertex can only be on a straight edge, for rounding of its share.
        assert (found >= vertex).all()
        for i in np.flatnonzero(found & ~vertex):
            a, b = np.flatnonzero(vertex[:i])[-1], i + 1 + np.flatnonzero(vertex[i + 1 :])[0]
            one, other = sums[i] - sums[a], sums[b] - sums[i]
            assert one[0] * other[1] == one[1] * other[0]


@pytest.mark.parametrize("seed", range(5))
def test_hull_equals_that_of_another_library(seed):
    """On continuous scores and weights the vertices are those that Qhull finds."""
    instance = random_instance(seed, 300)
    every, kept = instance.points(hull_only=False), instance.points()
    for g in range(instance.n_groups):
        part = slice(every.start[g], every.start[g + 1])
        vertices = np.sort(ConvexHull(every.sums[part]).vertices)

        np.testing.assert_array_equal(
            kept.threshold[kept.start[g] : kept.start[g + 1]], every.threshold[part][vertices]
        )


# ---------------------------------------------------------------------------------------------
# Section B.2 of the notes: for one rate the groups separate given the window of rates.


def closed_form(instance, parity):
    """Return the least mean cost under a bound on one rate, by a search over its windows."""
    score, y, group, weight, fp_cost, fn_cost = instance
    free, curves = 0.0, []
    for g in range(instance.n_groups):
        rows = group == g
        rules = [1.0 * (score[rows] >= t) for t in [*np.unique(score[rows]), np.inf]]
        cost = np.array(
            [weight[rows] @ np.where(y[rows] == 1, fn_cost * (1 - d), fp_cost * d) for d in rules]
        )
        name = parity.rates[0].name
        rate = np.array([counted_rate(name, y[rows], d, weight[rows]) for d in rules])
        if np.isnan(rate).any():
            free += cost.min()
        else:
            curves.append(lower_envelope(rate, cost))
    ends = np.concatenate([np.zeros(1), *[rate for rate, _ in curves]])
    if parity.min_ratio is None:
        lows = np.append(ends, ends - parity.max_difference)
        windows = [(low, low + parity.max_difference) for low in lows]
    else:
        highs = np.append(ends, ends / parity.min_ratio) if parity.min_ratio else ends
        windows = [(parity.min_ratio * high, high) for high in highs]
    totals = [
        sum(
            np.interp(np.clip(rate[np.argmin(cost)], low, high), rate, cost)
            for rate, cost in curves
        )
        for low, high in windows
        if all(rate[0] <= high + 1e-12 and low - 1e-12 <= rate[-1] for rate, _ in curves)
    ]
    return (free + min(totals)) / weight.sum()


def lower_envelope(x, y):
    """Return the vertices of the lower convex envelope of points, by definition."""
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    first = np.append(True, np.diff(x) > 0)
    x, y = x[first], y[first]
    keep = [
        i
        for i in range(len(x))
        if all(
            y[i] < y[a] + (y[b] - y[a]) * (x[i] - x[a]) / (x[b] - x[a])
            for a, b in combinations([j for j in range(len(x)) if j != i], 2)
            if a < i < b
        )
    ]
    return x[keep], y[keep]


SINGLE_RATES = [c for c in CRITERIA if c is not EqualizedOdds]


@given(instance=instances(), criterion=parities(SINGLE_RATES, references=["between"]))
@reproducible(max_examples=200)
def test_optimum_for_one_rate_equals_the_closed_form(instance, criterion):
    """For one rate the programme agrees with projecting each group's best rate on a window."""
    expected = closed_form(instance, criterion)

    assert instance.solve(criterion).cost == pytest.approx(expected, abs=1e-9)


# ---------------------------------------------------------------------------------------------
# Prices.

PRICED = [
    DemographicParity(max_difference=0.1),
    EqualizedOdds(max_difference=0.04),
    ErrorRateParity(max_difference=0.02),
    EqualOpportunity(max_difference=0.02, reference="overall"),
    EqualizedOdds(max_difference=0.03, reference="overall"),
    AllOf([EqualOpportunity(max_difference=0.05), DemographicParity(max_difference=0.2)]),
    AllOf([FalsePositiveRateParity(max_difference=0.02), DemographicParity(min_ratio=0.7)]),
]


@pytest.mark.parametrize("criterion", PRICED)
def test_bound_price_is_the_derivative_of_cost(criterion):
    """What one more unit of a bound saves is what solving again at a shifted bound shows."""
    step, checked = 1e-6, 0
    for seed in range(5):
        instance = random_instance(seed, 120, n_groups=2 + seed % 2, fp_cost=2.0, fn_cost=3.0)
        points, moments = instance.points(), instance.moments(criterion)

        def solve(moments, points=points):
            return solve_thresholds(points, moments, 2.0, 3.0)

        price = solve(moments).bound_price
        for event in np.flatnonzero(moments.is_ratio):
            assert price[event] == 0
        for event in np.flatnonzero(~moments.is_ratio):
            shift = step * (np.arange(moments.n_events) == event)
            tighter = solve(moments._replace(bound=moments.bound - shift)).cost
            looser = solve(moments._replace(bound=moments.bound + shift)).cost
            here = solve(moments).cost
            if abs((tighter - here) - (here - looser)) < 1e-10:  # no breakpoint within a step
                assert price[event] == pytest.approx((tighter - looser) / (2 * step), abs=1e-4)
                checked += price[event] > 1e-3
    assert checked >= 3


@given(instance=instances(), criterion=criteria())
@reproducible(max_examples=200)
def test_used_points_have_no_reduced_cost_among_all_thresholds(instance, criterion):
    """At the solution's prices no threshold is cheaper than those used: hulls leave no gain."""
    points, every = instance.points(), instance.points(hull_only=False)
    solution = instance.solve(criterion, points)
    costs = instance.fp_cost, instance.fn_cost

    reduced = reduced_cost(every, instance.moments(criterion), *costs, solution)

    assert (reduced >= 0).all()
    used = solution.probability > 0
    for group, threshold in zip(points.group[used], points.threshold[used], strict=True):
        same = (every.group == group) & (every.threshold == threshold)
        np.testing.assert_allclose(reduced[same], [0.0], atol=1e-9)


@given(instance=instances(), criterion=criteria(), other_costs=st.sampled_from(COSTS))
@reproducible(max_examples=200)
def test_any_other_rule_costs_at_least_its_reduced_costs_more(instance, criterion, other_costs):
    """What keeps the bounds, here the optimum at other costs, is dearer by those at least."""
    every, moments = instance.points(hull_only=False), instance.moments(criterion)
    solution = instance.solve(criterion)
    reduced = reduced_cost(every, moments, instance.fp_cost, instance.fn_cost, solution)

    other = solve_thresholds(every, moments, *other_costs)

    cost = instance.counted_cost(instance.decision(every, other.probability))
    assert cost - solution.cost >= other.probability @ reduced - 1e-8


@given(instance=instances(), criterion=criteria())
@reproducible(max_examples=200)
def test_prices_certify_the_optimum(instance, criterion):
    """Strong duality: the least priced cost over all thresholds, less the priced bounds."""
    moments, every = instance.moments(criterion), instance.points(hull_only=False)
    solution = instance.solve(criterion)

    reject_all = instance.counted_cost(np.zeros(len(instance.y)))
    cost = every.sums @ (instance.fp_cost, -instance.fn_cost) / instance.weight.sum()
    priced = cost + point_rates(every, moments).T @ solution.rate_price
    bound = np.where(moments.is_ratio, 0.0, moments.bound)
    dual = reject_all + np.minimum.reduceat(priced, every.start[:-1]).sum()

    assert dual - solution.bound_price @ bound == pytest.approx(solution.cost, abs=1e-8)
    assert (solution.bound_price >= 0).all()


@given(instance=instances(), criterion=parities(references=["between"]))
@reproducible(max_examples=100)
def test_prices_balance_within_each_event(instance, criterion):
    """Between groups the prices of an event sum to zero, or are in the ratio of the bound."""
    moments = instance.moments(criterion)
    price = instance.solve(criterion).rate_price

    for event in range(moments.n_events):
        own = price[moments.event == event]
        upper, lower = own[own > 0].sum(), -own[own < 0].sum()
        if criterion.min_ratio is None:
            assert upper == pytest.approx(lower, abs=1e-8)
        elif criterion.min_ratio < 1:
            # A row at both ends of its window at once (a rate of 0) shows the difference only,
            # which takes the same off both sums.
            assert upper <= criterion.min_ratio * lower + 1e-8


# ---------------------------------------------------------------------------------------------
# Operating points.

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TINY = np.finfo(float).smallest_subnormal


def check_points(score, label, weight):
    """Assert that the points are those of counting at every threshold that tells rows apart."""
    score, label = np.asarray(score, dtype=float), np.asarray(label)
    points = operating_points(
        score, label == 1, np.zeros(len(score), dtype=np.intp), weight, 1, hull_only=False
    )
    distinct = np.unique(score)[::-1]
    threshold = points.threshold
    assert len(threshold) == len(distinct) + 1
    assert threshold[0] == np.inf
    assert threshold[-1] == -np.inf
    # Each one splits the distinct scores at its place, and accepts nothing but what is above it.
    assert (threshold[1:-1] <= distinct[:-1]).all()
    assert (threshold[1:-1] > distinct[1:]).all()
    weight = np.ones(len(score)) if weight is None else weight
    counted = [
        [weight[(score >= t) & (label == 0)].sum(), weight[(score >= t) & (label == 1)].sum()]
        for t in threshold
    ]
    np.testing.assert_allclose(points.sums, counted, atol=1e-12)
    np.testing.assert_allclose(points.mass, counted[-1:], atol=1e-12)
    return threshold


@given(score=st.lists(FLOATS, min_size=1, max_size=10), data=st.data())
@reproducible(max_examples=200)
def test_points_are_those_of_counting(score, data):
    """For any finite scores, huge, tiny or tied, each threshold accepts what it says."""
    n = len(score)
    label = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    weight = data.draw(
        st.none() | st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=n, max_size=n)
    )
    check_points(score, label, None if weight is None else np.array(weight))


@pytest.mark.parametrize(
    "score",
    [
        [1.0, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0)],
        [-1.0, np.nextafter(-1.0, 0.0), np.nextafter(-1.0, -2.0)],
        [0.0, TINY, -TINY, 2 * TINY, 3 * TINY],
        [np.finfo(float).max, np.nextafter(np.finfo(float).max, 0.0), -np.finfo(float).max],
        [1e-300, 1e300, -1e300, -1e-300, 0.0],
        [0.0, -0.0, 1.0],
        [0.1 + 0.2, 0.3],
    ],
)
def test_neighbouring_and_extreme_scores_are_told_apart(score):
    """Scores that are one float apart, or as far apart as floats can be, get a threshold each."""
    check_points(score, np.arange(len(score)) % 2, None)


def test_thresholds_by_hand():
    """Thresholds lie midway between neighbouring scores and end at plus and minus infinity."""
    threshold = check_points([0.25, 0.75, 0.25, -1.0, 3.0], [0, 1, 1, 0, 1], None)

    np.testing.assert_array_equal(threshold, [np.inf, 1.875, 0.5, -0.375, -np.inf])


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1e9, 1e300])
def test_optimum_does_not_depend_on_the_scale_of_scores(scale):
    """Scores count by their order: multiplied, they give the same cost and decisions."""
    instance = random_instance(0, 60)
    scaled = instance._replace(score=instance.score * scale)
    criterion = EqualizedOdds(max_difference=0.05)

    one, other = instance.solve(criterion), scaled.solve(criterion)

    assert one.cost == pytest.approx(other.cost, abs=1e-12)
    np.testing.assert_allclose(
        instance.decision(instance.points(), one.probability),
        scaled.decision(scaled.points(), other.probability),
        atol=1e-9,
    )


@given(instance=instances())
@reproducible(max_examples=100)
def test_order_of_rows_does_not_matter(instance):
    """Operating points are the same for permuted rows, and for none but unit weights."""
    order = np.random.default_rng(0).permutation(len(instance.y))
    permuted = Instance(*[column[order] for column in instance[:4]], *instance[4:])
    one, other = instance.points(), permuted.points()

    np.testing.assert_array_equal(one.start, other.start)
    np.testing.assert_array_equal(one.threshold, other.threshold)
    np.testing.assert_allclose(one.sums, other.sums, atol=1e-12)

    unit, none = (instance._replace(weight=w).points() for w in (np.ones(len(order)), None))
    np.testing.assert_array_equal(unit.threshold, none.threshold)
    np.testing.assert_array_equal(unit.sums, none.sums)


def test_weights_without_trace_in_the_sums_do_no_harm():
    """A weight lost in rounding gives neither a vertex nor a division by zero."""
    weight = np.array([1e20, 1.0, 1.0, 1e20])
    group = np.zeros(4, dtype=np.intp)

    points = operating_points(
        np.array([4.0, 3.0, 2.0, 1.0]),
        np.array([True, False, True, False]),
        group,
        weight,
        1,
        hull_only=True,
    )

    np.testing.assert_array_equal(points.threshold[[0, -1]], [np.inf, -np.inf])
    np.testing.assert_allclose(points.mass, [[1e20, 1e20]])


def test_many_groups():
    """Groups far more than 2^15 keep their rows apart."""
    n_groups = 2**15 + 5
    group = np.repeat(np.arange(n_groups), 2)
    score = np.tile([1.0, 0.0], n_groups)
    label = np.tile([True, False], n_groups)
    label[-2:] = False, True

    points = operating_points(score, label, group, None, n_groups, hull_only=False)

    np.testing.assert_array_equal(np.diff(points.start), 3)
    np.testing.assert_array_equal(points.sums[:3], [[0, 0], [0, 1], [1, 1]])
    np.testing.assert_array_equal(points.sums[-3:], [[0, 0], [1, 0], [1, 1]])


# ---------------------------------------------------------------------------------------------
# Decisions.


def test_accept_probability_by_hand():
    """A row is accepted with the probabilities of the thresholds that it reaches."""
    threshold = np.array([[0.2, 0.6, 0.6], [-np.inf, 0.5, np.inf]])
    probability = np.array([[0.3, 0.7, 0.0], [0.25, 0.5, 0.25]])
    score = np.array([0.1, 0.2, 0.6, 0.1, 0.5, 9.0])
    group = np.array([0, 0, 0, 1, 1, 1])

    # group 0: below both, at the lower, at both; group 1: always 1/4, from 0.5 on 3/4, never all
    np.testing.assert_allclose(
        accept_probability(score, group, threshold, probability), [0, 0.3, 1, 0.25, 0.75, 0.75]
    )


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8))
@reproducible(max_examples=100)
def test_row_above_all_thresholds_is_accepted_for_certain(parts):
    """Rounding of the running sum leaves no accepted row a chance to be refused."""
    probability = np.array([parts]) / sum(parts)
    threshold = np.arange(len(parts))[None, :] / 10.0

    accepted = accept_probability(
        np.array([-1.0, 0.35, 5.0]), np.zeros(3, dtype=np.intp), threshold, probability
    )

    assert accepted[0] == 0
    assert 0 <= accepted[1] <= 1
    assert accepted[2] == 1


@pytest.mark.parametrize("criterion", CRITERIA)
def test_bound_of_one_costs_nothing(criterion):
    """A bound that cannot bind leaves each group its own cheapest threshold, at price zero."""
    # Of rows whose cheapest rates differ by less than 1: at 1 prices up to that of tightening do.
    instance = random_instance(2, 100, n_groups=3, fn_cost=2.0)
    every = instance.points(hull_only=False)
    cost = every.sums @ (instance.fp_cost, -instance.fn_cost) / instance.weight.sum()
    cheapest = np.minimum.reduceat(cost, every.start[:-1]).sum()

    solution = instance.solve(criterion(max_difference=1.0))

    assert solution.cost == pytest.approx(
        cheapest + instance.counted_cost(np.zeros(len(instance.y))), abs=1e-12
    )
    np.testing.assert_allclose(solution.bound_price, 0.0, atol=1e-12)
