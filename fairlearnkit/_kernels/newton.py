"""Logistic regression under bounds on how far linear functions of its coefficients spread.

With scores ``z = X @ coef + intercept``, labels y in {0, 1} and weights that sum to one::

    min   sum_i weight_i * (log(1 + exp(z_i)) - y_i * z_i) + alpha / 2 * |coef|^2
    s.t.  the spread of each event's rows is at most its bound

A *row* is a linear function of ``theta = (coef, intercept)`` such as the mean score of a group.
The *spread* of an event is the largest difference between two of its rows, or the largest distance
of a row to their mean.

Damped Newton steps: each minimises the quadratic model of the loss under the exact constraints,
which are linear. That small programme is a projection in as many dimensions as there are
coefficients. It is solved by the dual active-set method [1]_, which adds the most violated
constraint one at a time, so that pairs of rows are never listed. Its prices sum to zero within an
event.

References
----------
.. [1] D. Goldfarb, A. Idnani, "A Numerically Stable Dual Method for Solving Strictly Convex
   Quadratic Programs", Mathematical Programming 27, 1983, section 3.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.special import entr, expit

from fairlearnkit._kernels.moments import Moments
from fairlearnkit.exceptions import InfeasibleConstraintError

Float = NDArray[np.float64]
Int = NDArray[np.intp]

# Rows of X that are weighted at a time for the Hessian: they stay in the processor's cache, and
# no second X is made.
_CHUNK = 2048
# Sufficient decrease in the line search, as is usual (Nocedal and Wright, Numerical Optimization,
# 2006, section 3.1).
_ARMIJO = 1e-4
# What rounding may leave of a violation, relative to the rows' size.
_ROUNDING = 1e-12
# What an answer may be beyond the bounds, relative to the same.
_BEYOND = 1e-10
# Without a penalty, scores that still move by this much when the loss no longer does are on their
# way to infinity: Newton's steps shrink quadratically where there is a minimum.
_STILL_MOVING = 0.1
# Prices at or below this are a solver's rounding.
_NO_PRICE = 1e-7
# Steps towards a lower bound, what it may be short of the best, and curvature below which it is
# hopeless.
_BOUND_STEPS = 20
_NOTHING_MISSING = 1e-12
_FLAT = 1e-12
# How far such a step moves a score: any probability goes far, and Newton does not overshoot.
_FURTHEST = 5.0


class LogisticProblem(NamedTuple):
    """Rows to fit.

    Attributes
    ----------
    X : ndarray or sparse array of shape (n_samples, n_features)
        Features.
    y : ndarray of shape (n_samples,)
        Labels, 0.0 or 1.0.
    weight : ndarray of shape (n_samples,)
        Weights > 0, of sum 1.
    alpha : float
        Penalty on the squared coefficients, >= 0; the intercept has none.
    fit_intercept : bool
        Whether theta ends with an intercept.
    """

    X: Any
    y: Float
    weight: Float
    alpha: float
    fit_intercept: bool

    @property
    def n_coef(self) -> int:
        """Length of theta."""
        return int(self.X.shape[1]) + self.fit_intercept

    def scores(self, theta: Float) -> Float:
        """Return the score of each sample."""
        n_features = self.X.shape[1]
        score: Float = self.X @ theta[:n_features]
        return score + theta[-1] if self.fit_intercept else score

    def transposed(self, values: Float) -> Float:
        """Return the transposed features, intercept included, times values of the samples."""
        product: Float = self.X.T @ values
        return np.append(product, values.sum()) if self.fit_intercept else product

    def sizes(self) -> Float:
        """Return the root mean square of each column, at least the smallest positive number."""
        if isinstance(self.X, np.ndarray):
            square = np.einsum("i,ij,ij->j", self.weight, self.X, self.X)
        else:
            square = np.asarray(self.X.multiply(self.X).T @ self.weight)
        square = np.append(square, 1.0) if self.fit_intercept else square
        size: Float = np.sqrt(np.maximum(square, np.finfo(float).tiny))
        return size

    def loss(self, theta: Float, score: Float) -> float:
        """Return the penalised loss at coefficients with these scores."""
        coef = theta[: self.X.shape[1]]
        fit = self.weight @ (np.logaddexp(0.0, score) - self.y * score)
        return float(fit + self.alpha / 2 * (coef @ coef))

    def gradient(self, theta: Float, probability: Float) -> Float:
        """Return the gradient of the loss at coefficients with these probabilities."""
        gradient = self.transposed(self.weight * (probability - self.y))
        n_features = self.X.shape[1]
        gradient[:n_features] += self.alpha * theta[:n_features]
        return gradient

    def hessian(self, probability: Float) -> Float:
        """Return the Hessian of the loss at these probabilities."""
        curvature = self.weight * probability * (1 - probability)
        n_features = self.X.shape[1]
        hessian = np.zeros((self.n_coef, self.n_coef))
        block = hessian[:n_features, :n_features]
        if not isinstance(self.X, np.ndarray):
            block += (self.X.T @ self.X.multiply(curvature[:, None])).toarray()
        else:
            root = np.sqrt(curvature)
            for first in range(0, len(root), _CHUNK):
                part = slice(first, first + _CHUNK)
                weighted = root[part, None] * self.X[part]
                block += weighted.T @ weighted
        block.flat[:: n_features + 1] += self.alpha
        if self.fit_intercept:
            hessian[-1, :-1] = hessian[:-1, -1] = self.X.T @ curvature
            hessian[-1, -1] = curvature.sum()
        return hessian


class Rows(NamedTuple):
    """Linear functions of theta in events, and how far each event may spread.

    Attributes
    ----------
    matrix, offset : ndarray of shape (n_rows, n_coef) and (n_rows,)
        The rows' values are ``offset + matrix @ theta``.
    event : ndarray of shape (n_rows,)
        Event of each row, sorted.
    share : ndarray of shape (n_rows,)
        Share of the row in the mean of its event.
    to_overall : ndarray of shape (n_events,)
        Whether rows are compared with their mean rather than with each other.
    bound : ndarray of shape (n_events,)
        Largest spread, >= 0; infinite where there is none.
    """

    matrix: Float
    offset: Float
    event: Int
    share: Float
    to_overall: NDArray[np.bool_]
    bound: Float

    def values(self, theta: Float) -> Float:
        """Return the rows' values."""
        values: Float = self.offset + self.matrix @ theta
        return values

    def _centre_and_distance(self, values: Float) -> tuple[Float, Float]:
        """Return what each row is compared with, and how far it is from that."""
        n_events = len(self.bound)
        lowest = np.full(n_events, np.inf)
        np.minimum.at(lowest, self.event, values)
        mean = np.bincount(self.event, self.share * values, minlength=n_events)
        centre = np.where(self.to_overall, mean, lowest)[self.event]
        return centre, np.abs(values - centre)

    def spread(self, values: Float) -> Float:
        """Return the spread of each event, shape (n_events,); 0 where it has no rows."""
        spread = np.zeros(len(self.bound))
        np.maximum.at(spread, self.event, self._centre_and_distance(values)[1])
        return spread

    def excess(self, values: Float) -> float:
        """Return by how much all events together are beyond their bounds."""
        return float(np.maximum(self.spread(values) - self.bound, 0.0).sum())

    def worst(self, values: Float) -> "tuple[float, Cut]":
        """Return the most violated inequality, and by how much it is violated."""
        centre, distance = self._centre_and_distance(values)
        excess = distance - self.bound[self.event]
        row = int(np.argmax(excess))
        event = self.event[row]
        side = np.zeros(len(values))
        if self.to_overall[event]:
            inside = self.event == event
            side[inside] -= self.share[inside]
            side[row] += 1.0
            side *= np.sign(values[row] - centre[row])
        else:
            own = np.flatnonzero(self.event == event)
            side[own[np.argmin(values[own])]] -= 1.0
            side[row] += 1.0
        return float(excess[row]), Cut(side, float(self.bound[event]))


