"""The passes over the pixels of a mosaic, each a task for any worker: thin out a scene, compose a block.

Law: how the mosaic is cut into blocks changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundshift.clouds import temporal
from groundshift.composite import balance, blend, reduce, seams
from groundshift.composite.balance import AreaSum, OverlapStatistics
from groundshift.io.planes import Planes
from groundshift.model.grid import Window, blocks
from groundshift.pipelines.ingest import LENIENT, MASKED, Stack
from groundshift.pipelines.mosaic_job import ComposeSection
from groundshift.pipelines.mosaic_layers import LayerStack, covering, filled
from groundshift.radiometry.audit import Dark, dark_quantiles
from groundshift.radiometry.reflectance import EMPTY, USABLE

NODATA = -32768
SCALE = 1e-4
EVIDENCE = ("count", "scene", "date", "quality")
"""Bands of the raster that says what each pixel rests on."""
CHOOSING = ("newest", "best")
"""Methods whose pixels are those of one scene over whole areas, with seams between."""
_STRIP = 256
_LEAST_WEIGHT = 1e-6
_MEDIAN = reduce.ReduceOptions(method="median")
_SAMPLE_PX = 250_000


@dataclass(frozen=True, eq=False)
class Thin:
    """One scene to be thinned out: means over cells of the whole mosaic."""

    layer: LayerStack
    shape: tuple[int, int]
    step: int
    """Pixels a side of a cell."""
    name: str
    path: Path
    """Where the planes of the result go."""

    def __str__(self) -> str:
        return f"looking over {self.name}"


@dataclass(frozen=True, eq=False)
class Thinned:
    """A scene as it is seen from afar, and how much of it is clear; the cells lie in planes."""

    window: Window
    """Cells of the coarse grid that it may cover."""
    planes: Planes
    """float32 of that window: p means of the pixels with data, cloud or not; p means of the clear pixels, of the
    lenient ones where none is clear; the share of the cell that is clear by the strict classes; the weight of the
    scene in a weighted mean. NaN where there are none."""
    name: str
    any_clear: bool
    """Something is clear, if only by the lenient classes."""
    cloud_share: float
    """Of the pixels with data, not clear by the strict classes."""
    dark: tuple[Dark, ...]
    """How dark each band gets, as stored, before the offset; from some of the clear pixels."""
    step: tuple[float, ...] = ()
    """What the audit of offsets adds to the reflectance of each band; empty: nothing yet."""

    @property
    def bands(self) -> int:
        """Number of bands of the scene."""
        return (self.planes.shape[0] - 2) // 2

    def reflectance(self, bands: Sequence[int]) -> NDArray[np.float32]:
        """(band, y, x) mean of the pixels with data, of some bands."""
        return self._read(list(bands)) + self._added(bands)

    def means(self, window: Window | None = None) -> NDArray[np.float32]:
        """(p, y, x) mean of the clear pixels, of a window of the coarse grid."""
        every = range(self.bands)
        return self._read([self.bands + band for band in every], window) + self._added(every)

    def mostly_clear(self, window: Window | None = None) -> NDArray[np.bool_]:
        """(y, x) True where half of the cell is clear and its means are known."""
        known = np.isfinite(self.means(window)).all(axis=0)
        return np.asarray((self._read([2 * self.bands], window)[0] >= 0.5) & known)

    def write_weights(self, weights: NDArray[np.float32]) -> None:
        """Note the weights (y, x) of the scene."""
        self.planes.write(self.window.within(self.window), weights, 2 * self.bands + 1)

    def _read(self, planes: Sequence[int], window: Window | None = None) -> NDArray[np.float32]:
        return np.asarray(self.planes.read((window or self.window).within(self.window), planes), np.float32)

    def _added(self, bands: Sequence[int]) -> NDArray[np.float32]:
        step = [self.step[band] for band in bands] if self.step else [0.0] * len(bands)
        return np.array(step, np.float32)[:, None, None]


def thin(work: Thin) -> Thinned:
    """Means of one scene over the cells of the coarse grid. A task for a worker."""
    layer, step = work.layer, work.step
    y0, x0 = layer.window.y0 // step, layer.window.x0 // step
    y1, x1 = -(-layer.window.y1 // step), -(-layer.window.x1 // step)
    p = layer.stack.dn.shape[0]
    planes = Planes.create(work.path, (2 * p + 2, y1 - y0, x1 - x0), "float32")
    apart = max(1, math.isqrt(math.prod(layer.window.shape) // _SAMPLE_PX))
    sample = [np.empty((p, 0), np.float32)]
    totals = np.zeros(3)
    rows = step * max(1, _STRIP // step)
    for top in range(y0 * step, y1 * step, rows):
        window = Window(top, min(top + rows, y1 * step), x0 * step, x1 * step)
        (stack,), (codes,) = filled((layer,), window, p)
        first = -(top - y0 * step) % apart
        sample.append(stack[:, first::apart, ::apart][:, codes[first::apart, ::apart] == USABLE])
        kinds = (codes != EMPTY, codes == USABLE, (codes == USABLE) | (codes == LENIENT))
        counts = np.stack([_cells(mask, step) for mask in kinds])
        totals += counts.sum(axis=(1, 2))
        cells = np.empty((2 * p + 2, *counts.shape[1:]), np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            for band in range(p):
                seen, clear, lenient = (
                    _cells(np.where(mask, stack[band], 0), step) / count
                    for mask, count in zip(kinds, counts, strict=True)
                )
                cells[band], cells[p + band] = seen, np.where(counts[1] > 0, clear, lenient)
        cells[2 * p], cells[2 * p + 1] = counts[1] / (step * step), 0
        first = top // step - y0
        planes.write(Window(first, first + cells.shape[1], 0, x1 - x0), cells)
    return Thinned(
        window=Window(y0, y1, x0, x1),
        planes=planes,
        name=work.name,
        any_clear=bool(totals[2]),
        cloud_share=float(1 - totals[1] / max(totals[0], 1)),
        dark=_dark(layer.stack, np.concatenate(sample, axis=1)),
    )


def _dark(stack: Stack, sample: NDArray[np.float32]) -> tuple[Dark, ...]:
    """Of reflectance (p, k) that holds the offset of the metadata."""
    told = [np.float32(offset * scale) for offset, scale in zip(stack.offset, stack.scale, strict=True)]
    every = np.ones(sample.shape[1], bool)
    return tuple(dark_quantiles(band - step, every, 1.0) for band, step in zip(sample, told, strict=True))


def _cells(values: NDArray[np.generic], step: int) -> NDArray[np.float64]:
    rows, columns = values.shape
    cells = values.reshape(rows // step, step, columns // step, step)
    return np.asarray(cells.sum(axis=(1, 3), dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Overlap:
    """Two scenes whose colours are to be compared."""

    first: Thinned
    second: Thinned
    sample: int
    """Cells to look at, at most."""

    def __str__(self) -> str:
        return f"comparing {self.first.name} and {self.second.name}"


def overlap(work: Overlap) -> OverlapStatistics | None:
    """What two scenes say of each other, from afar; None where no cell is clear in both. A task for a worker."""
    window = work.first.window.shared(work.second.window)
    if window is None:
        return None
    valid = [each.mostly_clear(window) for each in (work.first, work.second)]
    if not (valid[0] & valid[1]).any():
        return None
    options = balance.BalanceOptions(sample_pixels=work.sample)
    corner = window.y0, window.x0
    first, second = (each.means(window) for each in (work.first, work.second))
    return balance.statistics(balance.summarise(first, valid[0], second, valid[1], corner, options), options)


def area(seen: Thinned) -> AreaSum:
    """What a scene puts into the picture, from afar. A task for a worker."""
    return balance.area_sum(seen.means(), seen.mostly_clear())


@dataclass(frozen=True, eq=False)
class Outputs:
    """Planes of a mosaic."""

    mosaic: Planes
    """(p, y, x) int16, reflectance in ten thousandths, -32768 no data."""
    evidence: Planes
    """(4, y, x) int32: clear observations, scene (from 1), date (year month day), quality (1 strict, 2 lenient)."""


@dataclass(frozen=True, eq=False)
class Compose:
    """One block of the mosaic."""

    layers: tuple[LayerStack, ...]
    window: Window
    shape: tuple[int, int]
    options: ComposeSection
    labels: NDArray[np.int16] | None
    """Coarse labels of the whole mosaic, of methods that choose scenes."""
    step: int
    blending: blend.BlendOptions
    days: tuple[int, ...]
    """Date of each scene as year month day, 0 not known."""
    out: Outputs
    strip_bytes: int
    """Memory for the scenes of the strips that a block is worked off in."""
    opinion: tuple[int, int, int] | None = None
    """Blue, red and near infrared, where the other dates have a say in what is cloud."""

    @property
    def key(self) -> str:
        """Name in the journal."""
        window = self.window
        return f"block:{window.y0}:{window.y1}:{window.x0}:{window.x1}"

    def __str__(self) -> str:
        return f"composing rows {self.window.y0} to {self.window.y1}"


@dataclass(frozen=True)
class Composed:
    """What a block was made of."""

    key: str
    pixels: tuple[int, int, int]
    """Of quality 0 (nothing), 1 (strict), 2 (lenient)."""
    used: tuple[int, ...]
    """Pixels that each scene gave, for methods that choose."""


def compose(work: Compose) -> Composed:
    """Make one block and write it to the planes. A task for a worker."""
    return _chosen(work) if work.labels is not None else _reduced(work)


def _chosen(work: Compose) -> Composed:
    """A block of scenes that flow into each other; only those that give something are held as a whole."""
    assert work.labels is not None
    padded = work.window.padded(blend.halo_px(work.blending), work.shape)
    inner = work.window.within(padded).slices
    numbers = covering(work.layers, padded)
    if not numbers:
        return _nothing(work)
    codes = np.concatenate([_codes(work, numbers, strip) for strip in _strips(work, padded, len(numbers))], axis=1)
    valid, quality = usable(codes)
    count = (codes[:, *inner] == USABLE).sum(axis=0)
    del codes
    labels = _labels(work, numbers, valid, padded)
    giving = np.unique(labels[labels >= 0])
    if not giving.size:
        return _write(work, _empty(work), count, None, quality[inner])
    back = np.full(len(numbers) + 1, -1, np.int16)
    back[giving] = np.arange(giving.size, dtype=np.int16)
    own, valid = back[labels], valid[giving]
    stack, _ = filled([work.layers[numbers[each]] for each in giving], padded, work.out.mosaic.shape[0])
    picture = blend.blend(stack, valid, own, work.blending)[:, *inner]
    source = np.where(labels[inner] >= 0, np.array(numbers, np.int16)[np.maximum(labels[inner], 0)], -1)
    return _write(work, picture, count, source, quality[inner])


def _reduced(work: Compose) -> Composed:
    """A block of a statistic, strip by strip, or of the one observation that it chooses pixel by pixel."""
    numbers = covering(work.layers, work.window)
    if not numbers:
        return _nothing(work)
    options = reduce.ReduceOptions(method=work.options.method, percentile=work.options.percentile, deviations=False)
    pictures, counts, sources, qualities = [], [], [], []
    layers = [work.layers[number] for number in numbers]
    for strip in _strips(work, work.window, len(numbers)):
        stack, codes = filled(layers, strip, work.out.mosaic.shape[0])
        if work.opinion is not None:
            codes = second_opinion(stack, codes, work.opinion)
        valid, quality = usable(codes)
        score = None
        if options.method == "weighted":
            score = _weights(layers, strip, work.step)
            # What lies at the rim of clouds weighs little, but where there is nothing else it counts.
            score = np.maximum(score, np.float32(_LEAST_WEIGHT))
        found = reduce.reduce(stack, valid, options, score=score)
        pictures.append(found.composite)
        counts.append((codes == USABLE).sum(axis=0))
        qualities.append(quality)
        if found.source is not None:
            chosen = np.array(numbers, np.int16)[np.maximum(found.source, 0)]
            sources.append(np.where(found.source >= 0, chosen, -1))
    source = np.concatenate(sources) if sources else None
    return _write(work, np.concatenate(pictures, axis=1), np.concatenate(counts), source, np.concatenate(qualities))


def _nothing(work: Compose) -> Composed:
    return _write(work, _empty(work), None, None, None)


def _empty(work: Compose) -> NDArray[np.float32]:
    return np.full((work.out.mosaic.shape[0], *work.window.shape), np.nan, np.float32)


def _strips(work: Compose, window: Window, scenes: int) -> Iterator[Window]:
    """Rows of a window for which all scenes can be held at once."""
    per_row = window.shape[1] * scenes * strip_bytes(work.out.mosaic.shape[0], opinion=work.opinion is not None)
    rows = max(1, work.strip_bytes // per_row)
    for part in blocks(window.shape, rows):
        yield Window(window.y0 + part.y0, window.y0 + part.y1, window.x0, window.x1)


def strip_bytes(bands: int, *, opinion: bool) -> int:
    """Bytes that a pixel of one scene takes while a strip is reduced: measured, not derived."""
    return 4 * bands + 16 + (40 if opinion else 0)


def _codes(work: Compose, numbers: Sequence[int], window: Window) -> NDArray[np.uint8]:
    """Codes (t, y, x) of the scenes, with what the other dates say of them."""
    layers = [work.layers[number] for number in numbers]
    if work.opinion is None:
        codes = np.full((len(layers), *window.shape), EMPTY, np.uint8)
        for layer, out in zip(layers, codes, strict=True):
            out[:] = filled([layer], window, work.out.mosaic.shape[0])[1][0]
        return codes
    stack, codes = filled(layers, window, work.out.mosaic.shape[0])
    return second_opinion(stack, codes, work.opinion)


def _weights(layers: Sequence[LayerStack], window: Window, step: int) -> NDArray[np.float32]:
    """Weights (t, y, x) of the scenes, from those of their cells, linear between the centres of cells."""
    found = np.zeros((len(layers), *window.shape), np.float32)
    for layer, out in zip(layers, found, strict=True):
        assert layer.weights is not None
        last, rows, columns = layer.weights.shape
        cells = layer.weights.read(Window(0, rows, 0, columns), last - 1)
        y = (np.arange(window.y0, window.y1) + 0.5) / step - 0.5 - layer.window.y0 // step
        x = (np.arange(window.x0, window.x1) + 0.5) / step - 0.5 - layer.window.x0 // step
        out[:] = _between(_between(cells, y), x, axis=1)
    return found


def _between(values: NDArray[np.generic], at: NDArray[np.float64], axis: int = 0) -> NDArray[np.float32]:
    """Linear between neighbours along an axis, at places in units of the index; the border goes on."""
    place = np.clip(at, 0, values.shape[axis] - 1)
    low = np.minimum(place.astype(np.intp), max(values.shape[axis] - 2, 0))
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = (place - low).astype(np.float32)
    share = share[:, None] if axis == 0 else share
    return np.asarray(np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share, np.float32)


def second_opinion(
    stack: NDArray[np.float32], codes: NDArray[np.uint8], bands: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Codes (t, y, x) corrected by what the other dates say; ``bands`` are blue, red and near infrared.

    What looks like cloud beside the other dates is masked; what looks the same on three dates is ground, and used as
    what the lenient classes leave.
    """
    blue, red, nir = (stack[:, band] for band in bands)
    with np.errstate(invalid="ignore", divide="ignore"):
        ndvi = np.where(nir + red > 0.01, (nir - red) / (nir + red), 0).astype(np.float32)
    clear, seen = codes == USABLE, codes != EMPTY
    # What is not clear may be no number, and is not asked.
    middle = reduce.reduce(np.stack([blue, ndvi], axis=1), clear, _MEDIAN).composite
    deviation = reduce.reduce(np.abs(blue - middle[0])[:, None], clear, _MEDIAN).composite[0]
    doubtful = temporal.suspicious(blue, ndvi, clear, (middle[0], middle[1], deviation))
    ground = temporal.persistent(blue, nir, seen)
    out = np.where((codes == MASKED) & ground, LENIENT, codes)
    return np.where(doubtful, MASKED, out).astype(np.uint8)


