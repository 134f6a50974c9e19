"""Frontiers on held-out folds: what is measured, how a knob is chosen, how methods compare."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, make_scorer, recall_score
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from fairlearnkit import (
    AllOf,
    ConstrainedLogisticRegression,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    GroupThresholdClassifier,
    ParetoFrontier,
    ReductionClassifier,
    compare_frontiers,
    fairness_frontier,
)
from fairlearnkit.datasets import load_adult, make_group_classification
from fairlearnkit.exceptions import DegenerateGroupWarning
from fairlearnkit.metrics import disparity

KNOBS = [0.0, 0.03, 0.1]
X, Y, GROUPS = make_group_classification(900, base_rates=(0.6, 0.3), random_state=0)
FOLDS = StratifiedKFold(3)


def thresholds(constraint=None, **parameters):
    constraint = EqualizedOdds(max_difference=0.05) if constraint is None else constraint
    return GroupThresholdClassifier(LogisticRegression(), constraint, cv=3, **parameters)


def measured(estimator=None, **options):
    options = {"max_differences": KNOBS, "cv": FOLDS, "sensitive_features": GROUPS} | options
    return fairness_frontier(thresholds() if estimator is None else estimator, X, Y, **options)


FRONTIER = measured()


def by_hand(fit_at, criterion, weight=None):
    """Return expected accuracy and disparity by fold and knob, one fit at a time."""
    scores, gaps = [], []
    for train, test in FOLDS.split(X, Y):
        tested = None if weight is None else weight[test]
        rules = [fit_at(knob, train) for knob in KNOBS]
        chosen = [r.decision_probability(X[test], sensitive_features=GROUPS[test]) for r in rules]
        right = [p[np.arange(len(test)), Y[test]] for p in chosen]
        scores.append([np.average(r, weights=tested) for r in right])
        of_test = {"sensitive_features": GROUPS[test], "sample_weight": tested}
        gaps.append([disparity(criterion, Y[test], p, **of_test) for p in chosen])
    return np.array(scores), np.array(gaps)


@pytest.mark.parametrize("weighted", [False, True])
def test_measures_every_knob_on_every_fold(weighted):
    """Scores and disparities are those of a fresh fit at each knob on each training fold."""
    weight = np.random.default_rng(0).uniform(0.5, 2, len(Y)) if weighted else None

    def fit_at(knob, train):
        estimator = thresholds(EqualizedOdds(max_difference=knob))
        w = None if weight is None else weight[train]
        return estimator.fit(X[train], Y[train], sensitive_features=GROUPS[train], sample_weight=w)

    scores, gaps = by_hand(fit_at, EqualizedOdds(), weight)
    found = measured(sample_weight=weight)

    np.testing.assert_allclose(found.fold_scores, scores, atol=1e-9)
    np.testing.assert_allclose(found.fold_disparities, gaps, atol=1e-9)
    np.testing.assert_allclose(found.score, scores.mean(axis=0), atol=1e-9)
    # three folds; test rows are half as many as training rows
    error = np.sqrt((1 / 3 + 1 / 2) * gaps.var(axis=0, ddof=1))
    np.testing.assert_allclose(found.disparity_error, error, atol=1e-6)


def test_turning_equals_refitting():
    """The curve from one fit per fold is that of a fit at each knob, for exact thresholds."""
    refitted = measured(knob="constraint__max_difference", knob_values=KNOBS, max_differences=None)
    np.testing.assert_allclose(refitted.fold_scores, FRONTIER.fold_scores, atol=1e-9)
    np.testing.assert_allclose(refitted.disparities, FRONTIER.disparities, atol=1e-9)
    np.testing.assert_allclose(refitted.base_fold_scores, FRONTIER.base_fold_scores)
    assert refitted.folds == FRONTIER.folds
    assert refitted.knob_name == "max_difference"


def test_turning_equals_refitting_within_gaps():
    """Reductions: both are within `tol` of the optimum, and on many new rows about as near."""
    X, y, groups = make_group_classification(4000, base_rates=(0.6, 0.3), random_state=0)
    estimator = ReductionClassifier(LogisticRegression(), EqualizedOdds(max_difference=0.05))
    options = {"sensitive_features": groups, "max_differences": [0.02, 0.1], "cv": 2}

    turned = fairness_frontier(estimator, X, y, **options)
    refitted = fairness_frontier(estimator, X, y, knob="constraint__max_difference", **options)

    np.testing.assert_allclose(turned.score, refitted.score, atol=3e-3)
    np.testing.assert_allclose(turned.disparity, refitted.disparity, atol=2e-2)
    np.testing.assert_allclose(turned.base_fold_scores, refitted.base_fold_scores)


def test_base_model_is_measured_on_the_same_folds():
    """The reference is the wrapped model as it decides by itself."""
    for f, (train, test) in enumerate(FOLDS.split(X, Y)):
        decided = LogisticRegression().fit(X[train], Y[train]).predict(X[test])
        gap = disparity(EqualizedOdds(), Y[test], decided, sensitive_features=GROUPS[test])
        assert FRONTIER.base_fold_scores[f] == pytest.approx(accuracy_score(Y[test], decided))
        assert FRONTIER.base_fold_disparities[f] == pytest.approx(gap)


def test_several_criteria():
    """All criteria are measured; the first is the axis, and an `AllOf` is its parts."""
    criteria = [DemographicParity(), AllOf([EqualizedOdds(), DemographicParity(min_ratio=0.8)])]

    found = measured(criteria=criteria)

    assert found.disparities.shape == (3, 3, len(KNOBS))
    np.testing.assert_allclose(found.disparities[1], FRONTIER.fold_disparities)
    assert found.criterion == DemographicParity()
    assert found.to_frame().columns[-1] == "demographic parity ratio"


@pytest.mark.parametrize(
    ("scoring", "expected"),
    [
        ("balanced_accuracy", lambda tpr, tnr, share: (tpr + tnr) / 2),
        (
            "neg_mean_cost",
            lambda tpr, tnr, share: -3 * share * (1 - tpr) - (1 - share) * (1 - tnr),
        ),
    ],
)
def test_expected_scores(scoring, expected):
    """Scores that follow from rates are computed from probabilities, costs being the rule's."""
    estimator = thresholds(costs={"fp": 1.0, "fn": 3.0})
    found = measured(estimator, scoring=scoring, max_differences=[0.05])
    for f, (train, test) in enumerate(FOLDS.split(X, Y)):
        rule = clone(estimator).fit(X[train], Y[train], sensitive_features=GROUPS[train])
        p = rule.decision_probability(X[test], sensitive_features=GROUPS[test])[:, 1]
        tpr, tnr = p[Y[test] == 1].mean(), 1 - p[Y[test] == 0].mean()
        assert found.fold_scores[f, 0] == pytest.approx(expected(tpr, tnr, Y[test].mean()))


