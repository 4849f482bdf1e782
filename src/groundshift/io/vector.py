"""Areas of interest in, polygons out."""

from __future__ import annotations

import importlib.util
import os
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from rasterio.features import rasterize
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry.base import BaseGeometry

from groundshift.errors import GridError, InputError, MissingInputError, OutputError, UsageError
from groundshift.io.atomic import atomic
from groundshift.io.vector_layer import names_files
from groundshift.model.grid import Window, crop
from groundshift.model.legend import NO_CHANGE, NO_DATA
from groundshift.numerics.regions import label

_WKT = re.compile(
    r"\s*(?:SRID\s*=\s*(\d+)\s*;)?\s*((?:MULTI)?(?:POLYGON|POINT|LINESTRING)|GEOMETRYCOLLECTION)\b", re.IGNORECASE
)
_LONLAT = "EPSG:4326"
_SEGMENTS = 200
"""A side of the area is cut into pieces of at most this part of its extent before it is projected."""
_AT_A_TIME = 20_000
"""Geometries that are unpacked together."""
_BATCH_BYTES = 2**23
"""WKB of regions that are joined together."""
_EPOCH = "1970-01-01T00:00:00.000Z"
"""Written where GeoPackage wants the time of the last change: the same data make the same file."""


def read_aoi(text: str) -> tuple[BaseGeometry, str | None]:
    """Read an area of interest.

    Args:
        text: WKT (longitude latitude, WGS84, or with ``SRID=n;`` before it), or the path of a vector file: all
            polygons of its first layer together.

    Returns:
        A valid polygon or multipolygon, and its CRS (None: the file names none).

    Raises:
        UsageError: the WKT does not parse.
        MissingInputError: there is no such file.
        InputError: it is no vector file, or holds no polygon.
    """
    match = _WKT.match(text)
    if match:
        try:
            geometry = shapely.from_wkt(text[match.start(2) :])
        except shapely.errors.ShapelyError as error:
            raise UsageError(f"the area of interest is no valid WKT: {error}.") from error
        crs = f"EPSG:{match[1]}" if match[1] else _LONLAT
        area = _polygons([geometry], "the WKT")
        if crs == _LONLAT:
            _check_degrees(area)
        return area, crs
    return _read_file(text)


def aoi_on(geometry: BaseGeometry, crs: str | None, geobox: GeoBox) -> BaseGeometry:
    """An area of interest in the coordinates of a grid, cut at its border.

    An area in degrees may cross the antimeridian: in longitudes beyond 180, in two parts, or in one that would reach
    around most of the earth otherwise.

    Raises:
        GridError: it does not overlap the grid, or one of the two has no georeference.
    """
    if geobox.crs is None or crs is None:
        if (geobox.crs is None) != (crs is None):
            which = "the area of interest" if crs is None else "the images"
            raise GridError(f"{which} carry no georeference, so the area cannot be found on the images.")
        placed = geometry
    else:
        placed = _projected(geometry, crs, geobox.crs.proj)
    outline = shapely.Polygon([geobox.affine * corner for corner in _corners(geobox.shape)])
    if geobox.crs is not None and geobox.crs.geographic:
        placed = _turned(placed, outline)
    area = _polygons([shapely.intersection(placed, outline)], None)
    if area.is_empty:
        raise GridError(f"the area of interest does not overlap the images.{_hint(geometry, crs, geobox, outline)}")
    return area


def rasterise_mask(geometry: BaseGeometry, geobox: GeoBox, window: Window | None = None) -> NDArray[np.bool_]:
    """True where the centre of a pixel lies in a geometry given in the coordinates of the grid; (y, x)."""
    window = window if window is not None else Window(0, geobox.shape[0], 0, geobox.shape[1])
    part = crop(geobox, window)
    box = shapely.Polygon([part.affine * corner for corner in _corners(window.shape)])
    if geometry.is_empty or not shapely.intersects(geometry, box):
        return np.zeros(window.shape, bool)
    if shapely.contains_properly(geometry, box):
        return np.ones(window.shape, bool)
    burnt = rasterize([(geometry, 1)], out_shape=window.shape, transform=part.affine, dtype="uint8")
    return np.asarray(burnt == 1)


