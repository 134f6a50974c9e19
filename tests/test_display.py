"""Displays: the arrays that they keep, the data of their artists, and scikit-learn's contract."""

import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from fairlearnkit import (
    AllOf,
    Capacity,
    ConstrainedLogisticRegression,
    ConvexRates,
    CostFrontier,
    DemographicParity,
    EqualizedOdds,
    ErrorRateParity,
    FalsePositiveRateParity,
    GroupThresholdClassifier,
    MinimumRate,
    audit,
)
from fairlearnkit._kernels.moments import group_rates as rates_of
from fairlearnkit._kernels.moments import violations
from fairlearnkit.constraints import SELECTION_RATE, TRUE_POSITIVE_RATE
from fairlearnkit.datasets import make_group_classification
from fairlearnkit.display import (
    GroupRatesDisplay,
    GroupROCDisplay,
    ParetoFrontierDisplay,
    ScoreDistributionDisplay,
    _color,
    _disparity_label,
    _marker,
)
from fairlearnkit.metrics import demographic_parity_difference, group_rates

X, Y, GROUPS = make_group_classification(800, base_rates=(0.6, 0.3), random_state=0)
WITH_GROUP = np.column_stack([X, GROUPS])
WEIGHT = np.random.default_rng(0).uniform(0.5, 2.0, len(Y))


@pytest.fixture(autouse=True)
def figures():
    """Draw without a screen, and leave no figure open."""
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def thresholds():
    clf = GroupThresholdClassifier(
        LogisticRegression(), EqualizedOdds(max_difference=0.05), cv=3, sensitive_columns=-1
    )
    return clf.fit(WITH_GROUP, Y)


def frontier(**changes):
    """Return a frontier of four knobs: the third is dominated by the second."""
    given = {
        "knob_name": "max_difference",
        "knob": np.array([0.0, 0.05, 0.1, 0.2]),
        "score": np.array([0.7, 0.8, 0.78, 0.85]),
        "disparity": np.array([0.02, 0.06, 0.12, 0.2]),
        "score_error": np.array([0.01, 0.01, 0.02, 0.01]),
        "disparity_error": np.array([0.02, 0.01, 0.01, 0.02]),
        "fold_scores": np.zeros((5, 4)),
        "base_score": 0.86,
        "base_disparity": 0.25,
        "non_dominated": np.array([True, True, False, True]),
        "noise_floor": 0.015,
        "score_name": "accuracy",
        "criterion": DemographicParity(max_difference=0.1),
        "costs": (1.0, 1.0),
    }
    return SimpleNamespace(**{**given, **changes})


def labels_of(display):
    return [text.get_text() for text in display.legend_.get_texts()]


# Frontiers


def test_points_and_steps():
    """Points that are not beaten are joined by steps, never by lines; the others stand apart."""
    display = ParetoFrontierDisplay.from_frontier(frontier())
    steps = display.steps_[""]
    np.testing.assert_array_equal(steps.get_xydata(), [[0.02, 0.7], [0.06, 0.8], [0.2, 0.85]])
    assert steps.get_drawstyle() == "steps-post"
    np.testing.assert_array_equal(display.dominated_[""].lines[0].get_xydata(), [[0.12, 0.78]])
    assert display.dominated_[""].lines[0].get_alpha() < 1
    np.testing.assert_array_equal(display.base_[""].get_xydata(), [[0.25, 0.86]])
    assert display.noise_floor_.get_x() + display.noise_floor_.get_width() == 0.015


def test_intervals():
    """Bars are Student's t over the folds in both directions, and stop at a disparity of 0."""
    display = ParetoFrontierDisplay.from_frontier(frontier(), confidence=0.9)
    t = student.ppf(0.95, 4)
    across, up = (np.array(bars.get_segments()) for bars in display.points_[""].lines[2])
    np.testing.assert_allclose(across[:, 0, 0], [0.0, 0.06 - t * 0.01, 0.2 - t * 0.02])
    np.testing.assert_allclose(across[:, 1, 0], [0.02 + t * 0.02, 0.06 + t * 0.01, 0.2 + t * 0.02])
    np.testing.assert_allclose(up[:, 0, 1], np.array([0.7, 0.8, 0.85]) - t * 0.01)
    assert "90% intervals" in labels_of(display)