@pytest.mark.parametrize("scoring", ["f1", make_scorer(f1_score)])
def test_other_scores_see_decisions(scoring):
    """Any other scorer is given what `predict` says, and such a frontier has no mixtures."""
    found = measured(scoring=scoring, max_differences=[0.05])
    train, test = next(FOLDS.split(X, Y))
    rule = thresholds().fit(X[train], Y[train], sensitive_features=GROUPS[train])
    decided = rule.predict(X[test], sensitive_features=GROUPS[test])
    assert found.fold_scores[0, 0] == pytest.approx(f1_score(Y[test], decided))
    with pytest.raises(ValueError, match="linear in the decisions"):
        found.interpolate(0.1)
    with pytest.raises(ValueError, match="needs reference"):
        found.hypervolume()
    assert found.hypervolume(reference=(1.0, 0.0)) > 0


# ---------------------------------------------------------------------------------------------
# Where groups come from


def framed():
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    frame["group"] = np.asarray(GROUPS)
    return frame


def test_groups_from_columns():
    """Columns of X say the groups, hidden from the learner or not."""
    for drop in (False, True):
        estimator = thresholds(sensitive_columns="group", drop_sensitive=drop)
        found = fairness_frontier(estimator, framed(), Y, max_differences=KNOBS, cv=FOLDS)
        if drop:
            np.testing.assert_allclose(found.fold_scores, FRONTIER.fold_scores)
            np.testing.assert_allclose(found.base_fold_scores, FRONTIER.base_fold_scores)
        np.testing.assert_allclose(found.score, FRONTIER.score, atol=0.05)
        assert not np.isnan(found.disparity).any()


def test_pipeline_is_turned_after_one_fit():
    """A pipeline that ends in an estimator of this package is fitted once per fold."""
    scaled = make_pipeline(StandardScaler(), thresholds())
    found = measured(scaled)
    refitted = measured(scaled, knob="groupthresholdclassifier__constraint__max_difference")
    np.testing.assert_allclose(found.fold_scores, refitted.fold_scores, atol=1e-9)
    np.testing.assert_allclose(found.base_fold_scores, refitted.base_fold_scores)

    chosen = found.select(max_disparity=1.0).estimator

    assert isinstance(chosen, Pipeline)
    knob = found.select(max_disparity=1.0, refit=False).knob
    alone = make_pipeline(StandardScaler(), thresholds(EqualizedOdds(max_difference=knob)))
    alone.fit(X, Y, groupthresholdclassifier__sensitive_features=GROUPS)
    given = {"sensitive_features": GROUPS}
    np.testing.assert_array_equal(chosen.predict(X, **given), alone.predict(X, **given))


def test_columns_of_a_pipeline_are_those_of_its_last_step():
    """Behind a transformer, columns count as it leaves them."""
    columns = make_column_transformer(
        (StandardScaler(), [f"x{j}" for j in range(X.shape[1])]),
        ("passthrough", ["group"]),
    )
    last = thresholds(sensitive_columns=X.shape[1], drop_sensitive=True)
    frame = framed()
    frame["group"] = np.unique(frame["group"], return_inverse=True)[1]
    found = fairness_frontier(make_pipeline(columns, last), frame, Y, max_differences=KNOBS, cv=3)
    reference = measured(make_pipeline(StandardScaler(), thresholds()), cv=3)
    np.testing.assert_allclose(found.fold_scores, reference.fold_scores, atol=1e-9)
    np.testing.assert_allclose(found.disparities, reference.disparities, atol=1e-9)


def test_named_groups_keep_their_names():
    """A chosen estimator knows the columns of a dict by name, as after any fit."""
    named = {"group": GROUPS, "half": np.arange(len(Y)) % 2}
    found = measured(sensitive_features=named)
    np.testing.assert_array_equal(
        found.disparity, measured(sensitive_features=pd.DataFrame(named)).disparity
    )
    chosen = found.select(max_disparity=1.0).estimator
    np.testing.assert_array_equal(
        chosen.predict(X, sensitive_features={"half": named["half"], "group": GROUPS}),
        chosen.predict(X, sensitive_features=named),
    )


def test_estimators_of_others_are_handed_columns_as_arrays():
    """A dict of columns is ours: whoever else takes groups gets what has rows."""
    handed = []

    class Curious(LogisticRegression):
        def fit(self, X, y, sensitive_features, sample_weight=None):
            handed.append(sensitive_features)
            return super().fit(X, y, sample_weight)

    named = {"group": GROUPS, "half": np.arange(len(Y)) % 2}
    options = {"knob": "C", "knob_values": [0.1, 1.0], "max_differences": None}
    options |= {"criteria": DemographicParity()}
    measured(Curious(), sensitive_features=named, **options)
    train = next(FOLDS.split(X, Y))[0]
    expected = np.column_stack([column[train] for column in named.values()])
    np.testing.assert_array_equal(handed[0], expected)


