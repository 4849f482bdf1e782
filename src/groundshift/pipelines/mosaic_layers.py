"""The scenes of a mosaic as planes on its grid: read once, each in its own window, with what of them is clear.

Three codes say how clear a pixel is: by the strict classes and far from clouds, by the lenient classes alone, or not.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.clouds import registry
from groundshift.clouds.classification import COUNTED
from groundshift.errors import CloudWarning, InputError
from groundshift.execution.journal import Journal
from groundshift.io.planes import Planes
from groundshift.model.grid import Window, crop
from groundshift.model.scene import Reader
from groundshift.model.scl import SceneClass
from groundshift.pipelines import clouds as cloud_masks
from groundshift.pipelines import ingest, running, scene_mask
from groundshift.pipelines.ingest import LENIENT, MASKED, Stack, Unit
from groundshift.pipelines.job import MaskSection
from groundshift.pipelines.mosaic_job import MaskingSection, MosaicJob
from groundshift.pipelines.mosaic_plan import Layer, MosaicPlan
from groundshift.pipelines.running import Running
from groundshift.pipelines.scene_mask import MaskOptions, SceneMask
from groundshift.radiometry.reflectance import EMPTY, USABLE, from_stored

_READ = "read"
"""In the journal: all scenes are read, and their masks are of no more use."""
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
    weights: Planes | None = None
    """Planes of its coarse cells, the last of which is its weight in a weighted mean."""

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Balanced reflectance (p, y, x) and codes (y, x) of a window that it covers."""
        local, stack = window.within(self.window), self.stack
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


def prepare(plan: MosaicPlan, job: MosaicJob, folder: Path, *, fresh: bool, role: str = "scene") -> list[LayerStack]:
    """Make, or find again, the planes of all scenes, in files that begin with ``role``."""
    times = [layer.scene.sensing_time for layer in plan.layers]
    newest = max((time for time in times if time is not None), default=None)
    ages = [None if time is None or newest is None else (newest - time).total_seconds() / 86_400 for time in times]
    oldest = max((age for age in ages if age is not None), default=-_UNDATED_DAYS)
    return [
        LayerStack(
            stack=ingest.prepare(
                layer.reader, job.grid.bands, crop(plan.geobox, layer.window), folder, f"{role}-{i:04d}", fresh=fresh
            ),
            window=layer.window,
            age_days=oldest + _UNDATED_DAYS if age is None else age,
        )
        for i, (layer, age) in enumerate(zip(plan.layers, ages, strict=True))
    ]


def masks(
    state: Running[Any], plan: MosaicPlan, bands: Sequence[str], clouds: MaskingSection, journal: Journal
) -> list[SceneMask | None]:
    """The cloud mask of each scene, where it is more than the classes of the product say."""
    return [
        mask_of(
            state, layer.reader, crop(plan.geobox, layer.window), bands, clouds, journal, state.work / f"clouds-{i:04d}"
        )
        for i, layer in enumerate(plan.layers)
    ]


def mask_of(
    state: Running[Any],
    reader: Reader,
    grid: GeoBox,
    bands: Sequence[str],
    clouds: MaskingSection,
    journal: Journal,
    folder: Path,
) -> SceneMask | None:
    """The cloud mask of a scene, where it is more than the classes of the product say.

    Args:
        state: of the run.
        reader: the scene.
        grid: where it is needed.
        bands: that the run reads, and so has verified.
        clouds: what is not clear.
        journal: of the work on the scene.
        folder: of the mask; its name stands in the journal once it is made.
    """
    if clouds.mask == "none":
        return None
    classes = tuple(code for code in COUNTED if code in clouds.classes)
    options = MaskOptions(mask=clouds.mask, weights=clouds.weights, classes=classes, shadows=clouds.shadows)
    try:
        made = scene_mask.plan(reader, options, grid)
    except InputError as error:
        if clouds.mask != registry.AUTO:
            raise
        state.warn(CloudWarning(f"{reader.scene.name}: its clouds are taken as ground: {error}"))
        return None
    known = reader.files(running.names(reader, bands))
    made = cloud_masks.verified(made, state.pool, state.progress, known)
    state.warn(*made.notes)
    if made.spec.name == "scl" and not made.ground:
        return None
    if folder.name in journal.done:
        return None if _READ in journal.done else scene_mask.found_again(made, folder)
    folder.mkdir(exist_ok=True)
    found = scene_mask.run(made, folder, state.pool, memory=state.job.run.memory, progress=state.progress)
    journal.add(folder.name)
    return found


def forget_masks(state: Running[Any], journal: Journal) -> None:
    """Once all scenes are read, their masks are of no more use."""
    journal.add(_READ)
    for folder in state.work.glob("clouds-*"):
        shutil.rmtree(folder)


def units(layer: Layer, stack: LayerStack, plan: MosaicPlan, job: MosaicJob, found: SceneMask | None) -> Iterator[Unit]:
    """The work of reading one scene; ``found``: its cloud mask, if it is more than the classes of the product."""
    grid = crop(plan.geobox, layer.window)
    mask = masked_classes(job.clouds)
    return ingest.units(layer.reader, job.grid.bands, grid, stack.stack, mask, plan.area, job.clouds.lenient, found)


def masked_classes(clouds: MaskingSection) -> MaskSection:
    """What of the classes of a product is masked, and how far it is grown."""
    if clouds.mask == "none":
        return MaskSection(classes=(SceneClass.NO_DATA,), cloud_dilation_m=0, shadow_dilation_m=0)
    return MaskSection(
        # What the classes say is no data is none, whether it is masked or not.
        classes=(SceneClass.NO_DATA, *clouds.classes),
        cloud_dilation_m=clouds.cloud_dilation_m,
        shadow_dilation_m=clouds.shadow_dilation_m,
    )


def filled(layers: Sequence[LayerStack], window: Window, bands: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Reflectance (t, p, y, x) and codes (t, y, x) of a window; a scene that lies elsewhere holds no data."""
    stack = np.full((len(layers), bands, *window.shape), np.nan, np.float32)
    codes = np.full((len(layers), *window.shape), EMPTY, np.uint8)
    for k, layer in enumerate(layers):
        part = layer.window.shared(window)
        if part is not None:
            inside = part.within(window).slices
            stack[k, :, *inside], codes[k, *inside] = layer.read(part)
    return stack, codes


def covering(layers: Sequence[LayerStack], window: Window) -> list[int]:
    """Numbers of the scenes that may cover part of a window."""
    return [i for i, layer in enumerate(layers) if layer.window.shared(window) is not None]
