"""One threshold rule per group, by linear programming on held-out scores."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from fairlearnkit import _validation as checks
from fairlearnkit._base import (
    GroupConstrainedMetaClassifier,
    StrOptions,
    TrainingData,
    fit_learner,
    learner_score,
    out_of_fold_scores,
    weight_keyword,
)
from fairlearnkit._kernels.moments import Kind, Moments, cell_mass, cell_sums
from fairlearnkit._kernels.plain_thresholds import solve_plain_thresholds
from fairlearnkit._kernels.rate_program import Relaxation, least_relaxation
from fairlearnkit._kernels.thresholds import (
    OperatingPoints,
    ThresholdSolution,
    accept_probability,
    expected_sums,
    hull_points,
    operating_points,
    point_rates,
    solve_priced_thresholds,
    solve_thresholds,
)
from fairlearnkit.constraints import Criterion
from fairlearnkit.exceptions import InfeasibleConstraintError

__all__ = ["GroupThresholdClassifier", "GroupThresholds"]

Float = NDArray[np.float64]
Int = NDArray[np.intp]


class GroupThresholds(Mapping[Hashable, list[tuple[float, float]]]):
    """Threshold rules of all groups: all that another system needs to decide.

    A mapping from group to its ``(threshold, probability)`` pairs, thresholds ascending. A row is
    accepted when its score is at or above a threshold drawn with these probabilities, so that
    its probability of being accepted is the sum of the probabilities of the thresholds it reaches.
    ``-inf`` accepts everybody, ``inf`` nobody. Prints as a table.

    Parameters
    ----------
    rules : dict
        ``(threshold, probability)`` pairs of each group.

    Examples
    --------
    >>> from fairlearnkit.postprocessing import GroupThresholds
    >>> rules = GroupThresholds({"a": [(0.5, 1.0)], "b": [(0.25, 0.7), (0.5, 0.3)]})
    >>> print(rules)
    group  accept if score >=  with probability
    a                0.500000          1.000000
    b                0.250000          0.700000
    b                0.500000          0.300000
    >>> rules["b"]
    [(0.25, 0.7), (0.5, 0.3)]
    """

    def __init__(self, rules: dict[Any, list[tuple[float, float]]]) -> None:
        self._rules = rules

    def __getitem__(self, group: Hashable) -> list[tuple[float, float]]:
        """Return the thresholds of one group with their probabilities."""
        return self._rules[group]

    def __iter__(self) -> Iterator[Hashable]:
        """Iterate over the groups."""
        return iter(self._rules)

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self._rules)

    def __repr__(self) -> str:
        """Return the rules as they were given."""
        return f"{type(self).__name__}({self._rules!r})"

    def __str__(self) -> str:
        """Return a table, one line per threshold."""
        rows = [(checks.group_name(g), t, p) for g, pairs in self.items() for t, p in pairs]
        width = max(len("group"), *(len(name) for name, _, _ in rows))
        lines = [f"{'group':<{width}}  accept if score >=  with probability"]
        lines += [f"{name:<{width}}  {t:>18.6f}  {p:>16.6f}" for name, t, p in rows]
        return "\n".join(lines)

    def to_frame(self) -> Any:
        """Return the rules as a data frame.

        Returns
        -------
        pandas.DataFrame
            Columns group, threshold and probability.
        """
        pd = checks.import_pandas("to_frame")
        rows = [(g, t, p) for g, pairs in self.items() for t, p in pairs]
        return pd.DataFrame(rows, columns=["group", "threshold", "probability"])


class _Training(NamedTuple):
    """The rows that thresholds are computed from; never pickled."""

    learner_X: Any
    score: Float
    positive: NDArray[np.bool_]
    unit: Int
    sample_weight: Float | None


class GroupThresholdClassifier(GroupConstrainedMetaClassifier):
    """Thresholds by group: the cheapest that meet a fairness constraint.

    Wraps any classifier with scores and gives each group a threshold rule of its own, so that
    rates are as equal between groups as the constraint asks, at the least mean cost that any
    (randomised) group thresholds on these scores can reach. Needs the group at prediction.

    Parameters
    ----------
    estimator : classifier
        Any scikit-learn classifier with `predict_proba` or `decision_function`. It is cloned;
        fitted already, pass ``cv="prefit"`` or a `~sklearn.frozen.FrozenEstimator`.
    constraint : Criterion
        What should be equal, with its bound `max_difference` or `min_ratio`, or what levels are
        asked for (`MinimumRate`, `Capacity`, `ConvexRates`).
    cv : int, splitter, iterable of splits or "prefit", default=5
        Where scores come from. Thresholds are computed from the pooled out-of-fold scores of these
        splits, which must put every row in exactly one test fold; the estimator is then fitted on
        all rows. With "prefit" the scores of the given rows are used as they are: pass rows that
        the estimator has not seen.
    response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
        Where scores come from; "auto" takes the first that the estimator has.
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
        Whether a group's rule may draw between thresholds. If False, each group has one plain
        threshold: the best such rule that is found among all thresholds.
    costs : dict, default=None
        Costs of errors, ``{"fp": 1.0, "fn": 1.0}`` by default; the mean cost is minimised.
    pos_label : int, float, bool or str, default=None
        The label whose prediction counts as selection; None means the larger of the two.
    random_state : int, RandomState instance or None, default=None
        Key of the hash that settles randomised decisions; None means 0.
    n_jobs : int, default=None
        Folds fitted in parallel, as in joblib.
    verbose : int, default=0
        Verbosity of joblib while folds are fitted.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        Class labels.
    groups_ : ndarray of shape (n_groups,)
        Groups seen in `fit`: labels, or tuples of labels where several columns were given.
    estimator_ : classifier
        The estimator fitted on all rows, or the given one when prefit.
    strata_ : ndarray of shape (n_strata,)
        Strata seen in `fit`; only where there are any.
    thresholds_ : GroupThresholds
        Thresholds and their probabilities by group, or by ``(group, stratum)`` where there are
        strata; prints as a table.
    disparity_ : float or ndarray of shape (n_criteria,)
        Expected disparity on the scores that thresholds were computed from: the largest
        difference, or the smallest ratio, as the constraint bounds it. One number per criterion
        of an `AllOf`. NaN where fewer than two groups could be compared. Under `MinimumRate` it
        is the lowest rate of a group, under `Capacity` the share selected, under `ConvexRates` how
        far its conditions are missed: 0, but for the solver's tolerance.
    cost_ : float
        Expected mean cost on the same scores.
    lower_bound_ : float
        Least mean cost of any randomised rule on the same scores.
    gap_ : float
        ``cost_ - lower_bound_``: 0 where randomised, else the price of plain thresholds.
    is_proven_ : bool
        Whether no rule of the kind asked for is cheaper. Always so where randomised; for plain
        thresholds, whether the search could rule out all others.
    multipliers_ : ndarray of shape (n_events, n_groups)
        Price of each rate (rates of the constraint in order, by group): what one more unit of it
        costs through the bounds, positive where it is among the highest, negative where it is
        among the lowest. Sums to zero over the groups of an event under difference bounds.
    randomized_share_ : float
        Share of the rows (by weight) whose decision is left to the hash, in [0, 1].
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X has names that are all strings.

    Raises
    ------
    ValueError
        In `fit`, if no groups are given, if an input has the wrong length, missing values or
        invalid weights, if there are not exactly two classes, or if the scores are not finite.
    InfeasibleConstraintError
        In `fit`, if conditions on levels contradict each other: the message says which, and by how
        much. Parities alone can always be met by randomised thresholds; with ``randomized=False``,
        if no plain thresholds that meet the constraint are found.

    Warns
    -----
    DegenerateGroupWarning
        In `fit`, if there is one group only, a cell that the constraint needs has no rows (it is
        left out), or very few.

    See Also
    --------
    fairlearnkit.metrics : The numbers that the constraint bounds, for any predictions.

    Notes
    -----
    With one false positive rate f and true positive rate t per group and threshold, cost and every
    rate are linear in (f, t). Mixtures of thresholds attain the convex hull of a group's ROC
    points, so that the optimum is a linear programme over hull vertices [1]_. Both the upper and
    the lower hull are kept: the upper one alone is not enough for error-rate parity at unequal
    costs, nor for several constraints at once.

    *Guarantee.* On the scores that the thresholds were computed from, and in expectation over the
    drawn thresholds, the constraint holds to 1e-9 (1e-7 with `ConvexRates`) and the cost is the
    least possible. For new people from the same population rates differ by sampling error; small
    groups differ most. With cross-validation the thresholds meet the scores of the refitted
    estimator: nothing is claimed for its scores on its own training rows, which are usually
    over-confident.

    *Columns.* Several columns of groups or strata are told apart by their names, where they have
    some at `fit` and at prediction (a data frame, a dict), and by position otherwise.

    *Decisions.* `predict` settles a randomised rule by a hash of the row and `random_state`: the
    same row always gets the same answer, whatever rows come along [2]_.
    `realized_disparity_` reports the disparity of these decisions.

    *Pickles* keep the thresholds on the hulls and never the rows: from one, `at` and `frontier_`
    work unless they need all scores, as plain thresholds and ``weight_rates=False`` do.

    *Cost.* One fit per fold and one on all rows; thresholds take O(n log n) time and O(n) memory,
    and a linear programme whose size is linear in the number of groups.

    References
    ----------
    .. [1] M. Hardt, E. Price, N. Srebro, "Equality of Opportunity in Supervised Learning",
       NeurIPS 2016, section 4.
    .. [2] A. Cotter, M. Gupta, H. Narasimhan, "On Making Stochastic Classifiers Deterministic",
       NeurIPS 2019, section 4.

    Examples
    --------
    Bound the gap in true and in false positive rates by 2 points, on scores that the model was not
    fitted on, then ask for less:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairlearnkit import EqualizedOdds, GroupThresholdClassifier
    >>> from fairlearnkit.datasets import make_group_classification
    >>> X, y, groups = make_group_classification(2000, base_rates=(0.5, 0.3), random_state=0)
    >>> clf = GroupThresholdClassifier(LogisticRegression(), EqualizedOdds(max_difference=0.02))
    >>> round(clf.fit(X, y, sensitive_features=groups).disparity_, 6)
    0.02
    >>> strict = clf.at(max_difference=0.005)
    >>> round(strict.disparity_, 6), strict.cost_ > clf.cost_
    (0.005, True)
    >>> strict.decision_probability(X, sensitive_features=groups).shape
    (2000, 2)
    """

    _parameter_constraints: dict = {
        **GroupConstrainedMetaClassifier._parameter_constraints,
        "cv": ["cv_object", StrOptions({"prefit"})],
        "response_method": [StrOptions({"auto", "predict_proba", "decision_function"})],
    }

    _training: _Training | None = None
    _every_point: OperatingPoints | None = None
    _unpickled = ("_training", "_every_point")

    def __init__(
        self,
        estimator: Any,
        constraint: Criterion,
        *,
        cv: Any = 5,
        response_method: str = "auto",
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
        self.cv = cv
        self.response_method = response_method
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
        """Fit the estimator and compute the thresholds.

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
            Weights of the rows, >= 0, for the estimator (where it takes them), the cost and, with
            `weight_rates`, the rates.

        Returns
        -------
        self : GroupThresholdClassifier
            The fitted estimator.
        """
        data = self._check_fit(X, y, sensitive_features, control_features, sample_weight)

        score = self._held_out_scores(data)
        rows = data.rows_that_count(self.weight_rates)
        used = data.take(rows)
        self._training = _Training(
            used.learner_X, score[rows], used.positive, used.unit, used.sample_weight
        )
        positive, unit = self._training.positive, self._training.unit
        self._cell_count = cell_mass(positive, unit, None, self._n_units).astype(np.intp)
        self._warn_degenerate(self._cell_count)
        self._every_point = None
        self._vertices = self._points(hull_only=True)
        self._mass = self._vertices.mass

        self._turn()
        return self

    def decision_probability(
        self, X: Any, *, sensitive_features: Any = None, control_features: Any = None
    ) -> Float:
        """Return the probability of each decision.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows to decide on.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), \
                default=None
            Groups of the rows. Needed where `sensitive_columns` is None.
        control_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
            Strata of the rows. Needed where `fit` was given them.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            Probability of deciding for each of `classes_`; rows sum to 1. This is not
            P(y | x): for that, see ``estimator_``.
        """
        X = self._check_predict(X)
        groups = sensitive_features, control_features
        return self._both_classes(self._accept_probability(X, self._learner_view(X), *groups))

    def predict(
        self, X: Any, *, sensitive_features: Any = None, control_features: Any = None
    ) -> NDArray[Any]:
        """Return a decision for each row, the same one whatever rows come along.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows to decide on.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), \
                default=None
            Groups of the rows. Needed where `sensitive_columns` is None.
        control_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
            Strata of the rows. Needed where `fit` was given them.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        X = self._check_predict(X)
        learner_X = self._learner_view(X)
        probability = self._accept_probability(X, learner_X, sensitive_features, control_features)
        return self._labels_of(self._is_accepted(learner_X, probability))

    def score(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        control_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return the accuracy of `predict`.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows to decide on.
        y : array-like of shape (n_samples,)
            True labels.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), \
                default=None
            Groups of the rows; needed where the rule needs them and `sensitive_columns` is None.
        control_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
            Strata of the rows. Needed where `fit` was given them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        float
            Share of correct decisions, in [0, 1].
        """
        decisions = self.predict(
            X, sensitive_features=sensitive_features, control_features=control_features
        )
        return float(accuracy_score(checks.as_array(y), decisions, sample_weight=sample_weight))

    @property
    def realized_disparity_(self) -> float | Float:
        """Disparity of the hashed decisions on the rows and scores that thresholds came from.

        Computed when asked from the training rows, which are not kept in pickles.
        """
        check_is_fitted(self)
        learner_X, score, positive, unit, weight = self._training_rows("realized_disparity_")
        weight = weight if self.weight_rates else None
        probability = accept_probability(score, unit, *self._rule)
        accepted = self._is_accepted(learner_X, probability).astype(float)
        sums = cell_sums(accepted, positive, unit, weight, self._n_units)
        return self._disparity(sums)

    def _is_prefit(self) -> bool:
        return isinstance(self.estimator, FrozenEstimator) or (
            isinstance(self.cv, str) and self.cv == "prefit"
        )

    def _held_out_scores(self, data: TrainingData) -> Float:
        """Return scores of the training rows and set `estimator_`."""
        if self._is_prefit():
            self._check_estimator_is_fitted()
            self.estimator_ = self.estimator
            return self._scores(data.learner_X)
        if data.sample_weight is not None and weight_keyword(self.estimator) is None:
            warnings.warn(
                f"{type(self.estimator).__name__}.fit does not take sample_weight: the estimator "
                "is fitted without weights, cost and rates are weighted.",
                UserWarning,
                stacklevel=3,
            )
        score = out_of_fold_scores(
            self.estimator,
            data,
            self.cv,
            self.response_method,
            self.classes_,
            self._positive_class,
            self.n_jobs,
            self.verbose,
        )
        self.estimator_ = fit_learner(self.estimator, data.learner_X, data.y, data.sample_weight)
        return score

    def _accept_probability(
        self, X: Any, learner_X: Any, sensitive_features: Any, control_features: Any
    ) -> Float:
        unit = self._encode_units(X, sensitive_features, control_features)
        return accept_probability(self._scores(learner_X), unit, *self._rule)

    def _scores(self, learner_X: Any) -> Float:
        return learner_score(
            self.estimator_, learner_X, self.response_method, self.classes_, self._positive_class
        )

    def _check_estimator_is_fitted(self) -> None:
        try:
            check_is_fitted(self.estimator)
        except NotFittedError as error:
            msg = (
                f"The estimator must be fitted where it counts as prefit, got {self.estimator!r} "
                "not fitted. Fit it before; where it is cloned, as in a grid search, wrap it in "
                "FrozenEstimator, which keeps it fitted."
            )
            raise NotFittedError(msg) from error

    def _points(self, *, hull_only: bool) -> OperatingPoints:
        _, score, positive, unit, weight = self._training_rows("A rule over all thresholds")
        return operating_points(
            score,
            positive,
            unit,
            weight,
            self._n_units,
            hull_only=hull_only,
            weight_rates=self.weight_rates,
        )

    def _all_points(self) -> OperatingPoints:
        """Return every threshold of the training scores, kept as long as the training rows are."""
        if self._every_point is None:
            self._every_point = self._points(hull_only=False)
        return self._every_point

    def _optimum(self, moments: Moments) -> tuple[OperatingPoints, ThresholdSolution]:
        """Return the randomised optimum and the points it is over.

        Hull vertices suffice where cost and rates are weighted alike.
        """
        if np.array_equal(self._vertices.sums, self._vertices.cost_sums):
            return self._vertices, solve_thresholds(self._vertices, moments, *self._costs)
        points = self._all_points()
        start = hull_points(points)
        optimum, kept = solve_priced_thresholds(points, start, moments, *self._costs)
        return points.take(kept), optimum

    def _turn(self) -> None:
        moments = self._moments()
        if not self.randomized and moments.conditions is not None:
            msg = (
                "randomized=False is not available with ConvexRates: the search over plain "
                "thresholds relies on bounds that leave rates in windows. Use built-in criteria "
                "such as MinimumRate and Capacity, or randomized=True."
            )
            raise ValueError(msg)
        try:
            points, optimum = self._optimum(moments)
        except InfeasibleConstraintError:
            raise self._infeasible(moments, "No rule of group thresholds") from None
        probability, cost = optimum.probability, optimum.cost
        self.is_proven_ = True
        if not self.randomized:
            points = self._all_points()
            plain = solve_plain_thresholds(points, moments, *self._costs, optimum)
            if plain is None:
                raise InfeasibleConstraintError(self._why_no_plain_thresholds(points, moments))
            probability = np.zeros(len(points.threshold))
            probability[plain.point] = 1.0
            cost, self.is_proven_ = plain.cost, plain.is_proven

        self.thresholds_, self._rule = _rules(points, probability, self._unit_labels())
        self.cost_, self.lower_bound_ = cost, optimum.cost
        self.gap_ = max(cost - optimum.cost, 0.0)
        self.disparity_ = self._disparity(expected_sums(points, probability))
        self.multipliers_ = self._by_group(moments, optimum.rate_price)
        self.randomized_share_ = _randomized_share(points, probability)

    def _nearest(self, moments: Moments, upper: Float, lower: Float) -> Relaxation:
        points = self._vertices
        return least_relaxation(point_rates(points, moments), points.group, moments, upper, lower)

    def _optimum_at(self, moments: Moments) -> ThresholdSolution:
        return self._optimum(moments)[1]

    def _why_no_plain_thresholds(self, points: OperatingPoints, moments: Moments) -> str:
        """Return the message: how near plain thresholds come as the bounds are relaxed."""
        reached = "None was found at any bound."
        for step in range(10, -1, -1):
            relaxed = moments._replace(
                bound=np.where(
                    moments.is_ratio | (moments.kind == Kind.FLOOR),
                    moments.bound * (1 - 2.0**-step),
                    moments.bound + (1 - moments.bound) * 2.0**-step,
                )
            )
            _, optimum = self._optimum(relaxed)
            plain = solve_plain_thresholds(points, relaxed, *self._costs, optimum)
            if plain is not None:
                near = np.ravel(self._disparity(points.sums[plain.point]))
                reached = f"Reached instead: {', '.join(f'{value:.4g}' for value in near)}."
                break
        return (
            f"No plain threshold per group was found that meets {self._criterion!r}. {reached} "
            "Relax the bound, or allow randomized=True, which can meet it."
        )


def _rules(
    points: OperatingPoints, probability: Float, labels: list[Any]
) -> tuple[GroupThresholds, tuple[Float, Float]]:
    """Return the thresholds in use, for people and as arrays padded with probability 0."""
    used = np.flatnonzero(probability > 0)[::-1]
    used = used[np.argsort(points.group[used], kind="stable")]
    group = points.group[used]
    count = np.bincount(group, minlength=len(labels))
    place = np.arange(len(used)) - np.repeat(np.cumsum(count) - count, count)
    first = used[np.cumsum(count) - count]
    threshold = np.tile(points.threshold[first][:, None], count.max())
    share = np.zeros_like(threshold)
    threshold[group, place], share[group, place] = points.threshold[used], probability[used]
    rules = {
        label: list(
            zip(threshold[g, : count[g]].tolist(), share[g, : count[g]].tolist(), strict=True)
        )
        for g, label in enumerate(labels)
        if points.start[g + 1] - points.start[g] > 1  # others do not occur
    }
    return GroupThresholds(rules), (threshold, share)


def _randomized_share(points: OperatingPoints, probability: Float) -> float:
    """Return the share of weight that lies between two thresholds of its group's rule."""
    used = probability > 0
    selected = points.sums.sum(axis=1)
    start = points.start[:-1]
    least = np.minimum.reduceat(np.where(used, selected, np.inf), start)
    most = np.maximum.reduceat(np.where(used, selected, -np.inf), start)
    return float((most - least).sum() / points.mass.sum())
