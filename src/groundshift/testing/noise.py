"""Random fields that any window can be cut from: each value is a hash of seed and pixel, never of a stream.

Law, here and in all kernels of the generator: a pixel's value depends on its place alone, so cutting an image into
blocks changes nothing.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def hashed(seed, y, x):  # type: ignore[no-untyped-def]
    """64 random bits of a lattice node (the finaliser of SplitMix64 over the mixed coordinates)."""
    h = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
    h ^= np.uint64(np.int64(y)) * np.uint64(0xC2B2AE3D27D4EB4F)
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    h ^= np.uint64(np.int64(x)) * np.uint64(0x165667B19E3779F9)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@njit(cache=True)
def uniform(seed, y, x):  # type: ignore[no-untyped-def]
    """Uniform number in [0, 1) of a lattice node."""
    return np.float64(hashed(seed, y, x) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True)
def normal(seed, y, x):  # type: ignore[no-untyped-def]
    """Standard normal number of a lattice node (Box and Muller 1958)."""
    h = hashed(seed, y, x)
    radius = math.sqrt(-2.0 * math.log((np.float64(h >> np.uint64(32)) + 0.5) / 4294967296.0))
    return radius * math.cos(2.0 * math.pi * np.float64(h & np.uint64(0xFFFFFFFF)) / 4294967296.0)


@njit(cache=True)
def smooth(seed, y, x, period):  # type: ignore[no-untyped-def]
    """Smooth field in -1..1 at a real-valued place: hashed lattice nodes, smoothstep between them."""
    fy, fx = y / period, x / period
    iy, ix = math.floor(fy), math.floor(fx)
    ty, tx = fy - iy, fx - ix
    ty, tx = ty * ty * (3.0 - 2.0 * ty), tx * tx * (3.0 - 2.0 * tx)
    top = uniform(seed, iy, ix) * (1.0 - tx) + uniform(seed, iy, ix + 1) * tx
    bottom = uniform(seed, iy + 1, ix) * (1.0 - tx) + uniform(seed, iy + 1, ix + 1) * tx
    return 2.0 * (top * (1.0 - ty) + bottom * ty) - 1.0


@njit(cache=True)
def fractal(seed, y, x, period, octaves):  # type: ignore[no-untyped-def]
    """Sum of smooth fields, each of half the period and half the height of the one before; about -1..1."""
    total, height = 0.0, 0.5
    for octave in range(octaves):
        total += height * smooth(seed + 101 * octave, y, x, period)
        height *= 0.5
        period *= 0.5
    return total


@njit(cache=True)
def add_smooth_row(row, height, seed, y, x0, period):  # type: ignore[no-untyped-def]
    """Add ``height`` times the smooth field to a row of pixels, in place; lattice nodes are hashed once a cell."""
    fy = y / period
    iy = math.floor(fy)
    ty = fy - iy
    ty = ty * ty * (3.0 - 2.0 * ty)
    last, left, right = -(1 << 60), 0.0, 0.0
    for j in range(row.size):
        fx = (x0 + j) / period
        ix = math.floor(fx)
        if ix != last:
            last = ix
            left = uniform(seed, iy, ix) * (1.0 - ty) + uniform(seed, iy + 1, ix) * ty
            right = uniform(seed, iy, ix + 1) * (1.0 - ty) + uniform(seed, iy + 1, ix + 1) * ty
        tx = fx - ix
        tx = tx * tx * (3.0 - 2.0 * tx)
        row[j] += height * (2.0 * (left + (right - left) * tx) - 1.0)


@njit(cache=True)
def add_fractal_row(row, height, seed, y, x0, period, octaves):  # type: ignore[no-untyped-def]
    """Add ``height`` times the fractal field to a row of pixels, in place."""
    for octave in range(octaves):
        height *= 0.5
        add_smooth_row(row, height, seed + 101 * octave, y, x0, period)
        period *= 0.5


@njit(cache=True, nogil=True)
def _white(seed, y0, x0, rows, columns):  # type: ignore[no-untyped-def]
    field = np.empty((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            field[i, j] = normal(seed, y0 + i, x0 + j)
    return field


@njit(cache=True, nogil=True)
def filtered(field, ky, kx):  # type: ignore[no-untyped-def]
    """Separable filter of a (y, x) float32 field; the result is smaller by the kernels' margins on every side."""
    my, mx = ky.size // 2, kx.size // 2
    rows, columns = field.shape[0] - 2 * my, field.shape[1] - 2 * mx
    across = np.zeros((field.shape[0], columns), np.float32)
    for i in range(field.shape[0]):
        for k in range(kx.size):
            for j in range(columns):
                across[i, j] += kx[k] * field[i, j + k]
    result = np.zeros((rows, columns), np.float32)
    for i in range(rows):
        for k in range(ky.size):
            for j in range(columns):
                result[i, j] += ky[k] * across[i + k, j]
    return result


def gaussian(seed: int, y0: int, x0: int, shape: tuple[int, int], range_px: float) -> NDArray[np.float32]:
    """Return a standard normal field (y, x), stationary, with a Gaussian correlation of that range (0: white)."""
    if range_px == 0:
        white: NDArray[np.float32] = _white(seed, y0, x0, *shape)
        return white
    margin = max(1, math.ceil(2.5 * range_px))
    taps = np.exp(-((np.arange(-margin, margin + 1) / range_px) ** 2))
    kernel = (taps / math.sqrt(float((taps**2).sum()))).astype(np.float32)
    wide = _white(seed, y0 - margin, x0 - margin, shape[0] + 2 * margin, shape[1] + 2 * margin)
    field: NDArray[np.float32] = filtered(wide, kernel, kernel)
    return field


@njit(cache=True, nogil=True)
def tail_scale(seed, y0, x0, rows, columns, dof):  # type: ignore[no-untyped-def]
    """(y, x) factor that makes a normal vector Student's t of an even number of degrees of freedom, unit variance.

    One factor for all bands of a pixel: the vector stays elliptical, its correlations unchanged.
    """
    field = np.empty((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            chi2 = 0.0
            for k in range(dof // 2):
                chi2 -= 2.0 * math.log(uniform(seed + 7919 * (k + 1), y0 + i, x0 + j) + 1e-300)
            field[i, j] = math.sqrt((dof - 2) / chi2)
    return field
