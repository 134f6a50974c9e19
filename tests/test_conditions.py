"""Conditions on levels and the user's own: exact, like built-in ones, impossible in words."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import cvxpy as cp
import numpy as np
import pytest
from helpers import (
    CRITERIA,
    DIFFERENCES,
    RATIOS,
    AnyLabelling,
    Instance,
    Stump,
    compared,
    counted_rate,
    counted_rates,
    decide,
    every_labelling,
    instances,
    parities,
    reproducible,
    stumps,
    two_classes,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from fairlearnkit import (
    AllOf,
    Capacity,
    ConvexRates,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    GroupThresholdClassifier,
    MinimumRate,
    ReductionClassifier,
    fairness_frontier,
)
from fairlearnkit._convex_rates import RateConditions
from fairlearnkit._kernels.moments import group_rates, violations
from fairlearnkit._kernels.plain_thresholds import solve_plain_thresholds
from fairlearnkit._kernels.rate_program import least_relaxation
from fairlearnkit._kernels.thresholds import point_rates, solve_thresholds
from fairlearnkit.constraints import (
    ERROR_RATE,
    FALSE_NEGATIVE_RATE,
    SELECTION_RATE,
    TRUE_NEGATIVE_RATE,
    TRUE_POSITIVE_RATE,
)
from fairlearnkit.datasets import make_group_classification
from fairlearnkit.exceptions import InfeasibleConstraintError
from fairlearnkit.metrics import disparity, disparity_scorer

pytestmark = pytest.mark.filterwarnings(
    "ignore::fairlearnkit.exceptions.DegenerateGroupWarning"  # tiny instances on purpose
)

RATES = [TRUE_POSITIVE_RATE, TRUE_NEGATIVE_RATE, SELECTION_RATE, ERROR_RATE, FALSE_NEGATIVE_RATE]
floors = st.builds(
    lambda rate, bound: MinimumRate(rate, at_least=bound),
    st.sampled_from(RATES),
    st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]),
)
capacities = st.builds(
    lambda bound: Capacity(at_most=bound), st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8])
)
# One to three conditions, beside a parity or not.
conditions = st.builds(
    lambda levels, others: AllOf([*levels, *others]),
    st.lists(floors | capacities, min_size=1, max_size=2),
    st.lists(parities(), max_size=1),
)


@pytest.fixture(scope="module")
def data():
    """Return rows of three groups."""
    X, y, groups = make_group_classification(600, base_rates=(0.5, 0.3, 0.4), random_state=0)
    return X, y, np.array(["a", "b", "c"])[groups]


def fitted(data, constraint, kind=GroupThresholdClassifier, **params):
    X, y, groups = data
    return kind(LogisticRegression(), constraint, **params).fit(X, y, sensitive_features=groups)


def inequalities(decisions, instance, criterion):
    """Return ``A @ weights <= b`` for mixtures of decisions, rate by rate and pair by pair."""
    y, weight, group = instance.y, instance.weight, instance.group
    rows, bounds = [], []
    for part in criterion._parts():
        for rate in part._rates():
            overall = np.array([counted_rate(rate.name, y, d, weight) for d in decisions])
            of_groups = np.transpose(
                [
                    counted_rates(rate.name, y, d, weight, group, instance.n_groups)
                    for d in decisions
                ]
            )
            of_groups = [r for r in of_groups if not np.isnan(r).any()]
            if isinstance(part, MinimumRate):
                rows += [-r for r in of_groups]
                bounds += [-part.at_least] * len(of_groups)
            elif isinstance(part, Capacity):
                rows.append(overall)
                bounds.append(part.at_most)
            elif len(of_groups) > 1:
                for one, other in compared(of_groups, overall, part):
                    is_ratio = part.min_ratio is not None
                    rows.append((part.min_ratio if is_ratio else 1.0) * one - other)
                    bounds.append(0.0 if is_ratio else part.max_difference)
    n = len(decisions)
    return np.array(rows).reshape(-1, n), np.array(bounds)


def exact_cost(decisions, instance, criterion):
    """Return the least mean cost of mixing decisions, None where no mixture will do."""
    above, bound = inequalities(decisions, instance, criterion)
    costs = [instance.counted_cost(d) for d in decisions]
    ones = np.ones((1, len(costs)))
    result = linprog(costs, A_ub=above, b_ub=bound, A_eq=ones, b_eq=[1.0])
    return result.fun if result.status == 0 else None


def exact_amount(decisions, instance, criterion):
    """Return by how much the worst inequality must be missed."""
    above, bound = inequalities(decisions, instance, criterion)
    above = np.column_stack([above, -np.ones(len(above))])
    n = len(decisions)
    ones = np.append(np.ones(n), 0.0)[None]
    return linprog(np.append(np.zeros(n), 1.0), above, bound, ones, [1.0]).fun


def every_choice(instance):
    """Return the decisions of every choice of one plain threshold per group."""
    points = instance.points(hull_only=False)
    spans = [points.threshold[a:b] for a, b in zip(points.start, points.start[1:], strict=False)]
    return np.array(
        [
            (instance.score >= np.array(chosen)[instance.group]).astype(float)
            for chosen in product(*spans)
        ]
    )


# ---------------------------------------------------------------------------------------------
# Minimum rates and capacity


@given(instance=instances(max_rows=9), criterion=conditions)
@reproducible(max_examples=80)
def test_thresholds_are_optimal_over_every_choice(instance, criterion):
    """Thresholds cost what a programme over all choices of thresholds does, or none will do."""
    exact = exact_cost(every_choice(instance), instance, criterion)
    if exact is None:
        with pytest.raises(InfeasibleConstraintError):
            instance.solve(criterion)
        return
    assert instance.solve(criterion).cost == pytest.approx(exact, abs=1e-8)


@given(instance=instances(max_rows=9), criterion=conditions)
@reproducible(max_examples=50)
def test_phase_one_is_what_the_worst_inequality_misses(instance, criterion):
    """Phase one finds the least by which any rule misses its worst inequality."""
    points, moments = instance.points(), instance.moments(criterion)
    every = np.ones(moments.n_events)
    found = least_relaxation(point_rates(points, moments), points.group, moments, every, every)

    exact = exact_amount(every_choice(instance), instance, criterion)
    # To overall, ratios count in another unit than pairs of groups do.
    assert (found.amount > 1e-9) == (exact > 1e-9)
    if not moments.is_ratio.any() and not (moments.kind == 0).any():
        assert found.amount == pytest.approx(max(exact, 0.0), abs=1e-8)


@given(instance=instances(max_rows=10), criterion=conditions)
@reproducible(max_examples=60)
def test_plain_thresholds_are_the_best_of_all(instance, criterion):
    """The search over plain thresholds finds what trying all of them does."""
    points, moments = instance.points(hull_only=False), instance.moments(criterion)
    costs = (instance.fp_cost, instance.fn_cost)
    try:
        optimum = solve_thresholds(points, moments, *costs)
    except InfeasibleConstraintError:
        return
    constant, cost = points.cost(*costs)
    spans = [range(a, b) for a, b in zip(points.start, points.start[1:], strict=False)]
    best = np.inf
    for chosen in product(*spans):
        rates = group_rates(moments, points.sums[list(chosen)])
        if violations(moments, rates).max() <= 1e-9:
            best = min(best, constant + cost[list(chosen)].sum())
    plain = solve_plain_thresholds(points, moments, *costs, optimum)
    assert (np.inf if plain is None else plain.cost) == pytest.approx(best, abs=1e-9)


@given(instance=instances(max_rows=7).filter(two_classes), criterion=conditions)
@reproducible(max_examples=40)
def test_reductions_are_optimal_over_every_labelling(instance, criterion):
    """With a learner that labels at will: the optimum over all 2^n, or the proof of none."""
    X = np.arange(len(instance.y), dtype=float)[:, None]
    costs = {"fp": instance.fp_cost, "fn": instance.fn_cost}
    clf = ReductionClassifier(AnyLabelling(), criterion, costs=costs, tol=1e-9, max_fits=500)
    rows = {"sensitive_features": instance.group, "sample_weight": instance.weight}
    exact = exact_cost(every_labelling(len(X)), instance, criterion)
    if exact is None:
        with pytest.raises(InfeasibleConstraintError, match="No mixture of the models"):
            clf.fit(X, instance.y, **rows)
        return
    scale = max(costs.values())
    clf.fit(X, instance.y, **rows)
    assert clf.cost_ == pytest.approx(exact, abs=2e-8 * scale)
    assert clf.lower_bound_ <= exact + 1e-8 * scale


@given(instance=instances(max_rows=12).filter(two_classes), criterion=conditions)
@reproducible(max_examples=30)
def test_an_exactly_learned_class_is_proved_infeasible(instance, criterion):
    """With an exact minimiser of weighted error phase one is right about its whole class."""
    X = instance.score[:, None] + 0.01 * np.arange(len(instance.y))[:, None]
    every = np.array([decide(rule, X) for rule in stumps(X)], dtype=float)
    exact = exact_cost(every, instance, criterion)
    clf = ReductionClassifier(Stump(), criterion, tol=1e-9, max_fits=500)
    rows = {"sensitive_features": instance.group, "sample_weight": instance.weight}
    if exact is None:
        with pytest.raises(InfeasibleConstraintError):
            clf.fit(X, instance.y, **rows)
    else:
        assert clf.fit(X, instance.y, **rows).n_fits_ <= 500


def hand_made():
    """Return two groups of four rows, group 0 in perfect order and group 1 in reverse."""
    return Instance(
        score=np.array([4.0, 3, 2, 1, 4, 3, 2, 1]),
        y=np.array([1, 1, 0, 0, 0, 0, 1, 1]),
        group=np.repeat([0, 1], 4),
        weight=np.ones(8),
    )


def test_contradiction_by_hand():
    """The error names what contradicts what, by how much, and what would be within reach."""
    instance = hand_made()
    criterion = AllOf([MinimumRate(TRUE_POSITIVE_RATE, at_least=1.0), Capacity(at_most=0.5)])
    X = np.column_stack([-instance.score, instance.score])
    clf = GroupThresholdClassifier(LogisticRegression().fit(X, instance.y), criterion, cv="prefit")
    # The model ranks all rows by score. All positives of group 0 take 2 of 8 rows, those of
    # group 1 all 4: 0.75 in all. Missing by s gives 2 (1 - s) + 4 (1 - s) <= 8 (0.5 + s), s = 1/7.
    # Within 0.5 the rates can be t with 6 t = 4.
    clf.estimator.coef_ = np.array([[0.0, 1.0]])
    with pytest.raises(InfeasibleConstraintError) as error:
        clf.fit(X, instance.y, sensitive_features=np.array(["f", "m"])[instance.group])
    assert str(error.value) == (
        "No rule of group thresholds meets all of true positive rate of every group at least 1 "
        "(at issue: group f; group m) and share selected at most 0.5: they contradict each other, "
        "and whatever is decided, one of them is missed by 0.1429 or more in rate. Relax one of "
        "them: within reach, as long as the others stay, is true positive rate of every group at "
        "least 0.6666, or share selected at most 0.75."
    )


def test_one_condition_out_of_reach():
    """A single floor that no rule meets is named alone: errors for all cannot reach 0.9."""
    instance = hand_made()
    moments = instance.moments(MinimumRate(ERROR_RATE, at_least=0.9))
    points = instance.points()
    every = np.ones(1)
    found = least_relaxation(point_rates(points, moments), points.group, moments, every, every)
    # Group 0 errs on half of its rows at the most.
    assert found.amount == pytest.approx(0.4)
    X = instance.score[:, None]
    clf = GroupThresholdClassifier(
        LogisticRegression().fit(X, [1, 1, 0, 0] * 2),
        MinimumRate(ERROR_RATE, at_least=0.9),
        cv="prefit",
    )
    with pytest.raises(
        InfeasibleConstraintError, match=r"missed by 0.4 or more. Relax it: within reach .* 0.5\."
    ):
        clf.fit(X, instance.y, sensitive_features=instance.group)


@pytest.mark.parametrize("kind", [GroupThresholdClassifier, ReductionClassifier])
def test_what_is_asked_for_holds(data, kind):
    """Both estimators meet floor and capacity, and report what these bound."""
    rule = AllOf([MinimumRate(TRUE_POSITIVE_RATE, at_least=0.6), Capacity(at_most=0.35)])
    clf = fitted(data, rule, kind)
    assert clf.disparity_[0] >= 0.6 - 1e-9
    assert clf.disparity_[1] <= 0.35 + 1e-9
    tight = clf.at(constraint=Capacity(at_most=0.2))
    assert tight.disparity_ == pytest.approx(0.2)
    assert tight.at(at_most=0.1).cost_ > tight.cost_


@pytest.mark.parametrize("kind", [GroupThresholdClassifier, ReductionClassifier])
@pytest.mark.parametrize(
    ("criterion", "knob"),
    [
        (MinimumRate(TRUE_POSITIVE_RATE, at_least=0.6), "at_least"),
        (Capacity(at_most=0.2), "at_most"),
    ],
)
def test_frontier_of_a_level(data, kind, criterion, knob):
    """The curve of a level is the cost that `at` finds, with prices of either sign as one."""
    clf = fitted(data, criterion, kind, **({"tol": 0.02} if kind is ReductionClassifier else {}))
    curve = clf.frontier_
    assert curve.knob_name == knob
    # A floor is dearer the higher it is, a place is worth less the more there are.
    dearer = np.diff(curve.price[:-1]) * (1 if knob == "at_least" else -1)
    assert (dearer >= -1e-9).all()
    for value in (0.3, 0.8):
        # Reductions may find better models on the way.
        assert clf.at(**{knob: value}).cost_ <= curve(value) + 1e-8
    if kind is GroupThresholdClassifier:
        assert clf.at(**{knob: 0.8}).cost_ == pytest.approx(curve(0.8), abs=1e-9)


def test_frontier_begins_where_conditions_allow(data):
    """The factor starts at the smallest that a floor and a capacity leave feasible."""
    rule = AllOf(
        [
            DemographicParity(max_difference=0.3),
            MinimumRate(TRUE_POSITIVE_RATE, at_least=0.8),
            Capacity(at_most=0.48),
        ]
    )
    clf = fitted(data, rule)
    first = clf.frontier_.knob[0]
    assert 0.0 < first < 1.0
    assert np.isfinite(clf.frontier_.cost).all()
    parts = rule.criteria
    with pytest.raises(InfeasibleConstraintError, match="difference in selection rate between"):
        clf.at(
            constraint=AllOf(
                [DemographicParity(max_difference=0.3 * (first - 1e-4)), parts[1], parts[2]]
            )
        )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("lp_step", [True, False])
def test_exponentiated_gradient_plays_against_levels(data, lp_step):
    """The published algorithm keeps its promise, which it comes to slowly without a programme."""
    rule = AllOf([MinimumRate(TRUE_POSITIVE_RATE, at_least=0.6), Capacity(at_most=0.4)])
    params = {"solver": "exponentiated_gradient", "max_multiplier": 10.0, "tol": 0.02}
    clf = fitted(data, rule, ReductionClassifier, lp_step=lp_step, **params)
    beyond = 1e-9 if lp_step else (1 + 2 * clf.gap_) / 10.0
    assert clf.disparity_[0] >= 0.6 - beyond
    assert clf.disparity_[1] <= 0.4 + beyond
    best = fitted(data, rule, ReductionClassifier)
    assert clf.cost_ <= best.cost_ + 2 * clf.gap_ + 1e-9
    longer = fitted(data, rule, ReductionClassifier, lp_step=lp_step, max_fits=200, **params)
    assert longer.gap_ < clf.gap_ or clf.gap_ < 0.02


def test_shadow_prices(data):
    """A price is what a little more of its bound saves, or what a higher floor costs."""

    def rule(floor, capacity, gap):
        return AllOf(
            [
                MinimumRate(TRUE_POSITIVE_RATE, at_least=floor),
                Capacity(at_most=capacity),
                DemographicParity(max_difference=gap),
                EqualizedOdds(min_ratio=0.1),
                ConvexRates(lambda r: [r.fpr <= 1]),
            ]
        )

    clf = fitted(data, rule(0.6, 0.35, 0.05))
    step = 1e-5
    moved = [
        clf.at(constraint=rule(*bounds)).cost_ - clf.cost_
        for bounds in (
            (0.6 + step, 0.35, 0.05),
            (0.6, 0.35 + step, 0.05),
            (0.6, 0.35, 0.05 + step),
        )
    ]
    assert clf.bound_prices_[:3] == pytest.approx(np.abs(moved) / step, rel=0.01, abs=1e-3)
    assert clf.bound_prices_[:3].max() > 0.01
    assert np.isnan(clf.bound_prices_[3:]).all()
    with pytest.raises(AttributeError, match="not available with randomized=False"):
        _ = fitted(data, Capacity(at_most=0.3), randomized=False).bound_prices_


def test_conditions_hold_within_strata(data):
    """With strata a floor and a capacity hold in each of them."""
    X, y, groups = data
    strata = np.where(X[:, 0] > 0, "high", "low")
    rule = AllOf([MinimumRate(TRUE_POSITIVE_RATE, at_least=0.5), Capacity(at_most=0.45)])
    own = ConvexRates(lambda r: [r.tpr >= 0.5, r.overall_selection_rate <= 0.45])
    costs = []
    for criterion in (rule, own):
        clf = GroupThresholdClassifier(LogisticRegression(), criterion)
        clf.fit(X, y, sensitive_features=groups, control_features=strata)
        chance = clf.decision_probability(X, sensitive_features=groups, control_features=strata)
        assert chance.shape == (len(y), 2)
        costs.append(clf.cost_)
    assert costs[0] == pytest.approx(costs[1], abs=1e-7)


def test_one_group_can_have_a_floor(data):
    """A level compares nothing: it binds, and warns of nothing, where there is one group."""
    X, y, _ = data
    clf = GroupThresholdClassifier(LogisticRegression(), Capacity(at_most=0.1))
    clf.fit(X, y, sensitive_features=np.zeros(len(y)))
    assert clf.disparity_ == pytest.approx(0.1)


def test_plain_thresholds_under_capacity(data):
    """Plain thresholds meet both conditions at no less than the cost of randomised ones."""
    rule = AllOf([MinimumRate(TRUE_POSITIVE_RATE, at_least=0.6), Capacity(at_most=0.33)])
    clf = fitted(data, rule)
    plain = fitted(data, rule, randomized=False)
    assert plain.cost_ >= clf.cost_ - 1e-12
    assert plain.disparity_[0] >= 0.6 - 1e-9
    assert plain.disparity_[1] <= 0.33 + 1e-9
    assert all(len(pairs) == 1 for pairs in plain.thresholds_.values())


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (MinimumRate("tpr", at_least=0.5), "rate must be a Rate"),
        (MinimumRate(TRUE_POSITIVE_RATE, at_least=1.5), r"at_least must be in \[0, 1\], got 1.5"),
        (Capacity(at_most=None), r"at_most must be in \[0, 1\], got None"),
        (Capacity(at_most=True), r"at_most must be in \[0, 1\], got True"),
        (ConvexRates(3), "build must be a function"),
        (ConvexRates(len, parameters=[1]), "parameters must be a dict"),
        (ConvexRates(len, parameters={"d": -1}), "numbers >= 0"),
        (ConvexRates(len, parameters={"at_most": 0.1}), "names that no other bound has"),
    ],
)
def test_invalid_criteria(data, criterion, message):
    """What is wrong with a criterion is said in `fit`."""
    with pytest.raises(ValueError, match=message):
        fitted(data, criterion)


def test_no_disparity_of_a_condition(data):
    """Metrics and scorers say that a condition compares nothing."""
    _, y, groups = data
    for criterion in (Capacity(at_most=0.1), AllOf([EqualizedOdds(), Capacity(at_most=0.1)])):
        with pytest.raises(ValueError, match="needs criteria that compare groups, got Capacity"):
            disparity(criterion, y, y, sensitive_features=groups)
        with pytest.raises(ValueError, match="needs criteria that compare groups"):
            disparity_scorer(criterion)


def test_turning_another_knob_is_an_error(data):
    """`at` names the bounds that a criterion has."""
    clf = fitted(data, Capacity(at_most=0.3))
    with pytest.raises(ValueError, match="Capacity is bounded by at_most, got at_least"):
        clf.at(at_least=0.2)
    with pytest.raises(ValueError, match="got at_most, d"):
        clf.at(at_most=0.2, d=0.1)


def test_held_out_frontiers(data):
    """A frontier turns a level or a parameter, and measures the disparity that is asked for."""
    X, y, groups = data
    clf = GroupThresholdClassifier(LogisticRegression(), Capacity(at_most=0.3), cv=3)
    options = {"sensitive_features": groups, "cv": 3}
    with pytest.raises(ValueError, match=r"no default values .* Pass knob_values= for at_most"):
        fairness_frontier(clf, X, y, **options)
    with pytest.raises(ValueError, match=r"compares nothing\. Say which disparity"):
        fairness_frontier(clf, X, y, knob_values=[0.1, 0.2], **options)
    found = fairness_frontier(
        clf, X, y, knob_values=[0.1, 0.2], criteria=EqualOpportunity(), **options
    )
    assert found.knob_name == "at_most"
    clf.set_params(constraint=AllOf([EqualOpportunity(max_difference=0.1), clf.constraint]))
    found = fairness_frontier(clf, X, y, knob_values=[0.5, 1.0], **options)
    assert found.knob_name == "factor"
    near = ConvexRates(lambda r, d: [cp.max(r.tpr) - cp.min(r.tpr) <= d], parameters={"d": 0.1})
    knobs, criteria = [0.05, 0.1], EqualOpportunity()
    clf.set_params(constraint=near)
    own = fairness_frontier(clf, X, y, knob_values=knobs, criteria=criteria, **options)
    assert own.knob_name == "d"
    clf.set_params(constraint=EqualOpportunity(max_difference=0.1))
    built_in = fairness_frontier(clf, X, y, max_differences=knobs, **options)
    assert own.fold_scores == pytest.approx(built_in.fold_scores, abs=0.01)


# ---------------------------------------------------------------------------------------------
# The user's own conditions


def in_cvxpy(criterion):
    """Return a criterion as the user would write it."""
    parts = list(criterion._parts())

    def build(r):
        for part in parts:
            for rate in part._rates():
                of_groups, overall = getattr(r, rate.name), getattr(r, f"overall_{rate.name}")
                if isinstance(part, MinimumRate):
                    yield of_groups >= part.at_least
                elif isinstance(part, Capacity):
                    yield overall <= part.at_most
                elif part.reference == "overall" and part.min_ratio is None:
                    yield cp.abs(of_groups - overall) <= part.max_difference
                elif part.reference == "overall":
                    yield part.min_ratio * overall <= of_groups
                    yield part.min_ratio * of_groups <= overall
                elif part.min_ratio is None:
                    yield cp.max(of_groups) - cp.min(of_groups) <= part.max_difference
                else:
                    yield part.min_ratio * cp.max(of_groups) <= cp.min(of_groups)

    return ConvexRates(lambda r: list(build(r)))


def with_conditions(instance, criterion):
    """Return the moments of a criterion with the user's conditions."""
    moments = instance.moments(criterion)
    own = [part for part in criterion._parts() if isinstance(part, ConvexRates)]
    groups = list(range(instance.n_groups))
    return moments._replace(conditions=RateConditions(own, moments, groups, [None]))


