"""Accuracy and areas from a probability sample of reference points: what the design of the sample allows to say.

Counting agreement over all points says how good the *sample* is. Where rare classes were sampled more densely than
others, every point has to count by the area that it stands for (Olofsson et al. 2014, *Remote Sensing of Environment*
148:42, equations 1 to 11; Stehman 2014, *Int. J. Remote Sensing* 35:4923, where strata are not the classes).

All figures are ratios of two totals, R = Y / X, of an indicator y and an indicator x: producer's accuracy has y = "both
say class k" and x = "the reference says class k". Their variance is that of the residual y - R x, summed over strata.
Every figure has the textbook half width, 1.96 standard errors, and ``low`` and ``high`` of an interval that keeps its
level where the textbook's does not (:mod:`groundshift.accuracy.intervals`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groundshift.accuracy import intervals
from groundshift.accuracy.intervals import Floats, Z
from groundshift.errors import GroundshiftWarning, InputError, SampleWarning

_ROUNDING = 1e-12
"""A standard error below this is none."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """A figure with its uncertainty at 95 %; scalars, or arrays with one value a class. NaN: not defined."""

    estimate: Floats
    half_width: Floats
    """Textbook: 1.96 standard errors; 0 where no error was seen, which is not to say that there is none."""
    low: Floats
    """Lower end of the interval that holds for few points and rare classes as well."""
    high: Floats


@dataclass(frozen=True, eq=False)
class Accuracy:
    """What the reference says of a map; classes in the order of the counts."""

    overall_accuracy: Estimate
    users_accuracy: Estimate
    """Of what the map shows as a class, the share that is; NaN for a class that the map does not show."""
    producers_accuracy: Estimate
    """Of what is a class, the share that the map shows; NaN for a class that the reference does not hold."""
    f1: Estimate
    kappa: Estimate
    area: Estimate
    """Of each class in the reference, in the unit that areas were given in."""
    proportions: Floats
    """(map class, reference class), estimated shares of the whole area."""
    warnings: tuple[GroundshiftWarning, ...] = ()


@dataclass(frozen=True, eq=False)
class Points:
    """Reference points, one value each; classes and strata are numbers from 0."""

    stratum: NDArray[np.integer]
    mapped: NDArray[np.integer]
    reference: NDArray[np.integer]
    cluster: NDArray[np.integer] | None = None
    """Points that were drawn together carry the same number; None: each was drawn by itself."""


@dataclass(frozen=True, eq=False)
class _Sample:
    """Points by cell: how many of a stratum (and cluster) have this class in the map and that one in the reference."""

    stratum: NDArray[np.int64]
    mapped: NDArray[np.int64]
    reference: NDArray[np.int64]
    count: Floats
    area: Floats
    classes: int
    unsampled: Floats
    """(stratum,), the share of its population that was not drawn."""
    cluster: NDArray[np.int64] | None = None
    of_classes: bool = False
    """Strata are the classes of the map, in their order."""
    size: Floats = field(init=False)
    """(stratum,), points."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", np.bincount(self.stratum, self.count, len(self.area)))

    @property
    def weight(self) -> Floats:
        """(stratum,), shares of the whole area."""
        return np.asarray(self.area / self.area.sum())

    @property
    def point_weight(self) -> Floats:
        """(cell,), share of the whole area that each point stands for."""
        found: Floats = (self.weight / np.maximum(self.size, 1e-300))[self.stratum]
        return found

    def by_stratum(self, values: Floats) -> Floats:
        """Sums (stratum, m) of values (cell, m) over points."""
        found = np.zeros((len(self.area), values.shape[1]))
        np.add.at(found, self.stratum, values * self.count[:, None])
        return found


