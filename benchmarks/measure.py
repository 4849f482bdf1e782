"""Runs a command and tells its wall time, processor time and the peak memory of all its processes together."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

INTERVAL_S = 0.2
"""Between two looks at the memory."""
GIB = 2**30


@dataclass(frozen=True)
class Measured:
    """One run of a command."""

    wall_s: float
    cpu_s: float
    """User and system time of all its processes."""
    pss: int
    """Peak of the sum over its processes, in bytes; memory that processes share is counted once."""
    anonymous: int
    """Peak of the part of it that is no page of a file."""
    rss: int
    """Peak of the sum of resident memory, in which shared pages are counted in each process."""
    output: str
    """What it printed."""


class CommandError(RuntimeError):
    """A measured command ended with an error."""


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end; raises CommandError where it fails."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
        sampler = _Sampler(process.pid)
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        sampler.stop()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode != 0:
        raise CommandError(f"{' '.join(command)} ended with {process.returncode}:\n{text[-3000:]}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, sampler.pss, sampler.anonymous, sampler.rss, text)


def middle(runs: Sequence[Measured]) -> Measured:
    """Medians of several runs of one command; of memory, the largest."""
    return Measured(
        statistics.median(each.wall_s for each in runs),
        statistics.median(each.cpu_s for each in runs),
        max(each.pss for each in runs),
        max(each.anonymous for each in runs),
        max(each.rss for each in runs),
        runs[-1].output,
    )


def line(name: str, measured: Measured, reference: Measured | None = None) -> str:
    """One row of a table; the ratio is of wall time to the reference."""
    row = (
        f"{name:34s} {measured.wall_s:8.1f} s wall {measured.cpu_s:8.1f} s CPU "
        f"{measured.pss / GIB:6.2f} GiB (PSS; {measured.anonymous / GIB:.2f} anonymous; {measured.rss / GIB:.2f} RSS)"
    )
    return row if reference is None else f"{row}  {measured.wall_s / reference.wall_s:5.2f} x"


class _Sampler(threading.Thread):
    """Looks at the memory of a process and all its descendants until stopped."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.pss = self.anonymous = self.rss = 0
        self._root = root
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(INTERVAL_S):
            totals = [_memory(pid) for pid in _tree(self._root)]
            self.pss = max(self.pss, sum(t.get("Pss", 0) for t in totals))
            self.anonymous = max(self.anonymous, sum(t.get("Pss_Anon", 0) + t.get("Pss_Shmem", 0) for t in totals))
            self.rss = max(self.rss, sum(t.get("Rss", 0) for t in totals))

    def stop(self) -> None:
        self._end.set()
        self.join()


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _memory(pid: int) -> dict[str, int]:
    """Bytes by the names of smaps_rollup; empty for a process that has ended."""
    with contextlib.suppress(OSError):
        lines = (each.split() for each in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}
    return {}
