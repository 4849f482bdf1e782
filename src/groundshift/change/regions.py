"""Change is a region, noise is not: which regions of the statistic are too large for the noise of the pair itself.

The statistic of real pairs exceeds any level in hundreds of little regions where nothing changed. How many there are
of each size tells how large noise grows at that level in this pair; what is larger is change. High levels believe a
few pixels, low ones a field. Sizes thus follow from the asked confidence and from the tail and the correlation of the
pair's own noise, as in cluster inference (Friston et al. 1994, Hum. Brain Mapp. 1, 210), without a model of either.

All of it works on codes of the statistic, one byte a pixel in eighths of an octave, strip by strip.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError

LEVELS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Levels of the statistic, in units of the threshold of chi-squared at the asked confidence."""
_PER_OCTAVE = 8
_LOWEST = 0.25
"""Statistic of code 1, in thresholds: below, nothing is ever change."""
_HIGHEST = 254

Codes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class RegionOptions:
    """How regions are told from noise. Defaults: measured on clear, planted and burnt pairs (benchmarks/)."""

    exponents: tuple[float, ...] = (2.0, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5)
    """By level: how fast regions of noise get rare, N(>= n) ~ n ** -exponent; percolating noise at low levels is
    slower. Real noise below its percolation falls faster, so that the law errs on the side of noise."""
    fewest: int = 50
    """Regions that the law must rest on: more than the changes that a scene usually holds."""
    share: float = 0.03
    """Of all regions of a level, that the law rests on."""
    growth_px: int = 2
    """Steps over which a region takes in neighbours of at least a quarter of its level."""
    trim: float = 0.2
    """A pixel on the rim with less than this share of the largest statistic near it is a mixed one (half an amplitude
    and less), and dropped."""

    def __post_init__(self) -> None:
        if len(self.exponents) != len(LEVELS) or min(self.exponents) <= 1:
            raise UsageError(f"there must be {len(LEVELS)} exponents above 1, not {self.exponents}.")
        if self.fewest < 1 or not 0 <= self.share < 1 or self.growth_px < 0 or not 0 <= self.trim < 1:
            raise UsageError(f"these options of regions cannot be: {self}.")

    @property
    def codes(self) -> tuple[int, ...]:
        """Code from which on the statistic is above each level."""
        return tuple(code_of(level) for level in LEVELS)

    @property
    def halo_px(self) -> int:
        """Pixels beyond a block that :func:`grow_and_trim` depends on: growth, rim, and five by five around it."""
        return self.growth_px + 3


def code_of(level: float) -> int:
    """Code of a statistic of ``level`` thresholds."""
    return max(1, 1 + math.floor(_PER_OCTAVE * math.log2(level / _LOWEST) + 1e-9))


def encode(statistic: NDArray[np.float32], threshold: float) -> Codes:
    """Return the codes (y, x) of a statistic (y, x): 0 below a quarter of the threshold, then eighths of octaves.

    Law: ``code >= code_of(level)`` exactly where ``statistic >= level * threshold`` for every level of the ladder.
    """
    edges = threshold * _LOWEST * np.exp2(np.arange(_HIGHEST) / _PER_OCTAVE)
    out = np.empty(statistic.shape, np.uint8)
    _encode(np.ascontiguousarray(statistic, np.float32), edges.astype(np.float32), out)
    return out


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _encode(statistic, edges, out):  # type: ignore[no-untyped-def]
    lowest = edges[0]
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            value = statistic[y, x]
            if not value >= lowest:
                out[y, x] = 0
                continue
            code = min(int(8.0 * math.log2(value / lowest)), edges.size - 1)
            while code + 1 < edges.size and value >= edges[code + 1]:
                code += 1
            while code > 0 and value < edges[code]:
                code -= 1
            out[y, x] = code + 1


# ---- the law of sizes ----------------------------------------------------------------------------------------------


