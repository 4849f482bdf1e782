"""Softmax, temperature, and other shares of the classes."""

import numpy as np
import pytest
from scipy import special

from groundshift.errors import InputError
from groundshift.numerics.probabilities import fit_temperature, log_softmax, softmax, tempered


def drawn(number: int = 6000, classes: int = 4) -> np.ndarray:
    return special.softmax(np.random.default_rng(0).normal(0, 1.5, (number, classes)), axis=1)


def labels_of(probabilities: np.ndarray) -> np.ndarray:
    """Classes drawn with these probabilities: those are calibrated."""
    return (np.random.default_rng(1).random((len(probabilities), 1)) > probabilities.cumsum(axis=1)).sum(axis=1)


def test_the_softmax_is_scipys_however_large_the_scores() -> None:
    scores = np.random.default_rng(0).normal(size=(50, 7)) * 300 + 1e4
    np.testing.assert_allclose(softmax(scores), special.softmax(scores, axis=1), atol=1e-12)
    np.testing.assert_allclose(log_softmax(scores), special.log_softmax(scores, axis=1), atol=1e-9)


def test_temperature_one_and_the_same_shares_change_nothing() -> None:
    found = drawn()
    np.testing.assert_allclose(tempered(found, 1.0), found, atol=5e-6)
    np.testing.assert_allclose(tempered(found, 1.0, np.full(4, 2.5)), found, atol=5e-6)


def test_nan_stays_with_its_pixel() -> None:
    found = drawn(5)
    found[2] = np.nan
    assert np.isnan(tempered(found, 2.0)).all(axis=1).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_what_was_sharpened(temperature: float) -> None:
    right = drawn()
    given = tempered(right, 1 / temperature)  # too sharp where temperature is above 1
    assert fit_temperature(given, labels_of(right)) == pytest.approx(temperature, rel=0.06)


def test_shares_are_those_of_bayes_and_the_temperature_is_fitted_for_them() -> None:
    balanced = drawn()
    share = np.array([0.7, 0.1, 0.1, 0.1]) * 4
    expected = balanced * share
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tempered(balanced, 1.0, share), expected, atol=5e-6)
    labels = labels_of(expected)
    assert fit_temperature(balanced, labels, share) == pytest.approx(1, rel=0.06)
    assert fit_temperature(balanced, labels) > 1.2


def test_labels_without_a_probability_are_refused() -> None:
    for probabilities, labels in ((drawn(3), [0, 1]), (drawn(2), [0, 4]), (drawn(0), [])):
        with pytest.raises(InputError, match="a row for each label"):
            fit_temperature(probabilities, np.array(labels, int))
