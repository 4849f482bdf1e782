"""``groundshift doctor``: what this machine has, and whether that is enough."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from groundshift import __version__
from groundshift.cli.execute import print_json
from groundshift.cli.layout import Debug, Json, examples

EXAMPLES = examples(
    "groundshift doctor",
    "groundshift doctor --json",
)
UNAVAILABLE = 69
NEEDED = {
    "JP2OpenJPEG": "reads the bands of SAFE products",
    "GTiff": "reads and writes GeoTIFF",
    "COG": "writes the maps",
    "PNG": "writes the pictures",
    "GPKG": "writes the polygons of change",
}
"""GDAL drivers without which the main job cannot run, and what each is for."""
LITTLE_MEMORY = 2 * 2**30
LITTLE_DISK = 2**30
_PACKAGES = ("numpy", "scipy", "numba", "rasterio", "pyogrio", "pyproj", "shapely", "odc-geo", "xarray")


def doctor(as_json: Annotated[bool, Json] = False, debug: Annotated[bool, Debug] = False) -> None:
    """Show versions, GDAL drivers, memory, cores and disk; exit code 69 when something needed is missing."""
    found = examine()
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found["missing"]:
        raise typer.Exit(UNAVAILABLE)


def examine() -> dict[str, Any]:
    """What is here: ``versions``, ``drivers``, ``machine``, ``missing`` and ``remarks``."""
    versions = {"groundshift": __version__, "Python": platform.python_version(), **_libraries()}
    versions |= {name: _version(name) for name in _PACKAGES}
    drivers = _drivers()
    machine = {
        "system": platform.platform(),
        "cores": cores(),
        "memory_bytes": memory_bytes(),
        "disk_free_bytes": {"current folder": _free(os.curdir), "temporary folder": _free(tempfile.gettempdir())},
    }
    missing = [f"{name}: {versions[name]}" for name in versions if str(versions[name]).startswith("does not load")]
    missing += [f"GDAL driver {name}, which {NEEDED[name]}" for name, there in drivers.items() if not there]
    if drivers.get("JP2OpenJPEG") and not _jp2_decodes():
        missing.append("a JPEG 2000 decoder that gives back what was written")
    return {
        "versions": versions,
        "drivers": drivers,
        "machine": machine,
        "missing": missing,
        "remarks": _remarks(machine),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "does not load: not installed"


def _libraries() -> dict[str, str]:
    """Versions of the C libraries inside the wheels."""

    def of(look: Callable[[], str]) -> str:
        try:
            return look()
        except (ImportError, AttributeError, OSError) as error:
            return f"does not load: {error}"

    return {"GDAL": of(_gdal), "OpenJPEG": of(_openjpeg), "PROJ": of(_proj), "GEOS": of(_geos)}


def _gdal() -> str:
    import rasterio

    return str(rasterio.__gdal_version__)


def _proj() -> str:
    import pyproj

    return str(pyproj.proj_version_str)


def _geos() -> str:
    import shapely

    return str(shapely.geos_version_string)


def _openjpeg() -> str:
    """From the name of the library that the wheel of rasterio carries; GDAL does not tell."""
    import rasterio

    folder = Path(rasterio.__file__).parent
    for file in (*folder.parent.glob("rasterio.libs/libopenjp2*"), *folder.glob(".dylibs/libopenjp2*")):
        if match := re.search(r"\.(\d+\.\d+\.\d+)", file.name):
            return match[1]
    return "unknown (that of the system)"


def _drivers() -> dict[str, bool]:
    """Which of :data:`NEEDED` are there."""
    try:
        import pyogrio
        import rasterio

        with rasterio.Env() as env:
            names = set(env.drivers())
        names |= set(pyogrio.list_drivers())
    except ImportError:
        names = set()
    return {name: name in names for name in NEEDED}


def _jp2_decodes() -> bool:
    """Write a small JPEG 2000 image and read it back."""
    import numpy as np
    from rasterio.errors import RasterioError
    from rasterio.io import MemoryFile
    from rasterio.transform import from_origin

    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(1, 64, 64)
    layout = {"driver": "JP2OpenJPEG", "width": 64, "height": 64, "count": 1, "dtype": "uint16", "crs": "EPSG:32756"}
    try:
        with MemoryFile() as file:
            with file.open(**layout, transform=from_origin(0, 0, 10, 10), QUALITY=100, REVERSIBLE="YES") as dataset:
                dataset.write(pixels)
            with file.open() as dataset:
                return bool((dataset.read() == pixels).all())
    except RasterioError:
        return False


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Memory of the machine, or of the container where that is less; None when nothing says so."""
    found = []
    with contextlib.suppress(ValueError, OSError, AttributeError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            found.append(int(Path(limit).read_text()))
        except (OSError, ValueError):
            continue
    return min(found, default=None)


def _free(folder: str) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _remarks(machine: dict[str, Any]) -> list[str]:
    remarks = []
    memory = machine["memory_bytes"]
    if memory is not None and memory < LITTLE_MEMORY:
        remarks.append(f"{_gib(memory)} of memory: give --memory less than that.")
    for place, free in machine["disk_free_bytes"].items():
        if free is not None and free < LITTLE_DISK:
            remarks.append(f"{_gib(free)} free in the {place}: a whole tile needs about 2 GiB for its results.")
    return remarks


def _gib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.1f} GiB"


def _print(found: dict[str, Any]) -> None:
    for name, version in found["versions"].items():
        print(f"{name + ':':<14}{version}")
    for name, there in found["drivers"].items():
        print(f"{name + ':':<14}{'yes' if there else 'MISSING'} ({NEEDED[name]})")
    machine = found["machine"]
    print(f"{'system:':<14}{machine['system']}")
    print(f"{'cores:':<14}{machine['cores']}")
    print(f"{'memory:':<14}{_gib(machine['memory_bytes'])}")
    for place, free in machine["disk_free_bytes"].items():
        print(f"{'disk:':<14}{_gib(free)} free in the {place}")
    for remark in found["remarks"]:
        print(f"mind: {remark}")
    for name in found["missing"]:
        print(f"missing: {name}")
    print("Something needed is missing." if found["missing"] else "All that is needed is here.")
