"""A real scene, classified from a noisy sample, smoothed and made into polygons."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pyogrio.raw
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.io import loadmat
from sklearn.neighbors import KNeighborsClassifier

from groundshift.io import cog
from groundshift.io.cog import BandTag
from groundshift.io.planes import Planes
from groundshift.landcover.mmu import MappingUnit
from groundshift.landcover.smooth import BayesOptions
from groundshift.landcover.uncertainty import STEP
from groundshift.model.grid import Window
from groundshift.model.legend import legend_of
from groundshift.numerics.regions import label
from groundshift.pipelines import map_polygons
from groundshift.pipelines.map_polygons import PolygonsJob
from groundshift.pipelines.smoothing import SmoothOptions, smooth_map

NAMES = [f"cluster {k}" for k in range(6)]


def scene(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.int64], GeoBox]:
    """300 rows: 12 bands, the clusters that stand for a truth (a K-means result, so no accuracy is claimed), grid."""
    layers = []
    for path in sorted(folder.glob("2020-01-27_B*.tiff")):
        with rasterio.open(path) as source:
            layers.append(source.read(1)[:300])
            grid = GeoBox(source.shape, source.transform, source.crs)[:300]
    truth = loadmat(folder / "Sundarbands_gt.mat")
    codes = next(values for name, values in truth.items() if not name.startswith("__"))
    return np.stack(layers).astype(np.float32), codes[:300].astype(np.int64), grid


def test_smoothing_takes_specks_away_and_polygons_hold_what_is_left(shared_data: Path, tmp_path: Path) -> None:
    bands, truth, grid = scene(shared_data / "sundarbans-2020")
    random = np.random.default_rng(0)
    values = bands.reshape(len(bands), -1).T / bands.std(axis=(1, 2))
    values += random.normal(scale=0.5, size=values.shape).astype(np.float32)
    sample = random.choice(len(values), 3000, replace=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = KNeighborsClassifier(15).fit(values[sample], truth.reshape(-1)[sample])
        p = model.predict_proba(values).T.reshape(6, *truth.shape)
    planes = Planes.create(tmp_path / "p.bin", (6, *truth.shape), "uint8")
    planes.write(Window(0, truth.shape[0], 0, truth.shape[1]), np.rint(p / STEP))
    cog.export(planes, grid, tmp_path / "p.tif", bands=[BandTag(name, scale=STEP) for name in NAMES], nodata=255)
    options = SmoothOptions(bayes=BayesOptions(window_px=5, share=1.0), unit=MappingUnit(minimum_px=10, corners=False))
    legend = legend_of(NAMES)
    smooth_map(str(tmp_path / "p.tif"), str(tmp_path / "map.tif"), options, legend=legend, workers=1)
    with rasterio.open(tmp_path / "map.tif") as source:
        codes = source.read(1)
    rough = (p.argmax(axis=0) + 1).astype(np.uint8)
    # The clusters were found pixel by pixel, so what is smooth agrees with them no better; but hardly worse.
    assert (codes == truth + 1).mean() > (rough == truth + 1).mean() - 0.01
    assert len(label(codes, 0, 255, False)[1]) < 0.25 * len(label(rough, 0, 255, False)[1])
    job = PolygonsJob(map=str(tmp_path / "map.tif"), out=str(tmp_path / "map.gpkg"), simplify_m=20, workers=1)
    summary = map_polygons.run(job)
    _, _, packed, _ = pyogrio.raw.read(tmp_path / "map.gpkg")
    shapes = shapely.from_wkb(packed)
    assert shapely.coverage_is_valid(shapes)
    assert shapely.is_valid(shapes).all()
    assert len(shapes) == summary["polygons"]
    assert abs(shapely.area(shapes).sum() / (codes.size * abs(grid.affine.determinant)) - 1) < 1e-9
