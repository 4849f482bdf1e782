"""Where to look: a stratified random sample of reference points from a map of classes, with a sheet to fill in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.accuracy import design as kernels
from groundshift.accuracy.design import ALLOCATIONS, Allocation, Candidates
from groundshift.errors import InputError, MissingInputError, UsageError
from groundshift.io.atomic import write_text
from groundshift.io.class_maps import ClassMap, open_classes
from groundshift.io.points import write_sheet
from groundshift.io.vector import write_polygons
from groundshift.pipelines.class_areas import MappedClasses, count_classes, row_areas

KIND = "stratified random sample"
"""What the design file calls itself."""
VERSION = 1
_TO_FILL_IN = ("reference", "alternate", "note")
_MOST_POINTS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class DesignJob:
    """A sample that is asked for."""

    map: str
    out: str
    """A GeoPackage; the sheet (``.csv``) and the design (``.strata.json``) lie beside it under the same name."""
    expected_ua: float | Mapping[str, float] = 0.8
    """User's accuracy that is expected, of all classes or by code or name (``other`` for the rest)."""
    standard_error: float = 0.01
    """Of overall accuracy, that the number of points is to reach."""
    points: int | None = None
    """A number of points instead."""
    allocation: Allocation = "rare"
    minimum: int = 50
    """Points of a class, under ``rare``: Olofsson et al. 2014 recommend 50 to 100."""
    seed: int = 0
    force: bool = False

    def __post_init__(self) -> None:
        if self.allocation not in ALLOCATIONS:
            raise UsageError(f"the allocation is {self.allocation!r}: expected one of {', '.join(ALLOCATIONS)}.")
        if not 0 < self.standard_error < 1:
            raise UsageError(f"the standard error is {self.standard_error:g}: expected a share such as 0.01.")
        if self.points is not None and not 1 <= self.points <= _MOST_POINTS:
            raise UsageError(f"{self.points} points are asked for: expected 1 to {_MOST_POINTS}.")
        if self.minimum < 2:
            raise UsageError(f"at least {self.minimum} points a class are asked for: a variance needs 2.")
        if Path(self.out).suffix.lower() != ".gpkg":
            raise UsageError(f"--out is {self.out}: expected a GeoPackage, such as points.gpkg.")


def run(job: DesignJob) -> dict[str, Any]:
    """Draw a sample and write it.

    The points and the sheet do not say what the map shows, so that whoever looks at them is not led by it; the design
    does, and :func:`groundshift.pipelines.assess.run` reads it back.

    Returns:
        What can be written as JSON: points and area by class, inclusion probabilities, paths.

    Raises:
        MissingInputError, ProductError, InputError: the map is missing, damaged or holds something else.
        UsageError: an expected accuracy names a class that the map does not hold.
        OutputError: results cannot be written.
    """
    paths = _paths(job)
    with open_classes(job.map) as source:
        held, _, _ = count_classes(source)
        wanted = _allocated(job, held, _expected(job.expected_ua, held, source.names))
        chosen = _drawn(source, held, wanted, job.seed)
        stated = _design(job, source, held, chosen)
        geobox = source.geobox
    _write(paths, geobox, chosen, stated, job.force)
    told = ("map", "unit", "seed", "allocation", "standard_error", "needed", "strata")
    return {
        **{name: stated[name] for name in told},
        "points": len(stated["points"]),
        "outputs": {k: str(v) for k, v in paths.items()},
    }


def _paths(job: DesignJob) -> dict[str, Path]:
    out = Path(job.out)
    paths = {"points": out, "sheet": out.with_suffix(".csv"), "design": out.with_suffix(".strata.json")}
    for path in paths.values():
        if path.exists() and not job.force:
            raise UsageError(f"{path} exists already: a sheet that was filled in is not replaced without --force.")
    return paths


def _expected(given: float | Mapping[str, float], held: MappedClasses, names: Mapping[int, str]) -> NDArray[np.float64]:
    """One expected accuracy a class, in the order of the codes."""
    if not isinstance(given, Mapping):
        return np.full(len(held.pixels), float(given))
    by_key = {key.strip().lower(): value for key, value in given.items()}
    rest = by_key.pop("other", None)
    found = []
    for code in held.pixels:
        keys = [str(code), *([names[code].lower()] if code in names else [])]
        value = next((by_key[key] for key in keys if key in by_key), rest)
        if value is None:
            raise UsageError(f"no expected accuracy is given for class {label(code, names)}: add it, or other=0.8.")
        found.append(float(value))
        for key in keys:
            by_key.pop(key, None)
    if by_key:
        raise UsageError(
            f"an expected accuracy is given for {', '.join(by_key)}, which the map does not hold: it holds "
            f"{', '.join(label(code, names) for code in held.pixels)}."
        )
    return np.array(found)


def label(code: int, names: Mapping[int, str]) -> str:
    """A class as people read it: ``3 (water)``, or ``3``."""
    return f"{code} ({names[code]})" if code in names else str(code)


def _allocated(job: DesignJob, held: MappedClasses, expected: NDArray[np.float64]) -> dict[int, int]:
    area = np.array(list(held.area.values()))
    total = job.points or kernels.sample_size(area, expected, job.standard_error)
    if job.points is None and job.allocation == "rare":
        total = max(total, int(sum(min(job.minimum, n) for n in held.pixels.values())))
    if total > _MOST_POINTS:
        raise UsageError(f"a standard error of {job.standard_error:g} takes {total} points: ask for less precision.")
    share = kernels.allocate(
        total,
        area,
        how=job.allocation,
        expected_users_accuracy=expected,
        minimum=job.minimum,
        available=list(held.pixels.values()),
    )
    return {code: int(n) for code, n in zip(held.pixels, share, strict=True)}


