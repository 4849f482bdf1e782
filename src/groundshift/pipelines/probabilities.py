"""Probabilities of change from what a pair taught of itself: fitted on the sample blocks, applied to any block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from groundshift.change import probability
from groundshift.change.probability import LocalFdr
from groundshift.pipelines.fitting import Block, Fitted, beyond, changed_in


def fit(blocks: Sequence[Block], fitted: Fitted) -> LocalFdr:
    """Fit the local false-discovery rate on sample blocks.

    Args:
        blocks: those that ``fitted`` was fitted on.
        fitted: statistic and thresholds of the pair.

    Raises:
        NoDataError: too few usable pixels.
    """
    changed = changed_in(blocks, fitted)
    values, outside = [], []
    for block, mask in zip(blocks, changed, strict=True):
        found = probability.in_context(fitted.measure(block).statistic, block.valid)
        values.append(found[block.valid])
        outside.append(beyond(mask, block.valid)[block.valid])
    return probability.fit(np.concatenate(values), np.concatenate(outside))


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
