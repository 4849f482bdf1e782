"""From class probabilities to a class map: smoothing, majority, minimum mapping unit, block by block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift import __version__
from groundshift.errors import OutputError, UsageError
from groundshift.execution.crew import Crew
from groundshift.execution.pool import Pool
from groundshift.execution.progress import Progress, Silent
from groundshift.io import cog, styles
from groundshift.io.atomic import atomic, scratch, sweep
from groundshift.io.cog import BandTag
from groundshift.io.planes import Planes
from groundshift.io.stackfile import open_stack
from groundshift.landcover import mmu, smooth
from groundshift.landcover.mmu import MappingUnit
from groundshift.landcover.smooth import BayesOptions, BilateralOptions, MajorityOptions
from groundshift.landcover.uncertainty import STEP, certainty
from groundshift.model.grid import Window, blocks
from groundshift.model.legend import NO_DATA, Legend, classes_of, legend_of

Float32 = NDArray[np.float32]
Codes = NDArray[np.uint8]
Smoothing = Literal["none", "bilateral", "bayes"]

_SIDE = 1024
"""Of a block in pixels, without its halo."""
_SIDES = (512, 256, 128)
"""Of blocks of probabilities."""
_COPIES = 6
"""Of float32 probabilities that a block takes while it is smoothed, about."""
_IMPORTS = ("groundshift.pipelines.smoothing",)


class Probabilities(Protocol):
    """Where probabilities come from; it can be sent to a process."""

    def read(self, window: Window) -> Float32:
        """(class, y, x) float32 of a window of the grid, NaN = no data."""
        ...


class ClassCodes(Protocol):
    """Where a class map comes from; it can be sent to a process."""

    def read(self, window: Window) -> Codes:
        """(y, x) uint8 of a window of the grid; 0 none, 255 no data."""
        ...


@dataclass(frozen=True)
class StoredProbabilities:
    """Probabilities in scratch, a byte each."""

    planes: Planes
    """(class, y, x) uint8 in steps of :data:`~groundshift.landcover.uncertainty.STEP`, 255 = no data."""

    def read(self, window: Window) -> Float32:
        """(class, y, x) float32, NaN = no data."""
        stored = self.planes.read(window).astype(np.uint8, copy=False)
        return np.where(stored == NO_DATA, np.float32(np.nan), stored * np.float32(STEP))

    def write(self, window: Window, probabilities: Float32) -> None:
        """Store (class, y, x) float32, NaN = no data."""
        known = np.isfinite(probabilities).all(axis=0)
        stored = np.rint(np.clip(np.where(known, probabilities, 0), 0, 1) / np.float32(STEP)).astype(np.uint8)
        self.planes.write(window, np.where(known, stored, np.uint8(NO_DATA)))


@dataclass(frozen=True)
class StoredCodes:
    """A class map in scratch."""

    planes: Planes

    def read(self, window: Window) -> Codes:
        """(y, x) uint8."""
        return self.planes.read(window, 0).astype(np.uint8, copy=False)


@dataclass(frozen=True, kw_only=True)
class SmoothOptions:
    """What is done between probabilities and a map."""

    method: Smoothing = "bayes"
    """Of the probabilities."""
    bilateral: BilateralOptions = field(default_factory=BilateralOptions)
    bayes: BayesOptions = field(default_factory=BayesOptions)
    majority: MajorityOptions | None = None
    """Of the classes, after that; None: not."""
    unit: MappingUnit | None = None
    """Smallest regions, in the end; None: any size."""

    def __post_init__(self) -> None:
        known = get_args(Smoothing)
        if self.method not in known:
            raise UsageError(f"there is no smoothing {self.method!r}: expected one of {', '.join(known)}.")


@dataclass(frozen=True)
class Smoothed:
    """A map in scratch, and what it was made of."""

    codes: Planes
    """(1, y, x) uint8: 0 none, 255 no data."""
    probabilities: Planes | None
    """(class, y, x) uint8 as in :class:`StoredProbabilities`, smoothed; None: nobody asked for them."""


def run(
    source: Probabilities,
    shape: tuple[int, int],
    classes: Sequence[int],
    work: Path,
    pool: Crew,
    options: SmoothOptions | None = None,
    progress: Progress | None = None,
    *,
    budget: int | None = None,
    kept: bool = False,
) -> Smoothed:
    """Smooth probabilities and make a map of them, in scratch.

    Args:
        source: of the probabilities.
        shape: (rows, columns).
        classes: code of each layer.
        work: a folder for scratch.
        pool: that does the blocks.
        options: how.
        progress: told of each stage.
        budget: bytes that a block may take; None: as many as the largest takes.
        kept: keep the smoothed probabilities.

    Law: blocks change nothing.
    """
    options, progress = options or SmoothOptions(), progress or Silent()
    side = _side(len(classes), budget)
    made = Smoothed(
        Planes.create(work / "map.bin", (1, *shape), "uint8"),
        Planes.create(work / "smooth.bin", (len(classes), *shape), "uint8") if kept or options.unit else None,
    )
    todo = [_SmoothBlock(source, shape, window, tuple(classes), options, made) for window in _tiles(shape, side)]
    with progress.stage("smooth", len(todo)) as advance:
        pool.run(_smooth_block, todo, lambda _: advance(1), lambda block: f"smoothing {block.window}")
    codes = made.codes
    if options.majority is not None:
        other = Planes.create(work / "majority.bin", (1, *shape), "uint8")
        blocks_ = [_MajorityBlock(StoredCodes(codes), shape, w, options.majority, other) for w in _tiles(shape)]
        with progress.stage("majority", len(blocks_)) as advance:
            pool.run(_majority_block, blocks_, lambda _: advance(1), lambda block: f"voting in {block.window}")
        codes.delete()
        codes = other
    if options.unit is not None:
        assert made.probabilities is not None
        stored = StoredProbabilities(made.probabilities)
        before = codes
        codes = mapping_unit(StoredCodes(codes), shape, options.unit, work, pool, stored, classes, progress, side)
        before.delete()
    return Smoothed(codes, made.probabilities)


def mapping_unit(
    source: ClassCodes,
    shape: tuple[int, int],
    unit: MappingUnit,
    work: Path,
    pool: Crew,
    probabilities: Probabilities | None = None,
    classes: Sequence[int] = (),
    progress: Progress | None = None,
    side: int = _SIDE,
) -> Planes:
    """Give small regions of a map away, round after round until nothing changes; (1, y, x) uint8 in scratch.

    A block is done again only while it, or one beside it, changes.
    """
    progress, tiles = progress or Silent(), list(_tiles(shape, side))
    now, then = (Planes.create(work / f"unit{k}.bin", (1, *shape), "uint8") for k in range(2))
    codes, todo = source, tiles
    while todo:
        jobs = [_UnitBlock(codes, shape, window, unit, probabilities, tuple(classes), then) for window in todo]
        changed = _one_round(jobs, pool, progress)
        differing = [window for window, differs in zip(todo, changed, strict=True) if differs]
        for window in tiles if codes is source else differing:
            now.write(window, then.read(window))
        near = [window.padded(unit.halo_px, shape) for window in differing]
        codes, todo = StoredCodes(now), [window for window in tiles if any(window.shared(each) for each in near)]
    then.delete()
    return now


def _one_round(jobs: Sequence[_UnitBlock], pool: Crew, progress: Progress) -> list[bool]:
    with progress.stage("mapping unit", len(jobs)) as advance:
        return pool.run(_unit_block, jobs, lambda _: advance(1), lambda job: f"sieving {job.window}")


def smooth_map(
    probabilities: str,
    out: str,
    options: SmoothOptions | None = None,
    *,
    legend: Legend | None = None,
    smoothed: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make a class map of a raster of class probabilities.

    Args:
        probabilities: a raster with a band a class, named after it.
        out: the map, a Cloud Optimized GeoTIFF with names, colours and a style for QGIS.
        options: how.
        legend: codes and colours of the classes, by name; None: 1, 2, 3 ... in the order of the bands.
        smoothed: file for the smoothed probabilities.
        workers: processes; None: one a core.
        progress: told of each stage.

    Returns:
        Pixels of each class and the paths, as can be written as JSON.

    Raises:
        GroundshiftError: with one sentence; nothing is left of a run that failed.
    """
    stack, folder = open_stack(probabilities), Path(out).parent
    legend = legend or legend_of(stack.names)
    code_of = {entry.name: entry.code for entry in classes_of(legend)}
    missing = [name for name in stack.names if name not in code_of]
    if missing:
        raise UsageError(f"{probabilities}: its bands {', '.join(missing)} are no classes of the legend.")
    if not folder.is_dir():
        raise OutputError(f"cannot write {out}: there is no folder {folder}.")
    sweep(folder)
    shape = int(stack.geobox.shape[0]), int(stack.geobox.shape[1])
    codes = [code_of[name] for name in stack.names]
    with scratch(folder) as work, pool_for(shape, workers, _IMPORTS) as pool:
        made = run(stack, shape, codes, work, pool, options, progress, kept=smoothed is not None)
        outputs = {"map": out} | ({"probabilities": smoothed} if smoothed else {})
        with ExitStack() as files:
            _write_map(made.codes, stack.geobox, legend, files.enter_context(atomic(out)), Path(out))
            if smoothed and made.probabilities is not None:
                path = files.enter_context(atomic(smoothed))
                _write_probabilities(made.probabilities, stack.geobox, stack.names, path, Path(smoothed))
        counts = count_codes(StoredCodes(made.codes), shape)
    return {
        "pixels": {entry.name: int(counts[entry.code]) for entry in classes_of(legend)},
        "nodata_percent": 100 * int(counts[NO_DATA]) / (shape[0] * shape[1]),
        "outputs": outputs,
    }


