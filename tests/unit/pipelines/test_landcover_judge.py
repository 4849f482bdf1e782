"""What a choice among classifiers promises, where the truth is that none of them knows anything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from groundshift.landcover.classifiers import classifier
from groundshift.pipelines import landcover_judge
from groundshift.pipelines.landcover_judge import Judged, Table

PARTS, EACH, GUESSERS = 5, 20, 12


def table(label: np.ndarray, values: np.ndarray | None = None) -> Table:
    ones = np.ones(len(label))
    group = np.arange(len(label), dtype=np.int64)
    found = np.zeros((len(label), 1), np.float32) if values is None else values
    return Table(values=found, label=label, group=group, lesson=ones, weight=ones)


def guessing(samples: Table, seed: int) -> Judged:
    """Of a classifier that guesses."""
    said = np.random.default_rng(seed).integers(0, 2, len(samples))
    part = np.arange(len(samples)) % PARTS
    return judged(samples, said, part)


def judged(samples: Table, said: np.ndarray, part: np.ndarray) -> Judged:
    index = samples.label - 1
    return Judged(
        codes=np.array([1, 2], np.uint8),
        probabilities=np.eye(2)[said],
        temperature=1.0,
        counts=landcover_judge._counts(np.eye(2)[said], index, samples.group, samples.weight),
        limits={},
        part=part,
        held={"90": said == index},
    )


def test_the_best_of_many_guesses_is_not_believed() -> None:
    promised, flattered = [], []
    for seed in range(30):
        label = np.random.default_rng([9, seed]).integers(1, 3, PARTS * EACH).astype(np.uint8)
        samples = table(label)
        tried = [guessing(samples, 100 * seed + k) for k in range(GUESSERS)]
        scores = [float(landcover_judge.figures(each.counts.sum(axis=0))["macro_f1"]) for each in tried]
        found, taken = landcover_judge._nested(tried, int(np.argmax(scores)), samples)
        assert len(taken) == PARTS
        promised.append(float(landcover_judge.figures(found.counts.sum(axis=0))["macro_f1"]))
        flattered.append(max(scores))
        assert (found.probabilities.argmax(axis=1) == label - 1).mean() == found.held["90"].mean()
    assert np.mean(flattered) > 0.56
    assert np.mean(promised) < 0.52


def test_a_part_is_judged_by_what_the_other_parts_would_choose() -> None:
    label = np.tile([1, 2], 30).astype(np.uint8)
    samples, part = table(label), np.repeat([0, 1, 2], 20)
    right, wrong = label - 1, 2 - label
    first = judged(samples, np.where(part == 0, right, wrong), part)
    second = judged(samples, np.where(part == 0, wrong, right), part)
    found, taken = landcover_judge._nested([first, second], 1, samples)
    assert taken == [1, 0, 0], "without part 0 the second is the better; of equals it is the first"
    assert not found.held["90"].any(), "and where it had not been looked at, each is wrong"
    assert (found.probabilities.argmax(axis=1) == wrong).all()


def test_one_classifier_is_told_as_it_is() -> None:
    draw = np.random.default_rng(1)
    label = draw.integers(1, 3, 120).astype(np.uint8)
    samples = table(label, (label[:, np.newaxis] + draw.normal(0, 0.7, (120, 2))).astype(np.float32))
    folds = [(np.flatnonzero(np.arange(120) % 3 != k), np.flatnonzero(np.arange(120) % 3 == k)) for k in range(3)]
    one = classifier("knn", neighbours=5)
    _, found, tried = landcover_judge.best([one], samples, folds, lambda _: None)
    alone = landcover_judge.judge(one, samples, folds, lambda _: None)
    assert landcover_judge.report(found, samples, ["a", "b"]) == landcover_judge.report(alone, samples, ["a", "b"])
    assert tried[0]["chosen_without_part"] == 3
    assert landcover_judge.report(found, samples, ["a", "b"])["macro_f1"] == pytest.approx(tried[0]["macro_f1"])


def test_limits_of_sets_know_that_pixels_of_a_field_err_together() -> None:
    draw = np.random.default_rng(2)
    label = draw.integers(1, 3, 400).astype(np.uint8)
    alone = table(label, (label[:, np.newaxis] + draw.normal(0, 0.7, (400, 2))).astype(np.float32))
    folds = [(np.flatnonzero(np.arange(400) % 2 != k), np.flatnonzero(np.arange(400) % 2 == k)) for k in range(2)]
    few = replace(alone, group=np.arange(400) % 8)
    found = [landcover_judge.judge(classifier("knn"), each, folds, lambda _: None) for each in (alone, few)]
    assert all(isinstance(value, float) for value in found[0].limits["90"])
    assert found[1].limits["90"] == [None, None], "eight fields do not tell what nine of ten others are like"
    assert found[1].held["90"].all()
