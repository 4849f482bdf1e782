"""Agreement of a change map with the truth: counts, scores, area under the ROC curve, intervals by block bootstrap.

Everything counts pixels of two classes, change and no change. A score whose denominator is zero does not exist:
it is ``None``, and :func:`undefined` says why; it is never reported as zero or one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError
from groundshift.model.grid import Window

UNDEFINED = {
    "precision": "the map shows no change",
    "recall": "the truth holds no change",
    "f1": "neither the map nor the truth holds change",
    "iou": "neither the map nor the truth holds change",
    "overall_accuracy": "no pixel was compared",
    "kappa": "map and truth are one and the same class everywhere",
    "auc": "the truth holds one class only",
}
"""Why a score may not exist, by its name."""

MIN_BLOCKS = 10
"""With fewer blocks than this, resampling them says nothing about the spread."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Confusion:
    """Pixels by agreement; ``a + b`` pools two scenes."""

    tp: int
    """Change in both."""
    fp: int
    """Change in the map only: false alarm."""
    fn: int
    """Change in the truth only: missed."""
    tn: int
    """Change in neither."""

    def __add__(self, other: Confusion) -> Confusion:
        """Counts of both scenes together."""
        return Confusion(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def total(self) -> int:
        """Pixels compared."""
        return self.tp + self.fp + self.fn + self.tn


def confusion(changed: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_]) -> Confusion:
    """Count agreement where ``valid``.

    Args:
        changed: (y, x), the map.
        truth: (y, x).
        valid: (y, x), True = both are known.
    """
    return Confusion(*(int(n) for n in _count(changed, truth, valid)))


def confusion_by_block(
    changed: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_], windows: Sequence[Window]
) -> NDArray[np.int64]:
    """Counts (block, 4) in the order tp, fp, fn, tn. Law: its sum over all blocks is :func:`confusion`."""
    rows = [_count(changed[w.slices], truth[w.slices], valid[w.slices]) for w in windows]
    return np.array(rows, np.int64).reshape(-1, 4)


def _count(changed: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    code = 2 * truth[valid].view(np.uint8) + changed[valid].view(np.uint8)
    tn, fp, fn, tp = np.bincount(code, minlength=4)
    return np.array([tp, fp, fn, tn], np.int64)


def score_arrays(counts: NDArray[np.integer]) -> dict[str, NDArray[np.float64]]:
    """Scores of many tables at once.

    Args:
        counts: (..., 4) in the order tp, fp, fn, tn.

    Returns:
        By name, shape (...), NaN where the score does not exist. Cohen's kappa, (OA - pe) / (1 - pe), is written as
        2 (tp tn - fp fn) / ((tp + fp)(fp + tn) + (tp + fn)(fn + tn)), which is the same and loses no digits.
    """
    tp, fp, fn, tn = np.moveaxis(counts.astype(np.float64), -1, 0)
    fractions = {
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "f1": (2 * tp, 2 * tp + fp + fn),
        "iou": (tp, tp + fp + fn),
        "overall_accuracy": (tp + tn, tp + fp + fn + tn),
        "kappa": (2 * (tp * tn - fp * fn), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)),
    }
    with np.errstate(invalid="ignore"):
        return {name: np.where(below > 0, above / below, np.nan) for name, (above, below) in fractions.items()}


def scores(table: Confusion) -> dict[str, float | None]:
    """Precision, recall, F1, IoU, overall accuracy and kappa of one table; None where a score does not exist."""
    values = score_arrays(np.array(astuple(table), np.int64))
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}


def undefined(values: Mapping[str, float | None]) -> dict[str, str]:
    """Why each of these scores that is None does not exist."""
    return {name: UNDEFINED[name] for name, value in values.items() if value is None}


