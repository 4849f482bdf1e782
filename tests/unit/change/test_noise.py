"""The noise model against a plain one in float64, and what it must not be led astray by."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, special

from groundshift.change.noise import NoiseModel, fit, whitener_of
from groundshift.change.statistic import Statistic
from groundshift.errors import InputError, NoDataError

Array = NDArray[np.float64]
Pair = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], Array]


def fields(p: int, shape: tuple[int, int] = (120, 140), seed: int = 0, level: float = 0.15) -> Pair:
    """Before, after, valid, covariance: land, smooth and rough; differences grow with brightness and texture."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(p, *shape)), (0, 9, 9))
    rough = (ndimage.gaussian_filter(rng.normal(size=shape), 12) > 0) * rng.normal(0, 0.03, (p, *shape))
    before = np.maximum(level + 1.5 * smooth + rough, -0.002)
    width = 0.004 * (1 + 4 * (before / level) ** 2 + 20 * np.abs(rough))
    mixing = np.eye(p) + 0.3 * np.tri(p, k=-1)
    after = before + np.einsum("ij,jyx->iyx", mixing, width * rng.normal(size=before.shape))
    valid = ndimage.gaussian_filter(rng.normal(size=shape), 3) < 0.12
    covariance = np.atleast_2d(np.cov((after - before)[:, valid]))
    return before.astype(np.float32), after.astype(np.float32), valid, covariance


def plain_distance2(pair: Pair) -> Array:
    before, after, _, covariance = pair
    difference = after.astype(float) - before
    return np.asarray(np.einsum("iyx,ij,jyx->yx", difference, np.linalg.inv(covariance), difference))


