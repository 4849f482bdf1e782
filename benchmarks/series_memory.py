"""Memory of a series under a limit: with more dates, more rows and more columns, and under a smaller limit.

Dates are generated; those beyond the third are STAC items that name the images of the first three, so that each is
read, fitted and compared as a date of its own. Memory is the peak of all processes together; what they share counts
once. Targets: below the limit everywhere, and no more than a tenth higher with most dates, or most rows, than with
fewest. The same scenes leave the same bytes under any limit.

    python benchmarks/series_memory.py [--quick] [--method ensemble] [--workers 2]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

import _dates
import inputs
import measure
from _tables import table
from groundshift.execution.memory import parse_memory

FLAT = 1.1
FULL = inputs.FULL
CASES = (
    # rows, columns, dates, limit
    (1032, 2052, 3, "2G"),
    (1032, 2052, 9, "2G"),
    (3096, 2052, 3, "2G"),
    (1032, 2052, 3, "1100M"),
    (1536, FULL, 3, "2G"),
)


def digest(folder: Path) -> str:
    """Of all rasters and alerts of a series."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".tif", ".gpkg") and not any(
            part.startswith(".") for part in path.relative_to(folder).parts
        ):
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def main() -> int:
    """Measure and print; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    inputs.add_options(parser)
    parser.add_argument("--method", default="ensemble", help="of the series (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="without the images as wide as a tile")
    options = parser.parse_args()
    rows: list[list[object]] = []
    peaks: dict[tuple[int, int, int, str], int] = {}
    digests = {}
    for case in CASES[: -1 if options.quick else None]:
        height, width, dates, limit = case
        scenes = _dates.items(options.data, (height, width), dates, options.workers)
        with tempfile.TemporaryDirectory(prefix="series-", dir=options.data) as name:
            out = Path(name) / "out"
            command = [sys.executable, "-m", "groundshift", "series", *map(str, scenes), "--quiet", "--no-animation"]
            command += ["--outdir", str(out), "--method", options.method, "--memory", limit]
            found = measure.run([*command, "--workers", str(options.workers)])
            timings = json.loads((out / "manifest.json").read_text("utf-8"))["timings_s"]
            digests[case] = digest(out)
            shutil.rmtree(out)
        peaks[case] = found.pss
        parts = ", ".join(f"{stage} {timings[stage]:.0f}" for stage in ("read", "fit", "compare", "report"))
        rows.append([f"{height} x {width}", dates, limit, f"{found.pss / 1e6:.0f}", f"{found.anonymous / 1e6:.0f}",
                     f"{found.wall_s:.0f}", f"{found.cpu_s:.0f}", parts])  # fmt: skip
        print(*rows[-1], flush=True)
    head = ["pixels", "dates", "limit", "peak MB", "of it anonymous", "s", "CPU s", "by stage"]
    table(f"Series of four bands, {options.method}, {options.workers} workers", head, rows)
    base, more, tall, small = CASES[:4]
    kept = all(peak < parse_memory(case[3]) for case, peak in peaks.items())
    flat = max(peaks[more], peaks[tall]) <= FLAT * peaks[base]
    same = digests[base] == digests[small]
    print(f"\nbelow the limit: {kept}; with three times the dates {peaks[more] / peaks[base]:.2f}, ", end="")
    print(f"with three times the rows {peaks[tall] / peaks[base]:.2f} of the memory; ", end="")
    print(f"the same bytes under {small[3]}: {same}")
    return 0 if kept and flat and same else 1


if __name__ == "__main__":
    sys.exit(main())