def stratified(counts: ArrayLike, mapped_area: ArrayLike, *, collapse: bool = False) -> Accuracy:
    """Estimate accuracy and areas from points drawn at random within each class of the map.

    Args:
        counts: (K, K), points; rows = map, columns = reference. A class that only the reference holds is a row of zeros
            with area 0.
        mapped_area: (K,), area of each class in the map, in any unit (pixels, hectares, square metres).
        collapse: strata without points are joined to the largest stratum that has some, which supposes that both err
            alike, instead of being refused.

    Returns:
        Figures with intervals. Where a class has one point only, half widths that depend on it are NaN, and a warning
        says so. Laws: permuting the classes permutes the figures; scaling the areas scales areas only.

    Raises:
        InputError: counts and areas are of no shape or sign that can be, or a class of the map has no point.
    """
    table, area = _checked(counts, mapped_area)
    rows = table.sum(axis=1)
    unsampled = np.flatnonzero((rows == 0) & (area > 0))
    if unsampled.size and not collapse:
        raise InputError(
            f"class {', '.join(map(str, unsampled))} of the map (counted from 0) covers {area[unsampled].sum():g} of "
            f"{area.sum():g} and has no reference point: draw points there or collapse strata."
        )
    stray = np.flatnonzero((rows > 0) & (area == 0))
    if stray.size:
        raise InputError(f"class {stray[0]} (counted from 0) has points in the map but no mapped area: expected both.")
    mapped, reference = np.nonzero(table)
    found = _Sample(
        stratum=mapped,
        mapped=mapped,
        reference=reference,
        count=table[mapped, reference],
        area=_collapsed(area, rows),
        classes=len(area),
        unsampled=np.ones(len(area)),
        of_classes=True,
    )
    return _estimated(found)


def _collapsed(area: Floats, rows: Floats) -> Floats:
    """Areas with those of strata without points given to the largest that has some."""
    empty = rows == 0
    found = np.where(empty, 0.0, area)
    found[np.argmax(found)] += area[empty].sum()
    return found


def stehman(counts: ArrayLike, stratum_area: ArrayLike, *, population: ArrayLike | None = None) -> Accuracy:
    """Estimate accuracy and areas where strata are not the classes of the map (Stehman 2014, equations 14 to 28).

    That is the case when a sample drawn for one map is used for another, or when strata are regions.

    Args:
        counts: (stratum, K, K), points; map class, then reference class.
        stratum_area: (stratum,), in any unit.
        population: (stratum,), units (pixels) that could have been drawn, for the correction of finite populations;
            None: many.

    Returns:
        Figures with intervals. Law: with strata that are the classes, those of :func:`stratified`.

    Raises:
        InputError: shapes do not fit, or a stratum with an area has no points.
    """
    cube = np.asarray(counts, np.float64)
    if cube.ndim != 3 or cube.shape[1] != cube.shape[2]:
        raise InputError(f"counts have shape {cube.shape}: expected (stratum, class, class).")
    stratum, mapped, reference = np.nonzero(cube)
    return _estimated(
        _sample(
            Points(stratum, mapped, reference),
            cube[stratum, mapped, reference],
            stratum_area,
            cube.shape[1],
            population,
        )
    )


def sampled(points: Points, stratum_area: ArrayLike, classes: int, *, population: ArrayLike | None = None) -> Accuracy:
    """Estimate accuracy and areas from points of any strata, drawn one by one or in clusters.

    With clusters the variance is that between the clusters of a stratum, drawn with replacement (Särndal, Swensson and
    Wretman 1992, section 4.3), and ``low`` and ``high`` are widened by the design effect.

    Args:
        points: stratum, map class, reference class and perhaps cluster of each point.
        stratum_area: (stratum,), in any unit.
        classes: K; all classes are below it.
        population: (stratum,), units that could have been drawn; None: many.

    Raises:
        InputError: a number is out of range, or a stratum with an area has no points.
    """
    return _estimated(_sample(points, np.ones(len(points.stratum)), stratum_area, classes, population))


def agreement(counts: ArrayLike) -> Accuracy:
    """Agreement of points that are no probability sample: every point counts alike, and areas cannot be had.

    The intervals are those of as many points drawn at random. They do not cover the choice of the points.
    ``area`` holds the shares of the points.
    """
    table = np.asarray(counts, np.float64)
    return stehman(table[None], [1.0])


