"""Where clouds throw their shadows: sought along the sun's rays, cloud by cloud, as the height that fits dark ground.

Two steps. :func:`search` looks at the whole scene from afar and finds, for every piece of cloud, the displacement to
the darkest ground that it could shade. :func:`cast` then throws the clouds of any window at full resolution. What is
dark is told by :func:`ground_level`: a shadow is a pit in the near infrared, whatever the ground around it.

Source of the idea: Z. Zhu and C. E. Woodcock (2012), Remote Sens. Environ. 118, 83 (flood-filled near infrared, cloud
objects matched along the view and the sun); the likelihood, the pieces and the neighbourhood are our own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from groundshift.clouds.scl import grow
from groundshift.errors import UsageError

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

CAST, SURE = 1, 2
"""Codes of :func:`cast`: a shadow may lie here; it does, even where the ground is dark by itself (water)."""
_STEP = 0.0005
_LEVELS = 4000
"""Steps of reflectance in which the near infrared is flooded: up to 2."""
_RIM_QUANTILE = 0.175
"""Of clear ground: where a pit is open, at the border and beside no data, it is filled to here (as Fmask does)."""
_CLOUD_QUANTILE = 0.75
"""Of clear ground: clouds hold a pit to here, lest a sunlit gap among clouds looks dark beside them."""
_BRIGHT_QUANTILE, _BRIGHT_SHARE = 0.75, 0.7
"""Bright ground of a region, and what of it counts as level: dark is then what is below 0.8 x 0.7 of it."""
_SCRAP_PX, _MOST_PIECES = 12, 8000
_TRUSTED_PX = 1000
"""From this size on a cloud speaks for itself as loudly as its region does."""
_SURE_SHARE = 0.7
_SURE_PX = 20
_SHADED = 0.7
"""Share of a true shadow that is found dark."""


@dataclass(frozen=True, kw_only=True)
class ShadowOptions:
    """How shadows are sought."""

    lowest_m: float = 200.0
    """Of cloud heights above the ground."""
    highest_m: float = 12_000.0
    """The same: cirrus."""
    least_depth: float = 0.02
    """Reflectance of the near infrared below the level of the ground around, in a shadow, at least (Fmask: 0.02)."""
    least_share: float = 0.2
    """The same relative to that level: sunlight that is missing."""
    region_m: float = 10_000.0
    """Clouds within a region of this size help each other to their height."""
    parallax: float = 0.21
    """Tangent of the largest view angle (12 degrees): a cloud is seen beside its place by height times this."""

    def __post_init__(self) -> None:
        if not 0 < self.lowest_m < self.highest_m:
            raise UsageError(f"cloud heights from {self.lowest_m:g} to {self.highest_m:g} m: expected rising ones.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Casts:
    """What :func:`search` found, on its coarse grid."""

    piece: NDArray[np.int32]
    """(y, x): number of the piece of cloud, -1 none."""
    shift_px: NDArray[np.float32]
    """(piece, 2): rows and columns from a piece to its shadow, coarse pixels."""
    kind: NDArray[np.uint8]
    """(piece): 0 no shadow found, :data:`CAST` or :data:`SURE`."""
    height_m: NDArray[np.float32]
    """(piece): height above the ground, for the curious; where the view is oblique, off by up to a quarter."""
    level: Floats
    """(y, x): near infrared of the ground around, reflectance."""

    @property
    def reach_px(self) -> tuple[int, int, int, int]:
        """Coarse pixels that shadows lie away: least and most rows, least and most columns, rounded outwards."""
        shifts = self.shift_px[self.kind > 0]
        if not len(shifts):
            return 0, 0, 0, 0
        low, high = np.floor(shifts.min(axis=0)).astype(int), np.ceil(shifts.max(axis=0)).astype(int)
        return int(low[0]), int(high[0]), int(low[1]), int(high[1])


def dark(nir: Floats, level: Floats, options: ShadowOptions | None = None) -> Mask:
    """Return True where the near infrared lies so far below the level of the ground around that it may be shaded."""
    limits = options or ShadowOptions()
    with np.errstate(invalid="ignore"):
        depth = level - nir
        return np.asarray((depth >= limits.least_depth) & (depth >= limits.least_share * level))


def ground_level(nir: Floats, cloud: Mask, water: Mask, valid: Mask, region_px: int) -> Floats:
    """The level of the near infrared around dark places, (y, x): the larger of two, since each fails somewhere.

    The pits are filled (:func:`filled`), which finds shadows on any ground but not where they touch the border of the
    image; and bright ground of the region is taken as a measure, which finds those, but not on dark ground.

    Args:
        nir: (y, x) reflectance.
        cloud, water, valid: (y, x).
        region_px: size of a region.
    """
    bright = _bright(nir, valid & ~cloud & ~water, region_px)
    return np.asarray(np.maximum(filled(nir, cloud, valid), np.float32(_BRIGHT_SHARE) * bright), np.float32)


def filled(nir: Floats, cloud: Mask, valid: Mask) -> Floats:
    """Fill the pits of the near infrared.

    Args:
        nir: (y, x) reflectance.
        cloud: (y, x) True = cloud.
        valid: (y, x) True = data.

    Returns:
        (y, x): the lowest level at which a pixel could drain to the border or to where there is no data, both of
        which stand at the 17.5 % quantile of clear ground; in steps of 0.0005, never below ``nir`` on clear ground.

    Source: priority flood (Barnes et al. 2014, Comput. Geosci. 62).
    """
    clear = nir[valid & ~cloud]
    if not clear.size:
        return np.zeros(nir.shape, np.float32)
    rim, lid = np.quantile(clear, [_RIM_QUANTILE, _CLOUD_QUANTILE])
    surface = np.where(cloud, np.minimum(nir, lid), nir)
    steps = np.clip(np.where(valid, surface, 0) / _STEP, 0, _LEVELS - 1).astype(np.int16)
    level = _flooded(steps, valid, np.int16(min(rim / _STEP, _LEVELS - 1)))
    return np.asarray(level * np.float32(_STEP), np.float32)


def search(
    cloud: Floats,
    nir: Floats,
    water: Mask,
    valid: Mask,
    per_metre: NDArray[np.floating],
    sun: tuple[float, float],
    options: ShadowOptions | None = None,
) -> Casts:
    """Find the shadow of every piece of cloud of a scene.

    Args:
        cloud: (y, x) share of a pixel under cloud, 0 to 1.
        nir: (y, x) reflectance of the near infrared.
        water: (y, x) True = water, dark without any shadow; it is no evidence.
        valid: (y, x) True = data.
        per_metre: 2 x 2: (rows, columns) that a metre eastward and a metre northward are.
        sun: (zenith, azimuth) in degrees, azimuth clockwise from north.
        options: limits.

    Returns:
        A displacement a piece: a connected cloud, cut at the borders of regions.
    """
    limits = options or ShadowOptions()
    cloudy = (cloud > 0) & valid
    pixel_m = 1 / math.sqrt(abs(float(np.linalg.det(per_metre))))
    region_px = max(4, round(limits.region_m / pixel_m))
    level = ground_level(nir, cloudy, water, valid, region_px)
    piece, region = _pieces(cloudy, region_px)
    n = int(piece.max(initial=-1)) + 1
    nothing = Casts(
        piece=piece,
        shift_px=np.zeros((n, 2), np.float32),
        kind=np.zeros(n, np.uint8),
        height_m=np.zeros(n, np.float32),
        level=level,
    )
    evidence = _evidence(cloudy, dark(nir, level, limits), water, valid)
    zenith, azimuth = min(sun[0], 85.0), sun[1]
    if n == 0 or zenith < 2 or not evidence.any():
        return nothing
    y, x = np.nonzero(cloudy)
    voters = y.astype(np.int32), x.astype(np.int32), cloud[y, x], piece[y, x]
    heights = _heights(limits, pixel_m, zenith)
    swing = _swing(voters, evidence, region, heights, per_metre, (zenith, azimuth), limits.parallax)
    shifts = _shifts(heights, per_metre, zenith, azimuth + swing)
    sums, seen, weight = _votes(*voters, n, evidence, shifts)
    best = _chosen(sums, weight, region)
    rows = np.arange(n)
    hit, shown = sums[rows, best], seen[rows, best]
    low, high = float(evidence.min()), float(evidence.max())
    share = (hit / np.maximum(shown, 1e-6) - low) / (high - low)
    kind = np.where((shown > 0) & (hit > 0), CAST, 0).astype(np.uint8)
    kind[(kind > 0) & (share >= _SURE_SHARE) & (shown >= _SURE_PX)] = SURE
    return replace(nothing, shift_px=shifts[best], kind=kind, height_m=heights[best].astype(np.float32))


def cast(
    cloud: Mask, origin: tuple[int, int], casts: Casts, factor: int, window: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """Throw the clouds around a window onto it.

    Args:
        cloud: (y, x) True = cloud, at full resolution, of all places from which a shadow may reach the window.
        origin: (row, column) of its first pixel in the scene.
        casts: of :func:`search`, on pixels of ``factor`` x ``factor``, from the same corner.
        factor: pixels a side of a coarse pixel.
        window: rows and columns y0, y1, x0, x1 of the scene.

    Returns:
        (y, x) of the window: 0, :data:`CAST` or :data:`SURE`. Law: cutting into windows changes nothing.
    """
    y0, y1, x0, x1 = window
    out = np.zeros((y1 - y0, x1 - x0), np.uint8)
    shift = np.rint(casts.shift_px * factor).astype(np.int32)
    _cast(np.ascontiguousarray(cloud), *origin, casts.piece, shift, casts.kind, factor, y0, x0, out)
    return out


def shaded(
    thrown: NDArray[np.uint8],
    nir: Floats,
    level: Floats,
    water: Mask,
    factor: int,
    options: ShadowOptions | None = None,
) -> Mask:
    """What of the shadows that were thrown is dark enough to be believed.

    Args:
        thrown: (y, x) of :func:`cast`, with a halo of :func:`halo_px`.
        nir: (y, x) reflectance.
        level: (y, x) of :attr:`Casts.level`, brought to the same pixels.
        water: (y, x) True = water, shaded only where its cloud was matched surely.
        factor: pixels a side of a coarse pixel, which is how exactly shadows are thrown.
        options: limits.

    Returns:
        (y, x): dark and near to where a shadow was thrown; half as dark is enough within a sure one.
    """
    limits = options or ShadowOptions()
    half = replace(limits, least_depth=limits.least_depth / 2, least_share=limits.least_share / 2)
    near = grow(thrown > 0, _near_px(factor)) & dark(nir, level, limits)
    sure = thrown == SURE
    sure_water = grow(sure, _near_px(factor)) if water.any() else sure
    return np.asarray((near & ~(water & ~sure_water)) | (sure & dark(nir, level, half)))


def halo_px(factor: int) -> int:
    """Pixels that a block of :func:`shaded` must know beyond its border."""
    return math.ceil(_near_px(factor))


def _near_px(factor: int) -> float:
    return 1.0 + 0.5 * factor


# ---- levels, pieces and their heights ------------------------------------------------------------------------------


def _bright(nir: Floats, ground: Mask, side: int) -> Floats:
    """(y, x) near infrared of bright ground: a quantile of each region and its neighbours, smooth between."""
    from scipy import ndimage

    if not ground.any():
        return np.zeros(nir.shape, np.float32)
    rows, columns = (max(1, round(n / side)) for n in nir.shape)
    edges = [np.linspace(0, n, k + 1).round().astype(int) for n, k in zip(nir.shape, (rows, columns), strict=True)]
    everywhere = float(np.quantile(nir[ground], _BRIGHT_QUANTILE))
    grid = np.full((rows, columns), everywhere, np.float32)
    for i in range(rows):
        for j in range(columns):
            (y0, y1), (x0, x1) = (
                (edge[max(0, k - 1)], edge[min(len(edge) - 1, k + 2)]) for edge, k in zip(edges, (i, j), strict=True)
            )
            own = nir[y0:y1:2, x0:x1:2][ground[y0:y1:2, x0:x1:2]]
            if own.size >= 400:
                grid[i, j] = np.quantile(own, _BRIGHT_QUANTILE)
    places = [(np.arange(n) + 0.5) * k / n - 0.5 for n, k in zip(nir.shape, (rows, columns), strict=True)]
    at = np.meshgrid(*places, indexing="ij")
    return np.asarray(ndimage.map_coordinates(grid, at, order=1, mode="nearest"), np.float32)


def _pieces(cloudy: Mask, side: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Number (y, x) of each connected cloud, cut at the borders of regions; and (piece, 2) its region's place."""
    from scipy import ndimage

    labels, _ = ndimage.label(cloudy, np.ones((3, 3)))
    rows, columns = (np.arange(n) // side for n in cloudy.shape)
    place = rows[:, None] * (columns[-1] + 1 if columns.size else 1) + columns[None]
    key = labels.astype(np.int64) * (int(place.max(initial=0)) + 1) + place
    _, number, size = np.unique(key[cloudy], return_inverse=True, return_counts=True)
    # Scraps share a height with the others of their region, and so does what is beyond a bounded number of pieces.
    least = max(_SCRAP_PX, int(np.sort(size)[-_MOST_PIECES]) if len(size) > _MOST_PIECES else 0)
    scrap = (size < least)[number]
    key = np.where(scrap, -1 - place[cloudy], number)
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    piece = np.full(cloudy.shape, -1, np.int32)
    piece[cloudy] = number
    y, x = (axis[first] for axis in np.nonzero(cloudy))
    return piece, np.stack([rows[y], columns[x]], axis=1).astype(np.int32)


def _evidence(cloudy: Mask, is_dark: Mask, water: Mask, valid: Mask) -> Floats:
    """Log likelihood ratio of shadow against ground, a pixel; 0 where there is nothing to see."""
    ground = valid & ~cloudy & ~water
    if not ground.any():
        return np.zeros(cloudy.shape, np.float32)
    usual = float(np.clip(is_dark[ground].mean(), 0.01, 0.5))
    hit, miss = math.log(_SHADED / usual), math.log((1 - _SHADED) / (1 - usual))
    return np.where(ground, np.where(is_dark, hit, miss), 0).astype(np.float32)


def _heights(limits: ShadowOptions, pixel_m: float, zenith_deg: float) -> NDArray[np.float64]:
    """Heights whose shadows lie a pixel apart."""
    step = pixel_m / math.tan(math.radians(zenith_deg))
    count = min(400, max(2, math.ceil((limits.highest_m - limits.lowest_m) / step)))
    return np.linspace(limits.lowest_m, limits.highest_m, count)


def _shifts(
    heights: NDArray[np.float64], per_metre: NDArray[np.floating], zenith_deg: float, azimuth_deg: float
) -> NDArray[np.float32]:
    """(height, 2): rows and columns from a cloud to its shadow."""
    away, azimuth = heights * math.tan(math.radians(zenith_deg)), math.radians(azimuth_deg)
    metres = np.stack([-away * math.sin(azimuth), -away * math.cos(azimuth)], axis=1)
    return np.asarray(metres @ np.asarray(per_metre).T, np.float32)


_SWINGS = 3
_SWING_VOTERS = 60_000
_SWING_GAIN = 1.03
"""By how much another direction has to be better than those nearer to the sun's own."""


def _swing(
    voters: tuple[NDArray[Any], ...],
    evidence: Floats,
    region: NDArray[np.int32],
    heights: NDArray[np.float64],
    per_metre: NDArray[np.floating],
    sun: tuple[float, float],
    parallax: float,
) -> float:
    """Degrees by which shadows lie beside the sun's direction, for all clouds: the view is not from straight above."""
    y, x, share, piece = (each[:: max(1, len(each) // _SWING_VOTERS)] for each in voters)
    zenith, azimuth = sun
    most = math.degrees(math.atan(parallax / math.tan(math.radians(zenith))))
    coarse = heights[:: max(1, len(heights) // 100)]
    place = np.unique(region, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int32)
    best, gain = 0.0, -math.inf
    for k in sorted(range(-_SWINGS, _SWINGS + 1), key=abs):
        swing = most * k / _SWINGS
        shifts = _shifts(coarse, per_metre, zenith, azimuth + swing)
        sums, _, _ = _votes(y, x, share, place[piece], int(place.max()) + 1, evidence, shifts)
        found = float(sums.max(axis=1).clip(0).sum())
        if found > gain * _SWING_GAIN:
            best, gain = swing, found
    return best


def _chosen(sums: NDArray[np.float64], weight: NDArray[np.float64], region: NDArray[np.int32]) -> NDArray[np.intp]:
    """The height (by number) of each piece: its own evidence counts the more the larger it is, beside its region's."""
    rows, columns = region.max(axis=0) + 3
    total, area = np.zeros((rows, columns, sums.shape[1])), np.zeros((rows, columns, 1))
    at = region[:, 0] + 1, region[:, 1] + 1
    np.add.at(total, at, sums)
    np.add.at(area, at, weight[:, None])
    around = sum(np.roll(total, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1))
    extent = sum(np.roll(area, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1))
    common = (around / np.maximum(extent, 1e-6))[at]
    own = sums / np.maximum(weight, 1e-6)[:, None]
    trust = np.sqrt(np.minimum(1.0, weight / _TRUSTED_PX))[:, None]
    return np.asarray((own * trust + common).argmax(axis=1))


# ---- compiled ------------------------------------------------------------------------------------------------------


@numba.njit(cache=True, nogil=True)
def _flooded(steps, valid, rim):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Priority flood with a bucket a level; pixels of a bucket are chained."""
    rows, columns = steps.shape
    level = np.full(steps.shape, np.int16(-1))
    head = np.full(_LEVELS, np.int64(-1))
    chain = np.full(rows * columns, np.int64(-1))
    for y in range(rows):
        for x in range(columns):
            if not valid[y, x] or y in (0, rows - 1) or x in (0, columns - 1):
                here = max(steps[y, x], rim) if valid[y, x] else rim
                level[y, x] = here
                chain[y * columns + x] = head[here]
                head[here] = y * columns + x
    for at in range(_LEVELS):
        while head[at] >= 0:
            pixel = head[at]
            head[at] = chain[pixel]
            y, x = pixel // columns, pixel % columns
            for i in range(max(0, y - 1), min(rows, y + 2)):
                for j in range(max(0, x - 1), min(columns, x + 2)):
                    if level[i, j] < 0:
                        here = max(np.int16(at), steps[i, j])
                        level[i, j] = here
                        chain[i * columns + j] = head[here]
                        head[here] = i * columns + j
    return level


@numba.njit(cache=True, nogil=True)
def _votes(y, x, share, owner, owners, evidence, shifts):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """(owner, shift) evidence under the shadows and area that is seen of them; (owner) area of cloud."""
    rows, columns = evidence.shape
    sums = np.zeros((owners, shifts.shape[0]))
    seen = np.zeros((owners, shifts.shape[0]))
    weight = np.zeros(owners)
    for i in range(y.size):
        weight[owner[i]] += share[i]
    for k in range(shifts.shape[0]):
        dy, dx = round(shifts[k, 0]), round(shifts[k, 1])
        for i in range(y.size):
            v, u = y[i] + dy, x[i] + dx
            if 0 <= v < rows and 0 <= u < columns and evidence[v, u] != 0:
                sums[owner[i], k] += share[i] * evidence[v, u]
                seen[owner[i], k] += share[i]
    return sums, seen, weight


@numba.njit(cache=True, nogil=True)
def _cast(cloud, top, left, piece, shift, kind, factor, y0, x0, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    for i in range(cloud.shape[0]):
        for j in range(cloud.shape[1]):
            if not cloud[i, j]:
                continue
            owner = piece[(top + i) // factor, (left + j) // factor]
            if owner < 0 or kind[owner] == 0:
                continue
            v, u = top + i + shift[owner, 0] - y0, left + j + shift[owner, 1] - x0
            if 0 <= v < out.shape[0] and 0 <= u < out.shape[1]:
                out[v, u] = max(out[v, u], kind[owner])
