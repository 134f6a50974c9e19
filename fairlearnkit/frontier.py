"""Performance against disparity on held-out folds: sweep the knob, compare methods, choose.

A frontier is measured, not promised: every number is on rows that the fit has not seen, in
expectation over a rule's own randomness, with its standard error over the folds.
"""

from __future__ import annotations

import hashlib
import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit
from sklearn.utils.parallel import Parallel, delayed

from fairlearnkit import _validation as checks
from fairlearnkit._base import held_out_splits
from fairlearnkit._kernels.intervals import effective_count, noise_floor
from fairlearnkit._kernels.moments import (
    Moments,
    cell_mass,
    group_rates,
    overall_rates,
)
from fairlearnkit._kernels.pareto import (
    SAME,
    Mixture,
    best_mixture,
    best_mixtures,
    hypervolume,
    knee,
    least_disparity,
    non_dominated,
)
from fairlearnkit._sweep import (
    EXPECTED_SCORES,
    Cells,
    Fold,
    Sweep,
    check_sweep,
    is_ratio,
    scorer_name,
)
from fairlearnkit.constraints import Criterion
from fairlearnkit.exceptions import DegenerateGroupWarning

__all__ = [
    "FrontierComparison",
    "Mixture",
    "ParetoFrontier",
    "Selection",
    "compare_frontiers",
    "fairness_frontier",
]

Float = NDArray[np.float64]
Int = NDArray[np.intp]
Bool = NDArray[np.bool_]

# Knobs of the default grid up to the disparity of the plain model, and looser ones beyond it:
# turning a fitted knob is nearly free, a refit is not.
_TURNED, _REFITTED = (17, 4), (7, 2)


