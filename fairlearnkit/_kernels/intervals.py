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
.. [3] C. J. Clopper, E. S. Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the
   Case of the Binomial", Biometrika 26, 1934.
.. [4] A. J. Hayter, "A Proof of the Conjecture that the Tukey-Kramer Multiple Comparisons
   Procedure is Conservative", Annals of Statistics 12, 1984.
.. [5] J. P. Romano, M. Wolf, "Exact and Approximate Stepdown Methods for Multiple Hypothesis
   Testing", JASA 100, 2005.
.. [6] C. P. Farrington, G. Manning, "Test Statistics and Sample Size Formulae for Comparative
   Binomial Trials with Null Hypothesis of Non-Zero Risk Difference or Non-Unity Relative Risk",
   Statistics in Medicine 9, 1990.
.. [7] P. A. R. Koopman, "Confidence Intervals for the Ratio of Two Binomial Proportions",
   Biometrics 40, 1984.
.. [8] S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
   Statistics 6, 1979.
.. [9] Y. Benjamini, Y. Hochberg, "Controlling the False Discovery Rate", Journal of the Royal
   Statistical Society B 57, 1995.
.. [10] R. L. Berger, "Multiparameter Hypothesis Testing and Acceptance Sampling", Technometrics
   24, 1982.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, toms748
from scipy.special import betainc, betainccinv, betaincinv, ndtr, ndtri, rel_entr
from scipy.stats import hypergeom

Float = NDArray[np.float64]

# Nodes of the integral over one normal variable; the integrand is smooth and vanishes at the ends.
_N_NODES = 801
# Standard deviations beyond which a normal variable is not looked for.
_TAIL = 8.5
# Rows added to those seen: the square of 1.96, as in Wilson's interval.
_ADDED_ROWS = 3.84
# Standard errors beyond which no statistic is told from another.
_FARTHEST = 40.0
# The same for gaps: from about 20 on SciPy's inverse beta function has no value for some counts.
_FARTHEST_GAP = 15.0
# Times as many rows as nobody will ever have.
_NEVER = 1e15
# What rounding may leave of a variance or a distance of 0.
_ROUNDING = 1e-12
# Rows that are counted at a time.
_BLOCK = 2**15
# Rows of the rarer kind from which a rate is as good as normal far out in its tails.
_FEW = 10


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
    rate: ArrayLike,
    count: ArrayLike,
    confidence: float = 0.95,
    *,
    critical: float | None = None,
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
    critical : float, default=None
        Standard errors to either side, in place of those of the confidence.

    Returns
    -------
    lower, upper : ndarray
        Limits in [0, 1]; NaN where the count is 0.
    """
    p, n = np.asarray(rate, dtype=float), np.asarray(count, dtype=float)
    p, n = np.broadcast_arrays(p, np.where(n > 0, n, np.nan))
    z2 = (float(ndtri(0.5 + confidence / 2)) if critical is None else critical) ** 2
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
    *,
    critical: float | None = None,
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
    critical : float, default=None
        Standard errors to either side, in place of those of the confidence.

    Returns
    -------
    lower, upper : ndarray
        Limits in [-1, 1]; NaN where a count is 0.
    """
    p, q = np.asarray(rate, dtype=float), np.asarray(other_rate, dtype=float)
    p_lower, p_upper = wilson_interval(p, count, confidence, critical=critical)
    q_lower, q_upper = wilson_interval(q, other_count, confidence, critical=critical)
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
    return float(np.mean([disparity(drawn) for drawn in _drawn(rate, count, rng, n_draws)]))


