"""Areas of interest in, polygons out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.features import shapes
from scipy.ndimage import label

from groundshift.errors import GridError, InputError, MissingInputError, OutputError, UsageError
from groundshift.io.vector import (
    aoi_on,
    merge,
    merge_measured,
    pieces,
    polygonise,
    rasterise_mask,
    read_aoi,
    write_polygons,
)
from groundshift.model.grid import Window, blocks

UTM = GeoBox((200, 300), Affine(10, 0, 334000, 0, -10, 6252000), "EPSG:32756")
TO_LONLAT = Transformer.from_crs("EPSG:32756", "EPSG:4326", always_xy=True)
BOX = shapely.box(334500, 6250700, 335500, 6251500)
BOX_LONLAT = shapely.transform(BOX, lambda xy: np.column_stack(TO_LONLAT.transform(xy[:, 0], xy[:, 1])))


def test_wkt_is_longitude_latitude_and_lands_on_the_grid() -> None:
    geometry, crs = read_aoi(f"  {BOX_LONLAT.wkt.lower()}")
    assert crs == "EPSG:4326"
    placed = aoi_on(geometry, crs, UTM)
    assert placed.symmetric_difference(BOX).area / BOX.area < 1e-3
    assert rasterise_mask(placed, UTM).sum() == pytest.approx(8000, abs=100)


def test_wkt_with_an_srid_is_in_that_crs() -> None:
    geometry, crs = read_aoi(f"SRID=32756;{BOX.wkt}")
    assert crs == "EPSG:32756"
    assert aoi_on(geometry, crs, UTM).equals(BOX)


def test_all_polygons_of_a_file_count_in_its_own_crs(tmp_path: Path) -> None:
    two = np.array([BOX, shapely.transform(BOX, lambda xy: xy + np.array([500, 0]))])
    write_polygons(tmp_path / "ü a.gpkg", np.array([shapely.MultiPolygon([g]) for g in two]), {}, crs="EPSG:32756")
    geometry, crs = read_aoi(str(tmp_path / "ü a.gpkg"))
    assert geometry.area == 1500 * 800
    assert "32756" in str(crs)


def test_an_invalid_polygon_is_mended() -> None:
    geometry, _ = read_aoi("POLYGON((0 0, 1 1, 1 0, 0 1, 0 0))")
    assert geometry.is_valid
    assert geometry.area == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("POLYGON((0 0, 1", UsageError, "valid WKT"),
        ("POINT(1 2)", InputError, "no polygon"),
        ("POLYGON EMPTY", InputError, "no polygon"),
        ("POLYGON((33 151, 34 151, 34 152, 33 151))", UsageError, "swapped"),
        ("nowhere.shp", MissingInputError, "neither WKT nor a file"),
    ],
)
def test_what_is_no_area_is_said(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read_aoi(text)


def test_files_that_are_no_areas_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.gpkg").write_text("hello")
    (tmp_path / "b.vrt").write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="c"><SrcDataSource>c.geojson</SrcDataSource></OGRVRTLayer>'
        "</OGRVRTDataSource>"
    )
    (tmp_path / "c.geojson").write_text('{"type": "Point", "coordinates": [1, 2]}')
    for name, words in (("a.gpkg", "vector file"), ("b.vrt", "VRT"), ("c.geojson", "no polygon")):
        with pytest.raises(InputError, match=words):
            read_aoi(str(tmp_path / name))


def test_an_area_elsewhere_is_an_error_with_a_hint_when_the_axes_are_swapped() -> None:
    with pytest.raises(GridError, match=r"does not overlap the images\.$"):
        aoi_on(shapely.box(10, 45, 11, 46), "EPSG:4326", UTM)
    north = GeoBox((200, 300), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32633")
    with pytest.raises(GridError, match="axes look swapped"):
        aoi_on(shapely.box(45.0, 15.0, 45.2, 15.2), "EPSG:4326", north)


def test_an_area_needs_georeference_on_both_sides_or_none() -> None:
    plain = GeoBox((20, 30), Affine.identity(), None)
    with pytest.raises(GridError, match="the images carry no georeference"):
        aoi_on(BOX_LONLAT, "EPSG:4326", plain)
    with pytest.raises(GridError, match="the area of interest carry no georeference"):
        aoi_on(BOX, None, UTM)
    assert aoi_on(shapely.box(2, 3, 50, 8), None, plain).bounds == (2, 3, 30, 8)


@settings(max_examples=30, deadline=None)
@given(st.integers(5, 60), st.integers(5, 60), st.integers(0, 10_000))
def test_a_mask_in_blocks_is_the_mask_and_holds_the_centres_inside(rows: int, columns: int, seed: int) -> None:
    grid = GeoBox((40, 50), Affine(10, 0, 0, 0, -10, 400), "EPSG:32756")
    points = np.random.default_rng(seed).random((7, 2)) * [600, 500] - 50
    area = shapely.MultiPoint(points).convex_hull
    whole = rasterise_mask(area, grid)
    parts = np.zeros_like(whole)
    for window in blocks((40, 50), rows, columns):
        parts[window.slices] = rasterise_mask(area, grid, window)
    assert np.array_equal(parts, whole)
    x, y = np.meshgrid(np.arange(50) * 10 + 5, 395 - np.arange(40) * 10)
    assert np.array_equal(whole, shapely.contains_xy(area, x, y))


def _map(seed: int, shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(seed).choice([0, 1, 2, 255], shape, p=[0.35, 0.35, 0.25, 0.05]).astype(np.uint8)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30), st.integers(2, 12), st.integers(2, 12))
def test_polygons_do_not_depend_on_the_blocks(seed: int, height: int, width: int, rows: int, columns: int) -> None:
    labels, transform = _map(seed, (height, width)), Affine(10, 0, 5e5, 0, -10, 5e6)
    whole, codes = polygonise(labels, transform)
    parts = [
        pieces(labels[window.slices], window, width, transform) for window in blocks((height, width), rows, columns)
    ]
    merged, merged_codes = merge(parts)
    assert np.array_equal(codes, merged_codes)
    assert [a.wkb for a in whole] == [b.wkb for b in merged]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30))
def test_there_is_one_valid_polygon_for_each_region_that_touches_over_corners(
    seed: int, height: int, width: int
) -> None:
    labels = _map(seed, (height, width))
    geometries, codes = polygonise(labels, Affine.identity())
    assert shapely.is_valid(geometries).all()
    for code in (1, 2):
        mine = geometries[codes == code]
        assert len(mine) == label(labels == code, np.ones((3, 3)))[1]
        oracle = [shapely.make_valid(shapely.geometry.shape(s)) for s, _ in shapes(labels, mask=labels == code)]
        assert shapely.union_all(mine).equals(shapely.union_all(oracle)) or not oracle
        assert shapely.area(mine).sum() == (labels == code).sum()
    assert set(codes) <= {1, 2}


def test_a_map_without_change_has_no_polygons_and_writes_an_empty_layer(tmp_path: Path) -> None:
    geometries, codes = polygonise(np.zeros((5, 6), np.uint8), Affine.identity())
    assert len(geometries) == len(codes) == 0
    write_polygons(tmp_path / "a.gpkg", geometries, {"kind": codes}, crs=None)
    info = pyogrio.read_info(tmp_path / "a.gpkg")
    assert (info["features"], list(info["fields"])) == (0, ["kind"])


def test_equal_polygons_make_equal_bytes_with_fields_and_crs(tmp_path: Path) -> None:
    geometries, codes = polygonise(_map(3, (30, 40)), UTM.affine)
    fields = {
        "kind": codes.astype(np.int32),
        "area_m2": shapely.area(geometries),
        "name": np.array(["é"] * len(codes), object),
    }
    for name in ("a.gpkg", "b.gpkg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_polygons(tmp_path / name, geometries, fields, crs="EPSG:32756")
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()
    meta, _, read, values = pyogrio.raw.read(tmp_path / "a.gpkg")
    assert meta["crs"] == "EPSG:32756"
    assert list(meta["fields"]) == list(fields)
    assert np.array_equal(values[0], codes)
    assert shapely.equals(shapely.from_wkb(read), geometries).all()


def test_a_layer_into_a_folder_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_polygons(tmp_path / "no" / "a.gpkg", np.empty(0, object), {}, crs=None)


def test_window_of_a_block_elsewhere_keeps_its_place() -> None:
    part = pieces(np.ones((1, 2), np.uint8), Window(5, 6, 7, 9), 20, Affine.identity())
    geometry, _ = merge([part])
    assert geometry[0].bounds == (7, 5, 9, 6)


def test_regions_that_touch_no_border_of_their_block_are_merged_too() -> None:
    labels = np.zeros((4, 5), np.uint8)
    labels[1, 2] = 3
    geometries, codes = polygonise(labels, Affine.identity())
    assert codes.tolist() == [3]
    assert geometries[0].equals(shapely.box(2, 1, 3, 2))


def test_means_of_several_quantities_are_those_of_one_after_the_other_in_any_cut() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, (20, 15)).astype(np.int32) * 700
    layers = [rng.random(labels.shape), rng.integers(0, 9, labels.shape)]
    place = Affine(10, 0, 0, 0, -10, 0)

    def measured(rows: int, measure: object) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        parts = []
        for y in range(0, 20, rows):
            cut = slice(y, y + rows)
            own = [each[cut] for each in measure] if isinstance(measure, list) else measure[cut]  # type: ignore[index]
            parts.append(pieces(labels[cut], Window(y, min(20, y + rows), 0, 15), 15, place, own))
        return merge_measured(parts)

    singles = [measured(20, layer.astype(float))[3] for layer in layers]
    for rows in (20, 7):
        _, code, _, mean = measured(rows, layers)
        assert mean.shape == (2, len(code))
        assert np.allclose(mean, singles)
    assert set(code) == {700, 1400}
