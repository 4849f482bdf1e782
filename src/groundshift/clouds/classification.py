"""The scene classification (SCL) of a product as a cloud mask: its codes are probabilities of 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundshift.clouds.masker import Probabilities
from groundshift.errors import InputError, UsageError
from groundshift.model.bands import SCL
from groundshift.model.cloudmask import CLASSES, CloudClass
from groundshift.model.scl import SceneClass

MEANING = {
    SceneClass.DARK: CloudClass.SHADOW,
    SceneClass.CLOUD_SHADOW: CloudClass.SHADOW,
    SceneClass.UNCLASSIFIED: CloudClass.THIN_CLOUD,
    SceneClass.CLOUD_MEDIUM: CloudClass.CLOUD,
    SceneClass.CLOUD_HIGH: CloudClass.CLOUD,
    SceneClass.CIRRUS: CloudClass.THIN_CLOUD,
    SceneClass.SNOW: CloudClass.SNOW,
}
"""What a class of the SCL is in a cloud mask, if it is counted; no data and the rest of the classes are not."""
COUNTED = (3, 8, 9, 10, 11)
"""Cloud shadow, cloud of medium and high probability, cirrus, snow."""


@dataclass(frozen=True, kw_only=True)
class SclMasker:
    """Satisfies :class:`~groundshift.clouds.masker.Masker`; its only "band" is the SCL, as codes."""

    classes: tuple[int, ...] = COUNTED
    """Codes of the SCL that are counted, of those in :data:`MEANING`."""
    name: str = "scl"
    resolution_m: float = 20.0
    halo_px: int = 0

    def __post_init__(self) -> None:
        known = [int(code) for code in MEANING]
        if not set(self.classes) <= set(known):
            raise UsageError(
                f"classes of the SCL for a cloud mask are {','.join(map(str, known))}, not "
                f"{','.join(map(str, self.classes))}."
            )

    def choose(self, bands: Sequence[str]) -> tuple[str, ...]:
        """The SCL; raises InputError where there is none."""
        if SCL not in bands:
            raise InputError("has no scene classification (SCL): take another mask, as --mask unet.")
        return (SCL,)

    def probabilities(
        self, reflectance: NDArray[np.float32], bands: Sequence[str], valid: NDArray[np.bool_]
    ) -> Probabilities:
        """1 where the code is of a class, (4, y, x); ``reflectance`` holds the codes."""
        codes = reflectance[list(bands).index(SCL)].astype(np.uint8)
        table = np.zeros((len(CLASSES), 256), np.float32)
        for code in self.classes:
            table[CLASSES.index(MEANING[SceneClass(code)]), code] = 1
        return np.where(valid, table[:, codes], np.float32(0))
