"""From the planes of a computed stack to the files that it leaves: the raster, its picture, its provenance."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import groundshift
from groundshift.io import manifest, reproject, stac_item
from groundshift.io.atomic import writing
from groundshift.io.cog import BandTag
from groundshift.io.planes import Planes
from groundshift.io.reproject import Method, Reprojection
from groundshift.io.stac_item import AssetField, BandField
from groundshift.model.grid import pixel_size_m
from groundshift.pipelines import export, plot
from groundshift.pipelines.export import Export, Raster

if TYPE_CHECKING:
    from groundshift.pipelines.features import Run

_NEAREST = ("aspect", "roads")
"""Features that are not averaged when the stack is reprojected: directions in a circle, and yes or no."""


def write(state: Run, begin: float) -> dict[str, Any]:
    """Write everything; the manifest, which says that the rest is complete, comes last.

    Returns:
        The summary of the run as plain values.
    """
    job, out = state.job, Path(state.job.output.out)
    item, record = out.with_suffix(".item.json"), out.with_suffix(".manifest.json")
    with writing(out):
        record.unlink(missing_ok=True)
    planes = _projected(state)
    with state.stage("write", 1) as advance:
        work = _export(state, planes)
        state.pool.run(export.write, [work], lambda _: advance(1), str)
        export.put(work)
    files = {"stack": out}
    if job.output.plot is not None:
        files["plot"] = Path(job.output.plot)
        plot.bands(str(out), job.output.plot)
    _item(state, item, files)
    files["item"] = item
    state.timings["total"] = time.monotonic() - begin
    summary = _summary(state, {**files, "manifest": record})
    manifest.write_manifest(
        record,
        manifest.Manifest(
            command="features",
            inputs=[(layer.scene, checked) for layer, checked in zip(state.plan.layers, state.checked, strict=True)],
            options=job.model_dump(mode="json", exclude={"run"}),
            outputs=list(files.values()),
            timings=state.timings,
            warnings=[f"{warning.name}: {warning}" for warning in state.warnings],
            extra={"result": {"features": summary["features"]}, "fitted": state.fitted.to_plain()},
        ),
    )
    return summary


def _projected(state: Run) -> Planes:
    """The stack on the grid of its file."""
    plan = state.plan
    assert state.out is not None
    if plan.target == plan.geobox:
        return state.out
    names = [feature.name for feature in plan.stack.features]
    methods: tuple[Method, ...] = tuple("nearest" if name in _NEAREST else "bilinear" for name in names)
    planes = Planes.create(state.work / "projected.bin", (len(names), *plan.target.shape), "float32")
    job = Reprojection(state.out, plan.geobox, planes, plan.target, methods, np.nan)
    windows = list(job.windows())
    with state.stage("reproject", len(windows)) as advance:
        state.pool.run(reproject.write_block, [(job, window) for window in windows], lambda _: advance(1))
    return planes


def _export(state: Run, planes: Planes) -> Export:
    out = Path(state.job.output.out)
    tags = tuple(BandTag(each.name, each.unit, each.description) for each in state.plan.stack.features)
    raster = Raster(out.stem, planes, tags, (), np.nan, "stack of features")
    made = state.work / "export" / out.name
    return Export(raster, planes, state.plan.target, "COG", made, out, max(1, state.pool.workers))


def _item(state: Run, path: Path, files: dict[str, Path]) -> None:
    bands = tuple(BandField(name=each.name, dtype="float32", unit=each.unit) for each in state.plan.stack.features)
    assets = {"stack": AssetField(path=files["stack"], title="stack of features", bands=bands, cog=True)}
    if "plot" in files:
        assets["plot"] = AssetField(path=files["plot"], title="picture of every band", roles=("overview",))
    stac_item.write_item(
        path,
        geobox=state.plan.target,
        datetimes=[layer.scene.sensing_time for layer in state.plan.layers],
        assets=assets,
        properties={
            "processing:software": {"groundshift": groundshift.__version__},
            "groundshift:inputs": [layer.scene.name for layer in state.plan.layers],
        },
    )


def _summary(state: Run, files: dict[str, Path]) -> dict[str, Any]:
    from groundshift.pipelines.features import scene_shares

    plan = state.plan
    shares = scene_shares(state)
    return {
        "features": [
            {"name": each.name, "unit": each.unit, "data_percent": 100 * count / state.area_px}
            for each, count in zip(plan.stack.features, state.counts, strict=True)
        ],
        "rows": int(plan.target.shape[0]),
        "columns": int(plan.target.shape[1]),
        "resolution_m": pixel_size_m(plan.target),
        "sharpened": [band for group in plan.groups if group.factor > 1 for band in group.bands],
        "scenes": [
            {"name": layer.scene.name, "used_percent": share} for layer, share in zip(plan.layers, shares, strict=True)
        ],
        "dropped": [{"name": name, "reason": reason} for name, reason in plan.groups[0].plan.dropped],
        "warnings": [{"name": warning.name, "message": str(warning)} for warning in state.warnings],
        "outputs": {key: str(path) for key, path in files.items()},
        "timings_s": {stage: round(seconds, 3) for stage, seconds in state.timings.items()},
        "peak_memory_bytes": state.pool.peak_rss(),
    }
