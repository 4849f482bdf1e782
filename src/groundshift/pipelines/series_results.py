"""From a series that was followed to the files that it leaves beside the probabilities of its pairs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

import groundshift
from groundshift.change.network import ChangeNet
from groundshift.io import manifest, stac_item
from groundshift.io.atomic import atomic, write_text, writing
from groundshift.io.stac_item import AssetField, BandField
from groundshift.io.vector import rasterise_mask
from groundshift.model.grid import crop, pixel_area_m2, pixel_size_m, window_of
from groundshift.model.legend import NO_DATA
from groundshift.model.scene import Reader
from groundshift.nets.card import read_card
from groundshift.pipelines import jobfile, pair_model, series_alerts, series_plan, series_rasters
from groundshift.pipelines.outdir import MANIFEST, crs_text, earlier_manifest, job_options
from groundshift.pipelines.series_alerts import Alert
from groundshift.radiometry.reflectance import to_reflectance
from groundshift.report import animation, pictures, series_page
from groundshift.report.animation import Place
from groundshift.report.series_page import Calibration, FieldRow, PairRow, SeriesReport

if TYPE_CHECKING:
    from groundshift.pipelines.series import Followed, Run
    from groundshift.pipelines.series_pairs import Pair

_SHOWN_PLACES = 4
_SHOWN_ALERTS = 12
_CHIP_PX = (64, 400)
"""Sides of the pictures of a place, at least and at most."""
_ROOM = 2.0
"""Sides of a place, in sides of what changed there."""

Files = dict[str, tuple[Path, str]]


@dataclass(frozen=True, eq=False)
class _Left:
    """What a field of view left."""

    files: Files
    alerts: list[Alert]
    counts: dict[str, int]


def write(state: Run, begin: float) -> dict[str, Any]:
    """Write everything; the manifest, which says that the rest is complete, comes last.

    Returns:
        The summary of the run as plain values.
    """
    earlier = earlier_manifest(state.outdir)
    with writing(state.outdir):
        (state.outdir / MANIFEST).unlink(missing_ok=True)
    left = []
    with state.stage("report", len(state.followed)) as advance:
        for found in state.followed:
            left.append(_write_field(state, found))
            advance(1)
    files = [path for each in left for path, _ in each.files.values()]
    _remove_stale(state.outdir, earlier, files)
    return _provenance(state, left, begin)


def _write_field(state: Run, found: Followed) -> _Left:
    files, counts = series_rasters.write_series(state, found)
    for pair in found.pairs:
        if pair.file:
            name = Path(pair.file)
            files[name.stem] = found.folder / name, f"probability of change, {pair.before} to {pair.after}"
            files[f"{name.stem}-png"] = found.folder / name.with_suffix(".png"), "picture of it"
    files["alerts"], alerts = _alerts(state, found)
    if state.job.output.animation and alerts:
        path = found.folder / "largest.gif"
        with atomic(path) as temporary:
            temporary.write_bytes(animation.animate(_places(state, found, alerts)))
        files["largest"] = path, "the largest changes, before and after"
    path = found.folder / "item.json"
    stac_item.write_item(
        path,
        geobox=found.view.geobox,
        datetimes=[reader.scene.sensing_time for reader in _usable(found)],
        assets={key: _asset(key, *file) for key, file in files.items()},
        properties={
            "processing:software": {"groundshift": groundshift.__version__},
            "groundshift:inputs": [reader.scene.name for reader in _usable(found)],
        },
    )
    files["item"] = path, "STAC item"
    return _Left(files, alerts, counts)


def _alerts(state: Run, found: Followed) -> tuple[tuple[Path, str], list[Alert]]:
    path, alerts = series_alerts.write(state, found)
    return (path, "alerts: regions that changed on one day"), alerts


def _usable(found: Followed) -> list[Reader]:
    return [reader for reader, judged in zip(found.view.readers, found.judged, strict=True) if judged.usable]


def _asset(key: str, path: Path, title: str) -> AssetField:
    bands: tuple[BandField, ...] = ()
    if path.suffix != ".tif":
        roles = ("overview",) if path.suffix in (".png", ".gif") else ("data",)
        return AssetField(path=path, title=title, roles=roles)
    if key == "first_change":
        bands = tuple(
            BandField(name=name, dtype="int32", nodata=series_rasters.UNKNOWN)
            for name in ("first_change", "last_unchanged")
        )
    elif key == "evidence":
        bands = tuple(
            BandField(name=name, dtype="uint8", nodata=NO_DATA) for name in ("status", "confirmations", "dates")
        )
    else:
        name = "max_probability" if key == "max_probability" else "probability"
        bands = (BandField(name=name, dtype="float32", nodata=np.nan),)
    return AssetField(path=path, title=title, bands=bands, cog=True)


def _remove_stale(outdir: Path, earlier: dict[str, Any] | None, files: Sequence[Path]) -> None:
    """Remove what an earlier run lists as its results and this one does not make."""
    now = {path.relative_to(outdir).as_posix() for path in files} | {"report.html"}
    for listed in (earlier or {}).get("outputs", ()):
        name = Path(str(listed.get("path", "")))
        if name.as_posix() not in now and not name.is_absolute() and ".." not in name.parts:
            (outdir / name).unlink(missing_ok=True)
    for folder in outdir.iterdir():
        if folder.is_dir() and not folder.name.startswith(".") and not any(folder.iterdir()):
            folder.rmdir()


# ---- the largest changes -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Chip:
    """One scene around one place."""

    reader: Reader
    bands: tuple[str, str, str]
    geobox: GeoBox

    def __str__(self) -> str:
        return f"reading a picture of {self.reader.scene.name}"


def read_chip(work: _Chip) -> NDArray[np.float32]:
    """(3, y, x) reflectance, NaN where there are no data. A task for a worker."""
    images = []
    for band in work.bands:
        pixels, info = work.reader.read([band], work.geobox), work.reader.scene.bands[band]
        reflectance = to_reflectance(pixels.dn, info.scale, info.offset)[0]
        images.append(np.where(pixels.valid[0], reflectance, np.float32(np.nan)))
    return np.stack(images)


def _places(state: Run, found: Followed, alerts: list[Alert]) -> list[Place]:
    """The places of the largest alerts, read from the scenes of the day and of the usable date before."""
    geobox, usable = found.view.geobox, _usable(found)
    bands = pictures.true_colour(state.job.grid.bands).bands
    days = [f"{reader.scene.sensing_time:%Y-%m-%d}" for reader in usable]
    shown, work, masks = series_alerts.largest(alerts, _SHOWN_PLACES), [], []
    for alert in shown:
        grid = _around(alert, geobox)
        after = days.index(alert.date)
        masks.append(rasterise_mask(alert.shape, grid))
        work += [_Chip(usable[i], bands, grid) for i in (max(0, after - 1), after)]
    images = state.pool.run(read_chip, work, describe=str)
    return [
        Place(
            before=images[2 * i],
            after=images[2 * i + 1],
            outline=mask,
            title=f"{alert.area_m2 / 1e4:.3g} ha, {alert.kind}",
            dates=(days[max(0, days.index(alert.date) - 1)], alert.date),
        )
        for i, (alert, mask) in enumerate(zip(shown, masks, strict=True))
    ]


def _around(alert: Alert, geobox: GeoBox) -> GeoBox:
    """A square of the grid around an alert, cut at its border."""
    window = window_of(alert.shape.bounds, geobox)
    side = int(np.clip(round(_ROOM * max(window.shape)), *_CHIP_PX))
    y, x = (window.y0 + window.y1) // 2, (window.x0 + window.x1) // 2
    middle = replace(window, y0=y, y1=y + 1, x0=x, x1=x + 1)
    return crop(geobox, middle.padded(side // 2, (int(geobox.shape[0]), int(geobox.shape[1]))))


# ---- report and provenance -----------------------------------------------------------------------------------------


def _provenance(state: Run, left: list[_Left], begin: float) -> dict[str, Any]:
    fields = [_field_summary(state, found, each) for found, each in zip(state.followed, left, strict=True)]
    skipped = [
        {"date": date, "name": reader.scene.name, "reason": judged.reason, "lost": judged.lost}
        for found in state.followed
        for date, reader, judged in zip(found.view.dates, found.view.readers, found.judged, strict=True)
        if not judged.usable
    ]
    failed = [{"field": found.view.name, **asdict(each)} for found in state.followed for each in found.failed]
    dropped = [{"name": name, "reason": reason} for name, reason in state.plan.dropped]
    files = [file for each in left for file in each.files.values()]
    summary: dict[str, Any] = {
        "outdir": str(state.outdir),
        "bands": list(state.job.grid.bands),
        "method": state.job.detect.method,
        "pair_rule": series_plan.PAIR_RULE[state.job.input.orbits],
        "fields": fields,
        "skipped": skipped,
        "failed": failed,
        "dropped": dropped,
        "warnings": [{"name": warning.name, "message": str(warning)} for warning in state.warnings],
    }
    path = state.outdir / "report.html"
    write_text(path, series_page.render(_report(state, left, summary, files)))
    files.append((path, "report"))
    state.timings["total"] = time.monotonic() - begin
    summary |= {
        "outputs": {**_outputs(state, left), "report": str(path), "manifest": str(state.outdir / MANIFEST)},
        "timings_s": {stage: round(seconds, 3) for stage, seconds in state.timings.items()},
        "peak_memory_bytes": state.pool.peak_rss(),
    }
    record = manifest.Manifest(
        command="series",
        inputs=[
            (reader.scene, judged.checked)
            for found in state.followed
            for reader, judged in zip(found.view.readers, found.judged, strict=True)
        ],
        options=job_options(state.job),
        outputs=[path for path, _ in files],
        timings=state.timings,
        warnings=[f"{warning.name}: {warning}" for warning in state.warnings],
        extra={"result": {key: summary[key] for key in ("pair_rule", "fields", "skipped", "failed", "dropped")}},
    )
    manifest.write_manifest(state.outdir / MANIFEST, record)
    return summary


def _outputs(state: Run, left: list[_Left]) -> dict[str, str]:
    """Paths by name; with the field of view where there are several."""
    many = len(state.followed) > 1
    return {
        f"{found.view.name}/{key}" if many else key: str(path)
        for found, each in zip(state.followed, left, strict=True)
        for key, (path, _) in each.files.items()
    }


def _field_summary(state: Run, found: Followed, left: _Left) -> dict[str, Any]:
    confirmed = series_alerts.confirmed(left.alerts)
    return {
        "name": found.view.name,
        "folder": str(found.folder),
        "rows": int(found.view.geobox.shape[0]),
        "columns": int(found.view.geobox.shape[1]),
        "dates": [
            {
                "date": date,
                "name": reader.scene.name,
                "usable": judged.usable,
                "cloud_percent": round(judged.cloud_percent, 3),
                "data_percent": round(judged.data_percent, 3),
            }
            for date, reader, judged in zip(found.view.dates, found.view.readers, found.judged, strict=True)
        ],
        "pairs": [asdict(pair) | {"changed_percent": _changed_percent(pair)} for pair in found.pairs],
        **left.counts,
        "alerts": len(left.alerts),
        "alerts_confirmed": len(confirmed),
        "alerts_ha": sum(alert.area_m2 for alert in left.alerts) / 1e4,
        "alerts_confirmed_ha": sum(alert.area_m2 for alert in confirmed) / 1e4,
    }


def _changed_percent(pair: Pair) -> float | None:
    return 100 * pair.changed_px / pair.compared_px if pair.compared_px else None


def _report(state: Run, left: list[_Left], summary: dict[str, Any], files: Sequence[tuple[Path, str]]) -> SeriesReport:
    rows = []
    for found, each, told in zip(state.followed, left, summary["fields"], strict=True):
        area = pixel_area_m2(found.view.geobox)
        gif = each.files.get("largest")
        rows.append(
            FieldRow(
                name=found.view.name,
                rows=told["rows"],
                columns=told["columns"],
                pixel_size_m=pixel_size_m(found.view.geobox),
                crs=crs_text(found.view.geobox) or "",
                usable_dates=len(_usable(found)),
                compared_px=each.counts["compared_px"],
                compared_ha=None if area is None else each.counts["compared_px"] * area / 1e4,
                confirmed_ha=told["alerts_confirmed_ha"],
                first_seen_ha=told["alerts_ha"] - told["alerts_confirmed_ha"],
                alerts=tuple(series_alerts.largest(each.alerts, _SHOWN_ALERTS)),
                alert_count=len(each.alerts),
                pairs=tuple(_pair_row(found, pair) for pair in found.pairs),
                maximum=each.files["max_probability-png"][0].read_bytes(),
                animation=None if gif is None else gif[0].read_bytes(),
            )
        )
    return SeriesReport(
        created=datetime.now(UTC),
        version=groundshift.__version__,
        method=state.job.detect.method,
        bands=state.job.grid.bands,
        threshold=state.job.detect.threshold,
        confirm=state.job.detect.confirm,
        pair_rule=summary["pair_rule"],
        fields=tuple(rows),
        skipped=tuple((each["date"], each["name"], each["reason"]) for each in summary["skipped"]),
        dropped=tuple((each["name"], each["reason"]) for each in summary["dropped"]),
        calibration=_calibration(state),
        warnings=tuple((warning.name, str(warning)) for warning in state.warnings),
        options=jobfile.values(state.job),
        files=tuple((path.relative_to(state.outdir).as_posix(), what, path.stat().st_size) for path, what in files),
        timings=tuple(state.timings.items()),
    )


def _calibration(state: Run) -> Calibration | None:
    """What the card of the network says of the probabilities of the method, or of a network of one's own."""
    detect = state.job.detect
    network = pair_model.network_of(detect.method, detect.network_weights)
    figures = read_card((network or ChangeNet()).weights).figures
    for where, methods in (figures.get("calibration") or {}).items():
        if told := methods.get(detect.method):
            bins = zip(*(told["reliability"][key] for key in ("confidence", "accuracy", "count")), strict=True)
            points = tuple((_number(one), _number(other), _number(count)) for one, other, count in bins)
            return Calibration(where=where, brier=told["brier"], ece=told["ece"], curve=points)
    for where, told in figures.items() if network is not None else ():
        if isinstance(told, Mapping) and "brier" in told:
            return Calibration(where=where, brier=float(told["brier"]), ece=None)
    return None


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _pair_row(found: Followed, pair: Pair) -> PairRow:
    picture = (found.folder / pair.file).with_suffix(".png").read_bytes() if pair.file else None
    return PairRow(
        before=pair.before,
        after=pair.after,
        days=pair.days,
        joint_percent=pair.joint_percent,
        changed_percent=_changed_percent(pair),
        reason=pair.reason,
        notes=(*pair.notes, *_not_computed(found, pair)),
        picture=picture,
    )


def _not_computed(found: Followed, pair: Pair) -> tuple[str, ...]:
    return tuple(f"{one.what} not computed: {one.reason}" for one in found.failed if one.date == pair.after)
