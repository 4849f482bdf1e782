"""Open whatever the user named: what it is, is decided by what lies there."""

from __future__ import annotations

import difflib
from pathlib import Path

from groundshift.errors import MissingInputError, ProductError
from groundshift.io.rasters import open_raster, split_date
from groundshift.io.stac import is_item, local_path, open_stac
from groundshift.model.scene import OpenOptions, Reader

_ACCEPTED = (
    "a SAFE folder or zip, a STAC item, a GeoTIFF or other raster, a folder of band files, or FOLDER@2018-12-01 for "
    "one of its dates"
)


def open_scene(text: str | Path, options: OpenOptions | None = None) -> Reader:
    """Open a scene.

    Args:
        text: SAFE folder, zip or metadata file; STAC item (path or ``file://`` URL); raster; folder of rasters;
            ``FOLDER@DATE``.
        options: how to read what does not say it all.

    Raises:
        MissingInputError: there is nothing under that name; the nearest name is told.
        ProductError: it is nothing that is read, or is broken.
    """
    options = options or OpenOptions()
    written = str(text)
    if not written.strip():
        raise MissingInputError(f"no input was named: expected {_ACCEPTED}.")
    path = local_path(written, Path()) if "://" in written else Path(written)
    if path is None:
        raise MissingInputError(f"{written}: only local files are read: download it first.")
    if path.is_dir():
        return _open_folder(path, options)
    if split_date(str(path))[1] is not None:
        return open_raster(path, options)
    if not path.exists():
        raise MissingInputError(_not_there(path))
    return _open_file(path, options)


def _open_folder(folder: Path, options: OpenOptions) -> Reader:
    from groundshift.io.safe import is_safe

    if is_safe(folder) or folder.suffix.upper() == ".SAFE":
        return _open_safe(folder, options)
    products = sorted(entry.name for entry in folder.iterdir() if entry.suffix.upper() in (".SAFE", ".ZIP"))
    if products:
        raise ProductError(f"{folder}: holds {len(products)} products: name one of them, as {folder / products[0]}.")
    if not any(entry.is_file() for entry in folder.iterdir()):
        raise ProductError(f"{folder}: holds no file to read: expected {_ACCEPTED}.")
    return open_raster(folder, options)


def _open_file(path: Path, options: OpenOptions) -> Reader:
    from groundshift.io.safe import is_safe

    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise ProductError(f"{path}: cannot be read: {error.strerror}.") from error
    if is_safe(path) or head.startswith(b"PK\x03\x04"):
        return _open_safe(path, options)
    return open_stac(path, options) if is_item(head) else open_raster(path, options)


def _open_safe(path: Path, options: OpenOptions) -> Reader:
    from groundshift.io.safe import open_safe

    return open_safe(path, options)


def _not_there(path: Path) -> str:
    folder = path
    while not folder.is_dir() and folder != folder.parent:
        folder, wrong = folder.parent, folder.name
    near = difflib.get_close_matches(wrong, [entry.name for entry in folder.iterdir()], n=1)
    hint = f"did you mean {folder / near[0]}?" if near else f"there is no {wrong!r} in {folder.resolve()}."
    return f"{path}: there is no such file or folder: {hint}"
