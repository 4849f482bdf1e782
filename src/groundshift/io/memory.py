"""Scenes that are already in memory: numpy arrays and xarray objects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.errors import InputError, MissingInputError, UsageError
from groundshift.io import warp
from groundshift.model.bands import SCL, parse_band
from groundshift.model.grid import Window, pixel_size_m
from groundshift.model.scene import BandInfo, Checked, Pixels, Resampling, Scene

if TYPE_CHECKING:
    import xarray as xr

_HREF = "memory"


@dataclass(frozen=True, eq=False)
class MemoryReader:
    """Reads the bands of one scene from arrays; a :class:`~groundshift.model.scene.Reader`."""

    scene: Scene
    arrays: Mapping[str, NDArray[Any]]
    """(y, x) by canonical name, ``SCL`` among them; never written to."""
    valid: NDArray[np.bool_] | None = None
    """(y, x), True = a measurement; None: all that is neither no data nor NaN."""

    def files(self, bands: Sequence[str]) -> tuple[str, ...]:
        """None: there is no file behind an array. Raises MissingInputError for a band that is not there."""
        for band in bands:
            self._info(band)
        return ()

    def verify(self, file: str) -> Checked:
        """There is nothing to verify; raises MissingInputError."""
        raise MissingInputError(f"{file}: a scene in memory has no files.")

    def digest(self) -> str:
        """SHA-256 of all the arrays."""
        found = hashlib.sha256()
        for array in (*self.arrays.values(), *(() if self.valid is None else (self.valid,))):
            found.update(array.tobytes())
        return found.hexdigest()

    def read(self, bands: Sequence[str], geobox: GeoBox, resampling: Resampling = "bilinear") -> Pixels:
        """Read bands on a grid; see :class:`~groundshift.model.scene.Reader`. The arrays returned are the caller's."""
        planes = [self._read(self._info(band), geobox, resampling) for band in bands]
        dn, valid = zip(*planes, strict=True)
        return Pixels(dn=np.stack(dn), valid=np.stack(valid), saturated=np.zeros((len(dn), *geobox.shape), bool))

    def read_classification(self, geobox: GeoBox) -> NDArray[np.uint8] | None:
        """Read the SCL on a grid, nearest neighbour, 0 outside; None when the scene has none."""
        if self.scene.classification is None:
            return None
        dn, valid = self._read(self.scene.classification, geobox, "nearest")
        return np.where(valid, dn, 0).astype(np.uint8)

    def _info(self, band: str) -> BandInfo:
        info = self.scene.classification if band == SCL else self.scene.bands.get(band)
        if info is None:
            raise MissingInputError(f"{self.scene.name}: has no band {band}: choose among {', '.join(self.arrays)}.")
        return info

    def _read(self, info: BandInfo, geobox: GeoBox, resampling: Resampling) -> warp.Stored:
        stored = self.arrays[info.name]

        def source(window: Window) -> warp.Stored:
            dn = stored[window.slices]
            return dn, self._usable(dn, info, window)

        return warp.resample(source, info.geobox, np.dtype(info.dtype), geobox, resampling)

    def _usable(self, dn: NDArray[Any], info: BandInfo, window: Window) -> NDArray[np.bool_]:
        usable = np.isfinite(dn) if dn.dtype.kind == "f" else np.ones(dn.shape, bool)
        if info.nodata is not None and not np.isnan(info.nodata):
            usable &= dn != info.nodata
        if self.valid is not None and info.name != SCL:
            usable &= self.valid[window.slices]
        return usable


def from_arrays(
    bands: Mapping[str, NDArray[Any]],
    geobox: GeoBox | None = None,
    *,
    scale: float | None = None,
    offset: float = 0.0,
    nodata: float | None = None,
    valid: NDArray[np.bool_] | None = None,
    classification: NDArray[np.uint8] | None = None,
    name: str = "memory",
    sensing_time: datetime | None = None,
) -> MemoryReader:
    """Make a scene of numpy arrays.

    Args:
        bands: (y, x) each, all of one shape, by band name.
        geobox: their grid; None: pixels without georeference.
        scale: DN that is reflectance 1.0: reflectance = (DN + offset) / scale; needed for integers, 1 for floats.
        offset: added to a DN before scaling.
        nodata: DN that means no data; None: 0 for unsigned integers, NaN for floats.
        valid: (y, x), True = a measurement.
        classification: (y, x) codes of the SCL.
        name: for messages and the report.
        sensing_time: UTC.

    Raises:
        InputError: shapes differ, or integers come without a scale.
        UsageError: an unknown band.
    """
    named = {parse_band(band): np.asarray(array) for band, array in bands.items()}
    arrays = named if classification is None else {**named, SCL: np.asarray(classification, np.uint8)}
    grid = geobox if geobox is not None else _pixel_grid(named, name)
    extra = [] if valid is None else [("valid", np.asarray(valid))]
    for band, array in [*arrays.items(), *extra]:
        if array.shape != tuple(grid.shape):
            raise InputError(f"{name}: {band} has shape {array.shape}: expected {tuple(grid.shape)}, (y, x).")
    infos = {band: _info(band, array, grid, (scale, offset, nodata), name) for band, array in named.items()}
    return MemoryReader(
        Scene(
            name=name,
            href=_HREF,
            kind="memory",
            bands=infos,
            classification=None if classification is None else _classes(grid),
            sensing_time=sensing_time,
            offset_rule=f"given with the arrays: offset {offset:g} DN",
        ),
        arrays,
        None if valid is None else np.asarray(valid, bool),
    )


