"""Where work runs: in this process, in processes of our own, or on a Dask cluster, behind one face."""

from __future__ import annotations

import os
from collections.abc import Sequence

from groundshift.execution.crew import ATTEMPTS, Crew
from groundshift.execution.pool import Pool


def open_pool(
    workers: int | None = None,
    *,
    scheduler: str | None = None,
    imports: Sequence[str] = (),
    folder: str | os.PathLike[str] | None = None,
    attempts: int = ATTEMPTS,
    timeout_s: float | None = None,
) -> Crew:
    """Workers for a run: a context manager.

    Args:
        workers: how many; 0: everything in this process; None: one a core, or as many as the scheduler has.
        scheduler: address of a Dask scheduler (``tcp://host:8786``), ``local`` for a Dask cluster on this machine;
            None: processes of our own.
        imports: modules that each worker imports before its first task.
        folder: of the run; each Dask worker must see it.
        attempts: how often a unit is tried when its worker is lost.
        timeout_s: longer than this no unit takes; None: no limit.

    Returns:
        The same results, byte for byte, whatever was chosen.

    Raises:
        UsageError: Dask is asked for and not installed.
    """
    if scheduler is None or workers == 0:
        count = (os.cpu_count() or 1) if workers is None else workers
        return Pool(count, imports=imports, attempts=attempts, timeout_s=timeout_s)
    from groundshift.execution.dask_pool import LOCAL, DaskPool

    count = ((os.cpu_count() or 1) if scheduler == LOCAL else 1) if workers is None else workers
    return DaskPool(scheduler, count, imports=imports, folder=folder, attempts=attempts, timeout_s=timeout_s)
