"""Many observations of a pixel to one: compiled, a row of pixels at a time, in buffers of a fixed number of columns.

Each kernel does rows[0] to rows[1] - 1 and writes to its outputs there, so that threads can share the rows. All
arithmetic is column by column over whole buffers, in one fixed order, so a pixel gets the same bits wherever a block
begins. What is not valid is never computed with. Kernels that look at every valid value return False where one of them
is not finite. They live in one file because numba's cache looks at no other for changes.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Rows = tuple[int, int]

COLUMNS = 256
"""Of a buffer that holds all observations of one band: 64 of them stay within the first two caches."""
LANES = 64
"""Pixels whose geometric medians are searched together."""
_STRIP_VALUES = 1 << 18
"""Values that are read ahead for the geometric median: 1 MB."""
_NEVER = np.float32(np.inf)
_EQUAL = 1 + 1e-12
_HIT = np.float32(1e-24)
"""Squared distance below which an iterate is the observation itself."""

compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})


@compiled  # type: ignore[untyped-decorator]
def quantile(
    reflectance: Float32, valid: Bool, share: float, rows: Rows, out: Float32, count: NDArray[np.uint16]
) -> bool:
    """Write the quantile of each band, (band, y, x), by numpy's rule "linear", and the number of observations."""
    times, bands, _, width = reflectance.shape
    values = np.full((times, COLUMNS), _NEVER)
    seen = np.empty(times, np.int64)
    number = np.empty(COLUMNS, np.int64)
    finite = True
    for y in range(rows[0], rows[1]):
        for x0 in range(0, width, COLUMNS):
            size = min(COLUMNS, width - x0)
            useful = _survey(valid, y, x0, size, seen, number)
            for k in range(size):
                count[y, x0 + k] = number[k]
            for band in range(bands):
                for i in range(useful):
                    t = seen[i]
                    finite &= _load(reflectance[t, band, y], valid[t, y], x0, size, _NEVER, values[i])
                _sort(values, useful)
                _pick(values, number, share, size, out[band, y, x0 : x0 + size])
    return finite


@compiled  # type: ignore[untyped-decorator]
def weighted_mean(
    reflectance: Float32,
    valid: Bool,
    weights: Float32,
    uniform: bool,
    rows: Rows,
    out: Float32,
    count: NDArray[np.uint16],
) -> bool:
    """Write the mean of each band, weighted unless uniform; an observation of weight 0 is not counted."""
    times, bands, _, width = reflectance.shape
    total, share = np.empty((bands, COLUMNS)), np.empty(COLUMNS)
    weight, value = np.zeros(COLUMNS), np.zeros(COLUMNS, np.float32)
    number = np.empty(COLUMNS, np.int64)
    finite = True
    for y in range(rows[0], rows[1]):
        for x0 in range(0, width, COLUMNS):
            size = min(COLUMNS, width - x0)
            total[:] = 0
            share[:] = 0
            number[:] = 0
            for t in range(times):
                usable = valid[t, y, x0 : x0 + size]
                if not usable.any():
                    continue
                for k in range(size):
                    weight[k] = 1.0 if usable[k] else 0.0
                if not uniform:
                    given = weights[t, y, x0 : x0 + size]
                    for k in range(size):
                        weight[k] = given[k] if usable[k] else 0.0
                for k in range(COLUMNS):
                    share[k] += weight[k]
                    number[k] += 1 if weight[k] > 0 else 0
                for band in range(bands):
                    finite &= _load(reflectance[t, band, y], valid[t, y], x0, size, np.float32(0), value)
                    row = total[band]
                    for k in range(COLUMNS):
                        row[k] += weight[k] * value[k]
            for k in range(size):
                count[y, x0 + k] = number[k]
            for band in range(bands):
                for k in range(size):
                    out[band, y, x0 + k] = total[band, k] / share[k] if number[k] > 0 else np.nan
    return finite


