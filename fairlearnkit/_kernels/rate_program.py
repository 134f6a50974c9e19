"""The cheapest mixture of columns whose rates meet the bounds, as a linear programme.

A *column* is something that can be mixed (a threshold of one group, a fitted model): it has a cost
and contributes to rates. Columns come in *blocks* (groups, or one block for models), and the
weights of each block sum to one. Cost and rates are linear in the weights::

    min_b  cost @ b
    s.t.   sum of b over each block = 1,  b >= 0
           the two inequalities of `row_form` for every row, with one free level per event

References
----------
.. [1] A. Agarwal, A. Beygelzimer, M. Dudik, J. Langford, H. Wallach, "A Reductions Approach to
   Fair Classification", ICML 2018, section 3 (the constraints as linear moments).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairlearnkit._kernels.linear_program import LinearProgram, solve_linear_program
from fairlearnkit._kernels.moments import Moments, row_form, violations
from fairlearnkit.exceptions import InfeasibleConstraintError, SolverError

Float = NDArray[np.float64]
Int = NDArray[np.intp]

# What a solution may exceed a bound by, in rate, after its rates are computed anew.
FEASIBILITY = 1e-9
# The same where the user's conditions are solved by an interior-point method.
CONIC_FEASIBILITY = 1e-7
# A weight that is zero but for rounding: it moves no rate by more than this.
_NO_WEIGHT = 1e-12
# The same where an interior-point method has been at work.
_NO_CONIC_WEIGHT = 1e-8
# A relaxation that the solver's tolerance grants in any case.
_NO_AMOUNT = 1e-10


class Mixture(NamedTuple):
    """An optimal mixture and its prices.

    Attributes
    ----------
    weight : ndarray of shape (n_columns,)
        Weight of each column; each block sums to 1.
    cost : float
        ``cost @ weight``.
    upper_price, lower_price : ndarray of shape (n_rows,)
        Prices of the two inequalities of each row, >= 0.
    rate_price : ndarray of shape (n_rows,)
        What one more unit of each rate costs at these prices. A column's priced cost is
        ``cost + rates.T @ rate_price``, and the mixture's columns are the cheapest of their block.
    bound_price : ndarray of shape (n_events,)
        What one more unit of each event's bound saves; 0 for ratios, and negative for floors,
        where it costs.
    """

    weight: Float
    cost: float
    upper_price: Float
    lower_price: Float
    rate_price: Float
    bound_price: Float


class Relaxation(NamedTuple):
    """How far bounds must give way until a mixture meets them, and what stands in the way.

    Attributes
    ----------
    weight : ndarray of shape (n_columns,)
        Weight of each column in a mixture that then meets them; each block sums to 1.
    amount : float
        How far, >= 0; 0 where a mixture meets the bounds as they are.
    upper_price, lower_price, rate_price : ndarray of shape (n_rows,)
        Prices as in `Mixture`. No mixture of columns whose priced rates are at least those of
        the known ones needs less: the prices prove the amount. They are 0 where bounds are not
        in the way.
    in_the_way : tuple of str
        Conditions that are.
    """

    weight: Float
    amount: float
    upper_price: Float
    lower_price: Float
    rate_price: Float
    in_the_way: tuple[str, ...] = ()


class _Inequalities(NamedTuple):
    """Both inequalities of all rows, those without a slack left out, and the equations.

    Attributes
    ----------
    matrix : sparse array of shape (n_inequalities, n_columns + n_events)
        Factors of weights and levels.
    slack : ndarray of shape (n_inequalities,)
        Right hand side.
    place : ndarray of shape (n_inequalities,)
        Row, for the upper ones, or the number of rows plus row.
    equal, value : sparse array and ndarray
        Blocks sum to one, and levels of tied events are overall rates.
    """

    matrix: sparse.csr_array
    slack: Float
    place: Int
    equal: sparse.csr_array
    value: Float

    def by_row(self, of_each: Float, n_rows: int) -> Float:
        """Return values of the upper and the lower inequalities by row, 0 where there is none."""
        values = np.zeros(2 * n_rows)
        values[self.place] = of_each
        return values.reshape(2, -1)


def _inequalities(rates: sparse.csr_array, block: Int, moments: Moments) -> _Inequalities:
    form, event, n_rows = row_form(moments), moments.event, len(moments.event)
    n_events, n_columns, n_blocks = moments.n_events, rates.shape[1], int(block.max()) + 1
    shape = (n_rows, n_columns + n_events)
    row = np.repeat(np.arange(n_rows), np.diff(rates.indptr))
    place = (
        np.concatenate([row, np.arange(n_rows)]),
        np.concatenate([rates.indices, n_columns + event]),
    )

    def inequality(rate_factor: Float, level_factor: Float) -> sparse.coo_array:
        values = np.concatenate([rate_factor[event][row] * rates.data, level_factor[event]])
        return sparse.coo_array((values, place), shape=shape)

    tied = np.flatnonzero(form.tied)
    # Overall rate minus level is 0 for the tied events.
    overall = sparse.csr_array(
        (moments.share, (event, np.arange(n_rows))), shape=(n_events, n_rows)
    )
    defines = sparse.hstack([overall @ rates, -sparse.eye_array(n_events)], format="csr")[tied]
    one_each = sparse.csr_array(
        (np.ones(n_columns), (block, np.arange(n_columns))), shape=(n_blocks, n_columns + n_events)
    )
    at_most = inequality(form.upper_rate, -form.upper_level)
    at_least = inequality(-np.ones(n_events), form.lower_level)
    matrix = sparse.vstack([at_most, at_least], format="csr")
    slack = np.concatenate([form.upper_slack[event], form.lower_slack[event]])
    is_first = np.diff(event, prepend=-1) > 0
    is_said = np.isfinite(slack)
    is_said[:n_rows] &= is_first | (form.upper_rate[event] != 0)
    said = np.flatnonzero(is_said)
    return _Inequalities(
        matrix=matrix if len(said) == len(slack) else matrix[said],
        slack=slack[said],
        place=said,
        equal=sparse.vstack([one_each, defines], format="csr"),
        value=np.concatenate([np.ones(n_blocks), np.zeros(len(tied))]),
    )


def solve_mixture(cost: Float, rates: sparse.csr_array, block: Int, moments: Moments) -> Mixture:
    """Solve the programme of this module.

    Parameters
    ----------
    cost : ndarray of shape (n_columns,)
        Cost of each column, on any scale.
    rates : sparse array of shape (n_rows, n_columns)
        What each column at weight 1 contributes to the rate of each row.
    block : ndarray of shape (n_columns,)
        Block of each column, in ``0..n_blocks - 1``.
    moments : Moments
        The rows and the bounds.

    Returns
    -------
    Mixture
        A basic optimal solution: no more columns have weight than there are blocks and binding
        inequalities beyond the free levels.

    Raises
    ------
    InfeasibleConstraintError
        If no mixture meets the bounds.
    SolverError
        If the solver fails, or a rate of its answer is beyond its bound by more than 1e-9 (1e-7
        where there are conditions).
    """
    # Feasibility and optimality tolerances of the solver are absolute: costs of order one.
    scale = np.abs(cost).max(initial=0.0) or 1.0
    n_rows, n_events, n_columns = len(moments.event), moments.n_events, len(cost)
    if moments.conditions is not None:
        known, upper, lower = moments.conditions.cheapest(cost / scale, rates, block, moments)
        known = _weights(np.maximum(known, 0.0), block)
        weight = _fewest(cost / scale, rates, block, known)
        weight = _weights(np.where(weight > _NO_CONIC_WEIGHT, weight, 0.0), block)
        return _mixture(weight, cost, scale * upper, scale * lower, rates, moments)
    given = _inequalities(rates, block, moments)
    solution = solve_linear_program(
        LinearProgram(
            cost=np.append(cost / scale, np.zeros(n_events)),
            upper=given.matrix,
            bound=given.slack,
            equal=given.equal,
            value=given.value,
            n_free=n_events,
        )
    )
    weight = _weights(solution.x[:n_columns], block)
    upper, lower = scale * given.by_row(solution.price, n_rows)
    return _mixture(weight, cost, upper, lower, rates, moments)


def _mixture(
    weight: Float,
    cost: Float,
    upper: Float,
    lower: Float,
    rates: sparse.csr_array,
    moments: Moments,
) -> Mixture:
    """Return a solution with its prices, or raise where it does not meet what it claims to."""
    allowed = FEASIBILITY if moments.conditions is None else CONIC_FEASIBILITY
    excess = violations(moments, rates @ weight).max(initial=-np.inf)
    if excess > allowed:
        msg = (
            f"The solver's answer is beyond the bound by {excess:.2g} in rate, more than "
            f"{allowed:g}."
        )
        raise SolverError(msg)
    return Mixture(
        weight=weight,
        cost=float(cost @ weight),
        upper_price=upper,
        lower_price=lower,
        rate_price=rate_price(moments, upper, lower),
        bound_price=bound_price(moments, upper, lower),
    )


def _fewest(cost: Float, rates: sparse.csr_array, block: Int, weight: Float) -> Float:
    """Return a mixture of few columns with the same rates, at no more than the same cost.

    An interior-point solver gives weight to every column that is as good as another.
    """
    n_columns = len(cost)
    one_each = sparse.csr_array((np.ones(n_columns), (block, np.arange(n_columns))))
    programme = LinearProgram(
        cost=cost,
        upper=sparse.csr_array((0, n_columns)),
        bound=np.zeros(0),
        equal=sparse.vstack([one_each, rates], format="csr"),
        value=np.concatenate([np.ones(one_each.shape[0]), rates @ weight]),
        n_free=0,
    )
    try:
        return _weights(solve_linear_program(programme).x, block)
    except InfeasibleConstraintError:
        # By rounding: the weights given meet the equations, and are as good with more columns.
        return weight


def least_relaxation(
    rates: sparse.csr_array, block: Int, moments: Moments, upper: Float, lower: Float
) -> Relaxation:
    """Minimise how far the inequalities must give way until a mixture meets them.

    The phase-one programme of `solve_mixture`: costs are left out, and the slacks of all
    inequalities grow together, in a given proportion.

    Parameters
    ----------
    rates : sparse array of shape (n_rows, n_columns)
        As in `solve_mixture`.
    block : ndarray of shape (n_columns,)
        As in `solve_mixture`.
    moments : Moments
        As in `solve_mixture`.
    upper, lower : ndarray of shape (n_events,)
        How fast the slacks of each event's inequalities grow; 0 where they are to be kept.

    Returns
    -------
    Relaxation
        With ``amount`` in units of what grows at 1.

    Raises
    ------
    InfeasibleConstraintError
        If no amount suffices, since what is kept cannot be met.
    """
    event, n_events, n_columns = moments.event, moments.n_events, rates.shape[1]
    if moments.conditions is not None:
        weight, amount, upper_price, lower_price, in_the_way = moments.conditions.relax(
            rates, block, moments, upper, lower
        )
        price = rate_price(moments, upper_price, lower_price)
        weight = _weights(np.maximum(weight, 0.0), block)
        return Relaxation(weight, amount, upper_price, lower_price, price, in_the_way)
    given = _inequalities(rates, block, moments)
    growth = np.concatenate([upper[event], lower[event]])[given.place]

    def insert(matrix: sparse.csr_array, column: Float) -> sparse.csr_array:
        amount = sparse.csr_array(column[:, None])
        parts = [matrix[:, :n_columns], amount, matrix[:, n_columns:]]
        return sparse.csr_array(sparse.hstack(parts))

    cost = np.zeros(n_columns + 1 + n_events)
    cost[n_columns] = 1.0
    solution = solve_linear_program(
        LinearProgram(
            cost=cost,
            upper=insert(given.matrix, -growth),
            bound=given.slack,
            equal=insert(given.equal, np.zeros(len(given.value))),
            value=given.value,
            n_free=n_events,
        )
    )
    upper_price, lower_price = given.by_row(solution.price, len(event))
    amount = float(solution.x[n_columns])
    return Relaxation(
        weight=_weights(solution.x[:n_columns], block),
        amount=amount if amount > _NO_AMOUNT else 0.0,
        upper_price=upper_price,
        lower_price=lower_price,
        rate_price=rate_price(moments, upper_price, lower_price),
    )


def _weights(weight: Float, block: Int) -> Float:
    weight = np.where(weight > _NO_WEIGHT, weight, 0.0)
    normal: Float = weight / np.bincount(block, weight)[block]
    return normal


def bound_price(moments: Moments, upper_price: Float, lower_price: Float) -> Float:
    """Return what one more unit of each event's bound saves; 0 for ratios."""
    form, event, n_events = row_form(moments), moments.event, moments.n_events
    upper = np.bincount(event, upper_price, minlength=n_events)
    lower = np.bincount(event, lower_price, minlength=n_events)
    saved: Float = form.upper_gain * upper + form.lower_gain * lower
    return saved


def rate_price(moments: Moments, upper_price: Float, lower_price: Float) -> Float:
    """Return what one more unit of each rate costs, given the prices of the inequalities.

    A rate pays for its own two inequalities and, where rates are compared with the overall rate,
    for its share in that.
    """
    form, event = row_form(moments), moments.event
    own = form.upper_rate[event] * upper_price - lower_price
    level = form.lower_level[event] * lower_price - form.upper_level[event] * upper_price
    of_level = np.bincount(event, level, minlength=moments.n_events)
    price: Float = own + np.where(form.tied[event], moments.share * of_level[event], 0.0)
    return price
