"""Group thresholds as an estimator: what it reports, where scores and groups come from, routing.

Exactness of the thresholds themselves is tested with the kernels.
"""

import copy
import pickle
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    PredefinedSplit,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.fixes import parse_version

from fairlearnkit import (
    AllOf,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    ErrorRateParity,
    FalseNegativeRateParity,
    FalsePositiveRateParity,
    GroupThresholdClassifier,
    Parity,
    TrueNegativeRateParity,
)
from fairlearnkit._validation import hash_rows
from fairlearnkit.constraints import SELECTION_RATE, TRUE_POSITIVE_RATE
from fairlearnkit.datasets import make_group_classification
from fairlearnkit.exceptions import InfeasibleConstraintError
from fairlearnkit.metrics import disparity

# Newton steps are quick, and reach the optimum to machine precision.
EXACT = {"solver": "newton-cholesky", "tol": 1e-8, "C": 0.1}


def learner():
    """Return a learner whose scores do not depend on rounding."""
    return LogisticRegression(**EXACT)


def make_data(n_samples, random_state=0):
    """Return rows of two groups that differ in base rate and in how well they are told apart."""
    X, y, group = make_group_classification(
        n_samples, base_rates=(0.6, 0.3), class_sep=(2.0, 1.0), random_state=random_state
    )
    return X, y, np.array(["a", "b"])[group]


X, Y, GROUPS = make_data(400)
NEW_X, NEW_Y, NEW_GROUPS = make_data(300, random_state=1)
ODDS = EqualizedOdds(max_difference=0.03)


def thresholds(constraint=ODDS, estimator=None, **kwargs):
    """Return an estimator that is not fitted yet."""
    return GroupThresholdClassifier(
        learner() if estimator is None else estimator, constraint, **{"cv": 3, **kwargs}
    )


def fit(estimator, X=X, y=Y, groups=GROUPS, **kwargs):
    """Return the estimator, fitted on groups given by keyword."""
    return estimator.fit(X, y, sensitive_features=groups, **kwargs)


@pytest.fixture(scope="module")
def fitted():
    """Return an estimator that tests only look at."""
    return fit(thresholds())


@pytest.fixture(scope="module")
def scorer():
    """Return a learner fitted on other rows, whose scores of X are held out."""
    return learner().fit(NEW_X, NEW_Y)


@pytest.fixture
def routing():
    """Run the test with metadata routing enabled."""
    with config_context(enable_metadata_routing=True):
        yield


def accepting(fitted, X=X, groups=GROUPS):
    """Return the probability that each row is accepted."""
    column = 1 if fitted.pos_label is None else list(fitted.classes_).index(fitted.pos_label)
    return fitted.decision_probability(X, sensitive_features=groups)[:, column]


def assert_same_rule(one, other):
    """Assert that two fitted estimators have the same thresholds, to rounding."""
    assert one.thresholds_.keys() == other.thresholds_.keys()
    for group, pairs in one.thresholds_.items():
        np.testing.assert_allclose(pairs, other.thresholds_[group], rtol=1e-9, atol=1e-9)
    assert one.cost_ == pytest.approx(other.cost_, abs=1e-12)


CRITERIA = [
    DemographicParity(max_difference=0.05),
    DemographicParity(min_ratio=0.8),
    DemographicParity(max_difference=0.03, reference="overall"),
    EqualizedOdds(max_difference=0.03),
    EqualizedOdds(min_ratio=0.7),
    EqualOpportunity(max_difference=0.0),
    FalsePositiveRateParity(max_difference=0.04),
    TrueNegativeRateParity(min_ratio=0.95),
    FalseNegativeRateParity(min_ratio=0.9),
    ErrorRateParity(max_difference=0.02),
    ErrorRateParity(min_ratio=0.9, reference="overall"),
    Parity([SELECTION_RATE, TRUE_POSITIVE_RATE], max_difference=0.1),
    AllOf([EqualOpportunity(max_difference=0.02), DemographicParity(min_ratio=0.8)]),
]

each_criterion = pytest.mark.parametrize("constraint", CRITERIA, ids=repr)


def within_bound(found, constraint, slack):
    """Whether every disparity is within its bound, up to some slack."""
    return all(
        value <= parity.max_difference + slack
        if parity.min_ratio is None
        else value >= parity.min_ratio - slack
        for value, parity in zip(np.ravel(found), constraint.parities(), strict=True)
    )


# ---------------------------------------------------------------------------------------------
# What is reported


@each_criterion
def test_reported_numbers_are_those_of_the_metrics(constraint, scorer):
    """Cost and disparity on given scores are what the metrics say of decision probabilities."""
    weight = np.random.default_rng(0).uniform(0.5, 2, len(Y))
    costs = {"fp": 1.0, "fn": 2.0}
    fitted = fit(thresholds(constraint, scorer, cv="prefit", costs=costs), sample_weight=weight)
    found = disparity(
        constraint,
        Y,
        fitted.decision_probability(X, sensitive_features=GROUPS),
        sensitive_features=GROUPS,
        sample_weight=weight,
    )
    np.testing.assert_allclose(fitted.disparity_, found, rtol=0, atol=1e-9)
    assert within_bound(found, constraint, 1e-9)
    accepted = accepting(fitted)
    cost = np.average(np.where(Y == 1, 2.0 * (1 - accepted), accepted), weights=weight)
    assert fitted.cost_ == pytest.approx(cost, abs=1e-12)
    assert fitted.lower_bound_ == fitted.cost_
    assert fitted.gap_ == 0
    assert fitted.is_proven_


def test_reported_numbers_are_out_of_fold():
    """With cross-validation, cost and disparity are those of scores by learners that did not see
    the rows."""
    splits = list(StratifiedKFold(3).split(X, Y))
    fitted = fit(thresholds(cv=splits))
    score = cross_val_predict(learner(), X, Y, cv=splits, method="predict_proba")[:, 1]
    accepted = np.array(
        [
            sum(p for t, p in fitted.thresholds_[g] if s >= t)
            for s, g in zip(score, GROUPS, strict=True)
        ]
    )
    assert np.mean(np.abs(accepted - Y)) == pytest.approx(fitted.cost_, abs=1e-12)
    both = np.column_stack([1 - accepted, accepted])
    assert disparity(ODDS, Y, both, sensitive_features=GROUPS) == pytest.approx(
        fitted.disparity_, abs=1e-12
    )
    # The refitted learner's own training scores are others.
    assert np.mean(np.abs(accepting(fitted) - Y)) != pytest.approx(fitted.cost_, abs=1e-4)


@pytest.mark.parametrize("response_method", ["predict_proba", "decision_function"])
@pytest.mark.parametrize("randomized", [True, False])
@each_criterion
def test_thresholds_tell_all(constraint, response_method, randomized):
    """Decision probabilities can be rebuilt from `thresholds_` and the scores alone."""
    if not randomized and isinstance(constraint, EqualOpportunity):
        constraint = EqualOpportunity(max_difference=0.02)  # 0 is beyond plain thresholds
    fitted = fit(thresholds(constraint, response_method=response_method, randomized=randomized))
    score = getattr(fitted.estimator_, response_method)(NEW_X)
    score = score[:, 1] if score.ndim == 2 else score
    rules = {group: list(pairs) for group, pairs in fitted.thresholds_.items()}
    rebuilt = [
        sum(probability for threshold, probability in rules[group] if s >= threshold)
        for s, group in zip(score, NEW_GROUPS, strict=True)
    ]
    np.testing.assert_allclose(accepting(fitted, NEW_X, NEW_GROUPS), rebuilt, rtol=0, atol=1e-12)
    for pairs in rules.values():
        ascending, probability = zip(*pairs, strict=True)
        assert list(ascending) == sorted(set(ascending))
        assert min(probability) > 0
        assert sum(probability) == pytest.approx(1, abs=1e-12)


def test_thresholds_read_well(fitted):
    """Thresholds print as a table, become a data frame, and survive their own `repr`."""
    rules = fitted.thresholds_
    lines = str(rules).splitlines()
    n_pairs = sum(map(len, rules.values()))
    assert len(lines) == 1 + n_pairs == 1 + len(rules.to_frame())
    assert lines[0].split()[0] == "group"
    assert [line.split()[0] for line in lines[1:]] == rules.to_frame()["group"].tolist()
    assert rules == pickle.loads(pickle.dumps(rules)) == dict(rules)
    assert str(dict(rules)) in repr(rules)
    with pytest.raises(KeyError):
        rules["c"]


