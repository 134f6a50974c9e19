"""What every estimator keeps: scikit-learn's contract, then common checks of our own.

A new estimator is one line in ``CONTRACT`` and one in ``ESTIMATORS``.
"""

import copy
import itertools
import pickle
from inspect import signature

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks

from fairlearnkit import (
    AllOf,
    ConstrainedLogisticRegression,
    CostFrontier,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    ErrorRateParity,
    GroupThresholdClassifier,
    ReductionClassifier,
)
from fairlearnkit.datasets import make_group_classification


class FirstColumnIsLarge:
    """Groups for any X that scikit-learn's checks come up with."""

    def __call__(self, X):
        """Return whether the first column is above 0.5."""
        column = X.iloc[:, 0] if hasattr(X, "iloc") else X[:, [0]]
        column = column.toarray() if sparse.issparse(column) else np.asarray(column)
        return np.ravel(column).astype(float) > 0.5

    def __repr__(self):
        """Return a name without an address: names of tests are the same in every run."""
        return "first_column_is_large"


LOOSE = [
    DemographicParity(max_difference=0.9),
    DemographicParity(min_ratio=0.1, reference="overall"),
    EqualizedOdds(max_difference=0.9),
    ErrorRateParity(max_difference=0.9),
    AllOf([EqualOpportunity(max_difference=0.9), DemographicParity(min_ratio=0.1)]),
]

LEARNER = LogisticRegression(solver="newton-cholesky")
COLUMN = {"sensitive_columns": FirstColumnIsLarge()}

CONTRACT = [
    *(GroupThresholdClassifier(LEARNER, constraint, cv=2, **COLUMN) for constraint in LOOSE),
    GroupThresholdClassifier(LEARNER, LOOSE[0], cv=2, randomized=False, **COLUMN),
    *(ReductionClassifier(LEARNER, constraint, **COLUMN) for constraint in LOOSE),
    ReductionClassifier(LEARNER, LOOSE[0], solver="exponentiated_gradient", **COLUMN),
    ReductionClassifier(
        LEARNER, LOOSE[0], threshold_columns="crossfit", constraint_data="crossfit", cv=2, **COLUMN
    ),
    *(ConstrainedLogisticRegression(constraint, **COLUMN) for constraint in (LOOSE[2], LOOSE[4])),
    ConstrainedLogisticRegression(
        DemographicParity(max_difference=1.0), finish="single", **COLUMN
    ),
    ConstrainedLogisticRegression(LOOSE[0], finish=None, **COLUMN),
]


# scikit-learn's data are tiny: some of its groups are small, or alone.
@pytest.mark.filterwarnings("ignore::fairlearnkit.exceptions.DegenerateGroupWarning")
@parametrize_with_checks(CONTRACT)
def test_scikit_learn_contract(estimator, check):
    """Every check of scikit-learn passes, whatever the criterion."""
    check(estimator)


# ---------------------------------------------------------------------------------------------


def exact_learner():
    """Return a learner that reaches its optimum to machine precision: rounding does not matter."""
    return LogisticRegression(solver="newton-cholesky", tol=1e-8, C=0.1)


BOTH = AllOf([EqualOpportunity(max_difference=0.05), DemographicParity(min_ratio=0.8)])

