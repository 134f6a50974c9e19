"""Bad input: every error says the rule, what came and what to do; warnings name the cell.

Messages are matched part by part, in order; warnings point at the caller's own line.
"""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.svm import LinearSVC

from fairlearnkit import (
    AllOf,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    ErrorRateParity,
    GroupThresholdClassifier,
    Parity,
    Rate,
    ReductionClassifier,
    fairness_frontier,
)
from fairlearnkit.constraints import TRUE_POSITIVE_RATE
from fairlearnkit.datasets import make_group_classification
from fairlearnkit.exceptions import DegenerateGroupWarning, InfeasibleConstraintError

X, Y, CODES = make_group_classification(200, base_rates=(0.6, 0.4), random_state=0)
GROUPS = np.array(["ann", "bob"])[CODES]
FRAME = pd.DataFrame(X, columns=list("vwxyz")).assign(group=GROUPS, code=CODES)
NUMBERS = FRAME.drop(columns="group")
N = len(Y)


def thresholds(constraint=None, estimator=None, **kwargs):
    """Return an estimator that is not fitted yet."""
    return GroupThresholdClassifier(
        LogisticRegression(solver="newton-cholesky") if estimator is None else estimator,
        DemographicParity(max_difference=0.1) if constraint is None else constraint,
        **{"cv": 3, **kwargs},
    )


def fit(estimator, X=X, y=Y, groups=GROUPS, **kwargs):
    """Return the estimator, fitted on groups given by keyword."""
    return estimator.fit(X, y, sensitive_features=groups, **kwargs)


@pytest.fixture(scope="module")
def fitted():
    """Return an estimator that tests only look at."""
    return fit(thresholds())


def says(*parts):
    """Return a pattern of parts that a message holds in this order."""
    return "(?s)" + ".*".join(map(re.escape, parts))


# ---------------------------------------------------------------------------------------------
# Groups


@pytest.mark.parametrize("method", ["fit", "predict", "decision_probability", "score"])
def test_no_groups(fitted, method):
    """Without groups there is no constraint: an error, never a model that is silently unfair."""
    estimator = thresholds() if method == "fit" else fitted
    arguments = (X, Y) if method in ("fit", "score") else (X,)
    message = says("each row's group", "got neither", "sensitive_features=", "sensitive_columns=")
    with pytest.raises(ValueError, match=message):
        getattr(estimator, method)(*arguments)


@pytest.mark.parametrize(
    ("groups", "parts"),
    [
        (GROUPS[:-1], ["one value per row of X", "got 199 for 200 rows"]),
        (GROUPS.tolist() * 2, ["one value per row of X", "got 400 for 200 rows"]),
        (FRAME[["group", "code"]][:50], ["one value per row of X", "got 50 for 200 rows"]),
        ([], ["one value per row of X", "got 0 for 200 rows"]),
        ("group", ["one per row of X", "got 'group'", "go in sensitive_columns"]),
        (1, ["one- or two-dimensional", "shape ()"]),
        (np.zeros((N, 2, 2)), ["one- or two-dimensional", "shape (200, 2, 2)"]),
        (FRAME[[]], ["at least one column", "got none"]),
    ],
    ids=["short", "long", "short frame", "empty", "a name", "a number", "3-D", "no column"],
)
@pytest.mark.parametrize("is_fitting", [True, False], ids=["fit", "predict"])
def test_groups_of_the_wrong_shape(fitted, groups, parts, is_fitting):
    """Groups that are not one value per row are refused at `fit` and at `predict`."""
    call = fit if is_fitting else lambda _, groups: fitted.predict(X, sensitive_features=groups)
    with pytest.raises(ValueError, match=says("sensitive_features must", *parts)):
        call(thresholds(), groups=groups)


def with_holes(values, nothing):
    """Return values, the first three replaced by nothing."""
    return [nothing] * 3 + list(values[3:])


