"""Held-out frontiers of two groups, whoever decided: from the shares accepted of each cell.

A cell is a group and a label, in the order 00, 01, 10, 11. The shares accepted of the cells, in
expectation over a rule's own draws, tell accuracy and every gap.
"""
# ruff: noqa: PLC2701  (helpers are private)

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from fairlearnkit import ParetoFrontier
from fairlearnkit._kernels.moments import group_rates
from fairlearnkit._kernels.pareto import best_mixtures, disparities

Float = NDArray[np.float64]
Int = NDArray[np.intp]

POSITIVE = np.array([False, True, False, True])


def cells(label: Int, group: Int) -> Int:
    """Return the cell of each row."""
    return 2 * group + label


def accepted_shares(decision: Float, cell: Int) -> Float:
    """Return the share accepted of each cell, shape (4,)."""
    share: Float = np.bincount(cell, decision, minlength=4) / np.bincount(cell, minlength=4)
    return share


def frontier(
    criterion: Any, knobs: Float, shares: Float, ends: Float, sizes: Int, ratio: float
) -> ParetoFrontier:
    """Return the frontier of a method's rules and of what may be mixed with them.

    Parameters
    ----------
    criterion : Criterion
        Whose gap is the horizontal axis.
    knobs : ndarray of shape (n_knobs,)
        What was asked for.
    shares : ndarray of shape (n_splits, n_knobs, 4)
        Shares accepted of each cell by the rule at each knob.
    ends : ndarray of shape (n_splits, n_ends, 4)
        The same of rules that any method has; the last one is the model without a constraint.
    sizes : ndarray of shape (n_splits, 4)
        Held-out rows of each cell.
    ratio : float
        Test rows over training rows of a split.

    Returns
    -------
    ParetoFrontier
        What `fairness_frontier` would have measured; the knobs of the ends are NaN.
    """
    shares = np.concatenate([shares, ends], axis=1)
    moments = [criterion._moments_of_mass(size.reshape(2, 2).astype(float)) for size in sizes]
    rates = [
        group_rates(m, (share * size).reshape(-1, 2, 2))
        for m, share, size in zip(moments, shares, sizes, strict=True)
    ]
    gap = np.array([disparities(m, rate) for m, rate in zip(moments, rates, strict=True)])
    weight = sizes / sizes.sum(axis=1, keepdims=True)
    accuracy = (np.where(POSITIVE, shares, 1 - shares) * weight[:, None]).sum(axis=2)
    constant = weight[:, POSITIVE].sum(axis=1).mean()
    return ParetoFrontier(
        knob_name="max_difference",
        knob=np.append(knobs, np.full(ends.shape[1], np.nan)),
        criteria=(criterion,),
        score_name="accuracy",
        fold_scores=accuracy,
        disparities=gap[None],
        base_fold_scores=accuracy[:, -1],
        base_disparities=gap[None, :, -1],
        test_ratio=ratio,
        constant_score=float(max(constant, 1 - constant)),
        moments=tuple(moments),
        fold_rates=tuple(rates),
        folds="the same splits",
    )


def scores_within(found: ParetoFrontier, gaps: Float) -> Float:
    """Return accuracy by gap and split of the best mixture within each mean gap; NaN if none.

    As `compare_frontiers` does it: one mixture for all splits, chosen on their means.
    """
    mixtures = best_mixtures(found.score, found.moments, found.fold_rates, gaps)
    missing = np.full(len(found.fold_scores), np.nan)
    return np.array([missing if m is None else found.fold_scores @ m.weight for m in mixtures])


def interval(values: Float, ratio: float) -> tuple[float, float, float]:
    """Return mean and 95 % interval over splits that share training rows (Nadeau, Bengio 2003)."""
    n = len(values)
    half = stdtrit(n - 1, 0.975) * np.sqrt((1 / n + ratio) * values.var(ddof=1))
    mean = values.mean()
    return float(mean), float(mean - half), float(mean + half)
