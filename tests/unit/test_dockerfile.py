"""The Dockerfile, without a container engine: what it names is there, and its steps for the project work here."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NO_NETWORK = re.compile("ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|Name or service not known")


@dataclass(frozen=True)
class Step:
    """One instruction of one stage."""

    stage: int
    name: str
    text: str


def steps() -> list[Step]:
    """All instructions, comments dropped and continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n", " ", "\n".join(lines))
    found: list[Step] = []
    stage = -1
    for line in filter(str.strip, text.splitlines()):
        name, _, rest = line.strip().partition(" ")
        stage += name == "FROM"
        found.append(Step(stage, name, " ".join(rest.split())))
    return found


STEPS = steps()
FINAL = [step for step in STEPS if step.stage == STEPS[-1].stage]


def texts(name: str, among: Sequence[Step] = STEPS) -> list[str]:
    return [step.text for step in among if step.name == name]


def only(name: str) -> str:
    (text,) = texts(name, FINAL)
    return text


def copied() -> list[str]:
    """Every path that is taken from the repository."""
    return [word for text in texts("COPY") if not text.startswith("--from") for word in text.split()[:-1]]


def tracked() -> list[str]:
    found = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("this is not a git checkout")
    return found.stdout.splitlines()


def let_through(path: str) -> bool:
    """What .dockerignore says of a file: the last pattern that fits it or a folder above it decides."""
    here = PurePosixPath(path)
    names = [str(parent) for parent in (here, *here.parents) if str(parent) != "."]
    verdict = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.strip().removeprefix("!").removeprefix("**/")
        anywhere = line.strip().lstrip("!").startswith("**/")
        if not pattern or pattern.startswith("#"):
            continue
        candidates = [PurePosixPath(name).name for name in names] if anywhere else [n for n in names if "/" not in n]
        if any(fnmatch(candidate, pattern) for candidate in candidates):
            verdict = line.startswith("!")
    return verdict


def environment() -> dict[str, str]:
    return dict(word.split("=", 1) for text in texts("ENV", FINAL) for word in shlex.split(text))


def test_every_copied_path_is_in_git_and_reaches_the_build() -> None:
    files = tracked()
    assert copied()
    for path in copied():
        below = [file for file in files if file == path or file.startswith(f"{path}/")]
        assert below, f"COPY {path}: git knows no such file"
        assert all(let_through(file) for file in below), f".dockerignore keeps {path} back"


def test_the_build_gets_the_files_of_the_wheel_and_no_others() -> None:
    files = tracked()
    wanted = {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]}
    wanted |= {file for file in files if file.startswith("src/")}
    assert {file for file in files if let_through(file)} == wanted
    assert not let_through("src/groundshift/io/__pycache__/cog.cpython-312.pyc")
    assert not let_through(".git/config")


def test_stages_share_one_slim_image_of_a_python_that_the_package_supports() -> None:
    images = {text.split()[0] for text in texts("FROM")}
    (image,) = images
    version = re.fullmatch(r"python:(3\.\d+)-slim", image)
    assert version, f"{image} is not a slim image of one Python version"
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["classifiers"]
    names = [text.split(" AS ")[1] for text in texts("FROM") if " AS " in text]
    assert {re.match(r"--from=(\S+)", text)[1] for text in texts("COPY", FINAL)} <= set(names)  # type: ignore[index]


def test_the_last_user_is_not_root_and_exists() -> None:
    user = only("USER")
    assert user not in ("root", "0")
    assert any(re.search(rf"useradd .*\b{user}\b", text) for text in texts("RUN", FINAL))
    after = FINAL[[step.name for step in FINAL].index("USER") :]
    assert not texts("RUN", after), "what runs after USER cannot install anything"


def test_nothing_swallows_the_command() -> None:
    assert texts("ENTRYPOINT") == []
    command = json.loads(only("CMD"))
    assert command[0] in PROJECT["scripts"]


def test_results_and_caches_go_where_every_user_can_write() -> None:
    made = " ".join(texts("RUN", FINAL))
    writable = re.search(r"install --directory .*--mode=1777 ([^&]+)", made)
    assert writable
    folders = writable[1].split()
    assert only("VOLUME") == only("WORKDIR") == "/results"
    assert "/results" in folders
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        assert any(environment()[name].startswith(f"{folder}/") for folder in folders)


def test_the_library_that_wheels_of_rasterio_lack_is_installed() -> None:
    assert any("apt-get install" in text and " libexpat1" in text for text in texts("RUN", FINAL))


@pytest.fixture
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that stands for the root of the image, after every RUN of the first stage."""
    root = tmp_path_factory.mktemp("image")
    first = [step for step in STEPS if step.stage == 0]
    (workdir,) = texts("WORKDIR", first)
    context = root / workdir.lstrip("/")
    for *sources, target in (text.split() for text in texts("COPY", first)):
        for source in sources:
            _copy(ROOT / source, context / target)
    installed = _installed(root / "installed")
    for line in texts("RUN", first):
        # What is needed to build comes from the package index; what is needed to run is here already.
        offline = {} if "pip wheel" in line else {"PIP_NO_INDEX": "1"}
        _shell(line.replace("/opt/", f"{root}/opt/"), context, offline)
        for packages in (root / "opt").glob("*/lib/python*/site-packages"):
            (packages / "installed.pth").write_text(f"{installed}\n", "utf-8")
    return root


def _copy(source: Path, target: Path) -> None:
    """As COPY does: the contents of a folder, or a file into a folder that ends in a slash."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _installed(folder: Path) -> Path:
    """Links to every package that is installed here, except this one."""
    folder.mkdir()
    for place in (Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")):
        for item in place.iterdir() if place.is_dir() else ():
            own = re.match(r"_*(editable__+)?groundshift|pip|setuptools|_distutils_hack|__pycache__", item.name)
            if not own and item.suffix != ".pth" and not (folder / item.name).exists():
                (folder / item.name).symlink_to(item)
    return folder


def _shell(line: str, cwd: Path, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_RETRIES": "2"}
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=cwd,
        env=inherited | quiet | {"PATH": path} | more,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and "PIP_NO_INDEX" not in more and NO_NETWORK.search(done.stdout + done.stderr):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done


def _in_image(image: Path, command: str, folder: Path) -> str:
    """Run a command as ``docker run`` would, with the PATH of the image."""
    first = environment()["PATH"].split(":")[0].replace("/opt/", f"{image}/opt/")
    more = {"PATH": f"{first}:/usr/bin:/bin", "NUMBA_CACHE_DIR": str(folder), "MPLCONFIGDIR": str(folder)}
    return _shell(command, folder, more).stdout


@pytest.mark.slow
def test_the_build_steps_leave_a_package_whose_commands_all_run(image: Path, tmp_path: Path) -> None:
    package = next((image / "opt").glob("*/lib/python*/site-packages/groundshift"))
    assert _files(package) == _files(ROOT / "src/groundshift")
    where = _in_image(image, "python -c 'import groundshift; print(groundshift.__file__)'", tmp_path)
    assert where.strip() == str(package / "__init__.py")
    for command in PROJECT["scripts"]:
        assert _in_image(image, f"command -v {command}", tmp_path).startswith(str(image / "opt"))
        assert "Examples:" in _in_image(image, f"{command} --help", tmp_path)
    assert "Commands:" in _in_image(image, shlex.join(json.loads(only("CMD"))), tmp_path)
    found: dict[str, Any] = json.loads(_in_image(image, "groundshift doctor --json", tmp_path))
    assert found["missing"] == []


def _files(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)) for path in paths}
