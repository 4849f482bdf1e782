"""Labels that are probably wrong: samples that models, which never saw them, keep calling something else.

Probabilities come from cross-validation, so that no model was trained on the sample that it judges, nor on others of
its polygon. A sample is suspicious in one fit where confident learning counts it to another class: the probability of
that class reaches what the class has on average among its own samples. It is flagged if it is so in every one of many
fits.

Source: Northcutt, Jiang and Chuang 2021 (confident learning); all of 15 fits: CLC+ Backbone 2023.
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
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fits < 1 or self.folds < 2:
            raise UsageError(f"suspicious labels: expected fits >= 1 and folds >= 2, not {self.fits} and {self.folds}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Suspicions:
    """What is thought of each label, all (n,)."""

    times: NDArray[np.int64]
    """Fits in which the sample was suspicious."""
    flagged: NDArray[np.bool_]
    """Suspicious in all of them."""
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
            f"{len(features)} samples with {len(label)} labels of {len(classes)} classes: expected a label for each, and "
            "two classes or more."
        )
    times, total = np.zeros(len(label), np.int64), np.zeros((len(label), len(classes)))
    for number in range(options.fits):
        seed = options.seed + number
        splitter = (RandomFolds if groups is None else GroupFolds)(folds=options.folds, seed=seed)
        probability = _held_out(classifier, features, label, splitter.split(features, label, groups), seed)
        times += off_label(probability, label)
        total += probability / options.fits
    here = np.arange(len(label))
    best = total.argmax(axis=1)
    return Suspicions(
        times=times,
        flagged=times == options.fits,
        suggestion=classes[best],
        doubt=total[here, best] - total[here, label],
    )


def off_label(probability: NDArray[np.floating], label: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether confident learning counts each sample to another class than its label.

    Args:
        probability: (n, k) of models that did not see the sample.
        label: (n,) class, 0..k-1.

    Returns:
        (n,) True where, of the classes whose probability reaches the mean that it has over samples of that label, the
        most probable is not the label. A sample that reaches none is not counted.
    """
    counts = np.bincount(label, minlength=probability.shape[1])
    sums = np.bincount(label, probability[np.arange(len(label)), label], probability.shape[1])
    least = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    confident = np.where(probability >= least, probability, -1.0)
    return np.asarray((confident.argmax(axis=1) != label) & (confident.max(axis=1) >= 0))


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
