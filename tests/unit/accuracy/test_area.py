"""Accuracy and areas from samples: published examples, and every corner where there is little or nothing to count."""

from __future__ import annotations

import numpy as np
import pytest

from groundshift.accuracy.area import Points, agreement, census, either, sampled, stehman, stratified
from groundshift.accuracy.intervals import exact
from groundshift.errors import InputError

COUNTS = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
AREA = [200_000, 150_000, 3_200_000, 6_450_000]
MAPPED, TRUE = (
    "A" * 7 + "B" * 3 + "A" + "B" * 11 + "C" * 6 + "BB" + "D" * 10,
    ("A" * 5 + "CBABCA" + "B" * 5 + "AABB" + "C" * 5 + "DDBBA" + "D" * 7 + "CCB"),
)


def number(text: str) -> np.ndarray:
    return np.array(["ABCD".index(letter) for letter in text])


def test_the_example_of_olofsson_comes_out() -> None:
    found = stratified(COUNTS, AREA)
    assert found.overall_accuracy.estimate == pytest.approx(0.9465118881118881, abs=1e-12)
    assert found.overall_accuracy.half_width == pytest.approx(0.01848361774255427, abs=1e-12)
    np.testing.assert_allclose(found.users_accuracy.estimate, [66 / 75, 55 / 75, 153 / 165, 313 / 325], atol=1e-12)
    np.testing.assert_allclose(found.users_accuracy.half_width, [0.07404, 0.10076, 0.03975, 0.02053], atol=5e-6)
    np.testing.assert_allclose(found.producers_accuracy.estimate, [0.748661, 0.847156, 0.934509, 0.961609], atol=5e-7)
    np.testing.assert_allclose(found.producers_accuracy.half_width, [0.21331, 0.25441, 0.03432, 0.01836], atol=5e-6)
    np.testing.assert_allclose(found.area.estimate, [235086.247, 129846.154, 3175221.445, 6459846.154], atol=5e-4)
    np.testing.assert_allclose(found.area.half_width, [68418.16, 41731.40, 172331.51, 180907.29], atol=5e-3)
    assert agreement(COUNTS).overall_accuracy.estimate == pytest.approx(0.9171875, abs=1e-12)


def test_the_example_of_stehman_comes_out() -> None:
    points = Points(np.repeat(np.arange(4), 10), number(MAPPED), number(TRUE))
    pixels = [40_000, 30_000, 20_000, 10_000]
    found = sampled(points, pixels, 4, population=pixels)
    share = found.area.estimate / 1e5
    assert (share[0], share[2], found.overall_accuracy.estimate) == pytest.approx((0.35, 0.20, 0.63))
    assert found.users_accuracy.estimate[1] == pytest.approx(0.574, abs=5e-4)
    assert found.producers_accuracy.estimate[1] == pytest.approx(0.794, abs=5e-4)
    assert found.proportions[1, 2] == pytest.approx(0.08)
    error = [
        found.area.half_width[0] / 1e5,
        found.area.half_width[2] / 1e5,
        found.overall_accuracy.half_width,
        found.users_accuracy.half_width[1],
    ]
    np.testing.assert_allclose(np.array(error) / 1.96, [0.082, 0.064, 0.085, 0.125], atol=5e-4)


def test_a_class_of_the_map_without_points_is_refused_in_one_sentence() -> None:
    counts = np.array(COUNTS)
    counts[1] = 0
    with pytest.raises(InputError, match=r"class 1 of the map .* has no reference point: .* collapse strata"):
        stratified(counts, AREA)


def test_collapsed_strata_err_like_the_largest_and_keep_the_whole_area() -> None:
    counts = np.array(COUNTS)
    counts[1] = 0
    found = stratified(counts, AREA, collapse=True)
    by_hand = stratified(counts, [200_000, 0, 3_200_000, 6_600_000])
    np.testing.assert_allclose(found.area.estimate, by_hand.area.estimate)
    assert found.area.estimate.sum() == pytest.approx(sum(AREA))
    assert np.isnan(found.users_accuracy.estimate[1])


def test_one_point_in_a_class_leaves_the_variance_undefined_and_says_so() -> None:
    found = stratified([[1, 0, 0], [1, 40, 3], [2, 1, 60]], [1, 50, 60])
    assert np.isnan(found.overall_accuracy.half_width)
    assert np.isnan(found.users_accuracy.half_width).tolist() == [True, False, False]
    assert np.isnan(found.area.half_width).all()
    assert np.isfinite(found.overall_accuracy.low)
    assert found.users_accuracy.high[0] - found.users_accuracy.low[0] > 0.7
    (warning,) = found.warnings
    assert "stratum 0 (counted from 0) has one point only" in str(warning)


def test_a_class_that_only_the_reference_holds_has_no_users_accuracy_but_an_area() -> None:
    found = stratified([[40, 3, 7], [2, 45, 3], [0, 0, 0]], [300, 700, 0])
    assert np.isnan([found.users_accuracy.estimate[2], found.users_accuracy.low[2], found.users_accuracy.high[2]]).all()
    assert found.area.estimate[2] == pytest.approx(300 * 7 / 50 + 700 * 3 / 50)
    assert found.area.low[2] < found.area.estimate[2] < found.area.high[2]
    assert found.producers_accuracy.estimate[2] == 0
    assert found.f1.estimate[2] == 0
    assert not found.warnings