def minimum_size(
    sizes: NDArray[np.int64], area_px: int, alpha: float, exponent: float, options: RegionOptions | None = None
) -> int:
    """Return the smallest region that noise does not explain.

    Args:
        sizes: pixels of every region at one level.
        area_px: valid pixels of the image.
        alpha: share of the area that noise may be called change.
        exponent: of the law.

    Returns:
        1 where all regions together cover no more than ``alpha`` of the area. Else the law N(>= n) = N0 (n / n0) **
        -exponent is anchored at the largest size n0 that enough regions reach, and the answer is the n beyond which
        it expects no more than ``alpha`` of the area. Changes among the regions can only make it larger.
    """
    options = options or RegionOptions()
    ordered = np.sort(sizes)
    count = len(ordered)
    if ordered.sum() <= alpha * area_px:
        return 1
    enough = max(options.fewest, options.share * count)

    def reaching(size: int) -> int:
        return count - int(np.searchsorted(ordered, size))

    anchor = size = 1
    while reaching(size) >= enough:
        anchor, size = size, max(size + 1, round(1.2 * size))
    mass = reaching(anchor) * float(anchor) ** exponent * exponent / (exponent - 1)
    smallest = (mass / (alpha * area_px)) ** (1 / (exponent - 1))
    return math.ceil(max(smallest, anchor))


# ---- regions of any image, strip by strip --------------------------------------------------------------------------