def test_strata():
    """Groups are compared within each stratum, as the estimator compares them."""
    stratum = np.arange(len(Y)) % 2
    found = measured(thresholds(DemographicParity(max_difference=0.1)), control_features=stratum)
    train, test = next(FOLDS.split(X, Y))
    rule = thresholds(DemographicParity(max_difference=0.1)).fit(
        X[train], Y[train], sensitive_features=GROUPS[train], control_features=stratum[train]
    )
    p = rule.decision_probability(
        X[test], sensitive_features=GROUPS[test], control_features=stratum[test]
    )
    gaps = [
        disparity(DemographicParity(), Y[test][s], p[s], sensitive_features=GROUPS[test][s])
        for s in (stratum[test] == 0, stratum[test] == 1)
    ]
    assert found.fold_disparities[0, -1] == pytest.approx(max(gaps))


def test_rows_without_weight_do_not_count():
    """A group without weight is as if its rows were not there, in tests as in fits."""
    groups = np.asarray(GROUPS).astype(object)
    groups[::7] = "third"
    weight = (groups != "third").astype(float)
    with pytest.warns(DegenerateGroupWarning, match="third have sample_weight 0"):
        found = measured(sensitive_features=groups, sample_weight=weight)
    assert not np.isnan(found.disparity).any()
    np.testing.assert_allclose(found.disparity, FRONTIER.disparity, atol=0.1)


def test_a_learner_without_weights_says_so():
    """Weights that a fit cannot take are not dropped in silence."""

    def neighbours(estimator, value):
        return estimator.set_params(n_neighbors=int(value))

    options = {"criteria": DemographicParity(), "sample_weight": np.ones(len(Y))}
    with pytest.warns(UserWarning, match="does not take sample_weight"):
        measured(
            KNeighborsClassifier(),
            knob=neighbours,
            knob_values=[3],
            max_differences=None,
            **options,
        )


def test_string_labels_and_positive_label():
    """Labels may be words, and the positive one either of them."""
    words = np.array(["yes", "no"])[Y]
    found = fairness_frontier(
        thresholds(pos_label="no"),
        X,
        words,
        max_differences=KNOBS,
        cv=KFold(3),
        sensitive_features=GROUPS,
    )
    reference = measured(cv=KFold(3))
    np.testing.assert_allclose(found.fold_scores, reference.fold_scores, atol=1e-6)
    np.testing.assert_allclose(found.disparities, reference.disparities, atol=1e-6)


# ---------------------------------------------------------------------------------------------
# Knobs


def test_default_knobs_start_at_the_noise_floor(capsys):
    """From what equal rates would show on all rows past the plain model to no bound at all."""
    found = measured(max_differences=None, verbose=1)

    assert len(found) == 21
    assert found.knob[-5] == pytest.approx(found.base_disparity)
    assert found.knob[-1] == 1.0
    # Folds have a third of the rows: differences there are about √3 times as large.
    assert found.noise_floor / found.knob[0] == pytest.approx(np.sqrt(3), rel=0.15)
    assert "noise floor of all rows" in repr(found)
    printed = capsys.readouterr().out
    assert "21 knobs, max_difference from the noise floor" in printed
    assert "fold 3 of 3: 21 knobs" in printed


def test_noise_floor_is_what_equal_rules_show():
    """Decisions at random, equal between groups, show the noise floor on average."""
    rng = np.random.default_rng(0)
    shown = []
    for _ in range(100):
        decided = rng.random(len(Y)) < 0.45
        for _, test in FOLDS.split(X, Y):
            shown.append(
                disparity(
                    DemographicParity(),
                    Y[test],
                    decided[test].astype(int),
                    sensitive_features=GROUPS[test],
                )
            )
    found = measured(thresholds(DemographicParity(max_difference=0.1)))
    assert found.noise_floor == pytest.approx(np.mean(shown), rel=0.15)


def test_ratios():
    """Under a ratio the knob is `min_ratio`, larger is more equal, and mixtures are searched."""
    found = measured(thresholds(DemographicParity(min_ratio=0.8)), max_differences=None)
    assert found.knob_name == "min_ratio"
    assert found.knob[4] == pytest.approx(found.base_disparity)
    assert found.knob[0] == pytest.approx(0.0)
    assert found.noise_floor < found.knob[-1] < 1
    assert found.disparity[-1] > found.disparity[0]
    assert found.non_dominated[found.disparity.argmax()]
    chosen = found.select(min_ratio=0.7)
    assert found.disparity[chosen.index] >= 0.7
    assert chosen.estimator.constraint == DemographicParity(min_ratio=chosen.knob)
    assert found.interpolate(0.7) >= chosen.score
    assert found.hypervolume() > 0
    with pytest.raises(ValueError, match="select by min_ratio"):
        found.select(max_disparity=0.1)
    with pytest.raises(ValueError, match="differences only"):
        found.price(0.7)


def test_default_knobs_of_a_ratio_that_is_refitted():
    """They run from no bound to the noise floor, as where they are turned."""
    estimator = thresholds(DemographicParity(min_ratio=0.8))
    found = measured(estimator, knob="constraint__min_ratio", max_differences=None)
    turned = measured(estimator, max_differences=None)
    assert len(found) == 9
    np.testing.assert_allclose(found.knob[[0, 2, -1]], turned.knob[[0, 4, -1]], atol=1e-12)


