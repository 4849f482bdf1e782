"""An EOPatch folder as a series: its images by name, and what of them is valid."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import lru_cache
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.errors import InputError
from groundshift.landcover.chain import VALID
from groundshift.model.grid import Window, blocks
from groundshift.pipelines.steps import FRACTION

if TYPE_CHECKING:
    import xarray as xr

_VALID = ("mask.IS_VALID", "mask.VALID", "mask.VALID_DATA", "mask.IS_DATA")
"""Names under which eo-learn's examples say what is valid, the strictest first."""
_CLOUDS = "mask.CLM"
_ROWS = 256


@dataclass(frozen=True, eq=False)
class PatchSeries:
    """An EOPatch; it can be sent to a process, which opens the folder itself."""

    folder: str
    names: tuple[tuple[str, str, int | None], ...]
    """Variable of the series, feature of the patch, number of its band."""
    geobox: GeoBox
    fraction: tuple[float, ...] = ()
    opened: int = 0
    """Which opening of the folder it is of: what was read then is not read again for every block of a process."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Variables of the series."""
        return tuple(name for name, _, _ in self.names)

    def read(self, window: Window) -> xr.Dataset:
        """See :class:`~groundshift.pipelines.landcover_features.Series`.

        Raises:
            InputError: the window reaches beyond the patch.
        """
        import xarray as xr

        rows, columns = self.geobox.shape
        if window.shared(Window(0, int(rows), 0, int(columns))) != window:
            raise InputError(f"{self.folder}: rows {window.y0} to {window.y1} are not all in the patch.")
        part = _whole(self.folder, self.opened).isel(y=slice(window.y0, window.y1), x=slice(window.x0, window.x1))
        made: dict[str, Any] = {}
        stored: dict[str, NDArray[np.float32]] = {}
        for name, feature, band in self.names:
            variable = part[feature].variable
            if feature not in stored:
                # Bands lie beside each other in a patch: all of them are read in one pass.
                stored[feature] = np.ascontiguousarray(variable.values, np.float32)
            if band is None:
                made[name] = (variable.dims, stored[feature])
            else:
                axis = variable.dims.index(f"{feature}.band")
                dims = tuple(dim for dim in variable.dims if dim != f"{feature}.band")
                made[name] = (dims, stored[feature][(slice(None),) * axis + (band,)])
        made[VALID] = (("time", "y", "x"), _valid(part))
        _let_go(part)
        coords = {"time": part["time"].values.astype("datetime64[ns]")}
        found = xr.Dataset(made, coords)
        return found.assign_coords({FRACTION: ("time", np.array(self.fraction))}) if self.fraction else found


def is_patch(path: str) -> bool:
    """True for a folder that is an EOPatch."""
    folder = Path(path)
    return folder.is_dir() and any(folder.glob("bbox.*")) and any(folder.glob("timestamp*"))


def open_patch(folder: str, bands: tuple[str, ...] = ()) -> PatchSeries:
    """Open a patch as a series.

    Args:
        folder: of the patch. Images of one band keep their name (``NDVI``); those of several are named by ``bands``
            where there are as many, else ``BANDS_1``, ``BANDS_2`` ...
        bands: names of the bands of the image that has as many.

    Raises:
        MissingInputError, ProductError: as :func:`~groundshift.io.eopatch.read_eopatch`.
        InputError: it holds no images over time.
    """
    opened = time.monotonic_ns()
    whole = _whole(folder, opened)
    names: list[tuple[str, str, int | None]] = []
    for key, variable in whole.data_vars.items():
        group, _, own = str(key).partition(".")
        if group not in ("data", "data_timeless") or not {"y", "x"} <= set(variable.dims):
            continue
        count = variable.sizes.get(f"{key}.band")
        if count is None:
            names.append((own, str(key), None))
        elif count == len(bands):
            names += [(band, str(key), k) for k, band in enumerate(bands)]
        else:
            names += [(f"{own}_{k + 1}", str(key), k) for k in range(count)]
    if not any("time" in whole[key].dims for _, key, _ in names):
        raise InputError(f"{folder}: holds no images over time: expected features in its folder data.")
    return PatchSeries(folder, tuple(names), _grid(whole), _fractions(whole), opened)


@lru_cache(maxsize=1)
def _whole(folder: str, opened: int) -> xr.Dataset:
    """The patch, its arrays mapped."""
    from groundshift.io import eopatch

    return eopatch.read_eopatch(folder)


def _valid(part: xr.Dataset) -> NDArray[np.bool_]:
    """What the patch says is valid; everything where it says nothing."""
    flag = next((name for name in _VALID if name in part), None)
    shape = part.sizes["time"], part.sizes["y"], part.sizes["x"]
    valid = np.ones(shape, bool) if flag is None else np.asarray(part[flag].values, bool).reshape(shape)
    if flag in (None, _VALID[-1]) and _CLOUDS in part:
        valid &= np.asarray(part[_CLOUDS].values).reshape(shape) == 0
    return valid


def _let_go(part: xr.Dataset) -> None:
    """Let the pages of mapped files go: what was read is copied, and memory must not grow with the patch."""
    for variable in part.variables.values():
        held: object = variable.values
        while isinstance(held, np.ndarray):
            held = held.base
        if isinstance(held, mmap) and hasattr(held, "madvise"):
            held.madvise(MADV_DONTNEED)


def _fractions(whole: xr.Dataset) -> tuple[float, ...]:
    shape = whole.sizes["y"], whole.sizes["x"]
    parts = (_valid(whole.isel(y=slice(w.y0, w.y1))) for w in blocks(shape, _ROWS))
    total = sum(np.count_nonzero(part, axis=(1, 2)) for part in parts)
    _let_go(whole)
    return tuple(float(n) for n in np.asarray(total) / math.prod(shape))


def _grid(whole: xr.Dataset) -> GeoBox:
    y, x = (np.asarray(whole[axis].values, float) for axis in ("y", "x"))
    dy, dx = ((v[-1] - v[0]) / max(1, len(v) - 1) or 1.0 for v in (y, x))
    affine = Affine(dx, 0, x[0] - dx / 2, 0, dy, y[0] - dy / 2)
    return GeoBox((len(y), len(x)), affine, whole["spatial_ref"].attrs["crs_wkt"])
