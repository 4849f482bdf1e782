"""The checks tell a reader what to look at before believing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from groundshift.report.content import CalibrationRow, ChangeReport
from groundshift.report.trust import checks


def _state(report: ChangeReport, name: str) -> str:
    return next(check.state for check in checks(report) if check.name == name)


def test_a_sound_report_without_warnings_passes_every_check(report_with: Callable[..., ChangeReport]) -> None:
    assert {check.state for check in checks(report_with(warnings=()))} == {"good"}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Coverage", {"no_data_percent": 31.0}),
        ("Amount of change", {"changed_pixels": 3100}),
        ("Co-registration", {"shift_px": (0.25, 0.2)}),
        ("Warnings", {"warnings": (("Orbit", "two orbits."),)}),
    ],
)
def test_what_is_out_of_bounds_wants_a_look(
    name: str, fields: dict[str, object], report_with: Callable[..., ChangeReport]
) -> None:
    assert _state(report_with(**fields), name) == "look"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("False alarms", {"no_change": None}),
        ("Amount of change", {"changed_pixels": 0, "compared_pixels": 0}),
        ("Co-registration", {"shift_px": None}),
        ("Normalisation", {"normalisation": ()}),
    ],
)
def test_what_was_not_measured_is_not_called_good(
    name: str, fields: dict[str, object], report_with: Callable[..., ChangeReport]
) -> None:
    assert _state(report_with(**fields), name) == "unknown"


@pytest.mark.parametrize(
    ("realised", "pixels", "state"),
    [(0.019, 500_000, "good"), (0.021, 500_000, "look"), (0.0, 99_000, "unknown"), (None, 500_000, "unknown")],
)
def test_false_alarms_are_judged_at_the_level_asked_for(
    realised: float | None, pixels: int, state: str, report_with: Callable[..., ChangeReport]
) -> None:
    report = report_with()
    assert report.no_change is not None
    rows = (
        CalibrationRow(confidence_percent=99.0, realised_percent=50.0, pixels=500_000),
        CalibrationRow(confidence_percent=99.99, realised_percent=realised, pixels=pixels),
    )
    assert _state(report_with(no_change=replace(report.no_change, calibration=rows)), "False alarms") == state


def test_the_weakest_band_decides_on_the_normalisation(report_with: Callable[..., ChangeReport]) -> None:
    rows = list(report_with().normalisation)
    rows[2] = replace(rows[2], r2=0.4)
    found = next(check for check in checks(report_with(normalisation=tuple(rows))) if check.name == "Normalisation")
    assert found.state == "look"
    assert "B04" in found.finding
