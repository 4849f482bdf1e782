"""DN to reflectance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundshift.errors import InputError
from groundshift.radiometry.reflectance import EMPTY, SATURATED, USABLE, from_stored, to_reflectance


def test_reflectance_is_dn_plus_offset_times_scale_band_by_band() -> None:
    dn = np.array([[[1000, 11000]], [[0, 65535]]], np.uint16)
    out = to_reflectance(dn, [1e-4, 1 / 65535], [-1000, 0])
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[[0, 1]], [[0, 1]]], atol=1e-7)


def test_dark_pixels_below_the_offset_stay_negative_and_do_not_wrap() -> None:
    np.testing.assert_allclose(to_reflectance(np.full((1, 1, 1), 3, np.uint16), 1e-4, -1000), -0.0997, atol=1e-7)


def test_products_of_two_baselines_give_the_same_reflectance_bit_by_bit() -> None:
    old = np.arange(0, 64000, dtype=np.uint16).reshape(1, 4, -1)
    new = (old + 1000).astype(np.uint16)
    np.testing.assert_array_equal(to_reflectance(old, [1e-4], [0]), to_reflectance(new, [1e-4], [-1000]))


def test_numbers_of_bands_and_scales_must_agree() -> None:
    with pytest.raises(InputError, match="3 bands need 3 scales"):
        to_reflectance(np.zeros((3, 2, 2), np.uint16), [1e-4, 1e-4], 0)


def test_the_input_is_left_as_it_was() -> None:
    dn = np.ones((1, 2, 2), np.float32)
    to_reflectance(dn, 0.5, 1)
    assert (dn == 1).all()


@st.composite
def stored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[float], list[float]]:
    """Planes as a run keeps them, the mask, scales and offsets."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 6)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dn = rng.choice([0, 1, 999, 1000, 12_345, 65_534, 65_535], shape).astype(draw(st.sampled_from(["u2", "f4"])))
    if dn.dtype == np.float32:
        dn[rng.random(shape) < 0.2] = np.nan
    mask = rng.choice([0, 0, 0, 1, 2], shape[1:]).astype(np.uint8)
    return dn, mask, list(rng.choice([1e-4, 1 / 65535], shape[0])), list(rng.choice([0.0, -1000.0], shape[0]))


@given(stored())
def test_reflectance_and_validity_in_one_pass_are_those_of_plain_numpy(
    given: tuple[np.ndarray, np.ndarray, list[float], list[float]],
) -> None:
    dn, mask, scale, offset = given
    integers = dn.dtype == np.uint16
    empty = dn == 0 if integers else np.isnan(dn)
    saturated = (dn == SATURATED) & integers
    reflectance, usable, codes = from_stored(dn, mask, scale, offset)
    np.testing.assert_array_equal(reflectance, to_reflectance(np.nan_to_num(dn, nan=0), scale, offset))
    np.testing.assert_array_equal(usable, (mask == USABLE) & ~(empty | saturated).any(axis=0))
    np.testing.assert_array_equal(codes, np.where(empty.any(axis=0), EMPTY, mask))
    assert np.isfinite(reflectance).all()
