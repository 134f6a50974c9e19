"""Audit reports: numbers, verdicts, formats, bad input."""

import json
import pickle
import warnings
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from helpers import counted_rate
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from fairlearnkit import (
    AllOf,
    Capacity,
    DemographicParity,
    EqualizedOdds,
    ErrorRateParity,
    FalsePositiveRateParity,
    GroupThresholdClassifier,
    audit,
    audit_estimator,
)
from fairlearnkit._kernels.intervals import newcombe_interval, wilson_interval
from fairlearnkit.constraints import (
    FALSE_POSITIVE_RATE,
    SELECTION_RATE,
    TRUE_POSITIVE_RATE,
)
from fairlearnkit.datasets import make_group_classification
from fairlearnkit.display import GroupRatesDisplay
from fairlearnkit.exceptions import DegenerateGroupWarning
from fairlearnkit.metrics import disparity, disparity_scorer


def people(n=2000, seed=0):
    """Return labels, scores, decisions and two attributes; women are accepted less often."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"sex": rng.choice(["f", "m"], n), "age": rng.choice(["old", "young"], n)}
    )
    score = np.clip(rng.beta(2, 3, n) + 0.1 * (frame["sex"] == "m").to_numpy(), 0, 1)
    y = (rng.random(n) < score).astype(int)
    return frame, y, score, (score > 0.5).astype(int)


def one(report, **wanted):
    """Return the only rate of a report with these values."""
    (found,) = [r for r in report.rates if all(getattr(r, k) == v for k, v in wanted.items())]
    return found


def test_every_group_and_intersection():
    """Rates, counts and intervals are those of direct counting, for columns and their product."""
    frame, y, _, pred = people()
    report = audit(y, pred, sensitive_features=frame)
    assert report.attributes == ("sex", "age", "sex x age")
    assert len(report.rates) == 4 * (2 + 2 + 4)
    rows = ((frame["sex"] == "f") & (frame["age"] == "old")).to_numpy()
    for rate in (SELECTION_RATE, TRUE_POSITIVE_RATE, FALSE_POSITIVE_RATE):
        found = one(report, attribute="sex x age", group=("f", "old"), rate=rate.name)
        expected = counted_rate(rate.name, y[rows], pred[rows], np.ones(rows.sum()))
        np.testing.assert_allclose(found.value, expected)
        limits = wilson_interval(expected, found.rows)
        np.testing.assert_allclose((found.lower, found.upper), limits)
    found = one(report, attribute="sex", group="f", rate="true_positive_rate")
    assert found.rows == ((frame["sex"] == "f") & (y == 1)).sum()


def test_two_groups_by_hand():
    """60 of 200 against 80 of 200: the gap 0.1 with Newcombe's limits, noise floor √(2/π) σ."""
    sex = np.repeat(["f", "m"], 200)
    pred = np.repeat([1, 0, 1, 0], [60, 140, 80, 120])
    report = audit(np.arange(400) % 2, pred, sensitive_features=sex, criteria=DemographicParity())
    (finding,) = report.criteria
    np.testing.assert_allclose(finding.difference, 0.1)
    limits = newcombe_interval(0.4, 200, 0.3, 200)
    np.testing.assert_allclose((finding.difference_lower, finding.difference_upper), limits)
    np.testing.assert_allclose(finding.ratio, 0.75)
    error = np.sqrt(0.35 * 0.65 / 100)
    np.testing.assert_allclose(finding.noise_floor, np.sqrt(2 / np.pi) * error, rtol=1e-5)
    # With 0.35 in both together, the gap whose lower limit is 0.8416 errors (80 %) above 0.
    one, other = 0.35 + finding.detectable / 2, 0.35 - finding.detectable / 2
    error = np.sqrt(one * (1 - one) / 200 + other * (1 - other) / 200)
    lower, _ = newcombe_interval(one, 200, other, 200)
    np.testing.assert_allclose(lower, 0.8416212 * error, rtol=1e-5)
    assert (finding.highest, finding.lowest) == ("m", "f")


@pytest.mark.parametrize(
    ("criterion", "decision", "words"),
    [
        (DemographicParity(max_difference=0.05), "exceeds", "shown to exceed 0.05"),
        (DemographicParity(max_difference=0.2), "within", "shown to be within 0.2"),
        (DemographicParity(min_ratio=0.9), "exceeds", "shown to fall below 0.9"),
        (DemographicParity(min_ratio=0.5), "within", "shown to be at least 0.5"),
        (DemographicParity(max_difference=0.1), "unclear", "cannot tell with these counts"),
    ],
)
@pytest.mark.parametrize("interval", ["score", "exact"])
def test_verdicts(criterion, decision, words, interval):
    """A gap of 10.5 points in 4,000 rows: what can be said depends on the bound."""
    sex = np.repeat(["f", "m"], 2000)
    pred = np.repeat([1, 0, 1, 0], [600, 1400, 810, 1190])
    report = audit(
        np.arange(4000) % 2, pred, sensitive_features=sex, criteria=criterion, interval=interval
    )
    assert report.criteria[0].decision == decision
    assert report.criteria[0].verdict.startswith(words)


