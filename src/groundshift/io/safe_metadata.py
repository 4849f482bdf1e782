"""What the XML of a Sentinel-2 product says: decided by XML and processing baseline, never by date.

Source: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), issues 13 to 15, and the older names that
products of 2015 to 2017 carry.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from xml.etree.ElementTree import Element

from affine import Affine
from odc.geo.geobox import GeoBox

from groundshift.errors import BaselineWarning, GroundshiftWarning, OffsetWarning, ProductError
from groundshift.io.jp2 import MAX_SIDE_PX
from groundshift.io.xmlsafe import elements, local_name, number, text
from groundshift.model.bands import BANDS

NEWEST_BASELINE = (5, 12)
"""The newest processing baseline that these rules were checked against."""
OFFSET_BASELINE = (4, 0)
"""From here on every product carries radiometric offsets."""
_QUANTIFICATION = 10_000.0
"""Of every product below OFFSET_BASELINE."""
_NAME = re.compile(r"(S2[A-D])_(?:OPER_|USER_)?(?:PRD_)?MSI_?L(1C|2A)_", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Radiometry:
    """reflectance = (DN + offset) / quantification."""

    quantification: float
    offsets: Mapping[str, float]
    """By canonical band name, in DN."""
    nodata: float
    saturated: float
    offset_rule: str
    """How the offsets were decided, for the report."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who took the image, where and when."""

    name: str
    level: Literal["L1C", "L2A"]
    platform: str | None
    tile: str | None
    relative_orbit: int | None
    baseline: tuple[int, int] | None
    sensing_time: datetime | None


@dataclass(frozen=True, kw_only=True)
class Tile:
    """What the tile's own metadata add, where they are there."""

    grids: Mapping[int, GeoBox]
    """By resolution in metres."""
    sensing_time: datetime | None
    sun_zenith_deg: float | None
    sun_azimuth_deg: float | None


def read_identity(root: Element, tile: Element | None, fallback_name: str, href: str) -> Identity:
    """Who took the image, from the product's XML, then the tile's, then its name.

    Raises:
        ProductError: neither says whether it is Level-1C or Level-2A.
    """
    name = (text(root, "PRODUCT_URI", "PRODUCT_URI_1C", "PRODUCT_URI_2A") or fallback_name).removesuffix(".SAFE")
    spacecraft = re.search(r"Sentinel-2([A-D])", text(root, "SPACECRAFT_NAME") or "")
    named = _NAME.search(name) or _NAME.search(fallback_name)
    tile_id = text(root, "TILE_ID", "TILE_ID_2A") or (text(tile, "TILE_ID", "TILE_ID_2A") if tile is not None else None)
    orbit = text(root, "SENSING_ORBIT_NUMBER") or _found(r"_R(\d{3})(?:_|$)", name)
    return Identity(
        name=name,
        level=_level(root, named, href),
        platform=f"S2{spacecraft[1]}" if spacecraft else (named[1].upper() if named else None),
        tile=_found(r"_T(\d\d[A-Z]{3})(?:_|$)", tile_id or "", name),
        relative_orbit=int(orbit) if orbit and orbit.isdecimal() else None,
        baseline=_baseline(text(root, "PROCESSING_BASELINE"), tile_id, name),
        sensing_time=_time(text(root, "SENSING_TIME", "DATATAKE_SENSING_START", "PRODUCT_START_TIME")),
    )


def _level(root: Element, named: re.Match[str] | None, href: str) -> Literal["L1C", "L2A"]:
    words = f"{local_name(root)} {text(root, 'PROCESSING_LEVEL') or ''}"
    match = re.search(r"Level-?(1C|2A)", words, re.IGNORECASE)
    code = match[1].upper() if match else (named[2].upper() if named else None)
    if code == "1C":
        return "L1C"
    if code == "2A":
        return "L2A"
    raise ProductError(f"{href}: says neither Level-1C nor Level-2A: expected the metadata of a Sentinel-2 product.")


def _found(pattern: str, *texts: str) -> str | None:
    matches = (re.search(pattern, value) for value in texts)
    return next((match[1] for match in matches if match), None)


