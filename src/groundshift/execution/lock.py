"""One run at a time in an output folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from groundshift.errors import BusyError, OutputError

LOCK_NAME = ".groundshift.lock"
"""Name of the lock file; the kernel drops the lock when its holder dies, the file stays."""


@contextlib.contextmanager
def hold(folder: str | os.PathLike[str], wait_s: float = 60.0) -> Iterator[None]:
    """Hold an output folder, which is made when missing, for the time of the body.

    Args:
        folder: output folder.
        wait_s: how long to wait for another run to finish.

    Raises:
        BusyError: another run still holds it after that time; the message names its process.
        OutputError: the folder cannot be made or written to.
    """
    path = Path(folder) / LOCK_NAME
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        raise BusyError(
            f"another run ({_holder(path)}) holds {path.parent} and did not finish within {wait_s:g} s: "
            "try again later or choose another --outdir."
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write to {path.parent}: {reason}; choose another --outdir.") from error
    try:
        _sign(path)
        yield
    finally:
        lock.release()


def _sign(path: Path) -> None:
    """Leave word of who holds the lock: only for the message that another run prints."""
    with contextlib.suppress(OSError):
        path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), encoding="utf-8")


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "process unknown"
