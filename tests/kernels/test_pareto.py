"""The staircase, the area under it, its knee, and what mixtures attain."""

import itertools

import numpy as np
import pytest
from helpers import CRITERIA, reproducible
from hypothesis import given
from hypothesis import strategies as st

from fairlearnkit import DemographicParity, EqualizedOdds
from fairlearnkit._kernels.moments import group_rates
from fairlearnkit._kernels.pareto import (
    best_mixture,
    disparities,
    hypervolume,
    knee,
    least_disparity,
    mean_disparity,
    non_dominated,
)


def points():
    """Draw points with many ties."""
    value = st.integers(0, 6).map(lambda k: k / 4)
    return st.lists(st.tuples(value, value), min_size=1, max_size=12).map(
        lambda pairs: np.array(pairs).T
    )


def brute_force_staircase(score, disparity):
    return [
        not any(
            other_s >= s and other_d <= d and (other_s > s or other_d < d)
            for other_s, other_d in zip(score, disparity, strict=True)
        )
        for s, d in zip(score, disparity, strict=True)
    ]


@reproducible(max_examples=300)
@given(points())
def test_non_dominated_is_the_definition(drawn):
    """A point is kept unless another is as good in both and better in one."""
    score, disparity = drawn
    assert non_dominated(score, disparity).tolist() == brute_force_staircase(score, disparity)


@reproducible(max_examples=200)
@given(points())
def test_hypervolume_counts_squares(drawn):
    """The area is that of the quarter squares of a grid that some point covers."""
    score, disparity = drawn
    centre = np.arange(0.125, 1.5, 0.25)
    covered = sum(
        any(s > row and d < column for s, d in zip(score, disparity, strict=True))
        for row, column in itertools.product(centre, centre[:5])
    )
    np.testing.assert_allclose(hypervolume(score, disparity, 0.0, 1.25), covered / 16)


@reproducible(max_examples=100)
@given(points())
def test_agrees_with_moocore(drawn):
    """The same staircase and area as another package finds."""
    moocore = pytest.importorskip("moocore")
    score, disparity = drawn
    both = np.column_stack([-score, disparity])
    found = non_dominated(score, disparity)
    assert found.tolist() == moocore.is_nondominated(both, keep_weakly=True).tolist()
    np.testing.assert_allclose(
        hypervolume(score, disparity, 0.0, 1.25), moocore.hypervolume(both, ref=[0.0, 1.25])
    )


def test_knee_by_hand():
    """From (0, 0) over (0.2, 0.9) to (1, 1) the middle point is 0.7 / √2 above the chord."""
    assert knee(np.array([0.0, 0.9, 1.0]), np.array([0.0, 0.2, 1.0])) == 1
    # dominated points do not count, wherever they are
    assert knee(np.array([0.0, 0.8, 0.9, 1.0]), np.array([0.0, 0.5, 0.2, 1.0])) == 2


@pytest.mark.parametrize(
    ("score", "disparity"),
    [
        ([0.7, 0.8, 0.9], [0.0, 0.1, 0.2]),  # a straight line
        ([0.7, 0.806, 0.9], [0.0, 0.1, 0.2]),  # 0.03 / √2 above it
        ([0.7, 0.75, 0.9], [0.0, 0.1, 0.2]),  # below it
        ([0.7, 0.8], [0.0, 0.1]),  # two points
        ([0.8, 0.8], [0.1, 0.1]),  # one point twice
    ],
)
def test_no_knee_where_nothing_bends(score, disparity):
    """A straight or nearly straight trade-off has no knee."""
    assert knee(np.array(score), np.array(disparity)) is None


# ---------------------------------------------------------------------------------------------
# Mixtures. Groups of ten negative and ten positive rows each.


def moments_of(criterion, n_groups=2, n_strata=1):
    return criterion._moments_of_mass(np.full((n_groups * n_strata, 2), 10.0), n_strata)


def test_opposite_gaps_cancel():
    """Gaps of +0.2 and -0.2 at equal score: half of each has no gap, at the same score."""
    moments = moments_of(DemographicParity())
    rates = np.array([[0.6, 0.4], [0.4, 0.6]])

    found = best_mixture(np.array([0.9, 0.9]), [moments], [rates], 0.0)

    np.testing.assert_allclose(found.weight, 0.5)
    assert found.score == pytest.approx(0.9)
    assert found.disparity == pytest.approx(0.0, abs=1e-9)


