"""Plain decoding: every raster given, all its bands, by rows of its tiles in N processes, pixels thrown away.

python benchmarks/decoding.py [--workers 2] FILE ...
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path

import rasterio
from rasterio.io import DatasetReader
from rasterio.windows import Window

SETTINGS = {"GDAL_NUM_THREADS": "1", "GDAL_CACHEMAX": 64 * 2**20, "GDAL_PAM_ENABLED": "NO"}


@functools.cache
def _opened(path: str) -> DatasetReader:
    return rasterio.open(path)


def decode(task: tuple[str, int, int]) -> int:
    """Decode rows of one file; returns the number of values."""
    path, top, bottom = task
    with rasterio.Env(**SETTINGS):
        dataset = _opened(path)
        pixels = dataset.read(window=Window(0, top, dataset.width, bottom - top))
    return int(pixels.size)


def tasks(files: Sequence[Path]) -> Iterator[tuple[str, int, int]]:
    """A row of tiles each."""
    for file in files:
        with rasterio.open(file) as dataset:
            step = dataset.block_shapes[0][0]
            for top in range(0, dataset.height, step):
                yield str(file), top, min(top + step, dataset.height)


def main() -> None:
    """Decode and say how much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with multiprocessing.Pool(options.workers) as pool:
        pixels = sum(pool.imap_unordered(decode, list(tasks(options.files))))
        pool.close()
        pool.join()
    print(f"{pixels / 1e6:.1f} million values of {len(options.files)} files")


if __name__ == "__main__":
    main()