@pytest.mark.parametrize(
    "criterion", [DemographicParity(max_difference=0.05), DemographicParity(min_ratio=0.8)]
)
def test_needed_rows_tell(criterion):
    """With the rows asked for at the same rates, the verdict is no longer open."""
    sex = np.repeat(["f", "m"], [300, 300])
    counts = np.array([111, 189, 99, 201])
    report = audit(
        np.arange(600) % 2,
        np.repeat([1, 0, 1, 0], counts),
        sensitive_features=sex,
        criteria=criterion,
    )
    (finding,) = report.criteria
    assert finding.decision == "unclear"
    more = [dict(finding.needed).get(f"group {group}", 0) for group in "fm"]
    size = 300 + np.array(more)
    grown = np.rint(np.stack([counts[::2] / 300 * size, counts[1::2] / 300 * size], 1)).astype(int)
    report = audit(
        np.arange(grown.sum()) % 2,
        np.repeat([1, 0, 1, 0], grown.ravel()),
        sensitive_features=np.repeat(["f", "m"], grown.sum(axis=1)),
        criteria=criterion,
    )
    assert report.criteria[0].decision != "unclear"


def decided(*counts):
    """Return labels, decisions and groups from counts of accepted and refused rows by group."""
    counts = np.array(counts)
    pred = np.repeat(np.tile([1, 0], len(counts)), counts.ravel())
    group = np.repeat(list("abcdefgh")[: len(counts)], counts.sum(axis=1))
    return np.arange(len(pred)) % 2, pred, group


def finding_of(y, pred, group, criterion, **options):
    """Return the only finding of an audit by one criterion."""
    (found,) = audit(y, pred, sensitive_features=group, criteria=criterion, **options).criteria
    return found


def test_verdicts_in_words():
    """What is shown comes with its limit; what is not, with what more rows would show."""
    rows = decided([600, 1400], [810, 1190])
    found = finding_of(*rows, DemographicParity(max_difference=0.13))
    assert found.verdict == f"shown to be within 0.13: at most {found.certified:.3f}"
    # The 95 % interval goes beyond the bound, the 90 % interval by which it is shown does not.
    assert found.certified <= 0.13 < found.difference_upper
    np.testing.assert_allclose(found.certified, newcombe_interval(0.405, 2000, 0.3, 2000, 0.9)[1])
    found = finding_of(*rows, DemographicParity(min_ratio=0.5))
    assert found.verdict == f"shown to be at least 0.5: no less than {found.certified:.3f}"
    found = finding_of(*rows, DemographicParity(max_difference=0.1))
    assert found.verdict.endswith("would show it to exceed 0.1; none would show it to be within")
    found = finding_of(*rows, DemographicParity(min_ratio=0.72))
    assert found.verdict.endswith("would show it to be at least 0.72")
    found = finding_of(*decided([630, 1370], [810, 1190]), DemographicParity(max_difference=0.1))
    assert found.verdict.endswith("would show it to be within 0.1")
    assert "more in" not in found.verdict


@pytest.mark.parametrize("interval", ["score", "exact"])
def test_nothing_to_tell(interval):
    """Where nobody is selected no ratio is known; at a bound no number of rows tells."""
    nobody = decided([0, 100], [0, 120])
    for criterion in (DemographicParity(min_ratio=0.8), EqualizedOdds(min_ratio=0.8)):
        found = finding_of(*nobody, criterion, interval=interval)
        assert (found.decision, found.needed) == ("unclear", ())
        assert "rate of 0, and zeros have no ratio" in found.verdict
    found = finding_of(*nobody, DemographicParity(max_difference=0.1), interval=interval)
    assert found.decision == "within"
    for criterion in (DemographicParity(max_difference=0.0), DemographicParity(min_ratio=1.0)):
        found = finding_of(*decided([30, 70], [30, 70]), criterion, interval=interval)
        assert found.needed == ()
        assert "at the bound" in found.verdict
    # One silent rate does not hide that the other falls below.
    y, pred, group = np.repeat([1, 0], 200), np.repeat([1, 0, 1, 0], [80, 20, 20, 280]), "ab"
    pred, group = np.where(y == 1, pred, 0), np.repeat(["a", "b", "a", "b"], 100)
    found = finding_of(y, pred, group, EqualizedOdds(min_ratio=0.8), interval=interval)
    assert found.decision == "exceeds"


@pytest.mark.parametrize("interval", ["score", "exact"])
@pytest.mark.parametrize("reference", ["between", "overall"])
def test_verdicts_and_intervals_agree(interval, reference):
    """What exceeds a bound has its whole interval beyond it, and nothing else has."""
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(25):
        rows = rng.integers(30, 400, (int(rng.integers(2, 5)), 2))
        bound = float(rng.uniform(0.02, 0.5))
        for knob in ({"max_difference": bound}, {"min_ratio": 1 - bound}):
            criterion = DemographicParity(reference=reference, **knob)
            found = finding_of(*decided(*rows), criterion, interval=interval)
            beyond = found.difference_lower > bound
            within = found.certified <= bound
            if "min_ratio" in knob:
                beyond, within = found.ratio_upper < 1 - bound, found.certified >= 1 - bound
            expected = "exceeds" if beyond else "within" if within else "unclear"
            assert found.decision == expected
            seen.add(expected)
    assert len(seen) == 3


def test_more_of_all_where_the_reference_is_all():
    """Groups are compared with everyone: more rows of all, since more of one change the whole."""
    rows = decided([30, 70], [62, 138], [96, 204])
    found = finding_of(*rows, DemographicParity(max_difference=0.05, reference="overall"))
    ((which, rows),) = found.needed
    assert (which, rows > 600) == ("all groups together", True)


