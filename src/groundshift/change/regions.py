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
"""Levels of the statistic, in thresholds of chi-squared at the asked confidence. A lower one at 0.25 added nothing;
measured on clear, planted and burnt pairs; benchmarks/real_clear_pairs.py."""
_PER_OCTAVE = 8
_LOWEST = 0.25
"""Statistic of code 1, in thresholds: what is not above is never change."""
_HIGHEST = 254
_THRESHOLDS = (1e-12, 1e12)
_UNREACHED = 255
_MARGIN = 2

Codes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class RegionOptions:
    """How regions are told from noise."""

    exponents: tuple[float, ...] = (2.0, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5)
    """By level: how fast regions of noise get rare, N(>= n) ~ n ** -exponent. Noise near percolation, at low levels,
    is slower. Measured on real clear pairs, where it falls faster still, so that the law errs on the side of noise;
    benchmarks/real_clear_pairs.py."""
    fewest: int = 50
    """Regions that the law must rest on: more than the changes that a scene usually holds. Measured on real clear and
    planted pairs, 100 is no better; benchmarks/real_clear_pairs.py."""
    share: float = 0.03
    """Of all regions of a level, that the law rests on. Measured on real clear and planted pairs, 0.01 believes sizes
    that the changes themselves reach; benchmarks/real_clear_pairs.py."""
    growth_px: int = 2
    """Steps over which a region takes in neighbours of at least a quarter of its level: 20 m and at least 2 pixels.
    Measured on planted changes, where it gives back the soft sides; benchmarks/real_clear_pairs.py."""
    trim: float = 0.2
    """A pixel on the rim with less than this share of the largest statistic near it is a mixed one (less than half an
    amplitude), and dropped. Measured on planted changes; benchmarks/real_clear_pairs.py."""

    def __post_init__(self) -> None:
        if len(self.exponents) != len(LEVELS) or min(self.exponents) <= 1:
            raise UsageError(f"regions need {len(LEVELS)} exponents above 1, one a level, not {self.exponents}.")
        if self.fewest < 1 or not 0 <= self.share < 1 or self.growth_px < 0 or not 0 <= self.trim < 1:
            raise UsageError(
                f"regions need fewest >= 1, share and trim from 0 to below 1, and growth_px >= 0, not {self}."
            )

    @property
    def codes(self) -> tuple[int, ...]:
        """Code from which on the statistic is above each level."""
        return tuple(code_of(level) for level in LEVELS)

    @property
    def soft_codes(self) -> tuple[int, ...]:
        """Code from which on a neighbour of a region of each level is taken in: a quarter of the level."""
        return tuple(code_of(max(level / 4, _LOWEST)) for level in LEVELS)

    @property
    def halo_px(self) -> int:
        """Pixels beyond a block that :func:`grow_and_trim` depends on: growth, and five by five around it."""
        return self.growth_px + _MARGIN


def code_of(level: float) -> int:
    """Return the code from which on the statistic is above ``level`` thresholds, a power of two from 0.25 on.

    Raises:
        UsageError: the level lies between two codes, or outside of them.
    """
    octaves = math.log2(level / _LOWEST) if level > 0 else -1.0
    code = 1 + _PER_OCTAVE * round(octaves)
    if octaves != round(octaves) or not 1 <= code <= _HIGHEST:
        raise UsageError(f"a level of regions is a power of two from {_LOWEST} thresholds on, not {level}.")
    return code


def code_edges(threshold: float) -> NDArray[np.float32]:
    """Return (254,) what the statistic must be above for each code from 1 on.

    Edges between two float32 are rounded down: a float32 is above the one where it is above the other.

    Raises:
        UsageError: the threshold is not a positive number of moderate size.
    """
    if not _THRESHOLDS[0] <= threshold <= _THRESHOLDS[1]:
        raise UsageError(f"the threshold of the statistic is a number from 1e-12 to 1e12, not {threshold}.")
    octave, eighth = np.divmod(np.arange(_HIGHEST), _PER_OCTAVE)
    exact = np.ldexp(float(threshold) * _LOWEST * np.exp2(eighth / _PER_OCTAVE), octave)
    rounded = exact.astype(np.float32)
    return np.where(rounded > exact, np.nextafter(rounded, np.float32(0)), rounded)


