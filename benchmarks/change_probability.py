"""Probabilities of change: network, statistics and both together, beside change vector analysis and IR-MAD.

Pairs that no weights were trained on: generated ones; changes planted into tile 33TWM of the Alps and into Aquileia
(its after is its before under other light, air and half a pixel of shift); a fire in Australia; urban change in Paris.
Thresholds are the defaults, fixed beforehand: 0.5, and 99.99 % of confidence for the others.

Robustness: what each calls change, in percent of the area, between clear dates of 33TWM where next to nothing changed,
as they are and with one disturbance more. Cuts: what cutting an image otherwise does to the network. Speed: the
network on one thread, on 1024 rows and their halo.

    python benchmarks/change_probability.py [--quick] [--only accuracy,robustness,cuts,speed] [--methods network,...]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from _methods import TEXTBOOK
from _pairs import ALPS_PIXEL_M, BANDS, DATA, Mask, Pair, Reflectance, _read, alps, bercy, burnt, bushfire, need
from _planting import burn, plant
from _tables import results, table
from groundshift.accuracy.calibration import calibration_error, reliability
from groundshift.accuracy.confusion import auc
from groundshift.change import probability
from groundshift.change.network import ChangeNet
from groundshift.nets.tiling import tiles
from groundshift.pipelines.arrays import ArrayChange, compare
from groundshift.pipelines.job import DetectSection
from groundshift.testing.atmosphere import HAZE_SHAPE
from groundshift.testing.scenes import DateOptions, PairOptions, SceneOptions, pair, whole

THRESHOLD = 0.5
SCORES = ("AUROC", "AP", "F1", "precision", "recall", "Brier", "ECE")
BAND_IDS = [1, 2, 3, 7]
METHODS = ("network", "statistical", "ensemble", "robust CVA", "textbook CVA", "IR-MAD")
DERIVED = ("bushfire", "oscd-bercy")
"""Whose truth is derived from the pair itself, or is of one kind of change only."""
POOLED = "held-out pairs with changes that were planted or generated"
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Case:
    """A pair with its truth."""

    name: str
    pair: Pair
    truth: Mask


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method says of a pair."""

    score: Floats
    """(y, x) the larger, the likelier a change."""
    changed: Mask
    probable: bool
    """The score is a probability."""


def answers(scene: Pair, methods: Sequence[str]) -> dict[str, Answer]:
    """What the methods say of a pair."""
    found: dict[str, Answer] = {}
    ours = _compared(scene)
    near = ndimage.binary_dilation(ours.changed, np.ones((3, 3), bool), 2)
    in_context = probability.in_context(ours.statistic, scene.valid)
    local = probability.fit(in_context[scene.valid], ~near[scene.valid])
    by_statistics = local.probability(in_context)
    if {"network", "ensemble"} & set(methods):
        by_network = ChangeNet().probability(
            np.nan_to_num(scene.before), np.nan_to_num(scene.after), BANDS, scene.valid
        )
        both = probability.ensemble(by_network, by_statistics)
        found["network"] = Answer(by_network, by_network >= THRESHOLD, probable=True)
        found["ensemble"] = Answer(both, both >= THRESHOLD, probable=True)
    found["statistical"] = Answer(by_statistics, by_statistics >= THRESHOLD, probable=True)
    found["robust CVA"] = Answer(ours.statistic, ours.changed, probable=False)
    if "textbook CVA" in methods:
        textbook = _compared(scene, TEXTBOOK)
        found["textbook CVA"] = Answer(textbook.amplitude, textbook.changed, probable=False)
    if "IR-MAD" in methods:
        irmad = _compared(scene, DetectSection(method="irmad"))
        found["IR-MAD"] = Answer(irmad.statistic, irmad.changed, probable=False)
    return {name: found[name] for name in methods}


def _compared(scene: Pair, detect: DetectSection | None = None) -> ArrayChange:
    return compare(scene.before, scene.after, scene.valid, pixel_m=scene.pixel_m, bands=BANDS, detect=detect)


# --- pairs ---------------------------------------------------------------------------------------------------------


