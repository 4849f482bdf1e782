"""How much memory there is to use, and how much was used."""

from __future__ import annotations

import contextlib
import ctypes
import re
import resource
import sys
from collections.abc import Iterable
from pathlib import Path

from groundshift.errors import UsageError

_SIZE = re.compile(r"(\d+(?:[.,]\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_BASE_BYTES = 330 * 2**20
"""What the first process needs before it has read a pixel, and a worker half of it."""


def parse_memory(text: str) -> int:
    """Bytes of ``"2G"``, ``"800M"``, ``"1.5 GiB"`` or ``"100000000"`` (K, M, G, T are powers of 1024).

    Raises:
        UsageError: it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    size = float(match[1].replace(",", ".")) * 1024 ** _POWERS[match[2].upper()] if match else 0.0
    if size < 1:
        raise UsageError(f"no amount of memory: {text!r}: expected for example 2G or 800M.")
    return int(size)


def worker_bytes(text: str, workers: int) -> int:
    """Memory that each worker may use for pixels; negative where the cap for all processes together leaves none."""
    workers = max(1, workers)
    return (parse_memory(text) - _BASE_BYTES * (1 + workers // 2 + workers % 2)) // workers


def release() -> None:
    """Give memory that was freed back to the system, where the C library (glibc) would keep it for later."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def peak_rss(pids: Iterable[int] = ()) -> int:
    """Peak resident memory in bytes of this process plus that of each process named.

    The peaks need not have been at the same time, so the sum is an upper bound. Processes that are gone, or a system
    without ``/proc``, count as nothing.
    """
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return own + sum(high_water(pid) for pid in pids)


def block_rows(
    shape: tuple[int, int], bytes_per_pixel: float, budget: int, *, halo_px: int = 0, multiple: int = 1024
) -> int:
    """Rows of full-width blocks that fit a memory budget.

    Args:
        shape: (rows, columns) of the grid.
        bytes_per_pixel: that one task needs at its peak, all arrays together.
        budget: bytes for one task.
        halo_px: rows read on each side beyond the block.
        multiple: rows of a stored tile; the answer is a multiple of it, or divides it when it must be smaller.

    Returns:
        At least 1, at most the rows of the grid.
    """
    rows = max(1, int(budget // max(1.0, shape[1] * bytes_per_pixel)) - 2 * halo_px)
    if rows >= multiple:
        rows -= rows % multiple
    else:
        rows = next(multiple // parts for parts in range(1, multiple + 1) if multiple // parts <= rows)
    return min(rows, shape[0])


def high_water(pid: int) -> int:
    """Peak resident memory of a process in bytes; 0 for one that is gone, or where nothing tells."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0
