"""Group rates as linear functions of cell sums, and how unequal they are.

A *unit* is a group (within a stratum, where there are strata). A *cell* is the rows of one unit
with one label. A hypothesis h in [0, 1]^n is known by its *cell sums*, the weighted sum of its
predictions in each cell, an array of shape ``(n_units, 2)`` whose last axis is the label.

An *event* is a rate within a stratum: a set of rates, one per unit, that should be equal, or that
a bound is on (see `Kind`). Each of them is a *row*::

    rate[k] = offset[k] + slope[k, 0] * cell_sums[unit[k], 0] + slope[k, 1] * cell_sums[unit[k], 1]

A cell without weight has no row: its rate is undefined and is compared with nothing. Rows grow
linearly with units; pairs of groups are never listed.
"""

from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Float = NDArray[np.float64]
Int = NDArray[np.intp]
Bool = NDArray[np.bool_]
Label = NDArray[np.integer] | Bool

# What rounding may leave of a rate of 0: it is a sum of a few terms of size 1 at the most.
_ROUNDING = 1e-14


class Kind(IntEnum):
    """What the bound of an event is on."""

    # The rates, compared with each other or with the overall rate.
    PARITY = 0
    # Every rate: none is to be below it.
    FLOOR = 1
    # The overall rate: it is not to be above it.
    CEILING = 2
    # Nothing: the rates are those that conditions are on.
    FREE = 3


class Conditions(Protocol):
    """Convex conditions on the rates of the free events, beyond what bounds can say.

    Programmes with conditions are solved by whoever states them.
    """

    def violation(self, rates: Float) -> float:
        """Return how far the worst condition is missed, in its own unit; 0 where all are met."""

    def worth(self, rate_price: Float) -> float:
        """Return the largest total of price times rate over the free rows within conditions."""

    def cheapest(
        self, cost: Float, rates: sparse.csr_array, block: Int, moments: "Moments"
    ) -> tuple[Float, Float, Float]:
        """Return weights of the cheapest mixture, and prices of both inequalities of each row."""

    def relax(
        self, rates: sparse.csr_array, block: Int, moments: "Moments", upper: Float, lower: Float
    ) -> tuple[Float, float, Float, Float, tuple[str, ...]]:
        """Return what needs the least relaxation: weights, amount, prices, conditions in its way.

        Conditions give way where the upper slack of their events does, by as much each.
        """


class Moments(NamedTuple):
    """The rates that a constraint compares, and the bound on each event.

    Attributes
    ----------
    mass : ndarray of shape (n_units, 2)
        Weight of the rows in each cell.
    unit, event : ndarray of shape (n_rows,)
        Unit and event of each row; ``event`` is sorted.
    offset, slope : ndarray of shape (n_rows,) and (n_rows, 2)
        The rate as a linear function of the unit's cell sums.
    share : ndarray of shape (n_rows,)
        Share of the row in the mass of its event, so that ``sum(share * rate)`` is overall.
    is_ratio, to_overall : ndarray of shape (n_events,)
        Whether the event's bound is on ratios rather than differences, and whether rates are
        compared with the overall rate rather than with each other.
    bound : ndarray of shape (n_events,)
        Largest difference, or smallest ratio, allowed; NaN where none is set.
    kind : ndarray of shape (n_events,)
        What the bound is on, a `Kind`; other than for parities it is the lowest rate allowed, or
        the highest overall rate.
    conditions : Conditions or None
        What is asked of the rates of free events.
    """

    mass: Float
    unit: Int
    event: Int
    offset: Float
    slope: Float
    share: Float
    is_ratio: Bool
    to_overall: Bool
    bound: Float
    kind: Int
    conditions: Conditions | None = None

    @property
    def n_events(self) -> int:
        """Number of events, empty ones included."""
        return len(self.bound)

    def take(self, units: Int, rows: Int) -> "Moments":
        """Return the moments of some units and rows alone; the rows are of these units."""
        events, event = np.unique(self.event[rows], return_inverse=True)
        return Moments(
            mass=self.mass[units],
            unit=np.searchsorted(units, self.unit[rows]),
            event=event,
            offset=self.offset[rows],
            slope=self.slope[rows],
            share=self.share[rows],
            is_ratio=self.is_ratio[events],
            to_overall=self.to_overall[events],
            bound=self.bound[events],
            kind=self.kind[events],
        )


