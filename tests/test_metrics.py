"""How unequal predictions are: values, their agreement with the knob, and bad input."""

import re
from fractions import Fraction

import numpy as np
import pytest
from helpers import CRITERIA, counted_rate, counted_rates, disparity_of, random_instance

from fairlearnkit import (
    AllOf,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    ErrorRateParity,
    FalseNegativeRateParity,
    FalsePositiveRateParity,
    Parity,
    Rate,
    TrueNegativeRateParity,
    metrics,
)
from fairlearnkit.constraints import SELECTION_RATE, TRUE_POSITIVE_RATE
from fairlearnkit.exceptions import DegenerateGroupWarning
from fairlearnkit.metrics import (
    demographic_parity_difference,
    demographic_parity_ratio,
    disparity,
    equal_opportunity_difference,
    equal_opportunity_ratio,
    equalized_odds_difference,
    equalized_odds_ratio,
    false_positive_rate_difference,
    group_rates,
)

PREFIX = {
    DemographicParity: "demographic_parity",
    EqualizedOdds: "equalized_odds",
    EqualOpportunity: "equal_opportunity",
    FalsePositiveRateParity: "false_positive_rate",
    TrueNegativeRateParity: "true_negative_rate",
    FalseNegativeRateParity: "false_negative_rate",
    ErrorRateParity: "error_rate",
}
METHOD = {"between": "between_groups", "overall": "to_overall"}


def metric_of(criterion, kind):
    return getattr(metrics, f"{PREFIX[criterion]}_{kind}")


# Eight women: 3 of 4 positives and 1 of 4 negatives accepted; five men: 1 of 2 and 2 of 3.
#              women                    men                overall
# selection    (3 + 1) / 8 = 1/2        (1 + 2) / 5 = 3/5  7/13
# TPR          3/4                      1/2                4/6
# FPR          1/4                      2/3                3/7
# TNR          3/4                      1/3                4/7
# FNR          1/4                      1/2                2/6
# error        (1 + 1) / 8 = 1/4        (1 + 2) / 5 = 3/5  5/13
Y_TRUE = [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0]
Y_PRED = [1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0]
SEX = ["f"] * 8 + ["m"] * 5

BY_HAND = {
    # difference, ratio; and to overall: the larger of two distances, the smaller of two ratios
    DemographicParity: ("1/10", "5/6", "4/65", "35/39"),  # 3/5 - 7/13, (7/13) / (3/5)
    EqualizedOdds: ("5/12", "3/8", "5/21", "7/12"),  # the worse of the next two
    EqualOpportunity: ("1/4", "2/3", "1/6", "3/4"),  # 2/3 - 1/2, (1/2) / (2/3)
    FalsePositiveRateParity: ("5/12", "3/8", "5/21", "7/12"),  # 2/3 - 3/7, (1/4) / (3/7)
    TrueNegativeRateParity: ("5/12", "4/9", "5/21", "7/12"),  # 4/7 - 1/3, (1/3) / (4/7)
    FalseNegativeRateParity: ("1/4", "1/2", "1/6", "2/3"),  # 1/2 - 1/3, (1/3) / (1/2)
    ErrorRateParity: ("7/20", "5/12", "14/65", "25/39"),  # 3/5 - 5/13, (5/13) / (3/5)
}


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_metric_by_hand(criterion):
    """Each difference and ratio, between groups and to overall, on thirteen people."""
    names = [("difference", "between"), ("ratio", "between")]
    names += [("difference", "overall"), ("ratio", "overall")]
    for (kind, reference), value in zip(names, BY_HAND[criterion], strict=True):
        metric = metric_of(criterion, kind)
        found = metric(Y_TRUE, Y_PRED, sensitive_features=SEX, method=METHOD[reference])

        assert type(found) is float
        assert found == pytest.approx(float(Fraction(value)), abs=1e-14)
        bound = {"max_difference": 0.3} if kind == "difference" else {"min_ratio": 0.3}
        same = criterion(reference=reference, **bound)
        assert disparity(same, Y_TRUE, Y_PRED, sensitive_features=SEX) == found


def test_between_groups_is_the_default():
    """As in fairlearn, the method is "between_groups" unless said otherwise."""
    metric = demographic_parity_difference
    between = metric(Y_TRUE, Y_PRED, sensitive_features=SEX, method="between_groups")

    assert metric(Y_TRUE, Y_PRED, sensitive_features=SEX) == between


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("reference", ["between", "overall"])
def test_metrics_equal_counting(seed, reference):
    """With weights, several groups and probabilities: what counting gives."""
    instance = random_instance(seed, 60, n_groups=2 + seed % 3)
    accepted = np.random.default_rng(seed).random(60)
    rows = instance.y, accepted, instance.weight
    for criterion in CRITERIA:
        for kind, bound in [("difference", "max_difference"), ("ratio", "min_ratio")]:
            parity = criterion(reference=reference, **{bound: 0.5})
            expected = [
                disparity_of(
                    counted_rates(rate.name, *rows, instance.group, instance.n_groups),
                    counted_rate(rate.name, *rows),
                    parity,
                )
                for rate in parity.rates
            ]
            found = metric_of(criterion, kind)(
                instance.y,
                accepted,
                sensitive_features=instance.group,
                sample_weight=instance.weight,
                method=METHOD[reference],
            )
            worst = max(expected) if kind == "difference" else min(expected)
            assert found == pytest.approx(worst, abs=1e-12)


