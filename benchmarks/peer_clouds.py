"""Cloud masks of others on the images of cloud_masks.py, run by a Python that has them.

Called by `cloud_masks.py --peers PYTHON`: reads images from a folder, writes masks beside them.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

COMMON = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "B12": "swir22"}
S2CLOUDLESS_BANDS = ("B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12")


def ukis(image: Any, bands: list[str], level: str, pixel_m: float) -> Any:
    """ukis-csmask at 30 m or the image's own pixels where these are coarser: 0 clear, 1 cloud, 2 shadow."""
    from ukis_csmask.mask import CSmask

    order = [name for name in bands if name in COMMON]
    if not {"B02", "B03", "B04", "B08"} <= set(order):
        return None
    chosen = image[[bands.index(name) for name in order]]
    factor = max(round(30 / pixel_m), 1)
    rows, columns = (side // factor * factor for side in chosen.shape[1:])
    coarse = chosen[:, :rows, :columns].reshape(len(order), rows // factor, factor, columns // factor, factor)
    coarse = coarse.mean(axis=(2, 4))
    pixels = np.ascontiguousarray(np.moveaxis(coarse, 0, -1), np.float32)
    names = [COMMON[name] for name in order]
    mask = CSmask(pixels, names, level, intra_op_num_threads=1, providers=["CPUExecutionProvider"]).csm[..., 0]
    fine = np.array([0, 1, 3], np.uint8)[mask].repeat(factor, 0).repeat(factor, 1)
    missing = [(0, whole - part) for whole, part in zip(image.shape[1:], fine.shape, strict=True)]
    return np.pad(fine, missing, mode="edge")


def s2cloudless(image: Any, bands: list[str], level: str, pixel_m: float) -> Any:
    """Sentinel Hub's classifier, L1C only, with its defaults for 10 m."""
    if level != "l1c" or not set(S2CLOUDLESS_BANDS) <= set(bands):
        return None
    from s2cloudless import S2PixelCloudDetector

    detector = S2PixelCloudDetector(threshold=0.4, average_over=22, dilation_size=11, all_bands=False)
    chosen = np.moveaxis(image[[bands.index(name) for name in S2CLOUDLESS_BANDS]], 0, -1)
    return detector.get_cloud_masks(chosen[None])[0].astype(np.uint8)


def main() -> None:
    """Mask what lies in the folder."""
    warnings.simplefilter("ignore")
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        if path.stem.endswith("_masks"):
            continue
        with np.load(path) as stored:
            image, bands, level = stored["image"], [str(name) for name in stored["bands"]], str(stored["level"])
            pixel_m = float(stored["pixel_m"])
        found = {}
        for name, make in (("ukis-csmask", ukis), ("s2cloudless", s2cloudless)):
            start = time.perf_counter()
            try:
                mask = make(image.astype(np.float32), bands, level, pixel_m)
            except ImportError:
                continue
            if mask is not None:
                found[name] = mask
                print(f"{name} {mask.size / 1e6 / (time.perf_counter() - start)}", flush=True)
        np.savez(path.with_name(f"{path.stem}_masks.npz"), **found)


if __name__ == "__main__":
    main()
