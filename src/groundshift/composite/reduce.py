"""Many observations of a pixel to one: newest, best, means, medians, percentiles, medoid, geometric median.

A stack is reflectance (time, band, y, x) float32 with ``valid`` (time, y, x), True = usable. What is not valid may hold
anything, NaN too; what is valid must be finite. All methods work on any block of an image and take scenes in any order.

Laws: cutting the image into blocks changes nothing, to the last bit; a scene with nothing valid changes nothing; the
order of the scenes decides between equals only (the first wins) and the last bits of a geometric median.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from groundshift.composite import reduce_kernels as kernels
from groundshift.errors import InputError, UsageError

Float32 = NDArray[np.float32]
Method = Literal["newest", "best", "weighted", "mean", "median", "percentile", "medoid", "geomedian"]
METHODS: tuple[Method, ...] = get_args(Method)

_MOST_SCENES = 32_767
_WHOLE_YEAR = 365.25


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
    max_iterations: int = 100
    """Steps of that search, at most; 10 to 40 are usual."""
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
    if not _in_rows(work, out.count.shape[0], threads):
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


def _in_rows(work: Callable[[kernels.Rows], bool], height: int, threads: int) -> bool:
    """Do some work on all rows, by several threads in turn; False where any part returned so."""
    if threads <= 1:
        return work((0, height))
    piece = max(1, min(64, -(-height // threads)))
    parts = [(begin, min(begin + piece, height)) for begin in range(0, height, piece)]
    with ThreadPoolExecutor(threads) as pool:
        return all(list(pool.map(work, parts)))


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


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """What makes an observation the best one: a weighted mean of scores between 0 and 1. Weight 0 leaves a score out.

    The defaults are FORCE's (parameter file of its level 3, Frantz 2019), without the score of the year.
    """

    distance: float = 0.4
    """Weight of the distance to the next cloud or shadow."""
    clearness: float = 0.0
    """Weight of one minus the scene's share of clouds."""
    date: float = 1.0
    """Weight of the nearness to the target day."""
    haze: float = 0.3
    """Weight of one minus haze."""
    view: float = 0.0
    """Weight of the nearness to nadir."""
    clear_distance_m: float = 3000.0
    """From here on a cloud does not matter (FORCE: DREQ 3000 m; APEx: 150 pixels of 20 m)."""
    date_sigma_days: float = 19.8
    """Of the Gaussian of the day: 0.01 at 60 days from the target (FORCE: 0.01 0.99 0.01 at days 120 180 240)."""
    view_limit_deg: float = 7.5
    """The view zenith angle at which its score is 0.01 (FORCE: VREQ)."""

    def __post_init__(self) -> None:
        weights = (self.distance, self.clearness, self.date, self.haze, self.view)
        if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            raise UsageError(f"weights of scores must not be negative, and one must be above 0: {weights}.")
        _positive(self.clear_distance_m, self.date_sigma_days, self.view_limit_deg)


SCORES: Mapping[str, ScoreOptions] = MappingProxyType(
    {
        "force": ScoreOptions(),
        "apex": ScoreOptions(distance=1.0, clearness=0.5, date=0.1, haze=0.0, date_sigma_days=7.5),
    }
)
"""``force``: Frantz 2019. ``apex``: ESA APEx, best available pixel by VITO: 1, 0.5 and 0.1 for distance to cloud, clear
share and the day within the month; there the width of the Gaussian is not told, here it is a quarter of a month."""


@dataclass(frozen=True, kw_only=True)
class WeightOptions:
    """Weights of the weighted mean, in the manner of WASP (Hagolle, Kettig; processor of Theia's level 3A)."""

    near_m: float = 480.0
    """Scale of the weight beside clouds, which catches their rims: two pixels of 240 m in WASP."""
    far_m: float = 2400.0
    """Scale of the weight around clouds, which catches veils and shadows: ten pixels of 240 m in WASP."""
    half_period_days: float = 23.0
    """Days from the target at which the weight of the date has its least (WASP: a period of 46 days)."""
    least_date: float = 0.5
    """Weight of the date there, and beyond (WASP)."""
    least_haze: float = 0.33
    """Weight of an observation in full haze, against 1 without (WASP, for an optical thickness of 0.8)."""

    def __post_init__(self) -> None:
        _positive(self.near_m, self.far_m, self.half_period_days)
        if not (0 < self.least_date <= 1 and 0 < self.least_haze <= 1):
            raise UsageError(f"least weights lie above 0 and up to 1, not {self.least_date} and {self.least_haze}.")


