"""``groundshift screen``: figures of the area, from the smallest copies, whatever the scene is."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from groundshift.cli.main import _groundshift, guarded
from groundshift.io import previews
from groundshift.io.opening import open_scene
from groundshift.testing.safe import write_safe
from groundshift.testing.scenes import DateOptions, SceneOptions, SyntheticScene, whole

SHAPE = (480, 480)
SHARES = (0.4, 0.0)
"""Of clouds, newest first."""


def drawn(number: int) -> SyntheticScene:
    date = DateOptions(cloud_share=SHARES[number], nodata_share=0.2)
    return SyntheticScene(options=SceneOptions(seed=8, shape=SHAPE), date=date, number=number)


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("products")
    return [
        write_safe(
            drawn(i),
            folder,
            sensing_time=datetime(2021, 3, 25 - 5 * i, 0, 2, 41, tzinfo=UTC),
            bands="B02,B03,B04",
            zip="deflated" if i else None,
        )
        for i in range(len(SHARES))
    ]


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = guarded(_groundshift, ["screen", *(str(each) for each in argv)], "groundshift")
    said = capsys.readouterr()
    return code, said.out, said.err


def cells(number: int) -> Any:
    """The SCL of every cell of 160 m, at its middle."""
    return drawn(number).scl(whole(SHAPE, 20))[4::8, 4::8]


def test_figures_are_those_of_the_scenes(
    products: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said, _ = run(capsys, *reversed(products), "--out-dir", tmp_path / "look", "--json")
    assert code == 0
    found = json.loads(said)["scenes"]
    assert [each["date"] for each in found] == ["2021-03-25", "2021-03-20"]
    for number, each in enumerate(found):
        classes = cells(number)
        known = classes > 0
        assert each["data_percent"] == pytest.approx(100 * known.mean())
        assert each["cloud_percent"] == pytest.approx(100 * np.isin(classes[known], (8, 9, 10)).mean())
        assert each["shadow_percent"] == pytest.approx(100 * (classes[known] == 3).mean())
        assert (each["clouds_by"], each["colours_from"]) == ("scl", "preview")
    with (tmp_path / "look" / "scenes.csv").open(encoding="utf-8") as stream:
        assert [row["cloud_percent"] for row in csv.DictReader(stream)] == [f"{e['cloud_percent']:.2f}" for e in found]
    assert json.loads((tmp_path / "look" / "scenes.json").read_text("utf-8")) == found
    with Image.open(tmp_path / "look" / "contact-sheet.png") as sheet:
        picture = np.asarray(sheet)
    left, right = picture[14:294, 14:294], picture[14:294, 308:588]
    assert (left[:, 140:].min(axis=-1) > 230).mean() > 0.2 > (right[:, 140:].min(axis=-1) > 230).mean()


def test_figures_are_of_the_area_not_of_the_tile(products: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    grid = open_scene(products[0]).scene.bands["B02"].geobox
    left, top = grid.affine * (400, 160)
    right, bottom = grid.affine * (560, 320)
    ring = f"{left} {top},{right} {top},{right} {bottom},{left} {bottom},{left} {top}"
    code, said, _ = run(capsys, products[0], "--aoi", f"SRID={grid.crs.to_epsg()};POLYGON(({ring}))", "--json")
    (found,) = json.loads(said)["scenes"]
    classes = cells(0)[10:20, 25:]
    assert code == 0
    # half of the area lies outside of the scene
    assert found["data_percent"] == pytest.approx(50 * (classes > 0).mean(), abs=1e-6)
    assert (classes > 0).mean() > 0.5
    assert found["cloud_percent"] == pytest.approx(100 * np.isin(classes[classes > 0], (8, 9, 10)).mean())


def test_without_a_classification_the_colours_tell(
    write_raster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "bands"
    for name, ground in (("B02", 300), ("B03", 500), ("B04", 400)):
        dn = np.full((320, 320), ground, np.uint16)
        dn[:, 160:] = 6000
        dn[:80] = 0
        write_raster(folder / f"2021-03-25_{name}.tif", dn, nodata=0, tags={"scales": (1e-4,)})
    code, said, _ = run(capsys, folder, "--json")
    (found,) = json.loads(said)["scenes"]
    assert code == 0
    assert (found["clouds_by"], found["colours_from"], found["shadow_percent"]) == ("preview-unet", "overviews", None)
    assert found["cloud_percent"] == pytest.approx(50)
    assert found["data_percent"] == pytest.approx(75)


def test_the_thumbnail_of_an_item_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = np.full((64, 64, 3), 30, np.uint8)
    picture[:, :32] = 255
    Image.fromarray(picture).save(tmp_path / "thumb.png")
    band = {"href": "https://example.com/B02.tif", "type": "image/tiff", "eo:bands": [{"name": "blue"}]}
    band |= {"proj:shape": [10980, 10980], "proj:transform": [10, 0, 600000, 0, -10, 5100000]}
    thumb = {"href": "thumb.png", "roles": ["thumbnail"]}
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2A_33TWM",
        "properties": {"datetime": "2023-08-15T10:00:00Z", "proj:epsg": 32633, "eo:cloud_cover": 12},
        "assets": {"blue": band, "thumbnail": thumb},
    }
    path = tmp_path / "item.json"
    path.write_text(json.dumps(item), "utf-8")
    code, said, _ = run(capsys, path, "--json")
    (found,) = json.loads(said)["scenes"]
    assert code == 0
    assert (found["colours_from"], found["declared_percent"], found["date"]) == ("thumbnail", 12, "2023-08-15")
    assert found["cloud_percent"] == pytest.approx(50, abs=1)
    (tmp_path / "thumb.png").write_text("no picture", "utf-8")
    assert run(capsys, path)[0] == 65
    (tmp_path / "thumb.png").unlink()
    assert run(capsys, path)[0] == 66


def test_a_preview_is_read_in_a_folder_and_in_an_archive_alike(products: list[Path]) -> None:
    for product in products:
        seen = previews.glance(product)
        picture = seen.picture(seen.grid)
        assert picture is not None
        assert picture.source == "preview"
        assert tuple(picture.geobox.extent.boundingbox) == pytest.approx(tuple(seen.grid.extent.boundingbox), abs=330)


@pytest.mark.parametrize(
    ("options", "expected", "sentence"),
    [
        (("--dates", "2020-01-01/2020-02-01"), 65, "no scene of 2 was sensed in these days"),
        (("--dates", "soon"), 2, "--dates: days are written"),
        (("--aoi", "POLYGON((10 10, 11 10, 11 11, 10 10))"), 65, "outside of the area of interest"),
        (("nothing.zip",), 66, "there is no such file"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    products: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    expected: int,
    sentence: str,
) -> None:
    code, _, said = run(capsys, *products, *options, "--out-dir", tmp_path / "look")
    assert (code, (tmp_path / "look").exists()) == (expected, False)
    assert sentence in said
    assert "Traceback" not in said


def test_a_folder_that_cannot_be_made_is_said(
    products: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "look").write_text("a file", "utf-8")
    code, _, said = run(capsys, products[0], "--out-dir", tmp_path / "look")
    assert code == 73
    assert "cannot write" in said
