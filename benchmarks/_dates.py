"""Dates of one place: three generated products, and more dates that are the same images on other days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import inputs
from groundshift.testing.safe import write_safe
from groundshift.testing.scenes import DateOptions, PairOptions, SceneOptions, SyntheticScene

FIRST = datetime(2023, 6, 10, 0, 2, 41, 24_000, tzinfo=UTC)
APART = timedelta(days=5)
SKIES = (
    DateOptions(cloud_share=0.06, nodata_share=0.05),
    DateOptions(cloud_share=0.1, gain=1.05, offset=0.004, haze=0.002, season=0.01),
    DateOptions(cloud_share=0.02, gain=0.97),
)


def products(folder: Path, shape: tuple[int, int], workers: int = 2) -> list[Path]:
    """Three dates of an image of so many rows and columns as SAFE folders, changes before the second; made once."""
    target = folder / f"dates-{shape[0]}-{shape[1]}"
    scene = SceneOptions(seed=4, shape=shape)
    changes = PairOptions(scene=scene, before=SKIES[0], after=SKIES[1], changed=0.015)
    found = []
    for k, sky in enumerate(SKIES):
        moment = FIRST + k * APART
        there = sorted(target.glob(f"S2A_MSIL2A_{moment:%Y%m%dT%H%M%S}_*.SAFE"))
        drawn = SyntheticScene(options=scene, date=sky, number=k, pair=changes if k else None)
        found += there[:1] or [
            write_safe(drawn, target, sensing_time=moment, baseline=(5, 0), bands=inputs.BANDS, workers=workers)
        ]
    return found


def items(folder: Path, shape: tuple[int, int], count: int, workers: int = 2) -> list[Path]:
    """So many dates, five days apart, as STAC items that name the images of the three products in turn."""
    drawn = products(folder, shape, workers)
    found = []
    for k in range(count):
        files = inputs.images(drawn[k % len(drawn)])
        assets = {band: (str(path), "image/jp2") for band, path in zip((*inputs.BANDS, "SCL"), files, strict=True)}
        found.append(inputs.item(drawn[0].parent, FIRST + k * APART, (5, 0), assets))
    return found
