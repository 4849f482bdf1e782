"""The grids of a stack of features: which pixels of coarser bands are made of whole pixels of the finest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.features import proximity, stack
from groundshift.model.grid import METRES_PER_DEGREE, Window, metres_per_unit
from groundshift.pipelines.features_job import FeaturesJob
from groundshift.pipelines.mosaic_job import MosaicJob
from groundshift.pipelines.mosaic_plan import Layer, MosaicPlan

GUIDES = ("B02", "B03", "B04", "B08")
"""Bands of 10 m, which guide the coarser ones."""
_NEAR = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Bands that are read on one grid: the working grid, or one of pixels ``factor`` times as long."""

    factor: int
    bands: tuple[str, ...]
    job: MosaicJob
    plan: MosaicPlan
    """Its grid, and the scenes with the part of it that each may cover."""


def lattices(whole: MosaicPlan, bands: Sequence[str], job: FeaturesJob) -> tuple[dict[str, int], tuple[int, int]]:
    """How many pixels of the grid a pixel of each band is long, and where the largest begin, (row, column).

    1 for bands that are read on the grid itself: as fine, finer, or not on its lattice.
    """
    factors = dict.fromkeys(bands, 1)
    phase = (0, 0)
    if job.stack.sharpen == "none" or not any(band in bands for band in GUIDES):
        return factors, phase
    starts: dict[int, tuple[int, int]] = {}
    for band in bands:
        for layer in whole.layers:
            found = _on_lattice(layer.scene.bands[band].geobox, whole.geobox)
            if found is not None:
                factors[band], starts[found[0]] = found[0], found[1]
                break
    for factor in sorted(starts):
        merged = _common(phase, math.lcm(*(f for f in starts if f < factor), 1), starts[factor], factor)
        if merged is None:
            factors = {band: 1 if each == factor else each for band, each in factors.items()}
        else:
            phase = merged
    return factors, phase


def _on_lattice(coarse: GeoBox, fine: GeoBox) -> tuple[int, tuple[int, int]] | None:
    """(factor, (row, column) of its first pixel) of a grid whose pixels are made of whole pixels of a finer one."""
    if coarse.crs != fine.crs:
        return None
    relative = ~fine.affine * coarse.affine
    factor = round(relative.a)
    slack = max(abs(relative.a - factor), abs(relative.e - factor), abs(relative.b), abs(relative.d))
    start = round(relative.f), round(relative.c)
    off = max(abs(relative.f - start[0]), abs(relative.c - start[1]))
    if factor < 2 or slack * max(coarse.shape) > _NEAR or off > _NEAR:
        return None
    return factor, (start[0] % factor, start[1] % factor)


def _common(a: tuple[int, int], m: int, b: tuple[int, int], n: int) -> tuple[int, int] | None:
    """Where pixels of both lattices begin together; None: nowhere."""
    found = []
    for first, second in zip(a, b, strict=True):
        start = next((k for k in range(math.lcm(m, n)) if k % m == first % m and k % n == second % n), None)
        if start is None:
            return None
        found.append(start)
    return found[0], found[1]


def aligned(window: Window, halo: int, phase: tuple[int, int], multiple: int) -> Window:
    """A window with its halo, grown until it begins and ends where the largest pixels do."""
    y0, x0 = (
        (start - halo - first) // multiple * multiple + first
        for start, first in zip((window.y0, window.x0), phase, strict=True)
    )
    y1, x1 = (
        -(-(end + halo - first) // multiple) * multiple + first
        for end, first in zip((window.y1, window.x1), phase, strict=True)
    )
    return Window(y0, y1, x0, x1)


def group_of(
    whole: MosaicPlan, job: MosaicJob, around: Window, factor: int, bands: Sequence[str], factors: dict[str, int]
) -> Group:
    """The bands of one factor, on their grid."""
    chosen = tuple(band for band in bands if factors[band] == factor)
    rows, columns = (side // factor for side in around.shape)
    affine = whole.geobox.affine * Affine.translation(around.x0, around.y0) * Affine.scale(factor)
    layers, dropped = [], list(whole.dropped)
    for layer in whole.layers:
        part = layer.window.shared(around)
        if part is None:
            dropped.append((layer.scene.name, "outside of the area of interest"))
            continue
        local = part.within(around)
        window = Window(local.y0 // factor, -(-local.y1 // factor), local.x0 // factor, -(-local.x1 // factor))
        layers.append(Layer(layer.reader, window))
    clouds = job.clouds if factor == 1 else job.clouds.model_copy(update={"mask": "none"})
    grid = job.grid.model_copy(update={"bands": chosen})
    return Group(
        factor=factor,
        bands=chosen,
        job=job.model_copy(update={"grid": grid, "clouds": clouds}),
        plan=replace(
            whole,
            layers=tuple(layers),
            dropped=tuple(dropped),
            geobox=GeoBox((rows, columns), affine, whole.geobox.crs),
            area=None,
        ),
    )


def around_roads(grid: GeoBox) -> GeoBox:
    """A grid with as much around it as distances to roads reach."""
    return grid.pad(proximity.halo_px(mean_sides_m(grid), stack.ROADS_LIMIT_M))


def pixel_sides_m(grid: GeoBox) -> tuple[NDArray[np.float64] | float, float]:
    """Width of the pixels of each row, and height of all, in metres."""
    width, height = abs(grid.affine.a), abs(grid.affine.e)
    unit = metres_per_unit(grid.crs)
    if not grid.crs.geographic:
        return width * unit, height * unit
    rows = grid.affine.f + grid.affine.e * (np.arange(grid.shape[0]) + 0.5)
    return width * METRES_PER_DEGREE * np.cos(np.radians(rows)), height * unit


def mean_sides_m(grid: GeoBox) -> tuple[float, float]:
    """Height and width of the pixels in the middle of a grid, in metres."""
    width, height = pixel_sides_m(grid)
    return height, float(np.median(width))
