"""Turning what users pass into arrays: where values must count, not how they are stored."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from fairlearnkit import DemographicParity, EqualizedOdds, GroupThresholdClassifier, audit
from fairlearnkit._validation import encode_groups, hash_rows
from fairlearnkit.exceptions import DegenerateGroupWarning
from fairlearnkit.metrics import demographic_parity_difference, group_rates

TIMES = [datetime(2020, 1, 1), datetime(2020, 1, 2), datetime(2020, 1, 6, 10), None]
LENGTHS = [timedelta(days=1), timedelta(seconds=1), timedelta(hours=7), None]


@pytest.mark.parametrize("values", [TIMES, LENGTHS], ids=["times", "lengths"])
def test_hash_of_times_does_not_depend_on_other_rows_or_library(values):
    """A time counts by its instant, a length by its microseconds."""
    expected = hash_rows(pd.DataFrame({"t": pd.Series(values)}), 0)
    assert len(set(expected)) == len(values)
    np.testing.assert_array_equal(hash_rows(pl.DataFrame({"t": values}), 0), expected)
    np.testing.assert_array_equal(
        hash_rows(pd.DataFrame({"t": pd.Series(values[:2])}), 0), expected[:2]
    )
    array = pd.Series(values).to_numpy()[:, None]
    np.testing.assert_array_equal(hash_rows(array, 0), expected)


def test_hash_of_dates_and_of_times_in_a_zone():
    """Dates and times with a zone are hashed by the same instant in every library."""
    zoned = [time.replace(tzinfo=UTC) for time in TIMES[:3]]
    np.testing.assert_array_equal(
        hash_rows(pl.DataFrame({"t": zoned}), 0),
        hash_rows(pd.DataFrame({"t": pd.Series(zoned)}), 0),
    )
    dates = pl.DataFrame({"t": [time.date() for time in TIMES[:3]]})
    assert len(set(hash_rows(dates, 0))) == 3


def test_hash_of_odd_cells():
    """Lists, dicts and integers beyond all floats have a hash like anything else."""
    # As objects: pandas 2 would try to make floats of the integers.
    odd = pd.DataFrame({"a": [[1], {2: 3}, [1]], "b": [10**400, 1, 10**400]}, dtype=object)
    found = hash_rows(odd, 0)
    assert found[0] == found[2] != found[1]


def test_groups_that_are_times():
    """A time is the same group from an array, whatever its unit, and from a series."""
    array = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[ns]")
    kinds = [array, array.astype("datetime64[D]"), pd.Series(array), pl.Series(array)]
    found = [encode_groups(kind, 2, missing="error", what="groups")[1] for kind in kinds]
    assert found[0] == found[2] == found[3] == TIMES[:2]
    assert found[1] == TIMES[:2]


def test_strata_that_cannot_be_compared_leave_the_others_their_number():
    """A stratum with one group is named in a warning; the disparity is that of the others."""
    rng = np.random.default_rng(0)
    X, group = rng.normal(size=(600, 2)), rng.integers(2, size=600)
    y = (X[:, 0] + group > rng.normal(size=600)).astype(int)
    strata = np.where((np.arange(600) < 60) & (group == 0), "alone", "main")
    clf = GroupThresholdClassifier(LogisticRegression(), DemographicParity(max_difference=0.1))
    with pytest.warns(DegenerateGroupWarning, match="group 1 in stratum alone"):
        clf.fit(X, y, sensitive_features=group, control_features=strata)

    main = strata == "main"
    accepted = clf.decision_probability(
        X[main], sensitive_features=group[main], control_features=strata[main]
    )[:, 1]
    assert clf.disparity_ == pytest.approx(0.1)
    first, second = (accepted[group[main] == g].mean() for g in (0, 1))
    assert abs(first - second) == pytest.approx(0.1, abs=0.03)  # of other scores than out of fold
    with pytest.raises(ValueError, match="occurred together in fit, got group 1 in stratum alone"):
        clf.predict(X[:1], sensitive_features=[1], control_features=["alone"])


def test_strata_have_rules_and_bounds_of_their_own():
    """Within every stratum rates of the groups differ by the bound at most; rules are complete."""
    rng = np.random.default_rng(1)
    X, group, stratum = (
        rng.normal(size=(2000, 2)),
        rng.integers(2, size=2000),
        rng.integers(3, size=2000),
    )
    y = (X[:, 0] + 0.8 * group * (stratum - 1) > rng.normal(size=2000)).astype(int)
    model = LogisticRegression().fit(X, y)
    clf = GroupThresholdClassifier(model, EqualizedOdds(max_difference=0.03), cv="prefit")
    clf.fit(X, y, sensitive_features=group, control_features=stratum)
    where = {"sensitive_features": group, "control_features": stratum}
    accepted = clf.decision_probability(X, **where)[:, 1]
    score = model.predict_proba(X)[:, 1]
    rebuilt = [
        sum(p for t, p in clf.thresholds_[g, s] if v >= t)
        for g, s, v in zip(group.tolist(), stratum.tolist(), score, strict=True)
    ]
    np.testing.assert_allclose(accepted, rebuilt, atol=1e-12)
    for s in range(3):
        for label in (0, 1):
            rates = [accepted[(stratum == s) & (y == label) & (group == g)].mean() for g in (0, 1)]
            assert abs(rates[0] - rates[1]) <= 0.03 + 1e-9
    with pytest.raises(ValueError, match="needs each row's stratum"):
        clf.predict(X, sensitive_features=group)


def test_many_columns_of_many_values():
    """Intersections are those that occur, however many there could be."""
    rng = np.random.default_rng(0)
    columns = rng.integers(3000, size=(50, 7))
    columns = columns[np.arange(100) % 50]
    codes, labels = encode_groups(columns, 100, missing="error", what="groups")
    assert [labels[code] for code in codes] == [tuple(row) for row in columns.tolist()]
    assert len(labels) == 50


def test_masked_values_are_missing():
    """A mask of NumPy's says what is missing."""
    masked = np.ma.masked_array([0, 1, 1], mask=[False, True, False])
    with pytest.raises(ValueError, match="must not have missing values, got 1 of 3"):
        encode_groups(masked, 3, missing="error", what="groups")
    assert encode_groups(masked, 3, missing="group", what="groups")[1] == [0, 1, None]


