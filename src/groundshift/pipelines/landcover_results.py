"""From the planes of a classified area to the files that it leaves: rasters, polygons, picture, report, provenance."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import groundshift
from groundshift.io import cog, manifest, stac_item, styles
from groundshift.io.atomic import atomic, write_text, writing
from groundshift.io.cog import BandTag
from groundshift.io.stac_item import AssetField, BandField
from groundshift.landcover.uncertainty import STEP
from groundshift.model.grid import blocks, pixel_area_m2, pixel_size_m
from groundshift.model.legend import NO_DATA, Legend, legend_of
from groundshift.pipelines import export, map_polygons
from groundshift.pipelines.export import Export, Raster
from groundshift.pipelines.landcover_blocks import look
from groundshift.pipelines.map_polygons import PolygonsJob
from groundshift.pipelines.outdir import MANIFEST, crs_text, earlier_manifest, job_options, remove_stale
from groundshift.pipelines.smoothing import StoredCodes, count_codes
from groundshift.report import landcover_figures, landcover_page, pictures
from groundshift.report.landcover_page import ClassRow, LandcoverReport

if TYPE_CHECKING:
    from groundshift.pipelines.landcover_predict import State

_SIDE = 512


def write(state: State) -> dict[str, Any]:
    """Write everything; the manifest, which says that the rest is complete, comes last.

    Returns:
        The summary of the run as plain values.
    """
    outdir, job = state.outdir, state.job
    legend = legend_of(state.card.names, state.card.codes)
    earlier = earlier_manifest(outdir)
    with writing(outdir):
        (outdir / MANIFEST).unlink(missing_ok=True)
    files: dict[str, tuple[Path, str]] = {}
    try:
        rasters = _rasters(state, legend)
        with state.progress.stage("write", len(rasters)) as advance:
            # The picture is drawn while workers write.
            assert state.smoothed is not None
            small = state.pool.start(look, state.smoothed.codes, lambda _: "making the map small")
            started = [state.pool.start(export.write, work, str) for work in rasters]
            picture = _picture(state, legend, *small.result())
            for each in started:
                each.result()
                advance(1)
        for work in rasters:
            if work.raster.legend:
                styles.write_qml(work.made, styles.classes_qml(work.raster.legend))
            files[work.raster.name] = export.put(work), work.raster.title
        if job.output.polygons is not None:
            path = outdir / Path(job.output.polygons).name
            map_polygons.run(
                PolygonsJob(
                    map=str(files["classes"][0]),
                    out=str(path),
                    probabilities=str(files["probabilities"][0]),
                    simplify_m=2 * (pixel_size_m(state.source.features.geobox) or 0.0),
                    workers=state.pool.workers,
                ),
                state.progress,
            )
            files["polygons"] = path, "regions of one class, as polygons that share their borders"
        with atomic(outdir / "classes.png") as temporary:
            temporary.write_bytes(picture)
        files["picture"] = outdir / "classes.png", "picture of the map"
        summary = _provenance(state, files, legend, picture)
        remove_stale(outdir, earlier, [path for path, _ in files.values()])
        return summary
    except Exception:
        # A part of the results would look like all of them.
        for path, _ in files.values():
            path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.aux.xml").unlink(missing_ok=True)
        raise


def _rasters(state: State, legend: Legend) -> list[Export]:
    assert state.smoothed is not None
    assert state.said is not None
    names, said = state.card.names, state.said
    chances = tuple(BandTag(name, "", "probability of the class, calibrated", STEP) for name in names)
    members = tuple(
        BandTag(name, "", f"1: the class is in the set of {state.job.output.confidence:g} % confidence")
        for name in names
    )
    evidence = (
        BandTag("confidence", "", "highest probability", STEP),
        BandTag("margin", "", "highest probability less the second", STEP),
        BandTag("entropy", "", "of the probabilities, as a share of the greatest: 0 is sure", STEP),
        BandTag("set_size", "", "classes in the confidence set; 0: like nothing in training"),
        BandTag("count", "", "dates with a clear observation, 254 for more"),
    )
    codes = BandTag("class", "", ", ".join(f"{entry.code} {entry.name}" for entry in legend))
    found = (
        Raster("classes", state.smoothed.codes, (codes,), (), NO_DATA, "land-cover map", legend),
        Raster("probabilities", said.chances, chances, (), NO_DATA, "probability of each class"),
        Raster("evidence", said.evidence, evidence, (), NO_DATA, "how sure each pixel is, and of how many dates"),
        Raster("sets", said.sets, members, (), NO_DATA,
               "classes that a pixel may be of", overview="nearest"),
    )  # fmt: skip
    made = []
    for raster in found:
        final = state.outdir / f"{raster.name}{cog.extension(state.job.output.format)}"
        target = state.work / "export" / raster.name / final.name
        geobox = state.source.features.geobox
        made.append(Export(raster, raster.planes, geobox, state.job.output.format, target, final, 1))
    return made


def _picture(state: State, legend: Legend, codes: NDArray[np.uint8], step: int) -> bytes:
    size = pixel_size_m(state.source.features.geobox)
    title = f"Land cover, {len(state.card.codes)} classes"
    figure = landcover_figures.classified_map(
        codes, legend, title, _period(state), None if size is None else size * step
    )
    return pictures.png(figure)


def _period(state: State) -> str:
    times = sorted(scene.sensing_time for scene, _ in state.source.inputs if scene.sensing_time)
    return f"{times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}, {len(times)} scenes" if times else state.card.kind


def _rows(state: State, legend: Legend) -> list[ClassRow]:
    assert state.smoothed is not None
    counts = count_codes(StoredCodes(state.smoothed.codes), state.shape)
    area = pixel_area_m2(state.source.features.geobox)
    total = max(1, int(counts[list(state.card.codes)].sum()))
    f1 = {each["code"]: each["f1"] for each in state.card.report.get("transfer", {}).get("classes", ())}
    return [
        ClassRow(
            code=entry.code,
            name=entry.name,
            color=entry.color[:3],
            pixels=int(counts[entry.code]),
            percent=100 * int(counts[entry.code]) / total,
            area_ha=None if area is None else float(counts[entry.code]) * area / 1e4,
            f1=f1.get(entry.code),
        )
        for entry in legend
        if entry.code != NO_DATA
    ]


def _set_sizes(state: State) -> NDArray[np.int64]:
    """(256,) pixels of each size of the confidence set."""
    assert state.said is not None
    total = np.zeros(256, np.int64)
    for window in blocks(state.shape, _SIDE):
        total += np.bincount(state.said.evidence.read(window, 3).reshape(-1), minlength=256)
    return total


def _provenance(state: State, files: dict[str, tuple[Path, str]], legend: Legend, picture: bytes) -> dict[str, Any]:
    rows, sizes, outdir, card = _rows(state, legend), _set_sizes(state), state.outdir, state.card
    known = max(1, int(sizes[:NO_DATA].sum()))
    transfer = card.report.get("transfer") or None
    geobox = state.source.features.geobox
    report = LandcoverReport(
        created=datetime.now(UTC),
        version=groundshift.__version__,
        kind=card.kind,
        features=len(card.features),
        rows=state.shape[0],
        columns=state.shape[1],
        pixel_size_m=pixel_size_m(geobox),
        crs=crs_text(geobox) or "",
        data_percent=100 * known / (state.shape[0] * state.shape[1]),
        classes=tuple(rows),
        sure_percent=100 * int(sizes[1]) / known,
        confidence=state.job.output.confidence,
        transfer=transfer,
        splits=card.report.get("splits") or {},
        candidates=tuple(card.report.get("candidates") or ()),
        importance=card.report.get("importance") or {},
        picture=picture,
        warnings=tuple((warning.name, str(warning)) for warning in state.warnings),
        files=tuple((path.name, title, path.stat().st_size) for path, title in files.values()),
        inputs=tuple(scene.name for scene, _ in state.source.inputs),
    )
    write_text(outdir / "report.html", landcover_page.render(report))
    files["report"] = outdir / "report.html", "report"
    stac_item.write_item(
        outdir / "item.json",
        geobox=geobox,
        datetimes=[scene.sensing_time for scene, _ in state.source.inputs] or [None],
        assets={key: _asset(state, key, path, title) for key, (path, title) in files.items()},
        properties={
            "processing:software": {"groundshift": groundshift.__version__},
            "groundshift:inputs": list(report.inputs),
        },
    )
    files["item"] = outdir / "item.json", "STAC item"
    summary: dict[str, Any] = {
        "outdir": str(outdir),
        "rows": state.shape[0],
        "columns": state.shape[1],
        "data_percent": report.data_percent,
        "classes": [
            {"code": row.code, "name": row.name, "pixels": row.pixels, "percent": row.percent, "area_ha": row.area_ha}
            for row in rows
        ],
        "confidence_sets": {
            "confidence": state.job.output.confidence,
            "percent_by_size": {str(k): 100 * int(sizes[k]) / known for k in range(len(card.codes) + 1) if sizes[k]},
        },
        "warnings": [{"name": warning.name, "message": str(warning)} for warning in state.warnings],
        "outputs": {key: str(path) for key, (path, _) in files.items()} | {"manifest": str(outdir / MANIFEST)},
        "timings_s": {"total": round(time.monotonic() - state.begin, 3)},
        "peak_memory_bytes": state.pool.peak_rss(),
    }
    record = manifest.Manifest(
        command="landcover predict",
        inputs=state.source.inputs,
        options=job_options(state.job),
        outputs=[path for path, _ in files.values()],
        timings={"total": time.monotonic() - state.begin},
        warnings=[f"{warning.name}: {warning}" for warning in state.warnings],
        extra={"model": {"kind": card.kind, "classes": list(card.names), "report": dict(card.report)},
               "result": {key: summary[key] for key in ("data_percent", "classes", "confidence_sets")}},
    )  # fmt: skip
    manifest.write_manifest(outdir / MANIFEST, record)
    return summary


def _asset(state: State, key: str, path: Path, title: str) -> AssetField:
    names = {
        "classes": ("class",),
        "probabilities": state.card.names,
        "evidence": ("confidence", "margin", "entropy", "set_size", "count"),
        "sets": state.card.names,
    }
    if key in names:
        bands = tuple(BandField(name=name, dtype="uint8", nodata=NO_DATA) for name in names[key])
        return AssetField(path=path, title=title, bands=bands, cog=state.job.output.format == "COG")
    return AssetField(path=path, title=title, roles=("overview",) if path.suffix == ".png" else ("metadata",))
