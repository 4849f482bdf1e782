"""One picture of many scenes. Open, plan, read, look over from afar, balance and cut, compose in blocks, report."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift import errors
from groundshift.composite import blend
from groundshift.composite.balance import Balance
from groundshift.errors import GroundshiftWarning
from groundshift.execution import lock
from groundshift.execution.backend import open_pool
from groundshift.execution.crew import WorkerDied
from groundshift.execution.journal import Journal
from groundshift.execution.progress import Progress, Silent
from groundshift.io import cog, opening
from groundshift.io.atomic import sweep
from groundshift.io.digests import Digests
from groundshift.io.planes import Planes
from groundshift.model.grid import Window, blocks, pixel_size_m
from groundshift.model.scene import Checked
from groundshift.pipelines import (
    identities,
    mosaic_blocks,
    mosaic_fit,
    mosaic_layers,
    mosaic_plan,
    running,
)
from groundshift.pipelines.mosaic_blocks import Compose, Composed, Outputs, Thinned
from groundshift.pipelines.mosaic_job import MosaicJob
from groundshift.pipelines.mosaic_layers import LayerStack
from groundshift.pipelines.mosaic_plan import MosaicPlan
from groundshift.pipelines.outdir import WORK, refuse_foreign, remove_other_work
from groundshift.pipelines.running import Running

_IMPORTS = ("groundshift.pipelines.mosaic_blocks", "groundshift.io.safe")
_COARSE_PX = 700
"""Cells along the longer side of the grid that scenes are balanced and cut on: 160 m for one tile of 10 m."""
_BLEND_M = 1500.0
"""Half the width of the zone around a seam in which colours flow: within the 2 km that may change."""
_SIDES = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 64)
"""Sides of blocks, pixels."""
_LEAST_BYTES = 2**25
"""What a worker takes for pixels however small the cap is."""
_LITTLE = 0.01


@dataclass(frozen=True, kw_only=True)
class MosaicResult:
    """What a run left."""

    summary: dict[str, Any]
    warnings: tuple[GroundshiftWarning, ...]


@dataclass(kw_only=True, eq=False)
class Run(Running[MosaicJob]):
    """The state of one run, filled stage by stage."""

    plan: MosaicPlan
    journal: Journal
    checked: list[list[Checked]] = field(default_factory=list)
    layers: list[LayerStack] = field(default_factory=list)
    thinned: list[Thinned] = field(default_factory=list)
    balance: Balance | None = None
    labels: NDArray[np.int16] | None = None
    out: Outputs | None = None
    composed: list[Composed] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the mosaic."""
        rows, columns = self.plan.geobox.shape
        return int(rows), int(columns)

    @cached_property
    def area_px(self) -> int:
        """Pixels of the area of interest, or of the mosaic."""
        return running.area_px(self.plan.area, self.plan.geobox)

    @property
    def step(self) -> int:
        """Pixels a side of a coarse cell."""
        return max(1, math.ceil(max(self.shape) / _COARSE_PX))


def run(job: MosaicJob, progress: Progress | None = None) -> MosaicResult:
    """Make a mosaic.

    Args:
        job: everything that was asked for.
        progress: told of each stage.

    Raises:
        GroundshiftError: with one sentence; nothing half is left in the output folder.
    """
    from groundshift.pipelines import mosaic_results

    begin = time.monotonic()
    driver = cog.check_driver(job.output.format, "int16", len(job.grid.bands))
    job = job.model_copy(update={"output": job.output.model_copy(update={"format": driver})})
    outdir = Path(job.output.outdir)
    readers = [
        opening.open_scene(text, running.open_options(job.input, outdir)) for text in dict.fromkeys(job.input.scenes)
    ]
    plan = mosaic_plan.make(readers, job)
    with lock.hold(outdir):
        work = outdir / WORK / identity(job, plan)
        refuse_foreign(outdir, job, resumed=work.exists())
        sweep(outdir)
        remove_other_work(work)
        kept = False
        try:
            with open_pool(job.run.workers, scheduler=job.run.scheduler, imports=_IMPORTS, folder=work) as pool:
                state = Run(
                    job=job,
                    plan=plan,
                    pool=pool,
                    progress=progress or Silent(),
                    outdir=outdir,
                    work=work,
                    journal=Journal(work),
                )
                state.warn(*mosaic_plan.odd(plan))
                read_scenes(state)
                mosaic_fit.fit(state)
                _compose(state)
                summary = mosaic_results.write(state, begin)
            return MosaicResult(summary=summary, warnings=tuple(state.warnings))
        except (KeyboardInterrupt, WorkerDied):
            # What is read and composed stays for the next run of the same job.
            kept = True
            raise
        finally:
            if not kept:
                shutil.rmtree(outdir / WORK, ignore_errors=True)


def identity(job: MosaicJob, plan: MosaicPlan) -> str:
    """What planes and blocks depend on: scenes and how they are read, grid, masks, method, and the program itself."""
    digests = Digests()
    options = [identities.plain(section, digests) for section in (job.input, job.grid, job.clouds, job.compose)]
    return identities.of_run(options, [layer.reader for layer in plan.layers], digests)


# ---- read ----------------------------------------------------------------------------------------------------------


