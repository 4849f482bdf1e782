"""The library in five lines: xarray in and out gives what the command gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

import groundshift as gs

pytestmark = pytest.mark.usefixtures("parked_workers")

RNG = np.random.default_rng(7)


def images(shape: tuple[int, int] = (160, 200)) -> tuple[xr.DataArray, xr.DataArray, np.ndarray]:
    """A pair with a bright square as its only change, (band, y, x) without georeference."""
    ground = 0.1 + 0.05 * RNG.random((4, *shape))
    before = ground + 0.003 * RNG.standard_normal((4, *shape))
    after = 0.95 * ground + 0.01 + 0.003 * RNG.standard_normal((4, *shape))
    truth = np.zeros(shape, bool)
    truth[40:70, 50:90] = True
    after[:, truth] += 0.1
    bands = ["B02", "B03", "B04", "B08"]
    arrays = (xr.DataArray(image.astype("f4"), {"band": bands}, ("band", "y", "x")) for image in (before, after))
    return *arrays, truth


def test_compare_finds_the_square_and_nothing_else() -> None:
    before, after, truth = images()
    before[:, 0, :] = np.nan
    found = gs.compare(before, after, kinds_classes=2)
    assert (found.kind.values[0] == 255).all()
    changed = (found.kind.values > 0) & (found.kind.values < 255)
    assert changed[truth].mean() > 0.99
    assert changed[1:][~truth[1:]].sum() == 0
    assert np.nanmedian(found.amplitude.values[truth]) > 5 * np.nanmedian(found.amplitude.values[~truth])


def test_an_option_that_is_not_there_is_named_with_the_nearest() -> None:
    before, after, _ = images((40, 40))
    with pytest.raises(gs.UsageError, match=r"confidance.*confidence"):
        gs.compare(before, after, confidance=99)
    with pytest.raises(gs.UsageError, match=r"method.*detect\.method"):
        gs.compare(before, after, method="cva")


def test_files_and_arrays_agree(tmp_path: Path) -> None:
    before, after, _ = images()
    paths = []
    for name, image in (("a.tif", before), ("b.tif", after)):
        paths.append(tmp_path / name)
        profile = {"driver": "GTiff", "dtype": "float32", "count": 4, "height": 160, "width": 200, "crs": "EPSG:32633"}
        with rasterio.open(paths[-1], "w", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), **profile) as sink:
            sink.write(image.values)
    result = gs.detect_changes(
        *paths, tmp_path / "out", band_order="B2,B3,B4,B8", scale=1.0, workers=1, trust="metadata"
    )
    arrays = [gs.read(path, band_order="B2,B3,B4,B8", scale=1.0) for path in paths]
    assert arrays[0].dims == ("band", "y", "x")
    np.testing.assert_allclose(arrays[0].values, before.values, rtol=1e-6)
    found = gs.compare(*arrays)
    with rasterio.open(result.summary["outputs"]["S2-CD"]) as source:
        np.testing.assert_array_equal(source.read(1), found.kind.values)
    assert result.summary["changed_pixels"] == int(((found.kind > 0) & (found.kind < 255)).sum())


def test_without_context_the_limit_is_a_confidence_or_a_false_discovery_rate() -> None:
    before, after, truth = images()
    for options in ({"context": "none"}, {"fdr": 0.01}):
        found = gs.compare(before, after, **options)
        changed = found.kind.values > 0
        assert changed[truth].mean() > 0.95
        assert (changed & ~truth).sum() <= 0.02 * changed.sum()
    one = gs.compare(before, after, context="none", min_area=400)
    assert changed[truth].any()
    assert ((one.kind.values > 0) & ~truth).sum() == 0
