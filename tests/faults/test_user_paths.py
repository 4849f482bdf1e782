"""U4: paths with spaces, letters beyond ASCII, 250 letters, a leading dash. Those of pictures are in end_to_end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from groundshift.cli.main import _groundshift, guarded
from groundshift.pipelines import jobfile

NAMES = {
    "spaces": "a map of my field.tif",
    "letters": "Überschwemmung 水.tif",
    "long": "x" * 246 + ".tif",
    "dash": "-map.tif",
    "quote": 'it\'s "quoted" & $HOME.tif',
    "percent": "100 %20 {0} [bold].tif",
}


def _run(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "groundshift", *argv]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=120)


def _write(path: Path) -> None:
    layout = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": 40, "width": 40, "crs": "EPSG:32756"}
    with rasterio.open(path, "w", **layout, transform=from_origin(0, 0, 10, 10)) as file:
        file.write(np.tri(40, dtype=np.uint8)[None])


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_map_of_any_name_is_evaluated(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(tmp_path / name)
    assert guarded(_groundshift, ["evaluate", "--json", "--truth", name, "--", name], "groundshift") == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["map"], err) == (name, "")


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_job_file_of_any_name_is_written_and_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"input.before": name, "input.after": name, "output.outdir": name}
    jobfile.save(jobfile.make_job(given), tmp_path / name)
    assert jobfile.load(tmp_path / name) == jobfile.make_job(given)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    monkeypatch.chdir(tmp_path)
    assert guarded(_groundshift, ["run", "--set", "detect.confidence=101", "--", name], "groundshift") == 64
    assert name in capsys.readouterr().err


def test_a_name_that_is_too_long_for_the_file_system_is_exit_code_73(tmp_path: Path) -> None:
    found = _run(tmp_path, "change", "A", "B", "-o", "O", "--save-config", "x" * 300)
    assert found.returncode == 73
    assert found.stderr.count("\n") == 1
