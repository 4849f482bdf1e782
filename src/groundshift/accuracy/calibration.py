"""Whether probabilities mean what they say: calibration error, scores, temperature, priors, and conformal sets.

Probabilities are (n, K) with rows that sum to 1, labels are class numbers 0 to K - 1. What is fitted here (temperature,
conformal quantiles) must be fitted on samples that the classifier was not trained on, and that lie in other blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groundshift.errors import InputError
from groundshift.numerics import probabilities as numerics

Floats = NDArray[np.float64]
Score = Literal["lac", "aps", "raps"]
_LEAST = 1e-12
"""Probabilities are not taken for smaller than this where logarithms are taken."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Data of a reliability curve, one value a bin; NaN where a bin is empty."""

    edges: Floats
    """(bins + 1,)."""
    confidence: Floats
    """Mean of the probabilities in the bin."""
    accuracy: Floats
    """Share of them that came true."""
    count: NDArray[np.int64]


def reliability(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15, of: int | None = None) -> Reliability:
    """How often probabilities come true, in bins of equal width.

    Args:
        probabilities: (n, K).
        labels: (n,).
        bins: number of bins between 0 and 1.
        of: a class whose probability is looked at; None: the largest probability, of whichever class.
    """
    p, y = _checked(probabilities, labels)
    confidence = p.max(axis=1) if of is None else p[:, of]
    right = (p.argmax(axis=1) == y) if of is None else (y == of)
    # bins are closed above, as in the papers, so that 1 lies in the last one
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, confidence, bins) / count
        share = np.bincount(place, right, bins) / count
    return Reliability(np.linspace(0, 1, bins + 1), mean, share, count)


def calibration_error(curve: Reliability) -> float:
    """Expected calibration error: mean distance of confidence and accuracy, bins weighted by their samples."""
    filled = curve.count > 0
    gap = np.abs(curve.confidence - curve.accuracy)[filled]
    return float((gap * curve.count[filled]).sum() / curve.count.sum())


def expected_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15, classwise: bool = False
) -> float:
    """ECE of the largest probability (Guo et al. 2017), or its mean over classes (Kull et al. 2019), 0 to 1."""
    p, y = _checked(probabilities, labels)
    if not classwise:
        return calibration_error(reliability(p, y, bins=bins))
    return float(np.mean([calibration_error(reliability(p, y, bins=bins, of=k)) for k in range(p.shape[1])]))


