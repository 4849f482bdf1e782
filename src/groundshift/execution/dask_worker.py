"""What runs in a Dask worker: a look at it when it joins, then units, one at a time.

``python -m groundshift.execution.dask_worker ADDRESS NAME`` is a worker of our own, which ends when its standard input,
a socket, closes; any other that has the same version of groundshift does as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import groundshift
from groundshift.execution import memory
from groundshift.execution.worker import ENVIRONMENT, leave_when_alone, outcome

_prepared: set[str] = set()


def greet(wish: Mapping[str, Any]) -> dict[str, Any]:
    """Get ready, and say what there is to know before the first unit.

    Args:
        wish: ``home`` (the folder that relative paths start from), ``imports`` (modules), ``token`` (path and content
            of a file that the worker should see, or None), and ``patience_s``, how long to look for it.

    Returns:
        ``version``, ``pid``, and ``sees``, whether it sees that file.
    """
    _prepare(wish)
    sees = os.getcwd() == wish["home"] and _sees(wish["token"], wish["patience_s"])
    return {"version": groundshift.__version__, "pid": os.getpid(), "sees": sees}


def call(wish: Mapping[str, Any], function: Callable[[Any], Any], argument: Any) -> tuple[str, Any, int]:
    """Run a unit: its outcome and value, and the peak memory of this process in bytes."""
    _prepare(wish)
    kind, value = outcome(function, argument)
    memory.release()
    return kind, value, memory.high_water(os.getpid())


def _prepare(wish: Mapping[str, Any]) -> None:
    """Go where the run is; one thread and the imports, once a process, as a nanny may have started another since."""
    with contextlib.suppress(OSError):
        os.chdir(wish["home"])
    if _prepared.issuperset(wish["imports"]) and _prepared:
        return
    os.environ.update(ENVIRONMENT)
    for module in wish["imports"]:
        importlib.import_module(module)
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    _prepared.update(("groundshift", *wish["imports"]))


def _sees(token: tuple[str, str] | None, patience_s: float) -> bool:
    if token is None:
        return True
    path, text = token
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return Path(path).read_text("utf-8") == text
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)


def main() -> None:
    """Serve the scheduler at an address until the process that started this one is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=leave_when_alone, args=(0,), daemon=True).start()
    asyncio.run(_serve(*sys.argv[1:3]))


async def _serve(address: str, name: str) -> None:
    from distributed import Worker

    own = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    async with Worker(address, nthreads=1, name=name, memory_limit=0, **own) as worker:
        await worker.finished()


if __name__ == "__main__":
    main()
