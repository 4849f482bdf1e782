"""Scenes from afar: what is no data near by is no data from afar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from groundshift.io import previews


@pytest.mark.parametrize("mask", [False, True])
def test_no_data_are_none_however_they_are_told(tmp_path: Path, write_raster: Any, mask: bool) -> None:
    """As NaN, or by a second band of 0 and 1."""
    values = np.full((48, 64), 0.05, np.float32)
    hole = np.arange(64) < 32
    values[:, hole] = 0 if mask else np.nan
    layers = np.stack([values, np.broadcast_to(~hole, values.shape).astype(np.float32)]) if mask else values
    for band in previews.COLOURS:
        write_raster(tmp_path / f"{band}.tif", layers)
    seen = previews.glance(tmp_path)
    picture = seen.picture(seen.grid.zoom_out(8))
    assert picture is not None
    assert (picture.valid == (np.arange(8) >= 4)).all()
    np.testing.assert_allclose(picture.rgb[:, picture.valid], 0.05, rtol=1e-6)


def test_where_only_small_copies_may_be_read_large_bands_need_overviews(
    tmp_path: Path, write_raster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for band in previews.COLOURS:
        write_raster(tmp_path / f"{band}.tif", np.full((48, 64), 500, np.uint16), tags={"scales": (1e-4,)})
    seen = previews.glance(tmp_path)
    grid = seen.grid.zoom_out(8)
    assert seen.picture(grid, small=True) is not None
    monkeypatch.setattr(previews, "_SMALL_PX", 48 * 64 - 1)
    assert seen.picture(grid, small=True) is None
    for band in previews.COLOURS:
        with rasterio.open(tmp_path / f"{band}.tif", "r+") as dataset:
            dataset.build_overviews([2, 4, 8])
    assert seen.picture(grid, small=True) is not None
