"""One offline HTML page of a land-cover map: the map, its classes, and how much of it to trust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from markupsafe import Markup

from groundshift.report import landcover_figures, page


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One class of the map."""

    code: int
    name: str
    color: tuple[int, int, int]
    pixels: int
    percent: float
    area_ha: float | None
    f1: float | None
    """Where the model had not been, 0 to 1; None: not known."""


@dataclass(frozen=True, kw_only=True)
class LandcoverReport:
    """What the page says; shares in percent."""

    created: datetime
    version: str
    kind: str
    """Of classifier."""
    features: int
    rows: int
    columns: int
    pixel_size_m: float | None
    crs: str
    data_percent: float
    classes: tuple[ClassRow, ...]
    sure_percent: float
    """Of the pixels whose confidence set holds one class."""
    confidence: float
    """Percent of the sets that hold the true class."""
    transfer: Mapping[str, Any] | None
    """What training said of places where the model had not been; None: nothing."""
    splits: Mapping[str, Any]
    importance: Mapping[str, float]
    picture: bytes
    """PNG of the map."""
    warnings: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str, int], ...]
    """Name, what it is, bytes."""
    inputs: tuple[str, ...]
    candidates: tuple[Mapping[str, Any], ...] = ()
    """Classifiers that were tried, each with its macro F1 where it had not been."""


def render(report: LandcoverReport) -> str:
    """Render a report as one HTML document, under the laws of :func:`groundshift.report.page.render`."""
    colours = "\n".join(
        f".class-{row.code} {{ --kind: rgb({' '.join(map(str, row.color))}) }}" for row in report.classes
    )
    style = page.source("page.css") + page.source("mosaic.css") + colours + "\n"
    transfer = report.transfer
    figures = {}
    if transfer is not None:
        names = [each["name"] for each in transfer["classes"]]
        figures["confusion"] = Markup(landcover_figures.confusion_matrix(np.array(transfer["confusion"]), names))
        curve = {
            key: np.array([np.nan if value is None else value for value in values], float)
            for key, values in transfer["reliability"].items()
        }
        error = transfer["calibration_error"]
        drawn = landcover_figures.reliability(curve["confidence"], curve["accuracy"], curve["count"], error)
        figures["reliability"] = Markup(drawn)
    if report.importance:
        values = np.array(list(report.importance.values()))
        figures["importance"] = Markup(landcover_figures.importance(list(report.importance), values))
    return (
        page.environment()
        .get_template("landcover.html")
        .render(
            report=report,
            title=f"Land cover, {len(report.classes)} classes",
            kicker="Land-cover report",
            style=Markup(style),
            policy=page.policy(style, ""),
            picture=page.embed(report.picture),
            figures=figures,
        )
    )
