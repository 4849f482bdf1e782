"""The whole chain of eo-learn's land cover of Slovenia against eo-learn: the same patch, steps, model and map.

    python benchmarks/landcover_chain.py --peer PYTHON [--size 1000] [--dates 30]

PYTHON is that of an environment with eo-learn (pip install eo-learn==1.5.7 numba scikit-learn lightgbm). Without it,
only groundshift is measured. Both load the EOPatch from disk, make NDVI, NDWI and the norm of six bands, drop frames of
which less than 80 % is valid, interpolate nine features to 16 days, predict 207 of them by a LightGBM model of 10
classes x 100 iterations x 31 leaves, and write classes and probabilities; eo-learn into the patch, groundshift as
rasters, with margins, entropies, confidence sets, a picture and a report. Training is not part of it. Each runs in a
process of its own, has two threads or workers, and has compiled before; times are from the opened patch to the written
result. Memory is the peak of all its processes, and of it what is no page of a file.

Targets: at least eight times faster; memory that does not follow the size of the area (four times the rows).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr

import groundshift as gs
import measure
from groundshift.io import models
from groundshift.landcover.chain import Chain
from groundshift.landcover.classifiers import LightGbm
from groundshift.model.grid import Window
from groundshift.pipelines import landcover_features, patches

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
STEPS = [
    {"use": "merge_days"},
    {"use": "drop_frames", "minimum": 0.8},
    {"use": "indices", "names": ["NDVI", "NDWI", "NORM"]},
    {"use": "regular", "step_days": 16, "outside": "nan"},
    {"use": "select", "names": [*BANDS, "NDVI", "NDWI", "norm"]},
]
"""Those of eo-learn's example; merge_days does nothing here, as every date is another day."""
CLASSES, CELL_PX, SAMPLES = 10, 20, 6000
FASTER, FLAT, ALIKE = 8.0, 1.1, 0.9995
ROWS = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", metavar="PYTHON", help="of an environment with eo-learn 1.5.7 and lightgbm")
    parser.add_argument("--size", type=int, default=1000, help="rows and columns (%(default)s)")
    parser.add_argument("--dates", type=int, default=30)
    parser.add_argument("--memory", default="2G", help="that groundshift may take (%(default)s)")
    parser.add_argument("--flat", action="store_true", help="also an area of four times the rows")
    parser.add_argument("--ours", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ours:
        return run_ours(*asked.ours, asked.memory)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_patch(folder / "patch", asked.size, asked.size, asked.dates)
        write_model(folder)
        tell(f"{asked.size} x {asked.size} pixels, {asked.dates} dates, 6 bands; two workers")
        ours, facts = told([sys.executable, __file__, "--memory", asked.memory, "--ours", scratch, "patch", "map"])
        tell(line("groundshift", ours, facts))
        good = True
        if asked.peer:
            theirs, peer = told([asked.peer, str(Path(__file__).with_name("peer_eolearn_chain.py")), scratch])
            tell(line(f"eo-learn {peer['version']}", theirs, peer))
            tell("  of that, " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in peer["parts"].items()))
            ratio, alike = peer["seconds"] / facts["seconds"], agreement(folder)
            good = ratio >= FASTER and alike >= ALIKE
            tell(
                f"{ratio:.1f} times as fast ({peer['cpu'] / facts['cpu']:.1f} in processor time), "
                f"{ours.pss / theirs.pss:.3f} of the memory: {said(ratio >= FASTER)}; "
                f"{100 * alike:.3f} % of the pixels in the same class: {said(alike >= ALIKE)}"
            )
        if asked.flat:
            write_patch(folder / "tall", 4 * asked.size, asked.size, asked.dates)
            tall, more = told([sys.executable, __file__, "--memory", asked.memory, "--ours", scratch, "tall", "high"])
            growth = tall.pss / ours.pss
            tell(line("groundshift, four times the rows", tall, more))
            tell(f"{growth:.2f} times the memory: {said(growth <= FLAT)}")
            good &= growth <= FLAT
    return 0 if good else 1


def tell(text: str) -> None:
    print(text, flush=True)


def line(name: str, run: measure.Measured, facts: dict[str, float]) -> str:
    return (
        f"{name:33s} {facts['seconds']:7.1f} s, {facts['cpu']:7.1f} s of processor time, "
        f"{run.pss / measure.GIB:6.2f} GiB ({run.anonymous / measure.GIB:.2f} of no file)"
    )


def told(command: list[str]) -> tuple[measure.Measured, dict]:
    """A run, and what the process says of itself in its last line."""
    measured = measure.run(command)
    return measured, json.loads(measured.output.strip().splitlines()[-1])


