"""Numbers, dates and sizes as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundshift.report import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1\u202f234"), (12.34, "12.3"), (0.01234, "0.0123"), (99.9999, "100"), (10, "10"), (-2.5, "−2.5"),
     (0, "0"), (None, "–"), (float("nan"), "–"), (float("inf"), "–")],
)  # fmt: skip
def test_numbers_have_three_digits_and_no_idle_zeros(value: float | None, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(99.99, "99.99"), (99.5, "99.5"), (99.999, "99.999"), (99.99999, "99.99999"), (100, "100"), (0, "0"),
     (12.34, "12.3"), (0.0123, "0.012"), (0.00001, "< 0.0001")],
)  # fmt: skip
def test_a_share_is_never_rounded_to_none_or_all(value: float, text: str) -> None:
    assert wording.percent(value) == f"{text}\u00a0%"


@given(st.floats(0, 100))
def test_only_none_is_zero_percent_and_only_all_is_a_hundred(value: float) -> None:
    text = wording.percent(value).removesuffix("\u00a0%")
    assert (text == "0") == (value == 0)
    assert (text == "100") == (value == 100)


@pytest.mark.parametrize(
    ("value", "decimals", "sign", "text"),
    [(-0.04, 1, True, "0.0"), (0.06, 1, True, "+0.1"), (-3.21, 1, False, "−3.2"), (None, 1, False, "–")],
)
def test_fixed_decimals_carry_a_sign_only_when_there_is_one(
    value: float | None, decimals: int, sign: bool, text: str
) -> None:
    assert wording.fixed(value, decimals, sign=sign) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.42\u00a0s"), (12.34, "12.3\u00a0s"), (59.99, "1\u00a0min 0\u00a0s"), (200, "3\u00a0min 20\u00a0s"),
     (7500, "2\u00a0h 5\u00a0min"), (None, "–")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0\u00a0B"), (999, "999\u00a0B"), (45_678, "45.7\u00a0kB"), (812_000_000, "812\u00a0MB"), (None, "–")],
)
def test_sizes(count: int | None, text: str) -> None:
    assert wording.size(count) == text


def test_dates_and_areas() -> None:
    when = datetime(2019, 1, 5, 2, 27, tzinfo=UTC)
    assert (wording.day(when), wording.moment(when)) == ("5 January 2019", "2019-01-05 02:27 UTC")
    assert (wording.area(12.0, 1200), wording.area(None, 1200)) == ("12\u00a0ha", "1\u202f200\u00a0px")
