"""Reading finished maps and the truth that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.errors import GridError, InputError, MissingInputError
from groundshift.io.drivers import SUFFIXES, check_structure, geobox_of, opened
from groundshift.io.vector_layer import read_layer
from groundshift.io.warp import read_on_grid
from groundshift.model.grid import blocks, crop, same_grid
from groundshift.model.legend import NO_DATA
from groundshift.model.scene import BandInfo

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_ROWS = 1024
_VECTORS = frozenset({".gpkg", ".geojson", ".json", ".shp", ".fgb", ".gml", ".kml"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One band of a stored map, whole."""

    href: str
    values: NDArray[Any]
    """(y, x), stored type; arbitrary where not valid."""
    valid: NDArray[np.bool_]
    """(y, x), True = known."""
    geobox: GeoBox
    """``crs`` is None without georeference."""
    resampled: bool = False
    """Brought to another grid by nearest neighbour."""


def find_map(location: str) -> str:
    """Return the path of the map of change: the file itself, or ``S2-CD.*`` in a folder of results.

    Raises:
        MissingInputError: there is none.
    """
    return _found(Path(location), "S2-CD") if Path(location).is_dir() else location


def find_amplitude(map_path: str) -> str | None:
    """Return the path of the amplitude that belongs to an ``S2-CD`` map: ``CVA.*`` beside it; None if not there."""
    path = Path(map_path)
    if path.stem != "S2-CD":
        return None
    try:
        return _found(path.parent, "CVA")
    except MissingInputError:
        return None


def _found(folder: Path, stem: str) -> str:
    files = sorted(file for file in folder.glob(f"{stem}.*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise MissingInputError(f"{folder}: there is no {stem} map in this folder: name the file itself.")
    return str(files[0])


def read_map(path: str) -> Layer:
    """Read a map of classes: band 1, where 0 is no change and 255, or the file's own no-data value, is not known.

    Raises:
        MissingInputError, ProductError: the file is missing, damaged, or no raster.
        InputError: it holds measurements instead of classes.
    """
    check_structure(path)
    with opened(path) as dataset:
        if np.dtype(dataset.dtypes[0]).kind not in "iu":
            raise InputError(f"{path}: holds {dataset.dtypes[0]} values: expected a map of classes, such as S2-CD.tif.")
        layer = _read(dataset, path, "map", geobox_of(dataset))
    if layer.values.dtype == np.uint8:
        np.logical_and(layer.valid, layer.values != NO_DATA, out=layer.valid)
    return layer


def read_bands(path: str) -> tuple[NDArray[np.generic], GeoBox]:
    """All bands of a raster as they are stored, (band, y, x), and their grid.

    Raises:
        MissingInputError, ProductError: the file is missing, damaged, or no raster.
    """
    check_structure(path)
    with opened(path) as dataset:
        return dataset.read(), geobox_of(dataset)


def read_measure(path: str, geobox: GeoBox) -> Layer:
    """Read a measurement, such as the amplitude of ``CVA.tif``: band 1, float32, NaN is not valid.

    Raises:
        MissingInputError, ProductError: the file is missing, damaged, or no raster.
        GridError: it does not lie on ``geobox``.
    """
    check_structure(path)
    with opened(path) as dataset:
        own = geobox_of(dataset)
        if own.shape != geobox.shape or not same_grid(own, geobox):
            raise GridError(
                f"{path}: does not lie on the grid of the map ({geobox.shape[1]} x {geobox.shape[0]} pixels)."
            )
        layer = _read(dataset, path, "amplitude", own)
    values = layer.values.astype(np.float32, copy=False)
    return Layer(href=path, values=values, valid=layer.valid, geobox=own)


def read_truth(path: str, geobox: GeoBox) -> Layer:
    """Read the truth on the grid of a map.

    A raster is resampled by nearest neighbour where its grid differs; outside it, and where it holds its own
    no-data value, the truth is not known. Without georeference on either side its shape must be that of the map.
    Polygons become 1 inside (pixels whose centre lies within) and 0 outside.

    Raises:
        MissingInputError, ProductError: the file is missing, damaged, or of no kind that is read.
        GridError: the two cannot be brought together.
        InputError: a raster that holds no codes.
    """
    if not Path(path).exists():
        raise MissingInputError(f"there is no truth {path}.")
    if is_vector(path):
        return _polygons(path, geobox)
    check_structure(path)
    with opened(path) as dataset:
        if np.dtype(dataset.dtypes[0]).kind not in "iub":
            raise InputError(f"{path}: holds {dataset.dtypes[0]} values: expected codes, or polygons.")
        own = geobox_of(dataset)
        if own.crs is None or geobox.crs is None:
            if own.shape != geobox.shape:
                raise GridError(
                    f"{path}: has {own.shape[1]} x {own.shape[0]} pixels and the map {geobox.shape[1]} x "
                    f"{geobox.shape[0]}: without georeference they must be the same."
                )
            return _read(dataset, path, "truth", own)
        return _read(dataset, path, "truth", geobox)


def is_vector(path: str) -> bool:
    """True when the file is read as polygons, by its ending."""
    return Path(path).suffix.lower() in _VECTORS


def _read(dataset: DatasetReader, href: str, name: str, geobox: GeoBox) -> Layer:
    """Read band 1 on a grid, a few rows at a time, by nearest neighbour."""
    own = geobox_of(dataset)
    info = BandInfo(name=name, href=href, geobox=own, dtype=dataset.dtypes[0], nodata=dataset.nodata)
    values = np.zeros(geobox.shape, info.dtype)
    valid = np.zeros(geobox.shape, bool)
    for window in blocks((int(geobox.shape[0]), int(geobox.shape[1])), _ROWS):
        part, known = read_on_grid(dataset, 1, info, crop(geobox, window), "nearest")
        values[window.slices] = np.where(known, part, 0).astype(info.dtype)
        valid[window.slices] = known
    return Layer(href=href, values=values, valid=valid, geobox=geobox, resampled=not same_grid(own, geobox))


def _polygons(path: str, geobox: GeoBox) -> Layer:
    import shapely
    from rasterio.features import rasterize

    if geobox.crs is None:
        raise GridError(f"{path}: polygons cannot be laid on a map without georeference: give the truth as a raster.")
    shapes = [shape for shape in _shapes(path, geobox) if shape is not None and not shape.is_empty]
    wrong = {shape.geom_type for shape in shapes} - {"Polygon", "MultiPolygon"}
    if wrong:
        raise InputError(f"{path}: holds {', '.join(sorted(wrong))}: expected polygons.")
    inside = [shape for shape in shapes if shape.intersects(shapely.box(*geobox.boundingbox.bbox))]
    values = np.zeros(geobox.shape, np.uint8)
    if inside:
        rasterize(inside, out=values, transform=geobox.affine, default_value=1)
    return Layer(href=path, values=values, valid=np.ones(geobox.shape, bool), geobox=geobox)


def _shapes(path: str, geobox: GeoBox) -> list[Any]:
    """The geometries of a vector file in the CRS of the map."""
    import shapely
    from pyproj import Transformer

    crs, shapes, _ = read_layer(path, "polygons", columns=[])
    if crs is None:
        raise GridError(f"{path}: has no coordinate system: write it again with one.")
    forward = Transformer.from_crs(crs, geobox.crs.proj, always_xy=True)
    move = lambda xy: np.column_stack(forward.transform(xy[:, 0], xy[:, 1]))  # noqa: E731
    return list(shapely.transform(shapes, move))
