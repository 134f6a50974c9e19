"""What should be equal between groups, and how nearly; what every group is owed at least.

A criterion says which rates should be equal and holds the one knob: `max_difference`, the largest
gap between any two groups, or `min_ratio`, the smallest rate over the largest. The same object
serves every estimator and every metric of this package; it holds no data and no columns.

Conditions compare nothing: `MinimumRate` is a floor under the rate of every group, `Capacity` a
limit to the share selected, `ConvexRates` anything convex that you write yourself. They serve the
estimators, alone or in `AllOf`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Concatenate, ParamSpec

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone

from fairlearnkit._kernels.moments import (
    Kind,
    Moments,
    build_moments,
    cell_mass,
    differences,
    levels,
    ratios,
)
from fairlearnkit._validation import is_number

__all__ = [
    "ERROR_RATE",
    "FALSE_NEGATIVE_RATE",
    "FALSE_POSITIVE_RATE",
    "SELECTION_RATE",
    "TRUE_NEGATIVE_RATE",
    "TRUE_POSITIVE_RATE",
    "AllOf",
    "Capacity",
    "ConvexRates",
    "Criterion",
    "DemographicParity",
    "EqualOpportunity",
    "EqualizedOdds",
    "ErrorRateParity",
    "FalseNegativeRateParity",
    "FalsePositiveRateParity",
    "MinimumRate",
    "Parity",
    "Rate",
    "TrueNegativeRateParity",
]

_Given = ParamSpec("_Given")

_COUNTS = {"tn": (0, 0), "fp": (0, 1), "fn": (1, 0), "tp": (1, 1)}


@dataclass(frozen=True)
class Rate:
    """A rate of a classifier's decisions, as counts over counts.

    Plain data: it pickles, compares and prints. The constants of this module
    (``SELECTION_RATE``, ``TRUE_POSITIVE_RATE``, ...) are rates; write your own in the same way.

    Parameters
    ----------
    name : str
        Name in tables and messages, in lower case with underscores.
    numerator : tuple of {"tn", "fp", "fn", "tp"}
        The counts on top.
    denominator : tuple of {"tn", "fp", "fn", "tp"}, default=("tn", "fp", "fn", "tp")
        The counts below. It must not depend on the decisions: it has both of "tn" and "fp" or
        neither, and both of "fn" and "tp" or neither. The default is all rows.

    Raises
    ------
    ValueError
        If a count is unknown, if the denominator is empty or depends on the decisions, or if the
        numerator is empty or not part of the denominator.

    Examples
    --------
    The share of correct decisions, and a criterion that wants it equal:

    >>> from fairlearnkit import Parity, Rate
    >>> accuracy = Rate("accuracy", ("tn", "tp"))
    >>> Parity(accuracy, max_difference=0.05).rates
    Rate(name='accuracy', numerator=('tn', 'tp'), denominator=('tn', 'fp', 'fn', 'tp'))

    Precision depends on the decisions in its denominator:

    >>> Rate("precision", ("tp",), ("fp", "tp"))
    Traceback (most recent call last):
        ...
    ValueError: The denominator of a rate must not depend on the decisions: ...
    """

    name: str
    numerator: tuple[str, ...]
    denominator: tuple[str, ...] = ("tn", "fp", "fn", "tp")

    def __post_init__(self) -> None:
        for part in ("numerator", "denominator"):
            value = getattr(self, part)
            counts = (value,) if isinstance(value, str) else tuple(value)
            object.__setattr__(self, part, counts)
            if not counts or not set(counts) <= set(_COUNTS):
                msg = (
                    f"The {part} of a rate must be one or more of 'tn', 'fp', 'fn' and 'tp', got "
                    f"{value!r}."
                )
                raise ValueError(msg)
        below = set(self.denominator)
        if len(below & {"tn", "fp"}) == 1 or len(below & {"fn", "tp"}) == 1:
            msg = (
                "The denominator of a rate must not depend on the decisions: it has both of 'tn' "
                f"and 'fp' or neither, and both of 'fn' and 'tp' or neither; got "
                f"{self.denominator!r}."
            )
            raise ValueError(msg)
        if not set(self.numerator) <= below:
            msg = (
                "The numerator of a rate must be part of its denominator, got "
                f"{self.numerator!r} over {self.denominator!r}."
            )
            raise ValueError(msg)

    @property
    def label(self) -> str:
        """The name for people, such as ``"true positive rate"``."""
        return self.name.replace("_", " ")

    def _condition(self) -> list[bool]:
        """Whether rows of the negative and of the positive label are in the denominator."""
        return ["tn" in self.denominator, "tp" in self.denominator]

    def _counted(self) -> NDArray[np.bool_]:
        """Whether (label, decision) is in the numerator, shape (2, 2)."""
        counted = np.zeros((2, 2), dtype=bool)
        for count in self.numerator:
            counted[_COUNTS[count]] = True
        return counted


#: Share of rows that are selected: (fp + tp) / all.
SELECTION_RATE = Rate("selection_rate", ("fp", "tp"))
#: Share of the positive rows that are selected: tp / (fn + tp).
TRUE_POSITIVE_RATE = Rate("true_positive_rate", ("tp",), ("fn", "tp"))
#: Share of the negative rows that are selected: fp / (tn + fp).
FALSE_POSITIVE_RATE = Rate("false_positive_rate", ("fp",), ("tn", "fp"))
#: Share of the negative rows that are not selected: tn / (tn + fp).
TRUE_NEGATIVE_RATE = Rate("true_negative_rate", ("tn",), ("tn", "fp"))
#: Share of the positive rows that are not selected: fn / (fn + tp).
FALSE_NEGATIVE_RATE = Rate("false_negative_rate", ("fn",), ("fn", "tp"))
#: Share of rows with a wrong decision: (fp + fn) / all.
ERROR_RATE = Rate("error_rate", ("fp", "fn"))


class Criterion(BaseEstimator):
    """Base of every criterion; use `Parity`, one of the named criteria, or `AllOf`."""

    def parities(self) -> Iterator[_RateCriterion]:
        """Yield the parities that this one consists of, each with its own bound."""
        for part in self._parts():
            if isinstance(part, _RateCriterion):
                yield part

    def _parts(self) -> Iterator[_Part]:
        """Yield what this one consists of, with one bound each: parities and conditions."""
        raise NotImplementedError

    def moments(
        self,
        y: ArrayLike,
        groups: ArrayLike,
        sample_weight: ArrayLike | None = None,
        strata: ArrayLike | None = None,
    ) -> Moments:
        """Return the rates to compare as linear functions of cell sums.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            Labels, 1 for the positive one and 0 for the other.
        groups : array-like of shape (n_samples,)
            Group of each sample as an integer in ``0..n_groups - 1``.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, >= 0; None means 1 each.
        strata : array-like of shape (n_samples,), default=None
            Stratum of each sample as an integer in ``0..n_strata - 1``: groups are compared
            within each stratum. None means one stratum.

        Returns
        -------
        Moments
            One row per rate, stratum and group that has weight; work is linear in the samples
            and memory linear in the groups.
        """
        group = np.asarray(groups, dtype=np.intp)
        stratum = np.zeros_like(group) if strata is None else np.asarray(strata, dtype=np.intp)
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=float)
        n_groups, n_strata = int(group.max()) + 1, int(stratum.max()) + 1
        mass = cell_mass(
            np.asarray(y, dtype=np.intp), stratum * n_groups + group, weight, n_groups * n_strata
        )
        return self._moments_of_mass(mass, n_strata)

    def _moments_of_mass(self, mass: NDArray[np.float64], n_strata: int = 1) -> Moments:
        """Return the moments from the weight of each cell alone, shape (n_units, 2)."""
        rows = [(part, rate) for part in self._parts() for rate in part._rates()]
        bounds = [part._bound() for part, _ in rows]
        return build_moments(
            mass,
            condition=np.array([rate._condition() for _, rate in rows]),
            counted=np.array([rate._counted() for _, rate in rows]),
            is_ratio=np.array([part._is_ratio for part, _ in rows]),
            to_overall=np.array([part._to_overall for part, _ in rows]),
            bound=np.array([np.nan if bound is None else bound for bound in bounds]),
            n_strata=n_strata,
            kind=np.array([part._kind for part, _ in rows], dtype=np.intp),
        )

    def _disparities(self, moments: Moments, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the bound of each of `_parts` is on, in the form of that bound.

        The largest difference over its rates, or the smallest ratio where its bound is one; NaN
        where one of its rates is defined for fewer than two groups in every stratum. For a
        condition the lowest rate, the share selected, or how far the user's own are missed.
        """
        gap = np.where(moments.is_ratio, ratios(moments, rates), differences(moments, rates))
        by_event = np.where(moments.kind == Kind.PARITY, gap, levels(moments, rates))
        if moments.conditions is not None:
            missed = moments.conditions.violation(rates)
            by_event = np.where(moments.kind == Kind.FREE, missed, by_event)
        parts = list(self._parts())
        n_rates = [len(part._rates()) for part in parts]
        # The worst stratum of each rate, among those that can be compared, then the worst rate.
        by_rate = by_event.reshape(sum(n_rates), -1)
        found = []
        for part, of_part in zip(parts, np.split(by_rate, np.cumsum(n_rates)[:-1]), strict=True):
            if part._is_ratio or part._kind == Kind.FLOOR:
                found.append(np.fmin.reduce(of_part, axis=1).min())
            else:
                found.append(np.fmax.reduce(of_part, axis=1).max())
        return np.array(found)

    def _knobs(self) -> dict[str, Any]:
        """Return the parameters that hold the bound, each with the value of one not in use."""
        return {}

    def _with(self, given: Mapping[str, Any]) -> Criterion:
        """Return a like criterion with other bounds, by the names of `_knobs`."""
        return clone(self).set_params(**(self._knobs() | dict(given)))

    def _check(self, *, needs_bound: bool) -> None:
        """Raise a ValueError where a parameter is not valid, or a bound is missing."""
        for part in self._parts():
            part._check_own(needs_bound=needs_bound)

    def _check_compares(self, what: str) -> None:
        """Raise a ValueError where a part compares nothing, so that `what` has no number."""
        for part in self._parts():
            if not isinstance(part, _RateCriterion):
                msg = (
                    f"{what} needs criteria that compare groups, got {type(part).__name__}, a "
                    "condition that rules meet or miss. Look at the rates with "
                    "fairlearnkit.metrics.group_rates, or leave it out."
                )
                raise ValueError(msg)

    def __eq__(self, other: object) -> bool:
        """Whether the other is a criterion of the same kind with the same parameters."""
        if type(self) is not type(other):
            return NotImplemented
        return self.get_params(deep=False) == other.get_params(deep=False)

    def __hash__(self) -> int:
        """Equal criteria share a hash, which `set_params` leaves as it is."""
        return hash(type(self))


