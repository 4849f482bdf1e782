"""Real cloudy scenes, labelled by physics and by the products' own classes, and the shapes of their clouds.

Held out from training: rows 1200 and below of T29UNU, all of tile 33TWM and two dates of 33TWL, Belgium from June 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ground import BANDS, Image, Source, _cut, read, stack
from sky import CLEAR, CLOUD, IGNORE, SHADOW, THIN, Example

T29_ROWS = 1200
ALPS_DAYS = (10, 13, 20)
ALPS_CLEAR = (13,)
ALPS_FIRST_ROW = 90
BELGIUM_DATES = 88
_DISC = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), 3)


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene with labels."""

    name: str
    image: Image
    present: NDArray[np.bool_]
    label: NDArray[np.uint8]
    weight: float

    @cached_property
    def both(self) -> Image:
        """(14, y, x) the image and, last, the labels."""
        return np.concatenate([self.image, self.label[None].astype(np.float32)])


def t29unu(data: Path) -> tuple[Image, NDArray[np.bool_], NDArray[np.uint8], NDArray[np.bool_]]:
    """Reflectance (13, y, x) at 60 m, valid, scene classification, bands present."""
    (folder,) = (data / "safe").glob("S2A*T29UNU*.SAFE/GRANULE/*/IMG_DATA/R60m")
    names = [name for name in BANDS if next(folder.glob(f"*_{name}_60m.jp2"), None)]
    one = stack({name: next(folder.glob(f"*_{name}_60m.jp2")) for name in names}, (1830, 1830), offset=-1000)
    valid = read(next(folder.glob("*_B02_60m.jp2"))) > 0
    one.reflectance[7] = one.reflectance[8]  # B08 has no file at 60 m
    one.present[7] = True
    return one.reflectance, valid, read(next(folder.glob("*_SCL_60m.jp2"))).astype(np.uint8), one.present


def _ireland(data: Path) -> tuple[Scene, Source]:
    image, valid, scl, present = t29unu(data)
    image, valid, scl = image[:, :T29_ROWS], valid[:T29_ROWS], scl[:T29_ROWS]
    label = by_brightness(image, scl, ground=0.04)
    label[ndimage.binary_dilation(~valid, iterations=2)] = IGNORE
    far = ~ndimage.binary_dilation(label != CLEAR, _DISC, iterations=4)
    clean = Source("ireland", image, present, far, 1.5)
    return Scene("ireland", image, present, label, 1.0), clean


def by_brightness(image: Image, scl: NDArray[np.uint8], ground: float) -> NDArray[np.uint8]:
    """Label green country: cloud by what blue adds to dark ground, shadow by the classes and a dark near infrared."""
    blue, nir = image[1], image[7]
    back = (blue - ground) / 0.93
    label = np.full(blue.shape, CLEAR, np.uint8)
    shadow = np.isin(scl, (2, 3)) & (nir < 0.17)
    label[shadow] = SHADOW
    label[np.isin(scl, (2, 3)) & ~shadow] = IGNORE
    label[(back > 0.025) & (scl != 5)] = IGNORE
    label[scl == 7] = IGNORE
    label[np.isin(scl, (8, 9, 10)) & (back <= 0.06)] = IGNORE
    label[(back > 0.06) & np.isin(scl, (7, 8, 9, 10))] = THIN
    label[(back > 0.33) & np.isin(scl, (7, 8, 9, 10))] = CLOUD
    return label


def alps(data: Path, tile: str, day: int) -> tuple[Image, NDArray[np.bool_], NDArray[np.uint8], NDArray[np.uint8]]:
    """Reflectance (13, 915, 915) at 120 m of which four bands are there, valid, classes, cloud probability in %."""
    (folder,) = (data / "alps-2023" / "sentinel-2-l2a").glob(f"S2?_{tile}_202308{day:02d}_0_L2A")
    image = np.zeros((13, 915, 915), np.float32)
    for name in ("B02", "B03", "B04", "B08"):
        image[BANDS.index(name)] = read(folder / f"{name}.tif") * 1e-4
    valid = (image[[1, 2, 3, 7]] > 0).all(axis=0)
    scl = read(folder / "SCL.tif").astype(np.uint8)
    probability = read(next(folder.glob("GRANULE/*/QI_DATA/MSK_CLDPRB_20m.jp2")))
    return image, valid, scl, np.minimum(probability, 100).astype(np.uint8)


