"""Intervals of rates and of their differences, the noise floor, the smallest detectable gap."""

import numpy as np
import pytest
from helpers import reproducible
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from fairlearnkit._kernels.intervals import (
    effective_count,
    expected_range,
    minimum_detectable_difference,
    newcombe_interval,
    noise_floor,
    wilson_interval,
)


def test_wilson_inverts_the_score_test():
    """At each limit the observed rate is just z standard errors away, the limit's own."""
    rate, count = np.array([0.0, 0.1, 0.5, 0.93, 1.0]), np.array([10, 30, 8, 1000, 5])

    lower, upper = wilson_interval(rate, count, 0.9)

    z = norm.ppf(0.95)
    for limit, inside in ((lower, rate > 0), (upper, rate < 1)):
        error = np.sqrt(limit * (1 - limit) / count)
        np.testing.assert_allclose(np.abs(rate - limit)[inside], z * error[inside], rtol=1e-9)
    assert lower[0] == 0
    assert upper[-1] == 1


def test_wilson_by_hand():
    """Nobody of 10 at z = 1.96: the upper limit is z²/(n + z²) = 3.8416 / 13.8416."""
    _, upper = wilson_interval(0.0, 10)
    np.testing.assert_allclose(upper, 3.8414588 / 13.8414588, rtol=1e-7)


def test_newcombe_published_cases():
    """The worked examples of the paper, 56/70 - 48/80 and 10/10 - 0/10 among them (method 10)."""
    count, other_count = np.array([70, 10, 10]), np.array([80, 10, 10])
    rate, other = np.array([56, 9, 10]) / count, np.array([48, 3, 0]) / other_count

    lower, upper = newcombe_interval(rate, count, other, other_count)

    np.testing.assert_allclose(lower, [0.0524, 0.1705, 0.6075], atol=5e-5)
    np.testing.assert_allclose(upper, [0.3339, 0.8090, 1.0], atol=5e-5)


def test_no_rows_no_interval():
    """A rate over no rows has no limits, and a difference from it neither."""
    assert np.isnan(wilson_interval(np.nan, 0)).all()
    assert np.isnan(newcombe_interval(0.5, 10, np.nan, 0)).all()


@reproducible(max_examples=60)
@given(st.integers(0, 40), st.integers(1, 40), st.floats(0.5, 0.999))
def test_wilson_holds_the_rate(successes, count, confidence):
    """Limits are in [0, 1], hold the rate, and mirror those of the complement."""
    rate = min(successes, count) / count
    lower, upper = wilson_interval(rate, count, confidence)
    assert 0 <= lower <= rate <= upper <= 1
    np.testing.assert_allclose(wilson_interval(1 - rate, count, confidence)[0], 1 - upper)


def exact_coverage(count, other_count, true, other_true):
    """Return the chance that the interval holds the true difference, over all outcomes."""
    k, m = np.arange(count + 1)[:, None], np.arange(other_count + 1)
    lower, upper = newcombe_interval(k / count, count, m / other_count, other_count)
    chance = binom.pmf(k, count, true) * binom.pmf(m, other_count, other_true)
    inside = (lower <= true - other_true) & (true - other_true <= upper)
    return chance[inside].sum()


@pytest.mark.parametrize("rates", [(0.5, 0.5), (0.2, 0.1), (0.9, 0.6), (0.05, 0.05)])
def test_newcombe_covers(rates):
    """In small groups of unequal size the interval holds the truth about as often as it says."""
    assert exact_coverage(60, 25, *rates) >= 0.93


def test_effective_count_by_hand():
    """Weights 1, 1, 2 count as (1 + 1 + 2)² / (1 + 1 + 4) = 16/6 rows; equal weights as rows."""
    np.testing.assert_allclose(
        effective_count([4.0, 6.0, 0.0], [6.0, 12.0, 0.0]), [16 / 6, 3.0, 0.0]
    )


def test_expected_range_at_equal_counts():
    """The factors d2 of control charts: 1.128, 1.693, 2.059, 2.326 standard errors."""
    for n_groups, factor in ((2, 1.128), (3, 1.693), (4, 2.059), (5, 2.326)):
        found = expected_range(0.5, np.full(n_groups, 400.0))
        np.testing.assert_allclose(found / 0.025, factor, atol=6e-4)


def test_expected_range_at_unequal_counts():
    """Two groups: √(2/π) times the standard error of the difference, however unequal."""
    count = np.array([[100.0, 100.0], [1e6, 10.0], [50.0, 0.0]])
    found = expected_range(np.array([0.3, 0.3, 0.3]), count)
    error = np.sqrt(0.21 * (1 / count[:2]).sum(axis=1))
    np.testing.assert_allclose(found[:2], np.sqrt(2 / np.pi) * error, rtol=1e-6)
    assert np.isnan(found[2])


def test_simulation_agrees_with_the_integral():
    """Binomial draws of several unequal groups have the range that integration expects."""
    count = np.array([4000.0, 900.0, 300.0, 250.0])
    found = noise_floor(np.full(4, 0.3), count, np.ptp, np.random.default_rng(0), 4000)
    np.testing.assert_allclose(found, expected_range(0.3, count), rtol=0.03)


def test_noise_floor_is_reproducible():
    """The same generator gives the same floor; rates of 0 and 1 have none."""
    count = np.array([30.0, 40.0])
    one, other = (
        noise_floor(np.full(2, 0.4), count, np.ptp, np.random.default_rng(1)) for _ in range(2)
    )
    assert one == other > 0
    assert noise_floor(np.ones(2), count, np.ptp, np.random.default_rng(1)) == 0


def test_minimum_detectable_difference_by_hand():
    """5,000 rows against fewer at a rate of 0.25, with 80 % power."""
    found = minimum_detectable_difference(0.25, 5000, np.array([2500, 300, 100, 30]))
    np.testing.assert_allclose(found, [0.030, 0.072, 0.123, 0.222], atol=6e-4)
