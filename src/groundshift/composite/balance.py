"""Colour balance: one gain and one offset for every scene and band, from all overlaps at once.

A two-pass kernel. Each block of an overlap is summarised (:func:`summarise`), summaries are merged in any order, and
after :func:`solve` every scene is brought to the common scale by a line (:func:`apply`).

What an overlap is judged by is a sample of its pixels, chosen by a hash of their position: the smallest hashes win,
so that it does not depend on how the overlap was cut. Pixels that changed, or are cloud on one date only, do not fit
the line of the others and are left out in turns. Gains then come from the ratio of the spreads, not from a
regression: two orbits see one pixel half a pixel apart, and every regression is flattened by that.

Gains are solved for as logarithms, offsets after them, both as least squares on the graph of overlaps. The
regularisation is weighted by the area of the scenes, which makes it the anchor too: the mean over the whole area of
logarithms of gains is 0, and the mean reflectance over the whole area stays what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError

Float64 = NDArray[np.float64]
Pair = tuple[int, int]

_MAD_TO_SIGMA = 1.482602218505602
_UNIT = 1e6
"""Area means are summed as whole millionths of reflectance, so that the order of adding changes nothing."""


@dataclass(frozen=True, kw_only=True)
class BalanceOptions:
    """How overlaps are judged and scenes balanced."""

    sample_pixels: int = 32_768
    """Pixels of one overlap that are looked at: 1.3 MB for four bands. Measured on two orbits: gains scatter by 0.5 %
    from sample to sample, by 2 to 3 % with a quarter of the pixels."""
    rounds: int = 5
    """Turns of fitting and leaving out."""
    cut: float = 3.0
    """Residual, in robust standard deviations of its band, from which on a pixel is held to be changed or cloud."""
    min_pixels: int = 100
    """Invariant pixels of the sample that an overlap needs to be used at all."""
    prior: float = 1e-3
    """Weight of staying as one is, beside that of the overlaps; it decides only where overlaps do not."""
    belief: float = 0.02
    """The same for gains, where an overlap weighs by its squared correlation: one without any says nothing of gain."""
    min_gain: float = 0.8
    max_gain: float = 1.25
    """Gains beyond are no atmosphere but a mistake."""

    def __post_init__(self) -> None:
        counts = min(self.sample_pixels, self.rounds, self.min_pixels) >= 1
        if not (counts and self.cut > 0 and self.prior > 0 and self.belief > 0):
            raise UsageError(f"these options of the colour balance cannot be: {self}; all of them are positive.")
        if not 0 < self.min_gain <= 1 <= self.max_gain:
            raise UsageError(f"gains from {self.min_gain:g} to {self.max_gain:g}: 1 must lie between the two.")


@dataclass(frozen=True, eq=False)
class OverlapSample:
    """Pixels that two scenes both saw: how many, and a sample of them, which depends on nothing but their positions."""

    count: int
    """All jointly valid pixels."""
    key: NDArray[np.uint64]
    """(k,) hash of the position, rising."""
    first: NDArray[np.float32]
    """(band, k) reflectance of the one scene."""
    second: NDArray[np.float32]
    """(band, k) of the other."""


@dataclass(frozen=True, eq=False)
class OverlapStatistics:
    """What the invariant pixels of an overlap say; arrays are (band,), reflectance."""

    count: int
    """Jointly valid pixels of the overlap; 0 where too few were invariant."""
    invariant: float
    """Share of the sample that was kept."""
    mean: tuple[Float64, Float64]
    spread: tuple[Float64, Float64]
    """Standard deviations."""
    covariance: Float64

    @property
    def correlation(self) -> Float64:
        """(band,) 0 where a scene does not vary."""
        product = self.spread[0] * self.spread[1]
        return np.divide(self.covariance, product, out=np.zeros_like(product), where=product > 0)


@dataclass(frozen=True, eq=False)
class AreaSum:
    """What a scene puts into the picture: pixels, and the sum of each band in millionths of reflectance."""

    count: int
    total: NDArray[np.int64]

    @property
    def mean(self) -> Float64:
        """(band,) mean reflectance, 0 without pixels."""
        return self.total / (_UNIT * max(self.count, 1))


@dataclass(frozen=True, eq=False)
class Balance:
    """balanced = gain * reflectance + offset; every array is (scene, band) or (band,)."""

    gain: Float64
    offset: Float64
    step_before: Float64
    """(band,) root mean square, over overlaps by their pixels, of the difference of means."""
    step_after: Float64
    rmse_before: Float64
    """(band,) root mean square difference of invariant pixels: with texture and misregistration."""
    rmse_after: Float64
    limited: tuple[int, ...] = ()
    """Scenes of which a gain was held at its limit."""
    alone: tuple[int, ...] = ()
    """Scenes without a usable overlap: left as they are."""


def summarise(
    first: NDArray[np.floating],
    valid_first: NDArray[np.bool_],
    second: NDArray[np.floating],
    valid_second: NDArray[np.bool_],
    corner: tuple[int, int] = (0, 0),
    options: BalanceOptions | None = None,
) -> OverlapSample:
    """Summarise one block of an overlap.

    Args:
        first, second: (band, y, x) reflectance of the two scenes on one grid.
        valid_first, valid_second: (y, x).
        corner: row and column of the block in the whole grid.

    Raises:
        InputError: the blocks do not match.

    Law: merging the summaries of any cut, in any order, gives the summary of the whole, bit by bit.
    """
    options = options or BalanceOptions()
    if first.shape != second.shape or not first.shape[1:] == valid_first.shape == valid_second.shape:
        raise InputError(f"an overlap needs two blocks of one shape, got {first.shape} and {second.shape}.")
    both = valid_first & valid_second & np.isfinite(first).all(axis=0) & np.isfinite(second).all(axis=0)
    rows, columns = np.nonzero(both)
    key = _hash(rows + corner[0], columns + corner[1])
    chosen = _smallest(key, options.sample_pixels)
    at = rows[chosen], columns[chosen]
    sample = first[:, *at].astype(np.float32), second[:, *at].astype(np.float32)
    return OverlapSample(int(rows.size), key[chosen], *sample)


def merge(samples: Sequence[OverlapSample], options: BalanceOptions | None = None) -> OverlapSample:
    """One summary of several blocks of one overlap, in any order; no block may be in it twice."""
    options = options or BalanceOptions()
    key = np.concatenate([each.key for each in samples])
    chosen = _smallest(key, options.sample_pixels)
    first = np.concatenate([each.first for each in samples], axis=1)[:, chosen]
    second = np.concatenate([each.second for each in samples], axis=1)[:, chosen]
    return OverlapSample(sum(each.count for each in samples), key[chosen], first, second)


def statistics(sample: OverlapSample, options: BalanceOptions | None = None) -> OverlapStatistics:
    """Find the invariant pixels of an overlap and describe them.

    Law: exchanging the two scenes exchanges what is said of them; a gain and an offset put on one of them come back
    in its mean and spread.
    """
    options = options or BalanceOptions()
    x, y = sample.first.astype(np.float64), sample.second.astype(np.float64)
    kept = np.ones(x.shape[1], bool)
    for turn in range(options.rounds):
        if kept.sum() < options.min_pixels:
            return _nothing(len(x))
        residual = _standard(y, kept, turn == 0) - _standard(x, kept, turn == 0)
        middle, scale = _robust(residual[:, kept])
        kept = np.asarray((np.abs(residual - middle) <= options.cut * scale + 1e-9).all(axis=0))
    if kept.sum() < options.min_pixels:
        return _nothing(len(x))
    x, y = x[:, kept], y[:, kept]
    mean = x.mean(axis=1), y.mean(axis=1)
    covariance = ((x - mean[0][:, None]) * (y - mean[1][:, None])).mean(axis=1)
    return OverlapStatistics(
        sample.count, float(kept.mean()), mean, (x.std(axis=1), y.std(axis=1)), np.asarray(covariance)
    )


def area_sum(reflectance: NDArray[np.floating], valid: NDArray[np.bool_]) -> AreaSum:
    """Sum what a scene puts into the picture: (band, y, x) over the pixels where it is used (y, x)."""
    used = valid & np.isfinite(reflectance).all(axis=0)
    whole = np.rint(reflectance[:, used].astype(np.float64) * _UNIT).astype(np.int64)
    return AreaSum(int(used.sum()), whole.sum(axis=1))


def add_areas(sums: Sequence[AreaSum]) -> AreaSum:
    """One sum of several blocks, in any order."""
    return AreaSum(sum(each.count for each in sums), np.sum([each.total for each in sums], axis=0))


def solve(
    overlaps: Mapping[Pair, OverlapStatistics],
    areas: Sequence[AreaSum],
    options: BalanceOptions | None = None,
    reference: int | None = None,
) -> Balance:
    """Solve for all gains and offsets at once.

    Args:
        overlaps: statistics of the overlap of scenes i and j by (i, j); an overlap may be given once only.
        areas: of each scene, what it puts into the picture.
        reference: a scene that keeps its colours; without one, the mean over the whole area is kept.

    Returns:
        The balance. Scenes without a usable overlap keep their colours.

    Raises:
        InputError: an overlap of a scene with itself, of a scene that is not there, or given twice.

    Laws: without a reference the mean reflectance of the whole area does not move; scenes that differ by lines only
    become equal; the order of scenes and of the two in a pair does not matter.
    """
    options = options or BalanceOptions()
    n = len(areas)
    _check(overlaps, n)
    used = {pair: found for pair, found in sorted(overlaps.items()) if found.count > 0}
    alone = tuple(sorted(set(range(n)) - {scene for pair in used for scene in pair}))
    area = np.array([each.count for each in areas], np.float64)
    means = np.array([each.mean for each in areas]).reshape(n, -1)
    gain, offset = np.ones(means.shape), np.zeros(means.shape)
    limited: set[int] = set()
    for band in range(means.shape[1]):
        gain[:, band], held = _gains(used, band, area, options, reference)
        limited |= held
        offset[:, band] = _offsets(used, band, area, means[:, band], gain[:, band], options, reference)
    gain[list(alone)], offset[list(alone)] = 1.0, 0.0
    (step_before, rmse_before), (step_after, rmse_after) = (
        _errors(used, *law) for law in ((np.ones_like(gain), np.zeros_like(offset)), (gain, offset))
    )
    return Balance(gain, offset, step_before, step_after, rmse_before, rmse_after, tuple(sorted(limited)), alone)


def apply(balance: Balance, scene: int, reflectance: NDArray[np.floating]) -> NDArray[np.float32]:
    """Bring (band, ...) of one scene to the common scale. A pixel kernel; NaN stays NaN.

    Raises:
        InputError: another number of bands than the balance has.
    """
    gain, offset = balance.gain[scene], balance.offset[scene]
    if len(reflectance) != gain.size:
        raise InputError(f"the colour balance is for {gain.size} bands, scene {scene} has {len(reflectance)}.")
    shape = (-1, *(1,) * (reflectance.ndim - 1))
    out: NDArray[np.float32] = reflectance.astype(np.float32) * gain.astype(np.float32).reshape(shape)
    out += offset.astype(np.float32).reshape(shape)
    return out


def _gains(
    overlaps: Mapping[Pair, OverlapStatistics],
    band: int,
    area: Float64,
    options: BalanceOptions,
    reference: int | None,
) -> tuple[Float64, set[int]]:
    """Gains of one band, and the scenes that are held at a limit."""
    weight = np.array([each.count * each.correlation[band] ** 2 for each in overlaps.values()])
    ratio = np.array([_log_ratio(each.spread[1][band], each.spread[0][band]) for each in overlaps.values()])
    held = {} if reference is None else {reference: 0.0}
    low, high = np.log(options.min_gain), np.log(options.max_gain)
    scale = float(np.mean([each.count for each in overlaps.values()])) if overlaps else 1.0
    while True:
        found = _potentials(list(overlaps), ratio, weight / scale, area, np.zeros(area.size), options.belief, held)
        beyond = {int(i): float(np.clip(found[i], low, high)) for i in np.flatnonzero((found < low) | (found > high))}
        if not set(beyond) - set(held):
            return np.exp(found), set(held) - {reference}
        held |= beyond


def _offsets(
    overlaps: Mapping[Pair, OverlapStatistics],
    band: int,
    area: Float64,
    mean: Float64,
    gain: Float64,
    options: BalanceOptions,
    reference: int | None,
) -> Float64:
    """Offsets of one band, the gains being known; drawn to what keeps the mean of each scene."""
    wanted = [gain[j] * each.mean[1][band] - gain[i] * each.mean[0][band] for (i, j), each in overlaps.items()]
    count = np.array([each.count for each in overlaps.values()], np.float64)
    held = {} if reference is None else {reference: 0.0}
    weight = count / (count.mean() if count.size else 1.0)
    return _potentials(list(overlaps), np.array(wanted), weight, area, (1 - gain) * mean, options.prior, held)


def _potentials(
    pairs: Sequence[Pair],
    difference: Float64,
    weight: Float64,
    area: Float64,
    home: Float64,
    prior: float,
    held: Mapping[int, float],
) -> Float64:
    """Least squares on a graph: minimise sum w (u_i - u_j - d_ij)^2 + prior sum a (u - home)^2, some u held.

    Summing the normal equations over a connected part leaves sum a (u - home) = 0: the prior is the anchor.
    """

    n = area.size
    pull = prior * np.maximum(area / max(area.mean(), 1.0), 1e-6)
    i, j = np.array(pairs, np.intp).reshape(-1, 2).T
    matrix = scipy.sparse.coo_array(
        (
            np.concatenate([weight, weight, -weight, -weight, pull]),
            (np.concatenate([i, j, i, j, np.arange(n)]), np.concatenate([i, j, j, i, np.arange(n)])),
        ),
        shape=(n, n),
    ).tocsc()
    right = pull * home
    np.add.at(right, i, weight * difference)
    np.add.at(right, j, -weight * difference)
    out = np.zeros(n)
    fixed = np.array(sorted(held), np.intp)
    out[fixed] = [held[each] for each in fixed]
    free = np.setdiff1d(np.arange(n), fixed)
    if free.size:
        out[free] = scipy.sparse.linalg.spsolve(matrix[free][:, free], (right - matrix @ out)[free])
    return out


def _errors(overlaps: Mapping[Pair, OverlapStatistics], gain: Float64, offset: Float64) -> tuple[Float64, Float64]:
    """(band,) root mean square difference of means, and of invariant pixels, over the overlaps by their pixels."""
    p = gain.shape[1]
    steps, squares, total = np.zeros(p), np.zeros(p), 0
    for (i, j), each in overlaps.items():
        step = gain[i] * each.mean[0] + offset[i] - gain[j] * each.mean[1] - offset[j]
        spread = (gain[i] * each.spread[0]) ** 2 + (gain[j] * each.spread[1]) ** 2
        steps += each.count * step**2
        squares += each.count * (step**2 + spread - 2 * gain[i] * gain[j] * each.covariance)
        total += each.count
    return np.sqrt(steps / max(total, 1)), np.sqrt(np.maximum(squares, 0) / max(total, 1))


def _check(overlaps: Mapping[Pair, OverlapStatistics], n: int) -> None:
    for i, j in overlaps:
        if i == j or not (0 <= i < n and 0 <= j < n):
            raise InputError(f"overlap of scenes {i} and {j}: expected two different ones of 0 to {n - 1}.")
        if (j, i) in overlaps:
            raise InputError(f"the overlap of scenes {i} and {j} was given twice.")


def _standard(image: Float64, kept: NDArray[np.bool_], robust: bool) -> Float64:
    """(band, k) in units of the spread of the kept pixels about their centre."""
    core = image[:, kept]
    centre, scale = _robust(core) if robust else (core.mean(axis=1, keepdims=True), core.std(axis=1, keepdims=True))
    return np.asarray((image - centre) / np.maximum(scale, 1e-6))


def _robust(values: Float64) -> tuple[Float64, Float64]:
    """Median and scaled median absolute deviation, (band, 1) each."""
    middle = np.median(values, axis=1, keepdims=True)
    return middle, _MAD_TO_SIGMA * np.median(np.abs(values - middle), axis=1, keepdims=True)


def _log_ratio(a: float, b: float) -> float:
    return float(np.log(a / b)) if a > 0 and b > 0 else 0.0


def _nothing(p: int) -> OverlapStatistics:
    zero = np.zeros(p)
    return OverlapStatistics(0, 0.0, (zero, zero), (zero, zero), zero)


def _smallest(key: NDArray[np.uint64], most: int) -> NDArray[np.intp]:
    """Indices of the smallest hashes, rising."""
    if key.size > most:
        few = np.argpartition(key, most - 1)[:most]
        return few[np.argsort(key[few])]
    return np.argsort(key)


def _hash(rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.uint64]:
    """A 64 bit mixture of row and column, one to one (finaliser of splitmix64: Steele, Lea and Flood 2014)."""
    z = (rows.astype(np.uint64) << np.uint64(32)) | columns.astype(np.uint64)
    z += np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))
