"""Pictures of rates, scores and trade-offs by group, after scikit-learn's display contract.

A display is made by `from_estimator`, `from_predictions` or `from_frontier`, keeps the arrays that
it shows, and draws them again with `plot`. The artists are kept too, to change what should look
different. Colours are told apart by people with any colour vision, and never alone: markers, lines
or places differ as well.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit
from sklearn.utils.validation import check_consistent_length

from fairlearnkit import _validation as checks
from fairlearnkit import metrics
from fairlearnkit._base import CostFrontier, learner_score
from fairlearnkit._kernels.intervals import cell_moments, rates_of_cells, wilson_interval
from fairlearnkit._kernels.moments import Kind, Moments, group_rates
from fairlearnkit._kernels.thresholds import accept_probability, hull_points, operating_points
from fairlearnkit._report import rate_arrays, read_rows
from fairlearnkit._sweep import is_ratio
from fairlearnkit.constraints import (
    ERROR_RATE,
    FALSE_POSITIVE_RATE,
    SELECTION_RATE,
    TRUE_POSITIVE_RATE,
    Criterion,
    Rate,
)
from fairlearnkit.frontier import check_comparable
from fairlearnkit.postprocessing import GroupThresholdClassifier

__all__ = [
    "GroupROCDisplay",
    "GroupRatesDisplay",
    "ParetoFrontierDisplay",
    "ScoreDistributionDisplay",
]

Float = NDArray[np.float64]
Int = NDArray[np.intp]

# Okabe and Ito's palette, without its yellow, which is too light for lines.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X")
_N_LOOKS = len(_COLORS) * len(_MARKERS)
_DASHES = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)))
_MUTED = "#666666"
_SMALL = 8  # points: text that must fit into small pictures
_SMALLEST = 5  # points: below that nothing can be read, and less is written instead
_HEADING = 16  # points: a heading between lines that are lower than text
_HIGHEST = 20  # inches: of higher pictures no part can be compared with another


class _Display:
    """What the displays share: the axes that they are drawn on."""

    def _start(self, ax: Any, size: tuple[float, float] = (6.4, 4.2)) -> Any:
        if ax is None:
            try:
                import matplotlib.pyplot as plt
            except ImportError as error:
                msg = (
                    f"{type(self).__name__} needs matplotlib, which is not installed: pip install "
                    "'fairlearnkit[plot]'."
                )
                raise ImportError(msg) from error
            size = size[0], min(size[1], _HIGHEST)
            _, ax = plt.subplots(figsize=size, layout="constrained")
        self.ax_ = ax
        self.figure_ = ax.figure
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        return ax

    def _width(self, of: Any) -> float:
        """Return the width of the axes or the figure in points."""
        return float(of.get_window_extent().width) * 72 / self.figure_.dpi

    def _legend(
        self, handles: list[Any], legend_kwargs: Mapping[str, Any] | None, *, above: bool
    ) -> None:
        """Put the legend above the axes, in as many columns as fit, or in the lower right."""
        font = _SMALL if self._width(self.ax_) > 300 else _SMALL - 1.5
        where: dict[str, Any] = {"loc": "lower right", "fontsize": font, "frameon": not above}
        if above:
            # Alone in its figure the picture has the width of the margins too.
            alone = len(self.figure_.axes) == 1
            width = self._width(self.figure_ if alone else self.ax_)
            longest = max(len(handle.get_label()) for handle in handles)
            columns = int(width / (0.55 * font * longest + 4 * font))
            where |= {
                "bbox_to_anchor": (1.0, 1.0),
                "ncols": min(max(columns, 1), len(handles)),
                "borderaxespad": 0.2,
                "columnspacing": 1.0,
                "labelspacing": 0.3,
            }
        self.legend_ = self.ax_.legend(handles=handles, **{**where, **(legend_kwargs or {})})


def _color(i: int) -> str:
    return _COLORS[i % len(_COLORS)]


def _marker(i: int) -> str:
    # A colour that comes again comes with another marker.
    return _MARKERS[(i + i // len(_COLORS)) % len(_MARKERS)]


def _dash(i: int) -> Any:
    return _DASHES[i % len(_DASHES)]


def _names(labels: Sequence[Any]) -> list[str]:
    return [checks.group_name(label) for label in labels]


class ParetoFrontierDisplay(_Display):
    """Score against disparity, held out, of one method or several.

    Use `from_frontier` to make one. Points joined by steps are those that no other point of the
    method beats; faded ones are beaten. Bars are confidence intervals over the folds.

    Parameters
    ----------
    frontiers : dict of str to ParetoFrontier
        What `fairness_frontier` returned, by the name of the method.
    selected : dict of str to float, default=None
        Knobs to mark, by the name of the method.
    certified : dict of str to CostFrontier, default=None
        Training curves to show as bands, by the name of the method.
    confidence : float, default=0.95
        Of the intervals, in (0, 1).

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        Figure with the axes.
    steps_ : dict of str to Line2D
        The steps of each method.
    points_ : dict of str to ErrorbarContainer
        Points that are not beaten, with their intervals.
    dominated_ : dict of str to ErrorbarContainer
        Points that are; only of methods that have such.
    base_ : dict of str to Line2D
        Plain models; one for all methods where it is the same.
    selected_ : dict of str to Line2D
        Rings around the chosen knobs.
    bands_ : dict of str to PolyCollection
        Certified bands.
    noise_floor_ : Rectangle or None
        The disparities that chance alone explains.
    legend_ : Legend
        The legend.

    See Also
    --------
    CostFrontier : The exact curve on the training rows.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairlearnkit import DemographicParity, GroupThresholdClassifier, fairness_frontier
    >>> from fairlearnkit.datasets import make_group_classification
    >>> from fairlearnkit.display import ParetoFrontierDisplay
    >>> X, y, groups = make_group_classification(600, base_rates=(0.6, 0.3), random_state=0)
    >>> clf = GroupThresholdClassifier(LogisticRegression(), DemographicParity(max_difference=0.1))
    >>> frontier = fairness_frontier(
    ...     clf, X, y, sensitive_features=groups, max_differences=[0.05, 0.1, 0.2], cv=3
    ... )
    >>> display = ParetoFrontierDisplay.from_frontier(frontier)
    >>> [len(part.knob) for part in display.frontiers.values()]
    [3]
    """

    def __init__(
        self,
        frontiers: Mapping[str, Any],
        *,
        selected: Mapping[str, float] | None = None,
        certified: Mapping[str, CostFrontier] | None = None,
        confidence: float = 0.95,
    ) -> None:
        self.frontiers = frontiers
        self.selected = selected
        self.certified = certified
        self.confidence = confidence

    @classmethod
    def from_frontier(
        cls,
        frontier: Any,
        *,
        selected: Any = None,
        certified: Any = None,
        confidence: float = 0.95,
        ax: Any = None,
        legend_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw one frontier, or several on one pair of axes.

        Parameters
        ----------
        frontier : ParetoFrontier or dict of str to ParetoFrontier
            What to draw; a dict gives each method its name. All must have the same score and the
            same criterion.
        selected : float, selection or dict, default=None
            The chosen knob, or what `ParetoFrontier.select` returned; by name where there are
            several frontiers.
        certified : CostFrontier or dict, default=None
            The fitted estimator's `frontier_`: shown as the band between its lower bound and what
            was found, as training accuracy against the knob. For accuracy against
            `max_difference` at equal costs only; by name where there are several frontiers.
        confidence : float, default=0.95
            Of the intervals, in (0, 1): Student's t over the folds.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        legend_kwargs : dict, default=None
            Passed to `Axes.legend`, over the defaults.

        Returns
        -------
        ParetoFrontierDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If frontiers differ in score or criterion, or a knob or a name is not among theirs.
        """
        frontiers = dict(frontier) if isinstance(frontier, Mapping) else {"": frontier}
        if not frontiers:
            msg = "frontier must be one frontier or a dict of them by name, got an empty dict."
            raise ValueError(msg)
        for each in frontiers.values():
            if not hasattr(each, "fold_scores"):
                msg = f"frontier must be what fairness_frontier returns, got {each!r}."
                raise ValueError(msg)
        if not 0 < confidence < 1:
            msg = f"confidence must be in (0, 1), got {confidence!r}."
            raise ValueError(msg)
        check_comparable(frontiers)

        chosen = {
            name: _knob_among(frontiers[name], getattr(value, "knob", value))
            for name, value in _by_name(selected, frontiers, "selected").items()
        }
        bands = _by_name(certified, frontiers, "certified")
        for name, curve in bands.items():
            _check_band(frontiers[name], curve)
        display = cls(frontiers, selected=chosen, certified=bands, confidence=confidence)
        return display.plot(ax, legend_kwargs=legend_kwargs)

    def plot(self, ax: Any = None, *, legend_kwargs: Mapping[str, Any] | None = None) -> Self:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        legend_kwargs : dict, default=None
            Passed to `Axes.legend`, over the defaults.

        Returns
        -------
        ParetoFrontierDisplay
            This display.
        """
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        ax = self._start(ax)
        self.steps_: dict[str, Any] = {}
        self.points_: dict[str, Any] = {}
        self.dominated_: dict[str, Any] = {}
        self.base_: dict[str, Any] = {}
        self.selected_: dict[str, Any] = {}
        self.bands_: dict[str, Any] = {}
        first = next(iter(self.frontiers.values()))
        turned = is_ratio(first.criterion)
        handles: list[Any] = []
        for i, (name, frontier) in enumerate(self.frontiers.items()):
            color, marker = _color(i), _marker(i)
            label = name or "held-out folds"
            style = {"color": color, "marker": marker, "ms": 4.5, "ls": ""}
            x, y, best = frontier.disparity, frontier.score, frontier.non_dominated
            bars = self._bars(frontier)
            for container, shown, alpha in (
                (self.points_, best, 1.0),
                (self.dominated_, ~best, 0.3),
            ):
                if not shown.any():
                    continue
                drawn = ax.errorbar(
                    x[shown],
                    y[shown],
                    **{axis: bar[:, shown] for axis, bar in bars.items()},
                    **style,
                    mfc=color if container is self.points_ else "none",
                    alpha=alpha,
                    elinewidth=0.7,
                    zorder=2 + alpha,
                )
                # Bars behind points, faint, since many of them cross.
                for bar in drawn.lines[2]:
                    bar.set_alpha(0.3 * alpha)
                    bar.set_zorder(1.5)
                container[name] = drawn
            order = np.argsort(x[best])
            (self.steps_[name],) = ax.plot(
                x[best][order],
                y[best][order],
                color=color,
                ls=_dash(i),
                lw=1.4,
                # What is attained within a bound: the next point counts from itself on.
                drawstyle="steps-pre" if turned else "steps-post",
                zorder=2.5,
            )
            handles.append(
                Line2D([], [], color=color, marker=marker, ms=4.5, ls=_dash(i), label=label)
            )
        if self.dominated_:
            i = list(self.frontiers).index(next(iter(self.dominated_)))
            label = "beaten (dominated)"
            handles.append(
                Line2D(
                    [], [], color=_MUTED, marker=_marker(i), mfc="none", ls="", alpha=0.5, ms=4.5,
                    label=label,
                )
            )  # fmt: skip
        self._plot_base(ax, handles)
        for i, (name, frontier) in enumerate(self.frontiers.items()):
            if self.selected and name in self.selected:
                at = int(np.flatnonzero(np.isclose(frontier.knob, self.selected[name]))[0])
                (self.selected_[name],) = ax.plot(
                    frontier.disparity[at],
                    frontier.score[at],
                    "o",
                    ms=12,
                    mfc="none",
                    mec=_color(i) if len(self.frontiers) > 1 else "black",
                    mew=1.6,
                    zorder=4,
                    label=f"chosen: {_words(frontier.knob_name)} {self.selected[name]:.3g}",
                )
                bars = self._bars(frontier)
                if bars:
                    # The one choice deserves its intervals in full.
                    ax.errorbar(
                        frontier.disparity[at],
                        frontier.score[at],
                        **{axis: bar[:, [at]] for axis, bar in bars.items()},
                        color=_color(i),
                        elinewidth=1.6,
                        zorder=3.8,
                    )
                handles.append(
                    Line2D(
                        [], [], marker="o", mfc="none", ms=8, mew=1.3, ls="",
                        mec=self.selected_[name].get_mec(), label=self.selected_[name].get_label(),
                    )
                )  # fmt: skip
        low, high = ax.get_xlim()
        for i, name in enumerate(self.frontiers):
            if self.certified and name in self.certified:
                self.bands_[name] = _band(ax, self.certified[name], _color(i), high)
                suffix = f", {name}" if len(self.certified) > 1 else ""
                self.bands_[name].set_label(f"certified band, training{suffix}")
                handles.append(self.bands_[name])
        self.noise_floor_ = None
        floor = max(float(getattr(f, "noise_floor", np.nan)) for f in self.frontiers.values())
        if np.isfinite(floor) and floor > 0:
            ends = (floor, max(high, 1.0)) if turned else (min(low, 0.0), floor)
            self.noise_floor_ = ax.axvspan(*ends, color="0.92", lw=0, zorder=0)
            handles.append(Patch(color="0.88", label="within the noise"))
            if turned:
                high = max(high, min(1.0, 2 * floor - low))
            else:
                low = min(low, 0.0)
        ax.set_xlim(low if turned else max(low, -0.02 * high), high)
        unit = "held out" if turned else "held out, share of samples"
        ax.set_xlabel(f"{_disparity_label(first.criterion)}\n({unit})")
        ax.set_ylabel(_score_label(first.score_name))
        ax.grid(alpha=0.25, lw=0.6)
        if self._has_bars:
            handles.append(
                Line2D(
                    [], [], color=_MUTED, marker="+", ms=9, ls="",
                    label=f"{self.confidence:.0%} intervals",
                )
            )  # fmt: skip
        self._legend(handles, legend_kwargs, above=True)
        return self

    _has_bars = False

    def _bars(self, frontier: Any) -> dict[str, Float]:
        """Return half the widths of the intervals of score and disparity; none from one fold."""
        n_folds = len(frontier.fold_scores)
        if n_folds < 2:
            return {}
        self._has_bars = True
        t = stdtrit(n_folds - 1, 0.5 + self.confidence / 2)
        width = t * np.nan_to_num(frontier.disparity_error)
        height = t * np.nan_to_num(frontier.score_error)
        # No disparity is below 0 or above 1.
        x = np.nan_to_num(frontier.disparity)
        across = np.array([np.minimum(width, x), np.minimum(width, 1 - x)])
        return {"xerr": across, "yerr": np.array([height, height])}

    def _plot_base(self, ax: Any, handles: list[Any]) -> None:
        """Mark the plain models, those that are one and the same once."""
        from matplotlib.lines import Line2D

        kinds: dict[tuple[float, float], list[str]] = {}
        for name, frontier in self.frontiers.items():
            found = float(frontier.base_disparity), float(frontier.base_score)
            if np.isfinite(found).all():
                kinds.setdefault((round(found[0], 9), round(found[1], 9)), []).append(name)
        for (x, y), names in kinds.items():
            color = "black" if len(kinds) == 1 else _color(list(self.frontiers).index(names[0]))
            (self.base_[names[0]],) = ax.plot(
                x, y, "*", ms=11, color=color, mec="white", mew=0.6, zorder=3.5
            )
        if kinds:
            label = "plain model" if len(kinds) == 1 else "plain model of each"
            color = "black" if len(kinds) == 1 else _MUTED
            handles.append(Line2D([], [], marker="*", ms=9, color=color, ls="", label=label))


def _by_name(value: Any, frontiers: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return what is given for each frontier; one value will do for one frontier."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        if len(frontiers) > 1:
            msg = f"{what} must be a dict by the name of the frontier, got {value!r}."
            raise ValueError(msg)
        return dict.fromkeys(frontiers, value)
    unknown = [name for name in value if name not in frontiers]
    if unknown:
        msg = f"{what} must be for names among {list(frontiers)}, got {unknown}."
        raise ValueError(msg)
    return dict(value)


def _check_band(frontier: Any, curve: Any) -> None:
    """Raise where a curve of training costs is not one minus the accuracy on these axes."""
    found = {
        "curve": type(curve).__name__,
        "its knob": getattr(curve, "knob_name", None),
        "score": frontier.score_name,
        "knob": frontier.knob_name,
        "costs": tuple(frontier.costs),
    }
    wanted = ("CostFrontier", "max_difference", "accuracy", "max_difference", (1.0, 1.0))
    if tuple(found.values()) != wanted:
        msg = (
            "certified bands are of accuracy against max_difference at costs of 1 each, got "
            f"{', '.join(f'{name} {value!r}' for name, value in found.items())}. Leave certified "
            "out."
        )
        raise ValueError(msg)


def _knob_among(frontier: Any, knob: Any) -> float:
    if not np.isclose(frontier.knob, knob).any():
        msg = (
            f"selected must be a knob of the frontier, one of "
            f"{[round(float(k), 6) for k in frontier.knob]}, got {knob!r}."
        )
        raise ValueError(msg)
    return float(knob)


def _band(ax: Any, curve: CostFrontier, color: str, high: float) -> Any:
    """Draw accuracy between what was found and the most there can be, up to the right end."""
    knob = np.union1d(curve.knob[curve.knob <= high], np.clip(high, *curve.knob[[0, -1]]))
    found = 1 - np.interp(knob, curve.knob, curve.cost)
    limit = 1 - np.interp(knob, curve.knob, curve.lower_bound)
    return ax.fill_between(knob, found, limit, color=color, alpha=0.25, lw=1.2, zorder=1)


def _disparity_label(criterion: Criterion) -> str:
    """Return what the disparity of a criterion is, for an axis.

    Parameters
    ----------
    criterion : Criterion
        The criterion.

    Returns
    -------
    str
        Such as ``"largest gap in true or false positive rate"``.
    """
    labels = list(
        dict.fromkeys(rate.label for parity in criterion.parities() for rate in parity._rates())
    )
    if is_ratio(criterion):
        return f"smallest ratio of {_joined(labels)}"
    return f"largest gap in {_joined(labels)}"


def _joined(labels: list[str]) -> str:
    """Return labels joined by "or", what they end with in common said once."""
    words = [label.split() for label in labels]
    shared = 0
    while len(words) > 1 and len({tuple(w[-shared - 1 :]) for w in words}) == 1:
        shared += 1
    ending = [] if shared == 0 else words[0][-shared:]
    starts = [" ".join(w[: len(w) - shared]) for w in words]
    listed = starts[0] if len(starts) == 1 else f"{', '.join(starts[:-1])} or {starts[-1]}"
    return " ".join([listed, *ending])


def _words(name: str) -> str:
    return name.rpartition("__")[2].replace("_", " ")


def _score_label(name: str) -> str:
    unit = "(held out,\nshare of samples)" if name == "accuracy" else "(held out)"
    return f"{_words(name)} {unit}"


class GroupRatesDisplay(_Display):
    """Rates of each group with intervals and counts.

    Use `from_estimator` or `from_predictions` to make one. Each rate is a block with a line per
    group: the group's name, the number of its rows that the rate is taken over, the rate and its
    interval. A dotted line is the rate over all groups. Of more groups than can be named, all are
    drawn in the order of the rate, and the lowest and the highest are named.

    Parameters
    ----------
    rates : GroupRates
        Rates by group.
    count : dict of str to ndarray of shape (n_groups,)
        Rows of positive weight that each rate is taken over.
    lower, upper : dict of str to ndarray of shape (n_groups,)
        Limits of the intervals: Wilson's for as many rows as have the precision of those given,
        with their weights and probabilities, as in `fairlearnkit.audit`.
    confidence : float, default=0.95
        Of the intervals.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        Figure with the axes.
    errorbars_ : dict of str to list of ErrorbarContainer
        Points and intervals of each rate, by group; all in one where there are more groups than
        looks that tell them apart.
    overall_ : dict of str to Line2D
        Rates over all groups.
    headings_ : dict of str to Text
        Names of the rates with their largest gap.

    See Also
    --------
    fairlearnkit.metrics.group_rates : The numbers.

    Examples
    --------
    >>> from fairlearnkit.display import GroupRatesDisplay
    >>> y_true = [1, 1, 0, 0, 1, 1, 0, 0]
    >>> y_pred = [1, 1, 1, 0, 1, 0, 0, 0]
    >>> sex = ["f", "f", "f", "f", "m", "m", "m", "m"]
    >>> display = GroupRatesDisplay.from_predictions(y_true, y_pred, sensitive_features=sex)
    >>> display.rates["true_positive_rate"].tolist()
    [1.0, 0.5]
    """

    def __init__(
        self,
        rates: metrics.GroupRates,
        count: Mapping[str, Int],
        lower: Mapping[str, Float],
        upper: Mapping[str, Float],
        *,
        confidence: float = 0.95,
    ) -> None:
        self.rates = rates
        self.count = count
        self.lower = lower
        self.upper = upper
        self.confidence = confidence

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        control_features: Any = None,
        sensitive_columns: checks.Columns | None = None,
        rates: Rate | Sequence[Rate] = (
            SELECTION_RATE,
            TRUE_POSITIVE_RATE,
            FALSE_POSITIVE_RATE,
            ERROR_RATE,
        ),
        sample_weight: ArrayLike | None = None,
        pos_label: Any = None,
        missing: str | None = None,
        confidence: float = 0.95,
        ax: Any = None,
    ) -> Self:
        """Draw the rates of a fitted classifier: expected ones where its decisions are random.

        Parameters
        ----------
        estimator : classifier
            Any fitted classifier, pipeline or search.
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows to decide on.
        y : array-like of shape (n_samples,)
            True labels, of two kinds.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), \
                default=None
            Groups of the rows.
        control_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
            Strata of the rows, for estimators that decide by them and have no `control_columns`.
            Rates are over all rows; for a picture of one stratum pass its rows alone.
        sensitive_columns : str, int, sequence of these or callable, default=None
            Columns of X that give the groups, where they are not passed; None means those of the
            estimator.
        rates : Rate or sequence of Rate
            The rates wanted; by default selection, true positive, false positive and error rate.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0.
        pos_label : int, float, bool or str, default=None
            The label whose prediction counts as selection; None means the estimator's, or the
            larger of the two.
        missing : {"error", "group"}, default=None
            Whether missing values among the groups are an error or a group of their own; None
            means as for the estimator, an error where it has no such setting.
        confidence : float, default=0.95
            Of the intervals, in (0, 1).
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        GroupRatesDisplay
            The display, drawn.
        """
        groups = metrics._groups_of(estimator, X, sensitive_features, sensitive_columns)
        truth, probability = metrics._expected_decisions(
            estimator, X, y, groups, pos_label, control_features=control_features
        )
        return cls.from_predictions(
            truth,
            probability,
            sensitive_features=groups,
            rates=rates,
            sample_weight=sample_weight,
            pos_label=1,
            missing=metrics._missing_of(estimator, missing),
            confidence=confidence,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
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
        confidence: float = 0.95,
        ax: Any = None,
    ) -> Self:
        """Draw the rates of decisions, or the expected rates of their probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels, of two kinds.
        y_pred : array-like of shape (n_samples,) or (n_samples, 2)
            Decisions, or the probability of each, as in `~fairlearnkit.metrics.group_rates`.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
            Groups of the rows.
        rates : Rate or sequence of Rate
            The rates wanted; by default selection, true positive, false positive and error rate.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0.
        pos_label : int, float, bool or str, default=None
            The label whose prediction counts as selection; None means the larger of the two.
        missing : {"error", "group"}, default="error"
            Whether missing values among the groups are an error or a group of their own.
        confidence : float, default=0.95
            Of the intervals, in (0, 1).
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        GroupRatesDisplay
            The display, drawn.
        """
        wanted = (rates,) if isinstance(rates, Rate) else tuple(rates)
        found = metrics.group_rates(
            y_true,
            y_pred,
            sensitive_features=sensitive_features,
            rates=wanted,
            sample_weight=sample_weight,
            pos_label=pos_label,
            missing=missing,
        )
        positive, accepted = read_rows(y_true, y_pred, pos_label)
        unit, labels = checks.encode_groups(
            sensitive_features, len(positive), missing=missing, what="sensitive_features"
        )
        weight = checks.check_weights(sample_weight, positive)
        cells = cell_moments(accepted, positive, unit, weight, len(labels))
        precise = rates_of_cells(cells, *rate_arrays(wanted))
        count, lower, upper = {}, {}, {}
        for i, (name, value) in enumerate(found.rates.items()):
            count[name] = precise.rows[i].astype(np.intp)
            lower[name], upper[name] = wilson_interval(value, precise.effective[i], confidence)
        return cls(found, count, lower, upper, confidence=confidence).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure that is high enough for all groups.

        Returns
        -------
        GroupRatesDisplay
            This display.
        """
        names = _names(self.rates.groups.tolist())
        n_rates, n_groups = len(self.rates.rates), len(names)
        ax = self._start(ax, (6.4, max(2.5, 0.9 + 0.24 * n_rates * (n_groups + 1))))
        # Text no higher than its line, however small the axes.
        height = ax.get_window_extent().height * 72 / self.figure_.dpi
        line = height / (n_rates * (n_groups + 1))
        longest = max(len(_words(rate)) for rate in self.rates.rates) + len(": largest gap 0.000")
        label = max(
            len(f"{name} ({n[g]:,})") for n in self.count.values() for g, name in enumerate(names)
        )
        across = self._width(self.figure_ if len(self.figure_.axes) == 1 else ax)
        fits = across / (0.62 * (longest + label))
        # Where lines are too low for text, groups go by their rate and the ends alone have names.
        crowded = 0.8 * line < _SMALLEST
        heading = 1
        if crowded:
            # A heading takes several of them.
            share = min(_HEADING * n_rates / height, 0.5)
            heading = max(2, int(np.ceil(n_groups * share / (1 - share))))
            line = height / (n_rates * (n_groups + heading))
        font = float(np.clip(min(_SMALL - 2 if crowded else 0.8 * line, fits), 4, _SMALL + 1))
        # Of more groups than there are looks, none can be told by its look.
        parts = np.arange(n_groups).reshape((1, -1) if n_groups > _N_LOOKS else (-1, 1))
        self.errorbars_: dict[str, list[Any]] = {}
        self.overall_: dict[str, Any] = {}
        self.headings_: dict[str, Any] = {}
        ticks, labels, y = [], [], 0
        for rate, value in self.rates.rates.items():
            gap = self.rates.difference[rate]
            self.headings_[rate] = ax.text(
                0.01,
                -y - (heading - 1) / 2,
                f"{_words(rate)}: largest gap {gap:.3f}",
                transform=ax.get_yaxis_transform(),
                va="center",
                fontsize=font,
                weight="bold",
                in_layout=False,
            )
            # NaN sorts last.
            place = np.argsort(np.argsort(value)) if crowded else np.arange(n_groups)
            first, last = y + heading, y + heading + n_groups - 1
            ends = (0, int(np.isfinite(value).sum()) - 1)
            at = -(first + place)
            named = np.isin(place, ends) if crowded else np.ones(n_groups, dtype=bool)
            ticks += at[named].tolist()
            labels += [f"{names[g]} ({self.count[rate][g]:,})" for g in np.flatnonzero(named)]
            bars = np.array([value - self.lower[rate], self.upper[rate] - value])
            self.errorbars_[rate] = [
                ax.errorbar(
                    value[part],
                    at[part],
                    xerr=bars[:, part],
                    color=_color(i),
                    marker=_marker(i),
                    ls="",
                    ms=float(np.clip(0.6 * line, 2.5, 5.5)),
                    elinewidth=min(1.6, 0.3 * line),
                    capsize=min(2.5, 0.25 * line),
                )
                for i, part in enumerate(parts)
            ]
            overall = self.rates.overall[rate]
            (self.overall_[rate],) = ax.plot(
                [overall, overall],
                [-last - 0.45, -first + 0.45],
                ":",
                color=_MUTED,
                lw=1.4,
                zorder=1,
            )
            y = last + 1
        ax.set_yticks(ticks, labels, fontsize=font)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(-y + 0.4 - 0.25 * (heading - 1), 0.6)
        highest = np.nanmax([*self.upper.values()], initial=0.0)
        ax.set_xlim(0.0, min(1.02, 1.06 * highest) if highest > 0 else 1.0)
        ax.set_xlabel(
            f"share of samples\n{self.confidence:.0%} intervals; dotted: all groups"
            + ("; groups in the order of their rates" if crowded else ""),
            fontsize=max(font, _SMALL),
        )
        ax.grid(axis="x", alpha=0.25, lw=0.6)
        return self


