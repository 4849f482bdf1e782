"""Clouds, and their shadows where the sun throws them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundshift.testing.noise import fractal

_PERIOD_PX = 180.0
_OCTAVES = 5
_SOFTNESS = 0.10
_COUNTED = 0.2
"""Opacity from which a pixel counts as cloudy."""
_SAMPLES = 160

CLOUD_SPECTRUM: NDArray[np.float32] = np.array(
    [0.66, 0.66, 0.67, 0.68, 0.69, 0.70, 0.70, 0.70, 0.70, 0.60, 0.02, 0.48, 0.38], np.float32
)
SHADOW_DEPTH: NDArray[np.float32] = np.array(
    [0.42, 0.46, 0.52, 0.58, 0.60, 0.64, 0.66, 0.67, 0.68, 0.68, 0.0, 0.72, 0.74], np.float32
)


@dataclass(frozen=True, kw_only=True)
class Sky:
    """The clouds of one date, for any window."""

    seed: int
    threshold: float
    """Height of the random field from which there is cloud."""
    shadow_offset_px: tuple[float, float]
    """(rows, columns) from a cloud to its shadow, pixels of 10 m."""

    def opacity(self, y0: int, x0: int, shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (cloud, shadow), each (y, x) in 0..1, constant over pixels of 20 m."""
        cloud = _opacity(self.seed, y0, x0, *shape, self.threshold, 0.0, 0.0)
        shadow = _opacity(self.seed, y0, x0, *shape, self.threshold, *self.shadow_offset_px)
        return cloud, shadow


def shadow_offset_px(height_m: float, sun_zenith_deg: float, sun_azimuth_deg: float) -> tuple[float, float]:
    """Return (rows, columns) of 10 m from a cloud to its shadow: height x tan(zenith), away from the sun.

    Rows count southward, columns eastward, the azimuth clockwise from north.
    """
    away = height_m / 10 * math.tan(math.radians(sun_zenith_deg))
    azimuth = math.radians(sun_azimuth_deg)
    return away * math.cos(azimuth), -away * math.sin(azimuth)


def sky(seed: int, shape: tuple[int, int], share: float, offset_px: tuple[float, float]) -> Sky | None:
    """Return clouds that cover that share of an image of that shape; None for a clear sky."""
    if share <= 0:
        return None
    rows = np.linspace(0, shape[0] - 1, _SAMPLES)
    columns = np.linspace(0, shape[1] - 1, _SAMPLES)
    level = float(np.quantile(_sampled(seed, rows, columns), 1 - share))
    return Sky(seed=seed, threshold=level - _COUNTED * _SOFTNESS, shadow_offset_px=offset_px)


@njit(cache=True, nogil=True)
def _sampled(seed, rows, columns):  # type: ignore[no-untyped-def]
    field = np.empty((rows.size, columns.size))
    for i in range(rows.size):
        for j in range(columns.size):
            field[i, j] = fractal(seed, rows[i], columns[j], _PERIOD_PX, _OCTAVES)
    return field


@njit(cache=True, nogil=True)
def _opacity(seed, y0, x0, rows, columns, threshold, dy, dx):  # type: ignore[no-untyped-def]
    field = np.empty((rows, columns), np.float32)
    for i in range(rows):
        y = (y0 + i) // 2 * 2 + 0.5 - dy
        last, value = -(1 << 60), 0.0
        for j in range(columns):
            cell = (x0 + j) // 2
            if cell != last:
                height = fractal(seed, y, cell * 2 + 0.5 - dx, _PERIOD_PX, _OCTAVES)
                value = min(1.0, max(0.0, (height - threshold) / _SOFTNESS))
                last = cell
            field[i, j] = value
    return field