def encode(statistic: NDArray[np.float32], threshold: float) -> Codes:
    """Return the codes (y, x) uint8 of a statistic (y, x): 0 up to a quarter of the threshold, then eighths of octaves.

    Law: ``code >= code_of(level)`` exactly where ``statistic > level * threshold``, for every level of the ladder.
    What is not a number has code 0.

    Raises:
        UsageError: the threshold is not a positive number of moderate size.
    """
    edges = np.append(code_edges(threshold), np.float32(np.inf))
    values = np.ascontiguousarray(statistic, np.float32)
    out = np.zeros(values.shape, np.uint8)
    _encode(values.reshape(-1), values.reshape(-1).view(np.int32), edges, edges.view(np.int32)[0], out.reshape(-1))
    return out


@njit(nogil=True, cache=True)
def _encode(values, bits, edges, base, out):  # type: ignore[no-untyped-def]
    """An eighth of an octave is 2 ** 20 in the bits of a float32, up to one code for the bend of the logarithm."""
    for i in range(values.size):
        value = values[i]
        if not value > edges[0]:
            continue
        code = min((bits[i] - base) >> 20, edges.size - 2)
        if value <= edges[code]:
            code -= 1
        elif value > edges[code + 1]:
            code += 1
        out[i] = code + 1


# ---- the law of sizes ----------------------------------------------------------------------------------------------


def minimum_size(
    sizes: NDArray[np.int64],
    area_px: int,
    alpha: float,
    exponent: float,
    options: RegionOptions | None = None,
    *,
    soft_px: int = 0,
) -> int:
    """Return the smallest region that noise does not explain.

    Args:
        sizes: pixels of every region at one level.
        area_px: valid pixels of the image.
        alpha: share of the area that noise may be called change.
        exponent: of the law at this level.
        options: how.
        soft_px: pixels of the image that growth takes in where it meets them (:attr:`RegionScan.soft_px`).

    Returns:
        1 where all regions together, grown as single pixels among as many soft ones grow, cover no more than
        ``alpha`` of the area. Else the law N(>= n) = N0 (n / n0) ** -exponent is anchored at the largest size n0 that
        enough regions reach, and the answer is the n beyond which it expects no more than ``alpha`` of the area.
        Changes among the regions can only make it larger.

    Raises:
        InputError: there are regions and no area.
    """
    options = options or RegionOptions()
    ordered = np.sort(sizes)
    if len(ordered) == 0:
        return 1
    if area_px < 1 or not 0 < alpha < 1:
        raise InputError(f"regions need an area and a share of it, not {area_px} pixels and {alpha}.")
    around = (2 * options.growth_px + 1) ** 2 - 1
    if ordered.sum() * (1 + around * min(1.0, soft_px / area_px)) <= alpha * area_px:
        return 1
    anchor, regions = _anchor(ordered, options)
    mass = regions * float(anchor) ** exponent * exponent / (exponent - 1)
    smallest: float = (mass / (alpha * area_px)) ** (1 / (exponent - 1))
    return math.ceil(max(smallest, anchor))


def _anchor(ordered: NDArray[np.int64], options: RegionOptions) -> tuple[int, int]:
    """The largest size on a ladder that enough regions reach, and how many they are."""

    def reaching(size: int) -> int:
        return len(ordered) - int(np.searchsorted(ordered, size))

    enough = max(options.fewest, options.share * len(ordered))
    anchor = size = 1
    while reaching(size) >= enough:
        anchor, size = size, max(size + 1, round(1.2 * size))
    return anchor, reaching(anchor)


# ---- regions of any image, strip by strip --------------------------------------------------------------------------


