"""How unequal predictions are: rates by group, differences and ratios.

Argument order is that of scikit-learn and fairlearn. A number here is the number that the
criterion of the same name bounds: the largest gap between any two groups, or the smallest rate
over the largest. Scorers put the same numbers into scikit-learn's searches and cross-validation.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import UNUSED, MetadataRequest, get_routing_for_object
from sklearn.utils.validation import check_consistent_length, column_or_1d

from fairlearnkit import _validation as checks
from fairlearnkit._kernels.moments import (
    Moments,
    cell_mass,
    cell_sums,
    differences,
    overall_rates,
    ratios,
)
from fairlearnkit._kernels.moments import group_rates as rates_of_rows
from fairlearnkit.constraints import (
    ERROR_RATE,
    FALSE_POSITIVE_RATE,
    SELECTION_RATE,
    TRUE_POSITIVE_RATE,
    Criterion,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    ErrorRateParity,
    FalseNegativeRateParity,
    FalsePositiveRateParity,
    Parity,
    Rate,
    TrueNegativeRateParity,
)
from fairlearnkit.exceptions import DegenerateGroupWarning, InfeasibleConstraintError

__all__ = [
    "GroupRates",
    "accuracy_scorer",
    "best_within",
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "disparity",
    "disparity_scorer",
    "equal_opportunity_difference",
    "equal_opportunity_ratio",
    "equalized_odds_difference",
    "equalized_odds_ratio",
    "error_rate_difference",
    "error_rate_ratio",
    "false_negative_rate_difference",
    "false_negative_rate_ratio",
    "false_positive_rate_difference",
    "false_positive_rate_ratio",
    "group_rates",
    "true_negative_rate_difference",
    "true_negative_rate_ratio",
]

Float = NDArray[np.float64]
Int = NDArray[np.intp]

# Probabilities may leave [0, 1], and their sums 1, by what single precision leaves open.
_ROUNDING = 1e-6


class GroupRates:
    """Rates by group, as `group_rates` returns them; prints as a table.

    Attributes
    ----------
    groups : ndarray of shape (n_groups,)
        Groups, sorted; tuples where several columns were given.
    count : ndarray of shape (n_groups,)
        Rows of each group.
    rates : dict of str to ndarray of shape (n_groups,)
        Each rate by group, in [0, 1]; NaN where the group has no row to take it over.
    overall : dict of str to float
        Each rate over all rows.
    difference : dict of str to float
        Largest gap of each rate between two groups that have it; NaN below two.
    ratio : dict of str to float
        Smallest rate over the largest, among groups that have it; NaN below two.

    See Also
    --------
    group_rates : Computes them.
    """

    def __init__(
        self,
        groups: list[Any],
        count: NDArray[np.intp],
        rates: dict[str, Float],
        overall: dict[str, float],
        difference: dict[str, float],
        ratio: dict[str, float],
    ) -> None:
        self.groups = checks.label_array(groups)
        self.count = count
        self.rates = rates
        self.overall = overall
        self.difference = difference
        self.ratio = ratio

    def __getitem__(self, rate: str) -> Float:
        """Return one rate by group."""
        return self.rates[rate]

    def __repr__(self) -> str:
        """Return the table: what a notebook or a prompt shows."""
        return str(self)

    def __str__(self) -> str:
        """Return a table: a line per group, then overall, difference and ratio."""
        names = [checks.group_name(label) for label in self.groups.tolist()]
        lines = [["group", "count", *(rate.replace("_", " ") for rate in self.rates)]]
        for g, name in enumerate(names):
            values = [f"{rate[g]:.4f}" for rate in self.rates.values()]
            lines.append([name, str(self.count[g]), *values])
        lines.append(["overall", str(self.count.sum()), *_formatted(self.overall)])
        lines.append(["difference", "", *_formatted(self.difference)])
        lines.append(["ratio", "", *_formatted(self.ratio)])
        width = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        rows = [
            "  ".join([line[0].ljust(width[0]), *map(str.rjust, line[1:], width[1:])])
            for line in lines
        ]
        rule = "  ".join("-" * w for w in width)
        return "\n".join([rows[0], rule, *rows[1:-3], rule, *rows[-3:]])

    def to_frame(self) -> Any:
        """Return the rates as a data frame.

        Returns
        -------
        pandas.DataFrame
            One row per group; columns count and every rate.
        """
        pd = checks.import_pandas("to_frame")
        index = pd.Index([checks.group_name(g) for g in self.groups.tolist()], name="group")
        return pd.DataFrame({"count": self.count, **self.rates}, index=index)


def _formatted(values: dict[str, float]) -> list[str]:
    return [f"{value:.4f}" for value in values.values()]


class _Cells(NamedTuple):
    """Predictions as cell sums: all that any rate needs."""

    mass: Float
    sums: Float
    n_rows: NDArray[np.intp]
    labels: list[Any]


def group_rates(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sensitive_features: Any,
    rates: Rate | Sequence[Rate] = (
        SELECTION_RATE,
        TRUE_POSITIVE_RATE,
        FALSE_POSITIVE_RATE,
        ERROR_RATE,
    ),
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
    missing: str = "error",
) -> GroupRates:
    """Return rates by group, with the largest gap and the smallest ratio of each.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels, of two kinds.
    y_pred : array-like of shape (n_samples,) or (n_samples, 2)
        Decisions, or the probability of each decision (columns in the order of the sorted
        labels), whose expected rates are returned. Where the labels are 0 and 1, one column of
        numbers in [0, 1] is the probability of 1, whichever label is the positive one.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        Groups of the rows; several columns make intersectional groups.
    rates : Rate or sequence of Rate
        The rates wanted; by default selection, true positive, false positive and error rate.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, >= 0.
    pos_label : int, float, bool or str, default=None
        The label whose prediction counts as selection; None means the larger of the two.
    missing : {"error", "group"}, default="error"
        Whether missing values among the groups are an error or a group of their own.

    Returns
    -------
    GroupRates
        Prints as a table; `to_frame()` gives a data frame.

    Examples
    --------
    >>> from fairlearnkit.metrics import group_rates
    >>> y_true = [1, 1, 0, 0, 1, 1, 0, 0]
    >>> y_pred = [1, 1, 1, 0, 1, 0, 0, 0]
    >>> sex = ["f", "f", "f", "f", "m", "m", "m", "m"]
    >>> print(group_rates(y_true, y_pred, sensitive_features=sex))
    group       count  selection rate  true positive rate  false positive rate  error rate
    ----------  -----  --------------  ------------------  -------------------  ----------
    f               4          0.7500              1.0000               0.5000      0.2500
    m               4          0.2500              0.5000               0.0000      0.2500
    ----------  -----  --------------  ------------------  -------------------  ----------
    overall         8          0.5000              0.7500               0.2500      0.2500
    difference                 0.5000              0.5000               0.5000      0.0000
    ratio                      0.3333              0.5000               0.0000      1.0000
    """
    cells = _read(y_true, y_pred, sensitive_features, sample_weight, pos_label, missing)
    criterion = Parity(rates)
    criterion._check(needs_bound=False)
    moments = criterion._moments_of_mass(cells.mass)
    _warn_undefined(criterion, moments, cells.labels, stacklevel=3)
    by_row = rates_of_rows(moments, cells.sums)
    table = np.full((moments.n_events, len(cells.labels)), np.nan)
    table[moments.event, moments.unit] = by_row
    names = [rate.name for rate in criterion._rates()]
    if len(set(names)) < len(names):
        msg = f"rates must have different names, got {names}."
        raise ValueError(msg)

    def named(values: Float) -> dict[str, float]:
        return dict(zip(names, values.tolist(), strict=True))

    return GroupRates(
        groups=cells.labels,
        count=cells.n_rows,
        rates=dict(zip(names, table, strict=True)),
        overall=named(overall_rates(moments, by_row)),
        difference=named(differences(moments, by_row)),
        ratio=named(ratios(moments, by_row)),
    )


def disparity(
    criterion: Criterion,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sensitive_features: Any,
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
    missing: str = "error",
) -> float | Float:
    """Return how unequal predictions are in the sense of a criterion: what its bound bounds.

    Parameters
    ----------
    criterion : Criterion
        What should be equal. With `min_ratio` set the smallest ratio is returned, otherwise the
        largest difference; `reference` counts, the value of the bound does not.
    y_true : array-like of shape (n_samples,)
        True labels, of two kinds.
    y_pred : array-like of shape (n_samples,) or (n_samples, 2)
        Decisions, or the probability of each decision, as in `group_rates`.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        Groups of the rows; several columns make intersectional groups.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, >= 0.
    pos_label : int, float, bool or str, default=None
        The label whose prediction counts as selection; None means the larger of the two.
    missing : {"error", "group"}, default="error"
        Whether missing values among the groups are an error or a group of their own.

    Returns
    -------
    float or ndarray of shape (n_criteria,)
        One number, or one for each criterion of an `AllOf`, in [0, 1]; NaN where a rate is
        defined for fewer than two groups.

    Raises
    ------
    ValueError
        If an input is not valid, or the criterion compares nothing, as `MinimumRate`.

    Warns
    -----
    DegenerateGroupWarning
        If a rate is not defined for a group, which is left out and named.

    Examples
    --------
    >>> from fairlearnkit import Parity
    >>> from fairlearnkit.constraints import FALSE_NEGATIVE_RATE, SELECTION_RATE
    >>> from fairlearnkit.metrics import disparity
    >>> y_true = [1, 1, 0, 0, 1, 1, 0, 0]
    >>> y_pred = [1, 1, 0, 0, 1, 0, 0, 0]
    >>> sex = ["f", "f", "f", "f", "m", "m", "m", "m"]
    >>> both = Parity([SELECTION_RATE, FALSE_NEGATIVE_RATE], max_difference=0.1)
    >>> disparity(both, y_true, y_pred, sensitive_features=sex)
    0.5
    """
    if not isinstance(criterion, Criterion):
        msg = f"criterion must be a criterion such as DemographicParity(), got {criterion!r}."
        raise ValueError(msg)
    criterion._check(needs_bound=False)
    criterion._check_compares("A disparity")
    cells = _read(y_true, y_pred, sensitive_features, sample_weight, pos_label, missing)
    return _disparity(criterion, cells)


def _disparity(criterion: Criterion, cells: _Cells) -> float | Float:
    # Called by the public functions themselves: level 4 is the line that called those.
    moments = criterion._moments_of_mass(cells.mass)
    _warn_undefined(criterion, moments, cells.labels, stacklevel=4)
    found = criterion._disparities(moments, rates_of_rows(moments, cells.sums))
    return float(found[0]) if len(found) == 1 else found


_REFERENCE = {"between_groups": "between", "to_overall": "overall"}

_DOC = """Return the {summary}.

    {meaning} It is the number that `{criterion}` bounds by `{bound}`.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels, of two kinds.
    y_pred : array-like of shape (n_samples,) or (n_samples, 2)
        Decisions, or the probability of each decision (columns in the order of the sorted
        labels), whose expected rates are compared. Where the labels are 0 and 1, one column of
        numbers in [0, 1] is the probability of 1, whichever label is the positive one.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        Groups of the rows; several columns make intersectional groups.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, >= 0.
    pos_label : int, float, bool or str, default=None
        The label whose prediction counts as selection; None means the larger of the two.
    missing : {{"error", "group"}}, default="error"
        Whether missing values among the groups are an error or a group of their own.
    method : {{"between_groups", "to_overall"}}, default="between_groups"
        Compare groups with each other, or each group with the rate over all rows.

    Returns
    -------
    float
        In [0, 1]; {best}. NaN where a rate is defined for fewer than two groups.

    Raises
    ------
    ValueError
        If lengths differ, there are more than two labels, values are missing, or the positive
        label cannot be told.

    Warns
    -----
    DegenerateGroupWarning
        If a rate is not defined for a group (no rows to take it over), which is left out.

    See Also
    --------
    group_rates : The rates behind the number.

    Examples
    --------
    >>> from fairlearnkit.metrics import {name}
    >>> y_true = [1, 1, 0, 0, 1, 1, 0, 0, 0]
    >>> y_pred = [1, 1, 1, 0, 1, 0, 0, 0, 0]
    >>> sex = ["f", "f", "f", "f", "m", "m", "m", "m", "m"]
    >>> round({name}(y_true, y_pred, sensitive_features=sex), 4)
    {example}
    """


class _Metric(Protocol):
    """Signature of every named metric."""

    def __call__(
        self,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        sensitive_features: Any,
        sample_weight: ArrayLike | None = None,
        pos_label: Any = None,
        missing: str = "error",
        method: str = "between_groups",
    ) -> float: ...


def _metric(name: str, criterion: type[Any], what: str, example: float) -> _Metric:
    """Return the difference or ratio metric of a criterion, documented."""
    is_ratio = name.endswith("_ratio")

    def metric(
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        sensitive_features: Any,
        sample_weight: ArrayLike | None = None,
        pos_label: Any = None,
        missing: str = "error",
        method: str = "between_groups",
    ) -> float:
        if method not in _REFERENCE:
            msg = f"method must be 'between_groups' or 'to_overall', got {method!r}."
            raise ValueError(msg)
        # The value of a bound does not matter here, only which of the two is set.
        bound = {"min_ratio": 1.0} if is_ratio else {"max_difference": 0.0}
        cells = _read(y_true, y_pred, sensitive_features, sample_weight, pos_label, missing)
        return float(_disparity(criterion(reference=_REFERENCE[method], **bound), cells))

    metric.__name__ = metric.__qualname__ = name
    metric.__doc__ = _DOC.format(
        name=name,
        criterion=criterion.__name__,
        bound="min_ratio" if is_ratio else "max_difference",
        summary=f"smallest ratio of {what} between groups"
        if is_ratio
        else f"largest difference in {what} between groups",
        meaning=(
            "The lowest rate over the highest; 0/0 is 1."
            if is_ratio
            else "The highest rate of any group minus the lowest."
        )
        + (" Of the two rates, the worse counts." if criterion is EqualizedOdds else ""),
        best="1 is equal" if is_ratio else "0 is equal",
        example=example,
    )
    return metric


demographic_parity_difference = _metric(
    "demographic_parity_difference", DemographicParity, "selection rates", 0.55
)
demographic_parity_ratio = _metric(
    "demographic_parity_ratio", DemographicParity, "selection rates", 0.2667
)
equalized_odds_difference = _metric(
    "equalized_odds_difference", EqualizedOdds, "true and false positive rates", 0.5
)
equalized_odds_ratio = _metric(
    "equalized_odds_ratio", EqualizedOdds, "true and false positive rates", 0.0
)
equal_opportunity_difference = _metric(
    "equal_opportunity_difference", EqualOpportunity, "true positive rates", 0.5
)
equal_opportunity_ratio = _metric(
    "equal_opportunity_ratio", EqualOpportunity, "true positive rates", 0.5
)
false_positive_rate_difference = _metric(
    "false_positive_rate_difference", FalsePositiveRateParity, "false positive rates", 0.5
)
false_positive_rate_ratio = _metric(
    "false_positive_rate_ratio", FalsePositiveRateParity, "false positive rates", 0.0
)
true_negative_rate_difference = _metric(
    "true_negative_rate_difference", TrueNegativeRateParity, "true negative rates", 0.5
)
true_negative_rate_ratio = _metric(
    "true_negative_rate_ratio", TrueNegativeRateParity, "true negative rates", 0.5
)
false_negative_rate_difference = _metric(
    "false_negative_rate_difference", FalseNegativeRateParity, "false negative rates", 0.5
)
false_negative_rate_ratio = _metric(
    "false_negative_rate_ratio", FalseNegativeRateParity, "false negative rates", 0.0
)
error_rate_difference = _metric("error_rate_difference", ErrorRateParity, "error rates", 0.05)
error_rate_ratio = _metric("error_rate_ratio", ErrorRateParity, "error rates", 0.8)


def _read(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    sensitive_features: Any,
    sample_weight: ArrayLike | None,
    pos_label: Any,
    missing: str,
) -> _Cells:
    """Return predictions as weighted sums per group and label."""
    if missing not in ("error", "group"):
        msg = f"missing must be 'error' or 'group', got {missing!r}."
        raise ValueError(msg)
    truth = column_or_1d(checks.as_array(y_true))
    decisions = checks.as_array(y_pred)
    check_consistent_length(truth, decisions)
    _check_no_missing(truth, "y_true")
    _check_no_missing(decisions, "y_pred")
    positive, accepted = _positive_and_accepted(truth, decisions, pos_label)
    weight = checks.check_weights(sample_weight, truth)
    group, labels = checks.encode_groups(
        sensitive_features, len(truth), missing=missing, what="sensitive_features"
    )
    label = positive.astype(np.intp)
    return _Cells(
        mass=cell_mass(label, group, weight, len(labels)),
        sums=cell_sums(accepted, label, group, weight, len(labels)),
        n_rows=np.bincount(group, minlength=len(labels)),
        labels=labels,
    )


def _check_no_missing(values: NDArray[Any], name: str) -> None:
    if values.dtype.kind == "f":
        count = int(np.count_nonzero(np.isnan(values)))
    elif values.dtype.kind == "O":
        codes, labels = checks.factorize(values.ravel())
        count = int(np.count_nonzero(codes == labels.index(None))) if None in labels else 0
    else:
        return
    if count:
        msg = f"{name} must not have missing values, got {count} of {len(values)}."
        raise ValueError(msg)


def _positive_and_accepted(
    truth: NDArray[Any], decisions: NDArray[Any], pos_label: Any
) -> tuple[NDArray[np.bool_], Float]:
    """Return whether each label is positive, and the probability of deciding for it."""
    found = np.unique(truth)
    if decisions.ndim == 2 and decisions.shape[1] != 1:
        classes, place = _two_classes(found, pos_label)
        return truth == classes[place], _probabilities(decisions)[:, place]
    decided = column_or_1d(decisions)
    is_zero_one = found.dtype.kind in "biuf" and set(found.tolist()) <= {0, 1}
    if is_zero_one and decided.dtype.kind == "f" and not np.isin(decided, (0, 1)).all():
        if decided.min() < -_ROUNDING or decided.max() > 1 + _ROUNDING:
            msg = (
                "Numbers in y_pred must be decisions or probabilities in [0, 1], got "
                f"[{decided.min():.9g}, {decided.max():.9g}]."
            )
            raise ValueError(msg)
        decided = np.clip(decided, 0.0, 1.0)
        _, place = _two_classes(np.array([0, 1]), pos_label)
        return truth == place, decided if place == 1 else 1 - decided
    same_kind = (found.dtype.kind in "biuf") == (decided.dtype.kind in "biuf")
    labels = np.union1d(found, decided) if same_kind else found
    has_fractions = decided.dtype.kind == "f" and bool((decided != np.rint(decided)).any())
    if has_fractions and (not same_kind or len(labels) > 2):
        msg = (
            "One column of probabilities in y_pred needs labels 0 and 1, got the labels "
            f"{found[:10].tolist()}. Pass the probability of each label in two columns, shape "
            "(n_samples, 2), in the order of the sorted labels."
        )
        raise ValueError(msg)
    if not same_kind:
        msg = (
            f"y_true and y_pred must have the same kind of labels, got {found.dtype} and "
            f"{decided.dtype}."
        )
        raise ValueError(msg)
    positive = pos_label
    # A label alone needs no other where it is known whether it is the positive one.
    if pos_label is None or len(labels) > 1:
        classes, place = _two_classes(labels, pos_label)
        positive = classes[place]
    return truth == positive, (decided == positive).astype(float)


def _two_classes(labels: NDArray[Any], pos_label: Any) -> tuple[NDArray[Any], int]:
    """Return the two classes in order, from the labels that occur, and which one is positive."""
    if pos_label is not None:
        if len(labels) == 2 and pos_label not in labels.tolist():
            msg = f"pos_label must be one of the labels {labels.tolist()}, got {pos_label!r}."
            raise ValueError(msg)
        given, labels = labels, np.union1d(labels, [pos_label])
        if pos_label not in labels.tolist():
            msg = (
                f"pos_label must be of the kind of the labels {given.tolist()}, got {pos_label!r}."
            )
            raise ValueError(msg)
    if len(labels) == 1 and labels.dtype.kind in "biuf" and labels[0] in (-1, 0, 1):
        labels = np.array([-1, 1]) if labels[0] == -1 else np.array([0, 1])
    if len(labels) != 2:
        msg = f"Labels must be of two kinds, got {len(labels)}: {labels[:10].tolist()}. " + (
            "Say which is positive with pos_label."
            if len(labels) == 1 and pos_label is None
            else ""
        )
        raise ValueError(msg.rstrip())
    return labels, 1 if pos_label is None else labels.tolist().index(pos_label)


def _probabilities(decisions: NDArray[Any]) -> Float:
    if decisions.shape[1] != 2:
        msg = (
            "Two-dimensional y_pred must have one column per class, shape (n_samples, 2), got "
            f"{decisions.shape}."
        )
        raise ValueError(msg)
    probability = decisions.astype(float)
    total = probability.sum(axis=1)
    if probability.min() < -_ROUNDING or np.abs(total - 1).max() > _ROUNDING:
        msg = (
            "Rows of y_pred must be probabilities of the two decisions that sum to 1, got a "
            f"smallest of {probability.min():.9g} and sums in [{total.min():.9g}, "
            f"{total.max():.9g}]."
        )
        raise ValueError(msg)
    probability = np.clip(probability, 0.0, 1.0)
    return probability


def _warn_undefined(
    criterion: Criterion, moments: Moments, labels: list[Any], stacklevel: int
) -> None:
    """Warn of rates that are not defined for a group, or of one group only."""
    if len(labels) < 2:
        warnings.warn(
            f"There is one group only ({checks.group_name(labels[0])}): nothing is compared.",
            DegenerateGroupWarning,
            stacklevel=stacklevel,
        )
    rates = [rate for parity in criterion.parities() for rate in parity._rates()]
    defined = np.zeros((moments.n_events, len(labels)), dtype=bool)
    defined[moments.event, moments.unit] = True
    missing = [
        f"{rate.label} of group {checks.group_name(labels[g])}"
        for rate, row in zip(rates, defined, strict=True)
        for g in np.flatnonzero(~row)
    ]
    if missing:
        more = f"; and {len(missing) - 10} more" if len(missing) > 10 else ""
        warnings.warn(
            "Not defined for want of rows, and left out of the comparison: "
            f"{'; '.join(missing[:10])}{more}.",
            DegenerateGroupWarning,
            stacklevel=stacklevel,
        )


class _GroupScorer(BaseEstimator):
    """Base of the scorers: called as ``scorer(estimator, X, y)``, higher is better.

    An estimator for what scikit-learn gives those: parameters, clones and metadata requests.
    """

    # A scorer that is passed groups or strata has no use for them but this one.
    __metadata_request__score = {
        "estimator": UNUSED,
        "sensitive_features": True,
        "control_features": True,
    }

    _made_by: str
    # Whether it needs groups, and not only estimators that do.
    _compares: bool
    sensitive_columns: checks.Columns | None
    pos_label: Any
    missing: str | None

    def score(
        self,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        control_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return the score of a fitted classifier on some rows, as calling the scorer does."""
        groups = sensitive_features
        if groups is None and (self._compares or self.sensitive_columns is not None):
            groups = _known_groups(estimator, X, None, self.sensitive_columns)
        truth, probability = _expected_decisions(
            estimator, X, y, groups, self.pos_label, control_features=control_features
        )
        missing = _missing_of(estimator, self.missing)
        return self._value(truth, probability, groups, missing, sample_weight)

    __call__ = score

    def _value(
        self,
        truth: Int,
        probability: Float,
        groups: Any,
        missing: str,
        sample_weight: ArrayLike | None,
    ) -> float:
        raise NotImplementedError

    def _accept_sample_weight(self) -> bool:
        """Tell scikit-learn, where metadata routing is off, that weights may be passed."""
        return True

    def __repr__(self) -> str:
        """Return the call that makes this scorer."""
        return super().__repr__().replace(type(self).__name__, self._made_by, 1)


