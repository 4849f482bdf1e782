"""The passes over all pixels, in strips of rows, each a task for any worker: measure, find regions, combine, classify.

Strips are full-width. Law: how the image is cut into strips changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from affine import Affine
from numpy.typing import NDArray

from groundshift.change import kinds, regions
from groundshift.change.kinds import KindModel, KindTable
from groundshift.io import vector
from groundshift.io.planes import Planes
from groundshift.model.grid import Window
from groundshift.model.legend import NO_CHANGE, NO_DATA
from groundshift.numerics.rounding import round_mantissa
from groundshift.pipelines.fitting import Block, Fitted, Measured
from groundshift.pipelines.ingest import MASKED, Stack
from groundshift.pipelines.pair_model import LIMIT, PairModel
from groundshift.radiometry.reflectance import EMPTY
from groundshift.report.pictures import DatePictures, LabelQuicklook, Look, ReflectanceQuicklook, of_dates

HISTOGRAM_EDGES = np.geomspace(0.05, 500.0, 121)
"""Bins of the amplitude."""
_DROPPED = 23 - 13
"""Last bits of an amplitude, which :func:`round_mantissa` sets to zero."""
_KINDS_SAMPLE = 400_000
_POLAR_SAMPLE = 20_000
_SCAN_BYTES = 2**25
_SCATTER = 2_654_435_761
"""Multiplies the place of a pixel, modulo 2^32, to a number that any share of them is drawn evenly by (Knuth)."""


@dataclass(frozen=True, eq=False)
class Scratch:
    """Everything of a run that lies on disk while it runs."""

    stacks: tuple[Stack, Stack]
    cva: Planes
    """(2, y, x) float32: amplitude and angle, NaN where not compared."""
    codes: Planes
    """(1, y, x) uint8: level of the statistic."""
    accepted: Planes
    """(levels, y, x) uint8: 1 in regions that the law of one level believes."""
    changed: Planes
    """(1, y, x) uint8: 1 where changed."""
    labels: Planes
    """(1, y, x) uint8: the map."""
    looks: Planes
    """(6, rows, columns) float32 of the pictures: reflectance of three bands before, then after; NaN: no data."""
    p_value: Planes | None
    """(1, y, x) float32, where it was asked for."""
    probability: Planes | None = None
    """(1, y, x) float32 of change, where the method gives one: it decides what changed."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.cva.shape[1:]


@dataclass(frozen=True, eq=False)
class Work:
    """One strip of one pass."""

    scratch: Scratch
    window: Window
    transform: Affine
    """From pixels of the whole grid to its coordinates."""
    fitted: Fitted | None
    """None: too few usable pixels to fit anything."""
    step: int
    """Pixels a side of a cell of the pictures; strips begin at multiples of it."""
    picture_bands: tuple[int, ...] = ()
    share: float = 1.0
    """Of the changed pixels that a strip passes on to fit the kinds."""
    levels: tuple[int, ...] = ()
    """Levels at which anything was accepted."""
    model: KindModel | None = None
    smooth_px: int = 0
    """Radius of the majority filter of the kinds."""
    amplitude_limit: float | None = None
    """Amplitude beyond which a pixel is changed, without context; None: by regions."""

    def __str__(self) -> str:
        return f"comparing rows {self.window.y0} to {self.window.y1}"


@dataclass(frozen=True, eq=False)
class MeasuredStrip:
    """What the first pass says of a strip, beside what it wrote."""

    window: Window
    compared: int
    masked: int
    """Not compared for cloud, shadow or the like at either date, though both hold data."""
    empty: tuple[int, int]
    """Pixels without data, by date."""
    histogram: NDArray[np.int64]


def measure(work: Work) -> MeasuredStrip:
    """First pass: statistic, amplitude and angle of one strip, written to the planes."""
    scratch, window = work.scratch, work.window
    halo = work.fitted.halo_px if work.fitted else 0
    padded = window.padded(halo, scratch.shape)
    inner = window.within(padded)
    (before, usable_before, codes_before), (after, usable_after, codes_after) = (
        stack.read(padded) for stack in scratch.stacks
    )
    for date, image, codes in ((0, before, codes_before), (1, after, codes_after)):
        _thin(image[:, inner.slices[0]], codes[inner.slices] != EMPTY, work, date)
    block = Block(before, after, usable_before & usable_after)
    histogram = _write_measured(work, block, inner)
    first, second = codes_before[inner.slices], codes_after[inner.slices]
    compared = block.valid[inner.slices]
    masked = ~compared & (first != EMPTY) & (second != EMPTY) & ((first == MASKED) | (second == MASKED))
    return MeasuredStrip(
        window=window,
        compared=int(compared.sum()),
        masked=int(masked.sum()),
        empty=(int((first == EMPTY).sum()), int((second == EMPTY).sum())),
        histogram=histogram,
    )


