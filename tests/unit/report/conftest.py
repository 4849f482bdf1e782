"""A report with everything in it, small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from scipy import stats

from groundshift.model.legend import change_legend
from groundshift.report import pictures
from groundshift.report.content import (
    CalibrationRow,
    ChangeReport,
    GridFacts,
    InputRow,
    KindRow,
    NoChangeFacts,
    NormalisationRow,
    PolarSample,
)

BANDS = ("B02", "B03", "B04", "B08")


def _image(role: Any, day: int) -> InputRow:
    return InputRow(
        role=role,
        name=f"S2A_{role}",
        href=f"/data/{role}.zip",
        kind="SAFE",
        platform="S2A",
        tile="56HKH",
        relative_orbit=30,
        baseline="05.10",
        sensing_time=datetime(2023, 8, day, tzinfo=UTC),
        level="L2A",
        offset_rule="-1000, from MTD_MSIL2A.xml",
        verification="5 files, SHA3-256",
        cloud_percent=1.5,
    )


def _kinds() -> tuple[KindRow, ...]:
    common: dict[str, Any] = {"mean_amplitude": 9.0, "mean_angle_deg": 80.0, "mean_before": (0.05, 0.06, 0.07, 0.3)}
    first = KindRow(code=1, color=change_legend(2)[1].color[:3], pixels=300, hectares=3.0, hint="vegetation loss",
                    mean_change=(0.01, 0.02, 0.05, -0.1), d_ndvi=-0.3, **common)  # fmt: skip
    second = KindRow(code=2, color=change_legend(2)[2].color[:3], pixels=100, hectares=1.0, hint="flooded",
                     mean_change=(0.0, 0.0, -0.02, -0.2), d_ndwi=0.4, **common)  # fmt: skip
    return first, second


def _no_change(rng: np.random.Generator) -> NoChangeFacts:
    edges = np.geomspace(0.1, 60, 41)
    centre = (edges[1:] + edges[:-1]) / 2
    amplitude = np.concatenate([np.sqrt(rng.chisquare(4, 9600)), rng.uniform(6, 30, 400)])
    return NoChangeFacts(
        edges=edges,
        counts=np.histogram(amplitude, edges)[0],
        law=2 * centre * stats.chi2.pdf(centre**2, 4),
        thresholds=(("threshold", 4.85),),
        calibration=(
            CalibrationRow(confidence_percent=99.0, realised_percent=1.1, pixels=500_000),
            CalibrationRow(confidence_percent=99.99, realised_percent=0.012, pixels=500_000),
        ),
    )


def _pictures(rng: np.random.Generator) -> dict[str, bytes]:
    rgb = rng.uniform(0, 0.3, (3, 20, 30)).astype(np.float32)
    valid = np.ones((20, 30), bool)
    photo = pictures.stretch(rgb, valid, pictures.common_stretch([(rgb, valid)]))
    labels = np.zeros((20, 30), np.uint8)
    labels[5:9, 5:9] = 1
    change = pictures.change_picture(labels, pictures.base_grey(photo, photo), change_legend(2))
    return {"before": pictures.png(photo), "after": pictures.png(photo), "change": pictures.png(change)}


@pytest.fixture(scope="session")
def full_report() -> ChangeReport:
    """Every field filled."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.02, 0.3, 200)
    fits = tuple(
        NormalisationRow(band=band, gain=1.1, offset=-0.01, r2=0.95, pixels=5000, before=x, after=1.1 * x - 0.01)
        for band in BANDS
    )
    polar = PolarSample(
        amplitude=rng.uniform(0.5, 30, 500), angle_deg=rng.uniform(0, 180, 500), kind=rng.integers(0, 3, 500)
    )
    return ChangeReport(
        title="A flood and a clear-cut",
        created=datetime(2024, 1, 2, 3, 4, tzinfo=UTC),
        version="0.1.0",
        method="Change vector analysis.",
        confidence_percent=99.99,
        compared_pixels=10_000,
        compared_ha=100.0,
        changed_pixels=400,
        changed_ha=4.0,
        no_data_percent=5.0,
        masked_percent=2.0,
        grid=GridFacts(crs="EPSG:32756", rows=100, columns=105, pixel_size_m=10.0),
        bands=BANDS,
        inputs=(_image("before", 3), _image("after", 13)),
        kinds=_kinds(),
        normalisation=fits,
        no_change=_no_change(rng),
        polar=polar,
        shift_px=(0.1, -0.05),
        composition="natural colours (B04, B03, B02)",
        pictures=_pictures(rng),
        warnings=(("Season", "the dates lie in different seasons."),),
        options={"detect.confidence": 99.99, "grid.bands": BANDS, "detect.fdr": None, "run.strict": False},
        files=(("CVA.tif", "amplitude and angle", 12_345),),
        timings=(("read", 1.5), ("write", 0.5)),
        peak_memory_bytes=800_000_000,
    )


@pytest.fixture
def report_with(full_report: ChangeReport) -> Callable[..., ChangeReport]:
    """The full report with some fields replaced."""

    def change(**fields: Any) -> ChangeReport:
        return replace(full_report, **fields)

    return change
