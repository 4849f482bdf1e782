"""Land cover on real images, from files to maps, through the commands; each section is a data set of ../shared/data.

* ``sundarbans``: the K nearest neighbours of the feature-stack how-to (12 bands, standardised, 70:30), beside
  scikit-learn's on the same split. Its truth is a K-means result of the same bands: nothing is learnt about accuracy.
* ``slovenia``: an EOPatch as eo-learn ships it, NDVI of 68 dates and elevation, its own land-cover raster as truth;
  random folds beside folds that are as far from training as the map is.
* ``belgium``: crop, grass and built-up of 118 dates; linear interpolation to 16 and to 10 days on the same folds, and
  the network over time on the first, where torch is there.
* ``amazon``: from twelve bands and SRTM to a stack of twenty features, trained on 25 polygons.

Figures are of pixels of parts that were not trained with, by the classifier that is best on the other parts where
several are tried; sets of 90 % have the limits that the other parts gave. Maps are written to ``results/``.

    python benchmarks/landcover_real.py [sundarbans slovenia belgium amazon]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning
from scipy.io import loadmat

import groundshift as gs
from _tables import results, table

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SUNDARBANS = [f"B{name}" for name in ("01", "02", "03", "04", "05", "06", "07", "08", "8A", "09", "11", "12")]
BELGIUM = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B11": 20, "B12": 20}
LABELS = {11: "crop", 13: "grass", 60: "built-up"}
"""Codes of the labels of Belgium, from memory: the file does not tell; 99, other, is taken as not known."""
CLEAR = (4, 5, 6, 7)
"""Of the scene classification: vegetation, soil, water, unclassified."""
AGREE = 0.01
"""How far the K nearest neighbours may be from scikit-learn's, which keep ten times the samples."""
HEAD = ("run", "folds", "right", "95 %", "macro F1", "calibration error", "90 % sets hold")


