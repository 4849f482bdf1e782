"""Slope and aspect of an elevation model, by the weights of Horn (1981) on the eight neighbours of a pixel.

Source: B. K. P. Horn, "Hill shading and the reflectance map", Proc. IEEE 69 (1), 1981, p. 14-47.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from groundshift.errors import InputError

Float32 = NDArray[np.float32]

HALO_PX = 1
"""Pixels around a block that :func:`terrain` needs."""
FLAT = -1.0
"""Aspect of ground that is flat, as ArcGIS has it: it faces nowhere, but it is not missing."""


@dataclass(frozen=True, eq=False)
class Terrain:
    """What an elevation model says of the ground; each (y, x) float32, NaN = missing."""

    slope: Float32
    """Degrees, 0 is flat."""
    aspect: Float32
    """Degrees from north over east, 0 to 360: where the slope faces, that is downhill; :data:`FLAT` where flat."""
    aspect_sin: Float32
    """How much the slope faces east, -1 to 1; 0 where it is flat: aspect goes in a circle, this does not."""
    aspect_cos: Float32
    """How much the slope faces north."""


def terrain(elevation: Float32, east_m: NDArray[np.floating] | float, south_m: float) -> Terrain:
    """Slope and aspect: a neighbourhood kernel, of :data:`HALO_PX`.

    Args:
        elevation: (y, x) metres, first row northernmost, NaN = missing.
        east_m: width of a pixel in metres, one number or one a row (y,): in degrees, pixels are narrower in the north.
        south_m: its height in metres.

    Returns:
        Arrays of the same shape, missing where the elevation is. Beside missing pixels, and at the border, the surface
        goes on as it does on the other side.

    Raises:
        InputError: sizes that cannot be.

    Law: cutting the image into blocks, each with its halo, changes nothing.
    """
    width = np.broadcast_to(np.asarray(east_m, np.float64), elevation.shape[:1])
    if not (np.isfinite(width).all() and (width > 0).all() and south_m > 0):
        raise InputError("pixels of an elevation model have a width and a height of more than 0 m.")
    z = _Neighbours(elevation)
    west = z.at(-1, -1) + 2 * z.at(0, -1) + z.at(1, -1)
    east = z.at(-1, 1) + 2 * z.at(0, 1) + z.at(1, 1)
    north = z.at(-1, -1) + 2 * z.at(-1, 0) + z.at(-1, 1)
    south = z.at(1, -1) + 2 * z.at(1, 0) + z.at(1, 1)
    uphill_east = (east - west) / (8 * width[:, None])
    uphill_north = (north - south) / (8 * south_m)
    known = np.isfinite(elevation)
    steep = np.where(known, np.hypot(uphill_east, uphill_north), np.nan)
    flat = steep == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        sine, cosine = (np.where(flat, 0, -rise / steep) for rise in (uphill_east, uphill_north))
        aspect = np.where(flat, FLAT, np.degrees(np.arctan2(sine, cosine)) % 360).astype(np.float32)
    # 359.99999 is rounded to 360.
    aspect[aspect >= 360] = 0
    return Terrain(
        np.degrees(np.arctan(steep)).astype(np.float32), aspect, sine.astype(np.float32), cosine.astype(np.float32)
    )


def repetition_px(elevation: Float32) -> int:
    """Side, in pixels, of the squares of equal height that an enlarged elevation model is made of; 1: it has none.

    A model of 30 or 90 m that was brought to 10 m by repeating its pixels is a staircase: slopes of 0 with walls
    between. The steps come at equal distances, so that how much neighbouring columns (or rows) differ is periodic; of
    real ground it is not.

    Args:
        elevation: (y, x), a part of the model as it is stored; some 100 pixels a side are enough.
    """
    found = [_period(np.abs(np.diff(elevation.astype(np.float64), axis=axis)), 1 - axis) for axis in (0, 1)]
    return max(found) if min(found) > 1 else 1


def smoothed(elevation: Float32, side_px: int) -> Float32:
    """Elevation without the steps of squares of that side: a mean over them, twice, so that slopes have none.

    A neighbourhood kernel, of :func:`smoothing_halo_px`. Weights are those of the pixels that are there; what is
    missing stays so.
    """
    if side_px == 1:
        return elevation
    known = np.isfinite(elevation)
    total, weight = np.where(known, elevation, 0).astype(np.float64), known.astype(np.float64)
    # A box of that side, of an even one with half a pixel on either end; with itself.
    box = np.ones(side_px) if side_px % 2 else np.r_[0.5, np.ones(side_px - 1), 0.5]
    weights = np.convolve(box, box)
    for axis in (0, 1):
        total, weight = (correlate1d(each, weights, axis, mode="constant") for each in (total, weight))
    return np.where(known, total / np.maximum(weight, 1e-9), np.nan).astype(np.float32)


def smoothing_halo_px(side_px: int) -> int:
    """Pixels around a block that :func:`smoothed` needs."""
    return 0 if side_px == 1 else side_px // 2 * 2


_MOST_PERIOD_PX = 40
_PERIODIC, _APART = 0.6, 0.5
"""Correlation of a profile of steps with itself, shifted by a period, and by how much it is less for a shorter shift:
profiles of smooth ground resemble themselves ever less."""

_FLAT_SHARE, _NO_STEP = 0.25, 0.2
"""Of the steps of a staircase at least this share is less than that part of their mean."""


def _period(steps: NDArray[np.float64], axis: int) -> int:
    """Distance at which a profile of steps comes again; 1: at none."""
    known = np.isfinite(steps)
    profile = np.where(known, steps, 0).sum(axis) / np.maximum(known.sum(axis), 1)
    around = profile - profile.mean()
    if not len(profile) or np.quantile(profile, _FLAT_SHARE) > _NO_STEP * profile.mean() or not profile.any():
        return 1
    lags = range(1, min(_MOST_PERIOD_PX, len(profile) // 3) + 1)
    alike = np.array([_correlation(around[:-lag], around[lag:]) for lag in lags])
    least = np.minimum.accumulate(alike)
    found = np.flatnonzero((alike >= _PERIODIC) & (alike - least >= _APART))
    if not found.size:
        return 1
    return int(lags[found[np.argmax(alike[found] >= 0.9 * alike[found].max())]])


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    size = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / size) if size > 0 else 0.0


class _Neighbours:
    """Elevation beside each pixel; where there is none, in line with the pixel and the one on its other side."""

    def __init__(self, elevation: Float32) -> None:
        self._padded = np.pad(elevation.astype(np.float64), 1, constant_values=np.nan)

    def at(self, south: int, east: int) -> NDArray[np.float64]:
        """One row south and one column east of each pixel, or the other way (-1)."""
        beside, middle, across = self._shifted(south, east), self._shifted(0, 0), self._shifted(-south, -east)
        neither = self.at(south, 0) + self.at(0, east) - middle if south and east else middle
        on = np.where(np.isfinite(across), 2 * middle - across, neither)
        return np.where(np.isfinite(beside), beside, on)

    def _shifted(self, south: int, east: int) -> NDArray[np.float64]:
        rows, columns = (n - 2 for n in self._padded.shape)
        return self._padded[1 + south : 1 + south + rows, 1 + east : 1 + east + columns]
