"""One plain threshold per group: the search against all combinations."""

from itertools import product

import numpy as np
import pytest
from helpers import (
    CRITERIA,
    Instance,
    criteria,
    instances,
    keeps_bounds,
    random_instance,
    reproducible,
)
from hypothesis import given
from hypothesis import strategies as st

from fairlearnkit import (
    AllOf,
    Capacity,
    DemographicParity,
    EqualizedOdds,
    ErrorRateParity,
    MinimumRate,
)
from fairlearnkit._kernels import plain_thresholds
from fairlearnkit._kernels.moments import group_rates, violations
from fairlearnkit._kernels.plain_thresholds import solve_plain_thresholds
from fairlearnkit._kernels.thresholds import operating_points, solve_thresholds
from fairlearnkit.constraints import TRUE_POSITIVE_RATE


def plain_optimum(instance, criterion, *, hull_only=False):
    """Return what the search finds among the operating points."""
    points = instance.points(hull_only=hull_only)
    return solve_plain_thresholds(
        points,
        instance.moments(criterion),
        instance.fp_cost,
        instance.fn_cost,
        instance.solve(criterion),
    )


def brute_force(instance, criterion):
    """Return the least cost over all combinations of thresholds within the bounds, else inf."""
    score, group = instance.score, instance.group
    best = np.inf
    choices = [[*np.unique(score[group == g]), np.inf] for g in range(instance.n_groups)]
    for thresholds in product(*choices):
        decision = 1.0 * (score >= np.array(thresholds)[group])
        cost = instance.counted_cost(decision)
        if cost < best and keeps_bounds(instance, criterion, decision):
            best = cost
    return best


def check_against_brute_force(instance, criterion):
    """Assert that the search finds the best combination, or none where there is none."""
    found = plain_optimum(instance, criterion)
    expected = brute_force(instance, criterion)
    if found is None:
        assert expected == np.inf
        return None
    points, moments = instance.points(hull_only=False), instance.moments(criterion)
    assert found.cost == pytest.approx(expected, abs=1e-9)
    assert found.is_proven
    # One point of each group, with the cost it says and within the bounds.
    np.testing.assert_array_equal(points.group[found.point], np.arange(instance.n_groups))
    decision = instance.score >= points.threshold[found.point][instance.group]
    assert instance.counted_cost(decision) == pytest.approx(found.cost, abs=1e-12)
    assert keeps_bounds(instance, criterion, 1.0 * decision)
    assert violations(moments, group_rates(moments, points.sums[found.point])).max() <= 1e-9
    return found


@given(instance=instances(max_rows=11), criterion=criteria())
@reproducible(max_examples=200)
def test_search_equals_all_combinations(instance, criterion):
    """On tiny instances the search finds the best combination of all, and proves it."""
    check_against_brute_force(instance, criterion)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("bound", ["max_difference", "min_ratio"])
@pytest.mark.parametrize("reference", ["between", "overall"])
def test_search_for_every_criterion(criterion, bound, reference):
    """The same for every criterion, bound and reference, where the bound costs something."""
    value = 0.05 if bound == "max_difference" else 0.97
    bounded = criterion(**{bound: value}, reference=reference)
    costly = 0
    for seed in range(4):
        instance = random_instance(seed, 24, n_groups=2 + seed % 2, fn_cost=1.0 + seed % 2)
        free = plain_optimum(instance, criterion(max_difference=1.0))

        found = check_against_brute_force(instance, bounded)

        costly += found is None or found.cost > free.cost + 1e-9
    assert costly >= 2


def test_best_plain_thresholds_are_not_on_the_hulls():
    """Equal selection at costs 2 and 1: 1/4, where the hulls' vertices offer 1/2 at best."""
    # A has labels 1, 0 at falling scores, B has 1, 1. Accepting the higher of each is right for A
    # and costs one false negative in B: 1 of 4. B's hull has "none" and "all" only, since its
    # points (0, 0), (0, 1), (0, 2) are on one line: none of both groups costs 3 false negatives,
    # all of both one false positive of cost 2, 2 of 4.
    instance = Instance(
        score=np.array([2.0, 1.0, 2.0, 1.0]),
        y=np.array([1, 0, 1, 1]),
        group=np.array([0, 0, 1, 1]),
        weight=np.ones(4),
        fp_cost=2.0,
    )
    criterion = DemographicParity(max_difference=0.0)

    assert plain_optimum(instance, criterion).cost == pytest.approx(0.25)
    assert plain_optimum(instance, criterion, hull_only=True).cost == pytest.approx(0.5)


