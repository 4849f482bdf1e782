"""One offline HTML page of a series: when and where something changed, pair by pair, and how much of it to trust."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from markupsafe import Markup

from groundshift.report import page, wording

_MOST_GIF = 4_000_000
"""Bytes of an animation that the page holds; a larger one lies beside it only."""


class AlertRow(Protocol):
    """One alert, as the page tells of it."""

    @property
    def date(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def confidence(self) -> float: ...
    @property
    def area_m2(self) -> float: ...
    @property
    def confirmations(self) -> float: ...
    @property
    def dates(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class PairRow:
    """One pair of dates."""

    before: str
    after: str
    days: int
    joint_percent: float
    changed_percent: float | None
    """Of the compared pixels; None: it was skipped."""
    reason: str
    """Why it was skipped; empty: it was compared."""
    notes: tuple[str, ...]
    picture: bytes | None
    """PNG of the probabilities."""


@dataclass(frozen=True, kw_only=True)
class FieldRow:
    """One field of view."""

    name: str
    rows: int
    columns: int
    pixel_size_m: float | None
    crs: str
    usable_dates: int
    compared_px: int
    compared_ha: float | None
    confirmed_ha: float
    first_seen_ha: float
    alerts: Sequence[AlertRow]
    """The largest."""
    alert_count: int
    pairs: tuple[PairRow, ...]
    maximum: bytes
    """PNG of the largest probability at any date."""
    animation: bytes | None
    """GIF of the largest changes."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How often the probabilities of the method came true, where that is known."""

    where: str
    """On what: in words."""
    brier: float
    """Mean squared error of the probabilities."""
    ece: float | None
    """Expected calibration error; None: not known."""
    curve: tuple[tuple[float, float, float], ...] = ()
    """Mean probability of each bin, share of it that changed, samples; empty: not known."""


@dataclass(frozen=True, kw_only=True)
class SeriesReport:
    """What the page says."""

    created: datetime
    version: str
    method: str
    bands: tuple[str, ...]
    threshold: float
    confirm: str
    pair_rule: str
    fields: tuple[FieldRow, ...]
    skipped: tuple[tuple[str, str, str], ...]
    """Date, scene and reason."""
    dropped: tuple[tuple[str, str], ...]
    """Scene and reason."""
    calibration: Calibration | None
    warnings: tuple[tuple[str, str], ...]
    options: Mapping[str, object]
    files: tuple[tuple[str, str, int], ...]
    """Name, what it is, bytes."""
    timings: tuple[tuple[str, float], ...]


def render(report: SeriesReport) -> str:
    """Render a report as one HTML document, under the laws of :func:`groundshift.report.page.render`."""
    style = page.source("page.css") + page.source("mosaic.css")
    shown = {f"{i}-maximum": page.embed(view.maximum) for i, view in enumerate(report.fields)}
    for i, view in enumerate(report.fields):
        for k, pair in enumerate(view.pairs):
            if pair.picture is not None:
                shown[f"{i}-{k}"] = page.embed(pair.picture, limit_bytes=_PAIR_BYTES)
    moving = {
        i: f"data:image/gif;base64,{base64.b64encode(view.animation).decode()}"
        for i, view in enumerate(report.fields)
        if view.animation is not None and len(view.animation) <= _MOST_GIF
    }
    return (
        page.environment()
        .get_template("series.html")
        .render(
            report=report,
            title=_title(report),
            kicker="Series report",
            style=Markup(style),
            policy=page.policy(style, ""),
            headline=_headline(report),
            pictures=shown,
            moving=moving,
            drawing=_drawing(report.calibration),
        )
    )


_PAIR_BYTES = 120_000
"""Of the picture of one pair, since there may be many."""


def _title(report: SeriesReport) -> str:
    days = sorted({day for view in report.fields for pair in view.pairs for day in (pair.before, pair.after)})
    first, last = (f"{day[:4]}-{day[4:6]}-{day[6:8]}" for day in (days[0], days[-1]))
    return f"Change from {first} to {last}"


def _headline(report: SeriesReport) -> str:
    confirmed, new = (sum(getattr(view, name) for view in report.fields) for name in ("confirmed_ha", "first_seen_ha"))
    compared = sum(view.compared_ha or 0 for view in report.fields)
    return (
        f"{wording.number(confirmed)} ha of {wording.number(compared)} ha that were compared have changed for sure by "
        f"the rule {report.confirm}; on another {wording.number(new)} ha a change was seen and is not confirmed yet."
    )


def _drawing(calibration: Calibration | None) -> Markup | None:
    if calibration is None or not calibration.curve:
        return None
    from groundshift.report import landcover_figures  # here, since matplotlib takes memory

    confidence, accuracy, count = np.array(calibration.curve, float).T
    ece = float(np.nansum(count * np.abs(confidence - accuracy)) / max(1.0, count.sum()))
    return Markup(landcover_figures.reliability(confidence, accuracy, count, ece))