def _check_share(name: str, value: Any) -> None:
    if not (is_number(value) and 0 <= value <= 1):
        msg = f"{name} must be in [0, 1], got {value!r}."
        raise ValueError(msg)


def _by_name(
    init: Callable[Concatenate[Any, _Given], None],
) -> Callable[Concatenate[Any, _Given], None]:
    """Say in words what Python's own error does not: the criterion's name and the remedy."""
    parameters = list(signature(init).parameters.values())[1:]
    names = [parameter.name for parameter in parameters]
    n_places = sum(parameter.kind != Parameter.KEYWORD_ONLY for parameter in parameters)
    knob, before = names[n_places], "..., " * n_places

    @wraps(init)
    def checked(self: Any, /, *args: _Given.args, **kwargs: _Given.kwargs) -> None:
        name = type(self).__name__
        if len(args) > n_places:
            value = args[n_places]
            msg = (
                f"{name} takes {knob} by name only, got {value!r} by place. Write "
                f"{name}({before}{knob}={value!r})."
            )
            raise TypeError(msg)
        for unknown in kwargs.keys() - set(names):
            msg = (
                f"{name} takes {', '.join(names)}, got {unknown}={kwargs[unknown]!r}. Write "
                f"{name}({before}{knob}=...)."
            )
            raise TypeError(msg)
        init(self, *args, **kwargs)

    return checked


