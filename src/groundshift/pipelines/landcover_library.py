"""Land cover from a script or a notebook: files in and files out, and chains on series in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundshift.errors import UsageError
from groundshift.pipelines import jobfile
from groundshift.pipelines.landcover_job import PredictJob, TrainJob

if TYPE_CHECKING:
    import xarray as xr

    from groundshift.execution.progress import Progress
    from groundshift.pipelines.landcover_predict import PredictResult
    from groundshift.pipelines.landcover_train import TrainResult

Steps = Sequence[Mapping[str, Any] | str]
"""Names of steps, with their options: ``["merge_days", {"use": "regular", "step_days": 16}]``."""


def run_chain(series: xr.Dataset, steps_: Steps) -> xr.Dataset:
    """Run named steps on a series in memory.

    Args:
        series: variables (time, y, x) and (y, x), and ``valid`` bool (time, y, x), True = usable.
        steps_: names of steps with their options; functions become steps by ``@gs.step``.

    Returns:
        The series as the last step left it.

    Raises:
        ConfigError: there is no such step, or it has no such option.
        InputError: a step cannot work on what it is given.
    """
    from groundshift.landcover import chain
    from groundshift.pipelines import steps

    if chain.VALID in series and steps.FRACTION not in series.coords:
        series = series.assign_coords({steps.FRACTION: series[chain.VALID].mean(("y", "x"))})
    return chain.Chain.of(steps_)(series)


def train_landcover(
    series: str | Path | Sequence[str | Path] | None,
    truth: str | Path,
    out: str | Path,
    *,
    steps: Steps | None = None,
    model: str | None = None,
    progress: Progress | None = None,
    **options: object,
) -> TrainResult:
    """Do the job of ``groundshift landcover train``.

    Args:
        series: scenes, a list of them that select wrote, a folder of them or an EOPatch folder; None: give ``stack``.
        truth: polygons of classes, or a map of them.
        out: folder of the model.
        steps: the chain from a series to features; None: the usual one.
        model: auto, mlp, lightgbm, rf, knn or tempcnn; None: auto.
        progress: told of each stage.
        options: any option of the job by its name: ``per_class=5000``, ``class_field="crop"``, ``splits_kind="block"``.

    Returns:
        Summary and warnings.

    Raises:
        GroundshiftError: one sentence on what is wrong.
    """
    from groundshift.pipelines import landcover_train

    given: dict[str, object] = {"input.scenes": _listed(series), "truth.path": str(truth), "output.out": str(out)}
    given["model.kind"] = model
    if steps is not None:
        given["chain.steps"] = [{"use": each} if isinstance(each, str) else dict(each) for each in steps]
    job = jobfile.make(TrainJob, {**given, **jobfile.dotted(options, TrainJob)}, error=UsageError)
    return landcover_train.train(job, progress)


def predict_landcover(
    model: str | Path,
    series: str | Path | Sequence[str | Path] | None,
    outdir: str | Path,
    *,
    progress: Progress | None = None,
    **options: object,
) -> PredictResult:
    """Do the job of ``groundshift landcover predict``; arguments as for :func:`train_landcover`."""
    from groundshift.pipelines import landcover_start

    given = {"input.scenes": _listed(series), "model.path": str(model), "output.outdir": str(outdir)}
    job = jobfile.make(PredictJob, {**given, **jobfile.dotted(options, PredictJob)}, error=UsageError)
    return landcover_start.predict(job, progress)


def _listed(series: str | Path | Sequence[str | Path] | None) -> list[str] | None:
    from groundshift.pipelines.scene_names import expanded

    if series is None:
        return None
    return expanded([str(each) for each in ([series] if isinstance(series, str | Path) else series)])