class Cut(NamedTuple):
    """One inequality on the rows: ``side @ values <= bound``."""

    side: Float
    bound: float


class LogisticSolution(NamedTuple):
    """The minimiser, with what shows that it is one.

    Attributes
    ----------
    theta : ndarray of shape (n_coef,)
        Coefficients, then the intercept if there is one.
    loss : float
        Penalised loss.
    lower_bound : float
        What no coefficients within the bounds can go below.
    row_price : ndarray of shape (n_rows,)
        What one more unit of each row's value costs; sums to zero within an event.
    n_iter : int
        Newton steps.
    residual : float
        By how much the bounds are exceeded, at most.
    """

    theta: Float
    loss: float
    lower_bound: float
    row_price: Float
    n_iter: int
    residual: float


def surrogate_rows(
    X: Any,
    label: NDArray[np.bool_],
    unit: Int,
    sample_weight: Float | None,
    moments: Moments,
    sign: float,
    fit_intercept: bool,
) -> Rows:
    """Return the rates that a constraint compares, with scores in the place of decisions.

    Parameters
    ----------
    X : ndarray or sparse array of shape (n_samples, n_features)
        Features.
    label, unit : ndarray of shape (n_samples,)
        Whether each label is the positive one, and the unit of each row.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the rates.
    moments : Moments
        The rates; differences keep their bounds, ratios have none.
    sign : float
        1 where scores are those of the positive label, -1 where of the other.
    fit_intercept : bool
        Whether theta ends with an intercept.

    Returns
    -------
    Rows
        Rates of ``1/2 + score``. The half cancels in all differences of the usual rates, which are
        1/2 in every group if half of all rows are accepted at random.
    """
    n_cells = moments.mass.size
    weight = np.ones(len(unit)) if sample_weight is None else sample_weight
    shape = (n_cells, len(unit))
    place = (2 * unit + label, np.arange(len(unit)))
    in_cell = sparse.csr_array((weight, place), shape=shape)
    sums: Any = in_cell @ X
    sums = sums if isinstance(sums, np.ndarray) else sums.toarray()
    if fit_intercept:
        sums = np.column_stack([sums, moments.mass.ravel()])
    of_unit = sums.reshape(-1, 2, sums.shape[1])[moments.unit]
    half = moments.mass[moments.unit] / 2
    return Rows(
        matrix=sign * np.einsum("ky,kyj->kj", moments.slope, of_unit),
        offset=moments.offset + np.einsum("ky,ky->k", moments.slope, half),
        event=moments.event,
        share=moments.share,
        to_overall=moments.to_overall,
        bound=np.where(moments.is_ratio, np.inf, moments.bound),
    )


