"""Reading generated SAFE products whose pixels are known."""

from __future__ import annotations

import pickle
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from groundshift.errors import MissingInputError
from groundshift.io.safe import is_safe, open_safe
from groundshift.model.grid import Window, blocks, crop
from groundshift.model.scene import OpenOptions, Pixels, Reader
from groundshift.testing.safe import write_safe

WHOLE = Window(0, 1224, 0, 1224)


def reflectance(reader: Any, pixels: Pixels, bands: list[str]) -> Any:
    infos = [reader.scene.bands[band] for band in bands]
    offset, scale = (np.array([[[getattr(info, k)]] for info in infos], np.float32) for k in ("offset", "scale"))
    return (pixels.dn.astype(np.float32) + offset) * scale


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({}, id="L2A folder 05.10"),
        pytest.param({"zip": "stored", "baseline": (2, 14), "checksum": "MD5"}, id="L2A stored zip 02.14"),
        pytest.param({"zip": "deflated", "platform": "S2C", "baseline": (5, 11)}, id="L2A deflated zip 05.11"),
        pytest.param({"level": "L1C", "platform": "S2D"}, id="L1C folder"),
        pytest.param({"level": "L1C", "zip": "deflated", "baseline": (2, 9), "platform": "S2B"}, id="L1C zip 02.09"),
        pytest.param({"compact_naming": False, "baseline": (2, 2), "platform": "S2B"}, id="L2A old names"),
        pytest.param({"level": "L1C", "compact_naming": False, "baseline": (2, 2)}, id="L1C old names"),
    ],
)
def test_every_kind_of_product_gives_the_reflectance_it_was_made_of(
    tmp_path: Path, plain_imagery: Any, how: dict[str, Any]
) -> None:
    product = write_safe(plain_imagery(), tmp_path, bands="B02,B05,B09", **how)
    reader = open_safe(product)
    scene = reader.scene
    assert scene.warnings == ()
    assert (scene.level, scene.platform) == (how.get("level", "L2A"), how.get("platform", "S2A"))
    assert (scene.tile, scene.relative_orbit, scene.baseline) == ("56HKH", 30, how.get("baseline", (5, 10)))
    assert scene.sensing_time == datetime(2021, 3, 15, 0, 2, 41, 24_000, tzinfo=UTC)
    assert scene.sun_zenith_deg == pytest.approx(40)
    assert list(scene.bands) == ["B02", "B05", "B09"]
    for band, factor in (("B02", 1), ("B05", 2), ("B09", 6)):
        info = scene.bands[band]
        assert info.resolution_m == 10 * factor
        pixels = reader.read([band], info.geobox)
        window = Window(0, 1224 // factor, 0, 1224 // factor)
        (truth,) = plain_imagery().reflectance(window, [band], 10 * factor)
        sure = np.isfinite(truth) & pixels.valid[0]
        assert sure.mean() > 0.97
        assert (pixels.valid[0] == np.isfinite(truth)).mean() > 0.999
        assert abs(reflectance(reader, pixels, [band])[0] - truth)[sure].max() < 2e-3


def test_no_data_is_tested_before_the_offset(safe_folder: Path) -> None:
    reader = open_safe(safe_folder)
    pixels = reader.read(["B02"], reader.scene.bands["B02"].geobox)
    assert reader.scene.bands["B02"].offset == -1000
    assert pixels.dn.dtype == np.uint16
    np.testing.assert_array_equal(pixels.valid, pixels.dn != 0)
    assert not pixels.valid[0, 0, 0]


@pytest.mark.parametrize(
    ("how", "rule"),
    [
        ({}, "BOA_ADD_OFFSET of MTD_MSIL2A.xml: -1000 DN for each band"),
        ({"level": "L1C"}, "RADIO_ADD_OFFSET of MTD_MSIL1C.xml: -1000 DN for each band"),
        ({"baseline": (2, 12), "zip": "stored"}, "no offset: processing baseline 02.12"),
    ],
)
def test_a_scene_says_how_its_offset_was_decided(
    tmp_path: Path, plain_imagery: Any, how: dict[str, Any], rule: str
) -> None:
    assert open_safe(write_safe(plain_imagery(), tmp_path, bands="B09", **how)).scene.offset_rule == rule


@pytest.mark.parametrize(
    ("pattern", "instead", "trust", "rule"),
    [
        (r'(band_id="1">)-1000', r"\g<1>-900", None, "-1000 DN for B01 B03"),
        (r'(band_id="1">)-1000', r"\g<1>-900", None, ", -900 DN for B02"),
        (
            "<BOA_ADD_OFFSET .*</BOA_ADD_OFFSET>",
            "",
            "pixels",
            "no offset: processing baseline 05.10, none in MTD_MSIL2A.xml, taken as 0 by --trust pixels",
        ),
    ],
)
def test_an_odd_offset_is_said_in_full(safe_copy: Path, pattern: str, instead: str, trust: Any, rule: str) -> None:
    xml = safe_copy / "MTD_MSIL2A.xml"
    xml.write_text(re.sub(pattern, instead, xml.read_text()))
    assert rule in open_safe(safe_copy, OpenOptions(trust=trust)).scene.offset_rule


def test_two_baselines_of_one_scene_read_equal(tmp_path: Path, plain_imagery: Any) -> None:
    readers = [
        open_safe(write_safe(plain_imagery(), tmp_path, bands="B02", baseline=baseline))
        for baseline in ((2, 14), (5, 10))
    ]
    geobox = readers[0].scene.bands["B02"].geobox
    old, new = (reader.read(["B02"], geobox) for reader in readers)
    np.testing.assert_array_equal(old.valid, new.valid)
    difference = reflectance(readers[0], old, ["B02"]) - reflectance(readers[1], new, ["B02"])
    assert abs(difference[old.valid]).max() < 1.01e-4


@pytest.mark.parametrize("saturates", [True, False])
def test_saturated_pixels_are_flagged_on_any_grid(tmp_path: Path, plain_imagery: Any, saturates: bool) -> None:
    reader = open_safe(write_safe(plain_imagery(saturates), tmp_path, bands="B02,B05"))
    geobox = reader.scene.bands["B02"].geobox[760:840, 760:840]
    pixels = reader.read(["B02", "B05"], geobox)
    expected = np.zeros((80, 80), bool)
    if saturates:
        expected[30:50, 30:50] = True
    np.testing.assert_array_equal(pixels.saturated[0], expected)
    assert pixels.saturated[1][expected].all()
    assert pixels.saturated[1].sum() <= 24 * 24
    assert pixels.valid.all()
    coarse = reader.read(["B02"], GeoBox((20, 20), geobox.affine * geobox.affine.scale(4), geobox.crs))
    assert coarse.saturated.sum() == (36 if saturates else 0)


def test_the_largest_value_of_a_15_bit_file_is_saturated(tmp_path: Path, plain_imagery: Any) -> None:
    class Bright(plain_imagery):  # type: ignore[misc]
        def reflectance(self, window: Any, bands: Any, resolution_m: int = 10) -> Any:
            return super().reflectance(window, bands, resolution_m) * 20

    reader = open_safe(write_safe(Bright(), tmp_path, bands="B02"))
    pixels = reader.read(["B02"], reader.scene.bands["B02"].geobox)
    assert reader.scene.bands["B02"].saturated == 32767
    np.testing.assert_array_equal(pixels.saturated, pixels.dn == 32767)
    assert pixels.saturated.any()


def test_bands_of_several_resolutions_come_on_one_grid(safe_folder: Path, plain_imagery: Any) -> None:
    reader = open_safe(safe_folder)
    geobox = reader.scene.bands["B02"].geobox
    pixels = reader.read(["B05", "B02", "B09"], geobox)
    assert pixels.dn.dtype == np.float32
    assert pixels.dn.shape == (3, 1224, 1224)
    truth = plain_imagery().reflectance(WHOLE, ["B05", "B02", "B09"])
    sure = np.isfinite(truth) & pixels.valid
    assert abs(reflectance(reader, pixels, ["B05", "B02", "B09"]) - truth)[sure].max() < 1e-2


def test_reading_parts_equals_reading_the_whole(safe_folder: Path) -> None:
    reader = open_safe(safe_folder)
    geobox = reader.scene.bands["B02"].geobox
    whole = reader.read(["B02", "B05"], geobox)
    classes = reader.read_classification(geobox)
    assert classes is not None
    for window in blocks(geobox.shape, 391, 517):
        part = reader.read(["B02", "B05"], crop(geobox, window))
        np.testing.assert_array_equal(part.dn, whole.dn[:, *window.slices])
        np.testing.assert_array_equal(part.valid, whole.valid[:, *window.slices])
        np.testing.assert_array_equal(reader.read_classification(crop(geobox, window)), classes[window.slices])


def test_the_classification_is_repeated_not_mixed(safe_folder: Path, plain_imagery: Any) -> None:
    reader = open_safe(safe_folder)
    expected = np.kron(plain_imagery().scl(Window(0, 612, 0, 612)), np.ones((2, 2), np.uint8))
    got = reader.read_classification(reader.scene.bands["B02"].geobox)
    assert got is not None
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)