def census(area: ArrayLike) -> Accuracy:
    """Figures of a whole reference map: (K, K) areas; rows = map, columns = reference. There is no sampling error."""
    table = np.asarray(area, np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not table.sum() > 0:
        raise InputError(
            f"areas of shape {table.shape} with sum {table.sum():g}: expected (class, class), more than 0."
        )
    p = table / table.sum()
    overall, users, producers, f1, kappa = (
        Estimate(value, np.where(np.isnan(value), np.nan, 0.0), value, value) for value in _of(p).values()
    )
    total = table.sum(axis=0)
    area_of_class = Estimate(total, np.zeros(len(total)), total, total)
    return Accuracy(overall, users, producers, f1, kappa, area_of_class, proportions=p)


def either(
    mapped: NDArray[np.integer], primary: NDArray[np.integer], alternate: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Reference in which the map is right where it agrees with the primary or the alternate label (below 0: none).

    The second matrix of a response design with two labels; the first is that of the primary label.
    """
    return np.where((alternate >= 0) & (alternate == mapped), mapped, primary).astype(np.int64)


# --- samples -------------------------------------------------------------------------------------------------------


def _checked(counts: ArrayLike, mapped_area: ArrayLike) -> tuple[Floats, Floats]:
    table, area = np.asarray(counts, np.float64), np.asarray(mapped_area, np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or area.shape != table.shape[:1]:
        raise InputError(f"counts of shape {table.shape} with areas of shape {area.shape}: expected (K, K) and (K,).")
    if not (np.isfinite(table).all() and (table >= 0).all()):
        raise InputError("counts hold values that are negative or not finite: expected numbers of points.")
    _check_area(area)
    return table, area


def _check_area(area: Floats) -> None:
    if not (np.isfinite(area).all() and (area >= 0).all() and area.sum() > 0):
        raise InputError("areas hold values that are negative or not finite, or are all 0: expected areas of strata.")


def _sample(
    points: Points, count: Floats, stratum_area: ArrayLike, classes: int, population: ArrayLike | None
) -> _Sample:
    area = np.asarray(stratum_area, np.float64)
    _check_area(area)
    for name, values, end in (
        ("stratum", points.stratum, len(area)),
        ("map class", points.mapped, classes),
        ("reference class", points.reference, classes),
    ):
        if len(values) and not (values.min() >= 0 and values.max() < end):
            raise InputError(f"a point has {name} {values.max()}: expected numbers from 0 to {end - 1}.")
    size = np.bincount(points.stratum, count, len(area))
    empty = np.flatnonzero((size == 0) & (area > 0))
    if empty.size:
        raise InputError(
            f"stratum {', '.join(map(str, empty))} (counted from 0) has an area and no reference point: nothing can be "
            "said of it, draw points there or join it to another stratum."
        )
    unsampled = np.ones(len(area))
    if population is not None:
        units = np.maximum(np.asarray(population, np.float64), size)
        unsampled = 1 - np.divide(size, units, out=np.zeros(len(area)), where=units > 0)
    return _Sample(
        stratum=points.stratum.astype(np.int64),
        mapped=points.mapped.astype(np.int64),
        reference=points.reference.astype(np.int64),
        count=count,
        area=area,
        classes=classes,
        unsampled=unsampled,
        cluster=None if points.cluster is None else np.unique(points.cluster, return_inverse=True)[1],
    )


# --- figures and their standard errors -----------------------------------------------------------------------------


def _of(p: Floats) -> dict[str, Floats]:
    """Figures of a matrix of shares of the area (map, reference); NaN where not defined."""
    both, mapped, true = np.diagonal(p), p.sum(axis=1), p.sum(axis=0)
    right, chance = both.sum(), (mapped * true).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "overall_accuracy": right,
            "users_accuracy": np.where(mapped > 0, both / mapped, np.nan),
            "producers_accuracy": np.where(true > 0, both / true, np.nan),
            "f1": np.where(mapped + true > 0, 2 * both / (mapped + true), np.nan),
            "kappa": np.where(chance < 1, (right - chance) / (1 - chance), np.nan)[()],
        }


def _estimated(sample: _Sample) -> Accuracy:
    k = sample.classes
    p = np.zeros((k, k))
    np.add.at(p, (sample.mapped, sample.reference), sample.count * sample.point_weight)
    value = _of(p)
    indicators = _indicators(sample)
    error = {name: _standard_error(sample, *pair, value[name]) for name, pair in indicators.items() if name != "area"}
    true = p.sum(axis=0)
    error["area"] = _standard_error(sample, *indicators["area"], true)
    error["kappa"] = _kappa_error(sample, p, float(value["overall_accuracy"]))
    ends = _ends(sample, value, error, true)
    ends["kappa"] = _kappa_ends(value, error, ends["overall_accuracy"], float((p.sum(axis=1) * true).sum()))
    total = sample.area.sum()
    found = {name: Estimate(value[name], Z * error[name], *ends[name]) for name in value}
    area = Estimate(total * true, Z * total * error["area"], *(total * end for end in ends["area"]))
    return Accuracy(**found, area=area, proportions=p, warnings=_warnings(sample))


def _indicators(sample: _Sample) -> dict[str, tuple[Floats, Floats]]:
    """y and x, (cell, m), of each figure."""
    mapped, true = _one_hot(sample.mapped, sample.classes), _one_hot(sample.reference, sample.classes)
    both = mapped * true
    one = np.ones((len(mapped), 1))
    return {
        "overall_accuracy": (both.sum(axis=1, keepdims=True), one),
        "users_accuracy": (both, mapped),
        "producers_accuracy": (both, true),
        "f1": (2 * both, mapped + true),
        "area": (true, np.ones_like(true)),
    }


def _one_hot(codes: NDArray[np.int64], classes: int) -> Floats:
    found: Floats = (codes[:, None] == np.arange(classes)).astype(np.float64)
    return found


def _standard_error(sample: _Sample, y: Floats, x: Floats, ratio: Floats) -> Floats:
    """Of Y / X; shape of ``ratio``."""
    residual = y - np.where(np.isnan(ratio), 0.0, ratio) * x
    below = (sample.count * sample.point_weight) @ x
    # points of one class have the same map class: of another one nothing can lie in its stratum
    reaches = np.eye(sample.classes, dtype=bool) if sample.of_classes and _by_map(sample, x) else None
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.sqrt(_variance(sample, residual, reaches)) / below
    known: Floats = np.where(np.isnan(ratio), np.nan, found[0] if np.ndim(ratio) == 0 else found)[()]
    return known


def _by_map(sample: _Sample, x: Floats) -> bool:
    return x.shape[1] == sample.classes and np.array_equal(x, _one_hot(sample.mapped, sample.classes))


def _variance(sample: _Sample, residual: Floats, reaches: NDArray[np.bool_] | None = None) -> Floats:
    """Of the mean of a residual (cell, m) over the area; NaN where a stratum with one draw only has a say."""
    parts = _between_points(sample, residual) if sample.cluster is None else _between_clusters(sample, residual)
    parts = np.where(sample.area[:, None] > 0, parts, 0.0)
    if reaches is not None:
        parts = np.where(reaches, parts, 0.0)
    return np.asarray(parts.sum(axis=0))


def _between_points(sample: _Sample, residual: Floats) -> Floats:
    """(stratum, m): W^2 (1 - f) s^2 / n."""
    n = sample.size[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sample.by_stratum(residual) / n
        square = sample.by_stratum((residual - mean[sample.stratum]) ** 2) / (n - 1)
        found: Floats = (sample.weight**2 * sample.unsampled)[:, None] * square / n
    return found


def _between_clusters(sample: _Sample, residual: Floats) -> Floats:
    """(stratum, m): m / (m - 1) times the squared deviations of cluster totals, which sum to 0 within a stratum."""
    assert sample.cluster is not None
    pair, draw = np.unique(np.column_stack([sample.stratum, sample.cluster]), axis=0, return_inverse=True)
    draws = np.bincount(pair[:, 0], minlength=len(sample.area))[:, None].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sample.by_stratum(residual) / sample.size[:, None]
        deviation = (residual - mean[sample.stratum]) * (sample.count * sample.point_weight)[:, None]
        total = np.zeros((len(pair), residual.shape[1]))
        np.add.at(total, draw.reshape(-1), deviation)
        square = np.zeros((len(sample.area), residual.shape[1]))
        np.add.at(square, pair[:, 0], total**2)
        found: Floats = draws / (draws - 1) * square
    return found


def _kappa_error(sample: _Sample, p: Floats, right: float) -> Floats:
    """By linearisation: kappa moves with agreement, and with both margins through the agreement by chance."""
    mapped, true = p.sum(axis=1), p.sum(axis=0)
    chance = float((mapped * true).sum())
    if chance >= 1:
        return np.float64(np.nan)  # type: ignore[return-value]
    agrees = (sample.mapped == sample.reference).astype(np.float64)
    moves = true[sample.mapped] + mapped[sample.reference]
    score = agrees / (1 - chance) - (1 - right) / (1 - chance) ** 2 * moves
    found: Floats = np.sqrt(_variance(sample, score[:, None]))[0]
    return found


# --- intervals -----------------------------------------------------------------------------------------------------


def _ends(
    sample: _Sample, value: dict[str, Floats], error: dict[str, Floats], true: Floats
) -> dict[str, tuple[Floats, Floats]]:
    """(low, high) of each figure but kappa; areas as shares of the whole."""
    mapped, reference = _one_hot(sample.mapped, sample.classes), _one_hot(sample.reference, sample.classes)
    both = mapped * reference
    own = np.eye(sample.classes, dtype=bool) if sample.of_classes else None
    other = None if own is None else ~own

    def part(of: Floats, limits: intervals.Limits, can: NDArray[np.bool_] | None = None) -> intervals.Shares:
        """Shares of a kind of point in each stratum; in strata where it cannot occur it is known to be 0."""
        size = np.broadcast_to(sample.size[:, None], (len(sample.area), of.shape[1]))
        return intervals.shares(sample.by_stratum(of), size if can is None else np.where(can, size, 0.0), limits)

    weight = sample.weight
    wilson, exact = intervals.wilson, intervals.exact
    low, high = intervals.weighted_sum(weight, part(both.sum(axis=1, keepdims=True), wilson))
    found = {
        "overall_accuracy": (low[0], np.minimum(high, 1)[0]),
        "users_accuracy": intervals.weighted_ratio(weight, part(both, wilson, own), part(mapped - both, wilson, own)),
        "producers_accuracy": intervals.weighted_ratio(
            weight, part(both, exact, own), part(reference - both, exact, other)
        ),
        "f1": intervals.weighted_ratio(
            weight, part(both, exact, own), part(mapped + reference - 2 * both, exact), scale=0.5
        ),
        "area": _within_one(intervals.weighted_sum(weight, part(reference, exact))),
    }
    if sample.cluster is not None:
        found = _widened(sample, {**value, "area": true}, found, error)
    for name in ("users_accuracy", "producers_accuracy", "f1"):
        undefined = np.isnan(value[name])
        found[name] = (np.where(undefined, np.nan, found[name][0]), np.where(undefined, np.nan, found[name][1]))
    return found


def _within_one(ends: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return ends[0], np.minimum(ends[1], 1)


def _kappa_ends(
    value: dict[str, Floats], error: dict[str, Floats], ends: tuple[Floats, Floats], chance: float
) -> tuple[Floats, Floats]:
    """The interval of overall accuracy, stretched by how much wider the errors of kappa are."""
    right, kappa = value["overall_accuracy"], value["kappa"]
    factor = 1 / (1 - chance) if chance < 1 else np.nan
    if np.isfinite(error["kappa"]) and error["overall_accuracy"] > _ROUNDING:
        factor = float(error["kappa"] / error["overall_accuracy"])
    return np.maximum(kappa - (right - ends[0]) * factor, -1), np.minimum(kappa + (ends[1] - right) * factor, 1)


def _widened(
    sample: _Sample,
    value: dict[str, Floats],
    ends: dict[str, tuple[Floats, Floats]],
    error: dict[str, Floats],
) -> dict[str, tuple[Floats, Floats]]:
    """Intervals of single points, widened by the root of the design effect of their clusters, at least 1."""
    alone = _Sample(**{**{name: getattr(sample, name) for name in _FIELDS}, "cluster": None})
    indicators = _indicators(alone)
    single = {name: _standard_error(alone, *indicators[name], value[name]) for name in ends}
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = {name: np.where(single[name] > _ROUNDING, error[name] / single[name], np.nan)[()] for name in ends}
    overall = np.where(np.isnan(effect["overall_accuracy"]), 1.0, effect["overall_accuracy"])[()]
    return {
        name: intervals.rescaled(
            value[name], ends[name], np.maximum(np.where(np.isnan(effect[name]), overall, effect[name]), 1)[()]
        )
        for name in ends
    }


_FIELDS = ("stratum", "mapped", "reference", "count", "area", "classes", "unsampled", "of_classes")


def _warnings(sample: _Sample) -> tuple[GroundshiftWarning, ...]:
    draws: NDArray[Any] = sample.size
    if sample.cluster is not None:
        pair = np.unique(np.column_stack([sample.stratum, sample.cluster]), axis=0)
        draws = np.bincount(pair[:, 0], minlength=len(sample.area))
    single = np.flatnonzero((draws == 1) & (sample.area > 0))
    if not single.size:
        return ()
    kind = "point" if sample.cluster is None else "cluster"
    return (
        SampleWarning(
            f"stratum {', '.join(map(str, single))} (counted from 0) has one {kind} only: the variance cannot be "
            "estimated and half widths that depend on it are not defined."
        ),
    )
