"""The cloud mask of one scene, as codes on a scratch raster: what every pipeline calls that needs to know its clouds.

Two passes in blocks. The first runs the mask and keeps the near infrared; between the two, all of it is looked at from
afar to find where clouds throw their shadows; the second throws them, grows what is to be grown, and leaves the codes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.clouds import registry, shadow
from groundshift.clouds.classification import COUNTED
from groundshift.clouds.masker import Masker, Probabilities, classify, grown
from groundshift.clouds.registry import AUTO, MaskerSpec
from groundshift.clouds.shadow import Casts
from groundshift.errors import CloudWarning, GroundshiftWarning, InputError, NoDataError, UsageError
from groundshift.execution.crew import Crew
from groundshift.execution.memory import worker_bytes
from groundshift.execution.progress import Progress, Silent
from groundshift.io import vector, warp
from groundshift.io.planes import Planes
from groundshift.model.bands import SCL
from groundshift.model.cloudmask import CLASSES, CloudClass
from groundshift.model.grid import (
    Window,
    blocks,
    crop,
    metres_per_unit,
    pixel_size_m,
    pixels_per_metre,
    snapped,
    window_of,
)
from groundshift.model.scene import Reader, Scene

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

PROBABILITY_STEP = 0.004
"""Of probabilities as they are stored, in bytes; 255 is no data."""
_AFAR_PX = 2000
"""Pixels along the longer side of the grid on which shadows are sought: 60 m for a whole tile."""
_AROUND_M = 5000.0
"""So far around an area clouds are looked for: they grow into it by at most this, and throw their shadows into it."""
_STEP_PX = 256
"""Blocks begin at multiples of this."""
_MOST_PX = 1024
_LEAST_BYTES = 2**24
"""What a worker takes for pixels however small the cap is."""
_NIR_STEP = 1e-4
_WATER_NIR = 0.12
"""Water is darker than this in the near infrared, and greener than it is infrared."""
_OWN_PIXELS = 0.75
"""A band whose pixels are at least so large, of those that a mask works at, is masked on its own grid."""


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """Which mask, and what is done with it."""

    mask: str = AUTO
    """auto, or one of :data:`groundshift.clouds.registry.NAMES`."""
    weights: str | None = None
    """File or folder of the weights, for masks that take them; None: those that are shipped."""
    classes: tuple[int, ...] = COUNTED
    """Codes of the SCL that count, for the mask ``scl``."""
    shadows: bool = True
    """Look for shadows where the sun throws them."""
    cloud_dilation_m: float = 0.0
    """Growth of clouds, metres."""
    shadow_dilation_m: float = 0.0
    """Growth of shadows, metres."""

    def __post_init__(self) -> None:
        for name, length in (("cloud", self.cloud_dilation_m), ("shadow", self.shadow_dilation_m)):
            if not 0 <= length <= 5000:
                raise UsageError(f"{name}s are grown by 0 to 5000 m, not by {length:g}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskPlan:
    """One scene, the mask for it, and the grid that it is masked on; it can be sent to a process."""

    reader: Reader
    spec: MaskerSpec
    bands: tuple[str, ...]
    """That the mask is given; ``SCL`` among them is given as codes."""
    grid: GeoBox
    halo_px: int
    options: MaskOptions
    ground: tuple[str, ...] = ()
    """Near infrared, and green where there is one, to seek shadows by; empty: none are sought."""
    notes: tuple[GroundshiftWarning, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, columns = self.grid.shape
        return int(rows), int(columns)

    @property
    def growth_px(self) -> tuple[float, float]:
        """Of clouds and of shadows."""
        size = pixel_size_m(self.grid) or 10.0
        return self.options.cloud_dilation_m / size, self.options.shadow_dilation_m / size


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneMask:
    """The mask of a scene: codes of :class:`~groundshift.model.cloudmask.CloudClass`, as long as its folder is kept."""

    mask: str
    """Name of the mask that was used."""
    codes: Planes
    """(1, y, x) uint8."""
    grid: GeoBox
    probabilities: Planes | None
    """(4, y, x) uint8 in steps of 0.004, 255 no data; None: not kept."""
    notes: tuple[GroundshiftWarning, ...]
    shadows: Casts | None
    """What was found of shadows; None: they were not sought."""

    def read(self, geobox: GeoBox) -> NDArray[np.uint8]:
        """Codes on any grid, nearest neighbour, 255 outside."""
        return _on(self.codes, 0, self.grid, geobox)

    def read_probabilities(self, geobox: GeoBox) -> NDArray[np.uint8]:
        """(4, y, x) on any grid, nearest neighbour, 255 outside."""
        if self.probabilities is None:
            raise ValueError("the probabilities of this mask were not kept")
        return np.stack([_on(self.probabilities, i, self.grid, geobox) for i in range(len(CLASSES))])


def _on(planes: Planes, band: int, grid: GeoBox, geobox: GeoBox) -> NDArray[np.uint8]:
    def source(window: Window) -> warp.Stored:
        values = planes.read(window, band)
        return values, np.ones(values.shape, bool)

    values, valid = warp.resample(source, grid, np.dtype(np.uint8), geobox, "nearest")
    return np.where(valid, values, CloudClass.NO_DATA).astype(np.uint8)


def plan(reader: Reader, options: MaskOptions, over: GeoBox | None = None) -> MaskPlan:
    """Settle mask, bands and grid of a scene, before a pixel is read.

    Args:
        reader: the scene.
        options: which mask.
        over: only what lies within this grid, or near it, is masked; None: the whole scene.

    Raises:
        InputError: the scene lacks bands, or is of a level that the mask does not know.
        UsageError: the mask needs a package that is not installed.
        GridError: the scene lies elsewhere.
    """
    scene = reader.scene
    offered = (*scene.bands, *([SCL] if scene.classification is not None else []))
    name = registry.chosen(options.mask, classified=scene.classification is not None)
    spec = MaskerSpec(name=name, weights=options.weights, level=scene.level, classes=options.classes)
    try:
        masker = registry.make(spec)
        bands = masker.choose(offered)
    except InputError as error:
        text = str(error)
        raise type(error)(text if scene.href in text else f"{scene.href}: {text}") from error
    ground, notes = _ground(scene) if options.shadows else ((), ())
    grid = _grid(scene, bands, masker, over)
    return MaskPlan(
        reader=reader,
        spec=spec,
        bands=bands,
        grid=grid,
        halo_px=masker.halo_px,
        options=options,
        ground=ground,
        notes=notes,
    )


def _ground(scene: Scene) -> tuple[tuple[str, ...], tuple[GroundshiftWarning, ...]]:
    """Bands that shadows are sought by, or why they cannot be."""
    nir = next((band for band in ("B08", "B8A") if band in scene.bands), None)
    reason = ""
    if scene.sun_zenith_deg is None or scene.sun_azimuth_deg is None:
        reason = "its metadata do not say where the sun stood"
    elif nir is None:
        reason = "it has no near infrared band (B08 or B8A)"
    elif scene.bands[nir].geobox.crs is None:
        reason = "it has no georeference"
    if reason or nir is None:
        return (), (CloudWarning(f"{scene.name}: shadows were not matched with clouds: {reason}."),)
    return (nir, *(["B03"] if "B03" in scene.bands else [])), ()


def _grid(scene: Scene, bands: tuple[str, ...], masker: Masker, over: GeoBox | None) -> GeoBox:
    """Pixels of the mask: those of the finest of its bands, or larger ones on the same corner."""
    infos = [scene.classification if band == SCL else scene.bands[band] for band in bands]
    own = min((info.geobox for info in infos if info is not None), key=lambda box: abs(box.affine.determinant))
    size = pixel_size_m(own)
    grid = own
    if size is not None and size < _OWN_PIXELS * masker.resolution_m:
        box = own.extent.boundingbox
        grid = snapped(tuple(box), own.crs, masker.resolution_m / metres_per_unit(own.crs), own.affine * (0, 0))
    if over is None:
        return grid
    shared = over.extent.to_crs(grid.crs) & grid.extent if grid.crs is not None else grid.extent
    if shared.is_empty:
        raise NoDataError(f"{scene.name} lies outside of the area that is to be masked.")
    return _around(grid, tuple(shared.boundingbox))


def _around(grid: GeoBox, bounds: tuple[float, ...]) -> GeoBox:
    """The part of a grid within bounds and near them."""
    size = pixel_size_m(grid)
    return crop(grid, window_of(bounds, grid).padded(0 if size is None else math.ceil(_AROUND_M / size), grid.shape))


def run(
    made: MaskPlan,
    folder: Path,
    pool: Crew,
    *,
    area: BaseGeometry | None = None,
    memory: str = "2G",
    probabilities: bool = False,
    progress: Progress | None = None,
) -> SceneMask:
    """Mask a scene.

    Args:
        made: what :func:`plan` settled.
        folder: for scratch rasters, one folder a scene; they are the result, so it must be kept as long as that.
        pool: does the work.
        area: no data outside of it; in the coordinates of the grid of the plan.
        memory: of all processes together.
        probabilities: keep them.
        progress: told of the two passes.

    Raises:
        GroundshiftError: as reading raises it.
    """
    told = progress or Silent()
    first = Planes.create(folder / "first.bin", (1, *made.shape), "uint8")
    codes = Planes.create(folder / "codes.bin", (1, *made.shape), "uint8")
    kept = Planes.create(folder / "chances.bin", (len(CLASSES), *made.shape), "uint8") if probabilities else None
    ground = Planes.create(folder / "ground.bin", (2, *made.shape), "uint16") if made.ground else None
    windows = list(_windows(made, memory, pool.workers))
    with told.stage("mask", len(windows)) as advance:
        looks = [_Look(made, window, first, kept, ground) for window in windows]
        pool.run(look, looks, lambda _: advance(1), str)
    with told.stage("shadows", len(windows) + 1) as advance:
        casts, factor = _sought(made, first, ground, folder / "casts.npz") if ground is not None else (None, 1)
        advance(1)
        ends = [_End(made, window, first, ground, folder / "casts.npz", factor, area, codes) for window in windows]
        pool.run(finish, ends, lambda _: advance(1), str)
    for planes in (first, ground):
        if planes is not None:
            planes.delete()
    return SceneMask(
        mask=made.spec.name, codes=codes, grid=made.grid, probabilities=kept, notes=made.notes, shadows=casts
    )


def found_again(made: MaskPlan, folder: Path) -> SceneMask:
    """What an earlier :func:`run` left in a folder."""
    codes = Planes.open(folder / "codes.bin")
    return SceneMask(
        mask=made.spec.name, codes=codes, grid=made.grid, probabilities=None, notes=made.notes, shadows=None
    )


def _windows(made: MaskPlan, memory: str, workers: int) -> Iterator[Window]:
    """Blocks so large that all workers fit the memory."""
    budget = max(worker_bytes(memory, workers), _LEAST_BYTES)
    per_pixel = 14 * (len(made.bands) + len(made.ground)) + (60 if made.spec.name == "scl" else 600)
    side = int(math.sqrt(budget / per_pixel)) - 2 * made.halo_px
    side = int(np.clip(side // _STEP_PX * _STEP_PX, _STEP_PX, _MOST_PX))
    return blocks(made.shape, side, side)


# ---- the first pass ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Look:
    """One block of the first pass."""

    plan: MaskPlan
    window: Window
    codes: Planes
    probabilities: Planes | None
    ground: Planes | None

    def __str__(self) -> str:
        return f"masking {self.plan.reader.scene.name}"


def mask_window(made: MaskPlan, window: Window) -> tuple[NDArray[np.uint8], Probabilities]:
    """Codes (y, x) and probabilities (4, y, x) of a window, as the mask itself gives them: no shadows are thrown."""
    masker = registry.make(made.spec)
    halo = masker.halo_px
    padded = made.grid.pad(halo)[window.y0 : window.y1 + 2 * halo, window.x0 : window.x1 + 2 * halo]
    values, valid = _read(made.reader, made.bands, padded)
    inner = np.s_[halo : halo + window.shape[0], halo : halo + window.shape[1]]
    if not valid[inner].any():
        empty = np.zeros((len(CLASSES), *window.shape), np.float32)
        return np.full(window.shape, CloudClass.NO_DATA, np.uint8), empty
    found = masker.probabilities(values, made.bands, valid)[:, *inner]
    name = made.spec.name
    return classify(found, valid[inner], registry.cloud_from(name), registry.shadow_from(name)), found


def _read(reader: Reader, bands: tuple[str, ...], geobox: GeoBox) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Reflectance (band, y, x), 0 where not valid, the SCL as codes; and where all bands hold data."""
    values = np.zeros((len(bands), *geobox.shape), np.float32)
    valid = np.ones(geobox.shape, bool)
    for i, band in enumerate(bands):
        if band == SCL:
            codes = reader.read_classification(geobox)
            assert codes is not None
            values[i], here = codes, codes != 0
        else:
            pixels, info = reader.read([band], geobox), reader.scene.bands[band]
            here = pixels.valid[0]
            values[i] = np.where(here, (pixels.dn[0].astype(np.float32) + info.offset) * info.scale, 0)
        valid &= here
    return values, valid


