"""Textures: features of the grey level co-occurrence matrix (GLCM) of a window around every pixel (Haralick 1973).

The matrix of a window counts how often two levels stand side by side in it: pairs of pixels at a given distance and
direction, of which both lie in the window, counted both ways (symmetric) and divided by their number (normalised).
Levels come from :func:`quantise` with the same limits for all blocks and dates of one analysis: limits of their own
would make textures of two windows incomparable.

Law: all sums are of integers, so cutting the image into blocks with a halo of :func:`halo_px` changes no bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.features import texture_kernels as kernels
from groundshift.numerics.rows import in_rows

Float32 = NDArray[np.float32]
Levels = NDArray[np.uint8]
Border = Literal["missing", "reflect"]

GLCM_FEATURES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "entropy", "asm")
"""With p the matrix: the sums of p (i - j)^2, of p |i - j| and of p / (1 + (i - j)^2); the root of asm; the correlation
of i and j, which is 1 where all levels are equal; the sum of -p ln p; and the sum of p^2 (angular second moment)."""
MISSING = 255
"""Level of a pixel that is missing, unless there are 256 levels."""
LARGEST_WINDOW = 255
"""Sums over the columns of larger ones would not fit into 32 bits."""

_ANGLES = (0, 45, 90, 135)
_SHORTHAND = {1: (0,), 2: (0, 90), 4: _ANGLES}


@dataclass(frozen=True, kw_only=True)
class GlcmOptions:
    """Which matrices are made, and which of their features."""

    window: int = 7
    """Side of the window in pixels, odd, 3 to :data:`LARGEST_WINDOW`."""
    levels: int = 32
    """Grey levels, 2 to 256. 32: fewer blur the texture, more thin out the matrix of 7 x 7 pixels."""
    distance: int = 1
    """Between the two pixels of a pair, shorter than the window. Along diagonals it is rounded to whole pixels as
    scikit-image does: 2 is one row and one column there."""
    directions: int | tuple[int, ...] = 4
    """1 (0 degrees: along rows), 2 (and 90: along columns), 4 (and both diagonals), or angles of these: 0, 45 (down and
    to the right, as in scikit-image), 90, 135."""
    features: tuple[str, ...] = GLCM_FEATURES
    """Which, and in which order; without entropy, asm and energy it takes a third of the time."""
    border: Border = "missing"
    """What lies outside the image: nothing, or the image mirrored at its edge (the edge pixel twice), so that textures
    are defined in its corners too."""

    def __post_init__(self) -> None:
        if not 3 <= self.window <= LARGEST_WINDOW or self.window % 2 == 0:
            raise UsageError(f"a window of {self.window} pixels cannot be: expected an odd 3 to {LARGEST_WINDOW}.")
        if not 2 <= self.levels <= 256:
            raise UsageError(f"{self.levels} grey levels cannot be: expected 2 to 256.")
        if not 1 <= self.distance < self.window:
            raise UsageError(
                f"no pair of pixels at a distance of {self.distance} lies in a window of {self.window}: "
                f"expected 1 to {self.window - 1}."
            )
        angles = self.angles
        if not angles or len({*angles}) < len(angles) or not {*angles} <= {*_ANGLES}:
            raise UsageError(f"directions {self.directions} cannot be: expected 1, 2, 4, or some of {_ANGLES}.")
        unknown = [name for name in self.features if name not in GLCM_FEATURES]
        if unknown or not self.features:
            raise UsageError(
                f"there is no texture {', '.join(map(repr, unknown)) or 'asked for'}: "
                f"expected some of {', '.join(GLCM_FEATURES)}."
            )
        if self.border not in get_args(Border):
            raise UsageError(f"there is no border {self.border!r}: expected one of {', '.join(get_args(Border))}.")

    @property
    def angles(self) -> tuple[int, ...]:
        """Directions in degrees."""
        return _SHORTHAND.get(self.directions, ()) if isinstance(self.directions, int) else self.directions


def halo_px(options: GlcmOptions) -> int:
    """Pixels around a block that its textures depend on."""
    return options.window // 2


def quantise(values: Float32, low: float, high: float, levels: int) -> Levels:
    """Grey levels of equal width between two limits.

    Args:
        values: (y, x) float32, NaN = missing.
        low: lower limit of level 0; what is below belongs to it too.
        high: upper limit of the last level; what is above belongs to it too.
        levels: how many, 2 to 256.

    Returns:
        (y, x) uint8: 0 to levels - 1, and :data:`MISSING` where a value is missing or infinite.

    Raises:
        UsageError: limits or levels that cannot be.
        InputError: 256 levels leave no code for what is missing, and something is.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"grey levels between {low} and {high} cannot be: expected two rising limits.")
    if not 2 <= levels <= 256:
        raise UsageError(f"{levels} grey levels cannot be: expected 2 to 256.")
    known = np.isfinite(values)
    if levels == 256 and not known.all():
        raise InputError(
            f"{np.count_nonzero(~known)} values are missing, and 256 levels leave no code for them: "
            "ask for 255 levels or fewer."
        )
    scaled = np.where(known, values, np.float32(low)) - np.float32(low)
    scaled *= np.float32(levels / (high - low))
    np.clip(scaled, 0, levels - 1, out=scaled)
    return np.where(known, scaled.astype(np.uint8), np.uint8(MISSING))