class RowForm(NamedTuple):
    """Two linear inequalities per row and one free level t per event.

    ``upper_rate * rate - upper_level * t <= upper_slack`` and
    ``lower_level * t - rate <= lower_slack``, every array of shape ``(n_events,)``. The level of a
    ``tied`` event is its overall rate. Where a slack is infinite there is no such inequality, and
    where the rate has no factor in it the first row stands for all.

    The slacks grow by ``upper_gain`` and ``lower_gain`` with the bound; 0 for ratios, whose bound
    is a factor.
    """

    upper_rate: Float
    upper_level: Float
    upper_slack: Float
    lower_level: Float
    lower_slack: Float
    tied: Bool
    upper_gain: Float
    lower_gain: Float


def structure(moments: Moments) -> bytes:
    """Return which rates are compared, and how: all that bounds and conditions leave as it is."""
    parts = moments._replace(bound=np.zeros(0), conditions=None)
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts if part is not None)


def cell_mass(label: Label, unit: Int, sample_weight: Float | None, n_units: int) -> Float:
    """Return the weight in each cell, shape ``(n_units, 2)``."""
    cell = 2 * unit + label
    mass: Float = np.bincount(cell, sample_weight, minlength=2 * n_units).astype(np.float64)
    return mass.reshape(-1, 2)


def cell_sums(
    prediction: Float, label: Label, unit: Int, sample_weight: Float | None, n_units: int
) -> Float:
    """Return the weighted sum of predictions in each cell, shape ``(n_units, 2)``."""
    weighted = prediction if sample_weight is None else prediction * sample_weight
    sums: Float = np.bincount(2 * unit + label, weighted, minlength=2 * n_units).astype(np.float64)
    return sums.reshape(-1, 2)


def build_moments(
    mass: Float,
    condition: Bool,
    counted: Bool,
    is_ratio: Bool,
    to_overall: Bool,
    bound: Float,
    n_strata: int = 1,
    kind: Int | None = None,
) -> Moments:
    """Build the moments of rates given as counts of decisions.

    Parameters
    ----------
    mass : ndarray of shape (n_units, 2)
        Weight of each cell; unit ``s * n_groups + g`` is group ``g`` of stratum ``s``.
    condition : ndarray of shape (n_rates, 2)
        Whether rows of each label are in the rate's denominator.
    counted : ndarray of shape (n_rates, 2, 2)
        Whether a row of label ``y`` with decision ``d`` is in the numerator, at ``[:, y, d]``.
    is_ratio, to_overall, bound : ndarray of shape (n_rates,)
        Bound of each rate.
    n_strata : int, default=1
        Number of strata; every rate is one event in each.
    kind : ndarray of shape (n_rates,), default=None
        What each bound is on; None means that all are parities.

    Returns
    -------
    Moments
        With ``n_rates * n_strata`` events; the event of rate ``r`` in stratum ``s`` is
        ``r * n_strata + s``.
    """
    n_rates, n_units = len(condition), len(mass)
    denominator = condition.astype(float) @ mass.T
    rate, unit = np.nonzero(denominator > 0)
    stratum = unit // max(n_units // n_strata, 1)
    event = rate * n_strata + stratum
    order = np.argsort(event, kind="stable")
    rate, unit, event = rate[order], unit[order], event[order]

    base = denominator[rate, unit]
    count = counted.astype(float)[rate]
    offset = np.einsum("ky,ky->k", count[:, :, 0], mass[unit]) / base
    slope = (count[:, :, 1] - count[:, :, 0]) / base[:, None]
    total = np.bincount(event, base, minlength=n_rates * n_strata)
    return Moments(
        mass=mass,
        unit=unit,
        event=event,
        offset=offset,
        slope=slope,
        share=base / total[event],
        is_ratio=np.repeat(is_ratio, n_strata),
        to_overall=np.repeat(to_overall, n_strata),
        bound=np.repeat(bound, n_strata),
        kind=np.repeat(np.zeros(n_rates, dtype=np.intp) if kind is None else kind, n_strata),
    )


