"""Which raster files are opened at all, and what is checked of them before a pixel is believed.

A file is opened by the one driver that its first bytes call for (:data:`SIGNATURES`): never VRT, which names other
files to read. Sizes are looked at before
anything is allocated. A file that was cut short or never finished is refused here, because the libraries below read
some of those as zeros, or as grey, without a word.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import rasterio
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from groundshift.errors import MissingInputError, ProductError
from groundshift.io import jp2

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),
    (b"MM\0+", "GTiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"EHFA_HEADER_TAG", "HFA"),
)
"""First bytes of a file, and the GDAL driver that alone is let at it (a COG is a GTiff). ENVI has none: see below."""
SUFFIXES = frozenset({".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg", ".img", ".dat"})
"""File name endings of those formats."""
MAX_PIXELS = 2**34
"""Pixels of one band, at most: four times a whole continent at 60 m, or 131 000 x 131 000."""
MAX_BLOCK_BYTES = 2**31
"""Bytes of one block that must be decoded at once, at most."""
MAX_BANDS = 1024

_TAIL = 1024


@contextmanager
def opened(path: str) -> Iterator[DatasetReader]:
    """Open a raster file of an allowed format, with its sizes checked.

    Raises:
        MissingInputError: there is no such file.
        ProductError: it is empty, no raster, of another format, or claims sizes that cannot be.
    """
    driver = driver_of(path)
    with rasterio.Env(GDAL_NUM_THREADS="1"), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            dataset = rasterio.open(path, driver=driver)
        except (RasterioError, CPLE_BaseError) as error:
            raise ProductError(
                f"{path}: does not open as {driver}: {_reason(error)}: download or write it again."
            ) from error
        with dataset:
            _cap(path, dataset)
            yield dataset


def geobox_of(dataset: DatasetReader) -> GeoBox:
    """Pixel grid of an open raster; ``crs`` is None without georeference. Raises ProductError on pixels of no size."""
    area = dataset.transform.determinant
    if not (math.isfinite(area) and area != 0):
        raise ProductError(f"{dataset.name}: its georeference gives the pixels no size: it is damaged.")
    return GeoBox(dataset.shape, dataset.transform, dataset.crs)


def check_structure(path: str) -> None:
    """Check that the file holds all the pixels that its header promises.

    Raises:
        MissingInputError, ProductError: as :func:`opened`; or the file is truncated or was never finished.
    """
    with opened(path) as dataset:
        driver = dataset.driver
        if driver == "GTiff":
            _check_blocks(path, dataset)
        elif driver == "ENVI":
            _check_length(path, sum(_band_bytes(dataset)))
    if driver == "JP2OpenJPEG":
        _check_codestream(path)
    elif driver in _ENDS:
        _check_end(path, driver)


# --- before opening ------------------------------------------------------------------------------------------------


def driver_of(path: str) -> str:
    """Return the one driver that may open a file, from its first bytes.

    Raises:
        MissingInputError: there is no such file.
        ProductError: it is empty, is no raster that is read, or claims sizes that cannot be.
    """
    head = _head(path)
    driver = next((name for start, name in SIGNATURES if head.startswith(start)), None)
    if driver is None and any(header.is_file() for header in _envi_headers(path)):
        driver = "ENVI"
    if driver is None:
        raise ProductError(f"{path}: {_what_it_is(head)}: expected GeoTIFF, JPEG 2000, PNG, JPEG, ERDAS or ENVI.")
    if driver == "JP2OpenJPEG":
        # the decoder allocates by the header as soon as it opens the file
        jp2.read_header(_boxed(head), path)
    return driver


def _boxed(data: bytes) -> bytes:
    """A JPEG 2000 file as it is, or a bare code stream put into the boxes of one."""
    return data if data.startswith(b"\0\0\0\x0c") else b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\0jp2c" + data


def _head(path: str) -> bytes:
    try:
        with Path(path).open("rb") as stream:
            return stream.read(jp2.HEADER_BYTES)
    except FileNotFoundError as error:
        raise MissingInputError(f"{path}: there is no such file.") from error
    except OSError as error:
        raise ProductError(f"{path}: cannot be read: {error.strerror}.") from error


def _envi_headers(path: str) -> tuple[Path, Path]:
    return Path(path).with_suffix(".hdr"), Path(f"{path}.hdr")


def _what_it_is(head: bytes) -> str:
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "is empty (0 bytes), write or download it again"
    if start.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page, not a raster (an error page saved as data?), download it again"
    if start.startswith(b"<vrtdataset"):
        return "is a VRT, which is never read because it can name any file, convert it"
    return f"is no raster that is read, it starts with {head[:16].decode('latin-1')!r}"


def _cap(path: str, dataset: DatasetReader) -> None:
    rows, columns = dataset.shape
    if rows * columns > MAX_PIXELS or not 1 <= dataset.count <= MAX_BANDS:
        raise ProductError(
            f"{path}: claims {dataset.count} bands of {columns} x {rows} pixels, more than is read "
            f"({MAX_BANDS} bands of {MAX_PIXELS} pixels): the header is damaged."
        )
    block_rows, block_columns = dataset.block_shapes[0]
    if block_rows * block_columns * 8 > MAX_BLOCK_BYTES:
        raise ProductError(
            f"{path}: is stored in blocks of {block_columns} x {block_rows} pixels, too large to decode: "
            "write it again with tiles of 512 x 512."
        )


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


# --- after opening -------------------------------------------------------------------------------------------------


def _check_blocks(path: str, dataset: DatasetReader) -> None:
    """Every tile of a TIFF must lie within the file, and must have been written."""
    size = Path(path).stat().st_size
    bands = [1] if _interleaved_by_pixel(dataset) else list(dataset.indexes)
    missing = blocks = 0
    for band in bands:
        rows, columns = dataset.block_shapes[band - 1]
        across, down = -(-dataset.width // columns), -(-dataset.height // rows)
        for y in range(down):
            for x in range(across):
                end = _end_of_block(dataset, band, x, y)
                blocks += 1
                missing += end is None
                if end is not None and end > size:
                    raise ProductError(
                        f"{path}: is truncated: block ({x}, {y}) of band {band} ends at byte {end}, the file at "
                        f"{size}: copy or download it again."
                    )
    if missing and (missing == blocks or dataset.nodata is None):
        raise ProductError(
            f"{path}: {missing} of its {blocks} blocks were never written, probably because the program that wrote it "
            "was stopped: write it again (a sparse file needs a nodata value)."
        )


def _interleaved_by_pixel(dataset: DatasetReader) -> bool:
    return bool(dataset.interleaving is not None and dataset.interleaving.value.upper() == "PIXEL")


def _end_of_block(dataset: DatasetReader, band: int, x: int, y: int) -> int | None:
    """First byte after a block; None when it was never written."""
    offset = dataset.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=band)
    length = dataset.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=band)
    return None if offset is None or length is None else int(offset) + int(length)


def _band_bytes(dataset: DatasetReader) -> Iterator[int]:
    import numpy as np

    for dtype in dataset.dtypes:
        yield dataset.width * dataset.height * np.dtype(dtype).itemsize


def _check_length(path: str, expected: int) -> None:
    size = Path(path).stat().st_size
    if size < expected:
        raise ProductError(f"{path}: is truncated: {expected} bytes expected, {size} found: copy it again.")


def _check_codestream(path: str) -> None:
    with Path(path).open("rb") as stream:
        bare = stream.read(2) == b"\xff\x4f"
        stream.seek(0)
        jp2.check_complete(io.BytesIO(_boxed(stream.read())) if bare else stream, path)


_ENDS = {"PNG": b"IEND\xae\x42\x60\x82", "JPEG": b"\xff\xd9"}
"""Last marker of an image; little may follow it."""


def _check_end(path: str, driver: str) -> None:
    with Path(path).open("rb") as stream:
        stream.seek(max(0, Path(path).stat().st_size - _TAIL))
        if _ENDS[driver] not in stream.read():
            raise ProductError(f"{path}: is truncated: its last marker is missing: copy or download it again.")
