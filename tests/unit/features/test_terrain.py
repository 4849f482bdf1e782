"""Slope and aspect: planes of known direction, what lies beside nothing, staircases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from groundshift.errors import InputError
from groundshift.features import terrain

RNG = np.random.default_rng(5)


def plane(east: float, south: float, shape: tuple[int, int] = (9, 11)) -> np.ndarray:
    """Rising by so much a pixel."""
    y, x = np.indices(shape)
    return (100 + east * x + south * y).astype(np.float32)


@pytest.mark.parametrize(
    ("east", "south", "aspect"),
    [(0, 1, 0), (-1, 1, 45), (-1, 0, 90), (-1, -1, 135), (0, -1, 180), (1, -1, 225), (1, 0, 270), (1, 1, 315)],
)
def test_a_plane_slopes_the_same_everywhere_and_faces_downhill(east: float, south: float, aspect: float) -> None:
    found = terrain.terrain(plane(east, south), 10.0, 10.0)
    np.testing.assert_allclose(found.slope, np.degrees(np.arctan(np.hypot(east, south) / 10)), rtol=1e-6)
    np.testing.assert_allclose(found.aspect, aspect, atol=1e-4)
    np.testing.assert_allclose(found.aspect_sin, np.sin(np.radians(aspect)), atol=1e-6)
    np.testing.assert_allclose(found.aspect_cos, np.cos(np.radians(aspect)), atol=1e-6)


def test_flat_ground_faces_nowhere() -> None:
    found = terrain.terrain(plane(0, 0), 10.0, 10.0)
    for name, value in {"slope": 0, "aspect": terrain.FLAT, "aspect_sin": 0, "aspect_cos": 0}.items():
        assert (getattr(found, name) == value).all()


def test_the_weights_are_those_of_horn() -> None:
    z = RNG.normal(0, 20, (20, 24)).astype(np.float32)
    rise_east = ndimage.correlate(z.astype(float), [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / (8 * 10)
    rise_south = ndimage.correlate(z.astype(float), [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]) / (8 * 20)
    expected = np.degrees(np.arctan(np.hypot(rise_east, rise_south)))
    np.testing.assert_allclose(terrain.terrain(z, 10.0, 20.0).slope[1:-1, 1:-1], expected[1:-1, 1:-1], rtol=1e-5)


def test_pixels_narrower_in_the_north_are_steeper_there() -> None:
    found = terrain.terrain(plane(1, 0), np.linspace(5, 10, 9), 10.0)
    np.testing.assert_allclose(found.slope[:, 3], np.degrees(np.arctan(1 / np.linspace(5, 10, 9))), rtol=1e-6)


def test_what_is_missing_does_not_spread() -> None:
    z = plane(1, 2)
    z[4, 5] = np.nan
    found = terrain.terrain(z, 10.0, 10.0)
    assert np.isnan(found.slope).sum() == np.isnan(found.aspect).sum() == 1
    np.testing.assert_allclose(found.slope[np.isfinite(z)], np.degrees(np.arctan(np.hypot(1, 2) / 10)), rtol=1e-5)


def test_blocks_change_nothing() -> None:
    z = RNG.normal(0, 20, (40, 30)).astype(np.float32)
    z[RNG.random(z.shape) < 0.05] = np.nan
    whole, part = terrain.terrain(z, 10.0, 10.0), terrain.terrain(z[11:32, 4:21], 10.0, 10.0)
    for name in ("slope", "aspect", "aspect_sin", "aspect_cos"):
        np.testing.assert_array_equal(getattr(part, name)[1:-1, 1:-1], getattr(whole, name)[12:31, 5:20])
    halo = terrain.smoothing_halo_px(6)
    np.testing.assert_array_equal(
        terrain.smoothed(z[3:35, 2:28], 6)[halo:-halo, halo:-halo],
        terrain.smoothed(z, 6)[3 + halo : 35 - halo, 2 + halo : 28 - halo],
    )


def hills(shape: tuple[int, int] = (180, 200)) -> np.ndarray:
    return (ndimage.gaussian_filter(RNG.normal(0, 1, shape), 7) * 400).astype(np.float32)


@pytest.mark.parametrize("side", [3, 6, 9])
def test_a_model_that_was_enlarged_is_seen_and_smoothed(side: int) -> None:
    ground = hills()
    enlarged = np.kron(ground[::side, ::side], np.ones((side, side), np.float32))[:180, :200]
    assert terrain.repetition_px(enlarged) == side
    steps = terrain.terrain(enlarged, 10.0, 10.0).slope
    smooth = terrain.terrain(terrain.smoothed(enlarged, side), 10.0, 10.0).slope
    truth = terrain.terrain(ground, 10.0, 10.0).slope
    assert np.abs(smooth - truth).mean() < 0.5 * np.abs(steps - truth).mean()


def test_ground_is_no_staircase() -> None:
    ground = hills()
    assert terrain.repetition_px(ground) == 1
    assert terrain.repetition_px(np.rint(ground / 5)) == 1
    assert terrain.repetition_px(ndimage.zoom(hills((60, 70)), 3, order=1)) == 1
    assert terrain.repetition_px(plane(0, 0, (50, 50))) == terrain.repetition_px(plane(1, 2, (50, 50))) == 1
    np.testing.assert_array_equal(terrain.smoothed(ground, 1), ground)


def test_smoothing_leaves_a_plane_in_place_and_fills_nothing() -> None:
    z = plane(1, 2, (40, 40))
    z[20, 20] = np.nan
    found = terrain.smoothed(z, 4)
    assert np.isnan(found).sum() == 1
    np.testing.assert_allclose(found[6:12, 6:12], z[6:12, 6:12], rtol=1e-6)


def test_pixels_without_a_size_are_refused() -> None:
    with pytest.raises(InputError):
        terrain.terrain(plane(0, 1), 0.0, 10.0)
