"""Squared distance of a difference, expected noise of a pixel, and both fused: compiled, row by row, in float32.

All arithmetic is column by column in rows of a whole number of vectors, in one fixed order, so a pixel gets the same
bits wherever a block begins. What is not valid is read as zero and never computed with: NaN cannot spread from there.
The kernels live in one file because numba's cache looks at no other for changes.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

_STRIP = 512
_VECTORS = 64
"""Columns that every row buffer is a multiple of: no compiled loop is left with single columns to do otherwise."""
_DARK = np.float32(0.001)
_SMOOTH = np.float32(0.1)

compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})


class Curve(NamedTuple):
    """Logarithm of the expected squared distance as a quadratic in m = p + 1 features, in the kernels' float32."""

    centre: Float32
    """(m,)"""
    inverse_spread: Float32
    """(m,); 0 for a feature that has no part."""
    linear: Float32
    """(m,)"""
    quadratic: Float32
    """(m, m), upper triangle."""
    constant: np.float32
    clip: np.float32
    """Normalised features are clipped to plus and minus this."""
    lowest: np.float32
    """Of the logarithm, as the next."""
    highest: np.float32


@compiled  # type: ignore[untyped-decorator]
def log_scale(before: Float32, valid: NDArray[np.bool_], whitener: Float32, curve: Curve, out: Float32) -> None:
    """Write the logarithm (h, w) of the expected squared distance of pixels before (p, h, w); 0 where not valid."""
    p, height, width = before.shape
    for x0 in range(0, width, _STRIP):
        size = min(_STRIP, width - x0)
        columns = (size + _VECTORS - 1) // _VECTORS * _VECTORS
        white = np.zeros((3, p, columns + _VECTORS), np.float32)
        mask = np.zeros((3, columns + _VECTORS), np.float32)
        features = np.empty((p + 1, columns), np.float32)
        buffers = np.empty((4, columns), np.float32)
        raw = np.zeros((p, columns + _VECTORS), np.float32)
        _load(before, valid, 0, x0, raw, whitener, white, mask)
        for y in range(height):
            _load(before, valid, y + 1, x0, raw, whitener, white, mask)
            _brightness(before, valid, y, x0, size, features)
            _log_texture(white, mask, y, buffers, features[p])
            _predict(features, curve, buffers[0], buffers[3])
            for k in range(size):
                out[y, x0 + k] = buffers[3, k] if valid[y, x0 + k] else np.float32(0)


@compiled  # type: ignore[untyped-decorator]
def scaled_distance2(
    pair: tuple[Float32, Float32],
    valid: NDArray[np.bool_],
    mean: Float32,
    whitener: Float32,
    curve: Curve,
    log_factor: np.float32,
    out: Float32,
) -> None:
    """Write D^2 of after - before, (h, w), times exp(log_factor), divided by its expectation; 0 where not valid."""
    before, after = pair
    p, height, width = before.shape
    for x0 in range(0, width, _STRIP):
        size = min(_STRIP, width - x0)
        columns = (size + _VECTORS - 1) // _VECTORS * _VECTORS
        white = np.zeros((3, p, columns + _VECTORS), np.float32)
        mask = np.zeros((3, columns + _VECTORS), np.float32)
        features = np.empty((p + 1, columns), np.float32)
        buffers = np.empty((4, columns), np.float32)
        raw = np.zeros((p, columns + _VECTORS), np.float32)
        difference = np.zeros((p, columns), np.float32)
        squared = np.empty(columns, np.float32)
        _load(before, valid, 0, x0, raw, whitener, white, mask)
        for y in range(height):
            _load(before, valid, y + 1, x0, raw, whitener, white, mask)
            _brightness(before, valid, y, x0, size, features)
            _log_texture(white, mask, y, buffers, features[p])
            _predict(features, curve, buffers[0], buffers[3])
            _difference(before, after, valid, mean, y, x0, size, difference)
            _squares(difference, whitener, buffers[0], squared)
            for k in range(columns):
                buffers[1, k] = np.exp(log_factor - buffers[3, k])
            for k in range(columns):
                squared[k] *= buffers[1, k]
            for k in range(size):
                out[y, x0 + k] = squared[k] if valid[y, x0 + k] else np.float32(0)


@compiled  # type: ignore[untyped-decorator]
def distance2(
    pair: tuple[Float32, Float32], valid: NDArray[np.bool_], mean: Float32, whitener: Float32, out: Float32
) -> None:
    """Write D^2 of after - before, (h, w): squared length of W (difference - mean); 0 where not valid."""
    before, after = pair
    p, height, width = before.shape
    for x0 in range(0, width, _STRIP):
        size = min(_STRIP, width - x0)
        columns = (size + _VECTORS - 1) // _VECTORS * _VECTORS
        difference = np.zeros((p, columns), np.float32)
        buffer, squared = np.empty(columns, np.float32), np.empty(columns, np.float32)
        for y in range(height):
            _difference(before, after, valid, mean, y, x0, size, difference)
            _squares(difference, whitener, buffer, squared)
            for k in range(size):
                out[y, x0 + k] = squared[k] if valid[y, x0 + k] else np.float32(0)


