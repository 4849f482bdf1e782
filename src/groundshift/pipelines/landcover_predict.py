"""A land-cover map: features block by block, the probability of each class, a map of them, and how sure it is."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import (
    CloudWarning,
    GroundshiftWarning,
    InputError,
    OutputError,
    ProductError,
    SampleWarning,
    StrictError,
    UsageError,
)
from groundshift.execution import lock
from groundshift.execution.backend import open_pool
from groundshift.execution.crew import Crew, WorkerDied
from groundshift.execution.journal import Journal
from groundshift.execution.progress import Progress, Silent
from groundshift.io import cog, models
from groundshift.io.atomic import free_bytes, sweep
from groundshift.io.digests import Digests
from groundshift.io.planes import Planes
from groundshift.landcover.chain import Chain
from groundshift.landcover.mmu import MappingUnit
from groundshift.landcover.smooth import MajorityOptions
from groundshift.model.classifier import ModelCard
from groundshift.model.grid import Window, blocks, pixel_area_m2
from groundshift.pipelines import identities, landcover_sources, patches, smoothing, steps
from groundshift.pipelines.landcover_blocks import STEP, UNKNOWN, Predict, Said, predict_block
from groundshift.pipelines.landcover_features import Features, SeriesFeatures
from groundshift.pipelines.landcover_job import PredictJob
from groundshift.pipelines.landcover_sources import Source, Wanted, open_source
from groundshift.pipelines.landcover_start import IMPORTS
from groundshift.pipelines.outdir import WORK, refuse_foreign, remove_other_work
from groundshift.pipelines.smoothing import Smoothed, SmoothOptions

_SIDES = (1024, 512, 256, 128, 64, 32)
_LITTLE = 0.01
_UNTOLD = "{} does not tell the units of its features, as what the model learnt from did: see that they are the same."
_LOW = 16
"""Rows of a block of a series, or more where that is all of its columns."""
_SERIES_BYTES = 2**29
"""That a block of a series takes, at most: larger ones gain nothing, and smaller ones wait for work too often."""


@dataclass(frozen=True, kw_only=True)
class PredictResult:
    """What a prediction left."""

    summary: dict[str, Any]
    warnings: tuple[GroundshiftWarning, ...]


@dataclass(kw_only=True, eq=False)
class State:
    """The state of one run, filled stage by stage."""

    job: PredictJob
    card: ModelCard
    weights: str
    """SHA-256 of the weights of the model."""
    source: Source
    pool: Crew
    progress: Progress
    work: Path
    begin: float
    probabilities: Planes | None = None
    """(class, y, x) uint16 in steps of :data:`STEP`, as the model says them."""
    said: Said | None = None
    smoothed: Smoothed | None = None
    warnings: list[GroundshiftWarning] = field(default_factory=list)

    @property
    def outdir(self) -> Path:
        """Folder of the results."""
        return Path(self.job.output.outdir)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, columns = self.source.features.geobox.shape
        return int(rows), int(columns)

    def warn(self, warning: GroundshiftWarning) -> None:
        """Take up a warning; under ``--strict`` it ends the run."""
        self.warnings.append(warning)
        if self.job.run.strict:
            raise StrictError(f"{warning.name}: {warning} (an error because of --strict)")


@dataclass(frozen=True)
class Stored:
    """Probabilities as the model said them, for smoothing."""

    planes: Planes

    def read(self, window: Window) -> NDArray[np.float32]:
        """(class, y, x) float32, NaN = no data."""
        stored = self.planes.read(window)
        found = np.multiply(stored, np.float32(STEP), dtype=np.float32)
        found[stored == UNKNOWN] = np.nan
        return found


def predict(job: PredictJob, progress: Progress | None = None, pool: Crew | None = None) -> PredictResult:
    """Make a map with a model.

    Args:
        job: everything that was asked for.
        progress: told of each stage.
        pool: of workers that have begun already; None: as the job says.

    Raises:
        InputError: the features are not those of the model; their names are told.
        GroundshiftError: with one sentence; nothing half is left in the output folder.
    """
    begin, progress = time.monotonic(), progress or Silent()
    card, weights = models.load(job.model.path)
    card = replace(card, shares=_shares(job.model.prior, card))
    _check(job, card)
    job = job.model_copy(
        update={
            "grid": job.grid.model_copy(update=_as_trained(card)),
            "output": job.output.model_copy(update={"format": cog.check_driver(job.output.format, "uint8", 1)}),
        }
    )
    modules = _own_steps(job, card)
    steps.load(modules)
    digest = hashlib.sha256(weights).hexdigest()
    wanted = Wanted(chain=Chain.of(card.chain.get("steps", ())), modules=modules, names=card.features)
    outdir = Path(job.output.outdir)
    with lock.hold(outdir):
        refuse_foreign(outdir, job, resumed=(outdir / WORK).exists())
        sweep(outdir)
        kept = False
        try:
            workers = 0 if wanted.chain.local else job.run.workers
            with ExitStack() as own:
                if pool is None or wanted.chain.local:
                    pool = own.enter_context(
                        open_pool(workers, scheduler=job.run.scheduler, imports=IMPORTS, folder=outdir / WORK)
                    )
                # Files are hashed, and what draws is loaded, while the workers start.
                identified = own.enter_context(ThreadPoolExecutor(1)).submit(_identity, job, card, digest)
                from groundshift.pipelines import landcover_results

                source = open_source(job, wanted, outdir, pool, progress)
                card.order(source.features.names)
                told = landcover_sources.units(source.features)
                card.check_units(dict(zip(source.features.names, told, strict=True)) if told else {})
                if card.units and not told:
                    source.warnings.append(SampleWarning(_UNTOLD.format(job.input.stack or "the series")))
                work = (source.run.work if source.run else outdir / WORK) / f"map-{identified.result()}"
                if source.run is None:
                    remove_other_work(work)
                state = State(
                    job=job, card=card, weights=digest, source=source, pool=pool, progress=progress, work=work,
                    begin=begin,
                )  # fmt: skip
                _check_space(state)
                for warning in source.warnings:
                    state.warn(warning)
                _classify(state)
                state.smoothed = _smooth(state)
                summary = landcover_results.write(state)
            return PredictResult(summary=summary, warnings=tuple(state.warnings))
        except (KeyboardInterrupt, WorkerDied):
            # What is read and classified stays for the next run of the same job.
            kept = True
            raise
        finally:
            if not kept:
                shutil.rmtree(outdir / WORK, ignore_errors=True)


def _check(job: PredictJob, card: ModelCard) -> None:
    """What can be refused before anything is read.

    Raises:
        InputError, UsageError: options that do not fit the model, or each other.
    """
    _limits(card, job.output.confidence)
    if job.output.polygons is not None:
        from groundshift.io import vector

        vector.check_vector_name(job.output.polygons)
    if job.input.stack is None and not card.bands:
        raise InputError(f"{job.model.path} was trained on a stack of features, not on a series: give it with --stack.")


def _own_steps(job: PredictJob, card: ModelCard) -> tuple[str, ...]:
    """Files of steps that the user names, the model's among them: what only the model names is never run.

    Raises:
        UsageError: the model was trained with steps of a file that the user does not name.
        InputError: the user names another one.
        ProductError: the model does not tell their names and checksums.
    """
    given = {steps.digest(text) for text in job.model.modules}
    try:
        missing = [str(each["file"]) for each in card.chain.get("modules", ()) if each["sha256"] not in given]
    except (TypeError, KeyError) as error:
        raise ProductError(f"{job.model.path}: does not tell the files of its steps; train it again.") from error
    if missing and not given:
        raise UsageError(
            f"{job.model.path} was trained with steps of {', '.join(missing)}, a program, which a model cannot run by "
            "itself: look into that file, and name it with --steps."
        )
    if missing:
        raise InputError(
            f"{', '.join(job.model.modules)}: is not the file {', '.join(missing)} that {job.model.path} was trained "
            "with (another SHA-256): name that one, or train again."
        )
    return job.model.modules


def _check_space(state: State) -> None:
    """A map that cannot end is better not begun.

    Raises:
        OutputError: the disk has fewer free bytes than are needed.
    """
    # Of a class: two bytes as the model says it, one rounded, one smoothed, two for its sets, two for rasters that are
    # hardly compressed; 20 for the map and what is known of it.
    needed = math.prod(state.shape) * (8 * len(state.card.codes) + 20)
    there = sum(path.stat().st_size for path in state.work.glob("*.bin"))
    free = free_bytes(state.outdir)
    if free + there < needed:
        raise OutputError(
            f"the disk of {state.outdir} has {free / 1e9:.1f} GB free and this map needs about {needed / 1e9:.1f} GB "
            "while it is made: free some space, choose another --out, or a smaller --aoi."
        )


def _identity(job: PredictJob, card: ModelCard, weights: str) -> str:
    """What the probabilities of a map depend on; scenes have a folder of their own identity around that of the map."""
    digests = Digests()
    options = [identities.plain(section, digests) for section in (job.input, job.grid, job.clouds)]
    read = [text for text in (job.input.stack, *job.input.scenes) if text is not None]
    stamp = [digests.told(text) for text in read if text == job.input.stack or patches.is_patch(text)]
    modules = [steps.digest(text) for text in job.model.modules]
    return identities.of_run([*options, job.model.prior, job.output.confidence, asdict(card), weights, stamp, modules])


def _as_trained(card: ModelCard) -> dict[str, Any]:
    """The grid of a series as it was in training: these two, whatever else a model may say."""
    grid = card.chain.get("grid") or {}
    known = {key: grid[key] for key in ("bands", "resolution") if key in grid}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in known.items()}


def _shares(prior: str | None, card: ModelCard) -> tuple[float, ...]:
    """Shares of the classes in the area: those of the model, or as the user says.

    Raises:
        UsageError: a name that is no class, or a share that is none.
    """
    if prior is None:
        return card.shares
    # Names may hold commas and equals signs themselves: what ends a part is a number.
    parts = re.findall(r"\s*(.+?)\s*=\s*([-+.\w]+)\s*(?:,|$)", prior)
    given: dict[str, float] = {}
    for name, text in parts:
        try:
            given[name] = float(text)
        except ValueError:
            raise UsageError(f"--prior is written name=share,name=share, not {prior!r}.") from None
    known = set(given) == set(card.names) and len(parts) == len(given)
    if not known or not all(map(math.isfinite, given.values())) or min(given.values()) < 0 or not sum(given.values()):
        raise UsageError(f"--prior {prior!r}: expected a share of 0 or more for each of {', '.join(card.names)}.")
    total = sum(given.values())
    return tuple(given[name] / total for name in card.names)


# ---- classify ------------------------------------------------------------------------------------------------------


def _classify(state: State) -> None:
    """Probabilities of all pixels, and how sure they are; blocks that an interrupted run did are not done again."""
    card, features, pool = state.card, state.source.features, state.pool
    journal = Journal(state.work)
    fresh, classes = not journal.done, len(card.codes)

    def planes(name: str, count: int, dtype: str) -> Planes:
        path = state.work / f"{name}.bin"
        return Planes.create(path, (count, *state.shape), dtype) if fresh else Planes.open(path)

    state.probabilities = planes("probabilities", classes, "uint16")
    state.said = Said(
        chances=planes("chances", classes, "uint8"),
        evidence=planes("evidence", 5, "uint8"),
        sets=planes("sets", classes, "uint8"),
        codes=planes("codes", 1, "uint8"),
    )
    budget = max(pool.worker_bytes(state.job.run.memory), 2**25)
    taken = features.pixel_bytes + 8 * (len(features.names) + classes)
    if isinstance(features, SeriesFeatures):
        budget = min(budget, _SERIES_BYTES)
    side = next((side for side in _SIDES if side**2 * taken <= budget), _SIDES[-1])
    limits = _limits(card, state.job.output.confidence)
    work = [
        Predict(
            features=features,
            window=window,
            model=state.job.model.path,
            weights=state.weights,
            shares=None if state.job.model.prior is None else card.shares,
            probabilities=state.probabilities,
            said=state.said,
            limits=limits,
        )
        for window in _windows(features, state.shape, side)
    ]
    todo = [block for block in work if block.key not in journal.done]
    with state.progress.stage("classify", len(todo)) as advance:

        def finished(key: str) -> None:
            journal.add(key)
            advance(1)

        pool.run(predict_block, todo, finished, str)
    known = sum(int(np.count_nonzero(state.said.evidence.read(window, 4))) for window in blocks(state.shape, 1024))
    if known < _LITTLE * math.prod(state.shape):
        state.warn(CloudWarning(f"only {100 * known / math.prod(state.shape):.2f} % of the map holds data."))


def _windows(features: Features, shape: tuple[int, int], side: int) -> Iterator[Window]:
    """Blocks of at most a square's pixels; of series, which lie in rows, low and wide ones."""
    if not isinstance(features, SeriesFeatures) or features.chain.halo_px:
        return blocks(shape, side, side)
    columns = min(shape[1], max(side**2 // _LOW, 1))
    return blocks(shape, max(side**2 // columns, 1), columns)


def _limits(card: ModelCard, confidence: float) -> tuple[float, ...]:
    """The greatest score of each class in its confidence sets; of a confidence between two that are known, by line.

    Raises:
        InputError: the model knows none.
    """
    known: Mapping[str, list[float | None]] = card.report.get("limits") or {}
    if not known:
        raise InputError(
            "the model keeps no limits of confidence sets: train it again with groundshift landcover train."
        )
    at = sorted(map(float, known))
    if not at[0] <= confidence <= at[-1]:
        raise UsageError(f"--confidence {confidence:g}: the model knows from {at[0]:g} to {at[-1]:g} percent.")
    table = [[math.inf if value is None else value for value in known[f"{each:g}"]] for each in at]
    return tuple(_between(confidence, at, [row[k] for row in table]) for k in range(len(card.codes)))


def _between(x: float, at: list[float], values: list[float]) -> float:
    upper = next(k for k, each in enumerate(at) if each >= x)
    if at[upper] == x:
        return values[upper]
    low, high, share = values[upper - 1], values[upper], (x - at[upper - 1]) / (at[upper] - at[upper - 1])
    return high if math.isinf(high) else low + share * (high - low)


# ---- smooth --------------------------------------------------------------------------------------------------------


def _smooth(state: State) -> Smoothed:
    section, grid = state.job.smooth, state.source.features.geobox
    unit = math.ceil(section.min_area / (pixel_area_m2(grid) or 1.0) - 1e-9)
    options = SmoothOptions(
        method=section.method if section.method in ("bayes", "bilateral") else "none",
        majority=MajorityOptions() if section.method == "majority" else None,
        unit=MappingUnit(minimum_px=unit) if unit > 1 else None,
    )
    assert state.probabilities is not None
    assert state.said is not None
    if options == SmoothOptions(method="none"):
        return Smoothed(state.said.codes, None)
    source = Stored(state.probabilities)
    budget = state.pool.worker_bytes(state.job.run.memory)
    return smoothing.run(
        source, state.shape, state.card.codes, state.work, state.pool, options, state.progress, budget=budget
    )
