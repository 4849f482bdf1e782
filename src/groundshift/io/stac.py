"""STAC items whose assets lie beside them: one local JSON, GeoTIFF or COG bands.

What the item says of *where* pixels lie is not used: the raster's own georeference and size win, because items are
copied along when their rasters are cut or coarsened. What it says of *what the numbers mean* is, provider by provider.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from affine import Affine
from odc.geo.geobox import GeoBox

from groundshift.errors import GroundshiftWarning, MissingInputError, OffsetWarning, ProductError, UsageError
from groundshift.io import drivers
from groundshift.io.fileset import FilesetReader, StoredBand
from groundshift.model.bands import SCL, parse_band
from groundshift.model.grid import pixel_size_m
from groundshift.model.scene import BandInfo, OpenOptions, Scene

Baseline = tuple[int, int]

FIRST_WITH_OFFSET: Baseline = (4, 0)
"""Processing baseline that introduced the offset (ESA, 25 January 2022)."""
_OFFSET_DN = -1000.0
_SCALE = 1e-4
_MAX_BYTES = 20_000_000
_JSON = (".json", ".geojson")
_PRODUCT = re.compile(r"(S2[A-D])_MSI(L1C|L2A)_\d{8}T\d{6}_N(\d\d)(\d\d)_R(\d{3})_T(\w{5})_")
_RESOLUTION = re.compile(r"[-_](10|20|60)m$", re.IGNORECASE)
_PLANETARY = ("planetarycomputer.microsoft.com", "sentinel2l2a01.blob.core.windows.net")


def is_item(head: bytes) -> bool:
    """True when the first bytes of a file look like JSON."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def open_stac(path: str | Path, options: OpenOptions | None = None) -> FilesetReader:
    """Open a STAC item with local GeoTIFF, COG or JPEG 2000 assets.

    Args:
        path: local JSON file, or its ``file://`` URL.
        options: ``scale`` and ``offset`` overrule what the item says.

    Returns:
        A reader; bands whose assets are remote raise MissingInputError when they are asked for.

    Raises:
        MissingInputError: no such file, or none of the bands is local.
        ProductError: it is no STAC item, or an asset is no raster.
    """
    options = options or OpenOptions()
    href = str(path)
    file = local_path(href, Path())
    if file is None:
        raise MissingInputError(f"{href}: only local files are read: download the item and its assets first.")
    item = _load(file)
    assets = tuple(_assets(item))
    stored: dict[str, StoredBand] = {}
    unavailable: dict[str, str] = {}
    decisions: list[Meaning] = []
    for name in dict.fromkeys(asset.band for asset in assets):
        candidates = [asset for asset in assets if asset.band == name]
        asset, where = _nearest(candidates, file.parent)
        if where is None:
            unavailable[name] = _why_not(asset, item["id"], file.parent)
            continue
        meaning = _meaning(item, asset, options)
        decisions += [meaning] if name != SCL else []
        stored[name] = _stored(asset, where, meaning)
    if all(name == SCL for name in stored):
        told = (reason for name, reason in unavailable.items() if name != SCL)
        reason = next(told, "it lists none as a GeoTIFF or JPEG 2000 asset.")
        raise MissingInputError(f"{href}: no band of this item can be read: {reason}")
    return FilesetReader(_scene(href, item, stored, decisions), stored, unavailable)


def thumbnail_of(path: Path) -> tuple[Scene, GeoBox, Path] | None:
    """A STAC item of which the thumbnail lies beside it: its scene without bands, the grid of the tile, the picture.

    None where there is no local thumbnail, or nothing says where it lies on the map (``proj:transform``,
    ``proj:shape`` and ``proj:epsg`` or ``proj:code``).
    """
    if not path.is_file():
        return None
    try:
        item = _load(path)
    except ProductError:
        return None
    for fields in item["assets"].values():
        if not isinstance(fields, dict) or "thumbnail" not in (fields.get("roles") or ()):
            continue
        picture = local_path(str(fields.get("href", "")), path.parent)
        grid = _declared_grid(item)
        if picture is not None and picture.is_file() and grid is not None:
            return _scene(str(path), item, {}, ()), grid, picture
    return None


