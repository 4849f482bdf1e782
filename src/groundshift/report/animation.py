"""Before and after, one over the other: an animated GIF of some places."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from groundshift.report import pictures

_CELL_PX, _GAP_PX, _CAPTION_PX = 300, 12, 46
_FRAME_MS = 1200
_RIM = np.array((255, 210, 0), np.uint8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """One place at two dates."""

    before: NDArray[np.float32]
    """(3, y, x) reflectance in the order red, green, blue; NaN: no data."""
    after: NDArray[np.float32]
    outline: NDArray[np.bool_]
    """(y, x) what changed; its rim is drawn."""
    title: str
    dates: tuple[str, str]


def animate(places: Sequence[Place]) -> bytes:
    """Draw the places side by side, all dates in turn, each place with one stretch for both."""
    frames = [_frame(places, date) for date in (0, 1)]
    target = io.BytesIO()
    drawn = [Image.fromarray(frame).quantize(128, dither=Image.Dither.NONE) for frame in frames]
    drawn[0].save(target, "GIF", save_all=True, append_images=drawn[1:], duration=_FRAME_MS, loop=0, disposal=2)
    return target.getvalue()


def _frame(places: Sequence[Place], date: int) -> NDArray[np.uint8]:
    columns = min(len(places), max(1, math.ceil(math.sqrt(len(places)))))
    rows = -(-len(places) // columns)
    wide, high = _CELL_PX + _GAP_PX, _CELL_PX + _CAPTION_PX + _GAP_PX
    page = Image.new("RGB", (columns * wide + _GAP_PX, rows * high + _GAP_PX), "white")
    draw = ImageDraw.Draw(page)
    for i, place in enumerate(places):
        x, y = _GAP_PX + i % columns * wide, _GAP_PX + i // columns * high
        picture = Image.fromarray(_drawn(place, date))
        scale = _CELL_PX / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        page.paste(picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST), (x, y))
        told = f"{('before', 'after')[date]}: {place.dates[date]}"
        pictures.caption(draw, (x, y + _CELL_PX + 4), _CELL_PX, told, place.title)
    return np.asarray(page)


def _drawn(place: Place, date: int) -> NDArray[np.uint8]:
    looks = [(image, np.asarray(np.isfinite(image).all(axis=0))) for image in (place.before, place.after)]
    shown = [look for look in looks if look[1].any()]
    picture = np.full((*place.outline.shape, 3), 225, np.uint8)
    image, valid = looks[date]
    if valid.any():
        drawn = pictures.stretch(np.nan_to_num(image), valid, pictures.common_stretch(shown))
        picture = np.where(valid[..., None], drawn, picture).astype(np.uint8)
    picture[_rim(place.outline)] = _RIM
    return picture


def _rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels just outside of what a mask holds."""
    grown = np.pad(mask, 1)
    near = grown[:-2, 1:-1] | grown[2:, 1:-1] | grown[1:-1, :-2] | grown[1:-1, 2:]
    return near & ~mask
