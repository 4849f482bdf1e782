"""How good a mosaic is, seen from itself: the step where one scene goes over into another, and cloud that was left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundshift.clouds.masker import classify
from groundshift.clouds.unet import NEEDED, UNet
from groundshift.model.cloudmask import CloudClass
from groundshift.model.grid import Window, blocks, pixel_size_m
from groundshift.pipelines.mosaic_blocks import NODATA, SCALE, Outputs

if TYPE_CHECKING:
    from groundshift.pipelines.mosaic import Run

_ROWS = 256
_BINS = 1000
"""Of steps, each of one stored number."""
_THIN = 8
"""Of pairs that lie elsewhere, rows between those that are looked at."""
_CELLS = 512
_MOST_BLOCKS = 16
"""Of cells, in which cloud is looked for; of more, some are taken evenly."""
_COARSEST_M = 60.0
"""Pixels beyond this size are none that the network knows."""


@dataclass(frozen=True)
class Quality:
    """Figures of the report."""

    at_seams: tuple[float, ...]
    """Median step between neighbouring pixels of two scenes, reflectance, a band each; empty: there are none."""
    elsewhere: tuple[float, ...]
    """The same between neighbours of one scene."""
    seam_pairs: int
    cloud_percent: float | None
    """Of the mosaic, cloud by our network; None: bands or pixel size are none that it knows."""


@dataclass(frozen=True, eq=False)
class Strip:
    """Rows in which steps are counted."""

    out: Outputs
    window: Window

    def __str__(self) -> str:
        return f"looking at the seams of rows {self.window.y0} to {self.window.y1}"


@dataclass(frozen=True, eq=False)
class Block:
    """Cells in which cloud is looked for."""

    out: Outputs
    window: Window
    """In cells."""
    factor: int
    """Pixels a side of a cell."""
    bands: tuple[str, ...]

    def __str__(self) -> str:
        return "looking for cloud that was left"


def check(state: Run) -> Quality:
    """Look over the planes of a mosaic, all blocks of which are composed."""
    assert state.out is not None
    out, pool, shape = state.out, state.pool, state.shape
    size = pixel_size_m(state.plan.geobox)
    strips = [Strip(out, window) for window in blocks(shape, _ROWS)] if state.labels is not None else []
    known = size is not None and size <= _COARSEST_M and set(NEEDED) <= set(state.job.grid.bands)
    factor = max(1, round(UNet().resolution_m / size)) if known and size else 1
    cells = shape[0] // factor, shape[1] // factor
    every = list(blocks(cells, _CELLS, _CELLS))
    some = every[:: max(1, -(-len(every) // _MOST_BLOCKS))]
    work = [Block(out, window, factor, state.job.grid.bands) for window in some]
    with state.stage("check", len(strips) + len(work) * known) as advance:
        counted = pool.run(steps, strips, lambda _: advance(1), str)
        seen = pool.run(cloud, work if known else [], lambda _: advance(1), str)
    at, off = (sum((found[i] for found in counted), np.zeros((1, 1), np.int64)) for i in range(2))
    clouded, looked = (sum(found[i] for found in seen) for i in range(2))
    pairs = int(at[0].sum())
    return Quality(
        at_seams=tuple(_median(band) * SCALE for band in at) if pairs else (),
        elsewhere=tuple(_median(band) * SCALE for band in off) if pairs else (),
        seam_pairs=pairs,
        cloud_percent=100 * clouded / looked if looked else None,
    )


def steps(work: Strip) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Histograms (band, step) of the steps at seams and elsewhere, of one strip. A task for a worker."""
    bands, rows, columns = work.out.mosaic.shape
    window = Window(work.window.y0, min(work.window.y1 + 1, rows), 0, columns)
    source = work.out.evidence.read(window, 1).astype(np.int32)
    stored = work.out.mosaic.read(window).astype(np.int32)
    at, off = np.zeros((bands, _BINS), np.int64), np.zeros((bands, _BINS), np.int64)
    height = work.window.shape[0]
    for here, there in (
        (np.s_[:height, :-1], np.s_[:height, 1:]),
        (np.s_[: window.shape[0] - 1, :], np.s_[1:, :]),
    ):
        both = (source[here] > 0) & (source[there] > 0)
        seam = both & (source[here] != source[there])
        same = both & ~seam
        same[np.arange(len(same)) % _THIN != 0] = False
        for where, counts in ((np.nonzero(seam), at), (np.nonzero(same), off)):
            for band in range(bands):
                step = np.abs(stored[band][here][where] - stored[band][there][where])
                counts[band] += np.bincount(np.minimum(step, _BINS - 1), minlength=_BINS)
    return at, off


def cloud(work: Block) -> tuple[int, int]:
    """Cells of cloud by our network, and cells with data, of one block. A task for a worker."""
    masker = UNet()
    _, rows, columns = work.out.mosaic.shape
    cells = rows // work.factor, columns // work.factor
    wide = work.window.padded(masker.halo_px, cells)
    pixels = Window(*(edge * work.factor for edge in (wide.y0, wide.y1, wide.x0, wide.x1)))
    stored = work.out.mosaic.read(pixels).astype(np.float32)
    known = (stored != NODATA).all(axis=0)
    valid = _means(known[None].astype(np.float32), work.factor)[0] == 1
    if not valid.any():
        return 0, 0
    chosen = masker.choose(work.bands)
    values = stored[[work.bands.index(band) for band in chosen]] * np.float32(SCALE)
    layers = _means(values, work.factor)
    codes = classify(masker.probabilities(np.where(valid, layers, 0), chosen, valid), valid)
    inner = codes[work.window.within(wide).slices]
    clouded = (inner == CloudClass.CLOUD) | (inner == CloudClass.THIN_CLOUD)
    return int(clouded.sum()), int((inner != CloudClass.NO_DATA).sum())


def _means(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Means over cells (band, y, x)."""
    bands, rows, columns = values.shape
    cells = values.reshape(bands, rows // factor, factor, columns // factor, factor)
    return np.asarray(cells.mean(axis=(2, 4)), np.float32)


def _median(counts: NDArray[np.int64]) -> float:
    """Middle of a histogram of whole numbers."""
    return float(np.searchsorted(np.cumsum(counts), np.sum(counts) / 2))
