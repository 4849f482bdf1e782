"""Relative normalisation on samples whose truth is known."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.radiometry.normalise import NormaliseOptions, apply, fit

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def land(n: int = 20_000, noise: float = 0.004, p: int = 4, seed: int = 0) -> Pair:
    """Two dates of one place: three covers, correlated bands, independent noise."""
    rng = np.random.default_rng(seed)
    covers = rng.uniform(0.03, 0.35, (3, p))[rng.integers(0, 3, n)].T
    truth = covers + 0.03 * rng.normal(size=n) + 0.015 * rng.normal(size=(p, n))
    first, second = truth + noise * rng.normal(size=(2, p, n))
    return first.astype(np.float32), second.astype(np.float32)


@pytest.mark.parametrize("method", ["orthogonal", "robust"])
def test_a_gain_and_offset_of_the_later_date_are_undone(method: str) -> None:
    before, after = land()
    line = fit(before, 0.8 * after + 0.02, NormaliseOptions(method=method))  # type: ignore[arg-type]
    np.testing.assert_allclose(line.gain, 1.25, rtol=0.01)
    np.testing.assert_allclose(line.offset, -0.025, atol=0.002)
    assert line.adjusted == "after"
    assert not line.warnings


def test_the_earlier_date_can_be_the_one_that_is_adjusted() -> None:
    before, after = land()
    options = NormaliseOptions(adjust="before")
    line = fit(before, 0.8 * after + 0.02, options)
    np.testing.assert_allclose(line.gain, 0.8, rtol=0.01)
    np.testing.assert_allclose(line.offset, 0.02, atol=0.002)
    assert line.adjusted == "before"


def test_thirty_percent_of_changed_pixels_do_not_move_the_line() -> None:
    before, after = land()
    changed = np.arange(after.shape[1]) % 10 < 3
    after[:, changed] += np.array([0.03, 0.03, 0.05, -0.12], np.float32)[:, None]
    line = fit(before, 1.2 * after)
    np.testing.assert_allclose(line.gain, 1 / 1.2, rtol=0.02)


def test_equal_dates_stay_as_they_are() -> None:
    before, _ = land()
    line = fit(before, before)
    np.testing.assert_allclose(line.gain, 1, rtol=1e-9)
    np.testing.assert_allclose(line.offset, 0, atol=1e-9)
    np.testing.assert_allclose(apply(line, before), before, rtol=1e-6)


def test_dates_without_correlation_are_only_shifted_and_the_band_is_named() -> None:
    rng = np.random.default_rng(1)
    before, after = land()
    before[1] = rng.normal(0.10, 0.02, before.shape[1])
    after[1] = rng.normal(0.16, 0.01, after.shape[1])
    line = fit(before, after, bands=("B02", "B03", "B04", "B08"))
    assert line.gain[1] == 1
    assert line.offset[1] == pytest.approx(-0.06, abs=0.002)
    assert [str(w)[:3] for w in line.warnings] == ["B03"]


def test_a_burn_over_a_third_of_the_scene_under_smoke_is_not_normalised_away() -> None:
    rng = np.random.default_rng(2)
    n = 20_000
    before = rng.normal([[0.03], [0.05], [0.05], [0.22]], 0.012, (4, n))
    after = rng.normal([[0.05], [0.07], [0.07], [0.23]], 0.012, (4, n))
    burnt = np.arange(n) % 20 < 7
    after[3, burnt] -= 0.12
    line = fit(before, after)
    left = (apply(line, after) - before)[3]
    assert np.median(left[burnt]) == pytest.approx(-0.12, abs=0.01)
    assert np.median(left[~burnt]) == pytest.approx(0, abs=0.01)


def test_a_gain_beyond_any_atmosphere_is_refused() -> None:
    before, after = land()
    line = fit(before, 0.3 * after)
    assert (line.gain == 1).all()
    assert len(line.warnings) == 4
    assert "no atmosphere" in str(line.warnings[0])


def test_a_weak_gain_is_shrunk_towards_one() -> None:
    before, after = land(noise=0.045, p=1)
    line = fit(before, 0.7 * after)
    assert 0.5 < line.r2[0] < 0.8
    assert 1.02 < line.gain[0] < 1.35
    assert "weak" in str(line.warnings[0])


def test_too_few_pixels_give_a_shift_and_say_so() -> None:
    before, after = land(n=500)
    line = fit(before, after + 0.05)
    assert (line.gain == 1).all()
    np.testing.assert_allclose(line.offset, -0.05, atol=0.003)
    assert "only 500 pixels" in str(line.warnings[0])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_next_to_no_pixels_are_no_accident(n: int) -> None:
    before, after = land(n=n)
    assert np.isfinite(fit(before, after).offset).all()


def test_pixels_that_are_not_finite_are_passed_over() -> None:
    before, after = land()
    before[2, ::7] = np.nan
    after[0, ::5] = np.inf
    line = fit(before, 0.8 * after)
    np.testing.assert_allclose(line.gain, 1.25, rtol=0.01)


def test_a_constant_band_is_only_shifted() -> None:
    before, after = land()
    before[0], after[0] = 0.1, 0.12
    line = fit(before, after)
    assert line.gain[0] == 1
    assert line.offset[0] == pytest.approx(-0.02, abs=1e-6)
    np.testing.assert_allclose(line.gain[1:], 1, atol=0.01)


def test_none_changes_nothing() -> None:
    before, after = land()
    line = fit(before, 0.8 * after, NormaliseOptions(method="none"))
    assert (line.gain == 1).all()
    assert (line.offset == 0).all()
    assert not line.warnings


def test_the_line_is_checked_on_held_out_pixels() -> None:
    before, after = land()
    line = fit(before, 0.8 * after)
    assert (line.spread_with < 0.6 * line.spread_without).all()
    assert line.before.shape == line.after.shape
    assert line.before.shape[1] <= 3000


def test_two_million_pixels_take_less_than_two_seconds_and_always_give_the_same() -> None:
    before, after = land(n=2_000_000)
    start = time.process_time()
    first = fit(before, after)
    assert time.process_time() - start < 4  # 1 s on an idle core
    np.testing.assert_array_equal(first.gain, fit(before, after).gain)


def test_shapes_that_do_not_match_are_refused() -> None:
    before, after = land()
    with pytest.raises(InputError, match="one shape"):
        fit(before, after[:, :-1])
    with pytest.raises(InputError, match="4 bands"):
        apply(fit(before, after), before[:2])


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError):
        NormaliseOptions(method="ols")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        NormaliseOptions(keep=1.0)
