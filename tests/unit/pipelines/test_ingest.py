"""Units of reading: what they cover, how pixels are stored, and which pixels are masked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from groundshift.io.memory import from_arrays
from groundshift.model.grid import Window, crop
from groundshift.pipelines import ingest
from groundshift.pipelines.job import MaskSection
from groundshift.radiometry.reflectance import EMPTY, USABLE

GRID = GeoBox((2300, 70), Affine(10, 0, 500_000, 0, -10, 5_100_000), "EPSG:32633")
CLASSES = np.full(GRID.shape, 4, np.uint8)
CLASSES[1000:1010, 30:40] = 9
CLASSES[2000:2003, 60:63] = 0


def reader(**options: Any) -> Any:
    rng = np.random.default_rng(1)
    bands = {name: rng.integers(1, 9000, GRID.shape).astype(np.uint16) for name in ("B02", "B03")}
    bands["B03"][50, 20] = 0
    return from_arrays(bands, GRID, **({"scale": 10_000, "classification": CLASSES} | options))


def stack_of(scene: Any, folder: Path, geobox: GeoBox = GRID, area: Any = None) -> ingest.Stack:
    found = ingest.prepare(scene, ("B02", "B03"), geobox, folder, "before", fresh=True)
    for unit in ingest.units(scene, ("B02", "B03"), geobox, found, MaskSection(), area):
        ingest.run_unit(unit)
    return found


@pytest.mark.parametrize("rows", [slice(0, 2300), slice(300, 2100), slice(1000, 1001)])
def test_units_cover_each_plane_once_and_break_where_the_stored_tiles_do(rows: slice, tmp_path: Path) -> None:
    scene, geobox = reader(), GRID[rows, :]
    stack = ingest.prepare(scene, ("B02", "B03"), geobox, tmp_path, "before", fresh=True)
    units = list(ingest.units(scene, ("B02", "B03"), geobox, stack, MaskSection(), None))
    assert len({unit.key for unit in units}) == len(units)
    for band in ("B02", "B03", None):
        windows = [unit.window for unit in units if unit.band == band]
        assert [window.y0 for window in windows] == [0, *(window.y1 for window in windows[:-1])]
        assert windows[-1].y1 == geobox.shape[0]
        if band:
            assert all((window.y0 + rows.start) % 1024 == 0 for window in windows[1:])


def test_what_is_read_back_is_the_reflectance_and_what_is_usable(tmp_path: Path) -> None:
    scene = reader()
    stack = stack_of(scene, tmp_path)
    reflectance, usable, codes = stack.read(Window(0, 2300, 0, 70))
    np.testing.assert_allclose(reflectance[0], scene.arrays["B02"] / 10_000, rtol=1e-6)
    assert codes[50, 20] == EMPTY
    assert not usable[50, 20]
    assert usable[60, 20]
    cloud = usable[985:1025, 15:55]
    assert not usable[1000:1010, 30:40].any()
    # Grown by 150 m: 15 pixels, and no farther.
    assert not cloud[0:, 20].all()
    assert usable[1005, 40 + 16]
    assert not usable[1005, 40 + 13]
    assert (codes[2000:2003, 60:63] == EMPTY).all()
    assert codes[1005, 35] == ingest.MASKED
    assert (codes[100:900] == USABLE).all()


def test_the_mask_does_not_depend_on_the_window_it_is_read_by(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = stack_of(reader(), tmp_path / "a")
    part = stack_of(reader(), tmp_path / "b", GRID[990:2010, 20:70])
    for one, other in zip(whole.read(Window(990, 2010, 20, 70)), part.read(Window(0, 1020, 0, 50)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_outside_the_area_is_no_data(tmp_path: Path) -> None:
    import shapely

    area = shapely.box(500_000, 5_100_000 - 10_000, 500_300, 5_100_000)
    _, usable, codes = stack_of(reader(), tmp_path, area=area).read(Window(0, 2300, 0, 70))
    assert (codes[:1000, 30:] == EMPTY).all()
    assert (codes[1000:] == EMPTY).all()
    assert usable[100:900, :30].all()


@pytest.mark.parametrize(
    ("dtype", "kind"), [("uint8", "uint16"), ("uint16", "float32"), ("int16", "float32"), ("float32", "float32")]
)
def test_planes_hold_stored_numbers_where_none_could_be_mistaken(dtype: str, kind: str, tmp_path: Path) -> None:
    """16-bit numbers of unknown saturation use 65535 as a measurement, so they are kept as floats."""
    numbers = {"B02": np.full((20, 30), 100, dtype), "B03": np.full((20, 30), 50, dtype)}
    geobox = crop(GRID, Window(0, 20, 0, 30))
    scene = from_arrays(numbers, geobox, scale=200, nodata=0)
    stack = stack_of(scene, tmp_path, geobox)
    assert stack.dn.dtype == kind
    reflectance, usable, _ = stack.read(Window(0, 20, 0, 30))
    np.testing.assert_allclose(reflectance, np.array([0.5, 0.25])[:, None, None] * np.ones((2, 20, 30)), rtol=1e-6)
    assert usable.all()


def test_a_sample_block_is_what_the_planes_would_hold(tmp_path: Path) -> None:
    scene, window = reader(), Window(900, 1100, 0, 70)
    stack = stack_of(scene, tmp_path)
    unit = ingest.SampleUnit((scene, scene), ("B02", "B03"), crop(GRID, window), MaskSection(), ((0, 0), (0, 0)))
    sample, block = ingest.read_sample(unit), ingest.read_block((stack, stack), window)
    np.testing.assert_array_equal(sample.valid, block.valid)
    np.testing.assert_allclose(sample.before[:, block.valid], block.before[:, block.valid])
    assert np.isfinite(sample.before).all()


def test_some_pixels_are_read_as_the_window_would_be(tmp_path: Path) -> None:
    stack = stack_of(reader(offset=-1000), tmp_path)
    window = Window(40, 1100, 0, 70)
    where = np.flatnonzero(np.random.default_rng(3).random(window.shape) < 0.1)
    everything = stack.read(window)[0]
    assert np.array_equal(stack.read_pixels(window, where), everything.reshape(2, -1)[:, where], equal_nan=True)


def test_numbers_that_are_not_valid_become_zero_and_saturated_ones_the_largest() -> None:
    dn = np.array([[7, 8, 9, 10]], np.uint16)
    valid, saturated = np.array([[True, False, True, False]]), np.array([[False, False, True, True]])
    assert ingest._storable(dn, valid, saturated, "uint16").tolist() == [[7, 0, 65535, 65535]]
