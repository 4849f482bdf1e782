"""Kinds of change: k-means on amplitude and angle of the changed pixels, and a table that says what each kind is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.model.legend import NO_CHANGE

_OUTLIERS = (0.01, 0.99)
_SMALLEST = 1e-12
_FEW = 20_000
"""Points on which starts are tried."""
_ITERATIONS = 300
_STILL = 1e-4
"""Standard deviations: centres that move less have arrived."""


@dataclass(frozen=True, kw_only=True)
class KindOptions:
    """How the changed pixels are grouped."""

    classes: int = 4
    """Number of kinds (SatCen S2-CD: 4)."""
    pixels: int = 200_000
    """Changed pixels that the kinds are fitted on, at most 1e6; taken evenly."""
    starts: int = 10
    """k-means++ starts of which the best is kept."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.classes <= 254:
            raise UsageError(f"{self.classes} kinds of change cannot be: expected 1 to 254.")
        if not 1 <= self.pixels <= 1_000_000 or self.starts < 1:
            raise UsageError(f"these options of the kinds cannot be: {self}.")


@dataclass(frozen=True, eq=False)
class KindModel:
    """Centres in the plane of standardised log amplitude and angle; row i is kind i + 1."""

    centres: NDArray[np.float64]
    """(k, 2), by rising mean angle, then amplitude; (0, 2) when nothing changed."""
    middle: NDArray[np.float64]
    """(2,) mean of log amplitude and of the angle in degrees."""
    scale: NDArray[np.float64]
    """(2,) their standard deviations."""

    @property
    def classes(self) -> int:
        """Number of kinds; may be less than asked for."""
        return len(self.centres)