def test_intervals_of_ratios_stop_at_one():
    """No ratio is above 1."""
    made = frontier(criterion=DemographicParity(min_ratio=0.8), disparity_error=np.full(4, 0.5))
    across = ParetoFrontierDisplay.from_frontier(made).points_[""].lines[2][0].get_segments()
    ends = np.array(across)[:, :, 0]
    np.testing.assert_allclose([ends.min(), ends.max()], [0.0, 1.0])


def test_one_fold_has_no_intervals():
    """From one fold nothing is known of the error, and nothing is drawn."""
    display = ParetoFrontierDisplay.from_frontier(frontier(fold_scores=np.zeros((1, 4))))
    assert not display.points_[""].lines[2]
    assert not any("intervals" in label for label in labels_of(display))


def test_several_methods():
    """Each method has its name, colour, marker; the plain model is one where it is the same."""
    both = {"a": frontier(), "b": frontier(score=np.array([0.6, 0.7, 0.68, 0.75]))}
    display = ParetoFrontierDisplay.from_frontier(
        both, selected={"a": SimpleNamespace(knob=0.05), "b": 0.2}
    )
    assert list(display.base_) == ["a"]
    assert labels_of(display)[:2] == ["a", "b"]
    assert "chosen: max difference 0.05" in labels_of(display)
    one, other = (display.points_[name].lines[0] for name in "ab")
    assert one.get_color() != other.get_color()
    assert one.get_marker() != other.get_marker()
    np.testing.assert_array_equal(display.selected_["b"].get_xydata(), [[0.2, 0.75]])
    apart = {"a": frontier(), "b": frontier(base_score=0.8)}
    assert list(ParetoFrontierDisplay.from_frontier(apart).base_) == ["a", "b"]


def test_certified_band():
    """The band lies between what was found and the bound, as accuracy."""
    curve = CostFrontier(
        "max_difference",
        np.array([0.0, 0.1, 1.0]),
        np.array([0.3, 0.2, 0.2]),
        lower_bound=np.array([0.28, 0.19, 0.2]),
    )
    display = ParetoFrontierDisplay.from_frontier(frontier(), certified=curve)
    corners = display.bands_[""].get_paths()[0].vertices
    for corner in ([0.0, 0.7], [0.0, 0.72], [0.1, 0.8], [0.1, 0.81]):
        assert np.isclose(corners, corner).all(axis=1).any()
    assert corners[:, 0].max() <= display.ax_.get_xlim()[1] + 1e-12
    factors = CostFrontier("factor", curve.knob, curve.cost)
    for made, band, match in (
        (frontier(score_name="recall"), curve, "'recall'"),
        (frontier(), factors, "its knob 'factor'"),
        (frontier(knob_name="factor"), curve, "knob 'factor'"),
        (frontier(costs=(1.0, 3.0)), curve, r"costs \(1.0, 3.0\)"),
        (frontier(), 0.1, "curve 'float'"),
    ):
        with pytest.raises(ValueError, match=match):
            ParetoFrontierDisplay.from_frontier(made, certified=band)


def test_ratios_turn_round():
    """Of ratios more is better: steps and noise run the other way."""
    display = ParetoFrontierDisplay.from_frontier(
        frontier(criterion=DemographicParity(min_ratio=0.8), noise_floor=0.9)
    )
    assert display.steps_[""].get_drawstyle() == "steps-pre"
    assert display.noise_floor_.get_x() == 0.9
    assert "smallest ratio of selection rate" in display.ax_.get_xlabel()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"frontier": {}}, "empty dict"),
        ({"frontier": 3}, "what fairness_frontier returns, got 3"),
        ({"frontier": frontier(), "selected": 0.3}, r"one of \[0.0, 0.05, 0.1, 0.2\], got 0.3"),
        ({"frontier": frontier(), "confidence": 1.0}, "confidence must be in"),
        ({"frontier": {"a": frontier(), "b": frontier()}, "selected": 0.05}, "by the name"),
        ({"frontier": {"a": frontier()}, "selected": {"c": 0.05}}, r"names among \['a'\]"),
        (
            {"frontier": {"a": frontier(), "b": frontier(criterion=EqualizedOdds())}},
            "agree in criterion",
        ),
        ({"frontier": {"a": frontier(), "b": frontier(score_name="f1")}}, "agree in score_name"),
    ],
)
def test_bad_frontiers(arguments, match):
    """What cannot be on one pair of axes is an error that says why."""
    with pytest.raises(ValueError, match=match):
        ParetoFrontierDisplay.from_frontier(**arguments)


