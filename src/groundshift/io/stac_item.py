"""One STAC item for the results of a run, checked here because extension schemas are not at hand offline."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import shapely
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from groundshift.io.atomic import write_text
from groundshift.model.grid import pixel_size_m
from groundshift.model.legend import LegendEntry

_EXTENSIONS = {
    "proj:": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "raster:": "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "classification:": "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
}
_MEDIA = {
    ".tif": "image/tiff; application=geotiff",
    ".png": "image/png",
    ".gpkg": "application/geopackage+sqlite3",
    ".html": "text/html",
    ".json": "application/json",
}
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_UNDATED = {"description": "The dates of the images are not known; datetime stands for that."}


@dataclass(frozen=True, kw_only=True)
class BandField:
    """One band of a raster asset."""

    name: str
    dtype: str
    """numpy name."""
    unit: str = ""
    nodata: float | None = None
    legend: tuple[LegendEntry, ...] = ()
    """Classes, of a class raster."""


@dataclass(frozen=True, kw_only=True)
class AssetField:
    """One file of the results."""

    path: Path
    title: str
    roles: tuple[str, ...] = ("data",)
    bands: tuple[BandField, ...] = field(default=())
    """Of a raster on the grid of the item; empty for anything else."""
    cog: bool = False


def write_item(
    path: str | os.PathLike[str],
    *,
    geobox: GeoBox,
    datetimes: Sequence[datetime | None],
    assets: Mapping[str, AssetField],
    properties: Mapping[str, Any] | None = None,
    force: bool = True,
) -> None:
    """Write a STAC 1.1 item whose links to the files beside it are relative.

    Args:
        path: ``item.json``; its stem is the id of the item.
        geobox: grid of the rasters; without CRS the item has no geometry.
        datetimes: sensing times of the scenes; unknown ones (None) are left out.
        assets: files by key.
        properties: anything else to say.

    Raises:
        OutputError: it cannot be written.
        ValueError: the item would be no valid STAC (a bug of the caller).
    """
    target = Path(path)
    known = sorted(time for time in datetimes if time is not None)
    geometry, bbox = _footprint(geobox)
    item = pystac.Item(
        id=target.stem,
        geometry=geometry,
        bbox=bbox,
        datetime=None if known else datetime(1970, 1, 1, tzinfo=UTC),
        start_datetime=known[0] if known else None,
        end_datetime=known[-1] if known else None,
        properties={**_projection(geobox), **({} if known else _UNDATED), **(properties or {})},
    )
    for key, asset in assets.items():
        item.add_asset(key, _asset(asset, target.parent, pixel_size_m(geobox)))
    content = item.to_dict(include_self_link=False, transform_hrefs=False)
    content["stac_extensions"] = _extensions_in(content)
    problems = check_item(content)
    if problems:
        raise ValueError(f"{target} would be no valid STAC item: {'; '.join(problems)}")
    write_text(target, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", force=force)


def check_item(item: Mapping[str, Any]) -> list[str]:
    """What is wrong with an item by the rules of STAC 1.1 and of the extensions used here; empty when nothing is."""
    problems = [
        f"{key} is missing" for key in ("type", "stac_version", "id", "properties", "assets") if key not in item
    ]
    if problems:
        return problems
    if (item["type"], item["stac_version"]) != ("Feature", "1.1.0"):
        problems.append("type or stac_version is not Feature, 1.1.0")
    properties = item["properties"]
    if properties.get("datetime") is None and not {"start_datetime", "end_datetime"} <= properties.keys():
        problems.append("neither datetime nor start_datetime and end_datetime")
    if (item.get("geometry") is None) != (item.get("bbox") is None):
        problems.append("geometry and bbox must come together")
    problems += [f"{uri} is not declared" for uri in _extensions_in(item) if uri not in item.get("stac_extensions", [])]
    for key, asset in item["assets"].items():
        problems += [f"asset {key}: {problem}" for problem in _check_asset(asset)]
    return problems


def _check_asset(asset: Mapping[str, Any]) -> list[str]:
    problems = []
    href = asset.get("href", "")
    if not href or Path(href).is_absolute():
        problems.append("href is missing or absolute")
    for band in asset.get("bands", []):
        classes = [entry.get("value") for entry in band.get("classification:classes", [])]
        if len(set(classes)) < len(classes) or not all(isinstance(value, int) for value in classes):
            problems.append(f"band {band.get('name')}: class values must be integers, each once")
    return problems


def _extensions_in(item: Mapping[str, Any]) -> list[str]:
    bands = [band for asset in item["assets"].values() for band in asset.get("bands", [])]
    keys = {key for part in (item["properties"], *bands) for key in part}
    return [uri for prefix, uri in _EXTENSIONS.items() if any(key.startswith(prefix) for key in keys)]


def _footprint(geobox: GeoBox) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Geometry and bounds in degrees; across the antimeridian in two parts, and from west to east (RFC 7946)."""
    if geobox.crs is None:
        return None, None
    outline = shapely.segmentize(geobox.extent.geom, max(geobox.extent.geom.length / 80, 1e-9))
    transformer = Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True)
    around = shapely.transform(outline, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))
    longitude = shapely.get_coordinates(around)[:, 0]
    if np.ptp(longitude) > 180:
        around = shapely.transform(
            around, lambda xy: np.column_stack([np.where(xy[:, 0] < 0, xy[:, 0] + 360, xy[:, 0]), xy[:, 1]])
        )
    # Two microdegrees are two decimetres: enough for a footprint, and far fewer points.
    ring = shapely.set_precision(shapely.simplify(around, 2e-6), 1e-6)
    west, south, east, north = (round(value, 6) for value in ring.bounds)
    if east > 180 and west < 180:
        sides = (shapely.box(west - 1, -90, 180, 90), shapely.box(180, -90, east + 1, 90))
        parts = [shapely.intersection(ring, side) for side in sides]
        ring = shapely.MultiPolygon([parts[0], shapely.transform(parts[1], lambda xy: xy - [360.0, 0.0])])
    return shapely.geometry.mapping(shapely.orient_polygons(ring)), [
        west,
        south,
        east if east <= 180 else east - 360,
        north,
    ]


