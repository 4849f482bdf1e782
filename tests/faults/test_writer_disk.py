"""W2 and W3: full disks, folders that cannot be written to, names that cannot be."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from groundshift.errors import OutputError
from groundshift.io.atomic import write_text
from groundshift.io.cog import BandTag, export
from groundshift.io.planes import Planes
from groundshift.io.vector import write_polygons
from groundshift.model.grid import Window

SIZE = 2000
GRID = GeoBox((SIZE, SIZE), Affine(10, 0, 334000, 0, -10, 6252000), "EPSG:32756")


@pytest.fixture
def noise(tmp_path: Path) -> Planes:
    planes = Planes.create(tmp_path / "scratch.bin", (1, SIZE, SIZE), "float32")
    planes.write(Window(0, SIZE, 0, SIZE), np.random.default_rng(0).random((1, SIZE, SIZE), dtype=np.float32))
    return planes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("driver", ["COG", "GTiff", "HFA"])
def test_a_full_disk_is_one_sentence_with_needed_and_free_bytes_and_nothing_stays(
    noise: Planes, small_disk: Path, driver: str
) -> None:
    (small_disk / "map.tif").write_text("of before")
    with pytest.raises(OutputError, match="no space left") as caught:
        export(noise, GRID, small_disk / "map.tif", bands=[BandTag("amplitude")], driver=driver)
    needed, free = map(int, re.findall(r"(\d+) bytes", str(caught.value)))
    assert needed == noise.nbytes
    assert free <= 4 * 2**20
    assert caught.value.exit_code == 73
    assert [file.name for file in small_disk.iterdir()] == ["map.tif"]
    assert (small_disk / "map.tif").read_text() == "of before"


def test_scratch_planes_that_do_not_fit_are_refused_before_any_work(small_disk: Path) -> None:
    with pytest.raises(OutputError, match="about 16000000 bytes are needed"):
        Planes.create(small_disk / "a.bin", (1, SIZE, SIZE), "float32")
    assert not list(small_disk.iterdir())


def test_polygons_and_text_on_a_full_disk_leave_nothing(small_disk: Path) -> None:
    squares = shapely.box(*(np.arange(60_000.0) + shift for shift in (0, 0, 1, 1)))
    many = np.array([shapely.MultiPolygon([square]) for square in squares])
    with pytest.raises(OutputError):
        write_polygons(small_disk / "changes.gpkg", many, {}, crs="EPSG:32756")
    with pytest.raises(OutputError, match="no space left"):
        write_text(small_disk / "report.html", "x" * 8_000_000)
    assert not list(small_disk.iterdir())


def test_a_read_only_disk_is_said(noise: Planes, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OutputError, match="read-only"):
        export(noise, GRID, small_disk / "map.tif", bands=[BandTag("amplitude")])


def test_a_folder_that_vanished_is_said(noise: Planes, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist or has vanished"):
        export(noise, GRID, tmp_path / "gone" / "map.tif", bands=[BandTag("amplitude")])


def test_a_name_that_is_too_long_is_said(noise: Planes, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        export(noise, GRID, tmp_path / ("a" * 300 + ".tif"), bands=[BandTag("amplitude")])
    with pytest.raises(OutputError, match="too long"):
        write_text(tmp_path / ("a" * 300), "x")
    assert {file.name for file in tmp_path.iterdir()} <= {"scratch.bin", "scratch.bin.aux.xml", "scratch.hdr"}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission_is_said(noise: Planes, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="permission"):
        export(noise, GRID, folder / "map.tif", bands=[BandTag("amplitude")])


def test_a_file_of_another_run_is_kept_without_force(noise: Planes, tmp_path: Path) -> None:
    (tmp_path / "map.tif").write_text("theirs")
    with pytest.raises(OutputError, match="--force"):
        export(noise, GRID, tmp_path / "map.tif", bands=[BandTag("amplitude")], force=False)
    assert (tmp_path / "map.tif").read_text() == "theirs"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="a folder has that name"):
        write_text(tmp_path / "folder", "x")
