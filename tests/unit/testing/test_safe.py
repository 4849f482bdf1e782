"""The writer of SAFE products: names, numbers, checksums, and what other readers make of them."""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from defusedxml import ElementTree
from rasterio.errors import NotGeoreferencedWarning

from groundshift.errors import OutputError, UsageError
from groundshift.model.bands import BANDS
from groundshift.model.grid import Window
from groundshift.testing.jp2 import Raster, encode
from groundshift.testing.naming import ProductIdentity
from groundshift.testing.safe import quantise, write_safe
from groundshift.testing.scenes import DateOptions, PairOptions, SceneOptions, SyntheticScene, pair, whole

SHAPE = (120, 144)


def scene(**date: object) -> SyntheticScene:
    options = SceneOptions(seed=9, shape=SHAPE)
    return pair(PairOptions(scene=options, after=DateOptions(nodata_share=0.15, **date))).after  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full Level-2A folder, baseline 05.10."""
    return write_safe(scene(cloud_share=0.2), tmp_path_factory.mktemp("safe"))


@pytest.fixture(scope="module")
def old_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few bands of the same scene, baseline 02.14, in an archive."""
    return write_safe(
        scene(cloud_share=0.2),
        tmp_path_factory.mktemp("zip"),
        baseline=(2, 14),
        zip="deflated",
        bands="B2,B8,B11",
        checksum="MD5",
        corner=(300_000, 6_290_020),
    )


def read(path: object) -> np.ndarray:
    with rasterio.open(path) as source:
        return np.asarray(source.read())


def values(xml: Path, tag: str) -> list[str]:
    return [element.text or "" for element in ElementTree.parse(xml).iter(tag)]


def test_the_names_are_esas(product: Path) -> None:
    assert product.name == "S2A_MSIL2A_20210315T000241_N0510_R030_T56HKH_20210315T022345.SAFE"
    (granule,) = (product / "GRANULE").iterdir()
    assert re.fullmatch(r"L2A_T56HKH_A0\d{5}_20210315T0002\d\d", granule.name)
    names = {p.relative_to(granule).as_posix() for p in granule.rglob("*.jp2")}
    assert "IMG_DATA/R10m/T56HKH_20210315T000241_B02_10m.jp2" in names
    assert "IMG_DATA/R20m/T56HKH_20210315T000241_SCL_20m.jp2" in names
    assert "IMG_DATA/R60m/T56HKH_20210315T000241_B09_60m.jp2" in names
    assert "QI_DATA/T56HKH_20210315T000241_PVI.jp2" in names
    assert not any("B10" in name for name in names)
    assert {p.name for p in product.iterdir()} >= {"MTD_MSIL2A.xml", "manifest.safe", "DATASTRIP", "GRANULE"}


@pytest.mark.parametrize(
    ("platform", "time", "relative", "absolute"),
    [
        ("S2A", datetime(2022, 10, 5, 11, 54, 11, tzinfo=UTC), 23, 38058),
        ("S2A", datetime(2018, 12, 29, 9, 54, 11, tzinfo=UTC), 79, 18380),
        ("S2B", datetime(2021, 1, 22, 13, 32, 29, tzinfo=UTC), 81, 20270),
    ],
)
def test_orbit_numbers_match_published_products(platform: str, time: datetime, relative: int, absolute: int) -> None:
    identity = ProductIdentity(
        level="L2A", tile="56HKH", platform=platform, sensing_time=time, relative_orbit=relative, baseline=(4, 0)
    )
    assert identity.absolute_orbit == absolute


@pytest.mark.parametrize("algorithm", ["sha3_256", "md5"])
def test_the_manifest_lists_every_file_with_its_checksum(product: Path, tmp_path: Path, algorithm: str) -> None:
    if algorithm == "md5":
        product = write_safe(scene(), tmp_path, bands="B9", checksum="MD5")
    listed = {}
    for stream in ElementTree.parse(product / "manifest.safe").iter("byteStream"):
        href, checksum = stream.find("fileLocation").get("href"), stream.find("checksum")
        content = (product / href).read_bytes()
        assert checksum.get("checksumName") == {"sha3_256": "SHA3-256", "md5": "MD5"}[algorithm]
        assert hashlib.new(algorithm, content).hexdigest() == checksum.text
        assert int(stream.get("size")) == len(content)
        listed[href.removeprefix("./")] = content
    there = {p.relative_to(product).as_posix() for p in product.rglob("*") if p.is_file()}
    assert set(listed) == there - {"manifest.safe"}


def test_pixels_are_reflectance_with_the_offset_of_the_baseline(product: Path, old_archive: Path) -> None:
    expected = scene(cloud_share=0.2).reflectance(whole(SHAPE), ["B08"])[0]
    (new,) = product.glob("GRANULE/*/IMG_DATA/R10m/*B08_10m.jp2")
    with zipfile.ZipFile(old_archive) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith("B08_10m.jp2"))
    valid = ~np.isnan(expected)
    for path, offset in ((new, -1000), (f"/vsizip/{old_archive}/{member}", 0)):
        dn = read(path)[0]
        np.testing.assert_array_equal(dn == 0, ~valid)
        np.testing.assert_allclose((dn[valid].astype(float) + offset) / 10000, expected[valid], atol=5.1e-5)