@compiled  # type: ignore[untyped-decorator]
def _load(
    before: Float32,
    valid: NDArray[np.bool_],
    y: int,
    x0: int,
    raw: Float32,
    whitener: Float32,
    white: Float32,
    mask: Float32,
) -> None:
    """Whiten row y of a strip, one column more on either side, into the ring of three; outside is not valid."""
    p, height, width = before.shape
    row = mask[y % 3]
    row[:] = np.float32(0)
    if y >= height:
        return
    begin, end = max(x0 - 1, 0), min(x0 + raw.shape[1] - _VECTORS + 1, width)
    shift = begin - x0 + 1
    usable = valid[y, begin:end]
    for k in range(usable.size):
        row[shift + k] = np.float32(1) if usable[k] else np.float32(0)
    for band in range(p):
        source, target = before[band, y, begin:end], raw[band, shift:]
        for k in range(usable.size):
            target[k] = source[k] if usable[k] else np.float32(0)
    out = white[y % 3]
    for i in range(p):
        _whitened(raw, whitener, i, out[i])


@compiled  # type: ignore[untyped-decorator]
def _whitened(rows: Float32, whitener: Float32, i: int, out: Float32) -> None:
    """Write component i of W rows (p, n)."""
    own, weight = rows[i], whitener[i, i]
    for k in range(out.size):
        out[k] = weight * own[k]
    for j in range(i):
        other, weight = rows[j], whitener[i, j]
        for k in range(out.size):
            out[k] += weight * other[k]


@compiled  # type: ignore[untyped-decorator]
def _brightness(before: Float32, valid: NDArray[np.bool_], y: int, x0: int, size: int, features: Float32) -> None:
    """Write the square root of each band, a little more than zero, for dark noise; of photons otherwise."""
    usable = valid[y, x0 : x0 + size]
    for band in range(before.shape[0]):
        source, target = before[band, y, x0 : x0 + size], features[band]
        target[:] = np.float32(0)
        for k in range(size):
            target[k] = source[k] if usable[k] and source[k] > 0 else np.float32(0)
        for k in range(target.size):
            target[k] = np.sqrt(target[k] + _DARK)


@compiled  # type: ignore[untyped-decorator]
def _log_texture(white: Float32, mask: Float32, y: int, buffers: Float32, out: Float32) -> None:
    """Write the logarithm of the spread of a whitened image over 3x3 valid pixels, all bands together.

    Deviations from the middle pixel are summed, not the values: the difference of large squares would drown in float32.
    """
    columns = out.size
    weight, total, squares = buffers[0], buffers[1], buffers[2]
    weight[:] = np.float32(0)
    out[:] = np.float32(0)
    for dy in range(2, 5):
        row = mask[(y + dy) % 3]
        left, middle, right = row[:columns], row[1 : columns + 1], row[2 : columns + 2]
        for k in range(columns):
            weight[k] += left[k] + middle[k] + right[k]
    for k in range(columns):
        weight[k] = np.float32(1) / max(weight[k], np.float32(1))
    for band in range(white.shape[1]):
        total[:] = np.float32(0)
        squares[:] = np.float32(0)
        centre = white[y % 3, band, 1 : columns + 1]
        for dy in range(2, 5):
            _add_deviations(white[(y + dy) % 3, band], mask[(y + dy) % 3], centre, total, squares)
        for k in range(columns):
            mean = total[k] * weight[k]
            out[k] += squares[k] * weight[k] - mean * mean
    for k in range(columns):
        out[k] = np.sqrt(out[k] if out[k] > 0 else np.float32(0)) + _SMOOTH
    for k in range(columns):
        out[k] = np.log(out[k])


@compiled  # type: ignore[untyped-decorator]
def _add_deviations(row: Float32, mask: Float32, centre: Float32, total: Float32, squares: Float32) -> None:
    """Add the deviations, and their squares, of three neighbours in a row from the middle pixel."""
    columns = centre.size
    for dx in range(3):
        value, usable = row[dx : dx + columns], mask[dx : dx + columns]
        for k in range(columns):
            deviation = value[k] - centre[k]
            counted = usable[k] * deviation
            total[k] += counted
            squares[k] += counted * deviation


@compiled  # type: ignore[untyped-decorator]
def _predict(features: Float32, curve: Curve, inner: Float32, out: Float32) -> None:
    """Normalise the features in place and write their quadratic, within its bounds."""
    m = features.shape[0]
    clip = curve.clip
    out[:] = curve.constant
    for i in range(m):
        row, centre, inverse = features[i], curve.centre[i], curve.inverse_spread[i]
        for k in range(row.size):
            row[k] = min(max((row[k] - centre) * inverse, -clip), clip)
    for i in range(m):
        inner[:] = curve.linear[i]
        for j in range(i, m):
            weight, row = curve.quadratic[i, j], features[j]
            for k in range(inner.size):
                inner[k] += weight * row[k]
        row = features[i]
        for k in range(out.size):
            out[k] += row[k] * inner[k]
    lowest, highest = curve.lowest, curve.highest
    for k in range(out.size):
        out[k] = min(max(out[k], lowest), highest)


@compiled  # type: ignore[untyped-decorator]
def _difference(
    before: Float32,
    after: Float32,
    valid: NDArray[np.bool_],
    mean: Float32,
    y: int,
    x0: int,
    size: int,
    out: Float32,
) -> None:
    """Write after - before - mean of a row; 0 where not valid."""
    usable = valid[y, x0 : x0 + size]
    for band in range(before.shape[0]):
        old, new, middle = before[band, y, x0 : x0 + size], after[band, y, x0 : x0 + size], mean[band]
        target = out[band]
        for k in range(size):
            target[k] = new[k] - old[k] - middle if usable[k] else np.float32(0)


@compiled  # type: ignore[untyped-decorator]
def _squares(difference: Float32, whitener: Float32, buffer: Float32, out: Float32) -> None:
    """Write the squared length of W difference (p, n)."""
    out[:] = np.float32(0)
    for i in range(difference.shape[0]):
        _whitened(difference, whitener, i, buffer)
        for k in range(out.size):
            out[k] += buffer[k] * buffer[k]
