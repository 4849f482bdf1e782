"""EOPatch folders: what is in them, in and out, and what is refused."""

from __future__ import annotations

import gzip
import json
import pickle

import numpy as np
import pyogrio
import pytest
import shapely
import xarray as xr
from pyproj import CRS

from groundshift.errors import InputError, MissingInputError, OutputError, ProductError, UsageError
from groundshift.io.eopatch import read_eopatch, write_eopatch


def dataset(times=3, height=4, width=5):
    random = np.random.default_rng(0)
    row, timeless = ("vector.CLOUDS.row",), ("vector_timeless.FIELDS.row",)
    boxes = shapely.box([0, 20], [0, 10], [10, 50], [10, 30])
    variables = {
        "data.BANDS": (("time", "data.BANDS.band", "y", "x"), random.random((times, 6, height, width), np.float32)),
        "data.NDVI": (("time", "y", "x"), random.random((times, height, width))),
        "mask.IS_VALID": (("time", "y", "x"), random.random((times, height, width)) < 0.5),
        "data_timeless.DEM": (("y", "x"), random.random((height, width)).astype(np.float32)),
        "mask_timeless.LULC": (("y", "x"), random.integers(0, 9, (height, width), np.uint16)),
        "scalar.COVER": (("time",), random.random(times).astype(np.float16)),
        "label.KIND": (("time", "label.KIND.band"), random.integers(0, 9, (times, 2), np.int8)),
        "scalar_timeless.SHARE": (("scalar_timeless.SHARE.band",), random.random(6)),
        "label_timeless.ONE": ((), np.int32(7)),
        "vector.CLOUDS.TIMESTAMP": (row, np.array(["2019-01-02T10:00:01", "2019-01-07"], "datetime64[ms]")),
        "vector.CLOUDS.geometry": (row, boxes, {"crs": "EPSG:32633"}),
        "vector_timeless.FIELDS.NAME": (timeless, np.array(["maize", "rye"], object)),
        "vector_timeless.FIELDS.geometry": (timeless, boxes, {"crs": "EPSG:32633"}),
    }
    coordinates = {
        "time": np.array(["2019-01-02T10:00:01", "2019-01-07T10:00:00.5", "2019-02-01"], "datetime64[ns]")[:times],
        "y": 5_000_000 - 10.0 * np.arange(height),
        "x": 465_181.05 + 9.99 * np.arange(width),
        "spatial_ref": xr.Variable((), 0, {"crs_wkt": CRS.from_epsg(32633).to_wkt(), "grid_mapping_name": "crs"}),
    }
    return xr.Dataset(variables, coordinates, {"meta_info": {"maxcc": 0.8, "source": ["S2A", "S2B"]}})


def equal(found, expected):
    assert set(found.data_vars) == set(expected.data_vars)
    assert found.attrs == expected.attrs
    for name, variable in expected.data_vars.items():
        if str(name).endswith("geometry"):
            assert shapely.equals_exact(found[name].values, variable.values).all()
            assert found[name].attrs == variable.attrs
        else:
            assert found[name].dims == variable.dims
            assert found[name].dtype == variable.dtype
            np.testing.assert_array_equal(found[name].values, variable.values)
    np.testing.assert_array_equal(found["time"], expected["time"])
    for name in ("y", "x"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-6)


@pytest.fixture
def patch(tmp_path):
    return write_eopatch(dataset(), tmp_path / "PATCH")


def test_what_is_written_is_read_again(patch):
    equal(read_eopatch(patch), dataset())


