"""Cloud and haze on previews: our two networks beside the rule, on scenes that they never saw.

* **other dates**: alps-2023, tile 33TWM, averaged to 240 m and cut to 8 bits as a preview is; truth from clear dates
  as in cloud_masks.py, halved. Beside it the share of cloud of the whole tile: found, true, and by the product's SCL.
* **preview of a real product**: the PVI of T29UNU, rows below those that were trained on, against its SCL (no truth).
* **haze**: the clear date of 33TWM through the haze of `groundshift.testing.atmosphere`, of several strengths; hazy is
  where it adds 0.03 or more to blue, clear up to 0.012. False alarms of the untouched date are told apart.
* **speed** of a preview of 343 x 343 pixels.

    python benchmarks/previews.py
"""

from __future__ import annotations

import sys
import time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from _pairs import DATA, alps, need
from _tables import results, table
from cloud_masks import UNKNOWN, Counts, other_dates
from groundshift.clouds.preview import PreviewMasker, PreviewNet, PreviewRule
from groundshift.io import previews
from groundshift.model.bands import DISPLAY_TOP as TOP
from groundshift.model.scene import OpenOptions
from groundshift.testing import atmosphere

MASKERS: tuple[PreviewMasker, ...] = (PreviewNet(), PreviewRule())
FIGURES = ("precision", "recall", "F1", "IoU", "balanced accuracy")
T29_FIRST_ROW = 1200 * 60 / 320
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def as_preview(rgb: Floats) -> Floats:
    """Reflectance as it comes back from 8 bits."""
    return np.clip(np.rint(rgb / TOP * 254), 0, 254).astype(np.float32) / np.float32(254 / TOP)


def halved(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """(..., y / 2, x / 2, 4) the four pixels that become one."""
    rows, columns = (side // 2 for side in values.shape[-2:])
    cut = values[..., : 2 * rows, : 2 * columns].reshape(*values.shape[:-2], rows, 2, columns, 2)
    return np.moveaxis(cut, -3, -2).reshape(*values.shape[:-2], rows, columns, 4)


def dates() -> None:
    """Cloud on the tile that is held out."""
    counts = {each.name: Counts() for each in MASKERS}
    rows = []
    for case in other_dates():
        order = [case.bands.index(band) for band in ("B04", "B03", "B02")]
        rgb = as_preview(halved(case.image[order]).mean(axis=-1).astype(np.float32))
        valid = halved(case.valid).all(axis=-1)
        truth = halved(case.truth)
        cloud, known = (truth == 1).sum(axis=-1) >= 3, (truth != UNKNOWN).sum(axis=-1) >= 3
        clear = (truth == 1).sum(axis=-1) == 0
        known &= (cloud | clear) & valid
        row: list[object] = [case.name, 100 * float(cloud[known].mean())]
        for each in MASKERS:
            found = each.look(rgb, valid, "L2A").cloud
            counts[each.name].add(cloud[known], found[known])
            row.append(100 * float(found[known].mean()))
            draw(rgb, found, f"preview-{each.name}-{case.name.replace(' ', '-')}")
        scl = (np.isin(halved(case.own["scl"]), (1, 2)).sum(axis=-1) >= 2)[known]
        rows.append([*row, 100 * float(scl.mean())])
    table("33TWM, cloud", ["mask", *FIGURES], [[name, *each.figures()] for name, each in counts.items()])
    table("33TWM, cloud % where truth is known", ["date", "truth", *counts, "scl"], rows)


def preview() -> None:
    """The preview of a real product."""
    (path,) = (DATA / "safe").glob("S2A*T29UNU*.SAFE")
    seen = previews.glance(path, OpenOptions(verify=False))
    picture = seen.picture(seen.grid)
    assert picture is not None
    classes = seen.classification(picture.geobox)
    assert classes is not None
    first = int(T29_FIRST_ROW)
    cloud, known = np.isin(classes, (8, 9, 10)), (classes > 0) & picture.valid
    rows = []
    for each in MASKERS:
        found = each.look(picture.rgb, picture.valid, "L2A").cloud
        counts = Counts()
        counts.add(cloud[first:][known[first:]], found[first:][known[first:]])
        share = [100 * float(mask[known].mean()) for mask in (cloud, found)]
        rows.append([each.name, *counts.figures(), *share])
        draw(picture.rgb, found, f"preview-{each.name}-T29UNU")
    table("T29UNU, cloud beside its SCL", ["mask", *FIGURES, "scl cloud %", "found %"], rows)


def haze() -> None:
    """Haze that the generator draws over a clear date."""
    date = alps("33TWM", 13)
    clear = halved(date.valid).all(axis=-1)
    rgb = halved(date.reflectance[[2, 1, 0]]).mean(axis=-1).astype(np.float32)
    steps = [np.linspace(0, 1, side) for side in clear.shape]
    rows = []
    for strength in (0.0, 0.02, 0.04, 0.06, 0.1):
        added = atmosphere.HAZE_SHAPE[[3, 2, 1], None, None] * atmosphere.haze(*steps, strength)
        through = as_preview(rgb + added * (1 - rgb))
        hazy, clean = added[2] >= 0.03, added[2] <= 0.012
        row: list[object] = [strength]
        for each in MASKERS:
            found = each.look(through, clear, "L2A")
            any_haze = found.haze | found.cloud
            row += [
                100 * float(any_haze[clear & part].mean()) if (clear & part).any() else None for part in (hazy, clean)
            ]
        rows.append(row)
    head = [f"{each.name}: {part} %" for each in MASKERS for part in ("of hazy", "of clear")]
    table("haze over 33TWM 08-13, called hazy", ["strength", *head], rows)


def draw(rgb: Floats, mask: Mask, name: str) -> None:
    """A preview and what is called cloud, side by side."""
    shown = (np.moveaxis(np.clip(rgb / TOP, 0, 1), 0, -1) ** 0.6 * 255).astype(np.uint8)
    marked = np.where(mask[..., None], np.array([255, 60, 60], np.uint8), shown)
    Image.fromarray(np.concatenate([shown, marked], axis=1)).save(results() / f"{name}.png")


def speed() -> None:
    """Milliseconds a preview."""
    rgb, valid = np.random.default_rng(1).random((3, 343, 343), np.float32) * np.float32(0.3), np.ones((343, 343), bool)
    rows = []
    for each in MASKERS:
        each.look(rgb, valid, "L2A")
        start = time.perf_counter()
        for _ in range(5):
            each.look(rgb, valid, "L2A")
        rows.append([each.name, 200 * (time.perf_counter() - start)])
    table("speed, one thread", ["mask", "ms a preview"], rows)


def main() -> int:
    """Print all tables."""
    need("alps-2023", "safe")
    dates()
    preview()
    haze()
    speed()
    return 0


if __name__ == "__main__":
    sys.exit(main())
