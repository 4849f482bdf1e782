"""What every reader keeps, whatever the product: one suite over all of them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from groundshift.errors import MissingInputError
from groundshift.io.memory import from_arrays
from groundshift.io.opening import open_scene
from groundshift.model.grid import Window, blocks, crop
from groundshift.model.scene import OpenOptions, Reader, Resampling

COARSE = Affine(20, 0, 500000, 0, -20, 5100000)


def landscape(shape: tuple[int, int], seed: int) -> Any:
    y, x = np.indices(shape)
    noise = np.random.default_rng(seed).normal(0, 300, shape)
    dn = (3000 + 1500 * np.sin(y / 9) * np.cos(x / 7) + noise).astype(np.uint16)
    dn[:6, :9] = 0
    return dn


def write_folder(folder: Path, write: Any) -> Path:
    write(folder / "B02.tif", landscape((60, 70), 1))
    write(folder / "B05.tif", landscape((30, 35), 2), transform=COARSE)
    write(folder / "SCL.tif", np.full((30, 35), 4, np.uint8), transform=COARSE)
    return folder


def folder(tmp: Path, write: Any, safe: Path) -> Reader:
    return open_scene(write_folder(tmp / "folder", write), OpenOptions(scale=10000))


def masked_file(tmp: Path, write: Any, safe: Path) -> Reader:
    mask = np.random.default_rng(5).random((60, 70)) > 0.1
    stack = np.stack([landscape((60, 70), 1), landscape((60, 70), 2), mask.astype(np.uint16)])
    names = ("B2", "B5", "dataMask")
    return open_scene(write(tmp / "image.tif", stack, descriptions=names), OpenOptions(scale=10000))


def picture(tmp: Path, write: Any, safe: Path) -> Reader:
    dn = (landscape((60, 70), 1) // 30).astype(np.uint8)
    place = {"crs": None, "transform": Affine.identity()}
    options = OpenOptions(band_order=("B02", "B05"))
    return open_scene(write(tmp / "x.tif", np.stack([dn, dn]), **place), options)


def stac(tmp: Path, write: Any, safe: Path) -> Reader:
    place = write_folder(tmp / "stac", write)
    names = {"blue": "B02", "rededge1": "B05", "scl": "SCL"}
    assets = {key: {"href": f"{name}.tif", "raster:bands": [{"scale": 1e-4}]} for key, name in names.items()}
    (place / "item.json").write_text(json.dumps({"type": "Feature", "properties": {}, "assets": assets}))
    return open_scene(place / "item.json")


def memory(tmp: Path, write: Any, safe: Path) -> Reader:
    geobox = folder(tmp, write, safe).scene.bands["B02"].geobox
    dn = landscape((60, 70), 1)
    scl = np.full((60, 70), 4, np.uint8)
    return from_arrays({"B02": dn, "B05": dn}, geobox, scale=10000, classification=scl)


def safe(tmp: Path, write: Any, safe: Path) -> Reader:
    return open_scene(safe)


def masked_safe(tmp: Path, write: Any, safe: Path) -> Reader:
    native = open_scene(safe).scene.bands["B05"].geobox
    usable = (np.random.default_rng(5).random(native.shape) > 0.1).astype(np.uint8)
    mask = write(tmp / "mask.tif", usable, crs=native.crs.to_wkt(), transform=native.affine)
    return open_scene(safe, OpenOptions(mask=str(mask)))


KINDS = (folder, masked_file, picture, stac, memory, safe, masked_safe)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def reader(request: pytest.FixtureRequest, tmp_path: Path, write_raster: Any, safe_folder: Path) -> Reader:
    """One reader of each kind, with bands B02 and B05."""
    make: Callable[..., Reader] = request.param
    return make(tmp_path, write_raster, safe_folder)


def patch(reader: Reader) -> Any:
    """A grid of 56 x 66 pixels of B02, with the edge of its no data where it has one."""
    return crop(reader.scene.bands["B02"].geobox, Window(2, 58, 2, 68))


def test_it_is_a_reader_and_knows_its_scene(reader: Reader) -> None:
    assert isinstance(reader, Reader)
    assert {"B02", "B05"} <= set(reader.scene.bands)
    assert reader.scene.name
    for name, info in reader.scene.bands.items():
        assert info.name == name
        assert info.scale > 0


def test_arrays_are_band_y_x_of_the_grid_in_the_order_asked(reader: Reader) -> None:
    grid = patch(reader)
    both = reader.read(["B05", "B02"], grid)
    for array in (both.dn, both.valid, both.saturated):
        assert array.shape == (2, *grid.shape)
    assert both.valid.dtype == both.saturated.dtype == np.bool_
    np.testing.assert_array_equal(both.dn[1][both.valid[1]], reader.read(["B02"], grid).dn[0][both.valid[1]])


def test_stored_values_come_back_unchanged_on_the_own_grid(reader: Reader) -> None:
    assert reader.read(["B02"], patch(reader)).dn.dtype == np.dtype(reader.scene.bands["B02"].dtype)


def test_outside_the_image_nothing_is_valid(reader: Reader) -> None:
    inner = patch(reader)
    native = reader.scene.bands["B02"].geobox
    beyond = native.pad(7)
    rows, columns = native.shape
    corner = crop(beyond, Window(rows - 3, rows + 14, columns - 3, columns + 14))
    pixels = reader.read(["B02"], corner)
    assert not pixels.valid[0, 10:].any()
    assert not pixels.valid[0, :, 10:].any()
    far = inner.translate_pix(100_000, 100_000)
    assert not reader.read(["B02", "B05"], far).valid.any()


@pytest.mark.parametrize(
    ("zoom", "resampling"),
    [(1.0, "bilinear"), (0.5, "nearest"), (0.5, "bilinear"), (0.7, "cubic"), (2.0, "average"), (2.7, "bilinear")],
)
def test_any_split_of_a_grid_reads_the_same(reader: Reader, resampling: Resampling, zoom: float) -> None:
    grid = patch(reader).zoom_out(zoom)
    whole = reader.read(["B02", "B05"], grid, resampling)
    for window in blocks(tuple(int(n) for n in grid.shape), 40, 50):
        part = reader.read(["B02", "B05"], crop(grid, window), resampling)
        place = (slice(None), *window.slices)
        np.testing.assert_array_equal(part.valid, whole.valid[place])
        np.testing.assert_array_equal(part.saturated, whole.saturated[place])
        np.testing.assert_allclose(
            np.where(part.valid, part.dn, 0), np.where(whole.valid, whole.dn, 0)[place], rtol=1e-6
        )


def test_what_is_read_is_the_callers_to_change(reader: Reader) -> None:
    grid = patch(reader)
    first = reader.read(["B02"], grid)
    kept = first.dn.copy()
    first.dn[:] = 0
    first.valid[:] = False
    np.testing.assert_array_equal(reader.read(["B02"], grid).dn, kept)


def test_it_travels_to_another_process_and_reads_the_same_there(reader: Reader) -> None:
    grid = patch(reader)
    copy = pickle.loads(pickle.dumps(reader))  # noqa: S301 (made here)
    np.testing.assert_array_equal(copy.read(["B02"], grid).dn, reader.read(["B02"], grid).dn)


def test_each_file_is_named_once_and_verifies(reader: Reader) -> None:
    files = reader.files(["B02", "B05", "B02"])
    assert len(set(files)) == len(files)
    for file in files:
        assert reader.verify(file).ok


def test_a_band_that_is_not_there_is_missing_input(reader: Reader) -> None:
    for ask in (reader.files, lambda bands: reader.read(bands, patch(reader))):
        with pytest.raises(MissingInputError, match="B11"):
            ask(["B02", "B11"])


def test_the_classification_is_bytes_on_the_grid_with_0_outside_or_none(reader: Reader) -> None:
    grid = reader.scene.bands["B02"].geobox.pad(2)[:40, :40]
    classes = reader.read_classification(grid)
    assert (classes is None) == (reader.scene.classification is None)
    if classes is not None:
        assert classes.dtype == np.uint8
        assert classes.shape == (40, 40)
        assert (classes[:2] == 0).all()
