"""W1: a writer that is killed at any moment leaves the final name absent or complete."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from groundshift.io.atomic import sweep

_WRITER = """
import sys
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from groundshift.io.cog import BandTag, export
from groundshift.io.planes import Planes
from groundshift.model.grid import Window
from groundshift.model.legend import change_legend

scratch, target, driver, times = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
planes = Planes.create(scratch, (1, 1500, 1500), "uint8")
planes.write(Window(0, 1500, 0, 1500), np.random.default_rng(0).integers(0, 5, (1, 1500, 1500)))
grid = GeoBox((1500, 1500), Affine(10, 0, 334000, 0, -10, 6252000), "EPSG:32756")
print("ready", flush=True)
for _ in range(times):
    export(planes, grid, target, bands=[BandTag("class")], driver=driver, nodata=255, legend=change_legend(4))
"""


def _start(folder: Path, driver: str, times: int) -> subprocess.Popen[bytes]:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-c", _WRITER, str(folder / "scratch.bin"), str(out / "map.tif"), driver, str(times)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def _assert_complete(path: Path, driver: str) -> None:
    expected = np.random.default_rng(0).integers(0, 5, (1, 1500, 1500))
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(), expected)
    assert path.with_name("map.tif.aux.xml").exists()
    if driver == "COG":
        assert cog_validate(path, strict=True)[:2] == (True, [])


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["COG", "GTiff"])
def test_a_killed_writer_leaves_all_or_nothing_and_the_next_run_completes(tmp_path: Path, driver: str) -> None:
    out, moments, left = tmp_path / "out", random.Random(driver), 0
    for _ in range(10):
        (out / "map.tif").unlink(missing_ok=True)
        with _start(tmp_path, driver, times=1000) as process:
            time.sleep(moments.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
        if (out / "map.tif").exists():
            _assert_complete(out / "map.tif", driver)
        left += len(list(out.glob("*.tmp"))) + len(list(out.glob(".*.tmp")))
        sweep(out)
        assert {file.name for file in out.iterdir()} <= {"map.tif", "map.tif.aux.xml"}
    assert left > 0  # else no writer was killed while it wrote, and nothing was tested
    with _start(tmp_path, driver, times=1):
        pass
    _assert_complete(out / "map.tif", driver)
    assert {file.name for file in out.iterdir()} == {"map.tif", "map.tif.aux.xml"}