class _DisparityScorer(_GroupScorer):
    _made_by = "disparity_scorer"
    _compares = True

    def __init__(
        self,
        criterion: Criterion,
        *,
        sensitive_columns: checks.Columns | None = None,
        pos_label: Any = None,
        missing: str | None = None,
    ) -> None:
        self.criterion = criterion
        self.sensitive_columns = sensitive_columns
        self.pos_label = pos_label
        self.missing = missing

    def _value(
        self,
        truth: Int,
        probability: Float,
        groups: Any,
        missing: str,
        sample_weight: ArrayLike | None,
    ) -> float:
        parity = _one_parity(self.criterion)
        if groups is None:
            msg = (
                "disparity_scorer needs to know each row's group, got neither sensitive_features "
                "nor sensitive_columns, and the estimator has none. Set sensitive_columns= to "
                "column names, positions or a callable that takes X, or enable metadata routing "
                "and pass sensitive_features."
            )
            raise ValueError(msg)
        found = disparity(
            self.criterion,
            truth,
            probability,
            sensitive_features=groups,
            sample_weight=sample_weight,
            pos_label=1,
            missing=missing,
        )
        return float(found) * (1.0 if parity.min_ratio is not None else -1.0)


class _AccuracyScorer(_GroupScorer):
    _made_by = "accuracy_scorer"
    _compares = False
    # Which label is the positive one, and which groups there are, does not change the accuracy.
    pos_label = missing = None

    def __init__(self, *, sensitive_columns: checks.Columns | None = None) -> None:
        self.sensitive_columns = sensitive_columns

    def _value(
        self,
        truth: Int,
        probability: Float,
        groups: Any,
        missing: str,
        sample_weight: ArrayLike | None,
    ) -> float:
        weight = checks.check_weights(sample_weight, truth)
        return float(np.average(np.where(truth, probability, 1 - probability), weights=weight))


