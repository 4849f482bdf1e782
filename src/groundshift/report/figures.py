"""Diagrams of a pair of images: amplitude and angle, the law of no change, normalisation, kinds of change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from groundshift.report.content import KindRow, NoChangeFacts, NormalisationRow, PolarSample
from groundshift.report.drawing import ACCENT, INK, QUIET, SETTINGS, block, dot, line, plain, rgb, short, svg


def _decades(low: float, high: float) -> list[float]:
    """1, 10, 100 ... within the limits; with 2 and 5 between where that leaves fewer than three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        ticks = [k * 10.0**p for p in powers for k in steps if low <= k * 10.0**p <= high]
        if len(ticks) >= 3:
            break
    return ticks


# ---- amplitude and angle -------------------------------------------------------------------------------------------


def polar(
    sample: PolarSample, colors: Mapping[int, tuple[int, int, int]], thresholds: Sequence[tuple[str, float]] = ()
) -> str:
    """Half circle of change vectors: direction = angle to the reference vector, distance = log amplitude.

    Args:
        sample: the pixels; those without a finite positive amplitude are left out.
        colors: RGB by kind; kinds without a colour are drawn as no change.
        thresholds: arcs to draw.
    """
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(5.2, 3.55))
        axes = figure.add_axes((0.08, 0.0, 0.84, 0.84 * 5.2 / 3.55), projection="polar")
        good = np.isfinite(sample.amplitude) & (sample.amplitude > 0) & np.isfinite(sample.angle_deg)
        low, high = _radii(sample.amplitude[good], thresholds)
        radius = np.log10(np.clip(sample.amplitude[good], low, high))
        angle, kind = np.radians(sample.angle_deg[good]), sample.kind[good]
        _points(axes, angle, radius, kind, colors)
        for _, value in thresholds:
            arc = np.linspace(0, np.pi, 91)
            axes.plot(arc, np.full(91, math.log10(max(value, low))), color=ACCENT, lw=1.3, zorder=4)
        _polar_frame(axes, low, high, colors, kind, thresholds)
        return svg(figure)


def _radii(amplitude: NDArray[np.floating], thresholds: Sequence[tuple[str, float]]) -> tuple[float, float]:
    """Amplitudes of the middle and of the rim; what lies outside is drawn there."""
    marks = [value for _, value in thresholds if value > 0]
    if amplitude.size == 0:
        return 0.3, max([10.0, *(3 * mark for mark in marks)])
    high = max([1.2 * float(np.quantile(amplitude, 0.999)), *(1.5 * mark for mark in marks)])
    low = min(marks) / 6 if marks else float(np.quantile(amplitude, 0.05))
    return min(low, high / 10), high


def _points(
    axes: Any,
    angle: NDArray[np.floating],
    radius: NDArray[np.floating],
    kind: NDArray[np.integer],
    colors: Mapping[int, tuple[int, int, int]],
) -> None:
    quiet = ~np.isin(kind, list(colors))
    style = {"lw": 0, "rasterized": True, "marker": "o"}
    axes.scatter(angle[quiet], radius[quiet], s=2, color=QUIET, alpha=0.45, zorder=2, **style)
    order = np.random.default_rng(0).permutation(np.flatnonzero(~quiet))
    shade = np.array([rgb(colors[int(code)]) for code in kind[order]]).reshape(-1, 3)
    axes.scatter(angle[order], radius[order], s=4, c=shade, alpha=0.75, zorder=3, **style)