@compiled  # type: ignore[untyped-decorator]
def first(
    valid: Bool, order: NDArray[np.int64], rows: Rows, source: NDArray[np.int16], count: NDArray[np.uint16]
) -> None:
    """Write the first scene of the given order that is valid, -1 for none, and the number of observations."""
    for y in range(rows[0], rows[1]):
        chosen, number = source[y], count[y]
        chosen[:] = -1
        number[:] = 0
        for t in order:
            usable = valid[t, y]
            for x in range(chosen.size):
                number[x] += 1 if usable[x] else 0
                chosen[x] = t if usable[x] and chosen[x] < 0 else chosen[x]


@compiled  # type: ignore[untyped-decorator]
def highest(valid: Bool, score: Float32, rows: Rows, source: NDArray[np.int16], count: NDArray[np.uint16]) -> bool:
    """Write the valid scene of the highest score; False where an observation has a score that is not finite."""
    best = np.empty(valid.shape[2], np.float32)
    finite = True
    for y in range(rows[0], rows[1]):
        chosen, number = source[y], count[y]
        chosen[:] = -1
        number[:] = 0
        best[:] = -_NEVER
        for t in range(valid.shape[0]):
            usable, given = valid[t, y], score[t, y]
            strange = 0
            for x in range(chosen.size):
                number[x] += 1 if usable[x] else 0
                strange += 1 if usable[x] and not abs(given[x]) < _NEVER else 0
                better = usable[x] and given[x] > best[x]
                chosen[x] = t if better else chosen[x]
                best[x] = given[x] if better else best[x]
            finite &= strange == 0
    return finite


@compiled  # type: ignore[untyped-decorator]
def take(reflectance: Float32, source: NDArray[np.int16], rows: Rows, out: Float32) -> bool:
    """Write the observations of the chosen scenes, NaN where there is none."""
    finite = True
    for y in range(rows[0], rows[1]):
        for band in range(out.shape[0]):
            for x in range(out.shape[2]):
                t = source[y, x]
                value = reflectance[t, band, y, x] if t >= 0 else np.float32(0)
                finite &= abs(value) < _NEVER
                out[band, y, x] = value if t >= 0 else np.nan
    return finite


@compiled  # type: ignore[untyped-decorator]
def medoid(reflectance: Float32, valid: Bool, rows: Rows, source: NDArray[np.int16], count: NDArray[np.uint16]) -> bool:
    """Write the scene whose distances to all other valid ones have the least sum, in float64; the first of equals.

    Sums that differ by rounding only are equal: the two middle ones of an even number along a line.
    """
    times, bands, _, width = reflectance.shape
    values = np.zeros((times, bands, COLUMNS), np.float32)
    mask, sums = np.zeros((times, COLUMNS)), np.empty((times, COLUMNS))
    squares = np.empty(COLUMNS)
    seen, number = np.empty(times, np.int64), np.empty(COLUMNS, np.int64)
    finite = True
    for y in range(rows[0], rows[1]):
        for x0 in range(0, width, COLUMNS):
            size = min(COLUMNS, width - x0)
            useful = _survey(valid, y, x0, size, seen, number)
            for i in range(useful):
                t = seen[i]
                for band in range(bands):
                    finite &= _load(reflectance[t, band, y], valid[t, y], x0, size, np.float32(0), values[i, band])
                for k in range(size):
                    mask[i, k] = 1.0 if valid[t, y, x0 + k] else 0.0
            sums[:useful] = 0
            for i in range(useful):
                for j in range(i + 1, useful):
                    _add_distance(values, mask, i, j, squares, sums)
            for k in range(size):
                least, chosen = np.inf, -1
                for i in range(useful):
                    least = sums[i, k] if mask[i, k] > 0 and sums[i, k] < least else least
                for i in range(useful - 1, -1, -1):
                    chosen = seen[i] if mask[i, k] > 0 and sums[i, k] <= least * _EQUAL else chosen
                source[y, x0 + k], count[y, x0 + k] = chosen, number[k]
    return finite