def test_no_error_among_the_points_is_not_taken_for_a_map_without_error() -> None:
    found = stratified(np.diag([50, 50, 50]), [10, 100, 1000])
    for figure in (found.overall_accuracy, found.users_accuracy, found.producers_accuracy, found.area, found.f1):
        np.testing.assert_allclose(figure.half_width, 0, atol=1e-9)
        assert (np.asarray(figure.low) < figure.estimate).all()
    assert (found.area.high > found.area.estimate).all()
    # one omission in the large class could be most of the small one
    assert found.producers_accuracy.low[0] < 0.3
    assert found.kappa.estimate == 1
    assert found.kappa.low < 0.95


def test_a_class_that_the_reference_does_not_hold_has_no_producers_accuracy() -> None:
    found = stratified([[40, 10, 0], [5, 45, 0], [10, 40, 0]], [1, 1, 1])
    assert found.users_accuracy.estimate[2] == 0
    assert np.isnan(found.producers_accuracy.estimate[2])
    assert np.isnan(found.producers_accuracy.high[2])
    assert found.area.estimate[2] == 0
    assert found.area.high[2] > 0


def test_one_class_has_no_kappa() -> None:
    found = stratified([[50]], [9])
    assert np.isnan([found.kappa.estimate, found.kappa.half_width, found.kappa.low]).all()
    assert found.overall_accuracy.estimate == 1


def test_a_reference_map_has_no_sampling_error() -> None:
    found = census([[8, 2], [1, 9]])
    overall = found.overall_accuracy
    assert (overall.estimate, overall.low, overall.high) == pytest.approx((0.85, 0.85, 0.85))
    assert found.area.estimate.tolist() == [9, 11]
    assert found.producers_accuracy.estimate[0] == pytest.approx(8 / 9)
    assert not found.producers_accuracy.half_width.any()


def test_either_label_makes_the_map_right_and_no_label_does_not() -> None:
    mapped, primary, alternate = np.array([0, 0, 1, 2]), np.array([0, 1, 2, 2]), np.array([2, 0, -1, -1])
    assert either(mapped, primary, alternate).tolist() == [0, 0, 2, 2]


def test_points_that_come_in_clusters_say_less() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(40), 10)
    bad = np.repeat(rng.random(40) < 0.2, 10)
    reference = np.where(bad, 1, 0)
    together = Points(np.zeros(400, int), np.zeros(400, int), reference, cluster)
    alone = Points(together.stratum, together.mapped, reference)
    wide, narrow = (sampled(each, [1.0], 2).overall_accuracy for each in (together, alone))
    assert wide.estimate == narrow.estimate
    # whole clusters err: forty draws, not four hundred
    p = wide.estimate
    assert wide.half_width == pytest.approx(1.96 * np.sqrt(p * (1 - p) / 39), rel=1e-9)
    assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low)


def test_one_cluster_leaves_the_variance_undefined() -> None:
    found = sampled(Points(np.zeros(9, int), np.zeros(9, int), np.arange(9) % 2, np.zeros(9, int)), [1.0], 2)
    assert np.isnan(found.overall_accuracy.half_width)
    assert "one cluster only" in str(found.warnings[0])


def test_a_sample_of_everything_has_no_error() -> None:
    counts = np.array([[[8, 2], [0, 0]], [[0, 0], [1, 9]]])
    found = stehman(counts, [10, 10], population=[10, 10])
    assert found.overall_accuracy.half_width == 0


@pytest.mark.parametrize(
    ("counts", "area", "sentence"),
    [
        ([[1, 2]], [1], "expected"),
        ([[1, 2], [3, 4]], [1], "expected"),
        ([[1, -2], [3, 4]], [1, 1], "negative"),
        ([[1, np.nan], [3, 4]], [1, 1], "not finite"),
        ([[1, 2], [3, 4]], [0, 0], "all 0"),
        ([[1, 2], [3, 4]], [1, np.inf], "not finite"),
        ([[1, 2], [3, 4]], [1, 0], "no mapped area"),
    ],
)
def test_what_cannot_be_is_refused(counts: list[list[float]], area: list[float], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        stratified(counts, area)


def test_a_stratum_without_points_and_classes_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match=r"stratum 1 .* no reference point"):
        stehman(np.ones((2, 2, 2)) * np.array([1, 0])[:, None, None], [1, 1])
    with pytest.raises(InputError, match="reference class 2: expected numbers from 0 to 1"):
        sampled(Points(np.array([0]), np.array([0]), np.array([2])), [1], 2)


def test_what_cannot_be_omitted_in_a_class_of_the_map_is_not_feared_there() -> None:
    found = stratified([[50, 0], [0, 50]], [1, 10])
    low = exact(np.float64(50), np.float64(50))[0]
    # class 0 can be right in its own stratum only, and omitted in the other only
    odds = np.sqrt(1 - (1 - low) ** 2) / (10 * (1 - low))
    assert found.producers_accuracy.low[0] == pytest.approx(odds / (1 + odds))


def test_the_error_of_kappa_is_that_of_fleiss_cohen_and_everitt() -> None:
    p = np.array(COUNTS) / np.sum(COUNTS)
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    one, two = np.trace(p), rows @ columns
    three = np.diagonal(p) @ (rows + columns)
    four = (p * (rows[None] + columns[:, None]) ** 2).sum()
    variance = one * (1 - one) / (1 - two) ** 2
    variance += 2 * (1 - one) * (2 * one * two - three) / (1 - two) ** 3
    variance += (1 - one) ** 2 * (four - 4 * two**2) / (1 - two) ** 4
    expected = 1.96 * np.sqrt(variance / (np.sum(COUNTS) - 1))
    assert agreement(COUNTS).kappa.half_width == pytest.approx(expected, rel=1e-9)