ESTIMATORS = {
    "thresholds, equalized odds": GroupThresholdClassifier(
        exact_learner(), EqualizedOdds(max_difference=0.02), cv=3
    ),
    "thresholds, ratio": GroupThresholdClassifier(
        exact_learner(), DemographicParity(min_ratio=0.9), cv=3, random_state=3
    ),
    "thresholds, several criteria": GroupThresholdClassifier(exact_learner(), BOTH, cv=3),
    "plain thresholds": GroupThresholdClassifier(
        exact_learner(), EqualizedOdds(max_difference=0.05), cv=3, randomized=False
    ),
    "reduction, equalized odds": ReductionClassifier(
        exact_learner(), EqualizedOdds(max_difference=0.02)
    ),
    "reduction, several criteria": ReductionClassifier(exact_learner(), BOTH, random_state=3),
    "reduction, any threshold": ReductionClassifier(
        exact_learner(), EqualizedOdds(max_difference=0.02), threshold_columns="train"
    ),
    "exponentiated gradient": ReductionClassifier(
        exact_learner(), EqualizedOdds(max_difference=0.02), solver="exponentiated_gradient"
    ),
    "convex, equalized odds": ConstrainedLogisticRegression(
        EqualizedOdds(max_difference=0.02), C=0.1
    ),
    "convex, several criteria": ConstrainedLogisticRegression(BOTH, C=0.1, random_state=3),
    "convex, one model": ConstrainedLogisticRegression(
        DemographicParity(max_difference=0.1), C=0.1, finish="single"
    ),
    "convex, mean scores": ConstrainedLogisticRegression(
        EqualizedOdds(max_difference=0.05), C=0.1, finish=None
    ),
}


def each(estimators):
    """Return a mark that runs a test on every one of some estimators."""
    return pytest.mark.parametrize(
        "estimator", [pytest.param(estimator, id=name) for name, estimator in estimators.items()]
    )


each_estimator = each(ESTIMATORS)
# What holds exactly where the learner is fitted once, whatever the constraint and its prices.
each_threshold_rule = each({n: e for n, e in ESTIMATORS.items() if "thresholds" in n})
each_without_scores = each({n: e for n, e in ESTIMATORS.items() if "convex" not in n})


def plain_thresholds_cost(estimator, X, y, groups):
    """Return the least mean cost of one threshold per group on held-out scores, by trying all."""
    score = cross_val_predict(estimator.estimator, X, y, cv=estimator.cv, method="predict_proba")
    mistakes = 0
    for group in np.unique(groups):
        own, label = score[groups == group, 1], y[groups == group]
        mistakes += min(np.sum((own >= t) != label) for t in [*own, np.inf])
    return mistakes / len(y)


# What each family of estimators costs without a constraint.
UNCONSTRAINED_COST = {GroupThresholdClassifier: plain_thresholds_cost}


def make_data(n_samples=420, random_state=0):
    """Return rows of three groups that differ in base rate and in how well they are told apart."""
    X, y, group = make_group_classification(
        n_samples,
        base_rates=(0.6, 0.3, 0.45),
        class_sep=(2.0, 1.2, 1.6),
        random_state=random_state,
    )
    return X, y, np.array(["ann", "bob", "cy"])[group]


X, Y, GROUPS = make_data()
FOLD = np.random.default_rng(1).permutation(np.arange(len(Y)) % 3)


def fit(estimator, X=X, y=Y, groups=GROUPS, **kwargs):
    """Return a fitted clone."""
    return clone(estimator).fit(X, y, sensitive_features=groups, **kwargs)


def groups_for(fitted, groups):
    """Return what a prediction needs to know of groups: nothing, where rules do not use them."""
    needs_groups = "sensitive_features" in signature(fitted.predict).parameters
    return {"sensitive_features": groups} if needs_groups else {}


def with_folds(estimator, fold):
    """Return a clone whose cross-validation, where it has one, uses these folds."""
    estimator = clone(estimator)
    if "cv" in estimator.get_params():
        estimator.set_params(cv=PredefinedSplit(fold))
    return estimator


def prefit(estimator):
    """Return a clone that takes scores from a fitted learner, where it can."""
    estimator = clone(estimator)
    if isinstance(estimator, GroupThresholdClassifier):
        estimator.set_params(estimator=FrozenEstimator(exact_learner().fit(X, Y)))
    return estimator


def state(estimator):
    """Return a digest of every parameter and fitted attribute."""
    values = estimator.__getstate__().items()
    # Through a pickle, since the digest minds which equal strings are one object.
    return {name: joblib.hash(pickle.loads(pickle.dumps(value))) for name, value in values}


