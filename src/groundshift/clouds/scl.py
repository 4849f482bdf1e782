"""What the scene classification (SCL) leaves usable, with clouds and their shadows grown by a true disc.

A neighbourhood kernel: cut the scene into blocks, give each a halo of :func:`halo_px`, and nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numba
import numpy as np
from numpy.typing import NDArray

from groundshift.model.scl import CLOUD, SHADOW, SceneClass

_LAST = max(SceneClass)
_FARTHEST = 32_000
"""Pixels that a distance of 16 bits holds."""


def halo_px(cloud_dilation_px: float, shadow_dilation_px: float) -> int:
    """Pixels that a block must know beyond its border: the larger radius, rounded up."""
    return math.ceil(max(cloud_dilation_px, shadow_dilation_px, 0))


def usable(
    scl: NDArray[np.uint8], classes: Iterable[int], cloud_dilation_px: float, shadow_dilation_px: float
) -> NDArray[np.bool_]:
    """Return True where a pixel of the scene classification is usable.

    Args:
        scl: (y, x), codes of :class:`~groundshift.model.scl.SceneClass`; codes beyond them are never usable.
        classes: codes that are masked. Of these, clouds and cirrus (8, 9, 10) and cloud shadows (3) are grown.
        cloud_dilation_px: radius of the disc that clouds grow by, in pixels; 0 leaves them as they are.
        shadow_dilation_px: the same for cloud shadows.

    Returns:
        (y, x). A pixel is not usable when the centre of a cloud pixel lies at most the radius away from its own.

    Source: S. Skakun et al. (2022), CMIX: clouds 100 to 200 m, shadows 60 to 100 m.
    """
    masked = frozenset(int(code) for code in classes)
    out = _member(scl, masked - CLOUD - SHADOW, beyond=True)
    for group, radius in ((CLOUD & masked, cloud_dilation_px), (SHADOW & masked, shadow_dilation_px)):
        if group:
            grow(_member(scl, group), radius, out)
    return np.logical_not(out, out=out)


def grow(mask: NDArray[np.bool_], radius_px: float, out: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Return a mask grown by a disc: True where a True pixel lies at most ``radius_px`` away (centre to centre).

    Args:
        mask: (y, x).
        radius_px: radius of the disc in pixels, any real number from 0.
        out: (y, x), to be united with the grown mask in place.

    Law: exact; growing blocks with a halo of ``ceil(radius_px)`` and putting them together changes nothing.
    """
    if out is None:
        out = np.zeros(mask.shape, bool)
    if radius_px > _FARTHEST:
        raise ValueError(f"a radius of {radius_px:g} pixels: expected at most {_FARTHEST}.")
    # half the width of the disc at each distance from its centre row; the slack absorbs the rounding of metres / metres
    squared = radius_px * radius_px * (1 + 1e-9)
    rows = range(math.isqrt(math.floor(squared)) + 1)
    half_width = np.array([math.isqrt(math.floor(squared - d * d)) for d in rows], np.int64)
    _grow(np.ascontiguousarray(mask), half_width, out)
    return out


def _member(scl: NDArray[np.uint8], codes: frozenset[int], *, beyond: bool = False) -> NDArray[np.bool_]:
    table = np.zeros(256, bool)
    table[sorted(codes)] = True
    if beyond:
        table[_LAST + 1 :] = True
    flat = np.ascontiguousarray(scl, np.uint8).reshape(-1)
    out = np.empty(flat.shape, bool)
    _look_up(flat, table, out)
    return out.reshape(scl.shape)


@numba.njit(cache=True, nogil=True)
def _grow(mask, half_width, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Distance to the nearest True in the column, then the reach of those intervals along the row: 4 steps a pixel."""
    rows, columns = mask.shape
    far = np.int16(half_width.size)
    distance = np.empty((rows, columns), np.int16)
    above = np.full(columns, far, np.int16)
    for y in range(rows):
        here = distance[y]
        for x in range(columns):
            here[x] = np.int16(0) if mask[y, x] else min(far, np.int16(above[x] + 1))
        above = here
    for y in range(rows - 2, -1, -1):
        here, below = distance[y], distance[y + 1]
        for x in range(columns):
            here[x] = min(here[x], np.int16(below[x] + 1))
    for y in range(rows):
        _reach(distance[y], half_width, far, out[y])


@numba.njit(cache=True, nogil=True)
def _reach(distance, half_width, far, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    columns, nearest = distance.size, far
    for x in range(columns):
        nearest = min(nearest, distance[x])
    if nearest == far:
        return
    reach = -1
    for x in range(columns):
        if distance[x] < far:
            reach = max(reach, x + half_width[distance[x]])
        if reach >= x:
            out[x] = True
    reach = columns
    for x in range(columns - 1, -1, -1):
        if distance[x] < far:
            reach = min(reach, x - half_width[distance[x]])
        if reach <= x:
            out[x] = True


@numba.njit(cache=True, nogil=True)
def _look_up(codes, table, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for i in range(codes.size):
        out[i] = table[codes[i]]
