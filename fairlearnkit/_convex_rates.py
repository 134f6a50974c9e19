"""Convex conditions on group rates that the user writes, by cvxpy: arrays in and out.

The programme of `fairlearnkit._kernels.rate_program` is modelled over the same columns. Its rates
are variables of their own, tied to the mixture by equations: the prices of these equations are
what one more unit of each rate costs, and price the next column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairlearnkit._convex import constraints_of, find_solution
from fairlearnkit._kernels.moments import Kind, Moments, row_form, structure
from fairlearnkit.constraints import (
    ERROR_RATE,
    FALSE_NEGATIVE_RATE,
    FALSE_POSITIVE_RATE,
    SELECTION_RATE,
    TRUE_NEGATIVE_RATE,
    TRUE_POSITIVE_RATE,
    ConvexRates,
    Rate,
)
from fairlearnkit.exceptions import InfeasibleConstraintError

Float = NDArray[np.float64]
Int = NDArray[np.intp]

# What the conic solver is asked for, and where it cannot, its defaults: 1e-8. What it may leave
# open is below what answers are held to.
_TOLERANCES: tuple[dict[str, float], ...] = (
    {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10},
    {},
)
# A relaxation or a price, in rate or in cost of order one, that an interior-point method may leave
# of zero.
_ZERO = 1e-8

_RATES = {
    name: rate
    for rate, short in (
        (SELECTION_RATE, None),
        (TRUE_POSITIVE_RATE, "tpr"),
        (FALSE_POSITIVE_RATE, "fpr"),
        (TRUE_NEGATIVE_RATE, "tnr"),
        (FALSE_NEGATIVE_RATE, "fnr"),
        (ERROR_RATE, None),
    )
    for name in (rate.name, short)
    if name is not None
}


class _ByGroup(cp.Variable):
    """A rate by group, whose entries are also found by the group's label."""

    def __init__(self, groups: Sequence[Any], name: str) -> None:
        self._groups = list(groups)
        super().__init__(len(self._groups), name=name)

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, (slice, np.ndarray, list)) and key in self._groups:
            return super().__getitem__(self._groups.index(key))
        # Where labels are numbers, a number that is none of them is a mistake, not a place.
        is_place = isinstance(key, (int, np.integer))
        if isinstance(key, str) or (is_place and any(isinstance(g, Real) for g in self._groups)):
            msg = f"{self.name()} has no group {key!r}: groups are {self._groups}."
            raise ValueError(msg)
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        return (super(_ByGroup, self).__getitem__(i) for i in range(len(self._groups)))


