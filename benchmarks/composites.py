"""Composites of one generated cube against geomad (of odc-algo), bottleneck and numpy, in one run, turn by turn.

Each peer gets the cube in the layout that it is made for, with NaN where there was a cloud; ours gets it as
(time, band, y, x) with a mask. What is timed is the call alone; of several rounds the shortest counts. Targets: the
geometric median equals geomad's within 1e-4, both at eps 1e-7, and is at least 1.5 times faster on as many threads; the
median is at least twice as fast as bottleneck's and 10 times as numpy's, on one thread each.

Peers run in a Python of their own, so that they need not be installed beside groundshift:
python -m venv peers; peers/bin/pip install numpy geomad bottleneck.

    python benchmarks/composites.py [--quick] [--size 1000] [--rounds 3] [--threads 2] [--peers peers/bin/python]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCENES, BANDS = 20, 4
CLOUDY = 0.3
EPS = 1e-7
AGREEMENT = 1e-4
Seconds = dict[str, float]


def cube(size: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Ground of many covers, noise of 3 %, a few unmasked clouds, and 30 % of the pixels masked."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform(0.02, 0.4, (BANDS, size, size)).astype(np.float32)
    reflectance = np.empty((SCENES, BANDS, size, size), np.float32)
    for scene in reflectance:
        scene[:] = ground + 0.03 * rng.standard_normal(ground.shape, np.float32)
        scene[:, rng.random((size, size)) < 0.03] += np.float32(0.3)
    return reflectance, rng.random((SCENES, size, size)) >= CLOUDY


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time of a call, and what it returned."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def peer(folder: Path, threads: int) -> Seconds:
    """One round of the peers that this Python has; geomad's result is saved."""
    gaps = np.load(folder / "gaps.npy")
    last = np.ascontiguousarray(gaps.transpose(2, 3, 1, 0))
    seconds: Seconds = {"numpy median": timed(lambda: np.nanmedian(gaps, axis=0))[0]}
    if importlib.util.find_spec("bottleneck"):
        import bottleneck

        seconds["bottleneck median"] = timed(lambda: bottleneck.nanmedian(last, axis=-1))[0]
    if importlib.util.find_spec("geomad"):
        import geomad

        options = {"num_threads": threads, "nocheck": True}
        seconds["geomad"], middle = timed(lambda: geomad.nangeomedian_pcm(last, eps=EPS, **options))
        deviations = (geomad.smad_pcm, geomad.emad_pcm, geomad.bcmad_pcm)
        seconds["geomad deviations"], each = timed(lambda: [call(last, middle, **options) for call in deviations])
        np.save(folder / "geomad.npy", middle.transpose(2, 0, 1))
        np.save(folder / "deviations.npy", np.stack(each))
    return seconds


def ours(reflectance: NDArray[np.float32], valid: NDArray[np.bool_], threads: int, folder: Path) -> Seconds:
    """One round of ours; the geometric median and its deviations are saved."""
    from groundshift.composite.reduce import METHODS, ReduceOptions, reduce

    ages = np.arange(SCENES, dtype=float)
    score = np.random.default_rng(1).random(valid.shape, np.float32)
    seconds: Seconds = {}
    for method in METHODS:
        options = ReduceOptions(method=method, eps=EPS, deviations=False)
        lanes = threads if method == "geomedian" else 1
        seconds[method], found = timed(
            lambda: reduce(reflectance, valid, options, score=score, ages=ages, threads=lanes)  # noqa: B023
        )
    np.save(folder / "ours.npy", found.composite)
    options = ReduceOptions(method="geomedian", eps=EPS)
    seconds["geomedian and deviations"], found = timed(lambda: reduce(reflectance, valid, options, threads=threads))
    np.save(folder / "our_deviations.npy", found.deviations)
    return seconds


def shortest(rounds: list[Seconds]) -> Seconds:
    """Of each, the shortest of all rounds."""
    return {name: min(each[name] for each in rounds) for name in rounds[0]}


def verdict(name: str, ratio: float, target: float) -> bool:
    """Print how many times faster ours was; whether that is enough."""
    met = ratio >= target
    print(f"{name:52s} {ratio:6.2f} x faster  (target {target:g}: {'met' if met else 'MISSED'})")
    return met


def agreement(folder: Path) -> bool:
    """Print how far the two geometric medians and their deviations are apart."""
    apart = float(np.nanmax(np.abs(np.load(folder / "ours.npy") - np.load(folder / "geomad.npy"))))
    met = apart <= AGREEMENT
    print(f"largest difference to geomad: {apart:.1e}  (target {AGREEMENT:g}: {'met' if met else 'MISSED'})")
    theirs, mine = np.load(folder / "deviations.npy"), np.load(folder / "our_deviations.npy")
    for name, one, other in zip(("SMAD", "EMAD", "BCMAD"), mine, theirs, strict=True):
        print(f"    {name:5s} {float(np.nanmax(np.abs(one - other))):.1e}")
    return met


def compare(folder: Path, options: argparse.Namespace) -> bool:
    """All rounds; whether every target was met."""
    reflectance, valid = cube(options.size)
    np.save(folder / "gaps.npy", np.where(valid[:, None], reflectance, np.float32(np.nan)))
    ours(reflectance[..., :1, :8].copy(), valid[:, :1, :8].copy(), 1, folder)
    command = [options.peers, __file__, "--peer", str(folder), "--threads", str(options.threads)]
    mine, theirs = [], []
    for _ in range(options.rounds):
        mine.append(ours(reflectance, valid, options.threads, folder))
        theirs.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    fast, slow = shortest(mine), shortest(theirs)
    print(f"{options.size} x {options.size} pixels, {SCENES} scenes, {BANDS} bands; seconds, best of {options.rounds}")
    for name, seconds in (fast | slow).items():
        print(f"    {name:28s} {seconds:8.3f}")
    met = verdict("median, beside numpy.nanmedian", slow["numpy median"] / fast["median"], 10)
    if "bottleneck median" in slow:
        met &= verdict("median, beside bottleneck.nanmedian", slow["bottleneck median"] / fast["median"], 2)
    if "geomad" in slow:
        met &= verdict(
            f"geometric median, beside geomad, {options.threads} threads", slow["geomad"] / fast["geomedian"], 1.5
        )
        whole = slow["geomad"] + slow["geomad deviations"]
        verdict("    with the three deviations", whole / fast["geomedian and deviations"], 1.5)
        met &= agreement(folder)
    for name in ("bottleneck", "geomad"):
        if not any(key.startswith(name) for key in slow):
            print(f"{name} is not installed in {options.peers}, so nothing was compared with it")
    return met


def main() -> int:
    """Compare; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the pixels, one round")
    parser.add_argument("--size", type=int, default=1000, help="rows and columns (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each, in turn (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="for the geometric median (%(default)s)")
    parser.add_argument("--peers", default=sys.executable, help="the Python that has geomad and bottleneck")
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        print(json.dumps(peer(options.peer, options.threads)))
        return 0
    if options.quick:
        options.size, options.rounds = 500, 1
    with tempfile.TemporaryDirectory(prefix="composites-") as folder:
        return 0 if compare(Path(folder), options) else 1


if __name__ == "__main__":
    sys.exit(main())