def test_repeated_column_names():
    """A frame with two columns of one name is refused, with what to do."""
    X, y = np.zeros((4, 2)), [0, 1, 0, 1]
    frame = pd.DataFrame(X, columns=["a", "a"])
    clf = GroupThresholdClassifier(LogisticRegression(), DemographicParity(max_difference=0.1))
    with pytest.raises(ValueError, match=r"Columns of X must have different names, got 'a' 2 tim"):
        clf.fit(frame, y, sensitive_features=y)
    with pytest.raises(ValueError, match=r"Columns of sensitive_features must have different"):
        clf.fit(X, y, sensitive_features=frame)


@pytest.mark.parametrize("dtype", ["category", object])
def test_numbers_in_other_columns_are_numbers(dtype):
    """Metrics take integer labels from columns of categories and of objects."""
    y = np.array([0, 1, 1, 0])
    groups = [0, 0, 1, 1]
    given = pd.Series(y).astype(dtype)
    assert demographic_parity_difference(given, y, sensitive_features=groups) == 0.0


def test_positive_label_of_another_kind():
    """A positive label that is no label of this kind is refused, where one kind occurs alone."""
    with pytest.raises(ValueError, match=r"pos_label must be of the kind of the labels \['a'\]"):
        group_rates(["a"] * 4, np.full((4, 2), 0.5), sensitive_features=[0, 0, 1, 1], pos_label=1)


# Joined by commas alone, the names of the first two would be the same, and of the last two.
COMMAS = [("a, b", "c"), ("a", "b, c"), ("a", 'b", "c'), ('a", "b', "c")]


def test_groups_whose_labels_hold_commas_have_names_of_their_own():
    """In tables, frames, warnings and reports an intersection is told from every other."""
    rows = pd.DataFrame([pair for pair in COMMAS for _ in range(20)], columns=["x", "y"])
    y = np.arange(80) % 2
    decided = np.repeat([1, 0, 1, 0, 1, 0, 1, 0], [2, 18, 5, 15, 10, 10, 15, 5])
    rates = [0.1, 0.25, 0.5, 0.75]
    names = ['"a, b", c', 'a, "b, c"', 'a, "b"", ""c"', '"a"", ""b", c']

    found = group_rates(y, decided, sensitive_features=rows)
    assert dict(zip(found.groups, found["selection_rate"], strict=True)) == dict(
        zip(COMMAS, rates, strict=True)
    )
    assert set(found.to_frame().index) == set(names)
    assert all(name in str(found) for name in names)

    frame = audit(y, decided, sensitive_features=rows).to_frame()
    frame = frame[(frame.attribute == "x x y") & (frame.rate == "selection_rate")]
    assert dict(zip(frame.group, frame.value, strict=True)) == dict(zip(names, rates, strict=True))

    clf = GroupThresholdClassifier(LogisticRegression(), DemographicParity(max_difference=0.1))
    clf.fit(decided[:, None], y, sensitive_features=rows)
    assert len(clf.groups_) == len(clf.thresholds_) == 4
    few = np.arange(80) % 20 < 9
    with pytest.warns(DegenerateGroupWarning) as caught:
        clf.fit(decided[few, None], y[few], sensitive_features=rows[few])
    assert all(f"group {name}, rows (9)" in str(caught[0].message) for name in names)
    with pytest.raises(ValueError, match=r'got "a, b", "b, c"\. Seen'):
        clf.predict([[0]], sensitive_features=[["a, b", "b, c"]])


@pytest.mark.parametrize("values", [[1, "1"], ["(missing)", None], ["True", True, "x"]])
def test_values_that_read_the_same(values):
    """What no table could tell apart is refused by every way in, alone or in an intersection."""
    column = np.array(values * 10, dtype=object)
    y = np.arange(len(column)) % 2
    clf = GroupThresholdClassifier(
        LogisticRegression(), DemographicParity(max_difference=0.1), missing="group"
    )
    both = pd.DataFrame({"x": y, "y": column})
    for groups in (column, both):
        with pytest.raises(ValueError, match="must not hold different values that read the same"):
            group_rates(y, y, sensitive_features=groups, missing="group")
        with pytest.raises(ValueError, match="must not hold different values that read the same"):
            clf.fit(y[:, None], y, sensitive_features=groups)
