"""U2: a wrong flag, a typo in a job file, garbage in the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from groundshift.cli.main import _groundshift, guarded

Told = Callable[..., tuple[int, str]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Exit code and stderr of ``groundshift ARGS``, in this process; stdout must stay empty."""

    def run(*argv: str) -> tuple[int, str]:
        code = guarded(_groundshift, list(argv), "groundshift")
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        return code, err

    return run


def _run(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "groundshift", *argv]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | env, check=False, timeout=120)


@pytest.mark.parametrize(
    ("argv", "meant"),
    [
        (("change", "A", "B", "-o", "O", "--confidnce", "99"), "--confidence"),
        (("change", "A", "B", "-o", "O", "--no-verfy"), "--no-verify"),
        (("change", "A", "B", "-o", "O", "--Bands", "B2"), "--bands"),
        (("chagne", "A", "B"), "change"),
        (("change", "A", "B", "-o", "O", "--method", "irmda"), "irmad"),
        (("--versoin",), "--version"),
    ],
)
def test_a_wrong_word_is_exit_code_2_with_the_nearest_name(argv: tuple[str, ...], meant: str, told: Told) -> None:
    code, err = told(*argv)
    assert code == 2
    assert f"did you mean {meant}?" in err


@pytest.mark.parametrize(
    "argv", [("change", "A"), ("change", "A", "B"), ("change", "A", "B", "C", "-o", "O"), ("run",)]
)
def test_too_little_or_too_much_is_exit_code_2(argv: tuple[str, ...], told: Told) -> None:
    code, err = told(*argv)
    assert code == 2
    assert err.startswith("groundshift: error: ")


def test_a_typo_in_a_job_file_is_exit_code_64_with_file_key_and_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text('[input]\nbefore = "A"\nafter = "B"\n[output]\noutdir = "O"\n[detect]\nconfidnce = 99\n')
    found = _run("run", str(file))
    assert found.returncode == 64
    expected = f"{file}: there is no option detect.confidnce; did you mean detect.confidence?"
    assert found.stderr == f"groundshift: error: {expected}\n"


@pytest.mark.parametrize(
    "env",
    [
        {"TYPER_USE_RICH": "perhaps", "TERMINAL_WIDTH": "wide", "COLUMNS": "many"},
        {"COLUMNS": "0"},
        {"COLUMNS": "-7", "TERM": "no-such-terminal", "NO_COLOR": "1"},
        {"LC_ALL": "xx_YY.nonsense", "LANG": "?"},
    ],
    ids=lambda env: "-".join(env),
)
def test_garbage_in_the_environment_does_not_spoil_help(env: dict[str, str]) -> None:
    helped = _run("change", "--help", **env)
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "\x1b" not in helped.stdout


@pytest.mark.parametrize(
    "env",
    [
        {"GDAL_NUM_THREADS": "lots", "GDAL_CACHEMAX": "much", "PROJ_NETWORK": "maybe"},
        {"PROJ_DATA": "/no/such/folder", "PROJ_LIB": "/no/such/folder", "GDAL_DATA": "/no/such/folder"},
    ],
    ids=lambda env: "-".join(env),
)
def test_garbage_for_the_libraries_does_not_spoil_a_run(env: dict[str, str]) -> None:
    found = _run("doctor", **env)
    assert (found.returncode, found.stderr) == (0, "")
