"""The law of no change that a pair teaches, counted where nothing changed."""

from __future__ import annotations

import numpy as np
import pytest

from groundshift.pipelines.arrays import compare
from groundshift.testing.scenes import DateOptions, PairOptions, SceneOptions, pair, whole

BANDS = ("B02", "B03", "B04", "B08")


@pytest.mark.parametrize("tail_dof", [None, 4])
def test_pixelwise_false_alarms_are_nominal_within_a_factor_of_two(tail_dof: int | None) -> None:
    """A heavy tail of the noise is not taken for changed pixels."""
    scene = SceneOptions(seed=5, shape=(600, 600), band_correlation=0.2, tail_dof=tail_dof)
    drawn = pair(
        PairOptions(scene=scene, after=DateOptions(gain=1.06, offset=0.006, haze=0.004, season=0.003), changed=0.0)
    )
    window = whole((600, 600))
    before, after = (date.reflectance(window, BANDS) for date in (drawn.before, drawn.after))
    valid = np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)
    found = compare(before, after, valid, pixel_m=10.0, bands=BANDS)
    for level in (99.0, 99.9):
        realised = float((found.p_value[valid] <= 1 - level / 100).mean()) / (1 - level / 100)
        assert 0.5 < realised < 2.0, (level, realised)
