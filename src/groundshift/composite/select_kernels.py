"""Kernels of the scene list: connected scenes, lazy greedy, redundant scenes, swaps, the bound by multipliers.

All work on a cover matrix in two compressed forms: by scene (``ptr``, ``cells``: the cells that each scene shows clear)
and by cell (``cell_ptr``, ``scenes``). ``need`` is how many scenes each cell still asks for. Scenes come newest first,
then by id, and ties go to the lower index.
"""

from __future__ import annotations

import heapq

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Cells = NDArray[np.int32]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_EQUAL = 1e-12
"""Costs that differ by less are the same."""


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def connected(ptr: Ints, cells: Cells, count: int) -> Ints:
    """Component of each scene: scenes that show a common cell are connected; named by its first scene.

    Args:
        ptr: (n + 1,) where each scene begins in `cells`.
        cells: what each scene shows clear, as cell numbers below `count`.
        count: number of cells.

    Returns:
        (n,) the lowest scene of each scene's component.
    """
    scenes = len(ptr) - 1
    parent = np.arange(scenes)
    first = np.full(count, -1, np.int64)
    for scene in range(scenes):
        for k in range(ptr[scene], ptr[scene + 1]):
            other = first[cells[k]]
            if other < 0:
                first[cells[k]] = scene
                continue
            a, b = other, scene
            while parent[a] != a:
                parent[a] = parent[parent[a]]
                a = parent[a]
            while parent[b] != b:
                parent[b] = parent[parent[b]]
                b = parent[b]
            if a != b:
                parent[max(a, b)] = min(a, b)
    for scene in range(scenes):
        parent[scene] = parent[parent[scene]]
    return parent


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def by_cell(ptr: Ints, cells: Cells, count: int) -> tuple[Ints, Cells]:
    """The same matrix by cell: (count + 1,) where each cell begins, and its scenes in rising order."""
    cell_ptr = np.zeros(count + 1, np.int64)
    for k in range(len(cells)):
        cell_ptr[cells[k] + 1] += 1
    for cell in range(count):
        cell_ptr[cell + 1] += cell_ptr[cell]
    place = cell_ptr[:-1].copy()
    scenes = np.empty(len(cells), np.int32)
    for scene in range(len(ptr) - 1):
        for k in range(ptr[scene], ptr[scene + 1]):
            scenes[place[cells[k]]] = scene
            place[cells[k]] += 1
    return cell_ptr, scenes


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def fingerprints(ptr: Ints, cells: Cells, count: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sum of the random keys (n, 2) of the scenes of each cell: (count, 2), equal where the sets are."""
    sums = np.zeros((count, 2), np.uint64)
    for scene in range(len(ptr) - 1):
        for k in range(ptr[scene], ptr[scene + 1]):
            sums[cells[k], 0] += keys[scene, 0]
            sums[cells[k], 1] += keys[scene, 1]
    return sums


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def restrict(ptr: Ints, cells: Cells, scenes: Ints, number: Cells) -> tuple[Ints, Cells]:
    """Rows `scenes` of the matrix, with the cells renumbered by `number`; those of a negative number are left out."""
    new_ptr = np.zeros(len(scenes) + 1, np.int64)
    for i in range(len(scenes)):
        kept = 0
        for k in range(ptr[scenes[i]], ptr[scenes[i] + 1]):
            kept += number[cells[k]] >= 0
        new_ptr[i + 1] = new_ptr[i] + kept
    new_cells = np.empty(new_ptr[-1], np.int32)
    place = 0
    for i in range(len(scenes)):
        for k in range(ptr[scenes[i]], ptr[scenes[i] + 1]):
            if number[cells[k]] >= 0:
                new_cells[place] = number[cells[k]]
                place += 1
    return new_ptr, new_cells


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def counts(ptr: Ints, cells: Cells, chosen: Ints, count: int) -> NDArray[np.int32]:
    """How many of the chosen scenes show each cell: (count,)."""
    seen = np.zeros(count, np.int32)
    for scene in chosen:
        for k in range(ptr[scene], ptr[scene + 1]):
            seen[cells[k]] += 1
    return seen


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _gain(ptr: Ints, cells: Cells, scene: int, weight: Floats, need: NDArray[np.int32]) -> float:
    total = 0.0
    for k in range(ptr[scene], ptr[scene + 1]):
        if need[cells[k]] > 0:
            total += weight[cells[k]]
    return total


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def greedy(ptr: Ints, cells: Cells, cost: Floats, weight: Floats, need: NDArray[np.int32], chosen: Mask) -> None:
    """Add the scene that gains most weight per cost, until nothing is gained: `chosen` and `need` are changed.

    Gains only fall, so that a stale one is a bound: a scene is looked at again only when it comes to the top (Minoux
    1978, lazy greedy).

    Args:
        ptr: by scene.
        cells: by scene.
        cost: (n,) positive.
        weight: (k,) of each cell, not negative; what is gained as long as the cell asks for more.
        need: (k,) scenes that each cell still asks for.
        chosen: (n,) scenes that are in already; not taken again.
    """
    heap = [(0.0, -1)]
    heap.pop()
    for scene in range(len(cost)):
        if not chosen[scene]:
            gain = _gain(ptr, cells, scene, weight, need)
            if gain > 0:
                heap.append((-gain / cost[scene], scene))
    heapq.heapify(heap)
    while len(heap) > 0:
        scene = heapq.heappop(heap)[1]
        gain = _gain(ptr, cells, scene, weight, need)
        if gain <= 0:
            continue
        now = (-gain / cost[scene], scene)
        if len(heap) > 0 and heap[0] < now:
            heapq.heappush(heap, now)
            continue
        chosen[scene] = True
        for k in range(ptr[scene], ptr[scene + 1]):
            need[cells[k]] -= 1


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def drop_redundant(ptr: Ints, cells: Cells, need: NDArray[np.int32], chosen: Mask, order: Ints) -> None:
    """Take out, in this order, chosen scenes without which nothing is missing; `need` (what is left to ask) <= 0."""
    for scene in order:
        if not chosen[scene]:
            continue
        spare = True
        for k in range(ptr[scene], ptr[scene + 1]):
            if need[cells[k]] >= 0:
                spare = False
                break
        if spare:
            chosen[scene] = False
            for k in range(ptr[scene], ptr[scene + 1]):
                need[cells[k]] += 1


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _holders(ptr: Ints, cells: Cells, chosen: Mask, count: int) -> tuple[Ints, Cells]:
    """Chosen scenes by cell."""
    cell_ptr = np.zeros(count + 1, np.int64)
    for scene in range(len(chosen)):
        if chosen[scene]:
            for k in range(ptr[scene], ptr[scene + 1]):
                cell_ptr[cells[k] + 1] += 1
    for cell in range(count):
        cell_ptr[cell + 1] += cell_ptr[cell]
    place = cell_ptr[:-1].copy()
    scenes = np.empty(cell_ptr[-1], np.int32)
    for scene in range(len(chosen)):
        if chosen[scene]:
            for k in range(ptr[scene], ptr[scene + 1]):
                scenes[place[cells[k]]] = scene
                place[cells[k]] += 1
    return cell_ptr, scenes


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _critical(ptr: Ints, cells: Cells, need: NDArray[np.int32], chosen: Mask) -> Ints:
    """Cells of each chosen scene that cannot do without it."""
    held = np.zeros(len(chosen), np.int64)
    for scene in range(len(chosen)):
        if chosen[scene]:
            for k in range(ptr[scene], ptr[scene + 1]):
                held[scene] += need[cells[k]] == 0
    return held


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _relieved(
    ptr: Ints, cells: Cells, need: NDArray[np.int32], cell_ptr: Ints, scenes: Cells, critical: Ints, scene: int
) -> list[int]:
    """Chosen scenes that would each be spare if `scene` came in."""
    spare = [-1]
    spare.pop()
    for k in range(ptr[scene], ptr[scene + 1]):
        if need[cells[k]] == 0:
            for j in range(cell_ptr[cells[k]], cell_ptr[cells[k] + 1]):
                critical[scenes[j]] -= 1
                if critical[scenes[j]] == 0:
                    spare.append(scenes[j])
    for k in range(ptr[scene], ptr[scene + 1]):
        if need[cells[k]] == 0:
            for j in range(cell_ptr[cells[k]], cell_ptr[cells[k] + 1]):
                critical[scenes[j]] += 1
    return spare


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _exchange(
    ptr: Ints, cells: Cells, cost: Floats, need: NDArray[np.int32], chosen: Mask, scene: int, spare: list[int]
) -> bool:
    """Take `scene` in and the costliest of `spare` out; undone unless it pays, or costs the same and is newer."""
    for k in range(ptr[scene], ptr[scene + 1]):
        need[cells[k]] -= 1
    out = [-1]
    out.pop()
    saved, newest = -cost[scene], len(cost)
    for other in sorted([(-cost[each], -each) for each in spare]):
        gone = -other[1]
        free = True
        for k in range(ptr[gone], ptr[gone + 1]):
            if need[cells[k]] >= 0:
                free = False
                break
        if free:
            for k in range(ptr[gone], ptr[gone + 1]):
                need[cells[k]] += 1
            out.append(gone)
            saved += cost[gone]
            newest = min(newest, gone)
    pays = saved > 1000 * _EQUAL or (abs(saved) <= _EQUAL and len(out) > 0 and scene < newest)
    if pays:
        chosen[scene] = True
        for gone in out:
            chosen[gone] = False
        return True
    for gone in out:
        for k in range(ptr[gone], ptr[gone + 1]):
            need[cells[k]] -= 1
    for k in range(ptr[scene], ptr[scene + 1]):
        need[cells[k]] += 1
    return False


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def swap(ptr: Ints, cells: Cells, cost: Floats, need: NDArray[np.int32], chosen: Mask, passes: int) -> None:
    """Exchange one scene for one or more that it makes spare wherever that pays; `chosen` and `need` are changed.

    The list stays complete and never gets dearer. At equal cost the newer scene (lower index) wins.

    Args:
        ptr: by scene.
        cells: by scene.
        cost: (n,).
        need: (k,) what is left to ask: <= 0 everywhere.
        chosen: (n,) a list that covers all.
        passes: over all scenes, at most.
    """
    cell_ptr, scenes = _holders(ptr, cells, chosen, len(need))
    critical = _critical(ptr, cells, need, chosen)
    for _ in range(passes):
        better = False
        for scene in range(len(cost)):
            if chosen[scene]:
                continue
            spare = _relieved(ptr, cells, need, cell_ptr, scenes, critical, scene)
            if len(spare) > 0 and _exchange(ptr, cells, cost, need, chosen, scene, spare):
                better = True
                cell_ptr, scenes = _holders(ptr, cells, chosen, len(need))
                critical = _critical(ptr, cells, need, chosen)
        if not better:
            break


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def reduced_costs(ptr: Ints, cells: Cells, cost: Floats, multipliers: Floats) -> Floats:
    """Cost of each scene less the multipliers of its cells: (n,)."""
    reduced = cost.copy()
    for scene in range(len(cost)):
        total = 0.0
        for k in range(ptr[scene], ptr[scene + 1]):
            total += multipliers[cells[k]]
        reduced[scene] -= total
    return reduced


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def multipliers(
    ptr: Ints, cells: Cells, cost: Floats, need: NDArray[np.int32], upper: float, rounds: int
) -> tuple[float, Floats]:
    """Lagrangian lower bound by subgradient ascent (Held, Wolfe and Crowder 1974; for covering Beasley 1990).

    Args:
        ptr: by scene.
        cells: by scene.
        cost: (n,) not negative.
        need: (k,) scenes that each cell asks for, at least 1.
        upper: cost of a known list.
        rounds: passes over the matrix, at most.

    Returns:
        Bound on the cost of any list, of fractions of scenes too, and (k,) the multipliers that prove it.
    """
    prices = np.full(len(need), np.inf)
    for scene in range(len(cost)):
        size = ptr[scene + 1] - ptr[scene]
        for k in range(ptr[scene], ptr[scene + 1]):
            prices[cells[k]] = min(prices[cells[k]], cost[scene] / size)
    best, best_prices = -np.inf, prices.copy()
    step, since = 1.0, 0
    slope = np.empty(len(need))
    for _ in range(rounds):
        reduced = reduced_costs(ptr, cells, cost, prices)
        bound = 0.0
        for cell in range(len(need)):
            bound += need[cell] * prices[cell]
            slope[cell] = need[cell]
        for scene in range(len(cost)):
            if reduced[scene] < 0:
                bound += reduced[scene]
                for k in range(ptr[scene], ptr[scene + 1]):
                    slope[cells[k]] -= 1
        if bound > best:
            if bound > best + 1e-4 * abs(best):
                since = 0
            best = bound
            best_prices[:] = prices
        since += 1
        if since > 12:
            step /= 2
            since = 0
            prices[:] = best_prices
            if step < 0.004:
                break
        length = 0.0
        for cell in range(len(need)):
            if prices[cell] > 0 or slope[cell] > 0:
                length += slope[cell] * slope[cell]
        if length == 0 or upper - bound < 1e-9:
            break
        move = step * max(1.02 * upper - bound, 1e-9) / length
        for cell in range(len(need)):
            prices[cell] = max(0.0, prices[cell] + move * slope[cell])
    return best, best_prices


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def bit_rows(ptr: Ints, cells: Cells, count: int) -> NDArray[np.uint64]:
    """The matrix as bits, (n, words): one bit a cell."""
    bits = np.zeros((len(ptr) - 1, (count + 63) // 64), np.uint64)
    for scene in range(len(ptr) - 1):
        for k in range(ptr[scene], ptr[scene + 1]):
            at = cells[k]
            bits[scene, at // 64] |= np.uint64(1) << np.uint64(at % 64)
    return bits


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _first(words: NDArray[np.uint64]) -> int:
    """The lowest bit that is set; -1: none."""
    for i in range(len(words)):
        if words[i] != 0:
            word, at = words[i], 64 * i
            while word & np.uint64(1) == 0:
                word >>= np.uint64(1)
                at += 1
            return at
    return -1


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def branch(
    bits: NDArray[np.uint64], cell_ptr: Ints, scenes: Cells, cost: Floats, upper: float, nodes: int
) -> tuple[float, Mask, bool]:
    """The cheapest list in which each cell is shown at least once, where it is cheaper than `upper`: depth first.

    Branches on the scenes of the first cell that is not covered yet, and no scene is tried again below its later
    siblings. Fast where a handful of scenes is enough.

    Args:
        bits: (n, words) of :func:`bit_rows`, rare cells first.
        cell_ptr: (k + 1,) where the scenes of each bit begin.
        scenes: by bit, cheapest first.
        cost: (n,) positive.
        upper: a list of this cost is known.
        nodes: looked at, at most.

    Returns:
        Cost (`upper` where nothing is cheaper), the list (n,) (empty then), and whether all was looked at.
    """
    count, words = bits.shape
    deepest = 1 + int(upper / cost.min())
    missing = np.zeros((deepest + 1, words), np.uint64)
    for bit in range(len(cell_ptr) - 1):
        missing[0, bit // 64] |= np.uint64(1) << np.uint64(bit % 64)
    at = np.zeros(deepest + 1, np.int64)
    end = np.zeros(deepest + 1, np.int64)
    begin = np.zeros(deepest + 1, np.int64)
    spent = np.zeros(deepest + 1)
    picked = np.zeros(deepest + 1, np.int64)
    banned = np.zeros(count, np.int64)
    best, chosen = upper, np.zeros(count, np.bool_)
    cheapest = cost.min()
    depth, seen = 0, 0
    at[0] = begin[0] = cell_ptr[0]
    end[0] = cell_ptr[1]
    while depth >= 0:
        if at[depth] == end[depth]:
            for k in range(begin[depth], end[depth]):
                if banned[scenes[k]] == depth + 1:
                    banned[scenes[k]] = 0
            depth -= 1
            continue
        scene = scenes[at[depth]]
        at[depth] += 1
        total = spent[depth] + cost[scene]
        if banned[scene] > 0 or total >= best - 1000 * _EQUAL:
            continue
        seen += 1
        if seen > nodes:
            return best, chosen, False
        banned[scene] = depth + 1
        picked[depth] = scene
        deeper = total + cheapest < best - 1000 * _EQUAL
        open_cells = False
        for i in range(words):
            rest = missing[depth, i] & ~bits[scene, i]
            if rest != 0:
                open_cells = True
                if not deeper:
                    break
            missing[depth + 1, i] = rest
        if not open_cells:
            best = total
            chosen[:] = False
            for i in range(depth + 1):
                chosen[picked[i]] = True
        elif deeper:
            depth += 1
            bit = _first(missing[depth])
            spent[depth] = total
            at[depth] = begin[depth] = cell_ptr[bit]
            end[depth] = cell_ptr[bit + 1]
    return best, chosen, True
