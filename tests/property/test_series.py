"""Change along a series: the kernel against a slow loop over the dates of one pixel, and the laws of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from groundshift.change import series
from groundshift.change.confirm import ConfirmOptions
from groundshift.change.series import CONFIRMED, FIRST, NONE, Track
from groundshift.errors import UsageError

CHANCES = st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0, math.nan])


def slow(chances: Any, usable: Any, options: ConfirmOptions) -> dict[str, float]:
    """The rule as it is told, for one pixel: dates are numbered from 1, the value of each date is its number."""
    reference = first = before = hits = asked = 0
    status, total, largest = "none", 0.0, math.nan
    for date, (chance, clear) in enumerate(zip(chances, usable, strict=True), 1):
        if not clear:
            continue
        if not reference:
            reference = date
            continue
        if math.isnan(chance):
            continue
        largest = max(chance, 0.0 if math.isnan(largest) else largest)
        differs = chance >= options.threshold
        if status == "none" or (status == "confirmed" and asked == options.of):
            if differs and status == "none":
                first, before, status, total = date, reference, "first", chance
            else:
                reference = date
            continue
        asked, hits, total = asked + 1, hits + differs, total + chance
        if hits >= options.needed:
            status = "confirmed"
        if status == "first" and asked - hits > options.of - options.needed:
            first = before = hits = asked = 0
            status, total, reference = "none", 0.0, date
        elif status == "confirmed" and asked == options.of:
            reference = date
    return {
        "reference_day": reference,
        "first": first,
        "before": before,
        "seen": asked,
        "confirmations": hits,
        "status": {"none": NONE, "first": FIRST, "confirmed": CONFIRMED}[status],
        "kind": 7 if first else 0,
        "total": total,
        "maximum": largest,
    }


def along(chances: Any, usable: Any, options: ConfirmOptions) -> Track:
    """The kernel over the same dates; (t, n) each."""
    track = series.begin(np.full((1, 1, chances.shape[1]), 1, np.float32), usable[:1], 1)
    kind = np.full((1, chances.shape[1]), 7, np.uint8)
    for i in range(1, len(chances)):
        image = np.full((1, *kind.shape), i + 1, np.float32)
        track = series.advance(track, chances[i : i + 1], image, usable[i : i + 1], kind, i + 1, options)
    return track


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9).flatmap(
        lambda dates: st.tuples(
            arrays.arrays(np.float32, (dates, 5), elements=CHANCES.map(np.float32)),
            arrays.arrays(np.bool_, (dates, 5)),
        )
    ),
    st.sampled_from([(1, 1), (1, 3), (2, 3), (3, 3), (2, 4)]),
)
def test_the_kernel_does_what_the_rule_says(images: Any, rule: tuple[int, int]) -> None:
    chances, usable = images
    options = ConfirmOptions(needed=rule[0], of=rule[1])
    found = along(chances, usable, options)
    for i in range(chances.shape[1]):
        told = slow(chances[:, i].tolist(), usable[:, i].tolist(), options)
        ours = {name: getattr(found, name)[0, i] for name in told}
        assert ours == pytest.approx(told, nan_ok=True)
        assert not told["reference_day"] or found.reference[0, 0, i] == told["reference_day"]


def test_a_cloud_that_was_missed_is_taken_back_and_a_felling_is_confirmed() -> None:
    cloud, felling, new = [0, 0.9, 0.1, 0.1, 0.2], [0, 0.9, 0.9, 0.9, 0.9], [0, 0.1, 0.1, 0.1, 0.8]
    chances = np.array([cloud, felling, new], np.float32).T
    found = along(chances, np.ones(chances.shape, bool), ConfirmOptions())
    assert found.status[0].tolist() == [NONE, CONFIRMED, FIRST]
    assert found.first[0].tolist() == [0, 2, 5]
    assert found.before[0].tolist() == [0, 1, 4]
    assert found.confirmations[0].tolist() == [0, 3, 0]
    assert found.confidence[0].tolist() == pytest.approx([0, 0.9, 0.8])


def test_the_reference_goes_to_the_scale_of_the_later_date() -> None:
    track = series.begin(np.full((2, 1, 1), 0.3, np.float32), np.ones((1, 1), bool), 1)
    moved = series.rescaled(track, np.array([2.0, 1.0]), np.array([0.1, -0.1]))
    assert moved.reference[:, 0, 0].tolist() == pytest.approx([0.1, 0.4])


@pytest.mark.parametrize("wrong", [{"threshold": 0.0}, {"needed": 4}, {"needed": 0}, {"of": 101}])
def test_rules_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ConfirmOptions(**wrong)
