"""The alerts of a series: regions that changed on one day, as polygons with what is known of each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from groundshift.change.series import CONFIRMED, KINDS, NONE
from groundshift.io import vector
from groundshift.io.vector import Pieces
from groundshift.model.grid import Window, blocks, pixel_area_m2
from groundshift.model.legend import NO_DATA
from groundshift.pipelines import series_plan, series_step
from groundshift.pipelines.series_step import COLUMNS, ROWS

if TYPE_CHECKING:
    from groundshift.pipelines.series import Followed, Run

STATUS = {1: "first seen", 2: "confirmed"}
_FEWEST_PX = 4
"""Of an alert, where nothing else was asked for."""
_CODES = 4
"""A label is the day times this, plus the status."""
_EARLIEST = NO_DATA // _CODES + 1
"""Days before it would be confused with no data: they lie before any Sentinel."""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One region."""

    date: str
    """Day on which it was first seen: 2023-08-15."""
    status: str
    """``first seen`` or ``confirmed``."""
    confidence: float
    """Mean probability over its pixels and the dates that saw them or had a say."""
    kind: str
    """What such a change often is; of most of its pixels."""
    pixels: int
    area_m2: float
    confirmations: float
    """Of the next clear dates, that still differ: mean of its pixels."""
    dates: float
    """Next clear dates that had a say: mean of its pixels."""
    shape: BaseGeometry = field(repr=False)
    """In the coordinates of the grid."""


@dataclass(frozen=True, eq=False)
class _Part:
    track: Path
    chain: str
    window: Window
    columns: int
    transform: Affine

    def __str__(self) -> str:
        return f"outlining alerts of rows {self.window.y0} to {self.window.y1}"


def outline(work: _Part) -> Pieces:
    """The regions of a part. A task for a worker."""
    track = series_step.load(work.track, work.window, work.chain, reference=False)
    changed = (track.status > NONE) & (track.first >= _EARLIEST)
    labels = np.where(changed, track.first.astype(np.int32) * _CODES + track.status, 0)
    measures: list[NDArray[Any]] = [track.confidence, track.confirmations, track.seen]
    measures += [track.kind == code for code in range(1, len(KINDS))]
    return vector.pieces(labels, work.window, work.columns, work.transform, measures)


def write(state: Run, found: Followed) -> tuple[Path, list[Alert]]:
    """Write the alerts of a field of view as polygons.

    Returns:
        The file; the alerts in the order of their first pixels.
    """
    geobox = found.view.geobox
    rows, columns = (int(n) for n in geobox.shape)
    cuts = blocks((rows, columns), ROWS, COLUMNS)
    work = [_Part(found.track, found.chain, window, columns, geobox.affine) for window in cuts]
    shapes, code, pixels, mean = vector.merge_measured(state.pool.run(outline, work, describe=str))
    area, least = pixel_area_m2(geobox) or 1.0, state.job.detect.min_area
    kept = pixels >= (_FEWEST_PX if least is None else math.ceil(least / area - 1e-9))
    shapes, code, pixels, mean = shapes[kept], code[kept], pixels[kept], mean[:, kept]
    placed = shapely.from_wkb(shapes)
    kinds = mean[3:].argmax(axis=0) + 1 if len(code) else np.empty(0, np.intp)
    alerts = [
        Alert(
            date=f"{series_plan.day_of(int(code[i]) // _CODES):%Y-%m-%d}",
            status=STATUS[int(code[i]) % _CODES],
            confidence=round(float(mean[0, i]), 4),
            kind=KINDS[kinds[i]],
            pixels=int(pixels[i]),
            area_m2=float(pixels[i]) * area,
            confirmations=round(float(mean[1, i]), 2),
            dates=round(float(mean[2, i]), 2),
            shape=placed[i],
        )
        for i in range(len(code))
    ]
    text, number = ("date", "status", "kind"), ("confidence", "area_m2", "confirmations", "dates")
    fields = {name: np.array([getattr(alert, name) for alert in alerts], object) for name in text}
    fields |= {name: np.array([getattr(alert, name) for alert in alerts], float) for name in number}
    fields["pixels"] = np.array([alert.pixels for alert in alerts], np.int64)
    path = found.folder / "alerts.gpkg"
    vector.write_polygons(path, shapes, fields, crs=geobox.crs.to_wkt(), layer="alerts")
    return path, alerts


def largest(alerts: list[Alert], count: int) -> list[Alert]:
    """The alerts worth looking at first: confirmed before first seen, then by area and confidence."""
    rank = {status: code for code, status in STATUS.items()}
    return sorted(alerts, key=lambda one: (-rank[one.status], -one.area_m2 * one.confidence, one.shape.bounds))[:count]


def confirmed(alerts: list[Alert]) -> list[Alert]:
    """Those that are confirmed."""
    return [alert for alert in alerts if alert.status == STATUS[CONFIRMED]]
