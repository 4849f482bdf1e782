"""Memory of the twenty default features of one generated product, under a cap: it must not follow its height.

Products of all bands, of the same columns and of several heights, are made; `groundshift features` runs on each, with
textures, sharpening and cloud mask. Memory is the peak of all processes together, what they share counted once.

Targets: below the cap, and at most a tenth more for the highest product than for the lowest, which must be high
enough to fill the blocks.

    python benchmarks/features_memory.py [--columns 5490] [--rows 2748,5490] [--memory 1G] [--workers 2] [--data DIR]
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
from _tables import flat, table
from groundshift.execution.memory import parse_memory
from groundshift.features.stack import BAND_NAMES
from groundshift.testing.safe import write_safe
from groundshift.testing.scenes import DateOptions, SceneOptions, SyntheticScene

FLAT = 1.1
"""Memory of the highest product over that of the lowest, at most."""


def product(folder: Path, rows: int, columns: int, workers: int) -> Path:
    """A product of all bands that features are made of."""
    scene = SyntheticScene(
        options=SceneOptions(seed=8, shape=(rows, columns)), date=DateOptions(cloud_share=0.1), number=1
    )
    return write_safe(
        scene, folder, sensing_time=inputs.DATES[0], baseline=(5, 0), bands=",".join(BAND_NAMES), workers=workers
    )


def main() -> int:
    """Print the table; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, default=5490)
    parser.add_argument("--rows", default="2748,5490")
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", type=Path, help="folder of what is generated, for the time of the run")
    options = parser.parse_args()
    rows, peaks = [], {}
    with tempfile.TemporaryDirectory(prefix="features-", dir=options.data) as scratch:
        for height in map(int, options.rows.split(",")):
            folder, out = Path(scratch) / str(height), Path(scratch) / f"{height}-out" / "stack.tif"
            out.parent.mkdir()
            found = product(folder, height, options.columns, options.workers)
            line = [sys.executable, "-m", "groundshift", "features", str(found), "--out", str(out), "--quiet", "--json"]
            line += ["--memory", options.memory, "--workers", str(options.workers)]
            whole = measure.run(line)
            stages = json.loads(out.with_suffix(".manifest.json").read_text("utf-8"))["timings_s"]
            peaks[height] = whole.pss
            rows.append([height, whole.wall_s, whole.cpu_s, height * options.columns / 1e6 / whole.wall_s])
            rows[-1] += [whole.pss / 1e9, whole.anonymous / 1e9, out.stat().st_size / 1e6]
            print(f"{height}: {', '.join(f'{name} {seconds:.1f} s' for name, seconds in stages.items())}", flush=True)
            shutil.rmtree(folder)
            out.unlink()
    head = ["rows", "s", "CPU s", "Mpx/s", "memory GB", "anonymous", "written MB"]
    table(f"Features of {options.columns} columns", head, rows)
    return int(not flat(peaks, parse_memory(options.memory), FLAT))


if __name__ == "__main__":
    sys.exit(main())
