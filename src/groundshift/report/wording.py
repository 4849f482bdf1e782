"""Numbers, dates and sizes as people read them."""

from __future__ import annotations

import math
from datetime import datetime

MISSING = "–"
"""What stands where a fact is not known."""


def number(value: float | None, digits: int = 3) -> str:
    """A number with that many significant digits, no idle zeros: ``1 234``, ``12.3``, ``0.01``."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{value:,.{min(max(decimals, 0), 9)}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(",", "\u202f").replace("-", "−")


def fixed(value: float | None, decimals: int = 1, *, sign: bool = False) -> str:
    """A number with a fixed count of decimals, with its sign when asked."""
    if value is None or not math.isfinite(value):
        return MISSING
    value = round(value, decimals) + 0.0
    text = f"{value:{'+' if sign and value else ''},.{decimals}f}"
    return text.replace(",", "\u202f").replace("-", "−")


def percent(value: float | None) -> str:
    """A share in percent: ``12.3 %``, ``0.013 %``; never 100 or 0 unless it is exactly that."""
    if value is None or not math.isfinite(value):
        return MISSING
    if 0 < value < 1e-4:
        return "< 0.0001\u00a0%"
    if 99 < value < 100:
        return f"{_nines(value)}\u00a0%"
    return f"{number(value, 3 if value >= 1 else 2)}\u00a0%"


def _nines(value: float) -> str:
    """Digits enough to tell it from 100: 99.99, 99.5."""
    decimals = min(6, 1 - math.floor(math.log10(100 - value)))
    text = f"{value:.{decimals}f}".rstrip("0")
    return text.rstrip(".") if not text.startswith("100") else "> 99.9999"


def whole(value: int | None) -> str:
    """A count with its thousands apart."""
    return MISSING if value is None else f"{value:,}".replace(",", "\u202f")


def area(hectares: float | None, pixels: int) -> str:
    """Hectares, or pixels where there is no georeference."""
    return f"{whole(pixels)}\u00a0px" if hectares is None else f"{number(hectares)}\u00a0ha"


def size(count: int | None) -> str:
    """Bytes as kB, MB, GB (powers of 1000)."""
    if count is None:
        return MISSING
    if count < 1000:
        return f"{count}\u00a0B"
    step = min(4, int(math.log10(count) // 3))
    return f"{number(count / 1000**step, 3)}\u00a0{('B', 'kB', 'MB', 'GB', 'TB')[step]}"


def duration(seconds: float | None) -> str:
    """Seconds as ``0.42 s``, ``12.3 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if round(seconds, 1) < 60:
        return f"{number(seconds, 2) if seconds < 10 else fixed(seconds, 1)}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}\u00a0min {rest}\u00a0s"
    return f"{minutes // 60}\u00a0h {minutes % 60}\u00a0min"


def day(when: datetime | None) -> str:
    """``5 January 2019``."""
    return MISSING if when is None else f"{when.day} {when:%B %Y}"


def moment(when: datetime | None) -> str:
    """``2019-01-05 02:27 UTC``."""
    if when is None:
        return MISSING
    zone = " UTC" if when.utcoffset() is not None and not when.utcoffset() else (when.strftime(" %z").rstrip())
    return f"{when:%Y-%m-%d %H:%M}{zone}"