def _baseline(stated: str | None, tile_id: str | None, name: str) -> tuple[int, int] | None:
    digits = _found(r"^(\d\d\.\d\d)$", stated or "") or _found(r"_N(\d\d\.?\d\d)(?:_|$)", tile_id or "", name)
    if digits is None:
        return None
    return int(digits[:2]), int(digits[-2:])


def _time(stated: str | None) -> datetime | None:
    """An XML time as aware UTC."""
    try:
        time = datetime.fromisoformat((stated or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def read_radiometry(
    root: Element, identity: Identity, trust: str | None, href: str
) -> tuple[Radiometry, tuple[GroundshiftWarning, ...]]:
    """Scale and offsets, and what was odd about them.

    Args:
        root: the product's XML.
        identity: for level and baseline.
        trust: ``metadata`` or ``pixels`` lets a product through whose offsets are missing.
        href: the XML, as a message should name it.

    Raises:
        ProductError: values that cannot be, or a baseline that must have offsets and has none.
    """
    offsets = _offsets(root, href)
    warnings = _baseline_warnings(identity, href)
    if not offsets and (identity.baseline is None or identity.baseline >= OFFSET_BASELINE):
        stated = "without a processing baseline" if identity.baseline is None else f"of {_spelled(identity.baseline)}"
        if trust is None:
            raise ProductError(
                f"{href}: a product {stated} must list radiometric offsets and lists none, so its reflectance is "
                "unknown: download it again, or take it as having no offset with --trust metadata."
            )
        warnings += (OffsetWarning(f"{href}: a product {stated} without radiometric offsets was read as offset 0."),)
    quantification = number(root, "BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE")
    if quantification is None:
        quantification = _QUANTIFICATION
        warnings += (OffsetWarning(f"{href}: no quantification value is given, 10000 was taken."),)
    if not (math.isfinite(quantification) and quantification > 0):
        raise ProductError(f"{href}: the quantification value {quantification:g} cannot be: expected 10000.")
    special = _special_values(root)
    radiometry = Radiometry(
        quantification=quantification,
        offsets=offsets,
        nodata=special.get("NODATA", 0.0),
        saturated=special.get("SATURATED", 65_535.0),
        offset_rule=_offset_rule(root, offsets, identity, trust, href),
    )
    return radiometry, warnings


def _offsets(root: Element, href: str) -> dict[str, float]:
    by_id = {str(band.band_id): band.name for band in BANDS.values()}
    offsets = {}
    for element in elements(root, "BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"):
        name = by_id.get(element.get("band_id", element.get("bandId", "")))
        try:
            value = float(element.text or "")
        except ValueError:
            value = math.nan
        if name is None or not math.isfinite(value):
            raise ProductError(
                f"{href}: the radiometric offset {element.text!r} of band_id {element.get('band_id')!r} "
                "cannot be read: download the product again."
            )
        offsets[name] = value
    return offsets


def _offset_rule(root: Element, offsets: Mapping[str, float], identity: Identity, trust: str | None, href: str) -> str:
    """How the offsets were decided: ``BOA_ADD_OFFSET of MTD_MSIL2A.xml: -1000 DN for each band``."""
    xml = re.split(r"[/!\\]", href)[-1]
    if not offsets:
        known = identity.baseline is not None and identity.baseline < OFFSET_BASELINE
        stated = f"processing {_spelled(identity.baseline)}" if identity.baseline else "no processing baseline given"
        return f"no offset: {stated}" + ("" if known else f", none in {xml}, taken as 0 by --trust {trust}")
    tag = next(local_name(each) for each in elements(root, "BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"))
    bands: dict[float, list[str]] = {}
    for band, offset in offsets.items():
        bands.setdefault(offset, []).append(band)
    if len(bands) == 1:
        return f"{tag} of {xml}: {next(iter(bands)):g} DN for each band"
    return f"{tag} of {xml}: " + ", ".join(f"{offset:g} DN for {' '.join(names)}" for offset, names in bands.items())


def _special_values(root: Element) -> dict[str, float]:
    pairs = (
        (text(each, "SPECIAL_VALUE_TEXT"), number(each, "SPECIAL_VALUE_INDEX"))
        for each in elements(root, "Special_Values")
    )
    return {name: value for name, value in pairs if name is not None and value is not None}


def _baseline_warnings(identity: Identity, href: str) -> tuple[GroundshiftWarning, ...]:
    if identity.baseline is None:
        return (BaselineWarning(f"{href}: no processing baseline is given; its XML was followed."),)
    if identity.baseline > NEWEST_BASELINE:
        return (
            BaselineWarning(
                f"{href}: processing {_spelled(identity.baseline)} is not known (newest known: "
                f"{NEWEST_BASELINE[0]:02}.{NEWEST_BASELINE[1]:02}); its XML was followed."
            ),
        )
    return ()


def _spelled(baseline: tuple[int, int]) -> str:
    return f"baseline {baseline[0]:02}.{baseline[1]:02}"


def band_offset(radiometry: Radiometry, band: str, href: str) -> float:
    """Offset of one band; 0 where the product lists none at all, ProductError where it lists only others."""
    if not radiometry.offsets:
        return 0.0
    if band not in radiometry.offsets:
        raise ProductError(f"{href}: lists radiometric offsets, but none for band {band}: download the product again.")
    return radiometry.offsets[band]


def cloud_percent(root: Element, tile: Element | None) -> float | None:
    """Share of cloudy pixels that the metadata declare."""
    declared = number(root, "Cloud_Coverage_Assessment")
    return declared if declared is not None else _of_either(root, tile, "CLOUDY_PIXEL_PERCENTAGE")


def nodata_percent(root: Element, tile: Element | None) -> float | None:
    """Share of no data that the metadata declare."""
    return _of_either(root, tile, "NODATA_PIXEL_PERCENTAGE")


def _of_either(root: Element, tile: Element | None, name: str) -> float | None:
    value = number(tile, name) if tile is not None else None
    return value if value is not None else number(root, name)


def read_tile(root: Element, href: str) -> Tile:
    """Grids, time and sun of a tile's XML.

    Raises:
        ProductError: its grids cannot be.
    """
    sun = next(elements(root, "Mean_Sun_Angle"), None)
    return Tile(
        grids=_grids(root, href),
        sensing_time=_time(text(root, "SENSING_TIME")),
        sun_zenith_deg=number(sun, "ZENITH_ANGLE") if sun is not None else None,
        sun_azimuth_deg=number(sun, "AZIMUTH_ANGLE") if sun is not None else None,
    )


def _grids(root: Element, href: str) -> dict[int, GeoBox]:
    crs = text(root, "HORIZONTAL_CS_CODE")
    if crs is None:
        return {}
    if not re.fullmatch(r"EPSG:32[67]\d\d", crs.strip(), re.IGNORECASE):
        raise ProductError(f"{href}: the coordinate system {crs!r} is none of Sentinel-2 (UTM, EPSG:326.. or 327..).")
    sizes = {each.get("resolution", ""): each for each in elements(root, "Size")}
    corners = {each.get("resolution", ""): each for each in elements(root, "Geoposition")}
    return {int(key): _grid(sizes[key], corners[key], crs, href) for key in sizes if key in corners and key.isdecimal()}


def _grid(size: Element, corner: Element, crs: str, href: str) -> GeoBox:
    values = [
        number(size, "NROWS"),
        number(size, "NCOLS"),
        *(number(corner, n) for n in ("ULX", "ULY", "XDIM", "YDIM")),
    ]
    rows, columns, x, y, dx, dy = (math.nan if value is None else value for value in values)
    if not (
        all(map(math.isfinite, (x, y))) and 1 <= rows <= MAX_SIDE_PX and 1 <= columns <= MAX_SIDE_PX and dx > 0 > dy
    ):
        raise ProductError(
            f"{href}: a grid of {values[0]} x {values[1]} pixels of {values[4]} x {values[5]} m cannot be: "
            f"expected at most {MAX_SIDE_PX} x {MAX_SIDE_PX}; download the product again."
        )
    return GeoBox((int(rows), int(columns)), Affine(dx, 0, x, 0, dy, y), crs)
