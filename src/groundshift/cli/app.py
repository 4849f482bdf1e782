"""The commands of ``groundshift``, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from groundshift import __version__
from groundshift.cli import (
    assess,
    change,
    clouds,
    demo,
    design,
    doctor,
    estimate,
    evaluate,
    features,
    landcover,
    models,
    mosaic,
    plot,
    polygons,
    run,
    screen,
    select,
    series,
)
from groundshift.cli.layout import Command, Group, examples

app = typer.Typer(
    name="groundshift",
    cls=Group,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "groundshift demo",
        "groundshift change demo/products/*.zip --outdir flood",
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"groundshift {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def groundshift(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Sentinel-2 images turned into change, mosaics and land cover, with the evidence."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


for _name, _module, _short in (
    ("change", change, "What changed between two images."),
    ("series", series, "Where and when something changed."),
    ("mosaic", mosaic, "One picture of many scenes."),
    ("select", select, "The fewest scenes that show an area clear."),
    ("screen", screen, "How much of an area scenes show clear."),
    ("clouds", clouds, "Where clouds, shadows and snow are."),
    ("polygons", polygons, "A class map as polygons."),
    ("features", features, "A stack of named features of scenes."),
    ("run", run, "Run a job file."),
    ("estimate", estimate, "What a large series would take."),
    ("evaluate", evaluate, "Compare a map with the truth."),
    ("design", design, "Draw reference points for a map of classes."),
    ("assess", assess, "Accuracy and areas of a map of classes."),
    ("demo", demo, "Try it on generated products."),
    ("doctor", doctor, "Show what this machine has."),
):
    app.command(_name, cls=Command, short_help=_short, epilog=_module.EXAMPLES)(getattr(_module, _name))
app.add_typer(landcover.app, name="landcover", cls=Group, short_help="Train a land-cover model, make maps with it.")
app.add_typer(plot.app, name="plot", cls=Group, short_help="Pictures of finished rasters.")
app.add_typer(models.app, name="models", cls=Group, short_help="Train the networks that the package runs.")
