"""Changes planted into real pairs, with known truth: small regions between real covers, and large burns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from _pairs import Mask, Pair, Reflectance, burnt, bushfire, cover_pixels

MIXTURES = (0.3, 0.6, 1.0)
SIZES = (2, 500)
COVERS = 8
_SOFTNESS_PX = 0.6
_DARKEST = np.float32(1e-4)


@dataclass(frozen=True)
class Planted:
    """One region."""

    size: int
    """Pixels that were drawn; at the border of the valid area fewer count."""
    mixture: float
    """Share of the full contrast between the two covers."""
    contrast: float
    """Length of the planted difference over the bands, reflectance."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What was planted into a pair."""

    pair: Pair
    number: NDArray[np.int32]
    """(y, x) 1 + index of the region that makes up at least half of the pixel, 0 elsewhere."""
    rim: Mask
    """(y, x) less than half changed, but not nothing."""
    regions: Sequence[Planted]


def plant(pair: Pair, seed: int, share: float = 0.01) -> Truth:
    """Plant regions into AFTER until that share of the valid area has changed.

    Sizes are log-uniform from 2 to 500 pixels, but no region is larger than what is still missing (two pixels at
    least): in images of 4096 pixels 1 % is 40 pixels. Shapes are ellipses with ragged outlines; their hard footprint,
    smoothed by 0.6 pixel, is the weight w of the change. The contrast is the difference of two real pixels of two
    covers, times 0.3, 0.6 or 1.
    """
    rng = np.random.default_rng(seed)
    after = pair.after.copy()
    number = np.zeros(pair.valid.shape, np.int32)
    weight = np.zeros(pair.valid.shape)
    regions: list[Planted] = []
    target, planted = share * pair.valid.sum(), 0
    while planted < target:
        drawn = int(np.exp(rng.uniform(np.log(SIZES[0]), np.log(SIZES[1] + 1))))
        size = max(SIZES[0], min(drawn, int(target - planted)))
        soft = _shape(size, rng)
        window = _place(soft.shape, pair.valid, rng)
        if window is None or (weight[window] > 0).any():
            continue
        mixture = float(rng.choice(MIXTURES))
        difference = mixture * _contrast(rng)
        changed = after[:, *window] + soft * difference[:, None, None]
        after[:, *window] = np.where(soft > 0, np.maximum(changed, _DARKEST), after[:, *window])
        weight[window] = soft
        regions.append(Planted(size, mixture, float(np.linalg.norm(difference))))
        inside = (soft >= 0.5) & pair.valid[window]
        number[window][inside] = len(regions)
        planted += int(inside.sum())
    rim = (weight > 0) & (weight < 0.5)
    return Truth(replace(pair, after=after), number, rim, regions)


def burn(pair: Pair, share: float, severity: float, seed: int) -> Truth:
    """Burn a ragged part of AFTER: every pixel times a ratio after / before of the real burn of bushfire-2018-2019.

    Args:
        pair: clear.
        share: of the valid area.
        severity: exponent of the ratios: 1 as it was, 0.5 half as strong.
        seed: of the outline.
    """
    rng = np.random.default_rng(seed)
    rows, columns = pair.valid.shape
    field = ndimage.gaussian_filter(rng.normal(size=(rows, columns)), 25)
    y, x = np.mgrid[:rows, :columns]
    middle = rng.uniform(0.3, 0.7, 2) * (rows, columns)
    field = field / field.std() - 3 * np.hypot(y - middle[0], x - middle[1]) / rows
    inside = field > np.quantile(field[pair.valid], 1 - share)
    soft = ndimage.gaussian_filter(inside.astype(np.float32), 0.8)
    soft[soft < 0.005] = 0
    factor = 1 - soft + soft * _tiled(burn_ratios(), pair.valid.shape) ** np.float32(severity)
    number = ((soft >= 0.5) & pair.valid).astype(np.int32)
    whole = Planted(int(number.sum()), severity, float("nan"))
    return Truth(replace(pair, after=pair.after * factor), number, (soft > 0) & (soft < 0.5), [whole])


@cache
def burn_ratios() -> Reflectance:
    """(band, y, x) after / before of a rectangle in the real burn, pixels outside of it filled with its median."""
    fire = bushfire()
    inside = burnt(fire)
    ratio = fire.after / np.maximum(fire.before, np.float32(0.01))
    ratio[:, ~inside] = np.median(ratio[:, inside], axis=1)[:, None]
    return np.asarray(np.clip(ratio[:, 150:450, 120:320], 0.1, 1.5))


def _tiled(texture: Reflectance, shape: tuple[int, int]) -> Reflectance:
    """A texture mirrored at its borders until it covers the shape."""
    spare = [(0, max(0, wanted - there)) for wanted, there in zip(shape, texture.shape[1:], strict=True)]
    return np.pad(texture, [(0, 0), *spare], mode="symmetric")[:, : shape[0], : shape[1]]


@cache
def _covers() -> tuple[Reflectance, ...]:
    """Real pixels (n, band) of each cover, k-means on the logarithm."""
    from sklearn.cluster import KMeans

    pixels = cover_pixels()
    labels = KMeans(COVERS, n_init=3, random_state=0).fit_predict(np.log(pixels + 0.02))
    return tuple(pixels[labels == cover] for cover in range(COVERS))


def _contrast(rng: np.random.Generator) -> NDArray[np.float32]:
    """Difference of a real pixel of one cover and one of another."""
    one, other = (_covers()[cover] for cover in rng.choice(COVERS, 2, replace=False))
    return other[rng.integers(len(other))] - one[rng.integers(len(one))]


def _shape(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Weight of the change (y, x): about ``size`` pixels of at least one half."""
    radius = np.sqrt(size / np.pi)
    reach = int(np.ceil(2 * radius)) + 3
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    flat, turn = np.sqrt(rng.uniform(0.6, 1)), rng.uniform(0, np.pi)
    along, across = y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)
    ragged = ndimage.gaussian_filter(rng.normal(size=y.shape), max(1.0, radius / 3)) * radius * 0.6
    distance = np.hypot(along / flat, across * flat) + ragged
    hard = distance <= np.sort(distance, axis=None)[size - 1]
    soft = ndimage.gaussian_filter(hard.astype(np.float64), _SOFTNESS_PX)
    soft[soft < 0.005] = 0
    return np.asarray(soft)


def _place(shape: tuple[int, ...], valid: Mask, rng: np.random.Generator) -> tuple[slice, slice] | None:
    """A window of that shape around a random valid pixel; None where there is none."""
    half = shape[0] // 2
    if min(valid.shape) <= 2 * half + 1:
        return None
    row, column = (int(rng.integers(half, limit - half)) for limit in valid.shape)
    if not valid[row, column]:
        return None
    return slice(row - half, row + half + 1), slice(column - half, column + half + 1)