def pool_for(shape: tuple[int, int], workers: int | None, imports: Sequence[str]) -> Pool:
    """A pool for blocks of a map; of no process where one block is all."""
    count = (os.cpu_count() or 1) if workers is None else workers
    return Pool(0 if max(shape) <= _SIDE else count, imports=imports)


def count_codes(codes: ClassCodes, shape: tuple[int, int]) -> NDArray[np.int64]:
    """(256,): pixels of each code."""
    total = np.zeros(256, np.int64)
    for window in _tiles(shape):
        total += np.bincount(codes.read(window).reshape(-1), minlength=256)
    return total


def _tiles(shape: tuple[int, int], side: int = _SIDE) -> Iterator[Window]:
    return blocks(shape, side, side)


def _side(classes: int, budget: int | None) -> int:
    """Of blocks of so many classes that fit a budget."""
    most = _SIDES[0] ** 2 * classes * 4 * _COPIES if budget is None else budget
    return next((side for side in _SIDES if side**2 * classes * 4 * _COPIES <= most), _SIDES[-1])


# ---- blocks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _SmoothBlock:
    source: Probabilities
    shape: tuple[int, int]
    window: Window
    classes: tuple[int, ...]
    options: SmoothOptions
    made: Smoothed


def _smooth_block(block: _SmoothBlock) -> None:
    work: dict[str, tuple[int, Callable[[Float32], Float32]]] = {
        "none": (0, lambda p: p),
        "bilateral": (block.options.bilateral.halo_px, lambda p: smooth.bilateral(p, block.options.bilateral)),
        "bayes": (block.options.bayes.halo_px, lambda p: smooth.bayes(p, block.options.bayes)),
    }
    halo_px, method = work[block.options.method]
    padded = block.window.padded(halo_px, block.shape)
    found = np.ascontiguousarray(method(block.source.read(padded))[:, *block.window.within(padded).slices])
    block.made.codes.write(block.window, certainty(found, block.classes).codes, 0)
    if block.made.probabilities is not None:
        StoredProbabilities(block.made.probabilities).write(block.window, found)


