"""The ground: a river plain with farmland, wooded hills and towns, for any window, from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundshift.testing.noise import add_fractal_row, add_smooth_row, hashed, uniform
from groundshift.testing.spectra import Cover

_WATER, _FOREST, _RIPARIAN, _GRASS = int(Cover.WATER), int(Cover.FOREST), int(Cover.RIPARIAN), int(Cover.GRASS)
_CEREAL, _MAIZE, _STUBBLE, _BARE = int(Cover.CEREAL), int(Cover.MAIZE), int(Cover.STUBBLE), int(Cover.BARE)
_ROOF, _BUILT, _ASPHALT, _GARDEN = int(Cover.ROOF), int(Cover.BUILT), int(Cover.ASPHALT), int(Cover.GARDEN)

PARCELS_FROM = 16
"""Keys of parcels are hashes; smaller ones stand for all of a cover that is not cut into parcels."""

_RIVER_SPACING_PX = 1700.0
_DISTRICT_PX = 240.0
_TOWN_PX = 1000.0

_RELIEF, _RIVER, _WIDTH, _LAKE, _HOLLOW, _RAGGED, _FINE, _CLEARING, _TOWN, _WARP_Y, _WARP_X = range(11)
_FIELDS = 11
"""Smooth fields that the cover of a pixel is decided from."""
_COS, _SIN, _STRIP_PX, _PARCEL_PX, _ALONG, _HEDGED, _CROP = range(7)
_DISTRICT, _STRIP, _PARCEL = range(3)


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
    """Height above the river, arbitrary unit: 0 at the bank, about 1 at 300 m over flat ground."""
    farmed: NDArray[np.float32]
    """Draw of the parcel in [0, 1) that says when it is harvested; 2 where nothing is."""
    parcel: NDArray[np.uint64]
    """Key of the parcel or the building; below :data:`PARCELS_FROM` where a cover is not cut into any."""


def ground(seed: int, y0: int, x0: int, shape: tuple[int, int], river_row: float) -> Ground:
    """Paint a window of the landscape.

    Args:
        seed: of the landscape.
        y0: first row, any integer.
        x0: first column, any integer.
        shape: (rows, columns).
        river_row: row near which a river runs.
    """
    cover, vigour, brightness, height, farmed, parcel = _paint(seed, y0, x0, shape[0], shape[1], river_row)
    return Ground(cover=cover, vigour=vigour, brightness=brightness, height=height, farmed=farmed, parcel=parcel)


@njit(cache=True, nogil=True)
def _paint(seed, y0, x0, rows, columns, river_row):  # type: ignore[no-untyped-def]
    cover = np.empty((rows, columns), np.uint8)
    vigour = np.empty((rows, columns), np.float32)
    brightness = np.empty((rows, columns), np.float32)
    height = np.empty((rows, columns), np.float32)
    farmed = np.full((rows, columns), 2.0, np.float32)
    parcel = np.empty((rows, columns), np.uint64)
    fields = np.empty((_FIELDS, columns))
    state = _no_state()
    last, tones = np.uint64(0), (0.0, 0.0)
    for i in range(rows):
        _draw_fields(fields, seed, y0 + i, x0, river_row)
        for j in range(columns):
            here = fields[:, j]
            height[i, j] = _height(here)
            code, key = _cover(seed, float(y0 + i), float(x0 + j), here, state)
            cover[i, j], parcel[i, j] = code, key
            if key != last:
                last = key
                tones = 2.0 * uniform(seed + 71, 0, key) - 1.0, 2.0 * uniform(seed + 72, 0, key) - 1.0
            vigour[i, j], brightness[i, j] = tones
            if code in (_CEREAL, _MAIZE):
                farmed[i, j] = uniform(seed + 73, 0, key)
    return cover, vigour, brightness, height, farmed, parcel


@njit(cache=True)
def _draw_fields(fields, seed, y, x0, river_row):  # type: ignore[no-untyped-def]
    """Fill the smooth fields of one row of pixels."""
    fields[:] = 0.0
    add_fractal_row(fields[_RELIEF], 1.0, seed + 11, y, x0, 900.0, 4)
    for k, (height, period) in enumerate(((0.16, 800.0), (0.075, 260.0), (0.030, 95.0))):
        add_smooth_row(fields[_RIVER], height, seed + 1 + k, y, x0, period)
    add_smooth_row(fields[_WIDTH], 2.0, seed + 4, y, x0, 300.0)
    add_smooth_row(fields[_LAKE], 1.0, seed + 5, y, x0, 420.0)
    add_smooth_row(fields[_HOLLOW], 0.70, seed + 12, y, x0, 150.0)
    add_smooth_row(fields[_HOLLOW], 0.35, seed + 13, y, x0, 55.0)
    add_smooth_row(fields[_HOLLOW], 0.10, seed + 14, y, x0, 17.0)
    add_smooth_row(fields[_RAGGED], 1.0, seed + 21, y, x0, 38.0)
    add_smooth_row(fields[_FINE], 1.0, seed + 22, y, x0, 9.0)
    add_smooth_row(fields[_CLEARING], 1.0, seed + 23, y, x0, 130.0)
    add_smooth_row(fields[_TOWN], 1.0, seed + 35, y, x0, 70.0)
    add_smooth_row(fields[_WARP_Y], 14.0, seed + 61, y, x0, 110.0)
    add_smooth_row(fields[_WARP_X], 14.0, seed + 62, y, x0, 110.0)
    # Level lines of a tilted plane with bumps meander: distance to the nearest, in pixels.
    for j in range(fields.shape[1]):
        level = fields[_RIVER, j] + (y - river_row) / _RIVER_SPACING_PX
        fields[_RIVER, j] = abs(level - math.floor(level + 0.5)) * _RIVER_SPACING_PX * 0.8


@njit(cache=True)
def _height(here):  # type: ignore[no-untyped-def]
    """Height above the river: it rises from the bank, with hollows and old channels, and steeply into the hills."""
    away = max(0.0, here[_RIVER] - 6.0)
    plain = away / 28.0 + 1.6 * min(1.0, away / 25.0) * here[_HOLLOW]
    return max(0.0, plain + max(0.0, here[_RELIEF] + 0.05) * min(1.0, away / 60.0) * 14.0)


@njit(cache=True)
def _cover(seed, y, x, here, state):  # type: ignore[no-untyped-def]
    """(cover, key of the parcel) of a pixel."""
    ragged, river = here[_RAGGED], here[_RIVER]
    width = 5.5 + here[_WIDTH]
    if river < width:
        return _WATER, np.uint64(1)
    if here[_LAKE] + 0.10 * ragged < -0.90 and here[_RELIEF] < 0.1:
        return _WATER, np.uint64(2)
    if river < width + 3.0 + 5.0 * ragged:
        return _RIPARIAN, np.uint64(3)
    town = _town(seed, y, x, here, state[3])
    if town > 0.0:
        return _town_cover(seed, y, x, town)
    if here[_RELIEF] + 0.10 * ragged + 0.05 * here[_FINE] > 0.10:
        if here[_CLEARING] + 0.2 * ragged < 0.62:
            return _FOREST, np.uint64(4)
        return _GRASS, np.uint64(5)
    return _field(seed, y, x, here, state)


@njit(cache=True)
def _town(seed, y, x, here, known):  # type: ignore[no-untyped-def]
    """How deep inside a town, in pixels; at most 0 outside. A town lies wholly inside its cell."""
    cy, cx = math.floor(y / _TOWN_PX), math.floor(x / _TOWN_PX)
    if cy != known[0] or cx != known[1]:
        known[0], known[1] = cy, cx
        known[2] = (cy + 0.32 + 0.36 * uniform(seed + 32, cy, cx)) * _TOWN_PX
        known[3] = (cx + 0.32 + 0.36 * uniform(seed + 33, cy, cx)) * _TOWN_PX
        known[4] = 0.0 if uniform(seed + 31, cy, cx) > 0.75 else 55.0 + 90.0 * uniform(seed + 34, cy, cx) ** 2
    away = math.sqrt((y - known[2]) ** 2 + (x - known[3]) ** 2)
    return known[4] * (1.0 + 0.45 * here[_TOWN] + 0.12 * here[_RAGGED]) - away


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
def _field(seed, y, x, here, state):  # type: ignore[no-untyped-def]
    """Farmland: districts with one direction each, cut into strips and the strips into parcels."""
    places, shape, keys, _ = state
    edge = _enter_district(seed, y + here[_WARP_Y], x + here[_WARP_X], places, shape, keys)
    if edge < 1.3:
        return _ASPHALT, np.uint64(7)
    district = keys[_DISTRICT]
    u = shape[_COS] * x + shape[_SIN] * y + 0.8 * here[_FINE]
    v = -shape[_SIN] * x + shape[_COS] * y + 0.8 * here[_FINE]
    raw = math.floor(v / shape[_STRIP_PX])
    if raw != places[9, 0]:
        _enter_strip(seed, raw, places, shape, keys)
    parcel = math.floor((u + shape[_ALONG]) / shape[_PARCEL_PX])
    if shape[_HEDGED] > 0.0 and v - raw * shape[_STRIP_PX] < 1.5:
        return _RIPARIAN, np.uint64(8)
    if parcel != places[9, 1]:
        places[9, 1] = parcel
        if uniform(seed + 54, parcel // 2, hashed(seed, keys[_STRIP], district)) < 0.3:
            parcel = parcel // 2 * 2
        keys[_PARCEL] = hashed(seed + 55, hashed(seed + 56, keys[_STRIP], parcel), district)
        shape[_CROP] = _crop(uniform(seed + 58, 0, keys[_PARCEL]))
    return int(shape[_CROP]), keys[_PARCEL]


@njit(cache=True)
def _enter_strip(seed, raw, places, shape, keys):  # type: ignore[no-untyped-def]
    """Remember the strip of a district that the pixel lies in; some strips are two wide."""
    district, strip = keys[_DISTRICT], raw
    places[9, 0], places[9, 1] = raw, np.nan
    if uniform(seed + 52, strip // 2, district) < 0.35:
        strip = strip // 2 * 2
    keys[_STRIP] = np.uint64(np.int64(strip))
    shape[_ALONG] = shape[_PARCEL_PX] * uniform(seed + 53, strip, district)
    shape[_HEDGED] = 1.0 if strip == raw and uniform(seed + 57, strip, district) < 0.3 else 0.0


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
def _no_state():  # type: ignore[no-untyped-def]
    """What the last pixel found out, to be used again by the next: (places, shape of its district, keys, town).

    ``places`` holds the nine district centres around a cell (row 10) and, in row 9, the strip and parcel.
    """
    return np.full((11, 2), np.nan), np.zeros(8), np.zeros(3, np.uint64), np.full(5, np.nan)


@njit(cache=True)
def _enter_district(seed, y, x, places, shape, keys):  # type: ignore[no-untyped-def]
    """Remember the district of the nearest jittered centre; return the distance to its border in pixels."""
    cy, cx = math.floor(y / _DISTRICT_PX), math.floor(x / _DISTRICT_PX)
    if cy != places[10, 0] or cx != places[10, 1]:
        places[10, 0], places[10, 1] = cy, cx
        for k in range(9):
            ny, nx = cy - 1 + k // 3, cx - 1 + k % 3
            places[k, 0] = (ny + uniform(seed + 63, ny, nx)) * _DISTRICT_PX
            places[k, 1] = (nx + uniform(seed + 64, ny, nx)) * _DISTRICT_PX
    first, second, nearest = 1e18, 1e18, 0
    for k in range(9):
        away = (places[k, 0] - y) ** 2 + (places[k, 1] - x) ** 2
        if away < first:
            first, second, nearest = away, first, k
        elif away < second:
            second = away
    key = hashed(seed + 65, cy - 1 + nearest // 3, cx - 1 + nearest % 3)
    if key != keys[_DISTRICT]:
        keys[_DISTRICT] = key
        angle = math.pi * uniform(seed + 66, 0, key)
        shape[_COS], shape[_SIN] = math.cos(angle), math.sin(angle)
        shape[_STRIP_PX] = 13.0 + 20.0 * uniform(seed + 51, 1, key)
        shape[_PARCEL_PX] = 20.0 + 40.0 * uniform(seed + 51, 2, key)
        places[9, 0] = np.nan
    return (math.sqrt(second) - math.sqrt(first)) / 2.0
