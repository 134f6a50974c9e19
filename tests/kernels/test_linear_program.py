"""Small linear programmes with their prices, and convex piecewise linear curves."""

import numpy as np
import pytest
from helpers import random_instance, reproducible
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from fairlearnkit import AllOf, DemographicParity, EqualizedOdds, ErrorRateParity
from fairlearnkit._kernels.linear_program import (
    LinearProgram,
    convex_curve,
    solve_linear_program,
)
from fairlearnkit._kernels.thresholds import solve_thresholds
from fairlearnkit.exceptions import InfeasibleConstraintError, SolverError


def program(cost, upper, bound, equal, value, n_free=0):
    return LinearProgram(
        np.array(cost, dtype=float),
        sparse.csr_array(np.array(upper, dtype=float)),
        np.array(bound, dtype=float),
        sparse.csr_array(np.array(equal, dtype=float)),
        np.array(value, dtype=float),
        n_free,
    )


def test_programme_by_hand():
    """Solution and prices, with a free variable that goes below zero."""
    # min x + 3 y + 4 t subject to -t <= 3, -y <= -1/4, x <= 9, x + y = 1; x, y >= 0.
    # t = -3, y = 1/4, x = 3/4.
    solution = solve_linear_program(
        program([1, 3, 4], [[0, 0, -1], [0, -1, 0], [1, 0, 0]], [3, -0.25, 9], [[1, 1, 0]], [1], 1)
    )

    np.testing.assert_allclose(solution.x, [0.75, 0.25, -3])
    # One more unit of each bound: t falls by 1 and saves 4; x takes 1 from y and saves 3 - 1;
    # the third does not bind.
    np.testing.assert_allclose(solution.price, [4, 2, 0])


def test_only_the_last_variables_are_free():
    """All variables but the free ones stay at or above zero."""
    # x + y + t = 0 with t >= -2: as much of t as there is, made up for by the cheaper of x and y.
    solution = solve_linear_program(
        program([1, 2, 4], [[0, 0, -1]], [2], [[1, 1, 1]], [0], n_free=1)
    )

    np.testing.assert_allclose(solution.x, [2, 0, -2])


def test_infeasible_programme_is_an_error_of_the_constraint():
    """What cannot be met is reported as such."""
    with pytest.raises(InfeasibleConstraintError, match="No rule meets the constraint"):
        solve_linear_program(program([1, 1], [[1, 1]], [0.5], [[1, 1]], [1]))


def test_unbounded_programme_is_an_error_of_the_solver():
    """Any status other than optimal and infeasible is a solver's failure."""
    with pytest.raises(SolverError, match=r"was not solved \(HiGHS: .*unbounded"):
        solve_linear_program(program([-1, 0], [[0, 1]], [1], [[0, 1]], [1]))


class Curve:
    """A convex piecewise linear function that answers any subgradient and counts its calls."""

    def __init__(self, knots, slopes, shares):
        self.knots, self.slopes, self.shares = knots, slopes, shares
        self.values = np.concatenate([[1.0], 1.0 + np.cumsum(np.diff(knots) * slopes)])
        self.n_calls = 0

    def __call__(self, x):
        self.n_calls += 1
        # Slopes just beside the ends are those of a function that goes on convexly.
        slopes = [self.slopes[0] - 2.0, *self.slopes, self.slopes[-1] + 2.0]
        place = int(np.argmin(np.abs(self.knots - x)))
        if abs(self.knots[place] - x) < 1e-13:
            share = self.shares[place]
            return self.values[place], (1 - share) * slopes[place] + share * slopes[place + 1]
        piece = int(np.searchsorted(self.knots, x))
        return np.interp(x, self.knots, self.values), slopes[piece]


