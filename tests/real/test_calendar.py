"""Real series brought to a calendar: dates that were held out, and counts that others made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from groundshift.io.eopatch import read_eopatch
from groundshift.landcover.calendar import METHODS, CalendarOptions, day_numbers, merge_days, regular

PATCH = Path("slovenia-eopatch") / "TestEOPatch"


@pytest.fixture(scope="module")
def slovenia(shared_data):
    """NDVI of 68 dates in two and a half years: values, valid, days."""
    patch = read_eopatch(shared_data / PATCH).isel(y=slice(0, 40), x=slice(0, 40))
    days = day_numbers(patch["time"].values.astype("datetime64[us]").tolist())
    return patch["data.NDVI"].values[:, None], patch["mask.IS_VALID"].values, days


def test_the_count_is_that_of_the_patch(shared_data, slovenia):
    values, valid, days = slovenia
    found = regular(values, valid, days, days[:1] + 16 * np.arange(40.0))
    counted = read_eopatch(shared_data / PATCH)["mask_timeless.VALID_COUNT"]
    np.testing.assert_array_equal(found.count, counted[:40, :40])


@pytest.mark.parametrize("method", METHODS)
def test_dates_held_out_are_met_better_than_by_the_mean_of_the_pixel(slovenia, method):
    values, valid, days = merge_days(*slovenia)
    assert len(days) == 67  # 2015-12-08 comes twice
    steps = days[0] + 16 * np.arange(np.ceil((days[-1] - days[0]) / 16) + 1)
    squares: dict[str, list[float]] = {"filled": [], "mean": []}
    for first in range(5):
        seen = valid.copy()
        seen[first::5] = False
        filled = regular(values, seen, days, steps, CalendarOptions(method=method)).values[:, 0]
        mean = np.where(seen, values[:, 0], 0).sum(axis=0) / seen.sum(axis=0)
        for t in range(first, len(days), 5):
            step = np.searchsorted(steps, days[t], side="right") - 1
            share = (days[t] - steps[step]) / 16
            between = (1 - share) * filled[step] + share * filled[step + 1]
            squares["filled"].append(np.square(between - values[t, 0])[valid[t]].sum())
            squares["mean"].append(np.square(mean - values[t, 0])[valid[t]].sum())
    assert np.sum(squares["filled"]) < 0.5 * np.sum(squares["mean"])
