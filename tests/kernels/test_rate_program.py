"""Levels in the programme over mixtures: worked by hand, phase one, prices and their worth."""

import numpy as np
import pytest
from helpers import Game, instances, parities, reproducible
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from fairlearnkit._kernels.master import seek_feasible
from fairlearnkit._kernels.moments import Kind, build_moments, levels, violations
from fairlearnkit._kernels.pool import Prices, cheapest_mixture, lower_bounds, worth
from fairlearnkit._kernels.rate_program import bound_price, least_relaxation, solve_mixture
from fairlearnkit.constraints import (
    ERROR_RATE,
    TRUE_NEGATIVE_RATE,
    TRUE_POSITIVE_RATE,
    AllOf,
    Capacity,
    MinimumRate,
)
from fairlearnkit.exceptions import InfeasibleConstraintError

pytestmark = pytest.mark.filterwarnings(
    "ignore::fairlearnkit.exceptions.DegenerateGroupWarning"  # tiny instances on purpose
)
tiny = instances(max_rows=7).filter(lambda instance: len(np.unique(instance.y)) == 2)
levels_and_parities = st.builds(
    lambda rate, floor, capacity, others: AllOf(
        [MinimumRate(rate, at_least=floor), Capacity(at_most=capacity), *others]
    ),
    st.sampled_from([TRUE_POSITIVE_RATE, TRUE_NEGATIVE_RATE, ERROR_RATE]),
    st.sampled_from([0.2, 0.5, 0.8]),
    st.sampled_from([0.2, 0.4, 0.7]),
    st.lists(parities(), max_size=1),
)


def two_levels(floor, capacity):
    """Return a floor under a rate of two groups of 1 and 3, and a ceiling on another."""
    return build_moments(
        np.array([[0.0, 1.0], [0.0, 3.0]]),
        condition=np.array([[False, True], [True, True]]),
        counted=np.array([[[False, False], [False, True]]] * 2),
        is_ratio=np.zeros(2, dtype=bool),
        to_overall=np.zeros(2, dtype=bool),
        bound=np.array([floor, capacity]),
        kind=np.array([Kind.FLOOR, Kind.CEILING]),
    )


# Accept nobody, group 0, group 1 or everybody; rows are the rates of both events by group.
RATES = sparse.csr_array(np.array([[0, 1, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1.0]]))
COST = np.array([0.0, 1.0, 6.0, 7.0])
BLOCK = np.zeros(4, dtype=np.intp)


def test_levels_by_hand():
    """A floor is on the lowest rate, a ceiling on the overall one: 0.25 * 0.2 + 0.75 * 0.6."""
    moments = two_levels(0.3, 0.4)
    rates = np.array([0.2, 0.6, 0.2, 0.6])
    np.testing.assert_allclose(levels(moments, rates), [0.2, 0.5])
    np.testing.assert_allclose(violations(moments, rates), [0.1, 0.1])


def test_cheapest_by_hand():
    """A floor of 0.4 costs 0.4 of everybody, a unit of it 7; a ceiling at 0.4 just admits it."""
    moments = two_levels(0.4, 0.9)
    found = solve_mixture(COST, RATES, BLOCK, moments)
    assert found.cost == pytest.approx(2.8)
    np.testing.assert_allclose(found.bound_price, [-7.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(
        bound_price(moments, found.upper_price, found.lower_price), found.bound_price
    )
    assert solve_mixture(COST, RATES, BLOCK, two_levels(0.4, 0.4)).cost == pytest.approx(2.8)


def test_phase_one_by_hand():
    """A floor of 0.8 under a ceiling of 0.2: both give way by 0.3, or one of them by 0.6."""
    moments = two_levels(0.8, 0.2)
    with pytest.raises(InfeasibleConstraintError):
        solve_mixture(COST, RATES, BLOCK, moments)
    both, floor, ceiling = np.ones(2), np.array([1.0, 0.0]), np.array([0.0, 1.0])
    found = least_relaxation(RATES, BLOCK, moments, both, both)
    assert found.amount == pytest.approx(0.3)
    assert found.upper_price.sum() + found.lower_price.sum() == pytest.approx(1.0)
    for kept in (floor, ceiling):
        alone = least_relaxation(RATES, BLOCK, moments, kept, kept)
        assert alone.amount == pytest.approx(0.6)
    with pytest.raises(InfeasibleConstraintError):
        least_relaxation(RATES, BLOCK, moments, 0 * both, 0 * both)


@given(instance=tiny, criterion=levels_and_parities)
@reproducible(max_examples=60)
def test_phase_one_priced_by_a_learner(instance, criterion):
    """The search ends where no mixture of all labellings comes nearer, or meets the bounds."""
    game = Game(instance, criterion)
    every = np.ones(game.moments.n_events)
    rates = sparse.csr_array(game.rates.T)
    exact = least_relaxation(
        rates, np.zeros(len(game.cost), dtype=np.intp), game.moments, every, every
    )

    def best_for_rates(rate_prices):
        return [game.known[int(np.argmin(game.rates @ p))] for p in rate_prices]

    found = seek_feasible(
        game.pool, game.moments, game.best_responses, best_for_rates, max_calls=300
    )
    assert found.amount == pytest.approx(exact.amount, abs=1e-7)
    assert game.pool.n_calls <= 300
    # A call without costs bounds no cost.
    assert len(game.pool.lines(game.moments)) <= game.pool.n_calls


@given(instance=tiny, criterion=levels_and_parities)
@reproducible(max_examples=60)
def test_prices_are_worth_what_they_prove(instance, criterion):
    """At the programme's prices, the cheapest hypothesis less their worth is the optimum."""
    game = Game(instance, criterion)
    game.pool.add(game.known)
    try:
        mixture = cheapest_mixture(game.pool, game.moments)
    except InfeasibleConstraintError:
        return
    prices = Prices(mixture.upper_price, mixture.lower_price)
    least = game.pool.decisions().priced(game.moments, mixture.rate_price).min()
    proved = least - worth(game.moments, prices, game.moments.bound)
    assert proved == pytest.approx(mixture.cost, abs=1e-7)
    game.pool.ask(game.moments, [prices], game.best_responses)
    assert lower_bounds(game.pool, game.moments).max() == pytest.approx(mixture.cost, abs=1e-7)
