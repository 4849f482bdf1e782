"""Classifiers of land cover behind the contract of scikit-learn.

``fit(X, y, groups, sample_weight)``, ``predict_proba(X)``, ``classes_``, ``get_params()``. What is fitted is at once
what is stored (``weights_``: LightGBM's text, or ONNX), and predictions are those of the stored form: what was measured
is what is used later. Same data, options and seed give the same bytes, whatever the threads (``tempcnn``: as many).

NaN is a missing value: LightGBM learns where it leads, the others put the median of training in its place.
"""

from __future__ import annotations

import importlib.util
import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from groundshift.errors import GroundshiftError, InputError, UsageError
from groundshift.landcover.trained import Weights, read_weights
from groundshift.model.classifier import ModelCard
from groundshift.numerics.probabilities import fit_temperature, tempered

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_FOLDS = 3
"""Parts that groups are dealt into for the temperature: it is one number, and needs no more."""


_BATCHES = 40
"""Steps of an epoch, about: few samples in few steps would be stopped before anything is learnt."""
_COMPARED = 500_000
"""Numbers that a pixel is compared with by neighbours, at most, where they are not asked for by name."""
_STOPPING = 10
"""Lessons that a class needs, for a tenth of them to be held out."""


@dataclass(frozen=True, eq=False)
class Lessons:
    """What a classifier is trained with, checked."""

    values: Float32
    """(sample, feature), NaN = missing."""
    index: NDArray[np.intp]
    """(sample,) place of its class among all classes."""
    weight: Float64
    """(sample,) how much it counts; 1 on average."""
    classes: int


