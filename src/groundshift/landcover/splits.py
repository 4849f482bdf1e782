"""Folds of samples for cross-validation: random, by group (polygon, block, region), and matched to the map's distances.

All follow the contract of scikit-learn (``split(X, y, groups)``, ``get_n_splits()``). What they estimate differs:

* **random** folds test a model beside its training samples, often in the same field: they flatter it, and stand here to
  show by how much;
* folds by **polygon** or by **block** test it where it has not been, some field or some kilometres away;
* **matched** folds (kNNDM) test it as far from its training samples as the pixels of the map are from all samples.

None of them replaces a probability sample of the finished map (Wadoux et al. 2021): they estimate how a model carries
over.

Laws: every sample is tested in exactly one fold; no group is divided; equal arguments make equal folds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from groundshift.errors import InputError, UsageError

Folds = NDArray[np.intp]
"""(n,) number of the fold that tests each sample."""

_MOST_LEAVES = 2000
"""Places that are clustered; more are first joined to so many, since linkage wants memory by the square."""
_CLUSTERINGS = 40
_LARGEST = 0.5
"""Share of all samples that one fold may hold; more only of two folds."""


@dataclass(frozen=True, kw_only=True)
class _Splitter:
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise UsageError(f"{self.folds} folds: expected at least 2.")

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """The number of folds."""
        return self.folds


@dataclass(frozen=True, kw_only=True)
class RandomFolds(_Splitter):
    """Samples dealt at random, each class evenly."""

    def split(self, X: Any, y: ArrayLike | None = None, groups: object = None) -> Iterator[tuple[Folds, Folds]]:
        """Yield (train, test) indices; ``groups`` are not looked at."""
        yield from _splits(deal(np.arange(len(X)), y, self.folds, self.seed), self.folds)


@dataclass(frozen=True, kw_only=True)
class GroupFolds(_Splitter):
    """Whole groups dealt so that each fold gets about as many samples of each class."""

    def split(
        self, X: Any, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[Folds, Folds]]:
        """Yield (train, test) indices.

        Raises:
            UsageError: no groups are given, or fewer than folds.
        """
        if groups is None:
            raise UsageError("folds by group need the group of each sample: its polygon, block or region.")
        yield from _splits(deal(np.asarray(groups), y, self.folds, self.seed), self.folds)


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchedFolds(_Splitter):
    """k-fold nearest neighbour distance matching as a splitter; see :func:`match`."""

    coordinates: NDArray[np.floating]
    """(n, d) of the samples, in metres of a projection or on a sphere in space."""
    prediction: NDArray[np.floating]
    """(m, d) of places drawn evenly from the area that is to be mapped."""

    def split(
        self, X: Any, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[Folds, Folds]]:
        """Yield (train, test) indices; groups, where given, are not divided."""
        if len(X) != len(self.coordinates):
            raise InputError(f"{len(X)} samples, but coordinates of {len(self.coordinates)}.")
        found = match(self.coordinates, self.prediction, self.folds, labels=y, groups=groups, seed=self.seed)
        yield from _splits(found.fold, self.folds)


@dataclass(frozen=True, kw_only=True, eq=False)
class Matching:
    """Folds whose distances resemble those of the map."""

    fold: Folds
    clusters: int
    """Clusters that the folds were made of; as many as there are units means random folds."""
    statistic: float
    """Wasserstein distance W between the two distributions of distances below, in the unit of the coordinates."""
    random_statistic: float
    """W of random folds."""
    test_distance: NDArray[np.float64]
    """(n,) from each sample to the nearest that its model was trained on."""
    prediction_distance: NDArray[np.float64]
    """(m,) from each place of the map to the nearest sample."""
    sample_distance: NDArray[np.float64]
    """(n,) from each sample to the nearest other one."""


def match(
    coordinates: NDArray[np.floating],
    prediction: NDArray[np.floating],
    folds: int = 5,
    *,
    labels: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Matching:
    """Find folds in which samples are as far from training as the map is from the samples.

    Samples are joined to clusters (Ward), from as many as there are samples down to one a fold; clusters are dealt to
    folds with classes balanced; and the number of clusters with the least W is taken, random folds among them.

    Args:
        coordinates: (n, d) of the samples.
        prediction: (m, d) of places drawn evenly from the area to be mapped.
        folds: their number.
        labels: (n,) class of each sample, for the balance.
        groups: (n,) groups that must not be divided, such as polygons; each is clustered by its mean place.
        seed: for everything that is drawn.

    Raises:
        UsageError: fewer units than folds.

    Source: Linnenbrink et al. 2024, Geosci. Model Dev. 17, 5897; they deal clusters along a principal component.
    """
    places, prediction = np.asarray(coordinates, np.float64), np.asarray(prediction, np.float64)
    if places.ndim != 2 or prediction.ndim != 2 or places.shape[1] != prediction.shape[1]:
        raise InputError("coordinates and prediction: expected (n, d) and (m, d).")
    unit = _numbered(np.arange(len(places)) if groups is None else np.asarray(groups))
    aim = scipy.spatial.cKDTree(places).query(prediction)[0]
    at_random = deal(unit, labels, folds, seed)
    best = at_random, int(unit.max()) + 1, scipy.stats.wasserstein_distance(nearest(places, at_random), aim)
    unclustered = best[2]
    for clusters, cluster in _clusterings(places, unit, folds, seed):
        fold = deal(cluster[unit], labels, folds, seed)
        if np.bincount(fold, minlength=folds).max() <= max(_LARGEST, 1.5 / folds) * len(fold):
            statistic = scipy.stats.wasserstein_distance(nearest(places, fold), aim)
            if statistic < best[2]:
                best = fold, clusters, statistic
    return Matching(
        fold=best[0],
        clusters=best[1],
        statistic=float(best[2]),
        random_statistic=float(unclustered),
        test_distance=nearest(places, best[0]),
        prediction_distance=aim,
        sample_distance=scipy.spatial.cKDTree(places).query(places, k=2)[0][:, 1],
    )


def _clusterings(
    coordinates: NDArray[np.float64], unit: Folds, folds: int, seed: int
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield (number of clusters, cluster of each unit), coarse to fine."""
    count = int(unit.max()) + 1
    sums = [np.bincount(unit, axis, count) for axis in coordinates.T]
    leaves, leaf = np.stack(sums, 1) / np.bincount(unit)[:, np.newaxis], np.arange(count)
    if count > _MOST_LEAVES:
        from sklearn.cluster import MiniBatchKMeans

        joined = MiniBatchKMeans(_MOST_LEAVES, random_state=seed, n_init=1, batch_size=8192).fit(leaves)
        leaf = _numbered(joined.labels_)
        leaves = np.stack([np.bincount(leaf, axis) for axis in leaves.T], 1) / np.bincount(leaf)[:, np.newaxis]
    tree = scipy.cluster.hierarchy.linkage(leaves, "ward")
    for clusters in np.unique(np.geomspace(folds, len(leaves), _CLUSTERINGS).astype(int)).tolist():
        yield clusters, scipy.cluster.hierarchy.fcluster(tree, clusters, "maxclust")[leaf] - 1


