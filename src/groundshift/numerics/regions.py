"""Regions: pixels of equal code that touch."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@numba.njit(cache=True, nogil=True)
def label(labels, skip_a, skip_b, corners):  # type: ignore[no-untyped-def]
    """Number the regions of equal code, in the order of their first pixels.

    Args:
        labels: (y, x), integer codes.
        skip_a, skip_b: codes that belong to no region.
        corners: pixels that touch at a corner only touch too.

    Returns:
        The region of each pixel (y, x) int32, -1 for none; the index y * columns + x of the first pixel of each.
    """
    height, width = labels.shape
    parent = np.empty(labels.size, np.int32)
    for y in range(height):
        for x in range(width):
            code = labels[y, x]
            if code == skip_a or code == skip_b:  # noqa: SIM109  numba is faster so
                continue
            i = y * width + x
            parent[i] = i
            for dy, dx in ((0, -1), (-1, 0), (-1, -1), (-1, 1)):
                if dy * dx != 0 and not corners:
                    continue
                if y + dy >= 0 and 0 <= x + dx < width and labels[y + dy, x + dx] == code:
                    a, b = _root(parent, i), _root(parent, i + dy * width + dx)
                    parent[max(a, b)] = min(a, b)
    region = np.full((height, width), -1, np.int32)
    first = [np.int64(0)][:0]
    for y in range(height):
        for x in range(width):
            if labels[y, x] == skip_a or labels[y, x] == skip_b:
                continue
            root = _root(parent, np.int32(y * width + x))
            if root == y * width + x:
                region[y, x] = len(first)
                first.append(np.int64(root))
            else:
                region[y, x] = region[root // width, root % width]
    return region, np.array(first, np.int64)