def write_patch(folder: Path, rows: int, columns: int, dates: int) -> None:
    """A year of ten classes with seasons and colours of their own in cells of 200 m, noise, and clouds of 500 m."""
    random = np.random.default_rng(0)
    days = np.sort(random.choice(365, dates, replace=False))
    cloudy = random.uniform(0.02, 0.15, dates)
    cloudy[:: max(2, dates // 3)] = 0.4  # frames that are dropped
    valid = np.stack([random.random((rows // 50 + 1, columns // 50 + 1)) >= share for share in cloudy])
    valid = valid.repeat(50, axis=1).repeat(50, axis=2)[:, :rows, :columns]
    gs.write_eopatch(
        xr.Dataset(
            {"mask.IS_VALID": (("time", "y", "x"), valid)},
            {
                "time": np.array([datetime_of(int(day)) for day in days], "M8[ns]"),
                "y": 5_100_000 - 10 * (np.arange(rows) + 0.5),
                "x": 500_000 + 10 * (np.arange(columns) + 0.5),
                "spatial_ref": xr.Variable((), 0, {"crs_wkt": rasterio.crs.CRS.from_epsg(32633).to_wkt()}),
            },
        ),
        folder,
    )
    law = np.random.default_rng(1)
    season, colour = law.uniform(0, 1, CLASSES), law.uniform(0.05, 0.3, (CLASSES, len(BANDS)))
    classes = class_map(rows, columns)
    (folder / "data").mkdir()
    target = np.lib.format.open_memmap(
        folder / "data" / "BANDS.npy", "w+", np.float32, (dates, rows, columns, len(BANDS))
    )
    for t, day in enumerate(days):
        green = np.exp(1.5 * np.cos(2 * np.pi * (day / 365 - season)) - 1.5)
        means = (0.1 + green[:, None] * colour).astype(np.float32)
        for y in range(0, rows, ROWS):
            noise = random.standard_normal((min(ROWS, rows - y), columns, len(BANDS)), np.float32)
            target[t, y : y + ROWS] = np.maximum(means[classes[y : y + ROWS]] + np.float32(0.04) * noise, 1e-3)
    target.flush()


def datetime_of(day: int) -> str:
    return f"{date(2017, 1, 1) + timedelta(days=day)}T12:00:00"


def class_map(rows: int, columns: int) -> np.ndarray:
    cells = np.random.default_rng(2).integers(0, CLASSES, (rows // CELL_PX + 1, columns // CELL_PX + 1))
    return cells.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)[:rows, :columns]


def write_model(folder: Path) -> None:
    """A model of the defaults of LightGBM, learnt in the first rows of the patch."""
    patch = patches.open_patch(str(folder / "patch"), BANDS)
    features = landcover_features.of_series(patch, Chain.of(STEPS))
    window = Window(0, min(100, patch.geobox.shape[0]), 0, patch.geobox.shape[1])
    values, _ = features.read(window)
    labels = class_map(*patch.geobox.shape)[window.slices].reshape(-1) + 1
    chosen = np.random.default_rng(3).choice(labels.size, SAMPLES, replace=False)
    model = LightGbm().fit(values.reshape(len(values), -1)[:, chosen].T, labels[chosen])
    card = model.card(
        features.names,
        tuple(f"class {code}" for code in model.classes_),
        bands=patch.bands,
        chain={"steps": STEPS, "modules": [], "grid": {"bands": list(BANDS), "resolution": None}},
        report={"limits": {"80": [0.5] * CLASSES, "95": [0.9] * CLASSES}},
    )
    models.save(folder / "model", card, model.weights_)
    (folder / "model.txt").write_bytes(model.weights_)


def run_ours(folder: str, patch: str, out: str, memory: str) -> int:
    """Make the map; says how long it took."""
    root = Path(folder)
    begin = time.perf_counter()
    usage = processor_seconds()
    gs.predict_landcover(root / "model", root / patch, root / out, memory=memory, workers=2, method="none")
    print(json.dumps({"seconds": time.perf_counter() - begin, "cpu": processor_seconds() - usage}))
    return 0


def processor_seconds() -> float:
    import resource

    return sum(
        use.ru_utime + use.ru_stime
        for use in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def agreement(folder: Path) -> float:
    """Share of the pixels with data that both have in the same class."""
    with rasterio.open(folder / "map" / "classes.tif") as file:
        ours = file.read(1)
    theirs = np.squeeze(gs.read_eopatch(folder / "patch")["mask_timeless.CLASS"].values)
    known = ours != 255
    return float((ours == theirs)[known].mean())


def said(good: bool) -> str:
    return "met" if good else "missed"


if __name__ == "__main__":
    sys.exit(main())
