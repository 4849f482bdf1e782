"""The compiled statistic against the formula, at strip seams, and with odd input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.change.noise import NoiseModel
from groundshift.change.statistic import Statistic
from groundshift.errors import InputError


def noise_model(p: int, seed: int = 0) -> NoiseModel:
    """A model with all its terms at work, around the values of :func:`images`."""
    rng = np.random.default_rng(seed)
    m = p + 1
    return NoiseModel(
        centre=(*[0.45] * p, 2.0),
        spread=(*[0.1] * p, 0.5),
        coefficients=tuple(float(value) for value in rng.normal(0, 0.3 / m, (m + 1) * (m + 2) // 2)),
        factor=1.3,
    )


def images(p: int, shape: tuple[int, int], seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Before and after."""
    rng = np.random.default_rng(seed)
    before = rng.uniform(-0.01, 0.5, (p, *shape)).astype(np.float32)
    return before, (before + rng.normal(0.01, 0.02, before.shape)).astype(np.float32)


def statistic(p: int, noise: bool) -> Statistic:
    """A statistic with a full lower triangular whitener."""
    rng = np.random.default_rng(3)
    whitener = np.tril(rng.normal(0, 20, (p, p)), -1) + np.diag(rng.uniform(30, 60, p))
    return Statistic(rng.normal(0.01, 0.002, p), whitener, noise_model(p) if noise else None)


@pytest.mark.parametrize("p", [1, 4, 13])
def test_without_noise_model_it_is_the_squared_length_of_the_whitened_difference(p: int) -> None:
    before, after = images(p, (30, 40))
    valid = np.random.default_rng(1).random((30, 40)) < 0.8
    plain = statistic(p, noise=False)
    white = np.einsum("ij,jyx->iyx", plain.whitener, after.astype(float) - before - plain.mean[:, None, None])
    assert plain.evaluate(before, after, valid) == pytest.approx((white**2).sum(axis=0) * valid, rel=1e-4)


def test_with_noise_model_it_is_divided_by_the_scale() -> None:
    before, after = images(4, (30, 40))
    valid = np.random.default_rng(1).random((30, 40)) < 0.8
    plain, scaled = statistic(4, noise=False), statistic(4, noise=True)
    assert scaled.noise is not None
    scale = scaled.noise.scale(before, valid, scaled.whitener)
    expected = plain.evaluate(before, after, valid) / scale * scaled.noise.factor
    assert scaled.evaluate(before, after, valid) == pytest.approx(expected, rel=1e-5)
    assert np.ptp(scale[valid]) > 0.5


def test_the_halo_is_one_pixel_only_with_a_noise_model() -> None:
    assert statistic(2, noise=False).halo_px == 0
    assert statistic(2, noise=True).halo_px == 1
    before, after = images(2, (9, 9))
    valid = np.ones((9, 9), bool)
    moved = before.copy()
    moved[:, 4, 4] += 0.2
    for noise in (False, True):
        it = statistic(2, noise)
        differs = it.evaluate(before, after, valid) != it.evaluate(moved, after, valid)
        y, x = np.nonzero(differs)
        assert max(np.abs(y - 4).max(), np.abs(x - 4).max()) == it.halo_px


@pytest.mark.parametrize("noise", [False, True])
def test_wide_images_have_no_seams(noise: bool) -> None:
    before, after = images(3, (5, 1600))
    valid = np.random.default_rng(1).random((5, 1600)) < 0.9
    it = statistic(3, noise)
    whole = it.evaluate(before, after, valid)
    for x0 in (1, 7, 250):
        part = it.evaluate(before[..., x0:], after[..., x0:], valid[:, x0:])
        assert (part[:, 1:] == whole[:, x0 + 1 :]).all()


@pytest.mark.parametrize("noise", [False, True])
def test_what_is_not_valid_is_zero_and_spreads_nothing(noise: bool) -> None:
    before, after = images(4, (20, 30))
    valid = np.random.default_rng(1).random((20, 30)) < 0.7
    it = statistic(4, noise)
    clean = it.evaluate(before, after, valid)
    for junk in (np.nan, np.inf, -np.inf, 3e38):
        dirty_before, dirty_after = before.copy(), after.copy()
        dirty_before[:, ~valid] = junk
        dirty_after[:, ~valid] = junk
        assert (it.evaluate(dirty_before, dirty_after, valid) == clean).all()
    assert (clean[~valid] == 0).all()
    assert (clean[valid] > 0).all()
    assert clean.dtype == np.float32
    assert not it.evaluate(before, after, np.zeros_like(valid)).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (70, 1), (2, 2), (0, 5), (5, 0)])
def test_thin_and_empty_images_work(shape: tuple[int, int]) -> None:
    before, after = images(2, shape)
    found = statistic(2, noise=True).evaluate(before, after, np.ones(shape, bool))
    assert found.shape == shape
    assert np.isfinite(found).all()


def test_views_and_other_dtypes_give_what_plain_arrays_give() -> None:
    before, after = images(3, (24, 30))
    valid = np.random.default_rng(1).random((24, 30)) < 0.8
    it = statistic(3, noise=True)
    expected = it.evaluate(*(image[:, ::2, 3:20].copy() for image in (before, after)), valid[::2, 3:20].copy())
    assert (it.evaluate(before[:, ::2, 3:20], after[:, ::2, 3:20], valid[::2, 3:20]) == expected).all()
    wide = [image[:, ::2, 3:20].astype(float) for image in (before, after)]
    assert (it.evaluate(*wide, valid[::2, 3:20].astype(np.uint8)) == expected).all()
    before.flags.writeable = False
    assert (it.evaluate(before, after, valid)[::2, 3:20][1:-1, 1:-1] > 0).any()


def test_a_statistic_pickles() -> None:
    before, after = images(3, (12, 12))
    valid = np.ones((12, 12), bool)
    it = statistic(3, noise=True)
    again = pickle.loads(pickle.dumps(it))  # noqa: S301
    assert (again.evaluate(before, after, valid) == it.evaluate(before, after, valid)).all()


def test_rounding_errors_above_the_diagonal_are_no_triangle() -> None:
    whitener = np.array([[50.0, 1e-13], [20.0, 40.0]])
    assert Statistic(np.zeros(2), whitener).bands == 2
    with pytest.raises(InputError, match="lower triangular"):
        Statistic(np.zeros(2), whitener.T)


def test_shapes_that_do_not_fit_are_told() -> None:
    with pytest.raises(InputError, match=r"\(p,\) and \(p, p\)"):
        Statistic(np.zeros(3), np.eye(2))
    with pytest.raises(InputError, match="4 bands and the statistic of 2"):
        Statistic(np.zeros(2), np.eye(2), noise_model(4))
    before, after = images(2, (6, 7))
    with pytest.raises(InputError, match=r"\(2, y, x\) twice"):
        statistic(2, noise=True).evaluate(before, after[:, 1:], np.ones((6, 7), bool))
