"""How far observed rates are from true ones: intervals, noise floor, smallest detectable gap.

A rate here is a mean of ``count`` independent values in [0, 1]. Decisions are 0 or 1, and the
formulas are those of the binomial distribution. Probabilities of decisions vary less about the
same mean (a variable in [0, 1] with mean p has variance p(1 - p) at most), so that intervals are
then wider than need be and noise floors higher. With weights, ``count`` is `effective_count`.

Arrays broadcast; a rate over no rows is NaN, and so is what follows from it.

References
----------
.. [1] E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
   JASA 22, 1927.
.. [2] R. G. Newcombe, "Interval Estimation for the Difference Between Independent Proportions:
   Comparison of Eleven Methods", Statistics in Medicine 17, 1998, method 10.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

Float = NDArray[np.float64]

# Nodes of the integral over one normal variable; the integrand is smooth and vanishes at the ends.
_N_NODES = 801
# Standard deviations beyond which a normal variable is not looked for.
_TAIL = 8.5


def effective_count(weight: ArrayLike, squared_weight: ArrayLike) -> Float:
    """Return the number of equally weighted rows with the same precision (Kish).

    Parameters
    ----------
    weight, squared_weight : array-like
        Sum of the weights, and of their squares.

    Returns
    -------
    ndarray
        ``weight**2 / squared_weight``; 0 where there is no weight.
    """
    total, squares = np.asarray(weight, dtype=float), np.asarray(squared_weight, dtype=float)
    found: Float = np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)
    return found


def wilson_interval(
    rate: ArrayLike, count: ArrayLike, confidence: float = 0.95
) -> tuple[Float, Float]:
    """Return the score interval of each rate [1]_.

    Parameters
    ----------
    rate : array-like
        Observed rates, in [0, 1].
    count : array-like
        Rows that each is taken over, >= 0.
    confidence : float, default=0.95
        Two-sided, in (0, 1).

    Returns
    -------
    lower, upper : ndarray
        Limits in [0, 1]; NaN where the count is 0.
    """
    p, n = np.asarray(rate, dtype=float), np.asarray(count, dtype=float)
    p, n = np.broadcast_arrays(p, np.where(n > 0, n, np.nan))
    z2 = float(ndtri(0.5 + confidence / 2)) ** 2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * p * (1 - p) / n + (z2 / (2 * n)) ** 2) / (1 + z2 / n)
    # At rates of 0 and 1 a limit is the rate itself, up to rounding.
    lower = np.where(p <= 0, p, np.clip(centre - half, 0.0, p))
    upper = np.where(p >= 1, p, np.clip(centre + half, p, 1.0))
    missing = np.isnan(n)
    return np.where(missing, np.nan, lower), np.where(missing, np.nan, upper)


def newcombe_interval(
    rate: ArrayLike,
    count: ArrayLike,
    other_rate: ArrayLike,
    other_count: ArrayLike,
    confidence: float = 0.95,
) -> tuple[Float, Float]:
    """Return the interval of ``rate - other_rate`` from the Wilson limits of both [2]_.

    Parameters
    ----------
    rate, count : array-like
        Observed rate of a group, in [0, 1], and rows that it is taken over, >= 0.
    other_rate, other_count : array-like
        The same of another, independent group.
    confidence : float, default=0.95
        Two-sided, in (0, 1).

    Returns
    -------
    lower, upper : ndarray
        Limits in [-1, 1]; NaN where a count is 0.
    """
    p, q = np.asarray(rate, dtype=float), np.asarray(other_rate, dtype=float)
    p_lower, p_upper = wilson_interval(p, count, confidence)
    q_lower, q_upper = wilson_interval(q, other_count, confidence)
    below = np.hypot(p - p_lower, q_upper - q)
    above = np.hypot(p_upper - p, q - q_lower)
    return p - q - below, p - q + above


def expected_range(rate: ArrayLike, count: ArrayLike) -> Float:
    """Return the range of group rates to expect where all true rates are equal.

    The mean of max - min over groups of independent normal variables with the binomial variances,
    by numerical integration: ``E = ∫ 1 - Π F_g - Π (1 - F_g)``. Counts may differ; at equal
    counts it is the factor d2 of control charts times the standard error.

    Parameters
    ----------
    rate : array-like of shape (...)
        The rate that all groups share, in [0, 1].
    count : array-like of shape (..., n_groups)
        Rows of each group; groups without rows are left out.

    Returns
    -------
    ndarray of shape (...)
        NaN where fewer than two groups have rows.
    """
    n = np.asarray(count, dtype=float)
    p = np.asarray(rate, dtype=float)[..., None]
    present = n > 0
    scale = np.sqrt(p * (1 - p) / np.where(present, n, 1.0))
    widest = np.where(present, scale, 0.0).max(axis=-1, initial=0.0)
    # In units of the widest, on nodes that are denser where narrow ones vary: t = sinh(u).
    u = np.linspace(-np.arcsinh(_TAIL * 1e4), np.arcsinh(_TAIL * 1e4), _N_NODES)
    node, step = np.sinh(u) / 1e4, np.cosh(u) / 1e4 * (u[1] - u[0])
    relative = scale / np.where(widest > 0, widest, 1.0)[..., None]
    z = node / np.where(relative > 0, relative, 1.0)[..., None]
    below = np.where(present[..., None], ndtr(z), 1.0).prod(axis=-2)
    above = np.where(present[..., None], ndtr(-z), 1.0).prod(axis=-2)
    found: Float = widest * ((1 - below - above) @ step)
    return np.where(present.sum(axis=-1) > 1, found, np.nan)


def noise_floor(
    rate: Float,
    count: Float,
    disparity: Callable[[Float], float],
    rng: np.random.Generator,
    n_draws: int = 1000,
) -> float:
    """Return the disparity to expect of observed rates where the true ones are as given.

    With true rates that are equal between groups, this is what a perfectly equal rule shows on
    as many rows: smaller observed disparities say nothing. For several rates at once, ratios,
    and whatever else `expected_range` has no formula for.

    Parameters
    ----------
    rate : ndarray of shape (n_rates,)
        True rates, in [0, 1].
    count : ndarray of shape (n_rates,)
        Rows that each is taken over, > 0; rounded to whole numbers of 1 or more.
    disparity : callable
        Observed rates of shape (n_rates,) -> their disparity.
    rng : Generator
        Source of the draws.
    n_draws : int, default=1000
        Number of draws; the standard error of the result is below 3 % of it at 1,000.

    Returns
    -------
    float
        Mean disparity over binomial draws of the rates.
    """
    whole = np.maximum(np.rint(count), 1).astype(np.int64)
    draws = rng.binomial(whole, np.clip(rate, 0.0, 1.0), size=(n_draws, len(rate))) / whole
    return float(np.mean([disparity(drawn) for drawn in draws]))


def minimum_detectable_difference(
    rate: ArrayLike,
    count: ArrayLike,
    other_count: ArrayLike,
    *,
    level: float = 0.05,
    power: float = 0.8,
) -> Float:
    """Return the smallest true gap between two groups that a test would find.

    Parameters
    ----------
    rate : array-like
        The rate about which they differ, in [0, 1].
    count, other_count : array-like
        Rows of the two groups, > 0.
    level : float, default=0.05
        Two-sided level of the test.
    power : float, default=0.8
        Chance of finding the gap.

    Returns
    -------
    ndarray
        ``(z_{1 - level/2} + z_power) * sqrt(p (1 - p) (1/n + 1/m))``.
    """
    p = np.asarray(rate, dtype=float)
    n, m = np.asarray(count, dtype=float), np.asarray(other_count, dtype=float)
    z: float = ndtri(1 - level / 2) + ndtri(power)
    return np.asarray(z * np.sqrt(p * (1 - p) * (1 / n + 1 / m)))
