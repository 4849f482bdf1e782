"""Amplitude and angle of the vector of normalised differences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError

_CHUNK = 2048  # pixels whose sums stay in the first-level cache
_DEGREES = 180.0 / math.pi
# arccos(x) = sqrt(1 - x) * polynomial for 0 <= x <= 1, error below 3e-8 rad: Abramowitz & Stegun (1964), 4.4.46.
_ARCCOS = (
    1.5707963050,
    -0.2145988016,
    0.0889789874,
    -0.0501743046,
    0.0308918810,
    -0.0170881256,
    0.0066700901,
    -0.0012624911,
)


def reference_vector(text: str, bands: Sequence[str]) -> NDArray[np.float64] | None:
    """Return the unit vector from which the angle is counted.

    Args:
        text: ``first`` (1, 0, 0, ...), ``uniform`` (all equal), ``ndvi`` (-1 on B04, +1 on B08 or else B8A), ``mean``
            (main direction of the changed pixels, which only the data know), or numbers such as ``0,0,-1,1``, filled
            up with zeros.
        bands: canonical names, in the order of the differences.

    Returns:
        (p,) of length 1; None for ``mean``: see :func:`main_direction`.

    Raises:
        UsageError: the vector cannot be.
    """
    word, p = text.strip().lower(), len(bands)
    if word == "mean":
        return None
    if word == "uniform":
        return np.full(p, 1 / math.sqrt(p))
    if word == "first":
        return _unit([1.0], p, text)
    if word == "ndvi":
        return _ndvi(bands)
    try:
        numbers = [float(part) for part in word.replace(";", ",").split(",")]
    except ValueError:
        raise UsageError(
            f"reference vector {text!r}: expected first, uniform, ndvi, mean or numbers such as 1,0,0,0."
        ) from None
    return _unit(numbers, p, text)


def main_direction(z: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the direction (p,) along which changed pixels (p, n) differ most, pointing to their mean.

    The first eigenvector of the second moments about zero. Without any finite pixel it is (1, 0, 0, ...).
    """
    finite = z[:, np.isfinite(z).all(axis=0)].astype(np.float64)
    if not finite.any():
        return np.asarray(np.eye(len(z))[0])
    axis: NDArray[np.float64] = np.linalg.eigh(finite @ finite.T)[1][:, -1]
    along = float(axis @ finite.mean(axis=1)) or float(axis[np.argmax(np.abs(axis))])
    return np.asarray(axis * math.copysign(1.0, along))


def amplitude_angle(
    z: NDArray[np.floating], reference: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return length and direction of vectors of differences.

    A pixel kernel.

    Args:
        z: (p, ...) normalised differences, after minus before.
        reference: (p,) direction of angle 0; any length but 0.

    Returns:
        amplitude: (...) sqrt(sum z^2); NaN where a band is NaN.
        angle: (...) degrees 0..180 to ``reference``; NaN where the amplitude is 0 or NaN.

    Raises:
        InputError: the number of bands differs.
        UsageError: the reference has no direction.

    Laws: the amplitude does not depend on the reference; the angle of -z is 180 less that of z, and no length of z
    or of the reference changes it.
    Source: Bovolo & Bruzzone (2007), IEEE TGRS 45, 218, for the polar framework.
    """
    if len(z) != np.size(reference):
        raise InputError(
            f"differences of {len(z)} bands do not fit a reference vector of {np.size(reference)} numbers."
        )
    unit = _unit([float(v) for v in reference], len(z), str(reference))
    flat = np.ascontiguousarray(z.reshape(len(z), -1), dtype=np.float32)
    amplitude, angle = np.empty((2, flat.shape[1]), np.float32)
    _polar(flat, unit, amplitude, angle)
    return amplitude.reshape(z.shape[1:]), angle.reshape(z.shape[1:])


def _unit(numbers: Sequence[float], p: int, text: str) -> NDArray[np.float64]:
    vector = np.zeros(p)
    if len(numbers) > p:
        raise UsageError(f"reference vector {text!r} has {len(numbers)} numbers for {p} bands: give at most {p}.")
    vector[: len(numbers)] = numbers
    largest = np.abs(vector).max()
    if not np.isfinite(vector).all() or largest == 0:
        raise UsageError(f"reference vector {text!r} has no direction: expected finite numbers, not all 0.")
    vector /= largest
    return np.asarray(vector / np.linalg.norm(vector))


def _ndvi(bands: Sequence[str]) -> NDArray[np.float64]:
    nir = next((name for name in ("B08", "B8A") if name in bands), None)
    if nir is None or "B04" not in bands:
        raise UsageError(f"reference vector 'ndvi' needs B04 and B08 (or B8A) among the bands, got {', '.join(bands)}.")
    vector = np.zeros(len(bands))
    vector[bands.index("B04")], vector[bands.index(nir)] = -1, 1
    return vector / math.sqrt(2)


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _polar(
    z: NDArray[np.float32], unit: NDArray[np.float64], amplitude: NDArray[np.float32], angle: NDArray[np.float32]
) -> None:
    c0, c1, c2, c3, c4, c5, c6, c7 = _ARCCOS
    p, n = z.shape
    squares, dots = np.empty(_CHUNK), np.empty(_CHUNK)
    for start in range(0, n, _CHUNK):
        stop = min(start + _CHUNK, n)
        square, dot = squares[: stop - start], dots[: stop - start]
        square[:] = 0.0
        dot[:] = 0.0
        for b in range(p):
            row, weight = z[b, start:stop], unit[b]
            for i in range(row.size):
                value = np.float64(row[i])
                square[i] += value * value
                dot[i] += weight * value
        length_out, angle_out = amplitude[start:stop], angle[start:stop]
        for i in range(square.size):
            length = math.sqrt(square[i])
            cosine = dot[i] / length
            x = abs(cosine)
            x = x if x < 1.0 else 1.0
            series = c4 + x * (c5 + x * (c6 + x * c7))
            series = c0 + x * (c1 + x * (c2 + x * (c3 + x * series)))
            turn = math.sqrt(1.0 - x) * series
            turn = turn if cosine >= 0 else math.pi - turn
            length_out[i] = length
            angle_out[i] = _DEGREES * turn if length > 0 else math.nan