def read_lines(path: str, geobox: GeoBox) -> NDArray[np.object_]:
    """The lines (or outlines of areas) of the first layer of a vector file that may touch a grid, in its coordinates.

    Raises:
        MissingInputError: there is no such file.
        InputError: it is no vector file, its CRS is not known, or nothing of it lies within the grid.
    """
    import pyogrio

    _check_vector(path, f"there is no vector file {path}.")
    try:
        crs = pyogrio.read_info(path)["crs"]
        if crs is None:
            raise InputError(f"{path}: names no coordinate system: write it again with one.")
        outline = shapely.segmentize(geobox.extent.geom, max(geobox.extent.boundingbox.span_x / 20, 1e-9))
        back = Transformer.from_crs(geobox.crs.proj, crs, always_xy=True)
        box = shapely.transform(outline, lambda xy: np.column_stack(back.transform(xy[:, 0], xy[:, 1]))).bounds
        _, _, packed, _ = pyogrio.raw.read(path, columns=[], force_2d=True, bbox=box)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, UnicodeDecodeError, ValueError) as error:
        raise error if isinstance(error, InputError) else _unreadable(path, error) from error
    found = np.array([] if packed is None else [g for g in shapely.from_wkb(packed) if g is not None], dtype=object)
    there = Transformer.from_crs(crs, geobox.crs.proj, always_xy=True)
    placed = shapely.transform(found, lambda xy: np.column_stack(there.transform(xy[:, 0], xy[:, 1])))
    kept = np.asarray(placed)[[not shape.is_empty and shape.geom_type[-5:] != "Point" for shape in placed]]
    kept = kept[shapely.intersects(kept, geobox.extent.geom)]
    if not len(kept):
        raise InputError(f"{path}: holds no lines within the area: is it the right file?")
    return np.asarray(kept, object)


def burn(shapes: NDArray[np.object_], geobox: GeoBox) -> NDArray[np.bool_]:
    """True where one of these shapes touches a pixel, wherever in it; (y, x)."""
    near = shapes[shapely.intersects(shapes, geobox.extent.geom)]
    if not len(near):
        return np.zeros(geobox.shape, bool)
    burnt = rasterize(near, out_shape=geobox.shape, transform=geobox.affine, all_touched=True, dtype="uint8")
    return np.asarray(burnt == 1)


# --- raster to polygons --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pieces:
    """What one block knows of its regions; blocks are merged by :func:`merge`."""

    packed: bytes
    """:attr:`geometries`, end to end and compressed: all blocks are kept until the last is done."""
    size: NDArray[np.int64]
    """Bytes of each of them."""
    open: NDArray[np.bool_]
    """Regions that touch the border of the block, and may go on beyond."""
    transform: Affine
    """From pixels of the whole grid to coordinates."""
    code: NDArray[np.int64]
    """Code of each region of the block."""
    first: NDArray[np.int64]
    """Index y * columns + x of the first pixel of each region."""
    rim: NDArray[np.int64]
    """(3, n): pixels on the rim of the block: index, region, code."""
    columns: int
    """Columns of the whole grid."""
    pixels: NDArray[np.int64]
    """Of each region of the block."""
    total: NDArray[np.float64]
    """(n,) sum of the measured quantity over each region of the block, (k, n) of several of them; its pixels where
    nothing was measured."""

    @property
    def geometries(self) -> NDArray[np.object_]:
        """WKB of each region of the block: placed where it is whole, in pixels of the whole grid where ``open``."""
        content, ends = zlib.decompress(self.packed), np.cumsum(self.size)
        found = np.empty(len(ends), object)
        found[:] = [content[end - size : end] for end, size in zip(ends.tolist(), self.size.tolist(), strict=True)]
        return found