class RateExpressions:
    """Group rates as cvxpy expressions: what the user's conditions are written in.

    Parameters
    ----------
    groups : list of length n_groups
        Labels of the groups.
    mass : ndarray of shape (n_groups, 2)
        Weight of the negative and of the positive rows of each group.
    stratum : object
        Label of the stratum; None where there are no strata.

    Attributes
    ----------
    groups, n_groups, stratum
        Labels of the groups, their number, and the label of the stratum.
    share : ndarray of shape (n_groups,)
        Share of each group in the weight of all rows.
    """

    def __init__(self, groups: Sequence[Any], mass: Float, stratum: Any) -> None:
        self.groups, self.n_groups, self.stratum = list(groups), len(groups), stratum
        self.share = mass.sum(axis=1) / mass.sum()
        self._mass = mass
        self._known: dict[str, _ByGroup] = {}
        # What defines the rates in use: equations over false and true positive rates, and the
        # interval that all rates are in.
        self.definitions: list[Any] = []
        # Whether every rate in use has rows, and is known where these two are.
        self.is_known = True
        self._by_label = [self.fpr, self.tpr]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("overall_") and name.removeprefix("overall_") in _RATES:
            rate = _RATES[name.removeprefix("overall_")]
            below = self._mass @ np.array(rate._condition(), dtype=float)
            if below.any():
                return (below / below.sum()) @ getattr(self, rate.name)
            # Without rows it may be anything.
            anything = cp.Variable(name=name)
            self.definitions += [anything >= 0, anything <= 1]
            self.is_known = False
            return anything
        if name not in _RATES:
            msg = (
                f"There is no rate {name!r}. There are {', '.join(_RATES)}, each by group and as "
                "overall_..., beside groups, n_groups, share and stratum."
            )
            raise AttributeError(msg)
        rate = _RATES[name]
        if rate.name not in self._known:
            self._known[rate.name] = variable = _ByGroup(self.groups, rate.name)
            self.definitions += [variable >= 0, variable <= 1]
            if rate not in (FALSE_POSITIVE_RATE, TRUE_POSITIVE_RATE):
                self._define(rate, variable)
        return self._known[rate.name]

    def _define(self, rate: Rate, variable: Any) -> None:
        """Add the equations of a rate, where it has rows; elsewhere it is free."""
        mass = self._mass * np.array(rate._condition(), dtype=float)
        there = np.flatnonzero(mass.sum(axis=1) > 0)
        share = mass[there] / mass[there].sum(axis=1, keepdims=True)
        value: Any = 0.0
        for label, (rejected, accepted) in enumerate(rate._counted().astype(float)):
            of_label = rejected + (accepted - rejected) * self._by_label[label][there]
            value = value + cp.multiply(share[:, label], of_label)
        self.is_known &= len(there) == self.n_groups
        if len(there):
            self.definitions.append(variable[there] == value)

    def set_values(self, by_label: Float) -> None:
        """Set all variables from false and true positive rates, shape (2, n_groups)."""
        for variable, value in zip(self._by_label, by_label, strict=True):
            variable.value = value
        for name, variable in self._known.items():
            share = self._mass * np.array(_RATES[name]._condition(), dtype=float)
            share = share / share.sum(axis=1, keepdims=True)
            rejected, accepted = _RATES[name]._counted().astype(float).T
            given = rejected + (accepted - rejected) * by_label.T
            variable.value = (share * given).sum(axis=1)

    def in_words(self, constraint: Any) -> str:
        """Return a constraint as text, with labels for places."""

        text = re.sub(
            rf"\b({'|'.join(self._known)})\[(\d+)\]",
            lambda match: f"{match[1]}[{self.groups[int(match[2])]!r}]",
            str(constraint),
        )
        # How cvxpy names a power that a second-order cone can state.
        text = text.replace("Approx(", "(")
        return text if self.stratum is None else f"{text} in stratum {self.stratum}"


class _Condition(NamedTuple):
    """A condition of the user, with what its rates are called."""

    constraint: Any
    rates: RateExpressions