@pytest.mark.parametrize(
    "groups",
    [
        with_holes(GROUPS, None),
        with_holes(GROUPS, float("nan")),
        np.array(with_holes(CODES, np.nan)),
        pd.Series(with_holes(GROUPS, None), dtype="category"),
        pd.Series(with_holes(CODES, pd.NA), dtype="Int64"),
        pl.Series(with_holes(GROUPS.tolist(), None)),
        pd.DataFrame({"group": with_holes(GROUPS, None), "code": CODES}),
    ],
    ids=["None", "NaN", "numbers", "categories", "nullable", "polars", "one of two columns"],
)
def test_missing_groups(fitted, groups):
    """Missing groups are refused with their count, and both ways out are named."""
    message = says(
        "sensitive_features must not have missing values",
        "got 3 of 200",
        "Fill them in",
        'missing="group"',
    )
    with pytest.raises(ValueError, match=message):
        fit(thresholds(), groups=groups)
    with pytest.raises(ValueError, match=message):
        fitted.predict(X, sensitive_features=groups)


def test_missing_groups_in_a_column():
    """Where groups come from a column the message says so."""
    holes = FRAME.assign(group=with_holes(GROUPS, None))
    with pytest.raises(ValueError, match=says("sensitive_columns must not", "got 3 of 200")):
        thresholds(sensitive_columns="group", drop_sensitive=True).fit(holes, Y)


@pytest.mark.parametrize(
    ("groups", "named"),
    [
        (np.where(GROUPS == "ann", "cy", GROUPS), "got cy. Seen were ann; bob"),
        (np.char.upper(GROUPS), "got ANN; BOB. Seen were ann; bob"),
        (CODES, "got 0; 1. Seen were ann; bob"),
        (np.arange(N), "got 0; 1; 2; 3; 4; and 195 more. Seen were ann; bob"),
        (list(zip(GROUPS, CODES, strict=True)), "got ann, 0; bob, 1. Seen were ann; bob"),
    ],
    ids=["another", "spelling", "codes", "many", "intersections"],
)
def test_unseen_groups(fitted, groups, named):
    """A group that was not there in `fit` is refused by name, beside those that were."""
    message = says("groups seen in fit", named, "Fit again with rows of every group")
    for method in (fitted.predict, fitted.decision_probability):
        with pytest.raises(ValueError, match=message):
            method(X, sensitive_features=groups)


def test_missing_group_that_was_not_seen():
    """Missing values at `predict` are an unseen group where `fit` had none."""
    fitted = fit(thresholds(missing="group"))
    with pytest.raises(ValueError, match=says("got (missing)", "Seen were ann; bob")):
        fitted.predict(X, sensitive_features=with_holes(GROUPS, None))


@pytest.mark.parametrize(
    ("columns", "X", "parts"),
    [
        ("sex", FRAME, ["names 'sex', which X does not have", "it has", "'group'"]),
        (["group", "sex"], FRAME, ["names 'sex', which X does not have"]),
        ("sex", pl.DataFrame({"v": X[:, 0]}), ["names 'sex'", "it has ['v']"]),
        ("sex", X, ["name 'sex'", "no column names", "ndarray", "positions", "data frame"]),
        ("sex", sparse.csr_array(X), ["name 'sex'", "no column names", "csr_array"]),
        ("sex", X.tolist(), ["name 'sex'", "no column names"]),
        (5, X, ["position 5", "X has 5 columns"]),
        (-6, X, ["position -6", "X has 5 columns"]),
        ([0, 7], FRAME, ["position 7", "X has 7 columns"]),
        ([], FRAME, ["at least one column", "got []"]),
        ([0.5], FRAME, ["names, positions or a callable", "got 0.5 of type float"]),
        ([True], X, ["names, positions or a callable", "got True of type bool"]),
    ],
    ids=lambda value: None if hasattr(value, "shape") or len(str(value)) > 30 else str(value),
)
def test_columns_that_are_not_there(columns, X, parts):
    """A column that X does not have is refused by name or position, beside what X has."""
    with pytest.raises(ValueError, match=says("sensitive_columns", *parts)):
        thresholds(sensitive_columns=columns).fit(X, Y[: X.shape[0] if hasattr(X, "shape") else N])


def test_columns_of_a_kind_that_cannot_be():
    """Something that is no name, position or callable is refused before anything is fitted."""
    with pytest.raises(ValueError, match=says("sensitive_columns", "callable", "Got 0.5")):
        thresholds(sensitive_columns=0.5).fit(FRAME, Y)


def test_callable_of_the_wrong_length():
    """A callable that does not return one group per row is refused."""
    with pytest.raises(ValueError, match=says("sensitive_columns", "one value per row", "got 10")):
        thresholds(sensitive_columns=lambda X: X[:10, 0] > 0).fit(X, Y)