def test_multipliers_price_the_rates():
    """The rate at its upper bound has a positive price, the one at its lower bound the same price
    with the other sign; it is the slope of the curve."""
    fitted = fit(thresholds(DemographicParity(max_difference=0.0525)))
    rate = [accepting(fitted)[group == GROUPS].mean() for group in fitted.groups_]
    assert fitted.multipliers_.shape == (1, 2)
    low, high = fitted.multipliers_[0][np.argsort(rate)]
    assert high > 0.01
    assert low == pytest.approx(-high, abs=1e-9)
    assert high == pytest.approx(fitted.frontier_.price_at(0.0525), abs=1e-7)


def test_multipliers_of_several_rates():
    """Prices of all events add up to the slope of the curve; a bound that is met has none."""
    fitted = fit(thresholds(EqualizedOdds(max_difference=0.0316)))
    assert fitted.multipliers_.shape == (2, 2)
    np.testing.assert_allclose(fitted.multipliers_.sum(axis=1), 0, atol=1e-9)
    slope = np.maximum(fitted.multipliers_, 0).sum()
    assert slope == pytest.approx(fitted.frontier_.price_at(0.0316), abs=1e-7)
    assert slope > 0.01
    loose = fitted.at(constraint=AllOf([ODDS, ErrorRateParity(max_difference=0.9)]))
    np.testing.assert_allclose(loose.multipliers_[2], 0, atol=1e-9)


@each_criterion
def test_randomized_share_counts_open_decisions(constraint, scorer):
    """`randomized_share_` is the weight of rows whose probability is neither 0 nor 1."""
    weight = np.random.default_rng(1).uniform(0.5, 2, len(Y))
    fitted = fit(thresholds(constraint, scorer, cv="prefit"), sample_weight=weight)
    accepted = accepting(fitted)
    share = np.average((accepted > 0) & (accepted < 1), weights=weight)
    assert fitted.randomized_share_ == pytest.approx(share, abs=1e-12)


def test_some_decisions_are_open(fitted):
    """The bound of these tests does randomise, so that they are about something."""
    assert fitted.randomized_share_ > 0.01


@pytest.mark.parametrize("random_state", [None, 1, 2])
def test_decisions_by_hash_keep_the_expected_rates(random_state):
    """On many rows the disparity of hashed decisions is the expected one, up to chance."""
    X, y, groups = make_data(60_000, random_state=2)
    fitted = thresholds(ODDS, scorer_of_first(X, y), cv="prefit", random_state=random_state)
    fit(fitted, X, y, groups)
    accepted = accepting(fitted, X, groups)
    assert fitted.randomized_share_ > 0.1
    variance = accepted * (1 - accepted)
    cells = [(groups == g) & (y == label) for g in "ab" for label in (0, 1)]
    deviation = max(np.sqrt(variance[cell].sum()) / cell.sum() for cell in cells)
    assert deviation < 0.005
    # A difference of two rates, each off by at most five standard deviations.
    assert abs(fitted.realized_disparity_ - fitted.disparity_) < 10 * deviation
    decisions = fitted.predict(X, sensitive_features=groups)
    assert fitted.realized_disparity_ == pytest.approx(
        disparity(ODDS, y, decisions, sensitive_features=groups), abs=1e-12
    )
    # Not just the rates: rows that are accepted with probability p are accepted so often.
    for p in np.unique(accepted[(accepted > 0) & (accepted < 1)]):
        rows = accepted == p
        margin = 5 * np.sqrt(p * (1 - p) / rows.sum())
        assert abs(decisions[rows].mean() - p) < margin


def scorer_of_first(X, y):
    """Return a learner that is good enough, fitted on a few rows."""
    return learner().fit(X[:500], y[:500])


def test_random_state_is_the_key_of_the_hash(scorer):
    """Another key decides open rows otherwise, at the same probabilities; None is key 0."""
    key = [fit(thresholds(ODDS, scorer, cv="prefit", random_state=s)) for s in (None, 0, 1)]
    decided = [fitted.predict(X, sensitive_features=GROUPS) for fitted in key]
    np.testing.assert_array_equal(decided[0], decided[1])
    assert (decided[0] != decided[2]).any()
    np.testing.assert_array_equal(accepting(key[0]), accepting(key[2]))


# ---------------------------------------------------------------------------------------------
# One plain threshold per group


@each_criterion
def test_plain_thresholds(constraint):
    """Each group has one threshold, every decision is certain, and the price is reported."""
    if isinstance(constraint, EqualOpportunity):
        constraint = EqualOpportunity(max_difference=0.02)
    plain = fit(thresholds(constraint, randomized=False))
    randomized = fit(thresholds(constraint))
    assert all(len(pairs) == 1 and pairs[0][1] == 1 for pairs in plain.thresholds_.values())
    assert set(np.unique(plain.decision_probability(X, sensitive_features=GROUPS))) == {0.0, 1.0}
    assert plain.randomized_share_ == 0
    assert within_bound(plain.disparity_, constraint, 1e-9)
    np.testing.assert_array_equal(plain.realized_disparity_, plain.disparity_)
    assert plain.lower_bound_ == pytest.approx(randomized.cost_, abs=1e-12)
    assert plain.gap_ == pytest.approx(plain.cost_ - randomized.cost_, abs=1e-12)
    assert plain.gap_ >= 0


@pytest.mark.parametrize(
    "constraint",
    [
        DemographicParity(max_difference=0.04),
        EqualizedOdds(max_difference=0.1),
        ErrorRateParity(min_ratio=0.9),
    ],
    ids=repr,
)
def test_plain_thresholds_are_the_best_pair(constraint, scorer):
    """No pair of thresholds within the bound is cheaper, as trying them all shows."""
    rows = slice(120)
    y, groups = Y[rows], GROUPS[rows]
    fitted = fit(thresholds(constraint, scorer, cv="prefit", randomized=False), X[rows], y, groups)
    score = scorer.predict_proba(X[rows])[:, 1]
    best = np.inf
    choices = {g: [score[groups == g] >= t for t in [*score[groups == g], 2]] for g in "ab"}
    for of_a in choices["a"]:
        for of_b in choices["b"]:
            decided = np.empty(len(y), dtype=int)
            decided[groups == "a"], decided[groups == "b"] = of_a, of_b
            cost = np.mean(decided != y)
            if cost < best:
                found = disparity(constraint, y, decided, sensitive_features=groups)
                best = cost if within_bound(found, constraint, 1e-12) else best
    assert fitted.is_proven_
    assert fitted.cost_ == pytest.approx(best, abs=1e-12)


def impossible_data():
    """Return tied scores at which the groups' error rates are 1/3 or 2/3, and 1/2."""
    X = np.zeros((90, 1))
    y = np.r_[np.zeros(20), np.ones(10), np.zeros(30), np.ones(30)].astype(int)
    return X, y, np.repeat(["a", "b"], [30, 60])


def test_plain_thresholds_may_not_exist():
    """Where no plain thresholds meet the bound the error says how near they come, and what to do;
    randomised ones can always meet it."""
    X, y, groups = impossible_data()
    same_score = DummyClassifier().fit(X, y)
    estimator = thresholds(
        ErrorRateParity(max_difference=0), same_score, cv="prefit", randomized=False
    )
    with pytest.raises(InfeasibleConstraintError) as error:
        fit(estimator, X, y, groups)
    message = str(error.value)
    assert "No plain threshold" in message
    assert "ErrorRateParity(max_difference=0)" in message
    assert "0.1667" in message  # 1/2 - 1/3
    assert "randomized=True" in message
    assert fit(estimator.set_params(randomized=True), X, y, groups).disparity_ < 1e-9


# ---------------------------------------------------------------------------------------------
# The knob after fitting


KNOBS = [
    {"max_difference": 0.1},
    {"max_difference": 0.0},
    {"min_ratio": 0.8},
    {"constraint": DemographicParity(max_difference=0.05)},
    {"constraint": AllOf([DemographicParity(min_ratio=0.8), ErrorRateParity(max_difference=0.1)])},
]


@pytest.mark.parametrize("randomized", [True, False])
@pytest.mark.parametrize("knob", KNOBS, ids=str)
def test_at_equals_a_fresh_fit(knob, randomized):
    """Another knob from the same fit is what a fit at that knob gives, and says so."""
    start = fit(thresholds(ODDS, randomized=randomized))
    turned = start.at(**knob)
    constraint = knob.get("constraint", None) or EqualizedOdds(**knob)
    fresh = fit(thresholds(constraint, randomized=randomized))
    assert turned.constraint == constraint
    assert turned.thresholds_ == fresh.thresholds_
    for name in ("cost_", "disparity_", "gap_", "multipliers_", "realized_disparity_"):
        np.testing.assert_array_equal(getattr(turned, name), getattr(fresh, name))
    np.testing.assert_array_equal(
        turned.predict(NEW_X, sensitive_features=NEW_GROUPS),
        fresh.predict(NEW_X, sensitive_features=NEW_GROUPS),
    )


