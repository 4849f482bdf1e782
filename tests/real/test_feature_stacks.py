"""Stacks of features of real scenes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from groundshift.cli.main import _groundshift, guarded


def stack(out: Path, *argv: object) -> dict[str, np.ndarray]:
    assert guarded(_groundshift, ["features", *map(str, argv), "--out", str(out), "--quiet"], "groundshift") == 0
    with rasterio.open(out) as file:
        return dict(zip(file.descriptions, file.read(), strict=True))


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in this process."""
    from groundshift.execution.pool import Pool
    from groundshift.pipelines import features

    monkeypatch.setattr(features, "open_pool", lambda *_, **__: Pool(0))


def test_a_crop_whose_pixels_of_20_and_60_m_begin_before_those_of_10_m(shared_data: Path, tmp_path: Path) -> None:
    product = next((shared_data / "safe").glob("*T33SVB*.SAFE"))
    found = stack(tmp_path / "stack.tif", product, "--clouds", "none", "--plot", tmp_path / "bands.png")
    assert len(found) == 17
    assert all(np.isfinite(band).mean() > 0.99 for band in found.values())
    for band, metres in (("B05", 20), ("B8A", 20), ("B12", 20), ("B09", 60)):
        with rasterio.open(next(product.rglob(f"*_{band}_{metres}m.jp2"))) as file:
            coarse = file.read(1) / 1e4
        # The first column of 10 m is the second within the first coarse pixel.
        factor = metres // 10
        fine = found[band][:, factor - 1 :]
        rows, columns = fine.shape[0] // factor, fine.shape[1] // factor
        cells = fine[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
        means, known = cells.mean(axis=(1, 3)), np.isfinite(cells).all(axis=(1, 3))
        np.testing.assert_allclose(means[known], coarse[:rows, 1 : columns + 1][known], atol=2e-5)
    assert np.nanmedian(found["NDVI"]) == pytest.approx(0.54, abs=0.15)
    assert (tmp_path / "bands.png").stat().st_size > 100_000


def test_an_export_that_carries_the_offset_still_and_enlarged_elevation(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "amazon-polygons"
    argv: list[Any] = [folder / "sen2.tif", "--dem", folder / "srtm_sen2.tif"]
    refused = ["features", *map(str, argv), "--out", str(tmp_path / "no.tif"), "--quiet"]
    assert guarded(_groundshift, refused, "groundshift") == 65
    assert "--trust" in capsys.readouterr().err
    found = stack(tmp_path / "stack.tif", *argv, "--trust", "pixels")
    assert list(found)[-3:] == ["DEM", "slope", "aspect"]
    assert len(found) == 20
    assert all(np.isfinite(band).all() for band in found.values())
    assert np.median(found["NDVI"]) > 0.8, "forest, once the offset is off"
    assert "squares of 9" in capsys.readouterr().err
    assert np.percentile(found["slope"], 99) < 12, "walls of a staircase are steeper"
    record = json.loads((tmp_path / "stack.manifest.json").read_text())
    assert any(line.startswith("Terrain") for line in record["warnings"])


def test_the_scene_of_the_how_to(shared_data: Path, tmp_path: Path) -> None:
    wanted = ("--features", "default,S2REP,glcm:B8:entropy+correlation", "--scale", "65535")
    found = stack(tmp_path / "stack.tif", shared_data / "sundarbans-2020", *wanted)
    assert len(found) == 20
    seen = np.isfinite(found["B08"])
    assert 0.8 < seen.mean() < 1
    water = found["MNDWI"] > 0.3
    assert np.nanmean(found["NDVI"][water]) < 0 < np.nanmean(found["NDVI"][seen & ~water])
    assert np.nanmin(found["S2REP"]) >= 690
    assert np.nanmean(found["glcm_B08_entropy"][water]) < np.nanmean(found["glcm_B08_entropy"])
