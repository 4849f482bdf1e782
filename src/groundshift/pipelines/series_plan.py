"""Which scenes of a series are compared with which, settled before a pixel is read.

The rule: scenes are dealt into *fields of view*, that is tile and relative orbit, and sorted by time; each usable date
is compared with the usable date before it in its field of view. From one orbit the sensor looks at the ground at one
angle, and the sun stands nearly the same five or ten days later, so that what differs is the ground. Where the date
before lies in another season, and there is a usable date about a year before, that one is taken instead
(:func:`partner`). With ``--orbits any`` the fields of view are tiles. Scenes that do not tell their tile are dealt by
the ground that they share; scenes that do not tell their orbit count as one orbit of their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from odc.geo.geobox import GeoBox

from groundshift.errors import GridError, NoDataError, UsageError
from groundshift.io import vector
from groundshift.model.grid import crop, window_of
from groundshift.model.scene import Reader, Scene
from groundshift.pipelines import mosaic_plan, plan
from groundshift.pipelines.series_job import SeriesJob

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

_EPOCH = date(2000, 1, 1)
_YEAR_DAYS, _NEAR_DAYS = 365, 30
_SEASONS = (
    "; where that lies more than 60 days of the year away, with the usable date nearest to a year before, if there is "
    "one within 30 days of it"
)
PAIR_RULE = {
    "same": f"each usable date with the usable date before it of the same tile and relative orbit{_SEASONS}",
    "any": f"each usable date with the usable date before it of the same tile, from any orbit{_SEASONS}",
}
"""What the manifest says of how pairs are formed."""


@dataclass(frozen=True, eq=False)
class FieldOfView:
    """Scenes of one place, seen in one way, in the order of time, and the grid of their results."""

    name: str
    """``33TWM_R079``."""
    readers: tuple[Reader, ...]
    dates: tuple[str, ...]
    """What each date is called: ``20230815``, with the time of day where two scenes are of one day."""
    geobox: GeoBox
    area: BaseGeometry | None
    """Area of interest in the coordinates of the grid."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesPlan:
    """The fields of view, by name."""

    fields: tuple[FieldOfView, ...]
    dropped: tuple[tuple[str, str], ...]
    """Name of each scene that is not looked at, and why."""


def make(readers: Sequence[Reader], job: SeriesJob) -> SeriesPlan:
    """Deal the scenes into fields of view and settle their grids.

    Raises:
        NoDataError: no two scenes are of one field of view.
        MissingInputError: a scene lacks a band.
        UsageError: the date of a scene is not known.
        GridError: a scene has no georeference, or the area lies outside of all scenes.
    """
    kept, dropped = mosaic_plan.of_acquisitions(readers, job.input.dates)
    for reader in kept:
        mosaic_plan.check(reader.scene, job.grid.bands)
        if reader.scene.sensing_time is None:
            raise UsageError(
                f"{reader.scene.name}: its date is not known, and a series needs it: give products or STAC items."
            )
    by_name = {reader.scene.href: reader for reader in kept}
    grids = {href: plan.full_grid(reader.scene, job.grid.bands, None) for href, reader in by_name.items()}
    fields, outside = [], None
    for name, scenes in sorted(deal([reader.scene for reader in kept], grids, job.input.orbits).items()):
        if len(scenes) < 2:
            dropped.append((scenes[0].name, f"the only scene of its field of view, {name}"))
            continue
        members = [by_name[scene.href] for scene in scenes]
        try:
            fields.append(_field(name, members, job))
        except GridError as error:
            outside = error
            dropped += [(scene.name, f"outside of the area of interest ({name})") for scene in scenes]
    if not fields:
        raise outside or NoDataError(_too_few(len(readers), dropped, job.input.orbits))
    return SeriesPlan(fields=tuple(fields), dropped=tuple(dropped))


