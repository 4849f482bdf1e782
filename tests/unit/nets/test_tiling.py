"""Every pixel is kept once, and read with what lies around it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from groundshift.nets.tiling import tiles

SIDE = st.integers(1, 70)


@given(SIDE, SIDE, st.sampled_from([4, 16, 64]), st.sampled_from([0, 2, 8]))
def test_a_kernel_that_sees_no_farther_than_the_halo_does_not_notice_tiles(
    rows: int, columns: int, size: int, halo: int
) -> None:
    image = np.random.default_rng(rows * 71 + columns).random((rows, columns))

    def kernel(part: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(part, 2 * halo + 1, mode="constant")

    out, times = np.zeros_like(image), np.zeros(image.shape, int)
    for tile in tiles(image.shape, size, halo):
        out[tile.keep] = kernel(image[tile.read])[tile.inner]
        times[tile.keep] += 1
    assert (times == 1).all()
    np.testing.assert_allclose(out, kernel(image), atol=1e-12)


def test_tiles_begin_on_the_coarsest_grid() -> None:
    for tile in tiles((300, 200), 64, 16):
        assert all(part.start % 16 == 0 for part in tile.read)
