"""Regular series: from the clear observations of each pixel to the dates of a calendar, and how much is known there.

Series are (time, band, y, x) float32 with ``valid`` (time, y, x), True = usable; days are days since 1970-01-01. All
bands of a pixel share one mask: an observation counts where it is valid and finite in every band.

Laws: cutting the image into blocks changes nothing, to the last bit; what is not valid changes nothing; a pixel that
nothing was seen of is NaN with a count of 0, a pixel that was seen once is constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.landcover import calendar_kernels as kernels
from groundshift.numerics.rows import in_rows

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Method = Literal["linear", "whittaker", "harmonic", "median"]
METHODS: tuple[Method, ...] = get_args(Method)
Outside = Literal["constant", "nan"]

SAME_DAY_DAYS = 0.5
"""Granules sensed within half a day of the first of them are of one day: by the clock it may begin between them."""
YEAR_DAYS = 365.2425
_MOST_DATES = 65_535


@dataclass(frozen=True, kw_only=True)
class CalendarOptions:
    """How a series becomes regular."""

    method: Method = "linear"
    """``linear``: straight lines between observations. ``whittaker``: a smooth curve of a node a day (Eilers 2003).
    ``harmonic``: mean and harmonics of the year by least squares. ``median``: of the period around each step, straight
    lines where a period has no observation."""
    step_days: int = 16
    """Days between steps: 16 gives the 23 steps a year of eo-learn's land-cover example; CLC+ Backbone has 10."""
    outside: Outside = "constant"
    """Before the first and after the last observation of a pixel: what the curve has there (``constant``, as CLC+), or
    NaN (as eo-learn). No method extrapolates; give observations of three months more on either side instead."""
    smoothing: float = 1000.0
    """Lambda of Whittaker: weight of squared second differences between days against squared residuals. 100 and 1000
    are as good on dates held out of four real series of NDVI, but 100 overshoots more in gaps of two months."""
    harmonics: int = 2
    """Of the year, at most, for ``harmonic``. A pixel gets as many as it has three observations a coefficient for
    (Zhu and Woodcock 2014), none of them spread so badly that a phase stays unknown; at least its mean."""
    trend: bool = False
    """With ``harmonic``: a straight line too, for series of several years."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(
                f"there is no method {self.method!r} of gap filling: expected one of {', '.join(METHODS)}."
            )
        if self.outside not in get_args(Outside):
            raise UsageError(f"outside is {self.outside!r}: expected constant or nan.")
        if not 1 <= self.step_days <= 366:
            raise UsageError(f"{self.step_days} days are no step of a calendar: expected 1 to 366.")
        if not 0 < self.smoothing < math.inf:
            raise UsageError(f"smoothing is {self.smoothing}: expected a number above 0.")
        if not 0 <= self.harmonics <= 6:
            raise UsageError(f"{self.harmonics} harmonics of the year: expected 0 to 6.")


@dataclass(frozen=True, eq=False)
class Regular:
    """A regular series, and how much is known at each of its steps."""

    values: Float32
    """(step, band, y, x); NaN where nothing is known."""
    count: NDArray[np.uint16]
    """(y, x): observations that were used, also those before the first and after the last step."""
    longest_gap_days: Float32
    """(y, x): the longest time without observation between the first and the last step, both ends included; all of it
    where nothing was seen."""
    distance_days: Float32
    """(step, y, x): days from each step to the nearest observation; NaN where nothing was seen."""


def calendar_days(first: date, last: date, step_days: int = CalendarOptions.step_days) -> list[date]:
    """The dates of a calendar: every ``step_days`` from the first on, none after the last.

    Raises:
        UsageError: the last date lies before the first, or the step is shorter than a day.
    """
    if last < first or step_days < 1:
        raise UsageError(f"no calendar goes from {first} to {last} in steps of {step_days} days.")
    return [first + timedelta(days=days) for days in range(0, (last - first).days + 1, step_days)]


def day_numbers(moments: Sequence[date]) -> Float64:
    """Days since 1970-01-01, with fractions for times of day; a time without zone is UTC."""
    plain = [
        moment.astimezone(UTC).replace(tzinfo=None) if isinstance(moment, datetime) and moment.tzinfo else moment
        for moment in moments
    ]
    return np.array(plain, "datetime64[us]").astype(np.int64) / 86_400e6


def keep_frames(valid: Bool, minimum: float = 0.8) -> Bool:
    """Which frames have at least this share of valid pixels: (time,) bool, from the (time, y, x) of a whole image.

    0.8 is the rule of eo-learn's land-cover example; where cloud is frequent it leaves too few dates.

    Raises:
        UsageError: the minimum is no share.
    """
    if not 0 <= minimum <= 1:
        raise UsageError(f"{minimum} is no share of valid pixels: expected 0 to 1.")
    return np.asarray(valid.mean(axis=(1, 2)) >= minimum)


def merge_days(values: Float32, valid: Bool, days: Float64) -> tuple[Float32, Bool, Float64]:
    """Make one observation of all granules of a day: the mean of the valid ones, in order of time.

    Args:
        values: (time, band, y, x) float32.
        valid: (time, y, x) bool, True = usable.
        days: (time,) float64, in any order; frames within half a day of the first of them are merged, and get the mean
            of their times.

    Returns:
        Values, valid and days, with rising days; NaN where a merged frame has nothing valid.

    Raises:
        InputError: shapes or types that do not fit.
    """
    _check(values, valid, days)
    order = np.argsort(days, kind="stable")
    groups: list[list[int]] = []
    for index in order.tolist():
        if groups and days[index] - days[groups[-1][0]] < SAME_DAY_DAYS:
            groups[-1].append(index)
        else:
            groups.append([index])
    merged_days = np.array([days[group].mean() for group in groups])
    if len(groups) == len(days):
        return values[order], valid[order], merged_days
    merged = np.empty((len(groups), *values.shape[1:]), np.float32)
    any_valid = np.empty((len(groups), *valid.shape[1:]), np.bool_)
    for target, group in enumerate(groups):
        if len(group) == 1:
            merged[target], any_valid[target] = values[group[0]], valid[group[0]]
        else:
            merged[target], any_valid[target] = _mean(values, valid, group)
    return merged, any_valid, merged_days


def regular(
    values: Float32,
    valid: Bool,
    days: Float64,
    steps: Float64,
    options: CalendarOptions | None = None,
    *,
    threads: int = 1,
) -> Regular:
    """Bring a series to the steps of a calendar.

    Args:
        values: (time, band, y, x) float32. What is not finite in a band is not valid in any.
        valid: (time, y, x) bool, True = usable.
        days: (time,) float64, strictly rising; :func:`merge_days` sees to it.
        steps: (step,) float64, strictly rising, in the same days; Whittaker takes the whole days of both.
        options: how; ``step_days`` is looked at where there is a single step only.
        threads: that share the rows; changes no pixel.

    Raises:
        InputError: shapes or types that do not fit, or days that do not rise.

    ``linear`` is numpy's ``interp`` of each pixel and band to 1e-5.
    """
    options = options or CalendarOptions()
    _check(values, valid, days)
    for name, axis in (("days", days), ("steps", steps)):
        if axis.ndim != 1 or not 1 <= len(axis) <= _MOST_DATES or not (np.isfinite(axis).all() and _rising(axis)):
            raise InputError(
                f"the {name} of a series do not rise: expected finite numbers, each above the one before; "
                "merge_days sorts and merges granules of one day."
            )
    values, valid = np.ascontiguousarray(values), np.ascontiguousarray(valid)
    days, steps = np.ascontiguousarray(days, np.float64), np.ascontiguousarray(steps, np.float64)
    height, width = valid.shape[1:]
    out = Regular(
        np.empty((len(steps), values.shape[1], height, width), np.float32),
        np.empty((height, width), np.uint16),
        np.empty((height, width), np.float32),
        np.empty((len(steps), height, width), np.float32),
    )
    in_rows(_work(values, valid, days, steps, options, out), height, threads)
    return out


def _work(
    values: Float32, valid: Bool, days: Float64, steps: Float64, options: CalendarOptions, out: Regular
) -> Callable[[kernels.Rows], None]:
    """What is to be done on some rows."""
    outputs = (out.values, out.count, out.longest_gap_days, out.distance_days)
    hold = options.outside == "constant"
    match options.method:
        case "linear":
            return lambda rows: kernels.linear(values, valid, days, steps, hold, rows, outputs)
        case "median":
            periods = _periods(days, steps, options.step_days)
            return lambda rows: kernels.median(values, valid, days, steps, periods, hold, rows, outputs)
        case "whittaker":
            nodes = _nodes(days, steps)
            smoothing = float(options.smoothing)
            return lambda rows: kernels.whittaker(values, valid, days, steps, nodes, smoothing, hold, rows, outputs)
        case "harmonic":
            middle = float(steps[0] + steps[-1]) / 2
            bases = (_basis(days, options, middle), _basis(steps, options, middle), options.harmonics)
            return lambda rows: kernels.harmonic(values, valid, days, steps, bases, hold, rows, outputs)


def _periods(days: Float64, steps: Float64, step_days: int) -> tuple[Float64, NDArray[np.int64], int]:
    """Periods around the steps, and as many more before and after as the dates reach: middles, first dates, skipped."""
    early, late = (steps[1] - steps[0], steps[-1] - steps[-2]) if len(steps) > 1 else (step_days, step_days)
    before = max(0, math.ceil((steps[0] - days[0]) / early))
    after = max(0, math.ceil((days[-1] - steps[-1]) / late))
    middles = np.concatenate(
        [steps[0] - early * np.arange(before, 0, -1), steps, steps[-1] + late * np.arange(1, after + 1)]
    )
    between = np.searchsorted(days, (middles[1:] + middles[:-1]) / 2)
    return middles, np.concatenate([[0], between, [len(days)]]).astype(np.int64), before


def _nodes(days: Float64, steps: Float64) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Nodes of a Whittaker curve, one a day: of each date, of each step, and how many there are."""
    first = math.floor(min(days[0], steps[0]))
    of_date, of_step = (np.floor(axis - first).astype(np.int64) for axis in (days, steps))
    return of_date, of_step, max(4, int(max(of_date[-1], of_step[-1])) + 1)


