"""What `groundshift estimate` says of a series, beside what that series took: processor time, bytes, memory.

Three generated dates of one place, two pairs; the estimate is that of a tile of as many pixels. A series of few pixels
takes more for each than a tile does, since processes start and reports are drawn all the same: what that is, is told by
a series of an image of 600 x 600 pixels, and taken off.

    python benchmarks/estimate_check.py [--rows 3096] [--columns 2052] [--method ensemble]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import _dates
import inputs
import measure
from _tables import table
from groundshift.pipelines import estimate
from groundshift.pipelines.estimate import EstimateJob

WITHIN = 1.5
SMALL = (600, 600)


@dataclass(frozen=True)
class Took:
    """What a series took."""

    cpu_s: float
    pss: float
    read: int
    written: int
    timings: dict[str, float]


def series(scenes: list[Path], method: str, workers: int, folder: Path) -> Took:
    """Run a series and look at what it took."""
    with tempfile.TemporaryDirectory(prefix="estimate-", dir=folder) as name:
        out = Path(name) / "out"
        command = [sys.executable, "-m", "groundshift", "series", *map(str, scenes), "--quiet", "--no-animation"]
        command += ["--outdir", str(out), "--method", method, "--workers", str(workers)]
        found = measure.run(command)
        written = sum(path.stat().st_size for path in out.glob("*.tif"))
        timings = json.loads((out / "manifest.json").read_text("utf-8"))["timings_s"]
    read = sum(path.stat().st_size for scene in scenes for path in inputs.images(scene))
    return Took(found.cpu_s, found.pss, read, written, timings)


def main() -> int:
    """Run, estimate, compare; 1 where a figure is off by more than half."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    inputs.add_options(parser)
    parser.add_argument("--rows", type=int, default=3096)
    parser.add_argument("--columns", type=int, default=2052)
    parser.add_argument("--method", default="ensemble")
    options = parser.parse_args()
    shape = options.rows, options.columns
    took = series(_dates.products(options.data, shape, options.workers), options.method, options.workers, options.data)
    small = series(_dates.products(options.data, SMALL, options.workers), options.method, options.workers, options.data)
    estimate.SIDE_PX = math.sqrt(math.prod(shape))  # type: ignore[assignment]
    days = date(2023, 6, 1), date(2023, 6, 15)
    job = EstimateJob(dates=days, tiles="1", orbits=1, method=options.method, workers=options.workers)
    told = estimate.run(job)
    assert (told["products"], told["pairs"]) == (3, 2)
    hours = told["cpu_hours"]
    lines = [
        ("CPU s", hours["total"] * 3600, took.cpu_s),
        ("CPU s beyond those of a small series", hours["total"] * 3600 - 2 * fit_s(), took.cpu_s - small.cpu_s),
        ("MB read", told["read_tb"] * 1e6, took.read / 1e6),
        ("MB written", told["written_tb"] * 1e6, took.written / 1e6),
        ("MB of memory", told["memory_gib"]["all"] * 1024**3 / 1e6, took.pss / 1e6),
    ]
    rows = [(name, f"{said:.0f}", f"{was:.0f}", f"{said / was:.2f}") for name, said, was in lines]
    title = f"Three dates of {shape[0]} x {shape[1]}, {options.method}, {options.workers} workers"
    table(title, ("what", "estimated", "measured", "ratio"), rows)
    parts = ", ".join(f"{name} {value * 3600:.0f}" for name, value in hours.items() if name != "total")
    print(f"\nestimated CPU s: {parts}")
    print("measured wall s:", ", ".join(f"{name} {value:.0f}" for name, value in took.timings.items()))
    print(f"a small series: {small.cpu_s:.0f} CPU s, {small.pss / 1e6:.0f} MB")
    off = [name for name, said, was in lines[1:] if not 1 / WITHIN <= said / was <= WITHIN]
    print(f"within {WITHIN} times: {'all' if not off else 'not ' + ', '.join(off)}")
    return 1 if off else 0


def fit_s() -> float:
    """Seconds of the fit of a pair, which a small series needs as well."""
    return estimate.costs()["fit_s_per_pair"]


if __name__ == "__main__":
    sys.exit(main())
