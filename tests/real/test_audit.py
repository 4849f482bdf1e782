"""The offset audit on every real scene there is: it finds the one that is wrong and never accuses one that is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from groundshift.errors import ProductError
from groundshift.io.opening import open_scene
from groundshift.model.scene import OpenOptions, Reader
from groundshift.radiometry.audit import AuditVerdict, Dark, audit, dark_quantiles, reconcile

BAND_SETS = (
    ("B02", "B03", "B04", "B08"),
    ("B02", "B03", "B04"),
    ("B02", "B03", "B04", "B8A", "B11", "B12"),
    ("B8A", "B11", "B12"),
    ("B04", "B08"),
    ("B08",),
    ("B11",),
)
SCENES = {
    "bushfire-2018-2019@2018-12-01": 65535,
    "bushfire-2018-2019@2019-01-05": 65535,
    "aquileia-2019": 65535,
    "sundarbans-2020": 65535,
    "oscd-bercy/imgs_1_rect": 10000,
    "oscd-bercy/imgs_2_rect": 10000,
    "saxony-l1c-2017/IMG_DATA": 10000,
    "safe/S2A_MSIL2A_20181229T095411_N0211_R079_T33SVB_20181229T112231.SAFE": None,
    "safe/S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500.SAFE": None,
}


def darkness(reader: Reader, bands: tuple[str, ...]) -> dict[str, Dark]:
    infos = [reader.scene.bands[band] for band in bands]
    pixels = reader.read(bands, infos[0].geobox)
    triples = zip(infos, pixels.dn, pixels.valid, strict=True)
    return {info.name: dark_quantiles(dn, valid, info.scale) for info, dn, valid in triples}


def settled(reader: Reader, dark: dict[str, Dark]) -> AuditVerdict:
    verdict = audit(dark, reader.scene.level)
    reconcile(verdict, [reader.scene.bands[band] for band in dark], None, reader.scene.name)
    return verdict


def judged(reader: Reader, bands: tuple[str, ...]) -> AuditVerdict:
    return settled(reader, darkness(reader, bands))


@pytest.mark.parametrize("name", SCENES)
def test_a_product_without_offset_passes_with_any_choice_of_bands(shared_data: Path, name: str) -> None:
    scale = SCENES[name]
    reader = open_scene(shared_data / name, OpenOptions(scale=scale, verify=False))
    there = {band for bands in BAND_SETS for band in bands} & set(reader.scene.bands)
    dark = darkness(reader, tuple(sorted(there)))
    for bands in BAND_SETS:
        if set(bands) <= there:
            assert settled(reader, {band: dark[band] for band in bands}).verdict != "present"


def test_products_whose_offset_was_subtracted_pass(shared_data: Path) -> None:
    items = sorted((shared_data / "alps-2023" / "sentinel-2-l2a").glob("*/*_L2A.json"))
    assert len(items) == 10
    for item in items:
        assert judged(open_scene(item), ("B02", "B03", "B04", "B08")).verdict == "absent"


def test_a_product_of_baseline_04_carries_the_offset_that_its_metadata_subtract(shared_data: Path) -> None:
    """Read from its 60 m files, which alone are there."""
    folder = shared_data / "safe" / "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"
    images = next(folder.glob("GRANULE/*/IMG_DATA/R60m"))
    reader = open_scene(images, OpenOptions(scale=10000, offset=-1000))
    bands = ("B02", "B03", "B04", "B8A", "B11", "B12")
    dark = darkness(reader, bands)
    assert settled(reader, dark).verdict == "present"
    forgotten = open_scene(images, OpenOptions(scale=10000))
    with pytest.raises(ProductError, match=r"carry one of about \+0\.1.*B02 0\.08\d"):
        settled(forgotten, dark)


def test_the_export_that_still_carries_the_offset_is_found_and_can_be_put_right(shared_data: Path) -> None:
    reader = open_scene(shared_data / "amazon-polygons" / "sen2.tif")
    bands = ("B02", "B03", "B04", "B08")
    with pytest.raises(ProductError, match=r"B02 0\.117, B03 0\.120, B04 0\.117, B08 0\.11\d.*--trust"):
        judged(reader, bands)
    verdict = audit(darkness(reader, bands), None)
    offsets, _ = reconcile(verdict, [reader.scene.bands[band] for band in bands], "pixels", "amazon")
    assert offsets == pytest.approx(dict.fromkeys(bands, -0.1))


def test_no_date_of_a_year_over_fields_is_accused_whichever_way_its_numbers_are(shared_data: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("netCDF4")
    folder = shared_data / "belgium-series" / "00002806639B424A"
    (file,) = folder.glob("S2_L2A_10m_*.nc")
    with xarray.open_dataset(file, mask_and_scale=False) as data:
        dates = {band: data[band].values for band in ("B02", "B03", "B04", "B08")}
    for date in range(len(dates["B02"])):
        dark = {band: dark_quantiles(dn[date], dn[date] > 0, 1e-4) for band, dn in dates.items()}
        # as if it were a scene of 64 times that area, so that its size alone does not silence the audit
        plain = {band: value._replace(pixels=64 * value.pixels) for band, value in dark.items()}
        shifted = {band: Dark(d.low + 0.1, d.high + 0.1, d.pixels) for band, d in plain.items()}
        assert audit(plain, "L2A").verdict != "present"
        assert audit(shifted, "L2A").verdict != "absent"


def test_two_baselines_of_one_scene_compare_equal(shared_data: Path) -> None:
    from groundshift.radiometry.reflectance import to_reflectance

    reader = open_scene(shared_data / "aquileia-2019", OpenOptions(scale=65535))
    dn = reader.read(["B02", "B08"], reader.scene.bands["B02"].geobox).dn.astype(np.float32)
    np.testing.assert_allclose(
        to_reflectance(dn + 6553.5, 1 / 65535, -6553.5), to_reflectance(dn, 1 / 65535, 0), atol=1e-6
    )
