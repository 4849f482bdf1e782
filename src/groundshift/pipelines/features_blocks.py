"""The passes over the pixels of a stack of features, each a task for any worker: sharpen and choose, sum up, compute.

Law: how the grid is cut into blocks changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.features import components, sharpen, stack, terrain
from groundshift.features.components import Moments
from groundshift.features.sharpen import SharpenOptions, Trial
from groundshift.features.stack import BAND_NAMES, Fitted, Ground, Stack
from groundshift.io.planes import Planes
from groundshift.io.surface import Surface
from groundshift.model.grid import Window, crop
from groundshift.pipelines.features_grid import pixel_sides_m
from groundshift.pipelines.mosaic_layers import LayerStack
from groundshift.radiometry.reflectance import EMPTY, SATURATED, USABLE

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SceneStack:
    """One scene: its bands on each grid."""

    name: str
    parts: tuple[tuple[int, LayerStack], ...]
    """(factor, planes), the finest first."""
    sharpening: tuple[SharpenOptions, ...] = ()
    """Of each part but the finest."""

    @property
    def window(self) -> Window:
        """Where it lies on the working grid."""
        return self.parts[0][1].window


@dataclass(frozen=True, eq=False)
class Compose:
    """One block of reflectance: sharpened scene by scene, and of each pixel the newest that is clear."""

    scenes: tuple[SceneStack, ...]
    window: Window
    shape: tuple[int, int]
    """Of the working grid."""
    halo_px: int
    guides: tuple[int, ...]
    """Bands of the finest grid that guide the others."""
    reflectance: Planes
    source: Planes
    """Number of the scene of each pixel, from 1; 0: none."""

    @property
    def key(self) -> str:
        """Name in the journal."""
        return _key("compose", self.window)

    def __str__(self) -> str:
        return f"composing rows {self.window.y0} to {self.window.y1}"


def _key(what: str, window: Window) -> str:
    return f"{what}:{window.y0}:{window.y1}:{window.x0}:{window.x1}"


def compose(work: Compose) -> str:
    """Make one block of reflectance. A task for a worker."""
    out = np.full((work.reflectance.shape[0], *work.window.shape), np.nan, np.float32)
    source = np.zeros(work.window.shape, np.int16)
    for number, scene in enumerate(work.scenes, 1):
        missing = source == 0
        clear = _codes(scene.parts[0][1], work.window) == USABLE
        if not (missing & clear).any():
            continue
        values = _sharpened(work, scene)
        take = missing & clear & np.isfinite(values).all(axis=0)
        out[:, take] = values[:, take]
        source[take] = number
    work.reflectance.write(work.window, out)
    work.source.write(work.window, source, 0)
    return work.key


def _codes(layer: LayerStack, window: Window) -> NDArray[np.uint8]:
    codes = np.full(window.shape, EMPTY, np.uint8)
    part = layer.window.shared(window)
    if part is not None:
        codes[part.within(window).slices] = layer.stack.mask.read(part.within(layer.window), 0)
    return codes


def _sharpened(work: Compose, scene: SceneStack) -> Float32:
    """All bands (p, y, x) of a scene in a block, NaN = missing; clouds are measurements like any other here."""
    padded = work.window.padded(work.halo_px, work.shape)
    inner = work.window.within(padded).slices
    (_, finest), *coarser = scene.parts
    fine = _values(finest, padded)
    bands = [fine[:, *inner]]
    for (factor, layer), options in zip(coarser, scene.sharpening, strict=True):
        coarse = _values(layer, _coarser(padded, factor))
        bands.append(sharpen.sharpen(coarse, fine[list(work.guides)], factor, options).values[:, *inner])
    return np.concatenate(bands)


def _coarser(window: Window, factor: int) -> Window:
    edges = window.y0, window.y1, window.x0, window.x1
    if any(edge % factor for edge in edges):
        raise ValueError(f"{window} does not begin and end with pixels that are {factor} times as long")
    return Window(*(edge // factor for edge in edges))


def _values(layer: LayerStack, window: Window) -> Float32:
    """Reflectance (p, y, x) of a window of the group's grid, NaN where a band is missing or saturated."""
    planes, stack_ = layer.stack.dn, layer.stack
    out = np.full((planes.shape[0], *window.shape), np.nan, np.float32)
    part = layer.window.shared(window)
    if part is None:
        return out
    dn = planes.read(part.within(layer.window))
    values = dn.astype(np.float32)
    if dn.dtype == np.uint16:
        values[(dn == 0) | (dn == SATURATED)] = np.nan
    values += np.array(stack_.offset, np.float32)[:, None, None]
    values *= np.array(stack_.scale, np.float32)[:, None, None]
    out[:, *part.within(window).slices] = values
    return out


# ---- what is fitted ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Try:
    """Some blocks of a scene on which sharpening is tried out."""

    scene: SceneStack
    windows: tuple[Window, ...]
    """Of the working grid."""
    guides: tuple[int, ...]
    options: SharpenOptions

    def __str__(self) -> str:
        return f"trying out how to sharpen {self.scene.name}"


