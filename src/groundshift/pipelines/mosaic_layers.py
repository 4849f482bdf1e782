"""The scenes of a mosaic as planes on its grid: read once, each in its own window, with what of them is clear.

Three codes say how clear a pixel is: by the strict classes and far from clouds, by the lenient classes alone, or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundshift.clouds import scl
from groundshift.io import vector
from groundshift.model.grid import Window, crop, pixel_size_m
from groundshift.model.scl import SceneClass
from groundshift.pipelines import ingest
from groundshift.pipelines.ingest import MASKED, Stack, Unit
from groundshift.pipelines.job import MaskSection
from groundshift.pipelines.mosaic_job import CloudsSection, MosaicJob
from groundshift.pipelines.mosaic_plan import Layer, MosaicPlan
from groundshift.radiometry.reflectance import EMPTY, USABLE, from_stored

LENIENT = 3
"""Code of the mask plane: clear by the lenient classes only."""
_UNDATED_DAYS = 30.0
"""A scene whose date is not known counts as this much older than the oldest that has one."""


@dataclass(frozen=True, eq=False)
class LayerStack:
    """One scene of the mosaic as planes, with its colour adjustment; it can be sent to a process."""

    stack: Stack
    window: Window
    """Where its planes lie on the grid of the mosaic."""
    age_days: float
    """Days before the newest scene."""
    cloud_share: float = 0.0
    """Of its pixels with data, not clear by the strict classes."""
    gain: tuple[float, ...] = ()
    """A factor a band that the colour balance found; empty: none."""
    shift: tuple[float, ...] = ()
    """Added a band after the factor, reflectance."""

    def shared(self, window: Window) -> Window | None:
        """The part of a window of the mosaic that the scene's planes cover."""
        y0, y1 = max(window.y0, self.window.y0), min(window.y1, self.window.y1)
        x0, x1 = max(window.x0, self.window.x0), min(window.x1, self.window.x1)
        return Window(y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None

    def local(self, window: Window) -> Window:
        """A window of the mosaic in the scene's own planes."""
        y, x = self.window.y0, self.window.x0
        return Window(window.y0 - y, window.y1 - y, window.x0 - x, window.x1 - x)

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Balanced reflectance (p, y, x) and codes (y, x) of a window that it covers."""
        local, stack = self.local(window), self.stack
        mask = stack.mask.read(local, 0)
        lenient = mask == LENIENT
        holds = np.where(lenient, np.uint8(USABLE), mask)
        reflectance, usable, codes = from_stored(stack.dn.read(local), holds, stack.scale, stack.offset)
        codes[(codes == USABLE) & ~usable] = MASKED
        codes[usable & lenient] = LENIENT
        if self.gain:
            reflectance *= np.array(self.gain, np.float32)[:, None, None]
            reflectance += np.array(self.shift, np.float32)[:, None, None]
        return reflectance, codes


@dataclass(frozen=True, eq=False)
class LayerUnit:
    """A part of one scene to be read: some rows of a band, or of the mask."""

    unit: Unit
    clouds: CloudsSection

    @property
    def key(self) -> str:
        """Name in the journal."""
        return self.unit.key

    def __str__(self) -> str:
        return str(self.unit)


def prepare(plan: MosaicPlan, job: MosaicJob, folder: Path, *, fresh: bool) -> list[LayerStack]:
    """Make, or find again, the planes of all scenes."""
    times = [layer.scene.sensing_time for layer in plan.layers]
    newest = max((time for time in times if time is not None), default=None)
    ages = [None if time is None or newest is None else (newest - time).total_seconds() / 86_400 for time in times]
    oldest = max((age for age in ages if age is not None), default=-_UNDATED_DAYS)
    return [
        LayerStack(
            stack=ingest.prepare(
                layer.reader, job.grid.bands, crop(plan.geobox, layer.window), folder, f"scene-{i:04d}", fresh=fresh
            ),
            window=layer.window,
            age_days=oldest + _UNDATED_DAYS if age is None else age,
        )
        for i, (layer, age) in enumerate(zip(plan.layers, ages, strict=True))
    ]


def units(layer: Layer, stack: LayerStack, plan: MosaicPlan, job: MosaicJob) -> Iterator[LayerUnit]:
    """The work of reading one scene."""
    mask = MaskSection(
        classes=job.clouds.classes,
        cloud_dilation_m=job.clouds.cloud_dilation_m,
        shadow_dilation_m=job.clouds.shadow_dilation_m,
    )
    grid = crop(plan.geobox, layer.window)
    for unit in ingest.units(layer.reader, job.grid.bands, grid, stack.stack, mask, plan.area):
        yield LayerUnit(unit, job.clouds)


def run_unit(work: LayerUnit) -> str:
    """Read one unit. A task for a worker."""
    if work.unit.band is not None:
        return ingest.run_unit(work.unit)
    for part in _strips(work.unit):
        work.unit.target.write(part.window, _codes(part, work.clouds), 0)
    return work.unit.key


def _strips(unit: Unit) -> Iterator[Unit]:
    step = 1024 if unit.window.shape[1] <= 16_384 else 128
    for y0 in range(unit.window.y0, unit.window.y1, step):
        yield replace(unit, window=replace(unit.window, y0=y0, y1=min(y0 + step, unit.window.y1)))


def _codes(unit: Unit, clouds: CloudsSection) -> NDArray[np.uint8]:
    """How clear some rows are."""
    pixel_m = pixel_size_m(unit.geobox) or 10.0
    growth = clouds.cloud_dilation_m / pixel_m, clouds.shadow_dilation_m / pixel_m
    halo = scl.halo_px(*growth)
    rows, columns = unit.window.shape
    padded = unit.geobox.pad(halo)[unit.window.y0 : unit.window.y1 + 2 * halo, :]
    classes = unit.reader.read_classification(padded)
    out = np.full(unit.window.shape, USABLE, np.uint8)
    if classes is not None:
        inner = slice(halo, halo + rows), slice(halo, halo + columns)
        clear = scl.usable(classes, clouds.classes, *growth)[inner]
        rung = np.where(scl.usable(classes, clouds.lenient, 0, 0)[inner], LENIENT, MASKED) if clouds.lenient else MASKED
        out = np.where(clear, USABLE, rung).astype(np.uint8)
        out[classes[inner] == SceneClass.NO_DATA] = EMPTY
    if unit.area is not None:
        out[~vector.rasterise_mask(unit.area, unit.geobox, unit.window)] = EMPTY
    return out


def filled(
    layers: Sequence[LayerStack], window: Window, bands: int
) -> tuple[list[int], NDArray[np.float32], NDArray[np.uint8]]:
    """The scenes that cover part of a window: their numbers, reflectance (t, p, y, x) and codes (t, y, x)."""
    found = [(i, part) for i, layer in enumerate(layers) if (part := layer.shared(window)) is not None]
    stack = np.full((len(found), bands, *window.shape), np.nan, np.float32)
    codes = np.full((len(found), *window.shape), EMPTY, np.uint8)
    for k, (i, part) in enumerate(found):
        inside = (slice(part.y0 - window.y0, part.y1 - window.y0), slice(part.x0 - window.x0, part.x1 - window.x0))
        stack[k, :, *inside], codes[k, *inside] = layers[i].read(part)
    return [i for i, _ in found], stack, codes
