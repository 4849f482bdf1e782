"""Workers of a Dask cluster, or of one on this machine, as a crew: one unit a worker, no graph.

Dask carries units to workers and says who is there. Which worker gets which unit, how often, and for how long, is
decided here: a unit is sent to one worker by name, so that when a worker is lost, the unit that it was busy with is
known, and no other is blamed. Workers may come and go. Units hold paths and numbers, pixels lie in files: all workers
see the folders of the run under the same paths, and one that does not is not taken, nor one of another version.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import queue
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundshift import __version__
from groundshift.errors import OutputError, ServiceError, UsageError
from groundshift.execution import memory
from groundshift.execution.crew import ATTEMPTS, LOST, Crew, Ending, Task, WorkerDied
from groundshift.execution.dask_worker import call, greet
from groundshift.execution.pool import cause, environment
from groundshift.execution.worker import FAILED

LOCAL = "local"
"""What is given instead of an address for a cluster of our own on this machine."""

_LOOK_S = 0.5
"""How often the scheduler is asked who is there."""
_TOKEN = ".groundshift-token-"
_SEEN_S = 5.0
"""A file may be seen on another machine a little later."""
_DASK = {"distributed.admin.large-graph-warning-threshold": "1GB", "distributed.client.scheduler-info-interval": "60s"}
_OURS = {"DASK_LOGGING__DISTRIBUTED": "critical", "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}


class SchedulerLost(WorkerDied):
    """The Dask scheduler went away, or all its workers; what is done is in the journal of the run."""

    exit_code = ServiceError.exit_code


@dataclass(eq=False)
class _Member:
    """A worker as the scheduler knows it."""

    address: str
    name: str
    future: Any
    """Of the greeting, then of the task that it is busy with."""
    task: Task | None = None
    pid: int = 0
    """0 until it has answered the greeting."""
    peak: int = 0


class DaskPool(Crew):
    """Workers behind a Dask scheduler.

    Args:
        scheduler: its address (``tcp://host:8786``, ``tls://host:8786``), or ``local`` for a cluster on this machine.
        workers: of ``local``, how many; else how many to wait for, at least: all that join are used, whenever.
        imports: modules that each worker imports before its first task.
        folder: that each worker must see, made when missing; None: not looked at.
        attempts, timeout_s: as for :class:`~groundshift.execution.crew.Crew`.
        join_s: how long to wait for a worker where there is none.

    Raises:
        UsageError: Dask is not installed.
    """

    def __init__(
        self,
        scheduler: str,
        workers: int = 1,
        *,
        imports: Sequence[str] = (),
        folder: str | os.PathLike[str] | None = None,
        attempts: int = ATTEMPTS,
        timeout_s: float | None = None,
        join_s: float = 60.0,
    ) -> None:
        super().__init__(max(1, workers), attempts=attempts, timeout_s=timeout_s)
        _check_installed()
        self._scheduler = scheduler
        self._join_s = join_s
        self._wish: dict[str, Any] = {
            "home": os.getcwd(),
            "imports": tuple(imports),
            "token": None,
            "patience_s": _SEEN_S,
        }
        self._folder = None if folder is None else Path(folder).resolve()
        self._open = contextlib.ExitStack()
        self._client: Any = None
        self._address = scheduler
        self._scratch = ""
        self._members: dict[str, _Member] = {}
        self._shunned: set[str] = set()
        self._hired: dict[str, subprocess.Popen[bytes]] = {}
        self._sockets: dict[str, socket.socket] = {}
        self._names = 0
        self._happened: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._endings: list[tuple[Task, Ending]] = []
        self._looked = 0.0
        self._manned = math.inf
        self._peaks = 0
        self._resting = False

    def __enter__(self) -> DaskPool:
        self.warm()
        return self

    @property
    def _ours(self) -> bool:
        return self._scheduler == LOCAL

    def warm(self) -> None:
        """Connect, and have workers of our own started; they get ready in the background.

        Raises:
            ServiceError: the scheduler does not answer, or no worker joined.
            UsageError: no worker that joined can be used; the message says of each, why.
        """
        self._resting = False
        try:
            if self._client is None:
                self._connect()
            while self._ours and len(self._hired) < self.workers:
                self._hire()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End our own workers at once and leave the scheduler; what workers are busy with is lost."""
        for process in self._hired.values():
            with contextlib.suppress(OSError):
                process.kill()
        for name in list(self._hired):
            self._bury(name)
        self._members.clear()
        self._forget()
        self._client = None
        self._open.close()

    def retire(self) -> None:
        """End our own workers that are idle; those of others keep their memory as their nannies tell them."""
        self._resting = True
        for member in [member for member in self._members.values() if member.task is None and member.pid]:
            if member.name in self._hired:
                self._hired[member.name].kill()
                self._bury(member.name)
                self._peaks += member.peak
                self._shunned.add(self._members.pop(member.address).address)

    def peak_rss(self) -> int:
        """Peak resident memory of this process plus those of all workers, bytes: an upper bound of their sum."""
        return memory.peak_rss() + self._peaks + sum(member.peak for member in self._members.values())

    @property
    def _share_memory(self) -> bool:
        return self._ours

    def worker_bytes(self, text: str) -> int:
        """Memory that each worker may use for pixels: of a cluster, what is given is for each worker."""
        return super().worker_bytes(text) if self._ours else memory.worker_bytes(text, 1)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process numbers of the workers, each on its own machine."""
        if self._ours:
            return tuple(process.pid for process in self._hired.values())
        return tuple(member.pid for member in self._members.values() if member.pid)

    def _free(self) -> bool:
        return self._idle() is not None

    def _idle(self) -> _Member | None:
        for member in self._members.values():
            process = self._hired.get(member.name)
            if member.pid and member.task is None and (process is None or process.poll() is None):
                return member
        return None

    def _give(self, task: Task) -> bool:
        member = self._idle()
        if member is None:
            return False
        member.task = task
        member.future = self._submit(member.address, call, self._wish, task.function, task.argument)
        return True

    def _wait(self, seconds: float | None) -> Iterator[tuple[Task, Ending]]:
        with contextlib.suppress(queue.Empty):
            self._heed(self._happened.get(timeout=min(_LOOK_S, _LOOK_S if seconds is None else seconds)))
            while True:
                self._heed(self._happened.get_nowait())
        self._look()
        endings, self._endings = self._endings, []
        yield from endings

    def _end(self, task: Task) -> None:
        for member in [member for member in self._members.values() if member.task is task]:
            member.task = None
            self._leave(member, "")
            if member.name in self._hired:
                self._hired[member.name].kill()
                self._bury(member.name)
                self.warm()
            else:  # its nanny may start another; without one, it is left alone for good
                with contextlib.suppress(Exception):
                    self._client.restart_workers([member.address], timeout=5, raise_for_error=False)

    def _connect(self) -> None:
        import dask
        from distributed import Client, LocalCluster

        self._scratch = self._open.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        self._open.enter_context(dask.config.set(_DASK))
        self._open.enter_context(_silence())
        if self._ours:
            layout = {"n_workers": 0, "processes": False, "protocol": "tcp", "host": "127.0.0.1"}
            cluster = LocalCluster(**layout, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL)
            self._address = self._open.enter_context(cluster).scheduler_address
        self._leave_token()
        try:
            client = Client(self._address, set_as_default=False, timeout=min(10.0, self._join_s))
        except (OSError, ValueError, TypeError) as error:
            self.close()
            reason = str(error) or type(error).__name__
            raise ServiceError(
                f"no Dask scheduler answers at {self._scheduler}: {reason}; start one with `dask scheduler`, or leave "
                "out --scheduler."
            ) from None
        self._client = self._open.enter_context(client)
        if not self._ours:
            self._await_members()
        self._manned = time.monotonic()

    def _leave_token(self) -> None:
        """Write a file by which a worker shows that it sees what this process sees."""
        if self._folder is None:
            return
        path, text = self._folder / f"{_TOKEN}{secrets.token_hex(8)}", secrets.token_hex(16)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for left in self._folder.glob(f"{_TOKEN}*"):  # by a run that was killed: a folder has one run at a time
                left.unlink()
            path.write_text(text, "utf-8")
        except OSError as error:
            raise OutputError(f"cannot write to {self._folder}: {error.strerror or error}.") from error
        self._open.callback(path.unlink, missing_ok=True)
        self._wish["token"] = str(path), text

    def _await_members(self) -> None:
        """Wait until all workers that are there, and as many as were asked for, have answered."""
        deadline, asked = time.monotonic() + self._join_s, self.workers
        while time.monotonic() < deadline:
            list(self._wait(None))
            ready = [member for member in self._members.values() if member.pid]
            if len(self.refused) >= asked and not self._members:
                self._say_who_is_missing()
            if ready and len(ready) == len(self._members) and len(ready) + len(self.refused) >= asked:
                break
        else:
            self._say_who_is_missing()
        self.workers = sum(1 for member in self._members.values() if member.pid)

    def _say_who_is_missing(self) -> None:
        if any(member.pid for member in self._members.values()):
            return
        if self.refused:
            told = "; ".join(f"{name} {reason}" for name, reason in sorted(self.refused.items()))
            raise UsageError(f"no Dask worker of {self._address} can be used: {told}.")
        raise ServiceError(
            f"no worker is at the Dask scheduler {self._address} within {self._join_s:g} s: start some with "
            f"`dask worker {self._address} --nthreads 1`."
        )

    def _submit(self, address: str, function: Any, *arguments: Any) -> Any:
        """Send a call to one worker, and nowhere else."""
        try:
            future = self._client.submit(
                function, *arguments, workers=[address], allow_other_workers=False, pure=False, retries=0
            )
        except (OSError, RuntimeError) as error:
            raise self._lost() from error
        future.add_done_callback(self._happened.put)
        return future

    def _heed(self, future: Any) -> None:
        """A call to a worker ended: a greeting, or a task."""
        member = next((one for one in self._members.values() if one.future is future), None)
        if member is None:
            return
        try:
            value = future.result(timeout=20)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self._heed_failure(member, error)
            return
        member.future = None
        future.release()
        if not member.pid:
            self._welcome(member, value)
            return
        kind, result, member.peak = value
        if member.task is not None:
            self._endings.append((member.task, (kind, result)))
            member.task = None

    def _heed_failure(self, member: _Member, error: BaseException) -> None:
        """Dask could not carry a call out: the worker is gone, or does not understand it."""
        from distributed import KilledWorker

        if self._client.status != "running":
            raise self._lost() from None
        gone = isinstance(error, KilledWorker | OSError) or type(error).__name__.endswith("CancelledError")
        if gone:
            self._leave(member, "went away (out of memory? use fewer --workers or less --memory)")
        elif not member.pid:
            self._refuse(member, f"has no groundshift {__version__} ({type(error).__name__}: {error})")
        elif member.task is not None:
            self._endings.append((member.task, (FAILED, f"{type(error).__name__}: {error}")))
            member.task = member.future = None

    def _welcome(self, member: _Member, told: Mapping[str, Any]) -> None:
        if told["version"] != __version__:
            self._refuse(member, f"has groundshift {told['version']}, and this is {__version__}: install the same")
        elif not told["sees"]:
            self._refuse(member, f"does not see {self._folder or os.getcwd()}: all workers need the folders of the run")
        else:
            member.pid, member.future = int(told["pid"]), None

    def _refuse(self, member: _Member, why: str) -> None:
        self.refused[f"{member.name} ({member.address})"] = why
        self._shunned.add(member.address)
        del self._members[member.address]

    def _leave(self, member: _Member, how: str) -> None:
        """A worker is used no more; what it had is told as lost."""
        self._members.pop(member.address, None)
        self._shunned.add(member.address)
        self._peaks += member.peak
        if member.future is not None:
            member.future.release()
        if member.task is not None:
            self._endings.append((member.task, (LOST, f"the Dask worker {member.name} {how} {member.task.doing}")))

    def _look(self) -> None:
        """See who has come and who has gone."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S * (1 + len(self._members) / 100):
            return
        self._looked = now
        self._look_at_ours()
        there = self._there()
        for member in [member for member in self._members.values() if member.address not in there]:
            self._leave(member, "went away (out of memory? use fewer --workers or less --memory)")
        self._shunned &= there.keys()
        for address, facts in there.items():
            if address not in self._members and address not in self._shunned:
                self._greet(address, facts)
        if any(member.pid for member in self._members.values()):
            self._manned = now
        elif now - self._manned > self._join_s:
            raise SchedulerLost(
                f"for {self._join_s:g} s no worker was left at the Dask scheduler {self._address}: start some, and "
                "this run again: it goes on where it was."
            )

    def _look_at_ours(self) -> None:
        for name in [name for name, process in self._hired.items() if process.poll() is not None]:
            how = cause(self._bury(name))
            for member in [member for member in self._members.values() if member.name == name]:
                self._leave(member, f"{how}")
        if self._ours and (self._queue or not self._resting):
            self.warm()

    def _there(self) -> dict[str, Mapping[str, Any]]:
        """Workers by address, as the scheduler knows them."""
        try:
            if self._client.status == "running":
                return dict(self._client.scheduler_info()["workers"])
        except (OSError, TimeoutError):
            pass
        raise self._lost()

    def _lost(self) -> SchedulerLost:
        return SchedulerLost(
            f"the Dask scheduler {self._address} went away; start it, and this run again: it goes on where it was."
        )

    def _greet(self, address: str, facts: Mapping[str, Any]) -> None:
        member = _Member(address, str(facts.get("name", address)), None)
        if self._ours and member.name not in self._hired:
            return
        self._members[address] = member
        threads = int(facts.get("nthreads", 1))
        if threads != 1:
            self._refuse(member, f"has {threads} threads: start it with --nthreads 1, and more of them (--nworkers)")
            return
        member.future = self._submit(address, greet, self._wish)

    def _hire(self) -> None:
        self._names += 1
        name = f"groundshift-{os.getpid()}-{self._names}"
        ours, theirs = socket.socketpair()
        with theirs:
            self._sockets[name] = ours
            self._hired[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", "groundshift.execution.dask_worker", self._address, name],
                stdin=theirs.fileno(),
                stdout=2,
                env=environment() | _OURS | {"DASK_TEMPORARY_DIRECTORY": self._scratch},
            )

    def _bury(self, name: str) -> int:
        """Wait for a process of ours that has ended; its code."""
        self._sockets.pop(name).close()
        process = self._hired.pop(name)
        try:
            return process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Dask logs whatever happens to a worker; what of it matters is told in our own words."""
    before = {
        handler: handler.level
        for name in ("distributed", *logging.getLogger("distributed").manager.loggerDict)
        if name.startswith("distributed")
        for handler in logging.getLogger(name).handlers
    }
    for handler in before:
        handler.setLevel(logging.CRITICAL)
    yield
    for handler, level in before.items():
        handler.setLevel(level)


def _check_installed() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise UsageError(
            "--scheduler needs Dask, which is not installed: pip install 'groundshift[dask]', or leave it out."
        ) from None
