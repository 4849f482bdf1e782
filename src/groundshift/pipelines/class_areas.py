"""What a map of classes holds: pixels and area of every class, in one pass over its blocks, whatever its projection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.errors import GridError, InputError, NoDataError
from groundshift.io.class_maps import ClassMap
from groundshift.model.grid import metres_per_unit

MOST_CLASSES = 254
_TRUE_TO_AREA = 0.01
"""A projection whose areas are within this share of the truth all over the map counts as equal-area: UTM does."""
_LATTICE = 9

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MappedClasses:
    """Classes of a map by code."""

    pixels: dict[int, int]
    area: dict[int, float]
    """In ``unit``."""
    unit: str
    """``m2``; ``px`` without georeference."""
    unknown_pixels: int
    """No data."""


def row_areas(geobox: GeoBox) -> Floats:
    """Area of a pixel of each row, (rows,), in square metres on the ellipsoid; 1 without georeference.

    Raises:
        GridError: the projection stretches areas along the rows as well, or a grid in degrees is rotated.
    """
    rows = int(geobox.shape[0])
    if geobox.crs is None:
        return np.ones(rows)
    if geobox.crs.geographic:
        return _areas_of_degrees(geobox)
    plane = abs(geobox.affine.determinant) * metres_per_unit(geobox.crs) ** 2
    true = _areas_on_lattice(geobox)
    if np.abs(plane / true - 1).max() < _TRUE_TO_AREA:
        return np.full(rows, plane)
    if (true.max(axis=1) / true.min(axis=1)).max() > 1 + _TRUE_TO_AREA:
        raise GridError(
            f"the projection of the map ({geobox.crs}) stretches areas {plane / true.max():.3g} to "
            f"{plane / true.min():.3g} times within it: bring the map to an equal-area projection first."
        )
    # smooth along the columns: a curve that a few nodes describe
    nodes = (np.arange(_LATTICE) + 0.5) * rows / _LATTICE
    curve = np.polynomial.Polynomial.fit(nodes, np.log(true.mean(axis=1)), 6)
    return np.asarray(np.exp(curve(np.arange(rows) + 0.5)))


def _areas_of_degrees(geobox: GeoBox) -> Floats:
    """Zones between parallels (Snyder 1987, equation 3-12)."""
    affine = geobox.affine
    if abs(affine.b) + abs(affine.d) > 1e-12 * abs(affine.a):
        raise GridError("the map is rotated against its meridians: bring it to an equal-area projection.")
    ellipsoid = geobox.crs.proj.ellipsoid
    a, b = ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre
    e = np.sqrt(1 - (b / a) ** 2)
    sine = np.sin(np.radians(np.clip(affine.f + affine.e * np.arange(geobox.shape[0] + 1), -90, 90)))
    zone = b * b / 2 * (sine / (1 - (e * sine) ** 2) + (np.arctanh(e * sine) / e if e > 0 else sine))
    return np.asarray(np.radians(abs(affine.a)) * np.abs(np.diff(zone)))


def _areas_on_lattice(geobox: GeoBox) -> Floats:
    """Area of a pixel on the ellipsoid at nodes all over the map, (lattice, lattice), from where its edges lie."""
    from pyproj import Transformer

    rows, columns = geobox.shape
    column, row = np.meshgrid(
        (np.arange(_LATTICE) + 0.5) * columns / _LATTICE, (np.arange(_LATTICE) + 0.5) * rows / _LATTICE
    )
    crs = geobox.crs.proj
    back = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)

    def place(down: float, right: float) -> tuple[Floats, Floats]:
        x, y = geobox.affine * (column + right, row + down)
        longitude, latitude = back.transform(x, y)
        return np.radians(longitude), np.radians(latitude)

    def step(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        return (other[0] - one[0] + np.pi) % (2 * np.pi) - np.pi, other[1] - one[1]

    across, along = step(place(0, -0.5), place(0, 0.5)), step(place(-0.5, 0), place(0.5, 0))
    jacobian = np.abs(across[0] * along[1] - along[0] * across[1])
    ellipsoid = crs.ellipsoid
    a, e2 = ellipsoid.semi_major_metre, 1 - (ellipsoid.semi_minor_metre / ellipsoid.semi_major_metre) ** 2
    latitude = place(0, 0)[1]
    area = jacobian * np.cos(latitude) * a * a * (1 - e2) / (1 - e2 * np.sin(latitude) ** 2) ** 2
    if not (np.isfinite(area).all() and (area > 0).all()):
        raise GridError(f"the map reaches beyond where its projection ({geobox.crs}) is defined: cut it.")
    return np.asarray(area)


def count_classes(
    source: ClassMap, rows: NDArray[np.int64] | None = None, columns: NDArray[np.int64] | None = None
) -> tuple[MappedClasses, NDArray[np.int64], NDArray[np.bool_]]:
    """Count a map in one pass, and pick its codes at some pixels on the way.

    Args:
        source: the open map.
        rows: (n,) of the pixels; below 0: nowhere.
        columns: (n,).

    Returns:
        What the map holds; the code at each pixel; where that is known.

    Raises:
        InputError: the file holds too many codes to be a map of classes.
        NoDataError: nothing is known in it.
    """
    area_of_row = row_areas(source.geobox)
    even = bool((area_of_row == area_of_row[0]).all())
    at = np.zeros(0 if rows is None else len(rows), np.int64)
    known = np.zeros(len(at), bool)
    pixels: dict[int, int] = {}
    area: dict[int, float] = {}
    unknown = 0
    for window in source.windows():
        codes, valid = source.read(window)
        unknown += int(valid.size - np.count_nonzero(valid))
        for part in [slice(None)] if even else (slice(i, i + 1) for i in range(window.shape[0])):
            each = float(area_of_row[window.y0 + (part.start or 0)])
            for code, count in tally(codes[part][valid[part]]):
                pixels[code] = pixels.get(code, 0) + count
                area[code] = area.get(code, 0.0) + count * each
        if len(pixels) > MOST_CLASSES:
            raise InputError(f"{source.href}: holds more than {MOST_CLASSES} codes: expected a map of classes.")
        if rows is not None and columns is not None:
            here = np.flatnonzero((rows >= window.y0) & (rows < window.y1))
            y, x = rows[here] - window.y0, columns[here]
            at[here], known[here] = codes[y, x], valid[y, x]
    if not pixels:
        raise NoDataError(f"{source.href}: none of its {unknown} pixels holds a class: there is nothing to look at.")
    order = sorted(pixels)
    unit = "px" if source.geobox.crs is None else "m2"
    found = MappedClasses({c: pixels[c] for c in order}, {c: area[c] for c in order}, unit, unknown)
    return found, at, known


def tally(values: NDArray[Any]) -> list[tuple[int, int]]:
    """Which numbers there are, and how often."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        count = np.bincount(values)
        return [(int(code), int(count[code])) for code in np.flatnonzero(count)]
    return [(int(code), int(count)) for code, count in zip(*np.unique(values, return_counts=True), strict=True)]