def deal(
    scenes: Sequence[Scene], grids: dict[str, GeoBox], orbits: Literal["same", "any"] = "same"
) -> dict[str, list[Scene]]:
    """Scenes by field of view, each in the order of time.

    Args:
        scenes: with their dates, in any order.
        grids: of each scene by its href; looked at where a tile is not known.
        orbits: whether orbits are told apart.

    Law: every scene is in one field of view; the order in which they are given changes nothing.
    """
    ordered = sorted(scenes, key=lambda scene: (_time(scene), scene.name, scene.href))
    fields: dict[str, list[Scene]] = {}
    areas: list[tuple[str, GeoBox]] = []
    for scene in ordered:
        place = scene.tile or _area(grids[scene.href], areas)
        orbit = "" if orbits == "any" or scene.relative_orbit is None else f"_R{scene.relative_orbit:03d}"
        fields.setdefault(f"{place}{orbit}", []).append(scene)
    return fields


def _area(grid: GeoBox, areas: list[tuple[str, GeoBox]]) -> str:
    """The name of the first area that a scene lies on for the most part of the smaller of the two; else a new one."""
    for name, other in areas:
        if grid.crs == other.crs:
            shared = (grid.extent & other.extent).area
            if 2 * shared > min(grid.extent.area, other.extent.area):
                return name
    areas.append((f"area{len(areas) + 1}", grid))
    return areas[-1][0]


def partner(earlier: Sequence[datetime], time: datetime) -> int:
    """Which date a date is compared with.

    Args:
        earlier: usable dates before it, in the order of time; one at least.
        time: of the date.

    Returns:
        The last one; where that lies in another season, the one nearest to a year before ``time``, if one is near.
    """
    last = len(earlier) - 1
    if plan.same_season(earlier[last], time):
        return last
    off = [abs((time.date() - each.date()).days - _YEAR_DAYS) for each in earlier]
    best = min(range(len(off)), key=lambda i: (off[i], -i))
    return best if off[best] <= _NEAR_DAYS else last


def day_number(scene: Scene) -> int:
    """The day of a scene as a number that fits 16 bits until 2179."""
    return number_of(_time(scene).date())


def number_of(day: date) -> int:
    """Days since 1999-12-31."""
    return (day - _EPOCH).days + 1


def day_of(number: int) -> date:
    """The day that :func:`day_number` numbers so."""
    return date.fromordinal(_EPOCH.toordinal() + number - 1)


def _time(scene: Scene) -> datetime:
    assert scene.sensing_time is not None
    return scene.sensing_time


def date_names(times: Iterable[datetime]) -> tuple[str, ...]:
    """``20230815``, or ``20230815T100000`` where another is of the same day."""
    listed = list(times)
    days = Counter(f"{time:%Y%m%d}" for time in listed)
    return tuple(f"{time:%Y%m%d}" if days[f"{time:%Y%m%d}"] == 1 else f"{time:%Y%m%dT%H%M%S}" for time in listed)


def _field(name: str, readers: Sequence[Reader], job: SeriesJob) -> FieldOfView:
    full = plan.full_grid(readers[0].scene, job.grid.bands, job.grid.resolution)
    area, geobox = None, full
    if job.grid.aoi is not None:
        area = vector.aoi_on(*vector.read_aoi(job.grid.aoi), full)
        geobox = crop(full, window_of(area.bounds, full))
    dates = date_names(_time(reader.scene) for reader in readers)
    return FieldOfView(re.sub(r"[^\w-]", "-", name), tuple(readers), dates, geobox, area)


def _too_few(count: int, dropped: Sequence[tuple[str, str]], orbits: str) -> str:
    if count < 2:
        return "a series needs two dates of one place, and one scene was given: add scenes."
    reasons = "; ".join(f"{name}: {reason}" for name, reason in dropped[:3])
    more = f"; and {len(dropped) - 3} more" if len(dropped) > 3 else ""
    crossed = ", or cross orbits with --orbits any" if orbits == "same" else ""
    return (
        f"no two of the {count} scenes are of one field of view ({reasons}{more}): add scenes, widen --dates{crossed}."
    )
