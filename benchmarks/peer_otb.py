"""The main job against Orfeo ToolBox's MultivariateAlterationDetector on the same pair of four-band GeoTIFFs.

The peer transforms the two images and writes the differences; ours also normalises, masks, decides, groups into kinds,
draws polygons and writes the report. Target: faster, with at most half the memory. Needs Orfeo ToolBox (Debian:
apt-get install otb-bin).

    python benchmarks/peer_otb.py [--size 10980] [--runs 2] [--data DIR] [--workers 2]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import measure
import peers

APPLICATION = "otbcli_MultivariateAlterationDetector"


def command(before: Path, after: Path, target: Path) -> list[str]:
    """The peer's command line, with its own default for memory."""
    return [APPLICATION, "-in1", str(before), "-in2", str(after), "-out", str(target), "float"]


def main() -> int:
    """Compare; 1 where a target is missed, 0 where it is met or the peer is not there."""
    options = peers.options(__doc__ or "")
    if shutil.which(APPLICATION) is None:
        print(f"{APPLICATION} is not installed, so nothing was compared: on Debian, apt-get install otb-bin.")
        return 0
    pair = peers.rasters(options.data, options.size, options.workers)
    with tempfile.TemporaryDirectory(prefix="peer-", dir=options.data) as scratch:
        target = Path(scratch) / "mad.tif"
        theirs, ours = peers.alternate(command(*pair, target), pair, Path(scratch), options)
    return peers.verdict("Orfeo ToolBox MAD", theirs, ours)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except measure.CommandError as error:
        sys.exit(str(error))
