"""What a large series would take, before it is begun: products, bytes, hours, memory, money, days."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from groundshift.errors import InputError, MissingInputError, UsageError
from groundshift.execution.simulation import Fleet, Played, play
from groundshift.model.bands import BANDS
from groundshift.pipelines.pair_model import METHODS, Method
from groundshift.pipelines.series_job import SeriesDetectSection
from groundshift.pipelines.series_step import COLUMNS, ROWS

COSTS = Path(__file__).with_name("costs.json")
"""What things cost, each with its origin; ``benchmarks/constants.py`` measures and writes it."""

SIDE_PX = 10_980
"""Rows and columns of a tile at 10 m."""
_TILE = re.compile(r"T?(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2})", re.IGNORECASE)
_MOST_TILES = 60_000
_GIB = 2**30
_MAPS = 1.25
"""Rasters of a series, in rasters of a pair: one of probabilities, two of few numbers that compress well."""


@dataclass(frozen=True, kw_only=True)
class EstimateJob:
    """A run that is thought of."""

    dates: tuple[date, date]
    """First and last day, both included."""
    tiles: str | None = None
    """A file with the name of a tile a line, or how many there are."""
    aoi: str | None = None
    """An area instead: WKT, or path of a vector file."""
    bands: tuple[str, ...] = ("B02", "B03", "B04", "B08")
    method: Method = SeriesDetectSection().method
    workers: int = 16
    price_cpu_hour: float = 0.05
    """Currency units: 0.05 is what cloud providers ask for a core, in dollars, rounded."""
    bandwidth_mbit: float = 640.0
    """Megabit a second: 4 connections of 20 MB/s, which is what the data space gives."""
    quota_tb: float = 12.0
    """Terabytes that may be fetched in 30 days; 0: no limit."""
    orbits: float = 2.0
    """Relative orbits that see a tile: about 2 in Europe."""
    revisit_days: float = 5.0
    """Of one relative orbit, with two satellites."""
    usable: float = 100.0
    """Percentage of products that are fetched and compared at all: what ``--max-cloud`` lets pass."""
    gpu_tflops: float = 30.0
    """What a graphics processor does in fact, for the hours that it would take: a quarter of the peak of an A10."""
    fleet: Mapping[str, float] = field(default_factory=dict)
    """What goes wrong, where it is not as :class:`~groundshift.execution.simulation.Fleet` has it."""

    def __post_init__(self) -> None:
        if (self.tiles is None) == (self.aoi is None):
            raise UsageError("say either --tiles or --aoi: where the run is.")
        if self.method not in METHODS:
            raise UsageError(f"the method is {self.method!r}: expected one of {', '.join(METHODS)}.")
        for name, value in (("--workers", self.workers), ("--bandwidth-mbit", self.bandwidth_mbit)):
            if not value > 0:
                raise UsageError(f"{name} is {value:g}: expected more than 0.")
        if not 0 < self.usable <= 100:
            raise UsageError(f"--usable is {self.usable:g}: expected a percentage above 0.")
        if min(self.price_cpu_hour, self.quota_tb) < 0 or min(self.orbits, self.revisit_days, self.gpu_tflops) <= 0:
            raise UsageError("prices and quotas are not negative; orbits, days and teraflops are more than 0.")


@cache
def costs() -> dict[str, float]:
    """What things cost, by name."""
    return {name: float(entry["value"]) for name, entry in json.loads(COSTS.read_text("utf-8")).items()}


def run(job: EstimateJob) -> dict[str, Any]:
    """Estimate.

    Returns:
        What can be written as JSON; times in hours of one core, unless they are called otherwise.

    Raises:
        MissingInputError: the list of tiles is not there.
        InputError: it holds something else, or nothing.
        UsageError: an area that cannot be read.
    """
    tiles, cost = count_tiles(job), costs()
    days = (job.dates[1] - job.dates[0]).days + 1
    found = max(1, round(tiles * job.orbits * days / job.revisit_days))
    products = max(1, round(found * job.usable / 100))
    views = max(1, round(tiles * job.orbits))
    pairs = max(0, products - views)
    mpx = SIDE_PX**2 / 1e6
    stored = sum(mpx * (10 / BANDS[name].resolution_m) ** 2 for name in job.bands) + mpx / 4
    again = cost["compared_again"] * max(0, pairs - views)
    hours = _hours(job, cost, products, pairs, again, mpx, stored)
    read = products * stored * 1e6 * cost["stored_bytes_per_px"]
    whole = products * cost["product_bytes"]
    written = (pairs + _MAPS * views) * mpx * 1e6 * cost["written_bytes_per_px"]
    total = sum(hours.values())
    played = _played(job, views, products / views, total * 3600 / max(products, 1))
    return {
        "tiles": tiles,
        "days": days,
        "fields_of_view": views,
        "products": products,
        "pairs": pairs,
        "units": played.units,
        "read_tb": read / 1e12,
        "read_whole_products_tb": whole / 1e12,
        "written_tb": written / 1e12,
        "cpu_hours": {**hours, "total": total},
        "gpu_hours": _gpu_hours(job, cost, pairs + again, mpx),
        "memory_gib": {
            "worker": cost["worker_bytes"] / _GIB,
            "all": (cost["driver_bytes"] + job.workers * cost["worker_bytes"]) / _GIB,
        },
        "scratch_gb_per_field_of_view": mpx * 1e6 * cost["scratch_bytes_per_px"] * len(job.bands) / 1e9,
        "cost": total * job.price_cpu_hour,
        "wall_days": {
            "computing": played.wall_s / 86_400,
            "fetching_bands": _fetching_days(job, read),
            "fetching_whole_products": _fetching_days(job, whole),
        },
        "simulated": {
            "workers": job.workers,
            "busy_percent": 100 * played.busy,
            "retried_attempts": played.retried,
            "failed_units": played.failed,
        },
    }


def count_tiles(job: EstimateJob) -> int:
    """How many tiles the run is of."""
    if job.aoi is not None:
        return max(1, math.ceil(_area_km2(job.aoi) * costs()["tiles_per_km2"]))
    text = (job.tiles or "").strip()
    number = int(text) if text.isdecimal() else len(read_tiles(text))
    if not 1 <= number <= _MOST_TILES:
        raise UsageError(f"--tiles is {number}: expected 1 to {_MOST_TILES:,} tiles.")
    return number


def read_tiles(path: str) -> frozenset[str]:
    """Names of tiles from a file, one a line; what follows a ``#`` or a comma is not read.

    Raises:
        MissingInputError: there is no such file.
        InputError: a line is no tile.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MissingInputError(
            f"--tiles is {path!r}: neither a number nor a list of tiles that can be read."
        ) from error
    found = set()
    for number, line in enumerate(lines, 1):
        word = re.split(r"[#,;\s]", line.strip(), maxsplit=1)[0]
        if not word:
            continue
        match = _TILE.fullmatch(word)
        if match is None:
            raise InputError(f"{path}, line {number}: {word!r} is no tile: expected a name such as 31UFS.")
        found.add(match[1].upper().zfill(5))
    if not found:
        raise InputError(f"{path} names no tile.")
    return frozenset(found)