def _write_measured(work: Work, block: Block, inner: Window) -> NDArray[np.int64]:
    scratch, window, fitted = work.scratch, work.window, work.fitted
    if fitted is None:
        nothing = np.full(window.shape, np.nan, np.float32)
        measured = Measured(statistic=np.zeros(window.shape, np.float32), amplitude=nothing, angle=nothing)
        codes = np.zeros(window.shape, np.uint8)
    else:
        measured = fitted.measure(block, inner)
        codes = regions.encode(measured.statistic, fitted.threshold)
    amplitude = round_mantissa(measured.amplitude)
    scratch.codes.write(window, codes, 0)
    scratch.cva.write(window, amplitude, 0)
    scratch.cva.write(window, round_mantissa(measured.angle, 10), 1)
    # The map starts with what is compared: 0, and 255 elsewhere; the last pass adds the kinds.
    scratch.labels.write(window, np.where(block.valid[inner.slices], NO_CHANGE, NO_DATA).astype(np.uint8), 0)
    if scratch.p_value is not None:
        p = np.full(window.shape, np.nan, np.float32) if fitted is None else fitted.p_value(amplitude)
        scratch.p_value.write(window, round_mantissa(p), 0)
    return _histogram(amplitude)


def _histogram(amplitude: NDArray[np.float32]) -> NDArray[np.int64]:
    """Counts by bin of an amplitude that was rounded: its few distinct values are counted first."""
    first, last = (int(edge) >> _DROPPED for edge in HISTOGRAM_EDGES[[0, -1]].astype(np.float32).view(np.uint32))
    count = np.zeros(last - first + 3, np.int64)
    _count_values(amplitude.reshape(-1).view(np.uint32), first - 1, _DROPPED, count)
    values = (np.arange(first - 1, last + 2, dtype=np.uint32) << _DROPPED).view(np.float32)
    low, high = np.log(HISTOGRAM_EDGES[[0, -1]])
    bins = len(HISTOGRAM_EDGES) - 1
    index = (np.log(values) - low) * (bins / (high - low))
    inside = (index >= 0) & (index < bins)
    return np.bincount(index[inside].astype(np.intp), count[inside], bins).astype(np.int64)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_values(raw: Any, first: int, dropped: int, count: Any) -> None:
    for i in range(raw.size):
        value = np.int64(raw[i] >> np.uint32(dropped)) - first
        if 0 <= value < count.size:
            count[value] += 1


@dataclass(frozen=True, eq=False)
class ProbableWork:
    """A block of the pass that gives probabilities of change; it begins at multiples of 16 pixels."""

    scratch: Scratch
    window: Window
    model: PairModel

    def __str__(self) -> str:
        return f"judging rows {self.window.y0} to {self.window.y1}, columns {self.window.x0} to {self.window.x1}"


def judge(work: ProbableWork) -> None:
    """The probability of change of a block, written to the planes."""
    assert work.scratch.probability is not None
    padded = work.window.padded(work.model.halo_px, work.scratch.shape)
    (before, usable_before, _), (after, usable_after, _) = (stack.read(padded) for stack in work.scratch.stacks)
    block = Block(before, after, usable_before & usable_after)
    found = round_mantissa(work.model.probability(block, work.window.within(padded)))
    work.scratch.probability.write(work.window, found, 0)


def _thin(reflectance: NDArray[np.float32], valid: NDArray[np.bool_], work: Work, date: int) -> None:
    """Write one date's rows of the pictures."""
    look = ReflectanceQuicklook(valid.shape, len(work.picture_bands), work.step)
    look.add(Window(0, valid.shape[0], 0, valid.shape[1]), [reflectance[band] for band in work.picture_bands], valid)
    mean, seen = look.result()
    mean[:, ~seen] = np.nan
    top = work.window.y0 // work.step
    where = Window(top, top + seen.shape[0], 0, seen.shape[1])
    for band, values in enumerate(mean, len(mean) * date):
        work.scratch.looks.write(where, values, band)


