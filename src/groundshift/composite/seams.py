"""Which scene each pixel comes from: seams through overlaps where the scenes agree, and label maps without specks.

Labels are (y, x) int16, the index of a scene, -1 where none is valid.

Where a seam runs depends on the whole overlap, so :func:`seams` is meant for a coarse copy of the area (80 to 160 m),
which fits in memory; :func:`refine` then brings the labels to any block of the full grid. :func:`smooth` is for label
maps that were made pixel by pixel, and a neighbourhood kernel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np
import scipy
from numpy.typing import NDArray

from groundshift.composite.blend import edge_distance
from groundshift.errors import InputError, UsageError

Labels = NDArray[np.int16]
Mask = NDArray[np.bool_]
Scenes = Iterable[NDArray[np.floating]]
"""(band, y, x) each; one array (scene, band, y, x) is that too."""

NONE = -1
"""Label of a pixel that no scene can give."""
_LEVELS = 256


@dataclass(frozen=True, kw_only=True)
class SeamOptions:
    """What a seam avoids; lengths in pixels of the grid that seams are sought on."""

    smoothing_px: float = 1.5
    """Standard deviation of the Gaussian over the disagreement; without it seams run along the noise."""
    margin_px: float = 8.0
    """Seams keep this far from the edges of scenes where the overlap is wide enough, so that there is room to blend."""
    gradient: float = 0.5
    """Weight of the local gradient beside the disagreement: a step is seen less on smooth ground than across it."""
    avoid: float = 1.0
    """Weight of the caller's ``avoid`` map (nearness of cloud and the like), in units of the median disagreement."""

    def __post_init__(self) -> None:
        if min(self.smoothing_px, self.margin_px, self.gradient, self.avoid) < 0:
            raise UsageError(f"these seam options cannot be: {self}; none of them is negative.")


def disagreement(stack: Scenes, valid: Mask, options: SeamOptions | None = None) -> NDArray[np.float32]:
    """How badly a seam would show at each pixel.

    Args:
        stack: (scene, band, y, x) reflectance, balanced; or one scene after the other, of which one at a time is held.
        valid: (scene, y, x).

    Returns:
        (y, x) in units of the median over the overlaps: the largest difference between two scenes (mean over the
        bands, each in units of its own median difference), with the gradient of the mean scene added. 0 outside
        overlaps.

    Raises:
        InputError: a scene has another shape than its mask, or there are more or fewer.
    """
    options = options or SeamOptions()
    count = valid.sum(axis=0)
    overlap = count > 1
    if not overlap.any():
        return np.zeros(count.shape, np.float32)
    highest, lowest, summed = _extremes(stack, valid)
    total = np.zeros(count.shape)
    for high, low, whole in zip(highest, lowest, summed, strict=True):
        mean = whole / np.maximum(count, 1)
        with np.errstate(invalid="ignore"):
            spread = high - low
        for cost, weight in ((spread, 1.0), (_gradient(mean, count > 0), options.gradient)):
            cost = np.where(overlap, cost, 0.0)
            total += weight * cost / max(float(np.median(cost[overlap])), 1e-9)
    weight = scipy.ndimage.gaussian_filter(overlap.astype(float), options.smoothing_px)
    total = scipy.ndimage.gaussian_filter(total * overlap, options.smoothing_px) / np.maximum(weight, 1e-9)
    return np.where(overlap, total / max(float(np.median(total[overlap])), 1e-9), 0).astype(np.float32)


def _extremes(stack: Scenes, valid: Mask) -> tuple[NDArray[np.floating], ...]:
    """Highest, lowest and sum (band, y, x) of what is valid, in one walk over the scenes."""
    found: tuple[NDArray[np.floating], ...] | None = None
    seen = 0
    for image in stack:
        if image.ndim != 3 or seen == len(valid) or image.shape[1:] != valid.shape[1:]:
            raise InputError(f"seams need a mask for every scene, got {valid.shape} and a scene {image.shape}.")
        holds = valid[seen]
        seen += 1
        if found is None:
            found = np.full_like(image, -np.inf), np.full_like(image, np.inf), np.zeros_like(image)
        high, low, whole = found
        np.maximum(high, image, out=high, where=holds)
        np.minimum(low, image, out=low, where=holds)
        np.add(whole, image, out=whole, where=holds)
    if found is None or seen != len(valid):
        raise InputError(f"seams need a mask for every scene, got {seen} scenes and {len(valid)} masks.")
    return found


