"""Corners of tiles and the position of the sun, against published values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from groundshift.errors import UsageError
from groundshift.testing.geodesy import sun_position, tile_corner


@pytest.mark.parametrize(
    ("tile", "corner"),
    [
        ("29UNU", (32629, 499980, 5900040)),
        ("22HBD", (32722, 199980, 5900020)),
        ("T33SVB", (32633, 399960, 4200000)),
        ("31UFS", (32631, 600000, 5700000)),
        ("56HKH", (32756, 199980, 6300040)),
    ],
)
def test_tiles_lie_where_esa_put_them(tile: str, corner: tuple[int, float, float]) -> None:
    assert tile_corner(tile) == corner


@pytest.mark.parametrize("tile", ["56HXX", "61HKH", "56IKH", "Sydney"])
def test_a_name_that_is_no_square_is_a_usage_error(tile: str) -> None:
    with pytest.raises(UsageError, match="56HKH"):
        tile_corner(tile)


def test_the_sun_stands_where_a_published_product_says() -> None:
    # T29UNU, 2022-10-05: mean sun zenith 57.82, azimuth 172.84 over the tile's middle at 52.74 N 8.19 W.
    zenith, azimuth = sun_position(datetime(2022, 10, 5, 11, 56, 49, tzinfo=UTC), -8.19, 52.74)
    assert (zenith, azimuth) == pytest.approx((57.82, 172.84), abs=0.1)
