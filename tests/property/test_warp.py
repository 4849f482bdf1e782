"""Law of reading: parts put together equal the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from groundshift.io.warp import resample
from groundshift.model.grid import Window

UTM = "EPSG:32633"
ROWS, COLUMNS = 40, 36
_rng = np.random.default_rng(11)
DN = _rng.integers(1, 10_000, (ROWS, COLUMNS)).astype(np.uint16)
VALID = _rng.random((ROWS, COLUMNS)) < 0.85
NATIVE = GeoBox((ROWS, COLUMNS), Affine(20, 0, 600000, 0, -20, 5000000), UTM)


def source(window: Window) -> tuple[Any, Any]:
    return DN[window.slices], VALID[window.slices]


def read(target: GeoBox, method: Any) -> tuple[Any, Any]:
    return resample(source, NATIVE, DN.dtype, target, method)


def parts(target: GeoBox, method: Any, row: int, column: int) -> tuple[Any, Any]:
    pieces = [
        [read(target[rows, columns], method) for columns in (slice(0, column), slice(column, None))]
        for rows in (slice(0, row), slice(row, None))
    ]
    return tuple(np.block([[piece[k] for piece in line] for line in pieces]) for k in (0, 1))  # type: ignore[return-value]


@settings(deadline=None, max_examples=60)
@given(
    method=st.sampled_from(["nearest", "bilinear", "cubic", "average"]),
    pixel=st.sampled_from([5.0, 10.0, 20.0, 27.0, 30.0, 40.0, 60.0]),
    shift=st.tuples(st.integers(-30, 30), st.integers(-30, 30)),
    cut=st.tuples(st.integers(1, 29), st.integers(1, 29)),
)
def test_reading_parts_equals_reading_the_whole(
    method: Any, pixel: float, shift: tuple[int, int], cut: tuple[int, int]
) -> None:
    target = GeoBox((30, 30), Affine(pixel, 0, 600000 + 10 * shift[0], 0, -pixel, 5000000 + 10 * shift[1]), UTM)
    (whole, valid), (pieced, pieced_valid) = read(target, method), parts(target, method, *cut)
    np.testing.assert_array_equal(valid, pieced_valid)
    np.testing.assert_allclose(np.where(valid, whole, 0), np.where(valid, pieced, 0), rtol=1e-6)


@settings(deadline=None, max_examples=25)
@given(
    method=st.sampled_from(["nearest", "bilinear", "cubic", "average"]),
    degrees=st.sampled_from([1e-4, 2.3e-4, 4.1e-4, 9e-4]),
    cut=st.tuples(st.integers(1, 19), st.integers(1, 19)),
)
def test_reading_parts_equals_reading_the_whole_in_another_projection(
    method: Any, degrees: float, cut: tuple[int, int]
) -> None:
    left, bottom, *_ = NATIVE.geographic_extent.boundingbox
    target = GeoBox((20, 20), Affine(degrees, 0, left + 0.001, 0, -degrees, bottom + 0.005), "EPSG:4326")
    (whole, valid), (pieced, pieced_valid) = read(target, method), parts(target, method, *cut)
    np.testing.assert_array_equal(valid, pieced_valid)
    np.testing.assert_allclose(np.where(valid, whole, 0), np.where(valid, pieced, 0), rtol=1e-5, atol=1e-3)
    assert valid.any()


@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic", "average"])
def test_what_lies_under_no_data_never_shows(method: Any) -> None:
    target = GeoBox((70, 70), Affine(11, 0, 600000, 0, -11, 5000000), UTM)
    poisoned = np.where(VALID, DN, 65535).astype(np.uint16)
    clean, ok = read(target, method)
    got, _ = resample(lambda w: (poisoned[w.slices], VALID[w.slices]), NATIVE, DN.dtype, target, method)
    np.testing.assert_array_equal(clean[ok], got[ok])
