"""Regular series: oracles that are slow and readable, and the laws of all methods."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest

from groundshift.errors import InputError, UsageError
from groundshift.landcover.calendar import (
    METHODS,
    YEAR_DAYS,
    CalendarOptions,
    calendar_days,
    day_numbers,
    keep_frames,
    merge_days,
    regular,
)

STEPS = np.arange(0.0, 366, 16)


def series(times=24, bands=2, height=3, width=5, seed=0, share=0.5):
    random = np.random.default_rng(seed)
    days = np.sort(random.choice(np.arange(-30, 400), times, replace=False)).astype(float)
    wave = 0.4 + 0.3 * np.sin(2 * np.pi * days / 365)[:, None, None, None]
    values = (wave + random.normal(0, 0.05, (times, bands, height, width))).astype(np.float32)
    valid = random.random((times, height, width)) < share
    valid[:, 0, 0] = False
    valid[:, 0, 1] = np.arange(times) == 7
    valid[:, 0, 2] = np.isin(np.arange(times), (3, 12))
    values[~np.broadcast_to(valid[:, None], values.shape)] = np.nan
    return values, valid, days


def pixels(valid):
    return np.ndindex(valid.shape[1:])


@pytest.mark.parametrize("outside", ["constant", "nan"])
def test_linear_is_numpys_interp(outside):
    values, valid, days = series()
    found = regular(values, valid, days, STEPS, CalendarOptions(outside=outside)).values
    edges = {} if outside == "constant" else {"left": np.nan, "right": np.nan}
    for y, x in pixels(valid):
        seen = valid[:, y, x]
        for band in range(values.shape[1]):
            expected = np.full(len(STEPS), np.nan)
            if seen.any():
                expected = np.interp(STEPS, days[seen], values[seen, band, y, x], **edges)
            np.testing.assert_allclose(found[:, band, y, x], expected, atol=1e-6)


def test_whittaker_is_the_dense_solution_on_every_day():
    values, valid, days = series(share=0.6)
    found = regular(values, valid, days, STEPS, CalendarOptions(method="whittaker", smoothing=50.0)).values
    start = int(days[0])
    total = int(max(days[-1], STEPS[-1])) - start + 1
    second = np.diff(np.eye(total), 2, axis=0)
    for y, x in pixels(valid):
        seen = days[valid[:, y, x]].astype(int) - start
        if len(seen) < 2:
            continue
        weight, known = np.zeros(total), np.zeros(total)
        weight[seen], known[seen] = 1, values[valid[:, y, x], 1, y, x]
        curve = np.linalg.solve(np.diag(weight) + 50 * second.T @ second, known)
        places = np.clip(STEPS.astype(int) - start, seen[0], seen[-1])
        np.testing.assert_allclose(found[:, 1, y, x], curve[places], atol=1e-5)


def test_a_whittaker_curve_of_a_single_day_is_the_mean_of_that_day():
    days = np.sort(np.concatenate([np.arange(0.1, 300, 11), np.arange(0.6, 300, 11)]))
    values = np.random.default_rng(0).random((len(days), 1, 1, len(days) // 2), np.float32)
    valid = np.kron(np.eye(len(days) // 2), [[1], [1]])[:, None].astype(bool)
    options = CalendarOptions(method="whittaker", smoothing=1e5)
    found = regular(values, valid, days, np.floor(days[::2]), options).values[:, 0, 0]
    expected = values[valid[:, None]].reshape(len(days) // 2, 2).mean(axis=1)
    np.testing.assert_allclose(found, expected[None].repeat(len(found), axis=0), atol=1e-6)


@pytest.mark.parametrize("trend", [False, True])
def test_harmonic_is_least_squares_with_as_many_terms_as_observations_bear(trend):
    values, valid, days = series(times=60, share=0.35, width=7)
    found = regular(values, valid, days, STEPS, CalendarOptions(method="harmonic", trend=trend)).values
    used = set()
    for y, x in pixels(valid):
        seen = valid[:, y, x]
        if not seen.any():
            continue
        terms = max(each for each in (1, 3, 5, 6 if trend else 5) if 3 * each <= seen.sum() or each == 1)
        used.add(terms)

        def basis(day, terms=terms):
            angle = 2 * np.pi * day / YEAR_DAYS
            waves = [np.ones_like(day), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle), day / 300]
            return np.stack(waves[:terms], axis=-1)

        fit = np.linalg.lstsq(basis(days[seen]), values[seen, 0, y, x].astype(float), rcond=None)[0]
        expected = basis(np.clip(STEPS, days[seen][0], days[seen][-1])) @ fit
        np.testing.assert_allclose(found[:, 0, y, x], expected, atol=1e-4)
    assert used == ({1, 3, 5, 6} if trend else {1, 3, 5})


def test_harmonics_that_dates_of_one_season_cannot_tell_are_left_out():
    days = np.arange(0.0, 80, 4)
    values = np.sin(days / 9).astype(np.float32)[:, None, None, None]
    found = regular(values, np.ones((20, 1, 1), bool), days, STEPS, CalendarOptions(method="harmonic"))
    np.testing.assert_allclose(found.values, values.mean(), atol=1e-6)


def test_median_is_that_of_the_days_nearest_each_step():
    values, valid, days = series(times=80, share=0.7)
    found = regular(values, valid, days, STEPS, CalendarOptions(method="median")).values
    nearest = np.floor((days + 8) / 16).astype(int)
    for y, x in pixels(valid):
        medians = {
            step: np.median(values[valid[:, y, x] & (nearest == step), 1, y, x])
            for step in set(nearest[valid[:, y, x]])
        }
        if medians:
            steps = sorted(medians)
            expected = np.interp(STEPS, 16.0 * np.array(steps), [medians[step] for step in steps])
            np.testing.assert_allclose(found[:, 1, y, x], expected, atol=1e-6)


def test_what_is_known_of_a_pixel_is_counted_and_measured():
    values, valid, days = series(share=0.3)
    found = regular(values, valid, days, STEPS)
    for y, x in pixels(valid):
        seen = days[valid[:, y, x]]
        assert found.count[y, x] == len(seen)
        ends = np.unique(np.clip([STEPS[0], *seen, STEPS[-1]], STEPS[0], STEPS[-1]))
        assert found.longest_gap_days[y, x] == np.diff(ends).max()
        if len(seen):
            nearest = np.abs(STEPS[:, None] - seen).min(axis=1)
            np.testing.assert_array_equal(found.distance_days[:, y, x], nearest)
        else:
            assert np.isnan(found.distance_days[:, y, x]).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_pixel_never_seen_is_nan_and_one_seen_once_is_constant(method):
    values, valid, days = series()
    found = regular(values, valid, days, np.append(STEPS, days[7] + 500), CalendarOptions(method=method))
    assert np.isnan(found.values[:, :, 0, 0]).all()
    assert found.count[0, 0] == 0
    np.testing.assert_allclose(found.values[:, :, 0, 1], values[7, :, 0, 1][None].repeat(24, axis=0), atol=1e-6)
    assert not np.isnan(found.values[:, :, 0, 2:]).any()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_known_outside_where_that_is_asked_for(method):
    values, valid, days = series(share=0.8)
    valid[days < 100] = False
    found = regular(values, valid, days, STEPS, CalendarOptions(method=method, outside="nan")).values
    first, last = days[np.argmax(valid, axis=0)], days[len(days) - 1 - np.argmax(valid[::-1], axis=0)]
    steps, margin = STEPS[:, None, None], 8 if method == "median" else 0
    assert np.isnan(found[:, 0][(steps < first - margin) | (steps > last + margin)]).all()
    assert not np.isnan(found[:, 0][(steps >= first + margin) & (steps <= last - margin) & valid.any(axis=0)]).any()


@pytest.mark.parametrize("method", METHODS)
def test_blocks_threads_and_what_is_not_valid_change_nothing(method):
    values, valid, days = series(height=5, width=300)
    options = CalendarOptions(method=method)
    whole = regular(values, valid, days, STEPS, options, threads=3)
    filled = np.where(np.isnan(values), np.float32(9), values)
    part = regular(filled[..., 1:4, 131:291], valid[:, 1:4, 131:291], days, STEPS, options)
    for name in ("values", "count", "longest_gap_days", "distance_days"):
        np.testing.assert_array_equal(getattr(whole, name)[..., 1:4, 131:291], getattr(part, name))


def test_what_is_missing_in_one_band_is_missing_in_all():
    values, valid, days = series(share=1.0)
    values[4, 1, 2, 2] = np.inf
    without = valid.copy()
    without[4, 2, 2] = False
    found, expected = regular(values, valid, days, STEPS), regular(values, without, days, STEPS)
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.count[2, 2] == len(days) - 1


def test_granules_of_a_day_become_their_mean_also_over_midnight():
    values = np.array([[5, 1], [1, 2], [3, 4], [9, np.nan]], np.float32)[:, None, None]
    valid = np.array([[True, False], [True, True], [True, True], [True, True]])[:, None]
    merged, seen, days = merge_days(values, valid, np.array([20.0, 9.99, 10.01, 20.0]))
    np.testing.assert_allclose(days, [10, 20])
    np.testing.assert_array_equal(merged[:, 0, 0], [[2, 3], [7, np.nan]])
    np.testing.assert_array_equal(seen[:, 0], [[True, True], [True, False]])


def test_dates_are_sorted_where_nothing_is_to_be_merged():
    values, valid, days = series()
    order = np.random.default_rng(1).permutation(len(days))
    for found, expected in zip(
        merge_days(values[order], valid[order], days[order]), (values, valid, days), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_frames_with_too_little_to_see_are_dropped():
    valid = np.zeros((3, 2, 5), bool)
    valid[1, :, :4] = valid[2] = True
    np.testing.assert_array_equal(keep_frames(valid), [False, True, True])
    np.testing.assert_array_equal(keep_frames(valid, 0.9), [False, False, True])


def test_a_calendar_has_the_dates_of_the_examples():
    found = calendar_days(date(2017, 1, 1), date(2017, 12, 31))
    assert (len(found), found[0], found[-1]) == (23, date(2017, 1, 1), date(2017, 12, 19))
    assert calendar_days(date(2020, 2, 29), date(2020, 3, 10), 10) == [date(2020, 2, 29), date(2020, 3, 10)]


def test_days_count_from_1970_in_utc():
    zone = timezone(timedelta(hours=10))
    moments = [
        date(1970, 1, 2),
        datetime(1970, 1, 1, 6),
        datetime(1970, 1, 2, 6, tzinfo=zone),
        datetime(1969, 12, 31, tzinfo=UTC),
    ]
    np.testing.assert_array_equal(day_numbers(moments), [1, 0.25, 20 / 24, -1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "spline"}, "no method 'spline'"),
        ({"outside": "zero"}, "constant or nan"),
        ({"step_days": 0}, "no step of a calendar"),
        ({"smoothing": 0.0}, "above 0"),
        ({"harmonics": 9}, "9 harmonics"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        CalendarOptions(**options)


def test_series_that_do_not_fit_are_refused():
    values, valid, days = series()
    with pytest.raises(InputError, match="float32"):
        regular(values.astype(float), valid, days, STEPS)
    with pytest.raises(InputError, match="expected bool"):
        regular(values, valid[1:], days, STEPS)
    with pytest.raises(InputError, match="merge_days sorts"):
        regular(values, valid, np.sort(np.append(days[1:], days[5])), STEPS)
    with pytest.raises(InputError, match="the steps"):
        regular(values, valid, days, STEPS[::-1])
    with pytest.raises(UsageError, match="no calendar"):
        calendar_days(date(2020, 2, 1), date(2020, 1, 1))
