"""Laws of principal components: blocks, order, scale."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from groundshift.features.components import Components, Moments, apply, fit, merge, summarise

seeds = st.integers(0, 9999)
laws = settings(max_examples=50, deadline=None)
BANDS, SHAPE = 5, (30, 40)


def image_of(seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Correlated bands whose means drift over the image, so that blocks differ; a part of it is not valid."""
    rng = np.random.default_rng(seed)
    mixing = np.linalg.qr(rng.normal(size=(BANDS, BANDS)))[0] * 0.5 ** np.arange(BANDS)
    sources = rng.normal(size=(BANDS, *SHAPE)) + np.linspace(0, 3, SHAPE[0])[:, None]
    values = (0.2 + 0.05 * np.einsum("bc,cyx->byx", mixing, sources)).astype(np.float32)
    valid = rng.random(SHAPE) < rng.choice([0.3, 1.0])
    return np.where(valid, values, np.float32(np.nan)), valid


def assert_close(one: Components, other: Components) -> None:
    for name in ("mean", "scale", "loadings"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=1e-9)
    np.testing.assert_allclose(one.variance, other.variance, rtol=1e-9)


@laws
@given(seeds, st.booleans(), st.data())
def test_blocks_merged_in_any_order_give_the_same_components(seed: int, standardise: bool, data: st.DataObject) -> None:
    values, valid = image_of(seed)
    rows = sorted({0, SHAPE[0], *data.draw(st.lists(st.integers(1, SHAPE[0] - 1), max_size=4))})
    columns = sorted({0, SHAPE[1], *data.draw(st.lists(st.integers(1, SHAPE[1] - 1), max_size=4))})
    parts: list[Moments] = [
        summarise(values[:, y0:y1, x0:x1], valid[y0:y1, x0:x1])
        for y0, y1 in pairwise(rows)
        for x0, x1 in pairwise(columns)
    ]
    shuffled = data.draw(st.permutations(parts))
    half = len(shuffled) // 2
    pooled = merge(reduce(merge, shuffled[half:]), reduce(merge, shuffled[:half])) if half else shuffled[0]
    assert pooled.n == valid.sum()
    assert_close(fit(pooled, standardise), fit(summarise(values, valid), standardise))


@laws
@given(seeds, st.data())
def test_applied_to_a_block_they_give_the_bits_of_the_whole(seed: int, data: st.DataObject) -> None:
    values, valid = image_of(seed)
    found = fit(summarise(values, valid))
    y, x = data.draw(st.integers(0, SHAPE[0] - 1)), data.draw(st.integers(0, SHAPE[1] - 1))
    count = data.draw(st.integers(1, BANDS))
    np.testing.assert_array_equal(apply(found, values[:, y:, x:], count), apply(found, values, BANDS)[:count, y:, x:])


@laws
@given(seeds)
def test_units_of_bands_do_not_matter_if_standardised(seed: int) -> None:
    values, valid = image_of(seed)
    units = np.array([1, 10, 1e4, 0.01, 3])[:, None, None]
    one = fit(summarise(values, valid), standardise=True)
    other = fit(summarise(values * units, valid), standardise=True)
    np.testing.assert_allclose(one.loadings, other.loadings, atol=1e-6)
    np.testing.assert_allclose(apply(one, values, BANDS), apply(other, values * units, BANDS), atol=1e-4)
