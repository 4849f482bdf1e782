"""A scene from afar: its colours on a coarse grid, from the smallest copy that there is of them.

That is the preview of a SAFE product (``*_PVI.jp2``, 320 m), the overviews of GeoTIFF bands, the thumbnail of a STAC
item whose bands were not fetched, or else the bands themselves, averaged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from groundshift.errors import MissingInputError, ProductError
from groundshift.io import drivers, jp2, opening, stac, warp
from groundshift.io.archive import unpack
from groundshift.io.decode import decoding
from groundshift.io.fileset import FilesetReader
from groundshift.io.safe import SafeReader
from groundshift.model.bands import DISPLAY_TOP
from groundshift.model.grid import Window
from groundshift.model.scene import OpenOptions, Reader, Scene

COLOURS = ("B04", "B03", "B02")
_PVI = re.compile(r"GRANULE/[^/]+/QI_DATA/[^/]*PVI[^/]*\.jp2$")
_SMALL_PX = 2048 * 2048
"""Pixels of an image that is small as it is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A small copy of a scene, as stored."""

    rgb: NDArray[np.float32]
    """(3, y, x) reflectance."""
    valid: NDArray[np.bool_]
    geobox: GeoBox
    source: str
    """preview, overviews, thumbnail or bands."""

    def on(self, geobox: GeoBox) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Colours (3, y, x) and validity (y, x) on a grid."""
        parts = []
        for band in self.rgb:

            def source(window: Window, band: NDArray[np.float32] = band) -> warp.Stored:
                return band[window.slices], self.valid[window.slices]

            parts.append(warp.resample(source, self.geobox, np.dtype(np.float32), geobox, "bilinear"))
        return np.stack([dn for dn, _ in parts]).astype(np.float32), np.all([valid for _, valid in parts], axis=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Glance:
    """A scene that may be looked at from afar, though it may not be read: of a STAC item only the thumbnail may lie
    here."""

    scene: Scene
    grid: GeoBox
    """Of the finest band that is known."""
    reader: Reader | None
    thumbnail: Path | None = None

    def classification(self, geobox: GeoBox) -> NDArray[np.uint8] | None:
        """SCL on a grid, None where there is none."""
        return None if self.reader is None else self.reader.read_classification(geobox)

    def picture(self, geobox: GeoBox, *, small: bool = False) -> Picture | None:
        """Its colours, at about the pixels of a grid; None where it has none of them.

        Args:
            geobox: the grid.
            small: only where a small copy of them lies there; nothing large is read for it.

        Raises:
            ProductError: a file is damaged.
        """
        if self.reader is None:
            return _thumbnail(self.thumbnail, self.grid) if self.thumbnail is not None else None
        if isinstance(self.reader, SafeReader) and (found := _safe(self.reader, self.grid)) is not None:
            return found
        if not set(COLOURS) <= set(self.scene.bands):
            return None
        if isinstance(self.reader, FilesetReader) and not any(self.reader.stored[band].masks for band in COLOURS):
            return None if small and not _is_small(self.reader) else _overviews(self.reader, geobox)
        return None if small else _averaged(self.reader, geobox)


def glance(text: str | Path, options: OpenOptions | None = None) -> Glance:
    """Open a scene to look at it from afar.

    Args:
        text: as :func:`groundshift.io.opening.open_scene` takes it, or a STAC item of which only the thumbnail and the
            item are here.
        options: as there.

    Raises:
        GroundshiftError: as opening raises it.
    """
    try:
        reader = opening.open_scene(text, options)
    except MissingInputError:
        found = stac.thumbnail_of(Path(text))
        if found is None:
            raise
        scene, grid, path = found
        return Glance(scene=scene, grid=grid, reader=None, thumbnail=path)
    return of(reader)


def of(reader: Reader) -> Glance:
    """A scene that is open, to be looked at from afar."""
    boxes = (info.geobox for info in reader.scene.bands.values())
    grid = min(boxes, key=lambda box: abs(box.affine.determinant))
    return Glance(scene=reader.scene, grid=grid, reader=reader)


def _stretched(shape: tuple[int, int], over: GeoBox) -> GeoBox:
    """A grid of that shape over all of another."""
    rows, columns = over.shape
    return GeoBox(shape, over.affine * Affine.scale(columns / shape[1], rows / shape[0]), over.crs)


def _from_display(values: NDArray[Any], geobox: GeoBox, source: str) -> Picture:
    """8 bits as ESA shows reflectance: 0 no data, 1 to 255 from 0 to 0.3558."""
    rgb = (values[:3].astype(np.float32) - 1) / np.float32(254) * np.float32(DISPLAY_TOP)
    return Picture(rgb=np.maximum(rgb, 0), valid=np.asarray((values[:3] > 0).any(axis=0)), geobox=geobox, source=source)


def _safe(reader: SafeReader, over: GeoBox) -> Picture | None:
    store = reader.store
    name = next((name for name in store.names if _PVI.search(name)), None)
    if name is None:
        return None
    path = store.in_place(name)
    if path is None:
        target = Path(reader.scratch, "preview.jp2")
        unpack(store, name, target)
        path = str(target)
    with store.open(name) as stream:
        jp2.check_complete(stream, store.location(name))
    with (
        decoding(store.location(name), "preview"),
        rasterio.Env(**jp2.SETTINGS),
        rasterio.open(path, driver="JP2OpenJPEG") as dataset,
    ):
        values, transform, crs = dataset.read(), dataset.transform, dataset.crs
    if len(values) < 3:
        return None
    own = GeoBox(values.shape[1:], transform, crs) if crs is not None else _stretched(values.shape[1:], over)
    return _from_display(values, own, "preview")


def _is_small(reader: FilesetReader) -> bool:
    """Whether all colours can be had without reading much."""
    for band in COLOURS:
        with drivers.opened(reader.stored[band].path) as dataset:
            if dataset.width * dataset.height > _SMALL_PX and not dataset.overviews(reader.stored[band].index):
                return False
    return True


def _overviews(reader: FilesetReader, geobox: GeoBox) -> Picture:
    """Bands, thinned by GDAL to about the pixels that are asked for; overviews are used where there are some."""
    first = reader.stored[COLOURS[0]].info.geobox
    own = _stretched(_thinned(first, geobox), first)
    layers, valid = [], np.ones(own.shape, bool)
    for band in COLOURS:
        stored = reader.stored[band]
        info = stored.info
        with drivers.opened(stored.path) as dataset, decoding(stored.path, band):
            dn = dataset.read(stored.index, out_shape=own.shape, resampling=Resampling.average)
            valid &= dataset.read_masks(stored.index, out_shape=own.shape) > 0
        valid &= np.isfinite(dn)
        if info.nodata is not None or dn.dtype.kind == "u":
            valid &= dn != (info.nodata or 0)
        layers.append((dn.astype(np.float32) + info.offset) * info.scale)
    rgb = np.where(valid, np.stack(layers), 0).astype(np.float32)
    return Picture(rgb=rgb, valid=valid, geobox=own, source="overviews")


def _thinned(native: GeoBox, geobox: GeoBox) -> tuple[int, int]:
    """Rows and columns of an image whose pixels are about those of a grid."""
    inner = native.extent.to_crs(geobox.crs) if native.crs is not None else native.extent
    whole = inner.area / abs(geobox.affine.determinant)
    share = min(1.0, float(np.sqrt(max(1.0, whole) / (native.shape[0] * native.shape[1]))))
    return max(1, round(native.shape[0] * share)), max(1, round(native.shape[1] * share))


def _averaged(reader: Reader, geobox: GeoBox) -> Picture:
    pixels = reader.read(list(COLOURS), geobox)
    infos = (reader.scene.bands[band] for band in COLOURS)
    valid = np.asarray(pixels.valid.all(axis=0))
    rgb = [(dn.astype(np.float32) + info.offset) * info.scale for dn, info in zip(pixels.dn, infos, strict=True)]
    return Picture(rgb=np.where(valid, rgb, 0).astype(np.float32), valid=valid, geobox=geobox, source="bands")


def _thumbnail(path: Path, over: GeoBox) -> Picture:
    from PIL import Image

    try:
        with Image.open(path) as opened:
            values = np.moveaxis(np.asarray(opened.convert("RGB")), -1, 0)
    except (OSError, ValueError) as error:
        raise ProductError(f"{path}: is no picture that can be read: {error}.") from error
    return _from_display(values, _stretched(values.shape[1:], over), "thumbnail")