def test_the_layout_is_that_of_eo_learn(patch):
    files = sorted(str(file.relative_to(patch)) for file in patch.rglob("*") if file.is_file())
    assert files == [
        "bbox.geojson",
        "data/BANDS.npy",
        "data/NDVI.npy",
        "data_timeless/DEM.npy",
        "label/KIND.npy",
        "label_timeless/ONE.npy",
        "mask/IS_VALID.npy",
        "mask_timeless/LULC.npy",
        "meta_info/maxcc.json",
        "meta_info/source.json",
        "scalar/COVER.npy",
        "scalar_timeless/SHARE.npy",
        "timestamps.json",
        "vector/CLOUDS.gpkg",
        "vector_timeless/FIELDS.gpkg",
    ]
    shapes = {name: np.load(patch / f"{name}.npy").shape for name in ("data/BANDS", "data/NDVI", "mask_timeless/LULC")}
    assert shapes == {"data/BANDS": (3, 4, 5, 6), "data/NDVI": (3, 4, 5, 1), "mask_timeless/LULC": (4, 5, 1)}
    assert np.load(patch / "label_timeless/ONE.npy").tolist() == [7]
    np.testing.assert_array_equal(np.load(patch / "data/BANDS.npy")[1, 2, 3], dataset()["data.BANDS"][1, :, 2, 3])
    assert json.loads((patch / "timestamps.json").read_text())[1] == "2019-01-07T10:00:00.500000"
    box = json.loads((patch / "bbox.geojson").read_text())
    assert box["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"
    corners = np.array(box["coordinates"][0])
    np.testing.assert_allclose(corners.min(axis=0), [465_181.05 - 4.995, 4_999_965])
    np.testing.assert_allclose(corners.max(axis=0), [465_181.05 + 4.5 * 9.99, 5_000_005])
    assert pyogrio.list_layers(patch / "vector/CLOUDS.gpkg").tolist() == [["CLOUDS", "Polygon"]]


def test_compressed_files_are_read(patch):
    for file in [*patch.rglob("*.npy"), *patch.rglob("*.gpkg"), *patch.rglob("*.json")]:
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    equal(read_eopatch(patch), dataset())


def test_south_first_is_turned_over(tmp_path):
    flipped = dataset().isel(y=slice(None, None, -1))
    equal(read_eopatch(write_eopatch(flipped, tmp_path / "P")), dataset())


def test_dimensions_may_come_in_any_order(tmp_path):
    turned = dataset().transpose("x", ..., "time")
    equal(read_eopatch(write_eopatch(turned, tmp_path / "P")), dataset())


def test_images_of_another_size_keep_axes_of_their_own(patch):
    np.save(patch / "data_timeless" / "COARSE.npy", np.ones((2, 1, 3)))
    found = read_eopatch(patch)
    coarse = found["data_timeless.COARSE"]
    assert coarse.dims == ("data_timeless.COARSE.band", "data_timeless.COARSE.y", "data_timeless.COARSE.x")
    np.testing.assert_allclose(coarse["data_timeless.COARSE.y"], [4_999_995, 4_999_975])
    again = read_eopatch(write_eopatch(found, patch.parent / "AGAIN"))
    xr.testing.assert_equal(again["data_timeless.COARSE"], coarse)


def test_degrees_are_degrees_again(tmp_path):
    here = dataset()[["data_timeless.DEM"]].assign_coords(
        y=[46.3, 46.2, 46.1, 46.0],
        x=[14.0, 14.1, 14.2, 14.3, 14.4],
        spatial_ref=xr.Variable((), 0, {"crs_wkt": CRS.from_epsg(4326).to_wkt()}),
    )
    folder = write_eopatch(here, tmp_path / "P")
    assert "CRS84" in (folder / "bbox.geojson").read_text()
    write_eopatch(here, folder, overwrite="features")
    found = read_eopatch(folder)
    assert 'ID["EPSG",4326]' in found["spatial_ref"].attrs["crs_wkt"]
    np.testing.assert_allclose(found["y"], here["y"])


def test_nothing_is_overwritten_unless_asked_for(patch):
    other = dataset()[["data.NDVI"]] * 2
    with pytest.raises(OutputError, match=r"data/NDVI\.npy exists already"):
        write_eopatch(other, patch)
    write_eopatch(other.rename({"data.NDVI": "data.EVI"}), patch)
    np.testing.assert_array_equal(read_eopatch(patch)["data.NDVI"], dataset()["data.NDVI"])
    write_eopatch(other, patch, overwrite="features")
    found = read_eopatch(patch)
    np.testing.assert_array_equal(found["data.NDVI"], other["data.NDVI"])
    assert {"data.EVI", "mask.IS_VALID"} <= set(found)
    write_eopatch(other, patch, overwrite="patch")
    assert set(read_eopatch(patch)) == {"data.NDVI"}
    assert [each.name for each in patch.parent.iterdir()] == ["PATCH"]


def test_a_feature_that_was_compressed_is_replaced_not_doubled(patch):
    file = patch / "data" / "NDVI.npy"
    file.with_name("NDVI.npy.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    write_eopatch(dataset()[["data.NDVI"]], patch, overwrite="features")
    assert sorted(each.name for each in (patch / "data").iterdir()) == ["BANDS.npy", "NDVI.npy"]


def test_features_of_other_dates_or_another_place_are_not_added(patch):
    new = dataset()[["data.NDVI"]].rename({"data.NDVI": "data.EVI"})
    with pytest.raises(OutputError, match="other dates"):
        write_eopatch(new.isel(time=[0, 2]), patch)
    with pytest.raises(OutputError, match="other bounds"):
        write_eopatch(new.assign_coords(x=new["x"] + 10), patch)


def test_a_folder_that_is_no_patch_is_never_replaced(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.doc").write_text("years of work")
    with pytest.raises(OutputError, match=r"thesis\.doc belongs to no EOPatch"):
        write_eopatch(dataset(), tmp_path / "home", overwrite="patch")
    with pytest.raises(UsageError, match="expected nothing, features or patch"):
        write_eopatch(dataset(), tmp_path / "P", overwrite="all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.rename({"data.NDVI": "NDVI"}), "'NDVI' belongs to no group"),
        (lambda d: d.rename({"data.NDVI": "data.ND:VI"}), "no name of a feature"),
        (lambda d: d.assign({"data.ndvi": d["data.NDVI"]}), "differ in case only"),
        (lambda d: d.rename({"data.NDVI": "mask.NDVI"}), "float64: an EOPatch holds whole numbers"),
        (lambda d: d.rename({"data_timeless.DEM": "data.DEM"}), r"expected \(time, y, x\) and at most one axis"),
        (lambda d: d.drop_vars("vector.CLOUDS.TIMESTAMP"), "no column TIMESTAMP"),
        (lambda d: d.drop_vars("spatial_ref"), "EPSG code"),
        (lambda d: d.drop_vars("time"), "needs timestamps"),
        (lambda d: d.assign_attrs(meta_info={"when": {1}}), "'when' cannot be written as JSON"),
    ],
)
def test_what_no_patch_can_hold_is_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        write_eopatch(change(dataset()), tmp_path / "P")
    assert not list(tmp_path.iterdir())


def damage(patch, name, content):
    (patch / name).parent.mkdir(exist_ok=True)
    (patch / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data/OLD.pkl", pickle.dumps([1]), "is pickled, which is never read"),
        ("bbox.pkl", pickle.dumps([1]), "is pickled, which is never read"),
        ("data/BANDS.npy", pickle.dumps([1]), "holds Python objects"),
        ("data/CUBE.zarr", b"", "stored as Zarr are not read"),
        ("data/NDVI.npy", b"\x93NUMPY\x01\x00", "cannot be read as a numpy array"),
        ("data/NDVI.npy.gz", b"not gzip", "holds the same feature"),
        ("data/TORN.npy.gz", gzip.compress(bytes(9000))[:20], "cannot be read as a numpy array"),
        ("data/NDVI.tif", b"II*", "is no file of an EOPatch"),
        ("timestamps.json", b'["2019-01-02"]', "has 3 dates, but timestamps.json has 1"),
        ("timestamps.json", b'["yesterday"]', "expected a list of ISO dates"),
        ("timestamps.json", b"[", "cannot be read as JSON"),
        ("bbox.geojson", b'{"type": "Point"}', "no GeoJSON polygon"),
        ("meta_info/maxcc.json", b"{", "cannot be read as JSON"),
        ("vector/CLOUDS.gpkg", b"SQLite format 3\0", "cannot be read as a vector file"),
    ],
)
def test_what_is_broken_is_named(patch, name, content, message):
    if name == "bbox.pkl":
        (patch / "bbox.geojson").unlink()
    damage(patch, name, content)
    with pytest.raises(ProductError, match=message):
        read_eopatch(patch)


def test_object_arrays_and_missing_dates_are_refused(patch):
    np.save(patch / "data" / "THINGS.npy", np.array([[[[{}]]]], object), allow_pickle=True)
    with pytest.raises(ProductError, match="Python objects"):
        read_eopatch(patch)
    (patch / "data" / "THINGS.npy").unlink()
    np.save(patch / "data" / "NDVI.npy", np.zeros((3, 4)))
    with pytest.raises(ProductError, match=r"is \(3, 4\): expected \(time, y, x, band\)"):
        read_eopatch(patch)
    (patch / "data" / "NDVI.npy").unlink()
    (patch / "timestamps.json").unlink()
    with pytest.raises(ProductError, match=r"no timestamps\.json"):
        read_eopatch(patch)


def test_no_patch_is_no_patch(tmp_path):
    with pytest.raises(MissingInputError, match="is no folder"):
        read_eopatch(tmp_path / "absent")
    with pytest.raises(MissingInputError, match="expected an EOPatch"):
        read_eopatch(tmp_path)
