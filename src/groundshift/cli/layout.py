"""How help is laid out: options under headings, examples as they are typed, readable from 30 columns on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from groundshift.errors import UsageError
from groundshift.pipelines.jobfile import hint

_NARROW = 70


def width() -> int:
    """Columns of the terminal, between 30 and 100."""
    return min(100, max(30, shutil.get_terminal_size().columns))


def examples(*lines: str) -> str:
    """The text of ``epilog``: one command a line."""
    return "\n".join(lines)


class Command(TyperCommand):
    """A command whose help groups its options by ``rich_help_panel`` and ends in examples."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """``[OPTIONS] BEFORE AFTER``."""
        arguments = [param for param in self.get_params(ctx) if param.param_type_name == "argument"]
        return ["[OPTIONS]", *(_name(param) if param.required else f"[{_name(param)}]" for param in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, each under its heading."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and param.param_type_name == "argument":
                groups.setdefault("Arguments", []).append((_name(param), record[1].replace("  [required]", "")))
            elif record is not None:
                groups.setdefault(getattr(param, "rich_help_panel", None) or "Options", []).append(record)
        for heading, rows in groups.items():
            with formatter.section(heading):
                _write_rows(formatter, rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        _write_examples(formatter, self.epilog)


class Group(TyperGroup):
    """The command above the commands."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        _write_examples(formatter, self.epilog)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; one that does not exist is answered with the nearest name."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            raise UsageError(f"there is no command {name!r}{hint(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


def _name(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _write_rows(formatter: Any, rows: Sequence[tuple[str, str]]) -> None:
    if formatter.width >= _NARROW:
        formatter.write_dl(rows, col_max=34)
        return
    for name, text in rows:
        formatter.write(f"{'':>{formatter.current_indent}}{name}\n")
        if text:
            with formatter.indentation():
                formatter.write_text(text)


def _write_examples(formatter: Any, text: str | None) -> None:
    if text:
        formatter.write("\nExamples:\n")
        for line in text.splitlines():
            formatter.write(f"  {line}\n")


Debug = typer.Option("--debug", help="Show where an error came from.", rich_help_panel="Talking")
"""Read from the command line by :func:`groundshift.cli.main.guarded`; declared here so that help knows it."""
Quiet = typer.Option("--quiet", "-q", help="Only warnings and errors.", rich_help_panel="Talking")
Json = typer.Option("--json", help="Print the result as JSON on stdout.", rich_help_panel="Talking")
Save = typer.Option(
    "--save-config", metavar="JOB.TOML", help="Write the job as a file for groundshift run.", rich_help_panel="Running"
)
