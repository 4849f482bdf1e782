"""Faults through the whole change job: what is damaged, empty, elsewhere, in the way or interrupted."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import groundshift as gs
from groundshift.errors import GridError, MissingInputError, OutputError, ProductError
from groundshift.io.drivers import check_structure

pytestmark = pytest.mark.usefixtures("parked_workers")

READ = {"band_order": "B2,B3,B4,B8", "scale": 10_000}
SIDE = 120
"""Pixels along the images that are drawn here: enough for everything to be fitted."""


@pytest.fixture
def pair_copy(safe_pair: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The pair, its first product a copy to be damaged."""
    return Path(shutil.copytree(safe_pair[0], tmp_path / "copy" / safe_pair[0].name)), safe_pair[1]


def band_file(product: Path, band: str) -> Path:
    return next(product.glob(f"GRANULE/*/IMG_DATA/**/*_{band}_*.jp2"))


def results_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != ".groundshift.lock"} if folder.exists() else set()


def rasters(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.glob("*.tif")):
        check_structure(str(path))
        with rasterio.open(path) as file:
            found[path.name] = file.read().tobytes()
    return found


def texture(seed: int = 1, shape: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """(4, y, x) DN of parcels."""
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.random((4, shape[0] // 20, shape[1] // 20)) * 3000 + 300, np.ones((1, 20, 20)))
    return ground + rng.normal(0, 30, ground.shape)


@pytest.fixture
def images(tmp_path: Path, write_raster: Any) -> Any:
    """A function (before, after, **profile) that writes two images of four bands and gives their paths."""

    def write(before: np.ndarray, after: np.ndarray, **profile: Any) -> list[Path]:
        return [
            write_raster(tmp_path / f"{name}.tif", dn.astype(np.uint16), nodata=0, **profile)
            for name, dn in (("before", before), ("after", after))
        ]

    return write


# ---- R1 to R5, R13: damaged products -------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("damage", ["truncated", "flipped", "page", "empty"])
def test_a_damaged_band_ends_the_run_before_any_result(
    damage: str, pair_copy: tuple[Path, Path], tmp_path: Path
) -> None:
    file = band_file(pair_copy[0], "B03")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes({"truncated": data[:-100], "flipped": data, "page": b"<html>no</html>", "empty": b""}[damage])
    with pytest.raises(ProductError, match=file.name) as caught:
        gs.detect_changes(*pair_copy, tmp_path / "out")
    assert caught.value.exit_code == 65
    assert results_in(tmp_path / "out") == set()


@pytest.mark.usefixtures("quick")
def test_an_unverified_band_with_a_flipped_bit_is_told_of_in_the_report(
    pair_copy: tuple[Path, Path], tmp_path: Path
) -> None:
    file = band_file(pair_copy[0], "B03")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes(data)
    found = gs.detect_changes(*pair_copy, tmp_path / "out", verify=False)
    assert "Unverified" in {warning.name for warning in found.warnings}
    assert "Unverified" in (tmp_path / "out" / "manifest.json").read_text()


@pytest.mark.usefixtures("quick")
def test_a_truncated_band_without_manifest_ends_the_run(pair_copy: tuple[Path, Path], tmp_path: Path) -> None:
    file = band_file(pair_copy[0], "B03")
    file.write_bytes(file.read_bytes()[: -file.stat().st_size // 3])
    (pair_copy[0] / "manifest.safe").unlink()
    with pytest.raises(ProductError, match=file.name):
        gs.detect_changes(*pair_copy, tmp_path / "out")
    assert results_in(tmp_path / "out") == set()


@pytest.mark.usefixtures("quick")
def test_another_share_of_no_data_than_the_metadata_tell_is_warned_of(
    pair_copy: tuple[Path, Path], tmp_path: Path
) -> None:
    assert "NoData" not in {warning.name for warning in gs.detect_changes(*pair_copy, tmp_path / "told").warnings}
    metadata = next(pair_copy[0].glob("GRANULE/*/MTD_TL.xml"))
    text, count = re.subn(r"(<NODATA_PIXEL_PERCENTAGE>)[^<]*", r"\g<1>31.5", metadata.read_text())
    assert count
    metadata.write_text(text)
    found = gs.detect_changes(*pair_copy, tmp_path / "out", verify=False)
    assert re.search(r"NoData: .*metadata say 31.5 %", (tmp_path / "out" / "manifest.json").read_text())
    assert "NoData" in {warning.name for warning in found.warnings}


@pytest.mark.usefixtures("quick")
def test_a_listed_file_that_is_missing_is_exit_code_66(pair_copy: tuple[Path, Path], tmp_path: Path) -> None:
    file = band_file(pair_copy[0], "B04")
    file.unlink()
    with pytest.raises(MissingInputError, match=file.name) as caught:
        gs.detect_changes(*pair_copy, tmp_path / "out")
    assert caught.value.exit_code == 66
    assert results_in(tmp_path / "out") == set()
    gs.detect_changes(*pair_copy, tmp_path / "out", bands="B2,B3,B8")


def test_a_file_that_kills_its_reader_ends_the_run_with_its_name(
    safe_pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os, signal\n"
        "class Deadly:\n"
        "    def __init__(self, reader):\n"
        "        self.reader, self.scene, self.files, self.verify = reader, reader.scene, reader.files, reader.verify\n"
        "    def read_classification(self, geobox):\n"
        "        return self.reader.read_classification(geobox)\n"
        "    def read(self, bands, geobox, resampling='bilinear'):\n"
        "        os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from deadly import Deadly  # type: ignore[import-not-found]

    from groundshift.io import opening

    whole = opening.open_scene
    monkeypatch.setattr(opening, "open_scene", lambda *arguments: Deadly(whole(*arguments)))
    with pytest.raises(ProductError, match=r"SIGSEGV.*reading B0\d of S2A_MSIL2A") as caught:
        gs.detect_changes(*safe_pair, tmp_path / "out", workers=1)
    assert caught.value.exit_code == 65
    assert results_in(tmp_path / "out") == set()


# ---- R14: images of other places -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("crs", "east"), [(32633, 540_000), (32633, 502_400), (32635, 500_000)], ids=["far", "touching", "other zone"]
)
def test_images_that_do_not_overlap_are_refused(crs: int, east: float, tmp_path: Path, write_raster: Any) -> None:
    from affine import Affine

    place = {"nodata": 0, "crs": crs, "transform": Affine(10, 0, east, 0, -10, 5100000)}
    first = write_raster(tmp_path / "a.tif", texture().astype(np.uint16), nodata=0)
    second = write_raster(tmp_path / "b.tif", texture().astype(np.uint16), **place)
    with pytest.raises(GridError, match="do not overlap") as caught:
        gs.detect_changes(first, second, tmp_path / "out", **READ)
    assert caught.value.exit_code == 65
    assert results_in(tmp_path / "out") == set()


@pytest.mark.usefixtures("quick")
def test_the_same_ground_in_the_neighbouring_zone_is_compared(tmp_path: Path, write_raster: Any) -> None:
    from affine import Affine
    from rasterio.warp import reproject, transform_bounds

    home = Affine(10, 0, 700_000, 0, -10, 5_100_000)
    dn = np.kron(np.random.default_rng(1).random((4, 12, 12)) * 3000 + 300, np.ones((1, 20, 20))).astype(np.uint16)
    first = write_raster(tmp_path / "a.tif", dn, nodata=0, transform=home)
    left, _, _, top = transform_bounds(32633, 32634, 700_000, 5_097_600, 702_400, 5_100_000)
    away = Affine(10, 0, round(left, -1), 0, -10, round(top, -1))
    moved = np.zeros((4, 300, 300), np.uint16)
    reproject(dn, moved, src_transform=home, src_crs=32633, dst_transform=away, dst_crs=32634, src_nodata=0)
    second = write_raster(tmp_path / "b.tif", moved, nodata=0, crs=32634, transform=away)
    found = gs.detect_changes(first, second, tmp_path / "out", **READ)
    assert found.summary["compared_pixels"] > 0.9 * 240 * 240
    with rasterio.open(tmp_path / "out" / "S2-CD.tif") as file:
        assert (file.crs.to_epsg(), file.transform) == (32633, home)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("aoi", ["POLYGON((2 48, 2.1 48, 2.1 48.1, 2 48.1, 2 48))"])
def test_an_area_outside_is_refused(aoi: str, safe_pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(GridError) as caught:
        gs.detect_changes(*safe_pair, tmp_path / "out", aoi=aoi)
    assert caught.value.exit_code == 65
    assert results_in(tmp_path / "out") == set()


@pytest.mark.usefixtures("quick")
def test_another_tile_and_orbit_are_named(
    small_pair: Any, safe_pair: tuple[Path, Path], write_safe_pair: Any, tmp_path: Path
) -> None:
    from groundshift.testing.geodesy import tile_corner

    _, x, y = tile_corner("56HKH")
    other = write_safe_pair(small_pair, tmp_path / "o", tile="56HLH", relative_orbit=73, corner=(x + 600, y))
    found = gs.detect_changes(safe_pair[0], other[1], tmp_path / "out")
    assert {"Tile", "Orbit"} <= {warning.name for warning in found.warnings}
    assert found.summary["nodata_percent"] > 100 * 60 / 300


# ---- R15: nothing, next to nothing, and twice the same -------------------------------------------------------------


def assert_defined(out: Path, found: Any) -> None:
    """All outputs are there, and numbers are numbers."""
    names = {"CVA.tif", "S2-CD.tif", "changes.gpkg", "before.png", "after.png", "change.png", "report.html"}
    assert names | {"item.json", "manifest.json"} <= results_in(out)
    assert "NaN" not in (out / "manifest.json").read_text()
    json.dumps(found.summary, allow_nan=False)
    with rasterio.open(out / "CVA.tif") as cva, rasterio.open(out / "S2-CD.tif") as kinds:
        amplitude, labels = cva.read(1), kinds.read(1)
    assert np.isnan(amplitude[labels == 255]).all()
    if found.summary["compared_pixels"] > 1000:
        assert not np.isnan(amplitude[labels != 255]).any()
    assert not np.isinf(amplitude).any()
    assert found.summary["changed_pixels"] == ((labels > 0) & (labels < 255)).sum()


def with_valid(pixels: int) -> np.ndarray:
    dn = np.zeros((4, SIDE, SIDE))
    dn.reshape(4, -1)[:, 1000 : 1000 + pixels] = texture()[:, 0, :pixels] + 300
    return dn


@pytest.mark.parametrize("pixels", [0, 1, 3, 60])
def test_images_of_hardly_a_valid_pixel_give_defined_results_and_a_warning(
    pixels: int, images: Any, tmp_path: Path
) -> None:
    found = gs.detect_changes(*images(with_valid(pixels), texture(2)), tmp_path / "out", workers=1, **READ)
    assert_defined(tmp_path / "out", found)
    assert found.summary["compared_pixels"] == pixels
    assert found.summary["changed_pixels"] == 0
    assert {"Cloud"} <= {warning.name for warning in found.warnings}


def test_a_product_under_one_cloud_gives_defined_results_and_a_warning(
    plain_imagery: Any, write_safe_pair: Any, tmp_path: Path
) -> None:
    class Overcast(plain_imagery):  # type: ignore[misc]
        shape = (240, 240)

        def scl(self, window: Any) -> Any:
            return np.full(window.shape, 9, np.uint8)

    class Pair:
        before = after = Overcast()

    paths = write_safe_pair(Pair, tmp_path / "products", bands="B02,B03,B04,B08")
    found = gs.detect_changes(*paths, tmp_path / "out", workers=1)
    assert_defined(tmp_path / "out", found)
    assert found.summary["compared_pixels"] == 0
    assert {"Cloud"} <= {warning.name for warning in found.warnings}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "options",
    [{}, {"context": "none"}, {"detect_method": "irmad"}, {"fdr": 0.05}, {"estimator": "textbook"},
     {"normalization": "diag"}],
    ids=str,
)  # fmt: skip
def test_an_image_does_not_differ_from_itself(options: dict[str, Any], images: Any, tmp_path: Path) -> None:
    path = images(texture(), texture())[0]
    found = gs.detect_changes(path, path, tmp_path / "out", **READ, **options)
    assert_defined(tmp_path / "out", found)
    assert found.summary["changed_pixels"] == 0
    assert found.summary["compared_pixels"] == SIDE * SIDE


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("options", [{}, {"context": "none"}], ids=str)
def test_identical_images_but_for_one_square_differ_in_it(options: dict[str, Any], images: Any, tmp_path: Path) -> None:
    later = texture()
    later[:, 60:80, 20:40] += 1500
    found = gs.detect_changes(*images(texture(), later), tmp_path / "out", **READ, **options)
    assert_defined(tmp_path / "out", found)
    with rasterio.open(tmp_path / "out" / "S2-CD.tif") as file:
        kinds = file.read(1)
    assert (kinds[60:80, 20:40] > 0).all()
    assert found.summary["changed_pixels"] <= 26 * 26


@pytest.mark.usefixtures("quick")
def test_a_flat_image_gives_defined_results(images: Any, tmp_path: Path) -> None:
    flat = np.full((4, SIDE, SIDE), 500.0)
    found = gs.detect_changes(*images(flat, texture()), tmp_path / "out", **READ)
    assert_defined(tmp_path / "out", found)


# ---- W3, W4: the output folder -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["taken/out", "n" * 300, "/sys/groundshift"])
def test_a_folder_that_cannot_be_is_exit_code_73(name: str, images: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write|cannot be") as caught:
        gs.detect_changes(*images(texture(), texture(2)), tmp_path / name, **READ)
    assert caught.value.exit_code == 73


class Watched:
    """Progress that calls back at the n-th step of a stage."""

    def __init__(self, stage: str, step: int, callback: Any) -> None:
        self.watched, self.left, self.callback = stage, step, callback

    @contextlib.contextmanager
    def stage(self, name: str, total: float) -> Iterator[Any]:
        def advance(amount: float = 1) -> None:
            if name == self.watched:
                self.left -= 1
                if self.left == 0:
                    self.callback()

        yield advance


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("stage", ["read", "compare", "write"])
def test_a_folder_that_vanishes_meanwhile_is_exit_code_73(stage: str, images: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises((OutputError, ProductError)) as caught:
        gs.detect_changes(
            *images(texture(), texture(2)), out, progress=Watched(stage, 1, lambda: shutil.rmtree(out)), **READ
        )
    assert caught.value.exit_code in (65, 73)


@pytest.mark.usefixtures("quick")
def test_results_of_another_job_stay_unless_forced(images: Any, tmp_path: Path) -> None:
    paths, out = images(texture(), texture(2)), tmp_path / "out"
    gs.detect_changes(*paths, out, **READ)
    before = rasters(out)
    with pytest.raises(OutputError, match="--force") as caught:
        gs.detect_changes(*paths, out, confidence=99, context="none", **READ)
    assert caught.value.exit_code == 73
    assert rasters(out) == before
    gs.detect_changes(*paths, out, confidence=99, context="none", force=True, **READ)
    assert rasters(out)["S2-CD.tif"] != before["S2-CD.tif"]


@pytest.mark.usefixtures("quick")
def test_files_of_somebody_else_stay_unless_forced(images: Any, tmp_path: Path) -> None:
    paths, out = images(texture(), texture(2)), tmp_path / "out"
    out.mkdir()
    (out / "CVA.tif").write_text("mine")
    with pytest.raises(OutputError, match=r"CVA\.tif.*--force"):
        gs.detect_changes(*paths, out, **READ)
    assert (out / "CVA.tif").read_text() == "mine"
    gs.detect_changes(*paths, out, force=True, **READ)
    assert set(rasters(out)) == {"CVA.tif", "S2-CD.tif"}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "step", ["results._write_polygons", "export.write", "export.styles.write_qml", "results._report"]
)
def test_results_that_cannot_all_be_written_leave_none(
    images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: Any) -> Path:
        raise OutputError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(f"groundshift.pipelines.{step}", full)
        with pytest.raises(OutputError):
            gs.detect_changes(*images(texture(), texture(2)), tmp_path / "out", **READ)
    assert {name for name in results_in(tmp_path / "out") if name.endswith((".tif", ".json", ".png"))} == set()
    gs.detect_changes(*images(texture(), texture(2)), tmp_path / "out", **READ)


def command(paths: Any, out: Path, *more: str) -> list[str]:
    options = ["--band-order", "B2,B3,B4,B8", "--scale", "10000", "--workers", "1", "--outdir", str(out), *more]
    return [sys.executable, "-m", "groundshift", "change", *map(str, paths), *options]


@pytest.mark.slow
def test_two_runs_into_one_folder_wait_for_each_other_and_agree(images: Any, tmp_path: Path) -> None:
    paths = images(texture(), texture(2))
    gs.detect_changes(*paths, tmp_path / "alone", workers=1, **READ)
    line = command(paths, tmp_path / "both", "--json")
    runs = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=250) for run in runs]
    assert sorted(run.returncode for run in runs) in ([0, 0], [0, 75]), said
    assert rasters(tmp_path / "both") == rasters(tmp_path / "alone")
    assert not (tmp_path / "both" / ".groundshift-work").exists()


# ---- interruptions -------------------------------------------------------------------------------------------------


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the units of reading that were done."""
    from groundshift.pipelines import ingest

    done: list[str] = []
    whole = ingest.run_unit

    def counted(unit: Any) -> str:
        done.append(unit.key)
        return whole(unit)

    monkeypatch.setattr(ingest, "run_unit", counted)
    return done


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("torn", [False, True])
def test_what_was_read_before_an_interruption_is_not_read_again(
    torn: bool, units: list[str], images: Any, tmp_path: Path
) -> None:
    paths, out = images(texture(), texture(2)), tmp_path / "out"
    gs.detect_changes(*paths, tmp_path / "whole", **READ)
    every = len(units)
    units.clear()
    with pytest.raises(KeyboardInterrupt):
        gs.detect_changes(*paths, out, progress=Watched("read", 4, interrupt), **READ)
    assert results_in(out) == {".groundshift-work"}
    assert len(units) == 4
    if torn:
        journal = next(out.glob(".groundshift-work/*/journal.txt"))
        journal.write_text(journal.read_text()[:-3])
    gs.detect_changes(*paths, out, **READ)
    assert len(units) == every + torn
    assert rasters(out) == rasters(tmp_path / "whole")
    assert not (out / ".groundshift-work").exists()


@pytest.mark.usefixtures("quick")
def test_what_was_read_is_known_again_in_a_copy_but_not_in_the_other_role(
    units: list[str], images: Any, tmp_path: Path
) -> None:
    paths = images(texture(), texture(2))
    copies = [Path(shutil.copy(path, tmp_path / f"copy-of-{path.name}")) for path in paths]
    gs.detect_changes(*paths, tmp_path / "whole", **READ)
    for out, again, read in ((tmp_path / "out", copies, False), (tmp_path / "other", copies[::-1], True)):
        with pytest.raises(KeyboardInterrupt):
            gs.detect_changes(*paths, out, progress=Watched("fit", 1, interrupt), **READ)
        units.clear()
        gs.detect_changes(*again, out, **READ)
        assert bool(units) == read
        assert (rasters(out) == rasters(tmp_path / "whole")) != read
        inputs = json.loads((out / "manifest.json").read_text())["inputs"]
        assert [each["href"] for each in inputs] == list(map(str, again))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("stage", ["fit", "compare", "kinds", "write"])
def test_an_interruption_at_any_stage_is_made_good_by_the_next_run(
    stage: str, units: list[str], images: Any, tmp_path: Path
) -> None:
    paths, out = images(texture(), texture(2)), tmp_path / "out"
    gs.detect_changes(*paths, tmp_path / "whole", **READ)
    with pytest.raises(KeyboardInterrupt):
        gs.detect_changes(*paths, out, progress=Watched(stage, 1, interrupt), **READ)
    assert not (out / "manifest.json").exists()
    units.clear()
    gs.detect_changes(*paths, out, **READ)
    assert units == []
    assert rasters(out) == rasters(tmp_path / "whole")
    assert not (out / ".groundshift-work").exists()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("what", ["image", "area", "mask"])
def test_what_changed_on_disk_since_the_interruption_is_read_again(
    what: str, images: Any, write_raster: Any, tmp_path: Path
) -> None:
    paths, out = images(texture(), texture(2)), tmp_path / "out"
    mask = write_raster(tmp_path / "mask.tif", np.ones((SIDE, SIDE), np.uint8))
    area = tmp_path / "area.geojson"
    area.write_text(square(500_100, 5_099_900))
    options = {"aoi": str(area), "mask_before": str(mask), "stats_extent": "aoi"} | READ
    options["normalise_extent"] = options.pop("stats_extent")
    with pytest.raises(KeyboardInterrupt):
        gs.detect_changes(*paths, out, progress=Watched("fit", 1, interrupt), **options)
    time.sleep(0.02)
    if what == "image":
        images(texture(3), texture(2))
    elif what == "area":
        area.write_text(square(500_150, 5_099_800))
    else:
        write_raster(mask, np.tri(SIDE, dtype=np.uint8))
    gs.detect_changes(*paths, out, **options)
    gs.detect_changes(*paths, tmp_path / "new", **options)
    assert rasters(out) == rasters(tmp_path / "new")


def square(x: float, y: float) -> str:
    from pyproj import Transformer

    there = Transformer.from_crs(32633, 4326, always_xy=True)
    ring = [there.transform(x + dx, y - dy) for dx, dy in ((0, 0), (900, 0), (900, 900), (0, 900), (0, 0))]
    return json.dumps({"type": "Polygon", "coordinates": [ring]})


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["read", "write"])
def test_a_terminated_run_leaves_nothing_half_and_no_process(stage: str, images: Any, tmp_path: Path) -> None:
    paths, out = images(texture(1, (400, 400)), texture(2, (400, 400))), tmp_path / "out"
    run = subprocess.Popen(command(paths, out), stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert run.stderr is not None
    for line in itertools.takewhile(lambda text: not text.startswith(f"{stage}:"), run.stderr):
        assert "error" not in line
    os.kill(run.pid, signal.SIGTERM)
    run.communicate(timeout=60)
    assert run.returncode in (-signal.SIGTERM, 130, 143, 0)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a worker lives on")
    rasters(out)
    again = subprocess.run(command(paths, out), capture_output=True, text=True, check=False, timeout=200)
    assert again.returncode == 0, again.stderr
    gs.detect_changes(*paths, tmp_path / "whole", workers=1, **READ)
    assert rasters(out) == rasters(tmp_path / "whole")
    assert {name for name in results_in(out) if name.startswith(".")} == set()
