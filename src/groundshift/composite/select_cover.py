"""Which scene shows which cell of a coarse grid clear: a sparse table with a row a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError


@dataclass(frozen=True, eq=False)
class Cover:
    """Rows of cell numbers, compressed: the cells of scene i are ``indices[ptr[i]:ptr[i + 1]]``, rising."""

    ptr: NDArray[np.int64]
    """(scenes + 1,)"""
    indices: NDArray[np.int32]
    """Cells, from 0 to below `cells`."""
    cells: int
    """Cells of the grid."""

    def __post_init__(self) -> None:
        if len(self.ptr) == 0 or self.ptr[0] != 0 or self.ptr[-1] != len(self.indices) or (np.diff(self.ptr) < 0).any():
            raise InputError("the cover of the scenes is no compressed table: its row pointers do not fit its cells.")
        if len(self.indices) and not 0 <= self.indices.min() <= self.indices.max() < self.cells:
            raise InputError(f"the cover of the scenes names cells beyond its grid of {self.cells} cells.")

    @property
    def scenes(self) -> int:
        """How many rows."""
        return len(self.ptr) - 1

    @classmethod
    def from_rows(cls, rows: Sequence[NDArray[np.integer]], cells: int) -> Cover:
        """From the cell numbers of each scene, each at most once."""
        ptr = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
        flat = np.concatenate([np.sort(row) for row in rows]) if rows else np.empty(0)
        cover = cls(ptr.astype(np.int64), flat.astype(np.int32), cells)
        starts = np.zeros(len(flat) + 1, np.bool_)
        starts[ptr] = True
        if (flat[1:] == flat[:-1])[~starts[1:-1]].any():
            raise InputError("the cover of a scene names a cell twice; expected each at most once.")
        return cover

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> Cover:
        """From (scenes, cells) bool, True = clear."""
        return cls.from_rows([np.flatnonzero(row) for row in mask], mask.shape[1])

    @classmethod
    def from_packed(cls, packed: NDArray[np.uint8], cells: int) -> Cover:
        """From (scenes, ceil(cells / 8)) of `np.packbits(mask, axis=1)`."""
        if packed.ndim != 2 or packed.shape[1] != -(-cells // 8):
            raise InputError(f"a packed cover of {cells} cells has {-(-cells // 8)} bytes a scene, not {packed.shape}.")
        return cls.from_rows([np.flatnonzero(np.unpackbits(row, count=cells)) for row in packed], cells)

    def row(self, scene: int) -> NDArray[np.int32]:
        """Cells that a scene shows clear."""
        return self.indices[self.ptr[scene] : self.ptr[scene + 1]]

    def replaced(self, scene: int, clear: NDArray[np.bool_]) -> Cover:
        """With another row for one scene: (cells,) bool."""
        if clear.shape != (self.cells,):
            raise InputError(f"the mask of a scene has {self.cells} cells, one each of the grid, not {clear.shape}.")
        row = np.flatnonzero(clear).astype(np.int32)
        begin, end = self.ptr[scene], self.ptr[scene + 1]
        ptr = self.ptr.copy()
        ptr[scene + 1 :] += len(row) - (end - begin)
        return Cover(ptr, np.concatenate([self.indices[:begin], row, self.indices[end:]]), self.cells)
