"""Textures (GLCM) beside scikit-image: equal values, and how much faster; throughput, memory, pictures.

Near infrared of two real scenes of ../shared/data (where they are absent: not) and a generated image, in 32 grey levels
between the 1st and 99th percentile; window 7, distance 1, four directions averaged, six features.

* **equal**: windows chosen at random, by scikit-image one by one (`graycomatrix`, `graycoprops`); target: no feature
  further apart than 1e-5 (contrast: of its value, it goes to 961). Beside it the entropy as whole-image arithmetic
  often has it: a plane of shares for each cell of the matrix, plus one over the pixels of the window so that the
  logarithm exists, one direction.
* **fast**: ours on the whole image and scikit-image on those windows, turn by turn, one thread each, by processor time;
  target: 300 times faster by pixel. And ours by the clock on two threads; target: 3 Mpx/s. Of several rounds the
  shortest counts.
* **memory**: strips of 512 rows with halo, of an image as wide as a tile, of which one is four times as high.

    python benchmarks/textures.py [--quick] [--size 2000] [--windows 400] [--rounds 5] [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import measure
from _pairs import DATA
from _tables import results, table
from groundshift.features.texture import MISSING, GlcmOptions, glcm, halo_px, quantise

OPTIONS = GlcmOptions(features=("correlation", "entropy", "contrast", "dissimilarity", "homogeneity", "asm"))
TILE, STRIP = 10_980, 512
APART, FASTER, MPX = 1e-5, 300, 3
SMALL = 250_000
"""Pixels that are done in too short a time for the clock."""
Levels = NDArray[np.uint8]
Windows = list[tuple[int, int]]


def generated(size: int) -> NDArray[np.float32]:
    """Fields of many sizes, with noise."""
    rng = np.random.default_rng(0)
    fields = sum(s * ndimage.gaussian_filter(rng.standard_normal((size, size)), s) for s in (1, 4, 16))
    return np.asarray(fields + 0.1 * rng.standard_normal((size, size)), np.float32)


def images(size: int) -> Iterator[tuple[str, Levels]]:
    """Name and grey levels."""
    yield "generated", levels_of(generated(size))
    if DATA.is_dir():
        from groundshift.io.opening import open_scene
        from groundshift.model.scene import OpenOptions

        safe = next((DATA / "safe").glob("S2A_*T33SVB*.SAFE"))
        for name, path, scale in (("Aquileia", DATA / "aquileia-2019", 65535), ("T33SVB", safe, None)):
            reader = open_scene(path, OpenOptions(scale=scale, verify=False))
            pixels = reader.read(["B08"], reader.scene.bands["B08"].geobox)
            yield name, levels_of(np.where(pixels.valid[0], pixels.dn[0], np.nan).astype(np.float32))


def levels_of(values: NDArray[np.float32]) -> Levels:
    """In the limits of the whole image."""
    low, high = np.nanpercentile(values, [1, 99])
    return quantise(values, float(low), float(high), OPTIONS.levels)


def complete(image: Levels, count: int) -> Windows:
    """Centres of windows without missing pixels, at random."""
    radius = halo_px(OPTIONS)
    known = ndimage.minimum_filter(image != MISSING, OPTIONS.window)[radius:-radius, radius:-radius]
    chosen = np.random.default_rng(1).choice(np.argwhere(known), count, replace=False) + radius
    return [(int(y), int(x)) for y, x in chosen]


def window_at(image: Levels, y: int, x: int) -> Levels:
    """The window around a pixel."""
    radius = halo_px(OPTIONS)
    return image[y - radius : y + radius + 1, x - radius : x + radius + 1]


def theirs(image: Levels, windows: Windows) -> NDArray[np.float64]:
    """(feature, window) by scikit-image."""
    from skimage.feature import graycomatrix, graycoprops

    angles, names = np.deg2rad(OPTIONS.angles), [{"asm": "ASM"}.get(name, name) for name in OPTIONS.features]
    out = np.empty((len(names), len(windows)))
    for k, (y, x) in enumerate(windows):
        matrices = graycomatrix(window_at(image, y, x), [1], angles, OPTIONS.levels, symmetric=True, normed=True)
        out[:, k] = [graycoprops(matrices, name).mean() for name in names]
    return out


def shortcut(image: Levels, y: int, x: int) -> float:
    """The entropy with something added to every cell."""
    window = window_at(image, y, x).astype(int)
    cells = np.bincount((OPTIONS.levels * window[:, :-1] + window[:, 1:]).ravel(), minlength=OPTIONS.levels**2)
    share = (cells + 1) / window.size
    return float(-(share * np.log(share)).sum())


def processor_time(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def wall_time(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(name: str, image: Levels, options: argparse.Namespace) -> bool:
    """One image; whether every target was met."""
    windows = complete(image, options.windows)
    ours, peer = glcm(image, OPTIONS), theirs(image, windows)
    rows, columns = np.transpose(windows)
    mine = ours[:, rows, columns]
    apart = np.abs(mine - peer) / np.maximum(1, np.abs(peer))
    fast, slow, clock = [], [], []
    for _ in range(options.rounds):
        fast.append(processor_time(lambda: glcm(image, OPTIONS)) / image.size)
        slow.append(processor_time(lambda: theirs(image, windows)) / len(windows))
        clock.append(wall_time(lambda: glcm(image, OPTIONS, threads=options.threads)) / image.size)
    entropy = OPTIONS.features.index("entropy")
    wrong = [shortcut(image, y, x) - peer[entropy, k] for k, (y, x) in enumerate(windows)]
    table(
        f"{name}: {image.shape[0]} x {image.shape[1]} pixels, {np.mean(image == MISSING):.1%} missing, "
        f"{len(windows)} windows of scikit-image",
        ["feature", "mean", "furthest apart"],
        [[f, float(np.nanmean(ours[i])), f"{apart[i].max():.1e}"] for i, f in enumerate(OPTIONS.features)],
    )
    print(f"\nentropy with one over {OPTIONS.window**2} added to every cell: off by {np.mean(wrong):.2f} on average")
    print(f"one thread, by processor time: {1e-6 / min(fast):.2f} Mpx/s; scikit-image {1 / min(slow):.0f} windows/s")
    met = verdict("furthest apart", float(apart.max()), APART, float(apart.max()) <= APART)
    met &= verdict("times faster than scikit-image", min(slow) / min(fast), FASTER)
    if image.size < SMALL:
        return met
    return met & verdict(f"Mpx/s by the clock, {options.threads} threads", 1e-6 / min(clock), MPX)


def verdict(what: str, figure: float, target: float, met: bool | None = None) -> bool:
    """Print a figure beside its target; whether it is met."""
    met = figure >= target if met is None else met
    print(f"{what:44s} {figure:10.3g}  (target {target:g}: {'met' if met else 'MISSED'})", flush=True)
    return met


def strips(height: int) -> None:
    """Textures of a generated image, strip by strip; nothing is kept."""
    halo = halo_px(OPTIONS)
    for top in range(0, height, STRIP):
        rng = np.random.default_rng(top)
        image = rng.integers(0, OPTIONS.levels, (min(STRIP, height - top) + 2 * halo, TILE), np.uint8)
        glcm(image, OPTIONS)[:, halo:-halo].mean()


def memory(quick: bool) -> None:
    """Peaks of two processes, the second with four times the pixels."""
    heights = (STRIP, 4 * STRIP) if quick else (4 * STRIP, 16 * STRIP)
    peaks = []
    for height in heights:
        peaks.append(measure.run([sys.executable, __file__, "--strips", str(height)]).anonymous)
        print(f"{height:6d} rows of {TILE} pixels in strips of {STRIP}: {peaks[-1] / measure.GIB:.2f} GiB at most")
    out = 4 * len(OPTIONS.features) * STRIP * TILE
    print(f"of which the textures of one strip are {out / measure.GIB:.2f} GiB; ratio {peaks[1] / peaks[0]:.2f}")


def picture(name: str, image: Levels) -> None:
    """The textures beside the image, each between its 1st and 99th percentile."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    part = image[:600, :600]
    planes = {"grey levels": np.where(part == MISSING, np.nan, part)}
    planes |= dict(zip(OPTIONS.features, glcm(part, OPTIONS), strict=True))
    figure, axes = plt.subplots(2, 4, figsize=(20, 10.5), layout="constrained")
    for axis, (title, plane) in zip(axes.flat, planes.items(), strict=False):
        low, high = np.nanpercentile(plane, [1, 99])
        axis.imshow(plane, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(f"{title}: {low:.3g} to {high:.3g}")
    for axis in axes.flat:
        axis.set_axis_off()
    figure.savefig(results() / f"textures_{name}.png", dpi=70)
    plt.close(figure)


def main() -> int:
    """Compare; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer pixels and windows, two rounds")
    parser.add_argument("--size", type=int, default=2000, help="of the generated image (%(default)s)")
    parser.add_argument("--windows", type=int, default=400, help="of scikit-image, for each image (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of each, in turn (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="for the time by the clock (%(default)s)")
    parser.add_argument("--strips", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.strips:
        strips(options.strips)
        return 0
    if options.quick:
        options.size, options.windows, options.rounds = 700, 100, 2
    met = True
    for name, image in images(options.size):
        met &= compare(name, image, options)
        picture(name, image)
    print()
    memory(options.quick)
    print(
        f"\nload of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; pictures: results/textures_*.png"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
