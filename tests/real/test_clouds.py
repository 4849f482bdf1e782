"""Masks and shadows on a cloudy day in the Alps, beside the scene classification; previews of the same days."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.execution.pool import Pool
from groundshift.io.opening import open_scene
from groundshift.model.cloudmask import CloudClass
from groundshift.pipelines import scene_mask, screen
from groundshift.pipelines.scene_mask import MaskOptions


def item(shared_data: Path, name: str) -> Path:
    return shared_data / "alps-2023" / "sentinel-2-l2a" / f"{name}_0_L2A"


def codes(path: Path, folder: Path, **options: object) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Of the mask, and of the scene classification."""
    reader = open_scene(path)
    with Pool(0) as pool:
        made = scene_mask.plan(reader, MaskOptions(**options))  # type: ignore[arg-type]
        found = scene_mask.run(made, folder, pool)
    classes = reader.read_classification(found.grid)
    assert classes is not None
    return found.read(found.grid), classes


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_shadows_are_found_where_the_classification_sees_them(shared_data: Path, tmp_path: Path) -> None:
    path = item(shared_data, "S2A_33TWL_20230818")
    ours, classes = codes(path, tmp_path, classes=(8, 9, 10))
    theirs = classes == 3
    shadow = ours == CloudClass.SHADOW
    assert not shadow[np.isin(classes, (0, 8, 9, 10))].any()
    assert (shadow & theirs).sum() > 0.6 * theirs.sum()
    assert shadow.sum() < 1.5 * theirs.sum()


def test_a_clear_day_has_next_to_no_shadow(shared_data: Path, tmp_path: Path) -> None:
    ours, _ = codes(item(shared_data, "S2A_33TWL_20230815"), tmp_path, classes=(8, 9, 10))
    assert (ours == CloudClass.SHADOW).mean() < 0.01


def test_ukis_csmask_sees_the_clouds(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("ukis_csmask")
    ours, classes = codes(item(shared_data, "S2B_33TWL_20230810"), tmp_path, mask="ukis-csmask", shadows=False)
    assert overlap(ours == CloudClass.CLOUD, np.isin(classes, (8, 9, 10))) > 0.7


def test_previews_order_the_days_as_they_were(shared_data: Path) -> None:
    days = ("S2B_33TWL_20230810", "S2A_33TWL_20230818", "S2A_33TWL_20230815")
    found = screen.run([str(item(shared_data, name)) for name in days])
    by_name = {each.name.removesuffix("_0_L2A"): each for each in found.scenes}
    assert [each.date for each in found.scenes] == ["2023-08-18", "2023-08-15", "2023-08-10"]
    clouds = [by_name[name].cloud_percent or 0 for name in days]
    assert clouds == sorted(clouds, reverse=True)
    for each in found.scenes:
        assert each.cloud_percent == pytest.approx(each.declared_percent, abs=2)
