"""Scenes dealt into fields of view: whatever they are and in whatever order they come."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from groundshift.model.scene import Scene
from groundshift.pipelines import series_plan

FIRST = datetime(2021, 3, 5, tzinfo=UTC)


def grid(place: int) -> GeoBox:
    """A square of 1 km; numbers that differ by one lie 100 m apart, others do not overlap."""
    return GeoBox((100, 100), Affine(10, 0, 300_000 + place // 2 * 5000 + place % 2 * 100, 0, -10, 0), "EPSG:32633")


SCENES = st.lists(
    st.tuples(
        st.sampled_from([None, "33TWM", "33TWN"]),
        st.sampled_from([None, 22, 122]),
        st.integers(0, 40),
        st.integers(0, 5),
    ),
    max_size=12,
)


def made(drawn: Any) -> tuple[list[Scene], dict[str, GeoBox]]:
    scenes = [
        Scene(
            name=f"S{i}",
            href=f"S{i}",
            kind="SAFE",
            bands={},
            classification=None,
            tile=tile,
            relative_orbit=orbit,
            sensing_time=FIRST + timedelta(hours=12 * half_days),
        )
        for i, (tile, orbit, half_days, _) in enumerate(drawn)
    ]
    return scenes, {scene.href: grid(place) for scene, (*_, place) in zip(scenes, drawn, strict=True)}


@settings(max_examples=80, deadline=None)
@given(SCENES, st.randoms(use_true_random=False), st.sampled_from(["same", "any"]))
def test_every_scene_is_in_one_field_of_view_in_the_order_of_time(drawn: Any, order: Any, orbits: Any) -> None:
    scenes, grids = made(drawn)
    fields = series_plan.deal(scenes, grids, orbits)
    assert sorted(scene.name for view in fields.values() for scene in view) == sorted(scene.name for scene in scenes)
    for view in fields.values():
        times = [scene.sensing_time for scene in view]
        assert times == sorted(times)  # type: ignore[type-var]
        assert len({scene.tile for scene in view}) == 1
        if orbits == "same":
            assert len({scene.relative_orbit for scene in view}) == 1
    if orbits == "any":
        assert len([name for name in fields if name.startswith("33T")]) == len({s.tile for s in scenes if s.tile})
    order.shuffle(scenes)
    assert series_plan.deal(scenes, grids, orbits) == fields


@settings(max_examples=40, deadline=None)
@given(SCENES)
def test_scenes_without_a_tile_are_together_where_they_share_ground(drawn: Any) -> None:
    scenes, grids = made([(None, None, *rest) for _, _, *rest in drawn])
    fields = series_plan.deal(scenes, grids, "same")
    for one, other in itertools.combinations(scenes, 2):
        together = any(one in view and other in view for view in fields.values())
        assert together == ((grids[one.href].extent & grids[other.href].extent).area > 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 20_000), unique=True, max_size=8))
def test_dates_are_called_apart_and_days_are_numbered(minutes: list[int]) -> None:
    times = [FIRST + timedelta(minutes=minute) for minute in sorted(minutes)]
    names = series_plan.date_names(times)
    assert len(set(names)) == len(times)
    assert all(
        name == f"{time:%Y%m%d}" or name == f"{time:%Y%m%dT%H%M%S}" for name, time in zip(names, times, strict=True)
    )
    for time in times:
        assert series_plan.day_of(series_plan.number_of(time.date())) == time.date()


@pytest.mark.parametrize(
    ("earlier", "day", "wanted"),
    [
        (["2021-03-05"], "2022-01-05", "2021-03-05"),  # within 60 days of the year
        (["2020-07-01", "2021-03-05"], "2021-06-20", "2020-07-01"),
        (["2020-06-08", "2020-07-01", "2021-03-05"], "2021-06-20", "2020-07-01"),  # nearer to 2020-06-20
        (["2020-06-10", "2020-06-30", "2021-03-05"], "2021-06-20", "2020-06-30"),  # as near: the later
        (["2020-05-20", "2021-03-05"], "2021-06-20", "2021-03-05"),  # 31 days off
        (["2020-05-21", "2021-03-05"], "2021-06-20", "2020-05-21"),
        (["2019-06-20", "2021-03-05"], "2021-06-20", "2021-03-05"),  # two years
        (["2020-06-20", "2021-04-30"], "2021-06-20", "2021-04-30"),  # the date before does
    ],
)
def test_across_seasons_a_date_goes_with_the_one_a_year_before(earlier: list[str], day: str, wanted: str) -> None:
    times = [datetime.fromisoformat(f"{each}T10:00:00+00:00") for each in earlier]
    found = series_plan.partner(times, datetime.fromisoformat(f"{day}T09:00:00+00:00"))
    assert earlier[found] == wanted
