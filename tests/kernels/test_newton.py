"""Newton kernel: derivatives, a case by hand, optimality conditions and rigorous bounds."""

import numpy as np
import pytest
from helpers import random_problem, reproducible, rows_of
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit, logit

from fairlearnkit import DemographicParity, EqualizedOdds, ErrorRateParity
from fairlearnkit._kernels import newton
from fairlearnkit._kernels.newton import (
    LogisticProblem,
    Rows,
    dual_bound,
    prior,
    solve_logistic,
)
from fairlearnkit.exceptions import InfeasibleConstraintError


def solve(problem, rows, **kwargs):
    """Return the solution from a cold start."""
    return solve_logistic(
        problem, rows, prior(problem), **{"tol": 1e-10, "max_iter": 100} | kwargs
    )


CASES = [
    DemographicParity(max_difference=0.1),
    DemographicParity(max_difference=0.0),
    DemographicParity(max_difference=0.05, reference="overall"),
    EqualizedOdds(max_difference=0.02),
    EqualizedOdds(max_difference=0.1, reference="overall"),
    ErrorRateParity(max_difference=0.05),
]


def test_gradient_and_hessian_are_those_of_finite_differences():
    """Derivatives are those of the loss, with and without an intercept, dense and sparse."""
    for intercept in (True, False):
        problem, _ = random_problem(0, intercept=intercept)
        theta = np.random.default_rng(1).normal(size=problem.n_coef)

        def gradient(at, problem=problem):
            return problem.gradient(at, expit(problem.scores(at)))

        numeric = approx_fprime(theta, lambda at, p=problem: p.loss(at, p.scores(at)), 1e-7)
        np.testing.assert_allclose(gradient(theta), numeric, atol=1e-6)
        hessian = problem.hessian(expit(problem.scores(theta)))
        np.testing.assert_allclose(hessian, approx_fprime(theta, gradient, 1e-7), atol=1e-6)
        thin = problem._replace(X=sparse.csr_array(problem.X))
        np.testing.assert_allclose(thin.hessian(expit(thin.scores(theta))), hessian, atol=1e-14)


def test_hessian_of_many_rows_in_parts():
    """Rows weighted a part at a time give the whole."""
    problem, _ = random_problem(2, n_samples=5000)
    probability = expit(problem.scores(np.ones(problem.n_coef)))
    curvature = problem.weight * probability * (1 - probability)
    full = np.column_stack([problem.X, np.ones(5000)])
    expected = full.T @ (curvature[:, None] * full)
    expected[:-1, :-1] += problem.alpha * np.eye(5)
    np.testing.assert_allclose(problem.hessian(probability), expected, rtol=1e-12)


def test_by_hand():
    """Two groups, told apart by the only feature: equal mean scores leave no coefficient.

    Group a has x = 0 and labels 0 0 0 1; group b has x = 1 and labels 0 1 1 1. Equal mean scores
    mean coef = 0, so the intercept is the log-odds of 4 in 8: loss log 2. Half as large a
    difference as without penalty, log 3 - (-log 3) = 2 log 3, means by symmetry mean scores of
    -log(3)/2 and log(3)/2: probabilities 1/(1 + sqrt 3) and sqrt 3/(1 + sqrt 3).
    """
    X = np.repeat([0.0, 1.0], 4)[:, None]
    y = np.array([0, 0, 0, 1, 0, 1, 1, 1.0])
    problem = LogisticProblem(X, y, np.full(8, 1 / 8), 0.0, True)
    rows = rows_of(problem, np.repeat([0, 1], 4), DemographicParity(max_difference=0.0))
    equal = solve(problem, rows)
    np.testing.assert_allclose(equal.theta, 0, atol=1e-12)
    assert equal.loss == pytest.approx(np.log(2), abs=1e-14)
    half = solve(problem, rows._replace(bound=np.array([np.log(3)])))
    np.testing.assert_allclose(half.theta, [np.log(3), -np.log(3) / 2], atol=1e-10)
    wrong = 1 / (1 + np.sqrt(3))
    # Three of four rows of a group are on the side of its probability.
    assert half.loss == pytest.approx(-0.75 * np.log(1 - wrong) - 0.25 * np.log(wrong), abs=1e-12)
    # What one more unit saves: half of the residual of each group's four rows, 1/4 - wrong.
    np.testing.assert_allclose(np.abs(half.row_price), (wrong - 0.25) / 2, atol=1e-10)


