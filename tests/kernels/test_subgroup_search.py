"""Oracles for the worst subgroup against enumeration, what they share, and which one is chosen."""

from itertools import combinations, product

import numpy as np
import pytest
from helpers import reproducible
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from fairlearnkit._kernels import subgroup_search
from fairlearnkit._kernels.subgroup_search import (
    AIMS,
    Points,
    all_subsets_bound,
    best_interval,
    categories,
    conjunctions,
    distinct,
    evidence,
    inside,
    linear_thresholds,
    search,
    sweep,
    tree_leaves,
    worst_subgroups,
    worth,
)


def points_of(codes, n_levels, ordered, value, numbers=None):
    """Return the points of rows with these codes and values in [0, 1]."""
    levels, place = distinct(codes, n_levels)
    weight = np.full(len(codes), 1 / len(codes))
    return Points(
        levels,
        n_levels,
        ordered,
        levels.astype(float) if numbers is None else numbers,
        np.bincount(place, weight, len(levels)),
        np.bincount(place, weight * value, len(levels)),
    )


def tiny_points(seed, ordered, n_levels=(3, 4, 2), n_rows=60):
    """Return the points of random rows."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(n, size=n_rows) for n in n_levels], axis=1)
    return points_of(codes, n_levels, ordered, rng.random(n_rows))


def whole(points):
    return points.mass.sum(), points.total.sum()


def worth_of(points, members, aim):
    """Return what a set of points is worth."""
    mass, total = points.mass[members].sum(), points.total[members].sum()
    return float(worth(aim, mass, total, whole(points)))


def every_conjunction(points, depth):
    """Return the members of all conjunctions of a category or an interval, one by one."""
    for columns in combinations(range(len(points.n_levels)), depth):
        conditions = []
        for j in columns:
            n = points.n_levels[j]
            if points.ordered[j]:
                ranges = [(a, b) for a in range(n) for b in range(a, n)]
            else:
                ranges = [(a, a) for a in range(n)] + [(0, n - 1)]
            conditions.append(ranges)
        for chosen in product(*conditions):
            rows = np.ones(len(points.mass), dtype=bool)
            for j, (a, b) in zip(columns, chosen, strict=True):
                rows &= (points.codes[:, j] >= a) & (points.codes[:, j] <= b)
            yield rows


@pytest.mark.parametrize("ordered", [(False,) * 3, (False, True, False), (True,) * 3])
def test_conjunctions_are_exact(ordered):
    """On small spaces the best of all conjunctions of each depth is found, by either aim."""
    for seed in range(15):
        points = tiny_points(seed, ordered)
        found, limits = conjunctions(points, 3)
        assert limits == []
        for depth, by_aim in enumerate(found, 1):
            sets = list(every_conjunction(points, depth))
            for aim in AIMS:
                best = max(worth_of(points, members, aim) for members in sets)
                members = by_aim[aim].contains(points.codes, points.numbers)
                np.testing.assert_allclose(worth_of(points, members, aim), best, atol=1e-12)
                np.testing.assert_allclose(points.gain[members].sum(), by_aim[aim].total)


@pytest.mark.parametrize("aim", AIMS)
def test_coarse_conjunctions_are_polished(aim):
    """An interval of a column with many levels is found to the level."""
    rng = np.random.default_rng(0)
    codes = np.stack([np.repeat(np.arange(100), 3), np.tile(np.arange(3), 100)], axis=1)
    planted = (codes[:, 0] >= 37) & (codes[:, 0] <= 61) & (codes[:, 1] == 1)
    points = points_of(
        codes, (100, 3), (True, False), 0.3 + 0.4 * planted + 1e-3 * rng.random(300)
    )
    found = conjunctions(points, 2)[0][1][aim]
    assert (inside(found.boxes[0], points.codes) == planted).all()


def test_what_is_left_out_is_told():
    """With many columns only the promising sets are searched: a planted one is found, and said."""
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=(2000, 30))
    planted = (codes[:, 4] == 1) & (codes[:, 17] == 2) & (codes[:, 25] == 0)
    value = (rng.random(2000) < np.where(planted, 0.95, 0.3)).astype(float)
    points = points_of(codes, (3,) * 30, (False,) * 30, value)
    found, limits = conjunctions(points, 3)
    assert (
        inside(found[2]["evidence"].boxes[0], points.codes) == planted[distinct_rows(codes)]
    ).all()
    assert len(limits) == 1
    assert "of 4,060 sets of columns" in limits[0]


def distinct_rows(codes):
    """Return a row of each point, in the order of the points."""
    place = distinct(codes, (3,) * codes.shape[1])[1]
    return np.unique(place, return_index=True)[1]


def test_a_small_budget_is_told(monkeypatch):
    """Where cells are left out that could matter, the search says so."""
    monkeypatch.setattr(subgroup_search, "_BUDGET", 5)
    # A chequerboard: nothing is seen of it in one column.
    codes = np.stack([np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)], axis=1)
    points = points_of(codes, (6, 8), (False, True), codes.sum(axis=1) % 2)
    assert any("left out" in limit for limit in conjunctions(points, 2)[1])


@reproducible(max_examples=60)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9))
def test_best_interval(sums):
    """Kadane's interval is the best of all that are not empty."""
    value, start, end = best_interval(np.array(sums, dtype=float))
    best = max(sum(sums[a : b + 1]) for a in range(len(sums)) for b in range(a, len(sums)))
    assert value == best == sum(sums[start : end + 1])