def _polar_frame(
    axes: Any,
    low: float,
    high: float,
    colors: Mapping[int, tuple[int, int, int]],
    kind: NDArray[np.integer],
    thresholds: Sequence[tuple[str, float]],
) -> None:
    axes.set_thetamin(0)
    axes.set_thetamax(180)
    axes.set_ylim(math.log10(low), math.log10(high))
    axes.set_thetagrids(range(0, 181, 30), [f"{a}°" for a in range(0, 181, 30)])
    ticks = _decades(low, high)
    axes.set_rgrids([math.log10(t) for t in ticks], [plain(t) for t in ticks], angle=0)
    for label in axes.get_yticklabels():
        label.set(ha="center", va="top", fontsize=8)
    axes.spines["polar"].set(color=QUIET, lw=0.7)
    axes.set_axisbelow(True)
    handles = [dot(QUIET, "no change")] if (~np.isin(kind, list(colors))).any() else []
    handles += [dot(rgb(colors[code]), f"kind {code}") for code in sorted(colors) if (kind == code).any()][:8]
    handles += [line(ACCENT, name) for name, _ in thresholds]
    if handles:
        box = {"loc": "lower center", "bbox_to_anchor": (0.5, 0.0), "bbox_transform": axes.figure.transFigure}
        axes.legend(handles=handles, ncols=min(4, len(handles)), handletextpad=0.4, columnspacing=1.2, **box)
    axes.text(
        0.5, 0.165, "amplitude, standard deviations of no change", transform=axes.transAxes, ha="center", va="top"
    )


# ---- amplitude against its law -------------------------------------------------------------------------------------


def amplitude_histogram(facts: NoChangeFacts, unchanged: int) -> str:
    """Pixels per unit of amplitude, double logarithmic, with the law of no change and the thresholds.

    Args:
        facts: bins, counts and law.
        unchanged: pixels not called change; the law is drawn at their number.
    """
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(5.2, 3.5))
        axes = figure.add_axes((0.12, 0.14, 0.85, 0.7))
        width, centre = np.diff(facts.edges), (facts.edges[1:] + facts.edges[:-1]) / 2
        seen, law = facts.counts / width, np.asarray(facts.law, float) * unchanged
        least = 0.5 * float((1 / width[facts.counts > 0]).min()) if (facts.counts > 0).any() else 0.5
        axes.stairs(np.maximum(seen, least / 10), facts.edges, fill=True, color=QUIET, alpha=0.42, baseline=least / 10)
        drawn = np.isfinite(law) & (law > least / 10)
        axes.plot(centre[drawn], law[drawn], color=INK, lw=1.5)
        for _, value in facts.thresholds:
            axes.axvline(value, color=ACCENT, lw=1.4)
        _histogram_frame(axes, facts, least, max(float(seen.max(initial=0)), float(law[drawn].max(initial=0)), 1.0))
        return svg(figure)


def _histogram_frame(axes: Any, facts: NoChangeFacts, least: float, most: float) -> None:
    filled = np.flatnonzero(facts.counts)
    first, last = (filled[0], filled[-1]) if filled.size else (0, len(facts.counts) - 1)
    marks = [value for _, value in facts.thresholds]
    positive = facts.edges[facts.edges > 0]
    low = max(float(facts.edges[first]), float(positive[0]))
    high = max([float(facts.edges[last + 1]), *(1.1 * mark for mark in marks)])
    if high > 20 * low:
        low = max(low, high / 3000)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(_decades(low, high)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(low, high)
    axes.set_yscale("log")
    axes.set_ylim(least, most * 2)
    axes.xaxis.set_major_formatter(FuncFormatter(plain))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(short))
    axes.grid(axis="y")
    axes.set_xlabel("amplitude, standard deviations of no change")
    axes.text(0, 1.03, "pixels per unit of amplitude", transform=axes.transAxes, va="bottom")
    handles = [block(QUIET, "this pair"), line(INK, "law of no change")]
    handles += [line(ACCENT, name) for name, _ in facts.thresholds]
    box = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.12), "borderaxespad": 0.0}
    axes.legend(handles=handles, ncols=len(handles), handlelength=1.3, handletextpad=0.5, columnspacing=1.1, **box)


# ---- normalisation -------------------------------------------------------------------------------------------------


def _columns(count: int) -> int:
    """Small diagrams in one line: few enough to stay legible, and no line nearly empty."""
    return count if count <= 5 else min((4, 5, 3), key=lambda columns: (-count % columns, columns != 4))