def _drawn(rate: Float, count: Float, rng: np.random.Generator, n_draws: int = 1000) -> Float:
    """Return observed rates where the true ones are as given, shape ``(n_draws, n_rates)``."""
    whole = np.maximum(np.rint(count), 1).astype(np.int64)
    drawn: Float = rng.binomial(whole, np.clip(rate, 0.0, 1.0), (n_draws, len(whole))) / whole
    return drawn


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
        ``(z_{1 - level/2} + z_power) * sqrt(p (1 - p) (1/n + 1/m))``, with p half a row away from
        0 and 1 at least.
    """
    n, m = np.asarray(count, dtype=float), np.asarray(other_count, dtype=float)
    p = _away_from_ends(np.asarray(rate, dtype=float), n + m)
    z: float = ndtri(1 - level / 2) + ndtri(power)
    return np.asarray(z * np.sqrt(p * (1 - p) * (1 / n + 1 / m)))


def critical_value(confidence: float, n_rates: int = 1) -> float:
    """Return the standard errors that `n_rates` rates keep within at once, Šidák's bound.

    Exact for independent normal variables, and no smaller than needed for dependent ones.
    """
    return float(ndtri(0.5 + 0.5 * confidence ** (1 / n_rates)))


def range_probability(width: float, n_groups: int) -> float:
    """Return the chance that the range of independent standard normal variables is larger."""
    if width <= 0:
        return 1.0
    z, step = np.linspace(-_TAIL, _TAIL, _N_NODES, retstep=True)
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    inside = n_groups * step * (density @ (ndtr(z + width) - ndtr(z)) ** (n_groups - 1))
    return float(np.clip(1 - inside, 0.0, 1.0))


# Searches for numbers of rows ask for the same value over and over.
@lru_cache(maxsize=256)
def pairs_critical_value(level: float, n_groups: int) -> float:
    """Return the standard errors that no pair of groups is apart by chance, at a level.

    The studentised maximum over all pairs. Exact where standard errors are equal, conservative
    otherwise [4]_.
    """
    if n_groups <= 2:
        return float(ndtri(1 - level / 2))
    beyond = brentq(lambda width: range_probability(width, n_groups) - level, 0.1, 20.0)
    return float(beyond) / float(np.sqrt(2))


def studentised_maximum(
    draws: Float, estimate: Float, error: Float, confidence: float = 0.95
) -> float:
    """Return the standard errors that all estimates keep within at once, from their draws.

    Parameters
    ----------
    draws : ndarray of shape (n_draws, n_estimates)
        Resampled estimates, dependent on each other as the estimates are.
    estimate, error : ndarray of shape (n_estimates,)
        Estimates and their standard errors; those without an error are left out.
    confidence : float, default=0.95
        Of all intervals together.

    Returns
    -------
    float
        Quantile of the largest absolute distance in standard errors [5]_; NaN without estimates.
    """
    usable = (error > 0) & np.isfinite(estimate)
    if not usable.any():
        return np.nan
    distance = np.abs(draws[:, usable] - estimate[usable]) / error[usable]
    return float(np.quantile(np.nanmax(distance, axis=1, initial=0.0), confidence))


class CellMoments(NamedTuple):
    """What decisions add up to in each cell: all that rates and their precision need.

    Every array has the shape ``(n_units, 2)``, the last axis being the label. They add: the sum
    over some units is that of their union.

    Attributes
    ----------
    rows : ndarray
        Number of rows.
    mass, mass2 : ndarray
        Sums of the weights s and of their squares.
    sums, sums2 : ndarray
        Sums of s p and of s² p, with p the probability of a positive decision.
    squares2 : ndarray
        Sum of s² p².
    """

    rows: Float
    mass: Float
    mass2: Float
    sums: Float
    sums2: Float
    squares2: Float

    def merged(self, into: NDArray[np.intp], n_units: int) -> "CellMoments":
        """Return the sums over units that share a number of `into`, shape ``(n_units, 2)``."""

        def total(values: Float) -> Float:
            """Return one sum."""
            found = np.zeros((n_units, 2))
            np.add.at(found, into, values)
            return found

        return CellMoments(*map(total, self))

    def rest(self) -> "CellMoments":
        """Return for each unit the sums over all others."""
        # By the rows, whose difference is exact, so that nothing is not taken for a little.
        some = self.rows.sum(axis=0) - self.rows > 0
        return CellMoments(*(np.where(some, v.sum(axis=0) - v, 0.0) for v in self))


def cell_moments(
    prediction: Float | NDArray[np.integer] | NDArray[np.bool_],
    label: NDArray[np.integer] | NDArray[np.bool_],
    unit: NDArray[np.integer],
    sample_weight: Float | None,
    n_units: int,
) -> CellMoments:
    """Return the sums that rates, intervals and resamples need, one pass over the rows.

    Parameters
    ----------
    prediction : ndarray of shape (n_samples,)
        Decisions as booleans or whole numbers 0 and 1, or floats: probabilities in [0, 1].
    label, unit : ndarray of shape (n_samples,)
        Label 0 or 1, and unit in ``0..n_units - 1``.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights; None means 1 each. Rows of weight 0 do not count.
    n_units : int
        Number of units.

    Returns
    -------
    CellMoments
        Sums by unit and label.
    """
    if prediction.dtype.kind in "biu":
        shape, length = (n_units, 2, 2), 4 * n_units
        totals = np.zeros((1 if sample_weight is None else 3, length))
        # In blocks that stay in the processor's cache: one number per row tells unit, label and
        # decision.
        for start in range(0, len(unit), _BLOCK):
            block = slice(start, start + _BLOCK)
            cell = unit[block].astype(np.intp)
            for bit in (label[block], prediction[block]):
                cell += cell
                np.add(cell, bit, out=cell, casting="unsafe")
            if sample_weight is None:
                totals[0] += np.bincount(cell, minlength=length)
                continue
            s = sample_weight[block]
            for total_of, values in zip(totals, ((s > 0).astype(float), s, s * s), strict=True):
                total_of += np.bincount(cell, values, minlength=length)
        rows, mass, mass2 = (totals[min(i, len(totals) - 1)].reshape(shape) for i in range(3))
        return CellMoments(
            rows.sum(axis=2),
            mass.sum(axis=2),
            mass2.sum(axis=2),
            mass[:, :, 1],
            mass2[:, :, 1],
            mass2[:, :, 1],
        )
    cell = 2 * unit.astype(np.intp) + label
    weight = np.ones(len(cell)) if sample_weight is None else sample_weight

    def total(values: Float) -> Float:
        found: Float = np.bincount(cell, values, minlength=2 * n_units).astype(np.float64)
        return found.reshape(-1, 2)

    squared = weight**2
    return CellMoments(
        total((weight > 0).astype(float)),
        total(weight),
        total(squared),
        total(weight * prediction),
        total(squared * prediction),
        total(squared * prediction**2),
    )


class Rates(NamedTuple):
    """Rates by unit with what their precision rests on, each of shape ``(n_rates, n_units)``.

    Attributes
    ----------
    rate : ndarray
        In [0, 1]; NaN where no row is counted.
    rows : ndarray
        Rows that each is taken over.
    mass : ndarray
        Their weight.
    kish : ndarray
        Equally weighted rows with as precise a mean of any one variable, see `effective_count`.
    effective : ndarray
        Binomial rows with the same precision: ``rate (1 - rate) / variance``.
    """

    rate: Float
    rows: Float
    mass: Float
    kish: Float
    effective: Float

    @property
    def error(self) -> Float:
        """Standard errors."""
        variance = (
            self.rate * (1 - self.rate) / np.where(self.effective > 0, self.effective, np.nan)
        )
        found: Float = np.sqrt(variance)
        return found


def rates_of_cells(
    cells: CellMoments, condition: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> Rates:
    """Return rates and their precision from cell sums.

    The variance is the one that the rows show, so that probabilities and weights count as what
    they are, but never less than values that happen not to be among them may make it, see
    `_binomial_count`. For decisions with equal weights it is that of the binomial distribution.

    Parameters
    ----------
    cells : CellMoments
        Sums by unit and label.
    condition : ndarray of shape (n_rates, 2)
        Whether rows of each label are in the rate's denominator.
    counted : ndarray of shape (n_rates, 2, 2)
        Whether a row of label ``y`` with decision ``d`` is in the numerator, at ``[:, y, d]``.

    Returns
    -------
    Rates
        Of shape ``(n_rates, n_units)``.
    """
    over = condition.astype(float)
    base = counted[:, :, 0] * over
    slope = counted[:, :, 1] * over - base
    rows, mass, mass2 = over @ cells.rows.T, over @ cells.mass.T, over @ cells.mass2.T
    known = np.where(mass > 0, mass, np.nan)
    rate = np.clip((base @ cells.mass.T + slope @ cells.sums.T) / known, 0.0, 1.0)
    first = base @ cells.mass2.T + slope @ cells.sums2.T
    second = (
        base**2 @ cells.mass2.T + 2 * (base * slope) @ cells.sums2.T + slope**2 @ cells.squares2.T
    )
    shown = np.clip(second - 2 * rate * first + rate**2 * mass2, 0.0, None) / known**2
    kish = effective_count(mass, mass2)
    farthest = np.maximum(rate, 1 - rate) ** 2
    return Rates(rate, rows, mass, kish, _binomial_count(rate, shown, kish, farthest))


def _binomial_count(rate: Float, variance: Float, kish: Float, unseen: Float) -> Float:
    """Return the rows of a binomial variable that varies as much as this mean may.

    Few rows may show too little of a variance: values far away may be missing among them, as rare
    ones of 1 among probabilities near 0. As many rows as Wilson's interval adds are therefore
    taken to have the squared distance `unseen` from the mean, up to the variance of zeros and
    ones: no variable in [0, 1] with this mean has more. With weights a mean may vary more than
    that, and what is above it is shrunk towards it.
    """
    binomial = rate * (1 - rate)
    # By Kish's count: few heavy rows tell as little of a variance as of a rate.
    seen, total = kish * (kish * variance), kish + _ADDED_ROWS
    cautious = np.minimum((seen + _ADDED_ROWS * unseen) / total, binomial)
    varies = np.maximum(cautious, (seen + _ADDED_ROWS * binomial) / total)
    known = (kish > 0) & (binomial > _ROUNDING)
    times = np.divide(binomial, varies, out=np.ones_like(varies), where=known)
    return np.where(kish > 0, kish * times, 0.0)


def bootstrap_cells(
    cells: CellMoments, n_draws: int, rng: np.random.Generator, *, exact: bool
) -> tuple[Float, Float]:
    """Return cell sums of resampled rows, without touching a row.

    To draw n rows with replacement and to count is to draw the counts from a multinomial
    distribution over the occupied cells. With 0/1 decisions and equal weights (`exact`) that is
    all. Otherwise the sums of the rows drawn in a cell are taken as normal with the moments of
    the cell.

    Parameters
    ----------
    cells : CellMoments
        Sums by unit and label.
    n_draws : int
        Number of resamples.
    rng : Generator
        Source of the draws.
    exact : bool
        Whether decisions are 0 and 1 and weights equal.

    Returns
    -------
    mass, sums : ndarray of shape (n_draws, n_units, 2)
        Weight, and weighted sum of decisions, of each cell.
    """
    n_units = len(cells.rows)
    if exact:
        counts = np.stack([cells.rows - cells.sums, cells.sums], axis=2).ravel()
        occupied = np.flatnonzero(counts > 0)
        drawn = np.zeros((n_draws, counts.size))
        whole = np.rint(counts[occupied]).astype(np.int64)
        drawn[:, occupied] = rng.multinomial(whole.sum(), whole / whole.sum(), size=n_draws)
        by_decision = drawn.reshape(n_draws, n_units, 2, 2)
        return by_decision.sum(axis=3), by_decision[..., 1]
    rows = cells.rows.ravel()
    occupied = np.flatnonzero(rows > 0)
    n = rows[occupied]
    drawn = np.zeros((n_draws, len(occupied)))
    drawn[:] = rng.multinomial(round(n.sum()), n / n.sum(), size=n_draws)
    part = [values.ravel()[occupied] / n for values in cells[1:]]
    mean, mean2, mean_p, mean2_p, mean2_pp = part
    variance = np.clip(mean2 - mean**2, 0.0, None)
    covariance = mean2_p - mean * mean_p
    variance_p = np.clip(mean2_pp - mean_p**2, 0.0, None)
    # Cholesky's factor of the two-by-two covariance, which may be singular.
    first = np.sqrt(variance)
    cross = np.divide(covariance, first, out=np.zeros_like(first), where=first > 0)
    last = np.sqrt(np.clip(variance_p - cross**2, 0.0, None))
    noise = rng.standard_normal((2, *drawn.shape)) * np.sqrt(drawn)
    mass, sums = np.zeros((2, n_draws, rows.size))
    mass[:, occupied] = np.clip(drawn * mean + first * noise[0], 0.0, None)
    sums[:, occupied] = drawn * mean_p + cross * noise[0] + last * noise[1]
    sums = np.clip(sums, 0.0, mass)
    return mass.reshape(n_draws, n_units, 2), sums.reshape(n_draws, n_units, 2)


def rates_of_draws(
    mass: Float, sums: Float, condition: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> Float:
    """Return rates, shape ``(n_draws, n_rates, n_units)``, of resampled cell sums."""
    over = condition.astype(float)
    base = counted[:, :, 0] * over
    slope = counted[:, :, 1] * over - base
    below = mass @ over.T
    above = mass @ base.T + sums @ slope.T
    rate = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return np.asarray(rate.transpose(0, 2, 1))


def disparities(rates: Float) -> tuple[Float, Float]:
    """Return the largest difference and the smallest ratio along the last axis; 0/0 is 1.

    Of rates that are defined; NaN where these are fewer than two.
    """
    known = np.isfinite(rates)
    some = known.sum(axis=-1) > 1
    low = np.where(known, rates, np.inf).min(axis=-1)
    high = np.where(known, rates, -np.inf).max(axis=-1)
    low, high = np.where(some, low, np.nan), np.where(some, high, np.nan)
    return high - low, _ratio(low, high)


def _ratio(low: Float, high: Float) -> Float:
    """Return ratios of rates; 0/0 is 1."""
    found: Float = np.divide(low, high, out=np.ones_like(low), where=high != 0)
    return found


def equal_noise_floor(
    found: Rates, share: Float, *, to_overall: bool = False, is_ratio: bool = False
) -> float:
    """Return the disparity that units with equal true rates would show on average.

    As `noise_floor`, with the common rates of all units for the true ones: by `expected_range`
    for the range of one rate over many rows, else by draws from a fixed seed.

    Parameters
    ----------
    found : Rates
        Observed rates; those over no rows are left out.
    share : ndarray of shape (n_rates, n_units)
        Share of each unit in the weight that the overall rate is taken over.
    to_overall : bool, default=False
        Whether units are compared with all, rather than with each other.
    is_ratio : bool, default=False
        Whether to return the smallest ratio, rather than the largest difference.

    Returns
    -------
    float
        Mean over draws of the worst of the rates, in [0, 1].
    """
    known = found.effective > 0
    common = np.sum(np.where(known, found.rate, 0.0) * share, axis=1)
    rows = found.effective[0][known[0]]
    is_normal = rows.min(initial=np.inf) * min(common[0], 1 - common[0]) >= _FEW
    if len(common) == 1 and not to_overall and not is_ratio and is_normal:
        return float(expected_range(common[0], found.effective[0]))
    rng = np.random.default_rng(0)
    by_rate = []
    for r, rate in enumerate(common):
        drawn = _drawn(np.array(rate), found.effective[r, known[r]], rng)
        low, high = drawn.min(axis=1), drawn.max(axis=1)
        centre = low
        if to_overall:
            centre = drawn @ share[r, known[r]] / share[r, known[r]].sum()
            # A mean of rates is between them, up to rounding.
            centre = np.clip(centre, low, high)
        if is_ratio:
            by_rate.append(np.minimum(_ratio(low, centre), _ratio(centre, high)))
        else:
            by_rate.append(np.maximum(high - centre, centre - low))
    worst = np.min(by_rate, axis=0) if is_ratio else np.max(by_rate, axis=0)
    return float(worst.mean())


def exact_interval(
    rate: ArrayLike,
    count: ArrayLike,
    confidence: float = 0.95,
    *,
    kind: str = "decisions",
) -> tuple[Float, Float]:
    """Return limits that cover at least as often as they say, at any count.

    Parameters
    ----------
    rate, count : array-like
        Observed means, in [0, 1], and rows that each is taken over; Kish's count with weights.
    confidence : float, default=0.95
        Two-sided, in (0, 1).
    kind : {"decisions", "probabilities", "weighted"}, default="decisions"
        Values 0 and 1: Clopper and Pearson's limits [3]_. Values anywhere in [0, 1]: the bounds
        of Hoeffding and Bentkus, the better of the two. With weights Hoeffding's alone.

    Returns
    -------
    lower, upper : ndarray
        Limits in [0, 1]; NaN where the count is 0.
    """
    p, n = np.broadcast_arrays(np.asarray(rate, dtype=float), np.asarray(count, dtype=float))
    known = (n > 0) & np.isfinite(p)
    p, n = np.where(known, p, 0.5), np.where(known, n, 1.0)
    level = (1 - confidence) / 2
    lower: Float
    upper: Float
    if kind == "weighted":
        half = np.sqrt(-np.log(level) / (2 * n))
        lower, upper = np.clip(p - half, 0.0, 1.0), np.clip(p + half, 0.0, 1.0)
    elif kind == "decisions":
        successes = np.rint(p * n)
        lower, upper = _clopper_pearson(successes, n, level)
    else:
        upper = _bounded_upper(p, n, level)
        lower = 1 - _bounded_upper(1 - p, n, level)
    return np.where(known, lower, np.nan), np.where(known, upper, np.nan)


def _clopper_pearson(successes: Float, n: Float, level: float) -> tuple[Float, Float]:
    failures = n - successes
    lower = betaincinv(np.maximum(successes, 1e-9), failures + 1, level)
    # Not by 1 - level, which is 1 for levels below 1e-16.
    upper = betainccinv(successes + 1, np.maximum(failures, 1e-9), level)
    return np.where(successes > 0, lower, 0.0), np.where(failures > 0, upper, 1.0)


def _bounded_upper(mean: Float, n: Float, level: float) -> Float:
    """Return the upper limit of the mean of variables in [0, 1], by Hoeffding and Bentkus."""
    # Bentkus: e P(Bin(n, m) <= ceil(n mean)) >= level, the limit of a binomial at level / e.
    successes = np.minimum(np.ceil(n * mean - 1e-9), n)
    bentkus = _clopper_pearson(successes, n, level / np.e)[1]
    # Hoeffding: exp(-n kl(mean, m)) >= level, by bisection; kl grows with m beyond the mean.
    low, high = mean.copy(), np.ones_like(mean)
    for _ in range(50):
        middle = 0.5 * (low + high)
        with np.errstate(divide="ignore"):
            divergence = rel_entr(mean, middle) + rel_entr(1 - mean, 1 - middle)
        inside = n * divergence <= -np.log(level)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.minimum(bentkus, high)


def difference_statistic(
    rate: ArrayLike,
    count: ArrayLike,
    other_rate: ArrayLike,
    other_count: ArrayLike,
    difference: ArrayLike = 0.0,
) -> Float:
    """Return how many standard errors ``rate - other_rate`` is above a difference.

    The score test: the standard error is that of the likeliest rates with this difference [6]_.

    Parameters
    ----------
    rate, count, other_rate, other_count : array-like
        Observed rates and rows of two independent groups.
    difference : array-like, default=0.0
        The difference tested, in [-1, 1].

    Returns
    -------
    ndarray
        Standard normal, about, where it is the true difference; NaN where a count is 0, and minus
        or plus infinity beyond what differences can be.
    """
    values = (rate, count, other_rate, other_count, difference)
    p, n, q, m, d = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in values))
    possible = (n > 0) & (m > 0) & (np.abs(d) < 1)
    n, m = np.where(possible, n, 1.0), np.where(possible, m, 1.0)
    inside = np.where(possible, d, 0.0)
    # The cubic equation of the likeliest rate, solved by its trigonometric form.
    ratio = m / n
    a = 1 + ratio
    b = -(1 + ratio + p + ratio * q + inside * (ratio + 2))
    c = inside**2 + inside * (2 * p + ratio + 1) + p + ratio * q
    e = -p * inside * (1 + inside)
    v = b**3 / (27 * a**3) - b * c / (6 * a**2) + e / (2 * a)
    u = np.copysign(np.sqrt(np.clip(b**2 / (9 * a**2) - c / (3 * a), 0.0, None)), v)
    cube = u**3
    cosine = np.divide(v, cube, out=np.zeros_like(v), where=cube != 0)
    angle = (np.pi + np.arccos(np.clip(cosine, -1.0, 1.0))) / 3
    likeliest = 2 * u * np.cos(angle) - b / (3 * a)
    one = np.clip(likeliest, np.maximum(inside, 0.0), np.minimum(1 + inside, 1.0))
    other = one - inside
    error = np.sqrt(np.clip(one * (1 - one) / n + other * (1 - other) / m, 0.0, None))
    found = _standardised(p - q - inside, error)
    found = np.where(possible, found, np.where(d > 0, -np.inf, np.inf))
    return np.where((np.asarray(values[1]) > 0) & (np.asarray(values[3]) > 0), found, np.nan)


def ratio_statistic(
    rate: ArrayLike,
    count: ArrayLike,
    other_rate: ArrayLike,
    other_count: ArrayLike,
    ratio: ArrayLike = 1.0,
) -> Float:
    """Return how many standard errors ``rate - ratio * other_rate`` is above 0.

    The score test of the ratio as a linear contrast [7]_: stable at rates near 0.

    Parameters
    ----------
    rate, count, other_rate, other_count : array-like
        Observed rates and rows of two independent groups.
    ratio : array-like, default=1.0
        The ratio tested, >= 0; 0.8 is the four-fifths rule.

    Returns
    -------
    ndarray
        Standard normal, about, where it is the true ratio; NaN where a count is 0.
    """
    distance, error = _ratio_contrast(rate, count, other_rate, other_count, ratio)
    return np.where(np.isnan(error), np.nan, _standardised(distance, error))


def _ratio_contrast(
    rate: ArrayLike,
    count: ArrayLike,
    other_rate: ArrayLike,
    other_count: ArrayLike,
    ratio: ArrayLike,
) -> tuple[Float, Float]:
    """Return ``rate - ratio * other_rate`` and its standard error at the likeliest rates."""
    values = (rate, count, other_rate, other_count, ratio)
    p, n, q, m, r = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in values))
    known = (n > 0) & (m > 0)
    n, m = np.where(known, n, np.nan), np.where(known, m, np.nan)
    one, other = _likeliest(p, n, q, m, r)
    return p - r * q, np.sqrt(one * (1 - one) / n + r * r * other * (1 - other) / m)


def _likeliest(p: Float, n: Float, q: Float, m: Float, r: Float) -> tuple[Float, Float]:
    """Return the likeliest rates with a ratio: the smaller root of a q² - b q + c, and r times."""
    a, b, c = (n + m) * r, n * (p + r) + m * (1 + r * q), n * p + m * q
    root = np.sqrt(np.clip(b * b - 4 * a * c, 0.0, None))
    other = np.clip(2 * c / np.where(b + root > 0, b + root, 1.0), 0.0, 1.0)
    return np.clip(r * other, 0.0, 1.0), other


def _standardised(distance: Float, error: Float) -> Float:
    """Return distances in standard errors; 0 over 0 is 0 and anything else over 0 infinite."""
    unit = np.where(error > _ROUNDING, error, 1.0)
    rounded = np.where(np.abs(distance) > _ROUNDING, np.copysign(np.inf, distance), 0.0)
    return np.where(error > _ROUNDING, distance / unit, rounded)


def holm(p_values: ArrayLike) -> Float:
    """Return p-values adjusted for the chance of any false rejection [8]_; NaN stays NaN."""
    return _adjusted(p_values, lambda n: n - np.arange(n), np.maximum.accumulate)


def benjamini_hochberg(p_values: ArrayLike) -> Float:
    """Return p-values adjusted for the expected share of false rejections [9]_; NaN stays NaN."""

    def backwards(values: Float) -> Float:
        return np.asarray(np.minimum.accumulate(values[::-1])[::-1])

    return _adjusted(p_values, lambda n: n / np.arange(1, n + 1), backwards)


def _adjusted(
    p_values: ArrayLike,
    factor: Callable[[int], NDArray[Any]],
    monotone: Callable[[Float], Float],
) -> Float:
    p = np.asarray(p_values, dtype=float)
    found = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    found[order] = np.minimum(monotone(p[order] * factor(len(order))), 1.0)
    return found


class Comparisons(NamedTuple):
    """The differences of one rate whose largest is its disparity, each of shape ``(n,)``.

    Attributes
    ----------
    first, second : ndarray
        Units compared; -1 stands for all other units together.
    rate, effective, other_rate, other_effective : ndarray
        Both rates, and the binomial rows that each is worth.
    scale : ndarray
        The difference that counts is ``scale * (rate - other_rate)``. A unit differs from the
        overall rate by its difference from the rest times the share of the rest.
    n_units : int
        Units that have the rate.
    to_overall : bool
        Whether units are compared with all, rather than with each other.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    rate: Float
    effective: Float
    other_rate: Float
    other_effective: Float
    scale: Float
    n_units: int
    to_overall: bool

    @property
    def sides(self) -> tuple[Float, Float, Float, Float]:
        """Rate, effective rows, and those of the other side: what tests and intervals take."""
        return self.rate, self.effective, self.other_rate, self.other_effective

    @property
    def differences(self) -> Float:
        """The differences that count."""
        return self.scale * (self.rate - self.other_rate)

    @property
    def ratios(self) -> Float:
        """The ratios that count, of the lower rate to the higher; 0/0 is 1."""
        other = self.rate - self.differences if self.to_overall else self.other_rate
        return _ratio(np.minimum(self.rate, other), np.maximum(self.rate, other))

    @property
    def errors(self) -> Float:
        """Their standard errors where the two rates are what they seem."""
        p, n, q, m = self.sides
        found: Float = self.scale * np.sqrt(p * (1 - p) / n + q * (1 - q) / m)
        return found

    def take(self, index: Any) -> "Comparisons":
        """Return some of the comparisons; the correction stays that of all."""
        return self._replace(
            first=self.first[index],
            second=self.second[index],
            rate=self.rate[index],
            effective=self.effective[index],
            other_rate=self.other_rate[index],
            other_effective=self.other_effective[index],
            scale=self.scale[index],
        )

    def critical(self, level: float) -> float:
        """Return the standard errors that none of these differences exceeds, but at a level."""
        if self.to_overall:
            return critical_value(1 - level, max(self.n_units, 1))
        return pairs_critical_value(level, self.n_units)

    def level_of(self, critical: float) -> float:
        """Return the chance that any of these differences exceeds so many standard errors."""
        if np.isnan(critical):
            return np.nan
        if self.to_overall:
            inside = 1 - 2 * ndtr(-max(critical, 0.0))
            return float(1 - inside ** max(self.n_units, 1))
        if self.n_units <= 2:
            return float(min(2 * ndtr(-critical), 1.0))
        return range_probability(np.sqrt(2) * critical, self.n_units)


