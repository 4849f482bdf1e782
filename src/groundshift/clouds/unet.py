"""The cloud mask `unet`: our own network, on any bands from blue, green and red upwards, L1C or L2A."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundshift.clouds.masker import Probabilities, all_of
from groundshift.errors import InputError
from groundshift.model.cloudmask import CLASSES
from groundshift.nets.card import verified
from groundshift.nets.runtime import WEIGHTS, load
from groundshift.nets.tiling import tiles

NEEDED = ("B02", "B03", "B04")
_COARSEST = 16
"""Pixels of the input that a pixel of the network's coarsest grid spans."""
_TILE = 512
_BRIGHTEST = 1.6
_REACH = 3
"""Pixels between one beside no data and the one that speaks for it, at most."""


@dataclass(frozen=True, kw_only=True)
class UNet:
    """A :class:`~groundshift.clouds.masker.Masker`; the model card beside the weights says what it was trained on.

    Law: cutting an image into blocks that begin at multiples of 16 pixels and have a halo of :attr:`halo_px` changes
    no probability by more than 0.01; blocks that begin elsewhere lie differently on the network's coarse grids.
    """

    weights: Path = WEIGHTS / "cloud_unet.onnx"
    """ONNX file with its card beside it."""
    name: str = "unet"
    resolution_m: float = 20.0
    """Pixel size that it was trained for."""
    halo_px: int = 96

    def choose(self, bands: Sequence[str]) -> tuple[str, ...]:
        """All bands that there are of those that the network knows, in its order.

        Raises:
            InputError: without blue, green or red.
            MissingInputError, ProductError: the weights or their card are absent or damaged.
        """
        all_of(NEEDED, bands, self.name)
        return tuple(name for name in verified(self.weights)[0].bands if name in bands)

    def probabilities(
        self, reflectance: NDArray[np.float32], bands: Sequence[str], valid: NDArray[np.bool_]
    ) -> Probabilities:
        """Probabilities of cloud, thin cloud, shadow and snow; 0 where there is no data.

        Args:
            reflectance: (band, y, x), 1.0 = 100 %, pixels of about 20 m.
            bands: names of its layers, blue, green and red among them.
            valid: (y, x) True = usable data.

        Raises:
            InputError: bands that are unknown, or without blue, green or red.
            MissingInputError: the weights are absent.
            ProductError: they are not what their card says.
        """
        all_of(NEEDED, bands, self.name)
        unknown = [name for name in bands if name not in load(self.weights).card.bands]
        if unknown or len(bands) != len(reflectance):
            raise InputError(f"{len(reflectance)} layers named {', '.join(bands)}: expected a band name for each.")
        out = np.zeros((len(CLASSES), *valid.shape), np.float32)
        for tile in tiles(valid.shape, _TILE, self.halo_px):
            if valid[tile.keep].any():
                found = _inwards(self._run(reflectance[:, *tile.read], bands, valid[tile.read]), valid[tile.read])
                out[:, *tile.keep] = np.where(valid[tile.keep], found[:, *tile.inner], 0)
        return out

    def _run(self, reflectance: NDArray[np.float32], bands: Sequence[str], valid: NDArray[np.bool_]) -> Probabilities:
        network = load(self.weights)
        order = network.card.bands
        rows, columns = valid.shape
        padded = (-(-rows // _COARSEST) * _COARSEST, -(-columns // _COARSEST) * _COARSEST)
        pixels = np.zeros((1, len(order) + 1, *padded), np.float32)
        present = np.zeros((1, len(order)), np.float32)
        seen = valid & np.isfinite(reflectance).all(axis=0)
        for name, layer in zip(bands, reflectance, strict=True):
            place = order.index(name)
            pixels[0, place, :rows, :columns] = np.where(seen, stretch(layer), 0)
            present[0, place] = 1
        pixels[0, -1, :rows, :columns] = seen
        return network.run({"pixels": pixels, "present": present})[0, 1:, :rows, :columns]


def _inwards(probabilities: Probabilities, valid: NDArray[np.bool_]) -> Probabilities:
    """Beside no data, what is said of the nearest pixel that has data all around.

    The edge of an image often holds part of a pixel only, which looks like a cloud or its shadow.
    """
    inner = ndimage.binary_erosion(valid, np.ones((3, 3), bool), border_value=True)
    if not inner.any() or (rim := valid & ~inner).sum() == 0:
        return probabilities
    distance, (rows, columns) = ndimage.distance_transform_edt(~inner, return_indices=True)
    rim &= distance <= _REACH
    probabilities[:, rim] = probabilities[:, rows[rim], columns[rim]]
    return probabilities


def stretch(reflectance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spread dark tones: 2.5 (sqrt(reflectance) - 0.4), of reflectance within 0 and 1.6."""
    out: NDArray[np.float32] = (np.sqrt(np.clip(reflectance, 0, _BRIGHTEST)) - np.float32(0.4)) * np.float32(2.5)
    return out
