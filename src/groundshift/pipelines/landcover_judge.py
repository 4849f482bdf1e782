"""How good a classifier is on pixels that it was not trained with, by the parts that samples are dealt into.

Parts are whole polygons or blocks, so that what is measured is how the classifier does in another place. It is an
estimate of transfer, not the accuracy of a map: that takes a probability sample of the map (``groundshift assess``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from groundshift.accuracy import calibration
from groundshift.accuracy.calibration import ConformalOptions
from groundshift.accuracy.confusion import bootstrap_weights
from groundshift.landcover.classifiers import Classifier, soon
from groundshift.numerics.probabilities import fit_temperature, tempered

Float64 = NDArray[np.float64]

REPLICATES = 1000
_LEAST_GROUPS = 5
_CONFIDENCE = (80.0, 90.0, 95.0)
"""Percent for which limits of confidence sets are kept with a model."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Samples with their features; all (n,) or (n, feature)."""

    values: NDArray[np.float32]
    """(n, feature)."""
    label: NDArray[np.uint8]
    """Codes."""
    group: NDArray[np.int64]
    """Polygon or block: what errs together."""
    lesson: Float64
    """How much a sample counts in training; 0: not at all."""
    weight: Float64
    """How many pixels of the reference it stands for in a judgement, in parts of the mean; 0: it is not asked."""

    def __len__(self) -> int:
        return len(self.label)

    def take(self, where: NDArray[np.bool_]) -> Table:
        """Some of them."""
        kept = {name: getattr(self, name)[where] for name in ("values", "label", "group", "lesson", "weight")}
        return Table(**kept)


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Predictions of every sample by a classifier that saw none of its part."""

    codes: NDArray[np.uint8]
    """(class,) codes in the order of the probabilities."""
    probabilities: Float64
    """(n, class), each part with the temperature that the others gave."""
    temperature: float
    """Of all parts together."""
    counts: Float64
    """(group, predicted class, true class), weighted."""
    limits: dict[str, list[float | None]]
    """Percent of confidence to the greatest score of a class in its sets (lac), None: always in them."""
    part: NDArray[np.intp]
    """(n,) number of the part that a sample is of; -1: it is not asked."""
    held: dict[str, NDArray[np.bool_]]
    """Percent of confidence to whether the set of a sample holds its class, with limits that other parts gave."""


def judge(
    classifier: Classifier,
    samples: Table,
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    advance: Callable[[float], object],
) -> Judged:
    """Train a classifier on all parts but one, for each part.

    Args:
        classifier: kind and options; is not trained itself.
        samples: all of them.
        folds: indices of training and test samples of each part.
        advance: told after each part.
    """
    codes, index = np.unique(samples.label, return_inverse=True)
    raw = np.zeros((len(samples), len(codes)))
    ratio = np.ones((len(samples), len(codes)))
    part = np.full(len(samples), -1, np.intp)
    for k, (train, test) in enumerate(folds):
        taught, test = train[samples.lesson[train] > 0], test[samples.weight[test] > 0]
        one = clone(classifier).fit(samples.values[taught], samples.label[taught], sample_weight=samples.lesson[taught])
        place = np.searchsorted(codes, one.classes_)
        raw[np.ix_(test, place)] = one.raw_probabilities(samples.values[test])
        ratio[np.ix_(test, place)] = one.shares_ / one.trained_shares_
        part[test] = k
        advance(1)
    seen = part >= 0
    found = np.full_like(raw, np.nan)

    def cooled(where: NDArray[np.bool_]) -> float:
        """The temperature of some samples, where the shares of the classes come after it, as in the stored model."""
        return fit_temperature(raw[where], index[where], ratio[where], samples.weight[where])

    for k in range(len(folds)):
        own = part == k
        found[own] = tempered(raw[own], cooled(seen & ~own), ratio[own])
    return Judged(
        codes=codes.astype(np.uint8),
        probabilities=found,
        temperature=cooled(seen),
        counts=_counts(found[seen], index[seen], samples.group[seen], samples.weight[seen]),
        limits={f"{percent:g}": _stored(_limits(found, index, samples, seen, percent)) for percent in _CONFIDENCE},
        part=part,
        held={f"{percent:g}": _held(found, index, samples, part, percent) for percent in _CONFIDENCE},
    )


def best(
    candidates: Sequence[Classifier],
    samples: Table,
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    advance: Callable[[float], object],
) -> tuple[Classifier, Judged, list[dict[str, Any]]]:
    """Judge classifiers on the same parts, and take the one with the highest macro F1; of equals the first.

    The figures are not those by which it is taken, which flatter: see :func:`_nested`.

    Of several, those that would map slowly are left out.

    Returns:
        It, the judgement of the choice, and what is told of every one.
    """
    lessons = int((samples.lesson > 0).sum())
    for each in candidates:
        if len(candidates) > 1 and not soon(each, lessons, samples.values.shape[1]):
            candidates = [other for other in candidates if other is not each]
            advance(len(folds))
    judged = [judge(each, samples, folds, advance) for each in candidates]
    scores = [figures(each.counts.sum(axis=0)) for each in judged]
    chosen = int(np.argmax([score["macro_f1"] for score in scores]))
    found, taken = _nested(judged, chosen, samples)
    tried = [
        {
            "kind": each.kind,
            **{key: float(score[key]) for key in ("overall_accuracy", "macro_f1")},
            "chosen_without_part": taken.count(k),
        }
        for k, (each, score) in enumerate(zip(candidates, scores, strict=True))
    ]
    return candidates[chosen], found, tried


def _nested(judged: Sequence[Judged], chosen: int, samples: Table) -> tuple[Judged, list[int]]:
    """What a choice among classifiers is worth: each part is judged by the one that is best on the other parts.

    Temperature and limits are those of the one that is chosen on all parts, which is the one that maps.

    Returns:
        The judgement, and which classifier each part was judged by.
    """
    one = judged[0]
    index = np.searchsorted(one.codes, samples.label)
    mixed, taken = judged[chosen].probabilities.copy(), []
    held = {percent: values.copy() for percent, values in judged[chosen].held.items()}
    for k in range(one.part.max() + 1):
        own, others = one.part == k, (one.part >= 0) & (one.part != k)
        tables = [_counts(each.probabilities[others], index[others], samples.group[others], samples.weight[others])
                  for each in judged]  # fmt: skip
        best_of = int(np.argmax([figures(counts.sum(axis=0))["macro_f1"] for counts in tables]))
        taken.append(best_of)
        mixed[own] = judged[best_of].probabilities[own]
        for percent, values in held.items():
            values[own] = judged[best_of].held[percent][own]
    seen = one.part >= 0
    counts = _counts(mixed[seen], index[seen], samples.group[seen], samples.weight[seen])
    return replace(judged[chosen], probabilities=mixed, counts=counts, held=held), taken


def _held(
    probabilities: Float64, index: NDArray[np.intp], samples: Table, part: NDArray[np.intp], percent: float
) -> NDArray[np.bool_]:
    """Whether the set of each sample holds its class, with limits from the other parts."""
    right = np.zeros(len(index), bool)
    for k in range(part.max() + 1):
        own, others = part == k, (part >= 0) & (part != k)
        sets = calibration.confidence_sets(
            probabilities[own], _limits(probabilities, index, samples, others, percent), _options(percent)
        )
        right[own] = sets[np.arange(len(sets)), index[own]]
    return right


def _limits(
    probabilities: Float64, index: NDArray[np.intp], samples: Table, where: NDArray[np.bool_], percent: float
) -> Float64:
    """Limits by some samples, for a pixel of a polygon or block that none of them is of."""
    return calibration.conformal_quantile(
        probabilities[where],
        index[where],
        _options(percent),
        groups=samples.group[where],
        weights=samples.weight[where],
    )


def _options(percent: float) -> ConformalOptions:
    return ConformalOptions(score="lac", alpha=1 - percent / 100)


def _stored(limits: Float64) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in limits]


def _counts(probabilities: Float64, index: NDArray[np.intp], group: NDArray[np.int64], weight: Float64) -> Float64:
    classes = probabilities.shape[1]
    _, number = np.unique(group, return_inverse=True)
    flat = (number * classes + probabilities.argmax(axis=1)) * classes + index
    total = np.bincount(flat, weight, minlength=(number.max() + 1) * classes**2)
    return np.asarray(total.reshape(-1, classes, classes))


def figures(counts: Float64) -> dict[str, Float64]:
    """Scores of tables (..., predicted, true): overall accuracy, macro F1, and by class UA, PA, F1; NaN: undefined."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    mapped, true = counts.sum(axis=-1), counts.sum(axis=-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(true > 0, 2 * right / (mapped + true), np.nan)
        return {
            "overall_accuracy": right.sum(axis=-1) / counts.sum(axis=(-2, -1)),
            "macro_f1": np.nanmean(np.where(true > 0, np.nan_to_num(f1), np.nan), axis=-1),
            "users_accuracy": right / mapped,
            "producers_accuracy": right / true,
            "f1": f1,
        }


