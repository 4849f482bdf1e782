"""``groundshift design``: how many reference points, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from groundshift.cli.execute import cell, print_json, print_table
from groundshift.cli.layout import Debug, Json, Quiet, examples
from groundshift.errors import UsageError

EXAMPLES = examples(
    "groundshift design demo/result/S2-CD.tif --expected-ua 0.85 --standard-error 0.02 --out points.gpkg",
    "groundshift design demo/result/S2-CD.tif --expected-ua 0=0.98,other=0.7 --points 400 --out few.gpkg --seed 7",
)


def design(
    *,
    location: Annotated[str, typer.Argument(metavar="MAP", help="A raster of classes.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="The points, a GeoPackage.")],
    expected_ua: Annotated[
        str,
        typer.Option(
            "--expected-ua",
            metavar="SHARE|CLASS=SHARE,...",
            help="User's accuracy that you expect, of all or by class.",
        ),
    ] = "0.8",
    standard_error: Annotated[
        float, typer.Option("--standard-error", metavar="SHARE", help="Of overall accuracy, to be reached.")
    ] = 0.01,
    points: Annotated[
        int | None,
        typer.Option("--points", metavar="N", help="This many points [default: as the standard error needs]"),
    ] = None,
    allocation: Annotated[
        str,
        typer.Option(
            "--allocation",
            metavar="rare|proportional|equal|optimal",
            help="rare: by area, but a minimum in every class.",
        ),
    ] = "rare",
    minimum: Annotated[int, typer.Option("--minimum", metavar="N", help="Points of a rare class, at least.")] = 50,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another seed draws other points.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace points, sheet and design.")] = False,
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """Draw reference points for a map: a stratified random sample, with a sheet to fill in.

    `groundshift assess` reads the sheet and the design back.
    """
    from groundshift.pipelines.design import DesignJob, run

    job = DesignJob(
        map=location,
        out=out,
        expected_ua=_expected(expected_ua),
        standard_error=standard_error,
        points=points,
        allocation=allocation,  # type: ignore[arg-type]
        minimum=minimum,
        seed=seed,
        force=force,
    )
    result = run(job)
    if as_json:
        print_json(result)
    elif not quiet:
        _print(result)


def _expected(text: str) -> float | dict[str, float]:
    try:
        if "=" not in text:
            return float(text)
        pairs = [part.rpartition("=") for part in text.split(",")]
        return {key.strip(): float(value) for key, _, value in pairs}
    except ValueError:
        raise UsageError(f"--expected-ua is {text!r}: expected 0.85, or 1=0.9,water=0.95,other=0.8.") from None


def _print(result: Mapping[str, Any]) -> None:
    scale, unit = (1e-4, "ha") if result["unit"] == "m2" else (1, "px")
    rows = [
        [str(each["code"]), each["name"] or "-", cell(scale * each["area"]), cell(each["points"])]
        for each in result["strata"]
    ]
    print_table(["class", "name", unit, "points"], rows)
    needed = f"a standard error of {result['standard_error']:g} needs {cell(result['needed'])}"
    print(f"points: {cell(result['points'])}; {needed}")
    for name, path in result["outputs"].items():
        print(f"{name}: {path}")
