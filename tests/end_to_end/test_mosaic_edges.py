"""Mosaics where maps are cut: two UTM zones, and both sides of the antimeridian. The ground is a known pattern."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer

from groundshift.cli.main import _groundshift, guarded
from groundshift.execution.pool import Pool
from groundshift.pipelines import mosaic

SIDE, PIXEL = 150, 20
BORDER = {"zones": ((12.0, 47.0), (32632, 32633)), "antimeridian": ((180.0, -17.0), (32760, 32701))}
"""Where two zones meet, and the zones (60K and 01K at the antimeridian)."""
NO_DATA = -32768
FIJI = {
    "beyond 180": "POLYGON((179.99 -17.01, 180.01 -17.01, 180.01 -16.99, 179.99 -16.99, 179.99 -17.01))",
    "one ring": "POLYGON((179.99 -17.01, -179.99 -17.01, -179.99 -16.99, 179.99 -16.99, 179.99 -17.01))",
    "two parts": "MULTIPOLYGON(((179.99 -17.01, 180 -17.01, 180 -16.99, 179.99 -16.99, 179.99 -17.01)), "
    "((-180 -17.01, -179.99 -17.01, -179.99 -16.99, -180 -16.99, -180 -17.01)))",
}
pytestmark = pytest.mark.filterwarnings("ignore:.*cannot be represented exactly")


def ground(x: Any, y: Any, crs: Any) -> np.ndarray:
    """Reflectance of a place: waves of about 1.8 km, of which a pixel is 4 thousandths at their steepest."""
    longitude, latitude = Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    waves = np.sin(2 * np.pi * 60 * np.mod(longitude, 360)) + np.cos(2 * np.pi * 70 * latitude)
    return np.asarray(0.14 + 0.05 * waves)


def places(transform: Affine, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    x, y = transform * (columns, rows)
    return x, y


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Two rasters a border, each in its own zone, which share two fifths of their width."""
    found: dict[str, list[str]] = {}
    for name, (place, zones) in BORDER.items():
        folder = tmp_path_factory.mktemp(name)
        for k, epsg in enumerate(zones):
            x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(*place)
            corner = (x - SIDE * PIXEL * (0.7, 0.3)[k]) // PIXEL * PIXEL, (y + SIDE * PIXEL / 2) // PIXEL * PIXEL
            transform = Affine(PIXEL, 0, corner[0], 0, -PIXEL, corner[1])
            image = np.rint(ground(*places(transform, (SIDE, SIDE)), epsg) * 1e4).astype(np.uint16)
            path = folder / f"{k}.tif"
            profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 4, "dtype": "uint16", "nodata": 0}
            with rasterio.open(path, "w", crs=f"EPSG:{epsg}", transform=transform, **profile) as file:
                file.write(np.stack([image * share for share in (1, 0.8, 0.4, 1.5)]).astype(np.uint16))
                file.descriptions, file.scales = ("B04", "B03", "B02", "B08"), (1e-4,) * 4
            found.setdefault(name, []).append(str(path))
    return found


@pytest.fixture(autouse=True)
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosaic, "open_pool", lambda *_, **__: Pool(0))


def made(paths: list[str], out: Path, *options: str) -> tuple[np.ndarray, Affine, Any]:
    """Red band with NaN, transform and CRS of a mosaic in which nothing is adjusted."""
    argv = ["mosaic", *paths, "--outdir", str(out), "--clouds", "none", "--balance", "none", "--blend", "none"]
    assert guarded(_groundshift, [*argv, "--quiet", *options], "groundshift") == 0
    with rasterio.open(out / "mosaic.tif") as file:
        stored = file.read(1)
        return np.where(stored == NO_DATA, np.nan, stored * 1e-4), file.transform, file.crs


@pytest.mark.parametrize("method", ["best", "median"])
@pytest.mark.parametrize(
    ("border", "projection"),
    [("zones", "native"), ("antimeridian", "native"), ("antimeridian", "EPSG:4326"), ("antimeridian", "EPSG:32701")],
)
def test_two_zones_are_one_picture_without_gaps_and_without_shift(
    border: str, projection: str, method: str, scenes: dict[str, list[str]], tmp_path: Path
) -> None:
    image, transform, crs = made(scenes[border], tmp_path, "--projection", projection, "--method", method)
    assert max(image.shape) < 2 * SIDE
    off = np.abs(image - ground(*places(transform, image.shape), crs))
    assert np.nanpercentile(off, 99) < 0.0004
    assert np.nanmax(off) < 0.004
    x, y = places(transform, image.shape)
    inside = np.zeros(image.shape, bool)
    for path in scenes[border]:
        with rasterio.open(path) as file:
            there = ~file.transform * Transformer.from_crs(crs, file.crs, always_xy=True).transform(x, y)
            inside |= np.all([(each > 0.5) & (each < SIDE - 0.5) for each in there], axis=0)
    assert not np.isnan(image[inside]).any()
    used = {scene["used_percent"] for scene in json.loads((tmp_path / "scenes.json").read_text())["scenes"]}
    assert method == "median" or min(used) > 30
    footprint = shapely.from_geojson((tmp_path / "item.json").read_text())
    assert footprint.is_valid
    assert footprint.area < 0.01
    west, _, east, _ = json.loads((tmp_path / "item.json").read_text())["bbox"]
    assert (west > east) == (border == "antimeridian")


@pytest.mark.parametrize("projection", ["native", "EPSG:4326"])
@pytest.mark.parametrize("area", FIJI.values(), ids=FIJI)
def test_an_area_across_the_antimeridian_is_found_however_it_is_written(
    area: str, projection: str, scenes: dict[str, list[str]], tmp_path: Path
) -> None:
    image, transform, crs = made(
        scenes["antimeridian"], tmp_path, "--aoi", area, "--projection", projection, "--method", "median"
    )
    assert np.nanpercentile(np.abs(image - ground(*places(transform, image.shape), crs)), 99) < 0.0004
    x, y = places(transform, image.shape)
    longitude, latitude = Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    beyond = np.maximum(abs(np.mod(longitude, 360) - 180), abs(latitude + 17)) - 0.01
    sure = abs(beyond) > 2e-5
    np.testing.assert_array_equal(~np.isnan(image[sure]), beyond[sure] < 0)


def test_select_sees_both_sides_of_the_antimeridian(scenes: dict[str, list[str]], tmp_path: Path) -> None:
    out = tmp_path / "list.json"
    small = FIJI["one ring"].replace("9.99", "9.996").replace("17.01", "17.004").replace("16.99", "16.996")
    argv = ["select", *scenes["antimeridian"], "--out", str(out), "--aoi", small, "--full-resolution"]
    assert guarded(_groundshift, [*argv, "--quiet"], "groundshift") == 0
    listed = json.loads(out.read_text())
    assert listed["never"] == 0
    assert len(listed["scenes"]) == 1
    wide = ["select", *scenes["antimeridian"], "--out", str(out), "--quiet"]
    assert guarded(_groundshift, wide, "groundshift") == 0
    assert len(json.loads(out.read_text())["scenes"]) == 2
