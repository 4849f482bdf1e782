"""Files that appear whole or not at all: written in a temporary folder beside their final name, then renamed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from groundshift.errors import OutputError

_PREFIX = ".groundshift-"
_SUFFIX = ".tmp"


def free_bytes(path: Path) -> int:
    """Free bytes of the file system that holds ``path`` or its nearest existing parent; 0 when nothing is there."""
    for folder in (path, *path.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(folder).free
    return 0


def disk_full(path: Path, needed: int | None = None) -> OutputError:
    """The error of a file system without space, with what is needed (when known) and what is free, in bytes."""
    wanted = f"about {needed} bytes are needed" if needed else "the file does not fit"
    return OutputError(
        f"cannot write {path}: no space left, {wanted} and {free_bytes(path.parent)} bytes are free; "
        "free some space or choose another output folder."
    )


def output_error(error: OSError, path: Path, needed: int | None = None) -> OutputError:
    """What an operating-system error means for somebody who wants ``path`` written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(path, needed)
    reasons = {
        errno.EACCES: "no permission to write there",
        errno.EPERM: "no permission to write there",
        errno.EROFS: "the file system is read-only",
        errno.ENOENT: "its folder does not exist or has vanished",
        errno.ENOTDIR: "a part of its path is a file, not a folder",
        errno.ENAMETOOLONG: "the name is too long for this file system",
        errno.EISDIR: "a folder has that name",
        errno.EEXIST: "something of that name is in the way",
    }
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"cannot write {path}: {reason}; choose another output folder or name.")


@contextlib.contextmanager
def writing(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turn every OSError of the body into an :class:`OutputError` about ``path``."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise output_error(error, path, needed) from error


@contextlib.contextmanager
def atomic(
    path: str | os.PathLike[str], *, force: bool = True, needed: int | None = None, named: Path | None = None
) -> Iterator[Path]:
    """Give a temporary path to write to; at the end of the body it takes the place of ``path`` in one step.

    The temporary path has the same name, in a hidden folder beside ``path``; side files written next to it
    (``.aux.xml``, ``.hdr`` ...) move along, before the file itself. On any error nothing stays behind.

    Args:
        path: final name; its folder must exist.
        force: False refuses to replace an existing file.
        needed: expected size in bytes, for the message when the disk is full.
        named: what messages call the file, when it is to be moved later; None: ``path``.

    Raises:
        OutputError: it cannot be written, or exists and ``force`` is False.
    """
    target = Path(path)
    if not force and os.path.lexists(target):
        raise OutputError(f"cannot write {target}: it exists already; use --force to replace it.")
    with writing(named or target, needed), _claimed(target.parent) as folder:
        yield folder / target.name
        publish(folder, target)


@contextlib.contextmanager
def scratch(parent: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a hidden folder beside results, for what is needed on the way to them; it goes with the body.

    Raises:
        OutputError: it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        with writing(Path(parent)):
            folder = stack.enter_context(_claimed(Path(parent)))
        yield folder


def write_text(path: str | os.PathLike[str], text: str, *, force: bool = True) -> None:
    """Write a small text file (UTF-8) atomically."""
    with atomic(path, force=force, needed=len(text)) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def sweep(folder: str | os.PathLike[str]) -> int:
    """Remove temporary folders that dead processes left in ``folder``; return how many.

    The owner of a temporary folder holds a lock on it that the kernel drops when the owner dies, so a folder
    that can be locked is nobody's. Other names are never touched.
    """
    removed = 0
    for stale in Path(folder).glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            lock = os.open(stale, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(stale)
                removed += 1
            finally:
                os.close(lock)
    return removed


@contextlib.contextmanager
def _claimed(parent: Path) -> Iterator[Path]:
    """A temporary folder that is locked, and removed in the end."""
    folder = parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
    folder.mkdir()
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    # Some network file systems cannot lock a folder; there, nothing is ever swept either.
    with contextlib.suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def publish(folder: Path, target: Path) -> None:
    """Move a file of the name of ``target``, with all that lies beside it in ``folder``, to its place.

    Synced, and side files first, so that whoever sees the file sees them too. Both are on one file system.

    Raises:
        OutputError: there is no such file.
        OSError: it cannot be moved.
    """
    made = sorted(folder.iterdir(), key=lambda file: (file.name == target.name, file.name))
    if not made or made[-1].name != target.name:
        raise OutputError(f"cannot write {target}: nothing was written.")
    for file in made:
        _sync(file)
    for file in made:
        os.replace(file, target.parent / file.name)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