def compare_pairs(rate: Float, count: Float) -> Comparisons:
    """Return all pairs of units that have the rate, each once: the higher rate first."""
    units = np.flatnonzero(count > 0)
    above, below = np.triu_indices(len(units), 1)
    above, below = units[above], units[below]
    swap = rate[above] < rate[below]
    first, second = np.where(swap, below, above), np.where(swap, above, below)
    return Comparisons(
        first,
        second,
        rate[first],
        count[first],
        rate[second],
        count[second],
        np.ones(len(first)),
        len(units),
        False,
    )


def compare_with_rest(
    rate: Float, count: Float, rest_rate: Float, rest_count: Float, share: Float
) -> Comparisons:
    """Return each unit against all others, scaled to its difference from the overall rate.

    Parameters
    ----------
    rate, count, rest_rate, rest_count : ndarray of shape (n_units,)
        Of the unit and of all other units together.
    share : ndarray of shape (n_units,)
        Share of the unit in the weight that the overall rate is taken over.
    """
    units = np.flatnonzero((count > 0) & (rest_count > 0))
    return Comparisons(
        units,
        np.full(len(units), -1),
        rate[units],
        count[units],
        rest_rate[units],
        rest_count[units],
        1 - share[units],
        len(units),
        True,
    )


def largest_gap_limits(
    events: Sequence[Comparisons], confidence: float = 0.95
) -> tuple[float, float]:
    """Return limits of the largest true gap among all comparisons of one or more rates.

    The largest of several observed gaps is too large: the percentile bootstrap of it does not
    cover where true rates are nearly equal. The lower limit takes Newcombe's limits at the
    studentised maximum, which all pairs keep at once. The upper limit needs no correction: the
    pair with the largest true gap is one pair, and it keeps its own.

    Parameters
    ----------
    events : sequence of Comparisons
        One for each rate.
    confidence : float, default=0.95
        Two-sided, in (0, 1).

    Returns
    -------
    lower, upper : float
        In [0, 1]; NaN where nothing is compared.
    """
    events = [event for event in events if len(event.rate)]
    if not events:
        return np.nan, np.nan
    level = 1 - confidence
    single = float(ndtri(1 - level / 2))
    lower = max(
        float(np.max(_gap_limits(e, _joint_critical(events, e, level))[0])) for e in events
    )
    upper = max(float(np.max(_gap_limits(e, single)[1])) for e in events)
    return max(lower, 0.0), upper


