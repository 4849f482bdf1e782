"""Planes: scratch rasters that many processes read and write at once, without locks and without growing memory."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import OutputError, ProductError, UsageError
from groundshift.io.atomic import disk_full, free_bytes, output_error
from groundshift.model.grid import Window

_ENVI_TYPES = {
    "uint8": 1,
    "int16": 2,
    "int32": 3,
    "float32": 4,
    "float64": 5,
    "uint16": 12,
    "uint32": 13,
}
Array = NDArray[np.generic]


@dataclass(frozen=True)
class Planes:
    """One file of raw numbers in (band, y, x) order, with a header that GDAL understands (ENVI, band sequential).

    It holds a path, a shape and a type; each process opens the file when it first touches it. Windows that do not
    overlap may be written at the same time by any number of processes. Bytes go through ``pread`` and ``pwrite``,
    never through a memory map: memory does not grow with the image.
    """

    path: Path
    """The ``.bin`` file; its header has the same name with ``.hdr``."""
    shape: tuple[int, int, int]
    """(bands, rows, columns)."""
    dtype: str
    """numpy name: uint8, uint16, int16, int32, uint32, float32 or float64."""
    _open: list[int] = field(default_factory=list, init=False, repr=False, compare=False, hash=False)

    @classmethod
    def create(cls, path: str | os.PathLike[str], shape: tuple[int, int, int], dtype: str) -> Planes:
        """Make a file of zeros, with its space reserved where the file system can.

        Raises:
            OutputError: there is no space or no permission.
            UsageError: the type cannot be stored.
        """
        planes = cls(Path(path), shape, np.dtype(dtype).name)
        if planes.dtype not in _ENVI_TYPES:
            raise UsageError(f"planes cannot hold {planes.dtype}: expected one of {', '.join(_ENVI_TYPES)}.")
        try:
            _reserve(planes.path, planes.nbytes)
            planes.write_header()
        except OSError as error:
            with contextlib.suppress(OSError):
                planes.path.unlink(missing_ok=True)
            if isinstance(error, OutputError):
                raise
            raise output_error(error, planes.path, planes.nbytes) from error
        return planes

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Planes:
        """Open planes made by :meth:`create`.

        Raises:
            ProductError: there is no header, or the file has another size than the header says.
        """
        try:
            lines = (line.partition("=") for line in Path(path).with_suffix(".hdr").read_text("utf-8").splitlines())
            fields = {key.strip(): value.strip() for key, _, value in lines}
            shape = (int(fields["bands"]), int(fields["lines"]), int(fields["samples"]))
            codes = {str(code): name for name, code in _ENVI_TYPES.items()}
            planes = cls(Path(path), shape, codes[fields["data type"]])
            complete = planes.path.stat().st_size == planes.nbytes
        except (OSError, KeyError, ValueError) as error:
            raise ProductError(f"{path} are no planes: the header beside it is missing or not ours.") from error
        if not complete:
            raise ProductError(f"{path} has not the {planes.nbytes} bytes that its header announces.")
        return planes

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        bands, rows, columns = self.shape
        return bands * rows * columns * np.dtype(self.dtype).itemsize

    def write_header(self, lines: Sequence[str] = ()) -> None:
        """Write the ENVI header, with extra lines (``band names = {...}``) for GDAL."""
        bands, rows, columns = self.shape
        head = (
            "ENVI",
            f"samples = {columns}",
            f"lines = {rows}",
            f"bands = {bands}",
            "header offset = 0",
            "file type = ENVI Standard",
            f"data type = {_ENVI_TYPES[self.dtype]}",
            "interleave = bsq",
            f"byte order = {int(sys.byteorder == 'big')}",
        )
        self.path.with_suffix(".hdr").write_text("\n".join((*head, *lines, "")), encoding="utf-8")

    def read(self, window: Window, bands: Sequence[int] | int | None = None) -> Array:
        """Read a window.

        Args:
            window: rows and columns, inside the planes.
            bands: 0-based; None: all.

        Returns:
            (band, y, x); (y, x) when ``bands`` is one number.

        Raises:
            ProductError: the file is shorter than it should be.
        """
        chosen = range(self.shape[0]) if bands is None else ((bands,) if isinstance(bands, int) else bands)
        result = np.empty((len(chosen), *window.shape), self.dtype)
        for plane, band in zip(result, chosen, strict=True):
            for run, offset in self._runs(plane, window, band):
                _read_into(self._descriptor(), run, offset, self.path)
        return result[0] if isinstance(bands, int) else result

    def write(self, window: Window, array: Array, band: int | None = None) -> None:
        """Write a window.

        Args:
            window: rows and columns, inside the planes.
            array: (band, y, x) of all bands, or (y, x) of one; converted to the planes' type.
            band: 0-based; None: all.

        Raises:
            OutputError: the disk is full or the file cannot be written.
        """
        stack = np.ascontiguousarray(array if band is None else np.asarray(array)[None], dtype=self.dtype)
        chosen = range(self.shape[0]) if band is None else (band,)
        if stack.shape != (len(chosen), *window.shape):
            raise ValueError(f"array of shape {stack.shape} does not fit {len(chosen)} bands of {window}")
        try:
            for plane, index in zip(stack, chosen, strict=True):
                for run, offset in self._runs(plane, window, index):
                    _write_from(self._descriptor(), run, offset)
        except OSError as error:
            raise output_error(error, self.path, self.nbytes) from error

    def close(self) -> None:
        """Close the file of this process; it opens again by itself when needed."""
        while self._open:
            os.close(self._open.pop())

    def delete(self) -> None:
        """Close the planes and remove their files."""
        self.close()
        for suffix in (self.path.suffix, ".hdr", ".bin.aux.xml"):
            self.path.with_suffix(suffix).unlink(missing_ok=True)

    def _runs(self, plane: Array, window: Window, band: int) -> list[tuple[memoryview, int]]:
        """Pieces of memory that are contiguous in the file too, with their offsets."""
        bands, rows, columns = self.shape
        inside = 0 <= window.y0 <= window.y1 <= rows and 0 <= window.x0 <= window.x1 <= columns and 0 <= band < bands
        if not inside:
            raise ValueError(f"{window} of band {band} does not lie in planes of shape {self.shape}")
        if not plane.size:
            return []
        size = np.dtype(self.dtype).itemsize
        start = ((band * rows + window.y0) * columns + window.x0) * size
        if window.shape[1] == columns:
            return [(plane.data.cast("B"), start)]
        return [(row.data.cast("B"), start + y * columns * size) for y, row in enumerate(plane)]

    def _descriptor(self) -> int:
        if not self._open:
            self._open.append(_open_file(self.path))
        return self._open[0]

    def __reduce__(self) -> tuple[type[Planes], tuple[Path, tuple[int, int, int], str]]:
        return Planes, (self.path, self.shape, self.dtype)

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.close()


def _reserve(path: Path, nbytes: int) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        if not hasattr(os, "posix_fallocate"):
            raise OSError(errno.ENOSYS, "no posix_fallocate")
        if nbytes:
            os.posix_fallocate(descriptor, 0, nbytes)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        if free_bytes(path.parent) < nbytes:
            raise disk_full(path, nbytes) from error
        os.ftruncate(descriptor, nbytes)
    finally:
        os.close(descriptor)


def _open_file(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)
    except OSError as error:
        raise ProductError(f"the scratch file {path} cannot be opened: {error.strerror}; was it deleted?") from error


def _read_into(descriptor: int, run: memoryview, offset: int, path: Path) -> None:
    done = 0
    while done < len(run):
        count = os.preadv(descriptor, [run[done:]], offset + done)
        if count <= 0:
            raise ProductError(f"the scratch file {path} ends at byte {offset + done}: it was cut while in use.")
        done += count


def _write_from(descriptor: int, run: memoryview, offset: int) -> None:
    done = 0
    while done < len(run):
        done += os.pwrite(descriptor, run[done:], offset + done)
