"""What a script or a notebook calls: xarray in and out, or files in and files out."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from groundshift.change import kinds
from groundshift.errors import UsageError
from groundshift.io import maps, memory, opening
from groundshift.io.vector import rasterise_mask
from groundshift.model.bands import parse_bands
from groundshift.model.grid import pixel_size_m
from groundshift.model.legend import NO_DATA
from groundshift.model.scene import OpenOptions, Reader
from groundshift.numerics.rounding import round_mantissa
from groundshift.pipelines import arrays, ingest, jobfile, plan
from groundshift.pipelines.fitting import Block
from groundshift.pipelines.job import ChangeJob
from groundshift.pipelines.mosaic_blocks import EVIDENCE, NODATA, SCALE
from groundshift.pipelines.mosaic_job import MosaicJob
from groundshift.pipelines.series_job import SeriesJob

if TYPE_CHECKING:
    from groundshift.execution.progress import Progress
    from groundshift.pipelines.change import ChangeResult
    from groundshift.pipelines.mosaic import MosaicResult
    from groundshift.pipelines.series import SeriesResult

DEFAULT_BANDS = ("B02", "B03", "B04", "B08")


def detect_changes(
    before: str | Path, after: str | Path, outdir: str | Path, *, progress: Progress | None = None, **options: object
) -> ChangeResult:
    """Do the job of ``groundshift change``: files in, files out, in bounded memory.

    Args:
        before, after: SAFE folder or zip, STAC item, raster, folder of rasters, FOLDER@DATE.
        outdir: folder of the results.
        progress: told of each stage.
        options: any option of a job by its name: ``confidence=99.9``, ``bands="B3,B4,B8"``, ``resolution=20``; where a
            name stands in two sections, with it: ``detect_method="irmad"``.

    Returns:
        Summary and warnings; the summary names the files.

    Raises:
        GroundshiftError: one sentence on what is wrong.
    """
    from groundshift.pipelines import change

    given = {"input.before": str(before), "input.after": str(after), "output.outdir": str(outdir)}
    return change.run(jobfile.make_job({**given, **jobfile.dotted(options)}, error=UsageError), progress)


def compare(before: xr.DataArray | xr.Dataset, after: xr.DataArray | xr.Dataset, **options: object) -> xr.Dataset:
    """Find what changed between two images in memory.

    Args:
        before, after: reflectance: a DataArray (band, y, x) whose ``band`` coordinate names the bands, or a Dataset
            with a (y, x) variable a band; floats with NaN for no data. A variable ``SCL`` masks clouds. Without
            coordinates the pixel grid is used.
        options: as in :func:`detect_changes`; ``bands``: those that both have, by default.

    Returns:
        Dataset on the grid of BEFORE: ``kind`` uint8 (0 no change, 1..k, 255 no data), ``amplitude`` (standard
        deviations of no change), ``angle`` (degrees), ``p_value``; with a method that gives probabilities
        (``detect_method="network"``) ``probability`` as well.

    Raises:
        GroundshiftError: one sentence on what is wrong.
    """
    readers = memory.from_xarray(before), memory.from_xarray(after)
    common = [band for band in readers[0].scene.bands if band in readers[1].scene.bands]
    job = _job({"grid.bands": common, **jobfile.dotted(options)})
    block, geobox = _read_pair(readers, job)
    found = arrays.compare(
        block.before,
        block.after,
        block.valid,
        pixel_m=pixel_size_m(geobox),
        bands=job.grid.bands,
        detect=job.detect,
        normalise=job.normalise,
        kinds=job.kinds,
    )
    # Rounded as in the files, so that files and arrays give the same kinds.
    amplitude, angle = round_mantissa(found.amplitude), round_mantissa(found.angle, 10)
    chosen = kinds.KindOptions(classes=job.kinds.classes, seed=job.normalise.seed)
    model = kinds.fit(amplitude[found.changed], angle[found.changed], chosen)
    kind = kinds.smooth(kinds.label(model, amplitude, angle, found.changed), job.kinds.smooth_px)
    kind = np.where(block.valid, kind, NO_DATA)
    layers = {
        "kind": (kind.astype(np.uint8), {"long_name": "kind of change: 0 none, 255 no data"}),
        "amplitude": (amplitude, {"units": "standard deviations of no change"}),
        "angle": (angle, {"units": "degree"}),
        "p_value": (found.p_value, {"long_name": "probability of a larger amplitude where nothing changed"}),
    }
    if found.probability is not None:
        layers["probability"] = (round_mantissa(found.probability), {"long_name": "probability of change"})
    coords = _coords(geobox)
    return xr.Dataset({name: (("y", "x"), data, attrs) for name, (data, attrs) in layers.items()}, coords)


def detect_series(
    scenes: Sequence[str | Path], outdir: str | Path, *, progress: Progress | None = None, **options: object
) -> SeriesResult:
    """Do the job of ``groundshift series``: files in, files out, in memory that does not grow with the number of dates.

    Args:
        scenes: SAFE folders or zips, STAC items, folders of them, lists that select wrote; in any order.
        outdir: folder of the results; called again with more scenes, it goes on where it was.
        progress: told of each stage.
        options: any option of a series job by its name: ``detect_method="network"``, ``confirm="1/2"``.

    Returns:
        Summary and warnings; the summary names the files, pairs and alerts.

    Raises:
        GroundshiftError: one sentence on what is wrong.
    """
    from groundshift.pipelines import series as pipeline
    from groundshift.pipelines.scene_names import expanded

    given = {"input.scenes": expanded([str(scene) for scene in scenes]), "output.outdir": str(outdir)}
    job = jobfile.make(SeriesJob, {**given, **jobfile.dotted(options, SeriesJob)}, error=UsageError)
    return pipeline.run(job, progress)


def make_mosaic(
    scenes: Sequence[str | Path], outdir: str | Path, *, progress: Progress | None = None, **options: object
) -> MosaicResult:
    """Do the job of ``groundshift mosaic``: files in, files out, in bounded memory.

    Args:
        scenes: SAFE folders or zips, STAC items, folders of either, rasters, FOLDER@DATE, lists that select wrote.
        outdir: folder of the results.
        progress: told of each stage.
        options: any option of a mosaic job by its name: ``method="median"``, ``resolution=20``, ``aoi="area.gpkg"``.

    Returns:
        Summary and warnings; the summary names the files.

    Raises:
        GroundshiftError: one sentence on what is wrong.
    """
    from groundshift.pipelines import mosaic as pipeline
    from groundshift.pipelines.scene_names import expanded

    given = {"input.scenes": expanded([str(scene) for scene in scenes]), "output.outdir": str(outdir)}
    job = jobfile.make(MosaicJob, {**given, **jobfile.dotted(options, MosaicJob)}, error=UsageError)
    return pipeline.run(job, progress)


def mosaic(scenes: Sequence[str | Path], *, progress: Progress | None = None, **options: object) -> xr.Dataset:
    """Make a mosaic, and keep it in memory instead of in files.

    Args:
        scenes, progress, options: as for :func:`make_mosaic`; work files go to the folder for temporary files.

    Returns:
        Dataset: ``reflectance`` (band, y, x) float32 with NaN for no data; ``count``, ``scene``, ``date`` and
        ``quality`` (y, x) int32 as in ``evidence.tif``; the attribute ``scenes`` holds their names, of which ``scene``
        is the number from 1, and ``warnings`` what there was to warn of.

    Raises:
        GroundshiftError: one sentence on what is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="groundshift-mosaic-") as folder:
        result = make_mosaic(scenes, Path(folder) / "out", progress=progress, format="GTiff", **options)
        outputs = result.summary["outputs"]
        stored, geobox = maps.read_bands(outputs["mosaic"])
        evidence, _ = maps.read_bands(outputs["evidence"])
    data = np.where(stored == NODATA, np.float32(np.nan), stored.astype(np.float32) * np.float32(SCALE))
    coords = _coords(geobox)
    layers: dict[str, Any] = {"reflectance": (("band", "y", "x"), data, {"grid_mapping": "spatial_ref"})}
    layers |= {name: (("y", "x"), part) for name, part in zip(EVIDENCE, evidence, strict=True)}
    attributes = {
        "scenes": [scene["name"] for scene in result.summary["scenes"]],
        "warnings": [f"{warning.name}: {warning}" for warning in result.warnings],
    }
    return xr.Dataset(layers, {"band": list(result.summary["bands"]), **coords}, attributes)


