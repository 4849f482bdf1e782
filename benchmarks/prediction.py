"""Pixels per second of boosted trees, beside LightGBM's own ``predict``: same model, same result; and of the default.

* **series**: 253 features (23 dates x 11 bands), 10 classes x 100 iterations x 31 leaves, of a generated year of
  seasons so noisy that trees grow full.
* **LUCAS**: the real table of points of Europe, 35 features, 8 classes, 100 iterations too.

Both with one thread and with two; wall time and processor time, because a machine may be shared. The ratio that counts
is of processor time on one thread, medians of runs in turns. Memory is that beyond input and output.

The second table has the default classifier, a small network, trained on the same samples.

Targets: at least five times the pixels per second, equal within 1e-6; memory that does not grow with the pixels.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np

from _tables import table
from groundshift.landcover.classifiers import DEFAULT, LightGbm, classifier
from groundshift.landcover.trees import read_lightgbm
from landcover_tables import DATA, lucas

TARGET = 5.0
TOLERANCE = 1e-6
MEMORY_MB = 10.0
RUNS = 5


def phenology(
    number: int, seed: int, dates: int = 23, bands: int = 11, classes: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Series of classes that differ in season and colour and are hard to tell apart: (sample, date * band), class."""
    law, draw = np.random.default_rng(0), np.random.default_rng(seed)
    season, colour = law.uniform(0, 1, (classes, 1)), law.normal(0.2, 0.03, (classes, bands))
    labels = draw.integers(0, classes, number)
    day = np.linspace(0, 1, dates) - season[labels] - draw.normal(0, 0.15, (number, 1))
    green = np.exp(1.5 * np.cos(2 * np.pi * day) - 1.5)[:, :, np.newaxis]
    own = draw.normal(1, 0.4, (number, 1, bands))
    values = 0.1 + green * colour[labels][:, np.newaxis] * own + draw.normal(0, 0.05, (number, dates, bands))
    return values.reshape(number, -1).astype(np.float32), labels


def clocked(work: Callable[[], np.ndarray]) -> tuple[float, float, np.ndarray]:
    """Wall seconds, processor seconds, result."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - wall, time.process_time() - cpu, found


def compared(name: str, text: str, pixels: np.ndarray, threads: int) -> tuple[list[object], bool]:
    """One row of the table: both on the same pixels, in turns; and whether the targets are met."""
    theirs, ours = lightgbm.Booster(model_str=text), read_lightgbm(text)
    ours.probabilities(pixels[:64])
    runs = [
        (
            clocked(lambda: theirs.predict(pixels, num_threads=threads)),
            clocked(lambda: ours.probabilities(pixels, threads)),
        )
        for _ in range(RUNS)
    ]
    wall = [statistics.median(run[side][0] for run in runs) for side in (0, 1)]
    cpu = [statistics.median(run[side][1] for run in runs) for side in (0, 1)]
    gap = float(np.abs(runs[0][0][2] - runs[0][1][2]).max())
    rates = [len(pixels) / seconds / 1000 for seconds in (*wall, *cpu)]
    ratio = cpu[0] / cpu[1]
    row = [name, threads, *rates, wall[0] / wall[1], ratio, f"{gap:.0e}"]
    return row, (threads > 1 or ratio >= TARGET) and gap <= TOLERANCE


def peak_mb(text: str, pixels: np.ndarray) -> float:
    """MB that a prediction takes at most, beyond its input and output and what was there before."""
    ours = read_lightgbm(text)
    ours.trees.sums(pixels[:64])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _peak_kb()
    found = ours.trees.sums(pixels)
    return max((_peak_kb() - before) / 1024 - found.nbytes / 2**20, 0.0)


def _peak_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def main() -> int:
    """Print the table; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pixels", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=4_000, help="to train with")
    arguments = parser.parse_args()
    values, labels = phenology(arguments.samples, 1)
    cases = [("series, 253 features", LightGbm(iterations=100), values, labels, phenology(arguments.pixels, 2)[0])]
    if DATA.is_dir():
        points = lucas()
        some = points.some(arguments.samples)
        cases.append(("LUCAS, 35 features", LightGbm(), some.values, some.classes, points.values[: arguments.pixels]))
    rows, others, met = [], [], True
    for name, model, train, classes, pixels in cases:
        text = model.fit(train, classes).weights_.decode()
        for threads in (1, 2):
            row, good = compared(name, text, pixels, threads)
            rows.append(row)
            met &= good
        net = classifier(DEFAULT).fit(train, classes)
        net.predict_proba(pixels)
        wall, cpu, _ = clocked(lambda net=net, pixels=pixels: net.predict_proba(pixels))
        others.append([name, len(pixels) / wall / 1000, len(pixels) / cpu / 1000])
    head = [
        "kpx/s",
        "threads",
        "LightGBM wall",
        "ours wall",
        "LightGBM CPU",
        "ours CPU",
        "x wall",
        "x CPU",
        "largest gap",
    ]
    table("Prediction of boosted trees", head, rows)
    table(f"The default, {DEFAULT}, one thread", ["kpx/s", "wall", "CPU"], others)
    once, often = (peak_mb(text, many) for many in (pixels, np.tile(pixels, (16, 1))))
    print(f"\nMemory beyond input and output: {once:.1f} MB, for 16 times the pixels {often:.1f} MB")
    return int(not met or often > once + MEMORY_MB)


if __name__ == "__main__":
    sys.exit(main())
