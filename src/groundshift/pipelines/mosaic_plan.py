"""Which scenes a mosaic is made of, and on which grid, settled before a pixel is read."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import numpy as np
import shapely
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from groundshift.errors import (
    GridError,
    GroundshiftWarning,
    LevelWarning,
    MissingInputError,
    NoDataError,
    UsageError,
)
from groundshift.io import reproject, vector
from groundshift.model.grid import Window, crop, metres_per_unit, snapped, window_of
from groundshift.model.scene import Reader, Scene
from groundshift.pipelines.mosaic_job import MosaicJob, interval

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

_LEVEL = "L2A"
_UNDATED = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class Layer:
    """One scene and the part of the mosaic's grid that it may cover."""

    reader: Reader
    window: Window

    @property
    def scene(self) -> Scene:
        """What is known of the scene."""
        return self.reader.scene


@dataclass(frozen=True, kw_only=True, eq=False)
class MosaicPlan:
    """Scenes, newest first, and the grid of the mosaic."""

    layers: tuple[Layer, ...]
    dropped: tuple[tuple[str, str], ...]
    """Name of each scene that is not used, and why."""
    geobox: GeoBox
    area: BaseGeometry | None
    """Area of interest in the coordinates of the grid."""


def make(readers: Sequence[Reader], job: MosaicJob) -> MosaicPlan:
    """Choose the scenes and settle the grid.

    Raises:
        NoDataError: no scene is left, with the reasons.
        MissingInputError: a scene lacks a band.
        GridError: a scene has no georeference, or the area lies outside of all scenes.
    """
    kept, dropped = of_acquisitions(readers, job.input.dates, job.input.max_cloud)
    for reader in kept:
        check(reader.scene, job.grid.bands)
    if not kept:
        raise NoDataError(none_left(len(readers), dropped))
    full = _grid(kept, job)
    area, window = None, Window(0, full.shape[0], 0, full.shape[1])
    if job.grid.aoi is not None:
        area = vector.aoi_on(*vector.read_aoi(job.grid.aoi), full)
        window = window_of(area.bounds, full)
    geobox = crop(full, window)
    layers = []
    for reader in kept:
        part = _footprint(reader.scene, job.grid.bands, geobox)
        if part is None:
            dropped.append((reader.scene.name, "outside of the area of interest"))
        else:
            layers.append(Layer(reader, part))
    if not layers:
        raise GridError("the area of interest lies outside of all scenes: " + none_left(len(readers), dropped))
    return MosaicPlan(layers=tuple(layers), dropped=tuple(dropped), geobox=geobox, area=area)


def odd(plan: MosaicPlan) -> list[GroundshiftWarning]:
    """Named warnings that the metadata of the scenes give rise to."""
    found: list[GroundshiftWarning] = []
    for layer in plan.layers:
        scene = layer.scene
        found += scene.warnings
        if scene.level not in (None, _LEVEL):
            found.append(LevelWarning(f"{scene.name} is {scene.level}, not surface reflectance: haze stays in it."))
    return found


def newest_first(scene: Scene) -> tuple[float, str]:
    """What to sort scenes by; those without a date come last."""
    return -(scene.sensing_time or _UNDATED).timestamp(), scene.name


def off_days(scene: Scene, days: tuple[date, date] | None) -> str:
    """Why a scene is not of these days, both included; empty where it is."""
    if days is None or (scene.sensing_time is not None and days[0] <= scene.sensing_time.date() <= days[1]):
        return ""
    if scene.sensing_time is None:
        return "its date is not known, and --dates was given"
    return f"sensed on {scene.sensing_time:%Y-%m-%d}, not from {days[0]} to {days[1]}"


def of_acquisitions(
    readers: Sequence[Reader], dates: str | None = None, max_cloud: float | None = None
) -> tuple[list[Reader], list[tuple[str, str]]]:
    """Scenes newest first: of the days asked for, not too cloudy, and of each acquisition the highest baseline.

    Args:
        readers: of all scenes.
        dates: first and last day, both included; None: any.
        max_cloud: percentage of cloud that their metadata may tell of; None: any.

    Returns:
        The scenes; and the names of those that are not used, with the reason.
    """
    dropped: list[tuple[str, str]] = []
    found: dict[object, Reader] = {}
    days = None if dates is None else interval(dates)
    for reader in sorted(readers, key=lambda reader: newest_first(reader.scene)):
        reason = off_days(reader.scene, days) or _too_cloudy(reader.scene, max_cloud)
        if reason:
            dropped.append((reader.scene.name, reason))
            continue
        key = _acquisition(reader.scene)
        other = found.get(key)
        if other is None:
            found[key] = reader
            continue
        older, newer = sorted((other, reader), key=lambda each: (each.scene.baseline or (0, 0), each.scene.name))
        found[key] = newer
        higher = (newer.scene.baseline or (0, 0)) > (older.scene.baseline or (0, 0))
        reason = f"the same acquisition as {newer.scene.name}" + (", whose baseline is higher" if higher else "")
        dropped.append((older.scene.name, reason))
    return list(found.values()), dropped


