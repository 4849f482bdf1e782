"""W4: two runs that share an output folder; R13: a decoder that crashes takes its worker with it, not the run."""

from __future__ import annotations

import hashlib
import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from groundshift.errors import ProductError
from groundshift.execution.pool import Pool

_RUN = """
import sys, time
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pathlib import Path
from groundshift.errors import GroundshiftError
from groundshift.execution.lock import hold
from groundshift.io.atomic import sweep
from groundshift.io.cog import BandTag, export
from groundshift.io.planes import Planes
from groundshift.model.grid import Window

out, wait_s, work_s = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
try:
    with hold(out, wait_s):
        sweep(out)
        print("held", flush=True)
        scratch = out / ".scratch"
        scratch.mkdir(exist_ok=True)
        planes = Planes.create(scratch / "a.bin", (1, 600, 600), "float32")
        planes.write(Window(0, 600, 0, 600), np.random.default_rng(0).random((1, 600, 600)))
        grid = GeoBox((600, 600), Affine(10, 0, 334000, 0, -10, 6252000), "EPSG:32756")
        time.sleep(work_s)
        export(planes, grid, out / "CVA.tif", bands=[BandTag("amplitude")])
        planes.delete()
        scratch.rmdir()
except GroundshiftError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def _run(out: Path, wait_s: float, work_s: float = 0.3) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _RUN, str(out), str(wait_s), str(work_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_two_runs_in_one_folder_follow_each_other_and_write_the_same(tmp_path: Path) -> None:
    alone, both = tmp_path / "alone", tmp_path / "both"
    with _run(alone, 30) as single:
        single.communicate()
    with _run(both, 30) as first, _run(both, 30) as second:
        assert (first.wait(60), second.wait(60)) == (0, 0)
        first.communicate()
        second.communicate()
    assert _digest(both / "CVA.tif") == _digest(alone / "CVA.tif")
    assert sorted(file.name for file in both.iterdir()) == [".groundshift.lock", "CVA.tif"]


def test_a_run_that_cannot_wait_ends_with_75_and_harms_nothing(tmp_path: Path) -> None:
    with _run(tmp_path / "out", 30, work_s=4) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with _run(tmp_path / "out", 0) as second:
            _, said = second.communicate()
        assert second.returncode == 75
        assert f"process {first.pid}" in said
        assert first.wait(60) == 0
        first.communicate()
    assert (tmp_path / "out" / "CVA.tif").exists()


def test_a_decoder_that_crashes_is_exit_code_65_and_the_others_go_on() -> None:
    with Pool(2) as pool:
        for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
            with pytest.raises(ProductError, match=f"{number.name} while reading A.zip, band B02") as caught:
                pool.run(signal.raise_signal, [number], describe=lambda _: "while reading A.zip, band B02")
            assert caught.value.exit_code == 65
        assert pool.run(math.sqrt, [4, 9, 16]) == [2, 3, 4]
