"""Mosaics from files to files on small generated scenes: what each pixel is made of, held against the known clouds."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate
from scipy import ndimage

from groundshift.cli.main import _groundshift, guarded
from groundshift.model.grid import Window
from groundshift.testing.safe import write_safe
from groundshift.testing.scenes import DateOptions, SceneOptions, SyntheticScene

GROUND = SceneOptions(seed=8, shape=(240, 480), noise=0.002)
CORNER = 300_000.0, 6_300_000.0
BANDS = ("B04", "B03", "B02", "B08")
PLAIN = ("--balance", "none", "--blend", "none")
NO_DATA = -32768


@dataclass(frozen=True)
class Part:
    """Some columns of a generated scene, as the SAFE writer takes it."""

    scene: SyntheticScene
    x0: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.scene.shape[0], self.width

    @property
    def sun(self) -> tuple[float, float]:
        return self.scene.sun

    saturates = False

    def _moved(self, window: Window, resolution_m: int) -> Window:
        x = self.x0 * 10 // resolution_m
        return replace(window, x0=window.x0 + x, x1=window.x1 + x)

    def reflectance(self, window: Window, bands: Any, resolution_m: int = 10) -> Any:
        return self.scene.reflectance(self._moved(window, resolution_m), bands, resolution_m)

    top_of_atmosphere = reflectance

    def scl(self, window: Window) -> Any:
        return self.scene.scl(self._moved(window, 20))

    def stored(self) -> np.ndarray:
        """(band, y, x) reflectance in ten thousandths, as the product holds it."""
        seen = self.reflectance(Window(0, self.shape[0], 0, self.width), BANDS)
        return np.clip(np.rint(np.nan_to_num(seen, nan=-9) * 1e4), -1000, 32767).astype(int)

    def codes(self) -> np.ndarray:
        """(y, x) 1 clear, 2 clear by the lenient classes alone, 0 neither: by distances, apart from the program."""
        classes = np.kron(self.scl(Window(0, self.shape[0] // 2, 0, self.width // 2)), np.ones((2, 2), int))
        clear = ~np.isin(classes, (0, 1, 3, 7, 8, 9, 10))
        for group, metres in (((8, 9, 10), 150), ((3,), 80)):
            if np.isin(classes, group).any():
                clear &= 10 * ndimage.distance_transform_edt(~np.isin(classes, group)) > metres
        return np.where(clear, 1, np.where(np.isin(classes, (0, 1, 3, 8, 9, 10)), 0, 2))


NEW = DateOptions(cloud_share=0.06)
EAST = DateOptions(cloud_share=0.06, gain=1.04, offset=0.01)
OLD = DateOptions(cloud_share=0.02)
PARTS = {
    "new": Part(SyntheticScene(options=GROUND, date=NEW, number=0), 0, 300),
    "east": Part(SyntheticScene(options=GROUND, date=EAST, number=1), 180, 300),
    "old": Part(SyntheticScene(options=GROUND, date=OLD, number=2), 0, 300),
}
DAYS = {"new": datetime(2021, 3, 25, 0, 2, 41, tzinfo=UTC), "east": datetime(2021, 3, 15, 0, 2, 41, tzinfo=UTC),
        "old": datetime(2021, 3, 5, 0, 2, 41, tzinfo=UTC)}  # fmt: skip
ORDER = ("new", "east", "old")
"""Newest first, as they are numbered."""


def write(name: str, folder: Path, **options: Any) -> Path:
    tile = "56HLH" if name == "east" else "56HKH"
    place = {"tile": tile, "corner": (CORNER[0] + 10 * PARTS[name].x0, CORNER[1]), "sensing_time": DAYS[name]}
    return write_safe(PARTS[name], folder, **(place | {"bands": "B02,B03,B04,B08"} | options))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three products: two dates of one tile, and a third of its neighbour, with an older baseline in between."""
    folder = tmp_path_factory.mktemp("scenes")
    return {name: write(name, folder, baseline=(2, 14) if name == "east" else (5, 10)) for name in ORDER}


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in this process."""
    from groundshift.execution.pool import Pool
    from groundshift.pipelines import mosaic

    monkeypatch.setattr(mosaic, "open_pool", lambda *_, **__: Pool(0))


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(scenes: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> Run:
    """A function (out, *options, of=scenes) that makes a mosaic and gives its summary."""

    def made(out: Path, *options: str, of: Any = ORDER) -> dict[str, Any]:
        paths = [str(scenes.get(each, each)) for each in of]
        capsys.readouterr()
        code = guarded(_groundshift, ["mosaic", *paths, "--outdir", str(out), "--json", *options], "groundshift")
        said = capsys.readouterr()
        assert code == 0, said.err
        summary: dict[str, Any] = json.loads(said.out)
        return summary

    return made


def raster(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        pixels: np.ndarray = file.read()
    return pixels


def rasters(folder: Path) -> dict[str, str]:
    """Checksums of the rasters and pictures."""
    found = sorted([*folder.glob("*.tif"), *folder.glob("*.png")])
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@cache
def on_mosaic() -> tuple[np.ndarray, np.ndarray]:
    """Stored numbers (scene, band, y, x) and codes (scene, y, x) of all scenes on the grid of the three."""
    stored = np.full((3, 4, *GROUND.shape), NO_DATA)
    codes = np.zeros((3, *GROUND.shape), int)
    for i, name in enumerate(ORDER):
        part = PARTS[name]
        inside = slice(part.x0, part.x0 + part.width)
        stored[i, :, :, inside], codes[i, :, inside] = part.stored(), part.codes()
    return stored, codes


def usable(codes: np.ndarray) -> np.ndarray:
    """(scene, y, x) what of the scenes is used: clear, and lenient where nothing is clear."""
    return (codes == 1) | ((codes == 2) & ~(codes == 1).any(axis=0))


@pytest.fixture(scope="module")
def result(scenes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two workers make of the three scenes by default."""
    out = tmp_path_factory.mktemp("whole") / "out"
    argv = ["mosaic", *map(str, scenes.values()), "--outdir", str(out), "--workers", "2", "--quiet", "--eight-bit"]
    assert guarded(_groundshift, argv, "groundshift") == 0
    return out


