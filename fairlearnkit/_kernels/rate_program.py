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
from fairlearnkit.exceptions import SolverError

Float = NDArray[np.float64]
Int = NDArray[np.intp]

# What a solution may exceed a bound by, in rate, after its rates are computed anew.
FEASIBILITY = 1e-9
# A weight that is zero but for rounding: it moves no rate by more than this.
_NO_WEIGHT = 1e-12


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
        What one more unit of each event's difference bound saves; 0 for ratios.
    """

    weight: Float
    cost: float
    upper_price: Float
    lower_price: Float
    rate_price: Float
    bound_price: Float


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
        If the solver fails, or a rate of its answer is beyond its bound by more than 1e-9.
    """
    # Feasibility and optimality tolerances of the solver are absolute: costs of order one.
    scale = np.abs(cost).max(initial=0.0) or 1.0
    form, event, n_rows = row_form(moments), moments.event, len(moments.event)
    n_events, n_columns, n_blocks = moments.n_events, len(cost), int(block.max()) + 1
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
    solution = solve_linear_program(
        LinearProgram(
            cost=np.append(cost / scale, np.zeros(n_events)),
            upper=sparse.vstack([at_most, at_least], format="csr"),
            bound=np.concatenate([form.upper_slack[event], form.lower_slack[event]]),
            equal=sparse.vstack([one_each, defines], format="csr"),
            value=np.concatenate([np.ones(n_blocks), np.zeros(len(tied))]),
            n_free=n_events,
        )
    )
    weight = solution.x[:n_columns]
    weight = np.where(weight > _NO_WEIGHT, weight, 0.0)
    weight /= np.bincount(block, weight)[block]
    excess = violations(moments, rates @ weight).max(initial=-np.inf)
    if excess > FEASIBILITY:
        msg = (
            f"The solver's answer is beyond the bound by {excess:.2g} in rate, more than "
            f"{FEASIBILITY:g}."
        )
        raise SolverError(msg)
    upper, lower = scale * solution.price.reshape(2, -1)
    saved = upper + np.where(moments.to_overall[event], lower, 0.0)
    bound_price = np.bincount(event, saved, minlength=n_events)
    return Mixture(
        weight=weight,
        cost=float(cost @ weight),
        upper_price=upper,
        lower_price=lower,
        rate_price=rate_price(moments, upper, lower),
        bound_price=np.where(moments.is_ratio, 0.0, bound_price),
    )


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
