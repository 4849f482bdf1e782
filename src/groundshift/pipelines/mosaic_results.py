"""From the planes of a composed mosaic to the files that it leaves: rasters, pictures, report, provenance."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import groundshift
from groundshift.composite import display
from groundshift.io import cog, manifest, stac_item
from groundshift.io.atomic import atomic, write_text, writing
from groundshift.io.cog import BandTag
from groundshift.io.planes import Planes
from groundshift.io.stac_item import AssetField, BandField
from groundshift.model.grid import Window, blocks, pixel_area_m2, pixel_size_m
from groundshift.pipelines import export, jobfile, mosaic_check
from groundshift.pipelines.export import Export, Raster
from groundshift.pipelines.mosaic_blocks import NODATA, SCALE
from groundshift.pipelines.mosaic_check import Quality
from groundshift.pipelines.outdir import MANIFEST, crs_text, earlier_manifest, job_options, remove_stale
from groundshift.report import mosaic_page, pictures
from groundshift.report.mosaic_page import MosaicReport, SceneRow

if TYPE_CHECKING:
    from groundshift.pipelines.mosaic import Run

_ROWS = 512
_TOLD = ("data_percent", "lenient_percent", "residual_cloud_percent", "seams", "scenes", "balance")
"""Of the summary, what the manifest keeps."""
_RGB = ("B04", "B03", "B02")
_EVIDENCE = (
    BandTag("count", "", "clear observations of the pixel, by the strict classes"),
    BandTag("scene", "", "number of the scene in scenes.json, from 1; 0: a statistic of several, or nothing"),
    BandTag("date", "", "day of that scene as year month day, 20230813; 0 as for scene"),
    BandTag("quality", "", "1 clear, 2 clear by the lenient classes only, 0 nothing"),
)


def write(state: Run, begin: float) -> dict[str, Any]:
    """Write everything; the manifest, which says that the rest is complete, comes last.

    Returns:
        The summary of the run as plain values.
    """
    files: dict[str, tuple[Path, str]] = {}
    earlier = earlier_manifest(state.outdir)
    with writing(state.outdir):
        (state.outdir / MANIFEST).unlink(missing_ok=True)
    try:
        quality = mosaic_check.check(state)
        with state.stage("write", 4) as advance:
            curve = display.fit(display.merge([display.summarise(*part) for part in _shown(state)]))
            advance(1)
            rasters = _rasters(state, curve)
            state.pool.run(export.write, rasters, lambda _: advance(1), str)
            for work in rasters:
                files[work.raster.name] = export.put(work), work.raster.title
            looks = _pictures(state, curve)
            for name, encoded in looks.items():
                if name in ("mosaic", "count", "scene", "date"):
                    path = state.outdir / f"{name}.png"
                    with atomic(path) as temporary:
                        temporary.write_bytes(encoded)
                    files[f"{name}-png"] = path, f"picture: {name}"
            advance(1)
        summary = _provenance(state, files, looks, quality, begin)
        remove_stale(state.outdir, earlier, [path for path, _ in files.values()])
        return summary
    except Exception:
        # A part of the results would look like all of them.
        for path, _ in files.values():
            path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.aux.xml").unlink(missing_ok=True)
        raise


def _shown_bands(bands: Sequence[str]) -> list[int]:
    """Bands for the eye: true colour where there is one, else the first three, or the first."""
    if all(band in bands for band in _RGB):
        return [bands.index(band) for band in _RGB]
    return [0, 1, 2] if len(bands) >= 3 else [0]


def _shown(state: Run) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Reflectance and validity of strips of the finished mosaic, in the bands for the eye."""
    for window in blocks(state.shape, _ROWS):
        yield _strip(state, window)