def test_outside_the_image_nothing_is_valid(safe_folder: Path) -> None:
    reader = open_safe(safe_folder)
    geobox = reader.scene.bands["B02"].geobox.pad(10)
    pixels = reader.read(["B02", "B05"], geobox)
    assert not pixels.valid[:, :10].any()
    assert not pixels.valid[:, :, -10:].any()
    assert pixels.valid[:, -300:-10, -300:-10].all()
    classes = reader.read_classification(geobox)
    assert classes is not None
    assert not classes[:10].any()


def test_a_product_is_found_by_any_of_its_names(safe_folder: Path) -> None:
    expected = open_safe(safe_folder).scene.name
    assert expected.startswith("S2A_MSIL2A_20210315")
    assert not expected.endswith(".SAFE")
    for path in (safe_folder.parent, safe_folder / "MTD_MSIL2A.xml", safe_folder / "manifest.safe"):
        assert is_safe(path)
        assert open_safe(path).scene.name == expected


def test_what_is_no_product_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "B02.tif").touch()
    assert not is_safe(tmp_path)
    assert not is_safe(tmp_path / "B02.tif")


@pytest.mark.parametrize("folder", ["with space", "Grüße, (1) & 100%", "-dash", "a,b"])
def test_paths_with_odd_letters_work(safe_folder: Path, tmp_path: Path, folder: str) -> None:
    place = tmp_path / folder
    copied = Path(shutil.copytree(safe_folder, place / safe_folder.name))
    packed = Path(shutil.make_archive(str(place / "product"), "zip", safe_folder.parent, safe_folder.name))
    for product in (copied, packed):
        reader = open_safe(product)
        assert reader.read(["B09"], reader.scene.bands["B09"].geobox).valid.any()