def _acquisition(scene: Scene) -> object:
    """What tells one acquisition from another; a scene whose metadata do not is one of its own."""
    if scene.sensing_time is None or scene.tile is None:
        return scene.href
    return scene.platform, scene.tile, scene.sensing_time, scene.relative_orbit


def _too_cloudy(scene: Scene, limit: float | None) -> str:
    if limit is not None and scene.cloud_percent is not None and scene.cloud_percent > limit:
        return f"{scene.cloud_percent:.4g} % cloud, more than {limit:g} %"
    return ""


def none_left(count: int, dropped: Sequence[tuple[str, str]]) -> str:
    """That nothing is left, as a sentence with the first reasons."""
    reasons = "; ".join(f"{name}: {reason}" for name, reason in dropped[:3])
    more = f"; and {len(dropped) - 3} more" if len(dropped) > 3 else ""
    return f"no scene of {count} is left ({reasons}{more}): widen --dates, --max-cloud or --aoi."


def check(scene: Scene, bands: Sequence[str]) -> None:
    """Make sure that a scene has these bands, and a place.

    Raises:
        MissingInputError: it lacks a band.
        GridError: it has no georeference.
    """
    missing = [band for band in bands if band not in scene.bands]
    if missing:
        raise MissingInputError(
            f"{scene.name} has no {', '.join(missing)}: it has {', '.join(scene.bands) or 'no bands'}; choose others "
            "with --bands, or leave the scene out."
        )
    if any(scene.bands[band].geobox.crs is None for band in bands):
        raise GridError(f"{scene.name} has no georeference, so it has no place beside others.")


def _finest(scene: Scene, bands: Sequence[str]) -> GeoBox:
    return min((scene.bands[band].geobox for band in bands), key=lambda box: abs(box.affine.determinant))


def _grid(readers: Sequence[Reader], job: MosaicJob) -> GeoBox:
    """The common grid of all scenes: the pixels of most of them are its own, so that they are not resampled."""
    boxes = [_finest(reader.scene, job.grid.bands) for reader in readers]
    pixels: dict[CRS, float] = defaultdict(float)
    for box in boxes:
        pixels[box.crs] += box.shape[0] * box.shape[1]
    most = max(pixels, key=lambda crs: pixels[crs])
    asked = job.grid.projection.strip()
    crs = most if asked.lower() == "native" else _crs(asked)
    own = [box for box in boxes if box.crs == crs]
    anchor = own[0].affine * (0, 0) if own else (0.0, 0.0)
    first = reproject.outline(boxes[0], crs)
    bounds = np.array([_near(reproject.outline(box, crs), first, crs).bounds for box in boxes])
    union = (*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0))
    size = job.grid.resolution
    if size is None and own:
        return snapped(union, crs, min(math.sqrt(abs(box.affine.determinant)) for box in own), anchor)
    return snapped(union, crs, (size or _metres(boxes[0])) / metres_per_unit(crs), anchor)


def _crs(text: str) -> CRS:
    try:
        return CRS(text)
    except Exception as error:
        raise UsageError(f"--projection is native, EPSG:n or WKT, not {text!r}.") from error


def _metres(box: GeoBox) -> float:
    return math.sqrt(abs(box.affine.determinant)) * metres_per_unit(box.crs)


def _near(shape: shapely.Polygon, other: shapely.Polygon, crs: CRS) -> shapely.Polygon:
    """A shape in longitudes that go on from those of another: beyond 180 where the antimeridian lies between them."""
    if not crs.geographic:
        return shape
    turns = round((other.centroid.x - shape.centroid.x) / 360)
    return shapely.transform(shape, lambda xy: xy + np.array([360.0 * turns, 0.0])) if turns else shape


def _footprint(scene: Scene, bands: Sequence[str], grid: GeoBox) -> Window | None:
    whole = grid.extent.geom
    outline = _near(reproject.outline(_finest(scene, bands), grid.crs), whole, grid.crs)
    shared = shapely.intersection(shapely.make_valid(outline), whole)
    if shared.is_empty or shared.area < abs(grid.affine.determinant):
        return None
    return window_of(shared.bounds, grid)