def command(*words: object) -> dict[str, Any]:
    """Run a command of groundshift, and return what it says as JSON."""
    line = [sys.executable, "-m", "groundshift", *map(str, words), "--json", "--quiet"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def train(folder: Path, name: str, *words: object) -> list[object]:
    """Train a model called ``name``; a row of :data:`HEAD`."""
    told = command("landcover", "train", *words, "--out", folder / name)
    found, splits = told["transfer"], told["splits"]
    for each in found["classes"]:
        print(f"  {name}: {each['name']}: {each['samples']} samples, F1 {_share(each['f1'])}")
    return [
        name,
        f"{splits['folds']} {splits['kind']}",
        _share(found["overall_accuracy"]),
        _ends(found["overall_accuracy_interval"]),
        _share(found["macro_f1"]),
        f"{found['calibration_error']:.3f}",
        _share(found["confidence_sets"]["90"]),
    ]


def draw_map(folder: Path, model: str, place: str, *words: object) -> None:
    """Make a map, and keep its picture."""
    told = command("landcover", "predict", folder / model, *words, "--out", folder / f"{model}-map")
    shares = ", ".join(f"{each['name']} {each['percent']:.1f} %" for each in told["classes"])
    picture = results() / f"landcover-{place}.png"
    shutil.copyfile(told["outputs"]["picture"], picture)
    print(f"  map: {shares}: {picture}")


def sundarbans(folder: Path) -> bool:
    """The how-to's K nearest neighbours by scikit-learn, by our classifier, and by the commands."""
    from sklearn.model_selection import train_test_split
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler

    from groundshift.landcover.classifiers import classifier

    place = DATA / "sundarbans-2020"
    stored, profile = bands_of(place)
    truth = (loadmat(place / "Sundarbands_gt.mat")["gt"] + 1).astype(np.uint8)
    samples = stored.reshape(len(stored), -1).T.astype(np.float32)
    split = train_test_split(samples, truth.reshape(-1), test_size=0.3, stratify=truth.reshape(-1), random_state=0)
    learnt, asked, known, true = split
    scaler = StandardScaler().fit(learnt)
    theirs = KNeighborsClassifier(5).fit(scaler.transform(learnt), known).predict(scaler.transform(asked))
    ours = classifier("knn", threads=2).fit(learnt, known).predict(asked)
    right = [float((said == true).mean()) for said in (theirs, ours)]
    with rasterio.open(folder / "truth.tif", "w", **{**profile, "count": 1, "dtype": "uint8", "nodata": 0}) as file:
        file.write(truth, 1)
    stack = folder / "sundarbans.tif"
    command("features", f"{place}@2020-01-27", "--scale", 65535, "--features", ",".join(SUNDARBANS), "--out", stack)
    flags = ("--stack", stack, "--truth", folder / "truth.tif", "--erode", 0, "--per-class", 10_000, "--model", "knn")
    rows = [
        ["scikit-learn, all training pixels", "70:30", f"{right[0]:.4f}", *[None] * 4],
        ["groundshift, 20,000 of them", "70:30", f"{right[1]:.4f}", *[None] * 4],
        train(folder, "knn", *flags, "--splits", "random"),
    ]
    draw_map(folder, "knn", "sundarbans", "--stack", stack)
    table("Sundarbans, K nearest neighbours", HEAD, rows)
    print("\nThe truth is a K-means result of the same bands: these figures say nothing about accuracy.")
    print("One of its six clusters are the pixels without data, which the commands leave out.")
    return abs(right[0] - right[1]) <= AGREE


def bands_of(folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Twelve bands of Sundarbans as they are stored, and the profile of their files."""
    found = []
    for name in SUNDARBANS:
        with rasterio.open(folder / f"2020-01-27_{name}.tiff") as file:
            found.append(file.read(1))
            profile = {key: file.profile[key] for key in ("driver", "height", "width", "crs", "transform")}
    return np.stack(found), profile


def slovenia(folder: Path) -> bool:
    """An EOPatch as it is."""
    patch = DATA / "slovenia-eopatch" / "TestEOPatch"
    chain = folder / "ndvi.toml"
    chain.write_text('[chain]\nsteps = [{use = "select", names = ["NDVI", "DEM"]}, {use = "regular"}]\n')
    flags = ("--series", patch, "--truth", patch / "mask_timeless" / "LULC.npy", "--chain", chain)
    rows = [train(folder, "slovenia", *flags), train(folder, "beside", *flags, "--splits", "random")]
    draw_map(folder, "slovenia", "slovenia", "--series", patch)
    table("Slovenia, NDVI every 16 days and elevation", HEAD, rows)
    return True


def belgium(folder: Path) -> bool:
    """118 dates, written as an EOPatch; two calendars on the same folds."""
    patch, truth = belgian_patch(folder / "patch"), belgian_labels(folder / "truth.tif")
    rows = []
    for days in (16, 10):
        chain = folder / f"{days}.toml"
        steps = '{use = "merge_days"}, {use = "indices"}'
        chain.write_text(f"[chain]\nsteps = [{steps}, {{use = 'regular', step_days = {days}}}]\n")
        job = folder / f"every{days}.toml"
        flags = ("--series", patch, "--truth", truth, "--chain", chain, "--save-config", job)
        rows.append(train(folder, f"every{days}", *flags))
    if importlib.util.find_spec("torch"):
        flags = ("--series", patch, "--truth", truth, "--chain", folder / "16.toml", "--model", "tempcnn")
        rows.append(train(folder, "tempcnn", *flags))
    rows.append(train(folder, "beside", "--series", patch, "--truth", truth, "--splits", "random"))
    draw_map(folder, "every16", "belgium", "--series", patch)
    table("Belgium, crop, grass and built-up", HEAD, rows)
    moved = command("landcover", "compare", folder / "every16.toml", folder / "every10.toml")["variants"][1]
    for key, found in moved["against_first"].items():
        told = "beyond chance" if found["beyond_chance"] else "may be chance"
        print(f"10 days instead of 16: {key} {found['difference']:+.4f} ({_ends(found['interval'])}), {told}")
    return True


def belgian_patch(target: Path) -> Path:
    """Six bands of all dates, those of 20 m repeated; valid is what the scene classification calls clear."""
    folder = DATA / "belgium-series" / "00002806639B424A"
    files = {size: next(folder.glob(f"S2_L2A_{size}m_*.nc")) for size in (10, 20)}
    layers = [_layers(files[size], name, size) for name, size in BELGIUM.items()]
    stored = np.stack([values for values, _ in layers], axis=1)
    classes, tags = _layers(files[20], "SCL", 20)
    start = datetime.fromisoformat(tags["timestamp#units"].removeprefix("seconds since "))
    times = [start + timedelta(seconds=int(text)) for text in re.findall(r"\d+", tags["NETCDF_DIM_timestamp_VALUES"])]
    left, _, _, top = map(float, re.findall(r"\d+", tags["NC_GLOBAL#bounds"]))
    steps = (np.arange(stored.shape[-1]) + 0.5) * 10
    series = xr.Dataset(
        {
            "data.BANDS": (("time", "data.BANDS.band", "y", "x"), stored.astype(np.float32) / 1e4),
            "mask.IS_VALID": (("time", "y", "x"), np.isin(classes, CLEAR) & (stored > 0).all(axis=1)),
        },
        {
            "time": np.array(times, "M8[ns]"),
            "y": top - steps,
            "x": left + steps,
            "spatial_ref": xr.Variable((), 0, {"crs_wkt": rasterio.crs.CRS.from_epsg(32631).to_wkt()}),
        },
    )
    return gs.write_eopatch(series, target)


def belgian_labels(target: Path) -> Path:
    """A map of crop, grass and built-up, with their names beside it as GDAL writes them."""
    (file,) = (DATA / "belgium-series" / "00002806639B424A").glob("OUTPUT_*.nc")
    codes, tags = _layers(file, "LC", 10)
    left, _, _, top = map(float, re.findall(r"\d+", tags["NC_GLOBAL#bounds"]))
    place = {"crs": "EPSG:32631", "transform": rasterio.Affine(10, 0, left, 0, -10, top)}
    profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "uint8", "nodata": 0, **place}
    with rasterio.open(target, "w", **profile) as source:
        source.write(np.where(np.isin(codes, list(LABELS)), codes, 0).astype(np.uint8))
    names = "".join(f"<Category>{LABELS.get(code, '')}</Category>" for code in range(max(LABELS) + 1))
    text = f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>'
    target.with_name(f"{target.name}.aux.xml").write_text(text)
    return target


def _layers(file: Path, name: str, size: int) -> tuple[np.ndarray, dict[str, str]]:
    """Numbers (time, y, x) on the pixels of 10 m, as they are stored, and what is said of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(f"netcdf:{file}:{name}") as source:
            return source.read().repeat(size // 10, axis=1).repeat(size // 10, axis=2), source.tags()


def amazon(folder: Path) -> bool:
    """From bands and elevation to a map; the offset that the file still carries is taken off."""
    place, stack = DATA / "amazon-polygons", folder / "amazon.tif"
    flags = ("--dem", place / "srtm_sen2.tif", "--trust", "pixels", "--plot", folder / "bands.png")
    command("features", place / "sen2.tif", *flags, "--out", stack)
    shutil.copyfile(folder / "bands.png", results() / "landcover-amazon-bands.png")
    flags = ("--stack", stack, "--truth", place / "trainingPolygons_sen2.geojson")
    rows = [train(folder, "amazon", *flags), train(folder, "beside", *flags, "--splits", "random")]
    rows += [train(folder, kind, *flags, "--model", kind) for kind in ("mlp", "rf")]
    draw_map(folder, "amazon", "amazon", "--stack", stack)
    table("Amazon, 25 polygons of 4 classes", HEAD, rows)
    return True


SECTIONS: dict[str, Callable[[Path], bool]] = {
    "sundarbans": sundarbans,
    "slovenia": slovenia,
    "belgium": belgium,
    "amazon": amazon,
}


def main() -> int:
    """The chosen sections; 1 where the recipe of Sundarbans is not reproduced."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)} (all)")
    chosen = parser.parse_args().sections or list(SECTIONS)
    if foreign := set(chosen) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(foreign))}: there are {', '.join(SECTIONS)}")
    good = True
    for name in chosen:
        print(f"\n{name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="groundshift-real-") as scratch:
            good &= SECTIONS[name](Path(scratch))
    return 0 if good else 1


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _ends(ends: list[float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"


if __name__ == "__main__":
    sys.exit(main())
