"""Scorers in scikit-learn's own machinery: whole searches over knob and model, with columns and
with routing, in and around pipelines; and the rule that picks the best candidate within a bound.
"""

import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from fairlearnkit import (
    AllOf,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    GroupThresholdClassifier,
    ReductionClassifier,
)
from fairlearnkit.datasets import load_adult, make_group_classification
from fairlearnkit.exceptions import DegenerateGroupWarning, InfeasibleConstraintError
from fairlearnkit.metrics import (
    accuracy_scorer,
    best_within,
    demographic_parity_difference,
    demographic_parity_ratio,
    disparity_scorer,
    equal_opportunity_difference,
    equalized_odds_difference,
)

X, Y, GROUPS = make_group_classification(600, base_rates=(0.6, 0.3), random_state=0)
WITH_GROUP = np.column_stack([X, GROUPS])
WEIGHT = np.random.default_rng(0).uniform(0.5, 2.0, len(Y))
PARITY = DemographicParity()


@pytest.fixture
def routing():
    """Run the test with metadata routing enabled."""
    with config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(scope="module")
def adult():
    """Return 3,000 people of Adult as frame and labels."""
    people, income = load_adult(subset="train", return_X_y=True, as_frame=True)
    rows = np.random.default_rng(0).choice(len(income), 3000, replace=False)
    return people.iloc[rows].reset_index(drop=True), income.iloc[rows].reset_index(drop=True)


def thresholds(constraint=None, estimator=None, **kwargs):
    constraint = DemographicParity(max_difference=0.05) if constraint is None else constraint
    estimator = LogisticRegression() if estimator is None else estimator
    return GroupThresholdClassifier(estimator, constraint, **{"cv": 2, **kwargs})


