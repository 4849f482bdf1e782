"""Four classifiers and the default on three tables of real samples, with random folds and with regions left out.

LUCAS 2018 points of Europe (8 classes, left out: blocks of 500 km), crop and other land in Africa (6 regions), and
points in Germany (7 classes, 10 regions). Random folds deal out samples one by one, as is often done, and flatter:
neighbours of a test sample are in training. Every figure is of samples that were not trained with; the temperature is
fitted within the training part, and in there the default chooses, too. It tells whether the default is among the
best, and by how much random folds flatter.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold

from _tables import table
from groundshift.landcover.classifiers import CANDIDATES, DEFAULT, Classifier, classifier, held_out

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
KINDS = ("lightgbm", "rf", "knn", "mlp", DEFAULT)
TOLERANCE = 0.01
"""The default may be this much behind the best, on the mean over tables, in accuracy with regions left out."""


@dataclass(frozen=True, eq=False)
class Table:
    """Samples, and the region that each lies in."""

    name: str
    values: np.ndarray
    classes: np.ndarray
    region: np.ndarray

    def some(self, number: int) -> Table:
        """At most so many of them, at random."""
        if len(self.classes) <= number:
            return self
        rows = np.random.default_rng(0).choice(len(self.classes), number, replace=False)
        return Table(self.name, self.values[rows], self.classes[rows], self.region[rows])


def lucas() -> Table:
    """LUCAS points: optical and radar features."""
    with gzip.open(DATA / "europe-lucas" / "elc10_s2_s1_labels.csv.gz", "rt") as file:
        head, *rows = csv.reader(file)
    none = {"LC", "LC_num", "POINT_ID", "source", "votes", "x_km_3035", "y_km_3035"}
    columns = [i for i, name in enumerate(head) if name not in none]
    at = {name: i for i, name in enumerate(head)}
    values = np.array([[row[i] or "nan" for i in columns] for row in rows], np.float32)
    place = np.array([[row[at["x_km_3035"]], row[at["y_km_3035"]]] for row in rows], np.float64) // 500
    region = np.unique(place, axis=0, return_inverse=True)[1]
    classes = np.array([int(row[at["LC_num"]]) for row in rows])
    return Table("LUCAS, Europe", values, classes, region)


def africa() -> Table:
    """Crop and other land: features of two half-years, rain and slope."""
    parts = [np.loadtxt(file, dtype=np.float32) for file in sorted((DATA / "africa-crop").glob("*/training_data.txt"))]
    region = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    rows = np.concatenate(parts)
    rows, kept = np.unique(rows, axis=0, return_index=True)
    return Table("crop, Africa", rows[:, 1:], rows[:, 0].astype(int) + 1, region[kept])


def germany() -> Table:
    """Digitised points: ten bands of a summer and two indices."""
    import pyogrio

    names, _, _, columns = pyogrio.raw.read(DATA / "germany-points" / "training_samples.gpkg", read_geometry=False)
    fields = dict(zip(names["fields"], columns, strict=True))
    values = np.stack([fields[name] for name in fields if fields[name].dtype.kind == "f"], axis=1).astype(np.float32)
    classes, region = (np.unique(fields[name].astype(str), return_inverse=True)[1] for name in ("lcc2", "region"))
    values[~np.isfinite(values)] = np.nan
    return Table("points, Germany", values, classes + 1, region)


def calibration_error(probabilities: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the most probable class."""
    sure = probabilities.max(axis=1)
    place = np.minimum((sure * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.bincount(place, right, bins) - np.bincount(place, sure, bins)
    return float(np.abs(gap[count > 0]).sum() / len(sure))


def chosen(kind: str, values: np.ndarray, classes: np.ndarray, groups: np.ndarray) -> Classifier:
    """A classifier by name; the default is the one with the highest macro F1 on groups that are held out."""
    if kind != DEFAULT:
        return classifier(kind)
    known = np.unique(classes)

    def score(one: Classifier) -> float:
        found = known[held_out(one, values, classes, groups).argmax(axis=1)]
        return float(f1_score(classes, found, average="macro"))

    return max((classifier(each) for each in CANDIDATES), key=score)


def measured(samples: Table, kind: str, groups: np.ndarray, folds: int) -> tuple[float, ...]:
    """Accuracy, mean F1, calibration error and seconds of training over folds of whole groups."""
    classes = np.unique(samples.classes)
    held = np.zeros((len(samples.classes), len(classes)))
    start = time.process_time()
    number = min(folds, len(np.unique(groups)))
    for train, test in GroupKFold(number, shuffle=True, random_state=0).split(samples.values, samples.classes, groups):
        one = chosen(kind, samples.values[train], samples.classes[train], groups[train])
        one.fit(samples.values[train], samples.classes[train], groups[train])
        held[np.ix_(test, np.searchsorted(classes, one.classes_))] = one.predict_proba(samples.values[test])
    found = classes[held.argmax(axis=1)]
    right = found == samples.classes
    f1 = f1_score(samples.classes, found, average="macro")
    return float(right.mean()), float(f1), calibration_error(held, right), time.process_time() - start


def main() -> int:
    """Print the tables; 1 where the default is not among the best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=12_000, help="of a table, at most")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print("no real data beside the project: nothing to measure")
        return 0
    sources: tuple[Callable[[], Table], ...] = (lucas, africa, germany)
    far: dict[str, list[float]] = {kind: [] for kind in arguments.kinds}
    for source in sources:
        samples, rows = source().some(arguments.samples), []
        for kind in arguments.kinds:
            near = measured(samples, kind, np.arange(len(samples.classes)), arguments.folds)
            away = measured(samples, kind, samples.region, arguments.folds)
            far[kind].append(away[0])
            rows.append([kind, *near[:3], *away[:3], near[3] + away[3]])
        table(
            f"{samples.name}: {len(samples.classes)} samples, {samples.values.shape[1]} features",
            ["", "OA random", "F1", "ECE", "OA region out", "F1", "ECE", "s CPU"],
            rows,
        )
    means = {kind: float(np.mean(values)) for kind, values in far.items()}
    table("Accuracy with regions left out, mean over tables", ["", "OA"], means.items())
    return int(DEFAULT in means and means[DEFAULT] < max(means.values()) - TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
