"""Intervals of rates and of their differences, the noise floor, the smallest detectable gap."""

import numpy as np
import pytest
from helpers import reproducible
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binom, fisher_exact, hypergeom, ks_2samp, norm, studentized_range

from fairlearnkit._kernels.intervals import (
    CellMoments,
    Rates,
    area_under_curve,
    benjamini_hochberg,
    bootstrap_cells,
    cell_moments,
    compare_pairs,
    compare_with_rest,
    critical_value,
    detectable_gap,
    difference_p_values,
    difference_statistic,
    disparities,
    effective_count,
    equal_noise_floor,
    equality_p_values,
    exact_gap_limits,
    exact_interval,
    exact_p_values,
    expected_range,
    holm,
    largest_gap_limits,
    minimum_detectable_difference,
    newcombe_interval,
    noise_floor,
    pairs_critical_value,
    rates_of_cells,
    rates_of_draws,
    ratio_p_values,
    ratio_statistic,
    rows_needed,
    smallest_ratio_limits,
    studentised_maximum,
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


def test_noise_floor_of_equal_rates():
    """In every form it is the mean of what draws of the common rates show."""
    rows = np.array([[60.0, 25.0, 9.0], [40.0, 0.0, 12.0]])
    rate = np.array([[0.2, 0.5, 0.4], [0.7, np.nan, 0.6]])
    observed = Rates(rate, rows, rows, rows, rows)
    share = rows / rows.sum(axis=1, keepdims=True)
    present = [np.array([0, 1, 2]), np.array([0, 2])]
    common = np.nansum(rate * share, axis=1)

    def by_hand(drawn, to_overall, is_ratio):
        """Return the worst disparity of five observed rates, the last two of the second kind."""
        found = []
        for r, rates in enumerate(np.split(drawn, [3])):
            pairs = [(min(a, b), max(a, b)) for a in rates for b in rates]
            if to_overall:
                centre = rates @ share[r, present[r]]
                pairs = [(min(a, centre), max(a, centre)) for a in rates]
            if is_ratio:
                found.append(min(low / high if high else 1.0 for low, high in pairs))
            else:
                found.append(max(high - low for low, high in pairs))
        return min(found) if is_ratio else max(found)

    for to_overall in (False, True):
        for is_ratio in (False, True):
            options = {"to_overall": to_overall, "is_ratio": is_ratio}
            expected = noise_floor(
                np.repeat(common, [3, 2]),
                np.concatenate([rows[r, units] for r, units in enumerate(present)]),
                lambda drawn, o=options: by_hand(drawn, **o),
                np.random.default_rng(1),
                4000,
            )
            found = equal_noise_floor(observed, share, **options)
            np.testing.assert_allclose(found, expected, rtol=0.06)


def test_disparities_by_hand():
    """The largest less the smallest of the rates that there are, and their ratio."""
    rates = np.array([[0.2, np.nan, 0.5], [0.0, 0.0, 0.0], [np.nan, 0.3, np.nan]])
    difference, ratio = disparities(rates)
    np.testing.assert_allclose(difference, [0.3, 0.0, np.nan])
    np.testing.assert_allclose(ratio, [0.4, 1.0, np.nan])


def test_equality_of_rates():
    """The pooled test of two proportions over many rows, Fisher's less half over few."""
    p, n, q, m = 0.30, 400.0, 0.36, 900.0
    pooled = (120 + 324) / 1300
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    few = [(5, 40, 2, 300), (0, 12, 9, 30), (3, 3, 7, 60)]
    sides = np.transpose([(p, n, q, m), *((i / n, n, j / m, m) for i, n, j, m in few)])
    found = equality_p_values(*sides)
    np.testing.assert_allclose(found[0], 2 * norm.sf((q - p) / error))
    for value, (i, n, j, m) in zip(found[1:], few, strict=True):
        half = 0.5 * hypergeom(n + m, i + j, n).pmf(i)
        tails = [
            fisher_exact([[i, n - i], [j, m - j]], alternative=side).pvalue - half
            for side in ("less", "greater")
        ]
        score = 2 * norm.sf(abs(difference_statistic(i / n, n, j / m, m)))
        np.testing.assert_allclose(value, max(min(2 * min(tails), 1), score))


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


def cells_of(prediction, label, unit, weight=None, n_units=None):
    """Return the cell moments of rows given as lists."""
    arrays = (np.asarray(prediction), np.asarray(label), np.asarray(unit))
    weight = None if weight is None else np.asarray(weight, dtype=float)
    return cell_moments(*arrays, weight, int(np.max(unit)) + 1 if n_units is None else n_units)


SELECTION = np.array([[True, True]]), np.array([[[False, True], [False, True]]])
FOUR = (
    np.array([[1, 1], [0, 1], [1, 0], [1, 1]], dtype=bool),
    np.array([[[0, 1], [0, 1]], [[0, 0], [0, 1]], [[0, 1], [0, 0]], [[0, 1], [1, 0]]], dtype=bool),
)


def coverage_over(interval, count, confidence):
    """Return the exact coverage of an interval of a binomial rate at 99 true rates."""
    k = np.arange(count + 1)
    lower, upper = interval(k / count, count, confidence)
    true = np.linspace(0.01, 0.99, 99)[:, None]
    inside = (lower <= true) & (true <= upper)
    return (binom.pmf(k, count, true) * inside).sum(axis=1)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize("count", [20, 50, 200])
def test_coverage_of_rates(count, confidence):
    """Score intervals cover as often as they say on average, exact ones never less often."""
    score = coverage_over(wilson_interval, count, confidence)
    exact = coverage_over(exact_interval, count, confidence)
    assert abs(score.mean() - confidence) < 0.01
    # Near the ends Wilson's intervals are known to be too short: 81.8 % at 1 of 100 and 20 rows.
    assert score.min() > confidence - 0.09
    assert exact.min() >= confidence - 1e-12


@pytest.mark.parametrize("is_ratio", [False, True])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize("counts", [(20, 20), (60, 25)])
def test_coverage_of_pairs(is_ratio, counts, confidence):
    """Differences and ratios cover as often as they say on average over rates, by enumeration."""
    n, m = counts
    k, other = np.arange(n + 1)[:, None], np.arange(m + 1)
    pairs, critical = (k / n, n, other / m, m), norm.ppf(0.5 + confidence / 2)
    lower, upper = newcombe_interval(*pairs, confidence)
    found = []
    for p in np.linspace(0.05, 0.95, 10):
        for q in np.linspace(0.05, 0.95, 10):
            if is_ratio:
                inside = np.abs(ratio_statistic(*pairs, p / q)) <= critical
            else:
                inside = (lower <= p - q) & (p - q <= upper)
            found.append((binom.pmf(k, n, p) * binom.pmf(other, m, q))[inside].sum())
    assert abs(np.mean(found) - confidence) < 0.01
    assert np.min(found) > confidence - 0.06


def test_exact_by_hand():
    """Clopper and Pearson: 0 of 10 is at most 1 - 0.025^(1/10); weighted ones are Hoeffding's."""
    _, upper = exact_interval(0.0, 10)
    np.testing.assert_allclose(upper, 1 - 0.025**0.1)
    # As many corrections as many groups ask for leave levels below what 1 - level can tell.
    _, upper = exact_interval(0.0, 10, 1 - 2.0**-50)
    np.testing.assert_allclose(upper, 1 - 2.0**-5.1)
    lower, upper = exact_interval(0.5, 50, kind="weighted")
    np.testing.assert_allclose([0.5 - lower, upper - 0.5], np.sqrt(np.log(40) / 100))


@pytest.mark.parametrize("count", [20, 100])
@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (lambda rng, size: rng.beta(0.3, 0.7, size), 0.3),
        (lambda rng, size: rng.beta(5, 2, size), 5 / 7),
        (lambda rng, size: np.where(rng.random(size) < 0.1, rng.random(size), 0.0), 0.05),
        (lambda rng, size: np.where(rng.random(size) < 0.01, 1.0, 0.05), 0.0595),
        (lambda rng, size: rng.beta(0.03, 0.1, size), 3 / 13),
    ],
)
def test_coverage_of_probabilities(draw, mean, count):
    """Means of probabilities are covered, by intervals no wider than those of 0 and 1.

    Where one of 100 is 1 and all others alike, most samples of 20 show no variance at all.
    """
    n_runs = 2000
    values = draw(np.random.default_rng(0), (n_runs, count))
    unit = np.repeat(np.arange(n_runs), count)
    rates = rates_of_cells(cells_of(values.ravel(), np.zeros_like(unit), unit), *SELECTION)
    rate, rows = rates.rate[0], rates.rows[0]

    lower, upper = wilson_interval(rate, rates.effective[0])
    sure_lower, sure_upper = exact_interval(rate, rows, kind="probabilities")

    # The standard error of a coverage over 2,000 runs is half a point.
    assert np.mean((lower <= mean) & (mean <= upper)) > 0.95 - 0.03
    assert np.mean((sure_lower <= mean) & (mean <= sure_upper)) > 0.95
    plain = np.subtract(*wilson_interval(rate, rows)[::-1])
    assert (upper - lower <= plain + 1e-12).all()
    if mean > 0.25:  # well inside, so that the variance shown counts
        assert np.mean(upper - lower) < 0.97 * np.mean(plain)


