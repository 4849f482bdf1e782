"""Faults of a mosaic: nothing left to make it of, what cannot be asked for, and runs that are killed or interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio

from groundshift.cli.main import _groundshift, guarded
from groundshift.io.drivers import check_structure
from groundshift.testing.safe import write_safe

READ = ("--band-order", "B4,B3,B2,B8", "--scale", "10000", "--clouds", "none")


class Overcast:
    """A small scene of one SCL class everywhere."""

    shape = (120, 120)
    sun = (40.0, 30.0)
    saturates = False

    def __init__(self, scl: int = 4) -> None:
        self._scl = scl

    def reflectance(self, window: Any, bands: Any, resolution_m: int = 10) -> Any:
        y, x = np.mgrid[window.y0 : window.y1, window.x0 : window.x1]
        wave = 0.1 + 0.05 * np.sin(y * resolution_m / 170) * np.cos(x * resolution_m / 130)
        return np.repeat(wave[None], len(bands), axis=0).astype(np.float32)

    top_of_atmosphere = reflectance

    def scl(self, window: Any) -> Any:
        return np.full(window.shape, self._scl, np.uint8)


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small products: clear, wholly cloudy, without B08, and one 30 km away."""
    folder = tmp_path_factory.mktemp("products")

    def write(day: int, scl: int = 4, bands: str = "B02,B03,B04,B08", east_m: int = 0) -> Path:
        time = datetime(2021, 3, day, 0, 2, 41, tzinfo=UTC)
        return write_safe(Overcast(scl), folder, bands=bands, sensing_time=time, corner=(300_000 + east_m, 6_300_000))

    return {"clear": write(5), "cloud": write(10, 9), "bare": write(15, bands="B02,B03,B04"),
            "far": write(20, east_m=30_000)}  # fmt: skip


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in this process."""
    from groundshift.execution.pool import Pool
    from groundshift.pipelines import mosaic

    monkeypatch.setattr(mosaic, "open_pool", lambda *_, **__: Pool(0))


def mosaic(*arguments: object) -> int:
    return guarded(_groundshift, ["mosaic", *map(str, arguments), "--quiet"], "groundshift")


def results_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != ".groundshift.lock"} if folder.is_dir() else set()


def rasters(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.glob("*.tif")):
        check_structure(str(path))
        found[path.name] = path.read_bytes()
    return found


# ---- one clear sentence --------------------------------------------------------------------------------------------

DATA = [
    (("clear",), ("--dates", "2019-01-01/2019-01-31"), 65, "no scene of 1 is left", "sensed on 2021-03-05"),
    (("clear",), ("--aoi", "POLYGON((10 50, 11 50, 11 51, 10 50))"), 65, "area of interest", "overlap"),
    (("clear", "far"), ("--aoi", "POLYGON((150.96 -33.42, 150.98 -33.42, 150.98 -33.424, 150.96 -33.42))"), 65,
     "area of interest lies outside of all scenes", "--aoi"),
    (("clear", "bare"), (), 66, "has no B08", "--bands"),
    (("clear",), ("--bands", "B4,B11"), 66, "has no B11", "--bands"),
    (("cloud",), (), 65, "nothing of the 1 scenes is clear", "--mask-classes"),
    (("cloud", "clear"), ("--max-cloud", "50", "--dates", "2021-03-10"), 65, "no scene of 2 is left", "% cloud"),
    (("clear",), ("--strict", "--bands", "B4,B3,B2", "--no-verify"), 65, "Unverified", "--strict"),
]  # fmt: skip


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(("names", "options", "code", "said", "advice"), DATA)
def test_what_cannot_be_made_is_one_sentence_and_leaves_nothing(
    names: tuple[str, ...],
    options: tuple[str, ...],
    code: int,
    said: str,
    advice: str,
    products: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = mosaic(*(products[name] for name in names), "--outdir", tmp_path / "out", *options)
    err = capsys.readouterr().err
    assert (found, err.count("\n")) == (code, 1), err
    assert said in err
    assert advice in err
    assert results_in(tmp_path / "out") == set()


USAGE = [
    (("--method", "meidan"), "--method", "median"),
    (("--bands", "B4,B99"), "--bands", "B99"),
    (("--dates", "2021-13-01"), "--dates", "2023-06-01/2023-08-31"),
    (("--dates", "2021-03-02/2021-03-01"), "--dates", "earlier first"),
    (("--max-cloud", "101"), "--max-cloud", "100"),
    (("--percentile", "many"), "--percentile", "number"),
    (("--mask-classes", "3,12"), "--mask-classes", "11"),
    (("--projection", "EPSG:nonsense"), "--projection", "EPSG:n"),
    (("--memory", "much"), "memory", "2G"),
    (("--bands", "B4,B3", "--eight-bit"), "--eight-bit", "--bands"),
    (("--blend", "soft"), "--blend", "feather"),
    (("--format", "WORD"), "WORD", "format"),
]


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(("options", "said", "advice"), USAGE, ids=lambda value: "".join(value)[:20])
def test_what_cannot_be_asked_for_is_one_sentence_and_code_2(
    options: tuple[str, ...],
    said: str,
    advice: str,
    products: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = mosaic(products["clear"], "--outdir", tmp_path / "out", *options)
    err = capsys.readouterr().err
    assert (code, err.count("\n")) == (2, 1), err
    assert said in err
    assert advice in err
    assert len(err) < 400
    assert results_in(tmp_path / "out") == set()


@pytest.mark.usefixtures("inline")
def test_a_scene_that_is_not_there_is_code_66(
    products: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mosaic(products["clear"], tmp_path / "gone.SAFE", "--outdir", tmp_path / "out") == 66
    assert "gone.SAFE" in capsys.readouterr().err
    assert results_in(tmp_path / "out") == set()


@pytest.mark.usefixtures("inline")
def test_a_file_in_the_place_of_the_folder_is_code_73(products: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    assert mosaic(products["clear"], "--outdir", tmp_path / "out") == 73
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.usefixtures("inline")
def test_files_of_somebody_else_stay_unless_forced(products: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "mosaic.tif").write_text("mine")
    assert mosaic(products["clear"], "--outdir", tmp_path) == 73
    assert (tmp_path / "mosaic.tif").read_text() == "mine"
    assert mosaic(products["clear"], "--outdir", tmp_path, "--force") == 0
    assert set(rasters(tmp_path)) == {"mosaic.tif", "evidence.tif"}


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("band", ["B03", "SCL"])
def test_a_damaged_band_ends_the_run_before_any_result(
    band: str, products: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(products["clear"], tmp_path / "copy" / products["clear"].name))
    file = next(copy.glob(f"GRANULE/*/IMG_DATA/**/*_{band}_*.jp2"))
    file.write_bytes(file.read_bytes()[:-50])
    assert mosaic(copy, "--outdir", tmp_path / "out") == 65
    assert file.name in capsys.readouterr().err
    assert results_in(tmp_path / "out") == set()


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("step", ["_provenance", "mosaic_page.render", "pictures.png", "stac_item.write_item"])
def test_results_that_cannot_all_be_written_leave_none(
    step: str, products: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundshift.errors import OutputError

    def full(*_: Any, **__: Any) -> Any:
        raise OutputError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(f"groundshift.pipelines.mosaic_results.{step}", full)
        assert mosaic(products["clear"], "--outdir", tmp_path) == 73
    assert results_in(tmp_path) == set()
    assert mosaic(products["clear"], "--outdir", tmp_path) == 0


# ---- values that lie ------------------------------------------------------------------------------------------------


def test_saturated_pixels_are_not_used_where_only_the_lenient_classes_are_clear(tmp_path: Path) -> None:
    from groundshift.io.planes import Planes
    from groundshift.model.grid import Window
    from groundshift.pipelines.ingest import MASKED, Stack
    from groundshift.pipelines.mosaic_layers import LENIENT, LayerStack
    from groundshift.radiometry.reflectance import EMPTY, USABLE

    window = Window(0, 2, 0, 3)
    dn, mask = (
        Planes.create(tmp_path / "dn.bin", (1, 2, 3), "uint16"),
        Planes.create(tmp_path / "m.bin", (1, 2, 3), "uint8"),
    )
    dn.write(window, np.array([[[2000, 65535, 0], [2000, 65535, 0]]], np.uint16))
    mask.write(window, np.array([[[LENIENT] * 3, [USABLE] * 3]], np.uint8))
    reflectance, codes = LayerStack(Stack(dn, mask, (1e-4,), (-1000.0,)), window, 0.0).read(window)
    assert codes.tolist() == [[LENIENT, MASKED, EMPTY], [USABLE, MASKED, EMPTY]]
    assert reflectance[0, :, 0] == pytest.approx(0.1)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, write_raster: Any) -> list[str]:
    """Three overlapping rasters of four bands, their clouds as no data. Damage only copies."""
    from affine import Affine

    rng = np.random.default_rng(4)
    ground = np.kron(rng.random((4, 16, 24)) * 3000 + 300, np.ones((1, 20, 20)))
    paths, folder = [], tmp_path_factory.mktemp("images")
    for i in range(3):
        dn = ground[:, :, 80 * i : 80 * i + 320] * (1 + 0.04 * i) + rng.normal(0, 20, (4, 320, 320))
        dn[:, 100 * i : 100 * i + 40, 50:150] = 0
        where = {"transform": Affine(10, 0, 500_000 + 800 * i, 0, -10, 5_100_000)}
        paths.append(str(write_raster(folder / f"scene-{i}.tif", dn.astype(np.uint16), nodata=0, **where)))
    return paths


@pytest.mark.usefixtures("inline")
def test_pixels_that_contradict_the_offset_end_the_run_unless_one_is_trusted(
    images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = [shutil.copy(path, tmp_path) for path in images[:2]]
    for path in copies:
        with rasterio.open(path, "r+") as file:
            file.write(np.maximum(file.read(), 1) // 4)
    plain = (*READ, "--method", "median")
    shifted = (*plain, "--offset", "-1000")
    assert mosaic(*copies, "--outdir", tmp_path / "out", *shifted) == 65
    assert "--trust" in capsys.readouterr().err
    assert results_in(tmp_path / "out") == set()
    assert mosaic(*copies, "--outdir", tmp_path / "out", *shifted, "--trust", "pixels") == 0
    assert mosaic(*copies, "--outdir", tmp_path / "right", *plain, "--offset", "0") == 0
    assert rasters(tmp_path / "out") == rasters(tmp_path / "right")


# ---- killed and interrupted ----------------------------------------------------------------------------------------


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stopped(images: list[str], out: Path, sent: signal.Signals) -> tuple[int, str, set[str]]:
    """Start a run in blocks of 128 pixels and stop it amid composing; its code, its words, and the blocks it did."""
    command = [sys.executable, "-m", "groundshift", "mosaic", *images, "--outdir", str(out), *READ]
    command += ["--workers", "1", "--memory", "760M", "--quiet"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=_heed_ctrl_c
    )
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        if any(path.read_text().count('["block') >= 3 for path in out.glob(".groundshift-work/*/journal.txt")):
            os.killpg(process.pid, sent)
            break
        time.sleep(0.005)
    _, err = process.communicate(timeout=60)
    journal = next(out.glob(".groundshift-work/*/journal.txt")).read_text()
    lines = [line for line in journal.splitlines() if line.startswith("[") and line.endswith("]")]
    return process.returncode, err, {json.loads(line)[0] for line in lines}


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the blocks that were composed in this process."""
    from groundshift.pipelines import ingest, mosaic_blocks

    done: list[str] = []
    compose = mosaic_blocks.compose

    def counted(work: Any) -> Any:
        done.append(work.key)
        return compose(work)

    def unread(_: Any) -> Any:
        raise AssertionError("a scene was read again")

    monkeypatch.setattr(mosaic_blocks, "compose", counted)
    monkeypatch.setattr(ingest, "run_unit", unread)
    return done