class _Scored(NamedTuple):
    """Scores of rows by group, and the rules that cut them."""

    score: Float
    positive: NDArray[np.bool_] | None
    unit: Int
    labels: list[Any]
    sample_weight: Float | None
    thresholds: dict[Any, list[tuple[float, float]]]
    name: str

    def counted(self) -> _Scored:
        """Return the rows of positive weight: others do not count."""
        if self.sample_weight is None:
            return self
        kept = self.sample_weight > 0
        return self._replace(
            score=self.score[kept],
            positive=None if self.positive is None else self.positive[kept],
            unit=self.unit[kept],
            sample_weight=self.sample_weight[kept],
        )


def _scored_rows(
    estimator: Any,
    X: Any,
    y: Any,
    sensitive_features: Any,
    control_features: Any,
    sensitive_columns: checks.Columns | None,
    sample_weight: Any,
    pos_label: Any,
    missing: str | None,
) -> _Scored:
    """Return the scores that a classifier cuts, of given rows or of those it was fitted on."""
    last = metrics._last_step(estimator)
    if isinstance(last, GroupThresholdClassifier):
        rules = dict(last.thresholds_)
        labels = last._unit_labels()
        name = _score_name(last.estimator_, last.response_method, last)
        if X is None:
            _, score, positive, unit, weight = last._training_rows("A picture without X")
            weight = weight if last.weight_rates else None
            return _Scored(score, positive, unit, labels, weight, rules, name)
        groups = sensitive_features
        if groups is None and sensitive_columns is not None:
            groups = metrics._groups_of(estimator, X, None, sensitive_columns)
        rows = last._check_predict(metrics._before_last_step(estimator, X))
        unit = last._encode_units(rows, groups, control_features)
        score = last._scores(last._learner_view(rows))
        classes, place = last.classes_, last._positive_class
    else:
        if X is None:
            msg = (
                f"X must be given for {type(last).__name__}. Only a fitted "
                "GroupThresholdClassifier keeps scores of its own."
            )
            raise ValueError(msg)
        groups = metrics._groups_of(estimator, X, sensitive_features, sensitive_columns)
        unit, labels = checks.encode_groups(
            groups,
            checks.n_rows(X),
            missing=metrics._missing_of(estimator, missing),
            what="sensitive_features",
        )
        if pos_label is None:
            pos_label = getattr(last, "pos_label", None)
        classes, place = metrics._two_classes(np.asarray(last.classes_), pos_label)
        score = learner_score(estimator, X, "auto", classes, place)
        cut = 0.5 if hasattr(estimator, "predict_proba") else 0.0
        decided = np.ravel(estimator.predict(X)) == classes[place]
        low, high = score[decided].min(initial=np.inf), score[~decided].max(initial=-np.inf)
        if not high < cut <= low:
            cut = (high + low) / 2
        # What no cut of the scores decides, such as a mixture of models, has no such point.
        rules = {label: [(cut, 1.0)] for label in labels} if high < low else {}
        name = _score_name(estimator, "auto", None, classes[place])
    positive = None
    if y is not None:
        truth = metrics._true_labels(y, "y")
        check_consistent_length(score, truth)
        positive = metrics._is_positive(truth, classes, place)
    weight = checks.check_weights(sample_weight, score)
    return _Scored(score, positive, unit, labels, weight, rules, name)


