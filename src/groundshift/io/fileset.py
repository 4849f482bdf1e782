"""A reader of scenes whose bands lie in local raster files, one band after another: STAC items, folders, images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.errors import GridError, MissingInputError
from groundshift.io import drivers, jp2, warp
from groundshift.model.bands import SCL
from groundshift.model.grid import Window, crop
from groundshift.model.scene import BandInfo, Checked, Pixels, Reader, Resampling, Scene

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


@dataclass(frozen=True)
class MaskBand:
    """A 0/1 raster beside the bands, 1 = usable."""

    path: str
    index: int
    geobox: GeoBox


@dataclass(frozen=True)
class MaskedReader:
    """Any reader, under a mask that the user gave beside the image; a :class:`~groundshift.model.scene.Reader`."""

    reader: Reader
    mask: MaskBand

    @property
    def scene(self) -> Scene:
        """The scene; the share of no data that its metadata declare is not that under the mask."""
        return replace(self.reader.scene, nodata_percent=None)

    def files(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Files behind these bands, then the mask; raises MissingInputError."""
        return (*self.reader.files(bands), self.mask.path)

    def verify(self, file: str) -> Checked:
        """Verify a file as the reader does; of the mask, that it holds all its pixels."""
        if file != self.mask.path:
            return self.reader.verify(file)
        drivers.check_structure(file)
        return Checked(href=file, algorithm="none", digest="", ok=True)

    def read(self, bands: Sequence[str], geobox: GeoBox, resampling: Resampling = "bilinear") -> Pixels:
        """Read bands on a grid; see :class:`~groundshift.model.scene.Reader`."""
        pixels = self.reader.read(bands, geobox, resampling)
        with _session() as session:
            usable = _mask_on(session, self.mask, geobox)
        return replace(pixels, valid=pixels.valid & usable, saturated=pixels.saturated & usable)

    def read_classification(self, geobox: GeoBox) -> NDArray[np.uint8] | None:
        """Read the SCL on a grid, whatever the mask says."""
        return self.reader.read_classification(geobox)


@dataclass(frozen=True)
class StoredBand:
    """Where one band lies and what decides that its pixels are measurements."""

    info: BandInfo
    path: str
    index: int
    """Band of the file, from 1."""
    masks: tuple[MaskBand, ...] = ()
    empty_with: tuple[tuple[str, int], ...] = ()
    """(path, index) of bands on the same grid: a pixel that is 0 here and in every one of them is no data."""


@dataclass(frozen=True)
class FilesetReader:
    """Reads the bands of one scene from local files; a :class:`~groundshift.model.scene.Reader`."""

    scene: Scene
    stored: Mapping[str, StoredBand]
    """By canonical name, ``SCL`` among them."""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Bands that the product has but that cannot be read here, with the reason as a sentence."""

    def files(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Files behind these bands, masks included; raises MissingInputError."""
        found = (self._find(band) for band in bands)
        paths = (path for band in found for path in (band.path, *(mask.path for mask in band.masks)))
        return tuple(dict.fromkeys(paths))

    def verify(self, file: str) -> Checked:
        """Check that a file holds all the pixels its header promises: there is no manifest to compare it with."""
        if file not in self.files(tuple(self.stored)):
            raise MissingInputError(f"{file}: is no file of {self.scene.name}.")
        drivers.check_structure(file)
        return Checked(href=file, algorithm="none", digest="", ok=True)

    def read(self, bands: Sequence[str], geobox: GeoBox, resampling: Resampling = "bilinear") -> Pixels:
        """Read bands on a grid; see :class:`~groundshift.model.scene.Reader`."""
        found = [self._find(band) for band in bands]
        with _session() as session:
            planes = [_read(session, band, geobox, resampling) for band in found]
        dn, valid, saturated = zip(*planes, strict=True)
        return Pixels(dn=np.stack(dn), valid=np.stack(valid), saturated=np.stack(saturated))

    def read_classification(self, geobox: GeoBox) -> NDArray[np.uint8] | None:
        """Read the SCL on a grid, nearest neighbour, 0 outside; None when the scene has none."""
        if SCL not in self.stored:
            return None
        with _session() as session:
            dn, valid, _ = _read(session, self.stored[SCL], geobox, "nearest")
        return np.where(valid, dn, 0).astype(np.uint8)

    def _find(self, band: str) -> StoredBand:
        if band in self.unavailable:
            raise MissingInputError(self.unavailable[band])
        if band not in self.stored:
            raise MissingInputError(
                f"{self.scene.href}: has no band {band}: choose among {', '.join(self.stored) or 'none'}."
            )
        return self.stored[band]


