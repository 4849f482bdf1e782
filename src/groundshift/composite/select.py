"""The scene list: the fewest, newest, clearest scenes that show every cell that any scene shows.

Each scene costs 1, and more with age, haze and where its orbit or season is not that of its surroundings. The list of
lowest cost in which each cell is shown as often as asked, or as often as there are scenes, is searched for, and a bound
says how far from the cheapest it can be at most. The order in which scenes are given changes nothing; at equal cost the
newest wins, then the lower id. What an integer program finds within its time may differ between machines; what is not
marked `exact` may therefore, too.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from groundshift.composite import select_kernels as kernels
from groundshift.composite import select_search as search
from groundshift.composite.select_cover import Cover
from groundshift.errors import ConfigError, InputError, NoDataError, UsageError

__all__ = ["Candidate", "Cover", "ListedScene", "SceneList", "SelectOptions", "Selection", "cost_terms", "from_json"]
__all__ += ["resolve", "scene_list", "select", "to_json"]

Progress = Callable[[int, int], None]
"""Told how many connected sets of scenes are done, of how many."""
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the cost of a scene depends on, and what names it."""

    id: str
    """Different for every scene."""
    age_days: float
    """Before the newest date that was asked for; not negative."""
    haze: float = 0.0
    """0 none to 1 opaque."""
    orbit: int | None = None
    """Relative orbit; None: not known, and no mismatch."""
    day_of_year: int | None = None
    """1 to 366; None: not known, and no mismatch."""
    tile: str = ""
    """Name of the tile; where all are known, large sets are bounded and improved tile by tile."""
    date: str = ""
    """As it is to be listed."""
    href: str = ""
    """Where the scene lies, as it is to be listed."""

    def __post_init__(self) -> None:
        if not self.id:
            raise InputError("a scene of the list has no id.")
        if not (math.isfinite(self.age_days) and self.age_days >= 0):
            raise InputError(f"scene {self.id} has an age of {self.age_days} days; expected 0 or more.")
        if not 0 <= self.haze <= 1:
            raise InputError(f"scene {self.id} has a haze of {self.haze}; expected 0 to 1.")
        if self.day_of_year is not None and not 1 <= self.day_of_year <= 366:
            raise InputError(f"scene {self.id} has day of year {self.day_of_year}; expected 1 to 366.")

    @property
    def season(self) -> int | None:
        """Quarter of the year, from about 1 December on: 0 to 3."""
        return None if self.day_of_year is None else int((self.day_of_year + 30) % 366 / 91.5)


@dataclass(frozen=True, kw_only=True)
class SelectOptions:
    """What a scene costs, how often cells are to be shown, and how much is proven."""

    cover: int = 1
    """Scenes that are to show each cell: 1 for newest pixel, 3 or more for a median."""
    age_weight: float = 0.5
    """Cost of a year of age, in scenes. Our choice: a scene may be spared for two years of age."""
    haze_weight: float = 0.5
    """Cost of full haze, in scenes. Our choice: half a scene, for haze can be corrected in part."""
    mismatch_weight: float = 0.25
    """Cost of another orbit and season than that of the surroundings, in scenes; half of it for one of them. Our
    choice: a nudge, for colour balance corrects most of it."""
    exact_limit: int = 300
    """Scenes of a connected set that go to one integer program, at most, after those are left out that are in no
    better list. Measured: 300 take up to a second; benchmarks/scene_list.py."""
    exact_seconds: float = 5.0
    """For all integer programs together; what is not proven by then is told as a gap. Measured: 10,000 scenes within
    10 s; benchmarks/scene_list.py."""
    tail_share: float = 0.001
    """Scenes at the end of the list that add less than this share of what is asked are listed as optional (0.1 %)."""

    def __post_init__(self) -> None:
        if not 1 <= self.cover <= 1000:
            raise UsageError(f"each cell can be shown by 1 to 1000 scenes, not {self.cover}.")
        weights = (self.age_weight, self.haze_weight, self.mismatch_weight)
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
            raise UsageError(f"weights of age, haze and mismatch are 0 or more, not {weights}.")
        if self.exact_limit < 0 or not self.exact_seconds >= 0 or not 0 <= self.tail_share < 1:
            raise UsageError(
                f"a scene list needs exact_limit and exact_seconds >= 0 and a tail_share from 0 to below 1, not {self}."
            )


