"""Convex problems with conditions that the user writes, by cvxpy: arrays in and out.

The only module that imports cvxpy, and the only place where its statuses are read.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning

from fairlearnkit._kernels.newton import (
    LogisticProblem,
    LogisticSolution,
    Rows,
    check_minimum,
    dual_bound,
)
from fairlearnkit.exceptions import InfeasibleConstraintError, SolverError

Float = NDArray[np.float64]
ExtraConstraints = Callable[[Any, Any], Any]

# Residual and duality gap at which an answer is good, though the solver would have liked to go on.
_ACCURACY = 1e-6


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

        Raises
        ------
        InfeasibleConstraintError
            If no coefficients meet all constraints; the message says which contradict each other.
        SolverError
            If the solver fails.
        ValueError
            If there is no penalty, and the loss has no minimum.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the solver stops short of its accuracy.
        """
        problem = self._problem
        if self._bounds:
            self._offset.value = rows.offset
            self._bound.value = rows.bound
        if not _is_solved(self._programme):
            raise InfeasibleConstraintError(self._why_infeasible())
        programme = self._programme
        is_inaccurate = programme.status == cp.OPTIMAL_INACCURATE
        residual = max((float(np.max(c.violation())) for c in programme.constraints), default=0.0)
        n_iter = int(programme.solver_stats.num_iters or 1)
        theta = np.array(self._coef.value, dtype=np.float64)
        if problem.fit_intercept:
            theta = np.append(theta, float(self._intercept.value))
        loss = problem.loss(theta, problem.scores(theta))
        row_price = self._row_price(rows)
        if not self._extra:
            check_minimum(problem, loss, row_price)
        if self._extra:
            lower_bound = loss - self._tangent_gap(theta)
        else:
            free = rows if self._bounds else rows._replace(bound=np.full(len(rows.bound), np.inf))
            lower_bound = dual_bound(problem, free, theta, row_price)
        if is_inaccurate and max(residual, loss - lower_bound) > _ACCURACY:
            warnings.warn(
                "The conic solver stopped short of its accuracy: constraints are met to "
                f"{residual:.2g}, and the loss may be {loss - lower_bound:.2g} from its minimum. "
                "Scale the features, or use more regularisation.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return LogisticSolution(theta, loss, min(lower_bound, loss), row_price, n_iter)

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

    def _tangent_gap(self, theta: Float) -> float:
        """Return how far the loss may be from its minimum, by a quadratic that lies below it.

        The tangent at theta plus the penalty's curvature is minimised under all constraints, over
        intercepts within 1: the loss has no other curvature to rely on there.
        """
        problem, n_features = self._problem, self._coef.size
        probability = expit(problem.scores(theta))
        gradient = problem.gradient(theta, probability)
        away = self._coef - theta[:n_features]
        change = gradient[:n_features] @ away + problem.alpha / 2 * cp.sum_squares(away)
        near = []
        if problem.fit_intercept:
            change = change + gradient[-1] * (self._intercept - theta[-1])
            near = [cp.abs(self._intercept - theta[-1]) <= 1]
        if problem.alpha == 0:
            near.append(cp.abs(away) <= 1)
        # In units in which the solver's absolute tolerance does not matter.
        scale = 1 / max(np.abs(gradient).max(), problem.alpha, 1e-12)
        tangent = cp.Problem(cp.Minimize(scale * change), [*self._bounds, *self._extra, *near])
        is_solved = _is_solved(tangent)
        return max(-float(tangent.value) / scale, 0.0) if is_solved else np.inf

    def _why_infeasible(self) -> str:
        if self._extra and not _is_solved(cp.Problem(cp.Minimize(0), self._extra)):
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
        return (
            "No coefficients meet the bounds on differences of mean scores: some rates do not "
            "depend on the features, or their bounds contradict each other. Relax the bounds, or "
            "leave those rates out."
        )


def _checked(build: ExtraConstraints | None, coef: Any, intercept: Any) -> list[Any]:
    """Return the user's constraints, or raise where they are none or not convex."""
    if build is None:
        return []
    found = build(coef, intercept)
    if not isinstance(found, (list, tuple)):
        msg = (
            "extra_constraints must return a list of cvxpy constraints, got "
            f"{type(found).__name__}. Write [coef[0] >= 0] rather than coef[0] >= 0."
        )
        raise ValueError(msg)
    for constraint in found:
        if not isinstance(constraint, cp.constraints.constraint.Constraint):
            msg = (
                "extra_constraints must return cvxpy constraints such as coef[0] >= 0, got "
                f"{constraint!r}."
            )
            raise ValueError(msg)
        if not constraint.is_dcp():
            msg = (
                "extra_constraints must be convex by cvxpy's rules (an upper bound on a convex "
                f"expression, a lower bound on a concave one), got {constraint}."
            )
            raise ValueError(msg)
    return list(found)


def _is_solved(programme: Any) -> bool:
    """Solve a programme; False where it has no solution."""
    try:
        with warnings.catch_warnings():
            # What an inaccurate solution is worth is measured afterwards.
            warnings.simplefilter("ignore", UserWarning)
            programme.solve(solver=cp.CLARABEL)
    except cp.error.SolverError as error:
        msg = f"The conic programme was not solved (Clarabel: {error})"
        raise SolverError(msg) from error
    status = programme.status
    if status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE):
        return False
    if status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        msg = f"The conic programme was not solved (Clarabel: {status})."
        raise SolverError(msg)
    return True
