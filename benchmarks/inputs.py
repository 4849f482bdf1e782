"""Inputs of the benchmarks: pairs of generated products of one tile, made once and kept in a folder.

python benchmarks/inputs.py [--data DIR] [--sizes 10980,5490,2745] [--workers 2]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from groundshift.testing.safe import write_safe
from groundshift.testing.scenes import DateOptions, PairOptions, SceneOptions, pair

BANDS = ("B02", "B03", "B04", "B08")
FULL = 10980
SIZES = (FULL, 5490, 2748)
"""Rows and columns at 10 m: a tile, a quarter and a sixteenth of its area (2748 for 2745: a multiple of 6)."""
DATES = (datetime(2023, 6, 10, 0, 2, 41, 24_000, tzinfo=UTC), datetime(2023, 6, 20, 0, 2, 41, 24_000, tzinfo=UTC))
_SEED = 2


def default_folder() -> Path:
    """Where the inputs are kept unless the user says otherwise."""
    return Path(tempfile.gettempdir()) / "groundshift-benchmarks"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that all benchmarks share."""
    parser.add_argument("--data", type=Path, default=default_folder(), help="folder of the inputs (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")


def products(folder: Path, size: int, workers: int = 2) -> tuple[Path, Path]:
    """The pair of SAFE folders of that size; made on the first call (a full tile takes minutes).

    Baseline 05.00 both, B02, B03, B04, B08 at 10 m and SCL, lossless; 1.5 % of the area changed, clouds, a swath edge.
    """
    before = DateOptions(cloud_share=0.06, nodata_share=0.05, sun_zenith_deg=42.0, sun_azimuth_deg=48.0)
    after = DateOptions(
        gain=1.05, offset=0.004, haze=0.002, season=0.01, cloud_share=0.1, sun_zenith_deg=43.0, sun_azimuth_deg=46.0
    )
    drawn = pair(
        PairOptions(scene=SceneOptions(seed=_SEED, shape=(size, size)), before=before, after=after, changed=0.015)
    )
    target = folder / str(size)
    found = []
    for scene, moment in zip((drawn.before, drawn.after), DATES, strict=True):
        there = sorted(target.glob(f"S2A_MSIL2A_{moment:%Y%m%dT%H%M%S}_*.SAFE"))
        found += there[:1] or [
            write_safe(scene, target, sensing_time=moment, baseline=(5, 0), bands=BANDS, workers=workers)
        ]
    return found[0], found[1]


def item(folder: Path, moment: datetime, baseline: tuple[int, int], assets: Mapping[str, tuple[str, str]]) -> Path:
    """Write a STAC item of the tile.

    Args:
        folder: where to.
        moment: of sensing.
        baseline: of processing, (5, 9).
        assets: address and media type, by band.
    """
    number, when = f"{baseline[0]:02d}{baseline[1]:02d}", f"{moment:%Y%m%dT%H%M%S}"
    name = f"S2A_MSIL2A_{when}_N{number}_R030_T56HKH_{when}"
    content = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": None,
        "properties": {
            "datetime": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "s2:product_uri": f"{name}.SAFE",
            "s2:processing_baseline": f"{baseline[0]:02d}.{baseline[1]:02d}",
            "grid:code": "MGRS-56HKH",
        },
        "assets": {band: {"href": href, "type": media} for band, (href, media) in assets.items()},
        "links": [],
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def zipped(folders: Sequence[Path]) -> list[Path]:
    """The same products as archives beside them, with stored members."""
    archives = []
    for folder in folders:
        archive = folder.with_suffix(".zip")
        if not archive.exists():
            partial = folder.with_suffix(".zip.part")
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as target:
                for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                    target.write(path, path.relative_to(folder.parent))
            partial.rename(archive)
        archives.append(archive)
    return archives


def images(product: Path) -> list[Path]:
    """The image files that the main job reads of a product: bands, then SCL."""
    found = [path for name in BANDS for path in product.glob(f"GRANULE/*/IMG_DATA/R10m/*_{name}_10m.jp2")]
    return found + list(product.glob("GRANULE/*/IMG_DATA/R20m/*_SCL_20m.jp2"))


def main() -> None:
    """Make the inputs and say what they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="rows and columns (%(default)s)")
    options = parser.parse_args()
    for size in map(int, options.sizes.split(",")):
        start = time.perf_counter()
        for product in products(options.data, size, options.workers):
            megabytes = sum(path.stat().st_size for path in images(product)) / 1e6
            print(f"{size:6d}  {product.name}  {megabytes:7.1f} MB of images  {time.perf_counter() - start:6.0f} s")


if __name__ == "__main__":
    main()
