"""What lies between ground and sensor: haze, and the way from surface to top-of-atmosphere reflectance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HAZE_SHAPE: NDArray[np.float32] = np.array(
    [1.6, 1.3, 0.9, 0.7, 0.6, 0.5, 0.45, 0.4, 0.38, 0.3, 0.0, 0.1, 0.05], np.float32
)
"""(band) brightness of haze relative to its strength."""

_PATH = np.array([0.105, 0.075, 0.045, 0.028, 0.023, 0.019, 0.016, 0.013, 0.011, 0.008, 0.0, 0.002, 0.001], np.float32)
_PASS = np.array([0.78, 0.82, 0.86, 0.91, 0.92, 0.92, 0.93, 0.93, 0.94, 0.45, 0.6, 0.95, 0.93], np.float32)


def haze(window_rows: NDArray[np.float64], window_columns: NDArray[np.float64], strength: float) -> NDArray[np.float32]:
    """Return the haze field (y, x): a gradient over the whole image from nothing to twice ``strength``.

    Args:
        window_rows: (y) rows as a share of the image's height, 0..1.
        window_columns: (x) columns as a share of its width, 0..1.
        strength: mean added reflectance in a band of shape 1.
    """
    field = strength * (0.8 * window_columns[np.newaxis, :] + 1.2 * window_rows[:, np.newaxis])
    result: NDArray[np.float32] = field.astype(np.float32)
    return result


def to_top(reflectance: NDArray[np.float32], band_ids: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return top-of-atmosphere of surface reflectance (band, y, x): path brightness plus what passes twice."""
    path, through = _PATH[band_ids], _PASS[band_ids]
    result: NDArray[np.float32] = path[:, np.newaxis, np.newaxis] + through[:, np.newaxis, np.newaxis] * reflectance
    return result
