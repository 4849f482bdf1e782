"""The first layer of a vector file as it is: coordinate system, geometries and columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, ProductError

Layer = tuple[str | None, NDArray[np.object_], dict[str, NDArray[np.generic]]]
"""CRS (None: the file names none), geometries of shapely (None: a feature without one), and columns by name."""


def names_files(path: str) -> bool:
    """True for a VRT, which is never read because it can name any file."""
    with Path(path).open("rb") as stream:
        return b"<OGRVRT" in stream.read(4096)


def read_layer(path: str, what: str, columns: list[str] | None = None) -> Layer:
    """Read the first layer of a vector file, in two dimensions.

    Args:
        path: a file that exists.
        what: is expected in it, for messages: ``points``, ``polygons``.
        columns: to read; None: all.

    Raises:
        ProductError: it cannot be read, or is a VRT.
        InputError: it is a table without geometries.
    """
    import pyogrio
    import shapely

    if names_files(path):
        raise ProductError(f"{path}: is a VRT, which is never read because it can name any file, convert it.")
    errors = (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, UnicodeDecodeError, ValueError)
    try:
        meta, _, packed, values = pyogrio.raw.read(path, columns=columns, force_2d=True)
    except errors as error:
        raise ProductError(f"{path}: no {what} can be read from it ({str(error).splitlines()[0]}).") from error
    if packed is None:
        raise InputError(f"{path}: is a table without geometries: expected {what}.")
    named = {str(name): np.asarray(each) for name, each in zip(meta["fields"], values, strict=True)}
    return meta["crs"], shapely.from_wkb(packed), named
