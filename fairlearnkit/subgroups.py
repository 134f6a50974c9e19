"""The worst subgroup that attributes can describe, found on some rows and tested on others.

Groups that each attribute makes may all be served alike while a combination of them is not.
Nothing is fitted but the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from fairlearnkit import _validation as checks
from fairlearnkit._kernels.intervals import (
    cell_moments,
    counted_tails,
    difference_statistic,
    newcombe_interval,
    rates_of_cells,
)
from fairlearnkit._kernels.subgroup_search import (
    Points,
    Subgroup,
    all_subsets_bound,
    distinct,
    search,
)
from fairlearnkit._report import column_names, plain, rate_arrays, read_rows, wrapped
from fairlearnkit.constraints import SELECTION_RATE, Rate

__all__ = ["SubgroupAudit", "SubgroupCandidate", "SubgroupRule", "audit_subgroups"]

Float = NDArray[np.float64]
Int = NDArray[np.intp]

_SCHEMA, _VERSION = "fairlearnkit.audit_subgroups", 1
# Parts of the searched rows, by which the finding to test is chosen.
_N_FOLDS = 5
# Names in a condition, and terms of a linear rule, that are told.
_MOST_NAMES = 6
_MOST_TERMS = 4


class _Column(NamedTuple):
    """A sensitive attribute as levels, and as numbers for linear rules."""

    name: str
    labels: list[Any]
    is_ordered: bool
    centre: float
    scale: float

    def numbers(self, values: Sequence[Any]) -> Float:
        """Return values in standard units, shape (n_values,); 0 where there is no order."""
        if not self.is_ordered:
            return np.zeros(len(values))
        return (self._floats(values) - self.centre) / self.scale

    def allows(self, allowed: NDArray[np.bool_], values: Sequence[Any]) -> NDArray[np.bool_]:
        """Return which values meet the condition that `_levels_text` tells."""
        if not self.is_ordered:
            # Unknown categories are part of what is told by the categories that it leaves out.
            return np.append(allowed, _is_exclusion(allowed))[self._places(values)]
        number = self._floats(values)
        first, last = _named_ends(allowed)
        found = np.ones(len(number), dtype=bool)
        if first is not None:
            found &= number >= float(self.labels[first])
        if last is not None:
            found &= number <= float(self.labels[last])
        return found

    def worth(self, term: Float, values: Sequence[Any]) -> Float:
        """Return what values add to a linear score; unknown categories count as the largest."""
        if self.is_ordered:
            return np.asarray(term[0] * self.numbers(values))
        return np.append(term, 0.0)[self._places(values)]

    def _floats(self, values: Sequence[Any]) -> Float:
        try:
            return np.array([float(value) for value in values])
        except (TypeError, ValueError):
            msg = f"{self.name} must hold numbers, as it did in audit_subgroups, got {values[:5]}."
            raise ValueError(msg) from None

    def _places(self, values: Sequence[Any]) -> Int:
        """Return the level of each category, the number of levels where it is unknown."""
        place = {label: i for i, label in enumerate(self.labels)}
        kinds = {type(label) for label in self.labels}
        other = [value for value in values if value not in place and type(value) not in kinds]
        if other:
            msg = (
                f"{self.name} must hold categories of the kind known from audit_subgroups, such "
                f"as {self.labels[:5]}, got {other[:5]}. Write them as they were there."
            )
            raise ValueError(msg)
        return np.array([place.get(value, len(place)) for value in values], dtype=np.intp)


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
    _columns: tuple[_Column, ...] = field(default=(), init=False)
    _subgroup: Subgroup | None = field(default=None, init=False)

    @classmethod
    def _of(cls, subgroup: Subgroup, columns: Sequence[_Column], sizes: Sequence[Float]) -> Self:
        rule = cls(_rule_text(subgroup, columns, sizes), subgroup.oracle)
        object.__setattr__(rule, "_columns", tuple(columns))
        object.__setattr__(rule, "_subgroup", subgroup)
        return rule

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
            the rule was found. Numbers count by the ends that the rule names, categories unknown
            to it as none of those known, or in a linear rule as the largest.

        Returns
        -------
        ndarray of shape (n_samples,)
            Booleans.

        Raises
        ------
        ValueError
            If columns are not those of the rule, values are missing where none were, or are of
            another kind than those that the rule knows of the column.
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
        levels = []
        for column, part in zip(self._columns, parts, strict=True):
            own, labels = checks.factorize(part)
            if None in labels and None not in column.labels:
                msg = (
                    f"sensitive_features must not have missing values, got some in {column.name}."
                )
                raise ValueError(msg)
            levels.append((column, own, labels))
        check_consistent_length(*(own for _, own, _ in levels))
        n_rows = len(levels[0][1])
        if self._subgroup.terms:
            score = np.zeros(n_rows)
            for (column, own, labels), term in zip(levels, self._subgroup.terms, strict=True):
                score += column.worth(term, labels)[own]
            return np.asarray(score > self._subgroup.threshold)
        found = np.zeros(n_rows, dtype=bool)
        for box in self._subgroup.boxes:
            inside = np.ones(n_rows, dtype=bool)
            for (column, own, labels), allowed in zip(levels, box, strict=True):
                if not allowed.all():
                    inside &= column.allows(allowed, labels)[own]
            found |= inside
        return found


@dataclass(frozen=True, eq=False)
class SubgroupCandidate:
    """What one search found, measured on the rows where it was found.

    Attributes
    ----------
    rule : SubgroupRule
        Who is in the subgroup.
    aim : {"violation", "evidence"}
        What the search looked for: the largest violation, or the clearest difference of rates.
    violation : float
        Its violation: too large, since it was chosen.
    expected : float
        What such a search is worth on other rows: its cross-validated violation.
    """

    rule: SubgroupRule
    aim: str
    violation: float
    expected: float


@dataclass(frozen=True, eq=False, repr=False)
class SubgroupAudit:
    """The worst subgroup that `audit_subgroups` found, measured on rows that it was not found on.

    Prints as a summary.

    Attributes
    ----------
    rate : str
        Name of the rate.
    attributes : tuple of str
        What subgroups were made of.
    oracles : tuple of str
        Where they were looked for.
    max_depth : int
        Most attributes in a conjunction.
    rule : SubgroupRule
        Who is in the subgroup.
    candidates : tuple of SubgroupCandidate
        What every oracle found, the one that was tested first.
    limits : tuple of str
        What the search left out to keep its work bounded; empty where nothing was.
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
        Largest violation that any oracle found on the searched rows: optimistic.
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
    attributes: tuple[str, ...]
    oracles: tuple[str, ...]
    max_depth: int
    rule: SubgroupRule
    candidates: tuple[SubgroupCandidate, ...]
    limits: tuple[str, ...]
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
        name, chosen = self.rate.replace("_", " "), self.candidates[0]
        worst = max(self.candidates, key=lambda candidate: candidate.violation)
        lines = [f"Subgroup: {self.rule.text}"]
        if not self.share > 0:
            lines.append(
                f"none of {self.n_tested:,} tested rows is in it: there is nothing to test"
            )
        elif chosen.violation > 0:
            shown = "differs" if self.p_value < 1 - self.confidence else "is not shown to differ"
            lines += [
                f"{name} {self.value:.3f} against {self.rest:.3f} of all others: "
                f"{self.difference:+.3f} [{self.lower:+.3f}, {self.upper:+.3f}], {shown} "
                f"({_p_text(self.p_value)})",
                f"{self.rows:,} of {self.n_tested:,} tested rows, {self.share:.1%}; size-weighted "
                f"violation {self.violation:.4f} [{self.violation_lower:.4f}, "
                f"{self.violation_upper:.4f}]",
                f"Found by {self.rule.oracle} on {self.n_searched:,} other rows, with violation "
                f"{chosen.violation:.4f}, cross-validated {chosen.expected:.4f}",
            ]
        lines += [
            f"Largest violation found there {worst.violation:.4f} ({worst.rule.oracle}); no set "
            f"of attribute values exceeds {self.bound:.4f}",
            *(f"Limit of the search: {limit}" for limit in self.limits),
            "",
            "Violations where found, and cross-validated:",
        ]
        by_oracle: dict[str, SubgroupCandidate] = {}
        for candidate in self.candidates:
            if candidate.violation > 0:
                by_oracle.setdefault(candidate.rule.oracle, candidate)
        width = max(map(len, by_oracle), default=0)
        lines += [
            f"  {c.violation:.4f}  {c.expected:+.4f}  {oracle:<{width}}  {c.rule.text}"
            for oracle, c in by_oracle.items()
        ]
        return "\n".join(wrapped(line) for line in lines)

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
                    {
                        "rule": candidate.rule.text,
                        "oracle": candidate.rule.oracle,
                        "aim": candidate.aim,
                        "violation": candidate.violation,
                        "expected": candidate.expected,
                    }
                    for candidate in self.candidates
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
        thresholds of standardised numbers and indicators; unions of the leaves of small trees,
        and of categories of one column.
    max_depth : int, default=3
        Most attributes in a conjunction, >= 1; trees have this depth and at least 4.
    test_size : float, default=0.5
        Share of the rows to test on, in (0, 1).
    confidence : float, default=0.95
        Of the intervals, and of the limits that the choice is by, in (0, 1).
    pos_label : int, float, bool or str, default=None
        The label whose prediction counts as selection; None means the larger of the two.
    missing : {"error", "group"}, default="error"
        Whether missing values are an error, or a category of their own (in numbers always an
        error).
    random_state : int, RandomState instance or None, default=0
        Which rows are tested, and the folds of the others; shuffled within each label.

    Returns
    -------
    SubgroupAudit
        Prints as a summary; `rule` tells who is in the subgroup, of any rows.

    Raises
    ------
    ValueError
        If labels are not of two kinds, a part has no rows for the rate, all rows have the same
        attributes, or a parameter is out of its range.

    See Also
    --------
    audit : Groups and intersections that are given.

    Notes
    -----
    With the residuals ``R_i = s_i (v_i - mean v) / sum s`` of the rows that the rate is taken
    over, the violation of a subgroup is ``|sum of its R_i|``: linear in who belongs, so that
    auditing is weighted classification of the sign of the residuals. It is hard in the worst case
    [1]_; the oracles are heuristics, each followed by an exact search of its threshold. What
    another search would find is at most `bound`. Work is bounded, and linear in distinct attribute
    values; `limits` says what was left out for that.

    *What is tested.* The largest violation of many is too large where it was found, the more so
    the richer the search: in noise, deep trees beat every real subgroup of a few percent. So each
    oracle also looks for the clearest difference, by the likelihood ratio of scan statistics
    [3]_, and five folds of the searched rows tell what each search is worth on rows that it has
    not seen. Tested is the one whose cross-validated violation has the largest lower limit at
    simultaneous confidence; where none is above zero, the most significant. Rules of more than six
    conditions must be better than that by a standard error.

    *The test.* On the other rows the subgroup is fixed in advance: the p-value is that of one
    test, Fisher's with half of the outcome itself, or a score test where decisions are
    probabilities or rows weighted. It is valid whatever was searched, if rows are independent. Fix
    class and attributes before looking; a second audit on the same rows is a second test.

    *Power.* With four attributes, a rate of 0.6 in the subgroup and of 0.3 elsewhere, a planted
    conjunction is shown at level 0.05 in about nine of ten samples where it has 2 % of 10,000 rows
    or 4 % of 5,000, and in eight of ten where it has 8 % of 2,000: eighty to a hundred people in
    each half. Half-spaces are shown in seven to eight of ten.

    References
    ----------
    .. [1] M. Kearns, S. Neel, A. Roth, Z. S. Wu, "Preventing Fairness Gerrymandering: Auditing and
       Learning for Subgroup Fairness", ICML 2018, definitions 2.1 to 2.3.
    .. [2] M. Kearns, S. Neel, A. Roth, Z. S. Wu, "An Empirical Study of Rich Subgroup Fairness for
       Machine Learning", FAT* 2019.
    .. [3] M. Kulldorff, "A Spatial Scan Statistic", Communications in Statistics 26, 1997.

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
    sex is m and age >= 40; or sex is f and age <= 39
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
    rng = check_random_state(random_state)
    tested = _tested_rows(label, test_size, rng)
    for name, part in (("searched", ~tested), ("tested", tested)):
        if not (s * condition)[part].sum() > 0:
            msg = (
                f"The {rate.label} needs rows to be taken over in both parts, got none among the "
                f"{int(part.sum())} {name} rows. Give more rows or another test_size."
            )
            raise ValueError(msg)

    n_levels = tuple(len(column.labels) for column in columns)
    levels, place = distinct(codes, n_levels)
    if len(levels) < 2:
        msg = "sensitive_features must differ between rows, got the same attributes in all."
        raise ValueError(msg)
    weight = s * condition * ~tested / s[~tested].sum()
    fold = _folds(label, ~tested, rng)

    def by_point(values: Float) -> Float:
        return np.bincount(place, values, len(levels)).astype(np.float64)

    points = Points(
        codes=levels,
        n_levels=n_levels,
        ordered=tuple(column.is_ordered for column in columns),
        numbers=np.stack(
            [column.numbers(column.labels)[levels[:, j]] for j, column in enumerate(columns)],
            axis=1,
        ),
        mass=by_point(weight),
        total=by_point(weight * value),
    )
    folds = [
        (by_point(weight * (fold == k)), by_point(weight * value * (fold == k)))
        for k in range(_N_FOLDS)
    ]
    unit = float(weight @ weight / weight.sum())
    found, limits = search(points, folds, unit, tuple(oracles), max_depth, confidence)
    sizes = [
        np.bincount(levels[:, j], points.mass, n).astype(np.float64)
        for j, n in enumerate(n_levels)
    ]
    candidates = tuple(
        SubgroupCandidate(
            SubgroupRule._of(one.subgroup, columns, sizes),
            one.aim,
            abs(one.subgroup.total),
            one.expected,
        )
        for one in found
    )
    subgroup = found[0].subgroup
    member = subgroup.contains(levels, points.numbers)[place]
    return SubgroupAudit(
        rate=rate.name,
        attributes=tuple(column.name for column in columns),
        oracles=tuple(oracles),
        max_depth=int(max_depth),
        rule=candidates[0].rule,
        candidates=candidates,
        limits=tuple(limits),
        n_searched=int((~tested).sum()),
        n_tested=int(tested.sum()),
        searched_violation=max(candidate.violation for candidate in candidates),
        bound=all_subsets_bound(points.gain),
        confidence=float(confidence),
        **_tested_subgroup(
            member[tested],
            value[tested],
            condition[tested],
            s[tested],
            1.0 if subgroup.total >= 0 else -1.0,
            float(confidence),
        ),
    )