def test_hull_vertices_are_not_enough():
    """A search among the hulls' vertices alone is never cheaper, and mostly dearer."""
    criterion, dearer = DemographicParity(max_difference=0.02), 0
    for seed in range(10):
        instance = random_instance(seed, 60)
        every = plain_optimum(instance, criterion).cost
        vertices = plain_optimum(instance, criterion, hull_only=True)

        assert vertices is None or vertices.cost >= every - 1e-12
        dearer += vertices is None or vertices.cost > every + 1e-6
    assert dearer > 5


def test_none_where_no_combination_keeps_the_bounds():
    """Plain thresholds may be unable to meet a bound that mixtures meet."""
    # A errs at 0 or 1 (one row), B at 1/2 whatever its threshold (one of each label, tied).
    instance = Instance(
        score=np.array([1.0, 2.0, 2.0]),
        y=np.array([1, 0, 1]),
        group=np.array([0, 1, 1]),
        weight=np.ones(3),
    )
    criterion = ErrorRateParity(max_difference=0.1)

    assert plain_optimum(instance, criterion) is None
    assert brute_force(instance, criterion) == np.inf
    # mixed, A errs at 0.4 and B at 1/2: (0.4 + 1) / 3
    assert instance.solve(criterion).cost == pytest.approx(1.4 / 3)


@given(parts=st.lists(instances(max_rows=8), min_size=2, max_size=3), criterion=criteria())
@reproducible(max_examples=60)
def test_strata_equal_all_combinations_in_each(parts, criterion):
    """Groups within strata, some of them empty: the best combination of all, and proven."""
    fp_cost, fn_cost = parts[0].fp_cost, parts[0].fn_cost
    parts = [part._replace(fp_cost=fp_cost, fn_cost=fn_cost) for part in parts]
    least = [brute_force(part, criterion) for part in parts]
    expected = np.average(least, weights=[part.weight.sum() for part in parts])
    score, y, group, weight = (
        np.concatenate(c) for c in zip(*(p[:4] for p in parts), strict=True)
    )
    strata = np.repeat(np.arange(len(parts)), [len(part.y) for part in parts])
    n_groups = group.max() + 1
    unit = strata * n_groups + group
    moments = criterion.moments(y, group, weight, strata)
    costs, n_units = (fp_cost, fn_cost), len(parts) * n_groups
    vertices, points = (
        operating_points(score, y == 1, unit, weight, n_units, hull_only=hull_only)
        for hull_only in (True, False)
    )
    mixed = solve_thresholds(vertices, moments, *costs)

    found = solve_plain_thresholds(points, moments, *costs, mixed)

    assert (np.inf if found is None else found.cost) == pytest.approx(expected, abs=1e-9)
    if found is not None:
        assert found.is_proven
        np.testing.assert_array_equal(points.group[found.point], np.arange(n_units))
        assert violations(moments, group_rates(moments, points.sums[found.point])).max() <= 1e-9


def test_many_strata_are_proven_where_each_is():
    """The number of strata makes no combinations: 20 of them are settled one by one."""
    instance, strata = random_instance(0, 4000), np.arange(4000) % 20
    criterion, unit = EqualizedOdds(max_difference=0.02), 2 * strata + instance.group
    by_unit = instance._replace(group=unit)
    moments = instance.moments(criterion, strata)
    mixed = solve_thresholds(by_unit.points(), moments, 1.0, 1.0)

    found = solve_plain_thresholds(by_unit.points(hull_only=False), moments, 1.0, 1.0, mixed)

    alone = [Instance(*(part[strata == s] for part in instance[:4])) for s in range(20)]
    expected = [all_pairs(each, criterion) for each in alone]
    assert found.is_proven
    assert found.cost == pytest.approx(
        np.average(expected, weights=[each.weight.sum() for each in alone]), abs=1e-10
    )


def test_floors_do_not_couple_groups():
    """Under floors alone each of many groups has its cheapest threshold that meets them."""
    instance = random_instance(0, 3000, n_groups=30)
    criterion = MinimumRate(TRUE_POSITIVE_RATE, at_least=0.7)
    moments = criterion.moments(instance.y, instance.group, instance.weight)
    points = instance.points(hull_only=False)

    found = plain_optimum(instance, criterion)

    rate = points.sums[:, 1] / moments.mass[points.group, 1]
    _, cost = points.cost(1.0, 1.0)
    cost[rate < 0.7] = np.inf
    assert found.is_proven
    for g, chosen in enumerate(found.point):
        assert cost[chosen] == cost[points.group == g].min()


