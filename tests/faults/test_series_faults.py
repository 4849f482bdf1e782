"""Faults of a series: too little to compare, what cannot be asked for, and results of others in the way."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from groundshift.cli.main import _groundshift, guarded
from groundshift.execution.crew import WorkerDied
from groundshift.execution.pool import Pool
from groundshift.pipelines import (
    series,
    series_alerts,
    series_fit,
    series_pairs,
    series_plan,
    series_rasters,
    series_scenes,
    series_step,
)
from groundshift.testing.safe import write_safe

AREA = "POLYGON((150.0 -33.0, 150.1 -33.0, 150.1 -33.1, 150.0 -33.0))"


class Ground:
    """A small scene of one SCL class everywhere, with noise of its own."""

    shape = (120, 120)
    sun = (40.0, 30.0)
    saturates = False

    def __init__(self, seed: int, scl: int = 4) -> None:
        self._seed, self._scl = seed, scl

    def reflectance(self, window: Any, bands: Any, resolution_m: int = 10) -> Any:
        y, x = np.mgrid[window.y0 : window.y1, window.x0 : window.x1]
        wave = 0.15 + 0.1 * np.sin(y * resolution_m / 170) * np.cos(x * resolution_m / 130)
        noise = np.random.default_rng(self._seed + window.y0).normal(0, 0.003, (len(bands), *wave.shape))
        return (wave[None] + noise).astype(np.float32)

    top_of_atmosphere = reflectance

    def scl(self, window: Any) -> Any:
        return np.full(window.shape, self._scl, np.uint8)


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small products: two clear, two cloudy, one without B08, one of another orbit, one of another tile."""
    folder = tmp_path_factory.mktemp("products")

    def write(day: int, scl: int = 4, bands: str = "B02,B03,B04,B08", **options: Any) -> Path:
        time = datetime(2021, 3, day, 0, 2, 41, tzinfo=UTC)
        corner = options.pop("corner", (300_000, 6_300_000))
        return write_safe(Ground(day, scl), folder, bands=bands, sensing_time=time, corner=corner, **options)

    return {"one": write(5), "two": write(10), "three": write(13), "cloud": write(15, 9), "cloud2": write(20, 9),
            "bare": write(25, bands="B02,B03,B04"), "crossed": write(12, relative_orbit=73),
            "far": write(11, corner=(330_000, 6_300_000), tile="56HLH")}  # fmt: skip


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in this process."""
    monkeypatch.setattr(series, "open_pool", lambda *_, **__: Pool(0))


@pytest.mark.parametrize(
    ("scenes", "options", "code", "said"),
    [
        (("one",), (), 65, "a series needs two dates of one place, and one scene was given"),
        (("one", "far"), (), 65, "the only scene of its field of view, 56HKH_R030"),
        (("one", "crossed"), (), 65, "or cross orbits with --orbits any"),
        (("one", "bare"), (), 66, "has no B08"),
        (("one", "cloud"), (), 65, "no field of view has two usable dates (56HKH_R030: 20210315 100 % cloud"),
        (("cloud", "cloud2"), ("--max-cloud", "20"), 65, "100 % cloud, more than 20 %"),
        (("one", "two"), ("--dates", "2031-01-01/2031-02-01"), 65, "sensed on 2021-03-10, not from 2031-01-01"),
        (("one", "two"), ("--dates", "2021-03-10/2021-03-01"), 2, "--dates"),
        (("one", "two"), ("--confirm", "3/2"), 2, "--confirm"),
        (("one", "two"), ("--confirm", "often"), 2, "--confirm"),
        (("one", "two"), ("--threshold", "1.5"), 2, "--threshold"),
        (("one", "two"), ("--orbits", "some"), 2, "--orbits"),
        (("one", "two"), ("--aoi", AREA), 65, "area of interest"),
        (("one", "two"), ("--method", "network", "--bands", "B02,B03"), 65, "take --method statistical"),
        (("one", "two"), ("--method", "network", "--network-weights", "none.onnx"), 66, "none.onnx"),
        (("nothing",), (), 66, "nothing"),
        (("one", "two"), ("--memory", "300M"), 2, "--memory is 300M, and this series needs"),
    ],
)
def test_one_sentence_and_a_code(
    products: dict[str, Path],
    scenes: tuple[str, ...],
    options: tuple[str, ...],
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = [str(products.get(name, name)) for name in scenes]
    arguments = ["series", *paths, *options, "--outdir", str(tmp_path / "out"), "--quiet"]
    assert guarded(_groundshift, arguments, "groundshift") == code
    told = capsys.readouterr().err
    assert said in told
    assert told.count("error:") == 1
    assert "Traceback" not in told
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_results_of_another_job_stay(
    products: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    scenes = [str(products[name]) for name in ("one", "two")]
    asked = ["series", *scenes, "--outdir", str(out), "--json"]
    assert guarded(_groundshift, [*asked, "--min-joint", "100"], "groundshift") == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["fields"][0]["pairs"][0]["reason"] == ""
    assert guarded(_groundshift, asked, "groundshift") == 73
    assert "holds the results of another job" in capsys.readouterr().err


def test_a_pair_without_enough_to_fit_is_skipped_and_listed(
    products: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = [str(products[name]) for name in ("one", "two")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series.series_scenes, "joint_px", lambda *_: 100)
        arguments = ["series", *scenes, "--outdir", str(tmp_path / "out"), "--json", "--no-animation"]
        assert guarded(_groundshift, arguments, "groundshift") == 0
    (pair,) = json.loads(capsys.readouterr().out)["fields"][0]["pairs"]
    assert pair["reason"] == "0.694 % jointly usable, less than 5 %"
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert told["result"]["fields"][0]["pairs"][0]["reason"] == pair["reason"]
    assert not list((tmp_path / "out").glob("PROBABILITY*"))


def test_a_scene_that_cannot_be_read_is_lost_until_it_is_mended(
    products: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Path(shutil.copytree(products["two"], tmp_path / products["two"].name))
    band = next(broken.glob("GRANULE/*/IMG_DATA/**/*_B04_10m.jp2"))
    whole = band.read_bytes()
    band.write_bytes(whole[:-100])
    scenes = [str(products["one"]), str(broken), str(products["three"])]
    arguments = ["series", *scenes, "--outdir", str(tmp_path / "out"), "--json", "--no-animation", "--resume"]
    for _ in range(2):
        assert guarded(_groundshift, arguments, "groundshift") == 70
        told = capsys.readouterr()
        assert "1 scene could not be read, the rest is done" in told.err
        assert band.name in told.err
        found = json.loads(told.out)
        assert [pair["file"] for pair in found["fields"][0]["pairs"]] == ["PROBABILITY_20210305_20210313.tif"]
        assert [scene["lost"] for scene in found["skipped"]] == [True]
    band.write_bytes(whole)
    assert guarded(_groundshift, arguments, "groundshift") == 0
    pairs = json.loads(capsys.readouterr().out)["fields"][0]["pairs"]
    assert [(pair["before"], pair["after"]) for pair in pairs] == [("20210305", "20210310"), ("20210310", "20210313")]
    band.write_bytes(whole[:-100])
    assert guarded(_groundshift, [*arguments, "--strict", "--force"], "groundshift") == 65


# ---- K6: what fails whatever is tried -------------------------------------------------------------------------------


def _digests(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".tif", ".gpkg", ".png")}


def _run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    code = guarded(_groundshift, arguments, "groundshift")
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else {}, told.err


@pytest.fixture(scope="module")
def dates(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Four clear dates."""
    folder = tmp_path_factory.mktemp("dates")
    days = [datetime(2021, 3, day, 0, 2, 41, tzinfo=UTC) for day in (5, 10, 15, 20)]
    return [str(write_safe(Ground(k), folder, bands="B02,B03,B04,B08", sensing_time=day)) for k, day in enumerate(days)]


