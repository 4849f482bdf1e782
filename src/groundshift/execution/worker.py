"""One worker process: ``python -m groundshift.execution.worker``, spoken to through its standard input, a socket.

It takes (task, function, argument), answers (task, outcome, value), and ends as soon as the other side is gone.
"""

from __future__ import annotations

import importlib
import os
import pickle
import resource
import select
import signal
import threading
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from groundshift.errors import GroundshiftError
from groundshift.execution import memory

DONE, REFUSED, TROUBLED, FAILED = "done", "refused", "troubled", "failed"
"""Outcomes: the result; an error that groundshift raised on purpose; trouble with memory or files that may pass, and
any other exception, both as text."""

ENVIRONMENT = {
    "GDAL_CACHEMAX": "64",
    "GDAL_NUM_THREADS": "1",
    "GDAL_SKIP": "VRT",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""One thread a worker, a small block cache (MB), no VRT; several threads would also decode broken JP2 as zeros."""

_IDLE_S = 0.05
"""Without a task for this long, a worker gives back the memory that it no longer needs."""


def main() -> None:
    """Serve until the socket closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # Standard input is the socket; give it another number, so that nothing reads from it by accident.
    connection: Connection[Any, Any] = Connection(os.dup(0))
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=leave_when_alone, args=(connection.fileno(),), daemon=True).start()
    try:
        address_space, modules = connection.recv()
        _prepare(address_space, modules)
        while True:
            if not connection.poll(_IDLE_S):
                memory.release()
            task, function, argument = connection.recv()
            ending = outcome(function, argument)
            del argument
            try:
                connection.send((task, *ending))
            except (TypeError, AttributeError, pickle.PicklingError):
                connection.send((task, FAILED, traceback.format_exc()))
            del ending
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)


def _prepare(address_space: int | None, modules: Sequence[str]) -> None:
    if address_space is not None:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    for module in modules:
        importlib.import_module(module)


def outcome(function: Any, argument: Any) -> tuple[str, Any]:
    """Call a function, and say how that ended."""
    try:
        return DONE, function(argument)
    except GroundshiftError as error:
        return REFUSED, (type(error), str(error))
    except (MemoryError, OSError):
        return TROUBLED, traceback.format_exc()
    except Exception:
        return FAILED, traceback.format_exc()


def leave_when_alone(descriptor: int) -> None:
    """End this process, in the middle of a task too, when the parent is gone: nothing may work on as an orphan."""
    poll = select.poll()
    poll.register(descriptor, 0)
    while not any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll()):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
