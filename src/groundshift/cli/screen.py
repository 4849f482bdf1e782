"""``groundshift screen``: how much of an area each scene shows clear, from previews."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundshift.cli.execute import cell, print_json, print_table, print_warnings
from groundshift.cli.layout import Debug, Json, Quiet, examples
from groundshift.errors import UsageError
from groundshift.execution.progress import progress

EXAMPLES = examples(
    "groundshift screen demo/products/*.zip",
    "groundshift screen demo/products/*.zip --out-dir look --json",
)


def screen(
    *,
    scenes: Annotated[
        list[str], typer.Argument(metavar="SCENES...", help="Scenes, as for mosaic, or STAC items with a thumbnail.")
    ],
    aoi: Annotated[str | None, typer.Option("--aoi", metavar="WKT|FILE", help="Area of interest.")] = None,
    dates: Annotated[str | None, typer.Option("--dates", metavar="FIRST/LAST", help="Days, both included.")] = None,
    out_dir: Annotated[
        str | None,
        typer.Option("--out-dir", metavar="FOLDER", help="Write a contact sheet and tables (CSV, JSON) there."),
    ] = None,
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """How much of an area each scene shows clear, newest first, from previews and scene classifications.

    Percentages are of the area of interest, not of the tile; no band is read at full size where a smaller copy exists.
    """
    from groundshift.pipelines import screen as pipeline
    from groundshift.pipelines.mosaic_job import interval

    try:
        days = None if dates is None else interval(dates)
    except ValueError as error:
        raise UsageError(f"--dates: {error}") from None
    folder = None if out_dir is None else Path(out_dir)
    found = pipeline.run(scenes, aoi=aoi, dates=days, folder=folder, progress=progress(quiet))
    print_warnings(found.warnings)
    if as_json:
        dropped = [{"name": name, "reason": reason} for name, reason in found.dropped]
        print_json({"scenes": [vars(each) for each in found.scenes], "dropped": dropped, "outputs": found.outputs})
        return
    if quiet:
        return
    header = ["date", "cloud %", "shadow %", "haze %", "data %", "declared %", "scene"]
    rows = [
        [
            each.date or "-",
            *(
                _cell(value)
                for value in (each.cloud_percent, each.shadow_percent, each.haze_percent, each.data_percent)
            ),
            cell(each.declared_percent),
            each.name,
        ]
        for each in found.scenes
    ]
    print_table(header, rows)
    for name, reason in found.dropped:
        print(f"not used: {name}: {reason}")
    for name, path in found.outputs.items():
        print(f"{name}: {path}")


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
