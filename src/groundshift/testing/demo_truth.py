"""What truly changed between the demo products, and what the land was before, as rasters to judge maps with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from groundshift.io.atomic import atomic
from groundshift.io.styles import add_classes
from groundshift.model.legend import Legend, legend_of
from groundshift.testing.demo import CORNER, SEED, SHAPE, demo_pair
from groundshift.testing.landscape import ground
from groundshift.testing.scenes import river_row, whole
from groundshift.testing.spectra import TRUTH_NO_DATA, Cover

CRS = "EPSG:32756"
LAND = {
    "water": (Cover.WATER,),
    "forest": (Cover.FOREST, Cover.RIPARIAN),
    "grass": (Cover.GRASS, Cover.GARDEN),
    "crops": (Cover.CEREAL, Cover.MAIZE),
    "bare": (Cover.STUBBLE, Cover.BARE),
    "built": (Cover.ROOF, Cover.BUILT, Cover.ASPHALT),
}
"""Classes of the land-cover map, with codes from 1, and what of the landscape is in each."""


def write_demo_truth(path: str | os.PathLike[str]) -> Path:
    """Write the truth of the demo pair at 10 m: 0 no change, else the code of the planted change; kept if it is there.

    Raises:
        OutputError: it cannot be written.
    """
    target = Path(path)
    if target.exists():
        return target
    with atomic(target) as temporary:
        _write(temporary, demo_pair().truth(whole(SHAPE)))
    return target


def write_demo_landcover(path: str | os.PathLike[str], seed: int = SEED, shape: tuple[int, int] = SHAPE) -> Path:
    """Write what the land was before flood and clear-cut: a map of the classes of :data:`LAND`; kept if it is there.

    Raises:
        OutputError: it cannot be written.
    """
    target = Path(path)
    if target.exists():
        return target
    codes, legend = np.zeros(len(Cover), np.uint8), legend_of(list(LAND))
    for code, covers in enumerate(LAND.values(), 1):
        codes[list(covers)] = code
    with atomic(target) as temporary:
        _write(temporary, codes[ground(seed, 0, 0, shape, river_row(shape)).cover], legend)
    add_classes(target.with_name(f"{target.name}.aux.xml"), legend)
    return target


def _write(path: Path, codes: NDArray[np.uint8], legend: Legend = ()) -> None:
    rows, columns = codes.shape
    place = {"height": rows, "width": columns, "crs": CRS, "transform": from_origin(*CORNER, 10, 10)}
    layout = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": TRUTH_NO_DATA, "compress": "deflate"}
    with rasterio.open(path, "w", **place, **layout) as file:
        file.write(codes, 1)
        if legend:
            file.write_colormap(1, {entry.code: entry.color for entry in legend})
