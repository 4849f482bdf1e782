"""The probability of change between two dates, by the method that was asked for: what a pair teaches, and a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from groundshift.change import probability
from groundshift.change.network import ChangeNet
from groundshift.change.probability import LocalFdr
from groundshift.errors import NoDataError
from groundshift.model.grid import Window
from groundshift.pipelines.fitting import Block, Fitted

Method = Literal["statistical", "network", "ensemble"]
METHODS: tuple[Method, ...] = get_args(Method)
"""Methods that give probabilities."""
LIMIT = 0.5
"""Probability from which on a pixel of a pair counts as changed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PairModel:
    """Everything that the probabilities of one pair need; it can be sent to a process."""

    fitted: Fitted
    local: LocalFdr | None
    """None: the statistics of the pair have no say."""
    network: ChangeNet | None
    """None: the network has no say."""
    layers: tuple[int, ...]
    """Of the images, those that the network knows, in its order."""
    bands: tuple[str, ...]
    """Their names."""

    @property
    def halo_px(self) -> int:
        """Pixels that a block must know beyond its border."""
        return max(self.fitted.halo_px, 0 if self.network is None else self.network.halo_px)

    def probability(self, block: Block, inner: Window) -> NDArray[np.float32]:
        """Probability of change of a block, its halo cut off.

        Args:
            block: reflectance as read; its first row and column lie at multiples of 16 pixels where a network is asked.
            inner: what of it is wanted.

        Returns:
            (y, x) float32, 0 to 1; NaN where it is not valid.
        """
        found = []
        brought = self.fitted.normalised(block.after)
        if self.network is not None:
            before, after = (np.ascontiguousarray(image[list(self.layers)]) for image in (block.before, brought))
            found.append(self.network.probability(before, after, self.bands, block.valid)[inner.slices])
        if self.local is not None:
            found.append(self.local.probability(statistic(self.fitted, block)[inner.slices]))
        mean = probability.ensemble(found[0], found[1]) if len(found) > 1 else found[0]
        return np.where(block.valid[inner.slices], mean, np.float32(np.nan)).astype(np.float32, copy=False)


def statistic(fitted: Fitted, block: Block) -> NDArray[np.float32]:
    """(y, x) the squared statistic of change; 0 where a block is not valid."""
    contrast = fitted.contrast(block.before, block.after)
    return fitted.statistic.evaluate(block.before, block.before + contrast, block.valid)


def network_of(method: Method, weights: str | None) -> ChangeNet | None:
    """The network of a method, where it has one.

    Args:
        method: what was asked for.
        weights: ONNX file that ``groundshift models train change`` wrote; None: those that come with the package.
    """
    if method == "statistical":
        return None
    return ChangeNet() if weights is None else ChangeNet(weights=Path(weights))


def check(method: Method, weights: str | None, bands: Sequence[str]) -> None:
    """Make sure, before any work, that the method can do with these bands.

    Raises:
        InputError: too few of them.
        MissingInputError, ProductError: the weights are absent or damaged.
    """
    network = network_of(method, weights)
    if network is not None:
        network.choose(bands)


def make(
    fitted: Fitted, sample: Sequence[Block], bands: Sequence[str], method: Method, weights: str | None = None
) -> PairModel:
    """What gives the probabilities of a pair.

    Args:
        fitted: of the pair.
        sample: the blocks that it was fitted on.
        bands: of the images.
        method: whose probability.
        weights: of the network, where it is not ours.

    Raises:
        NoDataError: too few usable pixels.
        InputError: too few bands for the network.
    """
    network, local = network_of(method, weights), None
    chosen = () if network is None else network.choose(bands)
    if method != "network":
        values = [statistic(fitted, block)[block.valid] for block in sample]
        if not values:
            raise NoDataError("no pixel is usable at both dates")
        local = probability.fit(np.concatenate(values), len(bands))
    layers = tuple(list(bands).index(name) for name in chosen)
    return PairModel(fitted=fitted, local=local, network=network, layers=layers, bands=chosen)
