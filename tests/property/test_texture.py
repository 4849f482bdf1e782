"""Laws of textures: blocks, threads, turns of the image, shifts of the levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from groundshift.features import texture_kernels as kernels
from groundshift.features.texture import MISSING, Border, GlcmOptions, glcm, halo_px

seeds = st.integers(0, 9999)
windows = st.sampled_from([3, 5, 7, 11])
laws = settings(max_examples=40, deadline=None)
LEVELS = 40


def image_of(seed: int, shape: tuple[int, int] = (24, 30), levels: int = LEVELS) -> NDArray[np.uint8]:
    """Noise of some width around a slope, with some gaps."""
    rng = np.random.default_rng(seed)
    slope = np.add.outer(np.linspace(0, 8, shape[0]), np.linspace(0, 8, shape[1]))
    image = np.clip(slope + rng.integers(0, rng.integers(1, levels - 15), shape), 0, levels - 1)
    return np.where(rng.random(shape) < rng.choice([0, 0.05, 0.3]), MISSING, image).astype(np.uint8)


@laws
@given(seeds, windows, st.sampled_from(["missing", "reflect"]), st.data())
def test_cutting_the_image_into_blocks_with_a_halo_changes_no_bit(
    seed: int, window: int, border: Border, data: st.DataObject
) -> None:
    image = image_of(seed)
    options = GlcmOptions(window=window, levels=LEVELS, border=border, distance=data.draw(st.integers(1, 2)))
    cuts = [data.draw(st.integers(0, length - 1)) for length in image.shape]
    rows, columns = (
        slice(cut, data.draw(st.integers(cut + 1, length))) for cut, length in zip(cuts, image.shape, strict=True)
    )
    halo = halo_px(options)
    top, left = max(rows.start - halo, 0), max(columns.start - halo, 0)
    block = glcm(image[top : rows.stop + halo, left : columns.stop + halo], options)
    inner = block[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    np.testing.assert_array_equal(inner, glcm(image, options)[:, rows, columns])


@pytest.mark.parametrize("width", [kernels.COLUMNS - 1, kernels.COLUMNS, kernels.COLUMNS + 1, 2 * kernels.COLUMNS + 5])
def test_neither_threads_nor_the_width_of_the_buffers_change_a_bit(width: int) -> None:
    image, options = image_of(3, (67, width)), GlcmOptions(levels=LEVELS)
    whole = glcm(image, options)
    np.testing.assert_array_equal(whole, glcm(image, options, threads=3))
    for start in (0, width // 2 - 11, width - 40):
        part = glcm(image[:, start : start + 40], options)
        np.testing.assert_array_equal(part[:, :, 3:-3], whole[:, :, start + 3 : start + 37])


@laws
@given(seeds, windows)
def test_half_a_turn_turns_the_textures_and_a_mirror_swaps_the_diagonals(seed: int, window: int) -> None:
    image = image_of(seed)
    whole = glcm(image, GlcmOptions(window=window, levels=LEVELS))
    turned = glcm(image[::-1, ::-1], GlcmOptions(window=window, levels=LEVELS))
    np.testing.assert_array_equal(turned[:, ::-1, ::-1], whole)
    falling = glcm(image, GlcmOptions(window=window, levels=LEVELS, directions=(45,)))
    rising = glcm(image[:, ::-1], GlcmOptions(window=window, levels=LEVELS, directions=(135,)))
    np.testing.assert_array_equal(rising[:, :, ::-1], falling)
    along = glcm(image, GlcmOptions(window=window, levels=LEVELS, directions=(0,)))
    down = glcm(image.T, GlcmOptions(window=window, levels=LEVELS, directions=(90,)))
    np.testing.assert_array_equal(down.transpose(0, 2, 1), along)


@laws
@given(seeds, windows, st.integers(1, 100))
def test_only_differences_of_levels_matter_not_where_they_lie_or_which_way_they_run(
    seed: int, window: int, shift: int
) -> None:
    image = image_of(seed)
    known = image != MISSING
    whole = glcm(image, GlcmOptions(window=window, levels=LEVELS))
    more = GlcmOptions(window=window, levels=LEVELS + shift)
    shifted = np.where(known, image + shift, MISSING).astype(np.uint8)
    negative = np.where(known, LEVELS - 1 - image.astype(int), MISSING).astype(np.uint8)
    np.testing.assert_array_equal(glcm(shifted, more), whole)
    np.testing.assert_array_equal(glcm(negative, more), whole)


@laws
@given(seeds, windows)
def test_features_keep_their_bounds_and_their_relations(seed: int, window: int) -> None:
    found = glcm(image_of(seed), GlcmOptions(window=window, levels=LEVELS)).astype(float)
    contrast, dissimilarity, homogeneity, energy, correlation, entropy, asm = found[:, ~np.isnan(found[0])]
    small = 1e-6
    assert (contrast >= dissimilarity**2 - small).all()
    assert (contrast >= dissimilarity - small).all()
    assert (homogeneity > 0).all()
    assert (homogeneity <= 1).all()
    assert (np.abs(correlation) <= 1 + small).all()
    assert (energy**2 <= asm + small).all()
    assert (entropy >= -np.log(asm) - small).all()
    assert (entropy <= np.log(2 * window * (window - 1))).all()