def test_a_stored_zip_is_read_in_place(tmp_path: Path, plain_imagery: Any) -> None:
    product = write_safe(plain_imagery(), tmp_path, bands="B02", zip="stored")
    reader = open_safe(product, OpenOptions(scratch=str(tmp_path / "scratch")))
    assert reader.read(["B02"], reader.scene.bands["B02"].geobox).valid.any()
    assert not list((tmp_path / "scratch").glob("*.jp2"))


def test_a_reader_keeps_the_contract_and_survives_pickling(safe_folder: Path) -> None:
    reader = open_safe(safe_folder)
    assert isinstance(reader, Reader)
    files = reader.files(["B05", "SCL", "B05"])
    assert [name.rpartition("_T56HKH")[2][-11:] for name in files] == ["B05_20m.jp2", "SCL_20m.jp2"]
    checked = reader.verify(files[0])
    assert (checked.algorithm, checked.ok, len(checked.digest)) == ("SHA3-256", True, 64)
    again = pickle.loads(pickle.dumps(reader))  # noqa: S301  # as the process pool does
    geobox = reader.scene.bands["B05"].geobox
    np.testing.assert_array_equal(again.read(["B05"], geobox).dn, reader.read(["B05"], geobox).dn)


def test_a_band_that_the_product_has_not_is_named(safe_folder: Path) -> None:
    reader = open_safe(safe_folder)
    with pytest.raises(MissingInputError, match="no band B12: it has B02, B05, B09, SCL"):
        reader.read(["B12"], reader.scene.bands["B02"].geobox)
