"""The law of the relative normalisation."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from groundshift.numerics.regression import deming_slope, pairwise_slope
from groundshift.radiometry.normalise import NormaliseOptions, apply, fit


@given(
    gain=st.lists(st.floats(0.7, 1.4), min_size=4, max_size=4),
    offset=st.lists(st.floats(-0.05, 0.05), min_size=4, max_size=4),
    change=st.lists(st.sampled_from([-0.15, -0.08, 0.08, 0.15]), min_size=4, max_size=4),
    method=st.sampled_from(["orthogonal", "robust"]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=10, deadline=None)
def test_an_affine_change_of_one_date_is_undone_under_noise_and_a_fifth_of_change(
    gain: list[float], offset: list[float], change: list[float], method: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n = 8000
    truth = 0.15 + 0.04 * rng.normal(size=n) + 0.03 * rng.normal(size=(4, n))
    before, clean = truth + 0.004 * rng.normal(size=(2, 4, n))
    clean[:, : n // 5] += np.array(change)[:, None]
    distorted = (clean - np.array(offset)[:, None]) / np.array(gain)[:, None]
    line = fit(before, distorted, NormaliseOptions(method=method))  # type: ignore[arg-type]
    np.testing.assert_allclose(line.gain, gain, rtol=0.02)
    assert np.abs(apply(line, distorted) - clean).max() < 0.02


@given(st.floats(0.2, 5), st.floats(0.2, 5), st.floats(-0.99, 0.99).filter(lambda r: abs(r) > 0.01), st.floats(0.1, 10))
def test_exchanging_the_axes_of_a_deming_line_gives_the_reciprocal(
    sx: float, sy: float, rho: float, ratio: float
) -> None:
    forth = deming_slope(sx**2, sy**2, rho * sx * sy, ratio)
    back = deming_slope(sy**2, sx**2, rho * sx * sy, 1 / ratio)
    np.testing.assert_allclose(forth * back, 1, rtol=1e-6)


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_the_pairwise_slope_follows_the_units_of_its_axes(a: float, b: float, seed: int) -> None:
    x, noise = np.random.default_rng(seed).normal(size=(2, 500))
    y = 0.7 * x + 0.2 * noise
    np.testing.assert_allclose(pairwise_slope(a * x, b * y), pairwise_slope(x, y) * b / a, rtol=1e-6)
