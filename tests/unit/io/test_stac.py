"""STAC items: which asset is which band, and what its numbers mean, provider by provider."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from groundshift.errors import MissingInputError, OffsetWarning, ProductError
from groundshift.io.stac import band_role, baseline_of, local_path, offset_by_rules, open_stac
from groundshift.model.scene import OpenOptions

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
LISTED = {"raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0}]}
URI = "S2B_MSIL2A_20230815T095031_N0509_R079_T33TWM_20230815T155057.SAFE"


def item(assets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "ITEM",
        "collection": "sentinel-2-l2a",
        "properties": {"datetime": "2023-08-15T09:57:57.246000Z", **properties},
        "links": [],
        "assets": assets,
    }


@pytest.fixture
def write_item(tmp_path: Path, write_raster: Any) -> Any:
    """Writes an item beside B02.tif, B04.tif and SCL.tif of 10 and 20 m."""
    rng = np.random.default_rng(2)
    for name in ("B02", "B04"):
        write_raster(tmp_path / f"{name}.tif", rng.integers(1, 9000, (40, 50)).astype("uint16"))
    scl = np.full((20, 25), 5, np.uint8)
    write_raster(tmp_path / "SCL.tif", scl, transform=Affine(20, 0, 500000, 0, -20, 5100000))

    def write(assets: dict[str, Any] | None = None, **properties: Any) -> Path:
        default = {"blue": {"href": "B02.tif", "type": COG, **LISTED}, "red": {"href": "./B04.tif", **LISTED}}
        path = tmp_path / "item.json"
        path.write_text(json.dumps(item(default if assets is None else assets, **properties)))
        return path

    return write


# --- offsets -------------------------------------------------------------------------------------------------------

APPLIED = "earthsearch:boa_offset_applied"
NEW, OLD = {"s2:processing_baseline": "05.09"}, {"s2:processing_baseline": "02.14"}
PLANETARY = {"links": [{"rel": "self", "href": "https://planetarycomputer.microsoft.com/api/stac/v1/x"}]}
RULES = {
    "Earth Search, subtracted although the band lists -0.1": ({APPLIED: True, **NEW}, {}, LISTED, 0, False),
    "Earth Search, not subtracted, new baseline": ({APPLIED: False, **NEW}, {}, {}, -1000, False),
    "Earth Search, not subtracted, old baseline, band lists 0": ({APPLIED: False, **OLD}, {}, {}, 0, False),
    "Earth Search, not subtracted, no baseline: the band": ({APPLIED: False}, {}, LISTED, -1000, False),
    "Collection 1: the band": (NEW, {"collection": "sentinel-2-c1-l2a"}, LISTED, -1000, False),
    "Collection 1, an old scene of a new baseline: the band": (
        OLD,
        {"collection": "sentinel-2-c1-l2a"},
        LISTED,
        -1000,
        False,
    ),
    "Planetary Computer, new baseline": (NEW, PLANETARY, {}, -1000, False),
    "Planetary Computer, old baseline": (OLD, PLANETARY, {}, 0, False),
    "Planetary Computer, first baseline with offset": (
        {"s2:processing_baseline": "04.00"},
        PLANETARY,
        {},
        -1000,
        False,
    ),
    "Planetary Computer, last baseline without": ({"s2:processing_baseline": "03.01"}, PLANETARY, {}, 0, False),
    "STAC 1.1 band object": ({}, {}, {"bands": [{"raster:scale": 1e-4, "raster:offset": -0.1}]}, -1000, False),
    "STAC 1.1, on the asset": ({}, {}, {"raster:scale": 1e-4, "raster:offset": 0}, 0, False),
    "only a new baseline": (NEW, {}, {}, -1000, True),
    "only an old baseline": (OLD, {}, {}, 0, False),
    "nothing at all": ({}, {}, {}, 0, True),
}


@pytest.mark.parametrize("case", RULES)
def test_offset_by(case: str) -> None:
    properties, fields, asset, offset, doubtful = RULES[case]
    whole = item({}, **properties) | fields
    flat = {**asset, **next(iter(asset.get("raster:bands", [])), {}), **next(iter(asset.get("bands", [])), {})}
    meaning = offset_by_rules(whole, flat)
    assert (meaning.offset, meaning.doubtful) == (offset, doubtful)
    assert meaning.scale == 1e-4
    assert meaning.rule


def test_a_doubtful_offset_is_a_warning_and_the_rule_is_kept(write_item: Any) -> None:
    scene = open_stac(write_item({"blue": {"href": "B02.tif"}})).scene
    assert [type(w) for w in scene.warnings] == [OffsetWarning]
    assert "no offset assumed" in scene.offset_rule


def test_the_word_of_the_user_wins_over_all_rules(write_item: Any) -> None:
    scene = open_stac(write_item(**{APPLIED: True}), OpenOptions(offset=-1000)).scene
    assert scene.bands["B02"].offset == -1000
    assert "--offset -1000" in scene.offset_rule


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"s2:processing_baseline": "05.10"}, (5, 10)),
        ({"processing:version": "05.11"}, (5, 11)),
        ({"s2:product_uri": URI}, (5, 9)),
        ({}, None),
    ],
)
def test_baseline_of_an_item(properties: dict[str, str], expected: tuple[int, int] | None) -> None:
    assert baseline_of(item({}, **properties)) == expected


# --- assets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "described", "expected"),
    [
        ("B8A", {}, "B8A"),
        ("nir08", {}, "B8A"),
        ("B02_10m", {"name": "B02"}, "B02"),
        ("anything", {"name": "B05", "common_name": "rededge"}, "B05"),
        ("anything", {"eo:common_name": "swir16"}, "B11"),
        ("rededge1", {"name": "rededge1", "common_name": "rededge"}, "B05"),
        ("scl", {}, "SCL"),
        ("SCL_20m", {}, "SCL"),
        ("aot", {}, None),
        ("visual", {"name": "red"}, "B04"),
    ],
)
def test_role_of_an_asset(key: str, described: dict[str, str], expected: str | None) -> None:
    assert band_role(key, described) == expected


def test_bands_and_classification_are_read_from_the_files_beside_the_item(write_item: Any) -> None:
    path = write_item(
        {
            "blue": {"href": "B02.tif", "type": COG, "eo:bands": [{"name": "B02", "common_name": "blue"}], **LISTED},
            "scl": {"href": "SCL.tif", "type": COG},
            "visual": {"href": "TCI.tif", "eo:bands": [{"name": "red"}, {"name": "green"}, {"name": "blue"}]},
            "thumbnail": {"href": "x.jpg", "type": "image/jpeg"},
        },
        **{APPLIED: True},
    )
    reader = open_stac(path)
    assert list(reader.scene.bands) == ["B02"]
    pixels = reader.read(["B02"], reader.scene.bands["B02"].geobox)
    assert pixels.valid.all()
    assert (reader.read_classification(reader.scene.bands["B02"].geobox) == 5).all()


def test_the_georeference_of_the_raster_wins_over_that_of_the_item(write_item: Any) -> None:
    moved = {"href": "B02.tif", "proj:shape": [10980, 10980], "proj:transform": [10, 0, 0, 0, -10, 0], **LISTED}
    geobox = open_stac(write_item({"blue": moved})).scene.bands["B02"].geobox
    assert tuple(geobox.shape) == (40, 50)
    assert geobox.affine.c == 500000


def test_a_jpeg_2000_duplicate_is_read_only_where_there_is_no_tiff(
    write_item: Any, tmp_path: Path, write_raster: Any
) -> None:
    write_raster(
        tmp_path / "B02.jp2", np.full((40, 50), 7, np.uint16), driver="JP2OpenJPEG", REVERSIBLE="YES", QUALITY="100"
    )
    both = {"blue-jp2": {"href": "B02.jp2", "type": "image/jp2", **LISTED}, "blue": {"href": "B02.tif", **LISTED}}
    assert open_stac(write_item(both)).scene.bands["B02"].href.endswith("B02.tif")
    far = both | {"blue": {"href": "https://host/B02.tif", **LISTED}}
    assert open_stac(write_item(far)).scene.bands["B02"].href.endswith("B02.jp2")


@pytest.mark.parametrize("href", ["https://host/B11.tif", "s3://bucket/B11.tif", "/vsicurl/https://host/B11.tif"])
def test_a_remote_band_is_an_error_only_when_it_is_wanted(write_item: Any, href: str) -> None:
    path = write_item({"blue": {"href": "B02.tif", **LISTED}, "swir16": {"href": href, **LISTED}})
    reader = open_stac(path)
    assert list(reader.scene.bands) == ["B02"]
    with pytest.raises(MissingInputError, match=rf"band B11 is at {href}, and only local files are read"):
        reader.files(["B11"])


def test_a_local_band_that_is_missing_is_named_with_its_path(write_item: Any) -> None:
    reader = open_stac(write_item({"blue": {"href": "B02.tif", **LISTED}, "nir": {"href": "gone/B08.tif"}}))
    with pytest.raises(MissingInputError, match=r"the file of band B08 is missing: expected .*gone/B08\.tif"):
        reader.read(["B08"], reader.scene.bands["B02"].geobox)


def test_an_item_with_nothing_local_is_refused(write_item: Any) -> None:
    with pytest.raises(MissingInputError, match="no band of this item can be read"):
        open_stac(write_item({"blue": {"href": "https://host/B02.tif"}, "scl": {"href": "SCL.tif"}}))


def test_hrefs_are_found_relative_absolute_as_url_and_with_escapes(tmp_path: Path) -> None:
    (tmp_path / "a b.tif").touch()
    (tmp_path / "100%.tif").touch()
    assert local_path("a b.tif", tmp_path) == tmp_path / "a b.tif"
    assert local_path("a%20b.tif", tmp_path) == tmp_path / "a b.tif"
    assert local_path("100%.tif", tmp_path) == tmp_path / "100%.tif"
    assert local_path(f"{tmp_path}/a b.tif", Path("elsewhere")) == tmp_path / "a b.tif"
    assert local_path((tmp_path / "a b.tif").as_uri(), Path()) == tmp_path / "a b.tif"
    assert local_path("file://otherhost/x.tif", tmp_path) is None


# --- the scene -----------------------------------------------------------------------------------------------------


def test_what_the_item_says_of_the_scene(write_item: Any) -> None:
    told = {
        "platform": "sentinel-2b",
        "grid:code": "MGRS-33TWM",
        "s2:product_uri": URI,
        "s2:processing_baseline": "05.09",
        "view:sun_elevation": 55.0,
        "view:sun_azimuth": 152.4,
        "eo:cloud_cover": 0.2,
        "s2:nodata_pixel_percentage": 10.9,
        APPLIED: True,
    }
    scene = open_stac(write_item(**told)).scene
    assert (scene.platform, scene.tile, scene.relative_orbit) == ("S2B", "33TWM", 79)
    assert (scene.baseline, scene.level, scene.kind) == ((5, 9), "L2A", "STAC")
    assert (scene.sun_zenith_deg, scene.sun_azimuth_deg) == (35.0, 152.4)
    assert (scene.cloud_percent, scene.nodata_percent) == (0.2, 10.9)
    assert scene.sensing_time == datetime(2023, 8, 15, 9, 57, 57, 246000, tzinfo=UTC)


def test_the_tile_may_be_given_in_parts(write_item: Any) -> None:
    parts = {"mgrs:utm_zone": 5, "mgrs:latitude_band": "Q", "mgrs:grid_square": "KB"}
    assert open_stac(write_item(**parts)).scene.tile == "05QKB"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "Collection"}', "is a Collection, not a STAC item"),
        ('{"type": "Feature", "assets": []}', "not a STAC item"),
        ("[1, 2]", "is a list, not a STAC item"),
        ("{", "no sound JSON"),
        ("[" * 100_000, "no sound JSON"),
    ],
)
def test_other_json_is_refused_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ProductError, match=message):
        open_stac(tmp_path / "x.json")


def test_a_remote_item_is_refused() -> None:
    with pytest.raises(MissingInputError, match="only local files are read"):
        open_stac("https://host/item.json")
