"""The passes over the pixels of a mosaic, each a task for any worker: thin out a scene, compose a block.

Law: how the mosaic is cut into blocks changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundshift.clouds import temporal
from groundshift.composite import blend, reduce, seams
from groundshift.io.planes import Planes
from groundshift.model.grid import Window
from groundshift.pipelines.ingest import LENIENT, MASKED, Stack
from groundshift.pipelines.mosaic_job import ComposeSection
from groundshift.pipelines.mosaic_layers import LayerStack, filled
from groundshift.radiometry.audit import Dark, dark_quantiles
from groundshift.radiometry.reflectance import EMPTY, USABLE

NODATA = -32768
SCALE = 1e-4
CHOOSING = ("newest", "best")
"""Methods whose pixels are those of one scene over whole areas, with seams between."""
_STRIP = 512
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

    def __str__(self) -> str:
        return f"looking over {self.name}"


@dataclass(frozen=True, eq=False)
class Thinned:
    """A scene as it is seen from afar, and how much of it is clear."""

    window: Window
    """Cells of the coarse grid that it may cover."""
    reflectance: NDArray[np.float32]
    """(p, y, x) mean of the pixels with data, cloud or not; NaN where there are none."""
    clear: NDArray[np.float32]
    """(y, x) share of the cell that is clear by the strict classes."""
    lenient: NDArray[np.float32]
    """(y, x) share that is clear by the lenient ones, the strict included."""
    means: NDArray[np.float32]
    """(p, y, x) mean of the clear pixels; of the lenient ones where none is clear; NaN where there are none."""
    cloud_share: float
    """Of the pixels with data, not clear by the strict classes."""
    dark: tuple[Dark, ...]
    """How dark each band gets, as stored, before the offset; from some of the clear pixels."""


def thin(work: Thin) -> Thinned:
    """Means of one scene over the cells of the coarse grid."""
    layer, step = work.layer, work.step
    y0, x0 = layer.window.y0 // step, layer.window.x0 // step
    y1, x1 = -(-layer.window.y1 // step), -(-layer.window.x1 // step)
    p = layer.stack.dn.shape[0]
    sums = np.zeros((3, p, y1 - y0, x1 - x0))
    counts = np.zeros((3, y1 - y0, x1 - x0))
    rows = max(step, _STRIP // step * step)
    apart = max(1, math.isqrt(math.prod(layer.window.shape) // _SAMPLE_PX))
    sample = [np.empty((p, 0), np.float32)]
    for top in range(y0 * step, y1 * step, rows):
        window = Window(top, min(top + rows, y1 * step), x0 * step, x1 * step)
        numbers, stacks, masks = filled((layer,), window, p)
        if not numbers:
            continue
        stack, codes = stacks[0], masks[0]
        sample.append(stack[:, ::apart, ::apart][:, codes[::apart, ::apart] == USABLE])
        cells = slice(top // step - y0, -(-window.y1 // step) - y0)
        for k, mask in enumerate((codes != EMPTY, codes == USABLE, (codes == USABLE) | (codes == LENIENT))):
            counts[k, cells] += _cells(mask, step)
            for band in range(p):
                sums[k, band, cells] += _cells(np.where(mask, stack[band], 0), step)
    with np.errstate(invalid="ignore", divide="ignore"):
        seen, clear, lenient = (sums[k] / counts[k] for k in range(3))
    return Thinned(
        window=Window(y0, y1, x0, x1),
        reflectance=seen.astype(np.float32),
        clear=(counts[1] / (step * step)).astype(np.float32),
        lenient=(counts[2] / (step * step)).astype(np.float32),
        means=np.where(counts[1] > 0, clear, lenient).astype(np.float32),
        cloud_share=float(1 - counts[1].sum() / max(counts[0].sum(), 1)),
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
    halo = blend.halo_px(work.blending) if work.labels is not None else 0
    padded = work.window.padded(halo, work.shape)
    bands = work.out.mosaic.shape[0]
    numbers, stack, codes = filled(work.layers, padded, bands)
    inner = (
        slice(work.window.y0 - padded.y0, work.window.y1 - padded.y0),
        slice(work.window.x0 - padded.x0, work.window.x1 - padded.x0),
    )
    if not numbers:
        return _write(work, np.full((bands, *work.window.shape), np.nan, np.float32), None, None, None)
    if work.opinion is not None:
        codes = second_opinion(stack, codes, work.opinion)
    valid, quality = usable(codes)
    count = (codes[:, *inner] == USABLE).sum(axis=0)
    if work.labels is not None:
        labels = _labels(work, numbers, valid, padded)
        picture = blend.blend(stack, valid, labels, work.blending)[:, *inner]
        source = np.where(labels[inner] >= 0, np.array(numbers, np.int16)[np.maximum(labels[inner], 0)], -1)
    else:
        options = reduce.ReduceOptions(method=work.options.method, percentile=work.options.percentile)
        found = reduce.reduce(stack, valid, options)
        picture = found.composite
        source = None
        if found.source is not None:
            source = np.where(found.source >= 0, np.array(numbers, np.int16)[np.maximum(found.source, 0)], -1)
    return _write(work, picture, count, source, quality[inner])


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
    pair = np.stack([np.nan_to_num(blue), np.nan_to_num(ndvi)], axis=1)
    middle = reduce.reduce(pair, clear, _MEDIAN).composite
    off = np.abs(np.nan_to_num(blue) - np.nan_to_num(middle[0]))[:, None].astype(np.float32)
    deviation = reduce.reduce(off, clear, _MEDIAN).composite[0]
    doubtful = temporal.suspicious(blue, ndvi, clear, (middle[0], middle[1], deviation))
    ground = temporal.persistent(blue, seen)
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