@pytest.fixture(scope="module")
def expected(images: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run without interruption gives."""
    from groundshift.execution.pool import Pool
    from groundshift.pipelines import mosaic as pipeline

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pipeline, "open_pool", lambda *_, **__: Pool(0))
        out = tmp_path_factory.mktemp("whole")
        assert mosaic(*images, "--outdir", out, *READ) == 0
    return rasters(out)


@pytest.fixture(scope="module")
def killed(images: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """What a run that was killed amid composing left, to be copied, and the blocks that it did."""
    out = tmp_path_factory.mktemp("killed") / "out"
    code, _, done = stopped(images, out, signal.SIGKILL)
    assert code == -signal.SIGKILL
    return out, done


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(("memory", "same_blocks"), [("760M", True), ("2G", False)])
def test_killed_amid_composing_the_next_run_does_what_is_missing_and_gives_the_same_bytes(
    memory: str,
    same_blocks: bool,
    images: list[str],
    expected: dict[str, bytes],
    killed: tuple[Path, set[str]],
    composed: list[str],
    tmp_path: Path,
) -> None:
    out, done = Path(shutil.copytree(killed[0], tmp_path / "out")), killed[1]
    assert results_in(out) == {".groundshift-work"}
    every = 3 * 4
    assert 3 <= len(done) < every
    copies = [shutil.copy(path, tmp_path) for path in images]
    assert mosaic(*copies, "--outdir", out, *READ, "--workers", "1", "--memory", memory) == 0
    assert rasters(out) == expected
    assert not (out / ".groundshift-work").exists()
    if same_blocks:
        assert set(composed).isdisjoint(done)
        assert len(composed) + len(done) == every


@pytest.mark.usefixtures("inline")
def test_ctrl_c_is_code_130_and_the_next_run_goes_on(
    images: list[str], expected: dict[str, bytes], composed: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, err, done = stopped(images, out, signal.SIGINT)
    assert code == 130, err
    assert "Run it again with:\ngroundshift mosaic " in err
    assert "Traceback" not in err
    assert results_in(out) == {".groundshift-work"}
    assert mosaic(*images, "--outdir", out, *READ, "--workers", "1", "--memory", "760M") == 0
    assert rasters(out) == expected
    assert set(composed).isdisjoint(done)


@pytest.mark.usefixtures("inline")
def test_killed_while_the_masks_are_removed_the_next_run_goes_on(
    products: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(folder: Path, **_: Any) -> None:
        (folder / "codes.bin").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("groundshift.pipelines.mosaic_layers.shutil", SimpleNamespace(rmtree=half))
        assert mosaic(products["clear"], "--outdir", tmp_path) == 130
    assert mosaic(products["clear"], "--outdir", tmp_path) == 0
