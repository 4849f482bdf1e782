"""The probability of change by a network that was taught to look past light, air, season and half a pixel of shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError
from groundshift.nets.card import verified
from groundshift.nets.runtime import WEIGHTS, load
from groundshift.nets.tiling import tiles

FEWEST_BANDS = 3
COARSEST_PX = 16
"""Pixels of the input that a pixel of the network's coarsest grid spans; blocks begin at multiples of it."""
_ROWS, _COLUMNS = 1024, 512
"""Of what is kept of a tile; a block of so many rows and its halo is not cut across."""
_BRIGHTEST = np.float32(1.6)
_DARK, _MIDDLE = np.float32(0.03), np.float32(0.13)

Float32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ChangeNet:
    """Probability of change of every pixel; the model card beside the weights says what it was trained on.

    Laws: the order of the dates does not matter; cutting an image into blocks that begin at multiples of
    :data:`COARSEST_PX` pixels and have a halo of :attr:`halo_px` changes no probability by more than 0.001.
    """

    weights: Path = WEIGHTS / "change_unet.onnx"
    """ONNX file with its card beside it."""
    name: str = "network"
    halo_px: int = 80

    def choose(self, bands: Sequence[str]) -> tuple[str, ...]:
        """All bands that there are of those that the network knows, in its order.

        Raises:
            InputError: fewer than three of them.
            MissingInputError, ProductError: the weights or their card are absent or damaged.
        """
        known = verified(self.weights)[0].bands
        found = tuple(name for name in known if name in bands)
        if len(found) < FEWEST_BANDS:
            raise InputError(
                f"the method {self.name} needs {FEWEST_BANDS} bands of {', '.join(known)}, "
                f"and there is {', '.join(found) or 'none'}; take --method statistical."
            )
        return found

    def probability(self, before: Float32, after: Float32, bands: Sequence[str], valid: NDArray[np.bool_]) -> Float32:
        """Probability of change.

        Args:
            before, after: (band, y, x) reflectance, 1.0 = 100 %, on one grid of pixels of about 10 m.
            bands: names of the layers, three at least.
            valid: (y, x) True = usable at both dates.

        Returns:
            (y, x) float32, 0 to 1; NaN where not valid, and where a band is not finite.

        Raises:
            InputError: layers and names that do not fit each other, too few bands, or bands that are unknown.
            MissingInputError: the weights are absent.
            ProductError: they are not what their card says.
        """
        self._check(before, after, bands, valid)
        out = np.full(valid.shape, np.nan, np.float32)
        rows = len(valid) if len(valid) <= _ROWS + 2 * self.halo_px else _ROWS
        for tile in tiles(valid.shape, (rows, _COLUMNS), self.halo_px):
            if valid[tile.keep].any():
                dates = before[:, *tile.read], after[:, *tile.read]
                seen = valid[tile.read] & np.isfinite(dates[0]).all(axis=0) & np.isfinite(dates[1]).all(axis=0)
                found = np.where(seen, self._run(dates, bands, seen), np.float32(np.nan))
                out[tile.keep] = found[tile.inner]
        return out

    def _check(self, before: Float32, after: Float32, bands: Sequence[str], valid: NDArray[np.bool_]) -> None:
        if before.shape != after.shape or before.shape != (len(bands), *valid.shape):
            raise InputError(
                f"before, after and valid are (band, y, x) twice and (y, x) for {len(bands)} bands, "
                f"not {before.shape}, {after.shape} and {valid.shape}"
            )
        known = load(self.weights, keeps_memory=True).card.bands
        unknown = [name for name in bands if name not in known]
        if unknown or len(bands) < FEWEST_BANDS:
            raise InputError(
                f"bands {', '.join(bands)}: expected at least {FEWEST_BANDS} of {', '.join(known)} and no others"
            )

    def _run(self, dates: tuple[Float32, Float32], bands: Sequence[str], seen: NDArray[np.bool_]) -> Float32:
        network = load(self.weights, keeps_memory=True)
        order = network.card.bands
        rows, columns = seen.shape
        padded = (-(-rows // COARSEST_PX) * COARSEST_PX, -(-columns // COARSEST_PX) * COARSEST_PX)
        pixels = np.zeros((2, 1, len(order) + 1, *padded), np.float32)
        present = np.zeros((1, len(order)), np.float32)
        for layer, name in enumerate(bands):
            place = order.index(name)
            present[0, place] = 1
            for date, image in enumerate(dates):
                np.copyto(pixels[date, 0, place, :rows, :columns], stretch(image[layer]), where=seen)
        pixels[:, 0, -1, :rows, :columns] = seen
        found = network.run({"before": pixels[0], "after": pixels[1], "present": present})
        return found[0, 0, :rows, :columns]


def stretch(reflectance: Float32) -> Float32:
    """Logarithm of (reflectance + 0.03) / 0.13, of reflectance within 0 and 1.6: a gain becomes an offset."""
    out: Float32 = np.log((np.clip(reflectance, np.float32(0), _BRIGHTEST) + _DARK) / _MIDDLE)
    return out
