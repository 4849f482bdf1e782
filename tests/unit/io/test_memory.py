"""Scenes of numpy arrays and xarray objects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from groundshift.errors import InputError, MissingInputError, UsageError
from groundshift.io.memory import from_arrays, from_xarray

GRID = GeoBox((30, 40), Affine(10, 0, 500000, 0, -10, 5100000), 32633)


def on_the_map() -> dict[str, Any]:
    """Coordinates of pixel centres and a CRS, as rioxarray and odc-geo write them."""
    y, x = 5100000 - 10 * (np.arange(30) + 0.5), 500000 + 10 * (np.arange(40) + 0.5)
    return {"y": y, "x": x, "spatial_ref": xr.Variable((), 0, {"crs_wkt": GRID.crs.to_wkt()})}


def numbers(dtype: str = "uint16") -> Any:
    return np.random.default_rng(4).integers(1, 9000, (30, 40)).astype(dtype)


def test_arrays_come_back_as_they_were_with_zero_as_no_data() -> None:
    dn = numbers()
    dn[2, 3] = 0
    reader = from_arrays({"B2": dn, "nir": dn}, GRID, scale=10000, offset=-1000)
    pixels = reader.read(["B02", "B08"], GRID)
    np.testing.assert_array_equal(pixels.dn[1], dn)
    np.testing.assert_array_equal(pixels.valid[0], dn != 0)
    info = reader.scene.bands["B02"]
    assert (info.scale, info.offset) == (1e-4, -1000)


def test_without_a_grid_the_pixels_are_the_grid() -> None:
    reader = from_arrays({"B04": np.full((5, 6), 0.2, np.float32)})
    geobox = reader.scene.bands["B04"].geobox
    assert geobox.crs is None
    assert tuple(geobox.shape) == (5, 6)
    assert reader.read(["B04"], geobox).valid.all()


def test_nan_the_mask_and_the_nodata_value_are_no_data() -> None:
    dn = np.full((30, 40), 0.2, np.float32)
    dn[0, 0], dn[0, 1] = np.nan, -9999
    mask = np.ones((30, 40), bool)
    mask[0, 2] = False
    valid = from_arrays({"B04": dn}, GRID, nodata=-9999, valid=mask).read(["B04"], GRID).valid[0]
    assert valid.sum() == 30 * 40 - 3
    assert not valid[0, :3].any()


def test_integers_need_a_scale() -> None:
    with pytest.raises(InputError, match=r"B04 holds integers: say which is reflectance 1, as scale=10000"):
        from_arrays({"B04": numbers()}, GRID)


def test_shapes_must_agree() -> None:
    with pytest.raises(InputError, match=r"B03 has shape \(3, 3\): expected \(30, 40\)"):
        from_arrays({"B04": numbers(), "B03": np.zeros((3, 3), np.uint16)}, GRID, scale=1e4)


def test_an_unknown_band_or_one_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="unknown band 'B99'"):
        from_arrays({"B99": numbers()}, GRID, scale=1e4)
    with pytest.raises(MissingInputError, match="no band B11"):
        from_arrays({"B04": numbers()}, GRID, scale=1e4).read(["B11"], GRID)


def test_what_is_read_belongs_to_the_caller() -> None:
    dn = numbers()
    reader = from_arrays({"B04": dn}, GRID, scale=1e4)
    reader.read(["B04"], GRID).dn[:] = 0
    assert (reader.read(["B04"], GRID).dn[0] == dn).all()


def test_a_dataset_with_coordinates_of_a_map_is_a_scene() -> None:
    dims = ("y", "x")
    data = xr.Dataset(
        {"B02": (dims, numbers()), "red": (dims, numbers()), "SCL": (dims, np.full((30, 40), 4, np.uint8)), "slope": 1},
        coords={**on_the_map(), "time": np.datetime64("2021-03-15T00:02:41")},
    )
    reader = from_xarray(data, scale=10000)
    assert list(reader.scene.bands) == ["B02", "B04"]
    assert reader.scene.bands["B02"].geobox == GRID
    assert reader.scene.sensing_time == datetime(2021, 3, 15, 0, 2, 41, tzinfo=UTC)
    assert (reader.read_classification(GRID) == 4).all()


def test_an_array_whose_band_coordinate_names_its_bands_is_a_scene() -> None:
    stack = np.stack([numbers(), numbers() + 1])
    data = xr.DataArray(stack, dims=("band", "y", "x"), coords={"band": ["B03", "B8A"]})
    reader = from_xarray(data, scale=10000, offset=-1000)
    assert list(reader.scene.bands) == ["B03", "B8A"]
    np.testing.assert_array_equal(reader.read(["B8A"], reader.scene.bands["B8A"].geobox).dn[0], stack[1])


def test_packing_attributes_are_followed() -> None:
    attrs = {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0}
    reader = from_xarray(xr.Dataset({"B04": (("y", "x"), numbers("int16"), attrs)}))
    info = reader.scene.bands["B04"]
    assert (info.scale, info.offset, info.nodata) == (pytest.approx(1e-4), pytest.approx(-1000), 0)


def test_several_dates_or_unnamed_bands_are_refused() -> None:
    cube = xr.DataArray(np.zeros((2, 3, 4, 5)), dims=("time", "band", "y", "x"))
    with pytest.raises(InputError, match="several dates"):
        from_xarray(cube)
    with pytest.raises(InputError, match="no variable is named like a band"):
        from_xarray(cube.isel(time=0))


def test_coordinates_that_are_not_evenly_spaced_are_no_grid() -> None:
    data = xr.DataArray(
        numbers() / 1e4, dims=("y", "x"), coords={"y": np.arange(30) ** 2, "x": np.arange(40)}, name="B04"
    )
    with pytest.raises(InputError, match="not evenly spaced"):
        from_xarray(data)