@dataclass(frozen=True)
class Selection:
    """A knob that a rule chose; prints as the sentence that says why.

    Attributes
    ----------
    knob : float
        Value of the knob.
    index : int
        Its place among the knobs of the frontier.
    score, disparity : float
        Means over the held-out folds there.
    reason : str
        What was chosen and what the choice relied on.
    estimator : estimator or None
        Fitted on all rows at this knob; None where ``refit=False``.
    """

    knob: float
    index: int
    score: float
    disparity: float
    reason: str
    estimator: Any = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return the reason."""
        return self.reason


@dataclass(frozen=True, eq=False, repr=False)
class ParetoFrontier:
    """Held-out performance against disparity at several knobs, as `fairness_frontier` returns it.

    Prints as a table. Pickles keep the numbers and neither the data nor the estimator: `select`
    then needs ``refit=False``.

    Attributes
    ----------
    knob_name : str
        What turns: ``"max_difference"``, ``"min_ratio"``, ``"factor"`` on all difference bounds of
        an `AllOf`, or the parameter or callable given.
    knob : ndarray of shape (n_knobs,)
        Values, ascending.
    criteria : tuple of Criterion
        What was measured. The first one is the horizontal axis, and `criterion` for short; of an
        `AllOf` it is the first that the factor turns.
    score_name : str
        The score; larger is better.
    fold_scores : ndarray of shape (n_folds, n_knobs)
        Score on each held-out fold.
    disparities : ndarray of shape (n_criteria, n_folds, n_knobs)
        Disparity by each criterion: the largest difference, or the smallest ratio where its bound
        is one. NaN on a fold that cannot define it.
    base_fold_scores : ndarray of shape (n_folds,)
        Score of the model without a constraint on the same folds; NaN where there is none.
    base_disparities : ndarray of shape (n_criteria, n_folds)
        Its disparities.
    noise_floor : float
        Disparity that a perfectly equal rule would show on these folds (their mean over folds),
        by the number of rows of each group; for a ratio below 1. What is nearer to equality
        cannot be told from it.
    test_ratio : float
        Test rows over training rows of a fold, by which standard errors allow for the rows that
        training sets share.
    constant_score : float
        Mean score of the better of the two constant decisions; NaN for a score that is not
        computed in expectation.
    moments : tuple of Moments, one per fold
        The rates that the first criterion compares; empty where mixtures cannot be evaluated.
    fold_rates : tuple of ndarray of shape (n_knobs, n_rows), one per fold
        Group rates at every knob.
    note : str
        How the knobs were chosen.
    folds : str
        Fingerprint of the test rows of all folds with their labels, groups and weights: equal for
        frontiers that were measured on the same folds.
    costs : tuple of (float, float)
        Costs of a false positive and of a false negative, by which "neg_mean_cost" is computed.

    See Also
    --------
    fairness_frontier : Measures one.
    compare_frontiers : Compares several.

    Notes
    -----
    Standard errors are those of Nadeau and Bengio [1]_: the variance over folds times
    ``1 / n_folds + test_ratio``, since folds share training rows.

    References
    ----------
    .. [1] C. Nadeau, Y. Bengio, "Inference for the Generalization Error", Machine Learning 52,
       2003, section 3.
    """

    knob_name: str
    knob: Float
    criteria: tuple[Criterion, ...]
    score_name: str
    fold_scores: Float
    disparities: Float
    base_fold_scores: Float
    base_disparities: Float
    noise_floor: float = np.nan
    test_ratio: float = 0.0
    constant_score: float = np.nan
    moments: tuple[Moments, ...] = ()
    fold_rates: tuple[Float, ...] = ()
    note: str = ""
    folds: str = ""
    costs: tuple[float, float] = (1.0, 1.0)
    _source: Sweep | None = None

    @property
    def criterion(self) -> Criterion:
        """The criterion of the horizontal axis."""
        return self.criteria[0]

    @property
    def is_ratio(self) -> bool:
        """Whether the disparity is a smallest ratio, where larger is more equal."""
        return is_ratio(self.criterion)

    @property
    def disparity_name(self) -> str:
        """The disparity of the horizontal axis, in words."""
        return _disparity_name(self.criterion)

    @property
    def fold_disparities(self) -> Float:
        """Disparity on each held-out fold, shape (n_folds, n_knobs)."""
        return self.disparities[0]

    @property
    def base_fold_disparities(self) -> Float:
        """Disparity of the model without a constraint on each fold, shape (n_folds,)."""
        return self.base_disparities[0]

    @property
    def score(self) -> Float:
        """Mean score at each knob, shape (n_knobs,)."""
        return self.fold_scores.mean(axis=0)

    @property
    def disparity(self) -> Float:
        """Mean disparity at each knob over the folds that define it, shape (n_knobs,)."""
        return self.fold_disparities[self._defined].mean(axis=0)

    @property
    def score_error(self) -> Float:
        """Standard error of `score`, shape (n_knobs,)."""
        return _standard_error(self.fold_scores, self.test_ratio)

    @property
    def disparity_error(self) -> Float:
        """Standard error of `disparity`, shape (n_knobs,)."""
        return _standard_error(self.fold_disparities[self._defined], self.test_ratio)

    @property
    def base_score(self) -> float:
        """Mean score of the model without a constraint."""
        return float(self.base_fold_scores.mean())

    @property
    def base_disparity(self) -> float:
        """Mean disparity of the model without a constraint."""
        return float(self.base_fold_disparities[self._defined].mean())

    @property
    def non_dominated(self) -> Bool:
        """Whether no other knob is as good in both respects and better in one."""
        return non_dominated(self.score, self._inequality(self.disparity))

    @property
    def _defined(self) -> Bool:
        return np.asarray(np.isfinite(self.fold_disparities).all(axis=1))

    def _inequality(self, disparity: Any) -> Any:
        """Return what is to be small: a difference, or one minus a ratio."""
        return 1 - disparity if self.is_ratio else disparity

    def __len__(self) -> int:
        """Return the number of knobs."""
        return len(self.knob)

    def __repr__(self) -> str:
        """Return what was measured, in a line."""
        return (
            f"<ParetoFrontier: {len(self)} knobs, {self.knob_name} {self.knob[0]:.4g} to "
            f"{self.knob[-1]:.4g}{f' ({self.note})' if self.note else ''}, "
            f"{len(self.fold_scores)} folds; {self.score_name} {self.score.min():.4f} to "
            f"{self.score.max():.4f}, {self.disparity_name} {self.disparity.min():.4f} to "
            f"{self.disparity.max():.4f}>"
        )

    def __str__(self) -> str:
        """Return a table, one line per knob, and what it says about itself."""
        first, second = self.knob_name, self.disparity_name
        width = max(len(first), 11), max(len(self.score_name), 17), max(len(second), 17)
        lines = [f"{first:>{width[0]}}  {self.score_name:>{width[1]}}  {second:>{width[2]}}"]
        rows = [(_as_text(k), i) for i, k in enumerate(self.knob.tolist())]
        score, error = self.score, self.score_error
        gap, gap_error, best = self.disparity, self.disparity_error, self.non_dominated
        for name, i in rows:
            lines.append(
                f"{name:>{width[0]}}  {_with_error(score[i], error[i]):>{width[1]}}  "
                f"{_with_error(gap[i], gap_error[i]):>{width[2]}}{'  *' if best[i] else ''}"
            )
        if not np.isnan(self.base_score):
            base_error = _standard_error(self.base_fold_scores, self.test_ratio)
            base_gap_error = _standard_error(
                self.base_fold_disparities[self._defined], self.test_ratio
            )
            lines.append(
                f"{'plain model':>{width[0]}}  "
                f"{_with_error(self.base_score, base_error):>{width[1]}}  "
                f"{_with_error(self.base_disparity, base_gap_error):>{width[2]}}"
            )
        lines.append(f"{self._means()[0].upper()}{self._means()[1:]}; * no other knob is better")
        lines[-1] += " in both."
        if not np.isnan(self.noise_floor):
            lines.append(
                f"An equal rule would show {self.noise_floor:.4f} on these folds (noise floor)."
            )
        if self.note:
            lines.append(f"Knobs: {self.note}.")
        return "\n".join(lines)

    def _means(self) -> str:
        """Return what the numbers are, in words."""
        n_folds = len(self.fold_scores)
        if n_folds == 1:
            return "of one held-out fold"
        return f"means over {n_folds} held-out folds ± standard errors"

    def to_frame(self) -> Any:
        """Return the frontier as a data frame.

        Returns
        -------
        pandas.DataFrame
            One row per knob; columns knob (by its name), score, score_error, disparity,
            disparity_error and non_dominated, and one for each further criterion by its name.
        """
        pd = checks.import_pandas("to_frame")
        columns = {
            self.knob_name: self.knob,
            "score": self.score,
            "score_error": self.score_error,
            "disparity": self.disparity,
            "disparity_error": self.disparity_error,
            "non_dominated": self.non_dominated,
        }
        for criterion, by_fold in zip(self.criteria[1:], self.disparities[1:], strict=True):
            columns[_disparity_name(criterion)] = np.nanmean(by_fold, axis=0)
        return pd.DataFrame(columns)

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the frontier; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to `ParetoFrontierDisplay.from_frontier`.

        Returns
        -------
        ParetoFrontierDisplay
            What was drawn, with its artists.
        """
        # By name: pictures are made of frontiers, so that this module cannot import that one.
        display = importlib.import_module("fairlearnkit.display")
        return display.ParetoFrontierDisplay.from_frontier(self, ax=ax, **kwargs)

    def hypervolume(self, reference: tuple[float, float] | None = None) -> float:
        """Return the area between the staircase and a reference point.

        Parameters
        ----------
        reference : tuple of (disparity, score), default=None
            Worst disparity and lowest score of interest; points beyond add nothing. None takes
            the disparity of the model without a constraint and the score of the better constant
            decision, and suits comparisons of methods around the same model.

        Returns
        -------
        float
            In units of score times disparity, >= 0.

        Raises
        ------
        ValueError
            If no reference is given and the frontier has none.
        """
        if reference is None:
            reference = (self.base_disparity, self.constant_score)
        if np.shape(reference) != (2,):
            msg = f"reference must be (disparity, score), got {reference!r}."
            raise ValueError(msg)
        if np.isnan(reference).any():
            msg = (
                "hypervolume needs reference=(disparity, score), got "
                f"{tuple(float(value) for value in reference)}: this frontier has no model "
                "without a constraint, or its score is not computed in expectation."
            )
            raise ValueError(msg)
        return hypervolume(
            self.score,
            self._inequality(self.disparity),
            reference[1],
            self._inequality(reference[0]),
        )

    def mixture(self, disparity: float) -> Mixture:
        """Return the best mixture of the knobs' rules within a mean held-out disparity.

        A mixture decides each row by one of the rules, drawn with its share. Its disparity is
        that of the mixed group rates, which may be less than any rule's own. Exact for
        differences, with any number of rules; for ratios, whose mean over folds is not concave in
        the shares, the best of two rules, in steps of 0.005.

        Parameters
        ----------
        disparity : float
            Largest difference, or smallest ratio, allowed.

        Returns
        -------
        Mixture
            Shares of the knobs (`weight`), expected `score`, `disparity`, and the `price`: score
            gained per unit of disparity beyond it, NaN for ratios. Chosen on the folds that it is
            measured on: a little optimistic.

        Raises
        ------
        ValueError
            If no mixture is within it, or the score is not linear in the decisions.
        """
        moments, rates = self._rates()
        found = best_mixture(self.score, moments, rates, _number("disparity", disparity))
        if found is None:
            reached = least_disparity(moments, rates)
            msg = (
                f"No mixture of {'two of ' if self.is_ratio else ''}these knobs has a mean "
                f"{self.disparity_name} of {disparity:g} on the held-out folds; {reached:.4g} is "
                "the nearest. Ask for that, or add tighter knobs."
            )
            raise ValueError(msg)
        return found

    def _rates(self) -> tuple[list[Moments], list[Float]]:
        if not self.moments:
            msg = (
                "Mixtures need group rates and a score that is linear in the decisions "
                f"({', '.join(EXPECTED_SCORES)}), got scoring={self.score_name!r}. Measure with "
                "one of these."
            )
            raise ValueError(msg)
        defined = np.flatnonzero(self._defined)
        return [self.moments[f] for f in defined], [self.fold_rates[f] for f in defined]

    def interpolate(self, disparity: ArrayLike) -> Any:
        """Return the best expected score of a mixture within some disparities; see `mixture`.

        Parameters
        ----------
        disparity : float or array-like
            Mean held-out disparities allowed.

        Returns
        -------
        float or ndarray
            Scores; NaN where no mixture is within it.
        """
        moments, rates = self._rates()
        wanted = np.asarray(disparity)
        bounds = [_number("disparity", value) for value in wanted.ravel().tolist()]
        found = best_mixtures(self.score, moments, rates, bounds)
        scores = np.array([np.nan if m is None else m.score for m in found]).reshape(wanted.shape)
        return float(scores) if scores.ndim == 0 else scores

    def price(self, disparity: float) -> float:
        """Return the score gained per unit of disparity allowed, just beyond a disparity.

        Parameters
        ----------
        disparity : float
            A mean held-out difference.

        Returns
        -------
        float
            Slope of `interpolate` there, >= 0.

        Raises
        ------
        ValueError
            If the disparity is a ratio, or no mixture is within it.
        """
        if self.is_ratio:
            msg = "price is known for differences only, got a criterion with min_ratio."
            raise ValueError(msg)
        return self.mixture(disparity).price

    def select(
        self,
        rule: str | None = None,
        *,
        max_disparity: float | None = None,
        min_ratio: float | None = None,
        min_score: float | None = None,
        price: float | None = None,
        refit: bool = True,
    ) -> Selection | None:
        """Choose a knob by one rule, and fit the estimator at it on all rows.

        Parameters
        ----------
        rule : {"knee"} or None, default=None
            "knee" takes the knob where the trade-off bends most, if it bends.
        max_disparity : float, default=None
            The best score among knobs with a mean held-out difference of at most this.
        min_ratio : float, default=None
            The same for a criterion with a ratio: of at least this.
        min_score : float, default=None
            The least disparity among knobs with a mean held-out score of at least this.
        price : float, default=None
            The best of ``score - price * disparity`` (for ratios of ``1 - ratio``): what one unit
            of disparity is worth in score.
        refit : bool, default=True
            Whether to fit on all rows. They are not copied when the frontier is measured: leave
            them as they were until then.

        Returns
        -------
        Selection or None
            Knob, fitted estimator, and a sentence on what the choice relied on; None where "knee"
            finds no knee.

        Raises
        ------
        ValueError
            If not exactly one rule is given, no knob meets it, or the data to fit on is gone, as
            in pickles.
        """
        given = {
            "rule": rule,
            "max_disparity": max_disparity,
            "min_ratio": min_ratio,
            "min_score": min_score,
            "price": price,
        }
        given = {name: value for name, value in given.items() if value is not None}
        for name in given.keys() - {"rule"}:
            _number(name, given[name])
        if price is not None and price < 0:
            msg = f"price must be >= 0, got {price!r}: disparity is not to be gained."
            raise ValueError(msg)
        if len(given) != 1:
            msg = (
                'select takes exactly one of "knee", max_disparity, min_ratio, min_score and '
                f"price, got {', '.join(given) or 'none'}."
            )
            raise ValueError(msg)
        if rule is not None:
            if rule != "knee":
                msg = f'rule must be "knee", got {rule!r}.'
                raise ValueError(msg)
            index = knee(self.score, self._inequality(self.disparity))
            if index is None:
                return None
            why = "the knee, farthest above the straight line between the ends of the frontier"
        elif price is not None:
            index = int((self.score - price * self._inequality(self.disparity)).argmax())
            why = f"the best {self.score_name} less {price:g} per unit of disparity"
        else:
            index, why = self._within(max_disparity, min_ratio, min_score)
        score, gap, knob = self.score[index], self.disparity[index], self.knob[index].item()
        reason = (
            f"{self.knob_name}={knob:.4g}: {why}. {self.score_name} "
            f"{_with_error(score, self.score_error[index])} and {self.disparity_name} "
            f"{_with_error(gap, self.disparity_error[index])} are "
            f"{self._means()}. The knob was chosen among {len(self)} on the same folds: expect a "
            "little less on new data."
        )
        estimator = self._refitted(index) if refit else None
        return Selection(knob, index, float(score), float(gap), reason, estimator)

    def _within(
        self, max_disparity: float | None, min_ratio: float | None, min_score: float | None
    ) -> tuple[int, str]:
        """Return the best knob within a bound on one axis, and the rule in words."""
        if min_score is not None:
            fits = self.score >= min_score - SAME
            if not fits.any():
                msg = (
                    f"No knob has a mean {self.score_name} of {min_score:g} on the held-out "
                    f"folds; the best has {self.score.max():.4g}. Lower min_score, or add looser "
                    "knobs."
                )
                raise ValueError(msg)
            inequality = np.where(fits, self._inequality(self.disparity), np.inf)
            index = int(np.lexsort((-self.score, inequality))[0])
            why = f"the least disparity among {fits.sum()} knobs with a mean {self.score_name} of "
            return index, why + f"at least {min_score:g}"
        if (min_ratio is not None) != self.is_ratio:
            right = "min_ratio" if self.is_ratio else "max_disparity"
            msg = f"This frontier has a {self.disparity_name}: select by {right}."
            raise ValueError(msg)
        bound = min_ratio if max_disparity is None else max_disparity
        fits = self._inequality(self.disparity) <= self._inequality(bound) + SAME
        if not fits.any():
            nearest = self.disparity[self._inequality(self.disparity).argmin()]
            msg = (
                f"No knob has a mean {self.disparity_name} of {bound:g} on the held-out folds; "
                f"the nearest has {nearest:.4g}. Relax the bound, or add tighter knobs."
            )
            raise ValueError(msg)
        score = np.where(fits, self.score, -np.inf)
        index = int(np.lexsort((self._inequality(self.disparity), -score))[0])
        why = f"the best {self.score_name} among {fits.sum()} knobs with a mean "
        why += f"{self.disparity_name} of at {'least' if self.is_ratio else 'most'} {bound:g}"
        return index, why

    def _refitted(self, index: int) -> Any:
        if self._source is None or self._source.values is None:
            msg = (
                "select fits on the data that the frontier was measured on, which pickles do not "
                "keep. Pass refit=False and fit at the knob it names."
            )
            raise ValueError(msg)
        return self._source.fitted_at(self._source.values[index])

    def __getstate__(self) -> dict[str, Any]:
        """Return the numbers without data and estimator."""
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        return state | {"_source": None}


