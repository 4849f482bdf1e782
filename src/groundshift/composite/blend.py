"""Blending: scenes flow into each other around seams, and only there.

Neighbourhood kernels: cut the area into blocks, give each a halo of :func:`halo_px`, and nothing changes.

The weight of a scene is a ramp across the seam (half on the seam, nothing ``radius_px`` beyond it, 1 as far inside),
times min(d, R) / R, where d is the distance to the edge of what is valid of it; weights are normalised over all scenes
at once. So there is no order in which scenes are pasted, a scene has faded out where it ends, and farther than the
radius from seams each pixel is that of one scene, unchanged.

``feather`` mixes reflectance with these weights. ``multiband`` mixes details over short ways and colours over long
ones: where scenes do not fit to a fraction of a pixel, a wide feather would blur, a narrow one would show. Details are
differences of ever smoother copies, undecimated, so that blocks need no common phase; smoothing looks at valid pixels
only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError

Method = Literal["multiband", "feather", "none"]
Mask = NDArray[np.bool_]
Float32 = NDArray[np.float32]

_CENTRE, _NEXT, _LAST = 6 / 16, 4 / 16, 1 / 16
"""Cubic B-spline, the kernel of the pyramids of Burt and Adelson."""


@dataclass(frozen=True, kw_only=True)
class BlendOptions:
    """How scenes flow into each other; lengths in pixels."""

    method: Method = "multiband"
    radius_px: float = 150.0
    """Half the width of the zone in which colours flow: 1.5 km at 10 m, within the 2 km that may change."""
    levels: int = 6
    """Detail levels of multiband at most (Burt and Adelson: 5 to 6); fewer where the radius is short."""

    def __post_init__(self) -> None:
        if self.method not in ("multiband", "feather", "none"):
            raise UsageError(f"blending {self.method!r}: expected multiband, feather or none.")
        if not (math.isfinite(self.radius_px) and self.radius_px >= 1) or not 1 <= self.levels <= 10:
            raise UsageError(f"these blending options cannot be: {self}; radius at least 1, levels 1 to 10.")

    @property
    def used_levels(self) -> int:
        """Levels whose smoothing fits into the radius: 2 (2^levels - 1) pixels at most."""
        return max(1, min(self.levels, int(math.log2(self.radius_px / 2 + 1))))


def halo_px(options: BlendOptions) -> int:
    """Pixels that a block must know beyond its border."""
    if options.method == "none":
        return 0
    halo = math.ceil(options.radius_px) + 1
    return halo if options.method == "feather" else max(halo, 2 * (2**options.used_levels - 1))


def blend(
    stack: NDArray[np.floating],
    valid: Mask,
    labels: NDArray[np.int16],
    options: BlendOptions | None = None,
) -> Float32:
    """One image of several scenes.

    Args:
        stack: (scene, band, y, x) reflectance, balanced; anything where not valid.
        valid: (scene, y, x).
        labels: (y, x) the scene on each side of the seams, valid at its pixel; -1 none.

    Returns:
        (band, y, x), NaN where the label is -1.

    Raises:
        InputError: shapes do not match, or a label of a scene that is not valid there.

    Laws: nothing changes farther than ``radius_px`` from a seam; the result lies (feather) between the smallest and
    the largest valid value; equal scenes give themselves; the order of scenes does not matter; what lies under
    pixels that are not valid is never seen.
    Source: Burt and Adelson (1983), A multiresolution spline with application to image mosaics, ACM TOG 2.
    """
    options = options or BlendOptions()
    _check(stack, valid, labels)
    out = _paste(stack, labels)
    present = [int(each) for each in np.unique(labels) if each >= 0]
    if options.method == "none" or len(present) < 2:
        return out
    usable = np.stack([valid[i] & (labels >= 0) for i in present])
    inside = np.stack([labels == i for i in present])
    across, depth = _distances(usable, inside, options.radius_px)
    near = (_weights(across, depth, options.radius_px).max(axis=0) < 1) & (labels >= 0)
    if not near.any():
        return out
    box = _box(near, halo_px(options))
    part, near, usable = out[:, *box], near[box], usable[:, *box]
    ramps = [_weights(across[:, *box], depth[:, *box], radius) for radius in _radii(options)]
    for band in range(stack.shape[1]):
        mixed = np.zeros(near.shape, np.float32)
        for k, i in enumerate(present):
            image = np.where(usable[k], stack[i, band][box], 0).astype(np.float32)
            for ramp, detail in zip(ramps, _details(image, usable[k], len(ramps) - 1), strict=True):
                mixed += ramp[k] * detail
        part[band, near] = mixed[near]
    return out


def weights(valid: Mask, inside: Mask, radius_px: float) -> Float32:
    """Weights of the scenes at each pixel, (scene, y, x), their sum 1 where any scene is valid.

    Args:
        valid: (scene, y, x).
        inside: (scene, y, x) True where the label is that of the scene.
        radius_px: where a scene has faded out beyond the seam.
    """
    return _weights(*_distances(valid, inside, radius_px), radius_px)


def _distances(valid: Mask, inside: Mask, most_px: float) -> tuple[Float32, Float32]:
    """(scene, y, x) distance across the seam, positive inside, and from the edge of what is valid, limited."""
    across = np.stack([edge_distance(own, most_px) - edge_distance(~own, most_px) for own in inside])
    return across, np.stack([edge_distance(each, most_px) for each in valid])


def _weights(across: Float32, depth: Float32, radius_px: float) -> Float32:
    radius = np.float32(radius_px)
    out = np.clip(0.5 + across / (2 * radius), 0, 1) * np.minimum(depth / radius, 1)
    total = out.sum(axis=0)
    out /= np.where(total > 0, total, np.float32(1))
    return np.asarray(out, np.float32)


def edge_distance(mask: Mask, most_px: float) -> Float32:
    """Distance in pixels from each True to the nearest False, at most ``most_px``; the border is no edge.

    A neighbourhood kernel: it needs a halo of ``ceil(most_px)``.
    """
    if mask.all():
        return np.full(mask.shape, most_px, np.float32)
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    return np.asarray(np.minimum(scipy.ndimage.distance_transform_edt(mask), most_px), np.float32)


def _radii(options: BlendOptions) -> list[float]:
    """Width of the ramp for each level of detail, the finest first, and for what remains."""
    levels = options.used_levels if options.method == "multiband" else 0
    return [min(options.radius_px, 2.0 ** (level + 1)) for level in range(levels)] + [options.radius_px]


def _details(image: Float32, valid: Mask, levels: int) -> list[Float32]:
    """Differences of ever smoother copies, the finest first, and the smoothest; their sum is the image."""
    out = []
    share = valid.astype(np.float32)
    for level in range(levels):
        weight = _spline(share, 2**level)
        smooth = np.where(valid, _spline(image, 2**level) / np.where(valid, weight, np.float32(1)), np.float32(0))
        out.append(image - smooth)
        image = smooth
    return [*out, image]


def _spline(image: Float32, step: int) -> Float32:
    """Smooth with the spline, its taps ``step`` pixels apart; 0 beyond the border."""
    for axis in (0, 1):
        along = np.moveaxis(image, axis, 0)
        out = np.float32(_CENTRE) * along
        for taps, weight in ((step, _NEXT), (2 * step, _LAST)):
            part = np.float32(weight) * along
            out[taps:] += part[: max(len(part) - taps, 0)]
            out[: max(len(part) - taps, 0)] += part[taps:]
        image = np.moveaxis(out, 0, axis)
    return image


def _box(mask: Mask, halo: int) -> tuple[slice, slice]:
    """Rows and columns that hold a mask and a halo around it."""
    spans = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    rows, columns = (slice(max(int(at[0]) - halo, 0), int(at[-1]) + halo + 1) for at in spans)
    return rows, columns


def _paste(stack: NDArray[np.floating], labels: NDArray[np.int16]) -> Float32:
    taken = np.take_along_axis(stack, np.maximum(labels, 0)[None, None], axis=0)[0]
    return np.where(labels >= 0, taken, np.nan).astype(np.float32)


def _check(stack: NDArray[np.floating], valid: Mask, labels: NDArray[np.int16]) -> None:
    if stack.ndim != 4 or valid.shape != (len(stack), *stack.shape[2:]) or labels.shape != stack.shape[2:]:
        raise InputError(
            f"blending needs scenes (scene, band, y, x), valid and labels, got {stack.shape}, {valid.shape} "
            f"and {labels.shape}."
        )
    if labels.size and not -1 <= int(labels.min()) <= int(labels.max()) < len(stack):
        raise InputError(f"labels run from {labels.min()} to {labels.max()}, there are {len(stack)} scenes.")
    holds = np.take_along_axis(valid, np.maximum(labels, 0)[None], axis=0)[0]
    if not (holds | (labels < 0)).all():
        raise InputError("a label names a scene that is not valid at its pixel; refine or smooth the labels first.")