class RegionScan:
    """Regions (pixels that touch, also at a corner) of codes from ``code`` on, in two passes over strips of rows.

    First :meth:`add` all strips from top to bottom, then :meth:`sizes`, :meth:`select`, and :meth:`mask` for the same
    strips in the same order. Law: the cut into strips changes nothing. Memory grows with the runs of pixels, 9 bytes
    each, not with the image.
    """

    def __init__(self, columns: int, code: int) -> None:
        self._code = code
        self._parent = np.empty(1024, np.int32)
        self._size = np.empty(1024, np.int32)
        self._count = 0
        self._row = np.empty((3, columns // 2 + 2), np.int32)
        self._runs = 0
        self._kept = np.empty(0, np.bool_)
        self._next = 0

    def add(self, strip: Codes) -> None:
        """Take up the next strip (y, x)."""
        room = self._count + strip.shape[0] * (strip.shape[1] // 2 + 1)
        needed = self._count + _count_runs(strip, self._code)
        if needed > len(self._parent):
            grown = min(room, max(needed, 2 * len(self._parent)))
            self._parent = np.resize(self._parent, grown)
            self._size = np.resize(self._size, grown)
        self._count, self._runs = _scan(strip, self._code, self._parent, self._size, self._count, self._row, self._runs)

    def sizes(self) -> NDArray[np.int64]:
        """Pixels of every region."""
        _flatten(self._parent, self._size, self._count)
        roots = self._parent[: self._count] == np.arange(self._count, dtype=np.int32)
        return self._size[: self._count][roots].astype(np.int64)

    def select(self, minimum_px: int) -> None:
        """Keep the regions of at least that many pixels, and begin the second pass."""
        _flatten(self._parent, self._size, self._count)
        self._kept = (self._size[: self._count] >= minimum_px)[self._parent[: self._count]]
        self._next = 0

    def mask(self, strip: Codes) -> Mask:
        """True (y, x) in the regions kept, for the next strip of the second pass."""
        out = np.zeros(strip.shape, np.bool_)
        self._next = _paint(strip, self._code, self._kept, self._next, out)
        return out


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _count_runs(strip, code):  # type: ignore[no-untyped-def]
    runs = 0
    for y in range(strip.shape[0]):
        inside = False
        for x in range(strip.shape[1]):
            above = strip[y, x] >= code
            if above and not inside:
                runs += 1
            inside = above
    return runs


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _scan(strip, code, parent, size, count, row, runs):  # type: ignore[no-untyped-def]
    """``row`` holds start, end and number of the runs of the row before; returns regions and runs so far."""
    width = strip.shape[1]
    current = np.empty_like(row)
    for y in range(strip.shape[0]):
        found = 0
        before = 0
        x = 0
        while x < width:
            if strip[y, x] < code:
                x += 1
                continue
            start = x
            while x < width and strip[y, x] >= code:
                x += 1
            number = count
            parent[number] = number
            size[number] = x - start
            count += 1
            while before < runs and row[1, before] < start:
                before += 1
            k = before
            while k < runs and row[0, k] <= x:
                a, b = _root(parent, row[2, k]), _root(parent, number)
                if a != b:
                    low, high = min(a, b), max(a, b)
                    parent[high] = low
                    size[low] += size[high]
                k += 1
            current[0, found] = start
            current[1, found] = x
            current[2, found] = number
            found += 1
        row[:, :found] = current[:, :found]
        runs = found
    return count, runs


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _flatten(parent, size, count):  # type: ignore[no-untyped-def]
    for i in range(count):
        parent[i] = _root(parent, i)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _paint(strip, code, kept, number, out):  # type: ignore[no-untyped-def]
    for y in range(strip.shape[0]):
        inside = False
        for x in range(strip.shape[1]):
            above = strip[y, x] >= code
            if above:
                if not inside:
                    number += 1
                out[y, x] = kept[number - 1]
            inside = above
    return number


# ---- from regions to the mask of change ----------------------------------------------------------------------------


def grow_and_trim(
    codes: Codes, accepted: Sequence[Mask], options: RegionOptions, levels: Sequence[int] | None = None
) -> Mask:
    """Return what changed: regions of all levels, grown into their soft sides, without mixed pixels on the rim.

    Args:
        codes: (y, x).
        accepted: (y, x) a level: True in the regions that its law believes.
        options: how.
        levels: number of the level of each; None: all from the lowest on.

    A neighbourhood kernel: each pixel depends on ``options.halo_px`` around it.
    """
    changed = np.zeros(codes.shape, np.bool_)
    quarter = 2 * _PER_OCTAVE
    for level, mask in zip(range(len(accepted)) if levels is None else levels, accepted, strict=True):
        if mask.any():
            least = max(1, options.codes[level] - quarter)
            changed |= _grown(codes, np.ascontiguousarray(mask), least, options.growth_px)
    if options.trim > 0 and changed.any():
        step = math.floor(-_PER_OCTAVE * math.log2(options.trim))
        return np.asarray(_trimmed(codes, changed, step))
    return changed


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _grown(codes, mask, least, steps):  # type: ignore[no-untyped-def]
    height, width = mask.shape
    # Step of each pixel; 255: not reached.
    reached = np.full(mask.shape, np.uint8(255), np.uint8)
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                reached[y, x] = 0
    for step in range(1, steps + 1):
        for y in range(height):
            for x in range(width):
                if reached[y, x] != step - 1:
                    continue
                for v in range(max(0, y - 1), min(height, y + 2)):
                    for u in range(max(0, x - 1), min(width, x + 2)):
                        if reached[v, u] == 255 and codes[v, u] >= least:
                            reached[v, u] = step
    return reached != 255


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _trimmed(codes, changed, step):  # type: ignore[no-untyped-def]
    height, width = changed.shape
    out = changed.copy()
    for y in range(height):
        for x in range(width):
            if not changed[y, x]:
                continue
            rim = False
            for v in range(max(0, y - 1), min(height, y + 2)):
                for u in range(max(0, x - 1), min(width, x + 2)):
                    if not changed[v, u]:
                        rim = True
            if not rim:
                continue
            largest = 0
            for v in range(max(0, y - 2), min(height, y + 3)):
                for u in range(max(0, x - 2), min(width, x + 3)):
                    if changed[v, u] and codes[v, u] > largest:
                        largest = codes[v, u]
            if codes[y, x] + step < largest:
                out[y, x] = False
    return out


def detect(
    statistic: NDArray[np.float32],
    threshold: float,
    alpha: float,
    *,
    area_px: int | None = None,
    min_px: int = 0,
    options: RegionOptions | None = None,
) -> Mask:
    """Return what changed in an image that fits in memory.

    Args:
        statistic: (y, x) on the scale of chi-squared, 0 where not valid.
        threshold: of chi-squared at the asked confidence.
        alpha: 1 - confidence.
        area_px: valid pixels; None: those above 0.
        min_px: smallest region that is kept.
        options: how.

    Raises:
        InputError: the statistic is no image.
    """
    if statistic.ndim != 2:
        raise InputError(f"regions are found in an image (y, x), not in an array of shape {statistic.shape}.")
    options = options or RegionOptions()
    area = int((statistic > 0).sum()) if area_px is None else area_px
    codes = encode(statistic, threshold)
    changed = grow_and_trim(codes, list(_accepted(codes, area, alpha, options)), options)
    return regions_of(changed, min_px) if min_px > 1 else changed


def _accepted(codes: Codes, area_px: int, alpha: float, options: RegionOptions) -> Iterator[Mask]:
    for code, exponent in zip(options.codes, options.exponents, strict=True):
        scan = RegionScan(codes.shape[1], code)
        scan.add(codes)
        scan.select(minimum_size(scan.sizes(), area_px, alpha, exponent, options))
        yield scan.mask(codes)


def regions_of(changed: Mask, min_px: int) -> Mask:
    """Return the mask (y, x) without regions of fewer than ``min_px`` pixels."""
    scan = RegionScan(changed.shape[1], 1)
    codes = changed.view(np.uint8)
    scan.add(codes)
    scan.select(min_px)
    return scan.mask(codes)
