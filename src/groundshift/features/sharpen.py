"""Coarse bands sharpened by fine ones: the 20 and 60 m bands of Sentinel-2 at 10 m.

Around every coarse pixel the band is regressed on the fine bands averaged to its resolution; the slopes then turn what
the fine bands show within a coarse pixel into what the band would show there. The band itself, interpolated smoothly,
stays underneath:

    x = S(y) + sum_i a_i (g_i - S(mean g_i))

with S an interpolation that keeps means, so that each coarse pixel keeps its value. A ladder of rungs is climbed down
where that cannot be done or does not help: guided, smooth (a = 0), nearest, missing.

Laws: the mean of the fine pixels of a coarse one is its value, to the rounding of float32; cutting the image into
blocks with the declared halo changes nothing, to the last bit; what is missing never spreads and is never filled.

Sources: guided filter (He, Sun and Tang 2013); smooth interpolation by polynomials of given cell averages (Harten and
others 1987); the trial one scale coarser is the protocol of Wald, Ranchin and Mangolini (1997).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.features import sharpen_kernels as kernels

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Rung = Literal["nearest", "smooth", "guided"]

MISSING, NEAREST, SMOOTH, GUIDED = kernels.MISSING, kernels.NEAREST, kernels.SMOOTH, kernels.GUIDED
"""Codes of the rung that was used."""

_CODES: dict[Rung, int] = {"nearest": NEAREST, "smooth": SMOOTH, "guided": GUIDED}
_TRIAL_FACTOR = 2
_TRIAL_PIXELS = 100
"""Pixels of a trial below which it decides nothing."""
_CONFIRMED = 0.4
"""Least share of the detail that a trial must confirm. It is near 1 where a relation holds; a blur that the bands have
and the fine detail has not took it down to 0.5; of mirrored real bands it confirmed 0 to 0.34."""


@dataclass(frozen=True, kw_only=True)
class SharpenOptions:
    """How coarse bands are sharpened. Defaults: Wald's protocol on five real scenes (benchmarks/sharpening.py)."""

    radius: int = 2
    """In coarse pixels: of the window of the regression, and of the mean of its slopes. 3 and 5 smear the relation: 1
    to 6 % worse where bands were made coarser by plain means, up to 3 % better where they were blurred."""
    ridge: float = 1e-5
    """In reflectance squared, added to the variances of the fine bands: a window of water or of one field, whose
    variance is noise, gets slopes near 0. From 1e-6 to 1e-4 the error changes by less than 4 %."""
    minimum_valid: float = 0.6
    """Share of a window that must be there for a fit, and of 3 x 3 pixels for the smooth interpolation: a straight
    edge of the image passes, its corners do not."""
    overshoot: float = 1.0
    """How far a fine pixel may lie beyond the coarse ones of its window, in units of their range; below 0 only where
    one of them is. Roofs that glint would otherwise throw rings."""
    rungs: tuple[Rung, ...] = ()
    """Highest rung of each band; none: ``guided`` for all. `choose` fills it in."""

    def __post_init__(self) -> None:
        if not 1 <= self.radius <= 50:
            raise UsageError(f"the window of a regression has a radius of 1 to 50 coarse pixels, not {self.radius}.")
        if not 0 < self.ridge < math.inf or not 0 <= self.overshoot < math.inf:
            raise UsageError(
                f"sharpening needs a ridge above 0 and an overshoot of 0 or more, "
                f"not {self.ridge} and {self.overshoot}."
            )
        if not 0 < self.minimum_valid <= 1:
            raise UsageError(f"minimum_valid is a share above 0 and up to 1, not {self.minimum_valid}.")
        for rung in self.rungs:
            if rung not in get_args(Rung):
                raise UsageError(f"there is no rung {rung!r}: expected one of {', '.join(get_args(Rung))}.")


@dataclass(frozen=True, eq=False)
class Sharpened:
    """Coarse bands at the fine resolution."""

    values: Float32
    """(b, y, x); NaN where the coarse band is missing."""
    used: NDArray[np.uint8]
    """(b, Y, X): `MISSING`, `NEAREST`, `SMOOTH` or `GUIDED`."""