def test_another_form_of_bound():
    """Ratios may be asked of an estimator whose constraint has a difference."""
    found = measured(max_differences=None, min_ratios=[0.5, 0.9])
    assert found.knob_name == "min_ratio"
    assert found.is_ratio


def test_all_of_turns_by_a_factor():
    """Several criteria turn together; at factor 1 they are as given, ratios never change."""
    both = AllOf([EqualOpportunity(max_difference=0.05), DemographicParity(min_ratio=0.5)])
    found = measured(thresholds(both), max_differences=None, knob_values=[0.5, 1.0])
    train, test = next(FOLDS.split(X, Y))
    rule = thresholds(both).fit(X[train], Y[train], sensitive_features=GROUPS[train])
    p = rule.decision_probability(X[test], sensitive_features=GROUPS[test])
    gaps = disparity(both, Y[test], p, sensitive_features=GROUPS[test])
    np.testing.assert_allclose(found.disparities[:, 0, 1], gaps, atol=1e-6)
    turned = found.select(max_disparity=1.0).estimator.constraint.criteria
    assert turned[0].max_difference in (0.025, 0.05)
    assert turned[1].min_ratio == 0.5
    default = measured(thresholds(both), max_differences=None)
    assert default.knob_name == "factor"
    assert default.knob[-5] * 0.05 == pytest.approx(default.base_disparity)
    assert default.knob[-1] * 0.05 == pytest.approx(1.0)
    assert "equal opportunity difference over its bound" in default.note


def test_default_knobs_reach_the_rule_without_a_bound():
    """What no bound holds back may be less equal than the plain model: knobs go that far."""
    estimator = thresholds(DemographicParity(max_difference=0.1), costs={"fp": 1.0, "fn": 2.0})
    found = measured(estimator, max_differences=None, scoring="neg_mean_cost")
    free = measured(estimator, max_differences=[1.0], scoring="neg_mean_cost")
    assert found.disparity[-1] == pytest.approx(free.disparity[0])
    assert found.disparity[-1] > found.base_disparity


def test_an_estimator_that_wraps_no_model():
    """Its model without a constraint is itself with nothing bounded."""
    estimator = ConstrainedLogisticRegression(DemographicParity(max_difference=0.1))
    found = measured(estimator, max_differences=None)
    np.testing.assert_allclose(found.base_fold_scores, found.fold_scores[:, -1])
    np.testing.assert_allclose(found.base_fold_disparities, found.fold_disparities[:, -1])
    assert found.knob[-1] == 1.0


@pytest.mark.parametrize(
    "options",
    [{}, {"knob": "constraint__max_difference", "knob_values": KNOBS, "max_differences": None}],
)
def test_plain_model_of_bounded_scores(options):
    """Where mean scores are bounded, not decisions, the plain model is still without a bound."""
    X, y, groups = make_group_classification(
        900, base_rates=(0.9, 0.1), class_sep=2.0, group_sep=2.0, random_state=0
    )
    estimator = ConstrainedLogisticRegression(DemographicParity(max_difference=0.1), finish=None)
    folds = {"cv": FOLDS, "sensitive_features": groups}
    found = fairness_frontier(estimator, X, y, **({"max_differences": KNOBS} | options | folds))
    plain = [
        LogisticRegression().fit(X[train], y[train]).score(X[test], y[test])
        for train, test in FOLDS.split(X, y)
    ]
    np.testing.assert_allclose(found.base_fold_scores, plain, atol=2e-3)


def test_a_fold_without_weight():
    """A fold whose test rows all have weight zero is refused by its number."""
    weight = np.ones(len(Y))
    folds = [(train, test) for train, test in FOLDS.split(X, Y)]
    weight[folds[1][1]] = 0.0
    with pytest.raises(ValueError, match=r"All test rows of fold 2 of 3 have sample_weight 0"):
        measured(cv=folds, sample_weight=weight)


def test_the_axis_is_what_turns():
    """Of an `AllOf` the first criterion with a difference bound is the axis; without one, none."""
    both = AllOf([DemographicParity(min_ratio=0.5), EqualOpportunity(max_difference=0.05)])
    found = measured(thresholds(both), max_differences=None, knob_values=[0.5, 1.0])
    assert found.criterion == EqualOpportunity(max_difference=0.05)
    assert found.criteria[1] == DemographicParity(min_ratio=0.5)
    ratios = thresholds(AllOf([DemographicParity(min_ratio=0.8)]))
    with pytest.raises(ValueError, match="needs a difference bound above 0"):
        measured(ratios, max_differences=None, knob_values=[0.5, 1.0])


def test_whole_numbers_stay_whole():
    """Values of a parameter reach it as they are given."""
    tree = DecisionTreeClassifier(random_state=0)
    options = {"criteria": DemographicParity(), "max_differences": None, "knob": "max_depth"}
    for values in ([1, 2, 4], np.array([1, 2, 4])):
        found = measured(tree, knob_values=values, **options)
        chosen = found.select(min_score=0.0)
        assert chosen.estimator.max_depth == chosen.knob
        assert type(chosen.estimator.max_depth) is int
        assert str(found).splitlines()[1].split()[0] == "1"


def test_a_callable_knob():
    """Any classifier joins by a callable; what it is called with is the model without a bound."""

    def shift(estimator, value):
        return estimator.set_params(C=10.0**value)

    found = measured(
        LogisticRegression(),
        knob=shift,
        knob_values=[-3, 0],
        max_differences=None,
        criteria=DemographicParity(),
    )
    assert found.knob_name == "shift"
    np.testing.assert_allclose(found.fold_scores[:, 1], found.base_fold_scores)
    chosen = found.select(min_score=0.0)
    assert np.log10(chosen.estimator.C) == pytest.approx(chosen.knob)


