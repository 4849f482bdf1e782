"""The probability of change along a series. Open, plan, then date by date: read, compare with the date before, track.

Of each field of view, two scenes at most lie on planes at any time, whatever the number of dates. What is known of
the pixels after each date lies in the folder of the run; it stays there when the run is done, so that a later run with
more dates goes on from it, and so does a run that was killed.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from groundshift.errors import CloudWarning, GroundshiftWarning, MissingInputError, NoDataError, ProductError
from groundshift.execution import lock
from groundshift.execution.backend import open_pool
from groundshift.execution.crew import Crew, WorkerDied
from groundshift.execution.journal import Journal
from groundshift.execution.progress import Progress, Silent
from groundshift.io import opening
from groundshift.io.atomic import sweep, writing
from groundshift.io.digests import Digests
from groundshift.io.planes import Planes
from groundshift.model.grid import blocks, pixel_size_m
from groundshift.model.scene import Reader
from groundshift.pipelines import (
    fitting,
    identities,
    ingest,
    pair_model,
    running,
    series_plan,
    series_rasters,
    series_scenes,
    series_step,
)
from groundshift.pipelines import plan as pair_plan
from groundshift.pipelines.fitting import Block
from groundshift.pipelines.job import DetectSection, KindsSection
from groundshift.pipelines.outdir import refuse_foreign
from groundshift.pipelines.pair_model import PairModel
from groundshift.pipelines.running import Running
from groundshift.pipelines.series_job import SeriesJob
from groundshift.pipelines.series_plan import FieldOfView, SeriesPlan
from groundshift.pipelines.series_scenes import Judged, Seen
from groundshift.pipelines.series_step import COLUMNS, ROWS, Step, StepFacts

STATE = ".groundshift-series"
"""Folder within that of the results, that holds what is known of the pixels after the last date."""
_IMPORTS = ("groundshift.pipelines.series_step", "groundshift.io.safe")
_ENOUGH_VALID = 0.5

OpenPool = Callable[..., Crew]


@dataclass(frozen=True, kw_only=True)
class SeriesResult:
    """What a run left."""

    summary: dict[str, Any]
    """Plain values: outputs, pairs, skipped dates and pairs, alerts, warnings, timings."""
    warnings: tuple[GroundshiftWarning, ...]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One pair of dates and what came of it, for the journal and the manifest."""

    before: str
    """Date as files call it: 20230810."""
    after: str
    scenes: tuple[str, str]
    days: int
    """Between the two."""
    reason: str = ""
    """Why it was skipped; empty: it was compared."""
    joint_percent: float = 0.0
    """Of the area, usable at both dates."""
    compared_px: int = 0
    changed_px: int = 0
    """With a probability of at least the threshold."""
    counts: tuple[int, ...] = ()
    """Compared pixels by probability, in 20 bins from 0 to 1."""
    file: str = ""
    """Name of the raster."""
    notes: tuple[str, ...] = ()
    """What was odd."""


@dataclass(kw_only=True, eq=False)
class Followed:
    """One field of view, along its dates."""

    view: FieldOfView
    folder: Path
    """Of the results."""
    track: Path
    chain: str = ""
    """Up to the last usable date."""
    judged: list[Judged] = field(default_factory=list)
    """A date each."""
    pairs: list[Pair] = field(default_factory=list)


@dataclass(kw_only=True, eq=False)
class Run(Running[SeriesJob]):
    """The state of one run."""

    plan: SeriesPlan
    followed: list[Followed] = field(default_factory=list)

    def area_px(self, view: FieldOfView) -> int:
        """Pixels of the area of interest, or of the grid."""
        return running.area_px(view.area, view.geobox)


