"""The fewest, newest scenes that show an area clear: their scene classifications from afar, then the scene list.

On request the masks of the scenes of the list are then read at full resolution, one after the other, and after each of
them the rest is solved again, until all of the list is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.clouds import scl
from groundshift.clouds.preview import PreviewNet
from groundshift.composite import select
from groundshift.composite.select import Candidate, SceneList, Selection, SelectOptions
from groundshift.composite.select_cover import Cover
from groundshift.errors import CloudWarning, GroundshiftWarning, NoDataError
from groundshift.execution.progress import Progress, Silent
from groundshift.io import opening, previews, vector
from groundshift.io.atomic import write_text
from groundshift.model.grid import Window, pixel_size_m
from groundshift.model.scene import OpenOptions, Reader
from groundshift.model.scl import SceneClass
from groundshift.pipelines import mosaic_plan
from groundshift.pipelines.mosaic_job import MosaicJob
from groundshift.pipelines.mosaic_plan import Layer, MosaicPlan
from groundshift.pipelines.scene_names import expanded

CELL_M = 160.0
"""Side of a cell: eight pixels of the scene classification."""
_SCL_M = 20.0
_STRIP = 64
"""Rows of cells that are looked at together in full resolution."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """What came out."""

    listed: SceneList
    selection: Selection
    dropped: tuple[tuple[str, str], ...]
    """Scenes that were no candidates, and why."""
    clear_percent: tuple[float, ...]
    """Of the area that each chosen scene shows clear."""
    warnings: tuple[GroundshiftWarning, ...]
    looked: tuple[str, ...] = ()
    """Scenes that were looked at in full resolution, in that order."""
    covered_percent: float | None = None
    """Of the pixels of the area (20 m) that the list shows clear; None: nobody looked at full resolution."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What is looked at, and how."""

    job: MosaicJob
    plan: MosaicPlan
    fine: GeoBox
    """Pixels of the scene classification."""
    coarse: GeoBox
    """Cells, each of ``factor`` by ``factor`` of those pixels."""
    factor: int
    wanted: NDArray[np.bool_]
    """(y, x) cells of the area."""


@dataclass(frozen=True, eq=False)
class RealMask:
    """What of a scene is clear, at full resolution."""

    window: Window
    """Cells that it may cover."""
    pixels: NDArray[np.uint8]
    """(y, x / 8) bits of the pixels of those cells."""
    cells: NDArray[np.bool_]
    """(y, x) of the whole coarse grid: all pixels of the cell that lie in the area are clear."""


def run(
    scenes: Sequence[str],
    job: MosaicJob,
    options: SelectOptions | None = None,
    progress: Progress | None = None,
    out: Path | None = None,
    *,
    full_resolution: bool = False,
) -> Chosen:
    """Choose scenes.

    Args:
        scenes: candidates, as :func:`groundshift.io.opening.open_scene` takes them, and folders of them.
        job: of the mosaic that they are for: area, dates, bands, classes that are masked.
        options: of the choice.
        progress: told of each scene that was looked at.
        out: where to write the list, as JSON.
        full_resolution: read the masks of the scenes of the list at full resolution, and solve again after each.

    Raises:
        NoDataError: no scene is left, or none shows anything clear.
        GroundshiftError: as opening and planning raise it.
    """
    progress = progress or Silent()
    readers = [opening.open_scene(text, OpenOptions(verify=job.input.verify)) for text in expanded(scenes)]
    look = _look(mosaic_plan.make(readers, job), job)
    layers = look.plan.layers
    rows, haze, warnings = [], [], []
    with progress.stage("looking", len(layers)) as advance:
        for layer in layers:
            if layer.scene.classification is None:
                warnings.append(
                    CloudWarning(
                        f"{layer.scene.name} has no scene classification: its clouds are judged by its colours."
                    )
                )
            clear = clear_cells(layer.reader, look.coarse, job)
            rows.append(np.flatnonzero(clear[look.wanted]).astype(np.int32))
            haze.append(hazy_share(layer.reader, look.coarse, clear & look.wanted))
            advance(1)
    newest = max((layer.scene.sensing_time for layer in layers if layer.scene.sensing_time), default=None)
    candidates = [_candidate(layer.reader, newest, hazy) for layer, hazy in zip(layers, haze, strict=True)]
    cover = Cover.from_rows(rows, int(look.wanted.sum()))
    if not any(len(row) for row in rows):
        raise NoDataError(f"none of the {len(rows)} scenes shows anything of the area clear: add scenes or dates.")
    found = select.select(candidates, cover, options)
    masks: dict[int, RealMask] = {}
    if full_resolution:
        cover, masks = _looked_through(look, found, candidates, cover, options, progress)
        # Now that all of the list is read, the cheapest list of what is read; it was free while it was sought.
        read = sorted(masks)
        candidates, cover = [candidates[i] for i in read], Cover.from_rows([cover.row(i) for i in read], cover.cells)
        found = select.select(candidates, cover, options)
    listed = select.scene_list(found, candidates, cover, options)
    if full_resolution:
        listed = replace(listed, candidates=len(layers))
    if out is not None:
        write_text(out, select.to_json(listed))
    real = [masks[sorted(masks)[i]] for i in found.chosen] if masks else []
    return Chosen(
        listed=listed,
        selection=found,
        dropped=look.plan.dropped,
        clear_percent=tuple(100 * len(cover.row(i)) / cover.cells for i in found.chosen),
        warnings=tuple(warnings),
        looked=tuple(layers[i].scene.name for i in masks),
        covered_percent=_covered(look, real) if real else None,
    )


