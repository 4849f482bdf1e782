"""The usable of the scene classification, against a brute-force disc."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.clouds.scl import grow, halo_px, usable
from groundshift.model.grid import blocks
from groundshift.model.scl import UNUSABLE

DEFAULT = tuple(int(code) for code in UNUSABLE)


def oracle(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Every pixel against every True pixel."""
    rows, columns = np.nonzero(mask)
    y, x = np.indices(mask.shape)
    out = np.zeros(mask.shape, bool)
    for r, c in zip(rows, columns, strict=True):
        out |= (y - r) ** 2 + (x - c) ** 2 <= radius**2 + 1e-6
    return out


@pytest.mark.parametrize("radius", [0, 0.5, 1, 1.41, math.sqrt(2), 2, 2.9, math.sqrt(5), 7.3, 15, 60])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (23, 31)])
def test_growing_equals_the_disc_around_every_pixel(radius: float, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    for share in (0.0, 0.01, 0.2, 1.0):
        mask = rng.random(shape) < share
        np.testing.assert_array_equal(grow(mask, radius), oracle(mask, radius))


def test_only_clouds_and_shadows_grow_each_by_its_own_radius() -> None:
    scl = np.full((41, 41), 4, np.uint8)
    scl[10, 10], scl[10, 30], scl[30, 10], scl[30, 30] = 9, 3, 0, 1
    expected = oracle(scl == 9, 5) | oracle(scl == 3, 2) | (scl < 2)
    np.testing.assert_array_equal(usable(scl, DEFAULT, 5, 2), ~expected)


def test_classes_that_are_not_named_are_usable_and_do_not_grow() -> None:
    scl = np.array([[9, 4, 3, 4, 11, 7, 2]], np.uint8)
    np.testing.assert_array_equal(usable(scl, (11,), 9, 9), scl != 11)


def test_codes_beyond_the_classification_are_never_usable() -> None:
    scl = np.array([[4, 12, 255, 11]], np.uint8)
    np.testing.assert_array_equal(usable(scl, (), 3, 3), [[True, False, False, True]])


def test_blocks_with_the_declared_halo_equal_the_whole() -> None:
    rng = np.random.default_rng(3)
    scl = rng.choice(np.array([4, 4, 4, 4, 4, 5, 6, 3, 8, 9, 10, 0], np.uint8), (90, 110))
    radii = (6.7, 3.2)
    whole = usable(scl, DEFAULT, *radii)
    for window in blocks(scl.shape, 17, 23):
        outer = window.padded(halo_px(*radii), scl.shape)
        part = usable(scl[outer.slices], DEFAULT, *radii)
        y, x = window.y0 - outer.y0, window.x0 - outer.x0
        rows, columns = window.shape
        np.testing.assert_array_equal(part[y : y + rows, x : x + columns], whole[window.slices])


def test_the_input_is_left_as_it_was() -> None:
    scl = np.full((5, 5), 9, np.uint8)
    before = scl.copy()
    usable(scl, DEFAULT, 2, 2)
    np.testing.assert_array_equal(scl, before)


def test_a_radius_beyond_what_a_distance_can_count_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 32000"):
        grow(np.zeros((3, 3), bool), 32_001)
