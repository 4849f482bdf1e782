"""The probability of change by statistics alone: how much rarer a value would be without change than it is.

The two-groups model: the statistic of a pair has the density f = pi0 f0 + (1 - pi0) f1, and a pixel that shows the
value t has changed with probability 1 - pi0 f0(t) / f(t), one minus the local false-discovery rate. f is what is seen.
f0 is what is seen outside of the regions of change (:mod:`groundshift.change.regions`): chi-squared and F laws do not
fit real noise far out, where it matters. The statistic is that of a pixel and its neighbours: change is a region.

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

from groundshift.change.radial import BINS, EDGES, FIRST_OCTAVE, PER_OCTAVE
from groundshift.errors import InputError, NoDataError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

FEWEST = 1000
CONTEXT_HALO_PX = 1
"""Pixels around a block that :func:`in_context` depends on."""
_SMOOTH_BINS = 2.0
"""Width of the density's kernel, of bins that are a sixteenth of an octave each."""
_MOST = 0.9999
"""Largest probability: no statistic is certain."""
_LEAST = 1e-6
_FLOOR = np.float32(1e-6)
WEIGHT_OF_NETWORK = 0.5
"""Of its logit in :func:`ensemble`; fixed before it was measured."""


@dataclass(frozen=True, kw_only=True)
class LocalFdr:
    """Probability of change as a function of the statistic. Plain numbers: prints as JSON, pickles."""

    unchanged_share: float
    """pi0: one minus the mean of the probabilities."""
    samples: int
    """Samples that this was fitted on."""
    curve: tuple[float, ...]
    """Probability at the middle of each bin of the logarithm of the statistic (:mod:`groundshift.change.radial`)."""

    def probability(self, statistic: ArrayLike) -> Float32:
        """Probability of change, 0 to 1, float32, of the statistic in context (...); NaN stays NaN.

        Law: a larger statistic never has a smaller probability.
        """
        values = np.asarray(statistic, np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            place = (np.log2(values) - np.float32(FIRST_OCTAVE)) * np.float32(PER_OCTAVE) - np.float32(0.5)
        out: Float32 = np.interp(place.ravel(), np.arange(BINS), self._curve).astype(np.float32).reshape(values.shape)
        out[np.isnan(values)] = np.nan
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


def in_context(statistic: Float32, valid: NDArray[np.bool_]) -> Float32:
    """Geometric mean of the statistic over the valid ones of 3 x 3 pixels, (y, x) float32; 0 where not valid.

    One noisy pixel stands out of its neighbours, a pixel of a change does not.

    Args:
        statistic: (y, x) squared statistic; anything where not valid.
        valid: (y, x).

    Law: a pixel gets the same bits in every block that holds it and :data:`CONTEXT_HALO_PX` pixels around.
    """
    log = np.zeros(valid.shape, np.float32)
    np.log(np.maximum(statistic, _FLOOR), out=log, where=valid)
    count = _over_nine(valid.astype(np.float32))
    out = np.zeros(valid.shape, np.float32)
    np.exp(_over_nine(log) / np.maximum(count, np.float32(1)), out=out, where=valid)
    return out


def _over_nine(layer: Float32) -> Float32:
    padded = np.pad(layer, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:])


def fit(statistic: ArrayLike, unchanged: NDArray[np.bool_]) -> LocalFdr:
    """Fit the local false-discovery rate.

    Args:
        statistic: (n,) of a sample of the pair, in context; not finite or below 0: left out.
        unchanged: (n,) outside of regions of change and of their rims.

    Raises:
        NoDataError: fewer than 1000 samples, or than 1000 of them unchanged.
        InputError: shapes differ.

    Law: multiplying the statistic by a power of two moves the curve and changes nothing else; without any regions of
    change the probability is 0 everywhere.
    """
    values = np.asarray(statistic, np.float32).ravel()
    outside = np.asarray(unchanged, np.bool_).ravel()
    if values.shape != outside.shape:
        raise InputError(f"statistic and unchanged of shapes {values.shape} and {outside.shape}: expected equal ones")
    usable = np.isfinite(values) & (values >= 0)
    seen, calm = (_counted(values[mask]) for mask in (usable, usable & outside))
    if calm.sum() < FEWEST:
        raise NoDataError(
            f"only {calm.sum():.0f} of {seen.sum():.0f} usable pixels lie outside of changes, and probabilities of "
            f"change need {FEWEST}"
        )
    curve = _risen(seen, calm)
    share = float((curve * seen).sum() / seen.sum())
    return LocalFdr(unchanged_share=1 - share, samples=int(seen.sum()), curve=tuple(float(value) for value in curve))


def _counted(values: Float32) -> Float64:
    place = np.floor((np.log2(np.maximum(values, np.float32(EDGES[0]))) - FIRST_OCTAVE) * PER_OCTAVE).astype(np.intp)
    return np.bincount(np.clip(place, 0, BINS - 1), minlength=BINS).astype(np.float64)


def _risen(seen: Float64, calm: Float64) -> Float64:
    """1 - pi0 f0 / f in every bin, never falling; what is seen below the median is taken for unchanged."""
    from scipy.optimize import isotonic_regression  # here, since it takes memory, and only a fit needs it

    low = np.cumsum(seen) <= 0.5 * seen.sum()
    calm = calm * max(1.0, float(seen[low].sum() / max(calm[low].sum(), 1.0)))
    above, below = (ndimage.gaussian_filter1d(counts, _SMOOTH_BINS, mode="constant") for counts in (calm, seen))
    raw = np.where(below > 1e-3, np.clip(1 - above / np.maximum(below, 1e-9), 0, _MOST), 0)
    found: Float64 = isotonic_regression(raw, weights=np.maximum(below, 1e-9)).x
    found = np.clip(found, 0, _MOST)
    last = int(np.flatnonzero(seen)[-1])
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
    mean = np.float32(weight) * _logit(network) + np.float32(1 - weight) * _logit(statistical)
    return np.asarray(1 / (1 + np.exp(-mean)), np.float32)


def _logit(probability: Float32) -> Float32:
    p = np.clip(np.asarray(probability, np.float32), np.float32(_LEAST), np.float32(1 - _LEAST))
    return np.asarray(np.log(p / (1 - p)), np.float32)