def read_scenes(state: Run) -> None:
    """Verify the files and decode all scenes to planes; what an interrupted run did is not done again."""
    plan, job = state.plan, state.job
    _check_space(state)
    state.checked = state.verify([layer.reader for layer in plan.layers], job.grid.bands)
    state.layers = mosaic_layers.prepare(plan, job, state.work, fresh=not state.journal.done)
    masks = mosaic_layers.masks(state, plan, job.grid.bands, job.clouds, state.journal)
    todo = (
        unit
        for layer, stack, found in zip(plan.layers, state.layers, masks, strict=True)
        for unit in mosaic_layers.units(layer, stack, plan, job, found)
    )
    state.read(todo, state.journal)
    mosaic_layers.forget_masks(state, state.journal)


def _check_space(state: Run) -> None:
    if state.journal.done:
        # What an interrupted run read lies there.
        return
    p = len(state.job.grid.bands)
    read = sum(math.prod(layer.window.shape) * (2 * p + 1) for layer in state.plan.layers)
    state.check_space(read + math.prod(state.shape) * (2 * p * 2 + 16 * 2))


# ---- compose -------------------------------------------------------------------------------------------------------


def _compose(state: Run) -> None:
    p, shape = len(state.job.grid.bands), state.shape
    fresh = not any(line.startswith("[") for line in state.journal.done)

    def planes(name: str, count: int, dtype: str) -> Planes:
        path = state.work / f"{name}.bin"
        return Planes.create(path, (count, *shape), dtype) if fresh else Planes.open(path)

    state.out = Outputs(mosaic=planes("mosaic", p, "int16"), evidence=planes("evidence", 4, "int32"))
    pixel_m = pixel_size_m(state.plan.geobox) or 10.0
    blending = blend.BlendOptions(method=state.job.compose.blend, radius_px=max(2.0, _BLEND_M / pixel_m))
    halo = blend.halo_px(blending) if state.labels is not None else 0
    side, strip = _side(state, halo)
    days = [layer.scene.sensing_time for layer in state.plan.layers]
    work = [
        Compose(
            layers=tuple(state.layers),
            window=window,
            shape=shape,
            options=state.job.compose,
            labels=state.labels,
            step=state.step,
            blending=blending,
            days=tuple(0 if day is None else int(f"{day:%Y%m%d}") for day in days),
            out=state.out,
            strip_bytes=strip,
            opinion=_opinion(state),
        )
        for window in blocks(shape, side, side)
    ]
    earlier = _composed(state)
    todo = [block for block in work if block.key not in earlier]
    with state.stage("compose", len(todo)) as advance:

        def finished(found: Composed) -> None:
            state.journal.add(json.dumps([found.key, found.pixels, found.used]))
            advance(1)

        state.pool.run(mosaic_blocks.compose, todo, finished, str)
    # Blocks of another size, of a run with other workers or memory, do not count.
    earlier = _composed(state)
    state.composed = [earlier[block.key] for block in work]
    made = sum(found.pixels[1] + found.pixels[2] for found in state.composed)
    if made < _LITTLE * state.area_px:
        state.warn(errors.CloudWarning(f"only {100 * made / state.area_px:.2f} % of the mosaic holds data."))


def _opinion(state: Run) -> tuple[int, int, int] | None:
    """Bands that tell cloud from ground by the other dates, where they are there and wanted."""
    bands = state.job.grid.bands
    if not state.job.clouds.second_opinion or not {"B02", "B04", "B08"} <= set(bands):
        return None
    return bands.index("B02"), bands.index("B04"), bands.index("B08")


def _composed(state: Run) -> dict[str, Composed]:
    """Blocks that are done, by their keys."""
    lines = [json.loads(line) for line in state.journal.done if line.startswith("[")]
    return {key: Composed(key, tuple(pixels), tuple(used)) for key, pixels, used in lines}


def _side(state: Run, halo: int) -> tuple[int, int]:
    """Side of a block that fits the memory with its halo, and the bytes of it that strips of all scenes may take.

    A third is for the strips, the rest for what is held of the whole block.
    """
    budget = max(state.worker_bytes(), _LEAST_BYTES)
    bands = len(state.job.grid.bands)
    deepest = _deepest([layer.window for layer in state.plan.layers], state.step, state.shape)
    for side in _SIDES:
        reach = side + 2 * halo
        if state.labels is None:
            needed = side**2 * (8 * bands + 40)
        else:
            giving = _most_labels(state.labels, side, halo, state.step)
            needed = reach**2 * (5 * deepest + giving * (4 * bands + 34) + 8 * bands + 40)
        if needed <= budget * 2 // 3:
            break
    return side, budget // 3


def _most_labels(labels: NDArray[np.int16], side: int, halo: int, step: int) -> int:
    """Scenes that give a part of one block with its halo, at most; and two for gaps, which any other may fill."""
    most, shape = 0, labels.shape
    for window in blocks(shape, max(1, side // step), max(1, side // step)):
        part = labels[window.padded(-(-halo // step) + 1, (shape[0], shape[1])).slices]
        most = max(most, np.unique(part[part >= 0]).size)
    return most + 2


def _deepest(windows: Sequence[Window], step: int, shape: tuple[int, int]) -> int:
    """Scenes that lie on top of each other, at most."""
    depth = np.zeros(tuple(-(-n // step) for n in shape), np.int32)
    for window in windows:
        depth[window.y0 // step : -(-window.y1 // step), window.x0 // step : -(-window.x1 // step)] += 1
    return int(depth.max())
