"""One offline HTML page of a mosaic: the picture, what it was made of, and how much of it to trust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from groundshift.report import page, wording

_MOST_DAYS = 6


@dataclass(frozen=True, kw_only=True)
class SceneRow:
    """One scene of the list, newest first."""

    number: int
    """As in ``evidence`` and ``scenes.json``, from 1."""
    name: str
    href: str
    sensing_time: datetime | None
    tile: str | None
    relative_orbit: int | None
    clear_percent: float
    """Of its part of the mosaic with data."""
    used_percent: float | None
    """Of the mosaic's pixels; None: a statistic of several scenes."""
    gain: tuple[float, ...]
    """A band each; empty: not balanced."""
    offset: tuple[float, ...]
    """Reflectance."""
    color: tuple[int, int, int]
    """On the map of scenes."""


@dataclass(frozen=True, kw_only=True)
class MosaicReport:
    """What the page says; shares in percent, lengths in metres."""

    created: datetime
    version: str
    method: str
    bands: tuple[str, ...]
    rows: int
    columns: int
    pixel_size_m: float | None
    crs: str
    area_ha: float | None
    data_percent: float
    lenient_percent: float
    scenes: tuple[SceneRow, ...]
    dropped: tuple[tuple[str, str], ...]
    """Scenes that were not used, and why."""
    days: tuple[tuple[str, tuple[int, int, int]], ...]
    """Days of the scenes, oldest first, and their colours on the map of dates."""
    step_before: tuple[float, ...]
    """Root mean square step between overlapping scenes, a band each, reflectance; empty: not balanced."""
    step_after: tuple[float, ...]
    seam_steps: tuple[tuple[float, float], ...]
    """Median step between neighbouring pixels at seams and elsewhere, a band each, reflectance; empty: no seams."""
    seam_pairs: int
    cloud_percent: float | None
    """Of the mosaic, cloud by our network; None: it was not asked."""
    pictures: Mapping[str, bytes]
    """PNG: ``mosaic``, ``count``, perhaps ``scene`` and ``date``, and ``scene-0`` ... in the order of the scenes."""
    warnings: tuple[tuple[str, str], ...]
    options: Mapping[str, object]
    files: tuple[tuple[str, str, int], ...]
    """Name, what it is, bytes."""
    timings: tuple[tuple[str, float], ...]


def render(report: MosaicReport) -> str:
    """Render a report as one HTML document, under the laws of :func:`groundshift.report.page.render`."""
    coloured = [(f"scene-{row.number}", row.color) for row in report.scenes]
    coloured += [(f"day-{i}", colour) for i, (_, colour) in enumerate(report.days)]
    colours = "\n".join(f".{name} {{ --kind: rgb({' '.join(map(str, colour))}) }}" for name, colour in coloured)
    style = page.source("page.css") + page.source("mosaic.css") + colours + "\n"
    shown = {name: page.embed(encoded) for name, encoded in report.pictures.items()}
    return (
        page.environment()
        .get_template("mosaic.html")
        .render(
            report=report,
            title=f"Mosaic of {_scenes(len(report.scenes))}, {report.method}",
            kicker="Mosaic report",
            style=Markup(style),
            policy=page.policy(style, ""),
            pictures=shown,
            days=_days(report),
            headline=_headline(report),
        )
    )


def _headline(report: MosaicReport) -> str:
    covered = wording.percent(report.data_percent)
    whole = wording.area(report.area_ha, report.rows * report.columns)
    return f"{covered} of {whole} are covered, from {_scenes(len(report.scenes))}."


def _days(report: MosaicReport) -> list[tuple[int, str]]:
    """Days that the legend names, with their numbers: all of a few, else the first and the last."""
    every = [(i, day) for i, (day, _) in enumerate(report.days)]
    return every if len(every) <= _MOST_DAYS else [every[0], every[-1]]


def _scenes(count: int) -> str:
    return "one scene" if count == 1 else f"{count} scenes"
