"""Training a land-cover model: samples of the reference, their features, a judgement by parts, a model of all of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import GroundshiftWarning, InputError, NoDataError, OutputError, SampleWarning, UsageError
from groundshift.execution import lock
from groundshift.execution.memory import worker_bytes
from groundshift.execution.pool import Pool, WorkerDied
from groundshift.execution.progress import Advance, Progress, Silent
from groundshift.io import models, reference
from groundshift.io.reference import Reference
from groundshift.landcover import classifiers, samples, splits
from groundshift.landcover.chain import Chain
from groundshift.landcover.classifiers import Classifier
from groundshift.landcover.samples import SampleOptions, Samples
from groundshift.model.grid import Window, blocks, pixel_size_m
from groundshift.pipelines import landcover_judge, steps
from groundshift.pipelines.landcover_blocks import Extract, extract
from groundshift.pipelines.landcover_job import SplitsSection, TrainJob
from groundshift.pipelines.landcover_judge import Judged, Table
from groundshift.pipelines.landcover_sources import Source, Wanted, open_source
from groundshift.pipelines.series import Features

_IMPORTS = ("groundshift.pipelines.landcover_blocks", "groundshift.pipelines.steps", "groundshift.io.safe")
_ROWS = 256
_SIDES = (1024, 512, 256, 128, 64, 32)
_BLOCK_M = 5000.0
_BLOCKS = 10
"""Blocks along the longer side of an area, at least."""
_PLACES = 2000
"""Of the map, whose distance to the samples folds are matched to."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a training left."""

    summary: dict[str, Any]
    warnings: tuple[GroundshiftWarning, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampled:
    """Samples with their features, and how they are dealt."""

    table: Table
    samples: Samples
    classes: dict[int, str]
    """Names of the classes that have samples."""
    pixels: dict[int, int]
    """Of the reference, by code."""
    without: int
    """Samples without any clear observation, which are left out."""
    folds: list[tuple[NDArray[np.intp], NDArray[np.intp]]]
    kind: str
    """Of the folds."""


def train(job: TrainJob, progress: Progress | None = None) -> TrainResult:
    """Train a model and say how good it is.

    Args:
        job: everything that was asked for.
        progress: told of each stage.

    Raises:
        GroundshiftError: with one sentence; no half model is left.
    """
    progress = progress or Silent()
    out = Path(job.output.out)
    if os.path.lexists(out) and not job.output.force:
        raise OutputError(f"{out} exists already: use --force to replace the model, or choose another --out.")
    steps.load(job.chain.modules)
    chain, workers = Chain.of(job.chain.steps), job.run.workers or os.cpu_count() or 1
    classifier = classifiers.classifier(
        job.model.kind, **{"threads": workers, "seed": job.samples.seed, **job.model.options}
    )
    scratch = out.with_name(f".{out.name}.work")
    with lock.hold(scratch):
        kept = False
        try:
            with Pool(workers, imports=_IMPORTS) as pool:
                source = open_source(job, Wanted(chain=chain, modules=job.chain.modules), scratch, pool, progress)
                sampled = sample(job, source.features, pool, progress)
            with progress.stage("judge", len(sampled.folds)) as advance:
                judged = landcover_judge.judge(classifier, sampled.table, sampled.folds, advance)
            with progress.stage("train", 1) as advance:
                classifier.fit(sampled.table.values, sampled.table.label, sample_weight=sampled.table.weight)
                advance(1)
            summary = _saved(job, source, sampled, classifier, judged)
        except (KeyboardInterrupt, WorkerDied):
            # What is read stays for the next run of the same job.
            kept = True
            raise
        finally:
            if not kept:
                shutil.rmtree(scratch, ignore_errors=True)
    return TrainResult(summary=summary, warnings=(*source.warnings, *_odd(sampled)))


def _saved(job: TrainJob, source: Source, sampled: Sampled, classifier: Classifier, judged: Judged) -> dict[str, Any]:
    names = tuple(sampled.classes.values())
    figures = landcover_judge.report(judged, sampled.table, names)
    importance = _importance(classifier, source.features.names)
    report = {
        "splits": {"kind": sampled.kind, "folds": len(sampled.folds)},
        "transfer": figures,
        "samples": {sampled.classes[code]: int((sampled.table.label == code).sum()) for code in sampled.classes},
        "pixels_of_reference": {sampled.classes[code]: sampled.pixels[code] for code in sampled.classes},
        "samples_without_data": sampled.without,
        "limits": judged.limits,
        "importance": importance,
        "reference": Path(job.truth.path).name,
        "options": job.model_dump(mode="json"),
    }
    card = classifier.card(
        source.features.names,
        names,
        temperature=judged.temperature,
        bands=source.bands,
        chain={"steps": source.chain.plain(), "modules": list(job.chain.modules), "grid": _grid(job)},
        report=report,
    )
    folder = models.save(job.output.out, card, classifier.weights_, force=job.output.force)
    return {
        "model": str(folder),
        "kind": job.model.kind,
        "features": len(card.features),
        "classes": [{"code": code, "name": name} for code, name in sampled.classes.items()],
        **{key: report[key] for key in ("splits", "transfer", "samples", "samples_without_data")},
    }


def _grid(job: TrainJob) -> dict[str, Any]:
    """What a series must be read like to give the same features."""
    return {"bands": list(job.grid.bands), "resolution": job.grid.resolution}


def _importance(classifier: Classifier, names: Sequence[str]) -> dict[str, float]:
    """Share of the gain of all splits that each feature brought, the largest first; of boosted trees."""
    if classifier.kind != "lightgbm":
        return {}
    import lightgbm

    gain = lightgbm.Booster(model_str=classifier.weights_.decode()).feature_importance("gain")
    order = np.argsort(-gain, kind="stable")[:50]
    return {names[k]: round(float(gain[k] / max(gain.sum(), 1e-12)), 5) for k in order}


def _odd(sampled: Sampled) -> Iterator[GroundshiftWarning]:
    few = [name for code, name in sampled.classes.items() if int((sampled.table.label == code).sum()) < 50]
    if few:
        yield SampleWarning(
            f"fewer than 50 samples of {', '.join(few)}: what is said of them is hardly more than a guess."
        )
    if sampled.without:
        yield SampleWarning(f"{sampled.without} samples have no clear observation, and were left out.")
    if sampled.kind == "random":
        yield SampleWarning("samples were split at random, beside each other: the figures flatter the model.")


# ---- samples -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Offer:
    """Rows whose labelled pixels are looked at."""

    reference: Reference
    window: Window
    shape: tuple[int, int]
    options: SampleOptions

    def __str__(self) -> str:
        return f"looking for samples in rows {self.window.y0} to {self.window.y1}"


def offer(work: Offer) -> tuple[Samples, NDArray[np.int64]]:
    """Samples that some rows have to offer, and pixels of each code in them. A task for a worker."""
    around = samples.halo(work.window, work.shape, work.options)
    labels, numbers = work.reference.read(around)
    inner = work.window.within(around).slices
    found = samples.candidates(
        labels,
        work.window,
        work.options,
        polygons=numbers if work.reference.by_polygon else None,
        origin=(around.y0, around.x0),
    )
    return found, np.bincount(labels[inner].reshape(-1), minlength=256)


def sample(job: TrainJob, features: Features, pool: Pool, progress: Progress) -> Sampled:
    """Draw samples of the reference, take their features, and deal them to folds.

    Raises:
        InputError: fewer than two classes have samples.
        NoDataError: none of them has a clear observation.
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
    drawn = samples.finish(samples.merge([part for part, _ in offered], options), options)
    pixels = np.sum([counts for _, counts in offered], axis=0)
    if len(np.unique(drawn.label)) < 2:
        raise InputError(
            f"{job.truth.path}: leaves samples of {len(np.unique(drawn.label))} class after {options.erode_px} pixels "
            "were taken off at borders: expected two classes at least; take off less with --erode, or add polygons."
        )
    with progress.stage("features", len(drawn)) as advance:
        values = _values(features, drawn, job, pool, advance)
    there = np.isfinite(values).any(axis=1)
    if not there.any():
        raise NoDataError(f"none of {len(drawn)} samples has a clear observation: add dates, or another reference.")
    kept, values = drawn.take(there), values[there]
    codes = np.unique(kept.label)
    classes = {int(code): known.classes[int(code)] for code in codes}
    share = pixels[kept.label] / np.bincount(kept.label, minlength=256)[kept.label]
    group, kind = _groups(job.splits, kept, by_polygon=known.by_polygon)
    table = Table(values=values, label=kept.label, group=group, weight=share / share.mean())
    return Sampled(
        table=table,
        samples=kept,
        classes=classes,
        pixels={int(code): int(pixels[code]) for code in codes},
        without=int((~there).sum()),
        folds=_folds(job.splits, kind, kept, group, features),
        kind=kind,
    )


def _values(
    features: Features, drawn: Samples, job: TrainJob, pool: Pool, advance: Advance | Callable[[float], object]
) -> NDArray[np.float32]:
    """Features (n, f) of samples, block by block."""
    budget = max(worker_bytes(job.run.memory, pool.workers), 2**25)
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
        kind = "polygon" if by_polygon else "block"
    if kind == "polygon" or (kind in ("knndm", "random") and by_polygon):
        return drawn.polygon.astype(np.int64), kind
    if kind == "block" and by_polygon:
        return splits.blocks_of_polygons(drawn.block, drawn.polygon).astype(np.int64), kind
    return drawn.block.astype(np.int64), kind


def _folds(
    section: SplitsSection, kind: str, drawn: Samples, group: NDArray[np.int64], features: Features
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    number = len(np.unique(group))
    if kind != "random" and number < 2:
        raise InputError(
            f"all samples lie in one {'polygon' if kind == 'polygon' else 'block'}, so that no part of them can be held "
            "out: add reference, or choose smaller blocks with --block."
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
    return [
        (train, test)
        for train, test in splitter.split(np.zeros((len(drawn), 1)), drawn.label, group)
        if len(np.unique(drawn.label[train])) > 1
    ]
