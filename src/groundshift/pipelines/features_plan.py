"""What a stack of features is made of, and on which grids, settled before a pixel is read.

All is computed on one *working grid*: the pixels of the finest band, over the area of interest and as far around it as
windows reach, beginning where pixels of the coarser bands begin. Of it the *stack* is cut.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.clouds import registry
from groundshift.errors import (
    CloudWarning,
    ConfigError,
    DatesWarning,
    GridError,
    GroundshiftWarning,
    MissingInputError,
    TerrainWarning,
    UsageError,
)
from groundshift.features import indices, sharpen, stack
from groundshift.features.sharpen import SharpenOptions
from groundshift.features.stack import Fitted, Stack
from groundshift.features.terrain import repetition_px
from groundshift.features.texture import GlcmOptions
from groundshift.io import reproject, vector
from groundshift.io.surface import Surface
from groundshift.model.grid import Window, pixel_size_m, window_of
from groundshift.model.scene import Reader, Scene
from groundshift.pipelines import features_grid, mosaic_plan
from groundshift.pipelines.features_grid import Group
from groundshift.pipelines.features_job import FeaturesJob
from groundshift.pipelines.mosaic_job import CloudsSection, MosaicGridSection, MosaicJob, MosaicOutputSection
from groundshift.pipelines.mosaic_plan import Layer, MosaicPlan

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

_UNMASKED = "plain rasters without scene classes are taken as they are, with what clouds they have:"
_SAMPLE_PX = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class FeaturesPlan:
    """What a run will do."""

    stack: Stack
    groups: tuple[Group, ...]
    """The finest first."""
    window: Window
    """Of the stack in the working grid."""
    area: BaseGeometry | None
    """Area of interest in the coordinates of the grid."""
    target: GeoBox
    """Grid of the file."""
    multiple: int
    """Blocks begin and end at multiples of so many pixels."""
    reach_px: int
    """Pixels around a block that sharpening needs."""
    sharpening: SharpenOptions
    surface: Surface | None
    smoothing_px: int
    """Side of the squares that elevation is smoothed over; 1: it is not."""
    roads: NDArray[np.object_] | None
    """Lines in the coordinates of the grid."""
    fitted: Fitted | None
    """Of another stack."""
    notes: tuple[GroundshiftWarning, ...]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Scenes, newest first."""
        return self.groups[0].plan.layers

    @property
    def grid(self) -> GeoBox:
        """The working grid."""
        return self.groups[0].plan.geobox

    @property
    def geobox(self) -> GeoBox:
        """The stack before it is reprojected."""
        return self.grid[self.window.slices]

    @property
    def bands(self) -> tuple[str, ...]:
        """All that are read, group by group."""
        return tuple(band for group in self.groups for band in group.bands)


