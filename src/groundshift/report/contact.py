"""A contact sheet: small pictures of many scenes side by side, each with its line of figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from groundshift.report import pictures
from groundshift.report.pictures import Picture

_CELL_PX, _GAP_PX, _CAPTION_PX = 280, 14, 46
_MOST_COLUMNS = 5
_WITHOUT = (225, 228, 231)
_CLOUD, _GROUND = (250, 250, 250), (110, 140, 100)


@dataclass(frozen=True, kw_only=True, eq=False)
class Card:
    """One scene of a sheet."""

    rgb: NDArray[np.float32] | None
    """(3, y, x) reflectance; None: its clouds are drawn instead."""
    valid: NDArray[np.bool_]
    cloud: NDArray[np.bool_]
    """(y, x): the brightness of all pictures is fitted to what it leaves clear."""
    inside: NDArray[np.bool_]
    """(y, x) the area of interest; the rest is dimmed."""
    title: str
    subtitle: str


def thinned(card: Card) -> Card:
    """A card of no more pixels than its picture on a sheet needs, so that those of many scenes fit in memory."""
    step = max(1, max(card.valid.shape) // _CELL_PX)
    every = slice(None, None, step)
    layers = {name: getattr(card, name)[..., every, every].copy() for name in ("valid", "cloud", "inside")}
    return replace(card, rgb=None if card.rgb is None else card.rgb[..., every, every].copy(), **layers)


def sheet(cards: Sequence[Card]) -> Picture:
    """Draw the cards in rows, all with one stretch; RGB (y, x, 3)."""
    coloured = [(card.rgb, card.valid & ~card.cloud & card.inside) for card in cards if card.rgb is not None]
    law = pictures.common_stretch(coloured)
    columns = min(_MOST_COLUMNS, max(1, math.ceil(math.sqrt(len(cards)))))
    rows = -(-len(cards) // columns)
    wide, high = _CELL_PX + _GAP_PX, _CELL_PX + _CAPTION_PX + _GAP_PX
    page = Image.new("RGB", (columns * wide + _GAP_PX, rows * high + _GAP_PX), "white")
    draw = ImageDraw.Draw(page)
    for i, card in enumerate(cards):
        x, y = _GAP_PX + i % columns * wide, _GAP_PX + i // columns * high
        picture = Image.fromarray(_drawn(card, law))
        scale = _CELL_PX / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        page.paste(picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST), (x, y))
        pictures.caption(draw, (x, y + _CELL_PX + 4), _CELL_PX, card.title, card.subtitle)
    return np.asarray(page)


def _drawn(card: Card, law: pictures.Stretch) -> Picture:
    if card.rgb is not None:
        picture = pictures.stretch(card.rgb, card.valid, law)
    else:
        picture = np.where(card.cloud[..., None], np.array(_CLOUD), np.array(_GROUND)).astype(np.uint8)
    picture = np.where(card.valid[..., None], picture, np.array(_WITHOUT)).astype(np.uint8)
    # halfway to white outside of the area
    return np.where(card.inside[..., None], picture, (picture.astype(np.uint16) + 255) // 2).astype(np.uint8)
