"""Stored numbers to reflectance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groundshift.errors import InputError


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
