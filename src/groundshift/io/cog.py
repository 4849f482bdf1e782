"""Planes to files for people: Cloud Optimized GeoTIFF by default, any raster format of GDAL that can hold the data."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
import rasterio.shutil
import rasterio.windows
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.drivers import raster_driver_extensions
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from groundshift.errors import OutputError, ProductError, UsageError
from groundshift.io.atomic import atomic, disk_full, free_bytes
from groundshift.io.drivers import check_structure
from groundshift.io.planes import Planes
from groundshift.io.styles import add_classes
from groundshift.model.grid import Window, blocks
from groundshift.model.legend import LegendEntry

CACHE_MB = 64
"""Block cache while a file is written: a row of tiles of a full Sentinel-2 tile in two float32 bands takes 45 MB."""
_TILE_BYTES = 2**23
"""Of a tile of a COG with all its bands, where a smaller side can do that: GDAL holds a dozen of them at a time."""
_TILES = (512, 256, 128)
"""Sides of a tile of a COG."""
_FULL = 2**20
"""A disk with fewer free bytes than this, or than are needed, in the moment that a write fails, is full."""
_OPTIONS: dict[str, dict[str, str]] = {
    "COG": {"compress": "DEFLATE", "level": "1", "predictor": "YES", "bigtiff": "IF_SAFER"},
    "GTiff": {"compress": "DEFLATE", "zlevel": "1", "tiled": "YES", "bigtiff": "IF_SAFER"},
    "JP2OpenJPEG": {"quality": "100", "reversible": "YES"},
}
# Level 1: on noise-like float32, level 6 takes three times as long and saves 2 %.


@dataclass(frozen=True)
class BandTag:
    """What a band of a file says of itself."""

    name: str
    """``amplitude``."""
    unit: str = ""
    """``degrees``; empty: none."""
    description: str = ""
    """One sentence."""
    scale: float = 1.0
    """Value of a stored 1."""


def extension(driver: str) -> str:
    """File name ending of a GDAL driver, with its dot."""
    known: dict[str, str] = {name.lower(): end for end, name in reversed(raster_driver_extensions().items())}
    endings = known | {"cog": "tif", "gtiff": "tif", "envi": "dat"}
    return "." + endings.get(driver.lower(), driver.lower())


def check_driver(driver: str, dtype: str, bands: int) -> str:
    """Make sure, before any work, that a GDAL driver can hold such data without loss; return its exact name.

    A tiny raster is written and read back, so the answer is GDAL's own.

    Args:
        driver: ``COG``, ``gtiff``, ``PNG``, ``HFA`` ...: capitals do not matter.
        dtype: numpy name of the type.
        bands: their number.

    Raises:
        UsageError: there is no such driver, or it cannot write these data.
    """
    with rasterio.Env() as env:
        names: dict[str, str] = {name.lower(): name for name in env.drivers() if name != "VRT"}
    name = names.get(driver.strip().lower())
    if name is None:
        raise UsageError(f"unknown format {driver!r}: expected a GDAL driver such as COG, GTiff, HFA, ENVI or PNG.")
    with tempfile.TemporaryDirectory(prefix="groundshift-") as folder:
        reason = _trial(Path(folder), name, dtype, bands)
    if reason:
        raise UsageError(
            f"format {name} cannot hold {bands} band(s) of {dtype} without loss ({reason}): use COG, GTiff or HFA."
        )
    return name


def export(
    planes: Planes,
    geobox: GeoBox,
    path: str | os.PathLike[str],
    *,
    bands: Sequence[BandTag],
    driver: str = "COG",
    nodata: float | None = None,
    legend: Sequence[LegendEntry] | None = None,
    tags: Mapping[str, str] | None = None,
    overview: Literal["nearest", "average"] = "nearest",
    workers: int = 2,
    force: bool = True,
    named: Path | None = None,
) -> None:
    """Write planes as a georeferenced file, whole or not at all, in memory that does not depend on its size.

    Args:
        planes: the pixels; their header is rewritten.
        geobox: their grid; ``crs`` None: without georeference.
        path: final name.
        bands: one a band.
        driver: GDAL driver, as :func:`check_driver` returns it.
        nodata: value that means no data (NaN allowed).
        legend: classes: colour table, class names and an attribute table (side file ``.aux.xml``).
        tags: written into the file.
        overview: ``nearest`` for classes, ``average`` for quantities (COG only).
        workers: compression threads.
        force: False refuses to replace a file.
        named: what messages call the file, when it is to be moved later; None: ``path``.

    Raises:
        OutputError: it cannot be written; what was there before is still there.
    """
    if tuple(geobox.shape) != planes.shape[1:] or len(bands) != planes.shape[0]:
        raise ValueError(f"planes of shape {planes.shape} do not fit grid {geobox.shape} and {len(bands)} band tags")
    target = named or Path(path)
    with atomic(path, force=force, needed=planes.nbytes, named=named) as temporary:
        with _gdal(target, planes.nbytes), _described(planes, geobox, bands, nodata, legend, tags) as source:
            options = _options(driver, planes, overview, workers)
            rasterio.shutil.copy(source, temporary, driver=driver, strict=driver != "JP2OpenJPEG", **options)
        _check(temporary, target, driver, planes.nbytes)
        _compare(planes, temporary, target, driver)
        if legend is not None:
            add_classes(temporary.with_name(temporary.name + ".aux.xml"), legend)


@contextmanager
def _gdal(target: Path, needed: int) -> Iterator[None]:
    """GDAL set up for writing; what it raises (two families of exceptions) becomes an OutputError."""
    # Overviews are kept in a scratch file before they reach a COG; left to itself GDAL compresses that file slowly.
    settings = {"GDAL_SKIP": "VRT", "GDAL_CACHEMAX": CACHE_MB * 2**20, "COG_TMP_COMPRESSION": "NONE"}
    try:
        with rasterio.Env(**settings), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            yield
    except (RasterioError, CPLE_BaseError) as error:
        raise _gdal_error(error, target, needed) from error


def _gdal_error(error: BaseException, target: Path, needed: int) -> OutputError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    # GDAL does not say why a write failed, and may have removed its scratch files by now.
    if "no space" in reason.lower() or free_bytes(target.parent) < max(_FULL, needed):
        return disk_full(target, needed)
    return OutputError(f"cannot write {target}: {reason.rstrip('.')}.")


@contextmanager
def _described(
    planes: Planes,
    geobox: GeoBox,
    bands: Sequence[BandTag],
    nodata: float | None,
    legend: Sequence[LegendEntry] | None,
    tags: Mapping[str, str] | None,
) -> Iterator[rasterio.io.DatasetWriter]:
    """The planes as a GDAL dataset that knows its georeference, bands, colours and tags."""
    planes.path.with_suffix(planes.path.suffix + ".aux.xml").unlink(missing_ok=True)
    planes.write_header()
    with rasterio.open(planes.path, "r+", driver="ENVI") as source:
        if geobox.crs is not None:
            source.crs = geobox.crs.to_wkt()
        if geobox.affine != Affine.identity():
            source.transform = geobox.affine
        if nodata is not None:
            source.nodata = nodata
        if any(band.scale != 1 for band in bands):
            source.scales = tuple(band.scale for band in bands)
        for index, band in enumerate(bands, 1):
            source.set_band_description(index, band.name)
            source.set_band_unit(index, band.unit)
            if band.description:
                source.update_tags(index, description=band.description)
        if legend is not None:
            source.write_colormap(1, {entry.code: entry.color for entry in legend})
        source.update_tags(**(tags or {}))
        yield source


def _options(driver: str, planes: Planes, overview: str, workers: int) -> dict[str, str]:
    dtype, bands = planes.dtype, planes.shape[0]
    options = dict(_OPTIONS.get(driver, {}))
    if driver in ("COG", "GTiff"):
        options["num_threads"] = str(max(1, workers))
    if driver == "COG":
        options["overview_resampling"] = overview.upper()
        side = next((n for n in _TILES if n**2 * bands * np.dtype(dtype).itemsize <= _TILE_BYTES), _TILES[-1])
        options["blocksize"] = str(side)
        if np.dtype(dtype).kind == "f":
            # In half the time of Deflate; classes stay with it, so that any program opens the map.
            options["compress"] = "ZSTD"
    if driver == "GTiff":
        options["predictor"] = "3" if np.dtype(dtype).kind == "f" else "2"
    return options


def _check(temporary: Path, target: Path, driver: str, needed: int) -> None:
    """GDAL may lose the error of its last write: see that every block is there."""
    if not temporary.exists():
        raise OutputError(f"cannot write {target}: the driver {driver} wrote nothing.")
    if driver in ("COG", "GTiff"):
        try:
            check_structure(str(temporary))
        except ProductError as error:
            raise _gdal_error(error, target, needed) from error


def _compare(planes: Planes, temporary: Path, target: Path, driver: str) -> None:
    """Of formats whose structure is not known here, read back every pixel: a full disk may have gone unnoticed."""
    if driver in ("COG", "GTiff"):
        return
    _, rows, columns = planes.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(temporary) as written:
                for window in blocks((rows, columns), 256):
                    box = rasterio.windows.Window(0, window.y0, columns, window.shape[0])
                    if written.read(window=box).tobytes() != planes.read(window).tobytes():
                        raise disk_full(target, planes.nbytes)
        except (RasterioError, CPLE_BaseError) as error:
            raise _gdal_error(error, target, planes.nbytes) from error


def _trial(folder: Path, driver: str, dtype: str, bands: int) -> str | None:
    """Write 64 x 64 pixels and read them back; return what went wrong."""
    window = Window(0, 64, 0, 64)
    values = np.random.default_rng(0).integers(0, 256, (bands, 64, 64)).astype(dtype)
    planes = Planes.create(folder / "source.bin", (bands, 64, 64), dtype)
    planes.write(window, values)
    target = folder / f"trial{extension(driver)}"
    grid = GeoBox((64, 64), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32633")
    try:
        export(planes, grid, target, driver=driver, bands=[BandTag("trial")] * bands, workers=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(target) as written:
                same = written.count == bands and np.array_equal(written.read(), values)
    except (OutputError, RasterioError, CPLE_BaseError) as error:
        return str(error.__cause__ or error).splitlines()[0].rstrip(".")
    return None if same else "what is read back differs from what was written"