def _one_parity(criterion: Any) -> Any:
    """Return the criterion with one bound that this is, or raise."""
    if not isinstance(criterion, Criterion):
        msg = f"criterion must be a criterion such as DemographicParity(), got {criterion!r}."
        raise ValueError(msg)
    criterion._check(needs_bound=False)
    criterion._check_compares("A score of disparity")
    parities = list(criterion.parities())
    if len(parities) != 1:
        msg = (
            f"criterion must have one number to score by, got {criterion!r} with {len(parities)}. "
            "Use one scorer for each, as in scoring={'odds': ..., 'selection': ...}."
        )
        raise ValueError(msg)
    return parities[0]


def disparity_scorer(
    criterion: Criterion,
    *,
    sensitive_columns: checks.Columns | None = None,
    pos_label: Any = None,
    missing: str | None = None,
) -> Any:
    """Return a scorer for the disparity of any classifier, for searches and cross-validation.

    Parameters
    ----------
    criterion : Criterion
        What should be equal. The scorer returns minus the largest difference, so that higher is
        better; with `min_ratio` set it returns the smallest ratio. The value of the bound does not
        count.
    sensitive_columns : str, int, sequence of these or callable, default=None
        Columns of X that give the groups, or a callable ``X -> groups``: of the X that the search
        is given, before any step of a pipeline. None means those of the estimator, if it has any.
        Not used where `sensitive_features` is passed.
    pos_label : int, float, bool or str, default=None
        The label whose prediction counts as selection; None means the `pos_label` of the estimator
        where it has one, else the larger of its two classes.
    missing : {"error", "group"}, default=None
        Whether missing values among the groups are an error or a group of their own; None means
        as for the estimator, an error where it has no such setting.

    Returns
    -------
    scorer
        A callable ``scorer(estimator, X, y, *, sensitive_features=None, control_features=None,
        sample_weight=None)``. It prints, pickles and clones, and has `set_score_request` for
        metadata routing; it requests `sensitive_features` and `control_features` without being
        told.

    Raises
    ------
    ValueError
        If the criterion is none, or an `AllOf`, which has several numbers.

    See Also
    --------
    accuracy_scorer : The score that goes with it.
    best_within : Choose the best candidate within a bound.

    Notes
    -----
    Where the estimator, or the last step of a pipeline, has `decision_probability`, the score is
    the *expected* disparity of its randomised decisions; of any other classifier it is the
    disparity of `predict`. Estimators whose decisions need groups or strata are passed them,
    unless they take them from columns of their own. Strata serve those decisions alone: groups
    are compared over all rows.

    A scorer sees one fold at a time. The largest gap in a small fold is larger by chance than in
    many rows: compare candidates on the same folds, and let folds be large.

    Examples
    --------
    A search over the knob and the model at once:

    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from fairlearnkit import DemographicParity, GroupThresholdClassifier
    >>> from fairlearnkit.datasets import make_group_classification
    >>> from fairlearnkit.metrics import accuracy_scorer, best_within, disparity_scorer
    >>> X, y, groups = make_group_classification(2000, base_rates=(0.5, 0.3), random_state=0)
    >>> X = np.column_stack([X, groups])
    >>> clf = GroupThresholdClassifier(
    ...     LogisticRegression(),
    ...     DemographicParity(max_difference=0.1),
    ...     sensitive_columns=-1,
    ...     drop_sensitive=True,
    ... )
    >>> search = GridSearchCV(
    ...     clf,
    ...     {"constraint__max_difference": [0.0, 0.1, 0.2], "estimator__C": [0.01, 1.0]},
    ...     scoring={
    ...         "accuracy": accuracy_scorer(),
    ...         "disparity": disparity_scorer(DemographicParity()),
    ...     },
    ...     refit=best_within(0.15),
    ... )
    >>> search.fit(X, y).best_params_["constraint__max_difference"]
    0.1
    """
    scorer = _DisparityScorer(
        criterion, sensitive_columns=sensitive_columns, pos_label=pos_label, missing=missing
    )
    _one_parity(criterion)
    return scorer