def _gap_limits(event: Comparisons, critical: float) -> tuple[Float, Float]:
    """Return Newcombe's limits of each gap, whichever of its two rates is the higher."""
    below, above = newcombe_interval(*event.sides, critical=critical)
    nearer, farther = np.maximum(below, -above), np.maximum(above, -below)
    if event.n_units > 2:
        below, above = _careful_limits(event, critical)
        nearer = np.minimum(nearer, np.maximum(below, -above))
    return event.scale * nearer, event.scale * farther


def _careful_limits(event: Comparisons, critical: float) -> tuple[Float, Float]:
    """Return Newcombe's limits with exact ones of rates over few rows of the rarer kind.

    Far out in the tails, where many comparisons put a critical value, Wilson's limits of such
    rates are too close: one of one is 0.07 away from nothing at 3.6 standard errors.
    """
    p, n, q, m = event.sides
    level = float(ndtr(-critical))
    limits = []
    for rate, count in ((p, n), (q, m)):
        lower, upper = wilson_interval(rate, count, critical=critical)
        few = count * np.minimum(rate, 1 - rate) < _FEW
        low, high = _clopper_pearson(rate[few] * count[few], count[few], level)
        lower[few], upper[few] = np.minimum(lower[few], low), np.maximum(upper[few], high)
        limits.append((lower, upper))
    (p_low, p_high), (q_low, q_high) = limits
    return p - q - np.hypot(p - p_low, q_high - q), p - q + np.hypot(p_high - p, q - q_low)


