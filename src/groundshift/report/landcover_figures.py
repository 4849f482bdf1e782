"""What is drawn of a land-cover map: the map with its legend, confusion, calibration, importance, series.

Diagrams are SVG as in :mod:`groundshift.report.drawing`; the map is a picture as in :mod:`groundshift.report.pictures`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from groundshift.errors import InputError
from groundshift.model.legend import NO_CHANGE, NO_DATA, LegendEntry, classes_of
from groundshift.report import pictures
from groundshift.report.drawing import ACCENT, INK, QUIET, SETTINGS, line, rgb, short, svg

_MOST_BARS = 30


def classified_map(
    codes: NDArray[np.uint8],
    legend: Sequence[LegendEntry],
    title: str,
    subtitle: str = "",
    pixel_size_m: float | None = None,
) -> pictures.Picture:
    """A class map with the classes that it shows, their shares, and a scale bar.

    Args:
        codes: (y, x) uint8; thinned beforehand where it is large (:class:`.LabelQuicklook`).
        legend: names and colours of the codes.
        title, subtitle: above the map.
        pixel_size_m: of ``codes``; None: no scale bar.
    """
    counts = np.bincount(codes.reshape(-1), minlength=256)
    known = max(1, int(counts.sum() - counts[NO_DATA]))
    table = np.full((256, 3), pictures.BLANK, np.uint8)
    entries: list[tuple[tuple[int, int, int] | None, str]] = []
    for entry in classes_of(legend):
        table[entry.code] = entry.color[:3]
        if counts[entry.code]:
            red, green, blue, _ = entry.color
            entries.append(((red, green, blue), f"{entry.name}, {_percent(counts[entry.code] / known)}"))
    if counts[NO_CHANGE] or counts[NO_DATA]:
        entries.append(((pictures.BLANK,) * 3, "no class"))
    return pictures.slide(table[codes], entries, title, subtitle, pixel_size_m)


def confusion_matrix(counts: NDArray[np.floating], names: Sequence[str]) -> str:
    """Counts as a table: rows are the map, columns the reference; shade is the share of the row.

    Args:
        counts: (map, reference).
        names: of the classes.
    """
    counts = np.asarray(counts, float)
    if counts.shape != (len(names), len(names)):
        raise InputError(f"a confusion matrix of {len(names)} classes is not of shape {counts.shape}.")
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300)
    side = max(3.2, 0.52 * len(names) + 1.6)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(side + 0.6, side), layout="constrained")
        axes = figure.subplots()
        for (row, column), value in np.ndenumerate(share):
            color = ACCENT if row != column else "#3f8f5a"
            axes.add_patch(_cell(column, row, color, 0.9 * float(value)))
            if counts[row, column]:
                weight = "bold" if row == column else "normal"
                label = _count(float(counts[row, column]))
                axes.text(column, row, label, ha="center", va="center", fontsize=8, fontweight=weight)
        place = np.arange(len(names))
        axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal")
        axes.set_xticks(place, names, rotation=45, ha="left", rotation_mode="anchor")
        axes.set_yticks(place, names)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("reference")
        axes.set_ylabel("map")
        return svg(figure)


def _cell(x: float, y: float, color: str, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, facecolor=(color, alpha), edgecolor=(QUIET, 0.35), lw=0.5)


def reliability(
    confidence: NDArray[np.floating], accuracy: NDArray[np.floating], counts: NDArray[np.floating], ece: float
) -> str:
    """How often predictions of a confidence are right, and how many there are of each.

    Args:
        confidence: (bin,) mean of each bin, 0 to 1; NaN where it is empty.
        accuracy: (bin,) share that is right.
        counts: (bin,) predictions.
        ece: expected calibration error, 0 to 1.
    """
    filled = np.flatnonzero(np.asarray(counts) > 0)
    x, y, n = (np.asarray(values, float)[filled] for values in (confidence, accuracy, counts))
    # 95 % of a binomial share around the diagonal: within it, a bin does not contradict the probabilities.
    spread = 1.96 * np.sqrt(np.maximum(x * (1 - x), 0) / np.maximum(n, 1))
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(3.8, 4.4), layout="constrained")
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        axes.plot([0, 1], [0, 1], color=INK, lw=0.9, ls=":")
        axes.fill_between(x, x - spread, x + spread, color=QUIET, alpha=0.3, lw=0)
        axes.plot(x, y, color=ACCENT, lw=1.6, marker="o", ms=4)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.set_ylabel("share that is right")
        axes.text(0.03, 0.95, f"expected calibration error {ece:.3f}", transform=axes.transAxes, va="top")
        axes.grid()
        width = 0.7 / max(1, len(np.asarray(counts)))
        below.bar(x, n, width=width, color=QUIET)
        below.set_xlabel("confidence of the prediction")
        below.set_ylabel("pixels")
        below.yaxis.set_major_locator(MaxNLocator(2))
        below.yaxis.set_major_formatter(FuncFormatter(short))
        return svg(figure)


def importance(names: Sequence[str], values: NDArray[np.floating], spread: NDArray[np.floating] | None = None) -> str:
    """What each feature adds, the most important first, the thirty most important at most.

    Args:
        names: of the features.
        values: (feature,) in any unit; drawn as shares of their sum.
        spread: (feature,) their standard deviation over repetitions.
    """
    values = np.asarray(values, float)
    order = np.argsort(-values, kind="stable")[:_MOST_BARS]
    total = float(np.abs(values).sum()) or 1.0
    bars, place = 100 * values[order] / total, np.arange(len(order))
    error = None if spread is None else 100 * np.asarray(spread, float)[order] / total
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(5.2, 0.22 * len(order) + 0.7), layout="constrained")
        axes = figure.subplots()
        axes.barh(place, bars, xerr=error, color=ACCENT, ecolor=INK, height=0.7)
        axes.set_yticks(place, [names[i] for i in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("importance, % of all")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        return svg(figure)


def series(
    dates: NDArray[np.datetime64],
    values: Mapping[str, NDArray[np.floating]],
    bands: Sequence[str],
    legend: Sequence[LegendEntry],
    observed: Mapping[str, NDArray[np.floating]] | None = None,
) -> str:
    """Band by band, the course of each class through the year.

    Args:
        dates: (time,) of the calendar.
        values: by class name (time, band), such as the median of its samples; NaN leaves a gap.
        bands: names; reflectance or any other unit.
        legend: colours by class name.
        observed: by class name (time, band), drawn as dots: before gaps were filled.
    """
    color = {entry.name: rgb(entry.color) for entry in classes_of(legend)}
    columns = min(3, len(bands))
    lines = math.ceil(len(bands) / columns)
    when = dates.astype("datetime64[D]").astype(object)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(2.9 * columns, 1.8 * lines + 0.5), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False, sharex=True)
        for b, axes in enumerate(grid.flat):
            axes.set_visible(b < len(bands))
            if b >= len(bands):
                continue
            for name, course in values.items():
                axes.plot(when, course[:, b], color=color.get(name, QUIET), lw=1.5)
                if observed is not None and name in observed:
                    axes.plot(when, observed[name][:, b], ls="", marker="o", ms=2.2, color=color.get(name, QUIET))
            axes.set_title(bands[b], loc="left", fontweight="bold")
            axes.grid()
            locator = AutoDateLocator(maxticks=5)
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.tick_params(labelbottom=b + columns >= len(bands))
        handles = [line(color.get(name, QUIET), name) for name in values]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)))
        return svg(figure)


def _count(value: float) -> str:
    """Whole below ten thousand, three digits above."""
    return f"{value:.0f}" if value < 9999.5 else short(float(f"{value:.3g}"))


def _percent(share: float) -> str:
    return "<0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"
