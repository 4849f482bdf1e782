"""Slope and aspect of an elevation model, by the weights of Horn (1981) on the eight neighbours of a pixel.

Source: B. K. P. Horn, "Hill shading and the reflectance map", Proc. IEEE 69 (1), 1981, p. 14-47.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    """Degrees from north over east, 0 to 360: where the slope faces, that is downhill; :data:`FLAT` where it is flat."""
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
        Arrays of the same shape. At the border of the image the surface goes on as it last did; beside missing
        pixels everything is missing.

    Raises:
        InputError: sizes that cannot be.

    Law: cutting the image into blocks, each with its halo, changes nothing.
    """
    width = np.broadcast_to(np.asarray(east_m, np.float64), elevation.shape[:1])
    if not (np.isfinite(width).all() and (width > 0).all() and south_m > 0):
        raise InputError("pixels of an elevation model have a width and a height of more than 0 m.")
    z = _extended(elevation.astype(np.float64))
    west = z[:-2, :-2] + 2 * z[1:-1, :-2] + z[2:, :-2]
    east = z[:-2, 2:] + 2 * z[1:-1, 2:] + z[2:, 2:]
    north = z[:-2, :-2] + 2 * z[:-2, 1:-1] + z[:-2, 2:]
    south = z[2:, :-2] + 2 * z[2:, 1:-1] + z[2:, 2:]
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


def _extended(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """One more pixel on each side, in line with the last two; of an image of one pixel, the same again."""
    for axis in (0, 1):
        first, last = np.take(z, [0], axis), np.take(z, [-1], axis)
        before, after = first, last
        if z.shape[axis] > 1:
            before, after = 2 * first - np.take(z, [1], axis), 2 * last - np.take(z, [-2], axis)
        z = np.concatenate([before, z, after], axis)
    return z
