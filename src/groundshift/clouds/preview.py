"""Clouds and haze on previews, whose pixels are 160 to 320 m: how much of a scene is worth fetching.

What looks at a preview satisfies :class:`PreviewMasker`; so far it is a rule, and a network may take its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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
