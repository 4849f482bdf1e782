"""Land cover of real images: an EOPatch with its own raster truth, and polygons on a stack of bands and elevation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import groundshift as gs
from groundshift.cli.main import _groundshift, guarded

pytestmark = pytest.mark.usefixtures("parked_workers")

QUICK: dict[str, Any] = {"per_class": 150, "model": "mlp", "model_options": {"epochs": 30}, "folds": 3, "workers": 1}


def need(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"no {path.name} here")
    return path


def test_an_eopatch_is_learnt_from_its_own_raster(shared_data: Path, tmp_path: Path) -> None:
    patch = need(shared_data / "slovenia-eopatch" / "TestEOPatch")
    labels = patch / "mask_timeless" / "LULC.npy"
    steps = [{"use": "select", "names": ["NDVI", "DEM"]}, {"use": "regular", "step_days": 32}]
    told = gs.train_landcover(patch, labels, tmp_path / "model", steps=steps, **QUICK)
    # Three quarters are forest: a map of nothing else would have a macro F1 of 0.22 of these four classes.
    assert told.summary["transfer"]["macro_f1"] > 0.4
    assert told.summary["splits"]["kind"] == "knndm"
    assert 0.75 < told.summary["transfer"]["confidence_sets"]["90"] <= 1
    gs.predict_landcover(tmp_path / "model", patch, tmp_path / "map", workers=1, method="none")
    with rasterio.open(tmp_path / "map" / "classes.tif") as file:
        made = file.read(1)
    truth = np.load(labels)[..., 0]
    known = np.isin(truth, np.unique(made))
    assert (made == truth)[known].mean() > 0.8


def test_bands_and_elevation_become_a_map_of_what_polygons_show(shared_data: Path, tmp_path: Path) -> None:
    folder = need(shared_data / "amazon-polygons")
    stack = str(tmp_path / "stack.tif")
    words = ("features", str(folder / "sen2.tif"), "--trust", "pixels", "--dem", str(folder / "srtm_sen2.tif"))
    few = ("--features", "B2,B3,B4,B8,B11,NDVI,DEM", "--workers", "1", "--quiet", "--out", stack)
    assert guarded(_groundshift, [*words, *few], "groundshift") == 0
    polygons = folder / "trainingPolygons_sen2.geojson"
    told = gs.train_landcover(None, polygons, tmp_path / "model", stack=stack, **QUICK)
    names = {each["name"]: each["code"] for each in told.summary["classes"]}
    assert sorted(names) == ["dryout", "forest", "village", "water"]
    assert told.summary["transfer"]["overall_accuracy"] > 0.8
    gs.predict_landcover(tmp_path / "model", None, tmp_path / "map", stack=stack, workers=1, method="none")
    with rasterio.open(tmp_path / "map" / "classes.tif") as file:
        made, colors = file.read(1), file.colormap(1)
    assert (made[:15] == names["water"]).mean() > 0.95, "the river lies along the north"
    assert 0.5 < (made == names["forest"]).mean() < 0.85
    red, green, blue, _ = colors[names["village"]]
    assert red > 2 * max(green, blue)