def read(
    scene: str | Path, bands: str | Sequence[str] = DEFAULT_BANDS, *, resolution: float | None = None, **options: object
) -> xr.DataArray:
    """Read a scene as reflectance, with clouds and their shadows, saturated pixels and no data as NaN.

    Args:
        scene: as in :func:`detect_changes`.
        bands: which.
        resolution: pixel size in metres; None: that of the finest band.
        options: ``verify``, ``scale``, ``offset``, ``band_order``, ``aoi`` ... as in :func:`detect_changes`.

    Returns:
        (band, y, x) float32 with coordinates of the pixel centres and the CRS.
    """
    job = _job({"grid.bands": parse_bands(bands), "grid.resolution": resolution, **jobfile.dotted(options)})
    opened = open_scene(scene, band_order=job.input.band_order, scale=job.input.scale, offset=job.input.offset,
                        trust=job.input.trust, verify=job.input.verify)  # fmt: skip
    block, geobox = _read_pair((opened, opened), job)
    data = np.where(block.valid, block.before, np.float32(np.nan))
    coords = {"band": list(job.grid.bands), **_coords(geobox)}
    return xr.DataArray(data, coords, ("band", "y", "x"), name=opened.scene.name, attrs={"grid_mapping": "spatial_ref"})


def open_scene(scene: str | Path, **options: Any) -> Reader:
    """Open anything that groundshift reads; ``options`` are those of :class:`~groundshift.model.scene.OpenOptions`."""
    return opening.open_scene(scene, OpenOptions(**options))


def _job(given: dict[str, object]) -> ChangeJob:
    return jobfile.make_job(
        {"input.before": "memory", "input.after": "memory", "output.outdir": ".", **given}, error=UsageError
    )


def _read_pair(readers: tuple[Reader, Reader], job: ChangeJob) -> tuple[Block, GeoBox]:
    settled = plan.make(*readers, job)
    bands = job.grid.bands
    offsets = tuple(tuple(reader.scene.bands[band].offset for band in bands) for reader in readers)
    unit = ingest.SampleUnit(readers, bands, settled.geobox, job.mask, offsets)  # type: ignore[arg-type]
    block = ingest.read_sample(unit)
    if settled.area is None:
        return block, settled.geobox
    inside = rasterise_mask(settled.area, settled.geobox)
    return dataclasses.replace(block, valid=block.valid & inside), settled.geobox


def _coords(geobox: GeoBox) -> dict[str, Any]:
    if geobox.crs is None:
        return {}
    affine = geobox.affine
    rows, columns = geobox.shape
    reference = xr.Variable((), 0, {"crs_wkt": geobox.crs.to_wkt(), "grid_mapping_name": "crs"})
    return {
        "y": affine.f + affine.e * (np.arange(rows) + 0.5),
        "x": affine.c + affine.a * (np.arange(columns) + 0.5),
        "spatial_ref": reference,
    }