def _check_subgroup_options(
    rate: Any, oracles: Any, max_depth: Any, test_size: Any, confidence: Any, missing: Any
) -> None:
    if not isinstance(rate, Rate):
        msg = f"rate must be a Rate such as SELECTION_RATE, got {rate!r}."
        raise ValueError(msg)
    known = ("conjunction", "linear", "tree")
    is_some = isinstance(oracles, Sequence) and not isinstance(oracles, str) and len(oracles) > 0
    if not is_some or not all(oracle in known for oracle in oracles):
        msg = f"oracles must be one or more of {known} in a sequence, got {oracles!r}."
        raise ValueError(msg)
    if not isinstance(max_depth, Integral) or isinstance(max_depth, bool) or max_depth < 1:
        msg = f"max_depth must be a whole number of 1 or more, got {max_depth!r}."
        raise ValueError(msg)
    for name, value in (("test_size", test_size), ("confidence", confidence)):
        if not checks.is_number(value) or not 0 < value < 1:
            msg = f"{name} must be in (0, 1), got {value!r}."
            raise ValueError(msg)
    if missing not in ("error", "group"):
        msg = f"missing must be 'error' or 'group', got {missing!r}."
        raise ValueError(msg)


def _attribute_columns(values: Any, n_rows: int, missing: str) -> tuple[list[_Column], Int]:
    """Return the attributes, and the level of each in every row, shape (n_rows, n_columns)."""
    what = "sensitive_features"
    parts = checks._split_columns(values, what)
    if not parts:
        msg = f"{what} must have at least one column, got none."
        raise ValueError(msg)
    columns, codes = [], []
    for name, part in zip(column_names(values, len(parts)), parts, strict=True):
        own, labels = checks.encode_groups(part, n_rows, missing=missing, what=what)
        numeric = [label for label in labels if label is not None]
        is_ordered = bool(numeric) and all(checks.is_number(label) for label in numeric)
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