def all_pairs(instance, criterion):
    """Return the least cost over all pairs of thresholds of two groups, at once."""
    points, moments = instance.points(hull_only=False), instance.moments(criterion)
    group = [points.sums[: points.start[1]], points.sums[points.start[1] :]]
    within = np.array(True)
    for event in range(moments.n_events):
        rows = np.flatnonzero(moments.event == event)
        one, other = (group[moments.unit[k]] @ moments.slope[k] + moments.offset[k] for k in rows)
        one, other = one[:, None], other[None, :]
        pairs = [(one, other), (other, one)]
        if moments.to_overall[event]:
            overall = moments.share[rows[0]] * one + moments.share[rows[1]] * other
            pairs = [(one, overall), (overall, one), (other, overall), (overall, other)]
        for high, low in pairs:
            if moments.is_ratio[event]:
                within = within & (moments.bound[event] * high - low <= 1e-12)
            else:
                within = within & (high - low <= moments.bound[event] + 1e-12)
    wrong = (instance.fp_cost, -instance.fn_cost)
    saved = (group[0] @ wrong)[:, None] + (group[1] @ wrong)[None, :]
    least = np.where(within, saved, np.inf).min() / instance.weight.sum()
    return instance.counted_cost(np.zeros(len(instance.y))) + least


@pytest.mark.parametrize(
    "criterion",
    [
        DemographicParity(max_difference=0.02),
        DemographicParity(min_ratio=0.95),
        DemographicParity(min_ratio=0.9, reference="overall"),
        ErrorRateParity(max_difference=0.01),
        EqualizedOdds(max_difference=0.05),
        EqualizedOdds(max_difference=0.05, reference="overall"),
        EqualizedOdds(min_ratio=0.8),
        AllOf([EqualizedOdds(max_difference=0.2), DemographicParity(min_ratio=0.7)]),
        AllOf([ErrorRateParity(max_difference=0.05), DemographicParity(max_difference=0.1)]),
    ],
)
@pytest.mark.parametrize("seed", range(2))
def test_search_equals_all_pairs_of_two_larger_groups(criterion, seed):
    """With hundreds of thresholds in each of two groups the best pair is found, and proven."""
    instance = random_instance(seed, 500, fn_cost=2.0)

    found = plain_optimum(instance, criterion)

    assert found.cost == pytest.approx(all_pairs(instance, criterion), abs=1e-10)
    assert found.is_proven


@pytest.mark.parametrize(
    "criterion",
    [
        EqualizedOdds(max_difference=0.05),
        EqualizedOdds(min_ratio=0.8, reference="overall"),
        AllOf([EqualizedOdds(max_difference=0.1), DemographicParity(min_ratio=0.7)]),
    ],
)
@pytest.mark.parametrize("n_groups", [3, 5])
def test_search_that_gives_up_says_so(criterion, n_groups, monkeypatch):
    """Where the enumeration is cut short, the answer keeps its bounds and claims no proof."""
    monkeypatch.setattr(plain_thresholds, "_BUDGET", 1)
    instance = random_instance(0, 1000, n_groups=n_groups)
    points, moments = instance.points(hull_only=False), instance.moments(criterion)

    found, mixed = plain_optimum(instance, criterion), instance.solve(criterion)

    assert not found.is_proven
    assert violations(moments, group_rates(moments, points.sums[found.point])).max() <= 1e-9
    assert found.cost >= mixed.cost - 1e-9


@pytest.mark.parametrize("seed", [4, 23, 38])
def test_a_ceiling_beside_a_parity_to_overall(seed):
    """The cheapest choices in wide windows are above the ceiling: the search finds the best."""
    rng = np.random.default_rng(seed)
    group, score = rng.integers(4, size=1500), rng.random(1500).round(3)
    y = (rng.random(1500) < 0.6 * score + 0.075 * group).astype(int)
    instance = Instance(score, y, group, np.ones(1500), fp_cost=0.5)
    parity = DemographicParity(max_difference=0.03, reference="overall")
    assert plain_optimum(instance, AllOf([parity, Capacity(at_most=0.3)])).is_proven


def test_bound_of_one_takes_the_cheapest_threshold_of_each_group():
    """Without a binding bound the best thresholds are plain."""
    instance = random_instance(1, 300, n_groups=3)
    for criterion in CRITERIA:
        bounded = criterion(max_difference=1.0)
        assert plain_optimum(instance, bounded).cost == pytest.approx(
            instance.solve(bounded).cost, abs=1e-12
        )