@pytest.mark.parametrize(
    ("criterion", "label"),
    [
        (DemographicParity(), "largest gap in selection rate"),
        (EqualizedOdds(), "largest gap in true or false positive rate"),
        (EqualizedOdds(min_ratio=0.8), "smallest ratio of true or false positive rate"),
        (
            AllOf([DemographicParity(), EqualizedOdds()]),
            "largest gap in selection, true positive or false positive rate",
        ),
    ],
)
def test_label_of_a_disparity(criterion, label):
    """An axis says what is compared, and words in common once."""
    assert _disparity_label(criterion) == label


# Rates


def test_rates_and_counts():
    """The points are the rates, the bars Wilson's limits over the rows that each rate is of."""
    decided = DecisionTreeClassifier(max_depth=2).fit(X, Y).predict(X)
    display = GroupRatesDisplay.from_predictions(Y, decided, sensitive_features=GROUPS)
    expected = group_rates(Y, decided, sensitive_features=GROUPS)
    z = 1.959963984540054
    for rate, value in expected.rates.items():
        drawn = [bar.lines[0].get_xdata()[0] for bar in display.errorbars_[rate]]
        np.testing.assert_array_equal(drawn, value)
        # Wilson: the limits solve |p - m| = z sqrt(m (1 - m) / n).
        for limit in (display.lower[rate], display.upper[rate]):
            found = np.abs(value - limit)
            np.testing.assert_allclose(
                found, z * np.sqrt(limit * (1 - limit) / display.count[rate])
            )
        heading = display.headings_[rate].get_text()
        assert f"{expected.difference[rate]:.3f}" in heading
    positives = [np.sum((Y == 1) & (g == GROUPS)) for g in (0, 1)]
    np.testing.assert_array_equal(display.count["true_positive_rate"], positives)
    ticks = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert f"0 ({positives[0]:,})" in ticks


@pytest.mark.parametrize("weight", [None, WEIGHT, WEIGHT**4, (WEIGHT > 0.8).astype(float)])
@pytest.mark.parametrize("is_sure", [True, False])
def test_intervals_are_those_of_the_audit(weight, is_sure):
    """Of probabilities and weights too: one picture, whichever way it is made."""
    y_pred = LogisticRegression().fit(X, Y).predict_proba(X)[:, 1]
    y_pred = (y_pred > 0.5).astype(int) if is_sure else y_pred
    given = {"sensitive_features": GROUPS, "sample_weight": weight}
    display = GroupRatesDisplay.from_predictions(Y, y_pred, **given)
    other = audit(Y, y_pred, **given).plot()
    assert list(display.rates.rates) == list(other.rates.rates)
    for name in display.rates.rates:
        np.testing.assert_array_equal(display.count[name], other.count[name])
        for here, there in (
            (display.rates[name], other.rates[name]),
            (display.lower[name], other.lower[name]),
            (display.upper[name], other.upper[name]),
        ):
            np.testing.assert_allclose(here, there, rtol=1e-12)


def test_weights_widen_intervals_and_probabilities_narrow_them():
    """Uneven weights are as good as fewer rows; probabilities vary less than decisions."""
    score = LogisticRegression().fit(X, Y).predict_proba(X)[:, 1]
    given = {"sensitive_features": GROUPS, "rates": SELECTION_RATE}

    def width(y_pred, weight):
        display = GroupRatesDisplay.from_predictions(Y, y_pred, sample_weight=weight, **given)
        return display.upper["selection_rate"] - display.lower["selection_rate"]

    decided = (score > 0.5).astype(int)
    np.testing.assert_allclose(width(decided, np.full(len(Y), 3.0)), width(decided, None))
    assert (width(decided, WEIGHT**4) > 1.2 * width(decided, None)).all()
    assert (width(score, None) < 0.8 * width(decided, None)).all()


def test_rows_without_weight_are_not_counted():
    """A row of weight 0 is no row that a rate, a histogram or a curve is taken over."""
    decided = DecisionTreeClassifier(max_depth=2).fit(X, Y).predict(X)
    kept = np.arange(len(Y)) % 4 > 0
    given = {"rates": SELECTION_RATE}
    display = GroupRatesDisplay.from_predictions(
        Y, decided, sensitive_features=GROUPS, sample_weight=kept.astype(float), **given
    )
    alone = GroupRatesDisplay.from_predictions(
        Y[kept], decided[kept], sensitive_features=GROUPS[kept], **given
    )
    for found, expected in ((display.count, alone.count), (display.lower, alone.lower)):
        np.testing.assert_allclose(found["selection_rate"], expected["selection_rate"])
    score = X[:, 0] + 100.0 * ~kept
    scores = ScoreDistributionDisplay.from_predictions(
        score, sensitive_features=GROUPS, sample_weight=kept.astype(float)
    )
    alone = ScoreDistributionDisplay.from_predictions(score[kept], sensitive_features=GROUPS[kept])
    assert scores.count == alone.count
    np.testing.assert_array_equal(scores.edges, alone.edges)
    for label in alone.shares:
        np.testing.assert_allclose(scores.shares[label], alone.shares[label])