def test_at_changes_no_existing_estimator():
    """Turning the knob leaves the estimator and its parameters as they are, and the new one is on
    its own."""
    constraint = EqualizedOdds(max_difference=0.03)
    start = fit(thresholds(constraint))
    before = joblib.hash(vars(start))
    turned = start.at(max_difference=0.2)
    assert joblib.hash(vars(start)) == before
    assert start.constraint is constraint
    assert constraint.max_difference == 0.03
    again = turned.at(max_difference=0.03)
    assert turned.constraint.max_difference == 0.2
    assert again.thresholds_ == start.thresholds_
    assert clone(turned).constraint.max_difference == 0.2
    turned.set_params(constraint__max_difference=0.5, estimator__C=3.0)
    assert start.constraint.max_difference == 0.03
    assert start.estimator.C == 0.1


def test_at_fits_nothing():
    """Turning the knob costs no fit: the learner is the same object."""
    calls = []

    class Counting(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            calls.append(len(y))
            return super().fit(X, y, sample_weight)

    start = fit(thresholds(estimator=Counting(**EXACT)))
    assert len(calls) == 4  # three folds, and all rows
    turned = start.at(max_difference=0.3)
    assert turned.estimator_ is start.estimator_
    assert len(calls) == 4


def test_at_keeps_the_key_of_the_hash():
    """With a `RandomState`, which moves on at every fit, turning back gives the same decisions."""
    start = fit(thresholds(random_state=np.random.RandomState(0)))
    back = start.at(max_difference=0.3).at(max_difference=0.03)
    np.testing.assert_array_equal(
        back.predict(X, sensitive_features=GROUPS), start.predict(X, sensitive_features=GROUPS)
    )


@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy])
def test_at_and_curve_after_pickling(fitted, copied):
    """A pickle keeps what the knob and the curve need, though not the training rows."""
    unpickled = copied(fit(thresholds()))
    assert (
        unpickled.at(max_difference=0.1).thresholds_ == fitted.at(max_difference=0.1).thresholds_
    )
    np.testing.assert_array_equal(unpickled.frontier_.cost, fitted.frontier_.cost)
    kept = copied(unpickled)  # with the curve computed
    np.testing.assert_array_equal(kept.frontier_.knob, fitted.frontier_.knob)


def test_what_needs_training_rows_says_so_after_pickling():
    """What a pickle cannot answer is an error that says why."""
    plain = pickle.loads(pickle.dumps(fit(thresholds(randomized=False))))
    with pytest.raises(AttributeError, match=r"training rows.*pickles.*fit again"):
        plain.at(max_difference=0.1)
    with pytest.raises(AttributeError, match=r"realized_disparity_ needs the training rows"):
        plain.realized_disparity_  # noqa: B018


def test_at_of_several_criteria_takes_a_constraint():
    """`AllOf` has no bound of its own: `at` asks for the whole constraint."""
    both = AllOf([EqualOpportunity(max_difference=0.02), DemographicParity(min_ratio=0.8)])
    start = fit(thresholds(both))
    for knob in ({"max_difference": 0.1}, {"min_ratio": 0.9}):
        with pytest.raises(ValueError, match=r"AllOf has no bound of its own.*constraint="):
            start.at(**knob)
    looser = AllOf([EqualOpportunity(max_difference=0.2), DemographicParity(min_ratio=0.5)])
    assert start.at(constraint=looser).cost_ < start.cost_


@pytest.mark.parametrize(
    ("knob", "message"),
    [
        (
            {},
            "exactly one of max_difference, min_ratio, at_least, at_most and constraint, got none",
        ),
        (
            {"max_difference": 0.1, "min_ratio": 0.9},
            "exactly one .* got max_difference, min_ratio",
        ),
        (
            {"max_difference": 0.0, "constraint": ODDS},
            "exactly one .* got max_difference, constraint",
        ),
        ({"max_difference": 1.5}, r"max_difference must be in \[0, 1\], got 1.5"),
        ({"min_ratio": float("nan")}, r"min_ratio must be in \[0, 1\], got nan"),
        ({"max_difference": "0.1"}, r"max_difference must be in \[0, 1\], got '0.1'"),
        ({"constraint": DemographicParity()}, "needs a bound .* Set max_difference"),
        ({"constraint": "equalized_odds"}, "must be a criterion .* got 'equalized_odds'"),
        ({"constraint": EqualizedOdds}, "must be a criterion .* got <class"),
    ],
    ids=str,
)
def test_invalid_knob(fitted, knob, message):
    """A knob that is none is an error that says what came."""
    with pytest.raises(ValueError, match=message):
        fitted.at(**knob)


# ---------------------------------------------------------------------------------------------
# The curve


CURVES = [
    (DemographicParity(max_difference=0.3), {}),
    (EqualizedOdds(max_difference=0.3), {}),
    (EqualOpportunity(max_difference=0.3), {"costs": {"fp": 1, "fn": 3}}),
    (ErrorRateParity(max_difference=0.3), {"costs": {"fp": 5, "fn": 1}}),
    (DemographicParity(max_difference=0.3, reference="overall"), {}),
    (Parity([SELECTION_RATE, TRUE_POSITIVE_RATE], max_difference=0.2), {"pos_label": 0}),
]


@pytest.mark.parametrize(("constraint", "kwargs"), CURVES, ids=str)
def test_curve_is_exact(constraint, kwargs):
    """Between any two breakpoints the cost that `at` finds is on the straight line, and the line
    bends at each: none is missing and none is idle."""
    fitted = fit(thresholds(constraint, **kwargs))
    curve = fitted.frontier_
    assert (curve.knob[0], curve.knob[-1]) == (0, 1)
    assert (np.diff(curve.knob) > 0).all()
    assert len(curve) >= 3
    for left, right in zip(curve.knob[:-1], curve.knob[1:], strict=True):
        for knob in np.linspace(left, right, 4)[:3]:
            cost = fitted.at(max_difference=knob).cost_
            assert curve(knob) == pytest.approx(cost, abs=1e-9)
    assert (np.diff(curve.price[:-1]) < 0).all()  # convex
    np.testing.assert_allclose(curve.price[-2:], 0, atol=1e-12)
    assert (np.diff(curve.cost[:-1]) < 0).all()  # decreasing until the bound is idle
    np.testing.assert_array_equal(curve.lower_bound, curve.cost)
    middle = (curve.knob[:-1] + curve.knob[1:]) / 2
    slope = np.diff(curve.cost) / np.diff(curve.knob)
    np.testing.assert_allclose([curve.price_at(k) for k in middle], -slope, atol=1e-12)
    assert curve.price_at(1.0) == 0


def test_curve_of_several_criteria_scales_their_differences():
    """The knob of an `AllOf` is one factor on its difference bounds; its ratio bounds stay."""
    equal = {"max_difference": 0.1}, {"max_difference": 0.04}, {"min_ratio": 0.7}
    kinds = (EqualOpportunity, FalsePositiveRateParity, DemographicParity)
    fitted = fit(thresholds(AllOf([k(**bound) for k, bound in zip(kinds, equal, strict=True)])))
    curve = fitted.frontier_
    assert curve.knob_name == "factor"
    assert curve.knob[-1] == 25  # 1 / 0.04: from there on no difference bound asks for anything
    assert curve(1.0) == pytest.approx(fitted.cost_, abs=1e-9)
    for factor in (0.0, 0.3, 0.77, 2.0, 6.0):
        scaled = [
            kind(**{b: v * factor if b == "max_difference" else v for b, v in bound.items()})
            for kind, bound in zip(kinds, equal, strict=True)
        ]
        cost = fitted.at(constraint=AllOf(scaled)).cost_
        assert curve(factor) == pytest.approx(cost, abs=1e-9)


def test_curve_is_computed_once_and_reads_well():
    """The curve is kept, prints as a table and becomes a data frame."""
    fitted = fit(thresholds())
    curve = fitted.frontier_
    assert fitted.frontier_ is curve
    assert fitted.at(max_difference=0.2).frontier_ is not curve
    frame = curve.to_frame()
    assert frame.columns.tolist() == ["max_difference", "cost", "lower_bound", "price"]
    assert len(str(curve).splitlines()) == 1 + len(curve) == 1 + len(frame)
    assert f"{len(curve)} breakpoints" in repr(curve)
    for outside in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"max_difference must be in \[0, 1\], got"):
            curve(outside)


