"""``groundshift models``: train the networks that the package runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from groundshift.cli.execute import print_json
from groundshift.cli.layout import Command, Debug, Group, Json, Quiet, examples
from groundshift.errors import UsageError

CHANGE_EXAMPLES = examples(
    "groundshift models train change scenes/*.SAFE --held-out elsewhere.SAFE --outdir change-net",
    "groundshift models train change demo/products/*.zip --steps 2 --examples 8 --outdir change-net",
)
app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Train the networks that the package runs, on scenes of your own.",
    epilog=examples(CHANGE_EXAMPLES.splitlines()[0]),
)
_train = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Train a network. Needs: pip install 'groundshift[train]'.",
    epilog=examples(CHANGE_EXAMPLES.splitlines()[0]),
)
app.add_typer(_train, name="train", cls=Group, short_help="Train a network.")


@_train.command("change", cls=Command, epilog=CHANGE_EXAMPLES, short_help="The network of change, without labels.")
def change(
    scenes: Annotated[
        list[str],
        typer.Argument(
            metavar="SCENES...",
            help="Clear scenes, .npz files of places or a folder of them; dates of one grid are paired.",
        ),
    ],
    outdir: Annotated[str, typer.Option("--outdir", "-o", metavar="DIR", help="Weights, model card and log.")],
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            "--held-out",
            metavar="SCENE",
            help="A scene of another place, to stop and to calibrate by; as often as wanted. None: drawn ground.",
        ),
    ] = None,
    scale: Annotated[
        float | None, typer.Option("--scale", metavar="DN", help="DN of reflectance 1.0 in plain rasters.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Steps, at most.")] = 4000,
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="N", help="At most; None: as long as the steps take.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", metavar="N", help="Pairs of 128 x 128 pixels a step.")] = 12,
    kept: Annotated[
        int, typer.Option("--examples", metavar="N", help="Examples in memory; a few are new each step.")
    ] = 1500,
    rate: Annotated[float, typer.Option("--rate", metavar="X", help="Largest learning rate.")] = 2e-3,
    patience: Annotated[
        int, typer.Option("--patience", metavar="N", help="Looks at held-out examples without a better one, then stop.")
    ] = 8,
    start: Annotated[
        Path | None, typer.Option("--start", metavar="FILE", help="change_unet.pt of another training to go on from.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of all random choices.")] = 1,
    threads: Annotated[int, typer.Option("--threads", metavar="N", help="Of the processor.")] = 1,
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """Train the network of change on clear scenes, without labels: changes are put in, all else is simulated.

    DIR gets change_unet.onnx with its model card, change_unet.pt to go on from, and a log for TensorBoard.
    """
    check_installed()
    from groundshift.training import change as training
    from groundshift.training.reading import read

    options = training.TrainOptions(
        steps=steps, minutes=minutes, batch=batch, pool=max(kept, batch), first=min(200, kept), rate=rate,
        patience=patience, held_out=min(64, kept), seed=seed, threads=threads,
    )  # fmt: skip
    if start is not None and not start.is_file():
        raise UsageError(f"--start {start}: there is no such file.")
    places = read(scenes, seed, scale), read(held_out or [], seed, scale)
    card = training.train(*places, Path(outdir), options, start=start, say=_told(quiet))
    weights = Path(outdir) / f"{training.NAME}.onnx"
    if as_json:
        print_json({"outputs": {"weights": str(weights), "card": str(weights.with_suffix(".json"))}, "card": card})
    elif not quiet:
        print(f"weights: {weights}")


def check_installed() -> str:
    """Versions of what training needs, to say before any work where one is missing.

    Raises:
        UsageError: and how to install it.
    """
    try:
        import tensorboard
        import torch
    except ImportError as error:
        raise UsageError(
            f"training needs {error.name or 'a package'}, which is not installed: pip install 'groundshift[train]'."
        ) from error
    return f"torch {torch.__version__}, tensorboard {tensorboard.__version__}"


def _told(quiet: bool):  # type: ignore[no-untyped-def]
    return (lambda _: None) if quiet else (lambda text: print(text, file=sys.stderr, flush=True))
