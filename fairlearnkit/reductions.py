"""Constrained learning around any classifier, by re-weighting its training data."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from time import perf_counter
from typing import Any, NamedTuple, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from fairlearnkit import _validation as checks
from fairlearnkit._base import (
    CostFrontier,
    Curve,
    GroupConstrainedClassifier,
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
    Decisions,
    Hypothesis,
    sums_by_threshold,
    threshold_columns,
)
from fairlearnkit._kernels.linear_program import convex_curve
from fairlearnkit._kernels.master import generate_columns, seek_feasible
from fairlearnkit._kernels.moments import (
    Kind,
    Moments,
    cell_mass,
    cell_sums,
    group_rates,
    objective,
    violations,
)
from fairlearnkit._kernels.pool import (
    Pool,
    Progress,
    cheapest_mixture,
    lower_bounds,
    nearest_mixture,
)
from fairlearnkit._kernels.rate_program import FEASIBILITY, Relaxation
from fairlearnkit.constraints import Criterion
from fairlearnkit.exceptions import InfeasibleConstraintError

__all__ = ["ReductionClassifier"]

Float = NDArray[np.float64]
Int = NDArray[np.intp]


class _Problem(NamedTuple):
    """The weighted classification problem at some prices of the rates.

    Attributes
    ----------
    label : ndarray of shape (n_samples,)
        What the learner is to answer, among the classes.
    weight : ndarray of shape (n_samples,)
        What the answer matters.
    price : ndarray of shape (n_samples,)
        What accepting the row costs.
    """

    label: NDArray[Any]
    weight: Float
    price: Float


class ReductionClassifier(GroupConstrainedClassifier):
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
        Whether to hide `sensitive_columns` (names or positions) from the estimator.
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
    raises where these settle the cost to less than `tol`.

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
        **GroupConstrainedClassifier._parameter_constraints,
        "max_fits": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"column_generation", "exponentiated_gradient"})],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "threshold_columns": [None, StrOptions({"train", "crossfit"})],
        "constraint_data": [StrOptions({"train", "crossfit"})],
        "cv": ["cv_object"],
        "max_multiplier": [Interval(Real, 0, None, closed="neither")],
        "lp_step": ["boolean"],
    }

    _training: TrainingData | None = None
    _frontier_of: tuple[int, int]
    _unpickled = ("_training", "_folds")
    _read_by_at = GroupConstrainedClassifier._read_by_at | {
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
        self._training = training = data.take(rows)
        positive, unit, weight = training.positive, training.unit, training.sample_weight
        self._cost_mass = cell_mass(positive, unit, weight, self._n_units)
        rate_weight = weight if self.weight_rates else None
        self._mass = cell_mass(positive, unit, rate_weight, self._n_units)
        self._cell_count = cell_mass(positive, unit, None, self._n_units).astype(np.intp)
        self._warn_degenerate(self._cell_count)
        self._pool = Pool()
        self._pool.add(
            [
                Hypothesis(float(self._mean_cost(0 * self._cost_mass)), 0 * self._mass, False),
                Hypothesis(float(self._mean_cost(self._cost_mass)), self._mass, True),
            ]
        )

        self._turn()
        return self

    def decision_probability(self, X: Any) -> Float:
        """Return the probability of each decision.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows to decide on.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            Probability of deciding for each of `classes_`; rows sum to 1. This is not P(y | x).
        """
        X = self._check_predict(X)
        return self._both_classes(self._accept_probability(self._learner_view(X)))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return a decision for each row, the same one whatever rows come along.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows to decide on.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        X = self._check_predict(X)
        probability = self._accept_probability(self._learner_view(X))
        return self._labels_of(self._is_accepted(X, probability))

    def score(self, X: Any, y: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy of `predict`.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows to decide on.
        y : array-like of shape (n_samples,)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        float
            Share of correct decisions, in [0, 1].
        """
        return float(super().score(X, y, sample_weight))

    @property
    def n_fits_(self) -> int:
        """Number of fits so far, by this estimator and all that `at` made from it."""
        check_is_fitted(self)
        return self._pool.n_fits

    @property
    def realized_disparity_(self) -> float | Float:
        """Disparity of the hashed decisions on the training rows.

        Computed when asked from the training rows, which are not kept in pickles.
        """
        check_is_fitted(self)
        X, learner_X, _, positive, unit, weight = self._training_rows("realized_disparity_")
        accepted = self._is_accepted(X, self._accept_probability(learner_X)).astype(float)
        rate_weight = weight if self.weight_rates else None
        return self._disparity(cell_sums(accepted, positive, unit, rate_weight, self._n_units))

    def _accept_probability(self, learner_X: Any) -> Float:
        probability = np.zeros(checks.n_rows(learner_X))
        positive = self.classes_[self._positive_class]
        for model, weight in zip(self.estimators_, self.weights_, strict=True):
            if isinstance(model, bool):
                probability += weight * model
            else:
                probability += weight * (np.asarray(model.predict(learner_X)) == positive)
        # Weights sum to one up to rounding.
        return np.where(probability > 1 - FEASIBILITY, 1.0, probability)

    def _check_folds(self, data: TrainingData, rows: Int | slice) -> list[tuple[Int, Int]]:
        """Return the folds in places among the rows that count; none where none are needed."""
        if "crossfit" not in (self.threshold_columns, self.constraint_data):
            return []
        folds = partition(self.cv, data)
        if isinstance(rows, slice):
            return folds
        folds = [(_among(train, rows), _among(test, rows)) for train, test in folds]
        folds = [(train, test) for train, test in folds if len(test)]
        if not all(len(train) for train, _ in folds):
            msg = (
                "Every training fold needs rows with sample_weight above 0, got one without. Use "
                "fewer folds or shuffled, stratified ones."
            )
            raise ValueError(msg)
        return folds

    def _mean_cost(self, cost_sums: Float) -> Any:
        """Return the mean cost of cell sums in the weights of the cost."""
        constant, slope = objective(self._cost_mass, *self._costs)
        return constant + (cost_sums @ slope).sum(axis=-1)

    def _hypothesis(self, accepts: Float, model: Any) -> Hypothesis:
        """Return what decisions on the training rows cost and accept."""
        training = self._training_rows("Another fit")
        positive, unit, weight = training.positive, training.unit, training.sample_weight
        sums = cost_sums = cell_sums(accepts, positive, unit, weight, self._n_units)
        if weight is not None and not self.weight_rates:
            sums = cell_sums(accepts, positive, unit, None, self._n_units)
        return Hypothesis(float(self._mean_cost(cost_sums)), sums, model)

    def _decisions(self, score: Float, threshold: Float) -> Decisions:
        """Return what each of several thresholds costs and accepts on the training rows."""
        training = self._training_rows("Another fit")
        positive, unit, weight = training.positive, training.unit, training.sample_weight
        cells = (score, threshold, positive, unit)
        sums = cost_sums = sums_by_threshold(*cells, weight, self._n_units)
        if weight is not None and not self.weight_rates:
            sums = sums_by_threshold(*cells, None, self._n_units)
        return Decisions(self._mean_cost(cost_sums), sums)

    def _problem(
        self, moments: Moments, rate_price: Float, cost_factor: float = 1.0
    ) -> _Problem | None:
        """Return the classification problem at these prices; None where it has one label only.

        The price of accepting a row is that of its cell: rows to accept have a negative one, and
        weigh as much as it is away from zero. Weights are scaled to the sum of the row weights,
        so that a regularised learner regularises alike at all prices. Costs count with a factor.
        """
        training = self._training_rows("Another fit")
        slope = cost_factor * objective(self._cost_mass, *self._costs)[1]
        of_cell = np.zeros((self._n_units, 2))
        np.add.at(of_cell, moments.unit, rate_price[:, None] * moments.slope)
        label, row_weight = training.positive.astype(np.intp), training.sample_weight
        if row_weight is None or self.weight_rates:
            price = (slope + of_cell)[training.unit, label]
            if row_weight is not None:
                price *= row_weight
        else:
            price = row_weight * slope[label] + of_cell[training.unit, label]
        accept, weight = price < 0, np.abs(price)
        matters = accept[weight > 0]
        if matters.all() or not matters.any():
            return None
        weight *= self._cost_mass.sum() / weight.sum()
        return _Problem(self._labels_of(accept), weight, price)

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
                problem.label,
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

    def _answer(self, problem: _Problem, fits: list[tuple[Any, Float]]) -> Answer:
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
        self.lower_bound_ = progress.lower_bound
        if self.randomized:
            used = np.flatnonzero(progress.weight)
            mixed, self.weights_ = [pool.hypotheses[i] for i in used], progress.weight[used]
        else:
            mixed, self.weights_ = [self._best_single(moments)], np.ones(1)
        self.estimators_ = [self._model_of(hypothesis) for hypothesis in mixed]
        self.cost_ = float(self.weights_ @ [h.cost for h in mixed])
        self.single_price_ = self.cost_ - progress.cost
        # What a mixture may exceed the bounds by is in its own gap, not in its cost.
        beyond = progress.gap if self.randomized else 0.0
        self.gap_ = max(self.cost_ - self.lower_bound_, beyond, 0.0)
        self.disparity_ = self._disparity(np.tensordot(self.weights_, [h.sums for h in mixed], 1))
        self.multipliers_ = self._by_group(moments, progress.rate_price)

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

    def _model_of(self, hypothesis: Hypothesis) -> Any:
        """Return what decides: a fitted model, at a threshold or as it is, or a constant."""
        if isinstance(hypothesis.model, bool):
            return hypothesis.model
        model, threshold = hypothesis.model
        if threshold is None:
            return model
        return FixedThresholdClassifier(
            FrozenEstimator(model),
            # NumPy would round a Python float to the scores' own, lower precision.
            threshold=np.float64(threshold),
            pos_label=self.classes_[self._positive_class],
        )

    def _best_single(self, moments: Moments) -> Hypothesis:
        """Return the cheapest fitted model within the bounds, at any threshold."""
        pool = self._pool
        fitted = [h for h in pool.hypotheses if not isinstance(h.model, bool)]
        fitted += [c.hypothesis(i) for c in pool.columns for i in range(len(c.threshold))]
        nearest = np.inf
        for hypothesis in sorted(fitted, key=lambda h: h.cost):
            rates = group_rates(moments, hypothesis.sums)
            excess = violations(moments, rates).max(initial=-np.inf)
            if excess <= FEASIBILITY:
                return hypothesis
            nearest = min(nearest, excess)
        models = {id(h.model[0]) for h in fitted}
        msg = (
            f"None of the {len(models)} models found meets {self.constraint!r} alone; the nearest "
            f"is beyond it by {nearest:.4g} in rate. Relax the bound, or allow randomized=True."
        )
        if not models:
            msg = (
                "No model was fitted, since a constant decision is the cheapest at these costs. "
                "Allow randomized=True, or change costs."
            )
        raise InfeasibleConstraintError(msg)

    @property
    def frontier_(self) -> CostFrontier:
        """Cost and lower bound against the knob, for the models found so far.

        The knob is `max_difference`; for an `AllOf` it is one factor on all its difference bounds
        (ratio bounds stay). Breakpoints of the cost and of the lower bound are listed, so that
        both are straight lines between them, with the mixture and its price at each. There is no
        such curve for ratio bounds, where cost is not piecewise linear in the knob, nor for rules
        that do not randomise.
        """
        check_is_fitted(self)
        # Later knobs add to the pool.
        pool = self._pool
        if self._frontier is None or self._frontier_of != (len(pool.hypotheses), pool.n_calls):
            # Thresholds that join the pool at one knob may serve another.
            n_known = -1
            while n_known < len(pool.hypotheses):
                n_known = len(pool.hypotheses)
                curve = self._compute_frontier()
            self._frontier, self._frontier_of = curve, (n_known, pool.n_calls)
            return curve
        return self._frontier

    def _nearest(self, moments: Moments, upper: Float, lower: Float) -> Relaxation:
        return nearest_mixture(self._pool, moments, upper, lower)

    def _cost_and_slope(self, moments: Moments) -> tuple[float, Float]:
        optimum = cheapest_mixture(self._pool, moments, self.tol)
        return optimum.cost, optimum.bound_price

    def _lower_bound(
        self, at_knob: Callable[[float], Moments], first: float, last: float
    ) -> Curve | None:
        ends = [lower_bounds(self._pool, at_knob(knob)) for knob in (first, last)]
        if not len(ends[0]):
            return None
        slope = (ends[1] - ends[0]) / max(last - first, FEASIBILITY)

        def highest(knob: float) -> tuple[float, float]:
            value = ends[0] + (knob - first) * slope
            line = int(np.argmax(value))
            return float(value[line]), float(slope[line])

        return convex_curve(highest, first, last)

    def _mixtures(self, moments: list[Moments]) -> dict[str, Any]:
        pool = self._pool
        weights = np.array([cheapest_mixture(pool, m).weight for m in moments])
        used = np.flatnonzero(weights.any(axis=0))
        return {
            "weights": weights[:, used],
            "estimators": [self._model_of(pool.hypotheses[i]) for i in used],
        }


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
