"""Rates, gaps, counts and intervals by group in one report, with verdicts in words.

An audit says what the counts can bear: that a gap exceeds a bound, that it is within it, or that
these rows cannot tell, and how many more would. Nothing is fitted.
"""

from __future__ import annotations

import html
import importlib
import json
import warnings
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import combinations
from math import prod
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from fairlearnkit import _validation as checks
from fairlearnkit import metrics
from fairlearnkit._base import learner_score
from fairlearnkit._kernels.intervals import (
    CellMoments,
    Comparisons,
    Rates,
    area_under_curve,
    benjamini_hochberg,
    bootstrap_cells,
    cell_moments,
    clearest,
    compare_pairs,
    compare_with_rest,
    critical_value,
    detectable_gap,
    difference_p_values,
    disparities,
    equal_noise_floor,
    equality_p_values,
    exact_gap_limits,
    exact_interval,
    exact_p_values,
    holm,
    largest_gap_limits,
    minimum_detectable_difference,
    pooled_rate,
    rates_of_cells,
    rates_of_draws,
    ratio_p_values,
    rows_needed,
    smallest_ratio_limits,
    studentised_maximum,
    wilson_interval,
)
from fairlearnkit._report import (
    column_names,
    plain,
    rate_arrays,
    read_rows,
    wrapped,
)
from fairlearnkit.constraints import (
    ERROR_RATE,
    FALSE_POSITIVE_RATE,
    SELECTION_RATE,
    TRUE_POSITIVE_RATE,
    Criterion,
    DemographicParity,
    EqualizedOdds,
    ErrorRateParity,
    Rate,
)
from fairlearnkit.exceptions import DegenerateGroupWarning

__all__ = [
    "AuditReport",
    "CriterionFinding",
    "GroupRate",
    "GroupScore",
    "Resamples",
    "ScoreBin",
    "audit",
    "audit_estimator",
]

Float = NDArray[np.float64]
Int = NDArray[np.intp]
_Needed = tuple[tuple[str, int], ...]

_RATES = (SELECTION_RATE, TRUE_POSITIVE_RATE, FALSE_POSITIVE_RATE, ERROR_RATE)
_SCHEMA, _VERSION = "fairlearnkit.audit", 1
# Below so many rows a rate is marked as resting on few.
_FEW_ROWS = 10
# Numeric columns of so many values with fewer rows than that each are measurements, not groups.
_MANY_VALUES = 100
_MANY_TEXTS = 1000
# Columns that are crossed unasked: 63 attributes, with verdicts on each.
_MANY_COLUMNS = 6
# Rows that nobody will ever have: who needs more is at the bound.
_MOST_ROWS = 1e9
_N_DRAWS = 1000
_N_BINS = 10
# Groups of one attribute that a printed table shows; frames and pages show all.
_PRINTED = 40
_ADJUST = {"holm": holm, "bh": benjamini_hochberg}


@dataclass(frozen=True)
class GroupRate:
    """One rate of one group.

    Attributes
    ----------
    attribute : str
        What makes the groups: a column, or several as in ``"sex x race"``.
    group : object
        The group's label; a tuple where several columns make it.
    rate : str
        Name of the rate.
    rows : int
        Rows that it is taken over.
    value, lower, upper : float
        The rate and its interval, in [0, 1]; NaN without rows.
    rest : float
        The rate of all other rows.
    p_value : float
        Of no difference from the rest, adjusted for all groups and rates of the report.
    flagged : bool
        Whether it is below one minus the confidence.
    detectable : float
        Smallest true difference from the rest that would be flagged at these counts, if it were
        the only one; by the normal approximation, too small for rare rates of few rows.
    note : str
        ``"no rows"``, ``"few rows"``, or ``"uneven weights"`` where many rows weigh as few, where
        it applies.
    """

    attribute: str
    group: Any
    rate: str
    rows: int
    value: float
    lower: float
    upper: float
    rest: float
    p_value: float
    flagged: bool
    detectable: float
    note: str


@dataclass(frozen=True)
class CriterionFinding:
    """How unequal groups are by one criterion, and what can be said of its bound.

    Where fewer than two groups have one of its rates, the other rates alone may show that the
    bound is exceeded; the numbers are then theirs, with limits that leave open what is not known.
    Otherwise such a finding is undefined, and its numbers are NaN.

    Attributes
    ----------
    attribute : str
        What makes the groups.
    criterion : str
        The criterion as written.
    difference, difference_lower, difference_upper : float
        Largest gap and the limits of the true one.
    ratio, ratio_lower, ratio_upper : float
        Smallest ratio and the limits of the true one; 0/0 counts as 1.
    rate : str
        The rate that the largest gap is in (the smallest ratio, where the bound is one).
    highest, lowest : object
        The two groups; ``"overall"`` stands for all rows. A verdict that rests on another pair,
        since these have few rows, names it.
    noise_floor : float
        What the bounded number would be on average if all groups had the same true rates.
    detectable : float
        Smallest true gap between these two groups that these counts would show, by the test of
        all groups and rates that the verdict goes by.
    bound_name : {"max_difference", "min_ratio"}
        Which number the bound is on.
    bound : float
        The bound.
    decision : {"exceeds", "within", "unclear", "undefined"}
        What is shown at a level of one minus the confidence.
    p_exceeds, p_within : float
        p-values of both; the first corrected for the number of comparisons.
    certified : float
        The bound that the gap is shown to be within, or the ratio to reach: the one-sided limit
        that the verdict "within" goes by.
    needed : tuple of (str, int)
        Further rows by group, the most first, with which the verdict would come with the wanted
        power, if true rates were those seen: "exceeds" where what is seen is beyond the bound,
        and "within", which all pairs must pass at once, where it is not. Empty where no number of
        rows would tell.
    verdict : str
        The decision in words.
    """

    attribute: str
    criterion: str
    difference: float
    difference_lower: float
    difference_upper: float
    ratio: float
    ratio_lower: float
    ratio_upper: float
    rate: str
    highest: Any
    lowest: Any
    noise_floor: float
    detectable: float
    bound_name: str
    bound: float
    decision: str
    p_exceeds: float
    p_within: float
    certified: float
    needed: _Needed
    verdict: str


@dataclass(frozen=True)
class ScoreBin:
    """Rows of one group with scores in one interval.

    Attributes
    ----------
    above, up_to : float
        Ends of the interval, of which the first is excluded, but for 0.
    rows : int
        Rows in it.
    mean_score : float
        Their mean score; NaN without rows.
    positive_rate, lower, upper : float
        Share of positive labels among them, with its interval.
    """

    above: float
    up_to: float
    rows: int
    mean_score: float
    positive_rate: float
    lower: float
    upper: float


@dataclass(frozen=True)
class GroupScore:
    """How well scores rank and how well they are calibrated in one group.

    Attributes
    ----------
    attribute : str
        What makes the groups.
    group : object
        The group's label.
    rows : int
        Its rows.
    auc, auc_lower, auc_upper : float
        Area under the ROC curve and its interval; NaN where a label is missing.
    mean_score, positive_rate : float
        Means of scores and of labels.
    excess, excess_lower, excess_upper : float
        Mean score minus the share of positive labels, with its interval: above 0 scores promise
        too much.
    bins : tuple of ScoreBin
        Labels by score.
    """

    attribute: str
    group: Any
    rows: int
    auc: float
    auc_lower: float
    auc_upper: float
    mean_score: float
    positive_rate: float
    excess: float
    excess_lower: float
    excess_upper: float
    bins: tuple[ScoreBin, ...]