def pieces(
    labels: NDArray[np.integer],
    window: Window,
    columns: int,
    transform: Affine,
    measure: NDArray[np.floating] | Sequence[NDArray[np.generic]] | None = None,
) -> Pieces:
    """Find the regions of one block: pixels of equal code that touch, also at a corner; 0 and 255 belong to none.

    Args:
        labels: (y, x), integer codes.
        window: where the block lies in the whole grid.
        columns: columns of the whole grid.
        transform: from pixels of the whole grid to coordinates.
        measure: (y, x), a quantity whose mean over each region is wanted, or a list of such.
    """
    codes = np.ascontiguousarray(labels, None if labels.dtype == np.uint8 else np.int32)
    region, first = label(codes, NO_CHANGE, NO_DATA, True)
    parts, corner = label(region, -1, -1, False)
    y, x = first // labels.shape[1], first % labels.shape[1]
    code = codes[y, x].astype(np.int64)
    polygons = outlines_of(parts, window)
    owner = region.reshape(-1)[corner].astype(np.int64)
    by_region = np.argsort(owner, kind="stable")
    outlines = shapely.multipolygons(polygons[by_region], indices=owner[by_region])
    rim = rim_of(region, code, window, columns)
    is_open = np.zeros(len(code), bool)
    is_open[rim[1]] = True
    outlines[~is_open] = _placed(outlines[~is_open], transform)
    inside = np.flatnonzero(region >= 0)
    number = region.reshape(-1)[inside]
    pixels = np.bincount(number, minlength=len(code))
    total = _totals(measure, inside, number, len(code))
    first_px = (y + window.y0) * columns + x + window.x0
    content = shapely.to_wkb(outlines)
    size = np.array([len(each) for each in content], np.int64)
    packed = zlib.compress(b"".join(content), 1)
    return Pieces(packed, size, is_open, transform, code, first_px, rim, columns, pixels.astype(np.int64), total)


def _totals(
    measure: NDArray[np.floating] | Sequence[NDArray[np.generic]] | None,
    inside: NDArray[np.intp],
    number: NDArray[np.integer],
    count: int,
) -> NDArray[np.float64]:
    """Sums over regions: of pixels, of one quantity, or of several."""
    if measure is None:
        return np.bincount(number, minlength=count).astype(np.float64)
    if isinstance(measure, np.ndarray):
        return np.bincount(number, measure.reshape(-1)[inside], count).astype(np.float64)
    return np.stack([np.bincount(number, each.reshape(-1)[inside], count) for each in measure]).astype(np.float64)


def _placed(outlines: NDArray[np.object_], transform: Affine) -> NDArray[np.object_]:
    """Regions in pixels of the whole grid in coordinates, in one order of their points."""
    found: NDArray[np.object_] = shapely.transform(
        shapely.normalize(outlines), lambda xy: np.column_stack(transform * (xy[:, 0], xy[:, 1]))
    )
    return found


def merge(parts: Sequence[Pieces]) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Join the regions of all blocks across their borders, also over a corner.

    Returns:
        Multipolygons (of several parts where they meet at a corner only) in coordinates, and their codes, in the order
        of their first pixels. Law: the same for any blocks.
    """
    packed, code, _, _ = merge_measured(parts)
    return np.asarray(shapely.from_wkb(packed)), code


def merge_measured(
    parts: Sequence[Pieces],
) -> tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """:func:`merge` as WKB, and of each region the number of pixels and the mean of what was measured: (n,), or (k, n)
    of several quantities."""
    starts = np.cumsum([0, *(len(part.code) for part in parts)])
    if starts[-1] == 0:
        nothing = parts[0].total if parts else np.empty(0)
        return np.empty(0, object), np.empty(0, np.int64), np.empty(0, np.int64), nothing
    first = np.concatenate([part.first for part in parts])
    region = join([part.rim for part in parts], starts, parts[0].columns, corners=True)
    lead = np.lexsort((first, region))
    lead = lead[np.r_[True, np.diff(region[lead]) > 0]]
    lead = lead[np.argsort(first[lead])]
    rank = np.empty(len(lead), np.int64)
    rank[region[lead]] = np.arange(len(lead))
    owner = rank[region]
    packed = np.concatenate([part.geometries for part in parts])
    is_open = np.concatenate([part.open for part in parts])
    found = packed[lead]
    for joined, outlines in unions(packed[is_open], owner[is_open]):
        found[joined] = shapely.to_wkb(_placed(outlines, parts[0].transform))
    pixels = np.bincount(owner, np.concatenate([part.pixels for part in parts]))
    summed = np.concatenate([part.total for part in parts], axis=-1)
    total = np.array([np.bincount(owner, each) for each in np.atleast_2d(summed)]).reshape(*summed.shape[:-1], -1)
    code = np.concatenate([part.code for part in parts])
    return found, code[lead], pixels.astype(np.int64), total / pixels


def polygonise(labels: NDArray[np.integer], transform: Affine) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Polygons of a map that fits in memory; see :func:`pieces` and :func:`merge`."""
    height, width = labels.shape
    return merge([pieces(labels, Window(0, height, 0, width), width, transform)])


