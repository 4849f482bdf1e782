"""Maps of classes read block by block, with the names that the file has for its codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.errors import GridError, InputError
from groundshift.io.drivers import check_structure, geobox_of, opened
from groundshift.io.warp import read_on_grid, read_window
from groundshift.io.xmlsafe import elements, parse_xml, text
from groundshift.model.grid import Window, blocks, crop
from groundshift.model.legend import NO_DATA
from groundshift.model.scene import BandInfo

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

BLOCK_ROWS = 512
CACHE_MB = 64
"""Of the raster library, whose own bound is a share of the memory of the machine."""


class ClassMap:
    """An open map: band 1 holds codes; 255 of a byte, and the file's own no-data value, are not known."""

    def __init__(self, path: str, dataset: DatasetReader) -> None:
        self.href = path
        self.geobox: GeoBox = geobox_of(dataset)
        """``crs`` is None without georeference."""
        self.names = class_names(path)
        """By code; empty when the file names none."""
        self._dataset = dataset
        self._info = BandInfo(name="map", href=path, geobox=self.geobox, dtype=dataset.dtypes[0], nodata=dataset.nodata)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return int(self.geobox.shape[0]), int(self.geobox.shape[1])

    def windows(self) -> Iterator[Window]:
        """Blocks of whole rows, from above."""
        return blocks(self.shape, BLOCK_ROWS)

    def read(self, window: Window) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
        """Codes and what is known of them, (y, x), in a window of the map itself."""
        codes, valid = read_window(self._dataset, 1, self._info, window)
        return codes, self._known(codes, valid)

    def read_on(self, geobox: GeoBox, window: Window) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
        """The same by nearest neighbour in a window of another grid; not known outside the map.

        Raises:
            GridError: one of the grids has no georeference, and their shapes differ.
        """
        if self.geobox.crs is None or geobox.crs is None:
            if self.geobox.shape != geobox.shape:
                raise GridError(
                    f"{self.href}: has {self.shape[1]} x {self.shape[0]} pixels and the map {geobox.shape[1]} x "
                    f"{geobox.shape[0]}: without georeference they must be the same."
                )
            return self.read(window)
        values, valid = read_on_grid(self._dataset, 1, self._info, crop(geobox, window), "nearest")
        codes = np.where(valid, values, 0).astype(self._info.dtype)
        return codes, self._known(codes, valid)

    def _known(self, codes: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return valid & (codes != NO_DATA) if codes.dtype == np.uint8 else valid


@contextmanager
def open_classes(path: str) -> Iterator[ClassMap]:
    """Open a map of classes.

    Raises:
        MissingInputError, ProductError: the file is missing, damaged, or no raster.
        InputError: it holds measurements instead of classes.
    """
    check_structure(path)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), opened(path) as dataset:
        if np.dtype(dataset.dtypes[0]).kind not in "iu":
            raise InputError(f"{path}: holds {dataset.dtypes[0]} values: expected a map of classes, whole numbers.")
        yield ClassMap(path, dataset)


def class_names(path: str) -> dict[int, str]:
    """Names of the codes of band 1 from GDAL's side file (``.aux.xml``): its category names, or its attribute table.

    Raises:
        ProductError: the side file is no XML.
    """
    side_file = Path(f"{path}.aux.xml")
    if not side_file.is_file():
        return {}
    root = parse_xml(side_file.read_bytes(), str(side_file))
    table = next(elements(root, "GDALRasterAttributeTable"), None)
    if table is not None:
        names = _of_table(table)
        if names:
            return names
    found = next(elements(root, "CategoryNames"), None)
    categories = [] if found is None else [(each.text or "").strip() for each in elements(found, "Category")]
    return {code: name for code, name in enumerate(categories) if name}


def _of_table(table: Any) -> dict[int, str]:
    """The columns of GDAL's attribute table that are marked as value (5, or 0 of a name) and as class name (2)."""
    usages = [text(field, "Usage") for field in elements(table, "FieldDefn")]
    if "5" not in usages or "2" not in usages:
        return {}
    value, name = usages.index("5"), usages.index("2")
    rows = [[(cell.text or "").strip() for cell in elements(row, "F")] for row in elements(table, "Row")]
    return {int(float(row[value])): row[name] for row in rows if len(row) > max(value, name) and row[name]}