def _drawn(source: ClassMap, held: MappedClasses, wanted: Mapping[int, int], seed: int) -> Candidates:
    """The second pass over the map. Law: cutting it into other blocks changes no point."""
    area = row_areas(source.geobox)
    relative = area / area.mean()
    weight = {code: held.area[code] / area.mean() for code in wanted}
    limit = kernels.thresholds(wanted, weight)
    while True:
        pool = kernels.merged(
            [
                kernels.candidates(
                    *source.read(window),
                    limit,
                    seed=seed,
                    origin=(window.y0, window.x0),
                    relative_area=relative[window.y0 : window.y1, None],
                )
                for window in source.windows()
            ]
        )
        short = [code for code, n in wanted.items() if np.count_nonzero(pool.code == code) < n]
        if not short:
            return kernels.drawn(pool, wanted)
        limit |= {code: 4 * limit[code] for code in short}


def _design(job: DesignJob, source: ClassMap, held: MappedClasses, chosen: Candidates) -> dict[str, Any]:
    strata = []
    for code, pixels in held.pixels.items():
        points = int(np.count_nonzero(chosen.code == code))
        stratum = {"code": code, "name": source.names.get(code), "area": held.area[code], "pixels": pixels}
        strata.append({**stratum, "points": points, "inclusion_probability": points / pixels})
    triples = zip(chosen.code.tolist(), chosen.row.tolist(), chosen.column.tolist(), strict=True)
    expected = _expected(job.expected_ua, held, source.names)
    needed = kernels.sample_size(list(held.area.values()), expected, job.standard_error)
    return {
        "kind": KIND,
        "version": VERSION,
        "map": job.map,
        "shape": list(source.shape),
        "crs": None if source.geobox.crs is None else str(source.geobox.crs),
        "unit": held.unit,
        "seed": job.seed,
        "allocation": job.allocation,
        "standard_error": job.standard_error,
        "needed": needed,
        "strata": strata,
        "points": [{"id": i, "stratum": c, "row": y, "column": x} for i, (c, y, x) in enumerate(triples, start=1)],
    }


def _write(
    paths: Mapping[str, Path], geobox: GeoBox, chosen: Candidates, stated: Mapping[str, Any], force: bool
) -> None:
    import shapely

    x, y = geobox.affine * (chosen.column + 0.5, chosen.row + 0.5)
    number = np.arange(1, len(x) + 1)
    empty = np.full(len(x), None, object)
    write_text(paths["design"], json.dumps(stated, indent=1) + "\n", force=force)
    write_sheet(paths["sheet"], _sheet(geobox, number, x, y), force=force)
    write_polygons(
        paths["points"],
        shapely.to_wkb(shapely.points(x, y)),
        {"id": number, **dict.fromkeys(_TO_FILL_IN, empty)},
        crs=None if geobox.crs is None else geobox.crs.to_wkt(),
        layer="points",
        geometry_type="Point",
        force=force,
    )


def _sheet(geobox: GeoBox, number: NDArray[np.int64], x: Any, y: Any) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {
        "id": number.tolist(),
        "x": np.round(x, 8).tolist(),
        "y": np.round(y, 8).tolist(),
    }
    if geobox.crs is not None:
        from pyproj import Transformer

        longitude, latitude = Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True).transform(x, y)
        columns |= {"longitude": np.round(longitude, 9).tolist(), "latitude": np.round(latitude, 9).tolist()}
    return columns | {name: [""] * len(number) for name in _TO_FILL_IN}


# --- reading it back -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Design:
    """What a design file says."""

    href: str
    area: dict[int, float]
    """By stratum."""
    pixels: dict[int, int] | None
    names: dict[int, str]
    unit: str
    stratum_of: dict[str, int] | None
    """By the id of a point; None: points are not listed, and the stratum is a column of the reference."""
    cluster_of: dict[str, str] | None = None


def read_design(path: str) -> Design:
    """Read a design: strata with ``code`` and ``area`` (and ``pixels``), points with ``id`` and ``stratum``.

    A design of one's own needs the strata only; its points may carry a ``cluster`` each.

    Raises:
        InputError: the file is missing, no JSON, or lacks something.
    """
    try:
        stated = json.loads(Path(path).read_text("utf-8"))
        strata = stated["strata"]
        area = {int(each["code"]): float(each["area"]) for each in strata}
        pixels = {int(each["code"]): int(each["pixels"]) for each in strata if each.get("pixels") is not None}
        names = {int(each["code"]): str(each["name"]) for each in strata if each.get("name")}
        points = stated.get("points")
        stratum_of = None if points is None else {str(each["id"]): int(each["stratum"]) for each in points}
        clusters = {str(each["id"]): str(each["cluster"]) for each in points or () if "cluster" in each}
    except FileNotFoundError as error:
        raise MissingInputError(f"there is no design {path}.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path}: is no design that can be read ({error}): expected the JSON of groundshift design."
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: {type(error).__name__} {error}: expected strata with code and area, and points with id and "
            "stratum."
        ) from error
    if len(area) != len(strata) or not area or not all(np.isfinite(a) and a >= 0 for a in area.values()):
        raise InputError(
            f"{path}: its strata repeat a code, or have areas that cannot be: expected one area a stratum."
        )
    foreign = set((stratum_of or {}).values()) - set(area)
    if foreign:
        raise InputError(f"{path}: points lie in stratum {min(foreign)}, which is not among its strata.")
    if clusters and len(clusters) != len(stratum_of or ()):
        raise InputError(f"{path}: some points have a cluster and some have none: expected all or none.")
    return Design(
        href=path,
        area=area,
        pixels=pixels if len(pixels) == len(area) else None,
        names=names,
        unit=str(stated.get("unit", "m2")),
        stratum_of=stratum_of,
        cluster_of=clusters or None,
    )