def group_rates(moments: Moments, sums: Float) -> Float:
    """Return the rate of each row, shape ``(..., n_rows)``, from sums ``(..., n_units, 2)``."""
    rates = moments.offset + np.einsum("ky,...ky->...k", moments.slope, sums[..., moments.unit, :])
    # A rate of 0 is 0 exactly, so that 0/0 is told from 0 over something.
    return np.where(np.abs(rates) < _ROUNDING, 0.0, rates)


def overall_rates(moments: Moments, rates: Float) -> Float:
    """Return each event's rate over all its rows, shape ``(..., n_events)``; NaN without rows."""
    total = np.full((*rates.shape[:-1], moments.n_events), np.nan)
    if rates.shape[-1]:
        start = _first_rows(moments)
        total[..., moments.event[start]] = np.add.reduceat(moments.share * rates, start, axis=-1)
    return total


def _first_rows(moments: Moments) -> Int:
    """Return the first row of each event that has rows."""
    return np.flatnonzero(np.diff(moments.event, prepend=-1))


def units_compared(moments: Moments) -> Int:
    """Return the number of rows of each event, shape ``(n_events,)``."""
    return np.bincount(moments.event, minlength=moments.n_events)


def _extremes(moments: Moments, rates: Float) -> tuple[Float, Float]:
    """Return the smallest and the largest rate of each event; NaN for an event without rows."""
    smallest = np.full((*rates.shape[:-1], moments.n_events), np.nan)
    largest = smallest.copy()
    if rates.shape[-1]:
        start = _first_rows(moments)
        smallest[..., moments.event[start]] = np.minimum.reduceat(rates, start, axis=-1)
        largest[..., moments.event[start]] = np.maximum.reduceat(rates, start, axis=-1)
    return smallest, largest


def differences(moments: Moments, rates: Float) -> Float:
    """Return each event's largest difference between units, or to the overall rate.

    Of shape ``(..., n_events)``, from rates of shape ``(..., n_rows)``. NaN where fewer than two
    units have the rate: nothing is compared.
    """
    smallest, largest = _extremes(moments, rates)
    overall = overall_rates(moments, rates)
    to_overall = np.maximum(np.maximum(largest - overall, overall - smallest), 0.0)
    difference = np.where(moments.to_overall, to_overall, largest - smallest)
    return np.where(units_compared(moments) > 1, difference, np.nan)


def ratios(moments: Moments, rates: Float) -> Float:
    """Return each event's smallest ratio between units, or to the overall rate; 0/0 is 1.

    Of shape ``(..., n_events)``, from rates of shape ``(..., n_rows)``. NaN where fewer than two
    units have the rate: nothing is compared.
    """
    smallest, largest = _extremes(moments, rates)
    overall = overall_rates(moments, rates)
    between = _ratio(smallest, largest)
    to_overall = np.minimum(_ratio(smallest, overall), _ratio(overall, largest))
    ratio = np.where(moments.to_overall, np.minimum(to_overall, 1.0), between)
    return np.where(units_compared(moments) > 1, ratio, np.nan)


def _ratio(numerator: Float, denominator: Float) -> Float:
    zero = denominator == 0
    return np.where(zero, 1.0, numerator / np.where(zero, 1.0, denominator))


def levels(moments: Moments, rates: Float) -> Float:
    """Return what a bound on levels is on: the smallest rate, or under a ceiling the overall one.

    NaN for an event without rows.
    """
    smallest, _ = _extremes(moments, rates)
    return np.where(moments.kind == Kind.CEILING, overall_rates(moments, rates), smallest)


