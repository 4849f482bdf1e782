"""A real EOPatch, as eo-learn ships it for its own tests."""

from __future__ import annotations

import numpy as np
import shapely
import xarray as xr

from groundshift.io.eopatch import read_eopatch, write_eopatch


def test_a_patch_of_eo_learn_is_read_and_written_again(shared_data, tmp_path):
    patch = read_eopatch(shared_data / "slovenia-eopatch" / "TestEOPatch")
    assert dict(patch.sizes)["time"] == 68
    assert patch["data.NDVI"].dims == ("time", "y", "x")
    assert patch["mask_timeless.RANDOM_UINT8"].shape == (13, 101, 100)
    assert patch["data_timeless.DEM"].dims == ("y", "x")
    assert np.unique(patch["mask_timeless.LULC"]).tolist() == [0, 1, 2, 3, 4, 8]
    assert len(patch["vector_timeless.LULC.geometry"]) == 88
    assert str(patch["time"].values[0]).startswith("2015-07-11T10:00:08")
    assert patch.attrs["meta_info"]["maxcc"] == 0.8
    np.testing.assert_allclose([patch["x"][0], patch["y"][0]], [465186.05, 5080249.63], atol=0.01)
    again = read_eopatch(write_eopatch(patch, tmp_path / "PATCH"))
    geometries = [name for name in patch if str(name).endswith("geometry")]
    xr.testing.assert_identical(again.drop_vars(geometries), patch.drop_vars(geometries))
    for name in geometries:
        assert shapely.equals_exact(again[name].values, patch[name].values).all()
