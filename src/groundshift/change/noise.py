"""How noisy a pixel is expected to be, from what it looks like before.

Differences where nothing changed are not equally wide everywhere: fields, towns and edges differ more from date to
date than forest or water does. The logarithm of the squared distance D^2 is therefore predicted from the brightness
of the pixel in each band and from the texture around it, all of the earlier image, so that no change can hide itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from groundshift.change.statistic_kernels import Curve, log_scale
from groundshift.errors import InputError, NoDataError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Block = tuple[Float32, Float32, NDArray[np.bool_], NDArray[np.bool_]]
"""A window: before (p, h, w), D^2 (h, w), valid (h, w), and True (h, w) on pixels to fit on."""

_SAMPLES = 60_000
_PIXELS_PER_COEFFICIENT = 10
_FLOOR = 0.05
_RIDGE = 1e-5
_TRIMMED_FROM = 0.7
_CONSTANT = 1e-5
"""Spread of a feature that rounding in float32 alone may give."""
_NO_NOISE = 1e-3
_UNBOUNDED = 80.0


@dataclass(frozen=True)
class NoiseModel:
    """Expected D^2 of a pixel, relative to the median pixel's. Plain numbers: prints as JSON, pickles.

    Features, m = p + 1: the square root of max(reflectance, 0) + 0.001 of each band; the logarithm of texture + 0.1,
    where texture is the square root of the summed variances, over the valid ones of 3x3 pixels, of the whitened bands.
    """

    centre: tuple[float, ...]
    """(m,) mean of each feature."""
    spread: tuple[float, ...]
    """(m,) standard deviation; 0: the feature is constant and has no part."""
    coefficients: tuple[float, ...]
    """Of log D^2, in normalised features: constant, m linear ones, then the products of i and j from i on."""
    factor: float
    """D^2 divided by its expectation is multiplied by this: its median is then that of chi-squared."""
    clip: float = 3.0
    """Normalised features are clipped to plus and minus this (prototype on real pairs)."""
    bounds: tuple[float, float] = (0.3, 6.0)
    """Least and greatest expectation, in units of its median (prototype on real pairs)."""

    def __post_init__(self) -> None:
        m = len(self.centre)
        if m < 2 or len(self.spread) != m or len(self.coefficients) != (m + 1) * (m + 2) // 2:
            raise InputError(
                f"a noise model of {m} features has as many spreads and {(m + 1) * (m + 2) // 2} coefficients, "
                f"not {len(self.spread)} and {len(self.coefficients)}"
            )
        if not (self.factor > 0 and self.clip > 0 and 0 < self.bounds[0] <= 1 <= self.bounds[1]):
            raise InputError(f"this noise model cannot be: factor {self.factor}, clip {self.clip}, {self.bounds}")

    @property
    def bands(self) -> int:
        """Bands p of the images."""
        return len(self.centre) - 1

    @cached_property
    def curve(self) -> Curve:
        """The same, as the compiled kernels take it."""
        m = len(self.centre)
        spread, values = np.array(self.spread), np.array(self.coefficients)
        quadratic = np.zeros((m, m), np.float32)
        quadratic[np.triu_indices(m)] = values[m + 1 :]
        inverse = np.divide(1, spread, out=np.zeros(m), where=spread > 0)
        return Curve(
            centre=np.array(self.centre, np.float32),
            inverse_spread=inverse.astype(np.float32),
            linear=values[1 : m + 1].astype(np.float32),
            quadratic=quadratic,
            constant=np.float32(values[0]),
            clip=np.float32(self.clip),
            lowest=np.float32(np.log(self.bounds[0])),
            highest=np.float32(np.log(self.bounds[1])),
        )

    def scale(self, before: ArrayLike, valid: NDArray[np.bool_], whitener: ArrayLike) -> Float32:
        """Return the expected D^2 (h, w) of pixels before (p, h, w), 1 for the median pixel; 1 where not valid.

        ``whitener`` (p, p) is that of the fit. A pixel depends on its eight neighbours.
        """
        return np.exp(_evaluated(self.curve, _float32(before), valid, _float32(whitener)))

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers, from which :meth:`from_json` makes an equal one."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NoiseModel:
        """Return what :meth:`to_json` was called on."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**plain)


def fit(blocks: Sequence[Block], covariance: ArrayLike, rng: np.random.Generator) -> NoiseModel:
    """Fit the noise of pixels to their squared distances.

    Args:
        blocks: windows of the image, each (before (p, h, w) float32, D^2 (h, w) float32, valid (h, w) bool, keep (h, w)
            bool); contiguous, for texture needs neighbours. Only valid pixels to keep, of finite D^2, are fitted on.
        covariance: (p, p) of differences that did not change; bands with zeros have no part in D^2 or texture.
        rng: chooses 60,000 of the pixels where there are more.

    Returns:
        The model. The median of D^2 / scale * factor over all pixels fitted on is that of chi-squared.

    Raises:
        NoDataError: fewer than 10 pixels for each coefficient.
        InputError: shapes that do not fit.
    """
    whitener = whitener_of(covariance)
    p = whitener.shape[0]
    fitted_on = [_usable(block, p) for block in blocks]
    features, squared = _sampled(blocks, fitted_on, whitener, rng)
    rough = _fitted(features, np.log(squared + _FLOOR))
    return _rescaled(rough, blocks, fitted_on, whitener)


