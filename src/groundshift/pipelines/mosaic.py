"""One picture of many scenes. Open, plan, read, look over from afar, balance and cut, compose in blocks, report."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift import errors
from groundshift.composite import balance, blend, scores, seams
from groundshift.composite.balance import Balance
from groundshift.errors import GroundshiftWarning, NoDataError
from groundshift.execution import lock
from groundshift.execution.journal import Journal
from groundshift.execution.pool import Pool, WorkerDied
from groundshift.execution.progress import Progress, Silent
from groundshift.io import cog, opening, vector
from groundshift.io.atomic import sweep
from groundshift.io.planes import Planes
from groundshift.model.grid import Window, blocks, pixel_size_m
from groundshift.model.scene import Checked
from groundshift.pipelines import ingest, mosaic_blocks, mosaic_layers, mosaic_plan, results, running
from groundshift.pipelines.mosaic_blocks import CHOOSING, Compose, Composed, Outputs, Thin, Thinned
from groundshift.pipelines.mosaic_job import MosaicJob
from groundshift.pipelines.mosaic_layers import LayerStack
from groundshift.pipelines.mosaic_plan import MosaicPlan
from groundshift.pipelines.running import WORK, Running
from groundshift.radiometry import audit

_IMPORTS = ("groundshift.pipelines.mosaic_blocks", "groundshift.io.safe")
_COARSE_PX = 700
"""Cells along the longer side of the grid that scenes are balanced and cut on: 160 m for one tile of 10 m."""
_BLEND_M = 1500.0
"""Half the width of the zone around a seam in which colours flow: within the 2 km that may change."""
_SLACK_DAYS = 3.0
"""Scenes this close in time are as new as each other: the seam between them may lie where they agree best."""
_SLACK_SCORE = 0.1
"""The same for scores, which lie between 0 and 1."""
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
        plan = self.plan
        if plan.area is None:
            return math.prod(self.shape)
        parts = (vector.rasterise_mask(plan.area, plan.geobox, window) for window in blocks(self.shape, 512))
        return max(1, sum(int(part.sum()) for part in parts))

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
        work = outdir / WORK / _identity(job, plan)
        results.refuse_foreign(outdir, job, resumed=work.exists())
        sweep(outdir)
        running.remove_other_work(work)
        kept = False
        try:
            with Pool(job.run.workers or os.cpu_count() or 1, imports=_IMPORTS) as pool:
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
                _read(state)
                _fit(state)
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


def _identity(job: MosaicJob, plan: MosaicPlan) -> str:
    """What planes and blocks depend on: scenes and how they are read, grid, masks, method, and the program itself."""
    options = [section.model_dump(mode="json") for section in (job.input, job.grid, job.clouds, job.compose)]
    named = [job.grid.aoi or "", *(layer.scene.href for layer in plan.layers)]
    return running.identity(options, [layer.reader for layer in plan.layers], job.grid.bands, named)


# ---- read ----------------------------------------------------------------------------------------------------------


def _read(state: Run) -> None:
    """Verify the files and decode all scenes to planes; what an interrupted run did is not done again."""
    plan, job = state.plan, state.job
    _check_space(state)
    state.checked = state.verify([layer.reader for layer in plan.layers], job.grid.bands)
    state.layers = mosaic_layers.prepare(plan, job, state.work, fresh=not state.journal.done)
    todo = (
        unit
        for layer, stack in zip(plan.layers, state.layers, strict=True)
        for unit in mosaic_layers.units(layer, stack, plan, job)
    )
    state.read(todo, state.journal)


def _check_space(state: Run) -> None:
    if state.journal.done:
        # What an interrupted run read lies there.
        return
    p = len(state.job.grid.bands)
    read = sum(math.prod(layer.window.shape) * (2 * p + 1) for layer in state.plan.layers)
    state.check_space(read + math.prod(state.shape) * (2 * p * 2 + 16 * 2))


# ---- fit -----------------------------------------------------------------------------------------------------------


def _fit(state: Run) -> None:
    """Look at all scenes from afar: colours that make overlaps agree, and where one scene goes over into the other."""
    names = [layer.scene.name for layer in state.plan.layers]
    with state.stage("fit", len(names) + 2) as advance:
        work = [Thin(layer, state.shape, state.step, name) for layer, name in zip(state.layers, names, strict=True)]
        state.thinned = state.pool.run(mosaic_blocks.thin, work, lambda _: advance(1), str)
        state.layers = [
            replace(layer, cloud_share=seen.cloud_share)
            for layer, seen in zip(state.layers, state.thinned, strict=True)
        ]
        if not any((seen.lenient > 0).any() for seen in state.thinned):
            raise NoDataError(
                f"nothing of the {len(names)} scenes is clear within the area: add scenes or dates, or change "
                "--mask-classes."
            )
        _audit(state)
        stack, valid = _coarse(state)
        if state.job.compose.balance == "global" and len(names) > 1:
            state.balance = _balance(stack, valid)
            state.layers = [
                replace(layer, gain=tuple(map(float, gain)), shift=tuple(map(float, shift)))
                for layer, gain, shift in zip(state.layers, state.balance.gain, state.balance.offset, strict=True)
            ]
            stack = np.stack([balance.apply(state.balance, i, scene) for i, scene in enumerate(stack)])
        advance(1)
        if state.job.compose.method in CHOOSING:
            state.labels = _labels(state, stack, valid)
        advance(1)


def _audit(state: Run) -> None:
    """Do the pixels carry the offsets that the metadata tell of? Settles the offsets of all scenes."""
    for i, (layer, stack, seen) in enumerate(zip(state.plan.layers, state.layers, state.thinned, strict=True)):
        infos = [layer.scene.bands[band] for band in state.job.grid.bands]
        verdict = audit.audit(dict(zip(state.job.grid.bands, seen.dark, strict=True)), layer.scene.level)
        offsets, warning = audit.reconcile(verdict, infos, state.job.input.trust, layer.scene.name)
        if warning is not None:
            state.warn(warning)
        step = np.array([(offsets[info.name] - info.offset) * info.scale for info in infos], np.float32)[:, None, None]
        state.layers[i] = replace(stack, stack=ingest.audited(stack.stack, [offsets[info.name] for info in infos]))
        state.thinned[i] = replace(seen, reflectance=seen.reflectance + step, means=seen.means + step)


def _coarse(state: Run) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Means (t, p, y, x) of the clear pixels of every cell, and which cells are mostly clear; on the coarse grid."""
    rows, columns = (-(-n // state.step) for n in state.shape)
    p = len(state.job.grid.bands)
    stack = np.full((len(state.thinned), p, rows, columns), np.nan, np.float32)
    valid = np.zeros((len(state.thinned), rows, columns), bool)
    for k, seen in enumerate(state.thinned):
        stack[k, :, *seen.window.slices] = seen.means
        valid[k][seen.window.slices] = (seen.clear >= 0.5) & np.isfinite(seen.means).all(axis=0)
    return stack, valid


def _balance(stack: NDArray[np.float32], valid: NDArray[np.bool_]) -> Balance:
    overlaps = {}
    for i, j in itertools.combinations(range(len(stack)), 2):
        if (valid[i] & valid[j]).any():
            overlaps[i, j] = balance.statistics(balance.summarise(stack[i], valid[i], stack[j], valid[j]))
    return balance.solve(overlaps, [balance.area_sum(*each) for each in zip(stack, valid, strict=True)])


def _labels(state: Run, stack: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Which scene gives each coarse cell: of those that are about as good as the best there, cut where they agree."""
    merit = _merit(state, valid)
    best = np.where(valid, merit, -np.inf).max(axis=0)
    slack = _SLACK_DAYS if state.job.compose.method == "newest" else _SLACK_SCORE
    candidates = valid & (merit >= best - slack)
    return seams.seams(stack, candidates)


def _merit(state: Run, valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How much each scene is wanted in each coarse cell, (t, y, x)."""
    ages = np.array([layer.age_days for layer in state.layers], np.float32)[:, None, None]
    if state.job.compose.method == "newest":
        return np.broadcast_to(-ages, valid.shape)
    size = (pixel_size_m(state.plan.geobox) or 10.0) * state.step
    distance = np.stack([blend.edge_distance(each, 3000 / size) * np.float32(size) for each in valid])
    clouds = np.array([layer.cloud_share for layer in state.layers], np.float32)
    return scores.best_scores(scores.SCORES["apex"], distance, cloud_share=clouds, days_off=ages[:, 0, 0])


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
    side = _side(state, halo)
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


def _side(state: Run, halo: int) -> int:
    """Side of a block that fits the memory with its halo and all scenes that may lie on top of each other."""
    most = _deepest([layer.window for layer in state.plan.layers], state.step, state.shape)
    bands = len(state.job.grid.bands)
    used = min(most, 4) if state.labels is not None else most
    opinion = 40 * most if _opinion(state) else 0
    per_pixel = most * (4 * bands + 6) + opinion + used * (12 * bands + 24) + 40
    side = int(math.sqrt(max(state.worker_bytes(), 2**24) / per_pixel)) - 2 * halo
    return int(np.clip(side // 64 * 64, 64, 2048))


def _deepest(windows: Sequence[Window], step: int, shape: tuple[int, int]) -> int:
    depth = np.zeros(tuple(-(-n // step) for n in shape), np.int32)
    for window in windows:
        depth[window.y0 // step : -(-window.y1 // step), window.x0 // step : -(-window.x1 // step)] += 1
    return int(depth.max())
