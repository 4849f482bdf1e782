"""Probabilities of change from what a pair taught of itself: fitted on the sample blocks, applied to any block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from groundshift.change import probability
from groundshift.change.probability import LocalFdr
from groundshift.change.radial import EDGES
from groundshift.pipelines.fitting import Block, Fitted, beyond, changed_in

_TAIL, _FEWEST_IN_TAIL = 0.001, 50
"""Share of the unchanged samples that their tail is fitted on, and how many of them at least."""
_MOST, _LEAST = 0.9999, 1e-6


def fit(blocks: Sequence[Block], fitted: Fitted, compared_px: int = 0) -> LocalFdr:
    """Fit the local false-discovery rate on sample blocks.

    Args:
        blocks: those that ``fitted`` was fitted on.
        fitted: statistic and thresholds of the pair.
        compared_px: pixels that the pair is compared at, where those are more than the sample holds.

    Raises:
        NoDataError: too few usable pixels.
    """
    changed = changed_in(blocks, fitted)
    values, outside = [], []
    for block, mask in zip(blocks, changed, strict=True):
        found = probability.in_context(fitted.measure(block).statistic, block.valid)
        values.append(found[block.valid])
        outside.append(beyond(mask, block.valid)[block.valid])
    every, calm = np.concatenate(values), np.concatenate(outside)
    return _with_tail(probability.fit(every, calm), every[calm], max(compared_px, len(every)))


def _with_tail(local: LocalFdr, calm: NDArray[np.float32], compared_px: int) -> LocalFdr:
    """The same with a say on values that the sample does not hold: of a change that lies beside it, or that is older.

    Beyond a value that less than one of all unchanged pixels should exceed, whatever is there has changed: the rate of
    false discoveries in the tail (Benjamini & Hochberg 1995) with one discovery, the tail being that of a power law
    (Hill 1975), which falls more slowly than that of noise.
    """
    count = max(_FEWEST_IN_TAIL, round(_TAIL * len(calm)))
    if len(calm) <= count:
        return local
    top = np.maximum(np.partition(calm, len(calm) - count - 1)[len(calm) - count - 1 :], _LEAST)
    start = float(top[0])
    slope = 1 / max(float(np.log(top[1:] / start).mean()), _LEAST)
    expected = compared_px * count / len(calm) * (EDGES[:-1] / start) ** -slope
    sure = np.where(EDGES[:-1] > start, np.clip(1 - expected, 0, _MOST), 0)
    return replace(local, curve=tuple(np.maximum(local.curve, sure).tolist()))


def apply(local: LocalFdr, statistic: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Probability of change (y, x), NaN where not valid; a block needs one pixel around it.

    Args:
        local: of the pair.
        statistic: (y, x) that ``Fitted.measure`` gives.
        valid: (y, x).
    """
    found = local.probability(probability.in_context(statistic, valid))
    found[~valid] = np.nan
    return found