@pytest.mark.parametrize(
    ("constraint", "kwargs", "message"),
    [
        (DemographicParity(min_ratio=0.8), {}, r"ratio.*Use at\(\)"),
        (
            AllOf([DemographicParity(min_ratio=0.8), EqualOpportunity(min_ratio=0.8)]),
            {},
            r"ratio.*Use at\(\)",
        ),
        (ODDS, {"randomized": False}, "randomized=False"),
    ],
    ids=str,
)
def test_no_curve_for_ratios_and_plain_thresholds(constraint, kwargs, message):
    """Where the cost is not convex and piecewise linear in the knob there is no such attribute."""
    fitted = fit(thresholds(constraint, **kwargs))
    assert not hasattr(fitted, "frontier_")
    with pytest.raises(AttributeError, match=message):
        fitted.frontier_  # noqa: B018


# ---------------------------------------------------------------------------------------------
# Where scores come from


def test_ways_to_give_the_same_folds(fitted):
    """A number, a splitter, a list or a generator of splits, by number or by mask, are one."""
    splits = list(StratifiedKFold(3).split(X, Y))
    number = np.arange(len(Y))
    masks = [(np.isin(number, train), np.isin(number, test)) for train, test in splits]
    fold = np.empty(len(Y))
    for i, (_, test) in enumerate(splits):
        fold[test] = i
    ways = [StratifiedKFold(3), splits, (s for s in splits), masks, PredefinedSplit(fold)]
    for cv in ways:
        assert fit(thresholds(cv=cv)).thresholds_ == fitted.thresholds_
    assert fit(thresholds(cv=None)).thresholds_ == fit(thresholds(cv=5)).thresholds_
    assert fit(thresholds(cv=4)).thresholds_ != fitted.thresholds_


@pytest.mark.parametrize("table", [pd.DataFrame, pl.DataFrame, pa.table])
def test_folds_of_tables(fitted, table):
    """Rows of a table are taken by number or by mask, and its index plays no part."""
    columns = {name: X[:, i] for i, name in enumerate("uvwxy")}
    number = np.arange(len(Y))
    splits = list(StratifiedKFold(3).split(X, Y))
    masks = [(np.isin(number, train), np.isin(number, test)) for train, test in splits]
    for cv in (splits, masks):
        assert_same_rule(fit(thresholds(cv=cv), table(columns)), fitted)
    indexed = pd.DataFrame(columns, index=number[::-1])
    assert_same_rule(fit(thresholds(cv=masks), indexed), fitted)


def test_folds_may_be_unequal_and_unordered():
    """Any splits that partition the rows will do, such as one fold per site."""
    site = np.random.default_rng(3).choice(4, len(Y), p=[0.1, 0.2, 0.3, 0.4])
    splits = list(LeaveOneGroupOut().split(X, Y, site))[::-1]
    fitted = fit(thresholds(cv=splits))
    assert_same_rule(fitted, fit(thresholds(cv=PredefinedSplit(site))))


def test_prefit_uses_the_given_scores():
    """A fitted estimator is used as it is, by `cv="prefit"` or frozen, and left alone."""
    scorer = learner().fit(NEW_X, NEW_Y)
    before = joblib.hash(scorer)
    by_cv = fit(thresholds(estimator=scorer, cv="prefit"))
    frozen = fit(thresholds(estimator=FrozenEstimator(scorer), cv=5))
    assert joblib.hash(scorer) == before
    assert by_cv.estimator_ is scorer
    assert by_cv.thresholds_ == frozen.thresholds_
    score = scorer.predict_proba(X)[:, 1]
    finite = [t for pairs in by_cv.thresholds_.values() for t, _ in pairs if np.isfinite(t)]
    assert finite
    for threshold in finite:  # midway between neighbouring scores
        above, below = score[score >= threshold].min(), score[score < threshold].max()
        assert below < threshold < above
    turned = by_cv.at(max_difference=0.2)
    assert turned.estimator is scorer
    assert joblib.hash(scorer) == before


class Memoriser(ClassifierMixin, BaseEstimator):
    """Knows the label of every row it was fitted on, and nothing else."""

    def fit(self, X, y):
        """Learn by heart."""
        self.classes_ = np.unique(y)
        self.known_ = {row.tobytes(): label == self.classes_[1] for row, label in zip(X, y)}  # noqa: B905
        return self

    def predict_proba(self, X):
        """Return certainty for known rows, doubt for others."""
        score = np.array([float(self.known_.get(row.tobytes(), 0.5)) for row in X])
        return np.column_stack([1 - score, score])


def test_out_of_fold_scores_come_from_learners_that_did_not_see_the_row():
    """What a learner knows by heart is worth nothing for the thresholds."""
    loose = EqualizedOdds(max_difference=1.0)
    known = fit(thresholds(loose, Memoriser().fit(X, Y), cv="prefit"))
    assert known.cost_ == 0
    held_out = fit(thresholds(loose, Memoriser()))
    guess = [max(np.mean(Y[g == GROUPS]), 1 - np.mean(Y[g == GROUPS])) for g in "ab"]
    share = [np.mean(g == GROUPS) for g in "ab"]
    assert held_out.cost_ == pytest.approx(1 - np.dot(guess, share), abs=1e-12)
    # The estimator that is kept has seen all rows.
    assert len(held_out.estimator_.known_) == len(Y)


def test_response_methods():
    """Probabilities and their log-odds order the rows alike, so that the rule costs the same."""
    fits = {
        method: fit(thresholds(response_method=method))
        for method in ("auto", "predict_proba", "decision_function")
    }
    assert fits["auto"].thresholds_ == fits["predict_proba"].thresholds_
    assert fits["decision_function"].cost_ == pytest.approx(fits["auto"].cost_, abs=1e-12)
    finite = [
        t
        for pairs in fits["decision_function"].thresholds_.values()
        for t, _ in pairs
        if np.isfinite(t)
    ]
    assert min(finite) < 0


@pytest.mark.parametrize("response_method", ["auto", "decision_function"])
@pytest.mark.parametrize("pos_label", [None, 0])
def test_learner_without_probabilities(response_method, pos_label):
    """A learner with `decision_function` only is thresholded on that, in the right direction."""
    fitted = fit(
        thresholds(
            estimator=LinearSVC(random_state=0),
            response_method=response_method,
            pos_label=pos_label,
        )
    )
    assert fitted.score(NEW_X, NEW_Y, sensitive_features=NEW_GROUPS) > 0.65
    assert fitted.disparity_ == pytest.approx(0.03, abs=1e-9)


@pytest.mark.parametrize("response_method", ["predict_proba", "decision_function"])
@pytest.mark.parametrize("labels", [(0, 1), ("good", "bad"), (False, True)], ids=str)
def test_positive_label_mirrors(response_method, labels):
    """Calling the smaller label positive is the same as swapping the labels."""
    labels = np.array(labels)
    kwargs = {"response_method": response_method, "costs": {"fp": 1.0, "fn": 3.0}}
    constraint = EqualOpportunity(max_difference=0.02)  # says something of the positives only
    smaller, larger = sorted(labels.tolist())
    y = np.where(Y == 1, larger, smaller)
    swapped = np.where(Y == 1, smaller, larger)
    mirrored = fit(thresholds(constraint, pos_label=smaller, **kwargs), y=y)
    plain = fit(thresholds(constraint, **kwargs), y=swapped)
    assert mirrored.cost_ == pytest.approx(plain.cost_, abs=1e-9)
    assert mirrored.randomized_share_ == pytest.approx(plain.randomized_share_, abs=1e-9)
    np.testing.assert_allclose(
        mirrored.decision_probability(X, sensitive_features=GROUPS)[:, ::-1],
        plain.decision_probability(X, sensitive_features=GROUPS),
        atol=1e-9,
    )
    decided = mirrored.predict(X, sensitive_features=GROUPS)
    np.testing.assert_array_equal(
        decided == smaller, plain.predict(X, sensitive_features=GROUPS) == larger
    )
    assert fit(thresholds(constraint, **kwargs), y=y).cost_ != pytest.approx(plain.cost_, abs=1e-4)


