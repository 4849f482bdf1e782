"""Figures of a mosaic, from its own planes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from groundshift.io.planes import Planes
from groundshift.model.grid import Window, blocks
from groundshift.pipelines import mosaic_check
from groundshift.pipelines.mosaic_blocks import NODATA, SCALE, Outputs


@pytest.fixture
def out(tmp_path: Path) -> Outputs:
    """Two bands of 40 x 30 pixels: scene 1 to the left, scene 2 to the right and brighter, a hole within."""
    rng = np.random.default_rng(2)
    stored = rng.integers(500, 520, (2, 40, 30)).astype(np.int16)
    source = np.ones((40, 30), np.int32)
    source[:, 17:] = 2
    stored[:, :, 17:] += np.array([100, 7], np.int16)[:, None, None]
    source[5:9, 15:20] = 0
    stored[:, 5:9, 15:20] = NODATA
    made = Outputs(
        mosaic=Planes.create(tmp_path / "mosaic.bin", stored.shape, "int16"),
        evidence=Planes.create(tmp_path / "evidence.bin", (4, 40, 30), "int32"),
    )
    whole = Window(0, 40, 0, 30)
    made.mosaic.write(whole, stored)
    made.evidence.write(whole, source, 1)
    return made


def test_steps_are_counted_as_the_slow_way_does_in_any_strips(out: Outputs) -> None:
    whole = Window(0, 40, 0, 30)
    stored, source = out.mosaic.read(whole).astype(int), out.evidence.read(whole, 1)
    expected = np.zeros((2, 1000), int)
    for y in range(40):
        for x in range(30):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < 40 and u < 30 and source[y, x] and source[v, u] and source[y, x] != source[v, u]:
                    for band in range(2):
                        expected[band, abs(stored[band, y, x] - stored[band, v, u])] += 1
    assert expected.sum() == 2 * 36
    at, off = mosaic_check.steps(mosaic_check.Strip(out, whole))
    assert np.array_equal(at, expected)
    assert off[:, :20].sum() == off.sum() > 0
    parts = [mosaic_check.steps(mosaic_check.Strip(out, window))[0] for window in blocks((40, 30), 7)]
    assert np.array_equal(np.sum(parts, axis=0), expected)


def test_cloud_that_was_left_is_seen_in_any_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    smooth = np.kron(rng.random((12, 12)), np.ones((16, 16)))
    ground = np.stack([0.05 + 0.02 * smooth, 0.06 + 0.03 * smooth, 0.05 + 0.04 * smooth, 0.3 + 0.1 * smooth])
    y, x = np.mgrid[:192, :192]
    white = np.exp(-(((y - 96) ** 2 + (x - 60) ** 2) / 28.0**2))
    stored = np.rint((ground * (1 - white) + 0.75 * white) / SCALE).astype(np.int16)
    stored[:, :, :10] = NODATA
    planes = Planes.create(tmp_path / "mosaic.bin", stored.shape, "int16")
    planes.write(Window(0, 192, 0, 192), stored)
    out = Outputs(mosaic=planes, evidence=planes)

    def seen(side: int) -> tuple[int, int]:
        bands = ("B02", "B03", "B04", "B08")
        work = [mosaic_check.Block(out, w, 1, bands) for w in blocks((192, 192), side, side)]
        return tuple(np.sum([mosaic_check.cloud(block) for block in work], axis=0))

    clouded, looked = seen(192)
    assert looked == 192 * 182
    assert 0.6 * (white > 0.1).sum() < clouded < 1.4 * (white > 0.1).sum()
    assert seen(96) == pytest.approx((clouded, looked), rel=0.02)
