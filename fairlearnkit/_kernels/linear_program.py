"""Small sparse linear programmes, and their value as a function of one knob.

The only place where solver statuses are read.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from fairlearnkit.exceptions import InfeasibleConstraintError, SolverError

Float = NDArray[np.float64]

# HiGHS accepts 1e-10 at the tightest. Rates are in [0, 1], so this is an absolute error in a rate.
_SOLVER_TOLERANCE = 1e-10


class LinearProgram(NamedTuple):
    """Minimise ``cost @ x`` subject to ``upper @ x <= bound``, ``equal @ x = value``, x >= 0.

    The last ``n_free`` variables may take any sign.
    """

    cost: Float
    upper: sparse.csr_array
    bound: Float
    equal: sparse.csr_array
    value: Float
    n_free: int


class ProgramSolution(NamedTuple):
    """An optimal basic solution with its prices.

    Attributes
    ----------
    x : ndarray of shape (n_variables,)
        The solution.
    price : ndarray of shape (n_upper,)
        What one more unit of ``bound`` saves, >= 0.
    """

    x: Float
    price: Float


def solve_linear_program(program: LinearProgram) -> ProgramSolution:
    """Solve the programme with HiGHS.

    Raises
    ------
    InfeasibleConstraintError
        If no point meets the constraints.
    SolverError
        If the solver stops for any other reason.
    """
    n = len(program.cost)
    limits = np.zeros((n, 2))
    limits[:, 1] = np.inf
    limits[n - program.n_free :, 0] = -np.inf
    # The stubs know dense matrices only.
    result = linprog(  # type: ignore[call-overload]
        program.cost,
        A_ub=program.upper,
        b_ub=program.bound,
        A_eq=program.equal,
        b_eq=program.value,
        bounds=limits,
        method="highs-ds",
        options={
            "primal_feasibility_tolerance": _SOLVER_TOLERANCE,
            "dual_feasibility_tolerance": _SOLVER_TOLERANCE,
        },
    )
    if result.status == 2:
        msg = (
            "No rule meets the constraint: whatever is decided, some rates are beyond what their "
            "bound allows. Relax the bound, or leave out rates that decisions cannot change."
        )
        raise InfeasibleConstraintError(msg)
    if result.status != 0:
        msg = f"The linear programme was not solved (HiGHS: {result.message})"
        raise SolverError(msg)
    return ProgramSolution(x=result.x, price=np.maximum(-result.ineqlin.marginals, 0.0))


# Values of two programmes that agree to this many units of cost are taken as equal: what the
# solver's tolerance leaves open on a cost of order one.
_SAME_VALUE = 1e-10


def convex_curve(
    value_and_slope: Callable[[float], tuple[float, float]], low: float, high: float
) -> tuple[Float, Float]:
    """Return every breakpoint of a convex piecewise linear function on ``[low, high]``.

    Where the tangents at the two ends meet, the function is evaluated: if it lies on both, that is
    the only breakpoint between the ends; otherwise both halves are searched in the same way. The
    slope at a breakpoint may be any subgradient, so that slopes are to be read off differences.

    Parameters
    ----------
    value_and_slope : callable
        ``knob -> (value, subgradient)``.
    low, high : float
        Ends of the interval.

    Returns
    -------
    knob, value : ndarray of shape (n_breakpoints,)
        In increasing order of the knob, both ends included.
    """
    points = {low: value_and_slope(low), high: value_and_slope(high)}
    pending = [(low, high)]
    while pending:
        left, right = pending.pop()
        (left_value, left_slope), (right_value, right_slope) = points[left], points[right]
        if right - left <= _SAME_VALUE or right_slope - left_slope <= 0:
            continue
        meeting = left + (right_value - left_value - right_slope * (right - left)) / (
            left_slope - right_slope
        )
        if not left < meeting < right:
            continue
        tangent = left_value + left_slope * (meeting - left)
        chord = left_value + (right_value - left_value) * (meeting - left) / (right - left)
        if chord - tangent <= _SAME_VALUE:
            continue
        points[meeting] = value_and_slope(meeting)
        if points[meeting][0] - tangent > _SAME_VALUE:
            pending += [(left, meeting), (meeting, right)]
    knob = np.array(sorted(points))
    value = np.array([points[k][0] for k in knob])
    keep = _on_lower_hull(knob, value)
    return knob[keep], value[keep]


def _on_lower_hull(knob: Float, value: Float) -> list[int]:
    """Return the indices of points that are not on or above the chord of their neighbours."""
    keep: list[int] = []
    for i in range(len(knob)):
        while len(keep) >= 2:
            a, b = keep[-2], keep[-1]
            share = (knob[b] - knob[a]) / (knob[i] - knob[a])
            if value[a] + share * (value[i] - value[a]) - value[b] > _SAME_VALUE:
                break
            keep.pop()
        keep.append(i)
    return keep
