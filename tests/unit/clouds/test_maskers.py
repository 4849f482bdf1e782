"""Masks by name: what they are given, what they say, and what is said where they cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from groundshift.clouds import adapters, registry
from groundshift.clouds.classification import MEANING, SclMasker
from groundshift.clouds.masker import classify
from groundshift.clouds.preview import PreviewRule
from groundshift.clouds.registry import MaskerSpec
from groundshift.errors import InputError, MissingInputError, UsageError
from groundshift.model.bands import BANDS
from groundshift.model.cloudmask import CLASSES, CloudClass
from groundshift.testing.clouds import CLOUD_SPECTRUM

CODES = np.arange(12, dtype=np.float32).reshape(1, 3, 4)


def test_codes_of_the_classification_become_those_of_the_mask() -> None:
    masker = SclMasker()
    valid = CODES[0] != 0
    found = classify(masker.probabilities(CODES, masker.choose(["B02", "SCL"]), valid), valid)
    expected = dict.fromkeys(range(12), CloudClass.CLEAR) | {0: CloudClass.NO_DATA}
    expected |= {3: CloudClass.SHADOW, 8: CloudClass.CLOUD, 9: CloudClass.CLOUD}
    expected |= {10: CloudClass.THIN_CLOUD, 11: CloudClass.SNOW}
    assert dict(enumerate(found.reshape(-1))) == expected


@pytest.mark.parametrize("code", MEANING)
def test_only_classes_that_are_counted_count(code: int) -> None:
    valid = np.ones((3, 4), bool)
    chances = SclMasker(classes=(int(code),)).probabilities(CODES, ["SCL"], valid)
    (layer, y, x), *others = np.argwhere(chances)
    assert not others
    assert (CLASSES[layer], 4 * y + x) == (MEANING[code], code)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(UsageError, match=r"classes of the SCL for a cloud mask are 2,3,7,8,9,10,11, not 4"):
        SclMasker(classes=(4,))
    with pytest.raises(InputError, match="no scene classification"):
        SclMasker().choose(["B02"])
    with pytest.raises(UsageError, match="no cloud mask 'fmask': expected auto, scl, unet"):
        MaskerSpec(name="fmask")
    with pytest.raises(InputError, match="Level-1C only"):
        registry.make(MaskerSpec(name="s2cloudless", level="L2A"))
    with pytest.raises(UsageError, match=r"pip install 'groundshift\[nowhere\]'"):
        adapters.check_installed("nowhere")


@pytest.mark.parametrize("masker", [adapters.S2Cloudless(), adapters.UkisCsmask(), adapters.OmniCloudMask()])
def test_a_mask_names_the_bands_that_are_missing(masker: adapters.S2Cloudless) -> None:
    with pytest.raises(InputError, match=f"which the mask {masker.name} needs"):
        masker.choose(["B04"])


def test_the_weights_of_omnicloudmask_are_named_by_path(tmp_path: object) -> None:
    with pytest.raises(UsageError, match="--weights"):
        adapters.OmniCloudMask().choose(["B03", "B04", "B08"])
    with pytest.raises(MissingInputError, match="holds no weights"):
        adapters.OmniCloudMask(weights=str(tmp_path)).choose(["B03", "B04", "B08"])


def test_auto_is_the_classification_where_there_is_one() -> None:
    assert registry.chosen("auto", classified=True) == "scl"
    assert registry.chosen("auto", classified=False) == "unet"
    assert registry.chosen("unet", classified=True) == "unet"


def test_s2cloudless_tells_cloud_from_grass_pixel_by_pixel() -> None:
    pytest.importorskip("s2cloudless")
    masker = adapters.S2Cloudless()
    bands = masker.choose(tuple(BANDS))
    rows = [BANDS[band].band_id for band in bands]
    grass = np.array([0.12, 0.10, 0.09, 0.06, 0.10, 0.22, 0.28, 0.30, 0.32, 0.1, 0.002, 0.18, 0.09], np.float32)
    image = np.stack([grass[rows], CLOUD_SPECTRUM[rows], CLOUD_SPECTRUM[rows]], axis=1)[:, None]
    chances = masker.probabilities(image, bands, np.array([[True, True, False]]))
    codes = classify(chances, np.array([[True, True, False]]), registry.cloud_from("s2cloudless"))
    assert codes.tolist() == [[CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.NO_DATA]]


@pytest.mark.parametrize(
    ("colour", "cloud", "haze"),
    [
        ((0.6, 0.6, 0.6), True, False),
        ((0.25, 0.27, 0.30), True, False),
        ((0.09, 0.11, 0.11), False, True),
        ((0.04, 0.05, 0.03), False, False),
        ((0.30, 0.20, 0.12), False, False),
        ((0.01, 0.02, 0.03), False, False),
    ],
)
def test_the_rule_of_previews_tells_white_from_blue_and_both_from_ground(
    colour: tuple[float, float, float], cloud: bool, haze: bool
) -> None:
    rgb = np.array(colour, np.float32)[:, None, None] * np.ones((1, 1, 2), np.float32)
    found = PreviewRule().look(rgb, np.array([[True, False]]), "L2A")
    assert (found.cloud.tolist(), found.haze.tolist()) == ([[cloud, False]], [[haze, False]])


def test_a_pixel_is_shadow_from_three_tenths_for_our_network_and_from_a_half_for_others() -> None:
    chances = np.zeros((4, 1, 4), np.float32)
    chances[1, 0, 0], chances[2, 0, 0] = 0.6, 0.3
    chances[2, 0, 1] = 0.6
    chances[2, 0, 2] = 0.35
    chances[2, 0, 3] = 0.25
    valid = np.ones((1, 4), bool)
    ours = classify(chances, valid, registry.cloud_from("unet"), registry.shadow_from("unet"))
    theirs = classify(chances, valid, registry.cloud_from("omnicloudmask"), registry.shadow_from("omnicloudmask"))
    thin, shadow, clear = CloudClass.THIN_CLOUD, CloudClass.SHADOW, CloudClass.CLEAR
    assert ours.tolist() == [[thin, shadow, shadow, clear]]
    assert theirs.tolist() == [[thin, shadow, clear, clear]]
