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
from groundshift.model.grid import Window
from groundshift.pipelines import probabilities
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
        own = self.fitted.halo_px + probability.CONTEXT_HALO_PX
        return own if self.network is None else max(own, self.network.halo_px)

    def probability(self, block: Block, inner: Window) -> NDArray[np.float32]:
        """Probability of change of a block, its halo cut off.

        Args:
            block: reflectance as read; its first row and column lie at multiples of 16 pixels where a network is asked.
            inner: what of it is wanted.

        Returns:
            (y, x) float32, 0 to 1; NaN where it is not valid.
        """
        found = []
        if self.network is not None:
            before, after = (np.ascontiguousarray(image[list(self.layers)]) for image in (block.before, block.after))
            found.append(self.network.probability(before, after, self.bands, block.valid)[inner.slices])
        if self.local is not None:
            statistic = self.fitted.measured_statistic(block)
            found.append(probabilities.apply(self.local, statistic, block.valid)[inner.slices])
        mean = probability.ensemble(found[0], found[1]) if len(found) > 1 else found[0]
        return np.where(block.valid[inner.slices], mean, np.float32(np.nan)).astype(np.float32, copy=False)


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
    fitted: Fitted,
    sample: Sequence[Block],
    bands: Sequence[str],
    method: Method,
    *,
    weights: str | None = None,
    compared_px: int,
) -> PairModel:
    """What gives the probabilities of a pair.

    Args:
        fitted: of the pair.
        sample: the blocks that it was fitted on.
        bands: of the images.
        method: whose probability.
        weights: of the network, where it is not ours.
        compared_px: pixels that the pair is compared at.

    Raises:
        NoDataError: too few usable pixels.
        InputError: too few bands for the network.
    """
    network, local = network_of(method, weights), None
    chosen = () if network is None else network.choose(bands)
    if method != "network":
        local = probabilities.fit(sample, fitted, compared_px)
    layers = tuple(list(bands).index(name) for name in chosen)
    return PairModel(fitted=fitted, local=local, network=network, layers=layers, bands=chosen)
