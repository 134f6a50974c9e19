"""Criteria: what should be equal, the one knob, and what is said when they are wrong."""

import pickle
import re

import numpy as np
import pytest
from helpers import CRITERIA
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from fairlearnkit import (
    AllOf,
    Capacity,
    ConvexRates,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    ErrorRateParity,
    FalseNegativeRateParity,
    FalsePositiveRateParity,
    MinimumRate,
    Parity,
    Rate,
    TrueNegativeRateParity,
)
from fairlearnkit._kernels.moments import group_rates
from fairlearnkit.constraints import (
    ERROR_RATE,
    FALSE_NEGATIVE_RATE,
    FALSE_POSITIVE_RATE,
    SELECTION_RATE,
    TRUE_NEGATIVE_RATE,
    TRUE_POSITIVE_RATE,
    Criterion,
)

ACCURACY = Rate("accuracy", ("tn", "tp"))

EVERY_KIND = [
    *[criterion(max_difference=0.05) for criterion in CRITERIA],
    *[criterion(min_ratio=0.8, reference="overall") for criterion in CRITERIA],
    DemographicParity(),
    Parity(ACCURACY, max_difference=0.1),
    Parity([SELECTION_RATE, ACCURACY], min_ratio=0.9),
    AllOf([EqualOpportunity(max_difference=0.02), DemographicParity(min_ratio=0.8)]),
    AllOf((AllOf([ErrorRateParity(max_difference=0.1)]), Parity((ACCURACY,), min_ratio=0.5))),
]
every_kind = pytest.mark.parametrize("criterion", EVERY_KIND, ids=repr)


def raises(message):
    """Expect a ValueError with exactly this message."""
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


# ---------------------------------------------------------------------------------------------
# Criteria as scikit-learn estimators and as plain objects.


