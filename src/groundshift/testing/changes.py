"""Changes planted between two dates: soft-edged blobs of known kind and area, and a river in flood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundshift.testing.landscape import Ground, ground
from groundshift.testing.spectra import Change, Cover

_HARMONICS = 4
_LARGEST = 0.36
"""Largest mean radius of a blob, as a share of its cell: what is left is room for its bays and noses."""
_TRIES = 12
_SUITED: dict[Change, tuple[Cover, ...]] = {
    Change.FLOOD: (Cover.GRASS, Cover.CEREAL, Cover.MAIZE, Cover.STUBBLE, Cover.BARE),
    Change.CLEAR_CUT: (Cover.FOREST, Cover.RIPARIAN),
    Change.BURN: (Cover.FOREST, Cover.GRASS, Cover.CEREAL, Cover.MAIZE),
    Change.CONSTRUCTION: (Cover.GRASS, Cover.CEREAL, Cover.MAIZE, Cover.GARDEN, Cover.FOREST),
    Change.HARVEST: (Cover.CEREAL, Cover.MAIZE),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Blobs:
    """All blobs of one pair; one row each."""

    place: NDArray[np.float64]
    """(n, 3): row, column, radius, pixels of 10 m."""
    outline: NDArray[np.float64]
    """(n, harmonics, 2): amplitude and phase of the squared radius."""
    kind: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Changed:
    """Changes of a window, (y, x) at 10 m."""

    amount: NDArray[np.float32]
    """Share of the pixel that has changed, 0..1; soft at the rims."""
    kind: NDArray[np.uint8]
    """Codes of :class:`~groundshift.testing.spectra.Change`."""

    @property
    def truth(self) -> NDArray[np.uint8]:
        """The kind where at least half of the pixel changed, else 0."""
        return np.where(self.amount >= 0.5, self.kind, np.uint8(0))


def blobs(
    seed: int, landscape_seed: int, shape: tuple[int, int], share: float, kinds: Sequence[Change], river_row: float
) -> Blobs:
    """Place blobs so that their areas add up to ``share`` of the image.

    The image is cut into cells with at most one blob each, of log-normal area, on ground that suits its kind; cells
    without such ground stay free, unless there are too few others for the share.
    """
    rng = np.random.default_rng([seed, 4])
    cell = float(np.clip(min(shape) / 5, 24, 250))
    grid = max(1, int(shape[0] // cell)), max(1, int(shape[1] // cell))
    step = np.array([shape[0] / grid[0], shape[1] / grid[1]])
    count = grid[0] * grid[1] if share > 0 else 0
    kind = np.array([kinds[i] for i in rng.integers(0, len(kinds), count)], np.uint8)
    amplitude = rng.uniform(0, 0.16, (count, _HARMONICS))
    outline = np.stack([amplitude, rng.uniform(0, 2 * math.pi, (count, _HARMONICS))], axis=-1)
    centre = np.stack(np.divmod(np.arange(count), grid[1]), axis=1) * step + step / 2
    tries = centre[:, np.newaxis] + rng.uniform(-0.5, 0.5, (count, _TRIES, 2)) * 0.8 * step
    spots = [_suited(tries[i], Change(kind[i]), landscape_seed, river_row) for i in range(count)]
    largest, total = math.pi * (_LARGEST * min(step)) ** 2, share * shape[0] * shape[1]
    suits = np.array([spot is not None for spot in spots], bool)
    weights = np.exp(rng.normal(0, 1.0, count)) * (suits | (0.5 * suits.sum() * largest < total))
    radius = np.sqrt(_areas(weights, total, largest) / math.pi)
    free = np.maximum(0.0, step / 2 - (radius * np.sqrt(1 + amplitude.sum(axis=1)) + 2)[:, np.newaxis])
    wanted = np.array([tries[i, 0] if spot is None else spot for i, spot in enumerate(spots)]).reshape(-1, 2)
    place = np.column_stack([centre + np.clip(wanted - centre, -free, free), radius])
    drawn = radius > 0
    return Blobs(place=place[drawn], outline=outline[drawn], kind=kind[drawn])


def _areas(weights: NDArray[np.float64], total: float, largest: float) -> NDArray[np.float64]:
    """Areas like the weights that add up to the total, none above the largest where that can be."""
    areas = np.zeros(weights.size)
    for _ in range(60):
        spare = total - areas.sum()
        room = np.where(areas < largest * 0.999, weights, 0)
        if spare <= 1e-6 * total or room.sum() == 0:
            break
        areas = np.minimum(largest, areas + spare * room / room.sum())
    return areas


def _suited(
    tries: NDArray[np.float64], kind: Change, landscape_seed: int, river_row: float
) -> NDArray[np.float64] | None:
    """The first place whose cover suits the kind, or None."""
    for place in tries:
        spot = ground(landscape_seed, int(place[0]), int(place[1]), (1, 1), river_row)
        if spot.cover[0, 0] in _SUITED[kind]:
            suited: NDArray[np.float64] = place
            return suited
    return None


def changes(
    planted: Blobs, land: Ground, y0: int, x0: int, edge_px: float, flood_height: float, harvest_share: float
) -> Changed:
    """Return the changes of a window.

    Args:
        planted: all blobs.
        land: the window's ground; standing water does not flood.
        y0: first row of the window.
        x0: first column.
        edge_px: width of the soft rims.
        flood_height: how far the river rose, in units of the ground's height; 0 not at all.
        harvest_share: share of the cereal and maize parcels harvested in between.
    """
    rows, columns = land.cover.shape
    amount = np.zeros((rows, columns), np.float32)
    kind = np.zeros((rows, columns), np.uint8)
    reach = planted.place[:, 2] * np.sqrt(1 + planted.outline[:, :, 0].sum(axis=1)) + edge_px + 1
    y, x = planted.place[:, 0], planted.place[:, 1]
    near = (y + reach > y0) & (y - reach < y0 + rows) & (x + reach > x0) & (x - reach < x0 + columns)
    for i in np.flatnonzero(near):
        _plant(amount, kind, y0, x0, planted.place[i], planted.outline[i], planted.kind[i], edge_px, reach[i])
    if harvest_share > 0:
        cut = (land.farmed < harvest_share) & (amount == 0)
        amount[cut], kind[cut] = 1, Change.HARVEST
    if flood_height > 0:
        rise = np.clip(0.5 + (np.float32(flood_height) - land.height) * np.float32(20 / edge_px), 0, 1)
        wet = rise > amount
        amount[wet], kind[wet] = rise[wet], Change.FLOOD
    amount[(kind == Change.FLOOD) & (land.cover == Cover.WATER)] = 0
    return Changed(amount=amount, kind=kind)


@njit(cache=True, nogil=True)
def _plant(amount, kind, y0, x0, place, outline, code, edge_px, reach):  # type: ignore[no-untyped-def]
    rows, columns = amount.shape
    for i in range(max(0, math.floor(place[0] - reach) - y0), min(rows, math.ceil(place[0] + reach) + 1 - y0)):
        for j in range(max(0, math.floor(place[1] - reach) - x0), min(columns, math.ceil(place[1] + reach) + 1 - x0)):
            dy, dx = y0 + i - place[0], x0 + j - place[1]
            angle = math.atan2(dy, dx)
            square = 1.0
            for k in range(outline.shape[0]):
                square += outline[k, 0] * math.cos((k + 2) * angle + outline[k, 1])
            inside = place[2] * math.sqrt(max(0.0, square)) - math.sqrt(dy * dy + dx * dx)
            share = min(1.0, max(0.0, 0.5 + inside / edge_px))
            if share > amount[i, j]:
                amount[i, j] = share
                kind[i, j] = code