class _Part(Criterion):
    """One or more rates with one bound on each."""

    _kind: Kind
    _is_ratio = False
    _to_overall = False
    # Name of the parameter that holds the bound.
    _knob: str

    def _parts(self) -> Iterator[_Part]:
        yield self

    def _knobs(self) -> dict[str, Any]:
        return {self._knob: None}

    def _rates(self) -> tuple[Rate, ...]:
        raise NotImplementedError

    def _bound(self) -> float | None:
        value: float | None = getattr(self, self._knob)
        return value

    def _in_words(self, bound: float | None = None) -> str:
        """Return what is asked for, at this bound or at another one."""
        raise NotImplementedError

    def _check_own(self, *, needs_bound: bool) -> None:
        raise NotImplementedError


class _RateCriterion(_Part):
    """Rates that should be equal, within one bound."""

    rates: Any
    max_difference: float | None
    min_ratio: float | None
    reference: str

    _kind = Kind.PARITY

    @property
    def _is_ratio(self) -> bool:  # type: ignore[override]
        return self.min_ratio is not None

    @property
    def _to_overall(self) -> bool:  # type: ignore[override]
        return self.reference == "overall"

    @property
    def _knob(self) -> str:  # type: ignore[override]
        return "min_ratio" if self._is_ratio else "max_difference"

    def _knobs(self) -> dict[str, Any]:
        return {"max_difference": None, "min_ratio": None}

    def _rates(self) -> tuple[Rate, ...]:
        return (self.rates,) if isinstance(self.rates, Rate) else tuple(self.rates)

    def _in_words(self, bound: float | None = None) -> str:
        bound = self._bound() if bound is None else bound
        names = " and ".join(rate.label for rate in self._rates())
        what = "to overall" if self._to_overall else "between groups"
        if self._is_ratio:
            return f"ratio of {names} {what} at least {bound:g}"
        return f"difference in {names} {what} at most {bound:g}"

    def _check_own(self, *, needs_bound: bool) -> None:
        name = type(self).__name__
        rates = self._rates() if isinstance(self.rates, (Rate, Sequence)) else ()
        if not rates or not all(isinstance(rate, Rate) for rate in rates):
            msg = f"rates must be a Rate or a sequence of them, got {self.rates!r}."
            raise ValueError(msg)
        if self.reference not in ("between", "overall"):
            msg = f"reference must be 'between' or 'overall', got {self.reference!r}."
            raise ValueError(msg)
        for bound in ("max_difference", "min_ratio"):
            if getattr(self, bound) is not None:
                _check_share(bound, getattr(self, bound))
        if self.max_difference is not None and self.min_ratio is not None:
            msg = (
                f"{name} takes one bound, got max_difference={self.max_difference!r} and "
                f"min_ratio={self.min_ratio!r}. Set one of them to None, or join two criteria "
                "with AllOf."
            )
            raise ValueError(msg)
        if needs_bound and self.max_difference is None and self.min_ratio is None:
            msg = (
                f"{name} needs a bound to be enforced, got none. Set max_difference (largest gap "
                "between two groups, in [0, 1]) or min_ratio (smallest rate over largest)."
            )
            raise ValueError(msg)


