"""How good an observation is: scores for the best available pixel, weights for the weighted mean.

Both are (time, y, x) float32 from 0 to 1, made of what is known of scenes and pixels: distance to cloud, clear share,
date, haze, view. They are pixel by pixel once distances are known: cutting the image into blocks changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError

Float32 = NDArray[np.float32]

_WHOLE_YEAR = 365.25
_TO_ONE_PERCENT = np.float32(math.log(0.01))


def _positive(*scales: float) -> None:
    if not all(0 < scale < math.inf for scale in scales):
        raise UsageError(f"scales of scores and weights must be above 0: {scales}.")


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """What makes an observation the best one: a weighted mean of scores between 0 and 1. Weight 0 leaves a score out.

    The defaults are FORCE's (Frantz 2019): weights, distances and days as its documentation of the level 3 parameter
    file tells them, without the score of the year, whose weight is 1 there.
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
    """From here on a cloud does not matter (FORCE: DREQ 3000 m; APEx: 150 pixels of 20 m, by Manhattan distance)."""
    curve: Literal["gaussian", "logistic"] = "gaussian"
    """How the score rises with that distance: a Gaussian that is 0.01 beside the cloud (APEx tells the shape, not the
    width: not verified), or a logistic curve with its middle half way (FORCE, bap-hl.c)."""
    date_sigma_days: float = 19.8
    """Of the Gaussian of the day: 0.01 at 60 days from the target (FORCE: 0.01 0.99 0.01 at days 120 180 240)."""
    view_limit_deg: float = 7.5
    """The view zenith angle at which its score is 0.01 (FORCE: VREQ; its curve is a logistic one, ours a Gaussian)."""

    def __post_init__(self) -> None:
        weights = (self.distance, self.clearness, self.date, self.haze, self.view)
        if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            raise UsageError(f"weights of scores must not be negative, and one must be above 0: {weights}.")
        _positive(self.clear_distance_m, self.date_sigma_days, self.view_limit_deg)


SCORES: Mapping[str, ScoreOptions] = MappingProxyType(
    {
        "force": ScoreOptions(curve="logistic"),
        "apex": ScoreOptions(distance=1.0, clearness=0.5, date=0.1, haze=0.0, date_sigma_days=7.5),
    }
)
"""``force``: Frantz 2019. ``apex``: ESA APEx, best available pixel by VITO: 1, 0.5 and 0.1 for distance to cloud, clear
share and the day within the month, as its description in the catalogue says; the width of that Gaussian is not told
there: here it is a quarter of a month, which is not verified."""


@dataclass(frozen=True, kw_only=True)
class WeightOptions:
    """Weights of the weighted mean, in the manner of WASP (Hagolle, Kettig; processor of Theia's level 3A).

    The numbers are the defaults of its configuration: a coarse resolution of 240 m, sigmas of 2 and 10 of its pixels,
    half a period of 23 days for Sentinel-2, least weights 0.5 of the date and 0.33 of an optical thickness of 0.8. How
    they become weights of distances is ours: WASP blurs the mask of clouds.
    """

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

    The score of the distance is 1 at ``clear_distance_m`` (0.99 on the logistic curve) and 0.01 beside the cloud.

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
        total = options.distance * _of_distance(distance, options)
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


def haze(blue: Float32, red: Float32) -> Float32:
    """How hazy a place is, 0 clear to 1 opaque, by its haze optimised transformation: blue - red / 2 - 0.08.

    A pixel kernel on reflectance of any shape; a logistic curve that is one half at -0.015.

    Source: Zhu and Woodcock (2012), equation 3, for the transformation; FORCE (bap-hl.c) for the curve. Both were made
    for reflectance at the top of the atmosphere: of the surface, less of it is called haze.
    """
    hot = np.asarray(blue, np.float32) - np.float32(0.5) * np.asarray(red, np.float32) - np.float32(0.08)
    return np.asarray(1 / (1 + np.exp(np.clip(-500 * (hot + np.float32(0.015)), -60, 60))), np.float32)


def days_from(target: float, days_of_year: NDArray[np.floating]) -> NDArray[np.float64]:
    """Days from a target day of the year, the short way round: between minus and plus half a year."""
    half = _WHOLE_YEAR / 2
    return (np.asarray(days_of_year, np.float64) - target + half) % _WHOLE_YEAR - half


def _of_distance(distance: Float32, options: ScoreOptions) -> Float32:
    share = np.minimum(distance / np.float32(options.clear_distance_m), 1)
    if options.curve == "logistic":
        return np.asarray(1 / (1 + np.exp(-10 * (share - np.float32(0.5)))), np.float32)
    return np.asarray(np.exp(_TO_ONE_PERCENT * (1 - share) ** 2), np.float32)


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
