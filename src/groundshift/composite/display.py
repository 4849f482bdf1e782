"""Reflectance to 8 bit with one tone curve for the whole mosaic: curves of single tiles would make steps.

A two-pass kernel: histograms of blocks (:func:`summarise`) are added in any order (:func:`merge`), a curve is fitted
(:func:`fit`) and laid on every pixel (:func:`apply`). All bands share the curve, so that grey stays grey.

The curve gives each reflectance as many grey levels as there are pixels of it, within limits: its slope stays between
a part and a multiple of that of an asinh stretch. That is what contrast limited equalisation (CLAHE) does to tiles,
done once and for all. What lies beyond the percentiles is not clipped, but shares a few levels at either end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from groundshift.errors import InputError, NoDataError, UsageError

Float64 = NDArray[np.float64]

LOWEST, HIGHEST, STEP = -0.1, 1.6, 0.0005
"""Range and width of the bins, reflectance; what lies beyond is counted at the ends."""
BINS = round((HIGHEST - LOWEST) / STEP)
NO_DATA = 0
DARKEST, BRIGHTEST = 1, 255


@dataclass(frozen=True, kw_only=True)
class ToneOptions:
    """How reflectance becomes brightness."""

    low_percent: float = 0.5
    high_percent: float = 99.5
    """Percentiles over all pixels and bands between which the curve is drawn."""
    equalise: float = 0.5
    """Between an asinh stretch (0) and the same number of pixels at each level (1)."""
    knee: float = 0.08
    """Reflectance above the lower percentile where the asinh turns from a straight line into a logarithm: without it
    clouds and snow would leave few levels to dark ground. Measured beside true colour images of products."""
    least_slope: float = 0.35
    """Of that of the asinh stretch; keeps texture where few pixels lie, in the brightest tenth above all."""
    most_slope: float = 3.0
    """The clip limit of CLAHE."""
    toe: int = 8
    """Levels for what is darker than the lower percentile."""
    shoulder: int = 20
    """Levels for what is brighter than the upper one: clouds and snow."""

    def __post_init__(self) -> None:
        if not 0 <= self.low_percent < self.high_percent <= 100:
            raise UsageError(
                f"percentiles {self.low_percent:g} and {self.high_percent:g}: expected 0 <= low < high <= 100."
            )
        if not (0 <= self.equalise <= 1 and 0 < self.least_slope <= 1 <= self.most_slope and self.knee > 0):
            raise UsageError(f"these tone options cannot be: {self}; slopes on either side of 1, equalise in 0..1.")
        if min(self.toe, self.shoulder) < 1 or self.toe + self.shoulder > 128:
            raise UsageError(
                f"toe of {self.toe} and shoulder of {self.shoulder} levels: expected 1 or more, 128 together."
            )


@dataclass(frozen=True, eq=False)
class ToneCurve:
    """Brightness (``BINS`` + 1,) at the edges of the bins, from 1 to 255, never falling."""

    low: float
    """Reflectance of the lower percentile."""
    high: float
    level: Float64


def summarise(reflectance: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Histogram (BINS,) of a block: reflectance (band, y, x) of the bands to be shown, over valid pixels (y, x)."""
    values = reflectance[:, valid]
    values = values[np.isfinite(values)]
    at = np.clip((values.astype(np.float64) - LOWEST) / STEP, 0, BINS - 1).astype(np.intp)
    return np.bincount(at, minlength=BINS)


def merge(histograms: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The histogram of several blocks, in any order."""
    return np.asarray(np.sum(histograms, axis=0))


def fit(histogram: NDArray[np.int64], options: ToneOptions | None = None) -> ToneCurve:
    """Draw the curve.

    Raises:
        NoDataError: nothing was counted.

    Law: the slope between the percentiles lies within the limits of the options, up to their being balanced to one
    sum; the curve never falls.
    """
    options = options or ToneOptions()
    if histogram.shape != (BINS,):
        raise InputError(f"a tone curve needs a histogram of {BINS} bins, got shape {histogram.shape}.")
    if not histogram.sum():
        raise NoDataError("no valid pixel to draw a tone curve from: the whole mosaic is without data.")
    edges = LOWEST + STEP * np.arange(BINS + 1)
    rising = np.concatenate([[0], np.cumsum(histogram)]) / histogram.sum()
    low, high = (float(np.interp(q / 100, rising, edges)) for q in (options.low_percent, options.high_percent))
    high = max(high, low + 20 * STEP)
    inside = np.clip((np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)) / STEP, 0, None)
    plain = 1 / np.hypot(np.maximum(edges[:-1] + STEP / 2 - low, 0) / options.knee, 1)
    slope = _slope(histogram, inside, plain, options)
    inner = np.concatenate([[0], np.cumsum(slope * inside)])
    inner /= inner[-1]
    toe = np.clip((edges - LOWEST) / max(low - LOWEST, STEP), 0, 1) ** 4
    beyond = np.clip((edges - high) / max(HIGHEST - high, STEP), 0, 1)
    top = 1 - (1 - beyond) ** 4
    room = BRIGHTEST - DARKEST - options.toe - options.shoulder
    return ToneCurve(low, high, DARKEST + options.toe * toe + room * inner + options.shoulder * top)


def apply(curve: ToneCurve, reflectance: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Lay the curve on (band, y, x); 0 where not valid (y, x) or not finite, else 1 to 255. A pixel kernel."""
    usable = valid & np.isfinite(reflectance)
    at = (np.where(usable, reflectance, 0) - np.float32(LOWEST)) / np.float32(STEP)
    # A table ten times as fine as the bins: interpolation by looking up, its error far below one level.
    table = np.interp(np.arange(10 * BINS + 1) / 10, np.arange(BINS + 1), curve.level)
    codes = np.clip(np.rint(table), DARKEST, BRIGHTEST).astype(np.uint8)
    found = codes[np.clip(np.rint(10 * at), 0, 10 * BINS).astype(np.int32)]
    return np.where(usable, found, np.uint8(NO_DATA))


def _slope(histogram: NDArray[np.int64], inside: Float64, plain: Float64, options: ToneOptions) -> Float64:
    """Share of the levels that each bin takes, limited by those of the plain stretch; what is cut off is spread."""
    density = scipy.ndimage.gaussian_filter1d(histogram * (inside > 0).astype(np.float64), 4)
    plain, equal = (each / max(float((each * inside).sum()), 1e-12) for each in (plain, density))
    slope = (1 - options.equalise) * plain + options.equalise * equal
    for _ in range(20):
        slope = np.clip(slope, options.least_slope * plain, options.most_slope * plain)
        slope /= float((slope * inside).sum())
    return np.asarray(slope)
