"""Reflectance of land covers and of what changes turn them into; round numbers in the range of published libraries."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from groundshift.model.scl import SceneClass


class Cover(IntEnum):
    """What a pixel is covered with."""

    WATER = 0
    FOREST = 1
    RIPARIAN = 2
    GRASS = 3
    CEREAL = 4
    MAIZE = 5
    STUBBLE = 6
    BARE = 7
    ROOF = 8
    BUILT = 9
    ASPHALT = 10
    GARDEN = 11


class Change(IntEnum):
    """Codes of the truth map."""

    NONE = 0
    FLOOD = 1
    CLEAR_CUT = 2
    BURN = 3
    CONSTRUCTION = 4
    HARVEST = 5
    """Farming as usual: whether it counts as a change is for the reader of the truth to decide."""


TRUTH_NO_DATA = 255
"""Code of the truth map where one of the two dates has no data."""

COVER_SPECTRA: NDArray[np.float32] = np.array(
    [
        # B01   B02   B03   B04   B05   B06   B07   B08   B8A   B09   B10    B11   B12
        [0.050, 0.052, 0.062, 0.048, 0.042, 0.034, 0.030, 0.027, 0.025, 0.020, 0.001, 0.014, 0.010],
        [0.018, 0.023, 0.040, 0.028, 0.062, 0.160, 0.200, 0.220, 0.235, 0.240, 0.001, 0.125, 0.058],
        [0.020, 0.026, 0.048, 0.031, 0.075, 0.215, 0.275, 0.295, 0.310, 0.310, 0.001, 0.145, 0.066],
        [0.034, 0.041, 0.076, 0.063, 0.116, 0.245, 0.295, 0.315, 0.330, 0.330, 0.001, 0.225, 0.125],
        [0.030, 0.036, 0.070, 0.043, 0.102, 0.300, 0.375, 0.400, 0.415, 0.415, 0.001, 0.200, 0.100],
        [0.027, 0.032, 0.063, 0.031, 0.092, 0.330, 0.425, 0.455, 0.470, 0.470, 0.001, 0.190, 0.080],
        [0.068, 0.083, 0.122, 0.148, 0.185, 0.225, 0.248, 0.268, 0.287, 0.290, 0.001, 0.335, 0.245],
        [0.058, 0.072, 0.102, 0.134, 0.160, 0.182, 0.197, 0.212, 0.232, 0.236, 0.001, 0.300, 0.240],
        [0.150, 0.172, 0.195, 0.208, 0.220, 0.235, 0.247, 0.256, 0.265, 0.268, 0.001, 0.280, 0.250],
        [0.088, 0.098, 0.114, 0.122, 0.137, 0.160, 0.172, 0.181, 0.190, 0.192, 0.001, 0.202, 0.172],
        [0.074, 0.081, 0.091, 0.096, 0.102, 0.110, 0.115, 0.119, 0.125, 0.128, 0.001, 0.140, 0.128],
        [0.030, 0.038, 0.066, 0.051, 0.098, 0.215, 0.260, 0.280, 0.292, 0.292, 0.001, 0.185, 0.105],
    ],
    np.float32,
)
"""(cover, band) surface reflectance, bands in the order of the metadata."""

CHANGE_SPECTRA: NDArray[np.float32] = np.array(
    [
        [0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000],
        [0.052, 0.056, 0.068, 0.061, 0.055, 0.044, 0.040, 0.036, 0.032, 0.028, 0.001, 0.017, 0.012],
        [0.056, 0.068, 0.096, 0.120, 0.150, 0.178, 0.196, 0.212, 0.232, 0.234, 0.001, 0.300, 0.220],
        [0.028, 0.033, 0.038, 0.043, 0.052, 0.066, 0.076, 0.085, 0.096, 0.100, 0.001, 0.165, 0.185],
        [0.180, 0.208, 0.245, 0.272, 0.288, 0.304, 0.316, 0.326, 0.338, 0.340, 0.001, 0.380, 0.340],
        [0.068, 0.083, 0.122, 0.148, 0.185, 0.225, 0.248, 0.268, 0.287, 0.290, 0.001, 0.335, 0.245],
    ],
    np.float32,
)
"""(change, band) surface reflectance after the change."""

VIGOUR: NDArray[np.float32] = np.array(
    [-0.6, -0.7, -0.5, -1.0, -0.4, 0.25, 0.4, 0.45, 0.45, 0.45, 0.0, -0.5, -0.8], np.float32
)
"""(band) relative change of green vegetation as it thickens."""

VEGETATED: NDArray[np.bool_] = np.array([0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1], bool)
PARCEL_SPREAD: NDArray[np.float32] = np.array(
    [0.05, 0.10, 0.12, 0.24, 0.22, 0.18, 0.16, 0.26, 0.22, 0.16, 0.08, 0.20], np.float32
)
"""(cover) relative spread between parcels of one cover."""
FINE_TEXTURE: NDArray[np.float32] = np.array(
    [0.015, 0.11, 0.12, 0.05, 0.035, 0.035, 0.05, 0.05, 0.10, 0.08, 0.05, 0.10], np.float32
)
"""(cover) relative texture of a pixel or two."""
BROAD_TEXTURE: NDArray[np.float32] = np.array(
    [0.10, 0.13, 0.12, 0.15, 0.09, 0.08, 0.08, 0.12, 0.04, 0.05, 0.03, 0.10], np.float32
)
"""(cover) relative texture over some hundred metres."""

NOISE_SHAPE: NDArray[np.float32] = np.array(
    [0.7, 0.6, 0.7, 0.8, 1.0, 1.3, 1.4, 1.5, 1.4, 1.2, 0.1, 1.2, 1.0], np.float32
)
"""(band) date-to-date noise relative to the option."""

COVER_SCL: NDArray[np.uint8] = np.array(
    [
        SceneClass.WATER,
        *[SceneClass.VEGETATION] * 5,
        *[SceneClass.BARE] * 2,
        *[SceneClass.BARE] * 3,
        SceneClass.VEGETATION,
    ],
    np.uint8,
)
CHANGE_SCL: NDArray[np.uint8] = np.array(
    [0, SceneClass.WATER, SceneClass.BARE, SceneClass.DARK, SceneClass.BARE, SceneClass.BARE], np.uint8
)
