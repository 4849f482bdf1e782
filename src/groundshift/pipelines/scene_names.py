"""Scenes by their names: lists and folders of them in their place. Light: it is read before any work begins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from groundshift.errors import ConfigError


def expanded(texts: Sequence[str]) -> list[str]:
    """Scenes by their names, with those of a list (``scenes.json``) in its place, but for its optional ones.

    So are all that lie in a folder of products, or of STAC items; items may lie in folders of their own within it, as
    catalogs are written. A folder that is one scene stays as it is.

    Raises:
        ConfigError: a list that cannot be read.
    """
    found: list[str] = []
    for text in texts:
        path = Path(text)
        listed = _list_in(path) if text.lower().endswith(".json") else _in_folder(path) if path.is_dir() else None
        found += [text] if listed is None else listed
    return list(dict.fromkeys(found))


def _in_folder(folder: Path) -> list[str] | None:
    """Scenes of a folder, None where it holds no product and no item."""
    if folder.suffix.upper() == ".SAFE":
        return None
    from groundshift.io.stac import items_in

    entries = sorted(folder.iterdir())
    products = [str(entry) for entry in entries if entry.suffix.upper() in (".SAFE", ".ZIP")]
    items = items_in(folder) or [item for entry in entries if entry.is_dir() for item in items_in(entry)]
    return products or [str(item.path) for item in items if item.local] or None


def _list_in(path: Path) -> list[str] | None:
    """The scenes of a list that select or mosaic wrote, None where the file is none (a STAC item, say)."""
    try:
        raw = path.read_bytes()
        content = json.loads(raw)
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or not {"scenes", "version"} <= content.keys():
        return None
    if "curve" in content:
        from groundshift.composite import select

        return [scene.href for scene in select.from_json(raw).scenes if not scene.optional]
    try:
        return [str(scene["href"]) for scene in content["scenes"] if not scene.get("optional")]
    except (TypeError, KeyError, AttributeError):
        raise ConfigError(f"{path} is no scene list: a scene of it has no href; make it anew.") from None
