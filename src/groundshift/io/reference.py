"""Reference labels for training: polygons of classes or a map of them, window by window on the grid of a series."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.features import rasterize

from groundshift.errors import GridError, InputError, MissingInputError, ProductError, UsageError
from groundshift.io.classmap import legend_in
from groundshift.io.decode import decoding
from groundshift.io.drivers import check_structure, geobox_of, opened
from groundshift.io.maps import is_vector
from groundshift.io.vector_layer import read_layer
from groundshift.io.warp import read_on_grid
from groundshift.model.grid import Window, crop
from groundshift.model.legend import NO_DATA
from groundshift.model.scene import BandInfo

NONE = 0
"""Label of what is not known."""
_USUAL = ("class", "classname", "class_name", "label", "landcover", "land_cover", "lulc", "lc", "code", "type")
"""Names of fields that hold classes, when nobody says which does."""
_MOST = 254


class Reference(Protocol):
    """Labels of a grid; it can be sent to a process."""

    @property
    def classes(self) -> Mapping[int, str]:
        """Names of the classes by code, 1 to 254."""
        ...

    @property
    def by_polygon(self) -> bool:
        """Its labels come with numbers of polygons."""
        ...

    def read(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Labels (y, x), 0 for what is not known, and numbers of polygons (y, x) from 1, 0 for none."""
        ...


