"""The probability of change by statistics alone: how much more often a value occurs than it would without change.

The two-groups model: the squared statistic of a pair has the density f = pi0 f0 + (1 - pi0) f1, and a pixel that shows
the value t has changed with probability 1 - pi0 f0(t) / f(t), one minus the local false-discovery rate. f is what is
seen; f0 and pi0, an F law and its share, are fitted to the inner part, where next to nothing has changed.

Source: B. Efron (2004), Large-scale simultaneous hypothesis testing: the choice of a null hypothesis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from groundshift.change.radial import BINS, EDGES, FIRST_OCTAVE, PER_OCTAVE, RadialLaw, fit_law
from groundshift.errors import InputError, NoDataError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

FEWEST = 1000
_INNER = 0.8
"""Share of the samples, from the smallest on, that the law of no change is fitted to."""
_SMOOTH_BINS = 2.0
_MOST = 1 - 1e-4
"""Largest probability: no statistic is certain."""
_LEAST = 1e-6
WEIGHT_OF_NETWORK = 0.5
"""Of its logit in :func:`ensemble`; fixed before it was measured on held-out pairs."""


@dataclass(frozen=True, kw_only=True)
class LocalFdr:
    """Probability of change as a function of the squared statistic. Plain numbers: prints as JSON, pickles."""

    unchanged_share: float
    """pi0."""
    bands: int
    """p of the law of no change."""
    law_scale: float
    """s of t / (p s) ~ F(p, nu)."""
    inverse_nu: float
    """1 / nu of that law."""
    samples: int
    """Samples that this was fitted on."""
    curve: tuple[float, ...]
    """Probability at the middle of each bin of the logarithm of the statistic (:mod:`groundshift.change.radial`)."""

    def probability(self, statistic: ArrayLike) -> Float32:
        """Probability of change, 0 to 1, float32, of the squared statistic (...); NaN stays NaN.

        Law: a larger statistic never has a smaller probability.
        """
        squared = np.asarray(statistic, np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            place = (np.log2(squared) - np.float32(FIRST_OCTAVE)) * np.float32(PER_OCTAVE) - np.float32(0.5)
        out: Float32 = np.interp(place.ravel(), np.arange(BINS), self._curve).astype(np.float32).reshape(squared.shape)
        out[np.isnan(squared)] = np.nan
        return out

    @cached_property
    def _curve(self) -> Float64:
        return np.array(self.curve)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers, from which :meth:`from_json` makes an equal one."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LocalFdr:
        """Return what :meth:`to_json` was called on."""
        return cls(**{**values, "curve": tuple(values["curve"])})


def fit(statistic: ArrayLike, bands: int) -> LocalFdr:
    """Fit the local false-discovery rate.

    Args:
        statistic: (n,) squared statistic of a sample of the pair, changed pixels among them; not finite: left out.
        bands: of the images, which the statistic is a sum over.

    Raises:
        NoDataError: fewer than 1000 samples.
        InputError: no bands.

    Law: multiplying the statistic by a factor moves the curve, and nothing else but by rounding to bins.
    """
    if bands < 1:
        raise InputError(f"bands is {bands}: expected at least 1")
    values = np.asarray(statistic, np.float64).ravel()
    values = values[np.isfinite(values) & (values >= 0)]
    if len(values) < FEWEST:
        raise NoDataError(f"only {len(values)} usable pixels, and probabilities of change need {FEWEST}")
    place = np.floor((np.log2(np.maximum(values, EDGES[0])) - FIRST_OCTAVE) * PER_OCTAVE).astype(int)
    counts = np.bincount(np.clip(place, 0, BINS - 1), minlength=BINS).astype(np.float64)
    law, share = _null(counts, bands)
    return LocalFdr(
        unchanged_share=share,
        bands=bands,
        law_scale=law.scale,
        inverse_nu=law.inverse_nu,
        samples=len(values),
        curve=tuple(float(each) for each in _curve(counts, law, share)),
    )


def _null(counts: Float64, bands: int) -> tuple[RadialLaw, float]:
    """Law of no change, and its share: what the inner part of the samples says."""
    cumulative = np.cumsum(counts)
    upto = int(np.searchsorted(cumulative, _INNER * cumulative[-1])) + 1
    median = float(EDGES[int(np.searchsorted(cumulative, 0.5 * cumulative[-1]))])
    start = RadialLaw(bands, max(median, EDGES[0]) / RadialLaw(bands).exceeded_by(0.5))
    law = fit_law(counts, start, upto=min(upto, BINS))
    inside = float(law.below(EDGES[upto]))
    return law, min(1.0, float(cumulative[upto - 1] / cumulative[-1]) / max(inside, 1e-9))


def _curve(counts: Float64, law: RadialLaw, share: float) -> Float64:
    """1 - pi0 f0 / f in every bin, f less a standard error, never falling."""
    from sklearn.isotonic import IsotonicRegression

    total = counts.sum()
    expected = ndimage.gaussian_filter1d(share * law.expected() * total, _SMOOTH_BINS, mode="constant")
    seen = ndimage.gaussian_filter1d(counts, _SMOOTH_BINS, mode="constant")
    error = np.sqrt(np.maximum(seen, 0) / (2 * np.sqrt(np.pi) * _SMOOTH_BINS))
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = 1 - expected / (seen - error)
    raw = np.where(seen > error, np.clip(raw, 0, _MOST), 0)
    weight = np.maximum(seen, 1e-9)
    found: Float64 = IsotonicRegression(y_min=0, y_max=_MOST).fit_transform(np.arange(BINS), raw, sample_weight=weight)
    last = int(np.flatnonzero(counts)[-1])
    found[last:] = found[last]
    return found


def ensemble(network: Float32, statistical: Float32, weight: float = WEIGHT_OF_NETWORK) -> Float32:
    """Weighted mean of the logits of two probabilities of change; NaN where either is.

    Args:
        network: (...) of :class:`~groundshift.change.network.ChangeNet`.
        statistical: (...) of :class:`LocalFdr`.
        weight: of the first, 0 to 1.

    Source: V. A. Satopaa et al. (2014), Combining multiple probability predictions using a simple logit model.
    """
    if not 0 <= weight <= 1:
        raise InputError(f"weight is {weight}: expected 0 to 1")
    one, other = (_logit(each) for each in (network, statistical))
    mean = np.float32(weight) * one + np.float32(1 - weight) * other
    return np.asarray(1 / (1 + np.exp(-mean)), np.float32)


def _logit(probability: Float32) -> Float32:
    p = np.clip(np.asarray(probability, np.float32), np.float32(_LEAST), np.float32(1 - _LEAST))
    return np.asarray(np.log(p / (1 - p)), np.float32)