def cases(quick: bool) -> Iterator[Case]:
    """Pairs with truth."""
    draws = 1 if quick else 4
    for seed in range(draws):
        yield generated(seed)
    clear = alpine(13, 15)
    for seed in range(draws):
        planted = plant(clear, seed=seed)
        yield Case("alps 33TWM, planted", planted.pair, planted.number > 0)
    for share in (0.05,) if quick else (0.05, 0.2):
        burned = burn(clear, share, 1.0, seed=3)
        yield Case(f"alps 33TWM, {share:.0%} burnt", burned.pair, burned.number > 0)
    for seed in range(draws):
        planted = plant(lagoon(), seed=50 + seed)
        yield Case("aquileia, planted", planted.pair, planted.number > 0)
    fire = bushfire()
    yield Case("bushfire", fire, burnt(fire))
    paris, truth = bercy()
    yield Case("oscd-bercy", paris, truth)


def alpine(one: int, other: int) -> Pair:
    """Two dates of 33TWM."""
    before, after = alps("33TWM", one), alps("33TWM", other)
    valid = before.valid & after.valid
    return Pair(f"alps 33TWM {one}/{other}", before.reflectance, after.reflectance, valid, ALPS_PIXEL_M)


def lagoon() -> Pair:
    """Aquileia, and the same under other light and air."""
    folder = DATA / "aquileia-2019"
    before = np.stack([_read(folder / f"2019-04-16_{band}.tiff")[0] for band in BANDS]) / np.float32(65535)
    rng = np.random.default_rng(7)
    after = disturbances(before, rng)["half a pixel of shift"]
    after = disturbances(disturbances(after, rng)["haze"], rng)["gain"]
    after = after + rng.normal(0, 0.002, after.shape).astype(np.float32)
    return Pair("aquileia", before, np.maximum(after, 1e-4).astype(np.float32), (before > 0).all(axis=0), 10.0)


def generated(seed: int) -> Case:
    """A pair of groundshift.testing with 3 % changed."""
    after = DateOptions(gain=1.06, offset=0.006, haze=0.004, season=0.02, shift_px=(0.3, -0.4))
    drawn = pair(PairOptions(scene=SceneOptions(seed=900 + seed, shape=(600, 600)), after=after, changed=0.03))
    window = whole(drawn.before.shape)
    before, other = (scene.reflectance(window, BANDS) for scene in (drawn.before, drawn.after))
    valid = np.isfinite(before).all(axis=0) & np.isfinite(other).all(axis=0)
    return Case("generated", Pair(f"generated {seed}", before, other, valid, 10.0), drawn.amount(window) >= 0.5)


# --- scores --------------------------------------------------------------------------------------------------------


def scored(truth: Mask, answer: Answer, valid: Mask) -> list[float | None]:
    """AUROC, average precision, F1, precision, recall, Brier, ECE."""
    there, score, found = truth[valid], answer.score[valid], answer.changed[valid]
    hit, called, wanted = float((found & there).sum()), float(found.sum()), float(there.sum())
    row: list[float | None] = [float(auc(score, there)), average_precision(score, there)]
    row += [2 * hit / max(called + wanted, 1), hit / called if called else None, hit / wanted]
    if not answer.probable:
        return [*row, None, None]
    two = np.stack([1 - score, score], axis=1).astype(np.float64)
    curve = reliability(two, there.astype(int), of=1)
    return [*row, float(((score - there) ** 2).mean()), calibration_error(curve)]


def pooled(seen: Sequence[tuple[Floats, Mask]]) -> dict[str, object]:
    """Brier score, calibration error and reliability of the probabilities of all pairs whose changes are known."""
    score, there = (np.concatenate(each) for each in zip(*seen, strict=True))
    curve = reliability(np.stack([1 - score, score], axis=1).astype(np.float64), there.astype(int), of=1)
    bins = {"confidence": curve.confidence, "accuracy": curve.accuracy, "count": curve.count}
    values = {
        name: [None if np.isnan(x) else round(float(x), 5) for x in each.astype(float)] for name, each in bins.items()
    }
    return {
        "brier": round(float(((score - there) ** 2).mean()), 5),
        "ece": round(calibration_error(curve), 5),
        "reliability": values,
    }