def run(job: SeriesJob, progress: Progress | None = None, workers: OpenPool | None = None) -> SeriesResult:
    """Follow a series.

    Args:
        job: everything that was asked for.
        progress: told of each stage.
        workers: makes what runs the work; None: :func:`groundshift.execution.backend.open_pool`.

    Raises:
        GroundshiftError: with one sentence.
    """
    from groundshift.pipelines import series_results

    start = time.monotonic()
    outdir = Path(job.output.outdir)
    pair_model.check(job.detect.method, job.detect.network_weights, job.grid.bands)
    readers = [
        opening.open_scene(text, running.open_options(job.input, outdir)) for text in dict.fromkeys(job.input.scenes)
    ]
    plan = series_plan.make(readers, job)
    with lock.hold(outdir):
        refuse_foreign(outdir, job, resumed=(outdir / STATE).exists())
        sweep(outdir)
        with (workers or open_pool)(
            job.run.workers, scheduler=job.run.scheduler, imports=_IMPORTS, folder=outdir
        ) as pool:
            state = Run(
                job=job, plan=plan, pool=pool, progress=progress or Silent(), outdir=outdir, work=outdir / STATE
            )
            for reader in readers:
                state.warn(*reader.scene.warnings)
            for view in plan.fields:
                state.followed.append(_follow(state, view))
            _check(state)
            summary = series_results.write(state, start)
    return SeriesResult(summary=summary, warnings=tuple(state.warnings))


def _check(state: Run) -> None:
    """Two usable dates are needed; and what other options left is of no more use.

    Raises:
        NoDataError: no field of view has two.
    """
    few = []
    for followed in state.followed:
        if sum(judged.usable for judged in followed.judged) < 2:
            dates = zip(followed.view.dates, followed.judged, strict=True)
            few.append(
                f"{followed.view.name}: {'; '.join(f'{day} {each.reason}' for day, each in dates if each.reason)}"
            )
    if len(few) == len(state.followed):
        raise NoDataError(
            f"no field of view has two usable dates ({', '.join(few)}): add scenes, raise --max-cloud, or choose "
            "another --aoi."
        )
    lost = [
        (reader.scene.name, judged.reason or "the only usable scene of its field of view")
        for followed in state.followed
        if not followed.pairs
        for reader, judged in zip(followed.view.readers, followed.judged, strict=True)
    ]
    state.plan = replace(state.plan, dropped=(*state.plan.dropped, *lost))
    for told in few:
        state.warn(CloudWarning(f"fewer than two usable dates in {told}."))
    state.followed = [followed for followed in state.followed if followed.pairs]
    ours = {followed.track.parent.name for followed in state.followed}
    for other in state.work.iterdir():
        if other.is_dir() and other.name not in ours:
            shutil.rmtree(other, ignore_errors=True)


# ---- along the dates -----------------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False)
class _Date:
    """One usable date on its way."""

    reader: Reader
    name: str
    chain: str
    folder: Path
    seen: Seen | None
    """Its planes; None: they lie in the folder, or are to be read again."""


def _follow(state: Run, view: FieldOfView) -> Followed:
    """Go along the dates of a field of view."""
    work = state.work / f"{view.name}-{_identity(state, view)}"
    folder = state.outdir / view.name if len(state.plan.fields) > 1 else state.outdir
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    chains = _chains(state, view)
    journal = _journal(work, chains, folder)
    records = _records(journal)
    if not journal.done:
        rows, columns = view.geobox.shape
        # two scenes, two versions of what is known, the maps
        state.check_space(int(rows) * int(columns) * (8 * len(state.job.grid.bands) + 80))
    with writing(work):
        (work / "track").mkdir(exist_ok=True)
    found = Followed(view=view, folder=folder, track=work / "track")
    last: _Date | None = None
    for reader, name, chain in zip(view.readers, view.dates, chains, strict=True):
        record, seen = records.get(("scene", chain)), None
        if record is not None:
            judged = series_scenes.from_json(record)
        else:
            judged, seen = _judged(state, view, reader, work / chain)
            if not judged.usable:
                shutil.rmtree(work / chain, ignore_errors=True)
            journal.add(json.dumps(["scene", chain, asdict(judged)]))
        found.judged.append(judged)
        if not judged.usable:
            continue
        date = _Date(reader=reader, name=name, chain=chain, folder=work / chain, seen=seen)
        if ("pair", chain) in records:
            pair = _pair_of(records["pair", chain])
        else:
            pair = None if last is None else _compare(state, found, last, date, journal)
            if last is None:
                _begin(state, found, date)
            journal.add(json.dumps(["pair", chain, None if pair is None else asdict(pair)]))
        found.pairs += [] if pair is None else [pair]
        _forget(found.track, last, chain)
        found.chain, last = chain, date
    if last is not None:
        shutil.rmtree(last.folder, ignore_errors=True)
    return found


