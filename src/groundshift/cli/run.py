"""``groundshift run``: a job file, again or with other values."""

from __future__ import annotations

from typing import Annotated

import typer

from groundshift.cli import features, landcover, mosaic, series
from groundshift.cli.execute import execute
from groundshift.cli.layout import Debug, Json, Quiet, examples
from groundshift.pipelines import jobfile
from groundshift.pipelines.features_job import FeaturesJob
from groundshift.pipelines.landcover_job import PredictJob, TrainJob
from groundshift.pipelines.mosaic_job import MosaicJob
from groundshift.pipelines.series_job import SeriesJob

EXAMPLES = examples(
    "groundshift run demo/job.toml --set output.outdir=again",
    "groundshift run demo/job.toml --set output.outdir=sure --set detect.confidence=99.999 --json",
)


def run(
    job: Annotated[str, typer.Argument(metavar="JOB.TOML", help="Job file, from --save-config or written by hand.")],
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Replace one value, for example detect.confidence=99.9."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the results of another run.")] = False,
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """Run a job file, of any command that writes one; paths in it are relative to the current folder."""
    overrides = dict(jobfile.parse_setting(text) for text in setting or ())
    if force:
        overrides["output.force"] = True
    loaded = jobfile.load(job, overrides)
    if isinstance(loaded, MosaicJob):
        mosaic.execute(loaded, as_json=as_json, quiet=quiet)
    elif isinstance(loaded, SeriesJob):
        series.execute(loaded, as_json=as_json, quiet=quiet)
    elif isinstance(loaded, FeaturesJob):
        features.execute(loaded, as_json=as_json, quiet=quiet)
    elif isinstance(loaded, TrainJob):
        landcover.execute_train(loaded, as_json=as_json, quiet=quiet)
    elif isinstance(loaded, PredictJob):
        landcover.execute_predict(loaded, as_json=as_json, quiet=quiet)
    else:
        execute(loaded, as_json=as_json, quiet=quiet)
