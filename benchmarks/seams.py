"""Two tiles of two orbits to one picture: the step across the border, with and without balance and blending.

33TWM 2023-08-13 beside 33TWL 2023-08-15 of ../shared/data/alps-2023 (120 m, B02 B03 B04 B08), both taken to the grid
of the first by the nearest pixel: the grids lie half a pixel apart, and interpolating one would blur it. Clouds are
masked in what the balance is fitted on, not in the picture.

Step: median of a strip of 3 pixels on one side of the seam less that on the other, in segments of 100 columns.
Elsewhere: the same along the same line, moved 60 to 120 pixels up and down the finished mosaic. Ground: the same along
the seam in one single scene, 33TWM 2023-08-15; what is left of the step beyond that is what the mosaic put there.
Deviation: standard deviation of the pixels in the strips. Pictures go to benchmarks/results/.

Targets, for balance, seam line and blending together, in each band: mean step at most 0.002; median size of the step
at most 0.002 beyond that elsewhere and a quarter of the deviation; pixels farther than 2 km from the seam move by at
most 0.002 (root mean square) against the balanced scenes; the mean of the area by at most 0.002.

    python benchmarks/seams.py [--radius-m 1900] [--crops docs/images]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from _pairs import ALPS_PIXEL_M, BANDS, DATA, need
from _tables import results, table
from groundshift.clouds import scl
from groundshift.composite import balance, blend, display, seams
from groundshift.io.opening import open_scene
from groundshift.model.grid import blocks
from groundshift.model.scene import Reader
from groundshift.pipelines.job import MaskSection

NORTH, SOUTH, SINGLE = "S2B_33TWM_20230813", "S2A_33TWL_20230815", "S2A_33TWM_20230815"
STRIP_PX, SEGMENT_PX = 3, 100
TARGET = 0.002
FAR_M = 2000.0
CROP_PX = 220

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Layer:
    """One scene on the common grid."""

    image: Image
    """(band, y, x)"""
    valid: Mask
    clear: Mask
    """Valid, and farther from clouds and shadows than the mask of the main job grows them."""


@dataclass(frozen=True, eq=False)
class Steps:
    """Along one line; (segment, band)."""

    step: NDArray[np.float64]
    deviation: NDArray[np.float64]


def reader(name: str) -> Reader:
    """The scene of that name."""
    return open_scene(DATA / "alps-2023" / "sentinel-2-l2a" / f"{name}_0_L2A" / f"{name}_0_L2A.json")


def common_grid() -> GeoBox:
    """The grid of the northern tile, continued to the lower edge of the southern one."""
    north, south = (reader(name).scene.bands["B02"].geobox for name in (NORTH, SOUTH))
    height = north.extent.boundingbox.top - south.extent.boundingbox.bottom
    return GeoBox((int(height / ALPS_PIXEL_M), north.shape[1]), north.affine, north.crs)


def layer(name: str, grid: GeoBox) -> Layer:
    """One scene by the nearest pixel."""
    mask = MaskSection()
    pixels = reader(name).read(BANDS, grid, "nearest")
    classes = reader(name).read_classification(grid)
    grown = (mask.cloud_dilation_m / ALPS_PIXEL_M, mask.shadow_dilation_m / ALPS_PIXEL_M)
    valid = pixels.valid.all(axis=0)
    image = pixels.dn.astype(np.float32) * np.float32(1e-4)
    return Layer(image, valid, valid & scl.usable(np.asarray(classes), mask.classes, *grown))


def balanced(layers: list[Layer]) -> tuple[Image, balance.Balance]:
    """(scene, band, y, x) after a balance fitted block by block, and the balance."""
    first, second = layers
    sample = balance.merge(
        [
            balance.summarise(
                first.image[:, *w.slices], first.clear[w.slices], second.image[:, *w.slices], second.clear[w.slices],
                (w.y0, w.x0),
            )
            for w in blocks(first.valid.shape, 256)
        ]
    )  # fmt: skip
    shown = [first.valid, second.valid & ~first.valid]
    areas = [balance.area_sum(each.image, part) for each, part in zip(layers, shown, strict=True)]
    law = balance.solve({(0, 1): balance.statistics(sample)}, areas)
    return np.stack([balance.apply(law, k, each.image) for k, each in enumerate(layers)]), law


def steps(image: Image, labels: Labels) -> Steps:
    """The steps across the border between labels 0 and 1."""
    reach = STRIP_PX + 1.0
    sides = [(labels == k) & (blend.edge_distance(labels != 1 - k, reach) <= STRIP_PX) for k in (0, 1)]
    step, deviation = [], []
    for start in range(0, labels.shape[1], SEGMENT_PX):
        part = slice(start, start + SEGMENT_PX)
        upper, lower = (image[:, :, part][:, side[:, part] & np.isfinite(image[0, :, part])] for side in sides)
        if min(upper.shape[1], lower.shape[1]) >= SEGMENT_PX:
            step.append(np.median(upper, axis=1) - np.median(lower, axis=1))
            deviation.append(np.concatenate([upper, lower], axis=1).std(axis=1))
    return Steps(np.array(step), np.array(deviation))


def elsewhere(image: Image, labels: Labels) -> NDArray[np.float64]:
    """Steps (segment, band) along the same line moved up and down the image."""
    moved = [
        np.where(np.isfinite(image[0]), np.roll(labels, rows, axis=0), -1)
        for by in range(60, 121, 10)
        for rows in (by, -by)
    ]
    return np.concatenate([steps(image, each.astype(np.int16)).step for each in moved])


def line(name: str, image: Image, labels: Labels, ground: NDArray[np.float64] | None) -> list[object]:
    """One row of the table."""
    found = steps(image, labels)
    size = np.median(np.abs(found.step), axis=0)
    share = size / np.median(found.deviation, axis=0)
    own = None if ground is None else _four(np.median(np.abs(found.step - ground), axis=0))
    return [name, _four(np.median(found.step, axis=0)), _four(size), own, " ".join(f"{each:.2f}" for each in share)]


def _four(values: NDArray[np.float64]) -> str:
    return " ".join(f"{each:.4f}" for each in values)


def draw(variants: dict[str, tuple[Image, Labels]], both: Image) -> None:
    """Border of each variant in true and false colour, one curve for all, and where the seam runs."""
    from PIL import Image as Png

    valid = np.isfinite(both[0])
    for kind, order in (("rgb", [2, 1, 0]), ("nir", [3, 2, 1])):
        curve = display.fit(display.summarise(both[order], valid))
        for name, (image, labels) in variants.items():
            picture = np.moveaxis(display.apply(curve, image[order], np.isfinite(image[0])), 0, -1)
            stem = f"seams_{kind}_{name.replace(', ', '_').replace(' ', '_')}"
            Png.fromarray(picture[600:1150]).save(results() / f"{stem}.png")
            if name == "balance, seam, multiband":
                edge = np.zeros(labels.shape, bool)
                edge[1:] |= labels[1:] != labels[:-1]
                edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
                marked = np.where((edge & valid)[..., None], np.array([255, 255, 0], np.uint8), picture)
                Png.fromarray(marked[600:1150]).save(results() / f"{stem}_marked.png")


def crops(pasted: tuple[Image, Labels], both: Image, folder: Path) -> None:
    """The border of the plain paste and what becomes of it, for the docs: the square around it that changes most.

    One tone curve for both, in true colour.
    """
    from PIL import Image as Png

    (plain, labels), order, half = pasted, [2, 1, 0], CROP_PX // 2
    valid = np.isfinite(both[0])
    curve = display.fit(display.summarise(both[order], valid))
    rows = np.where((labels == 0) & valid, np.arange(labels.shape[0])[:, None], -1).max(axis=0)
    best, found = -1.0, (half, half)
    for x in range(half, labels.shape[1] - half, half // 4):
        y = int(np.median(rows[x - half : x + half]))
        window = np.s_[:, y - half : y + half, x - half : x + half]
        if half <= y < labels.shape[0] - half and valid[window[1:]].all():
            changed = float(np.abs(plain[window] - both[window]).mean())
            best, found = max((best, found), (changed, (y, x)))
    y, x = found
    window = np.s_[:, y - half : y + half, x - half : x + half]
    for name, image in (("plain", plain), ("seamless", both)):
        part = image[order][window]
        picture = np.moveaxis(display.apply(curve, part, np.isfinite(part[0])), 0, -1)
        Png.fromarray(picture).save(folder / f"mosaic-border-{name}.png", optimize=True)
    print(f"crops of {CROP_PX} pixels around row {y}, column {x} written to {folder}")


def timed(name: str, work: Callable[[], NDArray[Any]], pixels: int) -> NDArray[Any]:
    """Run and print the speed."""
    start = time.perf_counter()
    out = work()
    seconds = time.perf_counter() - start
    print(f"{name}: {seconds:.2f} s, {pixels / seconds / 1e6:.1f} Mpx/s (4 bands, one thread)")
    return out


def main() -> int:
    """Measure; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--radius-m", type=float, default=1900.0, help="blending reaches this far (%(default)s)")
    parser.add_argument("--crops", type=Path, help="folder to write a crop of the border before and after to, as PNG")
    arguments = parser.parse_args()
    need("alps-2023")
    grid = common_grid()
    layers = [layer(NORTH, grid), layer(SOUTH, grid)]
    valid = np.stack([each.valid for each in layers])
    raw, (even, law) = np.stack([each.image for each in layers]), balanced(layers)
    seam = seams.seams(even, valid)
    seam = timed("seam", lambda: seams.seams(even, valid), seam.size)
    plain = np.where(valid[0], 0, np.where(valid[1], 1, -1)).astype(np.int16)
    radius = arguments.radius_m / ALPS_PIXEL_M
    soft, wide = blend.BlendOptions(radius_px=radius), blend.BlendOptions(method="feather", radius_px=radius)
    hard = blend.BlendOptions(method="none")
    variants = {
        "plain paste": (blend.blend(raw, valid, plain, hard), plain),
        "balance": (blend.blend(even, valid, plain, hard), plain),
        "balance, seam": (blend.blend(even, valid, seam, hard), seam),
        "seam, multiband": (blend.blend(raw, valid, seam, soft), seam),
        "balance, seam, feather": (timed("feather", lambda: blend.blend(even, valid, seam, wide), seam.size), seam),
        "balance, seam, multiband": (timed("multiband", lambda: blend.blend(even, valid, seam, soft), seam.size), seam),
    }
    both = variants["balance, seam, multiband"][0]
    single = layer(SINGLE, grid)
    ground = steps(np.where(single.valid, single.image, np.nan), seam).step
    rows = [line(name, *pair, ground if pair[1] is seam else None) for name, pair in variants.items()]
    away = elsewhere(both, seam)
    rows.append(["(elsewhere)", _four(np.median(away, axis=0)), _four(np.median(np.abs(away), axis=0)), None, None])
    head = ["", "mean step", "size of the step", "beyond the ground's own", "size / deviation"]
    table(f"step across the border, median over segments, {' '.join(BANDS)}", head, rows)
    draw(variants, both)
    if arguments.crops:
        crops(variants["plain paste"], both, arguments.crops)
    return judge(both, seam, variants, away, law)


