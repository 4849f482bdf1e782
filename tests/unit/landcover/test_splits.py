"""Folds: what matching finds where samples are clustered and where not; faults; scikit-learn takes them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from groundshift.errors import InputError, UsageError
from groundshift.landcover import splits
from groundshift.landcover.splits import GroupFolds, MatchedFolds, RandomFolds, deal, folds_of, match, untaught

RNG = np.random.default_rng(3)
AREA = RNG.random((3000, 2)) * 1000
CLUSTERED = np.repeat(RNG.random((25, 2)) * 1000, 20, axis=0) + RNG.normal(size=(500, 2)) * 8
SCATTERED = RNG.random((500, 2)) * 1000


def test_clustered_samples_are_split_by_cluster_until_distances_match() -> None:
    found = match(CLUSTERED, AREA)
    assert 5 <= found.clusters < 100
    assert found.statistic < 0.35 * found.random_statistic
    # Random folds leave a neighbour of the same cluster in training, the map is far from all clusters.
    assert np.median(found.sample_distance) < 0.1 * np.median(found.prediction_distance)
    assert np.median(found.test_distance) > 0.5 * np.median(found.prediction_distance)


def test_scattered_samples_need_nothing_but_random_folds() -> None:
    found = match(SCATTERED, AREA)
    assert found.random_statistic < 0.15 * np.median(found.prediction_distance)
    assert found.clusters > 100


def test_many_samples_are_joined_before_they_are_clustered(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = match(CLUSTERED, AREA)
    monkeypatch.setattr(splits, "_MOST_LEAVES", 120)
    joined = match(CLUSTERED, AREA)
    assert joined.statistic < 1.3 * whole.statistic


def test_a_class_in_one_group_is_told_to_be_untaught() -> None:
    groups, labels = np.repeat(np.arange(6), 10), np.repeat([1, 2, 1, 2, 1, 3], 10)
    fold = deal(groups, labels, 3)
    assert untaught(fold, labels) == {int(fold[-1]): [3]}
    assert untaught(deal(np.arange(60), labels, 3), labels) == {}


def test_scikit_learn_takes_them_and_random_folds_flatter() -> None:
    labels = np.repeat(RNG.integers(0, 2, 25), 20)
    accuracy = {
        splitter.__class__: np.mean(
            cross_val_predict(KNeighborsClassifier(3), CLUSTERED, labels, cv=splitter, groups=np.repeat(range(25), 20))
            == labels
        )
        for splitter in (RandomFolds(), GroupFolds(), MatchedFolds(coordinates=CLUSTERED, prediction=AREA))
    }
    assert accuracy[RandomFolds] > 0.95
    assert accuracy[GroupFolds] < 0.8
    assert accuracy[MatchedFolds] < 0.8


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 2"):
        RandomFolds(folds=1)
    with pytest.raises(UsageError, match="3 groups of samples cannot make 5 folds"):
        list(GroupFolds().split(np.zeros(9), None, np.repeat([1, 2, 3], 3)))
    with pytest.raises(UsageError, match="need the group"):
        list(GroupFolds().split(np.zeros(9)))
    with pytest.raises(InputError, match="coordinates of 500"):
        list(MatchedFolds(coordinates=CLUSTERED, prediction=AREA).split(np.zeros(9)))
    with pytest.raises(InputError, match="labels of 3"):
        deal(np.arange(9), np.zeros(3), 2)


def test_a_splitter_that_tests_a_sample_twice_is_found_out() -> None:
    class Twice(RandomFolds):
        def split(self, X, y=None, groups=None):  # type: ignore[no-untyped-def]
            yield np.arange(5), np.arange(4, 9)
            yield np.arange(5, 9), np.arange(5)

    with pytest.raises(InputError, match="exactly once"):
        folds_of(Twice(), np.zeros(9))


def test_two_folds_are_matched_too() -> None:
    found = match(CLUSTERED, AREA, 2)
    assert found.statistic < 0.5 * found.random_statistic
    assert np.bincount(found.fold).max() <= 375