class RateConditions:
    """What users ask of group rates, in any programme over mixtures.

    Parameters
    ----------
    criteria : list of ConvexRates
        The criteria, in their order within the moments.
    moments : Moments
        With two free events, of false and of true positive rates, for each criterion and stratum.
    groups, strata : list
        Labels.

    Raises
    ------
    ValueError
        If a criterion does not return a list of convex constraints.
    """

    def __init__(
        self,
        criteria: Sequence[ConvexRates],
        moments: Moments,
        groups: Sequence[Any],
        strata: Sequence[Any],
    ) -> None:
        self._builds = [criterion.build for criterion in criteria]
        self._structure = structure(moments)
        self._free = np.flatnonzero(moments.kind[moments.event] == Kind.FREE)
        self._rates = cp.Variable(len(self._free), name="rates")
        self._parameters: list[dict[str, Any]] = []
        self._conditions: list[_Condition] = []
        self._defined: list[Any] = []
        self._places: list[tuple[RateExpressions, Int]] = []
        n_groups, n_strata = len(groups), len(strata)
        place = np.full((moments.n_events, n_groups), -1)
        free_event = moments.event[self._free]
        place[free_event, moments.unit[self._free] % n_groups] = np.arange(len(self._free))
        of_criterion = place[moments.kind == Kind.FREE].reshape(-1, 2, n_strata, n_groups)
        for criterion, by_event in zip(criteria, of_criterion, strict=True):
            names = criterion.parameters or {}
            parameters = {name: cp.Parameter(nonneg=True, name=name) for name in names}
            self._parameters.append(parameters)
            self._set(parameters, criterion)
            for s, stratum in enumerate(strata):
                mass = moments.mass[s * n_groups : (s + 1) * n_groups]
                rates = RateExpressions(groups, mass, stratum)
                found = _check_conditions(criterion.build, rates, parameters)
                self._conditions += [_Condition(one, rates) for one in found]
                self._places.append((rates, by_event[:, s]))
                self._defined += self._tied(rates, by_event[:, s])
        self._own = [condition.constraint for condition in self._conditions]
        # Whether the rates settle all variables of the conditions.
        known = {v.id for rates, _ in self._places for v in rates._known.values()}
        is_known = all(rates.is_known and (places >= 0).all() for rates, places in self._places)
        self._is_closed = is_known and all(v.id in known for c in self._own for v in c.variables())
        self._programme: tuple[tuple[bytes, ...], _Programme] | None = None
        self._price, self._given = cp.Parameter(len(self._free)), cp.Parameter(len(self._free))
        self._at_rates: Any = None
        self._support: Any = None
        self._worth: dict[bytes, float] = {}

    def _tied(self, rates: RateExpressions, places: Int) -> list[Any]:
        """Return the equations that make a stratum's rates those of the free rows."""
        tied = list(rates.definitions)
        for variable, place in zip(rates._by_label, places, strict=True):
            there = np.flatnonzero(place >= 0)
            if len(there):
                tied.append(variable[there] == self._rates[place[there]])
        return tied

    @staticmethod
    def _set(parameters: Mapping[str, Any], criterion: ConvexRates) -> None:
        for name, value in (criterion.parameters or {}).items():
            parameters[name].value = float(value)

    def serves(self, criteria: Sequence[ConvexRates], moments: Moments) -> bool:
        """Turn the parameters to those of other criteria; False where more has changed."""
        if len(criteria) != len(self._builds) or structure(moments) != self._structure:
            return False
        for criterion, build, known in zip(criteria, self._builds, self._parameters, strict=True):
            if criterion.build is not build or set(criterion.parameters or {}) != set(known):
                return False
        for criterion, known in zip(criteria, self._parameters, strict=True):
            self._set(known, criterion)
        return True

    def _knobs(self) -> bytes:
        """Return the values of all parameters, the user's own among them."""
        found = {p.id: p for c in self._own for p in c.parameters()}
        return b"".join(np.asarray(found[i].value, dtype=float).tobytes() for i in sorted(found))

    def violation(self, rates: Float) -> float:
        """Return how far the worst condition is missed, in its own unit; 0 where all are met."""
        free = rates[self._free]
        if not self._is_closed:
            return self._least_excess(free)
        for expressions, places in self._places:
            expressions.set_values(free[places])
        return max((_excess(one) for one in self._own), default=0.0)

    def _least_excess(self, free: Float) -> float:
        """Return the violation where variables without a value may take what suits best."""
        if self._at_rates is None:
            amount = cp.Variable(nonneg=True)
            relaxed = [_relaxed(one, amount) for one in self._own]
            given = self._rates == self._given
            problem = cp.Problem(cp.Minimize(amount), [*relaxed, *self._defined, given])
            self._at_rates = problem
        self._given.value = np.clip(free, 0.0, 1.0)
        return (
            float(self._at_rates.value) if find_solution(self._at_rates, _TOLERANCES) else np.inf
        )

    def worth(self, rate_price: Float) -> float:
        """Return the largest total of price times rate over the free rows within conditions."""
        price = rate_price[self._free]
        key = self._knobs() + price.tobytes()
        if key not in self._worth:
            scale = np.abs(price).max(initial=0.0)
            if scale == 0:
                return 0.0
            if self._support is None:
                total = self._price @ self._rates
                self._support = cp.Problem(cp.Maximize(total), [*self._own, *self._defined])
            self._price.value = price / scale
            if not find_solution(self._support, _TOLERANCES):
                return -np.inf
            self._worth[key] = scale * float(self._support.value)
        return self._worth[key]

    def cheapest(
        self, cost: Float, rates: sparse.csr_array, block: Int, moments: Moments
    ) -> tuple[Float, Float, Float]:
        """Return weights of the cheapest mixture and prices of both inequalities of each row.

        Raises
        ------
        InfeasibleConstraintError
            If no mixture meets bounds and conditions.
        SolverError
            If the solver fails.
        """
        programme = self._over(cost, rates, block, moments)
        if not find_solution(programme.problem, _TOLERANCES):
            msg = "No rule meets the constraint: bounds and conditions contradict each other."
            raise InfeasibleConstraintError(msg)
        return np.asarray(programme.weight.value), *programme.prices(moments)

    def _over(
        self, cost: Float, rates: sparse.csr_array, block: Int, moments: Moments
    ) -> _Programme:
        """Return the programme over some columns, the last one again where these are the same."""
        key = (cost.tobytes(), rates.data.tobytes(), rates.indices.tobytes(), block.tobytes())
        if self._programme is None or self._programme[0] != key:
            made = _Programme(rates, block, moments, self._rates, self._free)
            made.problem = cp.Problem(
                cp.Minimize(cost @ made.weight), [*made.rules, *self._own, *self._defined]
            )
            self._programme = key, made
        programme = self._programme[1]
        programme.turn(moments)
        return programme

    def relax(
        self, rates: sparse.csr_array, block: Int, moments: Moments, upper: Float, lower: Float
    ) -> tuple[Float, float, Float, Float, tuple[str, ...]]:
        """Return what needs the least relaxation: weights, amount, prices, conditions in the way.

        Raises
        ------
        InfeasibleConstraintError
            If no amount suffices, since what is kept cannot be met.
        SolverError
            If the solver fails.
        """
        amount = cp.Variable(nonneg=True)
        gives_way = bool(upper[moments.kind == Kind.FREE].any())
        own = [_relaxed(one, amount) for one in self._own] if gives_way else self._own
        # Where a cone cannot be relaxed, its rates may be others than the mixture's.
        is_loose = gives_way and any(new is old for new, old in zip(own, self._own, strict=True))
        programme = _Programme(rates, block, moments, self._rates, self._free, amount, is_loose)
        programme.turn(moments, upper, lower)
        problem = cp.Problem(cp.Minimize(amount), [*programme.rules, *own, *self._defined])
        if not find_solution(problem, _TOLERANCES):
            msg = "No rule meets the constraint, however far what may give way does."
            raise InfeasibleConstraintError(msg)
        needed = float(problem.value)
        in_the_way = [
            condition.rates.in_words(condition.constraint)
            for condition, constraint in zip(self._conditions, own, strict=True)
            if _size(constraint.dual_value) > 1e-6
        ]
        return (
            np.asarray(programme.weight.value),
            needed if needed > _ZERO else 0.0,
            *programme.prices(moments),
            tuple(dict.fromkeys(in_the_way)),
        )