def prior(problem: LogisticProblem) -> Float:
    """Return coefficients of zero, with the intercept that fits the share of positive labels."""
    theta = np.zeros(problem.n_coef)
    if problem.fit_intercept:
        positive = float(problem.weight @ problem.y)
        theta[-1] = np.log(positive / (1 - positive))
    return theta


def solve_logistic(
    problem: LogisticProblem, rows: Rows, start: Float, *, tol: float, max_iter: int
) -> LogisticSolution:
    """Solve the problem of this module.

    Parameters
    ----------
    problem : LogisticProblem
        Rows to fit.
    rows : Rows
        What is bounded.
    start : ndarray of shape (n_coef,)
        Coefficients to start from, within the bounds or not.
    tol : float
        Gap between loss and lower bound at which to stop.
    max_iter : int
        Steps after which to stop anyway.

    Returns
    -------
    LogisticSolution
        Its gap is ``loss - lower_bound``.

    Raises
    ------
    InfeasibleConstraintError
        If no coefficients are within the bounds.
    ValueError
        If there is no penalty, and the loss has no minimum.
    """
    theta, score = start, problem.scores(start)
    loss, price_scale = problem.loss(theta, score), 0.0
    n_iter = 0
    while n_iter < max_iter:
        n_iter += 1
        probability = expit(score)
        gradient = problem.gradient(theta, probability)
        root = factor(problem.hessian(probability))
        values = rows.values(theta)
        free = -solve_triangular(root, gradient, lower=True)
        by_root = solve_triangular(root, rows.matrix.T, lower=True).T
        move, cuts, price = _nearest_within(rows, by_root, values + by_root @ free)
        step = solve_triangular(root, free + move, lower=True, trans="T")
        score_step = problem.scores(step)
        decrement = float((free + move) @ (free + move))

        # Exact penalty: beyond the largest price, its minimum is that of the problem.
        price_scale = max(price_scale, 2 * float(price.sum()))
        excess = rows.excess(values)
        merit, slope = loss + price_scale * excess, float(gradient @ step) - price_scale * excess
        size = 1.0
        while True:
            next_theta, next_score = theta + size * step, score + size * score_step
            loss = problem.loss(next_theta, next_score)
            next_merit = loss + price_scale * rows.excess(rows.values(next_theta))
            rounding = 1e-14 * (1.0 + abs(merit))
            if next_merit <= merit + _ARMIJO * size * slope + rounding or size < 1e-10:
                break
            size /= 2
        theta, score = next_theta, next_score

        if size == 1.0 and decrement <= tol:
            if problem.alpha == 0 and np.abs(score_step).max() > _STILL_MOVING:
                raise ValueError(NO_MINIMUM)
            row_price = _row_price(cuts, price, len(values))
            lower_bound = dual_bound(problem, rows, theta, row_price)
            values = rows.values(theta)
            # Rounding may end a projection early: then the next one finishes it.
            beyond = _BEYOND * (1.0 + np.abs(values).max(initial=0.0))
            if loss - lower_bound <= tol and rows.excess(values) <= beyond:
                break
    else:
        row_price = _row_price(cuts, price, len(values))
        lower_bound = dual_bound(problem, rows, theta, row_price)
    check_minimum(problem, loss, row_price)
    residual = rows.excess(rows.values(theta))
    return LogisticSolution(theta, loss, min(lower_bound, loss), row_price, n_iter, residual)


