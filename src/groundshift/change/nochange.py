"""The statistics of no change: what differences look like where nothing changed, and how unlikely a pixel then is.

Centre and scatter by minimum covariance determinant, freed of what changed (:mod:`groundshift.change.populations`),
and the law of the squared distance D^2 with a tail as heavy as the data's own (:mod:`groundshift.change.radial`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numba
import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from groundshift.change.populations import (
    Central,
    Mixture,
    as_a_whole,
    by_directions,
    changed_starts,
    expectation,
    refined,
)
from groundshift.change.radial import RadialLaw, fewer_beyond, own_tail, spread_over_bands
from groundshift.errors import GroundshiftWarning, InputError, ManyChangesWarning, NoDataError, NormalisationWarning
from groundshift.numerics.robust import McdOptions, Scatter, mcd, median_mad, whitened_squares

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

LEVELS = (99.0, 99.9, 99.99)
_LARGEST = float(np.finfo(np.float32).max)
FEWEST_PER_BAND = 50

_FLOOR = 1e-4
_SEARCH = 60_000
_POPULATIONS = 16
_UNEVEN = 0.04
_ROUGH = 150_000
_TABLE_FIRST, _TABLE_STEPS = -16, 64
_GRID = _TABLE_FIRST + np.arange(60 * _TABLE_STEPS + 1) / _TABLE_STEPS


@dataclass(frozen=True)
class NoChangeOptions:
    """How the statistics of no change are taken."""

    normalization: Literal["full", "diag"] = "full"
    """full: whitened by the covariance; diag: band by band (SatCen S2-CD), with the threshold of correlated bands."""
    estimator: Literal["robust", "textbook"] = "robust"
    """textbook: mean and standard deviation band by band, chi-squared; for parity, wrong on real pairs."""
    samples: int = 400_000
    """Differences that are looked at, at most; the rest is held out for the report."""
    tail: Literal["auto", "separate", "whole"] = "auto"
    """separate: changed populations are told from the unchanged one and left out of its tail; whole: a heavy tail is
    no change's own; auto: separate where the noise is one elliptical population, whole where it is not (real pairs)."""
    seed: int = 0
    """Seed of every random choice."""

    def __post_init__(self) -> None:
        if self.normalization not in ("full", "diag") or self.estimator not in ("robust", "textbook"):
            raise InputError(
                f"normalization is full or diag and estimator is robust or textbook, "
                f"not {self.normalization!r} and {self.estimator!r}"
            )
        if self.tail not in ("auto", "separate", "whole"):
            raise InputError(f"tail is auto, separate or whole, not {self.tail!r}")
        if self.samples < 1000:
            raise InputError(f"samples is at least 1000, not {self.samples}")