def reprojected(packed: NDArray[np.object_], source: CRS, target: CRS) -> NDArray[np.object_]:
    """WKB of geometries in another CRS, some at a time."""
    there = Transformer.from_crs(source, target, always_xy=True)
    found = np.empty(len(packed), object)
    for start in range(0, len(packed), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        shapes = shapely.from_wkb(packed[part])
        found[part] = shapely.to_wkb(
            shapely.transform(shapes, lambda xy: np.column_stack(there.transform(xy[:, 0], xy[:, 1])))
        )
    return found


DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".parquet": "GeoParquet"}
"""Formats of polygons by file name ending."""


def write_polygons(
    path: str | os.PathLike[str],
    geometries: NDArray[np.object_],
    fields: Mapping[str, NDArray[Any]],
    *,
    crs: str | None,
    layer: str = "changes",
    geometry_type: str = "MultiPolygon",
    force: bool = True,
) -> None:
    """Write polygons (or points), shapely's or WKB, as a GeoPackage, whole or not at all; equal input, equal bytes.

    Raises:
        OutputError: it cannot be written.
        UsageError: another ending, or GeoParquet without pyarrow.
    """
    target = Path(path)
    driver = check_vector_name(target)
    packed = geometries if len(geometries) == 0 or isinstance(geometries[0], bytes) else shapely.to_wkb(geometries)
    with atomic(target, force=force) as temporary:
        if driver == "GeoParquet":
            from groundshift.io import parquet

            parquet.write(temporary, target, packed, fields, crs, geometry_type)
        else:
            _write_with_gdal(temporary, target, packed, fields, crs, (driver, layer, geometry_type))


def check_vector_name(path: str | os.PathLike[str]) -> str:
    """Return the format that a file name asks for; raises UsageError where it cannot be written."""
    driver = DRIVERS.get(Path(path).suffix.lower())
    if driver is None:
        raise UsageError(f"{path}: expected a name that ends in {', '.join(DRIVERS)}.")
    if driver == "GeoParquet" and importlib.util.find_spec("pyarrow") is None:
        raise UsageError(
            f"{path}: GeoParquet needs pyarrow: pip install 'groundshift[parquet]', or write .gpkg or .fgb."
        )
    return driver


def _write_with_gdal(
    temporary: Path,
    target: Path,
    packed: NDArray[np.object_],
    fields: Mapping[str, NDArray[Any]],
    crs: str | None,
    kind: tuple[str, str, str],
) -> None:
    import pyogrio.raw  # here, not in every worker process: it takes half a second

    driver, layer, geometry_type = kind
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*crs.*was not provided")
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _EPOCH})
        try:
            pyogrio.raw.write(
                temporary,
                packed,
                [np.asarray(values) for values in fields.values()],
                list(fields),
                layer=layer,
                driver=driver,
                geometry_type=geometry_type,
                crs=crs,
            )
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, RuntimeError) as error:
            raise OutputError(f"cannot write {target}: {error}.") from error
        finally:
            pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


# --- areas ---------------------------------------------------------------------------------------------------------


def _read_file(path: str) -> tuple[BaseGeometry, str | None]:
    import pyogrio.raw

    file = Path(path)
    _check_vector(path, f"the area of interest {path!r} is neither WKT nor a file that exists.")
    try:
        meta, _, geometry, _ = pyogrio.raw.read(file, columns=[], force_2d=True)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, UnicodeDecodeError, ValueError) as error:
        raise _unreadable(path, error) from error
    found = [] if geometry is None else [g for g in shapely.from_wkb(geometry) if g is not None]
    return _polygons(found, path), meta["crs"]


def _check_vector(path: str, missing: str) -> None:
    file = Path(path)
    if not file.exists():
        raise MissingInputError(missing)
    if file.is_file() and names_files(path):
        raise InputError(f"{path}: is a VRT, which is never read because it can name any file: convert it.")


