"""A pool of worker processes of our own.

Workers are fresh interpreters (:mod:`groundshift.execution.worker`): nothing forks, so threads are safe, and the
script or notebook that calls needs no ``if __name__ == "__main__"``. One task is with one worker at a time, so when a
worker dies, the task that killed it is known.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection as channels
from pathlib import Path
from typing import Any

import groundshift
from groundshift.execution import memory
from groundshift.execution.crew import ATTEMPTS, LOST, Crew, Ending, Started, Task, TaskError, WorkerDied
from groundshift.execution.worker import ENVIRONMENT

__all__ = ["Pool", "Started", "TaskError", "WorkerDied", "cause", "environment"]


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    channel: channels.Connection[Any, Any]
    task: Task | None = None
    """What it is busy with."""


class Pool(Crew):
    """Worker processes on this machine.

    Args:
        workers: processes; 0 runs everything inline.
        imports: modules that each worker imports while it waits for its first task.
        address_space: limit of a worker's address space in bytes (an allocation beyond it fails); None: none.
        attempts, timeout_s: as for :class:`~groundshift.execution.crew.Crew`.
    """

    def __init__(
        self,
        workers: int,
        *,
        imports: Sequence[str] = (),
        address_space: int | None = None,
        attempts: int = ATTEMPTS,
        timeout_s: float | None = None,
    ) -> None:
        super().__init__(workers, attempts=attempts, timeout_s=timeout_s)
        self._imports = tuple(imports)
        self._address_space = address_space
        self._crew: list[_Worker] = []
        self._given = 0
        self._retired = 0

    def __enter__(self) -> Pool:
        self.warm()
        return self

    def warm(self) -> None:
        """Start the workers that are missing; they import in the background."""
        try:
            while len(self._crew) < self.workers:
                self._crew.append(self._hire())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all workers at once; what they are busy with is lost."""
        for worker in self._crew:
            with contextlib.suppress(OSError):
                worker.process.kill()
        while self._crew:
            _bury(self._crew.pop())
        self._forget()

    def retire(self) -> None:
        """End the workers that are idle, for the sake of their memory; the next run or start hires others."""
        for worker in [worker for worker in self._crew if worker.task is None]:
            self._retired += memory.high_water(worker.process.pid)
            worker.process.kill()
            self._crew.remove(worker)
            _bury(worker)

    def peak_rss(self) -> int:
        """Peak resident memory of this process plus those of its workers, bytes: an upper bound of their sum."""
        return memory.peak_rss(self.pids) + self._retired

    @property
    def pids(self) -> tuple[int, ...]:
        """Process numbers of the workers."""
        return tuple(worker.process.pid for worker in self._crew)

    def _free(self) -> bool:
        return self._idle() is not None

    def _idle(self) -> _Worker | None:
        for worker in [w for w in self._crew if w.task is None and w.process.poll() is not None]:
            self._crew.remove(worker)
            _bury(worker)
        self.warm()
        return next((worker for worker in self._crew if worker.task is None), None)

    def _give(self, task: Task) -> bool:
        worker = self._idle()
        if worker is None:
            return False
        self._given += 1
        try:
            worker.channel.send((self._given, task.function, task.argument))
        except OSError:  # it died before it was given anything: not over this task
            self._crew.remove(worker)
            _bury(worker)
            return False
        worker.task = task
        return True

    def _wait(self, seconds: float | None) -> Iterator[tuple[Task, Ending]]:
        by_channel: dict[Any, _Worker] = {worker.channel: worker for worker in self._crew if worker.task is not None}
        for channel in channels.wait(list(by_channel), seconds) if by_channel else ():
            worker = by_channel[channel]
            task = worker.task
            assert task is not None
            try:
                _, kind, value = worker.channel.recv()
            except (EOFError, OSError, pickle.UnpicklingError):
                yield task, (LOST, f"a worker process {cause(self._replace(worker))} {task.doing}")
                continue
            worker.task = None
            yield task, (kind, value)

    def _end(self, task: Task) -> None:
        for worker in [worker for worker in self._crew if worker.task is task]:
            worker.process.kill()
            self._replace(worker)

    def _replace(self, worker: _Worker) -> int:
        """Hire another worker for one that died; its code."""
        self._crew.remove(worker)
        code = _bury(worker)
        self.warm()
        return code

    def _hire(self) -> _Worker:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            # One that has hardly begun would die of Ctrl-C with a traceback; it lets it in as soon as it ignores it.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "groundshift.execution.worker"],
                    stdin=theirs.fileno(),
                    stdout=2,
                    env=environment(),
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            channel: channels.Connection[Any, Any] = channels.Connection(ours.detach())
        with contextlib.suppress(OSError):
            channel.send((self._address_space, self._imports))
        return _Worker(process, channel)


def environment() -> dict[str, str]:
    """That of this process, with one thread each, and this process's search path for modules."""
    home = str(Path(groundshift.__file__).parents[1])
    path = dict.fromkeys([*(entry or os.getcwd() for entry in sys.path), home])
    return os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(path)}


def _bury(worker: _Worker) -> int:
    """Close the channel and wait for the process; return its code."""
    worker.channel.close()
    try:
        return worker.process.wait(5)
    except subprocess.TimeoutExpired:
        worker.process.kill()
        return worker.process.wait()


def cause(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended by itself with code {code}"
    name = signal.Signals(-code).name
    hint = " (out of memory? use fewer --workers or less --memory)" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
