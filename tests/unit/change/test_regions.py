"""Regions of change: codes against floats, regions and growth against scipy, the law of sizes, odd input."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats

from groundshift.change import regions
from groundshift.change.regions import LEVELS, RegionOptions, RegionScan
from groundshift.errors import InputError, UsageError

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

TOUCHING = np.ones((3, 3), bool)
T4 = stats.chi2.ppf(0.9999, 4)


def pair(seed: int, shape: tuple[int, int] = (300, 340)) -> Float32:
    """A statistic with a heavy tail that is correlated over some pixels, three changes, and ground not compared."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((4, *shape)), (0, 0.6, 0.6))
    noise = (smooth**2).sum(axis=0) * rng.lognormal(0, 0.5, shape)
    x = noise * stats.chi2.ppf(0.5, 4) / np.median(noise)
    for y0, x0, size, strength in ((40, 50, 40, 30), (150, 200, 25, 150), (220, 60, 6, 2000)):
        change = np.zeros(shape)
        change[y0 : y0 + size, x0 : x0 + size] = strength * rng.uniform(0.3, 1.7, (size, size))
        x += ndimage.gaussian_filter(change, 1.2)
    x[:20, 100:180] = 0
    return x.astype(np.float32)


def plain_size(sizes: NDArray[np.int64], area: int, alpha: float, tau: float, soft: int, options: RegionOptions) -> int:
    """The law, word by word."""
    if sizes.sum() * (1 + ((2 * options.growth_px + 1) ** 2 - 1) * soft / area) <= alpha * area:
        return 1
    need = max(options.fewest, options.share * len(sizes))
    anchor = n = 1
    while (sizes >= n).sum() >= need:
        anchor = n
        n = max(n + 1, round(1.2 * n))
    count = (sizes >= anchor).sum()
    n = anchor
    while count * anchor**tau * tau / (tau - 1) * n ** (1 - tau) > alpha * area:
        n += 1
    return n


def plain(x: Float32, threshold: np.float64, alpha: float, options: RegionOptions, trim: float | None = None) -> Mask:
    """Detection in floats, all in memory."""
    area = int((x > 0).sum())
    out = np.zeros(x.shape, bool)
    for u, tau in zip(LEVELS, options.exponents, strict=True):
        labels, _ = ndimage.label(x > u * threshold, TOUCHING)
        sizes = np.bincount(labels.ravel())
        soft = x > max(u / 4, 0.25) * threshold
        believed = sizes >= plain_size(sizes[1:], area, alpha, tau, int(soft.sum()), options)
        believed[0] = False
        mask = believed[labels]
        if mask.any() and options.growth_px:
            mask = ndimage.binary_dilation(mask, TOUCHING, iterations=options.growth_px, mask=soft | mask)
        out |= mask
    rim = out & ~ndimage.binary_erosion(out, TOUCHING)
    largest = ndimage.maximum_filter(np.where(out, x, 0), 5)
    return out & ~(rim & (x < (options.trim if trim is None else trim) * largest))


def middle_of_codes(x: Float32, threshold: float) -> Float32:
    """The statistic as its codes know it."""
    codes = regions.encode(x, threshold)
    return np.where(codes, threshold / 4 * np.exp2((codes - 0.5) / 8), 0.1 * threshold * (x > 0)).astype(np.float32)


def cut(codes: NDArray[np.uint8], rows: Sequence[int]) -> list[NDArray[np.uint8]]:
    return np.split(codes, list(rows))


# ---- codes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [T4, np.float64(13.276704135987622), np.float64(0.1), np.float64(1e6 / 3)])
def test_code_says_exactly_whether_statistic_is_above_a_level(threshold: np.float64) -> None:
    near = np.array([u * threshold for u in (0.25, *LEVELS)], np.float32)
    for _ in range(3):
        near = np.concatenate([np.nextafter(near, np.float32(0)), near, np.nextafter(near, np.float32(np.inf))])
    codes = regions.encode(near[None], threshold)[0]
    for u in (0.25, *LEVELS):
        assert np.array_equal(codes >= regions.code_of(u), near > u * threshold)