@pytest.mark.parametrize(
    ("columns", "came"), [(lambda X: X[:, 0] > 0, "a callable"), (None, "None")]
)
def test_drop_what_has_no_place(columns, came):
    """`drop_sensitive` needs to know which columns: a callable does not tell."""
    message = says("drop_sensitive=True needs sensitive_columns as names or positions", came)
    with pytest.raises(ValueError, match=message):
        fit(thresholds(sensitive_columns=columns, drop_sensitive=True))


def test_drop_everything():
    """`drop_sensitive` must leave the learner something."""
    with pytest.raises(ValueError, match=says("leaves no column", "X has 1", "[0]")):
        thresholds(sensitive_columns=[0], drop_sensitive=True).fit(CODES[:, None], Y)


# ---------------------------------------------------------------------------------------------
# Rows, labels and weights


@pytest.mark.parametrize(
    ("y", "parts"),
    [
        (np.ones(N), ["two classes", "one class", "1.0"]),
        (np.full(N, "yes"), ["two classes", "one class", "yes"]),
        (np.arange(N) % 3, ["Only binary classification", "multiclass"]),
        (np.linspace(0, 1, N), ["continuous"]),
        (np.where(Y == 1, 1.0, np.nan), ["y contains NaN"]),
        (np.where(Y == 1, np.inf, 0.0), ["y contains infinity"]),
        (Y[:-1], ["inconsistent numbers of samples", "200", "199"]),
        (None, ["requires y to be passed"]),
        (np.column_stack([Y, Y]), ["1d array", "(200, 2)"]),
    ],
    ids=["one", "one name", "three", "numbers", "NaN", "inf", "length", "none", "2-D"],
)
def test_labels(y, parts):
    """Labels must be of two kinds, one for every row."""
    with pytest.raises(ValueError, match=says(*parts)):
        fit(thresholds(), y=y)


def test_masked_labels():
    """A masked label is missing, whatever number lies below the mask."""
    masked = np.ma.masked_array(Y, mask=np.arange(N) == 3)
    with pytest.raises(ValueError, match=f"y must not have missing values, got 1 of {N} masked"):
        fit(thresholds(), y=masked)


def test_one_class_with_weight():
    """Two classes of which one has no weight are one class."""
    with pytest.raises(ValueError, match=says("two classes", "one class have sample_weight 0")):
        fit(thresholds(), sample_weight=Y)


@pytest.mark.parametrize(
    ("weight", "parts"),
    [
        (-np.ones(N), [">= 0", "-1.0 as the smallest of 200", "set their weight to 0"]),
        (np.r_[-0.5, np.ones(N - 1)], [">= 0", "-0.5"]),
        (np.zeros(N), ["at least one weight above 0", "zeros only"]),
        (np.r_[np.nan, np.ones(N - 1)], ["finite", "1 of 200"]),
        (np.r_[np.inf, np.inf, np.ones(N - 2)], ["finite", "2 of 200"]),
        (np.ones(N - 1), ["one value per row", "(200,)", "(199,)"]),
        (np.ones((N, 1)), ["one value per row", "(200,)", "(200, 1)"]),
    ],
    ids=["negative", "one negative", "zero", "NaN", "infinite", "length", "2-D"],
)
def test_weights(weight, parts):
    """Weights must be one finite number >= 0 per row, not all zero."""
    with pytest.raises(ValueError, match=says("sample_weight must", *parts)):
        fit(thresholds(), sample_weight=weight)


def test_number_of_features(fitted):
    """Rows with other columns than in `fit` are refused."""
    with pytest.raises(ValueError, match=says("X has 3 features", "expecting 5 features")):
        fitted.predict(X[:, :3], sensitive_features=GROUPS)


def test_names_of_features():
    """A data frame with other columns than in `fit`, or in another order, is refused."""
    fitted = thresholds(sensitive_columns="code").fit(NUMBERS, Y)
    with pytest.raises(ValueError, match=says("feature names should match", "same order")):
        fitted.predict(NUMBERS[NUMBERS.columns[::-1]])
    with pytest.raises(ValueError, match=says("feature names should match", "unseen", "u")):
        fitted.predict(NUMBERS.rename(columns={"v": "u"}))


