"""Sub-pixel shift between two images of one place, by phase correlation of well-textured chips."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError

_FINE = 3
"""Half width, in pixels, of the window around the peak that is searched finely."""
_TURNS = 4
_DONE = 0.003
_ENOUGH = 3
"""Chips below which smaller ones are tried, as between clouds, and below which nothing is said."""
_SMALLEST = 32
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class RegistrationOptions:
    """Where and how the shift is measured."""

    chip_px: int = 128
    """Side of a chip; halved, down to 32, in a small image and where clouds leave fewer than three chips."""
    chips: int = 36
    """Chips measured, at most: those with the most texture of a regular grid."""
    min_valid: float = 0.6
    """Share of usable pixels that a chip needs."""
    min_correlation: float = 0.4
    """Correlation of a chip's texture at both dates, after it was registered, from which on it is believed."""
    max_shift_px: float = 8.0
    """Larger shifts are not looked for."""

    def __post_init__(self) -> None:
        if self.chip_px < 32 or self.chips < 1 or not 0 < self.max_shift_px <= self.chip_px / 4:
            raise UsageError(f"these registration options cannot be: {self}.")


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Where AFTER lies against BEFORE: what is at (x, y) before is at (x + dx, y + dy) after; y counts downwards."""

    dx_px: float
    dy_px: float
    error_px: float
    """Standard error of the median over the chips."""
    spread_px: float
    """Robust standard deviation of the chips' shifts: distortion, relief and noise."""
    chips: int
    """Chips that were believed."""

    @property
    def length_px(self) -> float:
        """Length of the shift."""
        return math.hypot(self.dx_px, self.dy_px)


def estimate_shift(
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    valid: NDArray[np.bool_] | None = None,
    options: RegistrationOptions | None = None,
) -> Shift | None:
    """Measure the shift between two images on one grid.

    Args:
        before, after: (y, x), one band, any units.
        valid: (y, x) True = usable at both dates; None: wherever both are finite.
        options: how.

    Returns:
        The median over the chips, or None where fewer than three hold texture that is common to both dates.

    Raises:
        InputError: shapes differ.

    Laws: gain and offset of either image change nothing; exchanging the images turns the sign.
    Source: phase correlation after Kuglin & Hines (1975); fine search by a matrix Fourier transform after
    Guizar-Sicairos et al. (2008), Opt. Lett. 33, 156, repeated on the registered chip until nothing is left, because
    a window that both chips share draws a single estimate towards 0.
    """
    options = options or RegistrationOptions()
    if before.ndim != 2 or before.shape != after.shape or (valid is not None and valid.shape != before.shape):
        raise InputError(f"registration needs two images of one shape, got {before.shape} and {after.shape}.")
    usable = np.isfinite(before) & np.isfinite(after)
    if valid is not None:
        usable &= valid
    found: list[NDArray[np.float64]] = []
    for size in _chip_sizes(min(before.shape), options.chip_px):
        chips = _textured(before, usable, size, options)
        measured = [_measure(before[chip], after[chip], usable[chip], options) for chip in chips]
        found = [shift for shift in measured if shift is not None]
        if len(found) >= _ENOUGH:
            break
    return _combine(np.array(found), options)