@pytest.mark.parametrize("what", ["block", "first", "fit", "date"])
def test_k6_what_always_fails_costs_its_block_pair_or_date_and_is_tried_again(
    dates: list[str], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (series_pairs, series_alerts, series_rasters, series_step):
        monkeypatch.setattr(module, "ROWS", 64)
        monkeypatch.setattr(module, "COLUMNS", 64)
    asked = ["series", *dates, "--json", "--no-animation", "--quiet", "--method", "statistical"]
    assert _run([*asked, "--outdir", str(tmp_path / "whole")], capsys)[0] == 0
    again = [*asked, "--outdir", str(tmp_path / "out")]
    with pytest.MonkeyPatch.context() as patch:
        _plant(patch, what)
        code, found, said = _run(again, capsys)
        assert code == 70
        assert said.count("\n") == 1
        assert "the memory did not do" in said
        pairs = found["fields"][0]["pairs"]
        assert [len(each["file"]) > 0 for each in pairs] == {"fit": [True, False, True], "date": [True, True]}.get(
            what, [True, True, True]
        )
        listed = json.loads((tmp_path / "out" / "manifest.json").read_text())["result"]
        if what == "date":
            assert [each["lost"] for each in listed["skipped"]] == [True]
        else:
            assert [each["date"] for each in listed["failed"]] == ["20210305" if what == "first" else "20210315"]
        if what == "block":
            with rasterio.open(tmp_path / "out" / pairs[1]["file"]) as file:
                chance = file.read(1)
            assert np.isnan(chance[64:, :64]).all()
            assert np.isfinite(chance[:64]).all()
            assert "not computed" in (tmp_path / "out" / "report.html").read_text("utf-8")
        if what == "block":
            assert _run(again, capsys)[0] == 70, "it is tried again, and fails again"
            assert _run([*again, "--strict", "--force"], capsys)[0] == 1
    assert _run(again, capsys)[0] == 0
    assert _digests(tmp_path / "out") == _digests(tmp_path / "whole")
    assert len(list((tmp_path / "out").glob(".groundshift-series/*/track/*.npz"))) == 4, "of the last date alone"


_KILLED = """
import os, signal
from groundshift.pipelines import series_step

ours = series_step.run

def run(step):
    if step.before is not None and step.day % 5 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return ours(step)

series_step.run = run
"""


def test_k2_a_unit_whose_worker_is_always_killed_costs_its_block(
    dates: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the system does where memory is short; workers are processes, and the unit is all of the pair."""
    days = [series_plan.number_of(date(2021, 3, day)) for day in (5, 10, 15, 20)]
    (tmp_path / "killed_over_a_pair.py").write_text(_KILLED.replace("step.day % 5 == 0", f"step.day == {days[2]}"))
    monkeypatch.syspath_prepend(str(tmp_path))
    planted = ["killed_over_a_pair"]
    monkeypatch.setattr(series, "open_pool", lambda *_, imports, **__: Pool(2, imports=(*imports, *planted)))
    asked = ["series", *dates, "--json", "--no-animation", "--quiet", "--method", "statistical"]
    asked += ["--outdir", str(tmp_path / "out")]
    code, found, said = _run(asked, capsys)
    assert code == 70
    assert "killed by SIGKILL (out of memory? use fewer --workers or less --memory)" in said
    assert "comparing rows 0 to 120 (tried 3 times, the last time alone)" in said
    pairs = found["fields"][0]["pairs"]
    assert [each["compared_px"] > 0 for each in pairs] == [True, False, True]
    with rasterio.open(tmp_path / "out" / pairs[1]["file"]) as file:
        assert np.isnan(file.read(1)).all()
    planted.clear()
    code, found, said = _run(asked, capsys)
    assert (code, said) == (0, "")
    assert all(each["compared_px"] for each in found["fields"][0]["pairs"])


def _plant(patch: pytest.MonkeyPatch, what: str) -> None:
    """A fault of one block of the third date, of one of the first, of a fit, or in reading the third date."""
    ours, fits, judge = series_step.run, series_fit.run, series_scenes.judge

    def step(unit: Any) -> Any:
        third = unit.day == series_plan.number_of(date(2021, 3, 15))
        wanted = {"block": third, "first": unit.before is None}.get(what, False)
        if wanted and (unit.window.y0, unit.window.x0) == (64, 0):
            raise MemoryError("the memory did not do")
        return ours(unit)

    def fit(unit: Any) -> Any:
        if what == "fit" and unit.dates[1] == "20210315":
            raise WorkerDied("the memory did not do")
        return fits(unit)

    def judged(state: Any, view: Any, reader: Any, folder: Path) -> Any:
        if what == "date" and reader.scene.sensing_time.day == 15:
            raise WorkerDied("the memory did not do")
        return judge(state, view, reader, folder)

    patch.setattr(series_step, "run", step)
    patch.setattr(series_fit, "run", fit)
    patch.setattr(series_scenes, "judge", judged)
