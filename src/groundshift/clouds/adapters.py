"""Cloud masks of others behind our contract; each package is an extra of its own, imported where it is used.

Who makes such a mask calls :func:`check_installed` first.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.clouds.masker import Probabilities, all_of
from groundshift.errors import InputError, MissingInputError, UsageError
from groundshift.model.cloudmask import CLASSES, CloudClass

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_UKIS_BANDS = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "B12": "swir22"}
_UKIS_LEAST_PX = 256
_OMNI_LEAST_PX = 64
_IMPORTED = {"ukis-csmask": "ukis_csmask.mask", "omnicloudmask": "omnicloudmask.model_utils"}
_OMNI_MODELS = {"regnety_004": "tu-regnety_004", "edgenext_small": "tu-edgenext_small"}


def check_installed(extra: str) -> None:
    """Import the package behind an extra, to say before any work where it is missing.

    Raises:
        UsageError: it is not installed, and how to do so; or it is, and cannot be imported.
    """
    try:
        importlib.import_module(_IMPORTED.get(extra, extra))
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--mask {extra} needs a package that is not installed ({error.name}): pip install 'groundshift[{extra}]'."
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"--mask {extra}: its package is installed and cannot be imported: {reason}.") from error


@dataclass(frozen=True, kw_only=True)
class S2Cloudless:
    """Pixel-wise boosted trees of Sentinel Hub, for Level-1C: one probability, of cloud of any kind.

    Source: https://github.com/sentinel-hub/sentinel2-cloud-detector (MIT; the data of the model CC BY-SA 4.0).
    """

    name: str = "s2cloudless"
    resolution_m: float = 60.0
    halo_px: int = 0

    def choose(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Its ten bands; raises InputError where one is missing."""
        return all_of(("B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12"), bands, self.name)

    def probabilities(self, reflectance: Floats, bands: Sequence[str], valid: Mask) -> Probabilities:
        """Probability of cloud, (4, y, x); the other three are 0."""
        out = np.zeros((len(CLASSES), *valid.shape), np.float32)
        pixels = reflectance[:, valid]
        if pixels.shape[1]:
            # one row of pixels: neighbours have no part in it
            image = np.ascontiguousarray(pixels.T)[None, None]
            out[0][valid] = _s2cloudless().get_cloud_probability_maps(image, num_threads=1)[0, 0]
        return out


@dataclass(frozen=True, kw_only=True)
class UkisCsmask:
    """U-Net of the German Aerospace Center for four or six bands of either level: cloud and shadow, as classes.

    Source: M. Wieland et al. (2019), Remote Sens. Environ. 230, 111203; https://github.com/dlr-eoc/ukis-csmask
    (Apache-2.0).
    """

    level: str = "L2A"
    name: str = "ukis-csmask"
    resolution_m: float = 30.0
    halo_px: int = 64

    def choose(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Six bands, or the four without the short-wave infrared."""
        six = tuple(_UKIS_BANDS)
        return six if set(six) <= set(bands) else all_of(six[:4], bands, self.name)

    def probabilities(self, reflectance: Floats, bands: Sequence[str], valid: Mask) -> Probabilities:
        """0 or 1, (4, y, x): cloud and shadow."""
        from ukis_csmask.mask import CSmask

        image, inner = _padded(np.where(valid, reflectance, 0), _UKIS_LEAST_PX)
        found = CSmask(
            img=np.ascontiguousarray(np.moveaxis(image, 0, -1)),
            band_order=[_UKIS_BANDS[band] for band in bands],
            product_level=self.level.lower(),
            nodata_value=0,
            invalid_buffer=1,
            intra_op_num_threads=1,
            inter_op_num_threads=1,
            providers=["CPUExecutionProvider"],
        ).csm[..., 0][inner]
        out = np.zeros((len(CLASSES), *valid.shape), np.float32)
        out[CLASSES.index(CloudClass.CLOUD)] = found == 1
        out[CLASSES.index(CloudClass.SHADOW)] = found == 2
        return out * valid


@dataclass(frozen=True, kw_only=True)
class OmniCloudMask:
    """Ensemble of two U-Nets on red, green and near infrared: cloud, thin cloud and shadow.

    Source: N. Wright et al. (2025), Remote Sens. Environ. 322, 114694; https://github.com/DPIRD-DMA/OmniCloudMask
    (MIT). Its weights are no part of the package and are never fetched here: they are named by path.
    """

    weights: str | None = None
    """Folder of its weights of version 4 (two .safetensors files), or one of them."""
    name: str = "omnicloudmask"
    resolution_m: float = 20.0
    halo_px: int = 128

    def choose(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Red, green, near infrared; raises where its weights are not there."""
        chosen = all_of(("B04", "B03", "B8A" if "B08" not in bands else "B08"), bands, self.name)
        _omni_files(self.weights)
        return chosen

    def probabilities(self, reflectance: Floats, bands: Sequence[str], valid: Mask) -> Probabilities:
        """Probabilities, (4, y, x); snow is always 0."""
        from omnicloudmask import predict_from_array

        # Every patch is normalised by itself, so the scale says nothing; 0 is no data.
        image, inner = _padded(np.where(valid, np.maximum(reflectance, 1e-4), 0), _OMNI_LEAST_PX)
        side = min(image.shape[1:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found = predict_from_array(
                image,
                patch_size=min(1000, side),
                patch_overlap=min(300, side // 3),
                inference_device="cpu",
                export_confidence=True,
                custom_models=list(_omni_models(self.weights)),
            )[:, *inner]
        _, thick, thin, shadow = found
        return np.where(valid, np.stack([thick, thin, shadow, np.zeros_like(thick)]), 0).astype(np.float32)


@lru_cache(maxsize=1)
def _s2cloudless() -> Any:
    from s2cloudless import S2PixelCloudDetector

    return S2PixelCloudDetector(average_over=None, dilation_size=None)


def _omni_files(weights: str | None) -> list[Path]:
    if weights is None:
        raise UsageError(
            "--mask omnicloudmask comes without weights: fetch those of its version 4 and name their folder with "
            "--weights."
        )
    path = Path(weights)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise MissingInputError(f"{weights}: holds no weights of OmniCloudMask: expected .safetensors files.")
    return files


@lru_cache(maxsize=2)
def _omni_models(weights: str | None) -> tuple[Any, ...]:
    import torch
    from omnicloudmask.model_utils import load_model_from_weights

    torch.set_num_threads(1)
    loaded = []
    for file in _omni_files(weights):
        name = next((model for key, model in _OMNI_MODELS.items() if key in file.name), None)
        if name is None:
            raise InputError(f"{file}: is of no network of version 4 ({', '.join(_OMNI_MODELS)}).")
        loaded.append(load_model_from_weights(name, file, "smp", torch.device("cpu")))
    return tuple(loaded)


def _padded(image: Floats, least: int) -> tuple[Floats, tuple[slice, slice]]:
    """An image at least so large, with zeros around, and where the image lies in it."""
    rows, columns = image.shape[1:]
    down, right = (max(0, least - n) for n in (rows, columns))
    top, left = down // 2, right // 2
    padded = np.pad(image, ((0, 0), (top, down - top), (left, right - left)))
    return padded, (slice(top, top + rows), slice(left, left + columns))