def average_precision(score: Floats, truth: Mask) -> float:
    """Area under precision over recall, by steps."""
    order = np.argsort(-score, kind="stable")
    there, ordered = truth[order], score[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(there)[last]
    return float((hits / (last + 1) * np.diff(hits, prepend=0)).sum() / max(hits[-1], 1))


def accuracy(quick: bool, methods: Sequence[str], *, picture: bool) -> dict[str, object]:
    """A table a set of pairs; draws of one set are averaged."""
    found: dict[str, dict[str, list[list[float | None]]]] = {}
    seen: dict[str, list[tuple[Floats, Mask]]] = {}
    for case in cases(quick):
        each = answers(case.pair, methods)
        for method in methods:
            if each[method].probable and case.name not in DERIVED:
                valid = case.pair.valid
                seen.setdefault(method, []).append((each[method].score[valid], case.truth[valid]))
        rows = found.setdefault(case.name, {method: [] for method in methods})
        for method in methods:
            rows[method].append(scored(case.truth, each[method], case.pair.valid))
        if picture and len(rows[methods[0]]) == 1:
            draw(case, each)
    told: dict[str, object] = {}
    for name, rows in found.items():
        draws = len(rows[methods[0]])
        means = {method: [_mean([row[k] for row in rows[method]]) for k in range(len(SCORES))] for method in methods}
        title = f"{name} ({draws} draws)" if draws > 1 else name
        table(title, ["method", *SCORES], [[method, *means[method]] for method in methods])
        told[name] = {method: dict(zip(SCORES, means[method], strict=True)) for method in methods}
    return told | {POOLED: {method: pooled(each) for method, each in seen.items()}}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def draw(case: Case, each: dict[str, Answer]) -> None:
    """A picture of a pair, its truth and the three probabilities."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(18, 11), layout="constrained")
    shown = [_colours(case.pair, case.pair.before), _colours(case.pair, case.pair.after), case.truth]
    probable = {name: answer.score for name, answer in each.items() if answer.probable}
    titles, layers = ["before", "after", "truth", *probable], [*shown, *probable.values()]
    for k, (title, layer) in enumerate(zip(titles, layers, strict=True)):
        axes = figure.add_subplot(2, 3, k + 1)
        axes.imshow(layer, vmin=0, vmax=1, cmap="magma", interpolation="nearest")
        axes.set_title(title)
        axes.set_axis_off()
    figure.savefig(results() / f"change_probability_{case.name.replace(' ', '-').replace(',', '')}.png", dpi=70)


def _colours(scene: Pair, image: Reflectance) -> Floats:
    three = np.nan_to_num(image[[3, 2, 1]])
    top = np.percentile(three[:, scene.valid], 98, axis=1)[:, None, None]
    return np.clip(three / top, 0, 1).transpose(1, 2, 0)


# --- robustness ----------------------------------------------------------------------------------------------------


def disturbances(image: Reflectance, rng: np.random.Generator) -> dict[str, Reflectance]:
    """What an unchanged image may look like another day."""
    rows, columns = image.shape[1:]
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    haze = HAZE_SHAPE[BAND_IDS][:, None, None] * np.float32(0.02) * (0.8 * x / columns + 1.2 * y / rows)
    hills = ndimage.gaussian_filter(rng.standard_normal((rows, columns)).astype(np.float32), 12)
    slope = np.gradient(hills / hills.std(), axis=1)
    light = 1 + np.clip(0.8 * slope, -0.35, 0.35)
    return {
        "as it is": image,
        "gain": image * np.array([1.12, 1.1, 1.08, 1.06], np.float32)[:, None, None],
        "offset": image + np.float32(0.01),
        "haze": image + haze,
        "sun on hills": image * light,
        "half a pixel of shift": ndimage.shift(image, (0, 0.5, -0.5), order=3, mode="nearest"),
        "greener": _greener(image),
    }


def _greener(image: Reflectance) -> Reflectance:
    red, nir = image[2], image[3]
    green = np.clip(((nir - red) / np.maximum(nir + red, 0.02) - 0.2) / 0.6, 0, 1)
    vigour = np.array([-0.7, -0.5, -1.0, 0.45], np.float32)[:, None, None]
    return np.asarray(image * np.exp(0.25 * vigour * green), np.float32)


def robustness(quick: bool, methods: Sequence[str]) -> dict[str, object]:
    """Percent of the area that is called change."""
    pairs = [alpine(13, 15)] if quick else [alpine(13, 15), alpine(13, 20), alpine(15, 20)]
    rows, told = [], {}
    for scene in pairs:
        others = {
            name: replace(scene, after=np.maximum(after, 1e-4).astype(np.float32))
            for name, after in disturbances(scene.after, np.random.default_rng(5)).items()
        }
        others["the other way round"] = replace(scene, before=scene.after, after=scene.before)
        for name, other in others.items():
            each = answers(other, methods)
            shares = [100 * float(each[method].changed[scene.valid].mean()) for method in methods]
            rows.append([scene.name, name, *shares])
            told[f"{scene.name}, {name}"] = dict(zip(methods, shares, strict=True))
    title = "False alarms, percent of the valid area (08-13 is of another orbit than 08-15 and 08-20)"
    table(title, ["pair", "after", *methods], rows)
    return told


# --- cuts ----------------------------------------------------------------------------------------------------------


def cuts(quick: bool) -> dict[str, object]:
    """Largest difference between the network on a pair in one way of cutting and in others; below 0.001 by law."""
    net, rows = ChangeNet(), []
    for scene in [alpine(13, 15)] if quick else [alpine(13, 15), lagoon(), bushfire()]:
        before, after = np.nan_to_num(scene.before), np.nan_to_num(scene.after)
        whole = net.probability(before, after, BANDS, scene.valid)
        for side in (128, 256, 400):
            other = np.full_like(whole, np.nan)
            for tile in tiles(whole.shape, side, net.halo_px):
                seen = before[:, *tile.read], after[:, *tile.read]
                other[tile.keep] = net.probability(*seen, BANDS, scene.valid[tile.read])[tile.inner]
            rows.append([scene.name, side, float(np.nanmax(np.abs(other - whole)))])
    table("Cut into other blocks, with the halo: largest difference of a probability", ["pair", "side", "most"], rows)
    return {f"{name}, {side}": most for name, side, most in rows}


# --- speed ---------------------------------------------------------------------------------------------------------


def speed(quick: bool) -> dict[str, object]:
    """Millions of pixels a second, and memory."""
    import resource

    net = ChangeNet()
    rng = np.random.default_rng(0)
    rows = []
    kept = 1024
    for bands in (BANDS, ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")):
        shape = (len(bands), kept + 2 * net.halo_px, 2048 if quick else 5490)
        before = rng.uniform(0.02, 0.4, shape).astype(np.float32)
        after = before * np.float32(1.05)
        valid = np.ones(shape[1:], bool)
        took = []
        for _ in range(2):
            start, wall = time.process_time(), time.perf_counter()
            net.probability(before, after, bands, valid)
            took.append((time.process_time() - start, time.perf_counter() - wall))
        cpu, wall = min(took)
        px = kept * shape[2] / 1e6
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.append([f"{len(bands)} bands", px / cpu, px / wall, peak])
    head = ["input", "Mpx/s CPU", "Mpx/s wall", "peak GiB"]
    table("The network on one thread, rows of the halo not counted", head, rows)
    return {str(row[0]): dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one draw of each")
    parser.add_argument("--only", default="accuracy,robustness,cuts,speed", help="parts, separated by commas")
    parser.add_argument("--methods", default=",".join(METHODS), help="which, separated by commas")
    parser.add_argument("--pictures", action="store_true", help="also draw the probabilities")
    parser.add_argument("--json", type=Path, help="also write all figures there")
    options = parser.parse_args()
    need("alps-2023", "aquileia-2019", "bushfire-2018-2019", "oscd-bercy")
    methods = tuple(options.methods.split(","))
    parts: dict[str, Callable[[], dict[str, object]]] = {
        "accuracy": lambda: accuracy(options.quick, methods, picture=options.pictures),
        "robustness": lambda: robustness(options.quick, methods),
        "cuts": lambda: cuts(options.quick),
        "speed": lambda: speed(options.quick),
    }
    told = {part: parts[part]() for part in options.only.split(",")}
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
