"""Read one stored band on any grid, over valid pixels only.

Every method computes each target pixel from its own position in the stored image, so that reading parts equals
reading the whole. (GDAL's warper scales its kernels by the ratio of the two windows, and therefore does not keep
that law; it also spreads or loses validity in other ways than ours.)

Validity: an interpolated value is valid where the nearest stored pixel is valid, and its weights are renormalised
over the valid neighbours; an average is valid where at least half of the target pixel's area is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import rasterio
from affine import Affine
from numba import njit
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from groundshift.errors import GridError
from groundshift.io.decode import decoding
from groundshift.model.grid import Window, offset_px, same_grid
from groundshift.model.scene import BandInfo, Resampling

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

COARSER = 1.5
"""A target pixel longer than this many stored pixels is an average, whichever interpolation was asked for."""
_TIE = 1e-6
"""Pixels: positions this close below a tie count as on it, lest rounding decide between two neighbours."""
_MARGIN_PX = 3
"""Stored pixels read around the outermost position: the cubic kernel reaches two."""

Floats = NDArray[np.float64]
Stored = tuple[NDArray[Any], NDArray[np.bool_]]
Source = Callable[[Window], Stored]
"""Reads a window that lies within the stored image: (dn, valid), both (y, x)."""


def read_on_grid(
    dataset: DatasetReader, index: int, info: BandInfo, geobox: GeoBox, resampling: Resampling = "bilinear"
) -> Stored:
    """Read one band of an open dataset on a grid.

    Args:
        dataset: an open raster.
        index: band of the dataset, from 1.
        info: native grid, type and no-data value; without a no-data value the dataset's own mask decides.
        geobox: the target grid; its ``crs`` is None exactly when the band's is.
        resampling: ignored where nothing needs resampling; see :func:`resample`.

    Returns:
        dn (y, x), stored type where the lattices coincide, else float32; valid (y, x).

    Raises:
        ProductError: the file does not decode.
        GridError: one of the two grids has no georeference.
    """

    def source(window: Window) -> Stored:
        return read_window(dataset, index, info, window)

    return resample(source, info.geobox, np.dtype(info.dtype), geobox, resampling)


def read_window(dataset: DatasetReader, index: int, info: BandInfo, window: Window) -> Stored:
    """Read stored values of a window inside the image; (dn, valid), both (y, x). Raises ProductError."""
    box = rasterio.windows.Window(window.x0, window.y0, window.shape[1], window.shape[0])
    with decoding(info.href, info.name):
        dn = dataset.read(index, window=box)
        if info.nodata is None:
            return dn, _own_mask(dataset, index, box) & _finite(dn)
    if math.isnan(info.nodata):
        return dn, _finite(dn)
    return dn, (dn != info.nodata) & _finite(dn)


def _own_mask(dataset: DatasetReader, index: int, box: Any) -> Any:
    flags = dataset.mask_flag_enums[index - 1]
    return True if flags == [rasterio.enums.MaskFlags.all_valid] else dataset.read_masks(index, window=box) != 0


def _finite(dn: NDArray[Any]) -> NDArray[np.bool_]:
    return np.isfinite(dn) if dn.dtype.kind == "f" else np.ones(dn.shape, bool)


def resample(
    source: Source, native: GeoBox, dtype: np.dtype[Any], geobox: GeoBox, resampling: Resampling = "bilinear"
) -> Stored:
    """Read a stored image on a grid through a function that reads its windows.

    Args:
        source: reads a window of the stored image.
        native: grid of the stored image.
        dtype: stored type.
        geobox: target grid.
        resampling: ``bilinear`` and ``cubic`` become ``average`` where a target pixel is more than 1.5 stored ones.

    Returns:
        dn (y, x), ``dtype`` where the lattices coincide, else float32; valid (y, x), False outside the image.

    Raises:
        GridError: one grid has a CRS and the other has none.
    """
    if same_grid(native, geobox):
        return _copied(source, native, dtype, geobox)
    if (native.crs is None) != (geobox.crs is None):
        raise GridError("a grid with a coordinate system and one without cannot be brought together.")
    method = _method(native, geobox, resampling)
    relative = _axis_aligned(native, geobox)
    if method == "average":
        if relative is None:
            return _averaged_samples(source, native, geobox)
        return _averaged_areas(source, native, relative, geobox.shape)
    y, x = _centres(native, geobox) if relative is None else _centres_of_axes(relative, geobox.shape)
    if relative is not None and method == "bilinear":
        return _interpolated_by_axes(source, native, y[:, 0], x[0])
    if relative is not None and method == "nearest":
        return _nearest_by_axes(source, native, y[:, 0], x[0])
    return _interpolated(source, native, y, x, method)


def _copied(source: Source, native: GeoBox, dtype: np.dtype[Any], geobox: GeoBox) -> Stored:
    rows, columns = (int(n) for n in geobox.shape)
    y, x = offset_px(native, geobox)
    window = Window(max(0, y), min(native.shape[0], y + rows), max(0, x), min(native.shape[1], x + columns))
    if window == Window(y, y + rows, x, x + columns):
        return source(window)
    dn = np.zeros((rows, columns), dtype)
    valid = np.zeros((rows, columns), bool)
    if window.y1 > window.y0 and window.x1 > window.x0:
        inside = Window(window.y0 - y, window.y1 - y, window.x0 - x, window.x1 - x).slices
        dn[inside], valid[inside] = source(window)
    return dn, valid


# --- positions of target pixels in the stored image ---------------------------------------------------------------


def _axis_aligned(native: GeoBox, geobox: GeoBox) -> Affine | None:
    """Target pixel -> stored pixel, where rows map to rows and columns to columns; else None."""
    if native.crs != geobox.crs:
        return None
    relative = ~native.affine * geobox.affine
    shear = max(abs(relative.b) * geobox.shape[0], abs(relative.d) * geobox.shape[1])
    return relative if shear < _TIE else None


def _centres_of_axes(relative: Affine, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    y = relative.e * (np.arange(shape[0]) + 0.5) + relative.f
    x = relative.a * (np.arange(shape[1]) + 0.5) + relative.c
    return np.broadcast_to(y[:, None], shape), np.broadcast_to(x[None, :], shape)


def _centres(native: GeoBox, geobox: GeoBox) -> tuple[Floats, Floats]:
    rows, columns = geobox.shape
    return _positions(native, geobox, np.arange(rows) + 0.5, np.arange(columns) + 0.5)


def _positions(native: GeoBox, geobox: GeoBox, rows: Floats, columns: Floats) -> tuple[Floats, Floats]:
    """(y, x) in stored pixels of a lattice of target pixel coordinates; not finite where there is none."""
    column, row = np.meshgrid(columns, rows)
    x, y = geobox.affine * (column, row)
    if native.crs != geobox.crs:
        x, y = _transformer(geobox.crs.to_wkt(), native.crs.to_wkt()).transform(x, y)
    x, y = ~native.affine * (x, y)
    return y, x


@lru_cache(maxsize=16)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def _method(native: GeoBox, geobox: GeoBox, resampling: Resampling) -> Resampling:
    interpolating = resampling in ("bilinear", "cubic")
    return "average" if interpolating and _stored_per_target(native, geobox) > COARSER + _TIE else resampling


def _stored_per_target(native: GeoBox, geobox: GeoBox) -> float:
    """Length of a target pixel in stored pixels at the centre of the stored image: the same for all parts of a grid."""
    rows, columns = native.shape
    y, x = _positions(
        geobox, native, np.array([rows / 2 - 0.5, rows / 2 + 0.5]), np.array([columns / 2 - 0.5, columns / 2 + 0.5])
    )
    area = abs((y[1, 0] - y[0, 0]) * (x[0, 1] - x[0, 0]) - (y[0, 1] - y[0, 0]) * (x[1, 0] - x[0, 0]))
    return 1 / math.sqrt(area) if np.isfinite(area) and area > 0 else 1.0


def _window_around(native: GeoBox, y: Floats, x: Floats) -> Window | None:
    y, x = y[np.isfinite(y)], x[np.isfinite(x)]
    if y.size == 0 or x.size == 0:
        return None
    rows, columns = native.shape
    y0, y1 = (int(np.clip(v, 0, rows)) for v in (math.floor(y.min()) - _MARGIN_PX, math.ceil(y.max()) + _MARGIN_PX))
    x0, x1 = (int(np.clip(v, 0, columns)) for v in (math.floor(x.min()) - _MARGIN_PX, math.ceil(x.max()) + _MARGIN_PX))
    return Window(y0, y1, x0, x1) if y1 > y0 and x1 > x0 else None


def _nothing(shape: tuple[int, int]) -> Stored:
    return np.zeros(shape, np.float32), np.zeros(shape, bool)


# --- the methods ---------------------------------------------------------------------------------------------------


def _interpolated(
    source: Source, native: GeoBox, y: Floats, x: Floats, method: Literal["nearest", "bilinear", "cubic", "average"]
) -> Stored:
    dn, valid = _nothing((int(y.shape[0]), int(y.shape[1])))
    window = _window_around(native, y, x)
    if window is not None:
        stored, usable = source(window)
        kernel = {"nearest": _nearest, "bilinear": _bilinear, "cubic": _cubic}[method]
        kernel(stored.astype(np.float32), usable, (window.y0, window.x0), y, x, dn, valid)
    return dn, valid


def _interpolated_by_axes(source: Source, native: GeoBox, y: Floats, x: Floats) -> Stored:
    """Bilinear where rows map to rows: the way of every 20 m band to a 10 m grid, hence a faster kernel."""
    dn, valid = _nothing((len(y), len(x)))
    window = _window_around(native, y, x)
    if window is not None:
        stored, usable = source(window)
        lower = np.floor(y - 0.5).astype(np.int64), np.floor(x - 0.5).astype(np.int64)
        fraction = (y - 0.5 - lower[0]).astype(np.float32), (x - 0.5 - lower[1]).astype(np.float32)
        padded = np.zeros((window.shape[0] + 2, window.shape[1] + 2), np.float32)
        padded[1:-1, 1:-1] = np.where(usable, stored, 0)
        weight = np.zeros(padded.shape, np.float32)
        weight[1:-1, 1:-1] = usable
        rows = np.clip(lower[0] - window.y0 + 1, -1, padded.shape[0] - 1)
        columns = np.clip(lower[1] - window.x0 + 1, -1, padded.shape[1] - 1)
        _bilinear_by_axes(padded, weight, rows, fraction[0], columns, fraction[1], dn, valid)
    return dn, valid


def _nearest_by_axes(source: Source, native: GeoBox, y: Floats, x: Floats) -> Stored:
    """Nearest where rows map to rows: the way of every scene classification to a 10 m grid."""
    dn, valid = _nothing((len(y), len(x)))
    window = _window_around(native, y, x)
    if window is not None:
        stored, usable = source(window)
        rows = np.floor(y + _TIE).astype(np.int64) - window.y0
        columns = np.floor(x + _TIE).astype(np.int64) - window.x0
        _picked(stored.astype(np.float32), usable, rows, columns, dn, valid)
    return dn, valid


def _averaged_areas(source: Source, native: GeoBox, relative: Affine, shape: tuple[int, int]) -> Stored:
    dn, valid = _nothing((int(shape[0]), int(shape[1])))
    y = relative.e * np.arange(shape[0] + 1.0) + relative.f
    x = relative.a * np.arange(shape[1] + 1.0) + relative.c
    window = _window_around(native, y[[0, -1]], x[[0, -1]])
    if window is not None:
        stored, usable = source(window)
        _area_means(stored.astype(np.float32), usable, y - window.y0, x - window.x0, dn, valid)
    return dn, valid


def _averaged_samples(source: Source, native: GeoBox, geobox: GeoBox) -> Stored:
    """Area average where pixels map to no rectangles: about four samples a stored pixel."""
    rows, columns = (int(n) for n in geobox.shape)
    dn, valid = _nothing((rows, columns))
    y, x = _positions(native, geobox, np.arange(rows + 1.0), np.arange(columns + 1.0))
    window = _window_around(native, y, x)
    if window is not None:
        stored, usable = source(window)
        samples = max(2, math.ceil(2 * _stored_per_target(native, geobox)))
        _sample_means(stored.astype(np.float32), usable, y - window.y0, x - window.x0, samples, dn, valid)
    return dn, valid


@njit(cache=True, nogil=True)
def _nearest(stored, usable, origin, y, x, dn, valid):  # type: ignore[no-untyped-def]
    """Value of the stored pixel that the position lies in."""
    rows, columns = stored.shape
    for i in range(dn.shape[0]):
        for j in range(dn.shape[1]):
            if not (np.isfinite(y[i, j]) and np.isfinite(x[i, j])):
                continue
            r, c = math.floor(y[i, j] + _TIE) - origin[0], math.floor(x[i, j] + _TIE) - origin[1]
            if 0 <= r < rows and 0 <= c < columns and usable[r, c]:
                dn[i, j] = stored[r, c]
                valid[i, j] = True


@njit(cache=True, nogil=True)
def _picked(stored, usable, rows, columns, dn, valid):  # type: ignore[no-untyped-def]
    """Stored pixels by their rows and columns; nothing beyond the image."""
    for i in range(dn.shape[0]):
        r = rows[i]
        if not 0 <= r < stored.shape[0]:
            continue
        for j in range(dn.shape[1]):
            c = columns[j]
            if 0 <= c < stored.shape[1] and usable[r, c]:
                dn[i, j] = stored[r, c]
                valid[i, j] = True


@njit(cache=True, nogil=True)
def _bilinear_at(stored, usable, origin, y, x):  # type: ignore[no-untyped-def]
    """(value, valid) at one position, from the valid ones of the four neighbours."""
    rows, columns = stored.shape
    if not (np.isfinite(y) and np.isfinite(x)):
        return 0.0, False
    r, c = math.floor(y + _TIE) - origin[0], math.floor(x + _TIE) - origin[1]
    if not (0 <= r < rows and 0 <= c < columns and usable[r, c]):
        return 0.0, False
    r0, c0 = math.floor(y - 0.5), math.floor(x - 0.5)
    fy, fx = y - 0.5 - r0, x - 0.5 - c0
    total, weights = 0.0, 0.0
    for k in range(2):
        for m in range(2):
            u, v = r0 + k - origin[0], c0 + m - origin[1]
            if 0 <= u < rows and 0 <= v < columns and usable[u, v]:
                w = (fy if k else 1 - fy) * (fx if m else 1 - fx)
                total += w * stored[u, v]
                weights += w
    return total / weights, True


@njit(cache=True, nogil=True)
def _bilinear(stored, usable, origin, y, x, dn, valid):  # type: ignore[no-untyped-def]
    for i in range(dn.shape[0]):
        for j in range(dn.shape[1]):
            dn[i, j], valid[i, j] = _bilinear_at(stored, usable, origin, y[i, j], x[i, j])


@njit(cache=True, nogil=True, fastmath={"contract"})
def _bilinear_by_axes(stored, usable, r0, fy, c0, fx, dn, valid):  # type: ignore[no-untyped-def]
    """Bilinear from an image padded by one pixel, 0 where not usable; r0, c0: lower neighbours, fy, fx: fractions."""
    rows, columns = stored.shape
    for i in range(dn.shape[0]):
        r = r0[i]
        if not 0 <= r < rows - 1:
            continue
        a, ya = fy[i], 1 - fy[i]
        nearest = r + 1 if a >= 0.5 - _TIE else r
        for j in range(dn.shape[1]):
            c = c0[j]
            if not 0 <= c < columns - 1:
                continue
            b, xb = fx[j], 1 - fx[j]
            if usable[nearest, c + 1 if b >= 0.5 - _TIE else c] == 0:
                continue
            weights = ya * (xb * usable[r, c] + b * usable[r, c + 1]) + a * (
                xb * usable[r + 1, c] + b * usable[r + 1, c + 1]
            )
            total = ya * (xb * stored[r, c] + b * stored[r, c + 1]) + a * (
                xb * stored[r + 1, c] + b * stored[r + 1, c + 1]
            )
            dn[i, j] = total / weights
            valid[i, j] = True


@njit(cache=True, nogil=True)
def _catmull_rom(f):  # type: ignore[no-untyped-def]
    """Weights of four neighbours at a fraction f past the second (Keys 1981, a = -1/2)."""
    return (
        ((-0.5 * f + 1) * f - 0.5) * f,
        (1.5 * f - 2.5) * f * f + 1,
        ((-1.5 * f + 2) * f + 0.5) * f,
        (0.5 * f - 0.5) * f * f,
    )


@njit(cache=True, nogil=True)
def _cubic(stored, usable, origin, y, x, dn, valid):  # type: ignore[no-untyped-def]
    """Cubic convolution where all sixteen neighbours are valid, else bilinear."""
    rows, columns = stored.shape
    for i in range(dn.shape[0]):
        for j in range(dn.shape[1]):
            value, ok = _bilinear_at(stored, usable, origin, y[i, j], x[i, j])
            dn[i, j], valid[i, j] = value, ok
            if not ok:
                continue
            r0, c0 = math.floor(y[i, j] - 0.5) - 1, math.floor(x[i, j] - 0.5) - 1
            wy, wx = _catmull_rom(y[i, j] - 1.5 - r0), _catmull_rom(x[i, j] - 1.5 - c0)
            r0, c0 = r0 - origin[0], c0 - origin[1]
            if r0 < 0 or c0 < 0 or r0 + 4 > rows or c0 + 4 > columns:
                continue
            total, whole = 0.0, True
            for k in range(4):
                for m in range(4):
                    whole = whole and usable[r0 + k, c0 + m]
                    total += wy[k] * wx[m] * stored[r0 + k, c0 + m]
            if whole:
                dn[i, j] = total


@njit(cache=True, nogil=True)
def _area_means(stored, usable, y, x, dn, valid):  # type: ignore[no-untyped-def]
    """Mean over the rectangles between the edges y (rows + 1) and x (columns + 1), weighted by overlap."""
    rows, columns = stored.shape
    for i in range(dn.shape[0]):
        y0, y1 = min(y[i], y[i + 1]), max(y[i], y[i + 1])
        for j in range(dn.shape[1]):
            x0, x1 = min(x[j], x[j + 1]), max(x[j], x[j + 1])
            total, weights = 0.0, 0.0
            for r in range(max(0, math.floor(y0)), min(rows, math.ceil(y1))):
                wy = min(y1, r + 1.0) - max(y0, float(r))
                for c in range(max(0, math.floor(x0)), min(columns, math.ceil(x1))):
                    if usable[r, c]:
                        w = wy * (min(x1, c + 1.0) - max(x0, float(c)))
                        total += w * stored[r, c]
                        weights += w
            if weights > 0 and weights >= (0.5 - _TIE) * (y1 - y0) * (x1 - x0):
                dn[i, j] = total / weights
                valid[i, j] = True


@njit(cache=True, nogil=True)
def _sample_means(stored, usable, y, x, samples, dn, valid):  # type: ignore[no-untyped-def]
    """Mean of the stored pixels under samples x samples positions spread between the corners of each target pixel."""
    rows, columns = stored.shape
    for i in range(dn.shape[0]):
        for j in range(dn.shape[1]):
            total, count = 0.0, 0
            for k in range(samples):
                v = (k + 0.5) / samples
                for m in range(samples):
                    u = (m + 0.5) / samples
                    py = (1 - v) * ((1 - u) * y[i, j] + u * y[i, j + 1]) + v * (
                        (1 - u) * y[i + 1, j] + u * y[i + 1, j + 1]
                    )
                    px = (1 - v) * ((1 - u) * x[i, j] + u * x[i, j + 1]) + v * (
                        (1 - u) * x[i + 1, j] + u * x[i + 1, j + 1]
                    )
                    if not (np.isfinite(py) and np.isfinite(px)):
                        continue
                    r, c = math.floor(py + _TIE), math.floor(px + _TIE)
                    if 0 <= r < rows and 0 <= c < columns and usable[r, c]:
                        total += stored[r, c]
                        count += 1
            if 2 * count >= samples * samples:
                dn[i, j] = total / count
                valid[i, j] = True
