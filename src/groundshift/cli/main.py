"""The entry point ``groundshift``: runs a command and turns what goes wrong into one sentence and an exit code.

========  ==========================================================
code      means
========  ==========================================================
0         done
1         a bug
2         usage: an option or argument that cannot be
64        a job file that does not parse or fit
65        data that cannot be used
66        a file that is not there
69        a service does not answer; doctor: something that is needed is missing
70        some of it could not be done, the rest is complete
73        results cannot be written
75        another run holds the output folder: try later
130       interrupted
========  ==========================================================

Only the standard library is imported above the functions, so that Ctrl-C is answered from the first moment on.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130


def run() -> NoReturn:
    """Run ``groundshift`` on the arguments of the process."""
    sys.exit(guarded(_groundshift, sys.argv[1:], "groundshift", leaving=True))


def _groundshift(argv: Sequence[str]) -> int:
    from groundshift.cli.app import app
    from groundshift.cli.layout import width

    code = app(args=list(argv), prog_name="groundshift", standalone_mode=False, terminal_width=width())
    return code if isinstance(code, int) else 0


def guarded(command: Callable[[Sequence[str]], int], argv: Sequence[str], name: str, *, leaving: bool = False) -> int:
    """Run a command and return its exit code; whatever it raises is told on stderr.

    Args:
        command: takes the arguments, returns an exit code.
        argv: the arguments.
        name: what messages begin with.
        leaving: the process ends with it; Ctrl-C is no longer heeded then.
    """
    ctrl_c = _CtrlC()
    try:
        code = _outcome(command, argv, name, ctrl_c)
        if code == INTERRUPTED:
            again = shlex.join([name, *argv])
            _complain(f"{name}: interrupted; no half-written file was left. Run it again with:\n{again}")
            # Python remembers a KeyboardInterrupt out of an exec (of a dataclass, say) and would die of SIGINT: it
            # forgets it over another.
            exec("")
    finally:
        if not leaving:
            ctrl_c.restore()
    return code


def _outcome(command: Callable[[Sequence[str]], int], argv: Sequence[str], name: str, ctrl_c: _CtrlC) -> int:
    options = argv[: argv.index("--")] if "--" in argv else argv
    debug = "--debug" in options
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            _tolerant_streams()
            _settle_environment()
            code = command(argv)
            sys.stdout.flush()
        ctrl_c.ignore()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        ctrl_c.ignore()
        code = _told(error, name, debug, ctrl_c.pressed)
    return code


class _CtrlC:
    """Heeds Ctrl-C as Python does, and remembers it: compiled code can make anything of a KeyboardInterrupt."""

    def __init__(self) -> None:
        self.pressed = False
        self._before = signal.getsignal(signal.SIGINT)
        # Another handler, or none in the background of a shell, is somebody's will.
        default = self._before is signal.default_int_handler
        self._ours = default and threading.current_thread() is threading.main_thread()
        if self._ours:
            signal.signal(signal.SIGINT, self._heed)

    def _heed(self, number: int, frame: FrameType | None) -> NoReturn:
        self.pressed = True
        raise KeyboardInterrupt

    def ignore(self) -> None:
        """The rest takes a moment, and may not be cut short."""
        if self._ours:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def restore(self) -> None:
        """Leave it to whom it was left before."""
        if self._ours:
            signal.signal(signal.SIGINT, self._before)


def _tolerant_streams() -> None:
    """A code page that lacks a letter of a path shows an escape for it instead of ending the run."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _settle_environment() -> None:
    """Settle what libraries read from the environment while they are imported: take back what they fail on."""
    # typer's own help is not used, and any other value than yes or no ends its import
    os.environ["TYPER_USE_RICH"] = "0"
    # nothing here fetches grids of PROJ from the network, and any other value than yes or no ends the import of pyproj
    os.environ["PROJ_NETWORK"] = "OFF"
    # matrices here are tall and narrow: threads would wait for each other, and make other sums on other machines
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for name in ("PROJ_DATA", "PROJ_LIB"):
        # left over from another installation: without its database no coordinate system is known
        if name in os.environ and not os.path.isfile(os.path.join(os.environ[name], "proj.db")):
            del os.environ[name]


def _told(error: BaseException, name: str, debug: bool, pressed: bool) -> int:
    """Say on stderr what went wrong; return the exit code. What nobody foresaw comes of Ctrl-C, if that was pressed."""
    if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
        # The reader of our output has left; what was to be done is done.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    if _interrupted(error):
        return INTERRUPTED
    if type(error).__name__ == "Abort":
        return INTERRUPTED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if debug:
        import traceback

        traceback.print_exception(error)
    code, sentences = _sentences(error, name)
    if code == 1 and pressed:
        return INTERRUPTED
    for sentence in sentences:
        _complain(f"{name}: error: {sentence}")
    return code


def _interrupted(error: BaseException | None) -> bool:
    """Is an interruption what it began with? Compiled code wraps one into a SystemError, at times into two."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _sentences(error: BaseException, name: str) -> tuple[int, list[str]]:
    from groundshift.errors import GroundshiftError

    if isinstance(error, GroundshiftError):
        return error.exit_code, str(error).splitlines()
    if hasattr(error, "format_message"):
        return 2, [_usage_sentence(error, name)]
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return 1, [f"this is a bug ({what}); run it again with --debug and report what that prints."]


def _usage_sentence(error: Any, name: str) -> str:
    """What the parser of the command line objects to, with the nearest name and the way to help."""
    from groundshift.pipelines.jobfile import hint

    command = getattr(error.ctx, "command_path", name) if getattr(error, "ctx", None) else name
    if hasattr(error, "possibilities"):
        known = [flag for param in error.ctx.command.params for flag in param.opts if flag.startswith("--")]
        return f"there is no option {error.option_name}{hint(error.option_name, known)} See {command} --help."
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message[0].lower()}{message[1:]}; see {command} --help."


def _complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