@dataclass(frozen=True, eq=False)
class Resamples:
    """Rates and gaps of resampled rows, as `AuditReport.resample` returns them.

    Attributes
    ----------
    groups : ndarray of shape (n_groups,)
        Groups of the attribute.
    rates : dict of str to ndarray of shape (n_resamples, n_groups)
        Each rate by group; NaN where a resample has no row for it.
    difference, ratio : dict of str to ndarray of shape (n_resamples,)
        Largest gap and smallest ratio of each rate.
    """

    groups: NDArray[Any]
    rates: dict[str, Float]
    difference: dict[str, Float]
    ratio: dict[str, Float]


class _Attribute(NamedTuple):
    """One way to divide the rows into groups."""

    name: str
    labels: list[Any]
    cells: CellMoments


@dataclass(frozen=True, eq=False, repr=False)
class AuditReport:
    """What `audit` found; prints as tables with a verdict per criterion.

    Attributes
    ----------
    n_rows : int
        Rows audited, without those of weight 0.
    confidence : float
        Of intervals; verdicts and flags are at a level of one minus it.
    power : float
        Chance of being found, that detectable gaps and needed rows stand for.
    interval : {"score", "exact"}
        Kind of the intervals.
    simultaneous : bool
        Whether the intervals of an attribute's rates hold all at once.
    decisions : {"decisions", "probabilities", "weighted"}
        Whether decisions were 0 and 1 with equal weights, probabilities, or weighted.
    attributes : tuple of str
        What the groups were made by: each column, and columns together.
    rates : tuple of GroupRate
        Every rate of every group.
    criteria : tuple of CriterionFinding
        Every criterion for every attribute.
    scores : tuple of GroupScore
        Ranking and calibration by group; empty without scores.
    notes : tuple of str
        Cells that are empty or small.

    See Also
    --------
    audit : Makes one from labels and decisions.
    audit_estimator : Makes one of a classifier.
    """

    n_rows: int
    confidence: float
    power: float
    interval: str
    simultaneous: bool
    decisions: str
    attributes: tuple[str, ...]
    rates: tuple[GroupRate, ...]
    criteria: tuple[CriterionFinding, ...]
    scores: tuple[GroupScore, ...]
    notes: tuple[str, ...]
    _cells: tuple[_Attribute, ...] = field(default=(), repr=False)
    _rates: tuple[Rate, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        """Return what was audited, in a line."""
        shown = [finding.decision for finding in self.criteria]
        counts = ", ".join(
            f"{shown.count(decision)} {word}"
            for decision, word in _DECISIONS.items()
            if decision in shown
        )
        return (
            f"<AuditReport: {self.n_rows:,} rows by {', '.join(self.attributes)}; "
            f"{len(self.criteria)} verdicts: {counts}>"
        )

    def __str__(self) -> str:
        """Return tables of rates, then of criteria with their verdicts."""
        parts = []
        for attribute in self.attributes:
            parts.append(_text_table(*self._rate_table(attribute, _PRINTED)))
            for finding in self.criteria:
                if finding.attribute == attribute:
                    parts.append(_finding_text(finding))
            table = self._score_table(attribute, _PRINTED)
            if table[1]:
                parts.append(_text_table(*table))
        parts.append("\n".join(map(wrapped, self._explanation())))
        if self.notes:
            more = f"\n- and {len(self.notes) - 10} more" if len(self.notes) > 10 else ""
            notes = "\n".join(wrapped(f"- {note}") for note in self.notes[:10])
            parts.append(f"Notes:\n{notes}{more}")
        return "\n\n".join(parts)

    def _explanation(self) -> tuple[str, ...]:
        kind = "Simultaneous " if self.simultaneous else ""
        return (
            f"{kind}{100 * self.confidence:.4g}% intervals in brackets; * differs from all others "
            f"(adjusted p < {1 - self.confidence:.2g}); ? few rows or uneven weights.",
            f"Verdicts are at a level of {1 - self.confidence:.2g}: a gap within a bound is shown "
            f"by the {100 * (2 * self.confidence - 1):.4g}% interval. They hold for people drawn "
            "as these rows were.",
            f"More rows would tell with a chance of {100 * self.power:.4g}%, if true rates are "
            "those seen.",
        )

    def _rate_table(self, attribute: str, most: int) -> tuple[list[str], list[list[str]]]:
        found = [rate for rate in self.rates if rate.attribute == attribute]
        names = list(dict.fromkeys(rate.rate for rate in found))
        lines: dict[Any, list[str]] = {}
        total = dict.fromkeys(dict.fromkeys(rate.group for rate in found), 0)
        for part in self._cells:
            if part.name == attribute:
                counts = part.cells.rows.sum(axis=1)
                total = {g: round(n) for g, n in zip(part.labels, counts, strict=True)}
        for rate in found:
            line = lines.setdefault(
                rate.group, [checks.group_name(rate.group), f"{total[rate.group]:,}"]
            )
            if np.isnan(rate.value):
                line.append("no rows")
                continue
            mark = ("*" if rate.flagged else "") + ("?" if rate.note else "")
            line.append(f"{rate.value:.3f} [{rate.lower:.3f}, {rate.upper:.3f}]{mark:<2}")
        heading = [attribute, "rows", *(name.replace("_", " ") for name in names)]
        shown = list(lines.values())
        if len(shown) > most:
            dots = [f"... {len(shown) - most} more", *[""] * (len(heading) - 1)]
            shown = [*shown[:most], dots]
        return heading, shown

    def _score_table(self, attribute: str, most: int) -> tuple[list[str], list[list[str]]]:
        found = [score for score in self.scores if score.attribute == attribute]
        heading = [attribute, "rows", "AUC", "mean score", "positive rate", "score - rate"]
        lines = [
            [
                checks.group_name(score.group),
                f"{score.rows:,}",
                "one label only"
                if np.isnan(score.auc)
                else f"{score.auc:.3f} [{score.auc_lower:.3f}, {score.auc_upper:.3f}]",
                f"{score.mean_score:.3f}",
                f"{score.positive_rate:.3f}",
                f"{score.excess:+.3f} [{score.excess_lower:+.3f}, {score.excess_upper:+.3f}]",
            ]
            for score in found
        ]
        if len(lines) > most:
            lines = [*lines[:most], [f"... {len(lines) - most} more", *[""] * 5]]
        return heading, lines

    def to_frame(self, part: str = "rates") -> Any:
        """Return one part of the report as a data frame.

        Parameters
        ----------
        part : {"rates", "criteria", "scores", "bins"}, default="rates"
            Rates by group, findings by criterion, scores by group, or labels by score.

        Returns
        -------
        pandas.DataFrame
            One row per finding; columns are its attributes.
        """
        pd = checks.import_pandas("to_frame")
        if part not in ("rates", "criteria", "scores", "bins"):
            msg = f"part must be 'rates', 'criteria', 'scores' or 'bins', got {part!r}."
            raise ValueError(msg)
        if part == "bins":
            rows = [
                {"attribute": s.attribute, "group": checks.group_name(s.group), **vars(b)}
                for s in self.scores
                for b in s.bins
            ]
            return pd.DataFrame(rows)
        rows = []
        for finding in getattr(self, part):
            row = {key: value for key, value in vars(finding).items() if key != "bins"}
            for key in {"group", "highest", "lowest"} & set(row):
                row[key] = checks.group_name(row[key])
            rows.append(row)
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain numbers, strings, lists and dictionaries.

        Returns
        -------
        dict
            With ``schema`` and ``version``; the version grows when a key goes or changes its
            meaning. What is not defined is None. Groups are lists where several columns make them.
        """
        found = {"schema": _SCHEMA, "version": _VERSION}
        for part in fields(self):
            if not part.name.startswith("_"):
                found[part.name] = plain(getattr(self, part.name))
        return found

    def to_json(self, *, indent: int | None = None) -> str:
        """Return `to_dict` as JSON.

        Parameters
        ----------
        indent : int, default=None
            Spaces per level; None writes one line.

        Returns
        -------
        str
            Valid JSON, without NaN.
        """
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    def plot(self, attribute: str | None = None, *, ax: Any = None) -> Any:
        """Draw the rates of the groups of one attribute; needs matplotlib.

        Parameters
        ----------
        attribute : str, default=None
            One of `attributes`; None means the first.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        GroupRatesDisplay
            What was drawn, with its artists.
        """
        return self._display(attribute).plot(ax)

    def _display(self, attribute: str | None) -> Any:
        # By name: pictures are made of audits, so that this module cannot import that one.
        display = importlib.import_module("fairlearnkit.display")
        part = self._part(attribute)
        found = [rate for rate in self.rates if rate.attribute == part.name]
        names = [rate.name for rate in self._rates]
        by_name = {name: [rate for rate in found if rate.rate == name] for name in names}
        values = {name: np.array([r.value for r in by_name[name]]) for name in names}
        everyone = part.cells.merged(np.zeros(len(part.labels), dtype=np.intp), 1)
        overall = rates_of_cells(everyone, *rate_arrays(self._rates)).rate[:, 0]
        difference, ratio = disparities(np.array(list(values.values())))
        rates = metrics.GroupRates(
            part.labels,
            part.cells.rows.sum(axis=1).astype(np.intp),
            values,
            dict(zip(names, overall.tolist(), strict=True)),
            dict(zip(names, difference.tolist(), strict=True)),
            dict(zip(names, ratio.tolist(), strict=True)),
        )
        return display.GroupRatesDisplay(
            rates,
            {name: np.array([r.rows for r in by_name[name]]) for name in names},
            {name: np.array([r.lower for r in by_name[name]]) for name in names},
            {name: np.array([r.upper for r in by_name[name]]) for name in names},
            confidence=self.confidence,
        )

    def _part(self, attribute: str | None) -> _Attribute:
        name = self.attributes[0] if attribute is None else attribute
        for part in self._cells:
            if part.name == name:
                return part
        msg = f"attribute must be one of {list(self.attributes)}, got {attribute!r}."
        raise ValueError(msg)

    def resample(
        self,
        n_resamples: int = 1000,
        *,
        attribute: str | None = None,
        random_state: Any = 0,
    ) -> Resamples:
        """Return rates and gaps of resampled rows, without touching a row.

        Counts of rows drawn with replacement are multinomial over the cells (group, label,
        decision): what takes a bootstrap over rows minutes takes milliseconds. With weights or
        probabilities the sums within a cell are drawn as normal with the moments of the cell.

        The quantiles of a resampled *largest* gap are no interval of the true one: where true
        rates are nearly equal they miss it, always on the same side. Take the limits of
        `criteria`.

        Parameters
        ----------
        n_resamples : int, default=1000
            Number of resamples, > 0.
        attribute : str, default=None
            One of `attributes`; None means the first.
        random_state : int, RandomState instance or None, default=0
            Source of the draws.

        Returns
        -------
        Resamples
            Rates by group, gaps and ratios of each resample.
        """
        if not isinstance(n_resamples, Integral) or n_resamples < 1:
            msg = f"n_resamples must be a whole number above 0, got {n_resamples!r}."
            raise ValueError(msg)
        part = self._part(attribute)
        seed = check_random_state(random_state).randint(2**31 - 1)
        draws = _resampled_rates(
            part.cells, self._rates, int(n_resamples), seed, self.decisions == "decisions"
        )
        difference, ratio = disparities(draws)
        names = [rate.name for rate in self._rates]
        return Resamples(
            checks.label_array(part.labels),
            {name: draws[:, i] for i, name in enumerate(names)},
            {name: difference[:, i] for i, name in enumerate(names)},
            {name: ratio[:, i] for i, name in enumerate(names)},
        )

    def to_html(self, *, title: str = "Fairness audit") -> str:
        """Return the report as one self-contained page for a reviewer.

        Tables, verdicts and notes; with matplotlib installed also a picture per attribute, kept
        inside the page. It loads nothing and runs nothing.

        Parameters
        ----------
        title : str, default="Fairness audit"
            Title of the page.

        Returns
        -------
        str
            HTML.
        """
        parts = [f"<h1>{html.escape(title)}</h1>", self._html_summary()]
        for attribute in self.attributes:
            parts.append(f"<h2>By {html.escape(attribute)}</h2>")
            for finding in self.criteria:
                if finding.attribute == attribute:
                    parts.append(_finding_html(finding))
            parts.append(_html_table(*self._rate_table(attribute, 10**9)))
            picture = self._picture(attribute)
            if picture:
                parts.append(
                    f'<img alt="Rates by {html.escape(attribute)} with intervals" '
                    f'src="data:image/png;base64,{picture}">'
                )
            table = self._score_table(attribute, 10**9)
            if table[1]:
                parts.append("<h3>Scores: ranking and calibration</h3>")
                parts.append(_html_table(*table))
                parts.append(self._html_bins(attribute))
        if self.notes:
            items = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
            parts.append(f"<h2>Small and empty cells</h2><ul>{items}</ul>")
        explanation = "<br>".join(map(html.escape, self._explanation()))
        parts.append(f'<p class="small">{explanation}</p>')
        body = "\n".join(parts)
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
            f"<body>\n{body}\n</body></html>\n"
        )

    def _html_summary(self) -> str:
        items = "".join(
            f'<li class="{finding.decision}"><b>{html.escape(finding.criterion)}</b> by '
            f"{html.escape(finding.attribute)}: {html.escape(finding.verdict)}</li>"
            for finding in self.criteria
        )
        kind = {
            "decisions": "decisions",
            "probabilities": "probabilities of decisions",
            "weighted": "weighted rows",
        }[self.decisions]
        return f"<p>{self.n_rows:,} rows, {kind}.</p><ul>{items}</ul>"

    def _html_bins(self, attribute: str) -> str:
        heading = [attribute, "scores", "rows", "mean score", "positive rate"]
        lines = [
            [
                checks.group_name(score.group),
                f"{b.above:g} to {b.up_to:g}",
                f"{b.rows:,}",
                f"{b.mean_score:.3f}",
                f"{b.positive_rate:.3f} [{b.lower:.3f}, {b.upper:.3f}]",
            ]
            for score in self.scores
            if score.attribute == attribute
            for b in score.bins
            if b.rows
        ]
        table = _html_table(heading, lines)
        return f"<details><summary>Labels by score</summary>{table}</details>"

    def _picture(self, attribute: str) -> str:
        """Return a PNG in base64, empty where there is no matplotlib."""
        display = importlib.import_module("fairlearnkit.display")
        try:
            found = display.png_of(self._display(attribute))
        except ImportError:
            return ""
        return b64encode(found).decode("ascii")


_DECISIONS = {
    "exceeds": "beyond the bound",
    "within": "within it",
    "unclear": "unclear",
    "undefined": "undefined",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;"
    "color:#1a1a1a;overflow-wrap:anywhere}"
    "table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums;"
    "display:block;overflow-x:auto}th,td{padding:.25rem .7rem;text-align:right;"
    "border-bottom:1px solid #ddd;white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left}img{max-width:100%;height:auto}"
    ".finding{border-left:6px solid #999;padding:.4rem 1rem;margin:.8rem 0;background:#f7f7f7}"
    ".exceeds{border-color:#D55E00}.within{border-color:#009E73}.unclear{border-color:#E69F00}"
    ".finding p{margin:.2rem 0}.small{color:#555;font-size:.9rem}"
)


def _text_table(heading: list[str], lines: list[list[str]]) -> str:
    width = [max(len(line[i]) for line in [heading, *lines]) for i in range(len(heading))]

    def row(cells: list[str]) -> str:
        first = cells[0].ljust(width[0])
        return "  ".join([first, *map(str.rjust, cells[1:], width[1:])]).rstrip()

    return "\n".join([row(heading), "  ".join("-" * w for w in width), *map(row, lines)])


def _html_table(heading: list[str], lines: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heading)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell.strip())}</td>" for cell in line) + "</tr>"
        for line in lines
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _numbers(finding: CriterionFinding) -> list[str]:
    high, low = checks.group_name(finding.highest), checks.group_name(finding.lowest)
    gap = (
        f"largest gap {finding.difference:.3f} [{finding.difference_lower:.3f}, "
        f"{finding.difference_upper:.3f}]"
    )
    ratio = (
        f"smallest ratio {finding.ratio:.3f} [{finding.ratio_lower:.3f}, "
        f"{finding.ratio_upper:.3f}]"
    )
    # Groups and rate are those of the bounded number: the other may come from elsewhere.
    bounded, other = (gap, ratio) if finding.bound_name == "max_difference" else (ratio, gap)
    lines = [f"{bounded}: {high} over {low}, {finding.rate.replace('_', ' ')}; {other}"]
    what = "a gap" if finding.bound_name == "max_difference" else "a ratio"
    lines.append(
        f"equal groups would show {what} of {finding.noise_floor:.3f}; detectable between these "
        f"two: {finding.detectable:.3f}"
    )
    return lines


def _finding_text(finding: CriterionFinding) -> str:
    verdict = wrapped(f"{finding.criterion} by {finding.attribute}: {finding.verdict}")
    numbers = [] if finding.decision == "undefined" else _numbers(finding)
    return "\n".join([verdict, *(wrapped(line, "  ") for line in numbers)])


def _finding_html(finding: CriterionFinding) -> str:
    numbers = [] if finding.decision == "undefined" else _numbers(finding)
    rest = "".join(f'<p class="small">{html.escape(line)}</p>' for line in numbers)
    return (
        f'<div class="finding {finding.decision}"><p><b>{html.escape(finding.criterion)}</b>: '
        f"{html.escape(finding.verdict)}</p>{rest}</div>"
    )


def _resampled_rates(
    cells: CellMoments, rates: Sequence[Rate], n_draws: int, seed: int, exact: bool
) -> Float:
    rng = np.random.default_rng(seed)
    drawn = bootstrap_cells(cells, n_draws, rng, exact=exact)
    return rates_of_draws(*drawn, *rate_arrays(rates))


class _Options(NamedTuple):
    """What `audit` was asked for."""

    rates: tuple[Rate, ...]
    criteria: tuple[tuple[Any, str, float], ...]
    confidence: float
    power: float
    interval: str
    simultaneous: bool
    multiple_testing: str

    @property
    def level(self) -> float:
        return 1 - self.confidence


def audit(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sensitive_features: Any,
    y_score: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    criteria: Criterion | Sequence[Criterion] | None = None,
    rates: Rate | Sequence[Rate] = _RATES,
    max_difference: float = 0.05,
    confidence: float = 0.95,
    power: float = 0.8,
    interval: str = "score",
    simultaneous: bool = False,
    multiple_testing: str = "holm",
    max_columns: int | None = None,
    max_groups: int | None = None,
    pos_label: Any = None,
    missing: str = "error",
) -> AuditReport:
    """Report rates, gaps and what the counts can say about them, by group and intersection.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels, of two kinds.
    y_pred : array-like of shape (n_samples,) or (n_samples, 2)
        Decisions, or the probability of each, as in `~fairlearnkit.metrics.group_rates`.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        Groups of the rows. With several columns the report is by each of them, by each pair of
        them, and so on up to `max_columns` together.
    y_score : array-like of shape (n_samples,), default=None
        Predicted probability of the positive label, in [0, 1]: adds calibration and the area
        under the ROC curve by group.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, >= 0.
    criteria : Criterion or sequence of Criterion, default=None
        What should be equal, and the bound that verdicts are about; None means
        `DemographicParity`, `EqualizedOdds` and `ErrorRateParity`. Those of an `AllOf` get a
        verdict each.
    rates : Rate or sequence of Rate
        The rates to report; by default selection, true positive, false positive and error rate.
    max_difference : float, default=0.05
        Bound of criteria that have none of their own, in [0, 1].
    confidence : float, default=0.95
        Of intervals, in (0.5, 1); verdicts and flags are at a level of one minus it.
    power : float, default=0.8
        Chance of being found, for detectable gaps and needed rows, in (0, 1).
    interval : {"score", "exact"}, default="score"
        Score intervals cover as often as they say on average; exact ones never less, and are
        wider.
    simultaneous : bool, default=False
        Whether the intervals of all groups and rates of one attribute hold at once.
    multiple_testing : {"holm", "bh"}, default="holm"
        What flagging groups that differ from the rest keeps down: the chance of any false flag
        (Holm), or the expected share of false ones (Benjamini and Hochberg).
    max_columns : int, default=None
        Most columns to take together; None means all, of 6 columns at the most. The report is by
        2 to the power of `n_columns`, minus 1, attributes where all are.
    max_groups : int, default=None
        Most groups that columns together may make, occupied or not; None means as many as rows,
        and no numbers of more than 100 values that have fewer than 10 rows each.
    pos_label : int, float, bool or str, default=None
        The label whose prediction counts as selection; None means the larger of the two.
    missing : {"error", "group"}, default="error"
        Whether missing values among the groups are an error or a group of their own.

    Returns
    -------
    AuditReport
        Prints as tables; `to_frame`, `to_dict`, `to_json`, `to_html` and `plot` give the rest.

    Raises
    ------
    ValueError
        If labels are not of two kinds, scores are outside [0, 1], there is one group only, columns
        are many or make more groups than rows, a column holds measurements, values that read the
        same or the name of another, or a parameter is out of its range.

    Warns
    -----
    DegenerateGroupWarning
        If a rate is not defined for some groups, which are left out of its comparison; the notes
        of the report name them.

    See Also
    --------
    audit_estimator : The same from a fitted classifier.
    fairlearnkit.metrics.group_rates : Rates alone.

    Notes
    -----
    *Intervals* of rates are Wilson's [1]_, with binomial counts of the same precision where
    decisions are probabilities or rows weighted. The limits of the largest gap are Newcombe's
    [2]_: below at the studentised maximum over all pairs [3]_, above without correction, since the
    pair with the largest true gap is one pair. Ratios invert the score test [4]_ in the same way.

    *Verdicts.* "Shown to exceed" rejects that all gaps are within the bound, corrected across
    pairs. "Shown to be within" is an intersection-union test [5]_: every pair must pass on its own
    and needs no correction, and the smallest groups decide. Each is wrong with probability
    ``1 - confidence`` at the most (about, for score intervals). "Exceeds" is said just where the
    lower limit of the interval is above the bound, and "within" where the upper limit of that at
    confidence ``1 - 2 * (1 - confidence)`` is not, which the verdict names. Verdicts on several
    criteria and attributes are not corrected for each other. Rows must be independent draws from
    the people of interest; the same person twice, or decisions tuned on these rows, void it.

    *Rows needed* and *detectable gaps* are those of the same tests with all their corrections.
    Rows needed take the rates that are seen for the true ones: with so many rows in all, as these
    were drawn, the verdict comes with the chance `power`. For "within" all pairs have to pass at
    once. Where what is seen is beyond the bound no number of rows would show it to be within.

    *Weights and probabilities* count by the variance that rows show, but for what few rows may
    hide: a mean is never taken to vary less than rare values far away would let it.

    The work is one pass over the rows and then linear in groups, quadratic for gaps.

    References
    ----------
    .. [1] E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
       JASA 22, 1927.
    .. [2] R. G. Newcombe, "Interval Estimation for the Difference Between Independent
       Proportions", Statistics in Medicine 17, 1998.
    .. [3] A. J. Hayter, "A Proof of the Conjecture that the Tukey-Kramer Multiple Comparisons
       Procedure is Conservative", Annals of Statistics 12, 1984.
    .. [4] P. A. R. Koopman, "Confidence Intervals for the Ratio of Two Binomial Proportions",
       Biometrics 40, 1984.
    .. [5] R. L. Berger, "Multiparameter Hypothesis Testing and Acceptance Sampling",
       Technometrics 24, 1982.

    Examples
    --------
    A gap of 10 points between groups of 200 rows is not yet shown to exceed 5:

    >>> import numpy as np
    >>> from fairlearnkit import DemographicParity, audit
    >>> sex = np.repeat(["f", "m"], 200)
    >>> y_pred = np.repeat([1, 0, 1, 0], [60, 140, 80, 120])
    >>> report = audit(
    ...     np.arange(400) % 2,
    ...     y_pred,
    ...     sensitive_features=sex,
    ...     criteria=DemographicParity(max_difference=0.05),
    ... )
    >>> finding = report.criteria[0]
    >>> print(f"{finding.difference:.3f}: {finding.verdict}")
    0.100: cannot tell with these counts: about 1,319 more rows in group m and 1,129 in group f \
would show it to exceed 0.05; none would show it to be within
    """
    options = _check_options(
        rates,
        criteria,
        max_difference,
        confidence,
        power,
        interval,
        simultaneous,
        multiple_testing,
    )
    positive, accepted = read_rows(y_true, y_pred, pos_label)
    n_rows = len(positive)
    weight = checks.check_weights(sample_weight, positive)
    score = None if y_score is None else _check_scores(y_score, n_rows)
    if missing not in ("error", "group"):
        msg = f"missing must be 'error' or 'group', got {missing!r}."
        raise ValueError(msg)
    columns, crossed = _columns(sensitive_features, n_rows, missing, max_columns, max_groups)
    kind = "decisions" if accepted.dtype.kind in "biu" else "probabilities"
    if weight is not None:
        kept = weight > 0
        if not kept.all():
            positive, accepted, weight = positive[kept], accepted[kept], weight[kept]
            columns = [(name, codes[kept], labels) for name, codes, labels in columns]
            score = None if score is None else score[kept]
        # Equal weights are none.
        if np.ptp(weight) == 0:
            weight = None
        else:
            kind = "weighted"

    unit, level_of = _finest(columns, len(positive))
    finest = cell_moments(accepted, positive, unit, weight, level_of.shape[1])
    attributes = [_attribute(chosen, columns, finest, level_of) for chosen in crossed]
    parts = [part for part, _ in attributes]
    if all(len(part.labels) < 2 for part in parts):
        msg = (
            f"sensitive_features must hold two groups at least, got one: "
            f"{checks.group_name(parts[-1].labels[0])}. There is nothing to compare."
        )
        raise ValueError(msg)

    group_rates = _rates_of(parts, options, kind)
    notes = tuple(
        f"{rate.attribute}, {checks.group_name(rate.group)}: {rate.rate.replace('_', ' ')} over "
        f"{rate.rows} rows ({rate.note})"
        for rate in group_rates
        if rate.note
    )
    empty = sum(rate.note == "no rows" for rate in group_rates)
    if empty:
        warnings.warn(
            f"{empty} rates are not defined for want of rows, and are left out of the comparison; "
            "the notes of the report name them.",
            DegenerateGroupWarning,
            stacklevel=2,
        )
    return AuditReport(
        n_rows=len(positive),
        confidence=float(confidence),
        power=float(power),
        interval=interval,
        simultaneous=bool(simultaneous),
        decisions=kind,
        attributes=tuple(part.name for part in parts),
        rates=tuple(group_rates),
        criteria=tuple(
            _finding(part, *criterion, options, kind)
            for part in parts
            for criterion in options.criteria
        ),
        scores=()
        if score is None
        else tuple(
            line
            for part, place in attributes
            for line in _scores_of(part, place[unit], score, positive, weight, options)
        ),
        notes=notes,
        _cells=tuple(parts),
        _rates=options.rates,
    )


def audit_estimator(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    sensitive_features: Any = None,
    sensitive_columns: checks.Columns | None = None,
    control_features: Any = None,
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
    **options: Any,
) -> AuditReport:
    """Audit a fitted classifier: expected rates where its decisions are random.

    Parameters
    ----------
    estimator : classifier
        Any fitted classifier, pipeline or search.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        Rows that it was not fitted on.
    y : array-like of shape (n_samples,)
        True labels, of two kinds.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
        Groups of the rows. Where they are given they are the ones audited, and the report bears
        their name; an estimator with `sensitive_columns` of its own still decides by those.
    sensitive_columns : str, int, sequence of these or callable, default=None
        Columns of X that give the groups, where they are not passed; None means those of the
        estimator.
    control_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
        Strata of the rows, for estimators that decide by them and have no `control_columns`.
        Groups are compared over all rows; for verdicts by stratum audit the rows of each.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, >= 0.
    pos_label : int, float, bool or str, default=None
        The label whose prediction counts as selection; None means the estimator's, or the larger
        of the two.
    **options : dict
        Further parameters of `audit`. Scores are those of `predict_proba`, where there is one and
        `classes_` says of what, and missing values among the groups are what they are for the
        estimator.

    Returns
    -------
    AuditReport
        As of `audit`.

    Raises
    ------
    ValueError
        If groups are not given, and as `audit` does.

    See Also
    --------
    audit : From labels and decisions.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairlearnkit import audit_estimator
    >>> from fairlearnkit.datasets import make_group_classification
    >>> X, y, group = make_group_classification(2000, random_state=0)
    >>> clf = LogisticRegression().fit(X[:1000], y[:1000])
    >>> report = audit_estimator(clf, X[1000:], y[1000:], sensitive_features=group[1000:])
    >>> report.criteria[0].decision
    'exceeds'
    """
    groups = metrics._groups_of(estimator, X, sensitive_features, sensitive_columns)
    truth, probability = metrics._expected_decisions(
        estimator, X, y, groups, pos_label, control_features=control_features
    )
    is_scored = hasattr(estimator, "predict_proba") and hasattr(estimator, "classes_")
    if options.get("y_score") is None and is_scored:
        if pos_label is None:
            pos_label = getattr(metrics._last_step(estimator), "pos_label", None)
        classes, place = metrics._two_classes(np.asarray(estimator.classes_), pos_label)
        options["y_score"] = learner_score(estimator, X, "predict_proba", classes, place)
    options["missing"] = metrics._missing_of(estimator, options.get("missing"))
    return audit(
        truth,
        probability,
        sensitive_features=groups,
        sample_weight=sample_weight,
        pos_label=1,
        **options,
    )


def _check_options(
    rates: Any,
    criteria: Any,
    max_difference: Any,
    confidence: Any,
    power: Any,
    interval: Any,
    simultaneous: Any,
    multiple_testing: Any,
) -> _Options:
    # Verdicts by less than even odds would mean nothing.
    for name, value, least in (("confidence", confidence, 0.5), ("power", power, 0)):
        if not checks.is_number(value) or not least < value < 1:
            msg = f"{name} must be in ({least}, 1), got {value!r}."
            raise ValueError(msg)
    if not checks.is_number(max_difference) or not 0 <= max_difference <= 1:
        msg = f"max_difference must be in [0, 1], got {max_difference!r}."
        raise ValueError(msg)
    if interval not in ("score", "exact"):
        msg = f"interval must be 'score' or 'exact', got {interval!r}."
        raise ValueError(msg)
    if multiple_testing not in _ADJUST:
        msg = f"multiple_testing must be 'holm' or 'bh', got {multiple_testing!r}."
        raise ValueError(msg)
    wanted = (rates,) if isinstance(rates, Rate) else rates
    if (
        not isinstance(wanted, Sequence)
        or not wanted
        or not all(isinstance(rate, Rate) for rate in wanted)
    ):
        msg = f"rates must be a Rate or a sequence of them, got {rates!r}."
        raise ValueError(msg)
    names = [rate.name for rate in wanted]
    if len(set(names)) < len(names):
        msg = f"rates must have different names, got {names}."
        raise ValueError(msg)
    if criteria is None:
        criteria = (DemographicParity(), EqualizedOdds(), ErrorRateParity())
    if isinstance(criteria, Criterion):
        criteria = (criteria,)
    if not isinstance(criteria, Sequence) or isinstance(criteria, str) or not criteria:
        msg = f"criteria must be a criterion or a sequence of them, got {criteria!r}."
        raise ValueError(msg)
    bounds: list[tuple[Any, str, float]] = []
    for criterion in criteria:
        if not isinstance(criterion, Criterion):
            msg = f"criteria must be criteria such as DemographicParity(), got {criterion!r}."
            raise ValueError(msg)
        criterion._check(needs_bound=False)
        criterion._check_compares("An audit")
        for parity in criterion.parities():
            if parity.min_ratio is not None:
                bounds.append((parity, "min_ratio", float(parity.min_ratio)))
            else:
                own = parity.max_difference
                bound = float(max_difference if own is None else own)
                bounds.append((parity, "max_difference", bound))
    return _Options(
        tuple(wanted),
        tuple(bounds),
        float(confidence),
        float(power),
        interval,
        bool(simultaneous),
        multiple_testing,
    )


def _check_scores(y_score: ArrayLike, n_rows: int) -> Float:
    score = np.asarray(checks.as_array(y_score), dtype=float)
    if score.shape != (n_rows,):
        msg = f"y_score must have one value per row, shape ({n_rows},), got shape {score.shape}."
        raise ValueError(msg)
    if np.isnan(score).any():
        count = np.count_nonzero(np.isnan(score))
        msg = f"y_score must not have missing values, got {count} of {n_rows}."
        raise ValueError(msg)
    if not np.isfinite(score).all() or score.min() < 0 or score.max() > 1:
        msg = (
            "y_score must be probabilities of the positive label in [0, 1], got "
            f"[{np.min(score):.4g}, {np.max(score):.4g}]. Leave out scores of another kind."
        )
        raise ValueError(msg)
    return score


def _columns(
    values: Any,
    n_rows: int,
    missing: str,
    max_columns: int | None,
    max_groups: int | None,
) -> tuple[list[tuple[str, Int, list[Any]]], list[tuple[int, ...]]]:
    """Return name, codes and labels of each sensitive column, and which are taken together."""
    what = "sensitive_features"
    for limit, value, least in (("max_columns", max_columns, 1), ("max_groups", max_groups, 2)):
        is_whole = isinstance(value, Integral) and checks.is_number(value)
        if value is not None and not (is_whole and value >= least):
            msg = f"{limit} must be a whole number of {least} or more, got {value!r}."
            raise ValueError(msg)
    given = [str(name) for name in getattr(values, "columns", ())]
    if len(set(given)) < len(given):
        twice = sorted({name for name in given if given.count(name) > 1})
        msg = f"{what} must have a different name for each column, got {twice} more than once."
        raise ValueError(msg)
    parts = checks._split_columns(values, what)
    if max_columns is None and len(parts) > _MANY_COLUMNS:
        pairs = len(parts) * (len(parts) + 1) // 2
        msg = (
            f"{what} must have at most {_MANY_COLUMNS} columns for all to be taken together, got "
            f"{len(parts)}, that is {2 ** len(parts) - 1:,} attributes. Pass max_columns=2 for "
            f"each column and each pair ({pairs:,}), or search them with audit_subgroups."
        )
        raise ValueError(msg)
    names = column_names(values, len(parts))
    columns: list[tuple[str, Int, list[Any]]] = []
    for name, part in zip(names, parts, strict=True):
        codes, labels = _codes_as_given(part, n_rows)
        if labels is None:
            codes, labels = checks.encode_groups(part, n_rows, missing=missing, what=what)
        columns.append((name, codes, labels))
        if max_groups is None:
            _check_groups(name, labels, n_rows)
    most_columns = len(columns) if max_columns is None else min(int(max_columns), len(columns))
    crossed = [
        chosen
        for order in range(1, most_columns + 1)
        for chosen in combinations(range(len(columns)), order)
    ]
    together = [" x ".join(names[i] for i in chosen) for chosen in crossed]
    if len(set(together)) < len(together):
        twice = sorted({name for name in together if together.count(name) > 1})
        msg = (
            f"{what} must not have a column with the name of others together, got {twice}. Rename "
            "it."
        )
        raise ValueError(msg)
    n_groups, widest = max(
        (prod(len(columns[i][2]) for i in chosen), chosen) for chosen in crossed
    )
    # Groups are numbered in words of the machine.
    countable = int(np.iinfo(np.intp).max)
    most = n_rows if max_groups is None else min(int(max_groups), countable)
    if n_groups > most:
        sizes = " x ".join(f"{len(columns[i][2]):,} ({names[i]})" for i in widest)
        remedies = ["Leave out columns", "put values into classes"]
        remedies += ["take fewer together (max_columns)"] if len(widest) > 1 else []
        remedies += [f"pass max_groups={n_groups}"] if n_groups <= countable else []
        msg = (
            f"{what} must make at most {most:,} groups, got {n_groups:,} = {sizes} for "
            f"{n_rows:,} rows. {', '.join(remedies)}, or search them with audit_subgroups."
        )
        raise ValueError(msg)
    return columns, crossed


def _finest(columns: list[tuple[str, Int, list[Any]]], n_rows: int) -> tuple[Int, Int]:
    """Return the unit of each row by all columns, and each unit's label of each column."""
    _, unit, labels = columns[0]
    level_of = np.arange(len(labels))[None]
    for _, codes, labels in columns[1:]:
        n_units = level_of.shape[1] * len(labels)
        unit = unit * len(labels) + codes
        occupied = np.arange(n_units)
        if n_units > 4 * n_rows + 1000:
            occupied, unit = np.unique(unit, return_inverse=True)
        before, own = np.divmod(occupied, len(labels))
        level_of = np.vstack([level_of[:, before], own])
    return unit, level_of


def _check_groups(column: str, labels: list[Any], n_rows: int) -> None:
    """Refuse measurements and identifiers in place of groups."""
    is_text = any(isinstance(label, str) for label in labels)
    most = _MANY_TEXTS if is_text else _MANY_VALUES
    if len(labels) > most and n_rows < _FEW_ROWS * len(labels):
        msg = (
            f"sensitive_features must be groups, got {len(labels):,} values of {column} in "
            f"{n_rows:,} rows. Put them into classes (numpy.digitize, pandas.cut), search them "
            f"with audit_subgroups, or pass max_groups={n_rows}."
        )
        raise ValueError(msg)


def _codes_as_given(column: Any, n_rows: int) -> tuple[Any, list[Any] | None]:
    """Return whole numbers as they are, where all from 0 to the largest occur."""
    if not isinstance(column, np.ndarray) or column.dtype.kind not in "iu":
        return column, None
    if len(column) != n_rows or column.min() < 0 or column.max() >= n_rows:
        return column, None
    column = column.astype(np.intp, copy=False)
    count = np.bincount(column)
    return column, list(range(len(count))) if count.all() else None


def _attribute(
    chosen: tuple[int, ...],
    columns: list[tuple[str, Int, list[Any]]],
    finest: CellMoments,
    level_of: Int,
) -> tuple[_Attribute, Int]:
    """Return the groups of some columns together, and each finest unit's place among them."""
    shape = [len(columns[i][2]) for i in chosen]
    code = np.ravel_multi_index([level_of[i] for i in chosen], shape)
    has_rows = finest.rows.sum(axis=1) > 0
    present = np.unique(code[has_rows])
    place = np.searchsorted(present, code).clip(0, len(present) - 1)
    cells = CellMoments(*(v * has_rows[:, None] for v in finest)).merged(place, len(present))
    levels = np.unravel_index(present, shape)
    values = [[columns[i][2][j] for j in level] for i, level in zip(chosen, levels, strict=True)]
    labels = values[0] if len(chosen) == 1 else list(zip(*values, strict=True))
    return _Attribute(" x ".join(columns[i][0] for i in chosen), labels, cells), place


def _sizes(rates: Rates, kind: str, interval: str) -> Float:
    """Return the number of rows that intervals and tests of rates rest on."""
    if interval == "score":
        return rates.effective
    return rates.kish if kind == "weighted" else np.where(rates.kish > 0, rates.rows, 0.0)


def _rates_of(parts: list[_Attribute], options: _Options, kind: str) -> list[GroupRate]:
    """Return every rate of every group of all attributes, tested together."""
    arrays = rate_arrays(options.rates)
    pairs = [
        (rates_of_cells(part.cells, *arrays), rates_of_cells(part.cells.rest(), *arrays))
        for part in parts
    ]
    sides = [(a.rate, a.effective, b.rate, b.effective) for a, b in pairs]
    p_values = [equality_p_values(*of_part) for of_part in sides]
    together = np.concatenate([p.T.ravel() for p in p_values])
    adjusted = iter(_ADJUST[options.multiple_testing](together).tolist())
    # One that differs alone has to do so at the first and strictest step of either correction.
    level = options.level / max(int(np.isfinite(together).sum()), 1)
    lines = []
    for part, (found, rest), of_part in zip(parts, pairs, sides, strict=True):
        lower, upper = _intervals_of(part, found, options, kind)
        pooled = pooled_rate(*of_part)
        with np.errstate(divide="ignore", invalid="ignore"):
            detectable = minimum_detectable_difference(
                pooled, found.effective, rest.effective, level=level, power=options.power
            )
        for g, label in enumerate(part.labels):
            for r, rate in enumerate(options.rates):
                gap, p_value = float(detectable[r, g]), next(adjusted)
                lines.append(
                    GroupRate(
                        attribute=part.name,
                        group=label,
                        rate=rate.name,
                        rows=round(found.rows[r, g]),
                        value=float(found.rate[r, g]),
                        lower=float(lower[r, g]),
                        upper=float(upper[r, g]),
                        rest=float(rest.rate[r, g]),
                        p_value=p_value,
                        flagged=bool(p_value < options.level),
                        detectable=min(gap, 1.0) if np.isfinite(gap) else np.nan,
                        note=_note(found.rows[r, g], found.kish[r, g]),
                    )
                )
    return lines


def _intervals_of(
    part: _Attribute, found: Rates, options: _Options, kind: str
) -> tuple[Float, Float]:
    """Return the limits of all rates of one attribute."""
    size = _sizes(found, kind, options.interval)
    confidence, critical = options.confidence, None
    if options.simultaneous:
        n_rates = int((found.rows > 0).sum())
        confidence = confidence ** (1 / max(n_rates, 1))
        if options.interval == "score":
            draws = _resampled_rates(part.cells, options.rates, _N_DRAWS, 0, kind == "decisions")
            n_draws = len(draws)
            together = studentised_maximum(
                draws.reshape(n_draws, -1),
                found.rate.ravel(),
                found.error.ravel(),
                options.confidence,
            )
            single = critical_value(options.confidence)
            bound = critical_value(options.confidence, max(n_rates, 1))
            critical = float(np.clip(np.nan_to_num(together, nan=bound), single, bound))
    if options.interval == "score":
        return wilson_interval(found.rate, size, confidence, critical=critical)
    return exact_interval(found.rate, size, confidence, kind=kind)


def _note(rows: float, kish: float) -> str:
    if rows == 0:
        return "no rows"
    if rows < _FEW_ROWS:
        return "few rows"
    return "uneven weights" if kish < _FEW_ROWS else ""


def _finding(
    part: _Attribute, parity: Any, bound_name: str, bound: float, options: _Options, kind: str
) -> CriterionFinding:
    """Return what the counts say about one criterion."""
    rates, is_ratio = parity._rates(), bound_name == "min_ratio"
    arrays = rate_arrays(rates)
    to_overall = parity.reference == "overall"
    found = rates_of_cells(part.cells, *arrays)
    rest = rates_of_cells(part.cells.rest(), *arrays)
    mass = arrays[0].astype(float) @ part.cells.mass.T
    share = mass / np.where(mass.sum(axis=1) > 0, mass.sum(axis=1), 1.0)[:, None]
    size, rest_size = (_sizes(r, kind, options.interval) for r in (found, rest))
    events = [
        compare_with_rest(found.rate[r], size[r], rest.rate[r], rest_size[r], share[r])
        if to_overall
        else compare_pairs(found.rate[r], size[r])
        for r in range(len(rates))
    ]
    name = repr(parity)
    known = [r for r, event in enumerate(events) if len(event.rate)]
    unknown = [rate.label for r, rate in enumerate(rates) if r not in known]
    undefined = _undefined(part.name, name, bound_name, bound, unknown)
    if not known:
        return undefined
    rates, events = [rates[r] for r in known], [events[r] for r in known]
    found, share = Rates(*(of_rate[known] for of_rate in found)), share[known]
    exact = kind if options.interval == "exact" else None
    gap_limits, ratio_limits = (
        _limits(events, ratio, options.confidence, exact) for ratio in (False, True)
    )
    certified = _limits(events, is_ratio, 1 - 2 * options.level, exact)[0 if is_ratio else 1]
    if exact is not None:
        p_values = exact_p_values(events, bound, kind=exact, is_ratio=is_ratio)
    else:
        p_values = (ratio_p_values if is_ratio else difference_p_values)(events, bound)

    gaps = [np.abs(event.differences) for event in events]
    ratios = [event.ratios for event in events]
    difference = float(max(gap.max() for gap in gaps))
    ratio = float(min(r.min() for r in ratios))
    worst = [r.min() for r in ratios] if is_ratio else [-gap.max() for gap in gaps]
    r = int(np.argmin(worst))
    k = int(np.argmin(ratios[r]) if is_ratio else np.argmax(gaps[r]))
    event = events[r]
    ends = _ends(part, event, k)

    detectable = detectable_gap(
        event.take([k]), len(events), level=options.level, power=options.power, kind=exact
    )
    shown = [p_value < options.level for p_value in p_values]
    decision = "exceeds" if shown[0] else "within" if shown[1] else "unclear"
    if unknown:
        # The worst of all rates is as bad as that of those known, or worse: anything else is open.
        if decision != "exceeds":
            return undefined
        gap_limits, ratio_limits = (gap_limits[0], 1.0), (0.0, ratio_limits[1])
        certified, p_values = (0.0 if is_ratio else 1.0), (p_values[0], 1.0)
    pair = ""
    if decision == "exceeds":
        # The largest gap may be one of few rows: what is shown need not be that.
        i, j = clearest(events, bound, options.level, is_ratio=is_ratio)
        if (i, j) != (r, k):
            pair = f": {_pair(part, events[i], j)}, {rates[i].label}"
    is_beyond = ratio < bound if is_ratio else difference > bound
    # Zeros have no ratio, and however many more of them do not either.
    silent = [
        rate.label for rate, e in zip(rates, events, strict=True) if is_ratio and not _any(e)
    ]
    needed: _Needed | None = ()
    if decision == "unclear" and (is_beyond or not silent):
        worst_pair = (r, k) if is_beyond else None
        needed = _needed(
            part, rates, events, found.rows, worst_pair, bound, is_ratio, exact, options
        )
    return CriterionFinding(
        attribute=part.name,
        criterion=name,
        difference=difference,
        difference_lower=gap_limits[0],
        difference_upper=gap_limits[1],
        ratio=ratio,
        ratio_lower=ratio_limits[0],
        ratio_upper=ratio_limits[1],
        rate=rates[r].name,
        highest=ends[0],
        lowest=ends[1],
        noise_floor=equal_noise_floor(found, share, to_overall=to_overall, is_ratio=is_ratio),
        detectable=detectable,
        bound_name=bound_name,
        bound=bound,
        decision=decision,
        p_exceeds=p_values[0],
        p_within=p_values[1],
        certified=certified,
        needed=() if needed is None else needed,
        verdict=_cannot_tell(is_ratio, bound, is_beyond, silent, needed)
        if decision == "unclear"
        else _shown(decision, is_ratio, bound, certified) + pair + _too_few("; ", unknown),
    )


def _ends(part: _Attribute, event: Comparisons, k: int) -> list[Any]:
    """Return the groups of a comparison, the one with the higher rate first."""
    labels = [*part.labels, "overall"]
    ends = [labels[event.first[k]], labels[event.second[k]]]
    return ends[::-1] if event.rate[k] < event.other_rate[k] else ends


def _pair(part: _Attribute, event: Comparisons, k: int) -> str:
    return " over ".join(checks.group_name(end) for end in _ends(part, event, k))


def _limits(
    events: list[Comparisons], is_ratio: bool, confidence: float, exact: str | None
) -> tuple[float, float]:
    """Return limits of the largest gap or the smallest ratio."""
    if exact is not None:
        return exact_gap_limits(events, confidence, kind=exact, is_ratio=is_ratio)
    return (smallest_ratio_limits if is_ratio else largest_gap_limits)(events, confidence)


def _any(event: Comparisons) -> bool:
    """Whether any of the rates is above 0."""
    return bool((event.rate > 0).any() or (event.other_rate > 0).any())


def _undefined(
    attribute: str, name: str, bound_name: str, bound: float, rates: list[str]
) -> CriterionFinding:
    """Return the finding that there is nothing to compare."""
    return CriterionFinding(
        attribute=attribute,
        criterion=name,
        difference=np.nan,
        difference_lower=np.nan,
        difference_upper=np.nan,
        ratio=np.nan,
        ratio_lower=np.nan,
        ratio_upper=np.nan,
        rate="",
        highest=None,
        lowest=None,
        noise_floor=np.nan,
        detectable=np.nan,
        bound_name=bound_name,
        bound=bound,
        decision="undefined",
        p_exceeds=np.nan,
        p_within=np.nan,
        certified=np.nan,
        needed=(),
        verdict=_too_few("not defined: ", rates),
    )


def _too_few(before: str, rates: list[str]) -> str:
    """Return that rates cannot be compared; nothing where there are none."""
    return f"{before}fewer than two groups have a {' or a '.join(rates)}" if rates else ""


def _needed(
    part: _Attribute,
    rates: Sequence[Rate],
    events: list[Comparisons],
    rows: Float,
    worst: tuple[int, int] | None,
    bound: float,
    is_ratio: bool,
    kind: str | None,
    options: _Options,
) -> _Needed | None:
    """Return the further rows by group that would tell, None where no number of them would."""
    further = rows_needed(
        events,
        bound,
        rows,
        level=options.level,
        power=options.power,
        is_ratio=is_ratio,
        kind=kind,
        worst=worst,
    )
    if further.max() > _MOST_ROWS:
        return None
    needed: dict[str, int] = {}
    for r, event in enumerate(events):
        name = _row_kind(rates[r])
        if event.to_overall and further[r].any():
            needed[f"all groups together{name}"] = round(further[r].sum())
            continue
        for g in np.flatnonzero(further[r]):
            # A rate over a few rows says little of what it will be over more.
            count = max(further[r, g], _FEW_ROWS - rows[r, g])
            key = f"group {checks.group_name(part.labels[g])}{name}"
            needed[key] = max(needed.get(key, 0), round(count))
    return tuple(sorted(needed.items(), key=lambda item: -item[1]))


def _row_kind(rate: Rate) -> str:
    negative, positive = rate._condition()
    if negative and positive:
        return ""
    return " with a positive label" if positive else " with a negative label"


def _shown(decision: str, is_ratio: bool, bound: float, certified: float) -> str:
    if decision == "exceeds":
        return f"shown to {'fall below' if is_ratio else 'exceed'} {bound:g}"
    limit = f"{'no less than' if is_ratio else 'at most'} {certified:.3f}"
    return f"shown to be {'at least' if is_ratio else 'within'} {bound:g}: {limit}"


def _cannot_tell(
    is_ratio: bool,
    bound: float,
    is_beyond: bool,
    silent: list[str],
    needed: _Needed | None,
) -> str:
    if silent and not is_beyond:
        rates = " and a ".join(silent)
        return f"cannot tell: all groups have a {rates} of 0, and zeros have no ratio"
    if needed is None:
        return "cannot tell: what is seen is at the bound, so that no number of rows would tell"
    if not needed:  # a chance below one half asks for no more
        return "cannot tell with these counts"
    (group, count), *others = needed[:3]
    more = "".join(f" and {n:,} in {name}" for name, n in others)
    left = f" and more in {len(needed) - 3} others" if len(needed) > 3 else ""
    within = "at least" if is_ratio else "within"
    end = f"would show it to be {within} {bound:g}"
    if is_beyond:
        beyond = "fall below" if is_ratio else "exceed"
        end = f"would show it to {beyond} {bound:g}; none would show it to be {within}"
    return f"cannot tell with these counts: about {count:,} more rows in {group}{more}{left} {end}"


def _scores_of(
    part: _Attribute,
    group: Int,
    score: Float,
    positive: NDArray[np.bool_],
    weight: Float | None,
    options: _Options,
) -> list[GroupScore]:
    """Return ranking and calibration of every group of an attribute."""
    order = np.argsort(group, kind="stable")
    ends = np.searchsorted(group[order], np.arange(len(part.labels) + 1))
    edges = np.linspace(0.0, 1.0, _N_BINS + 1)
    lines = []
    for g, label in enumerate(part.labels):
        rows = order[ends[g] : ends[g + 1]]
        s, y = score[rows], positive[rows]
        w = np.ones(len(rows)) if weight is None else weight[rows]
        total = w.sum()
        auc, worth = area_under_curve(s, y, None if weight is None else w)
        auc_lower, auc_upper = wilson_interval(auc, worth, options.confidence)
        mean_score, rate = w @ s / total, w @ y / total
        # The excess of score over label, in [-1, 1], as a rate in [0, 1].
        excess = _mean_of(0.5 * (1 + s - y), w)
        low, high = wilson_interval(*excess, options.confidence)
        bins = []
        which = np.clip(np.searchsorted(edges, s, side="left") - 1, 0, _N_BINS - 1)
        for b in range(_N_BINS):
            inside = which == b
            count, mass = int(inside.sum()), w[inside].sum()
            share, kish = _mean_of(y[inside].astype(float), w[inside])
            limits = wilson_interval(share, kish, options.confidence)
            mean = float(w[inside] @ s[inside] / mass) if count else np.nan
            ends_of = float(edges[b].round(10)), float(edges[b + 1].round(10))
            bins.append(ScoreBin(*ends_of, count, mean, share, *map(float, limits)))
        lines.append(
            GroupScore(
                part.name,
                label,
                len(s),
                auc,
                float(auc_lower),
                float(auc_upper),
                float(mean_score),
                float(rate),
                float(mean_score - rate),
                float(2 * low - 1),
                float(2 * high - 1),
                tuple(bins),
            )
        )
    return lines


def _mean_of(values: Float, weight: Float) -> tuple[float, float]:
    """Return a weighted mean of values in [0, 1], and the binomial rows that it is worth."""
    nothing = np.zeros(len(values), dtype=np.intp)
    cells = cell_moments(values, nothing, nothing, weight, 1)
    found = rates_of_cells(cells, *rate_arrays([SELECTION_RATE]))
    return float(found.rate[0, 0]), float(found.effective[0, 0])
