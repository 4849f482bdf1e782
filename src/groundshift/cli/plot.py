"""``groundshift plot``: pictures of finished rasters."""

from __future__ import annotations

from typing import Annotated

import typer

from groundshift.cli.execute import print_json
from groundshift.cli.layout import Command, Debug, Group, Json, Quiet, examples

BANDS_EXAMPLES = examples(
    "groundshift plot bands stack.tif --out bands.png",
    "groundshift plot bands demo/result/CVA.tif --out change.png",
)
MAP_EXAMPLES = examples(
    "groundshift plot map demo/landcover.tif --out land.png",
    'groundshift plot map map/classes.tif --out map.png --title "Land cover before the flood"',
)
app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Pictures of finished rasters: every band of a stack, a map with its legend.",
    epilog=examples(BANDS_EXAMPLES.splitlines()[0], MAP_EXAMPLES.splitlines()[0]),
)
_Out = typer.Option("--out", "-o", metavar="FILE", help="The picture, a PNG.")


@app.command("bands", cls=Command, epilog=BANDS_EXAMPLES)
def bands(
    stack: Annotated[str, typer.Argument(metavar="STACK", help="A raster of one or many bands.")],
    out: Annotated[str, _Out],
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """Every band of a raster as a small picture, with its name and its range."""
    from groundshift.pipelines import plot as pipeline

    _told(str(pipeline.bands(stack, out)), as_json=as_json, quiet=quiet)


@app.command("map", cls=Command, epilog=MAP_EXAMPLES)
def map_(
    map: Annotated[str, typer.Argument(metavar="MAP", help="A map of classes with a colour table.")],
    out: Annotated[str, _Out],
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="First line [default: name of the file]")
    ] = None,
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """A map of classes with its legend and a scale bar."""
    from groundshift.pipelines import plot as pipeline

    _told(str(pipeline.map_of_classes(map, out, title)), as_json=as_json, quiet=quiet)


def _told(path: str, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json({"outputs": {"picture": path}})
    elif not quiet:
        print(f"picture: {path}")
