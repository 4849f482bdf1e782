"""Laws of what is done to class probabilities and class maps: blocks change nothing, no data never spreads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from groundshift.io import coverage
from groundshift.landcover import mmu, smooth
from groundshift.landcover.mmu import MappingUnit
from groundshift.landcover.smooth import BayesOptions, BilateralOptions, MajorityOptions
from groundshift.model.grid import blocks

Block = dict[str, Any]
blocked = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "shape": st.tuples(st.integers(1, 26), st.integers(1, 26)),
        "rows": st.integers(1, 27),
        "columns": st.integers(1, 27),
    }
)


def scene(block: Block) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Probabilities of three classes with holes, rounded so that there are equals, and a speckled map."""
    random = np.random.default_rng(block["seed"])
    p = random.dirichlet(np.full(3, 0.6), block["shape"]).transpose(2, 0, 1)
    p = np.round(p, 1).astype(np.float32)
    p[:, random.random(block["shape"]) < 0.1] = np.nan
    codes = random.choice(np.array([0, 1, 2, 3, 255], np.uint8), block["shape"], p=[0.05, 0.45, 0.3, 0.15, 0.05])
    return p, codes


def in_blocks(work: Callable[[Any], Any], array: NDArray[Any], halo_px: int, block: Block) -> NDArray[Any]:
    out = np.zeros_like(array)
    for window in blocks(block["shape"], block["rows"], block["columns"]):
        padded = window.padded(halo_px, block["shape"])
        out[..., *window.slices] = work(array[..., *padded.slices])[..., *window.within(padded).slices]
    return out


@pytest.mark.parametrize(
    ("work", "options"),
    [
        (smooth.bilateral, BilateralOptions()),
        (smooth.bayes, BayesOptions(window_px=5)),
        (smooth.bayes, BayesOptions(window_px=5, share=1.0)),
    ],
)
@settings(max_examples=25, deadline=None)
@given(block=blocked)
def test_blocks_change_no_bit_of_smoothed_probabilities(work: Any, options: Any, block: Block) -> None:
    p, _ = scene(block)
    whole = work(p, options)
    np.testing.assert_array_equal(in_blocks(lambda part: work(part, options), p, options.halo_px, block), whole)
    known = ~np.isnan(whole[0])
    np.testing.assert_array_equal(known, np.nan_to_num(p).sum(axis=0) > 0)
    np.testing.assert_allclose(whole[:, known].sum(axis=0), 1, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(block=blocked)
def test_blocks_change_nothing_of_the_majority(block: Block) -> None:
    _, codes = scene(block)
    options = MajorityOptions(window_px=5)
    parts = in_blocks(lambda part: smooth.majority(part, options), codes, options.halo_px, block)
    np.testing.assert_array_equal(parts, smooth.majority(codes, options))


@settings(max_examples=40, deadline=None)
@given(block=blocked, minimum=st.integers(1, 9), corners=st.booleans())
def test_blocks_change_nothing_of_a_round_of_the_mapping_unit(block: Block, minimum: int, corners: bool) -> None:
    p, codes = scene(block)
    unit = MappingUnit(minimum_px=minimum, corners=corners, exempt=(3,))
    both = np.concatenate([codes[None].astype(np.float32), p])
    parts = in_blocks(
        lambda part: mmu.absorb(part[0].astype(np.uint8), unit, part[1:], (1, 2, 3))[None], both, unit.halo_px, block
    )
    np.testing.assert_array_equal(parts[0], mmu.absorb(codes, unit, p, (1, 2, 3)))


@settings(max_examples=40, deadline=None)
@given(block=blocked, tolerance=st.sampled_from([0.0, 1.0, 2.5]))
def test_polygons_of_tiles_share_their_borders_and_lose_nothing(block: Block, tolerance: float) -> None:
    _, codes = scene(block)

    def polygons(rows: int, columns: int) -> coverage.ClassPolygons:
        around = np.pad(codes, 1)
        tiles = [
            coverage.tile(
                around[w.y0 : w.y1 + 2, w.x0 : w.x1 + 2], w, codes.shape, tolerance, codes[w.slices], None, (1, 2, 3)
            )
            for w in blocks(codes.shape, rows, columns)
        ]
        return coverage.join(tiles, codes.shape[1], Affine(10, 0, 300_000, 0, -10, 5_000_000))

    whole, parts = polygons(*codes.shape), polygons(block["rows"], block["columns"])
    shapes = shapely.from_wkb(parts.geometries)
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)
    np.testing.assert_array_equal(parts.code, whole.code)
    np.testing.assert_array_equal(parts.measures.pixels, whole.measures.pixels)
    np.testing.assert_array_equal(parts.measures.classes, whole.measures.classes)
    if tolerance == 0:
        assert parts.geometries.tolist() == whole.geometries.tolist()
        np.testing.assert_array_equal(shapely.area(shapes), 100 * parts.measures.pixels)
