"""The ground: a river plain with farmland, wooded hills and towns, for any window, from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundshift.testing.noise import fractal, hashed, smooth, uniform
from groundshift.testing.spectra import Cover

_WATER, _FOREST, _RIPARIAN, _GRASS = int(Cover.WATER), int(Cover.FOREST), int(Cover.RIPARIAN), int(Cover.GRASS)
_CEREAL, _MAIZE, _STUBBLE, _BARE = int(Cover.CEREAL), int(Cover.MAIZE), int(Cover.STUBBLE), int(Cover.BARE)
_ROOF, _BUILT, _ASPHALT, _GARDEN = int(Cover.ROOF), int(Cover.BUILT), int(Cover.ASPHALT), int(Cover.GARDEN)

_RIVER_SPACING_PX = 1700.0
_DISTRICT_PX = 240.0
_TOWN_PX = 1000.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """A window of the landscape, all (y, x) at 10 m."""

    cover: NDArray[np.uint8]
    """Codes of :class:`~groundshift.testing.spectra.Cover`."""
    vigour: NDArray[np.float32]
    """Tone of the parcel, -1..1."""
    brightness: NDArray[np.float32]
    """A second tone of the parcel, -1..1, independent of the first."""
    height: NDArray[np.float32]
    """Height above the river, arbitrary unit: 0 at the bank, about 1 at 200 m over flat ground."""
    farmed: NDArray[np.float32]
    """Draw of the parcel in [0, 1) that says when it is harvested; 2 where nothing is."""


def ground(seed: int, y0: int, x0: int, shape: tuple[int, int], river_row: float) -> Ground:
    """Paint a window of the landscape.

    Args:
        seed: of the landscape.
        y0: first row, any integer.
        x0: first column, any integer.
        shape: (rows, columns).
        river_row: row near which a river runs.
    """
    cover, vigour, brightness, height, farmed = _paint(seed, y0, x0, shape[0], shape[1], river_row)
    return Ground(cover=cover, vigour=vigour, brightness=brightness, height=height, farmed=farmed)


@njit(cache=True, nogil=True)
def _paint(seed, y0, x0, rows, columns, river_row):  # type: ignore[no-untyped-def]
    cover = np.empty((rows, columns), np.uint8)
    vigour = np.empty((rows, columns), np.float32)
    brightness = np.empty((rows, columns), np.float32)
    height = np.empty((rows, columns), np.float32)
    farmed = np.full((rows, columns), 2.0, np.float32)
    for i in range(rows):
        for j in range(columns):
            y, x = float(y0 + i), float(x0 + j)
            river = _river_distance(seed, y, x, river_row)
            relief = fractal(seed + 11, y, x, 900.0, 4)
            height[i, j] = _height(seed, y, x, river, relief)
            code, key = _cover(seed, y, x, river, relief)
            cover[i, j] = code
            vigour[i, j] = 2.0 * uniform(seed + 71, 0, key) - 1.0
            brightness[i, j] = 2.0 * uniform(seed + 72, 0, key) - 1.0
            if code in (_CEREAL, _MAIZE):
                farmed[i, j] = uniform(seed + 73, 0, key)
    return cover, vigour, brightness, height, farmed


@njit(cache=True)
def _height(seed, y, x, river, relief):  # type: ignore[no-untyped-def]
    """Height above the river: it rises from the bank, with hollows and old channels, and steeply into the hills."""
    away = max(0.0, river - 6.0)
    hollows = 0.55 * smooth(seed + 12, y, x, 170.0) + 0.30 * smooth(seed + 13, y, x, 60.0)
    plain = away / 20.0 * (1.0 + hollows) + 0.5 * min(1.0, away / 15.0) * hollows
    return max(0.0, plain + max(0.0, relief + 0.05) * min(1.0, away / 80.0) * 12.0)


@njit(cache=True)
def _river_distance(seed, y, x, river_row):  # type: ignore[no-untyped-def]
    """Distance to the nearest river's middle line, in pixels: level lines of a tilted plane with bumps meander."""
    level = (y - river_row) / _RIVER_SPACING_PX
    level += 0.16 * smooth(seed + 1, y, x, 800.0) + 0.075 * smooth(seed + 2, y, x, 260.0)
    level += 0.030 * smooth(seed + 3, y, x, 95.0)
    return abs(level - math.floor(level + 0.5)) * _RIVER_SPACING_PX * 0.8


@njit(cache=True)
def _cover(seed, y, x, river, relief):  # type: ignore[no-untyped-def]
    """(cover, key of the parcel) of a pixel."""
    ragged = smooth(seed + 21, y, x, 38.0)
    fine = smooth(seed + 22, y, x, 9.0)
    width = 5.5 + 2.0 * smooth(seed + 4, y, x, 300.0)
    if river < width:
        return _WATER, np.uint64(1)
    lake = smooth(seed + 5, y, x, 420.0) + 0.10 * ragged
    if lake < -0.90 and relief < 0.1:
        return _WATER, np.uint64(2)
    if river < width + 3.0 + 5.0 * ragged:
        return _RIPARIAN, np.uint64(3)
    town = _town(seed, y, x, ragged)
    if town > 0.0:
        return _town_cover(seed, y, x, town)
    if relief + 0.10 * ragged + 0.05 * fine > 0.10:
        clearing = smooth(seed + 23, y, x, 130.0) + 0.2 * ragged
        if clearing < 0.62:
            return _FOREST, np.uint64(4)
        return _GRASS, np.uint64(5)
    return _field(seed, y, x, fine)


