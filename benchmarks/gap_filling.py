"""Gap filling to a calendar against eo-learn's own task, on the same series, in one run.

    python benchmarks/gap_filling.py --peer PYTHON [--size 1000] [--dates 30] [--features 9]

PYTHON is that of an environment with eo-learn (pip install eo-learn==1.5.7 numba scikit-learn). Without it, only what
groundshift does is measured. Each runs in a process of its own and has compiled before. eo-learn gets the patch in
memory, and only its task is timed, in parallel as it is fastest; groundshift goes block by block from file to file, and
is timed with and without reading and writing. Memory is the peak of each process above what it had before the work.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import measure
from groundshift.io.planes import Planes
from groundshift.landcover.calendar import CalendarOptions, calendar_days, day_numbers, regular
from groundshift.model.grid import Window

FIRST, LAST = np.datetime64("2017-01-01"), np.datetime64("2017-12-31")
STEP_DAYS = 16
ROWS = 32
"""Of a block."""
FASTER, LESS, AGREE = 10.0, 0.1, 1e-5
MILLION_ON_TWO_CORES = 300.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", metavar="PYTHON", help="of an environment with eo-learn 1.5.7")
    parser.add_argument("--size", type=int, default=1000, help="rows and columns (%(default)s)")
    parser.add_argument("--dates", type=int, default=30)
    parser.add_argument("--features", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ours:
        return run_ours(asked.ours, asked.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_series(folder, asked.size, asked.dates, asked.features)
        command = [sys.executable, __file__, "--ours", str(folder), "--threads", str(asked.threads)]
        ours, facts = told(command)
        million = asked.size**2 * asked.dates * asked.features / 1e6
        print(
            f"{asked.size} x {asked.size} x {asked.dates} dates x {asked.features} features = {million:.0f} million "
            f"values to {STEP_DAYS} days, {asked.threads} threads\n"
            f"groundshift, file to file  {facts['seconds']:7.2f} s {ours / measure.GIB:6.2f} GiB "
            f"{million / facts['seconds']:7.0f} million values a second\n"
            f"  of that, gap filling     {facts['filling']:7.2f} s, {facts['cpu']:.2f} s of processor time"
        )
        rate, worst = 2 * million / facts["cpu"], against_numpy(folder)
        good = worst < AGREE and rate >= MILLION_ON_TWO_CORES
        print(
            f"{rate:.0f} million values a second on two cores, by processor time: {said(rate >= MILLION_ON_TWO_CORES)}"
        )
        print(f"largest difference to numpy.interp: {worst:.1e}: {said(worst < AGREE)}")
        if asked.peer:
            good &= against_peer(asked.peer, folder, facts, ours)
    return 0 if good else 1


def against_peer(python: str, folder: Path, ours: dict[str, float], memory: int) -> bool:
    """Whether the ratios of time and memory, and the agreement of the results, are as promised."""
    theirs, facts = told([python, str(Path(__file__).with_name("peer_eolearn.py")), str(folder)])
    print(
        f"eo-learn {facts['version']}, its task   {facts['seconds']:7.2f} s {theirs / measure.GIB:6.2f} GiB, "
        f"{facts['cpu']:.2f} s of processor time"
    )
    ratio, share = facts["seconds"] / ours["filling"], memory / theirs
    print(
        f"{ratio:.1f} times as fast ({facts['seconds'] / ours['seconds']:.1f} with reading and writing, "
        f"{facts['cpu'] / ours['cpu']:.1f} in processor time): "
        f"{said(ratio >= FASTER)}; {share:.3f} of its memory: {said(share <= LESS)}"
    )
    peers = np.load(folder / "theirs.npy", "r")
    mine, worst, unlike = results(folder, peers.shape[3]), 0.0, 0
    for y in range(mine.shape[2]):
        difference = np.abs(mine[:, :, y] - np.moveaxis(peers[:, y], 2, 1))
        unlike += int((np.isnan(mine[:, :, y]) != np.isnan(np.moveaxis(peers[:, y], 2, 1))).sum())
        worst = max(worst, float(np.nanmax(difference)))
    good = worst < AGREE and unlike == 0
    print(f"largest difference to eo-learn: {worst:.1e}, missing in one only: {unlike}: {said(good)}")
    return bool(ratio >= FASTER and share <= LESS and good)


def told(command: list[str]) -> tuple[int, dict[str, float]]:
    """Peak of the memory of a process above what it had before its work, and what it says of itself."""
    measured = measure.run(command)
    facts = json.loads(measured.output.strip().splitlines()[-1])
    return measured.pss - facts["before"], facts


def write_series(folder: Path, size: int, dates: int, features: int) -> None:
    """A year of smooth seasons and noise under clouds of some kilometres, in both orders of axes."""
    random = np.random.default_rng(0)
    days = np.sort(random.choice(365, dates, replace=False))
    (folder / "dates.json").write_text(json.dumps([str(FIRST + np.timedelta64(int(day), "D")) for day in days]))
    coarse = random.random((dates, size // 50 + 2, size // 50 + 2)) < 0.55
    valid = coarse.repeat(50, axis=1).repeat(50, axis=2)[:, 25 : 25 + size, 25 : 25 + size]
    valid = valid & (random.random(valid.shape) < 0.95)
    whole = Window(0, size, 0, size)
    np.save(folder / "valid.npy", valid[..., None])
    Planes.create(folder / "valid.bin", valid.shape, "uint8").write(whole, valid)
    series = Planes.create(folder / "series.bin", (dates * features, size, size), "float32")
    pixels = np.lib.format.open_memmap(folder / "series.npy", "w+", np.float32, (dates, size, size, features))
    for t, day in enumerate(days):
        season = 0.3 + 0.2 * np.sin(2 * np.pi * (day / 365 + np.arange(features) / features))
        frame = random.normal(season[:, None, None], 0.05, (features, size, size)).astype(np.float32)
        pixels[t] = np.moveaxis(frame, 0, 2)
        for feature in range(features):
            series.write(whole, frame[feature], t * features + feature)


def days_of(folder: Path) -> np.ndarray:
    return day_numbers([np.datetime64(each).item() for each in json.loads((folder / "dates.json").read_text())])


def steps() -> np.ndarray:
    return day_numbers(calendar_days(FIRST.item(), LAST.item(), STEP_DAYS))


def run_ours(folder: Path, threads: int) -> int:
    """Fill the gaps of a series on disk block by block; says how long it took."""
    options = CalendarOptions(outside="nan")
    days = days_of(folder)
    regular(np.zeros((len(days), 2, 1, 1), np.float32), np.ones((len(days), 1, 1), bool), days, steps(), options)
    facts = {"before": resident(), "filling": 0.0, "cpu": 0.0}
    begin = time.perf_counter()
    series, mask = Planes.open(folder / "series.bin"), Planes.open(folder / "valid.bin")
    features = series.shape[0] // len(days)
    target = Planes.create(folder / "ours.bin", (len(steps()) * features, *series.shape[1:]), "float32")
    for y in range(0, series.shape[1], ROWS):
        window = Window(y, min(y + ROWS, series.shape[1]), 0, series.shape[2])
        values = series.read(window).reshape(len(days), features, *window.shape)
        valid = mask.read(window).view(bool)
        start, cpu = time.perf_counter(), time.process_time()
        found = regular(values, valid, days, steps(), options, threads=threads)
        facts["filling"] += time.perf_counter() - start
        facts["cpu"] += time.process_time() - cpu
        target.write(window, found.values.reshape(-1, *window.shape))
    facts["seconds"] = time.perf_counter() - begin
    print(json.dumps(facts))
    return 0


def resident() -> int:
    """Memory of this process in bytes, what it shares counted in part."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def against_numpy(folder: Path) -> float:
    """The largest difference to numpy.interp among a thousand pixels."""
    values, valid, days = np.load(folder / "series.npy", "r"), np.load(folder / "valid.npy", "r"), days_of(folder)
    mine, worst = results(folder, values.shape[3]), 0.0
    for y, x in np.random.default_rng(1).integers(0, values.shape[1], (1000, 2)):
        usable = valid[:, y, x, 0]
        for band in range(values.shape[3]):
            if usable.any():
                series = values[usable, y, x, band]
                expected = np.interp(steps(), days[usable], series, left=np.nan, right=np.nan)
                worst = max(worst, float(np.nanmax(np.abs(expected - mine[:, band, y, x]), initial=0)))
    return worst


def results(folder: Path, features: int) -> np.ndarray:
    made = Planes.open(folder / "ours.bin")
    return np.memmap(made.path, np.float32, "r", shape=(len(steps()), features, *made.shape[1:]))


def said(good: bool) -> str:
    return "met" if good else "missed"


if __name__ == "__main__":
    sys.exit(main())
