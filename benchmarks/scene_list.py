"""The scene list on generated candidates: 300 and 10,000 scenes, distance to the optimum, time and memory.

Tiles of 110 km lie 100 km apart and are seen, in cells of 2.75 km, by swaths of 290 km that lean and overlap as
those of Sentinel-2 do at about 60 degrees: two to three orbits over each place, each every five days. Scenes of one
pass share one field of clouds; its power spectrum falls with the wavenumber, some places are cloudier all year, and the
share of cloud of a pass is drawn from a beta distribution. Two skies: `broken`, in which next to no scene is clear as a
whole, and `fronts`, larger fields and more days that are all clear or all overcast.

Targets: gap at most 5 % (proven, against the list's own lower bound), 10,000 scenes in less than 10 s. They are for
lists that show each cell once; three times is told beside it. The time is that of one process whose kernels were
compiled before. JRC's global list took 2.55 scenes a tile from 34 (Kempeneers and Soille 2017).

    python benchmarks/scene_list.py [--seeds 3] [--quick]
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

import measure
from _tables import table
from groundshift.composite.select import Candidate, Cover, SelectOptions, select

SIDE, STRIDE = 40, 36
"""Cells of a tile and from one to the next."""
SWATH, SPACING, LEAN = 105, 46, 0.18
"""Width of a swath and distance to the next orbit's, in cells; cells to the west per cell to the south."""
GAP, SECONDS, JRC = 0.05, 10.0, 2.55


class Sky(NamedTuple):
    """How clouds are."""

    shares: tuple[float, float]
    """Beta distribution of the share of cloud of a pass."""
    slope: float
    """Amplitude falls with the wavenumber to this power."""


class Region(NamedTuple):
    """Tiles and passes."""

    columns: int
    rows: int
    passes: int
    """Of each orbit."""
    scenes: int
    """The newest so many are candidates."""


SKIES = {"broken": Sky((1.6, 1.0), 1.1), "fronts": Sky((1.3, 0.9), 1.3)}
REGIONS = {"300": Region(3, 2, 16, 300), "10000": Region(10, 6, 60, 10_000)}


def fields(height: int, width: int, slope: float, rng: np.random.Generator) -> Callable[[], NDArray[np.float64]]:
    """A source of random fields with this spectrum, mean 0 and deviation 1."""
    wave = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    amplitude = np.maximum(wave, 1 / 150) ** -slope
    amplitude[0, 0] = 0

    def draw() -> NDArray[np.float64]:
        field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) * amplitude, s=(height, width))
        return np.asarray(field / field.std())

    return draw


def generate(region: Region, sky: Sky, seed: int) -> tuple[list[Candidate], Cover]:
    """Candidates with their cover, newest first."""
    rng = np.random.default_rng(seed)
    height, width = (STRIDE * (count - 1) + SIDE for count in (region.rows, region.columns))
    draw = fields(height, width, sky.slope, rng)
    climate = 0.4 * draw()
    found: list[tuple[Candidate, NDArray[np.int64]]] = []
    for orbit in range(int(np.ceil((width + LEAN * height + SWATH) / SPACING))):
        west = (orbit + 1) * SPACING - SWATH - LEAN * (height - np.arange(height)[:, None])
        swath = (np.arange(width)[None] >= west) & (np.arange(width)[None] < west + SWATH)
        for number in range(region.passes if swath.any() else 0):
            limit = norm.ppf(np.clip(rng.beta(*sky.shares), 1e-3, 1 - 1e-3)) * climate_scale(climate)
            clear = (climate + draw() > limit) & swath
            age, haze = 5 * number + (3 * orbit) % 5, float(rng.beta(1.2, 6))
            found += pass_scenes(region, clear, swath, orbit, age, haze)
    found.sort(key=lambda each: (each[0].age_days, each[0].id))
    found = found[: region.scenes]
    return [each for each, _ in found], Cover.from_rows([row for _, row in found], height * width)


