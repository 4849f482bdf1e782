"""8-bit rendering beside a product's own true colour image (TCI) on a real tile: what is clipped, what texture is left.

The R60m bands of the Level-2A product T29UNU 2022-10-05 of ../shared/data/safe (60 % cloud, sea, fields) against its
TCI_60m. Clipped: share of the values of valid pixels at the darkest or at the brightest code. Local contrast: mean
standard deviation of codes over 3 x 3 pixels, of the tenth of the pixels with the lowest and the highest reflectance.
Target: less clipped, and more contrast at both ends. Pictures go to benchmarks/results/.

    python benchmarks/eight_bit.py
"""

from __future__ import annotations

import sys

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy import ndimage

from _pairs import DATA, need
from _tables import results, table
from groundshift.composite import display

PRODUCT = "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"
RGB = ("B04", "B03", "B02")
Codes = NDArray[np.uint8]


def tile() -> tuple[NDArray[np.float32], NDArray[np.bool_], Codes]:
    """Reflectance (band, y, x) at 60 m, valid (y, x), and the TCI (band, y, x)."""
    folder = DATA / "safe" / PRODUCT
    images = [next(folder.glob(f"GRANULE/*/IMG_DATA/R60m/*_{name}_60m.jp2")) for name in (*RGB, "TCI")]
    with rasterio.Env(GDAL_NUM_THREADS="1"):
        numbers = np.concatenate([_read(path) for path in images[:3]])
        true_colour = _read(images[3]).astype(np.uint8)
    valid = (numbers > 0).all(axis=0)
    return (numbers.astype(np.float32) - 1000) * np.float32(1e-4), valid, true_colour


def _read(path: object) -> NDArray[np.uint16]:
    with rasterio.open(path) as source:
        return source.read()


def row(name: str, codes: Codes, reflectance: NDArray[np.float32], valid: NDArray[np.bool_]) -> list[object]:
    """Name, clipped dark and bright in %, contrast in the darkest and the brightest tenth, in codes."""
    inner = ndimage.binary_erosion(valid, np.ones((3, 3), bool))
    brightness = reflectance.mean(axis=0)
    low, high = np.quantile(brightness[inner], (0.1, 0.9))
    image = codes.astype(np.float64)
    mean = ndimage.uniform_filter(image, (0, 3, 3))
    local = np.sqrt(np.maximum(ndimage.uniform_filter(image**2, (0, 3, 3)) - mean**2, 0)).mean(axis=0)
    values = codes[:, valid]
    ends = [100 * float((values <= 1).mean()), 100 * float((values == 255).mean())]
    return [name, *ends, *(float(local[inner & part].mean()) for part in (brightness <= low, brightness >= high))]


def draw(codes: Codes, name: str) -> None:
    """Write a PNG."""
    from PIL import Image

    Image.fromarray(np.moveaxis(codes, 0, -1)[::2, ::2]).save(results() / f"eight_bit_{name}.png")


def main() -> int:
    """Compare; 1 where the TCI is better in any figure."""
    need(f"safe/{PRODUCT}")
    reflectance, valid, true_colour = tile()
    parts = np.array_split(np.arange(valid.shape[0]), 8)
    histogram = display.merge([display.summarise(reflectance[:, part], valid[part]) for part in parts])
    ours = display.apply(display.fit(histogram), reflectance, valid)
    rows = [row("ours", ours, reflectance, valid), row("TCI", true_colour, reflectance, valid)]
    head = ["", "clipped dark %", "clipped bright %", "contrast, darkest tenth", "contrast, brightest tenth"]
    table("8 bit, T29UNU 2022-10-05 at 60 m", head, rows)
    for codes, name in ((ours, "ours"), (true_colour, "tci")):
        draw(codes, name)
    (_, *mine), (_, *theirs) = rows
    met = mine[0] <= theirs[0] and mine[1] <= theirs[1] and mine[2] >= theirs[2] and mine[3] >= theirs[3]
    print("met" if met else "MISSED: the TCI keeps more at one of the ends")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
