"""Relative normalisation of real pairs, among them two where it went wrong once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from groundshift.radiometry.normalise import NormaliseOptions, apply, fit

BANDS = ("B02", "B03", "B04", "B08")
Image = NDArray[np.float32]


def alps(folder: Path, tile: str, days: tuple[str, str]) -> tuple[Image, Image]:
    """(band, pixel) of both dates where neither is cloud, shadow or outside."""
    images, clear = [], True
    for day in days:
        product = next((folder / "alps-2023" / "sentinel-2-l2a").glob(f"S2?_{tile}_202308{day}_0_L2A"))
        images.append(np.stack([_read(product / f"{name}.tif") for name in BANDS]) / np.float32(10_000))
        clear = clear & (images[-1] > 0).all(axis=0) & ~np.isin(_read(product / "SCL.tif"), (0, 1, 3, 8, 9, 10))
    return images[0][:, clear], images[1][:, clear]


def bushfire(folder: Path) -> tuple[Image, Image]:
    """(band, y, x) of both dates."""
    images = [
        np.stack([_read(folder / "bushfire-2018-2019" / f"{date}_{name}.tiff") for name in BANDS])
        for date in ("2018-12-01", "2019-01-05")
    ]
    return images[0] / np.float32(65_535), images[1] / np.float32(65_535)


def _read(path: Path) -> Image:
    with rasterio.open(path) as source:
        return np.asarray(source.read(1), np.float32)


@pytest.mark.parametrize("method", ["orthogonal", "robust"])
@pytest.mark.parametrize("tile", ["33TWL", "33TWM"])
@pytest.mark.parametrize("days", [("13", "15"), ("13", "20"), ("15", "20")])
def test_gains_of_pairs_without_change_stay_near_one(
    shared_data: Path, tile: str, days: tuple[str, str], method: str
) -> None:
    before, after = alps(shared_data, tile, days)
    line = fit(before, after, NormaliseOptions(method=method), BANDS)  # type: ignore[arg-type]
    assert ((line.gain > 0.85) & (line.gain < 1.2)).all(), line.gain
    assert (line.spread_with <= 1.01 * line.spread_without).all()
    assert (np.abs(np.median(apply(line, after) - before, axis=1)) < 0.003).all()


def test_two_clear_days_need_no_warning(shared_data: Path) -> None:
    assert not fit(*alps(shared_data, "33TWM", ("13", "15"))).warnings


def test_haze_in_the_blue_does_not_run_away(shared_data: Path) -> None:
    before, after = alps(shared_data, "33TWL", ("13", "20"))
    line = fit(before, after, bands=BANDS)
    assert 0.9 < line.gain[0] < 1.1
    assert any(str(warning).startswith("B02") for warning in line.warnings)


def test_the_burn_survives_its_normalisation(shared_data: Path) -> None:
    before, after = bushfire(shared_data)
    line = fit(before.reshape(4, -1), after.reshape(4, -1), bands=BANDS)
    assert (line.gain == 1).all()
    assert len(line.warnings) == 4
    drop = before[3] - apply(line, after)[3]
    assert np.quantile(drop, 0.9) > 0.08  # the burn lost more than 8 % of reflectance in the near infrared
