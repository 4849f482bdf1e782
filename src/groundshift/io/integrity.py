"""Is a file what the product's manifest says it is?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from groundshift.errors import ProductError
from groundshift.io.xmlsafe import elements, parse_xml

CHUNK_BYTES = 2**20


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


ALGORITHMS: dict[str, Callable[[], Any]] = {"MD5": _md5, "SHA3-256": hashlib.sha3_256}
"""What manifest.safe may name: MD5 until the end of 2021, SHA3-256 since."""


@dataclass(frozen=True)
class Listed:
    """What the manifest says of one file."""

    algorithm: str
    """As written there."""
    digest: str
    """Hexadecimal, lower case."""
    size: int | None


def read_manifest(data: bytes, href: str) -> dict[str, Listed]:
    """Files of a ``manifest.safe``, by their path in the product.

    Raises:
        ProductError: it is no XML, lists nothing, or names a file outside the product.
    """
    listed = {}
    for item in elements(parse_xml(data, href), "dataObject"):
        location = next(elements(item, "fileLocation"), None)
        checksum = next(elements(item, "checksum"), None)
        if location is None or checksum is None:
            continue
        stream = next(elements(item, "byteStream"), None)
        size = stream.get("size", "") if stream is not None else ""
        listed[inner_path(location.get("href", ""), href)] = Listed(
            algorithm=checksum.get("checksumName", "(unnamed)").strip(),
            digest=(checksum.text or "").strip().lower(),
            size=int(size) if size.isdecimal() else None,
        )
    if not listed:
        raise ProductError(f"{href}: the manifest lists no file: download the product again, or use --no-verify.")
    return listed


def inner_path(reference: str, href: str) -> str:
    """A path in the product as its metadata write it, cleaned; raises ProductError when it leads out of the product."""
    parts = PurePosixPath(reference.strip().replace("\\", "/")).parts
    if not parts or ".." in parts or parts[0].startswith("/") or ":" in parts[0] or "\0" in reference:
        raise ProductError(f"{href}: refers to {reference!r}, outside the product: it is refused as unsafe.")
    return "/".join(parts)


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The rest of a stream, a megabyte at a time."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def hasher(listed: Listed, href: str) -> Any:
    """A fresh hash of the algorithm that the manifest names; raises ProductError for one that is not known."""
    make = ALGORITHMS.get(listed.algorithm.upper())
    if make is None:
        raise ProductError(
            f"{href}: the manifest's checksum algorithm {listed.algorithm!r} is not supported "
            f"(known: {', '.join(ALGORITHMS)}): use --no-verify to read on without verifying."
        )
    return make()


def mismatch(href: str, listed: Listed, digest: str, size: int, head: bytes) -> ProductError:
    """The error for a file that is not what the manifest says, telling what it looks like."""
    kind = content_kind(head)
    if kind != "a JPEG 2000 image":
        what = f"is {kind}, not a JPEG 2000 image"
    elif listed.size is not None and size != listed.size:
        what = f"has {size} bytes where the manifest says {listed.size}"
    else:
        what = f"has {listed.algorithm} {digest[:12]}... where the manifest says {listed.digest[:12]}..."
    return ProductError(f"{href}: {what} (checksum mismatch): download again, or use --no-verify to read it as it is.")


def content_kind(head: bytes) -> str:
    """What the first bytes of a file look like, in words for a message."""
    if not head:
        return "empty (0 bytes)"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page"
    signatures = (
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1f\x8b", "a gzip file"),
        (b"<", "an XML document"),
        (b"{", "a JSON document"),
        (b"version https://git-lfs", "a Git LFS pointer"),
        (b"\0" * 12, "full of zeros"),
    )
    for signature, kind in signatures:
        if head.startswith(signature) or start.startswith(signature):
            return kind
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head[:256])
    return "a text file" if printable >= 0.95 * len(head[:256]) else "a file of unknown kind"
