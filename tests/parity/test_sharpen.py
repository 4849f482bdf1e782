"""The slopes of sharpening against scikit-learn's ridge regression."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge

from groundshift.features import sharpen_kernels as kernels


def test_slopes_are_those_of_ridge_regression_times_what_they_explain_beyond_chance() -> None:
    rng = np.random.default_rng(3)
    guide = rng.uniform(0.02, 0.4, (4, 9, 11)).astype(np.float32)
    coarse = (np.tensordot(rng.normal(0, 1, (3, 4)), guide, 1) + rng.normal(0, 0.03, (3, 9, 11))).astype(np.float32)
    mask = rng.random((9, 11)) < 0.9
    found = np.zeros((3, 4, 9, 11), np.float32)
    kernels.coefficients(coarse, guide, mask, 2, 1e-4, 10.0, found)
    for y, x in np.argwhere(mask[2:-2, 2:-2]) + 2:
        window = np.s_[y - 2 : y + 3, x - 2 : x + 3]
        use = mask[window]
        g = guide[:, *window][:, use].T.astype(np.float64)
        for band in range(3):
            target = coarse[band][window][use].astype(np.float64)
            n = len(target)
            model = Ridge(alpha=1e-4 * n, tol=1e-12).fit(g, target)
            r2 = 1 - ((target - model.predict(g)) ** 2).mean() / target.var()
            explained = 1 - (1 - r2) * (n - 1) / (n - 5)
            np.testing.assert_allclose(found[band, :, y, x], model.coef_ * max(explained, 0) / r2, rtol=1e-4, atol=1e-5)