class Parity(_RateCriterion):
    """Equality of any rates between groups, up to a bound.

    Parameters
    ----------
    rates : Rate or sequence of Rate
        What should be equal; each of several rates keeps the bound.
    max_difference : float, default=None
        Largest gap allowed between the rates of any two groups, in [0, 1].
    min_ratio : float, default=None
        Smallest ratio allowed of the lowest rate to the highest, in [0, 1]; 0.8 is the four-fifths
        rule. 0/0 counts as 1. Estimators ask for exactly one of the two bounds; metrics need none.
    reference : {"between", "overall"}, default="between"
        Compare groups with each other, or each group with the rate over all rows.

    See Also
    --------
    DemographicParity, EqualizedOdds, EqualOpportunity : Named criteria.
    AllOf : Several criteria at once, each with its own bound.

    Examples
    --------
    >>> from fairlearnkit import Parity
    >>> from fairlearnkit.constraints import FALSE_NEGATIVE_RATE, SELECTION_RATE
    >>> Parity([SELECTION_RATE, FALSE_NEGATIVE_RATE], max_difference=0.1).max_difference
    0.1
    """

    @_by_name
    def __init__(
        self,
        rates: Rate | Sequence[Rate],
        *,
        max_difference: float | None = None,
        min_ratio: float | None = None,
        reference: str = "between",
    ) -> None:
        self.rates = rates
        self.max_difference = max_difference
        self.min_ratio = min_ratio
        self.reference = reference


class _NamedParity(_RateCriterion):
    """A criterion whose rates are fixed by its class."""

    @_by_name
    def __init__(
        self,
        *,
        max_difference: float | None = None,
        min_ratio: float | None = None,
        reference: str = "between",
    ) -> None:
        self.max_difference = max_difference
        self.min_ratio = min_ratio
        self.reference = reference


