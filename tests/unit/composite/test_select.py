"""The scene list on cases that can be worked out by hand, its loop at full resolution, and its file."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.composite import select_search as search
from groundshift.composite.select import (
    Candidate,
    Cover,
    SelectOptions,
    cost_terms,
    from_json,
    resolve,
    scene_list,
    select,
    to_json,
)
from groundshift.errors import ConfigError, InputError, NoDataError, UsageError


def scenes(*ages: float, **more: object) -> list[Candidate]:
    return [Candidate(id=f"s{i}", age_days=age, **more) for i, age in enumerate(ages)]  # type: ignore[arg-type]


def mask(*rows: str) -> NDArray[np.bool_]:
    return np.array([[letter == "#" for letter in row] for row in rows])


def clouded(tiles: int, dates: int, side: int, seed: int) -> tuple[list[Candidate], Cover]:
    """Tiles in a row that overlap by a quarter, with clouds in stripes."""
    rng = np.random.default_rng(seed)
    width = side * tiles + side // 4
    candidates, rows = [], []
    for tile, date in itertools.product(range(tiles), range(dates)):
        begin, length = tile * side, side + side // 4
        smooth = np.convolve(rng.standard_normal(length + 8), np.ones(9), "valid")
        rows.append(begin + np.flatnonzero(smooth > rng.uniform(-3, 3)))
        name = f"T{tile}_{date:03d}"
        candidates.append(Candidate(id=name, age_days=5.0 * date, haze=float(rng.random()), tile=f"T{tile}"))
    return candidates, Cover.from_rows(rows, width)


def test_one_scene_that_shows_all_is_the_whole_list() -> None:
    found = select(scenes(0, 0, 10), Cover.from_mask(mask("##..", "..##", "####")))
    assert found.chosen == (2,)
    assert found.exact
    assert found.gap == 0
    assert found.curve == (1.0,)


def test_two_new_scenes_are_taken_before_a_very_old_one() -> None:
    found = select(scenes(0, 0, 1000), Cover.from_mask(mask("##..", "..##", "####")))
    assert found.chosen == (0, 1)
    assert found.cost == pytest.approx(2)


def test_at_equal_cost_the_newest_wins_and_then_the_lower_id() -> None:
    cover = Cover.from_mask(mask("##", "##", "##"))
    options = SelectOptions(age_weight=0)
    assert select(scenes(9, 5, 5), cover, options).chosen == (1,)
    assert select(list(reversed(scenes(9, 5, 5))), cover, options).chosen == (1,)


def test_cells_that_no_scene_shows_are_told_and_asked_of_none() -> None:
    found = select(scenes(0, 0), Cover.from_mask(mask("##...", "..#..")))
    assert found.never.tolist() == [False, False, False, True, True]
    assert found.count.tolist() == [1, 1, 1, 0, 0]
    assert found.curve == pytest.approx((2 / 3, 1))


def test_cells_are_shown_as_often_as_asked_or_as_there_are_scenes() -> None:
    found = select(scenes(0, 1, 2, 3), Cover.from_mask(mask("##.", "##.", "##.", "..#")), SelectOptions(cover=2))
    assert sorted(found.chosen) == [0, 1, 3]
    assert found.count.tolist() == [2, 2, 1]


def test_a_scene_of_the_other_orbit_and_season_costs_more_than_one_of_the_majority() -> None:
    candidates = [
        Candidate(id="a", age_days=0, orbit=22, day_of_year=10),
        Candidate(id="b", age_days=1, orbit=65, day_of_year=200),
        Candidate(id="c", age_days=1, orbit=65, day_of_year=200),
        Candidate(id="alone", age_days=1, orbit=22, day_of_year=10),
    ]
    cover = Cover.from_mask(mask("##..", "##..", "##..", "..##"))
    assert cost_terms(candidates, cover, SelectOptions())[:, 2].tolist() == [0.25, 0, 0, 0]
    assert sorted(select(candidates, cover).chosen) == [1, 3]


def test_quarters_of_the_year_begin_about_december() -> None:
    days = {"1 Jan": 1, "28 Feb": 59, "15 Apr": 105, "15 Jul": 196, "15 Oct": 288, "15 Dec": 349}
    seasons = [Candidate(id="a", age_days=0, day_of_year=day).season for day in days.values()]
    assert seasons == [0, 0, 1, 2, 3, 0]


def test_a_scene_that_adds_next_to_nothing_is_listed_as_optional() -> None:
    cover = np.zeros((2, 2001), np.bool_)
    cover[0, :2000] = cover[1, 2000] = True
    found = select(scenes(0, 0), Cover.from_mask(cover))
    assert found.tail == 1
    listed = scene_list(found, scenes(0, 0), Cover.from_mask(cover))
    assert [each.optional for each in listed.scenes] == [False, True]


def test_packed_bits_are_the_same_cover_as_the_mask() -> None:
    bits = np.random.default_rng(0).random((7, 45)) < 0.3
    packed, plain = Cover.from_packed(np.packbits(bits, axis=1), 45), Cover.from_mask(bits)
    assert np.array_equal(packed.ptr, plain.ptr)
    assert np.array_equal(packed.indices, plain.indices)


@pytest.mark.parametrize("cover", [1, 2])
def test_many_tiles_solved_one_by_one_are_bounded_and_close_to_the_program_of_all(cover: int) -> None:
    candidates, table = clouded(6, 30, 40, seed=3)
    whole = select(candidates, table, SelectOptions(cover=cover, exact_seconds=60))
    by_tile = select(candidates, table, SelectOptions(cover=cover, exact_limit=0, exact_seconds=60))
    blind = select([replace(each, tile="") for each in candidates], table, SelectOptions(cover=cover, exact_limit=0))
    assert whole.exact
    assert by_tile.bound <= whole.cost + 1e-6 <= by_tile.cost + 2e-6
    assert blind.bound <= whole.cost + 1e-6 <= blind.cost + 2e-6
    assert by_tile.cost <= 1.03 * whole.cost
    assert by_tile.bound >= blind.bound


def test_without_time_for_programs_there_is_still_a_list_and_an_honest_gap() -> None:
    candidates, table = clouded(4, 40, 40, seed=1)
    hasty = select(candidates, table, SelectOptions(exact_seconds=0, exact_limit=300))
    best = select(candidates, table, SelectOptions(exact_seconds=60))
    assert best.exact
    assert hasty.bound <= best.cost + 1e-6 <= hasty.cost + 2e-6


def test_lazy_greedy_chooses_as_looking_at_all_scenes_each_time_does() -> None:
    rng = np.random.default_rng(5)
    table = Cover.from_mask(rng.random((30, 60)) < 0.15)
    cost = rng.uniform(1, 2, 30)
    need = np.minimum(np.bincount(table.indices, minlength=60), 2).astype(np.int32)
    chosen, rest = np.zeros(30, np.bool_), need.copy()
    search.kernels.greedy(table.ptr, table.indices, cost, np.ones(60), rest, chosen)
    assert chosen.tolist() == eager(table, cost, need).tolist()


def eager(table: Cover, cost: NDArray[np.float64], need: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Looks at every scene in every step."""
    chosen, rest = np.zeros(len(cost), np.bool_), need.copy()
    while (rest > 0).any():
        gains = [0 if chosen[i] else (rest[table.row(i)] > 0).sum() / cost[i] for i in range(len(cost))]
        best = int(np.argmax(gains))
        chosen[best] = True
        rest[table.row(best)] -= 1
    return chosen


