"""Reflectance to 8 bit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.composite import display
from groundshift.composite.display import ToneOptions
from groundshift.errors import InputError, NoDataError, UsageError


def image() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Dark forest, bright fields, a little cloud."""
    rng = np.random.default_rng(0)
    out = np.abs(0.05 + 0.01 * rng.normal(size=(3, 100, 100))).astype(np.float32)
    out[:, 50:] += 0.15 + 0.05 * rng.normal(size=(3, 50, 100)).astype(np.float32)
    out[:, :8, :20] = 0.7 + 0.1 * rng.normal(size=(3, 8, 20))
    valid = np.ones((100, 100), bool)
    valid[90:, 90:] = False
    return out, valid


def test_no_data_is_zero_and_valid_is_never_zero() -> None:
    reflectance, valid = image()
    reflectance[1, 4, 4] = np.nan
    reflectance[0, 5, 5] = -0.5
    reflectance[0, 6, 6] = 9
    codes = display.apply(display.fit(display.summarise(reflectance, valid)), reflectance, valid)
    assert codes.dtype == np.uint8
    assert (codes[:, ~valid] == 0).all()
    assert codes[1, 4, 4] == 0
    rest = np.broadcast_to(valid, codes.shape) & np.isfinite(reflectance)
    assert codes[rest].min() >= 1
    assert (codes[0, 5, 5], codes[0, 6, 6]) == (1, 255)


def test_brighter_is_never_darker_and_all_bands_share_the_curve() -> None:
    reflectance, valid = image()
    curve = display.fit(display.summarise(reflectance, valid))
    ramp = np.linspace(-0.2, 1.8, 4000)[None, None].repeat(3, axis=0)
    codes = display.apply(curve, ramp, np.ones((1, 4000), bool))
    assert (np.diff(codes.astype(int), axis=2) >= 0).all()
    np.testing.assert_array_equal(codes[0], codes[2])


def test_percentiles_bound_the_curve_and_the_tails_keep_levels() -> None:
    reflectance, valid = image()
    options = ToneOptions()
    curve = display.fit(display.summarise(reflectance, valid), options)
    low, high = np.percentile(reflectance[:, valid], (0.5, 99.5))
    assert curve.low == pytest.approx(low, abs=display.STEP)
    assert curve.high == pytest.approx(high, abs=0.01)
    edges = np.array([low, high, 1.6])[None, None]
    codes = display.apply(curve, edges, np.ones((1, 3), bool))[0, 0].astype(int)
    assert abs(codes[0] - 1 - options.toe) <= 1
    assert abs(255 - codes[1] - options.shoulder) <= 2


def test_slopes_stay_within_their_limits() -> None:
    reflectance, valid = image()
    histogram = display.summarise(reflectance, valid)
    plain = np.diff(display.fit(histogram, ToneOptions(equalise=0)).level)
    curve = display.fit(histogram, ToneOptions(equalise=1, least_slope=0.4, most_slope=2.5))
    edges = display.LOWEST + display.STEP * np.arange(display.BINS)
    inside = (edges > curve.low + display.STEP) & (edges < curve.high - 2 * display.STEP)
    ratio = np.diff(curve.level)[inside] / plain[inside]
    assert ratio.min() > 0.39
    assert ratio.max() < 2.6


def test_histograms_add_up_in_any_cut() -> None:
    reflectance, valid = image()
    parts = [display.summarise(reflectance[:, k::3], valid[k::3]) for k in (2, 0, 1)]
    np.testing.assert_array_equal(display.merge(parts), display.summarise(reflectance, valid))


def test_a_constant_image_gets_a_curve() -> None:
    flat = np.full((3, 5, 5), 0.2)
    codes = display.apply(display.fit(display.summarise(flat, flat[0] > 0)), flat, flat[0] > 0)
    assert (codes > 0).all()


def test_what_does_not_fit_is_refused_in_a_sentence() -> None:
    with pytest.raises(NoDataError, match="without data"):
        display.fit(np.zeros(display.BINS, np.int64))
    with pytest.raises(InputError, match="bins"):
        display.fit(np.ones(7, np.int64))
    for wrong in ({"low_percent": 60, "high_percent": 50}, {"equalise": 2}, {"toe": 0}):
        with pytest.raises(UsageError):
            ToneOptions(**wrong)  # type: ignore[arg-type]