# ---------------------------------------------------------------------------------------------
# The number that a user sets is the number that a report shows.


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("bound", ["max_difference", "min_ratio"])
@pytest.mark.parametrize("reference", ["between", "overall"])
def test_metric_equals_the_knob(criterion, bound, reference):
    """The metric of the best decisions under a binding bound is that bound."""
    kind = "difference" if bound == "max_difference" else "ratio"
    metric = metric_of(criterion, kind)
    knobs = [0.0, 0.013, 0.05] if kind == "difference" else [0.97, 0.985, 1.0]
    n_binding = 0
    for seed in range(4):
        instance = random_instance(seed, 150, n_groups=2 + seed % 2, fn_cost=1.0 + seed % 2)

        def reached(parity, instance=instance):
            points = instance.points()
            accepted = instance.decision(points, instance.solve(parity, points).probability)
            return metric(
                instance.y,
                np.column_stack([1 - accepted, accepted]),
                sensitive_features=instance.group,
                sample_weight=instance.weight,
                method=METHOD[reference],
            )

        unbounded = reached(criterion(max_difference=1.0))
        for knob in knobs:
            found = reached(criterion(**{bound: knob}, reference=reference))
            if unbounded > knob if kind == "difference" else unbounded < knob:
                assert found == pytest.approx(knob, abs=1e-9)
                n_binding += 1
            else:
                assert found == pytest.approx(unbounded, abs=1e-9)
    assert n_binding >= 6


def test_disparity_of_several_criteria_equals_their_knobs():
    """For `AllOf` there is one number per criterion, each in the form of its own bound."""
    instance = random_instance(3, 150)
    both = AllOf([EqualOpportunity(max_difference=0.03), DemographicParity(min_ratio=0.95)])
    points = instance.points()
    accepted = instance.decision(points, instance.solve(both, points).probability)

    found = disparity(
        both,
        instance.y,
        accepted,
        sensitive_features=instance.group,
        sample_weight=instance.weight,
    )

    np.testing.assert_allclose(found, [0.03, 0.95], atol=1e-9)


def test_disparity_needs_no_bound():
    """Without a bound the largest difference is returned; the bound's value plays no part."""
    data = {"y_true": Y_TRUE, "y_pred": Y_PRED, "sensitive_features": SEX}

    assert disparity(DemographicParity(), **data) == pytest.approx(0.1)
    assert disparity(DemographicParity(max_difference=1.0), **data) == pytest.approx(0.1)
    assert disparity(DemographicParity(min_ratio=0.0), **data) == pytest.approx(5 / 6)


def test_disparity_of_a_rate_of_ones_own():
    """Any `Rate` will do."""
    correct = Parity(Rate("accuracy", ("tn", "tp")))

    # right: 6 of 8 women, 2 of 5 men
    found = disparity(correct, Y_TRUE, Y_PRED, sensitive_features=SEX)
    assert found == pytest.approx(6 / 8 - 2 / 5)


# ---------------------------------------------------------------------------------------------
# Forms of labels and decisions.