def _declared_grid(item: Mapping[str, Any]) -> GeoBox | None:
    """The finest grid that the assets of an item tell of."""
    properties, found = item["properties"], []
    for fields in filter(lambda each: isinstance(each, dict), item["assets"].values()):
        told = {**properties, **fields}
        code = told.get("proj:code") or (f"EPSG:{told['proj:epsg']}" if told.get("proj:epsg") else None)
        transform, shape = told.get("proj:transform") or (), told.get("proj:shape") or ()
        try:
            found.append(GeoBox(tuple(map(int, shape)), Affine(*map(float, transform[:6])), str(code)))
        except (TypeError, ValueError, RuntimeError):
            continue
    usable = [box for box in found if box.crs is not None and box.affine.determinant]
    return min(usable, key=lambda box: abs(box.affine.determinant), default=None)


@dataclass(frozen=True)
class ItemFile:
    """A STAC item that lies in a folder."""

    path: Path
    day: date | None
    """When it was sensed, UTC."""
    local: bool
    """Whether the file of any spectral band is there."""


def items_in(folder: Path) -> tuple[ItemFile, ...]:
    """STAC items that lie in a folder, by name; other JSON, and what is no JSON, is passed over."""
    paths = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in _JSON and path.is_file())
    return tuple(found for path in paths if (found := _item_file(path)))


def _item_file(path: Path) -> ItemFile | None:
    try:
        item = _load(path)
    except ProductError:
        return None
    if "stac_version" not in item:
        return None
    when = _time(item["properties"].get("datetime"))
    files = (local_path(asset.href, path.parent) for asset in _assets(item) if asset.band != SCL)
    return ItemFile(path, when.date() if when else None, any(file is not None and file.is_file() for file in files))


def item_of(items: Sequence[ItemFile], chosen: date | None, folder: Path) -> Path:
    """The only item of a folder, or the one of a date.

    Raises:
        UsageError: there are several and no date, or several of that date.
        MissingInputError: there is none of that date.
    """
    days = sorted({item.day for item in items if item.day})
    listed = ", ".join(map(str, days)) or "not known"
    found = [item for item in items if chosen in (None, item.day)]
    if not found:
        raise MissingInputError(f"{folder}: has no STAC item of {chosen}: its dates are {listed}.")
    if len(found) == 1:
        return found[0].path
    if chosen is None and len(days) > 1:
        raise UsageError(f"{folder}: holds STAC items of several dates ({listed}): choose one, as {folder}@{days[0]}.")
    of = f" of {chosen}" if chosen else ""
    raise UsageError(f"{folder}: holds {len(found)} STAC items{of}: name one of them, as {found[0].path}.")


def local_path(href: str, folder: Path) -> Path | None:
    """Path of a local href (relative, absolute, or ``file://``); None when it is remote."""
    parts = urlsplit(href)
    if parts.scheme == "file":
        return Path(unquote(parts.path)) if parts.netloc in ("", "localhost") else None
    if len(parts.scheme) > 1 and "://" in href:
        return None
    if href.startswith(("/vsi", "\\\\")):
        return None
    plain = folder / href
    return plain if plain.exists() or "%" not in href else folder / unquote(href)


