"""The STAC item and the manifest of a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from groundshift.errors import OutputError
from groundshift.io.manifest import Manifest, sha256, write_manifest
from groundshift.io.stac_item import AssetField, BandField, check_item, write_item
from groundshift.model.legend import change_legend
from groundshift.model.scene import BandInfo, Checked, Scene

GRID = GeoBox((200, 300), Affine(10, 0, 334000, 0, -10, 6252000), "EPSG:32756")
TIMES = [datetime(2020, 2, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)]


def _assets(folder: Path) -> dict[str, AssetField]:
    classes = BandField(name="class", dtype="uint8", nodata=255, legend=change_legend(2))
    amplitude = BandField(name="amplitude", dtype="float32", nodata=float("nan"))
    return {
        "classes": AssetField(path=folder / "S2-CD.tif", title="Kinds", bands=(classes,), cog=True),
        "cva": AssetField(path=folder / "CVA.tif", title="Change vectors", bands=(amplitude,)),
        "report": AssetField(path=folder / "report.html", title="Report", roles=("overview",)),
    }


def test_the_item_names_grid_times_classes_and_relative_files(tmp_path: Path) -> None:
    write_item(tmp_path / "run.json", geobox=GRID, datetimes=TIMES, assets=_assets(tmp_path), properties={"x": 1})
    content = json.loads((tmp_path / "run.json").read_text())
    assert check_item(content) == []
    item = pystac.Item.from_dict(content)
    assert item.properties["proj:code"] == "EPSG:32756"
    assert item.properties["start_datetime"] < item.properties["end_datetime"]
    assert item.assets["classes"].href == "./S2-CD.tif"
    names = [c["title"] for c in content["assets"]["classes"]["bands"][0]["classification:classes"]]
    assert names == ["no change", "change, kind 1", "change, kind 2", "no data"]
    assert content["assets"]["cva"]["bands"][0]["nodata"] == "nan"
    assert len(content["stac_extensions"]) == 3
    assert shapely.geometry.shape(content["geometry"]).contains(shapely.Point(151.22, -33.87))


def test_a_run_without_georeference_or_dates_has_an_item_too(tmp_path: Path) -> None:
    plain = GeoBox((20, 30), Affine.identity(), None)
    write_item(tmp_path / "run.json", geobox=plain, datetimes=[None, None], assets={})
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["geometry"] is None
    assert "not known" in content["properties"]["description"]
    assert check_item(content) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stac_version": "1.0.0"}, "stac_version"),
        ({"bbox": None}, "come together"),
        ({"stac_extensions": []}, "not declared"),
        ({"properties": {}}, "neither datetime"),
        ({"assets": {"a": {"href": "/abs/a.tif"}}}, "absolute"),
        ({"assets": {"a": {"href": "a", "bands": [{"classification:classes": [{"value": 1}, {"value": 1}]}]}}}, "once"),
    ],
)
def test_the_check_finds_what_is_wrong(tmp_path: Path, change: dict[str, object], words: str) -> None:
    write_item(tmp_path / "run.json", geobox=GRID, datetimes=TIMES, assets=_assets(tmp_path))
    content = json.loads((tmp_path / "run.json").read_text())
    assert words in " ".join(check_item(content | change))


def test_the_manifest_lists_inputs_outputs_and_options(tmp_path: Path) -> None:
    band = BandInfo(name="B02", href="a!b", geobox=GRID, dtype="uint16", scale=1e-4, offset=-1000, nodata=0)
    scene = Scene(name="A", href="a.zip", kind="SAFE", bands={"B02": band}, baseline=(5, 10), sensing_time=TIMES[0])
    (tmp_path / "CVA.tif").write_bytes(b"abc")
    manifest = Manifest(
        command="change",
        inputs=[(scene, [Checked(href="b", algorithm="MD5", digest="00", ok=True)])],
        options={"classes": (0, 1), "threshold": np.float32(2), "nothing": float("nan")},
        outputs=[tmp_path / "CVA.tif"],
        timings={"decode": 1.23456},
        extra={"changed_percent": np.array([1, 2])},
    )
    write_manifest(tmp_path / "manifest.json", manifest)
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert content["inputs"][0]["baseline"] == "05.10"
    assert content["inputs"][0]["radiometry"]["B02"] == {"scale": 1e-4, "offset": -1000, "nodata": 0}
    assert content["inputs"][0]["files"][0]["algorithm"] == "MD5"
    assert content["outputs"] == [{"path": "CVA.tif", "bytes": 3, "sha256": sha256(tmp_path / "CVA.tif")}]
    assert content["options"] == {"classes": [0, 1], "threshold": 2.0, "nothing": None}
    assert content["changed_percent"] == [1, 2]
    assert {"groundshift", "gdal", "python"} <= content["versions"].keys()


def test_an_output_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    manifest = Manifest(command="change", inputs=[], options={}, outputs=[tmp_path / "no.tif"], timings={})
    with pytest.raises(OutputError, match=r"no\.tif"):
        write_manifest(tmp_path / "manifest.json", manifest)
