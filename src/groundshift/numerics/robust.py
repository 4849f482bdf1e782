"""Robust statistics: centre and scatter that a large minority of foreign samples cannot move.

Minimum covariance determinant by concentration steps (Rousseeuw and Van Driessen 1999), from deterministic starts
(Hubert, Rousseeuw and Verdonck 2012) and a few random ones, with one reweighting step. Axis order is (band, sample).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import scipy
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

_MAD_TO_SIGMA = 1.482602218505602
_CHUNK = 1024


@dataclass(frozen=True)
class McdOptions:
    """How the minimum covariance determinant is searched."""

    support: float = 0.5
    """Share of the samples that the scatter is taken from; 0.5 withstands the most (paper of 1999)."""
    subsample: int = 30_000
    """Samples that the search looks at, at most."""
    random_starts: int = 8
    """Starts from p + 1 random samples, beside the four deterministic ones."""
    steps: int = 60
    """Concentration steps at most; they converge in 10 to 20."""
    ridge: float = 1e-9
    """Added to the correlation matrix, so that bands which copy each other stay invertible."""
    reweight: bool = True
    """A last step with all samples inside the 97.5 % ellipsoid: more precise, but it lets near changes in."""
    seed: int = 0
    """Seed of the random starts and of the subsample."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.support <= 1:
            raise ValueError(f"support is the share of samples that is kept, 0.5 to 1, not {self.support}")


@dataclass(frozen=True)
class Scatter:
    """Centre (p,) and covariance (p, p) of the larger part of the samples."""

    location: Float64
    covariance: Float64

    @property
    def whitener(self) -> Float64:
        """Lower triangular W (p, p) with W covariance W' = 1: rows of W turn differences into white ones."""
        return np.asarray(np.linalg.inv(np.linalg.cholesky(self.covariance)))


def median_mad(samples: NDArray[np.floating]) -> tuple[Float64, Float64]:
    """Median and scaled median absolute deviation of each band, (p,) each; (p, n) in."""
    middle = np.median(samples, axis=1)
    spread = _MAD_TO_SIGMA * np.median(np.abs(samples - middle[:, None]), axis=1)
    return middle.astype(np.float64), spread.astype(np.float64)


def mcd(samples: NDArray[np.floating], options: McdOptions | None = None) -> Scatter:
    """Return centre and covariance by the minimum covariance determinant, consistent for normal samples.

    ``samples`` is (p, n) and finite, n > 2 p; no band may be constant in more than half of the samples.
    Laws: affine equivariant up to the starts; unmoved by any minority of far samples.
    """
    options = options or McdOptions()
    rng = np.random.default_rng(options.seed)
    chosen = subsample(samples, options.subsample, rng)
    middle, spread = median_mad(chosen)
    scaled = (chosen - middle[:, None]) / spread[:, None]
    best = _search(scaled, options, rng)
    if options.reweight:
        best = _reweighted(scaled, best)
    return Scatter(middle + spread * best.location, best.covariance * np.outer(spread, spread))


def subsample(samples: NDArray[np.floating], most: int, rng: np.random.Generator) -> Float64:
    """Return at most ``most`` of the columns of (p, n), without repeats."""
    n = samples.shape[1]
    if n <= most:
        return samples.astype(np.float64)
    return samples[:, np.sort(rng.choice(n, most, replace=False))].astype(np.float64)


def squared_distance(samples: NDArray[np.floating], scatter: Scatter) -> Float64:
    """Return the squared Mahalanobis distance (n,) of (p, n) samples."""
    white = scatter.whitener @ (samples - scatter.location[:, None])
    return np.asarray(np.einsum("in,in->n", white, white))


def consistency(support: float, p: int) -> float:
    """Return the factor that makes the covariance of the innermost share of normal samples that of all of them.

    Source: Croux and Haesbroeck 1999: support / F(chi2 quantile of support; p + 2).
    """
    if support >= 1:
        return 1.0
    quantile = scipy.special.chdtri(p, 1 - support)
    return float(support / scipy.special.chdtr(p + 2, quantile))


