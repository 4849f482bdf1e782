"""Trained classifiers as they run: boosted trees and forests by compiled kernels, networks and neighbours by ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, ProductError
from groundshift.landcover.trees import read_lightgbm
from groundshift.model.classifier import ModelCard
from groundshift.numerics.probabilities import tempered

Float32 = NDArray[np.float32]

ROWS = 1 << 14
"""Samples that go through a network at once, at most."""
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
"""Of operators that ONNX Runtime has itself."""
_VALUES = 1 << 23
"""Values, at most, that those samples take where each is compared with all others of a training set: 32 MB."""


class Weights(Protocol):
    """What the weights of a model say of samples."""

    @property
    def features(self) -> int:
        """Of a sample."""

    @property
    def classes(self) -> int:
        """Of a probability vector."""

    def probabilities(self, values: Float32, threads: int = 1) -> NDArray[np.floating]:
        """Return (sample, class) of features (sample, feature) float32, NaN = missing."""


class _Network:
    """An ONNX graph from ``features`` (sample, feature) to ``probabilities`` (sample, class)."""

    def __init__(self, content: bytes) -> None:
        from groundshift.nets.runtime import opened

        _check_graph(content)
        self._content = content
        self._sessions: dict[int, Any] = {1: opened(content, "the weights")}
        inputs, outputs = self._sessions[1].get_inputs(), self._sessions[1].get_outputs()
        if [each.name for each in (*inputs, *outputs)] != ["features", "probabilities"]:
            raise ProductError("the weights are not a network from features to probabilities; train the model again.")
        facts = self._sessions[1].get_modelmeta().custom_metadata_map
        try:
            (_, self.features), (_, self.classes) = (map(int, (0, *each.shape[1:])) for each in (inputs[0], outputs[0]))
            self._rows = min(ROWS, max(_VALUES // int(facts.get("values_per_sample", "1")), 1))
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise ProductError(
                f"the weights take {inputs[0].shape} and give {outputs[0].shape}: expected (samples, features) and "
                "(samples, classes), both with a number; train the model again."
            ) from error

    def probabilities(self, values: Float32, threads: int = 1) -> Float32:
        from groundshift.nets.runtime import opened

        if threads not in self._sessions:
            self._sessions[threads] = opened(self._content, "the weights", threads)
        out = np.empty((len(values), self.classes), np.float32)
        for start in range(0, len(values), self._rows):
            rows = slice(start, start + self._rows)
            out[rows] = self._sessions[threads].run(None, {"features": np.ascontiguousarray(values[rows])})[0]
        return out


def _check_graph(content: bytes) -> None:
    """A network names no other file, and nothing that only a program of somebody else could run.

    Raises:
        ProductError: it does, or it is no ONNX.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # of protobuf, which is not ours
        raise ProductError("the weights are no ONNX network: train the model again.") from error
    foreign = {each.domain for each in model.opset_import} - _DOMAINS
    if foreign:
        raise ProductError(f"the weights need operators of {', '.join(sorted(foreign))}, which are never loaded.")
    if any(_outside(graph) for graph in (model.graph, *model.functions)):
        raise ProductError("the weights name data in another file, which is never read: expected one file.")


def _outside(graph: Any) -> bool:
    """A tensor of a graph, or of the graphs in its nodes, lies in another file."""
    tensors = [*getattr(graph, "initializer", ()), *(each.values for each in getattr(graph, "sparse_initializer", ()))]
    inner: list[Any] = []
    for attribute in (each for node in graph.node for each in node.attribute):
        tensors += [attribute.t, *attribute.tensors]
        inner += [*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs]
    return any(each.data_location == each.EXTERNAL or each.external_data for each in tensors) or any(
        map(_outside, inner)
    )


def read_weights(kind: str, content: bytes) -> Weights:
    """Make the weights of a model ready to run.

    Args:
        kind: name of the classifier.
        content: of its file: LightGBM's text for ``lightgbm``, ONNX for all others.

    Raises:
        ProductError: they cannot be read.
    """
    if kind == "lightgbm":
        try:
            return read_lightgbm(content.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ProductError(f"the weights are not a LightGBM model ({error}); train the model again.") from error
    if kind == "rf":
        from groundshift.landcover.forest import read_forest

        return read_forest(content)
    return _Network(content)


class Trained:
    """A trained classifier: a card and its weights."""

    def __init__(self, card: ModelCard, content: bytes) -> None:
        """Make it ready to run.

        Raises:
            ProductError: weights that cannot be read, or that are of another number of features or classes.
        """
        self.card = card
        self._weights = read_weights(card.kind, content)
        found = self._weights.features, self._weights.classes
        if found != (len(card.features), len(card.codes)):
            raise ProductError(
                f"the weights are for {found[0]} features and {found[1]} classes, the card names "
                f"{len(card.features)} and {len(card.codes)}; train the model again."
            )

    def predict_proba(self, X: Float32, names: Sequence[str] | None = None, threads: int = 1) -> Float32:
        """Say how probable each class is.

        Args:
            X: (sample, feature), NaN = missing.
            names: of its features, in any order; None: they are those of the card, in its order.
            threads: to use; changes nothing else.

        Returns:
            (sample, class) float32, adding up to 1.

        Raises:
            InputError: features of other names, or another number of them.
            ProductError: what comes out is no number.
        """
        X = np.asarray(X, np.float32)
        expected = len(self.card.features if names is None else names)
        if X.ndim != 2 or X.shape[1] != expected:
            raise InputError(f"features of shape {X.shape}: expected (samples, {expected}).")
        if names is not None and tuple(names) != self.card.features:
            X = X[:, self.card.order(names)]
        found = self._weights.probabilities(X, threads)
        if not np.isfinite(found).all():
            raise ProductError("the weights answer with what is no number: train the model again.")
        if self.card.temperature != 1 or self.card.ratio is not None:
            found = tempered(found, self.card.temperature, self.card.ratio)
        return found.astype(np.float32, copy=False)

    def predict(self, X: Float32, names: Sequence[str] | None = None, threads: int = 1) -> NDArray[np.uint8]:
        """Return the code of the most probable class of each sample; arguments of :meth:`predict_proba`."""
        best = self.predict_proba(X, names, threads).argmax(axis=1)
        codes: NDArray[np.uint8] = np.array(self.card.codes, np.uint8)[best]
        return codes