def _joint_critical(events: Sequence[Comparisons], event: Comparisons, level: float) -> float:
    """Return the standard errors by which a gap must be above a value for any gap to be shown.

    The critical value of all differences, to either side, at the full level: far from 0 a gap has
    one side, which takes half of it and leaves the other half to the other limit; at 0 it has
    two, and the other limit cannot fail.
    """
    return event.critical(level / len(events))


def counted_tails(
    count: Float | int, size: Float | int, counted: Float | int, rows: Float | int
) -> tuple[Float, Float]:
    """Return how likely so few, and so many, of a group are counted if the group does not matter.

    Given how many rows are counted in all, those in the group are hypergeometric; the outcome
    itself counts half in either tail.

    Parameters
    ----------
    count, size : ndarray or int
        Rows of the group that are counted, and all of them.
    counted, rows : ndarray or int
        The same of everybody.

    Returns
    -------
    fewer, more : ndarray
        Mid-p-values of either side.
    """
    chance = hypergeom(rows, counted, size)
    half = 0.5 * chance.pmf(count)
    return np.asarray(chance.cdf(count) - half), np.asarray(chance.sf(count) + half)


def pooled_rate(rate: Float, count: Float, other_rate: Float, other_count: Float) -> Float:
    """Return the rate of two groups together; NaN where either has no rows."""
    known = (count > 0) & (other_count > 0)
    total = np.where(known, count + other_count, np.nan)
    found: Float = (rate * count + other_rate * other_count) / total
    return found


def equality_p_values(rate: Float, count: Float, other_rate: Float, other_count: Float) -> Float:
    """Return p-values of equal true rates: score tests, and by counting where rows are few.

    Normal tails are far too thin for the rare rates of small groups: there the p-value is that of
    `counted_tails` at the least.

    Parameters
    ----------
    rate, count, other_rate, other_count : ndarray of one shape
        Observed rates and rows of independent groups.

    Returns
    -------
    ndarray
        Two-sided, in [0, 1]; NaN where a count is 0.
    """
    sides = rate, count, other_rate, other_count
    p_value: Float = 2 * ndtr(-np.abs(difference_statistic(*sides)))
    pooled = pooled_rate(*sides)
    few = np.minimum(count, other_count) * np.minimum(pooled, 1 - pooled) < _FEW
    size, other_size = np.rint(count[few]), np.rint(other_count[few])
    counted = np.rint(rate[few] * size)
    total = counted + np.rint(other_rate[few] * other_size)
    tail = np.minimum(*counted_tails(counted, size, total, size + other_size))
    p_value[few] = np.maximum(p_value[few], np.minimum(2 * tail, 1.0))
    return p_value


def clearest(
    events: Sequence[Comparisons], bound: float, level: float, *, is_ratio: bool
) -> tuple[int, int]:
    """Return the event and the comparison that are beyond a bound most clearly.

    Parameters
    ----------
    events : sequence of Comparisons
        One for each rate.
    bound : float
        Largest gap or smallest ratio allowed.
    level : float
        Level of the test, in (0, 1).
    is_ratio : bool
        Whether the bound is on the smallest ratio.

    Returns
    -------
    event, comparison : int
        Where the lower limit of the gap, or the evidence against the ratio, is largest.
    """
    if is_ratio:
        found = [np.maximum(*_ratio_statistics(event, bound)) for event in events]
    else:
        found = [_gap_limits(e, _joint_critical(events, e, level))[0] for e in events]
    best = int(np.argmax([np.nanmax(of_event) for of_event in found]))
    return best, int(np.nanargmax(found[best]))


