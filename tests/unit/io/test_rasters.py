"""Plain rasters: which bands, what the numbers mean, what is no data."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from groundshift.errors import GridError, LevelWarning, MissingInputError, ProductError, UsageError
from groundshift.io.rasters import open_raster, split_date
from groundshift.model.grid import Window as Block
from groundshift.model.grid import crop
from groundshift.model.scene import OpenOptions

PIXELS = {"crs": None, "transform": Affine.identity()}


def numbers(bands: int = 3, shape: tuple[int, int] = (40, 50), dtype: str = "uint16") -> Any:
    rng = np.random.default_rng(1)
    return rng.integers(1, 200 if dtype == "uint8" else 9000, (bands, *shape)).astype(dtype)


def whole(reader: Any, bands: list[str] | None = None) -> Any:
    names = bands or list(reader.scene.bands)
    return reader.read(names, reader.scene.bands[names[0]].geobox)


# --- which bands ---------------------------------------------------------------------------------------------------


def test_descriptions_name_the_bands_and_others_are_passed_over(tmp_path: Path, write_raster: Any) -> None:
    dn = numbers(4)
    path = write_raster(tmp_path / "x.tif", dn, descriptions=("B2", "elevation", "nir", "B8A"))
    reader = open_raster(path, OpenOptions(scale=10000))
    assert list(reader.scene.bands) == ["B02", "B08", "B8A"]
    np.testing.assert_array_equal(whole(reader).dn, dn[[0, 2, 3]])


def test_the_band_order_of_the_user_wins_over_descriptions(tmp_path: Path, write_raster: Any) -> None:
    path = write_raster(tmp_path / "x.tif", numbers(2), descriptions=("B2", "B3"))
    reader = open_raster(path, OpenOptions(scale=10000, band_order=("B08", "B04")))
    assert list(reader.scene.bands) == ["B08", "B04"]


def test_a_band_order_of_another_length_is_refused_with_both_numbers(tmp_path: Path, write_raster: Any) -> None:
    path = write_raster(tmp_path / "x.tif", numbers(3))
    with pytest.raises(UsageError, match=r"has 3 bands, but --band-order names 2"):
        open_raster(path, OpenOptions(scale=10000, band_order=("B02", "B03")))


def test_bands_that_nothing_names_are_asked_for(tmp_path: Path, write_raster: Any) -> None:
    path = write_raster(tmp_path / "x.tif", numbers(5))
    with pytest.raises(UsageError, match=r"which its 5 bands are.*--band-order"):
        open_raster(path, OpenOptions(scale=10000))


def test_a_picture_of_three_colours_is_red_green_blue_and_says_so(tmp_path: Path, write_raster: Any) -> None:
    dn = numbers(3, dtype="uint8")
    reader = open_raster(write_raster(tmp_path / "x.png", dn, driver="PNG", **PIXELS))
    assert list(reader.scene.bands) == ["B04", "B03", "B02"]
    assert [type(w) for w in reader.scene.warnings] == [LevelWarning]
    assert reader.scene.bands["B04"].scale == pytest.approx(1 / 255)
    assert reader.scene.bands["B04"].geobox.crs is None
    np.testing.assert_array_equal(whole(reader).dn, dn)


def test_a_band_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, write_raster: Any) -> None:
    reader = open_raster(write_raster(tmp_path / "B04.tif", numbers(1)), OpenOptions(scale=10000))
    with pytest.raises(MissingInputError, match=r"no band B11: choose among B04"):
        whole(reader, ["B04", "B11"])


def test_numbers_of_a_colour_table_are_no_measurements(tmp_path: Path, write_raster: Any) -> None:
    import rasterio

    path = write_raster(tmp_path / "B04.tif", numbers(1, dtype="uint8"), photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {i: (i, i, i, 255) for i in range(256)})
    with pytest.raises(ProductError, match="colour table"):
        open_raster(path)


# --- what the numbers mean -----------------------------------------------------------------------------------------


def test_scale_and_offset_of_the_user_win_over_the_tags(tmp_path: Path, write_raster: Any) -> None:
    path = write_raster(tmp_path / "B04.tif", numbers(1), tags={"scales": (0.5,), "offsets": (3.0,)})
    info = open_raster(path, OpenOptions(scale=65535, offset=-1000)).scene.bands["B04"]
    assert (info.scale, info.offset) == (pytest.approx(1 / 65535), -1000)


def test_tags_of_the_file_are_followed_with_the_offset_turned_into_dn(tmp_path: Path, write_raster: Any) -> None:
    path = write_raster(tmp_path / "B04.tif", numbers(1), tags={"scales": (1e-4,), "offsets": (-0.1,)})
    info = open_raster(path).scene.bands["B04"]
    assert (info.scale, info.offset) == (pytest.approx(1e-4), pytest.approx(-1000))


def test_decimal_numbers_that_look_like_reflectance_are_reflectance(tmp_path: Path, write_raster: Any) -> None:
    reader = open_raster(write_raster(tmp_path / "B04.tif", numbers(1).astype("float32") / 9000))
    assert reader.scene.bands["B04"].scale == 1


@pytest.mark.parametrize(
    ("factor", "dtype", "hint"), [(1, "uint16", "10000"), (7, "uint16", "65535"), (1, "float32", "10000")]
)
def test_other_numbers_need_a_scale_and_a_likely_one_is_offered(
    tmp_path: Path, write_raster: Any, factor: int, dtype: str, hint: str
) -> None:
    path = write_raster(tmp_path / "B04.tif", (numbers(1) * factor).astype(dtype))
    with pytest.raises(ProductError, match=rf"B04 holds numbers up to about \d+.*--scale {hint}"):
        open_raster(path)


# --- what is no data -----------------------------------------------------------------------------------------------


def test_zero_in_all_bands_is_no_data_and_zero_in_one_is_dark(tmp_path: Path, write_raster: Any) -> None:
    dn = numbers(3)
    dn[:, 3, 4] = 0
    dn[1, 7, 7] = 0
    reader = open_raster(write_raster(tmp_path / "x.tif", dn, descriptions=("B2", "B3", "B4")), OpenOptions(scale=1e4))
    expected = np.ones(dn.shape, bool)
    expected[:, 3, 4] = False
    np.testing.assert_array_equal(whole(reader).valid, expected)
    # whether a pixel is empty does not depend on the bands that are asked for
    np.testing.assert_array_equal(whole(reader, ["B03"]).valid, expected[:1])


def test_zero_in_all_bands_is_no_data_across_the_files_of_a_folder(tmp_path: Path, write_raster: Any) -> None:
    dn = numbers(2)
    dn[:, 0, 0] = 0
    dn[0, 1, 1] = 0
    for name, band in zip(("B02", "B03"), dn, strict=True):
        write_raster(tmp_path / f"{name}.tif", band)
    valid = whole(open_raster(tmp_path, OpenOptions(scale=1e4)), ["B02"]).valid[0]
    assert not valid[0, 0]
    assert valid[1, 1]


def test_the_nodata_tag_is_followed_and_then_zero_is_a_value(tmp_path: Path, write_raster: Any) -> None:
    dn = numbers(1)
    dn[0, 0, 0], dn[0, 0, 1] = 65535, 0
    valid = whole(open_raster(write_raster(tmp_path / "B04.tif", dn, nodata=65535), OpenOptions(scale=1e4))).valid[0]
    assert not valid[0, 0]
    assert valid[0, 1]


def test_not_a_number_is_no_data(tmp_path: Path, write_raster: Any) -> None:
    dn = np.full((1, 9, 9), 0.3, np.float32)
    dn[0, 4, 4] = np.nan
    valid = whole(open_raster(write_raster(tmp_path / "B04.tif", dn))).valid
    assert valid.sum() == 80


def test_a_second_band_of_0_and_1_is_the_mask_and_zero_under_it_a_value(tmp_path: Path, write_raster: Any) -> None:
    dn = numbers(2)
    dn[1] = 1
    dn[1, 5:9, 5:9] = 0
    dn[0, 0, 0] = 0
    reader = open_raster(write_raster(tmp_path / "B04.tif", dn), OpenOptions(scale=65535))
    assert list(reader.scene.bands) == ["B04"]
    np.testing.assert_array_equal(whole(reader).valid[0], dn[1] == 1)


def test_alpha_is_the_mask(tmp_path: Path, write_raster: Any) -> None:
    dn = numbers(4, dtype="uint8")
    dn[3] = 255
    dn[3, 2, 2] = 0
    reader = open_raster(write_raster(tmp_path / "x.png", dn, driver="PNG", **PIXELS))
    assert list(reader.scene.bands) == ["B04", "B03", "B02"]
    np.testing.assert_array_equal(whole(reader).valid, np.broadcast_to(dn[3] > 0, (3, 40, 50)))


def test_a_mask_raster_of_other_pixels_masks_by_place(tmp_path: Path, write_raster: Any) -> None:
    image = write_raster(tmp_path / "x" / "B04.tif", numbers(1))
    mask = np.ones((20, 25), np.uint8)
    mask[3, 4] = 0
    file = write_raster(tmp_path / "mask.tif", mask, transform=Affine(20, 0, 500000, 0, -20, 5100000))
    reader = open_raster(image, OpenOptions(scale=1e4, mask=str(file)))
    np.testing.assert_array_equal(whole(reader).valid[0], np.kron(mask, np.ones((2, 2))) == 1)
    assert reader.files(["B04"]) == (str(image), str(file))


def test_a_mask_without_georeference_must_have_the_size_of_the_image(tmp_path: Path, write_raster: Any) -> None:
    image = write_raster(tmp_path / "x" / "B04.tif", numbers(1))
    mask = np.ones((40, 50), np.uint8)
    mask[3, 4] = 0
    same = write_raster(tmp_path / "same.tif", mask, **PIXELS)
    reader = open_raster(image, OpenOptions(scale=1e4, mask=str(same)))
    np.testing.assert_array_equal(whole(reader).valid[0], mask == 1)
    other = write_raster(tmp_path / "other.tif", mask[:20], **PIXELS)
    with pytest.raises(GridError, match="no georeference"):
        open_raster(image, OpenOptions(scale=1e4, mask=str(other)))


def test_saturated_pixels_are_flagged_also_where_they_are_mixed_in(tmp_path: Path, write_raster: Any) -> None:
    dn = numbers(1)
    dn[0, 10, 10] = 65535
    reader = open_raster(write_raster(tmp_path / "B04.tif", dn), OpenOptions(scale=1e4))
    np.testing.assert_array_equal(whole(reader).saturated[0], dn[0] == 65535)
    coarse = reader.read(["B04"], reader.scene.bands["B04"].geobox.zoom_out(2))
    assert coarse.saturated[0].sum() == 1
    assert coarse.saturated[0, 5, 5]


# --- folders -------------------------------------------------------------------------------------------------------


def test_a_folder_is_read_by_its_file_names_and_other_files_are_passed_over(tmp_path: Path, write_raster: Any) -> None:
    for name in (
        "T33UUU_20170216T102101_B8A_20m.tif",
        "T33UUU_20170216T102101_B02_10m.tif",
        "2017-02-16_True_color.tif",
    ):
        write_raster(tmp_path / name, numbers(1))
    (tmp_path / "B03.txt").write_text("no raster")
    scene = open_raster(tmp_path, OpenOptions(scale=1e4)).scene
    assert sorted(scene.bands) == ["B02", "B8A"]
    assert scene.sensing_time == datetime(2017, 2, 16, 10, 21, 1, tzinfo=UTC)
    assert scene.tile == "33UUU"


def test_one_of_several_dates_is_chosen_and_none_is_an_error_that_lists_them(tmp_path: Path, write_raster: Any) -> None:
    for i, day in enumerate(("2018-12-01", "2019-01-05")):
        write_raster(tmp_path / f"{day}_B02.tif", numbers(1) * 0 + i + 1)
    reader = open_raster(f"{tmp_path}@2019-01-05", OpenOptions(scale=1e4))
    assert (whole(reader).dn == 2).all()
    assert reader.scene.name.endswith("@2019-01-05")
    with pytest.raises(UsageError, match=r"several dates \(2018-12-01, 2019-01-05\): choose one"):
        open_raster(tmp_path, OpenOptions(scale=1e4))
    with pytest.raises(MissingInputError, match=r"no file of 2018-12-02: its dates are 2018-12-01, 2019-01-05"):
        open_raster(f"{tmp_path}@2018-12-02", OpenOptions(scale=1e4))
    with pytest.raises(UsageError, match="'soon' is no date"):
        open_raster(f"{tmp_path}@soon", OpenOptions(scale=1e4))


def test_an_existing_name_with_an_at_sign_is_no_date(tmp_path: Path) -> None:
    folder = tmp_path / "a@2018-12-01"
    folder.mkdir()
    assert split_date(str(folder)) == (str(folder), None)
    assert split_date(f"{tmp_path}@2018-12-01") == (str(tmp_path), date(2018, 12, 1))


def test_bands_of_a_folder_keep_their_own_grids(tmp_path: Path, write_raster: Any) -> None:
    write_raster(tmp_path / "B02.tif", numbers(1))
    write_raster(tmp_path / "B05.tif", numbers(1, (20, 25)), transform=Affine(20, 0, 500000, 0, -20, 5100000))
    reader = open_raster(tmp_path, OpenOptions(scale=1e4))
    assert [info.resolution_m for info in reader.scene.bands.values()] == pytest.approx([10, 20])
    pixels = whole(reader, ["B02", "B05"])
    assert pixels.dn.shape == (2, 40, 50)
    assert pixels.valid.all()


def test_of_a_band_at_two_resolutions_the_finer_is_taken(tmp_path: Path, write_raster: Any) -> None:
    write_raster(tmp_path / "X_B02_10m.tif", numbers(1))
    write_raster(tmp_path / "X_B02_20m.tif", numbers(1, (20, 25)), transform=Affine(20, 0, 500000, 0, -20, 5100000))
    assert open_raster(tmp_path, OpenOptions(scale=1e4)).scene.bands["B02"].resolution_m == pytest.approx(10)


def test_two_files_of_one_band_are_an_error_that_names_both(tmp_path: Path, write_raster: Any) -> None:
    for name in ("a_B02.tif", "b_B02.tif"):
        write_raster(tmp_path / name, numbers(1))
    with pytest.raises(ProductError, match=r"a_B02.tif and b_B02.tif are both band B02"):
        open_raster(tmp_path, OpenOptions(scale=1e4))


def test_a_scene_classification_in_the_folder_is_read_as_such(tmp_path: Path, write_raster: Any) -> None:
    write_raster(tmp_path / "B02.tif", numbers(1))
    scl = np.full((20, 25), 4, np.uint8)
    scl[3, 3] = 9
    write_raster(tmp_path / "SCL.tif", scl, transform=Affine(20, 0, 500000, 0, -20, 5100000))
    reader = open_raster(tmp_path, OpenOptions(scale=1e4))
    assert "SCL" not in reader.scene.bands
    grid = reader.scene.bands["B02"].geobox
    np.testing.assert_array_equal(reader.read_classification(grid), np.kron(scl, np.ones((2, 2))))
    beyond = grid.pad(2)
    assert reader.read_classification(beyond)[0, 0] == 0


def test_a_folder_without_band_names_says_what_names_are_expected(tmp_path: Path, write_raster: Any) -> None:
    write_raster(tmp_path / "image.tif", numbers(1))
    with pytest.raises(ProductError, match=r"no file name in this folder tells a band: expected names such as B02.tif"):
        open_raster(tmp_path)


def test_the_date_may_be_left_out_where_there_is_one(tmp_path: Path, write_raster: Any) -> None:
    write_raster(tmp_path / "2018-12-01_B02.tif", numbers(1))
    assert open_raster(tmp_path, OpenOptions(scale=1e4)).scene.sensing_time == datetime(2018, 12, 1, tzinfo=UTC)


def test_a_jpeg_2000_band_is_read_window_by_window_as_it_is_whole(tmp_path: Path, write_raster: Any) -> None:
    dn = numbers(1, (300, 300))
    options = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "BLOCKXSIZE": 128, "BLOCKYSIZE": 128}
    reader = open_raster(write_raster(tmp_path / "B02.jp2", dn, **options), OpenOptions(scale=1e4))
    part = crop(reader.scene.bands["B02"].geobox, Block(100, 260, 90, 300))
    np.testing.assert_array_equal(reader.read(["B02"], part).dn[0], dn[0, 100:260, 90:300])
