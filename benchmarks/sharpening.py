"""Bands of 20 and 60 m sharpened to 10 m, by Wald's protocol: all made coarser by the factor, sharpened, compared.

Three ways to make coarser: the plain mean, and a Gaussian whose transfer at the Nyquist frequency of the coarser grid
is 0.30 or 0.15 (the range specified for the instrument), the same for all bands and guides, sampled at the centres of
the coarser pixels. Beside nearest and bicubic (Keys, a = -1/2) stands what `sharpen` gives with the rungs that `choose`
took from a trial on the coarser images, which is all that a user would have.

Scenes of ../shared/data: saxony-l1c-2017 and the SAFE crop T33SVB hold bands of 10, 20 and 60 m as they are, the latter
stored in steps of 64 to 512 DN; its bands of 60 m have too few pixels and are left out. aquileia-2019, sundarbans-2020
and bushfire-2018-2019 are exports on grids of 14, 18.5 and 9.3 m, where no band lies on its own pixels: they are first
averaged to pixels of at least 20 and 60 m, which those bands do resolve. Controls in saxony: B05 mirrored, which has
nothing to do with the guides and must be chosen smooth, and B10, which hardly sees the ground.

RMSE in DN (1e-4 reflectance) and UIQI (Wang and Bovik 2002, mean of windows of 8 x 8) by band; SAM in degrees and ERGAS
over the bands of a scene. Speed is that of one thread by its own clock. Pictures go to benchmarks/results/.

Targets: below bicubic in RMSE in every band of every scene; coarse means kept to 1 DN; 5 Mpx/s a band and thread;
memory beyond the input at most 4 times the output.

    python benchmarks/sharpening.py
"""

from __future__ import annotations

import math
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from _pairs import DATA, need
from _tables import results, table
from groundshift.features.sharpen import GUIDED, Rung, SharpenOptions, choose, sharpen, summarise
from groundshift.io.opening import open_scene
from groundshift.model.scene import OpenOptions

FINE, MID, LOW = ("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B8A", "B11", "B12"), ("B01", "B09")
CIRRUS, MIRRORED = "B10", "B05 mirrored"
SAFE = "safe/S2A_MSIL2A_20181229T095411_N0211_R079_T33SVB_20181229T112231.SAFE"
EXPORTS = {
    "aquileia": ("aquileia-2019", 13.9),
    "sundarbans": ("sundarbans-2020", 18.5),
    "bushfire": ("bushfire-2018-2019@2018-12-01", 9.3),
}
"""Where they lie, and the length of their pixels in metres."""
TRANSFERS: tuple[float | None, ...] = (None, 0.30, 0.15)
DN = 1e-4
SPEED = 5.0

Bands = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Case:
    """Bands of one resolution of one scene, and the 10 m bands over the same area."""

    name: str
    bands: tuple[str, ...]
    coarse: Bands
    fine: Bands
    factor: int
    step: int
    """By how much ``fine`` is made coarser to lie on the pixels of ``coarse``."""


# --- scenes ---------------------------------------------------------------------------------------------------------


def read(place: str, options: OpenOptions, bands: Sequence[str], zoom: int = 1) -> Bands:
    """Reflectance on the grid of the first band, or one of zoom times its pixels; NaN = missing."""
    reader = open_scene(DATA / place, options)
    info = [reader.scene.bands[band] for band in bands]
    grid = reader.scene.bands[{6: "B01", 2: "B05"}.get(zoom, bands[0])].geobox
    rows, columns = grid.shape
    pixels = reader.read(bands, grid.zoom_to((rows * zoom, columns * zoom)), "nearest")
    scale = np.array([one.scale for one in info], np.float32)[:, None, None]
    return np.where(pixels.valid, pixels.dn.astype(np.float32) * scale, np.float32(np.nan))


def cases() -> Iterator[Case]:
    """All scenes."""
    for name, place, options in (
        ("saxony", "saxony-l1c-2017/IMG_DATA", OpenOptions(scale=10000)),
        ("SAFE", SAFE, OpenOptions()),
    ):
        mid, fine = read(place, options, MID), read(place, options, FINE, 2)
        if name == "SAFE":
            yield Case(f"{name} 20 m", MID, mid, fine, 2, 2)
        else:
            mid = np.concatenate([mid, mid[:1, :, ::-1]])
            yield Case(f"{name} 20 m", (*MID, MIRRORED), mid, fine, 2, 2)
            names = (*LOW, CIRRUS)
            yield Case(f"{name} 60 m", names, read(place, options, names), read(place, options, FINE, 6), 6, 6)
    for name, (place, pixel_m) in EXPORTS.items():
        image = read(place, OpenOptions(scale=65535), (*FINE, *MID, *LOW))
        for begin, names, factor, native_m in ((4, MID, 2, 20), (10, LOW, 6, 60)):
            step = math.ceil(native_m / pixel_m)
            bands = coarser(image[begin : begin + len(names)], step)
            yield Case(f"{name} {step * pixel_m:.0f} m", names, bands, image[:4], factor, step)


