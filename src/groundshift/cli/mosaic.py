"""``groundshift mosaic``: one picture of many scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from groundshift.cli.execute import cell, print_json, print_table, print_warnings
from groundshift.cli.layout import examples
from groundshift.cli.options import (
    AOI,
    BANDS,
    CLOUD_WEIGHTS,
    CLOUDS,
    FORCE,
    FORMAT,
    MASK_CLASSES,
    NO_SHADOWS,
    NO_VERIFY,
    OUTDIR,
    PLAIN_RASTERS,
    PROJECTION,
    RESOLUTION,
    RESUME,
    RUNNING,
    TRUST,
    WHICH_SCENES,
    JobOption,
)
from groundshift.cli.signature import Options, reads
from groundshift.execution.progress import progress
from groundshift.pipelines import jobfile
from groundshift.pipelines.mosaic_job import MosaicJob

EXAMPLES = examples(
    "groundshift mosaic demo/products/*.zip --outdir picture --eight-bit",
    "groundshift mosaic demo/products/*.zip --outdir middle --method median --resolution 20",
)
_OPTIONS = Options(
    MosaicJob,
    {
        "Results": (OUTDIR, FORMAT, JobOption(("--eight-bit",), "output.eight_bit", const=True), FORCE),
        "Scenes": (*WHICH_SCENES, *PLAIN_RASTERS, TRUST, NO_VERIFY),
        "Grid": (replace(BANDS, metavar="B4,B3,..."), AOI, RESOLUTION, PROJECTION),
        "Composing": (
            CLOUDS,
            CLOUD_WEIGHTS,
            NO_SHADOWS,
            *MASK_CLASSES,
            JobOption(
                ("--no-second-opinion",),
                "clouds.second_opinion",
                const=False,
                told="Believe the masks, whatever the other dates say.",
            ),
            JobOption(("--method",), "compose.method", "best|newest|median|..."),
            JobOption(("--preset",), "compose.preset", "force|apex|cdse"),
            JobOption(("--percentile",), "compose.percentile", "PERCENT"),
            JobOption(("--balance",), "compose.balance", "global|none"),
            JobOption(("--blend",), "compose.blend", "multiband|feather|none"),
        ),
        "Running": (RESUME, *RUNNING),
    },
    {"input.scenes": "SCENES..."},
)


@reads(_OPTIONS)
def mosaic(*, as_json: bool, quiet: bool, save_config: str | None, debug: bool, **given: Any) -> None:
    """One picture of many scenes, without clouds and without seams, with the evidence for every pixel.

    A run that was interrupted goes on where it was when it is started again.
    """
    job = _OPTIONS.job(_OPTIONS.values(given))
    if save_config is not None:
        jobfile.save(job, save_config)
    execute(job, as_json=as_json, quiet=quiet)


def job_of(given: Mapping[str, object]) -> MosaicJob:
    """Make a job of options by dotted name, None: not given; UsageError names the flag that does not fit."""
    return _OPTIONS.job(given)


def execute(job: MosaicJob, *, as_json: bool, quiet: bool) -> None:
    """Run a mosaic job and print what came out."""
    from groundshift.pipelines import mosaic as pipeline

    result = pipeline.run(job, progress(quiet))
    print_warnings(result.warnings)
    if as_json:
        print_json(result.summary)
    elif not quiet:
        header = ["no.", "scene", "clear %", "of the mosaic %"]
        rows = [
            [str(i), str(scene["name"]), cell(scene["clear_percent"]), cell(scene["used_percent"])]
            for i, scene in enumerate(result.summary["scenes"], 1)
        ]
        print_table(header, rows)
        for scene in result.summary["dropped"]:
            print(f"not used: {scene['name']}: {scene['reason']}")
        print(f"covered: {cell(result.summary['data_percent'])} %")
        for name, path in result.summary["outputs"].items():
            print(f"{name}: {path}")