def test_many_groups_on_small_axes():
    """Where not all names can be read, those of the lowest and the highest group are there."""
    rng = np.random.default_rng(0)
    groups = np.array([f"group {i}" for i in range(10)])[rng.integers(10, size=2000)]
    _, ax = plt.subplots(figsize=(4, 3), layout="constrained")
    display = GroupRatesDisplay.from_predictions(
        rng.integers(2, size=2000), rng.integers(2, size=2000), sensitive_features=groups, ax=ax
    )
    named = ax.get_yticklabels()
    assert len(named) == 2 * 4
    assert all(text.get_fontsize() >= 5 for text in named)
    rates = display.rates["selection_rate"]
    labels = display.rates.groups[[rates.argmin(), rates.argmax()]]
    assert {text.get_text().split(" (")[0] for text in named[:2]} == set(labels)
    # Every group is drawn, the lowest on top.
    place = [-bars.lines[0].get_ydata()[0] for bars in display.errorbars_["selection_rate"]]
    np.testing.assert_array_equal(np.argsort(place), np.argsort(rates))


@pytest.mark.parametrize("n_groups", [60, 300])
def test_pictures_of_very_many_groups(n_groups):
    """They are no higher than can be looked at, drawn at once, and their text is free of bars."""
    rng = np.random.default_rng(0)
    n = 20 * n_groups
    groups, y, decided = np.arange(n) % n_groups, rng.integers(2, size=n), rng.integers(2, size=n)
    display = GroupRatesDisplay.from_predictions(y, decided, sensitive_features=groups)
    assert display.figure_.get_figheight() <= 20
    display.figure_.draw_without_rendering()
    headings = list(display.headings_.values())
    for (rate, (bars,)), heading in zip(display.errorbars_.items(), headings, strict=True):
        drawn = bars.lines[0].get_xydata()
        order = np.argsort(-drawn[:, 1])
        np.testing.assert_array_equal(drawn[order, 0], np.sort(display.rates[rate]))
        top = display.ax_.transData.transform((0, drawn[:, 1].max()))[1]
        assert heading.get_window_extent().y0 > top
    boxes = [text.get_window_extent() for text in display.ax_.get_yticklabels()]
    boxes = sorted([*boxes, *(text.get_window_extent() for text in headings)], key=lambda b: b.y0)
    assert len(boxes) == 3 * 4
    assert all(a.y1 <= b.y0 + 1 for a, b in pairwise(boxes))


def test_no_two_groups_look_alike():
    """A colour that comes again comes with another marker."""
    looks = {(_color(i), _marker(i)) for i in range(40)}
    assert len(looks) == 40


def test_expected_rates_of_an_estimator(thresholds):
    """Of a randomised rule the expected rates are drawn, through a pipeline too."""
    p = thresholds.decision_probability(WITH_GROUP)
    wrapped = make_pipeline(FunctionTransformer(), thresholds)
    for estimator in (thresholds, wrapped):
        display = GroupRatesDisplay.from_estimator(estimator, WITH_GROUP, Y, rates=SELECTION_RATE)
        gap = demographic_parity_difference(Y, p, sensitive_features=GROUPS)
        assert display.rates.difference["selection_rate"] == pytest.approx(gap)


def test_strata_of_an_estimator():
    """An estimator fitted with strata decides by them, and is drawn."""
    strata = np.arange(len(Y)) % 3
    clf = GroupThresholdClassifier(LogisticRegression(), DemographicParity(max_difference=0.05))
    given = {"sensitive_features": GROUPS, "control_features": strata}
    clf.fit(X, Y, **given)
    p = clf.decision_probability(X, **given)
    display = GroupRatesDisplay.from_estimator(clf, X, Y, rates=SELECTION_RATE, **given)
    expected = group_rates(Y, p, sensitive_features=GROUPS, rates=SELECTION_RATE)
    np.testing.assert_allclose(display.rates["selection_rate"], expected["selection_rate"])
    with pytest.raises(ValueError, match="control_features="):
        GroupRatesDisplay.from_estimator(clf, X, Y, sensitive_features=GROUPS)


