"""Labels that are probably wrong: samples that models, which never saw them, keep calling something else.

Probabilities come from cross-validation, so that no model was trained on the sample that it judges, nor on others of
its polygon. A label is in doubt in one fit where another class is predicted and next to no probability is left for the
label; it is flagged if it is in doubt in every one of many fits (as in CLC+ Backbone 2023: all of 15).

The thresholds of confident learning (Northcutt, Jiang and Chuang 2021: the mean probability of each class over its own
samples) flag about two thirds as many of the wrong ones, no more surely: `benchmarks/suspicious_labels.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groundshift.errors import InputError, UsageError
from groundshift.landcover.splits import GroupFolds, RandomFolds


@dataclass(frozen=True, kw_only=True)
class SuspicionOptions:
    """How labels are put in doubt."""

    fits: int = 15
    """Cross-validations, each with folds of its own; all must agree. 15: CLC+ Backbone 2023."""
    folds: int = 5
    """Of each cross-validation."""
    largest: float = 0.1
    """Probability of the label up to which it is in doubt, 0..0.5. 0.1: of 0.02 to 0.3 the best balance on two
    synthetic years with planted mistakes (not those of the benchmark), by random forests and logistic regression."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fits < 1 or self.folds < 2 or not 0 <= self.largest <= 0.5:
            raise UsageError(
                f"suspicious labels: expected fits >= 1, folds >= 2 and largest 0 to 0.5, "
                f"not {self.fits}, {self.folds} and {self.largest}."
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Suspicions:
    """What is thought of each label, all (n,)."""

    times: NDArray[np.int64]
    """Fits in which the label was in doubt."""
    flagged: NDArray[np.bool_]
    """In doubt in all of them."""
    suggestion: NDArray[Any]
    """The class of the highest mean probability."""
    doubt: NDArray[np.float64]
    """Mean probability of that class less that of the label, 0..1: sort by it, largest first."""


def suspicious(
    classifier: Any,
    features: NDArray[np.floating],
    labels: ArrayLike,
    options: SuspicionOptions | None = None,
    *,
    groups: ArrayLike | None = None,
) -> Suspicions:
    """Find labels that are probably wrong.

    Args:
        classifier: anything that scikit-learn can clone, with ``fit`` and ``predict_proba``; it is left unfitted.
        features: (n, f).
        labels: (n,) classes.
        options: how.
        groups: (n,) the polygon of each sample. Without it, samples of a wrongly labelled polygon vouch for each other.

    Raises:
        InputError: numbers of samples differ, or there is one class only.
        UsageError: fewer polygons than folds.
    """
    options = options or SuspicionOptions()
    classes, label = np.unique(np.asarray(labels), return_inverse=True)
    if len(label) != len(features) or len(classes) < 2:
        raise InputError(
            f"{len(features)} samples with {len(label)} labels of {len(classes)} classes: expected one each, and "
            "two classes or more."
        )
    here, times = np.arange(len(label)), np.zeros(len(label), np.int64)
    total = np.zeros((len(label), len(classes)))
    for number in range(options.fits):
        seed = options.seed + number
        splitter = (RandomFolds if groups is None else GroupFolds)(folds=options.folds, seed=seed)
        probability = _held_out(classifier, features, label, splitter.split(features, label, groups), seed)
        times += (probability.argmax(axis=1) != label) & (probability[here, label] <= options.largest)
        total += probability / options.fits
    best = total.argmax(axis=1)
    return Suspicions(
        times=times,
        flagged=times == options.fits,
        suggestion=classes[best],
        doubt=total[here, best] - total[here, label],
    )


def suspicious_polygons(
    flagged: NDArray[np.bool_], polygon: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    """Polygons of which more than half of the samples are flagged, (p,), and the share of each, largest first."""
    numbers, index = np.unique(polygon, return_inverse=True)
    share = np.bincount(index, flagged) / np.bincount(index)
    order = np.argsort(-share, kind="stable")[: int(np.sum(share > 0.5))]
    return numbers[order], share[order]


def _held_out(
    classifier: Any, features: NDArray[np.floating], label: NDArray[np.intp], splits: Any, seed: int
) -> NDArray[np.float64]:
    """(n, k) probabilities of models that did not see the sample; 0 for a class that its model was not taught."""
    from sklearn.base import clone

    result = np.zeros((len(label), int(label.max()) + 1))
    for train, test in splits:
        model = clone(classifier)
        model.set_params(**{name: seed for name in ("random_state", "seed") if name in model.get_params()})
        model.fit(features[train], label[train])
        result[np.ix_(test, model.classes_)] = model.predict_proba(features[test])
    return result
