"""Textures against a slow and readable oracle, on patterns whose textures are known, and where others go wrong."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.features.texture import GLCM_FEATURES, MISSING, GlcmOptions, glcm, halo_px, quantise

Levels = NDArray[np.uint8]
OFFSETS = {0: (0, 1), 45: (1, 1), 90: (1, 0), 135: (1, -1)}


def matrix(window: dict[tuple[int, int], int], offset: tuple[int, int]) -> Counter[tuple[int, int]]:
    """How often two levels stand side by side in a window of known pixels, both ways."""
    counts: Counter[tuple[int, int]] = Counter()
    for (y, x), level in window.items():
        other = window.get((y + offset[0], x + offset[1]))
        if other is not None:
            counts[level, other] += 1
            counts[other, level] += 1
    return counts


def features(counts: Counter[tuple[int, int]]) -> dict[str, float]:
    """Every feature by its definition."""
    p = {pair: count / counts.total() for pair, count in counts.items()}
    mean = sum(i * share for (i, _), share in p.items())
    variance = sum((i - mean) ** 2 * share for (i, _), share in p.items())
    covariance = sum((i - mean) * (j - mean) * share for (i, j), share in p.items())
    asm = sum(share**2 for share in p.values())
    return {
        "contrast": sum((i - j) ** 2 * share for (i, j), share in p.items()),
        "dissimilarity": sum(abs(i - j) * share for (i, j), share in p.items()),
        "homogeneity": sum(share / (1 + (i - j) ** 2) for (i, j), share in p.items()),
        "energy": math.sqrt(asm),
        "correlation": covariance / variance if variance > 1e-12 else 1.0,
        "entropy": -sum(share * math.log(share) for share in p.values()),
        "asm": asm,
    }


def oracle(image: Levels, options: GlcmOptions) -> NDArray[np.float64]:
    """Textures pixel by pixel; distances of 1 only."""
    radius, missing = options.window // 2, MISSING if options.levels <= MISSING else None
    if options.border == "reflect":
        image = np.pad(image, radius, mode="symmetric")
    known = {(y, x): int(level) for (y, x), level in np.ndenumerate(image) if level != missing}
    out = np.full((len(options.features), *image.shape), np.nan)
    for y, x in np.ndindex(image.shape):
        window = {
            (v, u): known[v, u]
            for v in range(y - radius, y + radius + 1)
            for u in range(x - radius, x + radius + 1)
            if (v, u) in known
        }
        found = []
        for angle in options.angles:
            counts = matrix(window, OFFSETS[angle])
            down, right = OFFSETS[angle]
            possible = (options.window - down) * (options.window - abs(right))
            if counts.total() < possible:
                break
            found.append(features(counts))
        else:
            out[:, y, x] = [np.mean([each[name] for each in found]) for name in options.features]
    return out[:, radius:-radius, radius:-radius] if options.border == "reflect" else out


def image_of(seed: int, shape: tuple[int, int], levels: int, gaps: float = 0.0) -> Levels:
    """Even ground, noise, and an even part of it, with gaps."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, levels, shape)
    image[: shape[0] // 2] = np.clip(image[: shape[0] // 2] // 8 + levels // 2, 0, levels - 1)
    image[:, : shape[1] // 3] = levels - 1
    return np.where(rng.random(shape) < gaps, MISSING, image).astype(np.uint8)


@pytest.mark.parametrize(
    ("more", "gaps"),
    [
        ({}, 0.0),
        ({}, 0.25),
        ({"window": 3, "levels": 2}, 0.2),
        ({"window": 5, "levels": 255, "directions": 1}, 0.3),
        ({"window": 5, "levels": 8, "directions": 2, "border": "reflect"}, 0.1),
        ({"window": 3, "levels": 16, "directions": (135,), "features": ("asm", "entropy")}, 0.4),
        ({"window": 9, "levels": 256, "directions": (45, 0)}, 0.0),
    ],
)
def test_textures_are_what_their_definitions_say(more: dict[str, Any], gaps: float) -> None:
    options = GlcmOptions(**more)
    image = image_of(1, (13, 21), options.levels, gaps)
    found, expected = glcm(image, options), oracle(image, options)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert 0 < np.isnan(found).mean() < 0.9 or options.border == "reflect"
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def at_centre(image: Levels, **more: Any) -> dict[str, float]:
    options = GlcmOptions(**more)
    middle = glcm(image, options)[:, image.shape[0] // 2, image.shape[1] // 2]
    return dict(zip(options.features, middle.tolist(), strict=True))


def test_even_ground_has_no_entropy_and_correlation_one() -> None:
    assert at_centre(np.full((7, 7), 9, np.uint8)) == {
        "contrast": 0,
        "dissimilarity": 0,
        "homogeneity": 1,
        "energy": 1,
        "correlation": 1,
        "entropy": 0,
        "asm": 1,
    }


@pytest.mark.parametrize(("angle", "same"), [(0, False), (45, True), (90, False), (135, True)])
def test_a_chessboard_alternates_along_rows_and_columns_and_not_along_diagonals(angle: int, same: bool) -> None:
    board = (3 + 4 * (np.indices((8, 8)).sum(axis=0) % 2)).astype(np.uint8)
    found = at_centre(board, window=5, directions=(angle,))
    assert found["contrast"] == (0 if same else 16)
    assert found["correlation"] == pytest.approx(1 if same else -1, abs=1e-6)
    assert found["homogeneity"] == pytest.approx(1 if same else 1 / 17, abs=1e-6)


def test_45_degrees_look_down_to_the_right_as_in_scikit_image() -> None:
    stripes = (np.subtract(*np.indices((9, 9))) % 3).astype(np.uint8)
    assert at_centre(stripes, directions=(45,))["contrast"] == 0
    assert at_centre(stripes, directions=(135,))["contrast"] > 1


def shortcut(image: Levels, levels: int, window: int) -> float:
    """Entropy as whole-image arithmetic often has it: a plane of counts for each cell, and a little added to each so
    that the logarithm exists. Cells without a pair then add to the entropy, and the shares no longer sum to one."""
    little = 1 / window**2
    total = 0.0
    for i, j in np.ndindex(levels, levels):
        share = float(np.mean((image[:, :-1] == i) & (image[:, 1:] == j)))
        total -= (share + little) * math.log(share + little)
    return total


def test_cells_without_pairs_add_nothing_to_the_entropy_which_the_common_shortcut_gets_wrong() -> None:
    even = np.zeros((7, 7), np.uint8)
    halves = np.indices((7, 7))[0].astype(np.uint8) // 4
    for image, right in ((even, 0.0), (halves, -4 / 7 * math.log(4 / 7) - 3 / 7 * math.log(3 / 7))):
        few, many = (at_centre(image, levels=n, directions=1)["entropy"] for n in (2, 64))
        assert few == many == pytest.approx(right, abs=1e-6)
        assert shortcut(image, 2, 7) < shortcut(image, 8, 7) - 1
        assert abs(shortcut(image, 8, 7) - right) > 1


def test_at_the_edge_of_the_image_half_a_window_is_enough_and_in_its_corner_it_is_not() -> None:
    image = image_of(2, (20, 20), 32)
    defined = ~np.isnan(glcm(image)).any(axis=0)
    assert defined[0, 3:-3].all()
    assert defined[3:-3, -1].all()
    assert not defined[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert not np.isnan(glcm(image, GlcmOptions(border="reflect"))).any()


def test_with_256_levels_the_highest_is_a_level_and_nothing_is_missing() -> None:
    image = np.full((9, 9), 255, np.uint8)
    image[4, 4] = 0
    found = glcm(image, GlcmOptions(levels=256, window=3))
    touching = (2 / 6, 2 / 4, 2 / 6, 2 / 4)
    assert found[0, 4, 4] == np.float32(65025 * np.mean(touching))
    assert np.isnan(glcm(image, GlcmOptions(levels=255, window=3))[0]).all()


def test_the_largest_window_of_the_most_levels_is_still_exact() -> None:
    image = (255 * (np.indices((255, 255)).sum(axis=0) % 2)).astype(np.uint8)
    found = at_centre(image, window=255, levels=256, directions=(0,))
    assert (found["contrast"], found["dissimilarity"], found["correlation"]) == (65025, 255, -1)
    assert found["entropy"] == pytest.approx(math.log(2), abs=1e-6)
    assert found["homogeneity"] == pytest.approx(1 / 65026, abs=1e-7)


def test_an_image_smaller_than_the_window_has_no_textures() -> None:
    assert np.isnan(glcm(np.zeros((3, 4), np.uint8))).all()


def test_grey_levels_are_of_equal_width_and_what_is_beyond_belongs_to_the_outer_ones() -> None:
    values = np.array([[-1, 0, 0.0999, 0.1001, 0.39, 0.4, 7, np.nan, np.inf]], np.float32)
    np.testing.assert_array_equal(quantise(values, 0.0, 0.4, 4), [[0, 0, 0, 1, 3, 3, 3, MISSING, MISSING]])


def test_256_grey_levels_leave_no_code_for_what_is_missing() -> None:
    assert quantise(np.ones((1, 1), np.float32), 0, 1, 256)[0, 0] == 255
    with pytest.raises(InputError, match="2 values are missing, and 256 levels leave no code"):
        quantise(np.array([[np.nan, 1, np.nan]], np.float32), 0, 1, 256)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"window": 4}, "a window of 4 pixels cannot be"),
        ({"window": 257}, "a window of 257 pixels cannot be"),
        ({"levels": 1}, "1 grey levels"),
        ({"levels": 257}, "257 grey levels"),
        ({"distance": 0}, "at a distance of 0"),
        ({"window": 5, "distance": 5}, "at a distance of 5 lies in a window of 5: expected 1 to 4"),
        ({"directions": 3}, "directions 3 cannot be"),
        ({"directions": (0, 30)}, "directions"),
        ({"directions": (0, 0)}, "directions"),
        ({"directions": ()}, "directions"),
        ({"features": ("entropy", "sum")}, "there is no texture 'sum': expected some of contrast"),
        ({"features": ()}, "no texture asked for"),
        ({"border": "wrap"}, "there is no border 'wrap'"),
    ],
)
def test_options_that_cannot_be_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        GlcmOptions(**more)


def test_images_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="a grey level is 32: expected 0 to 31, or 255 where missing"):
        glcm(np.full((9, 9), 32, np.uint8))
    with pytest.raises(InputError, match=r"float32 \(9, 9\): expected uint8 \(y, x\)"):
        glcm(np.zeros((9, 9), np.float32))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="two rising limits"):
        quantise(np.zeros((1, 1), np.float32), 1.0, 1.0, 8)
    with pytest.raises(UsageError, match="300 grey levels"):
        quantise(np.zeros((1, 1), np.float32), 0.0, 1.0, 300)


def test_the_halo_is_half_a_window_at_any_distance() -> None:
    assert [halo_px(GlcmOptions(window=w, distance=d)) for w, d in ((3, 1), (7, 1), (7, 6))] == [1, 3, 3]


def test_every_feature_has_its_place() -> None:
    image = image_of(5, (12, 12), 32)
    whole = glcm(image)
    for f, name in enumerate(GLCM_FEATURES):
        np.testing.assert_array_equal(glcm(image, GlcmOptions(features=(name,)))[0], whole[f])
