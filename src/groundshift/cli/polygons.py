"""``groundshift polygons``: a class map as polygons."""

from __future__ import annotations

from typing import Annotated

import typer

from groundshift.cli.execute import cell, print_json, print_table
from groundshift.cli.layout import Debug, Json, Quiet, examples
from groundshift.execution.progress import progress

EXAMPLES = examples(
    "groundshift polygons demo/landcover.tif --out land.gpkg",
    "groundshift polygons map/classes.tif --out map.parquet --simplify 20 --min-area 2500 "
    "--probabilities map/probabilities.tif",
)


def polygons(
    *,
    map_: Annotated[str, typer.Argument(metavar="MAP", help="A raster of class codes; 0 none, 255 no data.")],
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FILE", help="Polygons, by ending: .gpkg, .fgb or .parquet.")
    ],
    simplify: Annotated[
        float,
        typer.Option("--simplify", metavar="METRES", help="Simplify borders, about twice a pixel; 0: not."),
    ] = 0.0,
    min_area: Annotated[
        float, typer.Option("--min-area", metavar="M2", help="Give smaller regions to a neighbour.")
    ] = 0.0,
    probabilities: Annotated[
        str | None,
        typer.Option("--probabilities", metavar="FILE", help="A band a class: which neighbour, and how sure."),
    ] = None,
    legend: Annotated[
        str | None,
        typer.Option("--legend", metavar="esri|worldcover|...", help="Names of the codes that MAP does not name."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes [default: one a core]")
    ] = None,
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """Write a class map as polygons that share their borders exactly, with class, area and shares of classes."""
    from groundshift.pipelines import map_polygons

    job = map_polygons.PolygonsJob(
        map=map_,
        out=out,
        simplify_m=simplify,
        min_area_m2=min_area,
        probabilities=probabilities,
        legend=legend,
        workers=workers,
    )
    summary = map_polygons.run(job, progress(quiet))
    if as_json:
        print_json(summary)
    elif not quiet:
        rows = [
            [str(row["class"]), row["name"], cell(row["polygons"]), cell(row["hectares"])] for row in summary["classes"]
        ]
        print_table(["class", "name", "polygons", "ha"], rows)
        print(f"polygons: {summary['outputs']['polygons']}")