def judge(
    both: Image,
    seam: Labels,
    variants: dict[str, tuple[Image, Labels]],
    away: NDArray[np.float64],
    law: balance.Balance,
) -> int:
    """Print the remaining figures and what is met; 1 where something is missed."""
    print(f"\ngain {law.gain.round(3).tolist()}, offset {law.offset.round(4).tolist()}")
    for name, pair in (("steps", (law.step_before, law.step_after)), ("rmse", (law.rmse_before, law.rmse_after))):
        print(f"{name} of the overlap, before: {_four(pair[0])}; after: {_four(pair[1])}")
    reach = FAR_M / ALPS_PIXEL_M
    far = seam >= 0
    for k in (0, 1):
        far &= (seam != 1 - k) | (blend.edge_distance(seam != k, reach + 2) > reach)
    drift = np.sqrt(np.mean((both - variants["balance, seam"][0])[:, far].astype(np.float64) ** 2, axis=1))
    moved = np.nanmean((both - variants["plain paste"][0]).astype(np.float64), axis=(1, 2))
    moved_alone = np.nanmean((variants["balance"][0] - variants["plain paste"][0]).astype(np.float64), axis=(1, 2))
    print(f"farther than 2 km from the seam, root mean square: {_four(drift)}")
    print(f"mean of the area moved by balance {_four(moved_alone)}, by all {_four(moved)}")
    found = steps(both, seam)
    size = np.median(np.abs(found.step), axis=0)
    met = {
        "mean step <= 0.002": np.abs(np.median(found.step, axis=0)) <= TARGET,
        "size of the step <= 0.002 beyond elsewhere": size - np.median(np.abs(away), axis=0) <= TARGET,
        "size of the step <= a quarter of the deviation": size <= np.median(found.deviation, axis=0) / 4,
        "drift beyond 2 km <= 0.002": drift <= TARGET,
        "mean of the area <= 0.002": np.maximum(np.abs(moved), np.abs(moved_alone)) <= TARGET,
    }
    for name, each in met.items():
        print(f"{name}: {'met' if each.all() else f'MISSED in {np.array(BANDS)[~each].tolist()}'}")
    return 0 if all(each.all() for each in met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
