"""The start of a land-cover map: workers load what they need while this process loads what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundshift.execution.backend import open_pool
from groundshift.execution.progress import Progress
from groundshift.pipelines.landcover_job import PredictJob

if TYPE_CHECKING:
    from groundshift.pipelines.landcover_predict import PredictResult

IMPORTS = ("groundshift.pipelines.landcover_blocks", "groundshift.pipelines.steps", "groundshift.pipelines.patches")
"""What each worker needs of what this package holds."""


def predict(job: PredictJob, progress: Progress | None = None) -> PredictResult:
    """Make a map with a model; see :func:`groundshift.pipelines.landcover_predict.predict`."""
    if job.run.scheduler is not None:
        from groundshift.pipelines import landcover_predict

        return landcover_predict.predict(job, progress)
    with open_pool(job.run.workers, imports=IMPORTS) as pool:
        from groundshift.pipelines import landcover_predict

        return landcover_predict.predict(job, progress, pool)