def _load(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ProductError(f"{file}: is larger than {_MAX_BYTES} bytes: no STAC item is.")
        item: dict[str, Any] = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise MissingInputError(f"{file}: there is no such file.") from error
    except (ValueError, RecursionError) as error:
        raise ProductError(f"{file}: is no sound JSON ({error}): expected a STAC item.") from error
    except OSError as error:
        raise ProductError(f"{file}: cannot be read: {error.strerror}.") from error
    kind = item.get("type") if isinstance(item, dict) else type(item).__name__
    if kind != "Feature" or not isinstance(item.get("assets"), dict) or not isinstance(item.get("properties"), dict):
        raise ProductError(f"{file}: is a {kind}, not a STAC item with assets: give the JSON of one item.")
    item["id"] = str(item.get("id") or file.stem)
    return item


# --- assets --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asset:
    """One asset of one band."""

    key: str
    band: str
    href: str
    media_type: str
    properties: Mapping[str, Any]
    """The asset's own fields, with those of its one band object (STAC 1.1, ``raster:bands``) laid over them."""

    @property
    def is_jp2(self) -> bool:
        """JPEG 2000, which is read only where no GeoTIFF is."""
        return "jp2" in self.media_type or self.href.lower().endswith((".jp2", ".j2k"))

    @property
    def resolution_m(self) -> int:
        """Of a product that has a band at several resolutions, as the key tells (``B02_10m``); else 0."""
        match = _RESOLUTION.search(self.key)
        return int(match[1]) if match else 0


def _assets(item: Mapping[str, Any]) -> Iterator[Asset]:
    for key, fields in item["assets"].items():
        if not isinstance(fields, dict) or not isinstance(fields.get("href"), str):
            continue
        asset = Asset(key, "", fields["href"], str(fields.get("type", "")).lower(), fields)
        described = _bands_of(fields)
        if not _is_raster(asset) or len(described) > 1 or "visual" in fields.get("roles", ()):
            continue
        band = band_role(key, described[0] if described else {})
        if band:
            raster = next(iter(_dicts(fields.get("raster:bands"))), {})
            yield replace(asset, band=band, properties={**fields, **raster, **(described[0] if described else {})})


def _is_raster(asset: Asset) -> bool:
    return asset.is_jp2 or "tiff" in asset.media_type or asset.href.lower().endswith((".tif", ".tiff"))


def _bands_of(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _dicts(fields.get("bands")) or _dicts(fields.get("eo:bands"))


def _dicts(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def band_role(key: str, described: Mapping[str, Any]) -> str | None:
    """Return the canonical band (or ``SCL``) of an asset; None when it is none.

    Precedence: the name in the band object, its common name, the asset's key. (``rededge`` is the common name of three
    bands, and is passed over.)
    """
    stem = re.sub(r"[-_](jp2|tif|10m|20m|60m)$", "", key, flags=re.IGNORECASE)
    if stem.upper() == SCL:
        return SCL
    names = (described.get("name"), described.get("eo:common_name") or described.get("common_name"), stem)
    for name in names:
        if not isinstance(name, str) or name.isdigit():
            continue
        try:
            return parse_band(name)
        except UsageError:
            continue
    return None


def _nearest(assets: Sequence[Asset], folder: Path) -> tuple[Asset, Path | None]:
    """The asset to read, and its path where it is local: local before remote, GeoTIFF before JPEG 2000, then fine."""
    ranked = sorted(assets, key=lambda asset: (asset.is_jp2, asset.resolution_m))
    for asset in ranked:
        path = local_path(asset.href, folder)
        if path is not None and path.is_file():
            return asset, path
    return ranked[0], None


def _why_not(asset: Asset, item: str, folder: Path) -> str:
    path = local_path(asset.href, folder)
    if path is None:
        return (
            f"{item}: band {asset.band} is at {asset.href}, and only local files are read: download it beside the item."
        )
    return f"{item}: the file of band {asset.band} is missing: expected {path}."


def _stored(asset: Asset, path: Path, meaning: Meaning) -> StoredBand:
    drivers.check_structure(str(path))
    with drivers.opened(str(path)) as dataset:
        geobox = drivers.geobox_of(dataset)
        dtype = dataset.dtypes[0]
        nodata = dataset.nodatavals[0]
    declared = asset.properties.get("nodata")
    if nodata is None and isinstance(declared, int | float):
        nodata = float(declared)
    if nodata is None and dtype == "uint16":
        nodata = 0
    classification = asset.band == SCL
    info = BandInfo(
        name=asset.band,
        href=str(path),
        geobox=geobox,
        dtype=dtype,
        scale=1.0 if classification else meaning.scale,
        offset=0.0 if classification else meaning.offset,
        nodata=0 if classification else nodata,
        saturated=65535 if dtype == "uint16" else None,
        resolution_m=pixel_size_m(geobox),
    )
    return StoredBand(info, str(path), 1)


# --- what the numbers mean: one small rule a provider ---------------------------------------------------------------


@dataclass(frozen=True)
class Meaning:
    """reflectance = (DN + offset) * scale, and why."""

    scale: float
    offset: float
    rule: str
    doubtful: bool = False


def _meaning(item: Mapping[str, Any], asset: Asset, options: OpenOptions) -> Meaning:
    found = offset_by_rules(item, asset.properties)
    if options.scale is None and options.offset is None:
        return found
    scale = found.scale if options.scale is None else 1 / options.scale
    offset = found.offset if options.offset is None else options.offset
    return Meaning(scale, offset, f"given by the user: --scale {1 / scale:g} --offset {offset:g}")


def offset_by_rules(item: Mapping[str, Any], asset: Mapping[str, Any]) -> Meaning:
    """Return scale and offset of an asset by the first rule that has something to say.

    Precedence: :func:`by_flag` (Earth Search says whether the offset was subtracted, and that wins over an offset that
    its bands still list), :func:`by_provider` (Planetary Computer delivers the numbers of ESA as they are),
    :func:`by_raster_bands` (Collection 1 at Earth Search, CDSE and others list scale and offset), :func:`by_baseline`
    (doubtful: nothing says whether the offset was subtracted).
    """
    for rule in (by_flag, by_provider, by_raster_bands):
        meaning = rule(item, asset)
        if meaning is not None:
            return meaning
    return by_baseline(item, asset)


def by_flag(item: Mapping[str, Any], asset: Mapping[str, Any]) -> Meaning | None:
    """``earthsearch:boa_offset_applied``: true: 0; false: by the baseline. None without that flag, or with no baseline.

    Source: Element84/earth-search issues 9, 24 and 66: ``raster:bands`` lists -0.1 in both cases.
    """
    flag = item["properties"].get("earthsearch:boa_offset_applied")
    if flag is True:
        return Meaning(_listed_scale(asset), 0.0, "earthsearch:boa_offset_applied is true: the offset was subtracted")
    baseline = baseline_of(item)
    if flag is False and baseline is not None:
        offset = _OFFSET_DN if baseline >= FIRST_WITH_OFFSET else 0.0
        told = f"earthsearch:boa_offset_applied is false and the baseline {_written(baseline)}: offset {offset:g} DN"
        return Meaning(_listed_scale(asset), offset, told)
    return None


def by_provider(item: Mapping[str, Any], asset: Mapping[str, Any]) -> Meaning | None:
    """Planetary Computer: the numbers of ESA, so the baseline decides. None for others, or with no baseline.

    Source: microsoft/PlanetaryComputer issue 134.
    """
    hrefs = [asset.get("href"), *(link.get("href") for link in _dicts(item.get("links")))]
    baseline = baseline_of(item)
    if baseline is None or not any(host in str(href) for href in hrefs for host in _PLANETARY):
        return None
    offset = _OFFSET_DN if baseline >= FIRST_WITH_OFFSET else 0.0
    return Meaning(_SCALE, offset, f"Planetary Computer, baseline {_written(baseline)}: offset {offset:g} DN")


def by_raster_bands(item: Mapping[str, Any], asset: Mapping[str, Any]) -> Meaning | None:
    """Scale and offset of ``raster:bands`` (STAC 1.1: ``raster:scale``, ``raster:offset``); None where none is."""
    scale = asset.get("raster:scale", asset.get("scale"))
    offset = asset.get("raster:offset", asset.get("offset"))
    if not isinstance(scale, int | float) or scale <= 0:
        return None
    shift = float(offset) if isinstance(offset, int | float) else 0.0
    # -0.1 / 1e-4 is -1000.0000000000001: whole DN are meant
    dn = round(shift / scale, 6)
    return Meaning(float(scale), dn, f"raster:bands of {item.get('collection', 'the item')}: offset {dn:g} DN")


def by_baseline(item: Mapping[str, Any], asset: Mapping[str, Any]) -> Meaning:
    """The last resort, always doubtful: ESA's numbers by their baseline, and no offset where there is none."""
    baseline = baseline_of(item)
    scale = _listed_scale(asset)
    if baseline is None:
        return Meaning(scale, 0.0, "neither offset nor processing baseline is given: no offset assumed", True)
    offset = _OFFSET_DN if baseline >= FIRST_WITH_OFFSET else 0.0
    told = f"no provider rule applies, assumed from baseline {_written(baseline)}: offset {offset:g} DN"
    return Meaning(scale, offset, told, baseline >= FIRST_WITH_OFFSET)


def baseline_of(item: Mapping[str, Any]) -> Baseline | None:
    """Processing baseline: ``s2:processing_baseline``, ``processing:version``, or the N-number of the product name."""
    properties = item["properties"]
    for key in ("s2:processing_baseline", "processing:version"):
        match = re.fullmatch(r"(\d\d?)\.(\d\d)", str(properties.get(key, "")))
        if match:
            return int(match[1]), int(match[2])
    product = _product(properties)
    return (int(product[3]), int(product[4])) if product else None


def _written(baseline: Baseline) -> str:
    return f"{baseline[0]:02d}.{baseline[1]:02d}"


def _listed_scale(asset: Mapping[str, Any]) -> float:
    scale = asset.get("raster:scale", asset.get("scale"))
    return float(scale) if isinstance(scale, int | float) and scale > 0 else _SCALE


# --- the scene -----------------------------------------------------------------------------------------------------


def _scene(href: str, item: Mapping[str, Any], stored: Mapping[str, StoredBand], decisions: Sequence[Meaning]) -> Scene:
    properties = item["properties"]
    product = _product(properties)
    return Scene(
        name=item["id"],
        href=href,
        kind="STAC",
        bands={name: entry.info for name, entry in stored.items() if name != SCL},
        classification=stored[SCL].info if SCL in stored else None,
        level=_level(item, product),
        platform=_platform(properties, product),
        tile=_tile(properties, product),
        relative_orbit=int(product[5]) if product else _integer(properties.get("sat:relative_orbit")),
        baseline=baseline_of(item),
        sensing_time=_time(properties.get("datetime")),
        sun_zenith_deg=_sun_zenith(properties),
        sun_azimuth_deg=_number(properties.get("view:sun_azimuth", properties.get("s2:mean_solar_azimuth"))),
        cloud_percent=_number(properties.get("eo:cloud_cover")),
        nodata_percent=_number(properties.get("s2:nodata_pixel_percentage")),
        offset_rule="; ".join(dict.fromkeys(decision.rule for decision in decisions)),
        warnings=tuple(_doubts(item["id"], decisions)),
    )


def _doubts(name: str, decisions: Sequence[Meaning]) -> Iterator[GroundshiftWarning]:
    for rule in dict.fromkeys(decision.rule for decision in decisions if decision.doubtful):
        yield OffsetWarning(f"{name}: {rule}; give --offset if you know better.")


def _product(properties: Mapping[str, Any]) -> re.Match[str] | None:
    return _PRODUCT.match(str(properties.get("s2:product_uri", "")))


def _level(item: Mapping[str, Any], product: re.Match[str] | None) -> str | None:
    if product:
        return product[2]
    told = f"{item['properties'].get('s2:product_type', '')} {item.get('collection', '')}".upper()
    return next((level for level in ("L2A", "L1C") if level in told or level.replace("L", "MSI") in told), None)


def _platform(properties: Mapping[str, Any], product: re.Match[str] | None) -> str | None:
    match = re.fullmatch(r"sentinel-?2([a-d])", str(properties.get("platform", "")), re.IGNORECASE)
    return f"S2{match[1].upper()}" if match else (product[1] if product else None)


def _tile(properties: Mapping[str, Any], product: re.Match[str] | None) -> str | None:
    parts = [str(properties.get(f"mgrs:{part}", "")) for part in ("utm_zone", "latitude_band", "grid_square")]
    if all(parts):
        return "".join(parts).zfill(5)
    for key in ("grid:code", "s2:mgrs_tile"):
        match = re.fullmatch(r"(?:MGRS-|T)?(\d{1,2}[A-Z]{3})", str(properties.get(key, "")))
        if match:
            return match[1].zfill(5)
    return product[6] if product else None


def _time(text: object) -> datetime | None:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)


def _sun_zenith(properties: Mapping[str, Any]) -> float | None:
    elevation = _number(properties.get("view:sun_elevation"))
    return _number(properties.get("s2:mean_solar_zenith")) if elevation is None else 90.0 - elevation


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None
