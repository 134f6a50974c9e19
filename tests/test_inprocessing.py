"""Constrained logistic regression: the surrogate, the finished rule, and scikit-learn's answer."""

import pickle
from itertools import pairwise

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
from helpers import Instance, exact_programme
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from fairlearnkit import (
    AllOf,
    ConstrainedLogisticRegression,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    ErrorRateParity,
    Parity,
    Rate,
    inprocessing,
)
from fairlearnkit._kernels import pool
from fairlearnkit._kernels.hypotheses import Decisions
from fairlearnkit.datasets import load_german_credit, make_group_classification
from fairlearnkit.exceptions import InfeasibleConstraintError, SolverError
from fairlearnkit.metrics import demographic_parity_difference, disparity


def make_data(n_samples=600, random_state=0):
    """Return rows of three groups that differ in base rate and in how well they are told apart."""
    return make_group_classification(
        n_samples,
        base_rates=(0.6, 0.3, 0.45),
        class_sep=(2.0, 1.2, 1.6),
        random_state=random_state,
    )


X, Y, GROUPS = make_data()
ODDS = EqualizedOdds(max_difference=0.05)


def fit(constraint, X=X, y=Y, groups=GROUPS, sample_weight=None, **kwargs):
    """Return a fitted estimator."""
    return ConstrainedLogisticRegression(constraint, **kwargs).fit(
        X, y, sensitive_features=groups, sample_weight=sample_weight
    )


def exact(C=1.0, **kwargs):
    """Return scikit-learn's own model, to machine precision."""
    return LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000, **kwargs)


@pytest.fixture(scope="module")
def fitted():
    """Return an estimator that tests only look at."""
    return fit(ODDS)


# ---------------------------------------------------------------------------------------------
# Where nothing is asked


@pytest.mark.parametrize("finish", ["mixture", "single", None])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0, np.inf])
def test_inactive_bound_is_scikit_learn(finish, C):
    """Where the bound is inactive, coefficients are scikit-learn's to 1e-6, and so is the rest."""
    X = sparse.csr_array(globals()["X"]) if C == 100 else globals()["X"]
    weight = np.random.default_rng(0).uniform(0.5, 2, len(Y))
    constraint = DemographicParity(max_difference=1.0)
    if finish is None:  # mean log-odds of real groups may differ by more than 1
        near = np.random.default_rng(1).integers(3, size=len(Y))
        ours = fit(constraint, X, groups=near, C=C, finish=finish, sample_weight=weight)
    else:
        ours = fit(constraint, X, C=C, finish=finish, sample_weight=weight)
    theirs = exact(C).fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-5)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert not ours.multipliers_.any()


def test_no_intercept():
    """Without an intercept there is none, and the rest is scikit-learn's."""
    ours = fit(DemographicParity(max_difference=1.0), fit_intercept=False)
    theirs = exact(fit_intercept=False).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-6)
    assert ours.intercept_ == 0


@pytest.mark.parametrize("labels", [("no", "yes"), (5, 2)])
def test_scores_are_those_of_the_second_class(labels):
    """Coefficients follow scikit-learn's convention, whichever label counts as selection."""
    y = np.array(labels)[Y]
    for pos_label in labels:
        ours = fit(DemographicParity(max_difference=1.0), y=y, pos_label=pos_label)
        theirs = exact().fit(X, y)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    one, other = (fit(ODDS, y=y, pos_label=label) for label in labels)
    # The true positive rate of one label is the true negative rate of the other.
    assert one.cost_ == pytest.approx(other.cost_, abs=1e-3)


def test_own_decisions_follow_costs():
    """With costs a model accepts where that is the cheaper by its probability."""
    costs = {"fp": 1.0, "fn": 3.0}
    ours = fit(DemographicParity(max_difference=1.0), costs=costs)
    np.testing.assert_array_equal(
        ours.predict(X), exact().fit(X, Y).predict_proba(X)[:, 1] >= 0.25
    )


# ---------------------------------------------------------------------------------------------
# The surrogate