def test_fairlearn_joins_by_a_callable():
    """fairlearn's reductions and thresholds are measured in expectation, groups passed on."""
    reductions = pytest.importorskip("fairlearn.reductions")
    postprocessing = pytest.importorskip("fairlearn.postprocessing")

    def reduced(estimator, bound):
        constraint = reductions.DemographicParity(difference_bound=bound)
        return reductions.ExponentiatedGradient(estimator, constraint, max_iter=5)

    def decision(fitted, X, groups):
        return fitted._pmf_predict(X)

    options = {"criteria": DemographicParity(), "max_differences": [0.05, 0.3], "cv": 2}
    found = measured(LogisticRegression(), knob=reduced, decision=decision, **options)
    assert found.disparity[0] < found.disparity[1] < found.base_disparity + 0.02

    def thresholded(estimator, size):
        return postprocessing.ThresholdOptimizer(
            estimator=estimator, grid_size=int(size), predict_method="predict_proba"
        )

    found = measured(
        LogisticRegression(),
        knob=thresholded,
        knob_values=[10, 1000],
        decision=lambda fitted, X, groups: fitted._pmf_predict(X, sensitive_features=groups),
        **(options | {"max_differences": None}),
    )
    assert found.disparity[1] < 0.1
    assert found.base_disparity > 0.1


# ---------------------------------------------------------------------------------------------
# Many workers


def test_parallel_folds_agree():
    """Folds in other processes give the same numbers, default knobs included."""
    alone, spread = (measured(max_differences=None, n_jobs=n) for n in (None, 2))
    np.testing.assert_allclose(spread.knob, alone.knob)
    np.testing.assert_allclose(spread.fold_scores, alone.fold_scores)
    np.testing.assert_allclose(spread.disparities, alone.disparities)


@pytest.mark.filterwarnings("ignore")
def test_dask_workers_agree():
    """Folds on the workers of a Dask cluster give the same numbers."""
    distributed = pytest.importorskip("dask.distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        spread = measured(n_jobs=-1)
    np.testing.assert_allclose(spread.fold_scores, FRONTIER.fold_scores)
    np.testing.assert_allclose(spread.disparities, FRONTIER.disparities)


# ---------------------------------------------------------------------------------------------
# Folds


@pytest.mark.parametrize("weight", [None, np.ones(len(Y))])
def test_splits_may_be_masks(weight):
    """Masks are the rows that they mark, and standard errors know how many."""
    masks = [
        tuple(np.isin(np.arange(len(Y)), rows) for rows in split) for split in FOLDS.split(X, Y)
    ]
    found = measured(cv=masks, sample_weight=weight)
    assert found.test_ratio == FRONTIER.test_ratio == 0.5
    np.testing.assert_allclose(found.score_error, FRONTIER.score_error)


def test_random_splits():
    """Test folds need not partition the rows."""
    found = measured(cv=ShuffleSplit(2, test_size=0.25, random_state=0))
    assert found.test_ratio == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([(np.arange(600), np.arange(500, 900))], "100 rows in both"),
        ([], "one fold or more"),
        ([(np.arange(600), np.arange(0))], "each with test rows"),
        ([(np.arange(600), [901])], "split the 900 rows"),
        ([(np.flatnonzero(Y), np.flatnonzero(Y == 0))], "both classes, got one with 1 only"),
        (GroupKFold(3), r"cv=list\(cv.split\(X, y, groups\)\)"),
    ],
)
def test_splits_that_hold_nothing_out(cv, message):
    """Rows that a fit has seen are not measured, and what cannot be split says why."""
    with pytest.raises(ValueError, match=message):
        measured(cv=cv)


def test_a_score_that_a_fold_cannot_define():
    """A score that is NaN on a fold is an error that names the fold, without bare warnings."""
    order = np.argsort(Y, kind="stable")
    options = {"cv": KFold(5), "sensitive_features": GROUPS[order], "max_differences": [0.1]}
    with pytest.raises(ValueError, match=r"balanced_accuracy is not defined on fold 1, 2, 4, 5"):
        fairness_frontier(
            thresholds(DemographicParity(max_difference=0.1)),
            X[order],
            Y[order],
            scoring="balanced_accuracy",
            **options,
        )


# ---------------------------------------------------------------------------------------------
# Frontiers made by hand: group rates (r, r - gap) of two groups on every fold.


def hand_made(scores, gaps, *, knob=None, criterion=None, spread=0.0, **fields):
    """Return a frontier with these means; folds differ by `spread` and cancel out."""
    scores, gaps = np.asarray(scores, dtype=float), np.asarray(gaps, dtype=float)
    offset = spread * np.array([-1.0, 0.0, 1.0])[:, None]
    criterion = DemographicParity() if criterion is None else criterion
    moments = criterion._moments_of_mass(np.full((2, 2), 50.0))
    return ParetoFrontier(
        **{
            "knob_name": "max_difference",
            "knob": np.arange(len(scores)) / 100 if knob is None else knob,
            "criteria": (criterion,),
            "score_name": "accuracy",
            "fold_scores": scores + offset,
            "disparities": (gaps + 0 * offset)[None],
            "base_fold_scores": np.full(3, 0.9),
            "base_disparities": np.full((1, 3), 0.4),
            "constant_score": 0.6,
            "moments": (moments,) * 3,
            "fold_rates": (np.column_stack([np.full(len(gaps), 0.5), 0.5 - gaps]),) * 3,
        }
        | fields
    )


#                    0    1 (dominated)  2    3
SCORES, GAPS = [0.70, 0.69, 0.80, 0.82], [0.02, 0.05, 0.10, 0.30]


