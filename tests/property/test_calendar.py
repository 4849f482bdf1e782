"""Laws of regular series: blocks, dates without observation, bands, time, straight lines, order of granules."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from groundshift.landcover.calendar import METHODS, CalendarOptions, Regular, merge_days, regular

seeds = st.integers(0, 9999)
options = st.builds(
    CalendarOptions,
    method=st.sampled_from(METHODS),
    outside=st.sampled_from(["constant", "nan"]),
    smoothing=st.sampled_from([1.0, 1000.0]),
    harmonics=st.integers(0, 3),
    trend=st.booleans(),
)
laws = settings(max_examples=40, deadline=None)


def case(seed: int, height: int = 3, width: int = 140) -> tuple[Any, ...]:
    """A series and its steps; what is not valid holds rubbish."""
    random = np.random.default_rng(seed)
    times, bands = int(random.integers(1, 30)), int(random.integers(1, 4))
    days = np.sort(random.choice(500, times, replace=False)) - 60 + random.choice([0.0, 0.4])
    values = random.normal(0.4, 0.1, (times, bands, height, width)).astype(np.float32)
    valid = random.random((times, height, width)) < random.choice([0.1, 0.5, 1.0])
    rubbish = random.choice([np.nan, np.inf, -3.0], valid.shape).astype(np.float32)
    steps = np.arange(0.0, random.integers(10, 300), random.integers(1, 20))
    return np.where(valid[:, None], values, rubbish[:, None]), valid, days, steps


def assert_same(one: Regular, other: Regular) -> None:
    for name in ("values", "count", "longest_gap_days", "distance_days"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@laws
@given(seeds, options, st.integers(0, 2), st.integers(0, 139), st.integers(1, 140))
def test_blocks_change_nothing(seed: int, how: CalendarOptions, y: int, x: int, width: int) -> None:
    values, valid, days, steps = case(seed)
    window = (..., slice(y, y + 1), slice(x, x + width))
    whole, part = regular(values, valid, days, steps, how), regular(values[window], valid[window], days, steps, how)
    cut = [getattr(whole, name)[window] for name in ("values", "count", "longest_gap_days", "distance_days")]
    assert_same(Regular(*cut), part)


@laws
@given(seeds, options)
def test_a_date_with_nothing_valid_changes_nothing(seed: int, how: CalendarOptions) -> None:
    values, valid, days, steps = case(seed, width=9)
    middle = len(days) // 2
    values = np.insert(values, middle, 7, axis=0)
    with_it = (values, np.insert(valid, middle, False, axis=0), np.insert(days, middle, days[middle] - 0.25), steps)
    without = (np.delete(values, middle, axis=0), valid, days, steps)
    assert_same(regular(*with_it, how), regular(*without, how))


@laws
@given(seeds, options)
def test_each_band_is_filled_as_if_it_were_alone(seed: int, how: CalendarOptions) -> None:
    values, valid, days, steps = case(seed, width=9)
    together = regular(values, valid, days, steps, how).values
    for band in range(values.shape[1]):
        alone = regular(values[:, band : band + 1], valid, days, steps, how).values
        np.testing.assert_array_equal(together[:, band : band + 1], alone)


@laws
@given(seeds, options, st.integers(-20_000, 20_000))
def test_only_time_between_dates_matters(seed: int, how: CalendarOptions, shift: int) -> None:
    values, valid, days, steps = case(seed, width=9)
    here, there = (regular(values, valid, days + move, steps + move, how) for move in (0, shift))
    np.testing.assert_allclose(here.values, there.values, atol=2e-5)
    np.testing.assert_array_equal(here.count, there.count)


@laws
@given(seeds, st.sampled_from(["linear", "whittaker"]))
def test_a_straight_line_stays_one_between_its_ends(seed: int, method: Any) -> None:
    values, valid, days, steps = case(seed, width=9)
    line = (0.2 + 0.001 * np.floor(days))[:, None, None, None].astype(np.float32)
    days = np.floor(days)
    how = CalendarOptions(method=method, outside="nan")
    found = regular(np.broadcast_to(line, values.shape), valid, days, steps, how).values
    expected = np.broadcast_to((0.2 + 0.001 * steps)[:, None, None, None], found.shape)
    np.testing.assert_allclose(found[~np.isnan(found)], expected[~np.isnan(found)], atol=2e-5)


@laws
@given(seeds)
def test_granules_are_merged_in_any_order(seed: int) -> None:
    values, valid, days, _ = case(seed, width=9)
    random = np.random.default_rng(seed)
    twice = np.concatenate([days, days[::2] + 0.1])
    both = [np.concatenate([each, each[::2][..., ::-1]]) for each in (values, valid)]
    order = random.permutation(len(twice))
    sorted_, mixed = merge_days(*both, twice), merge_days(*(each[order] for each in (*both, twice)))
    assert len(sorted_[2]) <= len(days)
    for one, other in zip(sorted_, mixed, strict=True):
        np.testing.assert_array_equal(one, other)