def test_score_statistics_have_the_likeliest_rates():
    """The closed forms agree with numerical maximisation of the likelihood."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, m = rng.integers(5, 60, 2)
        x, y = rng.integers(1, n), rng.integers(1, m)
        difference, ratio = rng.uniform(-0.8, 0.8), rng.uniform(0.2, 2.0)

        def loss(p, q, n=n, m=m, x=x, y=y):
            return -(binom.logpmf(x, n, p) + binom.logpmf(y, m, q))

        best = minimize_scalar(
            lambda q, d=difference: loss(q + d, q),
            bounds=(max(-difference, 0) + 1e-9, min(1 - difference, 1) - 1e-9),
            method="bounded",
            options={"xatol": 1e-10},
        ).x
        one, other = best + difference, best
        error = np.sqrt(one * (1 - one) / n + other * (1 - other) / m)
        expected = (x / n - y / m - difference) / error
        found = difference_statistic(x / n, n, y / m, m, difference)
        np.testing.assert_allclose(found, expected, rtol=1e-3)

        best = minimize_scalar(
            lambda q, r=ratio: loss(r * q, q),
            bounds=(1e-9, min(1 / ratio, 1) - 1e-9),
            method="bounded",
            options={"xatol": 1e-10},
        ).x
        one = ratio * best
        error = np.sqrt(one * (1 - one) / n + ratio**2 * best * (1 - best) / m)
        found = ratio_statistic(x / n, n, y / m, m, ratio)
        np.testing.assert_allclose(found, (x / n - ratio * y / m) / error, rtol=1e-3)


def test_statistics_at_the_ends():
    """Nothing over nothing is no evidence; an impossible difference is infinitely far."""
    assert difference_statistic(0.0, 10, 0.0, 10, 0.0) == 0
    assert difference_statistic(0.5, 10, 0.5, 10, 1.0) == -np.inf
    assert np.isnan(difference_statistic(np.nan, 0, 0.5, 10))
    assert ratio_statistic(0.0, 10, 0.0, 10, 0.8) == 0
    nobody = compare_pairs(np.array([0.0, 0.4]), np.array([100.0, 100.0]))
    assert smallest_ratio_limits([nobody])[0] == 0


def test_pairs_critical_value_is_the_studentised_range():
    """Tukey's quantiles over the square root of two; two groups are one normal variable."""
    np.testing.assert_allclose(pairs_critical_value(0.05, 2), norm.ppf(0.975))
    for n_groups in (3, 10):
        expected = studentized_range.ppf(0.95, n_groups, np.inf) / np.sqrt(2)
        np.testing.assert_allclose(pairs_critical_value(0.05, n_groups), expected, rtol=1e-6)
    np.testing.assert_allclose(critical_value(0.95, 1), norm.ppf(0.975))


