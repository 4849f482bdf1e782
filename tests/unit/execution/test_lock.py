"""One run at a time in an output folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groundshift.errors import BusyError, OutputError
from groundshift.execution.lock import LOCK_NAME, hold

_HOLD = """
import sys, time
from groundshift.execution.lock import hold
with hold(sys.argv[1]):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def _other(folder: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_gives_up_naming_the_process_that_holds_the_folder(tmp_path: Path) -> None:
    with _other(tmp_path / "out", 30) as other:
        with (
            pytest.raises(BusyError, match=f"process {other.pid} on .*within 0.3 s") as caught,
            hold(tmp_path / "out", 0.3),
        ):
            pass
        other.kill()
    assert caught.value.exit_code == 75


def test_a_second_run_waits_for_the_first(tmp_path: Path) -> None:
    with _other(tmp_path, 0.6):
        begin = time.monotonic()
        with hold(tmp_path, 10):
            assert time.monotonic() - begin > 0.3


def test_the_lock_of_a_killed_run_holds_nobody(tmp_path: Path) -> None:
    with _other(tmp_path, 30) as other:
        other.kill()
    with hold(tmp_path, 1):
        assert str(os.getpid()) in (tmp_path / LOCK_NAME).read_text()


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), hold(tmp_path):
        raise KeyError
    with hold(tmp_path, 0.1):
        pass


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write to"), hold(tmp_path / "file" / "out"):
        pass
