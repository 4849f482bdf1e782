"""``groundshift select``: the fewest, newest scenes that show an area clear."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundshift.cli.execute import cell, print_json, print_table, print_warnings
from groundshift.cli.layout import Debug, Json, Quiet, examples
from groundshift.cli.mosaic import job_of
from groundshift.errors import UsageError
from groundshift.execution.progress import progress

EXAMPLES = examples(
    "groundshift select demo/products/*.zip --out scenes.json",
    "groundshift select demo/products/*.zip --out twice.json --cover 2",
)


_FULL = typer.Option(
    "--full-resolution", help="Read the real masks of the scenes of the list, and choose again after each of them."
)


def select(
    *,
    scenes: Annotated[list[str], typer.Argument(metavar="SCENES...", help="Scenes to choose from, as for mosaic.")],
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="The list, as JSON.")] = "scenes.json",
    aoi: Annotated[str | None, typer.Option("--aoi", metavar="WKT|FILE", help="Area of interest.")] = None,
    dates: Annotated[str | None, typer.Option("--dates", metavar="FIRST/LAST", help="Days, both included.")] = None,
    max_cloud: Annotated[
        str | None, typer.Option("--max-cloud", metavar="PERCENT", help="Of cloud by the metadata, at most.")
    ] = None,
    cover: Annotated[int, typer.Option("--cover", metavar="M", help="Times that each place is to be seen clear.")] = 1,
    full_resolution: Annotated[bool, _FULL] = False,
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """The fewest, newest scenes that show all of an area clear which can be had clear at all.

    Clear is what the scene classification says, looked at from afar (cells of 160 m), with clouds and shadows grown;
    of a scene without one, what its colours say. With --full-resolution a cell of a scene of the list is clear where
    all its pixels are.
    """
    if cover < 1:
        raise UsageError(f"--cover is {cover}: it should be 1 or more.")
    asked = {"input.scenes": scenes, "input.dates": dates, "input.max_cloud": max_cloud, "grid.aoi": aoi}
    job = job_of({**asked, "output.outdir": "."})
    from groundshift.composite.select import SelectOptions
    from groundshift.pipelines import select as pipeline

    found = pipeline.run(
        scenes, job, SelectOptions(cover=cover), progress(quiet), Path(out), full_resolution=full_resolution
    )
    print_warnings(found.warnings)
    listed = found.listed
    never = 100 * listed.never / listed.cells
    gap = (listed.cost - listed.bound) / listed.bound if listed.bound else 0.0
    if as_json:
        print_json(
            {
                "scenes": [{"id": each.id, "href": each.href, "date": each.date} for each in listed.scenes],
                "never_clear_percent": never,
                "gap_percent": 100 * gap,
                "exact": listed.exact,
                "curve": list(listed.curve),
                "looked": list(found.looked),
                "covered_percent": found.covered_percent,
                "out": out,
            }
        )
        return
    if quiet:
        return
    rows = [
        [str(i), each.id, each.date or "-", cell(clear), f"{100 * share:.2f}", "optional" if each.optional else "yes"]
        for i, (each, clear, share) in enumerate(zip(listed.scenes, found.clear_percent, listed.curve, strict=False), 1)
    ]
    print_table(["no.", "scene", "date", "clear %", "together %", "needed"], rows)
    for name, reason in found.dropped:
        print(f"not used: {name}: {reason}")
    kind = "the optimum" if listed.exact else f"at most {100 * gap:.1f} % above the optimum"
    needed = sum(not each.optional for each in listed.scenes)
    print(f"{len(listed.scenes)} of {listed.candidates} scenes, {kind}, of them {needed} that add more than 0.1 %")
    if found.covered_percent is not None:
        print(
            f"looked at {len(found.looked)} scenes closely: they show {found.covered_percent:.2f} % of the pixels clear"
        )
    print(f"never clear: {cell(never)} % of the area")
    print(f"list: {out}")
