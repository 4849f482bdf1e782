"""One connected set of scenes: a short list by greedy search and swaps, how short any list must be, the shortest one.

Cells that are seen by the same scenes count as one. A list is found by lazy greedy on several weights, rid of scenes
that are spare, and improved by swaps. Lagrangian multipliers bound the cost of every list from below; a scene whose
reduced cost exceeds the distance of list and bound is in no better list (Beasley 1990, Nav. Res. Logist. 37, 151). What
is left goes, if it is few scenes, to an integer program, to which cells are added as they are violated.

Where it is many, the work is done tile by tile: the cheapest list of a tile for the cells that no other tile sees is a
part of every list that the tile cannot do without, so that these add up to a bound. It is far sharper than that of
multipliers, which may take a third of each of three cloudy scenes. And each tile is solved again within the list.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from groundshift.composite import select_kernels as kernels

_WORK = 150_000_000
"""Entries of the matrix that the multipliers look at, all rounds together: about a second."""
_ROUNDS = (20, 400)
_PASSES = 20
_SWEEPS = 3
_BRANCHES = 300_000
_NODES = 5000
_ROWS = 60
_SAME = 1e-7
"""Relative distance of cost and bound that counts as none."""

Ints = NDArray[np.int64]
Cells = NDArray[np.int32]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(eq=False)
class Budget:
    """Seconds that integer programs may still take."""

    left: float

    @contextmanager
    def share(self, parts: int) -> Iterator[Budget]:
        """One of so many equal parts; what is not used of it is given back."""
        part = Budget(self.left / parts)
        before = part.left
        yield part
        self.left -= before - part.left


@dataclass(frozen=True, eq=False)
class Problem:
    """Scenes, newest first, and the cells that are asked for."""

    ptr: Ints
    """(n + 1,) where the cells of each scene begin."""
    cells: Cells
    """Cells that each scene shows clear."""
    cost: Floats
    """(n,) positive."""
    need: Cells
    """(k,) scenes that each cell asks for: at least 1, at most as many as show it."""
    weight: Floats
    """(k,) cells of the grid that each one stands for."""

    @property
    def scenes(self) -> int:
        """How many."""
        return len(self.cost)

    def part(self, scenes: Ints, need: Cells) -> Problem:
        """Some scenes, and the cells of which `need` (k,) is positive, merged."""
        number = np.full(len(self.need), -1, np.int32)
        wanted = np.flatnonzero(need > 0)
        number[wanted] = np.arange(len(wanted))
        ptr, cells = kernels.restrict(self.ptr, self.cells, scenes, number)
        return Problem(ptr, cells, self.cost[scenes], need[wanted].astype(np.int32), self.weight[wanted]).merged()

    def merged(self) -> Problem:
        """Cells with the same scenes as one, of the largest need."""
        keys = np.random.default_rng(0).integers(0, 2**64, (self.scenes, 2), np.uint64)
        sums = kernels.fingerprints(self.ptr, self.cells, len(self.need), keys)
        _, first, number = np.unique(sums.view("V16").ravel(), return_index=True, return_inverse=True)
        need = np.zeros(len(first), np.int32)
        np.maximum.at(need, number, self.need)
        renumbered = np.full(len(self.need), -1, np.int32)
        renumbered[first] = np.arange(len(first))
        ptr, cells = kernels.restrict(self.ptr, self.cells, np.arange(self.scenes), renumbered)
        return Problem(ptr, cells, self.cost, need, np.bincount(number, self.weight, len(first)).astype(np.float64))

    def seen(self) -> Ints:
        """(k,) scenes that show each cell."""
        return np.bincount(self.cells, minlength=len(self.need))

    def left(self, chosen: Mask) -> Cells:
        """(k,) what each cell still asks for; negative where it has more."""
        missing: Cells = self.need - kernels.counts(self.ptr, self.cells, np.flatnonzero(chosen), len(self.need))
        return missing

    def total(self, chosen: Mask) -> float:
        """Cost of a list."""
        return float(self.cost[chosen].sum())


@dataclass(frozen=True, eq=False)
class Solution:
    """A list that covers all, and what any list must cost."""

    chosen: Mask
    """(n,)"""
    cost: float
    bound: float
    """At most `cost`."""

    @property
    def exact(self) -> bool:
        """No list is cheaper."""
        return self.cost - self.bound <= _SAME * max(self.cost, 1.0)


def solve(problem: Problem, tiles: Ints, exact_limit: int, budget: Budget) -> Solution:
    """A list for a merged problem, its bound, and the best list where that can be had in time.

    Args:
        problem: scenes newest first.
        tiles: (n,) number of each scene's tile; -1 where it is not known.
        exact_limit: scenes that go to an integer program, at most.
        budget: what integer programs may take; what is not proven then remains a gap.
    """
    chosen = _start(problem)
    rounds = int(np.clip(_WORK // max(len(problem.cells), 1), *_ROUNDS))
    bound, prices = kernels.multipliers(
        problem.ptr, problem.cells, problem.cost, problem.need, problem.total(chosen), rounds
    )
    chosen = _cheaper(problem, chosen, improve(problem, greedy_list(problem, prices + 1e-9 * problem.weight)))
    found = _solution(problem, chosen, bound)
    if found.exact:
        return found
    reduced = kernels.reduced_costs(problem.ptr, problem.cells, problem.cost, prices)
    open_scenes = (reduced <= found.cost - bound + 1e-9) | chosen
    if open_scenes.sum() <= exact_limit:
        found = _program(problem, found, open_scenes, budget)
    if not found.exact and (tiles >= 0).all() and len(np.unique(tiles)) > 1:
        return _by_tile(problem, found, tiles, budget)
    return found


def greedy_list(problem: Problem, weight: Floats) -> Mask:
    """Lazy greedy by weight (k,) per cost, and redundant scenes out again."""
    return complete(problem, np.zeros(problem.scenes, np.bool_), weight)


def complete(problem: Problem, chosen: Mask, weight: Floats) -> Mask:
    """The list filled up by lazy greedy, and redundant scenes, dearest and oldest first, taken out."""
    chosen = chosen.copy()
    need = problem.left(chosen)
    kernels.greedy(problem.ptr, problem.cells, problem.cost, weight, need, chosen)
    order = np.lexsort((-np.arange(problem.scenes), -problem.cost))
    kernels.drop_redundant(problem.ptr, problem.cells, need, chosen, order)
    return chosen


def improve(problem: Problem, chosen: Mask) -> Mask:
    """Swaps of one scene for one or more, while they pay: never dearer, never less complete."""
    chosen = chosen.copy()
    kernels.swap(problem.ptr, problem.cells, problem.cost, problem.left(chosen), chosen, _PASSES)
    return chosen


def _start(problem: Problem) -> Mask:
    """The cheapest of lists by area and by rarity."""
    by_area = improve(problem, greedy_list(problem, problem.weight))
    by_rarity = improve(problem, greedy_list(problem, problem.weight / problem.seen()))
    return _cheaper(problem, by_area, by_rarity)


def _cheaper(problem: Problem, one: Mask, other: Mask) -> Mask:
    return other if problem.total(other) < problem.total(one) - 1e-9 else one


def _solution(problem: Problem, chosen: Mask, bound: float) -> Solution:
    cost = problem.total(chosen)
    return Solution(chosen, cost, min(bound, cost))


def _program(problem: Problem, found: Solution, scenes: Mask, budget: Budget) -> Solution:
    """The integer program on the scenes that a better list may have."""
    some = np.flatnonzero(scenes)
    part = problem.part(some, problem.need)
    best, bound = shortest(part, budget)
    chosen = found.chosen
    if best is not None:
        other = np.zeros_like(chosen)
        other[some[best]] = True
        chosen = _cheaper(problem, chosen, other)
        chosen = improve(problem, complete(problem, chosen, problem.weight))
    return _solution(problem, chosen, max(bound, found.bound))


def _by_tile(problem: Problem, found: Solution, tiles: Ints, budget: Budget) -> Solution:
    """A bound from the tiles' own cells, and each tile solved again within the list."""
    bound = tile_bound(problem, found.chosen, tiles, budget)
    chosen = _tiles_again(problem, found.chosen, _groups(tiles), budget)
    return _solution(problem, chosen, max(bound, found.bound))


