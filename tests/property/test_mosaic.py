"""The laws of colour balance, seams, blending and rendering: cuts and orders change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from groundshift.composite import display
from groundshift.composite.balance import (
    BalanceOptions,
    add_areas,
    apply,
    area_sum,
    merge,
    solve,
    statistics,
    summarise,
)
from groundshift.composite.blend import BlendOptions, blend, edge_distance, halo_px
from groundshift.composite.seams import seams, smooth, smooth_halo_px
from groundshift.model.grid import blocks

SHAPE = (70, 60)
sizes = st.tuples(st.integers(5, 40), st.integers(5, 40))
seeds = st.integers(0, 10_000)


def scenes(seed: int, n: int = 3) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int16]]:
    """Random scenes, clouds of no data in them, and smooth valid labels."""
    rng = np.random.default_rng(seed)
    stack = rng.random((n, 2, *SHAPE)).astype(np.float32)
    fields = [ndimage.gaussian_filter(rng.normal(size=SHAPE), 4) for _ in range(2 * n)]
    valid = np.stack([each > -0.05 for each in fields[:n]])
    score = np.where(valid, np.stack(fields[n:]), -np.inf)
    labels = np.where(valid.any(axis=0), score.argmax(axis=0), -1).astype(np.int16)
    stack[:, 0][~valid] = np.nan
    return stack, valid, labels


@given(seeds, sizes, st.sampled_from(["multiband", "feather", "none"]), st.floats(1, 14))
@settings(max_examples=25, deadline=None)
def test_blending_blocks_with_their_halo_equals_blending_the_whole(
    seed: int, size: tuple[int, int], method: str, radius: float
) -> None:
    options = BlendOptions(method=method, radius_px=radius)  # type: ignore[arg-type]
    stack, valid, labels = scenes(seed)
    whole = blend(stack, valid, labels, options)
    for window in blocks(SHAPE, *size):
        wide = window.padded(halo_px(options), SHAPE)
        part = blend(stack[:, :, *wide.slices], valid[:, *wide.slices], labels[wide.slices], options)
        y, x = window.y0 - wide.y0, window.x0 - wide.x0
        inner = part[:, y : y + window.shape[0], x : x + window.shape[1]]
        np.testing.assert_array_equal(inner, whole[:, *window.slices])


@given(seeds, st.floats(1, 12))
@settings(max_examples=20, deadline=None)
def test_blending_stays_near_seams_and_between_the_scenes(seed: int, radius: float) -> None:
    stack, valid, labels = scenes(seed)
    paste = blend(stack, valid, labels, BlendOptions(method="none"))
    far = np.ones(SHAPE, bool)
    for k in range(len(stack)):
        far &= (labels != k) | (edge_distance(labels == k, radius + 2) > radius)
    low, high = (
        extreme(np.where(valid[:, None], stack, empty), axis=0)
        for extreme, empty in ((np.min, np.inf), (np.max, -np.inf))
    )
    for method in ("feather", "multiband"):
        out = blend(stack, valid, labels, BlendOptions(method=method, radius_px=radius))  # type: ignore[arg-type]
        np.testing.assert_array_equal(out[:, far], paste[:, far])
        np.testing.assert_array_equal(np.isnan(out[1]), labels < 0)
        if method == "feather":
            seen = labels >= 0
            assert (out[:, seen] >= low[:, seen] - 1e-6).all()
            assert (out[:, seen] <= high[:, seen] + 1e-6).all()


@given(seeds, st.sampled_from(["multiband", "feather"]))
@settings(max_examples=15, deadline=None)
def test_equal_scenes_give_themselves(seed: int, method: str) -> None:
    stack, valid, labels = scenes(seed)
    ground = np.random.default_rng(seed).random((2, *SHAPE)).astype(np.float32)
    stack[:] = ground
    out = blend(stack, np.ones_like(valid), np.maximum(labels, 0), BlendOptions(method=method, radius_px=9))  # type: ignore[arg-type]
    np.testing.assert_allclose(out, ground, atol=1e-6)


@given(seeds, sizes, st.integers(1, 3), st.integers(1, 2))
@settings(max_examples=15, deadline=None)
def test_the_majority_of_blocks_with_their_halo_equals_that_of_the_whole(
    seed: int, size: tuple[int, int], radius: int, rounds: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 3, SHAPE).astype(np.int16)
    valid = rng.random((3, *SHAPE)) < 0.8
    whole = smooth(labels, valid, radius, rounds)
    for window in blocks(SHAPE, *size):
        wide = window.padded(smooth_halo_px(radius, rounds), SHAPE)
        part = smooth(labels[wide.slices], valid[:, *wide.slices], radius, rounds)
        y, x = window.y0 - wide.y0, window.x0 - wide.x0
        np.testing.assert_array_equal(part[y : y + window.shape[0], x : x + window.shape[1]], whole[window.slices])


@given(seeds, sizes, st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_an_overlap_summarised_in_any_cut_and_order_is_the_same_bit_by_bit(
    seed: int, size: tuple[int, int], random: object
) -> None:
    options = BalanceOptions(sample_pixels=400)
    stack, valid, _ = scenes(seed, 2)
    whole = summarise(stack[0], valid[0], stack[1], valid[1], options=options)
    parts = [
        summarise(
            stack[0][:, *w.slices],
            valid[0][w.slices],
            stack[1][:, *w.slices],
            valid[1][w.slices],
            (w.y0, w.x0),
            options,
        )
        for w in blocks(SHAPE, *size)
    ]
    random.shuffle(parts)  # type: ignore[attr-defined]
    middle = len(parts) // 2
    groups = [merge(group, options) for group in (parts[:middle], parts[middle:]) if group]
    found = merge(groups, options)
    assert found.count == whole.count
    for one, other in ((found.key, whole.key), (found.first, whole.first), (found.second, whole.second)):
        np.testing.assert_array_equal(one, other)


@given(
    gain=st.lists(st.floats(0.85, 1.18), min_size=5, max_size=5),
    offset=st.lists(st.floats(-0.03, 0.03), min_size=5, max_size=5),
    clouds=st.floats(0, 0.15),
    seed=seeds,
)
@settings(max_examples=15, deadline=None)
def test_a_chain_of_scenes_that_differ_by_lines_becomes_one_and_its_mean_stays(
    gain: list[float], offset: list[float], clouds: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    ground = 0.15 + 0.04 * rng.normal(size=(1, 40, 300))
    images, masks = [], []
    for k in range(5):
        image = gain[k] * ground + offset[k] + 0.002 * rng.normal(size=ground.shape)
        image[:, rng.random(ground.shape[1:]) < clouds / 2] = 0.7
        images.append(image)
        masks.append(np.zeros(ground.shape[1:], bool))
        masks[k][:, 50 * k : 50 * k + 100] = True
    overlaps = {(k, k + 1): statistics(summarise(images[k], masks[k], images[k + 1], masks[k + 1])) for k in range(4)}
    areas = [
        add_areas([area_sum(i[:, ::2], m[::2]), area_sum(i[:, 1::2], m[1::2])])
        for i, m in zip(images, masks, strict=True)
    ]
    balance = solve(overlaps, areas)
    balanced = [apply(balance, k, image) for k, image in enumerate(images)]
    assert balance.step_after.max() < 0.002 or balance.limited
    moved = sum(float((b - i)[:, m].sum()) for b, i, m in zip(balanced, images, masks, strict=True))
    assert abs(moved) / sum(m.sum() for m in masks) < 1e-5


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_every_label_of_a_seam_is_valid_and_nothing_valid_is_left_out(seed: int) -> None:
    stack, valid, _ = scenes(seed, 4)
    labels = seams(stack, valid)
    np.testing.assert_array_equal(labels >= 0, valid.any(axis=0))
    for k in range(4):
        assert valid[k][labels == k].all()


@given(seeds, st.floats(0, 1), st.floats(0.02, 0.5))
@settings(max_examples=20, deadline=None)
def test_a_tone_curve_never_falls_and_spans_the_codes(seed: int, equalise: float, spread: float) -> None:
    values = np.abs(np.random.default_rng(seed).normal(0.05, spread, (3, 30, 30)))
    curve = display.fit(display.summarise(values, values[0] >= 0), display.ToneOptions(equalise=equalise))
    assert (np.diff(curve.level) >= 0).all()
    assert curve.level[0] == pytest.approx(1)
    assert curve.level[-1] == pytest.approx(255)