class Classifier(BaseEstimator, ClassifierMixin):  # type: ignore[misc]
    """What all classifiers share; each is a dataclass of its options."""

    kind: ClassVar[str]
    seed: int
    balanced: bool
    threads: int
    classes_: NDArray[np.integer]

    def fit(
        self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train.

        Args:
            X: (sample, feature) finite or NaN; used as float32.
            y: (sample,) class.
            groups: (sample,) polygon, block or region that it lies in. With groups a temperature is fitted, on
                predictions of groups that were held out (:func:`held_out`); this takes twice as long again.
            sample_weight: (sample,) how much each sample counts.

        Raises:
            InputError: arrays that do not fit each other, a single class, values that are infinite.
        """
        samples, self.classes_ = _checked(X, y, sample_weight)
        self.n_features_in_ = samples.values.shape[1]
        self.shares_ = np.bincount(samples.index, samples.weight, samples.classes) / len(samples.index)
        self.trained_shares_ = np.full(samples.classes, 1 / samples.classes) if self.balanced else self.shares_
        self.temperature_ = 1.0
        if groups is not None:
            held = held_out(self, X, y, groups, sample_weight=sample_weight)
            self.temperature_ = fit_temperature(held, samples.index, self._ratio())
        if self.balanced:
            weight = samples.weight / (self.shares_ * samples.classes)[samples.index]
            samples = Lessons(samples.values, samples.index, weight / weight.mean(), samples.classes)
        try:
            self.weights_: bytes = self._train(samples)
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, GroundshiftError):
                raise
            raise UsageError(f"{self.kind} cannot be trained with its options {self.get_params()}: {error}") from error
        self._weights: Weights | None = None
        return self

    def predict_proba(self, X: ArrayLike) -> Float32:
        """Say how probable each class is, for the shares of the classes in training: (sample, class) float32.

        Raises:
            InputError: another number of features than in training.
        """
        found = self.raw_probabilities(np.asarray(X, np.float32))
        return tempered(found, self.temperature_, self._ratio()).astype(np.float32)

    def predict(self, X: ArrayLike) -> NDArray[np.integer]:
        """Return the most probable class of each sample."""
        found: NDArray[np.integer] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return found

    def raw_probabilities(self, X: Float32) -> NDArray[np.floating]:
        """What the weights say, without temperature, for the shares of the classes trained with."""
        if X.ndim != 2 or X.shape[1] != self.n_features_in_:
            raise InputError(f"features of shape {X.shape}: expected (samples, {self.n_features_in_}).")
        if self._weights is None:
            self._weights = read_weights(self.kind, self.weights_)
        return self._weights.probabilities(X, self.threads)

    def card(self, features: tuple[str, ...], names: tuple[str, ...], **more: Any) -> ModelCard:
        """Describe the trained classifier, for :class:`~groundshift.landcover.trained.Trained` and for storing it.

        Args:
            features: name of each feature.
            names: name of each class, in the order of ``classes_``, which must be codes from 1 to 254.
            more: further fields of the card: bands, chain, report, or the shares expected where it is used.
        """
        known: dict[str, Any] = {
            "temperature": float(self.temperature_),
            "trained_shares": tuple(map(float, self.trained_shares_)),
            "shares": tuple(map(float, self.shares_)),
        }
        codes = tuple(int(code) for code in self.classes_)
        return ModelCard(kind=self.kind, features=features, codes=codes, names=names, **(known | more))

    def _ratio(self) -> Float64 | None:
        return self.shares_ / self.trained_shares_ if self.balanced else None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_weights": None}

    @abstractmethod
    def _train(self, samples: Lessons) -> bytes:
        """Train, and return the stored form."""


def _checked(X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None) -> tuple[Lessons, NDArray[np.integer]]:
    values, labels = np.ascontiguousarray(X, np.float32), np.asarray(y)
    weight = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if values.ndim != 2 or labels.shape != (len(values),) or weight.shape != labels.shape or not values.size:
        raise InputError(
            f"features {values.shape}, classes {labels.shape}, weights {weight.shape}: expected (samples, features), "
            "and a class and a weight for every sample."
        )
    if np.isinf(values).any():
        raise InputError("some features are infinite: expected numbers, or NaN where there is none.")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise InputError(
            "some weights of samples are negative or not finite: expected numbers from 0, not all of them 0."
        )
    classes, index = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"samples of {len(classes)} class: expected at least two classes.")
    if not np.bincount(index, weight).all():
        raise InputError("all samples of a class have weight 0: expected a sample that counts in every class.")
    return Lessons(values, index, weight / weight.mean(), len(classes)), classes


def held_out(
    classifier: Classifier,
    X: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    folds: int = _FOLDS,
    sample_weight: ArrayLike | None = None,
) -> Float64:
    """Predict every sample by a classifier that saw no sample of its group.

    Args:
        classifier: gives kind and options; is not trained itself.
        X: (sample, feature).
        y: (sample,) class.
        groups: (sample,) a fold holds whole groups.
        folds: parts that the groups are dealt into.
        sample_weight: (sample,).

    Returns:
        (sample, class) without temperature, for the shares that the classifier was trained with; a class that was not
        there in training has probability 0.

    Raises:
        InputError: fewer groups than two.
    """
    from sklearn.model_selection import GroupKFold

    values, labels = np.asarray(X, np.float32), np.asarray(y)
    number = len(np.unique(np.asarray(groups)))
    if number < 2:
        raise InputError("all samples lie in one group: predictions of groups that are held out need at least two.")
    classes = np.unique(labels)
    out = np.zeros((len(labels), len(classes)))
    weight = None if sample_weight is None else np.asarray(sample_weight)
    for train, test in GroupKFold(min(folds, number)).split(values, labels, groups):
        one = clone(classifier)
        one.fit(values[train], labels[train], sample_weight=None if weight is None else weight[train])
        out[np.ix_(test, np.searchsorted(classes, one.classes_))] = one.raw_probabilities(values[test])
    return out


def _medians(values: Float32) -> Float32:
    """Median of each feature where it is there, 0 where it never is."""
    known = ~np.isnan(values).all(axis=0)
    medians = np.zeros(values.shape[1], np.float32)
    medians[known] = np.nanmedian(values[:, known], axis=0)
    return medians


def _scaling(values: Float32, medians: Float32) -> tuple[dict[str, Float32], Float32]:
    """What standardises features, and the features standardised; one that never varies becomes 0."""
    filled = np.where(np.isnan(values), medians, values)
    centre = filled.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = filled.std(axis=0, dtype=np.float64)
    varies = spread > 1e-6 * np.abs(centre)
    inverse = np.where(varies, 1 / np.where(varies, spread, 1), 0).astype(np.float32)
    return {"medians": medians, "centre": centre, "inverse": inverse}, (filled - centre) * inverse


@dataclass
class LightGbm(Classifier):
    """Gradient boosted trees (G. Ke et al. 2017), predicted by our own kernels with the same result."""

    iterations: int = 100
    """Trees for every class: LightGBM's default. With regions left out 200 were no better on the tables of
    ``benchmarks/landcover_tables.py``, surer of their mistakes, and take twice the time."""
    leaves: int = 31
    """Of a tree: LightGBM's default. Up to 64 they are predicted the fast way."""
    learning_rate: float = 0.1
    """LightGBM's default."""
    seed: int = 0
    balanced: bool = True
    """Every class counts the same in training; its share comes back in the probabilities."""
    threads: int = 1

    kind: ClassVar[str] = "lightgbm"

    def _train(self, samples: Lessons) -> bytes:
        import lightgbm

        options = {
            "objective": "multiclass" if samples.classes > 2 else "binary",
            "num_class": samples.classes if samples.classes > 2 else 1,
            "num_leaves": self.leaves,
            "learning_rate": self.learning_rate,
            "seed": self.seed,
            "num_threads": self.threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }
        data = lightgbm.Dataset(samples.values, samples.index, weight=samples.weight, params={"verbose": -1})
        text: str = lightgbm.train(options, data, self.iterations).model_to_string()
        return text.replace(f"[num_threads: {self.threads}]", "[num_threads: 0]").encode()


@dataclass
class RandomForest(Classifier):
    """Random forest (L. Breiman 2001) of scikit-learn; trees, leaf size and depth as iota2 has them."""

    trees: int = 100
    min_leaf: int = 5
    """Lessons of a leaf, at least."""
    depth: int = 25
    seed: int = 0
    balanced: bool = True
    threads: int = 1

    kind: ClassVar[str] = "rf"

    def _train(self, samples: Lessons) -> bytes:
        from sklearn.ensemble import RandomForestClassifier

        from groundshift.landcover.forest import write_forest

        medians = _medians(samples.values)
        forest = RandomForestClassifier(
            self.trees,
            min_samples_leaf=self.min_leaf,
            max_depth=self.depth,
            random_state=self.seed,
            n_jobs=self.threads,
        )
        forest.fit(np.where(np.isnan(samples.values), medians, samples.values), samples.index, samples.weight)
        return write_forest(forest, medians, forest.classes_, samples.classes)


@dataclass
class NearestNeighbours(Classifier):
    """Votes of the nearest training samples, in standardised features."""

    neighbours: int = 5
    most: int = 20_000
    """Training samples that are kept, at most, drawn at random: each is compared with every pixel."""
    seed: int = 0
    balanced: bool = True
    threads: int = 1

    kind: ClassVar[str] = "knn"

    def _train(self, samples: Lessons) -> bytes:
        from groundshift.landcover.graphs import neighbours

        kept = np.arange(len(samples.index))
        if len(kept) > self.most:
            kept = np.sort(np.random.default_rng(self.seed).choice(kept, self.most, replace=False))
        scaling, scaled = _scaling(samples.values, _medians(samples.values))
        votes = np.zeros((len(kept), samples.classes), np.float32)
        votes[np.arange(len(kept)), samples.index[kept]] = np.maximum(samples.weight[kept], 1e-6)
        return neighbours(scaling, scaled[kept], votes, min(self.neighbours, len(kept)))


@dataclass
class Perceptron(Classifier):
    """Two hidden layers of 128 and 64, in standardised features; Adam, stopped when a tenth held out gets no better."""

    epochs: int = 100
    """At most."""
    seed: int = 0
    balanced: bool = True
    threads: int = 1

    kind: ClassVar[str] = "mlp"

    def _train(self, samples: Lessons) -> bytes:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier
        from threadpoolctl import threadpool_limits

        from groundshift.landcover.graphs import layers

        scaling, scaled = _scaling(samples.values, _medians(samples.values))
        net = MLPClassifier(
            (128, 64),
            batch_size=min(max(len(scaled) // _BATCHES, 32), 256, max(len(scaled) // 2, 1)),
            max_iter=self.epochs,
            early_stopping=bool(np.bincount(samples.index).min() >= _STOPPING),
            random_state=self.seed,
        )
        # More threads would make other sums, and gain nothing on matrices of this size.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            net.fit(scaled, samples.index, sample_weight=samples.weight)
        weights, biases = list(net.coefs_), list(net.intercepts_)
        if samples.classes == 2:  # one score, of the second class
            weights[-1] = np.concatenate([np.zeros_like(weights[-1]), weights[-1]], axis=1)
            biases[-1] = np.concatenate([np.zeros_like(biases[-1]), biases[-1]])
        return layers(scaling, weights, biases)


@dataclass
class TempCnn(Classifier):
    """Convolutions over time (C. Pelletier et al. 2019); trained with the extra ``train``, run without it."""

    steps: int = 1
    """Dates of a series; the features are (band, step), one band after the other."""
    epochs: int = 20
    seed: int = 0
    balanced: bool = True
    threads: int = 1

    kind: ClassVar[str] = "tempcnn"

    def _train(self, samples: Lessons) -> bytes:
        features = samples.values.shape[1]
        if self.steps < 2 or features % self.steps:
            raise InputError(
                f"{features} features are no series of {self.steps} steps: expected steps x bands of them."
            )
        check_trainable(self.kind)
        from groundshift.nets import tempcnn_torch

        medians = _medians(samples.values)
        return tempcnn_torch.train(
            np.where(np.isnan(samples.values), medians, samples.values).reshape(-1, features // self.steps, self.steps),
            samples.index,
            samples.weight,
            tempcnn_torch.Training(samples.classes, self.epochs, self.seed, self.threads, medians),
        )


CLASSIFIERS: dict[str, type[Classifier]] = {
    one.kind: one for one in (LightGbm, RandomForest, NearestNeighbours, Perceptron, TempCnn)
}

DEFAULT = "auto"
"""That one of :data:`CANDIDATES` that does best on the parts that samples are dealt into."""
CANDIDATES = ("mlp", "rf", "knn")
"""Of the default: on many samples of many places a network is mostly the best, on a few polygons a forest, on rare
classes neighbours; all are soon trained. A map by neighbours takes long where there are many (:func:`soon`)."""


def classifier(kind: str, **options: Any) -> Classifier:
    """Return a classifier by name, not yet trained.

    Args:
        kind: lightgbm, rf, knn, mlp or tempcnn.
        options: of it; its defaults for all others.

    Raises:
        UsageError: there is none of that name, or it has no such option.
    """
    if kind not in CLASSIFIERS:
        raise UsageError(f"there is no classifier {kind!r}: expected one of {', '.join(CLASSIFIERS)}.")
    known = CLASSIFIERS[kind]().get_params()
    unknown = [name for name in options if name not in known]
    if unknown:
        raise UsageError(f"{kind} has no option {', '.join(unknown)}: expected some of {', '.join(known)}.")
    return CLASSIFIERS[kind](**options)


def candidates(kind: str, **options: Any) -> tuple[Classifier, ...]:
    """Return the classifiers that a name stands for, not yet trained: :data:`CANDIDATES` for ``auto``, else one.

    Raises:
        UsageError: there is none of that name, or none of them has such an option.
    """
    if kind != DEFAULT:
        return (classifier(kind, **options),)
    known = {each: CLASSIFIERS[each]().get_params() for each in CANDIDATES}
    unknown = [name for name in options if not any(name in params for params in known.values())]
    if unknown:
        told = "; ".join(f"{each}: {', '.join(params)}" for each, params in known.items())
        raise UsageError(f"{kind} has no option {', '.join(unknown)}: expected some of {told}.")
    return tuple(
        classifier(each, **{name: value for name, value in options.items() if name in params})
        for each, params in known.items()
    )


def soon(one: Classifier, samples: int, features: int) -> bool:
    """Whether a classifier that learnt from so many samples maps pixels about as fast as LightGBM does itself."""
    return not isinstance(one, NearestNeighbours) or min(samples, one.most) * features <= _COMPARED


def check_trainable(kind: str) -> None:
    """Raise UsageError where what training a classifier needs is not installed."""
    if kind == "tempcnn" and importlib.util.find_spec("torch") is None:
        raise UsageError("training tempcnn needs torch: install groundshift[train], or choose mlp.")
