"""Group rates as linear functions of cell sums, and how unequal they are."""

from fractions import Fraction

import numpy as np
import pytest
from helpers import (
    CRITERIA,
    WEIGHTS,
    counted_rate,
    counted_rates,
    criteria,
    disparity_of,
    instances,
    reproducible,
)
from hypothesis import given
from hypothesis import strategies as st

from fairlearnkit import (
    AllOf,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    ErrorRateParity,
    FalseNegativeRateParity,
    FalsePositiveRateParity,
    TrueNegativeRateParity,
)
from fairlearnkit._kernels import rate_program
from fairlearnkit._kernels.linear_program import solve_linear_program
from fairlearnkit._kernels.moments import (
    build_moments,
    cell_mass,
    cell_sums,
    differences,
    group_rates,
    objective,
    overall_rates,
    ratios,
    row_form,
    row_prices,
    units_compared,
    violations,
)
from fairlearnkit._kernels.thresholds import OperatingPoints, solve_thresholds

# Two groups. Negatives and positives weigh 2 and 3 in the first, 4 and 2 in the second; of these
# 1 and 2 are accepted in the first (false and true positives), 3 and 1 in the second.
MASS = np.array([[2.0, 3.0], [4.0, 2.0]])
SUMS = np.array([[1.0, 2.0], [3.0, 1.0]])

# rates of the two groups and over all rows
BY_HAND = {
    # accepted (1 + 2) / 5 and (3 + 1) / 6, in all 7 / 11
    DemographicParity: [("3/5", "2/3", "7/11")],
    # true positives 2 / 3 and 1 / 2, in all 3 / 5; false positives 1 / 2 and 3 / 4, in all 4 / 6
    EqualizedOdds: [("2/3", "1/2", "3/5"), ("1/2", "3/4", "2/3")],
    EqualOpportunity: [("2/3", "1/2", "3/5")],
    FalsePositiveRateParity: [("1/2", "3/4", "2/3")],
    # the complements of those
    TrueNegativeRateParity: [("1/2", "1/4", "1/3")],
    FalseNegativeRateParity: [("1/3", "1/2", "2/5")],
    # false positives and false negatives (1 + 1) / 5 and (3 + 1) / 6, in all 6 / 11
    ErrorRateParity: [("2/5", "2/3", "6/11")],
}


def numbers(table):
    return np.array([[float(Fraction(value)) for value in row] for row in table])


@pytest.mark.parametrize("criterion", CRITERIA)
def test_rates_by_hand(criterion):
    """Each criterion compares the rates that its name says, by group and over all rows."""
    by_hand = numbers(BY_HAND[criterion])
    moments = criterion()._moments_of_mass(MASS)

    rates = group_rates(moments, SUMS)

    np.testing.assert_allclose(rates.reshape(-1, 2), by_hand[:, :2], rtol=1e-14)
    np.testing.assert_allclose(overall_rates(moments, rates), by_hand[:, 2], rtol=1e-14)


# (reference, bound, value, rates of three groups of equal weight): disparity, violation
DISPARITIES = [
    # 0.5 - 0.2 = 0.3, which is 0.05 beyond the bound
    ("between", "max_difference", 0.25, (0.2, 0.4, 0.5), 0.3, 0.05),
    ("between", "max_difference", 0.5, (0.2, 0.4, 0.5), 0.3, -0.2),
    # overall 0.4; 0.4 - 0.2 is more than 0.6 - 0.4
    ("overall", "max_difference", 0.1, (0.1, 0.5, 0.6), 0.3, 0.2),
    # overall 0.3; 0.6 - 0.3 is more than 0.3 - 0.1
    ("overall", "max_difference", 0.4, (0.1, 0.2, 0.6), 0.3, -0.1),
    # 0.2 / 0.5 = 0.4; the smallest misses 0.8 * 0.5 = 0.4 by 0.2
    ("between", "min_ratio", 0.8, (0.2, 0.4, 0.5), 0.4, 0.2),
    ("between", "min_ratio", 0.2, (0.2, 0.4, 0.5), 0.4, -0.1),
    # overall 0.4; 0.1 / 0.4 is less than 0.4 / 0.6; 0.5 * 0.4 - 0.1
    ("overall", "min_ratio", 0.5, (0.1, 0.5, 0.6), 0.25, 0.1),
    # overall 0.4; 0.18 / 0.4 is less than 0.4 / 0.8; but 0.75 * 0.8 - 0.4 = 0.2 is missing above
    # and only 0.75 * 0.4 - 0.18 = 0.12 below
    ("overall", "min_ratio", 0.75, (0.22, 0.18, 0.8), 0.45, 0.2),
    # nobody accepted: equal, 0/0 is 1, and no bound is violated
    ("between", "max_difference", 0.0, (0.0, 0.0, 0.0), 0.0, 0.0),
    ("between", "min_ratio", 1.0, (0.0, 0.0, 0.0), 1.0, 0.0),
    ("overall", "min_ratio", 1.0, (0.0, 0.0, 0.0), 1.0, 0.0),
    # one group shut out: ratio 0, and 0.8 * 0.6 is missing
    ("between", "min_ratio", 0.8, (0.0, 0.3, 0.6), 0.0, 0.48),
    # overall 0.3, and 0.8 * 0.3 is missing
    ("overall", "min_ratio", 0.8, (0.0, 0.3, 0.6), 0.0, 0.24),
    # a ratio of 0 asks for nothing
    ("between", "min_ratio", 0.0, (0.0, 0.3, 0.6), 0.0, 0.0),
]


