"""Laws of sharpening: means, blocks, what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from groundshift.features.sharpen import GUIDED, MISSING, SharpenOptions, halo_coarse_px, sharpen

laws = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 9999)
factors = st.sampled_from([2, 3, 6])
choices = st.builds(
    SharpenOptions,
    radius=st.integers(1, 3),
    overshoot=st.sampled_from([0.0, 0.1, 1.0, 100.0]),
    minimum_valid=st.sampled_from([0.1, 0.6, 1.0]),
    rungs=st.sampled_from([(), ("guided", "smooth"), ("nearest", "guided")]),
)


def case(seed: int, factor: int, shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rough bands of many sizes of value, with holes in either; a few constant stretches."""
    rng = np.random.default_rng(seed)
    height, width = (n * factor for n in shape)
    scale = rng.choice([1e-3, 0.3, 5.0])
    fine = scale * rng.gamma(1, 1, (3, height, width)) - rng.choice([0, 0.2 * scale])
    coarse = fine[:2].reshape(2, shape[0], factor, shape[1], factor).mean(axis=(2, 4))
    coarse = coarse * rng.choice([-2.0, 0.5, 3.0], (2, 1, 1)) + rng.normal(0, 0.3 * scale, coarse.shape)
    coarse[:, : shape[0] // 3, : shape[1] // 3] = 0.25
    share = rng.choice([0, 0.05, 0.4])
    coarse[rng.random(coarse.shape) < share] = rng.choice([np.nan, np.inf])
    fine[rng.random(fine.shape) < share / factor**2] = rng.choice([np.nan, -np.inf])
    return coarse.astype(np.float32), fine.astype(np.float32)


@laws
@given(seeds, factors, choices)
def test_the_mean_of_every_block_is_its_coarse_value_to_the_rounding_of_float32(
    seed: int, factor: int, options: SharpenOptions
) -> None:
    coarse, fine = case(seed, factor, (8, 11))
    found = sharpen(coarse, fine, factor, options)
    parts = found.values.astype(np.float64).reshape(2, 8, factor, 11, factor)
    there = np.isfinite(coarse)
    error = np.abs(parts.mean(axis=(2, 4)) - coarse)[there]
    assert (error <= np.spacing(np.abs(parts).max(axis=(2, 4))[there].astype(np.float32)) / 2 + 1e-15).all()
    np.testing.assert_array_equal(found.used != MISSING, there)
    np.testing.assert_array_equal(np.isfinite(found.values), there.repeat(factor, 1).repeat(factor, 2))


@laws
@given(seeds, factors, choices, st.data())
def test_cutting_the_image_into_blocks_with_the_halo_changes_no_bit(
    seed: int, factor: int, options: SharpenOptions, data: st.DataObject
) -> None:
    shape = (20, 45)
    coarse, fine = case(seed, factor, shape)
    whole = sharpen(coarse, fine, factor, options)
    (y0, y1), (x0, x1) = (sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in shape)
    y1, x1 = max(y1, y0 + 1), max(x1, x0 + 1)
    halo = halo_coarse_px(options)
    top, left = max(0, y0 - halo), max(0, x0 - halo)
    around = np.s_[:, top : y1 + halo, left : x1 + halo]
    fine_around = np.s_[:, top * factor : (y1 + halo) * factor, left * factor : (x1 + halo) * factor]
    part = sharpen(coarse[around], fine[fine_around], factor, options)
    np.testing.assert_array_equal(whole.used[:, y0:y1, x0:x1], part.used[:, y0 - top : y1 - top, x0 - left : x1 - left])
    np.testing.assert_array_equal(
        whole.values[:, y0 * factor : y1 * factor, x0 * factor : x1 * factor],
        part.values[:, (y0 - top) * factor : (y1 - top) * factor, (x0 - left) * factor : (x1 - left) * factor],
    )


@laws
@given(seeds, factors, st.data())
def test_what_is_missing_is_never_looked_at(seed: int, factor: int, data: st.DataObject) -> None:
    coarse, fine = case(seed, factor, (9, 10))
    hole = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 9))
    block = np.s_[:, hole[0] * factor : (hole[0] + 1) * factor, hole[1] * factor : (hole[1] + 1) * factor]
    fine[block] = np.nan
    one = sharpen(coarse, fine, factor)
    assert (one.used[:, *hole] != GUIDED).all()
    other = fine.copy()
    other[block][1:] = 7e5
    same(one, sharpen(coarse, other, factor))


@laws
@given(seeds, factors, st.sampled_from([0.0, 0.1, 1.0]))
def test_no_pixel_leaves_the_bounds_of_its_window(seed: int, factor: int, overshoot: float) -> None:
    coarse, fine = case(seed, factor, (7, 9))
    found = sharpen(coarse, fine, factor, SharpenOptions(overshoot=overshoot)).values
    for band, values in zip(coarse, found, strict=True):
        for y, x in zip(*np.nonzero(np.isfinite(band)), strict=True):
            near = band[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].astype(np.float64)
            near = near[np.isfinite(near)]
            low, high = near.min() - overshoot * np.ptp(near), near.max() + overshoot * np.ptp(near)
            part = values[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
            slack = 1e-6 * max(abs(low), abs(high))
            assert part.min() >= (max(low, 0) if near.min() >= 0 else low) - slack
            assert part.max() <= high + slack


def same(one: Any, other: Any) -> None:
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.used, other.used)