def glcm(levels_image: Levels, options: GlcmOptions | None = None, *, threads: int = 1) -> Float32:
    """Textures of the window around every pixel.

    A pair of which a pixel is missing is not counted. Where fewer than half of the possible pairs of a direction are
    left, there is no texture; elsewhere there is, around a missing pixel too. Fewer pairs make fewer cells: beside gaps
    entropy is lower, and asm higher, than the same ground would have without.

    Args:
        levels_image: (y, x) uint8: levels from 0, and :data:`MISSING`; of 256 levels none can be missing.
        options: which textures.
        threads: that share the rows; changes no pixel.

    Returns:
        (feature, y, x) float32 in the order of ``options.features``; NaN where there is none.

    Raises:
        InputError: another shape or type, or a level that should not be there.
    """
    options = options or GlcmOptions()
    codes = _padded(levels_image, options)
    out = np.empty((len(options.features), *levels_image.shape), np.float32)
    plan = _plan(options)
    in_rows(lambda rows: kernels.textures(codes, plan, rows, out), levels_image.shape[0], threads)
    return out


def _padded(levels_image: Levels, options: GlcmOptions) -> NDArray[np.uint16]:
    """The image with its halo, in which what is missing is one above the highest level."""
    if levels_image.ndim != 2 or levels_image.dtype != np.uint8:
        raise InputError(f"grey levels are {levels_image.dtype} {levels_image.shape}: expected uint8 (y, x).")
    codes = levels_image.astype(np.uint16, order="C")
    missing = (levels_image == MISSING) & (options.levels <= MISSING)
    strange = (levels_image >= options.levels) & ~missing
    if strange.any():
        raise InputError(
            f"a grey level is {int(levels_image[strange][0])}: expected 0 to {options.levels - 1}, "
            f"or {MISSING} where missing."
        )
    codes[missing] = options.levels
    if options.border == "reflect" and codes.size:
        return np.pad(codes, halo_px(options), mode="symmetric")
    return np.pad(codes, halo_px(options), constant_values=options.levels)


def _plan(options: GlcmOptions) -> kernels.Plan:
    """What the kernel looks up."""
    ends = np.array([_ends(angle, options.distance) for angle in options.angles])
    boxes = options.window - ends.max(axis=1)
    most = int(boxes.prod(axis=1).max())
    sums = _sums(most)
    return kernels.Plan(
        levels=options.levels,
        ends=ends,
        boxes=boxes,
        empty=_empty_cells(options.levels, most),
        steps=_steps(sums),
        one_cell=sums[: 2 * most + 1 : 2, 0],
        features=np.array([GLCM_FEATURES.index(name) for name in options.features]),
        counted=bool({"entropy", "asm", "energy"} & {*options.features}),
    )


def _ends(angle: int, distance: int) -> list[tuple[int, int]]:
    """Row and column of both pixels of a pair, in the smallest box around them."""
    down = round(math.sin(math.radians(angle)) * distance)
    right = round(math.cos(math.radians(angle)) * distance)
    return [(0, max(0, -right)), (down, max(0, right))]


def _empty_cells(levels: int, most: int) -> NDArray[np.uint32]:
    """Counters of the unordered pairs of levels, each set to where its steps begin; the last is of missing pairs."""
    cells = np.zeros(levels * (levels + 1) // 2 + 1, np.uint32)
    high = np.arange(levels)
    cells[high * (high + 3) // 2] = most + 1
    cells[-1] = 2 * (most + 1)
    return cells


def _sums(most: int) -> NDArray[np.int64]:
    """What a cell of count c adds to the sums of c ln c and of c^2, for c up to twice the most pairs, and two more."""
    count = np.arange(2 * most + 3, dtype=np.float64)
    entropy = np.rint(count * np.log(np.maximum(count, 1)) * kernels.LOG_UNIT)
    return np.stack([entropy, count**2], axis=1).astype(np.int64)


def _steps(sums: NDArray[np.int64]) -> NDArray[np.int64]:
    """What one pair more adds to these sums over the cells of the symmetric matrix, by the count of pairs so far.

    A pair of two levels adds one to two cells; then, a pair of equal levels adds two to one cell; then, a pair of which
    a pixel is missing adds nothing.
    """
    equal = np.diff(sums[::2], axis=0)
    unequal = 2 * np.diff(sums[: len(equal) + 1], axis=0)
    return np.concatenate([unequal, equal, np.zeros_like(equal)])