def auc(score: NDArray[np.floating], truth: NDArray[np.bool_]) -> float | None:
    """Area under the ROC curve: P(score of change > score of no change) + P(equal) / 2 (Mann-Whitney).

    Exact, ties included: the smaller class is sorted, the larger one is looked up in it chunk by chunk, so the
    memory beyond the arguments is that of the smaller class.

    Args:
        score: any shape, no NaN.
        truth: same shape, True = change.

    Returns:
        0..1, or None when the truth holds one class only.

    Raises:
        InputError: a score is NaN.
    """
    score, truth = score.ravel(), truth.ravel()
    changes = int(np.count_nonzero(truth))
    smaller = changes <= truth.size - changes
    pairs = changes * (truth.size - changes)
    if pairs == 0:
        return None
    small = np.sort(score[truth == smaller])
    if np.isnan(small[-1]):
        raise InputError("a score is NaN: leave such pixels out before the ROC curve is drawn.")
    twice = 0
    for start in range(0, truth.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        other = np.sort(score[part][truth[part] != smaller])
        if other.size and np.isnan(other[-1]):
            raise InputError("a score is NaN: leave such pixels out before the ROC curve is drawn.")
        for side in ("left", "right"):
            twice += int(np.searchsorted(small, other, side=side).sum(dtype=np.int64))
    return ((2 * pairs - twice) if smaller else twice) / (2 * pairs)


def histograms_by_block(
    score: NDArray[np.floating],
    truth: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    windows: Sequence[Window],
    bins: int = 512,
) -> NDArray[np.int64]:
    """Histograms (block, 2, bin) of the score where ``valid``: no change first, then change.

    The bins hold equal shares of a sample of the image, so that an AUC from them errs by less than 1 / bins.
    """
    sample = score[valid]
    sample = sample[:: max(1, sample.size // 1_000_000)]
    edges = np.unique(np.quantile(sample, np.linspace(0, 1, bins + 1)[1:-1])) if sample.size else np.zeros(0)
    out = np.zeros((len(windows), 2, bins), np.int64)
    for block, window in enumerate(windows):
        inside = valid[window.slices]
        rank = np.searchsorted(edges, score[window.slices][inside])
        rank += bins * truth[window.slices][inside]
        out[block] = np.bincount(rank, minlength=2 * bins).reshape(2, bins)
    return out


def auc_of_histograms(histograms: NDArray[np.number]) -> NDArray[np.float64]:
    """AUC from histograms (..., 2, bin); NaN where a class is absent. A bin counts as a tie."""
    without, with_ = np.moveaxis(histograms.astype(np.float64), -2, 0)
    below = np.cumsum(without, axis=-1) - without / 2
    pairs = without.sum(-1) * with_.sum(-1)
    with np.errstate(invalid="ignore"):
        return np.where(pairs > 0, (with_ * below).sum(-1) / pairs, np.nan)


def bootstrap_weights(blocks: int, replicates: int, seed: int) -> NDArray[np.int64]:
    """How often each block is drawn: (replicate, block). Law: every row sums to ``blocks``."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=replicates).astype(np.int64)


def intervals(
    counts: NDArray[np.int64],
    histograms: NDArray[np.int64] | None = None,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float] | None]:
    """Percentile intervals of every score by drawing whole blocks with replacement.

    Pixels of one neighbourhood err together, so pixels are no independent draws, but distant blocks nearly are
    (block bootstrap; Efron and Tibshirani 1993, chapters 8 and 13).

    Args:
        counts: (block, 4) from :func:`confusion_by_block`; blocks without a valid pixel are left out.
        histograms: (block, 2, bin) of the same blocks, for the AUC.
        level: share of the replicates inside.
        replicates: number of draws.
        seed: of the draws.

    Returns:
        (low, high) by name; None with fewer than :data:`MIN_BLOCKS` blocks, or where a tenth of the draws
        leaves the score undefined.
    """
    filled = counts.sum(axis=1) > 0
    names = [*score_arrays(counts[:0]), *([] if histograms is None else ["auc"])]
    if np.count_nonzero(filled) < MIN_BLOCKS:
        return dict.fromkeys(names)
    weights = bootstrap_weights(int(np.count_nonzero(filled)), replicates, seed)
    drawn = score_arrays(weights @ counts[filled])
    if histograms is not None:
        flat = histograms[filled].reshape(weights.shape[1], -1).astype(np.float64)
        drawn["auc"] = auc_of_histograms((weights @ flat).reshape(replicates, 2, -1))
    return {name: _percentiles(values, level) for name, values in drawn.items()}


def _percentiles(values: NDArray[np.float64], level: float) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    if known.size < 0.9 * values.size:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
