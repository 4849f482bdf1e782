"""From the planes of a finished run to the files that it leaves: rasters, polygons, pictures, report, provenance."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

import groundshift
from groundshift import errors
from groundshift.change import kinds
from groundshift.change.kinds import KindFacts
from groundshift.errors import GroundshiftError, GroundshiftWarning
from groundshift.execution import memory
from groundshift.io import manifest, stac_item, vector
from groundshift.io.atomic import atomic, write_text, writing
from groundshift.io.stac_item import AssetField, BandField
from groundshift.model.grid import pixel_area_m2, pixel_size_m
from groundshift.model.legend import NO_DATA, change_legend
from groundshift.pipelines import export, jobfile, pair_model, stream
from groundshift.pipelines.job import DetectSection
from groundshift.pipelines.outdir import MANIFEST, crs_text, earlier_manifest, job_options, remove_stale
from groundshift.report import content, page, pictures

if TYPE_CHECKING:
    from groundshift.pipelines.change import Run

_MANY = 0.3
_LITTLE = 0.2
_NODATA_POINTS = 2.0
_LAW = {
    "cva": "Change vector analysis of {n} bands: differences after relative normalisation, {how}.",
    "statistical": "Probability of change of {n} bands: one minus the local false-discovery rate of the pair's own "
    "statistics; change is what has a probability of one half.",
    "network": "Probability of change of {n} bands by a network that was taught to look past light, air and season; "
    "change is what has a probability of one half.",
    "ensemble": "Probability of change of {n} bands, by a network and by the pair's own statistics together; change is "
    "what has a probability of one half.",
    "irmad": "Iteratively reweighted multivariate alteration detection (IR-MAD) of {n} bands, {how}.",
}
_HOW = {
    ("full", "region"): "whitened by the robust covariance of no change and by the noise expected of each kind of "
    "ground; regions larger than the pair's own noise makes them are change",
    ("full", "none"): "whitened by the robust covariance of no change; pixel by pixel",
    ("diag", "region"): "band by band in standard deviations of no change; regions larger than the pair's own noise "
    "makes them are change",
    ("diag", "none"): "band by band in standard deviations of no change; pixel by pixel",
}


# ---- before the files ----------------------------------------------------------------------------------------------


def check(state: Run) -> None:
    """Named warnings that only the pixels give rise to; under ``--strict`` nothing is written then."""
    total, compared = state.plan.geobox.shape[0] * state.plan.geobox.shape[1], state.compared_px
    changed = sum(int(strip.table.pixels.sum()) for strip in state.classified)
    if compared and changed > _MANY * compared:
        state.warn(
            errors.ManyChangesWarning(
                f"{100 * changed / compared:.0f} % of what could be compared is called change: the statistics of no "
                "change are in doubt; compare a larger area."
            )
        )
    if state.plan.area is None and compared < _LITTLE * total:
        state.warn(
            errors.CloudWarning(f"only {100 * compared / total:.1f} % of the pixels could be compared at both dates.")
        )
    for i, reader in enumerate(state.readers):
        state.warn(_nodata_warning(state, i) if reader.scene.nodata_percent is not None else None)


def _nodata_warning(state: Run, i: int) -> GroundshiftWarning | None:
    """Does the share of decoded pixels without data agree with the metadata? Only a whole tile can tell."""
    scene = state.readers[i].scene
    own = scene.bands[state.job.grid.bands[0]].geobox
    whole = state.plan.area is None and scene.kind == "SAFE" and own.extent == state.plan.geobox.extent
    total = state.plan.geobox.shape[0] * state.plan.geobox.shape[1]
    share = 100 * sum(strip.empty[i] for strip in state.measured) / total
    if not whole or abs(share - (scene.nodata_percent or 0.0)) <= _NODATA_POINTS:
        return None
    return errors.NoDataWarning(
        f"{scene.name}: {share:.1f} % of the pixels hold no data, its metadata say {scene.nodata_percent:.1f} %: "
        "part of the files may be damaged."
    )


# ---- files ---------------------------------------------------------------------------------------------------------


def write(state: Run, begin: float) -> dict[str, Any]:
    """Write everything; the manifest, which says that the rest is complete, comes last.

    Returns:
        The summary of the run as plain values.
    """
    area_m2 = pixel_area_m2(state.plan.geobox)
    facts = kinds.rows(stream.merged_table(state.classified), state.job.grid.bands, area_m2)
    earlier = earlier_manifest(state.outdir)
    files: dict[str, tuple[Path, str]] = {}
    with writing(state.outdir):
        (state.outdir / MANIFEST).unlink(missing_ok=True)
    try:
        target = export.target_grid(state)
        looks = _write_files(state, facts, target, files)
        files = dict(sorted(files.items(), key=lambda file: file[0] not in state.exports))
        remove_stale(state.outdir, earlier, (path for path, _ in files.values()))
        return _provenance(state, facts, files, looks, target, begin)
    except GroundshiftError:
        # A part of the results would look like all of them.
        for path, _ in files.values():
            path.unlink(missing_ok=True)
        raise


def _write_files(state: Run, facts: Sequence[KindFacts], target: GeoBox, files: dict[str, tuple[Path, str]]) -> _Looks:
    """Rasters, polygons and pictures; each is noted in ``files`` as soon as it is there."""
    rasters = [*export.measured(state), export.classified(state, len(facts))]
    with state.stage("write", len(rasters) + 2) as advance:
        for raster in rasters:
            export.begin(state, raster, max(1, state.pool.workers))
        state.pool.retire()
        files["changes"] = _write_polygons(state, facts, target), "polygons of change"
        memory.release()
        advance(1)
        looks = _pictures(state, facts)
        files |= _write_pictures(state, looks, facts)
        advance(1)
        for raster in rasters:
            files[raster.name] = export.finish(state, raster.name), raster.title
            advance(1)
    return looks


def _write_polygons(state: Run, facts: Sequence[KindFacts], target: GeoBox) -> Path:
    native = state.plan.geobox
    pieces = [strip.pieces for strip in state.classified if strip.pieces is not None]
    state.classified = [replace(strip, pieces=None) for strip in state.classified]
    shapes, code, pixels, mean = vector.merge_measured(pieces)
    pieces.clear()
    area = pixel_area_m2(native)
    p = np.ones(len(code)) if state.fitted is None else state.fitted.p_value(mean.astype(np.float32)).astype(float)
    fields = {
        "kind": code.astype(np.int32),
        "hint": np.array([facts[k - 1].hint for k in code], dtype=object),
        "pixels": pixels,
        "area_m2": pixels * area if area is not None else np.full(len(code), np.nan),
        "mean_amplitude": mean,
        "p_value": p,
    }
    if target != native:
        shapes = vector.reprojected(shapes, native.crs.proj, target.crs.proj)
    path = state.outdir / "changes.gpkg"
    vector.write_polygons(path, shapes, fields, crs=None if target.crs is None else target.crs.to_wkt())
    return path


# ---- pictures ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Looks:
    change: NDArray[np.uint8]
    composition: str
    step: int
    bare: dict[str, bytes]
    """PNG of the pictures without title or legend, encoded once for the files and the report."""


def begin_pictures(state: Run) -> None:
    """Begin the pictures of the two dates, for which everything is there once it is measured."""
    assert state.scratch is not None
    state.dates = state.pool.start(stream.draw_dates, state.scratch, lambda _: "drawing the pictures of the two dates")


def _pictures(state: Run, facts: Sequence[KindFacts]) -> _Looks:
    assert state.dates is not None
    labels, share = (
        np.concatenate(parts) for parts in zip(*(strip.picture for strip in state.classified), strict=True)
    )
    before, after, base = state.dates.result()
    change = pictures.change_picture(labels, base, change_legend(len(facts)), share)
    name = pictures.true_colour(state.job.grid.bands).name
    bare = {"before": before, "after": after, "change": pictures.png(change)}
    return _Looks(change, name, pictures.quicklook_step(tuple(state.plan.geobox.shape)), bare)


def _write_pictures(state: Run, looks: _Looks, facts: Sequence[KindFacts]) -> dict[str, tuple[Path, str]]:
    size = pixel_size_m(state.plan.geobox)
    legend = change_legend(len(facts))
    entries: list[tuple[tuple[int, int, int] | None, str]] = [
        (legend[fact.code].color[:3], _caption(fact)) for fact in facts
    ] or [(None, "nothing changed")]
    scenes = [reader.scene for reader in state.readers]
    when = " to ".join(s.sensing_time.strftime("%Y-%m-%d") if s.sensing_time else s.name for s in scenes)
    slide = pictures.slide(
        looks.change,
        [*entries, (None, "not compared")],
        f"What changed, {when}",
        subtitle=" / ".join(scene.name for scene in scenes),
        pixel_size_m=None if size is None else size * looks.step,
    )
    written = {}
    for name, encoded, title in (
        ("before", looks.bare["before"], "picture before"),
        ("after", looks.bare["after"], "picture after"),
        ("change", pictures.png(slide), "picture of the change"),
    ):
        path = state.outdir / f"{name}.png"
        with atomic(path) as temporary:
            temporary.write_bytes(encoded)
        written[f"{name}-png"] = path, title
    return written


def _caption(fact: KindFacts) -> str:
    size = f"{fact.pixels} pixels" if fact.hectares is None else f"{fact.hectares:,.1f} ha"
    return f"kind {fact.code}: {size}" + (f", {fact.hint}" if fact.hint else "")


# ---- report and provenance -----------------------------------------------------------------------------------------


def _provenance(
    state: Run,
    facts: Sequence[KindFacts],
    files: dict[str, tuple[Path, str]],
    looks: _Looks,
    target: GeoBox,
    begin: float,
) -> dict[str, Any]:
    report_path, item_path = state.outdir / "report.html", state.outdir / "item.json"
    mark = time.monotonic()
    facts_of_page = _report(state, facts, files, looks)
    write_text(report_path, page.render(facts_of_page))
    files["report"] = report_path, "report"
    assets = {key: _asset(state, key, path, title, target, len(facts)) for key, (path, title) in files.items()}
    scenes = [reader.scene for reader in state.readers]
    stac_item.write_item(
        item_path,
        geobox=target,
        datetimes=[scene.sensing_time for scene in scenes],
        assets=assets,
        properties={
            "processing:software": {"groundshift": groundshift.__version__},
            "groundshift:inputs": [scene.name for scene in scenes],
        },
    )
    files["item"] = item_path, "STAC item"
    state.timings["report"] = time.monotonic() - mark
    state.timings["total"] = time.monotonic() - begin
    summary = _summary(state, facts, files)
    record = manifest.Manifest(
        command="change",
        inputs=[(reader.scene, checked) for reader, checked in zip(state.readers, state.checked, strict=True)],
        options=job_options(state.job),
        outputs=[path for path, _ in files.values()],
        timings=state.timings,
        warnings=[f"{warning.name}: {warning}" for warning in state.warnings],
        extra={
            "result": {key: summary[key] for key in ("changed_percent", "nodata_percent", "masked_percent", "kinds")},
            "regions": [vars(level) for level in state.levels],
            "fit": None if state.fitted is None else state.fitted.nochange.report(),
            "peak_memory_bytes": summary["peak_memory_bytes"],
        },
    )
    manifest.write_manifest(state.outdir / MANIFEST, record)
    summary["outputs"]["manifest"] = str(state.outdir / MANIFEST)
    return summary


def _asset(state: Run, key: str, path: Path, title: str, target: GeoBox, count: int) -> AssetField:
    cloud_optimised = state.job.output.format == "COG"
    if key == "CVA":
        bands: tuple[BandField, ...] = (
            BandField(name="amplitude", dtype="float32", unit="sigma", nodata=np.nan),
            BandField(name="angle", dtype="float32", unit="degree", nodata=np.nan),
        )
    elif key == "S2-CD":
        bands = (BandField(name="change", dtype="uint8", nodata=NO_DATA, legend=change_legend(count)),)
    elif key in ("p-value", "PROBABILITY"):
        bands = (BandField(name=key.lower(), dtype="float32", nodata=np.nan),)
    else:
        roles = ("overview",) if path.suffix == ".png" else ("metadata",) if path.suffix == ".html" else ("data",)
        return AssetField(path=path, title=title, roles=roles)
    return AssetField(path=path, title=title, bands=bands, cog=cloud_optimised)


def _shares(state: Run) -> tuple[int, int, int, int]:
    """Pixels: all, compared, masked, changed."""
    total = state.plan.geobox.shape[0] * state.plan.geobox.shape[1]
    masked = sum(strip.masked for strip in state.measured)
    changed = sum(int(strip.table.pixels.sum()) for strip in state.classified)
    return total, state.compared_px, masked, changed


def _summary(state: Run, facts: Sequence[KindFacts], files: dict[str, tuple[Path, str]]) -> dict[str, Any]:
    total, compared, masked, changed = _shares(state)
    return {
        "outdir": str(state.outdir),
        "outputs": {key: str(path) for key, (path, _) in files.items()},
        "before": state.readers[0].scene.name,
        "after": state.readers[1].scene.name,
        "bands": list(state.job.grid.bands),
        "compared_pixels": compared,
        "changed_pixels": changed,
        "changed_percent": 100 * changed / compared if compared else None,
        "nodata_percent": 100 * (total - compared) / total,
        "masked_percent": 100 * masked / total,
        "kinds": [_plain(fact) for fact in facts],
        "shift_px": None if state.shift is None else [state.shift.dx_px, state.shift.dy_px],
        "warnings": [{"name": warning.name, "message": str(warning)} for warning in state.warnings],
        "timings_s": {stage: round(seconds, 3) for stage, seconds in state.timings.items()},
        "peak_memory_bytes": state.pool.peak_rss(),
    }


def _plain(fact: KindFacts) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(fact).items()}


def _report(
    state: Run, facts: Sequence[KindFacts], files: dict[str, tuple[Path, str]], looks: _Looks
) -> content.ChangeReport:
    total, compared, masked, changed = _shares(state)
    geobox, detect = state.plan.geobox, state.job.detect
    area = pixel_area_m2(geobox)
    return content.ChangeReport(
        title=f"What changed: {_when(state)}",
        created=datetime.now(UTC),
        version=groundshift.__version__,
        method=_LAW[detect.method].format(n=len(state.job.grid.bands), how=_how(detect)),
        confidence_percent=detect.confidence,
        least_probability=pair_model.LIMIT if detect.method in pair_model.METHODS else None,
        compared_pixels=compared,
        compared_ha=None if area is None else compared * area / 1e4,
        changed_pixels=changed,
        changed_ha=None if area is None else changed * area / 1e4,
        no_data_percent=100 * (total - compared) / total,
        masked_percent=100 * masked / total,
        grid=content.GridFacts(
            crs=crs_text(geobox), rows=geobox.shape[0], columns=geobox.shape[1], pixel_size_m=pixel_size_m(geobox)
        ),
        bands=state.job.grid.bands,
        inputs=(_input(state, 0), _input(state, 1)),
        kinds=_kind_rows(facts),
        normalisation=_normalisation(state),
        no_change=_no_change(state),
        polar=_polar(state),
        shift_px=None if state.shift is None else (state.shift.dx_px, state.shift.dy_px),
        composition=looks.composition,
        pictures=looks.bare,
        warnings=tuple((warning.name, str(warning)) for warning in state.warnings),
        options=jobfile.values(state.job),
        files=tuple((path.name, title, path.stat().st_size) for path, title in files.values()),
        timings=tuple(state.timings.items()),
        peak_memory_bytes=state.pool.peak_rss(),
    )


def _how(detect: DetectSection) -> str:
    how = _HOW[detect.normalization, "none" if detect.fdr is not None else detect.context]
    return how if detect.fdr is None else f"{how} at a false-discovery rate of {detect.fdr:g}"


def _when(state: Run) -> str:
    times = [reader.scene.sensing_time for reader in state.readers]
    if None in times:
        return " and ".join(reader.scene.name for reader in state.readers)
    return " to ".join(f"{moment:%Y-%m-%d}" for moment in times)


def _input(state: Run, i: int) -> content.InputRow:
    scene, checked = state.readers[i].scene, state.checked[i]
    audited = state.audits[i]
    return content.InputRow(
        role="before" if i == 0 else "after",
        name=scene.name,
        href=scene.href,
        kind=scene.kind,
        platform=scene.platform,
        tile=scene.tile,
        relative_orbit=scene.relative_orbit,
        baseline=None if scene.baseline is None else f"{scene.baseline[0]:02d}.{scene.baseline[1]:02d}",
        sensing_time=scene.sensing_time,
        level=scene.level,
        offset_rule="; ".join(filter(None, (scene.offset_rule, f"audit of the pixels: {audited}" if audited else ""))),
        verification=_verified(state, checked),
        cloud_percent=scene.cloud_percent,
    )


def _verified(state: Run, checked: Sequence[Any]) -> str:
    if not state.job.input.verify:
        return "not verified, as asked (--no-verify)"
    algorithms = sorted({one.algorithm for one in checked if one.algorithm != "none"})
    if not algorithms:
        return "no checksums to verify against; the structure of the files was checked"
    return f"{len(checked)} files verified ({', '.join(algorithms)})"


def _kind_rows(facts: Sequence[KindFacts]) -> tuple[content.KindRow, ...]:
    legend = change_legend(len(facts))
    return tuple(content.KindRow(color=legend[fact.code].color[:3], **vars(fact)) for fact in facts)


def _normalisation(state: Run) -> tuple[content.NormalisationRow, ...]:
    if state.fitted is None:
        return ()
    lines = state.fitted.normalisation
    return tuple(
        content.NormalisationRow(
            band=band,
            gain=float(lines.gain[b]),
            offset=float(lines.offset[b]),
            r2=float(lines.r2[b]) if np.isfinite(lines.r2[b]) else None,
            pixels=lines.pixels,
            before=lines.before[b],
            after=lines.after[b],
            adjusted=lines.adjusted,
        )
        for b, band in enumerate(state.job.grid.bands)
    )


def _no_change(state: Run) -> content.NoChangeFacts | None:
    if state.fitted is None or not state.compared_px:
        return None
    edges = stream.HISTOGRAM_EDGES
    counts = np.sum([strip.histogram for strip in state.measured], axis=0)
    filled = np.flatnonzero(counts)
    if not len(filled):
        return None
    tail = state.fitted.p_value(edges.astype(np.float32)).astype(np.float64)
    first, last = filled[0], filled[-1] + 1
    detect = state.job.detect
    thresholds = [("chi-squared", float(np.sqrt(state.fitted.threshold)))]
    own = float(np.sqrt(state.fitted.nochange.threshold(detect.confidence)))
    thresholds.append(("tail of this pair", own))
    return content.NoChangeFacts(
        edges=edges[first : last + 1],
        counts=counts[first:last],
        law=(-np.diff(tail) / np.diff(edges))[first:last],
        thresholds=tuple(thresholds),
        calibration=tuple(
            content.CalibrationRow(confidence_percent=level, realised_percent=share, pixels=state.fitted.unchanged_px)
            for level, share in state.fitted.unchanged_shares
        ),
    )


def _polar(state: Run) -> content.PolarSample | None:
    if state.fitted is None:
        return None
    sample = np.concatenate([strip.polar for strip in state.classified], axis=1)
    return content.PolarSample(amplitude=sample[0], angle_deg=sample[1], kind=sample[2].astype(np.uint8))