def assert_same_rule(one, other, X=X, groups=GROUPS):
    """Assert that two fitted estimators cost the same and decide alike."""
    assert one.cost_ == pytest.approx(other.cost_, abs=1e-9)
    np.testing.assert_allclose(one.disparity_, other.disparity_, atol=1e-8)
    np.testing.assert_allclose(
        one.decision_probability(X, **groups_for(one, groups)),
        other.decision_probability(X, **groups_for(other, groups)),
        atol=1e-8,
    )
    np.testing.assert_array_equal(
        one.predict(X, **groups_for(one, groups)), other.predict(X, **groups_for(other, groups))
    )


def randomizes(estimator):
    """Whether an estimator may leave decisions to the hash."""
    return getattr(estimator, "randomized", getattr(estimator, "finish", "mixture") == "mixture")


def has_random_rows(fitted, X=X, groups=GROUPS):
    """Whether the decision of some row is left to the hash."""
    probability = fitted.decision_probability(X, **groups_for(fitted, groups))[:, 1]
    return bool(((probability > 0) & (probability < 1)).any())


@each_estimator
def test_refit_equals_a_fresh_fit(estimator):
    """An earlier fit, on other data with other groups and columns, leaves nothing behind."""
    other_X, other_y, _ = make_data(200, random_state=5)
    frame = pd.DataFrame(other_X[:, :3], columns=["u", "v", "w"])
    refitted = clone(estimator)
    refitted.fit(frame, other_y, sensitive_features=frame["u"].to_numpy() > 0)
    refitted.fit(X, Y, sensitive_features=GROUPS)
    assert state(refitted) == state(fit(estimator))


@each_estimator
def test_fit_leaves_parameters_untouched(estimator):
    """Fitting and turning the knob change no parameter, however deep."""
    fitted = clone(estimator)
    before = joblib.hash(fitted.get_params(deep=True))
    fitted.fit(X, Y, sensitive_features=GROUPS)
    fitted.at(constraint=DemographicParity(max_difference=0.3))
    assert joblib.hash(fitted.get_params(deep=True)) == before


@each_estimator
@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy])
def test_pickles_and_copies_decide_alike(estimator, copied):
    """A pickle or deep copy has the same fitted attributes and makes the same decisions."""
    fitted = fit(estimator)
    assert state(copied(fitted)) == state(fitted)
    assert_same_rule(copied(fitted), fitted)


@each_estimator
def test_pickles_hold_no_training_rows(estimator):
    """What leaves the machine with a pickled estimator is not the people it was fitted on."""
    row = X[0].tobytes()
    assert row in pickle.dumps(X)
    assert row not in pickle.dumps(fit(estimator))


@each_estimator
def test_clone_drops_the_fit(estimator):
    """A clone has the parameters and nothing else."""
    cloned = clone(fit(estimator))
    assert vars(cloned).keys() == estimator.get_params(deep=False).keys()
    assert joblib.hash(cloned.get_params()) == joblib.hash(estimator.get_params())
    with pytest.raises(NotFittedError):
        cloned.predict(X, **groups_for(cloned, GROUPS))


@each_estimator
@pytest.mark.parametrize(
    "names",
    [
        {"ann": "zoe", "bob": "yan", "cy": "xi"},
        {"ann": "bob", "bob": "cy", "cy": "ann"},
        {"ann": 7, "bob": -1, "cy": 3},
    ],
    ids=["reversed", "permuted", "numbers"],
)
def test_names_of_groups_do_not_matter(estimator, names):
    """Renaming or permuting groups changes neither the cost nor the gap."""
    fitted = fit(estimator)
    renamed = fit(estimator, groups=np.array([names[group] for group in GROUPS]))
    assert set(renamed.groups_) == set(names.values())
    assert renamed.cost_ == pytest.approx(fitted.cost_, abs=1e-9)
    assert renamed.gap_ == pytest.approx(fitted.gap_, abs=1e-9)


