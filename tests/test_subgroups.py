"""Subgroups found and tested: power and level, numbers, rules in words, bad input."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers import counted_rate
from scipy.stats import kstest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairlearnkit import audit_subgroups
from fairlearnkit.constraints import FALSE_NEGATIVE_RATE, FALSE_POSITIVE_RATE, SELECTION_RATE
from fairlearnkit.datasets import load_adult
from fairlearnkit.subgroups import _tested_rows


def planted(seed, n=3000, low=0.25):
    """Return people of whom older men in the private sector are accepted less often."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "sex": rng.choice(["f", "m"], n),
            "age": rng.integers(20, 65, n),
            "sector": rng.choice(["private", "public", "none"], n),
        }
    )
    inside = (frame["sex"] == "m") & (frame["age"] >= 45) & (frame["sector"] == "private")
    pred = (rng.random(n) < np.where(inside, low, 0.5)).astype(int)
    return frame, rng.integers(2, size=n), pred, inside.to_numpy()


def test_planted_subgroup_is_found():
    """A subgroup of 7 % with a fifth of the rate is found, and always shown, in 20 samples."""
    shown = overlap = 0
    for seed in range(20):
        frame, y, pred, inside = planted(seed, n=8000, low=0.1)
        found = audit_subgroups(y, pred, sensitive_features=frame, oracles=["conjunction"])
        members = found.rule.contains(frame)
        shown += found.p_value < 0.05
        overlap += (members & inside).sum() / (members | inside).sum() > 0.5
    assert shown >= 19
    # Size counts in the violation, so that a larger set around it may be worse.
    assert overlap >= 12


def test_nothing_to_find():
    """Where decisions are independent of everything, p-values are uniform."""
    p_values = []
    for seed in range(150):
        frame, y, pred, _ = planted(seed, n=600, low=0.5)
        p_values.append(
            audit_subgroups(y, pred, sensitive_features=frame, random_state=seed).p_value
        )
    assert kstest(p_values, "uniform").pvalue > 1e-4
    assert np.mean(np.array(p_values) < 0.05) < 0.15


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
    for part, violation in ((tested, found.violation), (~tested, found.searched_violation)):
        size = s[part & inside & condition].sum() / s[part].sum()
        gap = rate_of(part & inside) - rate_of(part)
        np.testing.assert_allclose(abs(violation), size * abs(gap), atol=1e-12)
    assert found.searched_violation <= found.bound + 1e-12
    assert found.candidates[0][1] == found.searched_violation
    assert found.violation_lower < found.violation < found.violation_upper


def test_as_bad_as_least_squares():
    """The portfolio finds at least what least squares with a sweep finds alone."""
    for seed in range(5):
        frame, y, pred, _ = planted(seed)
        found = audit_subgroups(y, pred, sensitive_features=frame)
        by_oracle = {rule.oracle: violation for rule, violation in found.candidates}
        assert found.searched_violation >= by_oracle["least squares"]


def worst_half_space(frame, value, rows):
    """Return the violation of least squares with a sweep, on given rows, by other means."""
    design = pd.get_dummies(frame, dtype=float).to_numpy()
    design = (design - design.mean(axis=0)) / np.maximum(design.std(axis=0), 1e-12)
    residual = (value - value[rows].mean()) * rows / len(rows)
    fit = LinearRegression().fit(design[rows], residual[rows])
    score = fit.predict(design).round(9)
    return max(abs(residual[score >= cut].sum()) for cut in np.unique(score[rows]))


@pytest.mark.parametrize("rate", [SELECTION_RATE, FALSE_POSITIVE_RATE, FALSE_NEGATIVE_RATE])
def test_adult_against_least_squares(rate):
    """A plain model of Adult: at least what an independent search by least squares finds."""
    X, y = load_adult(subset="test", return_X_y=True, as_frame=True)
    X, y = X.iloc[:6000], (y.iloc[:6000] == ">50K").to_numpy().astype(int)
    numbers = X.select_dtypes("number").to_numpy()
    pred = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers, y).predict(numbers)
    frame = X[["age", "sex", "race", "marital-status"]].astype({"age": float})
    found = audit_subgroups(y, pred, sensitive_features=frame, rate=rate)

    searched = ~_tested_rows(y, 0.5, 0)
    condition = np.array(rate._condition())[y]
    value = rate._counted()[y, pred].astype(float)
    plain = worst_half_space(frame[searched], value[searched], condition[searched])
    assert found.searched_violation >= plain - 1e-4
    assert found.searched_violation <= found.bound
    assert found.p_value < 1e-3


def test_rules_in_words():
    """Conditions name attributes and values; linear rules are in the attributes' own units."""
    frame, y, pred, _ = planted(1, low=0.05)
    found = audit_subgroups(y, pred, sensitive_features=frame, oracles=["conjunction"])
    assert "sex is m" in found.rule.text
    assert "sector is private" in found.rule.text
    assert "age >= " in found.rule.text
    assert str(found).startswith(f"Subgroup: {found.rule.text}")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["rule"] == found.rule.text

    age = frame["age"].to_numpy()
    pred = (age > 40.2).astype(int)
    linear = audit_subgroups(y, pred, sensitive_features={"age": age}, oracles=["linear"])
    np.testing.assert_array_equal(linear.rule.contains({"age": age}), age > 40.2)
    slope, threshold = linear.rule.text.replace(" age > ", " ").split()
    np.testing.assert_allclose(float(threshold) / float(slope), 40.5, atol=0.5)


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": "selection_rate"}, "rate must be a Rate"),
        ({"oracles": "tree"}, "oracles must be"),
        ({"oracles": ["forest"]}, "oracles must be"),
        ({"max_depth": 0}, "max_depth must be"),
        ({"test_size": 1.0}, "test_size must be in"),
        ({"confidence": 0}, "confidence must be in"),
        ({"missing": "drop"}, "missing must be"),
        ({"sensitive_features": ["a"] * 40}, "must differ between rows"),
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