@pytest.mark.parametrize(
    "empty", [X[:0], FRAME[:0], FRAME[[]], pl.DataFrame({"v": []})], ids=lambda X: str(X.shape)
)
def test_nothing_to_fit(empty):
    """No rows or no columns are an error with the shape."""
    with pytest.raises(ValueError, match=r"\((0|200), \d\)"):
        fit(thresholds(), empty, Y[: len(empty)], GROUPS[: len(empty)])


@pytest.mark.parametrize(
    "call",
    [
        lambda e: e.predict(X, sensitive_features=GROUPS),
        lambda e: e.decision_probability(X, sensitive_features=GROUPS),
        lambda e: e.score(X, Y, sensitive_features=GROUPS),
        lambda e: e.at(max_difference=0.5),
        lambda e: e.frontier_,
        lambda e: e.realized_disparity_,
    ],
    ids=["predict", "decision_probability", "score", "at", "frontier_", "realized_disparity_"],
)
def test_not_fitted(call):
    """Before `fit` there is nothing to ask for."""
    with pytest.raises(NotFittedError, match=says("not fitted yet", "Call 'fit'")):
        call(thresholds())


# ---------------------------------------------------------------------------------------------
# Constraints


@pytest.mark.parametrize("bound", ["max_difference", "min_ratio"])
@pytest.mark.parametrize(
    "value",
    [-0.01, 1.01, 5, float("nan"), float("inf"), True, False, "0.1", [0.1], 1j],
    ids=repr,
)
def test_bound_outside_its_range(bound, value):
    """A bound is a number in [0, 1]: no percentage, truth value or text."""
    with pytest.raises(ValueError, match=says(f"{bound} must be in [0, 1], got {value!r}")):
        fit(thresholds(EqualizedOdds(**{bound: value})))


def test_bound_inside_several_criteria():
    """A wrong bound is found among several criteria too."""
    both = AllOf([DemographicParity(max_difference=0.1), AllOf([EqualizedOdds(min_ratio=80)])])
    with pytest.raises(ValueError, match=says("min_ratio must be in [0, 1], got 80")):
        fit(thresholds(both))


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, np.float32(0.5), np.int64(1)], ids=repr)
def test_ends_of_the_range_are_bounds(value):
    """0 and 1 are bounds, as any kind of number."""
    fitted = fit(thresholds(DemographicParity(max_difference=value)))
    assert fitted.disparity_ <= value + 1e-9


def test_two_bounds():
    """A criterion takes one bound; the way to two is named."""
    both = EqualOpportunity(max_difference=0.1, min_ratio=0.8)
    message = says("EqualOpportunity takes one bound", "0.1", "0.8", "None", "AllOf")
    with pytest.raises(ValueError, match=message):
        fit(thresholds(both))


@pytest.mark.parametrize(
    "constraint",
    [DemographicParity(), AllOf([DemographicParity(max_difference=0.1), DemographicParity()])],
    ids=["one", "of several"],
)
def test_no_bound(constraint):
    """A criterion without a bound serves metrics; an estimator needs one."""
    message = says("DemographicParity needs a bound", "got none", "max_difference", "min_ratio")
    with pytest.raises(ValueError, match=message):
        fit(thresholds(constraint))


@pytest.mark.parametrize(
    ("constraint", "parts"),
    [
        ("demographic_parity", ["'constraint' parameter", "Criterion", "'demographic_parity'"]),
        (DemographicParity, ["'constraint' parameter", "Criterion", "DemographicParity"]),
        (None, ["'constraint' parameter", "Criterion", "None"]),
        (0.1, ["'constraint' parameter", "Criterion", "0.1"]),
    ],
    ids=["name", "class", "None", "number"],
)
def test_constraint_that_is_none(constraint, parts):
    """A constraint is one of our criteria, not a name or a number."""
    estimator = GroupThresholdClassifier(LogisticRegression(), constraint)
    with pytest.raises(ValueError, match=says(*parts)):
        fit(estimator)