@each_estimator
def test_numbers_as_objects(estimator):
    """Labels that are numbers may come as objects, as columns of tables often do."""
    fitted, given = fit(estimator), fit(estimator, y=Y.astype(object))
    assert given.classes_.dtype == Y.dtype
    assert given.cost_ == fitted.cost_
    own = groups_for(fitted, GROUPS)
    assert given.score(X, Y.astype(object), **own) == fitted.score(X, Y, **own)


@each_estimator
@pytest.mark.parametrize(
    "labels", [("no", "yes"), (False, True), (-1, 1), (1, 2), (0.0, 1.0)], ids=str
)
def test_any_two_labels(estimator, labels):
    """Labels may be of any kind; decisions come back as the same labels."""
    labels = np.array(labels)
    fitted, named = fit(estimator), fit(estimator, y=labels[Y])
    np.testing.assert_array_equal(named.classes_, labels)
    assert named.cost_ == fitted.cost_
    decisions = named.predict(X, **groups_for(named, GROUPS))
    assert decisions.dtype == labels.dtype
    np.testing.assert_array_equal(
        decisions, labels[fitted.predict(X, **groups_for(fitted, GROUPS))]
    )


@each_estimator
def test_weights_equal_repeated_rows(estimator):
    """A weight of 3 is the row three times, in learner, cost and rates alike."""
    weight = np.random.default_rng(2).integers(1, 4, len(Y))
    rows = np.repeat(np.arange(len(Y)), weight)
    weighted = fit(with_folds(estimator, FOLD), sample_weight=weight)
    repeated = fit(with_folds(estimator, FOLD[rows]), X[rows], Y[rows], GROUPS[rows])
    assert_same_rule(weighted, repeated)


@each_estimator
def test_weights_equal_repeated_rows_when_prefit(estimator):
    """A weight of 3 is the row three times, where the learner is given."""
    weight = np.random.default_rng(3).integers(1, 4, len(Y))
    rows = np.repeat(np.arange(len(Y)), weight)
    weighted = fit(prefit(estimator), sample_weight=weight)
    assert_same_rule(weighted, fit(prefit(estimator), X[rows], Y[rows], GROUPS[rows]))


@each_threshold_rule
def test_scale_of_weights_does_not_matter(estimator):
    """Weights say how rows compare: all of them times 1000 changes nothing."""
    weight = np.random.default_rng(4).uniform(0.5, 2.0, len(Y))
    estimator = prefit(estimator)
    assert_same_rule(
        fit(estimator, sample_weight=weight), fit(estimator, sample_weight=1000 * weight)
    )


@each_estimator
def test_zero_weights_equal_removed_rows(estimator):
    """A row of weight zero might as well not be there."""
    weight = np.random.default_rng(5).integers(0, 3, len(Y)).astype(float)
    rows = np.flatnonzero(weight)
    assert 0 < len(rows) < len(Y)
    weighted = fit(with_folds(estimator, FOLD), sample_weight=weight)
    removed = fit(
        with_folds(estimator, FOLD[rows]),
        X[rows],
        Y[rows],
        GROUPS[rows],
        sample_weight=weight[rows],
    )
    assert_same_rule(weighted, removed)


@each_threshold_rule
@pytest.mark.parametrize(
    "inactive",
    [
        EqualizedOdds(max_difference=1.0),
        DemographicParity(min_ratio=0.0),
        DemographicParity(max_difference=1.0, reference="overall"),
        AllOf([ErrorRateParity(max_difference=1), EqualOpportunity(min_ratio=0)]),
    ],
    ids=repr,
)
def test_inactive_bound_costs_nothing(estimator, inactive):
    """Under a bound that asks for nothing the cost is that of the unconstrained rule."""
    fitted = fit(clone(estimator).set_params(constraint=inactive))
    cost = UNCONSTRAINED_COST[type(estimator)](estimator, X, Y, GROUPS)
    assert fitted.cost_ == pytest.approx(cost, abs=1e-9)
    assert fitted.gap_ == pytest.approx(0, abs=1e-9)
    assert not np.any(np.abs(fitted.multipliers_) > 1e-9)


