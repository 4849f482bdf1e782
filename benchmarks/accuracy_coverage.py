"""How often intervals of accuracy and area hold the truth, over simulated stratified samples of known maps.

Each design draws the same number of points in every class of a map whose true confusion is known, and estimates from
them. Textbook intervals (Wald), the ones of groundshift, and two common repairs stand side by side: logit transformed
Wald intervals, and Bayesian ones (independent Jeffreys priors, 800 draws). Exits 1 where a target is missed.

    python benchmarks/accuracy_coverage.py [--designs 10000]
"""

from __future__ import annotations

import argparse
import sys
import warnings

import numpy as np
from numpy.typing import NDArray

from _tables import table
from groundshift.accuracy.area import Accuracy, stratified

Floats = NDArray[np.float64]
POINTS = (100, 50, 30)
"""Points a class; targets hold for the first."""
OTHERS = 1000
"""Designs for the methods that are only compared with, which take long."""


def maps() -> dict[str, tuple[Floats, Floats]]:
    """By name: share of each class in the map, and what it truly is (map class, true class)."""
    found = {
        "forest loss and gain": (
            [0.02, 0.015, 0.32, 0.645],
            [
                [0.88, 0.001, 0.067, 0.052],
                [0.001, 0.733, 0.106, 0.16],
                [0.006, 0.001, 0.927, 0.066],
                [0.003, 0.001, 0.027, 0.969],
            ],
        ),
        "rare classes, much omitted": (
            [0.003, 0.02, 0.077, 0.9],
            [[0.6, 0.1, 0.1, 0.2], [0.02, 0.85, 0.08, 0.05], [0.005, 0.03, 0.9, 0.065], [0.002, 0.004, 0.01, 0.984]],
        ),
        "five even classes": (np.full(5, 0.2), np.full((5, 5), 0.05) + 0.75 * np.eye(5)),
        "six classes, very accurate": _spread(
            [0.5, 0.25, 0.15, 0.06, 0.03, 0.01], [0.99, 0.985, 0.98, 0.97, 0.96, 0.95]
        ),
    }
    rng = np.random.default_rng(0)
    world = np.array([0.33, 0.24, 0.18, 0.1, 0.06, 0.04, 0.025, 0.012, 0.008, 0.003, 0.002])
    found["eleven classes of a continent"] = _skewed(world, rng.uniform(0.7, 0.95, 11), rng)
    for number in range(3):
        size = int(rng.integers(3, 10))
        weight = rng.dirichlet(np.full(size, 0.7)) + 0.002
        found[f"random, {size} classes ({number + 1})"] = _skewed(weight, rng.uniform(0.6, 0.98, size), rng)
    return {name: (np.asarray(w) / np.sum(w), _rows(np.asarray(p))) for name, (w, p) in found.items()}


def _rows(p: Floats) -> Floats:
    return p / p.sum(axis=1, keepdims=True)


def _spread(weight: list[float], accuracy: list[float]) -> tuple[Floats, Floats]:
    """Errors go to the other classes by their size."""
    w, p = np.array(weight), np.zeros((len(weight), len(weight)))
    for k, right in enumerate(accuracy):
        p[k] = (1 - right) * np.where(np.arange(len(w)) == k, 0, w) / (1 - w[k])
        p[k, k] = right
    return w, p