@pytest.mark.parametrize(
    ("constraint", "parts"),
    [
        (AllOf([]), ["one or more criteria", "got []"]),
        (AllOf("both"), ["one or more criteria", "'both'"]),
        (AllOf(DemographicParity(max_difference=0.1)), ["one or more criteria", "Demographic"]),
        (AllOf([0.1]), ["criterion such as DemographicParity()", "got 0.1"]),
        (Parity("selection_rate", max_difference=0.1), ["rates must", "'selection_rate'"]),
        (Parity([], max_difference=0.1), ["rates must", "[]"]),
        (Parity([TRUE_POSITIVE_RATE, 1], max_difference=0.1), ["rates must", "1]"]),
        (
            DemographicParity(max_difference=0.1, reference="groups"),
            ["reference must be 'between' or 'overall'", "'groups'"],
        ),
    ],
    ids=lambda value: None if isinstance(value, list) else type(value).__name__,
)
def test_constraint_with_wrong_parts(constraint, parts):
    """What a criterion is made of is checked, and named."""
    with pytest.raises(ValueError, match=says(*parts)):
        fit(thresholds(constraint))


# ---------------------------------------------------------------------------------------------
# Other parameters


@pytest.mark.parametrize(
    "costs",
    [
        {"fp": 1.0},
        {"fp": 1.0, "fn": 1.0, "tp": 0.0},
        {"false_positive": 1, "false_negative": 1},
        {"fp": -1.0, "fn": 1.0},
        {"fp": 0.0, "fn": 0.0},
        {"fp": float("nan"), "fn": 1.0},
        {"fp": float("inf"), "fn": 1.0},
        {"fp": "1", "fn": 1.0},
        {"fp": True, "fn": 1.0},
        {},
    ],
    ids=str,
)
def test_costs(costs):
    """Costs are two finite numbers >= 0, not both zero, by name."""
    message = says("costs must", "'fp' and 'fn'", "finite", ">= 0", "not both zero", repr(costs))
    with pytest.raises(ValueError, match=message):
        fit(thresholds(costs=costs))


@pytest.mark.parametrize(
    ("pos_label", "y", "named"),
    [
        (2, Y, "the classes [0, 1], got 2"),
        ("1", Y, "the classes [0, 1], got '1'"),
        ("good", np.where(Y, "yes", "no"), "the classes ['no', 'yes'], got 'good'"),
        (float("nan"), Y, "the classes [0, 1], got nan"),
    ],
    ids=["number", "text", "another text", "NaN"],
)
def test_positive_label(pos_label, y, named):
    """The positive label is one of the two."""
    with pytest.raises(ValueError, match=says("pos_label must be one of", named)):
        fit(thresholds(pos_label=pos_label), y=y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cv", 1),
        ("cv", "prefitted"),
        ("response_method", "predict"),
        ("missing", "drop"),
        ("drop_sensitive", "yes"),
        ("randomized", None),
        ("random_state", -1),
        ("costs", 2.0),
        ("n_jobs", 0.5),
        ("estimator", None),
    ],
)
def test_other_parameters(name, value):
    """A parameter of the wrong kind is refused by name, with what came."""
    estimator = thresholds().set_params(**{name: value})
    with pytest.raises(ValueError, match=says(f"'{name}' parameter", "must be", f"Got {value!r}")):
        fit(estimator)


# ---------------------------------------------------------------------------------------------
# Splits and learners