@pytest.mark.parametrize("randomized", [True, False])
@pytest.mark.parametrize("unit", [1e-12, 1e-6, 10.0, 1e9])
def test_unit_of_costs_does_not_matter(unit, randomized):
    """In another currency the rule is the same, and every cost that is reported is converted."""
    constraint = EqualizedOdds(max_difference=0.05)
    one, other = (
        fit(thresholds(constraint, costs={"fp": u, "fn": 2 * u}, randomized=randomized))
        for u in (1.0, unit)
    )
    np.testing.assert_allclose(accepting(other), accepting(one), atol=1e-9)
    for name in ("cost_", "lower_bound_", "multipliers_"):
        expected = unit * np.asarray(getattr(one, name))
        np.testing.assert_allclose(getattr(other, name), expected, rtol=1e-7, atol=1e-9 * unit)
    assert other.gap_ == pytest.approx(unit * one.gap_, abs=1e-9 * unit)
    if randomized:
        np.testing.assert_allclose(other.frontier_.knob, one.frontier_.knob, atol=1e-9)
        np.testing.assert_allclose(other.frontier_.cost, unit * one.frontier_.cost, rtol=1e-7)


def test_costs_move_the_rule():
    """The dearer a missed positive, the more are accepted; where only one error costs, none of
    that kind is made."""
    cheap, dear = (
        fit(thresholds(costs=costs)) for costs in ({"fp": 1, "fn": 1}, {"fp": 1, "fn": 5})
    )
    assert accepting(dear).mean() > accepting(cheap).mean() + 0.1
    assert fit(thresholds(costs=None)).thresholds_ == cheap.thresholds_
    assert fit(thresholds(costs={"fp": 0, "fn": 1})).cost_ == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(lambda y: np.where(y, "yes", "no").tolist(), id="list"),
        pytest.param(lambda y: np.where(y, "yes", "no").astype(object), id="objects"),
        pytest.param(lambda y: pd.Series(np.where(y, "yes", "no")), id="pandas"),
        pytest.param(
            lambda y: pd.Series(np.where(y, "yes", "no"), dtype="category"), id="category"
        ),
        pytest.param(
            lambda y: pd.Series(y == 1, index=range(7, 7 + len(y))), id="pandas booleans"
        ),
        pytest.param(lambda y: pl.Series(np.where(y, "yes", "no").tolist()), id="polars"),
        pytest.param(lambda y: pa.chunked_array([y]), id="pyarrow"),
    ],
)
def test_labels_of_any_library(fitted, labels):
    """Labels come as any column, and decisions go back as the same labels."""
    y = labels(Y)
    other = fit(thresholds(), y=y)
    negative, positive = sorted(set(np.asarray(y).tolist()))
    assert other.classes_.tolist() == [negative, positive]
    assert other.thresholds_ == fitted.thresholds_
    decided = other.predict(NEW_X, sensitive_features=NEW_GROUPS)
    expected = fitted.predict(NEW_X, sensitive_features=NEW_GROUPS)
    assert decided.tolist() == np.where(expected == 1, positive, negative).tolist()


# ---------------------------------------------------------------------------------------------
# Weights reach the learner


class Recording(LogisticRegression):
    """A logistic regression that remembers the weights it was fitted with."""

    def fit(self, X, y, sample_weight=None):
        """Fit and remember."""
        self.weight_ = None if sample_weight is None else np.array(sample_weight)
        return super().fit(X, y, sample_weight)


SAME = FunctionTransformer()  # hands X on as it is
WEIGHT = np.random.default_rng(8).uniform(0.1, 3.0, len(Y))


def last_step(estimator):
    """Return the classifier inside any number of pipelines."""
    return last_step(estimator[-1]) if hasattr(estimator, "steps") else estimator


@pytest.mark.parametrize("is_routing", [False, True], ids=["routing off", "routing on"])
@pytest.mark.parametrize(
    "base",
    [
        Recording(**EXACT),
        make_pipeline(SAME, Recording(**EXACT)),
        make_pipeline(SAME, make_pipeline(SAME, Recording(**EXACT))),
        make_pipeline(make_pipeline(make_pipeline(Recording(**EXACT)))),
    ],
    ids=["bare", "pipeline", "nested", "deeply nested"],
)
def test_weights_reach_the_last_step(base, is_routing):
    """The learner gets the weights in every fold and at the end, however deep in pipelines, with
    metadata routing on or off."""
    with config_context(enable_metadata_routing=is_routing):
        fitted = fit(thresholds(estimator=base), sample_weight=WEIGHT)
    np.testing.assert_array_equal(last_step(fitted.estimator_).weight_, WEIGHT)
    bare = fit(thresholds(estimator=Recording(**EXACT)), sample_weight=WEIGHT)
    assert fitted.thresholds_ == bare.thresholds_
    unweighted = fit(thresholds(estimator=base))
    assert last_step(unweighted.estimator_).weight_ is None


