"""Convex problems with conditions that the user writes, by cvxpy: arrays in and out.

The only place where cvxpy's statuses are read.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fairlearnkit._kernels.newton import (
    INFEASIBLE,
    NO_MINIMUM,
    LogisticProblem,
    LogisticSolution,
    Rows,
    dual_bound,
    factor,
)
from fairlearnkit.exceptions import InfeasibleConstraintError, SolverError

Float = NDArray[np.float64]
ExtraConstraints = Callable[[Any, Any], Any]

# Log-odds that some rows can gain while no row loses any: beyond half of it a loss is zero in
# floating point, and has no minimum for a solver to find.
_ENDLESS = 1000.0
# Steps towards a better lower bound while the gap is above this.
_POLISHING, _ACCURACY = 3, 1e-7


class LogisticProgramme:
    """Constrained logistic regression as a conic programme, solved at any bounds.

    The problem of `fairlearnkit._kernels.newton`, with one exponential cone per sample, and
    whatever else is asked of the coefficients.

    Parameters
    ----------
    problem : LogisticProblem
        Rows to fit.
    rows : Rows or None
        What is bounded; None where nothing is. Offsets and bounds may change from one solution to
        the next.
    extra_constraints : callable, default=None
        ``(coef, intercept) -> list`` of cvxpy constraints, of expressions of shape
        ``(n_features,)`` and ``()``.
    """

    def __init__(
        self,
        problem: LogisticProblem,
        rows: Rows | None,
        extra_constraints: ExtraConstraints | None = None,
    ) -> None:
        self._problem, self._rows = problem, rows
        n_features = problem.X.shape[1]
        self._coef = cp.Variable(n_features)
        self._intercept: Any = cp.Variable() if problem.fit_intercept else cp.Constant(0.0)
        self._extra = _checked(extra_constraints, self._coef, self._intercept)
        self._bounds: list[Any] = []
        if rows is not None:
            self._bounds = self._bound_rows(rows)
        score = problem.X @ self._coef + self._intercept
        loss = problem.weight @ cp.logistic(score) - (problem.weight * problem.y) @ score
        loss = loss + problem.alpha / 2 * cp.sum_squares(self._coef)
        self._programme = cp.Problem(cp.Minimize(loss), [*self._bounds, *self._extra])
        # A penalty has one; further bounds leave it.
        self._has_minimum = problem.alpha > 0

    def _bound_rows(self, rows: Rows) -> list[Any]:
        """Return the constraints that keep each event's rows near their level."""
        self._offset = cp.Parameter(len(rows.offset))
        self._bound = cp.Parameter(len(rows.bound), nonneg=True)
        n_features = self._coef.size
        value = self._offset + rows.matrix[:, :n_features] @ self._coef
        if self._problem.fit_intercept:
            value = value + rows.matrix[:, -1] * self._intercept
        # Between rows: from a free level to the bound above it. To the mean: both sides of it.
        in_event = np.equal.outer(np.arange(len(rows.bound)), rows.event).astype(float)
        level = cp.multiply(~rows.to_overall, cp.Variable(len(rows.bound)))
        mean = cp.multiply(rows.to_overall, (in_event * rows.share) @ value)
        away = value - in_event.T @ (level + mean)
        below = in_event.T @ cp.multiply(rows.to_overall.astype(float), self._bound)
        return [away <= in_event.T @ self._bound, -away <= below]

    def solve(self, rows: Rows) -> LogisticSolution:
        """Solve at the offsets and bounds of some rows.

        Returns
        -------
        LogisticSolution
            Its residual and gap are measured, whatever the solver says of its answer.

        Raises
        ------
        InfeasibleConstraintError
            If no coefficients meet all constraints; the message says which contradict each other.
        SolverError
            If the solver fails.
        ValueError
            If there is no penalty, and the loss has no minimum.
        """
        problem = self._problem
        if self._bounds:
            self._offset.value = rows.offset
            self._bound.value = rows.bound
        if not self._has_minimum:
            self._check_minimum()
        if not find_solution(self._programme):
            raise InfeasibleConstraintError(self._why_infeasible())
        programme = self._programme
        residual = max((float(np.max(c.violation())) for c in programme.constraints), default=0.0)
        n_iter = int(programme.solver_stats.num_iters or 1)
        theta = np.array(self._coef.value, dtype=np.float64)
        if problem.fit_intercept:
            theta = np.append(theta, float(self._intercept.value))
        loss, near = problem.loss(theta, problem.scores(theta)), theta
        row_price = self._row_price(rows)
        if self._extra:
            lower_bound = self._tangent_bound(theta)
            for _ in range(_POLISHING):
                if loss - lower_bound <= _ACCURACY:
                    break
                near = self._newton_step(near)
                lower_bound = max(lower_bound, self._tangent_bound(near))
        else:
            free = rows if self._bounds else rows._replace(bound=np.full(len(rows.bound), np.inf))
            lower_bound = dual_bound(problem, free, theta, row_price)
        return LogisticSolution(theta, loss, min(lower_bound, loss), row_price, n_iter, residual)

    def _check_minimum(self) -> None:
        """Raise a ValueError where the loss falls without end, within the constraints.

        From some coefficients within them it does if some rows can gain log-odds while no row
        loses any.
        """
        problem = self._problem
        constraints = [*self._bounds, *self._extra]
        size = cp.sum_squares(self._coef) + cp.square(self._intercept)
        if not find_solution(cp.Problem(cp.Minimize(size), constraints)):
            raise InfeasibleConstraintError(self._why_infeasible())
        coef, intercept = self._coef.value, self._intercept.value
        change = problem.X @ (self._coef - coef) + (self._intercept - intercept)
        gain = cp.multiply(2 * problem.y - 1, change)
        most = cp.Maximize(problem.weight @ cp.minimum(gain, _ENDLESS))
        try:
            is_solved = find_solution(cp.Problem(most, [*constraints, gain >= 0]))
        except SolverError:
            # Nothing found: the loss itself may still be solved.
            return
        if is_solved and gain.value.max() > _ENDLESS / 2:
            raise ValueError(NO_MINIMUM)
        self._has_minimum = True

    def _row_price(self, rows: Rows) -> Float:
        """Return what one more unit of each row's value costs, by the solver's prices."""
        if not self._bounds:
            return np.zeros(len(rows.event))
        upper, lower = (constraint.dual_value for constraint in self._bounds)
        price = np.asarray(upper - lower, dtype=np.float64)
        n_events = len(rows.bound)
        total = np.bincount(rows.event, price, minlength=n_events)
        count = np.maximum(np.bincount(rows.event, minlength=n_events), 1)
        # To the mean each row pays for its share in that. Between rows prices sum to zero, but for
        # the solver's tolerance.
        shared = np.where(rows.to_overall[rows.event], rows.share, 1.0 / count[rows.event])
        return np.asarray(price - shared * total[rows.event])

    def _tangent_bound(self, theta: Float) -> float:
        """Return a loss that coefficients within all constraints do not go below.

        The tangent at theta plus the penalty's curvature lies below the loss. It is minimised
        under all constraints, over intercepts within 1: the loss has no other curvature to rely
        on there.
        """
        problem, n_features = self._problem, self._coef.size
        score = problem.scores(theta)
        gradient = problem.gradient(theta, expit(score))
        away = self._away(theta)
        change = gradient @ away + problem.alpha / 2 * cp.sum_squares(away[:n_features])
        near = [cp.abs(away[n_features:]) <= 1] if problem.fit_intercept else []
        if problem.alpha == 0:
            near.append(cp.abs(away) <= 1)
        # In units in which the solver's absolute tolerance does not matter.
        scale = 1 / max(np.abs(gradient).max(), problem.alpha, 1e-12)
        tangent = cp.Problem(cp.Minimize(scale * change), [*self._bounds, *self._extra, *near])
        try:
            is_solved = find_solution(tangent)
        except SolverError:
            is_solved = False
        # No loss is negative.
        below = float(tangent.value) / scale if is_solved else -np.inf
        return max(problem.loss(theta, score) + min(below, 0.0), 0.0)

    def _newton_step(self, theta: Float) -> Float:
        """Return the minimiser of the quadratic model at theta under all constraints."""
        problem = self._problem
        probability = expit(problem.scores(theta))
        gradient, hessian = problem.gradient(theta, probability), problem.hessian(probability)
        # In units in which the model is as curved in all coordinates.
        unit = 1 / np.sqrt(np.maximum(np.diag(hessian), 1e-12))
        step = cp.Variable(len(theta))
        root = factor(hessian * np.outer(unit, unit))
        model = (unit * gradient) @ step + cp.sum_squares(root.T @ step) / 2
        is_step = self._away(theta) == cp.multiply(unit, step)
        try:
            programme = cp.Problem(cp.Minimize(model), [*self._bounds, *self._extra, is_step])
            is_solved = find_solution(programme)
        except SolverError:
            is_solved = False
        return theta + unit * np.asarray(step.value) if is_solved else theta

    def _away(self, theta: Float) -> Any:
        """Return coefficients and intercept, if there is one, less theta."""
        free = [self._coef, self._intercept] if self._problem.fit_intercept else [self._coef]
        return cp.hstack(free) - theta

    def _why_infeasible(self) -> str:
        if self._extra and not find_solution(cp.Problem(cp.Minimize(0), self._extra)):
            return (
                "extra_constraints contradict each other: no coefficients meet all of them. Relax "
                "one of them."
            )
        if self._extra:
            return (
                "No coefficients meet extra_constraints and the bounds on differences of mean "
                "scores at once, though extra_constraints alone can be met. Relax one or the "
                "other."
            )
        return INFEASIBLE