def test_detectable_differences_are_flagged():
    """A difference that is the only one is flagged in four of five reports, in spite of Holm."""
    rng = np.random.default_rng(0)
    n, n_groups, flagged = 1600, 8, 0
    group = np.arange(n) % n_groups
    expected = audit(np.arange(n) // 8 % 2, np.arange(n) // 16 % 10 < 3, sensitive_features=group)
    gap = one(expected, group=0, rate="selection_rate").detectable
    true = np.where(group == 0, 0.3 + gap * 7 / 8, 0.3 - gap / 8)
    # Errors of labels that are independent of decisions do not differ where half are positive.
    for _ in range(60):
        report = audit(
            rng.integers(2, size=n),
            (rng.random(n) < true).astype(int),
            sensitive_features=group,
            criteria=DemographicParity(),
        )
        flagged += one(report, group=0, rate="selection_rate").flagged
    assert 31 <= flagged <= 60  # 80 % of 60 is 48, with a standard error of 3.1


@pytest.mark.parametrize(
    "criterion",
    [
        DemographicParity(),
        DemographicParity(min_ratio=0.8),
        EqualizedOdds(),
        EqualizedOdds(reference="overall"),
        EqualizedOdds(min_ratio=0.8, reference="overall"),
        ErrorRateParity(),
    ],
)
@pytest.mark.parametrize("kind", ["decisions", "probabilities", "weighted"])
def test_numbers_are_those_of_the_metrics(criterion, kind):
    """The audited gap or ratio is the one that the metric reports and the criterion bounds."""
    frame, y, score, pred = people(600)
    decided = score if kind == "probabilities" else pred
    weight = np.random.default_rng(0).uniform(0.5, 2, 600) if kind == "weighted" else None
    report = audit(y, decided, sensitive_features=frame, sample_weight=weight, criteria=criterion)
    assert report.decisions == kind
    finding = report.criteria[-1]
    expected = disparity(criterion, y, decided, sensitive_features=frame, sample_weight=weight)
    found = finding.ratio if finding.bound_name == "min_ratio" else finding.difference
    np.testing.assert_allclose(found, expected)
    for name in ("difference", "ratio"):
        lower, upper = getattr(finding, f"{name}_lower"), getattr(finding, f"{name}_upper")
        assert 0 <= lower <= getattr(finding, name) <= upper <= 1
    assert 0 <= finding.noise_floor <= 1


@pytest.mark.parametrize("criterion", [EqualizedOdds(), EqualizedOdds(reference="overall")])
@pytest.mark.parametrize("kind", ["decisions", "probabilities", "weighted"])
def test_exact_intervals_hold_score_intervals(criterion, kind):
    """Exact intervals are the wider ones: rates, gaps, ratios, whatever decisions are."""
    frame, y, score, pred = people(600)
    given = {
        "y_pred": score if kind == "probabilities" else pred,
        "sample_weight": np.linspace(0.5, 2, 600) if kind == "weighted" else None,
        "sensitive_features": frame,
        "criteria": criterion,
    }
    sharp, sure = (audit(y, interval=name, **given) for name in ("score", "exact"))
    for one_rate, other in zip(sharp.rates, sure.rates, strict=True):
        assert other.lower <= one_rate.lower < one_rate.upper <= other.upper
    for one_finding, other in zip(sharp.criteria, sure.criteria, strict=True):
        for name in ("difference", "ratio"):
            assert getattr(other, f"{name}_lower") <= getattr(one_finding, f"{name}_lower") + 1e-9
            assert getattr(other, f"{name}_upper") >= getattr(one_finding, f"{name}_upper") - 1e-9
            assert getattr(other, f"{name}_lower") <= getattr(other, name)
            assert getattr(other, f"{name}_upper") >= getattr(other, name)


def test_all_of_gets_a_verdict_each():
    """The criteria of an AllOf are judged one by one, by their own bounds."""
    frame, y, _, pred = people(400)
    both = AllOf([DemographicParity(min_ratio=0.8), ErrorRateParity(max_difference=0.1)])
    report = audit(y, pred, sensitive_features=frame["sex"], criteria=both)
    assert [f.bound for f in report.criteria] == [0.8, 0.1]


def test_inputs_agree():
    """Frames, dicts, arrays, integer codes, string labels and equal weights say the same."""
    frame, y, _, pred = people(500)
    names = np.array(["no", "yes"])
    reports = [
        audit(y, pred, sensitive_features=frame),
        audit(y, pred, sensitive_features=pl.DataFrame(frame.to_dict("list"))),
        audit(y, pred, sensitive_features={"sex": frame["sex"], "age": frame["age"].to_numpy()}),
        audit(names[y], names[pred], sensitive_features=frame),
        audit(y.astype(bool), pred.astype(float), sensitive_features=frame),
        audit(y, pred, sensitive_features=frame, sample_weight=np.full(500, 3.0)),
        audit(1 - y, 1 - pred, sensitive_features=frame, pos_label=0),
    ]
    for report in reports[1:]:
        assert report.to_dict() == reports[0].to_dict()
    codes = np.unique(frame["sex"], return_inverse=True)[1]
    by_code = audit(y, pred, sensitive_features=codes)
    by_name = audit(y, pred, sensitive_features=frame["sex"].to_numpy())
    np.testing.assert_allclose([r.value for r in by_code.rates], [r.value for r in by_name.rates])
    assert [r.group for r in by_code.rates[::4]] == [0, 1]


@pytest.mark.parametrize("kind", [np.uint64, np.int8, str])
def test_types_of_codes_do_not_matter(kind):
    """Groups are the same groups in any type, with scores and in several columns too."""
    frame, y, score, pred = people()
    codes = np.column_stack([frame["sex"] == "m", frame["age"] == "old"]).astype(int)
    expected, found = (
        audit(y, pred, sensitive_features=values, y_score=score)
        for values in (codes, codes.astype(kind))
    )
    assert str(found) == str(expected)


def test_weights_are_not_repeated_rows():
    """Weights give the rates of repeated rows, but not their precision: a row is one person."""
    frame, y, _, pred = people(500)
    weight = np.random.default_rng(0).integers(1, 4, 500)
    weighted = audit(y, pred, sensitive_features=frame["sex"], sample_weight=weight)
    rows = np.repeat(np.arange(500), weight)
    repeated = audit(y[rows], pred[rows], sensitive_features=frame["sex"].to_numpy()[rows])
    for one_rate, other in zip(weighted.rates, repeated.rates, strict=True):
        np.testing.assert_allclose(one_rate.value, other.value)
        assert one_rate.upper - one_rate.lower > other.upper - other.lower


def test_zero_weights_are_removed_rows():
    """Rows of weight 0 change nothing, with equal weights and with others."""
    frame, y, score, pred = people(500)
    kept = np.arange(500) % 3 > 0
    for weight in (np.ones(500), np.random.default_rng(0).uniform(0.5, 2, 500)):
        with_zeros = audit(
            y, pred, sensitive_features=frame, y_score=score, sample_weight=weight * kept
        )
        without = audit(
            y[kept],
            pred[kept],
            sensitive_features=frame[kept],
            y_score=score[kept],
            sample_weight=weight[kept],
        )
        assert with_zeros.to_dict() == without.to_dict()


def test_scores():
    """AUC, calibration and bins by group are those of the rows."""
    frame, y, score, pred = people()
    report = audit(y, pred, sensitive_features=frame["sex"], y_score=score)
    rows = (frame["sex"] == "f").to_numpy()
    found = report.scores[0]
    np.testing.assert_allclose(found.auc, roc_auc_score(y[rows], score[rows]))
    assert found.auc_lower < found.auc < found.auc_upper
    np.testing.assert_allclose(found.excess, score[rows].mean() - y[rows].mean())
    assert found.excess_lower < 0 < found.excess_upper
    assert sum(b.rows for b in found.bins) == rows.sum()
    inside = rows & (score > 0.3) & (score <= 0.4)
    np.testing.assert_allclose(found.bins[3].positive_rate, y[inside].mean())


def test_simultaneous_intervals():
    """Intervals that hold at once are wider, and narrower than without their dependence."""
    frame, y, _, pred = people()
    alone, together = (
        audit(y, pred, sensitive_features=frame, simultaneous=s, interval="score")
        for s in (False, True)
    )
    for one_rate, other in zip(alone.rates, together.rates, strict=True):
        assert other.lower < one_rate.lower
        assert other.upper > one_rate.upper


def test_flags_keep_their_level():
    """Where groups do not differ, any flag at all is rare; where one differs, it is found."""
    rng = np.random.default_rng(0)
    n, flagged = 1500, 0
    for _ in range(60):
        report = audit(
            rng.integers(2, size=n),
            rng.integers(2, size=n),
            sensitive_features=rng.integers(8, size=n),
        )
        flagged += any(rate.flagged for rate in report.rates)
    assert flagged <= 12  # 5 % of 60 is 3: 13 or more have a chance of 2e-5 at that
    group = rng.integers(8, size=n)
    pred = (rng.random(n) < np.where(group == 3, 0.9, 0.5)).astype(int)
    for how in ("holm", "bh"):
        report = audit(
            rng.integers(2, size=n), pred, sensitive_features=group, multiple_testing=how
        )
        assert one(report, group=3, rate="selection_rate").flagged


def test_small_and_empty_cells():
    """Cells without rows are left out, named, and warned of."""
    sex = np.repeat(["f", "m", "x"], [50, 50, 4])
    y = np.concatenate([np.arange(100) % 2, np.zeros(4, dtype=int)])
    with pytest.warns(DegenerateGroupWarning, match="1 rates are not defined"):
        report = audit(y, y, sensitive_features=sex)
    assert "group, x: true positive rate over 0 rows (no rows)" in report.notes
    assert any("few rows" in note for note in report.notes)
    assert np.isnan(one(report, group="x", rate="true_positive_rate").value)
    assert "no rows" in str(report)
    with pytest.warns(DegenerateGroupWarning):
        report = audit(y[50:] * (sex[50:] == "m"), y[50:], sensitive_features=sex[50:])
    assert report.criteria[1].decision == "undefined"
    json.loads(report.to_json())


@pytest.mark.filterwarnings("ignore::fairlearnkit.exceptions.DegenerateGroupWarning")
@pytest.mark.parametrize("interval", ["score", "exact"])
@pytest.mark.parametrize("reference", ["between", "overall"])
@pytest.mark.parametrize("knob", [{"max_difference": 0.05}, {"min_ratio": 0.8}])
def test_one_rate_alone_may_show_that_a_bound_is_exceeded(interval, reference, knob):
    """Group b has no positive label: 80 of 200 against 20 of 200 false positives, a gap of 0.3.

    The largest gap is that or more, whatever true positive rates may be. The test is that of false
    positive rates alone, with no correction for a rate that is not there; nothing is said of the
    largest gap from above.
    """
    y = np.repeat([1, 0, 0], [100, 200, 200])
    pred = np.repeat([1, 0, 1, 0, 1, 0], [50, 50, 80, 120, 20, 180])
    group = np.repeat(["a", "b"], [300, 200])
    both = finding_of(
        y, pred, group, EqualizedOdds(reference=reference, **knob), interval=interval
    )
    alone = finding_of(
        y, pred, group, FalsePositiveRateParity(reference=reference, **knob), interval=interval
    )
    assert both.decision == alone.decision == "exceeds"
    assert both.verdict == f"{alone.verdict}; fewer than two groups have a true positive rate"
    same = (
        "difference difference_lower ratio ratio_upper rate highest lowest noise_floor detectable"
    )
    for name in [*same.split(), "p_exceeds"]:
        assert getattr(both, name) == getattr(alone, name)
    assert (both.difference_upper, both.ratio_lower, both.p_within) == (1, 0, 1)
    assert both.certified == (0 if "min_ratio" in knob else 1)


@pytest.mark.filterwarnings("ignore::fairlearnkit.exceptions.DegenerateGroupWarning")
def test_one_rate_alone_shows_nothing_else():
    """40 of 200 in both groups: within the bound for false positives, undefined for both rates."""
    y = np.repeat([1, 0, 0], [100, 200, 200])
    pred = np.repeat([1, 0, 1, 0, 1, 0], [50, 50, 40, 160, 40, 160])
    group = np.repeat(["a", "b"], [300, 200])
    odds = EqualizedOdds(max_difference=0.2)
    assert (
        finding_of(y, pred, group, FalsePositiveRateParity(max_difference=0.2)).decision
        == "within"
    )
    found = finding_of(y, pred, group, odds)
    assert (found.decision, found.needed) == ("undefined", ())
    assert found.verdict == "not defined: fewer than two groups have a true positive rate"
    assert np.isnan(found.difference)


def test_printing_and_formats():
    """The table, the frame, the dictionary and JSON hold the same findings; the report pickles."""
    frame, y, score, pred = people(300)
    report = audit(y, pred, sensitive_features=frame, y_score=score)
    text = str(report)
    assert "sex x age" in text
    assert "DemographicParity() by sex" in text
    assert "verdicts" in repr(report)
    found = json.loads(report.to_json())
    assert (found["schema"], found["version"]) == ("fairlearnkit.audit", 1)
    assert set(found) == {
        "schema", "version", "n_rows", "confidence", "power", "interval", "simultaneous",
        "decisions", "attributes", "rates", "criteria", "scores", "notes",
    }  # fmt: skip
    assert found["rates"][-1]["group"] == ["m", "young"]
    assert len(report.to_frame()) == len(report.rates)
    assert list(report.to_frame("criteria")["decision"]) == [f.decision for f in report.criteria]
    assert len(report.to_frame("scores")) == 8
    assert len(report.to_frame("bins")) == 80
    with pytest.raises(ValueError, match="part must be"):
        report.to_frame("all")
    again = pickle.loads(pickle.dumps(report))
    assert again.to_dict() == report.to_dict()
    with pytest.raises(AttributeError):
        report.n_rows = 0


class Page(HTMLParser):
    """Counts elements and collects what a page would load."""

    def __init__(self):
        super().__init__()
        self.tags, self.sources, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_one_page():
    """Well formed, with a picture per attribute inside; it loads nothing and escapes names."""
    frame, y, score, pred = people(300)
    frame["sex"] = frame["sex"].replace({"f": "<f> & co"})
    report = audit(y, pred, sensitive_features=frame, y_score=score)
    text = report.to_html(title="Loans <2026>")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.tags.count("img") == 3
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "script" not in page.tags
    assert 'name="viewport"' in text  # readable on a telephone
    assert "<f>" not in text
    assert "&lt;f&gt; &amp; co" in text


def test_plot():
    """The picture shows the report's own numbers."""
    frame, y, _, pred = people(300)
    report = audit(y, pred, sensitive_features=frame)
    display = report.plot("age")
    np.testing.assert_allclose(
        display.lower["selection_rate"],
        [r.lower for r in report.rates if r.attribute == "age" and r.rate == "selection_rate"],
    )
    with pytest.raises(ValueError, match="attribute must be one of"):
        report.plot("race")
    plt.close(display.figure_)


def test_resample():
    """Draws are reproducible, have the report's rates as their mean, and gaps of their own."""
    frame, y, _, pred = people()
    report = audit(y, pred, sensitive_features=frame)
    found, again = (report.resample(500, attribute="sex") for _ in range(2))
    np.testing.assert_array_equal(found.rates["error_rate"], again.rates["error_rate"])
    rates = found.rates["selection_rate"]
    expected = [r.value for r in report.rates if r.attribute == "sex"][::4]
    np.testing.assert_allclose(rates.mean(axis=0), expected, atol=0.005)
    np.testing.assert_allclose(found.difference["selection_rate"], np.ptp(rates, axis=1))
    with pytest.raises(ValueError, match="n_resamples"):
        report.resample(0)


def test_estimator():
    """A fitted classifier, a constrained one and its decisions give consistent reports."""
    X, y, group = make_group_classification(1200, random_state=0)
    clf = LogisticRegression().fit(X[:600], y[:600])
    report = audit_estimator(clf, X[600:], y[600:], sensitive_features=group[600:])
    direct = audit(
        y[600:],
        clf.predict(X[600:]),
        sensitive_features=group[600:],
        y_score=clf.predict_proba(X[600:])[:, 1],
    )
    assert report.to_dict() == direct.to_dict()

    rule = GroupThresholdClassifier(clf, DemographicParity(max_difference=0.0), cv="prefit")
    rule.fit(X[:600], y[:600], sensitive_features=group[:600])
    report = audit_estimator(rule, X[:600], y[:600], sensitive_features=group[:600])
    assert report.decisions == "probabilities"
    assert report.criteria[0].difference < 1e-9
    with pytest.raises(ValueError, match="Groups are needed"):
        audit_estimator(clf, X, y)
    by_column = audit_estimator(clf, X, y, sensitive_columns=lambda X: X[:, 0] > 0)
    assert len(by_column.rates) == 8


def test_groups_given_count():
    """Groups that are passed are audited, whatever the estimator itself decides by."""
    X, y, group = make_group_classification(600, random_state=0)
    frame = pd.DataFrame(X).add_prefix("x").assign(kind=group)
    clf = LogisticRegression()
    rule = GroupThresholdClassifier(
        clf, DemographicParity(max_difference=0.0), sensitive_columns="kind", drop_sensitive=True
    ).fit(frame, y)
    age = pd.Series(np.where(np.arange(600) % 2, "old", "young"), name="age")
    given = audit_estimator(rule, frame, y, sensitive_features=age)
    own = audit_estimator(rule, frame, y)
    assert (given.attributes, own.attributes) == (("age",), ("kind",))
    # The same decisions in both.
    for rate in ("selection_rate", "error_rate"):
        total = [sum(r.value * r.rows for r in a.rates if r.rate == rate) for a in (given, own)]
        np.testing.assert_allclose(*total)


def test_strata_reach_the_decisions():
    """An estimator that decides by strata is audited on them, in a pipeline too."""
    X, y, group = make_group_classification(600, random_state=0)
    stratum = np.where(np.arange(600) % 2, "u", "v")
    rule = GroupThresholdClassifier(LogisticRegression(), DemographicParity(max_difference=0.0))
    rule.fit(X, y, sensitive_features=group, control_features=stratum)
    known = {"sensitive_features": group, "control_features": stratum}
    decided = rule.decision_probability(X, **known)
    expected = audit(y, decided, sensitive_features=group).to_dict()
    for estimator in (rule, make_pipeline("passthrough", FrozenEstimator(rule))):
        assert audit_estimator(estimator, X, y, **known).to_dict() == expected
    # Who decides without strata is not passed any.
    plain = LogisticRegression().fit(X, y)
    with_strata = audit_estimator(plain, X, y, **known)
    assert (
        with_strata.to_dict() == audit_estimator(plain, X, y, sensitive_features=group).to_dict()
    )
    rule.fit(X, y, sensitive_features=group)
    audit_estimator(rule, X, y, **known)
    rule.fit(X, y, sensitive_features=group, control_features=stratum)
    with pytest.raises(ValueError, match="Pass control_features= to this method too"):
        audit_estimator(rule, X, y, sensitive_features=group)


def test_scores_of_unnamed_classes_are_left_out():
    """Columns of probabilities that nobody names are no scores."""

    class Nameless:
        """A classifier without `classes_`."""

        def predict(self, X):
            return (X[:, 0] > 0).astype(int)

        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    X, y, group = make_group_classification(200, random_state=0)
    report = audit_estimator(Nameless(), X, y, sensitive_features=group)
    assert report.scores == ()
    assert report.to_dict() == audit(y, Nameless().predict(X), sensitive_features=group).to_dict()


def test_missing_groups_are_what_they_are_for_the_estimator():
    """An estimator that made them a group has them audited, scored and drawn as one."""
    X, y, group = make_group_classification(600, random_state=0)
    told = np.where(np.arange(600) % 3, np.array(["a", "b"])[group], None)
    frame = pd.DataFrame(X).add_prefix("x").assign(kind=told)
    rule = GroupThresholdClassifier(
        LogisticRegression(),
        DemographicParity(max_difference=0.0),
        sensitive_columns="kind",
        drop_sensitive=True,
        missing="group",
    ).fit(frame, y)
    groups = {rate.group for rate in audit_estimator(rule, frame, y).rates}
    assert groups == {"a", "b", None}
    told_as = {"sensitive_features": told, "missing": "group"}
    gap = disparity(DemographicParity(), y, rule.decision_probability(frame), **told_as)
    assert disparity_scorer(DemographicParity())(rule, frame, y) == -gap
    drawn = GroupRatesDisplay.from_estimator(rule, frame, y)
    assert {len(bars) for bars in drawn.errorbars_.values()} == {3}
    plt.close(drawn.figure_)
    plain = LogisticRegression().fit(X, y)
    for call in (audit_estimator, disparity_scorer(DemographicParity())):
        with pytest.raises(ValueError, match='missing="group"'):
            call(plain, X, y, sensitive_features=told)
    with pytest.raises(ValueError, match='missing="group"'):
        audit_estimator(rule, frame, y, missing="error")


def test_no_line_of_prose_is_too_long_for_a_terminal():
    """Verdicts, numbers and notes are wrapped, whatever names groups have."""
    frame, y, _, pred = people(400)
    frame["sex"] = frame["sex"].map({"f": "a name that is long " * 4, "m": "another one " * 5})
    lines = str(audit(y, pred, sensitive_features=frame)).splitlines()
    prose = [line for line in lines if "  " not in line.strip()]
    assert len(prose) > 20
    assert max(map(len, prose)) <= 99


def test_uneven_weights_are_noted():
    """A group whose weight lies on a few rows is marked, however many rows it has."""
    frame, y, _, pred = people(400)
    weight = np.where((frame["sex"] == "f") & (np.arange(400) % 50 > 0), 1e-3, 1.0)
    report = audit(y, pred, sensitive_features=frame["sex"], sample_weight=weight)
    notes = {r.group: r.note for r in report.rates if r.rate == "selection_rate"}
    assert notes == {"f": "uneven weights", "m": ""}
    assert "sex, f: selection rate over" in report.notes[0]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.array([1, "1"] * 200, dtype=object), "read the same, got 1 and '1' in one column"),
        (pd.DataFrame(np.eye(400, 2), columns=["a", "a"]), r"got \['a'\] more than once"),
        (np.random.default_rng(0).random(400), "got 400 values of group in 400 rows"),
        (pd.DataFrame({"age": np.arange(400) % 150}), "got 150 values of age .* pandas.cut"),
        (np.arange(800).reshape(-1, 2) % 60, "at most 400 groups, got .* audit_subgroups"),
    ],
)
def test_what_are_no_groups(groups, message):
    """Values that read the same, columns of one name and measurements: errors with a remedy."""
    y = np.arange(400) % 2
    with pytest.raises(ValueError, match=message):
        audit(y, y, sensitive_features=groups)


