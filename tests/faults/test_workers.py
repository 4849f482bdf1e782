"""K1 to K8: workers that are killed, hang, run out of memory, come and go, are of another version; units that fail."""

from __future__ import annotations

import hashlib
import importlib
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import groundshift
from groundshift.errors import GridError, GroundshiftError, ServiceError, UsageError
from groundshift.execution import dask_pool
from groundshift.execution.backend import open_pool
from groundshift.execution.crew import ATTEMPTS, Crew, TaskError, WorkerDied
from groundshift.execution.dask_pool import DaskPool, SchedulerLost
from groundshift.execution.journal import Journal
from groundshift.execution.pool import Pool, environment

pytest.importorskip("distributed")

_UNITS = '''
import os, signal, time
from pathlib import Path
import numpy as np
from groundshift.errors import GridError

def block(seed):
    """What a unit returns: numbers that depend on the unit alone."""
    values = np.random.default_rng(seed).normal(size=(64, 64)).astype(np.float32)
    return np.linalg.svd(values, compute_uv=False).tobytes()

def faulty(unit):
    """Note the attempt; do, on the first ones, what the unit says; then its work."""
    number, fault, times, folder = unit
    log = Path(folder, f"{number}.log")
    with log.open("a") as stream:
        stream.write("x")
    if len(log.read_text()) <= times:
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "short" and crowded(folder):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if fault == "disk":
            raise OSError(5, "the disk did not answer")
        if fault == "grid":
            raise GridError("the two do not overlap")
        if fault == "bug":
            return {}[number]
    return block(number)

def crowded(folder):
    """Whether another unit is at work within a second, in a process that lives."""
    own, end = str(os.getpid()), time.monotonic() + 1
    while time.monotonic() < end:
        others = {path.stem for path in Path(folder).glob("*.busy")} - {own}
        if any(Path("/proc", other).exists() for other in others):
            return True
        time.sleep(0.01)
    return False

def greedy(unit):
    """As faulty, at work where others can see it."""
    busy = Path(unit[3], f"{os.getpid()}.busy")
    busy.touch()
    try:
        if unit[1] == "none":
            time.sleep(0.2)
        return faulty(unit)
    finally:
        busy.unlink()

def put(unit):
    """Write a file; slowly, where a file says so."""
    number, folder = unit
    if Path(folder, "slow").exists():
        time.sleep(0.1)
    Path(folder, f"{number}.bin").write_bytes(block(number))
    return str(number)
'''


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("units")
    (folder / "units_of_tests.py").write_text(_UNITS)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("units_of_tests")
    sys.path.remove(str(folder))
    del sys.modules["units_of_tests"]


@pytest.fixture(scope="module", params=["processes", "dask"])
def crew(request: pytest.FixtureRequest, units: ModuleType) -> Iterator[Crew]:
    """Two workers of each kind."""
    scheduler = "local" if request.param == "dask" else None
    with open_pool(2, scheduler=scheduler, imports=["numpy"]) as opened:
        yield opened


@pytest.fixture
def fresh(crew: Crew) -> Iterator[Crew]:
    """The workers, with nothing remembered."""
    crew.retried.clear()
    yield crew
    crew.timeout_s = None


def _told(units: ModuleType, crew: Crew, faults: dict[int, tuple[str, int]], folder: Path) -> tuple[Any, Any]:
    """Results, and what failed for good, of ten units some of which have faults."""
    work = [(number, *faults.get(number, ("none", 0)), str(folder)) for number in range(10)]
    failed: dict[int, GroundshiftError] = {}
    results = crew.run(
        units.faulty,
        work,
        describe=lambda unit: f"in unit {unit[0]}",
        on_failure=lambda unit, error: failed.update({unit[0]: error}),
    )
    return results, failed


def _tries(folder: Path, number: int) -> int:
    return len((folder / f"{number}.log").read_text())


def test_results_do_not_depend_on_where_units_run(units: ModuleType, fresh: Crew) -> None:
    assert fresh.run(units.block, range(12)) == [units.block(seed) for seed in range(12)]


