"""From a series that was followed to the files that it leaves beside the probabilities of its pairs."""

from __future__ import annotations
import time
from typing import TYPE_CHECKING, Any
from groundshift.pipelines import series_rasters

if TYPE_CHECKING:
    from groundshift.pipelines.series import Run


def write(state: Run, begin: float) -> dict[str, Any]:
    for found in state.followed:
        files, counts = series_rasters.write_series(state, found)
        print(found.view.name, counts, files)
        for p in found.pairs:
            print(p)
        for j in found.judged:
            print(j.usable, j.reason, j.cloud_percent, j.data_percent)
    print(state.timings, time.monotonic() - begin, state.pool.peak_rss() / 1e6)
    return {}
