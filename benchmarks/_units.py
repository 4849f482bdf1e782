"""Units of work like those of a series, on files: rows of a pair compared, what is known of each pixel, written."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundshift.change import series
from groundshift.change.confirm import ConfirmOptions
from groundshift.model.grid import Window, blocks
from groundshift.numerics.rounding import round_mantissa
from groundshift.pipelines import fitting, pair_model
from groundshift.pipelines.fitting import Block
from groundshift.pipelines.job import DetectSection, KindsSection, NormaliseSection
from groundshift.pipelines.pair_model import Method, PairModel
from groundshift.pipelines.series_step import COLUMNS, ROWS

BANDS = ("B02", "B03", "B04", "B08")
SIDE = 2048
IMPORTS = ("groundshift.pipelines.series_step",)
_DN = 10_000
_NAMES = ("before", "after")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Some rows of a pair."""

    folder: Path
    model: PairModel
    window: Window
    number: int


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Processor seconds of one unit by part, and what it found."""

    number: int
    read: float
    compare: float
    track: float
    write: float
    pixels: int
    pid: int
    digest: str


def write_pair(folder: Path, side: int = SIDE) -> None:
    """A pair as stored numbers in two files: fields, noise, haze, a little change; nothing where they are there."""
    if (folder / "after.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    fields = rng.random((len(BANDS), side // 30 + 1, side // 30 + 1), np.float32)
    ground = (0.04 + 0.3 * fields).repeat(30, axis=1).repeat(30, axis=2)[:, :side, :side]
    later = ground * np.float32(1.05) + np.float32(0.004)
    later[:, side // 2 : side // 2 + 120, 60:180] += np.float32(0.15)
    for name, image in (("before", ground), ("after", later)):
        noisy = image + 0.006 * rng.standard_normal(image.shape, np.float32)
        dn = np.rint(noisy * _DN).clip(1, 65_535).astype(np.uint16)
        dn[:, : side // 10, : side // 5] = 0
        np.save(folder / f"{name}.npy", dn)


def fit(folder: Path, method: Method) -> tuple[PairModel, float]:
    """What the statistics of the pair are, and the processor seconds that took."""
    begin = time.process_time()
    side = np.load(folder / "before.npy", mmap_mode="r").shape[1]
    sample = [_block(folder, Window(y, y + 256, x, x + 512)) for y in (0, side // 2) for x in (0, side // 2)]
    detect = DetectSection()
    fitted = fitting.fit(sample, BANDS, 10.0, detect, NormaliseSection(), KindsSection())
    return pair_model.make(fitted, sample, BANDS, method, compared_px=side * side), time.process_time() - begin


def units(folder: Path, model: PairModel, times: int = 1) -> Iterator[Unit]:
    """The units of the pair, over and over."""
    side = np.load(folder / "before.npy", mmap_mode="r").shape[1]
    windows: Sequence[Window] = list(blocks((side, side), ROWS, COLUMNS))
    for number in range(times * len(windows)):
        yield Unit(folder=folder, model=model, window=windows[number % len(windows)], number=number)


def work(unit: Unit) -> Spent:
    """Do one unit."""
    marks = [time.process_time()]
    shape = np.load(unit.folder / "before.npy", mmap_mode="r").shape[1:]
    padded = unit.window.padded(unit.model.halo_px, shape)
    inner = unit.window.within(padded)
    block = _block(unit.folder, padded)
    marks.append(time.process_time())
    found = round_mantissa(unit.model.probability(block, inner))
    marks.append(time.process_time())
    before, after = (np.ascontiguousarray(image[:, *inner.slices]) for image in (block.before, block.after))
    usable = block.valid[inner.slices]
    track = series.begin(before, usable, 1)
    kind = series.kind_of(before, after, BANDS)
    track = series.advance(track, found, after, usable, kind, 6, ConfirmOptions())
    marks.append(time.process_time())
    target = unit.folder / "out" / f"{unit.number}.npz"
    target.parent.mkdir(exist_ok=True)
    with target.open("wb") as stream:
        np.savez(stream, probability=found, **vars(track))
    marks.append(time.process_time())
    digest = hashlib.sha256(found.tobytes()).hexdigest()
    read, compare, known, write = np.diff(marks).tolist()
    return Spent(
        number=unit.number,
        read=read,
        compare=compare,
        track=known,
        write=write,
        pixels=found.size,
        pid=os.getpid(),
        digest=digest,
    )


def _block(folder: Path, window: Window) -> Block:
    before, after = (_reflectance(np.load(folder / f"{name}.npy", mmap_mode="r"), window) for name in _NAMES)
    valid = (before > 0).all(axis=0) & (after > 0).all(axis=0)
    return Block(before, after, valid)


def _reflectance(stored: NDArray[np.uint16], window: Window) -> NDArray[np.float32]:
    return np.asarray(stored[:, *window.slices], np.float32) / np.float32(_DN)