def _unreadable(path: str, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read as a vector file: {error}.")


def _polygons(geometries: Iterable[BaseGeometry], where: str | None) -> BaseGeometry:
    """The polygons of these geometries, made valid and dissolved; InputError about ``where`` when there is none."""
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(np.array(list(geometries), dtype=object))))
    area = shapely.union_all([part for part in parts if part.geom_type in ("Polygon", "MultiPolygon")])
    if area.is_empty and where is not None:
        raise InputError(f"{where} holds no polygon: the area of interest must be one polygon or several.")
    return area


def _check_degrees(area: BaseGeometry) -> None:
    _, south, _, north = area.bounds
    if south < -90 or north > 90:
        raise UsageError(
            f"the area of interest reaches latitude {max(north, -south):g}: WKT is longitude first, then latitude; "
            "were they swapped? (coordinates that are no degrees need SRID=n; before them)."
        )


def _projected(geometry: BaseGeometry, crs: str, target: CRS) -> BaseGeometry:
    try:
        transformer = Transformer.from_crs(CRS.from_user_input(crs), target, always_xy=True)
    except CRSError as error:
        raise InputError(f"the area of interest has an unknown CRS {crs!r}: {error}.") from error
    if transformer.source_crs is not None and transformer.source_crs.is_geographic:
        geometry = _unwrapped(geometry)
    left, bottom, right, top = geometry.bounds
    dense = shapely.segmentize(geometry, max(right - left, top - bottom) / _SEGMENTS or 1.0)
    placed = shapely.transform(dense, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))
    if not np.isfinite(shapely.get_coordinates(placed)).all():
        raise GridError("the area of interest reaches places where the projection of the images is not defined.")
    return shapely.make_valid(placed)


def _turned(area: BaseGeometry, outline: BaseGeometry) -> BaseGeometry:
    """An area in degrees with what of it overlaps an outline by whole turns."""
    turns = [shapely.transform(area, lambda xy, k=k: xy + np.array([360.0 * k, 0.0])) for k in (-1, 0, 1)]
    near = [each for each in turns if shapely.intersects(each, outline)]
    return shapely.union_all(near) if near else area


def _unwrapped(area: BaseGeometry) -> BaseGeometry:
    """An area in degrees on both sides of the antimeridian, in longitudes that go on beyond 180; others unchanged."""
    left, _, right, _ = area.bounds
    if right - left <= 180:
        return area
    moved = shapely.transform(
        area, lambda xy: np.column_stack([np.where(xy[:, 0] < 0, xy[:, 0] + 360, xy[:, 0]), xy[:, 1]])
    )
    moved = _polygons([moved], None)
    narrower = not moved.is_empty and moved.bounds[2] - moved.bounds[0] < right - left
    return moved if narrower and moved.area > 0 else area


def _hint(geometry: BaseGeometry, crs: str | None, geobox: GeoBox, outline: BaseGeometry) -> str:
    """A word on swapped axes, where swapping would have helped."""
    if crs is None or geobox.crs is None:
        return ""
    swapped = shapely.transform(geometry, lambda xy: xy[:, ::-1])
    try:
        helps = shapely.intersects(_projected(swapped, crs, geobox.crs.proj), outline)
    except GridError:
        helps = False
    return " Its axes look swapped: WKT is longitude first, then latitude." if helps else ""


def _corners(shape: tuple[int, int]) -> list[tuple[int, int]]:
    height, width = shape
    return [(0, 0), (width, 0), (width, height), (0, height)]


# --- regions -------------------------------------------------------------------------------------------------------


_STEPS = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
"""East, south, west, north, as (y, x)."""


@numba.njit(cache=True, nogil=True)
def _holds(parts, y, x, part):  # type: ignore[no-untyped-def]
    return 0 <= y < parts.shape[0] and 0 <= x < parts.shape[1] and parts[y, x] == part