def make(readers: Sequence[Reader], job: FeaturesJob) -> FeaturesPlan:
    """Settle features, scenes and grids.

    Raises:
        UsageError: features that are not known, or that lack their file.
        MissingInputError: a scene lacks a band.
        GridError: the area, or the elevation model, lies elsewhere.
    """
    wanted, notes = _stack(job)
    bands = _bands(wanted, readers, job)
    cut = job.clouds.mask == registry.AUTO and all(_is_cut(reader.scene) for reader in readers)
    if cut:
        notes.append(CloudWarning(f"{_UNMASKED} --clouds unet masks them."))
    inner = _mosaic_job(job, bands, masked=not cut)
    whole = mosaic_plan.make(readers, inner)
    area, window = None, Window(0, whole.geobox.shape[0], 0, whole.geobox.shape[1])
    if job.stack.aoi is not None:
        area = vector.aoi_on(*vector.read_aoi(job.stack.aoi), whole.geobox)
        window = window_of(area.bounds, whole.geobox)
    factors, phase = features_grid.lattices(whole, bands, job)
    multiple = math.lcm(*factors.values())
    options = SharpenOptions()
    reach = sharpen.halo_coarse_px(options) * max(factors.values()) if multiple > 1 else 0
    around = features_grid.aligned(window, wanted.halo_px + reach, phase, multiple)
    groups = [
        features_grid.group_of(whole, inner, around, factor, bands, factors)
        for factor in sorted({1, *factors.values()})
    ]
    if not groups[0].plan.layers:
        raise GridError("the area of interest lies outside of all scenes.")
    geobox = groups[0].plan.geobox
    surface, smoothing, staircase = _surface(job.stack.dem, geobox[window.within(around).slices])
    target = geobox[window.within(around).slices]
    if job.stack.projection.strip().lower() != "native":
        moved = reproject.target_geobox(target, job.stack.projection, job.stack.resolution)
        target = target if moved.crs == target.crs else moved
    return FeaturesPlan(
        stack=wanted,
        groups=tuple(groups),
        window=window.within(around),
        area=area,
        target=target,
        multiple=multiple,
        reach_px=-(-reach // multiple) * multiple,
        sharpening=options,
        surface=surface,
        smoothing_px=smoothing,
        roads=None
        if job.stack.roads is None
        else vector.read_lines(job.stack.roads, features_grid.around_roads(geobox)),
        fitted=None if job.texture.fitted is None else _fitted(job.texture.fitted, wanted),
        notes=(*notes, *staircase, *_odd(whole)),
    )


# ---- what is asked for ---------------------------------------------------------------------------------------------


def _stack(job: FeaturesJob) -> tuple[Stack, list[GroundshiftWarning]]:
    """The features, with those left out that the default list has and that there is no file for."""
    known = dict(indices.INDICES) | {each.name: each for each in map(indices.parse, job.stack.indices or ())}
    notes: list[GroundshiftWarning] = []
    found = stack.parse(job.stack.features, known, terrain=job.stack.dem is not None)
    is_default = "default" in [word.strip().lower() for word in job.stack.features.split(",")]
    if is_default and job.stack.dem is None:
        notes.append(TerrainWarning(f"without --dem, {', '.join(stack.TERRAIN_NAMES)} are left out of the stack."))
    if is_default and job.stack.roads is not None and not any(each.kind == "layer" for each in found):
        found += stack.parse("roads")
    options = GlcmOptions(
        window=job.texture.window,
        levels=job.texture.levels,
        distance=job.texture.distance,
        directions=job.texture.directions,
    )
    plan = Stack(features=found, texture=options)
    for flag, given, needed, kind in (
        ("--dem", job.stack.dem, plan.terrain, "terrain"),
        ("--roads", job.stack.roads, plan.roads, "layer"),
    ):
        names = [each.name for each in found if each.kind == kind]
        if needed and given is None:
            raise UsageError(f"--features names {', '.join(names)}: say with {flag} which file to make it of.")
        if given is not None and not needed:
            example = "DEM, slope or aspect" if kind == "terrain" else "roads"
            raise UsageError(f"{flag} is given, and --features names nothing that it is for: add {example}.")
    return plan, notes


def _is_cut(scene: Scene) -> bool:
    """A plain raster without classes: somebody has cut it out, and has looked."""
    return scene.kind in ("raster", "memory") and scene.classification is None


def _bands(wanted: Stack, readers: Sequence[Reader], job: FeaturesJob) -> tuple[str, ...]:
    """Bands to read, and those of 10 m that guide the others, where all scenes have them."""
    for reader in readers:
        scene = reader.scene
        for band in wanted.bands:
            if band not in scene.bands:
                raise MissingInputError(
                    f"{scene.name} has no {band}, which is needed for {', '.join(wanted.users(band)[:4])}: it has "
                    f"{', '.join(scene.bands) or 'no bands'}; name other --features, or leave the scene out."
                )
    guides = [band for band in features_grid.GUIDES if all(band in reader.scene.bands for reader in readers)]
    if not wanted.bands and not guides:
        raise MissingInputError("the scenes have none of the bands B02, B03, B04, B08, which give the stack its grid.")
    needed = {*wanted.bands, *(guides if job.stack.sharpen == "guided" or not wanted.bands else ())}
    return tuple(sorted(needed, key=lambda band: band.replace("B8A", "B08A")))


def _mosaic_job(job: FeaturesJob, bands: Sequence[str], *, masked: bool) -> MosaicJob:
    """The same as a mosaic, whose scenes, grids and masks are ours."""
    clouds = job.clouds if masked else job.clouds.model_copy(update={"mask": "none"})
    return MosaicJob(
        input=job.input,
        grid=MosaicGridSection(bands=tuple(bands), resolution=job.stack.resolution),
        clouds=CloudsSection(**clouds.model_dump(), lenient=(), second_opinion=False),
        output=MosaicOutputSection(outdir=str(Path(job.output.out).parent)),
        run=job.run,
    )


def _fitted(path: str, wanted: Stack) -> Fitted:
    """What another stack was fitted with."""
    try:
        found = Fitted.from_plain(json.loads(Path(path).read_text("utf-8"))["fitted"])
    except FileNotFoundError:
        raise MissingInputError(f"there is no manifest {path}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} is no manifest of a stack of features: name the .manifest.json beside it."
        ) from error
    lacking = [each.name for each in wanted.textured if each.name not in found.limits]
    if wanted.component_count and found.components is None:
        lacking.append("components")
    if lacking:
        raise ConfigError(f"{path}: that stack was made without {', '.join(lacking)}: leave out --fitted.")
    return found


def _surface(path: str | None, geobox: GeoBox) -> tuple[Surface | None, int, list[GroundshiftWarning]]:
    """The elevation model, and the side in pixels of the squares that it is smoothed over (1: it is not)."""
    if path is None:
        return None, 1, []
    surface = Surface.open(path, "elevation model")
    if not surface.overlaps(geobox):
        raise GridError(f"{path}: the elevation model does not overlap the area of the stack.")
    step = repetition_px(surface.sample(_SAMPLE_PX))
    if step == 1:
        return surface, 1, []
    ratio = (pixel_size_m(surface.info.geobox) or 1) / (pixel_size_m(geobox) or 1)
    text = (
        f"{path}: its pixels repeat in squares of {step}, as of a coarser model that was enlarged: slopes would be a "
    )
    return surface, max(1, round(step * ratio)), [TerrainWarning(f"{text}staircase, so it is smoothed over them.")]


def _odd(whole: MosaicPlan) -> list[GroundshiftWarning]:
    found = mosaic_plan.odd(whole)
    days = sorted({f"{layer.scene.sensing_time:%Y-%m-%d}" for layer in whole.layers if layer.scene.sensing_time})
    if len(days) > 1:
        found.append(
            DatesWarning(
                f"the scenes are of {len(days)} days, {days[0]} to {days[-1]}: each pixel is of the newest that "
                "shows it clear; choose one day with --dates for a stack of one day."
            )
        )
    return found
