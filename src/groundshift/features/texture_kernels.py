"""Textures of a moving window, compiled: a row of pixels at a time, in buffers of a fixed number of columns.

Contrast, dissimilarity, homogeneity and correlation are sums over pairs of pixels, so the matrix is not needed for
them: sums over columns of the window go down with it row by row, and are summed along the row. For entropy and angular
second moment the counts of the matrix are kept, and with each step of the window changed by the pairs that enter and
leave it (Clausi and Zhao 2002 keep them in lists); what a change of one adds is looked up. All sums are of integers:
they do not depend on the way of the window, and do not drift.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt16 = NDArray[np.uint16]
UInt32 = NDArray[np.uint32]
Rows = tuple[int, int]

COLUMNS = 512
"""Of a buffer; to fill a window anew at its beginning costs as much as a window's width of pixels."""
CLOSE_UNIT = 1 << 23
"""Of 1 / (1 + difference^2) as a whole number; 255 of them, a column of the largest window, fit into 32 bits."""
LOG_UNIT = 1 << 32
"""Of c ln c as a whole number."""
_CONTRAST, _DISSIMILARITY, _HOMOGENEITY, _ENERGY, _CORRELATION, _ENTROPY, _ASM = range(7)
_PAIRS, _SUM, _SQUARES, _GAPS, _GAPS2, _CLOSE = range(6)
_QUANTITIES = 6

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


class Plan(NamedTuple):
    """What the kernel looks up."""

    levels: int
    """A code of this value is missing."""
    ends: Int64
    """(direction, 2, 2): row and column of both pixels of a pair, in the smallest box around them."""
    boxes: Int64
    """(direction, 2): how many rows and columns of such boxes a window holds; their product is the possible pairs."""
    empty: UInt32
    """(cell,): the counters of a matrix before anything is counted: where the cell's steps begin."""
    steps: Int64
    """(count, 2): what one pair more adds to the sums of c ln c, in units of 1 / :data:`LOG_UNIT`, and of c^2."""
    one_cell: Int64
    """(pairs + 1,): c ln c, in the same units, of a matrix that has all its pairs in one cell."""
    features: Int64
    """Their numbers, in the order of the result."""
    counted: bool
    """Whether one of them needs the counts."""


@compiled  # type: ignore[untyped-decorator]
def textures(codes: UInt16, plan: Plan, rows: Rows, out: Float32) -> None:
    """Write the features (feature, y, x) of rows[0] to rows[1] - 1.

    The codes (y, x) reach half a window beyond the result on every side.
    """
    directions, height = len(plan.ends), plan.boxes[:, 0].max()
    reach = codes.shape[1] - out.shape[2]
    columns = np.empty((directions, _QUANTITIES, COLUMNS + reach), np.int32)
    keys = np.empty((directions, height, COLUMNS + reach), np.uint16)
    cells = plan.empty.copy()
    sums, counted = np.empty((_QUANTITIES, COLUMNS)), np.zeros((2, COLUMNS), np.int64)
    total, lacking = np.empty((len(plan.features), COLUMNS)), np.empty(COLUMNS, np.int64)
    for x0 in range(0, out.shape[2], COLUMNS):
        size = min(COLUMNS, out.shape[2] - x0)
        part = (x0, x0 + size + reach)
        columns[:] = 0
        for y in range(rows[0], rows[1]):
            total[:] = 0
            lacking[:] = 0
            for direction in range(directions):
                height, width = plan.boxes[direction, 0], plan.boxes[direction, 1]
                _move_down(codes, part, plan, direction, y, y == rows[0], columns[direction], keys[direction])
                _sum_along(columns[direction], width, size, sums)
                if plan.counted:
                    _count_along(keys[direction, :height], width, size, plan.steps, cells, counted)
                for k in range(size):
                    lacking[k] += 1 if 2 * sums[_PAIRS, k] < height * width else 0
                for f in range(len(plan.features)):
                    _add_feature(plan.features[f], sums, counted, plan.one_cell, size, total[f])
            for f in range(len(plan.features)):
                row = out[f, y, x0 : x0 + size]
                for k in range(size):
                    row[k] = total[f, k] / directions if lacking[k] == 0 else np.nan


@compiled  # type: ignore[untyped-decorator]
def _move_down(
    codes: UInt16, part: tuple[int, int], plan: Plan, direction: int, y: int, first: bool, columns: Int32, keys: UInt16
) -> None:
    """Bring the sums over columns, and the keys of the pairs in the window, to the window that begins at row y."""
    ends, height = plan.ends[direction], plan.boxes[direction, 0]
    if not first:
        one, other = _ends_of(codes, part, ends, y - 1)
        _add_pairs(one, other, plan.levels, np.float32(-1), columns)
    for row in range(y if first else y + height - 1, y + height):
        one, other = _ends_of(codes, part, ends, row)
        _add_pairs(one, other, plan.levels, np.float32(1), columns)
        if plan.counted:
            _write_keys(one, other, plan.levels, keys[row % height])


@compiled  # type: ignore[untyped-decorator]
def _ends_of(codes: UInt16, part: tuple[int, int], ends: Int64, row: int) -> tuple[UInt16, UInt16]:
    """The codes of both pixels of all pairs whose boxes begin in a row and lie in a part of the columns."""
    down, right, other_down, other_right = ends[0, 0], ends[0, 1], ends[1, 0], ends[1, 1]
    one = codes[row + down, part[0] + right : part[1] - other_right]
    other = codes[row + other_down, part[0] + other_right : part[1] - right]
    return one, other


