"""Parsing the XML of products that may come from anywhere: no entities, no DTD, nothing fetched, bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from groundshift.errors import ProductError

MAX_XML_BYTES = 64 * 2**20
"""Real metadata files have at most a few MB."""


def parse_xml(data: bytes, href: str) -> Element:
    """Parse one metadata file.

    Args:
        data: its bytes.
        href: the file, as a message should name it.

    Raises:
        ProductError: larger than 64 MB, not well-formed, or with a DTD, entities or external references.
    """
    if len(data) > MAX_XML_BYTES:
        raise ProductError(f"{href}: {len(data) / 2**20:.0f} MB of metadata are refused: expected at most 64 MB.")
    try:
        root: Element = fromstring(data, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except DefusedXmlException as error:
        raise ProductError(
            f"{href}: a document type or entities ({type(error).__name__}) have no place in Sentinel-2 metadata: "
            "the file is refused as unsafe, get the product from its provider."
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise ProductError(f"{href}: not well-formed XML ({error}): download the product again.") from error
    return root


def local_name(element: Element) -> str:
    """Tag without its namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def elements(root: Element, *names: str) -> Iterator[Element]:
    """All elements of these local names, in document order."""
    return (element for element in root.iter() if local_name(element) in names)


def text(root: Element, *names: str) -> str | None:
    """Text of the first element of one of these local names; None when there is none or it is empty."""
    found = next(elements(root, *names), None)
    content = (found.text or "").strip() if found is not None else ""
    return content or None


def number(root: Element, *names: str) -> float | None:
    """Number in the first element of one of these local names; None when there is none or it is no number."""
    try:
        return float(text(root, *names) or "")
    except ValueError:
        return None
