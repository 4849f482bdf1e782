"""Colour balance: what a summary is, what solving does to simple cases."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.composite.balance import (
    AreaSum,
    BalanceOptions,
    OverlapSample,
    OverlapStatistics,
    add_areas,
    apply,
    area_sum,
    merge,
    solve,
    statistics,
    summarise,
)
from groundshift.errors import InputError, UsageError

GAIN, OFFSET = np.array([1.1, 0.95]), np.array([0.01, -0.02])


def ground(seed: int = 0, shape: tuple[int, int] = (60, 80)) -> NDArray[np.float64]:
    """(band, y, x)"""
    return 0.15 + 0.04 * np.random.default_rng(seed).normal(size=(2, *shape))


def everywhere(image: NDArray[np.floating]) -> NDArray[np.bool_]:
    return np.ones(image.shape[1:], bool)


def overlap(first: NDArray[np.floating], second: NDArray[np.floating]) -> OverlapStatistics:
    return statistics(summarise(first, everywhere(first), second, everywhere(second)))


def distorted(image: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(GAIN[:, None, None] * image + OFFSET[:, None, None])


def test_a_sample_holds_pixels_that_both_scenes_saw_and_counts_all_of_them() -> None:
    image = ground()
    valid, other = np.random.default_rng(1).random((2, 60, 80)) < 0.7
    image[0, 3, 3], valid[3, 3], other[3, 3] = np.nan, True, True
    sample = summarise(image, valid, 2 * image, other, options=BalanceOptions(sample_pixels=500))
    assert sample.count == (valid & other).sum() - 1
    assert sample.first.shape == (2, 500)
    np.testing.assert_allclose(sample.second, 2 * sample.first, rtol=1e-6)


def test_the_sample_is_spread_over_the_overlap() -> None:
    rows = np.broadcast_to(np.arange(200.0)[:, None], (1, 200, 300))
    sample = summarise(rows, everywhere(rows), rows, everywhere(rows), options=BalanceOptions(sample_pixels=2000))
    found = np.bincount(sample.first[0].astype(int) // 20, minlength=10)
    assert found.min() > 140
    assert found.max() < 260


def test_pixels_that_are_cloud_at_one_date_do_not_move_what_is_said_of_an_overlap() -> None:
    first = ground()
    second = distorted(first) + 0.002 * np.random.default_rng(2).normal(size=first.shape)
    clean = overlap(first, second)
    second[:, :12] = 0.6
    cloudy = overlap(first, second)
    assert cloudy.invariant < 0.85
    for side in (0, 1):
        np.testing.assert_allclose(cloudy.spread[side] / clean.spread[side], 1, atol=0.03)
        np.testing.assert_allclose(cloudy.mean[side], clean.mean[side], atol=0.002)


def test_two_scenes_half_a_pixel_apart_are_not_given_a_flattened_gain() -> None:
    rng = np.random.default_rng(3)
    first, other = 0.15 + 0.04 * rng.normal(size=(2, 2, 90, 90))
    second = distorted(0.15 + 0.6 * (first - 0.15) + 0.8 * (other - 0.15))
    found = overlap(first, second)
    assert (found.correlation < 0.75).all()
    np.testing.assert_allclose(found.spread[1] / found.spread[0], GAIN, rtol=0.04)


def test_two_scenes_that_differ_by_a_line_become_equal_and_meet_in_the_middle() -> None:
    first = ground()
    second = distorted(first)
    areas = [area_sum(first, everywhere(first)), area_sum(second, everywhere(second))]
    balance = solve({(0, 1): overlap(first, second)}, areas)
    a, b = apply(balance, 0, first), apply(balance, 1, second)
    np.testing.assert_allclose(a, b, atol=2e-3)
    assert (balance.step_after < 0.02 * balance.step_before).all()
    assert (balance.rmse_after < 0.1 * balance.rmse_before).all()
    moved = (a + b).mean(axis=(1, 2)) / 2 - (first + second).mean(axis=(1, 2)) / 2
    np.testing.assert_allclose(moved, 0, atol=1e-5)
    np.testing.assert_allclose(np.log(balance.gain).sum(axis=0), 0, atol=1e-9)


def test_a_reference_keeps_its_colours_and_the_others_come_to_it() -> None:
    first = ground()
    second = distorted(first)
    areas = [area_sum(first, everywhere(first)), area_sum(second, everywhere(second))]
    balance = solve({(0, 1): overlap(first, second)}, areas, reference=0)
    np.testing.assert_array_equal(balance.gain[0], 1)
    np.testing.assert_array_equal(balance.offset[0], 0)
    np.testing.assert_allclose(apply(balance, 1, second), first, atol=4e-3)


def test_gains_stop_at_their_limits_and_offsets_still_close_the_step() -> None:
    first = ground()
    second = 3 * first
    areas = [area_sum(first, everywhere(first)), area_sum(second, everywhere(second))]
    balance = solve({(0, 1): overlap(first, second)}, areas)
    np.testing.assert_allclose(balance.gain, [[1.25, 1.25], [0.8, 0.8]])
    assert balance.limited == (0, 1)
    assert (balance.step_after < 0.002).all()


def test_a_scene_without_overlap_is_left_as_it_is() -> None:
    first, lonely = ground(), ground(5)
    second = distorted(first)
    areas = [area_sum(each, everywhere(each)) for each in (first, lonely, second)]
    few = statistics(OverlapSample(3, np.arange(3, dtype=np.uint64), *np.zeros((2, 2, 3), np.float32)))
    balance = solve({(0, 2): overlap(first, second), (1, 2): few}, areas)
    assert balance.alone == (1,)
    np.testing.assert_array_equal(balance.gain[1], 1)
    np.testing.assert_array_equal(balance.offset[1], 0)
    assert (balance.step_after < 0.02 * balance.step_before).all()


def test_scenes_that_overlap_no_other_at_all_change_nothing() -> None:
    balance = solve({}, [area_sum(ground(), everywhere(ground()))] * 2)
    np.testing.assert_array_equal(balance.gain, 1)
    np.testing.assert_array_equal(balance.offset, 0)


def test_four_scenes_around_a_corner_agree_whatever_the_order_of_pairs() -> None:
    rng = np.random.default_rng(7)
    gains, offsets = np.exp(rng.normal(0, 0.05, (4, 2))), rng.normal(0, 0.01, (4, 2))
    pairs = [(0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2)]
    found, turned = {}, {}
    for k, (i, j) in enumerate(pairs):
        image = ground(10 + k)
        a, b = (gains[s][:, None, None] * image + offsets[s][:, None, None] for s in (i, j))
        found[i, j], turned[j, i] = overlap(a, b), overlap(b, a)
    areas = [AreaSum(1000 * (s + 1), np.array([150_000_000, 120_000_000]) * (s + 1)) for s in range(4)]
    balance = solve(found, areas)
    assert (balance.step_after < 1e-3 * 0.3).all()
    other = solve(dict(reversed(turned.items())), areas)
    np.testing.assert_allclose(other.gain, balance.gain, rtol=1e-9)
    np.testing.assert_allclose(other.offset, balance.offset, atol=1e-9)


def test_an_overlap_without_correlation_says_nothing_of_gains() -> None:
    rng = np.random.default_rng(8)
    first, second = 0.05 + 0.002 * rng.normal(size=(2, 60, 80)), 0.06 + 0.003 * rng.normal(size=(2, 60, 80))
    areas = [area_sum(first, everywhere(first)), area_sum(second, everywhere(second))]
    balance = solve({(0, 1): overlap(first, second)}, areas)
    np.testing.assert_allclose(balance.gain, 1, atol=0.02)
    assert (balance.step_after < 1e-4).all()


def test_sums_of_areas_are_exact_in_any_order() -> None:
    image = ground()
    valid = everywhere(image)
    parts = [area_sum(image[:, k::7], valid[k::7]) for k in range(7)]
    whole, summed, turned = area_sum(image, valid), add_areas(parts), add_areas(parts[::-1])
    assert whole.count == summed.count
    np.testing.assert_array_equal(whole.total, summed.total)
    np.testing.assert_array_equal(turned.total, summed.total)
    np.testing.assert_allclose(whole.mean, image.mean(axis=(1, 2)), atol=1e-6)


def test_merging_two_parts_keeps_the_smallest_hashes() -> None:
    options = BalanceOptions(sample_pixels=300)
    image = ground()
    valid = everywhere(image)
    whole = summarise(image, valid, image, valid, options=options)
    parts = [
        summarise(image[:, s], valid[s], image[:, s], valid[s], (s.start, 0), options)
        for s in (slice(0, 25), slice(25, 60))
    ]
    np.testing.assert_array_equal(merge(parts, options).key, whole.key)


def test_what_does_not_fit_is_refused_in_a_sentence() -> None:
    image = ground()
    valid = everywhere(image)
    with pytest.raises(InputError, match="two blocks of one shape"):
        summarise(image, valid, image[:, 1:], valid)
    areas = [area_sum(image, valid)] * 2
    found = overlap(image, image)
    with pytest.raises(InputError, match="overlap of scenes 0 and 2"):
        solve({(0, 2): found}, areas)
    with pytest.raises(InputError, match="given twice"):
        solve({(0, 1): found, (1, 0): found}, areas)
    with pytest.raises(InputError, match="for 2 bands, scene 1 has 3"):
        apply(solve({(0, 1): found}, areas), 1, np.zeros((3, 4, 4)))
    with pytest.raises(UsageError, match="1 must lie between"):
        BalanceOptions(min_gain=1.1)
    with pytest.raises(UsageError, match="all of them are positive"):
        BalanceOptions(prior=0)
