"""A stack of features of one or many scenes. Open, plan, read, sharpen and choose, fit, compute in blocks, write."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from groundshift.errors import CloudWarning, GroundshiftWarning, OutputError, UsageError
from groundshift.execution import lock
from groundshift.execution.backend import open_pool
from groundshift.execution.crew import WorkerDied
from groundshift.execution.journal import Journal
from groundshift.execution.progress import Progress, Silent
from groundshift.features import proximity
from groundshift.features.stack import ROADS, ROADS_LIMIT_M, Fitted
from groundshift.io import opening, vector
from groundshift.io.atomic import sweep
from groundshift.io.digests import Digests
from groundshift.io.planes import Planes
from groundshift.model.grid import Window, blocks
from groundshift.model.scene import Checked
from groundshift.pipelines import (
    features_blocks,
    features_fit,
    features_grid,
    features_plan,
    identities,
    mosaic_layers,
    running,
)
from groundshift.pipelines.features_blocks import Compose, Compute, SceneStack
from groundshift.pipelines.features_job import FeaturesJob
from groundshift.pipelines.features_plan import FeaturesPlan
from groundshift.pipelines.outdir import WORK, remove_other_work
from groundshift.pipelines.running import Running

_IMPORTS = ("groundshift.pipelines.features_blocks", "groundshift.io.safe")
_SIDES = (1536, 1024, 768, 512, 384, 256, 192, 128, 96)
"""Sides of blocks, pixels."""
_LEAST_BYTES = 2**25
"""What a worker takes for pixels however small the cap is."""
_ROWS = 512
_LITTLE = 0.01


@dataclass(frozen=True, kw_only=True)
class FeaturesResult:
    """What a run left."""

    summary: dict[str, Any]
    warnings: tuple[GroundshiftWarning, ...]


@dataclass(kw_only=True, eq=False)
class Run(Running[FeaturesJob]):
    """The state of one run, filled stage by stage."""

    plan: FeaturesPlan
    journal: Journal
    checked: list[list[Checked]] = field(default_factory=list)
    scenes: list[SceneStack] = field(default_factory=list)
    reflectance: Planes | None = None
    source: Planes | None = None
    fitted: Fitted = field(default_factory=Fitted)
    out: Planes | None = None
    counts: list[int] = field(default_factory=list)
    """Values of each feature."""

    @property
    def guides(self) -> tuple[int, ...]:
        """Bands of the finest grid that guide the others."""
        return tuple(i for i, band in enumerate(self.plan.groups[0].bands) if band in features_grid.GUIDES)

    @cached_property
    def area_px(self) -> int:
        """Pixels of the area of interest, or of the stack."""
        return running.area_px(self.plan.area, self.plan.geobox)

    def planes(self, name: str, count: int, shape: tuple[int, int], dtype: str) -> Planes:
        """Planes of this run, made, or found again after an interruption."""
        path, noted = self.work / f"{name}.bin", f"made:{name}"
        if noted in self.journal.done:
            return Planes.open(path)
        made = Planes.create(path, (count, *shape), dtype)
        self.journal.add(noted)
        return made


def run(job: FeaturesJob, progress: Progress | None = None) -> FeaturesResult:
    """Make a stack of features.

    Args:
        job: everything that was asked for.
        progress: told of each stage.

    Raises:
        GroundshiftError: with one sentence; nothing half is left beside the stack.
    """
    from groundshift.pipelines import features_results

    begin = time.monotonic()
    out = Path(job.output.out)
    _check_names(job)
    readers = [
        opening.open_scene(text, running.open_options(job.input, out.parent))
        for text in dict.fromkeys(job.input.scenes)
    ]
    plan = features_plan.make(readers, job)
    with lock.hold(out.parent):
        work = out.parent / WORK / f"{out.stem}-{_identity(job, plan)}"
        sweep(out.parent)
        remove_other_work(work)
        kept = False
        try:
            with open_pool(job.run.workers, scheduler=job.run.scheduler, imports=_IMPORTS, folder=work) as pool:
                state = Run(
                    job=job,
                    plan=plan,
                    pool=pool,
                    progress=progress or Silent(),
                    outdir=out.parent,
                    work=work,
                    journal=Journal(work),
                )
                state.warn(*plan.notes)
                _read(state)
                features_fit.audited(state)
                features_fit.sharpening(state)
                _compose(state)
                state.fitted = features_fit.fit(state)
                _compute(state)
                summary = features_results.write(state, begin)
            return FeaturesResult(summary=summary, warnings=tuple(state.warnings))
        except (KeyboardInterrupt, WorkerDied):
            # What is read and computed stays for the next run of the same job.
            kept = True
            raise
        finally:
            if not kept:
                shutil.rmtree(out.parent / WORK, ignore_errors=True)


def _check_names(job: FeaturesJob) -> None:
    """Nothing that is read is written over, and what is written can be."""
    out, given = job.output, [*job.input.scenes, job.stack.dem, job.stack.roads, job.stack.aoi]
    for flag, name in (("--out", out.out), ("--plot", out.plot)):
        if name is None:
            continue
        if Path(name).is_dir():
            raise OutputError(f"cannot write {name}: it is a folder; choose another name.")
        if flag == "--plot" and not Path(name).parent.is_dir():
            raise OutputError(f"cannot write {name}: there is no folder {Path(name).parent}.")
        if any(text is not None and os.path.realpath(name) == os.path.realpath(text) for text in given):
            raise UsageError(f"{flag} is {name!r}, which is read: choose another name.")


def _identity(job: FeaturesJob, plan: FeaturesPlan) -> str:
    """What planes and blocks depend on: scenes and how they are read, features, grid, masks, and the program itself."""
    digests = Digests()
    options = [identities.plain(section, digests) for section in (job.input, job.stack, job.texture, job.clouds)]
    return identities.of_run(options, [layer.reader for layer in plan.layers], digests)


# ---- read ----------------------------------------------------------------------------------------------------------


def _read(state: Run) -> None:
    """Verify the files and decode all bands to planes; what an interrupted run did is not done again."""
    plan, finest = state.plan, state.plan.groups[0]
    fresh = not state.journal.done
    if fresh:
        _check_space(state)
    state.checked = state.verify([layer.reader for layer in plan.layers], plan.bands)
    parts = [
        mosaic_layers.prepare(group.plan, group.job, state.work, fresh=fresh, role=f"pixels-{group.factor}")
        for group in plan.groups
    ]
    masks = mosaic_layers.masks(state, finest.plan, plan.bands, finest.job.clouds, state.journal)
    todo = (
        unit
        for group, stacks in zip(plan.groups, parts, strict=True)
        for layer, stack, mask in zip(group.plan.layers, stacks, masks, strict=True)
        for unit in mosaic_layers.units(layer, stack, group.plan, group.job, mask if group is finest else None)
        # Coarser bands have no mask of their own: what is clear is decided on the finest grid.
        if group is finest or unit.band is not None
    )
    state.read(todo, state.journal)
    mosaic_layers.forget_masks(state, state.journal)
    state.scenes = [
        SceneStack(
            layer.scene.name, tuple((group.factor, stacks[i]) for group, stacks in zip(plan.groups, parts, strict=True))
        )
        for i, layer in enumerate(plan.layers)
    ]


def _check_space(state: Run) -> None:
    plan = state.plan
    read = sum(
        math.prod(layer.window.shape) * (2 * len(group.bands) + 1)
        for group in plan.groups
        for layer in group.plan.layers
    )
    made = math.prod(plan.grid.shape) * (4 * len(plan.bands) + 4)
    state.check_space(read + made + math.prod(plan.window.shape) * 4 * len(plan.stack.features) * 2)


# ---- sharpen and choose --------------------------------------------------------------------------------------------


def _compose(state: Run) -> None:
    """Reflectance of all bands on the working grid."""
    plan = state.plan
    rows, columns = (int(n) for n in plan.grid.shape)
    state.reflectance = state.planes("reflectance", len(plan.bands), (rows, columns), "float32")
    state.source = state.planes("source", 1, (rows, columns), "int16")
    finest = plan.groups[0].bands
    per_pixel = 4 * (3 * len(plan.bands) + 8 * len(finest)) + 32
    side = _side(state, per_pixel, plan.reach_px)
    side = max(plan.multiple, side // plan.multiple * plan.multiple)
    work = [
        Compose(
            scenes=tuple(state.scenes),
            window=window,
            shape=(rows, columns),
            halo_px=plan.reach_px,
            guides=state.guides,
            reflectance=state.reflectance,
            source=state.source,
        )
        for window in blocks((rows, columns), side, side)
    ]
    todo = [block for block in work if block.key not in state.journal.done]
    with state.stage("compose", len(todo)) as advance:

        def finished(key: str) -> None:
            state.journal.add(key)
            advance(1)

        state.pool.run(features_blocks.compose, todo, finished, str)


def _side(state: Run, per_pixel: int, halo: int) -> int:
    """Side of a block that fits the memory with its halo."""
    budget = max(state.worker_bytes(), _LEAST_BYTES)
    return next((side for side in _SIDES if (side + 2 * halo) ** 2 * per_pixel <= budget), _SIDES[-1])


# ---- compute -------------------------------------------------------------------------------------------------------


def _compute(state: Run) -> None:
    """All features, block by block."""
    plan, p = state.plan, len(state.plan.stack.features)
    assert state.reflectance is not None
    state.out = state.planes("stack", p, plan.window.shape, "float32")
    inside, layers = _inside(state), _layers(state)
    side = _side(state, 4 * (2 * p + len(plan.bands) + 10) + 8 * 12, plan.stack.halo_px)
    work = [
        Compute(
            plan=plan.stack,
            bands=plan.bands,
            grid=plan.grid,
            window=Window(
                part.y0 + plan.window.y0, part.y1 + plan.window.y0, part.x0 + plan.window.x0, part.x1 + plan.window.x0
            ),
            corner=(plan.window.y0, plan.window.x0),
            reflectance=state.reflectance,
            surface=plan.surface,
            smoothing_px=plan.smoothing_px,
            layers=layers,
            inside=inside,
            fitted=state.fitted,
            out=state.out,
        )
        for part in blocks(plan.window.shape, side, side)
    ]
    earlier = _computed(state)
    todo = [block for block in work if block.key not in earlier]
    with state.stage("features", len(todo)) as advance:

        def finished(found: tuple[str, list[int]]) -> None:
            state.journal.add(json.dumps(found))
            advance(1)

        state.pool.run(features_blocks.compute, todo, finished, str)
    earlier = _computed(state)
    state.counts = np.sum([earlier[block.key] for block in work], axis=0).tolist()
    _warn_of_little(state)


def _computed(state: Run) -> dict[str, list[int]]:
    """Values of each feature in the blocks that are done, by their keys."""
    return dict(json.loads(line) for line in state.journal.done if line.startswith("["))


def _warn_of_little(state: Run) -> None:
    for feature, count in zip(state.plan.stack.features, state.counts, strict=True):
        share = count / state.area_px
        if share < _LITTLE:
            state.warn(CloudWarning(f"only {100 * share:.2f} % of the stack has a value of {feature.name}."))


def _inside(state: Run) -> Planes | None:
    plan = state.plan
    if plan.area is None:
        return None
    planes = Planes.create(state.work / "inside.bin", (1, *plan.window.shape), "uint8")
    for part in blocks(plan.window.shape, _ROWS):
        planes.write(part, vector.rasterise_mask(plan.area, plan.geobox, part), 0)
    return planes


def _layers(state: Run) -> tuple[tuple[str, Planes], ...]:
    """Roads as planes on the working grid: where they are, and how far."""
    grid, shapes = state.plan.grid, state.plan.roads
    if shapes is None:
        return ()
    shape, padded = (int(grid.shape[0]), int(grid.shape[1])), features_grid.around_roads(grid)
    sides, halo = features_grid.mean_sides_m(grid), (padded.shape[0] - grid.shape[0]) // 2
    touched = Planes.create(state.work / "roads.bin", (1, *shape), "uint8")
    near = Planes.create(state.work / "roads-distance.bin", (1, *shape), "float32")
    for part in blocks(shape, _ROWS):
        burnt = vector.burn(shapes, padded[part.y0 : part.y1 + 2 * halo, :])
        inner = (slice(halo, halo + part.shape[0]), slice(halo, halo + part.shape[1]))
        touched.write(part, burnt[inner], 0)
        near.write(part, proximity.distance(burnt, sides, ROADS_LIMIT_M)[inner], 0)
    return tuple(zip(ROADS, (touched, near), strict=True))


def scene_shares(state: Run) -> list[float]:
    """Percentage of the stack that each scene gave."""
    assert state.source is not None
    window, layers = state.plan.window, state.plan.layers
    totals = np.zeros(len(layers) + 1, np.int64)
    for part in blocks(window.shape, _ROWS):
        there = Window(part.y0 + window.y0, part.y1 + window.y0, part.x0 + window.x0, part.x1 + window.x0)
        totals += np.bincount(state.source.read(there, 0).reshape(-1), minlength=len(layers) + 1)
    return [100 * float(n) / math.prod(window.shape) for n in totals[1:]]
