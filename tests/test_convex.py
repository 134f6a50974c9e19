"""The conic programme: the same answers as Newton's method, and the user's own constraints."""

import cvxpy as cp
import numpy as np
import pytest
from helpers import random_problem, rows_of

from fairlearnkit import DemographicParity, EqualizedOdds, EqualOpportunity, ErrorRateParity
from fairlearnkit._convex import LogisticProgramme
from fairlearnkit._kernels.newton import prior, solve_logistic
from fairlearnkit.exceptions import InfeasibleConstraintError, SolverError

CASES = [
    DemographicParity(max_difference=0.1),
    DemographicParity(max_difference=0.0),
    DemographicParity(max_difference=0.05, reference="overall"),
    EqualOpportunity(max_difference=0.02),
    EqualizedOdds(max_difference=0.02),
    EqualizedOdds(max_difference=0.1, reference="overall"),
    ErrorRateParity(max_difference=0.05),
]


@pytest.mark.parametrize("criterion", CASES, ids=repr)
@pytest.mark.parametrize("intercept", [True, False])
def test_agrees_with_newton(criterion, intercept):
    """Two methods, one problem: the same loss to 1e-6, the same prices, no gap in either."""
    for seed in range(3):
        problem, group = random_problem(seed, alpha=0.02, intercept=intercept)
        rows = rows_of(problem, group, criterion)
        newton = solve_logistic(problem, rows, prior(problem), tol=1e-10, max_iter=100)
        conic = LogisticProgramme(problem, rows).solve(rows)
        assert conic.loss == pytest.approx(newton.loss, abs=1e-6)
        np.testing.assert_allclose(conic.theta, newton.theta, atol=1e-4)
        np.testing.assert_allclose(conic.row_price, newton.row_price, atol=1e-5)
        assert 0 <= conic.loss - conic.lower_bound < 1e-6
        assert conic.lower_bound <= newton.loss + 1e-9


def test_one_programme_at_several_bounds():
    """Bounds and offsets are numbers that are filled in: a new one need not be stated."""
    problem, group = random_problem(1)
    rows = rows_of(problem, group, EqualizedOdds(max_difference=0.1))
    programme = LogisticProgramme(problem, rows)
    for bound in (0.3, 0.0, 0.1):
        at = rows._replace(bound=np.full(2, bound), offset=rows.offset + bound)
        expected = solve_logistic(problem, at, prior(problem), tol=1e-10, max_iter=100)
        assert programme.solve(at).loss == pytest.approx(expected.loss, abs=1e-7)


def test_extra_constraints_hold_and_the_gap_is_closed():
    """Signs, budgets and norms are kept; no feasible coefficients nearby have a lower loss."""
    problem, group = random_problem(2)
    rows = rows_of(problem, group, DemographicParity(max_difference=0.2))
    found = LogisticProgramme(
        problem, rows, lambda coef, intercept: [coef[1] >= 0.3, cp.norm1(coef) <= 0.8]
    ).solve(rows)
    assert found.theta[1] >= 0.3 - 1e-7
    assert np.abs(found.theta[:-1]).sum() <= 0.8 + 1e-6
    assert np.all(rows.spread(rows.values(found.theta)) <= rows.bound + 1e-7)
    assert 0 <= found.loss - found.lower_bound < 1e-6
    rng = np.random.default_rng(0)
    n_tried = 0
    for theta in found.theta + rng.normal(scale=0.05, size=(3000, problem.n_coef)):
        is_kept = theta[1] >= 0.3 and np.abs(theta[:-1]).sum() <= 0.8
        if is_kept and rows.excess(rows.values(theta)) == 0:
            n_tried += 1
            assert problem.loss(theta, problem.scores(theta)) >= found.lower_bound - 1e-9
    assert n_tried > 20