def seams(
    stack: Scenes,
    valid: Mask,
    avoid: NDArray[np.floating] | None = None,
    options: SeamOptions | None = None,
) -> Labels:
    """Cut the area among the scenes, along lines where they agree.

    The cut is a minimum spanning forest: regions grow from what only one scene gives, and what disagrees most is
    taken in first, so that regions meet where the scenes agree best. Of all cuts it is one whose worst place is the
    least bad. All scenes grow at once, so that there is no order in which they are pasted, in corners of four either.

    Args:
        stack: (scene, band, y, x) reflectance, balanced, of the whole area; or one scene after the other: then memory
            does not follow their number, but for the masks.
        valid: (scene, y, x).
        avoid: (y, x) from 0 (no matter) to 1 (no seam here please), for example nearness of cloud.

    Returns:
        (y, x) labels; each is valid at its pixel.

    Raises:
        InputError: shapes do not match.

    Source: Cousty, Bertrand, Najman and Couprie (2009), Watershed cuts: minimum spanning forests and the drop of
    water principle, IEEE TPAMI 31.
    """
    options = options or SeamOptions()
    if isinstance(stack, np.ndarray) and (stack.ndim != 4 or valid.shape != (len(stack), *stack.shape[2:])):
        raise InputError(
            f"seams need scenes (scene, band, y, x) and their valid pixels, got {stack.shape}, {valid.shape}."
        )
    cost = disagreement(stack, valid, options)
    if avoid is not None:
        cost = cost + np.float32(options.avoid) * np.where(valid.sum(axis=0) > 1, avoid, 0).astype(np.float32)
    level = np.clip(np.rint(cost * (_LEVELS / 8)), 0, _LEVELS - 1).astype(np.uint8)
    labels = _seeds(valid, options.margin_px)
    _grow(labels, np.ascontiguousarray(valid), level)
    return _fill(labels, valid)


def _seeds(valid: Mask, margin_px: float) -> Labels:
    """What can be of one scene only, or lies within the margin of all edges but one scene's; -2 is to be decided."""
    best, second, deepest = _deepest(valid, 2 * margin_px + 1)
    clear = (best > 0) & ((second == 0) | ((second <= margin_px) & (best > margin_px)))
    labels = np.where(clear, deepest, -2).astype(np.int16)
    labels[best == 0] = NONE
    # A scene without a seed of its own is one that others cover; it is used where nothing else reaches.
    return labels


def _deepest(valid: Mask, most_px: float) -> tuple[NDArray[np.float32], NDArray[np.float32], Labels]:
    """(y, x) each: the largest and second distance to the edge of a scene, and the scene of the largest, the first."""
    best = np.zeros(valid.shape[1:], np.float32)
    second, at = best.copy(), np.zeros(best.shape, np.int16)
    for i, each in enumerate(valid):
        depth = edge_distance(each, most_px)
        better = depth > best
        second = np.maximum(second, np.minimum(depth, best))
        at[better] = i
        best = np.maximum(best, depth)
    return best, second, at


def _fill(labels: Labels, valid: Mask) -> Labels:
    """Pixels that no region reached, for islands where several scenes agree to be valid: the deepest scene there."""
    left = labels == -2
    if left.any():
        labels[left] = _deepest(valid, float(max(labels.shape)))[2][left]
    return labels


