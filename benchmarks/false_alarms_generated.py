"""False alarms of the pixel-wise statistic of no change on generated differences: realised over nominal.

For every case the statistics are fitted to a mixture of unchanged and changed pixels and then counted on no-change
pixels that the fit never saw. Prints one line a case and, last, those outside a factor 2 of nominal.

    python benchmarks/false_alarms_generated.py [--quick] [--pixels 20000000] [--out table.tsv]
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundshift.change.nochange import LEVELS, NoChangeOptions, fit

Array = NDArray[np.float32]
SCALE = 0.01
OFFSET = 0.004
FIT_PIXELS = 600_000
CHUNK = 1_000_000

KINDS = {
    "vegetation": lambda p: np.where(np.arange(p) < max(p - 1, 1), 1.0, -1.0),
    "brightness": lambda p: np.ones(p),
    "one band": lambda p: (np.arange(p) == p - 1).astype(float),
}


def noise(rng: np.random.Generator, n: int, p: int, rho: float, law: str) -> Array:
    """Elliptical noise (p, n) of unit core width and one correlation between all bands."""
    root = np.linalg.cholesky((1 - rho) * np.eye(p) + rho).astype(np.float32)
    white = root @ rng.standard_normal((p, n), dtype=np.float32)
    if law == "normal":
        return white
    if law == "laplace":
        return white * np.sqrt(rng.standard_exponential(n, dtype=np.float32))
    if law == "contaminated":
        return white * np.where(rng.random(n) < 0.1, np.float32(3), np.float32(1))
    nu = float(law.removeprefix("t"))
    return white * np.sqrt(nu / (2 * rng.standard_gamma(nu / 2, n, dtype=np.float32)))


def changes(rng: np.random.Generator, n: int, p: int, kind: str, strength: tuple[float, float]) -> Array:
    """Shifts (p, n) in core widths: uniform strength, three in ten of them on a soft edge, mixed with any share."""
    if kind == "mixed":
        shapes = np.stack([KINDS["vegetation"](p), KINDS["brightness"](p), KINDS["one band"](p), -np.ones(p)])
    else:
        shapes = KINDS[kind](p)[None]
    amount = rng.uniform(*strength, n) * np.where(rng.random(n) < 0.3, rng.random(n), 1.0)
    return (shapes[rng.integers(len(shapes), size=n)].T * amount).astype(np.float32)


def to_reflectance(widths: Array) -> Array:
    """Differences in reflectance, each band with its own width and offset."""
    p = len(widths)
    width = np.linspace(0.5, 2.0, p, dtype=np.float32)[:, None] * np.float32(SCALE)
    return widths * width + np.linspace(-OFFSET, 2 * OFFSET, p, dtype=np.float32)[:, None]


def cases(quick: bool) -> Iterator[tuple[int, float, str, float, str, tuple[float, float]]]:
    """Bands, correlation, law, share changed, kind and strength."""
    laws = ("normal", "t3", "t5", "t10")
    rhos = (0.2, 0.9) if quick else (0.2, 0.5, 0.8, 0.9)
    shares = (0.0, 0.35) if quick else (0.0, 0.01, 0.05, 0.2, 0.35)
    for rho, law in itertools.product(rhos, laws):
        for share in shares:
            kinds = ("vegetation", "brightness", "one band", "mixed") if share else ("none",)
            strengths = ((2.0, 15.0), (4.0, 4.0)) if share > 0.2 else ((2.0, 15.0),)
            for kind, strength in itertools.product(kinds, strengths if share else ((0.0, 0.0),)):
                yield 4, rho, law, share, kind, strength
    if quick:
        return
    for p, law in itertools.product((1, 2, 3, 6, 10), ("normal", "t3", "t5")):
        for share, kind in ((0.0, "none"), (0.2, "vegetation"), (0.35, "vegetation"), (0.35, "mixed")):
            yield p, 0.8, law, share, kind, (2.0, 15.0) if share else (0.0, 0.0)
    for law, share in itertools.product(("laplace", "contaminated"), (0.0, 0.05, 0.2, 0.35)):
        yield 4, 0.8, law, share, "vegetation" if share else "none", (2.0, 15.0) if share else (0.0, 0.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the hardest cases only")
    parser.add_argument("--pixels", type=int, default=20_000_000, help="no-change pixels counted a case")
    parser.add_argument("--normalization", choices=("full", "diag"), default="full")
    parser.add_argument("--estimator", choices=("robust", "textbook"), default="robust")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    options = NoChangeOptions(normalization=arguments.normalization, estimator=arguments.estimator)
    lines = ["p\trho\tlaw\tshare\tkind\tstrength\tunchanged\tnu\tseconds\t" + "\t".join(f"{c:g} %" for c in LEVELS)]
    print(lines[0], flush=True)
    outside, pool, held = [], None, np.empty((0, 0), np.float32)
    for p, rho, law, share, kind, strength in cases(arguments.quick):
        if pool != (p, rho, law):
            pool, rng = (p, rho, law), np.random.default_rng(1000 + p)
            held = np.empty((p, arguments.pixels), np.float32)
            for begin in range(0, arguments.pixels, CHUNK):
                size = min(CHUNK, arguments.pixels - begin)
                held[:, begin : begin + size] = to_reflectance(noise(rng, size, p, rho, law))
        rng = np.random.default_rng([int(100 * share), int(strength[1]), len(kind)])
        sample = noise(rng, FIT_PIXELS, p, rho, law)
        changed = round(share * FIT_PIXELS)
        if changed:
            sample[:, :changed] += changes(rng, changed, p, kind, strength)
        begin_s = time.process_time()
        found = fit(to_reflectance(sample), options)
        seconds = time.process_time() - begin_s
        squared = found.distance2(held)
        ratios = [float((squared > found.threshold(c)).mean()) / (1 - c / 100) for c in LEVELS]
        nu = 1 / found.inverse_nu if found.inverse_nu else np.inf
        lines.append(
            f"{p}\t{rho}\t{law}\t{share}\t{kind}\t{strength[0]:g}-{strength[1]:g}\t{found.unchanged_share:.3f}\t{nu:.2f}\t"
            f"{seconds:.1f}\t" + "\t".join(f"{ratio:.2f}" for ratio in ratios)
        )
        print(lines[-1], flush=True)
        if not all(0.5 <= ratio <= 2 for ratio in ratios):
            outside.append(lines[-1])
    print(f"\n{len(lines) - 1} cases, {len(outside)} outside a factor 2 of nominal", *outside, sep="\n")
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
