"""Notebooks and job files that come with the project run as they are written, in an empty folder."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

import groundshift as gs
from groundshift.cli.main import _groundshift, guarded

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


def execute(name: str, folder: Path) -> dict[str, Any]:
    """Run a notebook in a folder; returns what it defined."""
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        here.setenv("MPLBACKEND", "Agg")
        namespace: dict[str, Any] = {"__name__": "__main__"}
        for number, cell in enumerate(cells(ROOT / "notebooks" / name)):
            exec(compile("".join(cell["source"]), f"cell {number + 1}", "exec"), namespace)
        namespace["plt"].close("all")
    return namespace


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebook of land cover ran: its patch, fields, model and map."""
    folder = tmp_path_factory.mktemp("notebook")
    execute("land_cover_in_ten_lines.ipynb", folder)
    return folder


def test_notebooks_are_kept_without_outputs() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells(path)), path.name


def test_the_notebook_of_land_cover_runs_and_puts_its_map_into_the_patch(place: Path) -> None:
    patch = gs.read_eopatch(place / "patch")
    assert patch["mask_timeless.LULC"].shape == (120, 120)
    assert json.loads((place / "map" / "manifest.json").read_text())["command"] == "landcover predict"


def test_the_notebook_of_change_along_time_finds_what_was_planted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundshift.execution.pool import Pool
    from groundshift.pipelines import series

    monkeypatch.setattr(series, "open_pool", lambda *_, **__: Pool(0))
    defined = execute("change_along_time.ipynb", tmp_path)
    assert [pair["changed_percent"] > 1 for pair in defined["view"]["pairs"]] == [False, True, False]
    assert "skipped: 20210320 100 % cloud" in capsys.readouterr().out
    assert defined["alerts"][0][:2] == ("2021-03-15", "confirmed")
    assert json.loads((tmp_path / "along" / "manifest.json").read_text())["command"] == "series"


def test_the_job_files_of_land_cover_run_and_are_compared(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    shutil.copytree(ROOT / "jobs", place / "jobs")
    run = ("run", "jobs/land_cover.toml", "--set", "output.out=again", "--json")
    assert guarded(_groundshift, [*run], "groundshift") == 0
    told = json.loads(capsys.readouterr().out)
    ours = json.loads((place / "model" / "model.json").read_text())["card"]
    again = json.loads((place / "again" / "model.json").read_text())["card"]
    assert again["features"] == ours["features"], "the notebook and the job file have the same chain"
    assert told["transfer"]["overall_accuracy"] == ours["report"]["transfer"]["overall_accuracy"]
    variants = ["jobs/land_cover.toml", "jobs/land_cover_percentiles.toml"]
    assert guarded(_groundshift, ["landcover", "compare", *variants, "--json"], "groundshift") == 0
    first, second = json.loads(capsys.readouterr().out)["variants"]
    assert first["overall_accuracy"] > 0.5
    assert set(second["differs_in"]) == {"chain.steps.4"}


def test_a_chain_of_steps_is_saved_so_that_it_can_be_read(
    place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from groundshift.pipelines import jobfile

    monkeypatch.chdir(place)
    job = jobfile.load(ROOT / "jobs" / "land_cover.toml")
    text = jobfile.dumps(job)
    assert '\n    {use = "indices", names = ["NDVI", "NDWI", "NORM"]},\n' in text
    jobfile.save(job, tmp_path / "job.toml")
    assert jobfile.load(tmp_path / "job.toml") == job
    assert tomllib.loads(text)["model"]["options"] == {"iterations": 12, "leaves": 7}
