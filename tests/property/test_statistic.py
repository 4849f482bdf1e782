"""Laws of the statistic of change: blocks, order of rows and columns, scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from groundshift.change.noise import NoiseModel
from groundshift.change.statistic import Statistic

sizes = st.integers(1, 90)


def scene(
    p: int, height: int, width: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    before = rng.uniform(-0.01, 0.6, (p, height, width)).astype(np.float32)
    after = (before + rng.normal(0, 0.02, before.shape)).astype(np.float32)
    return before, after, rng.random((height, width)) < rng.choice([0.5, 0.95, 1.0])


def statistic(p: int, noise: bool, seed: int) -> Statistic:
    rng = np.random.default_rng(seed)
    m = p + 1
    model = NoiseModel(
        centre=(*[0.45] * p, 2.5),
        spread=(*[0.15] * p, 0.5),
        coefficients=tuple(float(value) for value in rng.normal(0, 0.4 / m, (m + 1) * (m + 2) // 2)),
        factor=float(rng.uniform(0.5, 2)),
    )
    whitener = np.tril(rng.normal(0, 20, (p, p)), -1) + np.diag(rng.uniform(30, 60, p))
    return Statistic(rng.normal(0, 0.01, p), whitener, model if noise else None)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 6), sizes, sizes, st.booleans(), st.integers(0, 999), st.data())
def test_a_pixel_has_the_same_bits_in_every_block_with_its_halo(
    p: int, height: int, width: int, noise: bool, seed: int, data: st.DataObject
) -> None:
    before, after, valid = scene(p, height, width, seed)
    it = statistic(p, noise, seed)
    whole = it.evaluate(before, after, valid)
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width))
    top, left = max(y0 - it.halo_px, 0), max(x0 - it.halo_px, 0)
    rows, columns = slice(top, y1 + it.halo_px), slice(left, x1 + it.halo_px)
    part = it.evaluate(before[:, rows, columns], after[:, rows, columns], valid[rows, columns])
    inner = part[y0 - top : y1 - top, x0 - left : x1 - left]
    assert inner.tobytes() == whole[y0:y1, x0:x1].tobytes()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 999))
def test_turning_the_image_turns_the_statistic(p: int, seed: int) -> None:
    before, after, valid = scene(p, 17, 70, seed)
    it = statistic(p, True, seed)
    turned = it.evaluate(*(np.rot90(image, axes=(1, 2)) for image in (before, after)), np.rot90(valid))
    assert turned == pytest.approx(np.rot90(it.evaluate(before, after, valid)), rel=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.floats(1.5, 20), st.integers(0, 999))
def test_differences_k_times_as_large_have_a_statistic_k_squared_times_as_large(p: int, k: float, seed: int) -> None:
    before, after, valid = scene(p, 12, 30, seed)
    it = statistic(p, True, seed)
    centred = Statistic(np.zeros(p), it.whitener, it.noise)
    larger = (before + np.float32(k) * (after - before)).astype(np.float32)
    assert centred.evaluate(before, larger, valid) == pytest.approx(
        k**2 * centred.evaluate(before, after, valid), rel=1e-3, abs=1e-3
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 999))
def test_the_scale_stays_within_its_bounds(p: int, seed: int) -> None:
    before, after, valid = scene(p, 12, 30, seed)
    it = statistic(p, True, seed)
    assert it.noise is not None
    scaled = it.evaluate(before, after, valid) / it.noise.factor
    plain = Statistic(it.mean, it.whitener).evaluate(before, after, valid)
    assert (scaled <= plain / 0.3 * 1.0001).all()
    assert (scaled >= plain / 6 * 0.9999).all()
