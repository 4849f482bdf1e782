"""Principal components of many bands, fitted once for all blocks.

Two passes: every block is summarised, the summaries are merged, the components fitted on the whole are applied to every
block. Components of single blocks would differ in axes and signs, and show as seams.

Laws: how the image is cut, and in which order blocks are merged, changes components by rounding only (1e-9); applying
them to a block gives the same bits as to the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, NoDataError, UsageError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_PIXELS = 1 << 16
_EQUAL = 1 - 1e-6


@dataclass(frozen=True, eq=False)
class Moments:
    """What is to be known of some pixels: their number, means, and sums of products of deviations from them."""

    n: int
    mean: Float64
    """(band,)"""
    m2: Float64
    """(band, band); divided by n - 1 it is the covariance."""


@dataclass(frozen=True, eq=False)
class Components:
    """Axes of largest variance, the first one first."""

    n: int
    """Pixels that they were fitted on."""
    mean: Float64
    """(band,), taken away from each pixel first."""
    scale: Float64
    """(band,), each band is then divided by it: its standard deviation, or 1."""
    loadings: Float64
    """(component, band): unit vectors, each with its largest loading positive."""
    variance: Float64
    """(component,), falling."""

    @property
    def variance_ratio(self) -> Float64:
        """(component,): share of the whole variance."""
        return np.asarray(self.variance / self.variance.sum(), np.float64)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers, from which :meth:`from_json` makes the same to the last bit."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Components:
        """Make components again of what :meth:`to_json` returned, or of its JSON text read back.

        Raises:
            InputError: it is something else.
        """
        try:
            arrays = {name: np.array(raw[name], np.float64) for name in ("mean", "scale", "loadings", "variance")}
            made = cls(n=int(raw["n"]), **arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"these are no principal components: {error!r}; expected what to_json returned."
            ) from error
        bands = made.mean.size
        shapes = {name: value.shape for name, value in arrays.items()}
        expected = {"mean": (bands,), "scale": (bands,), "loadings": (bands, bands), "variance": (bands,)}
        if shapes != expected or not all(np.isfinite(value).all() for value in arrays.values()):
            raise InputError(f"these are no principal components: shapes {shapes}, expected finite {expected}.")
        return made


def summarise(values: NDArray[np.floating], valid: NDArray[np.bool_]) -> Moments:
    """Summarise the valid pixels of a block.

    Args:
        values: (band, y, x).
        valid: (y, x) bool, True = usable.

    Raises:
        InputError: shapes that do not fit, or a value that is valid but not finite.
    """
    if values.ndim != 3 or valid.shape != values.shape[1:] or valid.dtype != np.bool_:
        raise InputError(
            f"values are {values.shape} and valid is {valid.dtype} {valid.shape}: "
            "expected (band, y, x) and bool (y, x)."
        )
    total = Moments(0, np.zeros(len(values)), np.zeros((len(values), len(values))))
    rows = max(1, _PIXELS // max(values.shape[2], 1))
    for y in range(0, values.shape[1], rows):
        part = values[:, y : y + rows][:, valid[y : y + rows]].astype(np.float64)
        strange = ~np.isfinite(part).all(axis=1)
        if strange.any():
            raise InputError(
                f"band {int(np.argmax(strange))} has a value that is marked valid but not finite, in rows {y} to "
                f"{min(y + rows, values.shape[1]) - 1}: expected finite values; mark what is missing as not valid."
            )
        if part.shape[1]:
            mean = part.mean(axis=1)
            part -= mean[:, None]
            total = merge(total, Moments(part.shape[1], mean, part @ part.T))
    return total


def merge(a: Moments, b: Moments) -> Moments:
    """Summarise two sets of pixels together (Chan, Golub and LeVeque 1983, equation 2.1).

    Raises:
        InputError: they have different numbers of bands.
    """
    if a.mean.shape != b.mean.shape:
        raise InputError(f"moments of {a.mean.size} and of {b.mean.size} bands cannot be merged.")
    n = a.n + b.n
    if n == 0:
        return a
    apart = b.mean - a.mean
    return Moments(n, a.mean + apart * (b.n / n), a.m2 + b.m2 + np.outer(apart, apart) * (a.n * (b.n / n)))


def fit(moments: Moments, standardise: bool = False) -> Components:
    """Find the principal components.

    Args:
        moments: of all pixels, merged.
        standardise: divide every band by its standard deviation first: for bands of different units.

    Raises:
        NoDataError: fewer pixels than bands and one more.
        InputError: all bands are the same everywhere, or, if standardised, one is.
    """
    bands = moments.mean.size
    if moments.n < bands + 1:
        raise NoDataError(
            f"{moments.n} valid pixels are too few for the principal components of {bands} bands: "
            f"expected at least {bands + 1}."
        )
    covariance = moments.m2 / (moments.n - 1)
    spread = np.sqrt(np.diag(covariance))
    even = np.flatnonzero(spread <= 1e-12 * np.abs(moments.mean))
    if even.size == bands or (standardise and even.size):
        raise InputError(f"band {int(even[0])} is the same everywhere: leave it out of the principal components.")
    scale = spread if standardise else np.ones(bands)
    variance, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    loadings = vectors.T[::-1]
    return Components(
        n=moments.n,
        mean=moments.mean,
        scale=scale,
        loadings=loadings * _signs(loadings)[:, None],
        variance=np.maximum(variance[::-1], 0.0),
    )


def _signs(loadings: Float64) -> Float64:
    """What makes the largest loading of each component positive; of loadings that rounding makes differ, the first."""
    size = np.abs(loadings)
    first = np.argmax(size >= _EQUAL * size.max(axis=1, keepdims=True), axis=1)
    return np.asarray(np.sign(loadings[np.arange(len(loadings)), first]), np.float64)


def apply(components: Components, values: NDArray[np.floating], count: int) -> Float32:
    """Project a block onto the first components.

    Args:
        components: from :func:`fit`.
        values: (band, y, x), NaN = missing.
        count: how many components, from 1 to the number of bands.

    Returns:
        (component, y, x) float32, NaN where a band is missing.

    Raises:
        InputError: another number of bands than the components have.
        UsageError: there are not so many components.
    """
    bands = components.mean.size
    if values.ndim != 3 or len(values) != bands:
        raise InputError(f"values are {values.shape}: expected (band, y, x) with {bands} bands.")
    if not 1 <= count <= bands:
        raise UsageError(f"{count} of {bands} principal components cannot be: expected 1 to {bands}.")
    out = np.empty((count, *values.shape[1:]), np.float32)
    weights = components.loadings[:count] / components.scale
    rows = max(1, _PIXELS // max(values.shape[2], 1))
    for y in range(0, values.shape[1], rows):
        part = values[:, y : y + rows]
        total = np.zeros((count, *part.shape[1:]))
        for band, mean, weight in zip(part, components.mean, weights.T, strict=True):
            centred = band - mean
            for sum_, share in zip(total, weight, strict=True):
                sum_ += share * centred
        out[:, y : y + rows] = total
    return out