def violations(moments: Moments, rates: Float) -> Float:
    """Return how far each event is beyond its bound, in rate; met where <= 0.

    For a difference this is the largest gap minus the bound. For a ratio it is the room missing
    between the extremes, ``bound * largest - smallest``, which is well defined at rates of zero.
    For a level it is the distance to the bound, for free events that of all conditions. Events
    without anything to bound have -inf.
    """
    smallest, largest = _extremes(moments, rates)
    overall = overall_rates(moments, rates)
    between = moments.bound * largest - smallest
    to_overall = np.maximum(moments.bound * overall - smallest, moments.bound * largest - overall)
    missing = np.where(moments.to_overall, to_overall, between)
    excess = np.where(moments.is_ratio, missing, differences(moments, rates) - moments.bound)
    parity = np.where(units_compared(moments) > 1, excess, -np.inf)
    missed = -np.inf
    if moments.conditions is not None:
        missed = moments.conditions.violation(rates)
    below, above = moments.bound - smallest, overall - moments.bound
    beyond = np.choose(moments.kind, [parity, below, above, np.full_like(parity, missed)])
    return np.where(units_compared(moments) > 0, beyond, -np.inf)


def row_form(moments: Moments) -> RowForm:
    """Return the inequalities that state every bound with one level per event.

    Between groups, t is the lowest rate allowed (differences: ``t <= rate <= t + bound``) or the
    highest (ratios: ``bound * t <= rate <= t``). To overall, t is the overall rate, as it is under
    a ceiling (``t <= bound``). A floor needs no level (``bound <= rate``).
    """
    ratio, overall, bound = moments.is_ratio, moments.to_overall, moments.bound
    kind = moments.kind
    is_difference = (kind == Kind.PARITY) & ~ratio
    one, zero, none = np.ones(len(bound)), np.zeros(len(bound)), np.full(len(bound), np.inf)
    return RowForm(
        upper_rate=np.choose(kind, [np.where(ratio & overall, bound, one), one, zero, one]),
        upper_level=np.choose(kind, [one, zero, -one, zero]),
        upper_slack=np.choose(kind, [np.where(ratio, zero, bound), none, bound, none]),
        lower_level=np.choose(kind, [np.where(ratio, bound, one), zero, zero, zero]),
        lower_slack=np.choose(kind, [np.where(~ratio & overall, bound, zero), -bound, none, none]),
        tied=np.where(kind == Kind.PARITY, overall, kind == Kind.CEILING),
        upper_gain=np.where(is_difference | (kind == Kind.CEILING), 1.0, 0.0),
        lower_gain=np.where(is_difference & overall, 1.0, 0.0) - (kind == Kind.FLOOR),
    )


def objective(mass: Float, fp_cost: float, fn_cost: float) -> tuple[float, Float]:
    """Return the mean cost as ``(constant, slope)``, linear in the cell sums.

    ``cost = constant + sum(slope * cell_sums)`` with ``slope`` of shape ``(2,)`` over labels.
    """
    total = mass.sum()
    return fn_cost * mass[:, 1].sum() / total, np.array([fp_cost, -fn_cost]) / total


def row_prices(
    moments: Moments,
    rate_price: Float,
    cost_slope: Float,
    label: Label,
    unit: Int,
    sample_weight: Float | None,
    *,
    weight_rates: bool = True,
) -> Float:
    """Return what accepting each sample adds to mean cost plus priced rates: the derivative.

    Parameters
    ----------
    moments : Moments
        Rates as functions of the cell sums.
    rate_price : ndarray of shape (n_rows,)
        What one more unit of each rate costs.
    cost_slope : ndarray of shape (2,)
        As `objective` returns it.
    label, unit : ndarray of shape (n_samples,)
        Label, 0 or 1, and unit of each sample.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights.
    weight_rates : bool, default=True
        Whether the weights count in the rates too, or in the cost only.

    Returns
    -------
    ndarray of shape (n_samples,)
        Below 0 where a best response accepts.
    """
    of_rates = np.zeros_like(moments.mass)
    np.add.at(of_rates, moments.unit, rate_price[:, None] * moments.slope)
    label = label.astype(np.intp)
    if sample_weight is not None and not weight_rates:
        price: Float = sample_weight * cost_slope[label] + of_rates[unit, label]
        return price
    price = (cost_slope + of_rates)[unit, label]
    return price if sample_weight is None else price * sample_weight
