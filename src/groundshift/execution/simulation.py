"""A large run before there is one: units on workers that fail, hang and differ, played through."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import UsageError
from groundshift.execution.crew import ATTEMPTS

_MOST = 250_000
"""Beyond that several units of a lane are played as one."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Workers, and what goes wrong with them."""

    workers: int
    spread: float = 0.25
    """Of the time that a unit takes: its standard deviation, as a share of its mean."""
    lost: float = 0.0005
    """Share of attempts at which the worker is lost: preempted, killed for want of memory, a machine that broke."""
    hung: float = 0.00002
    """Share of attempts that hang until the timeout."""
    timeout: float = 10.0
    """After how many times the time of a unit a worker counts as hung."""
    restart_s: float = 20.0
    """Until there is another worker in place of one that was lost."""
    bad: float = 0.00005
    """Share of units that fail whatever is done: a broken product."""
    attempts: int = ATTEMPTS
    """How often a unit is tried."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"{self.workers} workers are asked for: expected 1 at least.")


@dataclass(frozen=True, kw_only=True)
class Played:
    """How it went."""

    wall_s: float
    busy: float
    """Share of the time in which a worker worked."""
    units: int
    retried: int
    """Attempts beyond the first."""
    failed: int
    """Units that were given up."""


def play(lanes: int, steps: int, unit_s: float, fleet: Fleet) -> Played:
    """Play a run through.

    Args:
        lanes: that go on side by side: rows of blocks of a field of view.
        steps: units of each lane, one after the other: its dates.
        unit_s: seconds of a unit.
        fleet: who works, and what goes wrong.

    Law: the same fleet gives the same answer.
    """
    together = max(1, -(-lanes * steps // _MOST))
    groups = [min(together, steps - first) for first in range(0, steps, together)]
    seconds, retried, failed = _seconds(np.tile(groups, (lanes, 1)), unit_s, fleet)
    ready, busy = deque(range(lanes)), list[tuple[float, int]]()
    following, now = [0] * lanes, 0.0
    while ready or busy:
        while ready and len(busy) < fleet.workers:
            lane = ready.popleft()
            heapq.heappush(busy, (now + float(seconds[lane, following[lane]]), lane))
            following[lane] += 1
        now, lane = heapq.heappop(busy)
        if following[lane] < len(groups):
            ready.append(lane)
    share = float(seconds.sum()) / (now * fleet.workers) if now else 0.0
    return Played(wall_s=now, busy=share, units=lanes * steps, retried=retried, failed=failed)


def _seconds(units: NDArray[np.int64], unit_s: float, fleet: Fleet) -> tuple[NDArray[np.float64], int, int]:
    """Seconds that groups of units take, each one unit after the other; attempts beyond the first, units given up."""
    rng = np.random.default_rng(fleet.seed)
    shape, scale = fleet.spread**-2, unit_s * fleet.spread**2
    todo, retried, seconds = units, 0, np.zeros(units.shape)
    for attempt in range(fleet.attempts):
        retried += int(todo.sum()) if attempt else 0
        gone = rng.binomial(todo, fleet.lost)
        hung = rng.binomial(todo - gone, fleet.hung)
        # Times of units follow a gamma law: so does the sum of several.
        seconds += rng.gamma(shape * np.maximum(todo - gone - hung, 1e-9), scale)
        seconds += 0.5 * gone * unit_s + hung * fleet.timeout * unit_s + (gone + hung) * fleet.restart_s
        todo = gone + hung
    return seconds, retried, int(todo.sum() + rng.binomial(units, fleet.bad).sum())
