"""A synthetic year as the variables of an EOPatch: something for tutorials and tests to learn and map."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import xarray as xr
from pyproj import CRS

from groundshift.testing.geodesy import tile_corner
from groundshift.testing.year import TILE, SyntheticYear

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")


def patch(
    year: SyntheticYear, days: Sequence[date] | None = None, bands: Sequence[str] = BANDS, *, tile: str = TILE
) -> xr.Dataset:
    """Images and what of them is valid, as :func:`~groundshift.io.eopatch.write_eopatch` takes them.

    Args:
        year: that is drawn.
        days: None: every fifth.
        bands: of ``data.BANDS``.
        tile: where the year lies.

    Returns:
        ``data.BANDS`` (time, band, y, x) float32 reflectance and ``mask.IS_VALID`` (time, y, x) bool.
    """
    days = year.dates() if days is None else days
    epsg, x, y = tile_corner(tile)
    rows, columns = year.shape
    return xr.Dataset(
        {
            "data.BANDS": (("time", "data.BANDS.band", "y", "x"), year.series(bands=bands, days=days)),
            "mask.IS_VALID": (("time", "y", "x"), year.valid(days=days)),
        },
        {
            "time": np.array(days, "M8[ns]"),
            "y": y - 10 * (np.arange(rows) + 0.5),
            "x": x + 10 * (np.arange(columns) + 0.5),
            "spatial_ref": xr.Variable((), 0, {"crs_wkt": CRS.from_epsg(epsg).to_wkt()}),
        },
    )