def test_studentised_maximum_of_independent_estimates():
    """Draws of independent normal variables give Šidák's value."""
    draws = np.random.default_rng(0).normal(size=(20000, 5)) * 2 + 1
    found = studentised_maximum(draws, np.ones(5), np.full(5, 2.0), 0.9)
    np.testing.assert_allclose(found, critical_value(0.9, 5), atol=0.03)


def test_simultaneous_rates_cover_together():
    """At Šidák's value all of ten rates are covered at once as often as said."""
    rng = np.random.default_rng(0)
    rates = np.linspace(0.2, 0.8, 10)
    drawn = rng.binomial(300, rates, (2000, 10)) / 300
    lower, upper = wilson_interval(drawn, 300, critical=critical_value(0.95, 10))
    together = ((lower <= rates) & (rates <= upper)).all(axis=1).mean()
    assert abs(together - 0.95) < 0.025


@pytest.mark.parametrize("rates", [(0.3,) * 4, (0.3, 0.3, 0.3, 0.4), (0.1,) * 10, (0.1, 0.2, 0.6)])
def test_largest_gap_is_covered(rates):
    """Where the percentile bootstrap of the maximum fails: groups equal, or nearly."""
    rng = np.random.default_rng(0)
    true, ratio, count = np.ptp(rates), min(rates) / max(rates), np.full(len(rates), 200.0)
    gap = smallest = 0
    for i, drawn in enumerate(rng.binomial(200, rates, (400, len(rates))) / 200):
        event = compare_pairs(drawn, count)
        lower, upper = largest_gap_limits([event])
        gap += lower <= true <= upper
        if i < 100:
            lower, upper = smallest_ratio_limits([event])
            smallest += lower <= ratio <= upper
    # 95 % minus five standard errors of 400 runs, and of 100.
    assert gap / 400 > 0.895
    assert smallest / 100 > 0.84


