"""From noisy probabilities of classes to smooth ones, and from a speckled map of classes to a calmer one.

Probabilities are (class, y, x) float32; a pixel with a NaN, or whose sum is not above 0, is without data. Laws: what is
without data stays so and changes no other pixel; a block that is read with ``halo_px`` more pixels on each side gets
what the whole image gets, to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.landcover import smooth_kernels as kernels
from groundshift.model.legend import NO_CHANGE, NO_DATA
from groundshift.numerics.rows import in_rows

Float32 = NDArray[np.float32]
Codes = NDArray[np.uint8]

_LEAST = 1e-4
"""Probabilities are kept that far from 0 and 1 before their log-odds are taken: the step in which sits stores them."""


@dataclass(frozen=True, kw_only=True)
class BilateralOptions:
    """Means over neighbours that look alike: borders stay, noise within goes."""

    sigma_px: float = 0.8
    """Of the distance on the ground. CLC+ Backbone 2023."""
    sigma_class: float = 0.25
    """Of the Euclidean distance of two vectors of probabilities, which is 1.41 at most. CLC+ Backbone 2023."""
    window_px: int = 5
    """Side of the window, odd. CLC+ has 4; 5 is the next that has a middle, and holds 3 sigma."""

    def __post_init__(self) -> None:
        if not (0 < self.sigma_px < math.inf and 0 < self.sigma_class < math.inf):
            raise UsageError(f"bilateral smoothing needs sigmas above 0, not {self.sigma_px} and {self.sigma_class}.")
        _check_window(self.window_px)

    @property
    def halo_px(self) -> int:
        """Pixels beyond a block that it depends on."""
        return self.window_px // 2


@dataclass(frozen=True, kw_only=True)
class BayesOptions:
    """Log-odds drawn to the mean of their neighbourhood, the more so the more alike the neighbourhood is."""

    variance: float | tuple[float, ...] = 20.0
    """Of the log-odds of one pixel around the truth, of all classes or of each: the higher, the smoother. Camara et
    al. 2024, Remote Sens. 16, 4572, and the default of sits."""
    window_px: int = 9
    """Side of the window, odd. The same paper."""
    share: float = 0.5
    """Of the neighbours, those with the highest log-odds of a class speak for it: beyond a border are others. The same
    paper. 1 takes all, which is faster and rounds corners off."""

    def __post_init__(self) -> None:
        if not all(0 <= each < math.inf for each in np.atleast_1d(self.variance)):
            raise UsageError(f"the variance of Bayesian smoothing is 0 or more, not {self.variance}.")
        if not 0 < self.share <= 1:
            raise UsageError(f"the share of neighbours is above 0 and at most 1, not {self.share}.")
        _check_window(self.window_px)

    @property
    def halo_px(self) -> int:
        """Pixels beyond a block that it depends on."""
        return self.window_px // 2


@dataclass(frozen=True, kw_only=True)
class MajorityOptions:
    """The most frequent class around each pixel."""

    window_px: int = 3
    """Side of the window, odd. The smallest: a line two pixels wide survives it."""

    def __post_init__(self) -> None:
        _check_window(self.window_px)

    @property
    def halo_px(self) -> int:
        """Pixels beyond a block that it depends on."""
        return self.window_px // 2


def bilateral(probabilities: Float32, options: BilateralOptions | None = None, *, threads: int = 1) -> Float32:
    """Smooth probabilities with weights of distance on the ground times likeness of the class vectors.

    Args:
        probabilities: (class, y, x) float32, NaN = no data.
        options: how.
        threads: that share the rows; changes no pixel.

    Returns:
        (class, y, x) float32 of sum 1; NaN where there was no data.

    Raises:
        InputError: the array is of another type or shape.

    Source: Tomasi and Manduchi 1998 (ICCV), on class vectors as in the product manual of CLC+ Backbone 2023.
    """
    options = options or BilateralOptions()
    p = _checked(probabilities)
    step = np.arange(options.window_px) - options.halo_px
    spatial = np.exp(-(step[:, None] ** 2 + step[None] ** 2) / (2 * options.sigma_px**2)).astype(np.float32)
    steepness = np.float32(1 / (2 * options.sigma_class**2))
    out = np.empty_like(p)
    in_rows(lambda rows: kernels.bilateral(p, spatial, steepness, rows, out), p.shape[1], threads)
    return out


def bayes(probabilities: Float32, options: BayesOptions | None = None, *, threads: int = 1) -> Float32:
    """Smooth probabilities by the empirical Bayes rule of Camara et al. 2024 (Remote Sens. 16, 4572, eq. 7 to 9).

    With x the log-odds of a class, m and s2 mean and variance of the highest share of its neighbourhood:
    x' = (s2 x + variance m) / (s2 + variance); m itself where s2 is below 1e-4. The image is mirrored at its border.

    Args:
        probabilities: (class, y, x) float32, NaN = no data.
        options: how.
        threads: that share the rows; changes no pixel.

    Returns:
        (class, y, x) float32 of sum 1; NaN where there was no data.

    Raises:
        InputError: the array is of another type or shape, or has not the classes of ``options.variance``.
    """
    options = options or BayesOptions()
    p = _checked(probabilities)
    given = np.atleast_1d(np.asarray(options.variance, np.float64))
    if len(given) not in (1, len(p)):
        raise InputError(f"there are {len(p)} classes and {len(given)} variances: expected one, or one a class.")
    variance, r = np.broadcast_to(given, (len(p),)).copy(), options.halo_px
    odds, drawn = np.empty_like(p), np.empty_like(p)

    def smooth(rows: kernels.Rows) -> None:
        if options.share == 1:
            kernels.bayes_all(odds, r, variance, rows, drawn)
        else:
            kernels.bayes_top(odds, r, options.share, variance, rows, drawn)

    in_rows(lambda rows: kernels.log_odds(p, _LEAST, rows, odds), p.shape[1], threads)
    in_rows(smooth, p.shape[1], threads)
    in_rows(lambda rows: kernels.shares_of(drawn, rows, odds), p.shape[1], threads)
    return odds


def majority(codes: Codes, options: MajorityOptions | None = None, *, threads: int = 1) -> Codes:
    """Give each pixel the most frequent class around it; where two are equally frequent, it keeps its own.

    Args:
        codes: (y, x) uint8; 0 (none) and 255 (no data) never vote and never change.
        options: how.
        threads: that share the rows; changes no pixel.

    Returns:
        (y, x) uint8.

    Raises:
        InputError: the array is of another type or shape.
    """
    options = options or MajorityOptions()
    if codes.ndim != 2 or codes.dtype != np.uint8:
        raise InputError(f"the map is {codes.dtype} {codes.shape}: expected uint8 (y, x).")
    codes = np.ascontiguousarray(codes)
    met = np.flatnonzero(np.bincount(codes.reshape(-1), minlength=256))
    voting = met[~np.isin(met, (NO_CHANGE, NO_DATA))]
    slot = np.full(256, -1, np.int64)
    slot[voting] = np.arange(len(voting))
    out = np.empty_like(codes)
    in_rows(lambda rows: kernels.majority(codes, slot, options.halo_px, rows, out), len(codes), threads)
    return out


def _check_window(window_px: int) -> None:
    if window_px < 1 or window_px % 2 == 0:
        raise UsageError(f"the window is {window_px} pixels wide: expected an odd number, such as 5.")


def _checked(probabilities: Float32) -> Float32:
    if probabilities.ndim != 3 or probabilities.dtype != np.float32 or len(probabilities) == 0:
        raise InputError(
            f"probabilities are {probabilities.dtype} {probabilities.shape}: expected float32 (class, y, x)."
        )
    return np.ascontiguousarray(probabilities)
