"""Both scenes to planes on one grid: verified, decoded once, by many processes, and resumable.

After this stage everything reads planes, which costs next to nothing, as often as it likes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.clouds import scl
from groundshift.io import vector
from groundshift.io.planes import Planes
from groundshift.model.cloudmask import CloudClass
from groundshift.model.grid import Window, crop, offset_px, pixel_size_m, same_grid
from groundshift.model.scene import Checked, Reader, Scene
from groundshift.model.scl import SceneClass
from groundshift.pipelines.fitting import Block
from groundshift.pipelines.scene_mask import SceneMask
from groundshift.radiometry.reflectance import EMPTY, SATURATED, USABLE, from_stored

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from groundshift.pipelines.job import MaskSection

_ROWS = 1024
"""Rows of a unit of work: a row of JPEG 2000 tiles of a 10 m band."""
_MASK_UNIT = 4
"""Units of a band that one unit of the mask covers: its halo and the tiles of its file overlap the neighbours'."""
_WIDE = 16_384
"""Columns beyond which a unit has fewer rows, for the sake of memory."""

MASKED = 1
"""Code of the mask plane for cloud, shadow or the like, beside USABLE and EMPTY."""
LENIENT = 3
"""The same where a lenient set of classes, none of them grown, leaves the pixel usable."""


@dataclass(frozen=True, eq=False)
class Stack:
    """One scene on the grid of the run, as planes; it can be sent to a process."""

    dn: Planes
    """(p, y, x) uint16 with 0 for no data and 65535 for saturated, or float32 with NaN for both."""
    mask: Planes
    """(1, y, x) uint8."""
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    """In DN, after the audit."""

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.uint8]]:
        """Reflectance (p, y, x), usable (y, x), and mask codes (y, x) where the pixel itself holds data, else EMPTY."""
        return from_stored(self.dn.read(window), self.mask.read(window, 0), self.scale, self.offset)

    def read_pixels(self, window: Window, where: NDArray[np.intp]) -> NDArray[np.float32]:
        """Reflectance (p, n) of some pixels of a window, numbered row by row."""
        dn = np.stack([self.dn.read(window, band).reshape(-1)[where] for band in range(self.dn.shape[0])])
        mask = self.mask.read(window, 0).reshape(-1)[where]
        return from_stored(dn[:, None], mask[None], self.scale, self.offset)[0][:, 0]


@dataclass(frozen=True, eq=False)
class Unit:
    """A part of one scene: some rows of one band, or of the mask."""

    reader: Reader
    band: str | None
    """None: the mask."""
    index: int
    geobox: GeoBox
    """Of the whole target."""
    window: Window
    target: Planes
    mask: MaskSection
    area: BaseGeometry | None
    lenient: tuple[int, ...] = ()
    """Classes that stay masked under the lenient set; empty: there is none."""
    found: SceneMask | None = None
    """A cloud mask: all there is to know of clouds, or, where it is made of the classes, of shadows beside theirs."""

    @property
    def key(self) -> str:
        """Name in the journal."""
        return f"{self.target.path.name}:{self.index}:{self.window.y0}"

    def __str__(self) -> str:
        return f"reading {self.band or 'the scene classification'} of {self.reader.scene.name}"


def prepare(reader: Reader, bands: Sequence[str], geobox: GeoBox, folder: Path, role: str, *, fresh: bool) -> Stack:
    """Make (or find again) the planes of a scene."""
    infos = [reader.scene.bands[band] for band in bands]
    kind = "uint16" if all(_is_plain(reader.scene, band, geobox) for band in bands) else "float32"
    shapes = (len(bands), *geobox.shape), (1, *geobox.shape)
    paths = folder / f"{role}.bin", folder / f"{role}-mask.bin"
    dn, mask = (
        Planes.create(path, shape, dtype) if fresh else Planes.open(path)
        for path, shape, dtype in zip(paths, shapes, (kind, "uint8"), strict=True)
    )
    return Stack(dn, mask, tuple(info.scale for info in infos), tuple(info.offset for info in infos))


def _is_plain(scene: Scene, band: str, geobox: GeoBox) -> bool:
    """True when stored values fit uint16 planes unchanged: integers with 0 as no data, on the grid itself."""
    info = scene.bands[band]
    small = info.dtype == "uint8" or (info.dtype == "uint16" and info.saturated is not None)
    return small and info.nodata == 0 and same_grid(info.geobox, geobox)


def units(
    reader: Reader,
    bands: Sequence[str],
    geobox: GeoBox,
    stack: Stack,
    mask: MaskSection,
    area: BaseGeometry | None,
    lenient: tuple[int, ...] = (),
    found: SceneMask | None = None,
) -> Iterator[Unit]:
    """The work of reading one scene; the mask, whose units are the longest, comes first."""
    for index, band in ((len(bands), None), *enumerate(bands)):
        target = stack.dn if band else stack.mask
        for window in _rows(reader, band, geobox):
            yield Unit(reader, band, index, geobox, window, target, mask, area, lenient, found)


def _rows(reader: Reader, band: str | None, geobox: GeoBox) -> Iterator[Window]:
    """Rows that begin where the tiles of the stored file begin, so that no tile is decoded twice."""
    height, width = geobox.shape
    first = 0
    if band and same_grid(reader.scene.bands[band].geobox, geobox):
        first = -offset_px(reader.scene.bands[band].geobox, geobox)[0] % _ROWS
    step = unit_rows(width) * (1 if band else _MASK_UNIT)
    edges = sorted({0, *range(first % step, height, step), height})
    for y0, y1 in itertools.pairwise(edges):
        yield Window(y0, y1, 0, width)


