"""Subgroups found and tested: power and level, numbers, rules in words, bad input."""

import json
import pickle
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
import pytest
from helpers import counted_rate
from scipy.stats import kstest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairlearnkit import audit_subgroups
from fairlearnkit._kernels.subgroup_search import Subgroup
from fairlearnkit.constraints import FALSE_NEGATIVE_RATE, FALSE_POSITIVE_RATE, SELECTION_RATE
from fairlearnkit.datasets import load_adult
from fairlearnkit.subgroups import SubgroupRule, _Column, _levels_text, _p_value, _tested_rows


def people(seed, n):
    """Return a generator, and three attributes of people."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "sex": rng.choice(["f", "m"], n),
            "age": rng.integers(20, 65, n),
            "sector": rng.choice(["private", "public", "none"], n),
        }
    )
    return rng, frame


def planted(seed, n=3000, low=0.25):
    """Return people of whom older men in the private sector are accepted less often."""
    rng, frame = people(seed, n)
    inside = (frame["sex"] == "m") & (frame["age"] >= 45) & (frame["sector"] == "private")
    pred = (rng.random(n) < np.where(inside, low, 0.5)).astype(int)
    return frame, rng.integers(2, size=n), pred, inside.to_numpy()


def overlap(one, other):
    """Return the share of two sets that is in both; a set and its complement count as one."""
    return max((one & part).sum() / (one | part).sum() for part in (other, ~other))


@pytest.mark.parametrize(
    ("share", "n", "least"), [(0.02, 12_000, 13), (0.04, 6_000, 14), (0.08, 4_000, 16)]
)
def test_power_for_conjunctions(share, n, least):
    """Small planted subgroups of twice the rate are shown, as the docstring says."""
    shown = 0
    for seed in range(20):
        rng, frame = people(seed, n)
        oldest = 30 + share * 6 * 45
        inside = (frame["sex"] == "m") & frame["age"].between(30, oldest, inclusive="left")
        inside = (inside & (frame["sector"] == "private")).to_numpy()
        pred = (rng.random(n) < np.where(inside, 0.6, 0.3)).astype(int)
        found = audit_subgroups(rng.integers(2, size=n), pred, sensitive_features=frame)
        shown += found.p_value < 0.05
    assert shown >= least


def test_power_for_linear_rules():
    """So is a half-space of 4 %, although long rules have to be better than short ones."""
    shown, n = 0, 8000
    for seed in range(12):
        rng, frame = people(seed, n)
        score = frame["age"] / 13 + (frame["sex"] == "m") - (frame["sector"] == "public")
        inside = (score > 5.42).to_numpy()
        assert 0.03 < inside.mean() < 0.06
        pred = (rng.random(n) < np.where(inside, 0.6, 0.3)).astype(int)
        found = audit_subgroups(rng.integers(2, size=n), pred, sensitive_features=frame)
        shown += found.p_value < 0.05
    assert shown >= 8


def test_planted_subgroup_is_found():
    """A subgroup of 7 % with a fifth of the rate is shown and told almost as it was planted."""
    overlaps = []
    for seed in range(10):
        frame, y, pred, inside = planted(seed, n=8000, low=0.1)
        found = audit_subgroups(y, pred, sensitive_features=frame)
        assert found.p_value < 1e-3
        overlaps.append(overlap(found.rule.contains(frame), inside))
    assert np.mean(overlaps) > 0.8


def test_nothing_to_find():
    """Where decisions are independent of everything, p-values are uniform."""
    p_values = []
    for seed in range(100):
        frame, y, pred, _ = planted(seed, n=600, low=0.5)
        p_values.append(
            audit_subgroups(y, pred, sensitive_features=frame, random_state=seed).p_value
        )
    assert kstest(p_values, "uniform").pvalue > 1e-4
    assert np.mean(np.array(p_values) < 0.05) < 0.15


def test_p_value_by_counting():
    """3 of 3 inside of 3 of 6 in all: one of 20 outcomes, which counts half; mirrored below."""
    value, member = np.array([1.0, 1, 1, 0, 0, 0]), np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    ones = np.ones(6)
    np.testing.assert_allclose(_p_value(value, member, ones, 1.0, 2.0), 1 / 40)
    np.testing.assert_allclose(_p_value(value, member, ones, -1.0, -2.0), 1 - 1 / 40)
    np.testing.assert_allclose(_p_value(1 - value, member, ones, -1.0, 2.0), 1 / 40)
    assert _p_value(value, np.ones(6, dtype=bool), ones, 1.0, 0.0) == 1.0
    # Weighted rows have no such counts: the tail of the normal.
    np.testing.assert_allclose(_p_value(value, member, ones + value, 1.0, 1.96), 0.025, atol=1e-4)


@pytest.mark.parametrize("rate", [SELECTION_RATE, FALSE_POSITIVE_RATE, FALSE_NEGATIVE_RATE])
@pytest.mark.parametrize("weighted", [False, True])
def test_reported_numbers_by_counting(rate, weighted):
    """All of the tested rows: rates, sizes and violation are those of counting."""
    frame, y, pred, _ = planted(0)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y)) if weighted else None
    found = audit_subgroups(
        y, pred, sensitive_features=frame, rate=rate, sample_weight=weight, test_size=0.3
    )
    assert found.n_searched + found.n_tested == len(y)
    tested = _tested_rows(y, 0.3, 0)
    inside = found.rule.contains(frame)
    s = np.ones(len(y)) if weight is None else weight

    def rate_of(rows):
        return counted_rate(rate.name, y[rows], pred[rows], s[rows])

    np.testing.assert_allclose(found.value, rate_of(tested & inside))
    np.testing.assert_allclose(found.rest, rate_of(tested & ~inside))
    condition = np.array(rate._condition())[y]
    where_found = found.candidates[0].violation
    for part, violation in ((tested, found.violation), (~tested, where_found)):
        size = s[part & inside & condition].sum() / s[part].sum()
        gap = rate_of(part & inside) - rate_of(part)
        np.testing.assert_allclose(abs(violation), size * abs(gap), atol=1e-12)
    assert found.candidates[0].rule is found.rule
    assert found.searched_violation == max(c.violation for c in found.candidates)
    assert found.searched_violation <= found.bound + 1e-12
    assert found.violation_lower < found.violation < found.violation_upper


def worst_half_space(frame, value, rows):
    """Return the violation of least squares with a sweep, on given rows, by other means."""
    design = pd.get_dummies(frame, dtype=float).to_numpy()
    design = (design - design.mean(axis=0)) / np.maximum(design.std(axis=0), 1e-12)
    residual = (value - value[rows].mean()) * rows / len(rows)
    fit = LinearRegression().fit(design[rows], residual[rows])
    score = fit.predict(design).round(9)
    return max(abs(residual[score >= cut].sum()) for cut in np.unique(score[rows]))


def at_least_least_squares(frame, y, pred, rate):
    """Check a search against an independent one by least squares, and return what it found."""
    found = audit_subgroups(y, pred, sensitive_features=frame, rate=rate)
    searched = ~_tested_rows(y, 0.5, 0)
    condition = np.array(rate._condition())[y]
    value = rate._counted()[y, pred].astype(float)
    plain = worst_half_space(frame[searched], value[searched], condition[searched])
    assert found.searched_violation >= plain - 1e-4
    assert found.searched_violation <= found.bound + 1e-12
    return found


@pytest.mark.parametrize("rate", [SELECTION_RATE, FALSE_POSITIVE_RATE, FALSE_NEGATIVE_RATE])
def test_adult_against_least_squares(rate):
    """A plain model of Adult: at least what an independent search by least squares finds."""
    X, y = load_adult(subset="test", return_X_y=True, as_frame=True)
    X, y = X.iloc[:6000], (y.iloc[:6000] == ">50K").to_numpy().astype(int)
    numbers = X.select_dtypes("number").to_numpy()
    pred = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers, y).predict(numbers)
    frame = X[["age", "sex", "race", "marital-status"]].astype({"age": float})
    assert at_least_least_squares(frame, y, pred, rate).p_value < 1e-3


@pytest.mark.parametrize("rate", [SELECTION_RATE, FALSE_POSITIVE_RATE, FALSE_NEGATIVE_RATE])
def test_law_school_and_communities_against_least_squares(rate, real_data_dir):
    """So it does on Law School and on Communities and Crime."""
    law = pd.read_csv(real_data_dir / "law_school.csv.gz").dropna()
    y = law.pop("pass_bar").to_numpy().astype(int)
    numbers = law.select_dtypes("number").to_numpy()
    clf = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    pred = clf.fit(numbers, y).predict(numbers)
    frame = law[["race", "male", "fam_inc"]].astype({"male": str, "race": str})
    at_least_least_squares(frame, y, pred, rate)

    crime = pd.read_csv(real_data_dir / "communities_crime.csv.gz").iloc[:, 5:]
    crime = crime.select_dtypes("number").dropna(axis=1)
    y = (crime.pop("ViolentCrimesPerPop") >= 0.2).to_numpy().astype(int)
    numbers = crime.to_numpy()
    clf = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    pred = clf.fit(numbers, y).predict(numbers)
    frame = crime[[c for c in crime if c.lower().startswith(("race", "age", "pctnot"))]]
    at_least_least_squares(frame, y, pred, rate)


def test_rules_in_words():
    """Conditions name attributes and values; linear rules are in the attributes' own units."""
    frame, y, pred, _ = planted(1, low=0.05)
    found = audit_subgroups(y, pred, sensitive_features=frame, oracles=["conjunction"])
    assert "sex is m" in found.rule.text
    assert "sector is private" in found.rule.text
    assert "age >= " in found.rule.text
    assert str(found).startswith(f"Subgroup: {found.rule.text}")
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["rule"] == told["candidates"][0]["rule"] == found.rule.text
    assert told["attributes"] == ["sex", "age", "sector"]
    assert pickle.loads(pickle.dumps(found)).to_dict() == found.to_dict()

    age = frame["age"].to_numpy()
    pred = (age > 40.2).astype(int)
    linear = audit_subgroups(y, pred, sensitive_features={"age": age}, oracles=["linear"])
    np.testing.assert_array_equal(linear.rule.contains({"age": age}), age > 40.2)
    slope, threshold = linear.rule.text.replace(" age > ", " ").split()
    np.testing.assert_allclose(float(threshold) / float(slope), 40.5, atol=0.5)


