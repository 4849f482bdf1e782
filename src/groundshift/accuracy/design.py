"""Designing a sample of reference points: how many, how many in each class, and which pixels.

How many follows from the precision that is asked for (Cochran 1977, equation 5.25; Olofsson et al. 2014, equation 13).
Which pixels is decided by a number that each pixel has from its row, its column and a seed: within a class those with
the smallest numbers are drawn. So blocks can be looked at in any order and of any size, in bounded memory, and the
sample is always the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groundshift.errors import InputError

Floats = NDArray[np.float64]
Allocation = Literal["rare", "proportional", "equal", "optimal"]
ALLOCATIONS: tuple[Allocation, ...] = ("rare", "proportional", "equal", "optimal")

_MARGIN = 6.0
"""Standard deviations by which the threshold of :func:`thresholds` lets more pixels through than are needed."""


def sample_size(mapped_area: ArrayLike, expected_users_accuracy: ArrayLike, standard_error: float) -> int:
    """Number of points at which overall accuracy has a standard error, if classes are as accurate as expected.

    n = (sum W_i S_i / S(OA))^2 with S_i = sqrt(U_i (1 - U_i)), rounded up; finite populations are not corrected for.

    Args:
        mapped_area: (K,), in any unit.
        expected_users_accuracy: (K,) or one number, 0 to 1.
        standard_error: of overall accuracy, more than 0.

    Raises:
        InputError: one of them is out of range.
    """
    weight, accuracy = _expected(mapped_area, expected_users_accuracy)
    if not 0 < standard_error < 1:
        raise InputError(
            f"the standard error is {standard_error:g}: expected more than 0 and less than 1, such as 0.01."
        )
    exact = float((weight * np.sqrt(accuracy * (1 - accuracy))).sum() / standard_error) ** 2
    return max(1, math.ceil(exact - 1e-9))


def allocate(
    total: int,
    mapped_area: ArrayLike,
    *,
    how: Allocation = "rare",
    expected_users_accuracy: ArrayLike = 0.8,
    minimum: int = 50,
    available: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Share points among the classes of a map.

    Args:
        total: number of points.
        mapped_area: (K,), in any unit.
        how: ``rare``: proportional to area, and at least ``minimum`` in every class (the practice that Olofsson et al.
            2014, section 5.1, recommend); ``proportional``; ``equal``; ``optimal``: by area and spread of each class
            (Neyman), best for overall accuracy and worst for rare classes.
        expected_users_accuracy: (K,) or one number, for ``optimal``.
        minimum: points of a class under ``rare``.
        available: (K,), pixels of each class: no class gets more; None: enough.

    Returns:
        (K,), summing to ``total``, or to the pixels there are, if those are fewer. A class without area gets none;
        any other at least 2, below which it has no variance, where ``total`` is enough for that.

    Raises:
        InputError: an argument is out of range.
    """
    weight, accuracy = _expected(mapped_area, expected_users_accuracy)
    if total < 1 or how not in ALLOCATIONS:
        raise InputError(f"{total} points by {how!r}: expected at least one, by one of {', '.join(ALLOCATIONS)}.")
    there = weight > 0
    most = np.where(there, total, 0)
    if available is not None:
        most = np.minimum(most, np.asarray(available, np.int64))
    wanted = {
        "rare": weight,
        "proportional": weight,
        "equal": there.astype(np.float64),
        "optimal": weight * np.sqrt(accuracy * (1 - accuracy)),
    }[how]
    floor = np.minimum(np.where(there, minimum if how == "rare" else 2, 0), most)
    if floor.sum() > total:
        return _rounded(there.astype(np.float64), min(total, int(most.sum())), np.zeros(len(weight), np.int64), most)
    return _rounded(wanted, min(total, int(most.sum())), floor, most)


def _expected(mapped_area: ArrayLike, accuracy: ArrayLike) -> tuple[Floats, Floats]:
    area = np.asarray(mapped_area, np.float64)
    if area.ndim != 1 or not (np.isfinite(area).all() and (area >= 0).all() and area.sum() > 0):
        raise InputError("mapped areas must be numbers of at least 0, not all 0: expected one a class.")
    given = np.asarray(accuracy, np.float64)
    if given.ndim > 1 or (given.ndim == 1 and given.shape != area.shape):
        raise InputError(
            f"{given.size} expected accuracies for {area.size} classes: expected one a class, or one for all."
        )
    if not ((given >= 0) & (given <= 1)).all():
        raise InputError("an expected user's accuracy is outside 0 to 1: expected a share such as 0.85.")
    return area / area.sum(), np.broadcast_to(given, area.shape)


