"""Ensembles of decision trees, evaluated: compiled, a block of rows at a time, trees outermost.

A block holds one line a *column*: a feature with what stands in for its missing values, so that a node is one
comparison, ``value <= threshold``, true = left; NaN goes right, minus infinity left.

Small trees know the way by bits (C. Lucchese et al. 2015, QuickScorer; T. Ye et al. 2018, RapidScorer): every leaf is a
bit, a node whose comparison is false removes the leaves of its left branch, and the lowest bit that stays is the leaf.
All nodes of a tree are looked at, for many rows at once, without a branch. Larger trees are walked, a level at a time.
Sums are in double precision, in the order of the trees: the same bits whatever the block.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]

ROWS = 64
"""Of a block: 250 columns of it take 64 KB."""
UNROLLED = 4
"""Nodes that are looked at together; a tree is filled up with nodes that remove nothing."""

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@compiled  # type: ignore[untyped-decorator]
def _fill(
    values: Float32, start: int, feature: Int32, missing: Float32, zero_missing: NDArray[np.bool_], block: Float32
) -> None:
    """Write rows from ``start`` on to a block (column, row); rows beyond the last repeat it."""
    last = values.shape[0] - 1
    for c in range(feature.size):
        source, instead, zeros = feature[c], missing[c], zero_missing[c]
        for r in range(ROWS):
            value = values[min(start + r, last), source]
            absent = value != value or (zeros and abs(value) <= np.float32(1e-35))
            block[c, r] = instead if absent else value


@compiled  # type: ignore[untyped-decorator]
def by_bits(
    values: Float32,
    rows: tuple[int, int],
    columns: tuple[Int32, Float32, NDArray[np.bool_]],
    first: Int32,
    column: Int32,
    threshold: Float32,
    kept: NDArray[np.unsignedinteger],
    leaf: Float64,
    multiplier: np.unsignedinteger,
    shift: int,
    sums: Float64,
) -> None:
    """Add the leaves of all trees to sums (row, output) of rows[0] to rows[1] - 1.

    Tree t has the nodes first[t] to first[t + 1] - 1, a multiple of UNROLLED, and counts to output t modulo outputs.
    The value of the leaf whose bit is b stands in leaf[t] at (b * multiplier) >> shift: the sequence of de Bruijn.
    """
    block = np.empty((columns[0].size, ROWS), np.float32)
    outputs = sums.shape[1]
    total = np.empty((outputs, ROWS))
    alive = np.empty(ROWS, kept.dtype)
    for start in range(rows[0], rows[1], ROWS):
        _fill(values, start, columns[0], columns[1], columns[2], block)
        total[:] = 0.0
        for t in range(first.size - 1):
            alive[:] = ~kept.dtype.type(0)
            for i in range(first[t], first[t + 1], UNROLLED):
                c0, c1, c2, c3 = column[i], column[i + 1], column[i + 2], column[i + 3]
                t0, t1, t2, t3 = threshold[i], threshold[i + 1], threshold[i + 2], threshold[i + 3]
                k0, k1, k2, k3 = kept[i], kept[i + 1], kept[i + 2], kept[i + 3]
                for r in range(ROWS):
                    a = alive[r]
                    a = a if block[c0, r] <= t0 else a & k0
                    a = a if block[c1, r] <= t1 else a & k1
                    a = a if block[c2, r] <= t2 else a & k2
                    a = a if block[c3, r] <= t3 else a & k3
                    alive[r] = a
            for r in range(ROWS):
                alive[r] = (alive[r] & (~alive[r] + kept.dtype.type(1))) * multiplier
            output = t % outputs
            for r in range(ROWS):
                total[output, r] += leaf[t, alive[r] >> shift]
        for r in range(min(ROWS, rows[1] - start)):
            for o in range(outputs):
                sums[start + r, o] += total[o, r]


@compiled  # type: ignore[untyped-decorator]
def by_levels(
    values: Float32,
    rows: tuple[int, int],
    columns: tuple[Int32, Float32, NDArray[np.bool_]],
    root: Int32,
    column: Int32,
    threshold: Float32,
    left: Int32,
    leaf: Float64,
    sums: Float64,
) -> None:
    """Add the leaves of all trees to sums (row, output) of rows[0] to rows[1] - 1.

    The children of node i are left[i] and left[i] + 1. A leaf is its own left child, where the infinite
    threshold of a column without NaN leads.
    leaf is (node, width): of width 1, tree t counts to output t modulo outputs; else a node has a value an output.
    """
    block = np.empty((columns[0].size, ROWS), np.float32)
    outputs = sums.shape[1]
    total = np.empty((ROWS, outputs))
    at = np.empty(ROWS, np.int32)
    for start in range(rows[0], rows[1], ROWS):
        _fill(values, start, columns[0], columns[1], columns[2], block)
        total[:] = 0.0
        for t in range(root.size):
            at[:] = root[t]
            moved = True
            while moved:
                moved = False
                for r in range(ROWS):
                    node = at[r]
                    below = left[node] + (not block[column[node], r] <= threshold[node])
                    moved |= below != node
                    at[r] = below
            if leaf.shape[1] == 1:
                for r in range(ROWS):
                    total[r, t % outputs] += leaf[at[r], 0]
            else:
                for r in range(ROWS):
                    for o in range(outputs):
                        total[r, o] += leaf[at[r], o]
        for r in range(min(ROWS, rows[1] - start)):
            for o in range(outputs):
                sums[start + r, o] += total[r, o]
