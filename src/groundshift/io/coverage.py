"""The regions of a class map as polygons that share their borders exactly, also when simplified.

A region is made of pixels of one class that touch at a side. Tile by tile, all regions, and what has no class, are
traced as one coverage and simplified together (Visvalingam-Whyatt, shapely.coverage_simplify), the border of the tile
being kept; then the parts of each region are joined across tiles. Everything is done in pixels, so coordinates stay
whole numbers until the end.

Memory is that of a tile and of the finished polygons, compressed: of the result, not of the map.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from groundshift.io import vector
from groundshift.model.grid import Window
from groundshift.model.legend import NO_CHANGE, NO_DATA
from groundshift.numerics.regions import label

Codes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Measures:
    """What is counted within each region."""

    pixels: NDArray[np.int64]
    """(region,)."""
    classes: NDArray[np.int64]
    """(region, class): pixels of each class of another map."""
    confidence: NDArray[np.float64]
    """(region,): sum of the confidence."""


@dataclass(frozen=True, eq=False)
class Tile:
    """The regions of one tile; tiles are joined by :func:`join`."""

    packed: bytes
    """WKB of each region, end to end and compressed, in pixels of the whole grid."""
    size: NDArray[np.int64]
    """Bytes of each of them."""
    code: NDArray[np.int64]
    first: NDArray[np.int64]
    """Index y * columns + x of the first pixel of each region."""
    open: NDArray[np.bool_]
    """Regions that touch the border of the tile."""
    rim: NDArray[np.int64]
    """(3, n): pixels on the rim of the tile: index, region, code."""
    needless: NDArray[np.int64]
    """Corners of pixels on the border of the tile that are points for the sake of the cut only
    (:func:`~groundshift.io.vector.corner_keys`)."""
    measures: Measures

    @property
    def geometries(self) -> NDArray[np.object_]:
        """WKB of each region."""
        content, ends = zlib.decompress(self.packed), np.cumsum(self.size)
        found = np.empty(len(ends), object)
        found[:] = [content[end - size : end] for end, size in zip(ends.tolist(), self.size.tolist(), strict=True)]
        return found


@dataclass(frozen=True, eq=False)
class ClassPolygons:
    """All regions of a map, in the order of their first pixels."""

    geometries: NDArray[np.object_]
    """Polygons as WKB, in coordinates of the map."""
    code: NDArray[np.int64]
    measures: Measures


def tile(
    codes: Codes,
    window: Window,
    shape: tuple[int, int],
    tolerance_px: float,
    counted: Codes,
    confidence: NDArray[np.float32] | None,
    classes: Sequence[int],
) -> Tile:
    """Trace and simplify the regions of one tile.

    Args:
        codes: (y, x) uint8 of the tile and one pixel more on each side, 0 outside of the map; 0 and 255 are no class.
        window: the tile in the whole map, without that pixel.
        shape: (rows, columns) of the whole map.
        tolerance_px: root of the area of the triangles that are simplified away; 0: none.
        counted: (y, x) of the tile: the map whose classes are counted within each region.
        confidence: (y, x) of the tile, NaN counts as 0; None: not known.
        classes: codes to count.
    """
    around = np.where(codes == NO_DATA, NO_CHANGE, codes)
    inner = np.ascontiguousarray(around[1:-1, 1:-1])
    region, first = label(inner, -1, -1, False)
    code = inner.reshape(-1)[first].astype(np.int64)
    outlines = vector.outlines_of(region, window, junctions=True)
    if tolerance_px > 0:
        outlines = shapely.coverage_simplify(outlines, tolerance_px, simplify_boundary=False)
    real = code != NO_CHANGE
    number = np.where(real, np.cumsum(real) - 1, -1)
    region, code = number[region].astype(np.int32), code[real]
    content = shapely.to_wkb(outlines[real])
    rim = vector.rim_of(region, code, window, shape[1])
    is_open = np.zeros(len(code), bool)
    is_open[rim[1]] = True
    y, x = np.divmod(first[real], window.shape[1])
    return Tile(
        zlib.compress(b"".join(content), 1),
        np.array([len(each) for each in content], np.int64),
        code,
        (y + window.y0) * shape[1] + x + window.x0,
        is_open,
        rim,
        _needless(around, window),
        _measured(region, len(code), counted, confidence, classes),
    )


def _needless(around: Codes, window: Window) -> NDArray[np.int64]:
    """Corners on the border of a tile where all is one region, or two meet on a straight side."""
    a, b, c, d = around[:-1, :-1], around[:-1, 1:], around[1:, :-1], around[1:, 1:]
    straight = (a == b) & (c == d) | (a == c) & (b == d)
    straight[1:-1, 1:-1] = False
    y, x = np.nonzero(straight)
    return vector.corner_keys(y + window.y0, x + window.x0)


def _measured(
    region: NDArray[np.int32],
    regions: int,
    counted: Codes,
    confidence: NDArray[np.float32] | None,
    classes: Sequence[int],
) -> Measures:
    inside = region >= 0
    owner = region[inside].astype(np.int64)
    slot = np.full(256, len(classes))
    slot[list(classes)] = np.arange(len(classes))
    width = len(classes) + 1
    counts = np.bincount(owner * width + slot[counted[inside]], minlength=regions * width).reshape(regions, width)
    weights = np.zeros(len(owner)) if confidence is None else np.nan_to_num(confidence[inside].astype(np.float64))
    sums = np.bincount(owner, weights, regions).astype(np.float64)
    return Measures(counts.sum(axis=1), counts[:, :-1], sums)


def join(tiles: Sequence[Tile], columns: int, transform: Affine) -> ClassPolygons:
    """Join the regions of all tiles across their borders.

    Args:
        tiles: all tiles of a map.
        columns: of the map.
        transform: from pixels to coordinates.

    Returns:
        Polygons that share their borders exactly. Law: without simplification the same for any tiles.
    """
    starts = np.cumsum([0, *(len(each.code) for each in tiles)])
    first = np.concatenate([each.first for each in tiles])
    region = vector.join([each.rim for each in tiles], starts, columns, corners=False)
    lead = np.lexsort((first, region))
    lead = lead[np.diff(region[lead], prepend=-1) > 0]
    lead = lead[np.argsort(first[lead])]
    rank = np.empty(len(lead), np.int64)
    rank[region[lead]] = np.arange(len(lead))
    owner = rank[region]
    packed = np.concatenate([each.geometries for each in tiles])
    is_open = np.concatenate([each.open for each in tiles])
    needless = np.unique(np.concatenate([each.needless for each in tiles]))
    found = packed[lead]
    closed = np.flatnonzero(~is_open[lead])
    for begin in range(0, len(closed), _AT_A_TIME):
        some = closed[begin : begin + _AT_A_TIME]
        found[some] = _placed(shapely.from_wkb(found[some]), transform)
    for whole, outlines in vector.unions(packed[is_open], owner[is_open], needless):
        found[whole] = _placed(outlines, transform)
    return ClassPolygons(found, np.concatenate([each.code for each in tiles])[lead], _summed(tiles, owner, len(lead)))


_AT_A_TIME = 20_000


def _placed(outlines: NDArray[np.object_], transform: Affine) -> NDArray[np.object_]:
    """WKB of polygons in coordinates, their points in one order."""
    parts, owner = shapely.get_parts(outlines, return_index=True)
    single = parts if len(parts) == len(outlines) else shapely.multipolygons(parts, indices=owner)
    moved = shapely.transform(shapely.normalize(single), lambda xy: np.column_stack(transform * (xy[:, 0], xy[:, 1])))
    packed: NDArray[np.object_] = shapely.to_wkb(moved)
    return packed


def _summed(tiles: Sequence[Tile], owner: NDArray[np.int64], regions: int) -> Measures:
    width = tiles[0].measures.classes.shape[1]
    classes = np.zeros((regions, width), np.int64)
    np.add.at(classes, owner, np.concatenate([each.measures.classes for each in tiles]))
    pixels = np.bincount(owner, np.concatenate([each.measures.pixels for each in tiles]), regions).astype(np.int64)
    sums = np.bincount(owner, np.concatenate([each.measures.confidence for each in tiles]), regions)
    return Measures(pixels, classes, sums.astype(np.float64))