@pytest.mark.parametrize("reference", ["between", "overall"])
def test_mean_scores_are_bounded_and_decisions_are_not(reference):
    """With finish=None the groups' mean scores are within the bound, by counting."""
    clf = fit(EqualizedOdds(max_difference=0.03, reference=reference), finish=None)
    score = clf.decision_function(X)
    largest = 0.0
    for label in (0, 1):
        means = np.array([score[(g == GROUPS) & (label == Y)].mean() for g in range(3)])
        centre = score[label == Y].mean()
        away = np.ptp(means) if reference == "between" else np.abs(means - centre).max()
        largest = max(largest, away)
    assert largest <= 0.03 + 1e-10
    assert clf.score_disparity_ == pytest.approx(largest, abs=1e-12)
    assert clf.gap_ <= 1e-8
    if reference == "between":
        assert clf.disparity_ > 0.03
    np.testing.assert_array_equal(clf.predict(X), (score > 0).astype(int))
    decided = disparity(clf.constraint, Y, clf.predict(X), sensitive_features=GROUPS)
    assert clf.disparity_ == pytest.approx(decided)


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
def test_equal_opportunity_is_centred_among_positives():
    """The constraint is on positive rows, centred by the attribute's mean among *them*.

    Centred by its mean over all rows, as elsewhere, it becomes
    ``sum over positives of (a - mean(a)) * z``: equal mean scores of the groups' positives do not
    satisfy it, since it also asks something of the mean score of all positives.
    """
    two = GROUPS < 2
    x, y, a = X[two], Y[two], GROUPS[two]
    clf = fit(EqualOpportunity(max_difference=0.0), x, y, a, finish=None)
    score, positive = clf.decision_function(x), y == 1
    right = np.sum(((a - a[positive].mean()) * score)[positive])
    wrong = np.sum(((a - a.mean()) * score)[positive])
    assert right == pytest.approx(0, abs=1e-8)
    assert abs(wrong) / positive.sum() > 0.02
    # The direct computation: the same problem with one linear constraint, solved by cvxpy.
    coef, intercept = cp.Variable(x.shape[1]), cp.Variable()

    def best(centre):
        z = x @ coef + intercept
        loss = cp.sum(cp.logistic(z)) - y @ z + cp.sum_squares(coef) / 2
        among = ((a - centre) * positive) @ z / positive.sum()
        cp.Problem(cp.Minimize(loss), [among == 0]).solve(solver=cp.CLARABEL)
        return coef.value.copy()

    np.testing.assert_allclose(clf.coef_[0], best(a[positive].mean()), atol=1e-4)
    assert np.abs(clf.coef_[0] - best(a.mean())).max() > 0.02


def test_zero_difference_is_a_projection():
    """Equal opportunity at 0 is regression on features without the direction between means."""
    two = GROUPS < 2
    x, y, a = X[two], Y[two], GROUPS[two]
    clf = fit(EqualOpportunity(max_difference=0.0), x, y, a, finish=None)
    u = x[(a == 1) & (y == 1)].mean(axis=0) - x[(a == 0) & (y == 1)].mean(axis=0)
    u /= np.linalg.norm(u)
    free = exact().fit(x - np.outer(x @ u, u), y)
    np.testing.assert_allclose(clf.coef_, free.coef_, atol=1e-6)
    np.testing.assert_allclose(clf.intercept_, free.intercept_, atol=1e-6)


@pytest.mark.parametrize("finish", ["mixture", None])
def test_solvers_agree(finish):
    """Newton and cvxpy find the same models, so the same rules."""
    constraint = AllOf([EqualOpportunity(max_difference=0.1), ErrorRateParity(max_difference=0.2)])
    newton, conic = (fit(constraint, solver=s, finish=finish) for s in ("newton", "cvxpy"))
    np.testing.assert_allclose(conic.coef_, newton.coef_, atol=1e-3)
    assert conic.cost_ == pytest.approx(newton.cost_, abs=2e-3)
    if finish is None:
        assert conic.loss_ == pytest.approx(newton.loss_, abs=1e-6)
        np.testing.assert_allclose(conic.multipliers_, newton.multipliers_, atol=1e-4)


