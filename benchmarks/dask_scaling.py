"""Two Dask workers against one, scheduler and all on the same cores, each worker one thread; memory; the same bytes.

The units are those of a series: some rows of a pair compared, what is known of each pixel, written. Runs with one and
with two workers alternate, and the medians are compared. Target: two workers at least 1.6 times as fast as one.

    python benchmarks/dask_scaling.py [--method statistical|network] [--quick] [--runs 3] [--address tcp://...]

How much of two cores other programs leave is told as well: on a machine that is busy the ratio says little.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import _units
from _tables import table
from groundshift.execution.backend import open_pool

TARGET, AIM = 1.6, 1.8


def idle_and_total() -> tuple[float, float]:
    """Seconds in which the cores of this machine had nothing to do, and all seconds, since it was started."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    ticks = [int(word) / os.sysconf("SC_CLK_TCK") for word in words]
    return ticks[3] + ticks[4], sum(ticks)


def measured(folder: Path, method: str, workers: int, times: int, scheduler: str | None) -> Mapping[str, object]:
    """One run: wall seconds of the units alone, and what there is beside them."""
    model, _ = _units.fit(folder, method)  # type: ignore[arg-type]
    with open_pool(workers, scheduler=scheduler, imports=_units.IMPORTS, folder=folder) as pool:
        warm, seen = list(_units.units(folder, model))[: 2 * workers], set[int]()
        while len(seen) < workers:  # all have joined, and have compiled what they need
            seen |= {spent.pid for spent in pool.run(_units.work, warm)}
        own, idle = time.process_time(), idle_and_total()
        begin = time.perf_counter()
        found = pool.run(_units.work, _units.units(folder, model, times))
        wall = time.perf_counter() - begin
        own, now = time.process_time() - own, idle_and_total()
        cpu = sum(spent.read + spent.compare + spent.track + spent.write for spent in found)
        return {
            "wall": wall,
            "cpu": cpu,
            "scheduler": own,
            "others": max(0.0, (now[1] - now[0]) - (idle[1] - idle[0]) - cpu - own) / wall,
            "memory": pool.peak_rss(),
            "digests": [spent.digest for spent in found],
            "retried": len(pool.retried),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=("statistical", "network", "ensemble"), default="statistical")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--times", type=int, default=0, help="how often the four units of the pair are done")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--processes", action="store_true", help="our own processes instead of Dask")
    options = parser.parse_args()
    times = options.times or {"statistical": 10, "network": 3}.get(options.method, 3) // (2 if options.quick else 1)
    runs = 1 if options.quick else options.runs
    scheduler = None if options.processes else "local"
    with tempfile.TemporaryDirectory(prefix="dask-scaling-") as scratch:
        folder = Path(scratch)
        _units.write_pair(folder)
        found: dict[int, list[Mapping[str, object]]] = {1: [], 2: []}
        for _ in range(runs):
            for workers in found:
                found[workers].append(measured(folder, options.method, workers, max(1, times), scheduler))
    rows, medians = [], {}
    for workers, several in found.items():
        medians[workers] = statistics.median(float(one["wall"]) for one in several)  # type: ignore[arg-type]
        middle = min(several, key=lambda one: abs(float(one["wall"]) - medians[workers]))  # type: ignore[arg-type]
        memory = max(int(one["memory"]) for one in several) / 2**20  # type: ignore[call-overload]
        rows.append((workers, medians[workers], middle["cpu"], middle["scheduler"], middle["others"], memory))
    head = ("workers", "wall s", "units, cpu s", "driver and scheduler, cpu s", "cores that others took", "peak MiB")
    units = 4 * max(1, times)
    kind = "processes" if options.processes else "Dask"
    title = f"{units} units of {_units.ROWS} x {_units.SIDE} pixels, {options.method}, {kind}, median of {runs}"
    table(title, head, rows)
    ratio = medians[1] / medians[2]
    same = {tuple(one["digests"]) for several in found.values() for one in several}  # type: ignore[arg-type]
    print(f"\ntwo workers are {ratio:.2f} times as fast as one (target {TARGET}, aim {AIM})")
    print("results are the same, byte for byte" if len(same) == 1 else "RESULTS DIFFER")
    busy = max(float(one["others"]) for several in found.values() for one in several)  # type: ignore[arg-type]
    if busy > 0.2:
        print(f"other programs took up to {busy:.1f} cores: measure again on a quiet machine")
    sys.exit(0 if len(same) == 1 and (ratio >= TARGET or busy > 0.2) else 1)


if __name__ == "__main__":
    main()
