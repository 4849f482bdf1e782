"""The rasters of a series: the probability of each pair, and first date, evidence and maximum of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groundshift.change.series import FIRST
from groundshift.io.atomic import atomic
from groundshift.io.cog import BandTag
from groundshift.io.planes import Planes
from groundshift.model.grid import Window, blocks
from groundshift.model.legend import NO_DATA
from groundshift.pipelines import export, series_plan, series_step
from groundshift.pipelines.export import Export, Raster
from groundshift.pipelines.series_step import COLUMNS, ROWS
from groundshift.report import pictures

if TYPE_CHECKING:
    from groundshift.pipelines.series import Followed, Run

UNKNOWN = -1
"""No data in the raster of days."""
_DAYS = (
    BandTag("first_change", "", "day on which the change was first seen, as year month day: 20230815; 0 none"),
    BandTag("last_unchanged", "", "last clear day before it, likewise"),
)
_EVIDENCE = (
    BandTag("status", "", "0 no change, 1 first seen, 2 confirmed, 255 never compared"),
    BandTag("confirmations", "", "of the next clear dates, that still differ"),
    BandTag("dates", "", "next clear dates that had a say"),
)
_MAXIMUM = BandTag("max_probability", "", "largest probability of change at any date, 0 to 1")
_RAMP = np.array([(247, 247, 242), (253, 208, 120), (232, 107, 45), (150, 20, 40), (70, 0, 40)], np.float32)
_MISSING = (205, 205, 210)


def write_probability(state: Run, found: Followed, name: str, planes: Planes) -> None:
    """Write the probability of one pair, and a picture of it beside it."""
    raster = Raster(
        Path(name).stem,
        planes,
        (export.PROBABILITY,),
        ("bilinear",),
        np.nan,
        "probability of change",
        overview="average",
    )
    with state.stage("write", 1) as advance:
        _put(state, found, raster)
        advance(1)
    picture(planes, (found.folder / name).with_suffix(".png"))


def _put(state: Run, found: Followed, raster: Raster) -> Path:
    final = found.folder / f"{raster.name}.tif"
    made = found.track.parent / "export" / raster.name / final.name
    work = Export(raster, raster.planes, found.view.geobox, "COG", made, final, max(1, state.pool.workers))
    state.pool.run(export.write, [work], describe=str)
    return export.put(work)


def picture(planes: Planes, path: Path) -> None:
    """Write a map of probabilities as PNG: white 0, dark red 1, grey no data; cells of several pixels show the mean."""
    rows, columns = planes.shape[1:]
    step = pictures.quicklook_step((rows, columns))
    parts = [
        _means(np.asarray(planes.read(window, 0), np.float32), step)
        for window in blocks((rows, columns), max(step, ROWS // step * step))
    ]
    with atomic(path) as temporary:
        temporary.write_bytes(pictures.png(coloured(np.concatenate(parts))))


def _means(values: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Means over cells of what there is; NaN where there is nothing."""
    known = np.isfinite(values)
    edges = [np.arange(0, n, step) for n in values.shape]

    def cells(each: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.asarray(np.add.reduceat(np.add.reduceat(each.astype(np.float64), edges[0], 0), edges[1], 1))

    count = cells(known)
    return np.where(count > 0, cells(np.where(known, values, 0)) / np.maximum(count, 1), np.nan).astype(np.float32)


def coloured(share: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Numbers from 0 to 1 (y, x) as colours (y, x, 3); grey where they are not known."""
    place = np.nan_to_num(np.clip(share, 0, 1)) * (len(_RAMP) - 1)
    low = np.minimum(place.astype(np.intp), len(_RAMP) - 2)
    part = (place - low)[..., None]
    out: NDArray[np.uint8] = np.rint(_RAMP[low] * (1 - part) + _RAMP[low + 1] * part).astype(np.uint8)
    out[~np.isfinite(share)] = _MISSING
    return out


# ---- of all dates --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Rows:
    """Some rows of what is known after the last date."""

    track: Path
    chain: str
    window: Window
    days: Planes
    evidence: Planes
    maximum: Planes

    def __str__(self) -> str:
        return f"writing rows {self.window.y0} to {self.window.y1}"


def lay_out(work: _Rows) -> dict[str, int]:
    """Write some rows to the planes of the rasters; returns counts of pixels. A task for a worker."""
    track = series_step.load(work.track, work.window, work.chain, reference=False)
    compared = np.isfinite(track.maximum)
    for band, days in enumerate((track.first, track.before)):
        work.days.write(work.window, np.where(compared, written(days), UNKNOWN), band)
    for band, values in enumerate((track.status, track.confirmations, track.seen)):
        work.evidence.write(work.window, np.where(compared, values, NO_DATA), band)
    work.maximum.write(work.window, track.maximum, 0)
    status = track.status[compared]
    return {
        "compared_px": int(compared.sum()),
        "first_seen_px": int((status == FIRST).sum()),
        "confirmed_px": int((status > FIRST).sum()),
    }


def written(days: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Days as year month day: 20230815; 0 stays."""
    found = np.unique(days)
    told = [0 if day == 0 else int(f"{series_plan.day_of(int(day)):%Y%m%d}") for day in found]
    return np.asarray(np.array(told, np.int32)[np.searchsorted(found, days)])


def write_series(state: Run, found: Followed) -> tuple[dict[str, tuple[Path, str]], dict[str, int]]:
    """Write the rasters of all dates together.

    Returns:
        Files by name with what they are; counts of pixels.
    """
    work = found.track.parent
    shape = int(found.view.geobox.shape[0]), int(found.view.geobox.shape[1])
    rasters = [
        Raster(
            "first_change",
            Planes.create(work / "days.bin", (2, *shape), "int32"),
            _DAYS,
            (),
            UNKNOWN,
            "when change was first seen",
            overview="nearest",
        ),
        Raster(
            "evidence",
            Planes.create(work / "evidence.bin", (3, *shape), "uint8"),
            _EVIDENCE,
            (),
            NO_DATA,
            "status and confirmations of change",
            overview="nearest",
        ),
        Raster(
            "max_probability",
            Planes.create(work / "maximum.bin", (1, *shape), "float32"),
            (_MAXIMUM,),
            (),
            np.nan,
            "largest probability of change at any date",
        ),
    ]
    planes = [raster.planes for raster in rasters]
    rows = [_Rows(found.track, found.chain, window, *planes) for window in blocks(shape, ROWS, COLUMNS)]
    counts = state.pool.run(lay_out, rows, describe=str)
    files: dict[str, Any] = {raster.name: (_put(state, found, raster), raster.title) for raster in rasters}
    picture(planes[2], found.folder / "max_probability.png")
    files["max_probability-png"] = found.folder / "max_probability.png", "picture of the largest probability"
    for each in planes:
        each.delete()
    return files, {key: sum(count[key] for count in counts) for key in counts[0]}