def _alpine(data: Path, day: int) -> tuple[Scene, Source | None]:
    image, valid, scl, probability = alps(data, "33TWL", day)
    present = np.zeros(13, bool)
    present[[1, 2, 3, 7]] = True
    label = by_brightness(image, scl, ground=0.05)
    label[(probability < 20) & (label == THIN)] = IGNORE
    label[ndimage.binary_dilation(~valid, iterations=2)] = IGNORE
    label[:ALPS_FIRST_ROW] = IGNORE
    clean = None
    if day in ALPS_CLEAR:
        clear = valid & ~ndimage.binary_dilation(np.isin(scl, (0, 3, 8, 9, 10)), iterations=2)
        clear[:ALPS_FIRST_ROW] = False
        clean = Source("alps", image, present, clear, 1.5)
    return Scene(f"alps {day}", image, present, label, 0.5), clean


def _belgium(data: Path) -> list[Scene]:
    folder = data / "belgium-series" / "00002806639B424A"
    fine, coarse = (next(folder.glob(f"S2_L2A_{size}_*.nc")) for size in ("10m", "20m"))
    image = np.zeros((118, 13, 64, 64), np.float32)
    present = np.zeros(13, bool)
    for name in ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12"):
        source = fine if name in ("B02", "B03", "B04", "B08") else coarse
        stored = read(f"netcdf:{source}:{name}", None) * np.float32(1e-4)
        image[:, BANDS.index(name)] = stored if source is fine else stored.repeat(2, 1).repeat(2, 2)
        present[BANDS.index(name)] = True
    classes = read(f"netcdf:{coarse}:SCL", None).astype(np.uint8).repeat(2, 1).repeat(2, 2)
    found = []
    for date in range(BELGIUM_DATES):
        scl = classes[date]
        blue = image[date, 1]
        if (image[date][present] <= 0).mean() > 0.3 or (scl == 0).any():
            continue
        label = np.full(scl.shape, IGNORE, np.uint8)
        label[np.isin(scl, (4, 5, 6)) & (blue < 0.12)] = CLEAR
        label[(scl == 3) & (blue < 0.1)] = SHADOW
        label[(scl == 10) & (blue > 0.09)] = THIN
        label[np.isin(scl, (8, 9)) & (blue > 0.1)] = THIN
        label[np.isin(scl, (8, 9)) & (blue > 0.36)] = CLOUD
        found.append(Scene("belgium", image[date], present, label, 0.006))
    return found


def textures(scenes: list[Scene]) -> list[Image]:
    """(512, 512) periodic optical thickness of real clouds over dark ground."""
    found = []
    for scene in scenes:
        if scene.name == "belgium":
            continue
        back = np.clip((scene.image[1] - 0.05) / 0.93, 0, 0.93)
        depth = np.where(np.isin(scene.label, (THIN, CLOUD)), back / (1 - back) / 0.13, 0).astype(np.float32)
        rows, columns = depth.shape
        for y in range(0, rows - 256 + 1, 160):
            for x in range(0, columns - 256 + 1, 160):
                cut = depth[y : y + 256, x : x + 256]
                if 0.08 < (cut > 0.5).mean() < 0.9:
                    half = np.concatenate([cut, cut[::-1]])
                    found.append(np.concatenate([half, half[:, ::-1]], axis=1))
    return found


class Real:
    """Draws labelled windows of real scenes."""

    def __init__(self, data: Path) -> None:
        ireland, clean = _ireland(data)
        alpine = [_alpine(data, day) for day in ALPS_DAYS]
        self.scenes = [ireland, *(scene for scene, _ in alpine), *_belgium(data)]
        self.clear = [clean, *(source for _, source in alpine if source is not None)]
        weight = np.array([scene.weight for scene in self.scenes])
        self.chance = weight / weight.sum()
        self.textures = textures(self.scenes)

    def draw(self, rng: np.random.Generator) -> Example:
        """A window with enough labels."""
        for _ in range(30):
            scene = self.scenes[rng.choice(len(self.scenes), p=self.chance)]
            cut, known = _cut(rng, scene.both, scene.label != IGNORE)
            if known.mean() > 0.3:
                break
        image = cut[:13] * np.float32(rng.lognormal(0, 0.08))
        return Example(image, scene.present.copy(), cut[13].astype(np.uint8), 0.6)