@dataclass(frozen=True, eq=False)
class Selection:
    """The list, and how good it is."""

    chosen: tuple[int, ...]
    """Indices of candidates, by falling marginal gain."""
    gains: tuple[int, ...]
    """Cells, counted as often as asked, that each adds to those before it."""
    cost: float
    """Of the list, fetched scenes free."""
    bound: float
    """No list costs less."""
    exact: bool
    """No list is cheaper, proven."""
    never: NDArray[np.bool_]
    """(cells,) that no candidate shows."""
    count: NDArray[np.uint16]
    """(cells,) scenes of the list that show each cell."""
    curve: tuple[float, ...]
    """Share of what can be had after 1, 2, ... scenes; the last is 1."""
    tail: int
    """Scenes at the end of the list that are optional."""
    fetched: tuple[str, ...] = ()
    """Ids that were free, whether the list needs them or not."""

    @property
    def gap(self) -> float:
        """How much dearer than the cheapest the list is at most, as a share of the bound."""
        return 0.0 if self.exact else (self.cost - self.bound) / self.bound if self.bound > 0 else math.inf


def select(
    candidates: Sequence[Candidate],
    cover: Cover,
    options: SelectOptions | None = None,
    *,
    fetched: Iterable[str] = (),
    progress: Progress | None = None,
) -> Selection:
    """Choose scenes of low total cost so that every cell is shown by min(options.cover, scenes that show it) of them.

    Args:
        candidates: in any order; ids differ.
        cover: row i is what candidate i shows clear.
        options: costs and limits.
        fetched: ids of scenes that are there already: they cost nothing.
        progress: told of finished connected sets.

    Returns:
        A list from which no scene can be taken without losing cover.

    Raises:
        InputError: candidates that do not fit the cover, ids that are not unique or not known.
        NoDataError: no candidate shows any cell.
    """
    options = options or SelectOptions()
    free = _checked(candidates, cover, set(fetched))
    order = np.array(sorted(range(len(candidates)), key=lambda i: (candidates[i].age_days, candidates[i].id)))
    ptr, cells = kernels.restrict(cover.ptr, cover.indices, order, np.arange(cover.cells, dtype=np.int32))
    ordered = [candidates[i] for i in order]
    seen = np.bincount(cells, minlength=cover.cells)
    demand = np.minimum(seen, options.cover).astype(np.int32)
    cost = 1 + cost_terms(ordered, Cover(ptr, cells, cover.cells), options).sum(axis=1)
    paid = np.array([each.id not in free for each in ordered])
    whole = search.Problem(ptr, cells, np.where(paid, cost, 0.0), demand, np.ones(cover.cells))
    names = {name: number for number, name in enumerate(sorted({each.tile for each in ordered}))}
    tiles = np.array([names[each.tile] if each.tile else -1 for each in ordered])
    chosen, bound, exact = _solved(whole, paid, tiles, options, progress)
    return _selection(whole, chosen, order, bound, exact, options, tuple(sorted(free)))


def resolve(
    selection: Selection,
    candidates: Sequence[Candidate],
    cover: Cover,
    masks: Mapping[str, NDArray[np.bool_]],
    options: SelectOptions | None = None,
) -> tuple[Selection, Cover]:
    """Solve again after real masks are known: their rows replace those of the previews, fetched scenes are free.

    Called until every scene of the list is fetched, this is the loop at full resolution: each call either ends it or
    fetches another scene, so that it ends.

    Args:
        selection: the list so far.
        candidates: as for :func:`select`.
        cover: as it was last returned, or first given.
        masks: (cells,) bool by id, of scenes that were fetched since.
        options: as for :func:`select`.

    Returns:
        The new list, and the cover with the real masks.
    """
    places = {each.id: i for i, each in enumerate(candidates)}
    for name in sorted(masks):
        if name not in places:
            raise InputError(f"scene {name} was fetched, but is no candidate of the list.")
        cover = cover.replaced(places[name], masks[name])
    return select(candidates, cover, options, fetched={*selection.fetched, *masks}), cover


