"""Textures and principal components of a real scene: sea that is even, fields, towns, and a rim without data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops
from sklearn.decomposition import PCA

from groundshift.features.components import apply, fit, merge, summarise
from groundshift.features.texture import MISSING, GlcmOptions, glcm, quantise
from groundshift.io.opening import open_scene
from groundshift.model.scene import OpenOptions

BANDS = ["B02", "B03", "B04", "B08", "B11", "B12"]


@pytest.fixture(scope="module")
def scene(shared_data: Path) -> NDArray[np.float32]:
    reader = open_scene(shared_data / "aquileia-2019", OpenOptions(scale=65535))
    pixels = reader.read(BANDS, reader.scene.bands["B08"].geobox)
    return np.where(pixels.valid, pixels.dn / np.float32(65535), np.float32(np.nan)).astype(np.float32)


def test_textures_of_the_near_infrared_are_scikit_images(scene: NDArray[np.float32]) -> None:
    band = scene[BANDS.index("B08")]
    low, high = np.nanpercentile(band, [1, 99])
    levels, options = quantise(band, low, high, 32), GlcmOptions()
    found = glcm(levels, options)
    rng, compared = np.random.default_rng(0), 0
    while compared < 40:
        y, x = (int(rng.integers(3, length - 3)) for length in band.shape)
        window = levels[y - 3 : y + 4, x - 3 : x + 4]
        if (window == MISSING).any():
            continue
        matrices = graycomatrix(window, [1], np.deg2rad(options.angles), 32, symmetric=True, normed=True)
        expected = [graycoprops(matrices, {"asm": "ASM"}.get(name, name)).mean() for name in options.features]
        np.testing.assert_allclose(found[:, y, x], expected, rtol=1e-5, atol=1e-5)
        compared += 1
    beyond = ndimage.minimum_filter(levels, 7) == MISSING
    assert beyond.any()
    assert np.isnan(found[:, beyond]).all()
    within = ndimage.maximum_filter(levels, 7, mode="constant", cval=MISSING) < MISSING
    assert np.isfinite(found[:, within]).all()


def test_components_of_strips_are_scikit_learns_of_the_whole(scene: NDArray[np.float32]) -> None:
    valid = np.isfinite(scene).all(axis=0)
    total = summarise(scene[:, :100], valid[:100])
    for top in range(100, scene.shape[1], 100):
        total = merge(summarise(scene[:, top : top + 100], valid[top : top + 100]), total)
    found, theirs = fit(total), PCA().fit(scene[:, valid].T.astype(float))
    np.testing.assert_allclose(found.variance_ratio, theirs.explained_variance_ratio_, rtol=1e-6)
    cosines = np.abs(np.sum(found.loadings * theirs.components_, axis=1))
    np.testing.assert_allclose(cosines, 1, atol=1e-9)
    planes = apply(found, scene, 3)
    np.testing.assert_array_equal(np.isnan(planes).any(axis=0), ~valid)
    assert found.variance_ratio[0] > 0.6
