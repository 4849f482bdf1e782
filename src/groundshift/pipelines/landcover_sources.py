"""What a land-cover job reads: scenes, an EOPatch or a stack, opened as features."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from groundshift.errors import GroundshiftWarning, InputError
from groundshift.execution.crew import Crew
from groundshift.execution.progress import Progress
from groundshift.io.stackfile import open_stack
from groundshift.landcover import chain as chains
from groundshift.landcover.chain import Chain, Link
from groundshift.model.scene import Checked, Scene
from groundshift.pipelines import landcover_features, patches
from groundshift.pipelines.landcover_features import Features, SeriesFeatures, StackFeatures
from groundshift.pipelines.landcover_job import PredictJob, TrainJob

if TYPE_CHECKING:
    from groundshift.landcover.classifiers import Classifier
    from groundshift.pipelines.mosaic import Run


@dataclass(kw_only=True, eq=False)
class Source:
    """Features, and what is known of where they come from."""

    features: Features
    chain: Chain
    bands: tuple[str, ...] = ()
    inputs: list[tuple[Scene, list[Checked]]] = field(default_factory=list)
    warnings: list[GroundshiftWarning] = field(default_factory=list)
    run: Run | None = None
    """That read the scenes."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How features are made."""

    chain: Chain
    """Of a series; of no use for a stack."""
    modules: tuple[str, ...] = ()
    """Python files with steps of the chain."""
    names: tuple[str, ...] | None = None
    """Features that are wanted of a stack; None: all."""


def open_source(job: TrainJob | PredictJob, wanted: Wanted, outdir: Path, pool: Crew, progress: Progress) -> Source:
    """Open what a job reads.

    Args:
        job: of training or prediction.
        wanted: how features are made.
        outdir: where scenes are read to, in a folder of the run.
        pool: that reads them.
        progress: told of each stage.

    Raises:
        GroundshiftError: with one sentence.
    """
    if job.input.stack is not None:
        return Source(features=landcover_features.of_stack(open_stack(job.input.stack), wanted.names), chain=Chain(()))
    chain, modules = wanted.chain, wanted.modules
    if len(job.input.scenes) == 1 and patches.is_patch(job.input.scenes[0]):
        folder = _Patch(job.input.scenes[0], job.grid.bands, chain, modules)
        features = pool.run(_opened, [folder], describe=lambda _: f"opening {folder.path}")[0]
        return Source(features=features, chain=chain, bands=features.series.bands)
    from groundshift.pipelines import scene_series

    found, run = scene_series.read(job, outdir, pool, progress)
    return Source(
        features=landcover_features.of_series(found, chain, modules, pool),
        chain=chain,
        bands=found.bands,
        inputs=[(layer.scene, checked) for layer, checked in zip(run.plan.layers, run.checked, strict=True)],
        warnings=run.warnings,
        run=run,
    )


@dataclass(frozen=True)
class _Patch:
    """A patch that is to be opened, by a worker: it loads what that needs anyway."""

    path: str
    bands: tuple[str, ...]
    chain: Chain
    modules: tuple[str, ...]


def _opened(work: _Patch) -> SeriesFeatures:
    return landcover_features.of_series(patches.open_patch(work.path, work.bands), work.chain, work.modules)


def units(features: Features) -> tuple[str, ...]:
    """Units of features of a stack, where it tells any; of a series they are what its chain makes."""
    if not isinstance(features, StackFeatures) or not any(features.stack.units):
        return ()
    told = dict(zip(features.stack.names, features.stack.units, strict=True))
    return tuple(told[name] for name in features.names)


def fitted(source: Source, candidates: tuple[Classifier, ...]) -> tuple[Source, tuple[Classifier, ...]]:
    """Features and classifiers as they fit each other: a network over time is given what changes, and how many dates.

    What does not change in time is left out, by one more step of the chain, which is kept with the model.

    Raises:
        InputError: the features are no series on one calendar.
    """
    if [each.kind for each in candidates] != ["tempcnn"]:
        return source, candidates
    names, dates = chains.calendar_of(source.features.names)
    if dates < 2:
        raise InputError("tempcnn needs features of two dates at least, on one calendar, such as step regular makes.")
    features = source.features
    chain = source.chain
    if names != features.names and isinstance(features, StackFeatures):
        features = landcover_features.of_stack(features.stack, names)
    elif names != features.names and isinstance(features, SeriesFeatures):
        variables = list(dict.fromkeys(chains.variable_of(name) for name in names))
        chain = Chain((*chain.links, Link.of({"use": "select", "names": variables})))
        features = landcover_features.of_series(features.series, chain, features.modules)
    source = replace(source, features=features, chain=chain)
    return source, (candidates[0].set_params(steps=dates),)
