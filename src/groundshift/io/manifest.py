"""manifest.json: what went into a run, what came out of it, and how long it took."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from groundshift.io.atomic import write_text, writing
from groundshift.model.scene import Checked, Scene

_PACKAGES = ("groundshift", "numpy", "scipy", "numba", "rasterio", "shapely", "pyproj", "pyogrio", "odc-geo")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of ``manifest.json``."""

    command: str
    """``change`` ..."""
    inputs: Sequence[tuple[Scene, Sequence[Checked]]]
    """Each scene with the files of it that were verified."""
    options: Mapping[str, Any]
    """Every option by name, as in a job file."""
    outputs: Sequence[Path]
    timings: Mapping[str, float]
    """Seconds by stage."""
    warnings: Sequence[str] = ()
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Results worth a number: shares, thresholds, peak memory."""


def write_manifest(path: str | os.PathLike[str], manifest: Manifest, *, force: bool = True) -> None:
    """Write a manifest beside the outputs it lists.

    Raises:
        OutputError: it cannot be written, or an output is not there.
    """
    target = Path(path)
    content = {
        "manifest": 1,
        "command": manifest.command,
        "versions": versions(),
        "inputs": [_input(scene, checked) for scene, checked in manifest.inputs],
        "options": manifest.options,
        "outputs": [_output(file, target.parent) for file in manifest.outputs],
        "timings_s": {stage: round(seconds, 3) for stage, seconds in manifest.timings.items()},
        "warnings": list(manifest.warnings),
        **manifest.extra,
    }
    write_text(target, json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n", force=force)


def versions() -> dict[str, str]:
    """Versions of Python, GDAL and the packages that touch the pixels."""
    import rasterio

    found = {"python": platform.python_version(), "gdal": str(rasterio.__gdal_version__)}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _input(scene: Scene, checked: Iterable[Checked]) -> dict[str, Any]:
    fields = ("name", "href", "kind", "level", "platform", "tile", "relative_orbit", "sensing_time", "offset_rule")
    said = {name: getattr(scene, name) for name in fields}
    said["baseline"] = "{:02d}.{:02d}".format(*scene.baseline) if scene.baseline else None
    said["radiometry"] = {
        name: {"scale": band.scale, "offset": band.offset, "nodata": band.nodata} for name, band in scene.bands.items()
    }
    return said | {"files": [dataclasses.asdict(file) for file in checked]}


def _output(file: Path, folder: Path) -> dict[str, Any]:
    with writing(file):
        return {
            "path": Path(os.path.relpath(file, folder)).as_posix(),
            "bytes": file.stat().st_size,
            "sha256": sha256(file),
        }


def _plain(value: Any) -> Any:
    """The value in JSON's own types; numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime | Path):
        return value.isoformat() if isinstance(value, datetime) else str(value)
    return value