def encoded(last):
    """Return a pipeline that encodes Adult's columns of text; the sex stays the last column."""
    text = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer(
        (text, ["workclass", "occupation", "relationship", "sex"]),
        (StandardScaler(), make_column_selector(dtype_include="number")),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    return make_pipeline(columns, last)


def by_hand(estimator, frame, y, groups, cv, fit_groups=None):
    """Return expected accuracy and disparity of each fold, from the rows of the fold alone."""
    found = []
    for train, test in StratifiedKFold(cv).split(frame, y):
        rows = getattr(frame, "iloc", frame), getattr(y, "iloc", y)
        given = {} if fit_groups is None else {"sensitive_features": fit_groups[train]}
        fitted = clone(estimator).fit(rows[0][train], rows[1][train], **given)
        given = {} if fit_groups is None else {"sensitive_features": fit_groups[test]}
        probability = fitted.decision_probability(rows[0][test], **given)
        truth = np.asarray(rows[1][test])
        gap = demographic_parity_difference(
            truth, probability, sensitive_features=np.asarray(groups)[test]
        )
        found.append((probability[truth[:, None] == fitted.classes_].mean(), gap))
    return np.transpose(found)


# What a scorer returns


def test_expected_disparity_and_accuracy():
    """Of a randomised rule the scorers take the expectation, not the hashed decisions."""
    clf = thresholds().fit(X, Y, sensitive_features=GROUPS)
    p = clf.decision_probability(X, sensitive_features=GROUPS)
    assert ((p > 0) & (p < 1)).any()
    gap = disparity_scorer(PARITY)(clf, X, Y, sensitive_features=GROUPS)
    assert gap == -demographic_parity_difference(Y, p, sensitive_features=GROUPS)
    accuracy = accuracy_scorer()(clf, X, Y, sensitive_features=GROUPS)
    assert accuracy == pytest.approx(np.where(Y == 1, p[:, 1], p[:, 0]).mean())


def test_any_other_classifier():
    """A classifier without decision probabilities is scored by `predict`, weights included."""
    tree = DecisionTreeClassifier(max_depth=2).fit(X, Y)
    rows = {"sensitive_features": GROUPS, "sample_weight": WEIGHT}
    decided = tree.predict(X)
    gap = disparity_scorer(EqualizedOdds())(tree, X, Y, **rows)
    assert gap == -equalized_odds_difference(Y, decided, **rows)
    accuracy = accuracy_scorer()(tree, X, Y, **rows)
    assert accuracy == pytest.approx(accuracy_score(Y, decided, sample_weight=WEIGHT))


def test_ratios_are_returned_as_they_are():
    """Of a ratio more is better: no sign changes."""
    tree = DecisionTreeClassifier(max_depth=2).fit(X, Y)
    score = disparity_scorer(DemographicParity(min_ratio=0.8))(
        tree, X, Y, sensitive_features=GROUPS
    )
    assert score == demographic_parity_ratio(Y, tree.predict(X), sensitive_features=GROUPS)


def test_positive_label():
    """The scorer's own label counts, else the estimator's, else the larger."""
    labels = np.where(Y == 1, "yes", "no")
    tree = DecisionTreeClassifier(max_depth=2).fit(X, labels)
    rows = X, labels
    groups = {"sensitive_features": GROUPS}

    def gap(pos_label):
        return -equal_opportunity_difference(
            labels, tree.predict(X), pos_label=pos_label, **groups
        )

    assert gap("yes") != gap("no")
    assert disparity_scorer(EqualOpportunity())(tree, *rows, **groups) == gap("yes")
    no = disparity_scorer(EqualOpportunity(), pos_label="no")
    assert no(tree, *rows, **groups) == gap("no")
    clf = thresholds(EqualOpportunity(max_difference=0.0), pos_label="no").fit(*rows, **groups)
    p = clf.decision_probability(X, **groups)
    expected = -equal_opportunity_difference(labels, p, pos_label="no", **groups)
    assert disparity_scorer(EqualOpportunity())(clf, *rows, **groups) == pytest.approx(expected)


def test_a_fold_with_one_label():
    """One label among the rows suffices for selection rates; probabilities stay in order."""
    labels = np.where(Y == 1, "yes", "no")
    clf = thresholds().fit(X, labels, sensitive_features=GROUPS)
    no = labels == "no"
    p = clf.decision_probability(X[no], sensitive_features=GROUPS[no])[:, 1]
    gap = disparity_scorer(PARITY)(clf, X[no], labels[no], sensitive_features=GROUPS[no])
    means = [p[GROUPS[no] == g].mean() for g in (0, 1)]
    assert gap == pytest.approx(-abs(means[0] - means[1]))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda clf: make_pipeline(FunctionTransformer(np.negative), clf),
        lambda clf: make_pipeline(make_pipeline(FunctionTransformer(np.negative), clf)),
        lambda clf: make_pipeline(FunctionTransformer(np.negative), FrozenEstimator(clf)),
        lambda clf: FrozenEstimator(make_pipeline(FunctionTransformer(np.negative), clf)),
        lambda clf: make_pipeline(FunctionTransformer(np.negative), "passthrough", clf),
    ],
)
def test_decision_probabilities_come_through_pipelines(wrap):
    """A pipeline shows no decision probabilities: X goes through its steps to the one that has."""
    clf = thresholds().fit(X, Y, sensitive_features=GROUPS)
    for scorer in (disparity_scorer(PARITY), accuracy_scorer()):
        alone = scorer(clf, X, Y, sensitive_features=GROUPS)
        assert scorer(wrap(clf), -X, Y, sensitive_features=GROUPS) == pytest.approx(alone)


def test_groups_of_scorer_and_estimator_may_differ():
    """A rule by one column is scored by another: each takes its own."""
    age = (X[:, 0] > 0).astype(int)
    both = np.column_stack([X, GROUPS, age])
    clf = thresholds(sensitive_columns=2).fit(both[:, [0, 1, -2, -1]], Y)
    rows = both[:, [0, 1, -2, -1]]
    p = clf.decision_probability(rows)
    gap = disparity_scorer(PARITY, sensitive_columns=3)(clf, rows, Y)
    assert gap == -demographic_parity_difference(Y, p, sensitive_features=age)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("request_", [True, False])
def test_an_explicit_request_is_kept(request_):
    """With routing, what `predict` requests decides whether it is passed the groups."""
    clf = thresholds(sensitive_columns=-1).set_predict_request(sensitive_features=request_)
    clf.fit(WITH_GROUP, Y)
    scorer = accuracy_scorer()
    swapped = scorer(clf, WITH_GROUP, Y, sensitive_features=1 - GROUPS)
    assert (swapped == scorer(clf, WITH_GROUP, Y)) is not request_