def test_loss_never_falls_as_the_bound_tightens():
    """The optimum is convex and falling in the bound, and its slope is what the prices say."""
    bounds = np.linspace(0.0, 1.0, 9)
    first = fit(DemographicParity(max_difference=0.5), finish=None)
    fits = [first.at(max_difference=bound) for bound in bounds]
    loss = np.array([clf.loss_ for clf in fits])
    assert np.all(np.diff(loss) <= 1e-10)
    assert np.all(np.diff(loss, 2) >= -1e-10)
    here, there = (first.at(max_difference=b) for b in (0.4, 0.4 + 1e-5))
    saved = (here.loss_ - there.loss_) / 1e-5
    assert np.abs(here.multipliers_).sum() / 2 == pytest.approx(saved, rel=1e-3)


@pytest.mark.parametrize("weight_rates", [True, False])
def test_strata_and_weights_in_the_surrogate(weight_rates):
    """Mean scores are compared within strata, weighted as the rates are."""
    rng = np.random.default_rng(3)
    stratum, weight = rng.integers(2, size=len(Y)), rng.uniform(0.2, 3, len(Y))
    clf = ConstrainedLogisticRegression(
        DemographicParity(max_difference=0.02), finish=None, weight_rates=weight_rates
    ).fit(X, Y, sensitive_features=GROUPS, control_features=stratum, sample_weight=weight)
    score = clf.decision_function(X)
    of_rate = weight if weight_rates else np.ones(len(Y))
    for s in range(2):
        cells = [(g == GROUPS) & (stratum == s) for g in range(3)]
        means = [np.average(score[rows], weights=of_rate[rows]) for rows in cells]
        assert np.ptp(means) <= 0.02 + 1e-10
    assert clf.multipliers_.shape == (2, 3)


def test_weights_equal_repeated_rows_in_coefficients():
    """A weight of 3 is the row three times, to rounding, in the convex model too."""
    weight = np.random.default_rng(2).integers(1, 4, len(Y))
    rows = np.repeat(np.arange(len(Y)), weight)
    weighted = fit(ODDS, finish=None, sample_weight=weight)
    repeated = fit(ODDS, X[rows], Y[rows], GROUPS[rows], finish=None)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-9)
    assert weighted.loss_ == pytest.approx(repeated.loss_, abs=1e-12)


