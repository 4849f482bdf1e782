"""The folder of the results of a run: what may be overwritten, what an earlier run left, where work is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundshift.errors import OutputError
from groundshift.io import cog
from groundshift.pipelines.job import ChangeJob
from groundshift.pipelines.landcover_job import PredictJob
from groundshift.pipelines.mosaic_job import MosaicJob
from groundshift.pipelines.series_job import SeriesJob

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

MANIFEST = "manifest.json"
_NAMES = {
    ChangeJob: (("CVA", "S2-CD"), ("changes.gpkg", "report.html", "item.json")),
    MosaicJob: (("mosaic", "evidence"), ("report.html",)),
    PredictJob: (("classes", "probabilities", "evidence", "sets"), ("report.html",)),
    SeriesJob: (("first_change", "evidence", "max_probability"), ("alerts.gpkg", "report.html", "item.json")),
}
"""Rasters and other files by which the results of a job are known."""
WORK = ".groundshift-work"
"""Folder within that of the results, in which a run keeps what it needs."""


def refuse_foreign(outdir: Path, job: ChangeJob | MosaicJob | PredictJob | SeriesJob, *, resumed: bool) -> None:
    """What another job, or somebody else, left is not overwritten unless that was asked for.

    Args:
        outdir: folder of the results.
        job: what is to be done.
        resumed: an interrupted run of this very job left work there, and perhaps files.

    Raises:
        OutputError: the folder holds results of another job, or files of unknown origin under the names of results.
    """
    if job.output.force:
        return
    record = earlier_manifest(outdir)
    if record is not None and _same_job(record.get("options")) != _same_job(job_options(job)):
        raise OutputError(
            f"{outdir} holds the results of another job: choose another --outdir, or replace them with --force."
        )
    if record is None and not resumed:
        rasters, others = _NAMES[type(job)]
        ending = ".tif" if isinstance(job, SeriesJob) else cog.extension(job.output.format)
        taken = [name for name in (*(stem + ending for stem in rasters), *others) if (outdir / name).exists()]
        if taken:
            raise OutputError(
                f"{outdir} holds {', '.join(taken)}, and not by a finished run: choose another --outdir, or replace "
                "them with --force."
            )


def earlier_manifest(outdir: Path) -> dict[str, Any] | None:
    """The manifest of the run that finished last in this folder."""
    try:
        record = json.loads((outdir / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def remove_stale(outdir: Path, earlier: dict[str, Any] | None, files: Iterable[Path]) -> None:
    """Remove what an earlier run lists as its results and this one does not make, with side files."""
    now = {path.name for path in files}
    for listed in (earlier or {}).get("outputs", ()):
        name = str(listed.get("path", ""))
        if name in now or Path(name).name != name:
            continue
        for stale in (name, f"{name}.aux.xml", Path(name).with_suffix(".qml").name):
            if not stale.endswith(".qml") or Path(stale).stem not in {Path(other).stem for other in now}:
                (outdir / stale).unlink(missing_ok=True)


def job_options(job: ChangeJob | MosaicJob | PredictJob | SeriesJob) -> dict[str, Any]:
    """The options that the results depend on."""
    return job.model_dump(mode="json", exclude={"run": True, "output": {"outdir", "force"}})


def _same_job(options: Any) -> Any:
    """What two jobs must have in common to write to one folder: a series may grow, and be confirmed otherwise."""
    if isinstance(options, dict) and "confirm" in options.get("detect", {}):
        return {name: None if name == "input" else values for name, values in options.items()}
    return options


def remove_other_work(work: Path) -> None:
    """Remove what other jobs left when they were interrupted, but for unpacked files."""
    for other in work.parent.glob("*"):
        if other.name not in (work.name, "unpacked"):
            shutil.rmtree(other, ignore_errors=True)


def crs_text(geobox: GeoBox) -> str | None:
    """A CRS by code and name, for the report."""
    if geobox.crs is None:
        return None
    code = f"EPSG:{geobox.crs.epsg}" if geobox.crs.epsg else "no EPSG code"
    return f"{code} ({geobox.crs.proj.name})"
