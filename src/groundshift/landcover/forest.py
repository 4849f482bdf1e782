"""Random forests: from scikit-learn to ONNX, and from ONNX to the compiled kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import ProductError
from groundshift.landcover import graphs
from groundshift.landcover.trees import Ensemble, Tree, ensemble, rounded_down

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Forest:
    """A random forest that is ready to run."""

    trees: Ensemble

    @property
    def features(self) -> int:
        """Of a sample."""
        return self.trees.features

    @property
    def classes(self) -> int:
        """Of a probability vector."""
        return self.trees.outputs

    def probabilities(self, values: Float32, threads: int = 1) -> NDArray[np.float64]:
        """Return probabilities (sample, class) of features (sample, feature) float32, NaN = missing."""
        found = self.trees.sums(values, threads)
        found /= found.sum(axis=1, keepdims=True)
        return found


def write_forest(forest: Any, medians: Float32, columns: NDArray[np.intp], classes: int) -> bytes:
    """Write a random forest of scikit-learn as ONNX.

    Args:
        forest: a trained RandomForestClassifier.
        medians: (feature,) what stands in for missing values.
        columns: class of the model that each class of the forest is.
        classes: number of classes of the model.
    """
    parts = [_attributes(number, one.tree_, columns, len(forest.estimators_)) for number, one in enumerate(forest)]
    trees = {name: [value for part in parts for value in part[name]] for name in parts[0]}
    return graphs.forest(medians, trees, classes)


def _attributes(number: int, tree: Any, columns: NDArray[np.intp], trees: int) -> dict[str, list[Any]]:
    nodes, leaf = np.arange(tree.node_count), tree.children_left < 0
    shares = tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True) / trees
    at, column = np.nonzero((shares > 0) & leaf[:, np.newaxis])
    return {
        "nodes_treeids": [number] * len(nodes),
        "nodes_nodeids": nodes.tolist(),
        "nodes_featureids": np.where(leaf, 0, tree.feature).tolist(),
        "nodes_values": np.where(leaf, 0, rounded_down(tree.threshold)).astype(np.float32).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_truenodeids": np.where(leaf, 0, tree.children_left).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, tree.children_right).tolist(),
        "class_treeids": [number] * len(at),
        "class_nodeids": at.tolist(),
        "class_ids": columns[column].tolist(),
        "class_weights": shares[at, column].astype(np.float32).tolist(),
    }


def read_forest(content: bytes) -> Forest:
    """Read a forest that :func:`write_forest` wrote.

    Raises:
        ProductError: it is none.
    """
    import onnx
    from onnx import helper, numpy_helper

    try:
        graph = onnx.load_from_string(content).graph
        node = next(each for each in graph.node if each.op_type == "TreeEnsembleClassifier")
        medians = next(numpy_helper.to_array(each) for each in graph.initializer if each.name == graphs.MEDIANS)
        facts = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        trees = _trees({name: np.asarray(facts[name]) for name in facts if "_" in name}, medians, facts)
    except Exception as error:
        raise ProductError(
            f"the weights are not a forest that can be read ({error}); train the model again."
        ) from error
    return Forest(ensemble(trees, len(medians), len(facts["classlabels_int64s"])))


def _trees(arrays: dict[str, NDArray[Any]], medians: Float32, facts: dict[str, Any]) -> list[Tree]:
    classes = len(facts["classlabels_int64s"])
    number = arrays["nodes_treeids"]
    begins = np.searchsorted(number, np.arange(number[-1] + 2))
    class_begins = np.searchsorted(arrays["class_treeids"], np.arange(number[-1] + 2))
    is_leaf = arrays["nodes_modes"] == b"LEAF"
    trees = []
    for t in range(number[-1] + 1):
        own, said = slice(begins[t], begins[t + 1]), slice(class_begins[t], class_begins[t + 1])
        leaf = is_leaf[own]
        # Nodes and leaves are numbered apart from each other; a leaf is then ~number.
        place = np.where(leaf, ~(np.cumsum(leaf) - 1), np.cumsum(~leaf) - 1).astype(np.int32)
        feature = arrays["nodes_featureids"][own][~leaf].astype(np.int32)
        values = np.zeros((leaf.sum(), classes))
        at = ~place[arrays["class_nodeids"][said]]
        values[at, arrays["class_ids"][said]] = arrays["class_weights"][said]
        trees.append(
            Tree(
                feature=feature,
                threshold=arrays["nodes_values"][own][~leaf].astype(np.float64),
                left=place[arrays["nodes_truenodeids"][own][~leaf]],
                right=place[arrays["nodes_falsenodeids"][own][~leaf]],
                missing=medians[feature],
                zero_missing=np.zeros(len(feature), bool),
                leaf=values,
            )
        )
    return trees
