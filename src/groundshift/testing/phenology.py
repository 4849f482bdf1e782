"""What grows on a parcel, and how green, ripe or in bloom it is on any day: double logistic curves of each class.

A curve rises at one day and falls at another, each with its own steepness (Zhang et al. 2003; Beck et al. 2006); a
class is a sum of them. Crops follow each other: the green of autumn belongs to the winter crop of the next year.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundshift.testing import spectra
from groundshift.testing.noise import uniform
from groundshift.testing.spectra import Cover

Float64 = NDArray[np.float64]


class LandCover(IntEnum):
    """Codes of the class map."""

    NONE = 0
    WATER = 1
    FOREST = 2
    GRASS = 3
    CEREAL = 4
    RAPESEED = 5
    MAIZE = 6
    BUILT = 7
    BARE = 8


CURVES: dict[LandCover, tuple[tuple[float, float, float, float, float], ...]] = {
    LandCover.FOREST: ((0.18, -400, 1, 800, 1), (0.70, 115, 9, 298, 10)),
    LandCover.GRASS: ((0.42, -400, 1, 800, 1), (0.42, 94, 14, 305, 18)),
    LandCover.CEREAL: ((0.26, -60, 14, 188, 6), (0.62, 94, 10, 188, 6)),
    LandCover.RAPESEED: ((0.44, -100, 12, 182, 7), (0.44, 86, 10, 182, 7)),
    LandCover.MAIZE: ((0.88, 163, 9, 266, 9),),
    LandCover.BARE: ((0.06, -400, 1, 800, 1), (0.24, 125, 16, 285, 20)),
}
"""Height, day of rise, its steepness, day of fall, its steepness; days of the year of harvest in central Europe."""

_CONIFER = ((0.74, -400.0, 1.0, 800.0, 1.0), (0.10, 110.0, 12.0, 300.0, 15.0))
_CATCH_CROP = ((0.50, 245.0, 9.0, 345.0, 12.0),)
_WINTER = (LandCover.CEREAL, LandCover.RAPESEED)
_ROTATION = ((LandCover.CEREAL, 0.38), (LandCover.RAPESEED, 0.19), (LandCover.MAIZE, 0.31), (LandCover.BARE, 0.12))
_FIELDS = (Cover.CEREAL, Cover.MAIZE, Cover.STUBBLE, Cover.BARE)
_CLASS_OF = {
    Cover.WATER: LandCover.WATER,
    Cover.FOREST: LandCover.FOREST,
    Cover.RIPARIAN: LandCover.FOREST,
    Cover.GRASS: LandCover.GRASS,
    Cover.GARDEN: LandCover.GRASS,
    Cover.ROOF: LandCover.BUILT,
    Cover.BUILT: LandCover.BUILT,
    Cover.ASPHALT: LandCover.BUILT,
}
_GREEN = {
    LandCover.GRASS: Cover.GRASS,
    LandCover.CEREAL: Cover.CEREAL,
    LandCover.RAPESEED: Cover.CEREAL,
    LandCover.MAIZE: Cover.MAIZE,
    LandCover.BARE: Cover.GRASS,
}
"""The cover whose spectrum a class has when it is at its greenest."""
_BLOOM_DAY, _BLOOM_DAYS = 118.0, 6.0
_SANDY: Float64 = np.array([0.09, 0.12, 0.17, 0.23, 0.26, 0.28, 0.29, 0.31, 0.33, 0.33, 0.001, 0.42, 0.36])
_YELLOW: Float64 = np.array([0.03, 0.045, 0.135, 0.10, 0.17, 0.34, 0.40, 0.43, 0.44, 0.44, 0.001, 0.22, 0.11])
_CONIFER_DARK = np.array([0.9, 0.85, 0.75, 0.8, 0.75, 0.68, 0.65, 0.64, 0.64, 0.64, 1.0, 0.62, 0.62])
_FARMING, _ORDER = 811, 877
_DRAWS = 12
_RISE, _RISE_2, _FALL, _FALL_2, _HEIGHT, _FAILED, _CATCH, _PLOUGH, _CUTS, _CUT_DAY, _CONIFERS, _BLOOM = range(_DRAWS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Parcels:
    """Parcels, buildings and stands of trees in one year, all (n,) unless said otherwise."""

    cover: NDArray[np.uint8]
    land: NDArray[np.uint8]
    """Class of the year, of :class:`LandCover`."""
    following: NDArray[np.uint8]
    """Class of the year after."""
    draws: Float64
    """(n, 12) uniform in [0, 1): how this parcel differs from others of its class in this year."""
    green: Float64
    """(n, 13) spectrum where plants cover the ground."""
    ground: Float64
    """(n, 13) spectrum of the ground between them."""


def parcels(seed: int, year: int, keys: NDArray[np.uint64], cover: NDArray[np.uint8], sand: float) -> Parcels:
    """Decide what grows where.

    Args:
        seed: of the landscape.
        year: of the harvest.
        keys: (n,) of parcels.
        cover: (n,) codes of :class:`Cover`.
        sand: share of sand in the soil, 0..1.
    """
    land, following = (_land(cover, hashed_draws(seed + _ORDER, y, keys, 1)[:, 0]) for y in (year, year + 1))
    draws = hashed_draws(seed + _FARMING, year, keys, _DRAWS)
    table = spectra.COVER_SPECTRA.astype(np.float64)
    stands = np.array([_GREEN.get(LandCover(c), Cover.FOREST) for c in range(len(LandCover))])
    green = table[np.where(np.isin(cover, _FIELDS), stands[land], cover)]
    green[cover == Cover.GARDEN] = table[Cover.GRASS]
    dark = (_conifers(draws) * (cover == Cover.FOREST))[:, np.newaxis]
    green *= 1 - dark * (1 - _CONIFER_DARK)
    soil = (1 - sand) * table[Cover.BARE] + sand * _SANDY
    ground = np.where(_grows(cover)[:, np.newaxis], soil, table[cover])
    ground[cover == Cover.GARDEN] = 0.5 * (soil + table[Cover.BUILT])
    ground[land == LandCover.FOREST] = 0.55 * table[Cover.STUBBLE]
    return Parcels(cover=cover, land=land, following=following, draws=draws, green=green, ground=ground)


def _grows(cover: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return ~np.isin(cover, (Cover.WATER, Cover.ROOF, Cover.BUILT, Cover.ASPHALT))


def _land(cover: NDArray[np.uint8], draw: Float64) -> NDArray[np.uint8]:
    """Class of each parcel; on fields it is drawn."""
    crops, shares = zip(*_ROTATION, strict=True)
    drawn = np.array(crops, np.uint8)[np.searchsorted(np.cumsum(shares)[:-1], draw, side="right")]
    fixed = np.array([_CLASS_OF.get(Cover(c), LandCover.NONE) for c in range(len(Cover))], np.uint8)
    return np.where(np.isin(cover, _FIELDS), drawn, fixed[cover]).astype(np.uint8)


def greenness(known: Parcels, day: float, amplitude: float = 1.0) -> Float64:
    """Share of the ground that green plants cover on a day of the year, (n,) 0..0.95; 0 where nothing grows."""
    draws, total = known.draws, np.zeros(len(known.land))
    rise = 30 * (draws[:, _RISE] + draws[:, _RISE_2] - 1)
    fall = 22 * (draws[:, _FALL] + draws[:, _FALL_2] - 1)
    height = (0.72 + 0.36 * draws[:, _HEIGHT]) * np.where(draws[:, _FAILED] < 0.05, 0.5, 1.0)
    for kind, curves in CURVES.items():
        here = known.land == kind
        total[here] = (height * curve(curves, day, rise, fall))[here]
        if kind in _WINTER:
            total += (known.following == kind) * 0.9 * curve(curves, day - 365, rise, fall)
    catch = np.isin(known.land, _WINTER) & ~np.isin(known.following, _WINTER) & (draws[:, _CATCH] < 0.5)
    total += catch * curve(_CATCH_CROP, day, rise, fall)
    needles = _conifers(draws) * (known.cover == Cover.FOREST)
    total = (1 - needles) * total + needles * curve(_CONIFER, day, rise, fall)
    total *= np.where(known.land == LandCover.GRASS, _mown(draws, day), 1.0)
    return np.asarray(np.clip(amplitude * total, 0, 0.95) * _grows(known.cover))


def spectrum(known: Parcels, day: float, green: Float64, wet: float) -> Float64:
    """Reflectance of each parcel on a day, (n, 13).

    Args:
        known: the parcels.
        day: of the year.
        green: (n,) share of green cover, of :func:`greenness`.
        wet: how much darker the soil is than when dry, 0..1.
    """
    draws, straw = known.draws, spectra.COVER_SPECTRA[Cover.STUBBLE].astype(np.float64)
    fall = 22 * (draws[:, _FALL] + draws[:, _FALL_2] - 1)
    harvest = np.select([known.land == k for k in (*_WINTER, LandCover.MAIZE)], [184, 178, 264], 1000) + fall
    ploughed = harvest + 15 + 45 * draws[:, _PLOUGH]
    dry = 0.85 * _logistic((day - harvest) / 5) * _logistic((ploughed - day) / 3)
    dry = np.where(known.land == LandCover.GRASS, 0.45, dry)[:, np.newaxis]
    soil = np.where(_grows(known.cover)[:, np.newaxis], known.ground * (1 - wet), known.ground)
    when = _BLOOM_DAY + 0.5 * 30 * (draws[:, _RISE] + draws[:, _RISE_2] - 1)
    bloom = (0.3 + 0.6 * draws[:, _BLOOM]) * np.exp(-0.5 * ((day - when) / _BLOOM_DAYS) ** 2)
    bloom = (bloom * (known.land == LandCover.RAPESEED))[:, np.newaxis]
    plants = (1 - bloom) * known.green + bloom * _YELLOW
    share = green[:, np.newaxis]
    return np.asarray(share * plants + (1 - share) * ((1 - dry) * soil + dry * straw))


def curve(
    parts: tuple[tuple[float, float, float, float, float], ...], day: float, rise: Float64, fall: Float64
) -> Float64:
    """Sum of double logistic curves on a day, (n,), each displaced by that many days at its rise and its fall."""
    total = np.zeros(len(rise))
    for height, start, steep, end, gentle in parts:
        total += height * _logistic((day - start - rise) / steep) * _logistic((end + fall - day) / gentle)
    return total


def _logistic(x: Float64) -> Float64:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def _conifers(draws: Float64) -> Float64:
    """Share of conifers in a stand: most are nearly pure."""
    return np.asarray(0.5 - 0.5 * np.cos(math.pi * draws[:, _CONIFERS]))


def _mown(draws: Float64, day: float) -> Float64:
    """What mowing leaves of the green of a meadow: up to four cuts, each grown over within weeks."""
    left, cuts = np.ones(len(draws)), np.floor(5 * draws[:, _CUTS])
    for k in range(4):
        since = day - (138 + 42 * k + 25 * draws[:, _CUT_DAY])
        left *= 1 - 0.55 * (cuts > k) * (since > 0) * np.exp(-np.maximum(since, 0) / 13)
    return left


def hashed_draws(seed: int, year: int, keys: NDArray[np.uint64], count: int) -> Float64:
    """(n, count) uniform numbers in [0, 1), of seed, year and key alone."""
    result: Float64 = _draws(seed, year, keys, count)
    return result


@njit(cache=True, nogil=True)
def _draws(seed, year, keys, count):  # type: ignore[no-untyped-def]
    result = np.empty((keys.size, count))
    for i in range(keys.size):
        for k in range(count):
            result[i, k] = uniform(seed + 7 * k, year, np.int64(keys[i]))
    return result