def trial(work: Try) -> tuple[SharpenOptions, ...]:
    """How each of the coarser parts of a scene is best sharpened. A task for a worker."""
    (_, finest), *coarser = work.scene.parts
    totals: list[Trial | None] = [None] * len(coarser)
    for window in work.windows:
        fine = _values(finest, window)[list(work.guides)]
        for i, (factor, layer) in enumerate(coarser):
            found = sharpen.summarise(_values(layer, _coarser(window, factor)), fine, factor, work.options)
            before = totals[i]
            totals[i] = found if before is None else sharpen.merge(before, found)
    return tuple(work.options if total is None else sharpen.choose(total, work.options) for total in totals)


@dataclass(frozen=True, eq=False)
class Sum:
    """A block whose moments are wanted."""

    reflectance: Planes
    bands: tuple[int, ...]
    window: Window

    def __str__(self) -> str:
        return f"summing up rows {self.window.y0} to {self.window.y1}"


def moments(work: Sum) -> Moments:
    """Moments of the bands of a block. A task for a worker."""
    values = np.asarray(work.reflectance.read(work.window, work.bands), np.float32)
    return components.summarise(values, np.asarray(np.isfinite(values).all(axis=0)))


# ---- features ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Compute:
    """One block of the stack."""

    plan: Stack
    bands: tuple[str, ...]
    """Of the planes of reflectance."""
    grid: GeoBox
    """The working grid."""
    window: Window
    """Of the working grid."""
    corner: tuple[int, int]
    """Row and column of the working grid where the stack begins."""
    reflectance: Planes
    surface: Surface | None
    smoothing_px: int
    layers: tuple[tuple[str, Planes], ...]
    inside: Planes | None
    """1 in the area of interest; None: everywhere."""
    fitted: Fitted
    out: Planes

    @property
    def key(self) -> str:
        """Name in the journal."""
        return _key("features", self.window)

    def __str__(self) -> str:
        return f"computing features of rows {self.window.y0} to {self.window.y1}"


def compute(work: Compute) -> tuple[str, list[int]]:
    """Make one block of the stack; returns its key and how many values each feature has. A task for a worker."""
    padded = work.window.padded(work.plan.halo_px, work.reflectance.shape[1:])
    inner = work.window.within(padded).slices
    here = _moved(work.window, work.corner)
    numbers = [work.bands.index(band) for band in work.plan.bands]
    bands = dict(zip(work.plan.bands, work.reflectance.read(padded, numbers), strict=True))
    made = stack.compute(work.plan, _floats(bands), _ground(work, padded), work.fitted)[:, *inner]
    inside = None if work.inside is None else work.inside.read(here, 0) == 1
    counts = []
    # Feature by feature: a copy of all of them would be as large as they are.
    for number, values in enumerate(made):
        kept = values if inside is None else np.where(inside, values, np.float32(np.nan))
        work.out.write(here, kept, number)
        counts.append(int(np.isfinite(kept).sum()))
    return work.key, counts


def _moved(window: Window, corner: tuple[int, int]) -> Window:
    y, x = corner
    return Window(window.y0 - y, window.y1 - y, window.x0 - x, window.x1 - x)


def _floats(bands: Mapping[str, NDArray[np.generic]]) -> dict[str, Float32]:
    return {name: np.asarray(values, np.float32) for name, values in bands.items()}


def _ground(work: Compute, padded: Window) -> Ground:
    layers = {name: np.asarray(planes.read(padded, 0), np.float32) for name, planes in work.layers}
    if work.surface is None:
        return Ground(layers=layers)
    east_m, south_m = pixel_sides_m(work.grid)
    width = east_m[padded.y0 : padded.y1] if isinstance(east_m, np.ndarray) else east_m
    halo = terrain.smoothing_halo_px(work.smoothing_px)
    around = Window(padded.y0, padded.y1 + 2 * halo, padded.x0, padded.x1 + 2 * halo)
    read = work.surface.read(crop(work.grid.pad(halo), around))
    elevation = terrain.smoothed(read, work.smoothing_px)[halo : halo + padded.shape[0], halo : halo + padded.shape[1]]
    return Ground(elevation, width, south_m, layers)


def sample(
    plan: Stack, bands: Sequence[str], reflectance: Planes, windows: Sequence[Window], fitted: Fitted
) -> dict[str, Float32]:
    """Values (n,) of what textures are made of, in some windows, those that are missing left out."""
    found: dict[str, list[Float32]] = {each.name: [] for each in plan.textured}
    needed = [band for band in bands if band in plan.bands]
    for window in windows:
        values = reflectance.read(window, [bands.index(band) for band in needed])
        named = _floats(dict(zip(needed, values, strict=True)))
        for name, part in stack.source_values(plan.textured, named, fitted.components).items():
            found[name].append(part[np.isfinite(part)])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def component_bands(bands: Sequence[str]) -> tuple[int, ...]:
    """Where the bands that components are made of lie among others."""
    return tuple(bands.index(band) for band in BAND_NAMES)
