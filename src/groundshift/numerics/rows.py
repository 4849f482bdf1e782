"""Work on an image by several threads, rows by rows: for compiled kernels that hold no lock of the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Rows = tuple[int, int]
"""First row, and the one after the last."""
R = TypeVar("R")


def in_rows(work: Callable[[Rows], R], height: int, threads: int, piece: int = 64) -> list[R]:
    """Do some work on all rows, by several threads in turn.

    Args:
        work: on the rows that it is given.
        height: rows of the image.
        threads: to use; 1: this one, all rows at once.
        piece: rows that a thread takes at a time, at most.

    Returns:
        What each part gave, from above.
    """
    if threads <= 1:
        return [work((0, height))]
    piece = max(1, min(piece, -(-height // threads)))
    parts = [(begin, min(begin + piece, height)) for begin in range(0, height, piece)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))
