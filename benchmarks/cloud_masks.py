"""Cloud masks against truth: hand masks, planted clouds, and other dates; agreement with products' masks apart.

* **hand masks**: `cloud-chips`, L1C colours at 10 m; dense masks (0 clear, 1 thick cloud, 2 thin cloud, 3 shadow) and
  scribbles, which have two codes a class, its middle and its border (1 and 2 thick cloud, 3 and 4 thin cloud, 5 and 6
  shadow: so CloudSEN12, which the chips are of by size and names, describes its scribbles, and so it is to the eye).
* **planted**: clouds and shadows of `groundshift.testing.clouds`, which the network never saw, on clear ground that it
  never saw: L2A of a lagoon, a delta, a forest (`aquileia`, `sundarbans`, `bushfire`), L1C of Paris (`oscd-bercy`).
* **other dates**: `alps-2023`, tile 33TWM, of which nothing was used in training: a pixel is cloud where blue is at
  least 0.06 above the darker of the two clear dates, shadow where near infrared fell by 40 % and blue did not rise,
  clear where blue is within 0.02 and near infrared within 15 %; others are not counted. Here the products' own masks
  compete. Pixels of 120 m are given to the network as they are.
* **agreement** with the scene classification, which is no truth, on the same tile.

Cloud is thick and thin together. Speed is of one thread on 1024 x 1024 pixels of 13 bands. Masks of others run in a
Python of their own (`pip install s2cloudless ukis-csmask onnxruntime`); OmniCloudMask fetches its weights and the
Keras model of `models/dl-l8s2-uv` needs TensorFlow, so both are left out.

    python benchmarks/cloud_masks.py [--quick] [--peers peers/bin/python] [--json figures.json]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy import ndimage

from _pairs import DATA, alps, need
from _tables import results, table
from groundshift.clouds import masker
from groundshift.clouds.unet import UNet
from groundshift.model.bands import BANDS
from groundshift.model.cloudmask import CloudClass
from groundshift.testing import clouds as generated

SNOWY = "ROI_4683 clear"
COLOURS = ("B04", "B03", "B02")
CLASSES = {"cloud": (1, 2), "shadow": (3,), "clear": (0, 4)}
UNKNOWN = 255
Codes = NDArray[np.uint8]
Reflectance = NDArray[np.float32]
FIGURES = ("precision", "recall", "F1", "IoU", "balanced accuracy")
TARGETS = {"cloud": ("IoU", 0.88), "shadow": ("F1", 0.7)}


@dataclass(frozen=True, eq=False)
class Case:
    """An image with truth."""

    name: str
    image: Reflectance
    bands: tuple[str, ...]
    valid: NDArray[np.bool_]
    truth: Codes
    """(y, x) codes of CloudClass, 255 where nothing is known."""
    pixel_m: float
    own: dict[str, Codes]
    """Masks that came with the product, or that others made."""
    level: str = "l2a"


def unet(case: Case) -> Codes:
    """Our mask, at the pixel size it was made for, brought back to that of the image."""
    network = UNet()
    factor = round(network.resolution_m / case.pixel_m)
    bands = network.choose(case.bands)
    image = case.image[[case.bands.index(name) for name in bands]]
    if factor < 2:
        return masker.classify(network.probabilities(image, bands, case.valid), case.valid)
    rows, columns = (-(-side // factor) * factor for side in case.valid.shape)
    grown = ((0, rows - case.valid.shape[0]), (0, columns - case.valid.shape[1]))
    shape = (rows // factor, factor, columns // factor, factor)
    coarse = np.pad(image, ((0, 0), *grown), mode="edge").reshape(-1, *shape).mean(axis=(2, 4))
    valid = np.pad(case.valid, grown, mode="edge").reshape(shape).all(axis=(1, 3))
    found = network.probabilities(coarse, bands, valid)
    fine = ndimage.zoom(found, (1, factor, factor), order=1, grid_mode=True, mode="nearest")
    return masker.classify(fine[:, : case.valid.shape[0], : case.valid.shape[1]], case.valid)


def blue(case: Case) -> Codes:
    """Cloud where blue is above 0.2."""
    return np.where(case.image[case.bands.index("B02")] > 0.2, 1, 0).astype(np.uint8)


WITHOUT_SHADOW = ("blue > 0.2", "product's probability", "s2cloudless")
MASKS: dict[str, Callable[[Case], Codes]] = {"unet": unet, "blue > 0.2": blue}


SCRIBBLES = np.array([0, 1, 1, 2, 2, 3, 3], np.uint8)
"""Classes of the codes of scribbles."""


def chips() -> list[Case]:
    """Ten places and dates, of which those with a hand mask."""
    found = []
    for path in sorted((DATA / "cloud-chips").glob("*/*/manual_*.tif")):
        stored = _read(path)[0]
        image = _read(path.with_name("S2L1C.tif")).astype(np.float32) * np.float32(1e-4)
        legend = SCRIBBLES if path.stem == "manual_sc" else SCRIBBLES[[0, 1, 3, 5]]
        known = (stored >= 0) & (stored < len(legend))
        truth = np.where(known, legend[np.where(known, stored, 0).astype(int)], UNKNOWN).astype(np.uint8)
        name = f"{path.parts[-3]} {path.parts[-2]}"
        found.append(Case(name, image, COLOURS, np.isfinite(image).all(axis=0), truth, 10.0, {}, "l1c"))
    return found


def _read(path: object) -> NDArray[np.generic]:
    import warnings

    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            return source.read()


def grounds() -> list[tuple[str, Reflectance, tuple[str, ...], NDArray[np.bool_]]]:
    """Clear ground at 10 m that the network never saw: name, reflectance, bands, valid."""
    surface = tuple(name for name in BANDS if name != "B10")
    found = []
    for folder, day in (
        ("aquileia-2019", "2019-04-16"),
        ("sundarbans-2020", "2020-01-27"),
        ("bushfire-2018-2019", "2018-12-01"),
    ):
        layers = [_read(DATA / folder / f"{day}_{name}.tiff") for name in surface]
        image = np.stack([layer[0].astype(np.float32) / np.float32(65535) for layer in layers])
        valid = np.stack([layer[-1] > 0 if len(layer) > 1 else layer[0] > 0 for layer in layers]).all(axis=0)
        found.append((folder, image, surface, valid))
    for when in (1, 2):
        layers = [_read(DATA / "oscd-bercy" / f"imgs_{when}_rect" / f"{name}.tif")[0] for name in BANDS]
        image = np.stack(layers).astype(np.float32) * np.float32(1e-4)
        found.append((f"oscd-bercy {when}", image, tuple(BANDS), image.min(axis=0) > 0))
    return found


def planted(seeds: Sequence[int]) -> list[Case]:
    """Clouds and shadows that groundshift.testing draws, on those grounds."""
    found = []
    for number, (name, ground, bands, valid) in enumerate(grounds()):
        for seed in seeds:
            rng = np.random.default_rng([seed, number])
            height, zenith, azimuth = rng.uniform(600, 3000), rng.uniform(25, 60), rng.uniform(0, 360)
            away = generated.shadow_offset_px(height, zenith, azimuth)
            sky = generated.sky(1000 * seed + number, valid.shape, float(rng.choice([0.0, 0.15, 0.35, 0.6])), away)
            truth = np.zeros(valid.shape, np.uint8)
            image = ground
            if sky is not None:
                cloud, shadow = sky.opacity(0, 0, valid.shape)
                rows = [BANDS[band].band_id for band in bands]
                depth, white = (a[rows][:, None, None] for a in (generated.SHADOW_DEPTH, generated.CLOUD_SPECTRUM))
                image = ground * (1 - depth * shadow)
                image = image + cloud * (white - image)
                truth[(shadow > 0.1) | (cloud > 0.02)] = UNKNOWN
                truth[(shadow > 0.5) & (cloud <= 0.02)] = CloudClass.SHADOW
                truth[cloud > 0.1] = CloudClass.CLOUD
            truth[~valid] = UNKNOWN
            level = "l1c" if "B10" in bands else "l2a"
            found.append(Case(name, image.astype(np.float32), bands, valid, truth, 10.0, {}, level))
    return found


ALPINE = ("B02", "B03", "B04", "B08")


def other_dates() -> list[Case]:
    """Tile 33TWM: truth from the darkest of the five dates."""
    dates = [alps("33TWM", day) for day in (10, 13, 15, 18, 20)]
    stack = np.stack([np.where(date.classes != 0, date.reflectance, np.nan) for date in dates])
    seen = np.isfinite(stack).all(axis=1)
    with np.errstate(invalid="ignore"):
        near = np.where(seen, stack[:, 3], np.nan)
        bluest = np.where(seen, stack[:, 0], np.nan)
        clear_days = np.stack([bluest[1], bluest[2]])
        floor = np.nanmin(np.where(np.isnan(clear_days), np.inf, clear_days), axis=0)
        usual = np.fmax(near[1], near[2])
    found = []
    for day, date, image, ok in zip((10, 13, 15, 18, 20), dates, stack, seen, strict=True):
        truth = np.full(floor.shape, UNKNOWN, np.uint8)
        rise, fall = image[0] - floor, image[3] / usual
        with np.errstate(invalid="ignore"):
            truth[(np.abs(rise) < 0.02) & (np.abs(fall - 1) < 0.15)] = CloudClass.CLEAR
            truth[(rise < 0.0) & (fall < 0.6) & (usual > 0.12)] = CloudClass.SHADOW
            truth[rise > 0.06] = CloudClass.CLOUD
        truth[~ok | ~np.isfinite(floor) | ~np.isfinite(usual)] = UNKNOWN
        own = {"scl": from_scl(date.classes), "product's probability": _probability(day)}
        clean = np.nan_to_num(image).astype(np.float32)
        found.append(Case(f"33TWM 08-{day}", clean, ALPINE, ok, truth, 120.0, own))
    return found


def from_scl(classes: Codes) -> Codes:
    """The scene classification in the codes of a cloud mask."""
    code = np.zeros(256, np.uint8)
    code[[8, 9]], code[10], code[3], code[11], code[0] = 1, 2, 3, 4, UNKNOWN
    return code[classes]


def _probability(day: int) -> Codes:
    folder = next((DATA / "alps-2023" / "sentinel-2-l2a").glob(f"S2?_33TWM_202308{day:02d}_0_L2A"))
    stored = _read(next(folder.glob("GRANULE/*/QI_DATA/MSK_CLDPRB_20m.jp2")))[0]
    return (stored >= 50).astype(np.uint8)


def with_peers(cases: list[Case], python: str | None) -> list[Case]:
    """The cases, with the masks that another Python's packages make of them."""
    if python is None:
        return cases
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases):
            np.savez(
                Path(folder) / f"{number:03d}.npz",
                image=case.image,
                bands=np.array(case.bands),
                level=case.level,
                pixel_m=case.pixel_m,
            )
        script = Path(__file__).with_name("peer_clouds.py")
        ran = subprocess.run([python, str(script), folder], capture_output=True, text=True, check=True)
        pace: dict[str, list[float]] = {}
        for line in ran.stdout.splitlines():
            name, value = line.rsplit(maxsplit=1)
            pace.setdefault(name, []).append(float(value))
        for name, values in pace.items():
            print(f"{name}: {np.median(values):.2f} Mpx/s of the image, {len(values)} images")
        found = []
        for number, case in enumerate(cases):
            with np.load(Path(folder) / f"{number:03d}_masks.npz") as masks:
                found.append(replace(case, own={**case.own, **{name: masks[name] for name in masks.files}}))
        return found