def _standard_error(by_fold: Float, test_ratio: float) -> Any:
    """Return the standard error of means over folds that share training rows."""
    if len(by_fold) < 2:
        return np.full(by_fold.shape[1:], np.nan)
    return np.sqrt((1 / len(by_fold) + test_ratio) * by_fold.var(axis=0, ddof=1))


def _with_error(value: float, error: float) -> str:
    return f"{value:.4f}" if np.isnan(error) else f"{value:.4f} ± {error:.4f}"


def _as_text(knob: Any) -> str:
    return f"{knob:.4f}" if isinstance(knob, float) else str(knob)


def _disparity_name(criterion: Criterion) -> str:
    """Return a criterion's disparity in words, such as "equalized odds difference"."""
    name = type(criterion).__name__
    if name == "Parity":
        words = ", ".join(rate.label for rate in criterion._rates())
    else:
        words = "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()
        words = words.removesuffix(" parity") if words != "demographic parity" else words
    to = " to overall" if getattr(criterion, "reference", None) == "overall" else ""
    return f"{words} {'ratio' if is_ratio(criterion) else 'difference'}{to}"


def fairness_frontier(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    max_differences: ArrayLike | None = None,
    min_ratios: ArrayLike | None = None,
    knob: str | Callable[[Any, float], Any] | None = None,
    knob_values: ArrayLike | None = None,
    cv: Any = 5,
    sensitive_features: Any = None,
    control_features: Any = None,
    sample_weight: ArrayLike | None = None,
    criteria: Criterion | Sequence[Criterion] | None = None,
    scoring: Any = "accuracy",
    decision: Callable[[Any, Any, Any], ArrayLike] | None = None,
    base_estimator: Any = None,
    pos_label: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> ParetoFrontier:
    """Measure performance against disparity on held-out folds, at many values of the knob.

    An estimator of this package is fitted once per fold and then turned by its `at`, so that a
    curve costs about what one knob costs. Any other estimator joins by `knob` and is fitted again
    at each value.

    Parameters
    ----------
    estimator : estimator
        What to measure: an estimator of this package, a pipeline that ends in one, or any
        classifier with `knob`. It is cloned: later changes to it change nothing.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        Rows.
    y : array-like of shape (n_samples,)
        Labels, of two kinds.
    max_differences : array-like of shape (n_knobs,), default=None
        Bounds to turn to, ascending, in [0, 1]. For an `AllOf`, whose knob is one factor on all
        its difference bounds, give `knob_values`.
    min_ratios : array-like of shape (n_knobs,), default=None
        The same as ratios.
    knob : str, callable or None, default=None
        How other estimators are turned: the name of a parameter (``"C"``,
        ``"clf__constraint__max_difference"``), or a callable ``(estimator, value) -> estimator``
        that gets a clone and returns what to fit. Values reach both as they are given. None turns
        by `at`.
    knob_values : array-like of shape (n_knobs,), default=None
        Values of the knob, ascending. None, with no bounds given either, takes values from the
        noise floor of all rows (what a perfectly equal rule would show on them) to the disparity
        of the model without a constraint, and a few looser ones up to no bound at all, since a
        rule without a bound may be less equal than that model: 21 for `at`, 9 where each is a fit.
        Criteria that compare nothing (`MinimumRate`, `Capacity`, `ConvexRates` with one parameter)
        need them, and `criteria` to measure.
    cv : int, splitter or iterable of splits, default=5
        Held-out folds; a whole number makes stratified ones. Test folds may leave out rows or
        repeat them, but no fold tests on rows that it is fitted on. To keep groups of rows
        together, give the splits: ``list(GroupKFold(5).split(X, y, persons))``.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
        Groups of the rows, passed on where `fit` and `predict` take them. None takes the
        estimator's own `sensitive_columns`.
    control_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
        Strata of the rows, within which groups are compared.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, >= 0, in fits, scores and (with the estimator's `weight_rates`) rates.
    criteria : Criterion or sequence of Criterion, default=None
        What to measure; the first is the horizontal axis. None takes the estimator's own, what
        turns first.
    scoring : str or callable, default="accuracy"
        "accuracy", "balanced_accuracy" and "neg_mean_cost" (with the estimator's `costs`) are
        computed in expectation over the rule's own randomness. Any other scorer of scikit-learn
        sees the decisions of `predict`, and has no mixtures.
    decision : callable, default=None
        ``(fitted, X, groups) -> probabilities`` of the positive label, or of both, for estimators
        that decide at random without a `decision_probability`, for scores in expectation only;
        for fairlearn's, ``lambda fitted, X, groups: fitted._pmf_predict(X)``, with
        ``sensitive_features=groups`` for its `ThresholdOptimizer`. None takes `predict`. For a
        pipeline it gets the last step, and X as that sees it.
    base_estimator : estimator, default=None
        The model without a constraint. None takes the one that a constrained estimator wraps, or
        the estimator itself with no bound on its decisions where it wraps none; with a callable
        knob around a plain classifier, that classifier.
    pos_label : int, float, bool or str, default=None
        The label whose prediction counts as selection, for estimators without a `pos_label` of
        their own; None takes the estimator's, else the larger of the two.
    n_jobs : int, default=None
        Folds measured in parallel, as in joblib: inside
        ``joblib.parallel_config(backend="dask")`` on the workers of a Dask cluster, and likewise
        with Ray's backend.
    verbose : int, default=0
        If positive, print which knobs were chosen and a line for each fold.

    Returns
    -------
    ParetoFrontier
        Scores and disparities at every knob; prints as a table.

    Raises
    ------
    ValueError
        If the estimator has no knob, knobs are empty or not ascending, no groups are given, folds
        share rows with their training rows, a fold does not define the score, or no fold defines
        the criterion.

    Warns
    -----
    DegenerateGroupWarning
        If a held-out fold has no rows for a rate of some group. Where that leaves nothing to
        compare, the fold is left out of the disparity.

    See Also
    --------
    compare_frontiers : Several methods on the same folds.

    Notes
    -----
    A grid search over the knob (`~sklearn.model_selection.GridSearchCV`) gives the same numbers
    and fits the wrapped model anew for each value.

    With default knobs the fitted estimators of all folds are held at once, with their training
    rows, unless folds run in parallel: then the model without a constraint is fitted once more on
    each fold, to choose the knobs.

    Where the bound binds, held-out disparities are mostly above the knob: rates differ between
    samples, and a largest gap is biased upwards. The noise floor says by how much where the true
    gap is zero.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairlearnkit import DemographicParity, GroupThresholdClassifier, fairness_frontier
    >>> from fairlearnkit.datasets import make_group_classification
    >>> X, y, groups = make_group_classification(4000, base_rates=(0.6, 0.3), random_state=0)
    >>> clf = GroupThresholdClassifier(LogisticRegression(), DemographicParity(max_difference=0.1))
    >>> frontier = fairness_frontier(
    ...     clf, X, y, sensitive_features=groups, max_differences=[0.02, 0.1, 0.2]
    ... )
    >>> frontier.score.round(2).tolist(), round(frontier.base_score, 2)
    ([0.76, 0.77, 0.79], 0.78)
    >>> frontier.select(max_disparity=0.15, refit=False).knob
    0.1
    """
    source, measured, turned = check_sweep(
        estimator,
        X,
        y,
        max_differences=max_differences,
        min_ratios=min_ratios,
        knob=knob,
        knob_values=knob_values,
        sensitive_features=sensitive_features,
        control_features=control_features,
        sample_weight=sample_weight,
        criteria=criteria,
        scoring=scoring,
        decision=decision,
        base_estimator=base_estimator,
        pos_label=pos_label,
        verbose=verbose,
    )
    splits = held_out_splits(cv, source.data.X, source.data.y, source.data.weight)
    if not splits or not all(len(test) for _, test in splits):
        msg = f"cv must give one fold or more, each with test rows, got {cv!r}."
        raise ValueError(msg)
    names = [f"fold {f + 1} of {len(splits)}" for f in range(len(splits))]
    n_folds = len(splits)
    parallel = Parallel(n_jobs=n_jobs)
    begun: list[Fold | None] = [None] * n_folds
    note = "as given"
    if source.values is None:
        # Fitted estimators are kept for the knobs where they need not travel between processes.
        keep = effective_n_jobs(n_jobs) == 1
        begun = parallel(
            delayed(source.fold)(name, *split, keep=keep, only_base=True)
            for name, split in zip(names, splits, strict=True)
        )
        values, note = _default_knobs(source, turned, begun)
        source = replace(source, values=values)
        if verbose:
            print(f"[fairness_frontier] {len(values)} knobs, {source.knob_name} {note}")
    results = parallel(
        delayed(source.fold)(name, *split, fold)
        for name, split, fold in zip(names, splits, begun, strict=True)
    )
    return _assemble(source, measured, note, splits, results)


# ---------------------------------------------------------------------------------------------
# From folds to the frontier


def _counts(criterion: Criterion, moments: Moments, mass: Float, squares: Float) -> Float:
    """Return the number of rows that each rate is taken over, by the precision of its mean."""
    rates = [rate for parity in criterion.parities() for rate in parity._rates()]
    n_strata = moments.n_events // len(rates)
    below = np.array([rate._condition() for rate in rates], dtype=float)[moments.event // n_strata]
    return effective_count(
        (mass[moments.unit] * below).sum(axis=1), (squares[moments.unit] * below).sum(axis=1)
    )


def _floor(
    criterion: Criterion, n_strata: int, mass: Float, squares: Float, common: Float
) -> float:
    """Return the disparity that equal rates would show; `common` are the rates by event.

    From a fixed seed: the same data have the same noise floor.
    """
    moments = criterion._moments_of_mass(mass, n_strata)
    count = _counts(criterion, moments, mass, squares)
    known = ~np.isnan(common[moments.event])
    rate = np.where(known, common[moments.event], 0.0)

    def first_disparity(rates: Float) -> float:
        return float(criterion._disparities(moments, rates)[0])

    return noise_floor(rate, count, first_disparity, np.random.default_rng(0))


def _common_rates(criterion: Criterion, n_strata: int, mass: Float, sums: Float) -> Float:
    """Return each event's rate over all groups."""
    moments = criterion._moments_of_mass(mass, n_strata)
    return overall_rates(moments, group_rates(moments, sums))


def _fold_disparity(criterion: Criterion, n_strata: int, mass: Float, sums: Float) -> float:
    moments = criterion._moments_of_mass(mass, n_strata)
    return float(criterion._disparities(moments, group_rates(moments, sums))[0])


def _default_knobs(
    source: Sweep, turned: Criterion, folds: Sequence[Fold | None]
) -> tuple[list[Any], str]:
    """Return knobs from the noise floor of all rows to no bound, and that in words."""
    done = [(fold, fold.base) for fold in folds if fold is not None and fold.base is not None]
    if len(done) < len(folds):
        msg = (
            "Default knobs are placed by the disparity of the model without a constraint, which "
            "is not known here. Pass knob_values=, or base_estimator=."
        )
        raise ValueError(msg)
    data, n_strata = source.data, source.n_strata
    weight = data.weight if source.weight_rates else None
    squared = None if weight is None else weight**2
    mass = cell_mass(data.positive, data.unit, weight, source.n_units)
    squares = cell_mass(data.positive, data.unit, squared, source.n_units)
    held_out = np.sum([fold.rate_mass for fold, _ in done], axis=0)
    sums = np.sum([base.rate for _, base in done], axis=0)
    by_factor = source.turns and source.knob_name == "factor"
    # A factor is in units of each bound; what has no bound to scale does not turn.
    parities = list(turned.parities())
    parities = [p for p in parities if p.max_difference] if by_factor else parities[:1]
    unit = [p.max_difference if by_factor else 1.0 for p in parities]
    floors, ends = [], []
    for parity in parities:
        common = _common_rates(parity, n_strata, held_out, sums)
        floors.append(_floor(parity, n_strata, mass, squares, common))
        by_fold = np.array(
            [_fold_disparity(parity, n_strata, fold.rate_mass, base.rate) for fold, base in done]
        )
        if np.isnan(by_fold).all():
            raise ValueError(_nothing_to_compare(parity))
        ends.append(float(np.nanmean(by_fold)))
    # As differences from equality, which a looser bound lets be larger.
    floor, base = np.array(floors), np.array(ends)
    if is_ratio(parities[0]):
        floor, base = 1 - floor, 1 - base
    # The factor starts where the first of the criteria is in the noise, and ends where none binds.
    tightest, plain, loosest = (floor / unit)[0], (base / unit).max(), (1 / np.array(unit)).max()
    low, high = sorted((tightest, plain))
    n_tight, n_loose = _TURNED if source.turns else _REFITTED
    knobs = np.linspace(low, high, n_tight if high - low >= 1e-6 else 1)
    if high < loosest:
        knobs = np.append(knobs, np.geomspace(max(high, 1e-3), loosest, n_loose + 1)[1:])
    if is_ratio(parities[0]):
        knobs, tightest, plain = 1 - knobs[::-1], 1 - tightest, 1 - plain
    first = f" of {_disparity_name(parities[0])} over its bound" if by_factor else ""
    note = (
        f"from the noise floor of all rows{first} ({tightest:.4g}) past the plain model "
        f"({plain:.4g}) to no bound"
    )
    if (base <= floor).all():
        note += "; the disparity of the plain model is within the noise"
    return knobs.tolist(), note


def _nothing_to_compare(criterion: Criterion) -> str:
    return (
        f"{type(criterion).__name__} compares rates of two groups, and no held-out fold has rows "
        "of two groups for each of its rates. Use fewer folds, larger groups or another criterion."
    )


def _assemble(
    source: Sweep,
    criteria: tuple[Criterion, ...],
    note: str,
    splits: Sequence[tuple[Int, Int]],
    folds: Sequence[Fold],
) -> ParetoFrontier:
    """Return the frontier from what was measured on the folds."""
    first, n_strata = criteria[0], source.n_strata
    scores = np.array([[source.score_of(f.cost_mass, m) for m in f.models] for f in folds])
    disparity = np.array(
        [
            [[_fold_disparity(c, n_strata, f.rate_mass, m.rate) for m in f.models] for f in folds]
            for c in criteria
        ]
    )
    missing = np.full(len(folds), np.nan)
    base_scores, base_disparities = missing, np.tile(missing, (len(criteria), 1))
    bases = [fold.base for fold in folds if fold.base is not None]
    if bases:
        pairs = list(zip(folds, bases, strict=True))
        base_scores = np.array([source.score_of(f.cost_mass, base) for f, base in pairs])
        base_disparities = np.array(
            [
                [_fold_disparity(c, n_strata, f.rate_mass, base.rate) for f, base in pairs]
                for c in criteria
            ]
        )
    _check_scores(source, np.vstack([*scores.T, *([base_scores] if bases else [])]))
    _check_defined(criteria, n_strata, folds, disparity)

    moments = tuple(first._moments_of_mass(fold.rate_mass, n_strata) for fold in folds)
    is_linear = all(model.score is None for fold in folds for model in fold.models)
    rates = tuple(
        np.array([group_rates(m, model.rate) for model in fold.models])
        for m, fold in zip(moments, folds, strict=True)
    )
    constant = np.nan
    if is_linear:
        constants = [
            [
                source.score_of(f.cost_mass, Cells(share * f.cost_mass, f.rate_mass, None))
                for share in (0.0, 1.0)
            ]
            for f in folds
        ]
        constant = float(np.mean(constants, axis=0).max())
    held_out = np.sum([fold.rate_mass for fold in folds], axis=0)
    plain = [fold.models[-1] if fold.base is None else fold.base for fold in folds]
    common = _common_rates(first, n_strata, held_out, np.sum([p.rate for p in plain], axis=0))
    floors = [_floor(first, n_strata, f.rate_mass, f.squares, common) for f in folds]
    return ParetoFrontier(
        knob_name=source.knob_name,
        knob=np.asarray(source.values),
        criteria=criteria,
        score_name=scorer_name(source.scoring),
        fold_scores=scores,
        disparities=disparity,
        base_fold_scores=base_scores,
        base_disparities=base_disparities,
        noise_floor=float(np.nanmean(floors)),
        test_ratio=float(np.mean([len(test) / len(train) for train, test in splits])),
        constant_score=constant,
        moments=moments if is_linear else (),
        fold_rates=rates if is_linear else (),
        note=note,
        folds=_fingerprint(source, splits),
        costs=source.costs,
        _source=source,
    )


def _check_scores(source: Sweep, by_fold: Float) -> None:
    """Raise where a fold has no score; the last axis is that of the folds."""
    missing = np.flatnonzero(~np.isfinite(by_fold).all(axis=0)) + 1
    if len(missing):
        msg = (
            f"{scorer_name(source.scoring)} is not defined on fold "
            f"{', '.join(map(str, missing))}. Use folds that hold both labels, such as stratified "
            "ones, or another scoring."
        )
        raise ValueError(msg)


def _check_defined(
    criteria: tuple[Criterion, ...],
    n_strata: int,
    folds: Sequence[Fold],
    disparity: Float,
) -> None:
    """Raise where no fold defines a criterion; warn where a fold lacks rows for a rate."""
    for criterion, by_fold in zip(criteria, disparity, strict=True):
        if np.isnan(by_fold).any(axis=1).all():
            raise ValueError(_nothing_to_compare(criterion))
    everywhere = np.sum([fold.rate_mass for fold in folds], axis=0)
    lacking, left_out = [], []
    for f, fold in enumerate(folds):
        n_missing = 0
        for criterion in criteria:
            moments = criterion._moments_of_mass(fold.rate_mass, n_strata)
            expected = criterion._moments_of_mass(everywhere, n_strata)
            n_missing += len(expected.event) - len(moments.event)
        if n_missing:
            lacking.append(f"{f + 1} ({n_missing})")
        if np.isnan(disparity[:, f]).any():
            left_out.append(str(f + 1))
    if lacking:
        msg = (
            "Held-out folds without rows for a rate of some group, which is not compared there: "
            f"fold {', '.join(lacking)} (number of such rates)."
        )
        if left_out:
            msg += (
                f" Fold {', '.join(left_out)} leaves nothing to compare and is left out of the "
                "mean disparity."
            )
        msg += " Disparities of different folds are then not of the same groups: use fewer folds."
        warnings.warn(msg, DegenerateGroupWarning, stacklevel=4)


def _fingerprint(source: Sweep, splits: Sequence[tuple[Int, Int]]) -> str:
    """Return a digest of the test rows of every fold, with their labels, groups and weights."""
    data = source.data
    columns: list[NDArray[Any]] = [np.arange(len(data.y)), data.positive, data.unit]
    if data.weight is not None:
        columns += [data.weight, np.full(len(data.y), source.weight_rates)]
    digest = hashlib.sha256()
    for _, test in splits:
        for column in columns:
            digest.update(np.ascontiguousarray(column[test]).tobytes())
    return digest.hexdigest()[:16]


# ---------------------------------------------------------------------------------------------
# Comparing


class _Line(NamedTuple):
    """One paired difference."""

    disparity: float
    method: str
    other: str
    difference: float
    lower: float
    upper: float
    verdict: str


@dataclass(frozen=True, repr=False)
class FrontierComparison:
    """Paired differences between methods at fixed disparities; prints as a table.

    Attributes
    ----------
    lines : tuple
        For each disparity and pair of methods: `disparity`, `method`, `other`, `difference` in
        score (method minus other), `lower` and `upper` limits, and `verdict`: "better", "worse",
        "no difference shown", or which of the two does not reach the disparity.
    score_name : str
        The score compared.
    confidence : float
        Of each interval.
    """

    lines: tuple[_Line, ...]
    score_name: str
    confidence: float

    def __iter__(self) -> Iterator[_Line]:
        """Iterate over the lines."""
        return iter(self.lines)

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.lines)

    def __repr__(self) -> str:
        """Return the table: what a notebook or a prompt shows."""
        return str(self)

    def __str__(self) -> str:
        """Return a table, one line per disparity and pair."""
        interval = f"{self.confidence:.0%} interval"
        rows = [["disparity", "method", "against", self.score_name, interval, ""]]
        for line in self.lines:
            limits = f"[{line.lower:+.4f}, {line.upper:+.4f}]"
            numbers = [f"{line.difference:+.4f}", limits]
            if np.isnan(line.difference):
                numbers = ["", ""]
            rows.append([f"{line.disparity:.4f}", line.method, line.other, *numbers, line.verdict])
        width = [max(len(row[i]) for row in rows) for i in range(5)]
        return "\n".join(
            "  ".join(
                [
                    row[0].rjust(width[0]),
                    row[1].ljust(width[1]),
                    row[2].ljust(width[2]),
                    row[3].rjust(width[3]),
                    row[4].rjust(width[4]),
                    row[5],
                ]
            ).rstrip()
            for row in rows
        )

    def to_frame(self) -> Any:
        """Return the comparison as a data frame.

        Returns
        -------
        pandas.DataFrame
            One row per disparity and pair of methods.
        """
        pd = checks.import_pandas("to_frame")
        return pd.DataFrame([line._asdict() for line in self.lines], columns=_Line._fields)


def compare_frontiers(
    frontiers: Mapping[str, ParetoFrontier],
    *,
    at: ArrayLike,
    confidence: float = 0.95,
) -> FrontierComparison:
    """Compare methods on the same folds: differences in score at equal held-out disparity.

    At each disparity a method stands for its best mixture within it (`ParetoFrontier.mixture`).
    Scores are paired by fold, and the intervals allow for the training rows that folds share.

    Parameters
    ----------
    frontiers : dict of str to ParetoFrontier
        Two methods or more by name, measured on the same folds with the same weights, score and
        criterion. Scorers are told apart by their names.
    at : float or array-like
        Mean held-out disparities to compare at.
    confidence : float, default=0.95
        Of each interval, in (0, 1). Each stands alone: among 20 true ties about one is called a
        difference at 0.95.

    Returns
    -------
    FrontierComparison
        A line for each disparity and pair; prints as a table with a verdict in words.

    Raises
    ------
    ValueError
        If there are fewer than two, or they differ in folds, weights, score, costs or criterion.

    Notes
    -----
    The interval is that of the corrected resampled t-test [1]_: Student's t with ``n_folds - 1``
    degrees of freedom and the variance of the paired differences times
    ``1 / n_folds + n_test / n_train``. Its coverage is approximate; few folds make it wide.

    References
    ----------
    .. [1] C. Nadeau, Y. Bengio, "Inference for the Generalization Error", Machine Learning 52,
       2003, section 3.

    Examples
    --------
    Is a model that sees the first column alone worse at equal disparity?

    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairlearnkit import DemographicParity, GroupThresholdClassifier
    >>> from fairlearnkit import compare_frontiers, fairness_frontier
    >>> from fairlearnkit.datasets import make_group_classification
    >>> X, y, groups = make_group_classification(4000, base_rates=(0.6, 0.3), random_state=0)
    >>> clf = GroupThresholdClassifier(LogisticRegression(), DemographicParity(max_difference=0.1))
    >>> options = {"sensitive_features": groups, "max_differences": [0.02, 0.1, 0.2]}
    >>> frontiers = {
    ...     "all columns": fairness_frontier(clf, X, y, **options),
    ...     "the first": fairness_frontier(clf, X[:, :1], y, **options),
    ... }
    >>> print(compare_frontiers(frontiers, at=[0.05, 0.15]))
    disparity  method       against    accuracy        95% interval
       0.0500  all columns  the first   +0.0740  [+0.0578, +0.0902]  better
       0.1500  all columns  the first   +0.0734  [+0.0394, +0.1074]  better
    """
    if not isinstance(frontiers, Mapping) or len(frontiers) < 2:
        msg = f"frontiers must be a dict of two or more by name, got {frontiers!r}."
        raise ValueError(msg)
    if not checks.is_number(confidence) or not 0 < confidence < 1:
        msg = f"confidence must be in (0, 1), got {confidence!r}."
        raise ValueError(msg)
    check_comparable(frontiers, same_folds=True)
    first = next(iter(frontiers.values()))
    n_folds = len(first.fold_scores)
    if n_folds < 2:
        msg = f"A comparison needs two folds or more, got {n_folds}."
        raise ValueError(msg)
    quantile = stdtrit(n_folds - 1, 0.5 + confidence / 2)
    lines = []
    wanted = [_number("at", value) for value in np.atleast_1d(at).tolist()]
    found = {name: _scores_within(frontier, wanted) for name, frontier in frontiers.items()}
    for i, disparity in enumerate(wanted):
        by_fold = {name: scores[i] for name, scores in found.items()}
        for one, other in combinations(by_fold, 2):
            a, b = by_fold[one], by_fold[other]
            if a is None or b is None:
                out_of_reach = [n for n in (one, other) if by_fold[n] is None]
                verdict = f"not reached by {' or '.join(out_of_reach)}"
                lines.append(_Line(disparity, one, other, np.nan, np.nan, np.nan, verdict))
                continue
            difference = float((a - b).mean())
            # Of training sets that differ in size, the smaller: the wider interval.
            ratio = max(frontiers[one].test_ratio, frontiers[other].test_ratio)
            half = float(quantile * _standard_error(a - b, ratio))
            verdict = "no difference shown"
            if difference - half > 0:
                verdict = "better"
            elif difference + half < 0:
                verdict = "worse"
            lines.append(
                _Line(
                    disparity,
                    one,
                    other,
                    difference,
                    difference - half,
                    difference + half,
                    verdict,
                )
            )
    return FrontierComparison(tuple(lines), first.score_name, confidence)


def _scores_within(frontier: ParetoFrontier, disparities: Sequence[float]) -> list[Float | None]:
    """Return the score on each fold of the best mixture within each disparity."""
    moments, rates = frontier._rates()
    found = best_mixtures(frontier.score, moments, rates, disparities)
    return [None if best is None else frontier.fold_scores @ best.weight for best in found]


def check_comparable(frontiers: Mapping[str, Any], *, same_folds: bool = False) -> None:
    """Raise where frontiers differ in score or criterion, or in the rows they are measured on."""
    parts = (["folds"] if same_folds else []) + ["score_name", "criterion"]
    if next(iter(frontiers.values())).score_name == "neg_mean_cost":
        parts.append("costs")
    for what in parts:
        found = {name: getattr(frontier, what) for name, frontier in frontiers.items()}
        # Criteria are the same that measure the same, whatever their bounds.
        kinds = {_kind(value) if what == "criterion" else value for value in found.values()}
        if len(kinds) > 1:
            held_out = " (held-out rows, their labels, groups and weights)"
            msg = (
                f"Frontiers must agree in {what}{held_out if what == 'folds' else ''} to be "
                f"compared, got {found}."
            )
            raise ValueError(msg)


def _kind(criterion: Criterion) -> tuple[Any, ...]:
    """Return what a criterion's disparity is of, whatever its bound."""
    return tuple(
        (parity._rates(), parity.reference, is_ratio(parity)) for parity in criterion.parities()
    )


def _number(name: str, value: Any) -> float:
    """Return what must be a finite number."""
    if not checks.is_number(value) or not np.isfinite(float(value)):
        msg = f"{name} must be a finite number, got {value!r}."
        raise ValueError(msg)
    return float(value)