def _pixel_grid(arrays: Mapping[str, NDArray[Any]], name: str) -> GeoBox:
    shape = next(iter(arrays.values()), np.empty(0)).shape
    if len(shape) != 2:
        raise InputError(f"{name}: expected at least one band of shape (y, x), got shape {shape}.")
    return GeoBox(shape, Affine.identity(), None)


def _info(
    band: str, array: NDArray[Any], grid: GeoBox, meaning: tuple[float | None, float, float | None], name: str
) -> BandInfo:
    scale, offset, nodata = meaning
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name}: band {band} holds {array.dtype}: expected integers or floats.")
    if scale is None and array.dtype.kind != "f":
        raise InputError(f"{name}: band {band} holds integers: say which is reflectance 1, as scale=10000.")
    return BandInfo(
        name=band,
        href=_HREF,
        geobox=grid,
        dtype=array.dtype.name,
        scale=1.0 if scale is None else 1 / scale,
        offset=offset,
        nodata=0.0 if nodata is None and array.dtype.kind == "u" else nodata,
        resolution_m=pixel_size_m(grid),
    )


def _classes(grid: GeoBox) -> BandInfo:
    return BandInfo(name=SCL, href=_HREF, geobox=grid, dtype="uint8", nodata=0, resolution_m=pixel_size_m(grid))


def from_xarray(
    data: xr.DataArray | xr.Dataset, *, scale: float | None = None, offset: float = 0.0, nodata: float | None = None
) -> MemoryReader:
    """Make a scene of an xarray object.

    Args:
        data: a Dataset with one (y, x) variable a band, or a DataArray (band, y, x) whose ``band`` coordinate names
            them; the grid comes from its coordinates (odc-geo, rioxarray), none are needed. A variable ``SCL`` is the
            scene classification. Attributes ``scale_factor``, ``add_offset`` and ``_FillValue`` are followed where no
            ``scale`` is given.
        scale, offset, nodata: as in :func:`from_arrays`.

    Raises:
        InputError: more than one date, unnamed bands, or as :func:`from_arrays`.
    """
    name = str(getattr(data, "name", None) or data.attrs.get("name") or "memory")
    variables = _variables(data, name)
    sample = next(iter(variables.values()), None)
    if sample is None:
        raise InputError(f"{name}: no variable is named like a band (B02, B8A, nir ...): found {_names_in(data)}.")
    attrs = {**sample.attrs, **sample.encoding}
    if scale is None and attrs.get("scale_factor") and sample.dtype.kind != "f":
        scale = 1 / float(attrs["scale_factor"])
        offset = float(attrs.get("add_offset", 0.0)) * scale
    fill = attrs.get("_FillValue", attrs.get("nodata"))
    classes = variables.pop(SCL, None)
    return from_arrays(
        {band: variable.to_numpy() for band, variable in variables.items()},
        _geobox(sample),
        scale=scale,
        offset=offset,
        nodata=float(fill) if nodata is None and fill is not None else nodata,
        classification=None if classes is None else classes.to_numpy(),
        name=name,
        sensing_time=_time(sample),
    )


def _variables(data: Any, name: str) -> dict[str, Any]:
    if "time" in data.dims or "t" in data.dims:
        raise InputError(f"{name}: holds several dates: choose one, as data.isel(time=0).")
    if hasattr(data, "data_vars"):
        pairs = list(data.data_vars.items())
    elif "band" in data.dims:
        labels = data.attrs.get("long_name") if isinstance(data.attrs.get("long_name"), tuple) else data["band"].values
        pairs = [(str(label), data.isel(band=i)) for i, label in enumerate(labels)]
    else:
        pairs = [(name, data)]
    return {band: variable for label, variable in pairs if (band := _band(str(label))) and variable.ndim == 2}


def _band(label: str) -> str | None:
    if label.upper() == SCL:
        return SCL
    try:
        return None if label.isdigit() else parse_band(label)
    except UsageError:
        return None


def _names_in(data: Any) -> str:
    return (
        ", ".join(map(str, data.data_vars)) if hasattr(data, "data_vars") else str(data.coords.get("band", "no names"))
    )


def _geobox(variable: Any) -> GeoBox | None:
    """Grid of a (y, x) variable by its coordinates and its CRS (CF grid mapping, as rioxarray and odc-geo write it)."""
    rows, columns = variable.dims
    if rows not in variable.coords or columns not in variable.coords:
        return None
    y, x = (np.asarray(variable[dim].values, np.float64) for dim in (rows, columns))
    steps = [np.diff(axis) for axis in (y, x)]
    if any(len(step) == 0 or not np.allclose(step, step[0], rtol=1e-3, atol=0) for step in steps):
        raise InputError(f"{variable.name}: coordinates {rows} and {columns} are not evenly spaced: no pixel grid.")
    dy, dx = ((axis[-1] - axis[0]) / (len(axis) - 1) for axis in (y, x))
    affine = Affine(dx, 0, x[0] - dx / 2, 0, dy, y[0] - dy / 2)
    return GeoBox(variable.shape, affine, _crs(variable, (str(rows), str(columns))))


def _crs(variable: Any, dims: tuple[str, str]) -> str | None:
    name = variable.encoding.get("grid_mapping") or variable.attrs.get("grid_mapping") or "spatial_ref"
    mapping = variable.coords[name].attrs if name in variable.coords else {}
    written = mapping.get("crs_wkt") or mapping.get("spatial_ref") or variable.attrs.get("crs")
    if written is None and dims in (("latitude", "longitude"), ("lat", "lon")):
        return "EPSG:4326"
    return None if written is None else str(written)


def _time(variable: Any) -> datetime | None:
    if "time" not in variable.coords or variable["time"].ndim:
        return None
    seconds = variable["time"].values.astype("datetime64[s]").astype(int)
    return datetime.fromtimestamp(int(seconds), UTC)
