"""Threshold columns: counted right, and the exact best threshold among them."""

import numpy as np
import pytest
from helpers import reproducible
from hypothesis import given
from hypothesis import strategies as st

from fairlearnkit._kernels.hypotheses import (
    Decisions,
    sums_by_threshold,
    threshold_columns,
    weighted_problem,
)
from fairlearnkit._kernels.moments import cell_sums


def scored_rows(seed, n_rows, n_scores):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(n_scores, size=n_rows) / 8.0,
        rng.random(n_rows) < 0.5,
        rng.integers(3, size=n_rows),
        rng.uniform(0.5, 2.0, n_rows),
    )


seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, weighted=st.booleans())
@reproducible(max_examples=50)
def test_cell_sums_at_each_threshold(seed, weighted):
    """One pass counts what accepting the scores from each threshold on accepts."""
    score, label, unit, weight = scored_rows(seed, 20, 9)
    weight = weight if weighted else None
    threshold = np.array([-1.0, 0.0, 0.3, 0.5, 1.0, 7.0])
    found = sums_by_threshold(score, threshold, label, unit, weight, 3)
    for sums, t in zip(found, threshold, strict=True):
        expected = cell_sums((score >= t).astype(float), label, unit, weight, 3)
        np.testing.assert_allclose(sums, expected, atol=1e-12)


def count_rows(price, n_thresholds=None):
    """Return a count: cost is what the accepted rows cost, and the sums are their number."""

    def count(score, threshold):
        accepted = score[:, None] >= threshold
        if n_thresholds is not None:
            assert len(threshold) <= n_thresholds
        sums = np.zeros((len(threshold), 1, 2))
        sums[:, 0, 0] = accepted.sum(axis=0)
        return Decisions(price @ accepted, sums)

    return count


@given(seed=seeds, n_rows=st.sampled_from([6, 40, 1000]))
@reproducible(max_examples=60)
def test_the_exact_best_threshold_is_among_the_columns(seed, n_rows):
    """Whatever is left out of many thresholds, the best at the prices asked at is not."""
    score, *_ = scored_rows(seed, n_rows, 4 * n_rows)
    price = np.random.default_rng(seed).normal(size=n_rows)
    columns = threshold_columns("model", score, score, price, count_rows(price, 201))
    if columns is None:
        assert len(np.unique(score)) == 1
        return
    by_hand = min(price[score >= t].sum() for t in np.unique(score)[1:])
    assert columns.judged.cost.min() <= by_hand + 1e-9
    assert (np.diff(columns.threshold) > 0).all()
    if n_rows <= 40:
        assert len(columns.threshold) == len(np.unique(score)) - 1


def test_a_threshold_is_chosen_on_one_score_and_counts_on_another():
    """Scores 1, 2, 3, 4 cost 1, 1, -1, -1; out of fold the third row scores 0 instead of 3.

    On the training scores the best threshold is 2.5 and saves 2. Out of fold it accepts the fourth
    row only, and saves 1.
    """
    score, price = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 1.0, -1.0, -1.0])
    held_out = np.array([1.0, 2.0, 0.0, 4.0])
    columns = threshold_columns("model", score, held_out, price, count_rows(price))
    best = int(np.argmin(columns.judged.cost))
    assert columns.hypothesis(best).model == ("model", 2.5)
    assert columns.judged.cost[best] == -2
    assert columns.hypothesis(best).cost == -1
    assert columns.hypothesis(best).sums[0, 0] == 1


def test_equal_scores_have_no_threshold():
    """A scorer that tells no rows apart is a constant, which the pool has."""
    score = np.ones(4)
    assert threshold_columns("model", score, score, score, count_rows(score)) is None


def test_the_weighted_problem_of_prices():
    """Prices -2, 1, 0 and -1 are 4 away from zero in all: scaled to 8, they weigh twice as much.

    The second row wrong instead of right is 2 in weighted error, and costs 1: half of it.
    """
    problem = weighted_problem(np.array([-2.0, 1.0, 0.0, -1.0]), 8.0)
    assert problem.accept.tolist() == [True, False, False, True]
    assert problem.weight.tolist() == [4.0, 2.0, 0.0, 2.0]


@pytest.mark.parametrize("price", [[-1.0, 0.0, -2.0], [1.0, 0.0, 2.0], [0.0, 0.0]])
def test_a_constant_decision_is_no_problem(price):
    """Where all rows that matter have one answer, there is nothing to learn."""
    assert weighted_problem(np.array(price), 1.0) is None
