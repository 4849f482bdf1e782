"""Laws of the scene list: complete, nothing to spare, bounded, the cheapest of all lists, whatever the order."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from groundshift.composite import select_search as search
from groundshift.composite.select import Candidate, Cover, Selection, SelectOptions, cost_terms, select

LIMITS = st.sampled_from([0, 300])


@st.composite
def tables(draw: st.DrawFn, most: int = 40) -> tuple[list[Candidate], NDArray[np.bool_]]:
    """Some scenes of up to three tiles, in any order, and what they show."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, cells = draw(st.integers(1, most)), draw(st.integers(1, 70))
    mask = rng.random((count, cells)) < draw(st.sampled_from([0.05, 0.2, 0.5]))
    mask[0, 0] = True
    tiles = draw(st.integers(0, 3))
    candidates = [
        Candidate(
            id=f"{rng.integers(1000)}-{i}",
            age_days=float(rng.integers(0, 3) * 100),
            haze=float(rng.integers(0, 3) / 2),
            orbit=int(rng.integers(3)),
            day_of_year=int(rng.integers(1, 367)),
            tile=f"T{rng.integers(tiles)}" if tiles else "",
        )
        for i in range(count)
    ]
    return candidates, mask


def demand(mask: NDArray[np.bool_], cover: int) -> NDArray[np.int64]:
    return np.minimum(mask.sum(axis=0), cover)


def cheapest(mask: NDArray[np.bool_], need: NDArray[np.int64], cost: NDArray[np.float64]) -> float:
    """Looks at all lists there are."""
    lists = np.array(list(itertools.product([False, True], repeat=len(cost))))
    complete = (lists.astype(int) @ mask.astype(int) >= need).all(axis=1)
    return float((lists[complete] @ cost).min())


def run(candidates: list[Candidate], mask: NDArray[np.bool_], cover: int, limit: int) -> Selection:
    return select(candidates, Cover.from_mask(mask), SelectOptions(cover=cover, exact_limit=limit, exact_seconds=30))


@settings(max_examples=150, deadline=None)
@given(tables(), st.integers(1, 3), LIMITS)
def test_every_cell_is_shown_as_asked_and_no_scene_can_be_spared(
    table: tuple[list[Candidate], NDArray[np.bool_]], cover: int, limit: int
) -> None:
    candidates, mask = table
    found = run(candidates, mask, cover, limit)
    count = mask[list(found.chosen)].sum(axis=0)
    need = demand(mask, cover)
    assert (count >= need).all()
    assert np.array_equal(found.count, count)
    for scene in found.chosen:
        assert (count - mask[scene] < need).any()
    assert np.array_equal(found.never, ~mask.any(axis=0))


@settings(max_examples=150, deadline=None)
@given(tables(), st.integers(1, 3), LIMITS)
def test_cost_is_that_of_the_list_and_not_below_the_bound(
    table: tuple[list[Candidate], NDArray[np.bool_]], cover: int, limit: int
) -> None:
    candidates, mask = table
    found = run(candidates, mask, cover, limit)
    cost = 1 + cost_terms(candidates, Cover.from_mask(mask), SelectOptions()).sum(axis=1)
    assert abs(found.cost - cost[list(found.chosen)].sum()) < 1e-9
    assert 0 < found.bound <= found.cost
    assert found.exact <= (found.gap == 0)
    assert limit == 0 or found.exact


@settings(max_examples=100, deadline=None)
@given(tables(most=12), st.integers(1, 3), LIMITS)
def test_against_all_lists_there_are(table: tuple[list[Candidate], NDArray[np.bool_]], cover: int, limit: int) -> None:
    candidates, mask = table
    found = run(candidates, mask, cover, limit)
    cost = 1 + cost_terms(candidates, Cover.from_mask(mask), SelectOptions()).sum(axis=1)
    best = cheapest(mask, demand(mask, cover), cost)
    assert found.bound <= best + 1e-6
    assert found.cost >= best - 1e-9
    if found.exact:
        assert abs(found.cost - best) < 1e-6


@settings(max_examples=150, deadline=None)
@given(tables(most=12), st.integers(1, 3), st.integers(1, 4), st.sampled_from([0.0, 30.0]))
def test_what_tiles_need_by_themselves_is_never_more_than_the_cheapest_list(
    table: tuple[list[Candidate], NDArray[np.bool_]], cover: int, count: int, seconds: float
) -> None:
    candidates, mask = table
    seen = mask[:, mask.any(axis=0)]
    shown = Cover.from_mask(seen)
    cost = 1 + cost_terms(candidates, shown, SelectOptions()).sum(axis=1)
    need = demand(seen, cover)
    problem = search.Problem(shown.ptr, shown.indices, cost, need.astype(np.int32), np.ones(len(need)))
    tiles = np.arange(len(cost)) % count
    bound = search.tile_bound(problem, np.ones(len(cost), np.bool_), tiles, search.Budget(seconds))
    best = cheapest(seen, need, cost)
    assert bound <= best + 1e-6
    if count == 1 and seconds > 0:
        assert bound >= best - 1e-6


@settings(max_examples=80, deadline=None)
@given(tables(), st.integers(1, 3), LIMITS, st.randoms(use_true_random=False))
def test_the_order_of_the_scenes_changes_nothing(
    table: tuple[list[Candidate], NDArray[np.bool_]], cover: int, limit: int, random: object
) -> None:
    candidates, mask = table
    order = list(range(len(candidates)))
    random.shuffle(order)  # type: ignore[attr-defined]
    one = run(candidates, mask, cover, limit)
    other = run([candidates[i] for i in order], mask[order], cover, limit)
    assert [candidates[i].id for i in one.chosen] == [candidates[order[i]].id for i in other.chosen]
    assert one.curve == other.curve


@settings(max_examples=150, deadline=None)
@given(tables(), st.integers(1, 3))
def test_swaps_make_no_list_dearer_or_less_complete(
    table: tuple[list[Candidate], NDArray[np.bool_]], cover: int
) -> None:
    candidates, mask = table
    seen = mask[:, mask.any(axis=0)]
    cover_table = Cover.from_mask(seen)
    cost = 1 + cost_terms(candidates, cover_table, SelectOptions()).sum(axis=1)
    need = demand(seen, cover).astype(np.int32)
    problem = search.Problem(cover_table.ptr, cover_table.indices, cost, need, np.ones(len(need)))
    plain = search.greedy_list(problem, problem.weight)
    better = search.improve(problem, plain)
    assert problem.total(better) <= problem.total(plain) + 1e-9
    assert (problem.left(better) <= 0).all()


@settings(max_examples=80, deadline=None)
@given(tables(), st.integers(1, 3))
def test_cells_shown_twice_over_in_a_finer_grid_change_nothing(
    table: tuple[list[Candidate], NDArray[np.bool_]], cover: int
) -> None:
    candidates, mask = table
    one, other = run(candidates, mask, cover, 300), run(candidates, np.repeat(mask, 2, axis=1), cover, 300)
    assert abs(one.cost - other.cost) < 1e-6


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(1, 2))
def test_what_each_scene_adds_falls_and_adds_up(table: tuple[list[Candidate], NDArray[np.bool_]], cover: int) -> None:
    candidates, mask = table
    found = run(candidates, mask, cover, 300)
    assert list(found.gains) == sorted(found.gains, reverse=True)
    assert sum(found.gains) == demand(mask, cover).sum()
    assert abs(found.curve[-1] - 1) < 1e-12
