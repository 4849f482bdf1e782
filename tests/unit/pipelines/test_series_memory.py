"""How many workers a series may have under a limit of memory."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from groundshift.errors import UsageError
from groundshift.execution import memory
from groundshift.pipelines import series_memory
from groundshift.pipelines.series_job import SeriesJob

FULL = 10_980


def asked(text: str, columns: int = FULL, **more: Any) -> int | None:
    """Workers for a series of images so wide."""
    run = {"memory": text, "workers": 64, **more}
    job = SeriesJob.model_validate({"input": {"scenes": ["a"]}, "output": {"outdir": "out"}, "run": run})
    view = SimpleNamespace(geobox=SimpleNamespace(shape=(100, columns)))
    return series_memory.workers(job, SimpleNamespace(fields=(view,)))  # type: ignore[arg-type]


def test_the_limit_settles_how_many_units_are_at_work() -> None:
    counts = [asked(f"{gib}G") for gib in (2, 4, 8, 16)]
    assert counts == sorted(counts)
    assert (counts[0] or 0) >= 2, "the default does for two workers on whole tiles"
    assert asked("2G", workers=1) == 1
    assert asked("900G") == 64
    job = SeriesJob.model_validate({"input": {"scenes": ["a"]}, "output": {"outdir": "out"}})
    for gib, count in zip((2, 4, 8, 16), counts, strict=True):
        assert count is not None
        assert memory.worker_bytes(f"{gib}G", count) >= series_memory.needed(job, FULL)
        assert memory.worker_bytes(f"{gib}G", count + 1) < series_memory.needed(job, FULL)


def test_a_limit_that_is_too_small_is_refused_with_one_that_does() -> None:
    with pytest.raises(UsageError, match=r"--memory is 400M, and this series needs \d+M with one worker") as caught:
        asked("400M")
    wanted = int(re.findall(r"needs (\d+)M", str(caught.value))[0])
    assert asked(f"{wanted}M") == 1
    with pytest.raises(UsageError):
        asked(f"{wanted - 1}M")


def test_of_a_cluster_each_worker_has_the_limit() -> None:
    assert asked("2G", scheduler="tcp://host:8786", workers=None) is None
    assert asked("2G", scheduler="tcp://host:8786", workers=50) == 50
    with pytest.raises(UsageError):
        asked("400M", scheduler="tcp://host:8786")
    assert asked("2G", scheduler="local") == asked("2G")


def test_wider_images_need_more_until_rows_are_cut(tmp_path: Path) -> None:
    job = SeriesJob.model_validate({"input": {"scenes": ["a"]}, "output": {"outdir": str(tmp_path)}})
    few = job.model_copy(update={"normalise": job.normalise.model_copy(update={"sample_pixels": 1000})})
    assert series_memory.needed(few, 16_000) > series_memory.needed(few, 10) > 2**26
    assert series_memory.needed(few, 100_000) < series_memory.needed(few, 16_000)
    assert series_memory.needed(job, 10) > series_memory.needed(few, 10), "the sample of a fit"
