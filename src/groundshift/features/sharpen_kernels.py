"""Coarse bands sharpened by fine ones: compiled, a row of coarse pixels at a time, all columns of it side by side.

Sums are taken afresh around every pixel, in one fixed order and in float64, so a pixel gets the same bits wherever a
block begins. Coarse arrays hold 0 where something is missing, and the masks beside them False; the fine bands may hold
NaN. A *phase* (k, l) is the place of a fine pixel within its coarse one. They live in one file because numba's cache
looks at no other for changes.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Codes = NDArray[np.uint8]

MISSING, NEAREST, SMOOTH, GUIDED = 0, 1, 2, 3
"""How a coarse pixel was divided."""
REACH = 2
"""Coarse pixels on either side that the smooth interpolation looks at."""

compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})


@compiled  # type: ignore[untyped-decorator]
def means(fine: Float32, factor: int, out: Float32, whole: Bool) -> None:
    """Write the mean of every block of factor x factor pixels (f, Y, X), and where all of it is there (Y, X)."""
    bands, height, width = out.shape
    total = np.empty(width)
    for y in range(height):
        whole[y] = True
        for band in range(bands):
            total[:] = 0
            for k in range(factor):
                row = fine[band, y * factor + k]
                for x in range(width):
                    for phase in range(factor):
                        total[x] += row[x * factor + phase]
            for x in range(width):
                there = np.isfinite(total[x])
                whole[y, x] &= there
                out[band, y, x] = total[x] / (factor * factor) if there else 0.0


@compiled  # type: ignore[untyped-decorator]
def coefficients(
    coarse: Float32, guide: Float32, mask: Bool, radius: int, ridge: float, least: float, out: Float32
) -> None:
    """Write the slopes (b, f, Y, X) of the coarse bands on the guides in the window around every pixel.

    They are NaN where the window has fewer than ``least`` usable pixels, and where the pixel itself is not usable.
    """
    bands, height, width = coarse.shape
    guides = guide.shape[0]
    products = 1 + guides + guides * (guides + 1) // 2 + bands * (2 + guides)
    columns, sums = np.zeros((products, width + 2 * radius)), np.empty((products, width))
    for y in range(height):
        columns[:] = 0
        for row in range(max(0, y - radius), min(height, y + radius + 1)):
            _add_products(coarse[:, row], guide[:, row], mask[row], columns[:, radius : radius + width])
        sums[:] = 0
        for p in range(products):
            for shift in range(2 * radius + 1):
                for x in range(width):
                    sums[p, x] += columns[p, x + shift]
        _solve(sums, bands, guides, ridge, out[:, :, y])
        for x in range(width):
            if not mask[y, x] or sums[0, x] < least:
                out[:, :, y, x] = np.nan


@compiled  # type: ignore[untyped-decorator]
def _add_products(coarse: Float32, guide: Float32, mask: Bool, columns: Float64) -> None:
    """Add a row of what the fit sums: 1, g, g g', then y, y y and g y of each band."""
    width = mask.size
    weight = mask.astype(np.float64)
    for x in range(width):
        columns[0, x] += weight[x]
    p = 1
    for i in range(guide.shape[0]):
        for x in range(width):
            columns[p, x] += weight[x] * guide[i, x]
        p += 1
    for i in range(guide.shape[0]):
        for j in range(i + 1):
            for x in range(width):
                columns[p, x] += weight[x] * guide[i, x] * guide[j, x]
            p += 1
    for band in range(coarse.shape[0]):
        for x in range(width):
            value = weight[x] * coarse[band, x]
            columns[p, x] += value
            columns[p + 1, x] += value * coarse[band, x]
        p += 2
        for i in range(guide.shape[0]):
            for x in range(width):
                columns[p, x] += weight[x] * coarse[band, x] * guide[i, x]
            p += 1