LABELS = {
    "integers": (0, 1),
    "other integers": (3, 7),
    "minus one": (-1, 1),
    "floats": (0.0, 1.0),
    "booleans": (False, True),
    "strings": ("no", "yes"),
    "objects": (np.array(["no", "yes"], dtype=object)),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("as_array", [list, np.array])
def test_any_two_labels(kind, as_array):
    """Labels of any type give the value of 0 and 1; the larger of the two is positive."""
    labels = LABELS[kind]
    y_true, y_pred = ([labels[i] for i in values] for values in (Y_TRUE, Y_PRED))
    if isinstance(labels, np.ndarray) and as_array is np.array:
        y_true, y_pred = np.array(y_true, dtype=object), np.array(y_pred, dtype=object)
    y_true, y_pred = as_array(y_true), as_array(y_pred)

    for metric in (equalized_odds_difference, demographic_parity_ratio):
        expected = metric(Y_TRUE, Y_PRED, sensitive_features=SEX)
        assert metric(y_true, y_pred, sensitive_features=SEX) == expected


@pytest.mark.parametrize("kind", LABELS)
def test_pos_label(kind):
    """Naming the smaller label as positive turns false positives into false negatives."""
    labels = LABELS[kind]
    y_true, y_pred = ([labels[i] for i in values] for values in (Y_TRUE, Y_PRED))
    data = {"y_true": y_true, "y_pred": y_pred, "sensitive_features": SEX}

    one = metrics.false_negative_rate_ratio(**data, pos_label=labels[0])
    assert one == pytest.approx(metrics.false_positive_rate_ratio(**data))
    assert demographic_parity_ratio(**data, pos_label=labels[1]) == pytest.approx(5 / 6)
    # rejected: 4 of 8 and 2 of 5
    assert demographic_parity_ratio(**data, pos_label=labels[0]) == pytest.approx(4 / 5)


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("place", [None, 0, 1])
def test_decisions_as_probabilities_of_zero_and_one(kind, place):
    """Two columns, in the order of the sorted labels, say the same as the decisions."""
    labels = LABELS[kind]
    y_true, y_pred = ([labels[i] for i in values] for values in (Y_TRUE, Y_PRED))
    pos_label = None if place is None else labels[place]
    columns = np.eye(2)[Y_PRED]

    for criterion in CRITERIA:
        metric = metric_of(criterion, "ratio")
        expected = metric(y_true, y_pred, sensitive_features=SEX, pos_label=pos_label)
        found = metric(y_true, columns, sensitive_features=SEX, pos_label=pos_label)
        assert found == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("pos_label", [None, 0, 1])
@pytest.mark.parametrize("labels", ["integers", "booleans", "floats"])
def test_probabilities_in_one_column(labels, pos_label):
    """For labels 0 and 1 a single column holds the probability of 1."""
    y_true = [LABELS[labels][i] for i in Y_TRUE]
    soft = np.random.default_rng(0).random(len(Y_TRUE))
    data = {"sensitive_features": SEX, "pos_label": pos_label}

    for criterion in CRITERIA:
        for kind in ("difference", "ratio"):
            metric = metric_of(criterion, kind)
            expected = metric(y_true, np.column_stack([1 - soft, soft]), **data)
            assert metric(y_true, soft, **data) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("kind", ["minus one", "other integers", "strings"])
def test_probabilities_in_one_column_need_labels_zero_and_one(kind):
    """With other labels it is not said which of them the probability is of: two columns say it."""
    y_true = [LABELS[kind][i] for i in Y_TRUE]
    soft = np.array([0.5, *Y_PRED[1:]])
    with pytest.raises(ValueError, match=r"needs labels 0 and 1, got .* shape \(n_samples, 2\)"):
        demographic_parity_difference(y_true, soft, sensitive_features=SEX)
    both = np.column_stack([1 - soft, soft])
    expected = demographic_parity_difference(Y_TRUE, soft, sensitive_features=SEX)
    assert demographic_parity_difference(y_true, both, sensitive_features=SEX) == expected


def test_numbers_beside_string_labels():
    """Numbers and words are two kinds of labels."""
    with pytest.raises(ValueError, match=r"^y_true and y_pred must have the same kind of labels"):
        demographic_parity_difference(
            ["yes" if y else "no" for y in Y_TRUE], Y_PRED, sensitive_features=SEX
        )


def test_one_column_of_a_matrix():
    """A column may come as a matrix of one, as labels may."""
    for values in (np.array(Y_PRED), np.random.default_rng(0).random(len(Y_PRED))):
        expected = demographic_parity_difference(Y_TRUE, values, sensitive_features=SEX)
        found = demographic_parity_difference(Y_TRUE, values[:, None], sensitive_features=SEX)
        assert found == expected


def test_single_precision_probabilities():
    """Rows that sum to 1 in single precision are probabilities."""
    soft = np.random.default_rng(0).random(len(Y_TRUE)).astype(np.float32)
    columns = np.column_stack([np.float32(1) - soft, soft])

    found = demographic_parity_difference(Y_TRUE, columns, sensitive_features=SEX)
    exact = demographic_parity_difference(Y_TRUE, soft, sensitive_features=SEX)
    assert found == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize(
    ("label", "pos_label", "accepted"),
    [
        (0, None, 0),
        (1, None, 1),
        (-1, None, 0),
        (True, None, 1),
        ("yes", "yes", 1),
        ("no", "yes", 0),
        (5, 5, 1),
    ],
)
def test_one_label_that_says_which_it_is(label, pos_label, accepted):
    """Where all rows have one label, usual numbers or `pos_label` tell its part."""
    found = group_rates(
        [label] * 4,
        [label] * 4,
        sensitive_features=["a", "a", "b", "b"],
        rates=SELECTION_RATE,
        pos_label=pos_label,
    )

    np.testing.assert_array_equal(found["selection_rate"], [accepted, accepted])


# ---------------------------------------------------------------------------------------------
# Groups and weights.


def test_intersections():
    """Several columns make a group of each combination that occurs."""
    y_true, y_pred = [0, 1, 0, 1, 1, 0], [1, 1, 0, 1, 0, 0]
    sex, age = ["f", "f", "m", "m", "m", "f"], [30, 30, 30, 60, 60, 30]
    joined = [f"{s} {a}" for s, a in zip(sex, age, strict=True)]
    columns = np.array([sex, age], dtype=object).T

    with pytest.warns(DegenerateGroupWarning, match="group f, 30|group m, 60"):
        by_columns = group_rates(y_true, y_pred, sensitive_features=columns)

    # f, 30: 2 of 3 accepted; m, 30: none of 1; m, 60: 1 of 2
    np.testing.assert_allclose(by_columns["selection_rate"], [2 / 3, 0, 1 / 2])
    assert by_columns.groups.tolist() == [("f", 30), ("m", 30), ("m", 60)]
    for features in (columns, {"sex": sex, "age": age}, joined):
        found = demographic_parity_difference(y_true, y_pred, sensitive_features=features)
        assert found == pytest.approx(2 / 3)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library):
    """Columns of a data frame, and series, count by their values."""
    frames = pytest.importorskip(library)
    frame = frames.DataFrame({"y": Y_TRUE, "d": Y_PRED, "sex": SEX, "one": [1] * len(SEX)})
    expected = equalized_odds_difference(Y_TRUE, Y_PRED, sensitive_features=SEX)

    for features in (frame["sex"], frame[["sex", "one"]]):
        found = equalized_odds_difference(frame["y"], frame["d"], sensitive_features=features)
        assert found == expected


