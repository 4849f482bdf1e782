"""W6: what a run goes on from is decided by what files hold, not by their times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from groundshift.io import digests
from groundshift.io.digests import Digests
from groundshift.pipelines import running


def test_a_run_is_the_same_where_files_were_touched_and_another_where_they_hold_something_else(tmp_path: Path) -> None:
    file = tmp_path / "B02.tif"
    file.write_bytes(b"pixels")
    first = running.identity([], [], (), [str(file)])
    os.utime(file, ns=(1, 1))
    assert running.identity([], [], (), [str(file)]) == first
    file.write_bytes(b"pixelS")
    os.utime(file, ns=(1, 1))
    assert running.identity([], [], (), [str(file)]) != first


def test_a_file_is_read_again_only_where_its_size_or_time_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, kept = tmp_path / "B02.tif", tmp_path / "digests.json"
    file.write_bytes(b"pixels")
    known = Digests(kept)
    found = known.of(file)
    known.save()
    with monkeypatch.context() as patch:
        patch.setattr(digests.hashlib, "file_digest", lambda *_: pytest.fail("read again"))
        assert Digests(kept).of(file) == found
    os.utime(file, ns=(1, 1))
    assert Digests(kept).of(file) == found
    file.write_bytes(b"more pixels")
    assert Digests(kept).of(file) != found
    kept.write_text("[")
    assert Digests(kept).of(file) == Digests().of(file)


def test_a_folder_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        Digests().of(tmp_path)
