"""Which units of work are done, in a file: a line each, so that a torn last line is simply not done."""

from __future__ import annotations

from pathlib import Path

from groundshift.errors import OutputError


class Journal:
    """The journal of a run.

    Args:
        folder: where ``journal.txt`` lies; made when missing.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = self._path.read_text("utf-8") if self._path.exists() else ""
            self.done = set(text[: text.rfind("\n") + 1].split("\n")) - {""}
            self._path.write_text("".join(f"{key}\n" for key in sorted(self.done)), "utf-8")
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def add(self, key: str) -> None:
        """Note a unit whose results are on disk."""
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(f"{key}\n")
            self.done.add(key)
        except OSError as error:
            raise _unwritable(self._path, error) from error


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror or error}; choose another --outdir.")
