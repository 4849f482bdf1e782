"""Codes, names and colours of the maps that groundshift writes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from groundshift.errors import UsageError

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


# ---- land cover ----------------------------------------------------------------------------------------------------

Legend = tuple[LegendEntry, ...]
_NO_DATA_ENTRY = LegendEntry(NO_DATA, "no data", (0, 0, 0, 0))


def _legend(*classes: tuple[int, str, int]) -> Legend:
    """Entries of code, name and colour 0xRRGGBB, and no data."""
    entries = (LegendEntry(code, name, (rgb >> 16, rgb >> 8 & 255, rgb & 255, 255)) for code, name, rgb in classes)
    return (*entries, _NO_DATA_ENTRY)


LEGENDS: Mapping[str, Legend] = {
    "esri": _legend(
        (1, "water", 0x419BDF),
        (2, "trees", 0x397D49),
        (4, "flooded vegetation", 0x7A87C6),
        (5, "crops", 0xE49635),
        (7, "built area", 0xC4281B),
        (8, "bare ground", 0xA59B8F),
        (9, "snow or ice", 0xA8EBFF),
        (10, "clouds", 0x616161),
        (11, "rangeland", 0xE3E2C3),
    ),
    "worldcover": _legend(
        (10, "tree cover", 0x006400),
        (20, "shrubland", 0xFFBB22),
        (30, "grassland", 0xFFFF4C),
        (40, "cropland", 0xF096FF),
        (50, "built-up", 0xFA0000),
        (60, "bare or sparse vegetation", 0xB4B4B4),
        (70, "snow and ice", 0xF0F0F0),
        (80, "permanent water", 0x0064C8),
        (90, "herbaceous wetland", 0x0096A0),
        (95, "mangroves", 0x00CF75),
        (100, "moss and lichen", 0xFAE6A0),
    ),
    "buildings": _legend(
        (1, "water", 0x2F6FC4),
        (2, "grass", 0xA8D67A),
        (3, "tree or forest", 0x1F6B3A),
        (4, "residential building", 0xE8503A),
        (5, "industrial or commercial building", 0x8E3FA8),
        (6, "barren", 0xCDB48A),
    ),
    "land-use": _legend(
        (1, "built-up", 0xD7382E),
        (2, "farmland", 0xF0B84A),
        (3, "forest", 0x1F6B3A),
        (4, "meadow", 0xA8D67A),
        (5, "water", 0x2F6FC4),
        (6, "other", 0x9A938A),
    ),
}
"""Legends of land cover by name: Esri's annual map (Impact Observatory, 9 classes) and ESA WorldCover (11 classes) with
their own codes and colours; six classes with two kinds of buildings, and the six of training polygons of land use."""


def classes_of(legend: Sequence[LegendEntry]) -> Legend:
    """The entries that are classes: neither 0 nor no data."""
    return tuple(entry for entry in legend if entry.code not in (NO_CHANGE, NO_DATA))


def legend_of(names: Sequence[str], codes: Sequence[int] | None = None) -> Legend:
    """Legend of classes by name: colours of :data:`LEGENDS` where the name or a word of it is known, else far from all.

    Args:
        names: of the classes, each once, at most 64.
        codes: of the classes; None: 1, 2, 3 ...

    Returns:
        An entry a class, and no data.

    Raises:
        UsageError: a name or a code twice, too many of them, or a code that is none.
    """
    numbers = list(codes) if codes is not None else list(range(1, len(names) + 1))
    if not 1 <= len(names) <= _MOST or len(set(names)) < len(names):
        raise UsageError(f"a legend needs 1 to {_MOST} classes of different names, not {', '.join(names) or 'none'}.")
    if len(set(numbers)) != len(names) or not all(NO_CHANGE < code < NO_DATA for code in numbers):
        raise UsageError(f"a legend of {len(names)} classes needs as many different codes from 1 to 254: {numbers}.")
    known = {entry.name: entry.color[:3] for legend in reversed(list(LEGENDS.values())) for entry in classes_of(legend)}
    colors: dict[str, tuple[int, int, int]] = {}
    for name in sorted(names, key=lambda name: name not in known):
        taken = colors.values()
        free = (each for each in _usual(name, known) if _apart(each, taken) >= _APART)
        colors[name] = next(free, None) or _farthest(list(taken))
    entries = (LegendEntry(code, name, (*colors[name], 255)) for code, name in zip(numbers, names, strict=True))
    return (*entries, _NO_DATA_ENTRY)


_MOST = 64
_APART = 15.0
"""Distance of two colours in CIE L*a*b* that can be told apart on a map: several times what is just noticeable."""
_WORDS = (
    (("built", "urban", "village", "town", "city", "settle", "resident", "house", "artificial"), 0xD7382E),
    (("industr", "commerc"), 0x8E3FA8),
    (("road", "rail", "street"), 0x616161),
    (("snow", "ice", "glacier"), 0xA8EBFF),
    (("wetland", "flooded", "swamp", "marsh", "bog"), 0x7A87C6),
    (("mangrove",), 0x00CF75),
    (("water", "river", "lake", "sea", "ocean", "pond", "reservoir"), 0x419BDF),
    (("tree", "forest", "wood", "conifer", "broadlea", "spruce", "beech", "oak", "pine"), 0x1F6B3A),
    (("shrub", "bush", "scrub", "heath"), 0xB9A13C),
    (("grass", "meadow", "pasture", "lawn"), 0xA8D67A),
    (("crop", "farm", "agric", "arable", "cultivat", "field", "wheat", "maize", "barley", "rape"), 0xF0B84A),
    (("bare", "barren", "soil", "sand", "rock", "dry", "beach", "desert"), 0xCDB48A),
    (("cloud",), 0xC8C8C8),
)
"""Beginnings of words, and the colour 0xRRGGBB that maps usually give what they name; the first that fits counts."""
_SHADES = ((0.0, 0), (0.3, 0), (0.35, 255))
"""Of a usual colour that is taken: mixed in these shares with black or white."""
_LEVELS = (45, 92, 139, 186, 228)
"""Of red, green and blue: neither glaring nor so dark that it is taken for black."""


def _usual(name: str, known: Mapping[str, tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Colours that a class of this name has on maps, the best first."""
    if name in known:
        yield known[name]
    words = re.findall(r"[a-z]+", name.lower())
    for beginnings, rgb in _WORDS:
        if any(word.startswith(beginnings) for word in words):
            for share, end in _SHADES:
                red, green, blue = (
                    round((1 - share) * v + share * end) for v in (rgb >> 16, rgb >> 8 & 255, rgb & 255)
                )
                yield red, green, blue
            return


def _farthest(taken: Sequence[tuple[int, int, int]]) -> tuple[int, int, int]:
    """Of a coarse cube of colours without greys, the one farthest from all that are taken."""
    cube = [(r, g, b) for r in _LEVELS for g in _LEVELS for b in _LEVELS if len({r, g, b}) > 1]
    return max(cube, key=lambda color: _apart(color, taken) if taken else color[1] - color[0])


def _apart(color: tuple[int, int, int], others: Iterable[tuple[int, int, int]]) -> float:
    """Distance to the nearest of other colours in L*a*b*."""
    return min((math.dist(_lab(color), _lab(other)) for other in others), default=math.inf)


@lru_cache(maxsize=1024)
def _lab(color: tuple[int, int, int]) -> tuple[float, float, float]:
    """CIE L*a*b* of an sRGB colour, white point D65."""
    r, g, b = ((v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4) for v in (c / 255 for c in color))
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089
    fx, fy, fz = (math.cbrt(v) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)