def own_cost(instance, criterion, points=None):
    """Return the least cost of thresholds under the user's conditions; None where none will do."""
    points = instance.points() if points is None else points
    moments = with_conditions(instance, criterion)
    try:
        return solve_thresholds(points, moments, instance.fp_cost, instance.fn_cost).cost
    except InfeasibleConstraintError:
        return None


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("reference", ["between", "overall"])
@given(instance=instances(), is_ratio=st.booleans(), place=st.integers(0, 5))
@reproducible(max_examples=6)
def test_the_same_answer_as_built_in(criterion, reference, instance, is_ratio, place):
    """Every criterion written in cvxpy costs what the built-in one does, to 1e-7."""
    bound = {"min_ratio": RATIOS[place]} if is_ratio else {"max_difference": DIFFERENCES[place]}
    built_in = criterion(reference=reference, **bound)
    exact = instance.solve(built_in).cost
    assert own_cost(instance, in_cvxpy(built_in)) == pytest.approx(exact, abs=1e-7)


@given(instance=instances(), criterion=conditions, is_split=st.booleans())
@reproducible(max_examples=40)
def test_the_same_answer_for_conditions(instance, criterion, is_split):
    """So do conditions on levels, all in cvxpy or beside built-in ones, feasible or not."""
    own = in_cvxpy(criterion)
    if is_split:
        first, *others = criterion.criteria
        own = AllOf([*others, in_cvxpy(first)])
    try:
        exact = instance.solve(criterion).cost
    except InfeasibleConstraintError:
        assert own_cost(instance, own) is None
        return
    assert own_cost(instance, own) == pytest.approx(exact, abs=1e-7)