@pytest.mark.parametrize(
    ("reference", "bound", "value", "rates", "disparity", "violation"), DISPARITIES
)
def test_disparity_and_violation_by_hand(reference, bound, value, rates, disparity, violation):
    """Differences, ratios and what is missing to the bound, with 0/0 taken as 1."""
    criterion = DemographicParity(reference=reference, **{bound: value})
    moments = criterion._moments_of_mass(np.ones((3, 2)))
    measure = differences if bound == "max_difference" else ratios
    rates = np.array(rates)

    np.testing.assert_allclose(measure(moments, rates), [disparity], atol=1e-15)
    np.testing.assert_allclose(violations(moments, rates), [violation], atol=1e-15)


@given(instance=instances(weights=[0.0, *WEIGHTS]), criterion=criteria(), data=st.data())
@reproducible(max_examples=150)
def test_rates_equal_direct_counting(instance, criterion, data):
    """Rates, overall rates and disparities are what counting rows gives, in every stratum."""
    _, y, group, weight, *_ = instance
    n_groups = instance.n_groups
    decision = drawn_column(data, st.sampled_from([0.0, 0.25, 1.0]), len(y))
    stratum = drawn_column(data, st.integers(0, 1), len(y))
    n_strata = int(stratum.max()) + 1
    moments = instance.moments(criterion, stratum)
    sums = cell_sums(decision, y, stratum * n_groups + group, weight, n_groups * n_strata)

    rates = group_rates(moments, sums)

    by_event = np.full((moments.n_events, n_strata, n_groups), np.nan)
    by_event[moments.event, moments.unit // n_groups, moments.unit % n_groups] = rates
    overall, violation = overall_rates(moments, rates), violations(moments, rates)
    found = np.where(moments.is_ratio, ratios(moments, rates), differences(moments, rates))
    events = [
        (parity, rate.name, s)
        for parity in criterion.parities()
        for rate in parity.rates
        for s in range(n_strata)
    ]
    assert len(events) == moments.n_events
    for event, (parity, name, s) in enumerate(events):
        rows = y[stratum == s], decision[stratum == s], weight[stratum == s]
        expected = counted_rates(name, *rows, group[stratum == s], n_groups)
        in_all = counted_rate(name, *rows)
        disparity = disparity_of(expected, in_all, parity)

        np.testing.assert_allclose(by_event[event, s], expected, atol=1e-12)
        np.testing.assert_allclose(overall[event], in_all, atol=1e-12)
        np.testing.assert_allclose(found[event], disparity, atol=1e-12)
        if np.isnan(disparity):
            assert violation[event] == -np.inf
        elif parity.min_ratio is None:
            assert violation[event] == pytest.approx(disparity - parity.max_difference)
        elif abs(disparity - parity.min_ratio) > 1e-9:
            assert (violation[event] > 0) == (disparity < parity.min_ratio)


@given(instance=instances(weights=[0.0, *WEIGHTS]), criterion=criteria(), data=st.data())
@reproducible(max_examples=100)
def test_linear_inequalities_say_what_the_bounds_say(instance, criterion, data):
    """Some level satisfies an event's two inequalities per row exactly where its bound is met."""
    decision = drawn_column(data, st.integers(0, 4).map(lambda k: k / 4), len(instance.y))
    moments = instance.moments(criterion)
    sums = cell_sums(decision, instance.y, instance.group, instance.weight, instance.n_groups)
    rates = group_rates(moments, sums)
    form = row_form(moments)
    overall, violation = overall_rates(moments, rates), violations(moments, rates)

    for event in range(moments.n_events):
        rate = rates[moments.event == event]
        low = (form.upper_rate[event] * rate - form.upper_slack[event]) / form.upper_level[event]
        lowest, highest = low.max(initial=-np.inf), np.inf
        if form.lower_level[event] > 0:
            high = (form.lower_slack[event] + rate) / form.lower_level[event]
            highest = high.min(initial=np.inf)
        if form.tied[event]:
            lowest, highest = max(lowest, overall[event]), min(highest, overall[event])
        if abs(violation[event]) > 1e-9:
            assert (lowest <= highest + 1e-12) == (violation[event] < 0)


def drawn_column(data, values, n_rows):
    return np.array(data.draw(st.lists(values, min_size=n_rows, max_size=n_rows)))


@given(instance=instances(), data=st.data())
@reproducible(max_examples=50)
def test_objective_is_the_mean_cost(instance, data):
    """The objective, linear in cell sums, is the weighted mean of the costs of errors."""
    decision = drawn_column(data, st.sampled_from([0.0, 0.25, 1.0]), len(instance.y))
    cells = instance.y, instance.group, instance.weight, instance.n_groups

    constant, slope = objective(cell_mass(*cells), instance.fp_cost, instance.fn_cost)

    cost = constant + (cell_sums(decision, *cells) @ slope).sum()
    assert cost == pytest.approx(instance.counted_cost(decision), abs=1e-12)


def test_no_weights_are_weights_of_one():
    """Cells without weights count rows."""
    label, unit = np.array([0, 1, 1, 1, 0]), np.array([0, 0, 0, 2, 2])
    prediction = np.array([1.0, 0.0, 0.5, 1.0, 0.0])

    mass = cell_mass(label, unit, None, 3)
    sums = cell_sums(prediction, label, unit, None, 3)

    np.testing.assert_array_equal(mass, [[1, 2], [0, 0], [1, 1]])
    np.testing.assert_array_equal(sums, [[1, 0.5], [0, 0], [0, 1]])
    np.testing.assert_array_equal(mass, cell_mass(label, unit, np.ones(5), 3))
    np.testing.assert_array_equal(sums, cell_sums(prediction, label, unit, np.ones(5), 3))


def test_several_hypotheses_at_once():
    """Stacked cell sums give stacked rates."""
    moments = AllOf([EqualizedOdds(), ErrorRateParity()])._moments_of_mass(MASS)
    stack = np.random.default_rng(0).uniform(size=(4, 1, 1)) * MASS

    rates = group_rates(moments, stack)

    np.testing.assert_array_equal(rates, [group_rates(moments, sums) for sums in stack])


def test_groups_are_compared_within_strata_only():
    """Rates that differ between strata and not within them are equal."""
    mass, sums = np.full((4, 2), 2.0), np.array([[1.0, 1], [1, 1], [2, 2], [2, 0]])
    criterion = EqualizedOdds(max_difference=0.5)

    moments = criterion._moments_of_mass(mass, n_strata=2)

    # units: groups 0 and 1 of stratum 0, then of stratum 1
    np.testing.assert_array_equal(moments.event, [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(moments.unit, [0, 1, 2, 3, 0, 1, 2, 3])
    # true positive rates 1/2, 1/2 | 1, 0 and false positive rates 1/2, 1/2 | 1, 1
    rates = group_rates(moments, sums)
    np.testing.assert_array_equal(differences(moments, rates), [0, 1, 0, 0])
    np.testing.assert_array_equal(overall_rates(moments, rates), [0.5, 0.5, 0.5, 1])
    np.testing.assert_array_equal(violations(moments, rates), [-0.5, 0.5, -0.5, -0.5])
    # without strata: true positive rates 1/2, 1/2, 1, 0
    pooled = criterion._moments_of_mass(mass)
    np.testing.assert_array_equal(differences(pooled, group_rates(pooled, sums)), [1, 0.5])


def test_undefined_rates_have_no_row_and_are_compared_with_nothing():
    """A group without positives is left out of the true positive rates, and of those only."""
    mass = np.array([[2.0, 2.0], [2.0, 0.0], [0.0, 4.0]])
    sums = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 1.0]])
    criterion = AllOf([EqualizedOdds(max_difference=0.1), DemographicParity(min_ratio=0.5)])

    moments = criterion._moments_of_mass(mass)

    np.testing.assert_array_equal(moments.event, [0, 0, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(moments.unit, [0, 2, 0, 1, 0, 1, 2])
    rates = group_rates(moments, sums)
    # true positive rates 1/2, 1/4; false positive rates 0, 1; selection rates 1/4, 1, 1/4
    np.testing.assert_array_equal(rates, [1 / 2, 1 / 4, 0, 1, 1 / 4, 1, 1 / 4])
    np.testing.assert_array_equal(units_compared(moments), [2, 2, 3])
    # over all rows 2 / 6, 2 / 4, 4 / 10
    np.testing.assert_allclose(overall_rates(moments, rates), [1 / 3, 1 / 2, 2 / 5])


@pytest.mark.parametrize("reference", ["between", "overall"])
@pytest.mark.parametrize("bound", ["max_difference", "min_ratio"])
def test_fewer_than_two_rates_are_neither_equal_nor_unequal(reference, bound):
    """Where one group has the rate, or none, its disparity is NaN and no bound is violated."""
    criterion = EqualizedOdds(reference=reference, **{bound: 0.5})
    mass = np.array([[2.0, 2.0], [0.0, 0.0]])  # one group has both rates
    for emptied, units in [(mass, [1, 1]), (mass * [1, 0], [0, 1])]:
        moments = criterion._moments_of_mass(emptied)
        rates = group_rates(moments, emptied / 4)

        np.testing.assert_array_equal(units_compared(moments), units)
        for measure in (differences, ratios):
            np.testing.assert_array_equal(measure(moments, rates), [np.nan, np.nan])
        np.testing.assert_array_equal(violations(moments, rates), [-np.inf, -np.inf])
        np.testing.assert_array_equal(np.isnan(overall_rates(moments, rates)), np.equal(units, 0))


@pytest.mark.parametrize("n_groups", [2, 30, 1000])
@pytest.mark.parametrize("reference", ["between", "overall"])
def test_programme_grows_linearly_with_groups(n_groups, reference, monkeypatch):
    """Rows and non-zeros of the linear programme are a constant times the groups."""
    criterion = AllOf(
        [
            EqualizedOdds(max_difference=0.1, reference=reference),
            ErrorRateParity(min_ratio=0.8, reference=reference),
        ]
    )
    per_group = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 3.0], [4.0, 4.0]])
    n_events, n_points = 3, len(per_group)
    points = OperatingPoints(
        start=np.arange(n_groups + 1) * n_points,
        threshold=np.tile([np.inf, 2.0, 1.0, -np.inf], n_groups),
        sums=np.tile(per_group, (n_groups, 1)),
        cost_sums=np.tile(per_group, (n_groups, 1)),
    )
    moments = criterion._moments_of_mass(points.mass)

    solved = []

    def solve(program):
        solved.append(program)
        return solve_linear_program(program)

    monkeypatch.setattr(rate_program, "solve_linear_program", solve)
    solve_thresholds(points, moments, 1.0, 1.0)

    (program,) = solved
    assert len(moments.unit) == n_events * n_groups
    # Two inequalities per event and group, each with the group's points and the event's level; one
    # equation per group, and one per level where it is the overall rate.
    assert program.upper.shape == (2 * n_events * n_groups, n_points * n_groups + n_events)
    assert program.upper.nnz == 2 * n_events * n_groups * (n_points + 1)
    tied = n_events if reference == "overall" else 0
    assert program.equal.shape[0] == n_groups + tied
    assert program.equal.nnz <= n_groups * n_points + tied * (n_groups * n_points + 1)


