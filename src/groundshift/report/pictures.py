"""Quicklooks: reflectance to 8 bit, the map of change over a dimmed picture, PNG.

Pictures of one run share one grid and one stretch: the same brightness means the same reflectance at both dates.
Everything here takes arrays; large scenes are thinned while they stream (:class:`ReflectanceQuicklook`,
:class:`LabelQuicklook`).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from groundshift.model.grid import Window
from groundshift.model.legend import NO_CHANGE, NO_DATA, LegendEntry

LONGEST_PX = 2048
"""Longest side of a quicklook."""
BLANK = 190
"""Grey of a pixel without a measurement in ``before`` and ``after``."""

Picture = NDArray[np.uint8]
"""(y, x, 3) RGB."""


# ---- which bands ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Composition:
    """Which bands stand for red, green and blue."""

    bands: tuple[str, str, str]
    name: str
    """For a caption: ``natural colours (B04, B03, B02)``."""


_COMPOSITIONS = (
    (("B04", "B03", "B02"), "natural colours"),
    (("B08", "B04", "B03"), "false colours, vegetation red"),
    (("B8A", "B04", "B03"), "false colours, vegetation red"),
    (("B12", "B08", "B04"), "false colours, vegetation green, burnt ground red"),
    (("B12", "B8A", "B04"), "false colours, vegetation green, burnt ground red"),
)


def true_colour(available: Sequence[str]) -> Composition:
    """Choose the bands of the pictures: natural colours, else false colours, else one band as grey.

    Args:
        available: canonical band names, at least one.
    """
    for bands, name in _COMPOSITIONS:
        if set(bands) <= set(available):
            return Composition(bands, f"{name} ({', '.join(bands)})")
    band = available[-1]
    return Composition((band, band, band), f"grey ({band})")


# ---- thinning while streaming --------------------------------------------------------------------------------------


def quicklook_step(shape: tuple[int, int], longest_px: int = LONGEST_PX) -> int:
    """How many pixels a side one pixel of the quicklook stands for."""
    return max(1, math.ceil(max(shape) / longest_px))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_values(total: Any, values: Any, valid: Any, y0: int, x0: int, step: int) -> None:
    """Add the valid pixels of a window that starts at (y0, x0) to the sums of their cells."""
    for y in range(valid.shape[0]):
        row, x, line, usable = (y0 + y) // step, 0, values[y], valid[y]
        while x < valid.shape[1]:
            column = (x0 + x) // step
            end = min(valid.shape[1], (column + 1) * step - x0)
            cell = total[row, column]
            for inner in range(x, end):
                cell += line[inner] if usable[inner] else np.float32(0)
            total[row, column], x = cell, end


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_codes(count: Any, slot: Any, labels: Any, y0: int, x0: int, step: int) -> None:
    """Count the codes of a window that starts at (y0, x0) in their cells; ``slot`` is the layer of each code or -1."""
    for y in range(labels.shape[0]):
        row, x = (y0 + y) // step, 0
        while x < labels.shape[1]:
            column = (x0 + x) // step
            end = min(labels.shape[1], (column + 1) * step - x0)
            for inner in range(x, end):
                layer = slot[labels[y, inner]]
                if layer >= 0:
                    count[layer, row, column] += 1
            x = end


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _meet(labels: Any, met: Any) -> None:
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            met[labels[y, x]] = True


_VALID = np.array([-1, 0], np.int16)
"""Layer of pixels that are not and that are valid."""


@dataclass
class ReflectanceQuicklook:
    """Mean reflectance per cell of a thinned grid, gathered window by window in any order.

    Law: any cut of the grid into windows gives the same picture (to the rounding of float32 sums).
    """

    shape: tuple[int, int]
    """(rows, columns) of the full grid."""
    bands: int = 3
    step: int = 0
    """Pixels a side of one cell; 0: so that the longest side is at most :data:`LONGEST_PX`."""
    total: NDArray[np.float32] = field(init=False)
    count: NDArray[np.uint16] = field(init=False)

    def __post_init__(self) -> None:
        """Allocate the cells."""
        self.step = self.step or quicklook_step(self.shape)
        rows, columns = (-(-side // self.step) for side in self.shape)
        self.total = np.zeros((self.bands, rows, columns), np.float32)
        self.count = np.zeros((rows, columns), np.uint16)

    def add(
        self,
        window: Window,
        reflectance: NDArray[np.floating] | Sequence[NDArray[np.floating]],
        valid: NDArray[np.bool_],
    ) -> None:
        """Add a window: reflectance (band, y, x) or (y, x) of each band, valid (y, x)."""
        for total, values in zip(self.total, reflectance, strict=True):
            _add_values(total, values, valid, window.y0, window.x0, self.step)
        _add_codes(self.count[None], _VALID, valid.view(np.uint8), window.y0, window.x0, self.step)

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Mean reflectance (band, y, x), 0 where no pixel was valid; and valid (y, x)."""
        valid = self.count > 0
        mean = (self.total / np.maximum(self.count, 1)).astype(np.float32)
        return mean, valid


