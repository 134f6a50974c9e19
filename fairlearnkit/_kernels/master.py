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
    nearest_mixture,
)
from fairlearnkit._kernels.rate_program import Relaxation

Float = NDArray[np.float64]

# Where to ask, one after the other until something better is found: short of the programme's
# prices, from those of the best bound; at them, which closes the gap if nothing is better there.
_SHORT_OF = 0.6
# Once it is closed: short of them and at fractions of them, since a learner that is no exact
# minimiser often has more to give nearby.
_FRACTIONS = (0.5, 0.25)
# What a hypothesis must bring a mixture nearer to the bounds by, in rate, for the search to go on.
_NEARER = 1e-8
# Prices of phase one sum to one, as costs do over all rows: multiples to try beside costs.
_BESIDE_COSTS = (1.0, 3.0, 0.3)


def seek_feasible(
    pool: Pool,
    moments: Moments,
    best_responses: BestResponses,
    best_for_rates: BestResponses,
    *,
    max_calls: int,
) -> Relaxation:
    """Ask the learner for hypotheses until a mixture of the pool meets the bounds, or none can.

    Column generation on the phase-one programme: minimise by how much, in rate, the worst
    inequality is missed [2]_. Costs play no part, so that no penalty has to be chosen, and a
    result above zero proves that nothing which the learner can find meets the bounds.

    Parameters
    ----------
    pool : Pool
        Grows; not empty.
    moments : Moments
        Rates and bounds.
    best_responses, best_for_rates : callable
        Prices of the rates to the learner's answers, with and without costs.
    max_calls : int
        Calls of the learner to stop after.

    Returns
    -------
    Relaxation
        With ``amount`` 0 where a mixture of the pool meets the bounds.

    Notes
    -----
    The first call is at prices of zero with costs: the model without a constraint, which is needed
    in any case. When the programme's own prices bring nothing, a few others are tried, since a
    learner that is no exact minimiser often has more to give nearby: a running mean of prices, and
    the programme's own beside costs.
    """
    every = np.ones(moments.n_events)
    nearest = nearest_mixture(pool, moments, every, every)
    nothing = np.zeros(len(moments.event))
    mean = Prices(nothing, nothing)
    n_calls = n_dry = 0
    if nearest.amount and not pool.lines(moments) and max_calls:
        pool.ask(moments, [mean], best_responses)
        nearest = nearest_mixture(pool, moments, every, every)
        n_calls = 1
    while nearest.amount and n_calls < max_calls:
        dual = Prices(nearest.upper_price, nearest.lower_price)
        if not n_dry:
            mean = mean.towards(dual, 0.5)
        places = [(dual, 0.0), (mean, 0.0), *((dual.scaled(f), 1.0) for f in _BESIDE_COSTS)]
        place, cost_factor = places[n_dry]
        known = pool.decisions().priced(moments, nearest.rate_price, 0.0).min()
        responses = best_responses if cost_factor else best_for_rates
        found = pool.ask(moments, [place], responses, cost_factor)
        n_calls += 1
        priced = [group_rates(moments, h.sums) @ nearest.rate_price for h in found]
        nearest = nearest_mixture(pool, moments, every, every)
        n_dry = 0 if min(priced, default=np.inf) < known - _NEARER else n_dry + 1
        if n_dry == len(places):
            break
    return nearest


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
        Grows; must hold a mixture within the bounds (the two constants make one for parities, see
        `seek_feasible` for others).
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
