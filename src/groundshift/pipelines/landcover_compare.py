"""Variants of a chain on the same samples and the same parts: which link moved the figures, and whether by chance."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import ConfigError, GroundshiftWarning
from groundshift.execution.pool import Pool
from groundshift.execution.progress import Progress, Silent
from groundshift.landcover import classifiers
from groundshift.landcover.chain import Chain
from groundshift.landcover.classifiers import Classifier
from groundshift.model.grid import same_grid
from groundshift.pipelines import jobfile, landcover_judge, landcover_samples, landcover_sources, steps
from groundshift.pipelines.landcover_job import TrainJob
from groundshift.pipelines.landcover_judge import Judged
from groundshift.pipelines.landcover_samples import Drawn
from groundshift.pipelines.landcover_sources import Source, Wanted, open_source

_IMPORTS = ("groundshift.pipelines.landcover_blocks", "groundshift.pipelines.steps", "groundshift.io.safe")
_SAME = ("truth", "samples", "splits")
"""Sections in which variants may not differ: the figures would be of other pixels."""
_LEFT_OUT = ("output.", "run.")
SCORES = ("overall_accuracy", "macro_f1")


@dataclass(frozen=True, kw_only=True)
class CompareResult:
    """What a comparison found."""

    summary: dict[str, Any]
    warnings: tuple[GroundshiftWarning, ...]


def compare(variants: Sequence[tuple[str, TrainJob]], progress: Progress | None = None) -> CompareResult:
    """Judge variants of a chain on the same samples, dealt to the same parts.

    Args:
        variants: names and jobs; the first is what the others are compared with. Samples are drawn on its grid; one
            that has no clear observation in a variant is left out of all.
        progress: told of each stage.

    Returns:
        For each variant its scores with intervals, the options in which it differs from the first, and the difference
        of its scores with an interval of draws of whole polygons or blocks, the same for both.

    Raises:
        ConfigError: fewer than two variants, or variants that differ in reference, samples, splits or grid.
        GroundshiftError: as training raises it.
    """
    progress = progress or Silent()
    if len(variants) < 2:
        raise ConfigError("a comparison needs two job files at least.")
    _, first = variants[0]
    for name, job in variants[1:]:
        differing = [key for key in _differences(first, job) if key.partition(".")[0] in _SAME]
        if differing:
            raise ConfigError(
                f"{name} differs in {', '.join(differing)}: variants share reference, samples and splits."
            )
    for _, job in variants:
        classifiers.check_trainable(job.model.kind)
        steps.load(job.chain.modules)
    sources: list[Source] = []
    values: list[NDArray[np.float32]] = []
    untrained: list[tuple[Classifier, ...]] = []
    drawn: Drawn | None = None
    workers = first.run.workers or os.cpu_count() or 1
    scratch = Path(tempfile.mkdtemp(prefix="groundshift-compare-"))
    try:
        local = any(Chain.of(job.chain.steps).local for _, job in variants)
        with Pool(0 if local else workers, imports=_IMPORTS) as pool:
            for name, job in variants:
                wanted = Wanted(chain=Chain.of(job.chain.steps), modules=job.chain.modules)
                options = {"threads": workers, "seed": job.samples.seed, **job.model.options}
                source, one = landcover_sources.fitted(
                    open_source(job, wanted, scratch, pool, progress),
                    classifiers.candidates(job.model.kind, **options),
                )
                if drawn is None:
                    drawn = landcover_samples.draw(job, source.features, pool, progress)
                elif not _same(sources[0], source):
                    raise ConfigError(
                        f"{name} has another grid than the first variant: give both the same area and pixels."
                    )
                sources.append(source)
                untrained.append(one)
                values.append(landcover_samples.taken(job, source.features, drawn.samples, pool, progress))
        assert drawn is not None
        there = np.logical_and.reduce([np.isfinite(each).any(axis=1) for each in values])
        seen = drawn.take(there)
        judged, tables = [], []
        for (name, _), source, one, each in zip(variants, sources, untrained, values, strict=True):
            dealt = landcover_samples.deal(first, source.features, seen, each[there])
            with progress.stage(f"judge {name}", len(dealt.folds) * len(one)) as advance:
                judged.append(landcover_judge.best(one, dealt.table, dealt.folds, advance)[1])
            tables.append(dealt)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    names = tuple(tables[0].classes.values())
    summary = {
        "splits": {"kind": tables[0].kind, "folds": len(tables[0].folds)},
        "samples": int(there.sum()),
        "variants": [
            {
                "name": name,
                "features": len(source.features.names),
                **{
                    key: value
                    for key, value in landcover_judge.report(each, dealt.table, names).items()
                    if key not in ("reliability", "confusion")
                },
                "differs_in": {key: list(pair) for key, pair in _differences(first, job).items()},
                "against_first": _against(judged[0], each),
            }
            for (name, job), source, each, dealt in zip(variants, sources, judged, tables, strict=True)
        ],
    }
    warnings = {str(warning): warning for source in sources for warning in source.warnings}
    return CompareResult(summary=summary, warnings=tuple(warnings.values()))


def _against(first: Judged, other: Judged) -> dict[str, Any]:
    """Differences of scores to the first variant, with intervals of the same draws; whether chance explains them."""
    ours, theirs = landcover_judge.figures(other.counts.sum(axis=0)), landcover_judge.figures(first.counts.sum(axis=0))
    draws, others = landcover_judge.drawn(other.counts), landcover_judge.drawn(first.counts)
    found = {}
    for key in SCORES:
        ends = landcover_judge.interval(draws[key] - others[key])
        moved = ends is not None and (ends[0] > 0 or ends[1] < 0)
        found[key] = {"difference": float(ours[key] - theirs[key]), "interval": ends, "beyond_chance": moved}
    return found


def _differences(first: TrainJob, other: TrainJob) -> dict[str, tuple[object, object]]:
    """Options that differ, with the value of each; steps of the chain one by one."""
    ours, theirs = jobfile.values(first), jobfile.values(other)
    found = {
        key: (ours[key], theirs[key])
        for key in ours
        if ours[key] != theirs[key] and not key.startswith(_LEFT_OUT) and key != "chain.steps"
    }
    before, after = list(first.chain.steps), list(other.chain.steps)
    for k in range(max(len(before), len(after))):
        pair = tuple(each[k] if k < len(each) else None for each in (before, after))
        if pair[0] != pair[1]:
            found[f"chain.steps.{k + 1}"] = (pair[0], pair[1])
    return found


def _same(a: Source, b: Source) -> bool:
    one, two = a.features.geobox, b.features.geobox
    if one.crs is None or two.crs is None:
        return tuple(one.shape) == tuple(two.shape)
    return tuple(one.shape) == tuple(two.shape) and same_grid(one, two)
