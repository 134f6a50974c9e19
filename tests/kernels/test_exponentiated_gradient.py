"""Exponentiated gradient: prices of pairs without listing them, and the published guarantee."""

from itertools import permutations

import numpy as np
import pytest
from helpers import Game, Instance, criteria, exact_programme, instances, reproducible
from hypothesis import given
from hypothesis import strategies as st

from fairlearnkit import AllOf, DemographicParity, EqualizedOdds
from fairlearnkit._kernels.exponentiated_gradient import softmax_prices
from fairlearnkit._kernels.moments import group_rates, violations
from fairlearnkit._kernels.rate_program import rate_price

pytestmark = pytest.mark.filterwarnings(
    "ignore::fairlearnkit.exceptions.DegenerateGroupWarning"  # tiny instances on purpose
)


def prices_of_pairs(moments, total, slack, max_multiplier):
    """Return the price of one more unit of each rate, with every pair listed."""
    pairs = []
    for e in range(moments.n_events):
        rows = np.flatnonzero(moments.event == e)
        bound = moments.bound[e] if moments.is_ratio[e] else 1.0
        if moments.to_overall[e]:
            for k in rows:
                share = np.zeros(len(total))
                share[rows] = moments.share[rows]
                one = np.eye(len(total))[k]
                pairs += [(bound * one - share, slack[e]), (bound * share - one, slack[e])]
        else:
            for high, low in permutations(rows, 2):
                pairs.append(
                    (bound * np.eye(len(total))[high] - np.eye(len(total))[low], slack[e])
                )
    size = np.array([np.exp(pair @ total - s) for pair, s in pairs])
    size *= max_multiplier / (1 + size.sum())
    return sum((s * pair for s, (pair, _) in zip(size, pairs, strict=True)), np.zeros(len(total)))


@given(instance=instances(), criterion=criteria(), seed=st.integers(0, 2**16))
@reproducible(max_examples=80)
def test_prices_are_those_of_all_ordered_pairs(instance, criterion, seed):
    """The sums over pairs need no list of them."""
    moments = instance.moments(criterion)
    rng = np.random.default_rng(seed)
    total = rng.normal(scale=3, size=len(moments.event))
    slack = np.where(moments.is_ratio, 0.0, rng.uniform(0, 2, moments.n_events))
    prices = softmax_prices(moments, total, slack, 7.0)
    expected = prices_of_pairs(moments, total, slack, 7.0)
    np.testing.assert_allclose(rate_price(moments, *prices), expected, atol=1e-10)


def test_prices_by_hand():
    """Accumulated rates log 2 and 0: pairs of sizes 2 and 1/2, so 2 and 1/2 of 3.5 parts."""
    moments = DemographicParity(max_difference=0.1).moments(
        np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    )
    prices = softmax_prices(moments, np.log([2.0, 1.0]), np.zeros(1), 7.0)
    np.testing.assert_allclose(prices.upper, [4.0, 1.0])
    np.testing.assert_allclose(prices.lower, [1.0, 4.0])


tiny = instances(max_rows=8).filter(lambda instance: len(np.unique(instance.y)) == 2)


@given(instance=tiny, criterion=criteria())
@reproducible(max_examples=25)
def test_averages_keep_the_published_guarantee(instance, criterion):
    """Cost at most the optimum plus twice the gap, beyond the bounds by (range + 2 gap) / B."""
    game = Game(instance, criterion)
    last = game.play(max_multiplier=4.0, tol=0.1, max_calls=150, lp_step=False)
    exact = exact_programme(game.every, instance, criterion)
    cost_range = max(instance.fp_cost, instance.fn_cost)
    weight = np.pad(last.weight, (0, len(game.pool.hypotheses) - len(last.weight)))
    rates = weight @ np.array([group_rates(game.moments, h.sums) for h in game.pool.hypotheses])
    excess = violations(game.moments, rates).max(initial=-np.inf)

    assert weight.sum() == pytest.approx(1.0)
    assert last.cost == pytest.approx(weight @ game.pool.decisions().cost)
    assert last.gap >= 0
    assert last.cost <= exact + 2 * last.gap + 1e-9
    assert excess <= (cost_range + 2 * last.gap) / 4.0 + 1e-9
    assert last.lower_bound <= exact + 1e-9


@given(instance=tiny, criterion=criteria())
@reproducible(max_examples=25)
def test_programme_step_is_optimal_within_its_gap(instance, criterion):
    """Ending each round with the programme brings the optimum, within the bounds."""
    game = Game(instance, criterion)
    last = game.play(max_multiplier=20.0, tol=1e-6, max_calls=400, lp_step=True)
    exact = exact_programme(game.every, instance, criterion)
    scale = max(instance.fp_cost, instance.fn_cost)
    assert last.lower_bound - 1e-8 * scale <= exact <= last.cost + 1e-8 * scale
    assert last.cost <= exact + last.gap + 1e-8 * scale


def test_the_gap_closes():
    """On an easy game the averages come as near as asked, in the rounds that are there."""
    y, group = np.array([0, 1, 1, 1, 0, 0, 0, 1]), np.repeat([0, 1], 4)
    instance = Instance(y.astype(float), y, group, np.ones(8))
    game = Game(instance, DemographicParity(max_difference=0.1))
    last = game.play(max_multiplier=2.0, tol=0.05, max_calls=1000, lp_step=False)
    assert last.gap <= 0.05


def test_several_criteria_share_one_sum_of_prices():
    """All prices together stay below the largest sum, however hard the bounds are broken."""
    y, group = np.array([0, 1, 1, 1, 0, 0, 0, 1]), np.repeat([0, 1], 4)
    both = AllOf([DemographicParity(min_ratio=0.9), EqualizedOdds(max_difference=0.05)])
    moments = both.moments(y, group)
    total = np.linspace(-50, 50, len(moments.event))
    prices = softmax_prices(moments, total, np.zeros(moments.n_events), 3.0)
    assert np.isfinite(prices.upper).all()
    assert prices.lower.sum() <= 3.0 + 1e-9