@st.composite
def curves(draw):
    inner = draw(st.lists(st.integers(1, 63), max_size=12, unique=True).map(sorted))
    knots = np.array([0, *inner, 64]) / 64
    bends = draw(st.lists(st.integers(1, 20), min_size=len(inner), max_size=len(inner)))
    slopes = draw(st.integers(-60, 5)) / 8 + np.concatenate([[0], np.cumsum(bends)]) / 8
    subgradient = st.sampled_from([0.0, 0.3, 1.0])
    shares = draw(st.lists(subgradient, min_size=len(knots), max_size=len(knots)))
    return Curve(knots, slopes, shares)


@given(curve=curves())
@reproducible(max_examples=200)
def test_curve_has_every_breakpoint_and_no_other(curve):
    """Breakpoints are exact, whatever subgradients are answered at them."""
    knob, value = convex_curve(curve, 0.0, 1.0)

    np.testing.assert_allclose(knob, curve.knots, atol=1e-12)
    np.testing.assert_allclose(value, curve.values, atol=1e-12)


@given(curve=curves(), low=st.integers(0, 31), high=st.integers(32, 64))
@reproducible(max_examples=100)
def test_curve_on_part_of_the_range(curve, low, high):
    """Both ends are on the curve, with the breakpoints between them."""
    low, high = low / 64, high / 64

    knob, value = convex_curve(curve, low, high)

    inside = curve.knots[(curve.knots > low) & (curve.knots < high)]
    np.testing.assert_allclose(knob, [low, *inside, high], atol=1e-12)
    np.testing.assert_allclose(value, np.interp(knob, curve.knots, curve.values), atol=1e-12)


@given(curve=curves())
@reproducible(max_examples=100)
def test_curve_takes_two_evaluations_per_piece(curve):
    """A function of n pieces is evaluated at most 2 n + 1 times, ends included."""
    knob, _ = convex_curve(curve, 0.0, 1.0)

    assert curve.n_calls <= 2 * (len(knob) - 1) + 1


THRESHOLD_PROBLEMS = {
    "demographic parity, 2 groups": (random_instance(0), DemographicParity(max_difference=1.0)),
    "equalized odds, 3 groups, unequal costs": (
        random_instance(1, 120, n_groups=3, fn_cost=3.0),
        EqualizedOdds(max_difference=1.0),
    ),
    "error rate to overall, 3 groups": (
        random_instance(2, 120, n_groups=3, fp_cost=4.0),
        ErrorRateParity(max_difference=1.0, reference="overall"),
    ),
    "two differences in step and a ratio": (
        random_instance(3, 100),
        AllOf(
            [
                EqualizedOdds(max_difference=0.5),
                ErrorRateParity(max_difference=1.0),
                DemographicParity(min_ratio=0.6),
            ]
        ),
    ),
}


@pytest.mark.parametrize("problem", THRESHOLD_PROBLEMS)
def test_curve_of_thresholds_equals_solving_again(problem):
    """The curve of cost against the knob is the optimum at breakpoints and between them."""
    instance, criterion = THRESHOLD_PROBLEMS[problem]
    points, moments = instance.points(), instance.moments(criterion)
    direction = np.where(moments.is_ratio, 0.0, moments.bound)

    def solve(knob):
        bound = np.where(moments.is_ratio, moments.bound, knob * direction)
        return solve_thresholds(
            points, moments._replace(bound=bound), instance.fp_cost, instance.fn_cost
        )

    def value_and_slope(knob):
        solution = solve(knob)
        return solution.cost, -solution.bound_price @ direction

    knob, cost = convex_curve(value_and_slope, 0.0, 1.0)

    assert len(knob) > 3
    between = (knob[1:] + knob[:-1]) / 2
    for k in np.concatenate([np.linspace(0, 1, 41), between]):
        assert np.interp(k, knob, cost) == pytest.approx(solve(k).cost, abs=1e-9)
    # Every breakpoint bends the curve: no more than needed, cost falling ever less steeply.
    slope = np.diff(cost) / np.diff(knob)
    assert (np.diff(slope) > 0).all()
    assert slope[-1] <= 1e-9