class _Programme:
    """Weights of columns, their rates, and the bounds of all events as cvxpy constraints.

    Bounds are parameters, so that the problem is built once for all of them.
    """

    problem: Any

    def __init__(
        self,
        rates: sparse.csr_array,
        block: Int,
        moments: Moments,
        free_rates: Any,
        free: Int,
        amount: Any = 0.0,
        is_loose: bool = False,
    ) -> None:
        n_rows, n_columns, event = len(moments.event), rates.shape[1], moments.event
        self.weight = cp.Variable(n_columns, nonneg=True)
        rate, level = cp.Variable(n_rows), cp.Variable(moments.n_events)
        one_each = sparse.csr_array((np.ones(n_columns), (block, np.arange(n_columns))))
        self._tie = rates @ self.weight - rate == 0
        same = rate[free] == free_rates
        if is_loose:
            same = cp.abs(rate[free] - free_rates) <= amount
        self.rules = [self._tie, one_each @ self.weight == 1, same]
        form = row_form(moments)
        tied = np.flatnonzero(form.tied)
        if len(tied):
            shape = (moments.n_events, n_rows)
            overall = sparse.csr_array((moments.share, (event, np.arange(n_rows))), shape=shape)
            self.rules.append(overall[tied] @ rate == level[tied])
        is_first = np.diff(event, prepend=-1) > 0
        is_said = is_first | (moments.kind[event] != Kind.CEILING)
        self._upper = np.flatnonzero(np.isfinite(form.upper_slack[event]) & is_said)
        self._lower = np.flatnonzero(np.isfinite(form.lower_slack[event]))
        self._factors: list[tuple[Int, float, list[Any]]] = []
        self._bounds: list[Any] = []
        for rows, sign in ((self._upper, 1.0), (self._lower, -1.0)):
            if not len(rows):
                self._bounds.append(None)
                continue
            parts = [cp.Parameter(len(rows)) for _ in range(4)]
            of_rate, of_level, slack, growth = parts
            value = cp.multiply(of_rate, rate[rows]) - cp.multiply(of_level, level[event[rows]])
            self._factors.append((rows, sign, parts))
            given = cp.multiply(growth, amount * np.ones(len(rows)))
            self._bounds.append(sign * value <= slack + given)
        self.rules += [bound for bound in self._bounds if bound is not None]

    def turn(
        self, moments: Moments, upper: Float | None = None, lower: Float | None = None
    ) -> None:
        """Set the bounds, and how fast they give way."""
        form, event = row_form(moments), moments.event
        nothing = np.zeros(moments.n_events)
        for rows, sign, (of_rate, of_level, slack, growth) in self._factors:
            e = event[rows]
            if sign > 0:
                of_rate.value, of_level.value = form.upper_rate[e], form.upper_level[e]
                slack.value = form.upper_slack[e]
                growth.value = (nothing if upper is None else upper)[e]
            else:
                of_rate.value, of_level.value = np.ones(len(rows)), form.lower_level[e]
                slack.value = form.lower_slack[e]
                growth.value = (nothing if lower is None else lower)[e]

    def prices(self, moments: Moments) -> tuple[Float, Float]:
        """Return the prices of both inequalities of each row; of free rows those of their ties."""
        n_rows = len(moments.event)
        upper, lower = np.zeros(n_rows), np.zeros(n_rows)
        for price, rows, bound in (
            (upper, self._upper, self._bounds[0]),
            (lower, self._lower, self._bounds[1]),
        ):
            if bound is not None:
                price[rows] = bound.dual_value
        free = moments.kind[moments.event] == Kind.FREE
        tie = np.asarray(self._tie.dual_value)
        upper[free], lower[free] = np.maximum(tie[free], 0.0), np.maximum(-tie[free], 0.0)
        return np.where(upper > _ZERO, upper, 0.0), np.where(lower > _ZERO, lower, 0.0)


