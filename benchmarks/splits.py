"""What folds promise and what the map keeps: random, by polygon, by block and matched folds beside the true accuracy.

*Synthetic year*: fields were surveyed in a few places of a landscape and the whole of it is mapped, so that the
accuracy of the map is known. It is taken at pixels as pure as the samples are (one pixel from any border), and over
all. Folds are weighted by the classes' shares of the map: the samples hold each class equally.

*Real sets*: random folds beside a region left out (Germany, Africa) and squares of 500 km (Europe); repeated rows are
dropped first. There is no map to compare with, only the gap.

Target: on the synthetic years, random folds promise more than matched folds, and matched folds are nearer to the map.

    python benchmarks/splits.py [--quick]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_predict

from _tables import table
from _year import Survey, survey, year
from groundshift.landcover.samples import SampleOptions, draw
from groundshift.landcover.splits import GroupFolds, MatchedFolds, RandomFolds, blocks_of_polygons, folds_of, nearest
from groundshift.model.grid import Window
from groundshift.testing.reference import Reference, reference
from groundshift.testing.year import SyntheticYear

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SEEDS, SIZE_PX, PLACE_PX, PLACES, BLOCK_PX = (21, 22), 960, 160, 5, 80
MAP_PIXELS = 8000
Float = NDArray[np.floating]
Index = NDArray[np.integer]


def forest() -> RandomForestClassifier:
    """A plain classifier."""
    return RandomForestClassifier(40, min_samples_leaf=2, n_jobs=2, random_state=1)


def surveyed(of: SyntheticYear, seed: int, places: NDArray[np.int64]) -> Survey:
    """Fields of a few cells, far from most of the map, and features of the map's pixels."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation((SIZE_PX // PLACE_PX) ** 2)[:PLACES]
    parts = []
    for cell in cells:
        y, x = (int(k) * PLACE_PX for k in divmod(int(cell), SIZE_PX // PLACE_PX))
        parts.append(reference(of, Window(y, y + PLACE_PX, x, x + PLACE_PX), per_class=6, min_px=40))
    fields = Reference(
        polygons=np.concatenate([part.polygons for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        truth=np.concatenate([part.truth for part in parts]),
        crs=parts[0].crs,
    )
    return survey(of, fields, SampleOptions(per_class=400, block_px=BLOCK_PX, seed=seed), places)


def weighted(right: NDArray[np.bool_], label: Index, shares: Float) -> float:
    """Overall accuracy where classes have the shares of the map."""
    kinds = np.unique(label)
    hits = np.array([right[label == k].mean() for k in kinds])
    return float(hits @ shares[kinds] / shares[kinds].sum())


def synthetic(seed: int) -> dict[str, tuple[float, float]]:
    """(accuracy, median distance in metres) of each kind of folds, and of the map."""
    of = year(seed, SIZE_PX)
    places = np.random.default_rng(seed).integers(0, SIZE_PX, (2, MAP_PIXELS))
    known, (rows, columns) = surveyed(of, seed, places), places
    land = of.class_map()
    taught = np.unique(known.samples.label)
    shares = np.bincount(land.ravel(), minlength=9) / land.size
    pure, clean = draw(land, SampleOptions(per_class=land.size)), np.zeros(land.shape, bool)
    clean[pure.row, pure.column] = True
    model = forest().fit(known.features, known.samples.label)
    mapped = model.predict(known.elsewhere)
    truth = land[rows, columns]
    within = np.isin(truth, taught)
    samples = known.samples
    here, there = np.c_[samples.row, samples.column] * 10.0, np.c_[rows, columns] * 10.0
    both = blocks_of_polygons(samples.block, samples.polygon)
    kinds: dict[str, tuple[Any, Any]] = {
        "random": (RandomFolds(), None),
        "polygon": (GroupFolds(), samples.polygon),
        "block 800 m": (GroupFolds(), both),
        "matched": (MatchedFolds(coordinates=here, prediction=there[within]), samples.polygon),
    }
    found = {}
    for name, (splitter, groups) in kinds.items():
        fold = folds_of(splitter, here, samples.label, groups)
        said = _held_out(known.features, samples.label, fold)
        found[name] = weighted(said == samples.label, samples.label, shares), float(np.median(nearest(here, fold)))
    away = cKDTree(here).query(there[within])[0]
    at = within & clean[rows, columns]
    found["map, pure pixels"] = weighted(mapped[at] == truth[at], truth[at], shares), float(np.median(away))
    found["map, all pixels"] = float(np.mean(mapped[within] == truth[within])), float(np.median(away))
    return found


def _held_out(features: Float, label: Index, fold: Index) -> Index:
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
    said: Index = cross_val_predict(forest(), features, label, cv=splits)
    return said


def real() -> Iterator[tuple[str, Float, Index, Index]]:
    """(name, features, labels, regions) of each set that is there."""
    path = DATA / "germany-points" / "training_samples.gpkg"
    if path.exists():
        meta, _, _, columns = pyogrio.raw.read(path, read_geometry=False)
        by_name = dict(zip(meta["fields"], columns, strict=True))
        bands = np.stack([by_name[name] for name in sorted(by_name) if name.startswith("B")], 1)
        yield _set("Germany, 7 classes, region left out", bands, by_name["lcc2"], by_name["region"])
    path = DATA / "germany-points" / "opengeohub2021.csv.gz"
    if path.exists():
        rows = _rows(path)
        names = [name for name in rows[0] if name.startswith(("B0", "B1", "B8", "NDVI"))]
        bands = np.array([[float(row[name] or "nan") for name in names] for row in rows])
        label, region = (np.array([row[name] for row in rows]) for name in ("Label", "Region"))
        yield _set("Germany, 10 classes, region left out", bands, label, region)
    files = sorted((DATA / "africa-crop").glob("*/training_data.txt"))
    if files:
        tables = [np.loadtxt(file) for file in files]
        region = np.repeat([file.parent.name for file in files], [len(each) for each in tables])
        joined = np.concatenate(tables)
        yield _set("Africa, crop or not, region left out", joined[:, 1:], joined[:, 0].astype(int), region)
    path = DATA / "europe-lucas" / "elc10_s2_s1_labels.csv.gz"
    if path.exists():
        rows = _rows(path)
        names = [name for name in rows[0] if name.endswith("_median") and not name.startswith(("asc", "desc"))]
        bands = np.array([[float(row[name] or "nan") for name in names] for row in rows])
        place = [f"{int(row['x_km_3035']) // 500}/{int(row['y_km_3035']) // 500}" for row in rows]
        yield _set("Europe (LUCAS), 8 classes, 500 km", bands, np.array([row["LC"] for row in rows]), np.array(place))


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _set(name: str, features: Float, label: Any, region: Any) -> tuple[str, Float, Index, Index]:
    """Without repeated rows and such that are not complete, classes and regions numbered."""
    kinds, places = (np.unique(np.asarray(each).astype(str), return_inverse=True)[1] for each in (label, region))
    whole = np.isfinite(features).all(axis=1)
    _, first = np.unique(np.c_[features, kinds][whole], axis=0, return_index=True)
    kept = np.flatnonzero(whole)[np.sort(first)]
    return name, features[kept].astype(np.float32), kinds[kept], places[kept]


def gap(name: str, features: Float, label: Index, region: Index, most: int) -> list[object]:
    """One line: random folds beside folds by region."""
    if len(label) > most:
        kept = np.random.default_rng(0).permutation(len(label))[:most]
        features, label, region = features[kept], label[kept], region[kept]
    count = min(10, len(np.unique(region)))
    folds = RandomFolds().split(features, label), GroupFolds(folds=count).split(features, label, region)
    line: list[object] = [name, len(label), len(np.unique(region))]
    for splits in folds:
        said = cross_val_predict(forest(), features, label, cv=list(splits))
        line += [float(np.mean(said == label)), float(f1_score(label, said, average="macro"))]
    return line


def main() -> int:
    """Measure the years, then the real sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one year, at most 5000 points of a real set, not 20000")
    quick = parser.parse_args().quick
    found = [synthetic(seed) for seed in (SEEDS[:1] if quick else SEEDS)]
    rows = [[name, *(each[name][0] for each in found), *(each[name][1] for each in found)] for name in found[0]]
    seeds = [f"year {seed}" for seed in SEEDS[: len(found)]]
    table("Accuracy promised and kept, and median distance to training, m", ["", *seeds, *seeds], rows)
    head = ["set", "samples", "regions", "random OA", "random F1", "by region OA", "by region F1"]
    lines = [gap(*each, most=5000 if quick else 20_000) for each in real()]
    if lines:
        table("Real points: random folds, and folds of whole regions", head, lines)
    promised, matched, kept = (
        np.mean([each[name][0] for each in found]) for name in ("random", "matched", "map, pure pixels")
    )
    return int(not (promised > matched and abs(matched - kept) < abs(promised - kept)))


if __name__ == "__main__":
    sys.exit(main())
