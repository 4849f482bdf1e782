"""Unchanged samples told from changed ones: one central population and a few that lie off its centre.

A pixel that changed carries the noise of one that did not, and a shift. So the samples are a mixture of elliptical
populations with the same law of distance: the central one is no change; the others lie off its centre and are at least
as wide as it in every direction. Fitted by expectation and maximisation (for Student's t: Peel and McLachlan 2000),
from the start that :mod:`groundshift.change.radial` gives: directions that are emptiest at each distance are the
cleanest. The two constraints are what keeps a heavy tail from being taken for change and the reverse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from groundshift.change.radial import (
    BINS,
    FIRST_OCTAVE,
    PER_OCTAVE,
    RadialLaw,
    directional_counts,
    directions,
    fit_law,
    lightest,
    place_of,
    smoothed,
    unevenness,
    weighted_moments,
)
from groundshift.numerics.robust import Scatter

Float64 = NDArray[np.float64]

_CHUNK = 256
_OFF_CENTRE = 1.5
_FEWEST_PER_BAND = 8


@dataclass(frozen=True)
class Central:
    """The central population: scatter, law of D^2 about it, share of all samples, counts of D^2 (BINS,), unevenness."""

    scatter: Scatter
    law: RadialLaw
    share: float
    counts: Float64
    unevenness: float


@dataclass(frozen=True)
class Mixture:
    """Populations in whitened coordinates, the central one first: shares (k,), centres (k, p), scatters (k, p, p)."""

    shares: Float64
    centres: Float64
    scatters: Float64
    law: RadialLaw


@dataclass(frozen=True)
class Sums:
    """What one pass over the samples leaves for the next estimate."""

    likelihood: float
    counts: Float64
    mass: Float64
    pulled: Float64
    first: Float64
    second: Float64


def by_directions(samples: NDArray[np.float32], scatter: Scatter, rounds: int) -> tuple[Central, Float64]:
    """Refine scatter and law on the emptiest directions; (n, p) in.

    Returns the central population and the probability (cells, BINS) that a sample there is unchanged.
    """
    p = samples.shape[1]
    law = RadialLaw(p, 1.0, 0.1)
    for turn in range(rounds + 1):
        where = scatter.location.astype(np.float32), scatter.whitener.astype(np.float32)
        counts = np.zeros((2, directions(p), BINS), np.int64)
        directional_counts(samples, *where, counts)
        clean = lightest(counts)
        cumulative = np.cumsum(clean)
        upto = max(1, int(np.searchsorted(cumulative, 0.999 * cumulative[-1])))
        law = fit_law(clean, law, upto)
        expected = law.expected()
        share = float(min(1.0, clean[:upto].sum() / expected[:upto].sum() / len(samples)))
        unchanged = _unchanged(counts.sum(axis=0), share * len(samples) * expected)
        if turn < rounds:
            scatter = _moved(scatter, weighted_moments(samples, *where, unchanged, law.weights()))
            law = replace(law, scale=1.0)
    return Central(scatter, law, share, clean, unevenness(counts, law)), unchanged


def as_a_whole(samples: NDArray[np.float32], scatter: Scatter) -> Central:
    """The law of all (n, p) samples about a given scatter, fitted between their 50 % and 90 % quantiles.

    Within the median only how many there are counts: the law is that of the tail. A tenth may have changed.
    """
    p = samples.shape[1]
    counts = np.zeros((2, directions(p), BINS), np.int64)
    directional_counts(samples, scatter.location.astype(np.float32), scatter.whitener.astype(np.float32), counts)
    pooled = counts.sum(axis=(0, 1)).astype(np.float64)
    since, upto = (int(at) for at in np.searchsorted(np.cumsum(pooled), [0.5 * len(samples), 0.9 * len(samples)]))
    law = fit_law(pooled, RadialLaw(p, 1.0, 0.2), upto, since=since)
    share = float(min(1.0, pooled[:upto].sum() / law.expected()[:upto].sum() / len(samples)))
    return Central(scatter, law, share, np.zeros(BINS), unevenness(counts, law))


def _unchanged(counts: NDArray[np.int64], expected: Float64) -> Float64:
    wanted = smoothed(np.tile(expected / counts.shape[0], (counts.shape[0], 1)))
    return np.clip((wanted + 2) / (smoothed(counts) + 2), 0, 1)


def _moved(scatter: Scatter, moments: tuple[float, float, Float64, Float64]) -> Scatter:
    mass, pulled, first, second = moments
    shift = first / pulled
    inner = second / mass - np.outer(shift, shift) * (pulled / mass)
    back = np.linalg.cholesky(scatter.covariance)
    return Scatter(scatter.location + back @ shift, back @ inner @ back.T)


def changed_starts(
    samples: NDArray[np.float32], central: Central, unchanged: Float64, most: int, rng: np.random.Generator
) -> Mixture:
    """Start the off-centre populations from k-means on samples drawn by their probability of being changed."""
    p = samples.shape[1]
    white = (samples - central.scatter.location) @ central.scatter.whitener.T
    changed = _drawn(white.astype(np.float32), 1 - unchanged, rng)
    centres, scatters, weights = [np.zeros(p)], [central.law.scale * np.eye(p)], [central.share]
    if most and len(changed) > _FEWEST_PER_BAND * p:
        norm = np.sqrt((changed**2).sum(axis=1, keepdims=True))
        tame = changed * np.minimum(1, 4 * np.sqrt(8 + p) / np.maximum(norm, 1e-6))
        groups = int(np.clip(len(changed) // (4 * _FEWEST_PER_BAND * p), 1, max(most, 1)))
        label = _k_means(tame, groups, rng)
        for k in range(groups):
            mine = tame[label == k]
            if len(mine) > _FEWEST_PER_BAND * p:
                centres.append(mine.mean(axis=0))
                scatters.append(np.cov(mine.T).reshape(p, p) + 0.5 * np.eye(p))
                weights.append((1 - central.share + 1e-3) * len(mine) / len(changed))
    shares = np.array(weights) / np.sum(weights)
    return Mixture(shares, np.array(centres), np.array(scatters), replace(central.law, scale=1.0))


def _drawn(white: NDArray[np.float32], changed: Float64, rng: np.random.Generator, most: int = 20_000) -> Float64:
    p = white.shape[1]
    chance = np.empty(len(white), np.float64)
    _look_up(white, np.zeros(p, np.float32), np.eye(p, dtype=np.float32), changed, chance)
    return white[rng.random(len(white)) < chance][:most].astype(np.float64)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _look_up(
    samples: NDArray[np.float32],
    location: NDArray[np.float32],
    whitener: NDArray[np.float32],
    table: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    z = np.empty(samples.shape[1], np.float32)
    for k in range(samples.shape[0]):
        cell, place = place_of(samples[k], location, whitener, z)
        out[k] = table[cell, place]


def _k_means(points: Float64, k: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Lloyd's iterations from spread-out starts (Arthur and Vassilvitskii 2007); the label of each point."""
    centres = points[[rng.integers(len(points))]]
    nearest = ((points - centres[0]) ** 2).sum(axis=1)
    for _ in range(k - 1):
        total = nearest.sum()
        pick = rng.choice(len(points), p=nearest / total) if total > 0 else 0
        centres = np.vstack([centres, points[pick]])
        nearest = np.minimum(nearest, ((points - points[pick]) ** 2).sum(axis=1))
    for _ in range(12):
        label = np.stack([((points - c) ** 2).sum(axis=1) for c in centres]).argmin(axis=0)
        for j in range(k):
            if (label == j).any():
                centres[j] = points[label == j].mean(axis=0)
    return np.asarray(label)


