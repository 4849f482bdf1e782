"""Scenes to a series: read to planes on one grid as for a mosaic, with their clouds and offsets settled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from groundshift.errors import UsageError
from groundshift.execution.crew import Crew
from groundshift.execution.journal import Journal
from groundshift.execution.progress import Progress
from groundshift.io import opening
from groundshift.pipelines import mosaic, mosaic_fit, mosaic_plan, running
from groundshift.pipelines.landcover_features import SceneSeries, in_order
from groundshift.pipelines.landcover_job import PredictJob, TrainJob
from groundshift.pipelines.mosaic_job import ComposeSection, MosaicJob, MosaicOutputSection, ScenesSection
from groundshift.pipelines.outdir import WORK, remove_other_work

if TYPE_CHECKING:
    from groundshift.pipelines.mosaic import Run


def read(job: TrainJob | PredictJob, outdir: Path, pool: Crew, progress: Progress) -> tuple[SceneSeries, Run]:
    """Read the scenes of a job; what an interrupted run read is not read again.

    Returns:
        The series, and the run that read it: its plan, warnings and verified files.

    Raises:
        GroundshiftError: with one sentence.
    """
    inner = MosaicJob(
        input=ScenesSection(**job.input.model_dump(exclude={"stack"})),
        grid=job.grid,
        clouds=job.clouds,
        compose=ComposeSection(method="median", balance="none"),
        output=MosaicOutputSection(outdir=str(outdir)),
        run=job.run,
    )
    readers = [
        opening.open_scene(text, running.open_options(inner.input, outdir)) for text in dict.fromkeys(job.input.scenes)
    ]
    plan = mosaic_plan.make(readers, inner)
    undated = [layer.scene.name for layer in plan.layers if layer.scene.sensing_time is None]
    if undated:
        raise UsageError(f"{undated[0]}: its date is not known, and a series needs it: give products or STAC items.")
    work = outdir / WORK / mosaic.identity(inner, plan)
    remove_other_work(work)
    state = mosaic.Run(
        job=inner, plan=plan, pool=pool, progress=progress, outdir=outdir, work=work, journal=Journal(work)
    )
    state.warn(*mosaic_plan.odd(plan))
    mosaic.read_scenes(state)
    mosaic_fit.fit(state)
    times = [layer.scene.sensing_time for layer in plan.layers]
    series = SceneSeries(
        layers=tuple(state.layers),
        times=tuple(np.datetime64(time.replace(tzinfo=None), "ns") for time in times if time is not None),
        bands=tuple(inner.grid.bands),
        geobox=plan.geobox,
        fraction=_fractions(state),
    )
    return in_order(series), state


def _fractions(state: Run) -> tuple[float, ...]:
    """Share of the area that each scene shows clear."""
    shares = []
    for seen in state.thinned:
        clear = seen.planes.read(seen.window.within(seen.window), 2 * seen.bands)
        shares.append(min(1.0, float(np.nansum(clear)) * state.step**2 / state.area_px))
    return tuple(shares)