@compiled  # type: ignore[untyped-decorator]
def _solve(sums: Float64, bands: int, guides: int, ridge: float, out: Float32) -> None:
    """Write the slopes (b, f, x) of a row: Cholesky's way, shrunk by what the fit explains beyond chance."""
    width = sums.shape[1]
    count = np.maximum(sums[0], 1.0)
    factor = _cholesky(sums, count, guides, ridge)
    slope = np.empty((guides, width))
    p = 1 + guides + guides * (guides + 1) // 2
    for band in range(bands):
        variance, explained = np.empty(width), np.zeros(width)
        for x in range(width):
            variance[x] = sums[p + 1, x] / count[x] - (sums[p, x] / count[x]) ** 2
        for i in range(guides):
            for x in range(width):
                slope[i, x] = sums[p + 2 + i, x] / count[x] - sums[1 + i, x] * sums[p, x] / count[x] ** 2
        _substitute(factor, slope)
        for i in range(guides):
            for x in range(width):
                covariance = sums[p + 2 + i, x] / count[x] - sums[1 + i, x] * sums[p, x] / count[x] ** 2
                explained[x] += slope[i, x] * (covariance + ridge * slope[i, x])
        for x in range(width):
            chance = guides * (variance[x] - explained[x]) / max(count[x] - guides - 1, 1.0)
            share = 1 - max(chance, 0.0) / explained[x] if explained[x] > 0 else 0.0
            explained[x] = max(share, 0.0)
        for i in range(guides):
            for x in range(width):
                out[band, i, x] = slope[i, x] * explained[x]
        p += 2 + guides


@compiled  # type: ignore[untyped-decorator]
def _cholesky(sums: Float64, count: Float64, guides: int, ridge: float) -> Float64:
    """Lower triangular L (f, f, x) with L L' = covariance of the guides + ridge; the diagonal holds 1 / L."""
    width = count.size
    factor = np.empty((guides, guides, width))
    p = 1 + guides
    for i in range(guides):
        for j in range(i + 1):
            for x in range(width):
                factor[i, j, x] = sums[p, x] / count[x] - sums[1 + i, x] * sums[1 + j, x] / count[x] ** 2
            p += 1
            for m in range(j):
                for x in range(width):
                    factor[i, j, x] -= factor[i, m, x] * factor[j, m, x]
            for x in range(width):
                if i > j:
                    factor[i, j, x] *= factor[j, j, x]
                else:
                    factor[i, i, x] = 1 / np.sqrt(max(factor[i, i, x] + ridge, 0.1 * ridge))
    return factor


@compiled  # type: ignore[untyped-decorator]
def _substitute(factor: Float64, vector: Float64) -> None:
    """Turn c (f, x) into the solution of L L' a = c."""
    guides, width = vector.shape
    for i in range(guides):
        for j in range(i):
            for x in range(width):
                vector[i, x] -= factor[i, j, x] * vector[j, x]
        for x in range(width):
            vector[i, x] *= factor[i, i, x]
    for i in range(guides - 1, -1, -1):
        for j in range(i + 1, guides):
            for x in range(width):
                vector[i, x] -= factor[j, i, x] * vector[j, x]
        for x in range(width):
            vector[i, x] *= factor[i, i, x]


@compiled  # type: ignore[untyped-decorator]
def divide(
    coarse: Float32,
    valid: Bool,
    fine: Float32,
    guide: Float32,
    mask: Bool,
    slopes: Float32,
    weights: Float64,
    highest: Codes,
    rules: tuple[int, float, float],
    values: Float32,
    used: Codes,
) -> None:
    """Write the coarse bands at the fine resolution (b, y, x), and how each coarse pixel was divided (b, Y, X).

    ``weights`` (factor, taps) are those of the smooth interpolation along an axis, ``highest`` (b,) the highest rung of
    each band, ``rules`` the radius of the window, the least share of it, and the overshoot.
    """
    bands, height, width = coarse.shape
    guides, factor = guide.shape[0], weights.shape[0]
    detail = np.empty((guides, factor, factor, width))
    phases, slope, here = np.empty((factor, factor, width)), np.empty((guides, width)), np.empty(width, np.bool_)
    for y in range(height):
        fine_rows = slice(y * factor, (y + 1) * factor)
        for i in range(guides):
            _interpolate(guide[i], y, weights, detail[i])
            _mend(guide[i], mask, mask[y], y, weights, detail[i])
            _subtract_from(fine[i, fine_rows], mask[y], detail[i])
        for band in range(bands):
            rungs = used[band, y]
            _rungs(valid[band], y, rules[1], highest[band], rungs)
            _mean_slopes(slopes[band], y, rules[0], slope)
            if highest[band] == GUIDED:
                _raise(slopes[band, 0, y], slope, rungs)
            _interpolate(coarse[band], y, weights, phases)
            for rung in (SMOOTH, GUIDED):
                for x in range(width):
                    here[x] = rungs[x] == rung
                _mend(coarse[band], valid[band] if rung == SMOOTH else mask, here, y, weights, phases)
            _add_detail(detail, slope, rungs, phases)
            _conserve(coarse[band], valid[band], y, (rules[0], rules[2]), rungs, phases)
            _write(phases, rungs, values[band, fine_rows])