@numba.njit(cache=True, nogil=True)
def _turn(parts, y, x, heading, part):  # type: ignore[no-untyped-def]
    """At a corner of pixels: (new heading, whether the part is there twice, on a diagonal). The part is on the right.

    The pixels ahead lie at offsets from the corner of -1 or 0 in y and x.
    """
    dy, dx = _STEPS[heading]
    ry, rx = dx, -dy  # to the right of the heading
    ahead_right = _holds(parts, y + (dy + ry - 1) // 2, x + (dx + rx - 1) // 2, part)
    ahead_left = _holds(parts, y + (dy - ry - 1) // 2, x + (dx - rx - 1) // 2, part)
    if not ahead_right:
        return (heading + 1) % 4, ahead_left
    return ((heading + 3) % 4 if ahead_left else heading), False


@numba.njit(cache=True, nogil=True)
def _meet(parts, y, x):  # type: ignore[no-untyped-def]
    """Whether more than two parts meet at a corner of pixels within the block, or two on a diagonal."""
    a, b, c, d = parts[y - 1, x - 1], parts[y - 1, x], parts[y, x - 1], parts[y, x]
    return not ((a == b and c == d) or (a == c and b == d))


@numba.njit(cache=True, nogil=True)
def _trace(parts, junctions):  # type: ignore[no-untyped-def]
    """Rings around and within parts (four neighbours): corners (x, y), the end of each ring, its part.

    Along the border of the block every corner of a pixel is a point, so that rings of neighbouring blocks match there;
    with ``junctions``, so is every corner within where others meet on a straight side.
    A ring that touches itself is cut there into rings that do not: so polygons made of them are valid.
    """
    height, width = parts.shape
    seen = np.zeros(parts.shape, np.bool_)
    xs, ys = [np.int32(0)][:0], [np.int32(0)][:0]
    ends, owners = [np.int64(0)][:0], [np.int64(0)][:0]
    for y0 in range(height):
        for x0 in range(width):
            part = parts[y0, x0]
            if part < 0 or seen[y0, x0] or _holds(parts, y0 - 1, x0, part):
                continue
            y, x, heading = y0, x0, 0
            stack = [(np.int32(0), np.int32(0))][:0]
            twice = {np.int64(0): np.int64(0)}
            twice.clear()
            while True:
                if heading == 0:
                    if seen[y, x]:
                        break
                    seen[y, x] = True
                y, x = y + _STEPS[heading, 0], x + _STEPS[heading, 1]
                turned, diagonal = _turn(parts, y, x, heading, part)
                if diagonal:
                    key = np.int64(y) * (width + 1) + x
                    if key in twice:
                        begin = twice[key]
                        for k in range(begin, len(stack)):
                            ys.append(stack[k][0])
                            xs.append(stack[k][1])
                        ends.append(np.int64(len(xs)))
                        owners.append(np.int64(part))
                        while len(stack) > begin + 1:
                            gone = stack.pop()
                            gone_key = np.int64(gone[0]) * (width + 1) + gone[1]
                            twice.pop(gone_key, None)
                    else:
                        twice[key] = np.int64(len(stack))
                        stack.append((np.int32(y), np.int32(x)))
                elif (
                    turned != heading
                    or y == 0
                    or y == height
                    or x == 0
                    or x == width
                    or (junctions and _meet(parts, y, x))
                ):
                    stack.append((np.int32(y), np.int32(x)))
                heading = turned
            for corner in stack:
                ys.append(corner[0])
                xs.append(corner[1])
            ends.append(np.int64(len(xs)))
            owners.append(np.int64(part))
    return np.array(xs, np.int32), np.array(ys, np.int32), np.array(ends, np.int64), np.array(owners, np.int64)


def outlines_of(parts: NDArray[np.int32], window: Window, *, junctions: bool = False) -> NDArray[np.object_]:
    """A polygon for each part (four neighbours), in pixels of the whole grid.

    With ``junctions``, polygons that share a side share all points on it: together they are a coverage.
    """
    x, y, ends, owners = _trace(parts, junctions)
    ring = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    corners = np.column_stack([x + window.x0, y + window.y0]).astype(np.float64)
    rings = shapely.linearrings(corners, indices=ring)
    # Rows count downwards, so rings that run round their part count as counter-clockwise, those round a hole do not.
    order = np.lexsort((~shapely.is_ccw(rings), owners))
    polygons: NDArray[np.object_] = shapely.polygons(rings[order], indices=owners[order])
    return polygons


def rim_of(region: NDArray[np.int32], code: NDArray[np.int64], window: Window, columns: int) -> NDArray[np.int64]:
    """(3, n): index in the whole grid, region and code of the pixels on the rim of a block; region -1 has none."""
    height, width = region.shape
    row, column = np.arange(width), np.arange(height) * width
    rim = np.unique(np.concatenate([row, row + column[-1], column, column + width - 1]))
    y, x = np.divmod(rim[region.reshape(-1)[rim] >= 0], width)
    number = region[y, x].astype(np.int64)
    return np.stack([(y + window.y0) * columns + x + window.x0, number, code[number]])


def join(
    rims: Sequence[NDArray[np.int64]], starts: NDArray[np.int64], columns: int, *, corners: bool
) -> NDArray[np.int64]:
    """Number of the joined region of each region of each block.

    Args:
        rims: (3, n) of each block: index in the whole grid, region and code of the pixels on its rim.
        starts: number of the first region of each block, and of all regions.
        columns: of the whole grid.
        corners: regions that meet at a corner only are joined too.
    """
    shifted = [rim + np.array([[0], [start], [0]]) for rim, start in zip(rims, starts, strict=False)]
    rim = np.concatenate(shifted, axis=1)
    index, region, code = rim[:, np.argsort(rim[0], kind="stable")]
    pairs = [np.empty((2, 0), np.int64)]
    for dy, dx in ((0, 1), (1, 0), (1, -1), (1, 1))[: 4 if corners else 2]:
        there = index + dy * columns + dx
        at = np.minimum(np.searchsorted(index, there), max(0, len(index) - 1))
        inside = (index % columns + dx >= 0) & (index % columns + dx < columns)
        touch = inside & (index[at] == there) & (code[at] == code) if len(index) else np.zeros(0, bool)
        pairs.append(np.stack([region[touch], region[at[touch]]]))
    a, b = np.concatenate(pairs, axis=1)
    total = int(starts[-1])
    graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(total, total))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def unions(
    packed: NDArray[np.object_], owner: NDArray[np.int64], needless: NDArray[np.int64] | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.object_]]]:
    """Owners and one multipolygon of each, some megabytes at a time, from WKB in pixels of the whole grid.

    Points within a straight side are dropped; only those in ``needless``, if given (:func:`corner_keys`).
    """
    order = np.argsort(owner, kind="stable")
    packed, owner = packed[order], owner[order]
    owners, begins = np.unique(owner, return_index=True)
    size = np.add.reduceat([len(each) for each in packed], begins) if len(packed) else np.zeros(0)
    batch = np.cumsum(size) // _BATCH_BYTES
    for number in np.unique(batch):
        chosen = np.flatnonzero(batch == number)
        first, last = begins[chosen[0]], np.append(begins, len(packed))[chosen[-1] + 1]
        outlines = shapely.from_wkb(packed[first:last])
        ends = np.append(begins[chosen], last) - first
        joined = outlines[ends[:-1]]
        for i in np.flatnonzero(np.diff(ends) > 1):
            # Sides that two blocks share have the same points, so nothing needs to be intersected.
            joined[i] = shapely.coverage_union_all(outlines[ends[i] : ends[i + 1]])
        yield owners[chosen], _without_needless_points(joined, needless)