@dataclass
class Counts:
    """Pixels by truth and mask, of one class."""

    hit: int = 0
    missed: int = 0
    false: int = 0
    rest: int = 0

    def add(self, truth: NDArray[np.bool_], mask: NDArray[np.bool_]) -> None:
        """Count pixels."""
        self.hit += int((truth & mask).sum())
        self.missed += int((truth & ~mask).sum())
        self.false += int((~truth & mask).sum())
        self.rest += int((~truth & ~mask).sum())

    def figures(self) -> list[float | None]:
        """Precision, recall, F1, IoU, balanced accuracy."""

        def share(part: int, whole: int) -> float | None:
            return part / whole if whole else None

        recall, kept = share(self.hit, self.hit + self.missed), share(self.rest, self.rest + self.false)
        return [
            share(self.hit, self.hit + self.false),
            recall,
            share(2 * self.hit, 2 * self.hit + self.missed + self.false),
            share(self.hit, self.hit + self.missed + self.false),
            None if recall is None or kept is None else (recall + kept) / 2,
        ]


def compare(title: str, cases: Sequence[Case]) -> dict[tuple[str, str], list[float | None]]:
    """Print a table of all masks on cases, pooled; return figures by mask and class."""
    counts: dict[tuple[str, str], Counts] = {}
    for case in cases:
        masks = {name: make(case) for name, make in MASKS.items()} | case.own
        known = case.truth != UNKNOWN
        for name, mask in masks.items():
            for label, codes in CLASSES.items():
                if label == "shadow" and name in WITHOUT_SHADOW:
                    continue
                counts.setdefault((label, name), Counts()).add(
                    np.isin(case.truth[known], codes), np.isin(mask[known], codes)
                )
    rows = {key: counts[key].figures() for key in sorted(counts, key=lambda key: (list(CLASSES).index(key[0]), key[1]))}
    table(
        f"{title}: {len(cases)} images", ["class", "mask", *FIGURES], [[*key, *values] for key, values in rows.items()]
    )
    return rows