def _skewed(weight: Floats, accuracy: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Errors go to few classes, drawn."""
    size = len(weight)
    p = np.zeros((size, size))
    for k in range(size):
        others = np.arange(size) != k
        p[k, others] = (1 - accuracy[k]) * rng.dirichlet(np.full(size - 1, 0.4) + 2 * weight[others])
        p[k, k] = accuracy[k]
    return weight, p


def truth(weight: Floats, p: Floats) -> dict[str, Floats]:
    """What the estimates are estimates of."""
    joint = weight[:, None] * p
    both, true = np.diagonal(joint), joint.sum(axis=0)
    chance = (weight * true).sum()
    return {
        "overall_accuracy": both.sum(),
        "users_accuracy": np.diagonal(p),
        "producers_accuracy": both / true,
        "f1": 2 * both / (weight + true),
        "kappa": (both.sum() - chance) / (1 - chance),
        "area": true,
    }


def designs(p: Floats, points: int, count: int, seed: int) -> NDArray[np.int64]:
    """(design, K, K)."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.multinomial(points, row, size=count) for row in p], axis=1)


def coverage(weight: Floats, p: Floats, points: int, count: int) -> dict[str, dict[str, float]]:
    """By figure and kind of interval: share of designs that hold the truth, the worst class."""
    known = truth(weight, p)
    hits = {name: {kind: np.zeros(np.shape(v)) for kind in ("textbook", "ours")} for name, v in known.items()}
    for counts in designs(p, points, count, seed=1):
        found = stratified(counts, weight)
        for name, value in known.items():
            _count(hits[name], found, name, value)
    return {name: {kind: float(np.min(hit) / count) for kind, hit in kinds.items()} for name, kinds in hits.items()}


def _count(hits: dict[str, Floats], found: Accuracy, name: str, value: Floats) -> None:
    one = getattr(found, name)
    hits["textbook"] += np.abs(one.estimate - value) <= one.half_width + 1e-12
    hits["ours"] += (one.low - 1e-12 <= value) & (value <= one.high + 1e-12)


def others(weight: Floats, p: Floats, points: int, count: int) -> dict[str, float]:
    """Worst class of the producer's accuracy under the two common repairs."""
    known = truth(weight, p)["producers_accuracy"]
    rng, eye = np.random.default_rng(2), np.arange(len(weight))
    logit, bayes = np.zeros(len(weight)), np.zeros(len(weight))
    for counts in designs(p, points, count, seed=1):
        one = stratified(counts, weight).producers_accuracy
        with np.errstate(all="ignore"):
            centre = np.log(one.estimate / (1 - one.estimate))
            half = one.half_width / (one.estimate * (1 - one.estimate))
            logit += np.abs(np.log(known / (1 - known)) - centre) <= half
        drawn = rng.beta(counts + 0.5, points - counts + 0.5, size=(800, *counts.shape)) * weight[:, None]
        low, high = np.quantile(drawn[:, eye, eye] / drawn.sum(axis=1), [0.025, 0.975], axis=0)
        bayes += (low <= known) & (known <= high)
    return {"logit": float(logit.min() / count), "bayes": float(bayes.min() / count)}


def main() -> int:
    """Print the tables; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=int, default=10_000, help="simulated samples a map and number of points")
    count = parser.parse_args().designs
    warnings.simplefilter("error")
    missed = []
    for points in POINTS:
        rows = []
        for name, (weight, p) in maps().items():
            found = coverage(weight, p, points, count if points == POINTS[0] else count // 4)
            repair = others(weight, p, points, min(OTHERS, count) if points == POINTS[0] else min(OTHERS, count) // 4)
            cells = [_pair(found[figure]) for figure in found]
            rows.append([name, *cells, _percent(repair["logit"]), _percent(repair["bayes"])])
            if points == POINTS[0]:
                missed += _missed(name, found)
        table(
            f"{points} points a class, {count if points == POINTS[0] else count // 4} designs a map: % of designs "
            "whose interval holds the truth, worst class; textbook > ours",
            ["map", "OA", "UA", "PA", "F1", "kappa", "area", "PA by logit", "PA by Bayes"],
            rows,
        )
    print(
        "\n" + ("\n".join(missed) or "All targets are met: OA 93 to 97 %; UA, PA and areas at least 93 %, every class.")
    )
    return int(bool(missed))


def _missed(name: str, found: dict[str, dict[str, float]]) -> list[str]:
    bad = [] if 0.93 <= found["overall_accuracy"]["ours"] <= 0.97 else ["overall_accuracy"]
    bad += [figure for figure in ("users_accuracy", "producers_accuracy", "area") if found[figure]["ours"] < 0.93]
    return [f"MISSED: {figure} of {name}: {_percent(found[figure]['ours'])} %" for figure in bad]


def _pair(found: dict[str, float]) -> str:
    return f"{_percent(found['textbook'])} > {_percent(found['ours'])}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


if __name__ == "__main__":
    sys.exit(main())