def test_weights_equal_repeated_rows():
    """A row of weight w counts as w rows."""
    rng = np.random.default_rng(0)
    times = rng.integers(1, 4, len(Y_TRUE))
    soft = rng.random(len(Y_TRUE))
    repeated = [np.repeat(column, times) for column in (Y_TRUE, soft, SEX)]

    for criterion in CRITERIA:
        for kind in ("difference", "ratio"):
            for method in METHOD.values():
                metric = metric_of(criterion, kind)
                found = metric(
                    Y_TRUE, soft, sensitive_features=SEX, sample_weight=times, method=method
                )
                assert found == pytest.approx(
                    metric(*repeated[:2], sensitive_features=repeated[2], method=method), abs=1e-14
                )


def test_scale_of_weights_does_not_matter():
    """Weights count against each other; a number stands for equal weights."""
    weight = np.random.default_rng(0).uniform(1, 2, len(Y_TRUE))
    data = {"y_true": Y_TRUE, "y_pred": Y_PRED, "sensitive_features": SEX}
    metric = equalized_odds_ratio

    assert metric(**data, sample_weight=1e-6 * weight) == pytest.approx(
        metric(**data, sample_weight=weight), abs=1e-14
    )
    assert metric(**data, sample_weight=3.0) == pytest.approx(metric(**data), abs=1e-14)


def test_rows_of_weight_zero_are_no_rows():
    """A row without weight changes no number, even if its group has no other."""
    extra = {"y_true": [*Y_TRUE, 1, 0], "y_pred": [*Y_PRED, 1, 1]}
    weight = [1.0] * len(Y_TRUE) + [0.0, 0.0]
    expected = equalized_odds_difference(Y_TRUE, Y_PRED, sensitive_features=SEX)

    assert expected == equalized_odds_difference(
        **extra, sensitive_features=[*SEX, "f", "m"], sample_weight=weight
    )
    with pytest.warns(DegenerateGroupWarning, match="true positive rate of group x"):
        found = equalized_odds_difference(
            **extra, sensitive_features=[*SEX, "x", "x"], sample_weight=weight
        )
    assert found == expected


def test_names_and_order_of_groups_do_not_matter():
    """Renamed groups and permuted rows leave every number as it is."""
    order = np.random.default_rng(0).permutation(len(SEX))
    renamed = np.array([{"f": 2.5, "m": -1}[sex] for sex in SEX])

    for criterion in CRITERIA:
        metric = metric_of(criterion, "ratio")
        found = metric(
            np.array(Y_TRUE)[order], np.array(Y_PRED)[order], sensitive_features=renamed[order]
        )
        expected = metric(Y_TRUE, Y_PRED, sensitive_features=SEX)
        assert found == pytest.approx(expected, abs=1e-14)


# ---------------------------------------------------------------------------------------------
# Rates that are not defined.