@pytest.mark.filterwarnings(
    "ignore::fairlearnkit.exceptions.DegenerateGroupWarning"  # two or three rows each
)
def test_measurements_where_asked_for():
    """Many values are groups where their number is named, or where they are names."""
    y, value = np.arange(400) % 2, np.arange(400) % 150
    for groups, options in ((value, {"max_groups": 150}), (value.astype(str), {})):
        report = audit(y, y, sensitive_features=groups, criteria=DemographicParity(), **options)
        assert len(report.rates) == 600


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": [0, 1, 2, 0]}, "Labels must be of two kinds"),
        ({"y_pred": [0, 1, 5, 0]}, "Labels must be of two kinds"),
        ({"y_pred": [0.5, 0.1, 1.5, 0]}, r"probabilities in \[0, 1\]"),
        ({"y_true": [0, 1]}, "inconsistent"),
        ({"y_score": [0.1, 0.2, 1.4, 0]}, r"y_score must be probabilities .* in \[0, 1\]"),
        ({"y_score": [0.1, 0.2]}, "y_score must have one value per row"),
        ({"y_score": [0.1, 0.2, np.nan, 0]}, "y_score must not have missing values, got 1 of 4"),
        ({"y_true": np.ma.masked_array([0, 1, 1, 0], mask=[1, 0, 0, 0])}, "got 1 of 4 masked"),
        ({"criteria": "dp"}, "criteria must be a criterion or a sequence of them, got 'dp'"),
        ({"confidence": 1.0}, r"confidence must be in \(0.5, 1\), got 1.0"),
        ({"confidence": 0.5}, r"confidence must be in \(0.5, 1\), got 0.5"),
        ({"confidence": "high"}, "confidence must be"),
        ({"power": 0}, r"power must be in \(0, 1\)"),
        ({"max_difference": 2}, "max_difference must be"),
        ({"interval": "wald"}, "interval must be"),
        ({"multiple_testing": "none"}, "multiple_testing must be"),
        ({"criteria": "parity"}, "criteria must be"),
        ({"rates": []}, "rates must be"),
        ({"rates": [SELECTION_RATE] * 2}, "different names"),
        ({"sensitive_features": ["a"] * 4}, "two groups at least, got one: a"),
        ({"sensitive_features": ["a", "b", None, "a"]}, "missing values"),
        ({"sensitive_features": [[1, 1], [2, 2], [3, 3], [1, 2]]}, "at most 4 groups, got 9"),
        ({"max_groups": 1}, "max_groups must be"),
        ({"max_columns": 0}, "max_columns must be a whole number of 1 or more, got 0"),
        ({"max_columns": 2.5}, "max_columns must be"),
        ({"max_columns": True}, "max_columns must be"),
        ({"missing": "drop"}, "missing must be"),
        ({"sample_weight": [-1, 1, 1, 1]}, "sample_weight must be >= 0"),
    ],
)
def test_bad_input(change, message):
    """Errors say the rule and what came."""
    given = {"y_true": [0, 1, 1, 0], "y_pred": [0, 1, 0, 1], "sensitive_features": list("abab")}
    with pytest.raises(ValueError, match=message):
        audit(**(given | change))