def test_selection_rules_by_hand():
    """Each rule takes the knob that it says, and says what it relied on."""
    made = hand_made(SCORES, GAPS)
    assert made.non_dominated.tolist() == [True, False, True, True]
    assert made.select(max_disparity=0.2, refit=False).index == 2
    assert made.select(max_disparity=0.1, refit=False).index == 2
    assert made.select(max_disparity=0.06, refit=False).index == 0
    assert made.select(min_score=0.75, refit=False).index == 2
    assert made.select(min_score=0.81, refit=False).index == 3
    # 0.70 - 0.02 p, 0.80 - 0.1 p, 0.82 - 0.3 p: the second is best for 0.1 <= p <= 1.25
    for price, index in ((0.05, 3), (0.2, 2), (1.2, 2), (1.3, 0)):
        assert made.select(price=price, refit=False).index == index
    chosen = made.select("knee", refit=False)
    assert chosen.index == 2
    assert chosen.estimator is None
    assert "max_difference=0.02: the knee" in str(chosen)
    assert "3 held-out folds" in chosen.reason


def test_no_knee_is_none():
    """A straight trade-off has no knee to choose."""
    assert hand_made([0.7, 0.8, 0.9], [0.1, 0.2, 0.3]).select("knee") is None


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "exactly one"),
        ({"max_disparity": 0.1, "price": 1.0}, "got max_disparity, price"),
        ({"rule": "elbow"}, '"knee", got'),
        ({"max_disparity": 0.01}, "the nearest has 0.02"),
        ({"min_score": 0.9}, "the best has 0.82"),
        ({"min_ratio": 0.9}, "select by max_disparity"),
        ({"price": -1}, "price must be >= 0, got -1"),
        ({"max_disparity": "a"}, "max_disparity must be a finite number, got 'a'"),
        ({"min_score": 0.9}, "or add looser knobs"),
        ({"max_disparity": 0.2}, "refit=False"),  # made by hand: no data to fit on
    ],
)
def test_rules_that_cannot_be_met(rule, message):
    """What is asked for, what there is, and the remedy."""
    with pytest.raises(ValueError, match=message):
        hand_made(SCORES, GAPS).select(**rule)


def test_hypervolume_by_hand():
    """To the plain model's 0.4 and the constant's 0.6: three rectangles."""
    area = 0.08 * 0.10 + 0.20 * 0.20 + 0.10 * 0.22
    made = hand_made(SCORES, GAPS)
    assert made.hypervolume() == pytest.approx(area)
    assert made.hypervolume(reference=(0.2, 0.75)) == pytest.approx(0.1 * 0.05)
    with pytest.raises(ValueError, match=r"\(disparity, score\), got 0.5"):
        made.hypervolume(0.5)


def test_mixtures_by_hand():
    """Gaps of one sign join linearly; of opposite sign they cancel."""
    made = hand_made(SCORES, GAPS)
    np.testing.assert_allclose(
        made.interpolate([0.01, 0.02, 0.06, 0.2, 0.5]), [np.nan, 0.7, 0.75, 0.81, 0.82]
    )
    assert made.price(0.06) == pytest.approx(0.1 / 0.08)
    with pytest.raises(ValueError, match=r"0\.02 is the nearest"):
        made.mixture(0.01)
    with pytest.raises(ValueError, match="disparity must be a finite number, got nan"):
        made.mixture(np.nan)
    opposite = hand_made([0.9, 0.9], [0.2, 0.2], fold_rates=([[0.6, 0.4], [0.4, 0.6]],) * 3)
    rates = tuple(np.array(fold) for fold in opposite.fold_rates)
    opposite = hand_made([0.9, 0.9], [0.2, 0.2], fold_rates=rates)
    assert opposite.interpolate(0.0) == pytest.approx(0.9)


def test_one_fold_has_no_error():
    """A single split gives numbers without standard errors."""
    one = measured(cv=[next(FOLDS.split(X, Y))])
    assert np.isnan(one.score_error).all()
    assert not np.isnan(one.score).any()
    assert "nan" not in str(one)
    assert "of one held-out fold" in one.select(min_score=0.0, refit=False).reason


def test_prints_as_a_table():
    """A line per knob and the plain model, what is not beaten marked."""
    lines = str(hand_made(SCORES, GAPS, noise_floor=0.03)).splitlines()
    assert lines[0].split() == [
        "max_difference",
        "accuracy",
        "demographic",
        "parity",
        "difference",
    ]
    assert lines[1].split() == ["0.0000", "0.7000", "±", "0.0000", "0.0200", "±", "0.0000", "*"]
    assert not lines[2].endswith("*")
    assert lines[5].split()[:2] == ["plain", "model"]
    assert "0.0300" in lines[-1]
    assert repr(hand_made(SCORES, GAPS)).startswith("<ParetoFrontier: 4 knobs")


def test_frame():
    """A row per knob."""
    frame = hand_made(SCORES, GAPS).to_frame()
    assert frame["max_difference"].tolist() == [0.0, 0.01, 0.02, 0.03]
    assert frame["score"].tolist() == pytest.approx(SCORES)
    assert frame["non_dominated"].tolist() == [True, False, True, True]


def test_frozen_and_pickled():
    """Results do not change, and pickles keep the numbers without data."""
    with pytest.raises(AttributeError):
        FRONTIER.knob = np.zeros(3)
    copy = pickle.loads(pickle.dumps(FRONTIER))
    assert str(copy) == str(FRONTIER)
    assert copy.interpolate(0.2) == pytest.approx(FRONTIER.interpolate(0.2))
    assert len(pickle.dumps(FRONTIER)) < 20_000
    with pytest.raises(ValueError, match="refit=False"):
        copy.select(min_score=0.0)


