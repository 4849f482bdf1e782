"""A land-cover map of a full tile: seconds, pixels a second and memory, which must not follow the height of the tile.

A stack of twenty features of sixteen bits is generated, in compressed tiles of 512 pixels: fields of eight classes, of
which each has a level of its own in every feature, under noise that makes them overlap. LightGBM is trained on a small
one of the same law; then the whole command maps stacks of all the columns and of several heights, under a cap. Beside
it the plain reading of all bands by as many processes. Memory is the peak of all processes together, what they share
counted once.

Targets: below the cap, and at most a tenth more for the whole tile than for a quarter of it.

A full tile takes 5 GB for its stack and about 10 GB of scratch more while it runs; all of it is removed in the end.

    python benchmarks/landcover_full_tile.py [--columns 10980] [--rows 2745,10980] [--memory 2G] [--workers 2]
        [--iterations 100] [--data DIR]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

import groundshift as gs
import measure
from _tables import flat, table
from full_tile import decoding
from groundshift.execution.memory import parse_memory

CORNER = Affine(10, 0, 300_000, 0, -10, 6_300_000)
CRS = "EPSG:32756"
FEATURES, CLASSES, CELL = 20, 8, 30
NOISE = 900
"""Of the noise, beside 600 of the levels of the classes."""
TILE = 512
TRAINED = 1024
FLAT = 1.1
"""Memory of the highest stack over that of the lowest, at most."""


def classes(rows: int, columns: int) -> NDArray[np.uint8]:
    """(y, x) square fields of 300 m; a row of fields depends on its number alone."""
    cells = [
        np.random.default_rng([7, row]).integers(1, CLASSES + 1, -(-columns // CELL)) for row in range(-(-rows // CELL))
    ]
    return np.kron(np.array(cells, np.uint8), np.ones((CELL, CELL), np.uint8))[:rows, :columns]


def stack(path: Path, rows: int, columns: int, workers: int, seed: int = 1) -> Path:
    """Write a stack as a tiled, compressed GeoTIFF, a row of tiles at a time."""
    levels = np.random.default_rng(3).normal(3000, 600, (FEATURES, CLASSES + 1)).astype(np.int16)
    truth, draw = classes(rows, columns), np.random.default_rng(seed)
    noise = (NOISE * draw.standard_normal((TILE, columns + TILE), np.float32)).astype(np.int16)
    profile = {"driver": "GTiff", "dtype": "int16", "count": FEATURES, "height": rows, "width": columns, "nodata": 0}
    profile |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "zstd", "zstd_level": 1}
    profile |= {"predictor": 2, "bigtiff": "yes", "num_threads": workers, "crs": CRS, "transform": CORNER}
    with rasterio.Env(GDAL_CACHEMAX=512 * 2**20), rasterio.open(path, "w", **profile) as file:
        file.descriptions = tuple(f"F{band:02d}" for band in range(1, FEATURES + 1))
        file.scales = (1e-4,) * FEATURES
        for top in range(0, rows, TILE):
            there = truth[top : top + TILE]
            values = levels[:, there]
            for band in values:
                shift = int(draw.integers(TILE))
                band += noise[: len(there), shift : shift + columns]
            file.write(np.maximum(values, 1), window=Window(0, top, columns, len(there)))
    return path


def trained(folder: Path, iterations: int) -> Path:
    """A model of a small stack and its map of classes."""
    shape = TRAINED, TRAINED
    few = stack(folder / "few.tif", *shape, workers=1, seed=2)
    with rasterio.open(few) as file:
        profile = file.profile | {"count": 1, "dtype": "uint8"}
    with rasterio.open(folder / "truth.tif", "w", **profile) as file:
        file.write(classes(*shape), 1)
    gs.train_landcover(
        None,
        folder / "truth.tif",
        folder / "model",
        model="lightgbm",
        stack=str(few),
        options={"iterations": iterations},
        per_class=400,
        folds=2,
        splits_kind="block",
        block_m=300,
        workers=1,
    )
    return folder / "model"


def command(name: str, *arguments: object) -> list[str]:
    """A command line of land cover."""
    return [sys.executable, "-m", "groundshift", "landcover", name, *map(str, arguments), "--quiet"]


def agreement(folder: Path, rows: int, columns: int) -> float:
    """Share of the map's first rows that is right."""
    with rasterio.open(folder / "classes.tif") as file:
        found = file.read(1, window=((0, min(rows, 1024)), (0, columns)))
    return float((found == classes(len(found), columns)).mean())


def main() -> int:
    """Print the table; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, default=10_980)
    parser.add_argument("--rows", default="2745,10980")
    parser.add_argument("--memory", default="2G")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=100, help="of LightGBM: fewer to look at memory alone")
    parser.add_argument("--data", type=Path, help="folder of what is generated, for the time of the run")
    options = parser.parse_args()
    rows, peaks, columns = [], {}, options.columns
    with tempfile.TemporaryDirectory(prefix="landcover-tile-", dir=options.data) as scratch:
        folder = Path(scratch)
        model = trained(folder, options.iterations)
        for height in map(int, options.rows.split(",")):
            file, out = stack(folder / "stack.tif", height, columns, options.workers), folder / f"map-{height}"
            size = file.stat().st_size
            plain = measure.run(decoding([file], options.workers))
            run = ("--memory", options.memory, "--workers", options.workers)
            whole = measure.run(command("predict", model, "--stack", file, "--out", out, *run))
            stages = json.loads((out / "manifest.json").read_text("utf-8"))["timings_s"]
            file.unlink()
            peaks[height] = whole.pss
            mpx, right = height * columns / 1e6, agreement(out, height, columns)
            ratio = whole.wall_s / plain.wall_s
            rows.append([height, size / 1e9, plain.wall_s, whole.wall_s, whole.cpu_s, mpx / whole.wall_s, ratio])
            rows[-1] += [whole.pss / 1e9, whole.anonymous / 1e9, 100 * right]
            print(f"{height}: {', '.join(f'{name} {seconds:.1f} s' for name, seconds in stages.items())}", flush=True)
    head = ["rows", "GB", "reading s", "map s", "CPU s", "Mpx/s", "x reading", "memory GB", "anonymous", "right %"]
    table(f"Land cover of {columns} columns, {FEATURES} features, {CLASSES} classes", head, rows)
    return int(not flat(peaks, parse_memory(options.memory), FLAT))


if __name__ == "__main__":
    sys.exit(main())
