"""The rasters of a run: made beside other work in the run's own folder, moved to their place when all is well."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from odc.geo.geobox import GeoBox

import groundshift
from groundshift.execution.crew import Started
from groundshift.io import cog, reproject, styles
from groundshift.io.atomic import publish, writing
from groundshift.io.cog import BandTag
from groundshift.io.planes import Planes
from groundshift.model.legend import NO_DATA, LegendEntry, change_legend

if TYPE_CHECKING:
    from groundshift.pipelines.change import Run

_AMPLITUDE = BandTag("amplitude", "standard deviations of no change", "length of the normalised difference vector")
_ANGLE = BandTag("angle", "degrees", "angle of the normalised difference to the reference vector, 0 to 180")
PROBABILITY = BandTag("probability", "", "probability that a change occurred between the two dates, 0 to 1")
_P_VALUE = BandTag("p-value", "", "probability of a larger amplitude where nothing changed, pixel by pixel")


@dataclass(frozen=True, eq=False)
class Raster:
    """One raster of the results."""

    name: str
    planes: Planes
    bands: tuple[BandTag, ...]
    methods: tuple[Literal["nearest", "bilinear", "angle"], ...]
    nodata: float
    title: str
    legend: tuple[LegendEntry, ...] = ()
    """Of classes; empty: a quantity."""
    overview: Literal["nearest", "average"] = "average"
    """How smaller copies are made; of classes always by the nearest pixel."""


@dataclass(frozen=True, eq=False)
class Export:
    """One raster on its way to a file."""

    raster: Raster
    planes: Planes
    """On the target grid."""
    target: GeoBox
    driver: str
    made: Path
    """Where it is written, alone with its side files."""
    final: Path
    threads: int

    def __str__(self) -> str:
        return f"writing {self.final}"


def measured(state: Run) -> list[Raster]:
    """The rasters that are settled once everything is measured."""
    scratch = state.scratch
    assert scratch is not None
    methods: tuple[Literal["bilinear", "angle"], ...] = ("bilinear", "angle")
    found = [Raster("CVA", scratch.cva, (_AMPLITUDE, _ANGLE), methods, np.nan, "amplitude and angle")]
    if scratch.probability is not None:
        title = "probability of change"
        found.append(Raster("PROBABILITY", scratch.probability, (PROBABILITY,), ("bilinear",), np.nan, title))
    if scratch.p_value is not None:
        found.append(Raster("p-value", scratch.p_value, (_P_VALUE,), ("bilinear",), np.nan, "p-value of the amplitude"))
    return found


def classified(state: Run, kinds: int) -> Raster:
    """The map of change."""
    assert state.scratch is not None
    tag = BandTag("change", "", f"0 no change, 1 to {kinds} kinds of change, 255 no data")
    legend = tuple(change_legend(kinds))
    return Raster("S2-CD", state.scratch.labels, (tag,), ("nearest",), NO_DATA, "map of change", legend)


def target_grid(state: Run) -> GeoBox:
    """Grid of the rasters: that of the comparison unless another projection was asked for."""
    native, asked = state.plan.geobox, state.job.grid.projection
    if asked.strip().lower() == "native" or native.crs is None:
        return native
    target = reproject.target_geobox(native, asked, state.job.grid.resolution)
    return native if target.crs == native.crs else target


def begin_early(state: Run, rasters: Sequence[Raster]) -> None:
    """Begin to write rasters while the run goes on; not where they have to be reprojected, which takes all workers."""
    if target_grid(state) == state.plan.geobox:
        for raster in rasters:
            begin(state, raster, max(1, state.pool.workers - 1))


def begin(state: Run, raster: Raster, threads: int) -> None:
    """Begin to write a raster in a worker, unless that was done.

    Args:
        state: of the run; takes the raster up in ``exports``.
        raster: what to write; its planes are final.
        threads: that compress.
    """
    if raster.name in state.exports:
        return
    target, planes = target_grid(state), raster.planes
    if target != state.plan.geobox:
        shape = (len(raster.bands), *target.shape)
        planes = Planes.create(state.work / f"{raster.name}-projected.bin", shape, planes.dtype)
        job = reproject.Reprojection(raster.planes, state.plan.geobox, planes, target, raster.methods, raster.nodata)
        state.pool.run(reproject.write_block, zip(itertools.repeat(job), job.windows(), strict=False), describe=str)
    driver = state.job.output.format
    if raster.legend:
        driver = cog.check_driver(driver, "uint8", 1)
    final = state.outdir / f"{raster.name}{cog.extension(driver)}"
    work = Export(raster, planes, target, driver, state.work / "export" / raster.name / final.name, final, threads)
    state.exports[raster.name] = work, state.pool.start(write, work, str)


def finish(state: Run, name: str) -> Path:
    """Wait for a raster and move it, with what lies beside it, to its place.

    Raises:
        OutputError: it could not be written.
        WorkerDied: the worker that wrote it was killed.
    """
    work, started = state.exports[name]
    started.result()
    if work.raster.legend:
        styles.write_qml(work.made, styles.classes_qml(work.raster.legend))
    elif name == "CVA":
        limit = np.sqrt(state.fitted.threshold) if state.fitted else 5.0
        styles.write_qml(work.made, styles.ramp_qml(0.0, float(4 * limit), unit="sigma"))
    return put(work)


def put(work: Export) -> Path:
    """Move a raster that is written, with what lies beside it, to its place."""
    with writing(work.final):
        publish(work.made.parent, work.final)
    return work.final


Exports = dict[str, tuple[Export, Started[None]]]
"""Rasters that are on their way, by name."""


def write(work: Export) -> None:
    """Write a raster alone into a folder of the run. A task for a worker."""
    raster = work.raster
    with writing(work.final):
        # An interrupted run may have left something.
        shutil.rmtree(work.made.parent, ignore_errors=True)
        work.made.parent.mkdir(parents=True)
    cog.export(
        work.planes,
        work.target,
        work.made,
        bands=raster.bands,
        driver=work.driver,
        nodata=raster.nodata,
        legend=raster.legend or None,
        tags={"SOFTWARE": f"groundshift {groundshift.__version__}"},
        overview="nearest" if raster.legend else raster.overview,
        workers=work.threads,
        named=work.final,
    )
