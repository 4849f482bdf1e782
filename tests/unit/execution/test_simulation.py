"""Large runs played through."""

from __future__ import annotations

import pytest

from groundshift.errors import UsageError
from groundshift.execution.simulation import Fleet, play

FLAWLESS = {"lost": 0.0, "hung": 0.0, "bad": 0.0, "spread": 1e-6}


@pytest.mark.parametrize(("workers", "rounds"), [(1, 60), (4, 15), (7, 9), (1000, 6)])
def test_where_nothing_goes_wrong_the_wall_time_is_that_of_the_fullest_worker(workers: int, rounds: int) -> None:
    """Ten lanes of six units: no more than ten units at once, and no lane before its own unit before."""
    played = play(10, 6, 2.0, Fleet(workers=workers, **FLAWLESS))
    assert played.wall_s == pytest.approx(2.0 * rounds, rel=1e-3)
    assert (played.units, played.retried, played.failed) == (60, 0, 0)
    assert played.busy == pytest.approx(60 / (rounds * workers), rel=1e-3)


def test_lost_workers_cost_time_and_a_few_units() -> None:
    plain = play(100, 50, 1.0, Fleet(workers=10, **FLAWLESS))
    played = play(100, 50, 1.0, Fleet(workers=10, lost=0.1, hung=0.0, bad=0.0, restart_s=3.0))
    assert 450 <= played.retried <= 650, "a tenth of 5000 attempts, and of those"
    assert 0 < played.failed <= 20, "a thousandth is lost three times"
    # Each loss takes half a unit and three seconds: 5000 x (0.1 + 0.01 + 0.001) x 3.5 s on ten workers.
    assert played.wall_s - plain.wall_s == pytest.approx(194, rel=0.15)


def test_many_units_are_played_in_groups_and_the_answer_is_the_same_each_time() -> None:
    fleet = Fleet(workers=500, seed=3)
    one, other = play(3000, 400, 10.0, fleet), play(3000, 400, 10.0, fleet)
    assert one == other
    assert one.units == 1_200_000
    assert one.wall_s == pytest.approx(1_200_000 * 10.0 / 500, rel=0.1)


def test_nobody_works_where_there_is_no_worker() -> None:
    with pytest.raises(UsageError, match="0 workers"):
        Fleet(workers=0)
