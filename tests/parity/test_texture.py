"""Textures against scikit-image, window by window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.feature import graycomatrix, graycoprops

from groundshift.features.texture import GLCM_FEATURES, GlcmOptions, glcm


def theirs(window: NDArray[np.uint8], options: GlcmOptions) -> list[float]:
    """The features of one window, the mean over the directions."""
    matrices = graycomatrix(
        window,
        [options.distance],
        np.deg2rad(options.angles),
        levels=options.levels,
        symmetric=True,
        normed=True,
    )
    return [float(graycoprops(matrices, {"asm": "ASM"}.get(name, name)).mean()) for name in GLCM_FEATURES]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"window": 5, "levels": 8, "distance": 2},
        {"window": 9, "levels": 255, "distance": 3, "directions": (135,)},
        {"window": 11, "levels": 256, "directions": 2},
        {"window": 3, "levels": 2, "directions": 1},
        {"window": 31, "levels": 64, "distance": 5},
    ],
)
def test_every_feature_is_scikit_images(more: dict[str, Any]) -> None:
    options = GlcmOptions(**more)
    rng = np.random.default_rng(7)
    image = rng.integers(0, options.levels, (60, 64)).astype(np.uint8)
    image[:20] = np.clip(rng.normal(options.levels / 2, 1, (20, 64)), 0, options.levels - 1)
    image[:, 44:] = options.levels - 1
    found, radius = glcm(image, options), options.window // 2
    for _ in range(25):
        y, x = rng.integers(radius, 60 - radius), rng.integers(radius, 64 - radius)
        expected = theirs(image[y - radius : y + radius + 1, x - radius : x + radius + 1], options)
        np.testing.assert_allclose(found[:, y, x], expected, rtol=1e-6, atol=1e-6)
