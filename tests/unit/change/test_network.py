"""The change network: its laws, and that it looks past what is not change."""

from __future__ import annotations

import json
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from groundshift.change.network import COARSEST_PX, ChangeNet
from groundshift.errors import InputError
from groundshift.nets.card import card_of, read_card
from groundshift.testing.scenes import PairOptions, SceneOptions, pair, whole

BANDS = ("B02", "B03", "B04", "B08")
NET = ChangeNet()


@cache
def scenes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Before, after, and the share of each pixel that changed."""
    drawn = pair(PairOptions(scene=SceneOptions(seed=77, shape=(360, 300)), changed=0.05))
    window = whole(drawn.before.shape)
    before, after = (scene.reflectance(window, BANDS) for scene in (drawn.before, drawn.after))
    return before, after, drawn.amount(window)


def everywhere(image: np.ndarray) -> np.ndarray:
    return np.ones(image.shape[1:], bool)


def test_the_card_says_what_it_must() -> None:
    assert read_card(NET.weights).bands == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    card = json.loads(card_of(NET.weights).read_text("utf-8"))
    assert {"data", "held out", "limits", "licence", "normalisation", "calibration", "figures", "training"} <= set(card)
    assert NET.weights.stat().st_size <= 2_500_000


def test_it_finds_what_was_planted_and_little_else() -> None:
    before, after, amount = scenes()
    found = NET.probability(before, after, BANDS, everywhere(before))
    assert found.dtype == np.float32
    assert (found[amount > 0.9] >= 0.5).mean() > 0.7
    far = ~ndimage.binary_dilation(amount > 0, iterations=4)
    assert (found[far] >= 0.5).mean() < 0.01


def test_the_order_of_the_dates_does_not_matter() -> None:
    before, after, _ = scenes()
    one = NET.probability(before, after, BANDS, everywhere(before))
    np.testing.assert_allclose(NET.probability(after, before, BANDS, everywhere(before)), one, atol=1e-5)


@pytest.mark.parametrize("what", ["nothing", "gain", "offset", "haze", "shift"])
def test_what_is_no_change_is_not_called_one(what: str) -> None:
    before, _, _ = scenes()
    columns = np.linspace(0, 1, before.shape[2], dtype=np.float32)
    after = {
        "nothing": lambda: before,
        "gain": lambda: before * np.array([1.15, 1.1, 1.1, 1.05], np.float32)[:, None, None],
        "offset": lambda: before + np.float32(0.01),
        "haze": lambda: before + np.array([0.03, 0.02, 0.015, 0.01], np.float32)[:, None, None] * columns,
        "shift": lambda: ndimage.shift(before, (0, 0.5, 0.5), order=3, mode="nearest"),
    }[what]()
    found = NET.probability(before, after, BANDS, everywhere(before))
    assert (found >= 0.5).mean() < 0.005
    assert found.mean() < 0.03


def test_no_data_is_no_data_and_what_lies_there_does_not_matter() -> None:
    before, after, _ = (layer.copy() for layer in scenes())
    valid = everywhere(before)
    valid[50:90, 100:180] = False
    one = NET.probability(before, after, BANDS, valid)
    assert np.array_equal(np.isnan(one), ~valid)
    before[:, ~valid], after[:, ~valid] = np.nan, 7
    np.testing.assert_array_equal(NET.probability(before, after, BANDS, valid), one)
    after[1, 200, 200] = np.nan
    assert np.isnan(NET.probability(before, after, BANDS, valid)[200, 200])


def test_nowhere_valid_is_nowhere_known() -> None:
    before, after, _ = scenes()
    assert np.isnan(NET.probability(before, after, BANDS, ~everywhere(before))).all()


def test_cutting_the_image_changes_next_to_nothing() -> None:
    before, after, _ = scenes()
    one = NET.probability(before, after, BANDS, everywhere(before))
    start, stop = 9 * COARSEST_PX, 14 * COARSEST_PX
    read = slice(start - NET.halo_px, stop + NET.halo_px)
    part = NET.probability(before[:, read], after[:, read], BANDS, everywhere(before)[read])
    assert np.abs(part[NET.halo_px : NET.halo_px + stop - start] - one[start:stop]).max() < 1e-3


def test_bands_may_be_absent_but_three() -> None:
    before, after, _ = scenes()
    colours = NET.probability(before[:3], after[:3], BANDS[:3], everywhere(before))
    assert 0 <= colours.min() <= colours.max() <= 1
    assert NET.choose(("B08", "SCL", "B04", "B01", "B02")) == ("B02", "B04", "B08")
    with pytest.raises(InputError, match=r"needs 3 bands of .* and there is B02, B04; take --method statistical"):
        NET.choose(("B02", "B04", "B01"))


def test_what_does_not_fit_is_refused() -> None:
    before, after, _ = scenes()
    with pytest.raises(InputError, match="before, after and valid are"):
        NET.probability(before, after[:, 1:], BANDS, everywhere(before))
    with pytest.raises(InputError, match=r"expected at least 3 of .* and no others"):
        NET.probability(before, after, ("B02", "B03", "B04", "B01"), everywhere(before))


def test_it_can_be_sent_to_a_process() -> None:
    assert len(pickle.dumps(NET)) < 500
    assert ChangeNet(weights=Path("mine.onnx")) != NET