def test_selection_is_fitted_on_all_rows():
    """The estimator chosen is that of a fit on all rows at its knob."""
    chosen = FRONTIER.select(min_score=0.0)
    alone = thresholds(EqualizedOdds(max_difference=chosen.knob))
    alone.fit(X, Y, sensitive_features=GROUPS)
    assert chosen.estimator.cost_ == pytest.approx(alone.cost_)
    assert chosen.estimator.disparity_ == pytest.approx(alone.disparity_)


def test_selection_fits_what_was_measured():
    """Changes to the estimator after the measurement change nothing; frozen models stay frozen."""
    estimator = thresholds()
    found = measured(estimator)
    estimator.estimator.set_params(C=1e-6)
    estimator.constraint.set_params(max_difference=0.5)
    assert found.select(min_score=0.0).estimator.estimator.C == 1.0
    frozen = FrozenEstimator(LogisticRegression().fit(X, Y))
    found = measured(GroupThresholdClassifier(frozen, EqualizedOdds(max_difference=0.05)))
    assert found.select(min_score=0.0).estimator.estimator is frozen


# ---------------------------------------------------------------------------------------------
# Comparing


def test_comparison_by_hand():
    """Folds that all differ by 0.02 differ for certain; noisy ones show nothing."""
    base = hand_made([0.70], [0.05], spread=0.01, test_ratio=0.5)
    better = hand_made([0.72], [0.05], spread=0.01, test_ratio=0.5)
    noisy = hand_made([0.72], [0.05], spread=0.03, test_ratio=0.5)
    strict = hand_made([0.60], [0.01], spread=0.01, test_ratio=0.5)
    everything = {"better": better, "base": base, "noisy": noisy, "strict": strict}

    found = compare_frontiers(everything, at=[0.05, 0.02])

    said = {(line.disparity, line.method, line.other): line for line in found}
    assert len(found) == 12
    assert said[0.05, "better", "base"].verdict == "better"
    assert said[0.05, "better", "base"].difference == pytest.approx(0.02)
    line = said[0.05, "base", "noisy"]
    assert line.verdict == "no difference shown"
    # differences 0, -0.02, -0.04: variance 0.0004, times 1/3 + 1/2; t(2) = 4.3027
    half = 4.302653 * np.sqrt(0.0004 * 5 / 6)
    assert (line.lower, line.upper) == pytest.approx((-0.02 - half, -0.02 + half), rel=1e-5)
    assert said[0.02, "base", "strict"].verdict == "not reached by base"
    assert "no difference shown" in str(found)
    assert found.to_frame().shape == (12, 7)


def test_comparison_does_not_depend_on_the_order():
    """Where training sets differ in size the interval is that of the smaller, in any order."""
    one = hand_made([0.70], [0.05], spread=0.01, test_ratio=0.5)
    other = hand_made([0.72], [0.05], spread=0.03, test_ratio=2.0)
    found = [
        next(iter(compare_frontiers(frontiers, at=0.05)))
        for frontiers in ({"a": one, "b": other}, {"b": other, "a": one})
    ]
    assert found[0].upper - found[0].lower == pytest.approx(found[1].upper - found[1].lower)


def test_intervals_cover():
    """On folds that share training rows as Nadeau and Bengio assume, 95 % is about 95 %."""
    rng = np.random.default_rng(0)
    n_runs, covered, shared = 200, 0, 0.5 / 1.5
    level = hand_made([0.7], [0.05], test_ratio=0.5)
    for _ in range(n_runs):
        noise = np.sqrt(shared) * rng.normal() + np.sqrt(1 - shared) * rng.normal(size=(3, 1))
        other = hand_made([0.7], [0.05], test_ratio=0.5, fold_scores=0.73 + 0.01 * noise)
        (line,) = compare_frontiers({"other": other, "level": level}, at=0.05)
        covered += line.lower <= 0.03 <= line.upper
    # 0.95 of 200 is 190; four standard deviations are 12
    assert 178 <= covered < 200


@pytest.mark.parametrize(
    ("frontiers", "options", "message"),
    [
        ({"a": FRONTIER}, {}, "two or more"),
        ([FRONTIER, FRONTIER], {}, "two or more"),
        ({"a": FRONTIER, "b": hand_made(SCORES, GAPS)}, {}, "agree in folds"),
        ({"a": FRONTIER, "b": FRONTIER}, {"confidence": 95}, r"in \(0, 1\)"),
        ({"a": FRONTIER, "b": FRONTIER}, {"at": np.nan}, "at must be a finite number"),
    ],
)
def test_what_cannot_be_compared(frontiers, options, message):
    """Only the same folds, score and criterion can be paired."""
    with pytest.raises(ValueError, match=message):
        compare_frontiers(frontiers, **({"at": 0.1} | options))


def test_weights_costs_and_scorers_are_compared():
    """Frontiers that measure different things on the same rows are not paired."""
    costly = thresholds(costs={"fp": 1.0, "fn": 9.0})
    weight = np.random.default_rng(0).uniform(0.5, 2, len(Y))
    f1, recall = (measured(scoring=make_scorer(s)) for s in (f1_score, recall_score))
    of_cost = [measured(e, scoring="neg_mean_cost") for e in (thresholds(), costly)]
    for one, other, what in (
        (FRONTIER, measured(sample_weight=weight), "folds"),
        (*of_cost, "costs"),
        (f1, recall, "score_name"),
        (FRONTIER, measured(criteria=DemographicParity()), "criterion"),
    ):
        with pytest.raises(ValueError, match=f"agree in {what}"):
            compare_frontiers({"one": one, "other": other}, at=0.3)
    # A criterion is the same whatever its bound, and costs do not change the accuracy.
    same = {"one": measured(criteria=EqualizedOdds(max_difference=0.4)), "other": measured(costly)}
    assert len(compare_frontiers(same, at=0.5)) == 1