@given(
    instance=instances(max_rows=9),
    norm=st.sampled_from([1, 2, "inf"]),
    name=st.sampled_from(["tpr", "selection_rate", "error_rate"]),
    bound=st.sampled_from([0.02, 0.1, 0.3]),
    floor=st.sampled_from([None, 0.6]),
)
@reproducible(max_examples=40)
def test_convex_conditions_against_every_choice(instance, norm, name, bound, floor):
    """Distances by any norm: the optimum of one programme over all choices of thresholds."""
    y, weight = instance.y, instance.weight
    for g in range(instance.n_groups):
        if len(np.unique(y[instance.group == g])) < 2:
            return
    full = {"tpr": "true_positive_rate"}.get(name, name)
    choices = every_choice(instance)
    share = cp.Variable(len(choices), nonneg=True)

    def by_group(name):
        rows = [
            counted_rates(name, y, d, weight, instance.group, instance.n_groups) for d in choices
        ]
        return np.transpose(rows) @ share

    rates = by_group(full)
    asked = [cp.norm(rates - cp.sum(rates) / instance.n_groups, norm) <= bound]
    if floor is not None:
        asked.append(by_group("error_rate")[0] >= floor)
    cost = np.array([instance.counted_cost(d) for d in choices])
    exact = cp.Problem(cp.Minimize(cost @ share), [*asked, cp.sum(share) == 1])
    exact.solve(solver=cp.CLARABEL)

    def build(r):
        rates = getattr(r, name)
        found = [cp.norm(rates - cp.sum(rates) / r.n_groups, norm) <= bound]
        return found if floor is None else [*found, r.error_rate[0] >= floor]

    found = own_cost(instance, ConvexRates(build))
    if exact.status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE):
        assert found is None
    else:
        assert found == pytest.approx(exact.value, abs=1e-6)