def cost_terms(candidates: Sequence[Candidate], cover: Cover, options: SelectOptions) -> NDArray[np.float64]:
    """(n, 3) what age, haze and mismatch add to the cost of each scene.

    Mismatch is against the orbit and the season that show most cells clear in all scenes connected to this one by
    common cells, the lower number at a tie: half for each of the two that is another.
    """
    component = kernels.connected(cover.ptr, cover.indices, cover.cells)
    size = np.diff(cover.ptr)
    odd = _minority([each.orbit for each in candidates], component, size)
    odd += _minority([each.season for each in candidates], component, size)
    age = [options.age_weight * each.age_days / 365 for each in candidates]
    haze = [options.haze_weight * each.haze for each in candidates]
    return np.column_stack([age, haze, options.mismatch_weight * odd])


def _minority(
    values: Sequence[int | None], component: NDArray[np.int64], size: NDArray[np.int64]
) -> NDArray[np.float64]:
    votes: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for value, group, clear in zip(values, component.tolist(), size.tolist(), strict=True):
        if value is not None:
            votes[group][value] += clear
    most = {group: min(found, key=lambda value: (-found[value], value)) for group, found in votes.items()}
    pairs = zip(values, component.tolist(), strict=True)
    return np.array([0.5 * (value is not None and value != most[group]) for value, group in pairs])


def _checked(candidates: Sequence[Candidate], cover: Cover, fetched: set[str]) -> set[str]:
    if len(candidates) != cover.scenes:
        raise InputError(f"{len(candidates)} scenes cannot have a cover of {cover.scenes} rows; expected one row each.")
    ids = {each.id for each in candidates}
    if len(ids) != len(candidates):
        raise InputError(
            f"{len(candidates) - len(ids)} scenes have an id that another one has; expected different ids."
        )
    if unknown := sorted(fetched - ids):
        raise InputError(f"scene {unknown[0]} was fetched, but is no candidate of the list.")
    if len(cover.indices) == 0:
        raise NoDataError(f"none of {len(candidates)} scenes shows any of {cover.cells} cells clear; widen the dates.")
    return fetched


def _solved(
    whole: search.Problem,
    paid: NDArray[np.bool_],
    tiles: NDArray[np.int64],
    options: SelectOptions,
    progress: Progress | None,
) -> tuple[NDArray[np.bool_], float, bool]:
    """All connected sets of scenes, one after the other: chosen (n,), the bound, and whether all are proven."""
    chosen = ~paid
    need = np.maximum(whole.left(chosen), 0)
    number = np.where(need > 0, np.arange(len(need)), -1).astype(np.int32)
    ptr, cells = kernels.restrict(whole.ptr, whole.cells, np.arange(whole.scenes), number)
    group = kernels.connected(ptr, cells, len(need))
    group[(np.diff(ptr) == 0) | ~paid] = -1
    sets = np.unique(group[group >= 0])
    budget, bound, exact = search.Budget(options.exact_seconds), 0.0, True
    useful = {int(each): np.flatnonzero(group == each) for each in sets}
    for done, scenes in enumerate(useful.values()):
        if progress:
            progress(done, len(sets))
        if len(scenes) == 1:
            chosen[scenes] = True
            bound += float(whole.cost[scenes[0]])
            continue
        touched = np.zeros_like(need)
        for scene in scenes:
            row = cells[ptr[scene] : ptr[scene + 1]]
            touched[row] = need[row]
        found = search.solve(whole.part(scenes, touched), tiles[scenes], options.exact_limit, budget)
        chosen[scenes[found.chosen]] = True
        bound, exact = bound + found.bound, exact and found.exact
    if progress:
        progress(len(sets), len(sets))
    return search.complete(whole, chosen, whole.weight), bound, exact


