"""Probabilities of classes: softmax, its temperature, and other shares of the classes than those trained with.

The last axis is the class. A probability below one in a million counts as that: what no tree voted for is not
impossible.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from groundshift.errors import InputError

Floats = NDArray[np.floating]
Float64 = NDArray[np.float64]

LEAST = 1e-6
"""Probability from which on logarithms are taken."""
_TEMPERATURES = (0.05, 20.0)
"""Between which a temperature is sought; one at a bound means that the scores say nothing, or everything."""


def log_softmax(scores: Floats) -> Float64:
    """Logarithms of the probabilities (..., class) of scores (..., class); adding a constant to all changes nothing."""
    shifted: Float64 = np.asarray(scores, np.float64) - np.max(scores, axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def softmax(scores: Floats) -> Float64:
    """Probabilities (..., class), which add up to 1, of scores (..., class)."""
    found: Float64 = np.exp(log_softmax(scores))
    return found


def tempered(probabilities: Floats, temperature: float, ratio: Floats | None = None) -> Float64:
    """Sharpen or flatten probabilities, and bring them to other shares of the classes.

    Args:
        probabilities: (..., class).
        temperature: above 1 flattens; their logarithms are divided by it (C. Guo et al. 2017).
        ratio: (class,) share of each class where the model is used, over its share in what it was trained with
            (M. Saerens et al. 2002); None: the same shares.

    Returns:
        (..., class) float64, adding up to 1; NaN where there were NaN.

    Law: with temperature 1 and no ratio nothing changes by more than a few millionths.
    """
    scores = _logarithm(probabilities) / temperature
    if ratio is not None:
        scores += _logarithm(ratio)
    return softmax(scores)


def fit_temperature(
    probabilities: Floats, labels: NDArray[np.integer], ratio: Floats | None = None, weight: Floats | None = None
) -> float:
    """Find the temperature at which probabilities are the likeliest for what was there.

    Args:
        probabilities: (sample, class), of samples that the model was not trained with.
        labels: (sample,) index of the true class.
        ratio: as of :func:`tempered`.
        weight: (sample,) how much each sample counts; None: all the same.

    Returns:
        Temperature from 0.05 to 20.

    Raises:
        InputError: no samples, or labels that do not fit.
    """
    labels = np.asarray(labels)
    if not len(labels) or probabilities.shape[0] != len(labels) or labels.max() >= probabilities.shape[1]:
        raise InputError(
            f"probabilities of shape {probabilities.shape} for {len(labels)} labels: expected a row for each label "
            "and a column for each class."
        )

    scores = _logarithm(probabilities)
    shift = 0.0 if ratio is None else _logarithm(ratio)
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        found = log_softmax(scores / np.exp(log_temperature) + shift)[rows, labels]
        return -float(np.average(found, weights=weight))

    low, high = np.log(_TEMPERATURES)
    found = scipy.optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def _logarithm(values: Floats) -> Float64:
    found: Float64 = np.log(np.maximum(np.asarray(values, np.float64), LEAST))
    return found
