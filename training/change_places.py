"""Cuts the places that the change network learns from and those that its training is stopped by out of ../shared/data.

    python training/change_places.py --out places        places/train/*.npz and places/held-out/*.npz

They go to `groundshift models train change places/train --held-out places/held-out --outdir NET`. What the benchmarks
measure on is not among them: tile 33TWM, Aquileia, the bushfire, OSCD.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
from scipy import ndimage

from ground import BANDS as ALL_BANDS
from ground import Image, Source, brazil, read, saxony, sicily, slovenia
from groundshift.testing.scenes import SceneOptions
from groundshift.testing.year import SyntheticYear, YearOptions
from groundshift.training.places import BANDS, Place, save
from real import alps, t29unu

_INDEX = [ALL_BANDS.index(name) for name in BANDS]
ALPS_SPLIT = 700
"""Column of 33TWL from which on it is held out."""
BELGIUM_SPLIT = 88
"""First date of June 2018."""
_NO_MONTH = 32769
DRAWN_DAYS = (97, 102, 138, 143, 180, 185, 215, 220, 258, 263)


def place(name: str, images: list[Image], clear: list[Image], days: list[float], weight: float) -> Place:
    """Of 13-band images; bands that are zero throughout are absent."""
    cube = np.stack(images)[:, _INDEX]
    there = cube.reshape(len(cube), len(BANDS), -1).any(axis=(0, 2))
    names = tuple(name for name, here in zip(BANDS, there, strict=True) if here)
    finite = np.nan_to_num(np.clip(cube[:, there], 0, 1.6), nan=0.0).astype(np.float32)
    mask = np.stack(clear).astype(bool) & (finite > 0).any(axis=1)
    return Place(name=name, bands=names, images=finite, clear=mask, days=np.array(days, float), weight=weight)


def of(source: Source, weight: float) -> Place:
    """One date."""
    name = f"{source.name.replace(' ', '-')}-{source.reflectance.shape[1]}"
    return place(name, [source.reflectance], [source.clear], [0], weight)


def alpine(data: Path, columns: slice, name: str, weight: float) -> Place:
    """Four dates of 33TWL at 120 m."""
    images, clear, days = [], [], (13, 15, 18, 20)
    for day in days:
        image, valid, scl, probability = alps(data, "33TWL", day)
        cloudy = ndimage.binary_dilation(np.isin(scl, (0, 1, 3, 8, 9, 10)) | (probability > 40), iterations=2)
        images.append(image[:, :, columns])
        clear.append((valid & ~cloudy)[:, columns])
    return place(name, images, clear, list(days), weight)


def ireland(data: Path) -> Place:
    """T29UNU at 60 m, far from its clouds."""
    image, valid, scl, _ = t29unu(data)
    cloudy = ndimage.binary_dilation(np.isin(scl, (0, 1, 3, 8, 9, 10)), iterations=3) | (image[1] > 0.12)
    return place("ireland", [image], [valid & ~cloudy], [0], 1.0)


def belgium(data: Path, dates: slice, name: str, weight: float) -> Place:
    """Clear dates of the series."""
    folder = data / "belgium-series" / "00002806639B424A"
    fine, coarse = (next(folder.glob(f"S2_L2A_{size}_*.nc")) for size in ("10m", "20m"))
    images = np.zeros((118, 13, 64, 64), np.float32)
    for band in BANDS:
        is_fine = band in ("B02", "B03", "B04", "B08")
        stored = read(f"netcdf:{fine if is_fine else coarse}:{band}", None) * np.float32(1e-4)
        images[:, ALL_BANDS.index(band)] = stored if is_fine else stored.repeat(2, 1).repeat(2, 2)
    classes = read(f"netcdf:{coarse}:SCL", None).astype(np.uint8).repeat(2, 1).repeat(2, 2)
    days = _belgian_days(f"netcdf:{fine}:B02")
    usable = ~ndimage.binary_dilation(np.isin(classes, (0, 1, 3, 8, 9, 10)), np.ones((1, 3, 3), bool), iterations=2) & (
        images[:, _INDEX] > 0
    ).all(axis=1)
    good = [
        k for k in range(118)[dates]
        if usable[k].mean() > 0.7 and np.median(images[k, 1]) < 0.1 and (classes[k] == 11).mean() < 0.01
    ]  # fmt: skip
    return place(name, [images[k] for k in good], [usable[k] for k in good], [days[k] for k in good], weight)


def belgian_year(data: Path, weight: float) -> Place:
    """Monthly composites of another patch: dates of different seasons only."""
    names = [name for name in BANDS if name != "B8A"]
    file = data / "belgium-series" / "worldcereal_preprocessed_inputs.nc"
    stored = np.stack([read(f"netcdf:{file}:S2-L2A-{name}", None) for name in names], axis=1)
    good = [k for k, month in enumerate(stored) if (month < _NO_MONTH).all()]
    images = np.zeros((len(good), 13, *stored.shape[2:]), np.float32)
    images[:, [ALL_BANDS.index(name) for name in names]] = stored[good] * np.float32(1e-4)
    days = [30.0 * k for k in good]
    return place("belgium-year", list(images), list(np.ones((len(good), *stored.shape[2:]))), days, weight)


def _belgian_days(name: str) -> list[float]:
    import re

    import rasterio

    with rasterio.open(name) as source:
        values = source.tags()["NETCDF_DIM_timestamp_VALUES"]
    return [int(each) / 86400 for each in re.findall(r"\d+", values)]


def raster_folder(data: Path, folder: str, day: str, weight: float) -> Place:
    """Twelve files of two bands: value with 65535 = 1, and data mask."""
    image, shape = np.zeros((13, *read(next((data / folder).glob(f"{day}_B02*"))).shape), np.float32), None
    for name in BANDS:
        image[ALL_BANDS.index(name)] = read(data / folder / f"{day}_{name}.tiff") / 65535
    shape = image.shape[1:]
    return place(folder, [image], [np.ones(shape, bool)], [0], weight)


def amazon(data: Path) -> Place:
    """Twelve bands; the product's offset of +0.1 is still in them."""
    stored = read(data / "amazon-polygons" / "sen2.tif", None)
    scale = 1e-4 if stored.max() > 2 else 1.0
    image = np.zeros((13, *stored.shape[1:]), np.float32)
    image[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12]] = stored * scale - (0.1 if stored.min() * scale > 0.05 else 0)
    return place("amazon", [image], [np.isfinite(stored).all(axis=0)], [0], 0.8)