@dataclass(frozen=True)
class Trial:
    """What became of bands that were made coarser and sharpened again, each number for one band."""

    detail: tuple[float, ...]
    """Sum of squares of the detail: of what the guided rung adds to the smooth one."""
    confirmed: tuple[float, ...]
    """Sum of products of that detail and of what the smooth one truly lacks."""
    pixels: tuple[int, ...]
    """Pixels that were compared."""


def halo_coarse_px(options: SharpenOptions | None = None) -> int:
    """Coarse pixels around a block that its result depends on; as fine pixels, times the factor."""
    return 2 * (options or SharpenOptions()).radius


def sharpen(coarse: Float32, fine: Float32, factor: int, options: SharpenOptions | None = None) -> Sharpened:
    """Bring coarse bands to the resolution of fine ones.

    A coarse pixel takes part in the fits where all guided bands and all fine pixels in it are there.

    Args:
        coarse: (b, Y, X) reflectance; NaN = missing.
        fine: (f, y, x) reflectance of the guides, y = factor Y, x = factor X; NaN = missing.
        factor: fine pixels along a coarse one, 2 for the bands of 20 m and 6 for those of 60 m.
        options: how, and which bands at all (`choose`).

    Raises:
        InputError: arrays that do not fit each other.
        UsageError: another number of rungs than of bands.
    """
    options = options or SharpenOptions()
    _check(coarse, fine, factor)
    bands = coarse.shape[0]
    if options.rungs and len(options.rungs) != bands:
        raise UsageError(f"there are {len(options.rungs)} rungs for {bands} bands: expected one a band, or none.")
    valid = np.isfinite(coarse)
    coarse = np.where(valid, coarse, np.float32(0)).astype(np.float32)
    fine = np.ascontiguousarray(fine, np.float32)
    guide, whole = _means(fine, factor)
    highest = np.array([_CODES[rung] for rung in options.rungs or ("guided",) * bands], np.uint8)
    mask = whole & valid[highest == GUIDED].all(axis=0)
    slopes = _slopes(coarse, guide, mask, highest, options)
    values, used = np.empty((bands, *fine.shape[1:]), np.float32), np.empty(coarse.shape, np.uint8)
    rules = (options.radius, options.minimum_valid, options.overshoot)
    weights = interpolation_weights(factor)
    kernels.divide(coarse, valid, fine, guide, mask, slopes, weights, highest, rules, values, used)
    return Sharpened(values, used)


