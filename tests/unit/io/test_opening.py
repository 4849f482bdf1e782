"""Whatever is named is opened by what it is, or refused in one sentence."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundshift.errors import MissingInputError, ProductError, UsageError
from groundshift.io.opening import open_scene
from groundshift.model.scene import OpenOptions

SCALE = OpenOptions(scale=10000)


@pytest.fixture
def image(tmp_path: Path, write_raster: Any) -> Path:
    """A GeoTIFF of one band."""
    return Path(write_raster(tmp_path / "2018-12-01_B04.tif", np.full((8, 9), 500, np.uint16)))


def test_a_safe_folder_its_parent_and_its_metadata_open_as_safe(safe_folder: Path) -> None:
    for path in (safe_folder, safe_folder / "MTD_MSIL2A.xml", safe_folder / "manifest.safe"):
        assert open_scene(path).scene.kind == "SAFE"


def test_a_zip_opens_as_safe_whatever_its_ending(safe_folder: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "product"), "zip", safe_folder.parent, safe_folder.name)
    assert open_scene(archive).scene.kind == "SAFE"


def test_a_raster_a_folder_and_a_date_of_it_open_as_raster(image: Path) -> None:
    for text in (image, image.parent, f"{image.parent}@2018-12-01"):
        assert open_scene(text, SCALE).scene.kind == "raster"


def test_an_item_opens_as_stac_by_path_and_by_url(image: Path) -> None:
    item = {"type": "Feature", "id": "X", "properties": {}, "assets": {"red": {"href": image.name}}}
    path = image.parent / "item"
    path.write_text("\n  " + json.dumps(item))
    assert open_scene(path).scene.kind == "STAC"
    assert open_scene(path.as_uri()).scene.kind == "STAC"


def write_item(path: Path, day: str = "2018-12-01", href: str = "2018-12-01_B04.tif", **fields: Any) -> Path:
    """A STAC item of one band."""
    item = {"type": "Feature", "stac_version": "1.0.0", "id": path.stem, "assets": {"red": {"href": href}}}
    item |= {"properties": {"datetime": f"{day}T10:00:00Z", "s2:processing_baseline": "02.14"}}
    path.write_text(json.dumps(item | fields))
    return path


def test_a_folder_with_one_item_opens_as_that_item(image: Path) -> None:
    write_item(image.parent / "scene.json")
    (image.parent / "broken.json").write_text("{")
    (image.parent / "areas.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    for text in (image.parent, f"{image.parent}@2018-12-01"):
        scene = open_scene(text).scene
        assert (scene.kind, scene.name, list(scene.bands)) == ("STAC", "scene", ["B04"])
    with pytest.raises(MissingInputError, match="has no STAC item of 2018-12-02: its dates are 2018-12-01"):
        open_scene(f"{image.parent}@2018-12-02")


def test_a_date_chooses_among_the_items_of_a_folder(image: Path) -> None:
    write_item(image.parent / "first.json", "2018-12-01")
    write_item(image.parent / "second.json", "2019-01-05")
    assert open_scene(f"{image.parent}@2019-01-05").scene.name == "second"
    with pytest.raises(UsageError, match=r"several dates \(2018-12-01, 2019-01-05\): choose one, as .*@2018-12-01"):
        open_scene(image.parent)
    write_item(image.parent / "third.json", "2019-01-05")
    with pytest.raises(UsageError, match=r"holds 2 STAC items of 2019-01-05: name one of them, as .*second\.json"):
        open_scene(f"{image.parent}@2019-01-05")


def test_an_item_whose_files_are_elsewhere_does_not_hide_the_rasters_of_its_folder(image: Path) -> None:
    item = write_item(image.parent / "item.json", href="https://host/B04.tif")
    assert open_scene(image.parent, SCALE).scene.kind == "raster"
    image.unlink()
    with pytest.raises(MissingInputError, match=r"band B04 is at https://host/B04\.tif, and only local files"):
        open_scene(item.parent)


def test_results_in_place_of_an_image_are_said_to_be_results(image: Path) -> None:
    image.rename(image.with_name("S2-CD.tif"))
    write_item(image.parent / "item.json", href="S2-CD.tif")
    with pytest.raises(ProductError, match="holds the results of a comparison: name the images themselves"):
        open_scene(image.parent)


def test_json_alone_in_a_folder_that_is_no_item_is_said_to_be_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text('{"type": "Catalog", "stac_version": "1.0.0"}')
    with pytest.raises(ProductError, match=r"catalog\.json: is a Catalog, not a STAC item"):
        open_scene(tmp_path)


def test_a_date_of_a_product_is_refused(safe_folder: Path) -> None:
    with pytest.raises(UsageError, match="is one product, of one date: leave out @2021-03-15"):
        open_scene(f"{safe_folder}@2021-03-15")


def test_a_wrong_name_is_told_with_the_nearest_one(image: Path) -> None:
    wrong = image.with_name("2018-12-01_B05.tif")
    with pytest.raises(MissingInputError, match=rf"no such file or folder: did you mean {image}\?") as caught:
        open_scene(wrong)
    assert caught.value.exit_code == 66


def test_a_wrong_folder_is_told_with_the_part_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="there is no 'nowhere' in"):
        open_scene(tmp_path / "nowhere" / "deep" / "x.tif")


@pytest.mark.parametrize("text", ["https://host/x.json", "s3://bucket/x.tif", "file://host/x.tif"])
def test_remote_names_are_refused(text: str) -> None:
    with pytest.raises(MissingInputError, match="only local files are read"):
        open_scene(text)


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_name_says_what_is_accepted(text: str) -> None:
    with pytest.raises(MissingInputError, match="no input was named: expected a SAFE folder or zip"):
        open_scene(text)


def test_a_folder_of_products_names_one_to_choose(safe_folder: Path, tmp_path: Path) -> None:
    for name in ("a.SAFE", "b.SAFE"):
        (tmp_path / name).mkdir()
        shutil.copy(safe_folder / "MTD_MSIL2A.xml", tmp_path / name)
    with pytest.raises(ProductError, match=r"holds 2 products: name one of them, as .*a\.SAFE"):
        open_scene(tmp_path)


def test_an_empty_folder_and_an_unknown_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match="holds no file to read: expected a SAFE folder"):
        open_scene(tmp_path)
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(ProductError, match="is no raster that is read") as caught:
        open_scene(tmp_path / "x.txt")
    assert caught.value.exit_code == 65


@pytest.mark.parametrize("kind", ["SAFE", "STAC", "raster"])
def test_a_mask_is_laid_on_whatever_is_opened(kind: str, image: Path, safe_folder: Path, write_raster: Any) -> None:
    scene = {"SAFE": safe_folder, "raster": image}.get(kind) or write_item(image.parent / "item.json")
    band = "B02" if kind == "SAFE" else "B04"
    plain = open_scene(scene, SCALE)
    grid = plain.scene.bands[band].geobox
    usable = np.ones(grid.shape, np.uint8)
    usable[:4, -3:] = 0
    mask = write_raster(image.parent / "mask" / "m.tif", usable, crs=grid.crs.to_wkt(), transform=grid.affine)
    reader = open_scene(scene, replace(SCALE, mask=str(mask)))
    assert reader.scene.kind == kind
    assert str(mask) in reader.files([band])
    found, expected = reader.read([band], grid), plain.read([band], grid)
    assert expected.valid[0, :4, -3:].any()
    np.testing.assert_array_equal(found.valid, expected.valid & (usable == 1))
    np.testing.assert_array_equal(found.dn[found.valid], expected.dn[found.valid])
    with pytest.raises(MissingInputError, match=r"gone\.tif"):
        open_scene(scene, replace(SCALE, mask=str(mask.with_name("gone.tif"))))