def test_evidence_is_a_likelihood_ratio():
    """30 of 50 against 40 of 150: the difference of three binomial log-likelihoods."""
    found = evidence(50 / 200, 30 / 200, (1.0, 70 / 200))
    separate = binom.logpmf(30, 50, 30 / 50) + binom.logpmf(40, 150, 40 / 150)
    common = binom.logpmf(30, 50, 70 / 200) + binom.logpmf(40, 150, 70 / 200)
    np.testing.assert_allclose(200 * found, separate - common)


@reproducible(max_examples=60)
@given(st.integers(0, 10_000))
def test_evidence_is_convex(seed):
    """Between two sets it is nowhere above the chord: what thresholds and climbing rest on."""
    rng = np.random.default_rng(seed)
    mass = rng.uniform(0.01, 0.99, 2)
    low, high = np.maximum(0, mass - 0.5), np.minimum(mass, 0.5)
    total = rng.uniform(low, high)
    middle = evidence(mass.mean(), total.mean(), (1.0, 0.5))
    assert middle <= evidence(mass, total, (1.0, 0.5)).mean() + 1e-12


@reproducible(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from(AIMS))
def test_sweep_tries_every_threshold(seed, aim):
    """The cut is the best of all, and keeps tied scores together."""
    rng = np.random.default_rng(seed)
    points = points_of(np.arange(12)[:, None], (12,), (True,), rng.random(12))
    score = rng.integers(5, size=12) / 3.0
    threshold, total = sweep(score, points, aim)
    by_hand = [worth_of(points, score >= cut, aim) for cut in np.unique(score)[1:]]
    np.testing.assert_allclose(worth_of(points, score > threshold, aim), max(by_hand), atol=1e-12)
    np.testing.assert_allclose(points.gain[score > threshold].sum(), total, atol=1e-12)


def test_linear_rules_find_a_direction():
    """A planted half-space that no single attribute shows is found almost whole."""
    rng = np.random.default_rng(0)
    design = rng.normal(size=(3000, 2))
    inside_it = design @ [1.0, -1.0] > 0.5
    value = np.where(inside_it, 0.7, 0.3) + 0.2 * rng.random(3000)
    codes = np.tile(np.arange(3000)[:, None], 2)
    weight = np.full(3000, 1 / 3000)
    points = Points(codes, (3000,) * 2, (True,) * 2, design, weight, weight * value)
    planted = abs(points.gain[inside_it].sum())
    for (_, aim), found in linear_thresholds(points)[0].items():
        members = found.contains(codes, design)
        np.testing.assert_allclose(points.gain[members].sum(), found.total, atol=1e-9)
        if aim == "violation":
            assert abs(found.total) > 0.97 * planted


def test_wide_designs_are_as_narrow_ones(monkeypatch):
    """Sparse and dense arithmetic give the same rules; rare categories are worth the same."""
    points = tiny_points(0, (False, True), (80, 30), 4000)
    wide, limits = linear_thresholds(points)
    assert "50 largest" in limits[0]
    for found in wide.values():
        assert len(np.unique(found.terms[0])) <= 51
    monkeypatch.setattr(subgroup_search, "_MOST_DENSE", 1000)
    for key, found in linear_thresholds(points)[0].items():
        np.testing.assert_allclose(found.terms[0], wide[key].terms[0], atol=1e-7)


