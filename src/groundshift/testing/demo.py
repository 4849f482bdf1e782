"""The demo pair: two products over the Hawkesbury near Sydney, a river in flood and a felled wood between them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from groundshift.testing.changes import Change
from groundshift.testing.safe import write_safe
from groundshift.testing.scenes import DateOptions, PairOptions, SceneOptions, SyntheticPair, pair

TILE = "56HKH"
DATES = (
    datetime(2021, 3, 15, 0, 2, 41, 24_000, tzinfo=UTC),
    datetime(2021, 3, 25, 0, 2, 41, 24_000, tzinfo=UTC),
)
CORNER = (279_480.0, 6_292_560.0)
"""(x, y) of the upper-left corner in EPSG:32756: the north-west of the demo area, 150.63 E 33.48 S."""
SHAPE = (2400, 3030)
"""(rows, columns) at 10 m: down to 33.70 S, and eastward to 150.95 E where the tile ends."""
BANDS = ("B02", "B03", "B04", "B08", "B8A", "B11", "B12")