@compiled  # type: ignore[untyped-decorator]
def _add_pairs(one: UInt16, other: UInt16, levels: int, sign: np.float32, columns: Int32) -> None:
    """Add what a row of pairs gives to the sums over columns, or take it away.

    What a single pair gives is below 2^24, so float32 holds it whole; with integers numba would widen to 64 bits.
    """
    missing, unit = np.float32(levels), np.float32(CLOSE_UNIT)
    number, total, squares = columns[_PAIRS], columns[_SUM], columns[_SQUARES]
    gaps, gaps2, close = columns[_GAPS], columns[_GAPS2], columns[_CLOSE]
    for k in range(len(one)):
        a, b = np.float32(one[k]), np.float32(other[k])
        known = sign if max(a, b) < missing else np.float32(0)
        number[k] += np.int32(known)
        total[k] += np.int32(known * (a + b))
        squares[k] += np.int32(known * (a * a + b * b))
    for k in range(len(one)):
        a, b = np.float32(one[k]), np.float32(other[k])
        known = sign if max(a, b) < missing else np.float32(0)
        gap = abs(a - b)
        gaps[k] += np.int32(known * gap)
        gaps2[k] += np.int32(known * gap * gap)
        close[k] += np.int32(known * np.rint(unit / (np.float32(1) + gap * gap)))


@compiled  # type: ignore[untyped-decorator]
def _write_keys(one: UInt16, other: UInt16, levels: int, keys: UInt16) -> None:
    """Write which cell each pair of a row belongs to: unordered pairs of levels, row by row of a triangle."""
    missing = np.uint32(levels)
    for k in range(len(one)):
        a, b = np.uint32(one[k]), np.uint32(other[k])
        high, low = max(a, b), min(a, b)
        keys[k] = high * (high + np.uint32(1)) // np.uint32(2) + (low if high < missing else np.uint32(0))


@compiled  # type: ignore[untyped-decorator]
def _sum_along(columns: Int32, width: int, size: int, sums: Float64) -> None:
    """Write the sums over windows of some columns."""
    for quantity in range(_QUANTITIES):
        column, out = columns[quantity], sums[quantity]
        running = np.int64(0)
        for k in range(width - 1):
            running += column[k]
        for k in range(size):
            running += column[k + width - 1]
            out[k] = running
            running -= column[k]


@compiled  # type: ignore[untyped-decorator]
def _count_along(keys: UInt16, width: int, size: int, steps: Int64, cells: UInt32, counted: Int64) -> None:
    """Write the sums of c ln c and of c^2 over the cells of each window's matrix; leaves the cells as they were.

    A pair that leaves while another of the same cell enters changes nothing: on even ground, most of them.
    """
    height, one = len(keys), np.uint32(1)
    logs, squares = np.int64(0), np.int64(0)
    for column in range(width):
        for row in range(height):
            key = keys[row, column]
            count = cells[key]
            logs += steps[count, 0]
            squares += steps[count, 1]
            cells[key] = count + one
    counted[0, 0], counted[1, 0] = logs, squares
    for k in range(1, size):
        for row in range(height):
            enters, leaves = keys[row, k - 1 + width], keys[row, k - 1]
            if enters != leaves:
                count = cells[enters]
                logs += steps[count, 0]
                squares += steps[count, 1]
                cells[enters] = count + one
                count = cells[leaves] - one
                logs -= steps[count, 0]
                squares -= steps[count, 1]
                cells[leaves] = count
        counted[0, k], counted[1, k] = logs, squares
    for row in range(height):
        for column in range(size - 1, size - 1 + width):
            cells[keys[row, column]] -= one


@compiled  # type: ignore[untyped-decorator]
def _add_feature(which: int, sums: Float64, counted: Int64, one_cell: Int64, size: int, total: Float64) -> None:
    """Add one feature of one matrix; where it has no pairs, anything."""
    pairs = sums[_PAIRS]
    if which == _CONTRAST:
        for k in range(size):
            total[k] += sums[_GAPS2, k] / pairs[k]
    elif which == _DISSIMILARITY:
        for k in range(size):
            total[k] += sums[_GAPS, k] / pairs[k]
    elif which == _HOMOGENEITY:
        for k in range(size):
            total[k] += sums[_CLOSE, k] / (CLOSE_UNIT * pairs[k])
    elif which == _CORRELATION:
        for k in range(size):
            variance = 2 * pairs[k] * sums[_SQUARES, k] - sums[_SUM, k] * sums[_SUM, k]
            total[k] += 1 - 2 * pairs[k] * sums[_GAPS2, k] / variance if variance > 0 else 1.0
    elif which == _ENTROPY:
        for k in range(size):
            total[k] += (one_cell[int(pairs[k])] - counted[0, k]) / (2 * LOG_UNIT * pairs[k])
    elif which == _ASM:
        for k in range(size):
            total[k] += counted[1, k] / (4 * pairs[k] * pairs[k])
    elif which == _ENERGY:
        for k in range(size):
            total[k] += np.sqrt(counted[1, k]) / (2 * pairs[k])
