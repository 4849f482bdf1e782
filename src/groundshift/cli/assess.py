"""``groundshift assess``: a map of classes against reference points or a reference map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from groundshift.cli.execute import cell, print_json, print_table, print_warnings
from groundshift.cli.layout import Debug, Json, Quiet, examples

EXAMPLES = examples(
    "groundshift assess demo/result/S2-CD.tif --reference demo/truth.tif --out accuracy.html",
    "groundshift assess demo/result/S2-CD.tif --reference demo/truth.tif --json",
)
_NAMES = {"users_accuracy": "user's", "producers_accuracy": "producer's", "f1": "F1"}


def assess(
    *,
    location: Annotated[str, typer.Argument(metavar="MAP", help="A raster of classes.")],
    reference: Annotated[
        str, typer.Option("--reference", metavar="FILE", help="Points (vector file, CSV), or a raster of classes.")
    ],
    design: Annotated[
        str | None,
        typer.Option(
            "--design",
            metavar="FILE|random",
            help="How the points were drawn: the file of groundshift design; random: over the map, or in each class.",
        ),
    ] = None,
    class_field: Annotated[
        str | None,
        typer.Option("--class-field", metavar="NAME", help="Column with codes or names [default: reference]"),
    ] = None,
    alternate_field: Annotated[
        str | None,
        typer.Option("--alternate-field", metavar="NAME", help="Column with a second label that is right too."),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="A page (.html, a .json beside it), or a .json.")
    ] = None,
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """Assess a map of classes: confusion matrix, accuracies, F1, kappa and areas, each with a 95 % interval."""
    from groundshift.pipelines.assess import AssessJob, run

    job = AssessJob(
        map=location,
        reference=reference,
        design=design,
        class_field=class_field,
        alternate_field=alternate_field,
        out=out,
    )
    result = run(job)
    print_warnings(result.warnings)
    if as_json:
        print_json(result.summary)
    elif not quiet:
        _print(result.summary)


def _print(summary: Mapping[str, Any]) -> None:
    print(summary["design"]["sentence"])
    rows = []
    for each in summary["classes"]:
        name = " ".join(str(part) for part in (each["code"], each["name"]) if part is not None)
        rows.append([name, *(_figure(each[key]) for key in _NAMES), _area(each["area"])])
    print_table(["class", *_NAMES.values(), f"area, {summary['unit']}"], rows)
    print(f"overall accuracy: {_figure(summary['overall_accuracy'])}")
    print(f"kappa: {_figure(summary['kappa'])}")
    if "either_label" in summary:
        print(f"overall accuracy, either label: {_figure(summary['either_label']['overall_accuracy'])}")
    if "points" in summary:
        print(f"points: {cell(summary['points']['used'])} of {cell(summary['points']['given'])}")
    for name, path in summary.get("outputs", {}).items():
        print(f"{name}: {path}")


def _figure(entry: Mapping[str, float | None]) -> str:
    if entry["estimate"] is None:
        return "-"
    if entry["low"] is None or entry["low"] == entry["high"]:
        return f"{entry['estimate']:.3f}"
    return f"{entry['estimate']:.3f} ({entry['low']:.3f} to {entry['high']:.3f})"


def _area(entry: Mapping[str, float | None] | None) -> str:
    if entry is None or entry["estimate"] is None:
        return "-"
    if entry["low"] == entry["high"]:
        return cell(entry["estimate"])
    return f"{cell(entry['estimate'])} ({cell(entry['low'])} to {cell(entry['high'])})"
