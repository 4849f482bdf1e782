"""A date whose date before lies in another season is compared with one of a year before."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import groundshift as gs
from groundshift.execution.pool import Pool
from groundshift.pipelines import series, series_scenes
from groundshift.testing.safe import write_safe

SHAPE = (120, 180)
DAYS = (date(2020, 7, 1), date(2020, 7, 11), date(2021, 3, 5), date(2021, 7, 3), date(2021, 7, 13))
"""Two of summer, one of winter, two of the next summer: something was built in between."""
BUILT = np.s_[40:60, 50:90]


class Ground:
    """Hills; in winter darker by patches."""

    shape = SHAPE
    sun = (40.0, 30.0)
    saturates = False

    def __init__(self, day: date) -> None:
        self._day = day

    def reflectance(self, window: Any, bands: Any, resolution_m: int = 10) -> Any:
        y, x = np.mgrid[window.y0 : window.y1, window.x0 : window.x1]
        step = resolution_m // 10
        wave = 0.2 + 0.08 * np.sin(y * step / 17) * np.cos(x * step / 13)
        image = np.stack([wave] * len(bands)).astype(np.float32)
        if self._day.month == 3:
            image *= np.where((y * step // 10 + x * step // 10) % 2, 0.5, 0.75)
        built = np.zeros(SHAPE, bool)
        built[BUILT] = self._day > date(2021, 4, 1)
        image += 0.15 * built[::step, ::step][window.slices]
        return image + np.random.default_rng(self._day.toordinal() + window.y0).normal(0, 0.003, image.shape)

    top_of_atmosphere = reflectance

    def scl(self, window: Any) -> Any:
        return np.full(window.shape, 4, np.uint8)


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("seasons")
    times = [datetime(day.year, day.month, day.day, 0, 2, 41, tzinfo=UTC) for day in DAYS]
    return [
        write_safe(Ground(day), folder, bands="B02,B03,B04,B08", sensing_time=time)
        for day, time in zip(DAYS, times, strict=True)
    ]


def test_the_same_season_of_a_year_before_is_compared_and_the_change_dated(
    products: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "open_pool", lambda *_, **__: Pool(0))
    read: list[int] = []
    ours = series_scenes.judge

    def judge(state: Any, view: Any, reader: Any, folder: Path) -> Any:
        read.append(DAYS.index(reader.scene.sensing_time.date()))
        return ours(state, view, reader, folder)

    monkeypatch.setattr(series_scenes, "judge", judge)
    found = gs.detect_series(products, tmp_path / "out", detect_method="statistical", detect_confirm="1/1")
    (view,) = found.summary["fields"]
    assert [(pair["before"], pair["after"]) for pair in view["pairs"]] == [
        ("20200701", "20200711"),
        ("20200711", "20210305"),
        ("20200701", "20210703"),
        ("20210703", "20210713"),
    ]
    assert "20210305 lies in another season" in " ".join(view["pairs"][2]["notes"])
    assert read == [0, 1, 2, 3, 0, 4], "the one of the year before is read again, no other is"
    assert not list((tmp_path / "out").glob(".groundshift-series/*/*/*.bin")), "no planes are left"
    with rasterio.open(tmp_path / "out" / view["pairs"][2]["file"]) as file:
        seen = file.read(1) >= 0.5
    built = np.zeros(SHAPE, bool)
    built[BUILT] = True
    assert seen[built].mean() > 0.9
    assert seen[~built].mean() < 0.02
    with rasterio.open(tmp_path / "out" / "evidence.tif") as file:
        status = file.read(1)
    assert (status[~built] > 0).mean() < 0.05, "winter is no change, nor is summer after it"
    assert (status[built] == 2).mean() > 0.9