def _checked(build: ExtraConstraints | None, coef: Any, intercept: Any) -> list[Any]:
    """Return the user's constraints, or raise where they are none or not convex."""
    if build is None:
        return []
    found = constraints_of(build(coef, intercept), "extra_constraints", "coef[0] >= 0")
    for constraint in found:
        if not constraint.is_dcp():
            msg = (
                "extra_constraints must be convex by cvxpy's rules (an upper bound on a convex "
                f"expression, a lower bound on a concave one), got {constraint}."
            )
            raise ValueError(msg)
        discrete = [v for v in constraint.variables() if v.attributes["integer"]]
        discrete += [v for v in constraint.variables() if v.attributes["boolean"]]
        if discrete:
            msg = (
                "extra_constraints must be convex, got one with integer or boolean variables: "
                f"{constraint}. Use continuous variables, such as a budget cp.norm1(coef) <= 5 in "
                "the place of a number of coefficients."
            )
            raise ValueError(msg)
    return found


def constraints_of(found: Any, what: str, example: str) -> list[Any]:
    """Return what a function of the user's gave as a list of cvxpy constraints, or raise."""
    if found is None:
        msg = f"{what} must return a list of cvxpy constraints, got None. Is the return missing?"
        raise ValueError(msg)
    kind = cp.constraints.constraint.Constraint
    if isinstance(found, kind) or not isinstance(found, (list, tuple)):
        msg = (
            f"{what} must return a list of cvxpy constraints, got {type(found).__name__}. Write "
            f"[{example}] rather than {example}."
        )
        raise ValueError(msg)
    if not found:
        msg = f"{what} must return at least one cvxpy constraint, such as {example}, got none."
        raise ValueError(msg)
    for constraint in found:
        if not isinstance(constraint, kind):
            msg = f"{what} must return cvxpy constraints such as {example}, got {constraint!r}."
            raise ValueError(msg)
    return list(found)


def find_solution(programme: Any, settings: Sequence[dict[str, float]] = ({},)) -> bool:
    """Solve a programme by the first of some settings that does; False where it is infeasible."""
    for setting in settings:
        try:
            with warnings.catch_warnings():
                # What an inaccurate solution is worth is measured afterwards.
                warnings.simplefilter("ignore", UserWarning)
                programme.solve(solver=cp.CLARABEL, **setting)
        except cp.error.SolverError as error:
            reason = str(error)
            continue
        if programme.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
            return True
        if programme.status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE):
            return False
        reason = programme.status
    msg = f"The conic programme was not solved (Clarabel: {reason})."
    raise SolverError(msg)