def refined(white: NDArray[np.float32], mixture: Mixture, rounds: int, hold: int = 0) -> Mixture:
    """Return the mixture after at most ``rounds`` passes over (p, n) samples; the centre stays for ``hold`` of them."""
    last = -np.inf
    for turn in range(rounds):
        sums = expectation(white, mixture)
        mixture = maximised(mixture, sums, hold=turn < hold)
        if turn > hold and abs(sums.likelihood - last) < 2e-6 * white.shape[1]:
            break
        last = sums.likelihood
    return mixture


def expectation(white: NDArray[np.float32], mixture: Mixture) -> Sums:
    """One pass: to which population each of (p, n) samples belongs, summed."""
    k, p = mixture.centres.shape
    whiteners = np.linalg.inv(np.linalg.cholesky(mixture.scatters))
    height = np.log(mixture.shares) + np.log(np.diagonal(whiteners, axis1=1, axis2=2)).sum(axis=1)
    counts, mass, pulled = np.zeros(BINS), np.zeros(k), np.zeros(k)
    first, second = np.zeros((k, p)), np.zeros((k, p, p))
    likelihood = _pass(
        white,
        mixture.centres.astype(np.float32),
        whiteners.astype(np.float32),
        height.astype(np.float32),
        np.float32(mixture.law.inverse_nu),
        counts,
        mass,
        pulled,
        first,
        second,
    )
    back = np.linalg.inv(whiteners)
    second = second + np.tril(second, -1).transpose(0, 2, 1)
    shift = first / np.maximum(pulled, 1e-300)[:, None]
    inner = second / np.maximum(mass, 1e-300)[:, None, None]
    inner -= shift[:, :, None] * shift[:, None, :] * (pulled / np.maximum(mass, 1e-300))[:, None, None]
    centres = mixture.centres + np.einsum("kij,kj->ki", back, shift)
    return Sums(likelihood, counts, mass, pulled, centres, back @ inner @ back.transpose(0, 2, 1))