@pytest.mark.usefixtures("routing")
def test_strata_by_routing():
    """Scorers pass strata on to decisions that need them; groups are compared over all rows."""
    stratum = np.where(np.arange(len(Y)) % 2, "u", "v")
    known = {"sensitive_features": GROUPS, "control_features": stratum}
    asked = dict.fromkeys(known, True)
    search = GridSearchCV(
        thresholds().set_fit_request(**asked),
        {"constraint__max_difference": [0.0, 0.2]},
        cv=2,
        scoring={"accuracy": accuracy_scorer(), "disparity": disparity_scorer(PARITY)},
        refit="disparity",
        error_score="raise",
    )
    search.fit(X, Y, **known)
    for fold, (train, test) in enumerate(StratifiedKFold(2).split(X, Y)):
        given, held_out = ({k: v[rows] for k, v in known.items()} for rows in (train, test))
        clf = thresholds(DemographicParity(max_difference=0.0)).fit(X[train], Y[train], **given)
        p = clf.decision_probability(X[test], **held_out)
        gap = demographic_parity_difference(Y[test], p, sensitive_features=GROUPS[test])
        assert search.cv_results_[f"split{fold}_test_disparity"][0] == -gap
        right = p[np.arange(len(test)), Y[test]].mean()
        assert search.cv_results_[f"split{fold}_test_accuracy"][0] == pytest.approx(right)
    reduction = ReductionClassifier(LogisticRegression(), DemographicParity(max_difference=0.1))
    found = cross_validate(
        reduction.set_fit_request(**asked),
        X,
        Y,
        cv=2,
        scoring=disparity_scorer(PARITY),
        params=known,
        error_score="raise",
    )
    assert np.isfinite(found["test_score"]).all()


# Whole searches


def test_search_with_columns(adult):
    """Knob and model are searched together, and each fold's scores are those by hand."""
    people, income = adult
    search = GridSearchCV(
        encoded(
            thresholds(sensitive_columns="sex", estimator=DecisionTreeClassifier(random_state=0))
        ),
        {
            "groupthresholdclassifier__constraint__max_difference": [0.0, 0.1, 1.0],
            "groupthresholdclassifier__estimator__max_depth": [2, 5],
        },
        cv=3,
        scoring={
            "accuracy": accuracy_scorer(),
            "disparity": disparity_scorer(PARITY, sensitive_columns="sex"),
            # Those of the last step, which sees X later.
            "own": disparity_scorer(PARITY),
        },
        refit=best_within(0.12),
        error_score="raise",
    )
    search.fit(people, income)
    results = search.cv_results_
    np.testing.assert_array_equal(results["mean_test_own"], results["mean_test_disparity"])
    for i in (0, 3):
        steps = clone(search.estimator).set_params(**results["params"][i])
        for fold, (train, test) in enumerate(StratifiedKFold(3).split(people, income)):
            fitted = clone(steps).fit(people.iloc[train], income.iloc[train])
            rows = fitted[:-1].transform(people.iloc[test])
            p = fitted[-1].decision_probability(rows)
            gap = demographic_parity_difference(
                income.iloc[test], p, sensitive_features=people["sex"].iloc[test]
            )
            assert results[f"split{fold}_test_disparity"][i] == pytest.approx(-gap)
    within = results["mean_test_disparity"] >= -0.12
    assert within.any()
    assert not within.all()
    best = np.flatnonzero(within)[results["mean_test_accuracy"][within].argmax()]
    assert search.best_index_ == best
    assert search.best_params_ == results["params"][best]