def _groups(tiles: Ints) -> list[Ints]:
    return [np.flatnonzero(tiles == tile) for tile in np.unique(tiles)]


def tile_bound(problem: Problem, known: Mask, tiles: Ints, budget: Budget) -> float:
    """What all tiles need for the cells that they alone see, each by itself: no list costs less.

    Args:
        problem: scenes newest first.
        known: (n,) a list that covers all.
        tiles: (n,) number of each scene's tile.
        budget: of which at most half is used.
    """
    owner = _owners(problem, tiles)
    groups = _groups(tiles)
    bound = 0.0
    for at, scenes in enumerate(groups):
        own = np.where(owner == tiles[scenes[0]], problem.need, 0).astype(np.int32)
        if own.any():
            part = problem.part(scenes, own)
            with budget.share(2 * (len(groups) - at)) as allowance:
                best, lowest = _cheapest(part, known[scenes], allowance)
            proven = best is not None or lowest >= part.total(known[scenes])
            bound += lowest if proven else max(lowest, _priced(part, known[scenes]))
    return bound


def _priced(problem: Problem, known: Mask) -> float:
    """The bound of multipliers."""
    args = problem.ptr, problem.cells, problem.cost, problem.need
    return float(kernels.multipliers(*args, problem.total(known), _ROUNDS[1])[0])


