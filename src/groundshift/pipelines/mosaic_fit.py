"""All scenes of a mosaic from afar: colours that make overlaps agree, who gives which cell, how much each one counts.

Cells are of about 160 m. What is known of them lies in planes, a file a scene, and is taken up scene by scene: memory
does not follow the number of scenes, but for one byte a cell and scene of masks and a few numbers a scene.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundshift.composite import balance, blend, scores, seams
from groundshift.composite.balance import Balance
from groundshift.errors import NoDataError
from groundshift.model.grid import pixel_size_m
from groundshift.pipelines import ingest, mosaic_blocks
from groundshift.pipelines.mosaic_blocks import CHOOSING, Overlap, Thin
from groundshift.pipelines.mosaic_job import interval
from groundshift.radiometry import audit

if TYPE_CHECKING:
    from groundshift.pipelines.mosaic import Run

_SLACK_DAYS = 3.0
"""Scenes this close in time are as new as each other: the seam between them may lie where they agree best."""
_SLACK_SCORE = 0.1
"""The same for scores, which lie between 0 and 1."""
_SAMPLE_CELLS = 2**23
"""Cells of all overlaps together that balance is fitted on, at most, but for the fewest that one overlap needs."""
_FEWEST_CELLS = 4096
_OUT_OF_REACH_M = 10_000.0
"""Farther from clouds than this no weight changes."""


def fit(state: Run) -> None:
    """Settle offsets, colours, and what gives each cell; fills ``thinned``, ``layers``, ``balance`` and ``labels``.

    Raises:
        NoDataError: nothing is clear.
    """
    names = [layer.scene.name for layer in state.plan.layers]
    with state.stage("fit", len(names) + 2) as advance:
        work = [
            Thin(layer, state.shape, state.step, name, state.work / f"coarse-{i:04d}.bin")
            for i, (layer, name) in enumerate(zip(state.layers, names, strict=True))
        ]
        state.thinned = state.pool.run(mosaic_blocks.thin, work, lambda _: advance(1), str)
        state.layers = [
            replace(layer, cloud_share=seen.cloud_share)
            for layer, seen in zip(state.layers, state.thinned, strict=True)
        ]
        if not any(seen.any_clear for seen in state.thinned):
            raise NoDataError(
                f"nothing of the {len(names)} scenes is clear within the area: add scenes or dates, or change "
                "--mask-classes."
            )
        _audit(state)
        if state.job.compose.balance == "global" and len(names) > 1:
            state.balance = _balance(state)
            state.layers = [
                replace(layer, gain=tuple(map(float, gain)), shift=tuple(map(float, shift)))
                for layer, gain, shift in zip(state.layers, state.balance.gain, state.balance.offset, strict=True)
            ]
        advance(1)
        if state.job.compose.method in CHOOSING:
            state.labels = _labels(state)
        elif state.job.compose.method == "weighted":
            _weigh(state)
        advance(1)


def _audit(state: Run) -> None:
    """Do the pixels carry the offsets that the metadata tell of? Settles the offsets of all scenes."""
    for i, (layer, stack, seen) in enumerate(zip(state.plan.layers, state.layers, state.thinned, strict=True)):
        infos = [layer.scene.bands[band] for band in state.job.grid.bands]
        verdict = audit.audit(dict(zip(state.job.grid.bands, seen.dark, strict=True)), layer.scene.level)
        offsets, warning = audit.reconcile(verdict, infos, state.job.input.trust, layer.scene.name)
        state.warn(warning)
        step = tuple((offsets[info.name] - info.offset) * info.scale for info in infos)
        state.layers[i] = replace(stack, stack=ingest.audited(stack.stack, [offsets[info.name] for info in infos]))
        state.thinned[i] = replace(seen, step=step)


# ---- balance -------------------------------------------------------------------------------------------------------


def _balance(state: Run) -> Balance:
    """One adjustment over all overlaps, each of which is described by a worker."""
    seen = state.thinned
    every = itertools.combinations(range(len(seen)), 2)
    pairs = [(i, j) for i, j in every if seen[i].window.shared(seen[j].window) is not None]
    most = balance.BalanceOptions().sample_pixels
    sample = int(np.clip(_SAMPLE_CELLS // max(len(pairs), 1), _FEWEST_CELLS, most))
    work = [Overlap(seen[i], seen[j], sample) for i, j in pairs]
    found = state.pool.run(mosaic_blocks.overlap, work, describe=str)
    overlaps = {pair: each for pair, each in zip(pairs, found, strict=True) if each is not None}
    return balance.solve(overlaps, state.pool.run(mosaic_blocks.area, seen, describe=str))


# ---- who gives which cell ------------------------------------------------------------------------------------------


def _cells(state: Run) -> tuple[int, int]:
    rows, columns = (-(-n // state.step) for n in state.shape)
    return rows, columns


def _labels(state: Run) -> NDArray[np.int16]:
    """Which scene gives each coarse cell: of those that are about as good as the best there, cut where they agree."""
    valid = np.zeros((len(state.thinned), *_cells(state)), bool)
    for mask, seen in zip(valid, state.thinned, strict=True):
        mask[seen.window.slices] = seen.mostly_clear()
    best = np.full(valid.shape[1:], -np.inf, np.float32)
    for i, mask in enumerate(valid):
        np.maximum(best, np.where(mask, _merit(state, i, mask), -np.inf), out=best)
    slack = np.float32(_SLACK_DAYS if state.job.compose.method == "newest" else _SLACK_SCORE)
    # In place: only now are the others of no use.
    for i, mask in enumerate(valid):
        mask &= _merit(state, i, mask) >= best - slack
    return seams.seams(_balanced(state), valid)


def _balanced(state: Run) -> Iterator[NDArray[np.float32]]:
    """Means (p, y, x) of the scenes on the whole coarse grid, one after the other, NaN where there are none."""
    for i, seen in enumerate(state.thinned):
        image = np.full((len(state.job.grid.bands), *_cells(state)), np.nan, np.float32)
        means = seen.means()
        image[:, *seen.window.slices] = means if state.balance is None else balance.apply(state.balance, i, means)
        yield image


def _merit(state: Run, i: int, valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How much a scene is wanted in each coarse cell, (y, x)."""
    compose = state.job.compose
    if compose.method == "newest":
        return np.full(valid.shape, -state.layers[i].age_days, np.float32)
    options = scores.SCORES[compose.preset or "apex"]
    distance = _clear_distance(state, valid, options.clear_distance_m)
    haze = None
    if options.haze > 0:
        haze = np.zeros(valid.shape, np.float32)
        haze[state.thinned[i].window.slices] = _haze(state, i)
    days = state.layers[i].age_days if compose.preset is None else _days_off(state, i)
    found = scores.best_scores(
        options,
        distance[None],
        cloud_share=np.array([state.layers[i].cloud_share]),
        days_off=np.array([days]),
        haze=None if haze is None else haze[None],
    )
    return np.asarray(found[0])


