"""Composites of small stacks whose answers are known by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.composite.reduce import CDSE, METHODS, Method, ReduceOptions, reduce
from groundshift.errors import InputError, UsageError


def stack(pixel: list[list[float]]) -> NDArray[np.float32]:
    """One pixel of some scenes, each a list of bands."""
    return np.array(pixel, np.float32)[:, :, None, None]


def facts(method: Method, times: int) -> dict[str, Any]:
    """What any method may need."""
    return {"ages": np.arange(times, dtype=float), "score": np.ones((times, 1, 1), np.float32)}


def alone(pixel: list[list[float]], method: Method, clear: list[bool] | None = None, **more: Any) -> Any:
    """The composite of one pixel."""
    times = len(pixel)
    valid = np.array(clear or [True] * times)[:, None, None]
    given = {**facts(method, times), **{name: more.pop(name) for name in ("ages", "score") if name in more}}
    return reduce(stack(pixel), valid, ReduceOptions(method=method, **more), **given)


@pytest.mark.parametrize("method", METHODS)
def test_where_nothing_is_clear_there_is_no_value_no_source_and_a_count_of_nothing(method: Method) -> None:
    found = alone([[np.nan, 7], [0.3, 0.4]], method, [False, False])
    assert np.isnan(found.composite).all()
    assert found.count.item() == 0
    assert found.source is None or found.source.item() == -1
    assert found.deviations is None or np.isnan(found.deviations).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_single_clear_observation_is_the_composite_to_the_last_bit(method: Method) -> None:
    found = alone([[np.nan, np.nan], [0.3, 0.4], [9, -9]], method, [False, True, False])
    np.testing.assert_array_equal(found.composite[:, 0, 0], np.array([0.3, 0.4], np.float32))
    assert found.count.item() == 1
    assert found.source is None or found.source.item() == 1
    assert found.deviations is None or (found.deviations < 1e-12).all()


@pytest.mark.parametrize("method", METHODS)
def test_types_are_those_of_the_contract(method: Method) -> None:
    found = alone([[0.1, 0.2], [0.3, 0.4]], method)
    assert (found.composite.dtype, found.count.dtype) == (np.float32, np.uint16)
    assert (found.source is not None) == (method in ("newest", "best", "medoid"))
    assert found.source is None or found.source.dtype == np.int16
    assert (found.deviations is not None) == (method == "geomedian")


def test_the_newest_clear_observation_wins_and_of_equal_age_the_first() -> None:
    pixel = [[0.1], [0.2], [0.3], [0.4]]
    assert alone(pixel, "newest", ages=np.array([5, 3, 3, 9.0])).source.item() == 1
    assert alone(pixel, "newest", [True, False, False, True], ages=np.array([5, 3, 3, 9.0])).source.item() == 0


def test_the_highest_score_wins_and_of_equal_scores_the_first() -> None:
    score = np.array([0.1, 0.7, 0.7, 0.9], np.float32)[:, None, None]
    found = alone([[0.1], [0.2], [0.3], [0.4]], "best", [True, True, True, False], score=score)
    assert found.source.item() == 1
    assert found.count.item() == 3


def test_an_observation_of_no_weight_is_neither_used_nor_counted() -> None:
    score = np.array([1, 3, 0], np.float32)[:, None, None]
    found = alone([[0.1], [0.5], [9]], "weighted", score=score)
    assert found.composite.item() == pytest.approx(0.4)
    assert found.count.item() == 2


def test_the_preset_of_the_quarterly_mosaics_is_the_first_quartile_of_each_band() -> None:
    found = reduce(stack([[0.4, 0.1], [0.1, 0.5], [0.2, 0.2], [0.3, 0.3], [0.5, 0.4]]), np.ones((5, 1, 1), bool), CDSE)
    np.testing.assert_allclose(found.composite[:, 0, 0], [0.2, 0.2])


def test_the_medoid_of_equal_observations_is_the_first_of_them() -> None:
    found = alone([[0.9, 0.1], [0.21, 0.37], [0.3, 0.3], [0.21, 0.37], [0.1, 0.7]], "medoid")
    assert found.source.item() == 1
    assert alone([[0.2], [0.6]], "medoid").source.item() == 0


def test_of_the_two_middle_ones_along_a_line_the_first_is_the_medoid() -> None:
    lines = np.random.default_rng(0).random((6, 1, 1, 500), np.float32)
    vectors = np.concatenate([lines, 2 * lines], axis=1)
    found = reduce(vectors, np.ones((6, 1, 500), bool), ReduceOptions(method="medoid")).source
    assert found is not None
    np.testing.assert_array_equal(found[0], np.argsort(lines[:, 0, 0], axis=0)[2:4].min(axis=0))


def test_the_geometric_median_of_two_is_their_middle_and_of_a_right_angled_cross_its_centre() -> None:
    found = alone([[0.1, 0.1], [0.3, 0.5]], "geomedian")
    np.testing.assert_allclose(found.composite[:, 0, 0], [0.2, 0.3], rtol=1e-6)
    cross = alone([[0.2, 0.1], [0.2, 0.9], [0.1, 0.3], [0.8, 0.3]], "geomedian", eps=1e-8)
    np.testing.assert_allclose(cross.composite[:, 0, 0], [0.2, 0.3], atol=1e-5)


def test_the_geometric_median_of_an_obtuse_triangle_is_its_corner() -> None:
    found = alone([[0.0, 0.0], [0.4, 0.05], [-0.4, 0.05]], "geomedian", eps=1e-8)
    np.testing.assert_allclose(found.composite[:, 0, 0], [0, 0], atol=1e-5)


def test_a_mean_that_is_an_observation_does_not_hold_the_geometric_median() -> None:
    away = [[0.25, 0.0], [0.25, 0.125], [0.25, -0.125], [-0.75, 0.0], [0.0, 0.0]]
    pixels = np.concatenate([stack([*away, *([[9.0, 9.0]] * 4)]), stack([[0.5, 0.1 * i] for i in range(9)])], axis=3)
    valid = np.ones((9, 1, 2), bool)
    valid[5:, 0, 0] = False
    found = reduce(pixels, valid, ReduceOptions(method="geomedian", eps=1e-8)).composite[:, 0, 0]
    np.testing.assert_allclose(found[1], 0, atol=1e-6)
    assert found[0] > 0.05


def test_equal_observations_have_themselves_as_geometric_median_and_no_deviation() -> None:
    found = alone([[0.25, 0.5]] * 5, "geomedian")
    np.testing.assert_array_equal(found.composite[:, 0, 0], [0.25, 0.5])
    np.testing.assert_array_equal(found.deviations, 0)


def test_one_far_cloud_moves_the_mean_but_not_the_geometric_median() -> None:
    ground = [[0.1, 0.2], [0.11, 0.2], [0.1, 0.21], [0.11, 0.21], [0.105, 0.205]]
    cloudy = [*ground, [0.9, 0.9]]
    assert np.abs(alone(cloudy, "geomedian").composite[:, 0, 0] - [0.105, 0.205]).max() < 0.005
    assert np.abs(alone(cloudy, "mean").composite[:, 0, 0] - [0.105, 0.205]).max() > 0.1


def test_deviations_are_left_out_where_not_asked_for() -> None:
    assert alone([[0.1], [0.2], [0.4]], "geomedian", deviations=False).deviations is None


@pytest.mark.parametrize(
    "options",
    [{"method": "mode"}, {"percentile": -1}, {"percentile": 101}, {"eps": 0}, {"eps": np.nan}, {"max_iterations": 0}],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ReduceOptions(**options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_a_valid_value_that_is_not_finite_is_refused_with_its_place(method: Method, strange: float) -> None:
    with pytest.raises(InputError, match=r"scene 0, band 1 at row 0, column 0 .* marked valid"):
        alone([[0.1, strange], [0.3, 0.4]], method, score=np.array([2, 1], np.float32)[:, None, None])


@pytest.mark.parametrize(
    ("reflectance", "valid"),
    [
        (np.zeros((2, 1, 3, 3)), np.ones((2, 3, 3), bool)),
        (np.zeros((1, 3, 3), np.float32), np.ones((1, 3, 3), bool)),
        (np.zeros((2, 1, 3, 3), np.float32), np.ones((2, 3, 4), bool)),
        (np.zeros((2, 1, 3, 3), np.float32), np.ones((2, 3, 3), np.uint8)),
        (np.zeros((0, 1, 3, 3), np.float32), np.ones((0, 3, 3), bool)),
        (np.zeros((2, 0, 3, 3), np.float32), np.ones((2, 3, 3), bool)),
    ],
)
def test_stacks_of_another_shape_or_type_are_refused(reflectance: Any, valid: Any) -> None:
    with pytest.raises(InputError, match="expected"):
        reduce(reflectance, valid)


@pytest.mark.parametrize("method", ["newest", "best", "weighted"])
def test_what_a_method_needs_must_be_given_and_fit(method: Method) -> None:
    pixel, valid = stack([[0.1], [0.2]]), np.ones((2, 1, 1), bool)
    with pytest.raises(UsageError, match="needs"):
        reduce(pixel, valid, ReduceOptions(method=method))
    with pytest.raises(InputError, match="expected"):
        reduce(pixel, valid, ReduceOptions(method=method), ages=np.zeros(3), score=np.zeros((3, 1, 1), np.float32))
    with pytest.raises(InputError, match="expected"):
        reduce(
            pixel, valid, ReduceOptions(method=method), ages=np.full(2, np.nan), score=np.full((2, 1, 1), np.nan, "f4")
        )


def test_a_negative_weight_is_refused_but_not_where_it_is_not_used() -> None:
    score = np.array([1, -1], np.float32)[:, None, None]
    with pytest.raises(InputError, match="scene 1 has a weight"):
        alone([[0.1], [0.2]], "weighted", score=score)
    assert alone([[0.1], [0.2]], "weighted", [True, False], score=score).count.item() == 1
