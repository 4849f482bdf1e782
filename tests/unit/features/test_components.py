"""Principal components: known axes, signs, what is refused, JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.errors import InputError, NoDataError, UsageError
from groundshift.features.components import Components, Moments, apply, fit, merge, summarise


def bands_of(seed: int, bands: int = 4, shape: tuple[int, int] = (40, 50)) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(bands, bands)) * np.geomspace(1, 0.05, bands)
    return (0.3 + 0.1 * np.einsum("bc,cyx->byx", mixing, rng.normal(size=(bands, *shape)))).astype(np.float32)


def everywhere(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.ones(values.shape[1:], bool)


def test_a_line_of_pixels_has_its_direction_as_first_component_and_nothing_beside_it() -> None:
    along = np.linspace(-1, 1, 21).reshape(3, 7)
    values = np.stack([0.5 - 3 * along, 0.2 + 4 * along])
    found = fit(summarise(values, everywhere(values)))
    np.testing.assert_allclose(found.loadings, [[-0.6, 0.8], [0.8, 0.6]], atol=1e-12)
    np.testing.assert_allclose(found.variance_ratio, [1, 0], atol=1e-12)
    np.testing.assert_allclose(apply(found, values, 1)[0], 5 * along, atol=1e-6)


def test_moments_are_those_of_the_valid_pixels_only() -> None:
    values = bands_of(1)
    valid = np.random.default_rng(2).random(values.shape[1:]) < 0.6
    values[:, ~valid] = np.nan
    found, pixels = summarise(values, valid), values[:, valid].astype(float)
    assert found.n == valid.sum()
    np.testing.assert_allclose(found.mean, pixels.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.m2 / (found.n - 1), np.cov(pixels), rtol=1e-10)


def test_moments_far_from_zero_lose_no_digits() -> None:
    values = bands_of(3).astype(float)
    near, far = (fit(summarise(each, everywhere(values))) for each in (values, values + 1e6))
    np.testing.assert_allclose(far.variance, near.variance, rtol=1e-6)


def test_components_of_what_was_fitted_are_uncorrelated_with_the_variances_told() -> None:
    values = bands_of(4)
    found = fit(summarise(values, everywhere(values)), standardise=True)
    scores = apply(found, values, 4).reshape(4, -1).astype(float)
    np.testing.assert_allclose(np.cov(scores), np.diag(found.variance), atol=1e-6)
    np.testing.assert_allclose(found.variance.sum(), 4)
    assert (np.diff(found.variance) <= 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_loading_of_each_component_is_positive(seed: int) -> None:
    values = bands_of(seed, bands=6)
    loadings = fit(summarise(values, everywhere(values))).loadings
    assert (loadings[np.arange(6), np.abs(loadings).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("seed", range(20))
def test_of_two_equal_loadings_the_first_decides_the_sign(seed: int) -> None:
    values = bands_of(seed, bands=2)
    loadings = fit(summarise(values, everywhere(values)), standardise=True).loadings
    np.testing.assert_allclose(np.abs(loadings), np.sqrt(0.5))
    assert (loadings[:, 0] > 0).all()


def test_a_pixel_with_a_missing_band_has_no_components() -> None:
    values = bands_of(5)
    found = fit(summarise(values, everywhere(values)))
    values[2, 3, 4] = np.nan
    missing = np.isnan(apply(found, values, 2))
    assert missing[:, 3, 4].all()
    assert missing.sum() == 2


def test_too_few_pixels_are_refused() -> None:
    values = bands_of(6)[:, :1, :5]
    assert fit(summarise(values, everywhere(values))).n == 5
    with pytest.raises(NoDataError, match=r"4 valid pixels are too few .* of 4 bands: expected at least 5"):
        fit(summarise(values[..., :4], everywhere(values[..., :4])))


def test_a_band_that_is_the_same_everywhere_is_refused_by_number_if_standardised() -> None:
    values = bands_of(7)
    values[2] = 0.1
    moments = summarise(values, everywhere(values))
    assert np.isfinite(fit(moments).loadings).all()
    with pytest.raises(InputError, match="band 2 is the same everywhere"):
        fit(moments, standardise=True)
    with pytest.raises(InputError, match="band 0 is the same everywhere"):
        fit(summarise(np.full((3, 4, 5), 0.1), np.ones((4, 5), bool)))


def test_what_does_not_fit_is_refused() -> None:
    values = bands_of(8)
    found = fit(summarise(values, everywhere(values)))
    broken = values.copy()
    broken[1, 39, 0] = np.inf
    with pytest.raises(InputError, match="band 1 has a value that is marked valid but not finite, in rows 0 to 39"):
        summarise(broken, everywhere(values))
    with pytest.raises(InputError, match=r"expected \(band, y, x\) and bool \(y, x\)"):
        summarise(values, everywhere(values)[:3])
    with pytest.raises(InputError, match="moments of 4 and of 3 bands"):
        merge(summarise(values, everywhere(values)), summarise(values[:3], everywhere(values)))
    with pytest.raises(InputError, match="with 4 bands"):
        apply(found, values[:3], 1)
    with pytest.raises(UsageError, match="5 of 4 principal components"):
        apply(found, values, 5)


def test_nothing_merged_with_nothing_is_nothing() -> None:
    nothing = summarise(bands_of(9), np.zeros((40, 50), bool))
    assert merge(nothing, nothing).n == 0
    some: Moments = summarise(bands_of(9), np.ones((40, 50), bool))
    for both in (merge(nothing, some), merge(some, nothing)):
        np.testing.assert_array_equal(both.m2, some.m2)
        np.testing.assert_array_equal(both.mean, some.mean)


def test_json_text_gives_the_same_components_to_the_last_bit() -> None:
    values = bands_of(10)
    found = fit(summarise(values, everywhere(values)), standardise=True)
    again = Components.from_json(json.loads(json.dumps(found.to_json())))
    for name, value in vars(found).items():
        np.testing.assert_array_equal(value, getattr(again, name))
    np.testing.assert_array_equal(apply(again, values, 3), apply(found, values, 3))


@pytest.mark.parametrize(
    "change", [{"mean": None}, {"loadings": [[1.0]]}, {"scale": ["a"] * 4}, {"variance": [np.nan] * 4}, {"n": "many"}]
)
def test_json_that_is_no_components_is_refused(change: dict[str, Any]) -> None:
    values = bands_of(11)
    raw = fit(summarise(values, everywhere(values))).to_json()
    with pytest.raises(InputError, match="these are no principal components"):
        Components.from_json({**raw, **change})
    with pytest.raises(InputError, match="these are no principal components"):
        Components.from_json({name: value for name, value in raw.items() if name not in change})