def test_folds_are_fitted_with_their_own_weights():
    """Each fold's learner gets the weights of its training rows."""
    seen = []

    class Listening(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            seen.append((X[:, 0].copy(), sample_weight.copy()))
            return super().fit(X, y, sample_weight)

    fit(thresholds(estimator=Listening(**EXACT)), sample_weight=WEIGHT)
    weight_of = dict(zip(X[:, 0], WEIGHT, strict=True))
    assert len(seen) == 4
    for first_column, weight in seen:
        np.testing.assert_array_equal([weight_of[x] for x in first_column], weight)


@pytest.mark.parametrize("base", [KNeighborsClassifier(), make_pipeline(KNeighborsClassifier())])
def test_learner_that_takes_no_weights(base):
    """A learner that cannot be weighted is fitted without, and the user is told, at their own
    line; cost and rates are weighted."""
    with pytest.warns(UserWarning, match=r"does not take sample_weight") as record:
        weighted = fit(thresholds(estimator=base), sample_weight=WEIGHT)
    assert len(record) == 1
    assert record[0].filename == __file__
    plain = fit(thresholds(estimator=base))
    assert weighted.cost_ != plain.cost_


@pytest.mark.parametrize("is_routing", [False, True], ids=["routing off", "routing on"])
def test_weights_reach_a_learner_that_is_tuned(is_routing):
    """A search as the learner hands the weights on, to the pipeline inside as well."""
    tuned = [
        GridSearchCV(Recording(**EXACT), {"C": [0.1, 1.0]}, cv=2),
        GridSearchCV(make_pipeline(SAME, Recording(**EXACT)), {"recording__C": [0.1]}, cv=2),
    ]
    for base in tuned:
        with config_context(enable_metadata_routing=is_routing):
            fitted = fit(thresholds(estimator=base), sample_weight=WEIGHT)
        np.testing.assert_array_equal(last_step(fitted.estimator_.best_estimator_).weight_, WEIGHT)


def test_base_may_be_any_meta_estimator():
    """A calibrated learner inside a pipeline gets its weights too."""
    base = make_pipeline(StandardScaler(), CalibratedClassifierCV(Recording(**EXACT), cv=2))
    fitted = fit(thresholds(estimator=base), sample_weight=WEIGHT)
    inner = last_step(fitted.estimator_).calibrated_classifiers_[0].estimator
    assert len(inner.weight_) in (len(Y) // 2, len(Y) - len(Y) // 2)


# ---------------------------------------------------------------------------------------------
# Where groups come from


AGE = np.random.default_rng(9).integers(20, 70, len(Y))
CODE = (GROUPS == "b").astype(float)
WITH_GROUP = np.column_stack([CODE, X, AGE])
NAMES = ["group", "x0", "x1", "x2", "x3", "x4", "age"]
FRAME = pd.DataFrame(WITH_GROUP, columns=NAMES)
SCALED = make_pipeline(StandardScaler(), learner())


@pytest.mark.parametrize(
    ("columns", "given", "X"),
    [
        ("group", CODE, FRAME),
        (["group"], CODE, FRAME),
        (np.array(["group"]), CODE, FRAME),
        (0, CODE, FRAME),
        (0, CODE, WITH_GROUP),
        ([-7], CODE, WITH_GROUP),
        (0, CODE, sparse.csr_array(WITH_GROUP)),
        (0, CODE, WITH_GROUP.tolist()),
        ("group", CODE, pl.DataFrame(FRAME.to_dict("list"))),
        ("group", CODE, pa.table(FRAME.to_dict("list"))),
        (["group", "age"], np.column_stack([CODE, AGE > 45]), FRAME.assign(age=AGE > 45)),
        (lambda X: X["age"] >= 40, AGE >= 40, FRAME),
        (lambda X: X[:, 6] >= 40, AGE >= 40, WITH_GROUP.tolist()),
        (lambda X: X[["group", "x0"]] > 0, np.column_stack([CODE > 0, X[:, 0] > 0]), FRAME),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "__len__") else None,
)
def test_columns_give_groups_as_the_keyword_does(columns, given, X):
    """Groups named by columns of X are those given by keyword, at `fit` and at `predict`."""
    base = SCALED if not sparse.issparse(X) else learner()
    by_column = thresholds(ODDS, base, sensitive_columns=columns).fit(X, Y)
    by_keyword = fit(thresholds(ODDS, base), X, groups=given)
    assert by_column.groups_.tolist() == by_keyword.groups_.tolist()
    assert by_column.thresholds_ == by_keyword.thresholds_
    np.testing.assert_array_equal(
        by_column.predict(X), by_keyword.predict(X, sensitive_features=given)
    )
    np.testing.assert_array_equal(
        by_column.decision_probability(X),
        by_keyword.decision_probability(X, sensitive_features=given),
    )
    assert by_column.score(X, Y) == by_keyword.score(X, Y, sensitive_features=given)


def test_keyword_goes_before_columns():
    """Where both are there the keyword counts, at `fit` and at `predict`."""
    both = fit(thresholds(ODDS, SCALED, sensitive_columns="age"), FRAME, groups=GROUPS)
    assert both.groups_.tolist() == ["a", "b"]
    alone = fit(thresholds(ODDS, SCALED), FRAME)
    np.testing.assert_array_equal(accepting(both, FRAME, GROUPS), accepting(alone, FRAME, GROUPS))


def test_several_columns_make_intersections():
    """Groups of several columns are tuples, and the constraint holds between all of them."""
    sex = np.where(CODE > 0, "f", "m")
    old = AGE > 45
    fitted = fit(thresholds(), groups=list(zip(sex, old, strict=True)))
    assert fitted.groups_.tolist() == [("f", False), ("f", True), ("m", False), ("m", True)]
    assert set(fitted.thresholds_) == set(fitted.groups_)
    assert fitted.multipliers_.shape == (2, 4)
    named = fit(thresholds(), groups={"sex": sex, "old": old})
    assert named.thresholds_ == fitted.thresholds_
    assert "f, True" in str(fitted.thresholds_)


GIVEN = {
    "array": np.array,
    "objects": lambda g: np.array(g, dtype=object),
    "list": list,
    "tuple": tuple,
    "column": lambda g: np.array(g)[:, None],
    "pandas": lambda g: pd.Series(g, index=range(5, 5 + len(g))),
    "pandas index": pd.Index,
    "pandas categories": lambda g: pd.Series(pd.Categorical(g, categories=["c", "b", "a"])),
    "pandas frame": lambda g: pd.DataFrame({"g": g}),
    "polars": pl.Series,
    "polars categories": lambda g: pl.Series(g, dtype=pl.Categorical),
    "polars enumeration": lambda g: pl.Series(g, dtype=pl.Enum(["c", "b", "a"])),
    "polars frame": lambda g: pl.DataFrame({"g": g}),
    "pyarrow": pa.array,
    "pyarrow chunks": lambda g: pa.chunked_array([g[:7], g[7:]]),
    "pyarrow dictionary": lambda g: pa.array(g).dictionary_encode(),
    "pyarrow table": lambda g: pa.table({"g": g}),
}


@pytest.mark.parametrize("form", GIVEN)
def test_groups_of_any_library(fitted, form):
    """One column of groups may come as anything that holds a column, at `fit` or `predict`."""
    other = fit(thresholds(), groups=GIVEN[form](GROUPS.tolist()))
    assert other.groups_.tolist() == ["a", "b"]
    assert other.thresholds_ == fitted.thresholds_
    np.testing.assert_array_equal(
        fitted.predict(NEW_X, sensitive_features=GIVEN[form](NEW_GROUPS.tolist())),
        fitted.predict(NEW_X, sensitive_features=NEW_GROUPS),
    )


@pytest.mark.parametrize(
    "two_columns",
    [
        lambda a, b: np.column_stack([a, b]).astype(object),
        lambda a, b: pd.DataFrame({"a": a, "b": b}),
        lambda a, b: pl.DataFrame({"a": a, "b": b}),
        lambda a, b: pa.table({"a": a, "b": b}),
        lambda a, b: [list(pair) for pair in zip(a, b, strict=True)],
    ],
    ids=["array", "pandas", "polars", "pyarrow", "lists"],
)
def test_intersections_of_any_library(two_columns):
    """Two columns of groups may come as anything that holds two columns."""
    first, second = GROUPS.tolist(), np.where(AGE > 45, "old", "young").tolist()
    fitted = fit(thresholds(), groups=two_columns(first, second))
    assert fitted.groups_.tolist() == [("a", "old"), ("a", "young"), ("b", "old"), ("b", "young")]


OLD = np.where(AGE > 45, "b", "a")
NAMED = {
    "dict": dict,
    "pandas": pd.DataFrame,
    "pandas with numbers": lambda d: pd.DataFrame(d).rename(columns={"sex": 3, "old": 7}),
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
}


@pytest.mark.parametrize("form", NAMED)
@pytest.mark.parametrize("kind", ["sensitive", "control"])
def test_named_columns_come_in_any_order(form, kind):
    """What columns are called says which is which, where both columns have the same values."""
    named, what = NAMED[form], f"{kind}_features"
    groups = {"sensitive_features": AGE % 2, what: named({"sex": GROUPS, "old": OLD})}
    fitted = thresholds(DemographicParity(max_difference=0.05)).fit(X, Y, **groups)

    swapped = groups | {what: named({"old": OLD, "sex": GROUPS})}
    unnamed = groups | {what: np.column_stack([GROUPS, OLD])}

    expected = fitted.decision_probability(X, **groups)
    np.testing.assert_array_equal(fitted.decision_probability(X, **swapped), expected)
    np.testing.assert_array_equal(fitted.decision_probability(X, **unnamed), expected)
    wrong = groups | {what: np.column_stack([OLD, GROUPS])}
    assert not np.array_equal(fitted.decision_probability(X, **wrong), expected)


@pytest.mark.parametrize("named", [dict, pd.DataFrame])
def test_columns_of_other_names_are_refused(named):
    """Several columns of other names than in `fit` are an error that lists both."""
    fitted = fit(thresholds(), groups=named({"sex": GROUPS, "old": OLD}))
    message = (
        r"must have the columns seen in fit, \['sex', 'old'\], got \['old', 'gender'\]\. Pass"
    )
    with pytest.raises(ValueError, match=message):
        fitted.predict(X, sensitive_features=named({"old": OLD, "gender": GROUPS}))


def test_columns_of_X_are_known_by_name():
    """Groups from columns of X at `fit` may come by keyword, in another order, at `predict`."""
    table = pd.DataFrame(X).rename(columns=str).assign(sex=GROUPS, old=OLD)
    fitted = thresholds(sensitive_columns=["sex", "old"], drop_sensitive=True).fit(table, Y)
    given = fitted.predict(table, sensitive_features=table[["old", "sex"]])
    np.testing.assert_array_equal(given, fitted.predict(table))


MISSING = {
    "None": (list, None),
    "NaN in a list": (list, float("nan")),
    "NaN in objects": (lambda g: np.array(g, dtype=object), np.nan),
    "pandas": (pd.Series, None),
    "pandas NA": (lambda g: pd.Series(g, dtype="string"), pd.NA),
    "pandas categories": (lambda g: pd.Series(g, dtype="category"), None),
    "polars": (pl.Series, None),
    "pyarrow": (pa.array, None),
    "pyarrow chunks": (lambda g: pa.chunked_array([g]), None),
}


@pytest.mark.parametrize("form", MISSING)
def test_missing_values_may_be_a_group(form):
    """With `missing="group"` all kinds of missing value are one group, of its own."""
    make, nothing = MISSING[form]
    is_missing = np.random.default_rng(10).random(len(Y)) < 0.3
    given = [nothing if m else g for g, m in zip(GROUPS.tolist(), is_missing, strict=True)]
    fitted = fit(thresholds(missing="group"), groups=make(given))
    assert fitted.groups_.tolist() == ["a", "b", None]
    named = fit(thresholds(), groups=np.where(is_missing, "c", GROUPS))
    assert list(named.thresholds_.values()) == list(fitted.thresholds_.values())
    assert "(missing)" in str(fitted.thresholds_)
    np.testing.assert_array_equal(
        accepting(fitted, groups=make(given)),
        accepting(named, groups=np.where(is_missing, "c", GROUPS)),
    )


def test_missing_numbers_may_be_a_group():
    """NaN in a numeric column of X is a missing group as well."""
    column = np.where(np.arange(len(Y)) % 4 == 0, np.nan, CODE)
    X = np.column_stack([column, WITH_GROUP[:, 1:]])
    base = HistGradientBoostingClassifier(max_iter=5, random_state=0)
    fitted = thresholds(ODDS, base, sensitive_columns=0, missing="group").fit(X, Y)
    assert fitted.groups_.tolist() == [0.0, 1.0, None]
    assert len(fitted.predict(X)) == len(Y)


# ---------------------------------------------------------------------------------------------
# Columns hidden from the learner


@pytest.mark.parametrize(
    ("X", "columns", "left"),
    [
        (FRAME, "group", 6),
        (FRAME, ["group", "age"], 5),
        (FRAME, [0, -1], 5),
        (WITH_GROUP, 0, 6),
        (WITH_GROUP, [6, 0], 5),
        (sparse.csr_array(WITH_GROUP), 0, 6),
        (sparse.csc_array(WITH_GROUP), [0, 6], 5),
        (pl.DataFrame(FRAME.to_dict("list")), ["age", "group"], 5),
        (pa.table(FRAME.to_dict("list")), "group", 6),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "shape") else str(value),
)
def test_dropped_columns_never_reach_the_learner(X, columns, left):
    """With `drop_sensitive` no fit and no prediction of the learner sees those columns."""
    seen = []

    class Spy(LogisticRegression):
        def fit(self, X, y):
            seen.append(X)
            return super().fit(X, y)

        def predict_proba(self, X):
            seen.append(X)
            return super().predict_proba(X)

    groups = CODE  # as sensitive columns would give too many groups where age is among them
    spied = thresholds(ODDS, Spy(**EXACT), sensitive_columns=columns, drop_sensitive=True)
    fit(spied, X, groups=groups)
    accepted = accepting(spied, X, groups)
    assert len(seen) == 8  # fits and scores of three folds, the last fit, and a prediction
    positions = list(range(1, 6)) if left == 5 else list(range(1, 7))
    for part in seen:
        assert part.shape[1] == left
        assert type(part) is type(X)
    if hasattr(X, "columns"):
        assert spied.estimator_.feature_names_in_.tolist() == [NAMES[i] for i in positions]
    assert spied.n_features_in_ == 7
    by_hand = fit(thresholds(ODDS, learner()), WITH_GROUP[:, positions])
    expected = accepting(by_hand, WITH_GROUP[:, positions])
    np.testing.assert_allclose(accepted, expected, atol=1e-6)


def test_dropped_column_still_gives_the_groups():
    """The learner is blind to the column, and the rule is not."""
    hidden = thresholds(ODDS, SCALED, sensitive_columns="group", drop_sensitive=True)
    hidden.fit(FRAME, Y)
    assert hidden.groups_.tolist() == [0, 1]
    assert "group" not in hidden.estimator_.feature_names_in_
    flipped = FRAME.assign(group=1 - FRAME["group"])
    by_keyword = {"sensitive_features": FRAME["group"]}
    np.testing.assert_allclose(
        hidden.decision_probability(flipped, **by_keyword), hidden.decision_probability(FRAME)
    )
    assert np.ptp(hidden.decision_probability(flipped) - hidden.decision_probability(FRAME)) > 0.1
    np.testing.assert_array_equal(hidden.predict(flipped, **by_keyword), hidden.predict(FRAME))


# ---------------------------------------------------------------------------------------------
# Tables of any library


@pytest.mark.parametrize(
    "table",
    [pd.DataFrame, pl.DataFrame, pa.table, lambda d: pd.DataFrame(d, index=range(9, 9 + len(Y)))],
    ids=["pandas", "polars", "pyarrow", "pandas with an index"],
)
def test_tables_of_any_library(table):
    """Tables of numbers give the decisions that the array gives."""
    reference = thresholds(ODDS, SCALED, sensitive_columns=0).fit(WITH_GROUP, Y)
    columns = {name: WITH_GROUP[:, i] for i, name in enumerate(NAMES)}
    # Whole numbers as integers, yes or no as booleans: values count, not types.
    columns["age"] = columns["age"].astype(int)
    columns["group"] = columns["group"] == 1
    fitted = thresholds(ODDS, SCALED, sensitive_columns="group").fit(table(columns), Y)
    np.testing.assert_array_equal(fitted.feature_names_in_, NAMES)
    np.testing.assert_allclose(
        fitted.decision_probability(table(columns)),
        reference.decision_probability(WITH_GROUP),
        atol=1e-9,
    )
    assert fitted.randomized_share_ > 0
    np.testing.assert_array_equal(fitted.predict(table(columns)), reference.predict(WITH_GROUP))


@pytest.mark.parametrize("table", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_tables_with_text(table):
    """Columns of text, categories and missing values pass through, and hash by their values."""
    town = np.random.default_rng(11).choice(["Oslo", "Århus", "Turku"], len(Y)).tolist()
    town[3] = None
    columns = {"group": GROUPS.tolist(), "town": town, "x0": X[:, 0], "x1": X[:, 1]}
    encode = ColumnTransformer(
        [("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["group", "town"])],
        remainder="passthrough",
    )
    base = make_pipeline(encode, learner())
    fitted = thresholds(ODDS, base, sensitive_columns="group").fit(table(columns), Y)
    reference = thresholds(ODDS, base, sensitive_columns="group").fit(pd.DataFrame(columns), Y)
    assert fitted.groups_.tolist() == ["a", "b"]
    assert fitted.randomized_share_ > 0
    np.testing.assert_array_equal(
        fitted.predict(table(columns)), reference.predict(pd.DataFrame(columns))
    )
    categories = pd.DataFrame(columns).astype({"group": "category", "town": "category"})
    np.testing.assert_array_equal(
        reference.predict(categories), reference.predict(pd.DataFrame(columns))
    )


NOON = datetime(2020, 2, 1, 12, 30, 5, 600)
COLUMNS = {
    "moments": [datetime(2020, 1, 1), NOON, None, NOON, datetime(1960, 1, 1)],
    "zoned moments": [datetime(2020, 1, 1, tzinfo=UTC), NOON.replace(tzinfo=UTC)] * 2 + [None],
    "days": [date(2020, 1, 1), date(2020, 2, 1), None, date(2020, 1, 1), date(1960, 1, 1)],
    "durations": [timedelta(0), timedelta(days=2), None, timedelta(microseconds=-7), None],
    "yes or no": [True, False, None, True, True],
    "whole numbers": [0, 1, None, -3, 2**40],
    "numbers": [0.0, -0.0, None, 0.1, float("inf")],
    "text": ["", "Århus", None, "0", "nan"],
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("table", [pd.DataFrame, pl.DataFrame, pa.table])
def test_values_of_any_kind_hash_alike(table, name):
    """What a value adds to the hash depends neither on the library nor on the other rows."""
    values = COLUMNS[name]
    whole = hash_rows(table({"x": values}), 0)
    np.testing.assert_array_equal(whole, hash_rows(pl.DataFrame({"x": values}), 0))
    objects = np.array(values, dtype=object)[:, None]
    np.testing.assert_array_equal(whole, hash_rows(objects, 0))
    alone = [hash_rows(table({"x": [value, values[0]]}), 0)[0] for value in values]
    np.testing.assert_array_equal(alone, whole)
    assert len(set(whole)) == len({str(v).replace("-0.0", "0.0") for v in values})


def test_decisions_do_not_depend_on_dates_of_other_rows():
    """A column of moments is a value like any other, in part and in whole."""
    frame = pd.DataFrame({"x0": X[:, 0], "moment": pd.to_datetime(NOON)})
    frame.loc[AGE < 45, "moment"] = pd.to_datetime("2020-01-01")
    base = make_pipeline(ColumnTransformer([("kept", "passthrough", ["x0"])]), learner())
    fitted = fit(thresholds(ODDS, base), frame)
    assert fitted.randomized_share_ > 0
    decisions = fitted.predict(frame, sensitive_features=GROUPS)
    for rows in (AGE < 45, AGE >= 45):
        np.testing.assert_array_equal(
            fitted.predict(frame[rows], sensitive_features=GROUPS[rows]), decisions[rows]
        )


def test_missing_values_in_X_are_the_learners_business():
    """NaN in X is passed on to a learner that takes it, and does not disturb the hash."""
    holes = np.where(np.random.default_rng(12).random(X.shape) < 0.2, np.nan, X)
    base = HistGradientBoostingClassifier(max_iter=10, random_state=0)
    fitted = fit(thresholds(ODDS, base), holes)
    decisions = fitted.predict(holes, sensitive_features=GROUPS)
    rows = np.arange(len(Y))[::-1]
    np.testing.assert_array_equal(
        fitted.predict(holes[rows], sensitive_features=GROUPS[rows]), decisions[rows]
    )
    with pytest.raises(ValueError, match="NaN"):
        fit(thresholds(), holes)


# ---------------------------------------------------------------------------------------------
# Among scikit-learn's own


def first_is_positive(X):
    """Return groups from a standardised first column."""
    return X[:, 0] > 0


def test_as_the_last_step_of_a_pipeline():
    """In a pipeline, groups come from columns of what the steps before give."""
    inside = make_pipeline(StandardScaler(), thresholds(sensitive_columns=first_is_positive))
    inside.fit(WITH_GROUP, Y)
    scaled = StandardScaler().fit_transform(WITH_GROUP)
    alone = fit(thresholds(), scaled, groups=WITH_GROUP[:, 0] > 0)
    assert inside[-1].thresholds_ == alone.thresholds_
    decided = inside.predict(WITH_GROUP)
    np.testing.assert_array_equal(
        decided, alone.predict(scaled, sensitive_features=WITH_GROUP[:, 0] > 0)
    )
    assert inside.score(WITH_GROUP, Y) == np.mean(decided == Y)


def test_after_a_column_transformer():
    """Named columns that a `ColumnTransformer` lets through give the groups."""
    scale = ColumnTransformer(
        [("scaled", StandardScaler(), ["x0", "x1", "age"]), ("kept", "passthrough", ["group"])],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    last = thresholds(sensitive_columns="group", drop_sensitive=True)
    fitted = make_pipeline(scale, last).fit(FRAME, Y)
    assert fitted[-1].groups_.tolist() == [0, 1]
    assert fitted[-1].estimator_.feature_names_in_.tolist() == ["x0", "x1", "age"]
    assert fitted.score(FRAME, Y) > 0.6


BOUNDS = {"constraint__max_difference": [0.0, 0.05, 0.5]}


def folds_by_hand(bound, X, y, groups, n_folds=3):
    """Return held-out accuracies with groups given by keyword, fold by fold."""
    scores = []
    for train, test in StratifiedKFold(n_folds).split(X, y):
        fitted = thresholds(EqualizedOdds(max_difference=bound), SCALED)
        fit(fitted, X[train], y[train], groups[train])
        scores.append(
            accuracy_score(y[test], fitted.predict(X[test], sensitive_features=groups[test]))
        )
    return scores


def test_grid_search_over_the_knob_with_columns():
    """`GridSearchCV` turns the knob inside the constraint, and scores with groups from columns."""
    search = GridSearchCV(thresholds(ODDS, SCALED, sensitive_columns="group"), BOUNDS, cv=3)
    search.fit(FRAME, Y)
    found = [search.cv_results_[f"split{i}_test_score"] for i in range(3)]
    expected = [folds_by_hand(b, WITH_GROUP, Y, CODE) for b in (0.0, 0.05, 0.5)]
    np.testing.assert_allclose(np.transpose(found), expected)
    best = search.best_params_["constraint__max_difference"]
    assert search.best_estimator_.constraint.max_difference == best
    assert search.score(FRAME, Y) == search.best_estimator_.score(FRAME, Y)
    assert ODDS.max_difference == 0.03


def requesting(estimator):
    """Return the estimator, asking for groups wherever they may be passed."""
    return (
        estimator.set_fit_request(sensitive_features=True)
        .set_predict_request(sensitive_features=True)
        .set_score_request(sensitive_features=True)
    )


@pytest.mark.usefixtures("routing")
def test_grid_search_over_the_knob_with_routing():
    """With metadata routing the groups go to every fit and every score."""
    search = GridSearchCV(requesting(thresholds(ODDS, SCALED)), BOUNDS, cv=3)
    search.fit(WITH_GROUP, Y, sensitive_features=GROUPS)
    found = [search.cv_results_[f"split{i}_test_score"] for i in range(3)]
    expected = [folds_by_hand(b, WITH_GROUP, Y, GROUPS) for b in (0.0, 0.05, 0.5)]
    np.testing.assert_allclose(np.transpose(found), expected)
    assert search.score(WITH_GROUP, Y, sensitive_features=GROUPS) == pytest.approx(
        search.best_estimator_.score(WITH_GROUP, Y, sensitive_features=GROUPS)
    )


@pytest.mark.usefixtures("routing")
def test_cross_validation_with_routing():
    """`cross_validate` passes groups on to `fit` and `score`."""
    found = cross_validate(
        requesting(thresholds(EqualizedOdds(max_difference=0.05), SCALED)),
        WITH_GROUP,
        Y,
        cv=3,
        params={"sensitive_features": GROUPS},
        error_score="raise",
    )
    np.testing.assert_allclose(found["test_score"], folds_by_hand(0.05, WITH_GROUP, Y, GROUPS))


def test_cross_validation_with_columns():
    """`cross_validate` needs nothing but columns."""
    estimator = thresholds(EqualizedOdds(max_difference=0.05), SCALED, sensitive_columns="group")
    found = cross_validate(estimator, FRAME, Y, cv=3, error_score="raise", scoring="accuracy")
    np.testing.assert_allclose(found["test_score"], folds_by_hand(0.05, WITH_GROUP, Y, CODE))


@pytest.mark.usefixtures("routing")
def test_pipeline_with_routing():
    """In a pipeline with routing the groups reach the last step, in `fit`, `predict`, `score`."""
    inside = make_pipeline(StandardScaler(), requesting(thresholds()))
    inside.fit(X, Y, sensitive_features=GROUPS)
    decided = inside.predict(NEW_X, sensitive_features=NEW_GROUPS)
    alone = fit(thresholds(), StandardScaler().fit_transform(X))
    assert inside[-1].thresholds_ == alone.thresholds_
    score = inside.score(NEW_X, NEW_Y, sensitive_features=NEW_GROUPS)
    assert score == np.mean(decided == NEW_Y)


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.8"),
    reason="scikit-learn issue 30937: a search does not score pipelines with routed metadata",
)
@pytest.mark.usefixtures("routing")
def test_grid_search_over_a_pipeline_with_routing():
    """Routing goes through a search and a pipeline at once."""
    steps = make_pipeline(StandardScaler(), requesting(thresholds()))
    bounds = {"groupthresholdclassifier__constraint__max_difference": [0.01, 0.5]}
    search = GridSearchCV(steps, bounds, cv=2, error_score="raise")
    search.fit(X, Y, sensitive_features=GROUPS)
    alone = clone(steps).set_params(**search.best_params_).fit(X, Y, sensitive_features=GROUPS)
    assert search.best_estimator_[-1].thresholds_ == alone[-1].thresholds_


@pytest.mark.usefixtures("routing")
def test_weights_by_routing():
    """Weights that a pipeline routes are those of the rows."""
    last = requesting(thresholds()).set_fit_request(sensitive_features=True, sample_weight=True)
    inside = make_pipeline(FunctionTransformer(), last)
    inside.fit(X, Y, sensitive_features=GROUPS, sample_weight=WEIGHT)
    assert inside[-1].thresholds_ == fit(thresholds(), sample_weight=WEIGHT).thresholds_


def test_folds_in_parallel(fitted):
    """Two processes give what one gives."""
    assert fit(thresholds(n_jobs=2)).thresholds_ == fitted.thresholds_


def test_set_params_reaches_constraint_and_estimator():
    """Nested parameters are set by scikit-learn's names, and printed."""
    estimator = thresholds().set_params(constraint__max_difference=0.2, estimator__C=7.0)
    assert estimator.constraint == EqualizedOdds(max_difference=0.2)
    assert estimator.get_params()["estimator__C"] == 7.0
    assert "max_difference=0.2" in repr(estimator)
    assert "EqualizedOdds" in estimator._repr_html_()


WITHOUT_PANDAS = """
import sys

class NoPandas:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'")

sys.meta_path.insert(0, NoPandas())
import numpy as np
from sklearn.linear_model import LogisticRegression
from fairlearnkit import EqualizedOdds, GroupThresholdClassifier
from fairlearnkit.datasets import make_group_classification

X, y, groups = make_group_classification(400, base_rates=(0.6, 0.3), random_state=0)
learner = LogisticRegression(solver="newton-cholesky")
clf = GroupThresholdClassifier(learner, EqualizedOdds(max_difference=0.05), cv=3)
clf.fit(X, y, sensitive_features=groups.astype(str))
print(clf.thresholds_, clf.frontier_, clf.predict(X, sensitive_features=groups.astype(str))[:5])
by_column = GroupThresholdClassifier(
    learner, EqualizedOdds(max_difference=0.05), cv=3, sensitive_columns=-1
).fit(np.column_stack([X, groups]), y)
assert clf.disparity_ <= 0.05 + 1e-9 and by_column.disparity_ <= 0.05 + 1e-9
try:
    clf.thresholds_.to_frame()
except ImportError:
    print("no pandas")
"""


def test_works_without_pandas():
    """Where pandas is not installed everything but `to_frame` works."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_PANDAS], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.rstrip().endswith("no pandas")
