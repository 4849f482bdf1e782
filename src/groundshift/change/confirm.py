"""When a change along a series is seen, and when it is believed; loaded by the command line, so without numpy."""

from __future__ import annotations

from dataclasses import dataclass

from groundshift.errors import UsageError

MOST_DATES = 100
"""That can have a say in whether a change is confirmed."""


@dataclass(frozen=True, kw_only=True)
class ConfirmOptions:
    """When a change is seen, and when it is believed."""

    threshold: float = 0.5
    """Probability from which on a date differs from the reference."""
    needed: int = 2
    """Of the next clear dates, that must still differ."""
    of: int = 3
    """Next clear dates that have a say."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise UsageError(f"the threshold of change is a probability between 0 and 1, not {self.threshold}.")
        if not 1 <= self.needed <= self.of <= MOST_DATES:
            raise UsageError(
                f"change is confirmed by k of n dates, 1 <= k <= n <= {MOST_DATES}, not {self.needed}/{self.of}."
            )