def accuracy_scorer(*, sensitive_columns: checks.Columns | None = None) -> Any:
    """Return a scorer for the expected accuracy, of estimators that need groups to decide too.

    Parameters
    ----------
    sensitive_columns : str, int, sequence of these or callable, default=None
        Columns of X that give the groups, or a callable ``X -> groups``, for estimators that need
        them and have no columns of their own. Not used where `sensitive_features` is passed.

    Returns
    -------
    scorer
        A callable ``scorer(estimator, X, y, *, sensitive_features=None, control_features=None,
        sample_weight=None)`` with values in [0, 1], as `disparity_scorer` returns it.

    See Also
    --------
    disparity_scorer : What fairness costs accuracy for.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from fairlearnkit.metrics import accuracy_scorer
    >>> X, y = np.zeros((4, 1)), [0, 1, 1, 1]
    >>> accuracy_scorer()(DummyClassifier().fit(X, y), X, y)
    0.75
    """
    return _AccuracyScorer(sensitive_columns=sensitive_columns)


def _expected_decisions(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    groups: Any,
    pos_label: Any = None,
    *,
    control_features: Any = None,
) -> tuple[Int, Float]:
    """Return true labels and the probability of being accepted, of any fitted classifier.

    Parameters
    ----------
    estimator : classifier
        A fitted classifier, pipeline or search.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        Rows to decide on.
    y : array-like of shape (n_samples,)
        True labels, of two kinds.
    groups : array-like of shape (n_samples,) or (n_samples, n_columns), or None
        Groups of the rows, for estimators that need them.
    pos_label : int, float, bool or str, default=None
        The label that counts as accepted; None means the estimator's, or the larger one.
    control_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
        Strata of the rows, for estimators that need them.

    Returns
    -------
    truth : ndarray of shape (n_samples,)
        1 where the label is the positive one, else 0.
    probability : ndarray of shape (n_samples,)
        Probability of being accepted; 0 or 1 where the estimator has no `decision_probability`.
    """
    truth = _true_labels(y, "y")
    last = _last_step(estimator)
    method = "decision_probability" if hasattr(last, "decision_probability") else "predict"
    given = _to_pass(
        last, method, {"sensitive_features": groups, "control_features": control_features}
    )
    if given or method == "decision_probability":
        response = getattr(last, method)(_before_last_step(estimator, X), **given)
    else:
        response = estimator.predict(X)
    decisions = checks.as_array(response)
    if method == "predict":
        decisions = decisions.ravel()
    known = getattr(last, "classes_", None)
    if known is None:
        known = np.union1d(truth, decisions)
    if pos_label is None:
        pos_label = getattr(last, "pos_label", None)
    classes, place = _two_classes(np.asarray(known), pos_label)
    positive = _is_positive(truth, classes, place)
    if method == "predict":
        return positive.astype(np.intp), (decisions == classes[place]).astype(float)
    return positive.astype(np.intp), decisions[:, place].astype(float)


