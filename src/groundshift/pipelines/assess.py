"""How accurate a map of classes is, and how much there is of each class: from reference points, or a reference map."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.accuracy import area as accuracy
from groundshift.accuracy.area import Accuracy, Estimate, Points
from groundshift.accuracy.intervals import LEVEL
from groundshift.errors import GroundshiftWarning, InputError, NoDataError, SampleWarning, UsageError
from groundshift.io.atomic import write_text
from groundshift.io.class_maps import ClassMap, open_classes
from groundshift.io.maps import is_vector
from groundshift.io.points import PointTable, read_points
from groundshift.pipelines.class_areas import MOST_CLASSES, MappedClasses, count_classes, row_areas, tally
from groundshift.pipelines.design import Design, label, read_design

RANDOM = "random"
"""The design of points that were drawn at random, over the whole map or within each class, without a design file."""
_LABEL_FIELDS = ("reference", "class", "code", "label")
_FIGURES = ("users_accuracy", "producers_accuracy", "f1")


@dataclass(frozen=True, kw_only=True)
class AssessJob:
    """What is compared with what."""

    map: str
    reference: str
    """Points (vector file, or CSV), or a raster of classes."""
    design: str | None = None
    """The design file of the points, or ``random``; None: nothing is known of how they were chosen."""
    class_field: str | None = None
    """Column with codes or names; None: the first of reference, class, code, label."""
    alternate_field: str | None = None
    """Column with a second label, for a second matrix in which either may be right."""
    out: str | None = None
    """An HTML page (and the JSON beside it), or a JSON."""
    legend: Mapping[int, str] | None = None
    """Names of the codes; None: those that the file has."""

    def __post_init__(self) -> None:
        if self.out is not None and Path(self.out).suffix.lower() not in (".html", ".json"):
            raise UsageError(f"--out is {self.out}: expected a page such as accuracy.html, or a .json.")


@dataclass(frozen=True, eq=False)
class Assessment:
    """What came out."""

    summary: dict[str, Any]
    """What can be written as JSON."""
    warnings: tuple[GroundshiftWarning, ...]


@dataclass(frozen=True, eq=False)
class _Classes:
    """Classes of the map and of the reference: codes, then names that the map does not have."""

    codes: tuple[int | str, ...]
    names: Mapping[int, str]
    held: MappedClasses

    def title(self, index: int) -> str:
        """As people read it."""
        code = self.codes[index]
        return code if isinstance(code, str) else label(code, self.names)

    @property
    def area(self) -> NDArray[np.float64]:
        """(K,), in the unit of the map."""
        return np.array([self.held.area.get(code, 0.0) if isinstance(code, int) else 0.0 for code in self.codes])


@dataclass(frozen=True, eq=False)
class _Compared:
    """Points that count."""

    classes: _Classes
    mapped: NDArray[np.int64]
    reference: NDArray[np.int64]
    alternate: NDArray[np.int64] | None
    stratum: NDArray[np.int64] | None
    """Index into the strata of the design."""
    cluster: NDArray[np.int64] | None
    facts: dict[str, int]
    """How many points there are, and why some do not count."""
    warnings: tuple[GroundshiftWarning, ...]

    @property
    def counts(self) -> NDArray[np.int64]:
        """(map, reference)."""
        size = len(self.classes.codes)
        return np.bincount(self.mapped * size + self.reference, minlength=size * size).reshape(size, size)


def run(job: AssessJob) -> Assessment:
    """Compare a map of classes with a reference.

    Raises:
        MissingInputError, ProductError, InputError: a file is missing, damaged or holds something else.
        GridError: the two cannot be brought together, or areas cannot be had from the projection.
        NoDataError: nothing is left to compare; or a class of the map has no point.
        UsageError: a design with a reference map.
        OutputError: results cannot be written.
    """
    points = is_vector(job.reference) or Path(job.reference).suffix.lower() == ".csv"
    if not points and (job.design is not None or job.class_field is not None):
        raise UsageError("--design and --class-field belong to reference points; the reference is a raster.")
    with open_classes(job.map) as source:
        names = source.names if job.legend is None else job.legend
        found = _of_points(job, source, names) if points else _of_raster(job, source, names)
    if job.out is not None:
        found.summary["outputs"] = _write(job, found.summary)
    return found


# --- points --------------------------------------------------------------------------------------------------------


def _of_points(job: AssessJob, source: ClassMap, names: Mapping[int, str]) -> Assessment:
    design = None if job.design in (None, RANDOM) else read_design(str(job.design))
    table = read_points(job.reference)
    compared = _compared(job, source, names, table, design)
    warnings = list(compared.warnings)
    unit = compared.classes.held.unit
    if design is not None:
        kind, found, more = _by_design(compared, design)
        unit = design.unit if kind == "stehman" else unit
        warnings += more
        sentence = _sentence_of_design(compared, design, kind)
    elif job.design == RANDOM:
        kind, found = "stratified", _post_stratified(compared, warnings)
        sentence = (
            "Design-based: points said to be drawn at random, over the map or within its classes, weighted by the "
            "mapped area of their class; the figures hold for the whole map if that is so."
        )
    else:
        kind, found = "agreement", accuracy.agreement(compared.counts)
        sentence = (
            "Agreement, not accuracy: nothing says that the points are a probability sample, so the figures hold for "
            "the points and not for the map, intervals cover chance only, and areas cannot be estimated."
        )
    summary = _summary(job, compared.classes, found, unit, areas=kind != "agreement")
    summary |= {
        "design": {
            "kind": "agreement" if kind == "agreement" else "design-based",
            "estimator": kind,
            "sentence": sentence,
        },
        "confusion": compared.counts.tolist(),
        "confusion_unit": "points",
        "points": compared.facts,
    }
    if compared.alternate is not None:
        summary["either_label"] = _either(compared, design, job)
    warnings += found.warnings
    summary["warnings"] = [{"name": each.name, "message": str(each)} for each in warnings]
    return Assessment(summary, tuple(warnings))


def _compared(
    job: AssessJob, source: ClassMap, names: Mapping[int, str], table: PointTable, design: Design | None
) -> _Compared:
    rows, columns = table.pixels(source.geobox)
    held, at, known = count_classes(source, rows, columns)
    field = _label_field(table, job.class_field)
    by_name = {name.strip().lower(): code for code, name in names.items()}
    labels = [_label(value, by_name) for value in table.columns[field]]
    keep = {
        "outside_map": rows < 0,
        "map_has_no_data": (rows >= 0) & ~known,
        "without_label": np.array([each is None for each in labels], bool),
    }
    stratum, cluster = _placed(table, design, at, keep)
    used = ~np.any(list(keep.values()), axis=0)
    facts = {"given": len(labels), "used": int(np.count_nonzero(used)), **_why(keep)}
    if design is not None and design.stratum_of is not None:
        facts["of_design_missing"] = len(design.stratum_of) - int(np.count_nonzero(used))
    if not used.any():
        raise NoDataError(f"{job.reference}: none of its {len(labels)} points can be compared: {_told(facts)}.")
    mine = [each for each, good in zip(labels, used, strict=True) if good and each is not None]
    others = _alternates(job, table, by_name, used)
    classes = _classes(held, names, mine, others)
    place = {code: i for i, code in enumerate(classes.codes)}
    return _Compared(
        classes=classes,
        mapped=np.array([place[int(code)] for code in at[used]], np.int64),
        reference=np.array([place[code] for code in mine], np.int64),
        alternate=None if others is None else np.array([-1 if c is None else place[c] for c in others], np.int64),
        stratum=None if stratum is None else stratum[used],
        cluster=None if cluster is None else cluster[used],
        facts=facts,
        warnings=(*_foreign(job.reference, held, mine, names), *_left_out(job.reference, facts)),
    )


def _why(keep: Mapping[str, NDArray[np.bool_]]) -> dict[str, int]:
    """Every point that does not count, under the first reason."""
    found, told = {}, np.zeros(len(next(iter(keep.values()))), bool)
    for reason, mask in keep.items():
        found[reason] = int(np.count_nonzero(mask & ~told))
        told |= mask
    return found


def _told(facts: Mapping[str, int]) -> str:
    words = {
        "outside_map": "outside the map",
        "map_has_no_data": "where the map has no data",
        "without_label": "without a label",
        "not_in_design": "not in the design",
    }
    return ", ".join(f"{facts[key]} {text}" for key, text in words.items() if facts.get(key)) or "there is none"


def _label_field(table: PointTable, wanted: str | None) -> str:
    have = ", ".join(table.columns) or "none"
    if wanted is not None:
        if wanted not in table.columns:
            raise InputError(f"{table.href}: has no column {wanted!r}: it has {have}.")
        return wanted
    field = next((name for name in _LABEL_FIELDS if name in table.columns), None)
    if field is None:
        raise InputError(f"{table.href}: no column says the class; name it with --class-field: it has {have}.")
    return field


def _label(value: Any, by_name: Mapping[str, int]) -> int | str | None:
    """A code, a name that the map does not know, or None where nothing was filled in."""
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return None
    text = str(value).strip()
    if not text:
        return None
    if text.lower() in by_name:
        return by_name[text.lower()]
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else text


def _alternates(
    job: AssessJob, table: PointTable, by_name: Mapping[str, int], used: NDArray[np.bool_]
) -> list[int | str | None] | None:
    if job.alternate_field is None:
        return None
    values = table.columns[_label_field(table, job.alternate_field)]
    return [_label(value, by_name) for value, good in zip(values, used, strict=True) if good]


def _placed(
    table: PointTable, design: Design | None, at: NDArray[np.int64], keep: dict[str, NDArray[np.bool_]]
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """Stratum and cluster of each point; points that the design does not know are added to what is left out."""
    if design is None:
        return None, None
    index = {code: i for i, code in enumerate(design.area)}
    if design.stratum_of is None:
        own = table.columns.get("stratum")
        of_point = at.tolist() if own is None else [_label(value, {}) for value in own]
        number = np.array([index.get(code, -1) if isinstance(code, int) else -1 for code in of_point], np.int64)
        keep["not_in_design"] = number < 0
        return number, None
    if "id" not in table.columns:
        raise InputError(f"{table.href}: has no column id, by which {design.href} knows its points.")
    names = [_identity(value) for value in table.columns["id"]]
    twice = [name for name, count in Counter(names).items() if count > 1 and name in design.stratum_of]
    if twice:
        raise InputError(
            f"{table.href}: {len(twice)} ids stand more than once, such as {twice[0]}: expected one row a point."
        )
    number = np.array([index.get(design.stratum_of.get(name, -1), -1) for name in names], np.int64)
    keep["not_in_design"] = number < 0
    if design.cluster_of is None:
        return number, None
    order = {name: i for i, name in enumerate(sorted(set(design.cluster_of.values())))}
    return number, np.array([order.get(design.cluster_of.get(name, ""), -1) for name in names], np.int64)


def _identity(value: Any) -> str:
    """An id as the design writes it, whichever type the file holds it as."""
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else str(value).strip()


def _classes(
    held: MappedClasses, names: Mapping[int, str], labels: list[int | str], others: list[int | str | None] | None
) -> _Classes:
    every = {*held.pixels, *labels, *(each for each in others or () if each is not None)}
    codes = sorted(each for each in every if isinstance(each, int))
    codes_and_names: tuple[int | str, ...] = (*codes, *sorted(each for each in every if isinstance(each, str)))
    if len(codes_and_names) > MOST_CLASSES + 1:
        raise InputError(f"map and reference hold {len(codes_and_names)} classes: is the right column named?")
    return _Classes(codes_and_names, names, held)


def _foreign(
    href: str, held: MappedClasses, labels: list[int | str], names: Mapping[int, str]
) -> list[GroundshiftWarning]:
    """Labels of the reference that the map does not show; they count as errors of the map."""
    count = Counter(each for each in labels if each not in held.pixels)
    if sum(count.values()) == len(labels):
        shown = ", ".join(label(code, names) for code in held.pixels)
        raise InputError(
            f"{href}: none of its labels ({', '.join(map(str, list(count)[:8]))}) is a class of the map, which shows "
            f"{shown}: bring both to one legend."
        )
    if not count:
        return []
    listed = ", ".join(f"{each} ({n} points)" for each, n in sorted(count.items(), key=lambda item: str(item[0])))
    return [SampleWarning(f"{href}: the map does not show {listed}: these points count as errors of the map.")]


def _left_out(href: str, facts: Mapping[str, int]) -> list[GroundshiftWarning]:
    found = []
    if facts["used"] < facts["given"]:
        found.append(f"{facts['given'] - facts['used']} of {facts['given']} points do not count: {_told(facts)}")
    if facts.get("of_design_missing"):
        found.append(
            f"points of the design without a usable answer: {facts['of_design_missing']}; it is taken that they are "
            "like the others of their stratum"
        )
    return [SampleWarning(f"{href}: {text}.") for text in found]


# --- estimators ----------------------------------------------------------------------------------------------------


def _by_design(compared: _Compared, design: Design) -> tuple[str, Accuracy, list[GroundshiftWarning]]:
    assert compared.stratum is not None
    strata = list(design.area)
    empty = [c for i, c in enumerate(strata) if design.area[c] > 0 and not np.any(compared.stratum == i)]
    if empty:
        raise NoDataError(
            f"{design.href}: stratum {', '.join(label(c, design.names) for c in empty)} has no point that can be used: "
            "look at more points there; nothing can be said of it."
        )
    if compared.cluster is None and _strata_are_classes(compared, design):
        return "stratified", _named(accuracy.stratified(compared.counts, compared.classes.area), compared), []
    found = accuracy.sampled(
        Points(compared.stratum, compared.mapped, compared.reference, compared.cluster),
        list(design.area.values()),
        len(compared.classes.codes),
        population=None if design.pixels is None else list(design.pixels.values()),
    )
    return ("stehman" if compared.cluster is None else "clusters"), found, _other_area(compared, design)


def _strata_are_classes(compared: _Compared, design: Design) -> bool:
    """True when the sample was drawn for this very map: same classes, same areas, every point in its own."""
    held = compared.classes.held
    if set(design.area) != set(held.area) or design.unit != held.unit:
        return False
    if any(not math.isclose(design.area[code], held.area[code], rel_tol=1e-6) for code in held.area):
        return False
    strata = np.array(list(design.area))
    codes = np.array([code if isinstance(code, int) else -1 for code in compared.classes.codes])
    return bool((strata[compared.stratum] == codes[compared.mapped]).all())


def _other_area(compared: _Compared, design: Design) -> list[GroundshiftWarning]:
    held, sampled = sum(compared.classes.held.area.values()), sum(design.area.values())
    if design.unit != compared.classes.held.unit or math.isclose(held, sampled, rel_tol=0.01):
        return []
    return [
        SampleWarning(
            f"{design.href}: its strata cover {sampled:.6g} {design.unit} and the map {held:.6g}: the figures hold for "
            "what the design covers."
        )
    ]


def _post_stratified(compared: _Compared, warnings: list[GroundshiftWarning]) -> Accuracy:
    counts, area = compared.counts, compared.classes.area
    empty = np.flatnonzero((counts.sum(axis=1) == 0) & (area > 0))
    if empty.size:
        share = 100 * area[empty].sum() / area.sum()
        listed = ", ".join(map(compared.classes.title, empty.tolist()))
        warnings.append(
            SampleWarning(
                f"no point lies in class {listed} of the map, {share:.2g} % of it: it is taken to err like the class "
                "with the most area."
            )
        )
    return _named(accuracy.stratified(counts, area, collapse=True), compared)


def _named(found: Accuracy, compared: _Compared) -> Accuracy:
    """Warnings of the estimator with the names of the classes instead of their numbers."""
    single = np.flatnonzero(compared.counts.sum(axis=1) == 1)
    if not found.warnings or not single.size:
        return found
    listed = ", ".join(map(compared.classes.title, single.tolist()))
    text = f"class {listed} of the map has one point only: half widths that depend on it are not defined."
    return replace(found, warnings=(SampleWarning(text),))


def _sentence_of_design(compared: _Compared, design: Design, kind: str) -> str:
    what = {
        "stratified": "strata are the classes of this map",
        "stehman": "strata are not the classes of this map",
        "clusters": "points were drawn in clusters",
    }[kind]
    return (
        f"Design-based: a probability sample of {compared.facts['used']} points in {len(design.area)} strata ({what}); "
        "figures and areas hold for the whole area that the strata cover."
    )


def _either(compared: _Compared, design: Design | None, job: AssessJob) -> dict[str, Any]:
    """The second matrix: right where the map agrees with the primary or the alternate label."""
    assert compared.alternate is not None
    reference = accuracy.either(compared.mapped, compared.reference, compared.alternate)
    second = replace(compared, reference=reference)
    if design is not None:
        found = _by_design(second, design)[1]
    else:
        found = _post_stratified(second, []) if job.design == RANDOM else accuracy.agreement(second.counts)
    return {
        "overall_accuracy": _entry(found.overall_accuracy),
        "kappa": _entry(found.kappa),
        **{name: _entries(getattr(found, name)) for name in _FIGURES},
        "confusion": second.counts.tolist(),
    }


# --- a reference map -----------------------------------------------------------------------------------------------


def _of_raster(job: AssessJob, source: ClassMap, names: Mapping[int, str]) -> Assessment:
    area_of_row = row_areas(source.geobox)
    together: defaultdict[tuple[int, int], float] = defaultdict(float)
    pixels = {"compared": 0, "map_only": 0, "reference_only": 0}
    with open_classes(job.reference) as reference:
        both_names = {**reference.names, **names}
        for window in source.windows():
            mine, known = source.read(window)
            other, there = reference.read_on(source.geobox, window)
            both = known & there
            pixels["compared"] += int(np.count_nonzero(both))
            pixels["map_only"] += int(np.count_nonzero(known & ~there))
            pixels["reference_only"] += int(np.count_nonzero(there & ~known))
            _add(together, mine, other, both, area_of_row[window.y0 : window.y1])
        if not pixels["compared"]:
            raise NoDataError(f"{job.reference}: no pixel is known in it and in the map.")
        held, _, _ = count_classes(source)
    codes = sorted({code for pair in together for code in pair} | set(held.pixels))
    if len(codes) > MOST_CLASSES + 1:
        raise InputError(f"{job.reference}: map and reference hold {len(codes)} codes: expected maps of classes.")
    classes = _Classes(tuple(codes), both_names, held)
    table = np.zeros((len(codes), len(codes)))
    for (a, b), shared in together.items():
        table[codes.index(a), codes.index(b)] = shared
    warnings = _raster_warnings(job, classes, table, pixels)
    summary = _summary(job, classes, accuracy.census(table), held.unit, areas=True)
    scale = 1e-4 if held.unit == "m2" else 1.0
    for each, area in zip(summary["classes"], table.sum(axis=1), strict=True):
        each["mapped_area"] = scale * float(area)  # of what was compared, as all else here
    summary |= {
        "design": {"kind": "census", "estimator": "census", "sentence": _sentence_of_census(pixels)},
        "confusion": (scale * table).tolist(),
        "confusion_unit": summary["unit"],
        "pixels": pixels,
        "warnings": [{"name": each.name, "message": str(each)} for each in warnings],
    }
    return Assessment(summary, tuple(warnings))


def _add(
    together: defaultdict[tuple[int, int], float],
    mine: NDArray[Any],
    other: NDArray[Any],
    both: NDArray[np.bool_],
    area: NDArray[np.float64],
) -> None:
    """Add the areas of pairs of codes in one block."""
    small = mine.dtype == np.uint8 and other.dtype == np.uint8
    even = bool((area == area[0]).all())
    for part in [slice(None)] if even else (slice(i, i + 1) for i in range(len(area))):
        first, second = mine[part][both[part]], other[part][both[part]]
        base, least = (256, 0) if small else (2**32, -(2**31))
        wide = np.dtype(np.uint16 if small else np.int64)
        pairs: NDArray[Any] = first.astype(wide) * base + (second.astype(wide) - least)
        for pair, count in tally(pairs):
            together[pair // base, pair % base + least] += count * float(area[part.start or 0])


def _sentence_of_census(pixels: Mapping[str, int]) -> str:
    whole = "the whole map" if not pixels["map_only"] else "the part of the map that the reference covers"
    return (
        f"Census: {whole} was compared with a reference map, pixel by pixel, so there is no sampling error; errors of "
        "the reference itself are not in the figures."
    )


def _raster_warnings(
    job: AssessJob, classes: _Classes, table: NDArray[np.float64], pixels: Mapping[str, int]
) -> list[GroundshiftWarning]:
    found: list[GroundshiftWarning] = []
    known = pixels["compared"] + pixels["map_only"]
    if pixels["map_only"]:
        share = 100 * pixels["map_only"] / known
        found.append(SampleWarning(f"{job.reference}: is not known at {share:.3g} % of the pixels of the map."))
    foreign = [i for i, code in enumerate(classes.codes) if code not in classes.held.pixels and table[:, i].any()]
    if foreign:
        listed = ", ".join(map(classes.title, foreign))
        found.append(SampleWarning(f"{job.reference}: holds {listed}, which the map does not show: errors of the map."))
    return found


# --- what is told --------------------------------------------------------------------------------------------------


def _summary(job: AssessJob, classes: _Classes, found: Accuracy, unit: str, *, areas: bool) -> dict[str, Any]:
    scale, shown = (1e-4, "ha") if unit == "m2" else (1.0, unit)
    mapped_scale = 1e-4 if classes.held.unit == "m2" else 1.0
    entries = {name: _entries(getattr(found, name)) for name in _FIGURES}
    area = _entries(found.area, scale)
    return {
        "map": job.map,
        "reference": job.reference,
        "level": LEVEL,
        "unit": shown,
        "overall_accuracy": _entry(found.overall_accuracy),
        "kappa": _entry(found.kappa),
        "classes": [
            {
                "code": code if isinstance(code, int) else None,
                "name": classes.names.get(code) if isinstance(code, int) else code,
                "mapped_area": mapped_scale * float(classes.area[i]),
                **{name: entries[name][i] for name in _FIGURES},
                "area": area[i] if areas else None,
            }
            for i, code in enumerate(classes.codes)
        ],
        "proportions": found.proportions.tolist(),
    }


def _entry(figure: Estimate) -> dict[str, float | None]:
    return _entries(Estimate(*(np.atleast_1d(getattr(figure, name)) for name in _PARTS)))[0]


def _entries(figure: Estimate, scale: float = 1.0) -> list[dict[str, float | None]]:
    columns = {name: [_number(scale * float(v)) for v in getattr(figure, name)] for name in _PARTS}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


_PARTS = ("estimate", "half_width", "low", "high")


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write(job: AssessJob, summary: dict[str, Any]) -> dict[str, str]:
    from groundshift.report.accuracy_page import render

    path = Path(str(job.out))
    told = path.with_suffix(".json")
    outputs = {"json": str(told)} | ({"page": str(path)} if path != told else {})
    write_text(told, json.dumps({**summary, "outputs": outputs}, indent=1, allow_nan=False) + "\n")
    if path != told:
        write_text(path, render(summary, datetime.now(UTC)))
    return outputs
