"""Stacks of features: rasters whose bands have names, read window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window as RasterWindow

from groundshift.errors import InputError
from groundshift.io.drivers import check_structure, geobox_of, opened
from groundshift.model.grid import Window


@dataclass(frozen=True, eq=False)
class StackFile:
    """What is known of a stack before a pixel of it is read; it can be sent to a process."""

    path: str
    names: tuple[str, ...]
    """Of the bands, in file order."""
    geobox: GeoBox

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
        with opened(self.path) as dataset:
            box = RasterWindow(x0, y0, columns, rows)
            stored = dataset.read(bands, window=box).astype(np.float32)
            known = dataset.read_masks(bands, window=box) != 0
            for values, has, band in zip(stored, known, bands, strict=True):
                values *= np.float32(dataset.scales[band - 1])
                values += np.float32(dataset.offsets[band - 1])
                values[~has] = np.nan
        out[:, *inside.within(window).slices] = stored
        return out

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
    check_structure(path)
    with opened(path) as dataset:
        names = tuple(text or f"band{k}" for k, text in enumerate(dataset.descriptions, 1))
        geobox = geobox_of(dataset)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: several bands are called {', '.join(twice)}: a feature has a name of its own.")
    return StackFile(path, names, geobox)
