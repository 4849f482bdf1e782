"""Detection of changes planted into real clear pairs: 1 % of the valid area in small regions, and large burns.

Truth is the hard footprint: pixels of which at least half has changed. Beside it, the same figures with the soft rim
(less than half, but not nothing) left out. Whatever truly differs between the two dates counts as false. All draws
are pooled; the intervals are of 95 %, by drawing whole draws with replacement. Target: F1 of pixels 0.7 or better.

    python benchmarks/planted.py [--quick] [--draws 24]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from _methods import default, textbook
from _pairs import Pair, clear_pairs, need
from _planting import MIXTURES, Truth, burn, plant
from _tables import table
from groundshift.accuracy.confusion import confusion, intervals, score_arrays
from groundshift.pipelines.arrays import ArrayChange

TARGET = 0.7
METHODS: dict[str, Callable[[Pair], ArrayChange]] = {"default": default, "textbook": textbook}
SIZE_EDGES = (2, 8, 30, 120, 501)
CONTRAST_EDGES = (0, 0.03, 0.06, 0.12, 0.24, 9)
SHARES, SEVERITIES = (0.05, 0.2, 0.4), (1.0, 0.5)


def counts(truth: Truth, changed: NDArray[np.bool_], *, rim: bool) -> list[int]:
    """True positives, false positives, false negatives, true negatives."""
    pair = truth.pair
    found = confusion(changed, truth.number > 0, pair.valid if rim else pair.valid & ~truth.rim)
    return [found.tp, found.fp, found.fn, found.tn]


def by_region(truth: Truth, changed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """One row a region: size, mixture, contrast, pixels that count, pixels found."""
    number = truth.number.ravel()
    pixels = np.bincount(number, minlength=len(truth.regions) + 1)[1:]
    found = np.bincount(number, changed.ravel(), minlength=len(truth.regions) + 1)[1:]
    described = [(each.size, each.mixture, each.contrast) for each in truth.regions]
    return np.column_stack([np.array(described).reshape(-1, 3), pixels, found])


def score_row(name: str, each_draw: Sequence[Sequence[int]]) -> list[object]:
    """F1, precision and recall of the pooled draws, with intervals."""
    tables = np.array(each_draw, np.int64)
    pooled, ranges = score_arrays(tables.sum(axis=0)), intervals(tables)
    return [name, len(tables), *(_with_range(float(pooled[key]), ranges[key]) for key in ("f1", "precision", "recall"))]


def _with_range(value: float, limits: tuple[float, float] | None) -> str:
    return f"{value:.3f}" if limits is None else f"{value:.3f} ({limits[0]:.2f} .. {limits[1]:.2f})"


def small_regions(pairs: Sequence[Pair], draws: int, name: str) -> NDArray[np.int64]:
    """Plant, detect and print; returns the pooled counts of the default."""
    each: dict[str, list[list[int]]] = {f"{m}{rim}": [] for m in METHODS for rim in ("", ", rim left out")}
    kinds: dict[str, list[NDArray[np.float64]]] = {method: [] for method in METHODS}
    for draw in range(draws):
        truth = plant(pairs[draw % len(pairs)], seed=draw)
        for method, detect in METHODS.items():
            changed = detect(truth.pair).changed
            each[method].append(counts(truth, changed, rim=True))
            each[f"{method}, rim left out"].append(counts(truth, changed, rim=False))
            kinds[method].append(by_region(truth, changed))
    table(
        f"1 % planted into {name}",
        ["pixels", "draws", "F1", "precision", "recall"],
        [score_row(key, rows) for key, rows in each.items()],
    )
    for method, found in kinds.items():
        recall_tables(np.concatenate(found), f"{name}, {method}")
    return np.array(each["default"], np.int64).sum(axis=0)


def recall_tables(regions: NDArray[np.float64], name: str) -> None:
    """Share of the planted pixels that was found, by size of the region and by contrast."""
    for title, column, edges in (("pixels in the region", 0, SIZE_EDGES), ("contrast, reflectance", 2, CONTRAST_EDGES)):
        rows = []
        for low, high in pairwise(edges):
            inside = regions[(regions[:, column] >= low) & (regions[:, column] < high)]
            if len(inside):
                shares = [_recall(inside[inside[:, 1] == mixture]) for mixture in MIXTURES]
                rows.append([_range(low, high), len(inside), *shares, _recall(inside)])
        rows.append(["all", len(regions), *(_recall(regions[regions[:, 1] == m]) for m in MIXTURES), _recall(regions)])
        head = [title, "regions", *(f"mixed {m:.0%}" for m in MIXTURES), "all"]
        table(f"Recall of planted pixels, {name}, by {title.split(',')[0]}", head, rows)


def _recall(regions: NDArray[np.float64]) -> float | None:
    pixels, found = regions[:, 3].sum(), regions[:, 4].sum()
    return float(found / pixels) if pixels else None


def _range(low: float, high: float) -> str:
    if high == CONTRAST_EDGES[-1]:
        return f"from {low:g}"
    return f"{low:g} to {high - 1:g}" if low >= 2 else f"{low:g} to {high:g}"


def large_burns(pairs: Sequence[Pair]) -> None:
    """Burn parts of the clearest pairs."""
    rows = []
    for pair, share, severity in product(pairs, SHARES, SEVERITIES):
        truth = burn(pair, share, severity, seed=round(100 * share))
        row: list[object] = [pair.name, f"{share:.0%}", severity]
        for detect in METHODS.values():
            scores = score_arrays(np.array(counts(truth, detect(truth.pair).changed, rim=True)))
            row += [float(scores[key]) for key in ("f1", "precision", "recall")]
        rows.append(row)
    scored = [f"{method} {key}" for method in METHODS for key in ("F1", "precision", "recall")]
    table("Burns planted with the ratios of a real one", ["pair", "share", "severity", *scored], rows)


def main() -> int:
    """Measure; 1 where the target is missed by all pairs together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two draws, two burns")
    parser.add_argument("--draws", type=int, default=24, help="of each set of pairs (%(default)s)")
    options = parser.parse_args()
    need("alps-2023", "belgium-series", "bushfire-2018-2019", "aquileia-2019")
    pairs = clear_pairs()
    alps = [pair for pair in pairs if pair.name.startswith("alps")]
    clearest = [pair for pair in alps if pair.name.endswith("13/15")]
    draws = 2 if options.quick else options.draws
    print("Share of 255:", ", ".join(f"{pair.name} {pair.masked_share:.1%}" for pair in pairs))
    pooled = {
        "alps 08-13/08-15": small_regions(clearest, draws, "the clearest pairs, alps 08-13/08-15"),
        "alps": small_regions(alps, draws, "all pairs of the Alps"),
        "belgium": small_regions(pairs[len(alps) :], 2 * draws, "the pairs of Belgium"),
    }
    pooled["alps and belgium"] = pooled["alps"] + pooled["belgium"]
    f1 = {name: float(score_arrays(each)["f1"]) for name, each in pooled.items()}
    large_burns(clearest[:1] if options.quick else clearest)
    print()
    for name, value in f1.items():
        print(f"{name}: F1 {value:.3f} (target {TARGET}): {'met' if value >= TARGET else 'missed'}")
    return int(f1["alps and belgium"] < TARGET)


if __name__ == "__main__":
    sys.exit(main())
