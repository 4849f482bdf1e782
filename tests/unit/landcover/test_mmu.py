"""The minimum mapping unit, against a slow and readable version."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from groundshift.errors import InputError, UsageError
from groundshift.landcover.mmu import MappingUnit, absorb, sieve

Codes = NDArray[np.uint8]


def structure(unit: MappingUnit) -> NDArray[np.bool_]:
    return ndimage.generate_binary_structure(2, 2 if unit.corners else 1)


def regions(codes: Codes, unit: MappingUnit) -> list[tuple[int, NDArray[np.bool_]]]:
    found = []
    for code in np.setdiff1d(np.unique(codes), (0, 255)):
        numbers, count = ndimage.label(codes == code, structure(unit))
        found += [(int(code), numbers == k) for k in range(1, count + 1)]
    return found


def one_round(codes: Codes, unit: MappingUnit, p: NDArray[np.float32], classes: Sequence[int]) -> Codes:
    all_, out = regions(codes, unit), codes.copy()
    large = [(code, mask) for code, mask in all_ if mask.sum() >= unit.minimum_px]
    for code, mask in all_:
        if mask.sum() >= unit.minimum_px or code in unit.exempt:
            continue
        rim = ndimage.binary_dilation(mask, structure(unit)) & ~mask
        sums = {other: p[classes.index(other)][mask].sum(dtype=float) for other, its in large if (its & rim).any()}
        if sums:
            out[mask] = min(sums, key=lambda other: (-sums[other], other))
    return out


@pytest.fixture(scope="module")
def scene() -> tuple[Codes, NDArray[np.float32]]:
    """A speckled map of four classes with holes, and its probabilities."""
    random = np.random.default_rng(4)
    field = ndimage.gaussian_filter(random.standard_normal((4, 40, 46)), (0, 1.2, 1.2))
    p = np.exp(12 * field)
    p = (p / p.sum(axis=0)).astype(np.float32)
    codes = np.array([2, 5, 9, 11], np.uint8)[p.argmax(axis=0)]
    codes[10:14, 20:25], codes[30, :9] = 255, 0
    return codes, p


@pytest.mark.parametrize("corners", [True, False])
def test_a_round_gives_small_regions_to_the_likeliest_large_neighbour(
    scene: tuple[Codes, NDArray[np.float32]], corners: bool
) -> None:
    codes, p = scene
    unit = MappingUnit(minimum_px=15, corners=corners, exempt=(9,))
    np.testing.assert_array_equal(absorb(codes, unit, p, [2, 5, 9, 11]), one_round(codes, unit, p, [2, 5, 9, 11]))


@pytest.mark.parametrize("corners", [True, False])
def test_in_the_end_only_what_has_no_large_neighbour_is_small(
    scene: tuple[Codes, NDArray[np.float32]], corners: bool
) -> None:
    codes, p = scene
    unit = MappingUnit(minimum_px=15, corners=corners)
    done = sieve(codes, unit, p, [2, 5, 9, 11])
    assert min(mask.sum() for _, mask in regions(done, unit)) >= 15
    np.testing.assert_array_equal(done == 255, codes == 255)
    np.testing.assert_array_equal(done == 0, codes == 0)


def test_small_regions_among_small_ones_wait_for_their_turn() -> None:
    codes = np.array([[1] * 12 + [2, 2, 3, 3]], np.uint8)
    unit = MappingUnit(minimum_px=5)
    assert absorb(codes, unit).tolist() == [[1] * 14 + [3, 3]]
    assert sieve(codes, unit).tolist() == [[1] * 16]


def test_what_is_exempt_stays_and_an_island_in_no_data_too() -> None:
    codes = np.full((12, 12), 1, np.uint8)
    codes[5] = 4
    codes[8:11, 8:11] = 255
    codes[9, 9] = 2
    unit = MappingUnit(minimum_px=20, exempt=(4,))
    np.testing.assert_array_equal(sieve(codes, unit), codes)


def test_without_probabilities_the_longest_border_takes() -> None:
    codes = np.full((9, 9), 1, np.uint8)
    codes[:, 5:] = 2
    codes[4, 3:5] = 3
    assert set(sieve(codes, MappingUnit(minimum_px=4, corners=False))[4, 3:5]) == {1}
    p = np.zeros((2, 9, 9), np.float32)
    p[1] = 0.1
    assert set(sieve(codes, MappingUnit(minimum_px=4, corners=False), p, [1, 2])[4, 3:5]) == {2}


def test_of_equals_the_lowest_code_takes() -> None:
    codes = np.array([[7, 7, 7, 5, 2, 2, 2]], np.uint8)
    assert sieve(codes, MappingUnit(minimum_px=2)).tolist() == [[7, 7, 7, 2, 2, 2, 2]]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="0 pixels"):
        MappingUnit(minimum_px=0)
    with pytest.raises(InputError, match="a layer a code"):
        absorb(np.ones((3, 3), np.uint8), MappingUnit(), np.ones((2, 3, 3), np.float32), [1])
    with pytest.raises(InputError, match="expected uint8"):
        absorb(np.ones((3, 3), np.int32), MappingUnit())  # type: ignore[arg-type]