def test_text_fits_small_pictures():
    """However many groups, no two lines of text overlap, and none leaves the picture."""
    rng = np.random.default_rng(0)
    groups = np.array([f"group {i}" for i in range(5)])[rng.integers(5, size=400)]
    y = rng.integers(2, size=400)
    for size in ((4, 3), (10, 6)):
        figure, ax = plt.subplots(figsize=size, layout="constrained")
        display = GroupRatesDisplay.from_predictions(
            y, rng.integers(2, size=400), sensitive_features=groups, ax=ax
        )
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in ax.get_yticklabels()]
        boxes = sorted(boxes, key=lambda box: box.y0)
        assert all(a.y1 <= b.y0 + 1 for a, b in pairwise(boxes))
        for text in display.headings_.values():
            assert text.get_window_extent().x1 <= figure.bbox.x1 + 1


# ROC curves


def test_roc_by_hand():
    """Two groups of four rows: curves, hulls, operating points and the area within the bound."""
    # Group a: scores .9 (1), .8 (0), .3 (1), .1 (0): (0, .5), (.5, .5), (.5, 1), (1, 1).
    # Group b: scores .9 (1), .7 (1), .4 (0), .2 (0): (0, .5), (0, 1), (.5, 1), (1, 1).
    y = [1, 0, 1, 0, 1, 1, 0, 0]
    score = [0.9, 0.8, 0.3, 0.1, 0.9, 0.7, 0.4, 0.2]
    group = ["a"] * 4 + ["b"] * 4
    display = GroupROCDisplay.from_predictions(
        y,
        score,
        sensitive_features=group,
        thresholds={"a": [(0.2, 0.5), (0.85, 0.5)], "b": 0.8},
        constraint=FalsePositiveRateParity(max_difference=0.25),
    )
    np.testing.assert_allclose(
        display.curves["a"], [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]
    )
    # Half of (.5, 1) and half of (0, .5).
    np.testing.assert_allclose(display.operating["a"], [0.25, 0.75])
    np.testing.assert_allclose(display.operating["b"], [0.0, 0.5])
    assert {tuple(corner) for corner in display.hulls["a"]} == {
        (0, 0), (0, 0.5), (0.5, 1), (1, 1)
    }  # fmt: skip
    # b may have a false positive rate of up to .25 + .25, a of up to 0 + .25.
    assert display.feasible["a"][:, 0].max() == pytest.approx(0.25, abs=1e-6)
    assert display.feasible["b"][:, 0].max() == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_allclose(display.operating_["a"].get_xydata(), [[0.25, 0.75]])
    np.testing.assert_allclose(display.curves_["b"].get_xydata(), display.curves["b"])


@pytest.mark.parametrize(
    "constraint",
    [
        EqualizedOdds(max_difference=0.05),
        EqualizedOdds(min_ratio=0.8),
        DemographicParity(max_difference=0.05, reference="overall"),
        DemographicParity(min_ratio=0.9, reference="overall"),
        ErrorRateParity(max_difference=0.02),
        AllOf([DemographicParity(max_difference=0.2), EqualizedOdds(max_difference=0.1)]),
        MinimumRate(TRUE_POSITIVE_RATE, at_least=0.8),
        Capacity(at_most=0.2),
    ],
    ids=repr,
)
def test_area_is_what_keeps_the_constraint(thresholds, constraint):
    """A group may move anywhere in its area, and nowhere else in its hull, by the metric."""
    clf = thresholds.at(constraint=constraint)
    display = GroupROCDisplay.from_estimator(clf)
    rng = np.random.default_rng(0)
    mass = clf._mass
    moments = constraint._moments_of_mass(mass)
    for g, label in enumerate(display.operating):
        area = display.feasible[label]
        corners = display.hulls[label]
        inside = rng.dirichlet(np.ones(len(area)), 50) @ area
        anywhere = rng.dirichlet(np.full(len(corners), 0.3), 300) @ corners
        for points, certain in (
            (inside, True),
            (anywhere, False),
            (display.operating[label][None], True),
        ):
            for point in points:
                rates = np.array(list(display.operating.values()))
                rates[g] = point
                found = kept(constraint, moments, rates * mass)
                if certain:
                    assert found < 1e-6
                elif found < -1e-6:
                    assert in_polygon(area, point)
                elif found > 1e-6:
                    assert not in_polygon(area, point, -1e-6)