@dataclass(frozen=True)
class _MajorityBlock:
    source: ClassCodes
    shape: tuple[int, int]
    window: Window
    options: MajorityOptions
    out: Planes


def _majority_block(block: _MajorityBlock) -> None:
    padded = block.window.padded(block.options.halo_px, block.shape)
    found = smooth.majority(block.source.read(padded), block.options)
    block.out.write(block.window, found[block.window.within(padded).slices], 0)


@dataclass(frozen=True)
class _UnitBlock:
    source: ClassCodes
    shape: tuple[int, int]
    window: Window
    unit: MappingUnit
    probabilities: Probabilities | None
    classes: tuple[int, ...]
    out: Planes


def _unit_block(block: _UnitBlock) -> bool:
    """Whether anything changed."""
    padded = block.window.padded(block.unit.halo_px, block.shape)
    codes = block.source.read(padded)
    p = None if block.probabilities is None else block.probabilities.read(padded)
    found = mmu.absorb(codes, block.unit, p, block.classes if p is not None else ())
    inner = block.window.within(padded).slices
    block.out.write(block.window, found[inner], 0)
    return not np.array_equal(found[inner], codes[inner])


# ---- files ---------------------------------------------------------------------------------------------------------


def _write_map(codes: Planes, grid: GeoBox, legend: Legend, path: Path, named: Path) -> None:
    tag = BandTag("class", description=", ".join(f"{entry.code} {entry.name}" for entry in legend))
    tags = {"software": f"groundshift {__version__}"}
    cog.export(codes, grid, path, bands=[tag], nodata=NO_DATA, legend=legend, tags=tags, named=named)
    styles.write_qml(path, styles.classes_qml(legend))


def _write_probabilities(planes: Planes, grid: GeoBox, names: Sequence[str], path: Path, named: Path) -> None:
    bands = [BandTag(name, description="probability", scale=STEP) for name in names]
    cog.export(planes, grid, path, bands=bands, nodata=NO_DATA, overview="average", named=named)