class DemographicParity(_NamedParity):
    """Equal selection rates: the same share of each group is accepted.

    The decisions say nothing about the group. Labels play no part, so that it can be met where
    labels are biased; where base rates differ it rules out the perfect classifier.

    Parameters
    ----------
    max_difference : float, default=None
        Largest gap allowed between any two groups, in [0, 1].
    min_ratio : float, default=None
        Smallest ratio allowed of the lowest rate to the highest, in [0, 1]; 0/0 counts as 1.
        Estimators ask for exactly one of the two bounds; metrics need none.
    reference : {"between", "overall"}, default="between"
        Compare groups with each other, or each group with the rate over all rows.

    References
    ----------
    .. [1] T. Calders, F. Kamiran, M. Pechenizkiy, "Building Classifiers with Independency
       Constraints", ICDM Workshops 2009.

    Examples
    --------
    The four-fifths rule of US employment law, and a bound on the difference:

    >>> from fairlearnkit import DemographicParity
    >>> DemographicParity(min_ratio=0.8)
    DemographicParity(min_ratio=0.8)
    >>> DemographicParity(max_difference=0.05) == DemographicParity(max_difference=0.05)
    True
    """

    rates = (SELECTION_RATE,)


class EqualizedOdds(_NamedParity):
    """Equal true positive rates and equal false positive rates.

    Given the label, the decisions say nothing about the group. The bound holds for both rates;
    the disparity is the larger of the two gaps (or the smaller of the two ratios).

    Parameters
    ----------
    max_difference : float, default=None
        Largest gap allowed between any two groups, in [0, 1].
    min_ratio : float, default=None
        Smallest ratio allowed of the lowest rate to the highest, in [0, 1]; 0/0 counts as 1.
        Estimators ask for exactly one of the two bounds; metrics need none.
    reference : {"between", "overall"}, default="between"
        Compare groups with each other, or each group with the rate over all rows.

    References
    ----------
    .. [1] M. Hardt, E. Price, N. Srebro, "Equality of Opportunity in Supervised Learning",
       NeurIPS 2016, definition 2.1.

    Examples
    --------
    >>> from fairlearnkit import EqualizedOdds
    >>> [rate.label for rate in EqualizedOdds(max_difference=0.02).rates]
    ['true positive rate', 'false positive rate']
    """

    rates = (TRUE_POSITIVE_RATE, FALSE_POSITIVE_RATE)


class EqualOpportunity(_NamedParity):
    """Equal true positive rates: those who qualify have the same chance in each group.

    The criterion for an outcome that people want (credit, a job). Nothing is asked of those whose
    label is negative.

    Parameters
    ----------
    max_difference : float, default=None
        Largest gap allowed between any two groups, in [0, 1].
    min_ratio : float, default=None
        Smallest ratio allowed of the lowest rate to the highest, in [0, 1]; 0/0 counts as 1.
        Estimators ask for exactly one of the two bounds; metrics need none.
    reference : {"between", "overall"}, default="between"
        Compare groups with each other, or each group with the rate over all rows.

    References
    ----------
    .. [1] M. Hardt, E. Price, N. Srebro, "Equality of Opportunity in Supervised Learning",
       NeurIPS 2016, definition 2.2.

    Examples
    --------
    >>> from fairlearnkit import EqualOpportunity
    >>> EqualOpportunity(max_difference=0.05)
    EqualOpportunity(max_difference=0.05)
    """

    rates = (TRUE_POSITIVE_RATE,)


class FalsePositiveRateParity(_NamedParity):
    """Equal false positive rates (predictive equality).

    The criterion for an outcome that people do not want (detention, a fraud alert): the innocent
    are flagged at the same rate in each group.

    Parameters
    ----------
    max_difference : float, default=None
        Largest gap allowed between any two groups, in [0, 1].
    min_ratio : float, default=None
        Smallest ratio allowed of the lowest rate to the highest, in [0, 1]; 0/0 counts as 1.
        Estimators ask for exactly one of the two bounds; metrics need none.
    reference : {"between", "overall"}, default="between"
        Compare groups with each other, or each group with the rate over all rows.

    References
    ----------
    .. [1] S. Corbett-Davies, E. Pierson, A. Feller, S. Goel, A. Huq, "Algorithmic Decision Making
       and the Cost of Fairness", KDD 2017, section 2.

    Examples
    --------
    >>> from fairlearnkit import FalsePositiveRateParity
    >>> FalsePositiveRateParity(max_difference=0.05)
    FalsePositiveRateParity(max_difference=0.05)
    """

    rates = (FALSE_POSITIVE_RATE,)


