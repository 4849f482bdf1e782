"""Statistical probabilities of a pair: high where something was planted, the same however the image is cut."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from groundshift.change import probability
from groundshift.pipelines import fitting, probabilities
from groundshift.pipelines.fitting import Block
from groundshift.pipelines.job import DetectSection, KindsSection, NormaliseSection
from groundshift.testing.scenes import PairOptions, SceneOptions, pair, whole

BANDS = ("B02", "B03", "B04", "B08")


@pytest.fixture(scope="module")
def drawn() -> tuple[Block, np.ndarray]:
    """A pair in memory, and the share of each pixel that changed."""
    scenes = pair(PairOptions(scene=SceneOptions(seed=5, shape=(300, 300)), changed=0.04))
    window = whole(scenes.before.shape)
    before, after = (scene.reflectance(window, BANDS) for scene in (scenes.before, scenes.after))
    valid = np.ones(before.shape[1:], bool)
    valid[:40, :60] = False
    return Block(before, after, valid), scenes.amount(window)


def test_probabilities_follow_the_truth_and_are_cut_as_one_likes(drawn: tuple[Block, np.ndarray]) -> None:
    block, amount = drawn
    fitted = fitting.fit([block], BANDS, 10.0, DetectSection(), NormaliseSection(), KindsSection())
    local = probabilities.fit([block], fitted)
    found = probabilities.apply(local, fitted.measure(block).statistic, block.valid)
    assert np.array_equal(np.isnan(found), ~block.valid)
    assert (found[(amount > 0.9) & block.valid] >= 0.5).mean() > 0.9
    far = ~ndimage.binary_dilation(amount > 0, iterations=4) & block.valid
    assert (found[far] >= 0.5).mean() < 0.002
    halo = fitted.halo_px + probability.CONTEXT_HALO_PX
    cut = np.s_[100 - halo : 180 + halo]
    part = Block(block.before[:, cut], block.after[:, cut], block.valid[cut])
    again = probabilities.apply(local, fitted.measure(part).statistic, part.valid)
    np.testing.assert_array_equal(again[halo:-halo], found[100:180])