def draw_dates(scratch: Scratch) -> DatePictures:
    """The pictures of the two dates, once all strips are measured."""
    _, rows, columns = scratch.looks.shape

    def look(date: int) -> Look:
        image = np.empty((3, rows, columns), np.float32)
        for k in range(3):
            image[k] = scratch.looks.read(Window(0, rows, 0, columns), 3 * date + k)
        return image, np.isfinite(image[0])

    return of_dates(look)


@dataclass(frozen=True, eq=False)
class LevelWork:
    """The regions of one level of the whole image."""

    scratch: Scratch
    level: int
    area_px: int
    alpha: float
    options: regions.RegionOptions

    def __str__(self) -> str:
        return f"finding regions at level {self.level}"


@dataclass(frozen=True)
class LevelFacts:
    """What was found at one level."""

    level: int
    regions: int
    minimum_px: int
    """Smallest size that the law believes."""
    accepted: int


def find_regions(work: LevelWork) -> LevelFacts:
    """Second pass, one task a level: which regions are too large for the pair's own noise."""
    planes, options = work.scratch.codes, work.options
    strips = list(_strips(planes))
    scan = regions.RegionScan(planes.shape[2], options.codes[work.level], options.soft_codes[work.level])
    for window in strips:
        scan.add(_bytes(planes, window))
    sizes = scan.sizes()
    minimum = regions.minimum_size(
        sizes, work.area_px, work.alpha, options.exponents[work.level], options, soft_px=scan.soft_px
    )
    accepted = int((sizes >= minimum).sum())
    if accepted:
        scan.select(minimum)
        for window in strips:
            mask = scan.mask(_bytes(planes, window))
            if mask.any():
                work.scratch.accepted.write(window, mask.view(np.uint8), work.level)
    return LevelFacts(work.level, len(sizes), minimum, accepted)


def _bytes(planes: Planes, window: Window) -> NDArray[np.uint8]:
    return planes.read(window, 0).view(np.uint8)


