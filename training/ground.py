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
from scipy.spatial import cKDTree

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
SIZE = 128
BANK = 512
Image = NDArray[np.float32]

PATH = np.array([0.105, 0.075, 0.045, 0.028, 0.023, 0.019, 0.016, 0.013, 0.011, 0.008, 0.0, 0.002, 0.001], np.float32)
"""(band) brightness of the air above dark ground, on a mean day."""
PASS = np.array([0.78, 0.82, 0.86, 0.91, 0.92, 0.92, 0.93, 0.93, 0.94, 0.45, 0.6, 0.95, 0.93], np.float32)

# fmt: off
COVERS: dict[str, list[float]] = {
    # surface reflectance in %   B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12
    "fresh snow":   [94, 95, 95, 94, 93, 92, 91, 90, 87, 82, 12, 10],
    "old snow":     [68, 72, 72, 70, 68, 66, 64, 62, 58, 52, 7, 5],
    "dirty snow":   [42, 45, 47, 48, 48, 47, 46, 45, 43, 40, 9, 7],
    "ice":          [52, 57, 54, 46, 41, 37, 34, 31, 26, 20, 3, 2],
    "pale sand":    [19, 24, 34, 43, 46, 47, 48, 50, 51, 51, 60, 56],
    "red sand":     [9, 11, 20, 36, 40, 42, 43, 45, 46, 46, 57, 52],
    "river sand":   [14, 17, 21, 25, 27, 28, 29, 30, 31, 30, 36, 32],
    "gravel":       [17, 20, 23, 25, 26, 27, 27, 28, 28, 28, 31, 28],
    "gypsum":       [46, 55, 64, 70, 72, 73, 74, 75, 76, 73, 60, 45],
    "salt":         [48, 53, 59, 63, 64, 65, 65, 65, 64, 60, 40, 28],
    "limestone":    [22, 26, 31, 35, 37, 38, 39, 40, 40, 40, 43, 38],
    "grey rock":    [12, 14, 17, 19, 20, 21, 21, 22, 23, 23, 26, 23],
    "basalt":       [5, 5.5, 6, 6.5, 7, 7.5, 8, 8.5, 9, 9, 12, 11],
    "laterite":     [4, 5, 9, 18, 21, 24, 27, 30, 33, 33, 42, 36],
    "brown soil":   [5, 6.5, 9, 12, 14, 16, 18, 20, 22, 22, 30, 25],
    "dark soil":    [3, 3.5, 4.5, 6, 7, 8, 9, 10, 11, 11, 17, 15],
    "stubble":      [6.8, 8.3, 12, 15, 18, 22, 25, 27, 29, 29, 35, 25],
    "dry grass":    [5, 6, 10, 14, 18, 21, 23, 25, 27, 27, 37, 24],
    "savanna":      [4, 5, 8, 10, 14, 19, 21, 23, 25, 25, 30, 19],
    "pasture":      [3, 4, 7.5, 5.5, 11, 26, 31, 34, 36, 36, 22, 12],
    "crop":         [2.5, 3, 6.5, 3.5, 9.5, 32, 41, 44, 46, 46, 19, 9],
    "broadleaf":    [2, 2.6, 5, 3, 7.5, 22, 28, 30, 32, 32, 15, 7],
    "conifer":      [1.5, 1.9, 3.2, 2.1, 4.5, 11, 14, 16, 17, 17, 8, 4],
    "shrub":        [3.5, 4.5, 6.5, 7.5, 10, 15, 17, 19, 21, 21, 24, 16],
    "wetland":      [3, 3.5, 5.5, 5, 7.5, 12, 14, 15, 16, 15, 10, 5],
    "mangrove":     [2, 2.5, 4, 2.7, 6, 18, 22, 24, 25, 24, 9, 4],
    "tundra":       [4, 5, 7, 8, 11, 16, 18, 20, 21, 21, 22, 14],
    "burnt":        [2.5, 3, 3.6, 4.3, 5, 6.3, 7.2, 8, 9, 9.5, 16, 18],
    "ash":          [9, 10, 12, 13, 14, 15, 16, 17, 18, 18, 25, 26],
    "asphalt":      [7.4, 8, 9, 9.6, 10, 11, 11.5, 12, 12.5, 12.5, 14, 13],
    "concrete":     [18, 21, 25, 27, 28, 29, 30, 31, 31, 31, 33, 32],
    "built":        [9, 10, 11.5, 12.3, 14, 16, 17, 18, 19, 19, 20, 17],
    "tiles":        [5, 6, 9, 17, 20, 23, 25, 27, 28, 28, 34, 30],
    "white roof":   [55, 62, 64, 65, 65, 65, 65, 65, 64, 60, 58, 52],
    "metal roof":   [30, 33, 34, 35, 36, 36, 37, 37, 38, 37, 36, 33],
    "blue roof":    [20, 27, 22, 15, 14, 16, 18, 22, 25, 26, 30, 26],
    "greenhouse":   [30, 35, 40, 43, 45, 48, 50, 51, 52, 51, 47, 40],
    "quarry":       [30, 36, 43, 48, 50, 51, 51, 52, 52, 51, 50, 44],
    "deep water":   [5, 4, 2.5, 1.2, 0.8, 0.6, 0.5, 0.4, 0.3, 0.3, 0.1, 0.1],
    "lake":         [3.5, 3.3, 4, 2.5, 2, 1.2, 1, 0.8, 0.7, 0.6, 0.3, 0.2],
    "turbid water": [8, 10, 14, 14, 12, 6.5, 6, 4.5, 3.5, 2.5, 0.5, 0.4],
    "brown water":  [9, 12, 18, 23, 23, 14, 13, 10, 8, 6, 1, 0.7],
    "shallow":      [15, 19, 20, 10, 5, 2.2, 1.8, 1.4, 1, 0.8, 0.2, 0.2],
    "glint":        [12, 12, 11, 10.5, 10.5, 10.3, 10.2, 10, 10, 9, 8, 7],
    "foam":         [40, 40, 38, 35, 33, 30, 28, 26, 24, 20, 10, 6],
    "mud":          [8, 10, 13, 15, 16, 17, 17, 18, 18, 16, 12, 9],
}
# fmt: on
SNOWY = {"fresh snow", "old snow", "dirty snow", "ice"}
WATER = {"deep water", "lake", "turbid water", "brown water", "shallow", "glint", "foam"}
BIOMES: tuple[tuple[str, ...], ...] = (
    ("pale sand", "red sand", "grey rock", "basalt", "limestone", "shrub", "salt", "gypsum"),
    ("pale sand", "limestone", "shrub", "dry grass", "built", "concrete"),
    ("red sand", "laterite", "savanna", "dry grass", "burnt", "ash"),
    ("salt", "gypsum", "turbid water", "mud", "pale sand", "shallow", "brown soil"),
    ("fresh snow", "old snow", "grey rock", "conifer", "ice", "dirty snow", "pasture"),
    ("fresh snow", "old snow", "tundra", "lake", "ice", "deep water"),
    ("fresh snow", "dirty snow", "dark soil", "conifer", "built", "stubble"),
    ("limestone", "grey rock", "pasture", "conifer", "old snow", "lake"),
    ("deep water", "shallow", "foam", "pale sand", "broadleaf", "built"),
    ("deep water", "turbid water", "foam", "glint"),
    ("deep water", "basalt", "pasture", "conifer", "foam"),
    ("crop", "pasture", "brown soil", "stubble", "broadleaf", "built", "tiles"),
    ("crop", "dark soil", "dry grass", "lake", "white roof", "concrete"),
    ("built", "asphalt", "concrete", "tiles", "metal roof", "white roof", "blue roof", "pasture", "lake"),
    ("broadleaf", "mangrove", "brown water", "laterite", "pasture", "burnt"),
    ("broadleaf", "pasture", "brown soil", "brown water", "turbid water"),
    ("broadleaf", "river sand", "brown water", "mud", "pasture"),
    ("conifer", "gravel", "turbid water", "river sand", "tundra", "shrub"),
    ("fresh snow", "old snow", "conifer", "gravel", "tundra", "ice"),
    ("conifer", "wetland", "lake", "tundra", "dark soil"),
    ("lake", "conifer", "pasture", "crop", "built"),
    ("lake", "deep water", "turbid water", "broadleaf", "crop", "brown soil"),
    ("conifer", "grey rock", "deep water", "pasture"),
    ("burnt", "ash", "conifer", "dry grass", "shrub", "broadleaf"),
    ("greenhouse", "white roof", "brown soil", "crop", "shallow", "deep water"),
    ("quarry", "limestone", "grey rock", "conifer", "lake", "dry grass"),
    ("mud", "turbid water", "wetland", "foam", "pale sand", "deep water"),
    ("savanna", "dry grass", "laterite", "shrub", "brown soil", "burnt"),
)