def climate_scale(climate: NDArray[np.float64]) -> float:
    """Deviation of climate and weather together."""
    return float(np.hypot(1, climate.std()))


def pass_scenes(
    region: Region, clear: NDArray[np.bool_], swath: NDArray[np.bool_], orbit: int, age: int, haze: float
) -> list[tuple[Candidate, NDArray[np.int64]]]:
    """The scenes of one pass, cut into tiles."""
    found = []
    for row, column in itertools.product(range(region.rows), range(region.columns)):
        top, left = STRIDE * row, STRIDE * column
        window = slice(top, top + SIDE), slice(left, left + SIDE)
        if swath[window].mean() < 0.02:
            continue
        y, x = np.nonzero(clear[window])
        tile = f"{row:02d}{column:02d}"
        candidate = Candidate(
            id=f"{tile}_R{orbit:03d}_{age:03d}",
            age_days=age,
            haze=haze,
            orbit=orbit,
            day_of_year=(364 - age) % 365 + 1,
            tile=tile,
        )
        found.append((candidate, (y + top) * clear.shape[1] + x + left))
    return found


def one(region: str, sky: str, seed: int, cover: int) -> dict[str, float]:
    """Generate, choose, and say how it went; the kernels are compiled on a small region first."""
    select(*generate(Region(2, 2, 12, 60), SKIES[sky], 0), SelectOptions(exact_limit=0, cover=cover))
    candidates, shown = generate(REGIONS[region], SKIES[sky], seed)
    begun = time.perf_counter()
    found = select(candidates, shown, SelectOptions(cover=cover))
    seconds = time.perf_counter() - begun
    tiles = len({each.tile for each in candidates})
    return {
        "scenes": len(candidates),
        "tiles": tiles,
        "clear": len(shown.indices) / len(candidates) / SIDE**2,
        "never": float(found.never.mean()),
        "chosen": len(found.chosen),
        "a_tile": len(found.chosen) / tiles,
        "tail": found.tail,
        "cost": found.cost,
        "bound": found.bound,
        "gap": found.gap,
        "exact": found.exact,
        "seconds": seconds,
    }


def rows(regions: list[str], seeds: int) -> list[tuple[list[object], bool]]:
    """A line of the table for each case, and whether it met its targets."""
    lines = []
    for region, sky, cover, seed in itertools.product(regions, SKIES, (1, 3), range(seeds)):
        command = [sys.executable, __file__, "--one", f"{region},{sky},{seed},{cover}"]
        run = measure.run(command)
        facts = json.loads(run.output.splitlines()[-1])
        met = cover > 1 or (facts["gap"] <= GAP and facts["seconds"] < SECONDS)
        verdict = None if cover > 1 else "met" if met else "missed"
        head: list[object] = [f"{region} {sky}", cover, seed, facts["tiles"], f"{facts['clear']:.0%}"]
        gap = "0, exact" if facts["exact"] else f"{facts['gap']:.2%}"
        middle = [f"{facts['never']:.2%}", facts["chosen"], facts["tail"], facts["a_tile"], facts["cost"], gap]
        lines.append(([*head, *middle, facts["seconds"], f"{run.pss / 1e6:.0f}", verdict], met))
    return lines


def main() -> int:
    """All cases, each in a process of its own; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="generated regions of each kind (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one region of each kind")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        region, sky, seed, cover = options.one.split(",")
        print(json.dumps(one(region, sky, int(seed), int(cover))))
        return 0
    lines = rows(list(REGIONS), 1 if options.quick else options.seeds)
    head = ["candidates", "cover", "seed", "tiles", "clear", "never", "chosen", "optional", "a tile", "cost", "gap"]
    table("Scene lists", [*head, "s", "peak MB, with making them", "target"], [line for line, _ in lines])
    print(f"\nJRC's global list: {JRC} scenes a tile from 34. Targets: gap at most {GAP:.0%}, below {SECONDS:.0f} s.")
    good = all(met for _, met in lines)
    print("met" if good else "missed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
