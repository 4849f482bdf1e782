"""IR-MAD against a slow version by generalised eigenvectors, and against its law."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from numpy.typing import NDArray

from groundshift.change import irmad
from groundshift.change.irmad import IrmadOptions
from groundshift.errors import InputError, NoDataError, UsageError

Sample = NDArray[np.float64]


def pair(n: int = 20_000, p: int = 4, changed: float = 0.0, seed: int = 0) -> tuple[Sample, Sample, NDArray[np.bool_]]:
    """Two dates with correlated bands and noise; a share is changed by six noise deviations."""
    rng = np.random.default_rng(seed)
    mix = np.linalg.cholesky(0.7 * np.ones((p, p)) + 0.3 * np.eye(p))
    before = 0.2 + 0.05 * mix @ rng.normal(size=(p, n))
    after = before + 0.01 * mix @ rng.normal(size=(p, n))
    where = rng.random(n) < changed
    after[:, where] += 0.06 * np.resize([1.0, 1.0, -1.0], p)[:, None]
    return before, after, where


def slow(x: Sample, y: Sample, rounds: int) -> tuple[Sample, Sample]:
    """The equations of Nielsen (2007), as they stand: correlations (rising) and the statistic without rescaling."""
    p, weights = len(x), np.ones(x.shape[1])
    for _ in range(rounds):
        s = np.cov(np.concatenate([x, y]), aweights=weights, ddof=0)
        s11, s12, s22 = s[:p, :p], s[:p, p:], s[p:, p:]
        rho2, a = scipy.linalg.eigh(s12 @ np.linalg.inv(s22) @ s12.T, s11)
        b = np.linalg.inv(s22) @ s12.T @ a
        b /= np.sqrt(np.diag(b.T @ s22 @ b))
        u = a.T @ (x - np.average(x, axis=1, weights=weights)[:, None])
        v = b.T @ (y - np.average(y, axis=1, weights=weights)[:, None])
        rho = np.sqrt(rho2)
        statistic = (((u - v) ** 2) / (2 * (1 - rho))[:, None]).sum(axis=0)
        weights = scipy.stats.chi2.sf(statistic, p)
    return rho, statistic


@pytest.mark.parametrize("p", [1, 2, 4, 6])
@pytest.mark.parametrize("rounds", [1, 4])
def test_the_rotation_is_that_of_the_slow_version(p: int, rounds: int) -> None:
    before, after, _ = pair(3000, p, changed=0.1)
    model = irmad.fit(before, after, IrmadOptions(rounds=rounds, ridge=0, tolerance=1e-15))
    rho, statistic = slow(before, after, rounds)
    np.testing.assert_allclose(model.rho, rho, rtol=1e-8)
    np.testing.assert_allclose(model.sigma2, 2 * (1 - rho), rtol=1e-6)
    np.testing.assert_allclose(irmad.apply(model, before, after)[0] / model.scale, statistic, rtol=1e-5, atol=1e-9)
    assert model.rounds == rounds


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.35])
def test_false_alarms_are_as_asked_and_the_changes_are_found(share: float) -> None:
    before, after, changed = pair(200_000, changed=share)
    model = irmad.fit(before, after)
    statistic, _ = irmad.apply(model, before, after)
    for asked in (1e-2, 1e-3):
        realised = (statistic[~changed] > scipy.stats.chi2.isf(asked, 4)).mean()
        assert 0.8 * asked < realised < 1.25 * asked
    assert model.converged
    if share:
        assert (statistic[changed] > scipy.stats.chi2.isf(1e-4, 4)).mean() > 0.99


def test_gain_and_offset_of_either_date_change_nothing() -> None:
    before, after, _ = pair(changed=0.1)
    options = IrmadOptions(tolerance=1e-6)
    plain, _ = irmad.apply(irmad.fit(before, after, options), before, after)
    gain = np.array([0.7, 3.0, -1.0, 1e4])[:, None]
    other, _ = irmad.apply(irmad.fit(before, gain * after + 2, options), before, gain * after + 2)
    np.testing.assert_allclose(other, plain, rtol=1e-3)


def test_the_squares_of_the_variates_add_up_to_the_statistic() -> None:
    before, after, _ = pair()
    statistic, mad = irmad.apply(irmad.fit(before, after), before.reshape(4, 100, 200), after.reshape(4, 100, 200))
    assert mad.shape == (4, 100, 200)
    np.testing.assert_allclose((mad**2).sum(axis=0), statistic, rtol=1e-9)


def test_a_variate_is_positive_where_after_is_larger() -> None:
    before, after, _ = pair(p=1)
    mad = irmad.apply(irmad.fit(before, after), before[:, :1], before[:, :1] + 0.2)[1]
    assert mad[0, 0] > 3


def test_blocks_merged_in_any_order_give_the_moments_of_the_whole() -> None:
    before, after, _ = pair(5000)
    weights = np.random.default_rng(1).random(5000)
    cuts = [slice(0, 3), slice(3, 3000), slice(3000, 3000), slice(3000, 5000)]
    parts = [irmad.summarise(before[:, s], after[:, s], weights[s]) for s in cuts]
    merged = irmad.merge(parts[3], irmad.merge(irmad.merge(parts[1], parts[2]), parts[0]))
    whole = irmad.summarise(before, after, weights)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.scatter, whole.scatter, rtol=1e-9, atol=1e-12)
    assert (merged.pixels, merged.weight) == (5000, pytest.approx(weights.sum()))


def test_blocks_without_weight_are_neutral() -> None:
    before, after, _ = pair(500)
    none = irmad.summarise(before[:, :5], after[:, :5], np.zeros(5))
    whole = irmad.summarise(before, after)
    np.testing.assert_array_equal(irmad.merge(none, whole).mean, whole.mean)
    assert irmad.merge(none, none).weight == 0


def test_a_constant_band_is_left_out() -> None:
    before, after, _ = pair()
    before[2] = 0.1
    model = irmad.fit(before, after)
    assert model.bands.tolist() == [0, 1, 3]
    assert irmad.apply(model, before, after)[1].shape[0] == 3


def test_a_band_that_copies_another_does_not_break_it() -> None:
    before, after, _ = pair(changed=0.05)
    twice = [np.concatenate([x, x[:1]]) for x in (before, after)]
    assert np.isfinite(irmad.apply(irmad.fit(*twice), *twice)[0]).all()


def test_equal_dates_show_no_change() -> None:
    before, _, _ = pair()
    statistic, _ = irmad.apply(irmad.fit(before, before), before, before)
    assert (statistic < scipy.stats.chi2.isf(1e-4, 4)).all()


def test_pixels_that_are_not_finite_do_not_count_and_stay_unknown() -> None:
    before, after, _ = pair()
    holed = before.copy()
    holed[1, 7] = np.nan
    model = irmad.fit(holed, after)
    assert np.flatnonzero(np.isnan(irmad.apply(model, holed, after)[0])).tolist() == [7]


def test_fewer_than_fifty_pixels_a_band_are_refused() -> None:
    before, after, _ = pair(199)
    with pytest.raises(NoDataError, match="needs 200 usable pixels for 4 bands, only 199"):
        irmad.fit(before, after)
    with pytest.raises(NoDataError, match="constant"):
        irmad.fit(np.zeros((2, 500)), np.zeros((2, 500)))
    with pytest.raises(NoDataError):
        irmad.fit(np.zeros((2, 0)), np.zeros((2, 0)))


def test_what_cannot_be_is_refused() -> None:
    before, after, _ = pair(500)
    with pytest.raises(InputError, match="one shape"):
        irmad.fit(before, after[:3])
    with pytest.raises(UsageError):
        IrmadOptions(tolerance=0)
