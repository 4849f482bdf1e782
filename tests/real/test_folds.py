"""Folds of real points: neighbours in training flatter a classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from groundshift.landcover.splits import GroupFolds, RandomFolds, untaught


def test_random_folds_flatter_beside_polygons_and_regions_left_out(shared_data: Path) -> None:
    path = shared_data / "germany-points" / "training_samples.gpkg"
    if not path.exists():
        pytest.skip("no points of Germany here")
    meta, _, _, columns = pyogrio.raw.read(path, read_geometry=False)
    known = dict(zip(meta["fields"], columns, strict=True))
    bands = np.stack([known[name] for name in sorted(known) if name.startswith("B")], axis=1)[::4]
    labels, polygons, regions = (known[name].astype(str)[::4] for name in ("lcc2", "polygonID", "region"))
    accuracy = []
    for splitter, groups in (
        (RandomFolds(), None),
        (GroupFolds(), polygons),
        (GroupFolds(folds=10), regions),
    ):
        said = cross_val_predict(KNeighborsClassifier(), bands, labels, groups=groups, cv=splitter)
        accuracy.append(np.mean(said == labels))
    random, polygon, region = accuracy
    assert random > polygon + 0.05 > region + 0.1
    fold = np.empty(len(labels), int)
    for number, (_, test) in enumerate(GroupFolds(folds=10).split(bands, labels, regions)):
        assert len(set(regions[test])) == 1
        fold[test] = number
    assert untaught(fold, labels) == {}
