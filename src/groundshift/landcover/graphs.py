"""Classifiers as ONNX graphs: from ``features`` (sample, feature), NaN = missing, to ``probabilities`` (sample, class).

Every graph begins by putting the medians of training in place of missing values, and so stands for itself: whoever runs
it needs nothing else. Opset 17, float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Float32 = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]

_OPSETS = (helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3))
_IR = 8
MEDIANS = "medians"
"""Name of the array of what stands in for missing values."""


def _filled(result: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", MEDIANS, "features"], [result]),
    ]


def _standardised(result: str) -> list[onnx.NodeProto]:
    return [
        *_filled("filled"),
        helper.make_node("Sub", ["filled", "centre"], ["centred"]),
        helper.make_node("Mul", ["centred", "inverse"], [result]),
    ]


def _model(
    nodes: Sequence[onnx.NodeProto], arrays: Arrays, features: int, classes: int, facts: Mapping[str, str] | None = None
) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "classifier",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["samples", features])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["samples", classes])],
        [numpy_helper.from_array(np.ascontiguousarray(values), name) for name, values in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=_OPSETS, ir_version=_IR, producer_name="groundshift")
    helper.set_model_props(model, dict(facts or {}))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def layers(scaling: Arrays, weights: Sequence[Float32], biases: Sequence[Float32]) -> bytes:
    """Dense layers with rectifiers between them and a softmax at the end.

    Args:
        scaling: medians, centre and inverse (of the standard deviation) of the features, each (feature,) float32.
        weights: (input, output) of each layer.
        biases: (output,) of each layer.
    """
    nodes, arrays = _standardised("layer0"), dict(scaling)
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        arrays |= {f"weight{i}": weight.astype(np.float32), f"bias{i}": bias.astype(np.float32)}
        nodes.append(helper.make_node("Gemm", [f"layer{i}", f"weight{i}", f"bias{i}"], [f"sum{i}"]))
        nodes.append(helper.make_node("Relu", [f"sum{i}"], [f"layer{i + 1}"]))
    nodes[-1] = helper.make_node("Softmax", [f"sum{len(weights) - 1}"], ["probabilities"], axis=1)
    return _model(nodes, arrays, len(weights[0]), len(biases[-1]))


def neighbours(scaling: Arrays, known: Float32, votes: Float32, count: int) -> bytes:
    """Votes of the nearest known samples, in standardised features, and one vote for all classes alike.

    Without that one, a class that no neighbour votes for would be impossible.

    Args:
        scaling: as of :func:`layers`.
        known: (known sample, feature) standardised.
        votes: (known sample, class) what each says.
        count: neighbours that vote.
    """
    arrays = {
        **scaling,
        "known": np.float32(-2) * known.T,
        "lengths": (known.astype(np.float64) ** 2).sum(axis=1).astype(np.float32),
        "votes": votes.astype(np.float32),
        "count": np.array([count], np.int64),
        "over": np.array([1], np.int64),
        "alike": np.full(votes.shape[1], 1 / votes.shape[1], np.float32),
    }
    # The length of the sample itself is the same for all its neighbours: left out.
    nodes = [
        *_standardised("scaled"),
        helper.make_node("Gemm", ["scaled", "known", "lengths"], ["distances"]),
        helper.make_node("TopK", ["distances", "count"], ["nearest", "index"], axis=1, largest=0, sorted=0),
        helper.make_node("Gather", ["votes", "index"], ["said"], axis=0),
        helper.make_node("ReduceSum", ["said", "over"], ["counted"], keepdims=0),
        helper.make_node("Add", ["counted", "alike"], ["heard"]),
        helper.make_node("ReduceSum", ["heard", "over"], ["all"], keepdims=1),
        helper.make_node("Div", ["heard", "all"], ["probabilities"]),
    ]
    return _model(nodes, arrays, known.shape[1], votes.shape[1], {"values_per_sample": str(len(known))})


def forest(medians: Float32, trees: Mapping[str, list[Any]], classes: int) -> bytes:
    """A forest whose trees each add to the probabilities of the classes.

    Args:
        medians: (feature,) what stands in for missing values.
        trees: attributes of ONNX's TreeEnsembleClassifier, apart from its classes.
        classes: number of them.
    """
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["filled"],
        ["class", "probabilities"],
        domain="ai.onnx.ml",
        classlabels_int64s=list(range(classes)),
        post_transform="NONE",
        **trees,
    )
    return _model([*_filled("filled"), node], {MEDIANS: medians}, len(medians), classes)
