"""Reference data of a synthetic year: fields of one class as polygons, wrong labels on request, and its map."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes

from groundshift.errors import UsageError
from groundshift.io.atomic import atomic
from groundshift.io.vector import write_polygons
from groundshift.model.grid import Window
from groundshift.testing.geodesy import tile_corner
from groundshift.testing.phenology import LandCover, hashed_draws
from groundshift.testing.scenes import whole
from groundshift.testing.year import TILE, SyntheticYear

_DRAWN, _WRONG, _OTHER = range(3)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """Fields of one class each, (n,), in the order of their first pixels."""

    polygons: NDArray[np.object_]
    """Outlines along pixel edges, in coordinates of the tile."""
    label: NDArray[np.uint8]
    """Class as the reference has it."""
    truth: NDArray[np.uint8]
    """Class in truth: another one where a wrong label was planted."""
    crs: str


def reference(
    year: SyntheticYear,
    window: Window | None = None,
    *,
    per_class: int = 30,
    min_px: int = 40,
    wrong_share: float = 0.0,
    tile: str = TILE,
) -> Reference:
    """Draw fields from the class map.

    Args:
        year: of which the map is.
        window: rows and columns at 10 m; None: everything.
        per_class: fields of each class, at most.
        min_px: least size of a field.
        wrong_share: share of the fields that get the label of another class, 0..0.5.
        tile: where the year lies.

    Raises:
        UsageError: a share that cannot be, or no field of that size.
    """
    if not 0 <= wrong_share <= 0.5:
        raise UsageError(f"wrong_share = {wrong_share}: expected 0 to 0.5.")
    window = window or whole(year.shape)
    land, parcel = year.class_map(window), year.parcel_map(window)
    found = _outlines(land, parcel, _placed(tile, window), min_px)
    draws = hashed_draws(year.options.scene.seed + 1201, 0, np.array([key for _, _, key in found], np.uint64), 3)
    truth = np.array([code for _, code, _ in found], np.uint8)
    chosen = np.sort(np.concatenate([_least(draws[:, _DRAWN], truth == c, per_class) for c in LandCover]))
    if not chosen.size:
        raise UsageError(f"no field of {min_px} pixels lies in the window.")
    truth, draws = truth[chosen], draws[chosen]
    label, classes = truth.copy(), np.unique(truth)
    wrong = _least(draws[:, _WRONG], np.ones(len(truth), bool), round(wrong_share * len(truth)))
    for k in wrong:
        others = classes[classes != truth[k]]
        label[k] = others[int(draws[k, _OTHER] * len(others))]
    polygons = np.array([found[k][0] for k in chosen], object)
    return Reference(polygons=polygons, label=label, truth=truth, crs=f"EPSG:{tile_corner(tile)[0]}")


def _outlines(
    land: NDArray[np.uint8], parcel: NDArray[np.int64], transform: Affine, min_px: int
) -> list[tuple[shapely.Polygon, int, int]]:
    """(outline, class, key) of every connected piece of a parcel in one class that is large enough."""
    keys, index = np.unique(parcel * 16 + land, return_inverse=True)
    numbers = index.reshape(land.shape).astype(np.int32)
    least = min_px * abs(transform.determinant)
    drawn = ((shapely.geometry.shape(outline), int(k)) for outline, k in shapes(numbers, transform=transform))
    return [(outline, int(keys[k] & 15), int(keys[k])) for outline, k in drawn if outline.area >= least]


def _least(draws: NDArray[np.float64], where: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    """Indices of the smallest draws among some."""
    index = np.flatnonzero(where)
    return index[np.argsort(draws[index], kind="stable")[:count]]


def write_reference(fields: Reference, path: str | os.PathLike[str]) -> Path:
    """Write polygons as a GeoPackage with the columns ``class`` (code), ``name`` and ``field`` (number).

    Raises:
        OutputError: it cannot be written.
    """
    names = np.array([LandCover(code).name.lower() for code in fields.label], object)
    columns = {"class": fields.label.astype(np.int32), "name": names, "field": np.arange(1, len(names) + 1)}
    write_polygons(path, shapely.multipolygons([[p] for p in fields.polygons]), columns, crs=fields.crs, layer="fields")
    return Path(path)


def write_class_map(year: SyntheticYear, path: str | os.PathLike[str], *, tile: str = TILE) -> Path:
    """Write the class map at 10 m as GeoTIFF: codes of :class:`LandCover`, 255 is no data.

    Raises:
        OutputError: it cannot be written.
    """
    target, window = Path(path), whole(year.shape)
    place = {"height": window.y1, "width": window.x1, "crs": f"EPSG:{tile_corner(tile)[0]}"}
    layout: dict[str, Any] = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 255, "compress": "deflate"}
    layout["transform"] = _placed(tile, window)
    with atomic(target) as temporary, rasterio.open(temporary, "w", **place, **layout) as file:
        file.write(year.class_map(window), 1)
    return target


def _placed(tile: str, window: Window) -> Affine:
    _, x, y = tile_corner(tile)
    return Affine(10, 0, x + 10 * window.x0, 0, -10, y - 10 * window.y0)
