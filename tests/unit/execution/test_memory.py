"""Amounts of memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundshift.errors import UsageError
from groundshift.execution.memory import block_rows, parse_memory, peak_rss


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2G", 2**31),
        ("800M", 800 * 2**20),
        ("1.5 GiB", 3 * 2**29),
        ("1,5g", 3 * 2**29),
        ("1000000", 10**6),
        ("1TB", 2**40),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "G", "two", "-1G", "0", "1X", "2 G B"])
def test_what_is_no_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="2G or 800M"):
        parse_memory(text)


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.floats(1, 200), st.integers(1, 2**31), st.integers(0, 64))
def test_blocks_fit_the_budget_and_the_stored_tiles(
    rows: int, columns: int, size: float, budget: int, halo: int
) -> None:
    answer = block_rows((rows, columns), size, budget, halo_px=halo)
    assert 1 <= answer <= rows
    if answer > 1:
        assert (answer + 2 * halo) * columns * size <= budget
    assert answer == rows or answer % 1024 == 0 or 1024 // (1024 // answer) == answer


def test_the_peak_counts_other_processes_and_not_those_that_are_gone() -> None:
    own = peak_rss()
    assert own > 2**20
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert peak_rss([other.pid]) > own
        other.communicate(b"\n")
    assert peak_rss([other.pid]) == pytest.approx(own, rel=0.5)