@dataclass(frozen=True, eq=False)
class Polygons:
    """Polygons of classes: a pixel belongs to the one that its centre lies in, the later one where several do."""

    outlines: tuple[bytes, ...]
    """WKB, in the coordinates of the grid."""
    codes: tuple[int, ...]
    classes: Mapping[int, str]
    geobox: GeoBox
    by_polygon: bool = True

    def read(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """See :class:`Reference`."""
        part = crop(self.geobox, window)
        shapes = shapely.from_wkb(np.array(self.outlines, object))
        touched = np.nonzero(shapely.intersects(shapes, shapely.box(*part.boundingbox.bbox)))[0]
        numbers = np.zeros(window.shape, np.int32)
        if touched.size:
            rasterize([(shapes[k], int(k) + 1) for k in touched], out=numbers, transform=part.affine)
        table = np.array([NONE, *self.codes], np.uint8)
        return table[numbers], numbers


@dataclass(frozen=True, eq=False)
class ClassMap:
    """A map of classes; resampled by nearest neighbour where its grid is another."""

    path: str
    classes: Mapping[int, str]
    geobox: GeoBox
    nodata: float | None
    by_polygon: bool = False

    def read(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """See :class:`Reference`."""
        with opened(self.path) as dataset, decoding(self.path, "classes"):
            own = geobox_of(dataset)
            if own.crs is None or self.geobox.crs is None:
                # Without georeference on either side pixel lies on pixel.
                values = dataset.read(1, window=((window.y0, window.y1), (window.x0, window.x1)))
                known = np.ones(values.shape, bool) if self.nodata is None else values != self.nodata
            else:
                info = BandInfo(name="truth", href=self.path, geobox=own, dtype=dataset.dtypes[0], nodata=self.nodata)
                values, known = read_on_grid(dataset, 1, info, crop(self.geobox, window), "nearest")
        listed = known & np.isin(values, list(self.classes))
        return np.where(listed, values, NONE).astype(np.uint8), np.zeros(window.shape, np.int32)


def open_reference(path: str, geobox: GeoBox, field: str | None = None) -> Polygons | ClassMap | ClassArray:
    """Open reference labels for a grid.

    Args:
        path: vector file of polygons, a raster of class codes (0 and 255: not known), or an array of them (``.npy``).
        geobox: grid that they will be read on.
        field: of the polygons, that holds the class: names, or codes from 1 to 254; None: the one whose name says so.

    Raises:
        MissingInputError, ProductError: the file is missing or cannot be read.
        UsageError: there is no such field, or none can be told.
        GridError: it does not meet the grid.
        InputError: it holds no polygons or classes.
    """
    if not Path(path).exists():
        raise MissingInputError(f"there is no reference {path}.")
    if path.lower().endswith((".npy", ".npy.gz")):
        return _array(path, geobox)
    return _polygons(path, geobox, field) if is_vector(path) else _class_map(path, geobox)


@dataclass(frozen=True, eq=False)
class ClassArray:
    """Labels as an array of the shape of the images, such as a feature of an EOPatch."""

    labels: NDArray[np.uint8]
    classes: Mapping[int, str]
    by_polygon: bool = False

    def read(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """See :class:`Reference`."""
        return self.labels[window.slices], np.zeros(window.shape, np.int32)


def _array(path: str, geobox: GeoBox) -> ClassArray:
    try:
        with gzip.open(path) if path.lower().endswith(".gz") else open(path, "rb") as stream:
            stored = np.load(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ProductError(f"{path}: cannot be read as an array of numbers: {error}.") from error
    values = stored[..., 0] if stored.ndim == 3 and stored.shape[-1] == 1 else stored
    if values.shape != tuple(geobox.shape) or values.dtype.kind not in "iub":
        raise InputError(
            f"{path}: is {stored.dtype} of shape {stored.shape}: expected whole numbers of {tuple(geobox.shape)}, the "
            "shape of the images."
        )
    known = (values > 0) & (values < NO_DATA)
    if not known.any():
        raise InputError(f"{path}: holds no class from 1 to {_MOST}.")
    labels = np.where(known, values, NONE).astype(np.uint8)
    return ClassArray(labels, {int(code): str(code) for code in np.unique(labels[known])})


def _polygons(path: str, geobox: GeoBox, field: str | None) -> Polygons:
    if geobox.crs is None:
        raise GridError(f"{path}: polygons cannot be laid on images without georeference: give a raster.")
    crs, shapes, columns = read_layer(path, "polygons")
    if crs is None:
        raise GridError(f"{path}: has no coordinate system: write it again with one.")
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    shapes, columns = shapes[there], {each: values[there] for each, values in columns.items()}
    name = _class_field(path, columns, field)
    forward = Transformer.from_crs(crs, geobox.crs.proj, always_xy=True)
    placed = shapely.transform(shapes, lambda xy: np.column_stack(forward.transform(xy[:, 0], xy[:, 1])))
    kinds = set(np.unique(shapely.get_type_id(placed))) - {3, 6}
    if kinds or not len(placed):
        raise InputError(f"{path}: expected polygons of classes, and it holds {_kinds(placed)}.")
    codes, classes = coded(columns[name], path, name)
    inside = shapely.intersects(placed, shapely.box(*geobox.boundingbox.bbox)) & (codes > 0)
    if not inside.any():
        raise GridError(f"{path}: none of its {len(placed)} polygons lies within the images.")
    chosen = shapely.to_wkb(placed[inside])
    return Polygons(tuple(chosen), tuple(int(code) for code in codes[inside]), classes, geobox)


def coded(
    values: NDArray[np.generic], path: str, field: str, known: Mapping[int, str] | None = None
) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Codes of the classes in a column, and their names.

    Args:
        values: names, which are numbered from 1 in the order of the alphabet, or whole numbers, which are the codes.
        path, field: for messages.
        known: names by code, which names in the column are given the codes of; None: none are known.

    Raises:
        InputError: there are more than 254 classes, codes beyond 254, or names that are not known.
    """
    if values.dtype.kind in "iufb":
        numbers = np.nan_to_num(values.astype(np.float64), nan=0.0)
        if (numbers != np.rint(numbers)).any() or numbers.min() < 0 or numbers.max() > _MOST:
            raise InputError(f"{path}: field {field} holds numbers that are no codes from 1 to {_MOST}.")
        codes = np.unique(numbers[numbers > 0]).astype(int)
        return numbers.astype(np.uint8), {int(code): (known or {}).get(int(code), str(code)) for code in codes}
    texts = np.array(["" if value is None else str(value).strip() for value in values])
    names = sorted(set(texts) - {""})
    table = {name: code for code, name in known.items()} if known else {name: k for k, name in enumerate(names, 1)}
    foreign = [name for name in names if name not in table]
    if foreign:
        raise InputError(f"{path}: field {field} holds {', '.join(foreign[:5])}: expected {', '.join(table)}.")
    if len(names) > _MOST:
        raise InputError(
            f"{path}: field {field} holds {len(names)} different names: expected {_MOST} classes or fewer."
        )
    codes = np.array([table.get(text, NONE) for text in texts], np.uint8)
    return codes, {code: name for name, code in table.items() if known or name in names}


def _class_field(path: str, columns: Mapping[str, object], field: str | None) -> str:
    if field is not None:
        if field not in columns:
            raise UsageError(f"{path}: has no field {field!r}: it has {', '.join(columns) or 'none'}.")
        return field
    found = [name for usual in _USUAL for name in columns if name.lower() == usual]
    if not found and len(columns) != 1:
        raise UsageError(f"{path}: say with --class-field which field holds the class: {', '.join(columns) or 'none'}.")
    return found[0] if found else next(iter(columns))


def _kinds(shapes: NDArray[np.object_]) -> str:
    return ", ".join(sorted({shape.geom_type for shape in shapes})) or "nothing"


def _class_map(path: str, geobox: GeoBox) -> ClassMap:
    check_structure(path)
    with opened(path) as dataset, decoding(path, "classes"):
        if np.dtype(dataset.dtypes[0]).kind not in "iub":
            raise InputError(f"{path}: holds {dataset.dtypes[0]} values: expected codes of classes, or polygons.")
        own = geobox_of(dataset)
        placed = own.crs is not None and geobox.crs is not None
        if not placed and own.shape != geobox.shape:
            raise GridError(
                f"{path}: has {own.shape[1]} x {own.shape[0]} pixels and the images {geobox.shape[1]} x "
                f"{geobox.shape[0]}: without georeference they must be the same."
            )
        if placed and not _meet(own, geobox):
            raise GridError(f"{path}: does not overlap the images.")
        codes, nodata = _codes(dataset), dataset.nodata
    if not codes:
        raise InputError(f"{path}: holds no class from 1 to {_MOST}.")
    named = {entry.code: entry.name for entry in legend_in(path, list(codes))}
    return ClassMap(path, {code: named[code] for code in codes}, geobox, nodata)


def _meet(own: GeoBox, geobox: GeoBox) -> bool:
    here = own.extent.to_crs(geobox.crs).geom
    return bool(shapely.intersects(here, geobox.extent.geom))


def _codes(dataset: object) -> Sequence[int]:
    found: set[int] = set()
    for _, window in dataset.block_windows(1):  # type: ignore[attr-defined]
        found |= set(np.unique(dataset.read(1, window=window)).tolist())  # type: ignore[attr-defined]
    nodata = dataset.nodata  # type: ignore[attr-defined]
    return sorted(int(code) for code in found if 0 < code < NO_DATA and code != nodata)