@pytest.mark.parametrize("solver", ["newton", "cvxpy"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_models_of_rounding_noise_rank_nobody(solver, fit_intercept):
    """With more groups than features equal mean scores leave no coefficients: nothing to rank by.

    Whatever the order of the rows, and repeated rows for weights, the rule costs and reaches the
    same.
    """
    rng = np.random.default_rng(0)
    X, y, _ = make_group_classification(600, base_rates=(0.6, 0.3), random_state=0)
    groups = rng.integers(10, size=600)
    options = {"solver": solver, "fit_intercept": fit_intercept}
    constraint = EqualizedOdds(max_difference=0.05)
    if solver == "cvxpy":
        constraint = DemographicParity(max_difference=0.05)
    clf = fit(constraint, X, y, groups, **options)
    scale = np.abs(clf._pool.columns[0].model.coef_).max()
    for columns in clf._pool.columns:
        assert np.abs(columns.model.coef_).max() > 1e-3 * scale
    if solver == "cvxpy":
        return
    order = rng.permutation(600)
    moved = fit(constraint, X[order], y[order], groups[order], **options)
    weight = rng.integers(1, 4, 600)
    rows = np.repeat(np.arange(600), weight)
    weighted = fit(constraint, X, y, groups, weight, **options)
    repeated = fit(constraint, X[rows], y[rows], groups[rows], **options)
    for one, other in ((clf, moved), (weighted, repeated)):
        assert one.cost_ == pytest.approx(other.cost_, abs=1e-8)
        assert one.disparity_ == pytest.approx(other.disparity_, abs=1e-8)


def test_features_that_say_nothing_leave_constants():
    """Features that are all equal make a plain model without coefficients, not noise."""
    for fit_intercept in (True, False):
        for C in (1.0, np.inf):
            clf = fit(ODDS, 0 * X, C=C, fit_intercept=fit_intercept)
            assert not clf.coef_.any()
            assert not clf._pool.columns
            assert clf.disparity_ == 0


# ---------------------------------------------------------------------------------------------
# The finished rule


@pytest.mark.parametrize(
    "constraint",
    [
        DemographicParity(max_difference=0.01),
        DemographicParity(min_ratio=0.95),
        DemographicParity(max_difference=0.01, reference="overall"),
        EqualizedOdds(max_difference=0.0),
        ErrorRateParity(max_difference=0.01),
        AllOf([EqualOpportunity(max_difference=0.02), DemographicParity(min_ratio=0.8)]),
    ],
    ids=repr,
)
def test_decisions_keep_the_bound(constraint):
    """Expected decisions on the training rows are within the bound, by the public metric."""
    clf = fit(constraint)
    probability = clf.decision_probability(X)
    reached = disparity(constraint, Y, probability[:, 1], sensitive_features=GROUPS)
    np.testing.assert_allclose(reached, clf.disparity_, atol=1e-9)
    for parity, value in zip(constraint.parities(), np.ravel(reached), strict=True):
        if parity.min_ratio is None:
            assert value <= parity.max_difference + 1e-8
        else:
            assert value >= parity.min_ratio - 1e-8
    cost = np.mean(np.where(Y == 1, probability[:, 0], probability[:, 1]))
    assert clf.cost_ == pytest.approx(cost, abs=1e-9)
    assert clf.gap_ <= 1e-6
    assert clf.weights_.sum() == pytest.approx(1)


def test_the_surrogate_alone_does_not_keep_the_bound():
    """What the mean scores leave open the finish closes, and at less cost than constants."""
    constraint = DemographicParity(max_difference=0.005)
    surrogate, finished = fit(constraint, finish=None), fit(constraint)
    assert surrogate.disparity_ > 0.01
    assert finished.disparity_ <= 0.005 + 1e-9
    assert finished.cost_ < min(Y.mean(), 1 - Y.mean()) - 0.05


def test_mixture_is_the_optimum_over_the_path(fitted):
    """The cost is that of a programme over all thresholds kept and the two constants."""
    decisions = [np.zeros(len(Y)), np.ones(len(Y))]
    for columns in fitted._pool.columns:
        score = columns.model.predict_proba(X)[:, 1]
        decisions += [(score >= t).astype(float) for t in columns.threshold]
    instance = Instance(np.zeros(len(Y)), Y, GROUPS, np.ones(len(Y)))
    best = exact_programme(decisions, instance, fitted.constraint)
    assert fitted.cost_ == pytest.approx(best, abs=1e-6)
    assert fitted.lower_bound_ <= best + 1e-9


def test_coefficients_are_those_of_the_largest_weight(fitted):
    """Scores come from the convex model that decides most."""
    total = {}
    for model, weight in zip(fitted.estimators_, fitted.weights_, strict=True):
        if not isinstance(model, bool):
            inner = getattr(model, "estimator_", model)
            inner = getattr(inner, "estimator", inner)
            key = tuple(inner.coef_[0])
            total[key] = total.get(key, 0) + weight
    assert tuple(fitted.coef_[0]) == max(total, key=total.get)
    score = X @ fitted.coef_[0] + fitted.intercept_[0]
    np.testing.assert_allclose(fitted.decision_function(X), score, atol=1e-12)
    np.testing.assert_allclose(fitted.predict_proba(X)[:, 1], 1 / (1 + np.exp(-score)), atol=1e-12)


def test_single_is_one_model_at_one_threshold():
    """Without mixing, one threshold of one model is within the bound and no cheaper one is."""
    constraint = DemographicParity(max_difference=0.05)
    single, mixture = fit(constraint, finish="single"), fit(constraint)
    assert len(single.estimators_) == 1
    assert not isinstance(single.estimators_[0], bool)
    assert single.disparity_ <= 0.05 + 1e-9
    assert demographic_parity_difference(
        Y, single.predict(X), sensitive_features=GROUPS
    ) == pytest.approx(single.disparity_)
    assert set(single.decision_probability(X).ravel()) == {0.0, 1.0}
    assert single.cost_ >= mixture.cost_ - 1e-9
    assert single.gap_ == pytest.approx(single.cost_ - mixture.lower_bound_, abs=1e-6)
    for columns in single._pool.columns:
        counted: Decisions = columns.counted
        rates = counted.sums.sum(axis=2) / single._mass.sum(axis=1)
        is_within = np.ptp(rates, axis=1) <= 0.05 + 1e-9
        assert np.all(counted.cost[is_within] >= single.cost_ - 1e-12)
    with pytest.raises(AttributeError, match=r"finish='single': its curve is not convex"):
        _ = single.frontier_
    with pytest.raises(AttributeError, match="finish=None"):
        _ = fit(constraint, finish=None).frontier_


def test_another_knob_costs_no_further_fit(fitted):
    """The path does not depend on the bound: another one equals a fresh fit, and no step more."""
    before = fitted.n_iter_
    other = fitted.at(max_difference=0.01)
    fresh = fit(EqualizedOdds(max_difference=0.01))
    assert other.n_iter_ == fitted.n_iter_ == before
    assert other.cost_ == pytest.approx(fresh.cost_, abs=1e-6)
    assert other.disparity_ <= 0.01 + 1e-9
    assert fitted.disparity_ > 0.01
    assert fitted.at(constraint=DemographicParity(max_difference=0.02)).n_iter_ > before


def test_tighter_bound_never_lowers_the_cost(fitted):
    """Asking for more costs as much or more, within the reported gap."""
    knobs = [1.0, 0.3, 0.1, 0.05, 0.02, 0.0]
    fits = [fitted.at(max_difference=knob) for knob in knobs]
    for loose, tight in pairwise(fits):
        assert tight.cost_ >= loose.cost_ - loose.gap_ - 1e-9
        assert tight.lower_bound_ >= loose.lower_bound_ - 1e-7
    curve = fitted.frontier_
    for knob, clf in list(zip(knobs, fits, strict=True))[2:]:
        assert curve(knob) == pytest.approx(clf.cost_, abs=1e-6)
    assert np.all(curve.lower_bound <= curve.cost + 1e-12)


@pytest.mark.parametrize("costs", [None, {"fp": 1.0, "fn": 3.0}], ids=["equal", "unequal"])
def test_curve_is_what_other_knobs_reach(costs):
    """Curve and fits agree at every knob, and relaxing the bound never raises the cost."""
    X, y, groups = make_group_classification(2000, base_rates=(0.6, 0.3), random_state=0)
    clf = fit(DemographicParity(max_difference=0.02), X, y, groups, costs=costs)
    plain = exact().fit(X, y).predict_proba(X)[:, 1] >= (0.5 if costs is None else 0.25)
    its_gap = demographic_parity_difference(y, plain, sensitive_features=groups)
    knobs = [0.0, 0.1, its_gap - 1e-3, its_gap + 1e-3, 0.5, 1.0]
    cost = [clf.at(max_difference=knob).cost_ for knob in knobs]
    assert np.all(np.diff(cost) <= 1e-9)
    np.testing.assert_allclose([clf.frontier_(knob) for knob in knobs], cost, atol=1e-7)
    for knob in knobs[3:]:
        np.testing.assert_array_equal(clf.at(max_difference=knob).predict(X), plain)


def test_curve_solves_each_programme_once(monkeypatch):
    """What a knob's programme said stands until a threshold that joins the pool prices below."""
    groups = np.arange(len(Y)) % 6
    clf = fit(DemographicParity(max_difference=0.1), X + 0.5 * groups[:, None], groups=groups)
    solved, solve = [], pool.solve_mixture
    monkeypatch.setattr(pool, "solve_mixture", lambda *a: solved.append(a) or solve(*a))
    known = len(clf._pool.hypotheses)

    curve = clf.frontier_

    assert len(clf._pool.hypotheses) > known
    assert len(solved) <= 2 * len(curve) + len(clf._pool.hypotheses) - known


def test_a_cheaper_constant_is_the_answer_at_every_knob():
    """Where deciding for everybody alike costs less than the plain model, at and curve say so."""
    x = np.array([[0.0], [1.0], [2.0], [3.0], [9.0]] * 20)
    y = np.array([0, 0, 0, 0, 1] * 20)
    y[[4, 9, 14]] = 0  # the plain model accepts these
    y[[0, 5, 10, 15, 20, 25]] = 1
    group = np.arange(100) % 2
    clf = fit(DemographicParity(max_difference=0.0), x, y, group, costs={"fp": 1.0, "fn": 0.05})
    for knob in (0.0, 0.5, 1.0):
        at = clf.at(max_difference=knob)
        assert at.cost_ == pytest.approx(clf.frontier_(knob), abs=1e-9)
        assert at.cost_ <= 0.05 * y.mean() + 1e-12


def test_pickles_turn_the_knob_without_rows(fitted):
    """From a pickle any bound of the criterion can be read; what needs rows says so."""
    loaded = pickle.loads(pickle.dumps(fitted))
    assert loaded.at(max_difference=0.02).cost_ == pytest.approx(
        fitted.at(max_difference=0.02).cost_, abs=1e-9
    )
    assert loaded.frontier_.cost[0] == pytest.approx(fitted.frontier_.cost[0], abs=1e-9)
    with pytest.raises(AttributeError, match="needs the training rows"):
        loaded.at(constraint=ErrorRateParity(max_difference=0.02))
    with pytest.raises(AttributeError, match="needs the training rows"):
        _ = loaded.score_disparity_
    surrogate = pickle.loads(pickle.dumps(fit(ODDS, finish=None)))
    with pytest.raises(AttributeError, match="needs the training rows"):
        surrogate.at(max_difference=0.3)


def test_hashed_decisions_keep_the_rates_up_to_chance():
    """The realised gap of hashed decisions is near the expected one."""
    X, y, groups = make_data(6000, random_state=1)
    clf = fit(DemographicParity(max_difference=0.02), X, y, groups)
    assert abs(clf.realized_disparity_ - clf.disparity_) < 0.03


def test_constants_alone_leave_the_plain_model_for_scores():
    """Where all weight is on constant decisions, scores are the plain model's."""
    rng = np.random.default_rng(0)
    group = rng.integers(2, size=200)
    # The only feature is the group, with labels that follow it.
    x, y = group[:, None].astype(float), (rng.random(200) < 0.2 + 0.6 * group).astype(int)
    clf = fit(DemographicParity(max_difference=0.0), x, y, group)
    assert clf.estimators_ == [bool(y.mean() > 0.5)]
    np.testing.assert_allclose(clf.coef_, exact().fit(x, y).coef_, atol=1e-6)


def test_frames_with_sensitive_columns():
    """Columns of text may give groups where they are dropped; groups are not needed afterwards."""
    frame = pd.DataFrame(X, columns=list("vwxyz")).assign(g=np.array(["a", "b", "c"])[GROUPS])
    clf = ConstrainedLogisticRegression(ODDS, sensitive_columns="g", drop_sensitive=True)
    clf.fit(frame, Y)
    assert clf.coef_.shape == (1, 5)
    assert clf.cost_ == pytest.approx(fit(ODDS).cost_, abs=1e-9)
    changed = frame.assign(g="a")
    np.testing.assert_array_equal(
        clf.decision_probability(changed), clf.decision_probability(frame)
    )


def test_memory_is_linear_in_the_rows():
    """Fitting makes no second X: what it holds beside the input is a fraction of it."""
    import tracemalloc

    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 100))
    y, group = (X[:, 0] + rng.logistic(size=20_000) > 0).astype(int), rng.integers(2, size=20_000)
    tracemalloc.start()
    fit(DemographicParity(max_difference=0.01), X, y, group)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes


# ---------------------------------------------------------------------------------------------
# The user's own constraints


@pytest.mark.parametrize("finish", ["mixture", None])
def test_monotone_effect_and_budget(finish):
    """Extra constraints hold for every model in the rule."""
    plain = fit(DemographicParity(max_difference=0.1), finish=finish)
    sign = -np.sign(plain.coef_[0, 1])
    clf = fit(
        DemographicParity(max_difference=0.1),
        solver="cvxpy",
        extra_constraints=lambda coef, _: [sign * coef[1] >= 0.1, cp.norm1(coef) <= 1.5],
        finish=finish,
    )
    for coef in [clf.coef_[0], *(c.model.coef_[0] for c in clf._pool.columns)]:
        assert sign * coef[1] >= 0.1 - 1e-6
        assert np.abs(coef).sum() <= 1.5 + 1e-5
    assert clf.gap_ <= 1e-5


def test_path_ends_where_extra_constraints_keep_scores_apart():
    """If mean scores cannot be equal the real bound still is kept, by thresholds and constants."""
    apart = X[GROUPS == 0].mean(axis=0) - X[GROUPS == 2].mean(axis=0)
    options = {"solver": "cvxpy", "extra_constraints": lambda coef, _: [apart @ coef >= 0.2]}
    clf = fit(DemographicParity(max_difference=0.02), **options)
    assert clf.disparity_ <= 0.02 + 1e-9
    assert all(apart @ c.model.coef_[0] >= 0.2 - 1e-6 for c in clf._pool.columns)
    with pytest.raises(InfeasibleConstraintError, match="at once, though"):
        fit(DemographicParity(max_difference=0.1), finish=None, **options)


