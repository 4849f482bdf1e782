"""The steps that come with groundshift: what the words in a chain of land cover do."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import ConfigError, InputError, MissingInputError
from groundshift.features import indices as registry
from groundshift.landcover import calendar
from groundshift.landcover.calendar import CalendarOptions
from groundshift.landcover.chain import VALID, require, step

if TYPE_CHECKING:
    import xarray as xr

FRACTION = "valid_fraction"
"""Coordinate of a series: the share of the whole area that each date shows clear."""
_BANDWISE = ("time", "y", "x")
_CACHED = 2**15
"""Pixels whose numbers stay in the cache of a processor."""


def load(modules: Sequence[str]) -> list[dict[str, str]]:
    """Run Python files whose functions become steps, each once as long as it stays the same.

    Returns:
        Name and SHA-256 of each, as a model keeps them.

    Raises:
        MissingInputError: there is no such file.
        ConfigError: it cannot be run.
    """
    known = []
    for text in modules:
        source = _source(text)
        fact = {"file": Path(text).name, "sha256": hashlib.sha256(source).hexdigest()}
        known.append(fact)
        path = Path(text).resolve()
        # A file that was changed is run again, in a notebook as well.
        name = f"groundshift_steps_{path.stem}_{fact['sha256'][:16]}_{path.parent}"
        if name in sys.modules:
            continue
        if path.suffix != ".py":
            raise ConfigError(f"{text}: is no Python file: steps are functions in one.")
        module = sys.modules[name] = ModuleType(name)
        module.__file__ = str(path)
        try:
            # These very bytes are run: what an import finds compiled may be of another version of the file.
            exec(compile(source, path, "exec"), vars(module))
        except Exception as error:
            del sys.modules[name]
            raise ConfigError(f"{text}: its steps cannot be loaded: {type(error).__name__}: {error}.") from error
    return known


def digest(text: str) -> str:
    """SHA-256 of a file of steps.

    Raises:
        MissingInputError: there is no such file.
    """
    return hashlib.sha256(_source(text)).hexdigest()


def _source(text: str) -> bytes:
    try:
        return Path(text).read_bytes()
    except OSError as error:
        raise MissingInputError(f"there is no file of steps {text} that can be read ({error.strerror}).") from error


@step
def merge_days(series: xr.Dataset) -> xr.Dataset:
    """Granules of one day become one date: means of what is valid."""
    days = _days(series)
    if VALID in series and (np.diff(days) >= calendar.SAME_DAY_DAYS).all():
        still = [str(name) for name, v in series.data_vars.items() if v.dims == ("y", "x")]
        return series[[*_moving(series), *still, VALID]]
    names, values, valid = _stacked(series)
    merged, clear, kept = calendar.merge_days(values, valid, days)
    times = _times(series, kept)
    out = _unstacked(series, names, merged, times).assign({VALID: (_BANDWISE, clear)})
    if FRACTION in series.coords:
        share = [np.asarray(series[FRACTION].values)[np.abs(days - day) < 1].sum() for day in kept]
        out = out.assign_coords({FRACTION: ("time", np.minimum(share, 1.0))})
    return out


@step
def drop_frames(series: xr.Dataset, minimum: float = 0.8) -> xr.Dataset:
    """Leave out dates of which less than this share of the whole area is valid."""
    if FRACTION not in series.coords:
        raise InputError(f"step drop_frames needs the coordinate {FRACTION} (time): how much of the area is valid.")
    kept = np.asarray(series[FRACTION].values) >= minimum
    if not kept.any():
        raise InputError(f"step drop_frames: none of {kept.size} dates is valid in {minimum:g} of the area: lower it.")
    return series.isel(time=kept)


@step
def indices(series: xr.Dataset, names: Sequence[str] = ("NDVI", "NDWI", "NORM")) -> xr.Dataset:
    """Add spectral indices of the bands of each date."""
    made = {}
    for name in names:
        index = registry.find(name)
        require(series, index.bands, f"indices ({name})")
        bands = {band: _values(series, band) for band in index.bands}
        found = np.empty(np.broadcast_shapes(*(each.shape for each in bands.values())), np.float32)
        # A few dates at a time: what is in between stays in the cache of the processor.
        few = max(1, _CACHED // max(1, found[0].size))
        for start in range(0, len(found), few):
            part = slice(start, start + few)
            found[part] = registry.compute(name, {band: each[part] for band, each in bands.items()})
        made[index.name] = (_BANDWISE, found)
    return series.assign(made)


@step
def select(series: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Keep these variables and no others."""
    require(series, names, "select")
    return series[[*names, *([VALID] if VALID in series else [])]]


