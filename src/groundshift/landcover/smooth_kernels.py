"""Smoothing of class probabilities and of class maps: compiled, a row of pixels at a time, in buffers of fixed width.

Each kernel does rows[0] to rows[1] - 1 and writes to its output there, so that threads can share the rows. What a pixel
gets is computed from its own neighbours in one fixed order, so it gets the same bits wherever a block begins; products
are not fused with sums, because the compiler would fuse them differently at the end of a loop.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Rows = tuple[int, int]

COLUMNS = 256
"""Pixels of a row that are computed together."""
_LOG2_E = np.float32(1.4426950408889634)
_SMALLEST = np.float32(-126)
"""Exponent of the least float32 that is not denormal: what would weigh less weighs nothing to speak of."""

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@compiled  # type: ignore[untyped-decorator]
def bilateral(p: Float32, spatial: Float32, steepness: np.float32, rows: Rows, out: Float32) -> None:
    """Write the weighted mean of the class vectors around each pixel, rescaled to a sum of 1; (class, y, x).

    ``spatial`` (2 r + 1, 2 r + 1) are the weights of the distance on the ground; a neighbour whose vector differs by d
    is weighted with exp(-steepness d**2) besides. A pixel whose sum is not above 0 is none.
    """
    classes, _, width = p.shape
    r = len(spatial) // 2
    near = np.zeros((2 * r + 1, classes, COLUMNS + 2 * r), np.float32)
    known = np.zeros((2 * r + 1, COLUMNS + 2 * r), np.float32)
    total, share = np.empty((classes, COLUMNS), np.float32), np.empty(COLUMNS, np.float32)
    weight, whole = np.empty(COLUMNS, np.float32), np.empty(COLUMNS, np.int32)
    power = whole.view(np.float32)
    for x0 in range(0, width, COLUMNS):
        for y in range(rows[0] - r, rows[0] + r):
            _load(p, y, x0, r, near[y % len(near)], known[y % len(near)])
        for y in range(rows[0], rows[1]):
            last = (y + r) % len(near)
            _load(p, y + r, x0, r, near[last], known[last])
            here = y % len(near)
            total[:] = 0
            share[:] = 0
            for dy in range(-r, r + 1):
                there = (y + dy) % len(near)
                for dx in range(2 * r + 1):
                    weight[:] = 0
                    for k in range(classes):
                        a, b = near[here, k, r : r + COLUMNS], near[there, k, dx : dx + COLUMNS]
                        for x in range(COLUMNS):
                            weight[x] += (a[x] - b[x]) * (a[x] - b[x])
                    _exponential(weight, -steepness * _LOG2_E, whole, power)
                    usable = known[there, dx : dx + COLUMNS]
                    for x in range(COLUMNS):
                        weight[x] *= spatial[dy + r, dx] * usable[x]
                        share[x] += weight[x]
                    for k in range(classes):
                        b = near[there, k, dx : dx + COLUMNS]
                        for x in range(COLUMNS):
                            total[k, x] += weight[x] * b[x]
            _write_shares(total, known[here, r : r + COLUMNS], share, out[:, y, x0 : x0 + COLUMNS])


@compiled  # type: ignore[untyped-decorator]
def _load(p: Float32, y: int, x0: int, r: int, near: Float32, known: Float32) -> None:
    """Copy a row from column x0 - r on; 0 and not known where there is no pixel or no data."""
    classes, height, width = p.shape
    near[:] = 0
    known[:] = 0
    if not 0 <= y < height:
        return
    begin, end = max(0, x0 - r), min(width, x0 + COLUMNS + r)
    for k in range(classes):
        for x in range(begin, end):
            near[k, x - x0 + r] = p[k, y, x]
            known[x - x0 + r] += p[k, y, x]
    for x in range(begin - x0 + r, end - x0 + r):
        known[x] = np.float32(1) if known[x] > 0 else np.float32(0)
    for k in range(classes):
        for x in range(begin - x0 + r, end - x0 + r):
            near[k, x] = near[k, x] if known[x] > 0 else np.float32(0)


@compiled  # type: ignore[untyped-decorator]
def _exponential(values: Float32, factor: np.float32, whole: NDArray[np.int32], power: Float32) -> None:
    """Replace each value, 0 or more, by 2 ** (factor * value), within 2e-7 of it; ``power`` are the bits of ``whole``.

    The whole part of the exponent becomes the exponent of a float32, the rest goes through its Taylor polynomial.
    """
    for x in range(values.size):
        z = max(factor * values[x], _SMALLEST)
        floor = np.floor(z + np.float32(0.5))
        f = (z - floor) * np.float32(0.6931471805599453)
        whole[x] = (np.int32(floor) + 127) << 23
        tail = np.float32(1 / 24) + f * (np.float32(1 / 120) + f * np.float32(1 / 720))
        tail = np.float32(1 / 2) + f * (np.float32(1 / 6) + f * tail)
        values[x] = np.float32(1) + f * (np.float32(1) + f * tail)
    for x in range(values.size):
        values[x] *= power[x]


@compiled  # type: ignore[untyped-decorator]
def _write_shares(total: Float32, known: Float32, share: Float32, out: Float32) -> None:
    share[:] = 0
    for k in range(len(total)):
        for x in range(share.size):
            share[x] += total[k, x]
    for k in range(len(total)):
        for x in range(out.shape[1]):
            out[k, x] = total[k, x] / share[x] if known[x] > 0 else np.float32(np.nan)


# ---- Bayesian ------------------------------------------------------------------------------------------------------


@compiled  # type: ignore[untyped-decorator]
def log_odds(p: Float32, least: float, rows: Rows, out: Float32) -> None:
    """Write ln(p / (1 - p)), p kept ``least`` away from 0 and 1; NaN in all classes where the sum is not above 0."""
    classes, _, width = p.shape
    for y in range(rows[0], rows[1]):
        for x in range(width):
            total = np.float32(0)
            for k in range(classes):
                total += p[k, y, x]
            for k in range(classes):
                value = min(max(np.float64(p[k, y, x]), least), 1 - least)
                out[k, y, x] = np.log(value / (1 - value)) if total > 0 else np.nan


@compiled  # type: ignore[untyped-decorator]
def mirrored(i: int, size: int) -> int:
    """Index of a pixel beyond the border: the image is mirrored there, its last pixel too."""
    i %= 2 * size
    return 2 * size - 1 - i if i >= size else i


@compiled  # type: ignore[untyped-decorator]
def bayes_all(x: Float32, r: int, variance: NDArray[np.float64], rows: Rows, out: Float32) -> None:
    """Write log-odds (class, y, x) drawn to the mean of all neighbours within ``r``, by two sums over the window.

    Each sum is made anew from its columns for every pixel: a running one would remember where the block began.
    """
    classes, height, width = x.shape
    sums = np.empty((3, width + 2 * r))
    window = np.empty((3, width))
    for k in range(classes):
        for y in range(rows[0], rows[1]):
            sums[:] = 0
            for dy in range(-r, r + 1):
                line = x[k, mirrored(y + dy, height)]
                for i in range(width):
                    there = line[i] == line[i]
                    value = np.float64(line[i]) if there else 0.0
                    sums[0, i + r] += 1.0 if there else 0.0
                    sums[1, i + r] += value
                    sums[2, i + r] += value * value
            for i in range(r):
                for j in range(3):
                    sums[j, i] = sums[j, r + mirrored(i - r, width)]
                    sums[j, width + r + i] = sums[j, r + mirrored(width + i, width)]
            for j in range(3):
                window[j] = 0
                for dx in range(2 * r + 1):
                    for i in range(width):
                        window[j, i] += sums[j, i + dx]
            for i in range(width):
                n, mean = window[0, i], window[1, i] / window[0, i]
                spread = max((window[2, i] - n * mean * mean) / max(n - 1, 1.0), 0.0)
                out[k, y, i] = _drawn(x[k, y, i], mean, spread, variance[k])


@compiled  # type: ignore[untyped-decorator]
def _drawn(value: float, mean: float, spread: float, variance: float) -> float:
    """The mean of the posterior of a value of known variance, given mean and variance of its neighbourhood."""
    if value != value:
        return float(np.nan)
    if spread < 1e-4:
        return mean
    return (spread * value + variance * mean) / (spread + variance)


@compiled  # type: ignore[untyped-decorator]
def bayes_top(x: Float32, r: int, share: float, variance: NDArray[np.float64], rows: Rows, out: Float32) -> None:
    """Write log-odds (class, y, x) drawn to the mean of the highest ``share`` of the neighbours within ``r``.

    Values are whole numbers of steps of 2**-20, so that sums of them are exact in any order. From pixel to pixel the
    pivot, the least of the highest, moves by a few places only, each of them found in one look over the window.
    """
    classes, _, width = x.shape
    side = 2 * r + 1
    column_of = np.array([mirrored(c - r, width) for c in range(width + 2 * r)])
    stack = np.empty((width + 2 * r) * side, np.int32)
    for k in range(classes):
        for y in range(rows[0], rows[1]):
            _stack(x[k], y, r, column_of, stack)
            pivot = np.int32(0)
            known, above, equal = _counted(stack, 0, side * side, pivot)
            for i in range(width):
                if i > 0:
                    come = _counted(stack, (i + 2 * r) * side, (i + 2 * r + 1) * side, pivot)
                    gone = _counted(stack, (i - 1) * side, i * side, pivot)
                    known, above, equal = (
                        known + come[0] - gone[0],
                        above + come[1] - gone[1],
                        equal + come[2] - gone[2],
                    )
                own = stack[(i + r) * side + r]
                if own == _UNKNOWN:
                    out[k, y, i] = np.float32(np.nan)
                    continue
                begin, end, used = i * side, (i + side) * side, max(1, int(np.ceil(share * known)))
                while above >= used:
                    pivot = _next_above(stack, begin, end, pivot)
                    equal = _counted(stack, begin, end, pivot)[2]
                    above -= equal
                while above + equal < used:
                    above += equal
                    pivot = _next_below(stack, begin, end, pivot)
                    equal = _counted(stack, begin, end, pivot)[2]
                total, squares = _sums_above(stack, begin, end, pivot)
                rest, least = used - above, np.int64(pivot)
                total += rest * least
                squares += rest * least * least
                mean = total / used
                spread = max(squares - total * mean, 0.0) / max(used - 1, 1)
                out[k, y, i] = _drawn(_STEP * own, _STEP * mean, _STEP * _STEP * spread, variance[k])


_STEP = 2.0**-20
_UNKNOWN, _NEVER_ABOVE = np.int32(-(2**31)), np.int32(2**31 - 1)


@compiled  # type: ignore[untyped-decorator]
def _stack(layer: Float32, y: int, r: int, column_of: NDArray[np.int64], stack: NDArray[np.int32]) -> None:
    """Write, column by column from r before the first on, the values within r rows of y, in steps."""
    side = 2 * r + 1
    for dy in range(side):
        row = layer[mirrored(y + dy - r, layer.shape[0])]
        for c in range(len(column_of)):
            value = row[column_of[c]]
            stack[c * side + dy] = np.int32(np.rint(value * np.float32(1 / _STEP))) if value == value else _UNKNOWN


# Loops over unsigned numbers, and sums cast back to what they were: so the compiler takes eight values at a time.


@compiled  # type: ignore[untyped-decorator]
def _counted(values: NDArray[np.int32], begin: int, end: int, pivot: np.int32) -> tuple[np.int32, np.int32, np.int32]:
    """How many are known, above the pivot, and equal to it."""
    known, above, equal = np.int32(0), np.int32(0), np.int32(0)
    for j in range(np.uint64(begin), np.uint64(end)):
        known = np.int32(known + (values[j] != _UNKNOWN))
        above = np.int32(above + (values[j] > pivot))
        equal = np.int32(equal + (values[j] == pivot))
    return known, above, equal


@compiled  # type: ignore[untyped-decorator]
def _next_above(values: NDArray[np.int32], begin: int, end: int, pivot: np.int32) -> np.int32:
    best = _NEVER_ABOVE
    for j in range(np.uint64(begin), np.uint64(end)):
        best = min(best, values[j] if values[j] > pivot else _NEVER_ABOVE)
    return best


@compiled  # type: ignore[untyped-decorator]
def _next_below(values: NDArray[np.int32], begin: int, end: int, pivot: np.int32) -> np.int32:
    best = _UNKNOWN
    for j in range(np.uint64(begin), np.uint64(end)):
        best = max(best, values[j] if values[j] < pivot else _UNKNOWN)
    return best


@compiled  # type: ignore[untyped-decorator]
def _sums_above(values: NDArray[np.int32], begin: int, end: int, pivot: np.int32) -> tuple[np.int64, np.int64]:
    """Sum and sum of squares of what is above the pivot."""
    total, squares = np.int64(0), np.int64(0)
    for j in range(np.uint64(begin), np.uint64(end)):
        kept = np.int64(values[j]) if values[j] > pivot else np.int64(0)
        total += kept
        squares += kept * kept
    return total, squares


@compiled  # type: ignore[untyped-decorator]
def shares_of(x: Float32, rows: Rows, out: Float32) -> None:
    """Write probabilities of log-odds (class, y, x), rescaled to a sum of 1."""
    classes, _, width = x.shape
    for y in range(rows[0], rows[1]):
        for i in range(width):
            total = np.float32(0)
            for k in range(classes):
                out[k, y, i] = np.float32(1) / (np.float32(1) + np.exp(-x[k, y, i]))
                total += out[k, y, i]
            for k in range(classes):
                out[k, y, i] /= total


# ---- majority ------------------------------------------------------------------------------------------------------


@compiled  # type: ignore[untyped-decorator]
def majority(codes: NDArray[np.uint8], slot: NDArray[np.int64], r: int, rows: Rows, out: NDArray[np.uint8]) -> None:
    """Write the most frequent code within ``r`` of each pixel, the pixel's own where two are equally frequent.

    ``slot`` (256,) numbers the codes that vote, -1 the others, which stay as they are.
    """
    height, width = codes.shape
    voters = slot.max() + 1
    code_of = np.zeros(max(voters, 1), np.uint8)
    for code in range(256):
        if slot[code] >= 0:
            code_of[slot[code]] = code
    count = np.zeros(max(voters, 1), np.int64)
    for y in range(rows[0], rows[1]):
        top, bottom = max(0, y - r), min(height, y + r + 1)
        count[:] = 0
        for i in range(min(r, width)):
            _vote(codes, slot, top, bottom, i, 1, count)
        for i in range(width):
            if i + r < width:
                _vote(codes, slot, top, bottom, i + r, 1, count)
            if i - r > 0:
                _vote(codes, slot, top, bottom, i - r - 1, -1, count)
            own = codes[y, i]
            out[y, i] = own
            if slot[own] < 0:
                continue
            best, most, tied = 0, 0, False
            for k in range(voters):
                if count[k] > most:
                    best, most, tied = k, count[k], False
                elif count[k] == most:
                    tied = True
            out[y, i] = own if tied else code_of[best]


@compiled  # type: ignore[untyped-decorator]
def _vote(
    codes: NDArray[np.uint8], slot: NDArray[np.int64], top: int, bottom: int, i: int, by: int, count: Any
) -> None:
    for y in range(top, bottom):
        k = slot[codes[y, i]]
        if k >= 0:
            count[k] += by
