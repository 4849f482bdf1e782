"""Memory and time of a mosaic of 8, 16 and 34 scenes of one tile under a cap: memory must not follow their number.

Scenes are generated COGs of four bands and a scene classification. Three are drawn, of other clouds and other colours;
the rest are STAC items of other dates that name the same files, so that each is read and kept as a scene of its own.
Memory is the peak of all processes together, what they share counted once. Targets: below the cap, and no more than a
quarter higher with most scenes than with fewest: blocks come in a few sizes, and fill what they may take more or less.

A full tile with 34 scenes needs about 45 GB of disk while it runs, and its inputs are made in minutes.

    python benchmarks/mosaic_memory.py [--size 2748] [--scenes 8,16,34] [--methods median,best] [--memory 2G]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

import inputs
import measure
from _tables import table
from groundshift.execution.memory import parse_memory
from groundshift.io import cog
from groundshift.io.cog import BandTag
from groundshift.io.planes import Planes
from groundshift.model.grid import Window, blocks
from groundshift.testing.scenes import DateOptions, SceneOptions, SyntheticScene

BANDS = ("B02", "B03", "B04", "B08")
CORNER = 300_000.0, 6_300_000.0
CRS = "EPSG:32756"
LAST = datetime(2023, 6, 20, 0, 2, 41, tzinfo=UTC)
APART = timedelta(days=5)
SKIES = (
    DateOptions(cloud_share=0.25),
    DateOptions(cloud_share=0.4, gain=1.04, offset=0.004, season=0.01),
    DateOptions(cloud_share=0.1, gain=0.97, haze=0.004),
)
ROWS = 512
FLAT = 1.25
"""Memory with most scenes over that with fewest, at most."""


def draw(number: int, size: int, folder: Path, rows: tuple[int, int]) -> None:
    """Some rows of one scene to planes: (bands), then the classes at 20 m."""
    scene = SyntheticScene(options=SceneOptions(seed=8, shape=(size, size)), date=SKIES[number], number=number)
    window = Window(*rows, 0, size)
    seen = scene.reflectance(window, BANDS)
    stored = np.where(np.isfinite(seen), np.clip(np.rint(seen * 1e4) + 1000, 1, 65535), 0)
    Planes.open(folder / f"{number}.bin").write(window, stored.astype(np.uint16))
    half = Window(rows[0] // 2, rows[1] // 2, 0, size // 2)
    Planes.open(folder / f"{number}-scl.bin").write(half, scene.scl(half), 0)


def base_scene(number: int, size: int, folder: Path, workers: int) -> dict[str, Path]:
    """The COGs of one drawn scene, one a band and one of the classes; made on the first call."""
    found = {name: folder / f"{number}-{name}.tif" for name in (*BANDS, "SCL")}
    if all(path.exists() for path in found.values()):
        return found
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        planes = Planes.create(scratch / f"{number}.bin", (len(BANDS), size, size), "uint16")
        classes = Planes.create(scratch / f"{number}-scl.bin", (1, size // 2, size // 2), "uint8")
        with ProcessPoolExecutor(workers) as pool:
            parts = [(window.y0, window.y1) for window in blocks((size, size), ROWS)]
            list(pool.map(partial(draw, number, size, scratch), parts))
        grids = {step: GeoBox((size * 10 // step,) * 2, Affine(step, 0, CORNER[0], 0, -step, CORNER[1]), CRS)
                 for step in (10, 20)}  # fmt: skip
        for k, band in enumerate(BANDS):
            single = Planes.create(scratch / f"{band}.bin", (1, size, size), "uint16")
            for window in blocks((size, size), ROWS):
                single.write(window, planes.read(window, k), 0)
            cog.export(single, grids[10], found[band], bands=[BandTag(band)], nodata=0, overview="average")
            single.delete()
        cog.export(classes, grids[20], found["SCL"], bands=[BandTag("SCL")], nodata=0, overview="nearest")
    return found


def items(size: int, count: int, folder: Path, workers: int) -> list[Path]:
    """STAC items of that many scenes, five days apart."""
    target = folder / f"mosaic-{size}"
    target.mkdir(parents=True, exist_ok=True)
    base = [base_scene(number, size, target, workers) for number in range(len(SKIES))]
    found = []
    for i in range(count):
        assets = {band: (path.name, "image/tiff") for band, path in base[i % len(base)].items()}
        found.append(inputs.item(target, LAST - i * APART, (5, 9), assets))
    return found


def main() -> int:
    """Measure every number of scenes with every method; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    inputs.add_options(parser)
    parser.add_argument("--size", type=int, default=2748, help="rows and columns of a scene (%(default)s)")
    parser.add_argument("--scenes", default="8,16,34", help="how many (%(default)s)")
    parser.add_argument("--methods", default="median,best", help="of the mosaic (%(default)s)")
    parser.add_argument("--memory", default="2G", help="the cap (%(default)s)")
    parser.add_argument("--make", action="store_true", help="only make the inputs")
    options = parser.parse_args()
    cap = parse_memory(options.memory)
    counts = sorted(map(int, options.scenes.split(",")))
    start = time.perf_counter()
    scenes = items(options.size, counts[-1], options.data, options.workers)
    print(f"inputs: {time.perf_counter() - start:.0f} s", flush=True)
    if options.make:
        return 0
    rows: list[list[object]] = []
    good = True
    for method in options.methods.split(","):
        peaks = []
        for count in counts:
            with tempfile.TemporaryDirectory(prefix="mosaic-", dir=options.data) as name:
                out = Path(name) / "out"
                command = [sys.executable, "-m", "groundshift", "mosaic", *map(str, scenes[:count]), "--quiet"]
                command += ["--outdir", str(out), "--method", method, "--memory", options.memory]
                found = measure.run([*command, "--workers", str(options.workers)])
                stages = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["timings_s"]
                shutil.rmtree(out)
            peaks.append(found.pss)
            parts = ", ".join(f"{stage} {stages[stage]:.0f}" for stage in ("read", "fit", "compose", "write"))
            speed = count * options.size**2 / found.wall_s / 1e6
            rows.append([method, count, f"{found.pss / 1e6:.0f}", f"{found.anonymous / 1e6:.0f}",
                         f"{found.wall_s:.0f}", parts, f"{speed:.1f}"])  # fmt: skip
            print(*rows[-1], flush=True)
        good &= max(peaks) < cap and peaks[-1] <= FLAT * peaks[0]
    head = ["method", "scenes", "peak MB", "of it anonymous", "s", "by stage", "Mpx/s of scenes"]
    table(f"Mosaic of {options.size} x {options.size} x {len(BANDS)}, {options.workers} workers", head, rows)
    print(f"\nbelow {options.memory}, at most {FLAT} times as much with {counts[-1]} as with {counts[0]}: ", end="")
    print("met" if good else "missed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