@dataclass(frozen=True)
class NoChange:
    """Differences where nothing changed: centre, scatter and the law of D^2. Plain numbers: prints as JSON, pickles."""

    location: tuple[float, ...]
    """Centre of each band, in the unit of the differences."""
    covariance: tuple[tuple[float, ...], ...]
    """Scatter (p, p), scaled so that half of the unchanged samples lie where half of normal ones would."""
    law_scale: float
    """s of D^2 / (p s) ~ F(p, nu)."""
    inverse_nu: float
    """1 / nu of that law; 0: chi-squared."""
    unchanged_share: float
    """Share of the samples that did not change."""
    samples: int
    """Samples that this was fitted on."""
    normalization: Literal["full", "diag"] = "full"
    """What D^2 is: squared length of the whitened difference, or of the band by band normalised one."""
    estimator: Literal["robust", "textbook"] = "robust"
    """Where centre, scatter and law come from."""
    dropped: tuple[int, ...] = ()
    """Bands that are constant: they have no part in D^2."""
    floored: bool = False
    """All differences are the same: widths are a floor of 0.0001, not measured."""
    unevenness: float = 0.0
    """How far directions differ beyond chance: about 0 for elliptical noise, with changes beside it or without."""
    tail: tuple[tuple[float, float], ...] = ()
    """Logarithm of the law's tail, and what to add where the samples' own tail is surely another; empty: nowhere."""
    held_out: tuple[tuple[float, float], ...] = field(default=())
    """Confidence in percent, and share of the held-out samples beyond its threshold, changed ones included."""

    @property
    def bands(self) -> int:
        """Bands of the differences, dropped ones included."""
        return len(self.location)

    @property
    def kept(self) -> list[int]:
        """Bands that have a part in D^2."""
        return [band for band in range(self.bands) if band not in self.dropped]

    @cached_property
    def sigma(self) -> Float64:
        """Width of each band (p,), in the unit of the differences; inf for dropped bands."""
        width = np.full(self.bands, np.inf)
        width[self.kept] = np.sqrt(np.diag(np.array(self.covariance))[self.kept])
        return width

    @cached_property
    def whitener(self) -> Float64:
        """Lower triangular (p, p): rows turn differences into white ones; zero for dropped bands."""
        return self._spread_out(np.linalg.inv(np.linalg.cholesky(self._kept_covariance())))

    @property
    def law(self) -> RadialLaw:
        """Law of the whitened D^2 under no change, before the samples' own tail."""
        return RadialLaw(len(self.kept), self.law_scale, self.inverse_nu)

    @property
    def warnings(self) -> tuple[GroundshiftWarning, ...]:
        """What a user should know, as named warnings."""
        found: list[GroundshiftWarning] = []
        if self.floored:
            found.append(NormalisationWarning("all differences are the same: no noise to measure change against"))
        if self.dropped:
            bands = ", ".join(str(band + 1) for band in self.dropped)
            found.append(
                NormalisationWarning(f"the difference is constant in band {bands}: left out of the statistics")
            )
        if self.unchanged_share < 0.7:
            found.append(
                ManyChangesWarning(
                    f"{100 * (1 - self.unchanged_share):.0f} % of the sample looks changed: "
                    "the statistics of no change are in doubt; a larger area would settle them"
                )
            )
        return tuple(found)

    def distance2(self, differences: ArrayLike) -> Float32:
        """Return D^2 (...) as float32 of differences (p, ...); NaN where any band is NaN. Works without the GIL."""
        flat, shape = self._flat(differences)
        out = np.empty(flat.shape[1], np.float32)
        rows = self.whitener if self.normalization == "full" else np.diag(1 / self.sigma)
        whitened_squares(flat, np.array(self.location, np.float32), rows.astype(np.float32), out)
        return out.reshape(shape)

    def whiten(self, differences: ArrayLike) -> Float32:
        """Return differences (p, ...) with the correlation taken out: unit scatter, centre 0."""
        flat, shape = self._flat(differences)
        centred = flat - np.array(self.location, np.float32)[:, None]
        return (self.whitener.astype(np.float32) @ centred).reshape(self.bands, *shape)

    def standardise(self, differences: ArrayLike) -> Float32:
        """Return differences (p, ...) centred and divided by the width of their band; 0 in dropped bands."""
        flat, shape = self._flat(differences)
        centred = flat - np.array(self.location, np.float32)[:, None]
        return (centred * (1 / self.sigma).astype(np.float32)[:, None]).reshape(self.bands, *shape)

    def p_value(self, distance2: ArrayLike) -> Float32:
        """Return the probability of a larger D^2 under no change, float32, at least 1e-37; NaN stays NaN."""
        squared = np.ascontiguousarray(distance2, dtype=np.float32)
        out = np.empty(squared.size, np.float32)
        _look_up_tail(squared.reshape(-1), self._log_tail, out)
        return out.reshape(squared.shape)

    def threshold(self, confidence_percent: float) -> float:
        """Return the D^2 that the given percentage of unchanged pixels stays below, at most what float32 holds."""
        if not 0 < confidence_percent < 100:
            raise InputError(f"confidence is in percent, between 0 and 100, not {confidence_percent}")
        share = (100 - confidence_percent) / 100
        if not self.tail and not self._correlated:
            return min(self.law.exceeded_by(share), _LARGEST)
        return min(float(np.exp2(np.interp(-np.log(share), -self._log_tail, _GRID))), _LARGEST)

    def report(self) -> dict[str, Any]:
        """Return what the report prints: fit, law, thresholds and realised shares."""
        return {
            "estimator": self.estimator,
            "normalization": self.normalization,
            "samples": self.samples,
            "unchanged_share": self.unchanged_share,
            "unevenness": self.unevenness,
            "nu": None if self.inverse_nu == 0 else 1 / self.inverse_nu,
            "location": list(self.location),
            "sigma": [None if not np.isfinite(width) else float(width) for width in self.sigma],
            "dropped_bands": list(self.dropped),
            "levels": [
                {"confidence": level, "threshold": self.threshold(level), "held_out_share": share}
                for level, share in self.held_out
            ],
        }

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers, from which :meth:`from_json` makes an equal one."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NoChange:
        """Return what :meth:`to_json` was called on."""
        plain = dict(values)
        plain["location"] = tuple(plain["location"])
        plain["covariance"] = tuple(tuple(row) for row in plain["covariance"])
        plain["dropped"] = tuple(plain["dropped"])
        plain["tail"] = tuple((log, added) for log, added in plain["tail"])
        plain["held_out"] = tuple((level, share) for level, share in plain["held_out"])
        return cls(**plain)

    @cached_property
    def _log_tail(self) -> Float64:
        """Natural logarithm of the p-value at D^2 = 2 to the power of :data:`_GRID`."""
        log = np.log(np.maximum(self.law.above(np.exp2(_GRID)), 1e-300))
        if self.tail:
            knots, added = np.array(self.tail).T
            log = np.minimum.accumulate(log + np.interp(-log, -knots, added))
        return self._over_bands(log) if self._correlated else np.asarray(log)

    @property
    def _correlated(self) -> bool:
        """Whether D^2 is a sum over bands that go together."""
        return self.normalization == "diag" and self.estimator == "robust" and len(self.kept) > 1

    def _over_bands(self, log: Float64) -> Float64:
        """The tail of the sum of squares band by band, from the tail of the whitened one."""
        width = np.sqrt(np.diag(self._kept_covariance()))
        eigenvalues = np.linalg.eigvalsh(self._kept_covariance() / np.outer(width, width))
        length, weight = spread_over_bands(np.maximum(eigenvalues, 1e-4))
        shift = np.round(np.log2(length) * _TABLE_STEPS).astype(int)
        share = np.bincount(shift - shift.min(), weight)
        tail, places = np.exp(log), np.arange(log.size)
        summed = np.zeros(log.size)
        for index in np.flatnonzero(share):
            summed += share[index] * tail[np.clip(places - index - shift.min(), 0, log.size - 1)]
        return np.log(np.maximum(summed, 1e-300))

    def _kept_covariance(self) -> Float64:
        return np.array(self.covariance)[np.ix_(self.kept, self.kept)]

    def _spread_out(self, inner: Float64) -> Float64:
        outer = np.zeros((self.bands, self.bands))
        outer[np.ix_(self.kept, self.kept)] = inner
        return outer

    def _flat(self, differences: ArrayLike) -> tuple[Float32, tuple[int, ...]]:
        array = np.ascontiguousarray(differences, dtype=np.float32)
        if array.ndim < 1 or array.shape[0] != self.bands:
            raise InputError(f"differences have {self.bands} bands on their first axis, not shape {array.shape}")
        return array.reshape(self.bands, -1), array.shape[1:]


