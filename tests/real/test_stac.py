"""The STAC items of two Alpine tiles, cut to 120 m beside their items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from groundshift.errors import MissingInputError, ProductError
from groundshift.io.opening import open_scene

DATES = ("S2B_33TWL_20230810", "S2B_33TWL_20230813", "S2A_33TWL_20230815", "S2A_33TWM_20230818", "S2B_33TWM_20230820")


def item(shared_data: Path, name: str) -> Path:
    return shared_data / "alps-2023" / "sentinel-2-l2a" / f"{name}_0_L2A" / f"{name}_0_L2A.json"


@pytest.mark.parametrize("name", DATES)
def test_a_scene_is_read_by_its_rasters_with_the_offset_already_applied(shared_data: Path, name: str) -> None:
    reader = open_scene(item(shared_data, name))
    scene = reader.scene
    assert (scene.platform, scene.tile, scene.level, scene.baseline) == (name[:3], name[4:9], "L2A", (5, 9))
    assert scene.relative_orbit in (79, 122)
    assert sorted(scene.bands) == ["B02", "B03", "B04", "B08"]
    for info in scene.bands.values():
        assert (info.scale, info.offset, info.resolution_m) == (1e-4, 0, pytest.approx(120))
        assert tuple(info.geobox.shape) == (915, 915)
    pixels = reader.read(["B02", "B03", "B04", "B08"], scene.bands["B02"].geobox)
    assert scene.nodata_percent is not None
    assert 100 * (1 - pixels.valid.mean()) == pytest.approx(scene.nodata_percent, abs=0.5)
    for file in reader.files(["B02", "SCL"]):
        assert reader.verify(file).ok


def test_the_folder_of_an_item_opens_as_that_item(shared_data: Path) -> None:
    path = item(shared_data, DATES[2])
    for text in (path.parent, f"{path.parent}@2023-08-15"):
        assert open_scene(text).scene == open_scene(path).scene


def test_the_classification_agrees_with_the_metadata(shared_data: Path) -> None:
    reader = open_scene(item(shared_data, "S2A_33TWM_20230815"))
    classes = reader.read_classification(reader.scene.bands["B02"].geobox)
    assert classes is not None
    assert (classes == 4).sum() / (classes > 0).sum() == pytest.approx(0.94, abs=0.03)


def test_a_band_that_is_not_local_is_named_with_where_it_is(shared_data: Path) -> None:
    reader = open_scene(item(shared_data, "S2A_33TWM_20230815"))
    with pytest.raises(MissingInputError, match=r"band B11 is at https://.*B11\.tif, and only local files are read"):
        reader.files(["B11"])


def test_the_catalogue_and_collection_are_no_items(shared_data: Path) -> None:
    for name in ("catalog.json", "sentinel-2-l2a/collection.json"):
        with pytest.raises(ProductError, match="not a STAC item"):
            open_scene(shared_data / "alps-2023" / name)


def test_two_tiles_of_one_day_fit_where_they_overlap_better_than_a_pixel_away(shared_data: Path) -> None:
    south, north = (open_scene(item(shared_data, f"S2A_{tile}_20230815")) for tile in ("33TWL", "33TWM"))
    grid = south.scene.bands["B04"].geobox
    a = south.read(["B04"], grid)

    def agreement(dx: int, dy: int) -> float:
        b = north.read(["B04"], grid.translate_pix(dx, dy))
        both = a.valid & b.valid
        assert both.sum() > 50_000
        return float(np.corrcoef(a.dn[both], b.dn[both])[0, 1])

    assert agreement(0, 0) > 1.2 * max(agreement(1, 0), agreement(-1, 0), agreement(0, 1), agreement(0, -1))