def whitener_of(covariance: ArrayLike) -> Float64:
    """Return the inverse of the Cholesky factor (p, p) of a covariance; rows of bands without variance are zero."""
    matrix = np.atleast_2d(np.asarray(covariance, np.float64))
    kept = np.diag(matrix) > 0
    whitener = np.zeros_like(matrix)
    whitener[np.ix_(kept, kept)] = np.linalg.inv(np.linalg.cholesky(matrix[np.ix_(kept, kept)]))
    return whitener


def _usable(block: Block, p: int) -> NDArray[np.bool_]:
    before, squared, valid, keep = block
    if before.ndim != 3 or before.shape[0] != p or not before.shape[1:] == squared.shape == valid.shape == keep.shape:
        raise InputError(
            f"a block to fit noise on is ({p}, h, w), (h, w), (h, w), (h, w), "
            f"not {before.shape}, {squared.shape}, {valid.shape}, {keep.shape}"
        )
    return valid & keep & np.isfinite(squared)


def _sampled(
    blocks: Sequence[Block], fitted_on: Sequence[NDArray[np.bool_]], whitener: Float64, rng: np.random.Generator
) -> tuple[Float64, Float64]:
    """Features (n, m) and D^2 (n,) of at most 60,000 pixels of all blocks."""
    p = whitener.shape[0]
    ends = np.cumsum([int(mask.sum()) for mask in fitted_on])
    total, least = int(ends[-1]) if ends.size else 0, _PIXELS_PER_COEFFICIENT * (p + 2) * (p + 3) // 2
    if total < least:
        raise NoDataError(
            f"only {total} unchanged pixels are left to learn the noise of the pair from, and {p} bands need {least}; "
            "take a larger area or fewer bands"
        )
    chosen = np.sort(rng.choice(total, min(_SAMPLES, total), replace=False))
    parts, squares = [], []
    for (before, squared, valid, _), mask, end in zip(blocks, fitted_on, ends, strict=True):
        inside = chosen[(chosen >= end - mask.sum()) & (chosen < end)] - (end - mask.sum())
        if not inside.size:
            continue
        pixels = np.flatnonzero(mask)[inside]
        texture = _evaluated(_texture_alone(p), _float32(before), valid, _float32(whitener)).ravel()[pixels]
        bands = before.reshape(p, -1)[:, pixels].astype(np.float64)
        parts.append(np.column_stack([np.sqrt(np.maximum(bands, 0) + 0.001).T, texture]))
        squares.append(squared.ravel()[pixels].astype(np.float64))
    return np.concatenate(parts), np.concatenate(squares)


def _texture_alone(p: int) -> Curve:
    """The curve that is nothing but its last feature."""
    m = p + 1
    last = np.zeros(m, np.float32)
    last[p] = 1
    zero, far = np.zeros(m, np.float32), np.float32(_UNBOUNDED)
    return Curve(zero, last, last, np.zeros((m, m), np.float32), np.float32(0), far, -far, far)


def _evaluated(curve: Curve, before: Float32, valid: NDArray[np.bool_], whitener: Float32) -> Float32:
    out = np.empty(valid.shape, np.float32)
    log_scale(before, np.ascontiguousarray(valid), whitener, curve, out)
    return out


def _fitted(features: Float64, target: Float64) -> NoiseModel:
    """Least squares on all, then on the 70 % of lowest residuals: what changed is above."""
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread < _CONSTANT] = 0
    normalised = np.divide(features - centre, spread, out=np.zeros_like(features), where=spread > 0)
    i, j = np.triu_indices(centre.size)
    terms = np.column_stack([np.ones(len(features)), normalised, normalised[:, i] * normalised[:, j]])
    ridge = _RIDGE * len(features) * np.eye(terms.shape[1])
    coefficients = _solved(terms, target, ridge)
    residual = target - terms @ coefficients
    # Not below alone: equal images have equal residuals, and would leave nothing.
    low = residual <= np.quantile(residual, _TRIMMED_FROM)
    coefficients = _solved(terms[low], target[low], ridge)
    return NoiseModel(_plain(centre), _plain(spread), _plain(coefficients), factor=1.0)


def _solved(terms: Float64, target: Float64, ridge: Float64) -> Float64:
    return np.asarray(np.linalg.solve(terms.T @ terms + ridge, terms.T @ target))


def _rescaled(
    rough: NoiseModel, blocks: Sequence[Block], fitted_on: Sequence[NDArray[np.bool_]], whitener: Float64
) -> NoiseModel:
    """Bring the median expectation to 1, and the median of the statistic to that of chi-squared."""
    wide = rough.curve._replace(lowest=np.float32(-_UNBOUNDED), highest=np.float32(_UNBOUNDED))
    logs = [
        _evaluated(wide, _float32(before), valid, _float32(whitener))[mask]
        for (before, _, valid, _), mask in zip(blocks, fitted_on, strict=True)
    ]
    log = np.concatenate(logs)
    middle = float(np.median(log))
    scale = np.exp(np.clip(log - np.float32(middle), *np.log(rough.bounds).astype(np.float32)))
    squared = np.concatenate([block[1][mask] for block, mask in zip(blocks, fitted_on, strict=True)])
    median = float(np.median(squared / scale))
    wanted = float(scipy.special.chdtri(max(int((np.diag(whitener) > 0).sum()), 1), 0.5))
    # Equal images have no noise to rescale: rounding errors would be blown up.
    factor = wanted / median if median > _NO_NOISE * wanted else 1.0
    first, *others = rough.coefficients
    return replace(rough, coefficients=(first - middle, *others), factor=factor)


def _float32(values: ArrayLike) -> Float32:
    return np.ascontiguousarray(values, dtype=np.float32)


def _plain(values: Float64) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