def _true_labels(y: ArrayLike, name: str) -> NDArray[Any]:
    """Return labels as a one-dimensional array without missing values, or raise."""
    truth: NDArray[Any] = column_or_1d(checks.as_array(y))
    _check_no_missing(truth, name)
    return truth


def _is_positive(truth: NDArray[Any], classes: NDArray[Any], place: int) -> NDArray[np.bool_]:
    """Return which labels are the positive class of an estimator, or raise where some are none."""
    positive = np.asarray(truth == classes[place])
    if not (positive | (truth == classes[1 - place])).all():
        msg = (
            f"y must hold the classes that the estimator knows, {classes.tolist()}, got "
            f"{np.unique(truth)[:10].tolist()}."
        )
        raise ValueError(msg)
    return positive


def _known_groups(
    estimator: Any, X: Any, sensitive_features: Any, sensitive_columns: checks.Columns | None
) -> Any:
    """Return the groups of X: as passed, from columns, or from those of the estimator, or None."""
    if sensitive_features is not None:
        return sensitive_features
    if sensitive_columns is None:
        sensitive_columns = getattr(_last_step(estimator), "sensitive_columns", None)
        if sensitive_columns is None:
            return None
        X = _before_last_step(estimator, X)
    return checks.select_columns(
        checks.check_features(X, None), sensitive_columns, "sensitive_columns"
    )