def test_ratios_are_not_joined():
    """Rates (1, 0.5) and (0.1, 0.1), half and half: 0.3 / 0.55 = 0.545, not 0.75."""
    moments = moments_of(DemographicParity(min_ratio=0.8))
    rates = np.array([[1.0, 0.5], [0.1, 0.1]])

    half = mean_disparity(np.array([0.5, 0.5]), [moments], [rates])
    found = best_mixture(np.array([0.9, 0.5]), [moments], [rates], 0.75)

    assert half == pytest.approx(0.3 / 0.55)
    # (0.1 + 0.4 a) / (0.1 + 0.9 a) >= 0.75 where a <= 1/11, and steps are of 0.005
    assert found.weight[0] == pytest.approx(0.09)
    assert found.disparity >= 0.75
    assert np.isnan(found.price)


def test_mixture_and_price_by_hand():
    """Gaps 0.1 and 0.3 of one sign, scores 0.7 and 0.8: half way at 0.2, 0.5 per unit."""
    moments = moments_of(DemographicParity())
    rates = np.array([[0.5, 0.4], [0.8, 0.5]])

    found = best_mixture(np.array([0.7, 0.8]), [moments], [rates], 0.2)

    np.testing.assert_allclose(found.weight, [0.5, 0.5])
    assert found.score == pytest.approx(0.75)
    assert found.price == pytest.approx(0.5)


def test_out_of_reach():
    """Gaps of one sign do not cancel: nothing is below the smallest."""
    moments = moments_of(DemographicParity())
    rates = np.array([[0.5, 0.4], [0.8, 0.5]])
    assert best_mixture(np.array([0.7, 0.8]), [moments], [rates], 0.09) is None
    assert least_disparity([moments], [rates]) == pytest.approx(0.1)
    assert best_mixture(np.array([0.7, 0.8]), [moments], [rates], 0.1).score == pytest.approx(0.7)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("reference", ["between", "overall"])
@pytest.mark.parametrize("bound", ["max_difference", "min_ratio"])
def test_disparity_of_many_rules_at_once(criterion, reference, bound):
    """Many rules at once have the disparities that the criterion finds one by one."""
    criterion = criterion(reference=reference, **{bound: 0.5})
    rng = np.random.default_rng(0)
    mass = rng.integers(1, 20, size=(6, 2)).astype(float)
    mass[1, 0] = mass[4, 1] = 0  # two groups lack a label in one of two strata
    moments = criterion._moments_of_mass(mass, 2)
    sums = mass * rng.integers(0, 3, size=(50, 6, 2)) / 2
    rates = group_rates(moments, sums)

    one_by_one = [criterion._disparities(moments, row)[0] for row in rates]

    np.testing.assert_allclose(disparities(moments, rates), one_by_one, rtol=1e-12)


@pytest.mark.parametrize("reference", ["between", "overall"])
@pytest.mark.parametrize("seed", range(6))
def test_programme_is_the_optimum(seed, reference):
    """No mixture found by many random starts is better, and the bound holds."""
    rng = np.random.default_rng(seed)
    criterion = EqualizedOdds(reference=reference)
    moments = [moments_of(criterion, 3) for _ in range(3)]
    rates = [rng.uniform(size=(4, 6)) for _ in moments]
    score = rng.uniform(0.6, 0.9, size=4)
    alone = [mean_disparity(weight, moments, rates) for weight in np.eye(4)]
    bound = 0.6 * max(alone) + 0.4 * least_disparity(moments, rates)

    found = best_mixture(score, moments, rates, bound)

    assert found.disparity <= bound + 1e-8
    shares = rng.dirichlet(np.full(4, 0.5), size=3000)
    by_fold = [disparities(m, shares @ r) for m, r in zip(moments, rates, strict=True)]
    within = np.mean(by_fold, axis=0) <= bound
    assert within.any()
    assert found.score >= (shares @ score)[within].max() - 1e-9


def test_price_is_the_slope():
    """The price is what a little more disparity gains."""
    rng = np.random.default_rng(1)
    moments = [moments_of(EqualizedOdds(), 2) for _ in range(2)]
    rates = [rng.uniform(size=(4, 4)) for _ in moments]
    score = rng.uniform(0.6, 0.9, size=4)
    bound = least_disparity(moments, rates) + 0.03

    found, further = (best_mixture(score, moments, rates, b) for b in (bound, bound + 1e-6))

    assert found.price > 0
    assert (further.score - found.score) / 1e-6 == pytest.approx(found.price, rel=1e-3)