def refine(coarse: Labels, valid: Mask, factor: int, corner: tuple[int, int] = (0, 0)) -> Labels:
    """Labels of a block of the full grid. A pixel kernel.

    Args:
        coarse: (y, x) labels of the whole area; one of its pixels is ``factor`` pixels a side of the full grid.
        valid: (scene, y, x) of the block.
        factor: full pixels to a side of a coarse one.
        corner: row and column of the block in the full grid.

    Returns:
        (y, x) the coarse label where that scene is valid, else the first valid scene, else -1.
    """
    rows = np.minimum((np.arange(valid.shape[1]) + corner[0]) // factor, coarse.shape[0] - 1)
    columns = np.minimum((np.arange(valid.shape[2]) + corner[1]) // factor, coarse.shape[1] - 1)
    wanted = coarse[np.ix_(rows, columns)]
    first = np.where(valid.any(axis=0), valid.argmax(axis=0), NONE)
    holds = np.take_along_axis(valid, np.maximum(wanted, 0)[None], axis=0)[0] & (wanted >= 0)
    return np.where(holds, wanted, first).astype(np.int16)


def smooth_halo_px(radius_px: int, rounds: int = 1) -> int:
    """Pixels that a block must know beyond its border for :func:`smooth`."""
    return radius_px * rounds


def smooth(labels: Labels, valid: Mask, radius_px: int, rounds: int = 1) -> Labels:
    """Take the label of the majority around each pixel, against salt and pepper.

    A neighbourhood kernel, see :func:`smooth_halo_px`.

    Args:
        labels: (y, x).
        valid: (scene, y, x); a pixel only takes the label of a scene that is valid there.
        radius_px: the window is 2 radius + 1 pixels a side.
        rounds: times over.

    Returns:
        (y, x). A pixel keeps its label unless another has more votes; among several of those the lowest index wins.
        -1 stays and does not vote.
    """
    if radius_px < 0 or rounds < 0:
        raise UsageError(f"majority over a radius of {radius_px} pixels, {rounds} rounds: expected 0 or more.")
    out = labels
    for _ in range(rounds if radius_px else 0):
        out = _majority(np.ascontiguousarray(out), np.ascontiguousarray(valid), radius_px)
    return out


def _gradient(image: NDArray[np.floating], valid: Mask) -> NDArray[np.floating]:
    """Length of the gradient, 0 where a neighbour is not valid."""
    inner = scipy.ndimage.binary_erosion(valid, border_value=1)
    rows, columns = np.gradient(image)
    return np.asarray(np.where(inner, np.hypot(rows, columns), 0))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _grow(labels: Labels, valid: Mask, level: NDArray[np.uint8]) -> None:  # pragma: no cover - compiled
    """Grow regions into pixels labelled -2, highest level first; first come, first served within a level.

    Queues are linked lists of pixels, one a level: a pixel is queued when a neighbour is decided, and takes the label
    that it was first offered and can have.
    """
    rows, columns = labels.shape
    size = rows * columns
    following = np.full(size, -1, np.int64)
    offered = np.full(size, -1, np.int16)
    head, tail = np.full(256, -1, np.int64), np.full(256, -1, np.int64)
    step = np.array([-1, 1, 0, 0]), np.array([0, 0, -1, 1])
    for y in range(rows):
        for x in range(columns):
            if labels[y, x] >= 0:
                _offer(y, x, labels, valid, level, step, following, offered, head, tail)
    top = 255
    while top >= 0:
        at = head[top]
        if at < 0:
            top -= 1
            continue
        head[top] = following[at]
        if head[top] < 0:
            tail[top] = -1
        y, x = at // columns, at % columns
        labels[y, x] = offered[at]
        highest = _offer(y, x, labels, valid, level, step, following, offered, head, tail)
        top = max(top, highest)


@numba.njit(nogil=True, cache=True)
def _offer(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    y, x, labels, valid, level, step, following, offered, head, tail
):
    """Offer the label of a pixel to its undecided neighbours; return the highest level that was queued."""
    rows, columns = labels.shape
    label, highest = labels[y, x], -1
    for k in range(4):
        v, u = y + step[0][k], x + step[1][k]
        if v < 0 or u < 0 or v >= rows or u >= columns or labels[v, u] != -2 or not valid[label, v, u]:
            continue
        at = v * columns + u
        if offered[at] >= 0:
            continue
        offered[at] = label
        queue = int(level[v, u])
        following[at] = -1
        if tail[queue] < 0:
            head[queue] = at
        else:
            following[tail[queue]] = at
        tail[queue] = at
        highest = max(highest, queue)
    return highest


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _majority(labels: Labels, valid: Mask, radius: int) -> Labels:  # pragma: no cover - compiled
    rows, columns = labels.shape
    out = labels.copy()
    votes = np.zeros(len(valid), np.int64)
    for y in range(rows):
        for x in range(columns):
            own = labels[y, x]
            if own < 0:
                continue
            votes[:] = 0
            for v in range(max(0, y - radius), min(rows, y + radius + 1)):
                for u in range(max(0, x - radius), min(columns, x + radius + 1)):
                    if labels[v, u] >= 0:
                        votes[labels[v, u]] += 1
            best = own
            for label in range(len(votes)):
                if valid[label, y, x] and votes[label] > votes[best]:
                    best = label
            out[y, x] = best
    return out
