"""Laws of regions: strips, halo, flips, transposition, levels and sizes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from groundshift.change import regions
from groundshift.change.regions import LEVELS, RegionOptions, RegionScan

THRESHOLD = 23.5
seeds = st.integers(0, 10_000)
sides = st.integers(1, 60)


def image(height: int, width: int, seed: int) -> NDArray[np.float32]:
    """A statistic of any density and smoothness."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((height, width))
    smooth = ndimage.gaussian_filter(white, rng.choice([0.0, 0.7, 2.0]))
    level = smooth / (smooth.std() + 1e-9) * rng.uniform(0.5, 2.5) + rng.uniform(-3, 1.5)
    return (THRESHOLD * np.exp(np.clip(level, -9, 9))).astype(np.float32)


def strips(codes: NDArray[np.uint8], data: st.DataObject) -> list[NDArray[np.uint8]]:
    rows = data.draw(st.lists(st.integers(0, len(codes)), max_size=6).map(sorted))
    return np.split(codes, rows)


def accepted(codes: NDArray[np.uint8], minimum: int, options: RegionOptions) -> list[NDArray[np.bool_]]:
    masks = []
    for code in options.codes:
        scan = RegionScan(codes.shape[1], code)
        scan.add(codes)
        scan.select(minimum)
        masks.append(scan.mask(codes))
    return masks


@settings(max_examples=80, deadline=None)
@given(sides, sides, seeds, st.integers(1, 40), st.data())
def test_cut_into_strips_changes_no_region(
    height: int, width: int, seed: int, minimum: int, data: st.DataObject
) -> None:
    codes = regions.encode(image(height, width, seed), THRESHOLD)
    whole, parts = RegionScan(width, 9, 1), RegionScan(width, 9, 1)
    whole.add(codes)
    cuts = strips(codes, data)
    for strip in cuts:
        parts.add(strip)
    assert np.array_equal(parts.sizes(), whole.sizes())
    assert parts.soft_px == whole.soft_px == (codes >= 1).sum()
    for scan in (whole, parts):
        scan.select(minimum)
    assert np.array_equal(np.concatenate([parts.mask(strip) for strip in cuts]), whole.mask(codes))


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), seeds, st.integers(0, 3), st.booleans(), st.data())
def test_pixel_depends_on_no_more_than_the_halo(
    height: int, width: int, seed: int, growth: int, trim: bool, data: st.DataObject
) -> None:
    options = RegionOptions(growth_px=growth, trim=0.2 if trim else 0.0)
    codes = regions.encode(image(height, width, seed), THRESHOLD)
    masks = accepted(codes, data.draw(st.integers(1, 12)), options)
    whole = regions.grow_and_trim(codes, masks, options)
    top = data.draw(st.integers(0, height - 1))
    bottom = data.draw(st.integers(top + 1, height))
    rows = slice(max(0, top - options.halo_px), bottom + options.halo_px)
    part = regions.grow_and_trim(codes[rows], [mask[rows] for mask in masks], options)
    assert np.array_equal(part[top - rows.start :][: bottom - top], whole[top:bottom])


@settings(max_examples=60, deadline=None)
@given(sides, sides, seeds, st.sampled_from([1e-2, 1e-3, 1e-4]), st.integers(0, 6))
def test_turned_image_has_turned_change(height: int, width: int, seed: int, alpha: float, min_px: int) -> None:
    x = image(height, width, seed)
    changed = regions.detect(x, THRESHOLD, alpha, min_px=min_px)
    for turned in (np.flipud, np.fliplr, np.transpose):
        assert np.array_equal(regions.detect(turned(x), THRESHOLD, alpha, min_px=min_px), turned(changed))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 500), min_size=1, max_size=400), st.integers(100, 10**6), st.sampled_from([2.0, 2.5]))
def test_asking_for_fewer_false_alarms_never_believes_smaller_regions(sizes: list[int], area: int, tau: float) -> None:
    found = [regions.minimum_size(np.array(sizes), area, alpha, tau) for alpha in (0.1, 1e-2, 1e-3, 1e-4, 1e-5)]
    assert found == sorted(found)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 500), min_size=1, max_size=400), st.integers(0, 10**6), st.integers(0, 10**6))
def test_more_soft_ground_never_believes_smaller_regions(sizes: list[int], soft: int, more: int) -> None:
    few, many = (regions.minimum_size(np.array(sizes), 10**6, 1e-3, 2.5, soft_px=px) for px in (soft, soft + more))
    assert few <= many


@settings(max_examples=60, deadline=None)
@given(sides, sides, seeds, st.integers(1, 20))
def test_change_only_grows_with_what_is_accepted(height: int, width: int, seed: int, minimum: int) -> None:
    options = RegionOptions(trim=0)
    codes = regions.encode(image(height, width, seed), THRESHOLD)
    strict, lax = (accepted(codes, px, options) for px in (minimum + 5, minimum))
    fewer, more = (regions.grow_and_trim(codes, masks, options) for masks in (strict, lax))
    assert not (fewer & ~more).any()
    assert not (np.logical_or.reduce(lax) & ~more).any()
    assert not (more & (codes == 0)).any()


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(2, 40))
def test_minimum_mapping_unit_leaves_only_larger_regions(seed: int, min_px: int) -> None:
    x = image(50, 60, seed)
    everything = regions.detect(x, THRESHOLD, 1e-2)
    left = regions.detect(x, THRESHOLD, 1e-2, min_px=min_px)
    assert not (left & ~everything).any()
    labels, count = ndimage.label(everything, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    assert np.array_equal(left, (sizes >= min_px)[labels])


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-6, 1e9), st.lists(st.floats(0, 2.0**100, width=32), min_size=1, max_size=50))
def test_codes_compare_with_every_level_as_floats_do(threshold: float, values: list[float]) -> None:
    x = np.array([values], np.float32)
    codes = regions.encode(x, threshold)
    for level in (0.25, *LEVELS):
        assert np.array_equal(codes >= regions.code_of(level), x > np.float64(level * threshold))
    order = np.argsort(x[0])
    assert (np.diff(codes[0][order].astype(int)) >= 0).all()