@compiled  # type: ignore[untyped-decorator]
def geometric_median(
    reflectance: Float32,
    valid: Bool,
    eps: float,
    most: int,
    rows: Rows,
    out: Float32,
    count: NDArray[np.uint16],
) -> bool:
    """Write the geometric median (band, y, x): Weiszfeld's steps from the mean until one is shorter than eps.

    Pixels sit in lanes; a lane whose pixel has converged takes the next, so pixels do not wait for each other.
    """
    times, bands, _, width = reflectance.shape
    strip = max(LANES, min(width, _STRIP_VALUES // (times * bands)))
    values = np.zeros((times, bands, strip), np.float32)
    seen, number = np.empty(times, np.int64), np.empty(strip, np.int64)
    lanes = np.zeros((times, bands, LANES), np.float32)
    weights, middle = np.zeros((times, LANES), np.float32), np.zeros((bands, LANES), np.float32)
    work, moved2 = np.empty((2 * bands + 4, LANES), np.float32), np.empty(LANES, np.float32)
    places, depth, steps = np.full((LANES, 2), -1), np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    eps2 = np.float32(eps * eps)
    finite, free = True, LANES
    for y in range(rows[0], rows[1]):
        for x0 in range(0, width, strip):
            size = min(strip, width - x0)
            useful = _survey(valid, y, x0, size, seen, number)
            for i in range(useful):
                t = seen[i]
                for band in range(bands):
                    finite &= _load(reflectance[t, band, y], valid[t, y], x0, size, np.float32(0), values[i, band])
            k = 0
            while k < size:
                if free == 0:
                    _weiszfeld(lanes, weights, depth.max(), middle, work, moved2)
                    free = _release(moved2, eps2, most, middle, places, depth, steps, out)
                lane = 0
                while free > 0 and k < size:
                    count[y, x0 + k] = number[k]
                    if number[k] > 2:
                        while depth[lane] > 0:
                            lane += 1
                        _enter(values, valid, seen, useful, y, x0, k, lane, lanes, weights, middle)
                        places[lane, 0], places[lane, 1] = y, x0 + k
                        depth[lane], steps[lane] = number[k], 0
                        free -= 1
                    else:
                        _mean_of_few(values, valid, seen, useful, y, x0, k, out)
                    k += 1
    while free < LANES:
        _weiszfeld(lanes, weights, depth.max(), middle, work, moved2)
        free = _release(moved2, eps2, most, middle, places, depth, steps, out)
    return finite


@compiled  # type: ignore[untyped-decorator]
def deviations(reflectance: Float32, valid: Bool, middle: Float32, rows: Rows, out: Float32) -> None:
    """Write the medians of the cosine, Euclidean and Bray-Curtis distances (3, y, x) to a picture (band, y, x)."""
    times, bands, _, width = reflectance.shape
    distances = np.full((3, times, COLUMNS), _NEVER)
    centre, work = np.zeros((bands, COLUMNS), np.float32), np.zeros((6, COLUMNS), np.float32)
    value = np.zeros((bands, COLUMNS), np.float32)
    seen, number = np.empty(times, np.int64), np.empty(COLUMNS, np.int64)
    for y in range(rows[0], rows[1]):
        for x0 in range(0, width, COLUMNS):
            size = min(COLUMNS, width - x0)
            useful = _survey(valid, y, x0, size, seen, number)
            for band in range(bands):
                for k in range(size):
                    centre[band, k] = middle[band, y, x0 + k] if number[k] > 0 else np.float32(0)
            _inverse_length(centre, work[0])
            for i in range(useful):
                t = seen[i]
                usable = valid[t, y, x0 : x0 + size]
                for band in range(bands):
                    _load(reflectance[t, band, y], valid[t, y], x0, size, np.float32(0), value[band])
                _distances(value, centre, work, distances[:, i])
                for which in range(3):
                    for k in range(size):
                        distances[which, i, k] = distances[which, i, k] if usable[k] else _NEVER
            for which in range(3):
                _sort(distances[which], useful)
                _pick(distances[which], number, 0.5, size, out[which, y, x0 : x0 + size])


@compiled  # type: ignore[untyped-decorator]
def _survey(valid: Bool, y: int, x0: int, size: int, seen: NDArray[np.int64], number: NDArray[np.int64]) -> int:
    """Write the scenes that have a valid pixel in a piece of a row, and the number of them at each pixel."""
    number[:] = 0
    useful = 0
    for t in range(valid.shape[0]):
        usable = valid[t, y, x0 : x0 + size]
        found = 0
        for k in range(size):
            one = 1 if usable[k] else 0
            number[k] += one
            found += one
        if found > 0:
            seen[useful] = t
            useful += 1
    return useful


@compiled  # type: ignore[untyped-decorator]
def _load(source: Float32, usable: Bool, x0: int, size: int, otherwise: np.float32, out: Float32) -> bool:
    """Copy a piece of a row, another value where it is not valid; False where a valid one is not finite."""
    row, mask = source[x0 : x0 + size], usable[x0 : x0 + size]
    strange = 0
    for k in range(size):
        strange += 1 if mask[k] and not abs(row[k]) < _NEVER else 0
        out[k] = row[k] if mask[k] else otherwise
    return strange == 0


@compiled  # type: ignore[untyped-decorator]
def _sort(values: Float32, n: int) -> None:
    """Sort the first n rows (n, COLUMNS) column by column, all columns at once: merge exchange (Knuth, 5.2.2 M)."""
    top = 1
    while 2 * top < n:
        top *= 2
    p = top if n > 1 else 0
    while p > 0:
        q, r, d = top, 0, p
        while True:
            for i in range(n - d):
                if i & p == r:
                    _exchange(values, i, i + d)
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2


@compiled  # type: ignore[untyped-decorator]
def _exchange(values: Float32, i: int, j: int) -> None:
    for k in range(COLUMNS):
        a, b = values[i, k], values[j, k]
        values[i, k] = a if a < b else b
        values[j, k] = b if a < b else a


@compiled  # type: ignore[untyped-decorator]
def _pick(values: Float32, number: NDArray[np.int64], share: float, size: int, out: Float32) -> None:
    """Write the quantile of sorted columns, linear between its two neighbours; NaN where there is no value."""
    for k in range(size):
        n = number[k]
        if n == 0:
            out[k] = np.nan
            continue
        place = share * (n - 1)
        below = int(place)
        low, high = np.float64(values[below, k]), np.float64(values[min(below + 1, n - 1), k])
        out[k] = low + (high - low) * (place - below)


@compiled  # type: ignore[untyped-decorator]
def _add_distance(values: Float32, mask: Float64, i: int, j: int, squares: Float64, sums: Float64) -> None:
    for k in range(COLUMNS):
        squares[k] = 0
    for band in range(values.shape[1]):
        for k in range(COLUMNS):
            step = np.float64(values[i, band, k]) - np.float64(values[j, band, k])
            squares[k] += step * step
    for k in range(COLUMNS):
        distance = np.sqrt(squares[k]) * mask[i, k] * mask[j, k]
        sums[i, k] += distance
        sums[j, k] += distance


@compiled  # type: ignore[untyped-decorator]
def _enter(
    values: Float32,
    valid: Bool,
    seen: NDArray[np.int64],
    useful: int,
    y: int,
    x0: int,
    k: int,
    lane: int,
    lanes: Float32,
    weights: Float32,
    middle: Float32,
) -> None:
    """Put the valid observations of a pixel into a lane, closed up, and their mean into its iterate."""
    bands = values.shape[1]
    n = 0
    for i in range(useful):
        if valid[seen[i], y, x0 + k]:
            for band in range(bands):
                lanes[n, band, lane] = values[i, band, k]
            weights[n, lane] = 1
            n += 1
    for i in range(n, weights.shape[0]):
        weights[i, lane] = 0
    for band in range(bands):
        total = np.float64(0)
        for i in range(n):
            total += lanes[i, band, lane]
        middle[band, lane] = total / n


@compiled  # type: ignore[untyped-decorator]
def _mean_of_few(
    values: Float32, valid: Bool, seen: NDArray[np.int64], useful: int, y: int, x0: int, k: int, out: Float32
) -> None:
    """Write the one observation, or the middle of two; NaN for none."""
    for band in range(values.shape[1]):
        total, n = np.float64(0), 0
        for i in range(useful):
            if valid[seen[i], y, x0 + k]:
                total += values[i, band, k]
                n += 1
        out[band, y, x0 + k] = total / n if n > 0 else np.nan


@compiled  # type: ignore[untyped-decorator]
def _weiszfeld(lanes: Float32, weights: Float32, n: int, middle: Float32, work: Float32, moved2: Float32) -> None:
    """One step of every lane, and its squared length; Vardi and Zhang (2000) where the iterate is an observation.

    The step is summed from unit vectors, not from the observations: it keeps its precision as it becomes short.
    """
    bands = middle.shape[0]
    closeness, hits, square, inverse = 2 * bands, 2 * bands + 1, 2 * bands + 2, 2 * bands + 3
    work[:] = np.float32(0)
    for i in range(n):
        for k in range(LANES):
            work[square, k] = np.float32(0)
        for band in range(bands):
            for k in range(LANES):
                step = lanes[i, band, k] - middle[band, k]
                work[bands + band, k] = step
                work[square, k] += step * step
        for k in range(LANES):
            weight, distance2 = weights[i, k], work[square, k]
            hit = distance2 < _HIT
            work[inverse, k] = np.float32(0) if hit else weight / np.sqrt(distance2)
            work[hits, k] += weight if hit else np.float32(0)
            work[closeness, k] += work[inverse, k]
        for band in range(bands):
            for k in range(LANES):
                work[band, k] += work[inverse, k] * work[bands + band, k]
    for k in range(LANES):
        work[square, k] = np.float32(0)
    for band in range(bands):
        for k in range(LANES):
            work[square, k] += work[band, k] * work[band, k]
    for k in range(LANES):
        length = np.sqrt(work[square, k])
        held = work[hits, k] >= length
        share = np.float32(0) if held else (np.float32(1) - work[hits, k] / length) / work[closeness, k]
        work[inverse, k] = share
        moved2[k] = work[square, k] * share * share
    for band in range(bands):
        for k in range(LANES):
            middle[band, k] += work[inverse, k] * work[band, k]


@compiled  # type: ignore[untyped-decorator]
def _release(
    moved2: Float32,
    eps2: np.float32,
    most: int,
    middle: Float32,
    places: NDArray[np.int64],
    depth: NDArray[np.int64],
    steps: NDArray[np.int64],
    out: Float32,
) -> int:
    """Write what has converged and free its lanes; returns how many are free."""
    free = 0
    for lane in range(LANES):
        if depth[lane] > 0:
            steps[lane] += 1
            if moved2[lane] < eps2 or steps[lane] >= most:
                for band in range(middle.shape[0]):
                    out[band, places[lane, 0], places[lane, 1]] = middle[band, lane]
                depth[lane] = 0
        free += 1 if depth[lane] == 0 else 0
    return free


@compiled  # type: ignore[untyped-decorator]
def _inverse_length(vectors: Float32, out: Float32) -> None:
    """Write one over the length of each column of (band, COLUMNS); 0 for a column of zeros."""
    out[:] = np.float32(0)
    for band in range(vectors.shape[0]):
        row = vectors[band]
        for k in range(COLUMNS):
            out[k] += row[k] * row[k]
    for k in range(COLUMNS):
        out[k] = np.float32(1) / np.sqrt(out[k]) if out[k] > 0 else np.float32(0)


@compiled  # type: ignore[untyped-decorator]
def _distances(value: Float32, centre: Float32, work: Float32, out: Float32) -> None:
    """Write the cosine, Euclidean and Bray-Curtis distances of columns (band, COLUMNS); work[0]: of the centre.

    The cosine distance is half the squared distance of the unit vectors: 1 - cos would drown in float32.
    """
    inverse_centre, inverse, cosine, square, apart, joined = work
    _inverse_length(value, inverse)
    work[2:] = np.float32(0)
    for band in range(value.shape[0]):
        row, middle = value[band], centre[band]
        for k in range(COLUMNS):
            turn = row[k] * inverse[k] - middle[k] * inverse_centre[k]
            step = row[k] - middle[k]
            cosine[k] += turn * turn
            square[k] += step * step
            apart[k] += abs(step)
            joined[k] += abs(row[k] + middle[k])
    for k in range(COLUMNS):
        out[0, k] = np.float32(0.5) * cosine[k]
        out[1, k] = np.sqrt(square[k])
        out[2, k] = apart[k] / joined[k] if joined[k] > 0 else np.float32(0)
