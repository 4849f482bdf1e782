"""One date of a series after the other: taken up, fitted with the date before, compared with it.

A unit, or the fit of a pair, that fails whatever is done costs its block or its pair. The run goes on without, and
notes nothing of what follows as done: the next run does it again, and leaves what an undisturbed one would have left.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from groundshift.errors import GroundshiftError, ProductError, ServiceError
from groundshift.execution.crew import Started, TaskError
from groundshift.execution.journal import Journal
from groundshift.io.planes import Planes
from groundshift.model.grid import blocks, pixel_size_m
from groundshift.model.scene import Reader
from groundshift.pipelines import plan as pair_plan
from groundshift.pipelines import series_fit, series_plan, series_rasters, series_scenes, series_step
from groundshift.pipelines.pair_model import PairModel
from groundshift.pipelines.series_fit import Fit
from groundshift.pipelines.series_scenes import Seen
from groundshift.pipelines.series_step import COLUMNS, ROWS, Step, StepFacts

if TYPE_CHECKING:
    from groundshift.pipelines.series import Followed, Run


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


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What could not be computed, whatever was tried."""

    date: str
    what: str
    """``fitting it``, or rows and columns of a block."""
    reason: str


@dataclass(kw_only=True, eq=False)
class Dated:
    """One usable date on its way."""

    reader: Reader
    name: str
    chain: str
    folder: Path
    seen: Seen | None
    """Its planes; None: they lie in the folder, or are to be read again."""
    partner: Dated | None = None
    """What it is compared with; None: it is the first one."""
    gap: bool = False
    """A date before it could not be read for now."""
    joint_px: int = 0
    """Usable at its partner as well."""
    fit: Started[tuple[PairModel | None, str]] | None = None
    """With its partner."""


def pair_of(record: dict[str, Any] | None) -> Pair | None:
    """A pair as the journal holds it."""
    if record is None:
        return None
    lists = {key: tuple(record[key]) for key in ("scenes", "counts", "notes")}
    return Pair(**{**record, **lists})


def excuse(state: Run, error: GroundshiftError) -> str:
    """Why something could not be done, in a line; an error that the run cannot go on after is raised."""
    goes_on = isinstance(error, ProductError | TaskError) and error.exit_code != ServiceError.exit_code
    if state.job.run.strict or not goes_on:
        raise error
    return str(error).strip().rpartition("\n")[2]


def planes(state: Run, found: Followed, date: Dated) -> Seen:
    """The planes of a usable date; read again where an earlier run removed them."""
    if date.seen is None:
        _, date.seen = series_scenes.judge(state, found.view, date.reader, date.folder)
    assert date.seen is not None
    return date.seen


def begin(state: Run, found: Followed, date: Dated) -> None:
    """Take up the first usable date."""
    _advance(state, found, date, _steps(state, found, None, date))


def forget(date: Dated) -> None:
    """Remove the planes of a date."""
    shutil.rmtree(date.folder, ignore_errors=True)
    date.seen = None


def choose(earlier: Sequence[Dated], date: Dated) -> None:
    """Settle what a date is compared with, of the usable dates before it."""
    if earlier:
        date.partner = earlier[series_plan.partner([_time(each) for each in earlier], _time(date))]


def start_fit(state: Run, found: Followed, date: Dated) -> None:
    """Begin to fit a date with its partner, in a worker, while the run goes on."""
    last = date.partner
    assert last is not None
    seen = planes(state, found, last), planes(state, found, date)
    date.joint_px = series_scenes.joint_px(*seen)
    if _joint_percent(state, found, date) >= state.job.detect.min_joint:
        work = Fit(
            stacks=(seen[0].stack, seen[1].stack),
            bands=state.job.grid.bands,
            pixel_m=pixel_size_m(found.view.geobox),
            detect=state.job.detect,
            normalise=state.job.normalise,
            compared_px=date.joint_px,
            dates=(last.name, date.name),
        )
        date.fit = state.pool.start(series_fit.run, work, str)


