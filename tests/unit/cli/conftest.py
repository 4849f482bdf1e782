"""A pipeline that only remembers the job that it was given, so that the command line is tested by itself."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from groundshift import pipelines
from groundshift.cli.main import _groundshift, guarded
from groundshift.cli.s2cd import _s2cd
from groundshift.errors import GroundshiftWarning, OrbitWarning
from groundshift.pipelines.job import ChangeJob

SUMMARY: dict[str, Any] = {
    "outdir": "OUT",
    "outputs": {"S2-CD": "OUT/S2-CD.tif", "report": "OUT/report.html"},
    "kinds": [
        {"code": 1, "pixels": 1234567, "hectares": 12345.67, "mean_amplitude": 8.123, "hint": "water"},
        {"code": 2, "pixels": 12, "hectares": None, "mean_amplitude": None, "hint": "[bold]vegetation loss"},
    ],
    "changed_percent": 1.2345,
    "nodata_percent": 0.0,
}


@dataclass
class Recorded:
    """What the stand-in was asked to run."""

    jobs: list[ChangeJob] = field(default_factory=list)
    error: BaseException | None = None
    warnings: tuple[GroundshiftWarning, ...] = (OrbitWarning("relative orbits 30 and 73 differ."),)

    def run(self, job: ChangeJob, progress: object = None) -> types.SimpleNamespace:
        """Stand in for ``pipelines.change.run``."""
        self.jobs.append(job)
        if self.error is not None:
            raise self.error
        return types.SimpleNamespace(summary=SUMMARY, warnings=self.warnings)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    recorded = Recorded()
    module = types.ModuleType("groundshift.pipelines.change")
    module.run = recorded.run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "groundshift.pipelines.change", module)
    monkeypatch.setattr(pipelines, "change", module, raising=False)
    return recorded


@pytest.fixture
def groundshift() -> Callable[..., int]:
    """``groundshift ARGS``; returns the exit code."""
    return lambda *argv: guarded(_groundshift, list(argv), "groundshift")


@pytest.fixture
def s2cd() -> Callable[..., int]:
    """``S2-CD ARGS``; returns the exit code."""
    return lambda *argv: guarded(_s2cd, list(argv), "S2-CD")
