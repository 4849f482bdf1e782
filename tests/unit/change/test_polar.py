"""Amplitude and angle against numpy in double precision."""

from __future__ import annotations

import time

import numpy as np
import pytest

from groundshift.change.polar import amplitude_angle, main_direction, reference_vector
from groundshift.errors import InputError, UsageError

BANDS = ("B02", "B03", "B04", "B08")


@pytest.mark.parametrize("p", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("n", [1, 2047, 2048, 5000])
def test_amplitude_and_angle_are_those_of_the_textbook(p: int, n: int) -> None:
    rng = np.random.default_rng(p * n)
    z = rng.normal(0, 5, (p, n)).astype(np.float32)
    reference = rng.normal(size=p)
    amplitude, angle = amplitude_angle(z, reference)
    length = np.linalg.norm(z.astype(float), axis=0)
    cosine = reference @ z / length / np.linalg.norm(reference)
    np.testing.assert_allclose(amplitude, length, rtol=1e-6)
    np.testing.assert_allclose(angle, np.degrees(np.arccos(np.clip(cosine, -1, 1))), atol=1e-3)
    assert amplitude.dtype == angle.dtype == np.float32


def test_right_angles_are_exact() -> None:
    z = np.array([[3.0, -3.0, 0.0, 1e-30, 1e25], [0.0, 0.0, 2.0, 0.0, 0.0]], np.float32)
    amplitude, angle = amplitude_angle(z, np.array([2.0, 0.0]))
    np.testing.assert_allclose(angle, [0, 180, 90, 0, 0], atol=1e-4)
    np.testing.assert_allclose(amplitude, [3, 3, 2, 1e-30, 1e25], rtol=1e-6)


def test_no_difference_has_no_angle_and_no_data_stays_no_data() -> None:
    z = np.array([[0.0, np.nan, 1.0], [0.0, 1.0, np.nan]], np.float32)
    amplitude, angle = amplitude_angle(z, np.array([1.0, 0.0]))
    np.testing.assert_array_equal(amplitude, np.array([0, np.nan, np.nan], np.float32))
    assert np.isnan(angle).all()


def test_images_keep_their_shape_and_emptiness_is_allowed() -> None:
    amplitude, angle = amplitude_angle(np.ones((3, 5, 7), np.float64), np.ones(3))
    assert amplitude.shape == angle.shape == (5, 7)
    np.testing.assert_allclose(angle, 0, atol=0.01)
    assert amplitude_angle(np.ones((3, 0, 7)), np.ones(3))[0].shape == (0, 7)


def test_cutting_the_image_changes_nothing() -> None:
    z = np.random.default_rng(3).normal(size=(4, 5001)).astype(np.float32)
    whole = amplitude_angle(z, np.ones(4))
    parts = [amplitude_angle(z[:, a:b], np.ones(4)) for a, b in ((0, 17), (17, 3000), (3000, 5001))]
    for i in (0, 1):
        np.testing.assert_array_equal(whole[i], np.concatenate([part[i] for part in parts]))


def test_the_angle_of_the_opposite_change_is_the_supplement() -> None:
    z = np.random.default_rng(4).normal(size=(4, 1000)).astype(np.float32)
    np.testing.assert_allclose(amplitude_angle(z, np.ones(4))[1] + amplitude_angle(-z, np.ones(4))[1], 180, atol=1e-4)


def test_the_named_reference_vectors() -> None:
    np.testing.assert_allclose(reference_vector("first", BANDS), [1, 0, 0, 0])
    np.testing.assert_allclose(reference_vector("Uniform", BANDS), [0.5] * 4)
    np.testing.assert_allclose(reference_vector("ndvi", BANDS), np.array([0, 0, -1, 1]) / np.sqrt(2))
    np.testing.assert_allclose(reference_vector("ndvi", ("B8A", "B04")), np.array([1, -1]) / np.sqrt(2))
    assert reference_vector("mean", BANDS) is None


def test_numbers_are_filled_up_with_zeros_and_brought_to_length_one() -> None:
    np.testing.assert_allclose(reference_vector(" 3, 4 ", BANDS), [0.6, 0.8, 0, 0])
    np.testing.assert_allclose(reference_vector("1e300,-1e300", BANDS[:2]), np.array([1, -1]) / np.sqrt(2))


@pytest.mark.parametrize("text", ["0,0,0", "1,0,0,0,0", "nan,1", "inf", "north", "1,,2", ""])
def test_vectors_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="reference vector"):
        reference_vector(text, BANDS)


def test_ndvi_needs_red_and_near_infrared() -> None:
    with pytest.raises(UsageError, match="needs B04"):
        reference_vector("ndvi", ("B02", "B03"))


def test_a_reference_of_another_length_is_refused() -> None:
    with pytest.raises(InputError, match="4 bands"):
        amplitude_angle(np.ones((4, 10)), np.ones(3))
    with pytest.raises(UsageError, match="no direction"):
        amplitude_angle(np.ones((2, 10)), np.zeros(2))


def test_the_main_direction_is_that_of_the_changed_pixels() -> None:
    rng = np.random.default_rng(5)
    direction = np.array([0.1, 0.2, 0.3, -0.9])
    z = direction[:, None] * rng.uniform(5, 20, 500) + 0.1 * rng.normal(size=(4, 500))
    z[0, 3] = np.nan
    np.testing.assert_allclose(main_direction(z), direction / np.linalg.norm(direction), atol=0.01)
    np.testing.assert_allclose(main_direction(-z), -direction / np.linalg.norm(direction), atol=0.01)
    np.testing.assert_array_equal(main_direction(np.empty((3, 0))), [1, 0, 0])


def test_twenty_million_pixels_a_second_even_on_a_busy_machine() -> None:
    z = np.random.default_rng(0).normal(size=(4, 4_000_000)).astype(np.float32)
    amplitude_angle(z[:, :10], np.ones(4))
    start = time.process_time()
    amplitude_angle(z, np.ones(4))
    assert 4 / (time.process_time() - start) > 20  # about 200 on an idle core; 60 are asked
