"""Errors of the raster library, told as ours: which file, which band, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from groundshift.errors import ProductError


@contextmanager
def decoding(href: str, band: str) -> Iterator[None]:
    """Run reads of one band of one file; whatever the raster library raises becomes a ProductError.

    Args:
        href: the file, as a message should name it.
        band: canonical band name.

    Raises:
        ProductError: the file does not open or decode; names file and band.
    """
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ProductError(
            f"{href}: band {band} does not decode ({reason.rstrip('.')}): the file is damaged, download it again."
        ) from error
