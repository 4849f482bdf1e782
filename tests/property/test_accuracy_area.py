"""Laws of accuracy and area from samples."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from groundshift.accuracy.area import Accuracy, Points, sampled, stehman, stratified
from groundshift.accuracy.intervals import Shares, exact, shares, weighted_ratio, weighted_sum, wilson

FIGURES = ("overall_accuracy", "users_accuracy", "producers_accuracy", "f1", "kappa", "area")
PARTS = ("estimate", "half_width", "low", "high")


@st.composite
def samples(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Counts with at least two points in every class of the map, and areas."""
    k = draw(st.integers(2, 5))
    counts = draw(hnp.arrays(np.int64, (k, k), elements=st.integers(0, 40)))
    counts[np.diag_indices(k)] += 2
    area = draw(hnp.arrays(np.float64, k, elements=st.floats(0.01, 1000)))
    return counts, area


def same(a: Accuracy, b: Accuracy, classes: np.ndarray | slice = slice(None), scale: float = 1.0) -> None:
    for name in FIGURES:
        for part in PARTS:
            one, other = (np.asarray(getattr(getattr(each, name), part)) for each in (a, b))
            one = one[classes] if one.ndim else one
            np.testing.assert_allclose(other, one * (scale if name == "area" else 1), rtol=1e-7, atol=1e-9)


@given(samples(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_permuting_the_classes_permutes_the_figures(sample: tuple[np.ndarray, np.ndarray], random: object) -> None:
    counts, area = sample
    order = np.arange(len(area))
    random.shuffle(order)  # type: ignore[attr-defined]
    same(stratified(counts, area), stratified(counts[np.ix_(order, order)], area[order]), order)


@given(samples(), st.floats(1e-3, 1e6))
@settings(max_examples=40, deadline=None)
def test_another_unit_of_area_scales_areas_only(sample: tuple[np.ndarray, np.ndarray], scale: float) -> None:
    counts, area = sample
    same(stratified(counts, area), stratified(counts, area * scale), scale=scale)


@given(samples())
@settings(max_examples=60, deadline=None)
def test_intervals_hold_their_estimate_and_shares_stay_shares(sample: tuple[np.ndarray, np.ndarray]) -> None:
    counts, area = sample
    found = stratified(counts, area)
    for name in FIGURES:
        figure = getattr(found, name)
        known = ~np.isnan(figure.estimate)
        low, value, high = (np.asarray(getattr(figure, part))[known] for part in ("low", "estimate", "high"))
        slack = 1e-9 * (1 + np.abs(value))
        assert (low <= value + slack).all()
        assert (value <= high + slack).all()
        if name not in ("area", "kappa"):
            assert (low >= 0).all()
            assert (high <= 1 + 1e-12).all()
    assert np.isclose(found.area.estimate.sum(), area.sum())


@given(samples())
@settings(max_examples=40, deadline=None)
def test_strata_that_are_the_classes_give_the_textbook_figures_either_way(
    sample: tuple[np.ndarray, np.ndarray],
) -> None:
    counts, area = sample
    k = len(area)
    cube = np.zeros((k, k, k))
    cube[np.arange(k), np.arange(k)] = counts
    ours, general = stratified(counts, area), stehman(cube, area)
    for name in FIGURES:
        for part in ("estimate", "half_width"):
            one, other = getattr(getattr(ours, name), part), getattr(getattr(general, name), part)
            np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)


@given(samples(), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_clusters_of_one_point_are_points(sample: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    counts, area = sample
    mapped, reference = (np.repeat(each, counts.ravel()) for each in np.indices(counts.shape).reshape(2, -1))
    cluster = np.random.default_rng(seed).permutation(len(mapped))
    k = len(area)
    same(
        sampled(Points(mapped, mapped, reference), area, k),
        sampled(Points(mapped, mapped, reference, cluster), area, k),
    )


@given(samples())
@settings(max_examples=30, deadline=None)
def test_two_equal_strata_estimate_what_they_do_together(sample: tuple[np.ndarray, np.ndarray]) -> None:
    counts, area = sample
    k = len(area)
    cube = np.zeros((k, k, k))
    cube[np.arange(k), np.arange(k)] = counts
    whole = stehman(2 * cube, area)
    halves = stehman(np.concatenate([cube, cube]), np.concatenate([area, area]) / 2)
    for name in FIGURES:
        one, other = getattr(whole, name).estimate, getattr(halves, name).estimate
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)
    assert (halves.area.half_width >= whole.area.half_width - 1e-9 * area.sum()).all()


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(max_examples=100, deadline=None)
def test_one_stratum_gives_back_its_own_interval(counted: tuple[int, int]) -> None:
    hits, size = (np.array([float(each)]) for each in counted)
    one = np.array([1.0])
    for limits in (wilson, exact):
        low, high = limits(hits, size)
        assert 0 <= low <= hits / size <= high <= 1
        mirrored = limits(size - hits, size)
        np.testing.assert_allclose([1 - mirrored[1], 1 - mirrored[0]], [low, high], atol=1e-9)
        np.testing.assert_allclose(weighted_sum(one, shares(hits, size, limits)), (low[0], high[0]), atol=1e-12)
        inside, outside = shares(hits, size, limits), shares(size - hits, size, limits)
        np.testing.assert_allclose(weighted_ratio(one, inside, outside), (low[0], high[0]), atol=1e-9)


def test_what_has_no_points_spans_everything() -> None:
    nothing = np.array([0.0])
    for limits in (wilson, exact):
        assert [float(end[0]) for end in limits(nothing, nothing)] == [0, 1]
    empty = Shares(nothing, nothing, nothing)
    low, high = weighted_ratio(np.array([1.0]), empty, empty)
    assert (low, high) == (0, 1)


def test_f1_of_points_that_are_right_or_wrong_is_a_function_of_their_share() -> None:
    hits, size = np.array([31.0]), np.array([40.0])
    inside, outside = shares(hits, size, exact), shares(size - hits, size, exact)
    found = weighted_ratio(np.array([1.0]), inside, outside, scale=0.5)
    expected = [float(share[0] / (share[0] + (1 - share[0]) / 2)) for share in exact(hits, size)]
    np.testing.assert_allclose(found, expected, atol=1e-9)
