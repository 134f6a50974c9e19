"""Constrained learning around any classifier, by re-weighting its training data."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from time import perf_counter
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from fairlearnkit import _validation as checks
from fairlearnkit._base import (
    GroupConstrainedMetaClassifier,
    Interval,
    StrOptions,
    TrainingData,
    fit_learner,
    learner_score,
    partition,
    weight_keyword,
)
from fairlearnkit._kernels.exponentiated_gradient import exponentiated_gradient
from fairlearnkit._kernels.hypotheses import (
    Answer,
    WeightedProblem,
    threshold_columns,
    weighted_problem,
)
from fairlearnkit._kernels.master import generate_columns, seek_feasible
from fairlearnkit._kernels.moments import (
    Kind,
    Moments,
    group_rates,
    objective,
    row_prices,
    violations,
)
from fairlearnkit._kernels.pool import Progress, cheapest_mixture, lower_bounds
from fairlearnkit._mixture import MixtureClassifier
from fairlearnkit.constraints import Criterion
from fairlearnkit.exceptions import InfeasibleConstraintError

__all__ = ["ReductionClassifier"]

Float = NDArray[np.float64]
Int = NDArray[np.intp]


class ReductionClassifier(GroupConstrainedMetaClassifier, MixtureClassifier):
    """Fair training of any classifier: a mixture of models fitted on re-weighted data.

    Wraps any classifier whose `fit` takes `sample_weight` and minimises mean cost subject to a
    fairness constraint on its decisions. Does not need the sensitive attribute at prediction. The
    answer is a mixture of a few models, found with a certificate of how far it is from the best
    mixture that the wrapped learner is known to offer; one fit gives such a band for every knob.

    Parameters
    ----------
    estimator : classifier
        Any scikit-learn classifier whose `fit` takes `sample_weight`, or a pipeline that ends in
        one. It is cloned for every fit.
    constraint : Criterion
        What should be equal, with its bound `max_difference` or `min_ratio`, or what levels are
        asked for (`MinimumRate`, `Capacity`, `ConvexRates`).
    solver : {"column_generation", "exponentiated_gradient"}, default="column_generation"
        How the models to mix are found. "column_generation" asks for the next fit at the prices of
        a linear programme over all models so far; "exponentiated_gradient" is the published
        algorithm [1]_, for comparison: it needs more fits, and starts anew at every knob.
    max_fits : int, default=100
        Largest number of fits of the estimator on all rows for one knob. Out-of-fold fits come on
        top: `cv` of them for each.
    tol : float, default=1e-3
        Gap in mean cost at which to stop, > 0.
    threshold_columns : {"train", "crossfit"} or None, default=None
        Which thresholds of a fitted model may be mixed. None takes its own decisions. Otherwise
        each model stands for the best threshold at the prices it was fitted for and some 200
        others all over its range, and the programme takes those that its prices ask for, judged
        by scores on the training rows or by out-of-fold scores. The estimator needs
        `predict_proba` or `decision_function`.
    constraint_data : {"train", "crossfit"}, default="train"
        What costs and rates are counted on: decisions of the model on the rows it was fitted to,
        or of models that have not seen the row. A learner that interpolates its training rows
        meets every constraint on labels there and none elsewhere: use "crossfit".
    cv : int, splitter or iterable of splits, default=5
        Folds for "crossfit"; they must put every row in exactly one test fold.
    max_multiplier : float, default=100.0
        Largest sum of prices in exponentiated gradient, > 0. Larger is slower, smaller admits more
        violation.
    lp_step : bool, default=True
        Whether exponentiated gradient ends each round with the cheapest mixture of its models
        within the bounds. If False its answer is the published average, beyond the bounds by at
        most ``(1 + 2 * gap_) / max_multiplier`` where costs are at most 1.
    sensitive_columns : str, int, sequence of these or callable, default=None
        Columns of X that give the groups, by name or position, or a callable ``X -> groups``.
        Several columns make intersectional groups. Not used where `sensitive_features` is passed.
    control_columns : str, int, sequence of these or callable, default=None
        Columns of X that give strata, like `sensitive_columns`: groups are compared within each
        stratum only (conditional parity). Not used where `control_features` is passed.
    drop_sensitive : bool, default=False
        Whether to hide `sensitive_columns` (names or positions) from the estimator. Rows to decide
        on have the same columns as those of `fit` all the same.
    missing : {"error", "group"}, default="error"
        Whether missing values among the groups are an error or a group of their own.
    weight_rates : bool, default=True
        Whether `sample_weight` counts in the rates too (the sample stands for a population), or in
        the cost only (the weights say which errors matter).
    randomized : bool, default=True
        Whether the rule may mix models. If False, it is the best single fitted model that meets
        the constraint.
    costs : dict, default=None
        Costs of errors, ``{"fp": 1.0, "fn": 1.0}`` by default; the mean cost is minimised.
    pos_label : int, float, bool or str, default=None
        The label whose prediction counts as selection; None means the larger of the two.
    random_state : int, RandomState instance or None, default=None
        Key of the hash that settles randomised decisions; None means 0.
    n_jobs : int, default=None
        Fits side by side, as in joblib: several prices at once in column generation, and the folds
        of "crossfit". More prices at once take fewer rounds and more fits, and find other models,
        so that the answer depends on the number of jobs as it does on the learner.
    verbose : int, default=0
        If positive, print a line for every round: fits, cost, violation, gap and time.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        Class labels.
    groups_ : ndarray of shape (n_groups,)
        Groups seen in `fit`: labels, or tuples of labels where several columns were given.
    strata_ : ndarray of shape (n_strata,)
        Strata seen in `fit`; only where there are any.
    estimators_ : list
        Models with positive weight: fitted clones of the estimator, with `threshold_columns` in a
        `~sklearn.model_selection.FixedThresholdClassifier`, or True or False for the constant
        decisions.
    weights_ : ndarray of shape (n_models,)
        Weight of each of them in the mixture; they sum to 1.
    cost_ : float
        Expected mean cost on the training rows.
    lower_bound_ : float
        Lower bound on the mean cost of any mixture of what the learner can find, within the
        constraint.
    gap_ : float
        ``cost_ - lower_bound_``, >= 0. For the averages of exponentiated gradient the published
        gap, where that is larger: the most that either player could gain.
    single_price_ : float
        What ``randomized=False`` costs: `cost_` less that of the mixture; 0 where randomized.
    disparity_ : float or ndarray of shape (n_criteria,)
        Expected disparity on the training rows, as the constraint bounds it; one number per
        criterion of an `AllOf`. Under `MinimumRate` the lowest rate of a group, under `Capacity`
        the share selected, under `ConvexRates` how far its conditions are missed.
    multipliers_ : ndarray of shape (n_events, n_groups)
        What one more unit of each rate costs through the bounds at the optimum.
    n_fits_ : int
        Fits of the estimator so far, by this estimator and all that `at` made from it, those on
        folds among them.
    n_new_fits_ : int
        How many of these `fit`, or the `at` that made this estimator, needed.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X has names that are all strings.

    Raises
    ------
    ValueError
        In `fit`, if no groups are given, if an input has the wrong length, missing values or
        invalid weights, if there are not exactly two classes, or if the estimator's `fit` does
        not take `sample_weight`.
    InfeasibleConstraintError
        In `fit`, if conditions on levels contradict each other, as far as the estimator was found
        to have models for them (parities alone can always be met); with ``randomized=False``, if
        no single model found meets the constraint.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        In `fit`, if `max_fits` is reached before the gap is below `tol`.
    DegenerateGroupWarning
        In `fit`, if there is one group only, a cell that the constraint needs has no rows (it is
        left out), or very few.

    See Also
    --------
    GroupThresholdClassifier : One threshold per group, where the group is known at prediction.

    Notes
    -----
    With prices on the rates, the Lagrangian of "minimise cost subject to bounds on rates" is a
    weighted classification problem [1]_, which the estimator is fitted to. The models so found are
    mixed by a linear programme whose prices define the next problem (column generation). The two
    constant decisions are in the pool, so that every parity can be met. Where they do not meet
    conditions on levels, a phase-one programme asks for models that come nearer, with costs left
    out of the prices, until a mixture meets them or the estimator has none.

    *Guarantee.* On the training rows and in expectation over the mixture, the constraint holds to
    1e-9 (1e-7 with `ConvexRates`). The cost is within `gap_` of the best mixture of all hypotheses
    that the learner has found and the programme has taken up; with a learner that minimises
    weighted error exactly, of its whole class. The gap is relative to what the wrapped learner can
    find: another order of knobs may find other models, and a better answer with as small a gap. On
    new people rates differ by sampling error: measure on held-out rows. With
    ``constraint_data="crossfit"`` all of this, and all fitted numbers, hold for the out-of-fold
    decisions, and the models that decide are fitted on all rows.

    *Pickles* keep the models and never the rows: from one, `at` reads the models found so far, and
    raises where these do not settle the cost to `tol`.

    *Decisions.* `predict` settles the mixture by a hash of the row and `random_state`: the same
    row always gets the same answer.

    References
    ----------
    .. [1] A. Agarwal, A. Beygelzimer, M. Dudik, J. Langford, H. Wallach, "A Reductions Approach to
       Fair Classification", ICML 2018, section 3.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairlearnkit import DemographicParity, ReductionClassifier
    >>> from fairlearnkit.datasets import make_group_classification
    >>> X, y, groups = make_group_classification(1000, base_rates=(0.6, 0.3), random_state=0)
    >>> clf = ReductionClassifier(LogisticRegression(), DemographicParity(max_difference=0.02))
    >>> clf.fit(X, y, sensitive_features=groups).disparity_ <= 0.02 + 1e-9
    True
    >>> clf.gap_ <= 1e-3
    True
    >>> clf.predict(X[:3]).shape
    (3,)
    """

    _parameter_constraints: dict = {
        **GroupConstrainedMetaClassifier._parameter_constraints,
        "max_fits": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"column_generation", "exponentiated_gradient"})],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "threshold_columns": [None, StrOptions({"train", "crossfit"})],
        "constraint_data": [StrOptions({"train", "crossfit"})],
        "cv": ["cv_object"],
        "max_multiplier": [Interval(Real, 0, None, closed="neither")],
        "lp_step": ["boolean"],
    }

    _mixing_setting = "randomized=True"
    _unpickled = ("_training", "_folds")
    _read_by_at = GroupConstrainedMetaClassifier._read_by_at | {
        "solver",
        "max_fits",
        "tol",
        "max_multiplier",
        "lp_step",
    }

    def __init__(
        self,
        estimator: Any,
        constraint: Criterion,
        *,
        solver: str = "column_generation",
        max_fits: int = 100,
        tol: float = 1e-3,
        threshold_columns: str | None = None,
        constraint_data: str = "train",
        cv: Any = 5,
        max_multiplier: float = 100.0,
        lp_step: bool = True,
        sensitive_columns: checks.Columns | None = None,
        control_columns: checks.Columns | None = None,
        drop_sensitive: bool = False,
        missing: str = "error",
        weight_rates: bool = True,
        randomized: bool = True,
        costs: Mapping[str, float] | None = None,
        pos_label: Any = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.constraint = constraint
        self.solver = solver
        self.max_fits = max_fits
        self.tol = tol
        self.threshold_columns = threshold_columns
        self.constraint_data = constraint_data
        self.cv = cv
        self.max_multiplier = max_multiplier
        self.lp_step = lp_step
        self.sensitive_columns = sensitive_columns
        self.control_columns = control_columns
        self.drop_sensitive = drop_sensitive
        self.missing = missing
        self.weight_rates = weight_rates
        self.randomized = randomized
        self.costs = costs
        self.pos_label = pos_label
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        control_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit models until the mixture at the constraint's bound is certified.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,)
            Labels, of two kinds.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), \
                default=None
            Groups of the rows. Needed where `sensitive_columns` is None.
        control_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
            Strata of the rows, within which groups are compared.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0, for the cost and, with `weight_rates`, the rates.

        Returns
        -------
        self : ReductionClassifier
            The fitted estimator.
        """
        data = self._check_fit(X, y, sensitive_features, control_features, sample_weight)
        if self.threshold_columns is not None and not any(
            hasattr(self.estimator, method) for method in ("predict_proba", "decision_function")
        ):
            msg = (
                "threshold_columns needs an estimator with predict_proba or decision_function, "
                f"and {self.estimator!r} has neither. Use threshold_columns=None."
            )
            raise ValueError(msg)
        if weight_keyword(self.estimator) is None:
            msg = (
                "The estimator's fit must take sample_weight, by which constraints are taught to "
                f"it, and that of {self.estimator!r} does not. Use another estimator, or "
                "GroupThresholdClassifier."
            )
            raise ValueError(msg)

        rows = data.rows_that_count(self.weight_rates)
        self._folds = self._check_folds(data, rows)
        self._start_pool(data.take(rows))
        self._warn_degenerate(self._cell_count)

        self._turn()
        return self

    @property
    def n_fits_(self) -> int:
        """Number of fits so far, by this estimator and all that `at` made from it."""
        check_is_fitted(self)
        return self._pool.n_fits

    def _check_folds(self, data: TrainingData, rows: Int | slice) -> list[tuple[Int, Int]]:
        """Return the folds in places among the rows that count; none where none are needed."""
        if "crossfit" not in (self.threshold_columns, self.constraint_data):
            return []
        folds = partition(self.cv, data)
        if isinstance(rows, slice):
            return folds
        folds = [(_among(train, rows), _among(test, rows)) for train, test in folds]
        return [(train, test) for train, test in folds if len(test)]

    def _problem(
        self, moments: Moments, rate_price: Float, cost_factor: float
    ) -> WeightedProblem | None:
        """Return the classification problem at these prices; costs count with a factor."""
        training = self._training_rows("Another fit")
        _, slope = objective(self._cost_mass, *self._costs)
        price = row_prices(
            moments,
            rate_price,
            cost_factor * slope,
            training.positive,
            training.unit,
            training.sample_weight,
            weight_rates=self.weight_rates,
        )
        return weighted_problem(price, self._cost_mass.sum())

    def _best_responses(
        self, moments: Moments, rate_prices: list[Float], cost_factor: float = 1.0
    ) -> list[Answer]:
        """Fit the estimator to the problems at several prices, side by side."""
        problems = [self._problem(moments, price, cost_factor) for price in rate_prices]
        learner_X = self._training_rows("Another fit").learner_X
        everywhere = [(None, None), *self._folds]
        fits = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_and_judge)(
                self.estimator,
                learner_X,
                self._labels_of(problem.accept),
                problem.weight,
                train,
                test,
                self.classes_,
                self._positive_class,
                self.threshold_columns is not None,
            )
            for problem in problems
            if problem is not None
            for train, test in everywhere
        )
        self._pool.n_fits += sum(model is not None for model, _ in fits)
        of_each = iter(fits)
        return [
            None if problem is None else self._answer(problem, [next(of_each) for _ in everywhere])
            for problem in problems
        ]

    def _answer(self, problem: WeightedProblem, fits: list[tuple[Any, Float]]) -> Answer:
        """Return what the fits on all rows, and on folds, found out about the model."""
        (model, on_train), *of_folds = fits
        held_out = np.full(len(on_train), np.nan)
        for (_, test), (_, found) in zip(self._folds, of_folds, strict=True):
            held_out[test] = found
        seen = {"train": on_train, "crossfit": held_out}
        counted = seen[self.constraint_data]
        if self.threshold_columns is None:
            return self._hypothesis(counted, (model, None))
        judged = seen[self.threshold_columns]
        return threshold_columns(
            model, _finite(judged), _finite(counted), problem.price, self._decisions
        )

    def _steps(self, moments: Moments) -> Iterator[Progress]:
        """Return the solver's progress at these bounds, one fit after the other.

        Raises
        ------
        InfeasibleConstraintError
            If the learner is not seen to find models that meet the bounds together.
        """

        def best_responses(rate_prices: list[Float]) -> list[Answer]:
            return self._best_responses(moments, rate_prices)

        def best_for_rates(rate_prices: list[Float]) -> list[Answer]:
            return self._best_responses(moments, rate_prices, 0.0)

        if self.solver == "exponentiated_gradient" and moments.conditions is not None:
            msg = (
                'solver="exponentiated_gradient" plays against linear bounds and knows no other '
                'conditions, got ConvexRates. Use solver="column_generation".'
            )
            raise ValueError(msg)
        max_calls = self.max_fits
        if not (moments.kind == Kind.PARITY).all():
            calls_before = self._pool.n_calls
            nearest = seek_feasible(
                self._pool, moments, best_responses, best_for_rates, max_calls=max_calls
            )
            max_calls -= self._pool.n_calls - calls_before
            if nearest.amount:
                whose = "No mixture of the models that the estimator was found to offer"
                if not max_calls:
                    whose = f"No mixture of the models found within max_fits={self.max_fits}"
                raise self._infeasible(moments, whose)
        if self.solver == "column_generation":
            return generate_columns(
                self._pool,
                moments,
                best_responses,
                tol=self.tol,
                max_calls=max_calls,
                n_at_once=effective_n_jobs(self.n_jobs),
            )
        return exponentiated_gradient(
            self._pool,
            moments,
            best_responses,
            tol=self.tol,
            max_calls=max_calls,
            max_multiplier=self.max_multiplier,
            lp_step=self.lp_step,
        )

    def _turn(self) -> None:
        moments, pool = self._moments(), self._pool
        fits_before, start = pool.n_fits, perf_counter()
        calls_before = pool.n_calls
        if self._training is None:
            progress = self._settled(moments)
        else:
            for progress in self._steps(moments):
                self._report(progress, moments, perf_counter() - start)
        if progress.gap > self.tol:
            asked = pool.n_calls - calls_before
            why = (
                f"max_fits={self.max_fits} reached with"
                if asked >= self.max_fits
                else "Nothing better was found at the programme's own prices, and rounding leaves"
            )
            warnings.warn(
                f"{why} a gap of {progress.gap:.2g} in mean cost, more than tol={self.tol:g}. "
                f"Raise {'max_fits or tol' if asked >= self.max_fits else 'tol'}.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.n_new_fits_ = pool.n_fits - fits_before
        if self.randomized:
            mixed, weights = self._members(progress)
        else:
            mixed, weights = [self._best_single(moments)], np.ones(1)
        self._store_rule(moments, mixed, weights, progress.rate_price, progress.lower_bound)
        self.single_price_ = self.cost_ - progress.cost
        if self.randomized:
            # What a mixture may exceed the bounds by is in its own gap, not in its cost.
            self.gap_ = max(self.gap_, progress.gap)

    def _settled(self, moments: Moments) -> Progress:
        """Return where the pool alone stands; raise where it does not settle the cost to `tol`."""
        try:
            mixture = cheapest_mixture(self._pool, moments, self.tol)
        except InfeasibleConstraintError:
            raise self._infeasible(
                moments, "Of a pickle, no mixture of the models it keeps"
            ) from None
        progress = Progress.of(mixture, lower_bounds(self._pool, moments))
        if progress.gap > self.tol:
            how_far = (
                f"to {progress.gap:.2g} only, more than tol={self.tol:g}"
                if np.isfinite(progress.gap)
                else "not at all, since none was fitted for this constraint"
            )
            msg = (
                f"The models found so far settle the cost at this knob {how_far}, and the "
                "training rows, which pickles do not keep, would be needed for further fits. Use "
                "at() before pickling, or fit again."
            )
            raise AttributeError(msg)
        return progress

    def _report(self, progress: Progress, moments: Moments, seconds: float) -> None:
        if not self.verbose:
            return
        pool, weight = self._pool, progress.weight
        rates = group_rates(moments, np.tensordot(weight, pool.decisions().sums[: len(weight)], 1))
        print(
            f"[{type(self).__name__}] fits {pool.n_fits:>3}  cost {progress.cost:.5f}  "
            f"violation {violations(moments, rates).max(initial=-np.inf):+.1e}  "
            f"gap {progress.gap:.1e}  {seconds:.1f} s"
        )


def _fit_and_judge(
    estimator: Any,
    learner_X: Any,
    label: NDArray[Any],
    weight: Float,
    train: Int | None,
    test: Int | None,
    classes: NDArray[Any],
    positive_class: int,
    scored: bool,
) -> tuple[Any, Float]:
    """Return a model with its scores, or its decisions, on the test rows; all rows for None.

    Where the training rows have one label only the model is None, and all rows get that label:
    as decisions 0 or 1, as scores below or above all others.
    """
    rows = np.arange(len(label)) if train is None else train
    rows = rows[weight[rows] > 0]
    test_X = learner_X if test is None else checks.take_rows(learner_X, test)
    accepts = label[rows] == classes[positive_class]
    if accepts.all() or not accepts.any():
        constant = float(accepts.any())
        if scored:
            constant = np.inf if constant else -np.inf
        return None, np.full(checks.n_rows(test_X), constant)
    used_X = learner_X if len(rows) == len(label) else checks.take_rows(learner_X, rows)
    model = fit_learner(estimator, used_X, label[rows], weight[rows])
    if scored:
        return model, learner_score(model, test_X, "auto", classes, positive_class)
    decided = np.ravel(model.predict(test_X)) == classes[positive_class]
    return model, decided.astype(float)


def _finite(score: Float) -> Float:
    """Return scores with infinite ones just beyond the others."""
    is_finite = np.isfinite(score)
    if is_finite.all():
        return score
    known = score[is_finite]
    return np.clip(score, known.min(initial=0.0) - 1.0, known.max(initial=0.0) + 1.0)


def _among(some: Int, rows: Int) -> Int:
    """Return the places in ascending `rows` of those of some rows that are there."""
    place = np.searchsorted(rows, some)
    is_there = rows[np.minimum(place, len(rows) - 1)] == some
    return place[is_there]
