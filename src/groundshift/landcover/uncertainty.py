"""How sure a classification is: the class of the highest probability, its lead, the classes that cannot be ruled out.

Probabilities are (class, y, x) float32; a pixel whose sum is not above 0, or with a NaN, is without data. Every measure
is computed from its pixel alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numba
import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.model.legend import NO_DATA

Float32 = NDArray[np.float32]
Codes = NDArray[np.uint8]
SetMethod = Literal["lac", "aps"]
SET_METHODS: tuple[SetMethod, ...] = get_args(SetMethod)

STEP = 0.004
"""Value of a stored 1: 250 is 1, 255 is no data."""

_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@dataclass(frozen=True, eq=False)
class Certainty:
    """What the probabilities of a pixel say of the map; 255 where there is no data."""

    codes: Codes
    """(y, x): code of the class with the highest probability, the first of equals."""
    highest: Codes
    """(y, x): its probability in steps of :data:`STEP`."""
    margin: Codes
    """(y, x): its lead over the second, in the same steps."""
    entropy: Codes
    """(y, x): of the distribution, as a share of that of all classes being equal, in the same steps: 0 is sure."""


def certainty(probabilities: Float32, classes: Sequence[int] | None = None) -> Certainty:
    """Decide for the class with the highest probability, and say how sure that is.

    Args:
        probabilities: (class, y, x) float32, NaN = no data; rescaled to a sum of 1 first.
        classes: code of each class; None: 1, 2, 3 ...

    Raises:
        InputError: the array is of another type or shape, or has not as many classes as there are codes.
    """
    p, codes = _checked(probabilities), np.arange(1, len(probabilities) + 1)
    if classes is not None:
        codes = np.asarray(classes)
    if codes.shape != (len(p),) or ((codes < 0) | (codes >= NO_DATA)).any():
        raise InputError(f"{len(p)} layers of probabilities need as many codes from 0 to 254, not {list(codes)}.")
    out = np.full((4, *p.shape[1:]), NO_DATA, np.uint8)
    _measure(p, codes.astype(np.uint8), out)
    return Certainty(*out)


@dataclass(frozen=True, eq=False)
class ConfidenceSets:
    """The classes that a pixel may belong to, at the confidence that the quantiles were made for."""

    members: NDArray[np.bool_]
    """(class, y, x): the class of the layer is among them."""
    size: Codes
    """(y, x): how many; 0: unlike anything that the quantiles were made of; 255: no data."""


def confidence_sets(probabilities: Float32, quantiles: Sequence[float], method: SetMethod = "lac") -> ConfidenceSets:
    """The classes whose score does not exceed the quantile of that class.

    Scores: ``lac`` is 1 - p; ``aps`` the sum of all probabilities from the highest down to that of the class itself,
    equals by the order of the layers. With quantiles of rank ceil((n + 1) (1 - alpha)) of n scores of samples of the
    class that were not trained on, the true class is in the set with a probability of 1 - alpha.

    Args:
        probabilities: (class, y, x) float32, NaN = no data; rescaled to a sum of 1 first.
        quantiles: one a class; infinity puts the class into every set.
        method: which score.

    Raises:
        InputError: the array is of another type or shape, or has not as many classes as quantiles.
        UsageError: there is no such method.

    Source: Sadinle et al. 2019 (LAC), Romano et al. 2020 (APS, without randomisation), Vovk 2012 (by class).
    """
    if method not in SET_METHODS:
        raise UsageError(f"there is no method {method!r} for confidence sets: expected {' or '.join(SET_METHODS)}.")
    p, limits = _checked(probabilities), np.asarray(quantiles, np.float64)
    if limits.shape != (len(p),) or np.isnan(limits).any():
        raise InputError(f"confidence sets of {len(p)} classes need as many quantiles, not {limits.size}.")
    members, size = np.zeros(p.shape, np.bool_), np.full(p.shape[1:], NO_DATA, np.uint8)
    _choose(p, limits, method == "aps", members, size)
    return ConfidenceSets(members, size)


def _checked(probabilities: Float32) -> Float32:
    if probabilities.ndim != 3 or probabilities.dtype != np.float32 or len(probabilities) == 0:
        raise InputError(
            f"probabilities are {probabilities.dtype} {probabilities.shape}: expected float32 (class, y, x)."
        )
    return np.ascontiguousarray(probabilities)


@_compiled  # type: ignore[untyped-decorator]
def _measure(p: Float32, codes: Codes, out: Codes) -> None:
    classes, height, width = p.shape
    steps, most = 1 / 0.004, np.log(max(classes, 2))
    for y in range(height):
        for x in range(width):
            total, best, first, second, entropy = 0.0, 0, -1.0, 0.0, 0.0
            for k in range(classes):
                value = np.float64(p[k, y, x])
                total += value
                if value > first:
                    best, first, second = k, value, max(first, 0.0)
                elif value > second:
                    second = value
                entropy -= value * np.log(value) if value > 0 else 0.0
            if not total > 0:
                continue
            # The entropy of p / total from that of p.
            entropy = entropy / total + np.log(total)
            out[0, y, x] = codes[best]
            out[1, y, x] = np.uint8(np.rint(steps * min(first / total, 1.0)))
            out[2, y, x] = np.uint8(np.rint(steps * min((first - second) / total, 1.0)))
            out[3, y, x] = np.uint8(np.rint(steps * min(max(entropy / most, 0.0), 1.0)))


@_compiled  # type: ignore[untyped-decorator]
def _choose(p: Float32, limits: NDArray[np.float64], cumulative: bool, members: NDArray[np.bool_], size: Codes) -> None:
    classes, height, width = p.shape
    for y in range(height):
        for x in range(width):
            total = 0.0
            for k in range(classes):
                total += p[k, y, x]
            if not total > 0:
                continue
            count = 0
            for k in range(classes):
                own = p[k, y, x]
                score = total - own
                if cumulative:
                    score = np.float64(own)
                    for j in range(classes):
                        if p[j, y, x] > own or (p[j, y, x] == own and j < k):
                            score += p[j, y, x]
                if score / total <= limits[k]:
                    members[k, y, x] = True
                    count += 1
            size[y, x] = count