def _chip_sizes(side: int, wanted: int) -> list[int]:
    """Sides of chips to try, from the wanted one down to 32 pixels, of which three fit into the image's side."""
    sizes = [wanted // 2**i for i in range(8) if wanted // 2**i >= _SMALLEST]
    return [size for size in sizes if 3 * size <= side] or [size for size in sizes[-1:] if size <= side]


def _textured(
    image: NDArray[np.floating], usable: NDArray[np.bool_], size: int, options: RegistrationOptions
) -> list[tuple[slice, slice]]:
    """The chips with the most texture of a regular grid."""
    found = []
    for y in _starts(image.shape[0], size):
        for x in _starts(image.shape[1], size):
            where = slice(y, y + size), slice(x, x + size)
            if usable[where].mean() >= options.min_valid:
                found.append((_texture(image[where], usable[where]), where))
    found.sort(key=lambda chip: -chip[0])
    return [where for texture, where in found[: options.chips] if texture > 0]


def _starts(length: int, size: int) -> NDArray[np.int_]:
    """Chips that do not overlap, but for large images with gaps: at most 12 along a side."""
    count = max(1, min(12, length // size))
    return np.linspace(0, length - size, count).astype(np.int_)


def _texture(chip: NDArray[np.floating], usable: NDArray[np.bool_]) -> float:
    """Spread of the differences between neighbours, the outer tenth drawn in."""
    steps = np.diff(chip, axis=1)[usable[:, 1:] & usable[:, :-1]]
    return float(np.subtract(*np.quantile(steps, (0.95, 0.05)))) if steps.size else 0.0


def _measure(
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    usable: NDArray[np.bool_],
    options: RegistrationOptions,
) -> NDArray[np.float64] | None:
    """(dy, dx) of one chip; None where it is not believed."""
    first, second = _filled(before, usable), _filled(after, usable)
    if any(chip.std() <= _ROUNDING * np.abs(chip).max() for chip in (first, second)):
        return None
    window = _window(first.shape)
    fixed = np.fft.fft2(_flat(first) * window)
    shift = np.zeros(2)
    for _ in range(_TURNS):
        moved = scipy.ndimage.shift(second, -shift, order=3, mode="nearest")
        step = _peak(fixed, np.fft.fft2(_flat(moved) * window), options.max_shift_px)
        shift += step
        if np.abs(shift).max() > options.max_shift_px:
            return None
        if np.abs(step).max() < _DONE:
            break
    moved = scipy.ndimage.shift(second, -shift, order=3, mode="nearest")
    inner = usable & (window > 0.1)
    likeness = np.corrcoef(_flat(first)[inner], _flat(moved)[inner])[0, 1]
    return shift if likeness >= options.min_correlation else None


def _filled(chip: NDArray[np.floating], usable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The chip with unusable pixels replaced by the mean of their neighbourhood, so that no edge is left to see."""
    values = np.where(usable, chip, 0.0).astype(np.float64)
    if usable.all():
        return values
    near = scipy.ndimage.gaussian_filter(usable.astype(np.float64), 4.0)
    smooth = scipy.ndimage.gaussian_filter(values, 4.0) / np.maximum(near, 1e-6)
    return np.where(usable, values, np.where(near > 1e-3, smooth, values[usable].mean()))


def _flat(chip: NDArray[np.float64]) -> NDArray[np.float64]:
    """The chip without its coarse forms: haze and light differ between dates, texture stays."""
    return np.asarray(chip - scipy.ndimage.gaussian_filter(chip, 6.0, mode="nearest"))


def _window(shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.asarray(np.outer(np.hanning(shape[0]), np.hanning(shape[1])))


def _peak(first: NDArray[np.complex128], second: NDArray[np.complex128], reach: float) -> NDArray[np.float64]:
    """(dy, dx) of the peak of the phase correlation of two spectra, to a hundredth of a pixel or better."""
    cross = np.conj(first) * second
    fy, fx = np.fft.fftfreq(cross.shape[0])[:, None], np.fft.fftfreq(cross.shape[1])[None, :]
    # Half whitened: full phase correlation gives noise and aliased high frequencies the same say as texture.
    low = np.exp(-((np.hypot(fy, fx) / 0.3) ** 4))
    cross = low * cross / np.sqrt(np.abs(cross) + 1e-12 * np.abs(cross).max())
    surface = np.fft.ifft2(cross).real
    offsets = [np.fft.fftfreq(n, 1 / n) for n in cross.shape]
    near = (np.abs(offsets[0])[:, None] <= reach) & (np.abs(offsets[1])[None, :] <= reach)
    at = np.unravel_index(np.argmax(np.where(near, surface, -np.inf)), surface.shape)
    centre = np.array([offsets[0][at[0]], offsets[1][at[1]]])
    for step in (0.25, 0.025):
        centre = _refine(cross, centre, step)
    return centre


def _refine(cross: NDArray[np.complex128], centre: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """The peak on a finer lattice around ``centre``, and between its points by a parabola."""
    fy, fx = (np.fft.fftfreq(n) for n in cross.shape)
    around = np.arange(-2 * _FINE, 2 * _FINE + 1) * step
    dy, dx = centre[0] + around, centre[1] + around
    surface = (np.exp(2j * np.pi * np.outer(dy, fy)) @ cross @ np.exp(2j * np.pi * np.outer(fx, dx))).real
    i, j = np.unravel_index(np.argmax(surface), surface.shape)
    return np.array([dy[i] + step * _vertex(surface[:, j], i), dx[j] + step * _vertex(surface[i], j)])


def _vertex(values: NDArray[np.float64], at: np.intp) -> float:
    """Offset of the top of the parabola through a peak and its neighbours, in steps; 0 at the rim."""
    if not 0 < at < len(values) - 1:
        return 0.0
    left, top, right = values[at - 1 : at + 2]
    curvature = left - 2 * top + right
    return float(0.5 * (left - right) / curvature) if curvature < 0 else 0.0


def _combine(shifts: NDArray[np.float64], options: RegistrationOptions) -> Shift | None:
    """Median over the chips; None where there are too few, or they contradict each other as random peaks would."""
    if len(shifts) < _ENOUGH:
        return None
    dy, dx = np.median(shifts, axis=0)
    spread = float(1.4826 * np.median(np.abs(shifts - (dy, dx)), axis=0).max())
    if spread > options.max_shift_px / 4:
        return None
    error = math.sqrt(math.pi / 2 / len(shifts)) * spread
    return Shift(dx_px=float(dx), dy_px=float(dy), error_px=error, spread_px=spread, chips=len(shifts))
