"""Clouds and haze on previews, whose pixels are 160 to 320 m: how much of a scene is worth fetching.

What looks at a preview satisfies :class:`PreviewMasker`: two small networks, or a rule that needs none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from groundshift.model.bands import DISPLAY_TOP
from groundshift.nets.runtime import WEIGHTS, load

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class PreviewMask:
    """What is seen on a preview, each (y, x)."""

    cloud: Mask
    haze: Mask
    """Hazy, and no cloud."""


class PreviewMasker(Protocol):
    """Something that tells cloud and haze on a preview."""

    @property
    def name(self) -> str:
        """As the table of scenes names it."""
        ...

    def look(self, rgb: Floats, valid: Mask, level: str | None) -> PreviewMask:
        """Tell cloud and haze.

        Args:
            rgb: (3, y, x) reflectance of red, green and blue; an 8-bit preview ends at 0.36.
            valid: (y, x) True = data.
            level: ``L1C``, ``L2A`` or None, not known.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class PreviewRule:
    """Bright, white and bluer than the ground is: cloud. Bluer alone: haze.

    HOT, the haze-optimised transform, is blue - 0.5 red, which most ground keeps close to nothing whatever its colour
    (Y. Zhang et al. 2002, Remote Sens. Environ. 82, 173; the 0.5 as in Fmask). Snow and bright roofs pass for cloud:
    without the short-wave infrared nothing tells them apart.
    """

    name: str = "rule"
    cloud_hot: float = 0.08
    """HOT of cloud, at least."""
    cloud_brightness: float = 0.17
    """Mean reflectance of cloud, at least."""
    whiteness: float = 0.35
    """Sum of the differences of the three colours from their mean, relative to it, of cloud, at most."""
    haze_hot: float = 0.05
    """HOT of haze, at least."""
    top_of_atmosphere: float = 0.04
    """Added to both limits for Level-1C, whose blue holds the light of clean air too."""

    def look(self, rgb: Floats, valid: Mask, level: str | None) -> PreviewMask:
        """See :class:`PreviewMasker`."""
        red, _, blue = rgb
        raised = self.top_of_atmosphere if level == "L1C" else 0.0
        hot = blue - 0.5 * red
        mean = rgb.mean(axis=0)
        spread = np.abs(rgb - mean).sum(axis=0)
        cloud = (hot >= self.cloud_hot + raised) & (mean >= self.cloud_brightness) & (spread <= self.whiteness * mean)
        cloud &= valid
        return PreviewMask(cloud=cloud, haze=valid & ~cloud & (hot >= self.haze_hot + raised))


_AIR = np.array([0.028, 0.045, 0.075], np.float32)
"""(red, green, blue) mean brightness of clean air above dark ground, which Level-1C holds."""
_STEP = 8
"""Sides that the U-Net takes are multiples of this."""


@dataclass(frozen=True, kw_only=True)
class PreviewNet:
    """A U-Net for cloud and three convolutions for haze; their model cards lie beside the weights."""

    name: str = "preview-unet"

    def look(self, rgb: Floats, valid: Mask, level: str | None) -> PreviewMask:
        """See :class:`PreviewMasker`.

        Raises:
            MissingInputError: the weights are absent.
            ProductError: they are not what their cards say.
        """
        rows, columns = valid.shape
        grown = ((0, -rows % _STEP), (0, -columns % _STEP))
        surface = rgb - _AIR[:, None, None] if level == "L1C" else rgb
        pixels = np.pad(stretch(surface, valid), ((0, 0), *grown))[None]
        cloud, haze = (
            load(WEIGHTS / f"{name}.onnx").run({"pixels": pixels})[0, 1, :rows, :columns] >= 0.5
            for name in ("preview_cloud", "preview_haze")
        )
        return PreviewMask(cloud=valid & cloud, haze=valid & haze & ~cloud)


def stretch(rgb: Floats, valid: Mask) -> Floats:
    """What the networks take: (4, y, x) roots of the colours, cut to what a preview can show, and validity."""
    shown = np.sqrt(np.clip(rgb, 0, DISPLAY_TOP) / np.float32(DISPLAY_TOP))
    out: Floats = np.concatenate([(shown - np.float32(0.5)) * np.float32(2.5), np.ones((1, *valid.shape), np.float32)])
    return out * valid