def smallest_ratio_limits(
    events: Sequence[Comparisons], confidence: float = 0.95
) -> tuple[float, float]:
    """Return limits of the smallest true ratio, as `largest_gap_limits` does of the gap.

    Parameters
    ----------
    events : sequence of Comparisons
        One for each rate.
    confidence : float, default=0.95
        Two-sided, in (0, 1).

    Returns
    -------
    lower, upper : float
        In [0, 1]; NaN where nothing is compared.
    """
    events = [event for event in events if len(event.rate)]
    if not events:
        return np.nan, np.nan
    level = 1 - confidence
    single = float(ndtri(1 - level / 2))
    return (
        min(_first_ratio(event, single) for event in events),
        min(_first_ratio(event, -_joint_critical(events, event, level)) for event in events),
    )


def _first_ratio(event: Comparisons, critical: float) -> float:
    """Return the smallest limit of any ratio: where a statistic first falls below `critical`.

    By bisection for all at once. Comparisons whose own limits are beyond one that is found drop
    out, so that the cost is that of a few passes over all.
    """
    low, high = 0.0, 1.0
    if not (np.maximum(*_ratio_statistics(event, 1.0)) > -critical).any():
        return 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        below = np.maximum(*_ratio_statistics(event, middle)) > -critical
        if below.any():
            high, event = middle, event.take(below)
        else:
            low = middle
    return high if low > 0 else 0.0


def _ratio_statistics(event: Comparisons, ratio: float) -> tuple[Float, Float]:
    """Return how many standard errors each ratio, and its inverse, is below a value."""
    p, n, q, m = event.sides
    down, up = _ratios_of_sides(event, ratio)
    found = -ratio_statistic(p, n, q, m, down), -ratio_statistic(q, m, p, n, up)
    if event.n_units <= 2:
        return found
    return _capped(found[0], p, n, q, m, down), _capped(found[1], q, m, p, n, up)


def _capped(statistic: Float, p: Float, n: Float, q: Float, m: Float, ratio: Float) -> Float:
    """Return statistics no larger than what counting says of rates over few rows."""
    expected = _likeliest(p, n, q, m, ratio)
    for rate, count, of_rate, is_low in ((p, n, expected[0], True), (q, m, expected[1], False)):
        few = (count * np.minimum(rate, 1 - rate) < _FEW) & (statistic > 0)
        if not few.any():
            continue
        x, size, chance = rate[few] * count[few], count[few], of_rate[few]
        # How likely so few, or so many, are: binomial tails, for counts that are not whole too.
        if is_low:
            tail = np.where(x < size, betainc(np.maximum(size - x, 1e-9), x + 1, 1 - chance), 1.0)
        else:
            tail = np.where(x > 0, betainc(np.maximum(x, 1e-9), size - x + 1, chance), 1.0)
        statistic = statistic.copy()
        statistic[few] = np.minimum(statistic[few], np.maximum(-ndtri(tail), 0.0))
    return statistic


def _ratios_of_sides(event: Comparisons, ratio: float) -> tuple[Float, Float]:
    """Return what a ratio, and its inverse, mean for the two rates of each comparison."""
    if not event.to_overall:
        return np.full(len(event.rate), ratio), np.full(len(event.rate), ratio)
    own = 1 - event.scale
    down = ratio * (1 - own) / np.maximum(1 - ratio * own, _ROUNDING)
    return down, np.clip((ratio - own) / np.maximum(1 - own, _ROUNDING), 0.0, None)


def difference_p_values(events: Sequence[Comparisons], bound: float) -> tuple[float, float]:
    """Return p-values for "some gap exceeds the bound" and for "all gaps are within it".

    Both are those of `largest_gap_limits`. The first is corrected, since the largest of many
    differences exceeds a bound by chance: it is below a level where the lower limit at a
    confidence of one minus the level is above the bound. The second is an intersection-union
    test, each pair and side at the full level without correction [10]_: it is below a level δ
    where the upper limit at confidence 1 - 2δ is within the bound.

    Parameters
    ----------
    events : sequence of Comparisons
        One for each rate.
    bound : float
        Largest gap allowed, in [0, 1].

    Returns
    -------
    exceeds, within : float
        NaN where nothing is compared.
    """

    return _p_values(events, lambda event: _gap_statistic(event, bound))


def _gap_statistic(event: Comparisons, bound: float) -> float:
    """Return how many standard errors the largest gap is above a bound, by Newcombe's limits."""

    def above(critical: float) -> float:
        """Return by how much the largest lower limit, or upper one below 0, exceeds the bound."""
        limits = _gap_limits(event, abs(critical))
        return float(np.max(limits[0 if critical >= 0 else 1])) - bound

    if above(_FARTHEST_GAP) >= 0:
        return _FARTHEST_GAP
    if above(-_FARTHEST_GAP) <= 0:
        return -_FARTHEST_GAP
    return float(toms748(above, -_FARTHEST_GAP, _FARTHEST_GAP, xtol=1e-10, maxiter=200))


def ratio_p_values(events: Sequence[Comparisons], bound: float) -> tuple[float, float]:
    """Return p-values for "some ratio is below the bound" and for "all ratios reach it".

    Parameters
    ----------
    events : sequence of Comparisons
        One for each rate.
    bound : float
        Smallest ratio allowed, in [0, 1].

    Returns
    -------
    exceeds, within : float
        As in `difference_p_values`.
    """

    return _p_values(events, lambda event: float(np.max(_ratio_statistics(event, bound))))


def _p_values(
    events: Sequence[Comparisons], statistic: Callable[[Comparisons], float]
) -> tuple[float, float]:
    events = [event for event in events if len(event.rate)]
    if not events:
        return np.nan, np.nan
    exceeds, within = 1.0, 0.0
    for event in events:
        largest = statistic(event)
        exceeds = min(exceeds, len(events) * event.level_of(largest))
        within = max(within, float(ndtr(largest)))
    return min(exceeds, 1.0), within


def rows_needed(
    events: Sequence[Comparisons],
    bound: float,
    rows: Float,
    *,
    level: float = 0.05,
    power: float = 0.8,
    is_ratio: bool = False,
    kind: str | None = None,
    worst: tuple[int, int] | None = None,
) -> Float:
    """Return by how many rows units must grow for a verdict to come as often as wanted.

    Observed rates are taken to be the true ones, and estimates to be normal about them. All
    comparisons of all rates, both sides of each, have to pass for a gap to be shown within the
    bound: their chances of failing add up to one minus the power at the most, whatever their
    dependence. To show that the bound is exceeded one comparison is enough.

    Parameters
    ----------
    events : sequence of Comparisons
        One for each rate.
    bound : float
        Largest gap, or smallest ratio, allowed, in [0, 1].
    rows : ndarray of shape (n_events, n_units)
        Rows of each unit.
    level, power : float
        Level of the verdict, and the chance that it is to come with.
    is_ratio : bool, default=False
        Whether the bound is one on ratios.
    kind : {"decisions", "probabilities", "weighted"}, default=None
        Values that exact tests are of; None means score tests.
    worst : tuple of int, default=None
        Event and comparison that are to exceed the bound; None means that all are to be within.

    Returns
    -------
    ndarray of shape (n_events, n_units)
        Further rows, infinite where a rate is at the bound or beyond the wanted side of it. Where
        units are compared with all, all of them grow alike, so that their shares stay.
    """
    test = _Test(bound, level, is_ratio, kind, len(events), exceeds=worst is not None)
    chosen = list(enumerate(events))
    if worst is not None:
        chosen = [(worst[0], events[worst[0]].take([worst[1]]))]

    def grown(times: float) -> tuple[Float, float]:
        """Return factors of all counts, and the chance to fail with them."""
        factors, failing = np.ones(rows.shape), 0.0
        for r, event in chosen:
            factors[r] = _growth(event, test, times, rows.shape[1])
            if not (factors[r] < _NEVER).all():
                return np.where(factors > 1, np.inf, 1.0), np.inf
            failing += float(_failing(_times(event, factors[r]), test).sum())
        return factors, failing

    low, high = 0.0, 1.0
    factors, failing = grown(high)
    while failing > 1 - power:
        if high > _FARTHEST or failing == np.inf:
            return np.where(factors > 1, np.inf, 0.0)
        low, high = high, 2 * high
        factors, failing = grown(high)
    for _ in range(10):
        middle = 0.5 * (low + high)
        attempt, failing = grown(middle)
        if failing > 1 - power:
            low = middle
        else:
            high, factors = middle, attempt
    return np.ceil(rows * (factors - 1) - 1e-6)


