"""``groundshift doctor`` and ``demo``."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from groundshift.cli import doctor
from groundshift.pipelines import jobfile

from .conftest import Recorded

Run = Callable[..., int]


def test_doctor_finds_what_this_machine_has(groundshift: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert groundshift("doctor", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["drivers"]) == {"JP2OpenJPEG", "GTiff", "COG", "PNG", "GPKG"}
    assert all(found["drivers"].values())
    assert {"GDAL", "OpenJPEG", "PROJ", "GEOS", "numpy", "Python"} <= set(found["versions"])
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["memory_bytes"] > 2**28
    assert found["missing"] == []


def test_doctor_without_a_driver_names_it_and_leaves_with_69(
    groundshift: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "NEEDED", doctor.NEEDED | {"NOSUCH": "does nothing"})
    assert groundshift("doctor") == 69
    out = capsys.readouterr().out
    assert "missing: GDAL driver NOSUCH, which does nothing" in out.splitlines()
    assert out.endswith("Something needed is missing.\n")


def test_doctor_without_a_package_says_so_instead_of_failing(
    groundshift: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    assert groundshift("doctor", "--json") == 69
    found = json.loads(capsys.readouterr().out)
    assert any(name.startswith("GDAL: does not load") for name in found["missing"])


def test_doctor_reminds_of_little_memory_and_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "memory_bytes", lambda: 2**30)
    monkeypatch.setattr(doctor, "_free", lambda folder: 2**20)
    remarks = doctor.examine()["remarks"]
    assert len(remarks) == 3
    assert remarks[0] == "1.0 GiB of memory: give --memory less than that."


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the writer of demo products."""

    def write(folder: Path) -> tuple[Path, Path]:
        names = (folder / "before.zip", folder / "after.zip")
        for name in names:
            name.touch()
        return names

    module = types.ModuleType("groundshift.testing.demo")
    module.write_demo_products = write  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "groundshift.testing.demo", module)
    truth = types.ModuleType("groundshift.testing.demo_truth")
    truth.write_demo_truth = truth.write_demo_landcover = Path.touch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "groundshift.testing.demo_truth", truth)


def test_demo_runs_the_main_job_with_the_defaults_and_again(
    products: None, pipeline: Recorded, groundshift: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my demo"
    assert groundshift("demo", str(folder)) == 0
    assert capsys.readouterr().out.endswith(f"Now open {folder / 'result' / 'report.html'}\n")
    assert groundshift("demo", str(folder)) == 0
    assert pipeline.jobs[0] == pipeline.jobs[1] == jobfile.load(folder / "job.toml")
    plain = jobfile.make_job(
        {
            "input.before": str(folder / "products" / "before.zip"),
            "input.after": str(folder / "products" / "after.zip"),
            "output.outdir": str(folder / "result"),
            "output.force": True,
        }
    )
    assert pipeline.jobs[0] == plain


def test_demo_where_a_file_is_in_the_way_is_exit_code_73(groundshift: Run, tmp_path: Path, products: None) -> None:
    (tmp_path / "demo").touch()
    assert groundshift("demo", str(tmp_path / "demo")) == 73
