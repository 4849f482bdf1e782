"""What truly changed between the demo products, as a raster to evaluate their map with."""

from __future__ import annotations

import os
from pathlib import Path

import rasterio
from rasterio.transform import from_origin

from groundshift.io.atomic import atomic
from groundshift.testing.demo import CORNER, SHAPE, demo_pair
from groundshift.testing.scenes import whole
from groundshift.testing.spectra import TRUTH_NO_DATA

CRS = "EPSG:32756"


def write_demo_truth(path: str | os.PathLike[str]) -> Path:
    """Write the truth of the demo pair at 10 m: 0 no change, else the code of the planted change; kept if it is there.

    Raises:
        OutputError: it cannot be written.
    """
    target = Path(path)
    if target.exists():
        return target
    truth = demo_pair().truth(whole(SHAPE))
    place = {"height": SHAPE[0], "width": SHAPE[1], "crs": CRS, "transform": from_origin(*CORNER, 10, 10)}
    layout = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": TRUTH_NO_DATA, "compress": "deflate"}
    with atomic(target) as temporary, rasterio.open(temporary, "w", **place, **layout) as file:
        file.write(truth, 1)
    return target
