"""Column generation over fitted models: the restricted master programme prices the next fit.

The cheapest mixture of all classifiers that a learner can produce, subject to bounds on group
rates, is found with few fits. The pool's hypotheses are mixed by a linear programme; its prices
define a weighted classification problem, whose solution is the next hypothesis.

References
----------
.. [1] A. Agarwal, A. Beygelzimer, M. Dudik, J. Langford, H. Wallach, "A Reductions Approach to
   Fair Classification", ICML 2018, section 3 (Lagrangian and best response).
.. [2] G. Desaulniers, J. Desrosiers, M. M. Solomon (eds.), "Column Generation", Springer 2005,
   chapter 1 (restricted master, reduced costs, lower bound, stabilisation).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fairlearnkit._kernels.moments import Moments, group_rates
from fairlearnkit._kernels.pool import (
    BestResponses,
    Pool,
    Prices,
    Progress,
    cheapest_mixture,
    lower_bounds,
)

Float = NDArray[np.float64]

# Where to ask, one after the other until something better is found: short of the programme's
# prices, from those of the best bound; at them, which closes the gap if nothing is better there.
_SHORT_OF = 0.6
# Once it is closed: short of them and at fractions of them, since a learner that is no exact
# minimiser often has more to give nearby.
_FRACTIONS = (0.5, 0.25)


def generate_columns(
    pool: Pool,
    moments: Moments,
    best_responses: BestResponses,
    *,
    tol: float,
    max_calls: int,
    n_at_once: int = 1,
) -> Iterator[Progress]:
    """Ask the learner for hypotheses until the mixture is certified, yielding after each call.

    Parameters
    ----------
    pool : Pool
        Grows; must hold a mixture within the bounds (the two constants make one for parities).
    moments : Moments
        Rates and bounds.
    best_responses : callable
        Prices of the rates to the learner's answers.
    tol : float
        Gap in mean cost to stop at.
    max_calls : int
        Calls of the learner to stop after.
    n_at_once : int, default=1
        Number of prices to ask at together.

    Yields
    ------
    Progress
        The best mixture and the best lower bound so far; first before any call.

    Notes
    -----
    Prices are smoothed towards those of the best bound [2]_. When that brings no better hypothesis
    the programme's own prices are asked at, which closes the gap relative to what the learner has
    found. Then a few other prices are tried, and tried again if the mixture became cheaper by more
    than `tol`.
    """
    lines = pool.lines(moments)
    mixture = cheapest_mixture(pool, moments, tol)
    bounds = lower_bounds(pool, moments)
    progress = Progress.of(mixture, bounds)
    yield progress
    if progress.gap <= tol:
        return
    n_calls = n_explored = 0
    is_dry = is_closed = False
    cost_closed = np.inf
    while n_calls < max_calls:
        dual = Prices(mixture.upper_price, mixture.lower_price)
        if not lines:
            places = [dual.scaled(0.0)]
        else:
            best = lines[int(np.argmax(bounds))].prices
            short = best.towards(dual, _SHORT_OF)
            fractions = [dual.scaled(f) for f in _FRACTIONS]
            if is_closed:
                places = [short, *fractions][n_explored:]
            else:
                places = [short, dual, *fractions][int(is_dry) :]
        places = places[: min(n_at_once, max_calls - n_calls)]
        known = pool.decisions().priced(moments, mixture.rate_price).min()
        found = pool.ask(moments, places, best_responses)
        n_calls += len(places)
        n_explored += len(places) if is_closed else 0
        at_dual = [h.cost + group_rates(moments, h.sums) @ mixture.rate_price for h in found]
        is_better = min(at_dual, default=np.inf) < known - tol / 2
        has_asked_dual = is_dry or len(places) > 1
        mixture = cheapest_mixture(pool, moments, tol)
        bounds = lower_bounds(pool, moments)
        progress = Progress.of(mixture, bounds)
        yield progress
        # Nothing better at the programme's own prices closes the gap but for rounding.
        is_closed = progress.gap <= tol or (has_asked_dual and not is_better)
        is_dry = not is_closed and not is_better
        if is_closed:
            if mixture.cost < cost_closed - tol:
                cost_closed, n_explored = mixture.cost, 0
            is_free = not mixture.upper_price.any() and not mixture.lower_price.any()
            if is_free or n_explored >= 1 + len(_FRACTIONS):
                return
