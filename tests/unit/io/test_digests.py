"""W6: what a run goes on from is decided by what files hold, not by their times."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundshift.io import digests
from groundshift.io.digests import Digests
from groundshift.io.memory import from_arrays
from groundshift.io.opening import open_scene
from groundshift.model.scene import OpenOptions
from groundshift.pipelines import identities
from groundshift.pipelines.features_job import FeaturesJob

JOB: dict[str, Any] = {"input": {"scenes": ["scene"]}, "output": {"out": "stack.tif"}}


def test_a_run_is_the_same_where_files_were_touched_and_another_where_they_hold_something_else(tmp_path: Path) -> None:
    file = tmp_path / "B02.tif"
    file.write_bytes(b"pixels")
    known, options = Digests(), FeaturesJob.model_validate(JOB | {"stack": {"dem": str(file)}}).stack
    first = identities.plain(options, known)
    os.utime(file, ns=(1, 1))
    assert identities.plain(options, known) == first
    file.write_bytes(b"pixelS")
    os.utime(file, ns=(1, 1))
    assert identities.plain(options, known) != first, "same place, size and time of the pixels, one byte another"
    assert identities.plain(options, Digests()) == identities.plain(options, known)


def test_options_are_told_by_what_files_and_folders_hold_wherever_they_lie(tmp_path: Path) -> None:
    places = tmp_path / "one", tmp_path / "two"
    for place in places:
        (place / "weights").mkdir(parents=True)
        (place / "weights" / "net.onnx").write_bytes(b"net")
        (place / "dem.tif").write_bytes(b"heights")

    def told(place: Path, **stack: str) -> list[object]:
        clouds = {"weights": str(place / "weights")}
        job = FeaturesJob.model_validate(JOB | {"stack": {"dem": str(place / "dem.tif")} | stack, "clouds": clouds})
        return [identities.plain(section, Digests()) for section in (job.input, job.stack, job.clouds)]

    assert told(places[0]) == told(places[1])
    assert told(places[0], roads=str(places[0] / "dem.tif")) != told(places[0])
    assert told(places[0], aoi="POINT (1 1)") != told(places[0], aoi="POINT (1 2)")
    (places[1] / "weights" / "net.onnx").rename(places[1] / "weights" / "other.onnx")
    assert told(places[0]) != told(places[1])


def test_images_are_known_by_pixels_and_order_and_not_by_path(tmp_path: Path, write_raster: Any) -> None:
    rng = np.random.default_rng(1)
    options = OpenOptions(band_order=("B04", "B08"), scale=10_000)
    first, second = (
        write_raster(tmp_path / name, rng.integers(1, 9, (2, 8, 8)).astype(np.uint16)) for name in ("a.tif", "b.tif")
    )

    def named(*paths: Path, **more: Any) -> str:
        return identities.of_run([], [open_scene(str(path), replace(options, **more)) for path in paths])

    copy = shutil.copy(first, tmp_path / "copy.tif")
    assert named(copy, second) == named(first, second)
    assert len({named(first, second), named(second, first), named(first, first), named(first)}) == 4
    mask = write_raster(tmp_path / "mask.tif", np.ones((8, 8), np.uint8))
    other = write_raster(tmp_path / "other.tif", np.tri(8, dtype=np.uint8))
    assert len({named(first), named(first, mask=str(mask)), named(first, mask=str(other))}) == 3
    assert named(first, band_order=("B08", "B04")) != named(first)


@pytest.mark.parametrize("zipped", [False, True])
def test_products_are_known_by_what_they_hold(zipped: bool, safe_copy: Path, tmp_path: Path) -> None:
    def placed(folder: str) -> Path:
        (tmp_path / folder).mkdir()
        if zipped:
            base = tmp_path / folder / safe_copy.stem
            return Path(shutil.make_archive(str(base), "zip", safe_copy.parent, safe_copy.name))
        return Path(shutil.copytree(safe_copy, tmp_path / folder / safe_copy.name))

    def named(path: Path) -> str:
        return identities.of_run([], [open_scene(str(path), OpenOptions(verify=False))], known)

    known, product = Digests(), placed("one")
    elsewhere = shutil.copytree(product, tmp_path / "moved.SAFE") if not zipped else shutil.copy(product, tmp_path)
    first = named(product)
    assert named(Path(elsewhere)) == first
    file = product if zipped else next(product.rglob("*_B05_20m.jp2"))
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 1]))
    os.utime(file, ns=(1, 1))
    assert named(product) != first


def test_arrays_in_memory_are_known_by_what_they_hold() -> None:
    def named(value: float) -> str:
        return identities.of_run([], [from_arrays({"B04": np.full((4, 4), value)})])

    assert named(0.1) == named(0.1) != named(0.2)


def test_a_file_is_read_again_only_where_its_size_or_time_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, kept = tmp_path / "B02.tif", tmp_path / "digests.json"
    file.write_bytes(b"pixels")
    os.utime(file, ns=(1, 1))
    known = Digests(kept)
    found = known.of(file)
    known.save()
    with monkeypatch.context() as patch:
        patch.setattr(digests.hashlib, "file_digest", lambda *_: pytest.fail("read again"))
        assert Digests(kept).of(file) == found
    os.utime(file, ns=(1, 1))
    assert Digests(kept).of(file) == found
    file.write_bytes(b"pixelS")
    os.utime(file, ns=(1, 1))
    assert Digests(kept).of(file) != found
    kept.write_text("[")
    assert Digests(kept).of(file) == Digests().of(file)


def test_a_folder_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        Digests().of(tmp_path)
