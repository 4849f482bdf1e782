"""Shifts that are known because they were made."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from groundshift.change.registration import RegistrationOptions, estimate_shift
from groundshift.errors import InputError, UsageError

Image = NDArray[np.float64]


def texture(side: int = 300, seed: int = 0) -> Image:
    """Reflectance with the power spectrum of land, band-limited like a real sensor, periodic."""
    rng = np.random.default_rng(seed)
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    f[0, 0] = 1
    image = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) * f**-1.2 * np.exp(-((f / 0.35) ** 4))).real
    return np.asarray(0.2 + 0.05 * (image - image.mean()) / image.std())


def moved(image: Image, dx: float, dy: float) -> Image:
    """What is at (x, y) comes to (x + dx, y + dy), without any interpolation error."""
    fy, fx = np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])
    return np.asarray(np.fft.ifft2(np.fft.fft2(image) * np.exp(-2j * np.pi * (fy * dy + fx * dx))).real)


SHIFTS = [(0.0, 0.0), (0.1, -0.2), (0.5, 0.5), (-0.37, 1.62), (0.3, 0.0), (-4.7, 3.3)]


@pytest.mark.parametrize(("dx", "dy"), SHIFTS)
@pytest.mark.parametrize("side", [70, 300])
def test_a_shift_is_found_to_a_hundredth_of_a_pixel(dx: float, dy: float, side: int) -> None:
    image = texture(side)
    shift = estimate_shift(image, moved(image, dx, dy))
    assert shift is not None
    assert (shift.dx_px, shift.dy_px) == (pytest.approx(dx, abs=0.01), pytest.approx(dy, abs=0.01))


@pytest.mark.parametrize(("dx", "dy"), SHIFTS)
def test_noise_change_haze_and_clouds_cost_less_than_a_tenth(dx: float, dy: float) -> None:
    rng = np.random.default_rng(1)
    image = texture()
    noise = 0.01 * rng.normal(size=(2, *image.shape))
    field = ndimage.gaussian_filter(rng.normal(size=image.shape), 8)
    after = 0.8 * moved(image, dx, dy) + 0.03 + 0.15 * (field > np.quantile(field, 0.9)) + noise[1]
    valid = ndimage.gaussian_filter(rng.normal(size=image.shape), 12) < 0.04
    after[~valid] = 0.9
    shift = estimate_shift(image + noise[0], after, valid)
    assert shift is not None
    assert (shift.dx_px, shift.dy_px) == (pytest.approx(dx, abs=0.07), pytest.approx(dy, abs=0.07))
    assert np.hypot(shift.dx_px - dx, shift.dy_px - dy) < 5 * shift.error_px
    assert shift.length_px == pytest.approx(np.hypot(dx, dy), abs=0.1)


def test_masked_pixels_have_no_say() -> None:
    image, ghost = texture(seed=2), texture(seed=3)
    valid = np.ones(image.shape, bool)
    for y, x in np.random.default_rng(0).integers(0, 280, (40, 2)):
        valid[y : y + 15, x : x + 15] = False
    before, after = np.where(valid, image, 5 * ghost), np.where(valid, moved(image, 0.4, -0.3), 5 * ghost)
    shift = estimate_shift(before, after, valid)
    assert shift is not None
    assert (shift.dx_px, shift.dy_px) == (pytest.approx(0.4, abs=0.05), pytest.approx(-0.3, abs=0.05))


def test_exchanging_the_images_turns_the_sign() -> None:
    image = texture()
    forth, back = (
        estimate_shift(*pair) for pair in ((image, moved(image, 1.2, -0.4)), (moved(image, 1.2, -0.4), image))
    )
    assert forth is not None
    assert back is not None
    assert (back.dx_px, back.dy_px) == (pytest.approx(-forth.dx_px, abs=0.02), pytest.approx(-forth.dy_px, abs=0.02))


def test_pixels_that_are_not_finite_are_masked() -> None:
    image = texture()
    after = moved(image, 0.3, 0.2)
    after[100:110, 50:250] = np.nan
    shift = estimate_shift(image, after)
    assert shift is not None
    assert shift.dx_px == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("smooth", [0.0, 1.5, 4.0])
def test_images_that_have_nothing_in_common_give_none(smooth: float) -> None:
    pair = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(2, 300, 300)), (0, smooth, smooth))
    assert estimate_shift(pair[0], pair[1]) is None


def test_no_texture_too_few_pixels_or_all_masked_give_none() -> None:
    image = texture()
    assert estimate_shift(np.ones((300, 300)), np.ones((300, 300))) is None
    assert estimate_shift(image, np.full(image.shape, 0.2)) is None
    assert estimate_shift(image[:20, :20], image[:20, :20]) is None
    assert estimate_shift(image, image, np.zeros(image.shape, bool)) is None
    assert estimate_shift(np.full(image.shape, np.nan), image) is None


def test_shapes_and_options_that_cannot_be_are_refused() -> None:
    image = texture(70)
    with pytest.raises(InputError, match="one shape"):
        estimate_shift(image, image[1:])
    with pytest.raises(UsageError):
        RegistrationOptions(chip_px=16)
