"""What files hold, by checksum, so that a file that was touched or copied is known again."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from groundshift.io.atomic import write_text


class Digests:
    """SHA-256 of files. One that was read before, and that no one has touched since, is not read again.

    Whether it was touched is told by its size, its number on the disk and both its times: that of its pixels can be set
    by anyone (``cp -p``, ``touch -r``), that of its entry cannot.

    Args:
        path: JSON file that keeps them from run to run; None: this process only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, list[int | str]] = {}
        with suppress(OSError, ValueError, TypeError):
            self._known = dict(json.loads(path.read_text("utf-8"))) if path else {}

    def of(self, path: Path) -> str:
        """Checksum of a file.

        Raises:
            OSError: it cannot be read, or is a folder.
        """
        status = path.stat()
        stamp = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
        known = self._known.get(str(path))
        if known is not None and known[:-1] == stamp:
            return str(known[-1])
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        self._known[str(path)] = [*stamp, found]
        return found

    def told(self, text: str) -> object:
        """What an option stands for: checksums of a file or of all files of a folder, else the words themselves."""
        path = Path(text)
        with suppress(OSError, ValueError):
            if path.is_dir():
                files = sorted(file for file in path.rglob("*") if file.is_file())
                return [[file.relative_to(path).as_posix(), self.of(file)] for file in files]
            return {"sha256": self.of(path)}
        return text

    def save(self) -> None:
        """Keep what is known for the next run."""
        if self._path is not None:
            write_text(self._path, json.dumps(self._known))
