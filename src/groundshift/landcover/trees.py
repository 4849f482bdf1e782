"""Ensembles of decision trees as flat arrays: LightGBM's text models and random forests, predicted by compiled kernels.

Equal to the libraries that trained them: features are float32, thresholds double, and for a float32 value x the
comparison ``x <= threshold`` is the same as with the threshold rounded down to float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, ProductError
from groundshift.landcover import trees_kernels as kernels

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]

_BITS: dict[int, tuple[type[np.unsignedinteger], int, int]] = {
    32: (np.uint32, 0x077CB531, 27),
    64: (np.uint64, 0x03F79D71B4CB0A89, 58),
}
"""Width of a bit vector: its type, the sequence of de Bruijn of that width, and the shift to its index."""
RIGHT = np.inf
"""Stands in for a missing value that goes right, above any threshold; -inf: left."""


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree as it was trained: node i has the children left[i] and right[i]; below zero, ``~child`` is a leaf."""

    feature: Int32
    threshold: Float64
    left: Int32
    right: Int32
    missing: Float32
    """What stands in for a missing value at a node."""
    zero_missing: NDArray[np.bool_]
    """Whether 0 counts as missing there."""
    leaf: Float64
    """(leaf, width): value of a leaf; width 1, or one for every class."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trees that are ready to be evaluated."""

    features: int
    outputs: int
    columns: tuple[Int32, Float32, NDArray[np.bool_]]
    """Feature, what stands in for its missing values, and whether 0 is missing: of each column of a block."""
    bits: tuple[Any, ...] | None
    """Small trees: what :func:`~groundshift.landcover.trees_kernels.by_bits` takes."""
    nodes: tuple[Any, ...] | None
    """Larger ones: what :func:`~groundshift.landcover.trees_kernels.by_levels` takes."""

    def sums(self, values: Float32, threads: int = 1) -> Float64:
        """Add up the leaves that samples fall into.

        Args:
            values: (sample, feature) float32, NaN = missing; in either order, that of an image (feature, sample) too.
            threads: that share the samples; changes no bit.

        Returns:
            (sample, output) float64.

        Raises:
            InputError: another number of features, or values that are not float32.

        Law: cutting the samples into parts changes no bit.
        """
        if values.ndim != 2 or values.shape[1] != self.features or values.dtype != np.float32:
            raise InputError(
                f"features of shape {values.shape}, {values.dtype}: expected (samples, {self.features}) float32."
            )
        if not values.flags.forc:
            values = np.ascontiguousarray(values)
        out = np.zeros((len(values), self.outputs))
        step = max(-(-len(values) // threads), kernels.ROWS)
        parts = [(start, min(start + step, len(values))) for start in range(0, len(values), step)]
        if len(parts) > 1:
            with ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(lambda rows: self._add(values, rows, out), parts))
        elif parts:
            self._add(values, parts[0], out)
        return out

    def _add(self, values: Float32, rows: tuple[int, int], out: Float64) -> None:
        if self.bits is not None:
            kernels.by_bits(values, rows, self.columns, *self.bits, out)
        if self.nodes is not None:
            kernels.by_levels(values, rows, self.columns, *self.nodes, out)


def ensemble(trees: Sequence[Tree], features: int, outputs: int) -> Ensemble:
    """Make trees ready to be evaluated.

    Args:
        trees: of which tree t counts to output t modulo ``outputs``, or whose leaves hold a value for each output.
        features: that a sample has.
        outputs: sums that a sample gets.

    Raises:
        ProductError: something is no tree, or asks for features that there are not.
    """
    for number, tree in enumerate(trees):
        _check(tree, number, features)
    columns, column = _columns(trees)
    widest = max((len(tree.leaf) for tree in trees), default=1)
    width = trees[0].leaf.shape[1] if trees else 1
    if widest <= 64 and width == 1:
        return Ensemble(features, outputs, columns, _bits(trees, column, 32 if widest <= 32 else 64), None)
    return Ensemble(features, outputs, columns, None, _nodes(trees, column))


def _check(tree: Tree, number: int, features: int) -> None:
    """What the kernels rely on: every node but the first, and every leaf, is the child of one node."""
    inner, leaves = len(tree.feature), len(tree.leaf)
    lengths = {len(each) for each in (tree.threshold, tree.left, tree.right, tree.missing, tree.zero_missing)}
    children = np.sort(np.concatenate([tree.left, tree.right]))
    expected = np.concatenate([np.arange(-leaves, 0), np.arange(1, inner)]) if inner else children
    if (
        lengths != {inner}
        or leaves != inner + 1
        or not np.array_equal(children, expected)
        or (inner and not 0 <= tree.feature.min() <= tree.feature.max() < features)
    ):
        raise ProductError(f"tree {number} of the model does not hang together; copy or train it again.")


def _columns(trees: Sequence[Tree]) -> tuple[tuple[Int32, Float32, NDArray[np.bool_]], list[Int32]]:
    """The columns that nodes look at, and which of them each node does."""
    parts = [np.array([[0, -np.inf, 0]])]  # sorted first: column 0, which is never NaN
    parts += [np.stack([tree.feature, tree.missing, tree.zero_missing], axis=1).astype(np.float64) for tree in trees]
    found, index = np.unique(np.concatenate(parts), axis=0, return_inverse=True)
    instead = np.where(found[:, 1] == RIGHT, np.nan, found[:, 1]).astype(np.float32)
    ends = np.cumsum([1, *(len(tree.feature) for tree in trees)])
    columns = found[:, 0].astype(np.int32), instead, found[:, 2].astype(bool)
    return columns, np.split(index.astype(np.int32), ends)[1:-1]


def rounded_down(threshold: Float64) -> Float32:
    """The largest float32 that is not above the threshold: ``x <= threshold`` is the same for every float32 x."""
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def _bits(trees: Sequence[Tree], column: Sequence[Int32], width: int) -> tuple[Any, ...]:
    """Flat arrays of trees of at most ``width`` leaves."""
    kind, sequence, shift = _BITS[width]
    every = (1 << width) - 1
    counts = [-(-len(tree.feature) // kernels.UNROLLED) * kernels.UNROLLED for tree in trees]
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    columns = np.zeros(first[-1], np.int32)
    thresholds = np.full(first[-1], np.inf, np.float32)
    kept = np.full(first[-1], every, kind)
    leaf = np.zeros((len(trees), width))
    for t, tree in enumerate(trees):
        own = slice(first[t], first[t] + len(tree.feature))
        columns[own], thresholds[own] = column[t], rounded_down(tree.threshold)
        order, spans = _from_left_to_right(tree)
        kept[own] = [every & ~(((1 << (end - begin)) - 1) << begin) for begin, end in spans]
        for place, index in enumerate(order):
            leaf[t, ((1 << place) * sequence & every) >> shift] = tree.leaf[index, 0]
    return first, columns, thresholds, kept, leaf, kind(sequence), shift


def _from_left_to_right(tree: Tree) -> tuple[list[int], list[tuple[int, int]]]:
    """Leaves from left to right, and for each node the places that lie in its left branch: from, and up to before."""
    order: list[int] = []
    spans = [(0, 0)] * len(tree.feature)
    # A node is met before its left branch, and again after it.
    waiting: list[tuple[int, int | None]] = [(0 if len(tree.feature) else ~0, None)]
    while waiting:
        node, begin = waiting.pop()
        if node < 0:
            order.append(~node)
        elif begin is None:
            waiting += [(int(tree.right[node]), None), (node, len(order)), (int(tree.left[node]), None)]
        else:
            spans[node] = (begin, len(order))
    return order, spans


def _nodes(trees: Sequence[Tree], column: Sequence[Int32]) -> tuple[Any, ...]:
    """Flat arrays of trees of any size, children side by side."""
    parts, start = [], 0
    for tree, own in zip(trees, column, strict=True):
        part = _side_by_side(tree, own, start)
        parts.append(part)
        start += len(part[0])
    root = np.cumsum([0, *(len(part[0]) for part in parts)])[:-1].astype(np.int32)
    columns, thresholds, left, leaf = (np.concatenate(field) for field in zip(*parts, strict=True))
    return root, columns, thresholds, left, leaf


def _side_by_side(tree: Tree, column: Int32, start: int) -> tuple[Int32, Float32, Int32, Float64]:
    """Column, threshold, left child and value of the nodes of a tree, its leaves among them, breadth first."""
    inner, leaves = len(tree.feature), len(tree.leaf)
    total = inner + leaves
    place = np.zeros(total, np.int32)  # of nodes, then of leaves
    level = np.array([0 if inner else inner])
    left = np.arange(start, start + total, dtype=np.int32)
    used = 1
    while len(level):
        level = level[level < inner]
        children = np.stack([tree.left[level], tree.right[level]], axis=1).ravel()
        children = np.where(children < 0, inner + ~children, children)
        place[children] = used + np.arange(len(children))
        left[place[level]] = start + used + 2 * np.arange(len(level))
        used += len(children)
        level = children
    columns, thresholds = np.zeros(total, np.int32), np.full(total, np.inf, np.float32)
    columns[place[:inner]], thresholds[place[:inner]] = column, rounded_down(tree.threshold)
    leaf = np.zeros((total, tree.leaf.shape[1]))
    leaf[place[inner:]] = tree.leaf
    return columns, thresholds, left, leaf


@dataclass(frozen=True, eq=False)
class LightGbmTrees:
    """A classifier of LightGBM, read from its text."""

    trees: Ensemble
    feature_names: tuple[str, ...]
    classes: int
    sigmoid: float

    @property
    def features(self) -> int:
        """Of a sample."""
        return self.trees.features

    def probabilities(self, values: Float32, threads: int = 1) -> Float64:
        """Return probabilities (sample, class) of features (sample, feature) float32, NaN = missing."""
        sums = self.trees.sums(values, threads)
        if self.trees.outputs == 1:
            positive = 1 / (1 + np.exp(-self.sigmoid * sums))
            return np.concatenate([1 - positive, positive], axis=1)
        sums -= sums.max(axis=1, keepdims=True)
        np.exp(sums, out=sums)
        sums /= sums.sum(axis=1, keepdims=True)
        return sums


def read_lightgbm(text: str) -> LightGbmTrees:
    """Read the text that LightGBM saves of a classifier.

    Raises:
        ProductError: not such a text, or one with categorical splits, linear leaves or another objective.
    """
    head, *sections = text.split("\nTree=")
    facts = _facts(head)
    try:
        outputs = int(facts["num_tree_per_iteration"])
        objective = facts["objective"].split()
        names = tuple(facts["feature_names"].split())
        features = int(facts["max_feature_idx"]) + 1
        trees = [_tree(_facts(section.split("\nend of trees")[0])) for section in sections]
    except (KeyError, ValueError) as error:
        raise ProductError(f"not a LightGBM model that can be read ({error}); save it again.") from error
    kinds = {"multiclass": outputs, "binary": 2}
    if not objective or objective[0] not in kinds or "average_output" in head.splitlines():
        raise ProductError(
            f"a LightGBM model for {' '.join(objective) or 'nothing'}: expected multiclass or binary, boosted."
        )
    if len(trees) % outputs or len(names) != features:
        raise ProductError(f"a LightGBM model of {len(trees)} trees for {outputs} outputs is not complete.")
    sigmoid = next((float(word[8:]) for word in objective if word.startswith("sigmoid:")), 1.0)
    return LightGbmTrees(ensemble(trees, features, outputs), names, kinds[objective[0]], sigmoid)


def _facts(section: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in section.splitlines() if "=" in line)


def _tree(facts: Mapping[str, str]) -> Tree:
    if int(facts["num_cat"]) or int(facts.get("is_linear", "0")):
        raise ProductError(
            "a LightGBM model with categorical splits or linear leaves: train it on numbers, with plain leaves."
        )
    leaf = np.array(facts["leaf_value"].split(), np.float64)[:, np.newaxis]
    if int(facts["num_leaves"]) == 1:
        nothing = np.zeros(0, np.int32)
        return Tree(nothing, np.zeros(0), nothing, nothing, np.zeros(0, np.float32), np.zeros(0, bool), leaf)
    decision = np.array(facts["decision_type"].split(), np.int32)
    threshold = np.array(facts["threshold"].split(), np.float64)
    # Missing values: 0 there are none and NaN counts as 0, 1 zero and NaN, 2 NaN.
    default_left, missing = (decision & 2) > 0, (decision >> 2) & 3
    aside = np.where(default_left, -np.inf, RIGHT)
    return Tree(
        feature=np.array(facts["split_feature"].split(), np.int32),
        threshold=threshold,
        left=np.array(facts["left_child"].split(), np.int32),
        right=np.array(facts["right_child"].split(), np.int32),
        missing=np.where(missing > 0, aside, 0.0).astype(np.float32),
        zero_missing=missing == 1,
        leaf=leaf,
    )