INFEASIBLE = (
    "No coefficients meet the bounds on differences of mean scores: some rates do not depend on "
    "the features, or their bounds contradict each other. Relax the bounds, or leave those rates "
    "out."
)

NO_MINIMUM = (
    "The logistic loss has no minimum without a penalty, since some combination of features "
    "separates the classes, or some of their rows: coefficients grow without end. Set C to a "
    "finite value."
)


def check_minimum(problem: LogisticProblem, loss: float, row_price: Float) -> None:
    """Raise a ValueError where a loss without penalty shows that the classes are separable.

    A row on the wrong side costs log 2 or more: below the least weight times that, no row is.
    Where bounds bind, they may be what keeps the coefficients finite.
    """
    is_bound = np.abs(row_price).max(initial=0.0) > _NO_PRICE
    if problem.alpha == 0 and not is_bound and loss < np.log(2) * problem.weight.min():
        raise ValueError(NO_MINIMUM)


def _row_price(cuts: list[Cut], price: Float, n_rows: int) -> Float:
    total = np.zeros(n_rows)
    for cut, of_cut in zip(cuts, price, strict=True):
        total += of_cut * cut.side
    return total


def factor(hessian: Float) -> Float:
    """Return the Cholesky factor, of a slightly larger matrix where it has none."""
    try:
        return np.asarray(cholesky(hessian, lower=True))
    except LinAlgError:
        # Collinear columns without a penalty: any of the equally good steps will do.
        diagonal = np.diag(hessian)
        ridge = 1e-10 * np.maximum(diagonal, 1e-6 * (diagonal.max() or 1.0))
        return np.asarray(cholesky(hessian + np.diag(ridge), lower=True))


def _nearest_within(rows: Rows, by_root: Float, values: Float) -> tuple[Float, list[Cut], Float]:
    """Return the shortest move after which the rows are within their bounds.

    Minimises ``|move|`` subject to the bounds on ``values + by_root @ move`` by the dual
    active-set method [1]_: its steps keep prices >= 0 and end once nothing is violated.

    Returns
    -------
    move : ndarray of shape (n_coef,)
        The move.
    cuts : list of Cut
        Binding inequalities.
    price : ndarray of shape (n_cuts,)
        Their prices, >= 0.
    """
    n_coef = by_root.shape[1]
    move, normals = np.zeros(n_coef), np.zeros((n_coef, 0))
    cuts: list[Cut] = []
    price = np.zeros(0)
    if not len(values) or not np.isfinite(rows.bound).any():
        return move, cuts, price
    rounding = _ROUNDING * (1.0 + np.abs(values).max())
    while True:
        excess, cut = rows.worst(values + by_root @ move)
        if excess <= rounding or any(np.array_equal(cut.side, c.side) for c in cuts):
            return move, cuts, price
        normal, own_price = by_root.T @ cut.side, 0.0
        while True:
            # What of the normal the binding ones do not span moves the point; the rest trades
            # their prices for this one's.
            inner = np.linalg.lstsq(normals, normal, rcond=None)[0]
            outer = normal - normals @ inner
            curvature = float(outer @ outer)
            is_spanned = curvature <= 1e-16 * float(normal @ normal) or not curvature
            full = np.inf if is_spanned else (cut.side @ (values + by_root @ move) - cut.bound)
            full = full if is_spanned else max(full / curvature, 0.0)
            falling = np.flatnonzero(inner > 0)
            until_zero = price[falling] / inner[falling]
            partial = until_zero.min(initial=np.inf)
            size = min(full, partial)
            if not np.isfinite(size):
                raise InfeasibleConstraintError(INFEASIBLE)
            if not is_spanned:
                move = move - size * outer
            price, own_price = price - size * inner, own_price + size
            if full <= partial:
                break
            gone = falling[np.argmin(until_zero)]
            cuts.pop(gone)
            price, normals = np.delete(price, gone), np.delete(normals, gone, axis=1)
        cuts.append(cut)
        price = np.append(np.maximum(price, 0.0), own_price)
        normals = np.column_stack([normals, normal])