# --- Wald's protocol ------------------------------------------------------------------------------------------------


def weights(fine: int, factor: int, transfer: float | None) -> NDArray[np.float64]:
    """(coarse, fine) weights along an axis: plain means, or a Gaussian around the centre of each coarse pixel."""
    centres = (np.arange(fine // factor) + 0.5) * factor
    away = (np.arange(fine) + 0.5) - centres[:, None]
    if transfer is None:
        return (np.abs(away) < factor / 2).astype(float)
    sigma = np.sqrt(-2 * np.log(transfer)) / np.pi * factor
    return np.where(np.abs(away) < 4 * sigma + factor, np.exp(-0.5 * (away / sigma) ** 2), 0.0)


def coarser(image: Bands, factor: int, transfer: float | None = None) -> Bands:
    """Each band by the factor; NaN where the coarse pixel itself is not whole."""
    rows, columns = (weights(n, factor, transfer) for n in image.shape[1:])
    plain_rows, plain_columns = (weights(n, factor, None) for n in image.shape[1:])
    there = np.isfinite(image)
    total = rows @ np.where(there, image, 0) @ columns.T
    weight = rows @ there.astype(float) @ columns.T
    whole = plain_rows @ there.astype(float) @ plain_columns.T > factor**2 - 0.5
    return np.where(whole, total / np.maximum(weight, 1e-12), np.nan).astype(np.float32)


def bicubic(image: Bands, factor: int) -> Bands:
    """Cubic convolution (Keys 1981, a = -1/2), edges repeated."""
    for axis in (1, 2):
        n = image.shape[axis]
        at = (np.arange(n * factor) + 0.5) / factor - 0.5
        base = np.floor(at).astype(int)
        total = 0.0
        for tap in range(-1, 3):
            d = np.abs(at - base - tap)
            near, far = (1.5 * d - 2.5) * d * d + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
            weight = np.where(d <= 1, near, far).reshape((1, -1, 1) if axis == 1 else (1, 1, -1))
            total = total + weight * image.take(np.clip(base + tap, 0, n - 1), axis)
        image = np.asarray(total)
    return image.astype(np.float32)


def nearest(image: Bands, factor: int) -> Bands:
    """Each pixel repeated."""
    return image.repeat(factor, axis=1).repeat(factor, axis=2)


def simulated(case: Case, transfer: float | None) -> tuple[Bands, Bands, Bands]:
    """What is known, the same made coarser, and guides of the resolution of what is known."""
    size = [n // case.factor * case.factor for n in case.coarse.shape[1:]]
    known = case.coarse[:, : size[0], : size[1]]
    guides = coarser(case.fine, case.step, transfer)[:, : size[0], : size[1]]
    return known, coarser(known, case.factor, transfer), guides


# --- scores ---------------------------------------------------------------------------------------------------------


def uiqi(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Universal image quality index, the mean over windows of 8 x 8 pixels that hold no NaN."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    mean_a, mean_b, square_a, square_b, product = (
        ndimage.uniform_filter(each, 8)[4:-4, 4:-4] for each in (a, b, a * a, b * b, a * b)
    )
    spread = square_a - mean_a**2 + square_b - mean_b**2
    index = 4 * (product - mean_a * mean_b) * mean_a * mean_b / np.maximum(spread * (mean_a**2 + mean_b**2), 1e-20)
    return float(np.nanmean(index))


def scores(
    found: Bands, known: Bands, factor: int, ground: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], list[float], float, float]:
    """RMSE by band in DN, UIQI by band, SAM in degrees and ERGAS of bands of the ground; over pixels that all have."""
    there = (np.isfinite(found) & np.isfinite(known)).all(axis=0)
    a, b = found[:, there].astype(np.float64), known[:, there].astype(np.float64)
    rmse = np.sqrt(((a - b) ** 2).mean(axis=1))
    lengths = np.linalg.norm(a[ground], axis=0) * np.linalg.norm(b[ground], axis=0)
    cosine = (a * b)[ground].sum(axis=0) / np.maximum(lengths, 1e-12)
    filled = [np.where(there, image, 0) for image in (found, known)]
    quality = [uiqi(x, y) for x, y in zip(*filled, strict=True)]
    ergas = 100 / factor * np.sqrt(((rmse / b.mean(axis=1))[ground] ** 2).mean())
    return rmse / DN, quality, float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()), float(ergas)


def measure(case: Case, transfer: float | None) -> bool:
    """Print one scene made coarser in one way; True where the targets are met."""
    known, coarse, guides = simulated(case, transfer)
    options = choose(summarise(coarse, guides, case.factor))
    found = sharpen(coarse, guides, case.factor, options)
    plain: tuple[Rung, ...] = ("smooth",) * len(coarse)
    images = {
        "nearest": nearest(coarse, case.factor),
        "bicubic": bicubic(coarse, case.factor),
        "smooth": sharpen(coarse, guides, case.factor, SharpenOptions(rungs=plain)).values,
        "groundshift": found.values,
    }
    common = np.where(np.isfinite(images["bicubic"]).all(axis=0), known, np.float32(np.nan))
    ground = np.array([band not in (CIRRUS, MIRRORED) for band in case.bands])
    rows, rmse = [], {}
    for name, image in images.items():
        rmse[name], quality, angle, ergas = scores(image, common, case.factor, ground)
        rows.append((name, *rmse[name].tolist(), angle, ergas, *(f"{one:.3f}" for one in quality)))
    title = "plain mean" if transfer is None else f"Gaussian, {transfer:.2f} at Nyquist"
    table(f"{case.name}, {title}", ("", *case.bands, "SAM", "ERGAS", *(f"Q {band}" for band in case.bands)), rows)
    ratio = rmse["groundshift"] / rmse["bicubic"]
    kept = np.nanmax(np.abs(coarser(found.values, case.factor) - coarse)) / DN
    counted = {code: f"{(found.used == code).mean():.3%}" for code in np.unique(found.used).tolist()}
    print(
        f"to bicubic {np.round(ratio, 2).tolist()}, means kept to {kept:.1e} DN, rungs {options.rungs}, used {counted}"
    )
    told = [rung == "smooth" for rung, band in zip(options.rungs, case.bands, strict=True) if band == MIRRORED]
    return bool((ratio[ground] < 1).all() and (ratio[~ground] < 1.001).all() and all(told) and kept <= 1)


# --- speed and pictures ---------------------------------------------------------------------------------------------


def speed(case: Case) -> bool:
    """Print megapixels of 10 m a second, band and thread, and memory."""
    sharpen(case.coarse[:, :64, :64], case.fine[:, : 64 * case.step, : 64 * case.step], case.factor)
    start = time.thread_time()
    found = sharpen(case.coarse, case.fine, case.factor)
    seconds = time.thread_time() - start
    start = time.thread_time()
    for band in np.nan_to_num(case.coarse):
        ndimage.zoom(band, case.factor, order=3, mode="nearest", grid_mode=True)
    plain = time.thread_time() - start
    tracemalloc.start()
    sharpen(case.coarse, case.fine, case.factor)
    memory = tracemalloc.get_traced_memory()[1] / found.values.nbytes
    tracemalloc.stop()
    rate = found.values.size / seconds / 1e6
    print(
        f"{case.name}: {rate:.1f} Mpx/s a band and thread, {plain / seconds:.2f} times the speed of scipy's cubic "
        f"zoom; memory beyond the input {memory:.1f} times the output; guided {(found.used == GUIDED).mean():.2%}"
    )
    return rate >= SPEED and memory <= 4


def picture(case: Case, name: str, window: tuple[slice, slice], bands: Sequence[int]) -> None:
    """As stored, bicubic, sharpened, and the guides in false colour, three times enlarged."""
    options = choose(summarise(case.coarse, case.fine, case.factor))
    images = [
        nearest(case.coarse, case.factor),
        bicubic(case.coarse, case.factor),
        sharpen(case.coarse, case.fine, case.factor, options).values,
    ]
    chosen = [np.stack([image[band][window] for band in bands]) for image in images]
    chosen.append(np.stack([case.fine[band][window] for band in (3, 2, 1)]))
    panels = []
    for image in chosen:
        like = chosen[0] if image is not chosen[-1] else image
        low, high = (np.nanpercentile(like, q, axis=(1, 2))[:, None, None] for q in (1, 99))
        eight = (np.clip((np.nan_to_num(image) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
        panels.append(nearest(eight, 3).transpose(1, 2, 0))
    rows = [np.concatenate(panels[i : i + 2], axis=1) for i in (0, 2)]
    Image.fromarray(np.concatenate(rows)).save(results() / f"sharpening_{name}.png")


def main() -> int:
    """Everything."""
    for place in ("saxony-l1c-2017", SAFE, *(place.split("@")[0] for place, _ in EXPORTS.values())):
        need(place)
    everything = list(cases())
    met = [measure(case, transfer) for transfer in TRANSFERS for case in everything]
    by_name = {case.name: case for case in everything}
    print("\n## Speed and memory\n")
    met += [speed(by_name[name]) for name in ("saxony 20 m", "saxony 60 m")]
    picture(by_name["saxony 20 m"], "fields", np.s_[500:660, 900:1120], (4, 3, 0))
    picture(by_name["saxony 20 m"], "town", np.s_[60:220, 60:280], (4, 3, 0))
    picture(by_name["saxony 60 m"], "60m", np.s_[200:360, 300:520], (1, 1, 0))
    picture(by_name["SAFE 20 m"], "hills", np.s_[20:180, 2:190], (4, 3, 0))
    coast = by_name["aquileia 28 m"]
    picture(
        Case(coast.name, MID, coarser(coast.coarse, 2), coarser(coast.fine, 2), 2, 2), "coast",
        np.s_[100:260, 300:520], (4, 3, 0),
    )  # fmt: skip
    print(f"\ntargets: {'met' if all(met) else 'MISSED'}")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
