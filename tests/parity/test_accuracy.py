"""Scores against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from groundshift.accuracy.confusion import auc, confusion, scores


@pytest.fixture(scope="module")
def maps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    truth = rng.random((300, 200)) < 0.07
    changed = np.where(rng.random(truth.shape) < 0.15, rng.random(truth.shape) < 0.2, truth)
    return changed, truth, rng.random(truth.shape) < 0.9


def test_every_score_is_that_of_scikit_learn(maps: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    changed, truth, valid = maps
    ours = scores(confusion(changed, truth, valid))
    theirs = {
        "precision": metrics.precision_score,
        "recall": metrics.recall_score,
        "f1": metrics.f1_score,
        "iou": metrics.jaccard_score,
        "overall_accuracy": metrics.accuracy_score,
        "kappa": metrics.cohen_kappa_score,
    }
    expected = {name: score(truth[valid], changed[valid]) for name, score in theirs.items()}
    assert ours == pytest.approx(expected, rel=1e-12)


def test_the_confusion_is_that_of_scikit_learn(maps: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    changed, truth, valid = maps
    (tn, fp), (fn, tp) = metrics.confusion_matrix(truth[valid], changed[valid])
    ours = confusion(changed, truth, valid)
    assert (ours.tp, ours.fp, ours.fn, ours.tn) == (tp, fp, fn, tn)


@pytest.mark.parametrize("share", [0.03, 0.5, 0.96])
@pytest.mark.parametrize("decimals", [1, 6])
def test_the_auc_is_that_of_scikit_learn_with_and_without_ties(share: float, decimals: int) -> None:
    rng = np.random.default_rng(11)
    truth = rng.random(50_000) < share
    score = np.round(rng.normal(truth * 0.8, 1.0), decimals).astype(np.float32)
    assert auc(score, truth) == pytest.approx(metrics.roc_auc_score(truth, score), rel=1e-12)


def test_the_auc_of_several_chunks_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(12)
    truth = rng.random(2_500_000) < 0.1
    score = np.round(rng.normal(truth * 0.8, 1.0), 3)
    assert auc(score, truth) == pytest.approx(metrics.roc_auc_score(truth, score), rel=1e-12)
