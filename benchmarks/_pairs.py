"""Real pairs of images that the benchmarks measure on, read from ../shared/data beside the repository."""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from scipy import ndimage

from groundshift.clouds import scl
from groundshift.pipelines.job import MaskSection

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BANDS = ("B02", "B03", "B04", "B08")
ALPS_TILES = ("33TWM", "33TWL")
ALPS_DAYS = (10, 13, 15, 18, 20)
ALPS_PIXEL_M = 120.0
_MASK = MaskSection()

Reflectance = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two dates on one grid."""

    name: str
    before: Reflectance
    """(band, y, x)"""
    after: Reflectance
    valid: Mask
    """(y, x) usable at both dates."""
    pixel_m: float

    @property
    def masked_share(self) -> float:
        """Share of 255: pixels that are not usable at one of the dates."""
        return 1 - float(self.valid.mean())


@dataclass(frozen=True, eq=False)
class Date:
    """One image."""

    reflectance: Reflectance
    valid: Mask
    classes: NDArray[np.uint8]
    """(y, x) scene classification on the grid of the bands."""


def need(*folders: str) -> None:
    """End the script with a sentence where data is absent."""
    absent = [str(DATA / folder) for folder in folders if not (DATA / folder).is_dir()]
    if absent:
        print(f"skipped: {', '.join(absent)} is not there (real data lies in ../shared/data beside the repository).")
        sys.exit(0)


def clear_pairs(least_usable: float = 0.7) -> list[Pair]:
    """All pairs of the same ground within a week that are clear enough: of the Alps, then of Belgium."""
    return [*alps_pairs(least_usable), *belgium_pairs()]


def alps_pairs(least_usable: float = 0.7) -> list[Pair]:
    """Pairs of dates of both tiles (120 m) of which that share of the pixels seen at both dates is usable."""
    found = []
    for tile in ALPS_TILES:
        for one, other in combinations(ALPS_DAYS, 2):
            before, after = alps(tile, one), alps(tile, other)
            seen = (before.reflectance > 0).all(axis=0) & (after.reflectance > 0).all(axis=0)
            valid = before.valid & after.valid
            if valid.sum() >= least_usable * seen.sum():
                name = f"alps {tile} {one}/{other}"
                found.append(Pair(name, before.reflectance, after.reflectance, valid, ALPS_PIXEL_M))
    return found


@cache
def alps(tile: str, day: int) -> Date:
    """One date of alps-2023; B02, B03, B04, B08 averaged to 120 m, the offset already taken off."""
    folder = next((DATA / "alps-2023" / "sentinel-2-l2a").glob(f"S2?_{tile}_202308{day}_0_L2A"))
    numbers = np.stack([_read(folder / f"{band}.tif")[0] for band in BANDS])
    classes = _read(folder / "SCL.tif")[0]
    return Date(numbers / np.float32(1e4), _usable(classes, ALPS_PIXEL_M) & (numbers > 0).all(axis=0), classes)


def belgium_pairs(most_days: int = 5) -> list[Pair]:
    """Pairs of clear dates of the series (64 x 64 at 10 m) at most that many days apart.

    Clear: at least 85 % of the pixels usable before clouds are grown and 60 % after; no haze: median blue below 0.10
    and at most 35 % unclassified (thin cloud makes them; low sun a quarter); no snow.
    """
    series = [(date, image) for date, image in belgium() if _is_clear(image)]
    found = []
    for (one, before), (other, after) in combinations(series, 2):
        if other - one <= timedelta(days=most_days):
            name = f"belgium {one:%y-%m-%d}/{other:%m-%d}"
            found.append(Pair(name, before.reflectance, after.reflectance, before.valid & after.valid, 10.0))
    return found


def _is_clear(image: Date) -> bool:
    usable = ~np.isin(image.classes, _MASK.classes)
    hazy = np.median(image.reflectance[0]) >= 0.10 or (image.classes == 7).mean() > 0.35
    return bool(
        usable.mean() >= 0.85 and image.valid.mean() >= 0.6 and not hazy and (image.classes == 11).mean() < 0.01
    )


@cache
def belgium() -> list[tuple[datetime, Date]]:
    """All 118 dates of the series."""
    folder = DATA / "belgium-series" / "00002806639B424A"
    fine, coarse = (next(folder.glob(f"S2_L2A_{size}_*.nc")) for size in ("10m", "20m"))
    numbers = np.stack([_read(f"netcdf:{fine}:{band}") for band in BANDS], axis=1)
    classes = _read(f"netcdf:{coarse}:SCL").repeat(2, axis=1).repeat(2, axis=2).astype(np.uint8)
    return [
        (date, Date(number / np.float32(1e4), _usable(code, 10.0) & (number > 0).all(axis=0), code))
        for date, number, code in zip(_dates(f"netcdf:{fine}:{BANDS[0]}"), numbers, classes, strict=True)
    ]


def _dates(name: str) -> list[datetime]:
    with _open(name) as source:
        tags = source.tags()
    start = datetime.fromisoformat(tags["timestamp#units"].removeprefix("seconds since "))
    seconds = re.findall(r"\d+", tags["NETCDF_DIM_timestamp_VALUES"])
    return [start + timedelta(seconds=int(each)) for each in seconds]


def bushfire() -> Pair:
    """Before and after a fire in Australia (358 x 520, about 10 m): B02, B03, B04, B08, all pixels that have data."""
    folder = DATA / "bushfire-2018-2019"
    dates = [
        np.stack([_read(folder / f"{date}_{band}.tiff") for band in BANDS]) for date in ("2018-12-01", "2019-01-05")
    ]
    before, after = (stored[:, 0] / np.float32(65535) for stored in dates)
    valid = np.logical_and(*((stored[:, 1] > 0).all(axis=0) for stored in dates))
    return Pair("bushfire 2018-12-01/2019-01-05", before, after, valid, 10.0)


def burnt(pair: Pair) -> Mask:
    """The burn derived from the pair itself, not a label: NIR fell below 0.62 of what it was over more than 300 pixels.

    The ratio goes through a 5 x 5 median, the mask is closed by two pixels. B08 is one of the bands that are compared,
    so this flatters every method alike.
    """
    ratio = ndimage.median_filter(pair.after[3] / np.maximum(pair.before[3], 0.01), 5)
    mask = ndimage.binary_closing((ratio < 0.62) & pair.valid, iterations=2)
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes > 300)[labels] & pair.valid)


def bercy() -> tuple[Pair, Mask]:
    """Bercy (Paris) 2016-11-30 and 2017-08-29 of OSCD, Level-1C, with the labels of urban change."""
    folder = DATA / "oscd-bercy"
    before, after = (
        np.stack([_read(folder / name / f"{band}.tif")[0] for band in BANDS]) / np.float32(1e4)
        for name in ("imgs_1_rect", "imgs_2_rect")
    )
    valid = (before > 0).all(axis=0) & (after > 0).all(axis=0)
    return Pair("oscd-bercy", before, after, valid, 10.0), _read(folder / "cm" / "bercy-cm.tif")[0] == 2


def cover_pixels() -> Reflectance:
    """(n, band) real pixels of many grounds: both tiles of the Alps, the lagoon of Aquileia, the Australian forest."""
    found = [alps(tile, 15).reflectance[:, alps(tile, 15).valid][:, ::50] for tile in ALPS_TILES]
    folder = DATA / "aquileia-2019"
    lagoon = np.stack([_read(folder / f"2019-04-16_{band}.tiff")[0] for band in BANDS]) / np.float32(65535)
    fire = bushfire()
    found += [lagoon.reshape(4, -1)[:, ::50], fire.before[:, fire.valid][:, ::30], fire.after[:, fire.valid][:, ::30]]
    pixels = np.concatenate(found, axis=1).T
    return np.asarray(pixels[(pixels > 0).all(axis=1)])


def _usable(classes: NDArray[np.uint8], pixel_m: float) -> Mask:
    return scl.usable(classes, _MASK.classes, _MASK.cloud_dilation_m / pixel_m, _MASK.shadow_dilation_m / pixel_m)


def _read(path: Path | str) -> NDArray[np.uint16]:
    with _open(path) as source:
        stored: NDArray[np.uint16] = source.read()
    return stored


def _open(path: Path | str) -> rasterio.DatasetReader:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path)