@pytest.mark.parametrize("aim", AIMS)
def test_categories_of_one_column_are_exact(aim):
    """No set of categories of a column is better: all 2^6 of them are tried."""
    for seed in range(10):
        points = tiny_points(seed, (False, True), (6, 3))
        best = max(
            worth_of(points, np.isin(points.codes[:, 0], some), aim)
            for size in range(1, 6)
            for some in combinations(range(6), size)
        )
        members = categories(points)[aim].contains(points.codes, points.numbers)
        np.testing.assert_allclose(worth_of(points, members, aim), best)


def test_tree_leaves_sum_to_what_they_say():
    """Leaves are disjoint boxes whose union has the sum reported; deeper trees violate more."""
    for seed in range(10):
        points = tiny_points(seed, (False, True, True), (4, 6, 3), 80)
        trees = tree_leaves(points, (2, 3, 4))
        for tree in trees:
            for found in tree.values():
                members = np.array([inside(box, points.codes) for box in found.boxes])
                assert members.sum(axis=0).max() == 1
                gain = points.gain[members.any(axis=0)].sum()
                np.testing.assert_allclose(gain, found.total, atol=1e-9)
        violations = [abs(tree["violation"].total) for tree in trees]
        assert violations == sorted(violations)


def test_no_oracle_exceeds_the_bound():
    """The bound over all sets holds, and is reached by the points with positive gains."""
    for seed in range(10):
        points = tiny_points(seed, (False, True, False))
        bound = all_subsets_bound(points.gain)
        for found in worst_subgroups(points)[0].values():
            assert abs(found.total) <= bound + 1e-12
        np.testing.assert_allclose(bound, points.gain[points.gain > 0].sum())


def test_bound_sums_within_attribute_values_first():
    """Two people with the same attributes cannot be told apart: +3 and -2 count as 1."""
    codes = np.array([[0], [0], [1]])
    levels, place = distinct(codes, (2,))
    gain = np.bincount(place, [3.0, -2.0, -1.0])
    assert len(levels) == 2
    assert all_subsets_bound(gain) == 1.0


def searched(seed, n_rows=1500, high=0.3):
    """Return points and folds of rows of which one cell of 8 % has another rate."""
    rng = np.random.default_rng(seed)
    n_levels = (5, 20, 3)
    codes = np.stack([rng.integers(n, size=n_rows) for n in n_levels], axis=1)
    planted = (codes[:, 0] == 2) & (codes[:, 1] < 8)
    value = (rng.random(n_rows) < np.where(planted, high, 0.3)).astype(float)
    points = points_of(codes, n_levels, (False, True, False), value)
    place, weight = distinct(codes, n_levels)[1], np.full(n_rows, 1 / n_rows)
    folds = [
        tuple(np.bincount(place, v * (np.arange(n_rows) % 5 == k), len(points.mass)))
        for k in range(5)
        for v in (weight, weight * value)
    ]
    pairs = [(np.array(folds[2 * k]), np.array(folds[2 * k + 1])) for k in range(5)]
    return points, pairs, 1 / n_rows


def test_expected_violations_are_honest():
    """Where there is nothing, found violations are large and cross-validated ones 0 on average."""
    found, expected = [], []
    for seed in range(12):
        results, _ = search(*searched(seed))
        found += [abs(one.subgroup.total) for one in results]
        expected += [one.expected / one.error for one in results]
    assert min(found) > 0
    # Standard normal each, and alike within one of 12 searches: far from 1 on average.
    assert abs(np.mean(expected)) < 1


def test_the_clearest_finding_comes_first():
    """What is planted comes before the larger violations that trees find in noise."""
    first = 0
    for seed in range(10):
        points, folds, unit = searched(seed, high=0.75)
        results, _ = search(points, folds, unit)
        planted = (points.codes[:, 0] == 2) & (points.codes[:, 1] < 8)
        members = results[0].subgroup.contains(points.codes, points.numbers)
        overlap = points.mass[members & planted].sum() / points.mass[members | planted].sum()
        first += overlap > 0.7
        assert results[0].expected > 3 * results[0].error
    assert first >= 9
