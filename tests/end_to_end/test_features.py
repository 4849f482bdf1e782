"""Stacks of features from generated products to files: bands, indices, clouds, tiles, areas, textures, and mistakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from rio_cogeo.cogeo import cog_validate
from scipy import ndimage

from groundshift.cli.main import _groundshift, guarded
from groundshift.features import components, indices, terrain, texture
from groundshift.features.stack import BAND_NAMES
from groundshift.features.texture import GlcmOptions
from groundshift.io.classmap import read_legend
from groundshift.io.stackfile import StackFile
from groundshift.model.cloudmask import LEGEND
from groundshift.model.grid import Window
from groundshift.testing.safe import write_safe
from groundshift.testing.scenes import DateOptions, SceneOptions, SyntheticScene

GROUND = SceneOptions(seed=8, shape=(180, 300), noise=0.002)
LEFT, TOP = 300_000.0, 6_300_000.0
CRS = "EPSG:32756"
BANDS = ",".join(BAND_NAMES)
WEST, EAST = (0, 204), (144, 156)
"""First column and number of columns of two tiles that overlap."""
NEW, OLD = datetime(2021, 3, 25, 0, 2, 41, tzinfo=UTC), datetime(2021, 3, 5, 0, 2, 41, tzinfo=UTC)
SCENES = {
    day: SyntheticScene(options=GROUND, date=DateOptions(cloud_share=0.05), number=i)
    for i, day in enumerate((NEW, OLD))
}


class Part:
    """Some columns of a generated scene, as the SAFE writer takes it."""

    saturates = False

    def __init__(self, day: datetime, columns: tuple[int, int]) -> None:
        self.scene, self.x0 = SCENES[day], columns[0]
        self.shape, self.sun = (GROUND.shape[0], columns[1]), self.scene.sun

    def _moved(self, window: Window, resolution_m: int) -> Window:
        x = self.x0 * 10 // resolution_m
        return Window(window.y0, window.y1, window.x0 + x, window.x1 + x)

    def reflectance(self, window: Window, bands: Any, resolution_m: int = 10) -> Any:
        return self.scene.reflectance(self._moved(window, resolution_m), bands, resolution_m)

    top_of_atmosphere = reflectance

    def scl(self, window: Window) -> Any:
        return self.scene.scl(self._moved(window, 20))


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two tiles of one day, of different baselines, and an older day of the western one."""
    folder = tmp_path_factory.mktemp("products")

    def write(day: datetime, columns: tuple[int, int], tile: str, baseline: tuple[int, int]) -> Path:
        place = {"tile": tile, "corner": (LEFT + 10 * columns[0], TOP), "sensing_time": day, "baseline": baseline}
        return write_safe(Part(day, columns), folder, bands=BANDS, **place)

    return {
        "west": write(NEW, WEST, "56HKH", (5, 10)),
        "east": write(NEW, EAST, "56HLH", (2, 14)),
        "old": write(OLD, WEST, "56HKH", (5, 10)),
    }


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in this process."""
    from groundshift.execution.pool import Pool
    from groundshift.pipelines import clouds, features

    monkeypatch.setattr(clouds, "Pool", lambda *_, **__: Pool(0))
    monkeypatch.setattr(features, "open_pool", lambda *_, **__: Pool(0))


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(products: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> Run:
    """A function (out, *options, of=products) that makes a stack and gives its summary."""

    def made(out: Path, *options: str, of: Any = ("west",)) -> dict[str, Any]:
        capsys.readouterr()
        argv = [
            "features",
            *(str(products[each]) for each in of),
            "--out",
            str(out),
            "--json",
            "--no-shadows",
            *options,
        ]
        code = guarded(_groundshift, argv, "groundshift")
        said = capsys.readouterr()
        assert code == 0, said.err
        summary: dict[str, Any] = json.loads(said.out)
        return summary

    return made


def read(path: Path) -> dict[str, np.ndarray]:
    with rasterio.open(path) as file:
        return dict(zip(file.descriptions, file.read(), strict=True))


def clear(day: datetime, columns: tuple[int, int]) -> np.ndarray:
    """(y, x) by distances, apart from the program."""
    part = Part(day, columns)
    classes = np.kron(part.scl(Window(0, part.shape[0] // 2, 0, part.shape[1] // 2)), np.ones((2, 2), int))
    found = ~np.isin(classes, (0, 1, 3, 8, 9, 10))
    for group, metres in (((8, 9, 10), 150), ((3,), 80)):
        if np.isin(classes, group).any():
            found &= 10 * ndimage.distance_transform_edt(~np.isin(classes, group)) > metres
    return found


def native(product: Path, band: str, metres: int, offset: int = -1000) -> np.ndarray:
    """Reflectance of a band as the product stores it."""
    with rasterio.open(next(product.rglob(f"*_{band}_{metres}m.jp2"))) as file:
        return ((file.read(1).astype(np.float32) + np.float32(offset)) * np.float32(1e-4)).astype(np.float32)


def test_the_default_stack_of_two_tiles_of_one_day(products: dict[str, Path], run: Run, tmp_path: Path) -> None:
    dem = tmp_path / "dem.tif"
    y, x = np.indices((70, 110))
    heights = (300 + 40 * np.sin(x / 9) * np.cos(y / 7)).astype(np.float32)
    place = {"crs": CRS, "transform": Affine(30, 0, LEFT - 45, 0, -30, TOP + 45)}
    with rasterio.open(dem, "w", "GTiff", 110, 70, 1, dtype="float32", **place) as file:
        file.write(heights, 1)
    out = tmp_path / "stack.tif"
    summary = run(out, "--dem", str(dem), "--plot", str(tmp_path / "bands.png"), of=("west", "east"))
    found = read(out)
    assert ",".join(found) == f"{BANDS},NDVI,NDRE,EVI2,BI2,MNDWI,NDBI,DEM,slope,aspect"
    assert found["B02"].shape == GROUND.shape
    # west on top of east: one acquisition, so that which of the two gives a pixel may only matter to the last digit
    west, east = clear(NEW, WEST), clear(NEW, EAST)
    seen = np.zeros(GROUND.shape, bool)
    seen[:, : WEST[1]] |= west
    seen[:, EAST[0] :] |= east
    np.testing.assert_array_equal(np.isfinite(found["B08"]), seen)
    np.testing.assert_array_equal(np.isfinite(found["B11"]), seen)
    b08 = np.full(GROUND.shape, np.nan, np.float32)
    b08[:, EAST[0] :] = np.where(east, native(products["east"], "B08", 10, 0), np.nan)
    b08[:, : WEST[1]] = np.where(west, native(products["west"], "B08", 10), b08[:, : WEST[1]])
    np.testing.assert_allclose(found["B08"], b08, atol=1.01e-4)
    for band, metres in (("B05", 20), ("B11", 20), ("B09", 60)):
        factor = metres // 10
        coarse = native(products["west"], band, metres)[:, : 144 // factor]
        means = found[band][:, :144].reshape(180 // factor, factor, 144 // factor, factor).mean(axis=(1, 3))
        whole = np.isfinite(means)
        assert whole.mean() > 0.2
        np.testing.assert_allclose(means[whole], coarse[whole], atol=2e-6)
        assert np.nanmax(found[band][:, 1:144:2] - found[band][:, :144:2]) > 0.01, "guided, not repeated"
    bands = {name: found[name] for name in BAND_NAMES}
    for name in ("NDVI", "NDRE", "EVI2", "BI2", "MNDWI", "NDBI"):
        np.testing.assert_array_equal(found[name], indices.compute(name, bands))
    ground = terrain.terrain(found["DEM"], 10.0, 10.0)
    np.testing.assert_allclose(found["slope"][1:-1, 1:-1], ground.slope[1:-1, 1:-1], atol=2e-3)
    assert np.isfinite(found["DEM"]).all()
    assert found["DEM"][10, 10] == pytest.approx(300 + 40 * np.sin(4.5 / 9) * np.cos(4.5 / 7), abs=0.1)
    assert summary["sharpened"] == ["B05", "B06", "B07", "B8A", "B11", "B12", "B09"]
    assert cog_validate(str(out), quiet=True)[0]
    file = StackFile.open(str(out))
    assert file.names == tuple(found)
    np.testing.assert_array_equal(
        file.read(Window(10, 40, 100, 170), ("B04", "slope")),
        np.stack([found[name][10:40, 100:170] for name in ("B04", "slope")]),
    )
    with rasterio.open(out) as file:
        assert np.isnan(file.nodata)
        assert (file.units[0], file.units[18]) == ("reflectance", "degrees")
        assert file.crs.to_epsg() == 32756
        assert file.transform.almost_equals(Affine(10, 0, LEFT, 0, -10, TOP))
    with Image.open(tmp_path / "bands.png") as picture:
        assert picture.width > 1000
    item = json.loads((tmp_path / "stack.item.json").read_text())
    assert len(item["assets"]["stack"]["bands"]) == 20
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".groundshift.lock")} == {
        "dem.tif", "stack.tif", "stack.item.json", "stack.manifest.json", "bands.png",
    }  # fmt: skip


def test_an_area_holds_what_the_whole_holds(run: Run, tmp_path: Path) -> None:
    wanted = ("--features", "B11,B9,NDRE,glcm:B8:entropy+contrast,glcm:PC1:asm,pca:1-2", "--clouds", "none")
    run(tmp_path / "whole.tif", *wanted)
    whole = read(tmp_path / "whole.tif")
    # An area that begins and ends within pixels of 20 and 60 m; what was fitted is that of the whole.
    area = shapely.Polygon([(LEFT + x, TOP - y) for x, y in ((355, 245), (1295, 255), (1285, 1265), (345, 1175))])
    fitted = ("--fitted", str(tmp_path / "whole.manifest.json"))
    summary = run(tmp_path / "area.tif", *wanted, *fitted, "--aoi", f"SRID=32756;{area.wkt}", "--memory", "700M")
    part = read(tmp_path / "area.tif")
    with rasterio.open(tmp_path / "area.tif") as file:
        x0, y0 = round((file.transform.c - LEFT) / 10), round((TOP - file.transform.f) / 10)
    rows, columns = part["B11"].shape
    inside = np.isfinite(part["B11"])
    assert 0.8 < inside.mean() < 1
    for name, values in part.items():
        expected = whole[name][y0 : y0 + rows, x0 : x0 + columns]
        np.testing.assert_array_equal(values, np.where(inside, expected, np.nan), err_msg=name)
    assert all(each["data_percent"] == 100 for each in summary["features"])


def test_components_and_textures_are_those_of_the_kernels(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "stack.tif"
    run(
        out,
        "--features",
        f"{BANDS},pca:1-2,glcm:B8:correlation",
        "--window",
        "5",
        "--levels",
        "16",
        "--directions",
        "2",
    )
    found = read(out)
    pixels = np.stack([found[name] for name in BAND_NAMES])
    made = components.fit(components.summarise(pixels, np.isfinite(pixels).all(axis=0)), standardise=False)
    np.testing.assert_allclose(np.stack([found["PC1"], found["PC2"]]), components.apply(made, pixels, 2), atol=1e-6)
    known = found["B08"][np.isfinite(found["B08"])]
    levels = texture.quantise(found["B08"], *map(float, np.percentile(known, (1, 99))), 16)
    options = GlcmOptions(window=5, levels=16, directions=2, features=("correlation",))
    np.testing.assert_array_equal(found["glcm_B08_correlation"], texture.glcm(levels, options)[0])


def test_of_several_days_each_pixel_is_of_the_newest_clear_one(
    products: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    summary = run(
        tmp_path / "two.tif", "--features", "B8,GNDVI", "--index", "GNDVI=(B8-B3)/(B8+B3)", of=("old", "west")
    )
    assert "Dates" in [each["name"] for each in summary["warnings"]]
    new, old = clear(NEW, WEST), clear(OLD, WEST)
    assert (old & ~new).any()
    expected = np.where(
        new, native(products["west"], "B08", 10), np.where(old, native(products["old"], "B08", 10), np.nan)
    )
    found = read(tmp_path / "two.tif")
    np.testing.assert_allclose(found["B08"], expected, atol=1e-6)
    assert list(found) == ["B08", "GNDVI"]


def test_roads_and_another_projection(run: Run, tmp_path: Path) -> None:
    line = shapely.LineString([(LEFT + 5, TOP - 905), (LEFT + 2035, TOP - 905)])
    roads = tmp_path / "roads.gpkg"
    pyogrio.raw.write(
        roads, shapely.to_wkb(np.array([line], object)), [np.array([1])], ["id"], crs=CRS, geometry_type="LineString"
    )
    wanted = ("--features", "B8,roads,roads_distance", "--roads", str(roads), "--clouds", "none")
    run(tmp_path / "native.tif", *wanted)
    found = read(tmp_path / "native.tif")
    assert (found["roads"][90] == 1).all()
    assert found["roads"].sum() == WEST[1]
    np.testing.assert_array_equal(found["roads_distance"][:, 7], np.abs(np.arange(180) - 90) * 10)
    run(tmp_path / "moved.tif", *wanted, "--projection", "EPSG:3577", "--resolution", "20")
    with rasterio.open(tmp_path / "moved.tif") as file:
        assert (file.crs.to_epsg(), file.res) == (3577, (20, 20))
        assert set(np.unique(file.read(2))) >= {0, 1}


def test_bands_can_be_read_without_sharpening_and_at_20_m(products: dict[str, Path], run: Run, tmp_path: Path) -> None:
    wanted = ("--features", "B11,B9,B4", "--clouds", "none", "--resolution", "20")
    summary = run(tmp_path / "coarse.tif", *wanted)
    assert summary["sharpened"] == ["B09"]
    found = read(tmp_path / "coarse.tif")
    np.testing.assert_allclose(found["B11"], native(products["west"], "B11", 20), atol=1e-6)
    means = native(products["west"], "B04", 10).reshape(90, 2, 102, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(found["B04"], means, atol=1e-6)
    assert run(tmp_path / "plain.tif", *wanted, "--sharpen", "none")["sharpened"] == []


def test_a_job_file_makes_the_same_again(run: Run, tmp_path: Path) -> None:
    job, first, second = (tmp_path / name for name in ("job.toml", "first.tif", "second.tif"))
    run(first, "--features", "B4,NDVI", "--save-config", str(job))
    argv = ["run", str(job), "--set", f"output.out={second}", "--quiet"]
    assert guarded(_groundshift, argv, "groundshift") == 0
    assert second.read_bytes() == first.read_bytes()


def test_a_run_that_was_interrupted_goes_on_wherever_the_product_lies_then(
    run: Run, products: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundshift.pipelines import features, features_blocks

    wanted = ("--features", "B11,NDVI,glcm:B8:entropy")
    run(tmp_path / "once.tif", *wanted)
    monkeypatch.setattr(features, "_SIDES", (60,))
    out, made = tmp_path / "again.tif", features_blocks.compute
    calls: list[str] = []

    def stops(work: Any) -> Any:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(work.key)
        return made(work)

    with monkeypatch.context() as patched:
        patched.setattr(features_blocks, "compute", stops)
        with pytest.raises(AssertionError, match="Run it again"):
            run(out, *wanted)
    assert not out.exists()
    later: list[str] = []
    monkeypatch.setitem(products, "moved", Path(shutil.copytree(products["west"], tmp_path / products["west"].name)))
    with monkeypatch.context() as patched:
        patched.setattr(features_blocks, "compute", lambda work: (later.append(work.key), made(work))[1])
        patched.setattr(features_blocks, "compose", None)
        run(out, *wanted, of=("moved",))
    assert later
    assert set(later).isdisjoint(calls)
    assert out.read_bytes() == (tmp_path / "once.tif").read_bytes()
    assert not (tmp_path / ".groundshift-work").exists()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--features", "NDVJ"), 2, "did you mean NDVI"),
        (("--features", "B1"), 66, "has no B01, which is needed for B01"),
        (("--features", "slope"), 2, "say with --dem"),
        (("--features", "B4", "--dem", "{west}"), 2, "--dem is given"),
        (("--features", "roads"), 2, "say with --roads"),
        (("--dem", "nowhere.tif"), 66, "nowhere.tif"),
        (("--roads", "{far}"), 65, "holds no lines within the area"),
        (("--dem", "{dem}"), 65, "does not overlap"),
        (("--window", "4"), 2, "--window"),
        (("--index", "X=import os", "--features", "X"), 2, "cannot be read"),
        (("--index", "slope=B8-B4"), 2, "cannot be called slope"),
        (("--out", "stack.png"), 2, "--out"),
        (("--fitted", "{west}", "--features", "pca:1"), 64, "no manifest"),
        (("--aoi", "POLYGON((0 0,1 0,1 1,0 0))"), 65, "does not overlap"),
    ],
)
def test_mistakes_are_one_sentence(
    options: tuple[str, ...],
    code: int,
    said: str,
    products: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    far = shapely.LineString([(10, 10), (11, 11)])
    pyogrio.raw.write(
        "far.gpkg", shapely.to_wkb(np.array([far], object)), [np.array([1])], ["id"], crs="EPSG:4326",
        geometry_type="LineString",
    )  # fmt: skip
    place = {"crs": CRS, "transform": Affine(30, 0, 0, 0, -30, 0)}
    with rasterio.open("dem.tif", "w", "GTiff", 30, 30, 1, dtype="float32", **place) as file:
        file.write(np.ones((1, 30, 30), np.float32))
    names = {"west": products["west"], "far": "far.gpkg", "dem": "dem.tif"}
    argv = ["features", str(products["west"]), "--out", "stack.tif", *(word.format(**names) for word in options)]
    assert guarded(_groundshift, argv, "groundshift") == code
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert not (tmp_path / "stack.tif").exists()


def test_a_picture_of_a_map_with_its_legend(products: dict[str, Path], tmp_path: Path) -> None:
    mask, picture = tmp_path / "clouds.tif", tmp_path / "map.png"
    assert guarded(_groundshift, ["clouds", str(products["west"]), "--out", str(mask), "--quiet"], "groundshift") == 0
    assert guarded(_groundshift, ["plot", "map", str(mask), "--out", str(picture), "--quiet"], "groundshift") == 0
    assert [(each.code, each.name, each.color) for each in read_legend(str(mask))] == [
        (each.code, each.name, each.color) for each in LEGEND
    ]
    with Image.open(picture) as opened:
        colors = {color for _, color in opened.convert("RGB").getcolors(1 << 24)}
    codes = read(mask)["clouds"]
    assert {entry.color[:3] for entry in LEGEND if (codes == entry.code).any() and entry.color[3]} <= colors
    stack = ["plot", "map", str(next(products["west"].rglob("*B04_10m.jp2"))), "--out", str(picture)]
    assert guarded(_groundshift, stack, "groundshift") == 65