def test_extra_constraints_that_do_not_bind_change_nothing():
    """A budget that is never spent leaves the answer as it is."""
    problem, group = random_problem(3)
    rows = rows_of(problem, group, DemographicParity(max_difference=0.2))
    plain = LogisticProgramme(problem, rows).solve(rows)
    roomy = LogisticProgramme(problem, rows, lambda coef, _: [cp.norm1(coef) <= 100]).solve(rows)
    np.testing.assert_allclose(roomy.theta, plain.theta, atol=1e-4)


def test_contradictions_are_told_apart():
    """The error says whether extra constraints contradict each other or the bound."""
    problem, group = random_problem(4)
    rows = rows_of(problem, group, DemographicParity(max_difference=0.0))
    with pytest.raises(InfeasibleConstraintError, match="contradict each other"):
        LogisticProgramme(problem, rows, lambda c, _: [c[0] >= 1, c[0] <= 0]).solve(rows)
    apart = rows.matrix[0, :-1] - rows.matrix[1, :-1]
    with pytest.raises(InfeasibleConstraintError, match="at once, though"):
        LogisticProgramme(problem, rows, lambda c, _: [apart @ c >= 1]).solve(rows)
    fixed = rows._replace(matrix=0 * rows.matrix, offset=np.arange(3.0))
    with pytest.raises(InfeasibleConstraintError, match="bounds on differences of mean scores"):
        LogisticProgramme(problem, fixed).solve(fixed)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda c, _: c[0] >= 0, "must return a list .* got Inequality"),
        (lambda c, _: None, "must return a list .* got None. Is the return missing"),
        (lambda c, _: [True], "must return cvxpy constraints .* got True"),
        (lambda c, _: [cp.norm1(c) >= 1], "must be convex by"),
        (lambda c, _: [c <= cp.Variable(5, boolean=True)], "integer or boolean variables"),
        (lambda c, _: [c == cp.Variable(5, integer=True)], "integer or boolean variables"),
    ],
    ids=["no list", "nothing", "no constraint", "not convex", "boolean", "integer"],
)
def test_what_is_no_constraint(build, message):
    """Extra constraints must be a list of convex constraints."""
    problem, group = random_problem(5)
    rows = rows_of(problem, group, DemographicParity(max_difference=0.1))
    with pytest.raises(ValueError, match=message):
        LogisticProgramme(problem, rows, build)


def test_separable_without_penalty():
    """A loss without a minimum is an error here too."""
    problem, group = random_problem(6, alpha=0.0)
    problem = problem._replace(y=(problem.X[:, 0] > 0).astype(float))
    rows = rows_of(problem, group, DemographicParity(max_difference=1.0))
    with pytest.raises(ValueError, match="no minimum without a penalty"):
        LogisticProgramme(problem, None).solve(rows)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(cp.USER_LIMIT, SolverError), (cp.UNBOUNDED, SolverError)],
)
def test_statuses_that_are_failures(monkeypatch, status, kind):
    """A solver that stops for any other reason is an error that names its status."""
    problem, group = random_problem(7)
    rows = rows_of(problem, group, DemographicParity(max_difference=0.1))
    monkeypatch.setattr(cp.Problem, "status", status)
    with pytest.raises(kind, match=status):
        LogisticProgramme(problem, rows).solve(rows)


def test_an_inaccurate_answer_is_measured(monkeypatch):
    """What the solver thinks does not matter: residual and gap are computed."""
    problem, group = random_problem(7)
    rows = rows_of(problem, group, DemographicParity(max_difference=0.1))
    programme = LogisticProgramme(problem, rows)
    monkeypatch.setattr(cp.Problem, "status", cp.OPTIMAL_INACCURATE)
    found = programme.solve(rows)
    assert found.loss - found.lower_bound < 1e-6
    assert 0 <= found.residual < 1e-6


