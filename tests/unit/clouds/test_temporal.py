"""The second opinion: held against plain loops, and against a stack of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from groundshift.clouds import temporal
from groundshift.clouds.temporal import TemporalOptions, persistent, suspicious
from groundshift.errors import UsageError

RNG = np.random.default_rng(3)


def ground(dates: int = 6, size: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Blue and NDVI (t, y, x) of vegetation on clear days."""
    blue = 0.04 + 0.005 * RNG.standard_normal((dates, size, size))
    ndvi = 0.7 + 0.02 * RNG.standard_normal((dates, size, size))
    return blue.astype(np.float32), ndvi.astype(np.float32)


def middle(blue: np.ndarray, ndvi: np.ndarray, clear: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    held_blue, held_ndvi = (np.where(clear, values, np.nan) for values in (blue, ndvi))
    median = np.nanmedian(held_blue, axis=0)
    return (
        median.astype(np.float32),
        np.nanmedian(held_ndvi, axis=0).astype(np.float32),
        np.nanmedian(np.abs(held_blue - median), axis=0).astype(np.float32),
    )


def test_thin_cloud_that_the_mask_missed_is_found_and_clear_ground_is_left() -> None:
    blue, ndvi = ground()
    veiled = np.zeros(blue.shape, bool)
    veiled[2, 5:9, 5:9] = True
    blue[veiled] += 0.08
    ndvi[veiled] -= 0.2
    clear = np.ones(blue.shape, bool)
    assert np.array_equal(suspicious(blue, ndvi, clear, middle(blue, ndvi, clear)), veiled)


def test_a_bright_field_without_its_plants_is_no_cloud_unless_the_ndvi_falls_too() -> None:
    blue, ndvi = ground()
    blue[1, 3, 3] += 0.08
    clear = np.ones(blue.shape, bool)
    assert not suspicious(blue, ndvi, clear, middle(blue, ndvi, clear)).any()


def test_two_clear_dates_have_no_opinion() -> None:
    blue, ndvi = ground(dates=3)
    clear = np.ones(blue.shape, bool)
    clear[2] = False
    blue[0] += 0.3
    ndvi[0] -= 0.5
    assert not suspicious(blue, ndvi, clear, middle(blue, ndvi, clear)).any()
    assert not persistent(blue[:2], blue[:2], clear[:2]).any()


def test_a_roof_is_ground_on_its_clear_dates_and_a_cloud_over_it_is_not() -> None:
    blue = np.full((5, 1, 2), 0.35, np.float32)
    blue[:, 0, 0] += np.array([0.0, 0.01, 0.005, 0.3, 0.12])
    blue[:, 0, 1] = (0.2, 0.5, 0.31, 0.8, 0.42)
    found = persistent(blue, blue, np.ones(blue.shape, bool))
    assert found[:, 0, 0].tolist() == [True, True, True, False, False]
    assert not found[:, 0, 1].any()


@pytest.mark.parametrize("seed", range(3))
def test_persistence_is_what_a_loop_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    blue = rng.choice(np.array([0.05, 0.06, 0.3, 0.33], np.float32), (5, 6, 7))
    nir = rng.choice(np.array([0.01, 0.02, 0.2, 0.24, 0.3], np.float32), blue.shape)
    seen = rng.random(blue.shape) < 0.7
    found = persistent(blue, nir, seen)
    for y, x in np.ndindex(6, 7):
        values = sorted(blue[seen[:, y, x], y, x])
        same = len(values) >= temporal.FEWEST and values[2] - values[0] <= 0.02
        alike = [t for t in range(5) if same and seen[t, y, x] and blue[t, y, x] <= values[0] + 0.02]
        for t in range(5):
            lit = t in alike and nir[t, y, x] >= 0.8 * max(nir[i, y, x] for i in alike) - 0.015
            assert found[t, y, x] == lit


def test_a_shadow_on_dark_ground_is_no_ground_and_water_is() -> None:
    blue = np.full((4, 1, 2), 0.03, np.float32)
    nir = np.array([[0.3, 0.02], [0.14, 0.01], [0.27, 0.025], [0.31, 0.015]], np.float32)[:, None]
    blue[1, 0, 0] = 0.02
    found = persistent(blue, nir, np.ones(blue.shape, bool))
    assert found[:, 0, 0].tolist() == [True, False, True, True]
    assert found[:, 0, 1].all()


def test_limits_below_zero_are_refused() -> None:
    with pytest.raises(UsageError, match="0 or more"):
        TemporalOptions(deviations=-1)