def _folds(label: Int, searched: NDArray[np.bool_], rng: Any) -> Int:
    """Return the fold of each searched row, the same share of each label; -1 elsewhere."""
    fold = np.full(len(label), -1)
    start = 0
    for kind in (0, 1):
        rows = rng.permutation(np.flatnonzero(searched & (label == kind)))
        fold[rows] = np.arange(start, start + len(rows)) % _N_FOLDS
        start += len(rows)
    return fold


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
    kept = condition & (s > 0)
    # What each row contributes to the violation, the estimated means included.
    weight = s * condition
    base, share = weight @ value / weight.sum(), weight @ member / weight.sum()
    contribution = sign * condition * (member - share) * (value - base)
    violation = float(s @ contribution / s.sum())
    error = np.sqrt(s**2 @ (contribution - violation) ** 2) / s.sum()
    half = float(ndtri(0.5 + confidence / 2) * error)
    return {
        "rows": int((kept & member).sum()),
        "share": float(weight @ member / s.sum()),
        "value": float(inside),
        "rest": float(outside),
        "difference": float(inside - outside),
        "lower": float(lower),
        "upper": float(upper),
        "violation": violation,
        "violation_lower": violation - half,
        "violation_upper": violation + half,
        "p_value": _p_value(value[kept], member[kept], s[kept], sign, statistic),
    }


