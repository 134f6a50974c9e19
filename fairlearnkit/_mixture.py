"""What estimators share whose rule is a mixture of models from a pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.utils.validation import check_is_fitted

from fairlearnkit import _validation as checks
from fairlearnkit._base import CostFrontier, Curve, GroupConstrainedClassifier, TrainingData
from fairlearnkit._kernels.hypotheses import Decisions, Hypothesis, sums_by_threshold
from fairlearnkit._kernels.linear_program import convex_curve
from fairlearnkit._kernels.moments import (
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
    is_still_cheapest,
    lower_bounds,
    nearest_mixture,
)
from fairlearnkit._kernels.rate_program import FEASIBILITY, Mixture, Relaxation
from fairlearnkit.exceptions import InfeasibleConstraintError

Float = NDArray[np.float64]


class MixtureClassifier(GroupConstrainedClassifier):
    """Base of the estimators that mix models of a pool; groups are not needed at prediction."""

    classes_: NDArray[Any]
    estimators_: list[Any]
    weights_: Float
    weight_rates: bool
    _cost_mass: Float
    _costs: tuple[float, float]
    _pool: Pool
    _training: TrainingData | None = None
    _frontier_of: tuple[int, int]
    # What makes the rule a mixture, in messages.
    _mixing_setting: ClassVar[str]

    def _start_pool(self, training: TrainingData) -> None:
        """Keep the training rows and start the pool with the two constant decisions.

        With these, every parity can be met.
        """
        self._training = training
        positive, unit, weight = training.positive, training.unit, training.sample_weight
        self._cost_mass = cell_mass(positive, unit, weight, self._n_units)
        rate_weight = weight if self.weight_rates else None
        self._mass = cell_mass(positive, unit, rate_weight, self._n_units)
        self._cell_count = cell_mass(positive, unit, None, self._n_units).astype(np.intp)
        self._pool = Pool()
        self._pool.add(
            [
                Hypothesis(float(self._mean_cost(0 * self._cost_mass)), 0 * self._mass, False),
                Hypothesis(float(self._mean_cost(self._cost_mass)), self._mass, True),
            ]
        )

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
        learner_X = self._learner_view(self._check_predict(X))
        probability = self._accept_probability(learner_X)
        return self._labels_of(self._is_accepted(learner_X, probability))

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
        return float(super().score(X, checks.as_array(y), sample_weight))

    @property
    def realized_disparity_(self) -> float | Float:
        """Disparity of the hashed decisions on the training rows.

        Computed when asked from the training rows, which are not kept in pickles.
        """
        check_is_fitted(self)
        _, learner_X, _, positive, unit, weight = self._training_rows("realized_disparity_")
        accepted = self._is_accepted(learner_X, self._accept_probability(learner_X)).astype(float)
        rate_weight = weight if self.weight_rates else None
        return self._disparity(cell_sums(accepted, positive, unit, rate_weight, self._n_units))

    def _accept_probability(self, learner_X: Any) -> Float:
        probability = np.zeros(checks.n_rows(learner_X))
        positive = self.classes_[self._positive_class]
        for model, weight in zip(self.estimators_, self.weights_, strict=True):
            if isinstance(model, bool):
                probability += weight * model
            else:
                probability += weight * (np.ravel(model.predict(learner_X)) == positive)
        # Weights sum to one up to rounding.
        return np.where(probability > 1 - FEASIBILITY, 1.0, probability)

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

    def _store_rule(
        self,
        moments: Moments,
        mixed: list[Hypothesis],
        weights: Float,
        rate_price: Float,
        lower_bound: float,
    ) -> None:
        """Store the rule that mixes hypotheses, and what it costs and reaches."""
        self.weights_ = weights
        self.estimators_ = [self._model_of(hypothesis) for hypothesis in mixed]
        self.cost_ = float(weights @ [h.cost for h in mixed])
        self.lower_bound_ = lower_bound
        self.gap_ = max(self.cost_ - self.lower_bound_, 0.0)
        self.disparity_ = self._disparity(np.tensordot(weights, [h.sums for h in mixed], 1))
        self.multipliers_ = self._by_group(moments, rate_price)

    def _members(self, progress: Progress) -> tuple[list[Hypothesis], Float]:
        """Return the hypotheses of the pool that a mixture is made of, and their weights."""
        used = np.flatnonzero(progress.weight)
        return [self._pool.hypotheses[i] for i in used], progress.weight[used]

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
            f"None of the {len(models)} models found meets {self._criterion!r} alone; the nearest "
            f"is beyond it by {nearest:.4g} in rate. Relax the bound, or allow "
            f"{self._mixing_setting}."
        )
        if not models:
            msg = (
                "No model was fitted, since a constant decision is the cheapest at these costs. "
                f"Allow {self._mixing_setting}, or change costs."
            )
        raise InfeasibleConstraintError(msg)

    @property
    def frontier_(self) -> CostFrontier:
        """Cost and lower bound against the knob, for the models found so far.

        The knob is `max_difference`; for an `AllOf` it is one factor on all its difference bounds
        (ratio bounds and conditions stay). For `MinimumRate` it is `at_least` up to the largest
        that can be met, for `Capacity` `at_most`. Breakpoints of the cost and of the lower bound
        are listed, so that both are straight lines between them, with the mixture and its price at
        each. There is no such curve for ratio bounds, where cost is not piecewise linear in the
        knob, nor for rules that do not randomise.

        It takes about two linear programmes per breakpoint, and both their size and the number of
        breakpoints grow with the groups: below a second for a few groups, half a minute for 60.
        """
        check_is_fitted(self)
        pool = self._pool
        with self._lock:
            # Later knobs add to the pool.
            if self._frontier is None or self._frontier_of != (len(pool.hypotheses), pool.n_calls):
                # Thresholds that join the pool at one knob may serve another.
                n_known = -1
                found: dict[float, Mixture] = {}
                while n_known < len(pool.hypotheses):
                    n_known = len(pool.hypotheses)
                    curve = self._compute_frontier(found)
                self._frontier, self._frontier_of = curve, (n_known, pool.n_calls)
            return self._frontier

    def _nearest(self, moments: Moments, upper: Float, lower: Float) -> Relaxation:
        return nearest_mixture(self._pool, moments, upper, lower)

    def _optimum_at(self, moments: Moments) -> Mixture:
        return cheapest_mixture(self._pool, moments, self.tol)

    def _is_optimum_at(self, moments: Moments, found: Mixture) -> bool:
        return is_still_cheapest(self._pool, moments, found)

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

    def _mixtures(self, knob: Float, found: list[Mixture], wanted: Float) -> dict[str, Any]:
        pool = self._pool
        weights = np.zeros((len(knob), len(pool.hypotheses)))
        for row, mixture in zip(weights, found, strict=True):
            row[: len(mixture.weight)] = mixture.weight
        used = np.flatnonzero(weights.any(axis=0))
        # Where cost and bounds are linear in the knob, so are the weights of an optimum.
        between = [np.interp(wanted, knob, weight) for weight in weights[:, used].T]
        return {
            "weights": np.column_stack(between),
            "estimators": [self._model_of(pool.hypotheses[i]) for i in used],
        }