def test_bounds_are_repeated_for_every_stratum():
    """The event of rate r in stratum s is r * n_strata + s, with the bound of the rate."""
    moments = build_moments(
        np.ones((6, 2)),
        condition=np.array([[True, False], [True, True]]),
        counted=np.array([[[False, True], [False, False]], [[False, True], [True, False]]]),
        is_ratio=np.array([False, True]),
        to_overall=np.array([True, False]),
        bound=np.array([0.1, 0.8]),
        n_strata=3,
    )

    assert moments.n_events == 6
    np.testing.assert_array_equal(moments.bound, [0.1, 0.1, 0.1, 0.8, 0.8, 0.8])
    np.testing.assert_array_equal(moments.is_ratio, [False, False, False, True, True, True])
    np.testing.assert_array_equal(moments.to_overall, [True, True, True, False, False, False])
    np.testing.assert_array_equal(moments.event // 3, np.repeat([0, 1], 6))
    np.testing.assert_array_equal(moments.event % 3, moments.unit // 2)


@given(
    instance=instances(weights=WEIGHTS),
    criterion=criteria(),
    weight_rates=st.booleans(),
    data=st.data(),
)
@reproducible(max_examples=100)
def test_row_prices_are_what_accepting_adds(instance, criterion, weight_rates, data):
    """Prices of the accepted rows add up to what mean cost and priced rates rise by."""
    _, y, group, weight, *_ = instance
    n_groups = instance.n_groups
    rate_weight = weight if weight_rates else None
    moments = criterion._moments_of_mass(cell_mass(y, group, rate_weight, n_groups))
    rate_price = drawn_column(data, st.floats(-2, 2), len(moments.unit))
    accepted = drawn_column(data, st.sampled_from([0.0, 0.25, 1.0]), len(y))
    _, slope = objective(cell_mass(y, group, weight, n_groups), 1.0, 3.0)

    price = row_prices(moments, rate_price, slope, y, group, weight, weight_rates=weight_rates)

    def total(decisions):
        cost = (cell_sums(decisions, y, group, weight, n_groups) @ slope).sum()
        sums = cell_sums(decisions, y, group, rate_weight, n_groups)
        return cost + rate_price @ group_rates(moments, sums)

    assert price @ accepted == pytest.approx(total(accepted) - total(0 * accepted), abs=1e-12)
