"""The worst subgroup that attributes can describe, found on some rows and tested on others.

Groups that each attribute makes may all be served alike while a combination of them is not.
Nothing is fitted but the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri
from sklearn.utils import check_random_state

from fairlearnkit import _validation as checks
from fairlearnkit._kernels.intervals import (
    cell_moments,
    difference_statistic,
    newcombe_interval,
    rates_of_cells,
)
from fairlearnkit._kernels.subgroup_search import (
    Points,
    Subgroup,
    all_subsets_bound,
    distinct,
    worst_subgroups,
)
from fairlearnkit._report import column_names, is_number, plain, rate_arrays, read_rows
from fairlearnkit.constraints import SELECTION_RATE, Rate

__all__ = ["SubgroupAudit", "SubgroupRule", "audit_subgroups"]

Float = NDArray[np.float64]
Int = NDArray[np.intp]

_SCHEMA, _VERSION = "fairlearnkit.audit_subgroups", 1


class _Column(NamedTuple):
    """A sensitive attribute as levels, and as numbers for linear rules."""

    name: str
    labels: list[Any]
    is_ordered: bool
    centre: float
    scale: float

    @property
    def features(self) -> list[str]:
        """Names of its numbers: itself, or an indicator of each category."""
        if self.is_ordered:
            return [self.name]
        return [f"[{self.name} is {checks.group_name(label)}]" for label in self.labels]

    def design(self, codes: Int) -> Float:
        """Return its numbers, shape (n_rows, n_features), from codes; -1 is an unknown level."""
        if self.is_ordered:
            values = np.array([float(label) for label in self.labels])
            return ((values[codes] - self.centre) / self.scale)[:, None]
        return (codes[:, None] == np.arange(len(self.labels))).astype(float)


@dataclass(frozen=True, eq=False, repr=False)
class SubgroupRule:
    """Who belongs to a subgroup, in words and as a function of the attributes.

    Attributes
    ----------
    text : str
        The rule in words.
    oracle : str
        What found it.

    See Also
    --------
    audit_subgroups : Finds one.
    """

    text: str
    oracle: str
    _columns: tuple[_Column, ...] = field(default=(), repr=False)
    _subgroup: Subgroup | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return the rule in words."""
        return self.text

    def __repr__(self) -> str:
        """Return the rule in words."""
        return f"<SubgroupRule: {self.text}>"

    def contains(self, sensitive_features: Any) -> NDArray[np.bool_]:
        """Return which rows are in the subgroup.

        Parameters
        ----------
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
            The attributes: by their names where they have the rule's, else in the order in which
            the rule was found. Numbers between known ones count as the next known one below,
            categories unknown to the rule as none of them.

        Returns
        -------
        ndarray of shape (n_samples,)
            Booleans.
        """
        parts = checks._split_columns(sensitive_features, "sensitive_features")
        if len(parts) != len(self._columns) or self._subgroup is None:
            names = [column.name for column in self._columns]
            msg = f"sensitive_features must have the columns {names}, got {len(parts)}."
            raise ValueError(msg)
        given, own_names = (
            column_names(sensitive_features, len(parts)),
            [c.name for c in self._columns],
        )
        if sorted(given) == sorted(own_names):
            parts = [parts[given.index(name)] for name in own_names]
        elif hasattr(sensitive_features, "columns") or isinstance(sensitive_features, Mapping):
            msg = f"sensitive_features must have the columns {own_names}, got {given}."
            raise ValueError(msg)
        codes, design = [], []
        for column, part in zip(self._columns, parts, strict=True):
            own, labels = checks.factorize(part)
            if None in labels and None not in column.labels:
                msg = (
                    f"sensitive_features must not have missing values, got some in {column.name}."
                )
                raise ValueError(msg)
            if column.is_ordered:
                values = np.array([float(label) for label in labels])
                known = np.array([float(label) for label in column.labels])
                level = np.searchsorted(known, values, side="right") - 1
                codes.append(np.clip(level, 0, len(known) - 1)[own])
                design.append(((values - column.centre) / column.scale)[own][:, None])
            else:
                place = {label: i for i, label in enumerate(column.labels)}
                codes.append(np.array([place.get(label, -1) for label in labels])[own])
                design.append(column.design(codes[-1]))
        # Masks get a level more, the last, that stands for unknown ones: of a rule that excludes
        # categories it is a part.
        table = np.stack(codes, axis=1)
        boxes = tuple(
            tuple(
                allowed if column.is_ordered else np.append(allowed, allowed.mean() > 0.5)
                for allowed, column in zip(box, self._columns, strict=True)
            )
            for box in self._subgroup.boxes
        )
        return self._subgroup._replace(boxes=boxes).contains(table, np.hstack(design))


