"""The demo pair: two products over the Hawkesbury near Sydney, a river in flood and a felled wood between them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from groundshift.testing.safe import write_safe
from groundshift.testing.scenes import DateOptions, PairOptions, SceneOptions, SyntheticPair, SyntheticScene, pair
from groundshift.testing.spectra import Change

TILE = "56HKH"
DATES = (
    datetime(2021, 3, 15, 0, 2, 41, 24_000, tzinfo=UTC),
    datetime(2021, 3, 25, 0, 2, 41, 24_000, tzinfo=UTC),
)
CORNER = (279_480.0, 6_292_600.0)
"""(x, y) of the upper-left corner in EPSG:32756: the north-west of the demo area, 150.63 E 33.48 S."""
SHAPE = (2406, 3030)
"""(rows, columns) at 10 m: down to 33.70 S, and eastward to 150.95 E where the tile ends."""
BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
SEED = 11
_QUALITY = 12.0
"""Percent of the uncompressed size: the lossless product would be five times as large, for the same pictures."""


def demo_pair() -> SyntheticPair:
    """The two scenes behind the demo products, for whoever wants their truth."""
    return pair(
        PairOptions(
            scene=SceneOptions(seed=SEED, shape=SHAPE, texture=0.6, noise=0.0022, noise_range_px=1.5),
            before=DateOptions(cloud_share=0.008, sun_zenith_deg=41.2, sun_azimuth_deg=47.9),
            after=DateOptions(
                gain=1.04,
                offset=0.003,
                haze=0.001,
                season=0.01,
                cloud_share=0.015,
                sun_zenith_deg=44.1,
                sun_azimuth_deg=43.8,
            ),
            changed=0.004,
            kinds=(Change.CLEAR_CUT,),
            flood_height=1.6,
        )
    )


def write_demo_products(folder: str | os.PathLike[str], workers: int = 2) -> tuple[Path, Path]:
    """Write the demo pair as two SAFE archives under real names (tile 56HKH, S2A, orbit 30, baseline 02.14).

    Args:
        folder: where the archives go; products of an earlier call are kept.
        workers: processes.

    Returns:
        Paths of the archive before and after the flood.
    """
    scenes, paths = demo_pair(), []
    for scene, time in zip((scenes.before, scenes.after), DATES, strict=True):
        paths.append(_write(scene, Path(folder), time, workers))
    return paths[0], paths[1]


def _write(scene: SyntheticScene, folder: Path, time: datetime, workers: int) -> Path:
    there = sorted(folder.glob(f"S2A_MSIL2A_{time:%Y%m%dT%H%M%S}_N0214_R030_T{TILE}_*.zip"))
    if there:
        return there[0]
    return write_safe(
        scene,
        folder,
        tile=TILE,
        sensing_time=time,
        platform="S2A",
        relative_orbit=30,
        baseline=(2, 14),
        zip="stored",
        corner=CORNER,
        bands=BANDS,
        checksum="MD5",
        quality=_QUALITY,
        workers=workers,
    )