def maximised(mixture: Mixture, sums: Sums, hold: bool) -> Mixture:
    """The next mixture: moments of every population, then the two constraints on those off the centre."""
    p = mixture.law.p
    law = mixture.law if hold else replace(fit_law(sums.counts, mixture.law, reach=0.02), scale=1.0)
    centres, scatters = sums.first.copy(), sums.second.copy()
    if hold:
        centres[0], scatters[0] = mixture.centres[0], mixture.scatters[0]
    scatters[0] += 1e-6 * np.diag(np.diag(scatters[0]))
    root = np.linalg.cholesky(scatters[0])
    inverse = np.linalg.inv(root)
    kept = [0]
    for k in range(1, len(centres)):
        if sums.mass[k] < _FEWEST_PER_BAND * p:
            continue
        away = inverse @ (centres[k] - centres[0])
        if not away @ away > _OFF_CENTRE**2:
            continue
        lengths, axes = np.linalg.eigh(inverse @ scatters[k] @ inverse.T)
        scatters[k] = root @ (axes * np.maximum(lengths, 1.0)) @ axes.T @ root.T
        kept.append(k)
    shares = sums.mass[kept] / sums.mass[kept].sum()
    return Mixture(shares, centres[kept], scatters[kept], law)


_FAST = {"contract", "reassoc", "nsz"}


# Chebyshev fits on 0..1, lowest power first: log2(1 + m) / m to 1e-6, and 2^m to 2e-7.
_LOG2 = (1.442693257, -0.721162734, 0.477705931, -0.339247773, 0.215588532, -0.096066249, 0.020490346)
_EXP2 = (0.999999896, 0.693154620, 0.240140770, 0.055863283, 0.008946215, 0.001895107)


