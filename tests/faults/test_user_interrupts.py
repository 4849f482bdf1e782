"""U1: Ctrl-C at any moment: exit code 130, a hint, no half file, no process left, and the next run completes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from groundshift.io.drivers import check_structure

pytest.importorskip("groundshift.pipelines.change")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MOMENTS = 10


def _write(path: Path, reflectance: np.ndarray) -> None:
    layout = {"driver": "GTiff", "count": 4, "dtype": "uint16", "crs": "EPSG:32756", "nodata": 0}
    height, width = reflectance.shape[1:]
    transform = from_origin(300_000, 6_300_000, 10, 10)
    with rasterio.open(path, "w", height=height, width=width, transform=transform, **layout) as file:
        file.write((reflectance * 10_000).astype(np.uint16))


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A run without its output folder."""
    folder = tmp_path_factory.mktemp("pair")
    rng = np.random.default_rng(1)
    ground = 0.05 + 0.3 * np.kron(rng.random((4, 15, 15)), np.ones((1, 20, 20)))
    later = ground + 0.2 * np.pad(np.ones((4, 50, 50)), ((0, 0), (100, 150), (100, 150)))
    _write(folder / "a.tif", ground + rng.normal(0, 0.005, ground.shape).clip(-0.04, 0.04))
    _write(folder / "b.tif", later + rng.normal(0, 0.005, ground.shape).clip(-0.04, 0.04))
    options = ["--band-order", "B2,B3,B4,B8", "--scale", "10000", "--workers", "1", "--force", "--outdir"]
    return [sys.executable, "-m", "groundshift", "change", str(folder / "a.tif"), str(folder / "b.tif"), *options]


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _start(command: list[str], out: Path) -> subprocess.Popen[str]:
    # A shell in the background ignores SIGINT, and so would all that it starts.
    return subprocess.Popen(
        [*command, str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_ctrl_c,
    )


def _hardly_begun(err: str) -> bool:
    """Python was still importing what runs a module, and leaves with code 1 then; not a line of ours had been read."""
    return "groundshift" not in err and ("import runpy" in err or "import the site module" in err)


def _pixels(folder: Path) -> dict[str, bytes]:
    """Every finished raster; one that is there must be complete."""
    found = {}
    for path in sorted(folder.glob("*.tif")):
        check_structure(str(path))
        with rasterio.open(path) as file:
            found[path.name] = file.read().tobytes()
    return found


def _nobody_left(group: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_ctrl_c_at_any_moment_leaves_nothing_half_and_the_next_run_completes(
    command: list[str], tmp_path: Path
) -> None:
    began = time.monotonic()
    whole = _start(command, tmp_path / "whole")
    _, err = whole.communicate(timeout=300)
    assert whole.returncode == 0, err
    takes = time.monotonic() - began
    expected = _pixels(tmp_path / "whole")
    assert {"S2-CD.tif", "CVA.tif"} <= set(expected)
    out, draw, stopped = tmp_path / "out", random.Random(2), 0
    for moment in range(MOMENTS):
        process = _start(command, out)
        time.sleep(takes * (moment + draw.random()) / MOMENTS)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode in (0, 130, -signal.SIGINT) or _hardly_begun(err), err
        if process.returncode == 130:
            stopped += 1
            assert "interrupted" in err
            assert "Run it again with:\ngroundshift change " in err
            assert "Traceback" not in err
        assert _nobody_left(process.pid)
        for name, pixels in _pixels(out).items():
            assert pixels == expected[name]
    assert stopped >= MOMENTS // 2
    again = _start(command, out)
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert _pixels(out) == expected
    assert [path.name for path in out.iterdir() if path.name.endswith(".tmp")] == []
