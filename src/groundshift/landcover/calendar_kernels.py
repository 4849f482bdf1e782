"""Irregular series to a calendar: compiled, a piece of a row at a time, all bands of a pixel sharing one mask.

Each kernel does rows[0] to rows[1] - 1 and writes to its outputs there, so that threads can share the rows. Buffers are
(..., columns), and arithmetic runs along columns in one fixed order, so a pixel gets the same bits wherever a block
begins. They live in one file because numba's cache looks at no other for changes.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Rows = tuple[int, int]
Outputs = tuple[Float32, NDArray[np.uint16], Float32, Float32]
"""Values (step, band, y, x), count (y, x), longest gap (y, x), distance (step, y, x)."""

COLUMNS = 128
"""Of a buffer that holds a series of all bands: 30 dates of 9 bands take 140 kB."""
LANES = 32
"""Pixels whose Whittaker systems, of a node a day, are solved together: 600 nodes take 150 kB an array."""
OBSERVATIONS_PER_COEFFICIENT = 3
LEAST_SPREAD = 0.1
_INFINITE = np.float32(np.inf)

compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})


@compiled  # type: ignore[untyped-decorator]
def linear(
    values: Float32, valid: Bool, days: Float64, steps: Float64, hold: bool, rows: Rows, outputs: Outputs
) -> None:
    """Straight lines between the observations before and after each step."""
    times, bands, _, width = values.shape
    usable, block = np.zeros((times, COLUMNS), np.bool_), np.empty((times, COLUMNS), np.float32)
    back = np.empty((steps.size, COLUMNS), np.float32)
    ahead, share, regular = np.empty_like(back), np.empty_like(back), np.empty_like(back)
    for y in range(rows[0], rows[1]):
        for x0 in range(0, width, COLUMNS):
            size = min(COLUMNS, width - x0)
            _survey(values, valid, y, x0, size, usable)
            _bracket(usable, days, steps, back, ahead)
            _describe(usable, days, steps, back, ahead, y, x0, size, outputs)
            _share(back, ahead, hold, share)
            for band in range(bands):
                _load(values, band, y, x0, size, usable, block)
                _between(block, usable, days, steps, share, regular)
                _write(regular, band, y, x0, size, outputs[0])


@compiled  # type: ignore[untyped-decorator]
def median(
    values: Float32,
    valid: Bool,
    days: Float64,
    steps: Float64,
    periods: tuple[Float64, NDArray[np.int64], int],
    hold: bool,
    rows: Rows,
    outputs: Outputs,
) -> None:
    """Medians of the observations of each period; straight lines where a period has none.

    periods: their middles, more on both sides than there are steps; their first dates, and the end of the last; which
    of them is that of the first step.
    """
    times, bands, _, width = values.shape
    middles, begins, skipped = periods
    usable, block = np.zeros((times, COLUMNS), np.bool_), np.empty((times, COLUMNS), np.float32)
    medians, filled = np.zeros((middles.size, COLUMNS), np.float32), np.zeros((middles.size, COLUMNS), np.bool_)
    back = np.empty((middles.size, COLUMNS), np.float32)
    ahead, share, regular = np.empty_like(back), np.empty_like(back), np.empty_like(back)
    chosen = slice(skipped, skipped + steps.size)
    for y in range(rows[0], rows[1]):
        for x0 in range(0, width, COLUMNS):
            size = min(COLUMNS, width - x0)
            _survey(values, valid, y, x0, size, usable)
            _bracket(usable, days, steps, back[chosen], ahead[chosen])
            _describe(usable, days, steps, back[chosen], ahead[chosen], y, x0, size, outputs)
            for s in range(middles.size):
                for k in range(COLUMNS):
                    filled[s, k] = usable[begins[s] : begins[s + 1], k].any()
            _bracket(filled, middles, middles, back, ahead)
            _share(back, ahead, hold, share)
            for band in range(bands):
                _load(values, band, y, x0, size, usable, block)
                _medians(block, usable, begins, size, medians)
                _between(medians, filled, middles, middles, share, regular)
                _write(regular[chosen], band, y, x0, size, outputs[0])


@compiled  # type: ignore[untyped-decorator]
def whittaker(
    values: Float32,
    valid: Bool,
    days: Float64,
    steps: Float64,
    nodes: tuple[NDArray[np.int64], NDArray[np.int64], int],
    smoothing: float,
    hold: bool,
    rows: Rows,
    outputs: Outputs,
) -> None:
    """The curve of a node a day that is close to the observations and whose second differences are small.

    nodes: node of each date, node of each step, number of nodes (4 or more).
    """
    times, bands, _, width = values.shape
    usable, block = np.zeros((times, LANES), np.bool_), np.empty((times, LANES), np.float32)
    back = np.empty((steps.size, LANES), np.float32)
    ahead, regular, ends = np.empty_like(back), np.empty_like(back), np.empty((2, LANES), np.int64)
    of_date, of_step, total = nodes
    weight, curve = np.empty((total, LANES)), np.empty((total, LANES))
    factors, lone = np.empty((3, total, LANES)), np.empty(LANES, np.bool_)
    for y in range(rows[0], rows[1]):
        for x0 in range(0, width, LANES):
            size = min(LANES, width - x0)
            _survey(values, valid, y, x0, size, usable)
            _bracket(usable, days, steps, back, ahead)
            _describe(usable, days, steps, back, ahead, y, x0, size, outputs)
            _ends(usable, ends)
            _weigh(usable, of_date, weight, lone)
            _factorise(weight, smoothing, factors)
            for band in range(bands):
                _load(values, band, y, x0, size, usable, block)
                _solve(block, usable, of_date, lone, factors, curve)
                for s in range(steps.size):
                    regular[s] = curve[of_step[s]]
                    for k in range(size):
                        if _outside(back[s, k], ahead[s, k]):
                            end = ends[0 if back[s, k] > ahead[s, k] else 1, k]
                            regular[s, k] = curve[of_date[end], k] if hold and end >= 0 else np.nan
                _write(regular, band, y, x0, size, outputs[0])


@compiled  # type: ignore[untyped-decorator]
def harmonic(
    values: Float32,
    valid: Bool,
    days: Float64,
    steps: Float64,
    bases: tuple[Float64, Float64, int],
    hold: bool,
    rows: Rows,
    outputs: Outputs,
) -> None:
    """Least squares on the leading columns of a basis: as many as the observations of a pixel can bear.

    bases: the basis at each date (time, p) and at each step (step, p): 1, then cosine and sine of each harmonic, then a
    trend where p is even; and the number of harmonics.
    """
    times, bands, _, width = values.shape
    at_date, at_step, harmonics = bases
    order = at_date.shape[1]
    usable, block = np.zeros((times, COLUMNS), np.bool_), np.empty((times, COLUMNS), np.float32)
    back = np.empty((steps.size, COLUMNS), np.float32)
    ahead, regular, ends = np.empty_like(back), np.empty_like(back), np.empty((2, COLUMNS), np.int64)
    normal, fit = np.empty((order, order, COLUMNS)), np.empty((order, COLUMNS))
    borne = np.empty(COLUMNS, np.int64)
    for y in range(rows[0], rows[1]):
        for x0 in range(0, width, COLUMNS):
            size = min(COLUMNS, width - x0)
            _survey(values, valid, y, x0, size, usable)
            _bracket(usable, days, steps, back, ahead)
            _describe(usable, days, steps, back, ahead, y, x0, size, outputs)
            _ends(usable, ends)
            _normal(usable, at_date, normal)
            for k in range(COLUMNS):
                borne[k] = _cholesky(normal[:, :, k], harmonics)
            for band in range(bands):
                _load(values, band, y, x0, size, usable, block)
                _fit(block, at_date, normal, borne, fit)
                for s in range(steps.size):
                    _combine(at_step[s], fit, regular[s])
                    for k in range(size):
                        if _outside(back[s, k], ahead[s, k]):
                            end = ends[0 if back[s, k] > ahead[s, k] else 1, k]
                            regular[s, k] = (at_date[end] * fit[:, k]).sum() if hold and end >= 0 else np.nan
                _write(regular, band, y, x0, size, outputs[0])


# --- what all methods share ----------------------------------------------------------------------------------------


@compiled  # type: ignore[untyped-decorator]
def _survey(values: Float32, valid: Bool, y: int, x0: int, size: int, usable: Bool) -> None:
    """Write what is usable in a piece of a row: valid, and finite in all bands."""
    nothing = np.empty(size, np.float32)
    for t in range(usable.shape[0]):
        nothing[:] = 0
        for band in range(values.shape[1]):
            row = values[t, band, y, x0 : x0 + size]
            for k in range(size):
                nothing[k] += row[k] * np.float32(0)
        mask, given = usable[t], valid[t, y, x0 : x0 + size]
        mask[size:] = False
        for k in range(size):
            mask[k] = given[k] & (nothing[k] == 0)


@compiled  # type: ignore[untyped-decorator]
def _load(values: Float32, band: int, y: int, x0: int, size: int, usable: Bool, block: Float32) -> None:
    """Copy a piece of the series (time, x) of a band, 0 where it is not usable."""
    for t in range(usable.shape[0]):
        row, mask, out = values[t, band, y, x0 : x0 + size], usable[t], block[t]
        out[size:] = 0
        for k in range(size):
            value = row[k]
            out[k] = value if mask[k] else np.float32(0)


@compiled  # type: ignore[untyped-decorator]
def _bracket(usable: Bool, days: Float64, steps: Float64, back: Float32, ahead: Float32) -> None:
    """Write the days from each step back to the last usable date and on to the next; infinite where there is none."""
    times, columns = usable.shape
    reached = np.full(columns, -np.inf)
    t = 0
    for s in range(steps.size):
        while t < times and days[t] <= steps[s]:
            _reach(days[t], usable[t], reached)
            t += 1
        for k in range(columns):
            back[s, k] = steps[s] - reached[k]
    reached[:] = np.inf
    t = times - 1
    for s in range(steps.size - 1, -1, -1):
        while t >= 0 and days[t] >= steps[s]:
            _reach(days[t], usable[t], reached)
            t -= 1
        for k in range(columns):
            ahead[s, k] = reached[k] - steps[s]


@compiled  # type: ignore[untyped-decorator]
def _reach(day: float, usable: Bool, reached: Float64) -> None:
    for k in range(reached.size):
        old = reached[k]
        reached[k] = day if usable[k] else old


@compiled  # type: ignore[untyped-decorator]
def _describe(
    usable: Bool,
    days: Float64,
    steps: Float64,
    back: Float32,
    ahead: Float32,
    y: int,
    x0: int,
    size: int,
    outputs: Outputs,
) -> None:
    """Write count, longest gap and distances of a piece."""
    _, count, gap, distance = outputs
    first, last = steps[0], steps[-1]
    number, longest = np.zeros(size, np.int64), np.zeros(size)
    reached = np.full(size, first)
    for t in range(days.size):
        day = min(max(days[t], first), last)
        mask = usable[t]
        for k in range(size):
            number[k] += 1 if mask[k] else 0
            longest[k] = max(longest[k], day - reached[k]) if mask[k] else longest[k]
            reached[k] = day if mask[k] else reached[k]
    for k in range(size):
        count[y, x0 + k] = number[k]
        gap[y, x0 + k] = max(longest[k], last - reached[k])
    for s in range(steps.size):
        row = distance[s, y, x0 : x0 + size]
        for k in range(size):
            near = min(back[s, k], ahead[s, k])
            row[k] = near if near < _INFINITE else np.float32(np.nan)


@compiled  # type: ignore[untyped-decorator]
def _share(back: Float32, ahead: Float32, hold: bool, share: Float32) -> None:
    """Write the weight of the next observation beside the last; NaN where the curve is not to be known.

    Outside, the observation that does not exist counts as 0, so weights of 0 and 1 give the other one exactly.
    """
    unknown = np.float32(np.nan)
    for s in range(back.shape[0]):
        for k in range(back.shape[1]):
            i, j = back[s, k], ahead[s, k]
            inside = i / (i + j) if i > 0 else np.float32(0)
            alone = np.float32(1) if i == _INFINITE else np.float32(0)
            alone = alone if hold and min(i, j) < _INFINITE else unknown
            share[s, k] = alone if _outside(i, j) else inside


@compiled  # type: ignore[untyped-decorator]
def _outside(back: np.float32, ahead: np.float32) -> bool:
    return bool(max(back, ahead) == _INFINITE)


@compiled  # type: ignore[untyped-decorator]
def _between(series: Float32, usable: Bool, days: Float64, steps: Float64, share: Float32, regular: Float32) -> None:
    """Write the values between the last and the next usable one of a series at each step."""
    latest = np.zeros(usable.shape[1], np.float32)
    t = days.size - 1
    for s in range(steps.size - 1, -1, -1):
        while t >= 0 and days[t] >= steps[s]:
            _overwrite(series[t], usable[t], latest)
            t -= 1
        regular[s] = latest
    latest[:] = 0
    t = 0
    for s in range(steps.size):
        while t < days.size and days[t] <= steps[s]:
            _overwrite(series[t], usable[t], latest)
            t += 1
        row, part = regular[s], share[s]
        for k in range(latest.size):
            row[k] = latest[k] + part[k] * (row[k] - latest[k])


@compiled  # type: ignore[untyped-decorator]
def _overwrite(values: Float32, usable: Bool, latest: Float32) -> None:
    # Both are read before the choice: what is read within one is not vectorised.
    for k in range(latest.size):
        new, old = values[k], latest[k]
        latest[k] = new if usable[k] else old


@compiled  # type: ignore[untyped-decorator]
def _write(regular: Float32, band: int, y: int, x0: int, size: int, out: Float32) -> None:
    for s in range(regular.shape[0]):
        out[s, band, y, x0 : x0 + size] = regular[s, :size]


@compiled  # type: ignore[untyped-decorator]
def _medians(series: Float32, usable: Bool, begins: NDArray[np.int64], size: int, medians: Float32) -> None:
    ordered = np.empty(series.shape[0], np.float32)
    for s in range(medians.shape[0]):
        for k in range(size):
            n = 0
            for t in range(begins[s], begins[s + 1]):
                if usable[t, k]:
                    value, place = series[t, k], n
                    while place > 0 and ordered[place - 1] > value:
                        ordered[place] = ordered[place - 1]
                        place -= 1
                    ordered[place] = value
                    n += 1
            if n > 0:
                medians[s, k] = np.float32(0.5) * (ordered[(n - 1) // 2] + ordered[n // 2])


@compiled  # type: ignore[untyped-decorator]
def _ends(usable: Bool, ends: NDArray[np.int64]) -> None:
    """Write the first and the last usable date of each pixel, -1 where there is none."""
    times, columns = usable.shape
    ends[:] = -1
    for t in range(times):
        for k in range(columns):
            ends[1, k] = t if usable[t, k] else ends[1, k]
            ends[0, k] = t if usable[t, k] and ends[0, k] < 0 else ends[0, k]


# --- Whittaker -----------------------------------------------------------------------------------------------------


@compiled  # type: ignore[untyped-decorator]
def _weigh(usable: Bool, of_date: NDArray[np.int64], weight: Float64, lone: Bool) -> None:
    """Write the observations at each node. A pixel of less than two nodes is lone: its curve is their mean."""
    weight[:] = 0
    for t in range(of_date.size):
        for k in range(lone.size):
            weight[of_date[t], k] += 1.0 if usable[t, k] else 0.0
    for k in range(lone.size):
        seen, node = 0, -1
        for t in range(of_date.size):
            if usable[t, k] and of_date[t] != node:
                seen, node = seen + 1, of_date[t]
        lone[k] = seen < 2
        if lone[k]:
            weight[:, k] = 1.0


@compiled  # type: ignore[untyped-decorator]
def _factorise(weight: Float64, smoothing: float, factors: Float64) -> None:
    """Factors L D L' of W + smoothing D2' D2, pentadiagonal: 1 / D, first and second lower diagonal of L."""
    inverse, near, far = factors
    total, columns = weight.shape
    before, before2, nothing = np.zeros(columns), np.zeros(columns), np.zeros(columns)
    for i in range(total):
        edge = min(i, total - 1 - i)
        main = smoothing * (1.0 if edge == 0 else 5.0 if edge == 1 else 6.0)
        beside = smoothing * (-2.0 if i == 0 or i == total - 2 else -4.0)
        given, inverse_row, near_row, far_row = weight[i], inverse[i], near[i], far[i]
        near1 = near[i - 1] if i > 0 else nothing
        far1 = far[i - 1] if i > 0 else nothing
        far2 = far[i - 2] if i > 1 else nothing
        for k in range(columns):
            carried = before[k] * near1[k]
            pivot = given[k] + main - carried * near1[k] - before2[k] * far2[k] * far2[k]
            inverse_row[k] = 1.0 / pivot
            near_row[k] = (beside - carried * far1[k]) * inverse_row[k]
            far_row[k] = smoothing * inverse_row[k]
            before2[k] = before[k]
            before[k] = pivot


@compiled  # type: ignore[untyped-decorator]
def _solve(series: Float32, usable: Bool, of_date: NDArray[np.int64], lone: Bool, factors: Float64, z: Float64) -> None:
    """Write the curve: sums of the observations at each node, then forward and back substitution."""
    inverse, near, far = factors
    total, columns = z.shape
    z[:] = 0
    for t in range(of_date.size):
        for k in range(columns):
            z[of_date[t], k] += series[t, k]
    for k in range(columns):
        if lone[k]:
            z[:, k] = z[:, k].sum() / max(1, usable[:, k].sum())
    last, last2 = np.zeros(columns), np.zeros(columns)
    for i in range(total):
        row = z[i]
        near1, far2 = near[max(i - 1, 0)], far[max(i - 2, 0)]
        for k in range(columns):
            value = row[k] - near1[k] * last[k] - far2[k] * last2[k]
            old = last[k]
            last2[k] = old
            last[k] = value
            row[k] = value
    last[:] = 0
    last2[:] = 0
    for i in range(total - 1, -1, -1):
        row, inverse_row, near_row, far_row = z[i], inverse[i], near[i], far[i]
        for k in range(columns):
            value = row[k] * inverse_row[k] - near_row[k] * last[k] - far_row[k] * last2[k]
            old = last[k]
            last2[k] = old
            last[k] = value
            row[k] = value


# --- harmonics -----------------------------------------------------------------------------------------------------


@compiled  # type: ignore[untyped-decorator]
def _normal(usable: Bool, at_date: Float64, normal: Float64) -> None:
    """Write the lower half of the normal matrix of each pixel."""
    normal[:] = 0
    for i in range(at_date.shape[1]):
        for j in range(i + 1):
            entry = normal[i, j]
            for t in range(at_date.shape[0]):
                product = at_date[t, i] * at_date[t, j]
                mask = usable[t]
                for k in range(entry.size):
                    entry[k] += product if mask[k] else 0.0


@compiled  # type: ignore[untyped-decorator]
def _cholesky(normal: Float64, harmonics: int) -> int:
    """Replace a normal matrix by its lower Cholesky factor; return how many coefficients the observations can bear.

    A harmonic is borne by three observations a coefficient (Zhu and Woodcock 2014), spread over its period so that the
    worst phase is known at least a tenth as well as from dates spread evenly; a trend likewise, once all harmonics are.
    """
    order = normal.shape[0]
    observed = normal[0, 0]
    middle = normal[order - 1, 0]
    spread = normal[order - 1, order - 1] - middle * middle / max(observed, 1.0)
    borne = 1
    normal[0, 0] = np.sqrt(observed) if observed > 0 else 1.0
    while borne < order:
        end = min(borne + 2, 1 + 2 * harmonics) if borne < 1 + 2 * harmonics else order
        for i in range(borne, end):
            for j in range(borne):
                for m in range(j):
                    normal[i, j] -= normal[i, m] * normal[j, m]
                normal[i, j] /= normal[j, j]
            for j in range(borne, i + 1):
                for m in range(borne):
                    normal[i, j] -= normal[i, m] * normal[j, m]
        a, c = normal[borne, borne], normal[end - 1, end - 1]
        b = normal[end - 1, borne] if end - borne == 2 else 0.0
        known, wanted = 0.5 * (a + c) - np.sqrt(0.25 * (a - c) ** 2 + b * b), 0.5 * observed
        if end - borne == 1:
            known, wanted = a, spread
        if observed < OBSERVATIONS_PER_COEFFICIENT * end or not known > LEAST_SPREAD * wanted:
            break
        normal[borne, borne] = np.sqrt(a)
        if end - borne == 2:
            normal[end - 1, borne] = b / normal[borne, borne]
            normal[end - 1, end - 1] = np.sqrt(c - normal[end - 1, borne] ** 2)
        borne = end
    for i in range(borne, order):
        normal[i, :i] = 0
        normal[i, i] = 1
    return borne


@compiled  # type: ignore[untyped-decorator]
def _fit(series: Float32, at_date: Float64, factor: Float64, borne: NDArray[np.int64], fit: Float64) -> None:
    """Write the coefficients, 0 for those that are not borne."""
    order, columns = fit.shape
    fit[:] = 0
    for i in range(order):
        for t in range(at_date.shape[0]):
            for k in range(columns):
                fit[i, k] += at_date[t, i] * series[t, k]
        for k in range(columns):
            fit[i, k] = fit[i, k] if i < borne[k] else 0.0
    for i in range(order):
        for k in range(columns):
            for j in range(i):
                fit[i, k] -= factor[i, j, k] * fit[j, k]
            fit[i, k] /= factor[i, i, k]
    for i in range(order - 1, -1, -1):
        for k in range(columns):
            for j in range(i + 1, order):
                fit[i, k] -= factor[j, i, k] * fit[j, k]
            fit[i, k] /= factor[i, i, k]


@compiled  # type: ignore[untyped-decorator]
def _combine(basis: Float64, fit: Float64, out: Float32) -> None:
    value = np.zeros(out.size)
    for i in range(basis.size):
        for k in range(out.size):
            value[k] += basis[i] * fit[i, k]
    out[:] = value
