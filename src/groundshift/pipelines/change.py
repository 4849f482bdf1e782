"""The main job: what changed between two images. Open, plan, ingest, fit on a sample, stream, write, report."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from groundshift import errors
from groundshift.change import kinds, registration
from groundshift.change.registration import Shift
from groundshift.errors import GroundshiftWarning, NoDataError
from groundshift.execution import lock, memory
from groundshift.execution.backend import open_pool
from groundshift.execution.crew import Started
from groundshift.execution.journal import Journal
from groundshift.execution.progress import Progress, Silent
from groundshift.io import cog, opening
from groundshift.io.atomic import sweep
from groundshift.io.digests import Digests
from groundshift.io.memory import MemoryReader
from groundshift.io.planes import Planes
from groundshift.model.grid import Window, blocks, crop
from groundshift.model.scene import Checked, Reader
from groundshift.pipelines import export, fitting, identities, ingest, pair_model, plan, results, running, stream
from groundshift.pipelines.export import Exports
from groundshift.pipelines.fitting import Block, Fitted
from groundshift.pipelines.ingest import Stack
from groundshift.pipelines.job import ChangeJob
from groundshift.pipelines.outdir import WORK, refuse_foreign, remove_other_work
from groundshift.pipelines.pair_model import PairModel
from groundshift.pipelines.plan import Plan
from groundshift.pipelines.running import Running
from groundshift.pipelines.stream import ClassifiedStrip, LevelFacts, MeasuredStrip, Scratch, Work
from groundshift.radiometry import audit
from groundshift.report import pictures
from groundshift.report.pictures import DatePictures

_IMPORTS = ("groundshift.pipelines.stream", "groundshift.io.safe")
_JUDGED = (1024, 1888)
"""Rows and columns of a block that is judged: with its halo of 80 pixels, a whole number of what a network takes at
once. The same for any number of workers, since a network sees a little of how an image is cut."""
_JUDGED_LARGE_PX = 2**24
"""Pixels of images from which on blocks are so tall; of smaller ones, half as tall."""
_STRIP_ROWS = 128
"""At most, of a strip: more would not be faster."""
_ENOUGH_VALID = 0.5
_SHIFT_PX = 0.3


@dataclass(frozen=True, kw_only=True)
class ChangeResult:
    """What a run left."""

    summary: dict[str, Any]
    """Plain values: outputs, kinds, shares, warnings, timings."""
    warnings: tuple[GroundshiftWarning, ...]


@dataclass(kw_only=True, eq=False)
class Run(Running[ChangeJob]):
    """The state of one run, filled stage by stage."""

    readers: tuple[Reader, Reader]
    plan: Plan
    checked: tuple[list[Checked], list[Checked]] = field(default_factory=lambda: ([], []))
    fitted: Fitted | None = None
    probable: PairModel | None = None
    """What gives probabilities, where the method does and there was anything to fit."""
    shift: Shift | None = None
    scratch: Scratch | None = None
    measured: list[MeasuredStrip] = field(default_factory=list)
    levels: list[LevelFacts] = field(default_factory=list)
    classified: list[ClassifiedStrip] = field(default_factory=list)
    audits: tuple[str, str] = ("", "")
    exports: Exports = field(default_factory=dict)
    dates: Started[DatePictures] | None = None

    @property
    def compared_px(self) -> int:
        """Pixels usable at both dates."""
        return sum(strip.compared for strip in self.measured)


def run(job: ChangeJob, progress: Progress | None = None) -> ChangeResult:
    """Do one job.

    Args:
        job: everything that was asked for.
        progress: told of each stage.

    Raises:
        GroundshiftError: with one sentence; nothing half is left in the output folder.
    """
    if job.detect.method in pair_model.METHODS:
        pair_model.check(job.detect.method, job.detect.network_weights, job.grid.bands)
    driver = cog.check_driver(cog.check_driver(job.output.format, "float32", 2), "uint8", 1)
    job = job.model_copy(update={"output": job.output.model_copy(update={"format": driver})})
    outdir = Path(job.output.outdir)
    readers = (
        opening.open_scene(job.input.before, running.open_options(job.input, outdir, job.input.mask_before)),
        opening.open_scene(job.input.after, running.open_options(job.input, outdir, job.input.mask_after)),
    )
    with lock.hold(outdir):
        work = outdir / WORK / _identity(job, readers)
        refuse_foreign(outdir, job, resumed=work.exists())
        sweep(outdir)
        return _run_locked(job, readers, work, progress or Silent())


def _run_locked(job: ChangeJob, readers: tuple[Reader, Reader], work: Path, progress: Progress) -> ChangeResult:
    begin = time.monotonic()
    outdir = work.parents[1]
    inline = any(isinstance(reader, MemoryReader) for reader in readers)
    workers = 0 if inline else job.run.workers
    remove_other_work(work)
    resumable = False
    try:
        with open_pool(workers, scheduler=job.run.scheduler, imports=_IMPORTS, folder=work) as pool:
            state = Run(
                job=job,
                readers=readers,
                plan=plan.make(*readers, job),
                pool=pool,
                progress=progress,
                outdir=outdir,
                work=work,
            )
            state.warn(*plan.odd(readers[0].scene, readers[1].scene))
            resumable = True
            _ingest(state)
            resumable = False
            _fit(state)
            _stream(state)
            results.check(state)
            return ChangeResult(summary=results.write(state, begin), warnings=tuple(state.warnings))
    except KeyboardInterrupt:
        # What is decoded stays for the next run of the same job; anything later is quick to do again.
        resumable = True
        raise
    finally:
        if not (resumable and work.exists()) or _failed_for_good():
            shutil.rmtree(outdir / WORK, ignore_errors=True)


def _failed_for_good() -> bool:
    """True while an error other than an interruption is under way."""
    import sys

    error = sys.exc_info()[1]
    return error is not None and not isinstance(error, KeyboardInterrupt)


def _identity(job: ChangeJob, readers: Sequence[Reader]) -> str:
    """What the planes of a run depend on: inputs and how they are read, grid, mask, and the program itself."""
    digests = Digests()
    options = [identities.plain(section, digests) for section in (job.input, job.grid, job.mask)]
    return identities.of_run(options, readers, digests)


# ---- ingest --------------------------------------------------------------------------------------------------------


def _ingest(state: Run) -> None:
    """Verify the files, decode both scenes to planes; units that an interrupted run finished are not done again."""
    bands, geobox = state.job.grid.bands, state.plan.geobox
    _check_space(state)
    before, after = state.verify(state.readers, bands)
    state.checked = before, after
    journal = Journal(state.work)
    stacks = tuple(
        ingest.prepare(reader, bands, geobox, state.work, role, fresh=not journal.done)
        for reader, role in zip(state.readers, ("before", "after"), strict=True)
    )
    todo = (
        unit
        for reader, stack in zip(state.readers, stacks, strict=True)
        for unit in ingest.units(reader, bands, geobox, stack, state.job.mask, state.plan.area)
    )
    state.read(todo, journal)
    state.scratch = _scratch(state, (stacks[0], stacks[1]))


def _check_space(state: Run) -> None:
    rows, columns = state.plan.geobox.shape
    p = len(state.job.grid.bands)
    per_pixel = 2 * p * (2 if state.plan.full.crs is not None else 4) + 2 + 8 + 1 + 7 + 2 + 8
    state.check_space(rows * columns * per_pixel)


def _scratch(state: Run, stacks: tuple[Stack, Stack]) -> Scratch:
    shape = tuple(state.plan.geobox.shape)

    def make(name: str, count: int, dtype: str) -> Planes:
        return Planes.create(state.work / f"{name}.bin", (count, *shape), dtype)

    from groundshift.change.regions import LEVELS

    step = pictures.quicklook_step(shape)
    cells = tuple(-(-side // step) for side in shape)
    return Scratch(
        stacks=stacks,
        cva=make("cva", 2, "float32"),
        codes=make("codes", 1, "uint8"),
        accepted=make("accepted", len(LEVELS), "uint8"),
        changed=make("changed", 1, "uint8"),
        labels=make("labels", 1, "uint8"),
        looks=Planes.create(state.work / "looks.bin", (6, *cells), "float32"),
        p_value=make("p-value", 1, "float32") if state.job.output.p_value else None,
        probability=make("probability", 1, "float32") if state.job.detect.method in pair_model.METHODS else None,
    )


# ---- fit -----------------------------------------------------------------------------------------------------------


def _fit(state: Run) -> None:
    with state.stage("fit", 3) as advance:
        sample = _sample(state)
        advance(1)
        _audit(state, sample)
        sample = [_recalibrated(state, block) for block in sample]
        try:
            section = state.job
            if not sample:
                raise NoDataError("no pixel is usable at both dates")
            state.fitted = fitting.fit(
                sample, section.grid.bands, state.plan.pixel_m, section.detect, section.normalise, section.kinds
            )
            state.warn(*state.fitted.warnings)
            if section.detect.method in pair_model.METHODS:
                rows, columns = state.plan.geobox.shape
                state.probable = pair_model.make(
                    state.fitted,
                    sample,
                    section.grid.bands,
                    section.detect.method,
                    weights=section.detect.network_weights,
                    compared_px=int(rows) * int(columns),
                )
        except NoDataError as error:
            state.warn(errors.CloudWarning(f"{error}; nothing could be compared, so nothing is called change."))
        advance(1)
        if state.fitted is not None:
            _register(state, sample)
        advance(1)


def _sample(state: Run) -> list[Block]:
    """Blocks until there are pixels enough; from the planes where they hold all of the pair, else from the files."""
    section = state.job.normalise
    assert state.scratch is not None
    outside = state.plan.area is not None and section.extent == "full"
    shape = tuple(state.plan.full.shape if outside else state.plan.geobox.shape)
    found: list[Block] = []
    usable, seen, least = 0, 0, _ENOUGH_VALID * section.sample_pixels
    for batch in _batches(plan.sample_windows(shape, section.sample_pixels, section.seed), max(1, state.pool.workers)):
        if outside:
            read = state.pool.run(ingest.read_sample, [_sample_unit(state, window) for window in batch], describe=str)
        else:
            read = [ingest.read_block(state.scratch.stacks, window) for window in batch]
        for block in read:
            if block.valid.any():
                found.append(block)
                usable, seen = usable + int(block.valid.sum()), seen + block.valid.size
            if seen >= section.sample_pixels and usable >= least:
                # What was read beyond is dropped: the sample does not depend on how many read it.
                return found
    return found


def _batches(windows: Sequence[Window], size: int) -> Iterator[Sequence[Window]]:
    for start in range(0, len(windows), size):
        yield windows[start : start + size]


def _sample_unit(state: Run, window: Window) -> ingest.SampleUnit:
    bands = state.job.grid.bands
    return ingest.SampleUnit(
        readers=state.readers,
        bands=bands,
        geobox=crop(state.plan.full, window),
        mask=state.job.mask,
        offsets=tuple(tuple(reader.scene.bands[band].offset for band in bands) for reader in state.readers),  # type: ignore[arg-type]
    )


def _audit(state: Run, sample: Sequence[Block]) -> None:
    """Do the pixels carry the offset that the metadata tell of? Settles the offsets of both stacks."""
    assert state.scratch is not None
    stacks, evidence = list(state.scratch.stacks), []
    for i, (reader, stack) in enumerate(zip(state.readers, stacks, strict=True)):
        scene = reader.scene
        infos = [scene.bands[band] for band in state.job.grid.bands]
        dark = {}
        for b, info in enumerate(infos):
            images = [(block.before, block.after)[i][b][block.valid] for block in sample]
            stored = np.concatenate(images) if images else np.empty(0, np.float32)
            # Reflectance as read holds the offset of the metadata; the audit wants it as stored.
            values = stored - info.offset * info.scale
            dark[info.name] = audit.dark_quantiles(values, np.ones(values.shape, bool), 1.0)
        verdict = audit.audit(dark, scene.level)
        offsets, warning = audit.reconcile(verdict, infos, state.job.input.trust, scene.name)
        state.warn(warning)
        stacks[i] = ingest.audited(stack, [offsets[info.name] for info in infos])
        evidence.append(f"{verdict.verdict}: {verdict.evidence}")
    state.audits = (evidence[0], evidence[1])
    state.scratch = replace(state.scratch, stacks=(stacks[0], stacks[1]))


def _recalibrated(state: Run, block: Block) -> Block:
    """The block with the offsets that the audit settled."""
    assert state.scratch is not None
    images = []
    for image, reader, stack in zip((block.before, block.after), state.readers, state.scratch.stacks, strict=True):
        told = [reader.scene.bands[band].offset for band in state.job.grid.bands]
        step = [(new - old) * scale for new, old, scale in zip(stack.offset, told, stack.scale, strict=True)]
        images.append(image + np.array(step, np.float32)[:, None, None] if any(step) else image)
    return Block(images[0], images[1], block.valid)


def _register(state: Run, sample: Sequence[Block]) -> None:
    """Measure the shift between the two dates on the widest blocks of the sample, laid below each other."""
    bands = state.job.grid.bands
    band = next((bands.index(name) for name in ("B04", "B03", "B08", "B02") if name in bands), 0)
    columns = max(block.valid.shape[1] for block in sample)
    widest = [block for block in sample if block.valid.shape[1] == columns]
    before, after = (
        np.concatenate([image[band] for image in images])
        for images in ([block.before for block in widest], [block.after for block in widest])
    )
    valid = np.concatenate([block.valid for block in widest])
    rows = min(len(valid), max(512, 4 * 2**20 // columns))
    state.shift = registration.estimate_shift(before[:rows], after[:rows], valid[:rows])
    if state.shift is not None and state.shift.length_px > _SHIFT_PX:
        state.warn(
            errors.RegistrationWarning(
                f"AFTER is shifted against BEFORE by {state.shift.dx_px:+.2f} columns and {state.shift.dy_px:+.2f} "
                f"rows (more than {_SHIFT_PX} pixel): edges may look like change; co-register the images first."
            )
        )


# ---- stream --------------------------------------------------------------------------------------------------------


def _stream(state: Run) -> None:
    assert state.scratch is not None
    scratch, fitted, pool = state.scratch, state.fitted, state.pool
    strips = _strips(state)
    with state.stage("compare", len(strips)) as advance:
        state.measured = pool.run(stream.measure, strips, lambda _: advance(1), str)
    if scratch.probability is not None:
        _judge(state, scratch)
    export.begin_early(state, export.measured(state))
    detect = state.job.detect
    limit = _amplitude_limit(state) if detect.context == "none" or detect.fdr is not None else None
    with state.stage("regions", len(strips)) as advance:
        if fitted is not None and limit is None and scratch.probability is None:
            state.levels = pool.run(stream.find_regions, _level_work(state, fitted), describe=str)
        accepted = tuple(facts.level for facts in state.levels if facts.accepted)
        work = [replace(strip, levels=accepted, amplitude_limit=limit) for strip in strips]
        changed = sum(pool.run(stream.combine, work, lambda _: advance(1), str))
    least = _minimum_px(state)
    if least > 1 and changed:
        changed = pool.run(stream.remove_small, [stream.SmallWork(scratch, least)], describe=str)[0]
    with state.stage("kinds", len(strips)) as advance:
        share = stream.kinds_share(changed)
        parts = pool.run(stream.sample_changed, [replace(strip, share=share) for strip in strips], describe=str)
        amplitude, angle = (np.concatenate(values) for values in zip(*parts, strict=True))
        # While this process fits the kinds.
        results.begin_pictures(state)
        model = kinds.fit(
            amplitude, angle, kinds.KindOptions(classes=state.job.kinds.classes, seed=state.job.normalise.seed)
        )
        work = [replace(strip, model=model, smooth_px=state.job.kinds.smooth_px) for strip in strips]
        state.classified = pool.run(stream.classify, work, lambda _: advance(1), str)
    export.begin_early(state, [export.classified(state, model.classes)])


def _judge(state: Run, scratch: Scratch) -> None:
    """The probability of change of every pixel; NaN where nothing could be fitted."""
    assert scratch.probability is not None
    rows, columns = _JUDGED
    windows = list(blocks(scratch.shape, rows if math.prod(scratch.shape) >= _JUDGED_LARGE_PX else rows // 2, columns))
    with state.stage("probability", len(windows)) as advance:
        if state.probable is None:
            for window in windows:
                scratch.probability.write(window, np.full(window.shape, np.nan, np.float32), 0)
            return
        work = [stream.ProbableWork(scratch, window, state.probable) for window in windows]
        state.pool.run(stream.judge, work, lambda _: advance(1), str)


def _strips(state: Run) -> list[Work]:
    """Strips of rows that fit the memory, beginning where cells of the pictures begin."""
    assert state.scratch is not None
    bands, shape = state.job.grid.bands, state.scratch.shape
    step = pictures.quicklook_step(shape)
    look = tuple(bands.index(band) for band in pictures.true_colour(bands).bands)
    workers = max(1, state.pool.workers)
    budget = max(2**26, state.worker_bytes())
    rows = memory.block_rows(shape, 36 * len(bands) + 80, budget, halo_px=8, multiple=128)
    rows = max(step, min(rows, math.ceil(shape[0] / (2 * workers)), _STRIP_ROWS) // step * step)
    return [
        Work(
            scratch=state.scratch,
            window=window,
            transform=state.plan.geobox.affine,
            fitted=state.fitted,
            step=step,
            picture_bands=look,
        )
        for window in blocks(shape, rows)
    ]


def _level_work(state: Run, fitted: Fitted) -> list[stream.LevelWork]:
    assert state.scratch is not None
    options = fitted.region_options
    return [
        stream.LevelWork(state.scratch, level, state.compared_px, fitted.alpha, options)
        for level in range(len(options.exponents))
    ]


def _amplitude_limit(state: Run) -> float:
    """Amplitude beyond which a pixel is changed, pixel by pixel: at a confidence, or at a false-discovery rate."""
    if state.fitted is None:
        return math.inf
    if state.job.detect.fdr is None:
        return math.sqrt(state.fitted.nochange.threshold(state.job.detect.confidence))
    edges = stream.HISTOGRAM_EDGES
    beyond = np.sum([strip.histogram for strip in state.measured], axis=0)[::-1].cumsum()[::-1]
    p = state.fitted.p_value(edges[:-1].astype(np.float32)).astype(np.float64)
    fits = p * max(1, state.compared_px) <= state.job.detect.fdr * beyond
    return float(edges[:-1][fits].min()) if fits.any() else math.inf


def _minimum_px(state: Run) -> int:
    area, pixel_m = state.job.detect.min_area, state.plan.pixel_m
    return math.ceil(area / (pixel_m * pixel_m if pixel_m else 1.0) - 1e-9)
