"""Local false-discovery rates: right where the truth is known, rising, blind to nothing but chance."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from scipy import special, stats

from groundshift.accuracy.calibration import calibration_error, reliability
from groundshift.change import probability
from groundshift.change.probability import LocalFdr
from groundshift.errors import InputError, NoDataError


def two_groups(seed: int, number: int = 60_000, share: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Chi-squared samples of four bands, of which a share is about ten times as large."""
    rng = np.random.default_rng(seed)
    changed = rng.random(number) < share
    values = rng.chisquare(4, number) * np.where(changed, 10.0, 1.0)
    return values.astype(np.float32), changed


@pytest.fixture(scope="module")
def local() -> LocalFdr:
    values, changed = two_groups(0)
    return probability.fit(values, ~changed)


def test_it_is_the_share_of_changed_pixels_among_those_that_look_alike(local: LocalFdr) -> None:
    t = np.linspace(1, 60, 100)
    f0, f1 = stats.chi2.pdf(t, 4), stats.chi2.pdf(t / 10, 4) / 10
    exact = 0.05 * f1 / (0.95 * f0 + 0.05 * f1)
    assert np.abs(local.probability(t) - exact).max() < 0.08
    assert local.unchanged_share == pytest.approx(0.95, abs=0.01)


def test_what_it_promises_on_other_pixels_comes_true(local: LocalFdr) -> None:
    values, changed = two_groups(1)
    found = local.probability(values).astype(np.float64)
    curve = reliability(np.stack([1 - found, found], axis=1), changed.astype(int), of=1)
    assert calibration_error(curve) < 0.01


def test_a_larger_statistic_never_has_a_smaller_probability(local: LocalFdr) -> None:
    found = local.probability(np.geomspace(1e-7, 1e9, 5000))
    assert (np.diff(found) >= 0).all()
    assert found[0] == 0
    assert 0.99 < found[-1] < 1


def test_scale_does_not_matter() -> None:
    values, changed = two_groups(2, 20_000)
    one, other = probability.fit(values, ~changed), probability.fit(values * 16, ~changed)
    np.testing.assert_allclose(one.probability(values), other.probability(values * 16), atol=1e-5)


def test_without_regions_of_change_nothing_is_likely() -> None:
    values, _ = two_groups(3, 5000)
    assert probability.fit(values, np.ones(5000, bool)).probability(values).max() == 0


def test_no_data_stays_no_data_and_other_things_are_left_out(local: LocalFdr) -> None:
    found = local.probability(np.array([[np.nan, 0.0], [np.inf, 4.0]]))
    assert np.isnan(found[0, 0])
    assert found[0, 1] == 0
    assert found[1, 0] > 0.99
    values, changed = two_groups(0)
    padded = np.concatenate([values, [np.nan, -1, np.inf]]), np.concatenate([~changed, [True] * 3])
    assert probability.fit(*padded) == local


def test_it_goes_through_json_and_pickle(local: LocalFdr) -> None:
    assert LocalFdr.from_json(json.loads(json.dumps(local.to_json()))) == local
    assert copy.deepcopy(local) == local
    assert len(pickle.dumps(local)) < 30_000


def test_too_few_pixels_are_told() -> None:
    values, _ = two_groups(4, 2000)
    with pytest.raises(NoDataError, match="only 10 of 2000 usable pixels lie outside of changes"):
        probability.fit(values, np.arange(2000) < 10)
    with pytest.raises(InputError, match="expected equal ones"):
        probability.fit(values, np.ones(7, bool))


def test_the_context_is_the_geometric_mean_of_the_valid_neighbours() -> None:
    rng = np.random.default_rng(5)
    statistic, valid = rng.chisquare(4, (9, 11)).astype(np.float32), rng.random((9, 11)) > 0.3
    found = probability.in_context(np.where(valid, statistic, np.nan).astype(np.float32), valid)
    for y in range(9):
        for x in range(11):
            near = np.s_[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            expected = stats.gmean(statistic[near][valid[near]]) if valid[y, x] else 0
            assert found[y, x] == pytest.approx(expected, rel=1e-4)


def test_cutting_changes_no_bit_of_the_context() -> None:
    rng = np.random.default_rng(6)
    statistic, valid = rng.chisquare(4, (40, 30)).astype(np.float32), rng.random((40, 30)) > 0.1
    whole = probability.in_context(statistic, valid)
    part = probability.in_context(statistic[12:29, 5:], valid[12:29, 5:])
    np.testing.assert_array_equal(part[1:-1, 1:], whole[13:28, 6:])


def test_two_opinions_meet_in_the_middle_of_their_odds() -> None:
    one, other = np.array([0.9, 0.5, np.nan, 1.0], np.float32), np.array([0.2, 0.5, 0.5, 0.0], np.float32)
    found = probability.ensemble(one, other)
    assert found[0] == pytest.approx(special.expit((special.logit(0.9) + special.logit(0.2)) / 2), abs=1e-5)
    assert found[1] == 0.5
    assert np.isnan(found[2])
    assert found[3] == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(probability.ensemble(one, other, 1.0)[:2], one[:2], atol=1e-5)
    with pytest.raises(InputError, match="expected 0 to 1"):
        probability.ensemble(one, other, 1.5)