def _p_value(
    value: Float, member: NDArray[np.bool_], s: Float, sign: float, statistic: float
) -> float:
    """Return how likely a difference as large in this direction is where there is none.

    Of decisions with equal weights by counting: given how many there are in all, those in the
    subgroup are hypergeometric, and the outcome itself counts half. Otherwise by the score test.
    """
    n_rows, n_inside = len(value), int(member.sum())
    if np.isnan(statistic) or not 0 < n_inside < n_rows:
        return 1.0
    if np.ptp(s) > 0 or not ((value == 0) | (value == 1)).all():
        return float(ndtr(-statistic))
    counted = value if sign > 0 else 1 - value
    _, more = counted_tails(int(counted[member].sum()), n_inside, int(counted.sum()), n_rows)
    return float(more)


def _rule_text(subgroup: Subgroup, columns: Sequence[_Column], sizes: Sequence[Float]) -> str:
    if subgroup.terms:
        return _linear_text(subgroup, columns, sizes)
    return "; or ".join(_box_text(box, columns, sizes) for box in subgroup.boxes)


def _box_text(box: Any, columns: Sequence[_Column], sizes: Sequence[Float]) -> str:
    parts = [
        _levels_text(column, allowed, size)
        for column, allowed, size in zip(columns, box, sizes, strict=True)
        if not allowed.all()
    ]
    return " and ".join(parts) if parts else "everyone"


