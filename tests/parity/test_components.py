"""Principal components against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from groundshift.features.components import apply, fit, summarise


@pytest.mark.parametrize("standardise", [False, True])
def test_components_are_scikit_learns_up_to_their_sign(standardise: bool) -> None:
    rng = np.random.default_rng(3)
    sources = rng.normal(size=(7, 45, 60)) * np.geomspace(1, 0.02, 7)[:, None, None]
    values = np.einsum("bc,cyx->byx", np.linalg.qr(rng.normal(size=(7, 7)))[0], sources)
    values *= np.linspace(1, 3, 7)[:, None, None]
    valid = rng.random(values.shape[1:]) < 0.7
    pixels = values[:, valid].T
    if standardise:
        pixels = StandardScaler().fit_transform(pixels) * np.sqrt(1 - 1 / len(pixels))
    theirs = PCA().fit(pixels)
    ours = fit(summarise(values, valid), standardise)
    np.testing.assert_allclose(ours.variance, theirs.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(ours.variance_ratio, theirs.explained_variance_ratio_, rtol=1e-9)
    signs = np.sign(np.sum(ours.loadings * theirs.components_, axis=1))
    np.testing.assert_allclose(ours.loadings, signs[:, None] * theirs.components_, atol=1e-9)
    scores = apply(ours, values, 7)[:, valid]
    np.testing.assert_allclose(scores.T, theirs.transform(pixels) * signs, atol=1e-5)