def _area_km2(text: str) -> float:
    from pyproj import CRS, Geod, Transformer
    from shapely import transform

    from groundshift.io.vector import read_aoi

    area, crs = read_aoi(text)
    if crs is not None and not CRS.from_user_input(crs).is_geographic:
        to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        area = transform(area, lambda xy: list(zip(*to_degrees.transform(xy[:, 0], xy[:, 1]), strict=True)))
    return abs(float(Geod(ellps="WGS84").geometry_area_perimeter(area)[0])) / 1e6


def _hours(
    job: EstimateJob,
    cost: Mapping[str, float],
    products: int,
    pairs: int,
    again: float,
    mpx: float,
    stored: float,
) -> dict[str, float]:
    """Hours of one core, by what they go into."""
    wide = len(job.bands) / 4
    compare = 0.0
    if job.method != "network":
        compare += cost["statistical_s_per_mpx"] * mpx * wide
    if job.method != "statistical":
        compare += cost["network_s_per_mpx"] * mpx
    seconds = {
        "decode": products * stored * cost["decode_s_per_mpx"],
        "prepare": products * mpx * cost["prepare_s_per_mpx"] * wide,
        "compare": (pairs + again) * compare + pairs * cost["fit_s_per_pair"],
        "track": products * mpx * cost["track_s_per_mpx"] * wide,
        "write": pairs * mpx * cost["write_s_per_mpx"],
    }
    return {name: value / 3600 for name, value in seconds.items()}


def _gpu_hours(job: EstimateJob, cost: Mapping[str, float], pairs: float, mpx: float) -> float:
    """Hours that a graphics processor would take for the network, instead of that part of the cores."""
    if job.method == "statistical":
        return 0.0
    return pairs * mpx * 1e6 * cost["network_flop_per_px"] / (job.gpu_tflops * 1e12) / 3600


def _fetching_days(job: EstimateJob, nbytes: float) -> float:
    by_line = nbytes * 8 / (job.bandwidth_mbit * 1e6) / 86_400
    by_quota = 30 * nbytes / (job.quota_tb * 1e12) if job.quota_tb else 0.0
    return max(by_line, by_quota)


def _played(job: EstimateJob, views: int, dates: float, seconds_a_product: float) -> Played:
    blocks = math.ceil(SIDE_PX / ROWS) * math.ceil(SIDE_PX / COLUMNS)
    fleet = Fleet(workers=job.workers, **job.fleet)  # type: ignore[arg-type]
    return play(views * blocks, max(1, round(dates)), seconds_a_product / blocks, fleet)
