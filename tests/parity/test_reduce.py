"""Composites against numpy and scipy, written the slow and plain way."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, spatial

from groundshift.composite.reduce import Composite, ReduceOptions, reduce

Stack = tuple[NDArray[np.float32], NDArray[np.bool_]]


@pytest.fixture(
    scope="module", params=[(20, 4, 9, 301), (5, 3, 7, 40), (1, 2, 3, 5), (2, 1, 4, 6), (64, 2, 2, 30), (33, 10, 3, 9)]
)
def stack(request: pytest.FixtureRequest) -> Stack:
    times, bands, height, width = request.param
    rng = np.random.default_rng(times)
    ground = rng.uniform(0.01, 0.5, (bands, height, width))
    reflectance = (ground + rng.normal(0, 0.03, (times, bands, height, width))).astype(np.float32)
    valid = rng.random((times, height, width)) < rng.uniform(0, 1, (height, width))
    return np.where(valid[:, None], reflectance, np.float32(np.nan)), valid


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")
def test_the_median_is_numpys_to_the_last_bit(stack: Stack) -> None:
    found = reduce(*stack, ReduceOptions(method="median"))
    np.testing.assert_array_equal(found.composite, np.nanmedian(stack[0], axis=0))
    np.testing.assert_array_equal(found.count, stack[1].sum(axis=0))


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")
@pytest.mark.parametrize("percentile", [0, 5, 25, 50, 62.5, 90, 100])
def test_percentiles_are_numpys(stack: Stack, percentile: float) -> None:
    found = reduce(*stack, ReduceOptions(method="percentile", percentile=percentile)).composite
    expected = np.nanquantile(stack[0].astype(np.float64), percentile / 100, axis=0, method="linear")
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
def test_the_mean_is_numpys_in_double_precision(stack: Stack) -> None:
    found = reduce(*stack, ReduceOptions(method="mean")).composite
    np.testing.assert_allclose(found, np.nanmean(stack[0].astype(np.float64), axis=0), rtol=1e-7)


def test_the_weighted_mean_is_numpys_average(stack: Stack) -> None:
    reflectance, valid = stack
    weights = np.random.default_rng(1).gamma(1, 1, valid.shape).astype(np.float32)
    found = reduce(reflectance, valid, ReduceOptions(method="weighted"), score=weights).composite
    for y, x in np.argwhere(valid.any(axis=0)):
        usable = valid[:, y, x]
        expected = np.average(reflectance[usable, :, y, x].astype(float), axis=0, weights=weights[usable, y, x])
        np.testing.assert_allclose(found[:, y, x], expected, rtol=1e-6)


def test_the_medoid_has_the_least_sum_of_scipys_distances(stack: Stack) -> None:
    reflectance, valid = stack
    found = reduce(reflectance, valid, ReduceOptions(method="medoid"))
    assert found.source is not None
    for y, x in np.ndindex(valid.shape[1:]):
        usable = np.flatnonzero(valid[:, y, x])
        if not usable.size:
            assert found.source[y, x] == -1
            continue
        samples = reflectance[usable, :, y, x].astype(float)
        sums = spatial.distance.cdist(samples, samples).sum(axis=1)
        assert sums[list(usable).index(found.source[y, x])] <= sums.min() * (1 + 1e-12)
        np.testing.assert_array_equal(found.composite[:, y, x], reflectance[found.source[y, x], :, y, x])


def total_distance(point: NDArray[np.float64], samples: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(samples - point, axis=1).sum())


def test_no_point_that_scipy_finds_is_nearer_to_all_observations_than_the_geometric_median(stack: Stack) -> None:
    reflectance, valid = stack
    found = reduce(reflectance, valid, ReduceOptions(method="geomedian", eps=1e-7)).composite.astype(float)
    pixels = np.argwhere(valid.any(axis=0))
    for y, x in pixels[:: max(1, len(pixels) // 60)]:
        samples = reflectance[valid[:, y, x], :, y, x].astype(float)
        start = samples[np.argmin([total_distance(sample, samples) for sample in samples])]
        better = optimize.minimize(total_distance, start, args=(samples,), method="Nelder-Mead", tol=1e-9)
        assert total_distance(found[:, y, x], samples) <= better.fun + 2e-5


def test_the_deviations_are_medians_of_scipys_distances(stack: Stack) -> None:
    reflectance, valid = stack
    found: Composite = reduce(reflectance, valid, ReduceOptions(method="geomedian"))
    assert found.deviations is not None
    for y, x in np.argwhere(valid.any(axis=0))[:200]:
        samples = reflectance[valid[:, y, x], :, y, x].astype(float)
        middle = found.composite[:, y, x].astype(float)
        for which, metric in enumerate(("cosine", "euclidean", "braycurtis")):
            expected = np.median(spatial.distance.cdist(samples, middle[None], metric))
            np.testing.assert_allclose(found.deviations[which, y, x], expected, rtol=2e-5, atol=1e-7)
