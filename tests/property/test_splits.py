"""Laws of folds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundshift.landcover.splits import (
    GroupFolds,
    MatchedFolds,
    RandomFolds,
    blocks_of_polygons,
    deal,
    folds_of,
    match,
    nearest,
)


def samples(seed: int, groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(coordinates, labels, groups): clusters of samples of about one class each."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, 150)
    group[:groups] = np.arange(groups)
    labels = np.where(rng.random(150) < 0.8, group % 3, rng.integers(0, 3, 150)) + 1
    return rng.random((groups, 2))[group] * 100 + rng.normal(size=(150, 2)), labels, group * 7 - 3


def splitters(coordinates: np.ndarray, folds: int) -> list[Any]:
    grid = np.random.default_rng(0).random((200, 2)) * 100
    return [
        RandomFolds(folds=folds),
        GroupFolds(folds=folds),
        MatchedFolds(coordinates=coordinates, prediction=grid, folds=folds),
    ]


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), groups=st.integers(6, 40), folds=st.integers(2, 6))
def test_every_sample_is_tested_once_and_groups_are_not_divided(seed: int, groups: int, folds: int) -> None:
    coordinates, labels, group = samples(seed, groups)
    for splitter in splitters(coordinates, folds):
        fold = folds_of(splitter, coordinates, labels, group)
        assert splitter.get_n_splits() == folds
        assert set(fold) == set(range(folds))
        np.testing.assert_array_equal(fold, folds_of(splitter, coordinates, labels, group))
        if not isinstance(splitter, RandomFolds):
            assert len(np.unique(np.c_[group, fold], axis=0)) == groups
        for train, test in splitter.split(coordinates, labels, group):
            assert len(np.intersect1d(train, test)) == 0
            assert len(train) + len(test) == len(labels)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), folds=st.integers(2, 6))
def test_classes_are_spread_as_evenly_as_can_be(seed: int, folds: int) -> None:
    labels = np.random.default_rng(seed).choice(4, 200, p=[0.6, 0.25, 0.1, 0.05])
    fold = deal(np.arange(200), labels, folds, seed)
    table = np.zeros((folds, 4), int)
    np.add.at(table, (fold, labels), 1)
    assert (np.ptp(table, axis=0) <= 1).all()


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), groups=st.integers(3, 30))
def test_the_nearest_sample_of_another_fold_is_the_nearest(seed: int, groups: int) -> None:
    coordinates, _, _ = samples(seed, groups)
    fold = np.random.default_rng(seed).integers(0, 3, len(coordinates))
    between = np.hypot(*(coordinates[:, np.newaxis] - coordinates).transpose(2, 0, 1))
    between[fold[:, np.newaxis] == fold] = np.inf
    np.testing.assert_allclose(nearest(coordinates, fold), between.min(axis=1))


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000))
def test_matching_is_never_worse_than_random_folds_and_says_what_it_found(seed: int) -> None:
    coordinates, labels, group = samples(seed, 12)
    places = np.random.default_rng(seed).random((300, 2)) * 100
    for groups in (None, group):
        found = match(coordinates, places, 4, labels=labels, groups=groups, seed=seed)
        assert found.statistic <= found.random_statistic
        ranks = (np.arange(60_000) + 0.5) / 60_000
        area = np.abs(np.quantile(found.test_distance, ranks, method="inverted_cdf")
                      - np.quantile(found.prediction_distance, ranks, method="inverted_cdf")).mean()  # fmt: skip
        assert found.statistic == pytest.approx(area, rel=1e-3)
        assert (found.sample_distance <= found.test_distance).all()
        assert np.bincount(found.fold).max() <= 75


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_polygon_counts_to_the_block_that_has_most_of_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygon, block = rng.integers(5, 20, 120), rng.integers(-2, 4, 120)
    home = blocks_of_polygons(block, polygon)
    for number in np.unique(polygon):
        here = polygon == number
        assert len(set(home[here])) == 1
        counts = {each: int(np.sum(block[here] == each)) for each in set(block[here])}
        named = np.unique(block)[home[here][0]]
        assert counts[named] == max(counts.values())
