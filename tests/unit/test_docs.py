"""The pages say what the program does. Run this file to write the table of options anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from groundshift import errors
from groundshift.cli import s2cd
from groundshift.cli.app import app
from groundshift.cli.options import GROUPS, OPTIONS
from groundshift.errors import GroundshiftError, GroundshiftWarning

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
CLI = DOCS / "reference" / "cli.md"
COMMANDS = (
    "series",
    "mosaic",
    "clouds",
    "features",
    "landcover train",
    "landcover predict",
    "polygons",
    "plot bands",
    "plot map",
    "design",
    "assess",
    "models train change",
    "estimate",
)
"""Those whose tables of options are made of the commands themselves."""
_GROUNDSHIFT: Any = typer.main.get_command(app)
TABLE = re.compile(r"(?<=<!-- options -->\n).*(?=<!-- end of options -->)", re.DOTALL)
TALKING = {"--json", "--quiet", "--debug", "--help"}
OTHER_FLAGS = {
    "--help",
    "--json",
    "--quiet",
    "--debug",
    "--version",
    "--set",
    "--save-config",
    "--truth",
    "--changed",
    "--cover",
    "--out",
    "--full-resolution",
    "--crops",
    "--resume",
}
FOREIGN_FLAGS = {"--rm", "--user", "--group", "--init", "--nthreads", "--nworkers"}


def table() -> str:
    """One line an option, under the headings of ``--help``."""
    rows = ["| option | in a job file | what it is |", "| --- | --- | --- |"]
    for heading, group in GROUPS.items():
        rows.append(f"| **{heading}** | | |")
        for option in group:
            value = f" {option.metavar}" if option.metavar else ""
            flags = ", ".join(f"`{flag}`" for flag in option.flags)
            spelt = f"{flags}{f' `{value.strip()}`' if value else ''}"
            rows.append(f"| {_cell(spelt)} | `{option.key}` | {_cell(option.help())} |")
    return "\n".join(rows) + "\n"


def place_of(name: str) -> re.Pattern[str]:
    """Where the table of a command stands."""
    return re.compile(rf"(?<=<!-- {name} -->\n).*(?=<!-- end of {name} -->)", re.DOTALL)


def command_of(name: str) -> Any:
    """A command by the words that call it: ``landcover train``."""
    found = _GROUNDSHIFT
    for word in name.split():
        found = found.commands[word]
    return found


def command_table(name: str) -> str:
    """The same for another command, made of the command itself; without what all commands have."""
    groups: dict[str, list[str]] = {}
    for option in command_of(name).params:
        heading = getattr(option, "rich_help_panel", None) or "Results"
        if heading == "Talking" or not option.opts[0].startswith("-") or set(option.opts) & TALKING:
            continue
        spelt = (*sorted(option.opts, reverse=True, key=len), *option.secondary_opts)
        flags = ", ".join(f"`{flag}`" for flag in spelt)
        value = "" if option.is_flag else f" `{option.metavar}`"
        told = option.help.partition("  [")[0]
        if option.default not in (None, True, False, "", []) and "[default" not in option.help:
            told += f" [default: {option.default}]"
        groups.setdefault(heading, []).append(f"| {_cell(flags + value)} | {_cell(told)} |")
    rows = ["| option | what it is |", "| --- | --- |"]
    for heading, lines in groups.items():
        rows += [f"| **{heading}** | |", *lines]
    return "\n".join(rows) + "\n"


def flags_of(*commands: str) -> set[str]:
    """Every spelling of the options of some commands."""
    params = [param for name in commands for param in command_of(name).params]
    return {flag for param in params for flag in (*param.opts, *param.secondary_opts) if flag.startswith("-")}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def branches(root: type) -> Iterator[type]:
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from branches(kind)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`]*`", "", page.read_text("utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


def test_the_table_of_options_is_that_of_the_command() -> None:
    written = TABLE.search(CLI.read_text("utf-8"))
    assert written, "cli.md has lost its table of options"
    assert written[0].splitlines() == table().splitlines(), "run `python tests/unit/test_docs.py`"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_options_of_a_command_is_that_of_the_command(name: str) -> None:
    written = place_of(name).search(CLI.read_text("utf-8"))
    assert written, f"cli.md has lost its table of options of {name}"
    assert written[0].splitlines() == command_table(name).splitlines(), "run `python tests/unit/test_docs.py`"


def test_every_command_is_in_the_list_of_commands() -> None:
    text = CLI.read_text("utf-8")
    assert [
        name
        for name in _GROUNDSHIFT.commands
        if f"| `groundshift {name} " not in text and f"| `groundshift {name}`" not in text
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_an_option_that_does_not_exist(page: Path) -> None:
    published = {spelling for flags, _, _ in s2cd._VALUED.values() for spelling in flags}
    known = {flag for option in OPTIONS for flag in option.flags} | published | OTHER_FLAGS | FOREIGN_FLAGS
    known |= flags_of("screen", "landcover compare", *COMMANDS)
    lines = [line for line in page.read_text("utf-8").splitlines() if "benchmarks/" not in line]
    named = set(re.findall(r"(?<![\w-])--[A-Za-z][\w-]*", "\n".join(lines)))
    assert named - known == set()


def test_every_option_of_s2cd_is_explained() -> None:
    text = CLI.read_text("utf-8")
    spellings = [spelling for flags, _, _ in s2cd._VALUED.values() for spelling in flags]
    assert [spelling for spelling in spellings if f"`{spelling}`" not in text] == []


def test_every_error_stands_beside_its_exit_code() -> None:
    text = (DOCS / "reference" / "exit-codes.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]*) \|$", text, re.MULTILINE)
    listed = {name: int(code) for code, names in rows for name in re.findall(r"`(\w+)`", names)}
    kinds = [GroundshiftError, *branches(GroundshiftError)]
    assert listed == {kind.__name__: kind.exit_code for kind in kinds}  # type: ignore[attr-defined]


def test_every_warning_is_explained_by_its_name() -> None:
    text = (DOCS / "reference" / "exit-codes.md").read_text("utf-8")
    listed = re.findall(r"^\| ([A-Z]\w+) \|", text, re.MULTILINE)
    assert listed == sorted(kind.__name__.removesuffix("Warning") for kind in branches(GroundshiftWarning))


def test_every_decision_is_in_the_list_of_decisions() -> None:
    folder = DOCS / "explanation" / "decisions"
    pages = sorted(page.name for page in folder.glob("0*.md"))
    assert re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text("utf-8")) == pages
    assert [int(page[:4]) for page in pages] == list(range(1, len(pages) + 1))


if __name__ == "__main__":
    text = TABLE.sub(lambda _: table(), CLI.read_text("utf-8"))
    for name in COMMANDS:
        text = place_of(name).sub(lambda _, name=name: command_table(name), text)
    CLI.write_text(text, "utf-8")
