"""EOPatch folders of eo-learn as xarray, read and written without eo-learn and without unpickling anything.

A feature ``NDVI`` of the group ``data`` is the variable ``data.NDVI``: names in a patch hold no dot. Images are
(time, band, y, x), with a dimension ``data.NDVI.band`` where there is more than one band. A table is one variable a
column, ``vector.CLOUDS.TIMESTAMP``, along ``vector.CLOUDS.row``, with shapely geometries in ``vector.CLOUDS.geometry``.
Meta-info is the attribute ``meta_info``.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import warnings
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import shapely
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from groundshift.errors import InputError, MissingInputError, OutputError, ProductError, UsageError
from groundshift.io.atomic import scratch, writing

Array = NDArray[Any]
Overwrite = Literal["nothing", "features", "patch"]

_AXES = {
    "data": ("time", "y", "x", "band"),
    "mask": ("time", "y", "x", "band"),
    "scalar": ("time", "band"),
    "label": ("time", "band"),
    "data_timeless": ("y", "x", "band"),
    "mask_timeless": ("y", "x", "band"),
    "scalar_timeless": ("band",),
    "label_timeless": ("band",),
}
"""Axes of the arrays of each group, as they are stored."""
_TABLES = ("vector", "vector_timeless")
_META, _BBOX, _TIMESTAMPS, _OLD_TIMESTAMPS = "meta_info", "bbox", "timestamps", "timestamp"
_DISCRETE = ("mask", "label", "mask_timeless", "label_timeless")
_SUFFIXES = {
    **dict.fromkeys(_AXES, (".npy", ".npy.gz")),
    **dict.fromkeys(_TABLES, (".gpkg", ".gpkg.gz", ".geojson", ".geojson.gz")),
    _META: (".json", ".json.gz"),
}
_FORBIDDEN = set("./\\|;:\n\t")
_MOST_JSON_BYTES = 64 * 2**20
_LONLAT = "EPSG:4326"


# --- reading -------------------------------------------------------------------------------------------------------


def read_eopatch(folder: str | os.PathLike[str]) -> xr.Dataset:
    """Open an EOPatch.

    Args:
        folder: of the patch. Arrays that are not compressed (``.npy``) are mapped, not loaded.

    Returns:
        All its features; coordinates ``time``, ``y`` and ``x`` of the pixel centres, north first, and ``spatial_ref``.
        Images of another size than the largest keep axes of their own (``data.S1.y`` ...). A patch without images has
        no ``y`` and ``x``, so its bounds are not kept.

    Raises:
        MissingInputError: there is no such folder, or no patch in it.
        ProductError: something in it is broken, contradicts the rest, is pickled, or is Zarr.
    """
    root = Path(folder)
    if not root.is_dir():
        raise MissingInputError(f"{root}: is no folder: expected the folder of an EOPatch.")
    files = dict(_features(root))
    bbox, timestamps = _single(root, _BBOX, ".geojson"), _single(root, _TIMESTAMPS, ".json")
    timestamps = timestamps or _single(root, _OLD_TIMESTAMPS, ".json")
    if not files and bbox is None:
        raise MissingInputError(f"{root}: holds neither a feature nor a bbox.geojson: expected an EOPatch.")
    arrays = {name: _array(file, name) for name, file in files.items() if name.partition(".")[0] in _AXES}
    times = None if timestamps is None else _times(timestamps)
    _check_times(arrays, times, root)
    sizes = [(each.shape[-3], each.shape[-2]) for name, each in arrays.items() if _spatial(name)]
    size = max(sizes, key=math.prod, default=(0, 0))
    coordinates: dict[str, Any] = {} if times is None else {"time": times}
    place = None if bbox is None else _box(bbox)
    if place is not None and sizes:
        wkt = place[1].to_wkt()
        coordinates |= _centres(place[0], size)
        coordinates["spatial_ref"] = xr.Variable((), 0, {"crs_wkt": wkt, "grid_mapping_name": "crs"})
    variables: dict[str, xr.Variable] = {}
    for name, array in arrays.items():
        variables[name] = _variable(name, array, size)
        if place is not None and f"{name}.y" in variables[name].dims:
            coordinates |= _centres(place[0], array.shape[-3:-1], f"{name}.y", f"{name}.x")
    for name, file in files.items():
        if name.partition(".")[0] in _TABLES:
            variables |= _columns(file, name)
    return xr.Dataset(variables, coordinates, {_META: _meta_info(root, files)})


def _features(root: Path) -> Iterator[tuple[str, Path]]:
    """Names and files of all features; what cannot be read is refused, not passed over."""
    found: dict[str, Path] = {}
    for group, suffixes in _SUFFIXES.items():
        if not (root / group).is_dir():
            continue
        for file in sorted((root / group).iterdir()):
            feature, _, suffix = file.name.partition(".")
            if not feature:
                continue
            if f".{suffix}" not in suffixes:
                raise ProductError(f"{file}: {_why_not(suffix)}: expected {' or '.join(suffixes)}.")
            name = f"{group}.{feature}"
            if name in found:
                raise ProductError(f"{file}: {found[name].name} holds the same feature: remove one of them.")
            found[name] = file
    return iter(found.items())


def _why_not(suffix: str) -> str:
    if suffix.startswith("zarr"):
        return "features stored as Zarr are not read; save the patch with use_zarr=False"
    if suffix.startswith("pkl"):
        return "is pickled, which is never read because it can run any code; save the patch with eo-learn 1.0 or later"
    return "is no file of an EOPatch"


def _single(root: Path, name: str, suffix: str) -> Path | None:
    for file in (root / f"{name}{suffix}", root / f"{name}{suffix}.gz"):
        if file.is_file():
            return file
    for pickled in (root / f"{name}.pkl", root / f"{name}.pkl.gz"):
        if pickled.exists():
            raise ProductError(f"{pickled}: {_why_not('pkl')}.")
    return None


def _array(file: Path, name: str) -> Array:
    axes = _AXES[name.partition(".")[0]]
    try:
        if file.suffix == ".gz":
            with gzip.open(file) as stream:
                array = np.load(stream, allow_pickle=False)
        else:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, zlib.error, SyntaxError) as error:
        if "pickle" in str(error) or "Python objects" in str(error):
            raise ProductError(f"{file}: holds Python objects, which are never read: expected numbers.") from error
        raise ProductError(f"{file}: cannot be read as a numpy array ({error}): save the feature again.") from error
    if not isinstance(array, np.ndarray) or array.ndim != len(axes):
        raise ProductError(f"{file}: is {np.shape(array)}: expected ({', '.join(axes)}).")
    return array


def _variable(name: str, array: Array, size: tuple[int, int]) -> xr.Variable:
    axes = _AXES[name.partition(".")[0]]
    if array.shape[-1] == 1:
        array, axes = array[..., 0], axes[:-1]
    own = _spatial(name) and array.shape[axes.index("y") : axes.index("y") + 2] != size
    order = [axis for axis in ("time", "band", "y", "x") if axis in axes]
    names = [f"{name}.{axis}" if axis == "band" or (own and axis in "yx") else axis for axis in order]
    attributes = {"grid_mapping": "spatial_ref"} if _spatial(name) else {}
    return xr.Variable(names, array.transpose([axes.index(axis) for axis in order]), attributes)


def _spatial(name: str) -> bool:
    return "y" in _AXES.get(name.partition(".")[0], ())


def _check_times(arrays: Mapping[str, Array], times: Array | None, root: Path) -> None:
    for name, array in arrays.items():
        if _AXES[name.partition(".")[0]][0] != "time":
            continue
        if times is None:
            raise ProductError(f"{root}: {name} has dates, but there is no timestamps.json.")
        if len(array) != len(times):
            raise ProductError(f"{root}: {name} has {len(array)} dates, but timestamps.json has {len(times)}.")


def _json(file: Path) -> Any:
    try:
        if file.suffix == ".gz":
            with gzip.open(file) as stream:
                data = stream.read(_MOST_JSON_BYTES + 1)
        else:
            with file.open("rb") as plain:
                data = plain.read(_MOST_JSON_BYTES + 1)
        if len(data) > _MOST_JSON_BYTES:
            raise ProductError(f"{file}: is larger than 64 MB: expected a short JSON file.")
        return json.loads(data)
    except ProductError:
        raise
    except (ValueError, EOFError, OSError, zlib.error, RecursionError) as error:
        raise ProductError(f"{file}: cannot be read as JSON ({error}).") from error


def _times(file: Path) -> Array:
    texts = _json(file)
    try:
        moments = [datetime.fromisoformat(text) for text in texts]
    except (TypeError, ValueError) as error:
        raise ProductError(f"{file}: {error}: expected a list of ISO dates.") from error
    plain = [each.astimezone(UTC).replace(tzinfo=None) if each.tzinfo else each for each in moments]
    return np.array(plain, "datetime64[us]").astype("datetime64[ns]")


def _box(file: Path) -> tuple[tuple[float, float, float, float], CRS]:
    """Bounds and CRS of a patch; GeoJSON that names no CRS is in degrees."""
    content = _json(file)
    try:
        corners = shapely.from_geojson(json.dumps({"type": content["type"], "coordinates": content["coordinates"]}))
        left, bottom, right, top = (float(each) for each in corners.bounds)
        crs = CRS.from_user_input(content.get("crs", {"properties": {"name": _LONLAT}})["properties"]["name"])
    except (TypeError, KeyError, AttributeError, shapely.errors.ShapelyError, CRSError) as error:
        raise ProductError(f"{file}: is no GeoJSON polygon of a known CRS ({error!r}).") from error
    if not (left < right and bottom < top):
        raise ProductError(f"{file}: spans no area: expected the outline of the patch.")
    return (left, bottom, right, top), CRS.from_user_input(_LONLAT) if "CRS84" in crs.srs else crs


def _centres(
    bounds: tuple[float, float, float, float], shape: tuple[int, int], y: str = "y", x: str = "x"
) -> dict[str, Any]:
    """Coordinates of pixel centres, north first."""
    left, bottom, right, top = bounds
    down, along = ((np.arange(size) + 0.5) / size for size in shape)
    return {y: (y, top - down * (top - bottom)), x: (x, left + along * (right - left))}


def _columns(file: Path, name: str) -> dict[str, xr.Variable]:
    import pyogrio.raw

    try:
        source: Any = file
        if file.suffix == ".gz":
            with gzip.open(file) as stream:
                source = stream.read()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*non conformant file extension")
            meta, _, packed, fields = pyogrio.raw.read(source)
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        ValueError,
        EOFError,
        OSError,
        zlib.error,
    ) as error:
        raise ProductError(f"{file}: cannot be read as a vector file: {error}.") from error
    row = (f"{name}.row",)
    geometry = np.asarray(shapely.from_wkb(packed), object)
    columns = {
        f"{name}.{field}": xr.Variable(row, values) for field, values in zip(meta["fields"], fields, strict=True)
    }
    return {**columns, f"{name}.geometry": xr.Variable(row, geometry, {"crs": meta["crs"]})}


def _meta_info(root: Path, files: Mapping[str, Path]) -> dict[str, Any]:
    old = _single(root, _META, ".json")
    found = _json(old) if old is not None else {}
    if not isinstance(found, dict):
        raise ProductError(f"{old}: is no JSON object: expected meta-info by name.")
    group = f"{_META}."
    return found | {name.removeprefix(group): _json(file) for name, file in files.items() if name.startswith(group)}


# --- writing -------------------------------------------------------------------------------------------------------


def write_eopatch(dataset: xr.Dataset, folder: str | os.PathLike[str], *, overwrite: Overwrite = "nothing") -> Path:
    """Write variables named as :func:`read_eopatch` names them as an EOPatch that eo-learn opens.

    Args:
        dataset: variables ``data.NAME``, ``mask.NAME`` and so on, of named dimensions in any order; ``time``, ``y`` and
            ``x`` with coordinates, and a CRS as odc-geo and rioxarray write it (``spatial_ref``).
        folder: new, or a patch of the same place and dates, to which features are added.
        overwrite: ``nothing`` refuses where a feature exists, ``features`` replaces those, ``patch`` replaces all
            that is there; the rules of eo-learn.

    Returns:
        The folder.

    Raises:
        UsageError: overwrite is none of these.
        InputError: a variable that no EOPatch can hold.
        OutputError: it cannot be written, or something is there that may not be replaced.
    """
    if overwrite not in get_args(Overwrite):
        raise UsageError(f"overwrite is {overwrite!r}: expected nothing, features or patch.")
    root = Path(folder)
    arrays, tables = _stored(dataset)
    meta = dict(dataset.attrs.get(_META, {}))
    _check_names([*arrays, *tables, *(f"{_META}.{key}" for key in meta)])
    if overwrite != "patch":
        meta = {key: content for key, content in meta.items() if not _has(root, key, content)}
    replaced = _check_target(root, [*arrays, *tables, *(f"{_META}.{key}" for key in meta)], overwrite)
    head = _head(dataset)
    if root.exists() and overwrite != "patch":
        _check_same_patch(root, head)
    with writing(root), scratch(root.parent) as hidden:
        fresh = hidden / "fresh"
        fresh.mkdir()
        for file, content in head.items():
            (fresh / file).write_text(json.dumps(content, indent=2), encoding="utf-8")
        for name, array in arrays.items():
            np.save(_place(fresh, name, ".npy"), array, allow_pickle=False)
        for name, (columns, crs) in tables.items():
            _write_table(_place(fresh, name, ".gpkg"), columns, crs)
        for key, content in meta.items():
            _place(fresh, f"{_META}.{key}", ".json").write_text(_text(key, content), encoding="utf-8")
        _move(fresh, root, hidden / "old", replaced, whole=overwrite == "patch" or not root.exists())
    return root


def _move(fresh: Path, root: Path, old: Path, replaced: list[Path], *, whole: bool) -> None:
    """Put what was written in its place, and away what it replaces."""
    if whole:
        if root.exists():
            root.rename(old)
        try:
            fresh.rename(root)
        except OSError:
            if old.exists():
                old.rename(root)
            raise
        return
    for file in sorted(each for each in fresh.rglob("*") if each.is_file()):
        target = root / file.relative_to(fresh)
        target.parent.mkdir(exist_ok=True)
        os.replace(file, target)
        replaced = [each for each in replaced if each != target]
    for each in replaced:
        each.unlink()


def _place(root: Path, name: str, suffix: str) -> Path:
    group, _, feature = name.partition(".")
    (root / group).mkdir(exist_ok=True)
    return root / group / f"{feature}{suffix}"


def _has(root: Path, key: str, content: object) -> bool:
    """Whether a patch has just this meta-info."""
    file = _single(root / _META, key, ".json")
    return file is not None and bool(_json(file) == content)


def _text(key: str, content: object) -> str:
    try:
        return json.dumps(content, indent=2)
    except (TypeError, ValueError) as error:
        raise InputError(f"meta-info {key!r} cannot be written as JSON: {error}.") from error


def _stored(dataset: xr.Dataset) -> tuple[dict[str, Array], dict[str, tuple[dict[str, Array], str | None]]]:
    """Arrays in the axes of their groups, and tables as columns with the CRS of their geometries."""
    arrays: dict[str, Array] = {}
    tables: dict[str, tuple[dict[str, Array], str | None]] = {}
    for label, variable in dataset.data_vars.items():
        parts = str(label).split(".", 2)
        if parts[0] in _TABLES and len(parts) == 3:
            columns, crs = tables.get(f"{parts[0]}.{parts[1]}", ({}, None))
            columns[parts[2]] = variable.to_numpy()
            crs = variable.attrs.get("crs") if parts[2] == "geometry" else crs
            tables[f"{parts[0]}.{parts[1]}"] = columns, crs
        elif parts[0] in _AXES and len(parts) == 2:
            arrays[str(label)] = _as_stored(variable)
        else:
            raise InputError(
                f"variable {label!r} belongs to no group of an EOPatch: name it data.NAME, mask.NAME, "
                f"data_timeless.NAME and so on; groups are {', '.join([*_AXES, *_TABLES])}."
            )
    for name, (columns, _) in tables.items():
        needed = ["geometry"] + ["TIMESTAMP"] * (name.partition(".")[0] == "vector")
        if absent := [each for each in needed if each not in columns]:
            raise InputError(f"table {name} has no column {absent[0]}: an EOPatch wants one.")
    return arrays, tables


def _as_stored(variable: xr.DataArray) -> Array:
    name = str(variable.name)
    group = name.partition(".")[0]
    axes = _AXES[group]
    own = {f"{name}.y": "y", f"{name}.x": "x"}
    dims = [own.get(str(dim), str(dim)) for dim in variable.dims]
    rest = [dim for dim in dims if dim not in axes or dim == "band"]
    wanted = [axis for axis in axes if axis != "band"]
    if len(rest) > 1 or any(axis not in dims for axis in wanted):
        raise InputError(
            f"variable {name!r} is ({', '.join(dims)}): expected ({', '.join(wanted)}) and at most one axis of bands."
        )
    array = variable.to_numpy().transpose([dims.index(axis) for axis in [*wanted, *rest]])
    if array.dtype.kind not in "biuf" or (group in _DISCRETE and array.dtype.kind == "f"):
        expected = "whole numbers or bool" if group in _DISCRETE else "numbers"
        raise InputError(f"variable {name!r} is {array.dtype}: an EOPatch holds {expected} there.")
    if "y" in wanted and (y := variable.coords.get(str(variable.dims[dims.index("y")]))) is not None and len(y) > 1:
        array = np.flip(array, wanted.index("y")) if float(y[1]) > float(y[0]) else array
    return array if rest else array[..., None]


def _check_names(names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        feature = name.partition(".")[2]
        if not feature or _FORBIDDEN & set(feature):
            raise InputError(f"{name!r} is no name of a feature: expected one without any of . / \\ | ; : in it.")
        if seen.setdefault(name.lower(), name) != name:
            raise InputError(f"features {seen[name.lower()]} and {name} differ in case only: rename one of them.")


def _head(dataset: xr.Dataset) -> dict[str, Any]:
    """Content of ``timestamps.json`` and ``bbox.geojson``, where there are such coordinates."""
    head: dict[str, Any] = {}
    if "time" in dataset.coords:
        times = dataset["time"].to_numpy().astype("datetime64[us]")
        whole = (times == times.astype("datetime64[s]")).all()
        head[f"{_TIMESTAMPS}.json"] = np.datetime_as_string(times, unit="s" if whole else "us").tolist()
    elif "time" in dataset.dims:
        raise InputError("the dataset has dates without a coordinate time: an EOPatch needs timestamps.")
    if "y" in dataset.dims:
        head[f"{_BBOX}.geojson"] = _outline(dataset)
    return head


def _outline(dataset: xr.Dataset) -> dict[str, Any]:
    reference = dataset.coords["spatial_ref"].attrs if "spatial_ref" in dataset.coords else {}
    written = reference.get("crs_wkt") or reference.get("spatial_ref")
    code = CRS.from_user_input(written).to_epsg() if written else None
    if code is None or "y" not in dataset.coords or "x" not in dataset.coords:
        raise InputError(
            "the dataset has no coordinates y and x in a CRS with an EPSG code: an EOPatch needs its place."
        )
    bottom, top = _ends(dataset["y"].to_numpy())
    left, right = _ends(dataset["x"].to_numpy())
    ring = [[left, bottom], [left, top], [right, top], [right, bottom], [left, bottom]]
    name = "urn:ogc:def:crs:OGC:1.3:CRS84" if code == 4326 else f"urn:ogc:def:crs:EPSG::{code}"
    return {"crs": {"type": "name", "properties": {"name": name}}, "type": "Polygon", "coordinates": [ring]}


def _ends(centres: Array) -> tuple[float, float]:
    steps = np.diff(np.asarray(centres, np.float64))
    if len(steps) == 0 or not np.allclose(steps, steps[0], rtol=1e-3, atol=0):
        raise InputError(
            "coordinates y and x are not two or more evenly spaced pixel centres: no place for an EOPatch."
        )
    first, last = float(centres[0]), float(centres[-1])
    half = (last - first) / len(steps) / 2
    return min(first - half, last + half), max(first - half, last + half)


def _check_target(root: Path, names: list[str], overwrite: Overwrite) -> list[Path]:
    """Files that will be replaced; OutputError where that is not allowed."""
    if not root.exists():
        return []
    known = {*_SUFFIXES, _META}
    for each in root.iterdir() if root.is_dir() else [root]:
        if each.name not in known and each.name.partition(".")[0] not in (_BBOX, _TIMESTAMPS, _OLD_TIMESTAMPS, _META):
            raise OutputError(f"cannot write {root}: {each.name} belongs to no EOPatch; choose another folder.")
    wanted = {name.lower() for name in names}
    files = [file for group in _SUFFIXES for file in (root / group).glob("*") if not file.name.startswith(".")]
    there = [file for file in files if f"{file.parent.name}.{file.name.partition('.')[0]}".lower() in wanted]
    if there and overwrite == "nothing":
        raise OutputError(
            f"cannot write {root}: {there[0].relative_to(root)} exists already; use overwrite='features' to replace it."
        )
    return there


def _check_same_patch(root: Path, head: Mapping[str, Any]) -> None:
    times, box = (_single(root, name, suffix) for name, suffix in ((_TIMESTAMPS, ".json"), (_BBOX, ".geojson")))
    new_times, new_box = head.get(f"{_TIMESTAMPS}.json"), head.get(f"{_BBOX}.geojson")
    other_dates = (
        times is not None
        and new_times is not None
        and _times(times).tolist() != np.array(new_times, "datetime64[ns]").tolist()
    )
    other_place = False
    if box is not None and new_box is not None:
        bounds, crs = _box(box)
        outline = np.array(new_box["coordinates"][0])
        code = CRS.from_user_input(new_box["crs"]["properties"]["name"])
        size = max(bounds[2] - bounds[0], bounds[3] - bounds[1])
        other_place = not np.allclose([*outline.min(axis=0), *outline.max(axis=0)], bounds, rtol=0, atol=1e-6 * size)
        other_place |= "CRS84" not in code.srs and code != crs
    if other_dates or other_place:
        what = "dates" if other_dates else "bounds"
        raise OutputError(
            f"cannot write {root}: the patch there has other {what}; use overwrite='patch' or a new folder."
        )


def _write_table(path: Path, columns: Mapping[str, Array], crs: str | None) -> None:
    import pyogrio.raw

    geometry = columns["geometry"]
    types = {each.geom_type for each in geometry if each is not None}
    fields = {name: values for name, values in columns.items() if name != "geometry"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*crs.*was not provided")
        try:
            pyogrio.raw.write(
                path,
                shapely.to_wkb(geometry),
                list(fields.values()),
                list(fields),
                layer=path.stem,
                driver="GPKG",
                geometry_type=types.pop() if len(types) == 1 else "Unknown",
                crs=crs,
            )
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, RuntimeError, ValueError) as error:
            raise OutputError(f"cannot write {path.parent.name}/{path.name}: {error}.") from error
