"""What the comparisons with peers share: the pair as GeoTIFFs, alternating runs, the verdict."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import rasterio
from rasterio.windows import Window

import inputs
import measure
from full_tile import job, stages
from measure import Measured

BAND_ORDER = "B2,B3,B4,B8"


def options(doc: str) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    inputs.add_options(parser)
    parser.add_argument("--size", type=int, default=inputs.FULL, help="rows and columns (%(default)s)")
    parser.add_argument("--runs", type=int, default=2, help="of each, alternating (%(default)s)")
    return parser.parse_args()


def rasters(folder: Path, size: int, workers: int) -> tuple[Path, Path]:
    """The pair of that size as GeoTIFFs of four bands: uint16, tiles of 512, not compressed, 0 is no data."""
    targets = folder / str(size) / "before.tif", folder / str(size) / "after.tif"
    if not all(target.exists() for target in targets):
        for product, target in zip(inputs.products(folder, size, workers), targets, strict=True):
            _stack(inputs.images(product)[: len(inputs.BANDS)], target)
    return targets


def _stack(files: Sequence[Path], target: Path) -> None:
    """Reflectance x 10000 without the products' offset, so that a peer that knows of none is not misled."""
    partial = target.with_suffix(".part.tif")
    with rasterio.open(files[0]) as first:
        size = {"width": first.width, "height": first.height, "crs": first.crs, "transform": first.transform}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "band"}
    with rasterio.open(
        partial, "w", driver="GTiff", count=len(files), dtype="uint16", nodata=0, **size, **layout
    ) as out:
        for index, file in enumerate(files, 1):
            with rasterio.open(file) as source:
                for top in range(0, source.height, 1024):
                    window = Window(0, top, source.width, min(1024, source.height - top))
                    stored = source.read(1, window=window)
                    stored[stored > 0] = stored[stored > 0].clip(1001) - 1000
                    out.write(stored, index, window=window)
    partial.rename(target)


def alternate(
    peer: Sequence[str], pair: tuple[Path, Path], scratch: Path, asked: argparse.Namespace
) -> tuple[Measured, Measured]:
    """Run the peer and the main job in turn; medians of both."""
    outdir = scratch / "result"
    ours = job(*pair, outdir, asked.workers, "--band-order", BAND_ORDER, "--scale", "10000", "--offset", "0")
    measured = []
    for _ in range(asked.runs):
        shutil.rmtree(outdir, ignore_errors=True)
        measured.append((measure.run(peer), measure.run(ours)))
    print("stages of ours:", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stages(outdir).items()))
    return measure.middle([each for each, _ in measured]), measure.middle([each for _, each in measured])


def verdict(name: str, theirs: Measured, ours: Measured) -> int:
    """Print both and whether ours is faster with at most half the memory; 1 where it is not."""
    print(measure.line(name, theirs))
    print(measure.line("groundshift change", ours, theirs))
    share = ours.pss / theirs.pss
    good = ours.wall_s < theirs.wall_s and share <= 0.5
    print(f"{theirs.wall_s / ours.wall_s:.2f} times as fast, {share:.2f} of its memory: {'met' if good else 'missed'}")
    return 0 if good else 1
