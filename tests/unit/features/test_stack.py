"""What a list of features means, and that a block of a stack is what its kernels say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from groundshift.errors import UsageError
from groundshift.features import components, indices, stack, texture
from groundshift.features.stack import DEFAULT, Fitted, Ground, Stack
from groundshift.features.texture import GlcmOptions

RNG = np.random.default_rng(3)


def names(text: str, **options: bool) -> list[str]:
    return [each.name for each in stack.parse(text, **options)]


def test_the_default_is_the_list_of_twenty_in_its_order() -> None:
    twenty = "B2,B3,B4,B5,B6,B7,B8,B8A,B9,B11,B12,NDVI,NDRE,EVI2,BI2,MNDWI,NDBI,DEM,slope,aspect"
    assert names("default") == names(twenty) == list(DEFAULT)
    assert names("default", terrain=False) == list(DEFAULT[:17])
    assert [*names("default", terrain=False), "slope"] == names("default,slope", terrain=False)


def test_words_go_by_any_of_their_names() -> None:
    assert names("b2, nir ,ndvi,Slope,aspect_SIN,PC2,roads") == [
        "B02", "B08", "NDVI", "slope", "aspect_sin", "PC2", "roads",
    ]  # fmt: skip
    assert names("pca:2-3,pca:5") == ["PC2", "PC3", "PC5"]
    assert names("glcm:B8:entropy+ASM,glcm:pc1:contrast") == [
        "glcm_B08_entropy", "glcm_B08_asm", "glcm_PC1_contrast",
    ]  # fmt: skip
    assert len(names("glcm:NDVI:all")) == len(texture.GLCM_FEATURES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("NDVJ", r"did you mean NDVI\?"),
        ("B2,slop", r"did you mean slope\?"),
        ("glcm:B8:entropi", r"did you mean entropy\?"),
        ("glcm:B8", "expected glcm:B8:entropy"),
        ("glcm:slope:entropy", "not of slope"),
        ("pca:3-1", "expected pca:1-3"),
        ("pca:1-12", "numbers from 1 to 11"),
        ("B2,NDVI,b02", "B02 twice"),
        (" , ", "names nothing"),
    ],
)
def test_mistakes_are_told(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        stack.parse(text)


def test_a_plan_knows_the_bands_that_it_needs() -> None:
    assert Stack(features=stack.parse("NDRE,slope")).bands == ("B05", "B08")
    assert Stack(features=stack.parse("glcm:NDBI:entropy")).bands == ("B8A", "B11")
    assert Stack(features=stack.parse("pca:1")).bands == stack.BAND_NAMES
    assert Stack(features=stack.parse("B1,NDVI,PC1")).users("B04") == ("NDVI", "PC1")
    plan = Stack(features=stack.parse("B2,slope,glcm:B8:entropy"), texture=GlcmOptions(window=9))
    assert plan.halo_px == texture.halo_px(GlcmOptions(window=9))
    assert [Stack(features=stack.parse(text)).halo_px for text in ("B2", "B2,slope")] == [0, 1]


def scene(shape: tuple[int, int] = (40, 36)) -> dict[str, np.ndarray]:
    found = {name: RNG.uniform(0.02, 0.5, shape).astype(np.float32) for name in stack.BAND_NAMES}
    for band in found.values():
        band[3:6, 8:12] = np.nan
    return found


PLAN = Stack(
    features=stack.parse("B11,NDVI,pca:1-2,glcm:PC1:entropy,glcm:B8:contrast+correlation,slope,roads,DEM"),
    texture=GlcmOptions(window=5, levels=8),
)


def test_a_block_holds_what_the_kernels_say_and_blocks_change_nothing() -> None:
    bands = scene()
    pixels = np.stack([bands[band] for band in stack.BAND_NAMES])
    valid = np.isfinite(pixels).all(axis=0)
    made = components.fit(components.summarise(pixels, valid), standardise=False)
    fitted = Fitted(made, {"PC1": (-0.3, 0.3), "B08": (0.05, 0.45)})
    elevation = RNG.normal(0, 9, valid.shape).astype(np.float32)
    roads = (RNG.random(valid.shape) < 0.1).astype(np.float32)
    whole = stack.compute(PLAN, bands, Ground(elevation, 10.0, 10.0, {"roads": roads}), fitted)
    named = dict(zip([each.name for each in PLAN.features], whole, strict=True))
    np.testing.assert_array_equal(named["B11"], bands["B11"])
    np.testing.assert_array_equal(named["NDVI"], indices.compute("NDVI", bands))
    np.testing.assert_array_equal(named["PC2"], components.apply(made, pixels, 2)[1])
    levels = texture.quantise(bands["B08"], 0.05, 0.45, 8)
    options = GlcmOptions(window=5, levels=8, features=("correlation", "contrast"))
    np.testing.assert_array_equal(
        np.stack([named["glcm_B08_correlation"], named["glcm_B08_contrast"]]), texture.glcm(levels, options)
    )
    np.testing.assert_array_equal(named["roads"], roads)
    np.testing.assert_array_equal(named["DEM"], elevation)
    halo, part = PLAN.halo_px, (slice(5, 33), slice(2, 30))
    ground = Ground(elevation[part], 10.0, 10.0, {"roads": roads[part]})
    cut = stack.compute(PLAN, {name: band[part] for name, band in bands.items()}, ground, fitted)
    inner = (..., slice(halo, -halo), slice(halo, -halo))
    np.testing.assert_array_equal(cut[inner], whole[:, part[0], part[1]][inner])


def test_what_was_fitted_goes_to_a_file_and_back() -> None:
    pixels = np.stack(list(scene().values()))
    made = components.fit(components.summarise(pixels, np.isfinite(pixels).all(axis=0)), standardise=False)
    fitted = Fitted(made, {"B08": (0.1, 0.4)})
    again = Fitted.from_plain(json.loads(json.dumps(fitted.to_plain())))
    assert again.limits == fitted.limits
    assert again.components is not None
    np.testing.assert_array_equal(components.apply(again.components, pixels, 3), components.apply(made, pixels, 3))
    assert Fitted.from_plain(Fitted().to_plain()) == Fitted()