class TrueNegativeRateParity(_NamedParity):
    """Equal true negative rates (specificities).

    As a difference the same as `FalsePositiveRateParity`; as a ratio another criterion, since
    the ratio of specificities is not that of their complements.

    Parameters
    ----------
    max_difference : float, default=None
        Largest gap allowed between any two groups, in [0, 1].
    min_ratio : float, default=None
        Smallest ratio allowed of the lowest rate to the highest, in [0, 1]; 0/0 counts as 1.
        Estimators ask for exactly one of the two bounds; metrics need none.
    reference : {"between", "overall"}, default="between"
        Compare groups with each other, or each group with the rate over all rows.

    References
    ----------
    .. [1] S. Verma, J. Rubin, "Fairness Definitions Explained", FairWare 2018, section 3.

    Examples
    --------
    >>> from fairlearnkit import TrueNegativeRateParity
    >>> TrueNegativeRateParity(min_ratio=0.9)
    TrueNegativeRateParity(min_ratio=0.9)
    """

    rates = (TRUE_NEGATIVE_RATE,)


class FalseNegativeRateParity(_NamedParity):
    """Equal false negative rates: those who qualify are missed equally often.

    As a difference the same as `EqualOpportunity`; as a ratio another criterion.

    Parameters
    ----------
    max_difference : float, default=None
        Largest gap allowed between any two groups, in [0, 1].
    min_ratio : float, default=None
        Smallest ratio allowed of the lowest rate to the highest, in [0, 1]; 0/0 counts as 1.
        Estimators ask for exactly one of the two bounds; metrics need none.
    reference : {"between", "overall"}, default="between"
        Compare groups with each other, or each group with the rate over all rows.

    References
    ----------
    .. [1] S. Verma, J. Rubin, "Fairness Definitions Explained", FairWare 2018, section 3.

    Examples
    --------
    >>> from fairlearnkit import FalseNegativeRateParity
    >>> FalseNegativeRateParity(min_ratio=0.8)
    FalseNegativeRateParity(min_ratio=0.8)
    """

    rates = (FALSE_NEGATIVE_RATE,)


class ErrorRateParity(_NamedParity):
    """Equal error rates: the classifier is equally accurate for each group.

    Equal errors may be of opposite kinds, and a group may be served worse to reach them; look at
    the rates by group beside it.

    Parameters
    ----------
    max_difference : float, default=None
        Largest gap allowed between any two groups, in [0, 1].
    min_ratio : float, default=None
        Smallest ratio allowed of the lowest rate to the highest, in [0, 1]; 0/0 counts as 1.
        Estimators ask for exactly one of the two bounds; metrics need none.
    reference : {"between", "overall"}, default="between"
        Compare groups with each other, or each group with the rate over all rows.

    References
    ----------
    .. [1] S. Verma, J. Rubin, "Fairness Definitions Explained", FairWare 2018, section 3 (overall
       accuracy equality).

    Examples
    --------
    >>> from fairlearnkit import ErrorRateParity
    >>> ErrorRateParity(max_difference=0.03)
    ErrorRateParity(max_difference=0.03)
    """

    rates = (ERROR_RATE,)