@numba.njit(nogil=True, cache=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _log2(
    bits: NDArray[np.int32], mantissa: NDArray[np.float32], inner: NDArray[np.int32], out: NDArray[np.float32]
) -> None:
    """Base-2 logarithm of the floats whose bits are given; ``inner`` are the bits of ``mantissa``; no branch."""
    for k in range(bits.size):
        inner[k] = (bits[k] & 0x7FFFFF) | 0x3F800000
        out[k] = np.float32((bits[k] >> 23) - 127)
    for k in range(bits.size):
        m = mantissa[k] - np.float32(1)
        poly = np.float32(_LOG2[6])
        poly = poly * m + np.float32(_LOG2[5])
        poly = poly * m + np.float32(_LOG2[4])
        poly = poly * m + np.float32(_LOG2[3])
        poly = poly * m + np.float32(_LOG2[2])
        poly = poly * m + np.float32(_LOG2[1])
        poly = poly * m + np.float32(_LOG2[0])
        out[k] += poly * m


@numba.njit(nogil=True, cache=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _exp2(
    power: NDArray[np.float32], whole: NDArray[np.int32], out: NDArray[np.float32], bits: NDArray[np.int32]
) -> None:
    """2 to the power, for powers up to 0 (below -120 as -120); ``bits`` are those of ``out``. No branch: vectors."""
    for k in range(power.size):
        x = max(power[k], np.float32(-120))
        floor = np.int32(x) - np.int32(1)
        m = x - np.float32(floor)
        whole[k] = floor << 23
        poly = np.float32(_EXP2[5])
        poly = poly * m + np.float32(_EXP2[4])
        poly = poly * m + np.float32(_EXP2[3])
        poly = poly * m + np.float32(_EXP2[2])
        poly = poly * m + np.float32(_EXP2[1])
        out[k] = poly * m + np.float32(_EXP2[0])
    for k in range(power.size):
        bits[k] += whole[k]


@numba.njit(nogil=True, cache=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _heights(
    x: NDArray[np.float32],
    centres: NDArray[np.float32],
    whiteners: NDArray[np.float32],
    height: NDArray[np.float32],
    inverse_nu: np.float32,
    z: NDArray[np.float32],
    squared: NDArray[np.float32],
    log2_density: NDArray[np.float32],
    floats: NDArray[np.float32],
    ints: NDArray[np.int32],
) -> None:
    """Base-2 logarithm of share times density of every population for one chunk (p, size)."""
    p, size = x.shape
    to_log2 = np.float32(1.4426950408889634)
    for c in range(height.size):
        near, total = z[c], squared[c]
        total[:] = np.float32(0)
        for i in range(p):
            row = near[i]
            row[:] = np.float32(0)
            for j in range(i + 1):
                weight, middle = whiteners[c, i, j], centres[c, j]
                for k in range(size):
                    row[k] += weight * (x[j, k] - middle)
            for k in range(size):
                total[k] += row[k] * row[k]
        out, level = log2_density[c], height[c] * to_log2
        if inverse_nu < np.float32(1e-5):
            for k in range(size):
                out[k] = level - np.float32(0.5) * to_log2 * total[k]
        else:
            slope = np.float32(0.5) * (np.float32(1) / inverse_nu + np.float32(p))
            for k in range(size):
                floats[0, k] = np.float32(1) + total[k] * inverse_nu
            _log2(ints[0], floats[1], ints[1], out)
            for k in range(size):
                out[k] = level - slope * out[k]


@numba.njit(nogil=True, cache=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _shares(
    log2_density: NDArray[np.float32], share: NDArray[np.float32], bits: NDArray[np.int32], whole: NDArray[np.int32]
) -> float:
    """Probability of every population for every sample of the chunk; returns the summed log2 likelihood."""
    k_all, size = log2_density.shape
    top = log2_density[0].copy()
    for c in range(1, k_all):
        for k in range(size):
            top[k] = max(top[k], log2_density[c, k])
    total = np.zeros(size, np.float32)
    for c in range(k_all):
        for k in range(size):
            log2_density[c, k] -= top[k]
        _exp2(log2_density[c], whole, share[c], bits[c])
        for k in range(size):
            total[k] += share[c, k]
    for c in range(k_all):
        for k in range(size):
            share[c, k] /= total[k]
    likelihood = 0.0
    for k in range(size):
        likelihood += top[k] + np.log2(total[k])
    return likelihood


@numba.njit(nogil=True, cache=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _pass(
    x: NDArray[np.float32],
    centres: NDArray[np.float32],
    whiteners: NDArray[np.float32],
    height: NDArray[np.float32],
    inverse_nu: np.float32,
    counts: NDArray[np.float64],
    mass: NDArray[np.float64],
    pulled: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
) -> float:
    """Add to counts, mass, pulled, first and second what :func:`expectation` needs; returns the log likelihood."""
    k_all, p = centres.shape
    z = np.empty((k_all, p, _CHUNK), np.float32)
    squared = np.empty((k_all, _CHUNK), np.float32)
    density = np.empty((k_all, _CHUNK), np.float32)
    share = np.empty((k_all, _CHUNK), np.float32)
    floats = np.empty((2, _CHUNK), np.float32)
    whole = np.empty(_CHUNK, np.int32)
    pull = np.empty(_CHUNK, np.float32)
    likelihood = 0.0
    for begin in range(0, x.shape[1] - _CHUNK + 1, _CHUNK):
        chunk = x[:, begin : begin + _CHUNK]
        _heights(chunk, centres, whiteners, height, inverse_nu, z, squared, density, floats, floats.view(np.int32))
        likelihood += _shares(density, share, share.view(np.int32), whole) / 1.4426950408889634
        for k in range(_CHUNK):
            place = int((np.log2(max(squared[0, k], np.float32(1e-12))) - FIRST_OCTAVE) * PER_OCTAVE)
            counts[min(max(place, 0), BINS - 1)] += share[0, k]
        for c in range(k_all):
            own, near, distance = share[c], z[c], squared[c]
            sum_own, sum_pull = np.float32(0), np.float32(0)
            for k in range(_CHUNK):
                pull[k] = own[k] * (np.float32(1) + p * inverse_nu) / (np.float32(1) + distance[k] * inverse_nu)
                sum_own += own[k]
                sum_pull += pull[k]
            mass[c] += sum_own
            pulled[c] += sum_pull
            for i in range(p):
                a = near[i]
                part = np.float32(0)
                for k in range(_CHUNK):
                    part += pull[k] * a[k]
                first[c, i] += part
                for j in range(i + 1):
                    b = near[j]
                    part = np.float32(0)
                    for k in range(_CHUNK):
                        part += pull[k] * a[k] * b[k]
                    second[c, i, j] += part
    return likelihood
