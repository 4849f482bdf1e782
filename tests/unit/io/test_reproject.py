"""From one grid to another."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from groundshift.errors import GridError, UsageError
from groundshift.io.planes import Planes
from groundshift.io.reproject import Reprojection, reproject, target_geobox, write_block
from groundshift.model.grid import Window, blocks, pixel_size_m

UTM = GeoBox((120, 150), Affine(10, 0, 334000, 0, -10, 6252000), "EPSG:32756")
NAN = float("nan")


def _job(folder: Path, values: np.ndarray, target: GeoBox, methods: tuple[str, ...], nodata: float) -> Reprojection:
    source = Planes.create(folder / "source.bin", values.shape, values.dtype.name)
    source.write(Window(0, values.shape[1], 0, values.shape[2]), values)
    planes = Planes.create(folder / "target.bin", (len(methods), *target.shape), values.dtype.name)
    return Reprojection(source, UTM, planes, target, methods, nodata)  # type: ignore[arg-type]


def _run(job: Reprojection) -> np.ndarray:
    reproject(job)
    return job.target.read(Window(0, job.target.shape[1], 0, job.target.shape[2]))


def _exact(target: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Slow oracle: rows and columns in UTM of the pixel centres of ``target``."""
    x, y = np.meshgrid(np.arange(target.shape[1]) + 0.5, np.arange(target.shape[0]) + 0.5)
    a = target.affine
    east, north = a.a * x + a.b * y + a.c, a.d * x + a.e * y + a.f
    east, north = Transformer.from_crs(target.crs.proj, UTM.crs.proj, always_xy=True).transform(east, north)
    return (UTM.affine.f - north) / 10, (east - UTM.affine.c) / 10


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3577", "EPSG:32755"])
def test_the_default_grid_covers_the_image_with_pixels_of_the_same_size(crs: str) -> None:
    target = target_geobox(UTM, crs)
    rows, columns = _exact(target)
    for corner in ((0.5, 0.5), (0.5, 149.5), (119.5, 0.5), (119.5, 149.5)):
        assert np.hypot(rows - corner[0], columns - corner[1]).min() < 0.75
    if crs == "EPSG:4326":
        assert target.affine.a == pytest.approx(8.983e-5, rel=1e-3)
    else:
        assert pixel_size_m(target) == pytest.approx(10)


def test_a_resolution_in_metres_is_degrees_in_a_geographic_grid() -> None:
    assert target_geobox(UTM, "EPSG:4326", 20).affine.a == pytest.approx(20 / 111_319.49)
    assert target_geobox(UTM, "native", 20).shape == (60, 75)


def test_an_image_across_the_antimeridian_stays_small() -> None:
    fiji = GeoBox((100, 3000), Affine(10, 0, 793000, 0, -10, 8100000), "EPSG:32760")
    assert max(target_geobox(fiji, "EPSG:4326").shape) < 5000


def test_what_cannot_be_projected_is_said() -> None:
    with pytest.raises(UsageError, match="unknown projection"):
        target_geobox(UTM, "EPSG:99999999")
    with pytest.raises(GridError, match="without georeference"):
        target_geobox(GeoBox((3, 3), Affine.identity(), None), "EPSG:4326")


def test_positions_are_within_a_hundredth_of_a_pixel_of_the_exact_transform(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:120, 0:150].astype(np.float32) + 0.5
    target = target_geobox(UTM, "EPSG:4326")
    result = _run(_job(tmp_path, np.stack([rows, columns]), target, ("bilinear", "bilinear"), NAN))
    exact = np.stack(_exact(target))
    inside = (exact[0] > 0.5) & (exact[0] < 119.5) & (exact[1] > 0.5) & (exact[1] < 149.5)
    assert inside.mean() > 0.7
    assert np.abs(result - exact)[:, inside].max() < 0.011


def test_classes_are_those_of_the_nearest_pixel_and_nodata_outside(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 5, (1, 120, 150)).astype(np.uint8)
    target = target_geobox(UTM, "EPSG:3577")
    result = _run(_job(tmp_path, values, target, ("nearest",), 255))[0]
    rows, columns = _exact(target)
    inside = (rows >= 0) & (rows < 120) & (columns >= 0) & (columns < 150)
    clear = np.minimum(np.abs(rows - np.round(rows)), np.abs(columns - np.round(columns))) > 0.02
    assert (result[~inside & clear] == 255).all()
    expected = values[0][rows[inside & clear].astype(int), columns[inside & clear].astype(int)]
    assert np.array_equal(result[inside & clear], expected)


def test_no_data_lies_where_the_nearest_pixel_has_none_in_every_method(tmp_path: Path) -> None:
    holes = np.random.default_rng(1).random((120, 150)) < 0.3
    values = np.where(holes, np.nan, 1).astype(np.float32)
    result = _run(
        _job(tmp_path, np.stack([values] * 3), target_geobox(UTM, "EPSG:4326"), ("nearest", "bilinear", "angle"), NAN)
    )
    assert np.array_equal(np.isnan(result[0]), np.isnan(result[1]))
    assert np.array_equal(np.isnan(result[0]), np.isnan(result[2]))
    assert np.nanmax(np.abs(result - 1)) < 1e-5


def test_an_angle_is_a_mean_direction_not_a_mean_of_numbers(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 170], np.float32), (120, 75))
    half = GeoBox((120, 149), UTM.affine * Affine.translation(0.5, 0), UTM.crs)
    result = _run(_job(tmp_path, np.stack([stripes, stripes]), half, ("angle", "bilinear"), NAN))
    assert np.allclose(result[0], 85, atol=1e-3)
    thirds = GeoBox((120, 149), UTM.affine * Affine.translation(0.25, 0), UTM.crs)
    result = _run(_job(tmp_path, np.stack([stripes, stripes]), thirds, ("angle", "bilinear"), NAN))
    a = np.radians([0, 170])
    wanted = np.degrees(
        np.arctan2(0.75 * np.sin(a[0]) + 0.25 * np.sin(a[1]), 0.75 * np.cos(a[0]) + 0.25 * np.cos(a[1]))
    )
    assert result[0, 50, 50] == pytest.approx(wanted, abs=1e-3)
    assert result[1, 50, 50] == pytest.approx(42.5, abs=1e-3)


@settings(max_examples=12, deadline=None)
@given(st.integers(15, 140), st.integers(15, 140))
def test_other_blocks_make_the_same_pixels(tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int) -> None:
    rng = np.random.default_rng(2)
    values = np.where(rng.random((3, 120, 150)) < 0.1, np.nan, rng.random((3, 120, 150)) * 180).astype(np.float32)
    target = target_geobox(UTM, "EPSG:4326")
    job = _job(tmp_path_factory.mktemp("r"), values, target, ("nearest", "bilinear", "angle"), NAN)
    whole = job.block(Window(0, target.shape[0], 0, target.shape[1]))
    for window in blocks(target.shape, rows, columns):
        write_block(pickle.loads(pickle.dumps((job, window))))  # noqa: S301
    assert np.array_equal(job.target.read(Window(0, target.shape[0], 0, target.shape[1])), whole, equal_nan=True)


def test_coarse_targets_are_done_in_smaller_blocks(tmp_path: Path) -> None:
    coarse = GeoBox((400, 400), Affine(500, 0, 334000, 0, -500, 6252000), "EPSG:32756")
    job = _job(tmp_path, np.zeros((1, 120, 150), np.uint8), coarse, ("nearest",), 255)
    assert max(max(window.shape) for window in job.windows()) == 32