@each_threshold_rule
@pytest.mark.parametrize(
    ("bound", "loose_to_tight"),
    [("max_difference", [1.0, 0.3, 0.1, 0.03, 0.0]), ("min_ratio", [0.0, 0.5, 0.8, 0.95, 1.0])],
)
def test_tighter_bound_never_lowers_the_cost(estimator, bound, loose_to_tight):
    """Asking for more costs as much or more, within the reported gap; the ends differ."""
    fits = [
        fit(clone(estimator).set_params(constraint=EqualizedOdds(**{bound: value})))
        for value in loose_to_tight
    ]
    for loose, tight in itertools.pairwise(fits):
        assert tight.lower_bound_ >= loose.lower_bound_ - 1e-9
        assert tight.cost_ >= loose.cost_ - loose.gap_ - 1e-9
    assert fits[-1].cost_ > fits[0].cost_


# Small whole numbers, many of them zero: any storage holds them exactly.
COUNTS = np.clip(np.round(2 * X), -3, 6).astype(np.int64)
HALVES = np.tile(COUNTS / 2, 2)  # each value in two entries that add up to it
ENTRIES = np.tile(np.arange(COUNTS.shape[1]), 2 * len(COUNTS))
FORMS = {
    "integers": COUNTS,
    "small integers": COUNTS.astype(np.int8),
    "floats": COUNTS.astype(float),
    "negative zeros": np.where(COUNTS == 0, -0.0, COUNTS),
    "Fortran order": np.asfortranarray(COUNTS),
    "lists": COUNTS.tolist(),
    "CSR": sparse.csr_array(COUNTS),
    "CSC matrix": sparse.csc_matrix(COUNTS.astype(float)),
    "coordinates": sparse.coo_array(COUNTS),
    "repeated entries": sparse.csr_array(
        (HALVES.ravel(), ENTRIES, np.arange(len(COUNTS) + 1) * HALVES.shape[1]), COUNTS.shape
    ),
    "data frame": pd.DataFrame(COUNTS),
    "mixed columns": pd.DataFrame(COUNTS).astype({0: float, 1: np.int8}),
}


@each_estimator
@pytest.mark.parametrize("form", FORMS)
def test_storage_of_X_does_not_matter(estimator, form):
    """Dense or sparse, floats or integers: fitted and decided alike."""
    reference = fit(estimator, COUNTS)
    decisions = reference.predict(COUNTS, **groups_for(reference, GROUPS))
    assert has_random_rows(reference, COUNTS) == randomizes(estimator)
    fitted = fit(estimator, FORMS[form])
    assert fitted.cost_ == pytest.approx(reference.cost_, abs=1e-9)
    for one in (reference, fitted):
        np.testing.assert_array_equal(
            one.predict(FORMS[form], **groups_for(one, GROUPS)), decisions
        )


@each_estimator
def test_decision_is_the_same_whatever_rows_come_along(estimator):
    """Any subset and order of rows gives each row the same decision."""
    fitted = fit(estimator)
    assert has_random_rows(fitted) == randomizes(estimator)
    decisions = fitted.predict(X, **groups_for(fitted, GROUPS))
    rows = np.random.default_rng(6).permutation(len(Y))
    for some in (rows, rows[:50], np.repeat(rows[:20], 3), *rows[:40, None]):
        np.testing.assert_array_equal(
            fitted.predict(X[some], **groups_for(fitted, GROUPS[some])), decisions[some]
        )


@each_estimator
def test_decisions_follow_their_probabilities(estimator):
    """Probabilities sum to 1, and a certain decision is taken."""
    fitted = fit(estimator)
    probability = fitted.decision_probability(X, **groups_for(fitted, GROUPS))
    assert probability.shape == (len(Y), 2)
    assert probability.min() >= 0
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=0, atol=1e-15)
    decisions = fitted.predict(X, **groups_for(fitted, GROUPS))
    certain = probability.max(axis=1) == 1
    assert certain.any()
    np.testing.assert_array_equal(
        decisions[certain], fitted.classes_[probability[certain].argmax(axis=1)]
    )


