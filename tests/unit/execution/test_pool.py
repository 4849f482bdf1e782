"""Worker processes of our own."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from groundshift.errors import GridError, ProductError
from groundshift.execution.pool import Pool, TaskError, WorkerDied

_TASKS = """
import os, signal, time
from groundshift.errors import GridError

def slow_square(x):
    time.sleep(0.05 * (x % 3))
    return x * x

def refuse(x):
    raise GridError("the two do not overlap, says %s" % x)

def break_(x):
    return {}[x]

def lambda_(x):
    return lambda: x

def die_at_three(x):
    if x == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    return x

def sleep_or_refuse(x):
    if x == 0:
        raise GridError("at once")
    time.sleep(0.5)
    return x

def wait_for(path):
    deadline = time.monotonic() + 20
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.getpid()

def process(_):
    return os.getpid()

def environment(_):
    names = ("GDAL_NUM_THREADS", "GDAL_SKIP", "OMP_NUM_THREADS", "GDAL_CACHEMAX")
    return {name: os.environ.get(name) for name in names}

def speak(_):
    print("hello")

def hog(n):
    return len(bytearray(n))
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    (tmp_path / "pool_tasks.py").write_text(_TASKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pool_tasks", raising=False)
    import pool_tasks

    return pool_tasks


def _gone(pids: tuple[int, ...]) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() and not _zombie(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order_and_each_is_told_once(tasks: object, workers: int) -> None:
    seen: list[int] = []
    with Pool(workers) as pool:
        results = pool.run(tasks.slow_square, range(10), seen.append)  # type: ignore[attr-defined]
        pids = pool.pids
    assert results == [x * x for x in range(10)]
    assert sorted(seen) == results
    assert len(pids) == workers
    assert _gone(pids)


def test_arguments_are_taken_only_when_a_worker_is_free() -> None:
    taken: list[int] = []
    ahead: list[int] = []

    def arguments() -> Iterator[int]:
        for x in range(20):
            taken.append(x)
            yield x

    done: list[float] = []

    def on_result(value: float) -> None:
        done.append(value)
        ahead.append(len(taken) - len(done))

    with Pool(2) as pool:
        pool.run(math.sqrt, arguments(), on_result)
    assert max(ahead) <= 2


def test_an_error_that_groundshift_raised_arrives_as_itself(tasks: object) -> None:
    with Pool(1) as pool, pytest.raises(GridError, match="do not overlap, says 5"):
        pool.run(tasks.refuse, [5])  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["break_", "lambda_"])
def test_any_other_error_arrives_with_its_traceback(tasks: object, name: str) -> None:
    with Pool(1) as pool:
        with pytest.raises(TaskError, match=r"(?s)Traceback.*(KeyError|lambda)"):
            pool.run(getattr(tasks, name), [5])
        assert pool.run(math.sqrt, [4]) == [2]


def test_a_worker_that_dies_is_named_with_its_task_and_replaced(tasks: object) -> None:
    with Pool(2) as pool:
        with pytest.raises(ProductError, match=r"SIGSEGV while reading B0\d of A\.zip") as caught:
            pool.run(tasks.die_at_three, range(6), describe=lambda x: f"while reading B0{x} of A.zip")  # type: ignore[attr-defined]
        assert isinstance(caught.value, WorkerDied)
        assert "B03" in str(caught.value)
        assert caught.value.exit_code == 65
        assert pool.run(math.sqrt, range(8)) == [math.sqrt(x) for x in range(8)]
        assert len(pool.pids) == 2


def test_a_worker_that_died_between_two_runs_is_replaced_without_a_word() -> None:
    with Pool(2) as pool:
        pool.run(math.sqrt, [1, 4])
        os.kill(pool.pids[0], signal.SIGKILL)
        time.sleep(0.2)
        assert pool.run(math.sqrt, [9, 16, 25]) == [3, 4, 5]


def test_results_of_a_run_that_failed_do_not_leak_into_the_next(tasks: object) -> None:
    with Pool(2) as pool:
        pool.run(math.sqrt, [1, 1])
        for _ in range(2):
            with pytest.raises(GridError):
                pool.run(tasks.sleep_or_refuse, [7, 0])  # type: ignore[attr-defined]
        assert pool.run(math.sqrt, [1, 4, 9]) == [1, 2, 3]


def test_a_started_task_runs_beside_later_runs(tasks: object, tmp_path: Path) -> None:
    with Pool(2) as pool:
        started = pool.start(tasks.wait_for, str(tmp_path / "go"))  # type: ignore[attr-defined]
        others = set(pool.run(tasks.process, range(4)))  # type: ignore[attr-defined]
        (tmp_path / "go").touch()
        assert {started.result(), *others} == set(pool.pids)
        assert len(others) == 1
        assert started.result() == started.result()


def test_idle_workers_retire_and_busy_ones_go_on(tasks: object, tmp_path: Path) -> None:
    with Pool(3) as pool:
        pool.run(math.sqrt, [1, 4, 9])
        started = pool.start(tasks.wait_for, str(tmp_path / "go"))  # type: ignore[attr-defined]
        before, peak = set(pool.pids), pool.peak_rss()
        pool.retire()
        (left,) = pool.pids
        assert left in before
        assert pool.peak_rss() >= peak - 2**20
        (tmp_path / "go").touch()
        assert started.result() == left
        assert pool.run(math.sqrt, range(6)) == [math.sqrt(x) for x in range(6)]
        assert len(pool.pids) == 3


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_more_tasks_may_be_started_than_there_are_workers(tasks: object, workers: int) -> None:
    with Pool(workers) as pool:
        started = [pool.start(tasks.slow_square, x) for x in range(5)]  # type: ignore[attr-defined]
        assert pool.run(math.sqrt, [4, 9]) == [2, 3]
        started += [pool.start(tasks.slow_square, x) for x in range(5, 9)]  # type: ignore[attr-defined]
        assert [task.result() for task in reversed(started)] == [64, 49, 36, 25, 16, 9, 4, 1, 0]


def test_without_workers_a_started_task_waits_until_its_result_is_asked_for(tmp_path: Path) -> None:
    with Pool(0) as pool:
        started = pool.start(Path.touch, tmp_path / "here")
        assert not (tmp_path / "here").exists()
        started.result()
        assert (tmp_path / "here").exists()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_error_of_a_started_task_arrives_with_its_result_only(tasks: object, workers: int) -> None:
    with Pool(workers) as pool:
        started = pool.start(tasks.refuse, 5)  # type: ignore[attr-defined]
        assert pool.run(math.sqrt, [4, 9, 16]) == [2, 3, 4]
        for _ in range(2):
            with pytest.raises(GridError, match="do not overlap, says 5"):
                started.result()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_death_of_a_started_task_is_told_with_its_result_only(tasks: object, workers: int) -> None:
    with Pool(workers) as pool:
        started = pool.start(tasks.die_at_three, 3, lambda x: f"while writing map {x}")  # type: ignore[attr-defined]
        assert pool.run(tasks.slow_square, range(6)) == [x * x for x in range(6)]  # type: ignore[attr-defined]
        with pytest.raises(WorkerDied, match="SIGSEGV while writing map 3"):
            started.result()
        assert len(pool.pids) == workers


def test_closing_ends_a_started_task_and_its_result_says_so(tasks: object, tmp_path: Path) -> None:
    began = time.monotonic()
    with Pool(1) as pool:
        running, queued = (pool.start(tasks.wait_for, str(tmp_path / "never")) for _ in range(2))  # type: ignore[attr-defined]
        pids = pool.pids
    assert time.monotonic() - began < 10
    assert _gone(pids)
    for task in (running, queued):
        with pytest.raises(WorkerDied, match="closed before the task was done"):
            task.result()


def test_workers_have_one_thread_each_and_no_vrt(tasks: object) -> None:
    with Pool(1) as pool:
        environment = pool.run(tasks.environment, [0])[0]  # type: ignore[attr-defined]
    assert environment == {
        "GDAL_NUM_THREADS": "1",
        "GDAL_SKIP": "VRT",
        "OMP_NUM_THREADS": "1",
        "GDAL_CACHEMAX": "64",
    }


def test_what_a_task_prints_never_lands_on_standard_output(tasks: object, capfd: pytest.CaptureFixture[str]) -> None:
    with Pool(1) as pool:
        pool.run(tasks.speak, [0])  # type: ignore[attr-defined]
    time.sleep(0.1)
    assert capfd.readouterr().out == ""


def test_an_address_space_limit_turns_a_hog_into_an_error(tasks: object) -> None:
    with Pool(1, address_space=2**30) as pool:
        assert pool.run(tasks.hog, [2**20]) == [2**20]  # type: ignore[attr-defined]
        with pytest.raises(TaskError, match="MemoryError"):
            pool.run(tasks.hog, [2**31])  # type: ignore[attr-defined]


def test_arrays_travel_both_ways_and_a_task_costs_less_than_two_milliseconds() -> None:
    with Pool(1) as pool:
        array = np.arange(1_000_000, dtype=np.float32)
        assert np.array_equal(pool.run(np.negative, [array])[0], -array)
        begin = time.perf_counter()
        pool.run(math.sqrt, range(200))
        assert (time.perf_counter() - begin) / 200 < 2e-3


_SCRIPT = """
import sys, time
from groundshift.execution.pool import Pool
with Pool(2) as pool:
    print(*pool.pids, flush=True)
    pool.run(time.sleep, [60, 60])
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_a_script_that_is_stopped_and_no_main_guard_is_needed(tmp_path: Path, end: int) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(_SCRIPT))
    # A shell in the background ignores SIGINT, and so would the script.
    script.write_text("import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n" + script.read_text())
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        pids = tuple(int(pid) for pid in process.stdout.readline().split())
        time.sleep(0.3)
        process.send_signal(end)
        process.wait(5)
    assert len(pids) == 2
    assert _gone(pids)


def test_a_worker_ignores_the_interrupt_that_a_terminal_sends_to_all() -> None:
    with Pool(1) as pool:
        pool.run(math.sqrt, [1])
        os.kill(pool.pids[0], signal.SIGINT)
        assert pool.run(math.sqrt, [4]) == [2]
