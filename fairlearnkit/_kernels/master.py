"""Column generation over fitted models: the restricted master programme and its certificate.

The cheapest mixture of all classifiers that a learner can produce, subject to bounds on group
rates, is found with few fits. A pool of hypotheses, each known by its cost and cell sums, is mixed
by a linear programme; its prices define a weighted classification problem, whose solution is the
next hypothesis. Each call of the learner at prices p also leaves a lower bound on the cost of
every mixture, valid at every bound: the priced cost of the best hypothesis known, less what the
bounds can be worth at these prices.

With a learner that minimises weighted error the bound holds against its whole class. With any
other learner it holds against the hypotheses that the learner has found.

References
----------
.. [1] A. Agarwal, A. Beygelzimer, M. Dudik, J. Langford, H. Wallach, "A Reductions Approach to
   Fair Classification", ICML 2018, section 3 (Lagrangian and best response).
.. [2] G. Desaulniers, J. Desrosiers, M. M. Solomon (eds.), "Column Generation", Springer 2005,
   chapter 1 (restricted master, reduced costs, lower bound, stabilisation).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairlearnkit._kernels.moments import Moments, group_rates
from fairlearnkit._kernels.rate_program import Mixture, rate_price, solve_mixture

Float = NDArray[np.float64]


class Hypothesis(NamedTuple):
    """A classifier as the programme knows it: its mean cost and its cell sums."""

    cost: float
    sums: Float


class Prices(NamedTuple):
    """Prices of the two inequalities of each row, each of shape ``(n_rows,)`` and >= 0."""

    upper: Float
    lower: Float

    def scaled(self, factor: float) -> "Prices":
        """Return the prices times a factor."""
        return Prices(factor * self.upper, factor * self.lower)

    def towards(self, other: "Prices", share: float) -> "Prices":
        """Return the prices moved by a share of the way to others."""
        return Prices(
            (1 - share) * self.upper + share * other.upper,
            (1 - share) * self.lower + share * other.lower,
        )


@dataclass
class Pool:
    """Hypotheses, and the prices at which the learner was asked for one.

    Prices belong to rows of the moments, so that they are kept per structure of these: the rates
    and how they are compared, whatever the bounds.
    """

    hypotheses: list[Hypothesis] = field(default_factory=list)
    asked: dict[bytes, list[tuple[Prices, Float]]] = field(default_factory=dict)

    def costs(self) -> Float:
        """Return the cost of each hypothesis."""
        return np.array([h.cost for h in self.hypotheses])

    def rates(self, moments: Moments) -> Float:
        """Return the rates of each hypothesis, shape ``(n_hypotheses, n_rows)``."""
        return group_rates(moments, np.array([h.sums for h in self.hypotheses]))

    def lines(self, moments: Moments) -> list[tuple[Prices, Float]]:
        """Return the prices asked at, each with the bounds of that time."""
        return self.asked.setdefault(_structure(moments), [])


def _structure(moments: Moments) -> bytes:
    parts = (moments.event, moments.unit, moments.slope, moments.is_ratio, moments.to_overall)
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


def mix(pool: Pool, moments: Moments) -> Mixture:
    """Return the cheapest mixture of the pool within the bounds."""
    rates = sparse.csr_array(pool.rates(moments).T)
    one_block = np.zeros(len(pool.hypotheses), dtype=np.intp)
    return solve_mixture(pool.costs(), rates, one_block, moments)


def lower_bounds(pool: Pool, moments: Moments) -> Float:
    """Return the lower bound that each call of the learner leaves at the moments' bounds.

    Notes
    -----
    At prices asked at, no mixture's priced cost is below that of the best hypothesis. What the
    inequalities are worth at a feasible mixture is at most, per event with prices of total U on
    the upper and L on the lower ones,

    * differences between groups: ``bound * U + max(U - L, 0)`` (the level is in [0, 1]);
    * ratios between groups: ``max(U - bound * L, 0)``;
    * differences to overall: ``bound * (U + L)``;
    * ratios to overall: ``max(bound_then - bound, 0) * (U + L)``.
    """
    lines = pool.lines(moments)
    if not lines:
        return np.empty(0)
    costs, rates = pool.costs(), pool.rates(moments)
    bounds = np.empty(len(lines))
    for i, (prices, bound_then) in enumerate(lines):
        at_call = moments._replace(bound=bound_then)
        priced = costs + rates @ rate_price(at_call, *prices)
        bounds[i] = priced.min() - _worth(moments, prices, bound_then).sum()
    return bounds


def _worth(moments: Moments, prices: Prices, bound_then: Float) -> Float:
    n_events, bound = moments.n_events, moments.bound
    upper = np.bincount(moments.event, prices.upper, minlength=n_events)
    lower = np.bincount(moments.event, prices.lower, minlength=n_events)
    between = np.where(
        moments.is_ratio,
        np.maximum(upper - bound * lower, 0.0),
        bound * upper + np.maximum(upper - lower, 0.0),
    )
    slack = np.where(moments.is_ratio, np.maximum(bound_then - bound, 0.0), bound)
    return np.where(moments.to_overall, slack * (upper + lower), between)


class Progress(NamedTuple):
    """Where column generation stands after a call of the learner."""

    mixture: Mixture
    lower_bound: float
    n_calls: int

    @property
    def gap(self) -> float:
        """Cost of the mixture above the lower bound, >= 0."""
        return max(self.mixture.cost - self.lower_bound, 0.0)


# Where to ask, one after the other until something better is found: short of the programme's
# prices, from those of the best bound; at them; at the mean of all prices asked at, a half and a
# quarter of them, since a learner that is no exact minimiser often has more to give nearby.
_SHORT_OF = 0.6
_FRACTIONS = (0.5, 0.25)


def _places(lines: list[tuple[Prices, Float]], best: Prices, dual: Prices) -> list[Prices]:
    asked = [prices for prices, _ in lines]
    mean = Prices(
        np.mean([p.upper for p in asked], axis=0), np.mean([p.lower for p in asked], axis=0)
    )
    return [best.towards(dual, _SHORT_OF), dual, mean, *(dual.scaled(f) for f in _FRACTIONS)]


def generate_columns(
    pool: Pool,
    moments: Moments,
    best_response: Callable[[Float], Hypothesis | None],
    *,
    tol: float,
    max_calls: int,
) -> Iterator[Progress]:
    """Ask the learner for hypotheses until the mixture is certified, yielding after each call.

    Parameters
    ----------
    pool : Pool
        Grows; must hold a mixture within the bounds (the two constants make one for parities).
    moments : Moments
        Rates and bounds.
    best_response : callable
        Price of one more unit of each rate, shape ``(n_rows,)``, to the learner's best hypothesis;
        None where a constant is best, which the pool holds.
    tol : float
        Gap in mean cost to stop at.
    max_calls : int
        Calls of the learner to stop after.

    Yields
    ------
    Progress
        The best mixture and the best lower bound so far; first before any call.

    Notes
    -----
    Prices are smoothed towards those of the best bound [2]_. When that brings no better hypothesis
    the programme's own prices are asked at, which closes the gap relative to what the learner has
    found; then a few others, and a better hypothesis found there starts over.
    """
    lines = pool.lines(moments)
    n_calls = n_dry = 0
    n_places = 2 + 1 + len(_FRACTIONS)
    mixture, bounds = mix(pool, moments), lower_bounds(pool, moments)
    yield Progress(mixture, float(bounds.max(initial=-np.inf)), n_calls)
    if lines and mixture.cost - bounds.max() <= tol:
        return
    while n_calls < max_calls and n_dry < n_places:
        dual = Prices(mixture.upper_price, mixture.lower_price)
        if lines:
            best, _ = lines[int(np.argmax(bounds))]
            prices = _places(lines, best, dual)[n_dry]
        else:
            prices = dual.scaled(0.0)
        found = best_response(rate_price(moments, *prices))
        n_calls += 1
        n_dry += 1
        lines.append((prices, moments.bound))
        if found is not None:
            known = (pool.costs() + pool.rates(moments) @ mixture.rate_price).min()
            priced = found.cost + group_rates(moments, found.sums) @ mixture.rate_price
            pool.hypotheses.append(found)
            if priced < known - tol / 2:
                n_dry = 0
        mixture, bounds = mix(pool, moments), lower_bounds(pool, moments)
        yield Progress(mixture, float(bounds.max()), n_calls)
