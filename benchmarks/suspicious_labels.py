"""Wrong labels planted into the reference fields of synthetic years: how many are flagged, and how many flags are right.

Six of a hundred fields get the label of another class. Every sample is judged by random forests that saw no sample of its
field, in 15 cross-validations. *all fits* is the rule of the library: in each of them another class is predicted and at
most a tenth is left for the label. *one fit* is the same rule in the first of them only, *confident learning* (Northcutt
et al. 2021) takes the mean probability of each class over its samples as the threshold, in all fits. A field counts as
flagged with more than half of its samples.

Targets, of fields over all years: precision at least 0.8, recall at least 0.6. The years are others than those that the
rule was chosen on.

    python benchmarks/suspicious_labels.py [--quick]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from _tables import table
from _year import Survey, survey, year
from groundshift.landcover import labels
from groundshift.landcover.labels import SuspicionOptions, suspicious, suspicious_polygons
from groundshift.landcover.splits import GroupFolds
from groundshift.testing.reference import reference

SEEDS, SIZE_PX, WRONG = (11, 12, 13), 720, 0.06
PRECISION, RECALL = 0.8, 0.6
Flags = NDArray[np.bool_]


def forest() -> RandomForestClassifier:
    """A plain classifier."""
    return RandomForestClassifier(40, min_samples_leaf=3, n_jobs=2)


def confident_learning(known: Survey, fits: int) -> Flags:
    """Flagged in all fits by the thresholds of confident learning."""
    classes, label = np.unique(known.samples.label, return_inverse=True)
    flagged = np.ones(len(label), bool)
    for seed in range(fits):
        folds = GroupFolds(seed=seed).split(known.features, label, known.samples.polygon)
        probability = labels._held_out(forest(), known.features, label, folds, seed)
        least = [probability[label == k, k].mean() for k in range(len(classes))]
        counted = np.where(probability >= least, probability, -1.0)
        flagged &= (counted.argmax(axis=1) != label) & (counted.max(axis=1) >= 0)
    return flagged


def ours(known: Survey, fits: int) -> Flags:
    """Flagged by the library."""
    options = SuspicionOptions(fits=fits)
    return suspicious(forest(), known.features, known.samples.label, options, groups=known.samples.polygon).flagged


def counts(known: Survey, flagged: Flags) -> NDArray[np.int64]:
    """Samples wrong, flagged, both; then fields."""
    wrong, polygon = known.truth != known.samples.label, known.samples.polygon
    fields, found = np.unique(polygon[wrong]), suspicious_polygons(flagged, polygon)[0]
    both = np.intersect1d(fields, found).size
    return np.array([wrong.sum(), flagged.sum(), (wrong & flagged).sum(), fields.size, found.size, both], np.int64)


def line(name: str, n: NDArray[np.int64]) -> list[object]:
    """One line of the table."""
    shares = [float(n[i] / max(1, n[j])) for i, j in ((2, 0), (2, 1), (5, 3), (5, 4))]
    return [name, int(n[0]), *shares[:2], int(n[3]), int(n[4]), *shares[2:]]


def main() -> int:
    """Plant, flag and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one year, five fits")
    quick = parser.parse_args().quick
    fits = 5 if quick else 15
    rules: dict[str, Callable[[Survey], Flags]] = {
        "all fits": lambda known: ours(known, fits),
        "one fit": lambda known: ours(known, 1),
        "confident learning, all fits": lambda known: confident_learning(known, fits),
    }
    total = {name: np.zeros(6, np.int64) for name in rules}
    for seed in SEEDS[:1] if quick else SEEDS:
        of = year(seed, SIZE_PX)
        known = survey(of, reference(of, per_class=40, min_px=60, wrong_share=WRONG), 250, 200)
        for name, rule in rules.items():
            total[name] += counts(known, rule(known))
    head = ["rule", "wrong samples", "recall", "precision", "wrong fields", "flagged", "recall", "precision"]
    table(f"Planted wrong labels, {fits} fits", head, [line(name, n) for name, n in total.items()])
    found = total["all fits"]
    return int(found[5] < PRECISION * found[4] or found[5] < RECALL * found[3])


if __name__ == "__main__":
    sys.exit(main())