class RegionScan:
    """Regions (pixels that touch, also at a corner) of codes from ``code`` on, in two passes over strips of rows.

    First :meth:`add` all strips from top to bottom, then :meth:`sizes`, :meth:`select`, and :meth:`mask` for the same
    strips in the same order. Law: the cut into strips changes nothing. Memory grows with the runs of pixels along
    rows, about 9 bytes each, not with the image.

    Args:
        columns: pixels of a row.
        code: from 1 to 255.
        soft_code: count the pixels from that code on, as :attr:`soft_px`.
    """

    def __init__(self, columns: int, code: int, soft_code: int = 255) -> None:
        if columns < 1 or not (1 <= code <= 255 and 1 <= soft_code <= 255):
            raise UsageError(f"regions need columns, and codes from 1 to 255, not {columns}, {code} and {soft_code}.")
        self._columns = columns
        self._code, self._soft_code = np.uint8(code), np.uint8(soft_code)
        # By run: minus the pixels of its region, or the number of an earlier run of the same region.
        self._tree = np.empty(max(1024, columns), np.int64)
        self._edges = np.empty((2, columns + 3), np.int32)
        self._state = np.zeros(4, np.int64)
        self._kept = np.empty(0, np.bool_)
        self._painted = 0

    @property
    def soft_px(self) -> int:
        """Pixels from ``soft_code`` on."""
        return int(self._state[3])

    def add(self, strip: Codes) -> None:
        """Take up the next strip (y, x).

        Raises:
            InputError: the strip is not as wide as the image.
        """
        strip = self._checked(strip)
        row = 0
        while row < len(strip):
            if len(self._tree) < self._state[0] + self._columns:
                grown = np.empty(len(self._tree) * 3 // 2 + self._columns, np.int64)
                grown[: self._state[0]] = self._tree[: self._state[0]]
                self._tree = grown
            row = _scan(strip, row, self._code, self._soft_code, self._tree, self._edges, self._state)

    def sizes(self) -> NDArray[np.int64]:
        """Pixels of every region."""
        tree = self._tree[: self._state[0]]
        return -tree[tree < 0]

    def select(self, minimum_px: int) -> None:
        """Keep the regions of at least that many pixels, and begin the second pass."""
        self._kept = _kept(self._tree[: self._state[0]], minimum_px)
        self._painted = 0

    def mask(self, strip: Codes) -> Mask:
        """Return True (y, x) in the regions kept, for the next strip of the second pass.

        Raises:
            InputError: the strip is not as wide as the image, or is none of those of the first pass.
        """
        strip = self._checked(strip)
        out = np.zeros(strip.shape, np.bool_)
        self._painted = _paint(strip, self._code, self._kept, self._painted, out)
        if self._painted < 0:
            raise InputError("the second pass over regions needs the strips of the first pass, in the same order.")
        return out

    def _checked(self, strip: Codes) -> Codes:
        if strip.ndim != 2 or strip.shape[1] != self._columns or strip.dtype != np.uint8:
            raise InputError(
                f"regions need strips of {self._columns} columns of uint8, not {strip.dtype} of shape {strip.shape}."
            )
        return np.ascontiguousarray(strip)


@njit(nogil=True, cache=True)
def _find_runs(row, code, above, words, edges):  # type: ignore[no-untyped-def]
    """Write begin and end of each run of ``code`` and more to ``edges``; returns how many runs.

    ``above`` are at least one byte more than the row, of which the last are 0; ``words`` the same in eights.
    """
    for x in range(row.size):
        above[x] = row[x] >= code
    found = 0
    inside = np.uint8(0)
    for k in range(words.size):
        if words[k] == np.uint64(0) and inside == 0:
            continue
        for x in range(8 * k, 8 * k + 8):
            # Without a branch: noise is not predictable.
            edges[found] = x
            found += above[x] ^ inside
            inside = above[x]
    return found // 2


@njit(nogil=True, cache=True)
def _root(tree, i):  # type: ignore[no-untyped-def]
    parent = tree[i]
    while parent >= 0:
        above = tree[parent]
        if above < 0:
            return parent
        tree[i] = above
        i = above
        parent = tree[i]
    return i


@njit(nogil=True, cache=True)
def _join(tree, root, other):  # type: ignore[no-untyped-def]
    """Make one region of two, under the earlier number; returns it."""
    low, high = min(root, other), max(root, other)
    tree[low] += tree[high]
    tree[high] = low
    return low


@njit(nogil=True, cache=True)
def _scan(strip, row, code, soft_code, tree, edges, state):  # type: ignore[no-untyped-def]
    """``state``: runs so far, runs of the row before, which half of ``edges`` they are in, soft pixels.

    Stops where the tree has no room for another row, and returns the next row.
    """
    width = strip.shape[1]
    above = np.zeros((width // 8 + 1) * 8, np.uint8)
    words = above.view(np.uint64)
    count, before_runs, side, soft = state[0], state[1], state[2], state[3]
    while row < strip.shape[0] and count + width // 2 + 1 <= tree.size:
        if soft_code < 255:
            for value in strip[row]:
                soft += value >= soft_code
        before, current = edges[side], edges[1 - side]
        runs = _find_runs(strip[row], code, above, words, current)
        first = count - before_runs
        k = 0
        for run in range(runs):
            start, end = current[2 * run], current[2 * run + 1]
            number = count + run
            tree[number] = start - end
            root = number
            while k < before_runs and before[2 * k + 1] < start:
                k += 1
            j = k
            while j < before_runs and before[2 * j] <= end:
                other = _root(tree, first + j)
                if other != root:
                    root = _join(tree, root, other)
                j += 1
        count += runs
        before_runs = runs
        side = 1 - side
        row += 1
    state[0], state[1], state[2], state[3] = count, before_runs, side, soft
    return row


@njit(nogil=True, cache=True)
def _kept(tree, minimum):  # type: ignore[no-untyped-def]
    """Numbers point to earlier ones, which are known already."""
    out = np.empty(tree.size, np.bool_)
    for i in range(tree.size):
        out[i] = -tree[i] >= minimum if tree[i] < 0 else out[tree[i]]
    return out


@njit(nogil=True, cache=True)
def _paint(strip, code, kept, number, out):  # type: ignore[no-untyped-def]
    """Returns the number of the next run; -1 where there are more than in the first pass."""
    width = strip.shape[1]
    above = np.zeros((width // 8 + 1) * 8, np.uint8)
    words = above.view(np.uint64)
    edges = np.empty(width + 3, np.int32)
    for y in range(strip.shape[0]):
        runs = _find_runs(strip[y], code, above, words, edges)
        if number + runs > kept.size:
            return -1
        for run in range(runs):
            if kept[number + run]:
                for x in range(edges[2 * run], edges[2 * run + 1]):
                    out[y, x] = True
        number += runs
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

    A neighbourhood kernel: each pixel depends on ``options.halo_px`` around it. Beyond the edge nothing changed.

    Raises:
        InputError: masks and codes differ in shape.
    """
    reach = np.full([n + 2 * _MARGIN for n in codes.shape], np.uint8(_UNREACHED))
    touched = False
    for level, mask in zip(range(len(accepted)) if levels is None else levels, accepted, strict=True):
        if mask.shape != codes.shape:
            raise InputError(f"regions of shape {mask.shape} are not those of codes of shape {codes.shape}.")
        touched |= _mark(np.ascontiguousarray(mask), np.uint8(options.soft_codes[level]), reach)
    if not touched:
        return np.zeros(codes.shape, np.bool_)
    codes = np.ascontiguousarray(codes)
    spare = reach.copy()
    for _ in range(options.growth_px):
        _spread(codes, reach, spare)
        reach, spare = spare, reach
    # Codes are at most 254 apart: without trim nothing is that much below another.
    step = max(1, round(-_PER_OCTAVE * math.log2(options.trim))) if options.trim > 0 else 255
    out = np.zeros(codes.shape, np.bool_)
    _trim(codes, reach, np.uint8(min(step, 255)), spare, out)
    return out


@njit(nogil=True, cache=True)
def _mark(mask, soft, reach):  # type: ignore[no-untyped-def]
    """``reach``: the lowest code, of all levels that reached a pixel, from which on they go further."""
    touched = False
    for y in range(mask.shape[0]):
        here, row = mask[y], reach[y + 2][2:]
        some = False
        for x in range(here.size):
            some |= here[x]
        if some:
            touched = True
            for x in range(here.size):
                value = soft if here[x] else np.uint8(255)
                row[x] = min(row[x], value)
    return touched


@njit(nogil=True, cache=True)
def _spread(codes, reach, out):  # type: ignore[no-untyped-def]
    """One step of all levels at once: the level that goes furthest is all that matters at a pixel."""
    height, width = codes.shape
    column = np.empty(width + 2, np.uint8)
    left, middle, right = column, column[1:], column[2:]
    for y in range(height):
        a, b, c = reach[y + 1][1:], reach[y + 2][1:], reach[y + 3][1:]
        for x in range(width + 2):
            column[x] = min(min(a[x], b[x]), c[x])
        code, here, row = codes[y], reach[y + 2][2:], out[y + 2][2:]
        for x in range(width):
            near = min(min(left[x], middle[x]), right[x])
            row[x] = near if code[x] >= near else here[x]


@njit(nogil=True, cache=True)
def _trim(codes, reach, step, heights, out):  # type: ignore[no-untyped-def]
    """``heights`` becomes the code where changed, and 0 elsewhere."""
    height, width = codes.shape
    heights[:] = 0
    for y in range(height):
        code, here, row = codes[y], reach[y + 2][2:], heights[y + 2][2:]
        for x in range(width):
            row[x] = max(code[x], np.uint8(1)) if here[x] != np.uint8(255) else np.uint8(0)
    low, high = np.empty(width + 4, np.uint8), np.empty(width + 4, np.uint8)
    low1, low2, low3 = low[1:], low[2:], low[3:]
    high1, high2, high3, high4 = high[1:], high[2:], high[3:], high[4:]
    for y in range(height):
        a, b, c, d, e = heights[y], heights[y + 1], heights[y + 2], heights[y + 3], heights[y + 4]
        for x in range(width + 4):
            low[x] = min(min(b[x], c[x]), d[x])
            high[x] = max(max(max(a[x], b[x]), max(d[x], e[x])), c[x])
        here, row = c[2:], out[y]
        for x in range(width):
            inner = min(min(low1[x], low2[x]), low3[x]) > 0
            largest = max(max(max(high[x], high1[x]), max(high3[x], high4[x])), high2[x])
            row[x] = (here[x] > 0) & (inner | (np.uint8(largest - here[x]) < step))


def detect(
    statistic: NDArray[np.float32],
    threshold: float,
    alpha: float,
    *,
    area_px: int | None = None,
    min_px: int = 0,
    options: RegionOptions | None = None,
) -> Mask:
    """Return what changed (y, x) in an image that fits in memory.

    Args:
        statistic: (y, x) float32 on the scale of chi-squared, 0 where not valid.
        threshold: of chi-squared at the asked confidence.
        alpha: 1 - confidence.
        area_px: valid pixels; None: those above 0.
        min_px: smallest region of the result that is kept.
        options: how.

    Raises:
        InputError: the statistic is no image.
        UsageError: the threshold is not a positive number of moderate size.
    """
    if statistic.ndim != 2 or 0 in statistic.shape:
        raise InputError(f"regions are found in an image (y, x), not in an array of shape {statistic.shape}.")
    options = options or RegionOptions()
    area = int((statistic > 0).sum()) if area_px is None else area_px
    codes = encode(statistic, threshold)
    changed = grow_and_trim(codes, list(_accepted(codes, area, alpha, options)), options)
    return drop_small(changed, min_px) if min_px > 1 else changed


def _accepted(codes: Codes, area_px: int, alpha: float, options: RegionOptions) -> Iterator[Mask]:
    for code, soft_code, exponent in zip(options.codes, options.soft_codes, options.exponents, strict=True):
        scan = RegionScan(codes.shape[1], code, soft_code)
        scan.add(codes)
        scan.select(minimum_size(scan.sizes(), area_px, alpha, exponent, options, soft_px=scan.soft_px))
        yield scan.mask(codes)


def drop_small(changed: Mask, min_px: int) -> Mask:
    """Return the mask (y, x) without regions of fewer than ``min_px`` pixels."""
    codes = np.ascontiguousarray(changed).view(np.uint8)
    scan = RegionScan(codes.shape[1], 1)
    scan.add(codes)
    scan.select(min_px)
    return scan.mask(codes)