def plain_texture(before: Array, valid: NDArray[np.bool_], covariance: Array) -> Array:
    """Standard deviation over the valid ones of 3x3 pixels, gathered one by one."""
    white = np.einsum("ij,jyx->iyx", np.linalg.inv(np.linalg.cholesky(covariance)), before.astype(float))
    white[:, ~valid] = np.nan
    padded = np.pad(white, ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    windows = np.where(valid[..., None, None], windows, 0)
    return np.asarray(np.sqrt(np.nanvar(windows, axis=(-1, -2)).sum(axis=0)))


def plain_statistic(pair: Pair, keep: NDArray[np.bool_]) -> Array:
    """The whole of it with nothing but numpy: features, trimmed least squares, clip, bounds, medians."""
    before, _, valid, covariance = pair
    p, squared, on = len(before), plain_distance2(pair), valid & keep
    features = [np.sqrt(np.maximum(band.astype(float), 0) + 0.001) for band in before]
    features.append(np.log(plain_texture(before.astype(float), valid, covariance) + 0.1))
    f = np.stack(features)
    z = (f - f[:, on].mean(axis=1)[:, None, None]) / f[:, on].std(axis=1)[:, None, None]

    def terms(z: Array) -> Array:
        products = [z[i] * z[j] for i in range(p + 1) for j in range(i, p + 1)]
        return np.stack([np.ones_like(z[0]), *z, *products])

    a, y = terms(z[:, on]).T, np.log(squared[on] + 0.05)
    low = np.ones(len(y), bool)
    for _ in range(2):
        ridge = 1e-5 * len(y) * np.eye(a.shape[1])
        w = np.linalg.solve(a[low].T @ a[low] + ridge, a[low].T @ y[low])
        low = y - a @ w < np.quantile(y - a @ w, 0.7)
    scale = np.exp(np.tensordot(w, terms(np.clip(z, -3, 3)), 1))
    statistic = squared / np.clip(scale / np.median(scale[on]), 0.3, 6)
    return np.asarray(np.where(valid, statistic * special.chdtri(p, 0.5) / np.median(statistic[on]), 0))


def fitted(pair: Pair, keep: NDArray[np.bool_] | None = None) -> tuple[NoiseModel, NDArray[np.float32]]:
    """The model, and the statistic that it gives."""
    before, after, valid, covariance = pair
    whitener, mean = whitener_of(covariance), np.zeros(len(before))
    squared = Statistic(mean, whitener).evaluate(before, after, valid)
    block = (before, squared, valid, np.ones_like(valid) if keep is None else keep)
    model = fit([block], covariance, np.random.default_rng(0))
    return model, Statistic(mean, whitener, model).evaluate(before, after, valid)


@pytest.mark.parametrize("p", [1, 2, 4, 13])
def test_the_statistic_is_that_of_a_plain_implementation(p: int) -> None:
    pair = fields(p, seed=p)
    keep = np.random.default_rng(1).random(pair[2].shape) < 0.8
    _, statistic = fitted(pair, keep)
    assert statistic == pytest.approx(plain_statistic(pair, keep), rel=2e-3, abs=1e-5)


def test_noise_that_grows_with_brightness_and_texture_raises_few_false_alarms() -> None:
    pair = fields(4, (200, 200))
    before, _, valid, _ = pair
    plain, (_, statistic) = plain_distance2(pair), fitted(pair)
    plain *= special.chdtri(4, 0.5) / np.median(plain[valid])
    far = special.chdtri(4, 1e-3)
    assert (statistic > far)[valid].mean() < 0.5 * (plain > far)[valid].mean()
    bright = valid & (before.sum(axis=0) > np.quantile(before.sum(axis=0)[valid], 0.8))
    assert np.median(plain[bright]) > 2 * special.chdtri(4, 0.5)
    assert np.median(statistic[bright]) == pytest.approx(special.chdtri(4, 0.5), rel=0.2)


def test_the_median_pixel_has_scale_one_and_the_median_of_chi_squared() -> None:
    pair = fields(4)
    before, _, valid, covariance = pair
    keep = np.random.default_rng(2).random(valid.shape) < 0.5
    model, statistic = fitted(pair, keep)
    scale = model.scale(before, valid, whitener_of(covariance))
    assert np.median(statistic[valid & keep]) == pytest.approx(special.chdtri(4, 0.5), rel=1e-4)
    assert np.median(scale[valid & keep]) == pytest.approx(1, rel=1e-4)
    assert scale.min() == pytest.approx(0.3, abs=1e-4)
    assert scale.max() == pytest.approx(6, abs=1e-4)
    assert (scale[~valid] == 1).all()


def test_what_is_not_kept_has_no_part_in_the_fit() -> None:
    pair = fields(3)
    before, after, valid, covariance = pair
    keep = np.ones_like(valid)
    keep[30:60, 30:90] = False
    changed = after.copy()
    changed[:, ~keep] += 0.5
    assert fitted((before, changed, valid, covariance), keep)[0] == fitted(pair, keep)[0]


def test_a_tenth_of_the_pixels_changed_hardly_moves_the_scale() -> None:
    pair = fields(4)
    before, after, valid, covariance = pair
    changed = after.copy()
    changed[:, 40:80, 40:84] += 0.3
    clean, spoiled = fitted(pair)[0], fitted((before, changed, valid, covariance))[0]
    ratio = np.divide(*(model.scale(before, valid, whitener_of(covariance)) for model in (clean, spoiled)))
    assert np.quantile(np.abs(np.log(ratio[valid])), 0.95) < 0.4


def test_cutting_the_image_into_blocks_gives_the_same_model() -> None:
    before, after, valid, covariance = fields(4)
    squared = Statistic(np.zeros(4), whitener_of(covariance)).evaluate(before, after, valid)
    whole = fit([(before, squared, valid, valid)], covariance, np.random.default_rng(0))
    blocks = []
    for first, last in ((0, 50), (50, 51), (51, 120)):
        rows = slice(max(first - 1, 0), last + 1)
        keep = np.zeros_like(valid)
        keep[first:last] = True
        blocks.append((before[:, rows], squared[rows], valid[rows], keep[rows]))
    parts = fit(blocks, covariance, np.random.default_rng(7))
    assert parts.coefficients == pytest.approx(whole.coefficients, abs=1e-6)
    assert parts.factor == pytest.approx(whole.factor, rel=1e-6)


def test_of_many_pixels_a_sample_is_enough() -> None:
    pair = fields(2, (420, 400))
    _, statistic = fitted(pair)
    valid = pair[2]
    assert np.count_nonzero(valid) > 75_000
    assert np.median(statistic[valid]) == pytest.approx(special.chdtri(2, 0.5), rel=1e-4)
    ratio = statistic[valid] / plain_statistic(pair, valid)[valid]
    assert np.quantile(ratio, [0.01, 0.99]) == pytest.approx([1, 1], abs=0.06)


def test_pictures_from_nought_to_one_are_as_good_as_reflectance() -> None:
    pair = fields(3, level=0.5)
    before, after, valid, _ = pair
    old, new = (np.round(np.clip(image, 0, 1) * 255).astype(np.float32) / 255 for image in (before, after))
    covariance = np.cov((new - old)[:, valid])
    _, statistic = fitted((old, new, valid, covariance))
    assert np.isfinite(statistic).all()
    assert np.median(statistic[valid]) == pytest.approx(special.chdtri(3, 0.5), rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.2, 1.0])
