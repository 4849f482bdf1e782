"""Samples of a reference with their features, and the parts that they are dealt into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, NoDataError, UsageError
from groundshift.execution.crew import Crew
from groundshift.execution.progress import Progress
from groundshift.io import reference
from groundshift.io.reference import Reference
from groundshift.landcover import samples, splits
from groundshift.landcover.samples import SampleOptions, Samples
from groundshift.model.grid import Window, blocks, pixel_size_m
from groundshift.pipelines.landcover_blocks import Extract, extract
from groundshift.pipelines.landcover_features import Features
from groundshift.pipelines.landcover_job import SplitsSection, TrainJob
from groundshift.pipelines.landcover_judge import Table

_ROWS = 256
_SIDES = (1024, 512, 256, 128, 64, 32)
_BLOCK_M = 5000.0
_BLOCKS = 10
"""Blocks along the longer side of an area, at least."""
_PLACES = 2000
"""Of the map, whose distance to the samples folds are matched to."""

Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]
"""Indices of training and test samples of each part."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Samples without their features: some to learn from, away from borders, and some of all labelled pixels."""

    samples: Samples
    taught: NDArray[np.bool_]
    """(n,) To learn from."""
    asked: NDArray[np.bool_]
    """(n,) To judge by: what lies at borders is asked for as well."""
    classes: dict[int, str]
    """Names of all classes of the reference."""
    pixels: dict[int, int]
    """Of the reference, by code."""
    by_polygon: bool

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, where: NDArray[np.bool_]) -> Drawn:
        """Some of them."""
        return replace(self, samples=self.samples.take(where), taught=self.taught[where], asked=self.asked[where])


@dataclass(frozen=True, kw_only=True, eq=False)
class Dealt:
    """Samples with their features, and how they are dealt."""

    table: Table
    classes: dict[int, str]
    """Names of the classes that have samples."""
    folds: Folds
    kind: str
    """Of the folds."""


@dataclass(frozen=True, eq=False)
class Offer:
    """Rows whose labelled pixels are looked at."""

    reference: Reference
    window: Window
    shape: tuple[int, int]
    options: SampleOptions

    def __str__(self) -> str:
        return f"looking for samples in rows {self.window.y0} to {self.window.y1}"


def offer(work: Offer) -> tuple[Samples, Samples, NDArray[np.int64]]:
    """Samples that some rows have to offer, away from borders and of all, and pixels of each code. A task."""
    around = samples.halo(work.window, work.shape, work.options)
    labels, numbers = work.reference.read(around)
    inner = work.window.within(around).slices
    polygons = numbers if work.reference.by_polygon else None
    pure, every = (
        samples.candidates(labels, work.window, options, polygons=polygons, origin=(around.y0, around.x0))
        for options in (work.options, replace(work.options, erode_px=0))
    )
    return pure, every, np.bincount(labels[inner].reshape(-1), minlength=256)


def draw(job: TrainJob, features: Features, pool: Crew, progress: Progress) -> Drawn:
    """Draw samples of the reference of a job, on the grid of its features.

    Raises:
        InputError: fewer than two classes have samples.
        GroundshiftError: as :func:`~groundshift.io.reference.open_reference` raises it.
    """
    known = reference.open_reference(job.truth.path, features.geobox, job.truth.class_field)
    shape = int(features.geobox.shape[0]), int(features.geobox.shape[1])
    options = SampleOptions(
        per_class=job.samples.per_class,
        erode_px=job.samples.erode_px,
        block_px=_block_px(job.splits, features),
        seed=job.samples.seed,
    )
    work = [Offer(known, window, shape, options) for window in blocks(shape, _ROWS)]
    with progress.stage("samples", len(work)) as advance:
        offered = pool.run(offer, work, lambda _: advance(1), str)
    pure, every = (
        samples.finish(samples.merge(parts, options), options)
        for parts in ([first for first, _, _ in offered], [second for _, second, _ in offered])
    )
    pixels = np.sum([counts for _, _, counts in offered], axis=0)
    if len(np.unique(pure.label)) < 2:
        raise InputError(
            f"{job.truth.path}: leaves samples of {len(np.unique(pure.label))} class after {options.erode_px} pixels "
            "were taken off at borders: expected two classes at least; take off less with --erode, or add polygons."
        )
    drawn, taught, asked = _union(pure, every.take(np.isin(every.label, np.unique(pure.label))))
    return Drawn(
        samples=drawn,
        taught=taught,
        asked=asked,
        classes=dict(known.classes),
        pixels={code: int(pixels[code]) for code in known.classes},
        by_polygon=known.by_polygon,
    )


def _union(pure: Samples, every: Samples) -> tuple[Samples, NDArray[np.bool_], NDArray[np.bool_]]:
    """Both together, each pixel once, and which of them are of the first and of the second."""
    width = int(max(pure.column.max(), every.column.max())) + 1
    keys = [each.row * width + each.column for each in (pure, every)]
    new = ~np.isin(keys[1], keys[0])
    joined = Samples(
        **{
            each.name: np.concatenate([getattr(pure, each.name), getattr(every, each.name)[new]])
            for each in fields(Samples)
        }
    )
    taught = np.arange(len(joined)) < len(pure)
    return joined, taught, ~taught | np.isin(joined.row * width + joined.column, keys[1])