@compiled  # type: ignore[untyped-decorator]
def _count(mask: Bool, y: int, radius: int, out: Float64) -> None:
    """Write how many pixels around those of row y are True, (x,)."""
    height, width = mask.shape
    column = np.zeros(width + 2 * radius)
    for row in range(max(0, y - radius), min(height, y + radius + 1)):
        for x in range(width):
            column[x + radius] += mask[row, x]
    out[:] = 0
    for shift in range(2 * radius + 1):
        for x in range(width):
            out[x] += column[x + shift]


@compiled  # type: ignore[untyped-decorator]
def _rungs(valid: Bool, y: int, minimum_valid: float, highest: int, out: Codes) -> None:
    """Smooth where that is allowed and enough of the 3 x 3 pixels are there, else nearest, else missing."""
    near = np.empty(valid.shape[1])
    _count(valid, y, 1, near)
    for x in range(valid.shape[1]):
        smooth = highest >= SMOOTH and near[x] >= minimum_valid * 9
        out[x] = (SMOOTH if smooth else NEAREST) if valid[y, x] else MISSING


@compiled  # type: ignore[untyped-decorator]
def _raise(own: Float32, slope: Float64, rungs: Codes) -> None:
    """Guided where the pixel has a fit of its own and any mean slope is not 0."""
    for x in range(rungs.size):
        steep = False
        for i in range(slope.shape[0]):
            steep |= slope[i, x] != 0
        if steep and np.isfinite(own[x]):
            rungs[x] = GUIDED


@compiled  # type: ignore[untyped-decorator]
def _mean_slopes(slopes: Float32, y: int, radius: int, out: Float64) -> None:
    """Write the mean (f, x) of the slopes of all windows whose centres lie around the pixels of row y."""
    guides, height, width = slopes.shape
    column, seen = np.zeros((guides, width + 2 * radius)), np.zeros(width + 2 * radius)
    for row in range(max(0, y - radius), min(height, y + radius + 1)):
        for x in range(width):
            seen[x + radius] += 1.0 if np.isfinite(slopes[0, row, x]) else 0.0
        for i in range(guides):
            for x in range(width):
                value = slopes[i, row, x]
                column[i, x + radius] += value if np.isfinite(value) else 0.0
    count = np.zeros(width)
    for shift in range(2 * radius + 1):
        for x in range(width):
            count[x] += seen[x + shift]
    out[:] = 0
    for i in range(guides):
        for shift in range(2 * radius + 1):
            for x in range(width):
                out[i, x] += column[i, x + shift]
        for x in range(width):
            out[i, x] /= max(count[x], 1.0)


@compiled  # type: ignore[untyped-decorator]
def _interpolate(values: Float32, y: int, weights: Float64, out: Float64) -> None:
    """Write the phases (k, l, x) of row y, as if everything were there; what lies outside is 0."""
    height, width = values.shape
    factor, taps = weights.shape
    row = np.zeros(width + 2 * REACH)
    for k in range(factor):
        row[:] = 0
        for tap in range(taps):
            other = y + tap - REACH
            if 0 <= other < height:
                for x in range(width):
                    row[x + REACH] += weights[k, tap] * values[other, x]
        for phase in range(factor):
            out[k, phase] = 0
            for tap in range(taps):
                for x in range(width):
                    out[k, phase, x] += weights[phase, tap] * row[x + tap]


