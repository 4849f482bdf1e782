"""How far from the centre samples without change lie: the law of the squared distance, and counts to fit it on.

Under no change the whitened differences are elliptical, so that D^2 / (p s) follows F(p, nu); nu without bound is the
normal case, chi-squared. Changes lie in some directions from the centre and noise in all of them, which is what
:func:`lightest` makes use of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]

PER_OCTAVE = 16
FIRST_OCTAVE = -14
_OCTAVES = 40
BINS = PER_OCTAVE * _OCTAVES
EDGES = 2.0 ** (FIRST_OCTAVE + np.arange(BINS + 1) / PER_OCTAVE)
MIDDLES = np.sqrt(EDGES[1:] * EDGES[:-1])
_NORMAL = 1e-5
_SURELY_HEAVY = 0.05
_FEWEST_A_CELL = 30


@dataclass(frozen=True)
class RadialLaw:
    """D^2 / (p scale) ~ F(p, nu), with inverse_nu = 1 / nu; 0 is chi-squared."""

    p: int
    scale: float = 1.0
    inverse_nu: float = 0.0

    def below(self, squared: ArrayLike) -> Float64:
        """Probability of a smaller D^2."""
        x = np.asarray(squared, dtype=np.float64) / self.scale
        if self.inverse_nu < _NORMAL:
            return np.asarray(scipy.special.chdtr(self.p, x))
        nu = 1 / self.inverse_nu
        return np.asarray(scipy.special.betainc(self.p / 2, nu / 2, x / (x + nu)))

    def above(self, squared: ArrayLike) -> Float64:
        """Probability of a larger D^2, exact far in the tail."""
        x = np.asarray(squared, dtype=np.float64) / self.scale
        if self.inverse_nu < _NORMAL:
            return np.asarray(scipy.special.chdtrc(self.p, x))
        nu = 1 / self.inverse_nu
        return np.asarray(scipy.special.betainc(nu / 2, self.p / 2, nu / (x + nu)))

    def exceeded_by(self, share: float) -> float:
        """D^2 that the given share exceeds."""
        if self.inverse_nu < _NORMAL:
            return float(self.scale * scipy.special.chdtri(self.p, share))
        nu = 1 / self.inverse_nu
        y = scipy.special.betaincinv(nu / 2, self.p / 2, share)
        return float(self.scale * nu * (1 - y) / y)

    def expected(self) -> Float64:
        """Probability of each bin of :data:`EDGES`; the first begins at 0, the last never ends."""
        cumulative = self.below(EDGES)
        cumulative[0], cumulative[-1] = 0.0, 1.0
        return np.asarray(np.diff(cumulative))

    def weights(self) -> Float64:
        """Weight of a sample in each bin that makes centre and scatter those of maximum likelihood."""
        return np.asarray((1 + self.p * self.inverse_nu) / (1 + MIDDLES / self.scale * self.inverse_nu))


def spread_over_bands(eigenvalues: Float64, drawn: int = 16_384, seed: int = 0) -> tuple[Float64, Float64]:
    """Squared length, band by band, of directions that are uniform once whitened, and the weight of each direction.

    ``eigenvalues`` are those of the correlation matrix. D^2 of an elliptical sample times such a length is its sum of
    squares over correlated bands. Half the directions are drawn where that is large, so that the far tail is exact to
    a few per cent (angular central Gaussian density: Tyler 1987).
    """
    p = eigenvalues.size
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((drawn, p))
    z[drawn // 2 :] *= np.sqrt(eigenvalues)
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    log_density = -0.5 * np.log(eigenvalues).sum() - p / 2 * np.log((u**2 / eigenvalues).sum(axis=1))
    weight = 1 / (1 + np.exp(np.minimum(log_density, 700)))
    return (u**2 * eigenvalues).sum(axis=1), weight / weight.sum()


def fit_law(counts: Float64, start: RadialLaw, upto: int = BINS, reach: float = 0.1, since: int = 0) -> RadialLaw:
    """Fit scale and nu by maximum likelihood on the counts (BINS,) below bin ``upto``; the rest is as if unseen.

    Below bin ``since`` only how many there are counts. ``reach`` is how far from the start the search looks first. The
    normal law is taken unless finite nu is better by more than half the logarithm of the count (Schwarz 1978).
    """

    seen = np.flatnonzero(counts[:upto])
    if seen.size < 3:
        return start
    inside = slice(max(int(seen[0]), since), upto if upto < BINS else int(seen[-1]) + 1)
    total = float(counts[inside].sum())
    first = (np.log(start.scale), max(start.inverse_nu, 0.02))
    simplex = [first, (first[0] + reach, first[1]), (first[0], first[1] * (1 + 3 * reach) + 0.1 * reach)]
    heavy = scipy.optimize.minimize(
        lambda x: _cost(counts, RadialLaw(start.p, float(np.exp(x[0])), abs(float(x[1]))), inside, since) / total,
        first,
        method="Nelder-Mead",
        options={"xatol": 1e-4, "fatol": 1e-9, "initial_simplex": simplex, "maxiter": 200},
    )
    found = RadialLaw(start.p, float(np.exp(heavy.x[0])), min(abs(float(heavy.x[1])), 10.0))
    if found.inverse_nu > _SURELY_HEAVY:
        return found
    normal = scipy.optimize.minimize_scalar(
        lambda x: _cost(counts, RadialLaw(start.p, float(np.exp(x))), inside, since) / total,
        bounds=(first[0] - 2, first[0] + 2),
        method="bounded",
        options={"xatol": 1e-4},
    )
    better = (normal.fun - heavy.fun) * total >= np.log(total) / 2
    return found if better else RadialLaw(start.p, float(np.exp(normal.x)))


def own_tail(counts: Float64, law: RadialLaw) -> tuple[tuple[float, float], ...]:
    """Where the tail of the counts (BINS,) is surely not that of the law: its logarithm, and what to add to it.

    The outer half only, as far as 30 counts; the difference less a standard error, so that a law which fits stays.
    Farther out a lighter tail goes on as it fell between 150 and 30 counts.
    """
    beyond = np.cumsum(counts[::-1])[::-1]
    log_law = np.log(np.maximum(law.above(EDGES[:-1]), 1e-300))
    places = np.flatnonzero((log_law < np.log(0.5)) & (beyond >= 30))[:: PER_OCTAVE // 8]
    if places.size < 2:
        return ()
    log_law, beyond = log_law[places], beyond[places]
    difference = np.log(beyond / counts.sum()) - log_law
    sure = np.sign(difference) * np.maximum(np.abs(difference) - 1 / np.sqrt(beyond) - 0.05, 0)
    if not sure.any():
        return ()
    earlier = int(np.flatnonzero(beyond >= min(150, beyond[0]))[-1])
    run = log_law[earlier] - log_law[-1]
    slope = max(0.0, float((sure[earlier] - sure[-1]) / run)) if run > 0 else 0.0
    knots = [(float(np.log(0.5)), 0.0), *((float(a), float(b)) for a, b in zip(log_law, sure, strict=True))]
    return (*knots, (-700.0, float(sure[-1] - slope * (700.0 + log_law[-1]))))


def _cost(counts: Float64, law: RadialLaw, inside: slice, since: int) -> float:
    """Negative log likelihood of the counts, given that the samples lie below the end of these bins."""
    cumulative = law.below(EDGES[inside.start : inside.stop + 1])
    held = counts[inside]
    if since:
        cumulative, held = np.concatenate([[0.0], cumulative]), np.concatenate([[counts[: inside.start].sum()], held])
    else:
        cumulative = np.concatenate([[0.0], cumulative[1:]])
    share = np.diff(cumulative) / max(cumulative[-1], 1e-300)
    return float(-(held * np.log(np.maximum(share, 1e-300))).sum())


def directions(p: int) -> int:
    """Cells of equal probability that :func:`directional_counts` cuts the directions of p dimensions into."""
    return 2 if p == 1 else p * (p - 1) * 2 ** _signs(p)


def lightest(counts: NDArray[np.int64], share: float = 0.5) -> Float64:
    """Counts by distance (BINS,) from the emptiest directions, as if all directions were like them.

    ``counts`` is (2, cells, BINS): two halves of the samples. At every distance one half tells which directions are
    the emptiest and the other is counted there, so that without change the counts are right on average.
    """
    cells = counts.shape[1]
    keep = max(1, round(cells * share))
    total = np.zeros(counts.shape[2])
    for half in (0, 1):
        order = np.argsort(smoothed(counts[half]), axis=0, kind="stable")[:keep]
        total += np.take_along_axis(counts[1 - half], order, 0).sum(axis=0) * (cells / keep)
    return total


def fewer_beyond(counts: Float64, others: Float64) -> Float64:
    """Counts (BINS,) with, beyond every distance, the fewer of the two: what changed can only add to a tail."""
    beyond = np.minimum(np.cumsum(counts[::-1])[::-1], np.cumsum(others[::-1])[::-1])
    return np.asarray(-np.diff(beyond, append=0.0))


def unevenness(counts: NDArray[np.int64], law: RadialLaw) -> float:
    """How far directions differ in the samples they hold, beyond chance: the quartile range over the median.

    ``counts`` is (2, cells, BINS). Mean over the three inner quarters of the law. One elliptical population gives about
    0 and so do changes beside it, which lie in few directions; noise that is not elliptical gives 0.05 to 0.4. Too few
    samples to tell count as 0.
    """
    place = law.below(EDGES[:-1])
    found = []
    for quarter in range(3):
        inside = (place >= quarter / 4) & (place < (quarter + 1) / 4)
        held = counts.sum(axis=0)[:, inside].sum(axis=1)
        low, middle, high = np.percentile(held, (25, 50, 75))
        found.append((high - low) / middle - 1.349 / np.sqrt(middle) if middle >= _FEWEST_A_CELL else 0.0)
    return float(np.mean(found))


def smoothed(counts: NDArray[np.integer] | Float64) -> Float64:
    """Running sum over half an octave of the last axis."""
    reach = PER_OCTAVE // 4
    cumulative = np.cumsum(np.pad(counts.astype(np.float64), ((0, 0), (reach + 1, reach))), axis=1)
    return np.asarray(cumulative[:, 2 * reach + 1 :] - cumulative[:, : -(2 * reach + 1)])


def _signs(p: int) -> int:
    return min(p, 4) if p <= 4 else (3 if p == 5 else 2)


_FAST = {"contract", "reassoc", "nsz"}


@numba.njit(nogil=True, cache=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def place_of(
    x: NDArray[np.float32], location: NDArray[np.float32], whitener: NDArray[np.float32], z: NDArray[np.float32]
) -> tuple[int, int]:
    """Whiten one sample into z; return its direction cell (the two largest coordinates and signs) and distance bin."""
    p = z.size
    squared, big, second = np.float32(0), np.float32(-1), np.float32(-1)
    one, two = 0, 0
    for i in range(p):
        total = np.float32(0)
        for j in range(i + 1):
            total += whitener[i, j] * (x[j] - location[j])
        z[i] = total
        squared += total * total
        size = abs(total)
        if size > big:
            big, second, one, two = size, big, i, one
        elif size > second:
            second, two = size, i
    place = int((np.log2(max(squared, np.float32(1e-12))) - FIRST_OCTAVE) * PER_OCTAVE)
    place = min(max(place, 0), BINS - 1)
    if p == 1:
        return (1 if z[0] > 0 else 0), place
    cell = one * (p - 1) + (two - 1 if two > one else two)
    cell = cell * 4 + (2 if z[one] > 0 else 0) + (1 if z[two] > 0 else 0)
    left = (min(p, 4) if p <= 4 else (3 if p == 5 else 2)) - 2
    for i in range(p):
        if left > 0 and i != one and i != two:
            cell = cell * 2 + (1 if z[i] > 0 else 0)
            left -= 1
    return cell, place


@numba.njit(nogil=True, cache=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def directional_counts(
    samples: NDArray[np.float32],
    location: NDArray[np.float32],
    whitener: NDArray[np.float32],
    counts: NDArray[np.int64],
) -> None:
    """Count (n, p) samples into (2, cells, BINS): even and odd samples, direction, distance."""
    z = np.empty(samples.shape[1], np.float32)
    for k in range(samples.shape[0]):
        cell, place = place_of(samples[k], location, whitener, z)
        counts[k % 2, cell, place] += 1


@numba.njit(nogil=True, cache=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def weighted_moments(
    samples: NDArray[np.float32],
    location: NDArray[np.float32],
    whitener: NDArray[np.float32],
    unchanged: NDArray[np.float64],
    pull: NDArray[np.float64],
) -> tuple[float, float, NDArray[np.float64], NDArray[np.float64]]:
    """Sum of unchanged (cells, BINS), and of it times pull (BINS,) with the whitened first and second moments."""
    p = samples.shape[1]
    z = np.empty(p, np.float32)
    first, second = np.zeros(p), np.zeros((p, p))
    mass, pulled = 0.0, 0.0
    for k in range(samples.shape[0]):
        cell, place = place_of(samples[k], location, whitener, z)
        weight = unchanged[cell, place]
        mass += weight
        weight *= pull[place]
        pulled += weight
        for i in range(p):
            first[i] += weight * z[i]
            for j in range(i + 1):
                second[i, j] += weight * z[i] * z[j]
    for i in range(p):
        for j in range(i):
            second[j, i] = second[i, j]
    return mass, pulled, first, second
