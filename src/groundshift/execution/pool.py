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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection as channels
from pathlib import Path
from typing import Any, Generic, TypeVar

import groundshift
from groundshift.errors import GroundshiftError, ProductError
from groundshift.execution import memory
from groundshift.execution.worker import DONE, REFUSED

A = TypeVar("A")
R = TypeVar("R")

_ENVIRONMENT = {
    "GDAL_CACHEMAX": "64",
    "GDAL_NUM_THREADS": "1",
    "GDAL_SKIP": "VRT",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""One thread a worker, a small block cache (MB), no VRT; several threads would also decode broken JP2 as zeros."""


class TaskError(GroundshiftError):
    """A task raised something that nobody foresaw; the message holds its traceback."""


class WorkerDied(ProductError):  # noqa: N818  a name that says what happened
    """A worker process died over a task: killed by a signal, or for want of memory."""


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    channel: channels.Connection[Any, Any]
    task: int | None = None
    """Number of the task it is busy with."""


@dataclass(eq=False)
class Started(Generic[R]):
    """A task that runs beside whatever else the pool does; see :meth:`Pool.start`."""

    _pool: Pool
    _function: Callable[[Any], R]
    _argument: Any
    _describe: Callable[[Any], str]
    _outcome: Callable[[], R] | None = None

    def result(self) -> R:
        """Wait for the task.

        Raises:
            GroundshiftError: as the task raised it, with class and message.
            TaskError: the task raised anything else.
            WorkerDied: its worker was killed, or the pool was closed before it was done.
        """
        while self._outcome is None:
            self._pool._proceed(self)
        return self._outcome()


class Pool:
    """Run functions in worker processes; a context manager, at whose end no worker is left.

    Args:
        workers: processes; 0 runs everything inline.
        imports: modules that each worker imports while it waits for its first task.
        address_space: limit of a worker's address space in bytes (an allocation beyond it fails); None: none.
    """

    def __init__(self, workers: int, *, imports: Sequence[str] = (), address_space: int | None = None) -> None:
        self.workers = workers
        self._imports = tuple(imports)
        self._address_space = address_space
        self._crew: list[_Worker] = []
        self._tasks = 0
        self._retired = 0
        self._queue: list[Started[Any]] = []
        self._started: dict[int, Started[Any]] = {}

    def __enter__(self) -> Pool:
        self.warm()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        lost = [*self._started.values(), *self._queue]
        self._started, self._queue = {}, []
        for task in lost:
            task._outcome = partial(_raise, WorkerDied("the pool was closed before the task was done."))

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

    def run(
        self,
        function: Callable[[A], R],
        arguments: Iterable[A],
        on_result: Callable[[R], object] | None = None,
        describe: Callable[[A], str] | None = None,
    ) -> list[R]:
        """Call ``function(argument)`` for each argument; as many at a time as there are workers.

        Args:
            function: a top-level function of an importable module.
            arguments: picklable; taken from the iterable only when a worker is free.
            on_result: called in this process for each result as it comes, in no order.
            describe: what a task does, for the message when its worker dies: ``"while reading B02 of ..."``.

        Returns:
            The results in the order of the arguments.

        Raises:
            GroundshiftError: as a task raised it, with class and message.
            TaskError: a task raised anything else.
            WorkerDied: a worker was killed. The pool can be used again: the dead are replaced, and tasks that still
                run are let finish, their results dropped.
        """
        results: dict[int, R] = {}
        for number, result in self._results(function, arguments, describe):
            results[number] = result
            if on_result is not None:
                on_result(result)
        return [results[number] for number in sorted(results)]

    def start(self, function: Callable[[A], R], argument: A, describe: Callable[[A], str] | None = None) -> Started[R]:
        """Call ``function(argument)`` in a worker, beside later runs; without workers, when the result is asked for.

        Takes one worker: with a single one, later runs wait. Arguments as for :meth:`run`.
        """
        doing = _doing(argument, describe)
        task = Started(self, function, argument, lambda _: doing)
        if self.workers:
            self._queue.append(task)
            self._give_queued()
        return task

    def _proceed(self, task: Started[Any]) -> None:
        if self.workers == 0:
            value = task._function(task._argument)
            task._outcome = lambda: value
            return
        self._give_queued()
        for _ in self._collect({}, None):
            pass

    def _give_queued(self) -> None:
        while self._queue and (worker := self._idle()) is not None:
            task = self._queue.pop(0)
            try:
                number = self._give(worker, task._function, task._argument, task._describe)
                self._started[number], task._argument = task, None
            except WorkerDied as death:
                task._outcome = partial(_raise, death)

    def _results(
        self, function: Callable[[A], R], arguments: Iterable[A], describe: Callable[[A], str] | None
    ) -> Iterator[tuple[int, R]]:
        if self.workers == 0:
            yield from enumerate(map(function, arguments))
            return
        self.warm()
        waiting = iter(arguments)
        given: dict[int, A] = {}
        exhausted = False
        while given or not exhausted:
            self._give_queued()
            while not exhausted and (worker := self._idle()) is not None:
                for argument in waiting:
                    given[self._give(worker, function, argument, describe)] = argument
                    break
                else:
                    exhausted = True
            if given or not exhausted:
                for number, result in self._collect(given, describe):
                    del given[number]
                    yield number, result

    def _idle(self) -> _Worker | None:
        for worker in [w for w in self._crew if w.task is None and w.process.poll() is not None]:
            self._crew.remove(worker)
            _bury(worker)
        self.warm()
        return next((worker for worker in self._crew if worker.task is None), None)

    def _give(
        self, worker: _Worker, function: Callable[[A], R], argument: A, describe: Callable[[A], str] | None
    ) -> int:
        self._tasks += 1
        try:
            worker.channel.send((self._tasks, function, argument))
        except OSError as error:
            raise self._dead(worker, _doing(argument, describe)) from error
        worker.task = self._tasks
        return self._tasks

    def _collect(self, given: dict[int, A], describe: Callable[[A], str] | None) -> Iterator[tuple[int, Any]]:
        """Wait for workers that are done; results of an earlier run that failed are dropped.

        What becomes of a started task, death included, is kept for whoever asks for its result.
        """
        by_channel = {worker.channel: worker for worker in self._crew if worker.task is not None}
        for channel in channels.wait(list(by_channel)):
            worker = by_channel[channel]  # type: ignore[index]
            started = self._started.pop(worker.task or 0, None)
            try:
                number, outcome, value = worker.channel.recv()
            except (EOFError, OSError, pickle.UnpicklingError) as error:
                if started is not None:
                    started._outcome = partial(_raise, self._dead(worker, started._describe(None)))
                    continue
                death = self._dead(worker, _doing(given.get(worker.task or 0), describe))
                if worker.task in given:
                    raise death from error
                continue
            worker.task = None
            if started is not None:
                started._outcome = partial(_value, outcome, value)
            elif number in given:
                yield number, _value(outcome, value)

    def _dead(self, worker: _Worker, doing: str) -> WorkerDied:
        """Replace a worker that died, and say how."""
        self._crew.remove(worker)
        code = _bury(worker)
        self.warm()
        return WorkerDied(f"a worker process {_cause(code)} {doing}.")

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
                    env=_environment(),
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            channel: channels.Connection[Any, Any] = channels.Connection(ours.detach())
        with contextlib.suppress(OSError):
            channel.send((self._address_space, self._imports))
        return _Worker(process, channel)


def _environment() -> dict[str, str]:
    """That of this process, with one thread each, and this process's search path for modules."""
    home = str(Path(groundshift.__file__).parents[1])
    path = dict.fromkeys([*(entry or os.getcwd() for entry in sys.path), home])
    return os.environ | _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(path)}


def _bury(worker: _Worker) -> int:
    """Close the channel and wait for the process; return its code."""
    worker.channel.close()
    try:
        return worker.process.wait(5)
    except subprocess.TimeoutExpired:
        worker.process.kill()
        return worker.process.wait()


def _cause(code: int) -> str:
    if code >= 0:
        return f"ended by itself with code {code}"
    name = signal.Signals(-code).name
    hint = " (out of memory? use fewer --workers)" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"


def _doing(argument: Any, describe: Callable[[Any], str] | None) -> str:
    return describe(argument) if describe is not None else f"over the task {argument!r:.200}"


def _raise(error: GroundshiftError) -> Any:
    raise error


def _value(outcome: str, value: Any) -> Any:
    if outcome == DONE:
        return value
    if outcome == REFUSED:
        kind, message = value
        raise kind(message)
    raise TaskError(f"a task failed in a worker process:\n{value}")
