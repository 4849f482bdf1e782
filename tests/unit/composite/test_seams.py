"""Seams and label maps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.composite.seams import NONE, SeamOptions, disagreement, refine, seams, smooth, smooth_halo_px
from groundshift.errors import InputError, UsageError

PLAIN = SeamOptions(smoothing_px=0, margin_px=2, gradient=0)


def two_scenes(shape: tuple[int, int] = (40, 60)) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scene 0 in the upper, 1 in the lower part, overlapping in rows 10 to 29; they differ by 0.1."""
    valid = np.zeros((2, *shape), bool)
    valid[0, :30], valid[1, 10:] = True, True
    stack = np.zeros((2, 1, *shape), np.float32)
    stack[1] = 0.1
    return stack, valid


def test_each_label_is_valid_at_its_pixel_and_none_where_there_is_no_scene() -> None:
    stack, valid = two_scenes()
    valid[:, 35:, :7] = False
    labels = seams(stack, valid)
    assert (labels[~valid.any(axis=0)] == NONE).all()
    for scene in (0, 1):
        assert valid[scene][labels == scene].all()
    assert (labels[:10] == 0).all()
    assert (labels[30:35] == 1).all()


def test_a_seam_follows_the_winding_line_where_scenes_agree() -> None:
    stack, valid = two_scenes()
    columns = np.arange(60)
    valley = np.rint(20 + 5 * np.sin(columns / 6)).astype(int)
    for x, y in zip(columns, valley, strict=True):
        stack[1, 0, y - 1 : y + 2, x] = 0.001
    labels = seams(stack, valid, options=PLAIN)
    border = (labels == 0).sum(axis=0)
    assert np.abs(border - valley).max() <= 2


def test_a_seam_over_equal_scenes_runs_in_the_middle() -> None:
    stack, valid = two_scenes()
    stack[:] = 0.2
    border = (seams(stack, valid, options=PLAIN) == 0).sum(axis=0)
    assert np.abs(border - 20).max() <= 1


def test_a_seam_goes_round_what_is_to_be_avoided() -> None:
    stack, valid = two_scenes()
    stack[:] = 0.2
    avoid = np.zeros((40, 60))
    avoid[13:25, 20:35] = 1
    labels = seams(stack, valid, avoid, PLAIN)
    inside = labels[13:25, 20:35]
    assert (inside == inside[0, 0]).all()


def test_four_scenes_meet_in_a_corner_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    valid = np.zeros((4, 50, 50), bool)
    for k, (rows, columns) in enumerate(
        [
            (slice(0, 30), slice(0, 30)),
            (slice(0, 30), slice(20, 50)),
            (slice(20, 50), slice(0, 30)),
            (slice(20, 50), slice(20, 50)),
        ]
    ):
        valid[k, rows, columns] = True
    stack = rng.random((4, 2, 50, 50)).astype(np.float32)
    labels = seams(stack, valid)
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    order = [2, 0, 3, 1]
    turned = seams(stack[order], valid[order])
    assert (np.array(order)[turned] == labels).mean() > 0.99


def test_a_scene_inside_another_is_not_needed_and_islands_of_two_are_filled() -> None:
    valid = np.zeros((2, 30, 60), bool)
    valid[0, :, :30] = True
    valid[1, 10:20, 10:20] = True
    valid[:, 5:25, 40:55] = True
    labels = seams(np.zeros((2, 1, 30, 60), np.float32), valid)
    assert (labels[:, :30] == 0).all()
    assert (labels[5:25, 40:55] >= 0).all()


def test_disagreement_is_nothing_outside_overlaps_and_where_values_are_not_valid() -> None:
    stack, valid = two_scenes()
    stack[0, :, 30:] = np.nan
    cost = disagreement(stack, valid)
    assert np.isfinite(cost).all()
    assert (cost[:10] == 0).all()
    assert (cost[30:] == 0).all()
    assert (cost[12:28] > 0).all()


def test_refined_labels_are_valid_and_blocks_fit_together() -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(-1, 3, (6, 7)).astype(np.int16)
    valid = rng.random((3, 23, 28)) < 0.7
    whole = refine(coarse, valid, 4)
    parts = [refine(coarse, valid[:, a:b], 4, (a, 0)) for a, b in ((0, 9), (9, 23))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    for y, x in np.ndindex(whole.shape):
        wanted = coarse[y // 4, x // 4]
        if wanted >= 0 and valid[wanted, y, x]:
            assert whole[y, x] == wanted
        elif valid[:, y, x].any():
            assert valid[whole[y, x], y, x]
        else:
            assert whole[y, x] == NONE


def plain_majority(labels: NDArray[np.int16], valid: NDArray[np.bool_], radius: int) -> NDArray[np.int16]:
    out = labels.copy()
    for y, x in np.argwhere(labels >= 0):
        window = labels[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        votes = {k: int((window == k).sum()) for k in range(len(valid)) if valid[k, y, x]}
        best = max(votes.values(), default=0)
        if best > (window == labels[y, x]).sum():
            out[y, x] = min(k for k, n in votes.items() if n == best)
    return out


def test_majority_agrees_with_counting() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(-1, 4, (25, 30)).astype(np.int16)
    valid = rng.random((4, 25, 30)) < 0.8
    np.testing.assert_array_equal(smooth(labels, valid, 2), plain_majority(labels, valid, 2))


def test_salt_and_pepper_goes_and_edges_stay() -> None:
    labels = np.repeat([[0] * 20 + [1] * 20], 30, axis=0).astype(np.int16)
    noisy = labels.copy()
    at = np.random.default_rng(3).random(labels.shape) < 0.1
    noisy[at] = 1 - noisy[at]
    found = smooth(noisy, np.ones((2, 30, 40), bool), 2, rounds=2)
    assert (found != labels).mean() < 0.01


def test_what_does_not_fit_is_refused_in_a_sentence() -> None:
    stack, valid = two_scenes()
    with pytest.raises(InputError, match="seams need scenes"):
        seams(stack, valid[:, 1:])
    with pytest.raises(UsageError, match="none of them is negative"):
        SeamOptions(margin_px=-1)
    with pytest.raises(UsageError, match="radius of -1 pixels"):
        smooth(np.zeros((3, 3), np.int16), valid, -1)
    assert smooth_halo_px(3, 2) == 6
