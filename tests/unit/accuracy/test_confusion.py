"""Corner cases of the scores, and what the intervals promise."""

from __future__ import annotations

import numpy as np
import pytest

from groundshift.accuracy.confusion import (
    Confusion,
    auc,
    confusion,
    confusion_by_block,
    histograms_by_block,
    intervals,
    scores,
    undefined,
)
from groundshift.errors import InputError
from groundshift.model.grid import blocks


def test_a_score_without_denominator_is_none_and_says_why() -> None:
    values = scores(Confusion(tp=0, fp=0, fn=0, tn=9))
    assert values["overall_accuracy"] == 1
    assert undefined(values) == {
        "precision": "the map shows no change",
        "recall": "the truth holds no change",
        "f1": "neither the map nor the truth holds change",
        "iou": "neither the map nor the truth holds change",
        "kappa": "map and truth are one and the same class everywhere",
    }


def test_no_pixel_at_all_leaves_every_score_undefined() -> None:
    assert set(scores(Confusion(0, 0, 0, 0)).values()) == {None}


def test_a_map_that_is_always_wrong_scores_zero_not_none() -> None:
    values = scores(Confusion(tp=0, fp=5, fn=5, tn=0))
    assert values["f1"] == values["iou"] == values["precision"] == values["recall"] == 0
    assert values["kappa"] == -1


def test_pixels_that_are_not_valid_are_not_counted() -> None:
    changed = np.array([[True, True, False, False]])
    truth = np.array([[True, False, True, False]])
    valid = np.array([[True, True, True, False]])
    assert confusion(changed, truth, valid) == Confusion(tp=1, fp=1, fn=1, tn=0)


def test_one_class_has_no_auc() -> None:
    assert auc(np.arange(4.0), np.zeros(4, bool)) is None
    assert auc(np.arange(4.0), np.ones(4, bool)) is None


@pytest.mark.parametrize("change", [True, False])
def test_a_score_that_is_nan_is_an_error(change: bool) -> None:
    with pytest.raises(InputError, match="NaN"):
        auc(np.array([np.nan, 1.0, 2.0, 3.0]), np.array([change, not change, not change, not change]))


def test_perfect_separation_has_auc_one() -> None:
    assert auc(np.array([1.0, 2.0, 8.0, 9.0]), np.array([False, False, True, True])) == 1


def _clustered(seed: int, size: int = 240, cell: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A map that errs in whole cells, as real ones do."""
    rng = np.random.default_rng(seed)
    cells = (size // cell, size // cell)
    truth = rng.random(cells) < 0.3
    changed = truth ^ (rng.random(cells) < 0.2)
    return tuple(np.kron(a, np.ones((cell, cell), bool)).astype(bool) for a in (changed, truth))  # type: ignore[return-value]


def test_intervals_by_block_hold_the_true_accuracy_as_often_as_they_say() -> None:
    hits, runs = 0, 120
    for seed in range(runs):
        changed, truth = _clustered(seed)
        parts = confusion_by_block(changed, truth, np.ones_like(truth), list(blocks(truth.shape, 12, 12)))
        low, high = intervals(parts, replicates=300, seed=seed)["overall_accuracy"]  # type: ignore[misc]
        hits += low <= 0.8 <= high
    assert 0.89 <= hits / runs <= 0.99


def test_intervals_are_the_same_for_the_same_seed_and_hold_the_value() -> None:
    changed, truth = _clustered(1)
    windows = list(blocks(truth.shape, 24, 24))
    valid = np.ones_like(truth)
    score = changed + np.random.default_rng(0).normal(0, 0.5, truth.shape)
    parts = confusion_by_block(changed, truth, valid, windows)
    shades = histograms_by_block(score, truth, valid, windows)
    once = intervals(parts, shades, seed=5)
    assert once == intervals(parts, shades, seed=5)
    assert once != intervals(parts, shades, seed=6)
    values = {**scores(confusion(changed, truth, valid)), "auc": auc(score, truth)}
    for name, value in values.items():
        low, high = once[name]  # type: ignore[misc]
        assert low < value < high  # type: ignore[operator]


def test_few_blocks_give_no_interval() -> None:
    parts = np.array([[1, 1, 1, 7]] * 9 + [[0, 0, 0, 0]] * 50)
    assert set(intervals(parts).values()) == {None}


def test_a_score_that_most_draws_leave_undefined_has_no_interval() -> None:
    parts = np.array([[0, 0, 0, 9]] * 30)
    found = intervals(parts)
    assert found["precision"] is None
    assert found["overall_accuracy"] == (1, 1)