def taken(job: TrainJob, features: Features, drawn: Samples, pool: Crew, progress: Progress) -> NDArray[np.float32]:
    """Features (n, f) of samples, NaN where nothing clear was seen.

    Raises:
        NoDataError: nothing clear was seen of any of them.
    """
    with progress.stage("features", len(drawn)) as advance:
        values = _values(features, drawn, job, pool, advance)
    if not np.isfinite(values).any():
        raise NoDataError(f"none of {len(drawn)} samples has a clear observation: add dates, or another reference.")
    return values


def deal(job: TrainJob, features: Features, drawn: Drawn, values: NDArray[np.float32]) -> Dealt:
    """Weigh samples, and deal them to parts.

    Raises:
        UsageError, InputError: no such parts can be made of them.
    """
    known = np.isin(drawn.samples.label, np.unique(drawn.samples.label[drawn.taught]))
    drawn, values = drawn.take(known), values[known]
    kept = drawn.samples
    if len(np.unique(kept.label)) < 2:
        raise InputError(
            "fewer than two classes have samples with a clear observation: add dates, or another reference."
        )
    pixels = np.zeros(256)
    pixels[list(drawn.pixels)] = list(drawn.pixels.values())
    weights = []
    for role in (drawn.taught, drawn.asked):
        counts = np.maximum(np.bincount(kept.label[role], minlength=256), 1)
        weight = np.where(role, pixels[kept.label] / counts[kept.label], 0.0)
        weights.append(weight / max(weight[role].mean(), 1e-12))
    group, kind = _groups(job.splits, kept, by_polygon=drawn.by_polygon)
    return Dealt(
        table=Table(values=values, label=kept.label, group=group, lesson=weights[0], weight=weights[1]),
        classes={int(code): drawn.classes[int(code)] for code in np.unique(kept.label)},
        folds=_folds(job.splits, kind, kept, _Roles(drawn.taught, drawn.asked, group), features),
        kind=kind,
    )


def _values(
    features: Features, drawn: Samples, job: TrainJob, pool: Crew, advance: Callable[[float], object]
) -> NDArray[np.float32]:
    """Features (n, f) of samples, block by block."""
    budget = max(pool.worker_bytes(job.run.memory), 2**25)
    side = next((side for side in _SIDES if side**2 * features.pixel_bytes <= budget), _SIDES[-1])
    shape = int(features.geobox.shape[0]), int(features.geobox.shape[1])
    out = np.full((len(drawn), len(features.names)), np.nan, np.float32)
    cell = drawn.row // side * (shape[1] // side + 1) + drawn.column // side
    work, places = [], []
    for number in np.unique(cell):
        place = np.flatnonzero(cell == number)
        rows, columns = drawn.row[place], drawn.column[place]
        # No more is read than holds the samples: a few fields in a large image cost little.
        window = Window(int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1)
        work.append(Extract(features, window, rows, columns))
        places.append(place)
    for place, values in zip(places, pool.run(extract, work, lambda part: advance(len(part)), str), strict=True):
        out[place] = values
    return out


# ---- splits --------------------------------------------------------------------------------------------------------


def _block_px(section: SplitsSection, features: Features) -> int:
    pixel_m = pixel_size_m(features.geobox) or 1.0
    longer = max(features.geobox.shape) * pixel_m
    return max(1, round((section.block_m or min(_BLOCK_M, longer / _BLOCKS)) / pixel_m))


def _groups(section: SplitsSection, drawn: Samples, *, by_polygon: bool) -> tuple[NDArray[np.int64], str]:
    """What errs together and stays together, and the kind of split."""
    kind = section.kind
    if kind == "polygon" and not by_polygon:
        raise UsageError("--splits polygon needs polygons, and the reference is a map: choose block, knndm or random.")
    if kind == "auto":
        kind = "knndm"
    if kind == "polygon" or (kind in ("knndm", "random") and by_polygon):
        return drawn.polygon.astype(np.int64), kind
    if kind == "block" and by_polygon:
        return splits.blocks_of_polygons(drawn.block, drawn.polygon).astype(np.int64), kind
    return drawn.block.astype(np.int64), kind


@dataclass(frozen=True, eq=False)
class _Roles:
    taught: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    group: NDArray[np.int64]


def _folds(section: SplitsSection, kind: str, drawn: Samples, roles: _Roles, features: Features) -> Folds:
    group = roles.group
    number = len(np.unique(group))
    if kind != "random" and number < 2:
        raise InputError(
            "all samples lie in one polygon or block, and no part can be held out: add reference, or choose smaller "
            "blocks with --block."
        )
    folds, seed = min(section.folds, number) if kind != "random" else section.folds, 0
    splitter: Any = splits.GroupFolds(folds=folds, seed=seed)
    if kind == "random":
        splitter = splits.RandomFolds(folds=folds, seed=seed)
    elif kind == "knndm":
        pixel_m = pixel_size_m(features.geobox) or 1.0
        rng = np.random.default_rng(seed)
        places = rng.uniform((0, 0), features.geobox.shape, (_PLACES, 2)) * pixel_m
        at = np.stack([drawn.row, drawn.column], axis=1) * pixel_m
        splitter = splits.MatchedFolds(coordinates=at, prediction=places, folds=folds, seed=seed)
    found = [
        (train, test)
        for train, test in splitter.split(np.zeros((len(drawn), 1)), drawn.label, group)
        if len(np.unique(drawn.label[train[roles.taught[train]]])) > 1 and roles.asked[test].any()
    ]
    if len(found) < 2:
        raise InputError(
            "no two parts of the samples can be held out in turn: whatever is left to learn from is of one class. Add "
            "reference, so that each class lies in several polygons or blocks, or choose smaller blocks with --block."
        )
    return found
