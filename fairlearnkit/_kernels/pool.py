"""A growing pool of hypotheses, what its cheapest mixture costs, and a lower bound for any other.

Each call of a learner at prices p leaves a lower bound on the cost of every mixture, valid at
every bound: the priced cost of the best hypothesis known, less what the bounds can be worth at
these prices.

With a learner that minimises weighted error the bound holds against its whole class. With any
other learner it holds against the hypotheses that the learner has found.

References
----------
.. [1] A. Agarwal, A. Beygelzimer, M. Dudik, J. Langford, H. Wallach, "A Reductions Approach to
   Fair Classification", ICML 2018, section 3 (Lagrangian and best response).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairlearnkit._kernels.hypotheses import Answer, Decisions, Hypothesis, ThresholdColumns
from fairlearnkit._kernels.moments import Moments, group_rates, structure
from fairlearnkit._kernels.rate_program import (
    Mixture,
    Relaxation,
    least_relaxation,
    rate_price,
    solve_mixture,
)

Float = NDArray[np.float64]
Int = NDArray[np.intp]


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


# Prices of the rates, each of shape (n_rows,), to the learner's answer at each.
BestResponses = Callable[[list[Float]], list[Answer]]


class Line(NamedTuple):
    """A call of the learner: prices, the bounds of that time and what the rates then cost."""

    prices: Prices
    bound: Float
    rate_price: Float


@dataclass
class Pool:
    """Hypotheses, and the prices at which the learner was asked for one.

    Prices belong to rows of the moments, so that they are kept per structure of these: the rates
    and how they are compared, whatever the bounds. `n_fits` is the learner's to count, `known` is
    what hypotheses are told apart by, `n_searches` counts calls in which costs did not matter.
    """

    hypotheses: list[Hypothesis] = field(default_factory=list)
    columns: list[ThresholdColumns] = field(default_factory=list)
    asked: dict[bytes, list[Line]] = field(default_factory=dict)
    n_fits: int = 0
    n_searches: int = 0
    known: set[tuple[float, bytes]] = field(default_factory=set)

    def decisions(self) -> Decisions:
        """Return costs and cell sums of the hypotheses."""
        return Decisions(
            np.array([h.cost for h in self.hypotheses]),
            np.array([h.sums for h in self.hypotheses]),
        )

    def add(self, found: list[Hypothesis]) -> int:
        """Add hypotheses, of those that cost and accept alike one; return how many joined."""
        before = len(self.hypotheses)
        for hypothesis in found:
            key = (hypothesis.cost, hypothesis.sums.tobytes())
            if key not in self.known:
                self.known.add(key)
                self.hypotheses.append(hypothesis)
        return len(self.hypotheses) - before

    def lines(self, moments: Moments) -> list[Line]:
        """Return the calls of the learner so far."""
        return self.asked.setdefault(structure(moments), [])

    @property
    def n_calls(self) -> int:
        """Number of calls of the learner."""
        return self.n_searches + sum(len(lines) for lines in self.asked.values())

    def ask(
        self,
        moments: Moments,
        prices: list[Prices],
        best_responses: BestResponses,
        cost_factor: float = 1.0,
    ) -> list[Hypothesis]:
        """Ask the learner at some prices; return what it found and the pool has been given.

        Where costs do not count in the answers, `cost_factor` is 0 instead of 1: such a call
        bounds no cost and leaves no line.
        """
        of_rates = [rate_price(moments, *p) for p in prices]
        answers = best_responses(of_rates)
        found = []
        for price, answer in zip(of_rates, answers, strict=True):
            if isinstance(answer, ThresholdColumns):
                self.columns.append(answer)
                found.append(answer.cheapest(moments, price, cost_factor))
            elif answer is not None:
                found.append(answer)
        self.add(found)
        if cost_factor:
            self.lines(moments).extend(
                Line(p, moments.bound, price) for p, price in zip(prices, of_rates, strict=True)
            )
        else:
            self.n_searches += len(prices)
        return found


# What a threshold must save, in priced cost and units of `tol`, to join the pool: the programme
# stays small, and what is left out leaves the gap room to close.
_SAVING = 0.2


def cheapest_mixture(pool: Pool, moments: Moments, tol: float | None = None) -> Mixture:
    """Return the cheapest mixture within the bounds.

    Parameters
    ----------
    pool : Pool
        Must hold a mixture within the bounds (the two constants make one for parities). Grows by
        thresholds of its scorers that save something.
    moments : Moments
        Rates and bounds.
    tol : float, default=None
        Accuracy in mean cost that is wanted; None leaves the pool as it is.

    Returns
    -------
    Mixture
        Weights of the pool's hypotheses.
    """
    while True:
        known = pool.decisions()
        mixture = solve_mixture(known.cost, *_columns(known, moments), moments)
        if tol is None or not pool.columns:
            return mixture
        price = mixture.rate_price
        least = known.priced(moments, price).min() - _SAVING * tol
        others = [columns.cheapest(moments, price) for columns in pool.columns]
        saving = [h for h in others if h.cost + group_rates(moments, h.sums) @ price < least]
        if not saving:
            return mixture
        if not pool.add(saving):
            return mixture


# What a hypothesis must save, in priced cost and units of the largest cost, to make a mixture that
# did not know it dearer than the cheapest: what the solver's tolerance leaves open.
_NO_SAVING = 1e-10


def is_still_cheapest(pool: Pool, moments: Moments, mixture: Mixture) -> bool:
    """Whether no hypothesis that joined the pool since would make the mixture cheaper."""
    known = pool.decisions()
    priced = known.priced(moments, mixture.rate_price)
    then = len(mixture.weight)
    room = _NO_SAVING * np.abs(known.cost).max()
    return bool(priced[then:].min(initial=np.inf) >= priced[:then].min() - room)


def _columns(known: Decisions, moments: Moments) -> tuple[sparse.csr_array, Int]:
    """Return the rates of hypotheses and their block as the programme wants them."""
    rates = sparse.csr_array(group_rates(moments, known.sums).T)
    return rates, np.zeros(len(known.cost), dtype=np.intp)


# What a threshold must save in a phase-one programme, in rate, to join the pool: above the
# solver's tolerance, and well below any rate that matters.
_NEARER = 1e-8


def nearest_mixture(pool: Pool, moments: Moments, upper: Float, lower: Float) -> Relaxation:
    """Return the mixture that needs the least relaxation of the bounds.

    Parameters
    ----------
    pool : Pool
        Grows by thresholds of its scorers that come nearer.
    moments : Moments
        Rates and bounds.
    upper, lower : ndarray of shape (n_events,)
        What gives way, as in `least_relaxation`.

    Returns
    -------
    Relaxation
        Its weights are of the pool's hypotheses.
    """
    while True:
        known = pool.decisions()
        nearest = least_relaxation(*_columns(known, moments), moments, upper, lower)
        if not nearest.amount:
            return nearest
        price = nearest.rate_price
        least = (group_rates(moments, known.sums) @ price).min() - _NEARER
        others = [columns.cheapest(moments, price, 0.0) for columns in pool.columns]
        if not pool.add([h for h in others if group_rates(moments, h.sums) @ price < least]):
            return nearest


def lower_bounds(pool: Pool, moments: Moments) -> Float:
    """Return the lower bound that each call of the learner leaves at the moments' bounds.

    Notes
    -----
    At prices asked at, no mixture's priced cost is below that of the best hypothesis, kept
    thresholds of scorers included; see `worth` for what the bounds take off.
    """
    lines = pool.lines(moments)
    if not lines:
        return np.empty(0)
    known = pool.decisions()
    rate_prices = np.array([line.rate_price for line in lines])
    least = known.priced(moments, rate_prices.T).min(axis=0)
    for columns in pool.columns:
        # A threshold chosen on other scores than it counts on need not be the cheapest.
        if columns.judged is columns.counted:
            least = np.minimum(least, columns.counted.priced(moments, rate_prices.T).min(axis=0))
    taken_off = [worth(moments, line.prices, line.bound) for line in lines]
    bounds: Float = least - taken_off
    return bounds


def worth(moments: Moments, prices: Prices, bound_then: Float) -> float:
    """Return what the inequalities are worth, at the most, at a mixture within the bounds.

    Parameters
    ----------
    moments : Moments
        Rates and bounds.
    prices : Prices
        Of the inequalities.
    bound_then : ndarray of shape (n_events,)
        Bounds at which the prices were turned into prices of rates.

    Returns
    -------
    float
        Per event with prices of total U on the upper and L on the lower inequalities,

        * differences between groups: ``bound * U + max(U - L, 0)`` (the level is in [0, 1]);
        * ratios between groups: ``max(U - bound * L, 0)``;
        * differences to overall: ``bound * (U + L)``;
        * ratios to overall: ``max(bound_then - bound, 0) * (U + L)``;
        * floors: ``-bound * L``;
        * ceilings: ``bound * U``;
        * free events: what the conditions are worth at the prices of their rates.
    """
    n_events, bound = moments.n_events, moments.bound
    upper = np.bincount(moments.event, prices.upper, minlength=n_events)
    lower = np.bincount(moments.event, prices.lower, minlength=n_events)
    between = np.where(
        moments.is_ratio,
        np.maximum(upper - bound * lower, 0.0),
        bound * upper + np.maximum(upper - lower, 0.0),
    )
    slack = np.where(moments.is_ratio, np.maximum(bound_then - bound, 0.0), bound)
    parity = np.where(moments.to_overall, slack * (upper + lower), between)
    nothing = np.zeros(n_events)
    of_event = np.choose(moments.kind, [parity, -bound * lower, bound * upper, nothing])
    total = float(of_event.sum())
    if moments.conditions is not None:
        total += moments.conditions.worth(rate_price(moments, *prices))
    return total


class Progress(NamedTuple):
    """Where a solver stands after a call of the learner.

    Attributes
    ----------
    weight : ndarray
        Weights of the first hypotheses of the pool; later ones have none.
    cost : float
        Cost of the mixture.
    rate_price : ndarray of shape (n_rows,)
        What one more unit of each rate costs.
    lower_bound : float
        Lower bound on the cost of any mixture within the bounds.
    gap : float
        What the solver may still be from the optimum, in cost, >= 0.
    """

    weight: Float
    cost: float
    rate_price: Float
    lower_bound: float
    gap: float

    @classmethod
    def of(cls, mixture: Mixture, bounds: Float) -> "Progress":
        """Return where a mixture and the bounds of all calls stand."""
        lower_bound = float(bounds.max(initial=-np.inf))
        return cls(
            weight=mixture.weight,
            cost=mixture.cost,
            rate_price=mixture.rate_price,
            lower_bound=lower_bound,
            gap=max(mixture.cost - lower_bound, 0.0),
        )


def settle(pool: Pool, moments: Moments, tol: float) -> Mixture:
    """Return the cheapest mixture, and leave a lower bound on all that the pool knows.

    For a pool whose scorers are all there are: its thresholds answer the programme's prices in the
    place of a learner.

    Parameters
    ----------
    pool : Pool
        Grows by thresholds of its scorers, as in `cheapest_mixture`.
    moments : Moments
        Rates and bounds.
    tol : float
        Accuracy in mean cost.

    Returns
    -------
    Mixture
        Weights of the pool's hypotheses.
    """
    mixture = cheapest_mixture(pool, moments, tol)
    prices = Prices(mixture.upper_price, mixture.lower_price)
    lines = pool.lines(moments)
    # The same prices, as from the same bound once more, say nothing new.
    if not any(_same_prices(line, prices, mixture.rate_price) for line in lines):
        lines.append(Line(prices, moments.bound, mixture.rate_price))
    return mixture


def _same_prices(line: Line, prices: Prices, rate_price: Float) -> bool:
    pairs = zip((*line.prices, line.rate_price), (*prices, rate_price), strict=True)
    return all(np.array_equal(known, new) for known, new in pairs)