def corner_keys(y: NDArray[np.integer], x: NDArray[np.integer]) -> NDArray[np.int64]:
    """One number for each corner of pixels of the whole grid."""
    return (y.astype(np.int64) << 32) + x


def _without_needless_points(
    geometries: NDArray[np.object_], needless: NDArray[np.int64] | None = None
) -> NDArray[np.object_]:
    """Multipolygons without points that lie within a straight side: borders of blocks leave some."""
    polygons, region = shapely.get_parts(geometries, return_index=True)
    rings, polygon = shapely.get_rings(polygons, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    # The last point of a ring is its first; the point before the first is the last but one.
    last = np.flatnonzero(np.diff(ring, append=-1))
    first = np.r_[0, last[:-1] + 1]
    before, after = np.arange(len(points)) - 1, np.arange(len(points)) + 1
    before[first], after[last] = last - 1, last
    into, out = points - points[before], points[after] - points
    kept = into[:, 0] * out[:, 1] != into[:, 1] * out[:, 0]
    if needless is not None:
        kept |= ~np.isin(corner_keys(points[:, 1].astype(np.int64), points[:, 0].astype(np.int64)), needless)
    kept[last] = False
    cleaned = shapely.linearrings(points[kept], indices=ring[kept])
    found: NDArray[np.object_] = shapely.multipolygons(shapely.polygons(cleaned, indices=polygon), indices=region)
    return found