def test_the_percentile_bootstrap_does_not_cover():
    """The reason for `largest_gap_limits`: four equal groups, and a coverage near none."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(40):
        accepted = rng.binomial(200, 0.3, 4).astype(float)
        rows = np.column_stack([np.full(4, 200.0), np.zeros(4)])
        sums = np.column_stack([accepted, np.zeros(4)])
        cells = CellMoments(rows, rows, rows, sums, sums, sums)
        drawn = rates_of_draws(*bootstrap_cells(cells, 400, rng, exact=True), *SELECTION)
        lower, _ = np.quantile(np.ptp(drawn[:, 0], axis=1), [0.025, 0.975])
        covered += lower <= 0
    assert covered == 0


def test_limits_to_the_overall_rate_by_hand():
    """Two groups of 100 of 400 and 300: each differs from all by its part of the difference."""
    event = compare_with_rest(
        np.array([0.5, 0.3]),
        np.array([100.0, 300.0]),
        np.array([0.3, 0.5]),
        np.array([300.0, 100.0]),
        np.array([0.25, 0.75]),
    )
    # Overall 0.25 * 0.5 + 0.75 * 0.3 = 0.35, from which the groups differ by 0.15 and -0.05.
    np.testing.assert_allclose(event.differences, [0.15, -0.05])
    lower, upper = largest_gap_limits([event])
    assert 0 < lower < 0.15 < upper
    np.testing.assert_allclose(upper, 0.75 * newcombe_interval(0.5, 100, 0.3, 300)[1])


def test_level_and_power_of_verdicts():
    """At the bound either verdict is wrong seldom; well within, most are found (section E.4)."""
    rng = np.random.default_rng(0)
    count = np.array([8000.0, 8000.0])

    def share(rates, n_runs=600):
        drawn = rng.binomial(8000, rates, (n_runs, 2)) / 8000
        found = np.array([difference_p_values([compare_pairs(row, count)], 0.05) for row in drawn])
        return (found < 0.05).mean(axis=0)

    exceeds, within = share([0.30, 0.25])
    # The level is 5 %, five standard errors of 600 runs are 4.4 points.
    assert exceeds < 0.095
    assert 0.01 < within < 0.095
    assert share([0.28, 0.25])[1] > 0.78  # certified 86.5 % of the time
    assert share([0.33, 0.25])[0] > 0.95


def test_flagging_many_pairs_is_corrected():
    """Ten groups whose largest true gap is the bound: few false claims that it is exceeded."""
    rng = np.random.default_rng(0)
    rates, count = np.repeat([0.25, 0.30], 5), np.full(10, 2000.0)
    drawn = rng.binomial(2000, rates, (400, 10)) / 2000
    events = [compare_pairs(row, count) for row in drawn]
    corrected = np.mean([difference_p_values([event], 0.05)[0] < 0.05 for event in events])
    alone = np.mean(
        [(difference_statistic(*event.sides, 0.05) > norm.ppf(0.95)).any() for event in events]
    )
    assert corrected < 0.1
    assert alone > 0.3


def test_ratio_verdicts_by_intervals():
    """A ratio is shown to reach a bound just where the lower limit at 1 - 2 δ does."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        rate, count = rng.uniform(0.1, 0.9, 2), rng.integers(50, 2000, 2).astype(float)
        event = compare_pairs(rate, count)
        lower, _ = smallest_ratio_limits([event], 0.9)
        _, within = ratio_p_values([event], 0.8)
        assert (within < 0.05) == (lower > 0.8)