def fit(differences: NDArray[np.floating], options: NoChangeOptions | None = None) -> NoChange:
    """Fit the statistics of no change to differences of which a minority may be changed.

    ``differences`` is (p, n), after minus before, p from 1; columns that are not finite are left out.
    Raises :class:`NoDataError`, with the counts, for fewer than 50 p usable samples.
    Laws: the order of the samples matters to nothing but chance; scaling a band scales its centre and width and leaves
    D^2 and the law as they are.
    """
    options = options or NoChangeOptions()
    usable = _usable(np.asarray(differences))
    rng = np.random.default_rng(options.seed)
    fitted_on, held_out = _divided(usable, options.samples, rng)
    textbook = options.estimator == "textbook"
    fitted = _textbook(fitted_on, options) if textbook else _robust(fitted_on, options, rng)
    squared = fitted.distance2(held_out)
    shares = tuple((level, float((squared > fitted.threshold(level)).mean())) for level in LEVELS)
    return replace(fitted, held_out=shares)


def _usable(differences: NDArray[np.floating]) -> Float32:
    if differences.ndim != 2 or differences.shape[0] < 1:
        raise InputError(f"differences are (band, sample), not of shape {differences.shape}")
    p, n = differences.shape
    finite = np.isfinite(differences).all(axis=0)
    count = int(finite.sum())
    if count < FEWEST_PER_BAND * p:
        raise NoDataError(
            f"only {count} of {n} pixels are usable on both dates, and the statistics of no change need "
            f"{FEWEST_PER_BAND * p} for {p} bands; take a larger area or fewer bands"
        )
    return np.asarray(differences if count == n else differences[:, finite], dtype=np.float32)


