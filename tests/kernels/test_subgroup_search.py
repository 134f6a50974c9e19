"""Oracles for the worst subgroup against enumeration, and what they share."""

from itertools import combinations, product

import numpy as np
import pytest
from helpers import reproducible
from hypothesis import given
from hypothesis import strategies as st

from fairlearnkit._kernels.subgroup_search import (
    Points,
    all_subsets_bound,
    best_conjunction,
    best_interval,
    distinct,
    inside,
    linear_thresholds,
    sweep,
    tree_leaves,
    worst_subgroups,
)


def tiny_points(seed, ordered, n_levels=(3, 4, 2), n_rows=60):
    """Return the points of random rows."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(n, size=n_rows) for n in n_levels], axis=1)
    residual = rng.normal(size=n_rows)
    residual -= residual.mean()
    levels, place = distinct(codes, n_levels)

    def total(values):
        return np.bincount(place, values, len(levels))

    return Points(
        levels,
        n_levels,
        ordered,
        levels.astype(float),
        total(residual),
        total(np.maximum(residual, 0)),
        total(np.maximum(-residual, 0)),
        total(np.ones(n_rows)),
    )


def every_conjunction(points, depth):
    """Return the sums of all conjunctions of a category or an interval, one by one."""
    sums = []
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
            rows = np.ones(len(points.gain), dtype=bool)
            for j, (a, b) in zip(columns, chosen, strict=True):
                rows &= (points.codes[:, j] >= a) & (points.codes[:, j] <= b)
            sums.append(points.gain[rows].sum())
    return np.array(sums)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("ordered", [(False,) * 3, (False, True, False), (True,) * 3])
def test_conjunctions_are_exact(ordered, depth):
    """On small spaces the best of all conjunctions is found."""
    for seed in range(15):
        points = tiny_points(seed, ordered)
        found = best_conjunction(points, depth)
        best = np.abs(every_conjunction(points, depth)).max()
        np.testing.assert_allclose(abs(found.total), best, atol=1e-12)
        members = found.contains(points.codes, points.design)
        np.testing.assert_allclose(points.gain[members].sum(), found.total, atol=1e-12)


def test_coarse_conjunctions_are_polished():
    """An interval of a column with many levels is found to the level."""
    rng = np.random.default_rng(0)
    codes = np.stack([np.repeat(np.arange(100), 3), np.tile(np.arange(3), 100)], axis=1)
    planted = (codes[:, 0] >= 37) & (codes[:, 0] <= 61) & (codes[:, 1] == 1)
    gain = np.where(planted, 1.0, -planted.mean() / (1 - planted.mean()))
    gain += 1e-3 * rng.normal(size=300)
    gain -= gain.mean()
    points = Points(codes, (100, 3), (True, False), codes * 1.0, gain, gain, gain, np.ones(300))
    found = best_conjunction(points, 2)
    assert (inside(found.boxes[0], codes) == planted).all()


@reproducible(max_examples=60)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9))
def test_best_interval(sums):
    """Kadane's interval is the best of all that are not empty."""
    value, start, end = best_interval(np.array(sums, dtype=float))
    best = max(sum(sums[a : b + 1]) for a in range(len(sums)) for b in range(a, len(sums)))
    assert value == best == sum(sums[start : end + 1])


@reproducible(max_examples=60)
@given(st.integers(0, 10_000))
def test_sweep_tries_every_threshold(seed):
    """The cut is the best of all, and keeps tied scores together."""
    rng = np.random.default_rng(seed)
    score, gain = rng.integers(5, size=12) / 3.0, rng.normal(size=12)
    gain -= gain.mean()
    threshold, total = sweep(score, gain)
    by_hand = [abs(gain[score >= cut].sum()) for cut in np.unique(score)]
    np.testing.assert_allclose(abs(total), max(by_hand), atol=1e-12)
    np.testing.assert_allclose(gain[score > threshold].sum(), total, atol=1e-12)


def test_linear_rules_find_a_direction():
    """A planted half-space that no single attribute shows is found almost whole."""
    rng = np.random.default_rng(0)
    design = rng.normal(size=(3000, 2))
    gain = np.sign(design @ [1.0, -1.0] - 0.5) + 0.5 * rng.normal(size=3000)
    gain -= gain.mean()
    codes = np.arange(3000)[:, None]
    above, below = np.maximum(gain, 0), np.maximum(-gain, 0)
    points = Points(codes, (3000,), (True,), design, gain, above, below, np.ones(3000))
    planted = abs(gain[design @ [1.0, -1.0] > 0.5].sum())
    for found in linear_thresholds(points):
        assert abs(found.total) > 0.97 * planted
        members = found.contains(codes, design)
        np.testing.assert_allclose(gain[members].sum(), found.total, atol=1e-9)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_tree_leaves_sum_to_what_they_say(depth):
    """Leaves are disjoint boxes whose union has the sum reported."""
    for seed in range(10):
        points = tiny_points(seed, (False, True, True), (4, 6, 3), 80)
        found = tree_leaves(points, depth)
        members = np.array([inside(box, points.codes) for box in found.boxes])
        assert members.sum(axis=0).max() == 1
        np.testing.assert_allclose(points.gain[members.any(axis=0)].sum(), found.total, atol=1e-9)


def test_no_oracle_exceeds_the_bound():
    """The bound over all sets holds, and is reached by the points with positive gains."""
    for seed in range(10):
        points = tiny_points(seed, (False, True, False))
        bound = all_subsets_bound(points.gain)
        found = worst_subgroups(points)
        totals = [abs(subgroup.total) for subgroup in found]
        assert totals == sorted(totals, reverse=True)
        assert totals[0] <= bound + 1e-12
        np.testing.assert_allclose(bound, points.gain[points.gain > 0].sum())


def test_bound_sums_within_attribute_values_first():
    """Two people with the same attributes cannot be told apart: +3 and -2 count as 1."""
    codes = np.array([[0], [0], [1]])
    levels, place = distinct(codes, (2,))
    gain = np.bincount(place, [3.0, -2.0, -1.0])
    assert len(levels) == 2
    assert all_subsets_bound(gain) == 1.0
