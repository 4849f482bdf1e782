"""Change along a series of dates: first seen, then confirmed or taken back by the dates that follow.

Every pixel keeps the reflectance of its last clear date, its *reference*, and each new date is compared with that.
Where it differs, a change is first seen; the reference is then kept as it was before, and the next clear dates say
whether the pixel still differs from it. With ``needed`` of the next ``of`` clear dates differing the change is
confirmed, and as soon as that many cannot be reached any more it is taken back. A cloud that a mask missed differs once
and is taken back; comparing consecutive dates alone would see two changes there, and confirm the return of the ground.

What is kept of a pixel does not grow with the number of dates.

Of this kind are GLAD (Hansen et al. 2016, Environ. Res. Lett. 11, 034008), whose loss is probable when first seen and
confirmed by two of the next four observations; RADD (Reiche et al. 2021, Environ. Res. Lett. 16, 024005), whose
probability of change is confirmed or rejected by the observations of 90 days; and OPERA DIST (first, provisional and
confirmed disturbance by the number of anomalies).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.change.confirm import ConfirmOptions

NONE, FIRST, CONFIRMED = 0, 1, 2
"""Status of a pixel: no change; first seen, and not yet confirmed; confirmed."""

KINDS = (
    "",
    "vegetation loss",
    "vegetation gain",
    "water gain: perhaps flooding",
    "water loss",
    "burn, or other strong loss of vegetation",
    "brighter: perhaps bare ground or building",
    "darker: perhaps shadow, wet ground or new cover",
    "change of colour without a clear sign",
)
"""What a change often is by its signs, by the codes of :func:`kind_of`; not a finding."""
_CLEAR, _BRIGHTNESS, _DARK_WATER = 0.1, 0.02, 0.15


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """What is known of each pixel of a block, whatever the number of dates."""

    reference: NDArray[np.float32]
    """(p, y, x) reflectance of the last clear date that no change was seen at; arbitrary where there was none."""
    reference_day: NDArray[np.uint16]
    """(y, x) its day; 0: the pixel was never clear."""
    first: NDArray[np.uint16]
    """(y, x) day on which the change was first seen; 0: none."""
    before: NDArray[np.uint16]
    """(y, x) last clear day before that."""
    seen: NDArray[np.uint8]
    """(y, x) clear dates after ``first`` that had a say, at most ``of``."""
    confirmations: NDArray[np.uint8]
    """(y, x) of them, that still differed."""
    status: NDArray[np.uint8]
    """(y, x) NONE, FIRST or CONFIRMED."""
    kind: NDArray[np.uint8]
    """(y, x) what it looked like on ``first``, as the caller coded it; 0: no change."""
    total: NDArray[np.float32]
    """(y, x) sum of the probabilities of ``first`` and of the dates that had a say."""
    maximum: NDArray[np.float32]
    """(y, x) largest probability at any date; NaN: the pixel was never compared."""

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(y, x) mean probability of the change over the dates that saw it or had a say; 0 without change."""
        return np.where(self.status > NONE, self.total / (1 + self.seen.astype(np.float32)), np.float32(0))


def begin(image: NDArray[np.float32], usable: NDArray[np.bool_], day: int) -> Track:
    """The track of a series that has one date: (p, y, x) reflectance, where it is usable, and its day (from 1)."""
    shape = usable.shape
    return Track(
        reference=np.array(image, np.float32),
        reference_day=np.where(usable, np.uint16(day), np.uint16(0)),
        first=np.zeros(shape, np.uint16),
        before=np.zeros(shape, np.uint16),
        seen=np.zeros(shape, np.uint8),
        confirmations=np.zeros(shape, np.uint8),
        status=np.zeros(shape, np.uint8),
        kind=np.zeros(shape, np.uint8),
        total=np.zeros(shape, np.float32),
        maximum=np.full(shape, np.nan, np.float32),
    )


