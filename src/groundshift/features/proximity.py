"""How far the nearest of some things is, such as roads."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt


def halo_px(sides_m: tuple[float, float], limit_m: float) -> int:
    """Pixels around a block that :func:`distance` needs."""
    return math.ceil(limit_m / min(sides_m))


def distance(things: NDArray[np.bool_], sides_m: tuple[float, float], limit_m: float) -> NDArray[np.float32]:
    """Distance to the nearest thing: a neighbourhood kernel, of :func:`halo_px`.

    Args:
        things: (y, x), True where there is one.
        sides_m: height and width of a pixel, metres.
        limit_m: what is farther away is as far as this.

    Returns:
        (y, x) float32 metres from centre to centre of pixels, 0 to ``limit_m``.

    Law: cutting the image into blocks, each with its halo, changes nothing.
    """
    if not things.any():
        return np.full(things.shape, limit_m, np.float32)
    return np.asarray(np.minimum(distance_transform_edt(~things, sampling=sides_m), limit_m), np.float32)
