"""A series of real scenes: the Alps, five dates of two orbits, without changes worth the name between the clear ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

import groundshift as gs
from groundshift.execution.pool import Pool
from groundshift.pipelines import series

AREA = "POLYGON((15.2 46.3, 15.6 46.3, 15.6 46.6, 15.2 46.6, 15.2 46.3))"


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in this process."""
    monkeypatch.setattr(series, "open_pool", lambda *_, **__: Pool(0))


def test_clear_dates_of_the_alps_hardly_change(shared_data: Path, tmp_path: Path) -> None:
    scenes = sorted((shared_data / "alps-2023" / "sentinel-2-l2a").glob("*33TWM*"))
    found = gs.detect_series(scenes, tmp_path, orbits="any", aoi=AREA, animation=False)
    (view,) = found.summary["fields"]
    dates = {one["date"]: one for one in view["dates"]}
    assert not dates["20230810"]["usable"], "cloudy"
    assert dates["20230813"]["usable"]
    assert dates["20230815"]["usable"]
    (clear,) = [one for one in view["pairs"] if (one["before"], one["after"]) == ("20230813", "20230815")]
    assert clear["changed_percent"] < 1
    with rasterio.open(tmp_path / clear["file"]) as file:
        chance = file.read(1)
    assert np.isfinite(chance).mean() * 100 >= clear["joint_percent"] * 0.5, "of the area of interest"


def test_orbits_are_followed_apart_and_one_scene_is_none(shared_data: Path, tmp_path: Path) -> None:
    scenes = sorted((shared_data / "alps-2023" / "sentinel-2-l2a").glob("*33TWM*"))
    options = {"aoi": AREA, "animation": False, "resolution": 240}
    found = gs.detect_series(scenes, tmp_path, max_cloud=100, **options)
    folders = {view["name"]: len(view["pairs"]) for view in found.summary["fields"]}
    assert folders == {"33TWM_R079": 2, "33TWM_R122": 1}
    assert (tmp_path / "33TWM_R122" / "item.json").exists()
    with pytest.raises(gs.NoDataError, match="a series needs two dates"):
        gs.detect_series(shared_data.glob("safe/*T29UNU*"), tmp_path / "one")  # type: ignore[arg-type]