HALF = np.arange(N // 2)


@pytest.mark.parametrize(
    ("cv", "parts"),
    [
        ([(HALF, HALF + N // 2)], ["100 rows in none and 0 in several"]),
        ([(HALF, HALF + N // 2)] * 2, ["100 rows in none and 100 in several"]),
        (ShuffleSplit(2, test_size=0.5, random_state=0), ["rows in none", "in several"]),
        ([], ["200 rows in none and 0 in several"]),
    ],
    ids=["half", "twice", "random", "none"],
)
def test_splits_that_do_not_partition(cv, parts):
    """Every row needs one held-out score: splits must put it in exactly one test fold."""
    message = says("every row in exactly one test fold", *parts, "KFold")
    with pytest.raises(ValueError, match=message):
        fit(thresholds(cv=cv))


def test_splits_of_other_data():
    """Splits that name rows which are not there are refused."""
    cv = [(HALF, HALF + N), (HALF + N, HALF)]
    with pytest.raises(ValueError, match=says("split the 200 rows", "another row number", "200")):
        fit(thresholds(cv=cv))


def test_many_labels_are_an_error_and_no_warning():
    """Labels that all differ are refused as multiclass, without a guess at regression first."""
    with pytest.raises(ValueError, match=says("Only binary classification", "multiclass")):
        fit(thresholds(), y=np.arange(N))


def test_splits_that_leak():
    """A row whose score comes from a learner that saw it is refused: nothing would be held out."""
    everything = np.arange(N)
    message = says("out of its training fold", "rows in both", "KFold")
    with pytest.raises(ValueError, match=message):
        fit(thresholds(cv=[(everything, HALF), (everything, HALF + N // 2)]))


def test_rates_that_decisions_cannot_change():
    """A rate of one's own that no rule can make equal gives an error that says so."""
    positives = Rate("positives", ("fn", "tp"))
    with pytest.raises(InfeasibleConstraintError, match=says("whatever is decided", "Relax")):
        fit(thresholds(Parity(positives, max_difference=0.0)))


def test_training_fold_of_one_class():
    """A training fold without one of the classes is refused before anything is fitted."""
    one, other = np.flatnonzero(Y == 0), np.flatnonzero(Y == 1)
    message = says("training fold needs both classes", "one with 0 only", "stratified")
    with pytest.raises(ValueError, match=message):
        fit(thresholds(cv=[(one, other), (other, one)]))


FIRST, SECOND = np.split(np.arange(N), 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda cv, **weight: fit(thresholds(cv=cv), **weight),
        lambda cv, **weight: fit(
            ReductionClassifier(
                LogisticRegression(),
                DemographicParity(max_difference=0.1),
                constraint_data="crossfit",
                cv=cv,
            ),
            **weight,
        ),
        lambda cv, **weight: fairness_frontier(
            thresholds(), X, Y, sensitive_features=GROUPS, max_differences=[0.1], cv=cv, **weight
        ),
    ],
    ids=["thresholds", "reduction", "frontier"],
)
def test_training_fold_without_weight(call):
    """A training fold whose weights are all 0 is refused before anything is fitted."""
    message = says("Every training fold needs rows with sample_weight above 0", "Use fewer folds")
    with pytest.raises(ValueError, match=message):
        call(cv=[(FIRST, SECOND), (SECOND, FIRST)], sample_weight=1.0 * (np.arange(N) < N // 2))


@pytest.mark.parametrize(
    ("estimator", "response_method", "wanted"),
    [
        (LinearRegression(), "auto", "predict_proba or decision_function"),
        (LinearRegression(), "predict_proba", "predict_proba"),
        (LinearSVC(), "predict_proba", "predict_proba"),
    ],
    ids=["regressor", "regressor, probabilities", "no probabilities"],
)
def test_learner_without_a_usable_response(estimator, response_method, wanted):
    """A learner that gives no scores cannot be thresholded; the ways out are named."""
    message = says(f"must have {wanted}", repr(estimator), "Calibrated", "response_method")
    with pytest.raises(ValueError, match=message):
        fit(thresholds(estimator=estimator, response_method=response_method))


class Overflowing(ClassifierMixin, BaseEstimator):
    """Gives scores that are no numbers for a few rows."""

    def __init__(self, value=np.nan):
        self.value = value

    def fit(self, X, y):
        """Remember the classes."""
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        """Return the first column, with the first two scores broken."""
        return np.r_[[self.value] * 2, X[2:, 0]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers(value):
    """NaN or infinite scores are refused with their count and where they came from."""
    estimator = Overflowing(value).fit(X, Y)
    message = says("Scores must be finite", "2 of 200", "decision_function", "Overflowing")
    with pytest.raises(ValueError, match=message):
        fit(thresholds(estimator=estimator, cv="prefit"))


@pytest.mark.parametrize(
    ("labels", "known"),
    [(("no", "yes"), "['no', 'yes']"), ((-1, 1), "[-1, 1]"), ((1, 2), "[1, 2]")],
    ids=str,
)
def test_prefit_learner_of_other_classes(labels, known):
    """A fitted learner must know the very labels that are given."""
    estimator = LogisticRegression().fit(X, Y)
    message = says(f"the classes of y, {known}", "knows [0, 1]", "same labels")
    with pytest.raises(ValueError, match=message):
        fit(thresholds(estimator=estimator, cv="prefit"), y=np.array(labels)[Y])


def test_prefit_learner_of_three_classes():
    """A fitted learner of three classes has no score of a positive one."""
    estimator = LogisticRegression().fit(X, np.arange(N) % 3)
    with pytest.raises(ValueError, match=says("[0, 1]", "knows [0, 1, 2]")):
        fit(thresholds(estimator=estimator, cv="prefit"))


@pytest.mark.parametrize(
    ("estimator", "cv"),
    [(LogisticRegression(), "prefit"), (FrozenEstimator(LogisticRegression()), 3)],
    ids=["prefit", "frozen"],
)
def test_prefit_learner_that_is_not_fitted(estimator, cv):
    """A learner that counts as fitted must be; how to keep it so in a search is named."""
    message = says("must be fitted", "LogisticRegression()", "Fit it before", "FrozenEstimator")
    with pytest.raises(NotFittedError, match=message):
        fit(thresholds(estimator=estimator, cv=cv))


def test_prefit_learner_in_a_search():
    """A search clones, so that a prefit learner is lost, and a frozen one is not."""
    estimator = LogisticRegression().fit(NUMBERS, Y)
    bounds = {"constraint__max_difference": [0.1]}
    lost = thresholds(estimator=estimator, cv="prefit", sensitive_columns="code")
    with pytest.raises(NotFittedError, match="FrozenEstimator"):
        GridSearchCV(lost, bounds, cv=2, error_score="raise").fit(NUMBERS, Y)
    kept = clone(lost).set_params(estimator=FrozenEstimator(estimator))
    search = GridSearchCV(kept, bounds, cv=2, error_score="raise").fit(NUMBERS, Y)
    assert search.best_score_ > 0.5


# ---------------------------------------------------------------------------------------------
# Warnings: they name the cell and its count, at the caller's line


def rows_without(group, label, keep=0):
    """Return the rows of X but for those of one cell, of which some are kept."""
    cell = np.flatnonzero((group == GROUPS) & (label == Y))
    return np.setdiff1d(np.arange(N), cell[keep:])


def warned(call):
    """Return the messages of the warnings that a call gives, all of them about groups and all
    pointing at this file."""
    with pytest.warns(DegenerateGroupWarning) as record:
        call()
    assert {w.category for w in record} == {DegenerateGroupWarning}
    assert {w.filename for w in record} == {__file__}
    return [str(w.message) for w in record]


def test_one_group():
    """With one group nothing is compared: said so, and the rule is the unconstrained one."""
    estimator = thresholds(EqualizedOdds(max_difference=0.0))
    (message,) = warned(lambda: fit(estimator, groups=np.full(N, "ann")))
    assert re.search(says("one group only (ann)", "nothing is compared"), message)
    assert np.isnan(estimator.disparity_)
    with pytest.warns(DegenerateGroupWarning):
        loose = fit(thresholds(EqualizedOdds(max_difference=1.0)), groups=np.full(N, "ann"))
    assert estimator.thresholds_ == loose.thresholds_


def test_empty_cell():
    """A cell without rows is left out of the comparison, by name; other rates are still equal."""
    rows = rows_without("bob", 1)
    estimator = thresholds(EqualizedOdds(max_difference=0.05))
    (message,) = warned(lambda: fit(estimator, X[rows], Y[rows], GROUPS[rows]))
    assert message == (
        "Left out of the comparison, since there is no row to take the rate over: "
        "group bob, positive rows (0)."
    )
    assert np.isnan(estimator.disparity_)  # of true positive rates there is one only
    negative = rows[Y[rows] == 0]
    accepted = estimator.decision_probability(X[negative], sensitive_features=GROUPS[negative])
    rate = [accepted[GROUPS[negative] == g, 1].mean() for g in ("ann", "bob")]
    assert abs(rate[0] - rate[1]) < 0.15


@pytest.mark.parametrize("keep", [1, 9])
def test_small_cell(keep):
    """A cell of fewer than ten rows is named with its count."""
    rows = rows_without("ann", 0, keep)
    estimator = thresholds(EqualizedOdds(max_difference=0.05))
    (message,) = warned(lambda: fit(estimator, X[rows], Y[rows], GROUPS[rows]))
    assert message == (
        "Rates over fewer than 10 rows say little about new data: "
        f"group ann, negative rows ({keep})."
    )


def test_cell_of_ten_rows_is_no_small_one():
    """Ten rows pass without a warning, which would be an error here."""
    rows = rows_without("ann", 0, 10)
    fit(thresholds(EqualizedOdds(max_difference=0.05)), X[rows], Y[rows], GROUPS[rows])


def test_only_cells_that_the_constraint_needs_count():
    """Equal opportunity takes no rate over negatives: few of them are no matter."""
    rows = rows_without("ann", 0, 2)
    fit(thresholds(EqualOpportunity(max_difference=0.05)), X[rows], Y[rows], GROUPS[rows])


def test_empty_and_small_cells_at_once():
    """Empty and small cells are told apart, each once, over all criteria."""
    rows = np.intersect1d(rows_without("bob", 1), rows_without("ann", 0, 4))
    both = AllOf([EqualizedOdds(max_difference=0.1), EqualOpportunity(max_difference=0.2)])
    empty, small = warned(lambda: fit(thresholds(both), X[rows], Y[rows], GROUPS[rows]))
    assert empty.endswith("over: group bob, positive rows (0).")
    assert small.endswith("data: group ann, negative rows (4).")


def test_small_group():
    """Where a rate is taken over all rows of a group the cell is the group."""
    rows = np.r_[np.flatnonzero(GROUPS == "ann"), np.flatnonzero(GROUPS == "bob")[:6]]
    (message,) = warned(lambda: fit(thresholds(), X[rows], Y[rows], GROUPS[rows]))
    assert message.endswith("group bob, rows (6).")


def test_many_small_cells_are_listed_in_part():
    """A long list of cells ends with how many more there are."""
    groups = np.arange(N) // 8  # 25 groups of eight rows
    (message,) = warned(
        lambda: fit(thresholds(ErrorRateParity(max_difference=0.5)), groups=groups)
    )
    assert "group 0, rows (8); group 1, rows (8)" in message
    assert message.endswith("and 15 more.")


def test_cells_are_counted_in_rows_not_weight():
    """Heavy rows are no more rows; rows of weight zero are none."""
    rows = rows_without("ann", 0, 12)
    weight = np.full(len(rows), 100.0)
    few = np.flatnonzero((GROUPS[rows] == "ann") & (Y[rows] == 0))
    weight[few[:5]] = 0
    estimator = thresholds(EqualizedOdds(max_difference=0.05))
    call = lambda: fit(estimator, X[rows], Y[rows], GROUPS[rows], sample_weight=weight)  # noqa: E731
    (message,) = warned(call)
    assert message.endswith("group ann, negative rows (7).")


def test_group_without_weight():
    """A group whose rows all weigh zero is left out by name, as if the rows were not there, and is
    unseen at `predict`."""
    groups = np.where(np.arange(N) < 30, "abe", GROUPS)
    weight = (groups != "abe").astype(float)
    estimator = thresholds(estimator=LogisticRegression().fit(X, Y), cv="prefit")
    (message,) = warned(lambda: fit(estimator, groups=groups, sample_weight=weight))
    assert re.search(says("group abe", "sample_weight 0", "left out"), message)
    assert estimator.groups_.tolist() == ["ann", "bob"]
    rest = clone(estimator).set_params(estimator=estimator.estimator)
    assert estimator.thresholds_ == fit(rest, X[30:], Y[30:], GROUPS[30:]).thresholds_
    with pytest.raises(ValueError, match=r"got abe\. Seen were ann; bob"):
        estimator.predict(X, sensitive_features=groups)


def test_another_constraint_warns_of_its_own_cells():
    """`at` with another constraint warns of the cells that it needs; another bound does not warn
    again."""
    rows = rows_without("bob", 1, 5)
    fitted = fit(thresholds(), X[rows], Y[rows], GROUPS[rows])
    fitted.at(max_difference=0.2)
    (message,) = warned(lambda: fitted.at(constraint=EqualOpportunity(max_difference=0.1)))
    assert message.endswith("group bob, positive rows (5).")


def test_many_groups_are_no_reason_to_warn():
    """Groups that all have rows enough pass in silence."""
    X, y, groups = make_group_classification(1500, base_rates=[0.5] * 12, random_state=1)
    fitted = fit(thresholds(EqualizedOdds(max_difference=0.1)), X, y, groups)
    assert fitted.groups_.tolist() == list(range(12))