def test_the_lower_hull_is_needed():
    """A floor under the errors of a group is met below the diagonal, or not at all."""
    instance = hand_made()._replace(y=np.array([1, 1, 0, 0, 1, 1, 0, 0]))
    # In order of score, 1 1 0 0: accepting all or none errs on half, on the upper hull never more.
    backwards = instance._replace(score=-instance.score)
    floor = ConvexRates(lambda r: [r.error_rate >= 0.9])
    assert own_cost(instance, floor) is None
    # The same rows backwards, 0 0 1 1: accepting the first two errs on all rows.
    assert own_cost(backwards, floor) == pytest.approx(0.9, abs=1e-7)
    points = backwards.points()
    is_upper = points.sums[:, 1] >= points.sums[:, 0]
    assert own_cost(backwards, floor, points.take(np.flatnonzero(is_upper))) is None


@given(instance=instances(max_rows=7).filter(two_classes), bound=st.sampled_from([0.05, 0.2]))
@reproducible(max_examples=15)
def test_reductions_under_convex_conditions(instance, bound):
    """With a learner that labels at will the answer is the optimum over all labellings."""
    for g in range(instance.n_groups):
        if len(np.unique(instance.y[instance.group == g])) < 2:
            return
    X = np.arange(len(instance.y), dtype=float)[:, None]
    labellings = every_labelling(len(X))
    share = cp.Variable(len(labellings), nonneg=True)
    rows = [
        counted_rates("selection_rate", instance.y, d, instance.weight, instance.group, g + 1)
        for d in labellings
    ]
    rates = np.transpose(rows) @ share
    cost = np.array([instance.counted_cost(d) for d in labellings])
    near = [cp.norm(rates - cp.sum(rates) / (g + 1), 2) <= bound, cp.sum(share) == 1]
    exact = cp.Problem(cp.Minimize(cost @ share), near)
    exact.solve(solver=cp.CLARABEL)

    criterion = ConvexRates(
        lambda r: [cp.norm(r.selection_rate - cp.sum(r.selection_rate) / r.n_groups, 2) <= bound]
    )
    costs = {"fp": instance.fp_cost, "fn": instance.fn_cost}
    clf = ReductionClassifier(AnyLabelling(), criterion, costs=costs, tol=1e-6, max_fits=500)
    clf.fit(X, instance.y, sensitive_features=instance.group, sample_weight=instance.weight)
    scale = max(costs.values())
    assert clf.cost_ == pytest.approx(exact.value, abs=3e-6 * scale)
    assert clf.lower_bound_ <= exact.value + 1e-6 * scale


