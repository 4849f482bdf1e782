"""Numbers with fewer digits, which compress."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def round_mantissa(array: NDArray[np.float32], bits: int = 13) -> NDArray[np.float32]:
    """Round float32 to that many binary digits after the leading one (half to even), so that they compress.

    The relative error is at most 2**-(bits + 1), 6e-5 for 13; NaN, infinities and zeros stay. Law: rounding twice
    equals rounding once.
    """
    raw = np.ascontiguousarray(array, np.float32)
    rounded = np.empty_like(raw)
    _round(raw.reshape(-1).view(np.uint32), rounded.reshape(-1).view(np.uint32), 23 - bits)
    return rounded


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _round(raw: Any, out: Any, drop: int) -> None:
    half, one, shift = np.uint32((1 << (drop - 1)) - 1), np.uint32(1), np.uint32(drop)
    kept, exponent = np.uint32(0xFFFFFFFF ^ ((1 << drop) - 1)), np.uint32(0x7F800000)
    for i in range(raw.size):
        bits = raw[i]
        finite = (bits & exponent) != exponent
        out[i] = (bits + half + ((bits >> shift) & one)) & kept if finite else bits
