"""Relative radiometric normalisation: one date brought to the scale of the other by a line for each band.

The lines are fitted on pseudo-invariant pixels. These are found by the robust Mahalanobis distance of the residuals
of the lines themselves, in turns: fit, keep what fits, fit again. Since a change of gain or offset changes the lines
and not what is left beside them, the choice does not lean towards gain 1, as choosing small differences would.

Two things were learnt on real pairs. Keeping only the best fitting half makes the slope of a hazy band run away
(gain 0.7 in the blue where 0.98 is right), so that everything is kept that the law of the residuals explains. And a
line through points without correlation has no meaning however it is fitted: after a fire under smoke all gains were
near 0.5 and the burn was gone. A band whose pixels do not support a line is therefore only shifted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from groundshift.errors import InputError, NormalisationWarning, UsageError
from groundshift.numerics.regression import deming_slope, pairwise_slope

Method = Literal["orthogonal", "robust", "none"]
Role = Literal["before", "after"]

_SHOWN = 3000
_CONCENTRATION_STEPS = 6


@dataclass(frozen=True, kw_only=True)
class NormaliseOptions:
    """How one date is brought to the other."""

    method: Method = "orthogonal"
    """orthogonal: noise in both dates, in proportion to their gain; robust: median of pairwise slopes; none."""
    adjust: Role = "after"
    """The date that is changed."""
    sample_pixels: int = 60_000
    """Pixels that the lines are fitted on, at most; taken evenly."""
    rounds: int = 5
    """Turns of fitting and choosing (3 to 5 in practice)."""
    keep: float = 0.975
    """Share of the no-change law that is kept as invariant; smaller shares make weak slopes run away."""
    min_pixels: int = 1000
    """Invariant pixels needed for a line (SatCen S2-CD notes)."""
    min_r2: float = 0.8
    """Squared correlation of the invariant pixels from which on the gain is believed (SatCen S2-CD notes)."""
    no_r2: float = 0.5
    """At and below it nothing of the gain is believed; between the two it is shrunk towards 1."""
    max_gain: float = 2.0
    """Gains beyond it, or below its inverse, are not atmosphere."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in ("orthogonal", "robust", "none") or self.adjust not in ("before", "after"):
            raise UsageError(f"normalisation {self.method!r} of {self.adjust!r}: expected orthogonal, robust or none.")
        bounds = 0 < self.keep < 1 and 0 <= self.no_r2 < self.min_r2 <= 1 and self.max_gain > 1
        if not bounds or min(self.rounds, self.sample_pixels, self.min_pixels) < 1:
            raise UsageError(f"these normalisation options cannot be: {self}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Normalisation:
    """The lines: reference = gain * adjusted + offset, band by band."""

    adjusted: Role
    gain: NDArray[np.float64]
    """(p,)"""
    offset: NDArray[np.float64]
    """(p,) reflectance."""
    r2: NDArray[np.float64]
    """(p,) squared correlation of the dates over the invariant pixels; nan when nothing was fitted."""
    pixels: int
    """Invariant pixels among the sampled ones."""
    sampled: int
    """Pixels looked at."""
    spread_without: NDArray[np.float64]
    """(p,) spread about a mere shift of held-out invariant pixels: mean orthogonal distance, reflectance."""
    spread_with: NDArray[np.float64]
    """(p,) the same about the line."""
    before: NDArray[np.float32]
    """(p, m) at most 3000 invariant pixels, as they were given."""
    after: NDArray[np.float32]
    """(p, m) the same pixels at the later date, as they were given."""
    warnings: tuple[NormalisationWarning, ...] = ()


def fit(
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    options: NormaliseOptions | None = None,
    bands: tuple[str, ...] | None = None,
) -> Normalisation:
    """Fit the lines that bring one date to the other.

    Args:
        before, after: (p, n) reflectance of the same pixels, usable at both dates; pixels that are not finite are
            passed over.
        options: how.
        bands: names for the warnings.

    Returns:
        Gain and offset of every band. A band that does not support a line keeps gain 1 and is shifted by the median
        difference, and a warning says so.

    Raises:
        InputError: the two arrays do not match.

    Law: an affine change of one date is undone; equal dates give gain 1 and offset 0.
    Source: Canty & Nielsen (2008), Remote Sens. Environ. 112, 1025, for invariant pixels and orthogonal lines.
    """
    options = options or NormaliseOptions()
    if before.ndim != 2 or before.shape != after.shape:
        raise InputError(
            f"normalisation needs two samples of one shape (band, pixel), got {before.shape}, {after.shape}."
        )
    names = bands or tuple(f"band {i + 1}" for i in range(len(before)))
    x, y = (after, before) if options.adjust == "after" else (before, after)
    x, y = _sample(x, y, options.sample_pixels)
    if options.method == "none":
        return _result(
            options, x, y, np.ones(len(x)), np.zeros(len(x)), _unknown(len(x)), np.ones(x.shape[1], bool), []
        )
    if x.shape[1] < options.min_pixels:
        return _too_few(options, x, y)
    return _fit_lines(x, y, options, names)


def apply(normalisation: Normalisation, reflectance: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return gain * reflectance + offset of the date named by ``normalisation.adjusted``.

    A pixel kernel.

    Args:
        normalisation: of :func:`fit`.
        reflectance: (p, ...) of that date.

    Raises:
        InputError: another number of bands.
    """
    if len(reflectance) != normalisation.gain.size:
        raise InputError(f"the normalisation is for {normalisation.gain.size} bands, the image has {len(reflectance)}.")
    shape = (-1, *(1,) * (reflectance.ndim - 1))
    out = reflectance * normalisation.gain.astype(np.float32).reshape(shape)
    out += normalisation.offset.astype(np.float32).reshape(shape)
    return out.astype(np.float32, copy=False)


def _fit_lines(
    x: NDArray[np.float64], y: NDArray[np.float64], options: NormaliseOptions, names: tuple[str, ...]
) -> Normalisation:
    test = np.arange(x.shape[1]) % 3 == 2
    gain, kept = _alternate(x[:, ~test], y[:, ~test], options)
    r2 = np.array([_r2(a[kept], b[kept]) for a, b in zip(x[:, ~test], y[:, ~test], strict=True)])
    better = _better(x[:, test], y[:, test], _usable(gain), options.keep)
    enough = kept.sum() >= min(options.min_pixels, x.shape[1] / 3)
    warnings = []
    for b, name in enumerate(names):
        reason = _objection(gain[b], r2[b], options) if enough else "too few invariant pixels"
        belief = 0.0 if reason else float(np.clip((r2[b] - options.no_r2) / (options.min_r2 - options.no_r2), 0, 1))
        if belief < 1:
            warnings.append(_warning(name, gain[b], r2[b], belief, reason))
        gain[b] = gain[b] ** belief if belief and better[b] else 1.0
    invariant = _invariant(y - gain[:, None] * x, options.keep)
    offset = np.median((y - gain[:, None] * x)[:, invariant], axis=1)
    return _result(options, x, y, gain, offset, r2, invariant, warnings)


def _alternate(
    x: NDArray[np.float64], y: NDArray[np.float64], options: NormaliseOptions
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Fit, keep what fits, fit again."""
    gain = np.array([pairwise_slope(a, b, options.seed) for a, b in zip(x, y, strict=True)])
    for _ in range(options.rounds):
        usable = _usable(gain)
        kept = _invariant(y - usable[:, None] * x, options.keep)
        gain = np.array([_slope(a[kept], b[kept], g, options) for a, b, g in zip(x, y, usable, strict=True)])
    return gain, kept


def _usable(gain: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(gain) & (gain > 0), gain, 1.0)


def _slope(x: NDArray[np.float64], y: NDArray[np.float64], gain: float, options: NormaliseOptions) -> float:
    if options.method == "robust":
        return pairwise_slope(x, y, options.seed)
    (s_xx, s_xy), (_, s_yy) = np.cov(x, y)
    return deming_slope(s_xx, s_yy, s_xy, gain**2)


def _invariant(residual: NDArray[np.float64], keep: float) -> NDArray[np.bool_]:
    """(n,) True where the residuals of all bands together follow the law of their majority."""
    p, n = residual.shape
    centre = np.median(residual, axis=1)
    spread = np.median(np.abs(residual - centre[:, None]), axis=1)
    distance = _distance(residual, centre, np.diag((1.4826 * spread) ** 2))
    for _ in range(_CONCENTRATION_STEPS):
        half = np.argpartition(distance, n // 2)[: n // 2 + 1]
        core = residual[:, half]
        distance = _distance(residual, core.mean(axis=1), np.atleast_2d(np.cov(core)))
    scale = float(np.median(distance)) / scipy.special.chdtri(p, 0.5)
    return np.asarray(distance <= scale * scipy.special.chdtri(p, 1 - keep))


def _distance(
    residual: NDArray[np.float64], centre: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) squared Mahalanobis distance; bands without spread count by their absolute difference."""
    diagonal = np.diag(covariance)
    ridge = np.diag(np.maximum(1e-9 * diagonal, 1e-14))
    whitened = np.linalg.inv(np.linalg.cholesky(covariance + ridge)) @ (residual - centre[:, None])
    return np.asarray(np.einsum("ij,ij->j", whitened, whitened))


def _objection(gain: float, r2: float, options: NormaliseOptions) -> str | None:
    """Why the line of a band is not believed, in words; None when it is, at least in part."""
    if not (math.isfinite(gain) and r2 > options.no_r2):
        return "the two dates hardly correlate"
    if not 1 / options.max_gain <= gain <= options.max_gain:
        return "such a gain is no atmosphere"
    return None


def _better(
    x: NDArray[np.float64], y: NDArray[np.float64], gain: NDArray[np.float64], keep: float
) -> NDArray[np.bool_]:
    """(p,) True where held-out pixels that either the lines or mere shifts call invariant lie nearer to the line."""
    invariant = _invariant(y - gain[:, None] * x, keep) | _invariant(y - x, keep)
    pairs = zip(x[:, invariant], y[:, invariant], gain, strict=True)
    return np.array([_spread(a, b, g) < _spread(a, b, 1.0) for a, b, g in pairs])


def _spread(x: NDArray[np.float64], y: NDArray[np.float64], gain: float) -> float:
    """Mean orthogonal distance to the best line of that gain."""
    residual = y - gain * x
    return float(np.abs(residual - np.median(residual)).mean() / math.hypot(1, gain))


def _r2(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    (s_xx, s_xy), (_, s_yy) = np.cov(x, y)
    return float(s_xy**2 / (s_xx * s_yy)) if s_xx > 0 and s_yy > 0 else 0.0


def _warning(name: str, gain: float, r2: float, belief: float, reason: str | None) -> NormalisationWarning:
    found = f"{name}: the invariant pixels give gain {gain:.2f} with R² {r2:.2f}"
    if reason:
        return NormalisationWarning(f"{found}; {reason}, so the band was only shifted by its median difference.")
    return NormalisationWarning(f"{found}; that is weak, so gain {gain**belief:.2f} was used.")


def _too_few(options: NormaliseOptions, x: NDArray[np.float64], y: NDArray[np.float64]) -> Normalisation:
    n = x.shape[1]
    text = f"only {n} pixels are usable at both dates, {options.min_pixels} are needed for a line: bands were shifted"
    warning = NormalisationWarning(f"{text} by their median difference." if n else f"{text} by nothing.")
    offset = np.median(y - x, axis=1) if n else np.zeros(len(x))
    return _result(options, x, y, np.ones(len(x)), offset, _unknown(len(x)), np.ones(n, bool), [warning])


def _result(
    options: NormaliseOptions,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    gain: NDArray[np.float64],
    offset: NDArray[np.float64],
    r2: NDArray[np.float64],
    invariant: NDArray[np.bool_],
    warnings: list[NormalisationWarning],
) -> Normalisation:
    shown = np.flatnonzero(invariant)
    shown = shown[:: max(1, -(-shown.size // _SHOWN))]
    held_out = invariant & (np.arange(x.shape[1]) % 3 == 2)
    lines = list(zip(x[:, held_out], y[:, held_out], gain, strict=True)) if held_out.any() else []
    before, after = (y, x) if options.adjust == "after" else (x, y)
    return Normalisation(
        adjusted=options.adjust,
        gain=gain,
        offset=offset,
        r2=r2,
        pixels=int(invariant.sum()),
        sampled=x.shape[1],
        spread_without=np.array([_spread(a, b, 1.0) for a, b, _ in lines]) if lines else _unknown(len(x)),
        spread_with=np.array([_spread(*line) for line in lines]) if lines else _unknown(len(x)),
        before=before[:, shown].astype(np.float32),
        after=after[:, shown].astype(np.float32),
        warnings=tuple(warnings),
    )


def _sample(
    x: NDArray[np.floating], y: NDArray[np.floating], most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    step = max(1, -(-x.shape[1] // most))
    x64, y64 = x[:, ::step].astype(np.float64), y[:, ::step].astype(np.float64)
    finite = np.isfinite(x64).all(axis=0) & np.isfinite(y64).all(axis=0)
    return x64[:, finite], y64[:, finite]


def _unknown(p: int) -> NDArray[np.float64]:
    return np.full(p, np.nan)