@pytest.mark.parametrize("criterion", CASES, ids=repr)
@pytest.mark.parametrize("intercept", [True, False])
def test_optimality_conditions(criterion, intercept):
    """Stationary with prices that have the right signs, only on bounds that bind; no gap."""
    for seed in range(8):
        problem, group = random_problem(
            seed, intercept=intercept, alpha=[0.0, 1e-3, 0.1][seed % 3]
        )
        rows = rows_of(problem, group, criterion)
        found = solve(problem, rows)
        values, price = rows.values(found.theta), found.row_price
        gradient = problem.gradient(found.theta, expit(problem.scores(found.theta)))
        np.testing.assert_allclose(gradient + rows.matrix.T @ price, 0, atol=1e-7)
        assert np.all(rows.spread(values) <= rows.bound + 1e-11)
        assert found.loss - found.lower_bound == pytest.approx(0, abs=1e-10)
        for event in range(len(rows.bound)):
            own, value = price[rows.event == event], values[rows.event == event]
            assert own.sum() == pytest.approx(0, abs=1e-12)
            if criterion.reference == "between":
                assert np.all(value[own > 1e-9] >= value.max() - 1e-9)
                assert np.all(value[own < -1e-9] <= value.min() + 1e-9)
                if np.abs(own).max() > 1e-9:
                    assert np.ptp(value) == pytest.approx(rows.bound[event], abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.sampled_from(CASES), st.floats(0, 3))
@reproducible(max_examples=40)
def test_bound_holds_at_any_prices_and_coefficients(seed, criterion, spread):
    """The lower bound is below the optimum wherever it is computed from."""
    problem, group = random_problem(seed, n_samples=60, n_features=3)
    rows = rows_of(problem, group, criterion)
    optimum = solve(problem, rows)
    rng = np.random.default_rng(seed)
    price = rng.normal(scale=spread * 0.1, size=len(rows.event))
    count = np.bincount(rows.event)
    price -= (np.bincount(rows.event, price) / count)[rows.event]
    theta = optimum.theta + rng.normal(scale=spread, size=problem.n_coef)
    assert dual_bound(problem, rows, theta, price) <= optimum.loss + 1e-9


@pytest.mark.parametrize("criterion", CASES[:4], ids=repr)
def test_agrees_with_a_general_solver(criterion):
    """No loss within the bounds is below ours, by SciPy's own method over all pairs of rows."""
    problem, group = random_problem(3, n_samples=80, n_features=3)
    rows = rows_of(problem, group, criterion)
    found = solve(problem, rows)
    result = minimize(
        lambda theta: problem.loss(theta, problem.scores(theta)),
        found.theta + 0.1,
        jac=lambda theta: problem.gradient(theta, expit(problem.scores(theta))),
        method="SLSQP",
        constraints=[
            {"type": "ineq", "fun": lambda t, e=e: rows.bound[e] - rows.spread(rows.values(t))[e]}
            for e in range(len(rows.bound))
        ],
        options={"maxiter": 500, "ftol": 1e-12},
    )
    # What it is beyond the bounds may save what the prices say.
    beyond = rows.excess(rows.values(result.x)) * np.abs(found.row_price).sum()
    assert found.loss <= result.fun + beyond + 1e-9
    if rows.bound.min() > 0:
        assert found.loss == pytest.approx(result.fun, abs=1e-5)


def test_from_far_away():
    """Steps are damped where they would overshoot: any start ends at the same place."""
    problem, group = random_problem(4, alpha=1e-4)
    rows = rows_of(problem, group, EqualizedOdds(max_difference=0.05))
    reference = solve(problem, rows)
    for seed in range(5):
        start = np.random.default_rng(seed).normal(scale=20, size=problem.n_coef)
        found = solve_logistic(problem, rows, start, tol=1e-10, max_iter=100)
        np.testing.assert_allclose(found.theta, reference.theta, atol=1e-6)


def test_collinear_columns_without_penalty():
    """Columns that repeat each other do not stop Newton's method; the gap is closed."""
    problem, group = random_problem(5, alpha=0.0)
    rows = rows_of(problem, group, DemographicParity(max_difference=0.1))
    twice = problem._replace(X=np.hstack([problem.X, problem.X]))
    twice_rows = rows_of(twice, group, DemographicParity(max_difference=0.1))
    found = solve(twice, twice_rows)
    assert found.loss == pytest.approx(solve(problem, rows).loss, abs=1e-9)


@pytest.mark.parametrize("last", [0.0, 1.0], ids=["all rows", "some rows"])
def test_separable_classes_without_penalty(last):
    """A loss that has no minimum is an error, also where only some rows are told apart."""
    X = np.column_stack([np.arange(6.0), np.r_[np.zeros(5), last]])
    y = np.array([0, 0, 0, 1, 1, 1.0]) if last == 0 else np.array([0, 1, 0, 1, 0, 1.0])
    problem = LogisticProblem(X, y, np.full(6, 1 / 6), 0.0, True)
    rows = rows_of(problem, np.arange(6) % 2, DemographicParity(max_difference=1.0))
    free = rows._replace(bound=np.array([np.inf]))
    with pytest.raises(ValueError, match=r"no minimum without a penalty.*Set C"):
        solve(problem, free)
    assert np.isfinite(solve(problem._replace(alpha=1e-3), free).theta).all()