@pytest.mark.usefixtures("routing")
def test_search_with_routing(adult):
    """With routing the groups go to fit, to the scorers, and by these to each prediction."""
    people, income = adult
    numbers = people.select_dtypes("number").to_numpy()
    sex = people["sex"].to_numpy()
    clf = thresholds(estimator=DecisionTreeClassifier(random_state=0)).set_fit_request(
        sensitive_features=True
    )
    search = GridSearchCV(
        clf,
        {"constraint__max_difference": [0.0, 1.0], "estimator__max_depth": [2, 4]},
        cv=2,
        scoring={"accuracy": accuracy_scorer(), "disparity": disparity_scorer(PARITY)},
        refit=best_within(0.1),
        error_score="raise",
    )
    search.fit(numbers, income, sensitive_features=sex)
    results = search.cv_results_
    for i in (0, 3):
        candidate = clone(clf).set_params(**results["params"][i])
        accuracy, gap = by_hand(candidate, numbers, income.to_numpy(), sex, 2, fit_groups=sex)
        for fold in range(2):
            assert results[f"split{fold}_test_accuracy"][i] == pytest.approx(accuracy[fold])
            assert results[f"split{fold}_test_disparity"][i] == pytest.approx(-gap[fold])
    assert search.best_params_["constraint__max_difference"] == 0.0