def test_contradictory_extra_constraints():
    """Extra constraints that nothing meets are an error, whatever the finish."""
    for finish in ("mixture", None):
        with pytest.raises(InfeasibleConstraintError, match="contradict each other"):
            fit(
                ODDS,
                solver="cvxpy",
                finish=finish,
                extra_constraints=lambda coef, _: [coef[0] >= 1, coef[0] <= 0],
            )


def test_rates_that_scores_cannot_change_contradict():
    """A rate that differs by base rates alone cannot be bounded through scores."""
    positives = Rate("share_of_positives", ("fn", "tp"))
    with pytest.raises(InfeasibleConstraintError, match="do not depend on the features"):
        fit(Parity(positives, max_difference=0.01), finish=None)


# ---------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize("C", [0, -1.0, "1", None])
def test_C_must_be_positive(C):
    """The strength of regularisation is a number above 0."""
    with pytest.raises(
        ValueError, match=rf"'C' parameter .* in the range \(0.0, inf\]. Got {C!r}"
    ):
        fit(ODDS, C=C)


@pytest.mark.parametrize(
    ("name", "value"),
    [("solver", "lbfgs"), ("finish", "none"), ("max_iter", 0), ("tol", 0.0), ("tol", -1)],
)
def test_other_parameters(name, value):
    """A value outside its range is an error that names parameter and value."""
    with pytest.raises(ValueError, match=rf"'{name}' parameter .* Got {value!r}"):
        fit(ODDS, **{name: value})


