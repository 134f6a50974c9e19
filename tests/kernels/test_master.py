"""Column generation on finite games: the optimum, lines for other bounds, several at once."""

import numpy as np
import pytest
from helpers import Game, criteria, exact_programme, instances, parities, reproducible
from hypothesis import given
from hypothesis import strategies as st

from fairlearnkit._kernels.master import generate_columns
from fairlearnkit._kernels.moments import group_rates, violations
from fairlearnkit._kernels.pool import Pool, cheapest_mixture, is_still_cheapest, lower_bounds

pytestmark = pytest.mark.filterwarnings(
    "ignore::fairlearnkit.exceptions.DegenerateGroupWarning"  # tiny instances on purpose
)
tiny = instances(max_rows=8).filter(lambda instance: len(np.unique(instance.y)) == 2)


def solve(game, moments=None, **options):
    options = {"tol": 1e-7, "max_calls": 300} | options
    moments = game.moments if moments is None else moments
    *_, last = generate_columns(game.pool, moments, game.best_responses, **options)
    return last


@given(instance=tiny, criterion=criteria(), n_at_once=st.sampled_from([1, 2, 4]))
@reproducible(max_examples=60)
def test_reaches_the_exact_programme(instance, criterion, n_at_once):
    """However many prices are asked at together, the optimum over all hypotheses is found."""
    game = Game(instance, criterion)
    last = solve(game, n_at_once=n_at_once)
    scale = max(instance.fp_cost, instance.fn_cost)
    exact = exact_programme(game.every, instance, criterion)
    assert last.cost == pytest.approx(exact, abs=1e-6 * scale)
    assert last.lower_bound <= exact + 1e-8 * scale
    rates = last.weight @ np.array(
        [group_rates(game.moments, h.sums) for h in game.pool.hypotheses[: len(last.weight)]]
    )
    assert violations(game.moments, rates).max(initial=-np.inf) <= 1e-9


@given(instance=tiny, criterion=parities(), other=st.floats(0.0, 1.0))
@reproducible(max_examples=60)
def test_lines_hold_at_every_other_bound(instance, criterion, other):
    """What the calls at one bound leave bounds the optimum at any other, ratios included."""
    game = Game(instance, criterion)
    solve(game)
    knob = "max_difference" if criterion.min_ratio is None else "min_ratio"
    turned = type(criterion)(**{knob: other}, reference=criterion.reference)
    exact = exact_programme(game.every, instance, turned)
    bound = lower_bounds(game.pool, instance.moments(turned)).max(initial=-np.inf)
    assert bound <= exact + 1e-8 * max(instance.fp_cost, instance.fn_cost)


@given(instance=tiny, criterion=criteria(), n_known=st.integers(2, 6))
@reproducible(max_examples=60)
def test_a_mixture_stays_the_cheapest_until_one_saves(instance, criterion, n_known):
    """Where no later hypothesis prices below a mixture, solving with all of them saves nothing."""
    game = Game(instance, criterion)
    solve(game)
    every, pool = game.pool.hypotheses, Pool()
    pool.add(every[:n_known])
    mixture = cheapest_mixture(pool, game.moments)
    assert is_still_cheapest(pool, game.moments, mixture)
    pool.add(every)
    saved = mixture.cost - cheapest_mixture(pool, game.moments).cost
    if is_still_cheapest(pool, game.moments, mixture):
        assert saved <= 1e-9 * max(instance.fp_cost, instance.fn_cost)
    else:
        assert saved >= -1e-9 * max(instance.fp_cost, instance.fn_cost)


@given(instance=tiny, criterion=criteria(), max_calls=st.integers(1, 5))
@reproducible(max_examples=30)
def test_no_more_calls_than_allowed(instance, criterion, max_calls):
    """Asking several at once keeps to the limit too."""
    game = Game(instance, criterion)
    solve(game, max_calls=max_calls, n_at_once=3)
    assert sum(map(len, game.pool.asked.values())) <= max_calls