def draw(case: Case, name: str) -> None:
    """Picture, our mask and the truth side by side, as PNG."""
    from PIL import Image

    colour = np.array([[60, 120, 60], [255, 255, 255], [150, 190, 255], [70, 0, 110], [255, 120, 210]], np.uint8)
    palette = np.concatenate([colour, np.full((251, 3), 110, np.uint8)])
    rgb = np.stack([case.image[case.bands.index(band)] for band in COLOURS], axis=-1)
    shown = (np.clip(rgb / 0.4, 0, 1) ** 0.7 * 255).astype(np.uint8)
    panels = [shown, palette[unet(case)], palette[case.truth]]
    Image.fromarray(np.concatenate(panels, axis=1)).save(results() / f"cloud_masks_{name.replace(' ', '_')}.png")


def agreement(cases: Sequence[Case]) -> None:
    """How far our mask and the scene classification find the same."""
    rows = []
    for case in cases:
        ours, scl = unet(case), case.own["scl"]
        rows.append([case.name, *_agree(ours[case.valid], scl[case.valid])])
    head = [
        "image",
        "scl cloud %",
        "ours cloud %",
        "of scl's cloud, ours %",
        "of ours, scl's %",
        "of scl's shadow, ours %",
    ]
    table("agreement with the scene classification (no truth)", head, rows)


