"""Class maps as they are stored: codes read window by window, with the names and colours that the file knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window as RasterWindow

from groundshift.errors import InputError
from groundshift.io.class_maps import class_names
from groundshift.io.decode import decoding
from groundshift.io.drivers import check_structure, geobox_of, opened
from groundshift.model.grid import Window
from groundshift.model.legend import NO_CHANGE, NO_DATA, Legend, LegendEntry, legend_of

_MOST = 64
"""Classes of a file without names: a raster with more values is no map of classes."""


@dataclass(frozen=True, eq=False)
class ClassFile:
    """What is known of a class map before a pixel of it is read; it can be sent to a process."""

    path: str
    geobox: GeoBox
    nodata: float | None

    def read(self, window: Window, fill: int = NO_DATA) -> NDArray[np.uint8]:
        """Codes (y, x) uint8 of a window, 255 for no data, ``fill`` outside of the file.

        Raises:
            MissingInputError, ProductError: the file is gone, or damaged.
            InputError: a code below 0 or above 255.
        """
        out = np.full(window.shape, fill, np.uint8)
        inside = window.shared(Window(0, int(self.geobox.shape[0]), 0, int(self.geobox.shape[1])))
        if inside is None:
            return out
        box = RasterWindow(inside.x0, inside.y0, inside.shape[1], inside.shape[0])
        with opened(self.path) as dataset, decoding(self.path, "classes"):
            stored = dataset.read(1, window=box)
        known = stored != self.nodata if self.nodata is not None else np.ones(stored.shape, bool)
        if ((stored < 0) | (stored > NO_DATA))[known].any():
            raise InputError(f"{self.path}: holds codes below 0 or above 255: expected a map of classes in bytes.")
        out[inside.within(window).slices] = np.where(known, stored, NO_DATA)
        return out


def open_classes(path: str) -> ClassFile:
    """Open a map of classes: band 1 of a raster of whole numbers.

    Raises:
        MissingInputError, ProductError: the file is missing, damaged, or no raster.
        InputError: it holds measurements instead of classes.
    """
    check_structure(path)
    with opened(path) as dataset:
        if np.dtype(dataset.dtypes[0]).kind not in "iu":
            raise InputError(f"{path}: holds {dataset.dtypes[0]} values: expected a map of classes in whole numbers.")
        return ClassFile(path, geobox_of(dataset), dataset.nodata)


def legend_in(path: str, codes: list[int]) -> Legend:
    """Names and colours of the codes of a map: from its colour table and its side file, else made up.

    Raises:
        InputError: so many codes that it is no map of classes.
    """
    if len(codes) > _MOST:
        raise InputError(f"{path}: holds {len(codes)} different codes: expected a map of at most {_MOST} classes.")
    names, colors = class_names(path), _colors(path)
    if not codes:
        return (LegendEntry(NO_DATA, "no data", (0, 0, 0, 0)),)
    called = [names.get(code) or f"class {code}" for code in codes]
    called = [name if called.count(name) == 1 else f"{name} {code}" for name, code in zip(called, codes, strict=True)]
    made = legend_of(called, codes)
    return tuple(LegendEntry(each.code, each.name, colors.get(each.code, each.color)) for each in made)


def read_legend(path: str) -> tuple[LegendEntry, ...]:
    """The classes of a map: colours of its colour table, names of its category names (``.aux.xml``) where it has them.

    Raises:
        MissingInputError, ProductError: the file is missing, damaged, or no raster.
        InputError: it has no colour table, so it is no map of classes.
    """
    with opened(path) as dataset:
        try:
            colors = dataset.colormap(1)
        except ValueError:
            raise InputError(
                f"{path}: has no colour table: expected a map of classes; for quantities see groundshift plot bands."
            ) from None
    names = class_names(path)
    # GDAL pads a table to 256 entries: what is black or invisible and has no name is not a class.
    return tuple(
        LegendEntry(code, names.get(code) or f"class {code}", color)
        for code, color in sorted(colors.items())
        if names.get(code) or (not names and color[:3] != (0, 0, 0) and color[3] > 0)
    )


def _colors(path: str) -> dict[int, tuple[int, int, int, int]]:
    with opened(path) as dataset:
        try:
            table = dataset.colormap(1)
        except ValueError:
            return {}
    return {code: (r, g, b, 255) for code, (r, g, b, a) in table.items() if a and code not in (NO_CHANGE, NO_DATA)}
