"""The fewest, newest scenes that show an area clear: their scene classifications from afar, then the scene list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.clouds import scl
from groundshift.clouds.preview import PreviewRule
from groundshift.composite import select
from groundshift.composite.select import Candidate, SceneList, Selection, SelectOptions
from groundshift.composite.select_cover import Cover
from groundshift.errors import CloudWarning, GroundshiftWarning, NoDataError
from groundshift.execution.progress import Progress, Silent
from groundshift.io import opening, previews, vector
from groundshift.io.atomic import write_text
from groundshift.model.grid import Window, crop, pixel_size_m
from groundshift.model.scene import OpenOptions, Reader
from groundshift.model.scl import SceneClass
from groundshift.pipelines import mosaic_plan
from groundshift.pipelines.mosaic_job import MosaicJob

CELL_M = 160.0
"""Side of a cell: eight pixels of the scene classification."""


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


def run(
    scenes: Sequence[str],
    job: MosaicJob,
    options: SelectOptions | None = None,
    progress: Progress | None = None,
    out: Path | None = None,
) -> Chosen:
    """Choose scenes.

    Args:
        scenes: candidates, as :func:`groundshift.io.opening.open_scene` takes them.
        job: of the mosaic that they are for: area, dates, bands, classes that are masked.
        options: of the choice.
        progress: told of each scene that was looked at.
        out: where to write the list, as JSON.

    Raises:
        NoDataError: no scene is left, or none shows anything clear.
        GroundshiftError: as opening and planning raise it.
    """
    readers = [opening.open_scene(text, OpenOptions(verify=job.input.verify)) for text in dict.fromkeys(scenes)]
    plan = mosaic_plan.make(readers, job)
    grid = _coarse(plan.geobox)
    wanted = np.ones(grid.shape, bool) if plan.area is None else vector.rasterise_mask(plan.area, grid)
    if not wanted.any():
        wanted = np.ones(grid.shape, bool)
    rows, warnings = [], []
    with (progress or Silent()).stage("looking", len(plan.layers)) as advance:
        for layer in plan.layers:
            if layer.scene.classification is None:
                warnings.append(
                    CloudWarning(
                        f"{layer.scene.name} has no scene classification: its clouds are judged by its colours."
                    )
                )
            rows.append(np.flatnonzero(clear_cells(layer.reader, grid, job)[wanted]).astype(np.int32))
            advance(1)
    newest = max((layer.scene.sensing_time for layer in plan.layers if layer.scene.sensing_time), default=None)
    candidates = [_candidate(layer.reader, newest) for layer in plan.layers]
    cover = Cover.from_rows(rows, int(wanted.sum()))
    if not any(len(row) for row in rows):
        raise NoDataError(f"none of the {len(rows)} scenes shows anything of the area clear: add scenes or dates.")
    found = select.select(candidates, cover, options)
    listed = select.scene_list(found, candidates, cover, options)
    if out is not None:
        write_text(out, select.to_json(listed))
    clear = tuple(100 * len(rows[i]) / cover.cells for i in found.chosen)
    return Chosen(
        listed=listed,
        selection=found,
        dropped=plan.dropped,
        clear_percent=clear,
        warnings=tuple(warnings),
    )


def expanded(texts: Sequence[str]) -> list[str]:
    """Scenes by their names, with those of a list (``scenes.json``) in its place, but for its optional ones.

    Raises:
        ConfigError: a list that cannot be read.
    """
    found: list[str] = []
    for text in texts:
        listed = _list_in(Path(text)) if text.lower().endswith(".json") else None
        found += [text] if listed is None else [scene.href for scene in listed.scenes if not scene.optional]
    return list(dict.fromkeys(found))


def _list_in(path: Path) -> SceneList | None:
    """The scene list in a file, None where it is none (a STAC item, say)."""
    try:
        raw = path.read_bytes()
        content = json.loads(raw)
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or not {"scenes", "curve", "version"} <= content.keys():
        return None
    return select.from_json(raw)


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
        return np.asarray(valid & ~scl.grow(PreviewRule().look(rgb, valid, reader.scene.level).cloud, growth[0]))
    inner = Window(halo, halo + grid.shape[0], halo, halo + grid.shape[1]).slices
    usable = scl.usable(classes, job.clouds.classes, *growth)[inner]
    return np.asarray(usable & (classes[inner] != SceneClass.NO_DATA))


def _coarse(grid: GeoBox) -> GeoBox:
    size = pixel_size_m(grid)
    factor = max(1, round(CELL_M / size)) if size else 1
    return grid.zoom_out(factor) if factor > 1 else crop(grid, Window(0, grid.shape[0], 0, grid.shape[1]))


def _candidate(reader: Reader, newest: object) -> Candidate:
    scene = reader.scene
    time = scene.sensing_time
    found = Candidate(
        id=scene.name,
        age_days=0.0,
        orbit=scene.relative_orbit,
        tile=scene.tile or "",
        href=scene.href,
    )
    if time is None or newest is None:
        return found
    days = (newest - time).total_seconds() / 86_400  # type: ignore[operator]
    return replace(found, age_days=days, day_of_year=time.timetuple().tm_yday, date=f"{time:%Y-%m-%d}")