def test_the_loop_at_full_resolution_ends_with_all_that_was_fetched_covering_what_can_be_had() -> None:
    rng = np.random.default_rng(2)
    candidates, preview = clouded(3, 12, 40, seed=2)
    real = [np.isin(np.arange(preview.cells), preview.row(i)) & (rng.random(preview.cells) > 0.1) for i in range(36)]
    found, cover = select(candidates, preview), preview
    calls = 0
    while missing := [i for i in found.chosen if candidates[i].id not in found.fetched]:
        found, cover = resolve(found, candidates, cover, {candidates[missing[0]].id: real[missing[0]]})
        calls += 1
    shown = np.any([real[i] for i in found.chosen], axis=0)
    assert calls == len(found.fetched)
    assert found.cost == 0
    assert np.array_equal(shown, ~found.never)
    assert np.array_equal(found.never, np.bincount(cover.indices, minlength=cover.cells) == 0)


def test_a_fetched_scene_is_used_before_a_new_one_is_paid() -> None:
    cover = Cover.from_mask(mask("##..", "..##", "####"))
    found = select(scenes(0, 0, 0), cover, fetched=["s0", "s1"])
    assert sorted(found.chosen) == [0, 1]
    assert found.cost == 0
    assert found.exact


def test_the_list_comes_back_from_json_as_it_was() -> None:
    candidates, table = clouded(2, 10, 20, seed=4)
    listed = scene_list(select(candidates, table, fetched=["T0_003"]), candidates, table)
    assert from_json(to_json(listed)) == listed
    assert sum(each.gain for each in listed.scenes) == pytest.approx(1)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"scenes": 3}'])
