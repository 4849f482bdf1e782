"""Plain rasters as people export them: one file with several bands, a folder of one file a band, pictures.

Nothing in such files says for sure what they hold. What is guessed here is guessed only where a wrong guess cannot
be meant (a file name ``B02.tif``, eight bits are at most 255); the rest is asked for, with the option to give.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterWindow

from groundshift.errors import GridError, GroundshiftWarning, LevelWarning, MissingInputError, ProductError, UsageError
from groundshift.io import drivers
from groundshift.io.decode import decoding
from groundshift.io.fileset import FilesetReader, MaskBand, StoredBand
from groundshift.model.bands import SCL, parse_band
from groundshift.model.grid import pixel_size_m, same_grid
from groundshift.model.scene import BandInfo, OpenOptions, Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

_BAND = re.compile(r"(?:^|[^A-Za-z0-9])(B(?:0?[1-9]|1[0-2]|8A)|SCL)(?=$|[^A-Za-z0-9])", re.IGNORECASE)
_DATE = re.compile(
    r"(?<!\d)(20\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)(?:T?([01]\d|2[0-3])([0-5]\d)([0-5]\d))?"
)
_TILE = re.compile(r"(?:^|[^A-Za-z0-9])T(\d\d[C-HJ-NP-X][A-HJ-NP-Z]{2})(?=$|[^A-Za-z0-9])")
_PICTURE = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_PICTURE_BANDS = ("B04", "B03", "B02")
_BRIGHT = ("B02", "B03", "B04")
"""Bands that air light keeps from being 0."""
_SAMPLE_PX = 256
_REFLECTANCE_MAX = 3.0
"""Float values up to here look like reflectance (snow and clouds exceed 1)."""


def open_raster(path: str | Path, options: OpenOptions | None = None) -> FilesetReader:
    """Open a raster file, or a folder of rasters of one band each.

    Args:
        path: a file; a folder; or ``FOLDER@2018-12-01`` for one date of a folder with several.
        options: ``band_order``, ``scale``, ``offset`` and ``mask`` say what the files do not.

    Returns:
        A reader; bands of a folder keep their own grids.

    Raises:
        MissingInputError: no such file, folder or date.
        ProductError: a file is no raster that is read, is truncated, or does not say what its numbers mean.
        UsageError: the band order does not fit the file.
    """
    options = options or OpenOptions()
    folder, chosen = split_date(str(path))
    if Path(folder).is_dir():
        return _open_folder(folder, chosen, options)
    return _open_file(str(path), options)


def split_date(text: str) -> tuple[str, date | None]:
    """Return (folder, date) of ``FOLDER@2018-12-01``, and (text, None) of anything else; raises UsageError."""
    folder, at, day = text.rpartition("@")
    if not at or Path(text).exists() or not Path(folder).is_dir():
        return text, None
    try:
        return folder, date.fromisoformat(day)
    except ValueError as error:
        raise UsageError(f"{text}: {day!r} is no date: expected for example {folder}@2018-12-01.") from error


# --- one file ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layer:
    """One band of one file, before it is known what its numbers mean."""

    name: str
    path: str
    index: int
    mask_index: int | None


def _open_file(path: str, options: OpenOptions) -> FilesetReader:
    drivers.check_structure(path)
    with drivers.opened(path) as dataset:
        mask_index = _mask_band(dataset, path, options)
        data = [i for i in dataset.indexes if i != mask_index and not _is_alpha(dataset, i)]
        if not data:
            raise ProductError(f"{path}: holds a mask and no band.")
        _refuse_palette(dataset, path)
        names, notices = _names(dataset, path, data, options)
        layers = [_Layer(name, path, i, mask_index) for i, name in zip(data, names, strict=True) if name]
    return _assemble(path, Path(path).stem, layers, options, _when(Path(path).stem), notices)


def _names(
    dataset: DatasetReader, path: str, data: Sequence[int], options: OpenOptions
) -> tuple[list[str | None], tuple[GroundshiftWarning, ...]]:
    """Band names in file order (None: no band): by the user, by description, by file name, or by colour."""
    if options.band_order is not None:
        if len(options.band_order) != len(data):
            raise UsageError(
                f"{path}: has {len(data)} bands, but --band-order names {len(options.band_order)} "
                f"({','.join(options.band_order)}): name each band of the file in its order."
            )
        return [parse_band(name) for name in options.band_order], ()
    described = [_parsed(dataset.descriptions[i - 1]) for i in data]
    if any(described):
        return _unique(described, path), ()
    if len(data) == 1 and (name := _band_of(Path(path).stem)):
        return [name], ()
    colours = tuple(dataset.colorinterp[i - 1] for i in data)
    if len(data) == len(_PICTURE) and (colours == _PICTURE or dataset.dtypes[0] == "uint8"):
        notice = LevelWarning(
            f"{path}: a picture: its colours were taken as {','.join(_PICTURE_BANDS)}, which is no surface reflectance."
        )
        return list(_PICTURE_BANDS), (notice,)
    raise UsageError(f"{path}: nothing says which its {len(data)} bands are: name them, as --band-order B2,B3,B4,B8.")


def _parsed(description: str | None) -> str | None:
    try:
        return parse_band(description or "")
    except UsageError:
        return _band_of(description or "")


def _unique(names: list[str | None], path: str) -> list[str | None]:
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise UsageError(f"{path}: describes two of its bands alike ({', '.join(named)}): name them with --band-order.")
    return names


def _is_alpha(dataset: DatasetReader, index: int) -> bool:
    return bool(dataset.colorinterp[index - 1] == ColorInterp.alpha)


def _mask_band(dataset: DatasetReader, path: str, options: OpenOptions) -> int | None:
    """The last of several bands, where it is named so, or holds nothing but 0 and 1 and is not said to be a band."""
    named = options.band_order is not None and len(options.band_order) == dataset.count
    if dataset.count < 2 or named or _is_alpha(dataset, dataset.count) or _parsed(dataset.descriptions[-1]):
        return None
    described = (dataset.descriptions[-1] or "").lower().replace("_", "").replace(" ", "")
    if described in ("datamask", "mask", "valid", "validmask"):
        return int(dataset.count)
    values = _sample(dataset, dataset.count, path)
    binary = bool(np.isin(values, (0, 1)).all()) and (dataset.count == 2 or bool(values.any()))
    return int(dataset.count) if binary else None


def _refuse_palette(dataset: DatasetReader, path: str) -> None:
    if ColorInterp.palette in dataset.colorinterp:
        raise ProductError(f"{path}: holds numbers of a colour table, not measurements: export it as RGB or as bands.")


# --- a folder ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Member:
    path: Path
    band: str
    when: datetime | None


def _open_folder(folder: str, chosen: date | None, options: OpenOptions) -> FilesetReader:
    members = [member for path in sorted(Path(folder).iterdir()) if (member := _member(path))]
    if not members:
        raise ProductError(
            f"{folder}: no file name in this folder tells a band: expected names such as B02.tif or "
            "2018-12-01_B8A.tiff."
        )
    members = _of_date(members, chosen, folder)
    layers = [_folder_layer(str(member.path), member.band) for member in _finest(members, folder)]
    when = max((m.when for m in members if m.when), default=None)
    name = Path(folder).resolve().name + (f"@{when:%Y-%m-%d}" if when else "")
    href = f"{folder}@{chosen}" if chosen else folder
    return _assemble(href, name, layers, options, when, ())


def names_bands(folder: Path) -> bool:
    """Whether a file name in a folder tells a band."""
    return any(_member(path) for path in folder.iterdir())


def _member(path: Path) -> _Member | None:
    band = _band_of(path.stem)
    if band is None or path.suffix.lower() not in drivers.SUFFIXES or not path.is_file():
        return None
    return _Member(path, band, _when(path.stem))


def _of_date(members: list[_Member], chosen: date | None, folder: str) -> list[_Member]:
    dates = sorted({m.when.date() for m in members if m.when})
    listed = ", ".join(map(str, dates)) or "none"
    if chosen is None:
        if len(dates) > 1:
            raise UsageError(f"{folder}: holds several dates ({listed}): choose one, as {folder}@{dates[0]}.")
        return members
    if chosen not in dates:
        raise MissingInputError(f"{folder}: has no file of {chosen}: its dates are {listed}.")
    return [m for m in members if m.when and m.when.date() == chosen]


def _finest(members: Iterable[_Member], folder: str) -> list[_Member]:
    """One file a band: the finest pixels, and of two alike the one that is no JPEG 2000."""
    best: dict[str, tuple[tuple[float, bool], _Member]] = {}
    for member in members:
        with drivers.opened(str(member.path)) as dataset:
            merit = abs(dataset.transform.determinant), dataset.driver == "JP2OpenJPEG"
        if member.band in best and best[member.band][0] == merit:
            raise ProductError(
                f"{folder}: {best[member.band][1].path.name} and {member.path.name} are both band {member.band}: "
                "keep one of them."
            )
        if member.band not in best or merit < best[member.band][0]:
            best[member.band] = merit, member
    return [member for _, member in best.values()]


def _folder_layer(path: str, band: str) -> _Layer:
    drivers.check_structure(path)
    with drivers.opened(path) as dataset:
        if band != SCL:
            _refuse_palette(dataset, path)
        mask_index = _mask_band(dataset, path, OpenOptions())
        data = [i for i in dataset.indexes if i != mask_index and not _is_alpha(dataset, i)]
        if len(data) != 1:
            raise ProductError(f"{path}: has {len(data)} bands where its name tells one, {band}: open it by itself.")
    return _Layer(band, path, data[0], mask_index)


def _band_of(stem: str) -> str | None:
    """The last band token of a file name."""
    found = _BAND.findall(stem)
    if not found:
        return None
    return SCL if found[-1].upper() == SCL else parse_band(found[-1])


def _when(stem: str) -> datetime | None:
    """The first date of a file name, with its time where it has one; UTC."""
    match = _DATE.search(stem)
    if match is None:
        return None
    try:
        return datetime.strptime("".join(match.groups(default="00")), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


# --- what the numbers mean -----------------------------------------------------------------------------------------


def _assemble(
    href: str,
    name: str,
    layers: Sequence[_Layer],
    options: OpenOptions,
    when: datetime | None,
    notices: tuple[GroundshiftWarning, ...],
) -> FilesetReader:
    stored: dict[str, StoredBand] = {}
    rule = ""
    for layer in layers:
        with drivers.opened(layer.path) as dataset:
            info = _info(dataset, layer)
            if layer.name != SCL:
                scale, offset, rule = _meaning(dataset, layer, options)
                info = replace(info, scale=scale, offset=offset)
            masks = _masks(dataset, layer, info, options)
            stored[layer.name] = StoredBand(info, layer.path, layer.index, masks)
    stored = _with_empty(stored)
    tile = _TILE.search(Path(layers[0].path).stem)
    scene = Scene(
        name=name,
        href=href,
        kind="raster",
        bands={band: entry.info for band, entry in stored.items() if band != SCL},
        classification=stored[SCL].info if SCL in stored else None,
        tile=tile[1] if tile else None,
        sensing_time=when,
        offset_rule=rule,
        warnings=notices,
    )
    if not scene.bands:
        raise ProductError(f"{href}: holds no spectral band.")
    return FilesetReader(scene, stored)


def _info(dataset: DatasetReader, layer: _Layer) -> BandInfo:
    geobox = drivers.geobox_of(dataset)
    dtype = dataset.dtypes[layer.index - 1]
    if np.dtype(dtype).kind not in "iuf":
        raise ProductError(f"{layer.path}: holds {dtype} numbers: expected integers or floats.")
    nodata = dataset.nodatavals[layer.index - 1]
    return BandInfo(
        name=layer.name,
        href=layer.path,
        geobox=geobox,
        dtype=dtype,
        nodata=0 if layer.name == SCL else nodata,
        saturated=65535 if dtype == "uint16" and nodata != 65535 else None,
        resolution_m=pixel_size_m(geobox),
    )


def _meaning(dataset: DatasetReader, layer: _Layer, options: OpenOptions) -> tuple[float, float, str]:
    """(reflectance per DN, offset in DN, the rule in words): by the user, by the file's tags, by what is plain to see.

    Precedence: ``--scale`` and ``--offset``; scale and offset tags of the file; float values up to 3 are reflectance;
    8 bits are a picture, 255 = 1. Anything else has to be asked for.

    Raises:
        ProductError: nothing says it.
    """
    if options.scale is not None:
        return 1 / options.scale, options.offset or 0.0, f"--scale {options.scale:g} --offset {options.offset or 0:g}"
    scale, offset = dataset.scales[layer.index - 1], dataset.offsets[layer.index - 1]
    dtype = np.dtype(dataset.dtypes[layer.index - 1])
    if (scale, offset) != (1.0, 0.0) and scale > 0:
        return scale, _chosen(options.offset, offset / scale), "scale and offset tags of the file"
    if dtype == np.uint8:
        return 1 / 255, _chosen(options.offset, 0.0), "8 bits: 255 was taken as reflectance 1"
    values = _sample(dataset, layer.index, layer.path)
    values = values[np.isfinite(values) & (values != dataset.nodatavals[layer.index - 1])]
    largest = float(np.quantile(values, 0.999)) if values.size else 0.0
    if dtype.kind == "f" and largest <= _REFLECTANCE_MAX:
        return 1.0, _chosen(options.offset, 0.0), "decimal numbers, taken as reflectance as they are"
    raise ProductError(
        f"{layer.path}: band {layer.name} holds numbers up to about {largest:.0f}, and nothing says which of them is "
        f"reflectance 1: say so with --scale {_suggested(largest)}."
    )


def _chosen(asked: float | None, found: float) -> float:
    return found if asked is None else asked


def _suggested(largest: float) -> str:
    if largest <= 20_000:
        return "10000 (as in ESA's products; or 65535, where all 16 bits were used)"
    return "65535 (where all 16 bits were used; or 10000, as in ESA's products)"


def _sample(dataset: DatasetReader, index: int, path: str) -> NDArray[np.generic]:
    """Values of five squares, in the corners and the centre."""
    rows, columns = (min(_SAMPLE_PX, n) for n in dataset.shape)
    down, right = dataset.height - rows, dataset.width - columns
    corners = {(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)}
    with decoding(path, f"number {index}"):
        parts = [dataset.read(index, window=RasterWindow(x, y, columns, rows)).ravel() for y, x in sorted(corners)]
    return np.concatenate(parts)


# --- what is no data -----------------------------------------------------------------------------------------------


def _masks(dataset: DatasetReader, layer: _Layer, info: BandInfo, options: OpenOptions) -> tuple[MaskBand, ...]:
    masks = []
    if layer.mask_index is not None:
        masks.append(MaskBand(layer.path, layer.mask_index, info.geobox))
    if options.mask is not None and layer.name != SCL:
        masks.append(mask_file(options.mask, info))
    return tuple(masks)


def mask_file(path: str, info: BandInfo) -> MaskBand:
    """The 0/1 raster that the user names beside an image, one band of which is given; 1 = usable.

    Raises:
        MissingInputError, ProductError: it is not there, or no raster of one band.
        GridError: it cannot be laid over the image.
    """
    drivers.check_structure(path)
    with drivers.opened(path) as dataset:
        geobox = drivers.geobox_of(dataset)
        count = dataset.count
    if count != 1:
        raise ProductError(f"{path}: a mask has one band (1 = usable), this file has {count}.")
    if geobox.crs is None and tuple(geobox.shape) == tuple(info.geobox.shape):
        geobox = info.geobox
    if (geobox.crs is None) != (info.geobox.crs is None):
        raise GridError(
            f"{path}: the mask has {'no' if geobox.crs is None else 'a'} georeference, unlike {info.href}, and another "
            "size: expected a mask of the same size, or one that lies on the map."
        )
    return MaskBand(path, 1, geobox)


def _with_empty(stored: Mapping[str, StoredBand]) -> dict[str, StoredBand]:
    """Where integers come without a no-data value and without a mask, a pixel of 0 in its band and others is no data.

    Three others are enough, those that are least likely to be 0 by darkness: each one more is one more to decode.
    """
    bare = [stored[name] for name in _BRIGHT if name in stored]
    bare += [entry for name, entry in stored.items() if name not in (*_BRIGHT, SCL)]
    bare = [entry for entry in bare if _says_nothing_of_nodata(entry)]
    out = dict(stored)
    for entry in bare:
        together = [e for e in bare if e.info.geobox.shape == entry.info.geobox.shape]
        together = [e for e in together if same_grid(e.info.geobox, entry.info.geobox)][:3]
        out[entry.info.name] = replace(entry, empty_with=tuple((e.path, e.index) for e in together))
    return out


def _says_nothing_of_nodata(entry: StoredBand) -> bool:
    return entry.info.nodata is None and not entry.masks and np.dtype(entry.info.dtype).kind in "iu"
