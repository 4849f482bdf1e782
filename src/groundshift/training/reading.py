"""From what a user names to places to train on: scenes of one grid are dates of one place, cut into windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from groundshift.errors import InputError
from groundshift.io.opening import open_scene
from groundshift.model.scene import OpenOptions, Reader
from groundshift.pipelines import plan
from groundshift.pipelines.ingest import SampleUnit, read_sample
from groundshift.pipelines.job import MaskSection
from groundshift.training.places import BANDS, Place, load

WINDOWS = 8
"""Windows that are cut out of a place, at most."""
_SIDE = 640
_FEWEST_BANDS = 3
_CLEAR = 0.3
_FAR = 10_000.0
"""Days between scenes whose date is not known."""


def read(texts: Sequence[str], seed: int = 0, scale: float | None = None) -> list[Place]:
    """Read places: files that :func:`~groundshift.training.places.save` wrote, and scenes as any command takes them.

    Args:
        texts: `.npz` files, folders of them, and scenes; scenes of the same grid are dates of one place.
        seed: of the windows that are cut out of large scenes.
        scale: DN of reflectance 1.0, of rasters that do not say it.

    Raises:
        GroundshiftError: something is not there, broken, or without three bands that the network knows.
    """
    found: list[Place] = []
    grids: dict[object, list[Reader]] = {}
    for text in texts:
        files = [Path(text)] if text.endswith(".npz") else sorted(Path(text).glob("*.npz"))
        if files:
            found += [load(file) for file in files]
            continue
        reader = open_scene(text, OpenOptions(scale=scale))
        grids.setdefault(plan.full_grid(reader.scene, _bands(reader), None), []).append(reader)
    rng = np.random.default_rng(seed)
    for readers in grids.values():
        found += _windows(readers, rng)
    return found


def _bands(*readers: Reader) -> tuple[str, ...]:
    names = tuple(name for name in BANDS if all(name in reader.scene.bands for reader in readers))
    if len(names) < _FEWEST_BANDS:
        raise InputError(
            f"{readers[0].scene.name}: has {', '.join(names) or 'none'} of {', '.join(BANDS)}, "
            f"and training needs {_FEWEST_BANDS} of them at every date"
        )
    return names


def _windows(readers: Sequence[Reader], rng: np.random.Generator) -> list[Place]:
    bands = _bands(*readers)
    grid = plan.full_grid(readers[0].scene, bands, None)
    rows, columns = grid.shape
    tall, wide = min(rows, _SIDE), min(columns, _SIDE)
    count = min(WINDOWS, max(1, rows * columns // (tall * wide)))
    found = []
    for number in range(count):
        y, x = int(rng.integers(0, rows - tall + 1)), int(rng.integers(0, columns - wide + 1))
        box = grid[y : y + tall, x : x + wide]
        blocks = []
        for reader in readers:
            offsets = tuple(reader.scene.bands[band].offset for band in bands)
            blocks.append(read_sample(SampleUnit((reader, reader), bands, box, MaskSection(), (offsets, offsets))))
        clear = np.stack([block.valid for block in blocks])
        if clear.mean() < _CLEAR:
            continue
        images = np.stack([np.where(block.valid, block.before, np.float32(0)) for block in blocks])
        days = np.array([_day(reader, _FAR * k) for k, reader in enumerate(readers)])
        name = f"{readers[0].scene.name}, window {number + 1}"
        found.append(Place(name=name, bands=bands, images=images, clear=clear, days=days, weight=1 / count))
    return found


def _day(reader: Reader, otherwise: float) -> float:
    sensed = reader.scene.sensing_time
    return otherwise if sensed is None else sensed.timestamp() / 86_400
