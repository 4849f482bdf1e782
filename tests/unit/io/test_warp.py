"""Reading on any grid, against slow and readable versions of the same rules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.errors import GridError
from groundshift.io.warp import resample
from groundshift.model.grid import Window

UTM = "EPSG:32633"


def grid(shape: tuple[int, int], pixel: float, x: float = 600000.0, y: float = 5000000.0, crs: Any = UTM) -> GeoBox:
    return GeoBox(shape, Affine(pixel, 0, x, 0, -pixel, y), crs)


def image(shape: tuple[int, int], share: float = 0.8) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    rng = np.random.default_rng(7)
    return rng.integers(1, 10_000, shape).astype(np.uint16), rng.random(shape) < share


def read(dn: Any, valid: Any, native: GeoBox, target: GeoBox, method: Any = "bilinear") -> tuple[Any, Any]:
    def source(window: Window) -> tuple[Any, Any]:
        assert window.y0 >= 0
        assert window.x0 >= 0
        assert window.y1 <= dn.shape[0]
        assert window.x1 <= dn.shape[1]
        return dn[window.slices], valid[window.slices]

    return resample(source, native, dn.dtype, target, method)


def slow_bilinear(dn: Any, valid: Any, y: float, x: float) -> float | None:
    """One value by the rule: nearest pixel valid, weights over valid neighbours renormalised."""

    def usable(r: int, c: int) -> bool:
        return 0 <= r < dn.shape[0] and 0 <= c < dn.shape[1] and bool(valid[r, c])

    if not usable(math.floor(y), math.floor(x)):
        return None
    r0, c0 = math.floor(y - 0.5), math.floor(x - 0.5)
    near = [(r, c) for r in (r0, r0 + 1) for c in (c0, c0 + 1) if usable(r, c)]
    weights = [(1 - abs(y - 0.5 - r)) * (1 - abs(x - 0.5 - c)) for r, c in near]
    return float(np.average([dn[p] for p in near], weights=weights))


def slow_average(dn: Any, valid: Any, y0: float, y1: float, x0: float, x1: float) -> float | None:
    """Mean over one rectangle, weighted by overlap, where at least half of it is valid."""
    total = weight = 0.0
    for r in range(dn.shape[0]):
        for c in range(dn.shape[1]):
            overlap = max(0, min(y1, r + 1) - max(y0, r)) * max(0, min(x1, c + 1) - max(x0, c))
            if valid[r, c]:
                total, weight = total + overlap * float(dn[r, c]), weight + overlap
    return total / weight if weight and weight >= 0.5 * (y1 - y0) * (x1 - x0) - 1e-9 else None


@pytest.mark.parametrize(("pixel", "shift"), [(10.0, 0.0), (20 / 3, 0.0), (20.0, 7.0), (25.0, -33.0), (10.0, -300.0)])
def test_bilinear_agrees_with_the_rule_written_out(pixel: float, shift: float) -> None:
    native = grid((23, 19), 20)
    dn, valid = image((23, 19))
    target = grid((31, 29), pixel, 600000 + shift, 5000000 - shift)
    got, ok = read(dn, valid, native, target)
    assert got.dtype == np.float32
    for i in range(31):
        for j in range(29):
            expected = slow_bilinear(dn, valid, (shift + (i + 0.5) * pixel) / 20, (shift + (j + 0.5) * pixel) / 20)
            assert ok[i, j] == (expected is not None)
            if expected is not None:
                assert got[i, j] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("pixel", "shift"), [(20.0, 0.0), (60.0, 0.0), (31.0, 13.0), (20.0, -30.0)])
def test_coarsening_is_the_mean_by_area_where_half_is_valid(pixel: float, shift: float) -> None:
    native = grid((24, 24), 10)
    dn, valid = image((24, 24), 0.5)
    target = grid((9, 9), pixel, 600000 + shift, 5000000 - shift)
    got, ok = read(dn, valid, native, target, "bilinear")
    edges = [(shift + k * pixel) / 10 for k in range(10)]
    for i in range(9):
        for j in range(9):
            expected = slow_average(dn, valid, edges[i], edges[i + 1], edges[j], edges[j + 1])
            assert ok[i, j] == (expected is not None)
            if expected is not None:
                assert got[i, j] == pytest.approx(expected, rel=1e-5)


def test_the_same_lattice_gives_stored_values_unchanged_and_nothing_outside() -> None:
    dn, valid = image((20, 20))
    got, ok = read(dn, valid, grid((20, 20), 10), grid((20, 20), 10, 600000 - 50, 5000000 + 30), "cubic")
    assert got.dtype == np.uint16
    np.testing.assert_array_equal(got[3:, 5:], dn[:17, :15])
    np.testing.assert_array_equal(ok[3:, 5:], valid[:17, :15])
    assert not ok[:3].any()
    assert not ok[:, :5].any()


def test_nearest_keeps_its_method_when_coarsening() -> None:
    dn, valid = image((20, 20), 1.1)
    got, ok = read(dn, valid, grid((20, 20), 10), grid((6, 5), 30), "nearest")
    np.testing.assert_array_equal(got, dn[1:18:3, 1:15:3])
    assert ok.all()


def test_a_tie_of_nearest_goes_the_same_way_from_any_origin() -> None:
    dn, valid = image((40, 40), 1.1)
    whole, _ = read(dn, valid, grid((40, 40), 10), grid((20, 20), 20), "nearest")
    np.testing.assert_array_equal(whole, dn[1::2, 1::2])


def test_cubic_reproduces_a_quadratic_and_bilinear_a_plane() -> None:
    y, x = np.mgrid[0:20, 0:20].astype(np.float64)
    inner = np.s_[8:-8, 8:-8]
    position = (np.arange(40) + 0.5) / 2 - 0.5
    for method, surface in (("cubic", lambda a, b: a * a + b), ("bilinear", lambda a, b: 3 * a + b)):
        got, ok = read(
            surface(y, x).astype(np.float32), np.ones((20, 20), bool), grid((20, 20), 20), grid((40, 40), 10), method
        )
        expected = surface(position[:, None], position[None])
        assert ok.all()
        np.testing.assert_allclose(got[inner], np.broadcast_to(expected, (40, 40))[inner], rtol=1e-5)


def test_cubic_falls_back_to_bilinear_beside_a_hole() -> None:
    dn, valid = image((12, 12), 1.1)
    valid[5, 5] = False
    dn[5, 5] = 65535
    cubic, ok = read(dn, valid, grid((12, 12), 20), grid((24, 24), 10), "cubic")
    linear, _ = read(dn, valid, grid((12, 12), 20), grid((24, 24), 10), "bilinear")
    np.testing.assert_array_equal(cubic[8:14, 8:14][ok[8:14, 8:14]], linear[8:14, 8:14][ok[8:14, 8:14]])
    assert not ok[10:12, 10:12].any()
    assert ok.sum() == 24 * 24 - 4


@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic", "average"])
def test_south_up_and_rotated_images_come_back_the_right_way(method: Any) -> None:
    dn, valid = image((30, 30), 1.1)
    north_up = grid((30, 30), 10)
    south_up = GeoBox((30, 30), north_up.affine * Affine(1, 0, 0, 0, -1, 30), UTM)
    turned = GeoBox((30, 30), north_up.affine * Affine(0, 1, 0, 1, 0, 0), UTM)
    for native, stored in ((south_up, dn[::-1]), (turned, dn.T)):
        got, ok = read(stored, valid, native, north_up, method)
        assert ok.all()
        np.testing.assert_allclose(got, dn, rtol=1e-6)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic"])
def test_another_projection_agrees_with_a_smooth_surface(method: Any) -> None:
    native = grid((300, 300), 10)
    x = 600000 + 10 * (np.arange(300) + 0.5)
    y = 5000000 - 10 * (np.arange(300) + 0.5)
    surface = (np.sin(x[None] / 500) * np.cos(y[:, None] / 400) * 1000 + 5000).astype(np.float32)
    target = GeoBox.from_bbox(native[60:240, 60:240].geographic_extent.boundingbox, "EPSG:4326", resolution=1e-4)
    got, ok = read(surface, np.ones((300, 300), bool), native, target, method)
    column, row = np.meshgrid(np.arange(target.shape[1]) + 0.5, np.arange(target.shape[0]) + 0.5)
    from pyproj import Transformer

    east, north = Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform(*(target.affine * (column, row)))
    expected = np.sin(east / 500) * np.cos(north / 400) * 1000 + 5000
    assert ok.all()
    np.testing.assert_allclose(got, expected, atol={"nearest": 25, "bilinear": 0.3, "cubic": 0.05}[method])


def test_coarsening_into_another_projection_averages() -> None:
    native = grid((300, 300), 10)
    rng = np.random.default_rng(3)
    noise = rng.normal(5000, 1000, (300, 300)).astype(np.float32)
    valid = np.ones((300, 300), bool)
    target = GeoBox.from_bbox(native[60:240, 60:240].geographic_extent.boundingbox, "EPSG:4326", resolution=1e-3)
    got, ok = read(noise, valid, native, target, "bilinear")
    assert ok.all()
    assert got.std() < 200
    assert got.mean() == pytest.approx(5000, abs=20)


def test_grids_without_georeference_work_and_do_not_mix_with_others() -> None:
    dn, valid = image((20, 20), 1.1)
    bare = GeoBox((20, 20), Affine.identity(), None)
    got, _ = read(dn, valid, bare, bare[4:9, 3:8])
    np.testing.assert_array_equal(got, dn[4:9, 3:8])
    finer = GeoBox((40, 40), Affine.scale(0.5), None)
    assert read(dn, valid, bare, finer)[1].all()
    with pytest.raises(GridError, match="coordinate system"):
        read(dn, valid, bare, grid((5, 5), 10))


def test_a_grid_elsewhere_has_nothing_valid() -> None:
    dn, valid = image((20, 20), 1.1)
    for method in ("nearest", "bilinear", "cubic", "average"):
        for far in (grid((5, 5), 10, 900000), grid((5, 5), 7, 900000), grid((5, 5), 50, 900000, crs="EPSG:32634")):
            assert not read(dn, valid, grid((20, 20), 10), far, method)[1].any()