def _look(plan: MosaicPlan, job: MosaicJob) -> Look:
    size = pixel_size_m(plan.geobox) or _SCL_M
    step = max(1, round(_SCL_M / size))
    factor = max(1, round(CELL_M / (size * step)))
    fine = plan.geobox.zoom_out(step) if step > 1 else plan.geobox
    coarse = fine.zoom_out(factor) if factor > 1 else fine
    wanted = np.ones(coarse.shape, bool) if plan.area is None else vector.rasterise_mask(plan.area, coarse)
    if not wanted.any():
        wanted = np.ones(coarse.shape, bool)
    return Look(job=job, plan=plan, fine=fine, coarse=coarse, factor=factor, wanted=wanted)


# ---- full resolution -----------------------------------------------------------------------------------------------


def _looked_through(
    look: Look,
    found: Selection,
    candidates: Sequence[Candidate],
    cover: Cover,
    options: SelectOptions | None,
    progress: Progress,
) -> tuple[Cover, dict[int, RealMask]]:
    """Read the real mask of the scene of the list that adds most, solve again, until all of the list is read."""
    masks: dict[int, RealMask] = {}
    with progress.stage("looking closely", len(found.chosen)) as advance:
        while unread := [i for i in found.chosen if i not in masks]:
            i = unread[0]
            masks[i] = real_mask(look, look.plan.layers[i])
            known = {candidates[i].id: masks[i].cells[look.wanted]}
            try:
                found, cover = select.resolve(found, candidates, cover, known, options)
            except NoDataError:
                raise NoDataError(
                    "at full resolution none of the scenes shows a whole cell of the area clear: add scenes or dates."
                ) from None
            advance(1)
    return cover, masks


def real_mask(look: Look, layer: Layer) -> RealMask:
    """What of a scene is clear at full resolution, in strips of rows."""
    factor, (rows, columns) = look.factor, look.coarse.shape
    per_cell = look.plan.geobox.shape[0] / look.fine.shape[0] * factor
    window = Window(
        int(layer.window.y0 / per_cell),
        min(rows, math.ceil(layer.window.y1 / per_cell)),
        int(layer.window.x0 / per_cell),
        min(columns, math.ceil(layer.window.x1 / per_cell)),
    )
    cells = np.zeros((rows, columns), bool)
    packed = []
    for y0 in range(window.y0, window.y1, _STRIP):
        part = Window(y0, min(y0 + _STRIP, window.y1), window.x0, window.x1)
        pixels = Window(part.y0 * factor, part.y1 * factor, part.x0 * factor, part.x1 * factor)
        clear = clear_cells(layer.reader, _moved(look.fine, pixels), look.job)
        packed.append(np.packbits(clear, axis=1))
        whole = clear | ~_inside(look, pixels)
        shape = (part.shape[0], factor, part.shape[1], factor)
        cells[part.slices] = whole.reshape(shape).all(axis=(1, 3)) & clear.reshape(shape).any(axis=(1, 3))
    return RealMask(window, np.concatenate(packed), cells)


