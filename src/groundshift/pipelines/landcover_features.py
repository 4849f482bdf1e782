"""Series of images and stacks of features as one thing: named features of any window of a grid.

Where the series is a list of scenes they are read to planes first, as for a mosaic; an EOPatch is read where it lies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.errors import InputError, NoDataError
from groundshift.execution.crew import Crew
from groundshift.io.stackfile import StackFile
from groundshift.landcover import chain as chains
from groundshift.landcover.chain import VALID, Chain
from groundshift.model.grid import Window
from groundshift.pipelines import steps
from groundshift.pipelines.steps import FRACTION
from groundshift.radiometry.reflectance import USABLE

if TYPE_CHECKING:
    import xarray as xr

    from groundshift.pipelines.mosaic_layers import LayerStack

_COPIES = 4
"""Of a series and its features, that are held at once while a chain works."""


class Series(Protocol):
    """Images of one place at many times; it can be sent to a process."""

    @property
    def geobox(self) -> GeoBox:
        """The grid."""
        ...

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of what was seen."""
        ...

    def read(self, window: Window) -> xr.Dataset:
        """The part of a window, which may reach beyond the grid: there nothing is valid."""
        ...


class Features(Protocol):
    """What a classifier sees; it can be sent to a process."""

    @property
    def geobox(self) -> GeoBox:
        """The grid."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features."""
        ...

    @property
    def pixel_bytes(self) -> int:
        """Memory that a pixel takes while its features are made, about."""
        ...

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features (f, y, x), and clear observations of each pixel (y, x); NaN where they are not known."""
        ...


@dataclass(frozen=True, eq=False)
class SceneSeries:
    """Scenes that lie in planes on one grid."""

    layers: tuple[LayerStack, ...]
    """In the order of time."""
    times: tuple[np.datetime64, ...]
    bands: tuple[str, ...]
    geobox: GeoBox
    fraction: tuple[float, ...]
    """Share of the whole area that each scene shows clear."""

    def read(self, window: Window) -> xr.Dataset:
        """See :class:`Series`; reflectance."""
        import xarray as xr

        from groundshift.pipelines.mosaic_layers import filled

        values, codes = filled(self.layers, window, len(self.bands))
        moving = {band: (("time", "y", "x"), values[:, k]) for k, band in enumerate(self.bands)}
        moving[VALID] = (("time", "y", "x"), codes == USABLE)
        return xr.Dataset(moving, {"time": np.array(self.times), FRACTION: ("time", np.array(self.fraction))})


@dataclass(frozen=True, eq=False)
class SeriesFeatures:
    """A series as a chain makes features of it."""

    series: Series
    chain: Chain
    modules: tuple[str, ...]
    """Python files with steps of the chain."""
    names: tuple[str, ...]
    geobox: GeoBox
    pixel_bytes: int

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See :class:`Features`."""
        steps.load(self.modules)
        padded = window.padded(self.chain.halo_px, (int(self.geobox.shape[0]), int(self.geobox.shape[1])))
        series = self.series.read(padded)
        made = self.chain(series)
        names, values = chains.features(made)
        if names != self.names:
            raise InputError(
                f"the chain makes other features in rows {window.y0} to {window.y1} ({len(names)}) than elsewhere "
                f"({len(self.names)}): its steps may look at nothing but the pixels themselves."
            )
        inner = window.within(padded).slices
        seen = series[VALID].isel(y=inner[0], x=inner[1]).sum("time").values.astype(np.float32)
        return values[:, *inner], seen


@dataclass(frozen=True, eq=False)
class StackFeatures:
    """Bands of a stack as they are."""

    stack: StackFile
    names: tuple[str, ...]
    geobox: GeoBox
    pixel_bytes: int

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See :class:`Features`."""
        values = self.stack.read(window, self.names)
        values[np.isinf(values)] = np.nan
        seen = np.asarray(np.isfinite(values).any(axis=0)).astype(np.float32)
        return values, seen


def of_series(series: Series, chain: Chain, modules: tuple[str, ...] = (), pool: Crew | None = None) -> SeriesFeatures:
    """Features of a series; their names are those that the chain gives the first pixels.

    Args:
        series: of the images.
        chain: that makes features of them.
        modules: Python files with steps of the chain.
        pool: that tries the chain, so that this process need not load what its kernels need; None: it is tried here.

    Raises:
        ConfigError, InputError: a step cannot do what it is asked for.
    """
    first = _First(series, chain, modules)
    names, taken = pool.run(_tried, [first], describe=lambda _: "trying the chain")[0] if pool else _tried(first)
    return SeriesFeatures(series, chain, modules, names, series.geobox, taken)


@dataclass(frozen=True, eq=False)
class _First:
    """The first pixels of a series, on which a chain is tried."""

    series: Series
    chain: Chain
    modules: tuple[str, ...]


def _tried(work: _First) -> tuple[tuple[str, ...], int]:
    """Names of the features, and the memory that a pixel takes while they are made. A task for a worker."""
    steps.load(work.modules)
    rows, columns = work.series.geobox.shape
    reach = 2 * work.chain.halo_px + 1
    part = work.series.read(Window(0, min(reach, int(rows)), 0, min(reach, int(columns))))
    names, values = chains.features(work.chain(part))
    taken = _COPIES * part.nbytes // max(1, part.sizes["y"] * part.sizes["x"]) + _COPIES * values.shape[0] * 4
    return names, int(taken)


def of_stack(stack: StackFile, names: tuple[str, ...] | None = None) -> StackFeatures:
    """Features of a stack, all of them or some in the order asked for."""
    wanted = names or stack.names
    return StackFeatures(stack, wanted, stack.geobox, _COPIES * 4 * len(wanted))


def in_order(series: SceneSeries) -> SceneSeries:
    """Scenes in the order of time.

    Raises:
        NoDataError: there is none.
    """
    if not series.layers:
        raise NoDataError("the series holds no scene.")
    order = np.argsort(np.array(series.times), kind="stable")
    return replace(
        series,
        layers=tuple(series.layers[k] for k in order),
        times=tuple(series.times[k] for k in order),
        fraction=tuple(series.fraction[k] for k in order),
    )
