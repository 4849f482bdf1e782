"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from groundshift.errors import OutputError
from groundshift.io.atomic import atomic, output_error, sweep, write_text


def test_the_final_name_appears_only_at_the_end_with_its_side_files(tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    with atomic(target) as temporary:
        temporary.write_text("x")
        temporary.with_name("a.tif.aux.xml").write_text("y")
        assert not target.exists()
        assert temporary.parent.parent == tmp_path
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tif", "a.tif.aux.xml"]


def test_an_error_in_the_body_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail() -> None:
        with atomic(target) as temporary:
            temporary.write_text("new")
            raise KeyError("body")

    with pytest.raises(KeyError):
        fail()
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_body_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nothing was written"), atomic(tmp_path / "a"):
        pass


def test_without_force_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "first")
    with pytest.raises(OutputError, match="--force"):
        write_text(tmp_path / "a", "second", force=False)
    assert (tmp_path / "a").read_text() == "first"


def test_names_up_to_what_the_file_system_allows_work_with_spaces_and_umlauts(tmp_path: Path) -> None:
    name = "ü b" + "c" * 240
    write_text(tmp_path / name, "x")
    assert (tmp_path / name).read_text() == "x"


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no space"), (errno.EDQUOT, "no space"), (errno.EACCES, "permission"), (errno.EROFS, "read-only")],
)
def test_errors_of_the_system_become_one_sentence(number: int, words: str, tmp_path: Path) -> None:
    error = output_error(OSError(number, os.strerror(number)), tmp_path / "a", needed=5)
    assert words in str(error)
    assert error.exit_code == 73


def test_sweep_removes_what_the_dead_left_and_nothing_else(tmp_path: Path) -> None:
    code = f"""
import os, signal
from groundshift.io.atomic import atomic
with atomic({str(tmp_path / "a.txt")!r}) as t:
    t.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(list(tmp_path.glob(".groundshift-*.tmp"))) == 1
    (tmp_path / "other.tmp").mkdir()
    with atomic(tmp_path / "b.txt") as alive:
        alive.write_text("b")
        assert sweep(tmp_path) == 1
        assert alive.exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b.txt", "other.tmp"]