def _clear_distance(state: Run, clear: NDArray[np.bool_], most_m: float) -> NDArray[np.float32]:
    """Metres (y, x) from each cell to the next that is not clear, up to a limit."""
    size = (pixel_size_m(state.plan.geobox) or 10.0) * state.step
    return blend.edge_distance(clear, most_m / size) * np.float32(size)


def _haze(state: Run, i: int) -> NDArray[np.float32]:
    """0 to 1 in the cells of a scene; 0 without a blue and a red band."""
    bands, means = state.job.grid.bands, state.thinned[i].means()
    if not {"B02", "B04"} <= set(bands):
        return np.zeros(means.shape[1:], np.float32)
    return np.nan_to_num(scores.haze(means[bands.index("B02")], means[bands.index("B04")]))


def _days_off(state: Run, i: int) -> float:
    """Days from the middle of the period that was asked for, or of what is there; 0 where it is not known."""
    times = [layer.scene.sensing_time for layer in state.plan.layers]
    own = times[i]
    known = [time.toordinal() for time in times if time is not None]
    if own is None or not known:
        return 0.0
    if state.job.input.dates is not None:
        first, last = (day.toordinal() for day in interval(state.job.input.dates))
    else:
        first, last = min(known), max(known)
    return own.toordinal() - (first + last) / 2


# ---- weights -------------------------------------------------------------------------------------------------------


def _weigh(state: Run) -> None:
    """Note with each scene what its cells weigh in the weighted mean."""
    options = scores.WeightOptions()
    for i, seen in enumerate(state.thinned):
        clear = np.zeros(_cells(state), bool)
        clear[seen.window.slices] = seen.mostly_clear()
        distance = _clear_distance(state, clear, _OUT_OF_REACH_M)
        found = scores.mean_weights(options, distance[None], days_off=np.array([_days_off(state, i)]))[0]
        seen.write_weights(found[seen.window.slices])
        state.layers[i] = replace(state.layers[i], weights=seen.planes)