def usable(codes: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """What of a stack is used (t, y, x): what is clear; where no scene is, what is clear by the lenient classes.

    Returns it with the quality (y, x): 1 clear, 2 lenient, 0 nothing.
    """
    clear = codes == USABLE
    lenient = codes == LENIENT
    any_clear = clear.any(axis=0)
    valid = clear | (lenient & ~any_clear)
    quality = np.where(any_clear, 1, np.where(lenient.any(axis=0), 2, 0)).astype(np.uint8)
    return valid, quality


def _labels(work: Compose, numbers: Sequence[int], valid: NDArray[np.bool_], padded: Window) -> NDArray[np.int16]:
    """Labels of the padded block, as indices of the scenes that are there."""
    assert work.labels is not None
    back = np.full(len(work.layers) + 1, -1, np.int16)
    back[np.array(numbers)] = np.arange(len(numbers), dtype=np.int16)
    return seams.refine(back[work.labels], valid, work.step, (padded.y0, padded.x0))


def _write(
    work: Compose,
    picture: NDArray[np.float32],
    count: NDArray[np.int64] | None,
    source: NDArray[np.int16] | None,
    quality: NDArray[np.uint8] | None,
) -> Composed:
    window, out = work.window, work.out
    seen = np.isfinite(picture).all(axis=0)
    stored = np.clip(np.rint(np.where(seen, picture, 0) / SCALE), NODATA + 1, 32767).astype(np.int16)
    out.mosaic.write(window, np.where(seen, stored, NODATA).astype(np.int16))
    days = np.array((*work.days, 0), np.int32)
    evidence = np.zeros((4, *window.shape), np.int32)
    if count is not None and quality is not None:
        evidence[0], evidence[3] = count, np.where(seen, quality, 0)
    if source is not None:
        evidence[1], evidence[2] = np.where(seen, source + 1, 0), np.where(seen, days[source], 0)
    out.evidence.write(window, evidence)
    used = np.zeros(len(work.layers), np.int64)
    if source is not None:
        used = np.bincount(source[(source >= 0) & seen], minlength=len(work.layers))
    totals = np.bincount(evidence[3].reshape(-1), minlength=3)
    return Composed(work.key, tuple(int(n) for n in totals[:3]), tuple(int(n) for n in used))  # type: ignore[arg-type]