@dataclass(frozen=True, eq=False, repr=False)
class SubgroupAudit:
    """The worst subgroup that `audit_subgroups` found, measured on rows that it was not found on.

    Prints as a summary.

    Attributes
    ----------
    rate : str
        Name of the rate.
    rule : SubgroupRule
        Who is in the subgroup.
    candidates : tuple of (SubgroupRule, float)
        What every oracle found, with its violation where it was found, the largest first.
    n_searched, n_tested : int
        Rows of both parts.
    rows : int
        Tested rows in the subgroup that the rate is taken over.
    share : float
        Their share of all tested rows, by weight.
    value, rest : float
        The rate in the subgroup and of all others, on tested rows.
    difference, lower, upper : float
        Rate in the subgroup minus that of the others, with its interval.
    violation, violation_lower, violation_upper : float
        Share of the subgroup times how far its rate is from the overall one, on tested rows, with
        its interval; below 0 where tested rows differ in the other direction.
    searched_violation : float
        The same where the subgroup was found: optimistic.
    bound : float
        Largest violation there of any set of attribute values, readable or not.
    p_value : float
        Of no difference, one-sided in the direction found. One test: nothing to correct.
    confidence : float
        Of the intervals.

    See Also
    --------
    audit_subgroups : Makes one.
    """

    rate: str
    rule: SubgroupRule
    candidates: tuple[tuple[SubgroupRule, float], ...]
    n_searched: int
    n_tested: int
    rows: int
    share: float
    value: float
    rest: float
    difference: float
    lower: float
    upper: float
    violation: float
    violation_lower: float
    violation_upper: float
    searched_violation: float
    bound: float
    p_value: float
    confidence: float

    def __repr__(self) -> str:
        """Return the finding, in a line."""
        return (
            f"<SubgroupAudit: {self.rate.replace('_', ' ')} {self.value:.3f} against "
            f"{self.rest:.3f}, {_p_text(self.p_value)}: {self.rule.text}>"
        )

    def __str__(self) -> str:
        """Return what was found, where, and by what."""
        shown = "differs" if self.p_value < 1 - self.confidence else "is not shown to differ"
        lines = [
            f"Subgroup: {self.rule.text}",
            f"{self.rate.replace('_', ' ')} {self.value:.3f} against {self.rest:.3f} of all "
            f"others: {self.difference:+.3f} [{self.lower:+.3f}, {self.upper:+.3f}], "
            f"{shown} ({_p_text(self.p_value)})",
            f"{self.rows:,} of {self.n_tested:,} tested rows, {self.share:.1%}; size-weighted "
            f"violation {self.violation:.4f} [{self.violation_lower:.4f}, "
            f"{self.violation_upper:.4f}]",
            f"Found on {self.n_searched:,} other rows with violation "
            f"{self.searched_violation:.4f}; no set of attribute values exceeds {self.bound:.4f} "
            "there.",
            "By oracle:",
        ]
        width = max(len(rule.oracle) for rule, _ in self.candidates)
        lines += [
            f"  {violation:.4f}  {rule.oracle:<{width}}  {rule.text}"
            for rule, violation in self.candidates
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain numbers, strings, lists and dictionaries.

        Returns
        -------
        dict
            With ``schema`` and ``version``; rules as their text.
        """
        found: dict[str, Any] = {"schema": _SCHEMA, "version": _VERSION}
        for part in fields(self):
            if part.name == "rule":
                found["rule"], found["oracle"] = self.rule.text, self.rule.oracle
            elif part.name == "candidates":
                found["candidates"] = [
                    {"rule": rule.text, "oracle": rule.oracle, "violation": violation}
                    for rule, violation in self.candidates
                ]
            else:
                found[part.name] = plain(getattr(self, part.name))
        return found


def _p_text(p_value: float) -> str:
    """Return a p-value in words: normal tails are not to be trusted without end."""
    return "p < 1e-12" if p_value < 1e-12 else f"p = {p_value:.2g}"


def audit_subgroups(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sensitive_features: Any,
    rate: Rate = SELECTION_RATE,
    sample_weight: ArrayLike | None = None,
    oracles: Sequence[str] = ("conjunction", "linear", "tree"),
    max_depth: int = 3,
    test_size: float = 0.5,
    confidence: float = 0.95,
    pos_label: Any = None,
    missing: str = "error",
    random_state: Any = 0,
) -> SubgroupAudit:
    """Find the worst subgroup on one half of the rows and test it on the other.

    Groups that each attribute makes may all be served alike while some combination of attributes
    is not. This looks for the subgroup with the largest size-weighted violation: its share of the
    rows times how far its rate is from the overall one [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels, of two kinds.
    y_pred : array-like of shape (n_samples,) or (n_samples, 2)
        Decisions of any classifier, or the probability of each, as in `audit`.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The attributes that subgroups are made of. Numbers are ordered, so that intervals mean
        something; everything else is a category. Make categories stored as numbers strings.
    rate : Rate, default=SELECTION_RATE
        The rate to compare, such as ``FALSE_POSITIVE_RATE`` or ``FALSE_NEGATIVE_RATE`` of
        `fairlearnkit.constraints`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, >= 0.
    oracles : sequence of {"conjunction", "linear", "tree"}
        Where to look; by default everywhere. Conjunctions of categories and intervals; linear
        thresholds of standardised numbers and indicators; unions of the leaves of small trees.
    max_depth : int, default=3
        Most attributes in a conjunction, >= 1; trees have this depth and at least 4.
    test_size : float, default=0.5
        Share of the rows to test on, in (0, 1).
    confidence : float, default=0.95
        Of the intervals, in (0, 1).
    pos_label : int, float, bool or str, default=None
        The label whose prediction counts as selection; None means the larger of the two.
    missing : {"error", "group"}, default="error"
        Whether missing values are an error, or a category of their own (in numbers always an
        error).
    random_state : int, RandomState instance or None, default=0
        Which rows are tested; the shuffle is within each label.

    Returns
    -------
    SubgroupAudit
        Prints as a summary; `rule` tells who is in the subgroup, of any rows.

    Raises
    ------
    ValueError
        If labels are not of two kinds, a half has no rows for the rate, all rows have the same
        attributes, or a parameter is out of its range.

    See Also
    --------
    audit : Groups and intersections that are given.

    Notes
    -----
    With the residuals ``R_i = s_i (v_i - mean v) / sum s`` of the rows that the rate is taken
    over, the violation of a subgroup is ``|sum of its R_i|``: linear in who belongs, so that
    auditing is weighted classification of the sign of the residuals. It is hard in the worst case
    [1]_; the oracles are heuristics, each followed by an exact search of its threshold, and the
    largest violation wins. What another search would find is at most `bound`.

    The largest violation of many is too large where it was found. On the other rows the subgroup
    is fixed in advance: the p-value is that of one score test, valid whatever was searched, if
    rows are independent. Fix class and attributes before looking; a second audit on the same rows
    is a second test.

    References
    ----------
    .. [1] M. Kearns, S. Neel, A. Roth, Z. S. Wu, "Preventing Fairness Gerrymandering: Auditing and
       Learning for Subgroup Fairness", ICML 2018, definitions 2.1 to 2.3.
    .. [2] M. Kearns, S. Neel, A. Roth, Z. S. Wu, "An Empirical Study of Rich Subgroup Fairness for
       Machine Learning", FAT* 2019.

    Examples
    --------
    Half of the women and half of the men are accepted, half of the young and half of the old; but
    mostly young women and old men:

    >>> import numpy as np
    >>> from fairlearnkit import audit_subgroups
    >>> rng = np.random.default_rng(0)
    >>> sex, age = rng.choice(["f", "m"], 4000), rng.integers(20, 60, 4000)
    >>> y_pred = (rng.random(4000) < np.where((sex == "f") == (age < 40), 0.8, 0.2)).astype(int)
    >>> found = audit_subgroups(
    ...     rng.integers(2, size=4000), y_pred, sensitive_features={"sex": sex, "age": age}
    ... )
    >>> print(found.rule)
    sex is f and age <= 39; or sex is m and age >= 40
    >>> found.p_value < 0.001
    True
    """
    _check_subgroup_options(rate, oracles, max_depth, test_size, confidence, missing)
    positive, accepted = read_rows(y_true, y_pred, pos_label)
    n_rows = len(positive)
    weight = checks.check_weights(sample_weight, positive)
    s = np.ones(n_rows) if weight is None else weight
    columns, codes = _attribute_columns(sensitive_features, n_rows, missing)

    label = positive.astype(np.intp)
    counted, condition = rate._counted(), np.array(rate._condition())[label]
    base = counted[label, 0].astype(float)
    value = base + (counted[label, 1] - base) * accepted
    tested = _tested_rows(label, test_size, random_state)
    for name, part in (("searched", ~tested), ("tested", tested)):
        if not (s * condition)[part].sum() > 0:
            msg = (
                f"The {rate.label} needs rows to be taken over in both parts, got none among the "
                f"{int(part.sum())} {name} rows. Give more rows or another test_size."
            )
            raise ValueError(msg)

    levels, place = distinct(codes, tuple(len(column.labels) for column in columns))
    if len(levels) < 2:
        msg = "sensitive_features must differ between rows, got the same attributes in all."
        raise ValueError(msg)
    design = np.hstack([column.design(levels[:, j]) for j, column in enumerate(columns)])
    residual = _residuals(value, s * condition * ~tested, s[~tested].sum())

    def by_point(values: Float) -> Float:
        return np.bincount(place, values, len(levels)).astype(np.float64)

    points = Points(
        codes=levels,
        n_levels=tuple(len(column.labels) for column in columns),
        ordered=tuple(column.is_ordered for column in columns),
        design=design,
        gain=by_point(residual),
        above=by_point(np.maximum(residual, 0.0)),
        below=by_point(np.maximum(-residual, 0.0)),
        mass=by_point(s * condition * ~tested),
    )
    found = worst_subgroups(points, tuple(oracles), max_depth)
    rules = [
        SubgroupRule(_rule_text(subgroup, columns), subgroup.oracle, tuple(columns), subgroup)
        for subgroup in found
    ]
    member = found[0].contains(levels, design)[place]
    sign = 1.0 if found[0].total >= 0 else -1.0
    return SubgroupAudit(
        rate=rate.name,
        rule=rules[0],
        candidates=tuple(
            (rule, abs(subgroup.total)) for rule, subgroup in zip(rules, found, strict=True)
        ),
        n_searched=int((~tested).sum()),
        n_tested=int(tested.sum()),
        searched_violation=abs(found[0].total),
        bound=all_subsets_bound(points.gain),
        confidence=float(confidence),
        **_tested_subgroup(
            member[tested], value[tested], condition[tested], s[tested], sign, float(confidence)
        ),
    )


def _check_subgroup_options(
    rate: Any, oracles: Any, max_depth: Any, test_size: Any, confidence: Any, missing: Any
) -> None:
    if not isinstance(rate, Rate):
        msg = f"rate must be a Rate such as SELECTION_RATE, got {rate!r}."
        raise ValueError(msg)
    known = ("conjunction", "linear", "tree")
    if isinstance(oracles, str) or not oracles or not set(oracles) <= set(known):
        msg = f"oracles must be one or more of {known} in a sequence, got {oracles!r}."
        raise ValueError(msg)
    if not isinstance(max_depth, Integral) or isinstance(max_depth, bool) or max_depth < 1:
        msg = f"max_depth must be a whole number of 1 or more, got {max_depth!r}."
        raise ValueError(msg)
    for name, value in (("test_size", test_size), ("confidence", confidence)):
        if not is_number(value) or not 0 < value < 1:
            msg = f"{name} must be in (0, 1), got {value!r}."
            raise ValueError(msg)
    if missing not in ("error", "group"):
        msg = f"missing must be 'error' or 'group', got {missing!r}."
        raise ValueError(msg)


def _attribute_columns(values: Any, n_rows: int, missing: str) -> tuple[list[_Column], Int]:
    """Return the attributes, and the level of each in every row, shape (n_rows, n_columns)."""
    what = "sensitive_features"
    parts = checks._split_columns(values, what)
    columns, codes = [], []
    for name, part in zip(column_names(values, len(parts)), parts, strict=True):
        own, labels = checks.encode_groups(part, n_rows, missing=missing, what=what)
        numeric = [label for label in labels if label is not None]
        is_ordered = bool(numeric) and all(is_number(label) for label in numeric)
        if is_ordered and None in labels:
            msg = (
                f"Numbers in sensitive_features must not be missing, got some in {name}. Fill "
                "them in, or put the numbers into named classes."
            )
            raise ValueError(msg)
        if is_ordered and not np.isfinite(np.array(numeric, dtype=float)).all():
            msg = f"Numbers in sensitive_features must be finite, got infinite ones in {name}."
            raise ValueError(msg)
        centre, scale = 0.0, 1.0
        if is_ordered:
            numbers = np.array([float(label) for label in labels])[own]
            centre, scale = float(numbers.mean()), float(numbers.std()) or 1.0
        columns.append(_Column(name, labels, is_ordered, centre, scale))
        codes.append(own)
    return columns, np.stack(codes, axis=1)


def _tested_rows(label: Int, test_size: float, random_state: Any) -> NDArray[np.bool_]:
    """Return which rows to test on, the same share of each label."""
    rng = check_random_state(random_state)
    tested = np.zeros(len(label), dtype=bool)
    for kind in (0, 1):
        rows = rng.permutation(np.flatnonzero(label == kind))
        tested[rows[: round(test_size * len(rows))]] = True
    return tested


def _residuals(value: Float, weight: Float, total: float) -> Float:
    """Return weighted residuals from the mean, as shares of the total weight."""
    return np.asarray(weight * (value - weight @ value / weight.sum()) / total)


def _tested_subgroup(
    member: NDArray[np.bool_],
    value: Float,
    condition: NDArray[np.bool_],
    s: Float,
    sign: float,
    confidence: float,
) -> dict[str, Any]:
    """Return what tested rows say of a subgroup that was fixed before."""
    nothing = np.zeros(int(condition.sum()), dtype=np.intp)
    unit = (~member[condition]).astype(np.intp)
    cells = cell_moments(value[condition], nothing, unit, s[condition], 2)
    found = rates_of_cells(cells, *rate_arrays([SELECTION_RATE]))
    inside, outside = found.rate[0]
    sides = inside, found.effective[0, 0], outside, found.effective[0, 1]
    lower, upper = newcombe_interval(*sides, confidence)
    statistic = sign * float(difference_statistic(*sides))
    # What each row contributes to the violation, the estimated means included.
    weight = s * condition
    base, share = weight @ value / weight.sum(), weight @ member / weight.sum()
    contribution = sign * condition * (member - share) * (value - base)
    violation = float(s @ contribution / s.sum())
    error = np.sqrt(s**2 @ (contribution - violation) ** 2) / s.sum()
    half = float(ndtri(0.5 + confidence / 2) * error)
    return {
        "rows": int((condition & member & (s > 0)).sum()),
        "share": float(weight @ member / s.sum()),
        "value": float(inside),
        "rest": float(outside),
        "difference": float(inside - outside),
        "lower": float(lower),
        "upper": float(upper),
        "violation": violation,
        "violation_lower": violation - half,
        "violation_upper": violation + half,
        "p_value": 1.0 if np.isnan(statistic) else float(ndtr(-statistic)),
    }


def _rule_text(subgroup: Subgroup, columns: Sequence[_Column]) -> str:
    if subgroup.boxes:
        return "; or ".join(_box_text(box, columns) for box in subgroup.boxes)
    return _linear_text(subgroup, columns)


def _box_text(box: Any, columns: Sequence[_Column]) -> str:
    parts = [
        _levels_text(column, allowed)
        for column, allowed in zip(columns, box, strict=True)
        if not allowed.all()
    ]
    return " and ".join(parts) if parts else "everyone"


def _levels_text(column: _Column, allowed: NDArray[np.bool_]) -> str:
    """Return a condition on one attribute in words."""
    if column.is_ordered:
        first, last = np.flatnonzero(allowed)[[0, -1]]
        # The shortest text that is the very number.
        low, high = (
            np.format_float_positional(float(column.labels[i]), trim="-") for i in (first, last)
        )
        if first == 0:
            return f"{column.name} <= {high}"
        if last == len(allowed) - 1:
            return f"{column.name} >= {low}"
        return f"{column.name} = {low}" if first == last else f"{low} <= {column.name} <= {high}"
    names = [checks.group_name(label) for label in column.labels]
    named = [name for name, is_in in zip(names, allowed, strict=True) if is_in]
    others = [name for name, is_in in zip(names, allowed, strict=True) if not is_in]
    if len(named) <= len(others):
        return f"{column.name} is {' or '.join(named)}"
    return f"{column.name} is not {' or '.join(others)}"


def _linear_text(subgroup: Subgroup, columns: Sequence[_Column], most: int = 6) -> str:
    """Return a linear rule in the units of the attributes, its largest terms first."""
    names = [name for column in columns for name in column.features]
    spread = [column for column in columns for _ in column.features]
    weights = np.asarray(subgroup.weights)
    size = float(np.abs(weights).max()) or 1.0
    threshold = subgroup.threshold / size
    terms: list[str] = []
    for i in np.argsort(-np.abs(weights), kind="stable"):
        slope = weights[i] / size / spread[i].scale
        threshold += slope * spread[i].centre
        if slope and len(terms) < most:
            terms.append(f"{slope:+.3g} {names[i]}")
    left = int(np.count_nonzero(weights)) - len(terms)
    more = f" + {left} smaller terms" if left > 0 else ""
    return f"{' '.join(terms)}{more} > {threshold:.3g}"