def deal(groups: NDArray[Any], labels: ArrayLike | None, folds: int, seed: int = 0) -> Folds:
    """Deal whole groups to folds, the most weighty first, each to the fold that has least of its classes.

    Args:
        groups: (n,) group of each sample.
        labels: (n,) class of each sample, or None: only numbers of samples are balanced.
        folds: their number.
        seed: decides between groups of equal weight.

    Returns:
        (n,) fold of each sample.

    Raises:
        UsageError: there are fewer groups than folds.
    """
    unit = _numbered(groups)
    kind = np.zeros(len(unit), np.intp) if labels is None else _numbered(np.asarray(labels))
    if len(kind) != len(unit):
        raise InputError(f"{len(unit)} samples, but labels of {len(kind)}.")
    count = int(unit.max(initial=-1)) + 1
    if count < folds:
        raise UsageError(f"{count} groups of samples cannot make {folds} folds: expected at least as many groups.")
    table = np.zeros((count, int(kind.max()) + 1))
    np.add.at(table, (unit, kind), 1.0)
    table /= table.sum(axis=0)
    shuffled = np.random.default_rng(seed).permutation(count)
    order = shuffled[np.argsort(-table[shuffled].max(axis=1), kind="stable")]
    load, fold = np.zeros((folds, table.shape[1])), np.empty(count, np.intp)
    for group in order:
        share = table[group]
        # What the sum of squared shares would grow by; of equals the emptiest.
        fold[group] = chosen = np.lexsort((load.sum(axis=1), load @ share))[0]
        load[chosen] += share
    return fold[unit]


def nearest(coordinates: NDArray[np.floating], fold: Folds) -> NDArray[np.float64]:
    """Distance from each sample to the nearest one of another fold, (n,): how far a test is from its training."""
    distance = np.empty(len(fold))
    for number in np.unique(fold):
        test = fold == number
        distance[test] = scipy.spatial.cKDTree(coordinates[~test]).query(coordinates[test])[0]
    return distance


def folds_of(splitter: Any, X: Any, y: ArrayLike | None = None, groups: ArrayLike | None = None) -> Folds:
    """The fold that tests each sample, (n,), by any splitter of scikit-learn's contract.

    Raises:
        InputError: a sample is tested never, or more than once.
    """
    fold, times = np.full(len(X), -1, np.intp), np.zeros(len(X), int)
    for number, (_, test) in enumerate(splitter.split(X, y, groups)):
        fold[test] = number
        times[test] += 1
    if (times != 1).any():
        raise InputError("the splitter does not test every sample exactly once.")
    return fold


def untaught(fold: Folds, labels: ArrayLike) -> dict[int, list[Any]]:
    """Classes that a fold tests and its training lacks: no model can find them there."""
    kinds = np.asarray(labels)
    found = {int(k): np.setdiff1d(kinds[fold == k], kinds[fold != k]).tolist() for k in np.unique(fold)}
    return {number: lacking for number, lacking in found.items() if lacking}


def blocks_of_polygons(block: NDArray[np.integer], polygon: NDArray[np.integer]) -> NDArray[np.intp]:
    """Groups for folds by block that divide no polygon: each polygon counts whole to the block that has most of it."""
    unit, square = _numbered(polygon), _numbered(block)
    pairs, counts = np.unique(np.stack([unit, square]), axis=1, return_counts=True)
    rising = np.argsort(counts, kind="stable")
    home = np.empty(int(unit.max(initial=-1)) + 1, np.intp)
    home[pairs[0, rising]] = pairs[1, rising]  # of several values the last, the most frequent, stays
    return np.asarray(home[unit])


def _splits(fold: Folds, folds: int) -> Iterator[tuple[Folds, Folds]]:
    for number in range(folds):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def _numbered(values: NDArray[Any]) -> Folds:
    """Numbers from 0 on instead of names."""
    return np.unique(values, return_inverse=True)[1].reshape(-1)