def _projection(geobox: GeoBox) -> dict[str, Any]:
    fields: dict[str, Any] = {"proj:shape": list(geobox.shape), "proj:transform": list(geobox.affine)[:6]}
    if geobox.crs is None:
        return fields
    epsg = geobox.crs.epsg
    return fields | ({"proj:code": f"EPSG:{epsg}"} if epsg else {"proj:code": None, "proj:wkt2": geobox.crs.to_wkt()})


def _asset(asset: AssetField, folder: Path, resolution_m: float | None) -> pystac.Asset:
    media = _COG if asset.cog else _MEDIA.get(asset.path.suffix.lower())
    href = Path(os.path.relpath(asset.path, folder)).as_posix()
    extra = {"bands": [_band(band, resolution_m) for band in asset.bands]} if asset.bands else {}
    return pystac.Asset(f"./{href}", title=asset.title, media_type=media, roles=list(asset.roles), extra_fields=extra)


def _band(band: BandField, resolution_m: float | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": band.name, "data_type": band.dtype, "raster:sampling": "area"}
    if resolution_m is not None:
        fields["raster:spatial_resolution"] = round(resolution_m, 3)
    if band.unit:
        fields["unit"] = band.unit
    if band.nodata is not None:
        fields["nodata"] = "nan" if np.isnan(band.nodata) else band.nodata
    if band.legend:
        fields["classification:classes"] = [_class(entry, band.nodata) for entry in band.legend]
    return fields


def _class(entry: LegendEntry, nodata: float | None) -> dict[str, Any]:
    red, green, blue, _ = entry.color
    fields = {
        "value": entry.code,
        "name": "".join(letter if letter.isalnum() else "_" for letter in entry.name),
        "title": entry.name,
        "color_hint": f"{red:02X}{green:02X}{blue:02X}",
    }
    return fields | ({"nodata": True} if entry.code == nodata else {})
