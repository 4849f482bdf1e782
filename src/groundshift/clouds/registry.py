"""Cloud masks by name. No package that runs them is imported before it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from groundshift.clouds import adapters, classification
from groundshift.clouds.masker import SHADOW_FROM, Masker
from groundshift.clouds.unet import UNet
from groundshift.errors import InputError, UsageError

AUTO = "auto"
NAMES = ("scl", "unet", "s2cloudless", "ukis-csmask", "omnicloudmask")
_CLOUD_FROM = {"s2cloudless": 0.4}
"""Where the authors of a mask say another probability than a half."""


@dataclass(frozen=True, kw_only=True)
class MaskerSpec:
    """What to make a mask of; it can be sent to a process, which makes the mask itself."""

    name: str
    """One of :data:`NAMES`."""
    weights: str | None = None
    """File or folder of the weights, for masks that take them; None: those that are shipped."""
    level: str | None = None
    """Of the product: ``L1C`` or ``L2A``; None: not known."""
    classes: tuple[int, ...] = classification.COUNTED
    """Codes of the SCL that are counted (``scl`` only)."""

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise UsageError(f"there is no cloud mask {self.name!r}: expected {AUTO}, {', '.join(NAMES)}.")


def chosen(name: str, *, classified: bool) -> str:
    """The mask that ``auto`` is for a scene: the SCL where the product has one, else our network."""
    if name != AUTO:
        return name
    return "scl" if classified else "unet"


def cloud_from(name: str) -> float:
    """From which probability on a mask means cloud."""
    return _CLOUD_FROM.get(name, 0.5)


def shadow_from(name: str) -> float:
    """From which probability on a mask means shadow."""
    return SHADOW_FROM if name == "unet" else 0.5


@lru_cache(maxsize=8)
def make(spec: MaskerSpec) -> Masker:
    """Make a mask, once a process.

    Raises:
        UsageError: a package that it needs is not installed.
        InputError: it does not know products of that level.
    """
    if spec.name == "scl":
        return classification.SclMasker(classes=spec.classes)
    if spec.name == "unet":
        return UNet() if spec.weights is None else UNet(weights=Path(spec.weights))
    if spec.name == "s2cloudless" and spec.level == "L2A":
        raise InputError("is Level-2A, and the mask s2cloudless knows Level-1C only: take --mask scl or unet.")
    adapters.check_installed(spec.name)
    if spec.name == "s2cloudless":
        return adapters.S2Cloudless()
    if spec.name == "ukis-csmask":
        return adapters.UkisCsmask(level=spec.level or "L2A")
    return adapters.OmniCloudMask(weights=spec.weights)
