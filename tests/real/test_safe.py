"""The three real products beside the project: every reading rule, every way they are incomplete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from groundshift.errors import MissingInputError, ProductError
from groundshift.io.safe import open_safe
from groundshift.model.scene import OpenOptions


@pytest.fixture(scope="module")
def offset_product(shared_data: Path) -> Path:
    """Tile 29UNU, baseline 04.00; its images at 10 and 20 m are listed and absent, except SCL."""
    return shared_data / "safe" / "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"


@pytest.fixture(scope="module")
def shrunk_product(shared_data: Path) -> Path:
    """Tile 22HBD, baseline 02.14; images of 100 x 100 pixels under the manifest of the full ones."""
    return shared_data / "safe" / "S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500.SAFE"


@pytest.fixture(scope="module")
def cropped_product(shared_data: Path) -> Path:
    """Tile 33SVB, baseline 02.11; no manifest, no SCL, and the tile's XML under the name of the product's."""
    return shared_data / "safe" / "S2A_MSIL2A_20181229T095411_N0211_R079_T33SVB_20181229T112231.SAFE"


def test_the_offset_comes_from_the_xml(offset_product: Path) -> None:
    scene = open_safe(offset_product).scene
    assert (scene.platform, scene.tile, scene.relative_orbit, scene.baseline) == ("S2A", "29UNU", 23, (4, 0))
    assert scene.warnings == ()
    assert {info.offset for info in scene.bands.values()} == {-1000}
    assert {info.scale for info in scene.bands.values()} == {1e-4}
    assert {info.saturated for info in scene.bands.values()} <= {32767, 65535}
    assert scene.sun_zenith_deg == pytest.approx(57.8206, abs=1e-3)
    assert scene.nodata_percent == pytest.approx(40.419397)
    assert scene.cloud_percent == pytest.approx(59.769726)


def test_a_whole_verified_band_has_the_no_data_that_its_metadata_declare(offset_product: Path) -> None:
    reader = open_safe(offset_product)
    (file,) = reader.files(["B09"])
    assert reader.verify(file).algorithm == "SHA3-256"
    info = reader.scene.bands["B09"]
    pixels = reader.read(["B09"], info.geobox)
    assert 100 * (1 - pixels.valid.mean()) == pytest.approx(reader.scene.nodata_percent, abs=0.5)
    with rasterio.open(next(offset_product.glob("GRANULE/*/IMG_DATA/R60m/*_B09_60m.jp2"))) as dataset:
        assert dataset.transform == info.geobox.affine
        np.testing.assert_array_equal(pixels.dn[0, 500:700], dataset.read(1)[500:700])


def test_the_classification_agrees_with_the_declared_no_data(offset_product: Path) -> None:
    reader = open_safe(offset_product)
    assert reader.scene.classification is not None
    classes = reader.read_classification(reader.scene.classification.geobox)
    assert classes is not None
    assert 100 * (classes == 0).mean() == pytest.approx(reader.scene.nodata_percent, abs=0.5)


@pytest.mark.parametrize("band", ["B02", "B03", "B04", "B08", "B05", "B12"])
@pytest.mark.parametrize("verify", [True, False])
def test_a_band_that_is_listed_and_absent_is_told_although_a_coarse_copy_is_there(
    offset_product: Path, band: str, verify: bool
) -> None:
    reader = open_safe(offset_product, OpenOptions(verify=verify))
    info = reader.scene.bands[band]
    for use in (
        lambda: reader.read([band], info.geobox[:100, :100]),
        lambda: reader.verify(reader.files([band])[0]),
    ):
        with pytest.raises(MissingInputError, match=rf"{band}_[12]0m\.jp2.*not there") as caught:
            use()
        assert caught.value.exit_code == 66


@pytest.mark.parametrize("band", ["B02", "B05", "B09"])
def test_a_product_that_differs_from_its_manifest_is_refused(shrunk_product: Path, band: str) -> None:
    reader = open_safe(shrunk_product)
    with pytest.raises(ProductError, match=rf"{band}_\d0m\.jp2.*manifest says.*download again") as caught:
        reader.verify(reader.files([band])[0])
    assert caught.value.exit_code == 65
    with pytest.raises(ProductError, match="checksum mismatch"):
        reader.read([band], reader.scene.bands[band].geobox)


def test_a_refused_product_reads_without_verifying_and_without_offset(shrunk_product: Path) -> None:
    reader = open_safe(shrunk_product, OpenOptions(verify=False))
    scene = reader.scene
    assert (scene.platform, scene.tile, scene.relative_orbit, scene.baseline) == ("S2B", "22HBD", 81, (2, 14))
    assert [warning.name for warning in scene.warnings] == ["Unverified"]
    assert len(scene.bands) == 12
    assert {info.offset for info in scene.bands.values()} == {0}
    assert scene.bands["B02"].resolution_m == pytest.approx(1098)
    pixels = reader.read(list(scene.bands), scene.bands["B02"].geobox)
    assert pixels.dn.shape == (12, 100, 100)
    assert pixels.dn.dtype == np.uint16
    assert pixels.valid.mean() > 0.95
    for row, band in ((1, "B02_10m"), (8, "B8A_20m")):
        with rasterio.open(next(shrunk_product.glob(f"GRANULE/*/IMG_DATA/*/*_{band}.jp2"))) as dataset:
            np.testing.assert_array_equal(pixels.dn[row], dataset.read(1))
    assert reader.read_classification(scene.bands["B02"].geobox) is not None


def test_a_crop_without_manifest_or_scl_reads_on_its_own_grids(cropped_product: Path) -> None:
    reader = open_safe(cropped_product)
    scene = reader.scene
    assert (scene.platform, scene.tile, scene.relative_orbit, scene.baseline) == ("S2A", "33SVB", 79, (2, 11))
    assert {warning.name for warning in scene.warnings} == {"Unverified", "Cloud", "Offset"}
    assert (len(scene.bands), scene.classification) == (12, None)
    assert reader.read_classification(scene.bands["B02"].geobox) is None
    assert {(info.scale, info.offset) for info in scene.bands.values()} == {(1e-4, 0.0)}
    for band, resolution in (("B02", 10), ("B05", 20), ("B09", 60)):
        info = scene.bands[band]
        assert info.resolution_m == resolution
        with rasterio.open(next(cropped_product.glob(f"GRANULE/*/IMG_DATA/*/*_{band}_*.jp2"))) as dataset:
            assert dataset.transform == info.geobox.affine
            np.testing.assert_array_equal(reader.read([band], info.geobox).dn[0], dataset.read(1))


def test_bands_of_a_crop_whose_grids_are_half_a_pixel_apart_come_on_one(cropped_product: Path) -> None:
    reader = open_safe(cropped_product)
    fine = reader.scene.bands["B08"]
    pixels = reader.read(["B08", "B8A"], fine.geobox)
    near, narrow = pixels.dn[:, pixels.valid.all(axis=0)]
    assert pixels.valid[:, 4:-4, 4:-4].all()
    assert np.corrcoef(near, narrow)[0, 1] > 0.97


@pytest.mark.parametrize("amount", [1, 100, 0.4], ids=str)
def test_a_truncated_real_band_never_reads_as_zeros(offset_product: Path, tmp_path: Path, amount: float) -> None:
    source = next(offset_product.glob("GRANULE/*/IMG_DATA/R60m/*_B09_60m.jp2"))
    product = tmp_path / offset_product.name
    file = product / source.relative_to(offset_product)
    file.parent.mkdir(parents=True)
    for name in (offset_product / "MTD_MSIL2A.xml", next(offset_product.glob("GRANULE/*/MTD_TL.xml"))):
        (product / name.relative_to(offset_product)).write_bytes(name.read_bytes())
    data = source.read_bytes()
    file.write_bytes(data[: -int(amount if amount >= 1 else amount * len(data))])
    reader = open_safe(product)
    with pytest.raises(ProductError, match=r"B09_60m.*truncated"):
        reader.read(["B09"], reader.scene.bands["B09"].geobox[:100, :100])