@step
def regular(
    series: xr.Dataset,
    *,
    step_days: int = 16,
    method: Literal["linear", "whittaker", "harmonic", "median"] = "linear",
    first: str = "01-01",
    last: str = "12-31",
    outside: Literal["constant", "nan"] = "constant",
    distance: bool = False,
) -> xr.Dataset:
    """Bring everything that changes to a calendar, filling the gaps that clouds left.

    The calendar goes from ``first`` to ``last``: days (2023-03-01), or days of the year (03-01) that most of the dates
    are of; what was seen before and after takes part. Granules of one day are merged first. ``observations`` and
    ``longest_gap`` (days) are added; with ``distance`` also the days from each step to the nearest observation.
    """
    names, values, valid = _stacked(series)
    start, stop = _between(series, first, last)
    own = _days(series)
    if (np.diff(own) < calendar.SAME_DAY_DAYS).any():
        values, valid, own = calendar.merge_days(values, valid, own)
    begin = np.datetime64(start, "s") - series["time"].values.astype("datetime64[s]")[0]
    # At noon: an observation is of its day, whatever its hour.
    steps = begin.astype(np.float64) / 86_400 + 0.5 + np.arange(0, (stop - start).days + 1, step_days, dtype=np.float64)
    options = CalendarOptions(method=method, step_days=step_days, outside=outside)
    made = calendar.regular(values, valid, own, steps, options)
    times = np.array([np.datetime64(start + timedelta(days=step_days * k), "ns") for k in range(len(steps))])
    out = _unstacked(series, names, made.values, times)
    if distance:
        out = out.assign(distance=(_BANDWISE, made.distance_days))
    return out.assign(
        observations=(("y", "x"), made.count.astype(np.float32)), longest_gap=(("y", "x"), made.longest_gap_days)
    )


@step
def statistics(series: xr.Dataset, percentiles: Sequence[float] = (10, 25, 50, 75, 90)) -> xr.Dataset:
    """Percentiles over time of everything that changes, of what is valid: features that need no calendar."""
    import xarray as xr

    names, values, valid = _stacked(series)
    # Sorted, what is not valid comes last: of the others, a percentile lies between two of them.
    rising = np.sort(np.where(valid[:, None] & np.isfinite(values), values, np.inf), axis=0)
    count = np.isfinite(rising).sum(axis=0)
    made: dict[str, Any] = {}
    for rank in percentiles:
        place = rank / 100 * np.maximum(count - 1, 0)
        low = np.floor(place).astype(np.intp)
        ends = [np.take_along_axis(rising, each[None], axis=0)[0] for each in (low, np.minimum(low + 1, count - 1))]
        with np.errstate(invalid="ignore"):
            found = np.where(count > 0, ends[0] + (place - low) * (ends[1] - ends[0]), np.nan).astype(np.float32)
        made |= {f"{name}_p{rank:g}": (("y", "x"), found[k]) for k, name in enumerate(names)}
    still = {name: v for name, v in series.data_vars.items() if v.dims == ("y", "x")}
    return xr.Dataset({**still, **made}).assign(observations=(("y", "x"), valid.sum(axis=0).astype(np.float32)))


def _values(series: xr.Dataset, name: str) -> NDArray[np.float32]:
    return np.asarray(series[name].transpose(..., "y", "x").values, np.float32)


def _moving(series: xr.Dataset) -> list[str]:
    return [str(name) for name, v in series.data_vars.items() if name != VALID and set(v.dims) == {"time", "y", "x"}]


def _stacked(series: xr.Dataset) -> tuple[list[str], NDArray[np.float32], NDArray[np.bool_]]:
    """Names, values (t, b, y, x) and validity (t, y, x) of everything that changes from pixel to pixel and in time."""
    names = _moving(series)
    if not names:
        raise InputError("the series has no variable of (time, y, x) that could be brought to a calendar.")
    values = np.stack(
        [np.asarray(series[name].transpose("time", "y", "x").values, np.float32) for name in names], axis=1
    )
    if VALID in series:
        valid = np.asarray(series[VALID].transpose("time", "y", "x").values, bool)
    else:
        valid = np.asarray(np.isfinite(values).all(axis=1))
    return names, values, valid


def _unstacked(
    series: xr.Dataset, names: Sequence[str], values: NDArray[np.float32], times: NDArray[np.datetime64]
) -> xr.Dataset:
    import xarray as xr

    moving = {name: (_BANDWISE, values[:, k]) for k, name in enumerate(names)}
    still = {name: v.variable for name, v in series.data_vars.items() if v.dims == ("y", "x")}
    coords = {name: c.variable for name, c in series.coords.items() if "time" not in c.dims}
    return xr.Dataset({**moving, **still}, {**coords, "time": times})


def _days(series: xr.Dataset) -> NDArray[np.float64]:
    """Days of the dates, with parts of a day, from the first one."""
    time = series["time"].values.astype("datetime64[s]")
    return np.asarray((time - time[0]).astype(np.float64) / 86_400)


def _times(series: xr.Dataset, days: NDArray[np.float64]) -> NDArray[np.datetime64]:
    first = series["time"].values.astype("datetime64[s]")[0]
    return np.asarray(first + np.rint(days * 86_400).astype("timedelta64[s]"), "datetime64[ns]")


def _between(series: xr.Dataset, first: str, last: str) -> tuple[date, date]:
    """First and last day of a calendar; days of a year are of the one that most dates are of."""
    years = series["time"].values.astype("datetime64[Y]").astype(int) + 1970
    values, counts = np.unique(years, return_counts=True)
    year = int(values[counts.argmax()])
    try:
        start, stop = (date.fromisoformat(text if len(text) > 5 else f"{year}-{text}") for text in (first, last))
    except ValueError as error:
        raise ConfigError(f"step regular: days are written 2023-03-01 or 03-01, not {first!r}, {last!r}.") from error
    if stop < start and len(last) <= 5:
        # A season over the turn of the year, 10-01 to 09-30, ends in the next one.
        stop = stop.replace(year=stop.year + 1)
    if stop < start:
        raise ConfigError(f"step regular: the calendar ends ({stop}) before it begins ({start}).")
    return start, stop
