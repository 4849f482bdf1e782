"""From one legend of land cover to another, with what is lost on the way.

Each class of each legend is a set of elementary covers. A class goes to the one class of the other legend that its
covers lie in. Where they lie in several, no map can tell which: that is refused, unless a choice is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from groundshift.errors import UsageError
from groundshift.model.legend import LEGENDS, NO_CHANGE, NO_DATA, classes_of

_COVERS: Mapping[str, Mapping[str, str]] = {
    "esri": {
        "water": "water",
        "trees": "forest",
        "flooded vegetation": "mangrove marsh",
        "crops": "crop",
        "built area": "homes works sealed",
        "bare ground": "bare",
        "snow or ice": "snow",
        "clouds": "cloud",
        "rangeland": "grass shrub moss",
    },
    "worldcover": {
        "tree cover": "forest",
        "shrubland": "shrub",
        "grassland": "grass",
        "cropland": "crop",
        "built-up": "homes works sealed",
        "bare or sparse vegetation": "bare",
        "snow and ice": "snow",
        "permanent water": "water",
        "herbaceous wetland": "marsh",
        "mangroves": "mangrove",
        "moss and lichen": "moss",
    },
    "buildings": {
        "water": "water",
        "grass": "grass crop marsh shrub moss",
        "tree or forest": "forest mangrove",
        "residential building": "homes",
        "industrial or commercial building": "works",
        "barren": "bare sealed",
    },
    "land-use": {
        "built-up": "homes works sealed",
        "farmland": "crop",
        "forest": "forest mangrove",
        "meadow": "grass",
        "water": "water",
        "other": "bare snow marsh shrub moss",
    },
}


@dataclass(frozen=True)
class Crosswalk:
    """What each code of one legend is in another."""

    source: str
    target: str
    codes: Mapping[int, int]
    """From code to code; 0: the other legend has no such class."""
    lost: tuple[str, ...]
    """A sentence for each difference that the other legend does not make, and for each choice."""


def crosswalk(source: str, target: str, choices: Mapping[str, str] | None = None) -> Crosswalk:
    """Find what each class of one legend is in another.

    Args:
        source, target: names in :data:`~groundshift.model.legend.LEGENDS`.
        choices: class of the target for classes of the source that could be several, or that are to be something else.

    Raises:
        UsageError: no such legend or class, or a class that could be several and is not chosen.
    """
    for name in (source, target):
        if name not in LEGENDS:
            raise UsageError(f"there is no legend {name!r}: expected one of {', '.join(LEGENDS)}.")
    given = dict(choices or {})
    _check(given, source, target)
    found = {name: _candidates(source, name, target) for name in _COVERS[source]}
    open_ = {name: into for name, into in found.items() if len(into) > 1 and name not in given}
    if open_:
        lines = "; ".join(f"{name}: {' or '.join(into)}" for name, into in open_.items())
        raise UsageError(f"no map of {source} can tell what these are in {target}, so a choice is needed: {lines}.")
    chosen = {name: given.get(name, into[0] if into else None) for name, into in found.items()}
    numbers = {entry.name: entry.code for entry in classes_of(LEGENDS[target])}
    codes = {entry.code: numbers.get(chosen[entry.name] or "", NO_CHANGE) for entry in classes_of(LEGENDS[source])}
    hidden = [name for name, covers in _COVERS[source].items() if covers == "cloud" and chosen[name] is None]
    codes |= {entry.code: NO_DATA for entry in classes_of(LEGENDS[source]) if entry.name in hidden}
    codes |= {NO_CHANGE: NO_CHANGE, NO_DATA: NO_DATA}
    return Crosswalk(source, target, codes, tuple(_lost(found, chosen, source)))


def _check(given: Mapping[str, str], source: str, target: str) -> None:
    for name, into in given.items():
        if name not in _COVERS[source] or into not in _COVERS[target]:
            raise UsageError(
                f"{name!r} as {into!r} is no choice: expected a class of {source} ({', '.join(_COVERS[source])}) and "
                f"one of {target} ({', '.join(_COVERS[target])})."
            )


def _candidates(source: str, name: str, target: str) -> list[str]:
    own = set(_COVERS[source][name].split())
    return [into for into, covers in _COVERS[target].items() if own & set(covers.split())]


def _lost(found: Mapping[str, list[str]], chosen: Mapping[str, str | None], source: str) -> list[str]:
    lines = []
    for into in dict.fromkeys(filter(None, chosen.values())):
        merged = [name for name in found if chosen[name] == into]
        if len(merged) > 1:
            lines.append(f"{', '.join(merged)} are one class: {into}.")
    for name, several in found.items():
        if len(several) > 1:
            lines.append(f"{name} may be {' or '.join(several)}: by choice it is {chosen[name]}.")
        elif chosen[name] is None:
            lines.append(f"{name}: " + ("no data." if _COVERS[source][name] == "cloud" else "no such class, it is 0."))
    return lines