@pytest.mark.usefixtures("routing")
def test_cross_validation_with_routing_through_a_pipeline():
    """A pipeline routes groups and weights to the last step, and the scorers to the same."""
    last = thresholds().set_fit_request(sensitive_features=True)
    scorer = disparity_scorer(PARITY).set_score_request(
        sensitive_features=True, sample_weight="weight_in_score"
    )
    found = cross_validate(
        make_pipeline(StandardScaler(), last),
        X,
        Y,
        cv=2,
        scoring=scorer,
        params={"sensitive_features": GROUPS, "weight_in_score": WEIGHT},
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    for k, (fitted, test) in enumerate(
        zip(found["estimator"], found["indices"]["test"], strict=True)
    ):
        rows = fitted[0].transform(X[test])
        p = fitted[-1].decision_probability(rows, sensitive_features=GROUPS[test])
        gap = demographic_parity_difference(
            Y[test], p, sensitive_features=GROUPS[test], sample_weight=WEIGHT[test]
        )
        assert found["test_score"][k] == pytest.approx(-gap)


def test_around_a_pipeline():
    """An estimator around a pipeline is scored like any other."""
    clf = thresholds(
        estimator=make_pipeline(StandardScaler(), LogisticRegression()), sensitive_columns=-1
    )
    scorer = disparity_scorer(PARITY, sensitive_columns=-1)
    found = cross_val_score(clf, WITH_GROUP, Y, cv=3, scoring=scorer, error_score="raise")
    np.testing.assert_allclose(found, -by_hand(clf, WITH_GROUP, Y, GROUPS, 3)[1])


def test_reductions():
    """A reduction decides without groups; the scorer still compares them."""
    clf = ReductionClassifier(
        LogisticRegression(), DemographicParity(max_difference=0.02), sensitive_columns=-1
    )
    scorer = disparity_scorer(PARITY, sensitive_columns=-1)
    found = cross_val_score(clf, WITH_GROUP, Y, cv=2, scoring=scorer, error_score="raise")
    np.testing.assert_allclose(found, -by_hand(clf, WITH_GROUP, Y, GROUPS, 2)[1])


def test_nested_search():
    """A search inside a cross-validation is scored by its best estimator's probabilities."""
    scorer = disparity_scorer(PARITY, sensitive_columns=-1)
    search = GridSearchCV(
        thresholds(sensitive_columns=-1),
        {"constraint__max_difference": [0.0, 0.3]},
        cv=2,
        scoring=scorer,
    )
    found = cross_validate(
        make_pipeline(FunctionTransformer(), search),
        WITH_GROUP,
        Y,
        cv=2,
        scoring=scorer,
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    for k, test in enumerate(found["indices"]["test"]):
        best = found["estimator"][k][-1].best_estimator_
        p = best.decision_probability(WITH_GROUP[test])
        gap = demographic_parity_difference(Y[test], p, sensitive_features=GROUPS[test])
        assert found["test_score"][k] == pytest.approx(-gap)


def test_halving_search():
    """Halving, which takes one score, finds the most equal knob."""
    search = HalvingGridSearchCV(
        thresholds(sensitive_columns=-1),
        {"constraint__max_difference": [0.0, 0.5, 1.0]},
        cv=2,
        scoring=disparity_scorer(PARITY, sensitive_columns=-1),
        min_resources=150,
        error_score="raise",
        random_state=0,
    )
    search.fit(WITH_GROUP, Y)
    assert search.best_params_ == {"constraint__max_difference": 0.0}


def test_scores_in_parallel():
    """Scorers travel to other processes."""
    scorer = disparity_scorer(PARITY, sensitive_columns=-1)
    run = {"cv": 2, "scoring": scorer, "error_score": "raise"}
    clf = thresholds(sensitive_columns=-1)
    there = cross_val_score(clf, WITH_GROUP, Y, n_jobs=2, **run)
    np.testing.assert_array_equal(there, cross_val_score(clf, WITH_GROUP, Y, **run))


def test_a_search_with_weights():
    """Weights that a search is fitted with count in both scores, if it passes them on."""
    scoring = {
        "accuracy": accuracy_scorer(),
        "gap": disparity_scorer(PARITY, sensitive_columns=-1),
    }
    search = GridSearchCV(
        thresholds(sensitive_columns=-1),
        {"estimator__C": [1.0]},
        cv=2,
        scoring=scoring,
        refit="gap",
    )
    search.fit(WITH_GROUP, Y, sample_weight=WEIGHT)
    is_passed_on = hasattr(search, "_check_scorers_accept_sample_weight")
    for fold, (train, test) in enumerate(StratifiedKFold(2).split(WITH_GROUP, Y)):
        clf = clone(search.estimator).fit(WITH_GROUP[train], Y[train], sample_weight=WEIGHT[train])
        weight = WEIGHT[test] if is_passed_on else None
        for name, scorer in scoring.items():
            expected = scorer(clf, WITH_GROUP[test], Y[test], sample_weight=weight)
            assert search.cv_results_[f"split{fold}_test_{name}"][0] == pytest.approx(expected)


# What scikit-learn asks of a scorer


@pytest.mark.parametrize(
    "made",
    [
        disparity_scorer(EqualizedOdds(min_ratio=0.8), sensitive_columns=["a", "b"]),
        disparity_scorer(DemographicParity(), pos_label="no", missing="group"),
        accuracy_scorer(sensitive_columns="a"),
        best_within(0.05, score="s"),
        best_within(min_ratio=0.8),
    ],
    ids=repr,
)
def test_clones_pickles_and_prints(made):
    """A clone and a copy are equal to what they came from, and all print as their call."""
    names = {
        f.__name__: f
        for f in (disparity_scorer, accuracy_scorer, best_within, EqualizedOdds, DemographicParity)
    }
    for other in (clone(made), pickle.loads(pickle.dumps(made)), eval(repr(made), names)):
        assert type(other) is type(made)
        assert other.get_params() == made.get_params()


@pytest.mark.usefixtures("routing")
def test_requests_are_kept_in_clones():
    """Groups and strata are requested by default; other requests can be set and are kept."""
    scorer = disparity_scorer(PARITY)
    assert scorer.get_metadata_routing().score.requests == {
        "sensitive_features": True,
        "control_features": True,
        "sample_weight": None,
    }
    scorer.set_score_request(sensitive_features="sex", sample_weight=True)
    for other in (scorer, clone(scorer), pickle.loads(pickle.dumps(scorer))):
        assert other.get_metadata_routing().score.requests == {
            "sensitive_features": "sex",
            "control_features": True,
            "sample_weight": True,
        }


# The rule


def results(accuracy, disparity, **others):
    params = [{"knob": i} for i in range(len(accuracy))]
    return {"params": params, "mean_test_accuracy": accuracy, "mean_test_disparity": disparity}


def test_best_within():
    """The best score within the bound wins; of equal ones the more equal, then the first."""
    found = results([0.9, 0.8, 0.85, 0.85, 0.85], [-0.2, -0.0, -0.1, -0.05, -0.05])
    assert best_within(0.1)(found) == 3
    assert best_within(0.2)(found) == 0
    assert best_within(0.01)(found) == 1
    # A bound met up to the rounding of a mean.
    assert best_within(0.3)(results([0.9, 0.8], [-(0.1 + 0.2), -0.0])) == 0


def test_best_within_ratios():
    """With ratios the bound is a floor."""
    found = results([0.9, 0.8, 0.85], [0.3, 1.0, 0.8])
    assert best_within(min_ratio=0.8)(found) == 2
    with pytest.raises(InfeasibleConstraintError, match=r"within min_ratio=1.*has 0\.8 "):
        best_within(min_ratio=1.0)(results([0.9, 0.85], [0.3, 0.8]))


def test_best_within_ignores_failed_candidates():
    """A candidate without a score or disparity cannot win."""
    found = results([np.nan, 0.99, 0.7], [-0.0, np.nan, -0.01])
    assert best_within(0.1)(found) == 2


def test_nothing_within():
    """Where no candidate is within the bound, the error says which came closest."""
    with pytest.raises(InfeasibleConstraintError, match=r"0\.01.*'knob': 1.*0\.03.*0\.8"):
        best_within(0.01)(results([0.9, 0.8], [-0.2, -0.03]))
    with pytest.raises(InfeasibleConstraintError, match="NaN"):
        best_within(0.01)(results([0.9], [np.nan]))
    # A candidate without a score is not the closest; where none has both, folds may be why.
    with pytest.raises(InfeasibleConstraintError, match=r"'knob': 1.*0\.2"):
        best_within(0.01)(results([np.nan, 0.8], [-0.02, -0.2]))
    with pytest.raises(InfeasibleConstraintError, match="of 2 candidates 1 have 'accuracy' NaN"):
        best_within(0.01)(results([np.nan, 0.8], [-0.02, np.nan]))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "exactly one"),
        ({"max_difference": 0.1, "min_ratio": 0.8}, "exactly one"),
        ({"max_difference": -0.1}, r"max_difference must be in \[0, 1\], got -0.1"),
        ({"min_ratio": "0.8"}, r"min_ratio must be in \[0, 1\], got '0.8'"),
        ({"max_difference": True}, r"must be in \[0, 1\], got True"),
    ],
)
def test_bad_bounds(arguments, match):
    """A rule has one bound, in [0, 1]."""
    with pytest.raises(ValueError, match=match):
        best_within(**arguments)


