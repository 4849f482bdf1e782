"""Our minimum covariance determinant against scikit-learn's, an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import MinCovDet

from groundshift.numerics.robust import consistency, mcd, squared_distance


def _contaminated(p: int, share: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(0.4 * np.eye(p) + 0.6)
    samples = root @ rng.standard_normal((p, 4000))
    far = round(share * 4000)
    samples[:, :far] += np.linspace(5, 9, p)[:, None]
    return samples


@pytest.mark.parametrize(("p", "share"), [(2, 0.0), (4, 0.2), (4, 0.35), (7, 0.3)])
def test_centre_and_shape_agree_with_scikit_learn(p: int, share: float) -> None:
    samples = _contaminated(p, share, seed=p)
    ours = mcd(samples)
    theirs = MinCovDet(support_fraction=0.5, random_state=0).fit(samples.T)
    np.testing.assert_allclose(ours.location, theirs.location_, atol=0.08)
    shape = ours.covariance / np.linalg.det(ours.covariance) ** (1 / p)
    expected = theirs.covariance_ / np.linalg.det(theirs.covariance_) ** (1 / p)
    np.testing.assert_allclose(shape, expected, atol=0.1 * np.abs(expected).max())


def test_the_scatter_of_normal_samples_is_their_covariance() -> None:
    samples = _contaminated(4, 0.0, seed=9)
    np.testing.assert_allclose(mcd(samples).covariance, np.cov(samples), atol=0.08)


def test_no_minority_however_far_moves_the_centre() -> None:
    near, far = _contaminated(4, 0.35, seed=3), _contaminated(4, 0.35, seed=3)
    far[:, :1400] += 1e6
    np.testing.assert_allclose(mcd(near).location, mcd(far).location, atol=0.05)


def test_distances_follow_a_change_of_units() -> None:
    samples = _contaminated(3, 0.2, seed=5)
    units = np.array([1e-3, 1.0, 50.0])[:, None]
    plain = squared_distance(samples, mcd(samples))
    scaled = squared_distance(samples * units, mcd(samples * units))
    np.testing.assert_allclose(scaled, plain, rtol=1e-6)


def test_consistency_factors_are_those_of_the_literature() -> None:
    factors = [consistency(share, 4) for share in (0.3, 0.5, 0.7, 0.9)]
    np.testing.assert_allclose(factors, [3.03, 2.11, 1.59, 1.21], atol=0.006)
    assert consistency(1.0, 4) == 1.0