def compare(state: Run, found: Followed, last: Dated, date: Dated, journal: Journal) -> Pair:
    """Compare a date with its partner, and take it up after the usable date before it, ``last``."""
    other = date.partner
    assert other is not None
    notes = [f"{each.name}: {each}" for each in pair_plan.odd_times(other.reader.scene, date.reader.scene)]
    if other is not last:
        notes.append(f"Season: {last.name} lies in another season, so that {other.name} is compared.")
    pair = Pair(
        before=other.name,
        after=date.name,
        scenes=(other.reader.scene.name, date.reader.scene.name),
        days=(_time(date).date() - _time(other).date()).days,
        joint_percent=_joint_percent(state, found, date),
        notes=tuple(notes),
    )
    with state.stage("fit", 1) as advance:
        model, reason = _fitted(state, found, last, date)
        advance(1)
    if model is None:
        _advance(state, found, date, _steps(state, found, last, date))
        return replace(pair, reason=reason)
    facts, path = _done(found, date, journal), date.folder / "probability.bin"
    out = Planes.open(path) if facts else Planes.create(path, (1, *_shape(found)), "float32")
    steps = _steps(state, found, last, date, model=model, out=out)
    todo = [step for step in steps if (step.window.y0, step.window.x0) not in facts]
    with state.stage("compare", len(todo)) as advance:
        for done in _advance(state, found, date, todo, lambda _: advance(1), journal):
            facts[done.y0, done.x0] = done
    pair = replace(
        pair,
        compared_px=sum(each.compared for each in facts.values()),
        changed_px=sum(each.changed for each in facts.values()),
        counts=tuple(np.sum([each.counts for each in facts.values()] or [(0,) * series_step.BINS], axis=0).tolist()),
        notes=(*pair.notes, *(f"{each.name}: {each}" for each in model.fitted.warnings)),
        file=f"PROBABILITY_{other.name}_{date.name}.tif",
    )
    series_rasters.write_probability(state, found, pair.file, out)
    return pair


def _time(date: Dated) -> datetime:
    time = date.reader.scene.sensing_time
    assert time is not None
    return time


def _joint_percent(state: Run, found: Followed, date: Dated) -> float:
    return 100 * date.joint_px / state.area_px(found.view)


def _shape(found: Followed) -> tuple[int, int]:
    return int(found.view.geobox.shape[0]), int(found.view.geobox.shape[1])


def _fitted(state: Run, found: Followed, last: Dated, date: Dated) -> tuple[PairModel | None, str]:
    """What the pair teaches, or why the two dates cannot be compared."""
    if date.fit is None:
        percent = _joint_percent(state, found, date)
        return None, f"{percent:.3g} % jointly usable, less than {state.job.detect.min_joint:g} %"
    try:
        return date.fit.result()
    except GroundshiftError as error:
        reason = excuse(state, error)
        found.fail(
            last.chain,
            Failure(
                date=date.name, what=f"its fit with {date.partner.name if date.partner else last.name}", reason=reason
            ),
        )
        return None, f"not computed: {reason}"


def _done(found: Followed, date: Dated, journal: Journal) -> dict[tuple[int, int], StepFacts]:
    """Units of a pair that an earlier run did, where what they left is still there."""
    lines = [json.loads(line)[2] for line in journal.done if line.startswith(f'["unit", "{date.chain}"')]
    facts = {(unit[0], unit[1]): StepFacts(unit[0], unit[1], unit[2], unit[3], tuple(unit[4])) for unit in lines}
    if not (date.folder / "probability.bin").exists():
        return {}
    return {
        place: fact for place, fact in facts.items() if series_step.track_file(found.track, *place, date.chain).exists()
    }


def _steps(state: Run, found: Followed, last: Dated | None, date: Dated, **more: Any) -> list[Step]:
    """The units of a date."""
    other = date.partner
    renewed = other is not None and other is not last
    return [
        Step(
            chain=date.chain,
            window=window,
            before=None if other is None else planes(state, found, other).stack,
            after=planes(state, found, date).stack,
            bands=state.job.grid.bands,
            day=series_plan.day_number(date.reader.scene),
            rule=state.job.detect.rule,
            track=found.track,
            earlier="" if last is None else last.chain,
            renewed_day=series_plan.day_number(other.reader.scene) if other is not None and renewed else 0,
            **{"model": None, "out": None, **more},
        )
        for window in blocks(_shape(found), ROWS, COLUMNS)
    ]


def _advance(
    state: Run,
    found: Followed,
    date: Dated,
    steps: Sequence[Step],
    told: Any = None,
    journal: Journal | None = None,
) -> list[StepFacts]:
    """Do units; of one that fails, what was known of its pixels stays as it was, and the pair has no data there."""

    def finished(done: StepFacts) -> None:
        if journal is not None and found.settled is None:
            journal.add(json.dumps(["unit", date.chain, astuple(done)]))
        if told is not None:
            told(done)

    failed: list[tuple[Step, str]] = []
    done = state.pool.run(
        series_step.run,
        steps,
        finished,
        str,
        on_failure=lambda step, error: failed.append((step, excuse(state, error))),
    )
    for step, reason in failed:
        series_step.leave_out(step)
        window = step.window
        where = f"rows {window.y0} to {window.y1}, columns {window.x0} to {window.x1}"
        found.fail(step.earlier, Failure(date=date.name, what=where, reason=reason))
    return done
