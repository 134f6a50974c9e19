"""Constrained learning around any classifier, by re-weighting its training data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from fairlearnkit import _validation as checks
from fairlearnkit._base import (
    GroupConstrainedClassifier,
    Interval,
    TrainingData,
    fit_learner,
    weight_keyword,
)
from fairlearnkit._kernels.master import (
    Hypothesis,
    Pool,
    Progress,
    generate_columns,
    lower_bounds,
    mix,
)
from fairlearnkit._kernels.moments import (
    Moments,
    cell_mass,
    cell_sums,
    group_rates,
    objective,
    violations,
)
from fairlearnkit._kernels.rate_program import FEASIBILITY
from fairlearnkit.constraints import Criterion
from fairlearnkit.exceptions import InfeasibleConstraintError

__all__ = ["ReductionClassifier"]

Float = NDArray[np.float64]
Int = NDArray[np.intp]


class _Models(NamedTuple):
    """A growing pool of models, shared by all estimators of one fit.

    ``models[i]`` is what ``pool.hypotheses[i]`` came from: a fitted learner, or the constant
    decision True or False.
    """

    pool: Pool
    models: list[Any]

    @property
    def n_fits(self) -> int:
        """Number of models that were fitted."""
        return sum(not isinstance(model, bool) for model in self.models)


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
        What should be equal, with its bound `max_difference` or `min_ratio`.
    max_fits : int, default=100
        Largest number of fits of the estimator for one knob.
    tol : float, default=1e-3
        Gap in mean cost at which to stop, > 0.
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
    verbose : int, default=0
        If positive, print a line for every fit.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        Class labels.
    groups_ : ndarray of shape (n_groups,)
        Groups seen in `fit`: labels, or tuples of labels where several columns were given.
    strata_ : ndarray of shape (n_strata,)
        Strata seen in `fit`; only where there are any.
    estimators_ : list
        Models with positive weight: fitted clones of the estimator, or True or False for the
        constant decisions.
    weights_ : ndarray of shape (n_models,)
        Weight of each of them in the mixture; they sum to 1.
    cost_ : float
        Expected mean cost on the training rows.
    lower_bound_ : float
        Lower bound on the mean cost of any mixture of what the learner can find, within the
        constraint.
    gap_ : float
        ``cost_ - lower_bound_``, >= 0.
    disparity_ : float or ndarray of shape (n_criteria,)
        Expected disparity on the training rows, as the constraint bounds it; one number per
        criterion of an `AllOf`.
    multipliers_ : ndarray of shape (n_events, n_groups)
        What one more unit of each rate costs through the bounds at the optimum.
    n_fits_ : int
        Fits of the estimator so far, by this estimator and all that `at` made from it.
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
        In `fit` with ``randomized=False``, if no single model found meets the constraint.

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
    constant decisions are in the pool, so that every parity can be met.

    *Guarantee.* On the training rows and in expectation over the mixture, the constraint holds to
    1e-9. The cost is within `gap_` of the best mixture of all hypotheses that the learner has
    found; with a learner that minimises weighted error exactly, of its whole class. The gap is
    relative to what the wrapped learner can find. On new people rates differ by sampling error,
    and a learner that interpolates its training data meets constraints on labels there trivially:
    measure on held-out rows.

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
        "tol": [Interval(Real, 0, None, closed="neither")],
    }

    _training: TrainingData | None = None

    def __init__(
        self,
        estimator: Any,
        constraint: Criterion,
        *,
        max_fits: int = 100,
        tol: float = 1e-3,
        sensitive_columns: checks.Columns | None = None,
        control_columns: checks.Columns | None = None,
        drop_sensitive: bool = False,
        missing: str = "error",
        weight_rates: bool = True,
        randomized: bool = True,
        costs: Mapping[str, float] | None = None,
        pos_label: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.constraint = constraint
        self.max_fits = max_fits
        self.tol = tol
        self.sensitive_columns = sensitive_columns
        self.control_columns = control_columns
        self.drop_sensitive = drop_sensitive
        self.missing = missing
        self.weight_rates = weight_rates
        self.randomized = randomized
        self.costs = costs
        self.pos_label = pos_label
        self.random_state = random_state
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
        if weight_keyword(self.estimator) is None:
            msg = (
                "The estimator's fit must take sample_weight, by which constraints are taught to "
                f"it, and that of {self.estimator!r} does not. Use another estimator, or "
                "GroupThresholdClassifier."
            )
            raise ValueError(msg)

        self._training = training = data.take(data.rows_with_weight())
        positive, unit, weight = training.positive, training.unit, training.sample_weight
        self._cost_mass = cell_mass(positive, unit, weight, self._n_units)
        rate_weight = weight if self.weight_rates else None
        self._mass = cell_mass(positive, unit, rate_weight, self._n_units)
        self._cell_count = cell_mass(positive, unit, None, self._n_units).astype(np.intp)
        self._warn_degenerate(self._cell_count)
        constants = [self._hypothesis(np.full(len(unit), float(c))) for c in (False, True)]
        self._found = _Models(Pool(hypotheses=constants), [False, True])

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
        return self._found.n_fits

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
        for model, weight in zip(self.estimators_, self.weights_, strict=True):
            probability += weight * self._accepts(model, learner_X)
        # Weights sum to one up to rounding.
        return np.where(probability > 1 - FEASIBILITY, 1.0, probability)

    def _accepts(self, model: Any, learner_X: Any) -> Float:
        """Return the decisions of one model as 0 and 1."""
        if isinstance(model, bool):
            return np.full(checks.n_rows(learner_X), float(model))
        positive = self.classes_[self._positive_class]
        return (np.asarray(model.predict(learner_X)) == positive).astype(float)

    def _hypothesis(self, accepts: Float) -> Hypothesis:
        """Return cost and cell sums of decisions on the training rows."""
        training = self._training_rows("Another fit")
        positive, unit, weight = training.positive, training.unit, training.sample_weight
        weighted = sums = cell_sums(accepts, positive, unit, weight, self._n_units)
        if not self.weight_rates:
            sums = cell_sums(accepts, positive, unit, None, self._n_units)
        constant, slope = objective(self._cost_mass, *self._costs)
        return Hypothesis(float(constant + (weighted @ slope).sum()), sums)

    def _best_response(self, moments: Moments, rate_price: Float) -> Hypothesis | None:
        """Fit the estimator to the classification problem at these prices.

        The price of accepting a row is that of its cell: rows to accept have a negative one, and
        weigh as much as it is away from zero. Weights are scaled to the sum of the row weights,
        so that a regularised learner regularises alike at all prices.
        """
        training = self._training_rows("Another fit")
        _, slope = objective(self._cost_mass, *self._costs)
        price = np.zeros((self._n_units, 2))
        np.add.at(price, moments.unit, rate_price[:, None] * moments.slope)
        label = training.positive.astype(np.intp)
        of_cost, of_rates = slope[label], price[training.unit, label]
        row_weight = training.sample_weight
        if row_weight is None:
            of_row = of_cost + of_rates
        elif self.weight_rates:
            of_row = row_weight * (of_cost + of_rates)
        else:
            of_row = row_weight * of_cost + of_rates
        weight = np.abs(of_row)
        used = np.flatnonzero(weight)
        accept = of_row[used] < 0
        if accept.all() or not accept.any():
            return None
        learner_X = training.learner_X
        if len(used) < len(weight):
            learner_X, weight = checks.take_rows(learner_X, used), weight[used]
        weight *= self._cost_mass.sum() / weight.sum()
        model = fit_learner(self.estimator, learner_X, self._labels_of(accept), weight)
        found = self._hypothesis(self._accepts(model, training.learner_X))
        # Last: a prediction that fails must not leave a model without its hypothesis.
        self._found.models.append(model)
        return found

    def _turn(self) -> None:
        moments = self._moments()
        pool, models = self._found
        if self._training is None:
            self._check_pool(moments)
        steps = generate_columns(
            pool,
            moments,
            lambda price: self._best_response(moments, price),
            tol=self.tol,
            max_calls=self.max_fits,
        )
        progress = next(steps)
        for progress in steps:
            self._report(progress, moments)
        if progress.gap > self.tol:
            warnings.warn(
                f"max_fits={self.max_fits} reached with a gap of {progress.gap:.2g} in mean cost, "
                f"more than tol={self.tol:g}. Raise max_fits or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        optimum, self.lower_bound_ = progress.mixture, progress.lower_bound
        weight = optimum.weight
        if not self.randomized:
            weight = np.zeros(len(models))
            weight[self._best_single(moments)] = 1.0
        sums = np.array([h.sums for h in pool.hypotheses])
        used = np.flatnonzero(weight)
        self.estimators_ = [models[i] for i in used]
        self.weights_ = weight[used]
        self.cost_ = float(pool.costs()[: len(weight)] @ weight)
        self.gap_ = max(self.cost_ - self.lower_bound_, 0.0)
        self.disparity_ = self._disparity(np.tensordot(weight, sums[: len(weight)], 1))
        self.multipliers_ = self._by_group(moments, optimum.rate_price)

    def _check_pool(self, moments: Moments) -> None:
        """Raise where the pool alone does not settle the cost at these bounds to `tol`."""
        pool = self._found.pool
        gap = mix(pool, moments).cost - lower_bounds(pool, moments).max(initial=-np.inf)
        if gap > self.tol:
            msg = (
                f"The models found so far settle the cost at this knob to {gap:.2g} only, more "
                f"than tol={self.tol:g}, and the training rows, which pickles do not keep, would "
                "be needed for further fits. Use at() before pickling, or fit again."
            )
            raise AttributeError(msg)

    def _report(self, progress: Progress, moments: Moments) -> None:
        if not self.verbose:
            return
        weight = progress.mixture.weight
        sums = np.array([h.sums for h in self._found.pool.hypotheses])
        rates = group_rates(moments, np.tensordot(weight, sums[: len(weight)], 1))
        print(
            f"[{type(self).__name__}] fits {self._found.n_fits:>3}  "
            f"cost {progress.mixture.cost:.5f}  "
            f"violation {violations(moments, rates).max(initial=-np.inf):+.1e}  "
            f"gap {progress.gap:.1e}"
        )

    def _best_single(self, moments: Moments) -> int:
        """Return the cheapest fitted model within the bounds."""
        pool, models = self._found
        rates = pool.rates(moments)
        excess = np.array([violations(moments, rate).max(initial=-np.inf) for rate in rates])
        fitted = np.array([not isinstance(model, bool) for model in models])
        fits = fitted & (excess <= FEASIBILITY)
        if not fits.any():
            nearest = np.where(fitted, excess, np.inf).min()
            msg = (
                f"None of the {fitted.sum()} models found meets {self.constraint!r} alone; the "
                f"nearest is beyond it by {nearest:.4g} in rate. Relax the bound, or allow "
                "randomized=True."
            )
            raise InfeasibleConstraintError(msg)
        return int(np.argmin(np.where(fits, pool.costs(), np.inf)))

    def _cost_and_slope(self, moments: Moments) -> tuple[float, Float]:
        optimum = mix(self._found.pool, moments)
        return optimum.cost, optimum.bound_price

    def _lower_bounds(self, moments: list[Moments], cost: Float) -> Float:
        pool = self._found.pool
        bounds = [lower_bounds(pool, m).max(initial=-np.inf) for m in moments]
        return np.minimum(bounds, cost)