def test_k1_workers_that_are_killed_cost_their_units_one_more_attempt(
    units: ModuleType, fresh: Crew, tmp_path: Path
) -> None:
    results, failed = _told(units, fresh, {4: ("kill", 2)}, tmp_path)
    assert (results, failed) == ([units.block(number) for number in range(10)], {})
    assert len(fresh.retried) == 2
    assert all("SIGKILL" in told and "in unit" in told for told in fresh.retried)
    assert [_tries(tmp_path, number) for number in range(10)] == [1, 1, 1, 1, 3, 1, 1, 1, 1, 1]


def test_k2_k6_what_fails_every_time_is_told_and_costs_no_other_unit(
    units: ModuleType, fresh: Crew, tmp_path: Path
) -> None:
    faults = {0: ("kill", 99), 2: ("grid", 99), 5: ("disk", 99), 6: ("bug", 99), 8: ("disk", 1)}
    results, failed = _told(units, fresh, faults, tmp_path)
    assert results == [units.block(number) for number in (1, 3, 4, 7, 8, 9)]
    assert {number: type(error) for number, error in failed.items()} == {
        0: WorkerDied,
        2: GridError,
        5: TaskError,
        6: TaskError,
    }
    assert "in unit 0 (tried 3 times, the last time alone)" in str(failed[0])
    assert "--workers" in str(failed[0])
    assert "--memory" in str(failed[0])
    # What memory or files may cause is tried again; what the data say, or a bug, would come out the same.
    assert [_tries(tmp_path, number) for number in (0, 2, 5, 6, 8)] == [ATTEMPTS, 1, ATTEMPTS, 1, 2]


def test_k2_a_unit_that_needs_all_the_memory_has_it_at_its_last_attempt(
    units: ModuleType, fresh: Crew, tmp_path: Path
) -> None:
    """Two at work are more than there is memory for: whoever needs most of it is killed."""
    work = [(number, "short" if number == 3 else "none", 99, str(tmp_path)) for number in range(10)]
    assert fresh.run(units.greedy, work) == [units.block(number) for number in range(10)]
    assert 1 < _tries(tmp_path, 3) == 1 + len(fresh.retried) <= ATTEMPTS
    (tmp_path / "all").mkdir()
    short = [(number, "short", 99, str(tmp_path / "all")) for number in range(3)]
    assert fresh.run(units.greedy, short) == [units.block(number) for number in range(3)]


def test_without_on_failure_the_first_error_ends_the_run_and_the_crew_works_on(
    units: ModuleType, fresh: Crew, tmp_path: Path
) -> None:
    work = [(number, "grid" if number == 3 else "none", 99, str(tmp_path)) for number in range(50)]
    with pytest.raises(GridError, match="do not overlap"):
        fresh.run(units.faulty, work)
    assert len(list(tmp_path.glob("*.log"))) < 20
    assert fresh.run(units.block, range(4)) == [units.block(seed) for seed in range(4)]


def test_k3_a_worker_that_hangs_is_replaced_and_its_unit_done_by_another(
    units: ModuleType, fresh: Crew, tmp_path: Path
) -> None:
    fresh.run(units.block, range(4))
    fresh.timeout_s = 2.0
    before = set(fresh.pids)
    results, failed = _told(units, fresh, {4: ("stop", 1)}, tmp_path)
    assert (results, failed) == ([units.block(number) for number in range(10)], {})
    assert fresh.retried == ["a worker did not finish within 2 s in unit 4"]
    (hung,) = before - set(fresh.pids)
    assert not Path(f"/proc/{hung}").exists()


def test_a_started_unit_is_tried_again_as_well(units: ModuleType, fresh: Crew, tmp_path: Path) -> None:
    started = fresh.start(units.faulty, (3, "disk", 1, str(tmp_path)))
    assert fresh.run(units.block, range(4)) == [units.block(seed) for seed in range(4)]
    assert started.result() == units.block(3)
    assert _tries(tmp_path, 3) == 2


