"""Blending around seams."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.composite.blend import BlendOptions, blend, edge_distance, halo_px, weights
from groundshift.errors import InputError, UsageError

METHODS = ("multiband", "feather")
Scenes = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int16]]


def two_scenes(shape: tuple[int, int] = (80, 50)) -> Scenes:
    """A step of 0.1 between rows 39 and 40 of smooth, noisy ground; everything valid."""
    ground = 0.2 + 0.02 * np.random.default_rng(0).normal(size=(2, *shape))
    stack = np.stack([ground, ground + 0.1]).astype(np.float32)
    labels = np.zeros(shape, np.int16)
    labels[40:] = 1
    return stack, np.ones((2, *shape), bool), labels


@pytest.mark.parametrize("method", METHODS)
def test_a_step_becomes_a_ramp_and_nothing_changes_beyond_the_radius(method: str) -> None:
    stack, valid, labels = two_scenes()
    out = blend(stack, valid, labels, BlendOptions(method=method, radius_px=12))  # type: ignore[arg-type]
    paste = blend(stack, valid, labels, BlendOptions(method="none"))
    np.testing.assert_array_equal(out[:, :28], paste[:, :28])
    np.testing.assert_array_equal(out[:, 52:], paste[:, 52:])
    ramp = (out - stack[0])[0].mean(axis=1)
    assert np.diff(ramp).max() < 0.016
    assert np.diff(ramp).min() > -0.002
    assert ramp[39] < 0.05 < ramp[40]


def test_details_are_not_washed_out_where_scenes_do_not_fit() -> None:
    _, valid, labels = two_scenes()
    stack = (0.2 + 0.03 * np.random.default_rng(1).normal(size=(2, 2, 80, 50))).astype(np.float32)
    inner = slice(34, 46)
    spread = {
        method: blend(stack, valid, labels, BlendOptions(method=method, radius_px=20))[:, inner].std()  # type: ignore[arg-type]
        for method in METHODS
    }
    assert spread["feather"] < 0.8 * 0.03
    assert spread["multiband"] > 0.87 * 0.03


@pytest.mark.parametrize("method", METHODS)
def test_what_lies_under_pixels_that_are_not_valid_never_bleeds(method: str) -> None:
    stack, valid, labels = two_scenes()
    valid[0, 20:36, 10:30] = False
    valid[:, 60:, :8] = False
    labels[20:36, 10:30] = 1
    labels[60:, :8] = -1
    options = BlendOptions(method=method, radius_px=12)  # type: ignore[arg-type]
    reference = blend(stack, valid, labels, options)
    for poison in (np.nan, 1e6):
        stack[0][:, ~valid[0]], stack[1][:, ~valid[1]] = poison, poison
        np.testing.assert_array_equal(blend(stack, valid, labels, options), reference)
    assert np.isnan(reference[:, labels < 0]).all()
    assert np.isfinite(reference[:, labels >= 0]).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_scene_has_faded_out_where_it_ends(method: str) -> None:
    stack, valid, labels = two_scenes()
    stack[0], stack[1] = 0.2, 0.3
    valid[1, :35] = False
    out = blend(stack, valid, labels, BlendOptions(method=method, radius_px=12))  # type: ignore[arg-type]
    assert np.abs(np.diff(out, axis=1)).max() < 0.025


def test_scenes_without_detail_are_mixed_alike_by_both_methods_beside_no_data_too() -> None:
    stack, valid, labels = two_scenes()
    stack[0], stack[1] = 0.2, 0.3
    valid[:, 30:50, 20:30], labels[30:50, 20:30] = False, -1
    one, other = (blend(stack, valid, labels, BlendOptions(method=m, radius_px=12)) for m in METHODS)  # type: ignore[arg-type]
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_four_corners_blend_at_once_in_any_order(method: str) -> None:
    rng = np.random.default_rng(2)
    stack = rng.random((4, 1, 40, 40)).astype(np.float32)
    valid = np.ones((4, 40, 40), bool)
    valid[0, 25:, 25:] = False
    labels = np.zeros((40, 40), np.int16)
    labels[:20, 20:], labels[20:, :20], labels[20:, 20:] = 1, 2, 3
    options = BlendOptions(method=method, radius_px=9)  # type: ignore[arg-type]
    order = [3, 1, 0, 2]
    turned = blend(stack[order], valid[order], np.argsort(order).astype(np.int16)[labels], options)
    np.testing.assert_allclose(turned, blend(stack, valid, labels, options), atol=1e-6)


def test_weights_sum_to_one_where_any_scene_is_valid() -> None:
    rng = np.random.default_rng(3)
    valid = rng.random((3, 30, 30)) < 0.9
    inside = np.zeros_like(valid)
    labels = np.where(valid.any(axis=0), valid.argmax(axis=0), -1)
    for k in range(3):
        inside[k] = labels == k
    total = weights(valid, inside, 6).sum(axis=0)
    np.testing.assert_allclose(total, labels >= 0, atol=1e-6)


def test_the_distance_to_an_edge_agrees_with_searching() -> None:
    mask = np.random.default_rng(4).random((20, 25)) < 0.97
    found = edge_distance(mask, 5)
    outside = np.argwhere(~mask)
    for y, x in np.ndindex(mask.shape):
        nearest = np.hypot(*(outside - (y, x)).T).min()
        assert found[y, x] == pytest.approx(min(nearest, 5))
    assert (edge_distance(np.ones((3, 3), bool), 5) == 5).all()


def test_one_scene_alone_is_given_back() -> None:
    stack, valid, labels = two_scenes()
    labels[:] = 0
    np.testing.assert_array_equal(blend(stack, valid, labels), stack[0])


def test_halos_hold_the_radius_and_the_smoothing() -> None:
    assert halo_px(BlendOptions(method="none")) == 0
    assert halo_px(BlendOptions(method="feather", radius_px=16.5)) == 18
    assert halo_px(BlendOptions(radius_px=150)) == 151
    assert BlendOptions(radius_px=150).used_levels == 6
    assert BlendOptions(radius_px=16).used_levels == 3


def test_what_does_not_fit_is_refused_in_a_sentence() -> None:
    stack, valid, labels = two_scenes()
    with pytest.raises(InputError, match="blending needs scenes"):
        blend(stack, valid[:1], labels)
    with pytest.raises(InputError, match="there are 2 scenes"):
        blend(stack, valid, labels + np.int16(1))
    valid[1, 50, 5] = False
    with pytest.raises(InputError, match="not valid at its pixel"):
        blend(stack, valid, labels)
    with pytest.raises(UsageError, match="blending 'poisson'"):
        BlendOptions(method="poisson")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="radius at least 1"):
        BlendOptions(radius_px=0)
