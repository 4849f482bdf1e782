"""Minimum mapping unit: regions of a class map that are too small are given to a neighbour.

A region is made of pixels of one class that touch. It is too small with fewer pixels than asked for, unless its class
is exempt (roads and rivers are narrow, and still there). Its taker is the one of its neighbours that is not too small
itself whose class has the highest sum of probabilities over the region. Small regions among small ones wait until one
of their neighbours has grown: rounds go on until nothing changes. What is left then has no neighbour large enough.

Law of one round: a block that is read with ``halo_px`` more pixels on each side gets what the whole image gets. A small
region and its neighbourhood cannot reach farther than it has pixels, nor need a neighbour be followed farther to be
known as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.model.legend import NO_CHANGE, NO_DATA
from groundshift.numerics.regions import label

Float32 = NDArray[np.float32]
Codes = NDArray[np.uint8]

_STEPS = np.array([(0, 1), (1, 0), (1, -1), (1, 1)])
"""To the neighbours that follow in scan order; the first two over sides."""


@dataclass(frozen=True, kw_only=True)
class MappingUnit:
    """Which regions are too small."""

    minimum_px: int = 10
    """A region of fewer pixels is given away. iota2's first pass; 10 pixels of 10 m are a tenth of a hectare."""
    corners: bool = False
    """Pixels that touch at a corner only are of one region. Not so in polygons of regions, which are to be no smaller
    either; iota2 sieves with corners first, and without them last."""
    exempt: tuple[int, ...] = ()
    """Codes whose regions are never given away."""

    def __post_init__(self) -> None:
        if not 1 <= self.minimum_px <= 10_000:
            raise UsageError(f"the minimum mapping unit is {self.minimum_px} pixels: expected 1 to 10000.")

    @property
    def halo_px(self) -> int:
        """Pixels beyond a block that one round depends on."""
        return 2 * self.minimum_px


def absorb(
    codes: Codes,
    unit: MappingUnit,
    probabilities: Float32 | None = None,
    classes: Sequence[int] = (),
) -> Codes:
    """Give each region that is too small to a neighbour that is not: one round.

    Args:
        codes: (y, x) uint8; 0 (none) and 255 (no data) neither give nor take.
        unit: what is too small.
        probabilities: (class, y, x) float32 or any integer type, NaN counts as 0; None: the neighbour with the
            longest common border takes.
        classes: code of each layer of the probabilities.

    Returns:
        (y, x) uint8. Of equals the lowest code takes. Where nothing is too small, or nothing can take, it is equal to
        ``codes``.

    Raises:
        InputError: arrays that do not fit.
    """
    if codes.ndim != 2 or codes.dtype != np.uint8:
        raise InputError(f"the map is {codes.dtype} {codes.shape}: expected uint8 (y, x).")
    if probabilities is not None and probabilities.shape != (len(classes), *codes.shape):
        raise InputError(
            f"probabilities are {probabilities.shape}: expected {(len(classes), *codes.shape)}, a layer a code."
        )
    region, first = label(np.ascontiguousarray(codes), NO_CHANGE, NO_DATA, unit.corners)
    if not len(first):
        return codes.copy()
    present, code = np.unique(codes.reshape(-1)[first], return_inverse=True)
    size = np.bincount(region[region >= 0], minlength=len(first))
    small = (size < unit.minimum_px) & ~np.isin(present[code], unit.exempt)
    number = np.where(small, np.cumsum(small) - 1, -1)
    shape = int(small.sum()), len(present)
    border = _borders(region, code, number, size >= unit.minimum_px, shape, 4 if unit.corners else 2)
    if not border.any():
        return codes.copy()
    score = border.astype(np.float64)
    if probabilities is not None:
        layers = [list(classes).index(each) if each in classes else -1 for each in present]
        score = _sums(region, number, probabilities, np.array(layers), shape)
    score[border == 0] = -1
    taker = np.where(border.any(axis=1), present[score.argmax(axis=1)], NO_CHANGE)
    given = np.append(np.where(number >= 0, np.append(taker, NO_CHANGE)[number], NO_CHANGE), NO_CHANGE)
    taken = given.astype(np.uint8)[region]
    return np.where(taken != NO_CHANGE, taken, codes)


def sieve(
    codes: Codes,
    unit: MappingUnit | None = None,
    probabilities: Float32 | None = None,
    classes: Sequence[int] = (),
) -> Codes:
    """:func:`absorb`, round after round until nothing changes, for a map that fits in memory."""
    unit = unit or MappingUnit()
    while True:
        done = absorb(codes, unit, probabilities, classes)
        if np.array_equal(done, codes):
            return done
        codes = done


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _borders(
    region: NDArray[np.int32],
    code: NDArray[np.int64],
    number: NDArray[np.int64],
    large: NDArray[np.bool_],
    shape: tuple[int, int],
    steps: int,
) -> NDArray[np.int32]:
    """(small region, code): how often it touches a large region of that code."""
    height, width = region.shape
    found = np.zeros(shape, np.int32)
    for y in range(height):
        for x in range(width):
            here = region[y, x]
            if here < 0:
                continue
            for step in range(steps):
                v, u = y + _STEPS[step, 0], x + _STEPS[step, 1]
                if v >= height or not 0 <= u < width:
                    continue
                there = region[v, u]
                if there < 0 or there == here:
                    continue
                if number[here] >= 0 and large[there]:
                    found[number[here], code[there]] += 1
                elif number[there] >= 0 and large[here]:
                    found[number[there], code[here]] += 1
    return found


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _sums(
    region: NDArray[np.int32],
    number: NDArray[np.int64],
    p: Float32,
    layers: NDArray[np.int64],
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """(small region, code): sum of the probabilities of that code over it, in scan order."""
    total = np.zeros(shape)
    for k in range(len(layers)):
        if layers[k] < 0:
            continue
        for y in range(region.shape[0]):
            for x in range(region.shape[1]):
                if region[y, x] >= 0 and number[region[y, x]] >= 0:
                    value = np.float64(p[layers[k], y, x])
                    total[number[region[y, x]], k] += value if value == value else 0.0
    return total
