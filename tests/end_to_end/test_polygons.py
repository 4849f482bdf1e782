"""From a raster of class probabilities to a map, and from a map to polygons, as a user does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import ndimage

from groundshift.cli.main import _groundshift, guarded
from groundshift.errors import UsageError
from groundshift.io import cog
from groundshift.io.cog import BandTag
from groundshift.io.planes import Planes
from groundshift.landcover import mmu, smooth
from groundshift.landcover.mmu import MappingUnit
from groundshift.landcover.smooth import MajorityOptions
from groundshift.landcover.uncertainty import STEP, certainty
from groundshift.model.grid import Window
from groundshift.model.legend import LegendEntry, legend_of
from groundshift.pipelines import map_polygons, smoothing
from groundshift.pipelines.smoothing import SmoothOptions, smooth_map

NAMES = ("water", "forest", "meadow", "built-up")
LEGEND = legend_of(NAMES, [1, 3, 4, 9])
UTM = GeoBox((150, 170), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
DEGREES = GeoBox((150, 170), Affine(1e-4, 0, 13, 0, -1e-4, 60), "EPSG:4326")


def stored(path: Path, values: NDArray[np.uint8], grid: GeoBox, legend: Any = None) -> str:
    planes = Planes.create(path.with_suffix(".bin"), values.shape, "uint8")
    planes.write(Window(0, values.shape[1], 0, values.shape[2]), values)
    bands = [BandTag(name, scale=STEP) for name in NAMES] if legend is None else [BandTag("class")]
    cog.export(planes, grid, path, bands=bands, nodata=255, legend=legend)
    planes.delete()
    return str(path)


@pytest.fixture(scope="module")
def bytes_() -> NDArray[np.uint8]:
    """Probabilities in steps of 0.004, with a hole."""
    field = np.random.default_rng(7).standard_normal((4, *UTM.shape))
    p = np.exp(9 * ndimage.gaussian_filter(field, (0, 2, 2)))
    found = np.rint(p / p.sum(axis=0) / STEP).astype(np.uint8)
    found[:, 60:75, 40:60] = 255
    return found


@pytest.fixture(scope="module")
def probabilities(tmp_path_factory: pytest.TempPathFactory, bytes_: NDArray[np.uint8]) -> str:
    return stored(tmp_path_factory.mktemp("p") / "p.tif", bytes_, UTM)


@pytest.fixture(scope="module")
def class_map(tmp_path_factory: pytest.TempPathFactory, bytes_: NDArray[np.uint8]) -> str:
    codes = np.where(bytes_[0] == 255, 255, np.array([1, 3, 4, 9])[bytes_.argmax(axis=0)]).astype(np.uint8)
    codes[:3, :50] = 0
    return stored(tmp_path_factory.mktemp("map") / "map.tif", codes[None], UTM, LEGEND)


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = guarded(_groundshift, ["polygons", *(str(each) for each in argv)], "groundshift")
    said = capsys.readouterr()
    return code, said.out, said.err


def read(path: Path) -> tuple[dict[str, Any], NDArray[np.object_], dict[str, NDArray[Any]]]:
    meta, _, packed, values = pyogrio.raw.read(path)
    return meta, shapely.from_wkb(packed), dict(zip(meta["fields"], values, strict=True))


def test_polygons_are_the_regions_of_the_map(
    class_map: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_polygons, "_SIDE", 64)
    code, out, _ = run(capsys, class_map, "--out", tmp_path / "map.gpkg", "--json", "--workers", "1")
    assert code == 0
    meta, shapes, fields = read(tmp_path / "map.gpkg")
    with rasterio.open(class_map) as source:
        codes = source.read(1)
    known = (codes != 0) & (codes != 255)
    expected = {
        (int(value), shapely.geometry.shape(shape).normalize().wkt)
        for shape, value in rasterio.features.shapes(codes, known, 4, UTM.affine)
    }
    # Points on straight sides, where three regions meet, are none in GDAL's polygons.
    plain = shapely.simplify(shapes, 0)
    assert len(shapes) == len(expected)
    areas = sorted((value, shapely.from_wkt(text).area) for value, text in expected)
    assert areas == sorted(zip(fields["class"].tolist(), shapely.area(shapes).tolist(), strict=True))
    assert all(
        any(shape.equals(shapely.from_wkt(text)) for value, text in expected if value == own)
        for own, shape in zip(fields["class"][:30].tolist(), plain[:30], strict=True)
    )
    assert meta["crs"] == "EPSG:32633"
    assert shapely.coverage_is_valid(shapes)
    np.testing.assert_array_equal(fields["area_m2"], 100 * fields["pixels"])
    assert dict(zip(fields["class"].tolist(), fields["name"].tolist(), strict=True)) == {
        1: "water", 3: "forest", 4: "meadow", 9: "built-up"
    }  # fmt: skip
    rows = {row["name"]: row for row in json.loads(out)["classes"]}
    assert rows["forest"]["polygons"] == (fields["class"] == 3).sum()
    assert rows["forest"]["hectares"] == pytest.approx((codes == 3).sum() / 100)


def test_small_regions_are_given_away_and_counted_where_they_went(
    class_map: str, probabilities: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], bytes_: NDArray[np.uint8]
) -> None:
    target = tmp_path / "map.fgb"
    options = ("--simplify", 20, "--min-area", 1500, "--probabilities", probabilities)
    code, out, _ = run(capsys, class_map, "--out", target, *options)
    assert code == 0
    assert "built-up" in out
    _, shapes, fields = read(target)
    with rasterio.open(class_map) as source:
        codes = source.read(1)
    p = bytes_ * np.float32(STEP)
    unit = MappingUnit(minimum_px=15)
    expected = mmu.sieve(codes, unit, p, [1, 3, 4, 9])
    assert (expected != codes).any()
    assert shapely.coverage_is_valid(shapes)
    assert shapely.get_num_coordinates(shapes).sum() < 0.7 * fields["pixels"].sum()
    for k, (value, name) in enumerate(zip((1, 3, 4, 9), NAMES, strict=True)):
        own, inside = fields["class"] == value, expected == value
        assert fields["pixels"][own].sum() == inside.sum()
        share = fields[f"{name.replace('-', '_')}_percent"]
        assert (share[own] * fields["pixels"][own]).sum() / 100 == pytest.approx((inside & (codes == value)).sum())
        assert (fields["confidence"][own] * fields["pixels"][own]).sum() == pytest.approx(p[k][inside].sum(), rel=1e-5)
    largest = np.argmax(fields["pixels"])
    np.testing.assert_allclose(sum(fields[f"{name.replace('-', '_')}_percent"][largest] for name in NAMES), 100)


def test_geoparquet_says_what_it_holds(class_map: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run(capsys, class_map, "--out", tmp_path / "map.parquet", "--quiet")[0] == 0
    assert run(capsys, class_map, "--out", tmp_path / "map.gpkg", "--quiet")[0] == 0
    table = parquet.read_table(tmp_path / "map.parquet")
    _, shapes, fields = read(tmp_path / "map.gpkg")
    geo = json.loads(table.schema.metadata[b"geo"])
    column = geo["columns"]["geometry"]
    assert (geo["version"], geo["primary_column"], column["encoding"]) == ("1.1.0", "geometry", "WKB")
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32633}
    assert column["geometry_types"] == ["Polygon"]
    np.testing.assert_allclose(column["bbox"], shapely.total_bounds(shapes))
    found = shapely.from_wkb(table["geometry"].to_numpy())
    assert shapely.equals_exact(found, shapes).all()
    boxes = np.array([list(row.values()) for row in table["bbox"].to_pylist()])
    np.testing.assert_array_equal(boxes, shapely.bounds(found))
    for name, values in fields.items():
        np.testing.assert_array_equal(table[name].to_numpy(), values)


def test_areas_of_a_map_in_degrees_are_true(tmp_path: Path) -> None:
    codes = np.full(DEGREES.shape, 3, np.uint8)
    path = stored(tmp_path / "map.tif", codes[None], DEGREES, LEGEND)
    map_polygons.run(map_polygons.PolygonsJob(map=path, out=str(tmp_path / "map.gpkg"), workers=1))
    from pyproj import Geod

    _, shapes, fields = read(tmp_path / "map.gpkg")
    dense = shapely.segmentize(shapes[0], 1e-4)
    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(dense)
    assert fields["area_m2"][0] == pytest.approx(abs(area), rel=1e-4)


def test_a_smoothed_map_is_that_of_its_parts(
    probabilities: str, bytes_: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = MappingUnit(minimum_px=12, exempt=(9,))
    options = SmoothOptions(majority=MajorityOptions(), unit=unit)
    monkeypatch.setattr(smoothing, "_SIDE", 64)
    out, kept = tmp_path / "map.tif", tmp_path / "smooth.tif"
    summary = smooth_map(probabilities, str(out), options, legend=LEGEND, smoothed=str(kept), workers=1)
    p = np.where(bytes_ == 255, np.float32(np.nan), bytes_ * np.float32(STEP))
    found = smooth.bayes(p)
    codes = smooth.majority(certainty(found, [1, 3, 4, 9]).codes)
    with rasterio.open(kept) as source:
        layers, names = source.read(), source.descriptions
    known = bytes_[0] != 255
    assert names == NAMES
    assert np.abs(layers[:, known] * STEP - found[:, known]).max() <= STEP / 2 + 1e-6
    assert (layers[:, ~known] == 255).all()
    expected = mmu.sieve(codes, unit, np.where(layers == 255, np.nan, layers * np.float32(STEP)), [1, 3, 4, 9])
    with rasterio.open(out) as source:
        np.testing.assert_array_equal(source.read(1), expected)
        assert source.colormap(1)[3] == next(entry.color for entry in LEGEND if entry.code == 3)
    assert (expected[~known] == 255).all()
    assert summary["pixels"]["water"] == (expected == 1).sum()
    assert out.with_suffix(".qml").exists()


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["--out", "map.shp"], 2, "ends in .gpkg, .fgb, .parquet"),
        (["--out", "no/map.gpkg"], 73, "no folder"),
        (["--out", "map.gpkg", "--legend", "corine"], 2, "no legend 'corine'"),
        (["--out", "map.gpkg", "--legend", "land-use"], 65, "holds 9, no codes of the legend"),
        (["--out", "map.gpkg", "--simplify", "-1"], 2, "0 or more"),
        (["--out", "map.gpkg", "--probabilities", "MAP"], 65, "has no band for water"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    class_map: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = run(capsys, class_map, *(class_map if word == "MAP" else word for word in argv))
    assert (found, out) == (code, "")
    assert says in err
    assert list(tmp_path.iterdir()) == []


def test_metres_need_a_georeference_and_pixels_do_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = np.repeat(np.array([[[1, 1, 3, 9]]], np.uint8), 4, axis=1)
    path = stored(tmp_path / "map.tif", codes, GeoBox((4, 4), Affine.identity(), None), LEGEND)
    assert "no georeference" in run(capsys, path, "--out", tmp_path / "map.gpkg", "--simplify", 10)[2]
    assert run(capsys, path, "--out", tmp_path / "map.gpkg", "--quiet")[0] == 0
    assert len(read(tmp_path / "map.gpkg")[1]) == 3


def test_a_map_without_classes_makes_an_empty_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = (LegendEntry(255, "no data", (0, 0, 0, 0)),)
    path = stored(tmp_path / "map.tif", np.full((1, *UTM.shape), 255, np.uint8), UTM, entry)
    assert run(capsys, path, "--out", tmp_path / "map.gpkg")[0] == 0
    assert len(read(tmp_path / "map.gpkg")[1]) == 0


def test_without_pyarrow_geoparquet_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"groundshift\[parquet\]"):
        map_polygons.PolygonsJob(map="map.tif", out="map.parquet")