def test_extra_constraints_need_cvxpy():
    """Newton's method takes no further constraints: an error that says who does."""
    with pytest.raises(ValueError, match=r'need solver="cvxpy".* got solver=\'newton\''):
        fit(ODDS, extra_constraints=lambda coef, _: [coef[0] >= 0])


@pytest.mark.parametrize("solver", ["newton", "cvxpy"])
def test_separable_classes_without_regularisation(solver):
    """Classes that features separate have no finite coefficients without regularisation."""
    y = (X[:, 0] > 0).astype(int)
    with pytest.raises(ValueError, match=r"no minimum without a penalty.*Set C"):
        fit(DemographicParity(max_difference=0.9), y=y, C=np.inf, solver=solver)
    assert np.isfinite(fit(DemographicParity(max_difference=0.9), y=y, C=1e3).coef_).all()


def test_ratios_of_mean_scores_mean_nothing():
    """finish=None takes differences; ratios are for decisions."""
    with pytest.raises(ValueError, match=r'have no ratio.* Use finish="mixture"'):
        fit(DemographicParity(min_ratio=0.8), finish=None)


def test_features_must_be_numbers():
    """Text among the features, and missing values, are scikit-learn's own errors."""
    frame = pd.DataFrame(X, columns=list("vwxyz"))
    with pytest.raises(ValueError, match="could not convert string to float"):
        fit(ODDS, frame.assign(v="text"))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        fit(ODDS, frame.assign(v=np.nan))


def test_running_out_of_steps_warns_with_the_gap():
    """Too few steps warn, with how far the loss may be from its minimum."""
    with pytest.warns(ConvergenceWarning, match=r"max_iter=1 reached with a duality gap of \d"):
        fit(ODDS, finish=None, max_iter=1)


