"""Reading a 10 m band through groundshift's reader against decoding it with rasterio, both on one thread.

Both read the whole tile by rows of JPEG 2000 tiles, each band once and in turn, so that nothing is read from a cache;
ours also tells no data and saturation of every pixel. The checksum that it verifies once, before the first use of a
file, is timed apart. The ratio is the median of those of the bands.

    python benchmarks/reading.py [--size 10980] [--data DIR]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import rasterio
from rasterio.windows import Window

import inputs
from groundshift.io.opening import open_scene
from groundshift.model.grid import blocks, crop
from groundshift.model.scene import Reader

ROWS = 1024
TARGET = 1.1


def verified(reader: Reader, band: str) -> float:
    """Seconds to verify the file of a band."""
    start = time.perf_counter()
    for name in reader.files([band]):
        reader.verify(name)
    return time.perf_counter() - start


def plain(file: Path) -> float:
    """Seconds to decode a file by rows of tiles."""
    start = time.perf_counter()
    with rasterio.Env(GDAL_NUM_THREADS="1", GDAL_CACHEMAX=64 * 2**20), rasterio.open(file) as dataset:
        for window in blocks(dataset.shape, ROWS):
            dataset.read(1, window=Window(0, window.y0, dataset.width, window.shape[0]))
    return time.perf_counter() - start


def ours(reader: Reader, band: str) -> float:
    """Seconds to read a band by rows of tiles, on its own grid."""
    start = time.perf_counter()
    geobox = reader.scene.bands[band].geobox
    for window in blocks(tuple(geobox.shape), ROWS):
        reader.read([band], crop(geobox, window))
    return time.perf_counter() - start


def main() -> int:
    """Compare; 1 where reading costs more than the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    inputs.add_options(parser)
    parser.add_argument("--size", type=int, default=inputs.FULL, help="rows and columns (%(default)s)")
    options = parser.parse_args()
    product, _ = inputs.products(options.data, options.size, options.workers)
    reader = open_scene(str(product))
    theirs, mine, checks = [], [], []
    for file, band in zip(inputs.images(product), inputs.BANDS, strict=False):
        checks.append(verified(reader, band))
        theirs.append(plain(file))
        mine.append(ours(reader, band))
        print(
            f"{band} {file.stat().st_size / 1e6:6.1f} MB: rasterio {theirs[-1]:6.2f} s, groundshift {mine[-1]:6.2f} s"
        )
    ratio = statistics.median(b / a for a, b in zip(theirs, mine, strict=True))
    print(f"{options.size} x {options.size}, one thread: {ratio:.2f} times plain decoding")
    print(f"checksum, once a file: {statistics.median(checks) / statistics.median(theirs):.2f} of decoding it")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
