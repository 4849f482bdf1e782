"""The offset audit: do the pixels carry the +1000 DN that processing baselines from 04.00 on add, as the metadata say?

Somewhere in most scenes there is something that reflects next to nothing: water, shadow, dense forest in the red. Its
DN tells whether zero reflectance is stored as 0 or as 1000. Everything here is reflectance *before the offset*
(DN * scale), so that files of any scale are judged alike: 0.1 stands for 1000 DN of the ESA products.

The thresholds are measured on the darkest 0.1 % of the pixels. Twenty real scenes without the offset, or with the
offset removed: 0.000 to 0.074 in the visible bands of surface reflectance. A real product of baseline 04.00 and an
export that lost its metadata: 0.086 to 0.120 in all bands. 118 dates of a field of 41 ha, many of them under cloud,
show what cannot be told: an evenly cloudy little scene looks just like one with the offset in the visible bands and
in the SWIR, but never in the near infrared; bare soil looks like it in the infrared, but not in the visible bands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import OffsetWarning, ProductError
from groundshift.model.scene import BandInfo

OFFSET_REFLECTANCE = 0.1
"""Radiometric offset of processing baselines from 04.00 on (ESA, 25 January 2022): 1000 DN of 1/10000."""
ABSENT_BELOW = (0.07, 0.09)
"""A band whose two quantiles lie below these does not carry the offset: it would reflect less than -3 % and -1 %."""
PRESENT_RANGE = (0.085, 0.135)
"""A dark band that carries the offset lies between: 1.5 % for over-correction, 3.5 % for haze."""
MIN_PIXELS_ABSENT = 1000
"""Fewer valid pixels say nothing."""
MIN_PIXELS_PRESENT = 20_000
"""Fewer may hold nothing dark (200 ha at 10 m)."""

_QUANTILES = (0.001, 0.01)
_VISIBLE = frozenset({"B02", "B03", "B04"})
_NEAR_INFRARED = frozenset({"B08", "B8A"})
_SHORTWAVE = frozenset({"B11", "B12"})

Verdict = Literal["present", "absent", "unknown"]


class Dark(NamedTuple):
    """How dark one band gets."""

    low: float
    """0.1 % quantile, reflectance before the offset."""
    high: float
    """1 % quantile."""
    pixels: int
    """Number of valid pixels."""


@dataclass(frozen=True)
class AuditVerdict:
    """What the pixels say of the offset."""

    verdict: Verdict
    """present: +0.1 is in the stored values; absent: it is not; unknown: nothing dark enough to tell."""
    evidence: str
    """The quantiles in words, for a message or the report."""


def dark_quantiles(dn: NDArray[np.generic], valid: NDArray[np.bool_], scale: float) -> Dark:
    """Return how dark one band gets.

    Args:
        dn: any shape, stored values.
        valid: same shape, True = a measurement, best without clouds.
        scale: reflectance per DN.
    """
    values = np.asarray(dn[valid], np.float32)
    if values.size == 0:
        return Dark(np.nan, np.nan, 0)
    low, high = (float(q) * scale for q in np.quantile(values, _QUANTILES))
    return Dark(low, high, int(values.size))


def audit(dark: Mapping[str, Dark], level: str | None) -> AuditVerdict:
    """Return whether the stored values carry the offset.

    Args:
        dark: :func:`dark_quantiles` by canonical band name; bands that are never dark (red edge, 60 m) are passed over.
        level: ``L1C``, ``L2A`` or None. At the top of the atmosphere the air shines in the visible bands: only the
            infrared is looked at, which can tell ``absent`` but never ``present``.

    Absent: at least half of the bands lie below :data:`ABSENT_BELOW`. Present: no band lies below
    :data:`PRESENT_RANGE`; two visible bands lie within, and so does a near-infrared band, or, where none was chosen,
    a short-wave one. Else unknown.
    """
    fit = _NEAR_INFRARED | _SHORTWAVE | (frozenset() if level == "L1C" else _VISIBLE)
    seen = {band: value for band, value in dark.items() if band in fit and value.pixels >= MIN_PIXELS_ABSENT}
    if not seen:
        return AuditVerdict(
            "unknown", f"no band that can be dark ({', '.join(sorted(fit))}) has {MIN_PIXELS_ABSENT} valid pixels"
        )
    quantiles = ", ".join(f"{band} {value.low:.3f}" for band, value in seen.items())
    return AuditVerdict(_verdict(seen), f"darkest 0.1 % of the pixels, before the offset: {quantiles}")


def _verdict(seen: Mapping[str, Dark]) -> Verdict:
    absent = [d.low < ABSENT_BELOW[0] and d.high < ABSENT_BELOW[1] for d in seen.values()]
    if 2 * sum(absent) >= len(absent):
        return "absent"
    least, most = PRESENT_RANGE
    if any(d.low < least or d.pixels < MIN_PIXELS_PRESENT for d in seen.values()):
        return "unknown"
    within = {band for band, d in seen.items() if d.low <= most}
    witnesses = _NEAR_INFRARED if _NEAR_INFRARED & seen.keys() else _SHORTWAVE
    return "present" if witnesses & within and len(within & _VISIBLE) >= 2 else "unknown"


def reconcile(
    verdict: AuditVerdict,
    bands: Sequence[BandInfo],
    trust: Literal["metadata", "pixels"] | None,
    where: str,
) -> tuple[dict[str, float], OffsetWarning | None]:
    """Return the offsets to use, after comparing what the metadata say with what the pixels say.

    Args:
        verdict: of :func:`audit`.
        bands: as the metadata (or the user) describe them; at least one.
        trust: whom to believe in a contradiction; None: nobody.
        where: the product, for the message.

    Returns:
        The offset in DN by band name, and a warning where the user's word decided.

    Raises:
        ProductError: they contradict each other and nobody is trusted.
    """
    offsets = {band.name: band.offset for band in bands}
    told = median(band.offset * band.scale for band in bands)
    subtracted = told <= -0.5 * OFFSET_REFLECTANCE
    if verdict.verdict == "unknown" or subtracted == (verdict.verdict == "present"):
        return offsets, None
    said = (
        f"that {-told:.3g} of reflectance is to be subtracted" if subtracted else "that no offset is to be subtracted"
    )
    shown = "carry none" if subtracted else f"carry one of about +{OFFSET_REFLECTANCE}"
    conflict = (
        f"{where}: the metadata say {said}, but the pixels {shown} ({verdict.evidence}; expected below "
        f"{ABSENT_BELOW[0]} without an offset, {PRESENT_RANGE[0]} to {PRESENT_RANGE[1]} with it)"
    )
    if trust is None:
        raise ProductError(f"{conflict}: say whom to believe with --trust metadata or --trust pixels.")
    if trust == "pixels":
        offsets = {b.name: 0.0 if subtracted else -OFFSET_REFLECTANCE / b.scale for b in bands}
    return offsets, OffsetWarning(f"{conflict}; the {trust} were trusted, as asked.")
