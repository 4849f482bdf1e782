"""Laws of composites: blocks, order of scenes, empty scenes, scale, convexity, rotation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats

from groundshift.composite.reduce import METHODS, Composite, Method, ReduceOptions, reduce

methods = st.sampled_from(METHODS)
seeds = st.integers(0, 9999)
laws = settings(max_examples=60, deadline=None)


def case(seed: int, height: int = 3, width: int = 11) -> dict[str, Any]:
    """A stack with its scores and ages; what is not valid holds rubbish."""
    rng = np.random.default_rng(seed)
    times, bands = int(rng.integers(1, 25)), int(rng.integers(1, 6))
    reflectance = rng.uniform(0.01, 0.6, (bands, height, width)) + rng.normal(0, 0.05, (times, bands, height, width))
    valid = rng.random((times, height, width)) < rng.choice([0.2, 0.7, 1.0])
    rubbish = rng.choice([np.nan, np.inf, -3.0], valid.shape)
    return {
        "reflectance": np.where(valid[:, None], reflectance, rubbish[:, None]).astype(np.float32),
        "valid": valid,
        "score": rng.random(valid.shape).astype(np.float32),
        "ages": rng.permutation(times).astype(float),
    }


def composite(stack: dict[str, Any], method: Method, threads: int = 1, **more: Any) -> Composite:
    options = ReduceOptions(method=method, **more)
    return reduce(
        stack["reflectance"], stack["valid"], options, score=stack["score"], ages=stack["ages"], threads=threads
    )


def scenes(stack: dict[str, Any], chosen: Any) -> dict[str, Any]:
    return {name: value[chosen] for name, value in stack.items()}


def window(stack: dict[str, Any], y: slice, x: slice) -> dict[str, Any]:
    return {name: value if name == "ages" else value[..., y, x] for name, value in stack.items()}


def assert_same(one: Composite, other: Composite, source: bool = True) -> None:
    np.testing.assert_array_equal(one.composite, other.composite)
    np.testing.assert_array_equal(one.count, other.count)
    if source and one.source is not None and other.source is not None:
        np.testing.assert_array_equal(one.source, other.source)
    if one.deviations is not None and other.deviations is not None:
        np.testing.assert_array_equal(one.deviations, other.deviations)


@laws
@given(methods, seeds, st.data())
def test_cutting_the_image_into_blocks_changes_no_bit(method: Method, seed: int, data: st.DataObject) -> None:
    stack = case(seed, 4, 300)
    y, x = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 299))
    rows, columns = slice(y, data.draw(st.integers(y + 1, 4))), slice(x, data.draw(st.integers(x + 1, 300)))
    whole, part = composite(stack, method), composite(window(stack, rows, columns), method)
    cut = Composite(*(None if v is None else v[..., rows, columns] for v in vars(whole).values()))  # type: ignore[arg-type]
    assert_same(cut, part)


@pytest.mark.parametrize("method", METHODS)
def test_threads_change_no_bit(method: Method) -> None:
    stack = case(3, 67, 40)
    assert_same(composite(stack, method), composite(stack, method, threads=2))


@laws
@given(methods, seeds)
def test_the_order_of_the_scenes_changes_nothing(method: Method, seed: int) -> None:
    stack = case(seed)
    order = np.random.default_rng(seed + 1).permutation(len(stack["valid"]))
    one, other = composite(stack, method), composite(scenes(stack, order), method)
    np.testing.assert_array_equal(one.count, other.count)
    if method == "geomedian":
        np.testing.assert_allclose(one.composite, other.composite, atol=2e-6)
    elif method in ("mean", "weighted"):
        np.testing.assert_allclose(one.composite, other.composite, rtol=2e-7)
    elif method != "medoid":
        np.testing.assert_array_equal(one.composite, other.composite)
    else:
        assert one.source is not None
        assert other.source is not None
        back = np.where(other.source >= 0, order[other.source], -1)
        unique = one.count > 2 if len(one.composite) > 1 else one.count % 2 == 1
        np.testing.assert_array_equal(one.source[unique], back[unique])


@laws
@given(methods, seeds)
def test_a_scene_with_nothing_valid_changes_no_bit(method: Method, seed: int) -> None:
    stack = case(seed)
    at = int(np.random.default_rng(seed).integers(len(stack["valid"]) + 1))
    more = {name: np.insert(value, at, 0, axis=0) for name, value in stack.items()}
    assert_same(composite(stack, method), composite(more, method), source=False)


@laws
@given(methods, seeds, st.sampled_from([0.25, 2.0, 1024.0]))
def test_scaling_reflectance_scales_the_composite_and_the_euclidean_deviation_only(
    method: Method, seed: int, factor: float
) -> None:
    stack = case(seed)
    scaled = {**stack, "reflectance": stack["reflectance"] * np.float32(factor)}
    eps = 1e-6
    one, other = composite(stack, method, eps=eps), composite(scaled, method, eps=eps * factor)
    np.testing.assert_array_equal(one.composite * np.float32(factor), other.composite)
    if one.deviations is not None and other.deviations is not None:
        np.testing.assert_allclose(one.deviations[1] * factor, other.deviations[1], rtol=1e-6)
        np.testing.assert_allclose(one.deviations[[0, 2]], other.deviations[[0, 2]], rtol=1e-5)


@laws
@given(st.sampled_from(["newest", "best", "medoid"]), seeds)
def test_methods_that_choose_return_real_observations(method: Method, seed: int) -> None:
    stack = case(seed)
    found = composite(stack, method)
    assert found.source is not None
    np.testing.assert_array_equal(found.source >= 0, stack["valid"].any(axis=0))
    for y, x in np.argwhere(found.source >= 0):
        t = found.source[y, x]
        assert stack["valid"][t, y, x]
        np.testing.assert_array_equal(found.composite[:, y, x], stack["reflectance"][t, :, y, x])


@laws
@given(st.sampled_from(["mean", "median", "percentile", "weighted"]), seeds)
def test_each_band_stays_between_its_least_and_its_greatest_observation(method: Method, seed: int) -> None:
    stack = case(seed)
    seen = stack["valid"].any(axis=0)
    found = composite(stack, method).composite[:, seen]
    values, valid = stack["reflectance"][..., seen], stack["valid"][:, None, seen]
    assert (found >= np.where(valid, values, np.inf).min(axis=0) - 1e-6).all()
    assert (found <= np.where(valid, values, -np.inf).max(axis=0) + 1e-6).all()


def away_from_hull(point: NDArray[np.float64], samples: NDArray[np.float64]) -> float:
    """Distance to the nearest convex combination."""
    heavy = 1e3
    matrix = np.vstack([samples.T, np.full(len(samples), heavy)])
    return float(optimize.nnls(matrix, np.append(point, heavy))[1])


@laws
@given(seeds)
def test_the_geometric_median_lies_in_the_convex_hull_of_the_observations(seed: int) -> None:
    stack = case(seed, 1, 5)
    found = composite(stack, "geomedian").composite
    for y, x in np.argwhere(stack["valid"].any(axis=0)):
        samples = stack["reflectance"][stack["valid"][:, y, x], :, y, x].astype(float)
        assert away_from_hull(found[:, y, x].astype(float), samples) < 1e-5


@laws
@given(seeds)
def test_turning_the_axes_turns_the_geometric_median(seed: int) -> None:
    stack = case(seed)
    bands = stack["reflectance"].shape[1]
    rotation = stats.ortho_group.rvs(bands, random_state=seed) if bands > 1 else np.array([[-1.0]])
    safe = np.where(stack["valid"][:, None], stack["reflectance"], 0)
    turned = {**stack, "reflectance": np.einsum("ij,tjyx->tiyx", rotation, safe).astype(np.float32)}
    one, other = (composite(each, "geomedian", eps=1e-7) for each in (stack, turned))
    expected = np.einsum("ij,jyx->iyx", rotation, one.composite)
    np.testing.assert_allclose(other.composite, expected, atol=5e-6)
    assert one.deviations is not None
    assert other.deviations is not None
    np.testing.assert_allclose(one.deviations[:2], other.deviations[:2], rtol=1e-3, atol=5e-6)