def dual_bound(problem: LogisticProblem, rows: Rows, theta: Float, row_price: Float) -> float:
    """Return a loss that no coefficients within the bounds can go below.

    Parameters
    ----------
    problem : LogisticProblem
        Rows to fit.
    rows : Rows
        What is bounded.
    theta : ndarray of shape (n_coef,)
        Any coefficients: their probabilities p make the bound, the better the nearer to the
        minimiser.
    row_price : ndarray of shape (n_rows,)
        Any prices; they must sum to zero within each event whose rows are compared with each
        other.

    Returns
    -------
    float
        The bound.

    Notes
    -----
    The loss is the largest over p in (0, 1) of a function linear in the scores (Fenchel), so that
    at any p, with prices q on the rows and the residual ``g = X' w (p - y) + matrix' q``, ::

        sum_i w_i * entropy(p_i) + q @ offset - |g|^2 / (2 * alpha) - worth of the bounds at q

    is a lower bound once g is zero where there is no penalty. Damped Newton steps on the
    Lagrangian at these prices see to that, and bring p to where the bound is largest. Where they
    fail there still is zero, since no loss is negative.
    """
    n_penalised = int(problem.X.shape[1]) if problem.alpha > 0 else 0
    size = problem.sizes()[n_penalised:] if problem.alpha == 0 else 1.0
    best, last = 0.0, np.inf
    for _ in range(_BOUND_STEPS):
        probability = expit(problem.scores(theta))
        residual = problem.transposed(problem.weight * (probability - problem.y))
        residual += rows.matrix.T @ row_price
        off = np.abs(residual[n_penalised:] / size).max(initial=0.0)
        missing = 0.0
        slope = residual.copy()
        if n_penalised:
            slope[:n_penalised] += problem.alpha * theta[:n_penalised]
            # What the bound at p may be short of the largest, by the curvature of the penalty.
            missing = float(slope[:n_penalised] @ slope[:n_penalised]) / (2 * problem.alpha)
        if off <= _ROUNDING:
            entropy = float(problem.weight @ (entr(probability) + entr(1 - probability)))
            bound = entropy + float(row_price @ rows.offset) - _worth(rows, row_price)
            if n_penalised:
                penalised = residual[:n_penalised]
                bound -= float(penalised @ penalised) / (2 * problem.alpha)
            best = max(best, bound)
            if missing <= _NOTHING_MISSING or missing >= last / 2:
                break
            last = missing
        curvature = float(problem.weight @ (probability * (1 - probability)))
        if curvature < _FLAT:
            break
        theta = theta.copy()
        if n_penalised and off > _ROUNDING and missing <= _NOTHING_MISSING:
            theta[-1] -= np.clip(residual[-1] / curvature, -_FURTHEST, _FURTHEST)
            continue
        root = factor(problem.hessian(probability))
        inner = solve_triangular(root, slope, lower=True)
        step = solve_triangular(root, inner, lower=True, trans="T")
        furthest = np.abs(problem.scores(step)).max(initial=0.0)
        theta -= step * min(1.0, _FURTHEST / max(furthest, _FURTHEST))
    return best


def _worth(rows: Rows, row_price: Float) -> float:
    """Return the most that rows within their bounds can be worth at these prices.

    Between rows: the bound times the sum of the positive prices. To the mean: prices are
    ``m - share * sum(m)`` for some m, and the bound times ``sum(|m|)`` is enough; of all such m
    (they differ by a multiple of the shares) the least is taken.
    """
    n_events = len(rows.bound)
    positive = np.bincount(rows.event, np.maximum(row_price, 0.0), minlength=n_events)
    worth = positive
    for event in np.flatnonzero(rows.to_overall):
        inside = rows.event == event
        own, share = row_price[inside], rows.share[inside]
        # Least |own + t * share| is at the weighted median of -own / share.
        kinks = -own[share > 0] / share[share > 0]
        worth[event] = min((np.abs(own + t * share).sum() for t in kinks), default=0.0)
    active = worth > 0
    return float(rows.bound[active] @ worth[active])
