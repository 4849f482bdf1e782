"""The main job from files to files on a small generated pair: one result whatever the road, and every option."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from scipy import ndimage
from threadpoolctl import threadpool_limits

import groundshift as gs
from groundshift.errors import StrictError, UsageError
from groundshift.testing.scenes import whole

pytestmark = pytest.mark.usefixtures("parked_workers")

BOTH = ("CVA.tif", "S2-CD.tif")
OFFSET_RULE = "BOA_ADD_OFFSET of MTD_MSIL2A.xml: -1000 DN for each band"


def rasters(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as file:
            found[path.name] = file.read()
    return found


def features(folder: Path) -> tuple[list[bytes], dict[str, list[Any]]]:
    meta, _, shapes, columns = pyogrio.raw.read(folder / "changes.gpkg")
    return list(shapes), {name: list(column) for name, column in zip(meta["fields"], columns, strict=True)}


def classes(folder: Path) -> np.ndarray:
    return rasters(folder)["S2-CD.tif"][0]


def same(first: Path, second: Path, but: tuple[str, ...] = ()) -> None:
    one, other = rasters(first), rasters(second)
    for name in (*BOTH, *(set(one) & set(other))):
        if name not in but:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    assert features(first) == features(second)


@pytest.fixture(scope="module")
def result(safe_pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two workers make of the pair, with everything that there is."""
    out = tmp_path_factory.mktemp("whole") / "out"
    gs.detect_changes(*safe_pair, out, workers=2, p_value=True)
    return out


# ---- one result, whatever the road ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_without_processes_the_result_is_the_same(result: Path, safe_pair: tuple[Path, Path], tmp_path: Path) -> None:
    # With two threads, as without the setting of conftest.py; workers have one.
    with threadpool_limits(2):
        gs.detect_changes(*safe_pair, tmp_path)
    same(tmp_path, result)