def test_methods_on_the_same_folds():
    """A method compared with itself shows no difference at any disparity."""
    found = compare_frontiers({"one": FRONTIER, "two": measured()}, at=[0.1, 0.2])
    assert {line.verdict for line in found} == {"no difference shown"}
    assert [line.difference for line in found] == pytest.approx([0.0, 0.0])


# ---------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_differences": []}, "at least one number"),
        ({"max_differences": 0.1}, "at least one number"),
        ({"max_differences": [0.1, 0.05]}, "must ascend"),
        ({"max_differences": [0.1, 0.1]}, "must ascend"),
        ({"max_differences": [0.1, 1.5]}, r"in \[0, 1\]"),
        ({"max_differences": [0.1, np.nan]}, r"in \[0, 1\]"),
        ({"min_ratios": [0.5]}, "Give one of"),
        ({"estimator": LogisticRegression()}, "no knob that turns"),
        ({"estimator": LogisticRegression(), "knob": "D"}, "must be a parameter"),
        ({"estimator": LogisticRegression(), "knob": "C"}, "Say what to measure"),
        ({"estimator": LogisticRegression}, "has no knob"),
        ({"estimator": thresholds(EqualizedOdds())}, "needs a bound"),
        ({"estimator": thresholds(AllOf([EqualizedOdds(max_difference=0.1)]))}, "as knob_values"),
        ({"sensitive_features": None}, "each row's group"),
        ({"sensitive_features": GROUPS[:-1]}, "one value per row"),
        ({"criteria": "equalized_odds"}, "criteria must be"),
        ({"criteria": []}, "criteria must be"),
        ({"scoring": "beauty"}, "beauty"),
        ({"pos_label": 2}, "one of the labels"),
        ({"pos_label": 0}, "that of the estimator, 1, got 0"),
        ({"scoring": "roc_auc"}, "GroupThresholdClassifier has none of .* predict_proba"),
        (
            {"scoring": "f1", "decision": lambda fitted, X, groups: np.ones(len(X))},
            "leave decision",
        ),
        (
            {"estimator": LogisticRegression(), "knob": "C", "criteria": DemographicParity()},
            "give its values as knob_values",
        ),
        ({"max_differences": None, "knob_values": ["a"]}, "at least one number"),
        (
            {"decision": lambda fitted, X, groups: np.full(len(X), 2.0)},
            r"probabilities in \[0, 1\]",
        ),
        ({"decision": lambda fitted, X, groups: np.zeros(3)}, "one per row"),
    ],
)
def test_bad_input(options, message):
    """The rule, what came, and the remedy."""
    with pytest.raises(ValueError, match=message):
        measured(**options)


def test_a_callable_knob_must_return_an_estimator():
    """Forgetting to return it is said so."""
    with pytest.raises(ValueError, match="must return an estimator"):
        measured(
            LogisticRegression(),
            knob=lambda estimator, value: None,
            criteria=DemographicParity(),
        )


def test_default_knobs_need_a_plain_model():
    """Where nothing says what the model without a constraint is, knobs must be given."""
    options = {"criteria": DemographicParity(), "max_differences": None}
    with pytest.raises(ValueError, match="knob_values="):
        measured(LogisticRegression(), knob="C", **options)
    found = measured(LogisticRegression(), knob="C", knob_values=[0.1, 1.0], **options)
    assert np.isnan(found.base_score)
    assert "plain model" not in str(found)
    with pytest.raises(ValueError, match="needs reference"):
        found.hypervolume()


def test_a_fold_without_a_group_is_left_out():
    """It is said which, and the means are over the others."""
    fold = np.arange(len(Y)) % 3
    fold[fold == 2] = np.where(np.asarray(GROUPS)[fold == 2] == GROUPS[0], 2, 1)
    with pytest.warns(DegenerateGroupWarning, match="Fold 3 leaves nothing to compare"):
        found = measured(cv=PredefinedSplit(fold))
    assert np.isnan(found.fold_disparities).any(axis=1).tolist() == [False, False, True]
    np.testing.assert_allclose(found.disparity, found.fold_disparities[:2].mean(axis=0))
    assert not np.isnan(found.disparity_error).any()
    assert not np.isnan(found.noise_floor)
    assert found.interpolate(0.5) > 0.5


@pytest.mark.filterwarnings("ignore::fairlearnkit.exceptions.DegenerateGroupWarning")
def test_a_criterion_that_no_fold_defines():
    """One group only: there is nothing to compare."""
    for knobs in (KNOBS, None):
        with pytest.raises(ValueError, match="compares rates of two groups"):
            measured(sensitive_features=np.zeros(len(Y)), max_differences=knobs)


# ---------------------------------------------------------------------------------------------


def test_adult():
    """On Adult a bound on equalized odds costs little, and its frontier is not the plain model."""
    frame, label = load_adult(subset="train", return_X_y=True, as_frame=True)
    rows = np.arange(0, len(label), 12)
    frame, label = frame.iloc[rows], label.iloc[rows]
    text = frame.columns[frame.dtypes == "category"].drop("sex").tolist()
    columns = make_column_transformer(
        (OneHotEncoder(sparse_output=False, handle_unknown="ignore"), text),
        ("passthrough", ["age", "education-num", "capital-gain", "hours-per-week"]),
    )
    learner = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=15, random_state=0))
    estimator = GroupThresholdClassifier(
        learner, EqualizedOdds(max_difference=0.05), cv=2, sensitive_columns="sex"
    )

    found = fairness_frontier(estimator, frame, label, cv=3)

    assert found.disparity[0] < found.base_disparity
    assert found.score.max() > 0.83
    chosen = found.select(max_disparity=found.disparity[0], refit=False)
    assert chosen.score >= found.score[0]
