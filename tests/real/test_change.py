"""The main job on real pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from scipy import ndimage

import groundshift as gs
from groundshift.errors import MissingInputError, ProductError

pytestmark = pytest.mark.usefixtures("quick")


def plane(path: Path, band: int = 1) -> Any:
    with rasterio.open(path) as file:
        return file.read(band)


def alps(shared_data: Path, name: str) -> Path:
    return shared_data / "alps-2023" / "sentinel-2-l2a" / f"{name}_0_L2A" / f"{name}_0_L2A.json"


# ---- clear Alpine days: nothing worth the name ---------------------------------------------------------------------


@pytest.mark.parametrize("tile", ["33TWM", "33TWL"])
def test_two_clear_days_apart_hardly_anything_has_changed(tile: str, shared_data: Path, tmp_path: Path) -> None:
    pair = alps(shared_data, f"S2B_{tile}_20230813"), alps(shared_data, f"S2A_{tile}_20230815")
    found = gs.detect_changes(*pair, tmp_path)
    assert found.summary["changed_percent"] <= 0.5
    assert found.summary["compared_pixels"] > 400_000
    names = {warning.name for warning in found.warnings}
    assert "Orbit" in names
    assert not names & {"ManyChanges", "Registration", "Normalisation"}
    with rasterio.open(tmp_path / "S2-CD.tif") as file:
        assert (file.shape, file.res) == ((915, 915), (120, 120))


def test_neighbouring_tiles_half_a_pixel_apart_are_compared_where_they_overlap(
    shared_data: Path, tmp_path: Path
) -> None:
    pair = alps(shared_data, "S2A_33TWL_20230815"), alps(shared_data, "S2A_33TWM_20230815")
    found = gs.detect_changes(*pair, tmp_path)
    assert "Tile" in {warning.name for warning in found.warnings}
    kinds = plane(tmp_path / "S2-CD.tif")
    # Tile 33TWM lies to the north: the overlap is a strip at the upper edge.
    compared = np.flatnonzero((kinds != 255).any(axis=1))
    assert 10 < compared.max() < 120
    assert found.summary["changed_percent"] < 5


def test_an_asset_that_is_not_here_is_named(shared_data: Path, tmp_path: Path) -> None:
    pair = alps(shared_data, "S2B_33TWM_20230813"), alps(shared_data, "S2A_33TWM_20230815")
    with pytest.raises(MissingInputError, match="B11"):
        gs.detect_changes(*pair, tmp_path / "out", bands="B4,B8,B11")
    assert not list((tmp_path).glob("out/*.tif"))


# ---- a fire in Australia -------------------------------------------------------------------------------------------


def burnt(folder: Path) -> tuple[Any, Any]:
    """(y, x) twice: near infrared fell below 62 % over more than 300 pixels; both dates measured."""
    dates = "2018-12-01", "2019-01-05"
    near = [plane(folder / f"{date}_B08.tiff").astype(float) for date in dates]
    valid = np.all([plane(folder / f"{date}_{b}.tiff", 2) > 0 for date in dates for b in ("B02", "B08")], axis=0)
    ratio = ndimage.median_filter(near[1] / np.maximum(near[0], 655), 5)
    regions, _ = ndimage.label(ndimage.binary_closing((ratio < 0.62) & valid, iterations=2))
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    return (sizes > 300)[regions], valid


def test_the_burn_is_found_and_its_kind_is_dark_in_the_near_infrared(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "bushfire-2018-2019"
    found = gs.detect_changes(f"{folder}@2018-12-01", f"{folder}@2019-01-05", tmp_path, scale=65535)
    with rasterio.open(tmp_path / "S2-CD.tif") as file, rasterio.open(folder / "2018-12-01_B08.tiff") as source:
        assert (file.crs, file.transform, file.shape) == (source.crs, source.transform, source.shape)
        kinds = file.read(1)
    truth, valid = burnt(folder)
    seen = valid & (kinds != 255)
    assert seen.sum() > 0.95 * valid.sum()
    called = (kinds > 0) & seen
    hit = (called & truth).sum()
    assert 2 * hit / (called.sum() + (truth & seen).sum()) >= 0.8
    largest = max(found.summary["kinds"], key=lambda kind: kind["pixels"])
    assert largest["mean_change"][3] < -0.02


# ---- urban change with labels --------------------------------------------------------------------------------------


def test_labelled_urban_change_ranks_above_the_rest(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "oscd-bercy"
    gs.detect_changes(folder / "imgs_1_rect", folder / "imgs_2_rect", tmp_path / "out", scale=10_000)
    scored = gs.evaluate(str(tmp_path / "out"), str(folder / "cm" / "bercy-cm.tif"), changed=[2], replicates=50)
    scores = scored["scores"]
    assert scores["auc"]["value"] > 0.65
    assert scores["recall"]["value"] > 0.1


# ---- real SAFE products --------------------------------------------------------------------------------------------


def test_a_product_at_odds_with_its_manifest_is_compared_only_unverified(shared_data: Path, tmp_path: Path) -> None:
    product = shared_data / "safe" / "S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500.SAFE"
    with pytest.raises(ProductError, match="manifest"):
        gs.detect_changes(product, product, tmp_path / "refused")
    assert not list((tmp_path / "refused").glob("*.tif"))
    found = gs.detect_changes(product, product, tmp_path / "out", verify=False)
    assert found.summary["changed_pixels"] == 0
    assert found.summary["compared_pixels"] > 1000
    assert "Unverified" in {warning.name for warning in found.warnings}


def test_the_bands_of_60_m_of_a_full_tile_are_compared(shared_data: Path, tmp_path: Path) -> None:
    product = shared_data / "safe" / "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"
    found = gs.detect_changes(product, product, tmp_path, bands="B9", sample_pixels=100_000)
    assert found.summary["changed_pixels"] == 0
    # Half a swath, and 60 % of it cloud: 40 % of the tile holds no data.
    assert found.summary["nodata_percent"] > 70
    with rasterio.open(tmp_path / "S2-CD.tif") as file:
        assert (file.shape, file.res) == ((1830, 1830), (60, 60))
    assert "NoData" not in {warning.name for warning in found.warnings}


def test_bands_that_the_product_lists_and_has_not_are_exit_code_66(shared_data: Path, tmp_path: Path) -> None:
    product = shared_data / "safe" / "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"
    with pytest.raises(MissingInputError, match=r"B0[248]") as caught:
        gs.detect_changes(product, product, tmp_path / "out")
    assert caught.value.exit_code == 66


def test_a_crop_without_classification_nor_manifest_is_compared_and_says_so(shared_data: Path, tmp_path: Path) -> None:
    product = shared_data / "safe" / "S2A_MSIL2A_20181229T095411_N0211_R079_T33SVB_20181229T112231.SAFE"
    found = gs.detect_changes(product, product, tmp_path, bands="B2,B3,B4,B8")
    assert {"Cloud", "Unverified"} <= {warning.name for warning in found.warnings}
    assert found.summary["changed_pixels"] == 0
