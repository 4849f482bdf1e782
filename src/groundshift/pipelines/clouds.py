"""The cloud mask of a scene as a file: codes with names and colours, and the share of each of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from odc.geo.geobox import GeoBox

from groundshift import __version__
from groundshift.errors import CloudWarning, GroundshiftWarning, MissingInputError, OutputError, UsageError
from groundshift.execution.crew import Crew
from groundshift.execution.memory import parse_memory
from groundshift.execution.pool import Pool
from groundshift.execution.progress import Progress, Silent
from groundshift.io import cog, opening, styles, vector
from groundshift.io.atomic import atomic, scratch, sweep
from groundshift.io.cog import BandTag
from groundshift.io.planes import Planes
from groundshift.model.cloudmask import CLASSES, LEGEND, CloudClass
from groundshift.model.grid import blocks, crop, metres_per_unit, pixel_size_m, same_grid, snapped, window_of
from groundshift.model.scene import OpenOptions
from groundshift.pipelines import ingest, scene_mask
from groundshift.pipelines.scene_mask import PROBABILITY_STEP, MaskOptions, MaskPlan, SceneMask

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

_IMPORTS = ("groundshift.pipelines.scene_mask", "groundshift.io.safe")
_ROWS = 512
_TIF = (".tif", ".tiff")


@dataclass(frozen=True, kw_only=True)
class CloudsJob:
    """One run of ``groundshift clouds``."""

    scene: str
    """SAFE folder or zip, STAC item, raster, folder of rasters, FOLDER@DATE."""
    out: str
    """The mask, a Cloud Optimized GeoTIFF."""
    options: MaskOptions = field(default_factory=MaskOptions)
    reading: OpenOptions = field(default_factory=OpenOptions)
    resolution: float | None = None
    """Pixel size in metres; None: that of the mask."""
    aoi: str | None = None
    """Area of interest: WKT, or path of a vector file."""
    probabilities: str | None = None
    """File for the probabilities of the four classes."""
    memory: str = "2G"
    workers: int | None = None

    def __post_init__(self) -> None:
        files = [("--out", self.out), *([("--probabilities", self.probabilities)] if self.probabilities else [])]
        for flag, name in files:
            if Path(name).suffix.lower() not in _TIF:
                raise UsageError(f"{flag} is {name!r}: expected a name that ends in .tif.")
            if Path(name).is_dir():
                raise OutputError(f"cannot write {name}: it is a folder; choose another name.")
            if os.path.realpath(name) == os.path.realpath(self.scene):
                raise UsageError(f"{flag} is the scene itself: choose another name.")
        if len(files) > 1 and os.path.realpath(self.out) == os.path.realpath(files[1][1]):
            raise UsageError("--out and --probabilities name one file: choose two.")
        if self.resolution is not None and not self.resolution > 0:
            raise UsageError(f"--resolution is {self.resolution:g}: expected metres, more than 0.")
        parse_memory(self.memory)
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers is {self.workers}: expected 1 or more.")


@dataclass(frozen=True, kw_only=True)
class CloudsResult:
    """What a run left."""

    summary: dict[str, Any]
    warnings: tuple[GroundshiftWarning, ...]


def run(job: CloudsJob, progress: Progress | None = None) -> CloudsResult:
    """Mask a scene and write its mask.

    Args:
        job: everything that was asked for.
        progress: told of each stage.

    Raises:
        GroundshiftError: with one sentence; nothing is left of a run that failed.
    """
    reader = opening.open_scene(job.scene, job.reading)
    made, area = scene_mask.plan(reader, job.options), None
    if job.aoi is not None:
        made, area = scene_mask.over_area(made, job.aoi)
    folder = Path(job.out).parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {job.out}: there is no folder {folder}.")
    sweep(folder)
    with scratch(folder) as work:
        with Pool(job.workers or os.cpu_count() or 1, imports=_IMPORTS) as pool:
            made = verified(made, pool, progress or Silent())
            found = scene_mask.run(
                made,
                work,
                pool,
                area=area,
                memory=job.memory,
                probabilities=job.probabilities is not None,
                progress=progress,
            )
        summary = _write(job, made, found, area, work)
    warnings = [*reader.scene.warnings, *made.notes]
    if summary["nodata_percent"] == 100:
        warnings.append(CloudWarning(f"{reader.scene.name} holds no data there: all of the mask is no data."))
    return CloudsResult(summary=summary, warnings=tuple(warnings))


def verified(made: MaskPlan, pool: Crew, progress: Progress, known: Sequence[str] = ()) -> MaskPlan:
    """The plan with its files verified, but for those that are ``known`` to be good.

    Shadows are not sought where a file that only they need is not there.
    """
    own = [file for file in made.reader.files(made.bands) if file not in known]
    ground = made.reader.files(made.ground) if made.ground else ()
    others = [file for file in ground if file not in (*own, *known)]
    if not own and not others:
        return made
    with progress.stage("verify", len(own) + len(others)) as advance:
        for files in (own, others):
            work = [(made.reader, file) for file in files]
            try:
                pool.run(ingest.verify_file, work, lambda _: advance(1), lambda work: f"verifying {work[1]}")
            except MissingInputError as error:
                if files is own:
                    raise
                note = CloudWarning(f"{made.reader.scene.name}: shadows were not matched with clouds: {error}")
                return replace(made, ground=(), notes=(*made.notes, note))
    return made


def _write(
    job: CloudsJob,
    made: MaskPlan,
    found: SceneMask,
    area: BaseGeometry | None,
    work: Path,
) -> dict[str, Any]:
    scene, grid = made.reader.scene, _grid(job, found, area)
    tags = {"scene": scene.name, "mask": found.mask, "software": f"groundshift {__version__}"}
    codes, chances = found.codes, found.probabilities
    if not (same_grid(grid, found.grid) and grid.shape == found.grid.shape):
        codes = Planes.create(work / "out.bin", (1, *grid.shape), "uint8")
        for window in blocks(grid.shape, _ROWS):
            codes.write(window, found.read(crop(grid, window)), 0)
        if chances is not None:
            chances = Planes.create(work / "out-chances.bin", (len(CLASSES), *grid.shape), "uint8")
            for window in blocks(grid.shape, _ROWS):
                chances.write(window, found.read_probabilities(crop(grid, window)))
    tag = BandTag("clouds", description=f"{found.mask}: " + ", ".join(f"{e.code} {e.name}" for e in LEGEND))
    outputs = {"mask": job.out}
    with ExitStack() as stack:
        # Both take their places at the end.
        path = stack.enter_context(atomic(job.out))
        cog.export(
            codes,
            grid,
            path,
            bands=[tag],
            nodata=CloudClass.NO_DATA,
            legend=LEGEND,
            tags=tags,
            named=Path(job.out),
        )
        styles.write_qml(path, styles.classes_qml(LEGEND))
        if chances is not None and job.probabilities is not None:
            other = stack.enter_context(atomic(job.probabilities))
            named = {entry.code: entry.name for entry in LEGEND}
            bands = [BandTag(named[code], description="probability", scale=PROBABILITY_STEP) for code in CLASSES]
            cog.export(
                chances,
                grid,
                other,
                bands=bands,
                nodata=CloudClass.NO_DATA,
                tags=tags,
                overview="average",
                named=Path(job.probabilities),
            )
            outputs["probabilities"] = job.probabilities
    return {"scene": scene.name, "mask": found.mask, **_shares(codes, grid, area), "outputs": outputs} | _facts(
        found, grid
    )


def _grid(job: CloudsJob, found: SceneMask, area: BaseGeometry | None) -> GeoBox:
    own = found.grid if area is None else crop(found.grid, window_of(area.bounds, found.grid))
    if job.resolution is None:
        return own
    if own.crs is None:
        raise UsageError("--resolution is given, and the scene has no georeference: leave it out.")
    box = own.extent.boundingbox
    return snapped(tuple(box), own.crs, job.resolution / metres_per_unit(own.crs), own.affine * (0, 0))


def _shares(codes: Planes, grid: GeoBox, area: BaseGeometry | None) -> dict[str, Any]:
    """Share of each class among the pixels with data, and of no data within the area, in percent."""
    counts = np.zeros(256, np.int64)
    for window in blocks(codes.shape[1:], _ROWS):
        values = codes.read(window, 0)
        inside = np.s_[:] if area is None else vector.rasterise_mask(area, grid, window)
        counts += np.bincount(values[inside].reshape(-1), minlength=256)
    known = int(counts.sum() - counts[CloudClass.NO_DATA])
    named = {entry.name: entry.code for entry in LEGEND if entry.code != CloudClass.NO_DATA}
    return {
        "percent": {name: 100 * int(counts[code]) / known if known else None for name, code in named.items()},
        "nodata_percent": 100 * int(counts[CloudClass.NO_DATA]) / max(1, int(counts.sum())),
        "pixels": known,
    }


def _facts(found: SceneMask, grid: GeoBox) -> dict[str, Any]:
    facts: dict[str, Any] = {"resolution_m": pixel_size_m(grid), "shadows_matched": found.shadows is not None}
    if found.shadows is not None and (found.shadows.kind > 0).any():
        casts = found.shadows
        size = np.bincount(casts.piece[casts.piece >= 0], minlength=len(casts.kind)) * (casts.kind > 0)
        order = np.argsort(casts.height_m)
        half = np.searchsorted(np.cumsum(size[order]), size.sum() / 2)
        facts["cloud_height_m"] = float(casts.height_m[order][half])
    return facts