def _owners(problem: Problem, tiles: Ints) -> Ints:
    """(k,) the tile that alone sees each cell; -1: several do."""
    scene = np.repeat(np.arange(problem.scenes), np.diff(problem.ptr))
    low, high = np.full(len(problem.need), tiles.max() + 1), np.full(len(problem.need), -1)
    np.minimum.at(low, problem.cells, tiles[scene])
    np.maximum.at(high, problem.cells, tiles[scene])
    return np.where(low == high, low, -1)


def _tiles_again(problem: Problem, chosen: Mask, groups: list[Ints], budget: Budget) -> Mask:
    """Each tile's scenes chosen anew for what the other tiles leave, until that pays nowhere."""
    for _ in range(_SWEEPS):
        before = problem.total(chosen)
        for at, scenes in enumerate(groups):
            others = chosen.copy()
            others[scenes] = False
            need = problem.left(others)
            if (need <= 0).all():
                continue
            with budget.share(len(groups) - at) as allowance:
                best = _cheapest(problem.part(scenes, need), chosen[scenes], allowance)[0]
            if best is not None:
                others[scenes[best]] = True
                chosen = _cheaper(problem, chosen, others)
        chosen = improve(problem, complete(problem, chosen, problem.weight))
        if problem.total(chosen) > before - 1e-9:
            break
    return chosen


def _cheapest(problem: Problem, known: Mask, budget: Budget) -> tuple[Mask | None, float]:
    """A list cheaper than the known one or None, and a bound: by branching, or by an integer program."""
    if problem.need.max() == 1:
        best, chosen, finished = _branch(problem, problem.total(known))
        if finished:
            return (chosen if chosen.any() else None), best
    return shortest(problem, budget)


def _branch(problem: Problem, upper: float) -> tuple[float, Mask, bool]:
    order = np.argsort(problem.seen(), kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    by_cost = np.argsort(problem.cost, kind="stable")
    ptr, cells = kernels.restrict(problem.ptr, problem.cells, by_cost, place.astype(np.int32))
    cell_ptr, scenes = kernels.by_cell(ptr, cells, len(order))
    bits = kernels.bit_rows(ptr, cells, len(order))
    best, sorted_choice, finished = kernels.branch(bits, cell_ptr, scenes, problem.cost[by_cost], upper, _BRANCHES)
    chosen = np.zeros(problem.scenes, np.bool_)
    chosen[by_cost[sorted_choice]] = True
    return best, chosen, finished


def shortest(problem: Problem, budget: Budget) -> tuple[Mask | None, float]:
    """The cheapest list by integer programs (HiGHS) to which violated cells are added, and a lower bound.

    Returns:
        (n,) or None where it was not found in time; and the bound, which is its cost where it was.
    """
    matrix = scipy.sparse.csc_array(
        (np.ones(len(problem.cells)), problem.cells, problem.ptr), shape=(len(problem.need), problem.scenes)
    ).tocsr()
    rarity = np.lexsort((-problem.weight, problem.seen()))
    rows = np.zeros(len(problem.need), np.bool_)
    rows[rarity[:_ROWS]] = True
    bound = 0.0
    while budget.left > 0:
        begun = time.monotonic()
        some = np.flatnonzero(rows)
        result = scipy.optimize.milp(
            problem.cost,
            integrality=np.ones(problem.scenes),
            bounds=scipy.optimize.Bounds(0, 1),
            constraints=scipy.optimize.LinearConstraint(matrix[some], problem.need[some], np.inf),
            options={"time_limit": budget.left, "mip_rel_gap": _SAME / 10, "node_limit": _NODES},
        )
        budget.left -= time.monotonic() - begun
        if result.mip_dual_bound is not None and np.isfinite(result.mip_dual_bound):
            bound = max(bound, float(result.mip_dual_bound))
        if result.x is None:
            break
        chosen = result.x > 0.5
        violated = rarity[(problem.need - matrix @ chosen)[rarity] > 0.5]
        if len(violated) == 0:
            return chosen, bound
        if result.status != 0:
            break
        rows[violated[:_ROWS]] = True
    return None, bound