def euclidean(r, distance):
    """Keep false positive rates near their mean; a function of a module pickles."""
    return [cp.norm(r.fpr - cp.sum(r.fpr) / r.n_groups, 2) <= distance]


@pytest.mark.parametrize("kind", [GroupThresholdClassifier, ReductionClassifier])
def test_the_knob_is_a_parameter(data, kind):
    """`at` turns a parameter by its name, as a fresh fit does; estimators clone and pickle."""
    near = ConvexRates(euclidean, parameters={"distance": 0.05})
    clf = fitted(data, near, kind)
    strict = clf.at(distance=0.01)
    assert strict.constraint.parameters == {"distance": 0.01}
    assert clf.constraint.parameters == {"distance": 0.05}
    assert strict._conditions is clf._conditions
    assert strict.cost_ >= clf.cost_ - 1e-3
    fresh = fitted(data, near._with({"distance": 0.01}), kind)
    assert strict.cost_ == pytest.approx(fresh.cost_, abs=1e-3)
    assert strict.disparity_ <= 1e-7
    X, _, groups = data
    rows = {"sensitive_features": groups} if kind is GroupThresholdClassifier else {}
    again = pickle.loads(pickle.dumps(strict))
    assert (again.predict(X, **rows) == strict.predict(X, **rows)).all()
    assert clone(strict).constraint.build is euclidean
    if kind is GroupThresholdClassifier:
        assert again.at(distance=0.05).cost_ == pytest.approx(clf.cost_, abs=1e-8)


