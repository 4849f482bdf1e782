"""What a run will do, settled before a pixel is read: grid, blocks of the sample, what looks odd in the pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox

from groundshift import errors
from groundshift.errors import GridError, GroundshiftWarning, MissingInputError, UsageError
from groundshift.io import vector
from groundshift.model.grid import Window, crop, metres_per_unit, pixel_size_m, snapped, window_of
from groundshift.model.scene import Reader, Scene
from groundshift.pipelines.job import ChangeJob

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

BLOCK_PX = 512
"""Side of a sample block: half a JPEG 2000 tile of a 10 m band."""
_SEASON_DAYS = 60
_LEVEL = "L2A"


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The grids of a run."""

    full: GeoBox
    """Grid of all of BEFORE; the statistics may be fitted anywhere on it."""
    window: Window
    """The part of it that is compared: all, or the bounds of the area of interest."""
    area: BaseGeometry | None
    """Area of interest in the coordinates of the grid."""

    @property
    def geobox(self) -> GeoBox:
        """Grid that is compared."""
        return crop(self.full, self.window)

    @property
    def pixel_m(self) -> float | None:
        """Pixel size in metres."""
        return pixel_size_m(self.full)


def make(before: Reader, after: Reader, job: ChangeJob) -> Plan:
    """Settle the grid.

    Raises:
        GridError: the images, or the area of interest, do not overlap, or only one has a georeference.
        MissingInputError: a band is not there.
        UsageError: a resolution was asked of images without georeference.
    """
    for reader in (before, after):
        missing = [band for band in job.grid.bands if band not in reader.scene.bands]
        if missing:
            raise MissingInputError(
                f"{reader.scene.name} has no {', '.join(missing)}: it has "
                f"{', '.join(reader.scene.bands) or 'no bands'}; choose others with --bands."
            )
    full = full_grid(before.scene, job.grid.bands, job.grid.resolution)
    _check_overlap(full, before.scene, after.scene, job.grid.bands)
    if job.grid.aoi is None:
        return Plan(full=full, window=Window(0, full.shape[0], 0, full.shape[1]), area=None)
    area = vector.aoi_on(*vector.read_aoi(job.grid.aoi), full)
    return Plan(full=full, window=window_of(area.bounds, full), area=area)


def full_grid(scene: Scene, bands: Sequence[str], resolution_m: float | None) -> GeoBox:
    """The grid of a scene: that of the finest of its bands, or one of another pixel size over the same ground.

    Raises:
        UsageError: a resolution was asked of a scene without georeference.
    """
    native = min((scene.bands[band].geobox for band in bands), key=lambda box: (_size(box), box.shape[0]))
    if resolution_m is None:
        return native
    size = pixel_size_m(native)
    if size is None:
        raise UsageError(
            f"{scene.name} has no georeference, so --resolution in metres has no meaning: leave it out to work on "
            "the pixel grid of the image."
        )
    if abs(size - resolution_m) < 1e-3 * size:
        return native
    corner = native.affine * (0, 0)
    return snapped(tuple(native.extent.boundingbox), native.crs, resolution_m / metres_per_unit(native.crs), corner)


def _size(geobox: GeoBox) -> float:
    return float(abs(geobox.affine.determinant))


def _check_overlap(full: GeoBox, before: Scene, after: Scene, bands: Sequence[str]) -> None:
    other = min((after.bands[band].geobox for band in bands), key=_size)
    if (full.crs is None) != (other.crs is None):
        bare, placed = (before, after) if full.crs is None else (after, before)
        raise GridError(
            f"{bare.name} has no georeference and {placed.name} has one: the two cannot be laid on one grid."
        )
    if full.crs is None:
        if tuple(full.shape) != tuple(other.shape):
            raise GridError(
                f"without georeference both images must have one size: {before.name} has {full.shape[0]} x "
                f"{full.shape[1]} pixels, {after.name} {other.shape[0]} x {other.shape[1]}."
            )
        return
    if (full.extent & other.extent.to_crs(full.crs)).area < _size(full):
        raise GridError(
            f"{before.name} (tile {before.tile or 'unknown'}) and {after.name} (tile {after.tile or 'unknown'}) do not "
            "overlap: choose two images of one place."
        )


def sample_windows(shape: tuple[int, int], pixels: int, seed: int) -> tuple[Window, ...]:
    """Contiguous blocks, spread evenly in an order without bias; the caller takes them until it has pixels enough.

    An image of no more than twice ``pixels`` is one block.
    """
    rows, columns = shape
    if rows * columns <= 2 * pixels:
        return (Window(0, rows, 0, columns),)
    found = [
        Window(y, min(y + BLOCK_PX, rows), x, min(x + BLOCK_PX, columns))
        for y in range(0, rows, BLOCK_PX)
        for x in range(0, columns, BLOCK_PX)
    ]
    order = np.random.default_rng(seed).permutation(len(found))
    return tuple(found[i] for i in order)


def odd(before: Scene, after: Scene) -> list[GroundshiftWarning]:
    """Named warnings that the metadata of the pair give rise to."""
    found: list[GroundshiftWarning] = [*before.warnings, *after.warnings]
    for scene in (before, after):
        if scene.level not in (None, _LEVEL):
            found.append(
                errors.LevelWarning(
                    f"{scene.name} is {scene.level}, not surface reflectance: haze may look like change."
                )
            )
        if scene.classification is None and scene.level == _LEVEL:
            found.append(
                errors.CloudWarning(f"{scene.name} has no scene classification: its clouds are compared as ground.")
            )
    pairs = (
        (errors.TileWarning, "tile", before.tile, after.tile),
        (errors.OrbitWarning, "relative orbit", before.relative_orbit, after.relative_orbit),
        (errors.BaselineWarning, "processing baseline", _dotted(before.baseline), _dotted(after.baseline)),
    )
    for kind, what, first, second in pairs:
        if first is not None and second is not None and first != second:
            found.append(kind(f"the two images differ in {what}: {first} and {second}."))
    return [*found, *odd_times(before, after)]


def odd_times(before: Scene, after: Scene) -> list[GroundshiftWarning]:
    """Named warnings that the dates of the pair give rise to."""
    first, second = before.sensing_time, after.sensing_time
    if first is None or second is None:
        return []
    found: list[GroundshiftWarning] = []
    if second < first:
        found.append(
            errors.OrderWarning(
                f"AFTER ({second:%Y-%m-%d}) was sensed before BEFORE ({first:%Y-%m-%d}): exchange them?"
            )
        )
    if not same_season(first, second):
        found.append(
            errors.SeasonWarning(
                f"{first:%Y-%m-%d} and {second:%Y-%m-%d} lie in different seasons: much of the change may be the "
                "season's."
            )
        )
    return found


def same_season(first: datetime, second: datetime) -> bool:
    """Whether two dates lie within 60 days of the year of each other."""
    apart = abs(first.timetuple().tm_yday - second.timetuple().tm_yday)
    return min(apart, 365 - apart) <= _SEASON_DAYS


def _dotted(baseline: tuple[int, int] | None) -> str | None:
    return None if baseline is None else f"{baseline[0]:02d}.{baseline[1]:02d}"