def test_k7_units_are_taken_only_as_workers_are_free(units: ModuleType, fresh: Crew) -> None:
    taken, done = [0], [0]

    def plan() -> Iterator[int]:
        for number in range(100_000):
            taken[0] += 1
            yield number % 7

    def count(_: bytes) -> None:
        done[0] += 1
        assert taken[0] - done[0] <= 2 * fresh.workers
        if done[0] == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fresh.run(units.block, plan(), count)
    assert taken[0] < 40


def test_k7_a_plan_of_a_hundred_thousand_units_takes_little_memory() -> None:
    tracemalloc.start()
    with Pool(0) as pool:
        pool.run(abs, ((number) for number in range(100_000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_without_workers_failures_are_told_as_well(units: ModuleType, tmp_path: Path) -> None:
    with open_pool(0, scheduler="tcp://127.0.0.1:1") as pool:
        results, failed = _told(units, pool, {2: ("grid", 99), 6: ("bug", 99)}, tmp_path)
    assert results == [units.block(number) for number in (0, 1, 3, 4, 5, 7, 8, 9)]
    assert {number: type(error) for number, error in failed.items()} == {2: GridError, 6: TaskError}


class Cluster:
    """A scheduler whose workers the test starts."""

    def __init__(self, folder: Path) -> None:
        from distributed import LocalCluster

        layout: dict[str, Any] = {"n_workers": 0, "processes": False, "protocol": "tcp", "host": "127.0.0.1"}
        self._cluster = LocalCluster(**layout, dashboard_address="127.0.0.1:0", silence_logs=50)
        self._folder = folder
        self.address: str = self._cluster.scheduler_address
        self.workers: list[subprocess.Popen[bytes]] = []

    def join(self, name: str, version: str = "") -> subprocess.Popen[bytes]:
        """Start a worker; with the version of groundshift that is given."""
        variables = environment() | {
            "DASK_LOGGING__DISTRIBUTED": "critical",
            "DASK_TEMPORARY_DIRECTORY": str(self._folder),
        }
        if version:
            other = self._folder / version / "groundshift"
            other.mkdir(parents=True)
            real = [str(Path(groundshift.__file__).parent)]
            (other / "__init__.py").write_text(f"__version__ = {version!r}\n__path__ = {real!r}\n")
            variables["PYTHONPATH"] = os.pathsep.join((str(other.parent), variables["PYTHONPATH"]))
        command = [sys.executable, "-P", "-m", "groundshift.execution.dask_worker", self.address, name]
        self.workers.append(subprocess.Popen(command, stdin=subprocess.PIPE, env=variables))
        return self.workers[-1]

    def stop(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.communicate()
        self.workers.clear()

    def close(self) -> None:
        self.stop()
        self._cluster.close()


@pytest.fixture
def cluster(tmp_path: Path, units: ModuleType) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


def test_k5_workers_may_come_and_go_and_k8_those_of_another_version_are_refused(
    cluster: Cluster, units: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "slow").touch()
    first = cluster.join("first")
    cluster.join("stranger", "0.0.1")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".groundshift-token-of-a-run-that-was-killed").touch()

    with DaskPool(cluster.address, 2, folder=tmp_path / "run", timeout_s=60) as pool:
        assert pool.workers == 1
        assert pool.pids == (first.pid,)

        def plan() -> Iterator[tuple[int, str]]:
            """Units until two more have joined and the first is gone, and a few more."""
            deadline, more = time.monotonic() + 150, 5
            for number in range(2000):
                if number == 2:
                    cluster.join("second")
                    cluster.join("third")
                if len(pool.pids) == 3:
                    first.kill()
                if len(cluster.workers) == 4 and len(pool.pids) == 2 and first.poll() is not None:
                    more -= 1
                if more == 0 or time.monotonic() > deadline:
                    return
                yield number, str(tmp_path)

        done = pool.run(units.put, plan())
        assert set(pool.pids) == {worker.pid for worker in cluster.workers[2:]}
    ((who, why),) = pool.refused.items()
    assert who.startswith("stranger (tcp://127.0.0.1:")
    assert why == f"has groundshift 0.0.1, and this is {groundshift.__version__}: install the same"
    assert done == [str(number) for number in range(len(done))]
    assert [(tmp_path / f"{key}.bin").read_bytes() for key in done] == [units.block(int(key)) for key in done]
    assert list((tmp_path / "run").iterdir()) == []


def test_a_worker_that_does_not_see_the_folder_of_the_run_is_refused(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_pool, "_SEEN_S", 0.0)
    monkeypatch.setattr(DaskPool, "_leave_token", lambda pool: pool._wish.update(token=(str(tmp_path / "no"), "")))
    cluster.join("far")
    with (
        pytest.raises(UsageError, match=r"far \(tcp://.*\) does not see /.*run: all workers need the folders"),
        DaskPool(cluster.address, folder=tmp_path / "run"),
    ):
        pass


def test_a_scheduler_that_goes_away_ends_the_run_with_69_and_keeps_its_work(
    cluster: Cluster, units: ModuleType, tmp_path: Path
) -> None:
    cluster.join("only")
    with DaskPool(cluster.address, folder=tmp_path) as pool:
        with pytest.raises(SchedulerLost, match="goes on where it was") as caught:
            pool.run(units.put, [(number, str(tmp_path)) for number in range(99)], lambda _: cluster.close())
        assert caught.value.exit_code == 69
        assert isinstance(caught.value, WorkerDied)


def test_no_scheduler_and_no_worker_are_told_apart(cluster: Cluster) -> None:
    with (
        pytest.raises(ServiceError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9: "),
        _asked("tcp://127.0.0.1:9"),
    ):
        pass
    with pytest.raises(ServiceError, match="no worker is at the Dask scheduler"), _asked(cluster.address):
        pass


def _asked(address: str) -> DaskPool:
    return DaskPool(address, join_s=2.0)


_RUN = """
import signal, sys
from pathlib import Path
from groundshift.execution.backend import open_pool
from groundshift.execution.journal import Journal
import units_of_tests as units

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it
folder, scheduler = sys.argv[1], sys.argv[2]
journal = Journal(Path(folder))
todo = [(number, folder) for number in range(24) if str(number) not in journal.done]
with open_pool(2, scheduler=None if scheduler == "none" else scheduler) as pool:
    print(*pool.pids, flush=True)
    pool.run(units.put, todo, lambda key: (journal.add(key), print(key, flush=True)))
"""


@pytest.mark.parametrize(
    ("scheduler", "end"), [("none", signal.SIGKILL), ("local", signal.SIGKILL), ("local", signal.SIGINT)]
)
def test_k4_u1_a_run_that_is_stopped_leaves_no_worker_and_goes_on_where_it_was(
    units: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str, end: int
) -> None:
    script = tmp_path / "run.py"
    script.write_text(_RUN)
    (tmp_path / "slow").touch()
    command = [sys.executable, str(script), str(tmp_path), scheduler]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        pids = process.stdout.readline().split()
        process.stdout.readline()
        process.send_signal(end)
        process.communicate(timeout=100)
    assert _gone([int(pid) for pid in pids])
    done = Journal(tmp_path).done
    assert 0 < len(done) < 24
    before = {key: (tmp_path / f"{key}.bin").stat().st_mtime_ns for key in done}
    (tmp_path / "slow").unlink()
    monkeypatch.setattr(sys, "argv", ["run.py", str(tmp_path), "none"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    exec(compile(_RUN.replace("open_pool(2", "open_pool(0"), str(script), "exec"), {})
    assert Journal(tmp_path).done == {str(number) for number in range(24)}
    assert {key: (tmp_path / f"{key}.bin").stat().st_mtime_ns for key in done} == before
    digests = {hashlib.sha256((tmp_path / f"{number}.bin").read_bytes()).digest() for number in range(24)}
    assert digests == {hashlib.sha256(units.block(number)).digest() for number in range(24)}


def _gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not any(_alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
