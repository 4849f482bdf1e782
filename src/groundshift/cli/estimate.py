"""``groundshift estimate``: what a large series would take, before it is begun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from groundshift.cli.execute import cell, print_json, print_table
from groundshift.cli.layout import Debug, Json, examples
from groundshift.errors import UsageError
from groundshift.model.bands import parse_bands

EXAMPLES = examples(
    "groundshift estimate --tiles 1040 --dates 2025-01-01/2025-12-31 --workers 500",
    "groundshift estimate --tiles 1 --dates 2025-06-01/2025-06-30 --method statistical --json",
)
_WHAT, _MEANS, _SKY = "Run", "Means", "Sky"


def _number(flag: str, metavar: str, told: str, panel: str = _MEANS) -> Any:
    return typer.Option(flag, metavar=metavar, help=told, rich_help_panel=panel)


def estimate(
    *,
    dates: Annotated[
        str, typer.Option("--dates", metavar="FIRST/LAST", help="Days, both included.", rich_help_panel=_WHAT)
    ],
    tiles: Annotated[
        str | None,
        typer.Option(
            "--tiles", metavar="FILE|N", help="Names of tiles, one a line, or their number.", rich_help_panel=_WHAT
        ),
    ] = None,
    aoi: Annotated[
        str | None,
        typer.Option("--aoi", metavar="WKT|FILE", help="An area instead of tiles.", rich_help_panel=_WHAT),
    ] = None,
    bands: Annotated[
        str, typer.Option("--bands", "-b", metavar="B2,B3,...", help="Bands to compare.", rich_help_panel=_WHAT)
    ] = "B2,B3,B4,B8",
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="ensemble|network|statistical",
            help="Whose probability.",
            rich_help_panel=_WHAT,
        ),
    ] = "ensemble",
    workers: Annotated[int, _number("--workers", "N", "Workers of one thread each.")] = 16,
    price: Annotated[float, _number("--price-cpu-hour", "PRICE", "Of a core, for an hour.")] = 0.05,
    bandwidth: Annotated[float, _number("--bandwidth-mbit", "MBIT", "Of the line, megabit a second.")] = 640.0,
    quota: Annotated[float, _number("--quota-tb", "TB", "That may be fetched in 30 days; 0: no limit.")] = 12.0,
    gpu: Annotated[
        float, _number("--gpu-tflops", "TFLOPS", "What a graphics processor does in fact, for its hours.")
    ] = 30.0,
    orbits: Annotated[float, _number("--orbits", "N", "Relative orbits that see a tile.", _SKY)] = 2.0,
    revisit: Annotated[float, _number("--revisit-days", "DAYS", "Of a relative orbit.", _SKY)] = 5.0,
    usable: Annotated[
        float, _number("--usable", "PERCENT", "Of the products, that are clear enough to be fetched.", _SKY)
    ] = 100.0,
    lost: Annotated[float, _number("--lost-percent", "PERCENT", "Of attempts, at which a worker is lost.", _SKY)] = 0.5,
    as_json: Annotated[bool, Json] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """What a series over many tiles would take: products, terabytes, hours, memory, money, days.

    From constants that were measured (`benchmarks/constants.py`), and by playing the run with workers that fail.
    """
    from groundshift.pipelines.estimate import EstimateJob, run
    from groundshift.pipelines.mosaic_job import interval

    try:
        days = interval(dates)
    except ValueError as error:
        raise UsageError(f"--dates: {error}") from None
    if not 0 <= lost <= 50:
        raise UsageError(f"--lost-percent is {lost:g}: expected 0 to 50.")
    job = EstimateJob(
        dates=days,
        tiles=tiles,
        aoi=aoi,
        bands=parse_bands(bands),
        method=method,  # type: ignore[arg-type]
        workers=workers,
        price_cpu_hour=price,
        bandwidth_mbit=bandwidth,
        quota_tb=quota,
        gpu_tflops=gpu,
        orbits=orbits,
        revisit_days=revisit,
        usable=usable,
        fleet={"lost": lost / 100},
    )
    found = run(job)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: Mapping[str, Any]) -> None:
    hours, days, memory = found["cpu_hours"], found["wall_days"], found["memory_gib"]
    simulated = found["simulated"]
    parts = ", ".join(f"{name} {cell(value)}" for name, value in hours.items() if name != "total")
    rows = [
        ["tiles", cell(found["tiles"]), f"{cell(found['fields_of_view'])} fields of view, {cell(found['days'])} days"],
        ["products", cell(found["products"]), f"{cell(found['pairs'])} pairs, {cell(found['units'])} units"],
        ["read, TB", cell(found["read_tb"]), f"bands alone; {cell(found['read_whole_products_tb'])} as whole products"],
        ["written, TB", cell(found["written_tb"]), "probabilities of all pairs, maps of the series"],
        ["CPU hours", cell(hours["total"]), parts],
        ["GPU hours", cell(found["gpu_hours"]), "of the network alone, instead of that part of the cores"],
        ["memory, GiB", cell(memory["all"]), f"{cell(memory['worker'])} a worker, and what hands out the units"],
        ["scratch, GB", cell(found["scratch_gb_per_field_of_view"]), "of each field of view at work"],
        ["cost", cell(found["cost"]), "CPU hours at the price given; neither storage nor traffic"],
        [
            "days computing",
            cell(days["computing"]),
            f"{simulated['workers']:,} workers, {simulated['busy_percent']:.1f} % busy, "
            f"{cell(simulated['retried_attempts'])} attempts again, {cell(simulated['failed_units'])} units given up",
        ],
        [
            "days fetching",
            cell(days["fetching_bands"]),
            f"bands alone; {cell(days['fetching_whole_products'])} as whole products (line and quota)",
        ],
    ]
    print_table(["what", "how much", "of which"], rows)
