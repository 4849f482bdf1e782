"""Stacks of features: rasters whose bands have names, read window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.windows import Window as RasterWindow

from groundshift.errors import InputError
from groundshift.io.decode import decoding
from groundshift.io.drivers import check_structure, geobox_of, opened
from groundshift.model.grid import Window

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


@dataclass(frozen=True, eq=False)
class StackFile:
    """What is known of a stack before a pixel of it is read; it can be sent to a process."""

    path: str
    names: tuple[str, ...]
    """Of the bands, in file order."""
    geobox: GeoBox
    units: tuple[str, ...] = ()
    """Of the bands; empty where they have none."""

    @classmethod
    def open(cls, path: str) -> StackFile:
        """Look at a raster; bands without a name are called band1, band2 ...

        Raises:
            MissingInputError, ProductError: the file is missing, damaged, or no raster.
        """
        check_structure(path)
        with opened(path) as dataset:
            names = tuple(text or f"band{k}" for k, text in enumerate(dataset.descriptions, 1))
            return cls(path, names, geobox_of(dataset), tuple(unit or "" for unit in dataset.units))

    def read(self, window: Window, names: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Features (f, y, x) float32 of a window of the grid, NaN for no data and outside of the file.

        Raises:
            InputError: a name is none of the stack.
            MissingInputError, ProductError: the file is gone, or damaged.
        """
        bands = [self.names.index(name) + 1 for name in self._known(names or self.names)]
        out = np.full((len(bands), *window.shape), np.nan, np.float32)
        inside = window.shared(Window(0, int(self.geobox.shape[0]), 0, int(self.geobox.shape[1])))
        if inside is None:
            return out
        (y0, x0), (rows, columns) = (inside.y0, inside.x0), inside.shape
        with opened(self.path) as dataset, decoding(self.path, "features"):
            box = RasterWindow(x0, y0, columns, rows)
            stored = dataset.read(bands, window=box)
            known = dataset.read_masks(bands, window=box) != 0
            out[:, *inside.within(window).slices] = _scaled(dataset, bands, stored, known)
        return out

    def from_afar(self, longest_px: int) -> NDArray[np.float32]:
        """All bands (band, y, x) in at most so many pixels along the longer side, from overviews if there are."""
        scale = min(1.0, longest_px / max(self.geobox.shape))
        shape = tuple(max(1, round(n * scale)) for n in self.geobox.shape)
        bands = range(1, len(self.names) + 1)
        with opened(self.path) as dataset, decoding(self.path, "all bands"):
            found = [dataset.read(k, out_shape=shape, resampling=Resampling.nearest, masked=True) for k in bands]
            known = np.stack([~np.ma.getmaskarray(band) for band in found])
            return _scaled(dataset, bands, np.stack([band.data for band in found]), known)

    def _known(self, names: Sequence[str]) -> Sequence[str]:
        missing = [name for name in names if name not in self.names]
        if missing:
            raise InputError(f"{self.path}: has no {', '.join(missing)}: it has {', '.join(self.names)}.")
        return names


def open_stack(path: str) -> StackFile:
    """Open a stack; bands without a name are called band1, band2 ...

    Raises:
        MissingInputError, ProductError: the file is missing, damaged, or no raster.
        InputError: two bands have one name.
    """
    file = StackFile.open(path)
    names = file.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: several bands are called {', '.join(twice)}: a feature has a name of its own.")
    return file


def _scaled(
    dataset: DatasetReader, bands: Sequence[int], stored: NDArray[np.generic], known: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Values of bands as the file means them, NaN where they are not known."""
    out = stored.astype(np.float32)
    for values, has, band in zip(out, known, bands, strict=True):
        values *= np.float32(dataset.scales[band - 1])
        values += np.float32(dataset.offsets[band - 1])
        values[~has] = np.nan
    return out
