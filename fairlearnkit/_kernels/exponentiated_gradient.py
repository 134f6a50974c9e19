"""Exponentiated gradient: a game between a learner and prices, as published.

The prices of all ordered pairs of groups are those of a softmax over the violations so far; the
learner answers them; averages of both approach an equilibrium. The pairs are never listed: with
accumulated rates ``a`` of an event's groups, the total price of the pairs in which group g is the
higher one is

    sum_g' exp(a_g - a_g')  =  exp(a_g) * (sum_g' exp(-a_g')) - 1

so that a step costs time and memory linear in the number of groups.

References
----------
.. [1] A. Agarwal, A. Beygelzimer, M. Dudik, J. Langford, H. Wallach, "A Reductions Approach to
   Fair Classification", ICML 2018, Algorithm 1, Theorems 1 to 3.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from fairlearnkit._kernels.moments import (
    Kind,
    Moments,
    group_rates,
    overall_rates,
    units_compared,
    violations,
)
from fairlearnkit._kernels.pool import (
    BestResponses,
    Pool,
    Prices,
    Progress,
    cheapest_mixture,
    lower_bounds,
    worth,
)
from fairlearnkit._kernels.rate_program import rate_price

Float = NDArray[np.float64]


def softmax_prices(moments: Moments, total: Float, slack: Float, max_multiplier: float) -> Prices:
    """Return the prices of Algorithm 1 [1]_ summed over the pairs that each group is in.

    Parameters
    ----------
    moments : Moments
        Rates and bounds.
    total : ndarray of shape (n_rows,)
        Accumulated rates, times the steps.
    slack : ndarray of shape (n_events,)
        Accumulated bounds, times the steps; 0 for ratios.
    max_multiplier : float
        Sum of all prices, at the most.

    Returns
    -------
    Prices
        Prices of the inequalities of `row_form`: the upper one of a row is that of all pairs in
        which its group is the higher one (times the ratio bound under ratios).
    """
    n_events, event = moments.n_events, moments.event
    overall = np.nan_to_num(overall_rates(moments, total))[event]
    # Logarithms of the prices of each row as the higher and as the lower one, unnormalised.
    higher, lower = np.empty(len(total)), np.empty(len(total))
    for e in range(n_events):
        rows = np.flatnonzero(event == e)
        if not len(rows):
            continue
        a = total[rows]
        if moments.kind[e] == Kind.FLOOR:
            higher[rows], lower[rows] = -np.inf, slack[e] - a
            continue
        if moments.kind[e] == Kind.CEILING:
            # One inequality for all rows: that of the first.
            higher[rows], lower[rows] = -np.inf, -np.inf
            higher[rows[0]] = overall[rows[0]] - slack[e]
            continue
        factor = moments.bound[e] if moments.is_ratio[e] else 1.0
        if moments.to_overall[e]:
            higher[rows] = factor * a - overall[rows] - slack[e]
            lower[rows] = factor * overall[rows] - a - slack[e]
            continue
        # A row is not paired with itself.
        itself = (factor - 1.0) * a
        higher[rows] = _log_difference(factor * a + logsumexp(-a), itself) - slack[e]
        lower[rows] = _log_difference(logsumexp(factor * a) - a, itself) - slack[e]
    to_overall = moments.to_overall[event]
    # Each pair once: a pair has one higher row.
    is_own = to_overall | (moments.kind[event] == Kind.FLOOR)
    all_pairs = np.concatenate([[0.0], higher, lower[is_own]])
    scale = np.log(max_multiplier) - logsumexp(all_pairs)
    upper_price, lower_price = np.exp(higher + scale), np.exp(lower + scale)
    bound = moments.bound[event]
    between_ratios = moments.is_ratio[event] & ~to_overall
    return Prices(np.where(between_ratios, bound, 1.0) * upper_price, lower_price)


def _log_difference(x: Float, y: Float) -> Float:
    """Return log(exp(x) - exp(y)) for x >= y; -inf where they are equal."""
    with np.errstate(divide="ignore"):  # the logarithm of 0
        difference: Float = x + np.log(-np.expm1(np.minimum(y - x, 0.0)))
    return difference


def exponentiated_gradient(
    pool: Pool,
    moments: Moments,
    best_responses: BestResponses,
    *,
    max_multiplier: float,
    tol: float,
    max_calls: int,
    lp_step: bool,
) -> Iterator[Progress]:
    """Play the game of Algorithm 1 [1]_ until its gap is closed, yielding after each round.

    Parameters
    ----------
    pool : Pool
        Grows; must hold a mixture within the bounds.
    moments : Moments
        Rates and bounds.
    best_responses : callable
        Prices of the rates to the learner's answers.
    max_multiplier : float
        Largest sum of all prices, B in [1]_.
    tol : float
        Gap to stop at, nu in [1]_.
    max_calls : int
        Calls of the learner to stop after.
    lp_step : bool
        Whether each round ends with the cheapest mixture of the pool within the bounds, and a
        call at its prices, in place of the average.

    Yields
    ------
    Progress
        First before any call: the cheapest mixture of the pool. Without `lp_step`, the average of
        all answers. With costs of at most 1, its cost is at most the optimum plus ``2 * gap``, and
        it is beyond the bounds by at most ``(1 + 2 * gap) / max_multiplier``. With `lp_step`, a
        mixture within the bounds and its gap to the best lower bound.

    Notes
    -----
    The published step is ``sqrt(log(K + 1) / T)`` for K inequalities, violations of at most 1 and
    a number of rounds T fixed in advance for the worst case, millions of them. Here T is the
    number of rounds so far, which costs a constant factor and ends when the gap is closed.

    The learner's answer at the average prices is needed for the gap only; it is asked for when the
    gap relative to the pool is closed.
    """
    slack_of_step = np.where(moments.is_ratio, 0.0, moments.bound)
    total, slack = np.zeros(len(moments.event)), np.zeros(moments.n_events)
    price_sum = Prices(np.zeros_like(total), np.zeros_like(total))
    played = np.zeros(len(pool.hypotheses))
    log_pairs = np.log(1 + _n_pairs(moments))
    n_calls = n_rounds = 0
    yield Progress.of(cheapest_mixture(pool, moments), lower_bounds(pool, moments))
    while n_calls < max_calls:
        step = np.sqrt(log_pairs / (n_rounds + 1))
        prices = softmax_prices(moments, step * total, step * slack, max_multiplier)
        pool.ask(moments, [prices], best_responses)
        n_calls += 1
        n_rounds += 1
        known = pool.decisions()
        answer = int(np.argmin(known.priced(moments, rate_price(moments, *prices))))
        played = np.pad(played, (0, len(known.cost) - len(played)))
        played[answer] += 1
        total += group_rates(moments, known.sums[answer])
        slack += slack_of_step
        price_sum = Prices(price_sum.upper + prices.upper, price_sum.lower + prices.lower)
        weight, average = played / n_rounds, price_sum.scaled(1 / n_rounds)

        progress = _progress_of_averages(pool, moments, weight, average, max_multiplier)
        if lp_step:
            mixture = cheapest_mixture(pool, moments, tol)
            if n_calls < max_calls:
                dual = Prices(mixture.upper_price, mixture.lower_price)
                pool.ask(moments, [dual], best_responses)
                n_calls += 1
                mixture = cheapest_mixture(pool, moments, tol)
            progress = Progress.of(mixture, lower_bounds(pool, moments))
        elif progress.gap <= tol and n_calls < max_calls:
            pool.ask(moments, [average], best_responses)
            n_calls += 1
            progress = _progress_of_averages(pool, moments, weight, average, max_multiplier)
        yield progress
        if progress.gap <= tol:
            return


def _n_pairs(moments: Moments) -> int:
    """Return the number of inequalities that the prices are of, with every pair counted."""
    width = units_compared(moments)
    parity = np.where(moments.to_overall, 2 * width, width * (width - 1))
    of_event = np.choose(moments.kind, [parity, width, np.minimum(width, 1), 0 * width])
    return int(of_event.sum())


def _progress_of_averages(
    pool: Pool, moments: Moments, weight: Float, prices: Prices, max_multiplier: float
) -> Progress:
    """Return where the averages of answers and prices stand, relative to the pool."""
    known, price = pool.decisions(), rate_price(moments, *prices)
    n_played = len(weight)
    rates = group_rates(moments, np.tensordot(weight, known.sums[:n_played], 1))
    cost = float(weight @ known.cost[:n_played])
    bounds_worth = worth(moments, prices, moments.bound)
    lagrangian = cost + rates @ price - bounds_worth
    best_answer = known.priced(moments, price).min() - bounds_worth
    excess = max(violations(moments, rates).max(initial=0.0), 0.0)
    highest = cost + max_multiplier * excess
    return Progress(
        weight=weight,
        cost=cost,
        rate_price=price,
        lower_bound=float(lower_bounds(pool, moments).max(initial=-np.inf)),
        gap=float(max(lagrangian - best_answer, highest - lagrangian, 0.0)),
    )
