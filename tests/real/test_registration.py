"""Shifts between real images."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import from_bounds

from groundshift.change.registration import Shift, estimate_shift


def band(path: Path) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            return np.asarray(source.read(1), np.float64)


def measured(before: NDArray[np.float64], after: NDArray[np.float64]) -> Shift:
    shift = estimate_shift(before, after, (before > 0) & (after > 0))
    assert shift is not None
    return shift


@pytest.mark.parametrize("tile", ["33TWL", "33TWM"])
@pytest.mark.parametrize("days", [("13", "15"), ("13", "20"), ("15", "20")])
@pytest.mark.parametrize("name", ["B04", "B08"])
def test_dates_of_one_tile_lie_on_each_other(shared_data: Path, tile: str, days: tuple[str, str], name: str) -> None:
    folder = shared_data / "alps-2023" / "sentinel-2-l2a"
    images = [band(next(folder.glob(f"S2?_{tile}_202308{day}_0_L2A")) / f"{name}.tif") for day in days]
    shift = measured(images[0], images[1])
    assert shift.length_px < 0.05  # at 120 m; the requirement is 0.3
    assert shift.chips >= 10


def test_two_early_products_are_almost_two_pixels_apart(shared_data: Path) -> None:
    folder = shared_data / "coregistration"
    names = "ref_S2A_20160608T153121_T33UUU_sub.jp2", "tgt_S2A_20160529T153631_T33UUU_sub.jp2"
    with (
        rasterio.Env(GDAL_NUM_THREADS="1"),
        rasterio.open(folder / names[0]) as first,
        rasterio.open(folder / names[1]) as second,
    ):
        a, b = first.bounds, second.bounds
        common = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
        images = [np.asarray(f.read(1, window=from_bounds(*common, f.transform)), float) for f in (first, second)]
    shift = measured(images[0], images[1])
    assert (shift.dx_px, shift.dy_px) == (pytest.approx(0.62, abs=0.1), pytest.approx(-1.79, abs=0.1))
    assert shift.error_px < 0.05


@pytest.mark.parametrize("name", ["B02", "B03", "B04"])
def test_the_pair_of_bercy_is_half_a_pixel_apart(shared_data: Path, name: str) -> None:
    folder = shared_data / "oscd-bercy"
    shift = measured(*(band(folder / part / f"{name}.tif") for part in ("imgs_1_rect", "imgs_2_rect")))
    assert (shift.dx_px, shift.dy_px) == (pytest.approx(0.55, abs=0.1), pytest.approx(0.18, abs=0.1))


@pytest.mark.parametrize("name", ["B02", "B03", "B04", "B08"])
def test_the_pair_of_the_bushfire_is_a_pixel_apart_in_every_band(shared_data: Path, name: str) -> None:
    folder = shared_data / "bushfire-2018-2019"
    shift = measured(*(band(folder / f"{date}_{name}.tiff") for date in ("2018-12-01", "2019-01-05")))
    assert (shift.dx_px, shift.dy_px) == (pytest.approx(-0.46, abs=0.1), pytest.approx(1.04, abs=0.1))