def test_constant_images_are_neither_nan_nor_blown_up(value: float) -> None:
    before = np.full((4, 40, 50), value, np.float32)
    after = before + np.float32(1e-7)
    after[:, 20, 20] += 0.1
    model, statistic = fitted((before, after, np.ones((40, 50), bool), np.eye(4) * 1e-8))
    assert model.factor == 1
    assert model.spread == (0,) * 5
    assert np.isfinite(statistic).all()
    assert statistic[20, 20] == pytest.approx(4 * 0.1**2 / 1e-8, rel=1e-3)
    assert np.count_nonzero(statistic > 1) == 1


def test_a_band_without_variance_has_no_part() -> None:
    before, after, valid, covariance = fields(4)
    stuck_before, stuck_after = (np.insert(image, 2, 0.3, axis=0).astype(np.float32) for image in (before, after))
    wide = np.insert(np.insert(covariance, 2, 0, axis=0), 2, 0, axis=1)
    _, statistic = fitted((stuck_before, stuck_after, valid, wide))
    assert statistic == pytest.approx(fitted((before, after, valid, covariance))[1], rel=1e-3, abs=1e-5)


def test_nothing_under_invalid_pixels_matters() -> None:
    before, after, valid, covariance = fields(3)
    dirty = before.copy()
    dirty[:, ~valid] = np.nan
    dirty[0, ~valid] = np.inf
    model, statistic = fitted((dirty, after, valid, covariance))
    clean, expected = fitted((before, after, valid, covariance))
    assert model == clean
    assert (statistic == expected).all()


def test_distances_that_are_not_numbers_are_left_out_of_the_fit() -> None:
    before, after, valid, covariance = fields(3)
    squared = Statistic(np.zeros(3), whitener_of(covariance)).evaluate(before, after, valid)
    keep = np.ones_like(valid)
    keep[10:20] = False
    holed = np.where(keep, squared, np.float32(np.nan))
    without = fit([(before, squared, valid, keep)], covariance, np.random.default_rng(0))
    assert fit([(before, holed, valid, np.ones_like(keep))], covariance, np.random.default_rng(0)) == without


def test_a_model_survives_json_and_pickle() -> None:
    model, _ = fitted(fields(2))
    assert NoiseModel.from_json(json.loads(json.dumps(model.to_json()))) == model
    assert pickle.loads(pickle.dumps(model)) == model  # noqa: S301


def test_too_few_pixels_are_told_with_their_number() -> None:
    before, after, valid, covariance = fields(4)
    few = np.zeros_like(valid)
    few.ravel()[np.flatnonzero(valid)[:209]] = True
    with pytest.raises(NoDataError, match=r"only 209 unchanged pixels .* 4 bands need 210"):
        fitted((before, after, valid, covariance), few)
    with pytest.raises(NoDataError, match="only 0"):
        fit([], covariance, np.random.default_rng(0))


def test_blocks_and_models_that_do_not_fit_are_refused() -> None:
    before, _, valid, covariance = fields(4)
    with pytest.raises(InputError, match=r"\(4, h, w\)"):
        fit([(before[:3], before[0], valid, valid)], covariance, np.random.default_rng(0))
    with pytest.raises(InputError, match="6 coefficients"):
        NoiseModel((0.0, 0.0), (1.0, 1.0), (0.0,) * 5, 1.0)
    with pytest.raises(InputError, match="cannot be"):
        NoiseModel((0.0, 0.0), (1.0, 1.0), (0.0,) * 6, float("nan"))
