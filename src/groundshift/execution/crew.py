"""A crew of workers, wherever they run: units go out, results come back, and what a lost worker had goes out again."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from groundshift.errors import GroundshiftError, ProductError
from groundshift.execution import memory
from groundshift.execution.worker import DONE, REFUSED, TROUBLED, outcome

A = TypeVar("A")
R = TypeVar("R")

LOST = "lost"
"""An ending beside those that a worker tells: the worker itself was lost, or hung; the value says how."""
ATTEMPTS = 3
"""How often a unit is tried: Dask's own number (``allowed-failures``), and that of most batch systems."""

Ending = tuple[str, Any]
"""What a worker told of a task, and its value."""
Describe = Callable[[Any], str]
"""What a unit does, for messages: ``"while reading B02 of ..."``."""


class TaskError(GroundshiftError):
    """A task raised something that nobody foresaw; the message holds its traceback."""


class WorkerDied(ProductError):  # noqa: N818  a name that says what happened
    """A worker process died over a task: killed by a signal, for want of memory, or because it hung."""


@dataclass(eq=False)
class Task:
    """One unit on its way."""

    function: Callable[[Any], Any]
    argument: Any
    describe: Describe | None
    tries: int = 0
    ending: Ending | None = None
    wanted: bool = True
    """False once the run that it belongs to has ended: what becomes of it is of no interest."""
    alone: bool = False
    """This is its last attempt, and no other unit may be at work beside it: memory may have been short."""
    cleared: bool = False
    """Workers that were idle have been ended for its sake."""

    @property
    def doing(self) -> str:
        """What it does, in words."""
        if self.describe is not None:
            return self.describe(self.argument)
        return f"over the task {self.argument!r:.200}"

    def value(self) -> Any:
        """The result, or the error that there was instead."""
        ending: Ending = self.ending or (LOST, "the task was not done.")
        kind, value = ending
        if kind == DONE:
            return value
        if kind == REFUSED:
            error, message = value
            raise error(message)
        raise WorkerDied(value) if kind == LOST else TaskError(f"a task failed in a worker process:\n{value}")


@dataclass(eq=False)
class Started(Generic[R]):
    """A task that runs beside whatever else the crew does; see :meth:`Crew.start`."""

    _crew: Crew
    _task: Task

    def result(self) -> R:
        """Wait for the task.

        Raises:
            GroundshiftError: as the task raised it, with class and message.
            TaskError: the task raised anything else.
            WorkerDied: its workers were lost, or the crew was dismissed before it was done.
        """
        while self._task.ending is None:
            self._crew._proceed(self._task)
        value: R = self._task.value()
        return value


