"""JPEG 2000 files with the code stream layout of ESA's products."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.transform import from_origin

_LAYOUT = {10: (1024, 64, 256), 20: (640, 8, 128), 60: (192, 4, 64), 320: (343, 16, 128)}
"""Tile, code block and precinct edge by resolution in metres, read off the code streams of published products."""
_TCI_TILE = {10: 1024, 20: 512, 60: 256}


@dataclass(frozen=True, kw_only=True)
class Raster:
    """One image to be written: first as raw pixels on disk, then as JPEG 2000."""

    raw: Path
    """File of the raw pixels, band-sequential; its header lies beside it."""
    count: int
    dtype: str
    shape: tuple[int, int]
    resolution_m: int
    corner: tuple[float, float]
    """(x, y) of the upper-left corner, metres."""
    epsg: int

    def create(self) -> None:
        """Make the raw file, all zero."""
        x, y = self.corner
        size = self.resolution_m
        profile: dict[str, Any] = {"count": self.count, "dtype": self.dtype, "crs": f"EPSG:{self.epsg}"}
        profile |= {"height": self.shape[0], "width": self.shape[1], "transform": from_origin(x, y, size, size)}
        with rasterio.Env(GDAL_PAM_ENABLED=False), rasterio.open(self.raw, "w", driver="ENVI", **profile):
            pass
        with self.raw.open("r+b") as file:
            file.truncate(self.count * self.shape[0] * self.shape[1] * np.dtype(self.dtype).itemsize)

    def pixels(self) -> NDArray[np.generic]:
        """The raw pixels (band, y, x) as a map of the file, writable."""
        return np.memmap(self.raw, dtype=self.dtype, mode="r+", shape=(self.count, *self.shape))

    def remove(self) -> None:
        """Delete the raw file and its header."""
        self.raw.unlink()
        self.raw.with_suffix(".hdr").unlink()


def encode(raster: Raster, path: Path, bits: int = 15, quality: float = 100.0) -> None:
    """Write a raster as JPEG 2000, tile by tile, so memory does not grow with its size.

    Args:
        raster: the filled raw file.
        path: file to write.
        bits: bit depth of a 16 bit image; ESA's hold 15.
        quality: 100 is lossless (5/3 wavelet); less is the share in percent of the uncompressed size (9/7 wavelet).
    """
    tile, block, precinct = _LAYOUT[raster.resolution_m]
    if raster.count == 3:
        tile, block, precinct = _TCI_TILE.get(raster.resolution_m, tile), 16, 128
    lossless = quality >= 100
    options: dict[str, Any] = {
        "BLOCKXSIZE": tile,
        "BLOCKYSIZE": tile,
        "RESOLUTIONS": 5,
        "CODEBLOCK_WIDTH": block,
        "CODEBLOCK_HEIGHT": block,
        "PRECINCTS": ",".join([f"{{{precinct},{precinct}}}"] * 5),
        "PROGRESSION": "LRCP",
        "REVERSIBLE": "YES" if lossless else "NO",
        "QUALITY": quality,
        "GMLJP2": "YES",
        "GeoJP2": "NO",
    }
    if raster.dtype == "uint16":
        options["NBITS"] = bits
    if raster.count == 3:
        options["YCC"] = "YES"
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.Env(GDAL_PAM_ENABLED=False, GDAL_NUM_THREADS=1):
        rasterio.shutil.copy(raster.raw, path, driver="JP2OpenJPEG", **options)