def _agree(ours: Codes, scl: Codes) -> list[float | None]:
    mine, theirs = np.isin(ours, (1, 2)), np.isin(scl, (1, 2))
    both, shade = (mine & theirs).sum(), scl == 3
    parts = [
        both / max(theirs.sum(), 1),
        both / max(mine.sum(), 1),
        (ours[shade] == 3).mean() if shade.any() else np.nan,
    ]
    return [100 * float(value) for value in (theirs.mean(), mine.mean(), *parts)]


def speed() -> None:
    """Mpx/s of one thread, and the peak of the process."""
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 0.5, (13, 1024, 1024)).astype(np.float32)
    valid = np.ones(image.shape[1:], bool)
    UNet().probabilities(image[:, :64, :64], tuple(BANDS), valid[:64, :64])
    start = time.perf_counter()
    UNet().probabilities(image, tuple(BANDS), valid)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = [["unet", 1.048576 / seconds, 30.1 * seconds / 1.048576, peak]]
    table("speed, one thread", ["mask", "Mpx/s (20 m)", "s a full tile", "peak memory of this process, MB"], rows)


def main() -> int:
    """All tables; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer planted clouds")
    parser.add_argument("--peers", help="a Python that has s2cloudless and ukis-csmask")
    parser.add_argument("--json", type=Path, help="file for the figures of our mask")
    options = parser.parse_args()
    need("cloud-chips", "aquileia-2019", "sundarbans-2020", "bushfire-2018-2019", "oscd-bercy", "alps-2023")
    speed()
    hand, drawn, dates = chips(), planted(range(1 if options.quick else 4)), other_dates()
    drawn, dates = with_peers(drawn, options.peers), with_peers(dates, options.peers)
    l1c, l2a = ([case for case in drawn if case.level == level] for level in ("l1c", "l2a"))
    colours = [_only_colours(case) for case in drawn]
    snowy = [case for case in hand if case.name == SNOWY]
    plain = [case for case in hand if case.name != SNOWY]
    rows = compare("planted clouds", drawn)
    found = {
        "hand masks, colours only, L1C, without snow": compare("hand masks (colours only, L1C), without snow", plain),
        "hand masks, colours only, L1C, a clear day in snow": compare("hand mask of a clear day in snow", snowy),
        "planted clouds": rows,
        "planted clouds, L1C, 13 bands": compare("planted clouds, L1C of 13 bands", l1c),
        "planted clouds, L2A, 12 bands": compare("planted clouds, L2A of 12 bands", l2a),
        "planted clouds, colours only": compare("planted clouds, colours only", colours),
        "other dates as truth, four bands at 120 m": compare("other dates as truth (33TWM, four bands)", dates),
    }
    agreement(dates)
    if options.json:
        options.json.write_text(json.dumps({name: _ours(rows) for name, rows in found.items()}, indent=2), "utf-8")
    for case in [*hand, *drawn[:5], *dates]:
        draw(case, case.name)
    missed = []
    for label, (figure, least) in TARGETS.items():
        value = rows[label, "unet"][{"F1": 2, "IoU": 3}[figure]]
        if value is None or value < least:
            missed.append(f"{label} {figure} {value}, expected {least}")
    print("met" if not missed else f"MISSED: {'; '.join(missed)}")
    return int(bool(missed))


def _ours(rows: dict[tuple[str, str], list[float | None]]) -> dict[str, dict[str, float | None]]:
    """Our figures by class, rounded."""
    return {
        label: {name: None if value is None else round(value, 3) for name, value in zip(FIGURES, values, strict=True)}
        for (label, mask), values in rows.items()
        if mask == "unet"
    }


def _only_colours(case: Case) -> Case:
    image = case.image[[case.bands.index(name) for name in COLOURS]]
    return replace(case, image=image, bands=COLOURS, own={})


if __name__ == "__main__":
    sys.exit(main())
