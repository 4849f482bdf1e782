"""How many workers a series may have, so that all processes together stay below the memory that they are given.

What a unit takes depends neither on the number of dates nor on the height of the images, and its size is not changed
for want of memory: a smaller one would take little less, since most of it is for the network, a row of tiles of the
files, and the sample of a fit. So memory settles how many units are at work at once.
"""

from __future__ import annotations

import os

from groundshift.change.network import ChangeNet
from groundshift.errors import UsageError
from groundshift.execution import memory
from groundshift.execution.dask_pool import LOCAL
from groundshift.pipelines import ingest
from groundshift.pipelines.series_job import SeriesJob
from groundshift.pipelines.series_plan import SeriesPlan
from groundshift.pipelines.series_step import COLUMNS, ROWS

_MIB = 2**20
_CACHE = 64 * _MIB
"""Of the raster library, in each worker."""
_READ = 14
"""Bytes for each pixel of a row of tiles while it is decoded."""
_NETWORK = 130 * _MIB
"""Of the network while it looks at a tile; whatever the bands."""
_STEP = 35, 40
"""Bytes for each pixel of a unit with its halo: for each band, and beside."""
_FIT = 30, 30
"""Bytes for each pixel of the sample, likewise."""


def needed(job: SeriesJob, columns: int) -> int:
    """Bytes that a worker needs for pixels, at most, for images of so many columns."""
    bands = len(job.grid.bands)
    read = _CACHE + _READ * ingest.unit_rows(columns) * columns
    halo = ChangeNet.halo_px
    unit = (ROWS + 2 * halo) * (COLUMNS + 2 * halo)
    step = unit * (_STEP[0] * bands + _STEP[1]) + (0 if job.detect.method == "statistical" else _NETWORK)
    fit = 2 * job.normalise.sample_pixels * (_FIT[0] * bands + _FIT[1])
    return max(read, step, fit)


def workers(job: SeriesJob, plan: SeriesPlan) -> int | None:
    """How many workers fit the memory, at most as many as were asked for; None: those that a cluster has.

    Raises:
        UsageError: not even one does.
    """
    least, text = needed(job, max(int(view.geobox.shape[1]) for view in plan.fields)), job.run.memory
    asked = job.run.workers or os.cpu_count() or 1
    if job.run.scheduler not in (None, LOCAL):  # of a cluster, each worker has that much
        if memory.worker_bytes(text, 1) >= least:
            return job.run.workers
        asked = 0
    for count in range(asked, 0, -1):
        if memory.worker_bytes(text, count) >= least:
            return count
    wanted = -(-(memory.parse_memory(text) + least - memory.worker_bytes(text, 1)) // _MIB)
    raise UsageError(
        f"--memory is {text}, and this series needs {wanted}M with one worker: give it more, or fewer "
        "--bands or --sample-pixels."
    )
