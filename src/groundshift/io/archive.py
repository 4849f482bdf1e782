"""The files of a product, in a folder or in a zip, behind one face; what is unsafe is refused when it is opened."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from groundshift.errors import GroundshiftError, MissingInputError, OutputError, ProductError
from groundshift.io.integrity import chunks, content_kind

MAX_DIRECTORY_BYTES = 4 * 2**20
"""Of the zip's table of contents; that of a real product has about 30 kB."""
MAX_MEMBERS = 5_000
"""A real product has about 150 files; the old ones of several tiles, about 2000."""
MAX_TOTAL_BYTES = 32 * 2**30
MAX_RATIO = 100
RATIO_FREE_BYTES = 64 * 2**20
"""Up to this size a member may be compressed by any ratio."""
_NESTED = (".zip", ".tar", ".tgz", ".tar.gz", ".gz", ".bz2", ".xz", ".7z", ".rar")
_END = b"PK\x05\x06"
_ADVICE = "the archive is damaged or incomplete, download it again."


class Store(Protocol):
    """The files of one product; names are paths inside it, with slashes."""

    @property
    def href(self) -> str:
        """What the user gave."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """All files."""
        ...

    def location(self, name: str) -> str:
        """The file, as a message should name it."""
        ...

    def size(self, name: str) -> int:
        """Bytes."""
        ...

    def stamp(self, name: str) -> tuple[int, int]:
        """Changes when the file does: size and time of what lies on disk. Raises MissingInputError."""
        ...

    def open(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """The file as a stream; whatever goes wrong in it is a ProductError or MissingInputError."""
        ...

    def in_place(self, name: str) -> str | None:
        """Path under which GDAL reads the file cheaply where it lies; None where it must be unpacked first."""
        ...


@dataclass(frozen=True)
class FolderStore:
    """A product as a folder."""

    href: str
    root: str
    names: tuple[str, ...]

    def location(self, name: str) -> str:
        """Path of the file."""
        return str(self._path(name))

    def size(self, name: str) -> int:
        """Bytes."""
        return self.stamp(name)[0]

    def stamp(self, name: str) -> tuple[int, int]:
        """Size and time of the file."""
        try:
            found = self._path(name).stat()
        except OSError as error:
            raise _missing(self.location(name)) from error
        return found.st_size, found.st_mtime_ns

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """The file as a stream."""
        try:
            stream = self._path(name).open("rb")
        except FileNotFoundError as error:
            raise _missing(self.location(name)) from error
        except OSError as error:
            raise ProductError(f"{self.location(name)}: cannot be read ({error.strerror}).") from error
        with stream:
            yield stream

    def in_place(self, name: str) -> str:
        """Path of the file."""
        return str(self._path(name))

    def _path(self, name: str) -> Path:
        return Path(self.root, *name.split("/"))


@dataclass(frozen=True)
class Member:
    """Where one file of a zip lies."""

    name: str
    """In the zip."""
    size: int
    deflated: bool
    data_offset: int
    """Byte of the zip at which a stored file starts."""


@dataclass(frozen=True)
class ZipStore:
    """A product in a zip, as it comes from the download."""

    href: str
    path: str
    members: Mapping[str, Member]

    @property
    def names(self) -> tuple[str, ...]:
        """All files."""
        return tuple(self.members)

    def location(self, name: str) -> str:
        """``archive.zip!file``."""
        return f"{self.path}!{name}"

    def size(self, name: str) -> int:
        """Bytes, unpacked."""
        return self._member(name).size

    def stamp(self, name: str) -> tuple[int, int]:
        """Size and time of the zip."""
        try:
            found = Path(self.path).stat()
        except OSError as error:
            raise _missing(self.path) from error
        return found.st_size, found.st_mtime_ns

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """The file as a stream; its CRC is checked when it is read to the end."""
        member = self._member(name)
        with (
            _archive_errors(self.location(name)),
            zipfile.ZipFile(self.path) as archive,
            archive.open(member.name) as f,
        ):
            yield f  # type: ignore[misc]  # a binary reader in all but name

    def in_place(self, name: str) -> str | None:
        """A window of the zip, where the file is stored and not compressed."""
        member = self._member(name)
        return None if member.deflated else f"/vsisubfile/{member.data_offset}_{member.size},{self.path}"

    def _member(self, name: str) -> Member:
        if name not in self.members:
            raise _missing(self.location(name))
        return self.members[name]


def _missing(location: str) -> MissingInputError:
    return MissingInputError(
        f"{location}: the product lists this file and it is not there: download it again or choose other bands."
    )


@contextmanager
def _archive_errors(location: str) -> Iterator[None]:
    try:
        yield
    except GroundshiftError:
        raise
    except FileNotFoundError as error:
        raise _missing(location) from error
    except OSError as error:
        raise ProductError(f"{location}: cannot be read ({error.strerror or error}).") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error) as error:
        raise ProductError(f"{location}: {str(error).rstrip('.') or 'cannot be unpacked'}: {_ADVICE}") from error


def open_folder(root: Path, href: str) -> FolderStore:
    """The files below a folder."""
    names = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return FolderStore(href=href, root=str(root), names=tuple(sorted(names)))


def open_zip(path: Path, href: str) -> ZipStore:
    """The files of a zip, after its table of contents was checked; nothing is unpacked.

    Raises:
        ProductError: no zip, cut off, or unsafe: names that lead out of it, links, repeated names, encryption,
            an archive in the archive, overlapping or implausibly compressed members, too many of them.
        MissingInputError: it is not there.
    """
    with _archive_errors(str(path)):
        _check_directory_size(path)
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _check_members(infos, path)
            with path.open("rb") as stream:
                members = {info.filename: _member(info, stream) for info in infos if not info.is_dir()}
    return ZipStore(href=href, path=str(path), members=members)


def _check_directory_size(path: Path) -> None:
    """Refuse before the table of contents is read into memory."""
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 2**16 - 22))
        tail = stream.read()
        at = tail.rfind(_END)
        if at < 0:
            stream.seek(0)
            kind = content_kind(stream.read(256))
            raise ProductError(f"{path}: is {kind} without the table of contents of a zip at its end: {_ADVICE}")
        members, directory = struct.unpack_from("<HI", tail, at + 10)
        if directory == 0xFFFFFFFF or members == 0xFFFF:
            (end64,) = struct.unpack_from("<Q", tail, at - 12)
            stream.seek(end64)
            members, directory = struct.unpack_from("<32xQQ", stream.read(56))
    if members > MAX_MEMBERS or directory > MAX_DIRECTORY_BYTES:
        raise ProductError(
            f"{path}: {members} members are refused as unsafe: expected at most {MAX_MEMBERS} in a Sentinel-2 product."
        )


def _check_members(infos: list[zipfile.ZipInfo], path: Path) -> None:
    if len(infos) > MAX_MEMBERS:
        raise ProductError(f"{path}: {len(infos)} members are refused as unsafe: expected at most {MAX_MEMBERS}.")
    for info in infos:
        if reason := _unsafe(info):
            raise ProductError(f"{path}: member {info.orig_filename!r} {reason}: the archive is refused as unsafe.")
    (twice, count), *_ = Counter(info.filename.rstrip("/").casefold() for info in infos).most_common(1) or [("", 0)]
    if count > 1:
        raise ProductError(f"{path}: holds {twice!r} twice: the archive is refused as unsafe.")
    total = sum(info.file_size for info in infos)
    if total > MAX_TOTAL_BYTES:
        raise ProductError(
            f"{path}: unpacks to {total / 2**30:.0f} GB and is refused as unsafe: expected at most 32 GB."
        )
    _check_overlap(infos, path)


def _unsafe(info: zipfile.ZipInfo) -> str | None:
    """What is wrong with one member, in words; None when nothing is."""
    name = info.orig_filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if "\0" in name or any(ord(letter) < 32 for letter in name):
        return "has control characters in its name"
    if not parts or name.startswith("/") or ".." in parts or ":" in parts[0]:
        return "leads out of the archive"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is compressed by method {info.compress_type} where only stored and deflated are expected"
    if name.lower().endswith(_NESTED):
        return "is an archive in the archive"
    if info.file_size > max(RATIO_FREE_BYTES, MAX_RATIO * info.compress_size):
        return f"unpacks from {info.compress_size} to {info.file_size} bytes"
    return None


def _check_overlap(infos: list[zipfile.ZipInfo], path: Path) -> None:
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ProductError(f"{path}: member {info.filename!r} overlaps another: the archive is refused as unsafe.")
        end = info.header_offset + 30 + info.compress_size
    if end > path.stat().st_size:
        raise ProductError(f"{path}: its members reach beyond its end: {_ADVICE}")


def _member(info: zipfile.ZipInfo, stream: BinaryIO) -> Member:
    stream.seek(info.header_offset)
    signature, name_bytes, extra_bytes = struct.unpack("<4s22xHH", stream.read(30))
    if signature != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"member {info.filename} does not start where the table of contents says")
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        raise zipfile.BadZipFile(f"member {info.filename} has two sizes")
    return Member(
        name=info.filename,
        size=info.file_size,
        deflated=info.compress_type == zipfile.ZIP_DEFLATED,
        data_offset=info.header_offset + 30 + name_bytes + extra_bytes,
    )


def unpack(store: Store, name: str, target: Path) -> None:
    """Unpack one file, whole or not at all; done when ``target`` is there already.

    Raises:
        ProductError: it does not unpack, or its CRC is wrong.
        OutputError: there is no space, or no permission.
    """
    if target.exists() and target.stat().st_size == store.size(name):
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    with store.open(name) as stream:
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with partial.open("wb") as out:
                for chunk in chunks(stream):
                    out.write(chunk)
            partial.replace(target)
        except ProductError:
            raise
        except OSError as error:
            raise OutputError(
                f"{target.parent}: {store.location(name)} ({store.size(name) / 2**20:.0f} MB) cannot be unpacked there "
                f"({error.strerror}): free some space or set TMPDIR to another folder."
            ) from error
        finally:
            partial.unlink(missing_ok=True)