def test_smallest_ratio_limits_are_those_of_pairs():
    """Bisection for all pairs at once finds the extremes of their own score intervals."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        rate, count = rng.uniform(0.1, 0.9, 5), rng.integers(50, 2000, 5).astype(float)
        event = compare_pairs(rate, count)
        ends = []
        for critical in (norm.ppf(0.975), -pairs_critical_value(0.05, 5)):
            of_pairs = [
                brentq(
                    lambda ratio, pair, z: ratio_statistic(*pair, ratio) - z,
                    0,
                    10,
                    (pair, critical),
                )
                for pair in zip(*event.sides[2:], *event.sides[:2], strict=True)
            ]
            ends.append(min(*of_pairs, 1.0))
        np.testing.assert_allclose(smallest_ratio_limits([event]), ends, atol=1e-9)


def test_exact_limits_are_wider_and_agree_with_their_p_values():
    """Exact limits hold the score ones; a p-value is the level at which a limit clears."""
    event = compare_pairs(np.array([0.3, 0.45, 0.35]), np.array([300.0, 500.0, 400.0]))
    for is_ratio, score in ((False, largest_gap_limits), (True, smallest_ratio_limits)):
        lower, upper = score([event])
        exact = exact_gap_limits([event], is_ratio=is_ratio)
        assert exact[0] <= lower < upper <= exact[1]
    exceeds, _ = exact_p_values([event], 0.02)
    lower, _ = exact_gap_limits([event], 1 - exceeds)
    np.testing.assert_allclose(lower, 0.02, atol=1e-6)
    _, within = exact_p_values([event], 0.3)
    _, upper = exact_gap_limits([event], 1 - 2 * within)
    np.testing.assert_allclose(upper, 0.3, atol=1e-6)


@pytest.mark.parametrize("is_ratio", [False, True])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_exact_limits_always_cover(is_ratio, confidence):
    """Over all outcomes of two groups of 20 and 12, at every pair of rates: never less often."""
    n, m = 20.0, 12.0
    k, other = np.arange(n + 1), np.arange(m + 1)
    limits = np.array(
        [
            [
                exact_gap_limits(
                    [compare_pairs(np.array([i / n, j / m]), np.array([n, m]))],
                    confidence,
                    is_ratio=is_ratio,
                )
                for j in other
            ]
            for i in k
        ]
    )
    for p in np.linspace(0.02, 0.98, 13):
        for q in np.linspace(0.02, 0.98, 13):
            true = min(p, q) / max(p, q) if is_ratio else abs(p - q)
            inside = (limits[..., 0] <= true + 1e-12) & (true <= limits[..., 1] + 1e-12)
            chance = binom.pmf(k, n, p)[:, None] * binom.pmf(other, m, q)
            assert chance[inside].sum() >= confidence


def test_verdicts_are_those_of_the_limits():
    """A verdict is given just where a limit clears the bound, whatever groups, rates and tests."""
    rng = np.random.default_rng(0)
    for i in range(40):
        n_groups, n_events = rng.integers(2, 6), rng.integers(1, 3)
        events = []
        for _ in range(n_events):
            rate, count = rng.uniform(0.1, 0.9, n_groups), rng.integers(20, 2000, n_groups)
            events.append(compare_pairs(rate, count.astype(float)))
        bound = float(rng.uniform(0, 1))
        for is_ratio, p_values, limits in (
            (False, difference_p_values, largest_gap_limits),
            (True, ratio_p_values, smallest_ratio_limits),
        ):
            found = [(p_values(events, bound), limits(events), limits(events, 0.9))]
            if i < 8:
                exact = {"is_ratio": is_ratio}
                found.append(
                    (
                        exact_p_values(events, bound, **exact),
                        exact_gap_limits(events, 0.95, **exact),
                        exact_gap_limits(events, 0.9, **exact),
                    )
                )
            for (exceeds, within), wide, narrow in found:
                assert (exceeds < 0.05) == (wide[1] < bound if is_ratio else wide[0] > bound)
                assert (within < 0.05) == (narrow[0] > bound if is_ratio else narrow[1] < bound)


def test_rare_rates_have_verdicts():
    """However rare a rate and however clear a gap, there is a verdict, that of the limits."""
    rng = np.random.default_rng(0)
    for i in range(200):
        n_groups = rng.integers(3, 7)
        count = np.rint(np.exp(rng.uniform(0, 14, n_groups)))
        rate = rng.binomial(count.astype(int), 10 ** rng.uniform(-6, 0, n_groups)) / count
        rate = rate if i % 3 else 1 - rate
        event = compare_pairs(rate, count)
        if i % 2:
            others, total = count.sum() - count, (count * rate).sum()
            rest = np.clip((total - count * rate) / others, 0, 1)
            event = compare_with_rest(rate, count, rest, others, count / count.sum())
        bound = rng.choice([0.0, 0.001, 0.05, 0.2])
        exceeds, within = difference_p_values([event], bound)
        lower, _ = largest_gap_limits([event], 0.95)
        _, upper = largest_gap_limits([event], 0.9)
        assert (exceeds < 0.05) == (lower > bound)
        assert (within < 0.05) == (upper < bound)
        assert np.isfinite(ratio_p_values([event], 0.8)).all()


def overall(rate, count):
    """Compare each of some groups with all of them."""
    total = count.sum()
    rest = ((rate * count).sum() - rate * count) / (total - count)
    return compare_with_rest(rate, count, rest, total - count, count / total)


@pytest.mark.parametrize(
    ("rates", "counts", "bound", "options"),
    [
        ([[0.30, 0.30]], [300, 300], 0.05, {}),
        ([[0.30, 0.33]], [5000, 200], 0.05, {}),
        ([[0.30] * 6], [300] * 6, 0.05, {}),
        ([[0.3, 0.3, 0.31, 0.33, 0.28, 0.29]], [1000, 300, 200, 5000, 300, 50], 0.1, {}),
        ([[0.60, 0.61, 0.6], [0.20, 0.22, 0.2]], [200, 300, 300], 0.05, {}),
        ([[0.30, 0.28, 0.31, 0.30]], [300] * 4, 0.8, {"is_ratio": True}),
        ([[0.30, 0.31, 0.32]], [200, 300, 400], 0.05, {"compare": overall}),
        ([[0.32, 0.30]], [300, 300], 0.05, {"kind": "decisions"}),
        ([[0.30, 0.40]], [200, 200], 0.05, {"worst": (0, 0)}),
        ([[0.3, 0.3, 0.3, 0.35, 0.4]], [200] * 5, 0.05, {"worst": (0, 3)}),
        (
            [[0.2, 0.3, 0.3, 0.32]],
            [100, 200, 300, 400],
            0.05,
            {"compare": overall, "worst": (0, 0)},
        ),
        ([[0.2, 0.3]], [100, 100], 0.8, {"is_ratio": True, "worst": (0, 0)}),
    ],
)
def test_rows_needed_give_the_power(rates, counts, bound, options):
    """With the rows asked for the verdict comes in four of five samples, of all pairs at once."""
    options = dict(options)
    compare = options.pop("compare", compare_pairs)
    rates = np.array(rates)
    rows = np.broadcast_to(np.array(counts, dtype=float), rates.shape)
    events = [compare(*row) for row in zip(rates, rows, strict=True)]

    more = rows_needed(events, bound, rows, power=0.8, **options)

    grown = np.rint(rows + more)
    rng = np.random.default_rng(0)
    kind, is_ratio = options.get("kind"), options.get("is_ratio", False)
    n_runs = 60 if kind else 300
    shown = 0
    for _ in range(n_runs):
        drawn = rng.binomial(grown.astype(int), rates) / grown
        again = [compare(*row) for row in zip(drawn, grown, strict=True)]
        if options.get("worst"):
            if kind is None and not is_ratio:  # p-values are those of limits, which are quicker
                shown += largest_gap_limits(again)[0] > bound
            else:
                shown += ratio_p_values(again, bound)[0] < 0.05
        elif kind:
            shown += exact_gap_limits(again, 0.9, kind=kind)[1] < bound
        elif is_ratio:
            shown += ratio_p_values(again, bound)[1] < 0.05
        else:
            shown += largest_gap_limits(again, 0.9)[1] < bound
    # Five standard errors of 300 runs at 80 % are 11.5 points, and of 60 runs 26.
    assert shown / n_runs > 0.8 - 5 * np.sqrt(0.16 / n_runs)
    if rates.size == 2:  # one comparison: no more than asked for
        assert shown / n_runs < 0.8 + 5 * np.sqrt(0.16 / n_runs)
    # A tenth fewer rows would not do by the same calculation.
    fewer = np.array([rows_needed(events, bound, rows, power=0.7, **options)])
    assert fewer.sum() < more.sum()


def test_no_rows_tell_what_is_at_the_bound():
    """At the bound, or beyond the wanted side of it, no number of rows is enough."""
    for gap in (0.05, 0.08):
        event = compare_pairs(np.array([0.3, 0.3 + gap]), np.array([200.0, 200.0]))
        # At the bound itself rounding leaves something.
        assert rows_needed([event], 0.05, np.full((1, 2), 200.0)).max() > 1e20
    event = compare_pairs(np.array([0.3, 0.3]), np.array([1e6, 1e6]))
    assert not rows_needed([event], 0.05, np.full((1, 2), 1e6)).any()


@pytest.mark.parametrize(
    ("rate", "counts", "n_events"),
    [(0.3, (100, 100), 1), (0.3, (60, 600), 1), (0.3, (200,) * 6, 1), (0.4, (100, 100), 2)],
)
def test_detectable_gaps_are_detected(rate, counts, n_events):
    """The smallest detectable gap is found in four of five samples, corrections and all."""
    count = np.array(counts, dtype=float)
    event = compare_pairs(np.full(len(count), rate), count)
    gap = detectable_gap(event.take([0]), n_events)
    n, m = count[event.first[0]], count[event.second[0]]
    true = np.full(len(count), rate)
    true[event.first[0]] += gap * m / (n + m)
    true[event.second[0]] -= gap * n / (n + m)

    rng = np.random.default_rng(0)
    found = [
        compare_pairs(row, count)
        for row in rng.binomial(count.astype(int), true, (300, len(count))) / count
    ]
    critical = event.critical(0.05 / n_events)
    shown = np.mean([newcombe_interval(*e.sides, critical=critical)[0].max() > 0 for e in found])

    assert abs(shown - 0.8) < 0.115


def heavy_tenth(rng, size, of_heavy, true):
    """One row of ten weighs 20: 20/29 of the mass, and a rate of its own among these."""
    heavy = rng.random(size) < 0.1
    of_light = true * (29 - 20 * of_heavy) / 9
    chance = np.where(heavy, of_heavy * true, of_light)
    return np.where(heavy, 20.0, 1.0), rng.random(size) < chance


# Weights and values of rows. Weights that say nothing of decisions, more and more uneven; weights
# that are heavy where decisions are positive, or negative; probabilities of which few are large.
SCENARIOS = {
    "even": lambda rng, true, size: (np.exp(0.5 * rng.normal(size=size)), rng.random(size) < true),
    "uneven": lambda rng, true, size: (np.exp(rng.normal(size=size)), rng.random(size) < true),
    "heavy": lambda rng, true, size: (np.exp(2 * rng.normal(size=size)), rng.random(size) < true),
    "heavy positive": lambda rng, true, size: heavy_tenth(rng, size, 1.3, true),
    "heavy negative": lambda rng, true, size: heavy_tenth(rng, size, 0.5, true),
    "rare": lambda rng, true, size: (
        np.ones(size),
        np.where(rng.random(size) < 0.5 * true / (1 - 0.5 * true), 1.0, 0.5 * true),
    ),
    "nearly alike": lambda rng, true, size: (
        np.ones(size),
        np.where(rng.random(size) < 0.1 * true / (1 - 0.9 * true), 1.0, 0.9 * true),
    ),
    "extreme": lambda rng, true, size: (
        np.ones(size),
        rng.beta(0.1 * true / (1 - true), 0.1, size),
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("n_groups", [2, 6])
def test_verdicts_keep_their_level_however_skewed(scenario, n_groups):
    """Uneven weights and skewed probabilities: seldom a wrong verdict, at the bound as it is.

    Kish's count and the variance that rows show would give false claims in up to 11 % of samples
    with heavy weights in six groups, and rates covered in 76 % with probabilities nearly alike.
    """
    rng = np.random.default_rng(0)
    n_runs = 600
    for n, low, bound in ((50, 0.05, 0.05), (200, 0.05, 0.05), (200, 0.3, 0.1)):
        true = np.where(np.arange(n_groups) % 2, low, low + bound)
        size = (n_runs, n_groups, n)
        weight, value = SCENARIOS[scenario](rng, true[:, None], size)
        unit = np.repeat(np.arange(n_runs * n_groups), n)
        found = rates_of_cells(
            cells_of(value.astype(float).ravel(), np.zeros_like(unit), unit, weight.ravel()),
            *SELECTION,
        )
        rate, count = (v[0].reshape(n_runs, n_groups) for v in (found.rate, found.effective))
        above, below = np.nonzero(~np.eye(n_groups, dtype=bool))
        sides = rate[:, above], count[:, above], rate[:, below], count[:, below]
        lower, _ = newcombe_interval(*sides, critical=pairs_critical_value(0.05, n_groups))
        _, upper = newcombe_interval(*sides, 0.9)
        limits = wilson_interval(rate, count)
        covered = (limits[0] <= true) & (true <= limits[1])

        # The level is 5 %; five standard errors of 600 runs are 4.4 points.
        assert (lower.max(axis=1) > bound).mean() < 0.094
        assert (upper.max(axis=1) < bound).mean() < 0.094
        # Two points below 95 % for approximation, and 2.7 for chance.
        assert covered.mean() > 0.903


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize("counts", [(20, 20), (20, 200), (80, 120)])
def test_coverage_of_areas(counts, confidence):
    """Areas under normal ROC curves are covered about as often as said, or more often."""
    rng = np.random.default_rng(0)
    n_positive, n_negative = counts
    positive = np.repeat([True, False], counts)
    covered = []
    for area in (0.6, 0.75, 0.9):
        shift = np.sqrt(2) * norm.ppf(area)
        for _ in range(300):
            score = rng.normal(size=n_positive + n_negative) + shift * positive
            limits = wilson_interval(*area_under_curve(score, positive, None), confidence)
            covered.append(limits[0] <= area <= limits[1])
    # One point of approximation, and five standard errors of 900 runs.
    assert np.mean(covered) > confidence - 0.01 - 5 * np.sqrt(confidence * (1 - confidence) / 900)


def test_holm_and_benjamini_hochberg_by_hand():
    """p = 0.01, 0.04, 0.03: times 3, 1, 2 and 3, 3/3, 3/2, made monotone; NaN stays."""
    p = [0.01, 0.04, np.nan, 0.03]
    np.testing.assert_allclose(holm(p), [0.03, 0.06, np.nan, 0.06])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.03, 0.04, np.nan, 0.04])


def test_cell_moments_count_rows():
    """Whole numbers and floats give the same sums; so do weights and repeated rows."""
    rng = np.random.default_rng(0)
    n = 3000
    unit, label, decision = (
        rng.integers(3, size=n),
        rng.integers(2, size=n),
        rng.integers(2, size=n),
    )
    weight = rng.integers(0, 4, n).astype(float)
    for w in (None, weight):
        for one, other in zip(
            cells_of(decision, label, unit, w),
            cells_of(decision.astype(float), label, unit, w),
            strict=True,
        ):
            np.testing.assert_allclose(one, other)
    repeated = np.repeat(np.arange(n), weight.astype(int))
    once = cells_of(decision, label, unit, weight)
    many = cells_of(decision[repeated], label[repeated], unit[repeated])
    np.testing.assert_allclose(once.mass, many.mass)
    np.testing.assert_allclose(once.sums, many.sums)
    # The rest of a group is the sum over the others.
    np.testing.assert_allclose(once.rest().mass2[0], once.mass2[1:].sum(axis=0))


def test_rates_and_their_precision_by_hand():
    """Weights 1, 1, 2 on decisions 1, 0, 1: the rate is 3/4, Kish's count 16/6."""
    found = rates_of_cells(cells_of([1, 0, 1], [0, 1, 1], [0, 0, 0], [1, 1, 2]), *SELECTION)
    np.testing.assert_allclose(found.rate, [[0.75]])
    np.testing.assert_allclose(found.kish, [[16 / 6]])
    # The variance that rows show, Σ s²(v - r)² / S² = (1/16 + 9/16 + 4/16) / 16 = 7/128, is less
    # than the largest, (3/16) / (16/6) = 9/128, but 3.84 unseen rows of 0 would make it more.
    np.testing.assert_allclose(found.effective, [[16 / 6]])