def _score_name(learner: Any, response: str, clf: Any, label: Any = None) -> str:
    if clf is not None:
        label = clf.classes_[clf._positive_class]
    is_probability = response == "predict_proba" or (
        response == "auto" and hasattr(learner, "predict_proba")
    )
    return f"predicted probability of {label}" if is_probability else f"score for {label}"


def _finite_scores(y_score: ArrayLike, n_rows: int) -> Float:
    """Return scores, one per row."""
    score = np.asarray(y_score, dtype=float)
    if score.shape != (n_rows,):
        msg = (
            f"y_score must have one score per row, shape ({n_rows},), got shape {score.shape}. Of "
            "probabilities take the column of the positive label."
        )
        raise ValueError(msg)
    bad = np.count_nonzero(~np.isfinite(score))
    if bad:
        msg = f"y_score must be finite, got {bad} of {n_rows} NaN or infinite."
        raise ValueError(msg)
    return score


def _given_rules(thresholds: Any, labels: list[Any]) -> dict[Any, list[tuple[float, float]]]:
    """Return threshold rules by group: none, one number for all, or a mapping."""
    if thresholds is None:
        return {}
    if not isinstance(thresholds, Mapping):
        return {label: [(float(thresholds), 1.0)] for label in labels}
    unknown = [label for label in thresholds if label not in labels]
    if unknown:
        msg = f"thresholds must be for the groups {_names(labels)}, got {_names(unknown)}."
        raise ValueError(msg)
    return {
        label: list(rule) if isinstance(rule, (list, tuple)) else [(float(rule), 1.0)]
        for label, rule in thresholds.items()
    }


