"""The whole main job on two full tiles, against plain decoding of the same files by as many processes.

Runs alternate; of each the median is told. Target: at most 1.5 times plain decoding (3 times with the change network),
below 2 GB of all processes together, whatever the image's size.

    python benchmarks/full_tile.py [--sizes 10980,5490,2748] [--runs 2] [--zip] [--method M] [--data DIR] [--workers 2]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import inputs
import measure

HERE = Path(__file__).resolve().parent
TARGET = {"network": 3.0, "ensemble": 3.0}
"""Times plain decoding."""
_TARGET = 1.5
MEMORY = 2e9


def job(before: Path, after: Path, outdir: Path, workers: int, *more: str) -> list[str]:
    """The command line of the main job."""
    arguments = [str(before), str(after), "--outdir", str(outdir), "--workers", str(workers), "--quiet", *more]
    return [sys.executable, "-m", "groundshift", "change", *arguments]


def decoding(files: list[Path], workers: int) -> list[str]:
    """The command line of plain decoding."""
    return [sys.executable, str(HERE / "decoding.py"), "--workers", str(workers), *map(str, files)]


def stages(outdir: Path) -> dict[str, float]:
    """Seconds by stage, as the run itself wrote them."""
    content = json.loads((outdir / "manifest.json").read_text(encoding="utf-8"))
    timings: dict[str, float] = content["timings_s"]
    return timings


def compare(data: Path, size: int, runs: int, workers: int, archives: bool, method: str) -> tuple[float, int]:
    """Print one size; returns the ratio of wall times and the peak memory in bytes."""
    folders = inputs.products(data, size, workers)
    before, after = inputs.zipped(folders) if archives else folders
    files = [path for folder in folders for path in inputs.images(folder)]
    plain, whole = [], []
    with tempfile.TemporaryDirectory(prefix="full-tile-", dir=data) as scratch:
        for _ in range(runs):
            plain.append(measure.run(decoding(files, workers)))
            outdir = Path(scratch) / "result"
            shutil.rmtree(outdir, ignore_errors=True)
            whole.append(measure.run(job(before, after, outdir, workers, "--method", method)))
            timings = stages(outdir)
        written = sum(path.stat().st_size for path in outdir.iterdir())
    one, other = measure.middle(plain), measure.middle(whole)
    print(
        f"{size} x {size}, {len(files)} files, {sum(f.stat().st_size for f in files) / 1e6:.0f} MB, {workers} processes"
    )
    print(" ", measure.line("plain decoding", one))
    print(" ", measure.line(f"groundshift change --method {method}", other, one))
    print("  stages:", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timings.items()))
    print(f"  written: {written / 1e6:.0f} MB", flush=True)
    return other.wall_s / one.wall_s, other.pss


def main() -> int:
    """Compare at every size asked for; 1 where the full tile misses its targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    inputs.add_options(parser)
    parser.add_argument("--sizes", default=",".join(map(str, inputs.SIZES)), help="rows and columns (%(default)s)")
    parser.add_argument("--runs", type=int, default=2, help="of each, alternating (%(default)s)")
    parser.add_argument("--zip", action="store_true", help="read archives with stored members instead of folders")
    parser.add_argument("--method", default="cva", help="of finding change (%(default)s)")
    options = parser.parse_args()
    found = {
        size: compare(options.data, size, options.runs, options.workers, options.zip, options.method)
        for size in map(int, options.sizes.split(","))
    }
    for size, (_, peak) in found.items():
        print(f"peak memory at {size:5d}: {peak / 1e9:.2f} GB")
    largest = max(found)
    ratio, peak = found[largest]
    target = TARGET.get(options.method, _TARGET)
    good = ratio <= target and peak < MEMORY
    print(
        f"{largest}: {ratio:.2f} times plain decoding (target {target}), {peak / 1e9:.2f} GB (target below 2): ", end=""
    )
    print("met" if good else "missed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
