"""Class maps against other implementations: GDAL's sieve, box filters of scipy."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio.features
from scipy import ndimage

from groundshift.landcover import mmu, smooth
from groundshift.landcover.mmu import MappingUnit
from groundshift.landcover.smooth import BayesOptions


@pytest.mark.parametrize("corners", [True, False])
def test_specks_on_one_background_are_those_that_gdal_sieves(corners: bool) -> None:
    field = ndimage.gaussian_filter(np.random.default_rng(8).standard_normal((120, 130)), 1)
    codes = np.where(field > 0.55, 2, 1).astype(np.uint8)
    # GDAL merges with the largest neighbour; with one background that is the only one.
    expected = rasterio.features.sieve(codes, 12, connectivity=8 if corners else 4)
    structure = ndimage.generate_binary_structure(2, 2 if corners else 1)
    numbers, _ = ndimage.label(codes == 1, structure)
    holes = np.bincount(numbers.reshape(-1))[numbers] < 12
    there = ~ndimage.binary_dilation(holes & (codes == 1), iterations=15)
    found = mmu.sieve(codes, MappingUnit(minimum_px=12, corners=corners))
    assert (found != codes).sum() > 100
    np.testing.assert_array_equal(found[there], expected[there])


def test_bayes_of_all_neighbours_is_made_of_two_box_filters() -> None:
    p = np.random.default_rng(10).dirichlet(np.ones(3), (40, 41)).transpose(2, 0, 1) * 0.97 + 0.01
    odds = np.log(p / (1 - p))
    mean = ndimage.uniform_filter(odds, (0, 9, 9), mode="reflect")
    spread = (ndimage.uniform_filter(odds**2, (0, 9, 9), mode="reflect") - mean**2) * 81 / 80
    drawn = 1 / (1 + np.exp(-(spread * odds + 20 * mean) / (spread + 20)))
    found = smooth.bayes(p.astype(np.float32), BayesOptions(share=1.0))
    np.testing.assert_allclose(found, drawn / drawn.sum(axis=0), atol=2e-5)
