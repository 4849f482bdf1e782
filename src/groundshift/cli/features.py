"""``groundshift features``: bands, indices, textures, terrain: one named stack of many bands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from groundshift.cli.execute import cell, print_json, print_table, print_warnings
from groundshift.cli.layout import examples
from groundshift.cli.options import (
    AOI,
    CLOUD_WEIGHTS,
    CLOUDS,
    MASK_CLASSES,
    NO_SHADOWS,
    NO_VERIFY,
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
from groundshift.pipelines.features_job import FeaturesJob

EXAMPLES = examples(
    "groundshift features demo/products/*20210325*.zip --out stack.tif --features B2,B3,B4,B8,B11,B12,NDVI,MNDWI "
    "--plot bands.png",
    "groundshift features demo/products/*20210325*.zip --out few.tif --features B4,NDVI,glcm:B8:entropy",
)
_OPTIONS = Options(
    FeaturesJob,
    {
        "Results": (
            JobOption(("--out", "-o"), "output.out", "FILE"),
            JobOption(("--plot",), "output.plot", "FILE"),
        ),
        "Stack": (
            JobOption(("--features", "-f"), "stack.features", "default|B2,NDVI,..."),
            JobOption(("--index",), "stack.indices", "NAME=FORMULA", several=True),
            JobOption(("--dem",), "stack.dem", "FILE"),
            JobOption(("--roads",), "stack.roads", "FILE"),
            JobOption(("--sharpen",), "stack.sharpen", "guided|none"),
            replace(AOI, key="stack.aoi"),
            replace(RESOLUTION, key="stack.resolution"),
            replace(PROJECTION, key="stack.projection"),
        ),
        "Textures and components": (
            JobOption(("--window",), "texture.window", "PIXELS"),
            JobOption(("--levels",), "texture.levels", "N"),
            JobOption(("--distance",), "texture.distance", "PIXELS"),
            JobOption(("--directions",), "texture.directions", "1|2|4"),
            JobOption(("--fitted",), "texture.fitted", "MANIFEST"),
        ),
        "Scenes": (*WHICH_SCENES, *PLAIN_RASTERS, TRUST, NO_VERIFY),
        "Clouds": (CLOUDS, CLOUD_WEIGHTS, NO_SHADOWS, *MASK_CLASSES),
        "Running": (RESUME, *RUNNING),
    },
    {"input.scenes": "SCENES..."},
)


@reads(_OPTIONS)
def features(*, as_json: bool, quiet: bool, save_config: str | None, debug: bool, **given: Any) -> None:
    """A stack of named features at 10 m: bands, indices, textures, components, terrain, roads.

    Bands of 20 and 60 m are sharpened; what is not clear is no data. Several tiles of one day become one.
    """
    job = _OPTIONS.job(_OPTIONS.values(given))
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
