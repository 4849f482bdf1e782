"""Trained classifiers in files: a folder with weights, as LightGBM's text or ONNX, and ``model.json``, their card.

Nothing in it is a program: no pickle, no code. The description states the checksum of the weights, and a changed file
is refused. A folder appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from groundshift.errors import InputError, MissingInputError, OutputError, ProductError
from groundshift.io.atomic import scratch, writing
from groundshift.model.classifier import ModelCard

FORMAT = "groundshift-landcover-model"
VERSION = 1
"""Of the format; a reader refuses newer ones."""
DESCRIPTION = "model.json"
KINDS = {
    "lightgbm": "model.txt",
    "rf": "model.onnx",
    "knn": "model.onnx",
    "mlp": "model.onnx",
    "tempcnn": "model.onnx",
}
"""Name of the file of weights of each kind of classifier."""
_PACKAGES = ("groundshift", "lightgbm", "scikit-learn", "onnx", "numpy")
_LARGEST = 1 << 31
"""Bytes of a file of weights, at most: the limit of ONNX."""


def save(folder: str | os.PathLike[str], card: ModelCard, weights: bytes, *, force: bool = False) -> Path:
    """Write a model.

    Args:
        folder: to make; the folder that holds it must exist.
        card: what the model is.
        weights: its weights, as they were trained.
        force: replace a model that is there; never anything else.

    Returns:
        The folder.

    Raises:
        InputError: a kind without a file format, or a chain or report that JSON cannot hold.
        OutputError: it cannot be written, or something is there already.
    """
    target = Path(folder)
    name = _file_of(card.kind)
    text = _description(card, name, weights)
    there = os.path.lexists(target)
    check_target(target, force=force)
    with writing(target, len(weights)), scratch(target.parent) as hidden:
        made = hidden / "new"
        made.mkdir()
        for file, content in ((name, weights), (DESCRIPTION, text.encode())):
            with (made / file).open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        if there:
            os.replace(target, hidden / "old")
        os.replace(made, target)
    return target


def load(folder: str | os.PathLike[str]) -> tuple[ModelCard, bytes]:
    """Read a model: its card, and its weights as they were saved.

    Raises:
        MissingInputError: no model there, or no weights in it.
        ProductError: it is damaged, changed, of a newer format or of an unknown kind.
    """
    path = Path(folder) / DESCRIPTION
    if Path(folder).is_file():
        raise ProductError(
            f"{folder}: is a file: expected the folder of a trained model. Files of pickle, joblib or torch can run "
            "anything, and are never loaded."
        )
    facts = _read_description(path)
    try:
        card = _card(facts["card"])
        name, expected = _file_of(card.kind), str(facts["weights"]["sha256"])
    except InputError as error:
        raise ProductError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ProductError(f"{path}: not a complete description of a model ({error!r}); train it again.") from error
    if facts.get("schema") != _schema(card, expected):
        raise ProductError(
            f"{path}: its features, classes, bands, scaling or chain are not those that the weights were trained with "
            "(another schema hash): the description was changed: copy the model again, or train it again."
        )
    file = path.with_name(name)
    try:
        weights = file.read_bytes() if file.stat().st_size <= _LARGEST else None
    except FileNotFoundError as error:
        raise MissingInputError(f"{file}: no such file; a model needs its weights beside {DESCRIPTION}.") from error
    except OSError as error:
        raise ProductError(f"{file}: cannot be read ({error.strerror}).") from error
    if weights is None:
        raise ProductError(f"{file}: larger than 2 GB; these are no weights of a model.")
    found = hashlib.sha256(weights).hexdigest()
    if found != expected:
        raise ProductError(
            f"{file}: SHA-256 {found[:12]}..., {DESCRIPTION} states {expected[:12]}...; "
            "the weights were changed or damaged: copy the model again, or train it again."
        )
    return card, weights


def check_target(folder: str | os.PathLike[str], *, force: bool = False) -> None:
    """Raise OutputError where :func:`save` would, for what is there already."""
    target = Path(folder)
    if not os.path.lexists(target):
        return
    if not force:
        raise OutputError(f"cannot write {target}: it exists already; use --force to replace it.")
    if not (target / DESCRIPTION).is_file():
        raise OutputError(f"cannot write {target}: it is no model; choose another name.")


def _file_of(kind: str) -> str:
    if kind not in KINDS:
        raise InputError(f"there is no kind of model {kind!r}: expected one of {', '.join(KINDS)}.")
    return KINDS[kind]


def _description(card: ModelCard, name: str, weights: bytes) -> str:
    digest = hashlib.sha256(weights).hexdigest()
    try:
        facts = {
            "format": FORMAT,
            "format_version": VERSION,
            "weights": {"file": name, "sha256": digest, "bytes": len(weights)},
            "schema": _schema(card, digest),
            "card": asdict(card),
            "versions": {package: _version(package) for package in _PACKAGES},
        }
        return json.dumps(facts, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"the description of the model cannot be stored as JSON ({error}).") from error


def _schema(card: ModelCard, weights: str) -> str:
    """SHA-256 of everything in a card that predictions depend on, and of the weights that it belongs to."""
    plain = {key: value for key, value in asdict(card).items() if key != "report"}
    limits = card.report.get("limits") if isinstance(card.report, Mapping) else None
    return hashlib.sha256(json.dumps([plain, limits, weights], sort_keys=True).encode()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _read_description(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingInputError(f"{path}: no such file; expected the folder of a trained model.") from error
    except OSError as error:
        raise ProductError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise ProductError(f"{path}: not JSON ({error}); copy the model again, or train it again.") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ProductError(f"{path}: not the description of a land cover model.")
    version = facts.get("format_version")
    if not isinstance(version, int) or version > VERSION:
        raise ProductError(
            f"{path}: format version {version}, this groundshift reads up to {VERSION}; install a newer one."
        )
    return facts


def _card(facts: dict[str, Any]) -> ModelCard:
    """The card, of which every list is a tuple again; fields that are unknown are an error."""
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    return ModelCard(**fields)
