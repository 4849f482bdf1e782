"""Diagrams are SVG that takes colours and letters from the page."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib
import numpy as np
import pytest
from defusedxml import ElementTree

from groundshift.report import figures
from groundshift.report.content import ChangeReport, KindRow, PolarSample

SVG = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def _all(report: ChangeReport) -> dict[str, str]:
    assert report.polar is not None
    assert report.no_change is not None
    colors = {row.code: row.color for row in report.kinds}
    return {
        "polar": figures.polar(report.polar, colors, report.no_change.thresholds),
        "amplitude": figures.amplitude_histogram(report.no_change, 9600),
        "normalisation": figures.normalisation(report.normalisation),
        "spectra": figures.kind_spectra(report.kinds, report.bands),
    }


@pytest.mark.parametrize("name", ["polar", "amplitude", "normalisation", "spectra"])
def test_a_diagram_is_small_svg_in_the_colours_of_the_page(name: str, full_report: ChangeReport) -> None:
    svg = _all(full_report)[name]
    ElementTree.fromstring(svg.replace("<svg ", f"<svg {SVG} ", 1))
    assert "currentColor" in svg
    assert "#000000" not in svg
    assert "DejaVu" not in svg
    assert "<style" not in svg
    assert len(svg) < 300_000


def test_drawing_leaves_the_settings_of_matplotlib_as_they_were(full_report: ChangeReport) -> None:
    before = dict(matplotlib.rcParams)
    _all(full_report)
    assert dict(matplotlib.rcParams) == before


def test_every_kind_in_the_sample_is_in_the_legend_of_the_polar_diagram(full_report: ChangeReport) -> None:
    svg = _all(full_report)["polar"]
    assert all(text in svg for text in ("no change", "kind 1", "kind 2", "threshold", "90°"))


def test_the_polar_diagram_survives_zero_infinite_and_missing_amplitudes() -> None:
    sample = PolarSample(
        amplitude=np.array([0, np.nan, np.inf, 2.0]),
        angle_deg=np.array([1.0, 2, 3, np.nan]),
        kind=np.array([0, 1, 1, 0]),
    )
    assert "180°" in figures.polar(sample, {1: (255, 0, 0)}, (("threshold", 5.0),))


def test_text_is_drawn_as_it_stands_and_cannot_become_markup(full_report: ChangeReport) -> None:
    assert full_report.polar is not None
    svg = figures.polar(full_report.polar, {}, (("<script>$x^2$</script>", 4.0),))
    assert "<script" not in svg
    assert "&lt;script&gt;$x^2$" in svg


def test_kinds_without_known_levels_become_bars_of_the_change(report_with: Callable[..., ChangeReport]) -> None:
    row = KindRow(
        code=1,
        color=(9, 9, 9),
        pixels=5,
        hectares=None,
        mean_amplitude=1.0,
        mean_angle_deg=1.0,
        mean_change=(0.1, -0.2),
    )
    assert "kind 1" in figures.kind_spectra((row,), ("B02", "B08"))


@pytest.mark.parametrize("count", range(1, 14))
def test_no_line_of_small_diagrams_is_nearly_empty(count: int) -> None:
    columns = figures._columns(count)
    assert 1 <= columns <= 5
    assert -count % columns <= 2