def unit_rows(columns: int) -> int:
    """Rows that are read at once, of an image of so many columns."""
    return _ROWS if columns <= _WIDE else _ROWS // 8


def run_unit(unit: Unit) -> str:
    """Read one unit and write it to its planes; returns its key. A task for a worker."""
    if unit.band is None:
        step = unit_rows(unit.window.shape[1])
        for y0 in range(unit.window.y0, unit.window.y1, step):
            part = replace(unit, window=replace(unit.window, y0=y0, y1=min(y0 + step, unit.window.y1)))
            unit.target.write(part.window, _mask(part), 0)
        return unit.key
    pixels = unit.reader.read([unit.band], crop(unit.geobox, unit.window))
    unit.target.write(
        unit.window, _storable(pixels.dn[0], pixels.valid[0], pixels.saturated[0], unit.target.dtype), unit.index
    )
    return unit.key


def _storable(
    dn: NDArray[np.generic], valid: NDArray[np.bool_], saturated: NDArray[np.bool_], dtype: str
) -> NDArray[np.generic]:
    if dtype == "float32":
        return np.where(valid & ~saturated, dn, np.nan).astype(np.float32)
    out = np.empty(dn.shape, np.uint16)
    _store(np.ascontiguousarray(dn).reshape(-1), valid.reshape(-1), saturated.reshape(-1), SATURATED, out.reshape(-1))
    return out


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _store(dn: Any, valid: Any, saturated: Any, limit: int, out: Any) -> None:
    for i in range(out.size):
        value = dn[i] if valid[i] else 0
        out[i] = limit if saturated[i] else value


def _mask(unit: Unit) -> NDArray[np.uint8]:
    """Mask codes of some rows: from the scene classification or another mask, grown, and the area of interest."""
    pixel_m = pixel_size_m(unit.geobox)
    cloud, shadow = (length / (pixel_m or 10.0) for length in (unit.mask.cloud_dilation_m, unit.mask.shadow_dilation_m))
    halo = scl.halo_px(cloud, shadow)
    padded = Window(unit.window.y0 - halo, unit.window.y1 + halo, -halo, unit.window.x1 + halo)
    around = unit.geobox.pad(halo)[padded.y0 + halo : padded.y1 + halo, :]
    classed = unit.found is None or unit.found.mask == "scl"
    classes = unit.reader.read_classification(around) if classed else None
    out = np.full(unit.window.shape, USABLE, np.uint8)
    inner = slice(halo, halo + unit.window.shape[0]), slice(halo, halo + unit.window.shape[1])
    if classes is not None:
        masked = ~scl.usable(classes, unit.mask.classes, cloud, shadow)[inner]
        out[masked] = MASKED
        if unit.lenient:
            out[masked & scl.usable(classes, unit.lenient, 0, 0)[inner]] = LENIENT
        if SceneClass.NO_DATA in unit.mask.classes:
            out[classes[inner] == SceneClass.NO_DATA] = EMPTY
    if unit.found is not None:
        codes = unit.found.read(around)
        thick, thin = codes == CloudClass.CLOUD, codes == CloudClass.THIN_CLOUD
        hard = codes == CloudClass.SHADOW
        near = scl.grow(hard, shadow)
        if not classed:
            scl.grow(thick | thin, cloud, near)
            hard |= thick | thin
        out[near[inner] & (out == USABLE)] = LENIENT if unit.lenient else MASKED
        out[hard[inner] & (out != EMPTY)] = MASKED
    if unit.area is not None:
        out[~vector.rasterise_mask(unit.area, unit.geobox, unit.window)] = EMPTY
    return out


@dataclass(frozen=True, eq=False)
class SampleUnit:
    """One sample block of the pair that lies outside of what is compared."""

    readers: tuple[Reader, Reader]
    bands: tuple[str, ...]
    geobox: GeoBox
    """Of the block."""
    mask: MaskSection
    offsets: tuple[tuple[float, ...], tuple[float, ...]]

    def __str__(self) -> str:
        return f"reading a sample of {self.readers[0].scene.name} and {self.readers[1].scene.name}"


def read_sample(unit: SampleUnit) -> Block:
    """Read one sample block straight from the files. A task for a worker."""
    parts = []
    window = Window(0, unit.geobox.shape[0], 0, unit.geobox.shape[1])
    for reader, offset in zip(unit.readers, unit.offsets, strict=True):
        pixels = reader.read(unit.bands, unit.geobox)
        dn = np.stack(
            [_storable(*band, "float32") for band in zip(pixels.dn, pixels.valid, pixels.saturated, strict=True)]
        )
        nowhere = Planes(Path(), (1, *unit.geobox.shape), "uint8")
        mask = _mask(Unit(reader, None, 0, unit.geobox, window, nowhere, unit.mask, None))
        scale = [reader.scene.bands[band].scale for band in unit.bands]
        parts.append(from_stored(dn, mask, scale, offset))
    (before, usable_before, _), (after, usable_after, _) = parts
    return Block(before, after, usable_before & usable_after)


def read_block(stacks: tuple[Stack, Stack], window: Window) -> Block:
    """One block of the pair from the planes."""
    (before, usable_before, _), (after, usable_after, _) = (stack.read(window) for stack in stacks)
    return Block(before, after, usable_before & usable_after)


def verify_file(work: tuple[Reader, str]) -> Checked:
    """Verify one file. A task for a worker."""
    reader, file = work
    return reader.verify(file)


def audited(stack: Stack, offsets: Sequence[float]) -> Stack:
    """The stack with the offsets that the audit settled."""
    return replace(stack, offset=tuple(offsets))