def test_knobs_turned_in_threads(data):
    """Estimators of one fit share conditions: asked in any order, or in threads, each has its own.

    Threads take turns: otherwise one's knob is another's, and answers are beyond their bounds.
    """
    clf = fitted(data, ConvexRates(euclidean, parameters={"distance": 0.05}))
    knobs = np.linspace(0.002, 0.05, 12)

    def turned(knob):
        other = clf.at(distance=knob)
        return other.cost_, other.bound_prices_, other.disparity_

    alone = [turned(knob) for knob in knobs]
    others = [clf.at(distance=knob) for knob in knobs]
    for other, (_, price, _) in zip(others[::-1], alone[::-1], strict=True):
        np.testing.assert_array_equal(other.bound_prices_, price)
    with ThreadPoolExecutor(4) as threads:
        assert str(list(threads.map(turned, knobs))) == str(alone)


def test_what_the_rates_are(data):
    """Expressions have the values that the fitted rule's rates have by counting."""
    _X, _y, groups = data
    seen = {}

    def build(r):
        seen["r"] = r
        return [r.tpr["b"] >= 0.8, r.overall_error_rate <= 0.5, r.tnr >= 0, r.fnr + r.fpr <= 2]

    clf = fitted(data, ConvexRates(build))
    r = seen["r"]
    assert r.groups == ["a", "b", "c"]
    assert r.share @ np.ones(3) == pytest.approx(1.0)
    points_rates = {
        name: getattr(r, name).value
        for name in ("true_positive_rate", "false_positive_rate", "error_rate")
    }
    assert points_rates["true_positive_rate"][1] >= 0.8 - 1e-7
    counts = np.array([np.mean(groups == g) for g in r.groups])
    assert clf.cost_ == pytest.approx(counts @ points_rates["error_rate"], abs=1e-6)
    assert r.overall_error_rate.value == pytest.approx(clf.cost_, abs=1e-6)


