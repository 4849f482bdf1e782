"""Intervals of shares: of one sample, and of sums and ratios of shares from several samples.

Wald's interval, estimate ± 1.96 standard errors, fails where a sample holds no or few errors: without an omission among
a hundred points it says that there are none. Here every sample (stratum) gets an interval of its own share that holds
for any count, and those are combined by recovering from each end the variance that it stands for (MOVER; Zou and
Donner 2008, *Statistics in Medicine* 27:1693; for ratios Donner and Zou 2012, *Stat. Methods Med. Res.* 21:347).
Bootstrap, Bayesian posteriors and logit transformed Wald intervals were tried against it, and do not keep their level
for rare classes: ``benchmarks/accuracy_coverage.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, gammaincinv

LEVEL = 0.95
"""Share of samples whose interval is to hold the truth."""
Z = 1.96
"""Standard errors of a half width at that level, as the textbooks write it."""

Floats = NDArray[np.float64]
Limits = Callable[[Floats, Floats], tuple[Floats, Floats]]
"""Interval of a share: (count, sample size) to (low, high)."""


def wald(count: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Textbook interval p ± 1.96 sqrt(p (1 - p) / (n - 1)); of no width where p is 0 or 1."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.asarray(count, np.float64) / size
        half = Z * np.sqrt(share * (1 - share) / (size - 1))
    return share - half, share + half


def wilson(count: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Wilson's score interval, with the ends near 0 and 1 that Brown, Cai and DasGupta (2001, section 4.1.1) correct.

    Without the correction one error among 100 excludes error rates below 0.18 %, which give it in one case of six.

    Args:
        count: any shape, 0 to ``size``; need not be whole.
        size: same shape; 0 gives the interval 0 to 1.

    Returns:
        low and high, 0 to 1. Law: swapping hits and misses mirrors the interval.
    """
    count, size = np.broadcast_arrays(np.asarray(count, np.float64), np.asarray(size, np.float64))
    n = np.where(size > 0, size, 1.0)
    share, square = count / n, Z * Z / n
    centre = (share + square / 2) / (1 + square)
    half = Z * np.sqrt(np.maximum(share * (1 - share), 0) / n + square / n / 4) / (1 + square)
    low, high = np.maximum(centre - half, 0), np.minimum(centre + half, 1)
    few = np.where(size <= 50, 2, 3)
    low = np.where((count >= 1) & (count <= few), _poisson_end(count) / n, low)
    misses = size - count
    high = np.where((misses >= 1) & (misses <= few), 1 - _poisson_end(misses) / n, high)
    return _of_nothing(np.where(count <= 0, 0.0, low), np.where(misses <= 0, 1.0, high), size)


def _poisson_end(count: Floats) -> Floats:
    """The mean of a Poisson law that reaches ``count`` or more with probability 1 - level."""
    found: Floats = gammaincinv(np.maximum(count, 1), 1 - LEVEL)
    return found