class Crew(ABC):
    """Runs functions in workers; a context manager, at whose end no worker of its own is left.

    A unit whose worker is lost, hangs, or runs into trouble that may pass (``OSError``, ``MemoryError``), is given to
    another worker, so a function must be safe to call again with the same argument, whatever an earlier call left.
    Where workers share the memory of one machine, the last attempt has all of it: no other unit is at work then, and
    workers that are idle are ended first.

    Args:
        workers: how many there are; 0 runs everything inline, where nothing is tried twice.
        attempts: how often a unit is tried.
        timeout_s: longer than this no unit takes; a worker that takes longer hangs, and is replaced. None: no limit.
    """

    def __init__(self, workers: int, *, attempts: int = ATTEMPTS, timeout_s: float | None = None) -> None:
        self.workers = workers
        self.attempts = attempts
        self.timeout_s = timeout_s
        self.retried: list[str] = []
        """Why units were tried again, a sentence each."""
        self.refused: dict[str, str] = {}
        """Workers that offered themselves and were not taken: by name, why."""
        self._queue: deque[Task] = deque()
        self._held: dict[Task, float] = {}

    def __enter__(self) -> Crew:
        self.warm()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def warm(self) -> None:
        """Get the workers that are missing; they prepare themselves in the background."""

    @abstractmethod
    def close(self) -> None:
        """Let all workers go at once; what they are busy with is lost."""

    @abstractmethod
    def retire(self) -> None:
        """End the workers that are idle, for the sake of their memory; the next run or start gets others."""

    @abstractmethod
    def peak_rss(self) -> int:
        """Peak resident memory of this process plus those of its workers, bytes: an upper bound of their sum."""

    @property
    @abstractmethod
    def pids(self) -> tuple[int, ...]:
        """Process numbers of the workers."""

    @property
    def _share_memory(self) -> bool:
        """Whether all workers are on this machine."""
        return True

    def worker_bytes(self, text: str) -> int:
        """Memory that each worker may use for pixels, of that which is given to all (``2G``); may be negative."""
        return memory.worker_bytes(text, self.workers)

    @abstractmethod
    def _free(self) -> bool:
        """Whether a worker could take a task now."""

    @abstractmethod
    def _give(self, task: Task) -> bool:
        """Give a task to a worker; False: none could take it."""

    @abstractmethod
    def _wait(self, seconds: float | None) -> Iterator[tuple[Task, Ending]]:
        """Wait until something happens, at most so long (None: as long as it takes), and tell which tasks ended."""

    @abstractmethod
    def _end(self, task: Task) -> None:
        """End the worker that hangs over a task."""

    def run(
        self,
        function: Callable[[A], R],
        arguments: Iterable[A],
        on_result: Callable[[R], object] | None = None,
        describe: Callable[[A], str] | None = None,
        *,
        on_failure: Callable[[A, GroundshiftError], object] | None = None,
    ) -> list[R]:
        """Call ``function(argument)`` for each argument; as many at a time as there are workers.

        Args:
            function: a top-level function of an importable module.
            arguments: picklable; taken from the iterable only when a worker is free.
            on_result: called in this process for each result as it comes, in no order.
            describe: what a task does, for the message when its worker dies: ``"while reading B02 of ..."``.
            on_failure: called for each unit that failed for good, with the error; the run goes on with the others.
                None: the first such error ends the run.

        Returns:
            The results in the order of the arguments, without those of units that failed.

        Raises:
            GroundshiftError: as a task raised it, with class and message.
            TaskError: a task raised anything else.
            WorkerDied: workers were lost over a unit as often as it may be tried. The crew can be used again: the
                lost are replaced, and tasks that still run are let finish, their results dropped.
        """
        results: dict[int, R] = {}
        with contextlib.closing(self._ended(function, arguments, describe, on_failure is not None)) as ended:
            for number, argument, task in ended:
                try:
                    result: R = task.value()
                except GroundshiftError as error:
                    if on_failure is None:
                        raise
                    on_failure(argument, error)
                    continue
                results[number] = result
                if on_result is not None:
                    on_result(result)
        return [results[number] for number in sorted(results)]

    def start(self, function: Callable[[A], R], argument: A, describe: Callable[[A], str] | None = None) -> Started[R]:
        """Call ``function(argument)`` in a worker, beside later runs; without workers, when the result is asked for.

        Takes one worker: with a single one, later runs wait. Arguments as for :meth:`run`.
        """
        task = Task(function, argument, describe)
        if self.workers:
            self._queue.append(task)
            self._hand_out()
        return Started(self, task)

    def _ended(
        self, function: Callable[[A], R], arguments: Iterable[A], describe: Describe | None, forgiving: bool
    ) -> Generator[tuple[int, A, Task], None, None]:
        """Each unit with its number, when its ending is known."""
        if self.workers == 0:
            for number, argument in enumerate(arguments):
                ending = outcome(function, argument) if forgiving else (DONE, function(argument))
                yield number, argument, Task(function, argument, describe, ending=ending)
            return
        self.warm()
        waiting, mine = enumerate(arguments), dict[Task, tuple[int, A]]()
        more = True
        try:
            while more or mine:
                self._hand_out()
                while more and not self._queue and self._free():
                    more = False
                    for number, argument in waiting:
                        more = True
                        task = Task(function, argument, describe)
                        mine[task] = number, argument
                        self._queue.append(task)
                        self._hand_out()
                        break
                for task in self._collect() if more or mine else ():
                    if task in mine:
                        yield (*mine.pop(task), task)
        finally:
            for task in mine:
                task.wanted = False
            self._queue = deque(task for task in self._queue if task.wanted)

    def _proceed(self, task: Task) -> None:
        """Work on until something ended, for the sake of a started task."""
        if self.workers == 0:
            task.ending = DONE, task.function(task.argument)
            return
        self._hand_out()
        self._collect()

    def _hand_out(self) -> None:
        while self._queue and self._may_begin(self._queue[0]) and self._free():
            task = self._queue.popleft()
            if self._give(task):
                task.tries += 1
                self._held[task] = time.monotonic()
            else:
                self._queue.appendleft(task)
                return

    def _may_begin(self, task: Task) -> bool:
        """Whether a task may run beside those that are at work; for one that must be alone, room is made."""
        if any(task.alone for task in self._held) or (task.alone and self._held):
            return False
        if task.alone and not task.cleared:
            self.retire()
            task.cleared = True
        return True

    def _collect(self) -> list[Task]:
        """Wait for endings; tasks that are tried again are in the queue afterwards, the others are returned.

        What becomes of a started task, death included, is kept for whoever asks for its result.
        """
        endings = list(self._wait(self._patience()))
        for task in self._overdue():
            self._end(task)
            endings.append((task, (LOST, f"a worker did not finish within {self.timeout_s:g} s {task.doing}")))
        return [task for task, ending in endings if self._settled(task, ending)]

    def _patience(self) -> float | None:
        """Seconds until the first task is overdue."""
        if self.timeout_s is None or not self._held:
            return None
        return max(0.0, min(self._held.values()) + self.timeout_s - time.monotonic())

    def _overdue(self) -> list[Task]:
        if self.timeout_s is None:
            return []
        begun = time.monotonic() - self.timeout_s
        return [task for task, given in self._held.items() if given <= begun]

    def _settled(self, task: Task, ending: Ending) -> bool:
        """Whether this is how it ended; else it is tried again."""
        self._held.pop(task, None)
        kind, value = ending
        if kind in (LOST, TROUBLED) and task.wanted:
            said = value if kind == LOST else f"{value.strip().rpartition(chr(10))[2]} {task.doing}"
            if task.tries < self.attempts:
                self.retried.append(said)
                task.alone = self._share_memory and task.tries == self.attempts - 1
                self._queue.appendleft(task)
                return False
            ending = kind, f"{value} (tried {task.tries} times{', the last time alone' if task.alone else ''})."
        task.ending, task.argument = ending, None
        return True

    def _forget(self) -> None:
        """Tell everybody who waits for a task that it will not be done."""
        for task in (*self._held, *self._queue):
            task.ending = LOST, "the pool was closed before the task was done."
        self._held.clear()
        self._queue.clear()
