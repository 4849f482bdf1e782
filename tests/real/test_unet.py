"""Our cloud mask on real tiles: it finds what is thick, and leaves clear days clear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from groundshift.clouds.masker import classify
from groundshift.clouds.unet import UNet
from groundshift.io.opening import open_scene
from groundshift.model.cloudmask import CloudClass

NINE = ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12")
ROWS = slice(1240, 1752)
"""South of what the network was trained on."""
COLUMNS = slice(0, 640)


def irish(shared_data: Path, band: str) -> NDArray[np.uint16]:
    folder = next((shared_data / "safe").glob("S2A*T29UNU*.SAFE/GRANULE/*/IMG_DATA/R60m"))
    with rasterio.open(next(folder.glob(f"*_{band}_60m.jp2"))) as source:
        window = rasterio.windows.Window.from_slices(ROWS, COLUMNS)
        stored: NDArray[np.uint16] = source.read(1, window=window)
    return stored


@pytest.mark.parametrize("bands", [NINE, ("B02", "B03", "B04")])
def test_the_thick_clouds_of_a_product_are_found(shared_data: Path, bands: tuple[str, ...]) -> None:
    stored = np.stack([irish(shared_data, band) for band in bands])
    valid = (stored > 0).all(axis=0)
    image = (stored.astype(np.float32) - 1000) * np.float32(1e-4)
    codes = classify(UNet().probabilities(image, bands, valid), valid)
    scl = irish(shared_data, "SCL")
    cloud = np.isin(codes, (CloudClass.CLOUD, CloudClass.THIN_CLOUD))
    assert cloud[scl == 9].mean() > 0.95
    assert cloud[np.isin(scl, (4, 5, 6))].mean() < 0.08


@pytest.mark.parametrize("name", ["S2B_33TWM_20230813", "S2A_33TWL_20230815"])
def test_a_clear_day_in_the_mountains_is_clear(shared_data: Path, name: str) -> None:
    item = shared_data / "alps-2023" / "sentinel-2-l2a" / f"{name}_0_L2A" / f"{name}_0_L2A.json"
    reader = open_scene(item)
    bands = ("B02", "B03", "B04", "B08")
    grid = reader.scene.bands["B02"].geobox[300:812, 300:812]
    pixels = reader.read(bands, grid)
    valid = pixels.valid.all(axis=0)
    codes = classify(UNet().probabilities(pixels.dn.astype(np.float32) * np.float32(1e-4), bands, valid), valid)
    seen = codes[valid]
    assert np.isin(seen, (CloudClass.CLOUD, CloudClass.THIN_CLOUD)).mean() < 0.01
    assert (seen == CloudClass.SHADOW).mean() < 0.01