def _divided(usable: Float32, most: int, rng: np.random.Generator) -> tuple[Float32, Float32]:
    """Shuffle; the fit gets four fifths or ``most``, whichever is less, and the report the rest, at most as many."""
    n = usable.shape[1]
    order = rng.permutation(n) if n <= 2 * most else rng.choice(n, 2 * most, replace=False, shuffle=True)
    first = min(most, max(n * 4 // 5, FEWEST_PER_BAND * usable.shape[0]))
    rest = order[first:] if n > first else order
    return np.ascontiguousarray(usable[:, order[:first]]), np.ascontiguousarray(usable[:, rest])


def _textbook(samples: Float32, options: NoChangeOptions) -> NoChange:
    middle = samples.mean(axis=1, dtype=np.float64)
    width = samples.std(axis=1, dtype=np.float64)
    constant = width <= 1e-7 * np.maximum(np.abs(middle), 1e-30)
    floored = bool(constant.all())
    width = np.where(constant, _FLOOR, width)
    return NoChange(
        location=_plain(middle),
        covariance=_rows(np.diag(width**2)),
        law_scale=1.0,
        inverse_nu=0.0,
        unchanged_share=1.0,
        samples=samples.shape[1],
        normalization="diag" if options.normalization == "diag" else "full",
        estimator="textbook",
        dropped=() if floored else tuple(int(band) for band in np.flatnonzero(constant)),
        floored=floored,
    )


def _robust(samples: Float32, options: NoChangeOptions, rng: np.random.Generator) -> NoChange:
    constant = samples.min(axis=1) == samples.max(axis=1)
    if constant.all():
        return replace(_textbook(samples, options), estimator="robust")
    kept = np.flatnonzero(~constant)
    dithered = _dithered(samples[kept], rng)
    centre, spread = median_mad(dithered)
    scaled = ((dithered - centre[:, None].astype(np.float32)) / spread[:, None].astype(np.float32)).astype(np.float32)
    readings = [
        _in_units(central, samples, kept, (centre, spread), options) for central in _central(scaled, options, rng)
    ]
    return min(readings, key=lambda reading: _misses(reading, samples)) if len(readings) > 1 else readings[0]


def _in_units(
    central: Central, samples: Float32, kept: NDArray[np.intp], units: tuple[Float64, Float64], options: NoChangeOptions
) -> NoChange:
    """Back from median 0 and MAD 1 to the unit of the differences; the constant bands as they are."""
    p, n = samples.shape
    centre, spread = units
    location, covariance = samples[:, 0].astype(np.float64), np.zeros((p, p))
    location[kept] = centre + spread * central.scatter.location
    scale = scipy.special.chdtri(kept.size, 0.5) / central.law.exceeded_by(0.5)
    covariance[np.ix_(kept, kept)] = central.scatter.covariance * np.outer(spread, spread) / scale
    return NoChange(
        location=_plain(location),
        covariance=_rows(covariance),
        law_scale=float(scale * central.law.scale),
        inverse_nu=central.law.inverse_nu,
        unchanged_share=central.share,
        samples=n,
        normalization=options.normalization,
        dropped=tuple(band for band in range(p) if band not in kept),
        unevenness=central.unevenness,
        tail=own_tail(central.counts, central.law),
    )


def _misses(reading: NoChange, samples: Float32) -> float:
    """How far the share beyond the 99.9 % threshold is from 0.1 %, in powers of e; too many is three times as bad."""
    realised = float((reading.distance2(samples) > reading.threshold(99.9)).mean())
    miss = float(np.log(max(realised, 1e-6) / 1e-3))
    return 3 * miss if miss > 0 else -miss


def _central(scaled: Float32, options: NoChangeOptions, rng: np.random.Generator) -> list[Central]:
    """The unchanged population of (p, n) samples whose bands have median 0 and MAD 1; two readings where in doubt."""
    start = mcd(scaled, McdOptions(seed=options.seed))
    rows = np.ascontiguousarray(scaled.T)
    rough, _ = by_directions(rows[:_ROUGH], start, rounds=9)
    central, unchanged = by_directions(rows, rough.scatter, rounds=1)
    if options.tail == "whole":
        return _two_readings(central, as_a_whole(rows, start), central.unevenness)
    found = _separated(rows, central, changed_starts(rows, central, unchanged, _POPULATIONS, rng))
    if options.tail == "auto" and found.unevenness > _UNEVEN:
        return _two_readings(central, as_a_whole(rows, start), found.unevenness)
    return [found]


def _separated(rows: Float32, central: Central, mixture: Mixture) -> Central:
    """The central population once the others are told from it; the given one where there is none to tell."""
    if len(mixture.shares) == 1:
        return central
    whitener = central.scatter.whitener.astype(np.float32)
    white = np.ascontiguousarray(whitener @ (rows - central.scatter.location.astype(np.float32)).T)
    search = _SEARCH if central.share < 0.95 else 2 * _SEARCH
    try:
        mixture = refined(np.ascontiguousarray(white[:, :search]), mixture, rounds=60, hold=8)
        mixture = refined(white, mixture, rounds=4)
    except np.linalg.LinAlgError:  # pixels that are exactly alike: a population without extent
        return central
    if mixture.shares[0] < 0.5 or len(mixture.shares) == 1:
        return central
    back = np.linalg.inv(central.scatter.whitener)
    scatter = Scatter(central.scatter.location + back @ mixture.centres[0], back @ mixture.scatters[0] @ back.T)
    again = by_directions(rows, scatter, rounds=0)[0]
    counts = fewer_beyond(expectation(white, mixture).counts, again.counts)
    return Central(scatter, mixture.law, float(mixture.shares[0]), counts, again.unevenness)


def _two_readings(emptiest: Central, whole: Central, unevenness: float) -> list[Central]:
    """By the emptiest directions and by all; how much changed is taken from all, since uneven is not changed."""
    return [replace(reading, share=whole.share, unevenness=unevenness) for reading in (emptiest, whole)]


def _dithered(samples: Float32, rng: np.random.Generator) -> Float32:
    """Spread coarse whole numbers over their step where that is as wide as the noise, and copies of a band a little."""
    out = samples.copy()
    for band, values in enumerate(samples):
        distinct = np.unique(values[:100_000])
        step = np.diff(distinct).min() if distinct.size > 1 else np.ptp(values)
        spread = np.median(np.abs(values - np.median(values)))
        width = 0.5 * step if spread < 2 * step else 1e-3 * spread
        out[band] += np.float32(width) * rng.standard_normal(values.size, dtype=np.float32)
    return out


def _plain(values: Float64) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _rows(values: Float64) -> tuple[tuple[float, ...], ...]:
    return tuple(_plain(row) for row in values)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _look_up_tail(squared: Float32, log_tail: Float64, out: Float32) -> None:
    """Interpolate the logarithm of the tail between values of log D^2."""
    last = log_tail.size - 1
    for k in range(squared.size):
        value = squared[k]
        if np.isnan(value):
            out[k] = np.nan
            continue
        place = (np.log2(max(value, np.float32(1e-30))) - np.float32(_TABLE_FIRST)) * np.float32(_TABLE_STEPS)
        if place <= 0:
            out[k] = 1.0
            continue
        left = min(int(place), last - 1)
        part = min(place - left, 1.0)
        log = log_tail[left] * (1 - part) + log_tail[left + 1] * part
        out[k] = np.exp(max(log, -85.0))