def test_many_categories():
    """Long lists are shortened, rare categories share a weight, and the report says so."""
    rng = np.random.default_rng(0)
    job = np.array([f"job {i}" for i in range(300)])[rng.integers(300, size=6000)]
    region = rng.choice(list("abcd"), 6000)
    number = np.char.replace(job, "job ", "").astype(int)
    pred = (rng.random(6000) < np.where(number < 30, 0.8, 0.3)).astype(int)
    y = rng.integers(2, size=6000)
    found = audit_subgroups(y, pred, sensitive_features={"job": job, "region": region})
    assert found.p_value < 1e-6
    assert found.rule.oracle == "categories of one column"
    assert found.rule.text.endswith("others")
    assert len(found.rule.text) < 100
    assert "50 largest" in found.limits[0]
    assert f"Limit of the search: {found.limits[0]}" in str(found)
    assert found.to_dict()["limits"] == list(found.limits)


@pytest.mark.parametrize(
    ("labels", "chosen", "text"),
    [
        ("abcde", "b", "x is b"),
        ("abcde", "cb", "x is b or c"),
        ("abcde", "bce", "x is neither a nor d"),
        ("abcdefg", "bcef", "x is none of a, d or g"),
        ("abcde", "abce", "x is not d"),
        ("abcdefghijklmnopq", "abcdefgh", "x is a, b, c, d, e or 3 others"),
        ([None, "a", "b"], [None], "x is (missing)"),
        ([18, 19, 20.5, 30], [19, 20.5], "19 <= x <= 20.5"),
        ([18, 19, 20.5, 30], [18, 19], "x <= 19"),
        ([18, 19, 20.5, 30], [20.5, 30], "x >= 20.5"),
        ([18, 19, 20.5, 30], [19], "x = 19"),
        ([0, 1], [1], "x = 1"),
    ],
)
def test_conditions_in_words(labels, chosen, text):
    """Intervals, categories, what is left out where that is shorter, and long lists cut."""
    labels = list(labels)
    column = _Column("x", labels, not isinstance(labels[-1], str), 0.0, 1.0)
    allowed = np.array([label in chosen for label in labels])
    assert _levels_text(column, allowed, np.arange(len(labels))[::-1]) == text


