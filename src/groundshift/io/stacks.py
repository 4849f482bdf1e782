"""Finished rasters of many named bands: what they hold, and how they look from afar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from groundshift.errors import InputError
from groundshift.io import drivers
from groundshift.io.decode import decoding
from groundshift.io.warp import read_window
from groundshift.io.xmlsafe import elements, parse_xml
from groundshift.model.grid import Window
from groundshift.model.legend import LegendEntry
from groundshift.model.scene import BandInfo


@dataclass(frozen=True, kw_only=True, eq=False)
class StackFile:
    """A raster of named bands; it holds a path and what is known of it, so it can be sent to a process."""

    path: str
    geobox: GeoBox
    names: tuple[str, ...]
    """Descriptions of the bands; ``band 3`` where there is none."""
    units: tuple[str, ...]
    dtype: str
    nodata: float | None

    @classmethod
    def open(cls, path: str) -> StackFile:
        """Look at a raster.

        Raises:
            MissingInputError, ProductError: the file is missing, damaged, or no raster.
        """
        drivers.check_structure(path)
        with drivers.opened(path) as dataset:
            named = enumerate(dataset.descriptions, 1)
            return cls(
                path=path,
                geobox=drivers.geobox_of(dataset),
                names=tuple(name or f"band {i}" for i, name in named),
                units=tuple(unit or "" for unit in dataset.units),
                dtype=dataset.dtypes[0],
                nodata=dataset.nodata,
            )

    def read(self, window: Window, bands: tuple[int, ...] | None = None) -> NDArray[np.float32]:
        """A window (band, y, x) that lies within the raster, float32, NaN where there is no data; bands from 0."""
        with drivers.opened(self.path) as dataset:
            chosen = range(dataset.count) if bands is None else bands
            return np.stack([self._floats(*read_window(dataset, i + 1, self._info(i), window)) for i in chosen])

    def from_afar(self, longest_px: int) -> NDArray[np.float32]:
        """All bands (band, y, x) in at most so many pixels along the longer side, from overviews if there are."""
        scale = min(1.0, longest_px / max(self.geobox.shape))
        shape = tuple(max(1, round(n * scale)) for n in self.geobox.shape)
        with drivers.opened(self.path) as dataset, decoding(self.path, "all bands"):
            found = [
                dataset.read(i, out_shape=shape, resampling=Resampling.nearest, masked=True)
                for i in range(1, dataset.count + 1)
            ]
        return np.stack([self._floats(band.data, ~np.ma.getmaskarray(band)) for band in found])

    def _info(self, band: int) -> BandInfo:
        return BandInfo(name=self.names[band], href=self.path, geobox=self.geobox, dtype=self.dtype, nodata=self.nodata)

    @staticmethod
    def _floats(values: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.where(valid, values, np.nan).astype(np.float32)


def read_legend(path: str) -> tuple[LegendEntry, ...]:
    """The classes of a map: colours of its colour table, names of its category names (``.aux.xml``) where it has them.

    Raises:
        MissingInputError, ProductError: the file is missing, damaged, or no raster.
        InputError: it has no colour table, so it is no map of classes.
    """
    with drivers.opened(path) as dataset:
        try:
            colors = dataset.colormap(1)
        except ValueError:
            raise InputError(
                f"{path}: has no colour table: expected a map of classes; for quantities see groundshift plot bands."
            ) from None
    names = _category_names(Path(f"{path}.aux.xml"))
    # GDAL pads a table to 256 entries: what is black or invisible and has no name is not a class.
    return tuple(
        LegendEntry(code, names.get(code) or f"class {code}", color)
        for code, color in sorted(colors.items())
        if names.get(code) or (not names and color[:3] != (0, 0, 0) and color[3] > 0)
    )


def _category_names(side_file: Path) -> dict[int, str]:
    """Names by code, of GDAL's side file; empty where there is none."""
    if not side_file.is_file():
        return {}
    root = parse_xml(side_file.read_bytes(), str(side_file))
    band = next((each for each in elements(root, "PAMRasterBand") if each.get("band") == "1"), None)
    if band is None:
        return {}
    found = enumerate(element.text or "" for element in elements(band, "Category"))
    return {code: name for code, name in found if name}