def _strip(state: Run, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    assert state.out is not None
    stored = state.out.mosaic.read(window, _shown_bands(state.job.grid.bands))
    return stored.astype(np.float32) * np.float32(SCALE), np.asarray((stored != NODATA).all(axis=0))


def _rasters(state: Run, curve: display.ToneCurve) -> list[Export]:
    assert state.out is not None
    bands = state.job.grid.bands
    tags = [BandTag(band, "reflectance", "surface reflectance", SCALE) for band in bands]
    evidence = "count, scene, date and quality of each pixel"
    found = [
        Raster("mosaic", state.out.mosaic, tuple(tags), (), NODATA, "mosaic, reflectance"),
        Raster("evidence", state.out.evidence, _EVIDENCE, (), -1, evidence, overview="nearest"),
    ]
    if state.job.output.eight_bit:
        shown = _shown_bands(bands)
        planes = Planes.create(state.work / "eight-bit.bin", (len(shown), *state.shape), "uint8")
        for window in blocks(state.shape, _ROWS):
            planes.write(window, display.apply(curve, *_strip(state, window)))
        tags = [BandTag(bands[band]) for band in shown]
        found.append(Raster("mosaic-8bit", planes, tuple(tags), (), 0, "mosaic for the eye"))
    return [_export(state, raster) for raster in found]


def _export(state: Run, raster: Raster) -> Export:
    driver = state.job.output.format
    final = state.outdir / f"{raster.name}{cog.extension(driver)}"
    made = state.work / "export" / raster.name / final.name
    threads = max(1, state.pool.workers // 2)
    return Export(raster, raster.planes, state.plan.geobox, driver, made, final, threads)


# ---- pictures ------------------------------------------------------------------------------------------------------


def _pictures(state: Run, curve: display.ToneCurve) -> dict[str, bytes]:
    """The mosaic, the maps of count and date, and a thumbnail of each scene, as PNG."""
    step = pictures.quicklook_step(state.shape)
    colours, counts, chosen, dates = [], [], [], []
    rows = max(step, _ROWS // step * step)
    for window in blocks(state.shape, rows):
        reflectance, valid = _strip(state, window)
        colours.append(display.apply(curve, _mean(reflectance, valid, step), valid[::step, ::step]))
        assert state.out is not None
        # A view would keep all pixels of all blocks.
        evidence = state.out.evidence.read(window)[:, ::step, ::step].copy()
        counts.append(evidence[0])
        chosen.append(evidence[1])
        dates.append(evidence[2])
    found = {"mosaic": pictures.png(_rgb(np.concatenate(colours, axis=1)))}
    found["count"] = pictures.png(_shaded(np.concatenate(counts)))
    if any(part.any() for part in chosen):
        found["scene"] = pictures.png(_coloured(np.concatenate(chosen), len(state.plan.layers)))
    if any(part.any() for part in dates):
        found["date"] = pictures.png(_dated(np.concatenate(dates), _days(state)))
    shown = _shown_bands(state.job.grid.bands)
    for i, seen in enumerate(state.thinned):
        image = seen.reflectance(shown)
        valid = np.asarray(np.isfinite(image).all(axis=0))
        small = max(1, math.ceil(max(valid.shape) / 240))
        picture = display.apply(curve, np.nan_to_num(image)[:, ::small, ::small], valid[::small, ::small])
        found[f"scene-{i}"] = pictures.png(_rgb(picture))
    return found


def _mean(reflectance: NDArray[np.float32], valid: NDArray[np.bool_], step: int) -> NDArray[np.float32]:
    """Means over cells; of cut cells at the border over what there is."""
    if step == 1:
        return reflectance
    edges = [np.arange(0, n, step) for n in valid.shape]

    def cells(values: NDArray[np.generic]) -> NDArray[np.float64]:
        summed = np.add.reduceat(values.astype(np.float64), edges[0], axis=-2)
        return np.asarray(np.add.reduceat(summed, edges[1], axis=-1))

    count = np.maximum(cells(valid), 1)
    return (cells(np.where(valid, reflectance, 0)) / count).astype(np.float32)


def _rgb(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    three = picture if len(picture) == 3 else np.repeat(picture[:1], 3, axis=0)
    return np.ascontiguousarray(np.moveaxis(three, 0, -1))


def _shaded(count: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Counts as shades of green, nothing as red."""
    most = max(1, int(count.max()))
    share = count.astype(np.float32) / most
    out = np.stack([230 - 200 * share, 240 - 120 * share, 225 - 165 * share], axis=-1)
    out[count == 0] = (200, 40, 40)
    return out.astype(np.uint8)


def scene_colour(index: int, count: int) -> tuple[int, int, int]:
    """A colour for each scene, newest first: far apart in hue for neighbours."""
    import colorsys

    red, green, blue = colorsys.hsv_to_rgb((index * 0.618034) % 1.0, 0.55, 0.9 - 0.25 * index / max(1, count))
    return round(255 * red), round(255 * green), round(255 * blue)


def _coloured(scene: NDArray[np.generic], count: int) -> NDArray[np.uint8]:
    table = np.array([(255, 255, 255), *(scene_colour(i, count) for i in range(count))], np.uint8)
    return table[scene.astype(np.intp)]


def _days(state: Run) -> list[int]:
    """Days of the scenes as year month day, rising, each once."""
    times = [layer.scene.sensing_time for layer in state.plan.layers]
    return sorted({int(f"{time:%Y%m%d}") for time in times if time is not None})


def day_colour(day: int, days: Sequence[int]) -> tuple[int, int, int]:
    """A colour for a day (year month day): from blue, the oldest, over grey to orange, the newest, by time."""
    first, last, own = (datetime.strptime(str(each), "%Y%m%d").toordinal() for each in (days[0], days[-1], day))
    share = (own - first) / (last - first) if last > first else 1.0
    ends = np.array([(33, 82, 152), (222, 222, 214), (214, 96, 20)], float)
    low, high, part = (ends[0], ends[1], 2 * share) if share < 0.5 else (ends[1], ends[2], 2 * share - 1)
    red, green, blue = np.rint(low + (high - low) * part).astype(int).tolist()
    return red, green, blue


def _hyphened(day: int) -> str:
    return f"{day // 10_000:04d}-{day // 100 % 100:02d}-{day % 100:02d}"


def _dated(date: NDArray[np.generic], days: Sequence[int]) -> NDArray[np.uint8]:
    """Days in their colours; white where none is known."""
    table = np.array([(255, 255, 255), *(day_colour(day, days) for day in days)], np.uint8)
    place = np.searchsorted(days, date)
    return np.asarray(table[np.where(date == 0, 0, place + 1)])


# ---- report and provenance -----------------------------------------------------------------------------------------


def _scene_rows(state: Run) -> list[SceneRow]:
    used = np.sum([found.used for found in state.composed], axis=0)
    made = max(1, sum(found.pixels[1] + found.pixels[2] for found in state.composed))
    rows = []
    for i, (layer, stack) in enumerate(zip(state.plan.layers, state.layers, strict=True)):
        scene = layer.scene
        rows.append(
            SceneRow(
                number=i + 1,
                name=scene.name,
                href=scene.href,
                sensing_time=scene.sensing_time,
                tile=scene.tile,
                relative_orbit=scene.relative_orbit,
                clear_percent=100 * (1 - stack.cloud_share),
                used_percent=100 * float(used[i]) / made if used.any() else None,
                gain=stack.gain,
                offset=stack.shift,
                color=scene_colour(i, len(state.plan.layers)),
            )
        )
    return rows


def _provenance(
    state: Run, files: dict[str, tuple[Path, str]], looks: dict[str, bytes], quality: Quality, begin: float
) -> dict[str, Any]:
    mark = time.monotonic()
    rows = _scene_rows(state)
    scenes_path, report_path, item_path = (state.outdir / name for name in ("scenes.json", "report.html", "item.json"))
    write_text(scenes_path, json.dumps(_scene_list(state, rows), indent=2, allow_nan=False) + "\n")
    files["scenes"] = scenes_path, "scenes that were used"
    summary = _summary(state, rows, quality)
    write_text(report_path, mosaic_page.render(_report(state, rows, looks, summary, files, quality)))
    files["report"] = report_path, "report"
    stac_item.write_item(
        item_path,
        geobox=state.plan.geobox,
        datetimes=[layer.scene.sensing_time for layer in state.plan.layers],
        assets={key: _asset(state, key, path, title) for key, (path, title) in files.items()},
        properties={
            "processing:software": {"groundshift": groundshift.__version__},
            "groundshift:inputs": [layer.scene.name for layer in state.plan.layers],
        },
    )
    files["item"] = item_path, "STAC item"
    state.timings["report"] = time.monotonic() - mark
    state.timings["total"] = time.monotonic() - begin
    summary |= {
        "outputs": {key: str(path) for key, (path, _) in files.items()} | {"manifest": str(state.outdir / MANIFEST)},
        "timings_s": {stage: round(seconds, 3) for stage, seconds in state.timings.items()},
        "peak_memory_bytes": state.pool.peak_rss(),
    }
    record = manifest.Manifest(
        command="mosaic",
        inputs=[(layer.scene, checked) for layer, checked in zip(state.plan.layers, state.checked, strict=True)],
        options=job_options(state.job),
        outputs=[path for path, _ in files.values()],
        timings=state.timings,
        warnings=[f"{warning.name}: {warning}" for warning in state.warnings],
        extra={"result": {key: summary[key] for key in _TOLD}},
    )
    manifest.write_manifest(state.outdir / MANIFEST, record)
    return summary


def _asset(state: Run, key: str, path: Path, title: str) -> AssetField:
    bands: tuple[BandField, ...] = ()
    if key == "mosaic":
        bands = tuple(BandField(name=band, dtype="int16", nodata=NODATA) for band in state.job.grid.bands)
    elif key == "evidence":
        bands = tuple(BandField(name=tag.name, dtype="int32") for tag in _EVIDENCE)
    elif key == "mosaic-8bit":
        shown = [state.job.grid.bands[band] for band in _shown_bands(state.job.grid.bands)]
        bands = tuple(BandField(name=band, dtype="uint8", nodata=0) for band in shown)
    if bands:
        return AssetField(path=path, title=title, bands=bands, cog=state.job.output.format == "COG")
    roles = ("overview",) if path.suffix == ".png" else ("metadata",)
    return AssetField(path=path, title=title, roles=roles)


def _scene_list(state: Run, rows: Sequence[SceneRow]) -> dict[str, Any]:
    """What ``scenes.json`` says: a list as select writes it, with what became of each scene."""
    return {
        "version": 1,
        "scenes": [
            {
                "number": row.number,
                "id": row.name,
                "href": row.href,
                "date": "" if row.sensing_time is None else f"{row.sensing_time:%Y-%m-%d}",
                "datetime": None if row.sensing_time is None else row.sensing_time.isoformat(),
                "tile": row.tile or "",
                "optional": False,
                "clear_percent": round(row.clear_percent, 2),
                "used_percent": None if row.used_percent is None else round(row.used_percent, 3),
            }
            for row in rows
        ],
        "dropped": [{"name": name, "reason": reason} for name, reason in state.plan.dropped],
    }


def _summary(state: Run, rows: Sequence[SceneRow], quality: Quality) -> dict[str, Any]:
    total = state.area_px
    strict, lenient = (sum(found.pixels[k] for found in state.composed) for k in (1, 2))
    found = state.balance
    return {
        "outdir": str(state.outdir),
        "bands": list(state.job.grid.bands),
        "method": state.job.compose.method,
        "rows": state.shape[0],
        "columns": state.shape[1],
        "data_percent": 100 * (strict + lenient) / total,
        "lenient_percent": 100 * lenient / total,
        "residual_cloud_percent": quality.cloud_percent,
        "seams": {"pairs": quality.seam_pairs, "step": quality.at_seams, "step_elsewhere": quality.elsewhere},
        "nodata_percent": 100 * (total - strict - lenient) / total,
        "scenes": [
            {"name": row.name, "used_percent": row.used_percent, "clear_percent": row.clear_percent} for row in rows
        ],
        "dropped": [{"name": name, "reason": reason} for name, reason in state.plan.dropped],
        "balance": None
        if found is None
        else {"step_before": found.step_before.tolist(), "step_after": found.step_after.tolist()},
        "warnings": [{"name": warning.name, "message": str(warning)} for warning in state.warnings],
    }


def _report(
    state: Run,
    rows: Sequence[SceneRow],
    looks: dict[str, bytes],
    summary: dict[str, Any],
    files: dict[str, tuple[Path, str]],
    quality: Quality,
) -> MosaicReport:
    grid = state.plan.geobox
    area = pixel_area_m2(grid)
    found = state.balance
    return MosaicReport(
        created=datetime.now(UTC),
        version=groundshift.__version__,
        method=state.job.compose.method,
        bands=state.job.grid.bands,
        rows=state.shape[0],
        columns=state.shape[1],
        pixel_size_m=pixel_size_m(grid),
        crs=crs_text(grid) or "",
        area_ha=None if area is None else state.area_px * area / 1e4,
        data_percent=summary["data_percent"],
        lenient_percent=summary["lenient_percent"],
        scenes=tuple(rows),
        dropped=state.plan.dropped,
        days=tuple((_hyphened(day), day_colour(day, _days(state))) for day in _days(state)),
        step_before=() if found is None else tuple(map(float, found.step_before)),
        step_after=() if found is None else tuple(map(float, found.step_after)),
        seam_steps=tuple(zip(quality.at_seams, quality.elsewhere, strict=True)),
        seam_pairs=quality.seam_pairs,
        cloud_percent=quality.cloud_percent,
        pictures=looks,
        warnings=tuple((warning.name, str(warning)) for warning in state.warnings),
        options=jobfile.values(state.job),
        files=tuple((path.name, title, path.stat().st_size) for path, title in files.values()),
        timings=tuple(state.timings.items()),
    )
