"""A second opinion on cloud masks from other dates: thin cloud that was missed, bright ground taken for cloud.

A pixel kernel over a stack of dates of one place; three dates at least have to be there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import UsageError

FEWEST = 3
"""Dates that an opinion needs."""
_MAD_TO_SIGMA = 1.4826
_SAME = 0.02
"""Reflectance: cloud seldom looks so alike on three days, roofs, sand and snow do."""
_LIT, _DARK = 0.8, 0.015
"""Share of the near infrared that lit ground keeps from day to day, and what water may vary by."""

Stack = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class TemporalOptions:
    """When a date is held to differ from the others."""

    deviations: float = 3.0
    """Of the blue band above its median, in robust standard deviations."""
    least_blue: float = 0.03
    """Reflectance that the blue band must lie above its median at least: the scatter of clear days is less."""
    least_ndvi: float = 0.05
    """Fall of the NDVI below its median that cloud brings with it, where there is vegetation to hide."""

    def __post_init__(self) -> None:
        if min(self.deviations, self.least_blue, self.least_ndvi) < 0:
            raise UsageError(f"limits of the second opinion are 0 or more, not {self}.")


def suspicious(
    blue: Stack,
    ndvi: Stack,
    clear: Mask,
    middle: tuple[NDArray[np.float32], ...],
    options: TemporalOptions | None = None,
) -> Mask:
    """Find what looks like cloud beside the other dates, though the mask calls it clear.

    Args:
        blue: (time, y, x) reflectance.
        ndvi: (time, y, x).
        clear: (time, y, x) True = clear by the mask.
        middle: (y, x) each: medians over the clear dates of blue and of NDVI, and median absolute deviation of blue.
        options: limits.

    Returns:
        (time, y, x) True = better not used. Nothing where fewer than three dates are clear.

    Source: the multitemporal tests of blue and of vegetation of Hagolle et al. (2010), Remote Sens. Environ. 114, 1747.
    """
    options = options or TemporalOptions()
    middle_blue, middle_ndvi, deviation = middle
    enough = clear.sum(axis=0) >= FEWEST
    limit = np.maximum(options.deviations * _MAD_TO_SIGMA * deviation, options.least_blue)
    with np.errstate(invalid="ignore"):
        found = (blue > middle_blue + limit) & (ndvi < middle_ndvi - options.least_ndvi)
    return np.asarray(found & clear & enough)


def persistent(blue: Stack, nir: Stack, seen: Mask) -> Mask:
    """Find ground that looks the same on several dates, which neither cloud nor its shadow does.

    Args:
        blue: (time, y, x) reflectance.
        nir: (time, y, x) reflectance of the near infrared, in which a shadow on dark ground shows.
        seen: (time, y, x) True = data, whatever the mask says.

    Returns:
        (time, y, x) True = ground: blue within 0.02 of the darkest date, where three dates at least are, and near
        infrared not below four fifths of the brightest of those by more than 0.015.
    """
    if len(blue) < FEWEST:
        return np.zeros(seen.shape, bool)
    values = np.where(seen, blue, np.inf)
    lowest = np.partition(values, FEWEST - 1, axis=0)
    darkest, third = lowest[:FEWEST].min(axis=0), lowest[FEWEST - 1]
    with np.errstate(invalid="ignore"):
        alike = np.isfinite(third) & (third - darkest <= _SAME) & (values <= darkest + _SAME)
        brightest = np.where(alike, nir, -np.inf).max(axis=0)
        return np.asarray(alike & (nir >= _LIT * brightest - _DARK))