def _strips(planes: Planes) -> list[Window]:
    rows, columns = planes.shape[1:]
    height = max(1, _SCAN_BYTES // columns)
    return [Window(y, min(y + height, rows), 0, columns) for y in range(0, rows, height)]


def combine(work: Work) -> int:
    """Third pass: what changed, from all levels; returns how many pixels."""
    scratch, window = work.scratch, work.window
    if scratch.probability is not None:
        with np.errstate(invalid="ignore"):
            changed = scratch.probability.read(window, 0) >= LIMIT  # type: ignore[operator]
    elif work.amplitude_limit is not None:
        with np.errstate(invalid="ignore"):
            changed = scratch.cva.read(window, 0) > work.amplitude_limit  # type: ignore[operator]
    elif work.fitted is not None and work.levels:
        options = work.fitted.region_options
        padded = window.padded(options.halo_px, scratch.shape)
        accepted = [scratch.accepted.read(padded, level).view(np.bool_) for level in work.levels]
        codes = _bytes(scratch.codes, padded)
        grown = regions.grow_and_trim(codes, accepted, options, levels=work.levels)
        changed = grown[window.y0 - padded.y0 : window.y1 - padded.y0]
    else:
        changed = np.zeros(window.shape, bool)
    scratch.changed.write(window, changed.astype(np.uint8), 0)
    return int(changed.sum())


@dataclass(frozen=True, eq=False)
class SmallWork:
    """Removal of what is smaller than the minimum mapping unit."""

    scratch: Scratch
    minimum_px: int

    def __str__(self) -> str:
        return "removing small regions"


def remove_small(work: SmallWork) -> int:
    """Drop changed regions below the minimum mapping unit; returns the changed pixels that are left."""
    planes = work.scratch.changed
    scan = regions.RegionScan(planes.shape[2], 1)
    strips = list(_strips(planes))
    for window in strips:
        scan.add(_bytes(planes, window))
    scan.select(work.minimum_px)
    left = 0
    for window in strips:
        mask = scan.mask(_bytes(planes, window))
        planes.write(window, mask.view(np.uint8), 0)
        left += int(mask.sum())
    return left


def sample_changed(work: Work) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Amplitude and angle of a share of a strip's changed pixels, to fit the kinds on; which they are lies in their
    place in the image alone."""
    changed = np.flatnonzero(work.scratch.changed.read(work.window, 0))
    if work.share < 1:
        place = (changed + work.window.y0 * work.scratch.shape[1]).astype(np.uint64) * np.uint64(_SCATTER)
        changed = changed[(place & np.uint64(0xFFFFFFFF)) < np.uint64(work.share * 2**32)]
    if not len(changed):
        return np.empty(0, np.float32), np.empty(0, np.float32)
    amplitude, angle = work.scratch.cva.read(work.window).reshape(2, -1)[:, changed]
    return amplitude.astype(np.float32), angle.astype(np.float32)


@dataclass(frozen=True, eq=False)
class ClassifiedStrip:
    """What the last pass says of a strip, beside the map it wrote."""

    window: Window
    table: KindTable
    pieces: vector.Pieces | None
    """None once they are polygons."""
    picture: tuple[NDArray[np.uint8], NDArray[np.float32]]
    polar: NDArray[np.float32]
    """(3, n): amplitude, angle, kind of a sample of compared pixels."""


def classify(work: Work) -> ClassifiedStrip:
    """Last pass: the kind of each changed pixel."""
    scratch, window, model = work.scratch, work.window, work.model
    assert model is not None
    padded = window.padded(work.smooth_px, scratch.shape)
    inner = slice(window.y0 - padded.y0, window.y1 - padded.y0)
    beyond = scratch.changed.read(padded, 0).view(np.bool_)
    cva = scratch.cva.read(padded).astype(np.float32, copy=False)
    labels = scratch.labels.read(window, 0).astype(np.uint8, copy=False)
    changed = beyond[inner]
    if changed.any():
        kind = kinds.smooth(kinds.label(model, cva[0], cva[1], beyond), work.smooth_px)[inner]
        labels[changed] = kind[changed]
        scratch.labels.write(window, labels, 0)
    cva = cva[:, inner]
    look = LabelQuicklook(window.shape, work.step)
    look.add(Window(0, window.shape[0], 0, window.shape[1]), labels)
    return ClassifiedStrip(
        window=window,
        table=_table(work, changed, cva, labels, model.classes),
        pieces=vector.pieces(labels, window, scratch.shape[1], work.transform, measure=cva[0]),
        picture=look.result(),
        polar=_polar_sample(cva, labels, window, scratch.shape),
    )


def _table(
    work: Work, changed: NDArray[np.bool_], cva: NDArray[np.float32], labels: NDArray[np.uint8], classes: int
) -> KindTable:
    """Sums by kind over the changed pixels."""
    where = np.flatnonzero(changed)
    if not len(where) or work.fitted is None:
        nothing = np.zeros((2, 0), np.float32)
        return kinds.summarise(np.zeros(0, np.uint8), nothing[0], nothing[0], *_no_bands(work), classes)
    before, after = (stack.read_pixels(work.window, where) for stack in work.scratch.stacks)
    amplitude, angle = cva.reshape(2, -1)[:, where]
    return kinds.summarise(labels.reshape(-1)[where], amplitude, angle, before, work.fitted.normalised(after), classes)


def _no_bands(work: Work) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    bands = work.scratch.stacks[0].dn.shape[0]
    return np.zeros((bands, 0), np.float32), np.zeros((bands, 0), np.float32)


def _polar_sample(
    cva: NDArray[np.float32], labels: NDArray[np.uint8], window: Window, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """An even sample: at most half unchanged, half changed."""
    rng = np.random.default_rng(window.y0)
    quota = max(50, int(_POLAR_SAMPLE / 2 * window.shape[0] / shape[0]))
    parts = []
    for where in (np.flatnonzero(labels == NO_CHANGE), np.flatnonzero((labels != NO_CHANGE) & (labels != NO_DATA))):
        chosen = np.sort(rng.choice(where, quota, replace=False)) if len(where) > quota else where
        flat = cva.reshape(2, -1)[:, chosen]
        parts.append(np.concatenate([flat, labels.reshape(-1)[None, chosen].astype(np.float32)]))
    sample = np.concatenate(parts, axis=1)
    return sample[:, np.isfinite(sample).all(axis=0)]


def kinds_share(changed_px: int) -> float:
    """Share of the changed pixels that the kinds are fitted on."""
    return min(1.0, _KINDS_SAMPLE / max(1, changed_px))


def merged_table(strips: Sequence[ClassifiedStrip]) -> KindTable:
    """The sums by kind over all strips."""
    table = strips[0].table
    for strip in strips[1:]:
        table = kinds.merge(table, strip.table)
    return table