def exact(count: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Clopper and Pearson's interval (1934), which never holds the truth less often than its level.

    Args and returns are those of :func:`wilson`.
    """
    count, size = np.broadcast_arrays(np.asarray(count, np.float64), np.asarray(size, np.float64))
    misses, tail = np.maximum(size - count, 0), (1 - LEVEL) / 2
    low = np.where(count > 0, betaincinv(np.maximum(count, 1e-9), misses + 1, tail), 0.0)
    high = np.where(misses > 0, betaincinv(count + 1, np.maximum(misses, 1e-9), 1 - tail), 1.0)
    return _of_nothing(low, high, size)


def _of_nothing(low: Floats, high: Floats, size: Floats) -> tuple[Floats, Floats]:
    return np.where(size > 0, low, 0.0), np.where(size > 0, high, 1.0)


@dataclass(frozen=True, eq=False)
class Shares:
    """A share of every stratum, how much each weighs, and how far each may be off."""

    estimate: Floats
    """(stratum, ...), 0 to 1."""
    below: Floats
    """Estimate minus the low end."""
    above: Floats
    """High end minus the estimate."""


def shares(count: Floats, size: Floats, limits: Limits) -> Shares:
    """Shares of strata with the intervals of ``limits``; strata without points have estimate 0 and no width."""
    count, size = np.broadcast_arrays(np.asarray(count, np.float64), np.asarray(size, np.float64))
    low, high = limits(count, size)
    known = size > 0
    estimate = np.divide(count, size, out=np.zeros(count.shape), where=known)
    return Shares(estimate, np.where(known, estimate - low, 0.0), np.where(known, high - estimate, 0.0))


def weighted_sum(weight: Floats, part: Shares) -> tuple[Floats, Floats]:
    """Interval of the sum of weighted shares of independent strata.

    Args:
        weight: (stratum,), at least 0.
        part: (stratum, ...).

    Returns:
        low and high, shape (...). Law: one stratum of weight 1 gives back its own interval.
    """
    column = weight.reshape(-1, *[1] * (part.estimate.ndim - 1))
    centre = (column * part.estimate).sum(axis=0)
    low = centre - np.sqrt(((column * part.below) ** 2).sum(axis=0))
    high = centre + np.sqrt(((column * part.above) ** 2).sum(axis=0))
    return np.maximum(low, 0), high


def weighted_ratio(weight: Floats, inside: Shares, outside: Shares, scale: float = 1.0) -> tuple[Floats, Floats]:
    """Interval of A / (A + D), where A and D are sums over strata of weighted shares of two kinds of point.

    A share s is inside the interval when the interval of (1 - s) A - s D holds 0 (Fieller's argument). The two kinds
    exclude each other, so within a stratum their counts go against each other, as those of a multinomial law do.

    Args:
        weight: (stratum,).
        inside: (stratum, ...), shares of A.
        outside: same shape, shares of D.
        scale: of D: one half for F1, where D is half of what is wrong in either way.

    Returns:
        low and high, 0 to 1, shape (...); 0 to 1 where both sums are 0.
        Law: where every point is of one of the two kinds, one stratum gives back its own interval.
    """
    column = weight.reshape(-1, *[1] * (inside.estimate.ndim - 1))
    a, d = (column * inside.estimate).sum(axis=0), scale * (column * outside.estimate).sum(axis=0)
    against = _against(inside.estimate, outside.estimate)
    squares = [(column * side) ** 2 for side in (inside.below, inside.above, outside.below, outside.above)]
    a_below, a_above, d_below, d_above = (each.sum(axis=0) for each in squares)
    low_both = scale * (column**2 * against * inside.below * outside.above).sum(axis=0)
    high_both = scale * (column**2 * against * inside.above * outside.below).sum(axis=0)
    low = _odds(a, d, a_below, scale**2 * d_above, low_both)[0]
    high = _odds(a, d, a_above, scale**2 * d_below, high_both)[1]
    return _share(low), _share(high)


def _share(odds: Floats) -> Floats:
    finite = np.where(np.isinf(odds), 0.0, odds)
    return np.where(np.isinf(odds), 1.0, finite / (1 + finite))


def _against(p: Floats, q: Floats) -> Floats:
    """Size of the negative correlation of two counts of one multinomial sample."""
    spread = (1 - p) * (1 - q)
    ratio = np.divide(p * q, spread, out=np.ones(np.shape(spread)), where=spread > 1e-12)
    return np.sqrt(np.minimum(ratio, 1))


def _odds(a: Floats, d: Floats, a_square: Floats, d_square: Floats, both: Floats) -> tuple[Floats, Floats]:
    """Smaller and larger r with (a - r d)^2 = a_square + 2 r both + r^2 d_square; 0 and infinity where none is."""
    second, first, last = d * d - d_square, a * d + both, a * a - a_square
    root = np.sqrt(np.maximum(first * first - second * last, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        small = np.where(last > 0, last / (first + root), 0.0)
        large = np.where(second > 0, (first + root) / second, np.inf)
    return np.nan_to_num(small, nan=0.0, posinf=np.inf), large


def rescaled(estimate: Floats, ends: tuple[Floats, Floats], factor: Floats) -> tuple[Floats, Floats]:
    """Ends moved away from the estimate by a factor, as for the design effect of clusters; within 0 to 1."""
    low, high = ends
    return np.maximum(estimate - (estimate - low) * factor, 0), np.minimum(estimate + (high - estimate) * factor, 1)
