"""Suspicious labels: the rule by hand, planted mistakes found, agreement of all fits, faults."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from groundshift.errors import InputError, UsageError
from groundshift.landcover.labels import SuspicionOptions, suspicious, suspicious_polygons


def blobs(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(features, labels, truth, polygon): 40 fields of 10 samples, of three classes, two fields wrongly labelled."""
    rng = np.random.default_rng(seed)
    polygon = np.repeat(np.arange(40), 10)
    truth = np.array([4, 7, 9])[polygon % 3]
    centre = rng.normal(size=(40, 2)) * 0.4
    features = np.c_[truth == 4, truth == 7] * 3.0 + centre[polygon] + rng.normal(size=(400, 2)) * 0.3
    labels = truth.copy()
    labels[polygon == 6], labels[polygon == 16] = 7, 9
    return features, labels, truth, polygon


class Told(BaseEstimator):  # type: ignore[misc]
    """Says what the feature says."""

    def fit(self, features: np.ndarray, labels: np.ndarray) -> Told:
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        return np.c_[features[:, 0], 1 - features[:, 0]]


def test_a_label_is_in_doubt_where_another_is_predicted_and_little_is_left_for_it() -> None:
    first = np.array([0.9, 0.05, 0.11, 0.5, 0.89, 0.91, 0.3, 0.0])
    labels = np.array([1, 1, 1, 1, 2, 2, 2, 2])
    found = suspicious(Told(), first[:, np.newaxis], labels, SuspicionOptions(fits=1, folds=2))
    np.testing.assert_array_equal(found.flagged, [False, True, False, False, False, True, False, False])
    np.testing.assert_allclose(found.doubt, [0, 0.9, 0.78, 0, 0.78, 0.82, 0, 0], atol=1e-12)


def test_polygons_are_flagged_by_most_of_their_samples() -> None:
    flagged = np.array([1, 1, 0, 1, 0, 1, 1, 0], bool)
    numbers, share = suspicious_polygons(flagged, np.array([5, 5, 5, 2, 2, 9, 9, 7]))
    assert (numbers.tolist(), share.tolist()) == ([9, 5], [1.0, 2 / 3])


def test_wrongly_labelled_fields_are_flagged_and_their_class_is_suggested() -> None:
    features, labels, truth, polygon = blobs()
    found = suspicious(LogisticRegression(), features, labels, SuspicionOptions(fits=3), groups=polygon)
    wrong = labels != truth
    assert found.flagged[wrong].mean() > 0.9
    assert found.flagged[~wrong].mean() < 0.02
    np.testing.assert_array_equal(found.suggestion[wrong & found.flagged], truth[wrong & found.flagged])
    assert found.doubt[wrong].min() > np.median(found.doubt[~wrong]) >= 0


def test_without_polygons_a_wrong_field_vouches_for_itself() -> None:
    features, labels, truth, polygon = blobs()
    wrong = labels != truth
    tree, options = DecisionTreeClassifier(random_state=1), SuspicionOptions(fits=3)
    alone = suspicious(tree, features, labels, options).flagged[wrong].mean()
    grouped = suspicious(tree, features, labels, options, groups=polygon).flagged[wrong].mean()
    assert alone < 0.5 < grouped


def test_flagged_means_in_every_fit_and_equal_seeds_say_the_same() -> None:
    features, labels, _, polygon = blobs(1)
    one, two = (
        suspicious(DecisionTreeClassifier(), features, labels, SuspicionOptions(fits=4), groups=polygon) for _ in "ab"
    )
    np.testing.assert_array_equal(one.times, two.times)
    np.testing.assert_array_equal(one.flagged, one.times == 4)
    assert ((one.times > 0) & ~one.flagged).any()


def test_what_cannot_be_judged_is_refused() -> None:
    features, labels, _, polygon = blobs()
    with pytest.raises(InputError, match="400 samples with 3 labels"):
        suspicious(LogisticRegression(), features, labels[:3])
    with pytest.raises(InputError, match="two classes"):
        suspicious(LogisticRegression(), features, np.ones(400))
    with pytest.raises(UsageError, match="cannot make 5 folds"):
        suspicious(LogisticRegression(), features, labels, groups=polygon // 20)
    with pytest.raises(UsageError, match="fits"):
        SuspicionOptions(fits=0)