def _judged(state: Run, view: FieldOfView, reader: Reader, folder: Path) -> tuple[Judged, Seen | None]:
    """What there is of a scene; one that cannot be read is lost, and the others go on.

    It stays lost until its files are others. A worker that died may have died of something else: that ends the run,
    which the next one takes up.
    """
    try:
        return series_scenes.judge(state, view, reader, folder)
    except WorkerDied:
        raise
    except (ProductError, MissingInputError) as error:
        if state.job.run.strict:
            raise
        return Judged(usable=False, lost=True, reason=str(error)), None


def _identity(state: Run, view: FieldOfView) -> str:
    """What every date and pair depends on, beside the scenes."""
    job = state.job
    digests = Digests()
    sections = (
        job.input.model_copy(update={"dates": None}),
        job.grid,
        job.clouds,
        job.normalise,
        job.detect.model_copy(update={"min_area": None}),
    )
    place = [str(view.geobox.affine), list(view.geobox.shape), str(view.geobox.crs), len(state.plan.fields) > 1]
    options = [*(identities.plain(section, digests) for section in sections), *place]
    network = pair_model.network_of(job.detect.method, job.detect.network_weights)
    return identities.of_run([*options, None if network is None else digests.of(Path(network.weights))])


def _chains(state: Run, view: FieldOfView) -> list[str]:
    """A name for the series up to each of its dates: it depends on what the files of all of them hold."""
    chains: list[str] = []
    digests = Digests(state.work / "digests.json")
    with state.stage("identify", len(view.readers)) as advance:
        for reader in view.readers:
            chains.append(identities.of_run([*chains[-1:], reader.scene.name], [reader], digests))
            advance(1)
    with writing(state.work):
        state.work.mkdir(parents=True, exist_ok=True)
        digests.save()
    return chains


def _journal(work: Path, chains: Sequence[str], folder: Path) -> Journal:
    """The journal of a field of view; a new one where the earlier is not of the first of these dates."""
    journal = Journal(work)
    records = _records(journal)
    pairs = [_pair_of(value) for (kind, _), value in records.items() if kind == "pair"]
    files = [folder / pair.file for pair in pairs if pair is not None and pair.file]
    if {chain for _, chain in records} <= set(chains) and all(file.exists() for file in files):
        return journal
    shutil.rmtree(work)
    return Journal(work)


def _records(journal: Journal) -> dict[tuple[str, str], Any]:
    """What the journal says of scenes and pairs."""
    lines = (json.loads(line) for line in journal.done if line.startswith("["))
    return {(kind, chain): value for kind, chain, value in lines if kind in ("scene", "pair")}


def _pair_of(record: dict[str, Any] | None) -> Pair | None:
    if record is None:
        return None
    lists = {key: tuple(record[key]) for key in ("scenes", "counts", "notes")}
    return Pair(**{**record, **lists})


def _planes(state: Run, found: Followed, date: _Date) -> Seen:
    """The planes of a usable date; read again where an earlier run removed them."""
    if date.seen is None:
        _, date.seen = series_scenes.judge(state, found.view, date.reader, date.folder)
    assert date.seen is not None
    return date.seen


def _forget(track: Path, last: _Date | None, chain: str) -> None:
    """Remove what only the dates before the last one needed."""
    if last is None:
        return
    shutil.rmtree(last.folder, ignore_errors=True)
    for file in track.glob(f"*-{last.chain}.npz"):
        file.unlink()


# ---- one date after the other --------------------------------------------------------------------------------------


def _steps(state: Run, found: Followed, last: _Date | None, date: _Date, **more: Any) -> list[Step]:
    """The units of a date."""
    scene = date.reader.scene
    rows, columns = found.view.geobox.shape
    return [
        Step(
            chain=date.chain,
            window=window,
            before=None if last is None else _planes(state, found, last).stack,
            after=_planes(state, found, date).stack,
            bands=state.job.grid.bands,
            day=series_plan.day_number(scene),
            rule=state.job.detect.rule,
            track=found.track,
            earlier="" if last is None else last.chain,
            **{"model": None, "out": None, **more},
        )
        for window in blocks((int(rows), int(columns)), ROWS, COLUMNS)
    ]


