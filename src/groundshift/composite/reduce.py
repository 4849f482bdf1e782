"""Many observations of a pixel to one: newest, best, means, medians, percentiles, medoid, geometric median.

A stack is reflectance (time, band, y, x) float32 with ``valid`` (time, y, x), True = usable. What is not valid may hold
anything, NaN too; what is valid must be finite. All methods work on any block of an image and take scenes in any order.

Laws: cutting the image into blocks changes nothing, to the last bit; a scene with nothing valid changes nothing; the
order of the scenes decides between equals only (the first wins) and the last bits of a geometric median.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from groundshift.composite import reduce_kernels as kernels
from groundshift.errors import InputError, UsageError
from groundshift.numerics.rows import in_rows

Float32 = NDArray[np.float32]
Method = Literal["newest", "best", "weighted", "mean", "median", "percentile", "medoid", "geomedian"]
METHODS: tuple[Method, ...] = get_args(Method)

_MOST_SCENES = 32_767


@dataclass(frozen=True, kw_only=True)
class ReduceOptions:
    """How the observations of a pixel become one."""

    method: Method = "median"
    """``newest``: the youngest. ``best``: of the highest score. ``weighted``, ``mean``: of all. ``median``,
    ``percentile``: of each band by itself. ``medoid``: the observation with the least sum of distances to all others.
    ``geomedian``: the point with the least sum of distances to all observations."""
    percentile: float = 25.0
    """0 to 100, for ``percentile``; by numpy's rule "linear". 25: the quarterly mosaics of Copernicus (CDSE)."""
    eps: float = 1e-6
    """In reflectance: the search for the geometric median ends with a step shorter than this. Steps shrink by about a
    fifth each, so that what is missing is a few times as much, far below one digital number (1e-4)."""
    max_iterations: int = 1000
    """Steps of that search, at most. 14 are usual, but where the median lies close to an observation it takes hundreds,
    and to stop at 100 would leave one pixel in ten thousand wrong by up to a digital number."""
    deviations: bool = True
    """With ``geomedian``: its three median absolute deviations too; they take half as long again."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(
                f"there is no method {self.method!r} of compositing: expected one of {', '.join(METHODS)}."
            )
        if not 0 <= self.percentile <= 100:
            raise UsageError(f"{self.percentile} is no percentile: expected 0 to 100.")
        if not 0 < self.eps < math.inf or self.max_iterations < 1:
            raise UsageError(
                f"the geometric median needs eps above 0 and at least one iteration, "
                f"not {self.eps} and {self.max_iterations}."
            )


CDSE = ReduceOptions(method="percentile", percentile=25.0)
"""The quarterly mosaics of the Copernicus Data Space Ecosystem: the first quartile of each band."""


@dataclass(frozen=True, eq=False)
class Composite:
    """One picture of many."""

    composite: Float32
    """(band, y, x); NaN where nothing was observed."""
    count: NDArray[np.uint16]
    """(y, x): observations that were used, or among which one was chosen."""
    source: NDArray[np.int16] | None = None
    """(y, x): index on the time axis of the chosen scene, -1 for none; only of methods that choose."""
    deviations: Float32 | None = None
    """(3, y, x): medians of the cosine, Euclidean and Bray-Curtis distance of the observations to the geometric median
    (SMAD, EMAD, BCMAD; Roberts, Dunn and Mueller 2018); NaN where nothing was observed."""


def reduce(
    reflectance: Float32,
    valid: NDArray[np.bool_],
    options: ReduceOptions | None = None,
    *,
    score: Float32 | None = None,
    ages: NDArray[np.floating] | None = None,
    threads: int = 1,
) -> Composite:
    """Make one picture of many.

    Args:
        reflectance: (time, band, y, x) float32.
        valid: (time, y, x) bool, True = usable.
        options: how.
        score: (time, y, x) float32, finite where valid. ``best`` takes the observation of the highest, ``weighted``
            takes them as weights, which must not be negative; an observation of weight 0 is not counted.
        ages: (time,) days, the smallest is the youngest; for ``newest``.
        threads: that share the rows; changes no pixel.

    Raises:
        InputError: shapes or types that do not fit, or a value that is valid but not finite.
        UsageError: the method needs scores or ages, and there are none.
    """
    options = options or ReduceOptions()
    _check(reflectance, valid)
    reflectance, valid = np.ascontiguousarray(reflectance), np.ascontiguousarray(valid)
    out = Composite(
        np.empty(reflectance.shape[1:], np.float32),
        np.zeros(reflectance.shape[2:], np.uint16),
        np.full(reflectance.shape[2:], -1, np.int16) if options.method in ("newest", "best", "medoid") else None,
        np.empty((3, *reflectance.shape[2:]), np.float32)
        if options.method == "geomedian" and options.deviations
        else None,
    )
    work = _work(reflectance, valid, options, score, ages, out)
    if not all(in_rows(work, out.count.shape[0], threads)):
        raise InputError(_what_is_not_finite(reflectance, valid))
    return out


def _work(
    reflectance: Float32,
    valid: NDArray[np.bool_],
    options: ReduceOptions,
    score: Float32 | None,
    ages: NDArray[np.floating] | None,
    out: Composite,
) -> Callable[[kernels.Rows], bool]:
    """What is to be done on some rows; it returns False where a valid value is not finite."""
    match options.method:
        case "newest" | "best" | "medoid":
            return _choosing(reflectance, valid, options, score, ages, out)
        case "mean" | "weighted":
            weights = _weights(options.method, valid, score)
            uniform = options.method == "mean"
            return lambda rows: kernels.weighted_mean(
                reflectance, valid, weights, uniform, rows, out.composite, out.count
            )
        case "geomedian":
            return lambda rows: _geometric_median(reflectance, valid, options, rows, out)
        case "median" | "percentile":
            share = 0.5 if options.method == "median" else options.percentile / 100
            return lambda rows: kernels.quantile(reflectance, valid, share, rows, out.composite, out.count)


def _choosing(
    reflectance: Float32,
    valid: NDArray[np.bool_],
    options: ReduceOptions,
    score: Float32 | None,
    ages: NDArray[np.floating] | None,
    out: Composite,
) -> Callable[[kernels.Rows], bool]:
    if options.method == "newest":
        order = _order(ages, len(valid))

        def choose(rows: kernels.Rows) -> bool:
            kernels.first(valid, order, rows, out.source, out.count)
            return True

    elif options.method == "best":
        scores = _scores(options.method, valid, score)

        def choose(rows: kernels.Rows) -> bool:
            if not kernels.highest(valid, scores, rows, out.source, out.count):
                raise InputError("a score is not finite where the observation is valid: expected a number everywhere.")
            return True

    else:

        def choose(rows: kernels.Rows) -> bool:
            return cast(bool, kernels.medoid(reflectance, valid, rows, out.source, out.count))

    return lambda rows: choose(rows) and kernels.take(reflectance, out.source, rows, out.composite)


def _geometric_median(
    reflectance: Float32, valid: NDArray[np.bool_], options: ReduceOptions, rows: kernels.Rows, out: Composite
) -> bool:
    finite: bool = kernels.geometric_median(
        reflectance, valid, options.eps, options.max_iterations, rows, out.composite, out.count
    )
    if finite and out.deviations is not None:
        kernels.deviations(reflectance, valid, out.composite, rows, out.deviations)
    return finite


def _check(reflectance: Float32, valid: NDArray[np.bool_]) -> None:
    if reflectance.ndim != 4 or reflectance.dtype != np.float32:
        raise InputError(
            f"reflectance is {reflectance.dtype} {reflectance.shape}: expected float32 (time, band, y, x)."
        )
    expected = (reflectance.shape[0], *reflectance.shape[2:])
    if valid.shape != expected or valid.dtype != np.bool_:
        raise InputError(f"valid is {valid.dtype} {valid.shape}: expected bool (time, y, x) = {expected}.")
    if not 1 <= len(valid) <= _MOST_SCENES or reflectance.shape[1] < 1:
        raise InputError(
            f"{len(valid)} scenes of {reflectance.shape[1]} bands cannot be composited: "
            f"expected 1 to {_MOST_SCENES} scenes of at least one band."
        )


def _scores(method: str, valid: NDArray[np.bool_], score: Float32 | None) -> Float32:
    if score is None:
        raise UsageError(f"the method {method!r} needs a score for each observation: give score (time, y, x).")
    if score.shape != valid.shape or score.dtype != np.float32:
        raise InputError(f"score is {score.dtype} {score.shape}: expected float32 (time, y, x) = {valid.shape}.")
    return np.ascontiguousarray(score)


def _weights(method: str, valid: NDArray[np.bool_], score: Float32 | None) -> Float32:
    if method == "mean":
        return np.empty((0, 0, 0), np.float32)
    weights = _scores(method, valid, score)
    for t, (weight, usable) in enumerate(zip(weights, valid, strict=True)):
        if not (np.isfinite(weight) & (weight >= 0) | ~usable).all():
            raise InputError(f"scene {t} has a weight that is negative or not finite: expected 0 or more where valid.")
    return weights


def _order(ages: NDArray[np.floating] | None, times: int) -> NDArray[np.int64]:
    """Scenes by rising age, equals by rising index."""
    if ages is None:
        raise UsageError("the method 'newest' needs the age of each scene: give ages (time,) in days.")
    if ages.shape != (times,) or not np.isfinite(ages).all():
        raise InputError(f"ages are {ages.shape}: expected {times} finite numbers, one a scene.")
    return np.argsort(ages, kind="stable").astype(np.int64)


def _what_is_not_finite(reflectance: Float32, valid: NDArray[np.bool_]) -> str:
    for t, (scene, usable) in enumerate(zip(reflectance, valid, strict=True)):
        strange = usable & ~np.isfinite(scene)
        if strange.any():
            band, y, x = (int(index) for index in np.argwhere(strange)[0])
            return (
                f"reflectance of scene {t}, band {band} at row {y}, column {x} is {scene[band, y, x]} but marked "
                "valid: expected finite values; mark what is missing as not valid."
            )
    raise AssertionError("a kernel saw a value that is not finite where there is none")