class GroupROCDisplay(_Display):
    """ROC curves by group, what mixtures of thresholds attain, and where the rule operates.

    Use `from_estimator` or `from_predictions` to make one. The thin line is the hull of a group's
    curve: what randomising between two thresholds adds. The shaded area is where the group may
    operate at the knob, given where the others do: it is the part of its hull that keeps the
    constraint.

    Parameters
    ----------
    curves : dict of label to ndarray of shape (n_points, 2)
        False and true positive rate of every threshold, by group.
    hulls : dict of label to ndarray of shape (n_vertices, 2)
        Corners of the convex hull of each curve, in order around it.
    operating : dict of label to ndarray of shape (2,)
        False and true positive rate of the rule, by group; empty without a rule.
    feasible : dict of label to ndarray of shape (n_vertices, 2)
        Corners of the area within the constraint, by group; groups without one are absent.
    constraint : Criterion, default=None
        The constraint.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        Figure with the axes.
    curves_ : dict of label to Line2D
        ROC curves.
    hulls_ : dict of label to Line2D
        Upper hulls.
    operating_ : dict of label to Line2D
        Operating points.
    feasible_ : dict of label to Polygon
        Feasible areas.
    legend_ : Legend
        The legend.

    See Also
    --------
    ScoreDistributionDisplay : The same thresholds on the scores.

    Notes
    -----
    On the rows that thresholds were computed from every operating point lies in its area. On other
    rows it may lie outside, by sampling error; a group has no area where the others are already
    too far apart.
    """

    def __init__(
        self,
        curves: Mapping[Any, Float],
        hulls: Mapping[Any, Float],
        operating: Mapping[Any, Float],
        feasible: Mapping[Any, Float],
        *,
        constraint: Criterion | None = None,
    ) -> None:
        self.curves = curves
        self.hulls = hulls
        self.operating = operating
        self.feasible = feasible
        self.constraint = constraint

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        y: ArrayLike | None = None,
        *,
        sensitive_features: Any = None,
        control_features: Any = None,
        sensitive_columns: checks.Columns | None = None,
        sample_weight: ArrayLike | None = None,
        pos_label: Any = None,
        missing: str | None = None,
        ax: Any = None,
        legend_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw a fitted classifier that has scores.

        Parameters
        ----------
        estimator : classifier
            A fitted `GroupThresholdClassifier`, or any classifier with scores. Where its decisions
            are a cut of the scores, that is the operating point; otherwise there is none.
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features), default=None
            Rows to draw. None means the out-of-fold scores that a `GroupThresholdClassifier`
            computed its thresholds from.
        y : array-like of shape (n_samples,), default=None
            True labels of the rows.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), \
                default=None
            Groups of the rows.
        control_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
            Strata of the rows, where the estimator was fitted with them.
        sensitive_columns : str, int, sequence of these or callable, default=None
            Columns of X that give the groups, where they are not passed; None means those of the
            estimator.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0.
        pos_label : int, float, bool or str, default=None
            The positive label; None means the estimator's, or the larger of the two. A
            `GroupThresholdClassifier` is always drawn with its own.
        missing : {"error", "group"}, default=None
            Whether missing values among the groups are an error or a group of their own; None
            means as for the estimator, an error where it has no such setting.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        legend_kwargs : dict, default=None
            Passed to `Axes.legend`, over the defaults.

        Returns
        -------
        GroupROCDisplay
            The display, drawn.
        """
        if (X is None) != (y is None):
            msg = "X and y must be given both or not at all, got one of them."
            raise ValueError(msg)
        rows = _scored_rows(
            estimator,
            X,
            y,
            sensitive_features,
            control_features,
            sensitive_columns,
            sample_weight,
            pos_label,
            missing,
        )
        last = metrics._last_step(estimator)
        is_ours = isinstance(last, GroupThresholdClassifier)
        n_strata = len(last._stratum_labels) if is_ours else 1
        constraint = last._criterion if is_ours else None
        return cls._of(rows, constraint, n_strata).plot(ax, legend_kwargs=legend_kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        sensitive_features: Any,
        thresholds: Any = None,
        constraint: Criterion | None = None,
        sample_weight: ArrayLike | None = None,
        pos_label: Any = None,
        missing: str = "error",
        ax: Any = None,
        legend_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw scores by group.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels, of two kinds.
        y_score : array-like of shape (n_samples,)
            Scores of the positive label, finite.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
            Groups of the rows.
        thresholds : float or mapping, default=None
            The rule: one threshold for all, or for each group a threshold or its
            ``(threshold, probability)`` pairs, as in `GroupThresholdClassifier.thresholds_`.
        constraint : Criterion, default=None
            What should be equal, with its bound, to shade what keeps it; needs thresholds.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0.
        pos_label : int, float, bool or str, default=None
            The positive label; None means the larger of the two.
        missing : {"error", "group"}, default="error"
            Whether missing values among the groups are an error or a group of their own.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        legend_kwargs : dict, default=None
            Passed to `Axes.legend`, over the defaults.

        Returns
        -------
        GroupROCDisplay
            The display, drawn.
        """
        truth = metrics._true_labels(y_true, "y_true")
        classes, place = metrics._two_classes(np.unique(truth), pos_label)
        score = _finite_scores(y_score, len(truth))
        unit, labels = checks.encode_groups(
            sensitive_features, len(truth), missing=missing, what="sensitive_features"
        )
        rows = _Scored(
            score,
            truth == classes[place],
            unit,
            labels,
            checks.check_weights(sample_weight, truth),
            _given_rules(thresholds, labels),
            "score",
        )
        return cls._of(rows, constraint, 1).plot(ax, legend_kwargs=legend_kwargs)

    @classmethod
    def _of(cls, rows: _Scored, constraint: Criterion | None, n_strata: int) -> Self:
        score, positive, unit, labels, weight, *_ = rows = rows.counted()
        if positive is None:
            msg = "y must be given: ROC curves compare scores with labels."
            raise ValueError(msg)
        points = operating_points(score, positive, unit, weight, len(labels), hull_only=False)
        kinds = {}
        for g, label in enumerate(labels):
            sums = points.sums[points.start[g] : points.start[g + 1]]
            if (sums[-1] > 0).all():
                kinds[label] = sums / sums[-1]
        if not kinds:
            msg = "ROC curves need rows of both labels in a group, got none with both."
            raise ValueError(msg)
        kept = hull_points(points)
        hulls = {}
        for g, label in enumerate(labels):
            if label in kinds:
                corners = kept[(kept >= points.start[g]) & (kept < points.start[g + 1])]
                hulls[label] = _hull(kinds[label][corners - points.start[g]])
        operating = {}
        for g, label in enumerate(labels):
            if label in kinds and label in rows.thresholds:
                threshold, share = np.array(rows.thresholds[label], dtype=float).T
                inside = unit == g
                accepted = accept_probability(
                    score[inside],
                    np.zeros(inside.sum(), dtype=np.intp),
                    threshold[None, :],
                    share[None, :],
                )
                w = np.ones(inside.sum()) if weight is None else weight[inside]
                truth = positive[inside]
                operating[label] = np.array(
                    [np.average(accepted[truth == k], weights=w[truth == k]) for k in (0, 1)]
                )
        feasible: dict[Any, Float] = {}
        # What the user's own conditions leave is not of so simple a form.
        parts = [] if constraint is None else list(constraint._parts())
        if constraint is not None and all(part._kind != Kind.FREE for part in parts) and operating:
            constraint._check(needs_bound=True)
            for stratum in np.split(np.arange(len(labels)), n_strata):
                present = [g for g in stratum if labels[g] in operating]
                moments = constraint._moments_of_mass(points.mass[present])
                of_units = np.array([operating[labels[g]] for g in present])
                for i, g in enumerate(present):
                    area = _feasible(hulls[labels[g]], moments, of_units, i)
                    if len(area):
                        feasible[labels[g]] = area
        return cls(kinds, hulls, operating, feasible, constraint=constraint)

    def plot(self, ax: Any = None, *, legend_kwargs: Mapping[str, Any] | None = None) -> Self:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        legend_kwargs : dict, default=None
            Passed to `Axes.legend`, over the defaults.

        Returns
        -------
        GroupROCDisplay
            This display.
        """
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch, Polygon

        ax = self._start(ax, (5.2, 4.8))
        self.curves_: dict[Any, Any] = {}
        self.hulls_: dict[Any, Any] = {}
        self.operating_: dict[Any, Any] = {}
        self.feasible_: dict[Any, Any] = {}
        handles: list[Any] = []
        for i, (label, curve) in enumerate(self.curves.items()):
            color = _color(i)
            (self.curves_[label],) = ax.plot(*curve.T, color=color, ls=_dash(i), lw=1.4, zorder=2)
            hull = self.hulls[label]
            upper = hull[hull[:, 1] >= hull[:, 0] - 1e-12]
            upper = upper[np.lexsort(upper.T[::-1])]
            (self.hulls_[label],) = ax.plot(*upper.T, color=color, lw=0.7, alpha=0.7, zorder=1.9)
            if label in self.feasible:
                self.feasible_[label] = ax.add_patch(
                    Polygon(self.feasible[label], fc=color, ec=color, alpha=0.22, lw=1.0, zorder=1)
                )
            if label in self.operating:
                # A point that later ones would cover is a ring around them.
                here, later = self.operating[label], list(self.operating)[len(self.operating_) :]
                rings = sum(np.abs(self.operating[k] - here).max() < 0.03 for k in later[1:])
                (self.operating_[label],) = ax.plot(
                    *here,
                    marker=_marker(i),
                    color=color,
                    mfc="none" if rings else color,
                    mec=color if rings else "white",
                    mew=1.4 if rings else 0.9,
                    ms=7 + 4 * rings,
                    zorder=4,
                )
            handles.append(
                Line2D(
                    [], [], color=color, ls=_dash(i), marker=_marker(i) if self.operating else "",
                    ms=6, label=checks.group_name(label),
                )
            )  # fmt: skip
        handles.append(Line2D([], [], color=_MUTED, lw=0.7, label="hull: mixed thresholds"))
        if self.operating:
            handles.append(
                Line2D([], [], color=_MUTED, marker="o", ls="", ms=6, label="operating point")
            )
        if self.feasible:
            handles.append(Patch(color=_MUTED, alpha=0.3, label="keeps the constraint"))
        ax.plot([0, 1], [0, 1], ":", color="0.6", lw=0.9, zorder=0)
        ax.set(
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
            xlabel="false positive rate\n(share of negative samples)",
            ylabel="true positive rate\n(share of positive samples)",
        )
        ax.grid(alpha=0.25, lw=0.6)
        self._legend(handles, legend_kwargs, above=False)
        return self


def _hull(points: Float) -> Float:
    """Return the corners of the convex hull of points, counter-clockwise (monotone chain)."""
    distinct = np.unique(points, axis=0)
    if len(distinct) < 3:
        return distinct
    chains = []
    for ordered in (distinct, distinct[::-1]):
        chain: list[Float] = []
        for point in ordered:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 1e-15:
                chain.pop()
            chain.append(point)
        chains.append(chain[:-1])
    return np.array(chains[0] + chains[1])


def _turn(a: Float, b: Float, c: Float) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _feasible(hull: Float, moments: Moments, operating: Float, group: int) -> Float:
    """Return the part of a group's hull that keeps the bounds, the other groups as they are.

    Parameters
    ----------
    hull : ndarray of shape (n_vertices, 2)
        Corners of the group's hull, in order around it.
    moments : Moments
        Rates and bounds of the groups.
    operating : ndarray of shape (n_groups, 2)
        False and true positive rate of each group.
    group : int
        The group that may move.

    Returns
    -------
    ndarray of shape (n_corners, 2)
        Corners in order; none where no point keeps them.
    """
    rates = group_rates(moments, operating * moments.mass)
    # A rate is slope @ (false, true positive rate) + offset.
    slope = moments.slope * moments.mass[moments.unit]
    area = hull
    for row in np.flatnonzero(moments.unit == group).tolist():
        low, high = _window(moments, rates, row)
        area = _clipped(area, slope[row], high - moments.offset[row])
        area = _clipped(area, -slope[row], moments.offset[row] - low)
    return area


def _window(moments: Moments, rates: Float, row: int) -> tuple[float, float]:
    """Return what the rate of a row may be, given those of the other rows of its event."""
    event = moments.event[row]
    bound, kind = moments.bound[event], moments.kind[event]
    if kind == Kind.FLOOR:
        return bound, np.inf
    others = moments.event == event
    others[row] = False
    rest = rates[others]
    # The overall rate is own * rate + fixed at the row's own rate.
    own, fixed = moments.share[row], moments.share[others] @ rest
    if kind == Kind.CEILING:
        return -np.inf, (bound - fixed) / own
    if not len(rest):
        return -np.inf, np.inf
    if moments.is_ratio[event]:
        lowest, highest = bound * rest.max(), rest.min() / bound if bound > 0 else np.inf
    else:
        lowest, highest = rest.max() - bound, rest.min() + bound
    if not moments.to_overall[event]:
        return lowest, highest
    # Of the others against the overall rate, and of the row's own rate against it.
    low, high = (lowest - fixed) / own, (highest - fixed) / own
    if moments.is_ratio[event]:
        own_low = bound * fixed / (1 - bound * own)
        own_high = fixed / (bound - own) if bound > own else np.inf
    else:
        own_low, own_high = (fixed - bound) / (1 - own), (fixed + bound) / (1 - own)
    return max(low, own_low), min(high, own_high)


def _clipped(polygon: Float, slope: Float, limit: float) -> Float:
    """Return the part of a convex polygon where ``slope @ point <= limit``, up to rounding."""
    if not len(polygon) or np.isinf(limit):
        return polygon
    excess = polygon @ slope - limit - 1e-9
    kept = []
    for i, here in enumerate(polygon):
        j = (i + 1) % len(polygon)
        if excess[i] <= 0:
            kept.append(here)
        if (excess[i] <= 0) != (excess[j] <= 0):
            kept.append(here + excess[i] / (excess[i] - excess[j]) * (polygon[j] - here))
    return np.array(kept).reshape(-1, 2)


class ScoreDistributionDisplay(_Display):
    """Score histograms by group, with the thresholds that cut them.

    Use `from_estimator` or `from_predictions` to make one. Each group has a strip of its own, all
    to the same scale. Its heading tells the number of rows and from which score on rows are
    accepted; where a rule draws between thresholds, with which probability.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins.
    shares : dict of label to ndarray of shape (n_bins,)
        Share of the group's samples in each bin.
    count : dict of label to int
        Rows of positive weight of each group.
    thresholds : dict of label to list of (float, float)
        Thresholds and their probabilities by group; may lack groups.
    score_name : str, default="score"
        What the scores are.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        Figure with the axes.
    histograms_ : dict of label to StepPatch
        Histograms.
    thresholds_ : dict of label to LineCollection
        Thresholds; wider where more probable.
    headings_ : dict of label to Text
        Headings of the strips.

    See Also
    --------
    GroupROCDisplay : The same thresholds as operating points.
    """

    def __init__(
        self,
        edges: Float,
        shares: Mapping[Any, Float],
        count: Mapping[Any, int],
        thresholds: Mapping[Any, list[tuple[float, float]]],
        *,
        score_name: str = "score",
    ) -> None:
        self.edges = edges
        self.shares = shares
        self.count = count
        self.thresholds = thresholds
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        sensitive_features: Any = None,
        control_features: Any = None,
        sensitive_columns: checks.Columns | None = None,
        sample_weight: ArrayLike | None = None,
        pos_label: Any = None,
        missing: str | None = None,
        bins: Any = 40,
        ax: Any = None,
    ) -> Self:
        """Draw the scores of a fitted classifier.

        Parameters
        ----------
        estimator : classifier
            A fitted `GroupThresholdClassifier`, or any classifier with scores.
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features), default=None
            Rows to draw. None means the out-of-fold scores that a `GroupThresholdClassifier`
            computed its thresholds from.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), \
                default=None
            Groups of the rows.
        control_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
            Strata of the rows, where the estimator was fitted with them.
        sensitive_columns : str, int, sequence of these or callable, default=None
            Columns of X that give the groups, where they are not passed; None means those of the
            estimator.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0.
        pos_label : int, float, bool or str, default=None
            The positive label; None means the estimator's, or the larger of the two. A
            `GroupThresholdClassifier` is always drawn with its own.
        missing : {"error", "group"}, default=None
            Whether missing values among the groups are an error or a group of their own; None
            means as for the estimator, an error where it has no such setting.
        bins : int, str or sequence, default=40
            Bins, as in `numpy.histogram_bin_edges`, the same for all groups.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        ScoreDistributionDisplay
            The display, drawn.
        """
        rows = _scored_rows(
            estimator,
            X,
            None,
            sensitive_features,
            control_features,
            sensitive_columns,
            sample_weight,
            pos_label,
            missing,
        )
        return cls._of(rows, bins).plot(ax)

    @classmethod
    def from_predictions(
        cls,
        y_score: ArrayLike,
        *,
        sensitive_features: Any,
        thresholds: Any = None,
        sample_weight: ArrayLike | None = None,
        missing: str = "error",
        bins: Any = 40,
        ax: Any = None,
    ) -> Self:
        """Draw scores by group.

        Parameters
        ----------
        y_score : array-like of shape (n_samples,)
            Scores, finite.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
            Groups of the rows.
        thresholds : float or mapping, default=None
            One threshold for all, or for each group a threshold or its
            ``(threshold, probability)`` pairs.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0.
        missing : {"error", "group"}, default="error"
            Whether missing values among the groups are an error or a group of their own.
        bins : int, str or sequence, default=40
            Bins, as in `numpy.histogram_bin_edges`, the same for all groups.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        ScoreDistributionDisplay
            The display, drawn.
        """
        score = _finite_scores(y_score, checks.n_rows(y_score))
        unit, labels = checks.encode_groups(
            sensitive_features, len(score), missing=missing, what="sensitive_features"
        )
        weight = checks.check_weights(sample_weight, score)
        rules = _given_rules(thresholds, labels)
        return cls._of(_Scored(score, None, unit, labels, weight, rules, "score"), bins).plot(ax)

    @classmethod
    def _of(cls, rows: _Scored, bins: Any) -> Self:
        rows = rows.counted()
        is_probability = rows.name.startswith("predicted probability")
        span = (0.0, 1.0) if is_probability else None
        edges = np.histogram_bin_edges(rows.score, bins, range=span)
        shares, count = {}, {}
        for g, label in enumerate(rows.labels):
            inside = rows.unit == g
            weight = None if rows.sample_weight is None else rows.sample_weight[inside]
            height, _ = np.histogram(rows.score[inside], edges, weights=weight)
            if height.sum() > 0:
                shares[label] = height / height.sum()
                count[label] = int(inside.sum())
        if not shares:
            msg = (
                f"bins must hold some of the scores, which lie in [{rows.score.min():.4g}, "
                f"{rows.score.max():.4g}], got edges from {edges[0]:.4g} to {edges[-1]:.4g}."
            )
            raise ValueError(msg)
        return cls(edges, shares, count, rows.thresholds, score_name=rows.name)

    def plot(self, ax: Any = None) -> Self:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure that is high enough for all groups.

        Returns
        -------
        ScoreDistributionDisplay
            This display.
        """
        n_groups = len(self.shares)
        ax = self._start(ax, (6.4, max(2.8, 0.8 + 1.1 * n_groups)))
        strip = ax.get_window_extent().height * 72 / self.figure_.dpi / n_groups
        font = float(np.clip(0.25 * strip, _SMALLEST, _SMALL))
        width = int(self._width(ax) / (0.52 * font))
        short = {k: f"{checks.group_name(k)} ({self.count[k]:,})" for k in self.shares}
        headings = {
            k: fill(name + _rule_text(self.thresholds.get(k, [])), width)
            for k, name in short.items()
        }
        n_lines = max(text.count("\n") for text in headings.values()) + 1
        if n_lines * 1.3 * font > 0.5 * strip:
            # Bars before words: the lines show the thresholds too.
            headings, n_lines = short, 1
        top = max(share.max() for share in self.shares.values())
        # Headings and some air above the highest bar.
        pitch = top / max(1 - (1.3 * n_lines + 0.6) * font / strip, 0.3)
        unit = 10.0 ** np.floor(np.log10(top))
        tick = max(step * unit for step in (1, 2, 5) if step * unit <= top)
        self.histograms_, self.thresholds_, self.headings_ = {}, {}, {}
        ticks, labels = [], []
        for i, (label, share) in enumerate(self.shares.items()):
            base, color = (n_groups - 1 - i) * pitch, _color(i)
            self.histograms_[label] = ax.stairs(
                base + share, self.edges, baseline=base, fill=True, fc=color, alpha=0.4
            )
            ax.axhline(base, color="0.3", lw=0.6, zorder=1)
            ticks += [base, base + tick]
            # Both where they do not touch, nor touch those of the next strip.
            room = min(tick, pitch - tick) / pitch * strip
            labels += ["0" if room > 1.4 * _SMALL else "", f"{tick:g}"]
            rule = self.thresholds.get(label, [])
            finite = [(t, p) for t, p in rule if np.isfinite(t)]
            self.thresholds_[label] = ax.vlines(
                [t for t, _ in finite],
                base,
                base + 1.02 * top,
                color=color,
                lw=[0.8 + 1.4 * p for _, p in finite],
                zorder=3,
            )
            self.headings_[label] = ax.text(
                0.01,
                base + pitch - 0.25 * font / strip * pitch,
                headings[label],
                transform=ax.get_yaxis_transform(),
                va="top",
                fontsize=font,
                in_layout=False,
            )
        ax.set_yticks(ticks, labels, fontsize=max(font, 6))
        ax.set_ylim(0, n_groups * pitch)
        ax.set_xlim(self.edges[0], self.edges[-1])
        ax.set_xlabel(self.score_name)
        ax.set_ylabel("share of the group's samples")
        return self


def _rule_text(rule: list[tuple[float, float]]) -> str:
    if not rule:
        return ""
    if len(rule) == 1:
        return f": accepted from {rule[0][0]:.3g}"
    shares = [f"{p:.0%}" if 0.005 <= p <= 0.995 else f"{p:.1%}" for _, p in rule]
    parts = [f"{t:.3g} ({p})" for (t, _), p in zip(rule, shares, strict=True)]
    return ": accepted from " + " or ".join(parts)


def png_of(display: Any) -> bytes:
    """Draw a display for a page and return the picture as PNG, leaving no figure behind."""
    import matplotlib.pyplot as plt

    figure = display.plot().figure_
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    plt.close(figure)
    return file.getvalue()