def detectable_gap(
    comparison: Comparisons,
    n_events: int,
    *,
    level: float = 0.05,
    power: float = 0.8,
    kind: str | None = None,
) -> float:
    """Return the smallest true gap of one comparison that would be shown to be one.

    By the test of all gaps that it is among, corrected as that is.

    Parameters
    ----------
    comparison : Comparisons
        One of those of a rate.
    n_events : int
        Rates that the test is of.
    level, power : float
        Level of the test, and chance of finding the gap.
    kind : {"decisions", "probabilities", "weighted"}, default=None
        As in `rows_needed`.

    Returns
    -------
    float
        In [0, 1], in the direction of the gap that is seen; 1 where none would be.
    """
    p, n, q, m = comparison.sides
    pooled = pooled_rate(p, n, q, m)
    test = _Test(0.0, level, False, kind, n_events, exceeds=True)
    sign = np.where(p >= q, 1.0, -1.0)
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        # The two rates are about what they are together, as far as there is room.
        one = np.clip(pooled + sign * middle * m / (n + m), 0.0, 1.0)
        one = np.where(sign > 0, np.maximum(one, middle), np.minimum(one, 1 - middle))
        apart = comparison._replace(rate=one, other_rate=np.clip(one - sign * middle, 0.0, 1.0))
        found = _failing(apart, test)[0] <= 1 - power
        low, high = (low, middle) if found else (middle, high)
    return float(comparison.scale[0] * high)


class _Test(NamedTuple):
    """A test of a bound as `rows_needed` thinks of it."""

    bound: float
    level: float
    is_ratio: bool
    kind: str | None
    n_events: int
    exceeds: bool


def _within_by_estimate(event: Comparisons, test: _Test) -> Float:
    """Return how far both sides of each comparison are within a bound, shape ``(2, n)``."""
    p, _, q, _ = event.sides
    if test.is_ratio:
        down, up = _ratios_of_sides(event, test.bound)
        return np.stack([p - down * q, q - up * p])
    allowed = np.divide(test.bound, event.scale, out=np.ones(len(p)), where=event.scale > 0)
    return np.stack([allowed - (p - q), allowed + (p - q)])


def _within_by_limit(event: Comparisons, test: _Test) -> Float:
    """Return the same by the limit that a test goes by: the farther one, or the nearer."""
    p, n, q, m = event.sides
    if test.kind is not None:
        each = _exact_level(event, test.level / 2, test.n_events) if test.exceeds else test.level
        limits = _exact_sides(event, each, test.kind)
        (p_low, p_high), (q_low, q_high) = (
            pair[::-1] if test.exceeds else pair for pair in limits
        )
        one = _within_by_estimate(event._replace(rate=p_high, other_rate=q_low), test)
        other = _within_by_estimate(event._replace(rate=p_low, other_rate=q_high), test)
        return np.stack([other[0], one[1]] if test.is_ratio else [one[0], other[1]])
    critical = float(ndtri(1 - test.level))
    if test.exceeds:
        critical = event.critical(test.level / test.n_events)
    estimate = _within_by_estimate(event, test)
    if test.is_ratio:
        down, up = _ratios_of_sides(event, test.bound)
        error = _ratio_contrast(p, n, q, m, down)[1], _ratio_contrast(q, m, p, n, up)[1]
        return estimate + (1 if test.exceeds else -1) * critical * np.stack(error)
    below, above = newcombe_interval(p, n, q, m, critical=critical)
    if test.exceeds and event.n_units > 2:
        careful = _careful_limits(event, critical)
        below, above = np.minimum(below, careful[0]), np.maximum(above, careful[1])
    below, above = (above, below) if test.exceeds else (below, above)
    return estimate + np.stack([p - q - above, below - (p - q)])


def _variances(event: Comparisons, test: _Test) -> tuple[Float, Float]:
    """Return the variances of one row of the first and of the second unit, for both sides."""
    p, n, q, m = event.sides
    # At rates of 0 and 1 nothing seems to vary: take half a row of the other kind.
    one, other = _away_from_ends(p, n), _away_from_ends(q, m)
    one, other = one * (1 - one), other * (1 - other)
    if not test.is_ratio:
        return np.stack([one, one]), np.stack([other, other])
    down, up = _ratios_of_sides(event, test.bound)
    return np.stack([one, up**2 * one]), np.stack([down**2 * other, other])


def _failing(event: Comparisons, test: _Test) -> Float:
    """Return the chance of each comparison to fail a test, if rates are what they seem."""
    limit = _within_by_limit(event, test)
    one, other = _variances(event, test)
    error = np.sqrt(one / event.effective + other / event.other_effective)
    if test.exceeds:
        return np.asarray(ndtr((limit / error).min(axis=0)))
    return np.asarray(ndtr(-limit / error).sum(axis=0))


def _growth(event: Comparisons, test: _Test, times: float, n_units: int) -> Float:
    """Return factors of all counts by which estimates are so many errors away from a bound.

    Of a comparison the smaller unit grows; where that is not enough, both do. A unit grows as
    much as its most demanding comparison asks.
    """
    n, m = event.effective, event.other_effective
    estimate = _within_by_estimate(event, test)
    one, other = _variances(event, test)
    margin = -estimate.min(axis=0) if test.exceeds else estimate
    budget = (np.maximum(margin, 0.0) / times) ** 2
    own, others = one / n, other / m
    factors = np.ones(n_units)
    with np.errstate(divide="ignore", invalid="ignore"):
        if event.to_overall:
            return factors * max(1.0, float(np.max((own + others) / budget)))
        even = budget / 2
        short = own + others > budget
        first = np.where(others <= even, own / (budget - others), own / even)
        second = np.where(own <= even, others / (budget - own), others / even)
    first = np.where(short & (own > even), first, 1.0).max(axis=0)
    second = np.where(short & (others > even), second, 1.0).max(axis=0)
    np.maximum.at(factors, event.first, first)
    np.maximum.at(factors, event.second, second)
    return factors


def _times(event: Comparisons, factor: Float) -> Comparisons:
    """Return comparisons with counts that are larger by a factor for each unit."""
    other = factor[:1] if event.to_overall else factor[event.second]
    return event._replace(
        effective=event.effective * factor[event.first],
        other_effective=event.other_effective * other,
    )


def _away_from_ends(rate: Float, count: Float) -> Float:
    half = np.minimum(0.5 / count, 0.5)
    return np.clip(rate, half, 1 - half)


