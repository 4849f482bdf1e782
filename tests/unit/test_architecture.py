"""The house is as ARCHITECTURE.md draws it. Run this file to write the table of modules anew."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import groundshift

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "groundshift"
PAGE = ROOT / "ARCHITECTURE.md"
TABLE = re.compile(r"(?<=<!-- modules -->\n).*(?=<!-- end of modules -->)", re.DOTALL)
HEAVY = ("rasterio", "numba", "sklearn", "matplotlib", "pyogrio", "scipy", "xarray")
WITHOUT_A_SUBJECT = {"utils", "util", "helpers", "common", "core", "misc", "base", "manager"}
RUNS_WHAT_IT_READS = {"pickle", "joblib", "marshal", "shelve", "dill", "cloudpickle"}


def layers() -> list[str]:
    """Packages and modules of the top level, from the command line down, as the import contract lists them."""
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    return [name.strip().removeprefix("groundshift.") for layer in contract["layers"] for name in layer.split("|")]


def first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n")[0]


def table() -> str:
    """One line a module: its place and the first line of its docstring."""
    rows = ["| module | what it is |", "| --- | --- |"]
    rows += [_row(PACKAGE / name) for name in ("__init__.py", "__main__.py")]
    for name in layers():
        folder = PACKAGE / name
        files = sorted(folder.glob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
        rows += [_row(file) for file in files]
    return "\n".join(rows) + "\n"


def _row(path: Path) -> str:
    text = re.sub(r":\w+:(?=`)", "", first_line(path)).replace("``", "`").replace("|", "\\|")
    place = path.relative_to(PACKAGE)
    if path.name == "__init__.py" and path.parent != PACKAGE:
        return f"| **{place.parent}/** | **{text}** |"
    return f"| `{place}` | {text} |"


def test_the_table_of_modules_is_that_of_the_package() -> None:
    written = TABLE.search(PAGE.read_text("utf-8"))
    assert written, "ARCHITECTURE.md has lost its table of modules"
    there, expected = written[0].splitlines(), table().splitlines()
    missing, left_over = [row for row in expected if row not in there], [row for row in there if row not in expected]
    again = "run `python tests/unit/test_architecture.py` and look at what it changed"
    assert there == expected, f"missing: {missing}; left over: {left_over}; {again}"


def test_every_module_stands_in_a_layer_and_says_what_it_is() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    tops = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in files} - {"__init__", "__main__"}
    assert tops == set(layers())
    unsaid = [str(file.relative_to(PACKAGE)) for file in files if not first_line(file)]
    assert unsaid == []


def test_the_layers_are_drawn_as_they_are_checked() -> None:
    page = PAGE.read_text("utf-8")
    drawing = page[page.index("## Layers") : page.index("## The walk")]
    drawn = [re.split("  +", line.strip())[0] for line in drawing.splitlines() if line.startswith("    ")]
    assert [name for line in drawn for name in line.split(" | ")] == layers()


def test_no_module_is_named_after_nothing() -> None:
    found = [path for path in PACKAGE.rglob("*") if path.stem.strip("_") in WITHOUT_A_SUBJECT]
    assert found == []


def test_nothing_that_runs_what_it_reads_is_imported_outside_execution() -> None:
    found = {
        str(file.relative_to(PACKAGE)): sorted(_imports(file) & RUNS_WHAT_IT_READS)
        for file in PACKAGE.rglob("*.py")
        if "execution" not in file.relative_to(PACKAGE).parts
    }
    assert {file: names for file, names in found.items() if names} == {}


def _imports(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_what_is_imported_from_elsewhere_is_declared_and_nothing_else_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = project["dependencies"] + [
        one for extra in project.get("optional-dependencies", {}).values() for one in extra
    ]
    declared = {_package(re.split(r"[^\w.-]", one)[0]) for one in asked}
    foreign = set().union(*map(_imports, PACKAGE.rglob("*.py"))) - sys.stdlib_module_names - {"groundshift"}
    packages = packages_distributions()
    used = {name: {_package(package) for package in packages.get(name, [name])} for name in foreign}
    assert {name: found for name, found in used.items() if not found & declared} == {}
    assert declared - set().union(*used.values()) == set()


def _package(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import groundshift, sys; print([name for name in {HEAVY} if name in sys.modules])"
    here = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    found = subprocess.run([sys.executable, "-c", code], env=here, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    names = getattr(groundshift, "__all__", ["__version__"])
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(groundshift, name)] == []


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text("utf-8")), "utf-8")