def _selection(
    whole: search.Problem,
    chosen: NDArray[np.bool_],
    order: NDArray[np.int64],
    bound: float,
    exact: bool,
    options: SelectOptions,
    fetched: tuple[str, ...],
) -> Selection:
    ranked, gains = _ranked(whole, chosen)
    asked = int(whole.need.sum())
    small = np.asarray(gains) < options.tail_share * asked
    cost = whole.total(chosen)
    return Selection(
        chosen=tuple(int(order[scene]) for scene in ranked),
        gains=tuple(gains),
        cost=cost,
        bound=min(bound, cost),
        exact=exact,
        never=whole.need == 0,
        count=(whole.need - whole.left(chosen)).astype(np.uint16),
        curve=tuple((np.cumsum(gains) / asked).tolist()),
        tail=int(small.sum()),
        fetched=fetched,
    )


def _ranked(whole: search.Problem, chosen: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """Chosen scenes by what each adds, newest first at a tie; and what that is."""
    need = whole.need.copy()
    rows = {int(i): whole.cells[whole.ptr[i] : whole.ptr[i + 1]] for i in np.flatnonzero(chosen)}
    heap = [(-len(row), scene) for scene, row in rows.items()]
    heapq.heapify(heap)
    ranked, gains = [], []
    while heap:
        scene = heapq.heappop(heap)[1]
        gain = int((need[rows[scene]] > 0).sum())
        if heap and heap[0] < (-gain, scene):
            heapq.heappush(heap, (-gain, scene))
            continue
        need[rows[scene]] -= 1
        ranked.append(scene)
        gains.append(gain)
    return ranked, gains


@dataclass(frozen=True, kw_only=True)
class ListedScene:
    """One line of the list."""

    id: str
    href: str
    date: str
    tile: str
    gain: float
    """Share of what is asked that it adds to those before it."""
    optional: bool
    """Adds so little that it may be left out."""
    age_cost: float
    """What age, haze and mismatch add to the cost of 1."""
    haze_cost: float
    mismatch_cost: float


@dataclass(frozen=True, kw_only=True)
class SceneList:
    """What `scenes.json` says: plain facts."""

    scenes: tuple[ListedScene, ...]
    """By falling gain."""
    options: SelectOptions
    cost: float
    bound: float
    exact: bool
    candidates: int
    """Scenes that were chosen from."""
    cells: int
    """Of the grid."""
    never: int
    """Cells that no candidate shows."""
    curve: tuple[float, ...]
    """Share of what can be had after 1, 2, ... scenes."""
    fetched: tuple[str, ...] = ()
    version: int = field(default=_FORMAT)
    """Of this format."""


def scene_list(
    selection: Selection, candidates: Sequence[Candidate], cover: Cover, options: SelectOptions | None = None
) -> SceneList:
    """The facts of a selection; candidates, cover and options as it was made with."""
    options = options or SelectOptions()
    terms = cost_terms(candidates, cover, options).tolist()
    asked, last = sum(selection.gains), len(selection.chosen) - selection.tail
    lines = []
    for place, (i, gain) in enumerate(zip(selection.chosen, selection.gains, strict=True)):
        each, (age, haze, mismatch) = candidates[i], terms[i]
        lines.append(
            ListedScene(
                id=each.id,
                href=each.href,
                date=each.date,
                tile=each.tile,
                gain=gain / asked,
                optional=place >= last,
                age_cost=age,
                haze_cost=haze,
                mismatch_cost=mismatch,
            )
        )
    return SceneList(
        scenes=tuple(lines),
        options=options,
        cost=selection.cost,
        bound=selection.bound,
        exact=selection.exact,
        candidates=len(candidates),
        cells=len(selection.never),
        never=int(selection.never.sum()),
        curve=selection.curve,
        fetched=selection.fetched,
    )


def to_json(listed: SceneList) -> str:
    """As JSON text, indented; :func:`from_json` gives the same back."""
    return TypeAdapter(SceneList).dump_json(listed, indent=2).decode() + "\n"


def from_json(text: str | bytes) -> SceneList:
    """Read what :func:`to_json` wrote.

    Raises:
        ConfigError: it is no such list, or of a later version.
    """
    try:
        listed = TypeAdapter(SceneList).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ConfigError(f"this is no scene list: {where}: {first['msg']}; make it anew with select.") from None
    if listed.version != _FORMAT:
        raise ConfigError(f"this scene list is of version {listed.version}, expected {_FORMAT}; make it anew.")
    return listed
