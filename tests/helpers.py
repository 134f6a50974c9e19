"""What several test modules share: small random instances, and rates by direct counting."""

from functools import partial
from itertools import permutations, product
from typing import NamedTuple

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.base import BaseEstimator, ClassifierMixin

from fairlearnkit import (
    AllOf,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    ErrorRateParity,
    FalseNegativeRateParity,
    FalsePositiveRateParity,
    TrueNegativeRateParity,
)
from fairlearnkit._kernels.exponentiated_gradient import exponentiated_gradient
from fairlearnkit._kernels.hypotheses import Hypothesis
from fairlearnkit._kernels.moments import group_rates
from fairlearnkit._kernels.newton import LogisticProblem, surrogate_rows
from fairlearnkit._kernels.pool import Pool
from fairlearnkit._kernels.thresholds import accept_probability, operating_points, solve_thresholds

CRITERIA = [
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    FalsePositiveRateParity,
    TrueNegativeRateParity,
    FalseNegativeRateParity,
    ErrorRateParity,
]

# The same examples in every run, however slow the machine.
reproducible = partial(
    settings, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

# Each rate: what is averaged, and over which rows, given labels and decisions in [0, 1].
_AVERAGED = {
    "selection_rate": lambda y, d: (d, y >= 0),
    "true_positive_rate": lambda y, d: (d, y == 1),
    "false_positive_rate": lambda y, d: (d, y == 0),
    "true_negative_rate": lambda y, d: (1 - d, y == 0),
    "false_negative_rate": lambda y, d: (1 - d, y == 1),
    "error_rate": lambda y, d: (np.abs(y - d), y >= 0),
}


def counted(name, y, decision, weight):
    """Return the numerator and the denominator of a rate, as sums over rows."""
    value, rows = _AVERAGED[name](y, decision)
    return (weight * value)[rows].sum(), weight[rows].sum()


def counted_rate(name, y, decision, weight):
    """Return a rate; NaN where none of its rows has weight."""
    above, below = counted(name, y, decision, weight)
    return above / below if below else np.nan


def counted_rates(name, y, decision, weight, group, n_groups):
    """Return a rate by group, shape (n_groups,)."""
    rows = [group == g for g in range(n_groups)]
    return np.array([counted_rate(name, y[r], decision[r], weight[r]) for r in rows])


def compared(rates, overall, parity):
    """Return the ordered pairs of rates that a criterion compares, one by one."""
    if parity.reference == "between":
        return list(permutations(rates, 2))
    return [pair for rate in rates for pair in ((rate, overall), (overall, rate))]


def disparity_of(rates, overall, parity):
    """Return how unequal rates by group are, as the parity's bound has it; NaN below two."""
    rates = rates[~np.isnan(rates)]
    if len(rates) < 2:
        return np.nan
    pairs = compared(rates, overall, parity)
    if parity.min_ratio is None:
        return max(one - other for one, other in pairs)
    return min(one / other if other else 1.0 for one, other in pairs if other or not one)


class Instance(NamedTuple):
    """Scored rows of several groups, and the costs of errors."""

    score: np.ndarray
    y: np.ndarray
    group: np.ndarray
    weight: np.ndarray
    fp_cost: float = 1.0
    fn_cost: float = 1.0

    @property
    def n_groups(self):
        return int(self.group.max()) + 1

    def points(self, *, hull_only=True):
        """Return the operating points of every group."""
        return operating_points(
            self.score, self.y == 1, self.group, self.weight, self.n_groups, hull_only=hull_only
        )

    def moments(self, criterion, strata=None):
        """Return the moments of a criterion."""
        return criterion.moments(self.y, self.group, self.weight, strata)

    def solve(self, criterion, points=None):
        """Return the best randomised thresholds."""
        points = self.points() if points is None else points
        return solve_thresholds(points, self.moments(criterion), self.fp_cost, self.fn_cost)

    def decision(self, points, probability):
        """Return each row's probability of being accepted by mixtures of thresholds."""
        shape = (self.n_groups, np.diff(points.start).max())
        threshold, share = np.full(shape, -np.inf), np.zeros(shape)
        place = np.arange(len(points.group)) - points.start[points.group]
        threshold[points.group, place] = points.threshold
        share[points.group, place] = probability
        return accept_probability(self.score, self.group, threshold, share)

    def counted_cost(self, decision):
        """Return the mean cost of decisions."""
        wrong = np.where(
            self.y == 1, self.fn_cost * (1 - decision), self.fp_cost * np.asarray(decision)
        )
        return np.average(wrong, weights=self.weight)


def keeps_bounds(instance, criterion, decision):
    """Whether decisions are within every bound to 1e-9 in rate, by counting."""
    rows = instance.y, decision, instance.weight
    for parity in criterion.parities():
        for rate in parity.rates:
            by_group = counted_rates(rate.name, *rows, instance.group, instance.n_groups)
            by_group = by_group[~np.isnan(by_group)]
            for one, other in compared(by_group, counted_rate(rate.name, *rows), parity):
                if parity.min_ratio is None:
                    missing = one - other - parity.max_difference
                else:
                    missing = parity.min_ratio * one - other
                if missing > 1e-9:
                    return False
    return True


def exact_programme(decisions, instance, criterion, strata=None, weight_rates=True):
    """Return the least mean cost of mixing given decisions, by a programme over all pairs."""
    y, weight = instance.y, instance.weight
    rate_weight = weight if weight_rates else np.ones(len(y))
    strata = np.zeros(len(y), dtype=int) if strata is None else strata
    rows, bounds = [], []
    for parity in criterion.parities():
        for rate in parity._rates():
            for stratum in np.unique(strata):
                inside = strata == stratum

                def by_decision(rows_of, name=rate.name):
                    return np.array(
                        [
                            counted_rate(name, y[rows_of], d[rows_of], rate_weight[rows_of])
                            for d in decisions
                        ]
                    )

                of_groups = [
                    by_decision(inside & (instance.group == g)) for g in np.unique(instance.group)
                ]
                of_groups = [r for r in of_groups if not np.isnan(r).any()]
                if len(of_groups) < 2:
                    continue
                for one, other in compared(of_groups, by_decision(inside), parity):
                    if parity.min_ratio is None:
                        rows.append(one - other)
                        bounds.append(parity.max_difference)
                    else:
                        rows.append(parity.min_ratio * one - other)
                        bounds.append(0.0)
    costs = [instance.counted_cost(d) for d in decisions]
    result = linprog(
        costs,
        A_ub=np.array(rows) if rows else None,
        b_ub=bounds if rows else None,
        A_eq=np.ones((1, len(costs))),
        b_eq=[1.0],
    )
    return result.fun


def random_instance(seed, n_rows=200, n_groups=2, fp_cost=1.0, fn_cost=1.0):
    """Return rows with continuous scores and weights; groups differ in base rate and quality."""
    rng = np.random.default_rng(seed)
    group = rng.integers(n_groups, size=n_rows)
    group[:n_groups] = np.arange(n_groups)
    y = (rng.random(n_rows) < 0.2 + 0.6 * (group + 1) / (n_groups + 1)).astype(int)
    score = rng.normal(size=n_rows) + y * (2.5 - 1.5 * group / (n_groups - 1))
    return Instance(score, y, group, rng.uniform(0.5, 2.0, n_rows), fp_cost, fn_cost)


WEIGHTS = [0.5, 1.0, 2.0, 3.0]
COSTS = [(1.0, 1.0), (2.0, 2.0), (1.0, 5.0), (3.0, 1.0), (2.0, 3.0), (0.0, 1.0)]
DIFFERENCES = [0.0, 0.05, 0.1, 0.25, 0.5, 1.0]
RATIOS = [0.0, 0.3, 0.6, 0.8, 0.95, 1.0]


def tiny_instance(seed, max_rows, max_groups, weights):
    """Return a few rows with tied scores, weights and unequal costs; no group is empty."""
    rng = np.random.default_rng(seed)
    n_groups = rng.integers(2, max_groups + 1)
    n_rows = rng.integers(max(n_groups, max_rows // 2), max_rows + 1)
    group = rng.integers(n_groups, size=n_rows)
    group[:n_groups] = np.arange(n_groups)
    return Instance(
        rng.integers(rng.integers(2, 12), size=n_rows) / 4.0,
        rng.integers(2, size=n_rows),
        group,
        rng.choice(rng.permutation(weights)[: rng.integers(1, len(weights) + 1)], n_rows),
        *COSTS[rng.integers(len(COSTS))],
    )


def instances(max_rows=12, max_groups=3, weights=WEIGHTS):
    """Draw tiny instances.

    By their seed: drawn row by row they would mostly be too plain for a constraint to matter.
    """
    seeds = st.integers(0, 2**32 - 1)
    return seeds.map(lambda seed: tiny_instance(seed, max_rows, max_groups, weights))


def parities(classes=CRITERIA, references=("between", "overall")):
    """Draw a criterion with one bound."""
    bounds = [("max_difference", bound) for bound in DIFFERENCES]
    bounds += [("min_ratio", bound) for bound in RATIOS]
    return st.builds(
        lambda cls, bound, reference: cls(**dict([bound]), reference=reference),
        st.sampled_from(classes),
        st.sampled_from(bounds),
        st.sampled_from(references),
    )


def criteria():
    """Draw a criterion with one bound, or two of them at once."""
    return parities() | st.builds(AllOf, st.lists(parities(), min_size=2, max_size=2))


class Stump(ClassifierMixin, BaseEstimator):
    """The rule ``sign * (x - threshold) > 0`` on column 0 with the least weighted error."""

    def fit(self, X, y, sample_weight=None):
        """Try every rule of the class."""
        self.classes_ = np.array([0, 1])
        weight = np.ones(len(y)) if sample_weight is None else sample_weight
        rules = list(stumps(X))
        errors = [weight[decide(rule, X) != y].sum() for rule in rules]
        self.rule_ = rules[int(np.argmin(errors))]
        return self

    def predict(self, X):
        """Decide by the rule."""
        return decide(self.rule_, X)


def stumps(X):
    """Return every rule that differs on some data, the two constants among them."""
    places = np.unique(X[:, 0])
    return product((-1, 1), [places[0] - 1, *((places[1:] + places[:-1]) / 2)])


def decide(rule, X):
    sign, place = rule
    return (sign * (X[:, 0] - place) > 0).astype(int)


class AnyLabelling(ClassifierMixin, BaseEstimator):
    """A learner that can output every labelling of the training rows, told apart by column 0."""

    def fit(self, X, y, sample_weight=None):
        """Remember each row's label."""
        self.classes_ = np.unique(y)
        self.label_ = dict(zip(X[:, 0].tolist(), np.asarray(y).tolist(), strict=True))
        return self

    def predict(self, X):
        """Return the remembered labels; the smaller one for rows left out as weightless."""
        return np.array([self.label_.get(key, 0) for key in X[:, 0].tolist()])


def every_labelling(n):
    return np.array(list(product((0.0, 1.0), repeat=n)))


def two_classes(instance):
    return len(np.unique(instance.y)) == 2


class Game:
    """All labellings of a tiny instance, with a learner that finds the best of them."""

    def __init__(self, instance, criterion):
        n_rows = len(instance.y)
        self.every = (np.arange(2**n_rows)[:, None] >> np.arange(n_rows)) & 1
        self.instance, self.moments = instance, instance.moments(criterion)
        self.known = [self.hypothesis(d) for d in self.every]
        rates = np.array([group_rates(self.moments, h.sums) for h in self.known])
        self.cost, self.rates = np.array([h.cost for h in self.known]), rates
        self.pool = Pool([self.known[0], self.known[-1]])

    def hypothesis(self, decision):
        one = self.instance
        sums = np.zeros((one.n_groups, 2))
        np.add.at(sums, (one.group, one.y), one.weight * decision)
        return Hypothesis(float(one.counted_cost(decision)), sums)

    def best_responses(self, rate_prices):
        return [self.known[int(np.argmin(self.cost + self.rates @ p))] for p in rate_prices]

    def play(self, **options):
        *_, last = exponentiated_gradient(self.pool, self.moments, self.best_responses, **options)
        return last


def random_problem(seed, n_samples=120, n_features=5, n_groups=3, alpha=0.01, intercept=True):
    """Return rows whose features and labels depend on the group, with weights."""
    rng = np.random.default_rng(seed)
    group = rng.integers(n_groups, size=n_samples)
    X = rng.normal(size=(n_samples, n_features)) + 0.7 * group[:, None] * rng.random(n_features)
    label = X @ rng.normal(size=n_features) + rng.logistic(size=n_samples) + 0.5 * group > 0.5
    weight = rng.uniform(0.5, 2.0, n_samples)
    problem = LogisticProblem(X, label.astype(float), weight / weight.sum(), alpha, intercept)
    return problem, group


def rows_of(problem, group, criterion, weight=None):
    """Return the mean scores that a criterion compares."""
    label = problem.y == 1
    moments = criterion.moments(label, group, weight)
    return surrogate_rows(problem.X, label, group, weight, moments, 1.0, problem.fit_intercept)