def test_variables_and_parameters_of_the_users_own(data):
    """Conditions may have variables of their own, and parameters turned from outside."""
    bound = cp.Parameter(nonneg=True, value=0.1)

    def build(r):
        level = cp.Variable()
        return [cp.abs(r.selection_rate - level) <= bound / 2]

    clf = fitted(data, ConvexRates(build))
    parity = fitted(data, DemographicParity(max_difference=0.1))
    assert clf.cost_ == pytest.approx(parity.cost_, abs=1e-7)
    assert clf.disparity_ <= 1e-7
    bound.value = 0.02
    turned = clf.at(constraint=clf.constraint)
    assert turned.cost_ == pytest.approx(parity.at(max_difference=0.02).cost_, abs=1e-7)


def test_a_rate_without_rows_is_free():
    """A group without positives has any true positive rate, for a floor and for a distance."""
    y = np.array([1, 0, 1, 0, 0, 0])
    instance = Instance(np.arange(6.0), y, np.repeat([0, 1, 2], 2), np.ones(6))
    free = instance.solve(EqualOpportunity(max_difference=1.0)).cost
    own = ConvexRates(lambda r: [r.tpr[2] >= 1, r.tpr - r.tpr[2] == 0])
    assert own_cost(instance, own) == pytest.approx(free, abs=1e-7)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda r: [r.tpr["a"] / r.tpr["b"] >= 0.8],
            r"true_positive_rate\['a'\] / true_positive_rate\['b'\]: the larger side must be "
            r"concave .* neither convex nor concave .* written a >= c \* b",
        ),
        (lambda r: [cp.square(r.fpr) >= 0.5], "the larger side must be concave.* is convex"),
        (lambda r: [cp.sqrt(r.fpr) <= 0.5], "the smaller side must be convex.* is concave"),
        (lambda r: [cp.square(r.fpr) == 0.5], "both sides of an equation must be affine"),
        (lambda r: r.tpr >= 0.7, r"must return a list .* Write \[r.tpr >= 0.7\]"),
        (lambda r: [True], "must return cvxpy constraints .* got True"),
        (lambda r: [r.tpr["z"] >= 0.7], r"has no group 'z': groups are \['a', 'b', 'c'\]"),
    ],
)
def test_conditions_that_are_none(data, build, message):
    """What is not a convex condition is shown, and the rule that it breaks named, before fits."""
    X, y, groups = data
    clf = GroupThresholdClassifier(LogisticRegression(), ConvexRates(build))
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y, sensitive_features=groups)
    assert not hasattr(clf, "estimator_")


def test_an_unknown_rate(data):
    """Rates that are not linear in the decisions do not exist here."""
    with pytest.raises(AttributeError, match=r"There is no rate 'precision'\. There are"):
        fitted(data, ConvexRates(lambda r: [r.precision >= 0.5]))


def test_any_cone_has_a_phase_one(data):
    """Cones that cannot be relaxed are met by rates beside those of the mixture, at a distance."""
    rule = ConvexRates(
        lambda r: [
            cp.bmat([[r.tpr["a"], 0.5], [0.5, r.tnr["a"]]]) >> 0,  # tpr * tnr >= 0.25
            cp.log_sum_exp(r.fpr) <= np.log(3.3),
            cp.SOC(cp.Constant(0.2), r.selection_rate - r.overall_selection_rate),
        ]
    )
    for kind in (GroupThresholdClassifier, ReductionClassifier):
        clf = fitted(data, rule, kind)
        assert clf.disparity_ <= 1e-7
    hard = ConvexRates(lambda r: [cp.bmat([[r.tpr["a"], 1.0], [1.0, r.tnr["a"]]]) >> 0])
    for kind in (GroupThresholdClassifier, ReductionClassifier):
        with pytest.raises(InfeasibleConstraintError, match=r"true_positive_rate\['a'\]"):
            fitted(data, hard, kind)
    never = ConvexRates(lambda r: [r.tpr["a"] >= 0.9, r.tpr["a"] <= 0.5])
    with pytest.raises(InfeasibleConstraintError, match=r"missed by 0\.2 or more in rate"):
        fitted(data, never)


def test_levels_from_thresholds_of_models(data):
    """Thresholds of fitted models are part of phase one: one fit can be enough."""
    rule = AllOf([MinimumRate(TRUE_POSITIVE_RATE, at_least=0.7), Capacity(at_most=0.42)])
    clf = fitted(data, rule, ReductionClassifier, threshold_columns="train")
    own = AllOf([ConvexRates(lambda r: [r.tpr >= 0.7]), Capacity(at_most=0.42)])
    mine = fitted(data, own, ReductionClassifier, threshold_columns="train")
    assert clf.disparity_[0] >= 0.7 - 1e-9
    assert mine.cost_ == pytest.approx(clf.cost_, abs=2e-3)
    unpickled = pickle.loads(pickle.dumps(clf))
    with pytest.raises(InfeasibleConstraintError, match="Of a pickle, no mixture"):
        unpickled.at(constraint=AllOf([rule.criteria[0], Capacity(at_most=0.1)]))


def test_weights_in_the_cost_only(data):
    """Where rates are unweighted the conditions are on these, in both ways of saying them."""
    X, y, groups = data
    weight = np.random.default_rng(0).uniform(0.2, 3.0, len(y))
    costs = []
    for rule in (
        AllOf([MinimumRate(TRUE_POSITIVE_RATE, at_least=0.6), Capacity(at_most=0.35)]),
        ConvexRates(lambda r: [r.tpr >= 0.6, r.overall_selection_rate <= 0.35]),
    ):
        clf = GroupThresholdClassifier(LogisticRegression(), rule, weight_rates=False)
        clf.fit(X, y, sensitive_features=groups, sample_weight=weight)
        costs.append(clf.cost_)
    assert costs[1] == pytest.approx(costs[0], abs=1e-7)


