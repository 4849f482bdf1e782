"""Training a land-cover model: samples of a reference, their features, a judgement by parts, a model of all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from groundshift.errors import GroundshiftWarning, SampleWarning, StrictError
from groundshift.execution import lock
from groundshift.execution.backend import open_pool
from groundshift.execution.crew import WorkerDied
from groundshift.execution.progress import Progress, Silent
from groundshift.io import models
from groundshift.landcover import classifiers
from groundshift.landcover.chain import Chain
from groundshift.landcover.classifiers import Classifier
from groundshift.pipelines import landcover_judge, landcover_samples, landcover_sources, steps
from groundshift.pipelines.landcover_job import TrainJob
from groundshift.pipelines.landcover_judge import Judged
from groundshift.pipelines.landcover_samples import Dealt, Drawn
from groundshift.pipelines.landcover_sources import Source, Wanted, open_source

_IMPORTS = ("groundshift.pipelines.landcover_blocks", "groundshift.pipelines.steps", "groundshift.io.safe")


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a training left."""

    summary: dict[str, Any]
    warnings: tuple[GroundshiftWarning, ...]


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
    models.check_target(out, force=job.output.force)
    # A model is used from other folders than the one that it was trained in.
    modules = tuple(str(Path(text).resolve()) for text in job.chain.modules)
    job = job.model_copy(update={"chain": job.chain.model_copy(update={"modules": modules})})
    steps.load(modules)
    chain, workers = Chain.of(job.chain.steps), job.run.workers or os.cpu_count() or 1
    options = {"threads": workers, "seed": job.samples.seed, **job.model.options}
    classifier = classifiers.classifier(job.model.kind, **options)
    classifiers.check_trainable(job.model.kind)
    scratch = out.with_name(f".{out.name}.work")
    with lock.hold(scratch):
        kept = False
        try:
            processes = 0 if chain.local else job.run.workers
            with open_pool(processes, scheduler=job.run.scheduler, imports=_IMPORTS, folder=scratch) as pool:
                source = open_source(job, Wanted(chain=chain, modules=modules), scratch, pool, progress)
                source, classifier = landcover_sources.fitted(source, classifier)
                drawn = landcover_samples.draw(job, source.features, pool, progress)
                values = landcover_samples.taken(job, source.features, drawn.samples, pool, progress)
            there = np.asarray(np.isfinite(values).any(axis=1))
            sampled = landcover_samples.deal(job, source.features, drawn.take(there), values[there])
            without = int((~there).sum())
            with progress.stage("judge", len(sampled.folds)) as advance:
                judged = landcover_judge.judge(classifier, sampled.table, sampled.folds, advance)
            with progress.stage("train", 1) as advance:
                table = sampled.table.take(sampled.table.lesson > 0)
                classifier.fit(table.values, table.label, sample_weight=table.lesson)
                advance(1)
            odd = tuple(_odd(sampled, without))
            if odd and job.run.strict:
                raise StrictError(f"{odd[0].name}: {odd[0]} (an error because of --strict)")
            summary = _saved(job, source, drawn, sampled, classifier, judged)
        except (KeyboardInterrupt, WorkerDied):
            # What is read stays for the next run of the same job.
            kept = True
            raise
        finally:
            if not kept:
                shutil.rmtree(scratch, ignore_errors=True)
    return TrainResult(summary=summary, warnings=(*source.warnings, *odd))


def _saved(
    job: TrainJob, source: Source, drawn: Drawn, sampled: Dealt, classifier: Classifier, judged: Judged
) -> dict[str, Any]:
    names = tuple(sampled.classes.values())
    figures = landcover_judge.report(judged, sampled.table, names)
    importance = _importance(classifier, source.features.names)
    report = {
        "splits": {"kind": sampled.kind, "folds": len(sampled.folds)},
        "transfer": figures,
        "samples": {sampled.classes[code]: _taught(sampled, code) for code in sampled.classes},
        "pixels_of_reference": {sampled.classes[code]: drawn.pixels[code] for code in sampled.classes},
        "samples_without_data": len(drawn) - len(sampled.table),
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


def _odd(sampled: Dealt, without: int) -> Iterator[GroundshiftWarning]:
    few = [name for code, name in sampled.classes.items() if _taught(sampled, code) < 50]
    if few:
        yield SampleWarning(
            f"fewer than 50 samples of {', '.join(few)}: what is said of them is hardly more than a guess."
        )
    if without:
        yield SampleWarning(f"{without} samples have no clear observation, and were left out.")
    if sampled.kind == "random":
        yield SampleWarning("samples were split at random, beside each other: the figures flatter the model.")


def _taught(sampled: Dealt, code: int) -> int:
    """Samples of a class that are learnt from."""
    return int(((sampled.table.label == code) & (sampled.table.lesson > 0)).sum())
