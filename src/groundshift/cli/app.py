"""The commands of ``groundshift``, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from groundshift import __version__
from groundshift.cli import change, evaluate, run
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
    """What changed between two Sentinel-2 images, with the evidence."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


app.command("change", cls=Command, epilog=change.EXAMPLES)(change.change)
app.command("evaluate", cls=Command, epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("run", cls=Command, epilog=run.EXAMPLES)(run.run)