@every_kind
@pytest.mark.parametrize("copy", [clone, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_are_equal_and_other(criterion, copy):
    """A clone and a pickle are new objects, equal to the original, with the same hash."""
    other = copy(criterion)

    assert other is not criterion
    assert other == criterion
    assert hash(other) == hash(criterion)
    assert repr(other) == repr(criterion)


@every_kind
def test_repr_is_how_to_write_it(criterion):
    """What is printed, evaluated, gives the same criterion."""
    assert eval(repr(criterion)) == criterion


def test_repr_shows_what_is_set():
    """The knob is seen at a glance, and nothing that was left as it is."""
    both = AllOf([EqualizedOdds(max_difference=0.02), DemographicParity(min_ratio=0.8)])

    assert repr(EqualizedOdds()) == "EqualizedOdds()"
    assert repr(EqualizedOdds(max_difference=0.02)) == "EqualizedOdds(max_difference=0.02)"
    assert " ".join(repr(both).split()) == (
        "AllOf(criteria=[EqualizedOdds(max_difference=0.02), DemographicParity(min_ratio=0.8)])"
    )


def test_equality_is_of_kind_and_parameters():
    """Criteria are equal where class and parameters are, and to nothing else."""
    for one in EVERY_KIND:
        assert [other for other in EVERY_KIND if other == one] == [one]
        assert one != repr(one)
    assert DemographicParity(max_difference=0.1) != DemographicParity(min_ratio=0.1)
    assert EqualOpportunity(max_difference=0.1) != Parity(TRUE_POSITIVE_RATE, max_difference=0.1)
    assert len({DemographicParity(), DemographicParity(), EqualizedOdds()}) == 2


@pytest.mark.parametrize("criterion", CRITERIA)
def test_parameters_are_those_of_the_constructor(criterion):
    """Each named criterion has its bounds and its reference, settable by name, and no more."""
    bounded = criterion(max_difference=0.1)

    assert bounded.get_params() == {
        "max_difference": 0.1,
        "min_ratio": None,
        "reference": "between",
    }
    assert bounded.set_params(max_difference=None, min_ratio=0.5) is bounded
    assert bounded == criterion(min_ratio=0.5)
    assert clone(bounded).set_params(reference="overall") != bounded


def test_parameters_of_parity_and_all_of():
    """`Parity` adds its rates; `AllOf` has its criteria and nothing besides."""
    assert Parity(ACCURACY).get_params() == {
        "rates": ACCURACY,
        "max_difference": None,
        "min_ratio": None,
        "reference": "between",
    }
    criteria = [EqualOpportunity()]
    assert AllOf(criteria).get_params() == {"criteria": criteria}
    assert AllOf(criteria).criteria is criteria


def test_constructor_takes_anything():
    """As in scikit-learn, values are stored as they come and judged when used."""
    wrong = DemographicParity(max_difference="much")

    assert wrong.max_difference == "much"
    for parameters in ParameterGrid({"max_difference": [0.0, 2.0]}):
        assert clone(wrong).set_params(**parameters).get_params()["max_difference"] in (0.0, 2.0)


# ---------------------------------------------------------------------------------------------
# What they compare.


@pytest.mark.parametrize(
    ("criterion", "rates"),
    [
        (DemographicParity, [SELECTION_RATE]),
        (EqualizedOdds, [TRUE_POSITIVE_RATE, FALSE_POSITIVE_RATE]),
        (EqualOpportunity, [TRUE_POSITIVE_RATE]),
        (FalsePositiveRateParity, [FALSE_POSITIVE_RATE]),
        (TrueNegativeRateParity, [TRUE_NEGATIVE_RATE]),
        (FalseNegativeRateParity, [FALSE_NEGATIVE_RATE]),
        (ErrorRateParity, [ERROR_RATE]),
    ],
)
def test_named_criterion_is_a_parity_of_its_rates(criterion, rates):
    """Each named criterion has the moments of `Parity` over the rates of its name."""
    named, parity = criterion(min_ratio=0.7), Parity(rates, min_ratio=0.7)
    y, groups = [0, 1, 1, 0, 1, 0], [0, 0, 1, 1, 2, 2]

    for one, other in zip(named.moments(y, groups), parity.moments(y, groups), strict=True):
        np.testing.assert_array_equal(one, other)
    assert list(named.rates) == rates


def test_custom_rate():
    """A rate written by the user is counted as it says."""
    # accuracy: 2 of 3 in group 0 (decisions 1, 0, 1 for labels 1, 0, 0), 1 of 2 in group 1
    y, groups = [1, 0, 0, 1, 0], [0, 0, 0, 1, 1]
    moments = Parity(ACCURACY, max_difference=0.1).moments(y, groups)
    # sums over negatives and positives: 1 and 1 in group 0; both rejected in group 1
    sums = np.array([[1.0, 1.0], [0.0, 0.0]])

    np.testing.assert_allclose(group_rates(moments, sums), [2 / 3, 1 / 2])


def test_all_of_keeps_every_bound():
    """Events come in order, each with its own bound, kind and reference, however nested."""
    nested = AllOf(
        [
            AllOf([EqualizedOdds(max_difference=0.1), ErrorRateParity(min_ratio=0.9)]),
            Parity([ACCURACY, SELECTION_RATE], max_difference=0.3, reference="overall"),
        ]
    )
    flat = AllOf([*nested.criteria[0].criteria, nested.criteria[1]])
    y, groups = [0, 1, 0, 1], [0, 0, 1, 1]

    moments = nested.moments(y, groups)

    np.testing.assert_array_equal(moments.bound, [0.1, 0.1, 0.9, 0.3, 0.3])
    np.testing.assert_array_equal(moments.is_ratio, [False, False, True, False, False])
    np.testing.assert_array_equal(moments.to_overall, [False, False, False, True, True])
    assert list(nested.parities()) == list(flat.parities())
    for one, other in zip(moments, flat.moments(y, groups), strict=True):
        np.testing.assert_array_equal(one, other)


def test_moments_take_lists_and_booleans():
    """Lists, booleans and arrays of labels, groups and weights give the same moments."""
    criterion = EqualizedOdds(max_difference=0.1)
    y, groups, weight = [True, False, True], [0, 1, 1], [1, 2, 3]

    moments = criterion.moments(y, groups, weight)

    as_arrays = criterion.moments(np.array(y) * 1, np.array(groups), np.array(weight, dtype=float))
    np.testing.assert_array_equal(moments.mass, [[0, 1], [2, 3]])
    for one, other in zip(moments, as_arrays, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_bound_is_nan():
    """Without a bound there are moments all the same, for metrics."""
    assert np.isnan(EqualizedOdds().moments([0, 1], [0, 1]).bound).all()


def test_base_class_says_nothing():
    """`Criterion` alone compares nothing."""
    with pytest.raises(NotImplementedError):
        Criterion().moments([0, 1], [0, 1])


# ---------------------------------------------------------------------------------------------
# What is said when they are wrong.


@pytest.mark.parametrize("name", ["max_difference", "min_ratio"])
@pytest.mark.parametrize("value", [-0.1, 1.0001, float("nan"), "0.1", True, np.True_, [0.1]])
def test_bound_outside_its_range(name, value):
    """A bound is a number in [0, 1]; what came is shown."""
    for criterion in (DemographicParity(**{name: value}), Parity(ACCURACY, **{name: value})):
        with raises(f"{name} must be in [0, 1], got {value!r}."):
            criterion._check(needs_bound=True)


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, np.float32(0.5), np.int64(1)])
@pytest.mark.parametrize("criterion", [*CRITERIA, lambda **bound: Parity(ACCURACY, **bound)])
def test_bound_in_its_range(criterion, value):
    """Numbers of any type in [0, 1] are accepted, the ends included."""
    criterion(max_difference=value)._check(needs_bound=True)
    criterion(min_ratio=value)._check(needs_bound=True)


@pytest.mark.parametrize(
    ("criterion", "places", "knob"),
    [
        *[(criterion, (), "max_difference") for criterion in CRITERIA],
        (Parity, (ACCURACY,), "max_difference"),
        (MinimumRate, (TRUE_POSITIVE_RATE,), "at_least"),
        (Capacity, (), "at_most"),
        (ConvexRates, (len,), "parameters"),
    ],
)
def test_bound_given_by_place_or_under_another_name(criterion, places, knob):
    """The error says the criterion's own name and how to write it, whoever defines `__init__`."""
    before = "..., " * len(places)
    by_place = (
        f"{criterion.__name__} takes {knob} by name only, got 0.02 by place. Write "
        f"{criterion.__name__}({before}{knob}=0.02)."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(by_place)}$"):
        criterion(*places, 0.02)
    with pytest.raises(TypeError, match=rf"^{criterion.__name__} takes .*, got epsilon=0\.02"):
        criterion(*places, epsilon=0.02)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("needs_bound", [True, False])
def test_both_bounds(criterion, needs_bound):
    """Two bounds in one criterion are refused, with both values and two ways out."""
    with raises(
        f"{criterion.__name__} takes one bound, got max_difference=0.1 and min_ratio=0.8. Set one "
        "of them to None, or join two criteria with AllOf."
    ):
        criterion(max_difference=0.1, min_ratio=0.8)._check(needs_bound=needs_bound)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_neither_bound(criterion):
    """A criterion to be enforced needs a bound, a metric none."""
    criterion()._check(needs_bound=False)
    with raises(
        f"{criterion.__name__} needs a bound to be enforced, got none. Set max_difference "
        "(largest gap between two groups, in [0, 1]) or min_ratio (smallest rate over largest)."
    ):
        criterion()._check(needs_bound=True)


def test_unknown_reference():
    """The reference is one of two words."""
    with raises("reference must be 'between' or 'overall', got 'majority'."):
        EqualizedOdds(max_difference=0.1, reference="majority")._check(needs_bound=True)


@pytest.mark.parametrize("rates", [(), "selection_rate", None, [SELECTION_RATE, "tpr"], 3])
def test_rates_that_are_none(rates):
    """`Parity` takes rates, not their names."""
    with raises(f"rates must be a Rate or a sequence of them, got {rates!r}."):
        Parity(rates, max_difference=0.1)._check(needs_bound=True)


@pytest.mark.parametrize("criteria", [[], (), "ab", None, DemographicParity(max_difference=0.1)])
def test_all_of_nothing(criteria):
    """`AllOf` takes a sequence with something in it."""
    with raises(f"criteria must be a sequence of one or more criteria, got {criteria!r}."):
        AllOf(criteria)._check(needs_bound=True)


@pytest.mark.parametrize("member", ["demographic_parity", DemographicParity, SELECTION_RATE, 0.1])
def test_all_of_something_else(member):
    """A member that is no criterion is shown, beside an example of one, in inner ones as well."""
    message = (
        "Every member of criteria must be a criterion such as DemographicParity(), got "
        f"{member!r}."
    )
    good = EqualizedOdds(max_difference=0.1)
    for criterion in (AllOf([good, member]), AllOf([good, AllOf([member])])):
        with raises(message):
            criterion._check(needs_bound=True)


def test_all_of_checks_every_member():
    """Each member needs a bound of its own, however deep."""
    nested = AllOf([DemographicParity(min_ratio=0.5), AllOf([EqualizedOdds()])])

    nested._check(needs_bound=False)
    with pytest.raises(ValueError, match=r"^EqualizedOdds needs a bound"):
        nested._check(needs_bound=True)
    nested.criteria[1].criteria[0].set_params(max_difference=7)
    with raises("max_difference must be in [0, 1], got 7."):
        nested._check(needs_bound=True)


# ---------------------------------------------------------------------------------------------
# Rates.


def test_rate_is_plain_data():
    """Rates compare, hash, pickle and cannot be changed."""
    same = Rate("accuracy", ["tn", "tp"])

    assert same == ACCURACY
    assert hash(same) == hash(ACCURACY)
    assert same != Rate("accuracy", ("tp",))
    assert pickle.loads(pickle.dumps(ACCURACY)) == ACCURACY
    assert eval(repr(ACCURACY)) == ACCURACY
    with pytest.raises(AttributeError):
        ACCURACY.name = "other"


def test_rate_has_a_name_for_people():
    """Underscores are for code."""
    assert TRUE_POSITIVE_RATE.label == "true positive rate"


def test_one_count_may_be_a_word():
    """A single count needs no tuple."""
    assert Rate("true_positive_rate", "tp", ("fn", "tp")) == TRUE_POSITIVE_RATE


@pytest.mark.parametrize("part", ["numerator", "denominator"])
@pytest.mark.parametrize("counts", [(), ("tp", "pt"), "true positives"])
def test_rate_of_unknown_or_no_counts(part, counts):
    """Numerator and denominator are counts that exist, one at least."""
    given = {"numerator": ("tp",), part: counts}
    with raises(
        f"The {part} of a rate must be one or more of 'tn', 'fp', 'fn' and 'tp', got {counts!r}."
    ):
        Rate("mine", **given)


@pytest.mark.parametrize(
    ("numerator", "denominator"),
    [
        (("tp",), ("fp", "tp")),  # precision
        (("tn",), ("tn", "fn")),
        (("tp",), ("tp",)),
        (("tp",), ("tn", "fp", "tp")),
    ],
)
def test_rate_over_a_denominator_that_depends_on_the_decisions(numerator, denominator):
    """Rates over decisions are not linear in them: they are refused, with the rule."""
    with raises(
        "The denominator of a rate must not depend on the decisions: it has both of 'tn' and 'fp' "
        f"or neither, and both of 'fn' and 'tp' or neither; got {denominator!r}."
    ):
        Rate("mine", numerator, denominator)


def test_rate_above_its_denominator():
    """What is counted on top is part of what is below."""
    with raises(
        "The numerator of a rate must be part of its denominator, got ('fp', 'tp') over "
        "('fn', 'tp')."
    ):
        Rate("mine", ("fp", "tp"), ("fn", "tp"))
