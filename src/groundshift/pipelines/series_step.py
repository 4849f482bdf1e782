"""The unit of work of a series: a block of one pair. Probability of change, and what is known of each pixel so far.

A unit reads what the unit of the pair before left of the same block, and leaves its own beside it: done twice, it
leaves the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.change import series
from groundshift.change.confirm import ConfirmOptions
from groundshift.change.series import Track
from groundshift.io.atomic import atomic
from groundshift.io.planes import Planes
from groundshift.model.grid import Window
from groundshift.numerics.rounding import round_mantissa
from groundshift.pipelines.fitting import Block
from groundshift.pipelines.ingest import Stack
from groundshift.pipelines.pair_model import PairModel

ROWS = 512
"""Rows of a unit: always the same, since a network sees a little of how an image is cut."""
COLUMNS = 1024
"""Of a unit, likewise."""
BINS = 20
"""Of the histogram of probabilities."""
_STEP, _ZERO = 1e-4, 1000
"""The reference is kept in steps of so much reflectance, and 0 is stored as that number: 0 is nothing."""
_SAME = 2 * _STEP
"""References that are as near as this to the date before are it."""


@dataclass(frozen=True, eq=False)
class Step:
    """A block of one date, against the date before."""

    chain: str
    """Of the series up to this date."""
    window: Window
    before: Stack | None
    """None: this is the first date."""
    after: Stack
    model: PairModel | None
    """None: the two dates cannot be compared."""
    bands: tuple[str, ...]
    day: int
    rule: ConfirmOptions
    out: Planes | None
    """(1, y, x) float32: the probability of change."""
    track: Path
    """Folder of what is known."""
    earlier: str
    """The chain up to the date before."""
    renewed_day: int = 0
    """Day of ``before``, where that is not the date before but one of the same season a year ago: pixels without change
    are then compared with it, wherever it is usable. 0: it is the date before."""

    def __str__(self) -> str:
        return f"comparing rows {self.window.y0} to {self.window.y1}"


@dataclass(frozen=True)
class StepFacts:
    """What a unit says, beside what it wrote."""

    y0: int
    x0: int
    compared: int
    changed: int
    counts: tuple[int, ...]
    """Pixels by probability, in BINS bins from 0 to 1."""


def run(step: Step) -> StepFacts:
    """Do one unit. A task for a worker."""
    image, usable, _ = step.after.read(step.window)
    if step.before is None:
        _save(series.begin(image, usable, step.day), track_file(step.track, step.window.y0, step.window.x0, step.chain))
        return StepFacts(step.window.y0, step.window.x0, 0, 0, (0,) * BINS)
    track = load(step.track, step.window, step.earlier)
    pair = np.full(usable.shape, np.nan, np.float32)
    since = pair
    kind = np.zeros(usable.shape, np.uint8)
    if step.model is not None:
        if step.renewed_day:
            track = series.renewed(track, *step.before.read(step.window)[:2], step.renewed_day)
        before = track.reference
        pair, since = _compare(step, step.model, track)
        brought = step.model.fitted.normalised(image)
        kind = series.kind_of(before, brought, step.bands)
        lines = step.model.fitted.normalisation
        track = series.rescaled(track, lines.gain, lines.offset)
    if step.out is not None:
        step.out.write(step.window, pair, 0)
    track = series.advance(track, since, image, usable, kind, step.day, step.rule)
    _save(track, track_file(step.track, step.window.y0, step.window.x0, step.chain))
    found = pair[np.isfinite(pair)]
    counts = np.bincount(np.minimum((found * BINS).astype(np.intp), BINS - 1), minlength=BINS)
    changed = int((found >= step.rule.threshold).sum())
    return StepFacts(step.window.y0, step.window.x0, len(found), changed, tuple(counts.tolist()))


def _compare(step: Step, model: PairModel, track: Track) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probability that this date differs from the date before, and from the reference of each pixel.

    The two are the same but where the reference is older than the date before: it was cloudy, or a change is
    under suspicion.
    """
    assert step.before is not None
    padded = step.window.padded(model.halo_px, step.after.dn.shape[1:])
    inner = step.window.within(padded)
    before, usable_before, _ = step.before.read(padded)
    after, usable_after, _ = step.after.read(padded)
    pair = round_mantissa(model.probability(Block(before, after, usable_before & usable_after), inner))
    own, clear = usable_before[inner.slices], usable_after[inner.slices]
    other = track.reference_day > 0
    same = own & (np.abs(track.reference - before[:, *inner.slices]) < _SAME).all(axis=0)
    differs = other & ~same & clear
    if not differs.any():
        return pair, np.where(other, pair, np.float32(np.nan))
    stored = _stored(step.track, padded, step.earlier, ("reference", "reference_day", "status"))
    reference, known = _reflectance(stored["reference"]), stored["reference_day"] > 0
    if step.renewed_day:
        calm = (stored["status"] == series.NONE) & usable_before
        reference, known = np.where(calm, before, reference), known | calm
    since = round_mantissa(model.probability(Block(reference, after, known & usable_after), inner))
    return pair, np.where(differs, since, np.where(other, pair, np.float32(np.nan)))