def _search(scaled: Float64, options: McdOptions, rng: np.random.Generator) -> Scatter:
    """Two steps from every start, then the two best to the end: the least determinant wins."""
    p, n = scaled.shape
    keep = min(n, max(int(options.support * n), p + 1))
    tried = [_concentrate(scaled, start, keep, 2, options.ridge) for start in _starts(scaled, options, rng)]
    tried.sort(key=lambda found: found[0])
    ended = [_concentrate(scaled, scatter, keep, options.steps, options.ridge) for _, scatter in tried[:2]]
    best = min(ended, key=lambda found: found[0])[1]
    return Scatter(best.location, best.covariance * consistency(keep / n, p))


def _concentrate(scaled: Float64, start: Scatter, keep: int, steps: int, ridge: float) -> tuple[float, Scatter]:
    """Take the ``keep`` nearest samples again and again; the determinant never grows."""
    scatter, last = start, np.inf
    for _ in range(steps):
        distance = squared_distance(scaled, scatter)
        near = np.argpartition(distance, keep - 1)[:keep]
        scatter = _moments(scaled[:, near], ridge)
        volume = float(np.linalg.slogdet(scatter.covariance)[1])
        if volume > last - 1e-9:
            break
        last = volume
    return last, scatter


def _reweighted(scaled: Float64, scatter: Scatter) -> Scatter:
    """One step with the samples inside the 97.5 % ellipsoid, its scale set by the median distance."""
    p = scaled.shape[0]
    distance = squared_distance(scaled, scatter)
    scale = np.median(distance) / scipy.special.chdtri(p, 0.5)
    inside = distance <= scipy.special.chdtri(p, 0.025) * max(scale, np.finfo(float).tiny)
    better = _moments(scaled[:, inside], 0.0)
    return Scatter(better.location, better.covariance * consistency(0.975, p))


def _moments(samples: Float64, ridge: float) -> Scatter:
    location = samples.mean(axis=1)
    centred = samples - location[:, None]
    covariance = centred @ centred.T / samples.shape[1]
    return Scatter(location, covariance + ridge * np.diag(np.diag(covariance) + ridge))


def _starts(scaled: Float64, options: McdOptions, rng: np.random.Generator) -> list[Scatter]:
    """Starts on samples whose bands have median 0 and MAD 1."""
    p, n = scaled.shape
    zero = np.zeros(p)
    norm = np.sqrt(np.einsum("in,in->n", scaled, scaled))
    tame = np.tanh(scaled)
    nearest = scaled[:, np.argpartition(norm, n // 2)[: n // 2 + 1]]
    signs = scaled / np.maximum(norm, np.finfo(float).tiny)
    starts = [
        Scatter(zero, np.eye(p)),
        _along_axes(scaled, np.cov(nearest).reshape(p, p)),
        _along_axes(scaled, np.corrcoef(tame).reshape(p, p)),
        _along_axes(scaled, (signs @ signs.T) / n),
    ]
    for _ in range(options.random_starts):
        few = scaled[:, rng.choice(n, p + 1, replace=False)]
        starts.append(_moments(few, 1e-3))
    return starts


def _along_axes(scaled: Float64, raw: Float64) -> Scatter:
    """Keep the axes of a rough scatter, and take centre and length along each from median and MAD."""
    _, axes = np.linalg.eigh(raw)
    middle, spread = median_mad(axes.T @ scaled)
    spread = np.maximum(spread, 1e-6 * max(spread.max(), 1e-12))
    return Scatter(axes @ middle, (axes * spread**2) @ axes.T)


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})  # type: ignore[untyped-decorator]
def whitened_squares(
    samples: NDArray[np.float32], location: NDArray[np.float32], whitener: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Write the squared length (n,) of W (samples - location), W lower triangular; samples (p, n), NaN stays NaN."""
    p, n = samples.shape
    centred = np.empty((p, _CHUNK), np.float32)
    for begin in range(0, n, _CHUNK):
        size = min(_CHUNK, n - begin)
        for band in range(p):
            for k in range(size):
                centred[band, k] = samples[band, begin + k] - location[band]
        total = out[begin : begin + size]
        total[:] = np.float32(0)
        row = np.empty(_CHUNK, np.float32)
        for i in range(p):
            for k in range(size):
                row[k] = whitener[i, i] * centred[i, k]
            for j in range(i):
                weight = whitener[i, j]
                if weight != 0:
                    for k in range(size):
                        row[k] += weight * centred[j, k]
            for k in range(size):
                total[k] += row[k] * row[k]
