"""Planes from one pixel grid to another, block by block; cutting the work into other blocks changes no pixel."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from pyproj.exceptions import CRSError

from groundshift.errors import GridError, UsageError
from groundshift.io.planes import Planes
from groundshift.model.grid import METRES_PER_DEGREE, Window, blocks, pixel_size_m, snapped

Method = Literal["nearest", "bilinear", "angle"]
"""``nearest`` for classes; ``bilinear`` for quantities, over the pixels that are not NaN; ``angle`` for degrees from 0
to 180: the mean direction under the same weights. With all three a pixel is no data exactly where the nearest pixel of
the source is no data or outside."""

TOLERANCE_PX = 0.01
"""How far a source position may be from the exact transform, in source pixels."""
_BLOCK_PX = 1024
_EDGE_POINTS = 101

Floats = NDArray[np.float64]


def target_geobox(geobox: GeoBox, crs: str, resolution_m: float | None = None) -> GeoBox:
    """The grid of another CRS that covers a grid.

    Args:
        geobox: grid with a CRS.
        crs: ``EPSG:n``, WKT, or ``native``.
        resolution_m: pixel size in metres; None: that of ``geobox``. In a geographic CRS the pixels are square in
            degrees, with that many metres from south to north (10 m is 8.98e-5 degrees).

    Returns:
        A north-up grid whose lattice passes through the origin of the CRS.

    Raises:
        UsageError: there is no such CRS.
        GridError: ``geobox`` has none, or lies where the CRS is not defined.
    """
    if geobox.crs is None:
        raise GridError("images without georeference cannot be projected: use --projection native.")
    if crs.strip().lower() == "native":
        target = geobox.crs
    else:
        try:
            target = CRS(crs)
        except (CRSError, ValueError) as error:
            raise UsageError(f"unknown projection {crs!r}: expected native, EPSG:n or WKT.") from error
    metres = resolution_m if resolution_m is not None else pixel_size_m(geobox)
    assert metres is not None
    per_unit = METRES_PER_DEGREE if target.geographic else target.proj.axis_info[0].unit_conversion_factor
    return snapped(_bounds(geobox, target), target, metres / per_unit)


@dataclass(frozen=True)
class Reprojection:
    """Everything one block of a reprojection needs; it can be sent to a process."""

    source: Planes
    source_geobox: GeoBox
    target: Planes
    target_geobox: GeoBox
    methods: tuple[Method, ...]
    """One a band; bilinear and angle are for float32, where NaN is no data."""
    nodata: float
    """What nearest writes outside the source; NaN for float32."""

    def windows(self) -> Iterator[Window]:
        """Blocks of the target whose source is not much more than a million pixels."""
        side = int(_BLOCK_PX / max(1.0, _positions(self.source_geobox, self.target_geobox).scale))
        return blocks(self.target_geobox.shape, max(32, side), max(32, side))

    def block(self, window: Window) -> NDArray[np.generic]:
        """The pixels (band, y, x) of a window of the target, in the type of the target."""
        rows, columns = _positions(self.source_geobox, self.target_geobox).at(window)
        needed = _needed(rows, columns, self.source.shape[1:])
        result = np.full((len(self.methods), *window.shape), self.nodata, self.target.dtype)
        if needed is None:
            return result
        pixels = self.source.read(needed)
        for band, method in enumerate(self.methods):
            origin = (float(needed.y0), float(needed.x0))
            _KERNELS[method](pixels[band], rows, columns, origin, result[band])
        return result


def write_block(work: tuple[Reprojection, Window]) -> None:
    """Compute one window and write it to the target: a task for a worker process."""
    job, window = work
    job.target.write(window, job.block(window))


def reproject(job: Reprojection) -> None:
    """Do all blocks in this process."""
    for window in job.windows():
        write_block((job, window))


@dataclass(frozen=True, eq=False)
class _Positions:
    """Where pixels of the target lie in the source.

    The transform is exact on a lattice of every ``step``-th pixel of the target, counted from its first, and linear
    between: 20 times faster than exact everywhere, and independent of the blocks asked for.
    """

    source: GeoBox
    target: GeoBox
    step: int
    scale: float
    """Source pixels a target pixel, along the longer side."""

    def at(self, window: Window) -> tuple[Floats, Floats]:
        """(rows, columns) in the source of the centres of target pixels; 0.5 is the centre of the first; NaN: none."""
        y = np.arange(window.y0 // self.step, -(-window.y1 // self.step) + 1)
        x = np.arange(window.x0 // self.step, -(-window.x1 // self.step) + 1)
        node_rows, node_columns = _exact(self.source, self.target, y * self.step, x * self.step)
        rows, columns = np.empty(window.shape), np.empty(window.shape)
        start = (window.y0 - int(y[0]) * self.step, window.x0 - int(x[0]) * self.step)
        _interpolate(node_rows, start, self.step, rows)
        _interpolate(node_columns, start, self.step, columns)
        return rows, columns


@functools.lru_cache(maxsize=8)
def _positions(source: GeoBox, target: GeoBox) -> _Positions:
    y = np.unique(np.linspace(0, max(0, target.shape[0] - 33), 24).astype(int))
    x = np.unique(np.linspace(0, max(0, target.shape[1] - 33), 24).astype(int))
    rows, columns = _exact(source, target, y, x)
    scale = 1.0
    for axis, nodes in ((0, y), (1, x)):
        if len(nodes) > 1:
            length = np.hypot(np.diff(rows, axis=axis), np.diff(columns, axis=axis))
            gaps = np.expand_dims(np.diff(nodes), 1 - axis)
            if np.isfinite(length).any():
                scale = max(scale, float(np.nanmax(np.where(np.isfinite(length), length, np.nan) / gaps)))
    step = next((s for s in (32, 16, 8, 4, 2) if _error(source, target, y, x, s) <= TOLERANCE_PX), 1)
    return _Positions(source, target, step, scale)


def _error(source: GeoBox, target: GeoBox, y: NDArray[np.int_], x: NDArray[np.int_], step: int) -> float:
    """Largest error of linear interpolation in the middle of lattice cells, in source pixels."""
    y, x = y // step * step, x // step * step
    corners = [_exact(source, target, y + dy, x + dx) for dy in (0, step) for dx in (0, step)]
    middle = _exact(source, target, y + step / 2, x + step / 2)
    errors = [np.abs(sum(c[axis] for c in corners) / 4 - middle[axis]) for axis in (0, 1)]
    worst = np.maximum(*errors)
    return float(np.nanmax(worst)) if np.isfinite(worst).any() else 0.0


def _exact(source: GeoBox, target: GeoBox, y: NDArray[np.number], x: NDArray[np.number]) -> tuple[Floats, Floats]:
    """Exact positions for the grid of target rows ``y`` and columns ``x``, both counted at pixel centres."""
    columns, rows = np.meshgrid(np.asarray(x) + 0.5, np.asarray(y) + 0.5)
    easting, northing = target.affine * (columns, rows)
    if source.crs != target.crs:
        easting, northing = _transformer(target.crs, source.crs).transform(easting, northing)
    columns, rows = ~source.affine * (easting, northing)
    outside = ~(np.isfinite(rows) & np.isfinite(columns))
    return np.where(outside, np.nan, rows), np.where(outside, np.nan, columns)


@functools.lru_cache(maxsize=8)
def _transformer(source: CRS, target: CRS) -> Transformer:
    return Transformer.from_crs(source.proj, target.proj, always_xy=True)


def outline(geobox: GeoBox, crs: CRS) -> shapely.Polygon:
    """The outline of a grid in another CRS; across the antimeridian, longitudes go on beyond 180.

    Raises:
        GridError: the grid lies where that CRS is not defined.
    """
    height, width = geobox.shape
    along = np.linspace(0, 1, _EDGE_POINTS)
    zero, one = np.zeros_like(along), np.ones_like(along)
    x, y = geobox.affine * (
        np.concatenate([along, one, along[::-1], zero]) * width,
        np.concatenate([zero, along, one, along[::-1]]) * height,
    )
    if crs != geobox.crs:
        x, y = _transformer(geobox.crs, crs).transform(x, y)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise GridError(f"the images lie where the projection {crs} is not defined: choose another --projection.")
    if crs.geographic and np.ptp(x) > 180:
        x = np.where(x < 0, x + 360, x)
    return shapely.Polygon(np.column_stack([x, y]))


def _bounds(geobox: GeoBox, crs: CRS) -> tuple[float, float, float, float]:
    found: tuple[float, float, float, float] = outline(geobox, crs).bounds
    return found


def _needed(rows: Floats, columns: Floats, shape: tuple[int, ...]) -> Window | None:
    """Window of the source that these positions touch, with the neighbours that interpolation needs."""
    if not np.isfinite(rows).any():
        return None
    y0, y1 = math.floor(np.nanmin(rows)) - 1, math.floor(np.nanmax(rows)) + 2
    x0, x1 = math.floor(np.nanmin(columns)) - 1, math.floor(np.nanmax(columns)) + 2
    window = Window(max(0, y0), min(shape[0], y1), max(0, x0), min(shape[1], x1))
    return window if window.y1 > window.y0 and window.x1 > window.x0 else None


@numba.njit(cache=True, nogil=True)
def _interpolate(nodes, start, step, out):  # type: ignore[no-untyped-def]
    for y in range(out.shape[0]):
        i, fy = divmod(y + start[0], step)
        fy = fy / step
        for x in range(out.shape[1]):
            j, fx = divmod(x + start[1], step)
            fx = fx / step
            value = nodes[i, j]
            # At a node the neighbours are not asked: they may be outside the domain of the projection.
            if fx > 0:
                value += fx * (nodes[i, j + 1] - value)
            if fy > 0:
                below = nodes[i + 1, j]
                if fx > 0:
                    below += fx * (nodes[i + 1, j + 1] - below)
                value += fy * (below - value)
            out[y, x] = value


@numba.njit(cache=True, nogil=True)
def _nearest(pixels, rows, columns, origin, out):  # type: ignore[no-untyped-def]
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            i = np.floor(rows[y, x]) - origin[0]
            j = np.floor(columns[y, x]) - origin[1]
            if 0 <= i < pixels.shape[0] and 0 <= j < pixels.shape[1]:
                out[y, x] = pixels[int(i), int(j)]


@numba.njit(cache=True, nogil=True)
def _linear(pixels, rows, columns, origin, out):  # type: ignore[no-untyped-def]
    height, width = pixels.shape
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            row, column = rows[y, x], columns[y, x]
            i, j = np.floor(row) - origin[0], np.floor(column) - origin[1]
            out[y, x] = np.nan
            if not (0 <= i < height and 0 <= j < width) or np.isnan(pixels[int(i), int(j)]):
                continue
            # Fractions are taken before the origin of the block is, so that they do not depend on it.
            top, left = np.floor(row - 0.5), np.floor(column - 0.5)
            fy, fx = row - 0.5 - top, column - 0.5 - left
            r, c = int(top - origin[0]), int(left - origin[1])
            total = mean = 0.0
            for dy in range(2):
                for dx in range(2):
                    if 0 <= r + dy < height and 0 <= c + dx < width:
                        value = pixels[r + dy, c + dx]
                        if not np.isnan(value):
                            weight = (fy if dy else 1 - fy) * (fx if dx else 1 - fx)
                            total += weight
                            mean += weight * value
            out[y, x] = mean / total


@numba.njit(cache=True, nogil=True)
def _directions(degrees, cosine, sine):  # type: ignore[no-untyped-def]
    for y in range(degrees.shape[0]):
        for x in range(degrees.shape[1]):
            radians = np.radians(degrees[y, x])
            cosine[y, x], sine[y, x] = np.cos(radians), np.sin(radians)


@numba.njit(cache=True, nogil=True)
def _degrees(cosine, sine, out):  # type: ignore[no-untyped-def]
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[y, x] = np.degrees(np.arctan2(sine[y, x], cosine[y, x]))


def _angle(
    pixels: NDArray[np.generic], rows: Floats, columns: Floats, origin: tuple[float, float], out: object
) -> None:
    """Mean direction: cosine and sine apart, each as :func:`_linear` does it."""
    parts = np.empty((2, *pixels.shape), np.float32)
    _directions(pixels, *parts)
    means = np.empty((2, *rows.shape), np.float32)
    for part, mean in zip(parts, means, strict=True):
        _linear(part, rows, columns, origin, mean)
    _degrees(*means, out)


_KERNELS = {"nearest": _nearest, "bilinear": _linear, "angle": _angle}
