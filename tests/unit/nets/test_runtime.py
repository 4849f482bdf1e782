"""Weights run only where they are those of their card."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from groundshift.errors import MissingInputError, ProductError
from groundshift.model.bands import BANDS
from groundshift.nets.card import card_of, read_card
from groundshift.nets.runtime import WEIGHTS, load

SHIPPED = WEIGHTS / "cloud_unet.onnx"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the weights and their card."""
    for path in (SHIPPED, card_of(SHIPPED)):
        shutil.copy(path, tmp_path)
    return tmp_path / SHIPPED.name


def test_the_card_says_what_it_must() -> None:
    assert read_card(SHIPPED).bands == tuple(BANDS)
    card = json.loads(card_of(SHIPPED).read_text("utf-8"))
    assert card["classes"] == ["clear", "cloud", "thin cloud", "shadow", "snow"]
    assert {"data", "figures", "licence", "limits", "normalisation", "training"} <= set(card)
    assert SHIPPED.stat().st_size <= 4_000_000


def test_one_process_opens_a_network_once(copied: Path) -> None:
    network = load(copied)
    assert load(copied) is network
    pixels, present = np.zeros((1, 14, 32, 48), np.float32), np.ones((1, 13), np.float32)
    found = network.run({"pixels": pixels, "present": present})
    assert found.shape == (1, 5, 32, 48)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_a_changed_byte_is_refused(copied: Path) -> None:
    content = bytearray(copied.read_bytes())
    content[len(content) // 2] ^= 1
    copied.write_bytes(content)
    with pytest.raises(ProductError, match=r"SHA-256 .* the model card states .*install groundshift again"):
        load(copied)


def test_weights_or_a_card_that_are_absent_are_named(copied: Path) -> None:
    with pytest.raises(MissingInputError, match=r"other\.onnx: no such weights"):
        load(copied.with_name("other.onnx"))
    card_of(copied).unlink()
    with pytest.raises(MissingInputError, match=r"cloud_unet\.json: no model card"):
        load(copied)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": 1, "bands": 3}'])
def test_a_card_that_is_none_is_refused(copied: Path, text: str) -> None:
    card_of(copied).write_text(text, "utf-8")
    with pytest.raises(ProductError, match="not a model card"):
        load(copied)


def test_what_is_no_network_is_refused(copied: Path) -> None:
    copied.write_bytes(b"nothing of the kind")
    card = {"sha256": hashlib.sha256(b"nothing of the kind").hexdigest(), "bands": []}
    card_of(copied).write_text(json.dumps(card), "utf-8")
    with pytest.raises(ProductError, match="not a network"):
        load(copied)
