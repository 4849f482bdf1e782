"""How much of an area each of many scenes shows clear, from previews: which of them are worth fetching and reading."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from groundshift.clouds.preview import PreviewMasker, PreviewNet
from groundshift.errors import CloudWarning, GroundshiftWarning, NoDataError
from groundshift.execution.progress import Progress, Silent
from groundshift.io import previews, vector
from groundshift.io.atomic import atomic, write_text
from groundshift.io.previews import Glance
from groundshift.model.grid import crop, metres_per_unit, pixel_size_m, snapped, window_of
from groundshift.model.scene import OpenOptions
from groundshift.model.scl import CLOUD, SHADOW, SceneClass
from groundshift.pipelines import mosaic_plan
from groundshift.pipelines.scene_names import expanded
from groundshift.pipelines.select import CELL_M
from groundshift.report import contact, pictures
from groundshift.report.contact import Card

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

SHEET, TABLE, FACTS = "contact-sheet.png", "scenes.csv", "scenes.json"


@dataclass(frozen=True, kw_only=True)
class Screened:
    """What a preview says of one scene, in percent."""

    name: str
    href: str
    date: str | None
    data_percent: float
    """Of the area (the whole scene where none was given) that the scene covers with data."""
    cloud_percent: float | None
    """Of that data: cloud of any kind; None: no data there."""
    shadow_percent: float | None
    """The same for cloud shadow; None where no scene classification tells."""
    haze_percent: float | None
    """The same for haze outside of clouds; None where there are no colours."""
    declared_percent: float | None
    """Cloud of the whole product, by its metadata."""
    clouds_by: str
    """scl, or the name of what looked at the colours."""
    colours_from: str | None
    """preview, overviews, thumbnail or bands."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Screening:
    """What came out, newest scene first."""

    scenes: tuple[Screened, ...]
    dropped: tuple[tuple[str, str], ...]
    """Scenes that were not looked at, and why."""
    outputs: dict[str, str]
    warnings: tuple[GroundshiftWarning, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """One scene on its coarse grid, each (y, x)."""

    rgb: NDArray[np.float32] | None
    """(3, y, x) reflectance."""
    valid: NDArray[np.bool_]
    cloud: NDArray[np.bool_]
    shadow: NDArray[np.bool_] | None
    haze: NDArray[np.bool_] | None
    clouds_by: str
    colours_from: str | None


def run(
    scenes: Sequence[str],
    *,
    aoi: str | None = None,
    dates: tuple[date, date] | None = None,
    folder: Path | None = None,
    reading: OpenOptions | None = None,
    masker: PreviewMasker | None = None,
    progress: Progress | None = None,
) -> Screening:
    """Look at scenes from afar.

    Args:
        scenes: as :func:`groundshift.io.previews.glance` takes them, and folders of them.
        aoi: area of interest, WKT or path; None: each whole scene.
        dates: first and last day.
        folder: where to write contact sheet and tables; None: nowhere.
        reading: how to read what does not say it all.
        masker: looks for clouds where no scene classification tells, and for haze.
        progress: told of each scene.

    Raises:
        NoDataError: no scene is left.
        GroundshiftError: as opening raises it.
    """
    glances = [previews.glance(text, reading or OpenOptions(verify=False)) for text in expanded(scenes)]
    glances.sort(key=lambda each: mosaic_plan.newest_first(each.scene))
    reasons = [(each.scene.name, mosaic_plan.off_days(each.scene, dates)) for each in glances]
    kept = [each for each, (_, reason) in zip(glances, reasons, strict=True) if not reason]
    dropped = [(name, reason) for name, reason in reasons if reason]
    if not kept:
        raise NoDataError(f"no scene of {len(glances)} was sensed in these days: widen --dates.")
    area = vector.read_aoi(aoi) if aoi is not None else None
    found, cards, warnings = [], [], []
    with (progress or Silent()).stage("looking", len(kept)) as advance:
        for each in kept:
            grid, total, inside = _grid(each, area)
            if grid is None:
                dropped.append((each.scene.name, "outside of the area of interest"))
            else:
                seen = look(each, grid, masker or PreviewNet())
                if seen is None:
                    warnings.append(CloudWarning(f"{each.scene.name}: has no preview, colours or classes to look at."))
                    dropped.append((each.scene.name, "nothing to look at"))
                else:
                    found.append(_screened(each, seen, inside, total))
                    cards.append(contact.thinned(_card(found[-1], seen, inside)))
            advance(1)
    if not found:
        some = "; ".join(f"{name}: {reason}" for name, reason in dropped[:3])
        raise NoDataError(f"no scene of {len(glances)} is left to look at ({some}).")
    outputs = _write(folder, found, cards) if folder is not None else {}
    return Screening(scenes=tuple(found), dropped=tuple(dropped), outputs=outputs, warnings=tuple(warnings))


def _grid(each: Glance, area: tuple[BaseGeometry, str | None] | None) -> tuple[GeoBox | None, float, NDArray[np.bool_]]:
    """Coarse grid of a scene where it meets the area, cells of the whole area, and (y, x) cells within it."""
    own, size = each.grid, pixel_size_m(each.grid)
    grid = own
    if size is not None and size < CELL_M:
        bounds = tuple(own.extent.boundingbox)
        grid = snapped(bounds, own.crs, CELL_M / metres_per_unit(own.crs), own.affine * (0, 0))
    if area is None:
        return grid, float(grid.shape[0] * grid.shape[1]), np.ones(grid.shape, bool)
    geometry, crs = area
    whole = Geometry(geometry, crs)
    if crs is not None and grid.crs is not None:
        whole = whole.to_crs(grid.crs)
    if (whole & grid.extent).is_empty:
        return None, 0.0, np.zeros((0, 0), bool)
    cut = vector.aoi_on(geometry, crs, grid)
    grid = crop(grid, window_of(cut.bounds, grid))
    inside = vector.rasterise_mask(cut, grid)
    if not inside.any():
        # An area smaller than a cell.
        inside[:] = True
    cells = whole.area / abs(grid.affine.determinant)
    return grid, max(cells, float(inside.sum())), inside


def look(each: Glance, grid: GeoBox, masker: PreviewMasker) -> Seen | None:
    """What a scene shows on a coarse grid; None where it has neither classes nor colours."""
    classes, picture = each.classification(grid), each.picture(grid)
    if classes is None and picture is None:
        return None
    rgb, valid = picture.on(grid) if picture is not None else (None, np.zeros(grid.shape, bool))
    mask = masker.look(rgb, valid, each.scene.level) if rgb is not None else None
    haze = mask.haze if mask is not None else None
    if classes is None:
        assert mask is not None
        cloud, shadow, known = mask.cloud, None, valid
    else:
        cloud, shadow = np.isin(classes, list(CLOUD)), np.isin(classes, list(SHADOW))
        known = classes != SceneClass.NO_DATA
        if haze is not None:
            haze = haze & ~cloud & known
    return Seen(
        rgb=rgb,
        valid=known,
        cloud=cloud & known,
        shadow=shadow,
        haze=haze,
        clouds_by="scl" if classes is not None else masker.name,
        colours_from=picture.source if picture is not None else None,
    )


def _screened(each: Glance, seen: Seen, inside: NDArray[np.bool_], total: float) -> Screened:
    scene, known = each.scene, seen.valid & inside
    count = int(known.sum())

    def share(mask: NDArray[np.bool_] | None) -> float | None:
        return None if mask is None or not count else 100 * int((mask & known).sum()) / count

    return Screened(
        name=scene.name,
        href=scene.href,
        date=f"{scene.sensing_time:%Y-%m-%d}" if scene.sensing_time else None,
        data_percent=min(100.0, 100 * count / total),
        cloud_percent=share(seen.cloud),
        shadow_percent=share(seen.shadow),
        haze_percent=share(seen.haze),
        declared_percent=scene.cloud_percent,
        clouds_by=seen.clouds_by,
        colours_from=seen.colours_from,
    )


# ---- what is written -----------------------------------------------------------------------------------------------


def _card(found: Screened, seen: Seen, inside: NDArray[np.bool_]) -> Card:
    return Card(
        rgb=seen.rgb,
        valid=seen.valid,
        cloud=seen.cloud,
        inside=inside,
        title="  ".join(
            (found.date or "no date", f"cloud {_percent(found.cloud_percent)}", f"data {_percent(found.data_percent)}")
        ),
        subtitle=found.name,
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} %"


def _write(folder: Path, found: Sequence[Screened], cards: Sequence[Card]) -> dict[str, str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        from groundshift.io.atomic import output_error

        raise output_error(error, folder) from error
    rows = [vars(each) for each in found]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _short(value) for key, value in row.items()} for row in rows)
    write_text(folder / TABLE, table.getvalue())
    write_text(folder / FACTS, json.dumps(rows, indent=2) + "\n")
    with atomic(folder / SHEET) as temporary:
        temporary.write_bytes(pictures.png(contact.sheet(cards)))
    return {"contact sheet": str(folder / SHEET), "table": str(folder / TABLE), "facts": str(folder / FACTS)}


def _short(value: object) -> object:
    return f"{value:.2f}" if isinstance(value, float) else value