def look(work: _Look) -> None:
    """Mask one block and keep what shadows are sought by. A task for a worker."""
    codes, found = mask_window(work.plan, work.window)
    work.codes.write(work.window, codes, 0)
    if work.probabilities is not None:
        stored = np.rint(np.clip(found, 0, 1) / PROBABILITY_STEP).astype(np.uint8)
        stored[:, codes == CloudClass.NO_DATA] = CloudClass.NO_DATA
        work.probabilities.write(work.window, stored)
    if work.ground is not None:
        values, valid = _read(work.plan.reader, work.plan.ground, crop(work.plan.grid, work.window))
        nir = values[0]
        water = np.zeros(valid.shape, bool)
        if len(values) > 1:
            water = valid & (values[1] > nir) & (nir < _WATER_NIR)
        # 0 is no data
        dn = np.where(valid, np.clip(np.rint(nir / _NIR_STEP), 0, 65_533) + 1, 0)
        work.ground.write(work.window, np.stack([dn, water]))


# ---- from afar -----------------------------------------------------------------------------------------------------


def _sought(made: MaskPlan, codes: Planes, ground: Planes, path: Path) -> tuple[Casts | None, int]:
    """Seek the shadows of all clouds; what is found is left in a file too, for the workers."""
    scene = made.reader.scene
    factor = max(1, math.ceil(max(made.shape) / _AFAR_PX))
    cloud, nir, water, valid = _afar(codes, ground, factor)
    sun = scene.sun_zenith_deg or 0.0, scene.sun_azimuth_deg or 0.0
    casts = shadow.search(cloud, nir, water, valid, pixels_per_metre(made.grid) / factor, sun)
    np.savez(path, **vars(casts))
    return casts, factor


