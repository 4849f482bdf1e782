"""Land cover of synthetic years, from files to files: trained on fields of one half, judged on all pixels of the other.

What is asked of the command with its defaults: the accuracy of the map before and after smoothing, the calibration
error of its probabilities (at most 0.03), and how often sets of 90 % hold the true class (88 to 92 %), on ground that
no training pixel comes from. Ground that is mixed or at the border of fields counts like all other.

    python benchmarks/landcover_year.py [--size 600] [--seeds 11,12] [--models mlp,lightgbm]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr

import groundshift as gs
from _tables import table
from groundshift.accuracy import calibration
from groundshift.io import models
from groundshift.model.grid import Window
from groundshift.testing import reference
from groundshift.testing.geodesy import tile_corner
from groundshift.testing.phenology import LandCover
from groundshift.testing.scenes import SceneOptions
from groundshift.testing.year import TILE, SyntheticYear, YearOptions

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
SMOOTHING = ("none", "bilateral", "bayes")
WRONG, LOW, HIGH = 0.03, 0.88, 0.92
BORDER_PX = 30
"""Around the border between both halves, which counts for neither."""


def patch(year: SyntheticYear, folder: Path) -> Path:
    """A year of images as an EOPatch, every tenth day."""
    days = year.dates(10)
    crs, x, y = tile_corner(TILE)
    rows, columns = year.shape
    series = xr.Dataset(
        {
            "data.BANDS": (("time", "data.BANDS.band", "y", "x"), year.series(bands=BANDS, days=days)),
            "mask.IS_VALID": (("time", "y", "x"), year.valid(days=days)),
        },
        {
            "time": np.array(days, "M8[ns]"),
            "y": y - 10 * (np.arange(rows) + 0.5),
            "x": x + 10 * (np.arange(columns) + 0.5),
            "spatial_ref": xr.Variable((), 0, {"crs_wkt": rasterio.crs.CRS.from_epsg(crs).to_wkt()}),
        },
    )
    return gs.write_eopatch(series, folder)


def judge(folder: Path, model: str, size: int, truth: np.ndarray, rows: list[list[object]], seed: int) -> bool:
    """Train, map with each smoothing, and compare with the truth of the other half."""
    begin = time.perf_counter()
    out = folder / f"model-{model}"
    found = gs.train_landcover(folder / "patch", folder / "fields.gpkg", out, model=model, class_field="name")
    trained = time.perf_counter() - begin
    card, _ = models.load(out)
    codes = np.array([LandCover[name.upper()] for name in card.names])
    half = np.s_[:, size // 2 + BORDER_PX :]
    told, true = np.zeros(256, int), truth[half]
    told[list(card.codes)] = codes
    good = True
    for method in SMOOTHING:
        begin = time.perf_counter()
        target = folder / f"map-{model}-{method}"
        gs.predict_landcover(out, folder / "patch", target, smooth_method=method)
        mapped = time.perf_counter() - begin
        read = {name: rasterio.open(target / f"{name}.tif").read() for name in ("classes", "probabilities", "sets")}
        right = (told[read["classes"][0][half]] == true).mean()
        p = (read["probabilities"] * 0.004)[:, *half].reshape(len(codes), -1).T
        index = np.searchsorted(np.sort(codes), true.reshape(-1))
        order = np.argsort(codes)
        error = calibration.expected_calibration_error(p[:, order] / p.sum(axis=1, keepdims=True), index)
        held = read["sets"][order][:, *half].reshape(len(codes), -1)[index, np.arange(index.size)].mean()
        good &= error <= WRONG and LOW <= held <= HIGH
        transfer = found.summary["transfer"]["overall_accuracy"]
        rows.append([seed, model, method, f"{transfer:.3f}", f"{right:.3f}", f"{error:.3f}", f"{held:.3f}",
                     f"{trained:.0f}", f"{mapped:.0f}"])  # fmt: skip
        print(*rows[-1], flush=True)
    return bool(good)


def main() -> int:
    """All years with all models; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=600, help="pixels a side (%(default)s)")
    parser.add_argument("--seeds", default="11,12", help="of the landscapes (%(default)s)")
    parser.add_argument("--models", default="mlp", help="classifiers (%(default)s)")
    options = parser.parse_args()
    rows: list[list[object]] = []
    good = True
    for seed in map(int, options.seeds.split(",")):
        scene = SceneOptions(seed=seed, shape=(options.size,) * 2, noise=0.006)
        year = SyntheticYear(options=YearOptions(scene=scene))
        with tempfile.TemporaryDirectory(prefix="groundshift-year-") as name:
            folder = Path(name)
            patch(year, folder / "patch")
            left = Window(0, options.size, 0, options.size // 2)
            reference.write_reference(reference.reference(year, left, per_class=25), folder / "fields.gpkg")
            for model in options.models.split(","):
                good &= judge(folder, model, options.size, year.class_map(), rows, seed)
    head = ["seed", "model", "smoothing", "promised", "map", "calibration error", "90 % sets hold", "train s", "map s"]
    table(f"Land cover of a synthetic year, {options.size} x {options.size}, other half than training", head, rows)
    print(f"\ncalibration error at most {WRONG}, sets of 90 % hold {LOW} to {HIGH}: {'met' if good else 'missed'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