@pytest.fixture(scope="module")
def shared(scenes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function (*options) that gives the mosaic of the three scenes, made once, to be looked at by several tests."""
    from groundshift.execution.pool import Pool
    from groundshift.pipelines import mosaic

    @cache
    def made(*options: str) -> Path:
        out = tmp_path_factory.mktemp("shared")
        argv = ["mosaic", *map(str, scenes.values()), "--outdir", str(out), "--quiet", *options]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(mosaic, "open_pool", lambda *_, **__: Pool(0))
            assert guarded(_groundshift, argv, "groundshift") == 0
        return out

    return made


def digests(folder: Path) -> dict[str, str]:
    """Checksums of all files, as the manifest tells them."""
    return {file["path"]: file["sha256"] for file in json.loads((folder / "manifest.json").read_text())["outputs"]}


def told(folder: Path) -> dict[str, Any]:
    """What the manifest says of the result."""
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())["result"]
    return found


# ---- what each pixel is --------------------------------------------------------------------------------------------


def test_the_scenes_are_what_these_tests_need() -> None:
    _, codes = on_mosaic()
    assert set(np.unique((codes == 1).sum(axis=0))) == {0, 1, 2, 3}
    nothing_clear = ~(codes == 1).any(axis=0)
    assert (nothing_clear & (codes == 2).any(axis=0)).sum() > 50
    assert (nothing_clear & ~(codes == 2).any(axis=0)).sum() > 50


def test_newest_takes_each_pixel_unchanged_from_the_newest_scene_that_is_clear(shared: Callable[..., Path]) -> None:
    out = shared("--method", "newest", *PLAIN)
    stored, codes = on_mosaic()
    valid = usable(codes)
    first, any_valid = valid.argmax(axis=0), valid.any(axis=0)
    expected = np.where(any_valid, np.take_along_axis(stored, first[None, None], axis=0)[0], NO_DATA)
    np.testing.assert_array_equal(raster(out / "mosaic.tif"), expected)


@pytest.mark.parametrize("method", ["newest", "best", "median", "medoid"])
def test_count_scene_date_and_quality_are_those_of_the_known_clouds(
    method: str, result: Path, shared: Callable[..., Path]
) -> None:
    out = result if method == "best" else shared("--method", method, *(PLAIN if method == "newest" else ()))
    summary = told(out)
    count, scene, date, quality = raster(out / "evidence.tif")
    mosaic = raster(out / "mosaic.tif")
    _, codes = on_mosaic()
    valid = usable(codes)
    clear = (codes == 1).sum(axis=0)
    np.testing.assert_array_equal(count, clear)
    np.testing.assert_array_equal(quality, np.where(clear > 0, 1, np.where(valid.any(axis=0), 2, 0)))
    np.testing.assert_array_equal((mosaic != NO_DATA).all(axis=0), valid.any(axis=0))
    np.testing.assert_array_equal((mosaic == NO_DATA).any(axis=0), ~valid.any(axis=0))
    if method == "median":
        assert not scene.any()
        assert not date.any()
    else:
        np.testing.assert_array_equal(scene > 0, quality > 0)
        held = np.take_along_axis(valid, np.maximum(scene - 1, 0)[None], axis=0)[0]
        assert held[scene > 0].all()
        days = np.array([0, *(int(f"{DAYS[name]:%Y%m%d}") for name in ORDER)])
        np.testing.assert_array_equal(date, days[scene])
        used = [100 * (scene == i + 1).sum() / (scene > 0).sum() for i in range(3)]
        assert [each["used_percent"] for each in summary["scenes"]] == pytest.approx(used)
    assert summary["data_percent"] == pytest.approx(100 * (quality > 0).mean())
    assert summary["lenient_percent"] == pytest.approx(100 * (quality == 2).mean())
    seen = [100 * (PARTS[name].codes() == 1).mean() for name in ORDER]
    assert [each["clear_percent"] for each in summary["scenes"]] == pytest.approx(seen, abs=0.01)


@pytest.mark.usefixtures("inline")
def test_a_class_that_is_not_masked_is_used(run: Run, tmp_path: Path) -> None:
    run(tmp_path, "--mask-classes", "0,8,9", "--cloud-dilation", "0", "--no-second-opinion", of=("old",))
    classes = np.kron(PARTS["old"].scl(Window(0, 120, 0, 150)), np.ones((2, 2), int))
    quality = raster(tmp_path / "evidence.tif")[3]
    assert (classes == 3).sum() > 200
    assert (quality[classes == 3] == 1).mean() > 0.2


@pytest.mark.usefixtures("inline")
@pytest.mark.filterwarnings("ignore:(All-NaN|Mean of empty)")
@pytest.mark.parametrize(
    ("method", "law"),
    [("median", np.nanmedian), ("mean", np.nanmean), ("percentile", partial(np.nanpercentile, q=25))],
)
def test_statistics_are_those_of_what_is_clear(method: str, law: Any, run: Run, tmp_path: Path) -> None:
    run(tmp_path, "--method", method, "--balance", "none")
    stored, codes = on_mosaic()
    some = np.s_[..., ::4, ::4]
    expected = law(np.where(usable(codes)[:, None], stored, np.nan)[some], axis=0)
    found = raster(tmp_path / "mosaic.tif").astype(float)[some]
    found[found == NO_DATA] = np.nan
    assert np.nanmax(abs(found - expected)) <= 0.51
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))


@pytest.mark.usefixtures("inline")
def test_the_geometric_median_lies_among_what_is_clear(run: Run, tmp_path: Path) -> None:
    run(tmp_path, "--method", "geomedian", "--balance", "none")
    stored, codes = on_mosaic()
    valid = usable(codes)
    found, some = raster(tmp_path / "mosaic.tif"), valid.any(axis=0)
    least, most = (
        law(np.where(valid[:, None], stored, other), axis=0) for law, other in ((np.min, 99_999), (np.max, -99_999))
    )
    np.testing.assert_array_equal((found != NO_DATA).all(axis=0), some)
    assert ((found >= least - 1) & (found <= most + 1))[:, some].all()


def test_balance_brings_two_dates_to_one_colour(shared: Callable[..., Path]) -> None:
    found = told(shared("--method", "median"))["balance"]
    before, after = (max(found[key]) for key in ("step_before", "step_after"))
    assert before > 0.01 > 0.002 > after


@pytest.mark.usefixtures("inline")
def test_blending_changes_nothing_where_only_one_scene_is_near(run: Run, tmp_path: Path) -> None:
    run(tmp_path / "cut", "--balance", "none", "--blend", "none", of=("new", "east"))
    run(tmp_path / "blended", "--balance", "none", "--blend", "multiband", of=("new", "east"))
    cut, blended = (raster(tmp_path / name / "mosaic.tif") for name in ("cut", "blended"))
    np.testing.assert_array_equal(cut == NO_DATA, blended == NO_DATA)
    assert (cut != blended).any()
    scene = raster(tmp_path / "cut" / "evidence.tif")[1]
    seam = ndimage.distance_transform_edt((scene == 1) | (scene == 0)) < 152
    seam &= ndimage.distance_transform_edt((scene == 2) | (scene == 0)) < 152
    assert (~seam).any()
    np.testing.assert_array_equal(cut[:, ~seam], blended[:, ~seam])


# ---- one result, whatever the road ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("inline")
def test_without_processes_and_whatever_the_order_of_scenes_the_bytes_are_the_same(
    run: Run, result: Path, tmp_path: Path
) -> None:
    run(tmp_path, "--eight-bit", of=ORDER[::-1])
    assert rasters(tmp_path) == rasters(result)


@pytest.mark.usefixtures("inline")
def test_little_memory_changes_no_byte(run: Run, result: Path, tmp_path: Path) -> None:
    run(tmp_path, "--eight-bit", "--memory", "790M")
    assert rasters(tmp_path) == rasters(result)


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("method", ["best", "medoid"])
def test_the_size_of_blocks_changes_no_byte(
    method: str, run: Run, result: Path, shared: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundshift.pipelines import mosaic

    options = ("--eight-bit",) if method == "best" else ("--method", method)
    whole = result if method == "best" else shared(*options)
    monkeypatch.setattr(mosaic, "_side", lambda *_: (160, 2**27))
    run(tmp_path, *options)
    assert rasters(tmp_path) == rasters(whole)


@pytest.mark.usefixtures("inline")
def test_mixed_baselines_compare_equal(run: Run, scenes: dict[str, Path], tmp_path: Path) -> None:
    other = write("east", tmp_path / "other", baseline=(5, 10))
    run(tmp_path / "mixed", of=("new", "east"))
    run(tmp_path / "same", of=("new", other))
    assert rasters(tmp_path / "mixed") == rasters(tmp_path / "same")


# ---- which scenes, which area --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("inline")
def test_scenes_of_other_days_are_left_out_with_the_reason(run: Run, tmp_path: Path) -> None:
    summary = run(tmp_path, "--dates", "2021-03-10/2021-03-25")
    assert [scene["name"][11:19] for scene in summary["scenes"]] == ["20210325", "20210315"]
    (dropped,) = summary["dropped"]
    assert dropped["reason"] == "sensed on 2021-03-05, not from 2021-03-10 to 2021-03-25"
    listed = json.loads((tmp_path / "scenes.json").read_text())
    assert listed["dropped"] == summary["dropped"]
    assert "20210305" in dropped["name"]
    assert dropped["name"] in (tmp_path / "report.html").read_text()


@pytest.mark.usefixtures("inline")
def test_scenes_with_more_cloud_are_left_out_with_the_reason(run: Run, tmp_path: Path) -> None:
    summary = run(tmp_path, "--max-cloud", "4")
    assert [scene["name"][11:19] for scene in summary["scenes"]] == ["20210305"]
    assert all(" % cloud, more than 4 %" in scene["reason"] for scene in summary["dropped"])
    assert len(summary["dropped"]) == 2


@pytest.mark.usefixtures("inline")
def test_of_one_acquisition_the_highest_baseline_is_used(run: Run, scenes: dict[str, Path], tmp_path: Path) -> None:
    older = write("new", tmp_path / "older", baseline=(2, 14))
    copy = Path(shutil.copytree(scenes["old"], tmp_path / "copy" / scenes["old"].name))
    summary = run(tmp_path / "out", *PLAIN, of=(older, "new", "old", copy))
    assert [scene["name"] for scene in summary["scenes"]] == [scenes["new"].stem, scenes["old"].stem]
    assert [each["reason"] for each in summary["dropped"]] == [
        f"the same acquisition as {scenes['new'].stem}, whose baseline is higher",
        f"the same acquisition as {scenes['old'].stem}",
    ]


@pytest.mark.usefixtures("inline")
def test_an_area_of_interest_cuts_the_mosaic_and_changes_no_pixel_within(
    run: Run, shared: Callable[..., Path], tmp_path: Path
) -> None:
    x, y = CORNER
    ring = [(x + 505, y - 405), (x + 2505, y - 405), (x + 2505, y - 2205), (x + 505, y - 405)]
    area = tmp_path / "area.geojson"
    shape = {"type": "Polygon", "coordinates": [ring]}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32756"}}
    feature = {"type": "Feature", "properties": {}, "geometry": shape}
    area.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    summary = run(tmp_path / "part", "--aoi", str(area), "--method", "newest", *PLAIN)
    with rasterio.open(tmp_path / "part" / "mosaic.tif") as file:
        assert (file.transform.c, file.transform.f) == (x + 500, y - 400)
        part = file.read()
    assert part.shape == (4, 181, 201)
    whole = raster(shared("--method", "newest", *PLAIN) / "mosaic.tif")[:, 40:221, 50:251]
    inside = (part != NO_DATA).all(axis=0)
    np.testing.assert_array_equal(part[:, inside], whole[:, inside])
    assert 0.4 < inside.mean() < 0.5
    assert summary["data_percent"] > 90


@pytest.mark.usefixtures("inline")
def test_a_scene_outside_of_the_area_is_left_out(run: Run, tmp_path: Path) -> None:
    from pyproj import Transformer

    to_degrees = Transformer.from_crs(32756, 4326, always_xy=True).transform
    corners = [(100, -100), (1500, -100), (1500, -2000), (100, -2000), (100, -100)]
    ring = ", ".join("{} {}".format(*to_degrees(CORNER[0] + dx, CORNER[1] + dy)) for dx, dy in corners)
    area = f"POLYGON(({ring}))"
    summary = run(tmp_path, "--aoi", area)
    assert [each["reason"] for each in summary["dropped"]] == ["outside of the area of interest"]
    assert summary["columns"] <= 145


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(("projection", "epsg"), [("EPSG:32755", 32755), ("EPSG:4326", 4326)])
def test_another_projection_shows_the_same_ground(
    projection: str, epsg: int, run: Run, shared: Callable[..., Path], tmp_path: Path
) -> None:
    summary = run(tmp_path, "--projection", projection, "--method", "median")
    with rasterio.open(tmp_path / "mosaic.tif") as file:
        assert file.crs.to_epsg() == epsg
        turned = file.read(masked=True)
    plain = np.ma.masked_equal(raster(shared("--method", "median") / "mosaic.tif"), NO_DATA)
    np.testing.assert_allclose(turned.mean(axis=(1, 2)), plain.mean(axis=(1, 2)), rtol=0.02)
    assert summary["rows"] == turned.shape[1] != plain.shape[1]
    assert summary["data_percent"] > 60


@pytest.mark.usefixtures("inline")
def test_other_bands_and_sizes_of_pixels(run: Run, tmp_path: Path) -> None:
    summary = run(tmp_path, "--bands", "B8,B2", "--resolution", "60")
    assert (summary["bands"], summary["rows"], summary["columns"]) == (["B08", "B02"], 40, 80)
    with rasterio.open(tmp_path / "mosaic.tif") as file:
        assert file.descriptions == ("B08", "B02")


# ---- what is left --------------------------------------------------------------------------------------------------


def test_everything_is_left_and_listed_with_its_checksum(result: Path) -> None:
    names = {path.name for path in result.iterdir()} - {".groundshift.lock"}
    pictures = {"mosaic.png", "count.png", "scene.png", "date.png"}
    rest = {"scenes.json", "report.html", "item.json", "manifest.json"}
    assert names == {"mosaic.tif", "evidence.tif", "mosaic-8bit.tif"} | pictures | rest
    manifest = json.loads((result / "manifest.json").read_text())
    listed = digests(result)
    assert set(listed) == names - {"manifest.json"}
    for name, digest in listed.items():
        assert hashlib.sha256((result / name).read_bytes()).hexdigest() == digest
    assert len(manifest["inputs"]) == 3
    assert manifest["options"]["compose"]["method"] == "best"
    item = json.loads((result / "item.json").read_text())
    assert {asset["href"].removeprefix("./") for asset in item["assets"].values()} >= {"mosaic.tif", "evidence.tif"}
    assert item["properties"]["start_datetime"][:10] == "2021-03-05"


def test_rasters_are_cogs_with_scale_and_names(result: Path) -> None:
    for name in ("mosaic.tif", "evidence.tif", "mosaic-8bit.tif"):
        assert cog_validate(result / name, strict=True)[:2] == (True, []), name
    with rasterio.open(result / "mosaic.tif") as file:
        assert (file.nodata, file.descriptions, file.scales) == (NO_DATA, BANDS, (1e-4,) * 4)
        assert file.dtypes == ("int16",) * 4
        assert (file.transform.c, file.transform.f, file.shape) == (*CORNER, GROUND.shape)
    with rasterio.open(result / "evidence.tif") as file:
        assert file.descriptions == ("count", "scene", "date", "quality")


def test_eight_bits_follow_the_mosaic_with_one_rising_curve(result: Path) -> None:
    mosaic, eight = raster(result / "mosaic.tif"), raster(result / "mosaic-8bit.tif")
    assert (eight.shape, eight.dtype) == ((3, *GROUND.shape), np.uint8)
    seen = (mosaic[:3] != NO_DATA).all(axis=0)
    np.testing.assert_array_equal((eight > 0).all(axis=0), seen)
    np.testing.assert_array_equal((eight == 0).any(axis=0), ~seen)
    order = np.argsort(mosaic[:3, seen].ravel(), kind="stable")
    assert (np.diff(eight[:, seen].ravel()[order].astype(int)) >= 0).all()
    assert len(np.unique(eight)) > 150


@pytest.mark.usefixtures("inline")
def test_said_twice_the_result_is_replaced_by_the_same(run: Run, result: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(result, tmp_path / "out"))
    found = [digests(out)]
    before = (out / "mosaic.tif").stat().st_ino
    run(out, "--eight-bit")
    found.append(digests(out))
    assert (out / "mosaic.tif").stat().st_ino != before
    assert not (out / ".groundshift-work").exists()
    assert {key for key in found[0] if found[0][key] != found[1][key]} <= {"item.json", "report.html"}


@pytest.mark.usefixtures("inline")
def test_results_of_another_job_stay_unless_forced_and_then_are_gone(
    run: Run, result: Path, scenes: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(result, tmp_path / "out"))
    argv = ["mosaic", *map(str, scenes.values()), "--outdir", str(out), "--method", "median", "--quiet"]
    assert guarded(_groundshift, argv, "groundshift") == 73
    assert "--force" in capsys.readouterr().err
    assert rasters(out) == rasters(result)
    run(out, "--method", "median", "--force")
    assert set(rasters(out)) == {"mosaic.tif", "evidence.tif", "mosaic.png", "count.png"}


# ---- weights and presets -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("inline")
@pytest.mark.filterwarnings("ignore:Mean of empty")
def test_the_weighted_mean_weighs_by_distance_to_cloud_and_by_date(run: Run, tmp_path: Path) -> None:
    run(tmp_path, "--method", "weighted", "--balance", "none")
    stored, codes = on_mosaic()
    weight = np.zeros(codes.shape)
    for i, days_off in enumerate((10, 0, 10)):
        metres = 10 * ndimage.distance_transform_edt(np.pad(codes[i] == 1, 1, mode="edge"))[1:-1, 1:-1]
        near, far = (1 - np.exp(-((metres / scale) ** 2) / 2) for scale in (480, 2400))
        weight[i] = near * far * (1 - days_off / 23 * 0.5)
    weight = np.maximum(weight, 1e-6) * usable(codes)
    some = weight.sum(axis=0) > 0
    expected = (weight[:, None] * stored).sum(axis=0)[:, some] / weight.sum(axis=0)[some]
    found = raster(tmp_path / "mosaic.tif")
    np.testing.assert_array_equal((found != NO_DATA).all(axis=0), some)
    assert abs(found[:, some] - expected).max() <= 0.6


@pytest.mark.usefixtures("inline")
def test_the_preset_cdse_is_the_lower_quartile_of_what_is_not_masked_without_growth(run: Run, tmp_path: Path) -> None:
    summary = run(tmp_path / "preset", "--preset", "cdse")
    plain = ("--mask-classes", "1,3,7,8,9,10", "--cloud-dilation", "0", "--shadow-dilation", "0")
    run(tmp_path / "own", "--method", "percentile", *PLAIN[:2], *plain, "--no-shadows", "--no-second-opinion")
    preset, own = (raster(tmp_path / name / "mosaic.tif") for name in ("preset", "own"))
    inside = (preset != NO_DATA).all(axis=0)
    assert summary["lenient_percent"] == 0
    assert inside.mean() > 0.8
    np.testing.assert_array_equal(preset[:, inside], own[:, inside])


@pytest.mark.usefixtures("inline")
def test_force_wants_the_middle_of_the_period_where_we_want_the_newest(run: Run, tmp_path: Path) -> None:
    shares = {}
    for name, options in (("force", ("--preset", "force")), ("apex", ("--preset", "apex")), ("own", ())):
        summary = run(tmp_path / name, *options, "--balance", "none", of=("new", "old", "east"))
        assert summary["data_percent"] > 80
        shares[name] = [scene["used_percent"] for scene in summary["scenes"]]
    assert shares["force"][1] > shares["own"][1]
    assert shares["force"] != shares["apex"]


def test_a_preset_with_another_method_is_refused(
    scenes: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["mosaic", str(scenes["new"]), "--outdir", str(tmp_path / "out"), "--preset", "force", "--method", "median"]
    assert guarded(_groundshift, argv, "groundshift") == 2
    assert "the preset force is for the method best, not median" in capsys.readouterr().err


# ---- job files, lists, the library ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("inline")
def test_a_saved_job_makes_the_same_mosaic_again_and_its_list_names_the_same_scenes(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from groundshift.pipelines.scene_names import expanded

    job = tmp_path / "job.toml"
    summary = run(tmp_path / "first", "--preset", "cdse", "--cloud-dilation", "20", "--save-config", str(job))
    assert "\nshadows = false\n" in job.read_text()
    argv = ["run", str(job), "--set", f"output.outdir={tmp_path / 'again'}", "--json"]
    assert guarded(_groundshift, argv, "groundshift") == 0, capsys.readouterr().err
    again = json.loads(capsys.readouterr().out)
    assert rasters(tmp_path / "again") == rasters(tmp_path / "first")
    assert again["scenes"] == summary["scenes"]
    listed = expanded([str(tmp_path / "first" / "scenes.json")])
    assert [Path(text).stem for text in listed] == [scene["name"] for scene in summary["scenes"]]


@pytest.mark.usefixtures("inline")
def test_the_library_gives_the_pixels_of_the_files(run: Run, scenes: dict[str, Path], tmp_path: Path) -> None:
    import groundshift as gs

    run(tmp_path, "--method", "newest", "--aoi", _half())
    found = gs.mosaic(list(scenes.values()), method="newest", aoi=_half())
    stored = raster(tmp_path / "mosaic.tif")
    data = found.reflectance.sel(band=["B04", "B03", "B02", "B08"]).values
    np.testing.assert_allclose(np.nan_to_num(data, nan=-3.2768), stored * 1e-4, atol=1e-6)
    evidence = raster(tmp_path / "evidence.tif")
    for layer, name in zip(evidence, ("count", "scene", "date", "quality"), strict=True):
        np.testing.assert_array_equal(found[name].values, layer)
    with rasterio.open(tmp_path / "mosaic.tif") as file:
        assert (float(found.x[0]) - 5, float(found.y[0]) + 5) == (file.transform.c, file.transform.f)
    with pytest.raises(gs.UsageError, match="methd"):
        gs.mosaic(list(scenes.values()), methd="median")


def _half() -> str:
    x, y = CORNER
    corners = [(x + 5, y - 5), (x + 2000, y - 5), (x + 2000, y - 2000), (x + 5, y - 2000), (x + 5, y - 5)]
    return "SRID=32756;POLYGON((" + ", ".join(f"{a} {b}" for a, b in corners) + "))"


def test_the_map_of_dates_shows_days_and_the_map_of_scenes_scenes(result: Path) -> None:
    from PIL import Image

    from groundshift.pipelines.mosaic_results import day_colour, scene_colour

    _, scene, date, _ = raster(result / "evidence.tif")
    shown = {name: np.asarray(Image.open(result / f"{name}.png").convert("RGB")) for name in ("scene", "date")}
    days = [20210305, 20210315, 20210325]
    for number, day in ((1, days[2]), (2, days[1]), (3, days[0])):
        assert (date[scene == number] == day).all()
        assert (shown["date"][date == day] == day_colour(day, days)).all()
        assert (shown["scene"][scene == number] == scene_colour(number - 1, 3)).all()
    assert (shown["date"][date == 0] == 255).all()
    report = (result / "report.html").read_text(encoding="utf-8")
    for i, day in enumerate(days):
        assert f".day-{i} {{ --kind: rgb({' '.join(map(str, day_colour(day, days)))}) }}" in report
