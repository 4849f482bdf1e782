"""Progress of a run, on standard error: a bar on a terminal, now and then a line elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TextIO

Advance = Callable[[float], None]
"""Called with the amount of work that was done since the last call."""


class Progress(Protocol):
    """Told of each stage of a run and of the work done in it."""

    def stage(self, name: str, total: float) -> AbstractContextManager[Advance]:
        """Begin a stage of ``total`` units of work; it ends with the block."""
        ...


class Silent:
    """Says nothing."""

    @contextlib.contextmanager
    def stage(self, name: str, total: float) -> Iterator[Advance]:
        """Nothing."""
        yield lambda amount: None


class Lines:
    """Plain lines, at most one every ``every_s`` seconds and one at the end of a stage: for logs and pipes."""

    def __init__(self, stream: TextIO | None = None, every_s: float = 5.0) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._every_s = every_s

    @contextlib.contextmanager
    def stage(self, name: str, total: float) -> Iterator[Advance]:
        """Lines such as ``decode: 40 %, 12 s``."""
        begin = said = time.monotonic()
        done = 0.0

        def advance(amount: float) -> None:
            nonlocal done, said
            done += amount
            now = time.monotonic()
            if now - said >= self._every_s:
                said = now
                self._say(f"{name}: {100 * done / max(total, 1e-9):.0f} %, {now - begin:.0f} s")

        yield advance
        self._say(f"{name}: done, {time.monotonic() - begin:.1f} s")

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(line, file=self._stream, flush=True)


class Bar:
    """A bar a stage, on a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr

    @contextlib.contextmanager
    def stage(self, name: str, total: float) -> Iterator[Advance]:
        """A bar with the time that has passed and the time that is left."""
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        with RichProgress(*columns, *times, console=Console(file=self._stream)) as bar:
            task = bar.add_task(name, total=total)
            yield lambda amount: bar.advance(task, amount)
            bar.update(task, completed=total)


def progress(quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """The progress that suits a stream (standard error): a bar on a terminal, else lines; nothing when quiet."""
    stream = stream if stream is not None else sys.stderr
    if quiet:
        return Silent()
    return Bar(stream) if stream.isatty() else Lines(stream)