def _rounded(wanted: Floats, total: int, floor: NDArray[np.int64], most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole numbers between bounds, summing to ``total``, as proportional to ``wanted`` as that goes."""
    low, high = 0.0, 1.0
    share = np.maximum(wanted, 1e-12)
    while np.clip(share * high, floor, most).sum() < total and high < 1e30:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(share * middle, floor, most).sum() < total else (low, middle)
    exact = np.clip(share * high, floor, most)
    found = np.clip(np.floor(exact + 1e-9).astype(np.int64), floor, most)
    for k in np.argsort(-(exact - found), kind="stable"):
        found[k] += min(max(total - int(found.sum()), 0), 1, int(most[k] - found[k]))
    return found


# --- drawing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pixels that may be drawn; ``a`` and ``b`` of two blocks are joined by :func:`merged`."""

    key: Floats
    """The smaller, the sooner drawn."""
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    code: NDArray[np.int64]
    """Class in the map."""


def thresholds(points: Mapping[int, int], weight: Mapping[int, float]) -> dict[int, float]:
    """Keys above which no pixel of a class can be among those drawn, but for one map in a billion.

    Args:
        points: how many are wanted of each class.
        weight: sum of the relative areas of the pixels of each class: their number where all are of one size.
    """
    return {code: (n + _MARGIN * math.sqrt(n) + _MARGIN**2) / max(weight[code], 1e-300) for code, n in points.items()}


def candidates(
    codes: NDArray[np.integer],
    valid: NDArray[np.bool_],
    limit: Mapping[int, float],
    *,
    seed: int,
    origin: tuple[int, int] = (0, 0),
    relative_area: NDArray[np.floating] | None = None,
) -> Candidates:
    """Pixels of one block whose keys do not exceed the limit of their class.

    A key is a uniform number divided by the area of the pixel: drawing the smallest is simple random sampling where
    pixels are of one size, and sampling with probability proportional to area where they are not (sequential Poisson
    sampling; Ohlsson 1998, *J. Official Statistics* 14:149).

    Args:
        codes: (y, x), the map.
        valid: (y, x), True = known.
        limit: from :func:`thresholds`; classes that are not in it are not drawn.
        seed: of the sample.
        origin: row and column of the first pixel of the block in the map.
        relative_area: (y, 1) or (y, x), areas of the pixels with mean about 1; None: all alike.
    """
    rows, columns = codes.shape
    row, column = np.arange(rows)[:, None] + origin[0], np.arange(columns)[None] + origin[1]
    key = uniform(row, column, seed)
    if relative_area is not None:
        key = key / relative_area
    at_most = np.zeros(codes.shape)
    for code, most in limit.items():
        at_most[codes == code] = most
    y, x = np.nonzero(valid & (key < at_most))
    return Candidates(key[y, x], y + origin[0], x + origin[1], codes[y, x].astype(np.int64))


def uniform(row: NDArray[np.integer], column: NDArray[np.integer], seed: int) -> Floats:
    """A number from 0 to 1 for every pixel, a hash of its place and the seed (SplitMix64; Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        mixed = _mixed(_mixed(np.uint64(seed % 2**64)) ^ np.asarray(row).astype(np.uint64))
        mixed = _mixed(mixed ^ np.asarray(column).astype(np.uint64))
    found: Floats = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return found


def _mixed(value: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    mixed = np.asarray(value, np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def merged(parts: Sequence[Candidates]) -> Candidates:
    """Candidates of several blocks; the order of the blocks does not matter to :func:`drawn`."""
    return Candidates(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("key", "row", "column", "code"))
    )


def drawn(pool: Candidates, points: Mapping[int, int]) -> Candidates:
    """The pixels with the smallest keys of each class, in the order of rows and columns.

    Law: the same for any blocks that the pool came from; a larger sample holds the smaller one.

    Raises:
        InputError: the pool holds too few of a class: its limit was too low.
    """
    order = np.lexsort((pool.column, pool.row, pool.key))
    kept = []
    for code, wanted in points.items():
        of_class = order[pool.code[order] == code]
        if len(of_class) < wanted:
            raise InputError(f"class {code} has {len(of_class)} pixels to draw from: expected at least {wanted}.")
        kept.append(of_class[:wanted])
    chosen = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    chosen = chosen[np.lexsort((pool.column[chosen], pool.row[chosen]))]
    return Candidates(pool.key[chosen], pool.row[chosen], pool.column[chosen], pool.code[chosen])
