"""JPEG 2000 files: their structure checked before decoding, and decoded so that damage raises.

The decoder reads a truncated file as zeros, in silence, when it works on several threads; on one thread, and one
tile at a time, it raises. So ``GDAL_NUM_THREADS=1`` always, work in parallel by process, and read tile by tile.
Structure: ISO/IEC 15444-1, annexes A (codestream) and I (boxes).
"""

from __future__ import annotations

import os
import struct
import threading
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from groundshift.errors import ProductError
from groundshift.io.decode import decoding
from groundshift.io.integrity import content_kind
from groundshift.io.warp import Stored, read_window
from groundshift.model.grid import Window
from groundshift.model.scene import BandInfo

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

MAX_SIDE_PX = 20_000
"""Largest band that is opened; a Sentinel-2 tile has 10980 x 10980 pixels."""
HEADER_BYTES = 2**17
"""The codestream of a Sentinel-2 band starts within its first few kB."""
_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_SOC, _SIZ, _SOT, _EOC = 0xFF4F, 0xFF51, 0xFF90, 0xFFD9

SETTINGS: dict[str, Any] = {
    "GDAL_NUM_THREADS": "1",
    "GDAL_CACHEMAX": 64 * 2**20,
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_SKIP": "VRT",
}
"""GDAL configuration under which every JP2 is opened and read: one thread, bounded cache, no sidecar files."""


class OversizeError(ProductError):
    """A header that claims more pixels than any Sentinel-2 band has."""


@dataclass(frozen=True)
class Header:
    """Size of an image and of its tiles, from the codestream's own header."""

    width: int
    height: int
    bits: int
    tiles: int
    codestream: int
    """Byte at which the codestream starts."""
    end: int | None
    """Byte at which it ends, where the box says so."""


def read_header(head: bytes, href: str) -> Header:
    """Read the header from the first bytes of a file.

    Raises:
        ProductError: it is something else, is cut off, or claims a size beyond 20000 x 20000 pixels.
    """
    if not head.startswith(_SIGNATURE):
        raise ProductError(f"{href}: is {content_kind(head)}, not a JPEG 2000 image: download again.")
    try:
        start, end = _codestream(head)
        soc, siz = struct.unpack_from(">HH", head, start)
        width, height, x0, y0, tile_w, tile_h, tile_x0, tile_y0, components = struct.unpack_from(
            ">8IH", head, start + 8
        )
        bits = (head[start + 42] & 0x7F) + 1
    except (struct.error, IndexError) as error:
        raise ProductError(
            f"{href}: the JPEG 2000 header is cut off: the file is truncated, download again."
        ) from error
    sizes = width > x0 and height > y0 and tile_w > 0 and tile_h > 0 and components > 0
    if (soc, siz) != (_SOC, _SIZ) or not sizes or tile_x0 > x0 or tile_y0 > y0:
        raise ProductError(f"{href}: the JPEG 2000 header is not sound: the file is damaged, download again.")
    if max(width - x0, height - y0) > MAX_SIDE_PX:
        raise OversizeError(
            f"{href}: claims {width - x0} x {height - y0} pixels and is refused: expected at most "
            f"{MAX_SIDE_PX} x {MAX_SIDE_PX} in a Sentinel-2 band."
        )
    tiles = -(-(width - tile_x0) // tile_w) * -(-(height - tile_y0) // tile_h)
    return Header(width=width - x0, height=height - y0, bits=bits, tiles=tiles, codestream=start, end=end)


def _codestream(head: bytes) -> tuple[int, int | None]:
    position = 0
    while True:
        length, kind = struct.unpack_from(">I4s", head, position)
        content = position + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", head, content)
            content += 8
        if kind == b"jp2c":
            return content, position + length if length else None
        if length < 8:
            raise IndexError
        position += length


def check_complete(stream: BinaryIO, href: str) -> Header:
    """Walk over the tile parts of a whole file, without decoding.

    Returns:
        The header.

    Raises:
        ProductError: a tile is missing or the file ends before its codestream does.
    """
    stream.seek(0)
    header = read_header(stream.read(HEADER_BYTES), href)
    size = stream.seek(0, os.SEEK_END)
    try:
        seen = _walk(stream, header, header.end or size)
    except (struct.error, EOFError) as error:
        raise ProductError(
            f"{href}: the file ends before its image does ({size} bytes): it is truncated, download again."
        ) from error
    if len(seen) < header.tiles:
        raise ProductError(f"{href}: {header.tiles - len(seen)} of {header.tiles} tiles are missing: download again.")
    return header


def _walk(stream: BinaryIO, header: Header, end: int) -> set[int]:
    """Indices of the tiles whose parts lie wholly in the file; raises EOFError or struct.error when it is cut off."""
    position = header.codestream + 2
    seen: set[int] = set()
    while True:
        stream.seek(position)
        (marker,) = struct.unpack(">H", stream.read(2))
        if marker == _EOC:
            return seen
        (length,) = struct.unpack(">H", stream.read(2))
        if marker < 0xFF00 or length < 2:
            raise EOFError
        if marker != _SOT:
            position += 2 + length
            continue
        tile, part = struct.unpack(">HI", stream.read(6))
        position = position + part if part else end - 2
        seen.add(tile)


def opened(path: str, stamp: tuple[int, int], info: BandInfo) -> DatasetReader:
    """The open dataset of a JP2, kept for the next window of it in this process and thread.

    Args:
        path: file, or a GDAL path into one.
        stamp: size and time of the file, so that one that was replaced is opened anew.
        info: the band, for messages.

    Raises:
        ProductError: it does not open, or its size is not the one that its header told.
    """
    with decoding(info.href, info.name):
        dataset = _dataset(path, stamp, os.getpid(), threading.get_ident())
    if dataset.shape != tuple(info.geobox.shape):
        raise ProductError(
            f"{info.href}: has {dataset.width} x {dataset.height} pixels where {info.geobox.shape[1]} x "
            f"{info.geobox.shape[0]} were expected: the product changed or contradicts itself."
        )
    return dataset


@lru_cache(maxsize=32)
def _dataset(path: str, stamp: tuple[int, int], pid: int, thread: int) -> DatasetReader:
    with rasterio.Env(**SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, driver="JP2OpenJPEG")


def read_tiles(dataset: DatasetReader, info: BandInfo, window: Window) -> Stored:
    """Read a window tile by tile, so that a damaged tile raises; (dn, valid), both (y, x). Raises ProductError."""
    dn: NDArray[Any] = np.empty(window.shape, info.dtype)
    valid = np.empty(window.shape, bool)
    rows, columns = dataset.block_shapes[0]
    with rasterio.Env(**SETTINGS):
        for y in range(window.y0 // rows * rows, window.y1, rows):
            for x in range(window.x0 // columns * columns, window.x1, columns):
                part = Window(
                    max(y, window.y0), min(y + rows, window.y1), max(x, window.x0), min(x + columns, window.x1)
                )
                inside = Window(
                    part.y0 - window.y0, part.y1 - window.y0, part.x0 - window.x0, part.x1 - window.x0
                ).slices
                dn[inside], valid[inside] = read_window(dataset, 1, info, part)
    return dn, valid