def spectrum(name: str) -> Image:
    """(13) surface reflectance of a cover; the cirrus band sees nothing of the ground."""
    percent = COVERS[name]
    return np.array([*percent[:10], 0.1, *percent[10:]], np.float32) / 100


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


class Bank:
    """Random fields made once: smooth noise of several kinds, parcels."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.smooth = [fractal(rng, float(power)) for power in np.linspace(1.8, 3.6, 16)]
        self.streaks = [fractal(rng, 2.8, stretch=float(s)) for s in np.linspace(3, 9, 8)]
        self.parcels = [_parcels(rng, int(n)) for n in np.geomspace(150, 6000, 10)]

    def crop(self, rng: np.random.Generator, fields: list[Image], zoom: float = 1.0, size: int = SIZE) -> Image:
        """A random window of a random field, turned and mirrored at random; fields repeat beyond their border."""
        field = fields[rng.integers(len(fields))]
        y0, x0 = rng.integers(0, BANK, 2)
        return window(field, float(y0), float(x0), zoom, size, turn=int(rng.integers(8)))


def window(field: Image, y0: float, x0: float, zoom: float, size: int, turn: int = 0) -> Image:
    """A window of a periodic field, with ``zoom`` pixels of the field a pixel, bilinear."""
    if turn & 4:
        field = field.T
    rows, columns = (start + zoom * np.arange(size) for start in (y0, x0))
    if turn & 1:
        rows = rows[::-1]
    if turn & 2:
        columns = columns[::-1]
    if zoom == 1 and float(y0).is_integer() and float(x0).is_integer():
        return field[np.ix_(rows.astype(int) % BANK, columns.astype(int) % BANK)]
    r0, c0 = np.floor(rows).astype(int), np.floor(columns).astype(int)
    fr, fc = (rows - r0).astype(np.float32)[:, None], (columns - c0).astype(np.float32)
    top = field[np.ix_(r0 % BANK, c0 % BANK)] * (1 - fc) + field[np.ix_(r0 % BANK, (c0 + 1) % BANK)] * fc
    low = field[np.ix_((r0 + 1) % BANK, c0 % BANK)] * (1 - fc) + field[np.ix_((r0 + 1) % BANK, (c0 + 1) % BANK)] * fc
    return top * (1 - fr) + low * fr


def fractal(rng: np.random.Generator, power: float, stretch: float = 1.0) -> Image:
    """(512, 512) periodic noise of a power-law spectrum, mean 0, deviation 1."""
    ky, kx = np.fft.fftfreq(BANK)[:, None] * BANK, np.fft.rfftfreq(BANK)[None] * BANK
    if stretch != 1:
        angle = rng.uniform(0, np.pi)
        ky, kx = (ky * np.cos(angle) + kx * np.sin(angle)) * stretch, (-ky * np.sin(angle) + kx * np.cos(angle))
    k = np.hypot(ky, kx)
    k[0, 0] = 1
    amplitude = np.maximum(k, 1.5) ** (-power / 2)
    amplitude[0, 0] = 0
    noise = rng.standard_normal((BANK, BANK // 2 + 1)) + 1j * rng.standard_normal((BANK, BANK // 2 + 1))
    field = np.fft.irfft2(noise * amplitude, s=(BANK, BANK))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def _parcels(rng: np.random.Generator, count: int) -> Image:
    """(512, 512) random tone by parcel, periodic."""
    points = rng.uniform(0, BANK, (count, 2))
    tree = cKDTree(points, boxsize=BANK)
    stretch = rng.uniform(1, 2.5)
    y, x = np.mgrid[0:BANK, 0:BANK]
    _, nearest = tree.query(np.stack([y.ravel(), (x * stretch % BANK).ravel()], axis=1))
    return rng.standard_normal(count).astype(np.float32)[nearest].reshape(BANK, BANK)


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
            structure = self._structure(rng) if kind < 0.72 else self._drawn_structure(rng)
            patch = self._painted(rng, structure)
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
        mixed = _standard(fields[order[0]]) + rng.normal(0, 0.5) * _standard(fields[order[1]])
        return mixed, _standard(fields[order[2]])

    def _drawn_structure(self, rng: np.random.Generator) -> tuple[Image, Image]:
        """Noise, ridges or parcels."""
        bank, zoom = self.bank, float(rng.choice([0.5, 1.0, 1.5, 2.0]))
        kind = rng.random()
        base = bank.crop(rng, bank.smooth, zoom)
        if kind < 0.4:
            pattern = bank.crop(rng, bank.parcels, zoom) + 0.4 * base
        elif kind < 0.7:
            pattern = -np.abs(base) + 0.2 * bank.crop(rng, bank.smooth)
        else:
            pattern = base
        return _standard(pattern), _standard(bank.crop(rng, bank.smooth, float(rng.choice([1.0, 2.0]))))

    def _painted(self, rng: np.random.Generator, structure: tuple[Image, Image]) -> Patch:
        """Covers of one biome along the structure, with soft borders, tone and texture."""
        pattern, tone = structure
        biome = BIOMES[rng.integers(len(BIOMES))]
        count = min(int(rng.integers(1, 6)), len(biome))
        names = [biome[i] for i in rng.permutation(len(biome))[:count]]
        cuts = np.sort(rng.uniform(-1.6, 1.6, count - 1))
        softness = rng.choice([0.02, 0.1, 0.4])
        weights = np.ones((1, *pattern.shape), np.float32)
        if count > 1:
            steps = 1 / (1 + np.exp(-np.clip((pattern[None] - cuts[:, None, None]) / softness, -30, 30)))
            edges = np.concatenate([np.ones((1, *pattern.shape)), steps, np.zeros((1, *pattern.shape))])
            weights = np.maximum(edges[:-1] - edges[1:], 0).astype(np.float32)
        spectra = np.stack([spectrum(name) for name in names])
        spectra *= rng.normal(1, 0.06, spectra.shape).astype(np.float32)
        spectra *= rng.lognormal(0, 0.2, (count, 1)).astype(np.float32)
        image = np.tensordot(spectra.T, weights, axes=1).astype(np.float32)
        wet = sum(weights[i] for i, name in enumerate(names) if name in WATER) + np.zeros_like(pattern)
        rough = np.float32(rng.uniform(0.02, 0.18)) * (1 - 0.85 * np.minimum(wet, 1))
        fine = self.bank.crop(rng, self.bank.smooth[:5]) * np.float32(0.6) + tone
        image = image * np.exp(np.clip(rough * fine, -1.2, 0.8))[None]
        snow = sum(weights[i] for i, name in enumerate(names) if name in SNOWY) + np.zeros_like(pattern)
        return Patch(image.astype(np.float32), np.ones(13, bool), snow > 0.5)

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


def _standard(field: Image) -> Image:
    return np.clip((field - field.mean()) / max(float(field.std()), 1e-4), -3, 3).astype(np.float32)


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
