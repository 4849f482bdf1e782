"""A chain of named steps, from a series of images to the features of a classifier; anybody's function can be a step.

A series is an :class:`xarray.Dataset`: variables with dimensions ``(time, y, x)``, one a band, index or any other thing
that changes (radar, rain), variables ``(y, x)`` for what does not (elevation), and ``valid``, bool ``(time, y, x)``,
True = usable. ``valid_fraction`` (time) says how much of the whole area each date shows, whatever part is at hand.
"""

from __future__ import annotations

import difflib
import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import ConfigError, GroundshiftError, InputError

if TYPE_CHECKING:
    import xarray as xr

Function = Callable[..., "xr.Dataset"]
F = TypeVar("F", bound=Function)

VALID = "valid"
_AXES = ("time", "y", "x")
DAY = "{name}_d{day:03d}"
"""Name of a feature: the variable, and the days from the first day of the calendar."""


_OF_DAY = re.compile(r"(.+)_d(\d{3,})")


@dataclass(frozen=True)
class Registered:
    """A function that can be named in a chain."""

    function: Function
    halo_px: int
    """Pixels around a block that it needs to see."""


STEPS: dict[str, Registered] = {}
"""Steps by name; :func:`step` adds to it."""


@overload
def step(function: F) -> F: ...
@overload
def step(*, name: str | None = None, halo_px: int = 0) -> Callable[[F], F]: ...
def step(function: F | None = None, *, name: str | None = None, halo_px: int = 0) -> F | Callable[[F], F]:
    """Make a function a step of chains, under its own name or another; it stays the function that it was.

    ::

        @gs.step
        def greenness(series, gain=2.5):
            return series.assign(green=gain * (series.B08 - series.B04))

    Args:
        function: takes a series and options by keyword, returns a series. It sees any part of the area, so that what
            it makes of a pixel must depend on that pixel alone, or on ``halo_px`` pixels around it.
        name: in chains; None: that of the function.
        halo_px: pixels around a block that it needs.
    """

    def registered(made: F) -> F:
        STEPS[name or made.__name__] = Registered(made, halo_px)
        return made

    return registered if function is None else registered(function)


@dataclass(frozen=True)
class Link:
    """One step of a chain, with its options."""

    use: str
    """Name of the step."""
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any] | str) -> Link:
        """A link as a chain file writes it: ``{use = "regular", step_days = 16}``.

        Raises:
            ConfigError: there is no such step, or it has no such option.
        """
        if isinstance(given, str):
            given = {"use": given}
        use = given.get("use")
        if not isinstance(use, str) or use not in STEPS:
            close = difflib.get_close_matches(str(use), STEPS, n=1)
            told = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(sorted(STEPS))}."
            raise ConfigError(f"there is no step {use!r}; {told}")
        link = cls(use, {key: value for key, value in given.items() if key != "use"})
        known = inspect.signature(STEPS[use].function).parameters
        if not any(each.kind is each.VAR_KEYWORD for each in known.values()):
            for key in link.options:
                if key not in list(known)[1:]:
                    raise ConfigError(f"step {use} has no option {key}: it has {', '.join(list(known)[1:]) or 'none'}.")
        return link

    def __call__(self, series: xr.Dataset) -> xr.Dataset:
        """Do it.

        Raises:
            InputError: the function failed, or did not return a series.
        """
        import xarray as xr

        try:
            made = STEPS[self.use].function(series, **self.options)
        except GroundshiftError:
            raise
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise InputError(
                f"step {self.use} failed: {type(error).__name__}: {error} ({last.filename}, line {last.lineno})."
            ) from error
        if not isinstance(made, xr.Dataset):
            raise InputError(f"step {self.use} returned {type(made).__name__}: expected an xarray.Dataset.")
        return made


@dataclass(frozen=True)
class Chain:
    """Steps in order; law: how the area is cut into blocks (with their halo) changes nothing."""

    links: tuple[Link, ...]

    @classmethod
    def of(cls, given: Iterable[Mapping[str, Any] | str | Link]) -> Chain:
        """A chain from the lines of a file; raises ConfigError as :meth:`Link.of`."""
        return cls(tuple(each if isinstance(each, Link) else Link.of(each) for each in given))

    def plain(self) -> list[dict[str, Any]]:
        """The chain as plain values, as :meth:`of` takes them."""
        return [{"use": link.use, **link.options} for link in self.links]

    @property
    def halo_px(self) -> int:
        """Pixels around a block that all steps together need."""
        return sum(STEPS[link.use].halo_px for link in self.links)

    @property
    def local(self) -> bool:
        """True where a step is a function of this very session (a notebook), which no other process knows."""
        return not all(STEPS[link.use].function.__module__.startswith("groundshift") for link in self.links)

    def __call__(self, series: xr.Dataset) -> xr.Dataset:
        """All steps, one after the other."""
        for link in self.links:
            series = link(series)
        return series


def features(series: xr.Dataset) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """What a series is to a classifier: each variable at each time is a feature.

    Args:
        series: that a chain made. ``valid`` is none of the features. Variables of time alone are the same everywhere.

    Returns:
        Names, such as ``NDVI_d016`` for the 16th day after the first of the series, and values (feature, y, x)
        float32, NaN where there are none.

    Raises:
        InputError: there is nothing that could be a feature.
    """
    names: list[str] = []
    layers: list[NDArray[np.generic]] = []
    shape = series.sizes["y"], series.sizes["x"]
    for name, variable in series.data_vars.items():
        if name == VALID or not {"time", "y", "x"} >= set(variable.dims) or variable.dtype.kind not in "fiub":
            continue
        if "time" in variable.dims:
            names += [DAY.format(name=name, day=day) for day in days(series)]
        else:
            names.append(str(name))
        own = variable.transpose(*(axis for axis in _AXES if axis in variable.dims)).values
        # With an axis of length 1 where it has none, it fits the area by broadcasting.
        layers.append(own[tuple(slice(None) if axis in variable.dims else np.newaxis for axis in _AXES)])
    if not layers:
        raise InputError("the chain left no variable that could be a feature: expected some of (time, y, x) or (y, x).")
    out = np.empty((len(names), *shape), np.float32)
    begin = 0
    for layer in layers:
        out[begin : begin + len(layer)] = layer
        begin += len(layer)
    # A ratio over nothing is no number.
    out[np.isinf(out)] = np.nan
    return tuple(names), out


def calendar_of(names: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Features that are of dates, ordered by variable and date, and how many dates each variable has.

    Returns:
        Names and number; no names and 0 where variables are of different dates, or of none.
    """
    found: dict[str, dict[int, str]] = {}
    for name in names:
        match = _OF_DAY.fullmatch(name)
        if match:
            found.setdefault(match[1], {})[int(match[2])] = name
    calendars = {tuple(sorted(each)) for each in found.values()}
    if len(calendars) != 1:
        return (), 0
    (of_all,) = calendars
    return tuple(each[day] for each in found.values() for day in of_all), len(of_all)


def variable_of(name: str) -> str:
    """The variable of a feature that is of a date."""
    match = _OF_DAY.fullmatch(name)
    return match[1] if match else name


def days(series: xr.Dataset) -> list[int]:
    """Days of the dates of a series from its first."""
    time = series["time"].values.astype("datetime64[D]")
    return [int(day) for day in (time - time[0]).astype(int)]


def require(series: xr.Dataset, names: Sequence[str], who: str) -> None:
    """Raise InputError where a step lacks variables."""
    missing = [name for name in names if name not in series]
    if missing:
        raise InputError(
            f"step {who} needs {', '.join(missing)}: the series has {', '.join(map(str, series.data_vars))}."
        )