@pytest.mark.parametrize("method", METHOD.values())
@pytest.mark.parametrize("criterion", CRITERIA)
def test_nobody_accepted_is_equal(criterion, method):
    """Rates of 0 in every group have the ratio 1 (0/0) and the difference 0."""
    y_true, y_pred = [0, 1, 0, 1], [0, 0, 0, 0]
    if criterion in (TrueNegativeRateParity, FalseNegativeRateParity, ErrorRateParity):
        y_pred = [1, 1, 1, 1] if criterion is not ErrorRateParity else y_true
    data = {"y_true": y_true, "y_pred": y_pred, "sensitive_features": ["a", "a", "b", "b"]}

    assert metric_of(criterion, "ratio")(**data, method=method) == 1.0
    assert metric_of(criterion, "difference")(**data, method=method) == 0.0


@pytest.mark.parametrize("weight", [1.0, 0.1, 1 / 3])
def test_rates_of_zero_are_exactly_zero(weight):
    """Flawless decisions have error rates of 0 and the ratio 1, whatever the size of groups."""
    for n in range(2, 120):
        y = np.repeat([1, 0, 1, 0], [n, 3, 2, n])
        groups = np.repeat(["a", "b"], [n + 3, 2 + n])
        data = {
            "y_true": y,
            "sensitive_features": groups,
            "sample_weight": np.full(len(y), weight),
        }

        assert metrics.error_rate_ratio(**data, y_pred=y) == 1.0
        assert metrics.false_negative_rate_ratio(**data, y_pred=y) == 1.0
        assert metrics.true_negative_rate_ratio(**data, y_pred=np.ones_like(y)) == 1.0
        assert metrics.error_rate_ratio(**data, y_pred=np.where(groups == "a", y, 1 - y)) == 0.0
        assert not group_rates(**data, y_pred=y)["error_rate"].any()


def test_one_group_shut_out_has_ratio_zero():
    """0 over something is 0."""
    assert (
        demographic_parity_ratio([0, 1, 0, 1], [0, 0, 0, 1], sensitive_features=list("aabb")) == 0
    )


def test_undefined_rate_is_left_out_with_a_warning():
    """A group without positives has no true positive rate: named, and not counted as 0."""
    y_true, y_pred = [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 1, 0]
    groups = ["a", "b", "b", "b", "c", "c"]  # true positive rates 1, 1/2, none
    message = (
        "Not defined for want of rows, and left out of the comparison: true positive rate of "
        "group c."
    )

    with pytest.warns(DegenerateGroupWarning, match=f"^{re.escape(message)}$"):
        assert equal_opportunity_difference(y_true, y_pred, sensitive_features=groups) == 0.5
    with pytest.warns(DegenerateGroupWarning, match=f"^{re.escape(message)}$"):
        assert equal_opportunity_ratio(y_true, y_pred, sensitive_features=groups) == 0.5
    # overall 2/3, of the rows that have the rate
    with pytest.warns(DegenerateGroupWarning, match=f"^{re.escape(message)}$"):
        found = equal_opportunity_difference(
            y_true, y_pred, sensitive_features=groups, method="to_overall"
        )
    assert found == pytest.approx(1 / 3)


def test_each_undefined_rate_is_named_once():
    """Equalized odds names the rate and the group of each, and the first ten of many."""
    y_true, y_pred = [1, 1, 0, 0, 1, 0], [1, 0, 0, 1, 0, 0]
    groups = ["a", "b", "a", "b", "c", "d"]
    with pytest.warns(
        DegenerateGroupWarning,
        match=r"comparison: true positive rate of group d; false positive rate of group c\.$",
    ) as caught:
        equalized_odds_difference(y_true, y_pred, sensitive_features=groups)
    assert len(caught) == 1

    many = [*range(13), 0]  # none of groups 1 to 12 has a negative, nor group 0 but for the last
    with pytest.warns(DegenerateGroupWarning, match=r"of group 10; and 2 more\.$"):
        false_positive_rate_difference([1] * 13 + [0], [1] * 14, sensitive_features=many)


@pytest.mark.parametrize("kind", ["difference", "ratio"])
@pytest.mark.parametrize("method", METHOD.values())
def test_below_two_groups_nothing_is_compared(kind, method):
    """With the rate in one group, or in none, the number is NaN, never 0 or 1."""
    metric = metric_of(EqualOpportunity, kind)
    groups = ["a", "a", "b", "b"]

    with pytest.warns(DegenerateGroupWarning, match="true positive rate of group b"):
        found = metric([0, 1, 0, 0], [0, 1, 0, 1], sensitive_features=groups, method=method)
    assert np.isnan(found)
    with pytest.warns(
        DegenerateGroupWarning, match="rate of group a; true positive rate of group"
    ):
        found = metric([0, 0, 0, 0], [0, 1, 0, 1], sensitive_features=groups, method=method)
    assert np.isnan(found)
    with pytest.warns(DegenerateGroupWarning, match=r"one group only \(a\): nothing is compared"):
        found = metric([0, 1, 0, 1], [0, 1, 0, 0], sensitive_features=["a"] * 4, method=method)
    assert np.isnan(found)


