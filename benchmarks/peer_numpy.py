"""The main job against change vector analysis on whole arrays in numpy, on the same pair of four-band GeoTIFFs.

The peer is what one writes in an hour: read everything, mean and standard deviation of the differences, chi-squared.
Target: faster, with at most half the memory.

    python benchmarks/peer_numpy.py [--size 10980] [--runs 2] [--data DIR] [--workers 2]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from scipy import stats

import measure
import peers

CONFIDENCE = 0.9999


def detect(before: str, after: str, target: str) -> None:
    """Write (amplitude, change) of two rasters, all in memory."""
    with rasterio.open(before) as first, rasterio.open(after) as second:
        profile = first.profile
        old, new = first.read().astype(np.float32), second.read().astype(np.float32)
    valid = (old > 0).all(axis=0) & (new > 0).all(axis=0)
    difference = (new - old) / np.float32(10000)
    mean = difference.mean(axis=(1, 2), where=valid)
    deviation = difference.std(axis=(1, 2), where=valid)
    square = (((difference - mean[:, None, None]) / deviation[:, None, None]) ** 2).sum(axis=0)
    changed = (square > stats.chi2.ppf(CONFIDENCE, len(mean))) & valid
    with rasterio.open(target, "w", **(profile | {"count": 2, "dtype": "float32"})) as result:
        result.write(np.where(valid, np.sqrt(square), np.nan).astype(np.float32), 1)
        result.write(changed.astype(np.float32), 2)
    print(f"{changed.sum() / valid.sum():.4%} changed")


def main() -> int:
    """Compare; 1 where a target is missed."""
    if sys.argv[1:2] == ["--detect"]:
        detect(*sys.argv[2:5])
        return 0
    options = peers.options(__doc__ or "")
    pair = peers.rasters(options.data, options.size, options.workers)
    with tempfile.TemporaryDirectory(prefix="peer-", dir=options.data) as scratch:
        target = Path(scratch) / "cva.tif"
        command = [sys.executable, __file__, "--detect", *map(str, (*pair, target))]
        theirs, ours = peers.alternate(command, pair, Path(scratch), options)
    return peers.verdict("numpy, whole arrays", theirs, ours)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except measure.CommandError as error:
        sys.exit(str(error))