def test_contradictory_bounds():
    """Rows that do not depend on the coefficients cannot be brought together: an error."""
    problem, _ = random_problem(6)
    rows = Rows(
        matrix=np.zeros((2, problem.n_coef)),
        offset=np.array([0.0, 1.0]),
        event=np.zeros(2, dtype=int),
        share=np.full(2, 0.5),
        to_overall=np.zeros(1, dtype=bool),
        bound=np.array([0.5]),
    )
    with pytest.raises(InfeasibleConstraintError, match="No coefficients meet the bounds"):
        solve(problem, rows)
    assert solve(problem, rows._replace(bound=np.ones(1))).n_iter < 20


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
def test_uncentred_columns_of_any_size(alpha):
    """Rounding is relative to the columns: large ones close the gap too, in as few steps."""
    problem, group = random_problem(9, alpha=alpha)
    X = problem.X.copy()
    X[:, 0] = 1e5 * X[:, 0] + 1e7
    large = problem._replace(X=X)
    for bound in (0.1, np.inf):
        rows, theirs = (rows_of(p, group, CASES[0]) for p in (large, problem))
        rows, theirs = (r._replace(bound=np.array([bound])) for r in (rows, theirs))
        found, reference = solve(large, rows, tol=1e-8), solve(problem, theirs, tol=1e-8)
        assert found.n_iter <= reference.n_iter + 3
        assert found.loss - found.lower_bound <= 1e-8
        if alpha == 0:
            assert found.loss == pytest.approx(reference.loss, abs=1e-8)


@pytest.mark.parametrize("intercept", [True, False])
def test_columns_of_zeros_without_penalty(intercept):
    """Features that say nothing leave coefficients of zero, and a closed gap."""
    problem, group = random_problem(9, alpha=0.0, intercept=intercept)
    problem = problem._replace(X=0 * problem.X)
    found = solve(problem, rows_of(problem, group, CASES[0]))
    assert not found.theta[:5].any()
    assert found.loss - found.lower_bound == pytest.approx(0, abs=1e-12)


def test_a_projection_that_rounding_ends_early_is_finished(monkeypatch):
    """An answer beyond its bounds is not accepted; if it stays there the residual says so."""
    problem, group = random_problem(4)
    rows = rows_of(problem, group, CASES[0])
    expected = solve(problem, rows)
    nearest, calls = newton._nearest_within, []

    def early(rows, by_root, values):
        calls.append(1)
        move, cuts, price = nearest(rows, by_root, values)
        return (move * 0.9 if len(calls) < 8 else move), cuts, price

    monkeypatch.setattr(newton, "_nearest_within", early)
    found = solve(problem, rows)
    assert len(calls) >= 8
    np.testing.assert_allclose(found.theta, expected.theta, atol=1e-7)
    assert found.residual < 1e-9
    calls.clear()
    assert solve(problem, rows, max_iter=2).residual > 1e-4


def test_running_out_of_steps_leaves_a_gap():
    """After too few steps the bound still holds and says how far the answer may be."""
    problem, group = random_problem(7, alpha=1e-4)
    rows = rows_of(problem, group, DemographicParity(max_difference=0.05))
    early, late = solve(problem, rows, max_iter=1), solve(problem, rows)
    assert early.n_iter == 1
    assert early.lower_bound <= late.loss + 1e-12
    assert early.loss - early.lower_bound > 1e-6


def test_rows_are_mean_scores():
    """Rows of parity are weighted means of scores by group; of odds, by group and label."""
    problem, group = random_problem(8)
    weight = np.random.default_rng(8).uniform(size=len(group))
    theta = np.random.default_rng(9).normal(size=problem.n_coef)
    score, label = problem.scores(theta), problem.y == 1

    def mean(rows):
        return np.average(score[rows], weights=weight[rows])

    rows = rows_of(problem, group, DemographicParity(max_difference=0.1), weight)
    means = [mean(group == g) for g in range(3)]
    np.testing.assert_allclose(rows.values(theta) - 0.5, means, atol=1e-12)
    rows = rows_of(problem, group, EqualizedOdds(max_difference=0.1), weight)
    means = [mean((group == g) & (label == side)) for side in (True, False) for g in range(3)]
    np.testing.assert_allclose(rows.values(theta) - 0.5, means, atol=1e-12)
    rows = rows_of(problem, group, ErrorRateParity(max_difference=0.1), weight)
    score = np.where(label, -score, score)
    means = [mean(group == g) for g in range(3)]
    np.testing.assert_allclose(rows.values(theta) - 0.5, means, atol=1e-12)


def test_start_is_the_share_of_positives():
    """Without coefficients the best intercept is the log-odds of the positive label."""
    problem, _ = random_problem(10)
    assert prior(problem)[-1] == pytest.approx(logit(problem.weight @ problem.y))
