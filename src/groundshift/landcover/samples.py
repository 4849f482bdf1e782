"""Training samples: pixels of a labelled raster, away from borders of classes, a bounded number of each class.

Which pixels are drawn is decided by a hash of seed and place: of each class, those of the smallest hash. A block gives
its smallest, blocks are merged in any order, and memory is bounded by the caps.

Law: how the raster is cut into blocks (with ``halo_px`` around them) and in which order they come changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import scipy
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.model.grid import Window
from groundshift.model.legend import NO_DATA

NONE = 0
"""Code of what has no label."""
_SPARE = 16
"""Where samples must keep a distance, so many times the cap are held until all are known."""
_BLOCKS_A_ROW = 1 << 20


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """Which pixels become samples."""

    per_class: int = 2000
    """Samples of each class, at most: pixels of one field look alike, so that more of them teach little."""
    erode_px: int = 1
    """A sample has no pixel of another class, of none or without data within this radius, 0..50. 1: eo-learn's disc."""
    distance_px: float = 0.0
    """Least distance between two samples of any class, 0..1000; 0: none is kept."""
    block_px: int = 500
    """Edge of the square blocks whose number a sample carries: 5 km in pixels of 10 m, the least that 'spatial' folds
    should be made of."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.per_class < 1 or not 0 <= self.erode_px <= 50 or not 0 <= self.distance_px <= 1000 or self.block_px < 1:
            raise UsageError(
                f"samples: expected per_class and block_px of at least 1, erode_px 0 to 50 and distance_px 0 to 1000, "
                f"not {self.per_class}, {self.block_px}, {self.erode_px} and {self.distance_px}."
            )

    @property
    def halo_px(self) -> int:
        """Pixels around a block that must be known."""
        return self.erode_px


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Pixels with a label, all (n,), ordered by row and column."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    label: NDArray[np.uint8]
    polygon: NDArray[np.int64]
    """Number of the polygon, 0 where none was given."""
    block: NDArray[np.int64]
    """Number of the square block."""
    order: NDArray[np.uint64]
    """Hash of the place: the smaller, the earlier drawn."""

    def __len__(self) -> int:
        return len(self.row)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Samples:
        """Some of them."""
        return Samples(**{each.name: getattr(self, each.name)[index] for each in fields(self)})


def halo(window: Window, shape: tuple[int, int], options: SampleOptions) -> Window:
    """The pixels that :func:`candidates` wants for a window of a raster of that shape."""
    return window.padded(options.halo_px, shape)


def candidates(
    labels: NDArray[np.uint8],
    inside: Window,
    options: SampleOptions | None = None,
    *,
    polygons: NDArray[np.integer] | None = None,
    origin: tuple[int, int] = (0, 0),
) -> Samples:
    """What one block has to offer.

    Args:
        labels: (y, x) uint8, the block with its halo; 0 has no label, 255 no data. Beyond the raster nothing is asked.
        inside: the block without halo, in pixels of the raster.
        options: which pixels.
        polygons: (y, x) number of the polygon; a sample has no pixel of another polygon within its radius either.
        origin: row and column of the first pixel of ``labels`` in the raster.

    Raises:
        InputError: arrays that do not fit.
    """
    options = options or SampleOptions()
    if labels.ndim != 2 or labels.dtype != np.uint8 or (polygons is not None and polygons.shape != labels.shape):
        raise InputError("labels: expected (y, x) of uint8, and polygons of the same shape.")
    part = inside.within(Window(origin[0], 0, origin[1], 0)).slices
    pure = _pure(labels, options.erode_px)
    if polygons is not None:
        pure &= _pure(polygons, options.erode_px)
    rows, columns = np.nonzero((pure & (labels != NONE) & (labels != NO_DATA))[part])
    at = rows + part[0].start, columns + part[1].start
    rows, columns = rows + inside.y0, columns + inside.x0
    found = Samples(
        row=rows,
        column=columns,
        label=labels[at],
        polygon=np.zeros(len(rows), np.int64) if polygons is None else polygons[at].astype(np.int64),
        block=rows // options.block_px * _BLOCKS_A_ROW + columns // options.block_px,
        order=_hash(options.seed, rows, columns),
    )
    return _smallest(found, _held(options))


def merge(parts: Iterable[Samples], options: SampleOptions | None = None) -> Samples:
    """What some blocks have to offer together; any grouping and order gives the same."""
    held = _held(options or SampleOptions())
    joined: Samples | None = None
    for part in parts:
        joined = part if joined is None else _smallest(_joined(joined, part), held)
    if joined is None:
        raise InputError("no block was given to draw samples from.")
    return joined


def finish(offered: Samples, options: SampleOptions | None = None) -> Samples:
    """The samples of a raster, of all that its blocks have to offer.

    With a distance they are taken by rising hash, where none taken before is too close. Of each class only the
    ``16 per_class`` first are looked at: one that lies in few places may fall short of its cap.
    """
    options = options or SampleOptions()
    if options.distance_px > 0:
        offered = offered.take(_apart(offered, options))
    chosen = _smallest(offered, options.per_class)
    return chosen.take(np.lexsort((chosen.column, chosen.row)))


def draw(
    labels: NDArray[np.uint8],
    options: SampleOptions | None = None,
    *,
    polygons: NDArray[np.integer] | None = None,
) -> Samples:
    """Samples of a raster in memory: :func:`candidates`, :func:`merge` and :func:`finish` in one."""
    everything = Window(0, labels.shape[0], 0, labels.shape[1])
    return finish(candidates(labels, everything, options, polygons=polygons), options)


def _held(options: SampleOptions) -> int:
    return options.per_class * (_SPARE if options.distance_px > 0 else 1)


def _pure(values: NDArray[np.integer], radius: int) -> NDArray[np.bool_]:
    """Whether all pixels within a radius have the same value; beyond the border lies what lies at it."""
    if radius == 0:
        return np.ones(values.shape, bool)
    reach = np.arange(-radius, radius + 1)
    disc = reach[:, np.newaxis] ** 2 + reach**2 <= radius**2
    return np.asarray(
        scipy.ndimage.minimum_filter(values, footprint=disc, mode="nearest")
        == scipy.ndimage.maximum_filter(values, footprint=disc, mode="nearest")
    )


def _joined(a: Samples, b: Samples) -> Samples:
    return Samples(**{each.name: np.concatenate([getattr(a, each.name), getattr(b, each.name)]) for each in fields(a)})


def _smallest(offered: Samples, count: int) -> Samples:
    """Of each class those of the smallest hash, in its order; equal hashes (none in practice) by place."""
    order = np.lexsort((offered.column, offered.row, offered.order, offered.label))
    label = offered.label[order]
    rank = np.arange(len(order)) - np.searchsorted(label, label, side="left")
    return offered.take(order[rank < count])


def _apart(offered: Samples, options: SampleOptions) -> NDArray[np.intp]:
    """Indices of samples that keep their distance, none beyond the cap of its class."""
    side, least = options.distance_px, options.distance_px**2
    taken: dict[tuple[int, int], list[tuple[int, int]]] = {}
    left = dict.fromkeys(np.unique(offered.label).tolist(), options.per_class)
    kept = []
    for k in np.argsort(offered.order, kind="stable").tolist():
        y, x, label = int(offered.row[k]), int(offered.column[k]), int(offered.label[k])
        v, u = int(y // side), int(x // side)
        around = ((v + i, u + j) for i in (-1, 0, 1) for j in (-1, 0, 1))
        near = (place for cell in around for place in taken.get(cell, ()))
        if left[label] and all((y - there[0]) ** 2 + (x - there[1]) ** 2 >= least for there in near):
            taken.setdefault((v, u), []).append((y, x))
            left[label] -= 1
            kept.append(k)
    return np.array(kept, np.intp)


def _hash(seed: int, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64 random bits of a seed and a place (SplitMix64; Steele, Lea and Flood 2014)."""
    state = np.full(len(rows), seed % (1 << 64), np.uint64)
    for values in (rows, columns):
        state = (state + values.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state