class _Session:
    """The files that one read opens, and the windows it has already read."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._datasets: dict[str, DatasetReader] = {}
        self._windows: dict[tuple[str, int, Window], warp.Stored] = {}

    def window(self, path: str, index: int, info: BandInfo, window: Window) -> warp.Stored:
        """Stored values and their validity, read once."""
        key = path, index, window
        if key not in self._windows:
            if path not in self._datasets:
                self._datasets[path] = self._stack.enter_context(drivers.opened(path))
            dataset = self._datasets[path]
            if dataset.driver == "JP2OpenJPEG" and index == 1:
                self._windows[key] = jp2.read_tiles(dataset, info, window)
            else:
                self._windows[key] = warp.read_window(dataset, index, info, window)
        return self._windows[key]


@contextmanager
def _session() -> Iterator[_Session]:
    with ExitStack() as stack:
        yield _Session(stack)


def _read(
    session: _Session, band: StoredBand, geobox: GeoBox, resampling: Resampling
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
    info = band.info
    dtype = np.dtype(info.dtype)
    saturation = False

    def source(window: Window) -> warp.Stored:
        nonlocal saturation
        dn, valid = session.window(band.path, band.index, info, window)
        saturation |= info.saturated is not None and bool((dn == info.saturated).any())
        return dn, valid & _masked(session, band, window, dn)

    dn, valid = warp.resample(source, info.geobox, dtype, geobox, resampling)
    saturated = np.zeros(dn.shape, bool)
    if saturation:
        saturated = _spread(source, band, geobox, resampling) & valid
    return dn, valid, saturated


def _spread(
    source: Callable[[Window], warp.Stored], band: StoredBand, geobox: GeoBox, resampling: Resampling
) -> NDArray[np.bool_]:
    """True where a saturated pixel had a part in the value."""

    def indicator(window: Window) -> warp.Stored:
        dn, valid = source(window)
        return (dn == band.info.saturated).astype(np.float32), valid

    share, _ = warp.resample(indicator, band.info.geobox, np.dtype(np.float32), geobox, resampling)
    return np.asarray(share != 0)


def _masked(session: _Session, band: StoredBand, window: Window, dn: NDArray[Any]) -> NDArray[np.bool_]:
    usable = np.ones(dn.shape, bool)
    for mask in band.masks:
        usable &= _mask_on(session, mask, crop(band.info.geobox, window))
    if band.empty_with and not dn.all():
        usable &= ~_empty(session, band, window, dn)
    return usable


def _mask_on(session: _Session, mask: MaskBand, geobox: GeoBox) -> NDArray[np.bool_]:
    info = BandInfo(name="mask", href=mask.path, geobox=mask.geobox, dtype="float32")

    def source(window: Window) -> warp.Stored:
        return session.window(mask.path, mask.index, info, window)

    if (mask.geobox.crs is None) != (geobox.crs is None):
        raise GridError(f"{mask.path}: the mask and the image must both have a georeference, or both none.")
    value, valid = warp.resample(source, mask.geobox, np.dtype(np.float32), geobox, "nearest")
    return np.asarray(valid & (value != 0))


def _empty(session: _Session, band: StoredBand, window: Window, dn: NDArray[Any]) -> NDArray[np.bool_]:
    empty = np.asarray(dn == 0)
    for path, index in band.empty_with:
        if not empty.any():
            break
        empty &= session.window(path, index, band.info, window)[0] == 0
    return empty