@dataclass
class LabelQuicklook:
    """Kind and share of change per cell of a thinned grid, gathered window by window in any order.

    A cell takes the most frequent kind among its changed pixels and keeps the share that changed, so that a small
    change stays visible as a faint colour and does not look larger than it is. It is no data where more than half is.
    """

    shape: tuple[int, int]
    step: int = 0
    """Pixels a side of one cell; 0: so that the longest side is at most :data:`LONGEST_PX`."""
    count: NDArray[np.uint16] = field(init=False)
    """(layer, y, x): pixels per cell of each code that was met."""
    slot: NDArray[np.int16] = field(init=False)
    """(256,): layer of each code, -1 while it was not met."""

    def __post_init__(self) -> None:
        """Settle the step; layers come with the codes."""
        self.step = self.step or quicklook_step(self.shape)
        rows, columns = (-(-side // self.step) for side in self.shape)
        self.count = np.zeros((0, rows, columns), np.uint16)
        self.slot = np.full(256, -1, np.int16)

    def add(self, window: Window, labels: NDArray[np.uint8]) -> None:
        """Add a window of the map: labels (y, x), 0 no change, 1..k kinds, 255 no data."""
        seen = np.zeros(256, bool)
        _meet(labels, seen)
        met = np.flatnonzero(seen)
        for code in met[self.slot[met] < 0]:
            self.slot[code] = len(self.count)
            self.count = np.concatenate([self.count, np.zeros_like(self.count, shape=(1, *self.count.shape[1:]))])
        _add_codes(self.count, self.slot, labels, window.y0, window.x0, self.step)

    def _of(self, code: int) -> NDArray[np.uint16]:
        """Pixels per cell of one code."""
        empty: NDArray[np.uint16] = np.zeros(self.count.shape[1:], np.uint16)
        return empty if self.slot[code] < 0 else self.count[self.slot[code]]

    def result(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Labels (y, x) and the share of the cell's valid pixels that changed (y, x), 0..1."""
        cells = self.count.shape[1:]
        labels, most, changed = np.zeros(cells, np.uint8), np.zeros(cells, np.uint16), np.zeros(cells, np.uint16)
        for code in np.flatnonzero(self.slot >= 0):
            if code in (NO_CHANGE, NO_DATA):
                continue
            counts = self._of(int(code))
            labels[counts > most] = code
            np.maximum(most, counts, out=most)
            changed += counts
        valid = changed + self._of(NO_CHANGE)
        labels[self._of(NO_DATA) > valid] = NO_DATA
        return labels, (changed / np.maximum(valid, 1)).astype(np.float32)


# ---- reflectance to 8 bit ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Reflectance to brightness: dark point per band, one span for all bands, a gamma, a shoulder for highlights."""

    low: tuple[float, float, float]
    """Reflectance shown black."""
    span: float
    """Reflectance above ``low`` where the shoulder begins; the same for all bands, which keeps hues true."""
    gamma: float


_SHOULDER = 0.92
"""Brightness at the end of the span; clouds and snow share what is above."""
_SAMPLE = 200_000
_ROWS = 64
"""Of a picture that are brightened together."""


Look = tuple[NDArray[np.floating], NDArray[np.bool_]]
"""Reflectance (3, y, x) of one date, and where it is valid (y, x)."""


def _values(rgb: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.floating]:
    usable = np.flatnonzero(valid & np.isfinite(rgb).all(axis=0))
    return rgb.reshape(3, -1)[:, usable[:: max(1, len(usable) // _SAMPLE)]]


def common_stretch(dates: Iterable[Look]) -> Stretch:
    """Fit one stretch to all dates together, robust to clouds and glints.

    Args:
        dates: valid should leave out clouds.

    Returns:
        Black at the 0.5 % quantile of each band, the span to the 99 % quantile of the brightest band, and a gamma
        that brings the median to 0.4 of full brightness, so that dark forest and bright soil both keep texture.
        A plain stretch (0 to 0.3) when nothing is valid.
    """
    values = np.concatenate([np.empty((3, 0)), *(_values(*date) for date in dates)], axis=1)
    if values.shape[1] == 0:
        return Stretch(low=(0.0, 0.0, 0.0), span=0.3, gamma=0.7)
    low = np.quantile(values, 0.005, axis=1)
    span = max(float((np.quantile(values, 0.99, axis=1) - low).max()), 0.02)
    middle = float(np.clip(np.median((values - low[:, None]) / span), 0.02, 0.9))
    gamma = float(np.clip(math.log(0.4 / _SHOULDER) / math.log(middle), 0.45, 1.2))
    return Stretch(low=(float(low[0]), float(low[1]), float(low[2])), span=span, gamma=gamma)


def stretch(rgb: NDArray[np.floating], valid: NDArray[np.bool_], law: Stretch) -> Picture:
    """Reflectance (3, y, x) to an RGB picture (y, x, 3).

    Law: brightness never falls where reflectance rises, and depends on nothing but reflectance, band and ``law``.
    Pixels that are not valid or not finite take the grey :data:`BLANK`.
    """
    picture = np.full((*valid.shape, 3), BLANK, np.uint8)
    for top in range(0, len(valid), _ROWS):
        part = slice(top, top + _ROWS)
        usable = valid[part] & np.isfinite(rgb[:, part]).all(axis=0)
        shade = (rgb[:, part][:, usable] - np.reshape(law.low, (3, 1))) / law.span
        inner = _SHOULDER * np.clip(shade, 0, 1) ** law.gamma
        outer = (1 - _SHOULDER) * (1 - 1 / np.maximum(shade, 1) ** 2)
        picture[part][usable] = np.rint(255 * (inner + outer)).astype(np.uint8).T
    return picture


# ---- the map of change ---------------------------------------------------------------------------------------------


def base_grey(before: Picture, after: Picture) -> NDArray[np.uint8]:
    """Mean brightness of the two pictures, (y, x): the ground under the map of change."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    grey = np.empty(before.shape[:2], np.uint8)
    for top in range(0, len(grey), _ROWS):
        part = slice(top, top + _ROWS)
        grey[part] = np.rint((before[part] @ weights + after[part] @ weights) / 2)
    return grey


def _hatch(shape: tuple[int, int]) -> NDArray[np.float32]:
    y, x = np.indices(shape, sparse=True)
    return np.where((x + y) % 8 < 2, np.float32(165), np.float32(205))


def change_picture(
    labels: NDArray[np.uint8],
    base: NDArray[np.uint8],
    legend: Sequence[LegendEntry],
    share: NDArray[np.floating] | None = None,
) -> Picture:
    """Paint the kinds of change over a pale grey picture.

    Args:
        labels: (y, x) codes of the map.
        base: (y, x) grey, see :func:`base_grey`.
        legend: colours by code.
        share: (y, x) share of each cell that changed, 0..1; the colour is as strong as the share, 45 % at least.

    Returns:
        RGB (y, x, 3): kinds in the colours of the legend, the rest pale, no data hatched in grey.
    """
    pale = 128 + base.astype(np.float32) * (122 / 255)
    picture = np.repeat(pale[..., None], 3, axis=2)
    strength = np.ones(labels.shape, np.float32) if share is None else np.clip(share, 0.45, 1).astype(np.float32)
    for entry in legend:
        if entry.code not in (NO_CHANGE, NO_DATA) and (here := labels == entry.code).any():
            alpha = strength[here][:, None]
            picture[here] = alpha * np.array(entry.color[:3], np.float32) + (1 - alpha) * picture[here]
    nothing = labels == NO_DATA
    picture[nothing] = _hatch(labels.shape)[nothing][:, None]
    return np.rint(picture).astype(np.uint8)


DatePictures = tuple[bytes, bytes, NDArray[np.uint8]]
"""Before and after as PNG, and the grey ground under the map."""


def of_dates(look: Callable[[int], Look]) -> DatePictures:
    """Draw both dates, 0 and 1, in one stretch. Each is looked at twice, and one at a time is in memory."""
    law = common_stretch(map(look, (0, 1)))
    before, after = (stretch(*look(date), law) for date in (0, 1))
    return png(before), png(after), base_grey(before, after)


# ---- a picture that can go on a slide ------------------------------------------------------------------------------


def _font(px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    import matplotlib  # only for its fonts, and not in every worker process

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), px)


def scale_bar(width_px: int, pixel_size_m: float) -> tuple[float, str]:
    """Length in pixels and label of a bar of 1, 2 or 5 times a power of ten metres, a quarter of the width at most."""
    limit = width_px / 4 * pixel_size_m
    power = 10.0 ** math.floor(math.log10(limit))
    length = next(k * power for k in (5, 2, 1) if k * power <= limit)
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return length / pixel_size_m, label


def _fitting(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text, its end cut where it is too long."""
    while len(text) > 1 and draw.textlength(text, font=font) > width:
        text = text.removesuffix("…")[:-1].rstrip() + "…"
    return text


_INK = (35, 40, 46)
_QUIET = (96, 104, 112)


def caption(draw: ImageDraw.ImageDraw, at: tuple[int, int], width: int, title: str, subtitle: str) -> None:
    """Two lines below a small picture, cut where they are too long."""
    big, small = _font(13, bold=True), _font(12)
    draw.text(at, _fitting(draw, title, big, width), fill=_INK, font=big)
    draw.text((at[0], at[1] + 20), _fitting(draw, subtitle, small, width), fill=_QUIET, font=small)


@dataclass
class _Strip:
    """The legend below the picture: entries from left to right, line by line."""

    draw: ImageDraw.ImageDraw
    left: int
    right: int
    unit: int
    x: int = 0
    y: int = 0

    def entry(self, color: tuple[int, int, int] | None, text: str) -> None:
        font = _font(self.unit)
        text = _fitting(self.draw, text, font, self.right - self.left - 2 * self.unit)
        wide = int(1.5 * self.unit + self.draw.textlength(text, font=font))
        if self.x + wide > self.right and self.x > self.left:
            self.x, self.y = self.left, self.y + int(1.7 * self.unit)
        box = (self.x, self.y, self.x + self.unit, self.y + self.unit)
        self.draw.rectangle(box, fill=color or (205, 205, 205), outline=_QUIET if color is None else color)
        if color is None:
            self.draw.line((box[0], box[3], box[2], box[1]), fill=_QUIET, width=max(1, self.unit // 8))
        self.draw.text((self.x + 1.5 * self.unit, self.y + self.unit / 2), text, fill=_INK, font=font, anchor="lm")
        self.x += wide + int(1.4 * self.unit)


def _bar(draw: ImageDraw.ImageDraw, right: int, y: int, unit: int, length: float, label: str) -> None:
    thick = max(2, unit // 6)
    draw.rectangle((right - round(length), y + unit - thick, right, y + unit), fill=_INK)
    draw.text((right - length / 2, y + unit - 2 * thick), label, fill=_INK, font=_font(unit), anchor="ms")


def slide(
    picture: Picture,
    entries: Sequence[tuple[tuple[int, int, int] | None, str]],
    title: str,
    subtitle: str = "",
    pixel_size_m: float | None = None,
) -> Picture:
    """Put a picture between a title and a legend with a scale bar, ready for a slide.

    Args:
        picture: RGB (y, x, 3); one narrower than 720 pixels is enlarged by a whole factor.
        entries: (colour, text) of the legend; colour None is the hatch of no data.
        title: first line; cut where it is too long, as is the subtitle.
        pixel_size_m: of this picture, not of the full grid; None: no scale bar.
    """
    grow = max(1, math.ceil(720 / picture.shape[1]))
    body = Image.fromarray(np.repeat(np.repeat(picture, grow, 0), grow, 1))
    unit = max(16, round(body.width / 62))
    margin, top, line = unit, int(4.2 * unit), int(1.7 * unit)
    sheet = Image.new("RGB", (body.width + 2 * margin, top + body.height + (len(entries) + 2) * line), "white")
    draw = ImageDraw.Draw(sheet)
    big = _font(round(1.35 * unit), bold=True)
    draw.text((margin, 0.8 * unit), _fitting(draw, title, big, body.width), fill=_INK, font=big)
    small = _font(unit)
    draw.text((margin, 2.65 * unit), _fitting(draw, subtitle, small, body.width), fill=_QUIET, font=small)
    sheet.paste(body, (margin, top))
    right, y = margin + body.width, top + body.height + unit
    free = right
    if pixel_size_m is not None:
        length, label = scale_bar(body.width, pixel_size_m / grow)
        _bar(draw, right, y, unit, length, label)
        free = int(right - max(length, draw.textlength(label, font=small)) - 2 * unit)
    strip = _Strip(draw, margin, free, unit, margin, y)
    for color, text in entries:
        strip.entry(color, text)
    return np.asarray(sheet.crop((0, 0, sheet.width, strip.y + 2 * unit)))


# ---- bytes ---------------------------------------------------------------------------------------------------------


def png(picture: Picture) -> bytes:
    """Encode an RGB picture as PNG."""
    target = io.BytesIO()
    # Level 1: on photographs level 4 takes two and a half times as long and saves 8 %.
    Image.fromarray(picture).save(target, "PNG", optimize=picture.size < 3_000_000, compress_level=1)
    return target.getvalue()


def for_page(encoded: bytes, limit_bytes: int = 520_000) -> tuple[str, bytes, tuple[int, int]]:
    """A picture small enough to be embedded: the PNG itself, or a JPEG of it, thinned until it fits.

    Returns:
        (media type, bytes, (width, height)). Law: never longer than ``limit_bytes`` unless 64 pixels still are.
    """
    with Image.open(io.BytesIO(encoded)) as opened:
        full = opened.convert("RGB")
    if len(encoded) <= limit_bytes:
        return "image/png", encoded, full.size
    longest = 1400.0
    while True:
        small = full.copy()
        small.thumbnail((round(longest), round(longest)), Image.Resampling.BOX)
        target = io.BytesIO()
        small.save(target, "JPEG", quality=85, subsampling=0)
        if target.tell() <= limit_bytes or longest <= 64:
            return "image/jpeg", target.getvalue(), small.size
        longest = max(64.0, longest * min(0.9, math.sqrt(limit_bytes / target.tell())))