def leave_out(step: Step) -> None:
    """What is left of a unit that cannot be done: what was known before, and no data in the raster of the pair."""
    window = step.window
    target = track_file(step.track, window.y0, window.x0, step.chain)
    if step.earlier:
        with atomic(target) as temporary:
            shutil.copyfile(track_file(step.track, window.y0, window.x0, step.earlier), temporary)
    else:
        nothing = np.zeros((len(step.bands), *window.shape), np.float32)
        _save(series.begin(nothing, np.zeros(window.shape, bool), step.day), target)
    if step.out is not None:
        step.out.write(window, np.full(window.shape, np.nan, np.float32), 0)


# ---- what is known of each pixel, in files --------------------------------------------------------------------------


def track_file(folder: Path, y0: int, x0: int, chain: str) -> Path:
    """Where what is known of the block that begins there lies, after the dates of a chain."""
    return folder / f"{y0:06d}-{x0:06d}-{chain}.npz"


def load(folder: Path, window: Window, chain: str, *, reference: bool = True) -> Track:
    """What is known of a window, whichever blocks hold it; without the reference, if none is asked for (0 bands)."""
    names = [field.name for field in fields(Track) if reference or field.name != "reference"]
    values = _stored(folder, window, chain, names)
    kept = values.get("reference", np.empty((0, *window.shape), np.uint16))
    return Track(**values | {"reference": _reflectance(kept)})


def _stored(folder: Path, window: Window, chain: str, names: Sequence[str]) -> dict[str, Any]:
    """Some of it (..., y, x), as it is stored."""
    rows = []
    for y0 in range(window.y0 // ROWS * ROWS, window.y1, ROWS):
        row = []
        for x0 in range(window.x0 // COLUMNS * COLUMNS, window.x1, COLUMNS):
            part = (
                slice(max(window.y0 - y0, 0), min(window.y1 - y0, ROWS)),
                slice(max(window.x0 - x0, 0), min(window.x1 - x0, COLUMNS)),
            )
            with np.load(track_file(folder, y0, x0, chain), allow_pickle=False) as stored:
                row.append([stored[name][..., *part] for name in names])
        rows.append([np.concatenate(each, axis=-1) for each in zip(*row, strict=True)])
    whole = (np.concatenate(each, axis=-2) for each in zip(*rows, strict=True))
    return dict(zip(names, whole, strict=True))


def _save(track: Track, path: Path) -> None:
    reference = np.clip(np.rint(track.reference / np.float32(_STEP)) + _ZERO, 1, 65_535)
    kept = replace(track, reference=np.where(track.reference_day > 0, reference, 0).astype(np.uint16))
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **{field.name: getattr(kept, field.name) for field in fields(Track)})


def _reflectance(stored: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (stored.astype(np.float32) - np.float32(_ZERO)) * np.float32(_STEP)