def drawn(seed: int, size: int, weight: float) -> Place:
    """A landscape of groundshift.testing through a year, pairs of days five days apart."""
    scene = SceneOptions(seed=seed, shape=(size, size), noise=0.005)
    sand, late = (seed % 3) / 3, 15.0 * (seed % 4) - 20
    year = SyntheticYear(options=YearOptions(scene=scene, cloudiness=0.0, sand=sand, delay_days=late))
    days = [date.fromordinal(date(2021, 1, 1).toordinal() + k) for k in DRAWN_DAYS]
    cube = np.asarray(year.series(bands=BANDS, days=days))
    images = np.zeros((len(days), 13, size, size), np.float32)
    images[:, _INDEX] = cube
    return place(f"drawn-{seed}", list(images), list(np.isfinite(cube).all(axis=1)), list(DRAWN_DAYS), weight)


def training_places(data: Path) -> Iterator[Place]:
    """What the shipped weights learnt from, and since then a year of Belgium."""
    yield alpine(data, slice(0, ALPS_SPLIT), "alps", 3.0)
    yield ireland(data)
    yield from (of(one, 0.8) for one in saxony(data)[::2])
    yield from (of(one, 1.0) for one in sicily(data))
    yield raster_folder(data, "sundarbans-2020", "2020-01-27", 1.2)
    yield amazon(data)
    scenes = slovenia(data)
    yield place("slovenia", [one.reflectance for one in scenes], [one.clear for one in scenes], [0, 5, 60], 0.4)
    yield belgium(data, slice(0, BELGIUM_SPLIT), "belgium", 1.2)
    yield belgian_year(data, 1.5)
    for seed in (301, 302, 303):
        yield drawn(seed, 252, 0.8)


def held_out_places(data: Path) -> Iterator[Place]:
    """What training is stopped by, and probabilities are calibrated on."""
    yield alpine(data, slice(ALPS_SPLIT, 915), "alps-east", 2.0)
    yield of(brazil(data)[0], 0.5)
    yield from (of(one, 0.8) for one in saxony(data)[1:2])
    yield belgium(data, slice(BELGIUM_SPLIT, 118), "belgium-later", 1.2)
    yield drawn(311, 252, 0.8)


def main() -> None:
    """Write both folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    for folder, places in (("train", training_places), ("held-out", held_out_places)):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
        for one in places(options.data):
            save(one, options.out / folder / f"{one.name}.npz")
            print(f"{folder}/{one.name}: {one.images.shape}, {one.clear.mean():.0%} clear, {len(one.pairs)} pairs")


if __name__ == "__main__":
    main()
