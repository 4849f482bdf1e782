"""The networks that look at previews: cloud and haze where they were planted, whatever level, size and source."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.clouds.preview import PreviewNet, stretch

SHAPE = (75, 90)
GREEN = np.array([0.035, 0.055, 0.035], np.float32)[:, None, None]
VEIL = np.array([0.02, 0.03, 0.045], np.float32)[:, None, None]
AIR = np.array([0.028, 0.045, 0.075], np.float32)[:, None, None]
VALID = np.ones(SHAPE, bool)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
CLOUD = np.hypot(Y - 36, X - 20) < 12
HAZE = X > 55
INNER = (abs(np.hypot(Y - 36, X - 20) - 12) > 3) & (abs(X - 55) > 7)


@pytest.fixture(scope="module")
def preview() -> NDArray[np.float32]:
    """Woods, a cloud in the west, haze in the east."""
    texture = np.random.default_rng(4).lognormal(0, 0.15, SHAPE).astype(np.float32)
    rgb = GREEN * texture + VEIL * HAZE
    rgb[:, CLOUD] = 0.55
    return rgb


def test_cloud_and_haze_are_found_where_they_are(preview: NDArray[np.float32]) -> None:
    found = PreviewNet().look(preview, VALID, "L2A")
    assert found.cloud[CLOUD & INNER].mean() > 0.98
    assert found.haze[HAZE & INNER].mean() > 0.95
    assert (found.cloud | found.haze)[~CLOUD & ~HAZE & INNER].mean() < 0.02
    assert not (found.cloud & found.haze).any()


def test_the_air_of_level_1c_is_no_haze(preview: NDArray[np.float32]) -> None:
    surface, top = (PreviewNet().look(*each) for each in ((preview, VALID, "L2A"), (preview + AIR, VALID, "L1C")))
    outside = ~CLOUD
    np.testing.assert_array_equal(surface.haze[outside], top.haze[outside])
    assert PreviewNet().look(preview + AIR, VALID, "L2A").haze[~CLOUD & ~HAZE & INNER].mean() > 0.5


def test_eight_bits_tell_the_same(preview: NDArray[np.float32]) -> None:
    stored = np.clip(np.rint(preview / 0.3558 * 254), 0, 254) / 254 * 0.3558
    pixels, shown = (stretch(each.astype(np.float32), VALID) for each in (preview, stored))
    np.testing.assert_allclose(pixels[:, CLOUD], shown[:, CLOUD], atol=0.01)
    whole, cut = (PreviewNet().look(each.astype(np.float32), VALID, None) for each in (preview, stored))
    assert (whole.cloud == cut.cloud).mean() > 0.995
    assert (whole.haze == cut.haze).mean() > 0.99


def test_no_data_is_neither(preview: NDArray[np.float32]) -> None:
    valid = X > 20
    found = PreviewNet().look(np.where(valid, preview, 0), valid, "L2A")
    assert not (found.cloud | found.haze)[~valid].any()
    assert found.cloud[CLOUD & INNER & valid].mean() > 0.95
