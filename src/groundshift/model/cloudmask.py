"""Classes of a cloud mask: the codes of its raster and the order of its probabilities."""

from __future__ import annotations

from enum import IntEnum


class CloudClass(IntEnum):
    """Codes of a cloud mask (byte)."""

    CLEAR = 0
    CLOUD = 1
    THIN_CLOUD = 2
    SHADOW = 3
    SNOW = 4
    NO_DATA = 255


CLASSES = (CloudClass.CLOUD, CloudClass.THIN_CLOUD, CloudClass.SHADOW, CloudClass.SNOW)
"""What the layers of the probabilities are of, in this order; clear is what is left of 1."""