def normalisation(rows: Sequence[NormalisationRow]) -> str:
    """One scatter a band: the adjusted date across, the reference up, reflectance in percent, fit and 1:1 line."""
    columns = _columns(len(rows))
    lines = math.ceil(len(rows) / columns)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(2.15 * columns, 2.25 * lines + 0.35), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes, row in zip(grid.flat, rows, strict=False):
            _scatter(axes, row)
        for axes in grid.flat[len(rows) :]:
            axes.set_visible(False)
        handles = [dot(QUIET, "pseudo-invariant pixels"), line(ACCENT, "fit"), line(INK, "1:1", ":")]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, handletextpad=0.5)
        return svg(figure)


def _scatter(axes: Any, row: NormalisationRow) -> None:
    x, y = (row.before, row.after) if row.adjusted == "before" else (row.after, row.before)
    x, y = 100 * np.asarray(x, float), 100 * np.asarray(y, float)
    good = np.isfinite(x) & np.isfinite(y)
    both = np.concatenate([x[good], y[good]])
    low, high = np.quantile(both, [0.002, 0.998]) if both.size else (0.0, 50.0)
    pad = max(0.04 * (high - low), 0.5)
    ends = np.array([low - pad, high + pad])
    axes.scatter(x[good], y[good], s=2.5, lw=0, color=QUIET, alpha=0.5, rasterized=True)
    axes.plot(ends, ends, color=INK, lw=0.9, ls=":")
    axes.plot(ends, row.gain * ends + 100 * row.offset, color=ACCENT, lw=1.4)
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    other = "after" if row.adjusted == "before" else "before"
    axes.set_title(f"{row.band}", loc="left", fontweight="bold")
    axes.set_xlabel(f"{row.adjusted}, %")
    axes.set_ylabel(f"{other}, %")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid()


# ---- kinds ---------------------------------------------------------------------------------------------------------


def kind_spectra(kinds: Sequence[KindRow], bands: Sequence[str]) -> str:
    """One small diagram a kind: mean reflectance before (grey) and after (coloured) per band, percent.

    Where the level before is not known, bars of the mean change. At most twelve kinds, the first ones.
    """
    shown = [row for row in kinds if len(row.mean_change) == len(bands)][:12]
    columns = min(2, len(shown)) if len(shown) <= 4 else _columns(len(shown))
    lines = math.ceil(len(shown) / columns)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(
            figsize=(2.6 * max(columns, 2) if columns < 3 else 2.15 * columns, 1.75 * lines + 0.35),
            layout="constrained",
        )
        grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axes, row in zip(grid.flat, shown, strict=False):
            _spectrum(axes, row, bands)
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel("reflectance, %")
        if any(row.mean_before for row in shown):
            handles = [line(QUIET, "before", "--"), line(INK, "after (colour of the kind)")]
            figure.legend(handles=handles, loc="outside lower center", ncols=2)
        return svg(figure)


def _spectrum(axes: Any, row: KindRow, bands: Sequence[str]) -> None:
    place, change = np.arange(len(bands)), 100 * np.array(row.mean_change)
    color = rgb(row.color)
    if len(row.mean_before) == len(bands):
        before = 100 * np.array(row.mean_before)
        axes.vlines(place, before, before + change, color=color, lw=1.0, alpha=0.6)
        axes.plot(place, before, color=QUIET, lw=1.2, ls="--", marker="o", ms=3)
        axes.plot(place, before + change, color=color, lw=1.8, marker="o", ms=4)
    else:
        axes.bar(place, change, color=color, width=0.65)
        axes.axhline(0, color=QUIET, lw=0.7)
    axes.set_title(f"kind {row.code}", loc="left", color=INK, fontweight="bold")
    axes.set_xticks(place, bands, rotation=90 if len(bands) > 5 else 0)
    axes.set_xlim(-0.5, len(bands) - 0.5)
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
    axes.grid(axis="y")