def test_unseen_values_by_hand():
    """Ten probabilities of 1/4 and ten of 3/4: 1/16 each, and 1/4 for 3.84 rows at 0 or 1."""
    found = rates_of_cells(
        cells_of([0.25, 0.75] * 10, np.zeros(20, dtype=int), np.zeros(20, dtype=int)), *SELECTION
    )
    varies = (20 / 16 + 3.84 / 4) / 23.84
    np.testing.assert_allclose(found.effective, [[20 * 0.25 / varies]])


def test_heavy_rows_that_vary_more_by_hand():
    """Weights 3, 3, 1, 1, 1, 1 on 1, 0, 0, 0, 0, 0: the heavy rows vary most."""
    found = rates_of_cells(
        cells_of(
            [1, 0, 0, 0, 0, 0], np.zeros(6, dtype=int), np.zeros(6, dtype=int), [3, 3, 1, 1, 1, 1]
        ),
        *SELECTION,
    )
    # Rate 3/10, Kish's count 100/22; Σ s²(v - r)² = 9 (0.49 + 0.09) + 4 * 0.09 = 5.58, in units of
    # Σ s² = 22 more than 0.3 * 0.7, towards which it is shrunk.
    kish, seen = 100 / 22, 5.58 / 22
    varies = (kish * seen + 3.84 * 0.21) / (kish + 3.84)
    np.testing.assert_allclose(found.effective, [[kish * 0.21 / varies]])