class MinimumRate(_Part):
    """A floor under one rate of every group: levelling up.

    Parity can be met by making the better-off group worse off. A floor cannot: it asks that no
    group fare worse than a given rate, whatever the others have. It can be out of reach, alone or
    together with other criteria; fitting then raises an error that says by how much.

    Parameters
    ----------
    rate : Rate
        What every group is owed: `TRUE_POSITIVE_RATE` is the chance of those who qualify,
        `TRUE_NEGATIVE_RATE` one minus the false alarms. Within each stratum, where there are
        strata.
    at_least : float
        Smallest rate allowed in any group, in [0, 1].

    See Also
    --------
    Capacity : A limit to the share selected.
    AllOf : Both at once, or beside a parity.

    References
    ----------
    .. [1] B. Mittelstadt, S. Wachter, C. Russell, "The Unfairness of Fair Machine Learning:
       Levelling Down and Strict Egalitarianism by Default", Michigan Technology Law Review 30,
       2023.

    Examples
    --------
    Seven of ten who qualify are found, in every group:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairlearnkit import GroupThresholdClassifier, MinimumRate
    >>> from fairlearnkit.constraints import TRUE_POSITIVE_RATE
    >>> from fairlearnkit.datasets import make_group_classification
    >>> X, y, groups = make_group_classification(2000, base_rates=(0.5, 0.3), random_state=0)
    >>> floor = MinimumRate(TRUE_POSITIVE_RATE, at_least=0.7)
    >>> clf = GroupThresholdClassifier(LogisticRegression(), floor)
    >>> round(clf.fit(X, y, sensitive_features=groups).disparity_, 6)  # the lowest of the rates
    0.7
    >>> round(clf.at(at_least=0.8).disparity_, 6)
    0.8
    """

    _kind = Kind.FLOOR
    _knob = "at_least"

    @_by_name
    def __init__(self, rate: Rate, *, at_least: float) -> None:
        self.rate = rate
        self.at_least = at_least

    def _rates(self) -> tuple[Rate, ...]:
        return (self.rate,)

    def _in_words(self, bound: float | None = None) -> str:
        bound = self.at_least if bound is None else bound
        return f"{self.rate.label} of every group at least {bound:g}"

    def _check_own(self, *, needs_bound: bool) -> None:
        if not isinstance(self.rate, Rate):
            msg = f"rate must be a Rate such as TRUE_POSITIVE_RATE, got {self.rate!r}."
            raise ValueError(msg)
        _check_share("at_least", self.at_least)


class Capacity(_Part):
    """A limit to the share selected: only so many can be accepted.

    Parameters
    ----------
    at_most : float
        Largest share of all rows that may be selected, in [0, 1]. Within each stratum, where
        there are strata.

    See Also
    --------
    MinimumRate : A floor under a rate of every group.
    AllOf : Both at once, or beside a parity.

    Examples
    --------
    A tenth of all applicants can be invited, those who qualify with equal chances:

    >>> from fairlearnkit import AllOf, Capacity, EqualOpportunity
    >>> rule = AllOf([EqualOpportunity(max_difference=0.02), Capacity(at_most=0.1)])
    >>> rule.criteria[1].at_most
    0.1
    """

    _kind = Kind.CEILING
    _knob = "at_most"

    @_by_name
    def __init__(self, *, at_most: float) -> None:
        self.at_most = at_most

    def _rates(self) -> tuple[Rate, ...]:
        return (SELECTION_RATE,)

    def _in_words(self, bound: float | None = None) -> str:
        return f"share selected at most {self.at_most if bound is None else bound:g}"

    def _check_own(self, *, needs_bound: bool) -> None:
        _check_share("at_most", self.at_most)


