"""Running a change job from a command: progress on stderr, the result on stdout as a table or as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from groundshift.errors import GroundshiftWarning
from groundshift.execution.progress import progress
from groundshift.pipelines.job import ChangeJob


def execute(job: ChangeJob, *, as_json: bool, quiet: bool) -> dict[str, Any]:
    """Run a job and print what came out; returns the summary."""
    from groundshift.pipelines import change

    result = change.run(job, progress(quiet))
    print_warnings(result.warnings)
    summary: dict[str, Any] = result.summary
    if as_json:
        print_json(summary)
    elif not quiet:
        print_summary(summary)
    return summary


def print_warnings(warnings: Iterable[GroundshiftWarning]) -> None:
    """Warnings on stderr, a line each."""
    for warning in warnings:
        print(f"groundshift: warning: {warning.name}: {warning}", file=sys.stderr)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_summary(summary: Mapping[str, Any]) -> None:
    """Kinds of change as a table, then shares and paths, one a line."""
    kinds: Sequence[Mapping[str, Any]] = summary.get("kinds", ())
    if kinds:
        columns = {"code": "kind", "pixels": "pixels", "hectares": "ha", "mean_amplitude": "amplitude", "hint": "hint"}
        print_table(list(columns.values()), [[cell(kind.get(key)) for key in columns] for kind in kinds])
    for key, label in (("changed_percent", "changed"), ("nodata_percent", "no data")):
        if summary.get(key) is not None:
            print(f"{label}: {cell(summary[key])} %")
    for name, path in summary.get("outputs", {}).items():
        print(f"{name}: {path}")


def cell(value: object) -> str:
    """A value as a person reads it: three or four digits, ``-`` for none."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


_UNBROKEN = 10
"""Letters of a column that a narrow terminal does not break: a date."""


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout, without colour where that is no terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        numbers = all(row[i][:1] in "-0123456789" for row in rows)
        short = max(map(len, (name, *(row[i] for row in rows)))) <= _UNBROKEN
        table.add_column(name, justify="right" if numbers else "left", overflow="fold", no_wrap=short)
    for row in rows:
        table.add_row(*(Text(item) for item in row))
    plain = "NO_COLOR" in os.environ
    Console(file=sys.stdout, highlight=False, color_system=None if plain else "auto").print(table)