@pytest.mark.parametrize("levels", [[18, 19, 20.5, 30], [0, 1], [5]])
def test_a_rule_is_what_its_words_say(levels):
    """Numbers between, below and above known ones are in where the words say so."""
    column = _Column("x", levels, is_ordered=True, centre=20.0, scale=2.0)
    values = np.unique([*levels, *np.linspace(-1, 35, 73)])
    for first, last in combinations_with_replacement(range(len(levels)), 2):
        allowed = (np.arange(len(levels)) >= first) & (np.arange(len(levels)) <= last)
        found = Subgroup("by hand", 1.0, ((allowed,),))
        rule = SubgroupRule._of(found, [column], [np.ones(len(levels))])
        words = rule.text.replace(" = ", " == ").replace("everyone", "True")
        expected = [eval(words, {"x": value}) for value in values]
        np.testing.assert_array_equal(rule.contains(values), expected)


def test_nothing_differs():
    """Where all decisions are alike there is no subgroup, and no test."""
    found = audit_subgroups([0, 1] * 20, [1] * 40, sensitive_features=list("ab") * 20)
    assert (found.rule.text, found.p_value) == ("everyone", 1.0)
    assert "nan" not in str(found)


def test_rules_on_new_people():
    """Numbers between known ones and unknown categories have a place; missing ones do not."""
    frame, y, pred, _ = planted(1, low=0.05)
    found = audit_subgroups(y, pred, sensitive_features=frame, oracles=["conjunction"])
    new = pd.DataFrame(
        {"sex": ["m", "m", "x"], "age": [90.5, 20.5, 50], "sector": ["private"] * 3}
    )
    np.testing.assert_array_equal(found.rule.contains(new), [True, False, False])
    with pytest.raises(ValueError, match="must have the columns"):
        found.rule.contains(new[["sex"]])
    with pytest.raises(ValueError, match="missing"):
        found.rule.contains(new.assign(sex=["m", None, "f"]))
    with pytest.raises(ValueError, match="age must hold numbers"):
        found.rule.contains(new.assign(age="old"))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        found.rule.contains({"sex": ["m"], "age": [50, 51], "sector": ["none"]})


