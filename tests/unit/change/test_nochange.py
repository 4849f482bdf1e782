"""The statistics of no change: false alarms as asked, with and without changes; corner cases of the input."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from scipy import stats

from groundshift.change.nochange import LEVELS, NoChange, NoChangeOptions, fit
from groundshift.change.radial import EDGES, RadialLaw, directional_counts, directions, fit_law, lightest
from groundshift.errors import InputError, ManyChangesWarning, NoDataError, NormalisationWarning

WIDTH = np.array([0.006, 0.01, 0.013, 0.02], np.float32)[:, None]
OFFSET = np.array([-0.004, 0.001, 0.002, 0.008], np.float32)[:, None]


def _noise(n: int, seed: int, rho: float = 0.8, nu: float = np.inf, p: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky((1 - rho) * np.eye(p) + rho)
    white = root @ rng.standard_normal((p, n))
    return white if np.isinf(nu) else white * np.sqrt(nu / rng.chisquare(nu, n))


def _differences(widths: np.ndarray) -> np.ndarray:
    return (widths * WIDTH + OFFSET).astype(np.float32)


def _realised(found: NoChange, nu: float, rho: float = 0.8) -> list[float]:
    squared = found.distance2(_differences(_noise(2_000_000, seed=77, nu=nu, rho=rho)))
    return [float((squared > found.threshold(level)).mean()) / (1 - level / 100) for level in LEVELS]


@pytest.mark.parametrize("nu", [np.inf, 5.0])
@pytest.mark.parametrize("share", [0.0, 0.35])
def test_false_alarms_are_what_was_asked_however_much_changed(nu: float, share: float) -> None:
    sample = _noise(150_000, seed=1, nu=nu)
    changed = round(share * 150_000)
    rng = np.random.default_rng(2)
    sample[:, :changed] += np.array([1, 1, 1, -1.0])[:, None] * rng.uniform(0, 10, changed)
    ratios = _realised(fit(_differences(sample)), nu)
    assert all(0.5 < ratio < 2 for ratio in ratios), ratios


def test_changes_of_many_kinds_are_not_taken_for_uneven_noise() -> None:
    sample, rng = _noise(150_000, seed=1, rho=0.2), np.random.default_rng(2)
    kinds = np.array([[1, 1, 1, -1], [1, 1, 1, 1], [0, 0, 0, 1], [-1, -1, -1, -1.0]]).T
    sample[:, :30_000] += kinds[:, rng.integers(4, size=30_000)] * rng.uniform(0, 15, 30_000)
    found = fit(_differences(sample))
    assert found.unevenness < 0.04
    assert all(0.5 < ratio < 2 for ratio in _realised(found, np.inf, rho=0.2))


def test_noise_of_many_shapes_is_not_taken_for_change() -> None:
    strata = [_noise(30_000, seed=k, rho=0.8 - 0.15 * k) * np.roll([4.0, 1, 0.5, 2], k)[:, None] for k in range(5)]
    sample = np.concatenate(strata, axis=1)
    found = fit(_differences(sample))
    assert found.unevenness > 0.04
    assert (found.distance2(_differences(sample)) > found.threshold(99.9)).mean() < 0.002
    apart = fit(_differences(sample), NoChangeOptions(tail="separate"))
    assert (apart.distance2(_differences(sample)) > apart.threshold(99.9)).mean() > 0.01


@pytest.mark.parametrize("nu", [np.inf, 4.0])
def test_elliptical_noise_is_even_with_changes_beside_it_and_without(nu: float) -> None:
    sample = _noise(150_000, seed=1, nu=nu)
    assert abs(fit(_differences(sample)).unevenness) < 0.02
    sample[:, :40_000] += 6 * np.array([1, 1, 1, -1.0])[:, None]
    assert abs(fit(_differences(sample)).unevenness) < 0.03


def test_the_textbook_statistic_fails_where_the_robust_one_holds() -> None:
    sample = _noise(150_000, seed=1)
    ratios = _realised(fit(_differences(sample), NoChangeOptions("diag", "textbook")), np.inf)
    assert 60 < ratios[2] < 130


def test_the_threshold_band_by_band_is_that_of_correlated_bands() -> None:
    found = fit(_differences(_noise(300_000, seed=3)), NoChangeOptions(normalization="diag"))
    assert found.threshold(99.99) == pytest.approx(51.9, rel=0.04)
    ratios = _realised(found, np.inf)
    assert all(0.7 < ratio < 1.4 for ratio in ratios), ratios


def test_normal_differences_give_chi_squared_thresholds() -> None:
    found = fit(_differences(_noise(300_000, seed=4)))
    assert found.inverse_nu == 0
    assert found.threshold(99.99) == pytest.approx(23.51, rel=0.02)
    np.testing.assert_allclose(found.sigma, WIDTH[:, 0], rtol=0.02)
    np.testing.assert_allclose(found.location, OFFSET[:, 0], atol=1e-4)


def test_the_share_that_changed_is_found() -> None:
    sample = _noise(200_000, seed=5)
    sample[:, :40_000] += 8 * np.array([1, 1, 1, -1.0])[:, None]
    found = fit(_differences(sample))
    assert found.unchanged_share == pytest.approx(0.8, abs=0.02)
    assert found.warnings == ()


def test_more_than_three_in_ten_changed_is_a_named_warning() -> None:
    sample = _noise(100_000, seed=5)
    sample[:, :40_000] += 8 * np.array([1, 1, 1, -1.0])[:, None]
    (warning,) = fit(_differences(sample)).warnings
    assert isinstance(warning, ManyChangesWarning)


def test_distance_is_that_of_the_formula() -> None:
    found = fit(_differences(_noise(5000, seed=6)))
    probe = _differences(_noise(3000, seed=7)).reshape(4, 50, 60)
    centred = probe.reshape(4, -1).astype(np.float64) - np.array(found.location)[:, None]
    expected = np.einsum("in,in->n", centred, np.linalg.solve(np.array(found.covariance), centred))
    squared = found.distance2(probe)
    assert squared.shape == (50, 60)
    assert squared.dtype == np.float32
    np.testing.assert_allclose(squared.reshape(-1), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose((found.whiten(probe) ** 2).sum(axis=0), squared, rtol=1e-3, atol=1e-4)


def test_a_missing_band_is_missing_in_distance_and_p_value() -> None:
    found = fit(_differences(_noise(5000, seed=6)))
    probe = _differences(_noise(3, seed=7))
    probe[2, 1] = np.nan
    squared = found.distance2(probe)
    assert np.isnan(squared).tolist() == [False, True, False]
    assert np.isnan(found.p_value(squared)).tolist() == [False, True, False]


@pytest.mark.parametrize("inverse_nu", [0.0, 0.2])
def test_p_values_are_exact_far_into_the_tail(inverse_nu: float) -> None:
    found = NoChange((0.0,) * 4, tuple(map(tuple, np.eye(4))), 1.3, inverse_nu, 1.0, 1000)
    squared = np.array([0.0, 1e-3, 1, 5, 23.5, 60, 140], np.float32)
    law = stats.chi2(4, scale=1.3) if inverse_nu == 0 else stats.f(4, 5, scale=1.3 * 4)
    np.testing.assert_allclose(found.p_value(squared), law.sf(squared), rtol=3e-3)
    assert found.p_value(np.float32([1e9]))[0] > 0
    for level in LEVELS:
        assert found.p_value(np.float32([found.threshold(level)]))[0] == pytest.approx(1 - level / 100, rel=5e-3)


def test_a_constant_band_is_left_out_and_said() -> None:
    differences = _differences(_noise(20_000, seed=8))
    differences[1] = 0.003
    found = fit(differences)
    assert found.dropped == (1,)
    (warning,) = found.warnings
    assert isinstance(warning, NormalisationWarning)
    assert "band 2" in str(warning)
    probe = _differences(_noise(10, seed=9))
    without = found.distance2(probe)
    probe[1] += 5
    np.testing.assert_array_equal(found.distance2(probe), without)
    np.testing.assert_array_equal(found.standardise(probe)[1], 0)
    assert found.threshold(99.99) == pytest.approx(21.11, rel=0.05)


@pytest.mark.parametrize("estimator", ["robust", "textbook"])
def test_two_equal_images_have_no_change_and_a_threshold(estimator: str) -> None:
    found = fit(np.zeros((4, 5000), np.float32), NoChangeOptions(estimator=estimator))  # type: ignore[arg-type]
    assert found.floored
    assert np.isfinite(found.threshold(99.99))
    assert found.distance2(np.zeros((4, 3), np.float32)).tolist() == [0, 0, 0]
    assert found.distance2(np.full((4, 1), 0.05, np.float32))[0] > found.threshold(99.99)
    assert [type(warning) for warning in found.warnings] == [NormalisationWarning]


def test_bands_that_copy_each_other_do_no_harm() -> None:
    differences = _differences(_noise(20_000, seed=8))
    differences[3] = differences[0]
    found = fit(differences)
    assert np.isfinite(found.distance2(differences)).all()
    assert (found.distance2(differences) > found.threshold(99)).mean() < 0.03


def test_differences_in_few_whole_steps_are_fitted() -> None:
    steps = np.round(_noise(60_000, seed=10, rho=0.5) * 0.4) / 255
    found = fit(steps.astype(np.float32))
    assert (found.distance2(steps) > found.threshold(99)).mean() < 0.03
    assert np.isfinite([found.threshold(level) for level in LEVELS]).all()


@pytest.mark.parametrize("n", [0, 1, 199])
def test_too_few_pixels_is_an_error_with_the_counts(n: int) -> None:
    with pytest.raises(NoDataError, match=rf"only {n} of {n + 5} pixels .* need 200 for 4 bands"):
        fit(np.concatenate([_differences(_noise(n, seed=1)), np.full((4, 5), np.nan)], axis=1))


def test_what_cannot_be_is_an_input_error() -> None:
    found = fit(_differences(_noise(2000, seed=1)))
    with pytest.raises(InputError, match="4 bands"):
        found.distance2(np.zeros((3, 10), np.float32))
    with pytest.raises(InputError, match="percent"):
        found.threshold(100)
    with pytest.raises(InputError, match="band, sample"):
        fit(np.zeros((4, 20, 20), np.float32))
    with pytest.raises(InputError, match="estimator"):
        NoChangeOptions(estimator="best")  # type: ignore[arg-type]


@pytest.mark.parametrize("normalization", ["full", "diag"])
def test_it_travels_as_json_and_between_processes(normalization: str) -> None:
    differences = _differences(_noise(5000, seed=1, nu=4))
    found = fit(differences, NoChangeOptions(normalization=normalization))  # type: ignore[arg-type]
    assert NoChange.from_json(json.loads(json.dumps(found.to_json()))) == found
    again = pickle.loads(pickle.dumps(found))  # noqa: S301
    np.testing.assert_array_equal(
        again.p_value(found.distance2(differences)), found.p_value(again.distance2(differences))
    )
    report = json.loads(json.dumps(found.report()))
    assert [level["confidence"] for level in report["levels"]] == list(LEVELS)


def test_the_same_seed_gives_the_same_statistics() -> None:
    differences = _differences(_noise(30_000, seed=1, nu=4))
    assert fit(differences) == fit(differences)


@pytest.mark.parametrize("p", [1, 2, 3, 4, 5, 6, 10])
def test_the_directions_are_equally_likely(p: int) -> None:
    rng = np.random.default_rng(p)
    samples = rng.standard_normal((100_000, p)).astype(np.float32)
    counts = np.zeros((2, directions(p), EDGES.size - 1), np.int64)
    directional_counts(samples, np.zeros(p, np.float32), np.eye(p, dtype=np.float32), counts)
    cells = counts.sum(axis=(0, 2))
    assert counts.sum() == 100_000
    assert stats.chisquare(cells).pvalue > 1e-4
    assert lightest(counts).sum() == pytest.approx(100_000, rel=0.02)


@pytest.mark.parametrize("inverse_nu", [0.0, 0.1, 1 / 3])
def test_a_law_is_found_again_from_its_expected_counts(inverse_nu: float) -> None:
    law = RadialLaw(4, 1.7, inverse_nu)
    found = fit_law(law.expected() * 1e6, RadialLaw(4, 1.0, 0.1), upto=290)
    assert found.scale == pytest.approx(1.7, rel=0.01)
    assert found.inverse_nu == pytest.approx(inverse_nu, abs=0.003)