@njit(cache=True)
def _town(seed, y, x, ragged):  # type: ignore[no-untyped-def]
    """How deep inside a town, in pixels; at most 0 outside. A town lies wholly inside its cell."""
    cy, cx = math.floor(y / _TOWN_PX), math.floor(x / _TOWN_PX)
    if uniform(seed + 31, cy, cx) > 0.75:
        return 0.0
    ty = (cy + 0.32 + 0.36 * uniform(seed + 32, cy, cx)) * _TOWN_PX
    tx = (cx + 0.32 + 0.36 * uniform(seed + 33, cy, cx)) * _TOWN_PX
    radius = 45.0 + 90.0 * uniform(seed + 34, cy, cx) ** 2
    away = math.sqrt((y - ty) ** 2 + (x - tx) ** 2)
    return radius * (1.0 + 0.45 * smooth(seed + 35, y, x, 70.0) + 0.12 * ragged) - away


@njit(cache=True)
def _town_cover(seed, y, x, depth):  # type: ignore[no-untyped-def]
    cy, cx = math.floor(y / _TOWN_PX), math.floor(x / _TOWN_PX)
    quarter = math.floor(y / 130.0), math.floor(x / 130.0)
    turn = 1.5 * uniform(seed + 41, cy, cx) + 0.5 * uniform(seed + 42, quarter[0], quarter[1])
    u = math.cos(turn) * x + math.sin(turn) * y
    v = -math.sin(turn) * x + math.cos(turn) * y
    bu, bv = math.floor(u / 15.0), math.floor(v / 9.0)
    if u - bu * 15.0 < 1.2 or v - bv * 9.0 < 1.2:
        return _ASPHALT, np.uint64(6)
    key = hashed(seed + 43, math.floor(v / 2.0), math.floor(u / 2.0))
    draw = uniform(seed + 44, 0, key)
    park = uniform(seed + 45, bv // 3, bu // 2)
    if park > 0.90:
        return _GARDEN, hashed(seed + 46, bv // 3, bu // 2)
    core = min(1.0, depth / 60.0)
    if draw < 0.14 + 0.28 * core:
        return _ROOF, key
    if draw < 0.50 + 0.38 * core:
        return _BUILT, key
    return _GARDEN, key


@njit(cache=True)
def _field(seed, y, x, fine):  # type: ignore[no-untyped-def]
    """Farmland: districts with one direction each, cut into strips and the strips into parcels."""
    district, edge, angle = _district(seed, y, x)
    if edge < 1.3:
        return _ASPHALT, np.uint64(7)
    u = math.cos(angle) * x + math.sin(angle) * y + 0.8 * fine
    v = -math.sin(angle) * x + math.cos(angle) * y + 0.8 * fine
    strip_px = 13.0 + 20.0 * uniform(seed + 51, 1, district)
    parcel_px = 20.0 + 40.0 * uniform(seed + 51, 2, district)
    strip = math.floor(v / strip_px)
    if uniform(seed + 52, strip // 2, district) < 0.35:
        strip = strip // 2 * 2
    along = u + parcel_px * uniform(seed + 53, strip, district)
    parcel = math.floor(along / parcel_px)
    if uniform(seed + 54, parcel // 2, hashed(seed, strip, district)) < 0.3:
        parcel = parcel // 2 * 2
    key = hashed(seed + 55, hashed(seed + 56, strip, parcel), district)
    if v - math.floor(v / strip_px) * strip_px < 1.5 and uniform(seed + 57, strip, district) < 0.3:
        return _RIPARIAN, np.uint64(8)
    return _crop(uniform(seed + 58, 0, key)), key


@njit(cache=True)
def _crop(draw):  # type: ignore[no-untyped-def]
    if draw < 0.34:
        return _GRASS
    if draw < 0.54:
        return _CEREAL
    if draw < 0.68:
        return _MAIZE
    if draw < 0.80:
        return _STUBBLE
    if draw < 0.94:
        return _BARE
    return _FOREST


@njit(cache=True)
def _district(seed, y, x):  # type: ignore[no-untyped-def]
    """(key, distance to its border in pixels, direction) of the nearest of the jittered district centres."""
    wy = y + 14.0 * smooth(seed + 61, y, x, 110.0)
    wx = x + 14.0 * smooth(seed + 62, y, x, 110.0)
    cy, cx = math.floor(wy / _DISTRICT_PX), math.floor(wx / _DISTRICT_PX)
    first, second, by, bx = 1e18, 1e18, 0, 0
    for ny in range(cy - 1, cy + 2):
        for nx in range(cx - 1, cx + 2):
            py = (ny + uniform(seed + 63, ny, nx)) * _DISTRICT_PX
            px = (nx + uniform(seed + 64, ny, nx)) * _DISTRICT_PX
            away = (py - wy) ** 2 + (px - wx) ** 2
            if away < first:
                first, second, by, bx = away, first, ny, nx
            elif away < second:
                second = away
    edge = (math.sqrt(second) - math.sqrt(first)) / 2.0
    return hashed(seed + 65, by, bx), edge, math.pi * uniform(seed + 66, by, bx)
