"""``groundshift mosaic``: one picture of many scenes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from groundshift.cli.execute import cell, print_json, print_table, print_warnings
from groundshift.cli.layout import Debug, Json, Quiet, Resume, Save, examples
from groundshift.cli.options import explained
from groundshift.errors import UsageError
from groundshift.execution.progress import progress
from groundshift.pipelines import jobfile
from groundshift.pipelines.mosaic_job import MosaicJob

EXAMPLES = examples(
    "groundshift mosaic demo/products/*.zip --outdir picture --eight-bit",
    "groundshift mosaic demo/products/*.zip --outdir middle --method median --resolution 20",
)
FLAGS = {
    "input.scenes": "SCENES",
    "input.dates": "--dates",
    "input.max_cloud": "--max-cloud",
    "input.band_order": "--band-order",
    "input.scale": "--scale",
    "input.offset": "--offset",
    "input.trust": "--trust",
    "input.verify": "--no-verify",
    "grid.bands": "--bands",
    "grid.aoi": "--aoi",
    "grid.resolution": "--resolution",
    "grid.projection": "--projection",
    "clouds.mask": "--clouds",
    "clouds.weights": "--weights",
    "clouds.shadows": "--no-shadows",
    "clouds.classes": "--mask-classes",
    "clouds.cloud_dilation_m": "--cloud-dilation",
    "clouds.shadow_dilation_m": "--shadow-dilation",
    "clouds.second_opinion": "--no-second-opinion",
    "compose.method": "--method",
    "compose.preset": "--preset",
    "compose.percentile": "--percentile",
    "compose.balance": "--balance",
    "compose.blend": "--blend",
    "output.outdir": "--outdir",
    "output.format": "--format",
    "output.eight_bit": "--eight-bit",
    "output.force": "--force",
    "run.memory": "--memory",
    "run.workers": "--workers",
    "run.scheduler": "--scheduler",
    "run.strict": "--strict",
}
"""Fields of a mosaic job, and what the command line calls them."""
_FIELDS = jobfile.fields(MosaicJob)


def _option(key: str, metavar: str = "", short: str = "", panel: str = "Grid") -> Any:
    flags = [FLAGS[key], *([short] if short else [])]
    return typer.Option(*flags, metavar=metavar or None, help=explained(_FIELDS[key]), rich_help_panel=panel)


_READ, _COMPOSE, _OUT, _RUN = "Scenes", "Composing", "Results", "Running"

_NO_OPINION = typer.Option(
    "--no-second-opinion", help="Believe the masks, whatever the other dates say.", rich_help_panel=_COMPOSE
)


def mosaic(
    *,
    scenes: Annotated[list[str], typer.Argument(metavar="SCENES...", help=explained(_FIELDS["input.scenes"]))],
    outdir: Annotated[str, _option("output.outdir", "FOLDER", "-o", _OUT)],
    dates: Annotated[str | None, _option("input.dates", "FIRST/LAST", panel=_READ)] = None,
    max_cloud: Annotated[str | None, _option("input.max_cloud", "PERCENT", panel=_READ)] = None,
    band_order: Annotated[str | None, _option("input.band_order", "B2,B3,...", panel=_READ)] = None,
    scale: Annotated[str | None, _option("input.scale", "DN", panel=_READ)] = None,
    offset: Annotated[str | None, _option("input.offset", "DN", panel=_READ)] = None,
    trust: Annotated[str | None, _option("input.trust", "metadata|pixels", panel=_READ)] = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not verify checksums.", rich_help_panel=_READ)
    ] = False,
    bands: Annotated[str | None, _option("grid.bands", "B4,B3,...", "-b")] = None,
    aoi: Annotated[str | None, _option("grid.aoi", "WKT|FILE")] = None,
    resolution: Annotated[str | None, _option("grid.resolution", "METRES", "-r")] = None,
    projection: Annotated[str | None, _option("grid.projection", "native|EPSG:N|WKT")] = None,
    clouds: Annotated[str | None, _option("clouds.mask", "auto|scl|unet|...", panel=_COMPOSE)] = None,
    weights: Annotated[str | None, _option("clouds.weights", "FILE", panel=_COMPOSE)] = None,
    no_shadows: Annotated[
        bool, typer.Option("--no-shadows", help="Believe the masks on shadows.", rich_help_panel=_COMPOSE)
    ] = False,
    mask_classes: Annotated[str | None, _option("clouds.classes", "0,1,3,...", panel=_COMPOSE)] = None,
    cloud_dilation: Annotated[str | None, _option("clouds.cloud_dilation_m", "METRES", panel=_COMPOSE)] = None,
    shadow_dilation: Annotated[str | None, _option("clouds.shadow_dilation_m", "METRES", panel=_COMPOSE)] = None,
    no_second_opinion: Annotated[bool, _NO_OPINION] = False,
    method: Annotated[str | None, _option("compose.method", "best|newest|median|...", panel=_COMPOSE)] = None,
    preset: Annotated[str | None, _option("compose.preset", "force|apex|cdse", panel=_COMPOSE)] = None,
    percentile: Annotated[str | None, _option("compose.percentile", "PERCENT", panel=_COMPOSE)] = None,
    balance: Annotated[str | None, _option("compose.balance", "global|none", panel=_COMPOSE)] = None,
    blend: Annotated[str | None, _option("compose.blend", "multiband|feather|none", panel=_COMPOSE)] = None,
    format: Annotated[str | None, _option("output.format", "COG|GTiff|...", panel=_OUT)] = None,
    eight_bit: Annotated[bool, _option("output.eight_bit", panel=_OUT)] = False,
    force: Annotated[bool, _option("output.force", panel=_OUT)] = False,
    resume: Annotated[bool, Resume] = False,
    memory: Annotated[str | None, _option("run.memory", "2G", panel=_RUN)] = None,
    workers: Annotated[str | None, _option("run.workers", "N", panel=_RUN)] = None,
    scheduler: Annotated[str | None, _option("run.scheduler", "local|tcp://HOST:PORT", panel=_RUN)] = None,
    strict: Annotated[bool, _option("run.strict", panel=_RUN)] = False,
    save_config: Annotated[str | None, Save] = None,
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """One picture of many scenes, without clouds and without seams, with the evidence for every pixel.

    A run that was interrupted goes on where it was when it is started again.
    """
    from groundshift.pipelines.scene_names import expanded

    given: dict[str, object] = dict(locals())
    switches = {"verify": no_verify, "second_opinion": no_second_opinion, "shadows": no_shadows}
    given |= {"scenes": expanded(scenes), "classes": mask_classes, "mask": clouds}
    given |= {"cloud_dilation_m": cloud_dilation, "shadow_dilation_m": shadow_dilation}
    given |= {name: False if off else None for name, off in switches.items()}
    job = job_of({key: given[key.partition(".")[2]] for key in FLAGS})
    if save_config is not None:
        jobfile.save(job, save_config)
    execute(job, as_json=as_json, quiet=quiet)


def job_of(given: Mapping[str, object]) -> MosaicJob:
    """Make a job of options by dotted name, None: not given; UsageError names the flag that does not fit."""
    return jobfile.make(MosaicJob, given, lambda key: FLAGS.get(key, key), UsageError)


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
