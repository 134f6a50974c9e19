"""Convex learning under constraints: logistic regression whose scores are bounded by group."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from time import perf_counter
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_array, check_is_fitted

from fairlearnkit import _validation as checks
from fairlearnkit._base import GroupConstrainedClassifier, Interval, StrOptions, learner_score
from fairlearnkit._kernels.hypotheses import (
    Decisions,
    Hypothesis,
    ThresholdColumns,
    threshold_columns,
)
from fairlearnkit._kernels.moments import (
    Kind,
    Moments,
    group_rates,
    objective,
    row_prices,
    structure,
    violations,
)
from fairlearnkit._kernels.newton import (
    LogisticProblem,
    LogisticSolution,
    Rows,
    prior,
    solve_logistic,
    surrogate_rows,
)
from fairlearnkit._kernels.pool import Progress, lower_bounds, settle
from fairlearnkit._kernels.rate_program import FEASIBILITY, Mixture
from fairlearnkit._mixture import MixtureClassifier
from fairlearnkit.constraints import Criterion
from fairlearnkit.exceptions import InfeasibleConstraintError

__all__ = ["ConstrainedLogisticRegression"]

Float = NDArray[np.float64]
_Solve = Callable[[Rows, Float], LogisticSolution]

# Differences of mean scores along the path, in units of those of the plain model. Below zero they
# are turned round: where mean scores are equal, shares of scores above a threshold need not be.
_PATH = (0.75, 0.5, 0.25, 0.0, -0.25, -0.5, -1.0)

# Scores that vary by no more than this, relative to those of the plain model, are what the solver
# leaves of a model without coefficients. Any ranking by them is chance.
_NOISE = {"newton": 1e-7, "cvxpy": 1e-4}
# Log-odds and probabilities that differ by less are the same one: the order in which products are
# summed depends on the place of the row.
_ROUNDING = 1e-12
# Residual and duality gap at which the conic solver's answer is good.
_CONIC_ACCURACY = 1e-6


class ConstrainedLogisticRegression(MixtureClassifier):
    """Logistic regression with bounds on differences between groups.

    A convex problem with a guaranteed optimum bounds the differences of *mean scores* between
    groups; a small linear programme then picks models along that path, and thresholds on them,
    whose *decisions* keep the bound. Does not need the sensitive attribute at prediction.

    Parameters
    ----------
    constraint : Criterion
        What should be equal, with its bound `max_difference` or `min_ratio`.
    C : float, default=1.0
        Inverse of the strength of regularisation, > 0, as in
        `~sklearn.linear_model.LogisticRegression`; the intercept is not penalised. ``np.inf`` is
        no penalty.
    solver : {"newton", "cvxpy"}, default="newton"
        "newton" takes damped Newton steps. "cvxpy" states the same problem as a conic programme
        for Clarabel, some hundred times slower, and takes `extra_constraints`.
    extra_constraints : callable, default=None
        ``(coef, intercept) -> list`` of further convex constraints in cvxpy, on expressions of
        shape ``(n_features,)`` and ``()``, such as
        ``lambda coef, intercept: [coef[3] >= 0, cp.norm1(coef) <= 5]``. Needs ``solver="cvxpy"``.
        With `drop_sensitive`, ``coef[i]`` belongs to column i of those left. They hold for every
        model on the path; a threshold moves the intercept.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    finish : {"mixture", "single"} or None, default="mixture"
        What keeps the bound. "mixture" mixes a few models and thresholds so that the expected
        rates of decisions do; "single" takes the best one model and one threshold that does. None
        stops at the convex model, which *bounds mean scores and not decisions*: the bound is then
        the largest difference between the groups' mean log-odds in each event of the constraint
        (all rows, or those of one label), and what it means for decisions is seen in
        `disparity_`. Since `max_difference` is at most 1, it always binds where mean log-odds of
        the plain model differ by more.
    max_iter : int, default=100
        Largest number of Newton steps for one model.
    tol : float, default=1e-8
        Accuracy: duality gap in mean loss at which Newton's steps stop, and in mean cost what a
        threshold must save, about, to join the mixture; > 0.
    sensitive_columns : str, int, sequence of these or callable, default=None
        Columns of X that give the groups, by name or position, or a callable ``X -> groups``.
        Several columns make intersectional groups. Not used where `sensitive_features` is passed.
    control_columns : str, int, sequence of these or callable, default=None
        Columns of X that give strata, like `sensitive_columns`: groups are compared within each
        stratum only (conditional parity). Not used where `control_features` is passed.
    drop_sensitive : bool, default=False
        Whether to hide `sensitive_columns` (names or positions) from the model. Rows to decide
        on have the same columns as those of `fit` all the same.
    missing : {"error", "group"}, default="error"
        Whether missing values among the groups are an error or a group of their own.
    weight_rates : bool, default=True
        Whether `sample_weight` counts in the rates too (the sample stands for a population), or in
        loss and cost only (the weights say which errors matter).
    costs : dict, default=None
        Costs of errors, ``{"fp": 1.0, "fn": 1.0}`` by default; the mixture minimises the mean
        cost, and a model's own decisions accept where that is the cheaper by its probability.
    pos_label : int, float, bool or str, default=None
        The label whose prediction counts as selection; None means the larger of the two.
    random_state : int, RandomState instance or None, default=None
        Key of the hash that settles randomised decisions; None means 0.
    verbose : int, default=0
        If positive, print a line for every convex model: where it is on the path (the share left
        of the plain model's differences of mean scores), its loss, the largest difference of mean
        scores, steps and time.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        Class labels.
    groups_ : ndarray of shape (n_groups,)
        Groups seen in `fit`: labels, or tuples of labels where several columns were given.
    strata_ : ndarray of shape (n_strata,)
        Strata seen in `fit`; only where there are any.
    coef_ : ndarray of shape (1, n_features)
        Coefficients of the convex model of largest weight: with ``finish=None`` the only one; the
        plain model where all weight is on constant decisions. Sensitive columns that are dropped
        have none.
    intercept_ : ndarray of shape (1,)
        Its intercept; 0 without one.
    estimators_ : list
        What is mixed: fitted `~sklearn.linear_model.LogisticRegression`, in a
        `~sklearn.model_selection.FixedThresholdClassifier` where the threshold is not its own, or
        True or False for the constant decisions.
    weights_ : ndarray of shape (n_models,)
        Weight of each of them; they sum to 1.
    cost_ : float
        Expected mean cost of decisions on the training rows.
    disparity_ : float or ndarray of shape (n_criteria,)
        Expected disparity of decisions on the training rows, as the constraint measures it; one
        number per criterion of an `AllOf`; NaN where fewer than two groups have the rate.
    loss_ : float
        With ``finish=None``: penalised mean logistic loss, that of scikit-learn divided by C times
        the sum of weights.
    lower_bound_ : float
        With ``finish=None``, lower bound on the loss of any coefficients within the constraints.
        Otherwise lower bound on the mean cost, within the constraint, of any mixture of the
        thresholds kept of the models on the path.
    gap_ : float
        With ``finish=None``, ``loss_ - lower_bound_``: a duality gap, whatever the solver did.
        With `extra_constraints` it is that over intercepts within 1 of the one found, and without
        a penalty over coefficients within 1 too. Otherwise
        ``cost_ - lower_bound_``: near 0 for mixtures, what mixing would save for "single".
    multipliers_ : ndarray of shape (n_events, n_groups)
        What one more unit of each rate (of each mean score, in loss, with ``finish=None``) costs
        at the optimum.
    n_iter_ : int
        Solver steps of all models fitted so far, those for `at` among them.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X has names that are all strings.

    Raises
    ------
    ValueError
        In `fit`, if no groups are given, if an input has the wrong length, missing values or
        invalid weights, if there are not exactly two classes, if `extra_constraints` are no convex
        constraints or the solver does not take them, or if without a penalty the loss has no
        minimum, since features separate the classes.
    InfeasibleConstraintError
        In `fit`, if no coefficients meet `extra_constraints` (and the bounds on mean scores, with
        ``finish=None``), or no single model the bound, with ``finish="single"``.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        In `fit`, if `max_iter` is reached before the duality gap is below `tol`, or if the conic
        solver leaves a gap or a violation of more than 1e-6.
    DegenerateGroupWarning
        In `fit`, if there is one group only, a cell that the constraint needs has no rows (it is
        left out), or very few.

    See Also
    --------
    ReductionClassifier : Any classifier under the same constraints.
    GroupThresholdClassifier : One threshold per group, where the group is known at prediction.

    Notes
    -----
    *The convex problem.* With scores z = X coef + intercept, labels y in {0, 1} and weights s of
    sum S, ::

        min   1/S sum_i s_i (log(1 + exp(z_i)) - y_i z_i) + |coef|^2 / (2 C S)
        s.t.  |mean of z in one group - mean of z in another| <= bound,  in each event

    Demographic parity takes means over all rows [1]_, equal opportunity over positive rows [2]_,
    each group's own; error rates over ``(1 - 2 y) z``.

    *From scores to decisions.* Equal mean scores still leave unequal decisions. The knob is
    therefore the real one: from the plain model on, the differences of mean scores are brought to
    zero and beyond in a few warm-started steps, and a linear programme mixes these models at any
    of (at most) 200 thresholds each, and the two constant decisions, into the cheapest rule whose
    expected rates keep the bound on the training rows, to 1e-9. The path does not depend on the
    bound: another knob costs no further fit.

    *A bound is never a gain.* Thresholds by which a model would cost less on the training rows
    than the plain model does by its own decisions are left out: what they save there is mostly
    chance. So relaxing the bound never raises `cost_`, `frontier_` is what `at` reaches, and where
    the plain model keeps the bound by its own decisions it is the answer, unless a constant
    decision costs less. A model without coefficients but for rounding ranks nobody: it is left
    out too.

    The linear programme is exact for what the path offers. A strict bound on several rates at once
    may be met at less cost by `ReductionClassifier`, which fits models to the programme's prices.

    *What `predict` says.* `decision_function` and `predict_proba` are those of `coef_` and
    `intercept_`. `predict` and `decision_probability` are the finished rule: they differ from the
    sign of the score where the bound changes decisions.

    *Cost.* Each step of the Newton solver takes n_samples * n_features^2 operations. Memory is
    linear in the rows, beside n_features^2 numbers for the second derivatives. *Pickles* hold no
    rows: from one, `at` turns the bound of the criterion fitted; other criteria, and
    ``finish=None``, need the rows.

    References
    ----------
    .. [1] M. B. Zafar, I. Valera, M. Gomez Rodriguez, K. P. Gummadi, "Fairness Constraints:
       Mechanisms for Fair Classification", AISTATS 2017, section 3.
    .. [2] M. Donini, L. Oneto, S. Ben-David, J. Shawe-Taylor, M. Pontil, "Empirical Risk
       Minimization Under Fairness Constraints", NeurIPS 2018, section 3.

    Examples
    --------
    >>> from fairlearnkit import ConstrainedLogisticRegression, DemographicParity
    >>> from fairlearnkit.datasets import make_group_classification
    >>> X, y, groups = make_group_classification(1000, base_rates=(0.6, 0.3), random_state=0)
    >>> clf = ConstrainedLogisticRegression(DemographicParity(max_difference=0.02))
    >>> clf.fit(X, y, sensitive_features=groups).disparity_ <= 0.02 + 1e-9
    True

    Bounding mean scores by the same number leaves another difference of decisions:

    >>> scores_only = clf.set_params(finish=None).fit(X, y, sensitive_features=groups)
    >>> z = scores_only.decision_function(X)
    >>> bool(abs(z[groups == 0].mean() - z[groups == 1].mean()) <= 0.02 + 1e-9)
    True
    >>> scores_only.disparity_ > 0.02
    True
    """

    _parameter_constraints: dict = {
        **GroupConstrainedClassifier._parameter_constraints,
        "C": [Interval(Real, 0, None, closed="right")],
        "solver": [StrOptions({"newton", "cvxpy"})],
        "extra_constraints": [None, callable],
        "fit_intercept": ["boolean"],
        "finish": [None, StrOptions({"mixture", "single"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
    }

    _mixing_setting = 'finish="mixture"'
    _read_by_at = GroupConstrainedClassifier._read_by_at | {"tol", "max_iter"}
    _plain: Hypothesis

    def __init__(
        self,
        constraint: Criterion,
        *,
        C: float = 1.0,
        solver: str = "newton",
        extra_constraints: Callable[[Any, Any], list] | None = None,
        fit_intercept: bool = True,
        finish: str | None = "mixture",
        max_iter: int = 100,
        tol: float = 1e-8,
        sensitive_columns: checks.Columns | None = None,
        control_columns: checks.Columns | None = None,
        drop_sensitive: bool = False,
        missing: str = "error",
        weight_rates: bool = True,
        costs: Mapping[str, float] | None = None,
        pos_label: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.constraint = constraint
        self.C = C
        self.solver = solver
        self.extra_constraints = extra_constraints
        self.fit_intercept = fit_intercept
        self.finish = finish
        self.max_iter = max_iter
        self.tol = tol
        self.sensitive_columns = sensitive_columns
        self.control_columns = control_columns
        self.drop_sensitive = drop_sensitive
        self.missing = missing
        self.weight_rates = weight_rates
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
        """Fit the convex models and, unless `finish` is None, mix them at the bound.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Training rows; numbers, but for sensitive columns that are dropped.
        y : array-like of shape (n_samples,)
            Labels, of two kinds.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), \
                default=None
            Groups of the rows. Needed where `sensitive_columns` is None.
        control_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
            Strata of the rows, within which groups are compared.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0, for loss, cost and, with `weight_rates`, the rates.

        Returns
        -------
        self : ConstrainedLogisticRegression
            The fitted estimator.
        """
        data = self._check_fit(X, y, sensitive_features, control_features, sample_weight)
        if self.extra_constraints is not None and self.solver != "cvxpy":
            msg = (
                'extra_constraints need solver="cvxpy", which can take any convex constraint, got '
                f"solver={self.solver!r}."
            )
            raise ValueError(msg)
        self._start_pool(data.take(data.rows_that_count(self.weight_rates)))
        self._warn_degenerate(self._cell_count)
        self._known_paths: set[bytes] = set()
        self._effort = {"n_iter": 0}

        self._turn()
        return self

    def decision_function(self, X: Any) -> Float:
        """Return the score of the convex model of largest weight: log-odds of ``classes_[1]``.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        ndarray of shape (n_samples,)
            Scores; `predict` decides by the finished rule, not by their sign.
        """
        X = self._check_predict(X)
        score: Float = self._scorer.decision_function(self._learner_view(X))
        return score

    def predict_proba(self, X: Any) -> Float:
        """Return the class probabilities of the convex model of largest weight.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            P(y | x) for each of `classes_`; for probabilities of decisions see
            `decision_probability`.
        """
        X = self._check_predict(X)
        probability: Float = self._scorer.predict_proba(self._learner_view(X))
        return probability

    @property
    def n_iter_(self) -> int:
        """Number of solver steps so far, by this estimator and all that `at` made from it."""
        check_is_fitted(self)
        return self._effort["n_iter"]

    @property
    def score_disparity_(self) -> float:
        """Largest difference of mean scores, by `coef_`, on the training rows.

        Over all events of the constraint the rule was solved for. Computed when asked from the
        training rows, which are not kept in pickles.
        """
        check_is_fitted(self)
        self._training_rows("score_disparity_")
        rows = self._rows(self._moments())
        theta = np.append(self.coef_, self.intercept_) if self.fit_intercept else self.coef_[0]
        return float(rows.spread(rows.values(theta)).max(initial=0.0))

    def _learner_view(self, X: Any) -> Any:
        """Return what the model sees of X, as numbers."""
        return check_array(
            super()._learner_view(X),
            accept_sparse="csr",
            dtype=np.float64,
            estimator=self,
            input_name="X",
        )

    def _plain_setting(self) -> str | None:
        return None if self.finish == "mixture" else f"finish={self.finish!r}"

    def _problem(self) -> LogisticProblem:
        training = self._training_rows("Another convex model")
        weight = training.sample_weight
        weight = np.ones(len(training.y)) if weight is None else weight
        return LogisticProblem(
            X=training.learner_X,
            y=(training.y == self.classes_[1]).astype(np.float64),
            weight=weight / weight.sum(),
            alpha=1.0 / (self.C * weight.sum()),
            fit_intercept=self.fit_intercept,
        )

    def _rows(self, moments: Moments) -> Rows:
        """Return the groups' mean scores as the constraint's rates have them."""
        training = self._training_rows("Another convex model")
        return surrogate_rows(
            training.learner_X,
            training.positive,
            training.unit,
            training.sample_weight if self.weight_rates else None,
            moments,
            1.0 if self._positive_class == 1 else -1.0,
            self.fit_intercept,
        )

    def _solver(self, problem: LogisticProblem) -> _Solve:
        """Return what solves the convex problem at some bounds, from some start."""
        if self.solver == "newton":
            return lambda rows, start: solve_logistic(
                problem, rows, start, tol=self.tol, max_iter=self.max_iter
            )
        from fairlearnkit._convex import LogisticProgramme

        # Stated once each; further bounds and offsets only fill in numbers.
        programmes: dict[bool, LogisticProgramme] = {}

        def solve(rows: Rows, start: Float) -> LogisticSolution:
            is_bounded = bool(np.isfinite(rows.bound).all())
            if is_bounded not in programmes:
                programmes[is_bounded] = LogisticProgramme(
                    problem, rows if is_bounded else None, self.extra_constraints
                )
            return programmes[is_bounded].solve(rows)

        return solve

    def _solved(
        self,
        solve: _Solve,
        rows: Rows,
        start: Float,
        share: float | None = None,
    ) -> LogisticSolution:
        """Solve, count the steps, and report: on the path, where on it."""
        begin = perf_counter()
        solution = solve(rows, start)
        self._effort["n_iter"] += solution.n_iter
        if self.verbose:
            spread = rows.spread(rows.matrix @ solution.theta).max(initial=0.0)
            where = "" if share is None else f"path {share:+.2f}  "
            print(
                f"[{type(self).__name__}] {where}loss {solution.loss:.5f}  score difference "
                f"{spread:.4f}  gap {solution.loss - solution.lower_bound:.1e}  steps "
                f"{solution.n_iter:>3}  {perf_counter() - begin:.2f} s"
            )
        return solution

    def _path(self, moments: Moments) -> Iterator[LogisticSolution]:
        """Yield the plain model, and models of smaller and smaller differences of mean scores.

        Those without coefficients but for rounding are left out: they are constant decisions.
        """
        problem, rows = self._problem(), self._rows(moments)
        solve = self._solver(problem)
        free = rows._replace(bound=np.full(len(rows.bound), np.inf))
        plain = solution = self._solved(solve, free, prior(problem), 1.0)
        range_plain = float(np.ptp(problem.scores(plain.theta)))
        if range_plain <= _ROUNDING:
            yield plain._replace(theta=prior(problem))
            return
        yield plain
        values = rows.values(plain.theta)
        spread = rows.spread(values)
        if not spread.any():
            return
        for share in _PATH:
            # Beyond zero every row goes to the other side of its event in proportion.
            bounded = rows._replace(
                offset=rows.offset - min(share, 0.0) * values, bound=max(share, 0.0) * spread
            )
            try:
                solution = self._solved(solve, bounded, solution.theta, share)
            except InfeasibleConstraintError:
                # Extra constraints may keep mean scores apart: the path ends where they do.
                return
            score = problem.scores(solution.theta)
            if np.ptp(score) > _NOISE[self.solver] * range_plain:
                yield solution

    def _as_model(self, theta: Float) -> LogisticRegression:
        """Return coefficients as scikit-learn's own model."""
        n_features = len(theta) - self.fit_intercept
        model = LogisticRegression(C=self.C, fit_intercept=self.fit_intercept)
        model.classes_, model.n_features_in_ = self.classes_, n_features
        model.coef_ = theta[None, :n_features].copy()
        model.intercept_ = theta[n_features:].copy() if self.fit_intercept else np.zeros(1)
        return model

    def _decided(self, model: LogisticRegression, score: Float) -> Hypothesis:
        """Return the model's own decisions: what its probabilities say is the cheaper."""
        learner_X = self._training_rows("Another convex model").learner_X
        fp_cost, fn_cost = self._costs
        if fp_cost == fn_cost:
            accepts = model.predict(learner_X) == self.classes_[self._positive_class]
            return self._hypothesis(accepts.astype(float), (model, None))
        threshold = fp_cost / (fp_cost + fn_cost)
        return self._hypothesis((score >= threshold).astype(float), (model, threshold))

    def _score(self, model: LogisticRegression) -> Float:
        """Return the probabilities by which a model ranks the training rows."""
        learner_X = self._training_rows("Another convex model").learner_X
        return _without_rounding(
            learner_score(model, learner_X, "predict_proba", self.classes_, self._positive_class)
        )

    def _extend_pool(self, moments: Moments) -> list[LogisticSolution]:
        """Add the path of a criterion, once; return what was solved for it."""
        # Mean scores are compared by differences, whatever the bound is on.
        compared = structure(moments._replace(is_ratio=np.zeros_like(moments.is_ratio)))
        if compared in self._known_paths:
            return []
        training = self._training_rows("Another criterion")
        _, slope = objective(self._cost_mass, *self._costs)
        of_rows = training.positive, training.unit, training.sample_weight
        price = row_prices(moments, np.zeros(len(moments.unit)), slope, *of_rows)
        # All of the path or, if a solver fails on the way, nothing of it.
        solutions = list(self._path(moments))
        for place, solution in enumerate(solutions):
            model = self._as_model(solution.theta)
            score = self._score(model)
            own = self._decided(model, score)
            if place == 0:
                self._plain = own
            columns = threshold_columns(model, score, score, price, self._decisions)
            self._pool.n_fits += 1
            least = self._plain.cost - FEASIBILITY * max(self._costs)
            if own.cost >= least:
                self._pool.add([own])
            if columns is not None and (columns := _costing(columns, least)) is not None:
                self._pool.columns.append(columns)
        self._known_paths.add(compared)
        return solutions

    def _turn(self) -> None:
        if not all(part._kind == Kind.PARITY for part in self._criterion._parts()):
            msg = (
                "ConstrainedLogisticRegression bounds differences between groups, got "
                f"{self._criterion!r}. Use ReductionClassifier or GroupThresholdClassifier, which "
                "take other conditions too."
            )
            raise ValueError(msg)
        moments = self._moments()
        turn = self._turn_scores if self.finish is None else self._turn_decisions
        solutions = turn(moments)
        gap = max((s.loss - s.lower_bound for s in solutions), default=0.0)
        residual = max((s.residual for s in solutions), default=0.0)
        if self.solver == "newton" and max(gap, residual) > self.tol:
            message = (
                f"max_iter={self.max_iter} reached with a duality gap of {gap:.2g} in mean loss "
                f"(tol={self.tol:g}) and bounds met to {residual:.2g}. Scale the features, or "
                "raise max_iter or tol."
            )
        elif self.solver == "cvxpy" and max(gap, residual) > _CONIC_ACCURACY:
            message = (
                f"The conic solver stopped short of {_CONIC_ACCURACY:g}: constraints are met to "
                f"{residual:.2g}, and the loss may be {gap:.2g} from its minimum. Scale the "
                "features, or use more regularisation."
            )
        else:
            return
        warnings.warn(message, ConvergenceWarning, stacklevel=3)

    def _turn_scores(self, moments: Moments) -> list[LogisticSolution]:
        """Store the convex model at the bound on mean scores; return what was solved."""
        if moments.is_ratio.any():
            msg = (
                "finish=None bounds mean scores, which may be negative and have no ratio: it "
                f"takes max_difference, got {self._criterion!r}. Use "
                'finish="mixture" for min_ratio.'
            )
            raise ValueError(msg)
        problem, rows = self._problem(), self._rows(moments)
        solution = self._solved(self._solver(problem), rows, prior(problem))
        model = self._as_model(solution.theta)
        own = self._decided(model, self._score(model))
        self._store_scorer(model)
        self._store_rule(moments, [own], np.ones(1), solution.row_price, solution.lower_bound)
        self.loss_ = solution.loss
        self.gap_ = max(solution.loss - solution.lower_bound, 0.0)
        return [solution]

    def _turn_decisions(self, moments: Moments) -> list[LogisticSolution]:
        """Store the finished rule; return what was solved for it."""
        # That of another fit, or of another `finish`.
        self.__dict__.pop("loss_", None)
        solutions = self._extend_pool(moments)
        mixture = settle(self._pool, moments, self.tol)
        progress = Progress.of(mixture, lower_bounds(self._pool, moments))
        rate_price = progress.rate_price
        # Of equally good rules scikit-learn's own.
        is_least = self.finish == "single" or self._plain.cost <= progress.cost + self.tol
        if is_least and _keeps(moments, self._plain):
            mixed, weights, rate_price = [self._plain], np.ones(1), np.zeros_like(rate_price)
        elif self.finish == "single":
            mixed, weights = [self._best_single(moments)], np.ones(1)
        else:
            mixed, weights = self._members(progress)
        self._store_scorer(self._heaviest(mixed, weights))
        self._store_rule(moments, mixed, weights, rate_price, progress.lower_bound)
        return solutions

    def _heaviest(self, mixed: list[Hypothesis], weights: Float) -> LogisticRegression:
        """Return the model of largest weight over all its thresholds; the plain one if none."""
        total: dict[int, float] = {}
        models = {}
        for hypothesis, weight in zip(mixed, weights, strict=True):
            if not isinstance(hypothesis.model, bool):
                model = hypothesis.model[0]
                models[id(model)] = model
                total[id(model)] = total.get(id(model), 0.0) + float(weight)
        if not models:
            return self._plain.model[0]
        return models[max(total, key=lambda key: total[key])]

    def _store_scorer(self, model: LogisticRegression) -> None:
        self._scorer = model
        self.coef_, self.intercept_ = model.coef_.copy(), model.intercept_.copy()

    def _optimum_at(self, moments: Moments) -> Mixture:
        return settle(self._pool, moments, self.tol)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: two classes, numbers, dense or sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _without_rounding(score: Float) -> Float:
    """Return scores in which those that differ by rounding are equal."""
    order = np.argsort(score, kind="stable")
    ascending = score[order]
    is_next = np.diff(ascending, prepend=-np.inf) > _ROUNDING
    merged = np.empty_like(score)
    merged[order] = ascending[is_next][np.cumsum(is_next) - 1]
    return merged


def _costing(columns: ThresholdColumns, least: float) -> ThresholdColumns | None:
    """Return the thresholds that cost so much or more; None if there are none."""
    kept = np.flatnonzero(columns.counted.cost >= least)
    if not len(kept):
        return None
    decisions = Decisions(columns.counted.cost[kept], columns.counted.sums[kept])
    return ThresholdColumns(columns.model, columns.threshold[kept], decisions, decisions)


def _keeps(moments: Moments, hypothesis: Hypothesis) -> bool:
    """Whether decisions are within the bounds."""
    excess = violations(moments, group_rates(moments, hypothesis.sums))
    return bool(excess.max(initial=-np.inf) <= FEASIBILITY)
