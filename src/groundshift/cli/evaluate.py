"""``groundshift evaluate``: a map against the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from groundshift.cli.execute import cell, print_json, print_table
from groundshift.cli.layout import Debug, Json, examples
from groundshift.errors import UsageError

EXAMPLES = examples(
    "groundshift evaluate demo/result --truth demo/truth.tif",
    "groundshift evaluate demo/result/S2-CD.tif --truth demo/truth.tif --changed 1,2 --json",
)
_NAMES = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "iou": "IoU",
    "overall_accuracy": "overall accuracy",
    "kappa": "kappa",
    "auc": "AUC of the amplitude",
}


def evaluate(
    location: Annotated[str, typer.Argument(metavar="MAP", help="S2-CD.tif, or a folder of results.")],
    truth: Annotated[str, typer.Option("--truth", metavar="FILE", help="Raster of codes, or polygons of change.")],
    changed: Annotated[
        str | None,
        typer.Option("--changed", metavar="CODE,...", help="Codes of the raster that mean change; else all but 0."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the bootstrap.")] = 0,
    as_json: Annotated[bool, Json] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """Compare a map of change with the truth: precision, recall, F1, IoU, kappa, AUC, with 95 % intervals."""
    codes = None if changed is None else _codes(changed)
    from groundshift.pipelines.evaluate import evaluate as compare

    result = compare(location, truth, changed=codes, seed=seed)
    if as_json:
        print_json(result)
    else:
        _print(result)


def _codes(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"--changed is {text!r}: expected codes such as 2 or 1,2.") from None


def _print(result: Mapping[str, Any]) -> None:
    rows = []
    for name, score in result["scores"].items():
        ends = "-" if score["low"] is None else f"{score['low']:.4f} to {score['high']:.4f}"
        rows.append([_NAMES[name], "-" if score["value"] is None else f"{score['value']:.4f}", ends])
    print_table(["score", "value", "95 % interval"], rows)
    for name, reason in result["undefined"].items():
        print(f"{_NAMES[name]} is not defined: {reason}.")
    table = result["confusion"]
    print(f"found {cell(table['tp'])}, missed {cell(table['fn'])}, false alarms {cell(table['fp'])}", end=" ")
    print(f"of {cell(result['pixels'])} pixels compared")
    for key, label in (
        ("map_nodata_percent", "left out, no data in the map"),
        ("truth_unknown_percent", "left out, truth not known"),
    ):
        print(f"{label}: {cell(result[key])} %")