def test_warnings_of_the_conic_solver_point_to_the_caller(monkeypatch):
    """One warning for all models, with what the worst of them lacks, at the line that fits."""
    monkeypatch.setattr(inprocessing, "_CONIC_ACCURACY", 0.0)
    with pytest.warns(ConvergenceWarning, match=r"met to \d.* may be \d") as caught:
        ConstrainedLogisticRegression(ODDS, solver="cvxpy").fit(X, Y, sensitive_features=GROUPS)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_well_posed_conic_problems_do_not_warn():
    """Budgets on scaled and on unscaled features leave gaps that are measured, and small."""
    large = X * np.array([1e3, 1, 1, 1, 1e-2]) + np.array([3e3, 0, 0, 0, 0])
    for features in (X, large):
        fit(
            DemographicParity(max_difference=0.05),
            features,
            solver="cvxpy",
            extra_constraints=lambda coef, _: [coef[1] >= 0, cp.norm1(coef) <= 2],
        )


def test_refits_leave_nothing_of_another_finish():
    """The loss belongs to finish=None: a fit with another one has none."""
    clf = fit(ODDS, finish=None)
    assert clf.loss_ > 0
    clf.set_params(finish="mixture").fit(X, Y, sensitive_features=GROUPS)
    assert not hasattr(clf, "loss_")


def test_difference_of_mean_scores_is_of_the_fitted_criterion():
    """A criterion that is set but not fitted changes no fitted number."""
    clf = fit(DemographicParity(max_difference=0.1), finish=None)
    before = clf.score_disparity_
    clf.set_params(constraint=ODDS)
    assert clf.score_disparity_ == before == pytest.approx(0.1, abs=1e-9)


def test_turning_to_and_fro_leaves_no_trace():
    """A knob that was asked for once adds nothing when it is asked for again."""
    clf = fit(ODDS)
    for _ in range(2):
        for knob in (0.1, 0.05):
            clf.at(max_difference=knob)
        size = len(pickle.dumps(clf))
    for _ in range(5):
        clf.at(max_difference=0.1)
    assert len(pickle.dumps(clf)) == size


def test_a_path_that_fails_leaves_nothing(monkeypatch):
    """If a solver fails on the way nothing of the path is kept, and a second call is whole."""
    clf = fit(ODDS)
    n_columns = len(clf._pool.columns)
    solve, calls = inprocessing.solve_logistic, []

    def broken(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise SolverError("out of luck")
        return solve(*args, **kwargs)

    monkeypatch.setattr(inprocessing, "solve_logistic", broken)
    with pytest.raises(SolverError, match="out of luck"):
        clf.at(constraint=ErrorRateParity(max_difference=0.05))
    assert len(clf._pool.columns) == n_columns
    assert clf.at(constraint=ErrorRateParity(max_difference=0.05)).disparity_ <= 0.05 + 1e-9


def test_progress_is_printed_on_request(capsys):
    """One line for every convex model."""
    clf = fit(ODDS, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(clf._pool.columns) == 8
    assert all("loss" in line and "steps" in line for line in lines)
    assert "path +1.00" in lines[0]
    assert "path -1.00" in lines[-1]


def test_one_group_is_the_plain_model():
    """With nothing to compare there is one model, and no path."""
    with pytest.warns(UserWarning, match="one group only"):
        clf = fit(ODDS, groups=np.zeros(len(Y)))
    np.testing.assert_allclose(clf.coef_, exact().fit(X, Y).coef_, atol=1e-6)


def test_german_credit():
    """On real data the bound is kept, and the plain model's cost is not far."""
    data, y = load_german_credit(return_X_y=True, as_frame=True)
    numbers = data.select_dtypes("number")
    young = data["age"] <= 25
    clf = fit(EqualOpportunity(max_difference=0.02), numbers, y, young, pos_label="good")
    assert clf.disparity_ <= 0.02 + 1e-9
    plain = exact().fit(numbers, y)
    # A constant decision costs 0.3.
    assert clf.cost_ <= np.mean(plain.predict(numbers) != y) + 0.01