def _check_conditions(
    build: Callable[..., Any], rates: RateExpressions, parameters: Mapping[str, Any]
) -> list[Any]:
    """Return the user's constraints, or raise where they are none or not convex."""
    found = constraints_of(build(rates, **parameters), "build", "r.tpr >= 0.7")
    for constraint in found:
        if not constraint.is_dcp():
            msg = (
                f"Conditions must be convex by cvxpy's rules (DCP), got "
                f"{rates.in_words(constraint)}: {_broken_rule(constraint, rates)}."
            )
            raise ValueError(msg)
    return found


def _broken_rule(constraint: Any, rates: RateExpressions) -> str:
    """Return in words which rule a constraint breaks."""
    if isinstance(constraint, cp.constraints.nonpos.Inequality):
        low, high = constraint.args
        for side, is_right, what, wanted in (
            (low, low.is_convex(), "smaller", "convex"),
            (high, high.is_concave(), "larger", "concave"),
        ):
            if not is_right:
                curved = str(side.curvature).lower()
                has, remedy = curved, ""
                if curved == "unknown":
                    has = "neither convex nor concave by these rules"
                    remedy = (
                        ". Products and ratios of rates are not convex; a ratio a / b >= c is "
                        "written a >= c * b"
                    )
                return (
                    f"the {what} side must be {wanted} (an upper bound is on a convex expression, "
                    f"a lower bound on a concave one), and {rates.in_words(side)} is {has}{remedy}"
                )
    if isinstance(constraint, (cp.constraints.zero.Equality, cp.constraints.zero.Zero)):
        return "both sides of an equation must be affine"
    return "its arguments must be affine"


def _relaxed(constraint: Any, amount: Any) -> Any:
    """Return a constraint that gives way by an amount, or as it is where its cone cannot."""
    if isinstance(constraint, cp.constraints.nonpos.Inequality):
        return constraint.args[0] - constraint.args[1] <= amount
    if isinstance(constraint, cp.constraints.zero.Equality):
        return cp.abs(constraint.args[0] - constraint.args[1]) <= amount
    if isinstance(constraint, cp.constraints.zero.Zero):
        return cp.abs(constraint.args[0]) <= amount
    if isinstance(constraint, cp.constraints.second_order.SOC):
        return cp.SOC(constraint.args[0] + amount, constraint.args[1], axis=constraint.axis)
    return constraint


def _excess(constraint: Any) -> float:
    """Return how far a constraint is missed at the values that its variables have."""
    if isinstance(constraint, cp.constraints.nonpos.Inequality):
        beyond = constraint.args[0].value - constraint.args[1].value
        return max(float(np.max(beyond)), 0.0)
    return _size(constraint.violation())


def _size(value: Any) -> float:
    parts = value if isinstance(value, (list, tuple)) else [value]
    sizes = [np.abs(np.asarray(p, dtype=float)).max(initial=0.0) for p in parts if p is not None]
    return float(max(sizes, default=0.0))
