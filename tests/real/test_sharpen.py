"""Real bands made coarser, sharpened, and compared with what they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.features.sharpen import GUIDED, SMOOTH, SharpenOptions, choose, sharpen, summarise
from groundshift.io.opening import open_scene
from groundshift.model.scene import OpenOptions

FINE, MID, LOW = ("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B8A", "B11", "B12"), ("B01", "B09")
CROP = "S2A_MSIL2A_20181229T095411_N0211_R079_T33SVB_20181229T112231.SAFE"

Image = NDArray[np.float32]


def bands(place: Path, names: tuple[str, ...], grid_of: str, factor: int, options: OpenOptions) -> Image:
    """Reflectance on the grid of a band, cut by a factor; NaN = missing."""
    reader = open_scene(place, options)
    grid = reader.scene.bands[grid_of].geobox
    rows, columns = grid.shape
    pixels = reader.read(names, grid.zoom_to((rows * factor, columns * factor)), "nearest")
    return np.where(pixels.valid, pixels.dn * np.float32(1e-4), np.float32(np.nan)).astype(np.float32)


def means(image: Image, factor: int) -> Image:
    rows, columns = (n // factor for n in image.shape[1:])
    cut = image[:, : rows * factor, : columns * factor].astype(np.float64)
    return cut.reshape(-1, rows, factor, columns, factor).mean(axis=(2, 4)).astype(np.float32)


@pytest.mark.parametrize(("names", "factor", "most"), [(MID, 2, 0.86), (LOW, 6, 0.65)])
def test_bands_of_saxony_come_back_better_than_by_interpolation(
    shared_data: Path, names: tuple[str, ...], factor: int, most: float
) -> None:
    place, options = shared_data / "saxony-l1c-2017" / "IMG_DATA", OpenOptions(scale=10000)
    known = bands(place, names, names[0], 1, options)
    guides = means(bands(place, FINE, names[0], factor, options), factor)
    known, guides = (image[:, : known.shape[1] // 6 * 6, : known.shape[2] // 6 * 6] for image in (known, guides))
    coarse = means(known, factor)
    chosen = choose(summarise(coarse, guides, factor))
    assert chosen.rungs == ("guided",) * len(names)
    found = sharpen(coarse, guides, factor, chosen)
    smooth = sharpen(coarse, guides, factor, SharpenOptions(rungs=("smooth",) * len(names)))
    error, plain = (np.sqrt(np.nanmean((one.values - known) ** 2, axis=(1, 2))) for one in (found, smooth))
    assert (error < most * plain).all()
    np.testing.assert_allclose(means(found.values, factor), coarse, atol=1e-7)
    assert (found.used == GUIDED).mean() > 0.98


def test_a_crop_whose_guides_start_a_pixel_later_is_sharpened_up_to_there(shared_data: Path) -> None:
    place = shared_data / "safe" / CROP
    coarse = bands(place, MID, "B05", 1, OpenOptions())
    fine = bands(place, FINE, "B05", 2, OpenOptions())
    assert np.isnan(fine[:, :, 0]).all()
    found = sharpen(coarse, fine, 2)
    assert (found.used[:, 2:-2, 0] == SMOOTH).all()
    assert (found.used[:, 4:-4, 4:-4] == GUIDED).mean() > 0.99
    np.testing.assert_array_equal(np.isfinite(found.values), np.isfinite(coarse).repeat(2, 1).repeat(2, 2))
    np.testing.assert_allclose(means(found.values, 2), coarse, atol=1e-7)