def _levels_text(column: _Column, allowed: NDArray[np.bool_], size: Float) -> str:
    """Return a condition on one attribute in words."""
    if column.is_ordered:
        # The shortest text that is the very number.
        low, high = (
            "" if i is None else np.format_float_positional(float(column.labels[i]), trim="-")
            for i in _named_ends(allowed)
        )
        if low == high:
            return f"{column.name} = {low}"
        if not low:
            return f"{column.name} <= {high}"
        if not high:
            return f"{column.name} >= {low}"
        return f"{low} <= {column.name} <= {high}"
    if _is_exclusion(allowed):
        others = _listed_names(column, ~allowed, size)
        if len(others) == 2:
            return f"{column.name} is neither {others[0]} nor {others[1]}"
        return f"{column.name} is {'not' if len(others) == 1 else 'none of'} {_joined(others)}"
    return f"{column.name} is {_joined(_listed_names(column, allowed, size))}"


def _named_ends(allowed: NDArray[np.bool_]) -> tuple[int | None, int | None]:
    """Return the first and the last level of an interval; None where it is open.

    It is open where it holds the lowest or the highest known number, but for one number of two.
    """
    first, last = (int(i) for i in np.flatnonzero(allowed)[[0, -1]])
    highest = len(allowed) - 1
    if first == last and highest == 1:
        return first, last
    return (first if first > 0 else None), (last if last < highest else None)


def _is_exclusion(allowed: NDArray[np.bool_]) -> bool:
    """Whether a condition is told by the categories that it leaves out."""
    return bool(allowed.mean() > 0.5)


def _listed_names(column: _Column, chosen: NDArray[np.bool_], size: Float) -> list[str]:
    """Return the names of categories, the largest first; of many, how many others there are."""
    order = np.argsort(-size, kind="stable")
    names = [checks.listed_name(column.labels[i]) for i in order if chosen[i]]
    if len(names) > _MOST_NAMES:
        left = len(names) - _MOST_NAMES + 1
        names = [*names[: _MOST_NAMES - 1], f"{left} others"]
    return names


def _joined(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _linear_text(subgroup: Subgroup, columns: Sequence[_Column], sizes: Sequence[Float]) -> str:
    """Return a linear rule in the units of the attributes, its largest terms first."""
    terms: list[tuple[float, float, str]] = []
    threshold = subgroup.threshold
    for column, term, size in zip(columns, subgroup.terms, sizes, strict=True):
        if column.is_ordered:
            slope = float(term[0]) / column.scale
            threshold += slope * column.centre
            terms.append((abs(float(term[0])), slope, column.name))
            continue
        for worth in np.unique(term[term != 0]):
            names = _listed_names(column, term == worth, size)
            share = size[term == worth].sum() / size.sum()
            spread = abs(float(worth)) * np.sqrt(share * (1 - share))
            terms.append((spread, float(worth), f"[{column.name} is {_joined(names)}]"))
    terms = sorted((term for term in terms if term[1] != 0), key=lambda term: -term[0])
    scale = abs(terms[0][1]) if terms else 1.0
    shown = " ".join(f"{slope / scale:+.3g} {name}" for _, slope, name in terms[:_MOST_TERMS])
    left = len(terms) - _MOST_TERMS
    more = f" + {left} smaller terms" if left > 0 else ""
    return f"{shown or '0'}{more} > {threshold / scale:.3g}"
