"""Laws of the statistical probability, for any samples and any cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from groundshift.change import probability

SEED = st.integers(0, 10_000)


@settings(max_examples=20, deadline=None)
@given(SEED, st.integers(2, 12), st.floats(0.0, 0.5), st.floats(0.3, 30), st.floats(1e-3, 1e3))
def test_probabilities_rise_with_the_statistic_and_stay_within_bounds(
    seed: int, dof: int, share: float, strength: float, unit: float
) -> None:
    rng = np.random.default_rng(seed)
    changed = rng.random(4000) < share
    values = (rng.chisquare(dof, 4000) * np.where(changed, strength, 1) * unit).astype(np.float32)
    local = probability.fit(values, ~changed)
    found = local.probability(np.geomspace(1e-6, 1e7, 500))
    assert ((found >= 0) & (found < 1)).all()
    assert (np.diff(found) >= 0).all()
    assert 0 <= local.unchanged_share <= 1


@settings(max_examples=25, deadline=None)
@given(SEED, st.integers(3, 30), st.integers(3, 30), st.data())
def test_cutting_changes_no_bit_of_the_context(seed: int, rows: int, columns: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    statistic, valid = rng.chisquare(4, (rows, columns)).astype(np.float32), rng.random((rows, columns)) > 0.2
    whole = probability.in_context(statistic, valid)
    row = data.draw(st.integers(1, rows - 2))
    part = probability.in_context(statistic[row - 1 : row + 2], valid[row - 1 : row + 2])
    np.testing.assert_array_equal(part[1], whole[row])


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32), st.floats(0, 1))
def test_both_together_lie_between_the_two(one: float, other: float, weight: float) -> None:
    both = float(probability.ensemble(np.float32(one), np.float32(other), weight))
    assert min(one, other) - 1e-5 <= both <= max(one, other) + 1e-5