def _groups_of(
    estimator: Any, X: Any, sensitive_features: Any, sensitive_columns: checks.Columns | None
) -> Any:
    """Return the groups of X as `_known_groups` does, or raise."""
    groups = _known_groups(estimator, X, sensitive_features, sensitive_columns)
    if groups is None:
        msg = f"Groups are needed, got none. {checks.HOW_TO_GIVE_GROUPS}"
        raise ValueError(msg)
    return groups


def _missing_of(estimator: Any, missing: str | None) -> str:
    """Return what to do with missing values among the groups: as asked, or as in `fit`."""
    if missing is not None:
        return missing
    return "group" if getattr(_last_step(estimator), "missing", None) == "group" else "error"


def _inner(estimator: Any) -> Any:
    """Return what a search or a frozen estimator holds, None where it is neither."""
    if isinstance(estimator, FrozenEstimator):
        return estimator.estimator
    return getattr(estimator, "best_estimator_", None)


def _last_step(estimator: Any) -> Any:
    """Return what decides: the last step of pipelines, within searches too."""
    if isinstance(estimator, Pipeline):
        return _last_step(estimator.steps[-1][1])
    inner = _inner(estimator)
    return estimator if inner is None else _last_step(inner)


def _before_last_step(estimator: Any, X: Any) -> Any:
    """Return X as the last step sees it: pipelines pass neither method nor groups on."""
    if isinstance(estimator, Pipeline):
        if len(estimator.steps) > 1:
            X = estimator[:-1].transform(X)
        return _before_last_step(estimator.steps[-1][1], X)
    inner = _inner(estimator)
    return X if inner is None else _before_last_step(inner, X)