def drawn(counts: Float64, seed: int = 0) -> dict[str, Float64]:
    """Scores of :data:`REPLICATES` draws of whole groups with replacement; the same draws for the same groups."""
    weights = bootstrap_weights(len(counts), REPLICATES, seed).astype(np.float64)
    return figures(np.tensordot(weights, counts, axes=1))


def interval(values: Float64) -> list[float] | None:
    """95 % of draws of a score; None where a tenth of them is undefined."""
    known = values[np.isfinite(values)]
    return None if known.size < 0.9 * values.size else [float(v) for v in np.quantile(known, (0.025, 0.975))]


def report(judged: Judged, samples: Table, names: Sequence[str]) -> dict[str, Any]:
    """What is told of a judgement, as plain values."""
    seen = np.isfinite(judged.probabilities).all(axis=1)
    p, index = judged.probabilities[seen], np.searchsorted(judged.codes, samples.label[seen])
    total = judged.counts.sum(axis=0)
    found = figures(total)
    enough = len(judged.counts) >= _LEAST_GROUPS
    draws = drawn(judged.counts) if enough else None
    order = _drawn_like(samples.weight[seen])
    curve = calibration.reliability(p[order], index[order])
    return {
        "overall_accuracy": float(found["overall_accuracy"]),
        "overall_accuracy_interval": interval(draws["overall_accuracy"]) if draws else None,
        "macro_f1": float(found["macro_f1"]),
        "macro_f1_interval": interval(draws["macro_f1"]) if draws else None,
        "classes": [
            {
                "code": int(code),
                "name": name,
                "samples": int((index == k).sum()),
                **{key: _number(found[key][k]) for key in ("users_accuracy", "producers_accuracy", "f1")},
                "f1_interval": interval(draws["f1"][:, k]) if draws else None,
            }
            for k, (code, name) in enumerate(zip(judged.codes, names, strict=True))
        ],
        "confusion": total.round(3).tolist(),
        "calibration_error": calibration.calibration_error(curve),
        "reliability": {
            "confidence": [_number(value) for value in curve.confidence],
            "accuracy": [_number(value) for value in curve.accuracy],
            "count": curve.count.tolist(),
        },
        "confidence_sets": {
            percent: float(np.average(right[seen], weights=samples.weight[seen]))
            for percent, right in judged.held.items()
        },
        "temperature": judged.temperature,
        "groups": len(judged.counts),
        "samples": int(seen.sum()),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _drawn_like(weight: Float64) -> NDArray[np.intp]:
    """Samples as often as their weight says, so that classes come in the shares that they have in the reference."""
    return np.random.default_rng(0).choice(len(weight), size=max(len(weight), 20_000), p=weight / weight.sum())