def test_codes_are_those_of_a_search_among_the_edges() -> None:
    rng = np.random.default_rng(0)
    x = np.exp(rng.uniform(-3, 25, (300, 400))).astype(np.float32)
    edges = regions.code_edges(T4)
    x[0, : len(edges)] = edges
    x[1, : len(edges)] = np.nextafter(edges, np.float32(np.inf))
    assert np.array_equal(regions.encode(x, T4), np.searchsorted(edges, x, side="left"))


def test_codes_of_what_is_no_number_or_beyond_all_levels() -> None:
    odd = np.array([[np.nan, -1.0, -np.inf, 0.0, np.inf, 3e38]], np.float32)
    assert regions.encode(odd, T4).tolist() == [[0, 0, 0, 0, 254, 254]]


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan, math.inf])
def test_threshold_must_be_a_positive_number(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold"):
        regions.encode(np.ones((2, 2), np.float32), threshold)


@pytest.mark.parametrize("level", [0.0, -1.0, 0.125, 0.3, 3.0, 2.0**40])
def test_level_between_codes_is_refused(level: float) -> None:
    with pytest.raises(UsageError, match="power of two"):
        regions.code_of(level)


# ---- the law of sizes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("alpha", [1e-2, 1e-3, 1e-4])
def test_smallest_size_is_that_of_the_law_tried_one_by_one(seed: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.ceil(rng.pareto(rng.uniform(1.5, 4), rng.integers(1, 4000))).astype(np.int64)
    options = RegionOptions()
    area, soft = 400_000, int(rng.integers(0, 100_000))
    for tau in (2.0, 2.5):
        expected = plain_size(sizes, area, alpha, tau, soft, options)
        assert regions.minimum_size(sizes, area, alpha, tau, options, soft_px=soft) == expected


def test_law_is_anchored_on_a_ladder_of_sizes() -> None:
    sizes = np.repeat([1, 11], [1000, 60])
    assert regions.minimum_size(sizes, 1_200_000, 1e-3, 2.5) == 10


def test_single_pixels_are_believed_where_all_of_them_are_fewer_than_noise_may_be() -> None:
    assert regions.minimum_size(np.array([1, 4, 5]), 100_000, 1e-4, 2.5) == 1
    assert regions.minimum_size(np.ones(1000, np.int64), 100_000, 1e-4, 2.5) > 1


def test_single_pixels_are_not_believed_where_growth_would_make_them_too_many() -> None:
    sizes = np.ones(90, np.int64)
    assert regions.minimum_size(sizes, 1_000_000, 1e-4, 2.5) == 1
    assert regions.minimum_size(sizes, 1_000_000, 1e-4, 2.5, soft_px=200_000) > 1


def test_without_regions_there_is_nothing_to_learn() -> None:
    assert regions.minimum_size(np.empty(0, np.int64), 0, 1e-4, 2.5) == 1


@pytest.mark.parametrize(("area", "alpha"), [(0, 1e-4), (100, 0.0), (100, 1.0)])
def test_regions_without_area_or_share_are_refused(area: int, alpha: float) -> None:
    with pytest.raises(InputError, match="area"):
        regions.minimum_size(np.ones(3, np.int64), area, alpha, 2.5)


# ---- regions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.002, 0.1, 0.4, 0.6, 0.95])
def test_regions_are_those_of_scipy(share: float) -> None:
    rng = np.random.default_rng(int(1000 * share))
    codes = np.where(rng.random((217, 331)) < share, 9, 8).astype(np.uint8)
    labels, _ = ndimage.label(codes >= 9, TOUCHING)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    scan = RegionScan(331, 9)
    for strip in cut(codes, (3, 50, 51, 200)):
        scan.add(strip)
    assert sorted(scan.sizes()) == sorted(sizes[1:])
    for minimum in (1, 2, 7, 100):
        scan.select(minimum)
        mask = np.concatenate([scan.mask(strip) for strip in cut(codes, (3, 50, 51, 200))])
        assert np.array_equal(mask, (sizes >= minimum)[labels] & (labels > 0))


def test_spiral_and_comb_are_one_region() -> None:
    comb = np.zeros((40, 41), np.uint8)
    comb[:-1, ::2] = 1
    comb[-1] = 1
    spiral = np.zeros((41, 41), np.uint8)
    y, x = np.mgrid[-20:21, -20:21]
    turn = np.maximum(abs(y), abs(x))
    spiral[turn % 2 == 0] = 1
    spiral[(y == 0) & (x > 0)] = 1
    for image in (comb, comb[::-1], comb.T, spiral):
        scan = RegionScan(image.shape[1], 1)
        scan.add(np.ascontiguousarray(image))
        assert scan.sizes().tolist() == [int(image.sum())]


@pytest.mark.parametrize("columns", [1, 2, 7, 8, 9, 15, 16, 17, 64])
def test_rows_of_any_width_end_where_they_end(columns: int) -> None:
    rng = np.random.default_rng(columns)
    codes = (rng.random((60, columns)) < 0.5).astype(np.uint8)
    scan = RegionScan(columns, 1)
    scan.add(codes)
    assert sorted(scan.sizes()) == sorted(np.bincount(ndimage.label(codes, TOUCHING)[0].ravel())[1:])
    scan.select(1)
    assert np.array_equal(scan.mask(codes), codes.astype(bool))


def test_soft_pixels_are_counted_in_the_first_pass() -> None:
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    scan = RegionScan(16, 200, 50)
    scan.add(codes)
    assert scan.soft_px == 206
    assert scan.sizes().tolist() == [56]


def test_second_pass_over_other_strips_is_refused() -> None:
    scan = RegionScan(8, 1)
    scan.add(np.zeros((4, 8), np.uint8))
    scan.select(1)
    with pytest.raises(InputError, match="same order"):
        scan.mask(np.ones((4, 8), np.uint8))


@pytest.mark.parametrize("strip", [np.zeros((4, 7), np.uint8), np.zeros(8, np.uint8), np.zeros((4, 8), np.float32)])
def test_strip_that_is_not_one_of_codes_is_refused(strip: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match="8 columns of uint8"):
        RegionScan(8, 1).add(strip)


def test_codes_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="1 to 255"):
        RegionScan(8, 0)


# ---- the whole -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("confidence", [99.0, 99.9, 99.99])
def test_detection_in_codes_is_that_in_floats_of_the_same_precision(seed: int, confidence: float) -> None:
    threshold, alpha = stats.chi2.ppf(confidence / 100, 4), 1 - confidence / 100
    x = middle_of_codes(pair(seed), threshold)
    expected = plain(x, threshold, alpha, RegionOptions())
    assert 0.01 < expected.mean() < 0.2
    assert np.array_equal(regions.detect(x, threshold, alpha), expected)


@pytest.mark.parametrize("seed", range(4))
def test_precision_of_codes_matters_to_mixed_pixels_alone(seed: int) -> None:
    x = pair(seed)
    untrimmed = RegionOptions(trim=0)
    assert np.array_equal(regions.detect(x, T4, 1e-4, options=untrimmed), plain(x, T4, 1e-4, untrimmed))
    changed = regions.detect(x, T4, 1e-4)
    # 0.2 in eighths of octaves is 19 codes apart: from 18 to 20 eighths in floats.
    fewest = plain(x, T4, 1e-4, RegionOptions(), trim=2 ** (-18 / 8) * 1.0001)
    most = plain(x, T4, 1e-4, RegionOptions(), trim=2 ** (-20 / 8) * 0.9999)
    assert not (fewest & ~changed).any()
    assert not (changed & ~most).any()
    assert (most & ~fewest).sum() < 0.05 * changed.sum()


@pytest.mark.parametrize("growth", [0, 1, 2, 4])
def test_growth_takes_as_many_steps_as_asked(growth: int) -> None:
    options = RegionOptions(growth_px=growth, trim=0)
    x = middle_of_codes(pair(7), T4)
    assert np.array_equal(regions.detect(x, T4, 1e-4, options=options), plain(x, T4, 1e-4, options))


def test_levels_with_nothing_accepted_can_be_left_out() -> None:
    codes = regions.encode(pair(3), T4)
    options = RegionOptions()
    nothing = np.zeros(codes.shape, bool)
    high = codes >= options.codes[4]
    full = regions.grow_and_trim(codes, [nothing] * 4 + [high] + [nothing] * 2, options)
    assert full.any()
    assert np.array_equal(regions.grow_and_trim(codes, [high], options, levels=[4]), full)


def test_change_is_found_and_noise_is_not() -> None:
    x = pair(5)
    changed = regions.detect(x, T4, 1e-4)
    truth = np.zeros(x.shape, bool)
    for y0, x0, size in ((40, 50, 40), (150, 200, 25), (220, 60, 6)):
        truth[y0 - 4 : y0 + size + 4, x0 - 4 : x0 + size + 4] = True
        assert changed[y0 + 2 : y0 + size - 2, x0 + 2 : x0 + size - 2].mean() > 0.9
    assert (x > T4)[~truth].mean() > 0.005
    assert changed[~truth].mean() < 1e-3


@pytest.mark.parametrize("confidence", [99.0, 99.9, 99.99])
@pytest.mark.parametrize("seed", range(2))
def test_white_noise_realises_at_most_twice_the_asked_share(confidence: float, seed: int) -> None:
    x = np.random.default_rng(seed).chisquare(4, (1200, 1200)).astype(np.float32)
    alpha = 1 - confidence / 100
    changed = regions.detect(x, stats.chi2.ppf(confidence / 100, 4), alpha)
    assert changed.mean() <= 2 * alpha


@pytest.mark.parametrize("confidence", [99.0, 99.9, 99.99])
def test_heavy_and_correlated_noise_realises_at_most_thrice_the_asked_share(confidence: float) -> None:
    rng = np.random.default_rng(11)
    white = rng.standard_normal((4, 1000, 1000)).astype(np.float32)
    smooth = ndimage.gaussian_filter(white, (0, 0.8, 0.8))
    scale = np.exp(0.5 * ndimage.gaussian_filter(rng.standard_normal((1000, 1000)), 1.5) / 0.19)
    x = (smooth**2).sum(axis=0) * scale
    x = (x * stats.chi2.ppf(0.5, 4) / np.median(x)).astype(np.float32)
    alpha = 1 - confidence / 100
    threshold = stats.chi2.ppf(confidence / 100, 4)
    assert (x > threshold).mean() > 3 * alpha
    assert regions.detect(x, threshold, alpha).mean() <= 3 * alpha


def test_single_strong_pixel_is_change_in_a_quiet_image() -> None:
    x = np.ones((200, 200), np.float32)
    x[100, 50] = 40 * T4
    changed = regions.detect(x, T4, 1e-4)
    assert np.argwhere(changed).tolist() == [[100, 50]]
    assert not regions.detect(x, T4, 1e-4, min_px=2).any()


def test_image_of_nothing_has_no_change() -> None:
    assert not regions.detect(np.zeros((50, 60), np.float32), T4, 1e-4).any()


def test_image_that_changed_everywhere_is_all_change() -> None:
    assert regions.detect(np.full((300, 300), 5 * T4, np.float32), T4, 1e-4).all()


def test_pixel_that_is_not_valid_never_changes() -> None:
    x = np.full((60, 60), 100 * T4, np.float32)
    x[20:30, 20:30] = 0
    x[40, 40] = np.nan
    changed = regions.detect(x, T4, 1e-4)
    assert np.array_equal(changed, x > 0)


def test_mixed_pixels_on_the_rim_are_dropped() -> None:
    x = np.zeros((40, 40), np.float32)
    x[10:30, 10:30] = 1.5 * T4
    x[12:28, 12:28] = 20 * T4
    expected = np.zeros((40, 40), bool)
    expected[11:29, 11:29] = True
    assert np.array_equal(regions.detect(x, T4, 1e-4), expected)
    assert regions.detect(x, T4, 1e-4, options=RegionOptions(trim=0)).sum() == 400


def test_minimum_mapping_unit_counts_pixels_that_touch_at_corners() -> None:
    mask = np.zeros((9, 9), bool)
    mask[[1, 2, 3], [1, 2, 3]] = True
    mask[7, 7:9] = True
    left = regions.drop_small(mask, 3)
    assert np.argwhere(left).tolist() == [[1, 1], [2, 2], [3, 3]]


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 7)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="image"):
        regions.detect(np.zeros(shape, np.float32), T4, 1e-4)


def test_masks_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        regions.grow_and_trim(np.ones((4, 4), np.uint8), [np.ones((4, 5), bool)], RegionOptions())


@pytest.mark.parametrize(
    "wrong",
    [{"exponents": (2.0,)}, {"exponents": (1.0,) * 7}, {"fewest": 0}, {"share": 1.0}, {"growth_px": -1}, {"trim": 1.0}],
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="regions need"):
        RegionOptions(**wrong)  # type: ignore[arg-type]
