"""Laws of the statistics of no change, for any bands, units and seeds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from groundshift.change.nochange import NoChange, NoChangeOptions, fit
from groundshift.change.radial import RadialLaw

SETTINGS = settings(max_examples=5, deadline=None)


def _sample(p: int, seed: int, n: int = 2500) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((p, p)) + 2 * np.eye(p)
    return (mix @ rng.standard_normal((p, n)) * np.sqrt(6 / rng.chisquare(6, n))).astype(np.float32)


@SETTINGS
@given(p=st.integers(1, 13), seed=st.integers(0, 1000), normalization=st.sampled_from(["full", "diag"]))
def test_about_as_many_exceed_the_threshold_as_asked(p: int, seed: int, normalization: str) -> None:
    sample = _sample(p, seed)
    found = fit(sample, NoChangeOptions(normalization=normalization))  # type: ignore[arg-type]
    assert (found.distance2(sample) > found.threshold(95)).mean() < 0.1
    assert (found.distance2(sample) > found.threshold(50)).mean() > 0.35


@SETTINGS
@given(
    p=st.integers(1, 6),
    seed=st.integers(0, 1000),
    power=st.integers(-4, 4),
    normalization=st.sampled_from(["full", "diag"]),
)
def test_units_do_not_matter(p: int, seed: int, power: int, normalization: str) -> None:
    sample, unit = _sample(p, seed), np.float32(2.0**power)
    options = NoChangeOptions(normalization=normalization)  # type: ignore[arg-type]
    plain, scaled = fit(sample, options), fit(sample * unit, options)
    np.testing.assert_allclose(scaled.distance2(sample * unit), plain.distance2(sample), rtol=1e-2, atol=1e-3)


@SETTINGS
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(1, 2499), min_size=1, max_size=4))
def test_cutting_the_image_changes_nothing(seed: int, cuts: list[int]) -> None:
    sample = _sample(4, seed)
    found = fit(sample)
    whole = found.distance2(sample)
    parts = [found.distance2(part) for part in np.split(sample, sorted(cuts), axis=1)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@SETTINGS
@given(
    p=st.integers(1, 13),
    inverse_nu=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    rho=st.floats(0, 0.95),
    normalization=st.sampled_from(["full", "diag"]),
)
def test_p_values_fall_from_one_and_agree_with_the_thresholds(
    p: int, inverse_nu: float, rho: float, normalization: str
) -> None:
    covariance = tuple(map(tuple, (1 - rho) * np.eye(p) + rho))
    found = NoChange((0.0,) * p, covariance, 1.0, inverse_nu, 1.0, 1000, normalization)  # type: ignore[arg-type]
    values = found.p_value(np.geomspace(1e-6, 1e7, 500).astype(np.float32))
    assert values[0] > 0.99
    assert (np.diff(values) <= 0).all()
    assert (values > 0).all()
    for level in (50, 99, 99.99, 99.9999):
        at = found.p_value(np.float32([found.threshold(level)]))[0]
        assert abs(at / (1 - level / 100) - 1) < 0.01


@SETTINGS
@given(p=st.integers(1, 13), inverse_nu=st.floats(0, 2), scale=st.floats(0.1, 10), share=st.floats(1e-6, 0.9))
def test_a_law_and_its_inverse_agree(p: int, inverse_nu: float, scale: float, share: float) -> None:
    law = RadialLaw(p, scale, inverse_nu)
    assert abs(float(law.above(law.exceeded_by(share))) / share - 1) < 1e-4
    assert abs(float(law.above(3.0) + law.below(3.0)) - 1) < 1e-9
