"""Scratch rasters that many processes share."""

from __future__ import annotations

import pickle
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning

from groundshift.errors import OutputError, ProductError, UsageError
from groundshift.io import planes as module
from groundshift.io.planes import Planes
from groundshift.model.grid import Window, blocks
from groundshift.numerics.rounding import round_mantissa

WHOLE = Window(0, 30, 0, 40)


def _random(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32)


def test_what_is_written_in_blocks_is_read_back_whole_and_by_gdal(tmp_path: Path) -> None:
    values = _random((2, 30, 40))
    planes = Planes.create(tmp_path / "a.bin", values.shape, "float32")
    for window in blocks((30, 40), 7, 11):
        planes.write(window, values[:, *window.slices])
    assert np.array_equal(planes.read(WHOLE), values)
    assert np.array_equal(Planes.open(tmp_path / "a.bin").read(WHOLE, 1), values[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "a.bin", driver="ENVI") as dataset:
            assert np.array_equal(dataset.read(), values)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 40), st.integers(0, 40), st.integers(0, 1))
def test_any_window_of_a_band_reads_as_the_slice_of_the_array(
    tmp_path_factory: pytest.TempPathFactory, y0: int, y1: int, x0: int, x1: int, band: int
) -> None:
    values = _random((2, 30, 40))
    planes = Planes.create(tmp_path_factory.mktemp("p") / "a.bin", values.shape, "float32")
    planes.write(WHOLE, values)
    window = Window(min(y0, y1), max(y0, y1), min(x0, x1), max(x0, x1))
    assert np.array_equal(planes.read(window, [band])[0], values[band, *window.slices])


def test_writing_one_band_leaves_the_others_and_fresh_planes_are_zero(tmp_path: Path) -> None:
    planes = Planes.create(tmp_path / "a.bin", (3, 30, 40), "uint8")
    planes.write(Window(2, 4, 5, 9), np.full((2, 4), 7), band=1)
    values = planes.read(WHOLE)
    assert values[1, 2:4, 5:9].min() == 7
    assert values.sum() == 7 * 8


def test_planes_travel_to_another_process_as_path_shape_and_type(tmp_path: Path) -> None:
    planes = Planes.create(tmp_path / "a.bin", (1, 30, 40), "int16")
    planes.write(WHOLE, np.full((1, 30, 40), -3))
    parcel = pickle.dumps(planes)
    assert len(parcel) < 400
    assert pickle.loads(parcel).read(WHOLE).max() == -3  # noqa: S301


@pytest.mark.parametrize("window", [Window(0, 31, 0, 40), Window(-1, 3, 0, 4), Window(0, 3, 38, 41)])
def test_a_window_outside_is_refused_and_never_lands_in_another_row(tmp_path: Path, window: Window) -> None:
    planes = Planes.create(tmp_path / "a.bin", (1, 30, 40), "uint8")
    with pytest.raises(ValueError, match="does not lie in"):
        planes.read(window)
    with pytest.raises(ValueError, match="does not lie in"):
        planes.write(window, np.ones((1, *window.shape)))


def test_an_array_of_another_shape_is_refused(tmp_path: Path) -> None:
    planes = Planes.create(tmp_path / "a.bin", (1, 30, 40), "uint8")
    with pytest.raises(ValueError, match="does not fit"):
        planes.write(Window(0, 2, 0, 2), np.ones((1, 2, 3)))


def test_a_type_that_has_no_code_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="complex64"):
        Planes.create(tmp_path / "a.bin", (1, 2, 2), "complex64")


def test_planes_in_a_folder_that_is_not_there_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        Planes.create(tmp_path / "none" / "a.bin", (1, 2, 2), "uint8")


def test_a_file_that_was_cut_is_an_error_not_zeros(tmp_path: Path) -> None:
    planes = Planes.create(tmp_path / "a.bin", (1, 30, 40), "uint8")
    with (tmp_path / "a.bin").open("r+b") as stream:
        stream.truncate(600)
    with pytest.raises(ProductError, match="ends at byte 600"):
        planes.read(WHOLE)
    with pytest.raises(ProductError, match="1200 bytes"):
        Planes.open(tmp_path / "a.bin")


def test_without_reservation_the_free_space_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(module.os, "posix_fallocate", raising=False)
    monkeypatch.setattr(module, "free_bytes", lambda _: 100)
    with pytest.raises(OutputError, match="about 1200 bytes are needed"):
        Planes.create(tmp_path / "a.bin", (1, 30, 40), "uint8")
    assert not list(tmp_path.iterdir())


def test_deleted_planes_leave_nothing(tmp_path: Path) -> None:
    Planes.create(tmp_path / "a.bin", (1, 30, 40), "uint8").delete()
    assert not list(tmp_path.iterdir())


@settings(deadline=None)  # the first call compiles
@given(st.floats(width=32, min_value=-(2.0**126), max_value=2.0**126) | st.just(float("nan")))
def test_rounding_keeps_thirteen_binary_digits_and_twice_is_once(value: float) -> None:
    array = np.array([value], np.float32)
    once = round_mantissa(array)
    assert np.array_equal(round_mantissa(once), once, equal_nan=True)
    if np.isnan(value):
        assert np.isnan(once[0])
    elif abs(value) > 1e-37:
        assert abs(float(once[0]) - value) <= 2**-14 * abs(value)
        assert once.view(np.uint32)[0] & 0x3FF == 0


def test_infinity_stays_infinity() -> None:
    assert np.array_equal(round_mantissa(np.array([np.inf, -np.inf], np.float32)), [np.inf, -np.inf])


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1), st.integers(5, 20))
def test_rounding_is_half_to_even_for_every_pattern_of_bits(patterns: list[int], bits: int) -> None:
    values = np.array(patterns, np.uint32).view(np.float32)
    rounded = round_mantissa(values, bits)
    step = 1 << (23 - bits)
    for value, result in zip(values.view(np.uint32).tolist(), rounded.view(np.uint32).tolist(), strict=True):
        finite = value & 0x7F800000 != 0x7F800000
        assert result == (step * round(Fraction(value, step)) if finite else value)