def test_scores_of_the_wrong_kind():
    """Names that are not there, and ratios where differences are bounded, are told."""
    with pytest.raises(ValueError, match=r"'accuracy', got \['score'\]"):
        best_within(0.1)({"params": [{}], "mean_test_score": [0.5]})
    with pytest.raises(ValueError, match=r"max_difference bounds.*are 0\.8 to 0\.9.*min_ratio="):
        best_within(0.1)(results([0.5, 0.5], [0.8, 0.9]))
    with pytest.raises(ValueError, match=r"min_ratio bounds.*criterion"):
        best_within(min_ratio=0.1)(results([0.5], [-0.2]))


# Bad input


def test_no_groups():
    """Without groups there is no disparity, and the message says how to give them."""
    clf = DummyClassifier().fit(X, Y)
    with pytest.raises(ValueError, match="sensitive_columns= to column names"):
        disparity_scorer(PARITY)(clf, X, Y)


def test_bad_criterion():
    """A scorer needs one number: a name, or several criteria, is an error when it is made."""
    with pytest.raises(ValueError, match="criterion must be a criterion"):
        disparity_scorer("demographic_parity")
    with pytest.raises(ValueError, match="one scorer for each"):
        disparity_scorer(AllOf([DemographicParity(), EqualizedOdds()]))


def test_other_labels():
    """Labels that the classifier does not know are an error that names them."""
    clf = DummyClassifier().fit(X, Y)
    with pytest.raises(ValueError, match=r"\[0, 1\], got \[1, 2\]"):
        accuracy_scorer()(clf, X, Y + 1)


def test_one_group_in_a_fold():
    """A fold with one group has no disparity: NaN, with a warning."""
    clf = DummyClassifier().fit(X, Y)
    with pytest.warns(DegenerateGroupWarning, match="one group only"):
        assert np.isnan(disparity_scorer(PARITY)(clf, X, Y, sensitive_features=np.zeros(len(Y))))
