"""The entry point: exit codes, what is said of errors, help, and a start without heavy imports."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from groundshift import __version__
from groundshift.cli import main
from groundshift.cli.main import guarded
from groundshift.errors import OutputError

from .conftest import Recorded

Run = Callable[..., int]
COMMANDS = ("change", "run", "evaluate", "demo", "doctor")
HEAVY = ("rasterio", "numba", "sklearn", "matplotlib", "scipy", "numpy", "pyogrio", "pyproj", "odc")


def test_the_version_is_that_of_the_package(groundshift: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert groundshift("--version") == 0
    assert capsys.readouterr().out == f"groundshift {__version__}\n"


def test_without_arguments_help_is_shown(groundshift: Run, s2cd: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert groundshift() == s2cd() == 0
    out = capsys.readouterr().out
    assert "Commands:" in out
    assert "--levelConfidence" in out


@pytest.mark.parametrize("width", ["40", "100"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_has_two_examples_and_fits_the_terminal(
    command: str, width: str, groundshift: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    assert groundshift(*([command] if command else []), "--help") == 0
    out = capsys.readouterr().out
    text, _, examples = out.partition("Examples:\n")
    assert len([line for line in examples.splitlines() if line.startswith("  groundshift ")]) == 2
    assert "\x1b" not in out
    # a flag with its value is never broken, so that it can be copied
    assert max(len(line) for line in text.splitlines() if not line.strip().startswith("-")) <= int(width)


def test_a_start_loads_nothing_heavy() -> None:
    code = f"import groundshift.cli.app, groundshift.cli.s2cd, sys; print([m for m in {HEAVY} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_bug_says_so_and_shows_its_origin_only_with_debug(
    pipeline: Recorded, groundshift: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.error = KeyError("amplitude")
    assert groundshift("change", "A", "B", "-o", "O") == 1
    err = capsys.readouterr().err
    assert err.startswith("groundshift: error: this is a bug (KeyError: 'amplitude'); run it again with --debug")
    assert err.count("\n") == 1
    assert groundshift("change", "A", "B", "-o", "O", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_says_how_to_run_it_again(
    pipeline: Recorded, groundshift: Run, s2cd: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.error = KeyboardInterrupt()
    assert groundshift("change", "my A.zip", "B", "-o", "O") == 130
    assert capsys.readouterr().err == (
        "groundshift: interrupted; no half-written file was left. Run it again with:\n"
        "groundshift change 'my A.zip' B -o O\n"
    )
    assert s2cd("-i1", "A", "-i2", "B", "-outdir", "O") == 130
    assert capsys.readouterr().err.endswith("S2-CD -i1 A -i2 B -outdir O\n")


def test_an_interruption_within_compiled_code_is_one_too(capsys: pytest.CaptureFixture[str]) -> None:
    def command(_: object) -> int:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupted:
            raise SystemError("returned a result with an exception set") from interrupted

    assert guarded(command, ["change", "A", "B"], "groundshift") == 130
    said = capsys.readouterr().err
    assert "interrupted" in said
    assert "bug" not in said


def test_whatever_becomes_of_ctrl_c_on_its_way_up_it_is_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    heeds = signal.getsignal(signal.SIGINT)

    def command(_: object) -> int:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise RuntimeError("no trace of it is left")

    assert guarded(command, ["change", "A", "B"], "groundshift") == 130
    assert "bug" not in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is heeds


def test_what_was_foreseen_is_told_after_ctrl_c_too(capsys: pytest.CaptureFixture[str]) -> None:
    def command(_: object) -> int:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise OutputError("the disk is full.")

    assert guarded(command, ["change", "A", "B"], "groundshift") == 73
    assert "the disk is full" in capsys.readouterr().err


def test_a_second_ctrl_c_does_not_cut_the_end_short(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    complain = main._complain

    def again(text: str) -> None:
        signal.raise_signal(signal.SIGINT)
        complain(text)

    monkeypatch.setattr(main, "_complain", again)

    def command(_: object) -> int:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("went on")

    assert guarded(command, ["change", "A", "B"], "groundshift") == 130
    assert "Run it again with" in capsys.readouterr().err


def test_an_interruption_while_a_class_is_made_ends_with_its_code_too(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(
        "import sys\nfrom groundshift.cli.main import guarded\n"
        "sys.exit(guarded(lambda _: exec('raise KeyboardInterrupt'), [], 'groundshift', leaving=True))\n"
    )
    found = subprocess.run([sys.executable, "-m", "ends"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode, "interrupted" in found.stderr) == (130, True)


def test_a_warning_of_a_library_is_not_shown(
    pipeline: Recorded, groundshift: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import warnings

    run = pipeline.run

    def noisy(job: object, progress: object = None) -> object:
        warnings.warn("something about a transform", UserWarning, stacklevel=1)
        return run(job)  # type: ignore[arg-type]

    monkeypatch.setattr(sys.modules["groundshift.pipelines.change"], "run", noisy)
    assert groundshift("change", "A", "B", "-o", "O", "--quiet") == 0
    assert "transform" not in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "groundshift", "change", "--help"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        err = process.stderr.read()
    assert (process.wait(timeout=60), err) == (0, b"")


def test_a_code_page_without_the_letters_of_a_path_is_no_error(tmp_path: Path) -> None:
    env = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "groundshift", "run", str(tmp_path / "grün.toml")]
    found = subprocess.run(command, capture_output=True, env=env, check=False)
    assert found.returncode == 66
    assert b"gr\\xfcn.toml" in found.stderr
