"""Where a Sentinel-2 tile lies, and where the sun stands over it."""

from __future__ import annotations

import math
import re
from datetime import datetime

from groundshift.errors import UsageError

TILE_SIZE_M = 109_800
"""Edge of a tile: 10980 pixels of 10 m."""

_TILE = re.compile(r"T?(\d{1,2})([C-HJ-NP-X])([A-HJ-NP-Z])([A-HJ-NP-V])")
_COLUMNS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_BANDS = "CDEFGHJKLMNPQRSTUVWX"


def tile_corner(tile: str) -> tuple[int, float, float]:
    """Return where a tile's upper-left corner lies.

    The 100 km square of the military grid, opened to the 60 m lattice that passes through the origin of the zone
    (through the equator's false northing of 10 000 km on the southern half).

    Args:
        tile: name of the square, ``56HKH`` or ``T56HKH``.

    Returns:
        (EPSG code, x, y) of the outer corner of the first pixel, in metres.

    Raises:
        UsageError: the name is no square of the grid.

    Source: NGA.STND.0037 (MGRS); the rule of the lattice was read off published tiles (29UNU, 22HBD, 33SVB).
    """
    match = _TILE.fullmatch(tile.upper())
    if match is None or not 1 <= int(match[1]) <= 60 or match[3] not in _COLUMNS[int(match[1]) % 3]:
        raise UsageError(f"unknown tile {tile!r}: expected a square of the military grid such as 56HKH.")
    zone, band, south = int(match[1]), match[2], match[2] < "N"
    x = 100_000 * (1 + _COLUMNS[zone % 3].index(match[3]))
    top = _square_row(match[4], zone, band) * 100_000 + 100_000
    distance = 10_000_000 - top if south else top
    snapped = math.floor(distance / 60) * 60 if south else math.ceil(distance / 60) * 60
    y = 10_000_000 - snapped if south else snapped
    return (32700 if south else 32600) + zone, float(x // 60 * 60), float(y)


def _square_row(letter: str, zone: int, band: str) -> int:
    """Number of 100 km rows between northing 0 and the square's lower edge, the false northing included."""
    row = (_ROWS.index(letter) - (5 if zone % 2 == 0 else 0)) % 20
    latitude = -80 + 8 * _BANDS.index(band) + 4
    expected = latitude * 1.105 + (100 if latitude < 0 else 0)
    return row + 20 * round((expected - row) / 20)


def sun_position(time: datetime, longitude: float, latitude: float) -> tuple[float, float]:
    """Return the sun's zenith and azimuth.

    Args:
        time: instant, UTC.
        longitude: degrees east.
        latitude: degrees north.

    Returns:
        (zenith, azimuth) in degrees, azimuth clockwise from north; good to about 0.1 degree.

    Source: low-precision formulae of the Astronomical Almanac, section C.
    """
    days = (time.replace(tzinfo=None) - datetime(2000, 1, 1, 12)).total_seconds() / 86400
    anomaly = math.radians(357.528 + 0.9856003 * days)
    mean = 280.460 + 0.9856474 * days
    ecliptic = math.radians(mean + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    tilt = math.radians(23.439 - 4e-7 * days)
    ascension = math.atan2(math.cos(tilt) * math.sin(ecliptic), math.cos(ecliptic))
    declination = math.asin(math.sin(tilt) * math.sin(ecliptic))
    sidereal = math.radians(280.46062 + 360.98564737 * days + longitude)
    hour, lat = sidereal - ascension, math.radians(latitude)
    up = math.sin(lat) * math.sin(declination) + math.cos(lat) * math.cos(declination) * math.cos(hour)
    east = -math.cos(declination) * math.sin(hour)
    north = math.cos(lat) * math.sin(declination) - math.sin(lat) * math.cos(declination) * math.cos(hour)
    return math.degrees(math.acos(up)), math.degrees(math.atan2(east, north)) % 360
