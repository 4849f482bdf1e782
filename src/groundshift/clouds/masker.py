"""The contract of every cloud mask: reflectance of named bands in, probabilities of cloud, shadow and snow out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from groundshift.clouds.scl import grow
from groundshift.errors import InputError
from groundshift.model.cloudmask import CloudClass

Probabilities = NDArray[np.float32]
"""(4, y, x): cloud, thin cloud, shadow, snow, in the order of :data:`~groundshift.model.cloudmask.CLASSES`, 0 to 1."""


class Masker(Protocol):
    """A cloud mask: a neighbourhood kernel on the reflectance of one scene."""

    @property
    def name(self) -> str:
        """As it is named on the command line."""
        ...

    @property
    def resolution_m(self) -> float:
        """Pixel size that it works at best, metres; callers resample."""
        ...

    @property
    def halo_px(self) -> int:
        """Pixels at that size that a block must know beyond its border."""
        ...

    def choose(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Of the bands that a scene has, those that it wants to be given, in its order.

        Raises:
            InputError: where bands are missing that it cannot do without.
        """
        ...

    def probabilities(
        self, reflectance: NDArray[np.float32], bands: Sequence[str], valid: NDArray[np.bool_]
    ) -> Probabilities:
        """Probabilities of the four classes.

        Args:
            reflectance: (band, y, x), 1.0 = 100 %.
            bands: names, as :meth:`choose` gave them.
            valid: (y, x) True = usable data.
        """
        ...


def all_of(wanted: tuple[str, ...], bands: Sequence[str], name: str) -> tuple[str, ...]:
    """Return ``wanted``; raises InputError, which the name of the scene is put before, where a band is missing."""
    missing = [band for band in wanted if band not in bands]
    if missing:
        raise InputError(
            f"has no {', '.join(missing)}, which the mask {name} needs: it has {', '.join(bands)}; take another --mask."
        )
    return wanted


SHADOW_FROM = 0.3
"""From which probability on our network means shadow: F1 on simulated images of the kind that it was trained on is best
here (0.737; from one half on 0.718), since it is sure of few shadows and right about most that it gives this chance."""


def classify(
    probabilities: Probabilities,
    valid: NDArray[np.bool_],
    cloud_from: float = 0.5,
    shadow_from: float = SHADOW_FROM,
) -> NDArray[np.uint8]:
    """Return the codes of :class:`~groundshift.model.cloudmask.CloudClass`, (y, x).

    A pixel is of the most probable class among those that reach one half (cloud: ``cloud_from``, shadow:
    ``shadow_from``), where thick and thin cloud together count as the likelier of them; else it is clear.
    """
    cloud, thin, shadow, snow = probabilities
    out = np.full(valid.shape, CloudClass.CLEAR, np.uint8)
    out[snow >= 0.5] = CloudClass.SNOW
    out[(shadow >= shadow_from) & (shadow > snow)] = CloudClass.SHADOW
    both = cloud + thin
    clouded = (both >= cloud_from) & (both > shadow) & (both > snow)
    out[clouded] = np.where(cloud >= thin, CloudClass.CLOUD, CloudClass.THIN_CLOUD)[clouded]
    out[~valid] = CloudClass.NO_DATA
    return out


def grown(codes: NDArray[np.uint8], cloud_px: float, shadow_px: float) -> NDArray[np.uint8]:
    """Codes with clouds and shadows grown by discs: thick clouds over thin ones, both over shadows."""
    thick, thin, dark = (codes == code for code in (CloudClass.CLOUD, CloudClass.THIN_CLOUD, CloudClass.SHADOW))
    out = codes.copy()
    if shadow_px > 0:
        out[grow(dark, shadow_px) & ~thick & ~thin] = CloudClass.SHADOW
    if cloud_px > 0:
        near = grow(thick, cloud_px)
        out[grow(thin, cloud_px) & ~near] = CloudClass.THIN_CLOUD
        out[near & ~thin] = CloudClass.CLOUD
        out[thin] = CloudClass.THIN_CLOUD
    out[codes == CloudClass.NO_DATA] = CloudClass.NO_DATA
    return out
