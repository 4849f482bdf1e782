"""Pictures of finished rasters: every band of a stack, and a map of classes with its legend."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from groundshift.errors import OutputError, UsageError
from groundshift.io.atomic import atomic
from groundshift.io.classmap import read_legend
from groundshift.io.stackfile import StackFile
from groundshift.model.grid import pixel_size_m
from groundshift.model.legend import NO_DATA
from groundshift.report import bands as grid
from groundshift.report import pictures
from groundshift.report.bands import BandCard

_WITHOUT = (225, 228, 231)


def bands(stack: str, out: str) -> Path:
    """Draw every band of a raster as a titled grid.

    Raises:
        MissingInputError, ProductError: the file is missing, damaged, or no raster.
        OutputError: the picture cannot be written.
    """
    target = _target(stack, out)
    file = StackFile.open(stack)
    looks = file.from_afar(grid.CELL_PX)
    cards = [
        BandCard(name=name, values=values, unit=unit)
        for name, values, unit in zip(file.names, looks, file.units, strict=True)
    ]
    return _write(target, grid.sheet(cards))


def _target(source: str, out: str) -> Path:
    target = Path(out)
    if target.suffix.lower() != ".png":
        raise UsageError(f"--out is {out!r}: expected a name that ends in .png.")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {target}: there is no folder {target.parent}.")
    if target.exists() and Path(source).exists() and target.samefile(source):
        raise UsageError("--out is the raster itself: choose another name.")
    return target


def _write(target: Path, picture: pictures.Picture) -> Path:
    with atomic(target) as temporary:
        temporary.write_bytes(pictures.png(picture))
    return target


def map_of_classes(source: str, out: str, title: str | None = None) -> Path:
    """Draw a map of classes with its legend, as the file itself names and colours them, and a scale bar.

    Raises:
        MissingInputError, ProductError: the file is missing, damaged, or no raster.
        InputError: it holds no classes.
        OutputError: the picture cannot be written.
    """
    target = _target(source, out)
    file = StackFile.open(source)
    legend = read_legend(source)
    looks = file.from_afar(pictures.LONGEST_PX)
    codes = np.where(np.isfinite(looks[0]), looks[0], NO_DATA).astype(np.int64)
    seen = set(np.unique(codes).tolist())
    shown = [entry for entry in legend if entry.code in seen and entry.color[3] > 0]
    picture = np.full((*codes.shape, 3), _WITHOUT, np.uint8)
    for entry in shown:
        picture[codes == entry.code] = entry.color[:3]
    entries = [(entry.color[:3], entry.name) for entry in shown]
    if len(seen) > len(shown):
        entries.append((_WITHOUT, "no data"))
    size = pixel_size_m(file.geobox)
    thinned = None if size is None else size * max(file.geobox.shape) / max(codes.shape)
    where = file.geobox.crs
    subtitle = "" if where is None or size is None else f"pixels of {size:.4g} m, EPSG:{where.epsg or '-'}"
    return _write(target, pictures.slide(picture, entries, title or Path(source).stem, subtitle, thinned))
