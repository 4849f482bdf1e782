"""Classes of a cloud mask: the codes of its raster and the order of its probabilities."""

from __future__ import annotations

from enum import IntEnum

from groundshift.model.legend import LegendEntry


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

LEGEND = (
    LegendEntry(CloudClass.CLEAR, "clear", (120, 170, 110, 255)),
    LegendEntry(CloudClass.CLOUD, "cloud", (250, 250, 250, 255)),
    LegendEntry(CloudClass.THIN_CLOUD, "thin cloud", (190, 205, 225, 255)),
    LegendEntry(CloudClass.SHADOW, "shadow", (45, 45, 70, 255)),
    LegendEntry(CloudClass.SNOW, "snow", (80, 190, 230, 255)),
    LegendEntry(CloudClass.NO_DATA, "no data", (0, 0, 0, 0)),
)
"""Names and colours of the codes."""