def _afar(
    codes: Planes, ground: Planes, factor: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Share of cloud, mean near infrared, mostly water, any data; on pixels of ``factor`` x ``factor``."""
    _, height, width = codes.shape
    rows, columns = -(-height // factor), -(-width // factor)
    cloud, nir = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    water, valid = np.zeros((rows, columns), bool), np.zeros((rows, columns), bool)
    strip = factor * max(1, 256 // factor)
    for window in blocks((height, width), strip):
        own = codes.read(window, 0)
        dn, wet = ground.read(window)
        known = (dn > 0) & (own != CloudClass.NO_DATA)
        part = slice(window.y0 // factor, -(-window.y1 // factor))
        count = np.maximum(_sums(known, factor), 1)
        cloud[part] = _sums((own == CloudClass.CLOUD) | (own == CloudClass.THIN_CLOUD), factor) / factor**2
        nir[part] = _sums(np.where(known, dn.astype(np.float32) - 1, 0), factor) / count * _NIR_STEP
        water[part] = 2 * _sums((wet > 0) & known, factor) > count
        valid[part] = _sums(known, factor) > 0
    return cloud, nir, water, valid


def _sums(values: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Sums over squares of a strip, the last of which may be cut."""
    if factor == 1:
        return values.astype(np.float32)
    down = np.add.reduceat(values.astype(np.float32), np.arange(0, values.shape[0], factor), axis=0)
    return np.asarray(np.add.reduceat(down, np.arange(0, values.shape[1], factor), axis=1), np.float32)


# ---- the second pass -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _End:
    """One block of the second pass."""

    plan: MaskPlan
    window: Window
    codes: Planes
    ground: Planes | None
    casts: Path
    factor: int
    area: BaseGeometry | None
    out: Planes

    def __str__(self) -> str:
        return f"finding the shadows of {self.plan.reader.scene.name}"


def finish(work: _End) -> None:
    """Throw the shadows onto one block, grow them and the clouds, cut the area out. A task for a worker."""
    cloud_px, shadow_px = work.plan.growth_px
    halo = math.ceil(max(cloud_px, shadow_px))
    wide = work.window.padded(halo, work.plan.shape)
    codes = np.asarray(work.codes.read(wide, 0), np.uint8).copy()
    if work.ground is not None:
        shaded = _shaded(work, wide) & ((codes == CloudClass.CLEAR) | (codes == CloudClass.SNOW))
        codes[shaded] = CloudClass.SHADOW
    codes = grown(codes, cloud_px, shadow_px)
    codes = codes[work.window.within(wide).slices]
    if work.area is not None:
        codes[~vector.rasterise_mask(work.area, work.plan.grid, work.window)] = CloudClass.NO_DATA
    work.out.write(work.window, codes, 0)


@lru_cache(maxsize=1)
def _casts(path: Path, stamp: int) -> Casts:
    with np.load(path, allow_pickle=False) as stored:
        return Casts(**{name: stored[name] for name in stored.files})


def _shaded(work: _End, window: Window) -> NDArray[np.bool_]:
    """Where shadows lie in a window (y, x)."""
    assert work.ground is not None
    casts, factor, shape = _casts(work.casts, work.casts.stat().st_mtime_ns), work.factor, work.plan.shape
    near = window.padded(shadow.halo_px(factor), shape)
    up, down, left, right = (reach * factor for reach in casts.reach_px)
    pad = factor + 1
    source = Window(
        max(0, near.y0 - down - pad),
        min(shape[0], near.y1 - up + pad),
        max(0, near.x0 - right - pad),
        min(shape[1], near.x1 - left + pad),
    )
    thrown = np.zeros(near.shape, np.uint8)
    if source.y1 > source.y0 and source.x1 > source.x0:
        own = work.codes.read(source, 0)
        cloud = (own == CloudClass.CLOUD) | (own == CloudClass.THIN_CLOUD)
        thrown = shadow.cast(cloud, (source.y0, source.x0), casts, factor, (near.y0, near.y1, near.x0, near.x1))
    dn, wet = work.ground.read(near)
    nir = (dn.astype(np.float32) - 1) * np.float32(_NIR_STEP)
    rows, columns = np.arange(near.y0, near.y1) // factor, np.arange(near.x0, near.x1) // factor
    found = shadow.shaded(thrown, nir, casts.level[np.ix_(rows, columns)], wet > 0, factor) & (dn > 0)
    return np.asarray(found[window.within(near).slices])


def over_area(made: MaskPlan, aoi: str) -> tuple[MaskPlan, BaseGeometry]:
    """The plan for an area of interest and what lies around it, and the area in the coordinates of its grid.

    Raises:
        GridError: the area lies elsewhere.
    """
    area = vector.aoi_on(*vector.read_aoi(aoi), made.grid)
    return replace(made, grid=_around(made.grid, area.bounds)), area
