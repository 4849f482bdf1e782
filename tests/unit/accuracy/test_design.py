"""How many points, how many in each class, and which pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from groundshift.accuracy import design
from groundshift.errors import InputError

AREA = [200_000, 150_000, 3_200_000, 6_450_000]


def test_the_sample_size_of_olofsson_comes_out() -> None:
    assert design.sample_size(AREA, [0.7, 0.6, 0.9, 0.95], 0.01) == 641


def test_a_map_without_errors_needs_one_point() -> None:
    assert design.sample_size(AREA, 1.0, 0.01) == 1


def test_a_rare_class_gets_its_minimum_and_the_rest_is_by_area() -> None:
    found = design.allocate(641, AREA, minimum=50)
    assert found.sum() == 641
    assert found[:2].tolist() == [50, 50]
    assert found[3] / found[2] == pytest.approx(6450 / 3200, rel=0.02)


def test_each_way_of_sharing_points() -> None:
    assert design.allocate(400, AREA, how="equal").tolist() == [100] * 4
    assert design.allocate(1000, AREA, how="proportional").tolist() == [20, 15, 320, 645]
    spread = np.array(AREA) * np.sqrt([0.21, 0.24, 0.09, 0.0475])
    optimal = design.allocate(1000, AREA, how="optimal", expected_users_accuracy=[0.7, 0.6, 0.9, 0.95])
    np.testing.assert_allclose(optimal, 1000 * spread / spread.sum(), atol=1)


def test_no_class_gets_more_points_than_pixels_nor_any_without_area() -> None:
    found = design.allocate(300, [1, 0, 500, 500], available=[7, 0, 500, 500])
    assert found[:2].tolist() == [7, 0]
    assert found.sum() == 300
    assert design.allocate(99, [4, 6], available=[4, 6]).tolist() == [4, 6]


def test_few_points_are_shared_evenly_rather_than_by_a_minimum_that_cannot_be() -> None:
    assert design.allocate(20, AREA, minimum=50).tolist() == [5, 5, 5, 5]


@given(
    st.integers(1, 3000),
    hnp.arrays(np.float64, st.integers(1, 8), elements=st.one_of(st.just(0.0), st.floats(1e-6, 1e6))),
    st.sampled_from(design.ALLOCATIONS),
)
@settings(max_examples=80, deadline=None)
def test_points_are_shared_to_the_last(total: int, area: np.ndarray, how: design.Allocation) -> None:
    if not area.any():
        area = area + 1
    found = design.allocate(total, area, how=how)
    assert found.sum() == total
    assert (found >= 0).all()
    assert not found[area == 0].any()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: design.sample_size(AREA, [0.7, 0.6], 0.01), "2 expected accuracies for 4 classes"),
        (lambda: design.sample_size(AREA, 1.2, 0.01), "outside 0 to 1"),
        (lambda: design.sample_size(AREA, 0.8, 0), "standard error is 0"),
        (lambda: design.sample_size([0, 0], 0.8, 0.01), "not all 0"),
        (lambda: design.allocate(0, AREA), "0 points"),
        (lambda: design.allocate(9, AREA, how="best"), "by 'best'"),
    ],
)
def test_what_cannot_be_is_refused(call: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        call()  # type: ignore[operator]


# --- drawing -------------------------------------------------------------------------------------------------------


def a_map() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    codes = rng.choice(np.array([1, 2, 9], np.uint8), (300, 200), p=[0.9, 0.09, 0.01])
    return codes, rng.random(codes.shape) < 0.95


def draw(
    codes: np.ndarray, valid: np.ndarray, points: dict[int, int], seed: int, block: tuple[int, int]
) -> design.Candidates:
    weight = {code: float(np.count_nonzero(valid & (codes == code))) for code in points}
    parts = [
        design.candidates(
            codes[y : y + block[0], x : x + block[1]],
            valid[y : y + block[0], x : x + block[1]],
            design.thresholds(points, weight),
            seed=seed,
            origin=(y, x),
        )
        for y in range(0, codes.shape[0], block[0])
        for x in range(0, codes.shape[1], block[1])
    ]
    return design.drawn(design.merged(parts[::-1]), points)


@pytest.mark.parametrize("block", [(7, 200), (64, 33), (1, 1000)])
def test_cutting_the_map_into_blocks_changes_no_point(block: tuple[int, int]) -> None:
    codes, valid = a_map()
    points = {1: 100, 2: 60, 9: 50}
    whole, cut = draw(codes, valid, points, 5, codes.shape), draw(codes, valid, points, 5, block)
    assert whole.row.tolist() == cut.row.tolist()
    assert whole.column.tolist() == cut.column.tolist()
    assert (codes[cut.row, cut.column] == cut.code).all()
    assert valid[cut.row, cut.column].all()
    assert {code: int(np.count_nonzero(cut.code == code)) for code in points} == points


def test_another_seed_draws_others_and_a_larger_sample_holds_the_smaller() -> None:
    codes, valid = a_map()
    few, many, other = (draw(codes, valid, {1: n}, seed, codes.shape) for n, seed in ((50, 1), (80, 1), (50, 2)))
    place = [set(zip(each.row.tolist(), each.column.tolist(), strict=True)) for each in (few, many, other)]
    assert place[0] < place[1]
    assert len(place[0] & place[2]) < 5


def test_every_pixel_is_as_likely_as_any_other() -> None:
    codes, valid = np.ones((20, 20), np.uint8), np.ones((20, 20), bool)
    times = np.zeros((20, 20))
    for seed in range(600):
        found = draw(codes, valid, {1: 40}, seed, (20, 20))
        times[found.row, found.column] += 1
    expected = 600 * 40 / 400
    assert ((times - expected) ** 2 / (expected * 0.9)).sum() == pytest.approx(399, abs=4.5 * np.sqrt(2 * 399))
    # rows, columns and neighbours as well
    np.testing.assert_allclose(times.sum(axis=0) / (20 * expected), 1, atol=0.12)
    np.testing.assert_allclose(times.sum(axis=1) / (20 * expected), 1, atol=0.12)


def test_pixels_of_twice_the_size_are_drawn_twice_as_often() -> None:
    codes, valid = np.ones((40, 50), np.uint8), np.ones((40, 50), bool)
    size = np.repeat([4 / 3, 2 / 3], 20)[:, None]
    large = 0
    for seed in range(200):
        pool = design.candidates(codes, valid, {1: 1.0}, seed=seed, relative_area=size)
        large += np.count_nonzero(design.drawn(pool, {1: 60}).row < 20)
    assert large / (200 * 60) == pytest.approx(2 / 3, abs=0.012)


def test_a_pool_that_is_too_small_is_refused() -> None:
    codes, valid = a_map()
    with pytest.raises(InputError, match="class 9 has 0 pixels to draw from: expected at least 5"):
        design.drawn(design.candidates(codes, valid, {1: 1.0}, seed=0), {9: 5})
