"""The contract of the cloud mask, kept by our own network."""

from __future__ import annotations

import copy
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.clouds import registry
from groundshift.clouds.masker import Masker, classify
from groundshift.clouds.registry import MaskerSpec
from groundshift.clouds.unet import UNet
from groundshift.errors import InputError, MissingInputError, ProductError
from groundshift.model.bands import BANDS
from groundshift.model.cloudmask import CloudClass
from groundshift.model.grid import Window
from groundshift.nets.runtime import WEIGHTS
from groundshift.testing.scenes import DateOptions, SceneOptions, SyntheticScene

TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
Image = NDArray[np.float32]


def drawn(bands: tuple[str, ...], side: int = 192, share: float = 0.3) -> tuple[Image, NDArray[np.uint8]]:
    """A generated scene at 20 m, coarse bands repeated, and its classification."""
    scene = SyntheticScene(
        options=SceneOptions(seed=3, shape=(side * 2, side * 2)), date=DateOptions(cloud_share=share), number=0
    )
    layers = []
    for name in bands:
        size = max(BANDS[name].resolution_m, 20)
        layer = scene.reflectance(Window(0, side * 20 // size, 0, side * 20 // size), [name], size)[0]
        layers.append(layer.repeat(size // 20, 0).repeat(size // 20, 1))
    return np.stack(layers), scene.scl(Window(0, side, 0, side))


@pytest.mark.parametrize("bands", [("B02", "B03", "B04"), ("B02", "B03", "B04", "B08"), TEN, tuple(BANDS)])
def test_generated_clouds_are_found_by_any_bands(bands: tuple[str, ...]) -> None:
    image, scl = drawn(bands)
    mask: Masker = UNet()
    found = mask.probabilities(image, mask.choose(bands), np.ones(scl.shape, bool))
    assert found.shape == (4, *scl.shape)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.sum(axis=0).max() <= 1 + 1e-5
    codes = classify(found, np.ones(scl.shape, bool))
    cloud = np.isin(codes, (CloudClass.CLOUD, CloudClass.THIN_CLOUD))
    assert cloud[scl == 9].mean() > 0.9
    assert cloud[np.isin(scl, (4, 5, 6))].mean() < 0.1


def test_clear_ground_is_clear() -> None:
    image, scl = drawn(TEN, share=0.0)
    found = classify(UNet().probabilities(image, TEN, np.ones(scl.shape, bool)), np.ones(scl.shape, bool))
    assert (found == CloudClass.CLEAR).mean() > 0.97


def test_the_order_of_bands_does_not_matter() -> None:
    image, scl = drawn(("B02", "B03", "B04", "B08"), side=96)
    valid = np.ones(scl.shape, bool)
    one = UNet().probabilities(image, ("B02", "B03", "B04", "B08"), valid)
    other = UNet().probabilities(image[::-1], ("B08", "B04", "B03", "B02"), valid)
    np.testing.assert_array_equal(one, other)


def test_without_data_there_is_no_cloud_and_what_is_stored_there_does_not_matter() -> None:
    image, scl = drawn(TEN, side=96)
    valid = np.ones(scl.shape, bool)
    valid[:, :30], valid[50, 60] = False, False
    found = UNet().probabilities(np.where(valid, image, np.float32(9)), TEN, valid)
    same = UNet().probabilities(np.where(valid, image, np.float32(np.nan)), TEN, valid)
    np.testing.assert_array_equal(found, same)
    assert (found[:, ~valid] == 0).all()
    assert (classify(found, valid)[~valid] == CloudClass.NO_DATA).all()
    # Beside no data lies a pixel that may be data in part only: its neighbour within speaks for it.
    np.testing.assert_array_equal(found[:, :, 30], found[:, :, 31])


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (17, 16), (33, 5)])
def test_small_images_of_any_shape_are_masked(shape: tuple[int, int]) -> None:
    image = np.full((3, *shape), 0.05, np.float32)
    found = UNet().probabilities(image, ("B02", "B03", "B04"), np.ones(shape, bool))
    assert found.shape == (4, *shape)
    assert np.isfinite(found).all()


def test_blocks_with_their_halo_give_what_the_whole_gives() -> None:
    bands = ("B02", "B03", "B04", "B08")
    image, scl = drawn(bands, side=624)
    mask, valid = UNet(), np.ones(scl.shape, bool)
    whole = mask.probabilities(image, bands, valid)
    halo, out = mask.halo_px, np.zeros_like(whole)
    for rows in (slice(0, 304), slice(304, 624)):
        low, high = max(rows.start - halo, 0), min(rows.stop + halo, 624)
        part = mask.probabilities(image[:, low:high], bands, valid[low:high])
        out[:, rows] = part[:, rows.start - low : rows.stop - low]
    assert np.abs(out - whole).max() <= 0.01


def test_bands_are_asked_for_in_the_order_of_the_instrument() -> None:
    assert UNet().choose(["B12", "B08", "SCL", "B02", "B04", "B03"]) == ("B02", "B03", "B04", "B08", "B12")
    with pytest.raises(InputError, match="has no B03, which the mask unet needs: it has B02, B04; take another"):
        UNet().choose(["B02", "B04"])


def test_names_that_are_no_bands_are_refused() -> None:
    valid = np.ones((4, 4), bool)
    with pytest.raises(InputError, match="expected a band name for each"):
        UNet().probabilities(np.zeros((4, 4, 4), np.float32), ("B02", "B03", "B04"), valid)
    with pytest.raises(InputError, match="expected a band name for each"):
        UNet().probabilities(np.zeros((4, 4, 4), np.float32), ("B02", "B03", "B04", "SCL"), valid)


def test_it_travels_to_workers_without_its_weights() -> None:
    mask = UNet()
    mask.probabilities(np.zeros((3, 16, 16), np.float32), ("B02", "B03", "B04"), np.ones((16, 16), bool))
    assert len(pickle.dumps(mask)) < 500
    assert copy.deepcopy(mask) == mask


def test_weights_are_named_by_path_and_must_be_those_of_their_card(tmp_path: Path) -> None:
    def probabilities(weights: str) -> Image:
        image = np.full((3, 16, 16), 0.3, np.float32)
        made = registry.make(MaskerSpec(name="unet", weights=str(tmp_path / weights)))
        return made.probabilities(image, ("B02", "B03", "B04"), np.ones((16, 16), bool))

    with pytest.raises(MissingInputError, match=r"none\.onnx"):
        probabilities("none.onnx")
    for name in ("good", "bad"):
        for ending in (".onnx", ".json"):
            shutil.copy(WEIGHTS / f"cloud_unet{ending}", tmp_path / f"{name}{ending}")
    assert probabilities("good.onnx").any()
    with (tmp_path / "bad.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ProductError, match="SHA-256"):
        probabilities("bad.onnx")
