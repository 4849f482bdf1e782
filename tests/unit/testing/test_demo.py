"""The demo pair lies over the Sydney polygon and holds what it promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pyproj import Transformer

from groundshift.model.grid import Window
from groundshift.testing.demo import BANDS, CORNER, DATES, SHAPE, TILE, demo_pair
from groundshift.testing.geodesy import TILE_SIZE_M, tile_corner
from groundshift.testing.safe import write_safe
from groundshift.testing.spectra import Change


def test_the_demo_area_covers_the_sydney_polygon_as_far_as_the_tile_reaches() -> None:
    epsg, tile_x, tile_y = tile_corner(TILE)
    right, bottom = CORNER[0] + 10 * SHAPE[1], CORNER[1] - 10 * SHAPE[0]
    to_metres = Transformer.from_crs(4326, epsg, always_xy=True)
    for longitude, latitude in ((150.6266, -33.49), (150.952, -33.49), (150.952, -33.70), (150.6266, -33.70)):
        x, y = to_metres.transform(longitude, latitude)
        assert CORNER[0] <= x
        assert bottom <= y <= CORNER[1]
        assert min(x, tile_x + TILE_SIZE_M) <= right
    assert right <= tile_x + TILE_SIZE_M
    assert bottom >= tile_y - TILE_SIZE_M
    assert (CORNER[0] - tile_x) % 60 == 0
    assert (tile_y - CORNER[1]) % 60 == 0


def test_the_demo_pair_holds_a_flood_and_clear_cuts() -> None:
    truth = demo_pair().truth(Window(1000, 1400, 0, SHAPE[1]))
    assert np.mean(truth == Change.FLOOD) > 0.05
    assert np.mean(truth == Change.CLEAR_CUT) > 0.0005
    assert set(np.unique(truth)) == {0, Change.FLOOD, Change.CLEAR_CUT}


def test_demo_names_are_those_of_the_published_pair(tmp_path: Path) -> None:
    names = [
        write_safe(
            demo_pair().before, tmp_path, sensing_time=time, baseline=(2, 14), bands=BANDS[:1], size_px=60, zip="stored"
        ).name
        for time in DATES
    ]
    assert names[0] == "S2A_MSIL2A_20210315T000241_N0214_R030_T56HKH_20210315T022345.zip"
    assert names[1].startswith("S2A_MSIL2A_20210325T000241_N0214_R030_T56HKH_")
