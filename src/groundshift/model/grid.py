"""The pixel grid two scenes are compared on: a geobox (odc-geo), cut into blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from groundshift.errors import GridError

METRES_PER_DEGREE = 111_319.49
"""Length of one degree of the equator on WGS84."""


@dataclass(frozen=True, order=True)
class Window:
    """Rows y0..y1 and columns x0..x1 of a grid, ends excluded."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of an array of the whole grid."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def padded(self, halo_px: int, shape: tuple[int, int]) -> Window:
        """The window with a halo, cut at the borders of a grid of that shape."""
        return Window(
            max(0, self.y0 - halo_px),
            min(shape[0], self.y1 + halo_px),
            max(0, self.x0 - halo_px),
            min(shape[1], self.x1 + halo_px),
        )

    def shared(self, other: Window) -> Window | None:
        """The part that two windows share; None where there is none."""
        y0, y1 = max(self.y0, other.y0), min(self.y1, other.y1)
        x0, x1 = max(self.x0, other.x0), min(self.x1, other.x1)
        return Window(y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None

    def within(self, outer: Window) -> Window:
        """The same pixels, counted from the first pixel of another window."""
        return Window(self.y0 - outer.y0, self.y1 - outer.y0, self.x0 - outer.x0, self.x1 - outer.x0)


def blocks(shape: tuple[int, int], rows: int, columns: int | None = None) -> Iterator[Window]:
    """Cut a grid into blocks, row by row. Law: every pixel lies in exactly one."""
    columns = columns or shape[1]
    for y in range(0, shape[0], rows):
        for x in range(0, shape[1], columns):
            yield Window(y, min(y + rows, shape[0]), x, min(x + columns, shape[1]))


def crop(geobox: GeoBox, window: Window) -> GeoBox:
    """The part of a grid that a window covers."""
    return geobox[window.slices]


def pixel_size_m(geobox: GeoBox) -> float | None:
    """Pixel size in metres (root of the pixel's area); None without georeference."""
    if geobox.crs is None:
        return None
    area = abs(geobox.affine.determinant)
    if geobox.crs.geographic:
        _, lat = geobox.extent.centroid.coords[0]
        area *= METRES_PER_DEGREE**2 * math.cos(math.radians(lat))
    return float(math.sqrt(area) * (1.0 if geobox.crs.geographic else metres_per_unit(geobox.crs)))


def pixel_area_m2(geobox: GeoBox) -> float | None:
    """Mean pixel area in square metres; None without georeference."""
    size = pixel_size_m(geobox)
    return None if size is None else size * size


def metres_per_unit(crs: CRS) -> float:
    """Length of one unit of a CRS in metres; of a degree along the equator."""
    return METRES_PER_DEGREE if crs.geographic else float(crs.proj.axis_info[0].unit_conversion_factor)


def pixels_per_metre(grid: GeoBox) -> NDArray[np.float64]:
    """2 x 2: (rows, columns) that a metre eastward and a metre northward are, in the middle of a grid."""
    inverse = ~grid.affine
    matrix = np.array([[inverse.d, inverse.e], [inverse.a, inverse.b]])
    east = north = 1 / metres_per_unit(grid.crs)
    if grid.crs.geographic:
        _, latitude = grid.extent.centroid.coords[0]
        east = 1 / (METRES_PER_DEGREE * math.cos(math.radians(latitude)))
    return matrix @ np.diag([east, north])


def window_of(bounds: Sequence[float], grid: GeoBox) -> Window:
    """The pixels of a grid that bounds (left, bottom, right, top) in its coordinates touch, at least one."""
    corners = [~grid.affine * (x, y) for x in bounds[::2] for y in bounds[1::2]]
    columns, rows = zip(*corners, strict=True)
    y0, x0 = (min(max(0, math.floor(min(v) + 1e-6)), n - 1) for v, n in zip((rows, columns), grid.shape, strict=True))
    y1, x1 = (min(n, math.ceil(max(v) - 1e-6)) for v, n in zip((rows, columns), grid.shape, strict=True))
    return Window(y0, max(y0 + 1, y1), x0, max(x0 + 1, x1))


def same_grid(a: GeoBox, b: GeoBox, tolerance_px: float = 1e-3) -> bool:
    """True when both grids share CRS and pixel lattice (pixels coincide; extents may differ)."""
    if a.crs != b.crs:
        return False
    relative = ~a.affine * b.affine
    linear = (relative.a - 1, relative.b, relative.d, relative.e - 1)
    if max(map(abs, linear)) * max(*a.shape, *b.shape) > tolerance_px:
        return False
    return all(abs(v - round(v)) < tolerance_px for v in (relative.c, relative.f))


def offset_px(outer: GeoBox, inner: GeoBox) -> tuple[int, int]:
    """(row, column) of the first pixel of ``inner`` in ``outer``; both on the same lattice."""
    relative = ~outer.affine * inner.affine
    return round(relative.f), round(relative.c)


def snapped(bounds: Sequence[float], crs: object, resolution: float, anchor: tuple[float, float] = (0, 0)) -> GeoBox:
    """The smallest north-up grid of that resolution over the bounds whose lattice passes through ``anchor``.

    Args:
        bounds: (left, bottom, right, top) in units of ``crs``.
        crs: anything odc-geo takes for a CRS.
        resolution: pixel size in units of ``crs``.
        anchor: (x, y) of any pixel corner of the lattice.

    Raises:
        GridError: the bounds are empty.
    """
    left, bottom, right, top = bounds
    if not (right > left and top > bottom):
        raise GridError("the area to compare is empty: the two scenes and the area of interest do not overlap.")
    eps = 1e-6
    x0 = math.floor((left - anchor[0]) / resolution + eps)
    x1 = math.ceil((right - anchor[0]) / resolution - eps)
    y0 = math.floor((bottom - anchor[1]) / resolution + eps)
    y1 = math.ceil((top - anchor[1]) / resolution - eps)
    affine = Affine(resolution, 0, anchor[0] + x0 * resolution, 0, -resolution, anchor[1] + y1 * resolution)
    return GeoBox((max(1, y1 - y0), max(1, x1 - x0)), affine, crs)