@pytest.mark.parametrize("kind", [GroupThresholdClassifier, ReductionClassifier])
def test_contradictions_are_named(data, kind):
    """The user's conditions that stand in the way are shown with labels, and what would do."""
    rule = AllOf([Capacity(at_most=0.1), ConvexRates(lambda r: [r.tpr["a"] >= 0.9, r.fpr <= 1])])
    with pytest.raises(InfeasibleConstraintError) as error:
        fitted(data, rule, kind)
    message = str(error.value)
    assert "share selected at most 0.1" in message
    assert "[0.9 <= true_positive_rate['a']]" in message
    assert "false_positive_rate" not in message
    assert "as long as the others stay, is share selected at most 0." in message


def test_what_convex_rates_do_not_do(data):
    """Plain thresholds, exponentiated gradient and curves are refused with the reason."""
    near = ConvexRates(euclidean, parameters={"distance": 0.05})
    with pytest.raises(ValueError, match="randomized=False is not available with ConvexRates"):
        fitted(data, near, randomized=False)
    with pytest.raises(ValueError, match="knows no other conditions, got ConvexRates"):
        fitted(data, near, ReductionClassifier, solver="exponentiated_gradient")
    clf = fitted(data, near)
    with pytest.raises(AttributeError, match="frontier_ is not available with ConvexRates"):
        _ = clf.frontier_
    single = fitted(
        data, near._with({"distance": 0.5}), ReductionClassifier, randomized=False, tol=0.05
    )
    assert single.weights_ == pytest.approx([1.0])


def test_grid_search_over_conditions(data):
    """Criteria are parameters like others in a search."""
    X, y, _groups = data
    clf = GroupThresholdClassifier(
        LogisticRegression(), Capacity(at_most=0.2), sensitive_columns=lambda X: X[:, 0] > 0
    )
    search = GridSearchCV(clf, {"constraint__at_most": [0.2, 0.4]}, cv=3).fit(X, y)
    assert search.best_params_ == {"constraint__at_most": 0.4}


def test_another_criterion_states_the_conditions_anew():
    """Where the user's conditions fall on other rows, `at` is as good as a fresh fit."""
    X, y, groups = make_group_classification(600, base_rates=(0.6, 0.3, 0.5), random_state=0)
    own = ConvexRates(lambda r: [r.fpr <= 0.05])
    several = [
        AllOf([MinimumRate(FALSE_NEGATIVE_RATE, at_least=0.0), own]),
        AllOf([Capacity(at_most=0.3), own]),
        AllOf([own, DemographicParity(max_difference=0.02)]),
    ]

    def fitted(constraint):
        clf = GroupThresholdClassifier(LogisticRegression(), constraint)
        return clf.fit(X, y, sensitive_features=groups)

    first = fitted(own)
    for constraint in several:
        fresh = fitted(constraint)
        first = first.at(constraint=constraint)
        assert first.cost_ == pytest.approx(fresh.cost_, abs=1e-6)


def test_numbers_as_labels_are_not_places():
    """With groups 1, 2, 3 a place is an error that names them, not another group."""
    X, y, groups = make_group_classification(600, base_rates=(0.6, 0.3, 0.5), random_state=0)
    by_place = ConvexRates(lambda r: [r.tpr[i] >= 0.9 for i in range(r.n_groups)])
    clf = GroupThresholdClassifier(LogisticRegression(), by_place)
    with pytest.raises(ValueError, match=r"has no group 0: groups are \[.*1.*2.*3"):
        clf.fit(X, y, sensitive_features=groups + 1)


def test_overall_rates_without_rows_in_a_stratum_are_free():
    """Where a stratum has no positives its overall true positive rate may be anything."""
    X, y, groups = make_group_classification(600, base_rates=(0.6, 0.3), random_state=0)
    stratum = np.where(np.arange(600) < 300, "a", "b")
    kept = (stratum == "a") | (y == 0)
    clf = GroupThresholdClassifier(
        LogisticRegression(), ConvexRates(lambda r: [r.overall_tpr >= 0.7])
    ).fit(X[kept], y[kept], sensitive_features=groups[kept], control_features=stratum[kept])
    assert clf.disparity_ <= 1e-7


def test_no_threshold_is_left_with_a_weight_of_rounding():
    """What an interior-point solver leaves of zero does not reach the rules."""
    X, y, groups = make_group_classification(3000, base_rates=(0.6, 0.3), random_state=0)
    clf = GroupThresholdClassifier(LogisticRegression(), ConvexRates(lambda r: [r.tpr >= 0.7]))
    clf.fit(X, y, sensitive_features=groups)
    shares = [share for rule in clf.thresholds_.values() for _, share in rule]
    assert min(shares) > 1e-8


def test_no_call_is_left_after_the_search_for_a_rule_within_the_bounds():
    """Where that takes all fits allowed, both solvers return what there is, with a warning."""
    X, y, groups = make_group_classification(600, base_rates=(0.6, 0.3), random_state=0)
    both = AllOf([MinimumRate(TRUE_POSITIVE_RATE, at_least=0.8), Capacity(at_most=0.7)])
    for solver in ("column_generation", "exponentiated_gradient"):
        clf = ReductionClassifier(LogisticRegression(), both, solver=solver, max_fits=1)
        with pytest.warns(ConvergenceWarning, match="max_fits=1 reached"):
            clf.fit(X, y, sensitive_features=groups)
        assert clf.n_fits_ == 1
        assert clf.gap_ > clf.tol


def test_no_condition_at_all(data):
    """A function that returns no condition would leave the model without a constraint."""
    with pytest.raises(ValueError, match="build must return at least one cvxpy constraint"):
        fitted(data, ConvexRates(lambda r: []))