@pytest.mark.parametrize("metric", [equalized_odds_difference, group_rates])
def test_warnings_point_at_the_line_that_called(metric):
    """A warning names the file of whoever called the metric."""
    with pytest.warns(DegenerateGroupWarning) as caught:
        metric([0, 1, 0, 0], [0, 1, 0, 1], sensitive_features=["a", "a", "b", "b"])
    assert {warning.filename for warning in caught} == {__file__}


def test_missing_groups_may_be_a_group_of_their_own():
    """What an estimator with ``missing="group"`` decides can be measured on the same rows."""
    y_true, y_pred, groups = [0, 1, 0, 1], [0, 1, 1, 1], ["a", "a", None, np.nan]
    found = demographic_parity_difference(
        y_true, y_pred, sensitive_features=groups, missing="group"
    )
    assert found == 0.5  # half of a, all of the two without a group
    with pytest.raises(ValueError, match=r"missing must be 'error' or 'group', got 'drop'"):
        group_rates(y_true, y_pred, sensitive_features=groups, missing="drop")


def test_rates_of_one_name_are_refused():
    """Two rates of one name would hide each other in the table."""
    same = Rate("selection_rate", ("tp",))
    with pytest.raises(ValueError, match="rates must have different names"):
        group_rates([0, 1], [0, 1], sensitive_features=[0, 1], rates=[SELECTION_RATE, same])


def test_disparity_wants_a_criterion():
    """A name or a class is not a criterion."""
    for wrong in ("demographic_parity", EqualOpportunity):
        with pytest.raises(ValueError, match="criterion must be a criterion such as"):
            disparity(wrong, [0, 1], [0, 1], sensitive_features=[0, 1])


@pytest.mark.parametrize("kind", ["difference", "ratio"])
def test_worst_of_two_rates_is_unknown_where_one_is(kind):
    """Equalized odds without a second false positive rate is NaN, not the true positive gap."""
    y_true, y_pred = [1, 0, 1, 1], [1, 0, 0, 1]
    with pytest.warns(DegenerateGroupWarning, match="false positive rate of group b"):
        found = metric_of(EqualizedOdds, kind)(y_true, y_pred, sensitive_features=list("aabb"))
    assert np.isnan(found)


# ---------------------------------------------------------------------------------------------
# Rates by group.


def test_group_rates_by_hand():
    """Rates, counts, overall values, differences and ratios of the thirteen people."""
    found = group_rates(Y_TRUE, Y_PRED, sensitive_features=SEX)

    assert found.groups.tolist() == ["f", "m"]
    assert found.count.tolist() == [8, 5]
    expected = {
        "selection_rate": ("1/2", "3/5", "7/13", "1/10", "5/6"),
        "true_positive_rate": ("3/4", "1/2", "2/3", "1/4", "2/3"),
        "false_positive_rate": ("1/4", "2/3", "3/7", "5/12", "3/8"),
        "error_rate": ("1/4", "3/5", "5/13", "7/20", "5/12"),
    }
    assert list(found.rates) == list(expected)
    for name, by_hand in expected.items():
        values = [float(Fraction(value)) for value in by_hand]
        np.testing.assert_allclose(found[name], values[:2], rtol=1e-14)
        summary = found.overall[name], found.difference[name], found.ratio[name]
        np.testing.assert_allclose(summary, values[2:], rtol=1e-13)


def test_group_rates_print_as_a_table():
    """A line per group, then overall, difference and ratio; undefined rates show as nan."""
    y_true, y_pred = [1, 1, 0, 0, 1, 0, 0], [1, 0, 1, 0, 1, 1, 0]
    groups = ["women", "women", "women", "women", "men", "men", "x"]
    table = """\
group       count  selection rate  true positive rate
----------  -----  --------------  ------------------
men             2          1.0000              1.0000
women           4          0.5000              0.5000
x               1          0.0000                 nan
----------  -----  --------------  ------------------
overall         7          0.5714              0.6667
difference                 1.0000              0.5000
ratio                      0.0000              0.5000"""
    rates = [SELECTION_RATE, TRUE_POSITIVE_RATE]

    with pytest.warns(DegenerateGroupWarning, match="true positive rate of group x"):
        found = group_rates(y_true, y_pred, sensitive_features=groups, rates=rates)

    assert str(found) == table
    assert repr(found) == table


def test_table_of_intersections_and_long_names():
    """Columns are as wide as their widest entry; combinations are named by their parts."""
    features = np.array([["f", "a long name"], ["m", "b"]], dtype=object)

    found = group_rates([1, 1], [1, 0], sensitive_features=features, rates=SELECTION_RATE)

    assert str(found).splitlines()[:4] == [
        "group           count  selection rate",
        "--------------  -----  --------------",
        "f, a long name      1          1.0000",
        "m, b                1          0.0000",
    ]


