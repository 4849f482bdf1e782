"""The probability of change between two dates, by the method that was asked for: what a pair teaches, and a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from groundshift.model.grid import Window
from groundshift.pipelines import fitting
from groundshift.pipelines.fitting import Block, Fitted
from groundshift.pipelines.job import DetectSection, KindsSection, NormaliseSection

Method = Literal["statistical", "network", "ensemble"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PairModel:
    """Everything that one pair needs; it can be sent to a process."""

    method: Method
    bands: tuple[str, ...]
    fitted: Fitted

    @property
    def halo_px(self) -> int:
        """Pixels that a block must know beyond its border."""
        return self.fitted.halo_px

    def probability(self, block: Block, inner: Window) -> NDArray[np.float32]:
        """(y, x) probability of change of a block without its halo, NaN where it is not valid."""
        contrast = self.fitted.contrast(block.before, block.after)
        statistic = self.fitted.statistic.evaluate(block.before, block.before + contrast, block.valid)[inner.slices]
        p = 1 / (1 + np.exp(-4 * (statistic / np.float32(self.fitted.threshold) - 1)))
        return np.where(block.valid[inner.slices], p, np.float32(np.nan)).astype(np.float32)


def fit(
    sample: Sequence[Block],
    bands: tuple[str, ...],
    pixel_m: float | None,
    method: Method,
    normalise: NormaliseSection,
) -> PairModel:
    """Learn what a pair says of itself, on sample blocks.

    Raises:
        NoDataError: too few usable pixels.
    """
    fitted = fitting.fit(sample, bands, pixel_m, DetectSection(), normalise, KindsSection())
    return PairModel(method=method, bands=bands, fitted=fitted)
