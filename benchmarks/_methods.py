"""The detectors that the benchmarks compare: ours with its defaults, the textbook, and a robust pixel-wise one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from _pairs import BANDS, Pair
from groundshift.numerics.robust import mcd, squared_distance
from groundshift.pipelines.arrays import ArrayChange, compare
from groundshift.pipelines.job import DetectSection
from groundshift.radiometry import normalise

CONFIDENCE = 99.99
TEXTBOOK = DetectSection(normalization="diag", estimator="textbook", context="none")
"""Mean and standard deviation band by band, chi-squared."""


def default(pair: Pair) -> ArrayChange:
    """What ``groundshift change`` finds without any option."""
    return compare(pair.before, pair.after, pair.valid, pixel_m=pair.pixel_m, bands=BANDS)


def textbook(pair: Pair) -> ArrayChange:
    """Change vector analysis as in the books, after the same normalisation."""
    return compare(pair.before, pair.after, pair.valid, pixel_m=pair.pixel_m, bands=BANDS, detect=TEXTBOOK)


def mcd_pixelwise(pair: Pair) -> NDArray[np.bool_]:
    """Robust covariance and chi-squared, pixel by pixel, after the same normalisation."""
    before, after = pair.before[:, pair.valid], pair.after[:, pair.valid]
    difference = normalise.apply(normalise.fit(before, after, bands=BANDS), after) - before
    changed = np.zeros(pair.valid.shape, bool)
    changed[pair.valid] = squared_distance(difference, mcd(difference)) > stats.chi2.ppf(CONFIDENCE / 100, len(BANDS))
    return changed
