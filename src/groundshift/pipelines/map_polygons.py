"""A class map as polygons that share their borders: regions, simplified together, with what is known of each."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from groundshift.errors import GridError, InputError, OutputError, UsageError
from groundshift.execution.crew import Crew
from groundshift.execution.progress import Progress, Silent
from groundshift.io import coverage, vector
from groundshift.io.atomic import scratch, sweep
from groundshift.io.classmap import ClassFile, legend_in, open_classes
from groundshift.io.coverage import ClassPolygons, Tile
from groundshift.io.stackfile import StackFile, open_stack
from groundshift.landcover.mmu import MappingUnit
from groundshift.model.grid import Window, blocks, pixel_area_m2, pixel_size_m, same_grid
from groundshift.model.legend import LEGENDS, NO_CHANGE, NO_DATA, Legend, classes_of
from groundshift.pipelines.smoothing import ClassCodes, Probabilities, StoredCodes, count_codes, mapping_unit, pool_for

_SIDE = 1024
_IMPORTS = ("groundshift.pipelines.map_polygons",)
_EQUAL_AREA = "EPSG:6933"
"""World cylindrical equal area on the ellipsoid: areas of maps in degrees are measured there."""


@dataclass(frozen=True, kw_only=True)
class PolygonsJob:
    """One run of ``groundshift polygons``."""

    map: str
    """A class map: 0 none, 255 or its own no-data value no data."""
    out: str
    """``.gpkg``, ``.fgb`` or ``.parquet``."""
    simplify_m: float = 0.0
    """Root of the area of the triangles that are cut off borders, metres; 0: along the pixels. Twice a pixel turns
    stairs into slopes."""
    min_area_m2: float = 0.0
    """Regions below are given to a neighbour first."""
    probabilities: str | None = None
    """A band a class, named after it: they say which neighbour, and how sure each polygon is."""
    unsmoothed: str | None = None
    """The class map whose classes are counted within each polygon; None: ``map``, its small regions included."""
    legend: str | None = None
    """Name in LEGENDS of names and colours that the file does not know."""
    workers: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.simplify_m < math.inf or not 0 <= self.min_area_m2 < math.inf:
            raise UsageError(
                f"--simplify and --min-area are 0 or more, not {self.simplify_m:g} and {self.min_area_m2:g}."
            )
        if self.legend is not None and self.legend not in LEGENDS:
            raise UsageError(f"there is no legend {self.legend!r}: expected one of {', '.join(LEGENDS)}.")
        if self.workers is not None and self.workers < 0:
            raise UsageError(f"--workers is {self.workers}: expected 1 or more, or 0 for none beside this process.")
        vector.check_vector_name(self.out)


def run(job: PolygonsJob, progress: Progress | None = None) -> dict[str, Any]:
    """Write the regions of a class map as polygons.

    Args:
        job: everything that was asked for.
        progress: told of each stage.

    Returns:
        Polygons and area of each class, and the path, as can be written as JSON.

    Raises:
        GroundshiftError: with one sentence; nothing is left of a run that failed.
    """
    progress, source, folder = progress or Silent(), open_classes(job.map), Path(job.out).parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {job.out}: there is no folder {folder}.")
    grid = source.geobox
    if grid.crs is None and (job.simplify_m or job.min_area_m2):
        raise GridError(f"{job.map}: carries no georeference, so metres mean nothing: leave --simplify and --min-area.")
    shape = int(grid.shape[0]), int(grid.shape[1])
    counted = source if job.unsmoothed is None else _on_grid(open_classes(job.unsmoothed), grid, job.map)
    legend = _legend(job, [source, counted], shape)
    stack = None if job.probabilities is None else _on_grid(open_stack(job.probabilities), grid, job.map)
    layers = _layers(stack, legend)
    sweep(folder)
    with scratch(folder) as work, pool_for(shape, job.workers, _IMPORTS) as pool:
        codes: ClassCodes = source
        unit = math.ceil(job.min_area_m2 / (pixel_area_m2(grid) or 1.0) - 1e-9)
        if unit > 1:
            size = MappingUnit(minimum_px=unit)
            codes = StoredCodes(mapping_unit(source, shape, size, work, pool, stack, layers, progress))
        tolerance = job.simplify_m / (pixel_size_m(grid) or 1.0)
        todo = [
            _Block(codes, shape, window, tolerance, counted, stack, layers, _codes_of(legend))
            for window in blocks(shape, _SIDE, _SIDE)
        ]
        tiles = _trace(pool, todo, progress)
    found = coverage.join(tiles, shape[1], grid.affine)
    area = areas_m2(found.geometries, grid)
    fields = _fields(found, area, legend, with_confidence=stack is not None)
    crs = None if grid.crs is None else grid.crs.to_wkt()
    vector.write_polygons(job.out, found.geometries, fields, crs=crs, layer="classes", geometry_type="Polygon")
    return _summary(found, area, legend, job.out)


def areas_m2(geometries: NDArray[np.object_], grid: GeoBox) -> NDArray[np.float64]:
    """Area of each polygon (WKB, in coordinates of the grid) in square metres; NaN without georeference."""
    if grid.crs is None:
        return np.full(len(geometries), np.nan)
    packed, unit = geometries, 1.0
    if grid.crs.geographic:
        packed = vector.reprojected(geometries, grid.crs.proj, CRS.from_user_input(_EQUAL_AREA))
    else:
        unit = float(grid.crs.proj.axis_info[0].unit_conversion_factor)
    area: NDArray[np.float64] = np.asarray(shapely.area(shapely.from_wkb(packed)), np.float64) * unit**2
    return area


def _on_grid(file: Any, grid: GeoBox, beside: str) -> Any:
    if file.geobox.shape != grid.shape or not same_grid(file.geobox, grid):
        raise GridError(f"{file.path}: does not lie on the grid of {beside}: expected the same pixels.")
    return file


def _legend(job: PolygonsJob, sources: Sequence[ClassFile], shape: tuple[int, int]) -> Legend:
    counts = sum(count_codes(source, shape) for source in {source.path: source for source in sources}.values())
    codes = [int(code) for code in np.flatnonzero(counts) if code not in (NO_CHANGE, NO_DATA)]
    if job.legend is None:
        return legend_in(job.map, codes)
    known = {entry.code: entry for entry in classes_of(LEGENDS[job.legend])}
    foreign = [code for code in codes if code not in known]
    if foreign:
        raise InputError(f"{job.map}: holds {', '.join(map(str, foreign))}, no codes of the legend {job.legend!r}.")
    return tuple(known[code] for code in codes)


def _codes_of(legend: Legend) -> tuple[int, ...]:
    return tuple(entry.code for entry in classes_of(legend))


def _layers(stack: StackFile | None, legend: Legend) -> tuple[int, ...]:
    """Code of each layer of the probabilities; 0 for classes that the map does not show."""
    if stack is None:
        return ()
    code_of = {entry.name: entry.code for entry in classes_of(legend)}
    missing = [name for name in code_of if name not in stack.names]
    if missing:
        raise InputError(
            f"{stack.path}: has no band for {', '.join(missing)}: expected one for each class of the map, and it has "
            f"{', '.join(stack.names)}."
        )
    return tuple(code_of.get(name, NO_CHANGE) for name in stack.names)


def _trace(pool: Crew, todo: Sequence[_Block], progress: Progress) -> list[Tile]:
    with progress.stage("trace", len(todo)) as advance:
        return pool.run(_tile, todo, lambda _: advance(1), lambda block: f"tracing {block.window}")


@dataclass(frozen=True)
class _Block:
    codes: ClassCodes
    shape: tuple[int, int]
    window: Window
    tolerance_px: float
    counted: ClassCodes
    probabilities: Probabilities | None
    layers: tuple[int, ...]
    classes: tuple[int, ...]


def _tile(block: _Block) -> Tile:
    window = block.window
    padded = window.padded(1, block.shape)
    around = np.zeros((window.shape[0] + 2, window.shape[1] + 2), np.uint8)
    whole = Window(window.y0 - 1, window.y1 + 1, window.x0 - 1, window.x1 + 1)
    around[padded.within(whole).slices] = block.codes.read(padded)
    confidence = None
    if block.probabilities is not None:
        confidence = _own(block.probabilities.read(window), around[1:-1, 1:-1], block.layers)
    counted = block.counted.read(window)
    return coverage.tile(around, window, block.shape, block.tolerance_px, counted, confidence, block.classes)


def _own(probabilities: NDArray[np.float32], codes: NDArray[np.uint8], layers: Sequence[int]) -> NDArray[np.float32]:
    """Probability of the class of each pixel (y, x)."""
    found = np.full(codes.shape, np.nan, np.float32)
    for layer, code in zip(probabilities, layers, strict=True):
        if code != NO_CHANGE:
            np.copyto(found, layer, where=codes == code)
    return found


def _fields(
    found: ClassPolygons, area: NDArray[np.float64], legend: Legend, *, with_confidence: bool
) -> dict[str, NDArray[Any]]:
    name_of = {entry.code: entry.name for entry in classes_of(legend)}
    pixels = found.measures.pixels
    fields: dict[str, NDArray[Any]] = {
        "class": found.code.astype(np.int32),
        "name": np.array([name_of[int(code)] for code in found.code], dtype=object),
        "pixels": pixels,
        "area_m2": area,
    }
    if with_confidence:
        fields["confidence"] = found.measures.confidence / pixels
    for column, entry in zip(found.measures.classes.T, classes_of(legend), strict=True):
        fields[f"{_slug(entry.name)}_percent"] = 100 * column / pixels
    return fields


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def _summary(found: ClassPolygons, area: NDArray[np.float64], legend: Legend, out: str) -> dict[str, Any]:
    rows = []
    for entry in classes_of(legend):
        own = found.code == entry.code
        total = float(area[own].sum())
        hectares = total / 1e4 if math.isfinite(total) else None
        rows.append({"class": entry.code, "name": entry.name, "polygons": int(own.sum()), "hectares": hectares})
    return {"polygons": len(found.code), "classes": rows, "outputs": {"polygons": os.fspath(out)}}
