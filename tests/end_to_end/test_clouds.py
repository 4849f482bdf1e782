"""``groundshift clouds``: from a product to a mask, in blocks, with its shadows, and nothing half where it fails."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from groundshift.cli.main import INTERRUPTED, _groundshift, guarded
from groundshift.execution.pool import Pool
from groundshift.io.opening import open_scene
from groundshift.model.cloudmask import CloudClass
from groundshift.model.grid import Window, crop
from groundshift.pipelines import clouds as pipeline
from groundshift.pipelines import scene_mask
from groundshift.pipelines.scene_mask import MaskOptions, SceneMask
from groundshift.testing.safe import write_safe
from groundshift.testing.scenes import DateOptions, SceneOptions, SyntheticScene, whole

SHAPE = (720, 720)


@pytest.fixture(scope="module")
def drawn() -> SyntheticScene:
    date = DateOptions(cloud_share=0.25, nodata_share=0.1, sun_zenith_deg=42, sun_azimuth_deg=150)
    return SyntheticScene(options=SceneOptions(seed=2, shape=SHAPE), date=date, number=0)


@pytest.fixture(scope="module")
def product(drawn: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    when = datetime(2021, 3, 15, 0, 2, 41, tzinfo=UTC)
    return write_safe(drawn, tmp_path_factory.mktemp("product"), sensing_time=when, bands="B02,B03,B04,B08")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is done in this process."""
    monkeypatch.setattr(pipeline, "Pool", lambda _workers, **options: Pool(0, **options))


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = guarded(_groundshift, ["clouds", *(str(each) for each in argv)], "groundshift")
    said = capsys.readouterr()
    return code, said.out, said.err


def read(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read(1))


