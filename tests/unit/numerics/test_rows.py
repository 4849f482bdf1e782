"""Rows shared among threads: all of them, each once, in order."""

from __future__ import annotations

import pytest

from groundshift.numerics.rows import in_rows


@pytest.mark.parametrize(("height", "threads", "piece"), [(0, 1, 64), (1, 4, 64), (200, 3, 7), (65, 2, 64)])
def test_every_row_is_worked_on_once(height: int, threads: int, piece: int) -> None:
    parts = in_rows(lambda rows: rows, height, threads, piece)
    assert [row for begin, end in parts for row in range(begin, end)] == list(range(height))
    assert threads == 1 or max(end - begin for begin, end in parts) <= piece


def test_what_a_part_raises_is_raised() -> None:
    def fails(rows: tuple[int, int]) -> None:
        if rows[0] > 10:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        in_rows(fails, 100, 2, 5)
