"""Points in and out: vector files, and tables (CSV) that people fill in."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.errors import GridError, InputError, MissingInputError, ProductError
from groundshift.io.atomic import write_text
from groundshift.io.vector_layer import read_layer

_LONLAT = "EPSG:4326"
MAX_TABLE_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class PointTable:
    """Points with their columns."""

    href: str
    x: NDArray[np.float64]
    """NaN where a point has no place."""
    y: NDArray[np.float64]
    crs: Any
    """As pyproj takes it; None: not said."""
    columns: Mapping[str, NDArray[Any]]

    def pixels(self, geobox: GeoBox) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of the pixel of a grid that each point lies in; -1 where it lies in none.

        Raises:
            GridError: the points say where they are and the grid does not, or the other way round.
        """
        x, y = self.x, self.y
        if (self.crs is None) != (geobox.crs is None):
            which = "the points have" if self.crs is None else "the map has"
            raise GridError(f"{self.href}: {which} no coordinate system, so points cannot be found on the map.")
        if geobox.crs is not None:
            from pyproj import Transformer

            x, y = Transformer.from_crs(self.crs, geobox.crs.proj, always_xy=True).transform(x, y)
        column, row = (np.floor(each) for each in ~geobox.affine * (np.asarray(x), np.asarray(y)))
        with np.errstate(invalid="ignore"):
            inside = (row >= 0) & (row < geobox.shape[0]) & (column >= 0) & (column < geobox.shape[1])
        return np.where(inside, row, -1).astype(np.int64), np.where(inside, column, -1).astype(np.int64)


def read_points(path: str) -> PointTable:
    """Read points from a vector file, or from a CSV with columns ``longitude, latitude`` (WGS84) or ``x, y``.

    Raises:
        MissingInputError: there is no such file.
        ProductError: it cannot be read.
        InputError: it holds other geometries, or a table without coordinates.
    """
    if not Path(path).is_file():
        raise MissingInputError(f"there are no reference points {path}.")
    return _read_table(path) if Path(path).suffix.lower() == ".csv" else _read_vector(path)


def _read_vector(path: str) -> PointTable:
    import shapely

    crs, shapes, columns = read_layer(path, "points")
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    wrong = sorted({shape.geom_type for shape in shapes[there]} - {"Point"})
    if wrong:
        raise InputError(f"{path}: holds {', '.join(wrong)}: expected points, one a place.")
    placed = shapes.copy()
    placed[~there] = None
    return PointTable(path, shapely.get_x(placed), shapely.get_y(placed), crs, columns)


def _read_table(path: str) -> PointTable:
    if Path(path).stat().st_size > MAX_TABLE_BYTES:
        raise ProductError(f"{path}: is larger than {MAX_TABLE_BYTES / 2**20:.0f} MB: expected a table of points.")
    try:
        content = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ProductError(
            f"{path}: cannot be read as text in UTF-8 ({error}): save the table as CSV, UTF-8."
        ) from error
    try:
        first = content.partition("\n")[0]
        reader = csv.DictReader(io.StringIO(content), delimiter=";" if first.count(";") > first.count(",") else ",")
        rows = list(reader)
    except csv.Error as error:
        raise ProductError(f"{path}: cannot be read as CSV ({error}).") from error
    columns = {
        (name or "").strip(): np.array([row[name] or "" for row in rows], object) for name in reader.fieldnames or ()
    }
    for names, crs in ((("longitude", "latitude"), _LONLAT), (("x", "y"), None)):
        if set(names) <= set(columns):
            x, y = (_numbers(path, name, columns[name]) for name in names)
            return PointTable(path, x, y, crs, columns)
    raise InputError(
        f"{path}: has no columns longitude and latitude, nor x and y; it has {', '.join(columns) or 'none'}."
    )


def _numbers(path: str, name: str, column: Iterable[str]) -> NDArray[np.float64]:
    try:
        return np.array([float(text.replace(",", ".")) if text.strip() else np.nan for text in column], np.float64)
    except ValueError as error:
        raise InputError(f"{path}: column {name} holds no number ({error}): expected coordinates.") from error


def write_sheet(path: str | os.PathLike[str], columns: Mapping[str, Sequence[object]], *, force: bool = True) -> None:
    """Write a table as CSV, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    write_text(path, target.getvalue(), force=force)
