"""Every band of a stack as a small picture with its name and its range, in a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from groundshift.report import pictures
from groundshift.report.pictures import Picture

CELL_PX = 300
"""Longer side of one picture."""
_GAP_PX, _CAPTION_PX, _CAPTION_WIDTH_PX, _MOST_COLUMNS = 14, 46, 170, 5
_PERCENTILES = (2.0, 98.0)
_MISSING = (225, 228, 231)
_GREY = ((0, 0, 0), (255, 255, 255))
_RAMP = ((49, 18, 59), (68, 71, 145), (45, 125, 143), (47, 170, 120), (156, 206, 70), (250, 232, 85))
"""Dark violet over blue and green to yellow: lighter means more, also without colours."""
_CIRCLE = ((70, 90, 200), (210, 180, 70), (220, 80, 60), (110, 170, 120), (70, 90, 200))
"""North, east, south, west, north."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BandCard:
    """One band."""

    name: str
    values: NDArray[np.float32]
    """(y, x), NaN = missing."""
    unit: str = ""

    @property
    def circular(self) -> bool:
        """Degrees that go in a circle."""
        return self.name == "aspect"


def sheet(cards: Sequence[BandCard]) -> Picture:
    """Draw the bands in rows, each stretched between its 2nd and 98th percentile; RGB (y, x, 3)."""
    columns = min(_MOST_COLUMNS, max(1, math.ceil(math.sqrt(len(cards)))))
    rows = -(-len(cards) // columns)
    sizes = [np.rint(np.array(card.values.shape) * CELL_PX / max(card.values.shape)) for card in cards]
    tall, across = (int(side) for side in np.max(sizes, axis=0))
    across = max(across, _CAPTION_WIDTH_PX)
    wide, high = across + _GAP_PX, tall + _CAPTION_PX + _GAP_PX
    page = Image.new("RGB", (columns * wide + _GAP_PX, rows * high + _GAP_PX), "white")
    draw = ImageDraw.Draw(page)
    for i, card in enumerate(cards):
        x, y = _GAP_PX + i % columns * wide, _GAP_PX + i // columns * high
        drawn, subtitle = _drawn(card)
        picture = Image.fromarray(drawn)
        scale = CELL_PX / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        page.paste(picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST), (x, y))
        pictures.caption(draw, (x, y + tall + 4), across, card.name, subtitle)
    return np.asarray(page)


def _drawn(card: BandCard) -> tuple[Picture, str]:
    """The picture of a band, and what its colours mean."""
    known = np.isfinite(card.values)
    if not known.any():
        return np.broadcast_to(np.array(_MISSING, np.uint8), (*card.values.shape, 3)).copy(), "no data"
    colors: Sequence[tuple[int, int, int]]
    if card.circular:
        low, high, colors = 0.0, 360.0, _CIRCLE
        known &= card.values >= 0
    else:
        low, high = (float(each) for each in np.percentile(card.values[known], _PERCENTILES))
        if low == high:
            low, high = float(card.values[known].min()), float(card.values[known].max())
        colors = _GREY if card.unit == "reflectance" else _RAMP
    share = np.where(known, (card.values - low) / (high - low if high > low else 1.0), 0)
    table = _table(colors)
    picture = table[np.clip(np.rint(share * 255), 0, 255).astype(np.intp)]
    picture[~known] = _MISSING
    unit = "" if card.unit == "reflectance" else f" {card.unit}"
    return picture, f"{low:.4g} to {high:.4g}{unit}".rstrip()


def _table(colors: Sequence[tuple[int, int, int]]) -> NDArray[np.uint8]:
    """256 colours, linear between those given."""
    at = np.linspace(0, 1, len(colors))
    steps = np.linspace(0, 1, 256)
    return np.stack([np.rint(np.interp(steps, at, band)) for band in zip(*colors, strict=True)], -1).astype(np.uint8)