def _basis(days: Float64, options: CalendarOptions, middle: float) -> Float64:
    """(day, coefficient): 1, then cosine and sine of each harmonic of the year, then the trend in years."""
    years = (days - middle) / YEAR_DAYS
    waves = [wave(2 * np.pi * n * years) for n in range(1, options.harmonics + 1) for wave in (np.cos, np.sin)]
    return np.ascontiguousarray(np.stack([np.ones_like(years), *waves, *([years] if options.trend else [])], axis=1))


def _mean(values: Float32, valid: Bool, group: Sequence[int]) -> tuple[Float32, Bool]:
    total = np.zeros(values.shape[1:])
    number = np.zeros(valid.shape[1:], np.int64)
    for index in group:
        usable = valid[index] & np.isfinite(values[index]).all(axis=0)
        total += np.where(usable, values[index], 0)
        number += usable
    with np.errstate(invalid="ignore"):
        return (total / number).astype(np.float32), number > 0


def _rising(axis: Float64) -> bool:
    return bool((np.diff(axis) > 0).all())


def _check(values: Float32, valid: Bool, days: Float64) -> None:
    if values.ndim != 4 or values.dtype != np.float32 or values.shape[1] < 1:
        raise InputError(f"the series is {values.dtype} {values.shape}: expected float32 (time, band, y, x).")
    expected = (values.shape[0], *values.shape[2:])
    if valid.shape != expected or valid.dtype != np.bool_:
        raise InputError(f"valid is {valid.dtype} {valid.shape}: expected bool (time, y, x) = {expected}.")
    if days.shape != expected[:1]:
        raise InputError(f"days are {days.shape}: expected one of each of the {expected[0]} dates.")