def test_group_rates_to_frame():
    """A data frame with one row per group, the count and every rate."""
    pytest.importorskip("pandas")
    frame = group_rates(Y_TRUE, Y_PRED, sensitive_features=SEX).to_frame()

    assert frame.index.tolist() == ["f", "m"]
    assert frame.index.name == "group"
    assert frame.columns.tolist() == [
        "count",
        "selection_rate",
        "true_positive_rate",
        "false_positive_rate",
        "error_rate",
    ]
    assert frame.loc["f", "count"] == 8
    assert frame.loc["m", "false_positive_rate"] == pytest.approx(2 / 3)


def test_group_rates_count_rows_and_weigh_rates():
    """The count is of rows; rates and overall values take the weights."""
    weight = np.where(np.array(Y_PRED) == 1, 3.0, 1.0)

    found = group_rates(
        Y_TRUE, Y_PRED, sensitive_features=SEX, rates=SELECTION_RATE, sample_weight=weight
    )

    assert found.count.tolist() == [8, 5]
    # accepted 4 and 3, rejected 4 and 2
    np.testing.assert_allclose(found["selection_rate"], [12 / 16, 9 / 11])
    assert found.overall["selection_rate"] == pytest.approx(21 / 27)


# ---------------------------------------------------------------------------------------------
# Bad input.

GOOD = {"y_true": Y_TRUE, "y_pred": Y_PRED, "sensitive_features": SEX}
N = len(Y_TRUE)
HALF = np.full((N, 2), 0.5)