@each_estimator
def test_score_is_the_accuracy_of_decisions(estimator):
    """`score` is the weighted share of correct decisions."""
    fitted = fit(estimator)
    weight = np.random.default_rng(7).uniform(0, 1, len(Y))
    correct = fitted.predict(X, **groups_for(fitted, GROUPS)) == Y
    score = fitted.score(X, Y, **groups_for(fitted, GROUPS), sample_weight=weight)
    assert score == pytest.approx(np.average(correct, weights=weight))


@each_without_scores
def test_no_scores_that_disagree_with_decisions(estimator):
    """There is no `predict_proba` or `decision_function`: scores come from `estimator_`."""
    fitted = fit(estimator)
    assert not hasattr(fitted, "predict_proba")
    assert not hasattr(fitted, "decision_function")


has_a_curve = each(
    {
        name: estimator
        for name, estimator in ESTIMATORS.items()
        if "equalized odds" in name and isinstance(estimator.constraint, EqualizedOdds)
    }
)


@has_a_curve
@pytest.mark.parametrize("random_state", range(4))
def test_curves_have_no_breakpoints_of_rounding(estimator, random_state):
    """Breakpoints are apart, and prices fall: a convex curve has no others."""
    curve = fit(estimator, *make_data(300, random_state)).frontier_
    assert np.diff(curve.knob).min() > 1e-9
    assert (np.diff(curve.price) <= 1e-7).all()


@has_a_curve
def test_price_of_a_bound_is_the_slope_of_the_curve(estimator):
    """What a little more of the bound saves, for every family."""
    fitted = fit(estimator)
    np.testing.assert_allclose(
        fitted.bound_prices_, fitted.frontier_.price_at(fitted.constraint.max_difference + 1e-6)
    )


@each_estimator
def test_a_constraint_that_is_set_changes_no_fitted_number(estimator):
    """Only `fit` and `at` turn the knob; a parameter set afterwards waits for them."""
    fitted = fit(estimator)
    untouched = fit(estimator)
    fitted.set_params(constraint=DemographicParity(max_difference=0.7))
    np.testing.assert_array_equal(fitted.disparity_, untouched.disparity_)
    np.testing.assert_array_equal(fitted.realized_disparity_, untouched.realized_disparity_)
    if randomizes(estimator):
        np.testing.assert_array_equal(fitted.bound_prices_, untouched.bound_prices_)
        for name in ("max_difference", "factor"):
            if hasattr(untouched, "frontier_") and untouched.frontier_.knob_name == name:
                np.testing.assert_array_equal(fitted.frontier_.cost, untouched.frontier_.cost)


class InAColumn(LogisticRegression):
    """Decides in a column, as some wrapped libraries do."""

    def predict(self, X):
        """Return decisions of shape (n_samples, 1)."""
        return super().predict(X)[:, None]


@pytest.mark.parametrize("kind", [GroupThresholdClassifier, ReductionClassifier])
def test_decisions_in_a_column(kind):
    """Learners may return decisions of shape (n_samples, 1)."""
    params = {"tol": 1e-8, "C": 0.1, "solver": "newton-cholesky"}
    constraint = DemographicParity(max_difference=0.1)
    assert_same_rule(
        fit(kind(InAColumn(**params), constraint)), fit(kind(exact_learner(), constraint))
    )


def test_curves_take_several_knobs():
    """A curve gives numbers for a number and arrays for arrays."""
    curve = CostFrontier("max_difference", np.array([0.0, 0.1, 1.0]), np.array([0.3, 0.2, 0.2]))
    np.testing.assert_allclose(curve([0.0, 0.05, 0.5]), [0.3, 0.25, 0.2])
    np.testing.assert_allclose(curve.price_at([0.0, 0.5]), [1.0, 0.0])
    assert isinstance(curve(0.05), float)
    with pytest.raises(ValueError, match=r"max_difference must be in \[0, 1\], got \[0.5, 2.0\]"):
        curve([0.5, 2.0])
