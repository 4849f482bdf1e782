"""Open whatever the user named: what it is, is decided by what lies there."""

from __future__ import annotations

import difflib
from datetime import date
from pathlib import Path

from groundshift.errors import MissingInputError, ProductError, UsageError
from groundshift.io.fileset import MaskedReader
from groundshift.io.rasters import mask_file, names_bands, open_raster, split_date
from groundshift.io.stac import is_item, item_of, items_in, local_path, open_stac
from groundshift.model.scene import OpenOptions, Reader

_ACCEPTED = (
    "a SAFE folder or zip, a STAC item or the folder it lies in, a GeoTIFF or other raster, a folder of band files, or "
    "FOLDER@2018-12-01 for one of its dates"
)


def open_scene(text: str | Path, options: OpenOptions | None = None) -> Reader:
    """Open a scene.

    Args:
        text: SAFE folder, zip or metadata file; STAC item (path or ``file://`` URL); raster; folder of STAC items
            or of rasters; ``FOLDER@DATE``.
        options: how to read what does not say it all.

    Raises:
        MissingInputError: there is nothing under that name; the nearest name is told.
        ProductError: it is nothing that is read, or is broken.
        UsageError: it is a folder with several dates, or the date is none.
    """
    options = options or OpenOptions()
    written = str(text)
    if not written.strip():
        raise MissingInputError(f"no input was named: expected {_ACCEPTED}.")
    path = local_path(written, Path()) if "://" in written else Path(written)
    if path is None:
        raise MissingInputError(f"{written}: only local files are read: download it first.")
    if path.is_dir():
        return _open_folder(path, None, options)
    folder, chosen = split_date(str(path))
    if chosen is not None:
        return _open_folder(Path(folder), chosen, options)
    if not path.exists():
        raise MissingInputError(_not_there(path))
    return _open_file(path, options)


def _open_folder(folder: Path, chosen: date | None, options: OpenOptions) -> Reader:
    from groundshift.io.safe import is_safe

    if is_safe(folder) or folder.suffix.upper() == ".SAFE":
        if chosen is not None:
            raise UsageError(f"{folder}@{chosen}: is one product, of one date: leave out @{chosen}.")
        return _open_safe(folder, options)
    products = sorted(entry.name for entry in folder.iterdir() if entry.suffix.upper() in (".SAFE", ".ZIP"))
    if products:
        raise ProductError(f"{folder}: holds {len(products)} products: name one of them, as {folder / products[0]}.")
    if not any(entry.is_file() for entry in folder.iterdir()):
        raise ProductError(f"{folder}: holds no file to read: expected {_ACCEPTED}.")
    if any(folder.glob("S2-CD.*")):
        raise ProductError(
            f"{folder}: holds the results of a comparison: name the images themselves, BEFORE and AFTER."
        )
    bands = names_bands(folder)
    items = [item for item in items_in(folder) if item.local or not bands]
    if items:
        return _open_stac(item_of(items, chosen, folder), options)
    if not bands and len(others := sorted(folder.glob("*.json"))) == 1:
        return _open_stac(others[0], options)
    return open_raster(folder if chosen is None else f"{folder}@{chosen}", options)


def _open_file(path: Path, options: OpenOptions) -> Reader:
    from groundshift.io.safe import is_safe

    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise ProductError(f"{path}: cannot be read: {error.strerror}.") from error
    if is_safe(path) or head.startswith(b"PK\x03\x04"):
        return _open_safe(path, options)
    return _open_stac(path, options) if is_item(head) else open_raster(path, options)


def _open_safe(path: Path, options: OpenOptions) -> Reader:
    from groundshift.io.safe import open_safe

    return _masked(open_safe(path, options), options)


def _open_stac(path: Path, options: OpenOptions) -> Reader:
    return _masked(open_stac(path, options), options)


def _masked(reader: Reader, options: OpenOptions) -> Reader:
    """The reader under the mask that was asked for; rasters lay theirs on themselves."""
    if options.mask is None:
        return reader
    return MaskedReader(reader, mask_file(options.mask, next(iter(reader.scene.bands.values()))))


def _not_there(path: Path) -> str:
    folder = path
    while not folder.is_dir() and folder != folder.parent:
        folder, wrong = folder.parent, folder.name
    near = difflib.get_close_matches(wrong, [entry.name for entry in folder.iterdir()], n=1)
    hint = f"did you mean {folder / near[0]}?" if near else f"there is no {wrong!r} in {folder.resolve()}."
    return f"{path}: there is no such file or folder: {hint}"