def exact_gap_limits(
    events: Sequence[Comparisons],
    confidence: float = 0.95,
    *,
    kind: str = "decisions",
    is_ratio: bool = False,
) -> tuple[float, float]:
    """Return limits of the largest gap, or smallest ratio, that hold at any count.

    Differences of limits of both rates, each with its part of the level: wider than
    `largest_gap_limits`, and never covering less often than they say.

    Parameters
    ----------
    events : sequence of Comparisons
        One for each rate; `effective` holds rows, or Kish's count with weights.
    confidence : float, default=0.95
        Two-sided, in (0, 1).
    kind : {"decisions", "probabilities", "weighted"}, default="decisions"
        As in `exact_interval`.
    is_ratio : bool, default=False
        Whether the limits are of the smallest ratio.

    Returns
    -------
    lower, upper : float
        In [0, 1]; NaN where nothing is compared.
    """
    events = [event for event in events if len(event.rate)]
    if not events:
        return np.nan, np.nan
    level = (1 - confidence) / 2
    least = _exact_extreme(events, level, kind, is_ratio, at_least=True)
    most = _exact_extreme(events, level, kind, is_ratio, at_least=False)
    return (1 - most, 1 - least) if is_ratio else (least, most)


def _exact_extreme(
    events: Sequence[Comparisons], level: float, kind: str, is_ratio: bool, *, at_least: bool
) -> float:
    """Return a one-sided limit of the largest gap, or of one minus the smallest ratio."""
    found = 0.0
    for event in events:
        # Either the limits of all rates at once, or those of one pair, which has two.
        each = _exact_level(event, level, len(events)) if at_least else level
        extreme = _exact_to_overall if event.to_overall else _exact_between
        found = max(found, extreme(event, each, kind, is_ratio, at_least))
    return min(found, 1.0)


def _exact_level(event: Comparisons, level: float, n_events: int) -> float:
    """Return the level of each rate's limits with which all of them hold at a level."""
    n_rates = 2 * len(event.rate) if event.to_overall else event.n_units
    return level / (n_rates * n_events)


def _exact_between(
    event: Comparisons, level: float, kind: str, is_ratio: bool, at_least: bool
) -> float:
    """Return the limit of the largest gap between two units, from the limits of each."""
    rate, count = _by_unit(event)
    lower, upper = exact_interval(rate[count > 0], count[count > 0], 1 - level, kind=kind)
    high, low = (lower, upper) if at_least else (upper, lower)
    # The smallest of the others: the second smallest for the unit that is the smallest.
    order = np.argsort(low, kind="stable")
    others = np.full(len(low), low[order[0]])
    others[order[0]] = low[order[1]]
    return float(np.max(_gap(high, others, is_ratio, at_least)))


def _by_unit(event: Comparisons) -> tuple[Float, Float]:
    """Return rate and count of each unit of pairs; NaN and 0 for those without."""
    size = 1 + int(max(event.first.max(), event.second.max()))
    rate, count = np.full(size, np.nan), np.zeros(size)
    rate[event.first], rate[event.second] = event.rate, event.other_rate
    count[event.first], count[event.second] = event.effective, event.other_effective
    return rate, count


def _exact_sides(event: Comparisons, level: float, kind: str) -> list[tuple[Float, Float]]:
    """Return the limits of both rates of each comparison, worked out once for each unit."""
    p, n, q, m = event.sides
    if event.to_overall:
        return [exact_interval(*side, 1 - level, kind=kind) for side in ((p, n), (q, m))]
    lower, upper = exact_interval(*_by_unit(event), 1 - level, kind=kind)
    return [(lower[units], upper[units]) for units in (event.first, event.second)]


def _exact_to_overall(
    event: Comparisons, level: float, kind: str, is_ratio: bool, at_least: bool
) -> float:
    """Return the limit of the largest gap to the overall rate."""
    limits = _exact_sides(event, level, kind)
    (p_low, p_high), (q_low, q_high) = (pair[::-1] if at_least else pair for pair in limits)
    if not is_ratio:
        return float(np.max(event.scale * np.maximum(p_high - q_low, q_high - p_low)))
    # The overall rate by which the ratio is taken is a mean of both.
    share, rest = 1 - event.scale, event.scale
    above = _gap(p_high, share * p_high + rest * q_low, is_ratio, at_least)
    below = _gap(share * p_low + rest * q_high, p_low, is_ratio, at_least)
    return float(np.max(np.maximum(above, below)))


def _gap(high: Float, low: Float, is_ratio: bool, at_least: bool) -> Float:
    """Return the gap between two limits, or one minus their ratio; 0/0 may be anything."""
    if not is_ratio:
        return high - low
    unknown = np.full(high.shape, 0.0 if at_least else 1.0)
    return np.where(high > 0, 1 - low / np.where(high > 0, high, 1.0), unknown)


def exact_p_values(
    events: Sequence[Comparisons],
    bound: float,
    *,
    kind: str = "decisions",
    is_ratio: bool = False,
) -> tuple[float, float]:
    """Return p-values as `difference_p_values` does, from limits that hold at any count.

    Parameters
    ----------
    events : sequence of Comparisons
        As in `exact_gap_limits`.
    bound : float
        Largest gap, or smallest ratio, allowed, in [0, 1].
    kind : {"decisions", "probabilities", "weighted"}, default="decisions"
        As in `exact_interval`.
    is_ratio : bool, default=False
        Whether the bound is one on ratios.

    Returns
    -------
    exceeds, within : float
        The smallest levels at which limits clear the bound, as in `difference_p_values`: the first
        is two-sided, the second one-sided. NaN where nothing is compared.
    """
    events = [event for event in events if len(event.rate)]
    if not events:
        return np.nan, np.nan
    allowed = 1 - bound if is_ratio else bound
    p_values = []
    for at_least in (True, False):
        # By the logarithm of the level: limits move monotonically with it.
        low, high = -30.0, 0.0
        for _ in range(40):
            middle = 0.5 * (low + high)
            limit = _exact_extreme(events, np.exp(middle), kind, is_ratio, at_least=at_least)
            clear = limit > allowed if at_least else limit <= allowed
            low, high = (low, middle) if clear else (middle, high)
        p_values.append(float(np.exp(high)))
    return min(2 * p_values[0], 1.0), p_values[1]


def area_under_curve(
    score: Float, positive: NDArray[np.bool_], weight: Float | None
) -> tuple[float, float]:
    """Return the chance that a positive row scores above a negative one, and its binomial rows.

    Ties count one half. The variance is DeLong's, from what each row contributes, shrunk towards
    the largest, that of zeros and ones.

    Parameters
    ----------
    score : ndarray of shape (n_samples,)
        Scores of one group.
    positive : ndarray of shape (n_samples,)
        Whether each row's label is the positive one.
    weight : ndarray of shape (n_samples,) or None
        Weights.

    Returns
    -------
    area, effective : float
        In [0, 1], and ``area (1 - area) / variance``; NaN and 0 where a label is missing.
    """
    s = np.ones(len(score)) if weight is None else weight
    value, place = np.unique(score, return_inverse=True)
    mass = np.stack(
        [np.bincount(place, s * (positive == kind), len(value)) for kind in (False, True)]
    )
    total = mass.sum(axis=1)
    if not (total > 0).all():
        return np.nan, 0.0
    share = mass / total[:, None]
    # Of each score: the share of negatives below it, and of positives above it, ties by half.
    below = np.cumsum(share[0]) - 0.5 * share[0]
    above = 1 - np.cumsum(share[1]) + 0.5 * share[1]
    area = float(np.clip(share[1] @ below, 0.0, 1.0))
    squared = np.stack(
        [np.bincount(place, s * s * (positive == kind), len(value)) for kind in (False, True)]
    )
    variance = float(
        squared[1] @ (below - area) ** 2 / total[1] ** 2
        + squared[0] @ (above - area) ** 2 / total[0] ** 2
    )
    kish = effective_count(total, squared.sum(axis=1)).min()
    # Ranks hide nothing as rare as values may be: shrunk towards the binomial variance alone.
    largest = np.array(area * (1 - area))
    return area, float(_binomial_count(np.array(area), np.array(variance), kish, largest))