def test_metadata_hold_the_offsets_only_from_baseline_four_on(product: Path, tmp_path: Path) -> None:
    xml = product / "MTD_MSIL2A.xml"
    assert values(xml, "BOA_ADD_OFFSET") == ["-1000"] * 13
    assert values(xml, "BOA_QUANTIFICATION_VALUE") == ["10000"]
    assert values(xml, "PROCESSING_BASELINE") == ["05.10"]
    old = write_safe(scene(), tmp_path, bands="B9", baseline=(3, 1))
    assert values(old / "MTD_MSIL2A.xml", "BOA_ADD_OFFSET") == []


def test_valid_pixels_never_become_no_data_and_saturated_ones_are_65535() -> None:
    reflectance = np.array([-0.5, 0.0, 0.00001, 0.3, 9.0, np.nan, np.inf], np.float32)
    assert quantise(reflectance, 0).tolist() == [1, 1, 1, 3000, 65534, 0, 65535]
    assert quantise(reflectance, -1000).tolist() == [1, 1000, 1000, 4000, 65534, 0, 65535]
    assert quantise(reflectance, 0, bits=15).tolist() == [1, 1, 1, 3000, 32767, 0, 32767]


def test_saturated_spots_reach_the_file(tmp_path: Path) -> None:
    bright = scene(saturated_spots=15)
    (path,) = write_safe(bright, tmp_path, bands="B3").glob("GRANULE/*/IMG_DATA/R10m/*B03_10m.jp2")
    np.testing.assert_array_equal(read(path)[0] == 65535, np.isinf(bright.reflectance(whole(SHAPE), ["B03"])[0]))


def test_declared_shares_are_those_of_the_classes(product: Path) -> None:
    scl = scene(cloud_share=0.2).scl(whole(SHAPE, 20))
    (stored,) = product.glob("GRANULE/*/IMG_DATA/R20m/*SCL_20m.jp2")
    np.testing.assert_array_equal(read(stored)[0], scl)
    xml = product / "MTD_MSIL2A.xml"
    assert float(values(xml, "NODATA_PIXEL_PERCENTAGE")[0]) == pytest.approx(100 * np.mean(scl == 0), abs=1e-5)
    clouds = 100 * np.isin(scl, (8, 9, 10)).sum() / np.count_nonzero(scl)
    assert float(values(xml, "Cloud_Coverage_Assessment")[0]) == pytest.approx(clouds, abs=1e-5)


def test_the_tile_metadata_place_the_crop_and_the_sun(product: Path) -> None:
    (xml,) = product.glob("GRANULE/*/MTD_TL.xml")
    assert values(xml, "HORIZONTAL_CS_CODE") == ["EPSG:32756"]
    assert (values(xml, "ULX"), values(xml, "ULY")) == (["199980"] * 3, ["6300040"] * 3)
    assert values(xml, "NROWS") == ["120", "60", "20"]
    root = ElementTree.parse(xml)
    sun = root.find(".//Mean_Sun_Angle")
    assert (float(sun.find("ZENITH_ANGLE").text), float(sun.find("AZIMUTH_ANGLE").text)) == pytest.approx((42.6, 49.0))
    grid = root.findall(".//Sun_Angles_Grid/Zenith/Values_List/VALUES")
    assert len(grid) == 23
    assert all(len(row.text.split()) == 23 for row in grid)


@pytest.mark.parametrize("kind", ["folder", "archive", "L1C", "long L2A", "long L1C"])
def test_gdals_own_sentinel_driver_gives_the_same_pixels(
    kind: str, product: Path, old_archive: Path, tmp_path: Path
) -> None:
    path = {"folder": product, "archive": old_archive}.get(kind)
    if path is None:
        level = "L1C" if "L1C" in kind else "L2A"
        long = kind.startswith("long")
        path = write_safe(scene(cloud_share=0.2), tmp_path, level=level, compact_naming=not long, baseline=(2, 14))  # type: ignore[arg-type]
    entry = next(path.glob("*MTD*.xml")) if path.is_dir() else path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(entry, driver="SENTINEL2") as whole_product:
            subdataset = next(name for name in whole_product.subdatasets if ":10m:" in name)
    with rasterio.open(subdataset) as source:
        names = [source.tags(i)["BANDNAME"] for i in source.indexes]
        assert source.crs.to_epsg() == 32756
        assert source.shape == SHAPE
        dn = source.read(names.index("B8") + 1)
    offset = -1000 if kind == "folder" else 0
    look = scene(cloud_share=0.2).top_of_atmosphere if "L1C" in kind else scene(cloud_share=0.2).reflectance
    np.testing.assert_array_equal(dn, quantise(look(whole(SHAPE), ["B08"])[0], offset, bits=15))