def advance(
    track: Track,
    probability: NDArray[np.float32],
    image: NDArray[np.float32],
    usable: NDArray[np.bool_],
    kind: NDArray[np.uint8],
    day: int,
    options: ConfirmOptions,
) -> Track:
    """Take up one more date. A pixel kernel.

    Args:
        track: of all earlier dates; its reference on the scale of ``image``.
        probability: (y, x) that this date differs from the reference; NaN where that cannot be said.
        image: (p, y, x) reflectance.
        usable: (y, x)
        kind: (y, x) what a change that is first seen now looks like.
        day: of this date, larger than those before.
        options: when change is believed.

    Law: a pixel whose probability is NaN, or that is not usable, is as before, but for a first reference.
    """
    known = usable & (track.reference_day > 0) & np.isfinite(probability)
    probability = np.where(known, probability, np.float32(0))
    differs = known & (probability >= options.threshold)
    pending = (track.status == FIRST) | ((track.status == CONFIRMED) & (track.seen < options.of))
    asked = known & pending
    opens = differs & ~pending & (track.status == NONE)
    seen = track.seen + asked
    confirmations = track.confirmations + (asked & differs)
    status = np.where(opens, np.uint8(FIRST), track.status)
    status[asked & (confirmations >= options.needed)] = CONFIRMED
    back = asked & (status == FIRST) & (seen - confirmations > options.of - options.needed)
    closed = asked & (status == CONFIRMED) & (seen >= options.of)
    held = opens | (pending & ~back & ~closed)
    fresh = usable & ~held & (known | (track.reference_day == 0))
    status[back] = NONE
    for counts in (seen, confirmations):
        counts[back] = 0
    return Track(
        reference=np.where(fresh, image, track.reference),
        reference_day=np.where(fresh, np.uint16(day), track.reference_day),
        first=_event(track.first, opens, back, np.uint16(day)),
        before=_event(track.before, opens, back, track.reference_day),
        seen=seen,
        confirmations=confirmations,
        status=status,
        kind=_event(track.kind, opens, back, kind),
        total=_event(track.total + np.where(asked, probability, np.float32(0)), opens, back, probability),
        maximum=np.where(known, np.fmax(track.maximum, probability), track.maximum),
    )


def _event(old: Any, opens: NDArray[np.bool_], back: NDArray[np.bool_], new: Any) -> Any:
    """A field of the change: new where one is first seen, 0 where it is taken back."""
    return np.where(opens, new, np.where(back, old.dtype.type(0), old)).astype(old.dtype, copy=False)


def renewed(track: Track, image: NDArray[np.float32], usable: NDArray[np.bool_], day: int) -> Track:
    """The track with another date as the reference of every pixel that shows no change, where that date is usable.

    Args:
        track: of all dates so far.
        image: (p, y, x) reflectance of an earlier date.
        usable: (y, x) where it is.
        day: of that date.
    """
    calm = usable & (track.status == NONE)
    return replace(
        track,
        reference=np.where(calm, image, track.reference),
        reference_day=np.where(calm, np.uint16(day), track.reference_day),
    )


def kind_of(before: NDArray[np.float32], after: NDArray[np.float32], bands: Sequence[str]) -> NDArray[np.uint8]:
    """What each pixel would be if it changed: a code of :data:`KINDS`, by the signs that the kinds of a pair go by too.

    Args:
        before, after: (p, y, x) reflectance on one scale.
        bands: their names.
    """
    first, second = (dict(zip(bands, image, strict=True)) for image in (before, after))
    nir = "B08" if "B08" in first else "B8A"
    d_mean = (after - before).mean(axis=0)
    found = np.where(d_mean > _BRIGHTNESS, 6, np.where(d_mean < -_BRIGHTNESS, 7, 8)).astype(np.uint8)
    if nir in first and "B04" in first:
        d_ndvi = _index(second, nir, "B04") - _index(first, nir, "B04")
        found = np.where(np.abs(d_ndvi) > _CLEAR, np.where(d_ndvi > 0, np.uint8(2), np.uint8(1)), found)
    if nir in first and "B12" in first:
        d_nbr = _index(second, nir, "B12") - _index(first, nir, "B12")
        found = np.where((d_nbr < -2 * _CLEAR) & (second[nir] < first[nir]), np.uint8(5), found)
    if nir in first and "B03" in first:
        wet, wetter = _index(first, "B03", nir), _index(second, "B03", nir)
        strong = np.abs(wetter - wet) > 2 * _CLEAR
        gain = strong & (wetter > 0) & (second[nir] < np.minimum(_DARK_WATER, first[nir]))
        loss = strong & (wet > 0) & (first[nir] < np.minimum(_DARK_WATER, second[nir]))
        found = np.where(gain, np.uint8(3), np.where(loss, np.uint8(4), found))
    return found


def _index(spectrum: Mapping[str, NDArray[np.float32]], plus: str, minus: str) -> NDArray[np.float32]:
    """Normalised difference of two bands; 0 where both are dark."""
    a, b = (np.maximum(spectrum[name], 0) for name in (plus, minus))
    return np.where(a + b > 1e-3, (a - b) / np.maximum(a + b, np.float32(1e-3)), np.float32(0))


def rescaled(track: Track, gain: NDArray[np.floating], offset: NDArray[np.floating]) -> Track:
    """The track with its reference on the scale of the later date of a pair: earlier = gain * later + offset.

    Args:
        track: with its reference on the earlier scale.
        gain, offset: (p,) of the line of each band.
    """
    reference = track.reference - offset.astype(np.float32)[:, None, None]
    reference /= gain.astype(np.float32)[:, None, None]
    return replace(track, reference=reference)