def test_decisions_count_as_they_are():
    """With 0/1 decisions and equal weights the binomial count is the number of rows."""
    rng = np.random.default_rng(0)
    unit, label = rng.integers(4, size=500), rng.integers(2, size=500)
    found = rates_of_cells(cells_of(rng.integers(2, size=500), label, unit), *FOUR)
    np.testing.assert_allclose(found.effective, found.rows, rtol=1e-12)
    np.testing.assert_allclose(found.error, np.sqrt(found.rate * (1 - found.rate) / found.rows))


@pytest.mark.parametrize("kind", ["decisions", "probabilities", "weighted"])
def test_cell_bootstrap_is_the_row_bootstrap(kind):
    """Resampled cells have the moments of rates over resampled rows, in all three cases."""
    rng = np.random.default_rng(0)
    n = 400
    unit, label = rng.integers(3, size=n), rng.integers(2, size=n)
    decision = rng.random(n) if kind == "probabilities" else rng.integers(2, size=n)
    weight = rng.uniform(0.2, 3.0, n) if kind == "weighted" else None
    cells = cells_of(decision, label, unit, weight)

    drawn = bootstrap_cells(cells, 4000, rng, exact=kind == "decisions")
    by_cell = rates_of_draws(*drawn, *FOUR)
    rows = rng.integers(n, size=(1500, n))
    by_row = np.array(
        [
            rates_of_cells(
                cells_of(decision[r], label[r], unit[r], None if weight is None else weight[r], 3),
                *FOUR,
            ).rate
            for r in rows
        ]
    )

    error = by_row.std(axis=0)
    np.testing.assert_allclose(by_cell.mean(axis=0), by_row.mean(axis=0), atol=0.2 * error.max())
    np.testing.assert_allclose(by_cell.std(axis=0), error, rtol=0.12)
    gaps = np.ptp(by_cell[:, 0], axis=1), np.ptp(by_row[:, 0], axis=1)
    assert ks_2samp(*gaps).pvalue > 1e-6
    # And they are the standard errors that intervals rest on.
    np.testing.assert_allclose(rates_of_cells(cells, *FOUR).error, error, rtol=0.12)


def test_area_under_curve_by_pairs():
    """Weighted pairs counted one by one, ties by half; the variance is that of the bootstrap."""
    rng = np.random.default_rng(0)
    positive = rng.random(200) < 0.4
    score = np.round(rng.normal(size=200) + positive, 1)
    weight = rng.uniform(0.5, 2.0, 200)

    area, worth = area_under_curve(score, positive, weight)

    s, o = score[positive][:, None], score[~positive]
    pairs = weight[positive][:, None] * weight[~positive]
    np.testing.assert_allclose(
        area, ((s > o) + 0.5 * (s == o)).ravel() @ pairs.ravel() / pairs.sum()
    )
    rows = rng.integers(200, size=(400, 200))
    drawn = [area_under_curve(score[r], positive[r], weight[r])[0] for r in rows]
    np.testing.assert_allclose(np.sqrt(area * (1 - area) / worth), np.std(drawn), rtol=0.2)
    assert np.isnan(area_under_curve(score, np.ones(200, dtype=bool), None)[0])
