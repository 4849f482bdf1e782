"""What a run depends on, as a checksum: the same options and the same contents, wherever the files lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from groundshift import __version__
from groundshift.io.digests import Digests

if TYPE_CHECKING:
    from groundshift.model.scene import Reader, Scene
    from groundshift.pipelines.job import Section

_SCENES = ("scenes", "stack", "before", "after", "mask_before", "mask_after")
"""Options that name what is read: its readers tell what it holds."""
_FILES = ("aoi", "dem", "roads", "fitted", "weights", "network_weights")
"""Options that name a file, or a folder, whose contents the pixels depend on."""


def of_run(options: Sequence[object], readers: Sequence[Reader] = (), digests: Digests | None = None) -> str:
    """What the planes of a run depend on: options, what the files of the scenes hold, and the program itself.

    Where the files lie, and how they are called, is not part of it.

    Args:
        options: as plain values, files by what they hold: see :func:`plain`.
        readers: of all scenes, in order.
        digests: that are known already.
    """
    digests = digests or Digests()
    stamp = [*options, *([_facts(reader.scene), _contents(reader, digests)] for reader in readers)]
    return hashlib.sha256(json.dumps([__version__, stamp], sort_keys=True, default=str).encode()).hexdigest()[:16]


def plain(section: Section, digests: Digests) -> dict[str, object]:
    """Options as plain values, files by what they hold; without the scenes, of which their readers tell."""
    values = section.model_dump(mode="json", exclude=set(_SCENES))
    return {name: digests.told(value) if name in _FILES and value else value for name, value in values.items()}


def _facts(scene: Scene) -> list[object]:
    """What the metadata of a scene say, but for its name and where it lies."""
    infos = [*scene.bands.values(), *([scene.classification] if scene.classification is not None else [])]
    said = replace(scene, name="", href="", offset_rule="", bands={}, classification=None, warnings=())
    return [asdict(said), *(asdict(replace(info, href="")) for info in infos)]


def _contents(reader: Reader, digests: Digests) -> list[str]:
    """What the files of a scene hold: of all its bands, since a mask may read others than a job names."""
    from groundshift.io.memory import MemoryReader

    if isinstance(reader, MemoryReader):
        return [reader.digest()]
    bands, classes = reader.scene.bands, reader.scene.classification
    named = [reader.scene.href, *(info.href for info in (*bands.values(), *([classes] if classes is not None else [])))]
    named += reader.files((*bands, "SCL") if classes is not None else tuple(bands))
    # Of a zip, archive.zip!file, the archive; names of files within a product are those of the bands once more.
    paths = (Path(part) for text in named for part in (text, text.rpartition("!")[0]) if part)
    return [digests.of(path) for path in dict.fromkeys(path.resolve() for path in paths if path.is_file())]