def test_no_area_for_conditions_of_the_user(thresholds):
    """What the user's own conditions leave is not drawn, rather than drawn wrongly."""
    clf = thresholds.at(constraint=ConvexRates(at_least_seven_in_ten))
    assert GroupROCDisplay.from_estimator(clf).feasible == {}


def at_least_seven_in_ten(rates):
    return [rates.tpr >= 0.7]


def test_operating_point_of_a_classifier_is_where_it_decides():
    """A classifier with a cut of its own is drawn there; one that no cut decides has no point."""
    cut = FixedThresholdClassifier(LogisticRegression(), threshold=0.8).fit(X, Y)
    display = GroupROCDisplay.from_estimator(cut, X, Y, sensitive_features=GROUPS)
    expected = group_rates(Y, cut.predict(X), sensitive_features=GROUPS)
    for g, label in enumerate(display.operating):
        false, true = display.operating[label]
        assert true == pytest.approx(expected["true_positive_rate"][g])
        assert false == pytest.approx(expected["false_positive_rate"][g])

    class Whimsical(LogisticRegression):
        def predict(self, X):
            return (np.arange(len(X)) % 2).astype(int)

    whims = Whimsical().fit(X, Y)
    display = GroupROCDisplay.from_estimator(whims, X, Y, sensitive_features=GROUPS)
    assert display.operating == {}


def test_missing_groups_are_a_group_where_asked():
    """The remedy that the error names is there."""
    told = np.where(np.arange(len(Y)) % 10, GROUPS.astype(object), None)
    model = LogisticRegression().fit(X, Y)
    score = model.predict_proba(X)[:, 1]
    calls = {
        GroupROCDisplay: [("from_estimator", (model, X, Y)), ("from_predictions", (Y, score))],
        ScoreDistributionDisplay: [("from_estimator", (model, X)), ("from_predictions", (score,))],
    }
    for kind, ways in calls.items():
        for way, arguments in ways:
            with pytest.raises(ValueError, match='missing="group"'):
                getattr(kind, way)(*arguments, sensitive_features=told)
            drawn = getattr(kind, way)(*arguments, sensitive_features=told, missing="group")
            assert len(drawn.shares if hasattr(drawn, "shares") else drawn.hulls) == 3


def test_bins_without_scores():
    """Bins that hold none of the scores are refused with the range of these."""
    with pytest.raises(ValueError, match=r"bins must hold some of the scores, which lie in \[0.1"):
        ScoreDistributionDisplay.from_predictions(
            [0.1, 0.9], sensitive_features=[0, 1], bins=[2, 3, 4]
        )


def kept(constraint, moments, sums):
    """Return by how much the worst bound is exceeded."""
    return violations(moments, rates_of(moments, sums)).max()


def in_polygon(corners, point, slack=1e-6):
    """Whether a point is in a convex polygon given counter-clockwise."""
    step = np.roll(corners, -1, axis=0) - corners
    to_point = point - corners
    return (step[:, 0] * to_point[:, 1] - step[:, 1] * to_point[:, 0] >= -slack).all()


def test_roc_of_other_rows(thresholds):
    """On given rows the operating points are the expected rates there."""
    display = GroupROCDisplay.from_estimator(thresholds, WITH_GROUP, Y)
    p = thresholds.decision_probability(WITH_GROUP)
    expected = group_rates(Y, p, sensitive_features=GROUPS, rates=TRUE_POSITIVE_RATE)[
        "true_positive_rate"
    ]
    found = [display.operating[label][1] for label in (0, 1)]
    np.testing.assert_allclose(found, expected)


def test_roc_of_a_plain_classifier():
    """A classifier without a constraint operates at its own cut, and has no area."""
    learner = LogisticRegression().fit(X, Y)
    display = GroupROCDisplay.from_estimator(learner, X, Y, sensitive_features=GROUPS)
    rates = group_rates(Y, learner.predict(X), sensitive_features=GROUPS)
    np.testing.assert_allclose(
        [point[1] for point in display.operating.values()], rates["true_positive_rate"]
    )
    assert not display.feasible


