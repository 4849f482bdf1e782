"""Model cards: a JSON file beside the weights that says what they are, and by which checksum to know them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundshift.errors import MissingInputError, ProductError


@dataclass(frozen=True, kw_only=True)
class Card:
    """What running a network needs to know; the file says more (data, licence, figures, limits)."""

    sha256: str
    bands: tuple[str, ...]
    """Names of the bands, in the order of the input's layers."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """How good the network was, by what it was measured on; none where the card only names a benchmark."""


def card_of(weights: Path) -> Path:
    """Where the card of a file of weights lies: beside it, ending in ``.json``."""
    return weights.with_suffix(".json")


def read_card(weights: Path) -> Card:
    """Read the card of a file of weights.

    Raises:
        MissingInputError: no card there.
        ProductError: not a model card.
    """
    path = card_of(weights)
    try:
        text = json.loads(path.read_text("utf-8"))
        checksum, bands = str(text["sha256"]), tuple(map(str, text["bands"]))
        figures = text.get("figures")
        return Card(sha256=checksum, bands=bands, figures=figures if isinstance(figures, dict) else {})
    except FileNotFoundError as error:
        raise MissingInputError(f"{path}: no model card; the weights need theirs beside them.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProductError(f"{path}: not a model card ({error}); install groundshift again.") from error


def verified(weights: Path) -> tuple[Card, bytes]:
    """Return card and bytes of a file of weights, which must have the checksum that its card states.

    Raises:
        MissingInputError: weights or card are absent.
        ProductError: the bytes are not those that the card describes.
    """
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise MissingInputError(f"{weights}: no such weights; install groundshift again, or give a path.") from error
    card = read_card(weights)
    found = hashlib.sha256(content).hexdigest()
    if found != card.sha256:
        raise ProductError(
            f"{weights}: SHA-256 {found[:12]}..., the model card states {card.sha256[:12]}...; "
            "install groundshift again."
        )
    return card, content
