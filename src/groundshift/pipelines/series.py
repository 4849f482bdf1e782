"""The probability of change along a series. Open, plan, then date by date: read, compare with the date before, track.

Of each field of view, three scenes at most lie on planes at any time, whatever the number of dates: while one is read,
the two before it are fitted. What is known of the pixels after each date lies in the folder of the run; it stays there
when the run is done, so that a later run with more dates goes on from it, and so does a run that was killed.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from groundshift.errors import CloudWarning, GroundshiftError, GroundshiftWarning, NoDataError
from groundshift.execution import lock
from groundshift.execution.backend import open_pool
from groundshift.execution.crew import Crew, TaskError, WorkerDied
from groundshift.execution.journal import Journal
from groundshift.execution.progress import Progress, Silent
from groundshift.io import opening
from groundshift.io.atomic import sweep, writing
from groundshift.io.digests import Digests
from groundshift.model.scene import Reader
from groundshift.pipelines import (
    identities,
    pair_model,
    running,
    series_memory,
    series_pairs,
    series_plan,
    series_scenes,
)
from groundshift.pipelines.outdir import refuse_foreign
from groundshift.pipelines.running import Running
from groundshift.pipelines.series_job import SeriesJob
from groundshift.pipelines.series_pairs import Dated, Failure, Pair
from groundshift.pipelines.series_plan import FieldOfView, SeriesPlan
from groundshift.pipelines.series_scenes import Judged, Seen

STATE = ".groundshift-series"
"""Folder within that of the results, that holds what is known of the pixels after the last date."""
_IMPORTS = ("groundshift.pipelines.series_step", "groundshift.io.safe")
_AHEAD = 1
"""Dates that are read before the one before them has been compared, so that its fit goes on meanwhile."""

OpenPool = Callable[..., Crew]


@dataclass(frozen=True, kw_only=True)
class SeriesResult:
    """What a run left."""

    summary: dict[str, Any]
    """Plain values: outputs, pairs, skipped dates and pairs, alerts, warnings, timings."""
    warnings: tuple[GroundshiftWarning, ...]


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
    failed: list[Failure] = field(default_factory=list)
    """What could not be computed; the next run tries it again."""
    settled: str | None = None
    """Up to which date, by its chain, everything was computed; None: up to the last one."""

    def fail(self, earlier: str, *failures: Failure) -> None:
        """From here on nothing counts as done; what is known up to the date before is kept for the next run."""
        self.failed += failures
        self.settled = earlier if self.settled is None else self.settled


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
            series_memory.workers(job, plan), scheduler=job.run.scheduler, imports=_IMPORTS, folder=outdir
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
        # four scenes, two versions of what is known, the maps
        state.check_space(int(rows) * int(columns) * (12 * len(state.job.grid.bands) + 84))
    with writing(work):
        (work / "track").mkdir(exist_ok=True)
    found = Followed(view=view, folder=folder, track=work / "track")
    last: Dated | None = None
    usable: list[Dated] = []
    waiting: deque[Dated] = deque()
    gap = False
    for reader, name, chain in zip(view.readers, view.dates, chains, strict=True):
        judged, seen = _judged(state, found, reader, work / chain, records.get(("scene", chain)))
        found.judged.append(judged)
        if ("scene", chain) not in records and not judged.again:
            journal.add(json.dumps(["scene", chain, asdict(judged)]))
        gap |= judged.again
        if not judged.usable:
            shutil.rmtree(work / chain, ignore_errors=True)
            continue
        date = Dated(reader=reader, name=name, chain=chain, folder=work / chain, seen=seen, gap=gap)
        series_pairs.choose(usable, date)
        if usable and ("pair", chain) not in records:
            series_pairs.start_fit(state, found, date)
        usable.append(date)
        waiting.append(date)
        if len(waiting) > _AHEAD:
            last = _take_up(state, found, last, waiting.popleft(), journal, records)
    for date in waiting:
        last = _take_up(state, found, last, date, journal, records)
    if last is not None:
        series_pairs.forget(last)
    return found


def _take_up(
    state: Run,
    found: Followed,
    last: Dated | None,
    date: Dated,
    journal: Journal,
    records: Mapping[tuple[str, str], Any],
) -> Dated:
    """Go on by one usable date; returns it."""
    if date.gap:
        found.fail("" if last is None else last.chain)
    if ("pair", date.chain) in records:
        pair = series_pairs.pair_of(records["pair", date.chain])
    elif last is None:
        pair = None
        series_pairs.begin(state, found, date)
    else:
        pair = series_pairs.compare(state, found, last, date, journal)
    if found.settled is None and ("pair", date.chain) not in records:
        journal.add(json.dumps(["pair", date.chain, None if pair is None else asdict(pair)]))
    found.pairs += [] if pair is None else [pair]
    if date.partner not in (None, last):
        series_pairs.forget(date.partner)
    _forget(found, last)
    found.chain = date.chain
    return date


def _judged(
    state: Run, found: Followed, reader: Reader, folder: Path, record: dict[str, Any] | None
) -> tuple[Judged, Seen | None]:
    """What there is of a scene; one that cannot be read is lost, and the others go on.

    It stays lost until its files are others; but workers that died over it, or a bug, may have had another reason, so
    that the next run tries it again.
    """
    if record is not None:
        return series_scenes.from_json(record), None
    try:
        return series_scenes.judge(state, found.view, reader, folder)
    except GroundshiftError as error:
        again = isinstance(error, WorkerDied | TaskError)
        return Judged(usable=False, lost=True, again=again, reason=series_pairs.excuse(state, error)), None


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
    pairs = [series_pairs.pair_of(value) for (kind, _), value in records.items() if kind == "pair"]
    files = [folder / pair.file for pair in pairs if pair is not None and pair.file]
    if {chain for _, chain in records} <= set(chains) and all(file.exists() for file in files):
        return journal
    shutil.rmtree(work)
    return Journal(work)


def _records(journal: Journal) -> dict[tuple[str, str], Any]:
    """What the journal says of scenes and pairs."""
    lines = (json.loads(line) for line in journal.done if line.startswith("["))
    return {(kind, chain): value for kind, chain, value in lines if kind in ("scene", "pair")}


def _forget(found: Followed, last: Dated | None) -> None:
    """Remove what only the dates before the last one needed."""
    if last is None:
        return
    series_pairs.forget(last)
    if last.chain != found.settled:
        for file in found.track.glob(f"*-{last.chain}.npz"):
            file.unlink()
