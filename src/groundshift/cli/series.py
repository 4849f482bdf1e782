"""``groundshift series``: the probability of change along a series of dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from groundshift.cli.execute import cell, print_json, print_table, print_warnings
from groundshift.cli.layout import Debug, Json, Quiet, Resume, Save, examples
from groundshift.cli.options import explained
from groundshift.errors import PartialError, UsageError
from groundshift.execution.progress import progress
from groundshift.pipelines import jobfile
from groundshift.pipelines.series_job import SeriesJob

EXAMPLES = examples(
    "groundshift series demo/products/*.zip --outdir along",
    "groundshift series demo/products/*.zip --outdir along20 --resolution 20 --confirm 1/1 --json",
)
FLAGS = {
    "input.scenes": "SCENES",
    "input.dates": "--dates",
    "input.max_cloud": "--max-cloud",
    "input.orbits": "--orbits",
    "input.band_order": "--band-order",
    "input.scale": "--scale",
    "input.offset": "--offset",
    "input.trust": "--trust",
    "input.verify": "--no-verify",
    "grid.bands": "--bands",
    "grid.aoi": "--aoi",
    "grid.resolution": "--resolution",
    "clouds.mask": "--clouds",
    "clouds.weights": "--weights",
    "clouds.shadows": "--shadows",
    "clouds.classes": "--mask-classes",
    "clouds.cloud_dilation_m": "--cloud-dilation",
    "clouds.shadow_dilation_m": "--shadow-dilation",
    "normalise.method": "--regression",
    "normalise.sample_pixels": "--sample-pixels",
    "normalise.seed": "--seed",
    "detect.method": "--method",
    "detect.network_weights": "--network-weights",
    "detect.threshold": "--threshold",
    "detect.confirm": "--confirm",
    "detect.min_joint": "--min-joint",
    "detect.min_area": "--min-area",
    "output.outdir": "--outdir",
    "output.animation": "--no-animation",
    "output.force": "--force",
    "run.memory": "--memory",
    "run.workers": "--workers",
    "run.scheduler": "--scheduler",
    "run.strict": "--strict",
}
"""Fields of a series job, and what the command line calls them."""
_FIELDS = jobfile.fields(SeriesJob)
_NAMED = 5
"""Of what could not be done, in the last line."""


def _option(key: str, metavar: str = "", short: str = "", panel: str = "Scenes") -> Any:
    flags = [FLAGS[key], *([short] if short else [])]
    return typer.Option(*flags, metavar=metavar or None, help=explained(_FIELDS[key]), rich_help_panel=panel)


_GRID, _MASK, _FIND, _OUT, _RUN = "Grid", "Masking", "Detection", "Results", "Running"


def series(
    *,
    scenes: Annotated[list[str], typer.Argument(metavar="SCENES...", help=explained(_FIELDS["input.scenes"]))],
    outdir: Annotated[str, _option("output.outdir", "FOLDER", "-o", _OUT)],
    dates: Annotated[str | None, _option("input.dates", "FIRST/LAST")] = None,
    max_cloud: Annotated[str | None, _option("input.max_cloud", "PERCENT")] = None,
    orbits: Annotated[str | None, _option("input.orbits", "same|any")] = None,
    band_order: Annotated[str | None, _option("input.band_order", "B2,B3,...")] = None,
    scale: Annotated[str | None, _option("input.scale", "DN")] = None,
    offset: Annotated[str | None, _option("input.offset", "DN")] = None,
    trust: Annotated[str | None, _option("input.trust", "metadata|pixels")] = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not verify checksums.", rich_help_panel="Scenes")
    ] = False,
    bands: Annotated[str | None, _option("grid.bands", "B2,B3,...", "-b", _GRID)] = None,
    aoi: Annotated[str | None, _option("grid.aoi", "WKT|FILE", panel=_GRID)] = None,
    resolution: Annotated[str | None, _option("grid.resolution", "METRES", "-r", _GRID)] = None,
    clouds: Annotated[str | None, _option("clouds.mask", "auto|scl|unet|...", panel=_MASK)] = None,
    weights: Annotated[str | None, _option("clouds.weights", "FILE", panel=_MASK)] = None,
    shadows: Annotated[bool, _option("clouds.shadows", panel=_MASK)] = False,
    mask_classes: Annotated[str | None, _option("clouds.classes", "0,1,3,...", panel=_MASK)] = None,
    cloud_dilation: Annotated[str | None, _option("clouds.cloud_dilation_m", "METRES", panel=_MASK)] = None,
    shadow_dilation: Annotated[str | None, _option("clouds.shadow_dilation_m", "METRES", panel=_MASK)] = None,
    method: Annotated[str | None, _option("detect.method", "ensemble|network|statistical", panel=_FIND)] = None,
    network_weights: Annotated[str | None, _option("detect.network_weights", "FILE", panel=_FIND)] = None,
    threshold: Annotated[str | None, _option("detect.threshold", "PROBABILITY", panel=_FIND)] = None,
    confirm: Annotated[str | None, _option("detect.confirm", "K/N", panel=_FIND)] = None,
    min_joint: Annotated[str | None, _option("detect.min_joint", "PERCENT", panel=_FIND)] = None,
    min_area: Annotated[str | None, _option("detect.min_area", "M2", panel=_FIND)] = None,
    regression: Annotated[str | None, _option("normalise.method", "orthogonal|robust|none", panel=_FIND)] = None,
    sample_pixels: Annotated[str | None, _option("normalise.sample_pixels", "N", panel=_FIND)] = None,
    seed: Annotated[str | None, _option("normalise.seed", "N", panel=_FIND)] = None,
    no_animation: Annotated[
        bool, typer.Option("--no-animation", help="Draw no animation.", rich_help_panel=_OUT)
    ] = False,
    force: Annotated[bool, _option("output.force", panel=_OUT)] = False,
    resume: Annotated[bool, Resume] = False,
    memory: Annotated[str | None, _option("run.memory", "2G", panel=_RUN)] = None,
    workers: Annotated[str | None, _option("run.workers", "N", panel=_RUN)] = None,
    scheduler: Annotated[str | None, _option("run.scheduler", "ADDRESS", panel=_RUN)] = None,
    strict: Annotated[bool, _option("run.strict", panel=_RUN)] = False,
    save_config: Annotated[str | None, Save] = None,
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """Where and when something changed along a series: the probability of change between each date and the one before.

    Started again with more dates it goes on where it was, and so does a run that was interrupted.
    """
    from groundshift.pipelines.select import expanded

    given: dict[str, object] = dict(locals())
    given |= {"classes": mask_classes, "mask": clouds, "shadows": shadows or None}
    given |= {"cloud_dilation_m": cloud_dilation, "shadow_dilation_m": shadow_dilation}
    given |= {"verify": False if no_verify else None, "animation": False if no_animation else None}
    values = {key: given[key.partition(".")[2]] for key in FLAGS if key not in ("normalise.method", "input.scenes")}
    job = job_of({**values, "normalise.method": regression, "input.scenes": expanded(scenes)})
    if save_config is not None:
        jobfile.save(job, save_config)
    execute(job, as_json=as_json, quiet=quiet)


def job_of(given: Mapping[str, object]) -> SeriesJob:
    """Make a job of options by dotted name, None: not given; UsageError names the flag that does not fit."""
    return jobfile.make(SeriesJob, given, lambda key: FLAGS.get(key, key), UsageError)


def execute(job: SeriesJob, *, as_json: bool, quiet: bool) -> None:
    """Run a series job and print what came out."""
    from groundshift.pipelines import series as pipeline

    result = pipeline.run(job, progress(quiet))
    print_warnings(result.warnings)
    if as_json:
        print_json(result.summary)
    elif not quiet:
        _print(result.summary)
    summary = result.summary
    lost = [scene["reason"] for scene in summary["skipped"] if scene["lost"]]
    failed = [f"{each['date']}, {each['what']}: {each['reason']}" for each in summary["failed"]]
    if lost:
        raise PartialError(_partial(len(lost), "scene", "could not be read", [*lost, *failed]))
    if failed:
        raise PartialError(_partial(len(failed), "part", "could not be computed", failed))


def _partial(count: int, what: str, happened: str, named: Sequence[str]) -> str:
    more = f"; and {len(named) - _NAMED} more, all in manifest.json" if len(named) > _NAMED else ""
    told = "; ".join(named[:_NAMED])
    return f"{count} {what}{'s' * (count > 1)} {happened}, the rest is done: {told}{more}"


def _print(summary: Mapping[str, Any]) -> None:
    header = ["field of view", "before", "after", "jointly usable %", "changed %"]
    rows = [
        [view["name"], pair["before"], pair["after"], cell(pair["joint_percent"]), cell(pair["changed_percent"])]
        for view in summary["fields"]
        for pair in view["pairs"]
    ]
    print_table(header, rows)
    for view in summary["fields"]:
        for pair in view["pairs"]:
            if pair["reason"]:
                print(f"skipped: {view['name']} {pair['before']} to {pair['after']}: {pair['reason']}")
    for each in summary["failed"]:
        print(f"not computed: {each['field']} {each['date']}, {each['what']}: {each['reason']}")
    for scene in (*summary["skipped"], *summary["dropped"]):
        print(f"not used: {scene['name']}: {scene['reason']}")
    for view in summary["fields"]:
        print(
            f"{view['name']}: {view['alerts']:,} alerts on {cell(view['alerts_ha'])} ha, of which "
            f"{view['alerts_confirmed']:,} on {cell(view['alerts_confirmed_ha'])} ha are confirmed"
        )
    for name, path in summary["outputs"].items():
        print(f"{name}: {path}")
