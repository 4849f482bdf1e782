"""Exports of real scenes as people have them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from groundshift.errors import LevelWarning, ProductError, UsageError
from groundshift.io.opening import open_scene
from groundshift.model.scene import OpenOptions

FULL = OpenOptions(scale=65535)
ESA = OpenOptions(scale=10000)


@pytest.mark.parametrize(("date", "bands"), [("2018-12-01", 12), ("2019-01-05", 10)])
def test_a_date_of_the_bushfire_folder_with_its_data_mask(shared_data: Path, date: str, bands: int) -> None:
    reader = open_scene(f"{shared_data / 'bushfire-2018-2019'}@{date}", FULL)
    assert len(reader.scene.bands) == bands
    assert reader.scene.sensing_time == datetime.fromisoformat(date).replace(tzinfo=UTC)
    pixels = reader.read(["B03", "B08"], reader.scene.bands["B03"].geobox)
    assert (~pixels.valid[0]).sum() == 2099
    assert (pixels.dn[0][pixels.valid[0]] > 0).all()


def test_the_bushfire_folder_lists_its_dates_and_asks_for_the_scale(shared_data: Path) -> None:
    folder = shared_data / "bushfire-2018-2019"
    with pytest.raises(UsageError, match="2018-12-01, 2019-01-05"):
        open_scene(folder, FULL)
    with pytest.raises(ProductError, match="--scale"):
        open_scene(f"{folder}@2018-12-01")


def test_a_folder_without_masks_takes_zero_in_all_bands_as_no_data(shared_data: Path) -> None:
    reader = open_scene(shared_data / "aquileia-2019", FULL)
    pixels = reader.read(["B02", "B12"], reader.scene.bands["B02"].geobox)
    assert (~pixels.valid[0]).sum() == 24875
    np.testing.assert_array_equal(pixels.valid[0], pixels.valid[1])


def test_bands_named_by_their_descriptions_as_reflectance(shared_data: Path) -> None:
    reader = open_scene(shared_data / "amazon-polygons" / "sen2.tif")
    assert list(reader.scene.bands)[:4] == ["B01", "B02", "B03", "B04"]
    assert reader.scene.bands["B8A"].scale == 1


def test_level_1c_jpeg_2000_bands_at_three_resolutions(shared_data: Path) -> None:
    reader = open_scene(shared_data / "saxony-l1c-2017" / "IMG_DATA", ESA)
    assert {round(info.resolution_m or 0) for info in reader.scene.bands.values()} == {10, 20, 60}
    assert reader.scene.tile == "33UUU"
    pixels = reader.read(["B02", "B11", "B01"], reader.scene.bands["B02"].geobox[:200, :200])
    assert pixels.valid.all()


def test_pictures_and_bands_without_georeference_share_their_pixel_grid(shared_data: Path) -> None:
    picture = open_scene(shared_data / "oscd-bercy" / "pair" / "img1.png")
    bands = open_scene(shared_data / "oscd-bercy" / "imgs_1_rect", ESA)
    assert [type(warning) for warning in picture.scene.warnings] == [LevelWarning]
    assert picture.scene.bands["B04"].geobox == bands.scene.bands["B04"].geobox
    red, other = (reader.read(["B04"], picture.scene.bands["B04"].geobox).dn[0] for reader in (picture, bands))
    assert np.corrcoef(red.ravel(), other.ravel())[0, 1] > 0.9
    # the same place on the map, cut by degrees, at three resolutions
    assert len(open_scene(shared_data / "oscd-bercy" / "imgs_1", ESA).scene.bands) == 13


def test_two_dates_of_different_extents_are_read_on_one_grid(shared_data: Path) -> None:
    folder = shared_data / "coregistration"
    options = OpenOptions(scale=10000, band_order=("B04",))
    names = ("ref_S2A_20160608T153121_T33UUU_sub.jp2", "tgt_S2A_20160529T153631_T33UUU_sub.jp2")
    reference, target = (open_scene(folder / name, options) for name in names)
    grid = reference.scene.bands["B04"].geobox[1000:1400, 1000:1400]
    a, b = (reader.read(["B04"], grid) for reader in (reference, target))
    both = a.valid & b.valid
    assert both.mean() > 0.5
    assert np.corrcoef(a.dn[both], b.dn[both])[0, 1] > 0.5


def test_a_vrt_and_a_colour_table_are_refused(shared_data: Path) -> None:
    with pytest.raises(ProductError, match="VRT"):
        open_scene(shared_data / "barbellino-l1c-l2a" / "S2A2A_20170703_022_Barbellino_RGB432B_10.vrt")
    with pytest.raises(ProductError, match="colour table"):
        open_scene(shared_data / "sundarbans-2020" / "2020-01-27_Highlight_Optimized_Natural_Color.png")