def _moved(grid: GeoBox, window: Window) -> GeoBox:
    """A window of a grid that may reach beyond it."""
    return GeoBox(window.shape, grid.affine * Affine.translation(window.x0, window.y0), grid.crs)


def _inside(look: Look, pixels: Window) -> NDArray[np.bool_]:
    """Pixels (y, x) of a window that lie in the area."""
    inside = np.zeros(pixels.shape, bool)
    own = Window(pixels.y0, min(pixels.y1, look.fine.shape[0]), pixels.x0, min(pixels.x1, look.fine.shape[1]))
    area = look.plan.area
    there = np.s_[: own.shape[0], : own.shape[1]]
    inside[there] = True if area is None else vector.rasterise_mask(area, look.fine, own)
    return inside


def _covered(look: Look, masks: Sequence[RealMask]) -> float:
    """Percent of the pixels of the area that any of the masks shows clear."""
    factor, (rows, columns) = look.factor, look.coarse.shape
    seen = total = 0
    for y0 in range(0, rows, _STRIP):
        part = Window(y0, min(y0 + _STRIP, rows), 0, columns)
        pixels = Window(part.y0 * factor, part.y1 * factor, 0, columns * factor)
        inside, union = _inside(look, pixels), np.zeros(pixels.shape, bool)
        for mask in masks:
            top, bottom = max(part.y0, mask.window.y0), min(part.y1, mask.window.y1)
            if top >= bottom:
                continue
            width = mask.window.shape[1] * factor
            own = slice((top - mask.window.y0) * factor, (bottom - mask.window.y0) * factor)
            x0 = mask.window.x0 * factor
            there = slice((top - part.y0) * factor, (bottom - part.y0) * factor), slice(x0, x0 + width)
            union[there] |= np.unpackbits(mask.pixels[own], axis=1, count=width).astype(bool)
        seen, total = seen + int((union & inside).sum()), total + int(inside.sum())
    return 100 * seen / max(total, 1)


# ---- what scenes show ----------------------------------------------------------------------------------------------


def clear_cells(reader: Reader, grid: GeoBox, job: MosaicJob) -> NDArray[np.bool_]:
    """Cells (y, x) of a coarse grid that a scene shows clear, clouds and shadows grown; else by colours."""
    size = pixel_size_m(grid) or CELL_M
    growth = job.clouds.cloud_dilation_m / size, job.clouds.shadow_dilation_m / size
    halo = scl.halo_px(*growth)
    classes = reader.read_classification(grid.pad(halo))
    if classes is None:
        picture = previews.of(reader).picture(grid)
        if picture is None:
            return np.asarray(reader.read([job.grid.bands[0]], grid, "nearest").valid[0])
        rgb, valid = picture.on(grid)
        return np.asarray(valid & ~scl.grow(PreviewNet().look(rgb, valid, reader.scene.level).cloud, growth[0]))
    inner = Window(halo, halo + grid.shape[0], halo, halo + grid.shape[1]).slices
    usable = scl.usable(classes, job.clouds.classes, *growth)[inner]
    return np.asarray(usable & (classes[inner] != SceneClass.NO_DATA))


def hazy_share(reader: Reader, grid: GeoBox, cells: NDArray[np.bool_]) -> float:
    """Share of some cells (y, x) of a coarse grid that are hazy; 0 where no small copy of the colours tells."""
    picture = previews.of(reader).picture(grid, small=True) if cells.any() else None
    if picture is None:
        return 0.0
    y, x = (np.flatnonzero(cells.any(axis=axis)) for axis in (1, 0))
    there = np.s_[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
    rgb, valid = picture.on(grid[there])
    known = cells[there] & valid
    return float(PreviewNet().look(rgb, valid, reader.scene.level).haze[known].mean()) if known.any() else 0.0


def _candidate(reader: Reader, newest: datetime | None, haze: float) -> Candidate:
    scene = reader.scene
    time = scene.sensing_time
    found = Candidate(
        id=scene.name,
        age_days=0.0,
        haze=haze,
        orbit=scene.relative_orbit,
        tile=scene.tile or "",
        href=scene.href,
    )
    if time is None or newest is None:
        return found
    days = (newest - time).total_seconds() / 86_400
    return replace(found, age_days=days, day_of_year=time.timetuple().tm_yday, date=f"{time:%Y-%m-%d}")
