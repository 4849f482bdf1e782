"""How far a result can be trusted: named checks on the facts of a report, each with a finding in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from groundshift.report.content import CalibrationRow, ChangeReport
from groundshift.report.wording import fixed, number, percent, whole

State = Literal["good", "look", "unknown"]


@dataclass(frozen=True)
class Check:
    """One question to the result and its answer."""

    name: str
    state: State
    """``good``; ``look``: a reader should look before believing; ``unknown``: it could not be checked."""
    finding: str


MANY_CHANGES_PERCENT = 30.0
"""Above it the statistics of no change are in doubt: fewer than 70 % of the pixels carry them."""
MUCH_NO_DATA_PERCENT = 30.0
SHIFT_PX = 0.3
"""Above it edges look like change (half a pixel of shift doubles the residuals of a textured scene)."""
LEAST_R2 = 0.7
"""A weaker line through the pseudo-invariant pixels says little about the whole scene."""
FALSE_ALARM_FACTOR = 2.0
"""Realised over asked false alarms."""
LEAST_EXPECTED = 10
"""False alarms that must be expected among the held-out pixels before their share means something."""


def checks(report: ChangeReport) -> tuple[Check, ...]:
    """All checks, in the order in which a reader needs them."""
    return (
        _false_alarms(report),
        _coverage(report),
        _amount(report),
        _registration(report),
        _normalisation(report),
        _warnings(report),
    )


def _asked_row(report: ChangeReport) -> CalibrationRow | None:
    rows = report.no_change.calibration if report.no_change else ()
    return min(rows, key=lambda row: abs(row.confidence_percent - report.confidence_percent), default=None)


def _false_alarms(report: ChangeReport) -> Check:
    row, name = _asked_row(report), "False alarms"
    if row is None or row.realised_percent is None or row.pixels == 0:
        return Check(name, "unknown", "No unchanged pixels were held out to test the threshold on.")
    asked, realised = 100 - row.confidence_percent, row.realised_percent
    where = f"of {whole(row.pixels)} unchanged pixels held out of the fit"
    if asked / 100 * row.pixels < LEAST_EXPECTED:
        return Check(name, "unknown", f"{percent(realised)} {where}: too few to test {percent(asked)}.")
    text = f"Asked {percent(asked)}, found {percent(realised)} {where}, {number(realised / asked, 2)} times the asked."
    return Check(name, "good" if realised <= FALSE_ALARM_FACTOR * asked else "look", text)


def _coverage(report: ChangeReport) -> Check:
    text = f"{percent(report.no_data_percent)} of the area could not be compared"
    if report.masked_percent is not None:
        text += f", {percent(report.masked_percent)} because of clouds and their shadows"
    good = report.no_data_percent < MUCH_NO_DATA_PERCENT
    return Check("Coverage", "good" if good else "look", text + ("." if good else ": changes there are not known."))


def _amount(report: ChangeReport) -> Check:
    share = report.changed_percent
    if share is None:
        return Check("Amount of change", "unknown", "No pixel is usable at both dates.")
    if share <= MANY_CHANGES_PERCENT:
        return Check("Amount of change", "good", f"{percent(share)}, so unchanged ground carries the statistics.")
    text = f"{percent(share)} changed: so much that the statistics of no change, and the threshold, are in doubt."
    return Check("Amount of change", "look", text)


def _registration(report: ChangeReport) -> Check:
    if report.shift_px is None:
        return Check("Co-registration", "unknown", "The shift between the two images was not measured.")
    shift = math.hypot(*report.shift_px)
    text = f"The images lie {fixed(shift, 2)} pixel apart"
    if shift <= SHIFT_PX:
        return Check("Co-registration", "good", f"{text}.")
    return Check("Co-registration", "look", f"{text}: thin lines along edges may be shift, not change.")


def _normalisation(report: ChangeReport) -> Check:
    name, rows = "Normalisation", [row for row in report.normalisation if row.r2 is not None]
    if not report.normalisation:
        return Check(name, "unknown", "The dates were not normalised to each other: haze and sun may show as change.")
    if not rows:
        return Check(name, "unknown", "The fit between the two dates carries no measure of its quality.")
    weakest = min(rows, key=lambda row: row.r2 or 0.0)
    text = f"Weakest band {weakest.band}: R² {fixed(weakest.r2, 2)} on {whole(weakest.pixels)} unchanging pixels"
    if (weakest.r2 or 0.0) >= LEAST_R2:
        return Check(name, "good", f"{text}.")
    return Check(name, "look", f"{text}: brightness differences between the dates may remain.")


def _warnings(report: ChangeReport) -> Check:
    count = len(report.warnings)
    if count == 0:
        return Check("Warnings", "good", "The run gave none.")
    names = ", ".join(dict.fromkeys(name for name, _ in report.warnings))
    return Check("Warnings", "look", f"{count} of the run: {names}.")
