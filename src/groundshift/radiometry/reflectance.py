"""Stored numbers to reflectance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from groundshift.errors import InputError

USABLE, EMPTY = 0, 2
"""Codes of a mask: usable, and no data; any other code is data that are not usable."""
SATURATED = 65535
"""Stored 16-bit number of a saturated pixel."""


def to_reflectance(dn: NDArray[np.generic], scale: ArrayLike, offset: ArrayLike) -> NDArray[np.float32]:
    """Return reflectance = (DN + offset) * scale; negative values are kept.

    A pixel kernel. DN that mean no data are converted like any other: validity was decided before the offset.

    Args:
        dn: (band, y, x), any numeric type.
        scale: (band,) or one number, reflectance per DN, for example 1e-4.
        offset: (band,) or one number, in DN, for example -1000.

    Returns:
        (band, y, x), float32, 1.0 = 100 %.

    Raises:
        InputError: the number of scales or offsets is not that of the bands.

    Law: the DN of two processing baselines that differ by the offset give identical reflectance, bit by bit.
    """
    out = dn.astype(np.float32)
    out += _per_band(offset, dn.shape)
    out *= _per_band(scale, dn.shape)
    return out


def _per_band(value: ArrayLike, shape: Sequence[int]) -> NDArray[np.float32]:
    numbers = np.asarray(value, np.float32)
    if numbers.ndim == 0:
        return numbers
    if numbers.shape != (shape[0],):
        raise InputError(f"{shape[0]} bands need {shape[0]} scales and offsets, got an array of shape {numbers.shape}.")
    return numbers.reshape(-1, *(1,) * (len(shape) - 1))


def from_stored(
    dn: NDArray[np.generic], mask: NDArray[np.generic], scale: Sequence[float], offset: Sequence[float]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.uint8]]:
    """Return reflectance and what of it is usable, in one pass.

    A pixel kernel.

    Args:
        dn: (p, y, x) uint16 with 0 for no data and 65535 for saturated, or float32 with NaN for both.
        mask: (y, x) uint8, 0 usable.
        scale, offset: one a band: reflectance = (DN + offset) * scale.

    Returns:
        reflectance (p, y, x), finite everywhere; usable (y, x), True where the mask is 0 and every band holds a
        number; the mask codes (y, x), EMPTY where a band holds none.
    """
    reflectance = np.empty(dn.shape, np.float32)
    usable = np.empty(mask.shape, np.bool_)
    codes = np.array(mask, np.uint8)
    _from_stored(
        dn,
        np.asarray(scale, np.float32),
        np.asarray(offset, np.float32),
        dn.dtype == np.uint16,
        codes,
        reflectance,
        usable,
    )
    return reflectance, usable, codes


@njit(nogil=True, cache=True)
def _from_stored(dn, scale, offset, integers, codes, reflectance, usable):  # type: ignore[no-untyped-def]
    bands, height, width = dn.shape
    for y in range(height):
        for x in range(width):
            usable[y, x] = codes[y, x] == 0
        for b in range(bands):
            add, factor = offset[b], scale[b]
            for x in range(width):
                value = np.float32(dn[b, y, x])
                if integers:
                    if value == 0 or value == 65535:
                        usable[y, x] = False
                        if value == 0:
                            codes[y, x] = 2
                elif value != value:
                    usable[y, x] = False
                    codes[y, x] = 2
                    value = np.float32(0)
                reflectance[b, y, x] = (value + add) * factor