def test_operating_points_in_one_place_are_all_seen():
    """Of groups that operate at the same point the first are rings around the last."""
    y, score = [1, 0] * 3, [0.9, 0.1] * 3
    group = ["a", "a", "b", "b", "c", "c"]
    display = GroupROCDisplay.from_predictions(y, score, sensitive_features=group, thresholds=0.5)
    sizes = [display.operating_[label].get_markersize() for label in "abc"]
    assert sizes[0] > sizes[1] > sizes[2]
    faces = [display.operating_[label].get_markerfacecolor() for label in "abc"]
    assert faces[:2] == ["none", "none"]
    assert faces[2] != "none"


@pytest.mark.parametrize(
    ("score", "match"),
    [
        ([0.5, np.nan], "y_score must be finite, got 1 of 2"),
        ([0.5], "one score per row"),
        ([[0.5, 0.5], [0.2, 0.8]], "column of the positive label"),
    ],
)
def test_bad_scores(score, match):
    """Scores are one finite number per row, in both displays that draw them."""
    with pytest.raises(ValueError, match=match):
        GroupROCDisplay.from_predictions([0, 1], score, sensitive_features=[0, 1])
    with pytest.raises(ValueError, match=match if len(score) == 2 else "one value per row"):
        ScoreDistributionDisplay.from_predictions(score, sensitive_features=[0, 1])


def test_the_positive_label_of_an_estimator():
    """Scores, curves and operating points are of the label that the estimator accepts."""
    told = np.array(["bad", "good"])[Y]
    clf = ConstrainedLogisticRegression(DemographicParity(max_difference=0.1), pos_label="bad")
    clf.fit(X, told, sensitive_features=GROUPS)
    display = GroupROCDisplay.from_estimator(clf, X, told, sensitive_features=GROUPS)
    decided = clf.predict(X) == "bad"
    for label, (false, true) in display.operating.items():
        inside = label == GROUPS
        assert true == pytest.approx(decided[inside & (told == "bad")].mean())
        assert false == pytest.approx(decided[inside & (told == "good")].mean())
    scores = ScoreDistributionDisplay.from_estimator(clf, X, sensitive_features=GROUPS)
    assert scores.score_name == "predicted probability of bad"
    other = ScoreDistributionDisplay.from_estimator(
        clf, X, sensitive_features=GROUPS, pos_label="good"
    )
    assert other.score_name == "predicted probability of good"


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (np.where(Y == 1, "yes", "no"), r"classes that the estimator knows, \[0, 1\]"),
        (Y + 5, r"classes that the estimator knows, \[0, 1\], got \[5, 6\]"),
        (np.where(np.arange(len(Y)) < 3, np.nan, Y), "y must not have missing values, got 3 of"),
        (Y[:10], "inconsistent numbers of samples"),
        (np.ones(len(Y), dtype=int), "rows of both labels in a group"),
    ],
)
def test_labels_that_no_curve_can_be_of(thresholds, y, match):
    """Labels are checked before they are drawn: nothing unknown counts as negative."""
    learner = LogisticRegression().fit(WITH_GROUP, Y)
    for estimator, given in ((thresholds, {}), (learner, {"sensitive_features": GROUPS})):
        with pytest.raises(ValueError, match=match):
            GroupROCDisplay.from_estimator(estimator, WITH_GROUP, y, **given)


def test_missing_labels_of_predictions():
    """A missing label is told as one, however it is written."""
    for missing in (np.nan, None):
        y = np.array([1, 0, missing, 0], dtype=object)
        with pytest.raises(ValueError, match="y_true must not have missing values, got 1 of 4"):
            GroupROCDisplay.from_predictions(y, [0.1, 0.2, 0.3, 0.4], sensitive_features=[0] * 4)


def test_a_positive_label_that_is_not_there():
    """The message names the labels."""
    learner = LogisticRegression().fit(X, Y)
    with pytest.raises(ValueError, match=r"one of the labels \[0, 1\], got 5"):
        ScoreDistributionDisplay.from_estimator(learner, X, sensitive_features=GROUPS, pos_label=5)


# Scores