@pytest.mark.parametrize("oracle", ["conjunction", "linear"])
def test_categories_written_in_another_way(oracle):
    """Numbers in place of text would be nobody: an error. Unknown text is nobody, alone too."""
    rng = np.random.default_rng(0)
    code = rng.choice(["1", "2", "3"], 2000)
    pred = (rng.random(2000) < np.where(code == "2", 0.8, 0.3)).astype(int)
    found = audit_subgroups(
        rng.integers(2, size=2000), pred, sensitive_features={"code": code}, oracles=[oracle]
    )
    np.testing.assert_array_equal(found.rule.contains({"code": ["2", "1"]}), [True, False])
    with pytest.raises(ValueError, match=r"\['1', '2', '3'\], got \[1, 2, 3\]"):
        found.rule.contains({"code": np.sort(code.astype(int))})
    known = found.rule.contains({"code": ["1", "4"]})
    np.testing.assert_array_equal(known[1:], found.rule.contains({"code": ["4"]}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": "selection_rate"}, "rate must be a Rate"),
        ({"oracles": "tree"}, "oracles must be"),
        ({"oracles": ["forest"]}, "oracles must be"),
        ({"oracles": [["tree"]]}, "oracles must be"),
        ({"max_depth": 0}, "max_depth must be"),
        ({"test_size": 1.0}, "test_size must be in"),
        ({"confidence": 1.0}, r"confidence must be in \(0, 1\), got 1.0"),
        ({"missing": "drop"}, "missing must be"),
        ({"sensitive_features": ["a"] * 40}, "must differ between rows"),
        ({"sensitive_features": np.zeros((40, 0))}, "at least one column"),
        ({"y_true": np.arange(40) % 3}, "Labels must be of two kinds"),
        ({"y_pred": np.linspace(0, 2, 40)}, r"in \[0, 1\]"),
        ({"sensitive_features": [1.0, np.nan] * 20, "missing": "group"}, "must not be missing"),
        ({"y_true": np.ones(40, dtype=int), "rate": FALSE_POSITIVE_RATE}, "needs rows"),
    ],
)
def test_bad_input_to_subgroups(change, message):
    """Errors say the rule and what came."""
    given = {
        "y_true": np.arange(40) % 2,
        "y_pred": np.arange(40) % 2,
        "sensitive_features": np.arange(40) % 4,
    }
    with pytest.raises(ValueError, match=message):
        audit_subgroups(**(given | change))


def test_subgroups_are_found_by_the_names_of_columns():
    """The order of columns does not matter where they have names, and numbers are told in full."""
    rng = np.random.default_rng(0)
    income = rng.integers(1_000_000, 2_000_000, 2000).astype(float)
    frame = pd.DataFrame({"income": income, "sex": rng.choice(["f", "m"], 2000)})
    y = rng.integers(2, size=2000)
    pred = ((income < 1_234_567) | (rng.random(2000) < 0.3)).astype(int)
    found = audit_subgroups(y, pred, sensitive_features=frame, oracles=["conjunction"])
    rule = found.rule
    assert "e+" not in str(rule)
    np.testing.assert_array_equal(rule.contains(frame), rule.contains(frame[["sex", "income"]]))
    with pytest.raises(ValueError, match="must have the columns"):
        rule.contains(frame.rename(columns={"sex": "gender"}))
    with pytest.raises(ValueError, match="must be finite"):
        audit_subgroups(y, pred, sensitive_features=frame.assign(income=np.inf))
