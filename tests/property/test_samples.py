"""Laws of drawing samples."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from groundshift.landcover.samples import SampleOptions, Samples, candidates, draw, finish, halo, merge
from groundshift.model.grid import Window, blocks

SHAPE = (61, 83)


def labels(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes in cells, and fields within them."""
    rng = np.random.default_rng(seed)
    coarse = rng.choice(np.array([0, 1, 2, 3, 255], np.uint8), (8, 11), p=[0.2, 0.4, 0.2, 0.15, 0.05])
    fields = np.arange(coarse.size).reshape(coarse.shape) + 1
    return tuple(np.kron(each, np.ones((8, 8), each.dtype))[: SHAPE[0], : SHAPE[1]] for each in (coarse, fields))  # type: ignore[return-value]


def columns(drawn: Samples) -> dict[str, list[int]]:
    return {name: values.tolist() for name, values in vars(drawn).items()}


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 9),
    rows=st.integers(5, 70),
    width=st.integers(5, 90),
    erode_px=st.integers(0, 3),
    distance_px=st.sampled_from([0.0, 3.5]),
    shuffle=st.randoms(use_true_random=False),
)
def test_blocks_of_any_size_in_any_order_change_nothing(
    seed: int, rows: int, width: int, erode_px: int, distance_px: float, shuffle: object
) -> None:
    options = SampleOptions(per_class=30, erode_px=erode_px, distance_px=distance_px, block_px=20, seed=seed)
    truth, fields = labels(seed)
    together = draw(truth, options, polygons=fields)
    parts = []
    for window in blocks(SHAPE, rows, width):
        wide = halo(window, SHAPE, options)
        origin = wide.y0, wide.x0
        parts.append(candidates(truth[wide.slices], window, options, polygons=fields[wide.slices], origin=origin))
    shuffle.shuffle(parts)  # type: ignore[attr-defined]
    half = len(parts) // 2
    grouped = [merge(some, options) for some in (parts[:half], parts[half:]) if some]
    assert columns(finish(merge(grouped, options), options)) == columns(together)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 9), erode_px=st.integers(0, 3), distance_px=st.sampled_from([0.0, 2.0, 5.5]))
def test_samples_are_pure_capped_apart_and_carry_their_place(seed: int, erode_px: int, distance_px: float) -> None:
    options = SampleOptions(per_class=25, erode_px=erode_px, distance_px=distance_px, block_px=20, seed=seed)
    truth, fields = labels(seed)
    drawn = draw(truth, options, polygons=fields)
    assert np.bincount(drawn.label).max() <= 25
    assert not np.isin(drawn.label, (0, 255)).any()
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for k in range(len(drawn)):
        y, x = drawn.row[k], drawn.column[k]
        near = (rows - y) ** 2 + (cols - x) ** 2 <= erode_px**2
        assert set(truth[near]) == {drawn.label[k]}
        assert set(fields[near]) == {drawn.polygon[k]}
        away = (drawn.row - y) ** 2 + (drawn.column - x) ** 2
        assert np.sum(away < max(distance_px**2, 1)) == 1
    square = drawn.row // 20 * 1000 + drawn.column // 20
    assert len(np.unique(square)) == len(np.unique(drawn.block)) == len(np.unique(np.c_[square, drawn.block], axis=0))


def test_all_pixels_of_a_class_are_as_likely() -> None:
    truth = np.ones(SHAPE, np.uint8)
    inside = Window(0, *SHAPE[:1], 0, SHAPE[1])
    taken = np.zeros(SHAPE, int)
    for seed in range(200):
        drawn = finish(candidates(truth, inside, SampleOptions(per_class=200, erode_px=0, seed=seed)))
        taken[drawn.row, drawn.column] += 1
    expected = 200 * 200 / truth.size
    assert np.abs(taken[:30].mean() - expected) < 0.3
    assert np.var(taken) < 1.3 * expected