def _begin(state: Run, found: Followed, date: _Date) -> None:
    """Take up the first usable date."""
    state.pool.run(series_step.run, _steps(state, found, None, date), describe=str)


def _compare(state: Run, found: Followed, last: _Date, date: _Date, journal: Journal) -> Pair:
    """Compare a date with the usable date before it, and take it up."""
    seen = _planes(state, found, last), _planes(state, found, date)
    times = [each.reader.scene.sensing_time for each in (last, date)]
    assert times[0] is not None
    assert times[1] is not None
    pair = Pair(
        before=last.name,
        after=date.name,
        scenes=(last.reader.scene.name, date.reader.scene.name),
        days=(times[1].date() - times[0].date()).days,
        joint_percent=100 * series_scenes.joint_px(*seen) / state.area_px(found.view),
        notes=tuple(f"{each.name}: {each}" for each in pair_plan.odd_times(last.reader.scene, date.reader.scene)),
    )
    with state.stage("fit", 1) as advance:
        model, reason = _model(state, found, seen, pair.joint_percent)
        advance(1)
    if model is None:
        state.pool.run(series_step.run, _steps(state, found, last, date), describe=str)
        return replace(pair, reason=reason)
    units = [json.loads(line) for line in journal.done if line.startswith(f'["unit", "{date.chain}"')]
    facts = {(unit[0], unit[1]): StepFacts(unit[0], unit[1], unit[2], unit[3], tuple(unit[4])) for _, _, unit in units}
    path = date.folder / "probability.bin"
    out = Planes.open(path) if facts else Planes.create(path, (1, *seen[0].usable.shape[1:]), "float32")
    steps = _steps(state, found, last, date, model=model, out=out)
    todo = [step for step in steps if (step.window.y0, step.window.x0) not in facts]
    with state.stage("compare", len(todo)) as advance:

        def finished(done: StepFacts) -> None:
            facts[done.y0, done.x0] = done
            journal.add(json.dumps(["unit", date.chain, astuple(done)]))
            advance(1)

        state.pool.run(series_step.run, todo, finished, str)
    pair = replace(
        pair,
        compared_px=sum(each.compared for each in facts.values()),
        changed_px=sum(each.changed for each in facts.values()),
        counts=tuple(np.sum([each.counts for each in facts.values()], axis=0).tolist()),
        notes=(*pair.notes, *(f"{each.name}: {each}" for each in model.fitted.warnings)),
        file=f"PROBABILITY_{last.name}_{date.name}.tif",
    )
    series_rasters.write_probability(state, found, pair.file, out)
    return pair


def _model(state: Run, found: Followed, seen: tuple[Seen, Seen], joint_percent: float) -> tuple[PairModel | None, str]:
    """What the pair teaches, or why the two dates cannot be compared."""
    job = state.job
    if joint_percent < job.detect.min_joint:
        return None, f"{joint_percent:.3g} % jointly usable, less than {job.detect.min_joint:g} %"
    try:
        pixel_m = pixel_size_m(found.view.geobox)
        sample, bands = _sample(state, seen), job.grid.bands
        fitted = fitting.fit(sample, bands, pixel_m, DetectSection(), job.normalise, KindsSection())
        model = pair_model.make(
            fitted,
            sample,
            bands,
            job.detect.method,
            weights=job.detect.network_weights,
            compared_px=series_scenes.joint_px(*seen),
        )
        return model, ""
    except NoDataError as error:
        return None, str(error)


def _sample(state: Run, seen: tuple[Seen, Seen]) -> list[Block]:
    """Blocks of the pair until there are pixels enough."""
    section = state.job.normalise
    stacks = seen[0].stack, seen[1].stack
    rows, columns = seen[0].usable.shape[1:]
    found: list[Block] = []
    usable = looked_at = 0
    for window in pair_plan.sample_windows((rows, columns), section.sample_pixels, section.seed):
        block = ingest.read_block(stacks, window)
        if block.valid.any():
            found.append(block)
            usable, looked_at = usable + int(block.valid.sum()), looked_at + block.valid.size
        if looked_at >= section.sample_pixels and usable >= _ENOUGH_VALID * section.sample_pixels:
            break
    if not found:
        raise NoDataError("no pixel is usable at both dates")
    return found
