"""The offset audit: what it says, and that it stays silent where nothing can be told."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from groundshift.errors import OffsetWarning, ProductError
from groundshift.model.scene import BandInfo
from groundshift.radiometry.audit import AuditVerdict, Dark, audit, dark_quantiles, reconcile

GRID = GeoBox((10, 10), Affine.identity(), None)


def dark(pixels: int = 100_000, **low: float) -> dict[str, Dark]:
    return {band: Dark(value, value + 0.01, pixels) for band, value in low.items()}


def bands(offset: float, scale: float = 1e-4, names: tuple[str, ...] = ("B02", "B04")) -> list[BandInfo]:
    return [BandInfo(name=n, href="x", geobox=GRID, dtype="uint16", scale=scale, offset=offset) for n in names]


CASES = {
    "lake and forest, no offset": (dark(B02=0.012, B03=0.018, B04=0.009, B08=0.02), "L2A", "absent"),
    "lake and forest, offset": (dark(B02=0.112, B03=0.118, B04=0.109, B08=0.12), "L2A", "present"),
    "level unknown, offset": (dark(B02=0.117, B03=0.12, B04=0.117, B08=0.116), None, "present"),
    "a real product of baseline 04.00": (
        dark(B02=0.0857, B03=0.0976, B04=0.0974, B8A=0.1042, B11=0.1015, B12=0.1011),
        "L2A",
        "present",
    ),
    "desert": (dark(B02=0.15, B03=0.2, B04=0.28, B08=0.35), "L2A", "unknown"),
    "bare soil, infrared only": (dark(B8A=0.112, B11=0.123, B12=0.088), "L2A", "unknown"),
    "evenly cloudy scene": (dark(B02=0.116, B03=0.133, B04=0.119, B08=0.256, B11=0.15, B12=0.105), "L2A", "unknown"),
    "colours of a cloudy scene": (dark(B02=0.116, B03=0.133, B04=0.119), "L2A", "unknown"),
    "forest without shadow, offset": (dark(B02=0.11, B03=0.12, B04=0.11, B08=0.3), "L2A", "unknown"),
    "air light at the top of the atmosphere": (dark(B02=0.113, B03=0.09, B04=0.069, B08=0.065), "L1C", "absent"),
    "top of the atmosphere over sand": (dark(B02=0.13, B03=0.13, B04=0.13, B08=0.12), "L1C", "unknown"),
    "one band below, others within": (dark(B02=0.06, B03=0.11, B04=0.11, B08=0.11), "L2A", "unknown"),
    "bands that are never dark": (dark(B05=0.01, B06=0.01, B09=0.01), "L2A", "unknown"),
    "too few pixels for absence": (dark(999, B02=0.01, B04=0.01), "L2A", "unknown"),
    "too few pixels for presence": (dark(19_999, B02=0.11, B03=0.11, B04=0.11, B08=0.11), "L2A", "unknown"),
}


@pytest.mark.parametrize("case", CASES)
def test_verdict_of(case: str) -> None:
    values, level, expected = CASES[case]
    assert audit(values, level).verdict == expected


def test_the_evidence_names_each_band_with_its_quantile() -> None:
    evidence = audit(dark(B02=0.112, B04=0.109), "L2A").evidence
    assert "B02 0.112" in evidence
    assert "B04 0.109" in evidence


@pytest.mark.parametrize("scale", [1e-4, 1 / 65535, 1.0])
def test_quantiles_are_reflectance_of_valid_pixels_whatever_the_scale(scale: float) -> None:
    reflectance = np.linspace(0, 1, 100_001, dtype=np.float64)
    dn = reflectance / scale
    dn[-1] = 0
    valid = np.ones(dn.shape, bool)
    valid[-1] = False
    found = dark_quantiles(dn.astype(np.float32), valid, scale)
    assert found.low == pytest.approx(0.001, rel=1e-3)
    assert found.high == pytest.approx(0.01, rel=1e-3)
    assert found.pixels == 100_000


def test_a_band_without_valid_pixels_says_nothing() -> None:
    none = dark_quantiles(np.zeros((4, 4)), np.zeros((4, 4), bool), 1e-4)
    assert audit({"B02": none}, "L2A").verdict == "unknown"


@pytest.mark.parametrize(("offset", "verdict"), [(-1000, "present"), (0, "absent"), (-1000, "unknown"), (0, "unknown")])
@pytest.mark.parametrize("trust", [None, "metadata", "pixels"])
def test_agreement_keeps_the_offset_of_the_metadata_silently(offset: float, verdict: str, trust: str | None) -> None:
    found = reconcile(AuditVerdict(verdict, "e"), bands(offset), trust, "P")  # type: ignore[arg-type]
    assert found == ({"B02": offset, "B04": offset}, None)


@pytest.mark.parametrize(("offset", "verdict"), [(-1000, "absent"), (0, "present")])
def test_a_contradiction_is_an_error_that_names_quantiles_and_the_way_out(offset: float, verdict: str) -> None:
    with pytest.raises(ProductError, match=r"PRODUCT.*B02 0\.112.*--trust metadata or --trust pixels"):
        reconcile(AuditVerdict(verdict, "darkest: B02 0.112"), bands(offset), None, "PRODUCT")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("offset", "verdict", "trust", "expected"),
    [
        (0, "present", "pixels", -1000),
        (-1000, "absent", "pixels", 0),
        (0, "present", "metadata", 0),
        (-1000, "absent", "metadata", -1000),
    ],
)
def test_the_word_of_the_user_decides_and_is_told(offset: float, verdict: str, trust: str, expected: float) -> None:
    offsets, warning = reconcile(AuditVerdict(verdict, "e"), bands(offset), trust, "P")  # type: ignore[arg-type]
    assert offsets == pytest.approx({"B02": expected, "B04": expected})
    assert isinstance(warning, OffsetWarning)


def test_trusting_pixels_subtracts_a_tenth_of_reflectance_in_any_scale() -> None:
    offsets, _ = reconcile(AuditVerdict("present", "e"), bands(0, scale=1 / 65535), "pixels", "P")
    assert offsets["B02"] == pytest.approx(-6553.5)
