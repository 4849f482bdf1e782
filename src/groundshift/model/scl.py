"""Classes of the Level-2A scene classification (SCL) and the sets of them that are masked."""

from __future__ import annotations

from enum import IntEnum


class SceneClass(IntEnum):
    """Codes of the SCL band (Sen2Cor ATBD, scene classification)."""

    NO_DATA = 0
    SATURATED = 1
    DARK = 2
    CLOUD_SHADOW = 3
    VEGETATION = 4
    BARE = 5
    WATER = 6
    UNCLASSIFIED = 7
    CLOUD_MEDIUM = 8
    CLOUD_HIGH = 9
    CIRRUS = 10
    SNOW = 11


CLOUD = frozenset({SceneClass.CLOUD_MEDIUM, SceneClass.CLOUD_HIGH, SceneClass.CIRRUS})
SHADOW = frozenset({SceneClass.CLOUD_SHADOW})
UNUSABLE = frozenset({SceneClass.NO_DATA, SceneClass.SATURATED}) | CLOUD | SHADOW
"""What is masked by default in a comparison of two dates: no data, saturated, cloud, cirrus, cloud shadow."""
STABLE = frozenset({SceneClass.VEGETATION, SceneClass.BARE, SceneClass.WATER})
"""Classes in which pseudo-invariant pixels are looked for."""