def best_scores(
    options: ScoreOptions,
    cloud_distance: Float32,
    *,
    cloud_share: NDArray[np.floating] | None = None,
    days_off: NDArray[np.floating] | None = None,
    haze: NDArray[np.floating] | None = None,
    view_zenith: NDArray[np.floating] | None = None,
) -> Float32:
    """Score every observation for ``best``: (time, y, x) float32, 0 to 1, higher is better.

    Args:
        options: weights and scales.
        cloud_distance: (time, y, x) metres to the next cloud or shadow, infinite where there is none.
        cloud_share: (time,) share of each scene under clouds, 0 to 1.
        days_off: (time,) days from the target date, of either sign; see :func:`days_from`.
        haze: (time,) or (time, y, x), 0 clear to 1 opaque.
        view_zenith: (time,) or (time, y, x) degrees.

    The score of the distance is a Gaussian that reaches 1 at ``clear_distance_m`` and is 0.01 beside the cloud.

    Raises:
        UsageError: what a weight above 0 needs is not given.
        InputError: shapes that do not fit.
    """
    facts = {"clearness": cloud_share, "date": days_off, "haze": haze, "view": view_zenith}
    weights = {name: float(getattr(options, name)) for name in facts}
    for name, fact in facts.items():
        if weights[name] > 0 and fact is None:
            raise UsageError(f"scores weigh {name} by {weights[name]}, but it is not known: give it, or weight 0.")
        _check_fact(name, fact, cloud_distance.shape)
    out = np.empty(cloud_distance.shape, np.float32)
    whole = options.distance + sum(weights.values())
    for t, distance in enumerate(cloud_distance):
        short = np.maximum(1 - distance / np.float32(options.clear_distance_m), 0)
        total = options.distance * np.exp(_TO_ONE_PERCENT * short**2)
        for name, fact in facts.items():
            if weights[name] > 0 and fact is not None:
                total = total + weights[name] * _score_of(name, np.asarray(fact[t], np.float32), options)
        out[t] = total / whole
    return out


def mean_weights(
    options: WeightOptions,
    cloud_distance: Float32,
    *,
    days_off: NDArray[np.floating] | None = None,
    haze: NDArray[np.floating] | None = None,
) -> Float32:
    """Weigh every observation for ``weighted``: (time, y, x) float32, 0 to 1; arguments as of :func:`best_scores`.

    The product of weights of the distance to cloud at two scales, 1 - exp(-(distance / scale)^2 / 2), of the date and
    of the haze. WASP blurs the cloud mask instead of taking distances; what is not given weighs 1.
    """
    _check_fact("date", days_off, cloud_distance.shape)
    _check_fact("haze", haze, cloud_distance.shape)
    out = np.empty(cloud_distance.shape, np.float32)
    for t, distance in enumerate(cloud_distance):
        weight = np.expm1(-((distance / np.float32(options.near_m)) ** 2) / 2)
        weight *= np.expm1(-((distance / np.float32(options.far_m)) ** 2) / 2)
        if days_off is not None:
            late = min(abs(float(days_off[t])) / options.half_period_days, 1.0)
            weight *= np.float32(1 - late * (1 - options.least_date))
        if haze is not None:
            weight = weight * (1 - np.clip(np.asarray(haze[t], np.float32), 0, 1) * np.float32(1 - options.least_haze))
        out[t] = weight
    return out


def days_from(target: float, days_of_year: NDArray[np.floating]) -> NDArray[np.float64]:
    """Days from a target day of the year, the short way round: between minus and plus half a year."""
    half = _WHOLE_YEAR / 2
    return (np.asarray(days_of_year, np.float64) - target + half) % _WHOLE_YEAR - half


_TO_ONE_PERCENT = np.float32(math.log(0.01))


def _score_of(name: str, fact: Float32, options: ScoreOptions) -> Float32:
    match name:
        case "date":
            return np.asarray(np.exp(-((fact / np.float32(options.date_sigma_days)) ** 2) / 2))
        case "view":
            return np.asarray(np.exp(_TO_ONE_PERCENT * (fact / np.float32(options.view_limit_deg)) ** 2))
        case _:
            return np.asarray(1 - np.clip(fact, 0, 1))


def _check_fact(name: str, fact: NDArray[np.floating] | None, shape: tuple[int, ...]) -> None:
    allowed = (shape[:1], shape) if name in ("haze", "view") else (shape[:1],)
    if fact is not None and fact.shape not in allowed:
        raise InputError(f"{name} has the shape {fact.shape}: expected {' or '.join(map(str, allowed))}.")


def _positive(*scales: float) -> None:
    if not all(0 < scale < math.inf for scale in scales):
        raise UsageError(f"scales of scores and weights must be above 0: {scales}.")
