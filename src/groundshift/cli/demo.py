"""``groundshift demo``: two products that need no download, and the main job run on them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from groundshift.cli.execute import execute
from groundshift.cli.layout import Debug, Json, Quiet, examples
from groundshift.cli.options import job_of
from groundshift.errors import OutputError
from groundshift.pipelines import jobfile

EXAMPLES = examples(
    "groundshift demo",
    "groundshift demo demo --json --quiet",
)


def demo(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Where to leave products and results.")] = "demo",
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """Make two generated Sentinel-2 products with a flood and a clear-cut, and find what changed between them.

    Leaves DIR/products (two SAFE archives), DIR/truth.tif (what was planted), DIR/landcover.tif (what the land was
    before), DIR/job.toml and DIR/result.
    """
    from groundshift.testing.demo import write_demo_products
    from groundshift.testing.demo_truth import write_demo_landcover, write_demo_truth

    products, result = Path(folder, "products"), Path(folder, "result")
    try:
        products.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the demo cannot be written to {folder}: {error.strerror}.") from error
    if not quiet:
        print("groundshift: writing two Sentinel-2 products ...", file=sys.stderr, flush=True)
    before, after = write_demo_products(products)
    write_demo_truth(Path(folder, "truth.tif"))
    write_demo_landcover(Path(folder, "landcover.tif"))
    job = job_of(
        {
            "input.before": str(before),
            "input.after": str(after),
            "output.outdir": str(result),
            # the folder is the demo's own: a second demo replaces the first
            "output.force": True,
        }
    )
    jobfile.save(job, Path(folder, "job.toml"))
    execute(job, as_json=as_json, quiet=quiet)
    if not quiet and not as_json:
        print(f"Now open {result / 'report.html'}")