@compiled  # type: ignore[untyped-decorator]
def _mend(values: Float32, usable: Bool, wanted: Bool, y: int, weights: Float64, out: Float64) -> None:
    """Interpolate once more where neighbours are missing: each takes the value of the pixel in the middle."""
    width = values.shape[1]
    around = np.empty(width)
    _count(usable, y, REACH, around)
    taps = weights.shape[1]
    patch = np.empty((taps, taps))
    for x in range(width):
        if not wanted[x] or around[x] == taps * taps:
            continue
        for j in range(taps):
            for i in range(taps):
                v, u = y + j - REACH, x + i - REACH
                inside = 0 <= v < values.shape[0] and 0 <= u < width and usable[v, u]
                patch[j, i] = values[v, u] if inside else values[y, x]
        for k in range(weights.shape[0]):
            for phase in range(weights.shape[0]):
                total = 0.0
                for i in range(taps):
                    column = 0.0
                    for j in range(taps):
                        column += weights[k, j] * patch[j, i]
                    total += weights[phase, i] * column
                out[k, phase, x] = total


@compiled  # type: ignore[untyped-decorator]
def _subtract_from(fine: Float32, mask: Bool, phases: Float64) -> None:
    factor, _, width = phases.shape
    for k in range(factor):
        for phase in range(factor):
            for x in range(width):
                phases[k, phase, x] = fine[k, x * factor + phase] - phases[k, phase, x] if mask[x] else 0.0


@compiled  # type: ignore[untyped-decorator]
def _add_detail(detail: Float64, slope: Float64, rungs: Codes, out: Float64) -> None:
    factor, _, width = out.shape
    for x in range(width):
        if rungs[x] != GUIDED:
            slope[:, x] = 0
    for i in range(slope.shape[0]):
        for k in range(factor):
            for phase in range(factor):
                for x in range(width):
                    out[k, phase, x] += slope[i, x] * detail[i, k, phase, x]


@compiled  # type: ignore[untyped-decorator]
def _conserve(coarse: Float32, valid: Bool, y: int, bounds: tuple[int, float], rungs: Codes, phases: Float64) -> None:
    """Give each pixel its coarse value as mean, and draw its phases towards it as far as the bounds ask."""
    factor, _, width = phases.shape
    low, high = _limits(coarse, valid, y, bounds[0], bounds[1])
    mean, least, most = np.zeros(width), np.zeros(width), np.zeros(width)
    for k in range(factor):
        for phase in range(factor):
            for x in range(width):
                mean[x] += phases[k, phase, x]
                least[x] = phases[k, phase, x] if k + phase == 0 else min(least[x], phases[k, phase, x])
                most[x] = phases[k, phase, x] if k + phase == 0 else max(most[x], phases[k, phase, x])
    keep = np.zeros(width)
    for x in range(width):
        mean[x] /= factor * factor
        if rungs[x] >= SMOOTH:
            down, up = mean[x] - least[x], most[x] - mean[x]
            keep[x] = min(1.0, (coarse[y, x] - low[x]) / down if down > 0 else 1.0)
            keep[x] = min(keep[x], (high[x] - coarse[y, x]) / up if up > 0 else 1.0)
    for k in range(factor):
        for phase in range(factor):
            for x in range(width):
                spread = (phases[k, phase, x] - mean[x]) * keep[x] if keep[x] > 0 else 0.0
                phases[k, phase, x] = coarse[y, x] + spread


@compiled  # type: ignore[untyped-decorator]
def _limits(coarse: Float32, valid: Bool, y: int, radius: int, overshoot: float) -> tuple[Float64, Float64]:
    """Least and greatest value that is believed in row y: those around, and the stated part of their range beyond."""
    height, width = coarse.shape
    below, above = np.full(width + 2 * radius, np.inf), np.full(width + 2 * radius, -np.inf)
    for row in range(max(0, y - radius), min(height, y + radius + 1)):
        for x in range(width):
            if valid[row, x]:
                below[x + radius] = min(below[x + radius], coarse[row, x])
                above[x + radius] = max(above[x + radius], coarse[row, x])
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    for shift in range(2 * radius + 1):
        for x in range(width):
            low[x] = min(low[x], below[x + shift])
            high[x] = max(high[x], above[x + shift])
    for x in range(width):
        span = overshoot * (high[x] - low[x])
        floor = low[x] - span
        low[x] = max(floor, 0.0) if low[x] >= 0 else floor
        high[x] += span
    return low, high


@compiled  # type: ignore[untyped-decorator]
def _write(phases: Float64, rungs: Codes, out: Float32) -> None:
    factor, _, width = phases.shape
    for k in range(factor):
        for phase in range(factor):
            for x in range(width):
                out[k, x * factor + phase] = phases[k, phase, x] if rungs[x] != MISSING else np.nan
