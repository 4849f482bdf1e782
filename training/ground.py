"""Clear ground to throw simulated clouds on: real scenes, real scenes in other colours, and drawn ones.

Every patch has thirteen bands of surface reflectance; bands that a source does not have are zero and told as absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from scipy import ndimage

from groundshift.training.covers import spectrum
from groundshift.training.fields import SIZE, Bank, Image, standard
from groundshift.training.painting import drawn_structure, painted

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")

PATH = np.array([0.105, 0.075, 0.045, 0.028, 0.023, 0.019, 0.016, 0.013, 0.011, 0.008, 0.0, 0.002, 0.001], np.float32)
"""(band) brightness of the air above dark ground, on a mean day."""
PASS = np.array([0.78, 0.82, 0.86, 0.91, 0.92, 0.92, 0.93, 0.93, 0.94, 0.45, 0.6, 0.95, 0.93], np.float32)


@dataclass(frozen=True, eq=False)
class Source:
    """A real scene without clouds."""

    name: str
    reflectance: Image
    """(13, y, x) at the surface; bands that are absent are 0."""
    present: NDArray[np.bool_]
    clear: NDArray[np.bool_]
    """(y, x) True = clear data."""
    weight: float


@dataclass(frozen=True, eq=False)
class Patch:
    """(13, y, x) surface reflectance, bands present, and where snow lies."""

    reflectance: Image
    present: NDArray[np.bool_]
    snow: NDArray[np.bool_]


def read(path: object, band: int | None = 1) -> NDArray[np.float32]:
    """One band, or all, as float32, decoded on one thread."""
    import warnings

    with warnings.catch_warnings(), rasterio.Env(GDAL_NUM_THREADS="1"):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            return source.read(band).astype(np.float32)


def to_shape(image: Image, shape: tuple[int, int]) -> Image:
    """Resample by whole factors or bilinearly."""
    rows, columns = shape
    if image.shape == shape:
        return image
    if image.shape[0] >= 2 * rows:
        factor = image.shape[0] // rows
        return image[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    zoom = (rows / image.shape[0], columns / image.shape[1])
    return ndimage.zoom(image, zoom, order=1, grid_mode=True, mode="nearest")[:rows, :columns]


def stack(files: dict[str, Path], shape: tuple[int, int], scale: float = 1e-4, offset: float = 0.0) -> Source:
    """Bands of one product on one grid."""
    out = np.zeros((13, *shape), np.float32)
    present = np.zeros(13, bool)
    for name, path in files.items():
        out[BANDS.index(name)] = (to_shape(read(path), shape) + offset) * scale
        present[BANDS.index(name)] = True
    return Source("", out, present, np.ones(shape, bool), 1.0)


def _tops_to_surface(top: Image) -> Image:
    """Invert the mean atmosphere, with the path brightness that the darkest pixels allow."""
    dark = np.percentile(top.reshape(13, -1), 0.5, axis=1).astype(np.float32)
    path = np.clip(dark - 0.01, 0, PATH * 1.5)
    return np.clip((top - path[:, None, None]) / PASS[:, None, None], 0, 1.6)


def saxony(data: Path) -> list[Source]:
    """L1C of February, 10 m and 20 m; what cloud or its shadow may touch is left out."""
    folder = data / "saxony-l1c-2017" / "IMG_DATA"
    files = {name: next(folder.glob(f"*_{name}.jp2")) for name in BANDS}
    found = []
    for factor in (1, 2):
        shape = (768 // factor, 1536 // factor)
        top = stack(files, shape).reflectance
        surface = _tops_to_surface(top)
        for name, window in (
            ("saxony west", (slice(0, 768), slice(0, 420))),
            ("saxony east", (slice(330, 768), slice(940, 1536))),
        ):
            rows, columns = (slice(part.start // factor, part.stop // factor) for part in window)
            cut = surface[:, rows, columns]
            found.append(Source(name, cut, np.ones(13, bool), np.ones(cut.shape[1:], bool), 1.5))
    return found


def sicily(data: Path) -> list[Source]:
    """L2A crop of December, 12 bands at 10 m."""
    (folder,) = (data / "safe").glob("S2A*T33SVB*.SAFE/GRANULE/*/IMG_DATA")
    files = {
        name: next(path for size in (10, 20, 60) for path in folder.glob(f"R{size}m/*_{name}_{size}m.jp2"))
        for name in BANDS
        if name != "B10"
    }
    shape = read(files["B02"]).shape
    one = stack(files, shape)
    return [Source("sicily", one.reflectance, one.present, one.clear, 0.5)]


def brazil(data: Path) -> list[Source]:
    """L2A directory shrunk to 100 x 100 over a tile: coast, lagoon, forest."""
    (folder,) = (data / "safe").glob("S2B*T22HBD*.SAFE/GRANULE/*/IMG_DATA")
    files = {
        name: next(path for size in (20, 60, 10) for path in folder.glob(f"R{size}m/*_{name}_{size}m.jp2"))
        for name in BANDS
        if name != "B10"
    }
    one = stack(files, (100, 100))
    scl = read(next(folder.glob("R20m/*_SCL_20m.jp2")))
    clear = ~ndimage.binary_dilation(np.isin(scl, (0, 1, 3, 8, 9, 10)), iterations=2)
    return [Source("brazil", one.reflectance, one.present, clear, 0.25)]


def slovenia(data: Path) -> list[Source]:
    """Five L1C scenes of 13 bands, 101 x 100 at 10 m; the first shows cloud."""
    scenes = np.load(data / "slovenia-eopatch" / "REFERENCE_SCENES.npy", allow_pickle=False)
    tops = [np.moveaxis(each, -1, 0).astype(np.float32) for each in scenes[2:]]
    return [
        Source("slovenia", _tops_to_surface(top), np.ones(13, bool), np.ones(top.shape[1:], bool), 0.25) for top in tops
    ]


def drawn(count: int = 2) -> list[Source]:
    """Landscapes of groundshift.testing, without clouds."""
    from groundshift.model.grid import Window
    from groundshift.testing.scenes import DateOptions, SceneOptions, SyntheticScene

    found = []
    for seed in range(71, 71 + count):
        scene = SyntheticScene(options=SceneOptions(seed=seed, shape=(600, 600)), date=DateOptions(), number=0)
        image = np.zeros((13, 300, 300), np.float32)
        for i, name in enumerate(BANDS):
            size = 60 if name in ("B01", "B09", "B10") else 20
            image[i] = to_shape(
                scene.reflectance(Window(0, 6000 // size, 0, 6000 // size), [name], size)[0], (300, 300)
            )
        image = np.clip(image, 0, 1.5)
        found.append(Source("drawn", image.astype(np.float32), np.ones(13, bool), np.ones(image.shape[1:], bool), 0.7))
    return found


class Ground:
    """Draws patches of clear ground."""

    def __init__(self, data: Path, bank: Bank, more: list[Source]) -> None:
        self.bank = bank
        self.sources = [
            *saxony(data), *sicily(data), *brazil(data), *slovenia(data), *drawn(), *more
        ]  # fmt: skip
        weight = np.array([one.weight for one in self.sources])
        self.chance = weight / weight.sum()

    def draw(self, rng: np.random.Generator) -> Patch:
        """A patch: as it was, in other colours, or drawn altogether."""
        kind = rng.random()
        if kind < 0.42:
            patch = self._real(rng)
            spread = rng.normal(1, 0.07, (13, 1, 1)) * rng.lognormal(0, 0.18)
            image = patch.reflectance * spread.astype(np.float32)
            patch = Patch(image, patch.present, patch.snow)
            relief = 0.12
        else:
            structure = self._structure(rng) if kind < 0.72 else drawn_structure(rng, self.bank)
            image, snow = painted(rng, self.bank, structure)
            patch = Patch(image, np.ones(13, bool), snow)
            relief = 0.4
        image = patch.reflectance
        if rng.random() < relief:
            image = image * self._light(rng)
        if rng.random() < 0.25:
            image = self._roofs(rng, image)
        noise = rng.normal(0, rng.choice([0.001, 0.003]), image.shape).astype(np.float32)
        return Patch(np.clip(image + noise, 0, 1.5), patch.present, patch.snow)

    def _real(self, rng: np.random.Generator) -> Patch:
        for _ in range(50):
            source = self.sources[rng.choice(len(self.sources), p=self.chance)]
            image, clear = _cut(rng, source.reflectance, source.clear)
            if clear.all():
                break
        snow = np.zeros(image.shape[1:], bool)
        if source.present[11]:
            green, swir = image[2], image[11]
            snow = ((green - swir) / np.maximum(green + swir, 0.01) > 0.4) & (image[7] > 0.15)
        return Patch(image, source.present.copy(), snow)

    def _structure(self, rng: np.random.Generator) -> tuple[Image, Image]:
        """The pattern of a real patch, as two standardised fields."""
        image = self._real(rng).reflectance
        blue, red, nir = image[1], image[3], image[7]
        ndvi = (nir - red) / np.maximum(nir + red, 0.02)
        fields = [blue + red, ndvi, nir]
        order = rng.permutation(3)
        mixed = standard(fields[order[0]]) + rng.normal(0, 0.5) * standard(fields[order[1]])
        return mixed, standard(fields[order[2]])

    def _light(self, rng: np.random.Generator) -> Image:
        """(13, y, x) light on hills: what the slope turns from the sun keeps the light of the sky only."""
        height = self.bank.crop(rng, self.bank.smooth[7:], float(rng.choice([0.5, 1.0, 2.0])))
        if rng.random() < 0.5:
            height = -np.abs(height)
        gy, gx = np.gradient(ndimage.gaussian_filter(height, 1.0))
        azimuth, zenith = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(25, 72))
        slope = (gy * np.cos(azimuth) - gx * np.sin(azimuth)) * rng.uniform(1.0, 6.0)
        direct = np.clip(1 + np.tan(zenith) * slope, 0, 2.2) / np.sqrt(1 + slope**2)
        sky = sky_share(rng)[:, None, None]
        return ((1 - sky) * np.minimum(direct, 1.8)[None] + sky).astype(np.float32)

    def _roofs(self, rng: np.random.Generator, image: Image) -> Image:
        """Small bright things: halls, greenhouses, quarries, boats."""
        image = image.copy()
        for _ in range(int(rng.integers(2, 40))):
            name = ("white roof", "metal roof", "greenhouse", "concrete", "quarry", "blue roof")[rng.integers(6)]
            y, x = rng.integers(0, SIZE - 6, 2)
            h, w = rng.integers(1, 6, 2)
            colour = spectrum(name)[:, None, None] * np.float32(rng.lognormal(0, 0.35))
            share = np.float32(rng.uniform(0.4, 1))
            image[:, y : y + h, x : x + w] = image[:, y : y + h, x : x + w] * (1 - share) + colour * share
        return image


def sky_share(rng: np.random.Generator) -> Image:
    """(13) share of the light that comes from the sky rather than the sun."""
    share = np.array([40, 33, 24, 18, 16, 14, 13, 12, 11, 10, 8, 5, 3], np.float32) / 100
    return np.clip(share * np.float32(rng.uniform(0.6, 1.7)), 0, 0.7)


def _cut(
    rng: np.random.Generator, image: Image, clear: NDArray[np.bool_], size: int = SIZE
) -> tuple[Image, NDArray[np.bool_]]:
    """A random window, mirrored at the borders of images that are too small, turned at random."""
    rows, columns = clear.shape
    wanted_y, wanted_x = (
        _mirrored(int(rng.integers(0, max(length - size, 0) + 1)), size, length) for length in (rows, columns)
    )
    cut, seen = image[:, wanted_y[:, None], wanted_x], clear[wanted_y[:, None], wanted_x]
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    cut, seen = np.rot90(cut, turns, (1, 2)), np.rot90(seen, turns)
    if flip:
        cut, seen = cut[:, ::-1], seen[::-1]
    return np.ascontiguousarray(cut), np.ascontiguousarray(seen)


def _mirrored(start: int, size: int, length: int) -> NDArray[np.intp]:
    index = (start + np.arange(size)) % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)