def test_the_mask_is_that_of_the_scene(
    drawn: SyntheticScene, product: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mask.tif"
    code, said, _ = run(capsys, product, "--out", out, "--no-shadows", "--workers", "1", "--json")
    assert code == 0
    scl, codes = drawn.scl(whole(SHAPE, 20)), read(out)
    for ours, theirs in ((0, (2, 4, 5, 6, 7)), (1, (8, 9)), (2, (10,)), (3, (3,)), (255, (0,))):
        np.testing.assert_array_equal(codes == ours, np.isin(scl, theirs))
    summary: dict[str, Any] = json.loads(said)
    known = (codes != 255).sum()
    assert summary["percent"]["cloud"] == pytest.approx(100 * (codes == 1).sum() / known)
    assert summary["nodata_percent"] == pytest.approx(100 * (codes == 255).mean())
    with rasterio.open(out) as dataset:
        assert (dataset.nodata, dataset.dtypes[0], dataset.colormap(1)[1][:3]) == (255, "uint8", (250, 250, 250))
        assert dataset.tags()["mask"] == "scl"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.qml", "mask.tif", "mask.tif.aux.xml"]
    assert "thin cloud" in (tmp_path / "mask.tif.aux.xml").read_text("utf-8")


def mask(product: Path, folder: Path, options: MaskOptions, **given: Any) -> SceneMask:
    folder.mkdir()
    with Pool(0) as pool:
        return scene_mask.run(scene_mask.plan(open_scene(product), options), folder, pool, **given)


def codes_of(found: SceneMask) -> NDArray[np.uint8]:
    return found.read(found.grid)


def test_shadows_are_found_without_being_told(drawn: SyntheticScene, product: Path, tmp_path: Path) -> None:
    codes = codes_of(mask(product, tmp_path / "a", MaskOptions(classes=(8, 9, 10))))
    scl = drawn.scl(whole(SHAPE, 20))
    truth, found = scl == 3, codes == CloudClass.SHADOW
    assert not (found & np.isin(scl, (0, 8, 9, 10))).any()
    precision, recall = (truth & found).sum() / found.sum(), (truth & found).sum() / truth.sum()
    # the rest of the shadows is thrown by clouds beyond the image
    assert precision > 0.95
    assert recall > 0.55


@pytest.mark.parametrize(("side", "growth_m"), [(96, 130), (56, 0)])
def test_cutting_into_blocks_changes_nothing(
    product: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, growth_m: float
) -> None:
    options = MaskOptions(classes=(8, 9, 10), cloud_dilation_m=growth_m, shadow_dilation_m=growth_m / 2)
    together = codes_of(mask(product, tmp_path / "whole", options))
    # a look from afar that is coarser than the mask
    monkeypatch.setattr(scene_mask, "_AFAR_PX", 200)
    monkeypatch.setattr(scene_mask, "_MOST_PX", 4096)
    coarse = codes_of(mask(product, tmp_path / "coarse", options))
    assert (coarse == together).mean() > 0.97
    monkeypatch.setattr(scene_mask, "_windows", lambda made, *_: list(blocks_of(made.shape, side)))
    np.testing.assert_array_equal(codes_of(mask(product, tmp_path / "parts", options)), coarse)


def blocks_of(shape: tuple[int, int], side: int) -> Any:
    from groundshift.model.grid import blocks

    return blocks(shape, side, side)


def test_clouds_grow_by_metres_over_everything_but_no_data(product: Path, tmp_path: Path) -> None:
    from groundshift.clouds.scl import grow

    plain = codes_of(mask(product, tmp_path / "plain", MaskOptions(shadows=False)))
    options = MaskOptions(shadows=False, cloud_dilation_m=100, shadow_dilation_m=40)
    grown = codes_of(mask(product, tmp_path / "grown", options))
    cloud = grow(np.isin(plain, (1, 2)), 5) & (plain != 255)
    np.testing.assert_array_equal(np.isin(grown, (1, 2)), cloud)
    np.testing.assert_array_equal(grown == 3, grow(plain == 3, 2) & ~cloud & (plain != 255))
    np.testing.assert_array_equal(grown == 255, plain == 255)


def test_codes_are_read_on_any_grid(product: Path, tmp_path: Path) -> None:
    found = mask(product, tmp_path / "a", MaskOptions(shadows=False), probabilities=True)
    codes = codes_of(found)
    window = Window(30, 90, 40, 140)
    fine = crop(found.grid, window).zoom_out(0.5)
    np.testing.assert_array_equal(found.read(fine), codes[window.slices].repeat(2, 0).repeat(2, 1))
    assert (found.read(found.grid.pad(3))[:3] == 255).all()
    chances = found.read_probabilities(crop(found.grid, window))
    assert (chances[0] == 250).tolist() == (codes[window.slices] == 1).tolist()


def area(product: Path, window: Window) -> tuple[str, str]:
    """The option for an area of interest of some pixels of 10 m."""
    grid = open_scene(product).scene.bands["B02"].geobox
    left, top = grid.affine * (window.x0, window.y0)
    right, bottom = grid.affine * (window.x1, window.y1)
    ring = f"{left} {top},{right} {top},{right} {bottom},{left} {bottom},{left} {top}"
    return "--aoi", f"SRID={grid.crs.to_epsg()};POLYGON(({ring}))"


@pytest.mark.usefixtures("here")
def test_area_resolution_and_probabilities(product: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, chances = tmp_path / "m.tif", tmp_path / "p.tif"
    options = (*area(product, Window(200, 500, 300, 600)), "--resolution", "60")
    code, said, _ = run(capsys, product, "--out", out, "--probabilities", chances, *options, "--json")
    assert code == 0
    with rasterio.open(out) as codes, rasterio.open(chances) as layers:
        assert codes.res == (60, 60)
        assert (codes.width, codes.height) == (layers.width, layers.height) == (50, 50)
        assert layers.descriptions == ("cloud", "thin cloud", "shadow", "snow")
        thick = codes.read(1) == 1
        np.testing.assert_allclose(layers.read(1)[thick] * layers.scales[0], 1)
    assert json.loads(said)["resolution_m"] == pytest.approx(60)


@pytest.mark.usefixtures("here")
def test_clouds_beyond_an_area_grow_and_throw_shadows_into_it(
    product: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = MaskOptions(classes=(8, 9, 10), cloud_dilation_m=150)
    whole = codes_of(mask(product, tmp_path / "whole", options))[100:250, 150:300]
    assert (whole == CloudClass.SHADOW).any()
    given = ("--mask-classes", "8,9,10", "--cloud-dilation", "150", *area(product, Window(200, 500, 300, 600)))
    assert run(capsys, product, "--out", tmp_path / "m.tif", *given)[0] == 0
    np.testing.assert_array_equal(read(tmp_path / "m.tif"), whole)


def damaged(product: Path, tmp_path: Path, how: str) -> Path:
    copy = Path(shutil.copytree(product, tmp_path / "copy" / product.name))
    if how == "no sun":
        (xml,) = copy.glob("GRANULE/*/MTD_TL.xml")
        text = re.sub(r"<Mean_Sun_Angle>.*?</Mean_Sun_Angle>", "", xml.read_text("utf-8"), flags=re.DOTALL)
        xml.write_text(text, "utf-8")
    else:
        next(copy.glob(f"GRANULE/*/IMG_DATA/**/*_{how}_*.jp2")).unlink()
    return copy


@pytest.mark.parametrize(
    ("how", "reason"), [("no sun", "do not say where the sun stood"), ("B08", "B08_10m.jp2: the product lists")]
)
@pytest.mark.usefixtures("here")
def test_where_shadows_cannot_be_sought_the_mask_is_made_without(
    product: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str, reason: str
) -> None:
    out = tmp_path / "m.tif"
    code, _, said = run(capsys, damaged(product, tmp_path, how), "--out", out, "--workers", "1")
    assert (code, out.exists()) == (0, True)
    assert "shadows were not matched with clouds" in said
    assert reason in said


@pytest.mark.parametrize(
    ("options", "expected", "sentence"),
    [
        (("--out", "here.png"), 2, "expected a name that ends in .tif"),
        (("--out", "nowhere/m.tif"), 73, "there is no folder nowhere"),
        (("--mask", "fmask"), 2, "no cloud mask 'fmask'"),
        (("--mask", "s2cloudless"), 65, "Level-1C only"),
        (("--mask-classes", "4"), 2, "classes of the SCL"),
        (("--mask-classes", "cloud"), 2, "--mask-classes is 'cloud'"),
        (("--cloud-dilation", "-1"), 2, "not by -1"),
        (("--memory", "much"), 2, "no amount of memory"),
        (("--resolution", "0"), 2, "--resolution is 0"),
        (("--workers", "0"), 2, "--workers is 0"),
        (("--aoi", "POLYGON((10 10, 11 10, 11 11, 10 10))"), 65, "does not overlap"),
        (("--probabilities", "mask.tif"), 2, "name one file"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_cannot_be_is_said_in_a_sentence_and_nothing_is_written(
    product: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    expected: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, said = run(capsys, product, "--out", "mask.tif", *options, "--quiet")
    assert (code, list(tmp_path.iterdir())) == (expected, [])
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("make", "expected", "sentence"),
    [
        (lambda folder: folder / "nothing.SAFE", 66, "there is no such file or folder"),
        (lambda folder: _text(folder), 65, "is no raster that is read"),
    ],
)
def test_what_is_no_scene_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, expected: int, sentence: str
) -> None:
    code, _, said = run(capsys, make(tmp_path), "--out", tmp_path / "m.tif")
    assert (code, (tmp_path / "m.tif").exists()) == (expected, False)
    assert sentence in said


def _text(folder: Path) -> Path:
    path = folder / "notes.txt"
    path.write_text("no image", "utf-8")
    return path


@pytest.mark.usefixtures("here")
def test_a_missing_classification_and_a_folder_that_cannot_be_written(
    product: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = damaged(product, tmp_path, "SCL")
    code, _, said = run(capsys, copy, "--out", tmp_path / "m.tif", "--workers", "1")
    assert code == 66
    assert "SCL_20m.jp2" in said
    (tmp_path / "m.tif").mkdir()
    code, _, said = run(capsys, product, "--out", tmp_path / "m.tif", "--workers", "1")
    assert code == 73
    assert "cannot write" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "m.tif"]


@pytest.mark.usefixtures("here")
def test_all_cloud_and_all_no_data(write_raster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bands"
    for code, expected in ((9, "cloud"), (0, None)):
        for name, value in (("B03", 9000), ("B08", 9000), ("SCL", code)):
            dtype = np.uint8 if name == "SCL" else np.uint16
            write_raster(folder / f"{name}.tif", np.full((40, 50), value, dtype))
        out = tmp_path / f"{code}.tif"
        code, said, errors = run(capsys, folder, "--scale", 10_000, "--out", out, "--workers", "1", "--json")
        percent = json.loads(said)["percent"]
        assert code == 0
        assert "shadows were not matched" in errors
        assert percent == dict.fromkeys(percent, None) if expected is None else percent[expected] == 100
        assert ("holds no data there" in errors) == (expected is None)


@pytest.mark.usefixtures("here")
def test_an_interruption_leaves_nothing(
    product: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    from groundshift.io import cog

    monkeypatch.setattr(cog, "export", interrupted)
    code, _, said = run(capsys, product, "--out", tmp_path / "m.tif", "--workers", "1")
    assert (code, list(tmp_path.iterdir())) == (INTERRUPTED, [])
    assert "groundshift clouds" in said