@pytest.mark.parametrize(
    ("count", "resolution_m", "marker"),
    [
        (1, 10, "010000010004040400018888888888"),
        (1, 20, "010000010004010100017777777777"),
        (1, 60, "010000010004000000016666666666"),
        (3, 60, "010000010104020200017777777777"),
    ],
)
def test_code_streams_are_laid_out_as_esas(tmp_path: Path, count: int, resolution_m: int, marker: str) -> None:
    # The markers (COD) are those of published products: levels, code blocks, precincts, wavelet, order.
    raster = Raster(
        raw=tmp_path / "raw.img",
        count=count,
        dtype="uint16" if count == 1 else "uint8",
        shape=(200, 210),
        resolution_m=resolution_m,
        corner=(0, 0),
        epsg=32756,
    )
    raster.create()
    raster.pixels()[...] = np.random.default_rng(1).integers(1, 250, (count, 200, 210))
    encode(raster, tmp_path / "image.jp2")
    np.testing.assert_array_equal(read(tmp_path / "image.jp2"), raster.pixels())
    content = (tmp_path / "image.jp2").read_bytes()
    at = content.index(b"\xff\x52")
    assert content[at + 4 : at + 2 + int.from_bytes(content[at + 2 : at + 4])].hex() == marker


def test_level_1c_has_the_cirrus_band_its_own_offset_and_no_classes(tmp_path: Path) -> None:
    product = write_safe(scene(), tmp_path, level="L1C", baseline=(4, 0))
    images = {p.stem.rsplit("_", 1)[1] for p in product.glob("GRANULE/*/IMG_DATA/*.jp2")}
    assert images == {*BANDS, "TCI"}
    assert values(product / "MTD_MSIL1C.xml", "RADIO_ADD_OFFSET") == ["-1000"] * 13
    assert values(product / "MTD_MSIL1C.xml", "QUANTIFICATION_VALUE") == ["10000"]


def test_an_archive_has_the_product_folder_as_its_top_entry(old_archive: Path) -> None:
    with zipfile.ZipFile(old_archive) as archive:
        assert archive.testzip() is None
        assert {name.split("/")[0] for name in archive.namelist()} == {f"{old_archive.stem}.SAFE"}
        (member,) = (name for name in archive.namelist() if name.endswith("_B11_20m.jp2"))
    with rasterio.open(f"/vsizip/{old_archive}/{member}") as source:
        assert source.transform[:6] == (20, 0, 300_000, 0, -20, 6_290_020)


def test_processes_write_the_same_bytes_as_one(tmp_path: Path, old_archive: Path) -> None:
    arguments = {"baseline": (2, 14), "bands": "B2,B8,B11", "checksum": "MD5", "corner": (300_000, 6_290_020)}
    product = write_safe(scene(cloud_share=0.2), tmp_path, workers=2, **arguments)  # type: ignore[arg-type]
    with zipfile.ZipFile(old_archive) as archive:
        for name in archive.namelist():
            path = tmp_path / name
            assert path.is_dir() or path.read_bytes() == archive.read(name), name
    assert product.name == f"{old_archive.stem}.SAFE"


def test_a_crop_is_the_upper_left_of_the_scene(tmp_path: Path) -> None:
    (path,) = write_safe(scene(), tmp_path, bands="B2", size_px=60).glob("GRANULE/*/IMG_DATA/R10m/*B02_10m.jp2")
    expected = quantise(scene().reflectance(Window(0, 60, 0, 60), ["B02"])[0], -1000, bits=15)
    np.testing.assert_array_equal(read(path)[0], expected)


class _Broken(SyntheticScene):
    def scl(self, window: Window) -> np.ndarray:
        raise RuntimeError("the disk is full")

    def reflectance(self, window: Window, bands: Sequence[str], resolution_m: int = 10) -> np.ndarray:
        return np.zeros((len(bands), *window.shape), np.float32)


def test_a_product_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    broken = _Broken(options=SceneOptions(shape=SHAPE), date=DateOptions(), number=0)
    with pytest.raises(RuntimeError, match="disk"):
        write_safe(broken, tmp_path, bands="B9")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_product_is_not_overwritten(product: Path) -> None:
    with pytest.raises(OutputError, match="already there"):
        write_safe(scene(), product.parent)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"size_px": 61}, "multiples of 6"),
        ({"platform": "S3A"}, "S2A"),
        ({"relative_orbit": 200}, "143"),
        ({"sensing_time": datetime(2021, 3, 15)}, "time zone"),
        ({"checksum": "CRC32"}, "SHA3-256"),
    ],
)
def test_arguments_that_cannot_be_are_usage_errors(tmp_path: Path, arguments: dict[str, object], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        write_safe(scene(), tmp_path, **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