def brier_score(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean squared distance of the probabilities from the truth, summed over classes, 0 to 2 (Brier 1950)."""
    p, y = _checked(probabilities, labels)
    return float((p**2).sum(axis=1).mean() + 1 - 2 * p[np.arange(len(y)), y].mean())


def log_loss(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative logarithm of the probability of the truth, natural; probabilities below 1e-12 count as that."""
    p, y = _checked(probabilities, labels)
    return float(-np.log(np.maximum(p[np.arange(len(y)), y], _LEAST)).mean())


# --- mending -------------------------------------------------------------------------------------------------------


def fit_temperature(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The temperature that minimises the log loss of :func:`with_temperature` (Guo et al. 2017), 0.05 to 20."""
    return numerics.fit_temperature(*_checked(probabilities, labels))


def with_temperature(probabilities: ArrayLike, temperature: float, *, axis: int = -1) -> Floats:
    """Probabilities p^(1/T), rescaled to sum to 1. Law: the order of the classes is kept above 1e-6.

    Args:
        probabilities: any shape.
        temperature: more than 0; above 1 makes them less certain.
        axis: that of the classes.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"the temperature is {temperature:g}: expected more than 0.")
    p = np.moveaxis(np.asarray(probabilities, np.float64), axis, -1)
    return np.moveaxis(numerics.tempered(p, temperature), -1, axis)


def with_priors(probabilities: ArrayLike, of_training: ArrayLike, of_map: ArrayLike, *, axis: int = -1) -> Floats:
    """Correct for classes that are more or less frequent in the map than among the training samples.

    p'_k ~ p_k * of_map_k / of_training_k (Saerens et al. 2002, equation 2.4). Law: equal priors change nothing.

    Args:
        probabilities: any shape, K along ``axis``.
        of_training: (K,), frequencies of the classes among the samples, as they were weighted.
        of_map: (K,), frequencies in the area.
        axis: that of the classes.

    Raises:
        InputError: frequencies that are negative, not finite, or 0 in training but not in the map.
    """
    p = np.asarray(probabilities, np.float64)
    before, after = np.asarray(of_training, np.float64), np.asarray(of_map, np.float64)
    if before.shape != (p.shape[axis],) or after.shape != before.shape:
        raise InputError(f"priors of {before.size} and {after.size} classes: expected {p.shape[axis]} each.")
    both = np.stack([before, after])
    if not (np.isfinite(both).all() and (both >= 0).all() and both.sum(axis=1).all()) or (after[before == 0] > 0).any():
        raise InputError("priors must be at least 0, with more than 0 in training for every class that the map holds.")
    ratio = np.divide(after / after.sum(), before / before.sum(), out=np.zeros(len(before)), where=before > 0)
    shape = [1] * p.ndim
    shape[axis] = -1
    weighted = p * ratio.reshape(shape)
    total = weighted.sum(axis=axis, keepdims=True)
    return np.asarray(np.divide(weighted, total, out=np.array(np.broadcast_to(p, weighted.shape)), where=total > 0))


# --- conformal sets ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ConformalOptions:
    """How the set of classes that a pixel may be is made."""

    score: Score = "aps"
    """``lac``: classes above a probability (Sadinle et al. 2019), smallest sets on average; ``aps``: the most likely
    classes until enough probability is gathered (Romano et al. 2020), sets that grow where it is unclear; ``raps``:
    the same with a penalty on long sets (Angelopoulos et al. 2021)."""
    alpha: float = 0.1
    """Share of the pixels whose class may be missed."""
    by_class: bool = True
    """A quantile for each class (Mondrian; Vovk 2013), so that each class is covered, not only all of them together."""
    penalty: float = 0.01
    """Of each class beyond ``free`` (``raps``); the value that its authors use on ImageNet."""
    free: int = 2
    """Classes of a set without penalty (``raps``)."""
    seed: int = 0
    """Of the random share of the last class, without which sets of ``aps`` hold more than was asked for."""

    def __post_init__(self) -> None:
        if not (0 < self.alpha < 1 and self.penalty >= 0 and self.free >= 0 and self.score in ("lac", "aps", "raps")):
            raise InputError(f"{self}: expected lac, aps or raps, alpha between 0 and 1, and penalties of at least 0.")


def conformal_quantile(
    probabilities: ArrayLike,
    labels: ArrayLike,
    options: ConformalOptions | None = None,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Floats:
    """Quantiles of the scores of held-out samples, the ceil((n + 1)(1 - alpha))-th smallest.

    Samples of one polygon or block err together, so that many of them are hardly more than one. Where ``groups`` are
    given, what is still to come is a pixel of another group, whose score may be any: it counts as infinite, with the
    mean weight of a group (Dunn et al. 2023; without groups that is one sample). Classes of too few groups
    for a quantile of their own share one; where they are too few together, they take that of all classes.

    Args:
        probabilities: (n, K) of samples that were not trained on.
        labels: (n,).
        options: the kind of set.
        groups: (n,) numbers of polygons or blocks; None: each sample is its own.
        weights: (n,) how many pixels a sample stands for; None: all alike.

    Returns:
        (K,), one a class; all alike without ``by_class``; without groups infinity for a class with fewer than
        1 / alpha - 1 samples, which is then in every set; with them where all groups are fewer.
    """
    options = options or ConformalOptions()
    p, y = _checked(probabilities, labels)
    own = _scores(p, options, np.random.default_rng(options.seed).random(len(y)))[np.arange(len(y)), y]
    weight = np.ones(len(y)) if weights is None else np.asarray(weights, np.float64)
    group = np.arange(len(y)) if groups is None else np.asarray(groups)

    def limit(which: NDArray[np.bool_]) -> float:
        return _quantile(own[which], weight[which], group[which], options.alpha)

    everything = np.ones(len(y), bool)
    if not options.by_class:
        return np.full(p.shape[1], limit(everything))
    found = np.array([limit(y == k) for k in range(p.shape[1])])
    if groups is not None and not (enough := np.isfinite(found)).all():
        shared = limit(~enough[y])
        found[~enough] = shared if np.isfinite(shared) else limit(everything)
    return found


def confidence_sets(
    probabilities: ArrayLike,
    quantile: ArrayLike,
    options: ConformalOptions | None = None,
    *,
    random: ArrayLike | None = None,
) -> NDArray[np.bool_]:
    """Sets of classes that hold the true one with probability 1 - alpha, (n, K).

    They can be empty (``lac``, and ``aps`` by its random share): nothing is likely enough. Law: the guarantee holds
    for pixels that are exchangeable with the held-out samples, not in a region unlike them.

    Args:
        probabilities: (n, K).
        quantile: (K,) from :func:`conformal_quantile` with the same options.
        options: the kind of set.
        random: (n,), numbers from 0 to 1 that belong to the pixels, so that cutting the image into blocks changes
            nothing (:func:`groundshift.accuracy.design.uniform` makes them of row and column); None: by the seed.
    """
    options = options or ConformalOptions()
    p = np.asarray(probabilities, np.float64)
    own = np.random.default_rng([options.seed, 1]).random(len(p)) if random is None else np.asarray(random, np.float64)
    return _scores(p, options, own) <= np.asarray(quantile, np.float64)


def coverage(sets: NDArray[np.bool_], labels: ArrayLike) -> tuple[float, Floats]:
    """Share of samples whose set holds their class: of all, and of each class (NaN where it has no sample)."""
    y = np.asarray(labels, np.int64)
    hit = sets[np.arange(len(y)), y]
    count = np.bincount(y, minlength=sets.shape[1])
    with np.errstate(invalid="ignore"):
        return float(hit.mean()), np.bincount(y, hit, sets.shape[1]) / count


def _scores(p: Floats, options: ConformalOptions, random: Floats) -> Floats:
    """How badly each class conforms, (n, K)."""
    if options.score == "lac":
        return 1 - p
    order = np.argsort(-p, axis=1, kind="stable")
    ordered = np.take_along_axis(p, order, axis=1)
    gathered = np.cumsum(ordered, axis=1) - ordered * random[:, None]
    if options.score == "raps":
        gathered = gathered + options.penalty * np.maximum(np.arange(1, p.shape[1] + 1) - options.free, 0)
    found = np.empty_like(p)
    np.put_along_axis(found, order, gathered, axis=1)
    return found


def _quantile(scores: Floats, weight: Floats, group: NDArray[np.generic], alpha: float) -> float:
    """The smallest score up to which 1 - alpha of the weight lies, where one group more lies at infinity."""
    if not weight.sum() > 0:
        return math.inf
    order = np.argsort(scores, kind="stable")
    gathered = np.cumsum(weight[order])
    wanted = (1 - alpha) * gathered[-1] * (1 + 1 / len(np.unique(group)))
    place = int(np.searchsorted(gathered, wanted * (1 - 1e-12)))
    return math.inf if place == len(scores) else float(scores[order[place]])


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels)
    if p.ndim != 2 or y.shape != p.shape[:1] or len(y) == 0 or y.dtype.kind not in "iu":
        raise InputError(
            f"probabilities of shape {p.shape} with labels of shape {y.shape} and type {y.dtype}: expected (n, K) and "
            "(n,) of whole numbers, n at least 1."
        )
    if not (y.min() >= 0 and y.max() < p.shape[1]):
        raise InputError(f"labels reach from {y.min()} to {y.max()}: expected 0 to {p.shape[1] - 1}.")
    if not (np.isfinite(p).all() and (p >= 0).all() and np.allclose(p.sum(axis=1), 1, atol=1e-3)):
        raise InputError("probabilities must be finite, at least 0 and sum to 1 for every sample.")
    return p, y.astype(np.int64)
