"""Large images through a network piece by piece: each piece with a halo, of which nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A piece of an image: what is read, and what of it is kept."""

    read: tuple[slice, slice]
    """Rows and columns of the image."""
    keep: tuple[slice, slice]
    """Rows and columns of the image that the piece is responsible for."""
    inner: tuple[slice, slice]
    """The same, counted within what is read."""


def tiles(shape: tuple[int, int], size: int | tuple[int, int], halo: int) -> Iterator[Tile]:
    """Cut an image into tiles; every pixel is kept exactly once.

    Args:
        shape: (rows, columns) of the image.
        size: side of what is kept, or (rows, columns); a multiple of the network's coarsest pixel, as ``halo`` is, so
            that all tiles lie alike on its grids.
        halo: pixels that are read beyond, as far as the image goes.
    """
    tall, wide = (size, size) if isinstance(size, int) else size
    for rows, row_read in _cuts(shape[0], tall, halo):
        for columns, column_read in _cuts(shape[1], wide, halo):
            yield Tile(
                read=(row_read, column_read),
                keep=(rows, columns),
                inner=(_within(rows, row_read), _within(columns, column_read)),
            )


def _cuts(length: int, size: int, halo: int) -> Iterator[tuple[slice, slice]]:
    for start in range(0, length, size):
        stop = min(start + size, length)
        yield slice(start, stop), slice(max(start - halo, 0), min(stop + halo, length))


def _within(part: slice, of: slice) -> slice:
    return slice(part.start - of.start, part.stop - of.start)