def summarise(coarse: Float32, fine: Float32, factor: int, options: SharpenOptions | None = None) -> Trial:
    """Try the guided rung on a block one scale coarser, where the answer is known: on the coarse bands themselves.

    The coarse bands are made coarser by 2, sharpened with the fine bands averaged to the resolution that they had, and
    compared with what they were. Pixels that could not be guided are not counted.

    Args:
        coarse, fine, factor, options: as of `sharpen`; the rungs of the options are not looked at.
    """
    _check(coarse, fine, factor)
    bands = coarse.shape[0]
    plain: tuple[Rung, ...] = ("smooth",) * bands
    options = replace(options or SharpenOptions(), rungs=())
    height, width = (n // _TRIAL_FACTOR * _TRIAL_FACTOR for n in coarse.shape[1:])
    if not height or not width:
        return Trial((0.0,) * bands, (0.0,) * bands, (0,) * bands)
    known = np.ascontiguousarray(coarse[:, :height, :width], np.float32)
    guide, whole = _means(np.ascontiguousarray(fine, np.float32), factor)
    guide = np.where(whole, guide, np.float32(np.nan))[:, :height, :width]
    coarser = np.stack([_mean_or_nan(band, _TRIAL_FACTOR) for band in known])
    guided = sharpen(coarser, guide, _TRIAL_FACTOR, options)
    smooth = sharpen(coarser, guide, _TRIAL_FACTOR, replace(options, rungs=plain)).values
    at = (guided.used == GUIDED).repeat(_TRIAL_FACTOR, axis=1).repeat(_TRIAL_FACTOR, axis=2)
    detail = np.where(at, guided.values.astype(np.float64) - smooth, 0)
    lacking = np.where(at, known.astype(np.float64) - smooth, 0)
    pixels = tuple(int(number) for number in at.sum(axis=(1, 2)))
    return Trial(_sums(detail * detail), _sums(detail * lacking), pixels)


def merge(first: Trial, second: Trial) -> Trial:
    """Return the trial over the blocks of both, in any order."""
    if len(first.pixels) != len(second.pixels):
        raise InputError(
            f"trials of {len(first.pixels)} and {len(second.pixels)} bands do not go together: expected the same bands."
        )
    return Trial(
        tuple(a + b for a, b in zip(first.detail, second.detail, strict=True)),
        tuple(a + b for a, b in zip(first.confirmed, second.confirmed, strict=True)),
        tuple(a + b for a, b in zip(first.pixels, second.pixels, strict=True)),
    )


def choose(trial: Trial, options: SharpenOptions | None = None) -> SharpenOptions:
    """Return the options with a rung for each band: smooth where the trial confirms less than 40 % of the detail.

    Where fewer than 100 pixels could be compared a band stays guided. Choose once for a whole image: then blocks of
    it agree.
    """
    rungs: list[Rung] = [
        "smooth" if pixels >= _TRIAL_PIXELS and confirmed < _CONFIRMED * detail else "guided"
        for detail, confirmed, pixels in zip(trial.detail, trial.confirmed, trial.pixels, strict=True)
    ]
    return replace(options or SharpenOptions(), rungs=tuple(rungs))


def interpolation_weights(factor: int) -> Float64:
    """Return the weights (factor, 5) of five cells for the parts of the middle one.

    The polynomial of degree 4 that has the means of the five cells is averaged over each part; the parts of a cell
    therefore have its mean, exactly. Source: reconstruction via primitive function, Harten and others (1987).
    """
    taps = 2 * kernels.REACH + 1
    order = np.arange(1, taps + 1)
    edges = np.arange(taps + 1)[:, None] - taps / 2
    cells = np.diff(edges**order, axis=0) / order
    parts = np.linspace(-0.5, 0.5, factor + 1)[:, None]
    return np.ascontiguousarray(np.linalg.solve(cells.T, (np.diff(parts**order, axis=0) * factor / order).T).T)


def _check(coarse: Float32, fine: Float32, factor: int) -> None:
    if factor < 2:
        raise UsageError(f"a factor of {factor} sharpens nothing: expected 2 or more fine pixels along a coarse one.")
    if coarse.ndim != 3 or fine.ndim != 3 or 0 in coarse.shape or 0 in fine.shape:
        raise InputError(f"the bands are {coarse.shape} and {fine.shape}: expected (b, Y, X) and (f, y, x), not empty.")
    expected = tuple(n * factor for n in coarse.shape[1:])
    if fine.shape[1:] != expected:
        raise InputError(
            f"the fine bands have {fine.shape[1:]} pixels: expected {expected}, {factor} along each of the coarse "
            f"{coarse.shape[1:]}; cut both to the same area first."
        )


def _means(fine: Float32, factor: int) -> tuple[Float32, NDArray[np.bool_]]:
    shape = fine.shape[1] // factor, fine.shape[2] // factor
    out, whole = np.empty((len(fine), *shape), np.float32), np.empty(shape, bool)
    kernels.means(fine, factor, out, whole)
    return out, whole


def _mean_or_nan(band: Float32, factor: int) -> Float32:
    """Means of one band by itself, NaN where anything is missing."""
    mean, whole = _means(band[None], factor)
    return np.where(whole, mean[0], np.float32(np.nan))


def _slopes(
    coarse: Float32, guide: Float32, mask: NDArray[np.bool_], highest: NDArray[np.uint8], options: SharpenOptions
) -> Float32:
    slopes = np.zeros((len(coarse), len(guide), *mask.shape), np.float32)
    if (highest == GUIDED).any():
        least = max(options.minimum_valid * (2 * options.radius + 1) ** 2, len(guide) + 2.0)
        kernels.coefficients(coarse, guide, mask, options.radius, options.ridge, least, slopes)
    return slopes


def _sums(image: Float64) -> tuple[float, ...]:
    return tuple(float(total) for total in image.sum(axis=(1, 2)))
