"""The synthetic year as the benchmarks of land cover use it: fields, samples of them, and a calendar of reflectance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from groundshift.landcover.samples import SampleOptions, Samples, draw
from groundshift.model.grid import Window, blocks
from groundshift.testing.geodesy import tile_corner
from groundshift.testing.reference import Reference
from groundshift.testing.scenes import SceneOptions
from groundshift.testing.year import TILE, SyntheticYear, YearOptions

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
_EVERY_DAYS, _STEP_DAYS, _STRIP_ROWS = 10, 20, 120


def year(seed: int, size_px: int, **changes: float) -> SyntheticYear:
    """A square landscape."""
    scene = SceneOptions(seed=seed, shape=(size_px, size_px), noise=0.006)
    return SyntheticYear(options=YearOptions(scene=scene, **changes))  # type: ignore[arg-type]


def series_at(of: SyntheticYear, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, step * band) reflectance of pixels, every twenty days, between clear dates as on a straight line."""
    days = of.dates(_EVERY_DAYS)
    at = np.array([day.timetuple().tm_yday for day in days], float)
    steps = np.arange(at[0] + _STEP_DAYS, at[-1], _STEP_DAYS)
    result = np.empty((len(rows), len(BANDS) * len(steps)), np.float32)
    for window in blocks(of.shape, _STRIP_ROWS):
        here = np.flatnonzero((rows >= window.y0) & (rows < window.y1))
        if here.size:
            values, clear = _strip(of, window, days, rows[here] - window.y0, columns[here])
            for k, pixel, usable in zip(here, values, clear, strict=True):
                result[k] = np.concatenate([np.interp(steps, at[usable], band[usable]) for band in pixel.T])
    return result


def _strip(
    of: SyntheticYear, window: Window, days: Sequence[date], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(n, time, band) reflectance and (n, time) usable, of pixels of a strip; a pixel that is never clear is so once."""
    values = np.stack([of.series(window, BANDS, [day])[0, :, rows, columns] for day in days], axis=1)
    clear = of.valid(window, days)[:, rows, columns].T
    clear[~clear.any(axis=1), 0] = True
    return values, clear


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """Samples of surveyed fields."""

    samples: Samples
    truth: NDArray[np.uint8]
    """(n,) true class of the field of each sample."""
    features: NDArray[np.float32]


def survey(of: SyntheticYear, fields: Reference, per_class: int, block_px: int, seed: int = 0) -> Survey:
    """Samples of fields: polygons to pixels, eroded, capped."""
    _, x, y = tile_corner(TILE)
    place = {"out_shape": of.shape, "transform": Affine(10, 0, x, 0, -10, y)}
    numbers = range(1, len(fields.label) + 1)
    polygons = rasterize(zip(fields.polygons, numbers, strict=True), dtype="int32", **place)
    labels = np.concatenate([[0], fields.label]).astype(np.uint8)[polygons]
    drawn = draw(labels, SampleOptions(per_class=per_class, block_px=block_px, seed=seed), polygons=polygons)
    return Survey(
        samples=drawn,
        truth=fields.truth[drawn.polygon - 1],
        features=series_at(of, drawn.row, drawn.column),
    )
