"""``groundshift features``: bands, indices, textures, terrain: one named stack of many bands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from groundshift.cli.execute import cell, print_json, print_table, print_warnings
from groundshift.cli.layout import Debug, Json, Quiet, Resume, Save, examples
from groundshift.cli.options import explained
from groundshift.errors import UsageError
from groundshift.execution.progress import progress
from groundshift.pipelines import jobfile
from groundshift.pipelines.features_job import FeaturesJob

EXAMPLES = examples(
    "groundshift features demo/products/*20210325*.zip --out stack.tif --features B2,B3,B4,B8,B11,B12,NDVI,MNDWI "
    "--plot bands.png",
    "groundshift features demo/products/*20210325*.zip --out few.tif --features B4,NDVI,glcm:B8:entropy",
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
    "stack.features": "--features",
    "stack.indices": "--index",
    "stack.dem": "--dem",
    "stack.roads": "--roads",
    "stack.sharpen": "--sharpen",
    "stack.aoi": "--aoi",
    "stack.resolution": "--resolution",
    "stack.projection": "--projection",
    "texture.window": "--window",
    "texture.levels": "--levels",
    "texture.distance": "--distance",
    "texture.directions": "--directions",
    "texture.fitted": "--fitted",
    "clouds.mask": "--clouds",
    "clouds.weights": "--weights",
    "clouds.shadows": "--no-shadows",
    "clouds.classes": "--mask-classes",
    "clouds.cloud_dilation_m": "--cloud-dilation",
    "clouds.shadow_dilation_m": "--shadow-dilation",
    "output.out": "--out",
    "output.plot": "--plot",
    "run.memory": "--memory",
    "run.workers": "--workers",
    "run.scheduler": "--scheduler",
    "run.strict": "--strict",
}
"""Fields of a features job, and what the command line calls them."""
_FIELDS = jobfile.fields(FeaturesJob)
_READ, _TEXTURE, _CLOUDS, _OUT, _RUN = "Scenes", "Textures and components", "Clouds", "Results", "Running"


def _option(key: str, metavar: str = "", short: str = "", panel: str = "Stack") -> Any:
    flags = [FLAGS[key], *([short] if short else [])]
    return typer.Option(*flags, metavar=metavar or None, help=explained(_FIELDS[key]), rich_help_panel=panel)


def features(
    *,
    scenes: Annotated[list[str], typer.Argument(metavar="SCENES...", help=explained(_FIELDS["input.scenes"]))],
    out: Annotated[str, _option("output.out", "FILE", "-o", _OUT)],
    plot: Annotated[str | None, _option("output.plot", "FILE", panel=_OUT)] = None,
    features: Annotated[str | None, _option("stack.features", "default|B2,NDVI,...", "-f")] = None,
    index: Annotated[list[str] | None, _option("stack.indices", "NAME=FORMULA")] = None,
    dem: Annotated[str | None, _option("stack.dem", "FILE")] = None,
    roads: Annotated[str | None, _option("stack.roads", "FILE")] = None,
    sharpen: Annotated[str | None, _option("stack.sharpen", "guided|none")] = None,
    aoi: Annotated[str | None, _option("stack.aoi", "WKT|FILE")] = None,
    resolution: Annotated[str | None, _option("stack.resolution", "METRES", "-r")] = None,
    projection: Annotated[str | None, _option("stack.projection", "native|EPSG:N|WKT")] = None,
    window: Annotated[str | None, _option("texture.window", "PIXELS", panel=_TEXTURE)] = None,
    levels: Annotated[str | None, _option("texture.levels", "N", panel=_TEXTURE)] = None,
    distance: Annotated[str | None, _option("texture.distance", "PIXELS", panel=_TEXTURE)] = None,
    directions: Annotated[str | None, _option("texture.directions", "1|2|4", panel=_TEXTURE)] = None,
    fitted: Annotated[str | None, _option("texture.fitted", "MANIFEST", panel=_TEXTURE)] = None,
    dates: Annotated[str | None, _option("input.dates", "FIRST/LAST", panel=_READ)] = None,
    max_cloud: Annotated[str | None, _option("input.max_cloud", "PERCENT", panel=_READ)] = None,
    band_order: Annotated[str | None, _option("input.band_order", "B2,B3,...", panel=_READ)] = None,
    scale: Annotated[str | None, _option("input.scale", "DN", panel=_READ)] = None,
    offset: Annotated[str | None, _option("input.offset", "DN", panel=_READ)] = None,
    trust: Annotated[str | None, _option("input.trust", "metadata|pixels", panel=_READ)] = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not verify checksums.", rich_help_panel=_READ)
    ] = False,
    clouds: Annotated[str | None, _option("clouds.mask", "auto|scl|unet|none|...", panel=_CLOUDS)] = None,
    weights: Annotated[str | None, _option("clouds.weights", "FILE", panel=_CLOUDS)] = None,
    no_shadows: Annotated[
        bool, typer.Option("--no-shadows", help="Believe the masks on shadows.", rich_help_panel=_CLOUDS)
    ] = False,
    mask_classes: Annotated[str | None, _option("clouds.classes", "0,1,3,...", panel=_CLOUDS)] = None,
    cloud_dilation: Annotated[str | None, _option("clouds.cloud_dilation_m", "METRES", panel=_CLOUDS)] = None,
    shadow_dilation: Annotated[str | None, _option("clouds.shadow_dilation_m", "METRES", panel=_CLOUDS)] = None,
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
    """A stack of named features at 10 m: bands, indices, textures, components, terrain, roads.

    Bands of 20 and 60 m are sharpened; what is not clear is no data. Several tiles of one day become one.
    """
    from groundshift.pipelines.scene_names import expanded

    given: dict[str, object] = dict(locals())
    given |= {"scenes": expanded(scenes), "indices": index or None, "classes": mask_classes, "mask": clouds}
    given |= {"cloud_dilation_m": cloud_dilation, "shadow_dilation_m": shadow_dilation}
    given |= {"verify": False if no_verify else None, "shadows": False if no_shadows else None}
    job = jobfile.make(
        FeaturesJob, {key: given[key.partition(".")[2]] for key in FLAGS}, lambda key: FLAGS.get(key, key), UsageError
    )
    if save_config is not None:
        jobfile.save(job, save_config)
    execute(job, as_json=as_json, quiet=quiet)


def execute(job: FeaturesJob, *, as_json: bool, quiet: bool) -> None:
    """Run a features job and print what came out."""
    from groundshift.pipelines import features as pipeline

    result = pipeline.run(job, progress(quiet))
    print_warnings(result.warnings)
    summary = result.summary
    if as_json:
        print_json(summary)
    elif not quiet:
        header = ["band", "feature", "unit", "data %"]
        rows = [
            [str(i), str(each["name"]), str(each["unit"]), cell(each["data_percent"])]
            for i, each in enumerate(summary["features"], 1)
        ]
        print_table(header, rows)
        for scene in summary["dropped"]:
            print(f"not used: {scene['name']}: {scene['reason']}")
        for name, path in summary["outputs"].items():
            print(f"{name}: {path}")