def test_many_groups_where_asked_for():
    """More groups than rows are audited when their number is named."""
    groups = np.array([[1, 1], [2, 2], [3, 3], [1, 2]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateGroupWarning)
        report = audit([0, 1, 1, 0], [0, 1, 0, 1], sensitive_features=groups, max_groups=9)
    assert report.attributes == ("column 0", "column 1", "column 0 x column 1")


@pytest.mark.parametrize(
    ("counts", "decision"),
    [
        ([(2000, 5), (10000, 95), (500, 100)], "exceeds"),
        ([(200_000, 20), (300_000, 10), (2000, 1)], "within"),
    ],
)
def test_rare_decisions(counts, decision):
    """Gaps between rare rates that are many standard errors from the bound have a verdict too."""
    groups = np.repeat([0, 1, 2], [n for n, _ in counts])
    y_pred = np.concatenate([np.repeat([1, 0], [k, n - k]) for n, k in counts])
    report = audit(
        np.arange(len(groups)) % 2,
        y_pred,
        sensitive_features=groups,
        criteria=DemographicParity(max_difference=0.05),
    )
    assert report.criteria[0].decision == decision


def test_columns_taken_together():
    """Up to `max_columns`: the same numbers as of all, for any number of columns and values."""
    rng = np.random.default_rng(0)
    y, pred = rng.integers(2, size=(2, 500))
    columns = pd.DataFrame(rng.integers(2, size=(500, 4)), columns=list("abcd"))
    rates = {}
    for most in (None, 2, 9):
        report = audit(
            y,
            pred,
            sensitive_features=columns,
            criteria=DemographicParity(),
            max_columns=most,
        )
        rates[most] = {(r.attribute, r.group, r.rate): (r.value, r.lower) for r in report.rates}
    assert rates[9] == rates[None]
    assert len({attribute for attribute, _, _ in rates[None]}) == 15
    few = {key: found for key, found in rates[None].items() if key[0].count(" x ") < 2}
    assert rates[2] == few
    # More intersections than numbers can tell apart, none of which is asked for.
    many = rng.integers(20, size=(500, 20))
    report = audit(y, pred, sensitive_features=many, criteria=DemographicParity(), max_columns=1)
    assert report.attributes == tuple(f"column {i}" for i in range(20))
    group = report.rates[-1].group
    assert report.rates[-1].value == np.mean((y != pred)[many[:, -1] == group])


def test_many_columns_want_to_be_asked_for():
    """Attributes double with each column: an error that says how many, and what to do."""
    y, columns = np.arange(80) % 2, np.arange(800).reshape(80, 10) % 2
    message = r"at most 6 columns .* got 10, that is 1,023 .* max_columns=2 .* \(55\), or search"
    with pytest.raises(ValueError, match=message):
        audit(y, y, sensitive_features=columns)
    many = np.arange(2000).reshape(200, 10)
    with pytest.raises(
        ValueError, match=r"values into classes, take fewer .*, or search"
    ) as error:
        audit(
            np.arange(200) % 2,
            many[:, 0] > 0,
            sensitive_features=many,
            max_columns=10,
            max_groups=10**30,
        )
    assert "pass max_groups" not in str(error.value)


def test_conditions_on_levels_are_refused():
    """An audit of what compares nothing would say nothing: an error instead."""
    for condition in (Capacity(at_most=0.3), AllOf([DemographicParity(), Capacity(at_most=0.3)])):
        with pytest.raises(ValueError, match="An audit needs criteria that compare groups"):
            audit([0, 1, 0, 1], [0, 1, 1, 0], sensitive_features=list("abab"), criteria=condition)


@pytest.mark.filterwarnings(
    "ignore::fairlearnkit.exceptions.DegenerateGroupWarning"  # tiny groups on purpose
)
def test_chance_among_few_rows():
    """The noise floor of tiny groups is a difference, and nothing is detectable at once."""
    rng = np.random.default_rng(0)
    y, pred = rng.integers(2, size=(2, 400))
    report = audit(y, pred, sensitive_features=np.arange(400) // 4, criteria=DemographicParity())
    assert 0.5 < report.criteria[0].noise_floor <= 1
    alike = audit(
        np.tile([0, 1], 20),
        np.ones(40, int),
        sensitive_features=np.repeat(["a", "b"], 20),
        criteria=DemographicParity(),
    )
    assert alike.criteria[0].detectable > 0.05


@pytest.mark.parametrize("max_difference", [0.02, 0.05])
def test_many_small_groups_are_not_flagged_by_chance(max_difference):
    """With equal rates, rare decisions and tiny groups, errors are as rare as they should be.

    At a true level of 0.05 more than 14 of 100 have a chance of 2e-4; normal tails gave 19.
    """
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(21), [1000, *[1] * 10, *[5] * 10])
    y = np.arange(len(groups)) % 2
    criterion = DemographicParity(max_difference=max_difference)
    flagged, exceeded = 0, 0
    for _ in range(100):
        pred = (rng.random(len(groups)) < 0.02).astype(int)
        report = audit(
            y, pred, sensitive_features=groups, criteria=criterion, rates=[SELECTION_RATE]
        )
        flagged += any(rate.flagged for rate in report.rates)
        exceeded += report.criteria[0].decision == "exceeds"
    assert flagged <= 14
    assert exceeded <= 14


def test_exceeding_names_what_is_shown():
    """The largest gap may be that of two rows; the verdict names the gap that is shown."""
    groups = np.repeat(["a", "b", "c"], [5000, 5000, 2])
    pred = np.concatenate([np.arange(5000) % 2, np.arange(5000) % 5 < 2, [0, 0]]).astype(int)
    (found,) = audit(
        np.arange(10002) % 2,
        pred,
        sensitive_features=groups,
        criteria=DemographicParity(max_difference=0.05),
    ).criteria
    assert (found.highest, found.lowest) == ("a", "c")
    assert found.verdict == "shown to exceed 0.05: a over b, selection rate"


def test_gap_and_ratio_may_be_of_different_rates():
    """Groups and rate are told of the bounded number alone."""
    rows = {  # group, label: accepted of a thousand
        ("a", 1): 800, ("b", 1): 600, ("a", 0): 20, ("b", 0): 80,
    }  # fmt: skip
    groups = np.repeat([group for group, _ in rows], 1000)
    y = np.repeat([label for _, label in rows], 1000)
    pred = np.concatenate([np.arange(1000) < accepted for accepted in rows.values()]).astype(int)
    report = audit(y, pred, sensitive_features=groups, criteria=EqualizedOdds(max_difference=0.05))
    found = " ".join(str(report).split())
    assert "]: a over b, true positive rate; smallest ratio 0.250 [" in found


def test_a_column_named_like_two_together():
    """Names of attributes must tell them apart."""
    y = np.arange(80) % 2
    columns = {"a x b": y, "a": np.arange(80) // 40, "b": np.arange(80) // 20 % 2}
    with pytest.raises(ValueError, match=r"name of others together, got \['a x b'\]"):
        audit(y, y, sensitive_features=pd.DataFrame(columns))


def test_identifiers_are_no_groups():
    """A name for every row or two is refused, before work grows with the square of them."""
    names = np.arange(3000).astype(str)
    with pytest.raises(ValueError, match="must be groups, got 3,000 values"):
        audit(np.arange(3000) % 2, np.arange(3000) % 2, sensitive_features=names)
