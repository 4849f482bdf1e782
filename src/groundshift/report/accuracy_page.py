"""One offline HTML page of an assessment: confusion matrix, figures with their intervals, and what they hold for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from groundshift import __version__
from groundshift.report import page, wording

_FIGURES = (("users_accuracy", "User's accuracy"), ("producers_accuracy", "Producer's accuracy"), ("f1", "F1"))
_TITLES = {
    "design-based": "Accuracy of {}",
    "agreement": "Agreement of {}",
    "census": "{} against a reference map",
}


@dataclass(frozen=True)
class _Cell:
    """One cell of the matrix."""

    text: str
    shade: float
    """Root of its share of the row, 0 to 1, so that rare errors show."""
    diagonal: bool


@dataclass(frozen=True)
class _Figure:
    """A figure with its interval, in percent, and where to draw it on a line from 0 to 100."""

    text: str
    interval: str
    value: float | None
    low: float | None
    high: float | None


def render(summary: Mapping[str, Any], created: datetime) -> str:
    """Render a summary of :mod:`groundshift.pipelines.assess` as one HTML document.

    The laws are those of :func:`groundshift.report.page.render`.
    """
    style = page.source("page.css") + page.source("accuracy.css")
    census = summary["design"]["kind"] == "census"
    names = [_name(each) for each in summary["classes"]]
    return (
        page.environment()
        .get_template("accuracy.html")
        .render(
            report={"version": __version__, "created": created},
            summary=summary,
            title=_TITLES[summary["design"]["kind"]].format(Path(summary["map"]).name),
            kicker="Accuracy report",
            style=Markup(style),
            policy=page.policy(style, ""),
            census=census,
            names=names,
            matrix=_matrix(summary["confusion"], census),
            figures=[(title, [_figure(each[key]) for each in summary["classes"]]) for key, title in _FIGURES],
            areas=[_area(each, summary["unit"]) for each in summary["classes"]],
            overall=_figure(summary["overall_accuracy"]),
            kappa=_kappa(summary["kappa"]),
            either=_figure(summary["either_label"]["overall_accuracy"]) if "either_label" in summary else None,
            points=_points(summary.get("points", {})),
        )
    )


def _name(each: Mapping[str, Any]) -> str:
    return " ".join(str(part) for part in (each["code"], each["name"]) if part is not None)


def _matrix(counts: Sequence[Sequence[float]], census: bool) -> list[list[_Cell]]:
    rows = []
    for i, row in enumerate(counts):
        total = sum(row)
        texts = [wording.number(value) if census else wording.whole(int(value)) for value in row]
        rows.append(
            [_Cell(texts[j], math.sqrt(value / total) if total else 0.0, i == j) for j, value in enumerate(row)]
        )
    return rows


def _figure(entry: Mapping[str, float | None]) -> _Figure:
    value, low, high = (
        None if entry[key] is None else 100 * float(entry[key] or 0) for key in ("estimate", "low", "high")
    )
    if value is None or low is None or high is None:
        return _Figure(wording.percent(value), "", value, None, None)
    interval = "" if low == high else f"{wording.fixed(low)} to {wording.fixed(high)} %"
    return _Figure(f"{wording.fixed(value)} %", interval, value, low, high)


def _kappa(entry: Mapping[str, float | None]) -> tuple[str, str]:
    if entry["estimate"] is None:
        return wording.MISSING, ""
    interval = (
        ""
        if entry["low"] == entry["high"]
        else f"{wording.fixed(entry['low'], 3)} to {wording.fixed(entry['high'], 3)}"
    )
    return wording.fixed(entry["estimate"], 3), interval


def _area(each: Mapping[str, Any], unit: str) -> tuple[str, str, str]:
    """Mapped, estimated, interval."""
    mapped, found = f"{wording.number(each['mapped_area'], 4)} {unit}", each["area"]
    if found is None or found["estimate"] is None:
        return mapped, wording.MISSING, ""
    interval = ""
    if found["low"] is not None and found["low"] != found["high"]:
        interval = f"{wording.number(found['low'], 4)} to {wording.number(found['high'], 4)}"
    return mapped, f"{wording.number(found['estimate'], 4)} {unit}", interval


def _points(facts: Mapping[str, int]) -> list[tuple[str, str]]:
    words = {
        "given": "points in the reference",
        "used": "of them count",
        "outside_map": "lie outside the map",
        "map_has_no_data": "lie where the map has no data",
        "without_label": "have no label",
        "not_in_design": "are not in the design",
        "of_design_missing": "of the design have no usable answer",
    }
    return [(words[key], wording.whole(count)) for key, count in facts.items() if count or key in ("given", "used")]