def fit(amplitude: NDArray[np.floating], angle: NDArray[np.floating], options: KindOptions | None = None) -> KindModel:
    """Group changed pixels.

    Args:
        amplitude: (n,) of changed pixels only, positive.
        angle: (n,) degrees; pixels without an angle are passed over.
        options: how.

    Returns:
        The kinds: fewer than asked for where fewer distinct pixels changed, none where nothing did.

    The two axes are standardised after their outer 1 % were drawn in, since Euclidean k-means on amplitude (5..50)
    and angle would see nothing but the amplitude. Labels do not depend on the order of starts: kind 1 has the
    smallest mean angle.
    """
    options = options or KindOptions()
    usable = (amplitude > 0) & np.isfinite(amplitude) & np.isfinite(angle)
    plane = np.stack([np.log(amplitude[usable], dtype=np.float64), angle[usable].astype(np.float64)], axis=1)
    plane = plane[:: max(1, -(-len(plane) // options.pixels))]
    if not len(plane):
        return KindModel(np.empty((0, 2)), np.zeros(2), np.ones(2))
    plane = np.clip(plane, *np.quantile(plane, _OUTLIERS, axis=0))
    middle, spread = plane.mean(axis=0), plane.std(axis=0)
    scale = np.where(spread > _SMALLEST, spread, 1.0)
    centres = _cluster((plane - middle) / scale, options)
    order = np.lexsort((centres[:, 0], centres[:, 1]))
    return KindModel(centres[order], middle, scale)


def label(
    model: KindModel, amplitude: NDArray[np.floating], angle: NDArray[np.floating], changed: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Return the kind of every pixel.

    A pixel kernel.

    Args:
        model: of :func:`fit`.
        amplitude, angle: (...), of all pixels.
        changed: (...) True = change.

    Returns:
        (...) 0 where not changed, else 1..k: the nearest centre. A changed pixel without an angle goes by its
        amplitude alone. All 0 for a model without kinds.
    """
    out = np.full(amplitude.shape, NO_CHANGE, np.uint8)
    if model.classes:
        flat = (np.ascontiguousarray(part).reshape(-1) for part in (amplitude, angle, changed, out))
        _nearest(*flat, model.centres, model.middle, 1 / model.scale)
    return out


def smooth(kind: NDArray[np.uint8], radius_px: int = 1) -> NDArray[np.uint8]:
    """Return kinds without speckle: each changed pixel takes the kind that most changed pixels around it have.

    A neighbourhood kernel with a halo of ``radius_px``: what changed stays changed, what did not stays 0.

    Args:
        kind: (y, x), 0 where not changed, else 1..k.
        radius_px: of the square window; 0 leaves all as it is.

    Returns:
        (y, x). Where kinds tie, a pixel keeps its own if that is among them, else takes the lowest.
    """
    if radius_px < 1 or not kind.size:
        return kind.copy()
    out = np.zeros_like(kind)
    _majority(np.ascontiguousarray(kind), radius_px, int(kind.max()) + 1, out)
    return out


def _cluster(points: NDArray[np.float64], options: KindOptions) -> NDArray[np.float64]:
    """Centres by Lloyd's iterations: k-means++ starts on some of the points, the best of them refined on all."""
    from scipy.cluster.vq import vq

    distinct = np.unique(points[:10_000], axis=0)
    if len(distinct) < options.classes:
        distinct = np.unique(points, axis=0)
    if len(distinct) <= options.classes:
        return distinct
    rng = np.random.default_rng(options.seed)
    few = points[:: max(1, len(points) // _FEW)]
    tried = [_lloyd(few, _spread(few, options.classes, rng)) for _ in range(options.starts)]
    best = min(tried, key=lambda centres: float((vq(few, centres)[1] ** 2).sum()))
    return _lloyd(points, best)


def _spread(points: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Distinct points far from each other (k-means++: Arthur and Vassilvitskii 2007)."""
    chosen = [points[rng.integers(len(points))]]
    distance = np.full(len(points), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, ((points - chosen[-1]) ** 2).sum(axis=1))
        total = distance.sum()
        if total == 0:
            break
        chosen.append(points[rng.choice(len(points), p=distance / total)])
    return np.array(chosen)


def _lloyd(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.cluster.vq import vq

    for _ in range(_ITERATIONS):
        nearest = vq(points, centres)[0]
        count = np.bincount(nearest, minlength=len(centres))
        sums = np.stack([np.bincount(nearest, axis, len(centres)) for axis in points.T], axis=1)
        # A centre that lost all its points stays where it is.
        moved = np.where(count[:, None] > 0, sums / np.maximum(count, 1)[:, None], centres)
        shift, centres = float(np.abs(moved - centres).max()), moved
        if shift < _STILL:
            break
    return centres


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _nearest(
    amplitude: NDArray[np.floating],
    angle: NDArray[np.floating],
    changed: NDArray[np.bool_],
    out: NDArray[np.uint8],
    centres: NDArray[np.float64],
    middle: NDArray[np.float64],
    inverse: NDArray[np.float64],
) -> None:
    for i in range(out.size):
        if not changed[i]:
            continue
        u = (math.log(max(np.float64(amplitude[i]), _SMALLEST)) - middle[0]) * inverse[0]
        v = (np.float64(angle[i]) - middle[1]) * inverse[1]
        has_angle = v == v
        nearest, best = 0, math.inf
        for k in range(centres.shape[0]):
            distance = (u - centres[k, 0]) ** 2
            if has_angle:
                distance += (v - centres[k, 1]) ** 2
            if distance < best:
                nearest, best = k, distance
        out[i] = nearest + 1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _majority(kind: NDArray[np.uint8], radius: int, classes: int, out: NDArray[np.uint8]) -> None:
    rows, columns = kind.shape
    votes = np.zeros(classes, np.int32)
    for y in range(rows):
        for x in range(columns):
            own = kind[y, x]
            if own == 0:
                continue
            votes[:] = 0
            for v in range(max(0, y - radius), min(rows, y + radius + 1)):
                for u in range(max(0, x - radius), min(columns, x + radius + 1)):
                    votes[kind[v, u]] += 1
            best = own
            for k in range(1, classes):
                if votes[k] > votes[best]:
                    best = k
            out[y, x] = best


@dataclass(frozen=True, eq=False)
class KindTable:
    """Sums over the pixels of each kind; row i is kind i + 1."""

    pixels: NDArray[np.int64]
    """(k,)"""
    amplitude: NDArray[np.float64]
    """(k,)"""
    angle: NDArray[np.float64]
    """(k,) degrees."""
    before: NDArray[np.float64]
    """(k, p) reflectance."""
    after: NDArray[np.float64]
    """(k, p) reflectance."""


@dataclass(frozen=True, kw_only=True)
class KindFacts:
    """What is known of one kind of change; None where it is not defined."""

    code: int
    """As in the map: 1..k."""
    pixels: int
    hectares: float | None
    mean_amplitude: float | None
    mean_angle_deg: float | None
    mean_before: tuple[float, ...]
    """Reflectance per band; empty for a kind without pixels."""
    mean_change: tuple[float, ...]
    """After minus before per band, reflectance; empty for a kind without pixels."""
    d_ndvi: float | None
    """Change of the index of the mean spectrum, (nir - red) / (nir + red)."""
    d_ndwi: float | None
    """The same for (green - nir) / (green + nir)."""
    d_nbr: float | None
    """The same for (nir - swir 2.2) / (nir + swir 2.2); burns are negative."""
    hint: str
    """What such a change often is, from the signs; not a finding."""


def summarise(
    kind: NDArray[np.uint8],
    amplitude: NDArray[np.floating],
    angle: NDArray[np.floating],
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    classes: int,
) -> KindTable:
    """Sum up one block.

    Args:
        kind: (...) labels; 0, 255 and whatever lies beyond ``classes`` are passed over.
        amplitude, angle: (...).
        before, after: (p, ...) reflectance, brought to one scale.
        classes: number of kinds.

    Raises:
        InputError: shapes differ.

    Law: the sum over blocks, merged in any order, is that of the whole.
    """
    if not kind.shape == amplitude.shape == angle.shape == before.shape[1:] or before.shape != after.shape:
        raise InputError("the table of kinds needs labels, amplitude, angle and reflectance of one shape.")
    where = np.flatnonzero((kind.reshape(-1) > 0) & (kind.reshape(-1) <= classes))
    row = kind.reshape(-1)[where].astype(np.intp) - 1

    def total(values: NDArray[np.floating]) -> NDArray[np.float64]:
        weights = np.nan_to_num(values.reshape(-1)[where].astype(np.float64))
        return np.asarray(np.bincount(row, weights, classes), np.float64)

    return KindTable(
        pixels=np.bincount(row, minlength=classes).astype(np.int64),
        amplitude=total(amplitude),
        angle=total(angle),
        before=np.stack([total(band) for band in before], axis=1),
        after=np.stack([total(band) for band in after], axis=1),
    )


def merge(first: KindTable, second: KindTable) -> KindTable:
    """Return the sums over both."""
    return KindTable(
        first.pixels + second.pixels,
        first.amplitude + second.amplitude,
        first.angle + second.angle,
        first.before + second.before,
        first.after + second.after,
    )


def rows(table: KindTable, bands: Sequence[str], pixel_area_m2: float | None) -> tuple[KindFacts, ...]:
    """Return the facts of every kind, by code.

    Args:
        table: sums over the whole image.
        bands: canonical names.
        pixel_area_m2: None without georeference: then there are no hectares.
    """
    return tuple(_facts(table, i, bands, pixel_area_m2) for i in range(len(table.pixels)))


def _facts(table: KindTable, i: int, bands: Sequence[str], pixel_area_m2: float | None) -> KindFacts:
    n = int(table.pixels[i])
    before = dict(zip(bands, table.before[i] / n, strict=True)) if n else {}
    after = dict(zip(bands, table.after[i] / n, strict=True)) if n else {}
    change = {name: after[name] - before[name] for name in before}
    nir = "B08" if "B08" in before else "B8A"
    d_ndvi = _index_change(before, after, nir, "B04")
    d_ndwi = _index_change(before, after, "B03", nir)
    d_nbr = _index_change(before, after, nir, "B12")
    return KindFacts(
        code=i + 1,
        pixels=n,
        hectares=None if pixel_area_m2 is None else n * pixel_area_m2 / 1e4,
        mean_amplitude=float(table.amplitude[i] / n) if n else None,
        mean_angle_deg=float(table.angle[i] / n) if n else None,
        mean_before=tuple(map(float, before.values())),
        mean_change=tuple(map(float, change.values())),
        d_ndvi=d_ndvi,
        d_ndwi=d_ndwi,
        d_nbr=d_nbr,
        hint=_hint(before, after, d_ndvi, d_ndwi, d_nbr) if n else "",
    )


def _index(spectrum: dict[str, float], plus: str, minus: str) -> float | None:
    """Normalised difference of two bands; None where one is missing or both are dark."""
    if plus not in spectrum or minus not in spectrum:
        return None
    a, b = max(0.0, spectrum[plus]), max(0.0, spectrum[minus])
    return float((a - b) / (a + b)) if a + b > 1e-3 else None


def _index_change(before: dict[str, float], after: dict[str, float], plus: str, minus: str) -> float | None:
    first, second = _index(before, plus, minus), _index(after, plus, minus)
    return None if first is None or second is None else second - first


_CLEAR = 0.1
"""Change of an index that is more than haze or season left over."""
_BRIGHTNESS = 0.02
"""Change of the mean reflectance that is worth a word."""


def _hint(
    before: dict[str, float],
    after: dict[str, float],
    d_ndvi: float | None,
    d_ndwi: float | None,
    d_nbr: float | None,
) -> str:
    nir = "B08" if "B08" in before else "B8A"
    visible = [name for name in before if name in {"B02", "B03", "B04"}] or list(before)
    d_visible = float(np.mean([after[name] - before[name] for name in visible]))
    d_nir = after.get(nir, 0.0) - before.get(nir, 0.0)
    cloudy = min(after[name] for name in visible) > 0.2 and d_visible > 0.1
    if cloudy:
        return "much brighter: perhaps roofs or bare ground, snow, or cloud left over"
    water = _water(before, after, nir, d_ndwi)
    if water:
        return water
    if d_nbr is not None and d_nbr < -2 * _CLEAR and d_nir < 0:
        return "burn, or other strong loss of vegetation"
    if d_ndvi is not None and abs(d_ndvi) > _CLEAR:
        if d_ndvi > 0:
            return "vegetation gain"
        darker = d_nir < 0 and d_visible < _BRIGHTNESS / 2
        return "vegetation loss with darkening: perhaps burn, felling or wet ground" if darker else "vegetation loss"
    return _brightness(float(np.mean([after[name] - before[name] for name in before])))


def _water(before: dict[str, float], after: dict[str, float], nir: str, d_ndwi: float | None) -> str:
    first, second = _index(before, "B03", nir), _index(after, "B03", nir)
    if d_ndwi is None or first is None or second is None or abs(d_ndwi) < 2 * _CLEAR:
        return ""
    if second > 0 and after[nir] < min(0.15, before[nir]):
        return "water gain: perhaps flooding"
    return "water loss" if first > 0 and before[nir] < min(0.15, after[nir]) else ""


def _brightness(d_mean: float) -> str:
    if d_mean > _BRIGHTNESS:
        return "brighter: perhaps bare ground or building"
    if d_mean < -_BRIGHTNESS:
        return "darker: perhaps shadow, wet ground or new cover"
    return "change of colour without a clear sign"
