"""Progress on standard error."""

from __future__ import annotations

import io

import pytest

from groundshift.execution.progress import Bar, Lines, Silent, progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_plain_lines_without_escape_codes() -> None:
    stream = io.StringIO()
    with Lines(stream, every_s=0).stage("decode", 4) as advance:
        advance(1)
        advance(1)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("decode: 25 %")
    assert lines[1].startswith("decode: 50 %")
    assert lines[2].startswith("decode: done")
    assert "\x1b" not in stream.getvalue()


def test_lines_do_not_come_faster_than_asked() -> None:
    stream = io.StringIO()
    with Lines(stream, every_s=60).stage("decode", 1000) as advance:
        for _ in range(1000):
            advance(1)
    assert len(stream.getvalue().splitlines()) == 1


def test_a_terminal_gets_a_bar_with_the_name_of_the_stage() -> None:
    stream = _Terminal()
    with Bar(stream).stage("decode", 2) as advance:
        advance(1)
    assert "decode" in stream.getvalue()
    assert "100%" in stream.getvalue()


def test_the_stream_decides_and_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(progress(stream=_Terminal()), Bar)
    assert isinstance(progress(stream=io.StringIO()), Lines)
    silent = progress(quiet=True)
    assert isinstance(silent, Silent)
    with silent.stage("decode", 1) as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


def test_nothing_is_ever_said_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with progress().stage("decode", 1) as advance:
        advance(1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "decode" in captured.err
