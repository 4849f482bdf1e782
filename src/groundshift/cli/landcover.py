"""`groundshift landcover`: train a classifier of land cover, and make maps with it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer

from groundshift.cli.execute import cell, print_json, print_table, print_warnings
from groundshift.cli.layout import Command, Debug, Group, Json, Quiet, examples
from groundshift.cli.options import (
    AOI,
    BANDS,
    CLOUDS,
    FORCE,
    FORMAT,
    NO_VERIFY,
    OUTDIR,
    PROJECTION,
    RESOLUTION,
    RESUME,
    RUNNING,
    WHICH_SCENES,
    JobOption,
)
from groundshift.cli.signature import Options, reads
from groundshift.errors import ConfigError, UsageError
from groundshift.execution.progress import progress
from groundshift.pipelines import jobfile
from groundshift.pipelines.landcover_job import PredictJob, TrainJob

TRAIN_EXAMPLES = examples(
    "groundshift landcover train --series demo/products --truth demo/landcover.tif --out model "
    "--save-config model.toml",
    "groundshift landcover train --stack stack.tif --truth demo/landcover.tif --model rf --out forest "
    "--save-config forest.toml",
)
PREDICT_EXAMPLES = examples(
    "groundshift landcover predict model --series demo/products --out map",
    "groundshift landcover predict forest --stack stack.tif --out forest-map --min-area 2500 --polygons classes.gpkg",
)
COMPARE_EXAMPLES = examples(
    "groundshift landcover compare model.toml forest.toml",
    "groundshift landcover compare forest.toml model.toml --json",
)
app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Train a classifier of land cover, make maps with it, compare variants of a chain.",
    epilog=examples(TRAIN_EXAMPLES.splitlines()[0], PREDICT_EXAMPLES.splitlines()[0]),
)
_SERIES = JobOption(("--series",), "input.scenes", "SCENES", several=True)
_STACK = JobOption(("--stack",), "input.stack", "FILE")
_TRAIN = Options(
    TrainJob,
    {
        "Learning": (
            JobOption(("--truth",), "truth.path", "FILE"),
            JobOption(
                ("--chain",),
                "chain.steps",
                "CHAIN.TOML",
                told="Named steps from a series to features, and files with steps of your own. "
                "[default: granules of a day merged, NDVI, NDWI and norm, a calendar of 16 days]",
            ),
            JobOption(("--class-field",), "truth.class_field", "NAME"),
            JobOption(("--erode",), "samples.erode_px", "PIXELS"),
            JobOption(("--per-class",), "samples.per_class", "N"),
            JobOption(("--seed",), "samples.seed", "N"),
            JobOption(("--model",), "model.kind", "auto|mlp|lightgbm|rf|knn|tempcnn"),
            JobOption(("--splits",), "splits.kind", "auto|polygon|block|knndm|random"),
            JobOption(("--folds",), "splits.folds", "N"),
            JobOption(("--block",), "splits.block_m", "METRES"),
        ),
        "Results": (JobOption(("--out", "-o"), "output.out", "FOLDER"), FORCE),
        "Images": (
            _SERIES,
            _STACK,
            *WHICH_SCENES,
            NO_VERIFY,
            replace(BANDS, metavar="B4,B8,..."),
            AOI,
            RESOLUTION,
            PROJECTION,
            CLOUDS,
        ),
        "Running": (RESUME, *RUNNING),
    },
    {},
)
_PREDICT = Options(
    PredictJob,
    {
        "Results": (
            replace(OUTDIR, flags=("--out", "-o")),
            JobOption(("--prior",), "model.prior", "NAME=SHARE,..."),
            JobOption(("--smooth",), "smooth.method", "bilateral|bayes|majority|none"),
            JobOption(("--min-area",), "smooth.min_area", "M2"),
            JobOption(("--polygons",), "output.polygons", "FILE"),
            JobOption(("--confidence",), "output.confidence", "PERCENT"),
            FORMAT,
            FORCE,
        ),
        "Images": (
            _SERIES,
            _STACK,
            *WHICH_SCENES,
            NO_VERIFY,
            AOI,
            CLOUDS,
            JobOption(("--steps",), "model.modules", "FILE.PY", several=True),
        ),
        "Running": (RESUME, *RUNNING),
    },
    {"model.path": "MODEL"},
)


@app.command(cls=Command, epilog=TRAIN_EXAMPLES, short_help="Train a model.")
@reads(_TRAIN)
def train(*, as_json: bool, quiet: bool, save_config: str | None, debug: bool, **given: Any) -> None:
    """Train a land-cover model on samples of a reference, and say how well it does where it has not been.

    The model is a folder: LightGBM's text or ONNX, and model.json that describes it.
    """
    values = _TRAIN.values(given)
    job = _TRAIN.job({**values, "chain.steps": None, **_chain(given["chain"])})
    if save_config is not None:
        jobfile.save(job, save_config)
    execute_train(job, as_json=as_json, quiet=quiet)


def execute_train(job: TrainJob, *, as_json: bool, quiet: bool) -> None:
    """Run a training job and print what came out."""
    from groundshift.pipelines import landcover_train

    result = landcover_train.train(job, progress(quiet))
    print_warnings(result.warnings)
    summary = result.summary
    if as_json:
        print_json(summary)
    elif not quiet:
        found = summary["transfer"]
        header = ["code", "class", "samples", "user's %", "producer's %", "F1 %"]
        scores = ("users_accuracy", "producers_accuracy", "f1")
        rows = [
            [str(each["code"]), each["name"], str(each["samples"]), *(_hundredths(each[key]) for key in scores)]
            for each in found["classes"]
        ]
        print_table(header, rows)
        parts = f"{summary['splits']['folds']} parts by {summary['splits']['kind']}"
        if len(summary["candidates"]) > 1:
            parts += ", each by the classifier that is best on the others"
        print(f"where it has not been ({parts}): {_percent(found, 'overall_accuracy')} of the pixels right,")
        print(f"macro F1 {_percent(found, 'macro_f1')}, calibration error {found['calibration_error']:.3f}")
        tried = ", ".join(f"{each['kind']} {100 * each['macro_f1']:.1f} %" for each in summary["candidates"])
        told = f"; macro F1 of those tried: {tried}" if len(summary["candidates"]) > 1 else ""
        print(f"model: {summary['model']} ({summary['kind']}, {summary['features']} features{told})")


@app.command(cls=Command, epilog=PREDICT_EXAMPLES, short_help="Make a map.")
@reads(_PREDICT)
def predict(*, as_json: bool, quiet: bool, save_config: str | None, debug: bool, **given: Any) -> None:
    """A land-cover map: classes, the probability of each, and how sure every pixel is.

    Features are made as the model's were; a model that is given other features says which.
    """
    job = _PREDICT.job(_PREDICT.values(given))
    if save_config is not None:
        jobfile.save(job, save_config)
    execute_predict(job, as_json=as_json, quiet=quiet)


def execute_predict(job: PredictJob, *, as_json: bool, quiet: bool) -> None:
    """Run a prediction job and print what came out."""
    from groundshift.pipelines import landcover_start

    result = landcover_start.predict(job, progress(quiet))
    print_warnings(result.warnings)
    summary = result.summary
    if as_json:
        print_json(summary)
    elif not quiet:
        header = ["code", "class", "hectares", "of the map %"]
        rows = [
            [str(each["code"]), each["name"], *map(cell, (each["area_ha"], each["percent"]))]
            for each in summary["classes"]
        ]
        print_table(header, rows)
        for name, path in summary["outputs"].items():
            print(f"{name}: {path}")


@app.command(cls=Command, epilog=COMPARE_EXAMPLES, short_help="Which link of a chain moves the figures.")
def compare(
    *,
    jobs: Annotated[list[str], typer.Argument(metavar="A.TOML B.TOML...", help="Job files of landcover train.")],
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """Judge variants of a training job on the same samples and parts, and say which of them differ beyond chance.

    The first is what the others are compared with. No model is written.
    """
    from groundshift.pipelines import landcover_compare

    loaded = [(path, _train_job(path)) for path in jobs]
    result = landcover_compare.compare(loaded, progress(quiet))
    print_warnings(result.warnings)
    if as_json:
        print_json(result.summary)
    elif not quiet:
        header = ["variant", "differs in", "right %", "against the first", "macro F1 %", "against the first"]
        rows = []
        for each in result.summary["variants"]:
            row = [each["name"], ", ".join(each["differs_in"]) or "-"]
            for key in landcover_compare.SCORES:
                row += [
                    cell(100 * each[key]),
                    "-" if each is result.summary["variants"][0] else _moved(each["against_first"][key]),
                ]
            rows.append(row)
        print_table(header, rows)


def _train_job(path: str) -> TrainJob:
    job = jobfile.load(path, {"output.out": "none"})
    if not isinstance(job, TrainJob):
        raise ConfigError(f"{path}: is no job of landcover train, such as its --save-config writes.")
    return job


def _moved(found: Mapping[str, Any]) -> str:
    """``+2.1 (+0.8 to +3.4)``, and whether chance explains it."""
    ends = found["interval"]
    text = f"{100 * found['difference']:+.1f}"
    if ends is None:
        return text
    told = "" if found["beyond_chance"] else ", may be chance"
    return f"{text} ({100 * ends[0]:+.1f} to {100 * ends[1]:+.1f}{told})"


def _chain(path: str | None) -> dict[str, object]:
    """Steps and modules of a chain file."""
    if path is None:
        return {}
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"--chain {path}: cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--chain {path}: is no TOML: {error}.") from error
    table = content.get("chain", content)
    unknown = set(table) - {"steps", "modules"}
    if unknown or "steps" not in table:
        raise UsageError(
            f"--chain {path}: expected steps (and modules) under [chain], found {', '.join(table) or 'nothing'}."
        )
    return {"chain.steps": table["steps"], "chain.modules": table.get("modules")}


def _hundredths(share: float | None) -> str:
    return cell(None if share is None else 100 * share)


def _percent(found: Mapping[str, Any], key: str) -> str:
    ends = found[f"{key}_interval"]
    told = "" if ends is None else f" (95 %: {100 * ends[0]:.1f} to {100 * ends[1]:.1f})"
    return f"{100 * found[key]:.1f} %{told}"
