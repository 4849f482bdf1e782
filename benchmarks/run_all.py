"""Runs every benchmark of this folder and collects what they print in benchmarks/results/summary.md.

A benchmark that misses its target, or whose data or peer is absent, does not stop the others. Ends with 1 where one
missed its target or failed.

    python benchmarks/run_all.py [--quick] [--only planted,labelled]
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from _tables import results
from groundshift import __version__

HERE = Path(__file__).resolve().parent
SMALL = "2748"
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "real_clear_pairs": ("--quick",),
    "planted": ("--quick",),
    "labelled": ("--quick",),
    "change_probability": ("--quick",),
    "generated_pairs": ("--quick",),
    "false_alarms_generated": ("--quick", "--pixels", "1000000"),
    "scene_list": ("--quick",),
    "cloud_masks": ("--quick",),
    "previews": (),
    "seams": (),
    "eight_bit": (),
    "residual_cloud": ("--size", "798"),
    "reading": ("--size", SMALL),
    "full_tile": ("--sizes", SMALL, "--runs", "1"),
    "composites": ("--quick",),
    "features_memory": ("--columns", SMALL, "--rows", "2748,4122"),
    "landcover_full_tile": ("--columns", "2745", "--rows", "2745,5490", "--iterations", "5"),
    "mosaic_memory": ("--size", SMALL, "--scenes", "8,34"),
    "dask_scaling": ("--quick",),
    "series_memory": ("--quick",),
    "estimate_check": (),
    "constants": ("--tries", "1"),
    "textures": ("--quick",),
    "sharpening": (),
    "gap_filling": ("--size", "300"),
    "prediction": (),
    "landcover_year": ("--seeds", "11"),
    "landcover_tables": ("--samples", "3000", "--folds", "3"),
    "landcover_real": (),
    "splits": ("--quick",),
    "suspicious_labels": ("--quick",),
    "smoothing": ("--side", "512", "--rows", "1024,4096"),
    "accuracy_coverage": ("--designs", "1000"),
    "peer_numpy": ("--size", SMALL, "--runs", "1"),
    "peer_otb": ("--size", SMALL, "--runs", "1"),
}
"""Scripts, and their options for a quick run; without any they run in full."""


def run(name: str, quick: bool) -> tuple[int, str]:
    """Exit status and a section of the summary; what is printed is passed on line by line."""
    command = [sys.executable, str(HERE / f"{name}.py"), *(BENCHMARKS[name] if quick else ())]
    start = time.perf_counter()
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    seconds = time.perf_counter() - start
    ending = {0: "done", 1: "missed its target"}.get(process.returncode, f"failed with {process.returncode}")
    shown = " ".join(["python", f"benchmarks/{name}.py", *command[2:]])
    printed = "".join(lines).strip()
    return process.returncode, f"## {name}\n\n`{shown}`: {ending} after {seconds:.0f} s\n\n```\n{printed}\n```\n"


def main() -> int:
    """Run them one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small versions: minutes, not hours")
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="names, with commas (%(default)s)")
    options = parser.parse_args()
    chosen = options.only.split(",")
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    kind = "quick run" if options.quick else "full run"
    summary = results() / "summary.md"
    text = (
        f"# Benchmarks of groundshift {__version__}\n\n{kind}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, "
        f"Python {platform.python_version()}, {platform.machine()}\n\n"
    )
    worst = 0
    for name in chosen:
        print(f"\n== {name}", flush=True)
        status, section = run(name, options.quick)
        worst = max(worst, int(status != 0))
        text += section + "\n"
        summary.write_text(text, encoding="utf-8")
    print(f"\nwritten: benchmarks/results/{summary.name}")
    return worst


if __name__ == "__main__":
    sys.exit(main())