def _to_pass(estimator: Any, method: str, features: Mapping[str, Any]) -> dict[str, Any]:
    """Return the features that a method takes and does not find in columns of its own."""
    takes = signature(getattr(estimator, method)).parameters
    routing = get_routing_for_object(estimator)
    requests = routing.predict.requests if isinstance(routing, MetadataRequest) else {}
    passed = {}
    for name, values in features.items():
        if values is None or name not in takes:
            continue
        # Strata are for those that decide by them.
        if name == "control_features" and not getattr(estimator, "_is_stratified", True):
            continue
        has_columns = getattr(estimator, name.replace("features", "columns"), None) is not None
        asked = requests.get(name)
        if (not has_columns) if asked is None else asked is not False:
            passed[name] = values
    return passed


class _BestWithin(BaseEstimator):
    def __init__(
        self,
        max_difference: Any = None,
        *,
        min_ratio: Any = None,
        score: str = "accuracy",
        disparity: str = "disparity",
    ) -> None:
        self.max_difference = max_difference
        self.min_ratio = min_ratio
        self.score = score
        self.disparity = disparity

    def __call__(self, cv_results: Mapping[str, Any]) -> int:
        """Return the index of the best candidate."""
        score = self._column(cv_results, self.score)
        disparity = self._column(cv_results, self.disparity)
        # Scorers return minus a difference, and a ratio as it is.
        if self.min_ratio is None:
            name, sign, bound = "max_difference", -1.0, self.max_difference
            remedy = "For ratios use best_within(min_ratio=...)."
        else:
            name, sign, bound = "min_ratio", 1.0, self.min_ratio
            remedy = "For ratios set min_ratio in the criterion of the disparity_scorer."
        if (sign * disparity < 0).any():
            msg = (
                f"{name} bounds scores of a disparity_scorer that are {'<' if sign < 0 else '>'}= "
                f"0, but those of {self.disparity!r} are {np.nanmin(disparity):.4g} to "
                f"{np.nanmax(disparity):.4g}. {remedy}"
            )
            raise ValueError(msg)
        # The rounding of a mean over folds decides nothing.
        within = np.flatnonzero((disparity >= sign * bound - 1e-9) & ~np.isnan(score))
        if len(within):
            order = np.lexsort((-disparity[within], -score[within]))
            return int(within[order[0]])
        known = ~np.isnan(score) & ~np.isnan(disparity)
        if not known.any():
            missing = [np.count_nonzero(np.isnan(column)) for column in (score, disparity)]
            msg = (
                f"No candidate has both scores: of {len(score)} candidates {missing[0]} have "
                f"{self.score!r} NaN and {missing[1]} have {self.disparity!r} NaN. A fold with "
                "rows of one group only has no disparity, and thresholds fitted without a group "
                "cannot decide about it: use folds that hold every group, such as those of a "
                "StratifiedKFold by group. Where a fit failed, error_score='raise' shows why."
            )
            raise InfeasibleConstraintError(msg)
        nearest = int(np.where(known, disparity, -np.inf).argmax())
        msg = (
            f"No candidate keeps the cross-validated disparity within {name}={bound:g}. The "
            f"closest, {cv_results['params'][nearest]}, has {abs(disparity[nearest]):.4g} with a "
            f"score of {score[nearest]:.4g}. Relax the bound, or search stricter knobs."
        )
        raise InfeasibleConstraintError(msg)

    def _column(self, cv_results: Mapping[str, Any], name: str) -> Float:
        key = f"mean_test_{name}"
        if key not in cv_results:
            there = [
                k.removeprefix("mean_test_") for k in cv_results if k.startswith("mean_test_")
            ]
            msg = (
                f"best_within looks for scores of the name {name!r}, got {there}. Name them in "
                "scoring={...}, or say their names: best_within(..., score=..., disparity=...)."
            )
            raise ValueError(msg)
        return np.asarray(cv_results[key], dtype=float)

    def __repr__(self) -> str:
        """Return the call that makes it."""
        return super().__repr__().replace("_BestWithin", "best_within", 1)