BAD = {
    "unknown method": (
        {"method": "between"},
        "method must be 'between_groups' or 'to_overall', got 'between'.",
    ),
    "lengths of labels and decisions": (
        {"y_pred": Y_PRED[:-1]},
        "Found input variables with inconsistent numbers of samples: [13, 12]",
    ),
    "length of groups": (
        {"sensitive_features": SEX[:2]},
        "sensitive_features must have one value per row of X, got 2 for 13 rows.",
    ),
    "three labels": (
        {"y_true": [2, *Y_TRUE[1:]]},
        "Labels must be of two kinds, got 3: [0, 1, 2].",
    ),
    "three labels with decisions": (
        {"y_pred": [2, *Y_PRED[1:]]},
        "Labels must be of two kinds, got 3: [0, 1, 2].",
    ),
    "one label of unknown part": (
        {"y_true": ["yes"] * N, "y_pred": ["yes"] * N},
        "Labels must be of two kinds, got 1: ['yes']. Say which is positive with pos_label.",
    ),
    "one label, and columns in unknown order": (
        {"y_true": ["yes"] * N, "y_pred": HALF, "pos_label": "yes"},
        "Labels must be of two kinds, got 1: ['yes'].",
    ),
    "positive label that does not occur": (
        {"pos_label": 2},
        "pos_label must be one of the labels [0, 1], got 2.",
    ),
    "positive label that does not occur, beside columns": (
        {"pos_label": "yes", "y_pred": HALF},
        "pos_label must be one of the labels [0, 1], got 'yes'.",
    ),
    "positive label that does not occur, beside probabilities": (
        {"pos_label": 2, "y_pred": HALF[:, 0]},
        "pos_label must be one of the labels [0, 1], got 2.",
    ),
    "positive label of another kind, beside probabilities": (
        {"pos_label": "yes", "y_pred": HALF[:, 0]},
        "pos_label must be one of the labels [0, 1], got 'yes'.",
    ),
    "missing label": (
        {"y_true": [np.nan, *Y_TRUE[1:]]},
        "y_true must not have missing values, got 1 of 13.",
    ),
    "missing words": (
        {"y_true": ["no", None, None, *["yes"] * 10], "y_pred": ["no"] * N},
        "y_true must not have missing values, got 2 of 13.",
    ),
    "missing decision": (
        {"y_pred": [np.nan, *Y_PRED[1:]]},
        "y_pred must not have missing values, got 1 of 13.",
    ),
    "missing probabilities": (
        {"y_pred": np.where(np.arange(N)[:, None] < 3, np.nan, HALF)},
        "y_pred must not have missing values, got 6 of 13.",
    ),
    "number above 1": (
        {"y_pred": [1.5, *Y_PRED[1:]]},
        "Numbers in y_pred must be decisions or probabilities in [0, 1], got [0, 1.5].",
    ),
    "number below 0": (
        {"y_pred": [-0.5, *Y_PRED[1:]]},
        "Numbers in y_pred must be decisions or probabilities in [0, 1], got [-0.5, 1].",
    ),
    "three columns": (
        {"y_pred": np.full((N, 3), 1 / 3)},
        "Two-dimensional y_pred must have one column per class, shape (n_samples, 2), got "
        "(13, 3).",
    ),
    "rows that do not sum to 1": (
        {"y_pred": HALF + 1e-5},
        "Rows of y_pred must be probabilities of the two decisions that sum to 1, got a smallest "
        "of 0.50001 and sums in [1.00002, 1.00002].",
    ),
    "negative probability": (
        {"y_pred": HALF + np.array([-0.6, 0.6])},
        "Rows of y_pred must be probabilities of the two decisions that sum to 1, got a smallest "
        "of -0.1 and sums in [1, 1].",
    ),
    "negative weight": (
        {"sample_weight": [-1.0] + [1.0] * 12},
        "sample_weight must be >= 0, got -1.0 as the smallest of 13. Remove those rows or set "
        "their weight to 0.",
    ),
    "no weight": (
        {"sample_weight": [0.0] * N},
        "sample_weight must have at least one weight above 0, got zeros only.",
    ),
    "infinite weight": (
        {"sample_weight": [np.inf] * N},
        "sample_weight must be finite, got 13 of 13 NaN or infinite.",
    ),
    "length of weights": (
        {"sample_weight": [1.0]},
        "sample_weight must have one value per row, shape (13,), got shape (1,).",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    """Each is an error that says the rule and what came."""
    changed, message = BAD[case]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        equalized_odds_difference(**{**GOOD, **changed})


def test_missing_group_is_an_error():
    """Rows without a group are not dropped in silence."""
    for missing in (None, float("nan")):
        with pytest.raises(ValueError, match=r"^sensitive_features must not have missing values"):
            demographic_parity_difference(Y_TRUE, Y_PRED, sensitive_features=[missing, *SEX[1:]])


def test_bad_criterion_is_an_error():
    """`disparity` and `group_rates` judge the criterion as estimators do."""
    with pytest.raises(ValueError, match=r"^max_difference must be in \[0, 1\], got 3\.$"):
        disparity(DemographicParity(max_difference=3), **GOOD)
    with pytest.raises(ValueError, match=r"^rates must be a Rate or a sequence of them"):
        group_rates(**GOOD, rates="selection_rate")


def test_groups_are_asked_for():
    """There is no number without groups."""
    with pytest.raises(TypeError, match="sensitive_features"):
        demographic_parity_difference(Y_TRUE, Y_PRED)


# ---------------------------------------------------------------------------------------------
# Agreement with fairlearn where all rates are defined.

FAIRLEARN = {**PREFIX, ErrorRateParity: "zero_one_loss"}


@pytest.mark.parametrize("method", METHOD.values())
@pytest.mark.parametrize("kind", ["difference", "ratio"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_agreement_with_fairlearn(criterion, kind, method):
    """Functions of the same name and method give the same numbers as fairlearn's."""
    theirs = pytest.importorskip("fairlearn.metrics")
    for seed in range(5):
        instance = random_instance(seed, 80, n_groups=2 + seed)
        decision = (instance.score > 1).astype(int)
        for weight in (None, instance.weight):
            arguments = {
                "sensitive_features": instance.group,
                "sample_weight": weight,
                "method": method,
            }
            ours = metric_of(criterion, kind)(instance.y, decision, **arguments)
            other = getattr(theirs, f"{FAIRLEARN[criterion]}_{kind}")
            assert ours == pytest.approx(other(instance.y, decision, **arguments), abs=1e-12)


def test_rates_by_group_agree_with_fairlearn():
    """Rates by group and overall are those of fairlearn's `MetricFrame`."""
    theirs = pytest.importorskip("fairlearn.metrics")
    instance = random_instance(0, 80, n_groups=4)
    decision = (instance.score > 1).astype(int)

    names = ["selection_rate", "true_positive_rate", "false_positive_rate"]
    frame = theirs.MetricFrame(
        metrics={name: getattr(theirs, name) for name in names},
        y_true=instance.y,
        y_pred=decision,
        sensitive_features=instance.group,
        sample_params={name: {"sample_weight": instance.weight} for name in names},
    )
    found = group_rates(
        instance.y, decision, sensitive_features=instance.group, sample_weight=instance.weight
    )

    for name in names:
        np.testing.assert_allclose(found[name], frame.by_group[name].to_numpy(dtype=float))
        assert found.overall[name] == pytest.approx(frame.overall[name])


def test_probabilities_may_be_off_by_rounding():
    """Mixtures add up to a little less or more than 0 and 1: that is no error, and no rate."""
    y_true, groups = [0, 1, 0, 1], ["a", "a", "b", "b"]
    for y_pred in ([-1e-17, 1 + 2e-16, 0.5, 0.5], [[1, -1e-17], [0, 1], [0.5, 0.5], [0.5, 0.5]]):
        found = group_rates(y_true, np.array(y_pred), sensitive_features=groups)
        assert found["selection_rate"].tolist() == [0.5, 0.5]
        assert min(r.min() for r in found.rates.values()) >= 0