def test_what_is_no_list_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="no scene list"):
        from_json(text)


def test_a_list_of_a_later_version_is_refused() -> None:
    candidates, table = scenes(0), Cover.from_mask(mask("#"))
    listed = scene_list(select(candidates, table), candidates, table)
    with pytest.raises(ConfigError, match="version 9"):
        from_json(to_json(replace(listed, version=9)))


def test_progress_tells_of_every_connected_set() -> None:
    told: list[tuple[int, int]] = []
    cover = Cover.from_mask(mask("##...", ".##..", "...##"))
    select(scenes(0, 0, 0), cover, progress=lambda done, of: told.append((done, of)))
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    cover = Cover.from_mask(mask("##", ".#"))
    with pytest.raises(InputError, match="3 scenes cannot have a cover of 2 rows"):
        select(scenes(0, 0, 0), cover)
    with pytest.raises(InputError, match="different ids"):
        select([Candidate(id="a", age_days=0)] * 2, cover)
    with pytest.raises(InputError, match="x was fetched"):
        select(scenes(0, 0), cover, fetched=["x"])
    with pytest.raises(InputError, match="x was fetched"):
        resolve(select(scenes(0, 0), cover), scenes(0, 0), cover, {"x": np.ones(2, np.bool_)})
    with pytest.raises(InputError, match="has 2 cells"):
        cover.replaced(0, np.ones(3, np.bool_))
    with pytest.raises(NoDataError, match="none of 2 scenes"):
        select(scenes(0, 0), Cover.from_mask(mask("..", "..")))
    with pytest.raises(NoDataError, match="none of 0 scenes"):
        select([], Cover.from_rows([], 4))
    with pytest.raises(InputError, match="bytes a scene"):
        Cover.from_packed(np.zeros((2, 2), np.uint8), 17)
    with pytest.raises(InputError, match="beyond its grid"):
        Cover.from_rows([np.array([4])], 4)
    with pytest.raises(InputError, match="twice"):
        Cover.from_rows([np.array([1, 2]), np.array([2, 2])], 4)
    with pytest.raises(InputError, match="age"):
        Candidate(id="a", age_days=-1)
    with pytest.raises(InputError, match="haze"):
        Candidate(id="a", age_days=0, haze=2)
    with pytest.raises(UsageError, match="1 to 1000"):
        SelectOptions(cover=0)
    with pytest.raises(UsageError, match="weights"):
        SelectOptions(haze_weight=-1)
    with pytest.raises(UsageError, match="tail_share"):
        SelectOptions(tail_share=1)
