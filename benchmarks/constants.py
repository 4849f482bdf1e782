"""What things cost, for ``groundshift estimate``: measures processor seconds and bytes, writes them with their origin.

Everything runs on one thread, in this process; of several tries the fastest counts. What cannot be measured here
(sizes of real products, how many tiles there are) stands in this file with its source.

    python benchmarks/constants.py [--write] [--tries 3]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

import _units
import groundshift
import inputs
from _tables import table
from groundshift.change.network import ChangeNet
from groundshift.io import cog, opening
from groundshift.io.cog import BandTag
from groundshift.io.planes import Planes
from groundshift.model.grid import Window, blocks
from groundshift.model.scene import OpenOptions
from groundshift.pipelines import ingest, series_scenes
from groundshift.pipelines.estimate import COSTS
from groundshift.pipelines.series_job import SeriesCloudsSection

_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "GDAL_NUM_THREADS",
)
SOURCES: dict[str, tuple[float, str]] = {
    "stored_bytes_per_px": (
        0.98,
        "a 10 m band of a real tile, lossless JPEG 2000: 118 MB for 120.6 Mpx; other bands are taken to be alike",
    ),
    "product_bytes": (
        0.95e9,
        "between 0.87 GB (11.3 TB for 13,000 Level-2A products, Descartes Labs) and 1.1 GB (500 TB for 450,000, "
        "Impact Observatory)",
    ),
    "tiles_per_km2": (
        1.4e-4,
        "18,952 tiles for all land without Antarctica (list of the Harmonized Landsat Sentinel-2 project), 135 M km2",
    ),
    "worker_bytes": (
        4.6e8,
        "largest of the workers of a series of 10980 columns, four bands, ensemble (benchmarks/series_memory.py)",
    ),
    "driver_bytes": (
        2.05e8,
        "largest of the first process of such a series, while its pictures are drawn (benchmarks/series_memory.py)",
    ),
    "compared_again": (
        1.0,
        "units of a third or later date that are compared a second time, with what pixels showed at an earlier date, "
        "since some were cloudy or are under suspicion: all, in generated series with a few percent of cloud",
    ),
    "scratch_bytes_per_px": (
        8.0,
        "counted: of each band three dates as uint16 and the reference that is kept between dates",
    ),
}
"""Not measured here: value and where it is from."""


def fastest(function: Callable[[], Any], tries: int) -> float:
    """Processor seconds of the fastest of some calls, after one that does not count."""
    function()
    found = []
    for _ in range(tries):
        begin = time.process_time()
        function()
        found.append(time.process_time() - begin)
    return min(found)


def decoding(tries: int) -> tuple[float, str]:
    """Seconds per megapixel of a JPEG 2000 band."""
    product = inputs.products(inputs.default_folder(), 1098)[0]
    file = next(path for path in inputs.images(product) if path.name.endswith("_B08_10m.jp2"))

    def decode() -> None:
        with rasterio.Env(GDAL_NUM_THREADS="1", GDAL_CACHEMAX=64 * 2**20), rasterio.open(file) as dataset:
            dataset.read(1)

    return fastest(decode, tries) / 1.098**2, "a generated 10 m band, lossless, tiles of 1024, decoded as a whole"


def preparing(folder: Path, tries: int) -> tuple[float, str]:
    """Seconds per megapixel from files to planes and a mask; what was decoded in the first try stays so."""
    reader = opening.open_scene(str(inputs.products(inputs.default_folder(), 1098)[0]), OpenOptions())
    box, clouds = reader.scene.bands[inputs.BANDS[0]].geobox, SeriesCloudsSection()
    usable = Planes.create(folder / "usable.bin", (1, *box.shape), "uint8")
    stack = ingest.prepare(reader, inputs.BANDS, box, folder, "scene", fresh=True)

    def prepare() -> None:
        for file in reader.files((*inputs.BANDS, "SCL")):
            reader.verify(file)
        for unit in ingest.units(reader, inputs.BANDS, box, stack, clouds, None):
            ingest.run_unit(unit)
        for window in blocks(usable.shape[1:], 512, 2048):
            series_scenes.look(series_scenes._Look(stack, window, usable, 4))

    told = (
        "a generated product of four bands: checksums, planes, a mask with clouds grown, a look at the darkest pixels"
    )
    return fastest(prepare, tries) / 1.098**2, told


def writing(folder: Path, probability: np.ndarray, tries: int) -> tuple[float, float, str]:
    """Seconds per megapixel and bytes per pixel of a raster of probabilities."""
    rows, columns = probability.shape
    planes = Planes.create(folder / "probability.bin", (1, rows, columns), "float32")
    planes.write(Window(0, rows, 0, columns), probability, 0)
    box = GeoBox((rows, columns), Affine(10, 0, 300_000, 0, -10, 5_000_000), "EPSG:32632")
    path = folder / "probability.tif"

    def write() -> None:
        cog.export(planes, box, path, bands=[BandTag("probability")], nodata=math.nan, overview="average", workers=1)

    seconds = fastest(write, tries) / (probability.size / 1e6)
    told = f"a Cloud Optimized GeoTIFF of {rows} x {columns} probabilities, its overviews, checked after writing"
    return seconds, path.stat().st_size / probability.size, told


def operations() -> tuple[float, str]:
    """Floating point operations of the network for a pixel: multiplications and additions of its convolutions."""
    import onnx
    import onnxruntime

    net, side = ChangeNet(), 256
    model = onnx.load(str(net.weights), load_external_data=False)
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    wanted = [name for node in layers for name in (node.output[0], node.input[1])]
    stored = {each.name for each in model.graph.initializer}
    made = [name for name in wanted if name not in stored]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in made)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {
        each.name: np.ones([size if isinstance(size, int) else side for size in each.shape], np.float32)
        for each in session.get_inputs()
    }
    sizes = {each.name: tuple(each.dims) for each in model.graph.initializer}
    sizes |= {name: array.shape for name, array in zip(made, session.run(made, given), strict=True)}
    total = sum(
        2 * sizes[node.output[0]][0] * math.prod(sizes[node.output[0]][2:]) * math.prod(sizes[node.input[1]])
        for node in layers
    )
    return total / side**2, f"counted in {net.weights.name}: two for each weight of each convolution, at each pixel"


def measured(tries: int) -> dict[str, tuple[float, str]]:
    """Every constant, with its origin."""
    found = dict(SOURCES)
    with tempfile.TemporaryDirectory(prefix="constants-") as scratch:
        folder = Path(scratch)
        _units.write_pair(folder, 1024)
        found["decode_s_per_mpx"] = decoding(tries)
        found["prepare_s_per_mpx"] = preparing(folder, tries)
        for method in ("statistical", "network"):
            _units.fit(folder, method)  # type: ignore[arg-type]
            model, fit_s = _units.fit(folder, method)  # type: ignore[arg-type]
            some = list(_units.units(folder, model))[-1:]
            spent = [_units.work(unit) for unit in some * (tries + 1)][1:]
            per_mpx = min(each.compare for each in spent) / (spent[0].pixels / 1e6)
            told = f"a unit of {_units.ROWS} rows with its halo, four bands, {method}"
            found[f"{method}_s_per_mpx"] = per_mpx, told
            if method == "statistical":
                found["fit_s_per_pair"] = fit_s, "four sample blocks of 256 x 512 pixels, four bands"
                tracked = min(each.track + each.write for each in spent) / (spent[0].pixels / 1e6)
                found["track_s_per_mpx"] = tracked, "what is known of each pixel taken a date further and stored"
                with np.load(folder / "out" / f"{spent[0].number}.npz") as stored:
                    seconds, size, told = writing(folder, stored["probability"], tries)
                found["write_s_per_mpx"] = seconds, told
                found["written_bytes_per_px"] = size, told
        found["network_flop_per_px"] = operations()
    return found


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="into the package")
    options = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in _ONE_THREAD):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | dict.fromkeys(_ONE_THREAD, "1"))
    machine = f"{platform.machine()}, {_processor()}, Python {platform.python_version()}, "
    machine += f"groundshift {groundshift.__version__}"
    found = measured(options.tries)
    table(f"Constants, on {machine}", ("constant", "value", "origin"), [(k, *found[k]) for k in sorted(found)])
    if options.write:
        content = {
            name: {"value": float(f"{value:.4g}"), "origin": told if name in SOURCES else f"{told}; {machine}"}
            for name, (value, told) in sorted(found.items())
        }
        COSTS.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
        print(f"\nwritten: {COSTS}")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "processor unknown"


if __name__ == "__main__":
    main()