class ConvexRates(_Part):
    """Any convex conditions on group rates, written in cvxpy.

    Floors for one group, a mean or a Euclidean distance in place of the largest gap, budgets: what
    can be said as ``convex <= concave`` about the rates can be asked for.

    Parameters
    ----------
    build : callable
        ``build(r)`` returns a list of cvxpy constraints. The rates of all groups are attributes of
        ``r``, each a vector expression of shape (n_groups,) that is also indexed by a group's
        label: `selection_rate`, `true_positive_rate` (short `tpr`), `false_positive_rate`
        (`fpr`), `true_negative_rate` (`tnr`), `false_negative_rate` (`fnr`) and `error_rate`.
        ``r.overall_selection_rate`` and so on are the rates over all groups; ``r.groups``,
        ``r.n_groups`` and ``r.share`` the labels, their number and their shares in the weight.
        Where there are strata it is called once for each, named by ``r.stratum``. A rate without
        rows may take any value.
    parameters : dict, default=None
        Numbers >= 0 by name. Each is passed to `build` as a keyword, as a
        `cvxpy.Parameter`: a knob that `at` turns by its name without building anew.

    See Also
    --------
    MinimumRate, Capacity : The two conditions that need no cvxpy.
    AllOf : Several criteria at once.

    Notes
    -----
    Programmes are then modelled in cvxpy over the same thresholds or models and solved by
    Clarabel, an interior-point method: conditions hold to 1e-7 instead of 1e-9. Built-in criteria
    are faster, have a `frontier_` and also choose plain thresholds.

    A function defined in a module pickles with its estimator; a lambda does not.

    References
    ----------
    .. [1] S. Diamond, S. Boyd, "CVXPY: A Python-Embedded Modeling Language for Convex
       Optimization", JMLR 17, 2016.

    Examples
    --------
    The false positive rates lie within a Euclidean distance of their mean; the distance is a knob:

    >>> import cvxpy as cp
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairlearnkit import ConvexRates, GroupThresholdClassifier
    >>> from fairlearnkit.datasets import make_group_classification
    >>> X, y, groups = make_group_classification(2000, base_rates=(0.5, 0.3), random_state=0)
    >>> near = ConvexRates(
    ...     lambda r, distance: [cp.norm(r.fpr - cp.sum(r.fpr) / r.n_groups, 2) <= distance],
    ...     parameters={"distance": 0.02},
    ... )
    >>> clf = GroupThresholdClassifier(LogisticRegression(), near)
    >>> clf = clf.fit(X, y, sensitive_features=groups)
    >>> clf.at(distance=0.01).cost_ > clf.cost_
    True
    """

    _kind = Kind.FREE

    @_by_name
    def __init__(
        self, build: Callable[..., Any], *, parameters: Mapping[str, float] | None = None
    ) -> None:
        self.build = build
        self.parameters = parameters

    def _rates(self) -> tuple[Rate, ...]:
        # All others follow from these two.
        return (FALSE_POSITIVE_RATE, TRUE_POSITIVE_RATE)

    def _bound(self) -> None:
        return None

    def _knobs(self) -> dict[str, Any]:
        return dict(self.parameters or {})

    def _with(self, given: Mapping[str, Any]) -> Criterion:
        return clone(self).set_params(parameters={**(self.parameters or {}), **given})

    def _in_words(self, bound: float | None = None) -> str:
        return "the conditions of ConvexRates"

    def _check_own(self, *, needs_bound: bool) -> None:
        if not callable(self.build):
            msg = (
                "build must be a function of the group rates that returns a list of cvxpy "
                f"constraints, got {self.build!r}."
            )
            raise ValueError(msg)
        if not isinstance(self.parameters, (Mapping, type(None))):
            msg = f"parameters must be a dict of numbers by name, got {self.parameters!r}."
            raise ValueError(msg)
        for name, value in (self.parameters or {}).items():
            if name in _OTHER_KNOBS or not (is_number(value) and 0 <= value < np.inf):
                msg = (
                    "parameters must be numbers >= 0 under names that no other bound has, got "
                    f"{name}={value!r}. A sign can be written in the condition."
                )
                raise ValueError(msg)


# What `at` takes for other criteria.
_OTHER_KNOBS = ("max_difference", "min_ratio", "at_least", "at_most", "constraint")


class AllOf(Criterion):
    """Several criteria at once, each with its own bound.

    Parameters
    ----------
    criteria : sequence of Criterion
        The criteria to keep together; `AllOf` itself may be among them.

    Examples
    --------
    Equal chances for those who qualify, within 2 points, and the four-fifths rule for all:

    >>> from fairlearnkit import AllOf, DemographicParity, EqualOpportunity
    >>> both = AllOf([EqualOpportunity(max_difference=0.02), DemographicParity(min_ratio=0.8)])
    >>> [type(criterion).__name__ for criterion in both.parities()]
    ['EqualOpportunity', 'DemographicParity']
    """

    def __init__(self, criteria: Sequence[Criterion]) -> None:
        self.criteria = criteria

    def _parts(self) -> Iterator[_Part]:
        """Yield the criteria with one bound each, those of inner `AllOf` in their place."""
        for criterion in self.criteria:
            yield from criterion._parts()

    def _check(self, *, needs_bound: bool) -> None:
        is_sequence = isinstance(self.criteria, Sequence) and not isinstance(self.criteria, str)
        if not is_sequence or not self.criteria:
            msg = f"criteria must be a sequence of one or more criteria, got {self.criteria!r}."
            raise ValueError(msg)
        for criterion in self.criteria:
            if not isinstance(criterion, Criterion):
                msg = (
                    "Every member of criteria must be a criterion such as DemographicParity(), "
                    f"got {criterion!r}."
                )
                raise ValueError(msg)
            criterion._check(needs_bound=needs_bound)
