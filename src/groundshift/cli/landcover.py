"""`groundshift landcover`: train a classifier of land cover, and make maps with it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from groundshift.cli.execute import cell, print_json, print_table, print_warnings
from groundshift.cli.layout import Command, Debug, Group, Json, Quiet, Resume, Save, examples
from groundshift.cli.options import explained
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
_READING = {
    "input.scenes": "--series",
    "input.stack": "--stack",
    "input.dates": "--dates",
    "input.max_cloud": "--max-cloud",
    "input.verify": "--no-verify",
    "grid.aoi": "--aoi",
    "clouds.mask": "--clouds",
    "run.memory": "--memory",
    "run.workers": "--workers",
    "run.scheduler": "--scheduler",
    "run.strict": "--strict",
}
TRAIN_FLAGS = {
    **_READING,
    "grid.bands": "--bands",
    "grid.resolution": "--resolution",
    "grid.projection": "--projection",
    "chain.steps": "--chain",
    "truth.path": "--truth",
    "truth.class_field": "--class-field",
    "samples.erode_px": "--erode",
    "samples.per_class": "--per-class",
    "samples.seed": "--seed",
    "model.kind": "--model",
    "splits.kind": "--splits",
    "splits.folds": "--folds",
    "splits.block_m": "--block",
    "output.out": "--out",
    "output.force": "--force",
}
PREDICT_FLAGS = {
    **_READING,
    "model.path": "MODEL",
    "model.prior": "--prior",
    "model.modules": "--steps",
    "smooth.method": "--smooth",
    "smooth.min_area": "--min-area",
    "output.outdir": "--out",
    "output.format": "--format",
    "output.polygons": "--polygons",
    "output.confidence": "--confidence",
    "output.force": "--force",
}
_FIELDS: dict[str, FieldInfo] = {**jobfile.fields(PredictJob), **jobfile.fields(TrainJob)}
_NAMES = {**PREDICT_FLAGS, **TRAIN_FLAGS}
_READ, _LEARN, _OUT, _RUN = "Images", "Learning", "Results", "Running"


def _option(key: str, metavar: str = "", short: str = "", panel: str = _READ) -> Any:
    flags = [_NAMES[key], *([short] if short else [])]
    return typer.Option(*flags, metavar=metavar or None, help=explained(_FIELDS[key]), rich_help_panel=panel)


_CHAIN = typer.Option(
    "--chain",
    metavar="CHAIN.TOML",
    rich_help_panel=_LEARN,
    help="Named steps from a series to features, and files with steps of your own. "
    "[default: granules of a day merged, NDVI, NDWI and norm, a calendar of 16 days]",
)
_NO_VERIFY = typer.Option("--no-verify", help="Do not verify checksums.", rich_help_panel=_READ)


@app.command(cls=Command, epilog=TRAIN_EXAMPLES, short_help="Train a model.")
def train(
    *,
    truth: Annotated[str, _option("truth.path", "FILE", panel=_LEARN)],
    out: Annotated[str, _option("output.out", "FOLDER", "-o", _OUT)],
    series: Annotated[list[str] | None, _option("input.scenes", "SCENES")] = None,
    stack: Annotated[str | None, _option("input.stack", "FILE")] = None,
    dates: Annotated[str | None, _option("input.dates", "FIRST/LAST")] = None,
    max_cloud: Annotated[str | None, _option("input.max_cloud", "PERCENT")] = None,
    no_verify: Annotated[bool, _NO_VERIFY] = False,
    bands: Annotated[str | None, _option("grid.bands", "B4,B8,...", "-b")] = None,
    aoi: Annotated[str | None, _option("grid.aoi", "WKT|FILE")] = None,
    resolution: Annotated[str | None, _option("grid.resolution", "METRES", "-r")] = None,
    projection: Annotated[str | None, _option("grid.projection", "native|EPSG:N|WKT")] = None,
    clouds: Annotated[str | None, _option("clouds.mask", "auto|scl|unet|...")] = None,
    chain: Annotated[str | None, _CHAIN] = None,
    class_field: Annotated[str | None, _option("truth.class_field", "NAME", panel=_LEARN)] = None,
    erode: Annotated[str | None, _option("samples.erode_px", "PIXELS", panel=_LEARN)] = None,
    per_class: Annotated[str | None, _option("samples.per_class", "N", panel=_LEARN)] = None,
    seed: Annotated[str | None, _option("samples.seed", "N", panel=_LEARN)] = None,
    model: Annotated[str | None, _option("model.kind", "auto|mlp|lightgbm|rf|knn|tempcnn", panel=_LEARN)] = None,
    splits: Annotated[str | None, _option("splits.kind", "auto|polygon|block|knndm|random", panel=_LEARN)] = None,
    folds: Annotated[str | None, _option("splits.folds", "N", panel=_LEARN)] = None,
    block: Annotated[str | None, _option("splits.block_m", "METRES", panel=_LEARN)] = None,
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
    """Train a land-cover model on samples of a reference, and say how well it does where it has not been.

    The model is a folder: LightGBM's text or ONNX, and model.json that describes it.
    """
    given = _given(locals(), TRAIN_FLAGS)
    given |= {"truth.path": truth, "samples.erode_px": erode, "model.kind": model, "splits.kind": splits}
    given |= {"splits.block_m": block, "chain.steps": None, **_chain(chain)}
    job = jobfile.make(TrainJob, given, lambda key: TRAIN_FLAGS.get(key, key), UsageError)
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
def predict(
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", help=explained(_FIELDS["model.path"]))],
    out: Annotated[str, _option("output.outdir", "FOLDER", "-o", _OUT)],
    series: Annotated[list[str] | None, _option("input.scenes", "SCENES")] = None,
    stack: Annotated[str | None, _option("input.stack", "FILE")] = None,
    dates: Annotated[str | None, _option("input.dates", "FIRST/LAST")] = None,
    max_cloud: Annotated[str | None, _option("input.max_cloud", "PERCENT")] = None,
    no_verify: Annotated[bool, _NO_VERIFY] = False,
    aoi: Annotated[str | None, _option("grid.aoi", "WKT|FILE")] = None,
    clouds: Annotated[str | None, _option("clouds.mask", "auto|scl|unet|...")] = None,
    steps: Annotated[list[str] | None, _option("model.modules", "FILE.PY")] = None,
    prior: Annotated[str | None, _option("model.prior", "NAME=SHARE,...", panel=_OUT)] = None,
    smooth: Annotated[str | None, _option("smooth.method", "bilateral|bayes|majority|none", panel=_OUT)] = None,
    min_area: Annotated[str | None, _option("smooth.min_area", "M2", panel=_OUT)] = None,
    polygons: Annotated[str | None, _option("output.polygons", "FILE", panel=_OUT)] = None,
    confidence: Annotated[str | None, _option("output.confidence", "PERCENT", panel=_OUT)] = None,
    format: Annotated[str | None, _option("output.format", "COG|GTiff|...", panel=_OUT)] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the results of another run.", rich_help_panel=_OUT)
    ] = False,
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
    """A land-cover map: classes, the probability of each, and how sure every pixel is.

    Features are made as the model's were; a model that is given other features says which.
    """
    given = _given(locals(), PREDICT_FLAGS)
    given |= {"model.path": model, "model.modules": steps, "smooth.method": smooth, "output.outdir": out}
    job = jobfile.make(PredictJob, given, lambda key: PREDICT_FLAGS.get(key, key), UsageError)
    if save_config is not None:
        jobfile.save(job, save_config)
    execute_predict(job, as_json=as_json, quiet=quiet)


def execute_predict(job: PredictJob, *, as_json: bool, quiet: bool) -> None:
    """Run a prediction job and print what came out."""
    from groundshift.pipelines import landcover_predict

    result = landcover_predict.predict(job, progress(quiet))
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


def _given(local: Mapping[str, Any], flags: Mapping[str, str]) -> dict[str, object]:
    """Options by dotted name, of the arguments of a command."""
    from groundshift.pipelines.select import expanded

    given: dict[str, object] = {key: local.get(key.partition(".")[2]) for key in flags}
    given["input.scenes"] = expanded(local["series"]) if local["series"] else None
    given["input.verify"] = False if local["no_verify"] else None
    given["clouds.mask"] = local["clouds"]
    return given


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
