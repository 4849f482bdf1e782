"""Codes, names and colours of the maps that groundshift writes."""

from __future__ import annotations

from dataclasses import dataclass

NO_CHANGE = 0
NO_DATA = 255


@dataclass(frozen=True)
class LegendEntry:
    """One class of a map."""

    code: int
    name: str
    color: tuple[int, int, int, int]
    """RGBA, 0..255."""


_KIND_COLORS = (
    (230, 75, 53),
    (58, 110, 200),
    (242, 175, 40),
    (110, 60, 150),
    (60, 160, 100),
    (215, 110, 170),
    (130, 90, 60),
    (70, 180, 200),
    (160, 160, 60),
    (90, 90, 110),
)


def change_legend(kinds: int) -> tuple[LegendEntry, ...]:
    """Legend of an ``S2-CD`` map: 0 no change, 1..kinds, 255 no data. At most 254 kinds."""
    kinds_ = (
        LegendEntry(k, f"change, kind {k}", (*_KIND_COLORS[(k - 1) % len(_KIND_COLORS)], 255))
        for k in range(1, kinds + 1)
    )
    none = LegendEntry(NO_CHANGE, "no change", (245, 245, 240, 255))
    return (none, *kinds_, LegendEntry(NO_DATA, "no data", (0, 0, 0, 0)))