def best_within(
    max_difference: float | None = None,
    *,
    min_ratio: float | None = None,
    score: str = "accuracy",
    disparity: str = "disparity",
) -> Any:
    """Return a rule for ``GridSearchCV(refit=...)``: the best candidate within a bound.

    Parameters
    ----------
    max_difference : float, default=None
        Largest cross-validated disparity allowed, in [0, 1]: the mean over the folds.
    min_ratio : float, default=None
        Smallest ratio allowed, in [0, 1], in its place, for a `disparity_scorer` with ratios.
    score : str, default="accuracy"
        Name in ``scoring`` of the score to be best by.
    disparity : str, default="disparity"
        Name in ``scoring`` of the `disparity_scorer`.

    Returns
    -------
    callable
        Maps `cv_results_` to the index of the candidate with the highest mean score among those
        within the bound; of equal ones the more equal, then the first. Pickles and clones.

    Raises
    ------
    ValueError
        If not exactly one of the two bounds is given, or it is not in [0, 1].
    InfeasibleConstraintError
        In the search, if no candidate is within the bound. The message says which came closest.

    See Also
    --------
    disparity_scorer : The scorer that it reads.

    Notes
    -----
    The bound is on held-out folds and the knob is on training rows: a candidate whose knob is
    above the bound may keep it, and one below may miss it. The winner's disparity is the best of
    several estimates, hence optimistic; measure it again on rows that no candidate has seen.

    Examples
    --------
    >>> from fairlearnkit.metrics import best_within
    >>> rule = best_within(0.05)
    >>> results = {
    ...     "params": [{"C": 0.1}, {"C": 1.0}, {"C": 10.0}],
    ...     "mean_test_accuracy": [0.80, 0.83, 0.85],
    ...     "mean_test_disparity": [-0.01, -0.04, -0.09],
    ... }
    >>> rule(results)
    1
    >>> best_within(0.001)(results)
    Traceback (most recent call last):
        ...
    fairlearnkit.exceptions.InfeasibleConstraintError: No candidate keeps the cross-validated ...
    """
    given = {"max_difference": max_difference, "min_ratio": min_ratio}
    bounds = {name: value for name, value in given.items() if value is not None}
    if len(bounds) != 1:
        msg = f"best_within takes exactly one of max_difference and min_ratio, got {given}."
        raise ValueError(msg)
    for name, value in bounds.items():
        if not checks.is_number(value) or not 0 <= value <= 1:
            msg = f"{name} must be in [0, 1], got {value!r}."
            raise ValueError(msg)
    return _BestWithin(max_difference, min_ratio=min_ratio, score=score, disparity=disparity)