@pytest.mark.parametrize("scale", [1e-4, 1e2, 1e4, 1e6])
@pytest.mark.parametrize(
    "extra", [None, lambda coef, _: [coef[1] >= 0.1]], ids=["plain", "extra constraint"]
)
def test_gap_on_unscaled_features(scale, extra):
    """The bound does not depend on the units of the features, and is never below zero."""
    problem, group = random_problem(8, alpha=1e-3)
    X = problem.X.copy()
    X[:, 0] = scale * (X[:, 0] + 10)
    problem = problem._replace(X=X)
    rows = rows_of(problem, group, DemographicParity(max_difference=0.1))
    found = LogisticProgramme(problem, rows, extra).solve(rows)
    assert 0 <= found.loss - found.lower_bound < 1e-6
    if extra is None:
        newton = solve_logistic(problem, rows, prior(problem), tol=1e-10, max_iter=100)
        assert found.lower_bound <= newton.loss + 1e-9
        assert found.loss == pytest.approx(newton.loss, abs=1e-6)


def test_a_solver_that_breaks_is_an_error(monkeypatch):
    """An exception of the solver is reported as one of ours."""
    problem, group = random_problem(7)
    rows = rows_of(problem, group, DemographicParity(max_difference=0.1))
    programme = LogisticProgramme(problem, rows)

    def broken(self, **kwargs):
        raise cp.error.SolverError("out of luck")

    monkeypatch.setattr(cp.Problem, "solve", broken)
    with pytest.raises(SolverError, match="out of luck"):
        programme.solve(rows)


@pytest.mark.parametrize(
    "extra",
    [
        None,
        lambda coef, _: [coef[0] >= 0],
        lambda coef, intercept: [coef[1] <= 1, intercept == 0],
        lambda coef, _: [cp.norm1(coef[1:]) <= 1],
    ],
    ids=["none", "sign", "some bounds", "part of a budget"],
)
@pytest.mark.parametrize("kind", ["all rows", "a few rows"])
def test_loss_without_minimum_within_extra_constraints(kind, extra):
    """Extra constraints that leave a separating direction open leave no minimum."""
    problem, group = random_problem(6, alpha=0.0)
    X, y = problem.X.copy(), problem.y
    if kind == "all rows":
        y = (X[:, 0] > 0).astype(float)
    else:
        X[:, 0] = 0
        X[np.flatnonzero(y == 1)[:4], 0] = 1
    problem = problem._replace(X=X, y=y)
    rows = rows_of(problem, group, DemographicParity(max_difference=1.0))
    with pytest.raises(ValueError, match="no minimum without a penalty"):
        LogisticProgramme(problem, None, extra).solve(rows)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sign_that_closes_the_direction_is_enough(sign):
    """A sign constraint against the only separating direction leaves a minimum."""
    problem, group = random_problem(6, alpha=0.0)
    X = problem.X.copy()
    X[:, 0] = 0
    X[np.flatnonzero(problem.y == 1)[:4], 0] = 1
    problem = problem._replace(X=X)
    rows = rows_of(problem, group, DemographicParity(max_difference=1.0))
    programme = LogisticProgramme(problem, None, lambda coef, _: [sign * coef[0] <= 0])
    if sign < 0:
        with pytest.raises(ValueError, match="no minimum"):
            programme.solve(rows)
    else:
        found = programme.solve(rows)
        assert found.theta[0] == pytest.approx(0, abs=1e-5)
        assert found.loss - found.lower_bound < 1e-6


def test_a_budget_keeps_separable_classes_finite():
    """Without penalty an extra constraint may give the loss its minimum: no error then."""
    problem, group = random_problem(6, alpha=0.0)
    problem = problem._replace(y=(problem.X[:, 0] > 0).astype(float))
    rows = rows_of(problem, group, DemographicParity(max_difference=1.0))
    found = LogisticProgramme(problem, None, lambda coef, _: [cp.norm(coef) <= 3]).solve(rows)
    assert np.linalg.norm(found.theta[:-1]) == pytest.approx(3, abs=1e-5)