@pytest.mark.parametrize(("workers", "memory"), [(1, "2G"), (3, "500M")])
def test_workers_and_memory_change_no_pixel(
    workers: int, memory: str, result: Path, safe_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    gs.detect_changes(*safe_pair, tmp_path, workers=workers, memory=memory, p_value=True)
    same(tmp_path, result)


@pytest.mark.usefixtures("quick")
def test_the_height_of_strips_changes_no_pixel(
    result: Path, safe_pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundshift.execution import memory

    monkeypatch.setattr(memory, "block_rows", lambda *_, **__: 40)
    gs.detect_changes(*safe_pair, tmp_path)
    same(tmp_path, result)


@pytest.mark.usefixtures("quick")
def test_the_sample_does_not_depend_on_the_number_of_workers(tmp_path: Path, write_raster: Any) -> None:
    from groundshift.execution.pool import Pool
    from groundshift.pipelines import change

    rng = np.random.default_rng(3)
    ground = np.kron(rng.random((4, 11, 28)) * 3000 + 300, np.ones((1, 50, 50)))
    paths = []
    for name in ("a", "b"):
        ground[:, 100:140, 100:140] += 1500 * (name == "b")
        noisy = (ground + rng.normal(0, 30, ground.shape)).astype(np.uint16)
        paths.append(write_raster(tmp_path / f"{name}.tif", noisy, nodata=0))

    class Several(Pool):
        def run(self, function: Any, arguments: Any, *_: Any, **__: Any) -> list[Any]:
            return [function(argument) for argument in arguments]

        def start(self, function: Any, argument: Any, *_: Any) -> Any:
            return Pool(0).start(function, argument)

        def warm(self) -> None:
            pass

    reads = {"band_order": "B2,B3,B4,B8", "scale": 10000, "sample_pixels": 100_000}
    for workers in (1, 4):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(change, "open_pool", lambda *_, n=workers, **__: Several(n))
            gs.detect_changes(*paths, tmp_path / str(workers), **reads)
    same(tmp_path / "1", tmp_path / "4")


@pytest.mark.usefixtures("quick")
def test_said_twice_the_result_is_replaced_by_the_same(safe_pair: tuple[Path, Path], tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        gs.detect_changes(*safe_pair, tmp_path)
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        found.append({file["path"]: file["sha256"] for file in manifest["outputs"]})
    assert {key for key in found[0] if found[0][key] != found[1][key]} <= {"changes.gpkg", "item.json"}


def archived(product: Path, folder: Path, method: int) -> Path:
    folder.mkdir(exist_ok=True)
    target = folder / f"{product.stem}.zip"
    with zipfile.ZipFile(target, "w", method) as archive:
        for path in sorted(product.rglob("*")):
            archive.write(path, f"{product.name}/{path.relative_to(product).as_posix()}")
    return target


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_a_zip_gives_what_its_folder_gives(
    method: int, result: Path, safe_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    gs.detect_changes(*(archived(product, tmp_path / "zip", method) for product in safe_pair), tmp_path / "out")
    same(tmp_path / "out", result)
    assert not (tmp_path / "out" / ".groundshift-work").exists()


# ---- R11: two baselines --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_a_scene_written_under_two_baselines_compares_equal(
    safe_pair: tuple[Path, Path], small_pair: Any, write_safe_pair: Any, tmp_path: Path
) -> None:
    old = write_safe_pair(small_pair, tmp_path / "old", baseline=(2, 14), checksum="MD5")
    found = gs.detect_changes(old[0], safe_pair[0], tmp_path / "same", normalise_method="none")
    assert found.summary["changed_pixels"] == 0
    assert found.summary["compared_pixels"] > 50_000
    assert "Baseline" in {warning.name for warning in found.warnings}


@pytest.mark.usefixtures("quick")
def test_mixed_baselines_give_the_map_of_equal_ones(
    result: Path, safe_pair: tuple[Path, Path], small_pair: Any, write_safe_pair: Any, tmp_path: Path
) -> None:
    old = write_safe_pair(small_pair, tmp_path / "old", baseline=(2, 14), checksum="MD5")
    gs.detect_changes(old[0], safe_pair[1], tmp_path / "mixed")
    expected, found = rasters(result), rasters(tmp_path / "mixed")
    np.testing.assert_allclose(found["CVA.tif"][0], expected["CVA.tif"][0], rtol=0.02, atol=0.05)
    assert (found["S2-CD.tif"] != expected["S2-CD.tif"]).mean() < 0.001


# ---- grid ----------------------------------------------------------------------------------------------------------


def corners(path: Path) -> tuple[float, float, float, float]:
    with rasterio.open(path) as file:
        return tuple(file.bounds)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["wkt", "file"])
def test_outside_the_area_of_interest_is_no_data_and_inside_is_as_without(
    kind: str, result: Path, safe_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    with rasterio.open(result / "S2-CD.tif") as file:
        crs, transform, full = file.crs, file.transform, file.read(1)
    x, y = transform * (175, 142)
    area = shapely.Polygon([(x - 1000, y - 900), (x + 1200, y), (x, y + 1000)])
    if kind == "wkt":
        from pyproj import Transformer

        there = Transformer.from_crs(crs, 4326, always_xy=True)
        text = shapely.transform(area, lambda xy: np.column_stack(there.transform(*xy.T))).wkt
    else:
        text = str(tmp_path / "area.gpkg")
        pyogrio.raw.write(text, np.array([area.wkb]), [], [], geometry_type="Polygon", crs=crs.to_wkt(), driver="GPKG")
    found = gs.detect_changes(*safe_pair, tmp_path / "out", aoi=text)
    with rasterio.open(tmp_path / "out" / "S2-CD.tif") as file:
        part, place = file.read(1), file.transform
    inside = rasterio.features.geometry_mask([area], part.shape, place, invert=True, all_touched=False)
    assert (
        part[~inside & ~rasterio.features.geometry_mask([area.buffer(20)], part.shape, place, invert=True)] == 255
    ).all()
    column, row = (round(v) for v in ~transform * (place.c, place.f))
    same_place = full[row : row + part.shape[0], column : column + part.shape[1]]
    core = rasterio.features.geometry_mask([area.buffer(-100)], part.shape, place, invert=True)
    assert ((part == 255) == (same_place == 255))[core].all()
    assert (part[core] != 255).mean() > 0.5
    # The statistics are those of the whole pair, sampled another way.
    assert ((part > 0) == (same_place > 0))[core].mean() > 0.995
    assert found.summary["compared_pixels"] == (part != 255).sum()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("metres", "bands"), [(20, "B2,B3,B4,B8"), (60, "B2,B3,B4,B8"), (None, "B11")])
def test_a_resolution_gives_pixels_of_that_size_on_the_same_corner(
    metres: float | None, bands: str, result: Path, safe_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    found = gs.detect_changes(*safe_pair, tmp_path, resolution=metres, bands=bands, reference_vector="uniform")
    with rasterio.open(tmp_path / "CVA.tif") as file:
        assert (file.transform.a, file.transform.e) == (metres or 20, -(metres or 20))
    assert corners(tmp_path / "CVA.tif") == corners(result / "CVA.tif")
    assert found.summary["compared_pixels"] > 0


@pytest.mark.usefixtures("quick")
def test_a_band_of_20_m_joins_those_of_10_m(safe_pair: tuple[Path, Path], tmp_path: Path, small_pair: Any) -> None:
    gs.detect_changes(*safe_pair, tmp_path, bands="B4,B8,B11")
    window = whole(small_pair.options.scene.shape)
    truth, found = small_pair.truth(window), classes(tmp_path)
    seen = (found != 255) & (truth != 255)
    far = seen & (ndimage.distance_transform_edt(small_pair.amount(window) == 0) > 10)
    assert (found[seen & (truth > 0)] > 0).mean() > 0.6
    assert (found[far] > 0).mean() < 0.002


def test_another_projection_takes_classes_from_the_nearest_pixel_and_angles_as_vectors(
    result: Path, safe_pair: tuple[Path, Path], tmp_path: Path, quick: None
) -> None:
    from pyproj import Transformer

    gs.detect_changes(*safe_pair, tmp_path, projection="EPSG:4326", p_value=True)
    native = rasters(result)
    with rasterio.open(result / "S2-CD.tif") as file:
        home, crs = file.transform, file.crs
    with rasterio.open(tmp_path / "S2-CD.tif") as file:
        assert file.crs.to_epsg() == 4326
        place, shape = file.transform, file.shape
    found = rasters(tmp_path)
    x, y = place * np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    columns, rows = ~home * Transformer.from_crs(4326, crs, always_xy=True).transform(x, y)
    r, c = np.floor(rows).astype(int), np.floor(columns).astype(int)
    inside = (r >= 1) & (c >= 1) & (r < native["S2-CD.tif"].shape[1] - 1) & (c < native["S2-CD.tif"].shape[2] - 1)
    clear = inside & (abs(rows % 1 - 0.5) < 0.49) & (abs(columns % 1 - 0.5) < 0.49)
    expected = native["S2-CD.tif"][0][r[clear], c[clear]]
    assert (found["S2-CD.tif"][0][clear] == expected).mean() > 0.995
    outside = (r < -1) | (c < -1) | (r > native["S2-CD.tif"].shape[1]) | (c > native["S2-CD.tif"].shape[2])
    assert outside.any()
    assert (found["S2-CD.tif"][0][outside] == 255).all()
    assert np.isnan(found["CVA.tif"][:, outside]).all()
    y, x = rows[clear] - 0.5, columns[clear] - 0.5
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    parts = [
        (native["CVA.tif"][1][y0 + dy, x0 + dx], abs(1 - dy - (y - y0)) * abs(1 - dx - (x - x0)))
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    angle = found["CVA.tif"][1][clear]
    sure = np.isfinite(angle) & np.isfinite([part for part, _ in parts]).all(axis=0)
    vector = sum(weight * np.exp(1j * np.radians(part)) for part, weight in parts)
    off = abs(angle - np.degrees(np.angle(vector)))[sure]
    assert np.quantile(off, 0.99) < 0.5
    plain = sum(weight * part for part, weight in parts)
    assert np.quantile(abs(angle - plain)[sure], 0.99) > 2


# ---- options -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "options",
    [
        {"normalization": "diag"},
        {"context": "none"},
        {"context": "none", "normalization": "diag"},
        {"detect_method": "irmad"},
        {"detect_method": "irmad", "context": "none", "normalization": "diag"},
        {"normalise_method": "robust"},
        {"normalise_method": "none", "reference_vector": "mean"},
        {"fdr": 0.05},
        {"fdr": 0.05, "detect_method": "irmad"},
        {"kinds_classes": 1, "reference_vector": "ndvi"},
        {"kinds_classes": 7, "reference_vector": "0,0,-1,1"},
    ],
    ids=lambda options: ",".join(f"{key}={value}" for key, value in options.items()),
)
def test_every_way_finds_what_was_planted_and_little_else(
    options: dict[str, Any], safe_pair: tuple[Path, Path], tmp_path: Path, small_pair: Any
) -> None:
    found = gs.detect_changes(*safe_pair, tmp_path, **options)
    kinds, window = classes(tmp_path), whole(small_pair.options.scene.shape)
    truth, amount = small_pair.truth(window), small_pair.amount(window)
    seen = (kinds != 255) & (truth != 255)
    far = seen & (ndimage.distance_transform_edt(amount == 0) > 10)
    assert (kinds[seen & (amount > 0.9)] > 0).mean() > 0.7
    assert (kinds[far] > 0).mean() < (0.01 if "fdr" in options else 0.002)
    assert found.summary["changed_pixels"] == ((kinds > 0) & (kinds != 255)).sum()
    assert set(np.unique(kinds)) <= {*range(options.get("kinds_classes", 4) + 1), 255}
    json.dumps(found.summary, allow_nan=False)


@pytest.mark.usefixtures("quick")
def test_the_textbook_statistics_are_blunted_by_what_changed(safe_pair: tuple[Path, Path], tmp_path: Path) -> None:
    amplitudes = []
    for estimator in ("robust", "textbook"):
        out = tmp_path / estimator
        gs.detect_changes(*safe_pair, out, estimator=estimator, context="none")
        amplitudes.append(np.nanmedian(rasters(out)["CVA.tif"][0]))
    assert amplitudes[1] < 0.8 * amplitudes[0]


@pytest.mark.usefixtures("quick")
def test_the_false_discovery_rate_is_kept(safe_pair: tuple[Path, Path], tmp_path: Path, small_pair: Any) -> None:
    window, counts = whole(small_pair.options.scene.shape), []
    far = ndimage.distance_transform_edt(small_pair.amount(window) == 0) > 10
    for fdr in (0.01, 0.2):
        gs.detect_changes(*safe_pair, tmp_path, fdr=fdr, force=True)
        kinds = classes(tmp_path)
        called = (kinds > 0) & (kinds != 255)
        counts.append(called.sum())
        assert (called & far).sum() <= 2 * fdr * called.sum()
    assert counts[0] < counts[1]


@pytest.mark.usefixtures("quick")
def test_a_higher_confidence_finds_a_part_of_what_a_lower_one_finds(
    safe_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    maps = []
    for confidence in (99, 99.99):
        gs.detect_changes(*safe_pair, tmp_path, confidence=confidence, context="none", force=True)
        kinds = classes(tmp_path)
        maps.append((kinds > 0) & (kinds != 255))
    assert not (maps[1] & ~maps[0]).any()
    assert maps[1].sum() < maps[0].sum()


@pytest.mark.usefixtures("quick")
def test_the_minimum_mapping_unit_drops_exactly_the_regions_below_it(
    safe_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    options = {"context": "none", "confidence": 99.9}
    gs.detect_changes(*safe_pair, tmp_path / "all", **options)
    labels, _ = ndimage.label((classes(tmp_path / "all") % 255) > 0, np.ones((3, 3), int))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    least = int(np.median(np.unique(sizes[sizes > 9])))
    least = int(sizes[sizes >= least].min())
    assert (sizes == least).any()
    assert (sizes < least).any()
    gs.detect_changes(*safe_pair, tmp_path / "large", min_area=100 * least, **options)
    large = (classes(tmp_path / "large") % 255) > 0
    np.testing.assert_array_equal(large, (sizes >= least)[labels])
    gs.detect_changes(*safe_pair, tmp_path / "larger", min_area=100 * least + 1, **options)
    np.testing.assert_array_equal((classes(tmp_path / "larger") % 255) > 0, (sizes > least)[labels])
    shapes, fields = features(tmp_path / "large")
    regions = shapely.union_all([shape.buffer(0.01, join_style="mitre") for shape in shapely.from_wkb(shapes)])
    assert min(part.area for part in shapely.get_parts(regions)) >= 100 * least
    assert sum(fields["pixels"]) == large.sum()


# ---- outputs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CVA.tif", "S2-CD.tif", "p-value.tif"])
def test_rasters_are_cloud_optimised(name: str, result: Path) -> None:
    from rio_cogeo import cog_validate

    valid, faults, oddities = cog_validate(result / name, strict=True, quiet=True)
    assert valid, (faults, oddities)
    # Of an image of one tile any GeoTIFF is valid.
    with rasterio.open(result / name) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_bands_say_what_they_are(result: Path) -> None:
    with rasterio.open(result / "CVA.tif") as file:
        assert file.descriptions == ("amplitude", "angle")
        assert file.units == ("standard deviations of no change", "degrees")
        assert file.dtypes == ("float32", "float32")
        assert np.isnan(file.nodata)
        amplitude, angle = file.read()
    assert np.nanmin(amplitude) >= 0
    assert np.nanmin(angle) >= 0
    assert np.nanmax(angle) <= 180
    with rasterio.open(result / "p-value.tif") as file:
        p = file.read(1)
        assert file.descriptions == ("p-value",)
    with rasterio.open(result / "S2-CD.tif") as file:
        kinds = file.read(1)
        assert (file.dtypes, file.nodata) == (("uint8",), 255)
        assert file.colormap(1)[1] != file.colormap(1)[2]
    for plane in (amplitude, angle, p):
        np.testing.assert_array_equal(np.isnan(plane), kinds == 255)
    assert np.nanmin(p) >= 0
    assert np.nanmax(p) <= 1
    order = np.argsort(amplitude[kinds != 255])
    assert (np.diff(p[kinds != 255][order]) <= 0).all()


def test_class_names_and_styles_are_beside_the_map(result: Path) -> None:
    from defusedxml import ElementTree

    names = [item.text for item in ElementTree.parse(result / "S2-CD.tif.aux.xml").iter("Category")]
    assert names[0]
    assert len([name for name in names if name]) >= 5
    items = list(ElementTree.parse(result / "S2-CD.qml").iter("paletteEntry"))
    assert {int(item.get("value")) for item in items} >= {0, 1, 2, 3, 4}
    assert ElementTree.parse(result / "CVA.qml").getroot().tag == "qgis"


def test_polygons_cover_the_changed_pixels_exactly(result: Path) -> None:
    shapes, fields = features(result)
    kinds = classes(result)
    found = shapely.from_wkb(shapes)
    assert all(shape.is_valid for shape in found)
    for kind in np.unique(fields["kind"]):
        mine = np.array(fields["kind"]) == kind
        assert np.array(fields["pixels"])[mine].sum() == (kinds == kind).sum()
        assert sum(shape.area for shape in found[mine]) == pytest.approx(100 * (kinds == kind).sum())
    assert sum(fields["pixels"]) == ((kinds > 0) & (kinds != 255)).sum()
    np.testing.assert_allclose([shape.area for shape in found], fields["area_m2"], rtol=1e-9)
    assert set(fields) >= {"kind", "hint", "pixels", "area_m2", "mean_amplitude", "p_value"}


def test_the_stac_item_is_one_and_its_files_are_there(result: Path) -> None:
    from groundshift.io.stac_item import check_item

    item = json.loads((result / "item.json").read_text())
    assert check_item(item) == []
    assert set(item["assets"]) >= {"CVA", "S2-CD", "changes", "report"}
    for asset in item["assets"].values():
        assert (result / asset["href"]).exists()


def test_the_manifest_lists_every_file_with_its_checksum(result: Path) -> None:
    manifest = json.loads((result / "manifest.json").read_text())
    listed = {file["path"]: file for file in manifest["outputs"]}
    for name, file in listed.items():
        data = (result / name).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    there = {path.name for path in result.iterdir() if not path.name.startswith(".")}
    side = {"manifest.json", "S2-CD.tif.aux.xml", "S2-CD.qml", "CVA.qml"}
    assert there - side == set(listed) - side
    digests = [one for product in manifest["inputs"] for one in product["files"]]
    assert len(digests) == 10
    assert {product["offset_rule"] for product in manifest["inputs"]} == {OFFSET_RULE}
    assert all(one["ok"] and one["algorithm"] == "SHA3-256" for one in digests)


def test_the_report_stands_alone(result: Path) -> None:
    import re

    text = (result / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", text)
    assert not re.findall(r"""url\(["']?https?:""", text)
    assert text.count("data:image/png;base64,") >= 3
    assert "05.10" in text
    assert text.count(OFFSET_RULE) == 2


def test_nothing_but_results_is_left(result: Path) -> None:
    hidden = {path.name for path in result.iterdir() if path.name.startswith(".")}
    assert hidden <= {".groundshift.lock"}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("driver", "ending"), [("GTiff", "tif"), ("HFA", "img"), ("envi", "dat")])
def test_other_formats_hold_the_same_pixels(
    driver: str, ending: str, result: Path, safe_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    gs.detect_changes(*safe_pair, tmp_path, format=driver)
    for name, pixels in rasters(result).items():
        if name != "p-value.tif":
            with rasterio.open((tmp_path / name).with_suffix(f".{ending}")) as file:
                np.testing.assert_array_equal(file.read(), pixels)


@pytest.mark.parametrize("driver", ["PNG", "JPEG", "nonsense"])
def test_a_format_that_cannot_hold_the_results_is_refused_before_any_work(
    driver: str, safe_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=driver):
        gs.detect_changes(*safe_pair, tmp_path / "out", format=driver)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("quick")
def test_strict_makes_an_error_of_a_warning_and_leaves_no_results(
    safe_pair: tuple[Path, Path], small_pair: Any, write_safe_pair: Any, tmp_path: Path
) -> None:
    other = write_safe_pair(small_pair, tmp_path / "orbit", relative_orbit=73)
    assert "Orbit" in {warning.name for warning in gs.detect_changes(safe_pair[0], other[1], tmp_path / "o").warnings}
    with pytest.raises(StrictError, match="Orbit") as caught:
        gs.detect_changes(safe_pair[0], other[1], tmp_path / "out", strict=True)
    assert caught.value.exit_code == 65
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {".groundshift.lock"}


@pytest.mark.usefixtures("quick")
def test_results_of_an_earlier_job_that_this_one_does_not_make_are_gone(
    safe_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    gs.detect_changes(*safe_pair, tmp_path, p_value=True, resolution=60)
    (tmp_path / "notes.txt").write_text("mine")
    gs.detect_changes(*safe_pair, tmp_path, resolution=60, force=True)
    assert not (tmp_path / "p-value.tif").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.usefixtures("quick")
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_rasters_without_georeference_are_compared_on_their_pixels(tmp_path: Path, write_raster: Any) -> None:
    rng = np.random.default_rng(1)
    ground = np.kron(rng.random((3, 20, 20)) * 150 + 20, np.ones((1, 12, 12)))
    later = ground.copy()
    later[:, 40:80, 60:100] += 60
    paths = [
        write_raster(
            tmp_path / name, (image + rng.normal(0, 2, image.shape)).clip(1, 255).astype(np.uint8), driver="PNG", **bare
        )
        for name, image, bare in (
            ("a.png", ground, {"crs": None, "transform": None}),
            ("b.png", later, {"crs": None, "transform": None}),
        )
    ]
    found = gs.detect_changes(*paths, tmp_path / "out", band_order="B4,B3,B2", bands="B2,B3,B4", scale=255)
    kinds = classes(tmp_path / "out")
    assert (kinds[42:78, 62:98] > 0).mean() > 0.95
    assert found.summary["kinds"][0]["hectares"] is None
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(UsageError, match="resolution"):
        gs.detect_changes(*paths, tmp_path / "out", band_order="B4,B3,B2", bands="B2,B3,B4", scale=255, resolution=20)