def test_histograms_and_thresholds(thresholds):
    """Bars are shares of the group's samples, lines its thresholds, a heading says both."""
    learner = thresholds.estimator_
    display = ScoreDistributionDisplay.from_estimator(thresholds, WITH_GROUP, bins=10)
    score = learner.predict_proba(WITH_GROUP)[:, 1]
    for g, label in enumerate(thresholds.groups_):
        inside = g == GROUPS
        expected = np.histogram(score[inside], np.linspace(0, 1, 11))[0] / inside.sum()
        np.testing.assert_allclose(display.shares[label], expected)
        values, _, baseline = display.histograms_[label].get_data()
        np.testing.assert_allclose(values - baseline, expected)
        lines = [segment[0][0] for segment in display.thresholds_[label].get_segments()]
        rule = [t for t, _ in thresholds.thresholds_[label] if np.isfinite(t)]
        np.testing.assert_allclose(lines, rule)
        assert f"({inside.sum():,})" in display.headings_[label].get_text()
    assert display.ax_.get_xlabel() == "predicted probability of 1"


def test_scores_that_thresholds_came_from(thresholds):
    """Without rows the out-of-fold scores are drawn."""
    display = ScoreDistributionDisplay.from_estimator(thresholds)
    score = cross_val_predict(LogisticRegression(), WITH_GROUP, Y, cv=3, method="predict_proba")
    for g, label in enumerate(display.shares):
        inside = score[g == GROUPS, 1]
        assert display.count[label] == len(inside)
        expected = np.histogram(inside, display.edges)[0] / len(inside)
        np.testing.assert_allclose(display.shares[label], expected)


def test_strips_on_small_axes_are_mostly_bars():
    """Five strips on small axes have short headings, and no tick labels that touch."""
    rng = np.random.default_rng(0)
    groups = np.array([f"group {i}" for i in range(5)])[rng.integers(5, size=500)]
    figure, ax = plt.subplots(figsize=(4, 3), layout="constrained")
    display = ScoreDistributionDisplay.from_predictions(
        rng.random(500),
        sensitive_features=groups,
        thresholds={label: [(0.2, 0.3), (0.5, 0.3), (0.8, 0.4)] for label in set(groups)},
        ax=ax,
    )
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in ax.get_yticklabels() if t.get_text()]
    boxes = sorted(boxes, key=lambda box: box.y0)
    assert all(a.y1 <= b.y0 + 1 for a, b in pairwise(boxes))
    top = max(share.max() for share in display.shares.values())
    assert 5 * top > 0.45 * ax.get_ylim()[1]


def test_scores_of_predictions():
    """Scores without a rule, with one for all, and with weights."""
    score = np.array([0.0, 1.0, 2.0, 4.0])
    given = {"sensitive_features": ["a", "a", "b", "b"], "bins": 2}
    display = ScoreDistributionDisplay.from_predictions(
        score, thresholds=1.5, sample_weight=[1.0, 1.0, 1.0, 3.0], **given
    )
    np.testing.assert_allclose(display.shares["b"], [0.0, 1.0])
    assert display.headings_["a"].get_text() == "a (2): accepted from 1.5"
    plain = ScoreDistributionDisplay.from_predictions(score, **given)
    assert plain.headings_["a"].get_text() == "a (2)"
    with pytest.raises(ValueError, match="groups"):
        ScoreDistributionDisplay.from_predictions(score, thresholds={"c": 1.0}, **given)


# The contract


def made(thresholds):
    decided = thresholds.predict(WITH_GROUP)
    return [
        ParetoFrontierDisplay.from_frontier(frontier()),
        GroupRatesDisplay.from_predictions(Y, decided, sensitive_features=GROUPS),
        GroupROCDisplay.from_estimator(thresholds),
        ScoreDistributionDisplay.from_estimator(thresholds),
    ]


def test_displays_are_drawn_again(thresholds):
    """Every display keeps axes and figure, and `plot` draws it on other axes."""
    for display in made(thresholds):
        assert display.figure_ is display.ax_.figure
        figure, ax = plt.subplots()
        assert display.plot(ax) is display
        assert (display.ax_, display.figure_) == (ax, figure)
        assert ax.get_xlabel()


def test_missing_groups_and_labels():
    """What a picture lacks is told."""
    learner = LogisticRegression().fit(X, Y)
    with pytest.raises(ValueError, match="sensitive_columns="):
        GroupRatesDisplay.from_estimator(learner, X, Y)
    with pytest.raises(ValueError, match="both or not at all"):
        GroupROCDisplay.from_estimator(learner, X, sensitive_features=GROUPS)
    with pytest.raises(ValueError, match="X must be given for LogisticRegression"):
        ScoreDistributionDisplay.from_estimator(learner)


def test_matplotlib_is_not_imported():
    """The package works without matplotlib, and imports it for pictures alone."""
    code = "import sys, fairlearnkit.display; assert 'matplotlib' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
